from dataclasses import replace

import numpy as np
import pytest
from answer_world import FACES, world

from pipeline.core.seeds import rng
from pipeline.errors.diff.flips import Submission, find_flips
from pipeline.errors.judging import sample


@pytest.fixture(scope="module")
def made():
    return world(3)


def designed(made, asked):
    flips = find_flips(FACES, made.new, made.old)
    return sample.plan(FACES, flips, sample.pair_key(made.new, made.old), asked)


def test_every_stratum_is_sampled_in_proportion(made):
    design = designed(made, 60)
    assert len(design.flips) > 200 and len(design.strata) > 4 and design.strata[-1] == sample.OTHER
    asked = np.bincount(design.stratum_F[design.sampled_F], minlength=len(design.strata))
    assert (asked == design.asked_S).all() and (asked >= 2).all() and abs(asked.sum() - 60) <= len(asked)
    share = design.asked_S / design.size_S
    assert share.max() < 1.6 * share.min()
    for k in np.flatnonzero(design.sampled_F)[:5]:
        assert design.inclusion(k) == share[design.stratum_F[k]]


def test_a_design_follows_from_the_answers_alone_and_grows(made):
    design, more = designed(made, 40), designed(made, 90)
    order = rng(0, "rows").permutation(len(made.new.ids_N))
    shuffled = replace(
        made, new=replace(made.new, ids_N=made.new.ids_N[order], answers=made.new.labels_N[order])
    )
    again = designed(shuffled, 40)
    assert again.report == design.report and (again.sampled_F == design.sampled_F).all()
    assert more.strata == design.strata and more.sampled_F[design.sampled_F].all()
    assert more.sampled_F.sum() > design.sampled_F.sum()


def test_a_key_tells_pairs_and_numbers_apart(made):
    pair = sample.pair_key(made.new, made.old)
    assert sample.asked_of(f"{pair}-40", pair) == 40
    other = sample.pair_key(made.old, made.new)
    for key in (f"{other}-40", pair, f"{pair}-", f"{pair}-040", f"{pair}-4x", f"{pair}-0", f"{pair}-²", ""):
        assert sample.asked_of(key, pair) is None
    labels = made.new.labels_N.copy()
    labels[0] = (labels[0] + 1) % FACES.n_classes
    assert sample.pair_key(Submission("n", made.new.ids_N, labels), made.old) != pair


def test_inclusion_is_what_is_stored():
    """Over many pairs, images of a stratum are drawn as often as their probability says."""
    drawn, expected = 0, 0.0
    for seed in range(12):
        design = designed(world(seed, people=40, training=5), 20)
        drawn += int(design.sampled_F[::2].sum())
        expected += sum(design.inclusion(k) for k in range(0, len(design.flips), 2))
    assert abs(drawn - expected) < 4 * np.sqrt(expected)


def test_controls_are_hard_images_of_many_groups(made):
    design = designed(made, 60)
    chosen = sample.controls(design, made.train, made.oof, 40)
    assert len({c.id for c in chosen}) == 40 and all(c.old != c.new for c in chosen)
    taken = made.train.take(np.array([c.id for c in chosen]))
    assert len(set(taken.groups_N.tolist())) == 40 and [c.truth for c in chosen] == taken.labels.tolist()
    said = [p.take(taken.ids_N).labels().tolist() for p in made.oof]
    assert [c.new for c in chosen] == said[0] and [c.old for c in chosen] == said[1], "both runs differ on it"
    kinds = [sample.kind(FACES, c.old, c.new) for c in chosen]
    assert sum("age" in k for k in kinds) > sum("mask" in k for k in kinds), "in the mixture of the flips"
    fresh = sample.controls(design, made.train, made.oof, 40, frozenset(c.id for c in chosen[:10]))
    assert not {c.id for c in fresh} & {c.id for c in chosen[:10]}


@pytest.mark.parametrize("known", [(True, False), (False, False)])
def test_controls_without_all_predictions_still_look_like_flips(made, known):
    oof = tuple(p if k else None for p, k in zip(made.oof, known, strict=True))
    chosen = sample.controls(designed(made, 60), made.train, oof, 25)
    assert len(chosen) == 25 and all(c.old != c.new for c in chosen)
    wrong = sum(c.new != c.truth for c in chosen)
    assert wrong == (25 if known[0] else 0), "first what the known run gets wrong"


def test_agreement_out_of_fold(made):
    truth, said, groups = sample.agreed_out_of_fold(made.train, made.oof)
    both = made.oof[0].labels() == made.oof[1].labels()
    assert len(truth) == both.sum() == len(groups) and (said == made.oof[0].labels()[both]).all()
    alone = sample.agreed_out_of_fold(made.train, (None, made.oof[1]))
    assert len(alone[0]) == len(made.train) and sample.agreed_out_of_fold(made.train, (None, None)) is None
