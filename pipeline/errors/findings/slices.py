"""Slices of the data that fail more often than chance: attributes, image quality, size, shape, source.

Owns cutting the data into slices and pairs of slices, testing them all, and the section. Does not own the
test (`core/group_resampling.py`) nor measuring images (the image facts).

A slice is a value of an attribute, a quarter of the images by a measure, a size, a shape, a folder or a file
type; a pair is two slices of different kinds. One value of an attribute alone, and a pair that is one class,
are not tested: they say that some classes are harder, which the report shows by class and by attribute. The
error rate of each slice (errors of the class) is compared
with that of all other images. The signs of whole groups are flipped, and the largest deviation over all
tested slices is the threshold, so the chance of any false finding is 5 %.

Why not sliceline or slicefinder: they rank slices by a score without a test, ignore groups, and prune a
lattice; here it has a few hundred nodes, which one matrix product counts.

Shape legend: N images, G groups, K slices.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from markupsafe import Markup

from pipeline.core.group_resampling import Bools, numbered, sign_flips, sums_by_group
from pipeline.core.language import Text, joined
from pipeline.core.metadata import Kind, missing, number
from pipeline.core.metric_arithmetic import Reals
from pipeline.core.sample_paths import every_file
from pipeline.core.samples import Ints, Samples, positions, strings
from pipeline.core.targets import EXCLUSIVE, LABELS
from pipeline.core.wording import worded
from pipeline.data.readers.reading import parts
from pipeline.errors import texts
from pipeline.pages import plots
from pipeline.pages.report import Key, ReportSection, p_value, percent, plural, points
from pipeline.settings.report import FinderSettings

ANCHOR, SHORT = "slices", texts.SLICES_SHORT
TITLE = texts.SLICES_TITLE
# With more values than this, a kind is rather a name: it gives no slices.
MOST_VALUES = 12
WIDE = 1.15
# The kind of a slice by labels: this and the name of the attribute, which may be that of a measure.
LABEL = "label "
SHOWN, EXAMPLES = 12, 10
AND = " and "


@dataclass(frozen=True)
class SliceInputs:
    """What the section is made from.

    Args:
        ids_N: the predicted images.
        predicted_N: their class; None where `loss_N` is given.
        facts: one row for each training image: id, width, height, brightness, contrast, blur.
        loss_N: what the answers of each image cost, where they are not one class; None: 1 for a wrong class.
        metadata: name and kind of each column of the samples' metadata.
        in_spreads: whether that is in standard deviations of values, and not a share of answers.
        settings: `slice_groups`, because one unusual group would make a smaller slice fail; `pair_gain`,
            because a pair that does not fail more often than its parts only repeats the worse part.
    """

    train: Samples
    ids_N: npt.NDArray[np.str_]
    predicted_N: Ints | None
    facts: pd.DataFrame
    seed: int
    settings: FinderSettings = FinderSettings()
    loss_N: Reals | None = None
    in_spreads: bool = False
    metadata: tuple[tuple[str, Kind], ...] = ()

    def shown(self, loss: float) -> str:
        """A mean loss as the page shows it."""
        return texts.SPREADS.format(value=loss) if self.in_spreads else percent(loss)

    def difference(self, loss: float) -> str:
        """A difference of mean losses as the page shows it."""
        return f"{loss:+.2f}".replace("-", "−") if self.in_spreads else points(loss)


@dataclass(frozen=True)
class Slices:
    """The result of the tests.

    Args:
        tried: number of tested slices and pairs.
        rate: error rate of all images.
        table: one row for each slice that fails more often than chance, most additional errors first: slice,
            images, groups, wrong (share), elsewhere, expected (share, from its classes), more (difference),
            at_least (its lower bound, for all slices at once), p, extra (errors beyond `elsewhere`).
        members: for each row, the ids that are predicted wrongly.
        inside: for each row, which of the images (`ids_N`) are in the slice.
    """

    tried: int
    rate: float
    table: pd.DataFrame
    members: tuple[tuple[str, ...], ...]
    inside: tuple[Bools, ...] = ()


def find(inputs: SliceInputs) -> Slices:
    """Test every slice and pair.

    Raises:
        DataError: an id is not a training image, or has no facts.
    """
    samples = inputs.train.take(inputs.ids_N)
    exclusive = samples.space.kind == EXCLUSIVE
    if inputs.loss_N is None:
        assert inputs.predicted_N is not None, "classes are judged by the predicted ones"
        wrong_N = (inputs.predicted_N != samples.labels).astype(np.float64)
    else:
        wrong_N = np.asarray(inputs.loss_N, dtype=np.float64)
    group_N, n_groups = numbered(samples.groups_N)
    every = _cut(samples, inputs.facts, inputs.settings.slice_groups, inputs.metadata)
    masks = _telling(every, samples)
    if not masks or not len(wrong_N):
        return Slices(0, float(wrong_N.mean()) if len(wrong_N) else 0.0, pd.DataFrame(), ())
    inside_NK = np.stack(list(masks.values()), axis=1).astype(np.float64)
    share_K = inside_NK.mean(axis=0)
    scores_NK = (inside_NK - share_K) * (wrong_N - wrong_N.mean())[:, None]
    sums_GK = sums_by_group(scores_NK, group_N, n_groups)
    test = sign_flips(sums_GK, inputs.seed, "slices", side="above")
    scale_K = len(wrong_N) * share_K * (1 - share_K)
    more_K = sums_GK.sum(axis=0) / scale_K
    least_K = more_K - test.factor * np.sqrt((sums_GK**2).sum(axis=0)) / scale_K
    rate_K = inside_NK.T @ wrong_N / inside_NK.sum(axis=0)
    by_class = np.full(len(wrong_N), wrong_N.mean())
    if exclusive:
        by_class = pd.Series(wrong_N).groupby(samples.labels).transform("mean").to_numpy()
    rates = {name: float(wrong_N[mask].mean()) for name, mask in every.items() if len(name) == 1}
    found = []
    for k, (name, mask) in enumerate(masks.items()):
        parts = max(rates[(part,)] for part in name)
        worse = len(name) == 1 or rate_K[k] >= inputs.settings.pair_gain * parts
        if not (test.found_K[k] and more_K[k] > 0 and worse):
            continue
        row = {
            "slice": AND.join(part[1] for part in name),
            "images": int(mask.sum()),
            "groups": len(np.unique(group_N[mask])),
            "wrong": rate_K[k],
            "elsewhere": rate_K[k] - more_K[k],
            "expected": float(by_class[mask].mean()),
            "more": more_K[k],
            "at_least": least_K[k],
            "p": test.p_K[k],
            "extra": float(mask.sum() * more_K[k]),
        }
        found.append((row, mask))
    found.sort(key=lambda one: -float(one[0]["extra"]))
    table = pd.DataFrame([row for row, _ in found])
    inside = tuple(mask for _, mask in found)
    order = np.arange(len(wrong_N)) if exclusive else np.argsort(-wrong_N, kind="stable")
    wrong_ids = tuple(tuple(samples.ids_N[order[(mask & (wrong_N > 0))[order]]].tolist()) for mask in inside)
    return Slices(len(masks), float(wrong_N.mean()), table, wrong_ids, inside)


# The name of a slice: one or two parts, each (kind, value in words).
Name = tuple[tuple[str, str], ...]


def cut(samples: Samples, facts: pd.DataFrame, fewest: int) -> dict[Name, Bools]:
    """Every tested slice and pair with at least `fewest` groups inside and outside, and its samples.

    Raises:
        DataError: a sample has no facts.
    """
    return _telling(_cut(samples, facts, fewest), samples)


def _telling(masks: dict[Name, Bools], samples: Samples) -> dict[Name, Bools]:
    """Those that say more than which class is hard."""
    if samples.space.kind != EXCLUSIVE:
        return masks
    n_attributes = len(samples.space.attributes)

    def by_labels(name: Name) -> bool:
        return all(kind.startswith(LABEL) for kind, _ in name) and len(name) in (1, n_attributes)

    return {name: mask for name, mask in masks.items() if not by_labels(name)}


def _cut(
    samples: Samples, facts: pd.DataFrame, fewest: int, metadata: tuple[tuple[str, Kind], ...] = ()
) -> dict[Name, Bools]:
    """Those of one attribute value too, which are parts of pairs."""
    group_N, n_groups = numbered(samples.groups_N)
    atoms = (*_atoms(samples, facts), *_by_metadata(samples, metadata))
    singles = {n: m for n, m in atoms if _enough(m, group_N, n_groups, fewest)}
    return singles | {n: m for n, m in _pairs(singles) if _enough(m, group_N, n_groups, fewest)}


def _atoms(samples: Samples, facts: pd.DataFrame) -> Iterator[tuple[Name, Bools]]:
    """The single slices."""
    yield from _by_truth(samples)
    ids = strings([str(name) for name in facts["id"]])
    rows = facts.iloc[positions(samples.ids_N, ids, "image facts")]
    for measure, (low, high) in texts.QUARTERS.items():
        yield from _quarters(measure, rows[measure].to_numpy(float), low, high)
    width, height = rows["width"].to_numpy(float), rows["height"].to_numpy(float)
    sizes = [f"{w:.0f} × {h:.0f} px" for w, h in zip(width, height, strict=True)]
    if len(set(sizes)) <= MOST_VALUES:
        yield from _values("size", sizes)
    else:
        yield from _quarters("size", width * height, *texts.SIZE_QUARTERS)
    ratio = width / height
    shapes = np.select([ratio > WIDE, ratio < 1 / WIDE], [0, 1], default=2)
    yield from _values("shape", [texts.SHAPES[shape] for shape in shapes.tolist()])
    paths = [Path(parts(every_file(path)[0])[0]) for path in samples.paths_N.tolist()]
    yield from _values("source", [f"folder {path.parent.name}" for path in paths])
    yield from _values("file type", [f"{path.suffix.lower().lstrip('.') or 'no'} files" for path in paths])


def _by_truth(samples: Samples) -> Iterator[tuple[Name, Bools]]:
    """By what is true: values of attributes, labels that hold, or the quarters of a value's range."""
    space = samples.space
    if space.kind == EXCLUSIVE:
        for k, attribute in enumerate(space.attributes):
            code_N = space.codes_CA[samples.labels, k]
            for code, value in enumerate(attribute.values):
                yield ((f"{LABEL}{attribute.name}", f"{attribute.name} {value}"),), code_N == code
        return
    truth_NK = np.asarray(samples.truth, dtype=np.float64)
    for k, name in enumerate(space.classes):
        if space.kind == LABELS:
            yield ((f"{LABEL}{name}", name),), np.nan_to_num(truth_NK[:, k]) >= 0.5
            continue
        known = truth_NK[:, k][~np.isnan(truth_NK[:, k])]
        low, high = (np.quantile(known, share) for share in (0.25, 0.75)) if len(known) else (0.0, 0.0)
        if low < high:
            named = f"{LABEL}{name}"
            yield ((named, texts.LOWEST_QUARTER.format(name=name)),), truth_NK[:, k] <= low
            yield ((named, texts.HIGHEST_QUARTER.format(name=name)),), truth_NK[:, k] >= high


def _by_metadata(samples: Samples, metadata: tuple[tuple[str, Kind], ...]) -> Iterator[tuple[Name, Bools]]:
    """Values of a category, the outer quarters of a number, and where either is missing."""
    if samples.cells_NM is None:
        return
    for at, (name, kind) in enumerate(metadata):
        cells = [str(cell).strip() for cell in samples.cells_NM[:, at]]
        lost_N, of = np.array([missing(cell) for cell in cells], dtype=np.bool_), f"metadata {name}"
        if lost_N.any() and not lost_N.all():
            yield ((of, texts.MISSING_METADATA.format(name=name)),), lost_N
        if kind == "category":
            words = [texts.NO_METADATA if missing(cell) else f"{name} {cell}" for cell in cells]
            yield from ((n, mask) for n, mask in _values(of, words) if n[0][1] != texts.NO_METADATA)
            continue
        value_N = np.array([number(cell) for cell in cells])
        known = value_N[~np.isnan(value_N)]
        low, high = (np.quantile(known, share) for share in (0.25, 0.75)) if len(known) else (0.0, 0.0)
        if low < high:
            yield ((of, texts.LOWEST_QUARTER.format(name=name)),), value_N <= low
            yield ((of, texts.HIGHEST_QUARTER.format(name=name)),), value_N >= high


def _quarters(
    kind: str, value_N: npt.NDArray[np.float64], low: str, high: str
) -> Iterator[tuple[Name, Bools]]:
    """The lowest and the highest quarter; none if the two have the same edge."""
    first, last = np.quantile(value_N, (0.25, 0.75)) if len(value_N) else (0.0, 0.0)
    if first < last:
        yield ((kind, low),), value_N <= first
        yield ((kind, high),), value_N >= last


def _values(kind: str, words: list[str]) -> Iterator[tuple[Name, Bools]]:
    """One slice for each value; none if there is one value or too many."""
    named = sorted(set(words))
    if 2 <= len(named) <= MOST_VALUES:
        array = np.array(words)
        for value in named:
            yield ((kind, value),), array == value


def _pairs(singles: dict[Name, Bools]) -> Iterator[tuple[Name, Bools]]:
    """All pairs of slices of different kinds."""
    names = list(singles)
    for i, one in enumerate(names):
        for other in names[i + 1 :]:
            if one[0][0] != other[0][0]:
                yield (*one, *other), singles[one] & singles[other]


def _enough(mask: Bools, group_N: Ints, n_groups: int, fewest: int) -> bool:
    inside = np.bincount(group_N[mask], minlength=n_groups) > 0
    outside = np.bincount(group_N[~mask], minlength=n_groups) > 0
    return bool(inside.sum() >= fewest and outside.sum() >= fewest)


@dataclass(frozen=True)
class Sheet:
    """One slice with pictures of its errors."""

    title: str
    summary: str
    keys: tuple[Key, ...]


def section(inputs: SliceInputs) -> ReportSection:
    """The section of the page."""
    slices = find(inputs)
    top = slices.table.head(SHOWN)
    sheets = [
        Sheet(
            _named(str(row["slice"])),
            _summary(row, inputs),
            tuple(("train", name) for name in ids[:EXAMPLES]),
        )
        for row, ids in zip(top.to_dict("records"), slices.members, strict=False)
    ]
    return ReportSection(
        ANCHOR,
        SHORT,
        "slices.html",
        {
            "title": TITLE,
            "slices": slices,
            "fewest": inputs.settings.slice_groups,
            "table": _shown(slices.table, inputs) if len(slices.table) else slices.table,
            "sheets": sheets,
            "plot": _plot(slices, top, inputs),
            "of_classes": inputs.train.space.kind == EXCLUSIVE,
            "in_spreads": inputs.in_spreads,
        },
        tuple(dict.fromkeys(key for sheet in sheets for key in sheet.keys)),
        finding=worded(texts.SLICES_FOUND, slices=len(slices.table))
        if len(slices.table)
        else texts.NONE_FOUND,
    )


def _named(name: str) -> str:
    """The parts of a slice's name, each a text of its own."""
    return joined(" · ", (Text(part) for part in name.split(AND)))


def _summary(row: dict[Any, Any], inputs: SliceInputs) -> str:
    if inputs.in_spreads:
        return texts.SLICE_OF_VALUES.format(
            images=plural(int(row["images"]), "image"),
            groups=plural(int(row["groups"]), "group"),
            wrong=inputs.shown(row["wrong"]),
            elsewhere=inputs.shown(row["elsewhere"]),
        )
    return texts.SLICE_SUMMARY.format(
        images=plural(int(row["images"]), "image"),
        groups=plural(int(row["groups"]), "group"),
        wrong=percent(row["wrong"]),
        elsewhere=percent(row["elsewhere"]),
    )


def _shown(table: pd.DataFrame, inputs: SliceInputs) -> pd.DataFrame:
    shown = table[["slice", "images", "groups"]].copy()
    for name, column in zip(texts.SLICE_COLUMNS, ("wrong", "elsewhere", "expected"), strict=True):
        if column != "expected" or inputs.train.space.kind == EXCLUSIVE:
            name = texts.SLICE_ERROR if inputs.in_spreads and column == "wrong" else name
            shown[name] = [inputs.shown(share) for share in table[column]]
    more = "more" if inputs.in_spreads else "more, points"
    shown[more] = [inputs.difference(x) for x in table["more"]]
    shown["at least"] = [inputs.difference(x) for x in table["at_least"]]
    shown["p, corrected"] = [p_value(p) for p in table["p"]]
    return shown


def _plot(slices: Slices, top: pd.DataFrame, inputs: SliceInputs) -> Markup:
    if not len(top):
        return plots.EMPTY
    rows = [
        plots.Bar(_named(str(row["slice"])), (float(row["wrong"]),), (inputs.shown(row["wrong"]),))
        for row in top.to_dict("records")
    ]
    everything = plots.Bar(texts.ALL_IMAGES, (slices.rate,), (inputs.shown(slices.rate),))
    title = texts.SLICE_PLOT if not inputs.in_spreads else texts.SLICE_PLOT_OF_VALUES
    return plots.bars([everything, *rows], title)
