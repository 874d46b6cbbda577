"""Images of 1 to 8 channels: files per channel, bands, pages; and what is done and shown of them."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from inputs_world import channel_files, words
from PIL import Image

from pipeline.core.errors import DataError, UserError
from pipeline.data import augment, channels, competition, decode, load, patterns
from pipeline.data.augment import Augmenter
from pipeline.data.decode import Decoding
from pipeline.data.depth import Ranges
from pipeline.data.readers.reading import Reading
from pipeline.data.readers.registry import Sources
from pipeline.engine.need import Need
from pipeline.settings.competition import CompetitionSettings
from pipeline.settings.images import ImageSettings
from pipeline.settings.load import load as settings_of
from pipeline.stages import open_session

RNG = np.random.default_rng(3)
FOUR = ["{id}_red.png", "{id}_green.png", "{id}_blue.png", "{id}_yellow.png"]


def how(**reading):
    made = Reading(**reading)
    ranges = Ranges(measured={"uint16": (0.0, 1000.0), "float32": (0.0, 1.0)})
    return Decoding(512, ranges=ranges, channels=made.channels, sources=Sources(made))


def tiff(path, values, **more):
    tifffile.imwrite(path, values, **more)
    return str(path)


def test_a_grey_network_gets_the_light_of_a_colour_picture(tmp_path):
    pixels = RNG.integers(0, 256, (12, 10, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    made = decode.decode(tmp_path / "a.png", how(channels=1))
    assert made.shape == (12, 10, 1)
    assert np.array_equal(made[..., 0], channels.grey(pixels))
    Image.fromarray(pixels[..., 0]).save(tmp_path / "b.png")
    grey = decode.decode(tmp_path / "b.png", how(channels=1))
    assert np.array_equal(grey[..., 0], pixels[..., 0])


@pytest.mark.parametrize("planar", [False, True])
def test_a_tiff_of_five_bands_keeps_all_of_them(tmp_path, planar):
    bands = RNG.integers(0, 1000, (12, 10, 5)).astype(np.uint16)
    stored = np.moveaxis(bands, -1, 0) if planar else bands
    way = {"planarconfig": "separate" if planar else "contig", "photometric": "minisblack"}
    made = decode.decode(tiff(tmp_path / "a.tif", stored, **way), how(channels=5))
    assert np.array_equal(made, np.round(bands * (255 / 1000)).astype(np.uint8))


def test_a_tiff_of_five_bands_is_refused_with_the_setting_where_three_are_wanted(tmp_path):
    bands = RNG.integers(0, 256, (12, 10, 5), np.uint8)
    path = tiff(tmp_path / "a.tif", bands, photometric="minisblack", planarconfig="contig")
    with pytest.raises(DataError, match=r"TIFF of 5 bands: set images.channels=5, or images.bands"):
        decode.decode(path, how())
    with pytest.raises(DataError, match=r"it has 5 bands, and images.channels=4: set images.channels=5"):
        decode.decode(path, how(channels=4))
    chosen = decode.decode(path, how(bands=(4, 0, 1)))
    assert np.array_equal(chosen, bands[..., [4, 0, 1]])


def test_pages_of_a_tiff_are_channels_if_they_are_asked_for(tmp_path):
    pages = RNG.integers(0, 256, (4, 12, 10), np.uint8)
    path = tiff(tmp_path / "a.tif", pages, photometric="minisblack")
    made = decode.decode(path, how(channels=4, pages="channels"))
    assert np.array_equal(made, np.moveaxis(pages, 0, -1))
    assert np.array_equal(decode.decode(path, how())[..., 0], pages[0])
    with pytest.raises(DataError, match=r"4 bands, and images\.channels=2"):
        decode.decode(path, how(channels=2, pages="channels"))


def test_pages_of_several_sizes_are_no_channels(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for side in (8, 9):
            file.write(np.zeros((side, side), np.uint8))
    with pytest.raises(DataError, match="its 2 bands differ in size"):
        decode.decode(tmp_path / "a.tif", how(channels=2, pages="channels"))


def test_float_arrays_of_many_channels_are_scaled_by_one_range(tmp_path):
    values = RNG.random((6, 9, 7)).astype(np.float32)
    np.save(tmp_path / "a.npy", values)
    made = decode.decode(tmp_path / "a.npy", how(channels=6))
    assert made.shape == (9, 7, 6)
    assert np.array_equal(made, np.round(np.moveaxis(values, 0, -1) * 255).astype(np.uint8))
    with pytest.raises(DataError, match=r"it has 6 bands, and images\.channels=5"):
        decode.decode(tmp_path / "a.npy", how(channels=5))


def test_a_pattern_of_a_channel_names_its_file_in_the_folder_of_the_image():
    assert patterns.filled("{id}_red.png", "a/7") == "a/7_red.png"
    assert patterns.filled("red/{id}.png", "a/7") == "red/a/7.png"
    listed = ["x/1_red.png", "x/1_green.png", "2_red.png", "2_green.png", "note.png"]
    names, rest = patterns.names_of(listed, ["{id}_red.png", "{id}_green.png"])
    assert (names, rest) == (["x/1", "2"], ["note.png"])


def test_files_of_channels_are_one_image_and_all_missing_ones_are_named(tmp_path):
    channel_files(tmp_path, train=6, test=2)
    settings = settings_of(
        [*words(tmp_path), f"competition.channel_files={FOUR}".replace("'", '"'), "images.channels=4"]
    )
    found = competition.load(settings.config.competition, tmp_path)
    assert [path.count("\t") for path in found.train.paths_N.tolist()] == [3] * 6
    before = competition.content(found.train, lambda path: Path(path).read_bytes().hex())
    (tmp_path / "images" / "s02_blue.png").unlink()
    (tmp_path / "images" / "s03_red.png").unlink()
    with pytest.raises(DataError) as told:
        competition.load(settings.config.competition, tmp_path)
    assert len(told.value.faults) == 2
    assert "s02_blue.png" in told.value.faults[0] and "s03_red.png" in told.value.faults[1]
    assert before


def test_a_folder_of_channel_files_without_a_table_lists_each_image_once(tmp_path):
    channel_files(tmp_path, train=6, test=2)
    (tmp_path / "test").mkdir()
    for path in (tmp_path / "images").glob("s0[67]_*"):
        path.rename(tmp_path / "test" / path.name)
    settings = CompetitionSettings(
        root=str(tmp_path),
        id_column="id",
        path_column="id",
        test_table=None,
        test_images="test",
        channel_files=FOUR,
        attributes=[{"name": "kind", "column": "kind", "values": ["disc", "box"]}],
    )
    found = competition.load(settings, tmp_path)
    assert found.test.ids_N.tolist() == ["s06", "s07"]


def test_decoded_files_of_channels_keep_every_channel_and_are_shown_in_colour(tmp_path):
    channel_files(tmp_path / "files", train=6, test=2)
    own = [*words(tmp_path / "files"), f"competition.channel_files={FOUR}".replace("'", '"')]
    session = open_session(settings_of([*own, "images.channels=4", f"runtime.home={tmp_path}"]))
    decoded = session.get(Need("images", session.settings))
    pixels = load.pixels_of(decoded)("train", "s01")
    red, yellow = (
        np.asarray(Image.open(tmp_path / "files" / "images" / f"s01_{c}.png")) for c in ("red", "yellow")
    )
    assert pixels.shape[2] == 4
    assert np.array_equal(pixels[..., 0], red) and np.array_equal(pixels[..., 3], yellow)
    assert np.array_equal(load.image_of(decoded)("train", "s01"), pixels[..., :3])
    prepared = load.prepared(session.get(Need("prepared", session.settings)), "test")
    assert prepared.x_NHWC.shape == (2, 16, 16, 4)


def test_settings_that_contradict_the_channels_are_all_named():
    with pytest.raises(UserError) as told:
        settings_of(
            [
                *("images.channels=2", "preprocess.saturation=0.5"),
                *("model.mean=[0.5,0.5,0.5]", "model.std=[1,1,1]"),
                f"competition.channel_files={FOUR}".replace("'", '"'),
            ]
        )
    said = str(told.value.faults)
    for word in ("preprocess.saturation", "model.mean", "model.std", "set images.channels=4"):
        assert word in said


@pytest.mark.parametrize("n", [1, 2, 5])
@pytest.mark.parametrize("policy", ["light", "medium", "heavy", "trivial"])
def test_policies_keep_any_number_of_channels_and_say_what_they_leave_out(n, policy):
    made = Augmenter(policy, 16, channels=n)
    pixels = RNG.integers(0, 256, (16, 16, n), np.uint8)
    for copy in range(4):
        assert made(pixels, 0, 0, 0, "a", copy).shape == (16, 16, n)
    assert (
        not set(made.left_out) - augment.OF_COLOUR - {"CLAHE", "ImageCompression", "Equalize", "AutoContrast"}
    )
    if policy == "heavy":
        assert "HueSaturationValue" in made.left_out


def test_what_a_policy_leaves_out_is_one_line():
    settings = settings_of(["images.channels=1", "augment.policy=heavy", "competition=digits"])
    (line,) = augment.left_out(settings.config)
    assert "HueSaturationValue" in line and "images.channels=1" in line
    assert augment.left_out(settings_of(["competition=digits"]).config) == []


@pytest.mark.parametrize("n", [1, 2, 3, 6])
def test_people_see_three_channels_of_any_number(n):
    pixels = RNG.integers(0, 256, (5, 6, n), np.uint8)
    shown = channels.preview(pixels)
    assert shown.shape == (5, 6, 3)
    if n > 2:
        assert np.array_equal(shown, pixels[..., :3])


def test_the_default_of_channels_is_not_in_keys():
    plain = ImageSettings()
    assert plain.channels == 3 and plain.pages == "first"
    assert Reading.of(plain, None).plain
