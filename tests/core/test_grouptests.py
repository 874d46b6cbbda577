"""False positives with 7 photos a group, where photos of one group fail together."""

import numpy as np
import pytest

from pipeline.core.group_resampling import numbered, sign_flips, sums_by_group
from pipeline.core.seeds import rng

PHOTOS = 7
TRIALS = 400


def right_answers(generator: np.random.Generator, n_groups: int) -> np.ndarray:
    """(2, N) two runs of equal skill; groups are hard for one run and easy for the other by chance."""
    skill_2G = 0.8 + 0.6 * generator.standard_normal((2, n_groups))
    latent = np.repeat(skill_2G, PHOTOS, axis=1) + 0.5 * generator.standard_normal((2, n_groups * PHOTOS))
    return latent > 0


def shares_of_findings(n_groups: int, slices: int) -> tuple[float, float]:
    """How often something is found where there is nothing: by groups, and image by image."""
    generator = rng(0, "null", n_groups, slices)
    group_N = np.repeat(np.arange(n_groups), PHOTOS)
    by_group = by_image = 0
    for trial in range(TRIALS):
        new_N, old_N = right_answers(generator, n_groups)
        member_NK = generator.random((len(group_N), slices)) < 0.4
        member_NK[:, 0] = True
        gain_NK = (new_N.astype(float) - old_N)[:, None] * member_NK
        by_group += sign_flips(sums_by_group(gain_NK, group_N, n_groups), trial, "t", draws=399).found_K.any()
        by_image += sign_flips(gain_NK, trial, "t", draws=399).found_K.any()
    return by_group / TRIALS, by_image / TRIALS


@pytest.mark.parametrize(("n_groups", "slices"), [(60, 1), (60, 12), (25, 6)])
def test_false_positives_stay_at_five_percent_and_images_alone_would_fool(n_groups, slices):
    by_group, by_image = shares_of_findings(n_groups, slices)
    assert 0.03 <= by_group <= 0.07, f"{by_group:.3f}"
    assert by_image > 0.15, f"{by_image:.3f}"


def test_a_true_difference_is_found_and_the_interval_says_the_same():
    generator = rng(1, "effect")
    group_N = np.repeat(np.arange(120), PHOTOS)
    gain_NK = (generator.random((len(group_N), 3)) < 0.2) * 1.0 - (generator.random((len(group_N), 3)) < 0.2)
    gain_NK[:, 1] += generator.random(len(group_N)) < 0.1
    sums = sums_by_group(gain_NK, group_N, 120)
    found = sign_flips(sums, 0, "t")
    assert found.found_K.tolist() == [False, True, False]
    reach_K = found.factor * np.sqrt((sums**2).sum(axis=0))
    assert ((np.abs(sums.sum(axis=0)) > reach_K) == found.found_K).all()
    assert not sign_flips(-sums, 0, "t", side="above").found_K.any()


def test_sums_and_empty_cases():
    group_N, n_groups = numbered(np.array(["b", "a", "b", "c"]))
    sums = sums_by_group(np.array([[1.0], [2.0], [3.0], [4.0]]), group_N, n_groups)
    assert sums[:, 0].tolist() == [2.0, 4.0, 4.0]
    nothing = sign_flips(np.zeros((5, 2)), 0, "t")
    assert nothing.p_K.tolist() == [1.0, 1.0] and not nothing.found_K.any()
    # Four groups cannot be surprising: the smallest possible p is 1/8.
    assert sign_flips(np.ones((4, 1)), 0, "t").p_K[0] > 0.1
    assert np.isnan(sign_flips(np.zeros((5, 0)), 0, "t").factor)
