"""`train.head_c=auto`: the penalty of a solved head, chosen by held-out groups of its training part."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from heads_world import head_job
from learn_world import all_rows

from pipeline.core.predictions import Features
from pipeline.core.samples import LabelSpace, Samples, strings
from pipeline.settings.loss import LossSettings
from pipeline.settings.train import TrainSettings
from pipeline.train import head_penalty, solved_heads
from pipeline.train.heads import HeadJob

N, D = 120, 60
AUTO = TrainSettings(strategy="linear_probe", head="logistic", head_c="auto")


def numbers(noise, copies=1):
    """A value that is a sum of features, and noise; every group has so many equal images."""
    draw = np.random.default_rng(0)
    x_ND = draw.normal(size=(N, D)).repeat(copies, axis=0)
    clean_N = x_ND @ draw.normal(size=D)
    y_N = clean_N + (noise * clean_N.std() * draw.normal(size=N)).repeat(copies)
    ids = strings([f"i{n}" for n in range(N * copies)])
    groups = strings([f"g{n // copies}" for n in range(N * copies)])
    y_NK = y_N[:, None].astype(np.float32)
    samples = Samples(ids, ids, groups, LabelSpace.numbers(["price"]), None, "train", y_NK=y_NK)
    return samples, Features(ids, ("identity",), x_ND[:, None].astype(np.float32), "digest")


def fit(samples, features, valid=None):
    n = len(samples) - 20
    part, valid = samples.take(samples.ids_N[:n]), valid or samples.take(samples.ids_N[n:])
    job = HeadJob(0, LossSettings(), AUTO, part, valid, features, all_rows(n), lambda y, p: 0.0)
    (found,) = solved_heads.fit_heads([job])
    return found


def chosen(*data):
    (entry,) = fit(*data).result.history
    return entry["head_c"]


def test_clean_values_get_a_weak_penalty_and_noisy_ones_a_strong_one():
    assert chosen(*numbers(noise=0.0)) > head_penalty.USUAL_C > chosen(*numbers(noise=5.0))


def test_copies_of_a_group_do_not_choose_a_penalty_that_knows_them_by_heart():
    assert chosen(*numbers(noise=5.0, copies=4)) < head_penalty.USUAL_C


def test_the_validation_part_has_no_say():
    samples, features = numbers(noise=1.0)
    valid = samples.take(samples.ids_N[-20:])
    other = replace(valid, y_NK=-valid.y_NK)
    first, second = (fit(samples, features, part).state for part in (valid, other))
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_classes_get_the_usual_penalty():
    job = head_job(head="logistic", head_c="auto")
    (own,) = solved_heads.fit_heads([job])
    assert own.result.history[0]["head_c"] == head_penalty.USUAL_C
    (named,) = solved_heads.fit_heads([head_job(head="logistic", head_c=head_penalty.USUAL_C)])
    np.testing.assert_array_equal(own.result.oof.p_NC, named.result.oof.p_NC)


def test_too_few_groups_to_choose_by_get_the_usual_penalty():
    samples, _ = numbers(noise=0.0)
    two = replace(samples, groups_N=strings(["a", "b"] * (N // 2)))
    assert head_penalty.chosen(two, lambda own, other, c: c) == head_penalty.USUAL_C


def test_many_samples_choose_by_some_whole_groups():
    n = 3 * head_penalty.ENOUGH
    ids = strings([f"i{k}" for k in range(n)])
    groups = strings([f"g{k // 7}" for k in range(n)])
    y_NK = np.zeros((n, 1), np.float32)
    samples = Samples(ids, ids, groups, LabelSpace.numbers(["price"]), None, "train", y_NK=y_NK)
    seen = []
    head_penalty.chosen(samples, lambda own, other, c: seen.append((own, other)) or c)
    for own, other in seen:
        assert not set(groups[own]) & set(groups[other])
        assert head_penalty.ENOUGH <= (own | other).sum() < head_penalty.ENOUGH + 7


@pytest.mark.parametrize("best", [1e-4, 0.03, 3.0])
def test_the_walk_finds_the_lowest_point_on_either_side(best):
    samples, _ = numbers(noise=0.0)
    found = head_penalty.chosen(samples, lambda own, other, c: abs(np.log10(c / best)))
    assert abs(np.log10(found / best)) < 0.3


def test_held_out_samples_do_not_help_to_standardise_themselves():
    own = np.array([[[1.0, 5.0]], [[3.0, 5.0]]], np.float32)
    other = np.array([[[2.5, 6.0]], [[9.0, 6.0]]], np.float32)
    first, second = head_penalty.standardised(own, other, n_beside=1)
    assert first[:, 0, 0].tolist() == [-1.0, 1.0]
    assert second[:, 0, 0].tolist() == [0.5, 1.0], "the second is cut at the end of the others"
    assert second[0, 0, 1] == 6.0, "metadata is standardised already, and has no ends"


@pytest.mark.parametrize(("groups", "size"), [(4, 300), (4, 1000), (10, 400)])
def test_a_few_large_groups_choose_too(groups, size):
    """Drives of a car, say: whole ones would be too many samples after the second."""
    n = groups * size
    ids = strings([f"i{k}" for k in range(n)])
    names = strings([f"g{k % groups}" for k in range(n)])
    y_NK = np.zeros((n, 1), np.float32)
    samples = Samples(ids, ids, names, LabelSpace.numbers(["angle"]), None, "train", y_NK=y_NK)
    seen = []
    found = head_penalty.chosen(
        samples, lambda own, other, c: seen.append((own, other)) or abs(np.log10(c / 3))
    )
    assert found == pytest.approx(3.0, rel=0.1)
    assert all(not set(names[own]) & set(names[other]) for own, other in seen)
