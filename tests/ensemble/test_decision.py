"""Steps are cross-fitted, tested with a corrected interval, and applied to both sets in the same way."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from test_decision_steps import imbalanced

from pipeline.core import metrics
from pipeline.core.predictions import Probabilities
from pipeline.ensemble import decision, texts
from pipeline.ensemble.decision import ClassScales, FittedStep, Rows
from pipeline.ensemble.priors import PriorCorrection

MACRO = metrics.get("macro_f1")
CLASSES = tuple("abcdef")
JUDGE = decision.Criterion(MACRO, 200, 0)


def known(n=600, seed=0, parts=5, skill=2.0):
    p, y = imbalanced(n, seed, skill)
    ids = np.array([f"{i:05d}" for i in range(n)])
    rows = Rows(ids, ids, np.arange(n))
    at = tuple(np.arange(n)[k::parts] for k in range(parts))
    return decision.Labelled(Probabilities(ids, CLASSES, p, "oof"), y, rows, at)


def test_set(n=300, seed=50):
    found = known(n, seed)
    return found.oof, found.rows, found.y_N


test_set.__test__ = False


@dataclass(frozen=True)
class Watched:
    """Moves probability to the commonest label it was shown, and writes down what it saw."""

    seen: list
    name: str = "watched"
    off: str = ""

    def fit(self, p_NC, y_N, rows):
        self.seen.append((frozenset(rows.ids_N.tolist()), y_N.sum()))
        return FittedStep(lambda p, shown: p, "nothing")


@dataclass(frozen=True)
class Noise:
    """Shakes probabilities by seed and id: neither better nor worse."""

    seed: int
    name: str = "noise"
    off: str = ""

    def fit(self, p_NC, y_N, rows):
        def shake(p, shown):
            rng = np.random.default_rng([self.seed, len(p)])
            q = p * np.exp(0.5 * rng.normal(size=p.shape))
            return (q / q.sum(axis=1, keepdims=True)).astype(np.float32)

        return FittedStep(shake, "noise")


def scales_step(shrink=0.1):
    return ClassScales(MACRO, shrink, CLASSES)


def test_a_part_is_processed_by_steps_fitted_without_it():
    seen, k = [], known()
    test, rows, _ = test_set()
    decision.decide([Watched(seen)], k, test, rows, JUDGE)
    everyone = frozenset(k.oof.ids_N.tolist())
    shown = [ids for ids, _ in seen]
    assert shown[0] == everyone
    for at, ids in zip(k.parts, shown[1:], strict=True):
        assert ids == everyone - frozenset(k.oof.ids_N[at].tolist())


def test_labels_of_a_part_do_not_change_its_own_decision():
    k = known()
    test, rows, _ = test_set()
    judge = decision.Criterion(MACRO, 200, 0, "always")
    steps = [scales_step(0.0), scales_step(0.0)]
    before = decision.decide(steps, k, test, rows, judge).oof.p_NC[k.parts[2]]
    turned = k.y_N.copy()
    turned[k.parts[2]] = np.random.default_rng(0).permutation(turned[k.parts[2]])[::-1]
    after = decision.decide(steps, decision.Labelled(k.oof, turned, k.rows, k.parts), test, rows, judge)
    assert (after.oof.p_NC[k.parts[2]] == before).all()
    assert not (
        after.oof.p_NC[k.parts[1]] == decision.decide(steps, k, test, rows, judge).oof.p_NC[k.parts[1]]
    ).all()


def test_a_step_that_helps_is_kept_and_helps_on_the_test_set():
    k = known(2000)
    test, rows, y = test_set(4000)
    found = decision.decide([scales_step()], k, test, rows, JUDGE)
    (tried,) = found.tried
    assert found.adopted == ("class_scales",) and tried.effect.verdict == "better"
    gain = MACRO.score(y, found.test.p_NC) - MACRO.score(y, test.p_NC)
    assert gain > 0.02 and tried.effect.delta == pytest.approx(gain, abs=0.04)
    assert found.crossfitted == pytest.approx(MACRO.score(k.y_N, found.oof.p_NC))
    assert found.naive >= found.crossfitted and "optimistic" in str(tried) and "kept" in str(tried)
    assert set(tried.facts["scales"]) == set(CLASSES)


def test_a_step_that_does_not_help_is_reported_and_left_out():
    k = known()
    test, rows, _ = test_set()
    found = decision.decide([Noise(1), Noise(2)], k, test, rows, JUDGE)
    assert found.adopted == () and all("tried, left out" in str(t) for t in found.tried)
    assert (found.test.p_NC == test.p_NC).all() and (found.oof.p_NC == k.oof.p_NC).all()


def test_always_keeps_a_step_that_does_not_help():
    k = known()
    test, rows, _ = test_set()
    found = decision.decide([Noise(1)], k, test, rows, decision.Criterion(MACRO, 200, 0, "always"))
    assert found.adopted == ("noise",) and not (found.test.p_NC == test.p_NC).all()


def test_one_part_cannot_test_steps_and_a_step_that_is_off_says_why():
    k = known(parts=1)
    test, rows, _ = test_set()
    found = decision.decide([scales_step()], k, test, rows, JUDGE)
    assert found.adopted == () and texts.ONE_PART in str(found.tried[0])
    impure = ClassScales(MACRO, 0.1, CLASSES, off="impure")
    assert "switched off: impure" in str(decision.decide([impure], known(), test, rows, JUDGE).tried[0])


def test_a_second_step_works_on_the_result_of_the_first():
    """After the right prior there is nothing left to correct with the same one."""
    k = known(2000)
    test, rows, _ = test_set()
    shown = np.bincount(k.y_N, minlength=6) / len(k.y_N)
    steps = [PriorCorrection(shown, "uniform"), scales_step()]
    alone = decision.decide(steps[1:], k, test, rows, JUDGE).tried[0]
    both = decision.decide(steps, k, test, rows, JUDGE).tried
    assert both[0].adopted and both[1].effect.delta < alone.effect.delta / 2


@dataclass(frozen=True)
class Redraw:
    """Puts another draw of the same noise in place of the one that is there: exactly as good."""

    seed: int
    plain_NC: np.ndarray
    name: str = "redraw"
    off: str = ""

    def fit(self, p_NC, y_N, rows):
        noisy = Noise(self.seed).fit(None, None, None).apply(self.plain_NC, None)
        return FittedStep(lambda p, shown: noisy[[int(i) for i in shown.ids_N]], "another draw")


@pytest.mark.slow
def test_no_better_steps_are_kept_in_at_most_5_percent_of_repetitions():
    """Four steps that are exactly as good as what was there before, 200 times."""
    kept = 0
    for r in range(200):
        k = known(300, seed=1000 + r)
        draws = [Redraw(10 * r + s, k.oof.p_NC) for s in range(5)]
        first = replace(k.oof, p_NC=draws[0].fit(None, None, None).apply(None, k.rows))
        steps = [replace(d, name=f"redraw {n}") for n, d in enumerate(draws[1:])]
        test, rows, _ = test_set(20)
        kept += bool(decision.decide(steps, replace(k, oof=first), test, rows, JUDGE).adopted)
    assert kept <= 10 + 6, f"{kept} of 200"  # 5 % and two standard errors
