"""`make new` on files in the arrangements in which hosts hand them out."""

import gzip
import json
import time

import pytest
import yaml
from bring_world import picture, table

from pipeline.core.errors import DataError
from pipeline.core.tables import read_table
from pipeline.core.wording import worded
from pipeline.data import competition
from pipeline.data.new import groups
from pipeline.data.new.folders import class_folders, split_of
from pipeline.data.new.propose import propose
from pipeline.data.new.request import NewRequest
from pipeline.settings.competition import CompetitionSettings


def guess(root, images=".", train=None, test=None, sample=None, encoding=None):
    """(the proposal, the section `competition` of its file)."""
    given = [root / p if p else None for p in (train, test, sample)]
    request = NewRequest("x", root / images, *given, root, encoding=encoding)
    proposal = propose(request)
    return proposal, yaml.safe_load(proposal.yaml())["competition"]


def read(root, found):
    return competition.load(CompetitionSettings.model_validate(found), root)


def refused(root, **given):
    with pytest.raises(DataError) as caught:
        guess(root, **given)
    return str(caught.value)


def drawn_tests(root, names, folder="test"):
    for n, name in enumerate(names):
        picture(root / folder / name, 200 + n)


def test_folders_named_after_a_column_of_the_table(tmp_path):
    rows = []
    for n in range(24):
        picture(tmp_path / "imgs" / "train" / f"c{n % 2}" / f"img_{n}.jpg", n)
        rows.append((f"p{n // 6}", f"c{n % 2}", f"img_{n}.jpg"))
    drawn_tests(tmp_path, [f"img_{n}.jpg" for n in range(4)], "imgs/test")
    table(tmp_path / "list.csv", ["subject", "classname", "img"], rows)
    table(tmp_path / "sample.csv", ["img", "c0", "c1"], [(f"img_{n}.jpg", 0.5, 0.5) for n in range(4)])
    _, found = guess(tmp_path, "imgs", "list.csv", None, "sample.csv")
    assert (found["train_images"], found["test_images"]) == ("imgs/train", "imgs/test")
    assert (found["group_column"], found["path_column"]) == ("subject", "img")
    data = read(tmp_path, found)
    assert len(data.train) == 24 and len(set(data.train.groups_N.tolist())) == 4
    assert all("/imgs/test/" in path for path in data.test.paths_N.tolist())
    assert any("24 images were found by their name in folders below" in note for note in data.notes)


@pytest.mark.parametrize("images", [".", "part_1"])
def test_images_in_two_folders_of_which_one_is_given(tmp_path, images):
    rows = []
    for n in range(24):
        picture(tmp_path / f"part_{1 + n % 2}" / f"ISIC_{n}.jpg", n)
        rows.append((f"L{n // 3}", f"ISIC_{n}", "ab"[n // 12]))
    table(tmp_path / "meta.csv", ["lesion_id", "image_id", "label"], rows)
    proposal, found = guess(tmp_path, images, "meta.csv")
    assert (found["train_images"], found["group_column"], found["holdout"]) == (".", "lesion_id", 0.2)
    assert "images" in "\n".join(proposal.summary())
    data = read(tmp_path, found)
    assert len(data.train) + len(data.test) == 24


def test_names_that_exist_twice_need_a_folder_in_their_row(tmp_path):
    rows = []
    for n in range(12):
        for kind in ("cat", "dog"):
            picture(tmp_path / "images" / kind / f"{n}.jpg", n)
            rows.append((f"{kind}{n}", f"{n}.jpg", kind))
    train = table(tmp_path / "train.csv", ["id", "file", "label"], rows)
    _, found = guess(tmp_path, "images", "train.csv")
    data = read(tmp_path, found)
    both = [*data.train.paths_N.tolist(), *data.test.paths_N.tolist()]
    assert len(set(both)) == 24
    labels = dict(zip(data.train.paths_N.tolist(), data.train.labels.tolist(), strict=True))
    assert all(("/dog/" in path) == bool(label) for path, label in labels.items())
    table(train, ["id", "file", "label"], [(i, f, {"cat": "x", "dog": "y"}[k]) for i, f, k in rows])
    text = refused(tmp_path, images="images", train="train.csv")
    assert "'0.jpg' is in several folders: cat/0.jpg, dog/0.jpg" in text


@pytest.mark.parametrize(
    "front", ["train_images\\", "./train_images/", "/kaggle/input/x/train_images/", "C:\\x\\train_images\\"]
)
@pytest.mark.parametrize("images", [".", "train_images"])
def test_folders_in_front_of_the_names(tmp_path, front, images):
    rows, tests = [], []
    for n in range(12):
        picture(tmp_path / "train_images" / f"img{n}.png", n)
        rows.append((n, f"{front}img{n}.png", "ab"[n % 2], n % 5))
    drawn_tests(tmp_path, [f"img{n}.png" for n in range(4)], "test_images")
    tests = [(n, f"{front.replace('train', 'test')}img{n}.png") for n in range(4)]
    table(tmp_path / "train.csv", ["id", "filepath", "label", "kfold"], rows)
    table(tmp_path / "test.csv", ["id", "filepath"], tests)
    table(tmp_path / "sample.csv", ["id", "label"], [(n, "a") for n in range(4)])
    proposal, found = guess(tmp_path, images, "train.csv", "test.csv", "sample.csv")
    data = read(tmp_path, found)
    assert all("/train_images/" in path for path in data.train.paths_N.tolist())
    assert all("/test_images/" in path for path in data.test.paths_N.tolist())
    assert [a["column"] for a in found["attributes"]] == ["label"], "the host's folds are no label"
    assert any("folds.kind=column folds.column=kfold folds.n=5" in hint for hint in proposal.hints)


def test_a_test_image_is_not_found_among_the_training_images(tmp_path):
    rows = []
    for n in range(12):
        picture(tmp_path / "train" / "ab"[n % 2] / f"{n}.png", n)
        rows.append((n, f"{n}.png", "ab"[n % 2]))
    table(tmp_path / "train.csv", ["id", "file", "label"], rows)
    table(tmp_path / "test.csv", ["id", "file"], [(n, f"{n}.png") for n in range(4)])
    text = refused(tmp_path, images=".", train="train.csv", test="test.csv")
    assert "test.csv: no column leads to test images" in text


@pytest.mark.parametrize(
    ("name", "split"),
    [
        *(
            ("seg_train", "train"),
            ("Training", "train"),
            ("train_images", "train"),
            ("asl_alphabet_test", "test"),
        ),
        *(("Test", "test"), ("valid", "valid"), ("val2017", "valid"), ("seg_pred", "test")),
        *(("trainers", None), ("valley", None), ("contest", None), ("train_test", None), ("cat", None)),
    ],
)
def test_names_of_splits(name, split):
    assert split_of(name) == split


def test_splits_inside_folders_of_their_own_name(tmp_path):
    for part in ("train", "test"):
        for kind in ("forest", "street"):
            for n in range(6):
                picture(tmp_path / f"seg_{part}" / f"seg_{part}" / kind / f"{part}{n}.jpg", n)
    drawn_tests(tmp_path, ["1.jpg"], "seg_pred/seg_pred")
    proposal, found = guess(tmp_path)
    assert found["train_images"] == "seg_train/seg_train" and found["test_images"] in ("seg_test", "seg_pred")
    assert found["attributes"][0]["values"] == ["forest", "street"]
    assert any("is another split with" in hint for hint in proposal.hints)


def test_a_test_folder_beside_the_class_folders_is_no_class(tmp_path):
    for kind in ("cat", "dog", "horse"):
        for n in range(6):
            picture(tmp_path / kind / f"{n}.jpg", n)
    drawn_tests(tmp_path, ["1.jpg", "2.jpg"], "unknown")
    drawn_tests(tmp_path, ["1.jpg", "2.jpg"], "test")
    _, found = guess(tmp_path, test="test")
    assert found["attributes"][0]["values"] == ["cat", "dog", "horse", "unknown"]
    (tmp_path / "unknown").rename(tmp_path / ".unknown")
    for _, found in (guess(tmp_path), guess(tmp_path, test="test")):
        assert found["attributes"][0]["values"] == ["cat", "dog", "horse"] and found["test_images"] == "test"
        data = read(tmp_path, found)
        assert len(data.train) == 18 and len(data.test) == 2


def test_a_class_called_train_stays_a_class(tmp_path):
    for kind in ("bus", "car", "train"):
        for n in range(6):
            picture(tmp_path / kind / f"{n}.jpg", n)
    assert class_folders(tmp_path).train == tmp_path
    assert guess(tmp_path)[1]["attributes"][0]["values"] == ["bus", "car", "train"]


def test_a_validation_folder_is_named(tmp_path):
    for part in ("train", "valid", "Test"):
        for kind in ("a", "b"):
            for n in range(6):
                picture(tmp_path / part / kind / f"{n}.jpg", n)
    proposal, found = guess(tmp_path)
    assert (found["train_images"], found["test_images"]) == ("train", "Test")
    assert any(hint.startswith("valid is another split with 12 images") for hint in proposal.hints)


def grouped(root, column, values, labels=None):
    """A table of 24 images with one more column."""
    rows = []
    for n in range(24):
        picture(root / "images" / f"{n}.png", n)
        rows.append((n, f"{n}.png", labels[n] if labels else "ab"[n % 2], values[n]))
    table(root / "train.csv", ["id", "path", "label", column], rows)
    return guess(root, "images", "train.csv")


@pytest.mark.parametrize(
    "column", ["lesion_id", "Subject", "src_file", "site", "session_no", "patient", "wsi"]
)
def test_columns_that_hold_the_person_are_the_group(tmp_path, column):
    _, found = grouped(tmp_path, column, [f"v{n // 3}" for n in range(24)])
    assert found["group_column"] == column


@pytest.mark.parametrize("unknown", ["", "nan", "unknown", "-1"])
@pytest.mark.parametrize("times", [1, 9])
def test_unknown_people_keep_the_others_grouped(tmp_path, unknown, times):
    values = [unknown if n < times else f"p{n // 3}" for n in range(24)]
    proposal, found = grouped(tmp_path, "patient_id", values)
    assert found["group_column"] == "patient_id"
    assert worded("unknown in {n:row}", n=times) in "\n".join(proposal.summary())
    data = read(tmp_path, found)
    assert any(f"`patient_id` is unknown in {times} of 24 rows" in note for note in data.notes)


def test_people_come_before_visits_and_places_and_descriptions_are_no_groups(tmp_path):
    header = ["id", "label", "anatom_site", "age_of_patient", "camera", "lesion_id", "patient_id"]
    rows = []
    for n in range(48):
        picture(tmp_path / "images" / f"{n}.png", n)
        rows.append((f"{n}", "ab"[n % 2], f"s{n % 4}", 20 + n % 5, f"c{n % 3}", f"l{n // 2}", f"p{n // 4}"))
    chosen = []
    while header[2:]:
        table(tmp_path / "train.csv", header, rows)
        proposal, found = guess(tmp_path, "images", "train.csv")
        chosen.append(found["group_column"])
        grouping = [hint for hint in proposal.hints if "could also be the group" in hint]
        assert not any("age_of_patient" in hint or "anatom" in hint for hint in grouping)
        header, rows = header[:-1], [row[:-1] for row in rows]
    assert chosen == ["patient_id", "lesion_id", "camera", None, None]


def test_test_images_in_a_container_are_named(tmp_path):
    rows = []
    for n in range(24):
        picture(tmp_path / "train" / f"i{n}.png", n)
        rows.append((f"i{n}", "ab"[n % 2]))
    table(tmp_path / "train.csv", ["id", "label"], rows)
    table(tmp_path / "test.csv", ["id", "age"], [("t1", 4), ("t2", 5)])
    (tmp_path / "test-image.hdf5").write_bytes(b"\x89HDF\r\n\x1a\n")
    with pytest.raises(
        DataError, match=r"no column leads to images, and .*test-image\.hdf5: (the package h5py|damaged)"
    ):
        guess(tmp_path, "train", "train.csv", "test.csv")


def test_a_group_that_is_the_answer_is_refused(tmp_path):
    labels = ["abcd"[n // 6] for n in range(24)]
    proposal, found = grouped(tmp_path, "subject", [f"s{n // 6}" for n in range(24)], labels)
    assert found["group_column"] is None
    assert any(hint.startswith("subject is not the group") for hint in proposal.hints)
    with pytest.raises(DataError, match="gives each of the 4 classes one group only"):
        read(tmp_path, found | {"group_column": "subject"})


def test_a_pattern_that_swallows_a_class_is_no_group(tmp_path):
    names = [f"NORMAL/IM-{n:04d}-0001.jpeg" for n in range(20)]
    names += [f"PNEUMONIA/person{n // 3}_{'bacteria' if n % 2 else 'virus'}_{n}.jpeg" for n in range(30)]
    found = groups.group_patterns(names, [0] * 20 + [1] * 30)
    assert "30 groups for 50 images" in found[0][1] and "IM-0000-0001.jpeg is of IM-0000" in found[0][1]
    assert all("is of IM," not in why for _, why in found)


def test_rows_of_another_split_in_one_table_are_told(tmp_path):
    values = ["train" if n < 18 else "test" for n in range(24)]
    proposal, found = grouped(tmp_path, "split", values)
    assert [a["column"] for a in found["attributes"]] == ["label"]
    assert any("split says which rows" in hint and "train: 18, test: 6" in hint for hint in proposal.hints)


def test_rows_of_the_test_set_in_the_training_table_are_refused_by_their_split(tmp_path):
    rows = []
    for n in range(24):
        picture(tmp_path / "images" / f"{n}.png", n)
        rows.append((f"{n}.png", "ab"[n % 2] if n < 18 else "", "train" if n < 18 else "test"))
    table(tmp_path / "train.csv", ["path", "label", "data set"], rows)
    with pytest.raises(DataError, match="6 rows have no label, and their `data set` is test"):
        guess(tmp_path, "images", "train.csv")


def test_two_columns_of_images_are_images_of_the_row(tmp_path):
    rows = []
    for n in range(24):
        picture(tmp_path / "images" / f"{n}.png", n)
        rows.append((n // 2, f"{n - n % 2}.png", f"{n - n % 2 + 1}.png", "ab"[n // 2 % 2]))
    table(tmp_path / "train.csv", ["id", "left", "right", "label"], rows[::2])
    _, found = guess(tmp_path, "images", "train.csv")
    assert found["images_per_sample"] == {"columns": ["left", "right"]}
    assert all(path.count("\n") == 1 for path in read(tmp_path, found).train.paths_N.tolist())


def test_a_second_column_of_images_that_the_test_table_lacks_is_not_used(tmp_path):
    rows, tests = [], []
    for n in range(24):
        picture(tmp_path / "large" / f"{n}.png", n)
        picture(tmp_path / "train" / f"{n}.jpg", n)
        rows.append((f"large/{n}.png", f"train/{n}.jpg", "ab"[n % 2]))
    for n in range(4):
        picture(tmp_path / "test" / f"{n}.jpg", n)
        tests.append((n, f"test/{n}.jpg"))
    table(tmp_path / "train.csv", ["large_path", "img_path", "label"], rows)
    table(tmp_path / "test.csv", ["id", "img_path"], tests)
    table(tmp_path / "sample.csv", ["id", "label"], [(n, "a") for n, _ in tests])
    proposal, found = guess(tmp_path, ".", "train.csv", "test.csv", "sample.csv")
    assert found["path_column"] == "img_path"
    assert any("no images of large_path; only those of img_path" in hint for hint in proposal.hints)
    assert all(path.endswith(".jpg") for path in read(tmp_path, found).train.paths_N.tolist())
    table(tmp_path / "test.csv", ["id", "img_path", "large_path"], [(n, p, p) for n, p in tests])
    _, found = guess(tmp_path, ".", "train.csv", "test.csv", "sample.csv")
    assert found["images_per_sample"] == {"columns": ["large_path", "img_path"]}


def patients(root, sub=("0", "1"), tops=tuple(f"p{n}" for n in range(8))):
    """A folder for each patient, which holds the folders `sub`."""
    shade = 0
    for top in tops:
        for below in sub:
            for n in range(2):
                picture(root / "images" / top / below / f"{n}.png", shade := shade + 1)
    drawn_tests(root, [f"t{n}.png" for n in range(4)])


@pytest.mark.parametrize(("sub", "cell"), [(("0", "1"), 0), (("a", "b", "c"), "b"), (("0", "1"), 0.25)])
def test_classes_inside_the_folders_of_patients_are_found_by_the_sample(tmp_path, sub, cell):
    patients(tmp_path, sub)
    table(tmp_path / "sample.csv", ["id", "label"], [(f"t{n}", cell) for n in range(4)])
    _, found = guess(tmp_path, "images", None, "test", "sample.csv")
    assert found["attributes"][0]["values"] == list(sub) and found["group_pattern"] == "^([^/]+)/"
    data = read(tmp_path, found)
    assert len(set(data.train.groups_N.tolist())) == 8 and len(data.train.space.classes) == len(sub)
    assert all(
        f"/{data.train.space.classes[c]}/" in p
        for p, c in zip(data.train.paths_N, data.train.labels, strict=True)
    )


def test_which_of_two_levels_of_folders_are_the_classes_is_not_guessed(tmp_path):
    patients(tmp_path)
    text = refused(tmp_path, images="images")
    assert (
        "its folders (p0, p1, p2" in text
        and "hold the same folders each (0, 1)" in text
        and "SAMPLE=" in text
    )
    table(tmp_path / "sample.csv", ["id", "label"], [(f"t{n}", "p3") for n in range(4)])
    _, found = guess(tmp_path, "images", None, "test", "sample.csv")
    assert found["attributes"][0]["values"] == [f"p{n}" for n in range(8)]


def test_folders_of_sources_inside_class_folders_are_no_classes(tmp_path):
    patients(tmp_path, ("cam1", "cam2"), ("bike", "bus", "car"))
    proposal, found = guess(tmp_path, "images")
    assert found["attributes"][0]["values"] == ["bike", "bus", "car"]
    assert any("(cam1, cam2) are not looked at" in hint for hint in proposal.hints)


@pytest.mark.parametrize(
    ("name", "cell"), [("{:05}.png", "{}"), ("IMG_{:03}.png", "{}"), ("train_{}_left.png", "{}")]
)
def test_cells_that_are_parts_of_names_are_told_where_no_column_leads_to_images(tmp_path, name, cell):
    for n in range(24):
        picture(tmp_path / "images" / name.format(n), n)
    table(tmp_path / "train.csv", ["id", "label"], [(cell.format(n), "ab"[n % 2]) for n in range(24)])
    text = refused(tmp_path, images="images", train="train.csv")
    last = name.format(23).removesuffix(".png")
    assert "column 'id': its cells are parts of the names of images" in text
    assert "write the whole names into a column" in text and ("'10' of" in text or last in text)
    assert "column 'label', e.g. 'a': none of its rows" in text


def test_places_that_hold_whole_sequences_are_the_group(tmp_path):
    rows = []
    for n in range(60):
        picture(tmp_path / "images" / f"{n}.png", n)
        rows.append((f"{n}.png", "ab"[n % 2], f"l{n // 6}", f"s{n // 3}"))
    table(tmp_path / "train.csv", ["path", "label", "location", "seq_id"], rows)
    assert guess(tmp_path, "images", "train.csv")[1]["group_column"] == "location"


def test_an_empty_label_is_no_class(tmp_path):
    labels = ["" if n == 7 else "ab"[n % 2] for n in range(24)]
    _, found = grouped(tmp_path, "weather", ["x"] * 24, labels)
    assert found["attributes"][0]["values"] == ["a", "b"]
    with pytest.raises(DataError, match="1 empty label"):
        read(tmp_path, found)


@pytest.mark.parametrize("suffix", [".png", ""])
def test_tables_without_a_header_are_read_whole(tmp_path, suffix):
    rows = []
    for n in range(12):
        picture(tmp_path / "train" / f"t{n:03d}.png", n)
        rows.append((f"t{n:03d}{suffix}", "ab"[n % 2]))
    drawn_tests(tmp_path, [f"x{n}.png" for n in range(4)])
    table(tmp_path / "train.csv", list(rows[0]), rows[1:])
    table(tmp_path / "test.csv", [f"x0{suffix}"], [(f"x{n}{suffix}",) for n in range(1, 4)])
    _, found = guess(tmp_path, "train", "train.csv", "test.csv")
    assert sorted(found["headerless"]) == ["test.csv", "train.csv"]
    data = read(tmp_path, found)
    assert len(data.train) == 12 and len(data.test) == 4


def coco(root):
    text = json.dumps({"images": [{"id": 1}], "annotations": [], "categories": []})
    (root / "train.json").write_text(text, encoding="utf-8")
    return root / "train.json"


def hdf5(root):
    (root / "train.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    return root / "train.h5"


def excel(root):
    (root / "train.xlsx").write_bytes(b"PK\x03\x04" + bytes(26) + b"xl/workbook.xml")
    return root / "train.xlsx"


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (coco, "COCO's form (images and annotations), not a CSV table\n  → the package pycocotools reads it"),
        (hdf5, "an HDF5 file, not a CSV table\n  → the package h5py reads it"),
        (excel, "an Excel workbook (.xlsx), not a CSV table\n  → open it in a spreadsheet"),
    ],
)
def test_containers_are_named_with_what_reads_them(tmp_path, made, said):
    picture(tmp_path / "images" / "a.png", 1)
    text = refused(tmp_path, images="images", train=made(tmp_path).name)
    assert said in text and len(text.splitlines()) <= 3


@pytest.mark.parametrize(
    ("name", "start", "said"),
    [
        ("000001", bytes(128) + b"DICM", "1 file of the kind `a DICOM image`: give such files"),
        ("train.tfrec", b"", "the package tensorflow reads them"),
        ("images.zip", b"", "1 file of the kind `archives`: unpack them"),
    ],
)
def test_folders_of_other_files_are_named(tmp_path, name, start, said):
    (tmp_path / "images" / "a").mkdir(parents=True)
    (tmp_path / "images" / "a" / name).write_bytes(start)
    table(tmp_path / "train.csv", ["id", "label"], [(n, "ab"[n % 2]) for n in range(6)])
    assert said in refused(tmp_path, images="images", train="train.csv")
    assert said in refused(tmp_path, images="images")


def test_a_table_of_ten_thousand_columns_takes_seconds(tmp_path):
    header = ["id", "path", "label", *(f"f{n}" for n in range(10_000))]
    rows = []
    for n in range(8):
        picture(tmp_path / "images" / f"{n}.png", n)
        rows.append([n, f"{n}.png", "ab"[n % 2], *["x", "0.5"] * 5_000])
    train = table(tmp_path / "train.csv", header, rows)
    # Processor time, because other processes may take the machine; it is 0.4 s where no work is quadratic.
    start = time.process_time()
    assert len(read_table(train).columns) == 10_003
    _, found = guess(tmp_path, "images", "train.csv")
    assert found["path_column"] == "path" and time.process_time() - start < 3


def test_a_packed_table_in_another_encoding(tmp_path):
    lines = ["id,path,label"]
    for n in range(12):
        picture(tmp_path / "images" / f"{n}.png", n)
        lines.append(f"{n},{n}.png,{('AÇÃO', 'BB')[n % 2]}")
    (tmp_path / "train.csv.gz").write_bytes(gzip.compress("\n".join(lines).encode("cp1252")))
    text = refused(tmp_path, images="images", train="train.csv.gz")
    assert "both cp949 and cp1252 give words" in text and "'0,0.png,AÇÃO'" in text and "ENCODING=" in text
    _, found = guess(tmp_path, "images", "train.csv.gz", encoding="cp1252")
    assert found["encoding"] == "cp1252" and found["attributes"][0]["values"] == ["AÇÃO", "BB"]
    assert len(read(tmp_path, found).train) + len(read(tmp_path, found).test) == 12


@pytest.mark.parametrize("turn", [2, 3, 20])
def test_images_that_alternate_between_folders_are_found_in_the_folder_above(tmp_path, turn):
    names = [f"img{n:04}" for n in range(240)]
    for n, name in enumerate(names):
        picture(tmp_path / "pets" / ("b" if n % turn else "a") / f"{name}.png", n)
    rows = [(name, "cat" if n % 7 < 4 else "dog") for n, name in enumerate(names)]
    train = table(tmp_path / "pets" / "train.csv", ["id", "label"], rows)
    made = propose(NewRequest("x", tmp_path / "pets", train, None, None, tmp_path))
    found = {line.path.rpartition(".")[2]: line.value for line in made.lines}
    assert found["train_images"] == "."


@pytest.mark.parametrize("name", ["{side}/{n}.png", "{side}.{n}.png"])
def test_classes_of_two_sides_in_paths_forbid_mirrors(tmp_path, name):
    for n in range(24):
        picture(tmp_path / "images" / name.format(side=("left", "right")[n % 2], n=n), n)
    _, found = guess(tmp_path, "images")
    assert found["attributes"][0]["values"] == ["left", "right"]
    assert found["attributes"][0]["forbids"] == ["hflip", "vflip"]
