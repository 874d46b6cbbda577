"""The rule of the best so far: pins, out-of-fold scores of the same folds, then public scores beyond luck."""

import pytest

from pipeline.core.best import Candidate, best, comparable

HERE, THERE = "data/d folds/f", "data/d folds/g"


def run(oof, public=None, scored_on=HERE, pinned=False):
    return Candidate(oof, scored_on, public, pinned)


def chosen(*candidates, sign=1, luck=0.02, asked=HERE):
    found = best(candidates, sign, asked, lambda one, other: luck)
    return found and (found.place, found.rule)


def test_nothing_has_a_best_without_a_score():
    assert chosen() is None and chosen(run(None), run(None)) is None


@pytest.mark.parametrize("public", [0.1, 0.99])
def test_one_public_score_among_nine_says_nothing_about_the_others(public):
    nine = [run(0.60 + 0.01 * n) for n in range(9)]
    nine[2] = run(0.62, public)
    assert chosen(*nine) == (8, "oof")
    losses = [run(0.60 - 0.01 * n) for n in range(9)]
    losses[2] = run(0.58, 1 - public)
    assert chosen(*losses, sign=-1) == (8, "oof")


def test_the_only_public_score_belongs_to_the_leader():
    assert chosen(run(0.6), run(0.7, 0.1), run(0.65)) == (1, "oof")


def test_public_scores_overrule_the_leader_beyond_luck_only_and_only_if_it_has_one():
    strong, leader = run(0.60, 0.80), run(0.65, 0.70)
    assert chosen(strong, leader) == (0, "public")
    assert chosen(strong, leader, luck=0.2) == (1, "oof")
    assert chosen(strong, leader, run(0.66)) == (2, "oof"), "the new leader has no public score"
    losses = (run(0.65, 0.70), run(0.60, 0.80))
    assert chosen(*losses, sign=-1) == (0, "public"), "a loss: the lower public score wins"


def test_among_the_best_public_scores_out_of_fold_scores_decide():
    first, second, leader = run(0.60, 0.80), run(0.62, 0.79), run(0.65, 0.70)
    assert chosen(first, second, leader) == (1, "public")


def test_scores_of_other_data_or_folds_are_not_compared():
    leaky, sound = run(0.9, scored_on=THERE), run(0.6)
    assert chosen(leaky, sound) == (1, "oof")
    found = best([leaky, sound, run(0.8, scored_on=THERE)], 1, "data/new folds/new")
    assert (found.place, found.elsewhere) == (0, True), "the folds that were used last"
    assert best([leaky, sound], 1, "data/new folds/new").place == 1
    unknown = run(0.7, scored_on="")
    assert chosen(leaky, sound, unknown) == (2, "oof"), "an unknown origin is taken to be the same"
    assert comparable([leaky, sound, unknown], HERE) == ([1, 2], False)


def test_public_scores_alone_decide_where_no_out_of_fold_score_exists():
    assert chosen(run(None, 0.5), run(None, 0.7)) == (1, "public")
    assert chosen(run(0.6, 0.5), run(None, 0.9)) == (1, "public"), "the leader's own public score is beaten"
    assert chosen(run(0.6), run(None, 0.9)) == (0, "oof"), "no score in common"


def test_a_pin_decides_and_the_first_of_equals_wins():
    assert chosen(run(0.9, 0.9), run(0.1, 0.1, pinned=True)) == (1, "pinned")
    assert chosen(run(0.6), run(0.6)) == (0, "oof")
    assert chosen(run(0.6, 0.5), run(0.6, 0.5), luck=0.0) == (0, "oof")
