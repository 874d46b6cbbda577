"""`make predict`, `make oof` and `make folds OUT=`: what they write, and what they refuse."""

import csv
import shutil

import numpy as np
import pandas as pd
import pytest
from main_world import run
from predict_world import People

from pipeline.data import load
from pipeline.record.files import FileIndex
from pipeline.record.store import Store

NETWORK = ("experiment=tiny_cnn",)


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    return People(tmp_path_factory.mktemp("people"))


@pytest.fixture(scope="module")
def made(people):
    return people.made("infer", *NETWORK)


def rows(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_folder_of_which_nothing_decodes_is_an_error_that_names_the_images(people, made, tmp_path):
    photos = tmp_path / "new"
    photos.mkdir()
    (photos / "broken.jpg").write_bytes(b"no picture")
    out = tmp_path / "answers.csv"
    options = ("--file", str(made), "--images", str(photos), "--out", str(out))
    said = people.run("predict", options=options, code=2)
    assert "none of 1 image decodes" in said.err
    assert [fault["id"] for fault in rows(tmp_path / "answers-unreadable.csv")] == ["broken.jpg"]


def test_a_folder_with_broken_images_is_predicted_and_they_are_named(people, made, tmp_path):
    photos = tmp_path / "new"
    (photos / "deep").mkdir(parents=True)
    for name in ("000_0", "001_1"):
        shutil.copy(people.path(name), photos / "deep" / f"{name}.png")
    (photos / "broken.jpg").write_bytes(b"no picture")
    (photos / "notes.txt").write_text("not an image")
    (photos / "phone.heic").write_bytes(b"a photo")
    (photos / "gone.png").symlink_to(tmp_path / "nowhere.png")
    out = tmp_path / "answers.csv"
    said = people.run("predict", options=("--file", str(made), "--images", str(photos), "--out", str(out)))
    found = rows(out)
    assert [row["id"] for row in found] == ["deep/000_0.png", "deep/001_1.png"]
    assert list(found[0]) == ["id", "label", *(c for c in found[0] if " · " in c)]
    assert found[0]["label"] == max(list(found[0])[2:], key=lambda c: float(found[0][c]))
    faults = rows(tmp_path / "answers-unreadable.csv")
    assert [fault["id"] for fault in faults] == ["broken.jpg", "gone.png"]
    assert [fault["why"] for fault in faults] == ["not an image", "the file is missing"]
    assert "2 images do not decode; see" in said.out and "2 images, " in said.out
    assert "note: 1 file not predicted, HEIC photos: the package pillow-heif reads them" in said.out
    for name in ("broken.jpg", "gone.png"):
        (photos / name).unlink()
    people.run("predict", options=("--file", str(made), "--images", str(photos), "--out", str(out)))
    assert not (tmp_path / "answers-unreadable.csv").exists()


def test_the_competitions_own_table_gives_the_probabilities_that_were_submitted(people, made, tmp_path):
    out = tmp_path / "answers.parquet"
    table = str(people.root / "test.csv")
    options = (
        "--file",
        made.stem,
        "--images",
        table,
        "--root",
        str(people.root / "images"),
        "--out",
        str(out),
    )
    said = people.run("predict", options=options)
    assert "as it was packed before" in said.out
    found, store = (
        pd.read_parquet(out),
        Store(people.home, FileIndex(people.home / "artifacts" / ".index.json")),
    )
    (infer,) = store.all("infer")
    wanted = load.test(infer, "test")
    assert found["id"].tolist() == [row["id"] for row in rows(people.root / "test.csv")]
    p = found.set_index("id").loc[wanted.ids_N.tolist(), list(wanted.classes)].to_numpy(np.float32)
    assert np.array_equal(p, wanted.p_NC)


@pytest.mark.parametrize("inside", ["", "predictor"])
def test_a_folder_of_a_predictor_or_a_bundle_needs_no_submission(people, made, tmp_path, inside):
    shutil.copytree(people.home / "predictors" / made.stem, tmp_path / "model" / inside)
    out = tmp_path / "out.csv"
    images = people.path("000_0").parent
    options = ("--file", str(tmp_path / "model"), "--images", str(images), "--out", str(out))
    said = run(tmp_path / "elsewhere", "predict", small=("runtime.mlflow=false",), options=options)
    assert said.code == 0, said.err
    assert len(rows(out)) == 37 * 3


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--images", "x"), "there is no such folder or table"),
        (("--images", ".", "--table", "no.csv"), "no.csv: there is no such folder or table"),
        (("--images", ".", "--root", "."), "ROOT is for a table"),
        (("--file", "nothing", "--images", "."), "nothing: there is no such submission"),
        (("--file", "people", "--images", ""), "IMAGES is missing"),
        (("--images", ".", "--out", "a.xlsx"), "a table ends in one of .csv, .parquet"),
        (("--images", "."), "FILE is missing"),
    ],
)
def test_what_is_missing_is_said_with_what_to_do(people, options, said):
    found = people.run("predict", options=options, code=2)
    assert said in found.err and "→" in found.err and "Traceback" not in found.err


def test_a_table_without_images_and_one_with_an_id_twice(people, made, tmp_path):
    table = tmp_path / "new.csv"
    for text, said in (
        ("x,y\n1,2\n", "no column names the images; it has x, y"),
        ("id,path\na,1.png\na,2.png\n", "1 id occurs more than once"),
        ("id,path\n", "there are no images"),
    ):
        table.write_text(text, encoding="utf-8")
        found = people.run("predict", options=("--file", str(made), "--images", str(table)), code=2)
        assert said in found.err


def test_a_missing_file_of_a_table_is_named_and_the_others_are_predicted(people, made, tmp_path):
    table, out = tmp_path / "new.csv", tmp_path / "out.csv"
    table.write_text(f"id,path\na,{people.path('000_0')}\nb,gone.png\nc,\n", encoding="utf-8")
    people.run("predict", options=("--file", str(made), "--images", str(table), "--out", str(out)))
    assert [row["id"] for row in rows(out)] == ["a"]
    faults = rows(tmp_path / "out-unreadable.csv")
    assert [(f["id"], f["why"]) for f in faults] == [
        ("b", "the file is missing"),
        ("c", "the file is missing"),
    ]


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_team_mates_get_folds_labels_and_probabilities(people, made, tmp_path, ending):
    out = tmp_path / f"mine.{ending}"
    said = people.run("oof", options=("--file", str(made), "--out", str(out)))
    read = (lambda p: pd.read_csv(p, dtype={"id": str})) if ending == "csv" else pd.read_parquet
    oof, test = read(out), read(tmp_path / f"mine-test.{ending}")
    assert list(oof.columns[:3]) == ["id", "fold", "true"] and len(oof) == 72 and len(test) == 39
    assert sorted(oof["fold"].unique()) == [0, 1]
    np.testing.assert_allclose(oof.iloc[:, 3:].sum(axis=1), 1, atol=1e-5)
    assert "ensemble.members=[…,file:" in said.out
    train = pd.read_csv(people.root / "train.csv").set_index("id").loc[oof["id"]]
    assert (train["age"] + " · " + train["mask"]).tolist() == oof["true"].tolist()


def test_folds_are_written_for_team_mates(people, made, tmp_path):
    out = tmp_path / "folds.csv"
    unread = ("images.", "train.", "infer.", "competition.submission", "statistics")
    words = [word for word in people.words if not word.startswith(unread)]
    said = run(people.home, "folds", small=tuple(words), options=("--out", str(out)))
    assert said.code == 0, said.err
    found, oof = rows(out), tmp_path / "oof.csv"
    people.run("oof", options=("--file", str(made), "--out", str(oof)))
    assert {row["id"]: row["fold"] for row in found} == {row["id"]: row["fold"] for row in rows(oof)}
    assert "the fold of 72 images, 2 folds" in said.out
