"""Flips and out-of-fold errors by class and by attribute.

Owns counting, its intervals, and the static section of the page. Does not own the gallery that a click on a
cell filters: cells have `data-attribute`, `data-old` and `data-new`, with names as in the label space.

Shares are shares of all flips in which the attribute changed, and of all out-of-fold errors in which it is
wrong; one flip may change several attributes. Intervals resample whole groups with replacement, because
errors on images of one group are correlated (Davison & Hinkley 1997, 3.8).

Shape legend: N images, K values of an attribute, G groups, B resamples.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.core.group_resampling import Bools, numbered, percentile_interval, times_in_blocks
from pipeline.core.predictions import Probabilities
from pipeline.core.samples import Ints, LabelSpace, Samples, Strings
from pipeline.core.seeds import rng
from pipeline.errors import texts
from pipeline.errors.diff.flips import CLASS, Flips, parts
from pipeline.errors.diff.mistakes import Mistakes
from pipeline.pages.report import ReportSection

# A block of resamples has about this many numbers.
BLOCK_NUMBERS = 2_000_000
WIDE = 10  # a matrix with more values is collapsed at first


@dataclass(frozen=True)
class Share:
    """A share of some images, with its 95 % interval over groups.

    Args:
        count, total: so many of so many images.
        low, high: ends of the interval; 0 and 1 if there are fewer than two groups.
    """

    count: int
    total: int
    low: float
    high: float

    @property
    def value(self) -> float:
        """The share itself; 0 if there are no images."""
        return self.count / max(self.total, 1)


@dataclass(frozen=True)
class AttributeRow:
    """One attribute of the table.

    Args:
        name: of the attribute.
        flips: flips that change it, of all flips; None: there is no other submission.
        errors: out-of-fold errors in which it is wrong, of all errors; None: not inputs.
    """

    name: str
    flips: Share | None
    errors: Share | None


@dataclass(frozen=True)
class Matrix:
    """Counts of one attribute's values against each other.

    Args:
        name: "class" or the name of an attribute.
        attribute: the name in the cells: with a single attribute, its name instead of "class".
        values: display names, in code order.
        rows: the label of each row, and (count, share of the row) of each cell.
        wide: whether there are too many values to show at once.
    """

    name: str
    attribute: str
    values: tuple[str, ...]
    rows: tuple[tuple[str, tuple[tuple[int, float], ...]], ...]
    wide: bool


@dataclass(frozen=True)
class AttributeInputs:
    """What the section is made from.

    Args:
        test_groups: the group of each test image by id; other images are groups of their own.
        oof: out-of-fold probabilities of what made the new submission, if inputs.
        draws, seed: of the resamples.
    """

    space: LabelSpace
    flips: Flips | None
    test_groups: Mapping[str, str]
    oof: Probabilities | None
    mistakes: Mistakes | None
    train: Samples
    draws: int
    seed: int


def section(inputs: AttributeInputs) -> ReportSection:
    """The section: a row for each attribute, then the directions of flips, then matrices."""
    several = len(inputs.space.attributes) > 1
    values: dict[str, Any] = {
        "rows": rows(inputs) if several else (),
        "directions": [] if inputs.flips is None else inputs.flips.directions.to_dict("records"),
        "flips": None if inputs.flips is None else len(inputs.flips.images),
        "agreement": () if inputs.flips is None else _matrices(inputs.space, inputs.flips.agreement),
        "confusion": () if inputs.mistakes is None else _matrices(inputs.space, inputs.mistakes.confusion),
        "wrong": {} if inputs.mistakes is None else inputs.mistakes.wrong,
        "classes": inputs.space.n_classes,
    }
    return ReportSection("attributes", texts.ATTRIBUTES_SHORT, "compare_attributes.html", values, early=True)


def rows(inputs: AttributeInputs) -> tuple[AttributeRow, ...]:
    """The share of flips and of errors of each attribute."""
    space, flips = inputs.space, inputs.flips
    changed: dict[str, Bools] = {}
    flip_groups = np.array([], str)
    if flips is not None and len(flips.images):
        ids = flips.images["id"].astype(str)
        flip_groups = np.array([inputs.test_groups.get(i, f"alone {i}") for i in ids])
        changed = _differing(space, flips.images["old"].to_numpy(), flips.images["new"].to_numpy())
    wrong: dict[str, Bools] = {}
    error_groups = np.array([], str)
    if inputs.oof is not None:
        oof = inputs.oof.with_classes(space.classes)
        samples = inputs.train.take(oof.ids_N)
        answer_N, y_N = oof.labels(), samples.labels
        at = np.flatnonzero(answer_N != y_N)
        error_groups = samples.groups_N[at]
        wrong = _differing(space, answer_N[at], y_N[at])
    return tuple(
        AttributeRow(
            a.name,
            None if flips is None else share(changed.get(a.name), flip_groups, inputs.draws, inputs.seed),
            None if inputs.oof is None else share(wrong.get(a.name), error_groups, inputs.draws, inputs.seed),
        )
        for a in space.attributes
    )


def _differing(space: LabelSpace, one_N: Ints, other_N: Ints) -> dict[str, Bools]:
    """By attribute, whether the two classes of each image have different values."""
    differ_NA = space.codes_CA[one_N] != space.codes_CA[other_N]
    return {a.name: differ_NA[:, k] for k, a in enumerate(space.attributes)}


def share(marked_N: Bools | None, groups_N: Strings, draws: int, seed: int) -> Share:
    """The share of marked images, with its interval over groups. None: there are no images."""
    if marked_N is None:
        return Share(0, 0, 0.0, 1.0)
    group_N, n_groups = numbered(groups_N)
    if n_groups < 2:
        return Share(int(marked_N.sum()), len(marked_N), 0.0, 1.0)
    marked_G = np.bincount(group_N, marked_N)
    size_G = np.bincount(group_N).astype(float)
    generator, block = rng(seed, "share of attribute"), max(1, BLOCK_NUMBERS // n_groups)
    blocks = times_in_blocks(generator, n_groups, draws, block)
    # Counts are whole numbers, so their sums are exact in any order.
    shares = [(times_BG @ marked_G) / (times_BG @ size_G) for times_BG in blocks]
    low, high = percentile_interval(np.concatenate(shares))
    return Share(int(marked_N.sum()), len(marked_N), float(low), float(high))


def _matrices(space: LabelSpace, counts: Mapping[str, Ints]) -> tuple[Matrix, ...]:
    """One matrix for each attribute, then that of the class, which is the largest."""
    views = parts(space)
    ordered = sorted(counts, key=lambda name: name == CLASS)
    lone = space.attributes[0].name if len(space.attributes) == 1 else None
    return tuple(_matrix(name, lone or name, views[name][0], counts[name]) for name in ordered)


def _matrix(name: str, attribute: str, values: tuple[str, ...], counts_KK: Ints) -> Matrix:
    total_K = counts_KK.sum(axis=1)
    rows_ = tuple(
        (value, tuple((int(n), n / total if total else 0.0) for n in counts_KK[k]))
        for k, (value, total) in enumerate(zip(values, total_K, strict=True))
    )
    return Matrix(name, attribute, values, rows_, len(values) > WIDE)
