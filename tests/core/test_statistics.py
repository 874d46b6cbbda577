"""The group bootstrap: reproducible, paired, by whole groups, and about as wide as it should be."""

import time

import numpy as np
import pytest

from pipeline.core import group_resampling, metrics, statistics
from pipeline.core.predictions import Comparison
from pipeline.core.seeds import rng

MACRO = metrics.get("macro_f1")

# The metrics of one true class a row; those of rankings, labels and values are in test_matrix_metrics.py.
CLASSIC = ("accuracy", "auc", "balanced_accuracy", "log_loss", "macro_f1", "mcc", "qwk", "weighted_f1")


def draw(seed, n=400, c=5, groups=350, skill=1.2):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, c, n)
    x = rng.normal(size=(n, c))
    x[np.arange(n), y] += skill
    p = np.exp(x)
    names = np.array([f"g{g}" for g in rng.integers(0, groups, n)])
    return y, (p / p.sum(axis=1, keepdims=True)).astype(np.float32), names


def test_same_seed_same_interval_and_another_seed_another():
    y, p, groups = draw(0)
    first = statistics.interval(MACRO, y, p, groups, 200, 1)
    assert first == statistics.interval(MACRO, y, p, groups, 200, 1)
    assert first != statistics.interval(MACRO, y, p, groups, 200, 2)
    assert first.value == MACRO.score(y, p)
    assert first.low < first.value < first.high


def test_row_order_and_group_names_do_not_matter_beyond_their_order():
    y, p, groups = draw(0)
    shuffled = np.random.default_rng(1).permutation(len(y))
    a = statistics.interval(MACRO, y, p, groups, 100, 1)
    b = statistics.interval(MACRO, y[shuffled], p[shuffled], groups[shuffled], 100, 1)
    assert (a.low, a.high) == pytest.approx((b.low, b.high))


@pytest.mark.parametrize("name", CLASSIC)
def test_fast_path_equals_rows_listed_one_by_one_on_the_same_draws(name):
    y, p, groups = draw(4, n=60, c=3, groups=25)
    _, other, _ = draw(5, n=60, c=3)
    metric, draws, seed = metrics.get(name), 40, 3
    unique = np.unique(groups)
    drawn = rng(seed, "group bootstrap").integers(0, len(unique), (draws, len(unique)))
    rows_of = [np.flatnonzero(groups == g) for g in unique]
    gains, scores = [], []
    for picks in drawn:
        index = np.concatenate([rows_of[g] for g in picks])
        scores.append(metric.score(y[index], p[index]))
        gains.append(metric.sign * (scores[-1] - metric.score(y[index], other[index])))
    found = statistics.interval(metric, y, p, groups, draws, seed)
    assert (found.low, found.high) == pytest.approx(tuple(np.percentile(scores, [2.5, 97.5])))
    versus = statistics.compare(metric, y, p, other, groups, draws, seed)
    reach = 1.96 * np.std(gains)
    assert (versus.low, versus.high) == pytest.approx((versus.delta - reach, versus.delta + reach))
    assert versus.p_better == pytest.approx(np.mean(np.array(gains) > 0))


def test_blocks_do_not_change_the_draws(monkeypatch):
    y, p, groups = draw(0)
    whole = statistics.interval(MACRO, y, p, groups, 100, 1)
    monkeypatch.setattr(group_resampling, "BLOCK_NUMBERS", 1500)
    assert statistics.interval(MACRO, y, p, groups, 100, 1) == whole


@pytest.mark.parametrize("name", CLASSIC)
def test_identical_predictions_give_exactly_nothing(name):
    y, p, groups = draw(1)
    same = statistics.compare(metrics.get(name), y, p, p.copy(), groups, 50, 0)
    assert (same.delta, same.low, same.high, same.p_better) == (0, 0, 0, 0.5)
    assert same.verdict == "can't tell"
    assert statistics.groups_to_tell(same) is None


@pytest.mark.parametrize("name", CLASSIC)
def test_a_clearly_better_one_is_better_and_turned_round_worse(name):
    y, strong, groups = draw(2, skill=3.0)
    _, weak, _ = draw(2, skill=0.3)
    up = statistics.compare(metrics.get(name), y, strong, weak, groups, 200, 0)
    down = statistics.compare(metrics.get(name), y, weak, strong, groups, 200, 0)
    assert (up.verdict, down.verdict) == ("better", "worse")
    assert up.delta > 0 > down.delta == -up.delta
    assert (up.p_better, down.p_better) == (1, 0)
    assert (down.low, down.high) == pytest.approx((-up.high, -up.low))


def test_pairing_matters():
    y, p, groups = draw(3)
    nudged = p.copy()
    nudged[::40] = np.eye(5, dtype=np.float32)[y[::40]]
    paired = statistics.compare(MACRO, y, nudged, p, groups, 300, 0)
    alone = statistics.interval(MACRO, y, p, groups, 300, 0)
    assert paired.high - paired.low < (alone.high - alone.low) / 2


def test_copies_within_a_group_are_no_evidence():
    y, p, _ = draw(6, n=150)
    y, p = np.repeat(y, 7), np.repeat(p, 7, axis=0)
    people = np.repeat(np.arange(150), 7).astype(str)
    photos = np.arange(len(y)).astype(str)
    by_person = statistics.interval(MACRO, y, p, people, 400, 0)
    by_photo = statistics.interval(MACRO, y, p, photos, 400, 0)
    ratio = (by_person.high - by_person.low) / (by_photo.high - by_photo.low)
    assert ratio == pytest.approx(7**0.5, rel=0.2)
    assert (by_person.n_groups, by_photo.n_groups) == (150, 1050)


def test_few_groups_are_noted_and_enough_are_not():
    y, p, _ = draw(7, n=600)
    few = np.arange(600) % (statistics.ENOUGH_GROUPS - 1)
    enough = np.arange(600) % statistics.ENOUGH_GROUPS
    assert (
        statistics.interval(MACRO, y, p, few.astype(str), 10, 0).note
        == "299 groups: few to resample, so the true interval is wider"
    )
    assert statistics.compare(MACRO, y, p, p, few.astype(str), 10, 0).note.startswith("299 groups")
    assert statistics.interval(MACRO, y, p, enough.astype(str), 10, 0).note == ""


def test_one_group_tells_nothing():
    y, strong, _ = draw(2, skill=3.0)
    _, weak, _ = draw(2, skill=0.3)
    one = statistics.compare(MACRO, y, strong, weak, np.full(len(y), "a"), 20, 0)
    assert (
        one.verdict == "can't tell" and one.note == "1 group: few to resample, so the true interval is wider"
    )
    assert statistics.groups_to_tell(one) is None


def test_coverage_on_simulated_data():
    # Accuracy of a known process: 95 % intervals from 300 groups must hold the truth about as often.
    truth, held, rounds = 0.7, 0, 120
    for seed in range(rounds):
        rng = np.random.default_rng(seed)
        y = rng.integers(0, 2, 300)
        pred = np.where(rng.random(300) < truth, y, 1 - y)
        found = statistics.interval(
            metrics.get("accuracy"), y, np.eye(2, dtype=np.float32)[pred], np.arange(300).astype(str), 300, 0
        )
        held += found.low <= truth <= found.high
    assert 0.88 <= held / rounds <= 0.995


def test_false_alarms_on_equally_good_predictions():
    alarms, rounds = 0, 80
    for seed in range(rounds):
        rng = np.random.default_rng(seed)
        y = rng.integers(0, 3, 300)
        new, old = (np.where(rng.random(300) < 0.6, y, (y + 1) % 3) for _ in range(2))
        eye = np.eye(3, dtype=np.float32)
        found = statistics.compare(MACRO, y, eye[new], eye[old], np.arange(300).astype(str), 200, 0)
        alarms += found.verdict != "can't tell"
    assert alarms / rounds <= 0.12


@pytest.mark.parametrize(
    ("delta", "low", "high", "groups", "expected"),
    [
        (0.01, -0.01, 0.03, 100, 400),  # half as far as it has to be: four times the groups
        (-0.01, -0.03, 0.01, 100, 400),
        (0.02, 0.01, 0.03, 100, 25),  # tells already: a quarter would do
        (0.0, -0.1, 0.1, 100, None),
    ],
)
def test_groups_to_tell(delta, low, high, groups, expected):
    found = Comparison(delta, low, high, 0.5, groups, "can't tell")
    assert statistics.groups_to_tell(found) == expected


def test_groups_to_tell_comes_true():
    # The same rows over and over, each copy a group of its own: the delta stays, the interval shrinks.
    y, p, _ = draw(8, n=80, c=3)
    p_old = (0.7 * p + 0.3 * np.roll(p, 1, axis=0)).astype(np.float32)

    def compared(times):
        groups = np.arange(80 * times).astype(str)
        tiled = [np.tile(a, (times, 1)) for a in (p, p_old)]
        return statistics.compare(MACRO, np.tile(y, times), *tiled, groups, 500, 0)

    needed = statistics.groups_to_tell(compared(1))
    assert needed is not None and 160 < needed < 4000
    assert compared(1).verdict == "can't tell"
    assert compared(round(needed / 80 * 0.6)).verdict == "can't tell"
    assert compared(round(needed / 80 * 1.6)).verdict in ("better", "worse")


@pytest.mark.parametrize("name", ["macro_f1", "log_loss"])
def test_a_whole_competition_takes_about_a_tenth_of_a_second(name):
    y, p, groups = draw(0, n=3000, c=18, groups=2500)
    start = time.process_time()
    statistics.interval(metrics.get(name), y, p, groups, 2000, 0)
    assert time.process_time() - start < 1.5


def test_memory_stays_flat():
    import tracemalloc

    y, p, groups = draw(0, n=50_000, c=18, groups=40_000)
    tracemalloc.start()
    statistics.interval(MACRO, y, p, groups, 30, 0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 60e6, f"{peak / 1e6:.0f} MB"
