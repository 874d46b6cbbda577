import numpy as np
import pytest

from pipeline.core.errors import ConfigError, DataError
from pipeline.core.types import Attribute, LabelSpace, Samples
from pipeline.data import folds, resample
from pipeline.settings.schema import FoldSettings, ResampleSettings

LABELS = np.random.default_rng(0).permutation(np.repeat([0, 1, 3], [60, 20, 7]))


def after(**settings):
    rows = resample.rows(LABELS, ResampleSettings(**settings), 0, 0)
    before, now = resample.counts(LABELS, rows, 4)
    assert before.tolist() == [60, 20, 0, 7]
    return now.tolist()


def test_none_is_every_row_in_order():
    rows = resample.rows(LABELS, ResampleSettings(), 0, 0)
    assert rows.index_R.tolist() == list(range(87)) and not rows.copy_R.any()


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"method": "under"}, [7, 7, 0, 7]),
        ({"method": "over"}, [60, 60, 0, 60]),
        ({"method": "under", "to": "cap", "cap": 15}, [15, 15, 0, 7]),
        ({"method": "over", "to": "cap", "cap": 15}, [60, 20, 0, 15]),
        ({"method": "under", "to": "cap", "cap": 1000}, [60, 20, 0, 7]),
        ({"method": "under", "to": "ratio", "ratio": 2.5}, [17, 17, 0, 7]),
        ({"method": "over", "to": "ratio", "ratio": 2.5}, [60, 24, 0, 24]),
        ({"method": "over", "to": "ratio", "ratio": 100.0}, [60, 20, 0, 7]),
        ({"method": "under", "to": "ratio", "ratio": 1.0}, [7, 7, 0, 7]),
    ],
)
def test_counts_are_exact(settings, expected):
    assert after(**settings) == expected


def test_undersampling_keeps_table_order_and_repeats_nothing():
    rows = resample.rows(LABELS, ResampleSettings(method="under"), 0, 0)
    assert (np.diff(rows.index_R) > 0).all() and not rows.copy_R.any()


def test_oversampling_keeps_every_row_then_copies_and_numbers_them():
    rows = resample.rows(LABELS, ResampleSettings(method="over"), 0, 0)
    assert rows.index_R[:87].tolist() == list(range(87)) and not rows.copy_R[:87].any()
    assert (rows.copy_R[87:] > 0).all()
    pairs = set(zip(rows.index_R.tolist(), rows.copy_R.tolist(), strict=True))
    assert len(pairs) == len(rows), "two copies share a number and would get equal pixels"


def test_reproducible_and_drawn_per_fold():
    settings = ResampleSettings(method="under")
    first = resample.rows(LABELS, settings, 0, 0).index_R
    assert np.array_equal(first, resample.rows(LABELS, settings, 0, 0).index_R)
    assert np.array_equal(first, resample.rows(LABELS, settings, 0, 5).index_R), "epochs differ unasked"
    assert not np.array_equal(first, resample.rows(LABELS, settings, 1, 0).index_R)
    other = ResampleSettings(method="under", seed=1)
    assert not np.array_equal(first, resample.rows(LABELS, other, 0, 0).index_R)


@pytest.mark.parametrize("method", ["under", "over"])
def test_redraw_differs_by_epoch(method):
    settings = ResampleSettings(method=method, redraw=True)
    epochs = [resample.rows(LABELS, settings, 0, e).index_R for e in (0, 1, 1)]
    assert not np.array_equal(epochs[0], epochs[1]) and np.array_equal(epochs[1], epochs[2])


@pytest.mark.parametrize("to", ["cap", "ratio"])
@pytest.mark.parametrize("method", ["under", "over"])
def test_a_bound_that_is_not_given(method, to):
    with pytest.raises(ConfigError, match=f"resample.to={to} needs a {to}"):
        resample.rows(LABELS, ResampleSettings(method=method, to=to), 0, 0)


def test_a_single_class_has_nothing_to_balance():
    alone = np.zeros(9, np.int64)
    assert len(resample.rows(alone, ResampleSettings(method="over"), 0, 0)) == 9
    with pytest.raises(DataError, match="only one class"):
        resample.rows(alone, ResampleSettings(method="under", to="cap", cap=3), 0, 0)


@pytest.mark.parametrize("method", ["under", "over"])
def test_rows_of_a_fold_never_reach_its_validation_part(method):
    space = LabelSpace.product([Attribute("kind", tuple("abcd"))])
    ids = np.array([f"i{n:03d}" for n in range(87)])
    some = Samples(ids, ids, ids, space, LABELS, "train")
    plan = folds.plan(some, FoldSettings(n=3))
    for k, split in enumerate(plan.splits):
        train = some.take(split.train_ids)
        rows = resample.rows(train.labels, ResampleSettings(method=method), k, 0)
        shown = set(train.ids_N[rows.index_R])
        assert shown and not shown & set(split.valid_ids)
