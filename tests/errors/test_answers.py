from dataclasses import replace

import pytest
from answer_world import FACES, world

from pipeline.core.errors import DataError
from pipeline.core.samples import Attribute, LabelSpace
from pipeline.core.tables import format_table, read_table
from pipeline.errors.diff.flips import find_flips
from pipeline.errors.judging import answers as form
from pipeline.errors.judging import sample
from pipeline.errors.judging.answers import UNSURE, Answer

MADE = world(3, people=60, training=20)
PAIR = sample.pair_key(MADE.new, MADE.old)
DESIGN = sample.plan(FACES, find_flips(FACES, MADE.new, MADE.old), PAIR, 20)


def asked_of(report):
    return DESIGN if sample.asked_of(report, PAIR) else None


def answers():
    flips = [
        Answer(
            str(DESIGN.flips["id"][k]),
            False,
            (1, UNSURE, 2) if k % 3 == 0 else (0, 1, 2),
            DESIGN.strata[DESIGN.stratum_F[k]],
            DESIGN.inclusion(k),
            DESIGN.report,
        )
        for k in range(len(DESIGN.flips))
        if DESIGN.sampled_F[k]
    ]
    return [*flips, Answer(str(MADE.train.ids_N[0]), True, (2, 0, 1), "", None, DESIGN.report)]


def written(tmp_path, given, space=FACES):
    path = tmp_path / "verdicts.csv"
    path.write_bytes(format_table(form.columns(space), form.rows(given, space)))
    return path


def faults_of(path):
    found, faults = form.parse(read_table(path), FACES)
    return faults + form.against_design(found, asked_of, MADE.train.ids_N)


def test_answers_come_back_as_they_were(tmp_path):
    given = answers()
    found, faults = form.parse(read_table(written(tmp_path, given)), FACES)
    assert faults == [] and [replace(a, inclusion=None) for a in found] == [
        replace(a, inclusion=None) for a in given
    ]
    assert faults_of(written(tmp_path, given)) == []


def test_attributes_may_be_called_as_anything(tmp_path):
    space = LabelSpace.product([Attribute("id", ("a,b", '"q"')), Attribute("control", ("yes", "=1+1"))])
    given = [
        Answer("<img src=x>", False, (1, 1), "id: a → b", 0.25, "r"),
        Answer("007", True, (0, 0), "", None, "r"),
    ]
    found, faults = form.parse(read_table(written(tmp_path, given, space)), space)
    assert faults == [] and found == given


def change(path, line, column, value):
    table = read_table(path)
    rows = [list(row) for row in table.rows]
    rows[line][table.columns.index(column)] = value
    path.write_bytes(format_table(table.columns, rows))


@pytest.mark.parametrize(
    ("column", "value", "fault"),
    [
        ("id", "nobody", "not a flip: no image with this id has predictions that differ"),
        ("id", "", "the id is empty"),
        ("answer:age", "ancient", "age 'ancient' is not a value"),
        ("answer:age", "", "unsure is no"),
        ("report", "aaaaaaaaaa-bbbbbbbbbb-20", "compares other submissions"),
        ("inclusion", "0.001", "inclusion probability 0.001, but the report asked with"),
        ("inclusion", "2", "not a probability"),
        ("inclusion", "nan", "not a probability"),
        ("stratum", "age: young → old", "but the report asked with"),
        ("control", "perhaps", "control is 'perhaps'; it must be yes or no"),
        ("control", "yes", "a control, but no training image has this id"),
        ("unsure", "yes", "every value is given"),
    ],
)
def test_each_fault_is_told(tmp_path, column, value, fault):
    given = [a for a in answers() if not a.unsure]
    path = written(tmp_path, given)
    change(path, 0, column, value)
    assert any(fault in line for line in faults_of(path)), faults_of(path)


def test_faults_are_told_together_and_nothing_is_taken(tmp_path):
    given = answers()
    path = written(tmp_path, [*given, given[0]])
    change(path, 1, "answer:age", "x")
    change(path, 2, "id", "nobody")
    faults = faults_of(path)
    assert len(faults) == 3 and any("is repeated; it is first on line 2" in f for f in faults)
    with pytest.raises(DataError, match="3 faults; no answer was stored") as caught:
        form.raise_if("verdicts.csv", faults)
    assert caught.value.faults == tuple(faults)


def test_a_flip_that_was_not_asked_is_a_fault(tmp_path):
    given = answers()
    k = int((~DESIGN.sampled_F).argmax())
    forged = replace(
        given[0],
        id=str(DESIGN.flips["id"][k]),
        stratum=DESIGN.strata[DESIGN.stratum_F[k]],
        inclusion=DESIGN.inclusion(k),
    )
    assert "did not ask about this image" in faults_of(written(tmp_path, [forged]))[0]


def test_missing_columns_are_all_named(tmp_path):
    path = tmp_path / "v.csv"
    path.write_text("id,answer:age,stratum\n1,young,x\n")
    with pytest.raises(DataError) as caught:
        form.parse(read_table(path), FACES)
    assert len(caught.value.faults) == len(form.columns(FACES)) - 3


def test_newer_answers_replace_older_ones_of_the_same_image():
    given = answers()
    changed = replace(given[0], codes=(2, 1, 0), report="other")
    same_id = Answer(given[0].id, True, (0, 0, 0), "", None, "other")
    found = form.merged(given, [changed, same_id])
    assert len(found) == len(given) + 1 and changed in found and same_id in found and given[0] not in found
