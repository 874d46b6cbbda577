"""Texts of the data stages, of the page and checks of the folds, and of `make new`.

Owns the words, with named placeholders: printed lines, notes about the files and folds, checks of a fold plan, the
reason for each guessed setting, and hints. Does not own when they apply, error messages (they are where they are
raised) nor the page of the folds (`data/templates/folds.html`). Text in backticks is shown as code.
"""

# Printed lines of the commands.
FOLDS_FAULTY = "folds: {faults} in this plan: scores on it are wrong"
FOLDS_SOUND = "check: sound"
NEW_NO_IMAGES = "IMAGES is missing"
NEW_NO_IMAGES_REMEDY = "make new NAME=pets IMAGES=folder, or with TRAIN=train.csv"
COMPETITION_NEW = "competition     {name} (new)"
COMPETITION_CHOSEN = "competition     {name}{title} (the current one from now on)"
NOW_CURRENT = "{name} is the current competition from now on; make use NAME=… chooses another"
USE_CURRENT = "competition     {name} (the current one)"
USE_NONE = "competition     none is current: commands are about the default of configs/config.yaml"
USE_KNOWN = "  {mark} {name}"
USE_NEXT = "next: make use NAME=…"
NEW_WROTE = "wrote {path}"
NEW_NEXT = 'next: make eda ARGS="competition={name}", or make all with the same ARGS'

# Printed lines of the stages.
IMAGES_SPACE = "images: decoding {images}, about"
IMAGES_WHAT = "decoded images"
IMAGES_SPACE_REMEDY = "keep them smaller (images.cache_px=256), free space (`make gc`), or set runtime.home"
IMAGES_CONTINUED = "images: {done} of {images} were decoded before the last run was stopped"
IMAGES_WHITE = "{images} images do not decode: see quarantine.csv"
IMAGES_IN_PART = "{images} truncated images are used in part: see quarantine.csv"
PREPARED_SPACE = "prepared: {images} images,"
PREPARED_WHAT = "prepared images"
PREPARED_SPACE_REMEDY = "use a smaller images.size, free space (`make du`, `make gc`), or set runtime.home"
SPACE = "{announced} {needed:.0f} MB (free: {free:.1f} GB)"
NO_SPACE = "{home}: about {needed:.1f} GB of {what} do not fit into {free:.1f} GB"
BOXES = "boxes of {source}: {splits}"
BOXES_SPLIT = "{boxed} of {images} {split} images"

# Images that do not decode.
QUARANTINE = "{images} not decode; full list: {table}"
QUARANTINE_REMEDY = "replace these files, or continue without them: images.quarantine=drop (truncated images can be used in part: images.truncated=allow)"
QUARANTINE_MORE = "… and {images} more: see {table} of the artifact images {key}"
QUARANTINE_TEST = "{images} test images do not decode: predicted from a white square"
QUARANTINE_DROPPED = "{images} {split} do not decode: left out"
QUARANTINE_SPLITS = {
    "train": "training images",
    "extra": "images of other sources",
    "unlabelled": "images without labels",
}
FAULTY_IMAGE = "{split} {id}: {path}: {why}"

# Notes about the files.
HELD_OUT = "{held} of {images} images in {groups} groups are held out as the test set; make score can score them"
SHARED_GROUPS = "{groups} groups have images in both train and test (first: {first})"
COPIES = "{images} images from elsewhere are copies of our own and are left out"
SOURCE = "{source}: {images} more images ({licence}) {use}"
SOURCE_LABELLED = "train in every fold and never validate"
SOURCE_UNLABELLED = "have no labels: for train.pseudo"
ENCODING = "{table} was read as {encoding}: it is not UTF-8"
LEFT_OUT = "{name}: {files} files are left out, because they are not images by their name or not in a class folder (first: {first})"
SAME_ID = "{ids} person ids are in several rows (first: {first}): people are identified by their folder"
FEW_PHOTOS = "{people} people have fewer than {photos} photos"
UNLISTED = "{folders} folders of people who are in no row of the table are left out (first: {first})"
NORMALISED = "{table}: {files} file names were joined after Unicode normalisation (first: {first})"
COMPLETED = "{table}: {files} file names were completed by their extension (first: {first})"
TRAIN_BINS = "{table}: {attribute} trains with bins {train_bins} and is scored with {bins}; {images} images are trained as another class than the one that is scored"
PATCHES = "{table}: {patches} label patches change {changes} ({which})"
PATCHES_CHANGE = "{attribute} of {images} images"
PATCHES_NOTHING = "nothing"
PATCHES_BOTH = "training and scoring labels"
PATCHES_TRAINING = "training labels; scores use the original ones"
SOFT = "{table}: {images} images near the edge of a bin are trained as a share of both bins ({widths}); scores use their labels"
SOFT_WIDTH = "{attribute} ± {width:g}"
SHARED_WINDOW = "shared window: left, top, right, bottom {edges}, from {boxes} training boxes"
BOX_OUTLIERS = "{boxes} boxes are outliers (crop.outlier={limit:g}): not used"
OWN_WINDOWS = "{images} images are cropped by their own box, all others by the shared window"
READ_AS_NUMBERS = "{ids} read as numbers, leading zeros lost: {pairs}"
READ_AS_NUMBERS_PAIR = "{old!r} is {new!r}"

# Notes about the folds.
EXTRA = "{images} images from elsewhere join every training part"
EXTRA_LEFT_OUT = "; {times} times an image is left out, because its group is in the validation part"
REPEATED = "{repeats} × {n} folds: an image's {repeats} predictions are averaged"
REPEAT = "repeat {repeat}: {note}"
HOLDOUT = "hold-out: {images} of {all} images validate ({share:.0%})"
BOOTSTRAP = "{draws} bootstrap draws of {groups} groups: an image's out-of-bag predictions are averaged"
BOOTSTRAP_NEVER = "; {images} of {all} images were never out of a bag and are not scored"
COLUMN = "folds from column `{column}`: {values}"
COLUMN_EMPTY = "{images} of {all} images have no fold: they are in every training part and are not scored"
CLASS_EMPTY = "class {name}: no training image; no fold trains or validates it"
CLASS_FEW_GROUPS = "class {name}: {groups} groups for {n} folds (fallback `spread`): validated by fold {inside} and never by {without}"
CLASS_ONE_GROUP = "; fold {inside} trains without it"
CLASS_UNVALIDATED = "class {name}: {groups} groups, but fold {without} does not validate it"

# Checks of a fold plan: what is wrong, and what to do.
STRADDLING = "{groups} groups are in the training and the validation part of one fold ({some})"
STRADDLING_SOME = "{group} in fold {fold}"
STRADDLING_REMEDY = "scores are too high: choose folds.kind=stratified_group, or fix the column"
UNTRAINED = "class {name}: fold {folds} validates it, but its training part has no image of it"
UNTRAINED_REMEDY = "it needs images of more groups, or a lower folds.n"
UNVALIDATED = "class {name}: no fold validates it ({groups} groups)"
UNVALIDATED_REMEDY = "its F1 is unknown: choose folds.kind=stratified_group, or another seed"
LOPSIDED = "fold {folds}: {name} is distributed differently than in all images; the largest difference is in fold {fold} ({gap:.0%}; {share})"
LOPSIDED_SHARE = "{value} {here:.0%} instead of {all:.0%}"
LOPSIDED_REMEDY = "use the pooled score; another folds.seed or fewer folds may distribute it more evenly"
UNEVEN = "fold {fold} validates {images} images; the mean is {mean:.0f}"
UNEVEN_REMEDY = "its score has the same weight as that of a larger fold: use the pooled score"
CHECK_LINE = "{severity}: {text}; {remedy}"

# The page of the folds.
PAGE_TITLE = "{title}: folds"
PAGE_FAULTY = "{folds}, {faults}: scores on this plan are wrong"
PAGE_WARNED = "{folds}, usable, with {warnings}"
PAGE_SOUND = "{folds}, sound: groups are kept together, classes and attributes are evenly distributed"
PAGE_PLOT = "Images of each fold"
PAGE_SERIES = ("train", "validate")
PAGE_COVERAGE = ("times validated", "images")

# `make new`: the file.
HEADER = "{name}: guessed by `make new` from the files; the reason is beside each line."
HEADER_FIX = "Correct what is wrong, then:"
HEADER_EDA = '  make eda ARGS="competition={name}"     a report on the data, most harmful findings first'
HEADER_ALL = '  make all ARGS="competition={name}"     everything, up to a submission'
HINT = "  hint: {hint}"

# `make new`: the result of trying the file.
READ = "{images:,} training images in {classes} classes and {groups:,} groups, {test:,} test images"
RARE = "classes with fewer than {limit} training images: {classes}"

# `make new`: tables and columns.
ROWS = "{rows:,} rows"
IMAGES_HERE = "the images are found there"
LEADS_TO_IMAGES = "leads to the images{share}"
SOME_EXIST = "; only {share:.0%} of those that were tried exist"
LEADS_TO_TEST_IMAGES = "leads to the test images"
UNIQUE = "a different value in each of {rows:,} rows"
NOT_UNIQUE = "; not {column}, where {value!r} occurs {times} times"
SAMPLE_ID = "the sample's id column; {unique}"
BY_NAME = "by its name"
BY_NAME_TOO = "by its name; {text}"
IMAGE_NAMES = "the names of the images; {unique}"
GROUP_COUNT = "{groups:,} different values for {images:,} images"
PATTERN = "{part}: {groups:,} for {images:,} images, e.g. {first}"
LABEL_IN_SAMPLE = "the sample's answer column has the same name"
LABEL_VALUES = "its values are the sample's columns"
LABEL_SEVERAL = "few different values each; a class is their combination: remove columns that are not labels"
LABEL_ONLY = "the only column with few different values"
NUMBER_HINT = "{column}: a number; as an attribute it needs bins, e.g. bins: [{middle}]"
NO_GROUP = "nothing looks like a group; every image is its own group"
GROUP_COLUMN_HINT = "could also be the group: group_column: {column} ({why})"
GROUP_PATTERN_HINT = "could also be the group: group_pattern: '{pattern}' ({why})"
PARTS_OF_NAMES = (
    "letters and digits before the first _ or - of the file name",
    "the text before the first _ or - of the file name",
    "the text before the last _ or - of the file name",
    "the folder of the file",
)
MISS_ALL = "column {column!r}, e.g. {first!r}: none of its rows leads to an image"
MISS_SOME = "column {column!r}: {found} of {tried} rows that were tried lead to images in {folder}; {lost!r} does not"

# `make new`: a folder per class.
CLASS_FOLDERS = "{folders} folders with {images:,} images, and no TRAIN table"
EACH_FOLDER = "each folder in it is a class"
FOLDER_NAMES = "the names of the folders"

# `make new`: the host.
TEST_FOLDER = "TEST is a folder: every image in it"
HELD_OUT_TEST = "no TEST and no SAMPLE: training images are held out as the test set, and make score knows their answers"
TEST_FROM_SAMPLE = "no TEST table: the sample lists the images"
NO_SAMPLE = "none given: one is made from the test ids"
READABLE = "readable; no other format is required"
COLUMN_PER_CLASS = "the sample has one column per class"
SAMPLE_VALUES = "the sample's answers are values of the label"
SAMPLE_NUMBERS = "the sample's answers are numbers from 0 to classes − 1"
SAMPLE_UNCLEAR = "a guess: the sample's answers do not show it"
SAMPLE_FIRST = "the sample's first column"
SAMPLE_ANSWER = "the sample's answer column"
METRIC_PROBABILITIES = "a guess, because the sample asks for probabilities: read the host's rules"
METRIC_IMBALANCED = "a guess, because classes are imbalanced, {ratio:.1f} : 1: read the host's rules"
METRIC_BALANCED = "a guess, because classes are balanced, {ratio:.1f} : 1: read the host's rules"

# `make new`: sizes, folds and members.
SIZE = "the median of the shorter side is {side:.0f} px{larger}"
SIZE_LARGER = "; a larger size often scores higher, and takes more time"
RESIZE = "width : height ranges from {low:.2f} to {high:.2f}"
NO_DOWNLOAD = "they need no download"
FEW_IMAGES = "there are too few images for more folds"

# `make new`: the mask competition.
MASK_TREE = "train/train.csv has {columns}, and train/images has one folder per person with mask1 …"
MASK_PEOPLE = "{people:,} people"
MASK_GROUP = "photos of one person (one folder) are never on both sides of a split"
MASK_LABEL = "label = mask · 6 + gender · 3 + age"
MASK_METRIC = "the metric of the competition"
MASK_HOLDOUT = "there is no eval/info.csv: people are held out as a test set"
MASK_SIZE = "the photos are 384 × 512; a larger size often scores higher, and takes more time"
MASK_BINS_HINT = "train_bins: [30.0, 58.0] below bins trains 58 and 59 as >=60; scores still use 60"
