"""CSVs from elsewhere: damage by spreadsheets is repaired and reported, other faults are rejected."""

import unicodedata

import numpy as np
import pytest

from pipeline.core.errors import DataError
from pipeline.core.samples import Attribute, LabelSpace
from pipeline.ensemble import external
from pipeline.settings.competition import CompetitionSettings
from pipeline.settings.submission import SubmissionSettings

SPACE = LabelSpace.product([Attribute("pet", ("cat", "dog", "강아지"))])
IDS = np.array(["001", "002", "010"])
ROWS = [["001", "0.7", "0.2", "0.1"], ["002", "0.1", "0.8", "0.1"], ["010", "0.25", "0.25", "0.5"]]
P = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.25, 0.25, 0.5]])
HOST = CompetitionSettings(name="pets", root=".")
HEADER = ["id", "cat", "dog", "강아지"]


def written(folder, rows=ROWS, header=HEADER, sep=",", end="\n", encoding="utf-8"):
    path = folder / "kernel.csv"
    path.write_bytes((end.join(sep.join(row) for row in [header, *rows]) + end).encode(encoding))
    return path


def read(path, ids=IDS):
    return external.read_probabilities(path, "kernel", SPACE, ids, HOST)


def faults(path, ids=IDS):
    with pytest.raises(DataError) as caught:
        read(path, ids)
    assert str(path) in str(caught.value) and "kernel" in str(caught.value)
    return " | ".join(caught.value.faults)


def test_a_plain_file_in_any_order_of_rows(tmp_path):
    found = read(written(tmp_path, ROWS[::-1]))
    assert found.notes == () and found.p.ids_N.tolist() == IDS.tolist() and found.p.name == "kernel"
    np.testing.assert_allclose(found.p.p_NC, P, atol=1e-6)


@pytest.mark.parametrize(
    "how",
    [
        {"encoding": "utf-8-sig"},
        {"end": "\r\n"},
        {"encoding": "cp949"},
        {"encoding": "utf-16"},
        {"sep": "\t"},
    ],
    ids=["BOM", "CRLF", "cp949", "utf-16", "tabs"],
)
def test_variants_of_other_programs_are_read(tmp_path, how):
    np.testing.assert_allclose(read(written(tmp_path, **how)).p.p_NC, P, atol=1e-6)


def test_semicolons_come_with_decimal_commas(tmp_path):
    rows = [[cell.replace(".", ",") for cell in row] for row in ROWS]
    np.testing.assert_allclose(read(written(tmp_path, rows, sep=";")).p.p_NC, P, atol=1e-6)


def test_names_that_a_mac_decomposed(tmp_path):
    header = [unicodedata.normalize("NFD", name) for name in HEADER]
    assert header != HEADER
    np.testing.assert_allclose(read(written(tmp_path, header=header)).p.p_NC, P, atol=1e-6)


def test_classes_in_another_order_are_joined_by_name_and_it_is_reported(tmp_path):
    order = [0, 3, 1, 2]
    found = read(written(tmp_path, [[r[i] for i in order] for r in ROWS], [HEADER[i] for i in order]))
    np.testing.assert_allclose(found.p.p_NC, P, atol=1e-6)
    assert any("another order" in note for note in found.notes)


def test_columns_may_be_class_indices(tmp_path):
    np.testing.assert_allclose(read(written(tmp_path, header=["id", "0", "1", "2"])).p.p_NC, P, atol=1e-6)


def test_columns_that_are_named_like_classes_are_no_class_indices(tmp_path):
    space = LabelSpace.product([Attribute("digit", ("0", "2", "1"))])
    path = written(tmp_path, header=["id", "0", "1", "2"])
    found = external.read_probabilities(path, "kernel", space, IDS, HOST)
    np.testing.assert_allclose(found.p.p_NC, P[:, [0, 2, 1]], atol=1e-6)


@pytest.mark.parametrize("form", [lambda i: str(int(i)), lambda i: f"{int(i)}.0"], ids=["int", "float"])
def test_ids_that_were_read_as_numbers_get_their_zeros_back(tmp_path, form):
    found = read(written(tmp_path, [[form(r[0]), *r[1:]] for r in ROWS]))
    assert found.p.ids_N.tolist() == IDS.tolist()
    assert any("3 ids had lost leading zeros" in note for note in found.notes)


def test_numbers_are_not_guessed_where_two_images_would_be_one(tmp_path):
    path = written(tmp_path, [["1", *ROWS[0][1:]], ["2", *ROWS[1][1:]], ["10", *ROWS[2][1:]]])
    assert "'001': missing" in faults(path, np.array(["001", "1", "10"]))


def test_rows_off_by_rounding_are_normalised_and_it_is_reported(tmp_path):
    rows = [["001", "0.67", "0.17", "0.17"], *ROWS[1:]]
    found = read(written(tmp_path, rows))
    np.testing.assert_allclose(found.p.p_NC[0], np.array([0.67, 0.17, 0.17]) / 1.01, atol=1e-6)
    assert found.notes == ("kernel: kernel.csv: 1 row did not sum to 1 because of rounding, normalised",)


def test_every_fault_is_reported_at_once(tmp_path):
    rows = [
        ["001", "nan", "0.2", "0.1"],
        ["002", "2.0", "3.0", "1.0"],
        ["002", "0.5", "0.6", "-0.1"],
        ["77", "0.5", "many", "0.1"],
    ]
    told = faults(written(tmp_path, rows))
    for part in (
        "'010': missing",
        "'77': extra",
        "'002': 2 times",
        "'001' (line 2): 'cat' is 'nan', which is not a number",
        "'77' (line 5): 'dog' is 'many'",
        "'002': sums to 6, not 1; apply a softmax to logits",
        "'002' (line 4): '강아지' is negative",
    ):
        assert part in told, part


def test_other_columns_are_named(tmp_path):
    with pytest.raises(DataError, match="2 columns missing"):
        read(written(tmp_path, header=["image", "cat", "dgo", "강아지"]))


class TestLabels:
    HOST = SubmissionSettings(format="class_name")

    def labels(self, folder, rows, ids=IDS, settings=HOST):
        path = written(folder, rows, ["id", "label"])
        return external.read_labels(
            path, "mate", SPACE, ids, HOST.model_copy(update={"submission": settings})
        )

    def test_each_label_is_a_one_hot_vote(self, tmp_path):
        found = self.labels(tmp_path, [["010", "dog"], ["001", "cat"], ["002", "강아지"]])
        assert found.p.labels().tolist() == [0, 2, 1] and set(found.p.p_NC.ravel()) == {0, 1}

    def test_ids_read_as_numbers(self, tmp_path):
        found = self.labels(tmp_path, [["1", "0"], ["2", "2"], ["10", "1"]], settings=SubmissionSettings())
        assert found.p.labels().tolist() == [0, 2, 1] and "leading zeros" in found.notes[0]

    def test_other_images_and_other_classes_are_rejected(self, tmp_path):
        with pytest.raises(DataError, match="2 faults") as caught:
            self.labels(tmp_path, [["001", "cat"], ["002", "dog"], ["9", "dog"]])
        assert "'010': missing" in str(caught.value) and "'9': extra" in str(caught.value)
        with pytest.raises(DataError, match="bird"):
            self.labels(tmp_path, [["001", "bird"], ["002", "dog"], ["010", "dog"]])

    def test_a_submission_of_probabilities_votes_by_its_labels(self, tmp_path):
        host = SubmissionSettings(format="probabilities")
        host = HOST.model_copy(update={"submission": host})
        found = external.read_labels(written(tmp_path), "mate", SPACE, IDS, host)
        assert found.p.labels().tolist() == [0, 1, 2]
