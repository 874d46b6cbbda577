"""Several images a sample: found in every form, kept together, masked where one is missing, shown."""

import csv

import numpy as np
import pytest
import tifffile
import torch
from inputs_world import pairs, picture, table, words

from pipeline.core.errors import DataError, UserError
from pipeline.core.sample_paths import images_of
from pipeline.core.samples import TrainRows, strings
from pipeline.data import competition, load, several
from pipeline.data.augment import Augmenter
from pipeline.data.device_images import DeviceImages
from pipeline.data.device_loader import DeviceLoader
from pipeline.data.images import PreparedImages
from pipeline.data.loader import Chained, LoaderPlan
from pipeline.data.readers.reading import Reading
from pipeline.engine.need import Need
from pipeline.settings.load import load as settings_of
from pipeline.stages import open_session

RNG = np.random.default_rng(2)
FORMS = ["columns", "sample", "files"]


def opened(home, own, *more):
    return open_session(settings_of([*own, *more, f"runtime.home={home}"]))


def read(root, own):
    settings = settings_of(list(own)).config
    reading = Reading.of(settings.images, None)
    return competition.load(settings.competition, root, None, reading)


def stems(samples):
    return [
        [path.rsplit("/", 1)[1].split(".")[0] for path in images_of(one)] for one in samples.paths_N.tolist()
    ]


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_a_sample_its_images_in_order(tmp_path, form):
    own = pairs(tmp_path, form, train=4, test=2, missing=(1,))
    found = read(tmp_path, own)
    assert found.train.ids_N.tolist() == ["s00", "s01", "s02", "s03"]
    assert found.test.ids_N.tolist() == ["s04", "s05"]
    assert stems(found.train)[:2] == [["s00_left", "s00_right"], ["s01_right"]]
    assert found.train.labels.tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize("form", FORMS)
def test_a_sample_without_any_image_and_missing_files_are_all_named(tmp_path, form):
    own = pairs(tmp_path, form, train=4, test=2)
    for name in ("s00_left", "s00_right", "s02_left", "s02_right"):
        (tmp_path / "images" / f"{name}.png").unlink()
    with pytest.raises(DataError) as told:
        read(tmp_path, own)
    assert len(told.value.faults) == 4
    assert all(name in str(told.value.faults) for name in ("s00", "s02"))


def test_cells_that_are_all_empty_are_a_sample_without_images(tmp_path):
    own = pairs(tmp_path, "columns", train=4, test=2)
    text = (tmp_path / "train.csv").read_text().replace("s02_left.png,s02_right.png", ",")
    (tmp_path / "train.csv").write_text(text)
    with pytest.raises(DataError, match="1 sample without images") as told:
        read(tmp_path, own)
    assert "row 4 (id s02): all of left, right are empty" in told.value.faults[0]


def test_rows_of_a_sample_that_differ_in_the_label_are_refused(tmp_path):
    own = pairs(tmp_path, "sample", train=4, test=2)
    rows = (tmp_path / "train.csv").read_text().replace("s01_right,s01,right,box", "s01_right,s01,right,disc")
    (tmp_path / "train.csv").write_text(rows)
    with pytest.raises(DataError) as told:
        read(tmp_path, own)
    assert "kind is 'disc', and 'box' in row 4 of the same sample" in told.value.faults[0]


def test_samples_whose_columns_join_to_the_same_name_are_told_apart(tmp_path):
    rows = [("i0", "a", "1_x", "disc"), ("i1", "a_1", "x", "disc"), ("i2", "b", "x", "box")]
    for name, *_ in rows:
        picture(tmp_path / "images" / f"{name}.png", np.zeros((8, 8, 3), np.uint8))
    table(tmp_path / "train.csv", ("image", "patient", "side", "kind"), rows)
    table(tmp_path / "test.csv", ("image", "patient", "side"), [rows[2][:3]])
    own = words(
        tmp_path, "competition.images_per_sample.sample=[patient,side]", "competition.sample_submission=null"
    )
    with pytest.raises(DataError) as told:
        read(tmp_path, [w.replace("_column=id", "_column=image") for w in own])
    assert "train.csv row 3 (id a_1_x): the id is already in row 2" in told.value.faults[0]


def test_metadata_that_differ_between_the_images_of_a_sample_are_refused(tmp_path):
    rows = [(f"i{n}", f"p{n // 2}", 30 + n, ("disc", "box")[n // 2 % 2]) for n in range(8)]
    for name, *_ in rows:
        picture(tmp_path / "images" / f"{name}.png", np.zeros((8, 8, 3), np.uint8))
    table(tmp_path / "train.csv", ("image", "patient", "thick", "kind"), rows)
    table(tmp_path / "test.csv", ("image", "patient", "thick"), [row[:3] for row in rows])
    own = words(
        tmp_path,
        "competition.images_per_sample.sample=[patient]",
        "competition.metadata=[{column: thick, kind: number}]",
        "competition.sample_submission=null",
    )
    with pytest.raises(DataError) as told:
        read(tmp_path, [w.replace("_column=id", "_column=image") for w in own])
    assert "thick is '31', and '30' in row 2 of the same sample" in told.value.faults[0]


def test_a_sample_may_be_named_by_several_columns_and_keeps_its_group(tmp_path):
    rows = [(f"i{n}", f"p{n // 4}", "LR"[n // 2 % 2], ("disc", "box")[n // 2 % 2]) for n in range(8)]
    for name, *_ in rows:
        picture(tmp_path / "images" / f"{name}.png", np.zeros((8, 8, 3), np.uint8))
    table(tmp_path / "train.csv", ("image", "patient", "side", "kind"), rows)
    table(tmp_path / "test.csv", ("image", "patient", "side"), [row[:3] for row in rows])
    own = words(
        tmp_path,
        "competition.images_per_sample.sample=[patient,side]",
        "competition.group_column=patient",
        "competition.sample_submission=null",
    )
    own = [w.replace("_column=id", "_column=image") for w in own]
    found = read(tmp_path, own)
    assert found.train.ids_N.tolist() == ["p0_L", "p0_R", "p1_L", "p1_R"]
    assert found.train.groups_N.tolist() == ["p0", "p0", "p1", "p1"]
    assert stems(found.train)[1] == ["i2", "i3"]


def test_files_in_a_folder_of_the_sample_are_sorted_by_their_numbers_and_limited(tmp_path):
    for name in ("a", "b"):
        for n in (1, 2, 10, 11):
            picture(tmp_path / "images" / name / f"slice{n}.png", np.zeros((8, 8, 3), np.uint8))
    table(tmp_path / "train.csv", ("id", "kind"), [("a", "disc"), ("b", "box")])
    table(tmp_path / "test.csv", ("id",), [("a",), ("b",)])
    own = [*words(tmp_path, "competition.sample_submission=null")]
    own += ['competition.images_per_sample.files=["{id}/*.png"]']
    assert stems(read(tmp_path, own).train)[0] == ["slice1", "slice2", "slice10", "slice11"]
    few = read(tmp_path, [*own, "competition.images_per_sample.most=2"])
    assert stems(few.train)[0] == ["slice1", "slice11"]


def test_pages_of_a_tiff_are_images_if_they_are_asked_for(tmp_path):
    (tmp_path / "images").mkdir()
    for n in range(4):
        pages = RNG.integers(0, 255, (2 + n % 2, 8, 8, 3), np.uint8)
        tifffile.imwrite(tmp_path / "images" / f"s{n}.tif", pages, photometric="rgb")
    table(tmp_path / "train.csv", ("id", "kind"), [("s0", "disc"), ("s1", "box"), ("s2", "disc")])
    table(tmp_path / "test.csv", ("id",), [("s3",)])
    own = words(tmp_path, "competition.sample_submission=null", "images.pages=images")
    assert [len(images) for images in stems(read(tmp_path, own).train)] == [2, 3, 2]
    own = [w for w in own if w.split("=")[0] != "images.size"] + ["images.size=8"]
    session = opened(tmp_path, own)
    prepared = load.prepared(session.get(Need("prepared", session.settings)), "test")
    assert prepared.x_NHWC.shape == (1, 8, 8, 9)
    assert np.array_equal(prepared.x_NHWC[0, ..., 6:], tifffile.imread(tmp_path / "images" / "s3.tif")[2])


def test_prepared_rows_hold_all_images_and_zeros_where_there_is_none(tmp_path):
    own = pairs(tmp_path / "files", "columns", train=6, test=2, missing=(1,))
    session = opened(tmp_path, own)
    prepared = load.prepared(session.get(Need("prepared", session.settings)), "train")
    images = session.get(Need("images", session.settings))
    assert prepared.x_NHWC.shape == (6, 16, 16, 6) and prepared.channels == 3
    assert not prepared.x_NHWC[1, ..., 3:].any() and prepared.x_NHWC[0, ..., 3:].any()
    assert len(load.facts(images)) == 8
    wide, narrow = (load.image_of(images)("train", name).shape for name in ("s00", "s01"))
    assert wide == (24, 50, 3) and narrow == (24, 24, 3)


def test_a_sample_with_an_image_that_does_not_decode_is_dropped_whole(tmp_path):
    own = pairs(tmp_path / "files", "columns", train=6, test=2)
    (tmp_path / "files" / "images" / "s02_right.png").write_bytes(b"no image")
    with pytest.raises(DataError, match="1 image does not decode"):
        opened(tmp_path, own).get(Need("prepared", opened(tmp_path, own).settings))
    session = opened(tmp_path, own, "images.quarantine=drop")
    data = session.get(Need("data", session.settings))
    assert "s02" not in load.samples(data, "train", session.home).ids_N.tolist()


def test_images_that_concat_needs_and_that_are_missing_are_all_named(tmp_path):
    own = pairs(tmp_path / "files", "columns", train=6, test=2, missing=(1, 7))
    session = opened(tmp_path, own, "model.pool_images=concat")
    with pytest.raises(DataError, match="2 samples have not 2 images") as told:
        session.get(Need("images", session.settings))
    assert list(told.value.faults) == ["train/s01: 1", "test/s07: 1"]


def test_each_image_has_draws_of_its_own_and_empty_places_stay_empty():
    image = RNG.integers(0, 256, (16, 16, 3), np.uint8)
    row = several.stacked([image, image], 3)
    augment = Augmenter("heavy", 16)
    made = augment(row, 0, 0, 0, "a", 0)
    assert np.array_equal(made[..., :3], augment(image, 0, 0, 0, "a", 0))
    assert not np.array_equal(made[..., :3], made[..., 3:6])
    assert not made[..., 6:].any()


def test_a_black_image_is_an_image():
    row = several.stacked([np.zeros((4, 4, 3), np.uint8)] * 2, 3)
    assert len(several.split(row, 3)) == 2
    assert several.shown(row, 3).shape == (4, 10, 3)


def test_names_of_images_are_told_apart_from_those_of_samples():
    names = [several.image_name("a #2", at) for at in range(3)]
    assert [several.is_further(name) for name in names] == [False, True, True]
    assert several.names_in("a #2", set(names)) == names


def test_two_sets_with_different_numbers_of_images_are_one():
    a = PreparedImages(strings(["a"]), np.full((1, 2, 2, 3), 7, np.uint8))
    b = PreparedImages(strings(["b"]), np.full((1, 2, 2, 6), 9, np.uint8))
    both = Chained(a, b)
    assert both.x_NHWC.shape == (2, 2, 2, 6)
    assert both.x_NHWC[0][..., 3:].max() == 0 and both.x_NHWC[np.array([1, 0])][0].min() == 9


def test_the_engine_of_a_device_changes_each_image_and_no_empty_place(tmp_path):
    from pipeline.core.samples import Attribute, LabelSpace, Samples

    ids = strings(["a", "b", "c", "d"])
    image = RNG.integers(1, 256, (4, 16, 16, 3), np.uint8)
    rows = np.stack([several.stacked([one, one], 3) for one in image])
    space = LabelSpace.product([Attribute("kind", ("x", "y"))])
    samples = Samples(ids, ids, ids, space, np.array([0, 1, 0, 1]), "train")
    plan = LoaderPlan(samples, Augmenter("light", 16), 4, 5, 0)
    images = DeviceImages(PreparedImages(ids, rows), "cpu", 1.0)
    alone = DeviceImages(PreparedImages(ids, image), "cpu", 1.0)
    (batch,) = DeviceLoader(images, plan, "cpu").batches(0, TrainRows.of(np.arange(4)))
    (single,) = DeviceLoader(alone, plan, "cpu").batches(0, TrainRows.of(np.arange(4)))
    assert torch.allclose(batch.x_BHWC[..., :3], single.x_BHWC, atol=1e-6)
    assert not torch.allclose(batch.x_BHWC[..., :3], batch.x_BHWC[..., 3:6])
    assert not batch.x_BHWC[..., 6:].any()


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("competition.images_per_sample={}", "needs one of columns, sample, files and table"),
        ("competition.images_per_sample.columns=[a]", "names one column"),
        ("competition.images_per_sample.files=[left.png]", "does not contain {id} once"),
        ("competition.images_per_sample={columns: [a, b], files: ['{id}.png']}", "has columns and files"),
    ],
)
def test_forms_that_cannot_be_are_refused(override, said):
    with pytest.raises(UserError) as told:
        settings_of(["competition=digits", override])
    assert said in str(told.value.faults)


def test_a_probe_learns_no_attention():
    with pytest.raises(UserError) as told:
        settings_of(["experiment=probe", "competition=digits", "model.pool_images=attention"])
    assert "choose mean, max or concat" in str(told.value.faults)


def test_rows_are_read_as_they_are_written(tmp_path):
    own = pairs(tmp_path, "sample", train=2, test=2)
    with (tmp_path / "train.csv").open() as file:
        assert len(list(csv.reader(file))) == 5
    found = read(tmp_path, own)
    assert any("4 images of 2 samples, by person" in note for note in found.notes)
