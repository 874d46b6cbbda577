"""Texts of the data report's findings: a headline, what it means, and what to do about it.

Owns the words, with named placeholders. Does not own when they apply (`eda/findings.py`) nor the page around
them (`eda/templates/explore.html`). Text in backticks is shown as code.
"""

from typing import NamedTuple

from pipeline.core.language import Text, _


class Noun(NamedTuple):
    """What the rows of the table of classes are called, and the texts that say so."""

    one: str
    many: str
    capital: str
    counted: str
    means: str
    sheets: str
    ratio: str
    average: str



NOTHING_TO_DO = _("Nothing to do.")
NO_FINDING = "no harmful finding"
STAGE_WHAT = "{train} training and {test} test images"
STAGE_NEXT = "make resample, then make train"
STAGE_LINE = _("{severity}: {headline}")
STAGE_REASON = "{severity}: {headline} ({answer})"
NAMES_AND_MORE = _("{names} and {rest:,} more")

# Copies: `sets` is "3 sets". Each kind of harm: where, what it means, what to do.
COPIES_HEADLINE = _("{sets} of {what} {where}")
IDENTICAL, NEAR = _("identical images"), _("near-duplicates")
NEAR_MEANING = _("These may be resized, recompressed or cropped copies, one thing photographed twice, or two things that look alike: check the pictures first. What follows holds if they are copies. {meaning}")
CONFLICT = (
    _("with different labels"),
    _("At least one label of each set is wrong, and no model can be right on all of its images."),
    _("Check the pictures, then correct the training table or drop the rows; `suspects.csv` lists them."),
)
TRAIN_TEST = (
    _("in both train and test"),
    _("The model is trained on these test images with their answers: the leaderboard score is too optimistic there."),
    _("Read the competition's rules before you use this; the gain does not mean that the model is better."),
)
ACROSS_GROUPS = (
    _("across groups"),
    _("One copy may be in the training part and the other in the validation part: the out-of-fold score is too optimistic."),
    _("Give them the same value in the column named by `competition.group_column`; `suspects.csv` lists them."),
)
INSIDE = (
    _("inside one group and class, or inside the test set"),
    _("They are never on both sides of a split; the repeated images only have more weight."),
    _("Nothing to do, or drop the copies from the training table."),
)

# Sizes.
ONE_SIZE = _("All images measure {size} px")
SIZES = _("Images come in {sizes}")
SIZES_MEANING = _("{share} measure {size} px; width : height ranges from {low:.2f} to {high:.2f}.")
SIZES_TEST_ONLY = _("{sizes} occur in the test set only.")
SIZES_SQUASHED = _("Squashing them to a square distorts shapes.")
SIZES_ANSWER = _("Try `images.resize=letterbox` or `images.resize=cover`.")

# Images that show nothing.
FLAT = _("{images} nearly one colour ({share} of all)")
FLAT_MEANING = _("Their grey values have a standard deviation below {limit:g} of 255, around a grey of {grey:.0f}: a model sees next to nothing. Most often values were scaled wrongly, or the files are masks with the values 0 and 1.")
FLAT_ANSWER = _("Look at the pictures. If the files hold more than 8 bits a channel (16-bit, float, CT), set the values that become black and white: `images.range=[BLACK,WHITE]`; otherwise rewrite the files so that they use 0 to 255.")

# Outliers: where, what it means, what to do.
OUTLIERS = _("{images} {where}")
OUTLIERS_COUNTED = _("{meaning} By measure: {counts}.")
ODD_LOW, ODD_HIGH, ODD_BOTH = _("{measure} {low:,} low"), _("{measure} {high:,} high"), _("{measure} {low:,} low and {high:,} high")
LOOK = (
    _("far from all others in brightness, contrast or sharpness"),
    _("More than {limit:g} robust standard deviations from the median: often blank, blurred, under-exposed or broken files."),
    _("Check them; if an image shows nothing, drop its row from the training table. `suspects.csv` lists them."),
)
SHAPE = (
    _("of a size or an aspect ratio far from all others"),
    _("More than {limit:g} robust standard deviations from the median: often thumbnails, banners, screenshots or scans among photographs."),
    _("Check them; `images.resize=letterbox` keeps shapes. `suspects.csv` lists them."),
)

# Train against test.
SHIFT_HOW = _("A classifier on {on} separates test from training images with an AUC of {auc:.2f} (with shuffled names it is below {chance:.2f} in 95 % of cases).")
NO_SHIFT = _("Train and test look alike (AUC {auc:.2f})")
SHIFT = _("The test set looks different from training (AUC {auc:.2f})")
SHIFT_MEANING = _("{how} Largest differences, train → test: {facts}. Out-of-fold scores do not show this.")
SHIFT_FACT = _("{fact} ({train:.4g} → {test:.4g})")
SHIFT_ANSWER = _("Choose an `augment.policy` that covers the difference, or remove it by preprocessing. The pictures are the test images that look least like training; section Shift also has training images.")

# Groups whose images disagree.
DISAGREE = _("{groups} with different values of {attribute}: {names}")
DISAGREE_MEANING = _("{attribute} is declared constant in a group, so some labels are wrong, or two things have the same group name.")
DISAGREE_ANSWER = _("Correct the training table (`suspects.csv` lists the images, rarest values first), or set `constant_in_group: false` for this attribute.")

# Rare classes.
EMPTY_CLASS = _("{classes} without a training image: {names}")
EMPTY_CLASS_MEANING = _("Such a class can never be predicted, and a macro average counts it as zero if the test set contains it.")
EMPTY_CLASS_ANSWER = _("Add images of it, or remove the combination from the competition's attributes.")
THIN_CLASS = _("{classes} {few}: {names}")
THIN_ONE_GROUP = _("of one group")
THIN_FEW_GROUPS = _("with fewer groups than the {folds} folds")
THIN_MEANING = _("Each is {share} of a macro score. Some folds cannot validate such a class.")
THIN_LONE = _("Each is {share} of a macro score. Some folds cannot validate such a class, and a class of one group is never in the training part where it is validated.")
THIN_ANSWER = _("Add images of it, or be careful with its F1.")
THIN_ANSWER_FOLDS = _("Try `folds.n={folds}`, and be careful with its F1.")

# Groups on both sides of a split.
GROUP_IN_FOLDS = _("{groups} on both sides of a fold: {names}")
GROUP_IN_FOLDS_MEANING = _("A model is validated on groups that it was trained on: the out-of-fold score is too optimistic.")
GROUP_IN_FOLDS_ANSWER = _("Use folds that keep groups together, e.g. `folds.kind=stratified_group`.")
GROUP_IN_TEST = _("{groups} in both train and test: {names}")
GROUP_IN_TEST_MEANING = _("{share} of the test images come from groups that are also in training; folds keep groups apart, so the out-of-fold score will be below the leaderboard score.")
GROUP_IN_TEST_ANSWER = _("Compare experiments by their out-of-fold score, and expect a gap.")

# Imbalance.
IMBALANCE = _("{what} are imbalanced, {ratio:.1f} : 1; the rarest, {name}, has {images} in {groups}")
BALANCE = _("{what} are balanced, {ratio:.1f} : 1; the rarest, {name}, has {images} in {groups}")
BALANCED_MEANING = _("Resampling can improve little here.")
IMBALANCE_MEANING = _("The F1 of the rarest class is {weight} of a macro score, but is based on {share} of the images.")
IMBALANCE_ATTRIBUTES = _("By attribute: {ratios}.")
IMBALANCE_ATTRIBUTE = _("{attribute} {ratio:.1f}\u00a0:\u00a01")
RESAMPLED_ANSWER = _("`resample.method={method}` is on: `make resample` shows the counts.")
IMBALANCE_ANSWER = _("Try `{command}`, and compare with `under`.")

# Labels that hold together, values and shares.
UNKNOWN = _("{share} of the truth is unknown; of {name} {most}")
UNKNOWN_MEANING = _("Unknown entries are neither trained nor scored. If hosts or radiologists leave out what they did not look for, what is known is no random part.")
UNKNOWN_ANSWER = _("Nothing to do if empty cells mean unknown. If they mean that a label does not hold, write 0 in the training table.")
ALWAYS = _("{labels} that no image lacks: {names}")
ALWAYS_MEANING = _("Nothing can be learned about such a label, and its AUC is undefined.")
ALWAYS_ANSWER = _("Check the column, or remove the label from the competition's attributes.")
TOGETHER = _("{pairs} of labels that nearly always hold together: {names}")
PAIR = _("{one} and {other}")
TOGETHER_MEANING = _("For a model they are one label with two columns.")
TOGETHER_ANSWER = _("Nothing to do if the host scores both; a decision that answers them alike loses nothing.")
LABELS_EACH = _("An image has {mean:.2f} labels on average, up to {most}; {none} none")
LABELS_EACH_MEANING = _("Images without a label teach what none of them looks like. If labels were forgotten, they teach the wrong thing.")
LABELS_EACH_ANSWER = _("Look at some of them: the pictures below.")
FAR = _("{values} of {name} far from all others: {shown}")
FAR_MEANING = _("More than {limit:g} robust standard deviations from the median {middle:.4g}. One such image outweighs many others in a squared error.")
FAR_ANSWER = _("Check them, and correct the training table; `suspects.csv` lists them. If they are right, try `loss.name=huber`.")
CLUMP = _("{share} of the images have {name} = {value:.4g}, the end of its range")
CLUMP_MEANING = _("Such a number often stands for a limit of the scale, or for something that was not measured.")
CLUMP_ANSWER = _("If it means unknown, name it in `competition.unknown_labels`.")
RANGE_OF = _("{name} goes from {low:.4g} to {high:.4g}, median {middle:.4g}, standard deviation {spread:.4g}")
LONG_TAIL = _("The upper tail is long: large values dominate a squared error.")
LONG_TAIL_ANSWER = _("Compare `loss.name=huber` with the default.")
MAJORITY = _("{images} no share above one half ({share})")
MAJORITY_MEANING = _("The answers of people differ there; the best prediction is the distribution, and not one class.")
CAPTION_NONE = _("no label")
CAPTION_VALUE = _("{name} {value:.4g}")
TOGETHER_PLOT = _("How often labels hold together")
TOGETHER_PLOT_TEXT = _("Of the images with the label of the row, the share that also has the label of the column.")
EACH_PLOT = _("Labels of an image")
VALUE_PLOT = _("Distribution of {name}")
# A row of the table of classes: one, several, at the beginning of a sentence, with a number, and its plots.
NOUNS = {
    "class": Noun(_("class"), _("classes"), _("Classes"), _("{n:,class}"), _("Mean image of every class"), _("Contact sheet of every class"), _("largest to smallest class"), _("The average of all training images of a class. If it shows a place, a frame or a colour instead of the thing, a model will learn that first.")),
    "label": Noun(_("label"), _("labels"), _("Labels"), _("{n:,label}"), _("Mean image of every label"), _("Contact sheet of every label"), _("largest to smallest label"), _("The average of all training images of a label. If it shows a place, a frame or a colour instead of the thing, a model will learn that first.")),
    "range": Noun(_("range of values"), _("ranges of values"), _("Ranges of values"), _("{n:,range of values}"), _("Mean image of every range of values"), _("Contact sheet of every range of values"), _("largest to smallest range of values"), _("The average of all training images of a range of values. If it shows a place, a frame or a colour instead of the thing, a model will learn that first.")),
}

# Groups, for information.
NO_GROUPS = _("Every image is a group of its own")
NO_GROUPS_MEANING = _("Folds treat images as independent. If several show one person or thing, scores are too optimistic.")
NO_GROUPS_ANSWER = _("Set `competition.group_column` if the table has such a column.")
GROUPS = _("{groups} groups contain {images} training images, up to {largest} each (median {median:.0f})")
GROUPS_INFO_MEANING = _("Images of a group resemble each other: with a random split, a model would recognise the group and the score would be too optimistic. Folds and intervals here keep groups together.")
GROUPS_INFO_ANSWER = _("Nothing to do. The pictures below are the largest group.")

# Titles of plots and headers of tables.
BALANCE_PLOT = _("Training images by {name}")
SIZES_PLOT = _("Most frequent sizes, px")
SIZES_PLOT_LABEL = _("Images by size, most frequent first")
ASPECT_PLOT = _("Aspect ratio")
ASPECT_PLOT_LABEL = _("Aspect ratio of the images")
ASPECT_AXIS = _("width ÷ height")
GROUPS_PLOT = _("Training groups by number of images")
GROUPS_PLOT_AXES = (_("images in a group"), _("share of groups"))
TEST_IMAGE = _("test image")
TITLE = _("{title}: the data")
ALL_ROWS, FIRST_ROWS = _("all {rows:row}"), _("the first {shown:row} of {rows:,}; all are in {file}")
ON = {"facts": _("image facts"), "features": _("image features")}
SEVERITIES = {"high": _("high"), "medium": _("medium"), "low": _("low"), "info": _("info")}
SPLITS = {"train": _("train"), "test": _("test")}
FOLD, MEAN_OF = _("fold {n}"), _("mean of {name}")
QUALITY = {
    "brightness": (_("Brightness of train and test images"), _("brightness: mean grey value")),
    "contrast": (_("Contrast of train and test images"), _("contrast: standard deviation of grey")),
    "blur": (_("Blur of train and test images"), _("blur: variance of the Laplacian (low is blurred)")),
}
MEASURES = {
    "brightness": _("brightness"), "contrast": _("contrast"), "sharpness": _("sharpness"), "blur": _("blur"), "size": _("size"), "aspect": _("aspect"),
    "width": _("width"), "height": _("height"), "blocks": _("blocks"),
}  # fmt: skip

# What a language other than English calls facts, where their names are short forms or common words.
FACTS = {"blur": _("sharpness"), "saturation": _("saturation"), "red": _("red minus green"), "blue": _("blue minus green"), "auc": _("AUC")}

# What to do where folders are the classes and there is no table, in the place of the answer for a table.
IN_FOLDERS = {
    CONFLICT[2]: _("Check the pictures, then move the images to the folder of their class (with `competition.label_pattern`: rename them), or remove them; `suspects.csv` lists them."),
    ACROSS_GROUPS[2]: _("Keep one image of each set and remove the others, or let `competition.group_pattern` find the same group in their paths; `suspects.csv` lists them."),
    INSIDE[2]: _("Nothing to do, or remove the copies from the folders."),
    LOOK[2]: _("Check them, and remove images that show nothing from the folders. `suspects.csv` lists them."),
    DISAGREE_ANSWER: _("Move the images to the folder of their class (`suspects.csv` lists them, rarest values first), or set `constant_in_group: false` for this attribute."),
    FAR_ANSWER: _("Check them, and rename or move the images whose value is wrong; `suspects.csv` lists them. If they are right, try `loss.name=huber`."),
    NO_GROUPS_ANSWER: _("Set `competition.group_pattern` if the paths of the images name their group, such as a person's number."),
}
# And where these settings solve a head, which takes no other loss.
FOR_SOLVED = {
    FAR_ANSWER: _("Check them, and correct the training table; `suspects.csv` lists them. If they are right, train a network with `loss.name=huber`: the solved head of these settings takes no other loss."),
    IN_FOLDERS[FAR_ANSWER]: _("Check them, and rename or move the images whose value is wrong; `suspects.csv` lists them. If they are right, train a network with `loss.name=huber`: the solved head of these settings takes no other loss."),
    LONG_TAIL_ANSWER: _("Compare a network with `loss.name=huber`; the solved head of these settings takes no other loss."),
}

# Headers of tables.
HEADERS = (
    _("class"), _("label"), _("images"), _("share"), _("groups"), _("group"), _("split"), _("fewest images"), _("median images"), _("most images"),
    _("copies"), _("labels conflict"), _("across groups"), _("train and test"), _("measure"), _("median"), _("5 % below"), _("5 % above"),
    _("value"), _("fact"), _("classes"), _("train images"), _("valid images"), _("train groups"), _("valid groups"),
)  # fmt: skip


def fact(name: str) -> str:
    """The name of a measured fact, which may be that of a column of the user's."""
    return Text(name, FACTS[name]) if name in FACTS else MEASURES.get(name, name)
