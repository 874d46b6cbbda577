"""Texts of the data stages, of the page and checks of the folds, and of `make new`.

Owns the words, with named placeholders: printed lines, notes about the files and folds, checks of a fold plan, the
reason for each guessed setting, and hints. Does not own when they apply, error messages (they are where they are
raised) nor the page of the folds (`data/templates/folds.html`). Text in backticks is shown as code.
"""

from pipeline.core.language import _

# Printed lines of the commands.
FOLDS_FAULTY = _("folds: {faults} in this plan: scores on it are wrong")
FOLDS_SOUND, NEW_NO_IMAGES = _("check: sound"), _("IMAGES is missing")
NEW_NO_IMAGES_REMEDY = _("make new NAME=pets IMAGES=folder, or with TRAIN=train.csv")
COMPETITION_NEW = _("competition     {name} (new)")
COMPETITION_CHOSEN = _("competition     {name}{title} (the current one from now on)")
NOW_CURRENT = _("{name} is the current competition from now on; make use NAME=… chooses another")
USE_CURRENT = _("competition     {name} (the current one)")
USE_NONE = _("competition     none is current: commands are about the default of configs/config.yaml")
USE_KNOWN, NEW_WROTE = _("  {mark} {name}"), _("wrote {path}")
NOT_UTF8 = _("{folder}: the names of {count:image} or folders are not UTF-8")
NOT_UTF8_REMEDY = _("rename them, e.g. `convmv -f latin1 -t utf8 -r --notest {folder}` for names of an old European system")
NEW_NAME = _("only letters a to z, digits and _ . + - are allowed, at most {longest} of them")

# Printed lines of the stages.
IMAGES_SPACE, IMAGES_WHAT = _("images: decoding {images}, about"), _("decoded images")
IMAGES_SPACE_REMEDY = _("keep them smaller (images.cache_px=256), free space (`make gc`), or set runtime.home")
IMAGES_CONTINUED = _("images: {done} of {images} were decoded before the last run was stopped")
IMAGES_RANGE = _("{kind} images: {black:g} is black and {white:g} is white ({source})")
IMAGES_PAGES = _("{files} of {some} files that were looked at {files:has|have} several pages or frames, up to {most}: {use}")
PAGES_FIRST = _("only the first one is used; images.pages=channels images.channels={most} makes each page a channel")
PAGES_CHANNELS = _("each one is a channel")
RANGE_MEASURED = _("measured on the training images; another range: images.range=[BLACK,WHITE]")
RANGE_GIVEN = _("images.range")
IMAGES_WHITE = _("{images:image} {images:does|do} not decode: see quarantine.csv")
IMAGES_IN_PART = _("{images:truncated image} {images:is|are} used in part: see quarantine.csv")
LOADER_ALONE = _("loader processes: {why}; this run goes on without them, with the same results but more slowly (runtime.workers=0 starts none)")
LOADER_SHARED_MEMORY = _("the shared memory is full (/dev/shm; in Docker: --shm-size=2g)")
LOADER_SILENT = _("no batch came for {seconds:g} seconds")
LOADER_LOST = _("one was killed or failed, perhaps because the memory is full")
PREPARED_SPACE, PREPARED_WHAT = _("prepared: {images} images,"), _("prepared images")
PREPARED_SPACE_REMEDY = _("use a smaller images.size, free space (`make du`, `make gc`), or set runtime.home")
SPACE = _("{announced} {needed:.0f} MB (free: {free:.1f} GB)")
NO_SPACE = _("{home}: about {needed:.1f} GB of {what} do not fit into {free:.1f} GB")
BOXES = _("boxes of {source}: {splits}")
AND = _(" and ")
BOX_IN_BOTH = _("{name} row {line} (id {id}): the id is in both tables; add a column split with train or test")
BOXES_SPLIT = _("{boxed} of {images} {split} images")

# Images that do not decode.
QUARANTINE = _("{images} not decode; full list: {table}")
QUARANTINE_REMEDY = _("replace these files, or continue without them: images.quarantine=drop (truncated images can be used in part: images.truncated=allow)")
QUARANTINE_MORE = _("… and {images} more: see {table} of the artifact images {key}")
QUARANTINE_TEST = _("{images:test image} {images:does|do} not decode: predicted from a white square")
QUARANTINE_DROPPED = _("{images:image} of {split} {images:does|do} not decode: left out")
QUARANTINE_SPLITS = {
    "train": _("the training set"),
    "extra": _("other sources"),
    "unlabelled": _("the images without labels"),
}
FAULTY_IMAGE = _("{split} {id}: {path}: {why}")

# Kinds of faults of the files, in the plural: an error counts them.
FAULT_COUNT = _("{n} {kind}")
FAULT_KINDS = (
    _("ambiguous images"),
    _("duplicate ids"),
    _("empty ids"),
    _("empty labels"),
    _("empty paths"),
    _("empty tables"),
    _("folders without images"),
    _("groups that are the answer"),
    _("ids in two sources"),
    _("ids without an image"),
    _("labels that are not one class"),
    _("metadata that are no numbers"),
    _("missing columns"),
    _("missing images"),
    _("missing tables"),
    _("paths outside"),
    _("paths without a group"),
    _("paths without a label"),
    _("repeated columns"),
    _("repeated folders"),
    _("repeated patches"),
    _("rows in long form"),
    _("samples with many images"),
    _("samples with several values"),
    _("samples without images"),
    _("unknown labels"),
    _("unknown patch attributes"),
    _("unknown patch ids"),
    _("unknown patch values"),
    _("unknown photos"),
    _("unreadable images"),
    _("unreadable patches"),
    _("unreadable tables"),
)

# Notes about the files.
HELD_OUT = _("{held} of {images:image} in {groups:group} are held out as the test set; make score can score them")
SHARED_GROUPS = _("{groups:group} {groups:has|have} images in both train and test (first: {first})")
COPIES = _("{images:image} from elsewhere {images:is a copy|are copies} of our own and {images:is|are} left out")
SOURCE = _("{source}: {images:more image} ({licence}), {use}")
SOURCE_LABELLED = _("for training in every fold and never for validation")
SOURCE_UNLABELLED = _("without labels: for train.pseudo")
ENCODING = _("{table} was read as {encoding}: it is not UTF-8{example}; if letters are wrong, set competition.encoding")
ENCODING_EXAMPLE = _(", and has e.g. {cell!r}")
LEFT_OUT = _("{name}: {files:file} {files:is|are} left out, because {files:it is no image by its name|they are not images by their name} or not in a class folder (first: {first})")
LINKED = _("{name}: {files:image} {files:is|are} outside the folder, because {files:a link leads|links lead} to {files:it|them} (first: {first})")
BROKEN = _("{name}: {files:link} {files:leads nowhere or in a circle, or is no regular file,|lead nowhere or in a circle, or are no regular files,} and {files:is|are} left out (first: {first})")
SLOW_PATTERN = _("competition.group_pattern or label_pattern: {pattern!r} needs more than {seconds:.0f} s for {paths:,} paths, because it repeats a repetition")
SLOW_PATTERN_REMEDY = _("write it without a repetition of a group, e.g. ([a-z]+[0-9]+)_ instead of (([a-z]+)+[0-9]*)+_")
GROUP_OF_CLASS = _("competition.{setting}: {given!r} gives each of the {classes} classes one group only, so it is the answer and no split could keep a group together; name another one, or set it to null")
NO_GROUPS = _("{table}: `{column}` is unknown in {rows} of {all} rows ({values}): each of these images is a group of its own (competition.unknown_groups)")
NO_GROUPS_VALUE, EMPTY_VALUE = _("{value!r}: {rows}"), _("empty")
SAME_ID = _("{ids:person id} {ids:is|are} in several rows (first: {first}): people are identified by their folder")
FEW_PHOTOS = _("{people} people have fewer than {photos} photos")
UNLISTED = _("{folders:folder} of people who are in no row of the table {folders:is|are} left out (first: {first})")
NORMALISED = _("{table}: {files} file names were joined after Unicode normalisation (first: {first})")
COMPLETED = _("{table}: {files} file names were completed by their extension (first: {first})")
SHORTENED = _("{table}: {files} file names were found without the folders in front (first: {first})")
SEARCHED = _("{table}: {files:image} {files:was found by its name|were found by their name} in folders below (first: {first} is {path})")
TRAIN_BINS = _("{table}: {attribute} trains with bins {train_bins} and is scored with {bins}; {images:image} {images:is|are} trained as another class than the one that is scored")
PATCHES = _("{table}: {patches} label patches change {changes} ({which})")
PATCHES_CHANGE = _("{attribute} of {images} images")
PATCHES_NOTHING, PATCHES_BOTH = _("nothing"), _("training and scoring labels")
PATCHES_TRAINING = _("training labels; scores use the original ones")
SOFT = _("{table}: {images:image} near the edge of a bin {images:is|are} trained as a share of both bins ({widths}); scores use their labels")
SOFT_WIDTH = _("{attribute} ± {width:g}")
SHARED_WINDOW = _("shared window: left, top, right, bottom {edges}, from {boxes} training boxes")
BOX_OUTLIERS = _("{boxes:box} {boxes:is an outlier|are outliers} (crop.outlier={limit:g}): not used")
OWN_WINDOWS = _("{images:image} {images:is cropped by its|are cropped by their} own box, all others by the shared window")
IDS = _("{n:id}")
READ_AS_NUMBERS = _("{ids} read as numbers, leading zeros lost: {pairs}")
READ_AS_NUMBERS_PAIR = _("{old!r} is {new!r}")

# What a submission will hold.
WRITTEN = _("a submission has 1 row per `{id}` of the sample, and {what}{copied}")
WRITTEN_PROBABILITY = _("1 column `{column}` = the probability of class {classes}")
WRITTEN_SUM = _("1 column `{column}` = the sum of the probabilities of the classes {classes}")
WRITTEN_PROBABILITIES = _("{count:column} ({columns}) = {what}")
WRITTEN_TOTAL = _("{what}, which sum to {total:g} in a row")
WRITTEN_OF = {
    "exclusive": _("the probability of each class"),
    "shares": _("the share of each class"),
    "labels": _("the probability of each label or level, each by itself"),
}
WRITTEN_VALUES = _("{count:column} ({columns}) = the predicted number")
WRITTEN_ATTRIBUTES = _("{count:column}: {columns}")
WRITTEN_WORDS = _("1 column `{column}` = the words of the labels that hold ({words}), with {separator!r} between")
WRITTEN_TOP_K = _("1 column `{column}` = the {k} most probable classes ({words}){confidence}, with {separator!r} between")
WRITTEN_CONFIDENCE = _(", each with its probability")
WRITTEN_LONG = _("a submission has 1 row per `{id}` and answer of the sample, {rows}, and {what}{copied}")
NO_LONG_ANSWER = _("row {key!r} (line {line}) names no known answer")
LONG_TWICE = _("row {key!r} (line {line}) names an image and an answer that an earlier row has already")
LONG_ANSWERS_MISSING = _("id {id!r} has no row for {answers}")
NEW_CLASS_NEVER = _("no training image is scored as the new class `{word}`: every class has images in two groups, and no row is labelled with it; a threshold for it cannot be fitted")
NEW_CLASS_SINGLES = _("{classes:class} {classes:has|have} one image or one group only ({images:image}): they train as their own class and are scored as the new class `{word}`, as are {given:image} labelled with it")
RANKS_EMPTY = _("no class is named")
RANKS_MANY = _("{n} classes, and at most {k} are asked for (competition.submission.k)")
RANKS_TWICE = _("a class is named twice")
RANKS_CONFIDENCE = _("a class is without a probability between 0 and 1")
WRITTEN_INDEX = _("1 column `{column}` = the number of the most probable class ({words})")
WRITTEN_NAME = _("1 column `{column}` = the most probable class ({words})")
COMMA_OR_LIST = _("{where}: `{cell}` may be one number with a decimal comma, or several answers, and the cells are separated by commas")
COMMA_REMEDY = _("if it is a number, write decimal points, or separate the cells of the file by semicolons")
DECIMAL_POINTS = _("numbers have decimal points, e.g. {cell}; the sample's have decimal commas")
WRITTEN_COPIED = _("; copied from the sample: {columns}")

# Notes about the folds.
EXTRA = _("{images} images from elsewhere join every training part")
EXTRA_LEFT_OUT = _("; {times} times an image is left out, because its group is in the validation part")
REPEATED = _("{repeats} × {n} folds: an image's {repeats} predictions are averaged")
REPEAT, HOLDOUT = _("repeat {repeat}: {note}"), _("hold-out: {images} of {all} images validate ({share:.0%})")
BOOTSTRAP = _("{draws} bootstrap draws of {groups} groups: an image's out-of-bag predictions are averaged")
BOOTSTRAP_NEVER = _("; {images} of {all:image} {images:was|were} never out of a bag and {images:is|are} not scored")
COLUMN = _("folds from column `{column}`: {values}")
COLUMN_EMPTY = _("{images} of {all:image} {images:has no fold: it is|have no fold: they are} in every training part and {images:is|are} not scored")
RANGE_ALL, RANGE_BELOW = _("{name}"), _("{name} below {high:.4g}")
RANGE, RANGE_FROM = _("{name} {low:.4g} to {high:.4g}"), _("{name} from {low:.4g}")
SINGLE_IMAGES = _("{classes:class} {classes:has|have} a single image, which is in every training part and never validates ({names}); folds.singles=validate scores such images by models that never saw their class")
CLASSES_MORE = _("and {classes:other class} with fewer groups than folds; folds.html lists all")
CLASSES_EMPTY_MORE = _("and {classes:other class} without a training image")
CLASS_EMPTY = _("class {name}: no training image; no fold trains or validates it")
CLASS_FEW_GROUPS = _("class {name}: {groups:group} for {n:fold} (fallback `spread`): validated by fold {inside} and never by {without}")
CLASS_ONE_GROUP = _("; fold {inside} trains without it")
CLASS_UNVALIDATED = _("class {name}: {groups:group}, but fold {without} does not validate it")

# Checks of a fold plan: what is wrong, and what to do.
STRADDLING = "{groups:group} {groups:is|are} in the training and the validation part of one fold ({some})"
STRADDLING_SOME = "{group} in fold {fold}"
STRADDLING_REMEDY = "scores are too optimistic: choose folds.kind=stratified_group, or fix the column"
UNTRAINED = "class {name}: fold {folds} validates it, but its training part has no image of it"
UNTRAINED_REMEDY = "it needs images of more groups, or a lower folds.n"
UNVALIDATED = "class {name}: no fold validates it ({groups:group})"
UNVALIDATED_MORE = "{classes:other class} that no fold validates"
UNVALIDATED_REMEDY = "its F1 is unknown: choose folds.kind=stratified_group, or another seed"
LOPSIDED = "fold {folds}: {name} is distributed differently than in all images; the largest difference is in fold {fold} ({gap:.0%}; {share})"
LOPSIDED_SHARE = "{value} {here:.0%} instead of {all:.0%}"
LOPSIDED_REMEDY = "use the pooled score; another folds.seed or fewer folds may distribute it more evenly"
UNEVEN = "fold {fold} validates {images:image}; the mean is {mean:.0f}"
UNEVEN_REMEDY = "its score has the same weight as that of a larger fold: use the pooled score"
CHECK_LINE = "{severity}: {text}; {remedy}"

# The page of the folds.
PAGE_TITLE, PAGE_FAULTY = "{title}: folds", "{folds}, {faults}: scores on this plan are wrong"
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
HINT, GUESS = _("  hint: {hint}"), _("  {setting}  {value}: {why}")
NOTHING_GIVEN, MORE_VALUES = _("none"), _(", … ({n} in all)")
TRY_AGAIN = _("{path} is written, so run make eda to try again")
NO_KIND, ONE_OF = _("TARGET={target}: there is no such kind of target"), _("choose one of {known}")
NEW_TAKEN = _("{path}: there is already a competition of this name; it is not changed")
NEW_TAKEN_REMEDY = _("choose another NAME, or move that file away")
NEW_NOT_WRITTEN = _("{path}: cannot be written: {why}")
NEW_NAME_FAULT, NEW_NAME_REMEDY = _("NAME={name}: {fault}"), _("e.g. NAME=pets")

# `make new`: the result of trying the file.
READ = _("{images:,training image} in {classes:class} and {groups:,group}, {test:,} test images")
READ_OTHER = _("{images:,training image} with {what} in {groups:,group}, {test:,} test images")
READ_LABELS = _("{labels:label} ({each:.1f} hold in an image on average)")
READ_VALUES, READ_SHARES = _("{labels:value} ({ranges})"), _("{labels:share}")
RARE_LABELS = _("labels that fewer than {limit} training images have: {classes}")
RARE = _("classes with fewer than {limit} training images: {classes}")

# `make new`: tables and columns.
ROWS, HEADERLESS = _("{rows:,row}"), "the first line names an image, so it is a row and no header"
ENCODING_GIVEN = _("tables that are not UTF-8 are in this encoding")
IMAGES_HERE, LEADS_TO_IMAGES = _("the images are found there"), _("leads to the images{share}")
SOME_EXIST = _("; only {share:.0%} of those that were tried exist")
LEADS_TO_TEST_IMAGES, UNIQUE = _("leads to the test images"), _("a different value in each of {rows:,} rows")
NOT_UNIQUE = _("; not {column}, where {value!r} occurs {times} times")
SAMPLE_ID, BY_NAME = _("the sample's id column; {unique}"), _("by its name")
BY_NAME_TOO, IMAGE_NAMES = _("by its name; {text}"), _("the names of the images; {unique}")
GROUP_COUNT, LABEL_GIVEN = _("{groups:,} different values for {images:,} images"), _("given as LABEL")
PATTERN = _("{part}: {groups:,} groups for {images:,} images; {examples}")
GROUP_EXAMPLE, GROUP_UNKNOWN = _("{path} is of {group}"), _(", unknown in {rows:,row}")
GROUP_IS_ANSWER = _("{column} is not the group: each class has one value of it only, so it is the answer")
HOST_SPLITS = _("{column} says which rows the host trains and tests on ({values}), but all rows of TRAIN are trained on: write the others to a table of their own, TEST")
HOST_SPLIT_EMPTY = _("{rows:,} rows have no label, and their `{column}` is {values}: they are the test set")
HOST_SPLIT_REMEDY = _("write these rows to a table of their own, and give it: TEST=test.csv")
JOIN_TABLES = _("if another table holds the names of the images, join the two first (pandas.merge), and give the result as TRAIN")
HOST_FOLDS = _("{column} may be the host's folds: folds.kind=column folds.column={column} folds.n={folds}")
LABEL_IN_SAMPLE = _("the sample's answer column has the same name")
LABEL_SEVERAL_IN_SAMPLE = _("the sample's answer columns have the same names")
LABEL_VALUES = _("its values are the sample's columns")
LABEL_HOLDS = _("the only column that holds the sample's answers")
LABEL_JOINED = _("the sample's answers are their values with {separator!r} between them")
LABEL_ABSENT, LABEL_VALUES_WHY = _("the only column that {test} lacks"), _("{why}; {found}")
NUMBERS_GUESS = _("{why}; a guess: {found}; if they are classes: TARGET=exclusive LABEL={column}")
LABEL_WORDS = _("the words of its cells are the sample's columns")
LABEL_WORDS_WHY = _("{why}; its cells hold several words, e.g. {cell!r}")
LABEL_IN_COLUMNS = _("the sample's columns are its name and its values")
LABEL_MARKS_WHY = _("{why}; {found}")
LABEL_SHARES = _("numbers that sum to the same in each row, or whose answers sum to 1: shares of the row")
LABEL_SEVERAL_VALUES = _("columns of numbers")
LABEL_BLOCKS = _("{why}; of these columns exactly one is 1 in every row, so they are the levels of a label: {blocks}")
LABEL_LEVELS = _("each column by itself, because {count:,} combinations are many for {rows:,} images")
TARGETS = {
    "labels": _("several labels may hold for an image, or none"),
    "values": _("the answer is a number"),
    "shares": _("the answer is a share of each class"),
}
UNKNOWN_CELLS = _("such cells are taken as unknown, like empty ones; as levels of their own they would be values of the attribute")
LABEL_TARGET = _("given as TARGET")
TARGET_GIVEN = _("{table}: columns {columns}: TARGET={target} does not fit their cells")
TARGET_NUMBERS = _("values are numbers: correct the cells, or name another TARGET")
TARGET_SHARES = _("shares are several columns of numbers from 0 up: name them, LABEL=a,b,c")
LABEL_ONE_HOT = _("each row has a 1 in exactly one of these columns")
LABEL_ONLY_ONE = _("a guess: the only column besides the images")
LABEL_PAIRS = _("{why}, and asks for a probability of each")
LABEL_MARKS = _("a guess: columns of 0 and 1")
ABSENT_CELL = _("no cell is 0, so that {cell} says that a label does not hold")
EMPTY_CELL = _("an empty cell")
LABEL_ONLY = _("a guess: the only column with few different values")

# What cannot be predicted; its kinds are in `data/new/texts.py`.
NOT_YET_REMEDY = _("Podium predicts classes, labels that hold together, values and shares of the whole image (docs/targets.md)")
ONE_NUMBER = _("the sample's answers are {cells}, and the label's values {values}")
CELL = _("e.g. {cell!r}")
STRUCTURED_REMEDY = _("write the label from these cells{fields} as a column of its own, and name it: LABEL=…")
STRUCTURED_FIELDS = _(" (fields: {fields})")
THOUSANDS_REMEDY = _("write plain numbers, as 1250, into a copy of the table")
UNITS_REMEDY = _("write the numbers without their unit into a copy of the table; where the host wants the unit in the answers, add it to the submission")
VALUES_FOUND = _("numbers such as {values}")
NUMBERS_FOUND = _("{count:,} different whole numbers, {values}")
NOT_ONE_HOT = _("in {rows:,} of {all:,} rows, none or several of these columns are 1")
UNFILLED = _("nothing in {table} fills {columns}")
OTHER_COLUMNS = _("the labels are {columns}")
OTHER_CLASSES = _("the classes are {values}")
LONG_FOUND = _("{rows:,} rows for {images:,} images{part}")
LONG_PART = _("; `{column}` says which answer: {values}")
SEVERAL_IMAGES_FOUND = _("{table} has {rows:,} images for {ids:,} values of `{column}`")
IMAGES_UNUSED = _("the test table has no images of {columns}; only those of {used} are used")
SAMPLE_COLUMNS_REMEDY = _("add a column like `{column}` to the training table, with the name of the sample of each image")
REPEATED_IDS = _("{rows:,} rows, and only {ids:,} values of `{column}`")
LONG_REMEDY = _("check that SAMPLE is the host's sample submission, with one row per image")

# The host's form.
OPEN = _("open: see the question below")
OR, TRAINING_DATA = _(" or "), _("the training data")
QUESTION_POSITIVE = _("which class is meant by one probability in the sample's column `{column}`: {values}? Set {choices} (if the host scores hard labels: competition.submission.format=class_name, without positive)")
QUESTION_COLUMNS = _("which of the sample's columns ({columns}) belongs to which class ({values})?")
QUESTION_WORDS = _("what does the host call the classes? The sample's column `{column}` holds {cells}, and the label holds {values}")
WORDS_UNCLEAR = _("the column `{column}` holds {cells}, and the label holds {values}")
QUESTION_ATTRIBUTES = _("what does the host call the values? In the sample, {columns}")
QUESTION_PRODUCT = _("what does the host call the combinations of {columns}? The sample's column `{column}` holds {cells}")
CHOOSE = _("read the host's rules, and write the lines of one answer in place of `{old}`:")
CHOICE_POSITIVE = _("the probability of {value}:")
CHOICE_HARD = _("the most probable class and no probability (`metric` is then `accuracy` or `macro_f1`, rather than `auc`):")
CHOICE_COLUMNS = _("the column of each class, of the sample's {columns}:")
CHOICE_AS_THEY_ARE = _("the classes as they are:")
CHOICE_WORDS = _("the host's words, one for each of {values}, in this order:")
CHOICE_ANY_OF = _("the probability that an image is one of these classes; remove those that are not meant (`metric` is then `auc`, rather):")
CHOICE_INDEX = _("numbers from 0, where the last of {columns} runs fastest:")
CHOICE_JOINED = _("the values with a text between them:")
QUESTION_NEW_CLASS = _("is `{word}` the answer for images of none of the known classes? The sample names it beside known classes, and no training row has it: write competition.new_class: {value} with decision.steps: [new_class] if it is, and competition.new_class: null if it is a class without training images, which is never answered")
NEW_IN_SAMPLE = _("the sample names it beside known classes, and no training row has it; classes of one image are scored as it")
NEW_IN_TABLE = _("a guess: its name says none of the known classes, and it has {images} images, far more than any other class")
NEW_CLASS_STEP = _("answers the new class by a threshold, fitted out of fold; kept only where the cross-fitted score is better")
NEW_CLASS_HINT = _("if `{word}` means none of the known classes: competition.new_class={word} decision.steps=[new_class]")
NEVER_TRAINED = _("the sample names {n} classes that no training row has ({words}): they are never answered")
MANY_CLASSES = _("many classes with few images each: angles between features and the nearest training images, see docs/training.md; no download")
MANY_WEIGHED = _("fitting weights takes many minutes with so many classes; ensemble.method=weighted does it")
MANY_CLASSES_HINT = _("to train a network on them, too: ensemble.members=[probe_arcface,knn,arcface]")
TO_FILL, ASK = "…", _("question: {question}")
ASK_IN = _("until it is answered in {path}, every other command refuses this competition")
COLUMN_PER_ATTRIBUTE = _("the sample has one column per label")
ATTRIBUTE_PLACEHOLDER = _("{why}; a guess: {cells}: placeholders and no labels; the training table's values are written")
JOINED = _("the sample's answers are joined by {separator!r}")
PROBABILITY = _("the sample has one column of numbers, and there are two classes")
PROBABILITY_GUESS = _("a guess: the sample has one column with one number, and there are two classes; if the host scores hard labels: class_name, without positive")
SAMPLE_WORDS = _("the sample writes the label's values in this way")
SAMPLE_MAP = _("the sample has other words, and {table} pairs them with the label's values")
SAMPLE_PLACEHOLDER = _("a guess: the sample's {cell} is a placeholder and no label; the training table's values are written")
SAMPLE_BLANK = _("a guess: the sample's answers are empty; the label's values are written")
COPIED = _("these columns of the sample say something about the images")
NUMBER_HINT = _("{column}: a number; as an attribute it needs bins, e.g. bins: [{middle}]")
GROUP_CODED = _("a guess, because images share such codes: {why}; null if they have nothing in common")
GROUP_GIVEN, GROUP_IN_NAMES = _("given as GROUP"), _("set competition.group_pattern in the file that is written")
NO_GROUP = _("nothing looks like a group; every image is its own group")
GROUP_COLUMN_HINT = _("could also be the group: group_column: {column} ({why})")
GROUP_PATTERN_HINT = _("could also be the group: group_pattern: '{pattern}' ({why})")
FOLDER_OF_ONE = _("the folder of a person")
PARTS_OF_NAMES = (
    _("letters and digits before the first _ or - of the file name"),
    _("the file name up to its first number"),
    _("the text before the first _ or - of the file name"),
    _("the text before the last _ or - of the file name"),
    _("the folder of the file"),
)
THRESHOLDS = _("one half is rarely the best threshold of a rare label; kept only where the cross-fitted score is better")
LONG_TABLE = _("the training table has a row for each image and answer, e.g. {key!r}")
SAME_PICTURE = _("the name of the file, because files of one name in several folders show nearly the same picture")
MISS_TWICE = _("; {name!r} is in several folders: {places}")
MISS_ALL = _("column {column!r}, e.g. {first!r}: none of its rows leads to an image")
MISS_NEAR = _("column {column!r}: its cells are parts of the names of images, as {cell!r} of {image!r}; write the whole names into a column of their own")
NO_ROOT_REMEDY = _("there is no folder {root}: say where the files of the competition lie on this machine, competition.root=FOLDER")
MISS_SOME = _("column {column!r}: {found} of {tried} rows that were tried lead to images in {folder}; {lost!r} does not")

# `make new`: labels in file names.
NAMED_IMAGES = _("{images:,image} without class folders")
NAME_PATTERN = _("a guess: {count} labels in the names, e.g. {examples}")
NAME_EXAMPLE = _("{path} is {label}")
NAME_LABELS = _("the labels in the file names")

# `make new`: a folder per class.
CLASS_FOLDERS = _("{folders:folder} with {images:,image}, and no TRAIN table")
WHICH_FOLDERS = _("{folder}: its folders ({folders}) hold the same folders each ({below}), and nothing tells which of both are the classes")
WHICH_FOLDERS_REMEDY = _("give the host's sample, whose answers show it (SAMPLE=…), or a table with the path and the label of each image (TRAIN=…)")
FOLDERS_IN_EVERY = _("the sample's answers are the folders {below}, which the folders {folders} hold")
FOLDERS_BELOW = _("the folders {folders} are taken as the classes, and the folders in them ({below}) are not looked at; if those are the classes, give a table with the path and the label of each image (TRAIN=…)")
TOP_GROUP = _("the folder above the classes: {groups:group} for {images:,image}")
SPLIT_UNUSED = _("{folder} is another split with {images:,image} and is not used: give it as TEST, or as a source of extra images (competition.extra)")
EACH_FOLDER = _("each folder in it is a class")
FOLDER_NAMES = _("the names of the folders")

# `make new`: the host.
TEST_FOLDER = _("TEST is a folder: every image in it")
HELD_OUT_TEST = _("no TEST and no SAMPLE: training images are held out as the test set, and make score knows their answers")
TEST_FROM_SAMPLE = _("no TEST table: the sample lists the images")
TEST_IDS_FROM_SAMPLE = _("the sample's ids name the same images, and {test} does not have them")
NO_SAMPLE = _("none given: one is made from the test ids")
READABLE = _("a guess, because there is no SAMPLE: names are readable; hold the first lines against the host's rules")
SHARES_TOTAL = _("the shares of a row sum to {total:g} in the sample, as in the training table")
QUESTION_TOTAL = _("what do the shares of a row sum to? {total:g} in the training table; the sample's columns {columns} hold {cell}")
CHOICE_TOTAL = _("shares that sum to {total:g}, as in the training table")
CHOICE_ONE = _("shares that sum to 1")
COLUMN_PER_SHARE = _("the sample has one column per share")
COLUMN_PER_VALUE = _("the sample has one column per value")
COLUMN_PER_LEVEL = _("the sample has one column per level of each label")
SAMPLE_NUMBER = _("the label is a number, and the sample has one column for it")
VALUE_AS_WORD = _("{table}: column `{column}` holds {cell!r}, and the label holds numbers")
VALUE_AS_WORD_REMEDY = _("give the host's sample; or say that the label holds classes: TARGET=exclusive")
LABEL_PROBABILITIES = _("the sample has one column of decimals per label")
LABEL_HARD = _("the sample has one column of labels that hold or not per label")
LABEL_LEVEL = _("the sample has one column per label, with its level")
OTHER_LEVELS = _("{table}: the answers of column `{column}` ({cells}) are not the values of its label")
OTHER_LEVELS_REMEDY = _("give the host's sample with answers as the training table writes them, or write competition.submission by hand (docs/targets.md)")
SAMPLE_LABEL_WORDS = _("the sample's answers are words of labels")
SAMPLE_WORDS_PLACEHOLDER = _("a guess: the sample's {cell!r} is a placeholder; the words of the labels that hold are written as in the training table")
OTHER_WORDS = _("{where}: its answers ({cells}) are not words of the labels ({words})")
SAMPLE_RANKS = _("the sample's answers name {k} classes each, e.g. {cell!r}")
SAMPLE_CONFIDENCE = _("the sample's answers are a class with its confidence")
ROWS_OF_ANSWERS = _("an image has a row for each of its answers")
SAMPLE_LONG = _("long form: a row of the sample is one answer for one image, e.g. {key!r}")
NOTHING = _("(nothing)")
QUESTION_LABELS = _("what does the host want for each label? The sample's columns {columns} hold {cell} only, which may be a probability or a label that does not hold")
CHOICE_LABEL_PROBABILITIES = _("the probability of each label:")
CHOICE_LABEL_HARD = _("whether each label holds (`metric` is then `macro_f1` or the like, rather than `auc`):")
QUESTION_SEPARATOR = _("how are labels written in the sample's column `{column}`, which holds {cell}? They are {words}")
CHOICE_SEPARATOR = _("words with {separator!r} between them:")
COLUMN_PER_CLASS = _("the sample has one column per class")
SAMPLE_VALUES = _("the sample's answers are values of the label")
SAMPLE_IDS = _("the sample's column of ids")
SAMPLE_ANSWER = _("the sample's answer column")
METRIC_VALUES = _("a guess, because the answers are numbers: read the host's rules")
METRIC_SHARES = _("a guess, because the answers are shares: read the host's rules")
METRIC_WORDS = _("a guess, the mean F1 of the rows, because an answer is a list of words: read the host's rules")
METRIC_LABELS = _("a guess, because each label is answered by itself: read the host's rules")
METRIC_LEVELS = _("a guess, because the sample asks for the probability of each level: read the host's rules")
METRIC_LABEL_PROBABILITIES = _("a guess, the mean over the labels, because the sample may ask for probabilities: read the host's rules")
METRIC_RANKS = _("a guess, because an answer ranks several classes: read the host's rules")
METRIC_PROBABILITIES = _("a guess, because the sample asks for probabilities: read the host's rules")
METRIC_PROBABILITY = _("a guess, because the sample asks for one probability: read the host's rules")
METRIC_GRADES = _("a guess, because the classes are ordered grades: read the host's rules")
METRIC_IMBALANCED = _("a guess, because classes are imbalanced, {ratio:.1f} : 1: read the host's rules")
METRIC_BALANCED = _("a guess, because classes are balanced, {ratio:.1f} : 1: read the host's rules")

# `make new`: sizes, folds and members.
SIZE = _("the median of the shorter side is {side:.0f} px{larger}")
SIZE_LARGER = _("; a larger size often scores higher, and takes more time")
RESIZE = _("width : height ranges from {low:.2f} to {high:.2f}")
NO_DOWNLOAD = _("they need no download")
FEW_IMAGES = _("there are too few images for more folds")

# `make new`: the mask competition.
MASK_TREE = _("train/train.csv has {columns}, and train/images has one folder per person with mask1 …")
MASK_PEOPLE = _("{people:,} people")
MASK_GROUP = _("photos of one person (one folder) are never on both sides of a split")
MASK_LABEL = _("label = mask · 6 + gender · 3 + age")
MASK_METRIC = _("the metric of the competition")
MASK_HOLDOUT = _("there is no eval/info.csv: people are held out as a test set")
MASK_SIZE = _("the photos are 384 × 512; a larger size often scores higher, and takes more time")
MASK_BINS_HINT = _("train_bins: [30.0, 58.0] below bins trains 58 and 59 as >=60; scores still use 60")

# Images that are not image files.
NO_PACKAGE = _("{file}: the package {package} reads it, and is not installed")
NO_PACKAGE_REMEDY = _("pip install 'podium[{extra}]', or {extra}'s packages into the environment that make install prints")
NO_READER = _("nothing reads several images from it; what is read: {known}")
NO_NUMBERS = _("it holds {kind} and not numbers")
NO_NUMBER = _("{columns:cell} of its row {columns:is|are} not numeric (first: column {column!r}, {cell!r})")
NO_VALUES = _("it holds no value")
MANY_AXES = _("its shape is {shape}, which is no image of one or several bands: write the slices or frames as images of their own")
OTHER_SHAPE = _("it has {numbers:,} numbers, and images.shape={shape} has {wanted:,}")
OTHER_COUNT = _("it has {numbers:,} numbers, and the first row has {first:,}")
NO_SHAPE = _("{numbers:,} numbers are no square image of one band: set images.shape, e.g. {shapes}")
NO_BAND = _("images.bands={bands} names a band that it lacks: it has {count}, counted from 0")
MANY_BANDS = _("it has {count} bands: set those that become red, green and blue, e.g. images.bands=[0,1,2]")
OTHER_BANDS = _("it has {count:band}, and images.channels={channels}: set images.channels={count}, or name the bands in images.bands")
FILES_IN_FILE = _("competition.{setting} needs a folder of image files, and {file} is a file of several images")
FILES_ARE_CHANNELS = _("a guess by the names: the files {files} are channels of one image")
FILES_ARE_IMAGES = _("a guess by the names: the files {files} are images of one sample; if they are channels of one image: competition.channel_files, and images.channels")
METADATA_WHY = _("{table} has them, too, so heads and networks may read them beside the images: {columns}")
SIDES_HINT = _("if {one} and {other} are sides of the image, a mirrored one has them the other way round: write forbids: [hflip] for both, and choose a policy and views without it")
METADATA_HINT = _("could be metadata, if the test set has them, too: metadata: [{{column: …, kind: number}}], of {columns}")
METADATA_ODD = {
    "missing": _("{column}: no row has a value, so it is no metadata"),
    "constant": _("{column}: all rows have the same value, so it is no metadata"),
    "label": _("{column}: it is the label in other words; as metadata it would be the answer itself"),
    "images": _("{column}: it differs between the images of a sample, and metadata are about a sample as a whole"),
    "untested": _("{column}: the test table has no value of it, so it is no metadata"),
    "group": _("{column}: who or what is on the images, which new samples do not share; it is no metadata"),
}
METADATA_NUMBER = _("metadata {column}: {cell!r} is no number; kind: category takes words")
ODD_METADATA = {
    "missing": _("metadata {column}: no training row has a value; leave the column out"),
    "constant": _("metadata {column}: all training rows have the same value, which says nothing; leave the column out"),
    "label": _("warning: metadata {column} is the label in other words: each class has one value of it; is it known when the host asks?"),
}
FILES_BESIDE = _("files of the same names are in the folders {folders}; if they are images of one sample: images_per_sample: {{files: {files}}}, with the folder above as train_images")
CHANNEL_EACH = _("a channel for each of these files")
COLUMNS_OF_IMAGES = _("each of these columns leads to an image of the row, e.g. {first!r} and {second!r}")
ROWS_ARE_IMAGES = _("{table} has {rows:,} images for {ids:,} values of `{column}`, and the host asks for an answer for each value")
ARRAYS_OF_BANDS = _("the files hold {count:band}; images.bands chooses some of them")
MANY_BANDS_HINT = _("the files hold {count} bands, more than a network takes: choose them, e.g. images.bands: [0, 1, 2]")
PAGES_ARE_CHANNELS = _("a guess: each file has {count:page} in grey and of one size, which are channels of one image")
PAGES_ARE_IMAGES = _("a guess: files have up to {most} pages, which are images of one sample")
PAGE_IMAGE, PAGE_LEFT_OUT = _("an image of the sample"), _("left out but the first")
PAGES_COULD_BE = _("if pages are no such thing: {setting}; each page is then {what}")
NO_IMAGES_OF_SAMPLE = _("all of {columns} are empty: the sample has no image")
NO_FILES_OF_SAMPLE = _("no file fits {files} in {folder}")
EMPTY_SAMPLE = _("{columns} is empty, so it is not known which sample the image belongs to")
ROWS_OF_SAMPLES = _("{table}: {rows:,} images of {samples:,} samples, by {columns}")
SAMPLE_DIFFERS = _("{column} is {value!r}, and {other!r} in row {row} of the same sample")
FEWER_IMAGES = _("{samples:sample} {samples:has|have} not {wanted} images, which model.pool_images=concat needs")
FEWER_IMAGES_OF = _("{sample}: {images}")
FEWER_IMAGES_REMEDY = _("choose model.pool_images=mean, max or attention, which leave missing images out")
MANY_IMAGES = _("it has {images} images, more than {most}: set competition.images_per_sample.most")
BANDS_OF_SIZES = _("its {bands:band} differ in size ({sizes} px)")
EMPTY_FILE = _("the file is empty")
TIFF_BANDS = _("it is a TIFF of {count:band}: set images.channels={count}, or images.bands to those that become red, green and blue")
AUGMENT_LEFT_OUT = _("augmentation policy {policy}: left out, because they are about red, green and blue, and images.channels={channels}: {names}")
BANDS_DIFFER = _("the bands in {columns} have different shapes")
DAMAGED = _("damaged, or no {kind} file ({why})")
DICOM_DAMAGED = _("damaged, or compressed in a way that no installed decoder reads ({why}); pylibjpeg and its plug-ins read more")
SEVERAL_ARRAYS = _("it holds several arrays ({names}): set images.key to the one that is the image")
CUT_OFF = _("it is cut off")
NO_KEY = _("it holds nothing of the name {key!r} (images.key); there is: {there}")
NO_ROWS = _("it has images by name, and none by number: images.key chooses an array of all images")
NO_NAMES = _("it has images by number, and none by name: set competition.path_column=row")
NO_PIXELS = _("no column holds pixels ({wanted}); there is: {columns}")
NO_PIXELS_LIKE = _("64 or more columns of one name with a number, or cells of 64 or more numbers")
NO_PIXELS_REMEDY = _("set images.columns to the names or patterns of the columns of pixels, e.g. [pixel*]")
NAMES_TWICE = _("{count:value} of column {key!r} (images.key) {count:is|are} empty or {count:occurs|occur} twice")
NOT_IN_FILE = _("there is no image '{name}' in {file}")
NO_RECORDS = _("it is no table: a list of rows, or columns of equal length, is expected")
NO_RECORDS_REMEDY = _("write a row per image, as pandas.DataFrame.to_json(orient='records') or to_parquet does")
MISSING_FIELD = _("row {row}: without {columns}")
RAGGED_RECORDS = _("{rows:row} {rows:lacks|lack} columns that others have")
HELD_PIXELS = _("the table holds the images themselves: {held}")
HELD_IN = _("the images are in this file, under the names in the table")
NO_IMAGES_AND = _("{table}: no column leads to images, and {why}")
QUESTION_SHAPE = _("what is the shape of an image? {held}, and {fault}")
ROW_NUMBER = _("the number of the row, because no column names the images")
PIXEL_CELLS = _("it holds the pixels themselves, {numbers:,} numbers in each cell of column {column!r}")
ENCODED_CELLS = _("it holds encoded images in column {columns!r}")
PIXEL_COLUMNS = _("it holds the pixels themselves, in {columns:,} columns of numbers, {first!r} … {last!r}")
PIXELS_REMEDY = _("columns of pixels are recognised by one name with a running number (pixel0, pixel1, …): rename them, or write each row as a PNG and a CSV of id, path and label")
CONTAINERS = _("{files:,file} of the kind `{what}`: {remedy}")
DEVICE_CANNOT = "augment: policy {policy} runs on the CPU, because the GPU's engine cannot do {reasons}"
DEVICE_COPIES_OF_DETAIL = "augment: images.store_px with resample.copies runs on the CPU, because the GPU's engine has one policy then"
DEVICE_ARGUMENT = "{argument}={value}"
DEVICE_CHANNELS = "needs 3 channels, and the images have {channels}"
DEVICE_SQUARE = "needs square images, and these are {height} × {width} px"
DEVICE_TAPS = "a kernel that reaches {taps} px far; {most} are possible"
DEVICE_HOLES = "{holes} holes; {most} are possible"
DEVICE_OWN = "your own function {policy}"
IMAGES_PINNED = _("the prepared images ({gigabytes} GB) are more than {share:g} of the GPU's free memory (runtime.images_share): batches are copied to it one by one, with the same results")
IMAGES_NO_MEMORY = _("the GPU has too little memory for the prepared images: from now on batches are copied to it one by one, with the same results (runtime.images_share=0 does so from the start)")
ABSENT, PRESENT = _("no"), _("yes")
PATCHES_OF_VALUES = _("competition.label_patches corrects classes and labels, not target={target}: correct the table itself, or remove the setting")
ALWAYS_HOLD = _("{table}: {labels} hold in every row where they are known, so that nothing can be learned of them: if an empty cell means that a label does not hold, write `values: ['', '1']`")
NEVER_KNOWN = _("no row knows {names}: every cell is empty or means unknown (competition.unknown_labels)")
UNKNOWN_TRUTH = _("{table}: {cells:cell} in {rows:row} {cells:is|are} empty: unknown, neither trained nor scored")
UNKNOWN_WORD = _("add it to competition.attributes, or to competition.no_labels if it says that none holds")

# Tables for team mates.

UNKNOWN_ENDING = _("{path}: a table ends in one of {endings}")
ENDING_REMEDY = _("give OUT a name such as mine.csv or mine.parquet")
FOLDS_WRITTEN = _("{path}: the fold of {images:image}, {folds:fold}")
FOLDS_SEVERAL = _("; {images:image} {images:is|are} in several validation parts, of which the first is written")
FOLDS_NONE = _("; {images:image} {images:is|are} in no validation part: fold -1")
IMAGE_OF_SAMPLE = _("{sample}, image {number}")
IMAGE_TABLE = _("{table} has {rows:,} images, whose `{key}` is the `{column}` of the samples")
IMAGE_TABLE_TEST = _("the images of the test set")
IMAGE_TABLE_UNUSED = _("columns of {table} that are about single images are not used: {columns}")
NOT_IMAGE_TABLE = _("IMAGE_TABLE={path}: it is no table of images of the samples of {table}")
NOT_IMAGE_TABLE_REMEDY = _("it needs a column that leads to images, and one that names the samples as a column of the table of labels, of which every row is another sample")
NAMES_SAMPLES = _("names the samples, whose images another table lists")
NO_ROWS_OF_SAMPLE = _("no row of {table} has {key}={name}")
MIRROR_SIDES = _("left and right are among the answers, and a mirror swaps them")
MIRROR_SIGNS = _("a guess: the numbers of {column} lie on both sides of 0, and a mirror may turn their signs")
MIRROR_NAME = _("a guess: `{word}` is in the name of the label, and a mirrored picture may have another answer")
MIRROR_VIEWS = _("views of test-time augmentation without mirrors")
MIRROR_PROBES = _("heads on frozen features train on the same views")
ODD_PAIR = _("{columns} sum to {total:.4g}, not 1")
