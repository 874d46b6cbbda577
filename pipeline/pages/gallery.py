"""The gallery of `make explain`: pictures, tables and clouds as one self-contained page.

Owns the values that a panel of `explain/` returns, and the page that shows them. Does not own making
any picture (`explain/`), the frame of the page (`report.py`) or files (`explain/page.py`).

Legend: N images, H height, W width, h and w of a thumbnail.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from pipeline.core.samples import Floats
from pipeline.pages.report import Thumbnails, json_data, render, thumbnail

Pixels = npt.NDArray[np.uint8]

# Longest side of a picture and of a thumbnail in the page, px.
PICTURE_PX, HOVER_PX = 256, 48
# Width at which pictures are shown, px.
SHOWN_PX = 132
# Number of pictures that lead the page, and names of pictures that tell nothing by themselves.
MOST_TELLING, PLAIN = 6, ("image", "random")
# A leading picture has at least so many pixels on its shorter side.
LEAST_PX = 8


@dataclass(frozen=True)
class Picture:
    """One picture of a row.

    Args:
        name: of its file, in lower case, e.g. "gradcam-true"; unique within its row.
        caption: one short line below it.
        pixels_HWC: uint8, 3 channels. The page enlarges small ones without smoothing.
        title: a sentence for screen readers and as tooltip; empty: the caption.
        group: pictures of one group are shown together under this heading; empty: none.
        shows: False for a map without a finding, which the page names instead of showing it.
    """

    name: str
    caption: str
    pixels_HWC: Pixels
    title: str = ""
    group: str = ""
    shows: bool = True


@dataclass(frozen=True)
class GalleryRow:
    """Pictures that belong together: of one image, layer or class.

    Args:
        name: of its folder, unique within its panel: a case's `key`, or a word such as "blocks-3".
        title: e.g. "train/17: true cat, predicted dog (91 %)".
        pictures: at least one, in reading order.
        note: a sentence on what they show or do not show; empty: none.
        case: the `key` of the explained image; None: not of one image.
    """

    name: str
    title: str
    pictures: tuple[Picture, ...]
    note: str = ""
    case: str | None = None


@dataclass(frozen=True)
class GalleryTable:
    """A table of a panel.

    Args:
        title: above it.
        columns: their headings.
        rows: one value per column: text, numbers, bool or None.
        note: how to read it; empty: none.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    note: str = ""


@dataclass(frozen=True)
class Drawing:
    """A drawing of `pages/plots.py` with its caption; texts in its markup are escaped."""

    caption: str
    svg: Markup


@dataclass(frozen=True)
class Cloud:
    """A scatter plot of images, with a choice of colours and the image's thumbnail on hover and on focus.

    Args:
        caption: the meaning of the axes, or that they have none.
        names_N: names of the points, e.g. "train/17".
        xy_N2: finite, in any unit; the page scales it.
        colours: by the name of the choice (class, an attribute, error), the value of each point.
        thumbs_N: small uint8 (h, w, 3) pictures, ≤ 48 px; empty: none are shown.
        notes_N: another line on hover; empty: none.
    """

    caption: str
    names_N: tuple[str, ...]
    xy_N2: Floats
    colours: Mapping[str, tuple[str, ...]]
    thumbs_N: tuple[Pixels, ...] = ()
    notes_N: tuple[str, ...] = ()


@dataclass(frozen=True)
class Panel:
    """One method's section of the gallery: what it found.

    Args:
        name: as in `explain/panels.py`.
        title: heading of its section.
        lead: one sentence: what it shows and how to read it.
        rows: of pictures.
        tables, drawings, clouds: shown in this order between the lead and the rows.
        notes: plain sentences (how it was made, sources), shown at the end.
        warnings: sentences on what is not a finding; shown first and marked.
        figures: for the manifest and MLflow; names are prefixed with the panel's.
        facts: JSON values by image `key`, for explain.json, which other reports read.
        data: a JSON value of the whole panel, for explain.json; None: none.
    """

    name: str
    title: str
    lead: str
    rows: tuple[GalleryRow, ...] = ()
    tables: tuple[GalleryTable, ...] = ()
    drawings: tuple[Drawing, ...] = ()
    clouds: tuple[Cloud, ...] = ()
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    figures: Mapping[str, float] = field(default_factory=dict)
    facts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    data: Any = None


@dataclass(frozen=True)
class Telling:
    """A picture that leads the page, with the row and the panel that it is from."""

    panel: Panel
    row: GalleryRow
    picture: Picture


@dataclass(frozen=True)
class Gallery:
    """The page of one run of `make explain`.

    Args:
        title: heading.
        lead: a sentence on which images are explained and why.
        commands: further commands, each as (description, command).
        panels: in the order of the page, at least one.
        cases: (`key`, title) of the explained images, in the order of the page.
    """

    title: str
    lead: str
    commands: tuple[tuple[str, str], ...]
    panels: tuple[Panel, ...]
    cases: tuple[tuple[str, str], ...] = ()


def telling(panels: Sequence[Panel], most: int = MOST_TELLING) -> list[Telling]:
    """The pictures that lead the page: of each panel that of its first row, then of its second, and so on.

    Panels about the explained images come before those about the network. A map without a finding, the plain
    image, the check with random weights, and a picture of a few pixels tell nothing.
    """
    found: list[list[Telling]] = []
    for panel in sorted(panels, key=lambda panel: not any(row.case for row in panel.rows)):
        rows = []
        for row in panel.rows:
            pictures = [p for p in row.pictures if _tells(p)]
            if pictures:
                rows.append(Telling(panel, row, pictures[0]))
        found.append(rows)
    longest = max((len(rows) for rows in found), default=0)
    by_turns = [rows[turn] for turn in range(longest) for rows in found if turn < len(rows)]
    return by_turns[:most]


def render_html(gallery: Gallery) -> str:
    """The self-contained page."""
    number = {key: at for at, (key, _) in enumerate(gallery.cases)}
    return render(
        "gallery.html",
        script="gallery.js",
        title=gallery.title,
        gallery=gallery,
        sections=[_section(panel, number) for panel in gallery.panels],
        telling=[_told(one) for one in telling(gallery.panels)],
        clouds=json_data("clouds", [_cloud(c) for panel in gallery.panels for c in panel.clouds]),
        thumbs=Thumbnails.none(),
        thumbnail_px=SHOWN_PX,
    )


def _tells(picture: Picture) -> bool:
    return picture.shows and picture.name not in PLAIN and min(picture.pixels_HWC.shape[:2]) >= LEAST_PX


def _told(one: Telling) -> dict[str, Any]:
    """A leading picture in the form of its template."""
    caption = ": ".join(text for text in (one.picture.group, one.picture.caption) if text)
    return {"panel": one.panel, "title": one.row.title, "note": one.row.note, "caption": caption} | _shown(
        one.picture
    )


def _section(panel: Panel, number: Mapping[str, int]) -> dict[str, Any]:
    """A panel in the form of its template: pictures as data URIs, by group."""
    rows = [
        {
            "title": row.title,
            "note": row.note,
            "case": number.get(row.case or "", ""),
            "groups": _groups(tuple(picture for picture in row.pictures if picture.shows)),
            "nothing": [_full_name(picture) for picture in row.pictures if not picture.shows],
        }
        for row in panel.rows
    ]
    return {"panel": panel, "rows": rows, "pictures": sum(len(row.pictures) for row in panel.rows)}


def _full_name(picture: Picture) -> str:
    return f"{picture.caption} ({picture.group})" if picture.group else picture.caption


def _groups(pictures: tuple[Picture, ...]) -> list[tuple[str, list[dict[str, Any]]]]:
    """Pictures by heading, in the order in which the headings first occur."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for picture in pictures:
        groups.setdefault(picture.group, []).append(_shown(picture) | {"caption": picture.caption})
    return list(groups.items())


def _shown(picture: Picture) -> dict[str, Any]:
    """A picture as the values of an `<img>`."""
    return {
        "src": thumbnail(picture.pixels_HWC, PICTURE_PX),
        "alt": picture.title or picture.caption,
        "small": max(picture.pixels_HWC.shape[:2]) < SHOWN_PX,
    }


def _cloud(cloud: Cloud) -> dict[str, Any]:
    """A cloud in the form of the script: places from 0 to 1, y upwards; the values of a colour as numbers."""
    low, high = cloud.xy_N2.min(axis=0), cloud.xy_N2.max(axis=0)
    xy_N2 = (cloud.xy_N2 - low) / np.maximum(high - low, 1e-12)
    colours = []
    for name, values in cloud.colours.items():
        kinds = sorted(set(values), key=lambda value: (-values.count(value), value))
        place = {kind: at for at, kind in enumerate(kinds)}
        colours.append({"name": name, "kinds": kinds, "of": [place[value] for value in values]})
    return {
        "names": list(cloud.names_N),
        "x": [round(float(x), 4) for x in xy_N2[:, 0]],
        "y": [round(float(y), 4) for y in xy_N2[:, 1]],
        "colours": colours,
        "thumbs": [thumbnail(pixels, HOVER_PX) for pixels in cloud.thumbs_N],
        "notes": list(cloud.notes_N),
    }
