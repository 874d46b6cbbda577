"""Post-processing of the user's own."""

import numpy as np
import pytest

from pipeline.core.errors import ConfigError
from pipeline.ensemble import decision_steps

SOURCE = """
import numpy as np


def sharpen(p_NC, ids_N, groups_N, classes):
    p_NC **= 2
    return p_NC / p_NC.sum(axis=1, keepdims=True)


def by_group(p_NC, ids_N, groups_N, classes):
    first = groups_N == "g0"
    p_NC[first] = np.eye(len(classes))[list(classes).index("b")]
    return p_NC


def shape(p_NC, *more):
    return p_NC[:, :2]


def logits(p_NC, *more):
    return np.log(p_NC)


def nan(p_NC, *more):
    p_NC[1] = np.nan
    return p_NC


def fails(p_NC, ids_N, groups_N, classes):
    return p_NC / classes
"""


@pytest.fixture
def apply(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(SOURCE, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    p_NC = np.array([[0.5, 0.25, 0.25], [0.2, 0.2, 0.6]], dtype=np.float32)

    def applied(*names):
        after = p_NC
        for name in names:
            own = decision_steps.load(f"mine:{name}")
            after = decision_steps.call(
                own, after, np.array(["x", "y"]), np.array(["g0", "g1"]), ("a", "b", "c")
            )
        assert p_NC[0, 0] == np.float32(0.5), "called with copies"
        return after

    return applied


def test_steps_follow_one_another_and_see_ids_groups_and_classes(apply):
    np.testing.assert_allclose(apply("sharpen")[0], [4 / 6, 1 / 6, 1 / 6], atol=1e-6)
    both = apply("by_group", "sharpen")
    np.testing.assert_allclose(both, [[0, 1, 0], [1 / 11, 1 / 11, 9 / 11]], atol=1e-6)
    np.testing.assert_allclose(apply(), [[0.5, 0.25, 0.25], [0.2, 0.2, 0.6]], atol=1e-6)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        ("shape", r"of shape \(2, 2\)"),
        ("logits", "2 of 2 rows that are no probabilities"),
        ("nan", r"1 of 2 rows .*first: y"),
        ("fails", "failed at mine.py line 30"),
    ],
)
def test_what_is_no_probability(apply, function, expected):
    with pytest.raises(ConfigError, match=f"decision.steps: mine:{function}.*{expected}"):
        apply(function)
