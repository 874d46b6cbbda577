"""Planted faults: what is planted, and that finding is counted rightly."""

from dataclasses import replace

import cv2
import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_digits
from suspects_world import spoilt as spoilt_world

from pipeline.data.decode import phash
from pipeline.errors.findings import planting
from pipeline.errors.findings.planting import COUNTS, FINDER, UNIT, by_finder
from pipeline.errors.findings.slices import SliceInputs
from pipeline.settings.eda import EdaSettings
from pipeline.settings.report import FinderSettings


@pytest.fixture(scope="module")
def world():
    return spoilt_world(n_groups=120, share=0.0)


def counted(units):
    return by_finder(pd.DataFrame(units, columns=[FINDER, UNIT, *COUNTS]))


def test_labels_are_turned_one_by_one_and_group_by_group(world):
    space = world.clean.space
    labels_N = planting.changed_labels(world.clean, 3)
    assert (labels_N == planting.changed_labels(world.clean, 3)).all()
    assert (labels_N != planting.changed_labels(world.clean, 4)).any()
    size, parity = (space.codes_CA[world.clean.labels, k] != space.codes_CA[labels_N, k] for k in (0, 1))
    groups = world.clean.groups_N
    turned = np.unique(groups[size])
    assert len(turned) == round(0.06 * 120) and size[np.isin(groups, turned)].all(), "whole groups"
    assert parity.sum() == round(0.06 * 600)


def test_turned_labels_are_found_and_thresholds_matter(world):
    labels_N = planting.changed_labels(world.clean, 1)

    def found(**settings):
        units = planting.found_labels(
            world.oof, world.clean, labels_N, world.features, FinderSettings(**settings)
        )
        return counted(units)["labels"]

    _, precision, recall = found()
    sure_f1, sure, fewer = found(suspect_margin=0.5, suspect_witnesses=2)
    assert recall > 0.8 and sure > precision and fewer < recall and sure_f1 > 0
    nothing = planting.found_labels(
        world.oof, world.clean, labels_N, None, FinderSettings(suspect_witnesses=4)
    )
    assert sum(u[2] for u in nothing) == 0 and sum(u[3] for u in nothing) == (
        len(np.unique(world.clean.groups_N[labels_N // 2 != world.clean.labels // 2])) + 36
    )


@pytest.fixture(scope="module")
def pictures():
    """Digits on grounds of their own, so that they are no copies of each other."""
    generator = np.random.default_rng(0)
    made = []
    for image in load_digits().images[:80]:
        ground = cv2.resize(generator.integers(0, 255, (4, 4, 3), dtype=np.uint8), (64, 64))
        ground[16:48, 16:48] //= 2
        ground[16:48, 16:48] += cv2.resize((image * 7).astype(np.uint8), (32, 32))[..., None]
        made.append(ground)
    return made


def test_copies_are_found_with_their_originals_and_strictness_costs_some(pictures):
    of_K = planting.copied(len(pictures), 5)
    assert len(set(of_K.tolist())) == len(of_K) == 8
    copies = [planting.altered(pictures[k], 5, str(k)) for k in of_K]
    assert all(c.shape != pictures[0].shape or (c != pictures[0]).any() for c in copies)
    every = [*pictures, *copies]
    hashes = np.array([int(phash(cv2.cvtColor(p, cv2.COLOR_RGB2GRAY)), 16) for p in every], np.uint64)
    thumbs = np.stack([planting.thumb(p) for p in every])
    groups_N = np.array([f"g{n}" for n in range(len(pictures))])

    def found(**settings):
        units = planting.found_copies(hashes, thumbs, of_K, groups_N, EdaSettings(**settings))
        return np.array([u[2:] for u in units]).sum(axis=0)

    assert found().tolist() == [8, 0, 0]
    assert found(near_match=1.0).tolist() == [0, 8, 0], "the new setting is read"
    strangers = thumbs.copy()
    strangers[1] = strangers[2] = thumbs[of_K[0]]
    same = hashes.copy()
    same[1] = same[2] = hashes[of_K[0]]
    units = planting.found_copies(same, strangers, of_K, groups_N, EdaSettings())
    assert {u[1] for u in units if u[4]} >= {"g1", "g2"} - {f"g{of_K[0]}"}, "strangers are false alarms"


def test_spoilt_slices_are_found_and_quiet_predictions_give_no_alarms(world):
    generator = np.random.default_rng(1)
    n = len(world.clean)
    facts = pd.DataFrame(
        {
            "id": world.clean.ids_N,
            "width": 64,
            "height": 64,
            **{name: generator.normal(size=n) for name in ("brightness", "contrast", "blur")},
        }
    )
    planted = list(planting.worsened_slices(world.clean, world.clean.labels, facts, 0))
    assert [" and " in s.name for s in planted] == [False, False, True, True]
    for one in planted:
        wrong = one.predicted_N != world.clean.labels
        assert wrong.any() and one.inside_N[wrong].all()
    inputs = SliceInputs(world.clean, world.clean.ids_N, world.clean.labels, facts, 0)
    _, precision, recall = counted(planting.found_slices(inputs, planted))["slices"]
    assert recall >= 0.5 and precision == 1.0
    strict = replace(inputs, settings=FinderSettings(slice_groups=500))
    assert sum(u[2] for u in planting.found_slices(strict, planted)) == 0
