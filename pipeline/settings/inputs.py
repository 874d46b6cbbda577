"""What belongs to a sample beside one image: several images, a file for each channel, columns of metadata.

Owns these settings of the section `competition`, and their rules. Does not own the other ones of that section
(`settings/competition.py`) nor how images are decoded (`settings/images.py`).
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any, Literal

from pipeline.core.language import _
from pipeline.core.wording import worded
from pipeline.settings.fields import Broken, Section, Sections, fact, fact_if_chosen, rule
from pipeline.settings.images import MOST_IMAGES
from pipeline.settings.resample import SYNTHETIC_METHODS

_SEVERAL = "competition.images_per_sample"


class SeveralImagesSettings(Section):
    """Several images a sample, in one of four forms."""

    columns: list[str] = fact(
        [], "columns of paths, an image in each; an empty cell is no image: [front, back]"
    )
    sample: list[str] = fact(
        [],
        "columns that together name the sample, in tables with a row for each image; values of several are "
        "joined with _: [patient_id, laterality]",
    )
    files: list[str] = fact(
        [],
        "patterns of files, in which {id} stands for the cell of path_column and * for any text: "
        '["{id}_left.png", "{id}_right.png"], or ["{id}/*.jpg"]',
    )
    table: str | None = fact_if_chosen(
        None,
        "a table with a row for each image, relative to `root`, beside tables with a row for each sample, "
        "which path_column names: images.csv with key: patient_id, path: image_id",
    )
    test_table: str | None = fact_if_chosen(
        None, "such a table of the test images; None: `table` has them, too"
    )
    key: str | None = fact_if_chosen(None, "for `table`: its column that names the sample of an image")
    path: str | None = fact_if_chosen(None, "for `table`: its column of paths")
    most: int | None = fact(
        None,
        f"so many images of a sample at most, evenly chosen; None: all, and none may have over {MOST_IMAGES}",
        ge=2,
        le=MOST_IMAGES,
    )

    @property
    def fixed(self) -> int | None:
        """The number of images that every sample has; None: it differs, or only the files show it."""
        if self.columns:
            return len(self.columns)
        if self.files and not any("*" in pattern for pattern in self.files):
            return len(self.files)
        return self.most


class LongTableSettings(Section):
    """A training table in long form: one row for each image and answer."""

    id: str | None = fact(
        None, "how the id column of a row is written, e.g. {id}_{answer}; None: `column` names the answer"
    )
    column: str | None = fact(None, "column that names the answer of a row, beside ids that repeat")
    value: str = fact(..., "column of the answer")


class MetadataSettings(Section):
    """A column of both tables that says something about a sample beside its images."""

    column: str = fact(..., "column of the training and the test table")
    kind: Literal["number", "category"] = fact(
        ..., "number: standardised; category: each value by itself; missing values have a code of their own"
    )


@rule("competition", "resample", "train")
def columns_of_metadata(s: Sections) -> Iterator[Broken]:
    """Each column is named once, the test set has a table, and no method makes up rows of features."""
    competition, path = s["competition"], "competition.metadata"
    if not competition.metadata:
        return
    names = [m.column for m in competition.metadata]
    yield from _twice(path, names)
    labels = {c for a in competition.attributes for c in (a.values if a.one_hot else [a.column])}
    for name in names:
        if name in labels:
            yield path, _("`{name}` is a label, which the test set does not have").format(name=name)
        if name == competition.id_column:
            yield path, _("`{name}` is the id: it says nothing about a sample").format(name=name)
    if competition.test_table is None and competition.holdout is None:
        yield path, _("needs a table of the test set with these columns, and competition.test_table is null")
    if competition.layout != "table":
        yield path, _("needs tables (layout=table), and layout={layout}").format(layout=competition.layout)
    if s["train"].strategy == "linear_probe" and s["resample"].method in SYNTHETIC_METHODS:
        yield (
            "resample.method",
            _("{method} makes rows of features, which have no metadata").format(method=s["resample"].method),
        )


@rule("competition", "images")
def forms_of_several_images(s: Sections) -> Iterator[Broken]:
    """One form is chosen, it fits the layout, and its patterns can be filled in."""
    competition, several = s["competition"], s["competition"].images_per_sample
    if several is None:
        return
    forms = [name for name in ("columns", "sample", "files", "table") if getattr(several, name)]
    if len(forms) != 1:
        found = " and ".join(forms) or _("none of them")
        yield (
            _SEVERAL,
            _("needs one of columns, sample, files and table, and has {found}").format(found=found),
        )
        return
    (form,) = forms
    for name in ("key", "path", "test_table"):
        given = getattr(several, name) is not None
        if form != "table" and given:
            yield (
                f"{_SEVERAL}.{name}",
                _("is for `table`, and the images are named by {form}: remove it").format(form=form),
            )
        if form == "table" and name != "test_table" and not given:
            yield f"{_SEVERAL}.{name}", _("is missing: name a column of {table}").format(table=several.table)
    if form != "files" and (competition.layout != "table" or competition.test_table is None):
        message = _("needs tables of the training and the test set (layout=table, test_table)")
        if competition.layout != "table" or competition.holdout is None:
            yield f"{_SEVERAL}.{form}", message
    if form == "columns" and len(several.columns) < 2:
        yield f"{_SEVERAL}.columns", _("names one column: name several, or set competition.path_column to it")
    if form != "table":
        yield from _twice(f"{_SEVERAL}.{form}", getattr(several, form))
    for pattern in several.files:
        if pattern.count("{id}") != 1:
            yield (
                f"{_SEVERAL}.files",
                _("`{pattern}` does not contain {{id}} once, e.g. {{id}}_left.png").format(pattern=pattern),
            )
    for name in ("channel_files", "pages"):
        if competition.channel_files if name == "channel_files" else s["images"].pages == "images":
            where = f"competition.{name}" if name == "channel_files" else f"images.{name}"
            yield where, _("cannot be combined with {setting}: keep one of the two").format(setting=_SEVERAL)


def _twice(path: str, names: list[str]) -> Iterator[Broken]:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        yield path, _("names {twice} twice").format(twice=", ".join(twice))


@rule("images", "competition")
def files_of_channels(s: Sections) -> Iterator[Broken]:
    """There are as many files per channel as channels, and each pattern has one placeholder."""
    images, patterns = s["images"], s["competition"].channel_files
    if not patterns:
        return
    if len(patterns) != images.channels:
        found = worded(_("names {n:file} per image, "), n=len(patterns)) + _(
            "and images.channels={channels}"
        ).format(channels=images.channels)
        yield (
            "competition.channel_files",
            _("{found}: set images.channels={n}").format(found=found, n=len(patterns)),
        )
    for pattern in patterns:
        if pattern.count("{id}") != 1:
            yield (
                "competition.channel_files",
                _("`{pattern}` does not contain {{id}} once, e.g. {{id}}_red.png").format(pattern=pattern),
            )
    yield from _twice("competition.channel_files", patterns)
    if images.pages != "first":
        yield "images.pages", _("cannot be combined with competition.channel_files: keep one of the two")


@rule("model", "train", "competition", "images")
def pooling_of_images(s: Sections) -> Iterator[Broken]:
    """The pooling is one that this training can do."""
    pool, several = s["model"].pool_images, s["competition"].images_per_sample
    if pool == "attention" and s["train"].strategy == "linear_probe":
        message = _("learns its weights, which a frozen backbone does not: choose mean, max or concat")
        yield "model.pool_images", message
    if pool == "concat" and _count(several, s["images"]) is None:
        message = _(
            "needs the same number of images of every sample: name their columns or files, or set "
            "{setting}.most"
        ).format(setting=_SEVERAL)
        yield "model.pool_images", message


def _count(several: Any, images: Any) -> int | None:
    """The number of images of every sample as far as settings say it."""
    if images.tiles is not None:
        return None
    if several is not None:
        return None if several.fixed is None else int(several.fixed)
    return None if images.pages == "images" else 1


@rule("competition")
def long_tables(s: Sections) -> Iterator[Broken]:
    """The answer of a row of a long table is named in one place, and the table is a table."""
    long, layout = s["competition"].long_table, s["competition"].layout
    if long is None:
        return
    if layout in ("folders", "mask"):
        yield (
            "competition.long_table",
            _("is for a training table, and layout={layout}").format(layout=layout),
        )
    if (long.id is None) == (long.column is None):
        yield (
            "competition.long_table",
            _("names the answer of a row in `id` or in `column`: give one of them"),
        )
    elif long.id is not None and not ("{id}" in long.id and "{answer}" in long.id):
        yield (
            "competition.long_table.id",
            _("`{id}` holds {{id}} and {{answer}}, as {{id}}_{{answer}}").format(id=long.id),
        )
