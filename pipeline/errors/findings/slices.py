"""Slices of the data that fail more often than chance: attributes, image quality, size, shape, source.

Owns cutting the data into slices and pairs of slices, testing them all, and the section. Does not own the
test (`core/group_resampling.py`) nor measuring images (the image facts).

A slice is an attribute's value, a quarter of the images by a measure, a size, a shape, a folder or a file
type; a pair is two of different kinds. Each slice's error rate is held against that of all other images.
Whole groups are flipped, and the largest deviation over all slices that were tried sets the bar, so the
chance that any slice is told by luck is 5 %. What is told is the new run's errors of the class.

Why not sliceline or slicefinder: they rank slices by a score without a test, know no groups, and prune a
lattice that here has a few hundred nodes, which one matrix product counts.

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
from pipeline.core.samples import Ints, Samples, positions, strings
from pipeline.pages import plots
from pipeline.pages.report import Key, p_value, percent, plural, points
from pipeline.pages.section import Section
from pipeline.settings.report import FinderSettings

ANCHOR, SHORT = "slices", "Slices"
TITLE = "Slices that fail more than chance"
# More values of one kind than these are names and no kinds.
MOST_VALUES = 12
QUARTERS = {
    "brightness": ("darkest quarter", "brightest quarter"),
    "contrast": ("quarter of lowest contrast", "quarter of highest contrast"),
    "blur": ("most blurred quarter", "sharpest quarter"),
}
WIDE = 1.15
SHOWN, EXAMPLES = 12, 10


@dataclass(frozen=True)
class SliceInputs:
    """What the section is made of.

    Args:
        train: the labelled samples.
        ids_N: the images that were predicted.
        predicted_N: the class that was answered.
        facts: a row a training image: id, width, height, brightness, contrast, blur.
        seed: of the flips.
        settings: `slice_groups`, since one odd group would make a smaller slice; `pair_gain`, since a pair
            that fails no more often than its parts only repeats the worse one.
    """

    train: Samples
    ids_N: npt.NDArray[np.str_]
    predicted_N: Ints
    facts: pd.DataFrame
    seed: int
    settings: FinderSettings = FinderSettings()


@dataclass(frozen=True)
class Slices:
    """What was tried and what was found.

    Args:
        tried: how many slices and pairs were tested.
        rate: error rate of all images.
        table: a row a slice that fails more than chance, most errors above the rest first: slice, images,
            groups, wrong (share), elsewhere, expected (share, by its classes alone), more (difference),
            at_least (its lower bound, all slices at once), p, extra (errors beyond `elsewhere`).
        members: of each row, the ids that it answers wrongly, in table order.
        inside: of each row, which of the images (`ids_N`) lie in it.
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
    wrong_N = (inputs.predicted_N != samples.labels).astype(np.float64)
    group_N, n_groups = numbered(samples.groups_N)
    masks = cut(samples, inputs.facts, inputs.settings.slice_groups)
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
    by_class = pd.Series(wrong_N).groupby(samples.labels).transform("mean").to_numpy()
    rates = dict(zip(masks, rate_K, strict=True))
    rows, members, inside = [], [], []
    for k, (name, mask) in enumerate(masks.items()):
        worse = len(name) == 1 or rates[name] >= inputs.settings.pair_gain * max(
            rates[(part,)] for part in name
        )
        if not (test.found_K[k] and more_K[k] > 0 and worse):
            continue
        rows.append(
            {
                "slice": " and ".join(part[1] for part in name),
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
        )
        members.append(tuple(samples.ids_N[mask & (wrong_N > 0)].tolist()))
        inside.append(mask)
    order = sorted(range(len(rows)), key=lambda row: -float(rows[row]["extra"]))
    table = pd.DataFrame([rows[row] for row in order])
    told, lying = tuple(members[row] for row in order), tuple(inside[row] for row in order)
    return Slices(len(masks), float(wrong_N.mean()), table, told, lying)


# A slice's name: one part, or two, each (kind, value in words).
Name = tuple[tuple[str, str], ...]


def cut(samples: Samples, facts: pd.DataFrame, fewest: int) -> dict[Name, Bools]:
    """Every slice and pair with so many groups inside and outside, and which samples lie in it.

    Raises:
        DataError: a sample has no facts.
    """
    group_N, n_groups = numbered(samples.groups_N)
    singles = {n: m for n, m in _atoms(samples, facts) if _enough(m, group_N, n_groups, fewest)}
    return singles | {n: m for n, m in _pairs(singles) if _enough(m, group_N, n_groups, fewest)}


def _atoms(samples: Samples, facts: pd.DataFrame) -> Iterator[tuple[Name, Bools]]:
    """The slices of depth 1."""
    space = samples.space
    for k, attribute in enumerate(space.attributes):
        code_N = space.codes_CA[samples.labels, k]
        for code, value in enumerate(attribute.values):
            yield ((attribute.name, f"{attribute.name} {value}"),), code_N == code
    ids = strings([str(name) for name in facts["id"]])
    rows = facts.iloc[positions(samples.ids_N, ids, "image facts")]
    for measure, (low, high) in QUARTERS.items():
        yield from _quarters(measure, rows[measure].to_numpy(float), low, high)
    width, height = rows["width"].to_numpy(float), rows["height"].to_numpy(float)
    sizes = [f"{w:.0f} × {h:.0f} px" for w, h in zip(width, height, strict=True)]
    few = len(set(sizes)) <= MOST_VALUES
    yield from (
        _values("size", sizes)
        if few
        else _quarters("size", width * height, "smallest quarter", "largest quarter")
    )
    ratio = width / height
    shapes = np.select([ratio > WIDE, ratio < 1 / WIDE], ["wide", "tall"], default="square")
    yield from _values("shape", [f"{shape} images" for shape in shapes])
    paths = [Path(path) for path in samples.paths_N.tolist()]
    yield from _values("source", [f"folder {path.parent.name}" for path in paths])
    yield from _values("file type", [f"{path.suffix.lower().lstrip('.') or 'no'} files" for path in paths])


def _quarters(
    kind: str, value_N: npt.NDArray[np.float64], low: str, high: str
) -> Iterator[tuple[Name, Bools]]:
    """The lowest and the highest quarter, where the measure has so many different values."""
    first, last = np.quantile(value_N, (0.25, 0.75)) if len(value_N) else (0.0, 0.0)
    if first < last:
        yield ((kind, low),), value_N <= first
        yield ((kind, high),), value_N >= last


def _values(kind: str, words: list[str]) -> Iterator[tuple[Name, Bools]]:
    """A slice a value, where there are several and not too many."""
    named = sorted(set(words))
    if 2 <= len(named) <= MOST_VALUES:
        array = np.array(words)
        for value in named:
            yield ((kind, value),), array == value


def _pairs(singles: dict[Name, Bools]) -> Iterator[tuple[Name, Bools]]:
    """Two slices of different kinds at once."""
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
    told: str
    keys: tuple[Key, ...]


def section(inputs: SliceInputs) -> Section:
    """The section of the page."""
    found = find(inputs)
    top = found.table.head(SHOWN)
    sheets = [
        Sheet(str(row["slice"]), _told(row), tuple(("train", name) for name in ids[:EXAMPLES]))
        for row, ids in zip(top.to_dict("records"), found.members, strict=False)
    ]
    return Section(
        ANCHOR,
        SHORT,
        "slices.html",
        {
            "title": TITLE,
            "found": found,
            "fewest": inputs.settings.slice_groups,
            "table": _shown(found.table) if len(found.table) else found.table,
            "sheets": sheets,
            "plot": _plot(found, top),
        },
        tuple(dict.fromkeys(key for sheet in sheets for key in sheet.keys)),
    )


def _told(row: dict[Any, Any]) -> str:
    images = f"{plural(int(row['images']), 'image')} of {plural(int(row['groups']), 'group')}"
    return f"{images}: {percent(row['wrong'])} wrong, {percent(row['elsewhere'])} elsewhere"


def _shown(table: pd.DataFrame) -> pd.DataFrame:
    shown = table[["slice", "images", "groups"]].copy()
    for name, column in (
        ("wrong", "wrong"),
        ("elsewhere", "elsewhere"),
        ("by its classes alone", "expected"),
    ):
        shown[name] = [percent(share) for share in table[column]]
    shown["more, points"] = [points(x) for x in table["more"]]
    shown["at least"] = [points(x) for x in table["at_least"]]
    shown["p, corrected"] = [p_value(p) for p in table["p"]]
    return shown


def _plot(found: Slices, top: pd.DataFrame) -> Markup:
    if not len(top):
        return plots.EMPTY
    rows = [
        plots.Bar(str(row["slice"]), (float(row["wrong"]),), (percent(row["wrong"]),))
        for row in top.to_dict("records")
    ]
    everything = plots.Bar("all images", (found.rate,), (percent(found.rate),))
    return plots.bars([everything, *rows], "Share of wrong answers by slice")
