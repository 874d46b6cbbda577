"""Labels that hold together, values and shares, from the cells of a table to the truth of samples."""

import numpy as np
import pytest
from PIL import Image

from pipeline.core.errors import DataError
from pipeline.data import competition
from pipeline.settings.competition import AttributeSettings, CompetitionSettings

UNUSED = {"holdout": 0.34, "sample_submission": None}


def written(folder, header, rows):
    (folder / "images").mkdir()
    for row in rows:
        Image.new("RGB", (8, 8)).save(folder / "images" / f"{row.split(',')[0]}.png")
    (folder / "train.csv").write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")


def settings(target, attributes, **more):
    return CompetitionSettings(
        name="own",
        root=".",
        train_table="train.csv",
        id_column="id",
        path_column="id",
        target=target,
        attributes=[AttributeSettings(**a) for a in attributes],
        **UNUSED,
        **more,
    )


def truth(folder, chosen):
    data = competition.load(chosen, folder)
    order = np.argsort([*data.train.ids_N, *data.answers.ids_N])
    return data, np.concatenate([data.train.truth, data.answers.truth])[order]


def test_words_of_a_cell_hold_and_the_others_do_not(tmp_path):
    written(tmp_path, "id,labels", ["a,scab rust", "b,healthy", "c,rust", "d,", "e,scab", "f,rust scab"])
    words = [{"name": w, "column": "labels", "word": w} for w in ("scab", "rust")]
    data, y = truth(tmp_path, settings("labels", words, no_labels=["healthy"]))
    assert y.tolist() == [[1, 1], [0, 0], [0, 1], [0, 0], [1, 0], [1, 1]]
    assert data.train.space.classes == ("scab", "rust") and data.train.space.kind == "labels"


def test_a_word_that_is_no_label_is_told_with_the_nearest(tmp_path):
    written(tmp_path, "id,labels", ["a,scab rsut", "b,healthy", "c,rust"])
    words = [{"name": w, "column": "labels", "word": w} for w in ("scab", "rust")]
    with pytest.raises(DataError) as error:
        competition.load(settings("labels", words), tmp_path)
    assert any("`rsut` is no label; did you mean rust" in fault for fault in error.value.faults)
    assert any("`healthy`" in fault and "no_labels" in fault for fault in error.value.faults)


def test_an_empty_cell_of_a_label_is_unknown_and_levels_have_a_column_each(tmp_path):
    rows = ["a,1,Mild", "b,0,Severe", "c,,None", "d,1.0,", "e,0,None", "f,1,Mild"]
    written(tmp_path, "id,fracture,grade", rows)
    chosen = settings(
        "labels",
        [
            {"name": "fracture", "column": "fracture", "values": ["0", "1"]},
            {"name": "grade", "column": "grade", "values": ["None", "Mild", "Severe"]},
        ],
    )
    data, y = truth(tmp_path, chosen)
    none = np.nan
    expected = [
        [1, 0, 1, 0],
        [0, 0, 0, 1],
        [none, 1, 0, 0],
        [1, none, none, none],
        [0, 1, 0, 0],
        [1, 0, 1, 0],
    ]
    np.testing.assert_array_equal(y, expected)
    assert data.train.space.classes == ("fracture", "grade · None", "grade · Mild", "grade · Severe")
    assert data.train.space.widths == (1, 3)
    assert any("4 cells" in note and "unknown" in note for note in data.notes)


def test_values_are_numbers_and_every_other_cell_is_told(tmp_path):
    written(tmp_path, "id,age,weight", ["a,10,1.5", "b,20,", "c,30,x", "d,inf,2"])
    chosen = settings("values", [{"name": n, "column": n} for n in ("age", "weight")])
    with pytest.raises(DataError) as error:
        competition.load(chosen, tmp_path)
    assert len(error.value.faults) == 2


def test_shares_are_divided_by_their_sum(tmp_path):
    written(tmp_path, "id,a,b", ["p,3,1", "q,0,2", "r,1,1", "s,1,3", "t,2,2", "u,5,0"])
    chosen = settings("shares", [{"name": "vote", "column": "vote", "values": ["a", "b"], "one_hot": True}])
    _, y = truth(tmp_path, chosen)
    np.testing.assert_allclose(y, [[0.75, 0.25], [0, 1], [0.5, 0.5], [0.25, 0.75], [0.5, 0.5], [1, 0]])


def test_a_truth_of_which_nothing_is_known_is_a_fault(tmp_path):
    written(tmp_path, "id,a,b", ["x,1,", "y,0,", "z,1,-1"])
    both = [{"name": w, "column": w, "values": ["0", "1"]} for w in "ab"]
    with pytest.raises(DataError) as error:
        competition.load(settings("labels", both, unknown_labels=["0", "1", "-1"]), tmp_path)
    assert any("train.csv: no row knows a, b" in fault for fault in error.value.faults)


def test_an_empty_cell_may_be_a_value(tmp_path):
    written(tmp_path, "id,a", ["x,1", "y,", "z,1"])
    _, y = truth(tmp_path, settings("labels", [{"name": "a", "column": "a", "values": ["", "1"]}]))
    assert y.tolist() == [[1], [0], [1]]
