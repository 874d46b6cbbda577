"""Many pictures as one, in a grid with captions: for notebooks and for viewers that show no HTML.

Owns the arrangement and the captions. Does not own the pages of the reports, whose galleries are HTML.

Shape legend: H × W pixels, C channels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from pipeline.core.errors import DataError
from pipeline.core.language import _

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
GAP_PX, LINE_PX, FONT_PX = 6, 13, 11
MOST_LINES = 2
INK = (60, 66, 80)
# The font inside Pillow has few signs beyond ASCII; these are usual on Linux, macOS and Windows.
WIDE_FONTS = (
    "NotoSansCJK-Regular.ttc",
    "NanumGothic.ttf",
    "AppleSDGothicNeo.ttc",
    "malgun.ttf",
    "DejaVuSans.ttf",
)


def picture_grid(
    pictures: Sequence[npt.NDArray[np.uint8]],
    captions: Sequence[str] = (),
    columns: int = 8,
    size_px: int = 96,
) -> Image.Image:
    """All pictures in rows of `columns`, each in a square of `size_px`, in the order given.

    A picture that is much smaller than its square is enlarged by a whole factor, so that its pixels stay
    visible; a larger one is reduced. Captions that are too long for two lines end in "…".

    Args:
        pictures: (H, W, C) uint8 of 1 (grey), 3 (RGB) or 4 (RGBA) channels.
        captions: one for each picture, below it; empty: none.
        columns: pictures in a row, at least 1.
        size_px: side of a square, at least 8.

    Raises:
        DataError: the captions are not as many as the pictures, or there is no picture.
    """
    assert columns >= 1 and size_px >= 8, f"{columns} columns of {size_px} px"
    if not pictures or (captions and len(captions) != len(pictures)):
        raise DataError(
            _("picture_grid: {pictures} pictures and {captions} captions").format(
                pictures=len(pictures), captions=len(captions)
            ),
            remedy=_("give at least one picture, and a caption for each or none"),
        )
    font = _font("".join(captions))
    lines = [_wrapped(caption, font, size_px) for caption in captions] or [[]] * len(pictures)
    below = LINE_PX * max(len(found) for found in lines)
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    across, down = size_px + GAP_PX, size_px + below + GAP_PX
    sheet = Image.new("RGB", (GAP_PX + across * columns, GAP_PX + down * rows), "white")
    pen = ImageDraw.Draw(sheet)
    for number, (pixels_HWC, text) in enumerate(zip(pictures, lines, strict=True)):
        left, top = GAP_PX + number % columns * across, GAP_PX + number // columns * down
        picture = _fitted(pixels_HWC, size_px)
        middle = (size_px - picture.width) // 2, (size_px - picture.height) // 2
        sheet.paste(picture, (left + middle[0], top + middle[1]))
        for line, words in enumerate(text):
            pen.text((left, top + size_px + LINE_PX * line), words, fill=INK, font=font)
    return sheet


def _fitted(pixels_HWC: npt.NDArray[np.uint8], size_px: int) -> Image.Image:
    flat = pixels_HWC[:, :, 0] if pixels_HWC.shape[2] == 1 else pixels_HWC
    picture = Image.fromarray(np.ascontiguousarray(flat))
    if picture.mode == "RGBA":
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    picture = picture.convert("RGB")
    times = size_px // max(picture.size)
    if times > 1:
        return picture.resize((picture.width * times, picture.height * times), Image.Resampling.NEAREST)
    picture.thumbnail((size_px, size_px), Image.Resampling.LANCZOS)
    return picture


def _font(text: str) -> Font:
    """Pillow's own font, or an installed one where the text has more than ASCII."""
    if not text.isascii():
        for name in WIDE_FONTS:
            try:
                return ImageFont.truetype(name, FONT_PX)
            except OSError:
                continue
    return ImageFont.load_default(FONT_PX)


def _wrapped(caption: str, font: Font, width_px: int) -> list[str]:
    """The caption in lines that fit, broken between words where that is possible."""
    lines: list[str] = []
    rest = " ".join(caption.split())
    while rest and len(lines) < MOST_LINES:
        fits = _longest(rest, font, width_px)
        if fits == len(rest):
            return [*lines, rest]
        if len(lines) == MOST_LINES - 1:
            return [*lines, rest[: _longest(rest, font, width_px - font.getlength("…"))].rstrip() + "…"]
        space = rest.rfind(" ", 0, fits + 1)
        cut = space if space > 0 else fits
        lines.append(rest[:cut].rstrip())
        rest = rest[cut:].lstrip()
    return lines


def _longest(text: str, font: Font, width_px: float) -> int:
    """How many of its first letters fit, at least one."""
    fits = (n for n in range(len(text), 1, -1) if font.getlength(text[:n]) <= width_px)
    return next(fits, min(len(text), 1))
