"""Guesses about tables and file names that nobody has described."""

import re

import numpy as np
import pytest
import yaml
from bring_world import picture, table
from PIL import Image

from pipeline.core.errors import DataError
from pipeline.core.tables import read_table
from pipeline.data.new import asked, columns, groups, label
from pipeline.data.new.folders import ClassFolders, class_folders
from pipeline.data.new.propose import propose
from pipeline.data.new.request import NewRequest, Proposal


def written(path, header, rows):
    return read_table(table(path, header, rows))


@pytest.mark.parametrize(
    ("names", "part"),
    [
        ([f"p{p:03d}_{k}m.jpg" for p in range(20) for k in range(3)], "p000"),
        ([f"glass/p{p:03d}-{k}.jpg" for p in range(20) for k in range(3)], "p000"),
        ([f"{p:02x}f_{k}.jpg" for p in range(20) for k in range(3)], "00f"),
        ([f"IMG_2019{p:04d}_{k}.jpg" for p in range(20) for k in range(3)], "IMG_20190000"),
        ([f"x/person{p}/{k}.jpg" for p in range(20) for k in range(3)], "person0"),
    ],
)
def test_groups_in_file_names(names, part):
    classes = [n % 2 for n in range(len(names))]
    _, why = groups.group_patterns(names, classes)[0]
    assert "20 groups for 60 images" in why and f" is of {part}, " in why and why.count(" is of ") == 3, why


@pytest.mark.parametrize(
    "names",
    [
        [f"glass{n}.jpg" for n in range(60)],
        [f"{'glass' if n % 2 else 'paper'}_{n}.jpg" for n in range(60)],
        [f"IMG_{n:04d}.jpg" for n in range(60)],
        [f"{n:04d}_a.jpg" for n in range(60)],
        [f"glass/{n}.jpg" for n in range(60)],
    ],
)
def test_what_is_no_group(names):
    assert groups.group_patterns(names, [n % 2 for n in range(len(names))]) == []


def test_the_column_that_leads_to_images_is_found(tmp_path):
    rows = []
    for n in range(30):
        picture(tmp_path / "all" / "train" / f"{n}.jpg", n)
        picture(tmp_path / "all" / "test" / f"{n}.jpg", n)
        rows.append((n % 7, f"r{n}", f"{n}.jpg", n % 2))
    found = written(tmp_path / "t.csv", ["age", "id", "file", "label"], rows)
    train = columns.place(found, columns.folders_near(tmp_path / "all", split="train"))
    test = columns.place(found, columns.folders_near(tmp_path / "all", split="test"))
    assert (train.column, train.folder.name, train.found) == ("file", "train", 1.0)
    assert (test.column, test.folder.name) == ("file", "test"), "the same names lie in both folders"
    assert columns.id_column(found, "file", None) == (
        "id",
        "by its name; a different value in each of 30 rows",
    )
    assert columns.place(found, [tmp_path]) is None


def test_labels_by_the_sample_by_name_and_by_elimination(tmp_path):
    rows = [(n, n % 3, "ab"[n % 2], 20 + n) for n in range(40)]
    found = written(tmp_path / "t.csv", ["id", "x", "class", "age"], rows)

    def chosen(table_, taken, *answers):
        columns_ = [f"a{n}" for n in range(3)]
        sample = written(tmp_path / "s.csv", ["id", *answers], [(c, *[0] * len(answers)) for c in columns_])
        return label.choose(
            table_, set(taken), asked.read(sample, None) if answers else None, None, label.Wish()
        ).names

    assert chosen(found, ["id"], "x") == ("x",)
    assert chosen(found, ["id"], "0", "1", "2") == ("x",)
    assert chosen(found, ["id"]) == ("class",)
    assert chosen(found, ["id", "class", "age"]) == ("x",)
    other = written(tmp_path / "o.csv", ["id", "x", "z", "age"], rows)
    with pytest.raises(DataError, match="nothing says which column is the label"):
        chosen(other, ["id"])
    assert columns.is_number(found, "age") and not columns.is_number(found, "x")


def test_values_in_order(tmp_path):
    found = written(tmp_path / "t.csv", ["a", "b"], [("10", "나"), ("9", "가"), ("09", "다")])
    assert columns.values_of(found, "a") == ["09", "9", "10"]
    assert columns.values_of(found, "b") == ["가", "나", "다"]


def test_settings_of_a_section_stand_together_in_whatever_order_they_were_found():
    proposal = Proposal("x")
    for path, value in (("competition.name", "x"), ("images.size", 64), ("competition.metric", "auc")):
        proposal.set(path, value)
    read_back = proposal.yaml()
    assert read_back.count("competition:") == 1 and read_back.index("metric") < read_back.index("images:")


def test_yaml_of_awkward_text_reads_back():
    proposal = Proposal("x")
    values = ["no", "012", "58:30", 'a"b\\', "가", "# c", "1e5"]
    proposal.set("competition.name", "x")
    proposal.set("competition.attributes", [{"name": "a", "column": "c: d", "values": values}], "why")
    proposal.set("competition.submission.format", "class_name", "because")
    proposal.set("folds.n", 3)
    proposal.hints.append("a hint")
    assert yaml.safe_load(proposal.yaml()) == {
        "competition": {
            "name": "x",
            "attributes": [{"name": "a", "column": "c: d", "values": values}],
            "submission": {"format": "class_name"},
        },
        "folds": {"n": 3},
    }
    told = "\n".join(proposal.summary())
    assert "because" in told and "hint: a hint" in told


def settings_of(request):
    return yaml.safe_load(propose(request).yaml())


def test_a_sample_of_probabilities(tmp_path):
    rng = np.random.default_rng(0)
    rows = []
    for n in range(24):
        picture(tmp_path / "images" / f"t{n}.png", n)
        rows.append((f"t{n}", ["cat", "dog", "bird"][n % 3], f"owner{n // 4}", float(rng.random())))
    train = table(tmp_path / "train.csv", ["image_id", "what", "owner", "weight"], rows)
    for n in range(6):
        picture(tmp_path / "images" / f"v{n}.png", n)
    columns_P = ["dog", "cat", "bird"]
    sample = table(
        tmp_path / "sample.csv", ["image_id", *columns_P], [(f"v{n}", 0.3, 0.3, 0.4) for n in range(6)]
    )
    found = settings_of(NewRequest("pets", tmp_path / "images", train, None, sample, tmp_path))["competition"]
    assert found["attributes"] == [{"name": "what", "column": "what", "values": columns_P}], (
        "in the sample's order"
    )
    assert (found["metric"], found["submission"]["format"]) == ("log_loss", "probabilities")
    assert (found["id_column"], found["path_column"]) == ("image_id", "image_id")
    assert (found["test_table"], found["group_column"], found["root"]) == ("sample.csv", "owner", ".")


def test_class_folders_behind_wrappers_and_splits(tmp_path):
    for name in ("a", "b"):
        picture(tmp_path / "zip" / "inner" / name / "0.png", 1)
        picture(tmp_path / "data" / "Train" / name / "0.png", 1)
    picture(tmp_path / "data" / "test" / "0.png", 1)
    assert class_folders(tmp_path / "zip") == ClassFolders(tmp_path / "zip" / "inner")
    data = tmp_path / "data"
    assert class_folders(data) == ClassFolders(data / "Train", data / "test")


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([("1", "none.png", "a"), ("2", "gone.png", "b")], "no column leads to images"),
        ([("1", "0.png", "a"), ("1", "0.png", "b")] * 2, "no column has a different value in each row"),
        ([("1", "0.png", "a"), ("2", "1.png", "b")], "each row has another answer"),
    ],
)
def test_tables_that_cannot_be_understood(tmp_path, rows, said):
    for n in range(2):
        picture(tmp_path / "images" / f"{n}.png", n)
    train = table(tmp_path / "train.csv", ["id", "path", "label"], rows)
    with pytest.raises(DataError, match=said) as caught:
        propose(NewRequest("x", tmp_path / "images", train, None, None, tmp_path))
    assert caught.value.remedy
    with pytest.raises(DataError) as caught:
        propose(
            NewRequest("x", tmp_path / "no", tmp_path / "a.csv", tmp_path / "b", tmp_path / "c", tmp_path)
        )
    assert len(caught.value.faults) == 4
    with pytest.raises(DataError, match="no folder per class"):
        propose(NewRequest("x", tmp_path / "images", None, None, None, tmp_path))


def sampled(root, missing=()):
    """A table, its images, and a sample of six test images, some of which are not there."""
    for n in range(12):
        picture(root / "images" / f"{n}.png", n)
    for n in set(range(6)) - set(missing):
        picture(root / "test" / f"t{n}.png", n)
    rows = [(n, f"{n}.png", ["cat", "dog"][n % 2]) for n in range(12)]
    train = table(root / "train.csv", ["id", "path", "label"], rows)
    sample = table(root / "sample.csv", ["id", "label"], [(f"t{n}", "cat") for n in range(6)])
    return NewRequest("x", root, train, None, sample, root)


def test_a_missing_test_image_is_not_found_in_another_competition(tmp_path):
    sampled(tmp_path / "other")
    propose(sampled(tmp_path / "whole"))
    with pytest.raises(DataError, match="no column leads to test images") as caught:
        propose(sampled(tmp_path / "mine", missing=[3]))
    assert "'id': 5 of 6 rows that were tried lead to images in" in caught.value.faults[0]
    assert (
        "'t3' does not" in caught.value.faults[0]
        and "e.g. 'cat': none of its rows leads to an image" in caught.value.faults[1]
    )


def test_an_id_that_stands_twice_is_told_where_another_column_is_taken(tmp_path):
    request = sampled(tmp_path)
    rows = [(min(n, 10), f"{n}.png", ["cat", "dog"][n % 2]) for n in range(12)]
    table(request.train, ["id", "path", "label"], rows)
    text = propose(request).yaml()
    assert "a different value in each of 12 rows; not id, where '10' occurs 2 times" in text


def test_a_bomb_is_left_to_the_data_report(tmp_path):
    import struct
    import zlib

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 50000, 50000, 8, 2, 0, 0, 0))
    request = sampled(tmp_path)
    bomb = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"0")) + chunk(b"IEND", b"")
    (tmp_path / "images" / "3.png").write_bytes(bomb)
    assert settings_of(request)["images"]["size"] < 100, "the others have 12 × 16 px"


@pytest.mark.parametrize("copies", [True, False])
def test_one_picture_in_several_class_folders_is_a_group_and_equal_names_alone_are_not(tmp_path, copies):
    pixels = np.random.default_rng(0)
    for n in range(20):
        shown = pixels.integers(0, 256, (24, 24, 3), dtype=np.uint8)
        for code, name in enumerate(("cover", "changed")):
            own = shown if copies else pixels.integers(0, 256, (24, 24, 3), dtype=np.uint8)
            path = tmp_path / "images" / name / f"{n}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(own ^ code).save(path)
    made = propose(NewRequest("x", tmp_path / "images", None, None, None, tmp_path))
    found = {line.path: line.value for line in made.lines}
    pattern = found.get("competition.group_pattern")
    assert (
        (pattern is not None and re.search(pattern, "cover/7.png")[1] == "7") if copies else pattern is None
    )
