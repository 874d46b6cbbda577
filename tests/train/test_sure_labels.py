"""Pseudo-labels of labels: sure cells of both answers, in the proportion that the teachers expect."""

import numpy as np
import pytest

from pipeline.core.errors import ConfigError
from pipeline.core.samples import Attribute, LabelSpace, Samples
from pipeline.core.targets import Target
from pipeline.resample.indices import Part
from pipeline.settings.members import PseudoSettings
from pipeline.train import teacher_labels

TWO = ("no", "yes")
SPACE = LabelSpace.independent([Attribute("a", TWO), Attribute("grade", ("x", "y", "z"))])
TARGET = Target.of(SPACE)


def said(n=200, share=0.1, seed=0):
    """Probabilities of a rare label that are right about its frequency, and of levels."""
    draw = np.random.default_rng(seed)
    a = np.where(draw.random(n) < share, draw.uniform(0.6, 1, n), draw.uniform(0, 0.15, n))
    levels = draw.dirichlet([0.3] * 3, n)
    return np.column_stack([a, levels]).astype(np.float32)


def test_a_rare_label_does_not_become_rarer():
    p = said()
    sure = teacher_labels.sure_labels(TARGET, p, PseudoSettings(threshold=0.9))[:, 0]
    held, not_ = np.flatnonzero(sure == 1), np.flatnonzero(sure == 0)
    assert (p[held, 0] >= 0.9).all() and (p[not_, 0] <= 0.1).all()
    assert len(held) / (len(held) + len(not_)) == pytest.approx(p[:, 0].mean(), abs=0.03)
    # The most certain ones are kept.
    left = (p[:, 0] <= 0.1) & np.isnan(sure)
    assert p[not_, 0].max() <= p[left, 0].min()


def test_a_label_that_is_sure_on_one_side_only_is_not_learned():
    p = said(share=0.0)
    assert np.isnan(teacher_labels.sure_labels(TARGET, p, PseudoSettings(threshold=0.9))[:, 0]).all()


def test_levels_are_adopted_as_classes_are():
    p = said()
    sure = teacher_labels.sure_labels(TARGET, p, PseudoSettings(threshold=0.9))[:, 1:]
    known = ~np.isnan(sure).any(1)
    assert (known == (p[:, 1:].max(1) >= 0.9)).all()
    assert (sure[known].argmax(1) == p[known, 1:].argmax(1)).all() and (sure[known].sum(1) == 1).all()


def test_adopted_images_join_the_part_with_unknown_cells():
    ids = np.array([f"u{n:03}" for n in range(200)])
    candidates = Samples(ids, ids, ids, SPACE, None, "unlabelled")
    found = teacher_labels.adopted_labels(candidates, said(), PseudoSettings(threshold=0.9))
    assert (found.chosen_U == found.sure_UC.any(1)).all() and 0 < found.chosen_U.sum() < 200
    own = np.array(["o1", "o2"])
    y = np.array([[1, 0, 1, 0], [0, 1, 0, 0]], np.float32)
    part = Part(Samples(own, own, own, SPACE, None, "train", y_NK=y), 0)
    some = candidates.take(ids[found.chosen_U])
    joined = teacher_labels.join(part, some, found.truth_U[found.chosen_U]).samples
    assert len(joined) == 2 + found.chosen_U.sum() and np.isnan(joined.y_NK[2:]).any()
    np.testing.assert_array_equal(joined.y_NK[:2], y)
    assert found.table["adopted"].sum() == int((np.nan_to_num(found.truth_U) > 0.5).sum())


def test_values_are_never_sure():
    space = LabelSpace.numbers(["x"])
    ids = np.array(["u"])
    with pytest.raises(ConfigError, match=r"train\.pseudo needs"):
        teacher_labels.adopted_labels(
            Samples(ids, ids, ids, space, None, "unlabelled"), np.ones((1, 1), np.float32), PseudoSettings()
        )
