"""Final submissions: the safest first, then one with different errors; losses, ties, contradictions."""

from dataclasses import replace

import numpy as np
import pytest

from pipeline.core.errors import DataError
from pipeline.core.statistics import Band
from pipeline.submit.final import Candidates, propose
from pipeline.submit.ledger import Entry

LINE = Entry("a", "2026-11-22T09:00:00+00:00", "member", "mask", metric="macro_f1")
BAND = Band(-0.03, 0.03, 0.015, 50)


def line(name, oof, half=0.02, public=None):
    return replace(LINE, name=name, oof=oof, oof_low=oof - half, oof_high=oof + half, public=public)


def field(*entries, answers=None, higher=True):
    answers = answers or {e.name: np.full(10, k) for k, e in enumerate(entries)}
    return Candidates(entries, answers, {e.name: BAND for e in entries}, higher)


def names(picks):
    return [pick.entry.name for pick in picks]


def test_the_safest_has_the_best_lower_bound_and_not_the_best_score():
    found = propose(field(line("bold", 0.71, half=0.06), line("calm", 0.70, half=0.01)), 1)
    assert names(found) == ["calm"] and "safest" in found[0].why[0]


def test_a_score_that_public_contradicts_is_not_chosen_and_named():
    entries = [line("lucky", 0.80, public=0.70), line("a", 0.75, public=0.75), line("b", 0.74, public=0.74)]
    found = propose(field(*entries), 1)
    assert names(found) == ["a"] and "lucky" in found[0].why[-1]


def test_a_shared_gap_of_all_public_scores_contradicts_none():
    entries = [line("lucky", 0.80, public=0.70), line("a", 0.75, public=0.65), line("b", 0.74, public=0.64)]
    assert names(propose(field(*entries), 1)) == ["lucky"]


def test_the_second_disagrees_most_among_those_about_as_good():
    first = np.zeros(10, int)
    twin, other, weak = first.copy(), first.copy(), np.ones(10, int)
    twin[0] = 1
    other[:4] = 1
    entries = [line("first", 0.75), line("twin", 0.745), line("other", 0.74), line("weak", 0.5)]
    answers = dict(zip(("first", "twin", "other", "weak"), (first, twin, other, weak), strict=True))
    found = propose(field(*entries, answers=answers), 2)
    assert names(found) == ["first", "other"] and "40.0%" in found[1].why[0]
    # The third must differ from both.
    assert names(propose(field(*entries, answers=answers), 3)) == ["first", "other", "twin"]


def test_equal_answers_are_no_second_chance():
    same = np.zeros(10, int)
    entries = [line("first", 0.75), line("copy", 0.75)]
    assert names(propose(field(*entries, answers={"first": same, "copy": same}), 2)) == ["first"]


def test_of_losses_the_low_ones_are_good():
    entries = [line("bad", 0.9, half=0.01), line("calm", 0.5, half=0.01), line("bold", 0.49, half=0.1)]
    found = propose(field(*entries, higher=False), 2)
    assert names(found)[0] == "calm" and "high end" in found[0].why[0] and "0.5100" in found[0].why[0]
    contradicted = [line("calm", 0.5, public=0.9), line("next", 0.6, public=0.6), line("c", 0.7, public=0.7)]
    assert names(propose(field(*contradicted, higher=False), 1)) == ["next"]


def test_only_lines_with_a_file_and_an_interval_can_be_proposed():
    entries = [line("gone", 0.9), replace(LINE, name="outside", kind="outside", public=0.9)]
    with pytest.raises(DataError, match="no submission has an OOF score"):
        propose(field(*entries, answers={"outside": np.zeros(3, int)}), 2)
