"""Results that the error report shows if they are there: which of several, and which belong together."""

from pathlib import Path

import pytest

from pipeline.errors import case
from pipeline.record.store import Artifact


def features(key, split, model="a", when=0, view="identity"):
    manifest = {
        "config": {"split": split, "view": view, "model": model},
        "inputs": {"data": "data/d", "prepared": "prepared/p"},
        "created": f"2026-11-22T10:00:{when:02d}+00:00",
    }
    return Artifact("features", key, Path(key), manifest)


def test_features_of_both_splits_are_by_one_network():
    ours = [
        features("train_a", "train", "a", 1),
        features("test_a", "test", "a", 2),
        features("train_b", "train", "b", 9),
        features("test_c", "test", "c", 8),
    ]
    assert case._pair(ours) == {"features": "features/train_a", "features_test": "features/test_a"}
    both = [*ours, features("test_b", "test", "b", 3)]
    assert case._pair(both) == {"features": "features/train_b", "features_test": "features/test_b"}


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        ([], {}),
        ([features("test", "test")], {}),
        ([features("flipped", "train", view="hflip"), features("test", "test")], {}),
        (
            [features("old", "train", when=1), features("new", "train", "b", when=2)],
            {"features": "features/new"},
        ),
        (
            [features("train", "train"), features("test", "test", view="hflip")],
            {"features": "features/train"},
        ),
    ],
)
def test_features_without_a_partner_stand_alone(made, expected):
    assert case._pair(made) == expected


def test_another_size_of_image_is_another_network():
    small, large = features("train", "train"), features("test", "test")
    large.manifest["inputs"]["prepared"] = "prepared/q"
    assert case._pair([small, large]) == {"features": "features/train"}
