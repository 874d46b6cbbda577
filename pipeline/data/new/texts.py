"""Texts of `make new`: the reason for each guessed setting, hints, and lines that are printed.

Owns the words, with named placeholders. Does not own the guesses (`data/new/propose.py`) nor error messages.
"""

# The file.
HEADER = "{name}: guessed by `make new` from the files; the reason is beside each line."
HEADER_FIX = "Correct what is wrong, then:"
HEADER_EDA = '  make eda ARGS="competition={name}"     a report on the data, most harmful findings first'
HEADER_ALL = '  make all ARGS="competition={name}"     everything, up to a submission'
HINT = "  hint: {hint}"

# The result of trying the file.
READ = "{images:,} training images in {classes} classes and {groups:,} groups, {test:,} test images"
RARE = "classes with fewer than {limit} training images: {classes}"

# Tables and columns.
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

# A folder per class.
CLASS_FOLDERS = "{folders} folders with {images:,} images, and no TRAIN table"
EACH_FOLDER = "each folder in it is a class"
FOLDER_NAMES = "the names of the folders"

# The host.
TEST_FOLDER = "TEST is a folder: every image in it"
HOLDOUT = "no TEST and no SAMPLE: training images are held out as the test set, and make score knows their answers"
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

# Sizes, folds and members.
SIZE = "the median of the shorter side is {side:.0f} px{larger}"
SIZE_LARGER = "; a larger size often scores higher, and takes more time"
RESIZE = "width : height ranges from {low:.2f} to {high:.2f}"
NO_DOWNLOAD = "they need no download"
FEW_IMAGES = "there are too few images for more folds"

# The mask competition.
MASK_TREE = "train/train.csv has {columns}, and train/images has one folder per person with mask1 …"
MASK_PEOPLE = "{people:,} people"
MASK_GROUP = "photos of one person (one folder) are never on both sides of a split"
MASK_LABEL = "label = mask · 6 + gender · 3 + age"
MASK_METRIC = "the metric of the competition"
MASK_HOLDOUT = "there is no eval/info.csv: people are held out as a test set"
MASK_SIZE = "the photos are 384 × 512; a larger size often scores higher, and takes more time"
MASK_BINS_HINT = "train_bins: [30.0, 58.0] below bins trains 58 and 59 as >=60; scores still use 60"
