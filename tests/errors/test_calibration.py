from dataclasses import replace

import numpy as np
import pytest
from analyze_cases import case
from section_world import section_of

from pipeline.core.seeds import rng
from pipeline.core.voting import stacking
from pipeline.errors.findings.calibration import CalibrationInputs, by_answer, log_loss_change, section, trust

PHOTOS, CLASSES = 7, ("a", "<b>b</b>", "c")


def world(n_groups: int, sharpness: float, seed: int = 0, by_group: float = 0.0) -> CalibrationInputs:
    """Labels drawn from the probabilities, which are then sharpened: 1 is perfectly calibrated."""
    generator = rng(seed, "calibration", n_groups)
    logits = generator.normal(size=(n_groups * PHOTOS, 3)) * 1.3
    logits += by_group * np.repeat(generator.normal(size=(n_groups, 3)), PHOTOS, axis=0)
    p = np.exp(logits)
    p /= p.sum(axis=1, keepdims=True)
    y = (p.cumsum(axis=1) > generator.random((len(p), 1))).argmax(axis=1)
    sharp = p**sharpness
    sharp = (sharp / sharp.sum(axis=1, keepdims=True)).astype(np.float32)
    groups = np.repeat([f"g{k}" for k in range(n_groups)], PHOTOS)
    fitted = stacking.fit_temperature(sharp, y)
    return CalibrationInputs(
        y,
        sharp,
        stacking.apply_temperature(sharp, fitted),
        fitted,
        groups,
        CLASSES,
        500,
        0,
        "make ensemble ARGS=ensemble.temperature=true",
    )


def trust_of(inputs: CalibrationInputs):
    return trust(inputs.y_N, inputs.before_NC, inputs.groups_N, inputs.draws, inputs.seed)


def test_figures_by_hand():
    p = np.array([[0.95, 0.05], [0.95, 0.05], [0.65, 0.35], [0.35, 0.65]], np.float32)
    found = trust(np.array([0, 1, 0, 1]), p, np.array(list("abcd")), 200, 0)
    assert found.confidence_K == pytest.approx([0.65, 0.95]) and found.right_K == pytest.approx([1.0, 0.5])
    assert found.error == pytest.approx((0.35 + 0.45) / 2) and found.excess == pytest.approx(0.05)
    assert found.excess_low <= found.excess <= found.excess_high


def test_an_oversure_run_is_told_and_temperature_helps():
    inputs = world(150, 3.0)
    before = trust_of(inputs)
    assert before.conclusion == "overconfident" and before.error_low > before.by_noise
    after = trust_of(replace(inputs, before_NC=inputs.after_NC))
    assert after.conclusion == "can't tell" and after.error < before.error / 2
    change, low, high = log_loss_change(inputs)
    assert low < change < high < 0 and inputs.temperature == pytest.approx(3.0, rel=0.2)
    assert (by_answer(inputs)["conclusion"] == "overconfident").all()
    assert trust_of(world(150, 0.4)).conclusion == "underconfident"


def test_a_calibrated_run_is_seldom_accused():
    """Measured over 60 worlds; 5 % are expected, and the error's noise floor holds."""
    worlds = [world(60, 1.0, seed) for seed in range(60)]
    accused = [trust_of(w) for w in worlds]
    assert sum(t.conclusion != "can't tell" for t in accused) <= 8
    assert sum(t.error > t.by_noise for t in accused) <= 8
    assert sum((by_answer(w)["conclusion"] != "can't tell").any() for w in worlds) <= 8


def test_one_group_tells_nothing():
    inputs = world(40, 3.0)
    one = replace(inputs, groups_N=np.full(len(inputs.y_N), "g"))
    assert trust_of(one).conclusion == "can't tell"
    assert set(by_answer(one)["conclusion"]) == {"can't tell"}


def test_the_section_says_it_and_names_the_command():
    shown = section_of(section(world(150, 3.0)), case())
    assert "It is overconfident" in shown and "ensemble.temperature=true" in shown and "helps" in shown
    assert "<b>b</b>" not in shown and "&lt;b&gt;b&lt;/b&gt;" in shown
    bare = section_of(section(replace(world(60, 1.0), after_NC=None)), case())
    assert "could not be tested" in bare and "with temperature" not in bare


def test_a_command_stands_only_where_temperature_helps_and_a_blend_is_told_otherwise():
    oversure, fine = world(150, 3.0), world(150, 1.0)
    assert "its weight in a blend" in section(oversure).values["temperature"]
    blended = section(replace(oversure, blended=True)).values["temperature"]
    assert "does not change the labels of a blend" in blended and "ensemble.temperature=true" in blended
    assert "can't tell whether it helps" in section(fine).values["temperature"]
    assert "make ensemble" not in section(fine).values["temperature"]
