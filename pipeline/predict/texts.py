"""Texts of `predict/`: messages about folders of a predictor, images, and what a prediction took into account.

Owns the words, as templates with named placeholders; text in backticks is a command or a setting. Does not own when
a text is shown.
"""

# The folder.

NO_FOLDER = "{folder}: this is no folder of a predictor; it has no {manifest}"
NO_FOLDER_REMEDY = "`make predict FILE=submissions/NAME.csv …` makes one below predictors/"
MANIFEST_FAULTS = "{path}: {faults:fault}"
MANIFEST_FAULT = "{place}: {why}"
OTHER_FORM = "{path}: it has form {form}, and this version of Podium reads form {known}"
OTHER_FORM_REMEDY = "make the folder again with this version, or install the version that made it: {podium}"
CHANGED_FILES = "{folder}: {files:file} changed after packing"
CHANGED_MISSING = "{name}: it is missing"
CHANGED_DIGEST = "{name}: its sha256 is {found}, and {known} was recorded"
CHANGED_REMEDY = "copy the folder again, or make it again from the submission"
MANIFEST_REMEDY = "copy the folder again, or make it again from the submission"

# Making one.

GONE = "{name}: {results:result} that it is made of {results:is|are} gone"
GONE_REMEDY = "build them again: make reproduce FILE={file}"
OUTSIDE_MEMBERS = "{name}: {members:member} {members:is a file|are files} of predictions, and no model can predict new images for {members:it|them}"
OUTSIDE_MEMBER = "{member}: {path}"
OUTSIDE_REMEDY = "make a submission of members that are trained here: leave these out of ensemble.members"
NOT_THE_SAME = "{name}: the packed blend does not give the probabilities that were submitted; {rows:row} {rows:differs|differ}, by up to {most:.2g}"
NOT_THE_SAME_REMEDY = "build the submission again with this version (make ensemble), then pack the new one"
OTHER_BACKBONE = "{member}: the frozen backbone is not the one whose features its heads were trained on"
OTHER_BACKBONE_REMEDY = "the weights that model.weights names have changed, or the library builds another network: install the versions of the submission's JSON file, or run make infer again"
OLD_TREES = "{name}: the trees of {member} were not kept; an earlier version built them"
OLD_TREES_REMEDY = "build the blend again with this version (make ensemble), and pack the new submission"
READ_BY_TREES = "{member} (folds, read by gbdt)"
UNKNOWN_STEP = "{name}: the decision step {step} cannot be packed: {why}"
STEP_UNKNOWN = "it is not known how to apply it again"
STEP_FACTS = "decision.json does not hold {facts}"
PACKED = "predictor: {folder} ({members:member}, {models:model}, {megabytes:.0f} MB)"
REUSED = "predictor: {folder} (as it was packed before)"

# Images.

NO_IMAGES = "{where}: there are no images"
NO_IMAGES_REMEDY = "give a folder with images, or a CSV with one row for each image"
NO_SUCH_PLACE = "{where}: there is no such folder or table"
TWO_TABLES = "TABLE is for a folder, IMAGES=folder; ROOT is for a table, IMAGES=test.csv; both or mixed they mean nothing"
TWO_TABLES_REMEDY = "give IMAGES=folder TABLE=test.csv, or IMAGES=test.csv ROOT=folder"
LEFT_OUT = "{files:file} not predicted, {kind}: {remedy}"
NOT_LISTED = "{images:image} of the folder {images:is|are} not in {table}, and {images:is|are} not predicted"
TABLE_COLUMN = "{table}: no column names the images; it has {columns}"
TABLE_COLUMN_REMEDY = "name the column of ids {id}, and the column of paths path or {path}"
REPEATED = "{where}: {n:id} {n:occurs|occur} more than once"
TABLE_FAULTS = "{table}: {faults:fault}"
EMPTY_CELL = "(no file is named)"
SEVERAL_REMEDY = "the table of new samples needs the columns of the competition's test table"
FOLDER_OF_SEVERAL = "{where}: a sample of this competition has several files, and a folder does not show which belong together"
FOLDER_OF_SEVERAL_REMEDY = "give a table with a row for each sample, such as the competition's test table: IMAGES=test.csv ROOT=folder"
UNKNOWN_ARRAY = "an image is a path, bytes, an array, or a tuple of these; this is {kind}"
WHITE = "predicted as a white image"
MANY_IMAGES_HEAD = "{samples:sample} {samples:has|have} more images than those of the competition: at most {most}"
MANY_IMAGES = "{id}: {images:image}"
MANY_IMAGES_REMEDY = "a tuple of images is one sample; give single images one by one"

# Metadata.

METADATA_NEEDED = "{where}: members read metadata beside the images ({columns}), and none is given"
METADATA_NEEDED_REMEDY = "give a table with these columns: IMAGES=folder TABLE=test.csv, or IMAGES=test.csv ROOT=folder; in Python: metadata={column: values}, or the path of the table"
METADATA_OF_IDS = "the ids of the sample"
METADATA_TABLE_REMEDY = "members read these columns beside the images: give a table like the competition's test table"
METADATA_GIVEN = "metadata: not what members read beside the images"
METADATA_GIVEN_REMEDY = "give a value for each image, None where it is missing, of: {columns}"
METADATA_COLUMN = "{column}: it is missing"
METADATA_LENGTH = "{column}: {values:value} for {images:image}"
METADATA_ROW = "line {line}"
METADATA_IMAGE = "image {number}"
METADATA_NUMBERS = "{where}: {cells:cell} of metadata {cells:is no number|are no numbers}"
METADATA_NUMBER = "{row}: {column} is {cell!r}"
METADATA_NUMBERS_REMEDY = "correct these, or leave a cell empty where the value is not known"
METADATA_UNKNOWN = "{images:image} {images:has|have} a value of {column} that the training table lacks: {shown}"

NO_GPU = "device cuda: torch sees no GPU"
NO_GPU_REMEDY = "use device=cpu, or install a torch build for your driver"

# What a prediction took into account.

WHOLE_SET = "{step} looks at all images together: it used the {images:image} that were given"
ALONE = "{step} averages over groups, and no groups were given: it changed nothing"
NOT_CLUSTERED = "{step} grouped the competition's test images by their features; new images are not grouped that way: give their groups, or it changes nothing"
SHARED_WINDOW = "{images:image} {images:has|have} no box in the file of boxes: the window of all images was used"
RANKED = "the blend votes by rank among all images: it used the {images:image} that were given"

# Commands.

FILE_MISSING = "FILE is missing: a predictor is made from a submission"
FILE_REMEDY = "make predict FILE=submissions/NAME.csv IMAGES=folder; `make score` lists the submissions"
IMAGES_MISSING = "IMAGES is missing"
IMAGES_REMEDY = "give a folder with images, or a CSV with one row for each image; TABLE is the table of a folder"
WRITTEN = "{path}: {images:image}, {seconds:.1f} s, {ms:.1f} ms an image"
UNREADABLE = "{faults:image} {faults:does|do} not decode; see {path}"
NOTE = "note: {text}"
DEVICE = "device: {device}, batches of {batch}"
NO_SUBMISSION = "{file}: there is no such submission, and no such folder"
NO_SUBMISSION_REMEDY = "give a CSV of submissions/, or its name; `make score` lists the names"
OOF_REMEDY = "make oof FILE=submissions/NAME.csv OUT=NAME.csv"

# Files for team mates.

OOF_WRITTEN = "{path}: out-of-fold probabilities of {images:image}, with fold and label"
TEST_WRITTEN = "{path}: test probabilities of {images:image}"
OOF_OF_TWIN = "a refit has no out-of-fold predictions: these are of its cross-validation"
OOF_MEMBER = "a team mate with Podium blends them as ensemble.members=[…,{word}]"

# The hidden test set.

NO_TIME = "LIMIT={limit}: this is no time above 0"
NO_TIME_REMEDY = "give a time such as 9h, 30m or 600s"
NOT_IN_TABLE = "(not in {table})"
NOT_ENCODED_HEAD = "{name}: the encoding of the host's sample, {encoding}, lacks characters of answers"
NOT_ENCODED = "line {line}: {characters}"
DROPPED_VIEW = "the view {view} of {member} is dropped to stay inside the limit"
DROPPED_MEMBER = "the member {member} is dropped to stay inside the limit"
CHUNK_DONE = "{done} of {total} images, {took}, about {more} to go"
HIDDEN_DONE = "{out}: {images:image}, {took}"
HIDDEN_DROPPED = "dropped in time: {dropped}; images before that were predicted with them"
HIDDEN_UNREADABLE = "{images:image} {images:does|do} not decode and {images:was|were} predicted as white: {shown}"
HIDDEN_UNANSWERED = "the time ended: {images:image} {images:has|have} the mean prediction"

# Bundles.

BUNDLE_REMEDY = "make bundle FILE=submissions/NAME.csv LIMIT=9h"
NO_SOURCES = "{folder}: a bundle needs Podium's sources, to build its wheel, and these are missing"
NO_SOURCES_REMEDY = "run make bundle in a checkout of Podium"
WHEEL_FAILED = "Podium's wheel could not be built"
WHEEL_FAILED_REMEDY = "the last lines of pip are above; `make install` gives an environment that can"
NO_PYTHON = "HOST_PYTHON={python}: this is no version of Python that Podium runs with"
NO_PYTHON_REMEDY = "give 3.11 or later, as `python --version` says it in a notebook of the host"
FETCH_FAILED = "pip could not fetch {wheels:wheel} for Python {python}"
NO_INDEX = "{wheel}: pip reached no package index; this machine has no network, or a proxy stands between"
NO_WHEEL = "{wheel}: no package index has a wheel of it for Python {python} on Linux x86-64; is the name right?"
NO_SUCH_VERSION = "{wheel}: there is no wheel of this version for Python {python} on Linux x86-64; the newest is {newest}"
FETCH_SAID = "{wheel}: {said}"
FETCH_FAILED_REMEDY = 'fetching needs a network; name others with WHEELS="timm==1.0.31 safetensors", or none with WHEELS=none if the host has them'
BUNDLE_TOO_LARGE = "the bundle has {gigabytes:.1f} GB, and {most:.0f} GB are allowed"
BUNDLE_TOO_LARGE_REMEDY = "submit a smaller blend: fewer members, or their refits (ensemble.refit=true)"
LICENCE_HEAD = "# Where the weights come from\n\nEach model was trained by the owner of this bundle; some began with pretrained weights.\n\n| member | network | began with |\n|---|---|---|\n"
LICENCE_ROW = "| {member} | {model} | {weights} |\n"
NOTEBOOK_HEAD = """# {name}

Predicts the hidden test set without a network, and writes `submission.csv` in the host's form. Attach this dataset and
the competition's data, check the paths in the next cell, and run all cells. Unfinished work is kept in `partial/`; near
the time limit, views and then members are dropped, and the output says which."""
REHEARSAL_FAILED = "{bundle}: the rehearsal failed; the bundle is there, and its notebook does not run"
REHEARSAL_REMEDY = "if a package is missing on the host, add it with WHEELS; the last lines of the notebook are above"
NO_ENVIRONMENT = "no fresh environment for the rehearsal could be made"
NO_ENVIRONMENT_REMEDY = "Debian and Ubuntu: apt-get install python3-venv"
NO_TEST_SET = "{folder}: the rehearsal needs what the host shows a notebook, and this is missing"
NO_TEST_SET_REMEDY = "give TEST=folder, laid out as the host's folder: {sample}, {images}"
BUNDLE_MADE = "bundle: {folder} ({megabytes:.0f} MB, {wheels:wheel})"
REHEARSED = "rehearsal: {images:image} in {took} without a network ({how}), {ms:.0f} ms an image"
OLDEST_REHEARSED = "once more with {host}:"
OLDEST_OTHER_PYTHON = "OLDEST=1 rehearses with Python {oldest}, and HOST_PYTHON={python}: its wheels are for another one"
OLDEST_OTHER_PYTHON_REMEDY = "leave HOST_PYTHON out, or rehearse without OLDEST"
NO_OLD_PYTHON = "OLDEST=1 needs python{python}, and it is not installed"
NO_OLD_PYTHON_REMEDY = "install it (Debian and Ubuntu: apt-get install python3.11-venv), or rehearse without OLDEST"
NO_OLD_PACKAGES = "OLDEST=1: pip could not install {packages}"
NO_OLD_PACKAGES_REMEDY = "it needs a network and about 5 GB, once; the last lines of pip are above"
TOO_OLD = "{package} {here} is older than {oldest}, the oldest that a predictor was tried with"
WITH_NAMESPACE, WITH_GUARD = "in a network namespace", "by a guard of its sockets"
SAME_ANSWERS = "its answers are those that were submitted, byte for byte"
LIKE_ANSWERS = "its answers: {likeness}"
OTHER_ANSWERS = "{bundle}: the rehearsal's answers are not those that were submitted: {likeness}"
OTHER_ANSWERS_REMEDY = "the libraries differ: rehearse with the versions of the submission's JSON file, or submit again with these"
EXPECTED = "expected for {hidden:,} images on this machine: {took}, with a margin of {margin:.0%}; the limit is {limit}"
EXPECTED_DROPS = "that is over the limit: the notebook will drop views, then members, to stay inside it"
LIMIT_TOO_SHORT = "LIMIT={limit} is too short: one member with one view takes about {took} for {hidden:,} images on this machine"
LIMIT_REMEDY = "raise LIMIT, use a GPU or a smaller network, or say with HIDDEN how many images the hidden set has"
BUNDLE_NEXT = "next: make submit FILE={folder} DRY=1"
BUNDLE_README = """# {name}

Everything that the submission {name} is made of, for a notebook without a network.

| path | holds |
|---|---|
| `predictor/` | models, weights of the blend, views, decision steps; `predictor.json` has the digest of every file |
| `wheels/` | Podium (installed without its dependencies), and what the host's image may lack |
| `LICENSES/` | of Podium, of the wheels, and where pretrained weights come from |
| `notebook.ipynb` | installs from this folder, predicts, writes `submission.csv` |

Upload this folder as a dataset, attach it and the competition's data to a notebook without internet, and run
`notebook.ipynb`. Its first code cell names the host's files.

{measured}
"""

# 8 bits.

INT8_FORMAT = "INT8=1 is for FORMAT=onnx, and FORMAT={form}"
INT8_FORMAT_REMEDY = "leave INT8 out, or choose FORMAT=onnx"
INT8_NO_IMAGES = "INT8=1 needs images that show the ranges of activations, and a folder of a predictor has none"
INT8_NO_IMAGES_REMEDY = "give IMAGES=folder, or FILE=submissions/NAME.csv, whose test set is used"
INT8_UNREADABLE = "INT8=1: {images:image} {images:does|do} not decode"
INT8_LOSS = "int8 against 32 bits, on {images:image} that did not calibrate: {same:.1%} equal answers, |Δp| {mean:.2g} on average and up to {most:.2g}"
INT8_LARGE = "warning: that is a large loss; compare the scores before you use this file"
INT8_REFUSED = "INT8=1 changes the model: {loss}"
INT8_REFUSED_REMEDY = "export without INT8; networks with squeeze-and-excitation or a few channels a group often lose much"
INT8_SIZE = "size: {before:.1f} MB in 32 bits, {after:.1f} MB in 8"
INT8_SCORE = "{metric} on {images:image} {where}: {before:.4f} in 32 bits, {after:.4f} in 8 ({change:+.4f})"
INT8_TEST = "of the test set"
INT8_OOF = "out of fold, each by the models of its fold"
INT8_NO_SCORE = "no score: the answers of the test set are not known, and a model of all data has no validation part"

# Pushing a bundle.

NO_BUNDLE = "{folder}: this is no bundle"
PUSH_NO_COMPETITION = "competition.submission.kaggle is not set: the notebook reads the data of a competition of Kaggle"
PUSH_NO_COMPETITION_REMEDY = "set it to the competition's name in its URL"
PUSH_METADATA = "{path}: it names no dataset; `id` is user/name"
PUSH_NO_USER = "the Kaggle client knows no user"
PUSH_NO_USER_REMEDY = "log in as its documentation says, or write the user's name into {path}"
PUSH_OTHER_CLIENT = "this Kaggle client lacks {faults:command} that a bundle needs"
PUSH_LACKS = "kaggle {command}: {options}"
PUSH_ASKS = "asks: {words}"
PUSH_WHAT = "{folder} ({megabytes:.0f} MB) becomes the dataset {dataset}, and the notebook of the same name runs it"
PUSH_NEXT = "next: make submit FILE={folder}"
PUSHED = "pushed: the notebook {notebook} runs on the host now; when it has finished, submit what it wrote: {words}"
PUSH_NOT_READY = "{dataset}: the host has not unpacked the dataset after {minutes:.0f} min; the notebook was not pushed"
PUSH_NOT_READY_REMEDY = "run the same command again: it sends a new version"

# Export.

EXPORT_REMEDY_FILE = "make export FILE=submissions/NAME.csv FORMAT=onnx"
NO_FORMAT = "FORMAT={form}: there is no such format"
NO_FORMAT_REMEDY = "choose onnx, pt2 or mlflow"
NO_PACKAGE = "FORMAT=onnx: not installed: {packages}"
NO_PACKAGE_REMEDY = 'install the extra: pip install "podium[export]", or choose FORMAT=pt2'
NO_GRAPH = "{name}: it cannot be one graph"
NO_GRAPH_REMEDY = "FORMAT=mlflow takes any submission; or submit one without these"
GRAPH_VIEW = "{member}: the view {view} leaves torch"
GRAPH_METADATA = "metadata beside the images: {columns}"
GRAPH_TREES = "{member}: boosted trees"
GRAPH_SEVERAL = "{member}: several images of a sample"
GRAPH_RULE = "the blend: voting by {rule}"
GRAPH_STEP = "the decision step {step}: it looks at all images, or is a function of your own"
EXPORT_FAILED = "{what} cannot take a network of this submission"
EXPORT_REMEDY = "the lines above name the operator; FORMAT=mlflow takes any submission"
OTHER_MODEL = "FORMAT={form}: on {images} images the exported model is up to {most:.2g} off, and {same:.1%} of its answers are the same"
OTHER_MODEL_REMEDY = "this is a fault of the exporter: try another FORMAT, and keep the predictor"
EXPORTED = "export: {folder} ({megabytes:.0f} MB)"
PARITY = "against the predictor, on {images:image}: {same:.1%} equal answers, up to {most:.1g} off"
REGISTERED = "registered as {name} version {version}; make ui shows it under Models"
SERVE = "next: PATH={bin}:$PATH mlflow models serve -m {folder} --env-manager local -p 5001"
NOT_REGISTERED = "runtime.mlflow=false: it is not registered"
CARD = """# {name}

{competition}: {kind} target. Columns: {columns}.

## Score
{score}

## Members
| member | network | weights began with | models | views | weight | OOF alone |
|---|---|---|---|---|---|---|
{members}

## Decision steps
{steps}

## Known weaknesses
{weaknesses}

## This file
{exported}

Made of the result of {created}, Podium at commit {git}. Intended for images like those of the competition; nothing is
known about others.
"""
CARD_MEMBER = "| {name} | {model} | {start} | {models} | {views} | {weight:.3f} | {score} |"
CARD_NO_STEPS = "none"
CARD_NO_REPORT = "No error report of this submission was found: `make error-analysis A=…` makes one."
CARD_NO_SCORE = "No out-of-fold score is known."
CARD_SCORE = "{metric} on pooled out-of-fold predictions: {value:.4f}"
CARD_INTERVAL = ", 95 % interval over groups [{low:.4f}, {high:.4f}]"

# Weights.

MODEL_MISSING = "MODEL is missing: weights are those of a network"
MODEL_REMEDY = "make weights MODEL=resnet18 OUT=folder; any name that model.name takes"
WEIGHTS_SOURCE = "SOURCE={source}: there is no such source of weights"
WEIGHTS_SOURCE_REMEDY = "choose hub, or package:NAME of an installed package with weights"
LICENCE_UNKNOWN = "not stated: see the page of the weights"
WEIGHTS_WRITTEN = "{path}: {megabytes:.0f} MB, licence {licence}, sha256 {sha256}"
WEIGHTS_NEXT = 'next: on the other machine, make train ARGS="model.name={model} model.weights=file:{path}"'
