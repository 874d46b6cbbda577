"""Why it errs: for the worst errors, what the network looked at, and the nearest training images.

Owns choosing the errors, selecting from the results of `make explain`, the nearest training images, and the
section. Does not own the maps (`pipeline/explain/`), which arrive as pictures and facts.

Shape legend: N images, C classes, D features.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from pipeline.core.neighbours import across
from pipeline.core.predictions import Features, Probabilities
from pipeline.core.samples import Ints, Samples
from pipeline.errors.findings import texts
from pipeline.errors.findings.attention import FEW_GROUPS
from pipeline.pages.report import Key, Pixels, percent, points, thumbnail
from pipeline.pages.section import ReportSection

ANCHOR, SHORT = "why", "Why"
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


# Gives the pixels of a file of `make explain`.
Picture = Callable[[str], Pixels]


def section(
    facts: Mapping[str, Any], picture: Picture, train: Samples, features: Features | None
) -> ReportSection:
    """The section of the page from explain.json; without features of the training images, no nearest ones."""
    cases = list(facts["cases"].values())[:MOST_CASES]
    cards = [_card(facts["classes"], case, picture, train, features) for case in cases]
    attention = facts["parts"].get("attention", {}).get("data") or {}
    return ReportSection(
        ANCHOR,
        SHORT,
        "why.html",
        {
            "title": TITLE,
            "experiment": facts["experiment"],
            "again": f"make explain RUN={shlex.quote(str(facts['experiment']))}",
            "cards": cards,
            "errors": all(case["true"] not in (None, case["predicted"]) for case in cases),
            "neighbours": features is not None,
            "attention": _attention(attention),
            "warning": attention.get("warning") or "",
            "source": ", ".join(attention.get("from") or ()),
        },
        tuple(dict.fromkeys(near.key for card in cards for near in card.near)),
    )


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
    return ErrorCard(str(case["id"]), _headline(classes, case), pictures, notes, near)


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
    return texts.INTERVAL.format(low=points(row["low"]), high=points(row["high"]))


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
