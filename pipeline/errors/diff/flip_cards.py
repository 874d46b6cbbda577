"""The section "Flips": a gallery of the changed predictions, with the nearest training images.

Owns the section and choosing the flips that get neighbours. Does not own counting (`flips.py`), the table by
attribute (`attributes.py`), judging (`errors/judging/`), the search for neighbours (`core/neighbours.py`) nor
features.

All cards are columns of JSON with their pictures, and the script of the page draws one screenful at a time;
the first `STATIC` cards are also HTML, for readers without scripts. So five thousand flips are 5,000 short
rows and pictures, not 5,000 elements (docs/log.md has the loading times).

Shape legend: N images, V views, D features, Q flips, K neighbours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
from markupsafe import Markup

from pipeline.core.neighbours import across
from pipeline.core.predictions import Features
from pipeline.core.samples import LabelSpace, Samples, strings
from pipeline.core.wording import worded
from pipeline.errors import texts
from pipeline.errors.diff.flips import CLASS, Flips, marked
from pipeline.errors.judging import page as judging_page
from pipeline.errors.judging.estimate import ScoreEstimate
from pipeline.pages.report import ImageOf, Key, ReportSection, json_data, pictures
from pipeline.settings.report import ReportSettings

# The flips with the smallest confidence gap get neighbours, so many of them and so many each.
MOST = 500
NEAREST = 4
STATIC = 24
PAGE = 60
SURE = 0.8
NEAR_PX = 48  # longest side of the picture of a neighbour


# Neighbours of some flips: test id -> its nearest training images, nearest first: (id, class index).
FlipNeighbours = dict[str, tuple[tuple[str, int], ...]]


def near(images: pd.DataFrame, train: Samples, of_train: Features, of_test: Features) -> FlipNeighbours:
    """The neighbours of the `MOST` flips with the smallest confidence gap, by features of one network.

    Without probabilities the first flips get neighbours.
    """
    doubtful = images.sort_values("gap", kind="stable", na_position="last").head(MOST)
    names = doubtful["id"].astype(str).tolist()
    if not names:
        return {}
    x_QD = of_test.take(strings(names)).x_NVD[:, 0]
    x_ND = of_train.take(train.ids_N).x_NVD[:, 0]
    nearest_QK = across(x_QD, x_ND, NEAREST)
    return {
        name: tuple((str(train.ids_N[row]), int(train.labels[row])) for row in rows)
        for name, rows in zip(names, nearest_QK.tolist(), strict=True)
    }


@dataclass(frozen=True)
class _FlipSide:
    """One submission on a card: the value of each attribute and whether it changed; its confidence."""

    values: tuple[tuple[str, bool], ...]
    p: float | None


@dataclass(frozen=True)
class _FlipCard:
    """One changed prediction."""

    key: Key
    label: str
    old: _FlipSide
    new: _FlipSide


def section(
    flips: Flips | None,
    space: LabelSpace,
    image: ImageOf,
    settings: ReportSettings,
    estimate: ScoreEstimate | None,
    near: FlipNeighbours | None = None,
) -> ReportSection:
    """The section of the page; `flips` is None without another submission, `near` without features."""
    if flips is None:
        return ReportSection("flips", texts.FLIPS_SHORT, "flips.html", {"flips": None, "estimate": None})
    shown = flips.images.head(settings.max_flips)
    cards = [_card(space, row) for row in shown.head(STATIC).to_dict("records")]
    gallery = {
        "flips": flips,
        "shown": len(shown),
        "cards": cards,
        "attributes": [CLASS] * (len(space.attributes) > 1) + [a.name for a in space.attributes],
        "probabilities": bool(len(shown) and shown[["p_old", "p_new"]].notna().all(axis=None)),
        "any_probability": bool(len(shown) and shown["gap"].notna().any()),
        "sure": SURE,
        "estimate": None if estimate is None else judging_page.estimate_values(estimate),
        "near": None if near is None else sum(name in near for name in shown["id"].astype(str)),
    }
    data = Markup("")
    if len(shown):
        card_data = {**_data(shown, space, image, settings.thumbnail_px), "near": _near(shown, near, image)}
        data = json_data("directions", _direction_data(flips, space)) + json_data("cards", card_data)
    found = worded(texts.FLIPS_FOUND, flips=len(flips.images), images=flips.n_images)
    wanted = tuple(c.key for c in cards)
    short = texts.FLIPS_SHORT
    return ReportSection("flips", short, "flips.html", gallery, wanted, data, ("flips.js",), finding=found)


def _card(space: LabelSpace, row: Mapping[Any, Any]) -> _FlipCard:
    old, new = int(row["old"]), int(row["new"])
    return _FlipCard(
        key=("test", str(row["id"])),
        label=f"{row['id']}: {space.classes[old]} → {space.classes[new]}",
        old=_FlipSide(marked(space, old, new), None if pd.isna(row["p_old"]) else float(row["p_old"])),
        new=_FlipSide(marked(space, new, old), None if pd.isna(row["p_new"]) else float(row["p_new"])),
    )


def _data(shown: pd.DataFrame, space: LabelSpace, image: ImageOf, size_px: int) -> dict[str, Any]:
    """The data of the cards for the script: columns, and each picture once."""
    ids = shown["id"].astype(str).tolist()
    which, distinct = pictures([("test", name) for name in ids], image, size_px)
    numbers = ("p_old", "p_new", "gap")
    columns = {n: [None if pd.isna(x) else round(float(x), 4) for x in shown[n]] for n in numbers}
    return {
        "id": ids,
        "old": [int(x) for x in shown["old"]],
        "new": [int(x) for x in shown["new"]],
        **columns,
        "picture": which,
        "pictures": distinct,
        "classes": list(space.classes),
        "attributes": [{"name": a.name, "values": list(a.values)} for a in space.attributes],
        "codes": space.codes_CA.tolist(),
        "page": PAGE,
        "sure": SURE,
    }


def _near(shown: pd.DataFrame, near: FlipNeighbours | None, image: ImageOf) -> dict[str, Any] | None:
    """The training images near the shown flips, each once, and the neighbours of each flip."""
    if near is None:
        return None
    of = [near.get(name, ()) for name in shown["id"].astype(str)]
    label = dict(one for ones in of for one in ones)
    place = {name: at for at, name in enumerate(label)}
    which, distinct = pictures([("train", name) for name in label], image, NEAR_PX)
    return {
        "of": [[place[name] for name, _ in ones] for ones in of],
        "id": list(label),
        "label": list(label.values()),
        "picture": which,
        "pictures": distinct,
    }


def _direction_data(flips: Flips, space: LabelSpace) -> list[dict[str, Any]]:
    """Changes of one attribute in the order of the table; then changes of the class if it has several."""
    rows = [
        {"attribute": r["attribute"], "old": r["old"], "new": r["new"], "images": int(r["images"])}
        for r in flips.directions.to_dict("records")
    ]
    if len(space.attributes) > 1:
        counted = flips.images.groupby(["old", "new"]).size().rename("images").reset_index()
        for r in counted.sort_values("images", ascending=False, kind="stable").to_dict("records"):
            old, new = space.classes[int(r["old"])], space.classes[int(r["new"])]
            rows.append({"attribute": CLASS, "old": old, "new": new, "images": int(r["images"])})
    return rows
