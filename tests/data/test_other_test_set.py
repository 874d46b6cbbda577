"""Another test set costs its decoding and its prediction; no fold is trained again."""

import numpy as np
import pytest
from pixels_world import Photos, drawing

from pipeline.cli import main
from pipeline.data import load
from pipeline.engine.need import Need

pytestmark = pytest.mark.slow

TRAINING = ("train.epochs=1", "train.warmup_epochs=0", "model.name=test_resnet", "model.weights=none")
KEPT = ("train_data", "train_images", "train_prepared", "folds")
MADE = ("data", "images", "prepared", "train")


@pytest.fixture
def photos(tmp_path):
    return Photos(tmp_path, train=16, test=4)


def keys(photos, *more):
    session = photos.context(*TRAINING, *more)
    found = {name: session.graph.key(Need(name, session.settings)) for name in (*KEPT, *MADE)}
    return found | {"fold": session.graph.key(Need("fold", session.settings, {"fold": 0}))}


def new_test_set(photos):
    names = [f"{n:03}" for n in range(60, 66)]
    for name in names:
        drawing(int(name)).save(photos.path(name))
    photos.table("test.csv", ("id", "path"), [(n, f"{n}.png") for n in names])
    photos.table("sample_submission.csv", ("id", "label"), [(n, 0) for n in names])
    photos.ids["test"] = names


def split(before, after):
    return {n for n in before if before[n] == after[n]}, {n for n in before if before[n] != after[n]}


def test_another_test_set_changes_no_key_of_a_training(photos):
    before = keys(photos)
    new_test_set(photos)
    same, other = split(before, keys(photos))
    assert same == {*KEPT, "fold"} and other == set(MADE)


def test_another_training_image_changes_all_of_them(photos):
    before = keys(photos)
    drawing(77).save(photos.path("003"))
    same, _ = split(before, keys(photos))
    assert same == set()


def boxes_of(photos, name="boxes.csv"):
    rows = [(n, 4, 4, 30, 30) for ids in photos.ids.values() for n in ids]
    photos.table(name, ("id", "x", "y", "w", "h"), rows)


@pytest.mark.parametrize("source", ["boxes.csv", "haar:frontalface_default"])
def test_another_test_set_and_its_boxes_change_no_key_of_a_training(photos, source):
    crop = ("crop.method=own_box", f"crop.boxes={source}")
    boxes_of(photos)
    before = keys(photos, *crop)
    new_test_set(photos)
    boxes_of(photos)
    same, other = split(before, keys(photos, *crop))
    assert same == {*KEPT, "fold"} and other == set(MADE)


def test_another_box_of_a_training_image_changes_its_preparation(photos):
    crop = ("crop.method=statistics", "crop.boxes=boxes.csv")
    boxes_of(photos)
    before = keys(photos, *crop)
    path = photos.root / "boxes.csv"
    path.write_text(path.read_text().replace("4,4,30,30", "5,5,30,30", 1))
    assert "train_prepared" in split(before, keys(photos, *crop))[1]


def test_boxes_of_both_tables_are_those_of_the_parts(photos):
    boxes_of(photos)
    session = photos.context("crop.method=own_box", "crop.boxes=boxes.csv")
    whole, part = (load.box_table(session.need(name)) for name in ("boxes", "train_boxes"))
    assert whole[whole.split != "test"].reset_index(drop=True).equals(part)
    assert sorted(whole[whole.split == "test"].id) == sorted(photos.ids["test"])


def test_a_box_whose_id_is_in_both_tables_stops_before_anything_trains(photos, capsys):
    boxes_of(photos)
    shared = photos.ids["train"][0]
    photos.table("test.csv", ("id", "path"), [(shared, f"{photos.ids['test'][0]}.png")])
    photos.table("sample_submission.csv", ("id", "label"), [(shared, 0)])
    assert main(["train", *photos.words(*TRAINING, "crop.method=own_box", "crop.boxes=boxes.csv")]) == 2
    told = capsys.readouterr()
    assert f"(id {shared}): the id is in both tables" in told.err and "fold" not in told.out


@pytest.mark.parametrize("probe", [False, True])
def test_what_is_built_for_another_test_set(photos, capsys, probe):
    words = ("experiment=probe", "statistics.draws=100") if probe else (*TRAINING, "statistics.draws=100")
    assert main(["infer", *photos.words(*words)]) == 0
    capsys.readouterr()
    new_test_set(photos)
    assert main(["infer", *photos.words(*words)]) == 0
    out = capsys.readouterr().out
    built = {
        line.split()[0]
        for line in out.splitlines()
        if line.endswith(tuple("0123456789abcdef")) and " s  " in line
    }
    assert {"data", "images", "prepared", "views", "infer"} <= built
    assert not {"train-images", "train-prepared", "folds", "fold", "heads"} & built, out
    session = photos.context(*words)
    assert load.test(session.need("infer"), "new").ids_N.tolist() == photos.ids["test"]


def test_pseudo_labels_on_test_images_do_depend_on_them(photos):
    words = ("train.pseudo.test_images=true", "train.pseudo.threshold=0.5")
    before = keys(photos, *words)
    new_test_set(photos)
    _, other = split(before, keys(photos, *words))
    assert "fold" in other and "train_images" not in other


def test_a_faulty_test_image_stops_before_anything_trains(photos, capsys):
    photos.path(photos.ids["test"][0]).write_bytes(b"<html>")
    assert main(["train", *photos.words(*TRAINING)]) == 2
    told = capsys.readouterr()
    assert "1 image does not decode" in told.err and "fold" not in told.out


def test_joined_images_have_the_pixels_of_both_parts(photos):
    session = photos.context()
    joined, part = load.decoded(session.need("images")), load.decoded(session.need("train_images"))
    names = [f"train/{n}" for n in photos.ids["train"]] + [f"test/{n}" for n in photos.ids["test"]]
    assert joined.ids.tolist() == names and joined.facts()["id"].tolist() == names
    for name in part.ids.tolist():
        assert (joined[name] == part[name]).all() and (joined.read(name) == part[name]).all()
    assert {joined[name].shape for name in names} == {(48, 64, 3)}
    pixels = np.asarray(drawing(int(photos.ids["test"][-1])))
    assert (joined[names[-1]] == pixels).all()
