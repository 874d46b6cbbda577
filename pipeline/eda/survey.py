"""What the competition's images are, in tables, and one look at every picture.

Owns joining samples with image facts **by id** and counting classes, attributes, sizes, groups and identical
files; and a single pass over the pixels that keeps a tiny thumbnail of each image, its JPEG blocks and the
mean picture of each class. Does not own what follows from them (`eda/findings.py`, `eda/duplicates.py`,
`eda/shift.py`) nor drawing (`eda/page.py`).

An image is identified by (split, id): train and test may use the same ids. Memory of the pass over the
pixels: 200 bytes an image and 28 kB a class; pictures are read one after the other.
Shape legend: N images, C classes, T thumbnail side, M side of a mean picture.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.core import seeds
from pipeline.core.errors import DataError
from pipeline.core.samples import Floats, LabelSpace, Samples
from pipeline.core.terminal import bar_of
from pipeline.data.strata import Strata
from pipeline.pages.report import ImageOf, Key, Pixels

FACT_COLUMNS = ("id", "split", "width", "height", "sha256", "phash", "brightness", "contrast", "blur")
# Measures of the pixels; see `ImageFacts` of `data/decode.py`.
UNLABELLED = -1
# 8 × 8: a copy that was cropped by a few per cent moves by less than half a cell, so it still matches.
# At 16 × 16 the same crops matched worse, and different pictures were separated no better.
THUMB_SIDE = 8
MEAN_SIDE = 48
JPEG_BLOCK = 8
# The part of its standard deviation by which a value of two copies must differ to be a contradiction.
CONTRADICTION, TINY = 0.1, 1e-6


@dataclass(frozen=True)
class Duplicates:
    """Copies of one picture.

    Args:
        members: (split, id) of each, at least two, train first.
        conflict: the training images among them carry different labels.
        across_groups: the training images among them belong to different groups.
        train_test: some are training images, some test images.
        exact: the files are equal byte for byte; otherwise the pictures only look the same.
    """

    members: tuple[Key, ...]
    conflict: bool
    across_groups: bool
    train_test: bool
    exact: bool = True


@dataclass(frozen=True)
class Survey:
    """The competition, counted.

    Args:
        images: one row per image, train first: split, id, group, label (class index, -1 for a test
            image, and where an image has not exactly one class) and the image facts.
        classes: one row per class, label or range of a value, in the order of the strata: class, images,
            share, groups, and of labels the share of images in which it is unknown.
        attributes: by attribute, one row per value in code order: value, images, share, groups; of exclusive
            classes only.
        sizes: one row per size, commonest first: size, train, test.
        duplicates: sets of identical images.
        group_sizes: images of each training group, largest first, by group name.
        grouped: the training images have groups, i.e. some group holds several.
        strata: of the training images, whose rows are the first ones of `images`.
        truth: (N, K) of the training images, for other kinds of target than exclusive classes; else None.
    """

    space: LabelSpace
    images: pd.DataFrame
    classes: pd.DataFrame
    attributes: dict[str, pd.DataFrame]
    sizes: pd.DataFrame
    duplicates: tuple[Duplicates, ...]
    group_sizes: "pd.Series[int]"
    grouped: bool
    strata: Strata
    truth: Floats | None = None

    def rows_of(self, stratum: int) -> pd.DataFrame:
        """The training images of a class, with a label, or of a range of a value."""
        rows: pd.DataFrame = self.images.iloc[self.strata.row_P[self.strata.stratum_P == stratum]]
        return rows

    def split(self, name: str) -> pd.DataFrame:
        """The images of one split, "train" or "test"."""
        return self.images[self.images["split"] == name]


def keys_of(rows: pd.DataFrame) -> tuple[Key, ...]:
    """(split, id) of each row."""
    return tuple(zip(rows["split"].astype(str), rows["id"].astype(str), strict=True))


def survey(train: Samples, test: Samples | None, facts: pd.DataFrame) -> Survey:
    """Count everything once.

    The facts have `FACT_COLUMNS`; rows of other images are ignored.

    Raises:
        DataError: a column is missing, or an image has no facts; all of them are named.
    """
    images = table_of(train, test, facts)
    rows = images[images["split"] == "train"]
    group_sizes = rows.groupby("group").size().sort_values(ascending=False, kind="stable")
    strata, exclusive = Strata.of(train), train.space.kind == "exclusive"
    codes = {
        a.name: (a.values, train.space.codes_CA[rows["label"], k])
        for k, a in enumerate(train.space.attributes)
        if exclusive
    }
    return Survey(
        space=train.space,
        images=images,
        classes=_strata_table(strata, rows["group"], len(train)),
        attributes={
            name: _balance("value", values, pd.Series(code, index=rows.index), rows["group"])
            for name, (values, code) in codes.items()
        },
        sizes=_sizes(images),
        duplicates=_duplicates(images),
        group_sizes=group_sizes,
        grouped=bool((group_sizes > 1).any()),
        strata=strata,
        truth=None if exclusive else np.asarray(train.truth, dtype=np.float32),
    )


def _strata_table(strata: Strata, groups: "pd.Series[str]", n_images: int) -> pd.DataFrame:
    """Images and groups of each class, label or range; several labels of an image count it several times."""
    members = groups.iloc[strata.row_P].reset_index(drop=True)
    table = _balance("class", strata.names, pd.Series(strata.stratum_P), members)
    table["share"] = table["images"] / max(n_images, 1)
    if strata.unknown_NS is not None:
        table["unknown"] = strata.unknown_NS.mean(axis=0)
    return table


def table_of(train: Samples, test: Samples | None, facts: pd.DataFrame) -> pd.DataFrame:
    """`Survey.images`; the label is -1 also where an image has not exactly one class."""
    absent = [column for column in FACT_COLUMNS if column not in facts.columns]
    if absent:
        raise DataError("image facts: columns are missing", absent, "measure the images again")
    tables = []
    for split, samples in (("train", train), ("test", test)):
        if samples is None:
            continue
        labels = np.full(len(samples), UNLABELLED) if samples.labels_N is None else samples.labels
        table = pd.DataFrame({"id": samples.ids_N, "group": samples.groups_N, "label": labels})
        if samples.space.kind != "exclusive":
            # A row of numbers in a cell: two images contradict each other where one differs by more than 1.
            table["truth"] = list(_scaled(samples)) if samples.labelled else [None] * len(samples)
        tables.append(table.assign(split=split))
    images = pd.concat(tables, ignore_index=True)
    known = facts[list(FACT_COLUMNS)].astype({"id": str, "split": str})
    merged = images.merge(known, on=["split", "id"], how="left", validate="one_to_one", indicator=True)
    lost = merged[merged["_merge"] == "left_only"]
    if len(lost):
        named = [f"{split} {image}" for split, image in zip(lost["split"], lost["id"], strict=True)]
        what = f"image facts: {len(lost)} images were not measured"
        raise DataError(what, named, "measure the images again")
    return merged.drop(columns="_merge").astype({"width": int, "height": int})


def _scaled(samples: Samples) -> Floats:
    """(N, K) the truth, scaled so that a difference above 1 contradicts: half a label, a part of a spread."""
    y_NK = np.asarray(samples.truth, dtype=np.float32)
    if samples.space.kind != "values":
        return y_NK * 2
    spread_K = np.maximum(np.nanstd(y_NK, axis=0), TINY)
    return np.asarray(y_NK / (CONTRADICTION * spread_K), dtype=np.float32)


def contradict(rows: pd.DataFrame) -> bool:
    """Whether training images of one picture have different truths; what is unknown contradicts nothing."""
    if "truth" not in rows.columns:
        return bool(rows["label"].nunique() > 1)
    if len(rows) < 2:
        return False
    y_NK = np.stack(rows["truth"].to_list())
    known_NK = ~np.isnan(y_NK)
    high_K = np.where(known_NK, y_NK, -np.inf).max(axis=0)
    low_K = np.where(known_NK, y_NK, np.inf).min(axis=0)
    return bool((high_K - low_K > 1).any())


def _balance(
    column: str, names: Sequence[str], codes: "pd.Series[int]", groups: "pd.Series[str]"
) -> pd.DataFrame:
    counts = np.bincount(codes, minlength=len(names))
    per_code = groups.groupby(codes).nunique()
    return pd.DataFrame(
        {
            column: list(names),
            "images": counts,
            "share": counts / max(int(counts.sum()), 1),
            "groups": [int(per_code.get(code, 0)) for code in range(len(names))],
        }
    )


def _sizes(images: pd.DataFrame) -> pd.DataFrame:
    named = images.assign(size=images["width"].astype(str) + " × " + images["height"].astype(str))
    table = named.groupby(["size", "split"]).size().unstack(fill_value=0)
    table = table.reindex(columns=["train", "test"], fill_value=0)
    order = table.sum(axis=1).sort_values(ascending=False, kind="stable").index
    table = table.loc[order].reset_index()
    table.columns.name = None
    return table


def _duplicates(images: pd.DataFrame) -> tuple[Duplicates, ...]:
    again = images[images.duplicated("sha256", keep=False)]
    return tuple(duplicates_of(rows, exact=True) for _, rows in again.groupby("sha256", sort=False))


def duplicates_of(rows: pd.DataFrame, exact: bool) -> Duplicates:
    """What copies of one picture have in common, which are rows of the survey's images."""
    trained = rows[rows["split"] == "train"]
    return Duplicates(
        keys_of(rows),
        conflict=contradict(trained),
        across_groups=trained["group"].nunique() > 1,
        train_test=rows["split"].nunique() > 1,
        exact=exact,
    )


def ratio(counts: "pd.Series[int]") -> float:
    """Largest over smallest of the counts above zero; 1 for an empty table."""
    filled = counts[counts > 0]
    return float(filled.max() / filled.min()) if len(filled) else 1.0


def contact_sheet(images: pd.DataFrame, limit: int, seed: int = 0) -> pd.DataFrame:
    """At most `limit` of these images, the same every time: one of each group before a second of any."""
    order = seeds.rng(seed, "contact sheet", len(images)).permutation(len(images))
    drawn = images.iloc[order]
    turn = drawn.groupby("group").cumcount()
    return drawn.loc[turn.sort_values(kind="stable").index].head(limit)


@dataclass(frozen=True)
class Glance:
    """The result of one pass over all pictures.

    Args:
        thumbs_NTT3: (N, 8, 8, 3) uint8, squashed, in the order of the survey's images.
        looks: one row per image in the same order: saturation, red, blue (mean colour distances from
            green), blocks (step at JPEG block edges over the steps elsewhere; 1 without JPEG).
        means_CMM3: (C, 48, 48, 3) uint8 mean training picture of each class; white for an empty one.
    """

    thumbs_NTT3: Pixels
    looks: pd.DataFrame
    means_CMM3: Pixels


def glance(images: pd.DataFrame, n_classes: int, image: ImageOf, strata: Strata | None = None) -> Glance:
    """Look at every picture once; a label of -1 is a test image's.

    With strata of the first images, mean pictures are those of each stratum; an image may be in several.
    """
    members: dict[int, list[int]] = {}
    if strata is None:
        members = {n: [c] for n, c in enumerate(images["label"].tolist()) if c != UNLABELLED}
    else:
        for row, stratum in zip(strata.row_P.tolist(), strata.stratum_P.tolist(), strict=True):
            members.setdefault(row, []).append(stratum)
    thumbs = np.empty((len(images), THUMB_SIDE, THUMB_SIDE, 3), np.uint8)
    blocks = np.empty(len(images))
    sums = np.zeros((n_classes, MEAN_SIDE, MEAN_SIDE, 3))
    counts = np.zeros(n_classes, np.int64)
    rows = zip(images["split"], images["id"], strict=True)
    bar = bar_of("glance", "img", rows, total=len(images))
    for at, (split, name) in enumerate(bar):
        pixels = np.ascontiguousarray(image(str(split), str(name)))
        middle = cv2.resize(pixels, (MEAN_SIDE, MEAN_SIDE), interpolation=cv2.INTER_AREA)
        thumbs[at] = cv2.resize(middle, (THUMB_SIDE, THUMB_SIDE), interpolation=cv2.INTER_AREA)
        blocks[at] = _blocks(pixels)
        for label in members.get(at, ()):
            sums[label] += middle
            counts[label] += 1
    means = sums / np.maximum(counts, 1)[:, None, None, None]
    means[counts == 0] = 255
    return Glance(thumbs, _looks(thumbs, blocks, images.index), np.round(means).astype(np.uint8))


def _looks(thumbs: Pixels, blocks: npt.NDArray[np.float64], index: pd.Index) -> pd.DataFrame:
    colour = thumbs.astype(np.float32)
    mean_N3 = colour.mean(axis=(1, 2))
    saturation = (colour.max(axis=3) - colour.min(axis=3)).mean(axis=(1, 2))
    columns = {
        "saturation": saturation,
        "red": mean_N3[:, 0] - mean_N3[:, 1],
        "blue": mean_N3[:, 2] - mean_N3[:, 1],
        "blocks": blocks,
    }
    return pd.DataFrame(columns, index=index, dtype=np.float64)


def _blocks(pixels: Pixels) -> float:
    """How much larger the steps at JPEG's block edges are: strong compression draws a grid of 8 px.

    Scaling an image blurs the grid away, so this says nothing about images larger than the cache.
    """
    width = pixels.shape[1]
    if width < 3 * JPEG_BLOCK:
        return 1.0
    green = pixels[:, :, 1]
    steps = cv2.reduce(cv2.absdiff(green[:, 1:], green[:, :-1]), 0, cv2.REDUCE_AVG, dtype=cv2.CV_32F)[0]
    edge = np.arange(len(steps)) % JPEG_BLOCK == JPEG_BLOCK - 1
    return float((steps[edge].mean() + 0.1) / (steps[~edge].mean() + 0.1))
