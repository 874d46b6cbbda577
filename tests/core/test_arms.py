"""Many arms at once: twenty identical ones hardly ever win, a truly better one does."""

import dataclasses

import numpy as np
import pytest

from pipeline.core import metrics, statistics

ACCURACY = metrics.get("accuracy")


def predictions(draw, y, skill):
    """Probabilities of one trained seed: every image is noisy, and the seed as a whole has luck."""
    x = draw.normal(size=(len(y), 3))
    x[np.arange(len(y)), y] += skill + draw.normal(0, 0.08)
    p = np.exp(x)
    return (p / p.sum(axis=1, keepdims=True)).astype(np.float32)


def trial(number, skills, n_groups=120, per_group=2, seeds=3):
    draw = np.random.default_rng(number)
    y = np.repeat(draw.integers(0, 3, n_groups), per_group)
    groups = np.repeat([f"g{g:03d}" for g in range(n_groups)], per_group)
    return y, [[predictions(draw, y, s) for _ in range(seeds)] for s in skills], groups


def false_wins(repetitions):
    """Shares of repetitions in which one of 20 identical arms is called better: corrected, and one by one."""
    corrected = plain = 0
    for number in range(repetitions):
        y, tried, groups = trial(number, [1.0] * 20)
        pairs = [(a, 0) for a in range(1, 20)]
        found = statistics.compare_arms(ACCURACY, y, tried, pairs, groups, 200, number)
        corrected += any(c.verdict == "better" for c in found.comparisons)
        one_by_one = (
            statistics.compare(ACCURACY, y, arm[0], tried[0][0], groups, 200, number) for arm in tried[1:]
        )
        plain += any(c.verdict == "better" for c in one_by_one)
    return corrected / repetitions, plain / repetitions


def test_twenty_identical_arms_are_called_better_in_at_most_5_percent():
    corrected, plain = false_wins(20)
    assert corrected <= 0.05
    assert plain >= 0.3, "uncorrected, the best of many wins by luck: the simulation can fail"


@pytest.mark.slow
def test_twenty_identical_arms_in_many_repetitions():
    corrected, plain = false_wins(200)
    assert corrected <= 0.05 and plain >= 0.3


def test_a_truly_better_arm_is_found_among_identical_ones():
    y, tried, groups = trial(1, [1.0] * 6 + [1.9, 0.2], n_groups=300)
    found = statistics.compare_arms(ACCURACY, y, tried, [(a, 0) for a in range(1, 8)], groups, 400, 0)
    verdicts = [c.verdict for c in found.comparisons]
    assert verdicts[5:] == ["better", "worse"] and set(verdicts[:5]) == {"can't tell"}
    assert found.mean_A.argmax() == 6 and found.factor > 1.96
    assert all(c.low < c.delta < c.high for c in found.comparisons)


def test_more_comparisons_make_wider_intervals():
    y, tried, groups = trial(2, [1.0] * 12)
    few = statistics.compare_arms(ACCURACY, y, tried, [(1, 0)], groups, 400, 0)
    many = statistics.compare_arms(ACCURACY, y, tried, [(a, 0) for a in range(1, 12)], groups, 400, 0)
    assert many.factor > 1.15 * few.factor
    assert many.comparisons[0].delta == few.comparisons[0].delta


def test_luck_of_the_seeds_widens_the_interval_and_one_seed_is_told():
    y, tried, groups = trial(3, [1.0, 1.0])
    spread = [[tried[0][0], tried[0][0]], [tried[1][0], np.roll(tried[1][1], 1, axis=1)]]
    steady = [[tried[0][0]] * 2, [tried[1][0]] * 2]
    wide, narrow = (
        statistics.compare_arms(ACCURACY, y, some, [(1, 0)], groups, 400, 0).comparisons[0]
        for some in (spread, steady)
    )
    assert wide.high - wide.low > 2 * (narrow.high - narrow.low)
    alone = statistics.compare_arms(ACCURACY, y, [a[:1] for a in tried], [(1, 0)], groups, 400, 0)
    assert "one seed" in alone.comparisons[0].note and np.isnan(alone.spread_A).all()


def test_a_loss_counts_the_other_way_round():
    y, tried, groups = trial(4, [1.0, 2.5], n_groups=300)
    log_loss = metrics.get("log_loss")
    found = statistics.compare_arms(log_loss, y, tried, [(1, 0)], groups, 300, 0)
    assert found.comparisons[0].verdict == "better" and found.mean_A[1] < found.mean_A[0]


def test_the_same_arm_twice_is_no_difference():
    y, tried, groups = trial(5, [1.0])
    same = statistics.compare_arms(ACCURACY, y, [tried[0], tried[0]], [(1, 0)], groups, 100, 0).comparisons[0]
    assert same.delta == 0 and same.verdict == "can't tell" and same.low < 0 < same.high
    assert dataclasses.asdict(same)["n_groups"] == 120


def test_the_more_is_tried_the_wider_the_interval():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 200)
    new, old = (rng.dirichlet(np.ones(3), 200).astype(np.float32) for _ in range(2))
    groups = np.array([str(i // 2) for i in range(200)])
    one, five, same = (
        statistics.compare_tried(ACCURACY, y, sides, groups, 1000, 0, tries)
        for sides, tries in (((new, old), 1), ((new, old), 5), ((old, old), 5))
    )
    assert one.delta == five.delta and one.high - one.low < five.high - five.low
    assert (same.low, same.high, same.verdict) == (0, 0, "can't tell")
