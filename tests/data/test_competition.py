import unicodedata

import numpy as np
import pytest
from PIL import Image

from pipeline.core.errors import ConfigError, DataError
from pipeline.data import competition
from pipeline.settings.competition import AttributeSettings, CompetitionSettings

SETTINGS = CompetitionSettings(
    name="pets",
    group_column="owner",
    attributes=[
        AttributeSettings(name="animal", column="animal", values=["cat", "dog"], constant_in_group=True),
        AttributeSettings(name="size", column="size", values=["S", "L"], names=["small", "large"]),
    ],
)
TRAIN = "id,path,animal,size,owner\na1,one.png,cat,S,ann\na2,sub/two.png,dog,L,bob\na3,one.png,dog,S,bob\n"
TEST = "id,path\nb1,one.png\n"


def make(root, train=TRAIN, test=TEST):
    (root / "images" / "sub").mkdir(parents=True)
    for name in ("one.png", "sub/two.png"):
        Image.new("RGB", (8, 8), "red").save(root / "images" / name)
    for name, text in (("train.csv", train), ("test.csv", test)):
        if text is not None:
            (root / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return root


def faults(root, settings=SETTINGS):
    with pytest.raises(DataError) as caught:
        competition.load(settings, root)
    assert caught.value.remedy
    return caught.value


def test_a_sound_competition(tmp_path):
    root = make(tmp_path)
    data = competition.load(SETTINGS, root)
    assert data.train.space.classes == ("cat · small", "cat · large", "dog · small", "dog · large")
    assert data.train.labels.tolist() == [0, 3, 2]
    assert data.train.groups_N.tolist() == ["ann", "bob", "bob"]
    assert data.test.labels_N is None and data.test.groups_N.tolist() == ["b1"]
    assert data.train.paths_N[1] == str((root / "images/sub/two.png").resolve())
    assert data.notes == ()
    files = competition.input_files(SETTINGS, root)
    assert [f.relative_to(root).as_posix() for f in files] == [
        "train.csv",
        "test.csv",
        "images/one.png",
        "images/sub/two.png",
    ]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_delimiters_marks_and_line_ends(tmp_path, delimiter, mark, newline):
    text = mark + TRAIN.replace(",", delimiter).replace("\n", newline)
    data = competition.load(SETTINGS, make(tmp_path, train=text))
    assert data.train.ids_N.tolist() == ["a1", "a2", "a3"]


def test_values_that_look_like_numbers_or_nothing_stay_text(tmp_path):
    settings = CompetitionSettings(attributes=[AttributeSettings(name="x", column="x", values=["01", "NA"])])
    data = competition.load(settings, make(tmp_path, train="id,path,x\n007,one.png,01\nnull,one.png,NA\n"))
    assert data.train.ids_N.tolist() == ["007", "null"] and data.train.labels.tolist() == [0, 1]


def test_korean_tables_and_decomposed_file_names(tmp_path):
    composed = unicodedata.normalize("NFC", "고양이.png")
    train = f"id,path,animal,size,owner\n가1,{composed},cat,S,철수\n".encode("cp949")
    root = make(tmp_path, train=train)
    Image.new("RGB", (8, 8)).save(root / "images" / unicodedata.normalize("NFD", composed))
    data = competition.load(SETTINGS, root)
    assert data.train.ids_N.tolist() == ["가1"] and data.train.groups_N.tolist() == ["철수"]
    assert "cp949" in data.notes[0]


def test_both_tables_missing(tmp_path):
    error = faults(make(tmp_path, train=None, test=None))
    assert "2 missing tables" in error.headline
    assert [f.split(":")[0] for f in error.faults] == ["train.csv", "test.csv"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "the file is empty"),
        (b"\n\n", "the file is empty"),
        (b"id,path,animal,size,owner\n", "a header and no rows"),
        (b"\x00\xff\xfe\xff", "it is not text"),
        (b'id,path,animal,size,owner\n"a1,one.png,cat,S,ann\n', "line 2: not a valid CSV"),
        (b"id,path,animal,size,owner\na1,one.png,cat\n", "line 2: it has 3 cells, but the header has 5"),
        (b"id,path,id,animal,size,owner\na,b,c,d,e,f\n", "column 'id' occurs twice"),
    ],
)
def test_unusable_tables(tmp_path, content, said):
    error = faults(make(tmp_path, train=content))
    assert any("train.csv" in f and said in f for f in error.faults), str(error)


def test_a_folder_in_the_place_of_a_table(tmp_path):
    root = make(tmp_path, train=None)
    (root / "train.csv").mkdir()
    assert "1 unreadable table" in faults(root).headline


def test_all_missing_columns_with_the_nearest(tmp_path):
    error = faults(make(tmp_path, train="id,pth,animals,size\nx,y,z,S\n", test="ID,path\nb1,one.png\n"))
    text = str(error)
    assert "4 missing columns" in error.headline
    assert "no column `path`; did you mean pth?" in text
    assert "no column `animal`; did you mean animals?" in text
    assert "no column `owner`" in text and "test.csv: no column `id`" in text


def test_every_fault_of_every_kind_at_once(tmp_path):
    train = (
        "id,path,animal,size,owner\n"
        "a1,one.png,catt,S,ann\n"
        "a1,one.png,cat,,ann\n"
        ",one.png,cat,S,ann\n"
        "a4,none.png,cat,S,\n"
        "a5,../secret.png,dog,XXL,ann\n"
        "a6,/etc/hostname,dog,L,ann\n"
        "b1,,dog,L,ann\n"
        "a8,../there/is/none.png,dog,L,ann\n"
    )
    root = make(tmp_path, train=train)
    (root / "secret.png").write_bytes(b"")
    error = faults(root)
    text = str(error)
    for said in (
        "train.csv row 2 (id a1): animal: label 'catt' is not one of cat, dog; did you mean cat?",
        "train.csv row 3 (id a1): the id is already in row 2",
        "train.csv row 3 (id a1): size: the label is empty",
        "train.csv row 4: the id is empty",
        "train.csv row 5 (id a4): there is no file 'none.png'",
        "train.csv row 6 (id a5): '../secret.png' is absolute or leaves the image folder",
        "train.csv row 6 (id a5): size: label 'XXL' is not one of S, L",
        "train.csv row 7 (id a6): '/etc/hostname' is absolute or leaves",
        "train.csv row 8 (id b1): the path is empty",
        "train.csv row 9 (id a8): '../there/is/none.png' is absolute or leaves",
    ):
        assert said in text, f"{said}\n---\n{text}"
    assert len(error.faults) == 10


def test_links_are_followed_and_told(tmp_path):
    root = make(tmp_path / "c", train=TRAIN.replace("sub/two.png", "far/two.png"))
    outside = tmp_path / "outside"
    outside.mkdir()
    Image.new("RGB", (8, 8)).save(outside / "two.png")
    (root / "images" / "far").symlink_to(outside)
    told = "train.csv: 1 image is outside the folder, because a link leads to it (first: far/two.png)"
    data = competition.load(SETTINGS, root)
    assert data.notes == (told,) and data.train.paths_N[1] == str(outside / "two.png")
    (root / "images" / "far").unlink()
    (root / "images" / "far").mkdir()
    (root / "images" / "far" / "two.png").symlink_to(outside / "two.png")
    assert competition.load(SETTINGS, root).notes == (told,)
    (root / "images" / "far" / "two.png").unlink()
    (root / "images" / "far" / "two.png").symlink_to(root / "images" / "sub" / "two.png")
    data = competition.load(SETTINGS, root)
    assert len(data.train) == 3 and data.notes == ()
    (root / "images" / "far" / "two.png").unlink()
    (root / "images" / "far" / "two.png").symlink_to("two.png")
    assert "there is no file 'far/two.png'" in str(faults(root)), "a link to itself"


@pytest.mark.parametrize("word", ["nan", "unknown", "-1", "", "UNK"])
def test_an_unknown_group_is_a_group_of_its_own(tmp_path, word):
    train = TRAIN.replace("bob", word)
    data = competition.load(SETTINGS, make(tmp_path, train=train))
    assert data.train.groups_N.tolist() == ["ann", "(alone) a2", "(alone) a3"]
    shown = f"{word!r}: 2" if word else "empty: 2"
    assert data.notes == (
        f"train.csv: `owner` is unknown in 2 of 3 rows ({shown}): each of these images is a group of its own "
        "(competition.unknown_groups)",
    )
    known = SETTINGS.model_copy(update={"unknown_groups": []})
    groups = competition.load(known, make(tmp_path / "again", train=train)).train.groups_N.tolist()
    assert groups == (["ann", word, word] if word else ["ann", "(alone) a2", "(alone) a3"])


def test_a_table_without_a_header_and_in_a_named_encoding(tmp_path):
    rows = "\n".join(line for line in TRAIN.splitlines()[1:])
    root = make(tmp_path, train=rows)
    (root / "train.csv").write_bytes(rows.replace("ann", "ÇÃ").encode("cp1252"))
    columns = {"id_column": "column1", "path_column": "column2", "group_column": "column5"}
    attributes = [
        a.model_copy(update={"column": f"column{n}"}) for n, a in enumerate(SETTINGS.attributes, start=3)
    ]
    named = {"test_id_column": "id", "test_path_column": "path", "headerless": ["train.csv"]}
    update = {"attributes": attributes, **columns, **named, "encoding": "cp1252"}
    data = competition.load(SETTINGS.model_copy(update=update), root)
    assert len(data.train) == 3 and data.train.groups_N[0] == "ÇÃ"


def test_a_rare_kind_of_fault_is_not_buried(tmp_path):
    rows = "".join(f"m{i},none{i}.png,cat,S,ann\n" for i in range(300))
    error = faults(make(tmp_path, train=TRAIN + rows + "z,one.png,catt,S,ann\n"))
    assert len(error.faults) == 301, "every fault is kept"
    assert "300 missing images, 1 unknown label" in error.headline
    assert "catt" in str(error)


def test_groups_in_both_tables_are_noted(tmp_path):
    data = competition.load(SETTINGS, make(tmp_path, test="id,path,owner\nb1,one.png,bob\n"))
    assert data.test.groups_N.tolist() == ["bob"]
    assert data.notes == ("1 group has images in both train and test (first: bob)",)


def test_attributes_that_build_no_classes():
    with pytest.raises(ConfigError, match="it is empty"):
        competition.label_space(CompetitionSettings())
    twice = AttributeSettings(name="x", column="x", values=["a", "a"])
    short = AttributeSettings(name="y", column="y", values=["a", "b"], names=["only"])
    with pytest.raises(ConfigError) as caught:
        competition.label_space(CompetitionSettings(attributes=[twice, short]))
    assert len(caught.value.faults) == 2


def test_the_space_is_a_product_with_the_last_attribute_fastest():
    space = competition.label_space(SETTINGS)
    assert np.array_equal(space.codes_CA, [[0, 0], [0, 1], [1, 0], [1, 1]])
    assert [a.constant_in_group for a in space.attributes] == [True, False]
