"""Causes of a gap where the target is labels that hold together, values or shares."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks import gap as planted
from pipeline.core import metrics
from pipeline.core.samples import Attribute, LabelSpace
from pipeline.core.seeds import rng
from pipeline.submit.gap import diagnosis, label_shift, leak
from pipeline.submit.gap.scene import Question, Submitted, in_units_of_score

DIGITS = np.arange(10)
# Three labels of a digit, and one that never varies.
HOLDS = np.stack([DIGITS % 2, DIGITS >= 5, DIGITS == 0, DIGITS < 0], axis=1).astype(np.float32)
LABELS = LabelSpace.independent([Attribute(n, ("0", "1")) for n in ("odd", "large", "zero", "none")])
SPACES = {
    "labels": (LABELS, HOLDS, "macro_f1"),
    "values": (LabelSpace.numbers(["digit"]), DIGITS[:, None].astype(np.float32), "rmse"),
    "shares": (
        LabelSpace(
            (Attribute("digit", tuple("0123456789")),), tuple("0123456789"), DIGITS[:, None], "shares"
        ),
        np.eye(10, dtype=np.float32),
        "kl",
    ),
}


def of_kind(kind, scene, submitted):
    """The same images and predictions, of another kind of target."""
    space, of_digit, metric = SPACES[kind]
    truth = of_digit[scene.labels].copy()
    if kind == "labels":
        truth[::7, 1] = np.nan
    images = scene.images.assign(label=-1)
    seen = replace(scene, space=space, metric=metrics.get(metric), known=truth, images=images)
    oof, test = (np.asarray(p @ of_digit, np.float32) for p in (submitted.oof_KC, submitted.test_TC))
    return seen, Submitted(submitted.rows_K, oof, test)


def world(seed=5, by_image=False, **more):
    found = replace(planted.world(rng(seed, "scene"), **more), by_image=by_image)
    fold = np.unique(found.groups[: found.n_train], return_inverse=True)[1] % 3
    if by_image:
        fold = np.arange(found.n_train) % 3
    plan = [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(3)]
    return planted.scene_of(found, plan, 0), planted.predict(found, plan)


@pytest.fixture(scope="module")
def leaking():
    return world(by_image=True)


@pytest.fixture(scope="module")
def shifted():
    priors = np.where(DIGITS % 2, 0.17, 0.03)
    return world(test_priors=priors)


@pytest.mark.parametrize("kind", SPACES)
def test_a_leak_is_measured_for_every_kind(kind, leaking):
    seen, submitted = of_kind(kind, *leaking)
    found, copies = leak.check(seen, shifted=False)
    assert found.found and not copies.found
    # A share of right look-ups is no change of these scores.
    assert found.effect is None and found.direction == -int(seen.metric.sign)
    told = diagnosis.diagnose(seen, submitted, None, Question("x", None, None, 100))
    assert told.causes[0].kind == "group_leak" and np.isfinite([told.band.low, told.band.high]).all()


def test_labels_that_are_more_frequent_are_named_one_at_a_time(shifted):
    seen, submitted = of_kind("labels", *shifted)
    cause = label_shift.check_columns(seen, submitted, reliable=True)
    assert cause.found and cause.effect is None and "prior_correction" in cause.answer
    assert cause.headline.startswith("1 of 3 labels") and "odd 5" in cause.headline
    unsure = label_shift.check_columns(seen, submitted, reliable=False)
    assert not unsure.found and "the images differ" in unsure.headline


def test_labels_of_a_sound_world_are_as_frequent(leaking):
    seen, submitted = of_kind("labels", *world(seed=6))
    cause = label_shift.check_columns(seen, submitted, reliable=True)
    assert not cause.found and "smallest p" in cause.headline


def test_values_have_no_label_shift_and_say_so(shifted):
    seen, submitted = of_kind("values", *shifted)
    told = diagnosis.diagnose(seen, submitted, None, Question("x", None, None, 100))
    cause = next(c for c in told.causes if c.kind == "label_shift")
    assert not cause.found and "no labels to count" in cause.headline


def test_agreement_leaves_unknown_truth_out(leaking):
    seen, _ = of_kind("labels", *leaking)
    nan = np.nan
    one = np.array([[1, 0, nan, 0], [nan, nan, nan, nan]], np.float32)
    other = np.array([[1, 1, 1, 0], [1, 1, 1, 1]], np.float32)
    assert seen.agreement(one, other).tolist() == [2 / 3, 0]
    values, _ = of_kind("values", *leaking)
    near = values.agreement(np.array([[3.0], [3.0]], np.float32), np.array([[3.1], [4.0]], np.float32))
    assert near.tolist() == [1, 0]
    accuracy, f1 = metrics.get("accuracy"), metrics.get("macro_f1")
    assert in_units_of_score(accuracy, 0.1, "labels") == 0.1 and in_units_of_score(f1, 0.1, "labels") is None
