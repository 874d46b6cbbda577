"""Neighbours of doubtful flips: the nearest by hand, the right flips, each picture once, names as text."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from analyze_cases import HOSTILE, SPACE, case, compare_inputs

from pipeline.core.predictions import Features
from pipeline.core.seeds import rng
from pipeline.errors.diff import flip_cards
from pipeline.errors.page import analyze, render_html

MADE = case()
INPUTS = compare_inputs(MADE)
IMAGES = analyze(INPUTS).flips.images


def features(ids: np.ndarray, seed: int) -> Features:
    return Features(ids, ("identity",), rng(seed, "x").normal(size=(len(ids), 1, 5)).astype(np.float32), "d")


OF_TRAIN, OF_TEST = features(MADE.train.ids_N[::-1], 0), features(MADE.test.ids_N, 1)
KNOWN = (MADE.train, OF_TRAIN, OF_TEST)


def test_neighbours_are_the_nearest_by_cosine_with_their_labels():
    found = flip_cards.near(IMAGES, *KNOWN)
    assert set(found) == set(IMAGES["id"])
    x_ND = OF_TRAIN.take(MADE.train.ids_N).x_NVD[:, 0]
    unit_ND = x_ND / np.linalg.norm(x_ND, axis=1, keepdims=True)
    for name in (IMAGES["id"].iloc[0], HOSTILE[0]):
        if name not in found:
            continue
        like_N = unit_ND @ OF_TEST.take(np.array([name])).x_NVD[0, 0]
        rows = np.argsort(-like_N)[: flip_cards.NEAREST]
        assert found[name] == tuple((MADE.train.ids_N[row], MADE.train.labels[row]) for row in rows)


def test_the_closest_calls_have_them(monkeypatch):
    monkeypatch.setattr(flip_cards, "MOST", 3)
    found = flip_cards.near(IMAGES, *KNOWN)
    assert set(found) == set(IMAGES.sort_values("gap")["id"].head(3))
    unknown = IMAGES.assign(gap=np.nan)
    assert set(flip_cards.near(unknown, *KNOWN)) == set(unknown["id"].head(3))
    assert flip_cards.near(IMAGES.head(0), *KNOWN) == {}


@pytest.mark.parametrize("there", [True, False])
def test_the_page_carries_each_picture_once(there):
    inputs = replace(INPUTS, neighbours=flip_cards.near(IMAGES, *KNOWN) if there else None)
    page = render_html(analyze(inputs), inputs)
    cards = json.loads(re.search(r'id="cards">(.*?)</script>', page, re.DOTALL)[1])
    near = cards["near"]
    if not there:
        assert near is None and "The nearest training images with their labels are shown" not in page
        return
    assert "The nearest training images with their labels are shown" in page
    assert len(set(near["id"])) == len(near["id"]) and len(set(near["pictures"])) == len(near["pictures"])
    labels = dict(zip(MADE.train.ids_N, MADE.train.labels, strict=True))
    for name, places in zip(cards["id"], near["of"], strict=True):
        told = tuple((near["id"][at], near["label"][at]) for at in places)
        assert told == inputs.neighbours[name]
        assert all(labels[other] == label for other, label in told)
    assert max(near["label"]) < SPACE.n_classes and not any(name in page for name in HOSTILE[:3])
