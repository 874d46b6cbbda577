"""One home of drawing groups: the same bits as when every caller drew its own."""

import numpy as np
import pytest

from pipeline.core import group_resampling, metrics, statistics
from pipeline.core.group_resampling import numbered, percentile_interval, times_drawn
from pipeline.core.seeds import rng
from pipeline.errors.diff import attributes
from pipeline.errors.findings import calibration, why
from pipeline.submit.gap import selection

MACRO = metrics.get("macro_f1")


def drawn_rows(seed, n=240, c=4, groups=50):
    generator = np.random.default_rng(seed)
    y = generator.integers(0, c, n)
    x = generator.normal(size=(n, c))
    x[np.arange(n), y] += 1
    p = np.exp(x)
    names = np.array([f"g{g}" for g in generator.integers(0, groups, n)])
    return y, (p / p.sum(axis=1, keepdims=True)).astype(np.float32), names


def counted(drawn_BS, n_groups):
    return np.stack([np.bincount(drawn, minlength=n_groups) for drawn in drawn_BS])


@pytest.mark.parametrize("size", [None, 5, 90])
def test_times_drawn_counts_plain_draws_with_replacement(size):
    expected = counted(rng(1, "x").integers(0, 31, (20, size or 31)), 31)
    found = times_drawn(rng(1, "x"), 31, 20, size)
    np.testing.assert_array_equal(found, expected)
    assert (found.sum(axis=1) == (size or 31)).all() and found.dtype == np.int64


def test_one_draw_after_the_other_is_the_same_as_all_at_once():
    generator = rng(2, "x")
    one_by_one = [times_drawn(generator, 17, 1)[0] for _ in range(9)]
    np.testing.assert_array_equal(one_by_one, times_drawn(rng(2, "x"), 17, 9))
    blocks = list(group_resampling.times_in_blocks(rng(2, "x"), 17, 9, 4))
    assert [len(block) for block in blocks] == [4, 4, 1]
    np.testing.assert_array_equal(np.concatenate(blocks), one_by_one)


def test_multinomial_times_have_the_same_mean_and_spread():
    a, b = (
        draw(rng(3, "x"), 40, 4000)
        for draw in (group_resampling.times_multinomial, group_resampling.times_drawn)
    )
    assert (a.sum(axis=1) == 40).all()
    assert a.var() == pytest.approx(b.var(), rel=0.03) == pytest.approx(1 - 1 / 40, rel=0.03)


def test_ends_of_an_interval_are_the_percentiles_to_the_last_bit():
    drawn = np.random.default_rng(0).normal(size=(7, 501))
    assert percentile_interval(drawn[0]) == tuple(np.percentile(drawn[0], (2.5, 97.5)))
    for found, expected in zip(
        percentile_interval(drawn, axis=1), np.percentile(drawn, (2.5, 97.5), axis=1), strict=True
    ):
        np.testing.assert_array_equal(found, expected)
    level = 0.05 / 7
    assert percentile_interval(drawn[0], level) == tuple(np.quantile(drawn[0], [level / 2, 1 - level / 2]))


def test_the_max_t_factor_leaves_out_what_does_not_vary():
    off = np.random.default_rng(1).normal(size=(3, 400)) * np.array([[1.0], [5.0], [0.0]])
    off -= off.mean(axis=1, keepdims=True)
    error = off.std(axis=1)
    expected = np.percentile(np.abs(off[:2] / error[:2, None]).max(axis=0), 95)
    assert group_resampling.max_t_factor(off, error) == expected
    assert group_resampling.max_t_factor(np.zeros((2, 9)), np.zeros(2)) == 0


def test_signs_are_fair_and_of_size_one():
    found = group_resampling.signs(rng(0, "x"), 500, 40)
    assert set(np.unique(found)) == {-1.0, 1.0} and abs(found.mean()) < 0.03
    expected = rng(0, "x").integers(0, 2, (500, 40)) * 2.0 - 1
    np.testing.assert_array_equal(group_resampling.signs(rng(0, "x"), 500, 40, np.int64), expected)


# Each of the following repeats what its module computed when it still drew its own groups.


def test_share_of_an_attribute_keeps_its_numbers(monkeypatch):
    _, _, groups = drawn_rows(0)
    part = np.random.default_rng(9).random(len(groups)) < 0.3
    group_N, n_groups = numbered(groups)
    part_G, whole_G = np.bincount(group_N, part), np.bincount(group_N).astype(float)
    drawn = rng(5, "share of attribute").integers(0, n_groups, (300, n_groups))
    low, high = np.percentile(part_G[drawn].sum(axis=1) / whole_G[drawn].sum(axis=1), (2.5, 97.5))
    found = attributes.share(part, groups, 300, 5)
    assert (found.low, found.high) == (low, high)
    monkeypatch.setattr(attributes, "BLOCK_NUMBERS", 999)
    assert attributes.share(part, groups, 300, 5) == found


def test_trust_in_confidence_keeps_its_numbers():
    y, p, groups = drawn_rows(1)
    group_N, n_groups = numbered(groups)
    sure, right = p.max(axis=1).astype(np.float64), (p.argmax(axis=1) == y).astype(np.float64)
    sums = group_resampling.sums_by_group(
        np.stack([sure - right, np.ones(len(y))], axis=1), group_N, n_groups
    )
    times = counted(rng(7, "calibration groups").integers(0, n_groups, (250, n_groups)), n_groups)
    off_B, rows_B = (times @ sums).T
    found = calibration.trust(y, p, groups, 250, 7)
    ends = np.percentile(off_B / rows_B, (2.5, 97.5))
    assert (found.excess_low, found.excess_high) == pytest.approx(tuple(ends), abs=1e-12)


def test_attention_keeps_its_numbers():
    y, _, groups = drawn_rows(2)
    area, background = np.random.default_rng(3).random((2, len(y)))
    found = why.by_class(background, area, np.zeros_like(y), groups, ["only"], 200, 4)[0]
    group_N, n_groups = numbered(groups)
    sums, counts = np.bincount(group_N, background - area), np.bincount(group_N).astype(float)
    times = rng(4, "attention").multinomial(n_groups, np.full(n_groups, 1 / n_groups), 200)
    low, high = np.quantile((times @ sums) / (times @ counts), [0.025, 0.975])
    # Widened about the mean by one factor on both sides.
    mean = float((background - area).mean())
    assert (found.high - mean) / (found.low - mean) == pytest.approx((high - mean) / (low - mean))


def test_luck_of_the_chosen_keeps_its_numbers():
    from types import SimpleNamespace

    y, p, groups = drawn_rows(3)
    sides = (p, drawn_rows(4)[1], drawn_rows(5)[1])
    group_N, n_groups = numbered(groups)
    drawn = rng(6, "over-selection", 3).integers(0, n_groups, (selection.DRAWS, n_groups))
    inside = counted(drawn, n_groups)[:, group_N].astype(np.float64)
    off = [MACRO.resampler(y, q)(inside) - MACRO.resampler(y, q)((inside == 0).astype(float)) for q in sides]
    best = np.argmax([MACRO.resampler(y, q)(inside) for q in sides], axis=0)
    expected = float((np.stack(off)[best, np.arange(len(best))] - np.mean(off, axis=0)).mean())
    scene = SimpleNamespace(metric=MACRO, truth=y, groups=groups, settings=SimpleNamespace(seed=6))
    compared = selection.Compared(("a", "b", "c"), np.arange(len(y)), sides, 3, "a")
    assert selection.luck(scene, compared) == pytest.approx(max(expected, 0), abs=1e-12)


@pytest.mark.parametrize("name", ["macro_f1", "log_loss"])
def test_noise_of_a_public_set_keeps_its_numbers(name):
    metric = metrics.get(name)
    y, p, groups = drawn_rows(6)
    group_N, n_groups = numbered(groups)
    scores = []
    for side, size in (("public", 13), ("own", n_groups)):
        drawn = rng(8, "public noise", side).integers(0, n_groups, (60, size))
        scores.append(metric.resampler(y, p)(counted(drawn, n_groups)[:, group_N].astype(np.float64)))
    found = statistics.gap_draws(metric, y, p, groups, 13, 60, 8)
    np.testing.assert_allclose(found, scores[0] - scores[1], rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("ends", "tells", "verdict"),
    [
        ((0.01, 0.03), True, "better"),
        ((-0.03, -0.01), True, "worse"),
        ((-0.01, 0.03), True, "can't tell"),
        ((0.0, 0.03), True, "can't tell"),
        ((0.01, 0.03), False, "can't tell"),
    ],
)
def test_a_comparison_says_what_its_interval_excludes(ends, tells, verdict):
    found = statistics.comparison(0.02, ends, np.array([-1.0, 0.0, 1.0, 2.0]), 9, "a note", tells)
    assert (found.verdict, found.p_better, found.n_groups, found.note) == (verdict, 0.625, 9, "a note")
