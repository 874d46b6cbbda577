"""Labels: numeric bins, other bins for training, and patches that leave the score's labels alone."""

import numpy as np
import pytest
from bring_world import MASK, PEOPLE, folder_of, mask_tree, table

from pipeline.core.errors import DataError
from pipeline.data import competition
from pipeline.settings.competition import AttributeSettings, CompetitionSettings

PATCHES = ["id", "attribute", "value", "reason"]


def with_age(**age):
    *others, last = MASK.attributes
    return MASK.model_copy(update={"attributes": [*others, last.model_copy(update=age)]})


def ages(samples, training=False):
    labels = samples.for_training().labels if training else samples.labels
    codes = samples.space.codes_CA[labels, 2]
    return {str(g): set(codes[samples.groups_N == g].tolist()) for g in samples.groups_N}


def test_edges_belong_to_the_upper_bin(tmp_path):
    data = competition.load(MASK, mask_tree(tmp_path))
    expected = {folder_of(p): {0 if p[2] < 30 else 1 if p[2] < 60 else 2} for p in PEOPLE}
    assert ages(data.train) == expected
    assert data.train.train_labels_N is None, "one kind of labels where both are the same"


def test_train_bins_change_what_trains_and_not_what_scores(tmp_path):
    root = mask_tree(tmp_path)
    plain = competition.load(MASK, root).train
    data = competition.load(with_age(train_bins=[30, 58]), root)
    assert np.array_equal(data.train.labels, plain.labels)
    moved = data.train.for_training().labels != data.train.labels
    assert set(data.train.groups_N[moved].tolist()) == {folder_of(PEOPLE[2])}, "59 trains as old"
    assert moved.sum() == 7
    assert any(
        "7 images are trained as another class than the one that is scored" in note for note in data.notes
    )


def test_a_cell_that_is_no_number(tmp_path):
    people = (*PEOPLE, ("000010", "male", "old"), ("000011", "male", "nan"))
    with pytest.raises(DataError) as caught:
        competition.load(MASK, mask_tree(tmp_path, people))
    assert "14 unknown labels" in str(caught.value) and "age: 'old' is not a number" in str(caught.value)


def patched(root, rows, **settings):
    table(root / "patches.csv", PATCHES, rows)
    return MASK.model_copy(update={"label_patches": "patches.csv", **settings})


def test_patches_correct_training_labels_of_the_whole_person(tmp_path):
    root = mask_tree(tmp_path)
    plain = competition.load(MASK, root).train
    rows = [
        (f"{folder_of(PEOPLE[0])}/mask1", "gender", "male", "seen"),
        (folder_of(PEOPLE[1]), "age", "61", "passport"),
        (f"{folder_of(PEOPLE[2])}/normal", "mask", "mask", "has one"),
    ]
    data = competition.load(patched(root, rows), root)
    assert np.array_equal(data.train.labels, plain.labels), "scores stay comparable"
    codes = data.train.space.codes_CA[data.train.for_training().labels]
    before = plain.space.codes_CA[plain.labels]
    changed = [
        (str(data.train.groups_N[n]), int(a)) for n, a in zip(*np.nonzero(codes != before), strict=True)
    ]
    assert sorted(set(changed)) == [
        (folder_of(PEOPLE[0]), 1),
        (folder_of(PEOPLE[1]), 2),
        (folder_of(PEOPLE[2]), 0),
    ]
    assert len(changed) == 7 + 7 + 1
    assert any(
        "patches.csv: 3 label patches change gender of 7 images, age of 7 images, mask of 1 images "
        "(training labels; scores use the original ones)" in note
        for note in data.notes
    )
    assert (root / "patches.csv") in competition.input_files(patched(root, rows), root)
    scoring = competition.load(patched(root, rows, patch_scoring=True), root).train
    assert np.array_equal(scoring.labels, data.train.for_training().labels)
    assert scoring.train_labels_N is None


def test_patches_that_fit_nothing_are_all_told(tmp_path):
    root = mask_tree(tmp_path)
    rows = [
        ("nobody", "gender", "male", ""),
        (folder_of(PEOPLE[0]), "mask", "mask", "a person has no one mask"),
        (f"{folder_of(PEOPLE[0])}/mask1", "gendr", "male", ""),
        (f"{folder_of(PEOPLE[0])}/mask1", "gender", "mal", ""),
        (f"{folder_of(PEOPLE[1])}/mask1", "age", "20", ""),
        (f"{folder_of(PEOPLE[1])}/mask2", "age", "21", ""),
    ]
    with pytest.raises(DataError) as caught:
        competition.load(patched(root, rows), root)
    text = str(caught.value)
    assert "row 2 (id nobody): no training image or group has this id" in text
    assert f"row 3 (id {folder_of(PEOPLE[0])}): no training image has this id" in text
    assert "no attribute `gendr`; did you mean gender?" in text
    assert "row 5" in text and "label 'mal' is not one of male, female" in text
    assert "row 7" in text and "age is already patched in row 6" in text
    assert len(caught.value.faults) == 5


def test_a_patch_table_without_its_columns(tmp_path):
    root = mask_tree(tmp_path)
    table(root / "patches.csv", ["id", "value"], [("a", "b")])
    with pytest.raises(DataError, match="2 unreadable patches"):
        competition.load(MASK.model_copy(update={"label_patches": "patches.csv"}), root)


def test_values_meet_in_any_unicode_form(tmp_path):
    import unicodedata

    from bring_world import picture

    picture(tmp_path / "images" / "a.png", 1)
    nfd = unicodedata.normalize("NFD", "강아지")
    table(tmp_path / "train.csv", ["id", "path", "pet"], [("1", "a.png", nfd), ("2", "a.png", "고양이")])
    table(tmp_path / "test.csv", ["id", "path"], [("1", "a.png")])
    settings = CompetitionSettings(
        root=".", attributes=[AttributeSettings(name="pet", column="pet", values=["고양이", "강아지"])]
    )
    assert competition.load(settings, tmp_path).train.labels.tolist() == [1, 0]
