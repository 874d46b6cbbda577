"""A sampler of the user's own, and what it may not return."""

import numpy as np
import pytest

from pipeline.core.errors import ConfigError
from pipeline.core.plugin import Own
from pipeline.resample import indices
from pipeline.resample.indices import draw
from pipeline.settings.resample import ResampleSettings

SOURCE = """
import numpy as np


def some(labels_N, groups_N, fold, rng):
    assert len(labels_N) == len(groups_N)
    labels_N[:] = 0
    return rng.integers(0, len(labels_N), 5 + fold)


def by_class(labels_N, groups_N, fold, rng):
    return np.flatnonzero(labels_N == 1).tolist() * 3


def empty(*given):
    return []


def outside(labels_N, *given):
    return [0, len(labels_N), -1]


def real(*given):
    return np.array([0.0, 1.0])


def mask(labels_N, *given):
    return labels_N > 0


def ragged(*given):
    return [[1], [2, 3]]


def fails(labels_N, groups_N, fold, rng):
    return labels_N["a"]
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(SOURCE, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return lambda name: Own(f"mine:{name}", tmp_path, "resample.method")


LABELS, GROUPS = np.array([0, 1, 2, 1]), np.array(["a", "b", "c", "d"])


def test_draws_depend_on_fold_epoch_and_seed_alone(own):
    first = draw(own("some"), LABELS, GROUPS, 0, 0, 7)
    np.random.default_rng().random()
    assert (draw(own("some"), LABELS, GROUPS, 0, 0, 7) == first).all() and first.dtype == np.int64
    others = [draw(own("some"), LABELS, GROUPS, *more) for more in ((1, 0, 7), (0, 1, 7), (0, 0, 8))]
    assert all(o.tolist() != first.tolist() for o in others) and len(others[0]) == 6
    assert LABELS.tolist() == [0, 1, 2, 1], "the sampler got copies"


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        ("empty", "returned no rows for fold 2"),
        ("outside", r"2 positions outside 0 … 3 \(from -1 to 4\)"),
        ("real", "type float64"),
        ("mask", "type bool"),
        ("ragged", "a list"),
        ("fails", "failed at mine.py line 36: IndexError"),
    ],
)
def test_what_is_no_sample(own, function, expected):
    with pytest.raises(ConfigError, match=f"resample.method: mine:{function}.*{expected}"):
        draw(own(function), LABELS, GROUPS, 2, 0, 0)


def test_rows_of_an_epoch_are_the_samplers_and_redrawn_when_asked(own, part_of):
    part = part_of([0, 1, 1, 2])
    rows = indices.plan(part, ResampleSettings(method="mine:by_class")).rows
    assert rows(0).index_R.tolist() == [1, 2] * 3 == rows(5).index_R.tolist()
    assert rows(0).copy_R.tolist() == [0, 0, 1, 1, 2, 2]
    fixed, drawn = (
        indices.plan(part, ResampleSettings(method="mine:some", redraw=redraw)).rows
        for redraw in (False, True)
    )
    assert fixed(0).index_R.tolist() == fixed(1).index_R.tolist()
    assert drawn(0).index_R.tolist() != drawn(1).index_R.tolist()
    assert indices.expected_rows(part, ResampleSettings(method="mine:by_class")) == 6


def test_the_sampler_chooses_among_the_rows_of_a_bootstraps_bag(own, part_of):
    part = part_of([0, 1, 1, 2], times=[1, 3, 1, 1])
    rows = indices.plan(part, ResampleSettings(method="mine:by_class")).rows(0)
    assert rows.index_R.tolist() == [1, 1, 1, 2] * 3


@pytest.fixture
def part_of():
    from pipeline.core.samples import Attribute, LabelSpace, Samples

    def made(labels, times=None):
        ids = np.array([f"i{k}" for k in range(len(labels))])
        space = LabelSpace.product([Attribute("kind", ("a", "b", "c"))])
        samples = Samples(ids, ids, ids, space, np.array(labels, dtype=np.int64), "train")
        return indices.Part(samples, 0, None if times is None else np.array(times, dtype=np.int64))

    return made
