"""Files changed by spreadsheets and other tools: what is reported, what is repaired, what never is."""

import numpy as np
import pytest

from pipeline.core.errors import DataError
from pipeline.core.samples import Attribute, LabelSpace
from pipeline.data import host_format
from pipeline.settings.submission import SubmissionSettings
from pipeline.submit import validate

SPACE = LabelSpace.product([Attribute("mask", ("on", "off")), Attribute("age", ("young", "가나"))])
INDEX = SubmissionSettings()
SHARES = SubmissionSettings(format="probabilities")
NAMES = SubmissionSettings(format="class_name")
EACH = SubmissionSettings(format="attributes", columns={"age": "Age band"}, words={"mask": ["1", "0"]})
IDS = ("007", "0010", "b")


@pytest.fixture
def sample(tmp_path):
    path = tmp_path / "sample.csv"
    path.write_bytes(host_format.sample_of(IDS, SPACE, INDEX))
    return path


def checked(tmp_path, sample, data, settings=INDEX):
    path = tmp_path / "theirs.csv"
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return validate.check(path, sample, SPACE, settings)


def test_a_file_in_the_samples_form_needs_no_repair(tmp_path, sample):
    text = "id,label\n007,3\n0010,1\nb,3\n"
    found = checked(tmp_path, sample, text)
    assert found == validate.Checked((), (), found.predicted, text.encode())
    assert found.predicted.startswith("3 images, 2 of 4 classes predicted; not predicted: on · young")


@pytest.mark.parametrize(
    ("data", "remark"),
    [
        (b"\xef\xbb\xbfid,label\n007,0\n0010,0\nb,0\n", "byte-order mark"),
        (b"id,label\r\n007,0\r\n0010,0\r\nb,0\r\n", "line ends of Windows"),
    ],
)
def test_harmless_properties_are_only_reported(tmp_path, sample, data, remark):
    found = checked(tmp_path, sample, data)
    assert not found.faults and remark in found.remarks[0] and len(found.remarks) == 1


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        ("id;label\n007;1\n0010;2\nb;3\n", "cells are separated by ';'"),
        ("id\tlabel\n007\t1\n0010\t2\nb\t3\n", "cells are separated by '\\t'"),
        ("id,label\nb,3\n0010,2\n007,1\n", "order: row 1 is 'b', the sample has '007' there"),
        ("label,id\n1,007\n2,0010\n3,b\n", "columns are label, id"),
        (",id,label\n0,007,1\n1,0010,2\n2,b,3\n", "columns are , id, label"),
        ("id,label\n7,1\n10,2\nb,3\n", "2 ids read as numbers, leading zeros lost: '7' is '007', '10' is"),
        ("id,label\n7.0,1\n1E+01,2\nb,3\n", "2 ids read as numbers"),
        ("id,label\n007,1\n0010,2\nb,3\n".encode("utf-16"), "its text is UTF-16"),
    ],
)
def test_a_wrong_form_is_reported_and_repaired(tmp_path, sample, data, fault):
    found = checked(tmp_path, sample, data)
    assert len(found.faults) == 1 and found.faults[0].startswith(fault)
    assert found.repaired == b"id,label\n007,1\n0010,2\nb,3\n"
    path = tmp_path / "repaired.csv"
    path.write_bytes(found.repaired)
    host_format.check(path, sample, SPACE, INDEX)
    with pytest.raises(DataError, match=r"OUT=repaired\.csv writes the same answers"):
        validate.refuse(tmp_path / "theirs.csv", sample, SPACE, INDEX)


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        ("id,label\n007,4\n0010,0\nb,0\n", "id '007': '4' is not a class index 0…3"),
        ("id,label\n007,\n0010,0\nb,0\n", "id '007': '' is not a class index 0…3"),
        ("id,label\n007,0\n0010,0\n", "1 id missing: 'b'"),
        ("id,label\n007,0\n0010,0\nb,0\nc,0\n", "1 id extra, not in the sample: 'c'"),
        ("id,label\n007,0\n007,0\n0010,0\nb,0\n", "1 id more than once: '007'"),
        ("id,answer\n007,0\n0010,0\nb,0\n", "columns are id, answer; the sample's are id, label"),
    ],
)
def test_wrong_answers_and_ids_are_never_repaired(tmp_path, sample, data, fault):
    found = checked(tmp_path, sample, data)
    assert found.faults == (fault,) and found.repaired is None
    with pytest.raises(DataError, match="fix the file, or write it again"):
        validate.refuse(tmp_path / "theirs.csv", sample, SPACE, INDEX)


def test_decimal_commas_become_points_and_digits_stay(tmp_path):
    sample = tmp_path / "sample.csv"
    sample.write_bytes(host_format.sample_of(["7"], SPACE, SHARES))
    header = ";".join(["id", *SPACE.classes])
    found = checked(tmp_path, sample, f"{header}\n7;0,125;0,375;0,25;0,25\n", SHARES)
    assert found.repaired == f"{header.replace(';', ',')}\n7,0.125,0.375,0.25,0.25\n".encode()
    found = checked(tmp_path, sample, f"{header.replace(';', ',')}\n7,nan,0.5,0.25,0.25\n", SHARES)
    assert found.faults == ("id '7': column 'on · young' is not a number",) and found.repaired is None


def test_decimal_commas_of_one_probability_become_points(tmp_path):
    one = SubmissionSettings(format="probability", positive=[SPACE.classes[0]])
    sample = tmp_path / "sample.csv"
    sample.write_bytes(host_format.sample_of(["7"], SPACE, one))
    found = checked(tmp_path, sample, "id;label\n7;0,125\n", one)
    assert found.repaired == b"id,label\n7,0.125\n"


# Ids


def test_an_id_is_found_again_only_where_it_has_one_meaning():
    again = host_format.found_again
    assert again(["007", "08"], ["7", "8.0"]) == {"7": "007", "8.0": "08"}
    assert again(["007", "07"], ["7"]) == {}, "two ids of the sample it could mean"
    assert again(["007", "7"], ["7"]) == {}, "the sample has it as it is"
    assert again(["007", "008"], ["7", "7.0"]) == {}, "two rows that would mean one id"
    assert again(["007", "008"], ["7", "007"]) == {}, "another row is that id already"
    assert again(["007"], ["7.5"]) == {} and again(["a07"], ["a7"]) == {}


def test_many_ids_are_named_twenty_and_counted():
    (told,) = host_format.id_faults([f"i{n}" for n in range(1254)], [])
    assert told.startswith("1254 ids missing: 'i0', 'i1',") and told.endswith("'i19' … and 1234 more")


def test_digits_that_a_spreadsheet_cut_are_recognised():
    told = host_format.id_faults(["123456789012", "5"], ["1.23457E+11", "5"])
    assert "1 id shortened by a spreadsheet, digits are lost ('1.23457E+11')" in told[-1]


# A column an attribute


def test_attributes_are_written_in_the_hosts_columns_and_words_and_read_back(tmp_path):
    from pipeline.core.predictions import Probabilities

    sample = tmp_path / "sample.csv"
    sample.write_bytes(host_format.sample_of(IDS, SPACE, EACH))
    assert sample.read_text(encoding="utf-8").startswith("id,mask,Age band\n007,1,young\n")
    p_NC = np.eye(4, dtype=np.float32)[[3, 0, 2]]
    path = tmp_path / "mine.csv"
    host_format.write(path, Probabilities(np.array(IDS), SPACE.classes, p_NC, "p"), SPACE, EACH, sample)
    assert path.read_text(encoding="utf-8") == "id,mask,Age band\n007,0,가나\n0010,1,young\nb,0,young\n"
    host_format.check(path, sample, SPACE, EACH)
    assert host_format.read(path, SPACE, EACH, sample).labels_N.tolist() == [3, 0, 2]


def test_invalid_attribute_values_are_named(tmp_path):
    path = tmp_path / "o.csv"
    path.write_text("id,mask,Age band\n7,on,young\n8,1,yung\n", encoding="utf-8")
    with pytest.raises(DataError) as error:
        host_format.read(path, SPACE, EACH)
    assert error.value.faults == (
        "id '7': mask 'on' is not one of its values",
        "id '8': Age band 'yung' is not one of its values; did you mean young?",
    )


def test_a_combination_that_is_not_a_class_is_named(tmp_path):
    some = LabelSpace(SPACE.attributes, SPACE.classes[:3], SPACE.codes_CA[:3])
    path = tmp_path / "o.csv"
    path.write_text("id,mask,Age band\n7,0,가나\n", encoding="utf-8")
    with pytest.raises(DataError, match="id '7': no class is 0, 가나"):
        host_format.read(path, some, EACH)


def test_the_hosts_own_sample_has_a_right_form_and_is_no_submission(tmp_path):
    sample = tmp_path / "sample.csv"
    sample.write_text(
        "id,on · young,on · 가나,off · young,off · 가나\n007,0,0,0,0\n0010,0,0,0,0\n", encoding="utf-8"
    )
    found = validate.check(sample, sample, SPACE, SHARES)
    assert found.is_sample and not found.faults
    with pytest.raises(DataError, match="this is the host's sample"):
        validate.refuse(sample, sample, SPACE, SHARES)
    with pytest.raises(DataError, match="1 of its columns would be copied"):
        validate.check(sample, sample, SPACE, SHARES.model_copy(update={"id_column": "off · 가나"}))


def test_a_column_that_was_copied_from_the_sample_is_a_fault(tmp_path):
    sample, path = tmp_path / "sample.csv", tmp_path / "theirs.csv"
    header = "id,on · young,on · 가나,off · young,off · 가나\n"
    sample.write_text(header + "".join(f"{n},.25,.25,.25,.25\n" for n in range(6)), encoding="utf-8")
    path.write_text(header + "".join(f"{n},0.{n}1,0.250,0.{6 - n}4,0\n" for n in range(6)), encoding="utf-8")
    faults = validate.check(path, sample, SPACE, SHARES).faults
    assert [f for f in faults if "it was copied" in f] == [
        "column 'on · 가나' is the sample's, cell by cell: it was copied and not predicted"
    ]
    even = header + "".join(f"{n},.25,.25,.25,.25\n" for n in reversed(range(6)))
    path.write_text(even, encoding="utf-8")
    assert not any("copied" in f for f in validate.check(path, sample, SPACE, SHARES).faults)
