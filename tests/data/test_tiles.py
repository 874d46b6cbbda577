"""Tiles of large pictures: where they lie, what is left out, and that they are images of one sample."""

import numpy as np
import pytest
from inputs_world import KINDS, picture, table, words

from pipeline.core.errors import UserError
from pipeline.data import load, tiles
from pipeline.engine.need import Need
from pipeline.nets.model import channel_values
from pipeline.settings.images import TilesSettings
from pipeline.settings.load import load as settings_of
from pipeline.stages import open_session


def textured(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


@pytest.mark.parametrize(
    ("side", "size", "stride", "wanted"),
    [(100, 40, 40, [0, 40, 60]), (80, 40, 40, [0, 40]), (30, 40, 40, [0]), (90, 40, 20, [0, 20, 40, 50])],
)
def test_tiles_cover_the_whole_side(side, size, stride, wanted):
    assert tiles.starts(side, size, stride) == wanted


def test_tiles_of_a_picture_in_the_order_of_reading():
    image = textured(80, 120)
    made = tiles.cut(image, TilesSettings(size=40))
    assert len(made) == 6 and np.array_equal(made[1], image[:40, 40:80])
    assert np.array_equal(tiles.cut(image[:30, :20], TilesSettings(size=40))[0], image[:30, :20])


@pytest.mark.parametrize("paper", [250, 3])
def test_background_is_left_out_but_never_everything(paper):
    image = np.full((120, 120, 3), paper, np.uint8)
    image[40:80, 40:80] = textured(40, 40)
    made = tiles.cut(image, TilesSettings(size=40))
    assert len(made) == 1 and np.array_equal(made[0], image[40:80, 40:80])
    assert len(tiles.cut(image, TilesSettings(size=40, drop_background=False))) == 9
    assert len(tiles.cut(np.full((120, 120, 3), paper, np.uint8), TilesSettings(size=40))) == 1


def test_of_too_many_tiles_those_that_vary_most_are_kept_in_order():
    image = np.concatenate([textured(40, 40, n) // (n + 1) for n in range(6)], axis=1)
    made = tiles.cut(image, TilesSettings(size=40, most=3))
    assert [int(tile.max()) for tile in made] == [255, 127, 85]


def scan(root, train=6, test=2):
    """Pictures of 96 px that are paper but for two places."""
    for n in range(train + test):
        image = np.full((96, 96, 3), 245, np.uint8)
        image[:32, 32:64] = textured(32, 32, n)
        image[64:, 64:] = textured(32, 32, n + 50) // 2
        picture(root / "images" / f"s{n:02}.png", image)
    rows = [(f"s{n:02}", KINDS[n % 2]) for n in range(train + test)]
    table(root / "train.csv", ("id", "kind"), rows[:train])
    table(root / "test.csv", ("id",), [row[:1] for row in rows[train:]])
    table(root / "sample_submission.csv", ("id", "label"), [(name, 0) for name, _ in rows[train:]])
    own = [w for w in words(root) if not w.startswith("images.cache_px")]
    return [*own, "images.cache_px=96", "images.tiles={size: 32, most: 4}"]


def test_tiles_are_images_of_one_sample(tmp_path):
    session = open_session(settings_of([*scan(tmp_path / "files"), f"runtime.home={tmp_path}"]))
    prepared = load.prepared(session.get(Need("prepared", session.settings)), "train")
    assert prepared.x_NHWC.shape == (6, 16, 16, 12) and prepared.channels == 3
    assert prepared.x_NHWC[..., :6].any(axis=(1, 2)).all() and not prepared.x_NHWC[..., 6:].any()
    values = channel_values(prepared, prepared.ids_N, 3)
    assert values.shape == (6 * 2 * 16 * 16, 3)


def test_tiles_that_cannot_be_are_refused():
    with pytest.raises(UserError) as told:
        settings_of(["competition=digits", "images.tiles={size: 600}"])
    assert "600 is larger than images.cache_px=32" in str(told.value.faults)
    with pytest.raises(UserError) as told:
        settings_of(["competition=digits", "images.tiles={size: 32}", "model.pool_images=concat"])
    assert "needs the same number of images" in str(told.value.faults)
