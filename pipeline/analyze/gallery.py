"""The gallery of `make explain`: pictures, tables and clouds as one self-contained page.

Owns the values that a part of `pipeline/explain/` gives back, and the page that shows them. Does not own
making any picture (`pipeline/explain/`), the frame of the page (`report.py`) or files (`stages/explain.py`).

Legend: N images, H height, W width, h and w of a thumbnail.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from pipeline.core.types import Floats

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Picture:
    """One picture of a row.

    Args:
        name: of its file, a word in lower case, e.g. "gradcam-true"; unique within its row.
        caption: one short line below it.
        pixels_HWC: uint8, 3 channels. Small ones are enlarged without smoothing by the page.
        title: a sentence for screen readers and as tooltip; empty: the caption.
        group: pictures of one group stand together under this heading; empty: none.
    """

    name: str
    caption: str
    pixels_HWC: Pixels
    title: str = ""
    group: str = ""


@dataclass(frozen=True)
class Row:
    """Pictures that belong together, of one image or of one layer or class.

    Args:
        name: of its folder, unique within its part: a case's `key`, or a word such as "blocks-3".
        title: e.g. "train/17: true cat, predicted dog (91 %)".
        pictures: at least one, in reading order.
        note: what they show or don't, a sentence; empty: none.
        case: the `key` of the case that they are of; None: of no case.
    """

    name: str
    title: str
    pictures: tuple[Picture, ...]
    note: str = ""
    case: str | None = None


@dataclass(frozen=True)
class Table:
    """Figures.

    Args:
        title: above it.
        columns: heads.
        rows: a value a column: text, numbers, bool or None.
        note: how to read it; empty: none.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    note: str = ""


@dataclass(frozen=True)
class Drawing:
    """A figure of `analyze/plots.py`, with its caption; the markup is ours, texts in it are escaped."""

    caption: str
    svg: Markup


@dataclass(frozen=True)
class Cloud:
    """A scatter of images: colour by choice, the image's thumbnail on hover and on focus.

    Args:
        caption: what the axes are, or that they mean nothing.
        names_N: what a point is called, e.g. "train/17".
        xy_N2: finite, any unit; the page fits it.
        colours: by the name of the choice (class, an attribute, error), the value of each point.
        thumbs_N: small uint8 (h, w, 3) pictures, ≤ 48 px; empty: none are shown.
        notes_N: a line more on hover; empty: none.
    """

    caption: str
    names_N: tuple[str, ...]
    xy_N2: Floats
    colours: Mapping[str, tuple[str, ...]]
    thumbs_N: tuple[Pixels, ...] = ()
    notes_N: tuple[str, ...] = ()


@dataclass(frozen=True)
class Part:
    """What one part found.

    Args:
        name: as in `PARTS`.
        title: heading of its section.
        lead: one sentence: what it is and how to read it.
        rows: of pictures.
        tables, drawings, clouds: shown in this order between the lead and the rows.
        notes: plain sentences (how it was made, sources), shown below the lead.
        warnings: what must not be read as a finding; shown first and marked.
        figures: for the manifest and MLflow; names are prefixed with the part's.
        facts: JSON values by case `key`, for explain.json: what other reports use.
    """

    name: str
    title: str
    lead: str
    rows: tuple[Row, ...] = ()
    tables: tuple[Table, ...] = ()
    drawings: tuple[Drawing, ...] = ()
    clouds: tuple[Cloud, ...] = ()
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    figures: Mapping[str, float] = field(default_factory=dict)
    facts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
