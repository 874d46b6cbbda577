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
CHANGED_FILES = "{folder}: {files:file} {files:is|are} not as they were packed"
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
UNKNOWN_STEP = "{name}: the decision step {step} cannot be packed: {why}"
STEP_UNKNOWN = "it is not known how to apply it again"
STEP_FACTS = "decision.json does not hold {facts}"
PACKED = "predictor: {folder} ({members:member}, {models:model}, {megabytes:.0f} MB)"
REUSED = "predictor: {folder} (as it was packed before)"

# Images.

NO_IMAGES = "{where}: there are no images"
NO_IMAGES_REMEDY = "give a folder with images, or a CSV with one row for each image"
NO_SUCH_PLACE = "{where}: there is no such folder or table"
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
IMAGES_REMEDY = "give a folder with images, or a CSV with one row for each image"
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
