import json
import re
from dataclasses import replace

import numpy as np
import pytest
from analyze_cases import HOSTILE, case, probabilities
from markupsafe import escape
from section_world import page_of, section_of
from suspects_world import SPACE, precision_recall, spoilt
from test_explore import Tags

from pipeline.data.labels import PATCH_COLUMNS
from pipeline.eda.survey import Duplicates
from pipeline.errors.findings.suspects import (
    COLUMNS,
    SuspectInputs,
    confident,
    find,
    patch_row,
    representative,
    section,
)

RAW = {"size": ("0", "1"), "parity": ("e", "o")}
WORLD = spoilt()


def named(found, attribute):
    group_of = dict(zip(WORLD.train.ids_N.tolist(), WORLD.train.groups_N.tolist(), strict=True))
    rows = [s for s in found if s.attribute == attribute]
    return [s.key[1] if attribute == "parity" else group_of[s.key[1]] for s in rows]


def test_confident_learning_by_hand():
    p = np.array([[0.9, 0.1], [0.8, 0.2], [0.2, 0.8], [0.1, 0.9], [0.45, 0.55]], np.float32)
    given = np.array([0, 0, 0, 1, 0])
    # Class 0 gets 0.5875 on average, class 1 0.9: the third image falls short of it.
    assert confident(p, given).tolist() == [0, 0, 0, 1, 0]
    assert confident(np.float32([[0.9, 0.1], [0.1, 0.9], [0.05, 0.95]]), np.array([0, 1, 0])).tolist() == [
        0,
        1,
        1,
    ]
    # A value that nobody carries has no threshold to reach.
    assert confident(np.float32([[0.1, 0.9]]), np.array([0])).tolist() == [0]


def test_planted_wrong_labels_are_found():
    found = find(WORLD.oof, WORLD.train, (), WORLD.features)
    for attribute, planted in (("parity", WORLD.parity), ("size", WORLD.size)):
        names = named(found, attribute)
        precision, recall = precision_recall(names, planted)
        first, _ = precision_recall(names[: len(planted)], planted)
        assert recall >= 0.85, (attribute, recall)
        assert first >= 0.75, (attribute, first)
        assert precision >= 0.25, (attribute, precision)
    assert all(s.images == 5 for s in found if s.attribute == "size")


def test_witnesses_that_agree_rank_first_and_are_right_more_often():
    found = find(WORLD.oof, WORLD.train, (), WORLD.features)
    assert [len(s.witnesses) for s in found] == sorted((len(s.witnesses) for s in found), reverse=True)
    two = [s for s in found if s.attribute == "parity" and len(s.witnesses) > 1]
    one = [s for s in found if s.attribute == "parity" and len(s.witnesses) == 1]
    shares = [np.mean([s.key[1] in WORLD.parity for s in part]) for part in (two, one)]
    assert shares[0] > 0.85 and shares[0] > shares[1] + 0.2
    assert all(s.witnesses == ("model",) for s in find(WORLD.oof, WORLD.train))


def test_copies_and_groups_that_disagree():
    labels = WORLD.clean.labels.copy()
    odd_one = 7
    labels[odd_one] ^= 2
    train = replace(WORLD.clean, labels_N=labels)
    sure = np.full((len(train), 4), 0.01)
    sure[np.arange(len(train)), WORLD.clean.labels] = 0.97
    oof = replace(WORLD.oof, p_NC=sure)
    (suspect,) = find(oof, train)
    assert suspect.witnesses == ("group",) and suspect.key[1] == train.ids_N[odd_one] and suspect.images == 1
    # The same picture in two groups, once even and once odd: the label that the model believes is right.
    parity = WORLD.clean.labels % 2
    even, odd = (int(np.flatnonzero(parity == code)[-1]) for code in (0, 1))
    p = sure.copy()
    p[even] = p[odd]
    pair = (("train", str(train.ids_N[even])), ("train", str(train.ids_N[odd])))
    found = find(replace(oof, p_NC=p), WORLD.clean, (Duplicates(pair, True, True, False),))
    by_copy = next(s for s in found if "copies" in s.witnesses and s.attribute == "parity")
    assert by_copy.key == pair[0] and by_copy.others == (pair[1],) and by_copy.proposed == 1


def test_a_corrected_label_is_not_told_again():
    told = find(WORLD.oof, WORLD.train)
    patched = replace(WORLD.train, train_labels_N=WORLD.clean.labels)
    again = find(WORLD.oof, patched)
    names = {s.key[1] for s in told if s.attribute == "parity"} & WORLD.parity
    assert names and not names & {s.key[1] for s in again if s.attribute == "parity"}


@pytest.mark.parametrize(("code", "value"), [(0, 15), (1, 45), (2, 75)])
def test_a_number_that_stands_for_a_bin(code, value):
    assert representative([30, 60], code) == value


def test_one_edge_has_a_number_on_either_side():
    assert representative([30], 0) < 30 <= representative([30], 1)


def made_of(train, oof, space):
    found = find(oof, train)
    raw = {a.name: tuple(f"=raw,{value}" for value in a.values) for a in space.attributes}
    return found, SuspectInputs(space, found, raw, len(oof), False, "data/x", "make train ARGS=<b>")


def test_the_page_gives_rows_that_the_patch_reader_takes_and_hostile_names_stay_text():
    made = case()
    train = made.train
    oof = probabilities(train.ids_N, train.labels, 3, skill=0.5)
    found, inputs = made_of(train, oof, train.space)
    assert COLUMNS[: len(PATCH_COLUMNS)] == PATCH_COLUMNS
    part = section(inputs)
    page = page_of(part, made)
    data = json.loads(re.search(r'id="suspects-data">(.*?)</script>', page, re.DOTALL)[1])
    assert data["rows"] == [patch_row(s, train.space, inputs.raw) for s in found[:60]]
    shown = section_of(part, made)
    assert not {"img", "u", "b-"} & {tag for tag, _ in Tags(shown).found}
    assert any(str(escape(name)) in shown for name in HOSTILE)
    assert "Neighbours were not used" in shown and "data/x" in shown


def test_nothing_suspicious_is_said():
    sure = np.full((len(WORLD.clean), 4), 0.01)
    sure[np.arange(len(sure)), WORLD.clean.labels] = 0.97
    found, inputs = made_of(WORLD.clean, replace(WORLD.oof, p_NC=sure), SPACE)
    assert found == [] and "None among" in section_of(section(inputs), case())
