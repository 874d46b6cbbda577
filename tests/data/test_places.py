"""Where files lie is neutral: what they contain defines a result."""

import shutil

import pytest
from pixels_world import Photos

from pipeline.cli import main
from pipeline.engine.need import Need

TRAINING = ("train.epochs=1", "train.warmup_epochs=0", "model.name=test_resnet", "model.weights=none")


@pytest.fixture
def photos(tmp_path):
    return Photos(tmp_path, train=16, test=4)


def keys(photos, *more):
    session = photos.context(*more)
    names = ("data", "images", "prepared", "folds", "train")
    return {name: session.graph.key(Need(name, session.settings)) for name in names}


def moved(photos, name="elsewhere"):
    shutil.move(photos.root, photos.home / name / "deep")
    return f"competition.root={photos.home / name / 'deep'}"


def test_the_same_files_in_another_folder_have_the_same_keys_and_are_found_there(photos):
    before = keys(photos)
    first = photos.context().need("prepared")
    there = moved(photos)
    assert keys(photos, there) == before
    assert photos.context(there).need("prepared").folder == first.folder
    # Decoded anew, from where they are now, although the table of samples was read at the old place.
    again = photos.context(there, "images.cache_px=48").need("images")
    assert again.metrics["quarantined"] == 0


def test_tables_and_folders_may_be_renamed(photos):
    before = keys(photos)
    (photos.root / "train.csv").rename(photos.root / "labels.csv")
    (photos.root / "images").rename(photos.root / "pictures")
    words = ("competition.train_table=labels.csv", "competition.train_images=pictures")
    assert keys(photos, *words, "competition.test_images=pictures") == before


def test_a_place_may_be_given_to_any_command_and_builds_nothing_again(photos, capsys):
    assert main(["train", *photos.words(*TRAINING)]) == 0
    capsys.readouterr()
    there = moved(photos)
    assert main(["train", *photos.words(*TRAINING, there)]) == 0
    assert "fold 0" not in capsys.readouterr().out, "a fold was trained again"


def test_what_the_files_contain_counts(photos):
    before = keys(photos)
    rows = [(n, f"{n}.png", "disc") for n in photos.ids["train"][:1]]
    rows += [(n, f"{n}.png", ("disc", "box")[int(n) % 2]) for n in photos.ids["train"][1:]]
    photos.table("train.csv", ("id", "path", "kind"), [*rows[:-1], (*rows[-1][:2], "disc")])
    assert keys(photos)["data"] != before["data"], "another label"
    photos.table("train.csv", ("id", "path", "kind"), rows)
    assert keys(photos) == before, "the same again"
    photos.path("000").rename(photos.path("new"))
    photos.table("train.csv", ("id", "path", "kind"), [("000", "new.png", "disc"), *rows[1:]])
    assert keys(photos)["data"] != before["data"], "another file name: slices by folder and type show it"


def test_a_column_that_nothing_reads_changes_nothing(photos):
    before = keys(photos)
    rows = [(n, f"{n}.png", ("disc", "box")[int(n) % 2], "x") for n in photos.ids["train"]]
    photos.table("train.csv", ("id", "path", "kind", "remark"), rows)
    assert keys(photos) == before


def test_a_column_of_folds_counts(photos):
    def table(fold):
        rows = [(n, f"{n}.png", ("disc", "box")[int(n) % 2], fold(int(n))) for n in photos.ids["train"]]
        photos.table("train.csv", ("id", "path", "kind", "part"), rows)

    words = ("folds.kind=column", "folds.column=part")
    table(lambda n: n // 2 % 2)
    before = keys(photos, *words)
    table(lambda n: n // 4 % 2)
    assert keys(photos, *words)["folds"] != before["folds"]


def test_an_edited_image_counts(photos):
    before = keys(photos)
    photos.path("003").write_bytes(photos.path("005").read_bytes())
    assert keys(photos)["images"] != before["images"]
