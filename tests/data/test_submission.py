"""Host formats: written as the sample asks, read from anywhere, every fault told at once."""

import unicodedata

import numpy as np
import pytest

from pipeline.core.errors import DataError
from pipeline.core.predictions import Probabilities
from pipeline.core.samples import Attribute, LabelSpace
from pipeline.core.tables import read_table
from pipeline.data import answer_cells, host_format
from pipeline.settings.submission import SubmissionSettings

SPACE = LabelSpace.product([Attribute("age", ("young", "old", "가나"))])
IDS = ("007", "7", "a b", "x,y")
P = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.2, 0.2, 0.6], [0.5, 0.25, 0.25]], np.float32)
INDEX = SubmissionSettings(id_column="ImageID", label_column="ans")
NAMES = INDEX.model_copy(update={"format": "class_name"})
SHARES = INDEX.model_copy(update={"format": "probabilities"})


def predicted():
    order = [2, 0, 3, 1]
    return Probabilities(np.array(IDS)[order], SPACE.classes, P[order], "blend")


@pytest.fixture
def sample(tmp_path):
    path = tmp_path / "sample.csv"
    path.write_text('ImageID,ans\n007,0\n7,0\na b,0\n"x,y",0\n', encoding="utf-8")
    return path


@pytest.fixture
def wide(tmp_path):
    path = tmp_path / "wide.csv"
    path.write_text("ImageID,old,young,가나\n007,0,0,1\n7,0,0,1\na b,0,0,1\n", encoding="utf-8")
    return path


def faults(error):
    return "\n".join(error.value.faults)


# Writing


def test_one_probability_is_that_of_the_positive_classes_and_is_read_back(tmp_path):
    sample = tmp_path / "sample.csv"
    sample.write_text("ImageID,ans\n007,0.5\n7,0.5\na b,0.5\n", encoding="utf-8")
    path, space = tmp_path / "mine.csv", LabelSpace.product([Attribute("pet", ("cat", "dog"))])
    p = Probabilities(
        np.array(IDS[:3]), space.classes, np.array([[0.75, 0.25], [0, 1], [0.5, 0.5]], np.float32)
    )
    settings = INDEX.model_copy(update={"format": "probability", "positive": ["dog"]})
    host_format.write(path, p, space, settings, sample)
    assert path.read_text(encoding="utf-8") == "ImageID,ans\n007,0.25\n7,1.0\na b,0.5\n"
    host_format.check(path, sample, space, settings)
    back = host_format.read(path, space, settings, sample)
    assert back.probabilities is not None
    np.testing.assert_allclose(back.probabilities.p_NC, p.p_NC)
    assert back.labels_N.tolist() == [0, 1, 0]
    said = host_format.described(read_table(sample), space, settings)
    assert said.endswith("1 column `ans` = the probability of class `dog`")
    of_two = settings.model_copy(update={"positive": ["old", "가나"]})
    host_format.write(path, predicted().take(np.array(IDS[:3])), SPACE, of_two, sample)
    cells = [
        float(line.split(",")[1]) for line in path.read_text(encoding="utf-8").split()[1:4] if "," in line
    ]
    np.testing.assert_allclose(cells[:2], [0.3, 0.9], atol=1e-6)
    path.write_text("ImageID,ans\n007,1.5\n7,x\na b,0.5\n", encoding="utf-8")
    with pytest.raises(DataError) as caught:
        host_format.read(path, space, settings, sample)
    assert "'1.5' is not between 0 and 1" in faults(caught) and "'x' is not a number" in faults(caught)
    assert host_format.sample_of(["7"], space, settings) == b"ImageID,ans\n7,0.5\n"


def test_names_may_be_the_hosts_words_and_joined_values(tmp_path):
    sample = tmp_path / "sample.csv"
    sample.write_text("ImageID,ans\n007,happy_m\n", encoding="utf-8")
    space = LabelSpace.product([Attribute("mood", ("sad", "happy")), Attribute("sex", ("male", "female"))])
    update = {"format": "class_name", "separator": "_", "words": {"sex": ["m", "f"]}}
    settings = INDEX.model_copy(update=update)
    assert answer_cells.vocabulary(space, settings) == ("sad_m", "sad_f", "happy_m", "happy_f")
    p = Probabilities(np.array(["007"]), space.classes, np.array([[0.1, 0.2, 0.3, 0.4]], np.float32))
    path = tmp_path / "mine.csv"
    host_format.write(path, p, space, settings, sample)
    assert path.read_text(encoding="utf-8") == "ImageID,ans\n007,happy_f\n"
    assert host_format.read(path, space, settings, sample).labels_N.tolist() == [3]


def test_probability_columns_may_have_the_hosts_names(tmp_path):
    sample = tmp_path / "sample.csv"
    sample.write_text("ImageID,p_old,p_young,p_x\n7,0,0,1\n", encoding="utf-8")
    columns = {"young": "p_young", "old": "p_old", "가나": "p_x"}
    settings = SHARES.model_copy(update={"columns": columns})
    path = tmp_path / "mine.csv"
    host_format.write(path, predicted().take(np.array(["7"])), SPACE, settings, sample)
    assert path.read_text(encoding="utf-8") == "ImageID,p_old,p_young,p_x\n7,0.8,0.1,0.1\n"


@pytest.mark.parametrize(
    ("settings", "column"), [(INDEX, ["0", "1", "2", "0"]), (NAMES, ["young", "old", "가나", "young"])]
)
def test_labels_are_written_in_the_samples_order_and_read_back(tmp_path, sample, settings, column):
    path = tmp_path / "new" / "mine.csv"
    host_format.write(path, predicted(), SPACE, settings, sample)
    lines = path.read_bytes().decode().split("\n")
    assert lines[0] == "ImageID,ans" and lines[-1] == ""
    assert lines[1] == f"007,{column[0]}" and lines[4] == f'"x,y",{column[3]}'
    host_format.check(path, sample, SPACE, settings)
    back = host_format.read(path, SPACE, settings, sample)
    assert back.ids_N.tolist() == list(IDS) and back.name == "mine"
    assert back.labels_N.tolist() == [0, 1, 2, 0] and back.probabilities is None
    assert [p.name for p in path.parent.iterdir()] == ["mine.csv"]


def test_probabilities_follow_the_samples_columns(tmp_path, wide):
    path = tmp_path / "mine.csv"
    three = predicted().take(np.array(IDS[:3]))
    host_format.write(path, three, SPACE, SHARES, wide)
    text = path.read_text(encoding="utf-8")
    assert text.startswith("ImageID,old,young,가나\n007,0.2,0.7,0.1\n")
    host_format.check(path, wide, SPACE, SHARES)
    back = host_format.read(path, SPACE, SHARES, wide)
    assert back.probabilities is not None and back.probabilities.classes == SPACE.classes
    np.testing.assert_allclose(back.probabilities.p_NC, P[:3], atol=1e-6)
    assert back.labels_N.tolist() == [0, 1, 2]


def test_probability_columns_may_be_class_indices(tmp_path):
    sample = tmp_path / "sample.csv"
    sample.write_text("ImageID,0,1,2\n7,1,0,0\n", encoding="utf-8")
    path = tmp_path / "mine.csv"
    host_format.write(path, predicted().take(np.array(["7"])), SPACE, SHARES, sample)
    assert path.read_text(encoding="utf-8") == "ImageID,0,1,2\n7,0.1,0.8,0.1\n"


def test_columns_that_are_named_like_classes_are_no_class_indices(tmp_path):
    space = LabelSpace.product([Attribute("digit", ("0", "2", "1"))])
    sample, path = tmp_path / "sample.csv", tmp_path / "mine.csv"
    sample.write_text("ImageID,0,1,2\n7,1,0,0\n", encoding="utf-8")
    given = Probabilities(np.array(["7"]), space.classes, np.array([[0.1, 0.7, 0.2]], np.float32), "p")
    host_format.write(path, given, space, SHARES, sample)
    assert path.read_text(encoding="utf-8") == "ImageID,0,1,2\n7,0.1,0.2,0.7\n"
    assert host_format.read(path, space, SHARES, sample).labels_N.tolist() == [1]


def test_other_columns_and_the_delimiter_of_the_sample_stay(tmp_path):
    sample = tmp_path / "sample.csv"
    sample.write_text("ans;ImageID;use\n9;7;public\n9;007;NA\n", encoding="utf-8")
    path = tmp_path / "mine.csv"
    with pytest.raises(DataError, match="would be copied from the sample") as caught:
        host_format.write(path, predicted().take(np.array(["007", "7"])), SPACE, INDEX, sample)
    assert "column 'use', e.g. 'public'" in faults(caught) and not path.exists()
    settings = INDEX.model_copy(update={"copied": ["use"]})
    host_format.write(path, predicted().take(np.array(["007", "7"])), SPACE, settings, sample)
    assert path.read_text(encoding="utf-8") == "ans;ImageID;use\n1;7;public\n0;007;NA\n"
    host_format.check(path, sample, SPACE, settings)
    assert host_format.described(read_table(sample), SPACE, settings).endswith("copied from the sample: use")


def test_classes_in_another_order_are_joined_by_name(tmp_path, sample):
    turned = predicted().with_classes(SPACE.classes[::-1])
    host_format.write(tmp_path / "a.csv", turned, SPACE, INDEX, sample)
    assert host_format.read(tmp_path / "a.csv", SPACE, INDEX, sample).labels_N.tolist() == [0, 1, 2, 0]


def test_predicting_other_images_than_asked_writes_nothing(tmp_path, sample):
    wrong = Probabilities(np.array(["007", "7", "a b", "q"]), SPACE.classes, P, "blend")
    path = tmp_path / "mine.csv"
    path.write_text("before", encoding="utf-8")
    with pytest.raises(DataError, match=r"mine\.csv: blend does not predict") as error:
        host_format.write(path, wrong, SPACE, INDEX, sample)
    assert error.value.faults == ("1 id missing: 'x,y'", "1 id extra, not in the sample: 'q'")
    assert path.read_text(encoding="utf-8") == "before"


def test_a_sample_that_names_an_id_twice_is_refused(tmp_path):
    sample = tmp_path / "sample.csv"
    sample.write_text("ImageID,ans\n7,0\n7,0\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"sample sample\.csv: 1 id occurs more than once"):
        host_format.write(tmp_path / "m.csv", predicted(), SPACE, INDEX, sample)


# Reading


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp949"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_reads_csvs_from_anywhere(tmp_path, encoding, delimiter, end):
    rows = [("ans", "ImageID"), ("가나", "7"), (" young ", "007"), ("", ""), ("old", "NA")]
    path = tmp_path / "outside.csv"
    path.write_bytes(end.join(delimiter.join(row) for row in rows).encode(encoding))
    back = host_format.read(path, SPACE, NAMES)
    assert back.ids_N.tolist() == ["7", "007", "NA"]
    assert back.labels_N.tolist() == [2, 0, 1]


def test_rows_are_joined_to_the_sample_by_id(tmp_path, sample):
    path = tmp_path / "outside.csv"
    path.write_text('ImageID,ans\n7,1\n"x,y",2\na b,0\n007,0\n', encoding="utf-8")
    assert host_format.read(path, SPACE, INDEX, sample).labels_N.tolist() == [0, 1, 0, 2]
    assert host_format.read(path, SPACE, INDEX).labels_N.tolist() == [1, 2, 0, 0]


def test_decomposed_hangul_is_the_same_class(tmp_path):
    path = tmp_path / "mac.csv"
    path.write_text(unicodedata.normalize("NFD", "ImageID,ans\n7,가나\n"), encoding="utf-8")
    assert host_format.read(path, SPACE, NAMES).labels_N.tolist() == [2]


def test_decimal_commas_where_semicolons_separate(tmp_path):
    path = tmp_path / "excel.csv"
    path.write_text("ImageID;young;old;가나\n7;0,25;0,25;0,5\n", encoding="utf-8")
    back = host_format.read(path, SPACE, SHARES)
    assert back.probabilities is not None
    np.testing.assert_allclose(back.probabilities.p_NC, [[0.25, 0.25, 0.5]])


@pytest.mark.parametrize("value", ["3", "-1", "1.0", "", "NaN", "young", "١"])
def test_values_outside_the_classes_are_named(tmp_path, value):
    path = tmp_path / "o.csv"
    path.write_text(f"ImageID,ans\n7,0\n8,{value}\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"o\.csv: 1 fault\n") as error:
        host_format.read(path, SPACE, INDEX)
    assert faults(error) == f"id '8': '{value}' is not a class index 0…2"


def test_unknown_class_names_get_a_suggestion(tmp_path):
    path = tmp_path / "o.csv"
    path.write_text("ImageID,ans\n7,yung\n", encoding="utf-8")
    with pytest.raises(DataError) as error:
        host_format.read(path, SPACE, NAMES)
    assert faults(error) == "id '7': 'yung' is not a class; did you mean young?"


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ("0.5,0.4,0.3", "sums to 1.2, not 1"),
        ("nan,0.5,0.5", "column 'young' is not a number"),
        ("0.5,,0.5", "column 'old' is not a number"),
        ("inf,0,0", "column 'young' is not a number"),
        ("0.6,0.6,-0.2", "column '가나' is negative"),
    ],
)
def test_rows_that_are_no_probabilities_are_named(tmp_path, row, fault):
    path = tmp_path / "o.csv"
    path.write_text(f"ImageID,young,old,가나\n7,1,0,0\n8,{row}\n", encoding="utf-8")
    with pytest.raises(DataError) as error:
        host_format.read(path, SPACE, SHARES)
    assert faults(error) == f"id '8': {fault}"


def test_reading_tells_ids_and_values_together(tmp_path, sample):
    path = tmp_path / "o.csv"
    path.write_text("ImageID,ans\n007,5\n007,1\na b,0\nz,0\n", encoding="utf-8")
    with pytest.raises(DataError) as error:
        host_format.read(path, SPACE, INDEX, sample)
    assert error.value.faults == (
        "2 ids missing: '7', 'x,y'",
        "1 id extra, not in the sample: 'z'",
        "1 id more than once: '007'",
        "id '007': '5' is not a class index 0…2",
    )


def test_a_missing_column_is_named_with_the_nearest(tmp_path):
    path = tmp_path / "o.csv"
    path.write_text("imageID,answer\n7,0\n", encoding="utf-8")
    with pytest.raises(DataError, match="2 columns missing") as error:
        host_format.read(path, SPACE, INDEX)
    assert faults(error).startswith("'ImageID' did you mean imageID?")


# Checking


def test_check_lists_everything_at_once(tmp_path, sample):
    path = tmp_path / "o.csv"
    path.write_text("ans,ImageID\n0,7\n9,007\n0,zz\n0,7\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"o\.csv: 5 faults") as error:
        host_format.check(path, sample, SPACE, INDEX)
    text = faults(error)
    for part in ("columns are ans, ImageID", "2 ids missing: 'a b', 'x,y'", "sample: 'zz'"):
        assert part in text
    assert "more than once: '7'" in text and "'9' is not a class index" in text


def test_check_minds_the_order_of_otherwise_right_rows(tmp_path, sample):
    path = tmp_path / "o.csv"
    path.write_text('ImageID,ans\n007,0\na b,0\n7,0\n"x,y",0\n', encoding="utf-8")
    with pytest.raises(DataError) as error:
        host_format.check(path, sample, SPACE, INDEX)
    assert faults(error) == "order: row 2 is 'a b', the sample has '7' there"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("ImageID;ans\n007;0\n7;0\na b;0\nx,y;0\n", "separated by ';'"),
        ("id,ans\n007,0\n", "columns are id, ans"),
        ('ImageID,ans,more\n007,0,0\n7,0,0\na b,0,0\n"x,y",0,0\n', "columns are ImageID, ans, more"),
    ],
)
def test_check_minds_columns_and_delimiter(tmp_path, sample, text, fault):
    path = tmp_path / "o.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError) as error:
        host_format.check(path, sample, SPACE, INDEX)
    assert fault in faults(error) and len(error.value.faults) == 1


# A sample where the host gives none, and one of other images


@pytest.mark.parametrize("settings", [INDEX, NAMES, SHARES])
def test_a_made_sample_serves_like_a_hosts(tmp_path, settings):
    path = tmp_path / "sample.csv"
    path.write_bytes(host_format.sample_of(list(IDS), SPACE, settings))
    host_format.fits(path, np.array(IDS), SPACE, settings)
    out = tmp_path / "out.csv"
    host_format.write(out, Probabilities(np.array(IDS), SPACE.classes, P, "p"), SPACE, settings, path)
    host_format.check(out, path, SPACE, settings)
    assert host_format.read(out, SPACE, settings, path).labels_N.tolist() == P.argmax(axis=1).tolist()


def test_a_sample_of_other_images_is_refused(tmp_path):
    path = tmp_path / "sample.csv"
    path.write_bytes(host_format.sample_of(["007", "8"], SPACE, INDEX))
    with pytest.raises(DataError) as error:
        host_format.fits(path, np.array(["007", "9"]), SPACE, INDEX)
    assert error.value.faults == ("1 id missing: '8'", "1 id of the test set, but not in the sample: '9'")
