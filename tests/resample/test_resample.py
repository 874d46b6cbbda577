import numpy as np
import pytest

from pipeline.core.errors import ConfigError, DataError
from pipeline.core.samples import Attribute, LabelSpace, Samples
from pipeline.data import folds
from pipeline.resample import indices
from pipeline.settings.folds import FoldSettings
from pipeline.settings.resample import CopySettings, ResampleSettings

SPACE = LabelSpace.product([Attribute("kind", tuple("abcd"))])
LABELS = np.random.default_rng(0).permutation(np.repeat([0, 1, 3], [60, 20, 7]))


def part(labels=LABELS, fold=0, groups=None, space=SPACE, **more):
    ids = np.array([f"i{n:03d}" for n in range(len(labels))])
    samples = Samples(ids, ids, ids if groups is None else np.array(groups), space, labels, "train")
    return indices.Part(samples, fold, **more)


def rows_of(labels, settings, fold, epoch):
    return indices.plan(part(labels, fold), settings).rows(epoch)


def after(**settings):
    rows = rows_of(LABELS, ResampleSettings(**settings), 0, 0)
    found = indices.counts(part().samples, rows, ResampleSettings(**settings))
    assert found["before"].tolist() == [60, 20, 0, 7]
    return found["after"].tolist()


def test_none_is_every_row_in_order():
    rows = rows_of(LABELS, ResampleSettings(), 0, 0)
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
    rows = rows_of(LABELS, ResampleSettings(method="under"), 0, 0)
    assert (np.diff(rows.index_R) > 0).all() and not rows.copy_R.any()


def test_oversampling_keeps_every_row_then_copies_and_numbers_them():
    rows = rows_of(LABELS, ResampleSettings(method="over"), 0, 0)
    assert rows.index_R[:87].tolist() == list(range(87)) and not rows.copy_R[:87].any()
    assert (rows.copy_R[87:] > 0).all()
    pairs = set(zip(rows.index_R.tolist(), rows.copy_R.tolist(), strict=True))
    assert len(pairs) == len(rows), "two copies share a number and would get equal pixels"


def test_reproducible_and_drawn_per_fold():
    settings = ResampleSettings(method="under")
    first = rows_of(LABELS, settings, 0, 0).index_R
    assert np.array_equal(first, rows_of(LABELS, settings, 0, 0).index_R)
    assert np.array_equal(first, rows_of(LABELS, settings, 0, 5).index_R), "epochs differ unasked"
    assert not np.array_equal(first, rows_of(LABELS, settings, 1, 0).index_R)
    other = ResampleSettings(method="under", seed=1)
    assert not np.array_equal(first, rows_of(LABELS, other, 0, 0).index_R)


@pytest.mark.parametrize("method", ["under", "over"])
def test_redraw_differs_by_epoch(method):
    settings = ResampleSettings(method=method, redraw=True)
    epochs = [rows_of(LABELS, settings, 0, e).index_R for e in (0, 1, 1)]
    assert not np.array_equal(epochs[0], epochs[1]) and np.array_equal(epochs[1], epochs[2])


@pytest.mark.parametrize("to", ["cap", "ratio"])
@pytest.mark.parametrize("method", ["under", "over"])
def test_a_bound_that_is_not_given(method, to):
    with pytest.raises(ConfigError, match=f"resample.to={to} needs a {to}"):
        rows_of(LABELS, ResampleSettings(method=method, to=to), 0, 0)


def test_a_single_class_has_nothing_to_balance():
    alone = np.zeros(9, np.int64)
    assert len(rows_of(alone, ResampleSettings(method="over"), 0, 0)) == 9
    with pytest.raises(DataError, match="only one class"):
        rows_of(alone, ResampleSettings(method="under", to="cap", cap=3), 0, 0)


@pytest.mark.parametrize("method", ["under", "over"])
def test_rows_of_a_fold_never_reach_its_validation_part(method):
    some = part().samples
    plan = folds.plan(some, FoldSettings(n=3))
    for k, split in enumerate(plan.splits):
        train = some.take(split.train_ids)
        rows = indices.plan(indices.Part(train, k), ResampleSettings(method=method)).rows(0)
        shown = set(train.ids_N[rows.index_R])
        assert shown and not shown & set(split.valid_ids)


TWO = LabelSpace.product([Attribute("kind", ("x", "y")), Attribute("age", ("young", "old"), True)])


def people(n=40, old=6):
    """n people of 4 images each, kinds mixed inside a person, the first `old` of them old."""
    groups = [f"p{g:02d}" for g in range(n) for _ in range(4)]
    labels = np.array([(i % 2) * 2 + (g < old) for g in range(n) for i in range(4)])
    return labels, groups


def test_counts_name_the_classes_and_leave_the_others():
    counts = {"method": "under", "to": "counts"}
    assert after(**counts, counts={"a": 11, "d": 100}) == [11, 20, 0, 7]
    assert after(method="over", to="counts", counts={"d": 30, "a": 5}) == [60, 20, 0, 30]
    with pytest.raises(ConfigError) as caught:
        after(**counts, counts={"e": 1, "A": 2, "b": 3})
    assert len(caught.value.faults) == 2 and "`e` is unknown" in caught.value.faults[0]


def test_balancing_one_attribute_counts_its_values():
    labels, groups = people()
    some = part(labels, groups=groups, space=TWO)
    rows = indices.plan(some, ResampleSettings(method="under", on="age")).rows(0)
    old_R = TWO.codes_CA[labels, 1][rows.index_R]
    assert (old_R == 1).sum() == (old_R == 0).sum() == 24
    with pytest.raises(ConfigError, match="no attribute `agee`"):
        indices.plan(some, ResampleSettings(method="under", on="agee"))


@pytest.mark.parametrize("method", ["under", "over"])
def test_whole_groups_are_dropped_or_repeated(method):
    labels, groups = people()
    settings = ResampleSettings(method=method, unit="group", on="age")
    rows = indices.plan(part(labels, groups=groups, space=TWO), settings).rows(0)
    shown, times = np.unique(np.array(groups)[rows.index_R], return_counts=True)
    assert (times % 4 == 0).all(), "a group came in part"
    people_old = sum(n // 4 for g, n in zip(shown, times, strict=True) if int(g[1:]) < 6)
    people_young = sum(n // 4 for g, n in zip(shown, times, strict=True) if int(g[1:]) >= 6)
    assert people_old == people_young == (6 if method == "under" else 34)
    assert len({*zip(rows.index_R.tolist(), rows.copy_R.tolist(), strict=True)}) == len(rows)


def test_groups_that_hold_several_values_cannot_be_drawn_whole():
    labels, groups = people(n=5, old=2)
    settings = ResampleSettings(method="under", unit="group")
    with pytest.raises(ConfigError, match="5 groups hold several values") as caught:
        indices.plan(part(labels, groups=groups, space=TWO), settings).rows(0)
    assert "(age)" in caught.value.remedy and len(caught.value.faults) == 5


def test_a_bag_shows_a_sample_as_often_as_it_was_drawn():
    times = np.arange(87) % 3 + 1
    rows = indices.plan(part(times_N=times), ResampleSettings()).rows(0)
    assert np.array_equal(np.bincount(rows.index_R), times)
    assert rows.copy_R.max() == 2
    under = indices.plan(part(times_N=times), ResampleSettings(method="under")).rows(0)
    smallest = min(times[c == LABELS].sum() for c in (0, 1, 3))
    assert np.bincount(LABELS[under.index_R]).tolist() == [smallest, smallest, 0, smallest]
    labels, groups = people()
    twice = np.repeat(np.arange(40) % 2 + 1, 4)
    some = part(labels, groups=groups, space=TWO, times_N=twice)
    whole = indices.plan(some, ResampleSettings(method="under", unit="group", on="age")).rows(0)
    assert (TWO.codes_CA[labels, 1][whole.index_R] == 0).sum() == 9 * 4  # six old people, three of them twice


def test_offline_copies_of_chosen_classes_come_last_with_their_policy():
    copies = CopySettings(classes=["b", "d"], times=2, policy="rotate30")
    rows = indices.plan(part(), ResampleSettings(copies=copies)).rows(0)
    assert rows.policies == (None, "rotate30") and len(rows) == 87 + 2 * 27
    assert not rows.policy_R[:87].any() and (rows.policy_R[87:] == 1).all()
    assert set(LABELS[rows.index_R[87:]]) == {1, 3}
    assert sorted(set(rows.copy_R[87:].tolist())) == [0, 1], "copies are numbered apart from the originals"


def test_copies_are_made_of_what_resampling_kept_each_image_once():
    copies = CopySettings(times=1)
    under = indices.plan(part(), ResampleSettings(method="under", copies=copies)).rows(0)
    assert len(under) == 42 and set(under.index_R[:21]) == set(under.index_R[21:])
    over = indices.plan(part(), ResampleSettings(method="over", copies=copies)).rows(0)
    assert len(over) == 180 + 87, "repeated rows are not copied again"
    with pytest.raises(ConfigError, match=r"copies\.classes: 1 unknown"):
        indices.plan(part(), ResampleSettings(copies=CopySettings(classes=["zebra"])))


@pytest.mark.parametrize("method", ["none", "under", "over"])
def test_expected_rows_are_exact_for_random_draws(method):
    settings = ResampleSettings(method=method, copies=CopySettings(classes=["a"]))
    assert indices.expected_rows(part(), settings) == len(indices.plan(part(), settings).rows(0))
