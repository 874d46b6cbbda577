"""Images with more than 8 bits a channel: the range of the training images decides."""

import csv

import cv2
import numpy as np
import pytest
from PIL import Image
from pixels_world import Photos

from pipeline.core.errors import ConfigError, DataError
from pipeline.data import depth, images, load
from pipeline.data.decode import Decoding, decode
from pipeline.data.depth import Ranges
from pipeline.settings.images import ImageSettings
from pipeline.settings.load import load as load_settings

RAMP = np.linspace(0, 1, 256).reshape(16, 16)
KINDS = {
    "float01": lambda g: g.astype(np.float32),
    "ct": lambda g: (g * 800 - 900).astype(np.float32),
    "int32": lambda g: (g * 59000 + 1000).astype(np.int32),
    "far_int32": lambda g: (g * 500 + 1_000_000_000).astype(np.int32),
    "bits12": lambda g: (g * 4095).astype(np.uint16),
    "narrow16": lambda g: (g * 900 + 30_000).astype(np.uint16),
}


def decoding(paths, **more) -> Decoding:
    found = images.measured([str(path) for path in paths], Decoding(256))
    return Decoding(256, ranges=Ranges(measured=found), **more)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
def test_the_values_of_the_training_images_fill_all_grey_levels(tmp_path, kind, compression):
    Image.fromarray(KINDS[kind](RAMP)).save(tmp_path / "x.tif", compression=compression)
    got = decode(tmp_path / "x.tif", decoding([tmp_path / "x.tif"]))
    assert np.abs(got[..., 0].astype(int) - np.round(RAMP * 255)).max() <= 2


def test_every_image_is_scaled_by_the_same_numbers(tmp_path):
    for name, factor in (("bright", 4000), ("dark", 400)):
        Image.fromarray((RAMP * factor).astype(np.uint16)).save(tmp_path / f"{name}.png")
    how = decoding([tmp_path / "bright.png"])
    assert decode(tmp_path / "bright.png", how).max() == 255
    assert 24 <= decode(tmp_path / "dark.png", how).max() <= 27, "a dark image stays dark"


def test_twelve_bits_of_colour_in_sixteen_keep_their_levels_and_their_colour(tmp_path):
    deep = np.stack([RAMP * 4095, RAMP * 2047, RAMP * 0], 2).astype(np.uint16)
    for name in ("x.png", "x.tif"):
        cv2.imwrite(str(tmp_path / name), deep[..., ::-1])
        got = decode(tmp_path / name, decoding([tmp_path / name]))
        assert len(np.unique(got[..., 0])) > 200 and got[..., 2].max() == 0
        assert abs(int(got[-1, -1, 0]) - 2 * int(got[-1, -1, 1])) <= 2


def test_transparency_of_sixteen_bit_colour_is_laid_on_white(tmp_path):
    deep = np.full((4, 4, 4), 1000, np.uint16)
    deep[..., 3] = [0, 65535, 65535, 65535]
    deep[:2, :, :3] = 0
    cv2.imwrite(str(tmp_path / "x.png"), deep)
    got = decode(tmp_path / "x.png", decoding([tmp_path / "x.png"]))
    assert (
        got[0, 0].tolist() == [255] * 3 and got[0, 1].tolist() == [0] * 3 and got[3, 3].tolist() == [255] * 3
    )


def test_missing_values_are_black_and_hot_pixels_do_not_count(tmp_path):
    values = np.tile(RAMP.astype(np.float32), (8, 8))
    values[0, :3] = np.nan, np.inf, 1e30
    Image.fromarray(values).save(tmp_path / "x.tif")
    how = decoding([tmp_path / "x.tif"])
    assert how.ranges.ends(depth.FLOAT32)[1] <= 1
    assert decode(tmp_path / "x.tif", how)[0, :3, 0].tolist() == [0, 255, 255]


def test_a_kind_that_no_training_image_has_is_refused_with_the_setting(tmp_path):
    Image.fromarray(RAMP.astype(np.float32)).save(tmp_path / "x.tif")
    with pytest.raises(DataError, match=r"float32.*images\.range=\[BLACK, WHITE\]"):
        decode(tmp_path / "x.tif", Decoding(256))
    given = Decoding(256, ranges=Ranges(given=(0.0, 1.0)))
    assert decode(tmp_path / "x.tif", given).max() == 255


def test_a_few_odd_images_of_many_do_not_decide():
    usual = [("float32", 0.0, 1.0)] * 399
    assert depth.measured([*usual, ("float32", -9e9, 9e9)]) == {"float32": (0.0, 1.0)}
    assert depth.measured([("uint16", 5.0, 9.0), ("float32", 0.0, 1.0)]) == {
        "float32": (0.0, 1.0),
        "uint16": (5.0, 9.0),
    }


def test_files_of_one_value_are_one_colour_and_no_error(tmp_path):
    Image.fromarray(np.full((4, 4), 7.0, np.float32)).save(tmp_path / "x.tif")
    assert decode(tmp_path / "x.tif", decoding([tmp_path / "x.tif"])).max() == 0


def test_the_range_comes_from_the_training_images_alone_and_can_be_given(tmp_path):
    photos = Photos(tmp_path, train=6, test=3)
    for split, ids in photos.ids.items():
        rows = [(n, f"{n}.tif", ("disc", "box")[int(n) % 2])[: 3 if split == "train" else 2] for n in ids]
        with (photos.root / f"{split}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([("id", "path", "kind")[: len(rows[0])], *rows])
        for name in ids:
            grey = np.asarray(Image.open(photos.path(name)).convert("L")) / 255
            factor = 1 if split == "train" else 50
            Image.fromarray((grey * factor).astype(np.float32)).save(photos.root / "images" / f"{name}.tif")
    trained = photos.context().need("train_images")
    black, white = trained.json("ranges.json")["float32"]
    assert 0 <= black < 0.2 and 0.9 < white <= 1
    assert any("float32" in line and "is white" in line for line in trained.manifest["lines"])
    images_of = photos.context().need("images")
    facts = load.facts(images_of)
    assert facts[facts["split"] == "train"]["contrast"].min() > 20
    given = photos.context("images.range=[0,100]").need("images")
    assert load.facts(given)["brightness"].max() < 100 and given.key != images_of.key


def test_a_range_with_black_above_white_is_refused():
    with pytest.raises(ConfigError, match=r"images\.range"):
        load_settings(["images.range=[5,5]"])


@pytest.mark.parametrize("kind", ["png", "tiff", "npy", "colour"])
def test_each_image_by_its_own_values_shows_what_is_small_against_the_differences_between_images(
    tmp_path, kind
):
    """Relief of 100 counts on distances of up to 60,000: two grey levels in one range for all."""
    paths = []
    for name, far in (("near", 1000), ("far", 60_000)):
        deep = (RAMP * 100 + far).astype(np.uint16)
        paths.append(tmp_path / f"{name}.{'png' if kind == 'colour' else kind}")
        if kind == "npy":
            np.save(paths[-1], deep)
        elif kind == "colour":
            cv2.imwrite(str(paths[-1]), np.stack([deep] * 3, 2))
        else:
            Image.fromarray(deep.astype(np.float32) if kind == "tiff" else deep).save(paths[-1])
    as_a_set = decoding(paths)
    own = Decoding.of(ImageSettings(window="image"), None)
    for path in paths:
        assert len(np.unique(decode(path, as_a_set))) <= 2
        got = decode(path, own)
        assert len(np.unique(got)) > 80 and np.abs(got[..., 0].astype(int) - np.round(RAMP * 255)).max() <= 4
    flat = tmp_path / "flat.png"
    Image.fromarray(np.full((8, 8), 700, np.uint16)).save(flat)
    assert decode(flat, own).max() == 0


def test_one_range_for_all_and_each_image_s_own_exclude_each_other():
    with pytest.raises(ConfigError, match="each image's own: keep one"):
        load_settings(["competition=digits", "images.range=[0,100]", "images.window=image"])
