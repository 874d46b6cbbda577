"""benchmarks/sets: variants of open sets, cut to a size, as files that the pipeline reads."""

import zipfile

import cv2
import numpy as np
import pandas as pd
import pytest

from benchmarks import sets
from pipeline.settings.load import load

LABELS = [f"c{n % 4}" for n in range(160)]


@pytest.fixture
def table(tmp_path):
    """160 images of 80 groups, four classes of equal size."""
    rows = []
    for n, label in enumerate(LABELS):
        path = tmp_path / f"{n}.png"
        cv2.imwrite(str(path), np.full((16, 12, 3), n, np.uint8))
        rows.append((f"i{n}", str(path), label, f"g{n // 8}-{label}-{n // 4 % 2}"))
    return pd.DataFrame(rows, columns=list(sets.COLUMNS))


def test_a_tail_keeps_the_first_class_and_whole_groups_of_the_rarer_ones(table):
    large = pd.concat(
        [table.assign(id=table["id"] + f"-{k}", group=table["group"] + f"-{k}") for k in range(5)]
    )
    counts = sets.tail(large)["label"].value_counts()
    assert counts.iloc[0] == 200 and counts.iloc[-1] == 20 and counts.is_monotonic_decreasing
    assert counts.iloc[1] < 200 and counts.iloc[2] < counts.iloc[1]
    kept = sets.tail(table)
    whole = table[table["group"].isin(kept["group"])]
    assert len(whole) == len(kept), "no group is torn"


def test_a_cut_takes_whole_groups_up_to_its_size_and_leaves_out_lonely_labels(table):
    alone = pd.concat([table, table.head(1).assign(id="odd", label="odd", group="odd")])
    few = sets.cut(alone, 60)
    assert 50 < len(few) <= 60 and "odd" not in set(few["label"])
    assert len(table[table["group"].isin(few["group"])]) == len(few)
    assert sets.cut(alone, 60).equals(few) and not sets.cut(alone, 60, seed=1).equals(few)


def test_crops_of_an_image_are_one_group(table, tmp_path):
    made = sets.grouped(table.head(4), tmp_path / "crops")
    assert len(made) == 12 and made["id"].is_unique
    assert made.groupby("group")["id"].count().sum() == 12 and set(made["group"]) == set(
        table.head(4)["group"]
    )
    assert cv2.imread(made["path"].iloc[0]).shape[:2] == (12, 9)


def test_the_words_of_a_set_are_settings_of_a_competition_that_reads_its_files(table, tmp_path):
    made = sets.written("toy", "digits", table, tmp_path / "toy")
    config = load(made.words).config.competition
    assert config.name == "toy" and config.demo is None and config.group_column == "group"
    assert config.attributes[0].values == ["c0", "c1", "c2", "c3"] and config.attributes[0].forbids
    train = pd.read_csv(made.folder / "train.csv")
    assert len(train) == 160 and all((made.folder / "images" / path).is_file() for path in train["path"])
    assert len(pd.read_csv(made.folder / "test.csv")) == sets.N_TEST


def test_an_archive_whose_unpacking_was_killed_is_unpacked_again(tmp_path):
    archive = tmp_path / "photos.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for name in ("cat/1.png", "cat/2.png", "dog/1.png"):
            file.writestr(name, cv2.imencode(".png", np.full((300, 40, 3), 9, np.uint8))[1].tobytes())
    (tmp_path / "sets" / "photos" / "images").mkdir(parents=True)
    table = sets.table_of_photos("photos", archive, tmp_path)
    assert table["label"].tolist() == ["cat", "cat", "dog"] and table["group"].is_unique
    assert cv2.imread(table["path"].iloc[0]).shape[:2] == (sets.LARGEST_PX, 34)
