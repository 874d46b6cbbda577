"""The kinds of target that cannot be predicted, as `make new` names them.

Owns these sentences. Does not own the other texts of the room (`data/texts.py`).
"""

from pipeline.core.language import _

NOT_YET = _("{where}: {kind} ({found})")
KINDS = {
    "several_values": _("some answers are values and others are classes; one kind at a time can be predicted"),
    "several_words": _("each of several columns holds several labels a cell; only one such column can be predicted"),
    "several_of_one": _("each answer holds several classes, and the label holds one"),
    "several": _("each answer is a list of labels in brackets; only words with a text between them can be written"),
    "several_images": _("one answer is asked for several images, and it is not known which images of the training table belong together"),
    "long": _("several rows are about one image (long form), and nothing tells which answer a row asks for"),
    "answers": _("several answer columns are neither the classes nor the labels nor the values; such answers cannot be written"),
    "one_number": _("one number is asked for more than two classes: a value, or the probability of some of them"),
    "thousands": _("the thousands of numbers are set off, which reads like a decimal or like several words"),
    "units": _("the numbers have a unit, so that they could only be learned as names"),
    "number_each": _("a number is asked for each label, and nothing says of which of its values it is the probability"),
    "structured": _("each cell is a JSON object or list, and not a class"),
    "masks": _("the answer is a mask of pixels; segmentation is not supported"),
    "boxes": _("the answer is boxes in the image; detection is not supported"),
    "images": _("the answers name other images; finding similar images is not supported"),
    "texts": _("each row has another answer: texts or names of single images are not classes"),
}
