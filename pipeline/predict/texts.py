"""Texts of `predict/`: messages about folders of a predictor, images, and what a prediction took into account.

Owns the words, as templates with named placeholders; text in backticks is a command or a setting. Does not own when
a text is shown.
"""

from pipeline.core.language import _

# The folder.

NO_FOLDER = _("{folder}: this is no folder of a predictor; it has no {manifest}")
NO_FOLDER_REMEDY = _("`make predict FILE=submissions/NAME.csv …` makes one below predictors/")
MANIFEST_FAULTS = _("{path}: {faults:fault}")
MANIFEST_FAULT = _("{place}: {why}")
OTHER_FORM = _("{path}: it has form {form}, and this version of Podium reads form {known}")
OTHER_FORM_REMEDY = _("make the folder again with this version, or install the version that made it: {podium}")
CHANGED_FILES = _("{folder}: {files:file} changed after packing")
CHANGED_MISSING = _("{name}: it is missing")
CHANGED_DIGEST = _("{name}: its sha256 is {found}, and {known} was recorded")
CHANGED_REMEDY = _("copy the folder again, or make it again from the submission")
MANIFEST_REMEDY = _("copy the folder again, or make it again from the submission")

# Making one.

GONE = _("{name}: {results:result} that it is made of {results:is|are} gone")
GONE_REMEDY = _("build them again: make reproduce FILE={file}")
OUTSIDE_MEMBERS = _("{name}: {members:member} {members:is a file|are files} of predictions, and no model can predict new images for {members:it|them}")
OUTSIDE_MEMBER = _("{member}: {path}")
OUTSIDE_REMEDY = _("make a submission of members that are trained here: leave these out of ensemble.members")
NOT_THE_SAME = _("{name}: the packed blend does not give the probabilities that were submitted; {rows:row} {rows:differs|differ}, by up to {most:.2g}")
NOT_THE_SAME_REMEDY = _("build the submission again with this version (make ensemble), then pack the new one")
OTHER_BACKBONE = _("{member}: the frozen backbone is not the one whose features its heads were trained on")
OTHER_BACKBONE_REMEDY = _("the weights that model.weights names have changed, or the library builds another network: install the versions of the submission's JSON file, or run make infer again")
OLD_TREES = _("{name}: the trees of {member} were not kept; an earlier version built them")
OLD_TREES_REMEDY = _("build the blend again with this version (make ensemble), and pack the new submission")
READ_BY_TREES = _("{member} (folds, read by gbdt)")
UNKNOWN_STEP = _("{name}: the decision step {step} cannot be packed: {why}")
STEP_UNKNOWN = _("it is not known how to apply it again")
STEP_FACTS = _("decision.json does not hold {facts}")
PACKED = _("predictor: {folder} ({members:member}, {models:model}, {megabytes:.0f} MB)")
REUSED = _("predictor: {folder} (as it was packed before)")

# Images.

NO_IMAGES = _("{where}: there are no images")
NO_IMAGES_REMEDY = _("give a folder with images, or a CSV with one row for each image")
NO_SUCH_PLACE = _("{where}: there is no such folder or table")
TWO_TABLES = _("TABLE is for a folder, IMAGES=folder; ROOT is for a table, IMAGES=test.csv; both or mixed they mean nothing")
TWO_TABLES_REMEDY = _("give IMAGES=folder TABLE=test.csv, or IMAGES=test.csv ROOT=folder")
LEFT_OUT = _("{files:file} not predicted, {kind}: {remedy}")
NOT_LISTED = _("{images:image} of the folder {images:is|are} not in {table}, and {images:is|are} not predicted")
TABLE_COLUMN = _("{table}: no column names the images; it has {columns}")
TABLE_COLUMN_REMEDY = _("name the column of ids {id}, and the column of paths path or {path}")
REPEATED = _("{where}: {n:id} {n:occurs|occur} more than once")
TABLE_FAULTS = _("{table}: {faults:fault}")
EMPTY_CELL = _("(no file is named)")
SEVERAL_REMEDY = _("the table of new samples needs the columns of the competition's test table")
FOLDER_OF_SEVERAL = _("{where}: a sample of this competition has several files, and a folder does not show which belong together")
FOLDER_OF_SEVERAL_REMEDY = _("give a table with a row for each sample, such as the competition's test table: IMAGES=test.csv ROOT=folder")
UNKNOWN_ARRAY = _("an image is a path, bytes, an array, or a tuple of these; this is {kind}")
WHITE = _("predicted as a white image")
MANY_IMAGES_HEAD = _("{samples:sample} {samples:has|have} more images than those of the competition: at most {most}")
MANY_IMAGES = _("{id}: {images:image}")
MANY_IMAGES_REMEDY = _("a tuple of images is one sample; give single images one by one")

# Metadata.

METADATA_NEEDED = _("{where}: members read metadata beside the images ({columns}), and none is given")
METADATA_NEEDED_REMEDY = _("give a table with these columns: IMAGES=folder TABLE=test.csv, or IMAGES=test.csv ROOT=folder; in Python: metadata={column: values}, or the path of the table")
METADATA_OF_IDS = _("the ids of the sample")
METADATA_TABLE_REMEDY = _("members read these columns beside the images: give a table like the competition's test table")
METADATA_GIVEN = _("metadata: not what members read beside the images")
METADATA_GIVEN_REMEDY = _("give a value for each image, None where it is missing, of: {columns}")
METADATA_COLUMN = _("{column}: it is missing")
METADATA_LENGTH = _("{column}: {values:value} for {images:image}")
METADATA_ROW = _("line {line}")
METADATA_IMAGE = _("image {number}")
METADATA_NUMBERS = _("{where}: {cells:cell} of metadata {cells:is no number|are no numbers}")
METADATA_NUMBER = _("{row}: {column} is {cell!r}")
METADATA_NUMBERS_REMEDY = _("correct these, or leave a cell empty where the value is not known")
METADATA_UNKNOWN = _("{images:image} {images:has|have} a value of {column} that the training table lacks: {shown}")

NO_GPU = _("device cuda: torch sees no GPU")
NO_GPU_REMEDY = _("use device=cpu, or install a torch build for your driver")

# What a prediction took into account.

WHOLE_SET = _("{step} looks at all images together: it used the {images:image} that were given")
ALONE = _("{step} averages over groups, and no groups were given: it changed nothing")
NOT_CLUSTERED = _("{step} grouped the competition's test images by their features; new images are not grouped that way: give their groups, or it changes nothing")
SHARED_WINDOW = _("{images:image} {images:has|have} no box in the file of boxes: the window of all images was used")
RANKED = _("the blend votes by rank among all images: it used the {images:image} that were given")

# Commands.

FILE_MISSING = _("FILE is missing: a predictor is made from a submission")
FILE_REMEDY = _("make predict FILE=submissions/NAME.csv IMAGES=folder; `make score` lists the submissions")
IMAGES_MISSING = _("IMAGES is missing")
IMAGES_REMEDY = _("give a folder with images, or a CSV with one row for each image; TABLE is the table of a folder")
WRITTEN = _("{path}: {images:image}, {seconds:.1f} s, {ms:.1f} ms an image")
NONE_DECODES = _("{place}: none of {images:image} decodes, so nothing was predicted")
UNREADABLE = _("{faults:image} {faults:does|do} not decode; see {path}")
NOTE = _("note: {text}")
DEVICE = _("device: {device}, batches of {batch}")
NO_SUBMISSION = _("{file}: there is no such submission, and no such folder")
NO_SUBMISSION_REMEDY = _("give a CSV of submissions/, or its name; `make score` lists the names")
OOF_REMEDY = _("make oof FILE=submissions/NAME.csv OUT=NAME.csv")

# Files for team mates.

OOF_WRITTEN = _("{path}: out-of-fold probabilities of {images:image}, with fold and label")
TEST_WRITTEN = _("{path}: test probabilities of {images:image}")
OOF_OF_TWIN = _("a refit has no out-of-fold predictions: these are of its cross-validation")
OOF_MEMBER = _("a team mate with Podium blends them as ensemble.members=[…,{word}]")

# The hidden test set.

NO_TIME = _("LIMIT={limit}: this is no time above 0")
NO_TIME_REMEDY = _("give a time such as 9h, 30m or 600s")
NOT_IN_TABLE = _("(not in {table})")
NOT_ENCODED_HEAD = _("{name}: the encoding of the host's sample, {encoding}, lacks characters of answers")
NOT_ENCODED = _("line {line}: {characters}")
DROPPED_VIEW = _("the view {view} of {member} is dropped to stay inside the limit")
DROPPED_MEMBER = _("the member {member} is dropped to stay inside the limit")
CHUNK_DONE = _("{done} of {total} images, {took}, about {more} to go")
HIDDEN_DONE = _("{out}: {images:image}, {took}")
HIDDEN_DROPPED = _("dropped in time: {dropped}; images before that were predicted with them")
HIDDEN_UNREADABLE = _("{images:image} {images:does|do} not decode and {images:was|were} predicted as white: {shown}")
HIDDEN_UNANSWERED = _("the time ended: {images:image} {images:has|have} the mean prediction")

# Bundles.

BUNDLE_REMEDY = _("make bundle FILE=submissions/NAME.csv LIMIT=9h")
NO_SOURCES = _("{folder}: a bundle needs Podium's sources, to build its wheel, and these are missing")
NO_SOURCES_REMEDY = _("run make bundle in a checkout of Podium")
WHEEL_FAILED = _("Podium's wheel could not be built")
WHEEL_FAILED_REMEDY = _("the last lines of pip are above; `make install` gives an environment that can")
NO_PYTHON = _("HOST_PYTHON={python}: this is no version of Python that Podium runs with")
NO_PYTHON_REMEDY = _("give 3.11 or later, as `python --version` says it in a notebook of the host")
FETCH_FAILED = _("pip could not fetch {wheels:wheel} for Python {python}")
NO_INDEX = _("{wheel}: pip reached no package index; this machine has no network, or a proxy stands between")
NO_WHEEL = _("{wheel}: no package index has a wheel of it for Python {python} on Linux x86-64; is the name right?")
NO_SUCH_VERSION = _("{wheel}: there is no wheel of this version for Python {python} on Linux x86-64; the newest is {newest}")
FETCH_SAID = _("{wheel}: {said}")
FETCH_FAILED_REMEDY = _('fetching needs a network; name others with WHEELS="timm==1.0.31 safetensors", or none with WHEELS=none if the host has them')
BUNDLE_TOO_LARGE = _("the bundle has {gigabytes:.1f} GB, and {most:.0f} GB are allowed")
BUNDLE_TOO_LARGE_REMEDY = _("submit a smaller blend: fewer members, or their refits (ensemble.refit=true)")
LICENCE_HEAD = "# Where the weights come from\n\nEach model was trained by the owner of this bundle; some began with pretrained weights.\n\n| member | network | began with |\n|---|---|---|\n"
LICENCE_ROW = "| {member} | {model} | {weights} |\n"
NOTEBOOK_HEAD = """# {name}

Predicts the hidden test set without a network, and writes `submission.csv` in the host's form. Attach this dataset and
the competition's data, check the paths in the next cell, and run all cells. Unfinished work is kept in `partial/`; near
the time limit, views and then members are dropped, and the output says which."""
REHEARSAL_FAILED = _("{bundle}: the rehearsal failed; the bundle is there, and its notebook does not run")
REHEARSAL_REMEDY = _("if a package is missing on the host, add it with WHEELS; the last lines of the notebook are above")
NO_ENVIRONMENT = _("no fresh environment for the rehearsal could be made")
NO_ENVIRONMENT_REMEDY = _("Debian and Ubuntu: apt-get install python3-venv")
NO_TEST_SET = _("{folder}: the rehearsal needs what the host shows a notebook, and this is missing")
NO_TEST_SET_REMEDY = _("give TEST=folder, laid out as the host's folder: {sample}, {images}")
BUNDLE_MADE = _("bundle: {folder} ({megabytes:.0f} MB, {wheels:wheel})")
REHEARSED = _("rehearsal: {images:image} in {took} without a network ({how}), {ms:.0f} ms an image")
OLDEST_REHEARSED = _("once more with {host}:")
OLDEST_OTHER_PYTHON = _("OLDEST=1 rehearses with Python {oldest}, and HOST_PYTHON={python}: its wheels are for another one")
OLDEST_OTHER_PYTHON_REMEDY = _("leave HOST_PYTHON out, or rehearse without OLDEST")
NO_OLD_PYTHON = _("OLDEST=1 needs python{python}, and it is not installed")
NO_OLD_PYTHON_REMEDY = _("install it (Debian and Ubuntu: apt-get install python3.11-venv), or rehearse without OLDEST")
NO_OLD_PACKAGES = _("OLDEST=1: pip could not install {packages}")
NO_OLD_PACKAGES_REMEDY = _("it needs a network and about 5 GB, once; the last lines of pip are above")
TOO_OLD = _("{package} {here} is older than {oldest}, the oldest that a predictor was tried with")
WITH_NAMESPACE, WITH_GUARD = _("in a network namespace"), _("by a guard of its sockets")
SAME_ANSWERS = _("its answers are those that were submitted, byte for byte")
LIKE_ANSWERS = _("its answers: {likeness}")
OTHER_ANSWERS = _("{bundle}: the rehearsal's answers are not those that were submitted: {likeness}")
OTHER_ANSWERS_REMEDY = _("the libraries differ: rehearse with the versions of the submission's JSON file, or submit again with these")
EXPECTED = _("expected for {hidden:,} images on this machine: {took}, with a margin of {margin:.0%}; the limit is {limit}")
EXPECTED_DROPS = _("that is over the limit: the notebook will drop views, then members, to stay inside it")
LIMIT_TOO_SHORT = _("LIMIT={limit} is too short: one member with one view takes about {took} for {hidden:,} images on this machine")
LIMIT_REMEDY = _("raise LIMIT, use a GPU or a smaller network, or say with HIDDEN how many images the hidden set has")
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

INT8_FORMAT = _("INT8=1 is for FORMAT=onnx, and FORMAT={form}")
INT8_FORMAT_REMEDY = _("leave INT8 out, or choose FORMAT=onnx")
INT8_NO_IMAGES = _("INT8=1 needs images that show the ranges of activations, and a folder of a predictor has none")
INT8_NO_IMAGES_REMEDY = _("give IMAGES=folder, or FILE=submissions/NAME.csv, whose test set is used")
INT8_UNREADABLE = _("INT8=1: {images:image} {images:does|do} not decode")
INT8_LOSS = _("int8 against 32 bits, on {images:image} that did not calibrate: {same:.1%} equal answers, |Δp| {mean:.2g} on average and up to {most:.2g}")
INT8_LARGE = _("warning: that is a large loss; compare the scores before you use this file")
INT8_REFUSED = _("INT8=1 changes the model: {loss}")
INT8_REFUSED_REMEDY = _("export without INT8; networks with squeeze-and-excitation or a few channels a group often lose much")
INT8_SIZE = _("size: {before:.1f} MB in 32 bits, {after:.1f} MB in 8")
INT8_SCORE = _("{metric} on {images:image} {where}: {before:.4f} in 32 bits, {after:.4f} in 8 ({change:+.4f})")
INT8_TEST = _("of the test set")
INT8_OOF = _("out of fold, each by the models of its fold")
INT8_NO_SCORE = _("no score: the answers of the test set are not known, and a model of all data has no validation part")

# Pushing a bundle.

NO_BUNDLE = _("{folder}: this is no bundle")
PUSH_NO_COMPETITION = _("competition.submission.kaggle is not set: the notebook reads the data of a competition of Kaggle")
PUSH_NO_COMPETITION_REMEDY = _("set it to the competition's name in its URL")
PUSH_METADATA = _("{path}: it names no dataset; `id` is user/name")
PUSH_NO_USER = _("the Kaggle client knows no user")
PUSH_NO_USER_REMEDY = _("log in as its documentation says, or write the user's name into {path}")
PUSH_OTHER_CLIENT = _("this Kaggle client lacks {faults:command} that a bundle needs")
PUSH_LACKS = _("kaggle {command}: {options}")
PUSH_ASKS = _("asks: {words}")
PUSH_WHAT = _("{folder} ({megabytes:.0f} MB) becomes the dataset {dataset}, and the notebook of the same name runs it")
PUSHED = _("pushed: the notebook {notebook} runs on the host now; when it has finished, submit what it wrote: {words}")
PUSH_NOT_READY = _("{dataset}: the host has not unpacked the dataset after {minutes:.0f} min; the notebook was not pushed")
PUSH_NOT_READY_REMEDY = _("run the same command again: it sends a new version")

# Export.

EXPORT_REMEDY_FILE = _("make export FILE=submissions/NAME.csv FORMAT=onnx")
NO_FORMAT = _("FORMAT={form}: there is no such format")
NO_FORMAT_REMEDY = _("choose onnx, pt2 or mlflow")
NO_PACKAGE = _("FORMAT=onnx: not installed: {packages}")
NO_PACKAGE_REMEDY = _('install the extra: pip install "podium[export]", or choose FORMAT=pt2')
NO_GRAPH = _("{name}: it cannot be one graph")
NO_GRAPH_REMEDY = _("FORMAT=mlflow takes any submission; or submit one without these")
GRAPH_VIEW = _("{member}: the view {view} leaves torch")
GRAPH_METADATA = _("metadata beside the images: {columns}")
GRAPH_TREES = _("{member}: boosted trees")
GRAPH_SEVERAL = _("{member}: several images of a sample")
GRAPH_RULE = _("the blend: voting by {rule}")
GRAPH_STEP = _("the decision step {step}: it looks at all images, or is a function of your own")
EXPORT_FAILED = _("{what} cannot take a network of this submission")
EXPORT_REMEDY = _("the lines above name the operator; FORMAT=mlflow takes any submission")
OTHER_MODEL = _("FORMAT={form}: on {images} images the exported model is up to {most:.2g} off, and {same:.1%} of its answers are the same")
OTHER_MODEL_REMEDY = _("this is a fault of the exporter: try another FORMAT, and keep the predictor")
EXPORTED = _("export: {folder} ({megabytes:.0f} MB)")
PARITY = _("against the predictor, on {images:image}: {same:.1%} equal answers, up to {most:.1g} off")
REGISTERED = _("registered as {name} version {version}; make ui shows it under Models")
SERVE = _("next: PATH={bin}:$PATH mlflow models serve -m {folder} --env-manager local -p 5001")
NOT_REGISTERED = _("runtime.mlflow=false: it is not registered")
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

MODEL_MISSING = _("MODEL is missing: weights are those of a network")
MODEL_REMEDY = _("make weights MODEL=resnet18 OUT=folder; any name that model.name takes")
WEIGHTS_SOURCE = _("SOURCE={source}: there is no such source of weights")
WEIGHTS_SOURCE_REMEDY = _("choose hub, or package:NAME of an installed package with weights")
LICENCE_UNKNOWN = _("not stated: see the page of the weights")
WEIGHTS_WRITTEN = _("{path}: {megabytes:.0f} MB, licence {licence}, sha256 {sha256}")
WEIGHTS_NEXT = _('next: on the other machine, make train ARGS="model.name={model} model.weights=file:{path}"')
