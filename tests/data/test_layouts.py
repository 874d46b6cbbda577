"""Layouts: the mask competition's tree, a folder per class, loose test images, held-out tests."""

import unicodedata

import numpy as np
import pytest
from bring_world import KIND, MASK, PEOPLE, folder_of, mask_tree, picture, table

from pipeline.core.errors import DataError
from pipeline.data import competition
from pipeline.data.layouts import MASK_PHOTOS
from pipeline.settings.competition import AttributeSettings, CompetitionSettings, ExtraSettings

CLASSES = AttributeSettings(name="class", column="class", values=["glass", "paper"])
FOLDERS = CompetitionSettings(
    name="trash",
    root=".",
    layout="folders",
    train_images="photos",
    test_table=None,
    test_images="more",
    sample_submission=None,
    attributes=[CLASSES],
)


def faults(settings, root):
    with pytest.raises(DataError) as caught:
        competition.load(settings, root)
    return str(caught.value)


def test_the_mask_tree_becomes_a_row_a_photo(tmp_path):
    data = competition.load(MASK, mask_tree(tmp_path))
    assert len(data.train) == 7 * len(PEOPLE) and len(data.test) == 4
    assert len(set(data.train.groups_N.tolist())) == len(PEOPLE), "one id of two people merges nobody"
    at = {name: n for n, name in enumerate(data.train.ids_N.tolist())}
    for person in PEOPLE:
        age = 0 if person[2] < 30 else 1 if person[2] < 60 else 2
        for stem, kind in MASK_PHOTOS.items():
            n = at[f"{folder_of(person)}/{stem}"]
            assert data.train.labels[n] == KIND[kind] * 6 + (person[1] == "female") * 3 + age
            assert data.train.groups_N[n] == folder_of(person)
            assert data.train.paths_N[n].rsplit("/", 1)[1].startswith(f"{stem}.")
    assert data.test.ids_N[1] == f"{1:040x}.jpg"
    assert any("1 person id is in several rows (first: 000006)" in note for note in data.notes)
    assert not any("._" in str(path) for path in competition.input_files(MASK, tmp_path))


def test_what_may_be_wrong_with_the_mask_tree(tmp_path):
    root = mask_tree(tmp_path)
    images = root / "train" / "images"
    first, second = folder_of(PEOPLE[0]), folder_of(PEOPLE[1])
    picture(images / first / "selfie.png", 1)
    picture(images / second / "normal.webp", 1)
    rows = [(*p[:2], "Asian", p[2], folder_of(p)) for p in PEOPLE]
    rows += [rows[0], ("000009", "male", "Asian", "old", "000009_nowhere")]
    table(root / "train" / "train.csv", ["id", "gender", "race", "age", "path"], rows)
    text = faults(MASK, root)
    assert f"'{first}/selfie.png' is not one of mask1" in text
    assert "normal.webp' are the same photo" in text
    assert f"row 8 (id 000001): folder '{first}' is already in row 2" in text
    assert "row 9 (id 000009): there is no photo in folder '000009_nowhere'" in text


def test_missing_photos_and_unlisted_people_are_noted_and_no_fault(tmp_path):
    root = mask_tree(tmp_path)
    next((root / "train" / "images" / folder_of(PEOPLE[0])).glob("mask3.*")).unlink()
    picture(root / "train" / "images" / "000099_male_Asian_20" / "mask1.jpg", 1)
    data = competition.load(MASK, root)
    assert len(data.train) == 7 * len(PEOPLE) - 1
    assert "1 people have fewer than 7 photos" in data.notes
    assert any("1 folder of people who are in no row of the table is left out" in note for note in data.notes)


def test_a_folder_per_class_and_loose_test_images(tmp_path):
    for n in range(3):
        picture(tmp_path / "photos" / "glass" / "deep" / f"{n}.JPG", n)
        picture(tmp_path / "photos" / "paper" / f"{n}.png", 10 + n)
        picture(tmp_path / "more" / f"{n}.png", 20 + n)
    for clutter in ("photos/__MACOSX/paper/._0.png", "photos/paper/.DS_Store"):
        (tmp_path / clutter).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / clutter).write_bytes(b"x")
    (tmp_path / "photos" / "readme.txt").write_text("x", encoding="utf-8")
    data = competition.load(FOLDERS, tmp_path)
    assert data.train.ids_N.tolist() == [f"glass/deep/{n}.JPG" for n in range(3)] + [
        f"paper/{n}.png" for n in range(3)
    ]
    assert data.train.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert data.test.ids_N.tolist() == ["0.png", "1.png", "2.png"] and data.answers is None
    assert data.notes == (
        "photos: 1 file is left out, because it is no image by its name or not in a class folder "
        "(first: readme.txt)",
    )


def test_decomposed_folder_names_are_the_composed_class(tmp_path):
    nfd = unicodedata.normalize("NFD", "유리")
    for n in range(2):
        picture(tmp_path / "photos" / nfd / unicodedata.normalize("NFD", f"사진{n}.png"), n)
        picture(tmp_path / "photos" / "종이" / f"{n}.png", 10 + n)
    picture(tmp_path / "more" / "x.png", 1)
    settings = FOLDERS.model_copy(
        update={"attributes": [CLASSES.model_copy(update={"values": ["유리", "종이"]})]}
    )
    data = competition.load(settings, tmp_path)
    assert data.train.ids_N[0] == unicodedata.normalize("NFC", "유리/사진0.png")
    assert data.train.labels.tolist() == [0, 0, 1, 1]


def test_no_images_at_all(tmp_path):
    text = faults(FOLDERS, tmp_path)
    assert "no folder with images" in text and "there is no image in" in text
    assert "2 folders without images" in text and "competition.root" not in text


def test_a_folder_of_the_competition_that_is_not_here_is_said_with_its_setting(tmp_path):
    with pytest.raises(DataError) as caught:
        competition.load(FOLDERS, tmp_path / "gone")
    assert f"there is no folder {tmp_path / 'gone'}: " in caught.value.remedy
    assert "competition.root=" in caught.value.remedy


def test_a_class_folder_that_the_settings_do_not_know(tmp_path):
    for name in ("glass", "papr"):
        picture(tmp_path / "photos" / name / "0.png", 1)
    picture(tmp_path / "more" / "x.png", 1)
    assert "(id papr/0.png): class: label 'papr' is not one of glass, paper; did you mean paper?" in faults(
        FOLDERS, tmp_path
    )


def test_held_out_images_keep_their_answers_and_tell_none(tmp_path):
    for n in range(20):
        picture(tmp_path / "photos" / "glass" / f"{n}.png", n)
        picture(tmp_path / "photos" / "paper" / f"{n}.png", 100 + n)
    settings = FOLDERS.model_copy(update={"holdout": 0.25})
    data = competition.load(settings, tmp_path)
    assert len(data.test) == 10 and len(data.train) == 30
    assert data.test.labels_N is None and data.answers is not None
    assert np.bincount(data.answers.truth).tolist() == [5, 5]
    assert data.answers.public_N.sum() == 5
    assert not set(data.test.paths_N) & set(data.train.paths_N)
    truth = [int("paper" in path.rsplit("/", 2)[1]) for path in data.test.paths_N.tolist()]
    assert data.answers.truth.tolist() == truth
    assert all("glass" not in name and "paper" not in name for name in data.test.ids_N.tolist())
    again = competition.load(settings, tmp_path)
    assert again.test.ids_N.tolist() == data.test.ids_N.tolist()


def pets(root, **more):
    """Both tables count from 0; the group is in the file's name."""
    for n in range(6):
        picture(root / "train" / f"p{n // 2}_{n}.png", n)
        picture(root / "test" / f"q{n // 2}_{n}.png", 50 + n)
    table(
        root / "train.csv", ["id", "path", "pet"], [(n, f"p{n // 2}_{n}.png", "cd"[n % 2]) for n in range(6)]
    )
    table(root / "test.csv", ["image", "file"], [(n, f"q{n // 2}_{n}") for n in range(6)])
    settings = {
        "name": "pets",
        "root": ".",
        "train_images": "train",
        "test_images": "test",
        "test_id_column": "image",
        "test_path_column": "file",
        "group_pattern": r"^([a-z]\d+)_",
        "attributes": [AttributeSettings(name="pet", column="pet", values=["c", "d"])],
    }
    return CompetitionSettings(**{**settings, **more})


def test_groups_from_file_names_other_test_columns_and_overlapping_ids(tmp_path):
    data = competition.load(pets(tmp_path), tmp_path)
    assert data.train.groups_N.tolist() == ["p0", "p0", "p1", "p1", "p2", "p2"]
    assert data.test.groups_N.tolist() == ["q0", "q0", "q1", "q1", "q2", "q2"]
    assert data.train.ids_N.tolist() == data.test.ids_N.tolist() == [str(n) for n in range(6)]
    assert data.notes == ("test.csv: 6 file names were completed by their extension (first: q0_0)",)


def test_a_pattern_that_misses_training_paths_is_a_fault_of_each(tmp_path):
    text = faults(pets(tmp_path, group_pattern=r"^(p[01])_"), tmp_path)
    assert "2 paths without a group" in text
    assert "train.csv row 6 (id 4): group_pattern matches nothing in 'p2_4.png'" in text


def test_other_sources_only_ever_train(tmp_path):
    settings = pets(
        tmp_path,
        extra=[
            ExtraSettings(source="web", licence="CC0", images="web", table="web/web.csv"),
            ExtraSettings(source="mine", licence="own photos", images="mine"),
        ],
    )
    picture(tmp_path / "web" / "a.png", 7)
    table(tmp_path / "web" / "web.csv", ["id", "path", "pet"], [(0, "a.png", "d")])
    picture(tmp_path / "mine" / "c" / "x.png", 8)
    data = competition.load(settings, tmp_path)
    assert data.extra is not None and data.extra.split == "extra"
    assert data.extra.ids_N.tolist() == ["web/0", "mine/c/x.png"]
    assert data.extra.labels.tolist() == [1, 0]
    assert data.extra.groups_N.tolist() == data.extra.ids_N.tolist(), "their names follow no pattern of ours"
    assert len(data.train) == len(data.test) == 6
    assert "web: 1 more image (CC0), for training in every fold and never for validation" in data.notes
    picture(tmp_path / "web" / "a.png", 0)
    copied = competition.load(settings, tmp_path)
    assert copied.extra is not None and copied.extra.ids_N.tolist() == ["mine/c/x.png"]
    assert "1 image from elsewhere is a copy of our own and is left out" in copied.notes
    picture(tmp_path / "web" / "a.png", 7)
    files = {p.name for p in competition.input_files(settings, tmp_path)}
    assert {"web.csv", "a.png", "x.png", "p0_0.png", "q0_0.png"} <= files
    table(tmp_path / "web" / "web.csv", ["id", "path", "pet"], [(0, "b.png", "e")])
    text = faults(settings, tmp_path)
    assert "web/web.csv row 2 (id 0): there is no file 'b.png'" in text and "label 'e'" in text
