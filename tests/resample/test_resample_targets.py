"""Resampling of labels and values, and which settings a target of another kind refuses."""

import numpy as np
import pytest

from pipeline.core.errors import ConfigError
from pipeline.core.samples import Attribute, LabelSpace, Samples
from pipeline.resample import indices, subsets
from pipeline.settings.load import load
from pipeline.settings.resample import ResampleSettings

TWO = ("no", "yes")
LABELS = LabelSpace.independent([Attribute("common", TWO), Attribute("rare", TWO)])
# 60 with the common label, 6 with both, 4 with the rare one, 10 without any.
Y = np.repeat([[1, 0], [1, 1], [0, 1], [0, 0]], [60, 6, 4, 10], axis=0).astype(np.float32)


def part(space, y, groups=None):
    ids = np.array([f"i{n:03}" for n in range(len(y))])
    held = ids if groups is None else np.array([f"g{g}" for g in groups])
    samples = Samples(ids, ids, held, space, None, "train", y_NK=np.asarray(y, np.float32))
    return indices.Part(samples, 0)


def shown(own, **settings):
    chosen = ResampleSettings(**settings)
    return indices.plan(own, chosen).rows(0), chosen


def test_an_image_counts_as_its_rarest_label():
    codes, names = indices.strata(part(LABELS, Y).samples, ResampleSettings())
    assert names == ("common", "rare", "no label")
    assert np.bincount(codes).tolist() == [60, 10, 10]


@pytest.mark.parametrize(
    ("settings", "after"),
    [
        ({"method": "over"}, [60, 60, 60]),
        ({"method": "under"}, [10, 10, 10]),
        ({"method": "over", "to": "ratio", "ratio": 3.0}, [60, 20, 20]),
        ({"method": "over", "to": "counts", "counts": {"rare": 25}}, [60, 25, 10]),
    ],
)
def test_labels_are_balanced_rarest_first(settings, after):
    own = part(LABELS, Y)
    rows, chosen = shown(own, **settings)
    codes, _ = indices.strata(own.samples, chosen)
    assert np.bincount(codes[rows.index_R]).tolist() == after
    table = indices.counts(own.samples, rows, chosen).set_index("class")
    assert table.loc["rare", "before"] == 10 and table.loc["rare", "after"] == after[1]
    # Images with both labels raise the common one, too.
    assert table.loc["common", "after"] == int(Y[rows.index_R, 0].sum())


def test_one_label_is_balanced_by_itself_and_rows_where_it_is_unknown_stay():
    y = Y.copy()
    y[:20, 1] = np.nan
    own = part(LABELS, y)
    rows, _ = shown(own, method="over", on="rare")
    seen = y[rows.index_R, 1]
    assert (seen == 1).sum() == (seen == 0).sum() == 50 and np.isnan(seen).sum() == 20


def test_values_are_balanced_by_ranges_of_equal_width():
    y = np.concatenate([np.linspace(0, 10, 90), np.linspace(10, 100, 10)])[:, None]
    own = part(LabelSpace.numbers(["price"]), y)
    rows, chosen = shown(own, method="over", bins=4)
    codes, names = indices.strata(own.samples, chosen)
    assert names[0] == "price, range 1 of 4" and np.ptp(np.bincount(codes[rows.index_R])) == 0
    assert indices.counts(own.samples, rows, chosen)["after"].nunique() == 1


def test_of_several_values_one_is_named():
    own = part(LabelSpace.numbers(["x", "y"]), np.random.default_rng(0).random((40, 2)))
    assert len(shown(own)[0]) == 40
    with pytest.raises(ConfigError, match="which value shall be balanced"):
        shown(own, method="over")
    assert len(shown(own, method="over", on="y")[0]) >= 40


def test_a_share_of_the_groups_keeps_groups_of_every_label():
    own = part(LABELS, Y, groups=np.arange(80) // 2)
    some = subsets.group_share(own, 0.2, 0).samples
    assert (np.asarray(some.truth).sum(0) > 0).all() and len(some) < 25
    values = part(LabelSpace.numbers(["x"]), np.arange(100)[:, None], np.arange(100) // 2)
    few = subsets.group_share(values, 0.2, 0).samples
    assert few.y_NK.min() < 25 and few.y_NK.max() > 75


@pytest.mark.parametrize(
    ("target", "words", "said"),
    [
        (
            "labels",
            ["resample.method=smote", "train.strategy=linear_probe"],
            "smote is for exclusive classes",
        ),
        ("values", ["resample.method=near_miss"], "near_miss is for exclusive classes"),
        ("labels", ["resample.bins=7", "resample.method=over"], "is for values"),
        ("labels", ["train.chain={}"], "is for exclusive classes"),
        ("values", ["train.pseudo={}", "train.pseudo.test_images=true"], "use train.distill"),
        ("labels", ["train.mix.method=mixup", "train.mix.partner=minority"], "minority is for classes"),
        ("values", ["loss.class_weights=inverse"], "is for classes and labels"),
        ("labels", ["model.heads=attributes"], "every column has its own output"),
    ],
)
def test_what_a_target_cannot_do_is_refused_with_the_settings(target, words, said):
    column = {
        "labels": "[{name: a, column: a, values: ['0', '1']}, {name: b, column: b, values: ['0', '1']}]",
        "values": "[{name: a, column: a}]",
    }[target]
    metric = {"labels": "macro_f1", "values": "rmse"}[target]
    base = [
        f"competition.target={target}",
        f"competition.attributes={column}",
        f"competition.metric={metric}",
    ]
    with pytest.raises(ConfigError) as error:
        load(["competition=digits", "competition.demo=null", "competition.root=.", *base, *words])
    assert any(said in fault for fault in error.value.faults), error.value.faults
