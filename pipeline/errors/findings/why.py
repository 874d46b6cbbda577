"""Why it errs: for the worst errors, what the network looked at, and the nearest training images.

Owns choosing the errors, selecting from the results of `make explain`, the nearest training images, the
section; and how much of a network's attention is on the background, by class, with the warning of a shortcut.
Does not own the maps (`pipeline/explain/`), which arrive as pictures and facts, or the position of objects
(`explain/cases.py`). No torch: the error report does not load it.

If a network recognises a class by its background, it uses a shortcut and fails when the background changes. A
uniform map puts as much on the background as the area of the background; only the excess counts. Shares are
means over images; groups are resampled with replacement, and the interval is widened for the number of
classes (Bonferroni), so that a warning is not due to chance.

Shape legend: N images, C classes, D features, H height, W width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from pipeline.core.group_resampling import numbered, percentile_interval, times_multinomial
from pipeline.core.neighbours import across
from pipeline.core.predictions import Features, Probabilities
from pipeline.core.samples import Floats, Ints, Samples, Strings
from pipeline.core.seeds import rng
from pipeline.errors import texts
from pipeline.pages.report import Key, Pixels, ReportSection, percent, points, thumbnail

ANCHOR, SHORT = "why", texts.WHY_SHORT
TITLE = texts.WHY_TITLE
# The pictures of an error, (part, name) -> caption.
PICTURES = {
    ("cam", "image"): texts.PICTURE,
    ("cam", "gradcam-predicted"): texts.CAM_OF_PREDICTION,
    ("cam", "gradcam-rival"): texts.CAM_OF_TRUTH,
    ("occlusion", "occlusion-predicted"): texts.OCCLUSION,
}
FORMAT = 1
NEAREST = 4
PICTURE_PX = 132
MOST_CASES = 12
# With fewer groups the interval of a bootstrap is too narrow.
FEW_GROUPS = 8
WARNING, FINE, UNKNOWN = "shortcut?", "on the object", "can't tell"
# Gives the pixels of a file of `make explain`.
Picture = Callable[[str], Pixels]
Masks = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class NearImage:
    """A training image near an error."""

    key: Key
    label: str
    same_group: bool
    same_label: bool


@dataclass(frozen=True)
class Shown:
    """One picture: its data, its caption, and whether it is flat."""

    uri: str
    caption: str
    flat: bool


@dataclass(frozen=True)
class ErrorCard:
    """One error."""

    id: str
    headline: str
    pictures: tuple[Shown, ...]
    notes: tuple[str, ...]
    near: tuple[NearImage, ...]


def section(
    facts: Mapping[str, Any], picture: Picture, train: Samples, features: Features | None, again: str
) -> ReportSection:
    """The section of the page from explain.json; without features of the training images, no nearest ones.

    `again` is the command that explains more.
    """
    cases = _one_a_sample(facts["cases"].values())[:MOST_CASES]
    cards = [_card(facts["classes"], case, picture, train, features) for case in cases]
    attention = facts["parts"].get("attention", {}).get("data") or {}
    return ReportSection(
        ANCHOR,
        SHORT,
        "why.html",
        {
            "title": TITLE,
            "experiment": facts["experiment"],
            "again": again,
            "cards": cards,
            "errors": all(case["true"] not in (None, case["predicted"]) for case in cases),
            "neighbours": features is not None,
            "attention": _attention(attention),
            "warning": attention.get("warning") or "",
            "source": ", ".join(attention.get("from") or ()),
        },
        tuple(dict.fromkeys(near.key for card in cards for near in card.near)),
    )


def _one_a_sample(cases: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Of a sample of several images the one without which its answer would change most."""
    best: dict[tuple[str, str], Mapping[str, Any]] = {}
    for case in cases:
        key = str(case["split"]), str(case["id"])
        if key not in best or _weight(case) > _weight(best[key]):
            best[key] = case
    return list(best.values())


def _weight(case: Mapping[str, Any]) -> float:
    without = case.get("p_without")
    return 0.0 if without is None else abs(float(without) - float(case["p_predicted"]))


def _card(
    classes: Sequence[str],
    case: Mapping[str, Any],
    picture: Picture,
    train: Samples,
    features: Features | None,
) -> ErrorCard:
    flat = {(part, name) for part, facts in case.get("facts", {}).items() for name in facts.get("flat") or ()}
    files = {(p["part"], p["name"]): p["file"] for p in case["pictures"]}
    pictures = tuple(
        Shown(thumbnail(picture(files[which]), PICTURE_PX), _caption(which, caption, case), which in flat)
        for which, caption in PICTURES.items()
        if which in files
    )
    near: tuple[NearImage, ...] = ()
    if features is not None and case["split"] == "train":
        near = nearest(features, train, str(case["id"]))
    notes = tuple(str(note) for part, note in case.get("notes", {}).items() if part == "occlusion" and note)
    name = str(case["id"])
    if case.get("images", 1) > 1:
        name = texts.IMAGE_OF.format(sample=name, image=case["image"], images=case["images"])
    return ErrorCard(name, _headline(classes, case), pictures, notes, near)


def _caption(which: tuple[str, str], caption: str, case: Mapping[str, Any]) -> str:
    """The caption; the rival of a correct prediction is its second guess instead of the truth."""
    is_error = case["true"] is not None and case["true"] != case["predicted"]
    return texts.CAM_OF_SECOND if which[1] == "gradcam-rival" and not is_error else caption


def _headline(classes: Sequence[str], case: Mapping[str, Any]) -> str:
    prediction = texts.PREDICTED.format(predicted=classes[case["predicted"]], p=percent(case["p_predicted"]))
    if case["true"] is not None and case["true"] != case["predicted"]:
        true, p = classes[case["true"]], percent(case["p_true"])
        return texts.PREDICTED_WRONG.format(prediction=prediction, true=true, p=p)
    template = texts.PREDICTED_ONLY if case["true"] is None else texts.PREDICTED_RIGHT
    rival, p = classes[case["rival"]], percent(case["p_rival"])
    return template.format(prediction=prediction, rival=rival, p=p)


def _attention(data: Mapping[str, Any]) -> pd.DataFrame | None:
    """The share of attention on the background, by class."""
    rows = data.get("classes")
    if not rows:
        return None
    return pd.DataFrame(
        {
            "class": [row["name"] for row in rows],
            "images": [int(row["n_images"]) for row in rows],
            "groups": [int(row["n_groups"]) for row in rows],
            "attention on background": [percent(row["background"]) for row in rows],
            "area of the background": [percent(row["area"]) for row in rows],
            "excess, points": [points(row["excess"]) for row in rows],
            "interval": [_interval(row) for row in rows],
            "conclusion": [row["verdict"] for row in rows],
        }
    )


def _interval(row: Mapping[str, Any]) -> str:
    """The interval of the excess; with few groups it would be wider than the range of a share."""
    if row["n_groups"] < FEW_GROUPS:
        return texts.TOO_FEW
    return f"[{points(row['low'])}, {points(row['high'])}]"


def nearest(features: Features, train: Samples, name: str) -> tuple[NearImage, ...]:
    """The training images with the most similar features (first view) by cosine, without the image itself."""
    if name not in set(features.ids_N.tolist()) or name not in set(train.ids_N.tolist()):
        return ()
    x_ND = features.take(train.ids_N).x_NVD[:, 0]
    at = int(np.flatnonzero(train.ids_N == name)[0])
    others_N = np.delete(np.arange(len(train)), at)
    rows = others_N[across(x_ND[[at]], x_ND[others_N], NEAREST)[0]]
    return tuple(
        NearImage(
            ("train", str(train.ids_N[row])),
            train.space.classes[train.labels[row]],
            bool(train.groups_N[row] == train.groups_N[at]),
            bool(train.labels[row] == train.labels[at]),
        )
        for row in rows
    )


def errors(oof: Probabilities, samples: Samples, most: int) -> list[str]:
    """Ids of at most `most` errors, worst first; empty if there are no errors.

    The worst error has the largest difference between the probabilities of the predicted and of the true
    class. Errors are spread: no pair of classes and no group is repeated before all others were used once.
    Every id of `oof` must be in `samples`.
    """
    known = samples.take(oof.ids_N)
    wrong = np.flatnonzero(oof.labels() != known.labels)
    rows = np.arange(len(oof))
    margin_N = oof.p_NC[rows, oof.labels()] - oof.p_NC[rows, known.labels]
    worst = wrong[np.argsort(-margin_N[wrong], kind="stable")]
    pairs = [(int(known.labels[i]), int(oof.labels()[i])) for i in worst]
    turns = _turns(pairs)
    of_group = _turns([str(known.groups_N[i]) for i in worst])
    order = sorted(range(len(worst)), key=lambda k: (max(turns[k], of_group[k]), k))[:most]
    # Selected in turns, but shown worst first.
    return [str(oof.ids_N[i]) for i in worst[np.sort(np.array(order, dtype=np.int64))]]


def doubtful(oof: Probabilities, most: int) -> list[str]:
    """Ids of the images with the smallest difference of their two most probable classes."""
    two_N2 = np.sort(oof.p_NC, axis=1)[:, -2:]
    closest: Ints = np.argsort(two_N2[:, 1] - two_N2[:, 0], kind="stable")[:most]
    return [str(name) for name in oof.ids_N[closest]]


def _turns(names: list[str] | list[tuple[int, int]]) -> list[int]:
    """How often each name occurred before."""
    seen: dict[object, int] = {}
    turns: list[int] = []
    for name in names:
        turns.append(seen.get(name, 0))
        seen[name] = turns[-1] + 1
    return turns


@dataclass(frozen=True)
class ClassAttention:
    """Attention on one class's images.

    Args:
        name: of the class; "all" for all images together.
        n_images, n_groups: how many were measured.
        background: mean share of attention on the background, 0 to 1.
        area: mean share of the image that is background.
        excess: background minus area; above 0 attention prefers the background.
        low, high: interval of `excess`, 95 % for all classes together.
        verdict: the conclusion: "shortcut?", "on the object" or "can't tell"; explain.json has this name.
    """

    name: str
    n_images: int
    n_groups: int
    background: float
    area: float
    excess: float
    low: float
    high: float
    verdict: str


def on_background(map_HW: Floats, object_HW: Masks) -> float | None:
    """Share of the positive mass of a map outside the object, 0 to 1; None if nothing is positive."""
    positive = np.maximum(map_HW.astype(np.float64), 0)
    total = float(positive.sum())
    return float(positive[~object_HW].sum()) / total if total > 0 else None


def by_class(
    background_N: Floats,
    area_N: Floats,
    labels_N: Ints,
    groups_N: Strings,
    classes: Sequence[str],
    draws: int,
    seed: int,
) -> tuple[ClassAttention, ...]:
    """Attention of each class that has images, most on the background first, then of all together.

    `background_N` is the share of attention on the background, `area_N` the share of the image that is
    background; whole groups are resampled, `draws` ≥ 100 times.
    """
    excess_N = background_N.astype(np.float64) - area_N
    present = [c for c in range(len(classes)) if (labels_N == c).any()]
    level = 0.05 / max(len(present), 1)
    rows = []
    for c in [*present, None]:
        of_N = np.ones(len(labels_N), bool) if c is None else labels_N == c
        ends = _ends(excess_N[of_N], groups_N[of_N], 0.05 if c is None else level, draws, seed)
        n_groups, name = len(np.unique(groups_N[of_N])), "all" if c is None else classes[c]
        background, area, excess = (float(x_N[of_N].mean()) for x_N in (background_N, area_N, excess_N))
        measured = (int(of_N.sum()), n_groups, background, area, excess)
        rows.append(ClassAttention(name, *measured, *ends, _conclusion(*ends, n_groups)))
    return (*sorted(rows[:-1], key=lambda a: -a.excess), rows[-1])


def warning(classes: Sequence[ClassAttention]) -> str:
    """A warning about the classes that the network seems to recognise by their background; empty if none."""
    names = [a.name for a in classes if a.verdict == WARNING and a.name != "all"]
    return texts.SHORTCUT.format(classes=", ".join(names)) if names else ""


def _ends(
    excess_N: npt.NDArray[np.float64], groups_N: Strings, level: float, draws: int, seed: int
) -> tuple[float, float]:
    """Percentile interval of the mean, whole groups resampled, widened for few groups.

    With few groups the percentiles of a bootstrap are too narrow: their distance to the mean is multiplied
    by the ratio of Student's t to the normal quantile, and by √(G / (G - 1)) (Hesterberg 2015,
    https://doi.org/10.1080/00031305.2015.1089789, section 5).
    """
    at_N, n_groups = numbered(groups_N)
    sums_G = np.bincount(at_N, excess_N)
    counts_G = np.bincount(at_N).astype(float)
    times_BG = times_multinomial(rng(seed, "attention"), n_groups, draws)
    means_B = (times_BG @ sums_G) / (times_BG @ counts_G)
    mean = float(excess_N.mean())
    if n_groups < 2:
        return -1.0, 1.0  # one group gives no interval
    far = stats.t.ppf(1 - level / 2, n_groups - 1) / stats.norm.ppf(1 - level / 2)
    wide = float(far) * (n_groups / (n_groups - 1)) ** 0.5
    low, high = percentile_interval(means_B, level)
    return mean + (float(low) - mean) * wide, mean + (float(high) - mean) * wide


def _conclusion(low: float, high: float, n_groups: int) -> str:
    if n_groups < FEW_GROUPS or low <= 0 <= high:
        return UNKNOWN
    return WARNING if low > 0 else FINE
