"""Pictures in a grid: their order and place, sizes, captions that fit, and what is refused."""

import numpy as np
import pytest

from pipeline.core.errors import DataError
from pipeline.pages.picture_grid import GAP_PX, LINE_PX, picture_grid

COLOURS = [(255, 0, 0), (0, 255, 0), (0, 0, 255)]


def plain(colour, height=40, width=40):
    return np.full((height, width, 3), colour, np.uint8)


def test_pictures_stand_in_rows_in_their_order():
    sheet = picture_grid([plain(colour) for colour in COLOURS], columns=2, size_px=40)
    assert sheet.size == (2 * 46 + GAP_PX, 2 * 46 + GAP_PX)
    centres = [(26, 26), (72, 26), (26, 72)]
    assert [sheet.getpixel(place) for place in centres] == COLOURS
    assert sheet.getpixel((72, 72)) == (255, 255, 255), "the fourth place is empty"


@pytest.mark.parametrize(("height", "width"), [(8, 8), (8, 4), (400, 100), (65, 64)])
def test_a_picture_keeps_its_shape_inside_its_square(height, width):
    pixels = np.asarray(picture_grid([plain((255, 0, 0), height, width)], size_px=64))
    red = (pixels[..., 0] > 200) & (pixels[..., 1] < 60)
    down, across = red.any(axis=1).sum(), red.any(axis=0).sum()
    assert max(down, across) <= 64 and max(down, across) >= 32
    assert down / across == pytest.approx(height / width, rel=0.15)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_grey_rgb_and_transparent_pictures_are_taken(channels):
    pixels = np.zeros((40, 40, channels), np.uint8)
    middle = picture_grid([pixels], size_px=40).getpixel((26, 26))
    assert middle == ((255, 255, 255) if channels == 4 else (0, 0, 0)), "what is transparent is white"


def test_long_captions_take_two_lines_within_their_picture():
    words = ["short", "a caption of many words that cannot fit below", "W" * 60]
    sheet = np.asarray(picture_grid([plain((255, 255, 255))] * 3, words, columns=3, size_px=64))
    assert sheet.shape[0] == GAP_PX + 64 + 2 * LINE_PX + GAP_PX
    ink = (sheet < 200).any(axis=2)
    assert ink.any() and not ink[:, 70 : 70 + GAP_PX].any() and not ink[:, 140:146].any()
    assert not ink[70 + LINE_PX :, :70].any(), "the short one has one line"


def test_captions_that_are_not_as_many_as_pictures_are_refused():
    with pytest.raises(DataError, match="1 pictures and 2 captions"):
        picture_grid([plain(COLOURS[0])], ["a", "b"])
    with pytest.raises(DataError, match="0 pictures"):
        picture_grid([])
