"""Texts of the data report's findings: a headline, what it means, and what to do about it.

Owns the words, with named placeholders. Does not own when they apply (`eda/findings.py`) nor the page around
them (`eda/templates/explore.html`). Text in backticks is shown as code.
"""

NOTHING_TO_DO = "Nothing to do."
NO_FINDING = "no harmful finding"
STAGE_WHAT = "{train} training and {test} test images"
STAGE_NEXT = "make resample, then make train"
STAGE_LINE = "{severity}: {headline}"
STAGE_REASON = "{severity}: {headline} ({answer})"
NAMES_AND_MORE = " and {rest:,} more"

# Copies: `sets` is "3 sets". Each kind of harm: where, what it means, what to do.
COPIES_HEADLINE = "{sets} of {what} {where}"
IDENTICAL, NEAR = "identical images", "near-duplicates"
NEAR_MEANING = "These may be resized, recompressed or cropped copies, one thing photographed twice, or two things that look alike: check the pictures first. If they are copies: {meaning}"
CONFLICT = (
    "with different labels",
    "At least one label of each set is wrong, and no model can be right on all of its images.",
    "Check the pictures, then correct the training table or drop the rows; `suspects.csv` lists them.",
)
TRAIN_TEST = (
    "in both train and test",
    "The model is trained on these test images with their answers: the leaderboard score is too optimistic there.",
    "Read the competition's rules before you use this; the gain does not mean that the model is better.",
)
ACROSS_GROUPS = (
    "across groups",
    "One copy may be in the training part and the other in the validation part: the out-of-fold score is too optimistic.",
    "Give them the same value in the column named by `competition.group_column`; `suspects.csv` lists them.",
)
INSIDE = (
    "inside one group and class, or inside the test set",
    "They are never on both sides of a split; the repeated images only have more weight.",
    "Nothing to do, or drop the copies from the training table.",
)

# Sizes.
ONE_SIZE = "All images measure {size} px"
SIZES = "Images come in {sizes}"
SIZES_MEANING = "{share} measure {size} px; width : height ranges from {low:.2f} to {high:.2f}."
SIZES_TEST_ONLY = " {sizes} occur in the test set only."
SIZES_SQUASHED = " Squashing them to a square distorts shapes."
SIZES_ANSWER = "Try `images.resize=letterbox` or `images.resize=cover`."

# Images that show nothing.
FLAT = "{images} nearly one colour ({share} of all)"
FLAT_MEANING = "Their grey values have a standard deviation below {limit:g} of 255, around a grey of {grey:.0f}: a model sees next to nothing. Most often values were scaled wrongly, or the files are masks with the values 0 and 1."
FLAT_ANSWER = "Look at the pictures. If the files hold more than 8 bits a channel (16-bit, float, CT), set the values that become black and white: `images.range=[BLACK,WHITE]`; otherwise rewrite the files so that they use 0 to 255."

# Outliers: where, what it means, what to do.
OUTLIERS = "{images} {where}"
OUTLIERS_COUNTED = "{meaning} By measure: {counts}."
LOOK = (
    "far from all others in brightness, contrast or sharpness",
    "More than {limit:g} robust standard deviations from the median: often blank, blurred, under-exposed or broken files.",
    "Check them; if an image shows nothing, drop its row from the training table. `suspects.csv` lists them.",
)
SHAPE = (
    "of a size or an aspect ratio far from all others",
    "More than {limit:g} robust standard deviations from the median: often thumbnails, banners, screenshots or scans among photographs.",
    "Check them; `images.resize=letterbox` keeps shapes. `suspects.csv` lists them.",
)

# Train against test.
SHIFT_HOW = "A classifier on image {on} separates test from training images with an AUC of {auc:.2f} (with shuffled names it is below {chance:.2f} in 95 % of cases)."
NO_SHIFT = "Train and test look alike (AUC {auc:.2f})"
SHIFT = "The test set looks different from training (AUC {auc:.2f})"
SHIFT_MEANING = "{how} Largest differences, train → test: {facts}. Out-of-fold scores do not show this."
SHIFT_FACT = "{fact} ({train:.4g} → {test:.4g})"
SHIFT_ANSWER = "Choose an `augment.policy` that covers the difference, or remove it by preprocessing. The pictures are the test images that look least like training; section Shift also has training images."

# Groups whose images disagree.
DISAGREE = "{groups} with different values of {attribute}: {names}"
DISAGREE_MEANING = "{attribute} is declared constant in a group, so some labels are wrong, or two things have the same group name."
DISAGREE_ANSWER = "Correct the training table (`suspects.csv` lists the images, rarest values first), or set `constant_in_group: false` for this attribute."

# Rare classes.
EMPTY_CLASS = "{classes} without a training image: {names}"
EMPTY_CLASS_MEANING = "Such a class can never be predicted, and a macro average counts it as zero if the test set contains it."
EMPTY_CLASS_ANSWER = "Add images of it, or remove the combination from the competition's attributes."
THIN_CLASS = "{classes} {few}: {names}"
THIN_ONE_GROUP = "of one group"
THIN_FEW_GROUPS = "with fewer groups than the {folds} folds"
THIN_MEANING = "Each is {share} of a macro score. Some folds cannot validate such a class"
THIN_LONE = ", and a class of one group is never in the training part where it is validated."
THIN_ANSWER = "Add images of it, or be careful with its F1."
THIN_ANSWER_FOLDS = "Try `folds.n={folds}`, and be careful with its F1."

# Groups on both sides of a split.
GROUP_IN_FOLDS = "{groups} on both sides of a fold: {names}"
GROUP_IN_FOLDS_MEANING = "A model is validated on groups that it was trained on: the out-of-fold score is too optimistic."
GROUP_IN_FOLDS_ANSWER = "Use folds that keep groups together, e.g. `folds.kind=stratified_group`."
GROUP_IN_TEST = "{groups} in both train and test: {names}"
GROUP_IN_TEST_MEANING = "{share} of the test images come from groups that are also in training; folds keep groups apart, so the out-of-fold score will be below the leaderboard score."
GROUP_IN_TEST_ANSWER = "Compare experiments by their out-of-fold score, and expect a gap."

# Imbalance.
IMBALANCE = "{what} are {balance}, {ratio:.1f} : 1; the rarest, {name}, has {images} in {groups}"
IMBALANCED, BALANCED = "imbalanced", "balanced"
BALANCED_MEANING = "Resampling can improve little here."
IMBALANCE_MEANING = "The F1 of the rarest class is {weight} of a macro score, but is based on {share} of the images."
IMBALANCE_ATTRIBUTES = " By attribute: {ratios}."
IMBALANCE_ATTRIBUTE = "{attribute} {ratio:.1f}\u00a0:\u00a01"
RESAMPLED_ANSWER = "`resample.method={method}` is on: `make resample` shows the counts."
IMBALANCE_ANSWER = "Try `{command}`, and compare with `under`."

# Labels that hold together, values and shares.
UNKNOWN = "{share} of the truth is unknown; of {name} {most}"
UNKNOWN_MEANING = "Unknown entries are neither trained nor scored. If hosts or radiologists leave out what they did not look for, what is known is no random part."
UNKNOWN_ANSWER = "Nothing to do if empty cells mean unknown. If they mean that a label does not hold, write 0 in the training table."
ALWAYS = "{labels} that no image lacks: {names}"
ALWAYS_MEANING = "Nothing can be learned about such a label, and its AUC is undefined."
ALWAYS_ANSWER = "Check the column, or remove the label from the competition's attributes."
TOGETHER = "{pairs} of labels that nearly always hold together: {names}"
PAIR = "{one} and {other}"
TOGETHER_MEANING = "For a model they are one label with two columns."
TOGETHER_ANSWER = "Nothing to do if the host scores both; a decision that answers them alike loses nothing."
LABELS_EACH = "An image has {mean:.2f} labels on average, up to {most}; {none} none"
LABELS_EACH_MEANING = "Images without a label teach what none of them looks like. If labels were forgotten, they teach the wrong thing."
LABELS_EACH_ANSWER = "Look at some of them: the pictures below."
FAR = "{values} of {name} far from all others: {shown}"
FAR_MEANING = "More than {limit:g} robust standard deviations from the median {middle:.4g}. One such image outweighs many others in a squared error."
FAR_ANSWER = "Check them, and correct the training table; `suspects.csv` lists them. If they are right, try `loss.name=huber`."
CLUMP = "{share} of the images have {name} = {value:.4g}, the end of its range"
CLUMP_MEANING = "Such a number often stands for a limit of the scale, or for something that was not measured."
CLUMP_ANSWER = "If it means unknown, name it in `competition.unknown_labels`."
RANGE_OF = "{name} goes from {low:.4g} to {high:.4g}, median {middle:.4g}, standard deviation {spread:.4g}"
LONG_TAIL = "The upper tail is long: large values dominate a squared error."
LONG_TAIL_ANSWER = "Compare `loss.name=huber` with the default."
MAJORITY = "{images} no share above one half ({share})"
MAJORITY_MEANING = "The answers of people differ there; the best prediction is the distribution, and not one class."
CAPTION_NONE = "no label"
CAPTION_VALUE = "{name} {value:.4g}"
TOGETHER_PLOT = "How often labels hold together"
TOGETHER_PLOT_TEXT = "Of the images with the label of the row, the share that also has the label of the column."
EACH_PLOT = "Labels of an image"
VALUE_PLOT = "Distribution of {name}"
NOUNS = {
    "class": ("class", "classes"),
    "label": ("label", "labels"),
    "range": ("range of values", "ranges of values"),
}

# Groups, for information.
NO_GROUPS = "Every image is a group of its own"
NO_GROUPS_MEANING = "Folds treat images as independent. If several show one person or thing, scores are too optimistic."
NO_GROUPS_ANSWER = "Set `competition.group_column` if the table has such a column."
GROUPS = "{groups} groups contain {images} training images, up to {largest} each (median {median:.0f})"
GROUPS_INFO_MEANING = "Images of a group resemble each other: with a random split, a model would recognise the group and the score would be too optimistic. Folds and intervals here keep groups together."
GROUPS_INFO_ANSWER = "Nothing to do. The pictures below are the largest group."

# Titles of plots and headers of tables.
BALANCE_PLOT = "Training images by {name}"
SIZES_PLOT = "Most frequent sizes, px"
SIZES_PLOT_LABEL = "Images by size, most frequent first"
ASPECT_PLOT = "Aspect ratio"
ASPECT_PLOT_LABEL = "Aspect ratio of the images"
ASPECT_AXIS = "width ÷ height"
QUALITY_PLOT = "{measure} of train and test images"
GROUPS_PLOT = "Training groups by number of images"
GROUPS_PLOT_AXES = ("images in a group", "groups")
TEST_IMAGE = "test image"
TITLE = "{title}: the data"
