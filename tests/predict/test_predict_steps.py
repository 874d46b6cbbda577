"""Each decision step is applied again from what decision.json holds, exactly as it was fitted."""

import json
from pathlib import Path

import numpy as np
import pytest

from pipeline.core import metrics
from pipeline.core.predictions import Probabilities
from pipeline.core.samples import Attribute, LabelSpace, strings
from pipeline.core.targets import Target
from pipeline.ensemble.decision import ClassScales, GroupAverage, Rows
from pipeline.ensemble.new_class import NewClass
from pipeline.ensemble.priors import PriorCorrection
from pipeline.ensemble.thresholds import Clip, CutPoints, Round, Thresholds
from pipeline.predict import folder, steps
from pipeline.settings.decision import DECISION_STEPS

N = 60
RNG = np.random.default_rng(0)
GRADES = LabelSpace.product([Attribute("grade", ("0", "1", "2", "3"), constant_in_group=True)])
LABELS = LabelSpace.independent(
    [Attribute("red", ("no", "yes"), constant_in_group=True), Attribute("size", ("s", "m", "l"))]
)
VALUES = LabelSpace.numbers(["height", "width"])
GROUPS = strings([f"g{n // 3}" for n in range(N)])


def data_of(space):
    """(predictions, truth) that a step can improve."""
    if space.kind == "exclusive":
        y = RNG.integers(0, space.n_classes, N)
        p = RNG.dirichlet(np.ones(space.n_classes), N) + 0.3 * np.eye(space.n_classes)[y]
        return (p / p.sum(1, keepdims=True)).astype(np.float32), y
    if space.kind == "labels":
        y = np.c_[RNG.integers(0, 2, N), np.eye(3)[RNG.integers(0, 3, N)]].astype(np.float32)
        noisy = 0.3 * y + 0.6 * RNG.random(y.shape)
        return Target.of(space).normalised(noisy), y
    y = RNG.integers(1, 6, (N, 2)).astype(np.float32)
    return (0.8 * y + RNG.normal(size=y.shape)).astype(np.float32), y


def fitted(name, space, **more):
    target, qwk = Target.of(space), metrics.get("qwk")
    made = {
        "class_scales": lambda: ClassScales(metrics.get("macro_f1"), 0.01, space.classes),
        "thresholds": lambda: Thresholds(metrics.get("macro_f1"), 0.01, target),
        "cut_points": lambda: CutPoints(qwk, 0.0, target),
        "new_class": lambda: NewClass(metrics.get("map@3"), 2, "2"),
        "clip": lambda: Clip(target),
        "round": lambda: Round(),
        "group_average": lambda: GroupAverage(space, "groups"),
        "prior_correction": lambda: PriorCorrection(
            np.full(space.n_classes, 1 / max(space.n_classes, 3)), more["prior"], target
        ),
    }
    return made[name]()


@pytest.mark.parametrize(
    ("name", "space", "more"),
    [
        ("class_scales", GRADES, {}),
        ("thresholds", LABELS, {}),
        ("cut_points", GRADES, {}),
        ("cut_points", VALUES, {}),
        ("new_class", GRADES, {}),
        ("clip", VALUES, {}),
        ("round", VALUES, {}),
        ("group_average", GRADES, {}),
        ("group_average", LABELS, {}),
        ("prior_correction", GRADES, {"prior": "table"}),
        ("prior_correction", GRADES, {"prior": "estimated"}),
        ("prior_correction", LABELS, {"prior": "uniform"}),
        ("prior_correction", LABELS, {"prior": "estimated"}),
    ],
)
def test_from_its_facts_a_step_gives_the_same_bits(name, space, more):
    p, y = data_of(space)
    ids = strings([f"{n}" for n in range(N)])
    rows = Rows(ids, GROUPS, np.unique(GROUPS, return_inverse=True)[1])
    step = fitted(name, space, **more).fit(p, y, rows)
    wanted = step.apply(p, rows)
    facts = json.loads(json.dumps(step.facts))
    assert steps.fault_of(name, facts) == ""
    kept = folder.Step(name=name, fitted=facts, groups="table")
    given = Probabilities.of(Target.of(space), ids, p, "p")
    found = steps.decide(Path(), [kept], space, given, GROUPS)
    assert np.array_equal(found.p.p_NC, wanted)
    assert bool(found.notes) == (name == "group_average" or more.get("prior") == "estimated")


def test_every_step_of_the_settings_can_be_packed():
    assert set(steps.STEPS) == set(steps.NEEDS) == set(DECISION_STEPS)


def test_a_step_of_another_version_is_refused_in_words():
    assert steps.fault_of("spell", {}) == "it is not known how to apply it again"
    assert steps.fault_of("cut_points", {"cut_points": []}) == "decision.json does not hold lowest"
