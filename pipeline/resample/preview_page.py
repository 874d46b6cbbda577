"""The preview page: images as training sees them, the before-and-after sheet, and the crop sheet.

Owns the page, the PNG and drawing windows on pictures. Does not own making any of the pixels
(`data/preprocess.py`, `data/augment.py`): they arrive as values.

Legend: H height, W width; pixels are uint8, RGB.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw, ImageFont

from pipeline.pages.command_words import make_with
from pipeline.pages.report import Key, Pixels, count, percent, plural, render, thumbnails
from pipeline.resample import texts
from pipeline.settings.schema import Config

# left, top, right, bottom in px
Window = tuple[int, int, int, int]

WORST = 24
INSIDE = 0.995
SMALLEST_PX, LEAST_PX, MOST_PX, PAGE_PX = 64, 108, 176, 1026
WINDOW_COLOUR, BOX_COLOUR = (47, 158, 119), (217, 86, 47)
GAP_PX, HEADER_PX = 6, 22


@dataclass(frozen=True)
class PreviewRow:
    """One training image at each step.

    Args:
        pictures: column title -> pixels, the same columns in every row.
    """

    id: str
    label: str
    pictures: dict[str, Pixels]


@dataclass(frozen=True)
class Pair:
    """One image before and after preprocessing; `split` and `id` name it."""

    split: str
    id: str
    before: Pixels
    after: Pixels


@dataclass(frozen=True)
class Boxed:
    """An image with its box and its crop window drawn in, and the share of the box that is inside."""

    split: str
    id: str
    inside: float
    picture: Pixels


@dataclass(frozen=True)
class CropSheet:
    """How much of each box the crop keeps.

    Args:
        table: one row per split: images, boxes, boxes wholly inside, mean share inside.
        worst: the smallest share first.
        notes: of the crop, one line each.
    """

    table: pd.DataFrame
    worst: tuple[Boxed, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class PreviewInputs:
    """The content of the preview.

    Args:
        title: the competition's.
        config: the settings in force.
        rows: training images.
        pairs: for the before-and-after sheet; empty when nothing is preprocessed.
        steps: the preprocessing settings that are on.
        does: the changes that the augmentation policy makes.
        crop: None where no boxes are known.
        asked: the words of the command line that gave `config`; advised commands start with them.
        policies: those that no label forbids.
    """

    title: str
    config: Config
    rows: tuple[PreviewRow, ...]
    pairs: tuple[Pair, ...]
    steps: tuple[str, ...]
    does: tuple[str, ...]
    crop: CropSheet | None
    asked: tuple[str, ...] = ()
    policies: tuple[str, ...] = ()


def crop_table(coverage: pd.DataFrame, images: dict[str, int]) -> pd.DataFrame:
    """Boxes inside the crop, one row per split; `images` says how many images each split has."""
    rows = []
    for split, total in images.items():
        inside = coverage.loc[coverage["split"] == split, "inside"]
        known = len(inside) > 0
        whole = percent(float((inside >= INSIDE).mean())) if known else "–"
        rows.append((split, total, len(inside), whole, percent(float(inside.mean())) if known else "–"))
    columns = ["split", "images", "with a box", "box wholly inside", "inside on average"]
    return pd.DataFrame(rows, columns=columns)


def drawn(image: Pixels, window: Window | None = None, box: Window | None = None) -> Pixels:
    """A copy of an image with its crop window (green) and its box (red) drawn in."""
    picture = Image.fromarray(np.ascontiguousarray(image)).convert("RGB")
    pen = ImageDraw.Draw(picture)
    thick = max(round(max(image.shape[:2]) / 45), 1)
    for edges, colour in ((window, WINDOW_COLOUR), (box, BOX_COLOUR)):
        if edges is not None:
            left, top, right, bottom = edges
            corners = (left, top, max(right - 1, left), max(bottom - 1, top))
            pen.rectangle(corners, outline=colour, width=thick)
    return np.asarray(picture)


def headline(inputs: PreviewInputs) -> str:
    """One sentence on the steps that images go through."""
    config = inputs.config
    height, width = config.images.hw
    crop = "" if config.crop.method == "none" else texts.PREVIEW_CROP.format(method=config.crop.method)
    steps = f"{', '.join(inputs.steps)}, " if inputs.steps else ""
    mix = config.train.mix
    mixed = "" if mix.method == "none" else texts.PREVIEW_MIX.format(method=mix.method, partner=mix.partner)
    return texts.PREVIEW_HEADLINE.format(
        crop=crop,
        resize=config.images.resize,
        width=width,
        height=height,
        steps=steps,
        policy=config.augment.policy,
        changes=", ".join(inputs.does) or texts.NO_CHANGE,
        mixed=mixed,
    )


def crop_lines(sheet: CropSheet) -> tuple[str, ...]:
    """The lines about the crop sheet that are printed."""
    splits = []
    for row in sheet.table.to_dict("records"):
        boxes = plural(row["with a box"], "box")
        splits.append(
            texts.CROP_SPLIT.format(split=row["split"], whole=row["box wholly inside"], boxes=boxes)
        )
    return (*sheet.notes, texts.CROP_LINE.format(splits="; ".join(splits)))


def render_html(inputs: PreviewInputs) -> str:
    """The self-contained page."""
    pixels: dict[Key, Pixels] = {}
    for number, row in enumerate(inputs.rows):
        pixels |= {(f"{number} {title}", row.id): image for title, image in row.pictures.items()}
    for pair in inputs.pairs:
        pixels[f"before {pair.split}", pair.id] = pair.before
        pixels[f"after {pair.split}", pair.id] = pair.after
    worst = inputs.crop.worst if inputs.crop else ()
    pixels |= {(f"crop {one.split}", one.id): one.picture for one in worst}
    columns = list(inputs.rows[0].pictures)
    size = picture_px(inputs.config, len(columns))
    return render(
        "preview.html",
        title=texts.PREVIEW_TITLE.format(title=inputs.title),
        headline=headline(inputs),
        inputs=inputs,
        columns=columns,
        commands=_commands(inputs),
        forbidden=[(a.name, ", ".join(a.forbids)) for a in inputs.config.competition.attributes if a.forbids],
        thumbs=thumbnails(pixels, lambda kind, name: pixels[kind, name], size),
        thumbnail_px=size,
    )


def _commands(inputs: PreviewInputs) -> dict[str, str]:
    """Commands that show another policy, preprocessing, or boxes."""
    others = [name for name in inputs.policies if name not in ("none", inputs.config.augment.policy)]
    tries = {
        "preprocess": ("preprocess.clahe=2", "preprocess.sharpen=0.5"),
        "crop": ("crop.boxes=haar:frontalface_default", "crop.method=own_box"),
        "policy": (f"augment.policy={others[0]}",) if others else (),
    }
    return {name: make_with("make preview", inputs.asked, *add) if add else "" for name, add in tries.items()}


def picture_px(config: Config, columns: int) -> int:
    """Longest side of a picture: as models see it, but small enough that a row fits on the page."""
    fits = PAGE_PX // max(columns, 1) - 8
    return max(min(max(*config.images.hw, LEAST_PX), MOST_PX, fits), SMALLEST_PX)


def render_png(rows: Sequence[PreviewRow], cell_px: int) -> Image.Image:
    """One row or more as one picture, a title above each column; pictures fit into squares of `cell_px`."""
    titles = list(rows[0].pictures)
    step = cell_px + GAP_PX
    sheet = Image.new("RGB", (GAP_PX + step * len(titles), HEADER_PX + GAP_PX + step * len(rows)), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    for column, title in enumerate(titles):
        pen.text((GAP_PX + step * column, GAP_PX), title, fill=(60, 66, 80), font=font)
    for line, row in enumerate(rows):
        for column, title in enumerate(titles):
            picture = _fitted(row.pictures[title], cell_px)
            left = GAP_PX + step * column + (cell_px - picture.width) // 2
            top = HEADER_PX + GAP_PX + step * line + (cell_px - picture.height) // 2
            sheet.paste(picture, (left, top))
    return sheet


def _fitted(image: Pixels, cell_px: int) -> Image.Image:
    picture = Image.fromarray(np.ascontiguousarray(image))
    scale = cell_px / max(picture.size)
    size = (max(round(picture.width * scale), 1), max(round(picture.height * scale), 1))
    return picture.resize(size, Image.Resampling.LANCZOS)


def description(inputs: PreviewInputs) -> str:
    """Markdown for the record: what was shown, and the next command."""
    rows = plural(len(inputs.rows), "training image")
    return texts.PREVIEW_NOTE.format(images=rows, headline=headline(inputs), rows=count(len(inputs.rows)))
