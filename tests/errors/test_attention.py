"""Attention on object and background: shares, the warning of a planted shortcut, and silence without one."""

import numpy as np
import pytest

from pipeline.core.predictions import Probabilities
from pipeline.core.samples import Attribute, LabelSpace, Samples
from pipeline.errors.findings import why

CLASSES = ("a", "b", "c")


def figures(rng, shift=(0.0, 0.0, 0.0), groups=20, each=4):
    """Shares on the background for three classes of groups that differ; `shift` is a class's excess."""
    labels = np.repeat(np.arange(3), groups * each)
    names = np.repeat(np.arange(3 * groups), each)
    area = rng.uniform(0.4, 0.8, len(labels))
    of_group = rng.normal(0, 0.06, 3 * groups)[names]
    share = (area + of_group + rng.normal(0, 0.02, len(labels)) + np.array(shift)[labels]).clip(0, 1)
    return share.astype(np.float32), area.astype(np.float32), labels, names.astype(np.str_)


def test_shares_of_a_map():
    mask = np.zeros((4, 4), bool)
    mask[:2] = True
    assert why.on_background(np.ones((4, 4), np.float32), mask) == pytest.approx(0.5)
    assert why.on_background(np.where(mask, 1, -5).astype(np.float32), mask) == 0
    assert why.on_background(-np.ones((4, 4), np.float32), mask) is None


def test_a_planted_shortcut_is_found_and_named():
    found = why.by_class(*figures(np.random.default_rng(0), (0.15, 0, -0.15)), CLASSES, 300, 0)
    assert [(a.name, a.verdict) for a in found[:3]] == [
        ("a", why.WARNING), ("b", why.UNKNOWN), ("c", why.FINE)
    ]  # fmt: skip
    assert found[-1].name == "all" and found[-1].n_groups == 60 and found[-1].n_images == 240
    assert "Shortcut? For a, the" in why.warning(found) and why.warning(found[1:]) == ""


def test_no_warning_where_groups_are_few_and_seldom_where_there_is_nothing():
    few = why.by_class(*figures(np.random.default_rng(0), (0.2, 0, 0), groups=6), CLASSES, 300, 0)
    assert {a.verdict for a in few[:3]} == {why.UNKNOWN}
    # Without any excess a page warns of some class in about 2.5 % of cases; 100 draws, so at most a few.
    rng = np.random.default_rng(1)
    warned = [why.warning(why.by_class(*figures(rng), CLASSES, 200, n)) != "" for n in range(100)]
    assert sum(warned) <= 10


def test_the_worst_errors_are_spread_over_confused_pairs_and_groups():
    p = [[0.9, 0.1, 0], [0.95, 0.05, 0], [0.85, 0.15, 0], [0.1, 0.2, 0.7], [0.2, 0.8, 0], [0.6, 0.4, 0]]
    ids = [f"i{n}" for n in range(6)]
    oof = Probabilities(ids, CLASSES, np.array(p, np.float32))
    space = LabelSpace.product([Attribute("what", CLASSES)])
    samples = Samples(ids, ids, ["g", "h", "g", "k", "l", "m"], space, np.array([1, 1, 1, 0, 1, 0]), "train")
    # i0, i1, i2 are a for b (i0 and i2 of one group), i3 is c for a; i4 and i5 are right.
    assert why.errors(oof, samples, 2) == ["i1", "i3"]
    assert why.errors(oof, samples, 3) == ["i1", "i0", "i3"]
    assert why.errors(oof, samples, 9) == ["i1", "i0", "i2", "i3"]
    assert why.doubtful(oof, 1) == ["i5"]
