"""The member `gbdt`: trees on predictions and metadata, scored on groups that they never saw."""

import json
import sys
from dataclasses import replace

import numpy as np
import pytest

from pipeline.core.errors import ConfigError, UserError
from pipeline.core.predictions import Probabilities
from pipeline.core.samples import Attribute, LabelSpace, Samples, strings
from pipeline.core.targets import Target
from pipeline.ensemble import gbdt, trees
from pipeline.settings.competition import CompetitionSettings
from pipeline.settings.ensemble import GbdtSettings, word_of
from pipeline.settings.load import load as settings_of

HOW = GbdtSettings()
N = 400
METADATA = CompetitionSettings(
    metadata=[{"column": "age", "kind": "number"}, {"column": "site", "kind": "category"}]
)


def space_of(kind, columns=3):
    names = [Attribute(f"a{k}", ("no", "yes")) for k in range(columns)]
    if kind == "exclusive":
        return LabelSpace.product([Attribute("kind", tuple(f"k{n}" for n in range(columns)))])
    return LabelSpace.independent(names) if kind == "labels" else LabelSpace.numbers([a.name for a in names])


def world(kind="exclusive", columns=3, seed=0):
    """A member that knows half, and metadata that knows the other half."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, columns, N)
    ids = strings([f"s{n}" for n in range(N)])
    ages = ["" if n % 13 == 0 else f"{y[n] * 10 + rng.normal(0, 3):.2f}" for n in range(N)]
    sites = ["abc"[y[n] % 3] if n % 4 else "c" for n in range(N)]
    cells = np.array([ages, sites]).T
    space = space_of(kind, columns)
    truth = {"exclusive": y, "labels": np.eye(columns)[y], "values": np.eye(columns)[y] * 5 + 2}[kind]
    samples = Samples(ids, ids, ids, space, y if kind == "exclusive" else None, "train", cells_NM=cells)
    if kind != "exclusive":
        samples = samples.with_truth(truth.astype(np.float32), None)
    noise = rng.normal(0, 1, (N, columns))
    p = np.eye(columns)[y] * 0.6 + noise
    target = Target.of(space)
    p = p * 2 + 2 if kind == "values" else target.from_logits(p)
    return samples, Probabilities.of(target, ids, p.astype(np.float32), "half"), truth, target


def parts(count=5):
    return [np.arange(k, N, count) for k in range(count)]


@pytest.fixture(autouse=True)
def _installed():
    pytest.importorskip("lightgbm", reason="NOT TESTED: the extra gbdt is not installed")


@pytest.mark.parametrize("columns", [2, 3])
def test_trees_of_classes_use_metadata_that_the_members_lack(columns):
    samples, p, y, target = world(columns=columns)
    rows = gbdt.table([p], samples, METADATA)
    made = gbdt.cross_fitted(rows, y, parts(), rows.take(np.arange(10)), target, HOW)
    alone, both = ((q.argmax(1) == y).mean() for q in (p.p_NC, made.oof_NK))
    assert both > alone + 0.1
    assert np.allclose(made.oof_NK.sum(1), 1, atol=1e-4) and made.test_NK.shape == (10, columns)
    assert (
        made.importance["column"][0] in ("age", "site") and abs(made.importance.iloc[:, 1].sum() - 1) < 1e-6
    )


def test_noise_alone_is_the_mean_of_the_members_and_no_better_than_chance():
    samples, p, y, target = world()
    shuffled = np.random.default_rng(1).permutation(y)
    rows = gbdt.table([p], samples, METADATA)
    made = gbdt.cross_fitted(rows, shuffled, parts(), rows, target, HOW)
    loss = -np.log(made.oof_NK[np.arange(N), shuffled]).mean()
    assert loss < -np.log(p.p_NC[np.arange(N), shuffled]).mean() + 0.02
    assert (made.oof_NK.argmax(1) == shuffled).mean() < 0.45


def test_a_part_is_predicted_by_trees_that_never_saw_its_truth():
    samples, p, y, target = world()
    rows = gbdt.table([p], samples, METADATA)
    first = gbdt.cross_fitted(rows, y, parts(2), rows, target, HOW)
    changed = y.copy()
    changed[parts(2)[0]] = (changed[parts(2)[0]] + 1) % 3
    other = gbdt.cross_fitted(rows, changed, parts(2), rows, target, HOW)
    assert np.array_equal(first.oof_NK[parts(2)[0]], other.oof_NK[parts(2)[0]])
    assert not np.array_equal(first.oof_NK[parts(2)[1]], other.oof_NK[parts(2)[1]])


def test_labels_have_trees_of_their_own_and_unknown_ones_are_left_out():
    samples, p, truth, target = world("labels")
    masked = truth.astype(np.float32)
    masked[::3, 1] = np.nan
    rows = gbdt.table([p], samples, METADATA)
    made = gbdt.cross_fitted(rows, masked, parts(), rows, target, HOW)
    alone, both = (((q > 0.5) == (truth > 0.5)).mean() for q in (p.p_NC, made.oof_NK))
    assert both > alone + 0.05 and not target.faulty(made.oof_NK).any()


@pytest.mark.parametrize("kind", ["labels", "shares"])
def test_columns_that_sum_to_one_stay_calibrated(kind):
    """A member that predicts the true shares, or the true chances of levels, has nothing to be sharpened."""
    rng, attributes = np.random.default_rng(0), [Attribute("a", ("low", "mid", "high"))]
    space = LabelSpace.independent(attributes)
    if kind == "shares":
        space = replace(LabelSpace.product(attributes), kind="shares")
    p = rng.dirichlet([4, 2, 2], N).astype(np.float32)
    truth = (
        p if kind == "shares" else np.eye(3)[[rng.choice(3, p=row / row.sum()) for row in p.astype(float)]]
    )
    ids = strings([f"s{n}" for n in range(N)])
    samples = Samples(ids, ids, ids, space, None, "train").with_truth(truth.astype(np.float32), None)
    target = Target.of(space)
    rows = gbdt.table([Probabilities.of(target, ids, p, "true")], samples, CompetitionSettings())
    made = gbdt.cross_fitted(rows, samples.truth, parts(), rows, target, HOW)
    assert np.abs(made.oof_NK - p).mean() < 0.04
    assert abs(made.oof_NK.max(axis=1).mean() - p.max(axis=1).mean()) < 0.04


def test_values_are_a_regression_from_the_mean_of_the_members():
    samples, p, truth, target = world("values")
    rows = gbdt.table([p], samples, METADATA)
    made = gbdt.cross_fitted(rows, truth, parts(), rows, target, HOW)
    alone, both = (np.sqrt(((q - truth) ** 2).mean()) for q in (p.p_NC, made.oof_NK))
    assert both < 0.7 * alone


def test_values_of_a_category_that_training_lacks_and_missing_ones_are_taken():
    samples, p, y, target = world()
    rows = gbdt.table([p], samples, METADATA)
    odd = rows.take(np.arange(3))
    odd.x["site"], odd.x["age"] = ["zebra", None, "a"], [np.nan, np.nan, 1.0]
    made = gbdt.cross_fitted(rows, y, parts(), odd, target, HOW)
    assert np.isfinite(made.test_NK).all()
    assert np.array_equal(made.test_NK, gbdt.cross_fitted(rows, y, parts(), odd, target, HOW).test_NK)


def test_thousands_of_columns_are_refused():
    samples, p, y, target = world(columns=101)
    with pytest.raises(ConfigError, match="at most 100 columns, and predictions have 101"):
        gbdt.cross_fitted(gbdt.table([p], samples, METADATA), y, parts(), None, target, HOW)


def test_the_word_needs_members_to_read():
    assert word_of("gbdt").kind == "gbdt" and word_of("gbdt").has_oof
    with pytest.raises(UserError) as told:
        settings_of(["competition=digits", "ensemble.members=[gbdt]"])
    assert "gbdt reads the predictions of other members" in str(told.value.faults)


@pytest.mark.parametrize(
    ("kind", "columns"), [("exclusive", 2), ("exclusive", 3), ("labels", 3), ("values", 2)]
)
def test_trees_that_were_written_predict_the_same_bits(tmp_path, kind, columns):
    samples, p, truth, target = world(kind, columns)
    rows = gbdt.table([p], samples, METADATA)
    made = gbdt.cross_fitted(rows, truth, parts(), rows, target, HOW)
    trees.Trees((p.name,), made.columns, made.boosted).write(tmp_path)
    about = json.loads((tmp_path / trees.FILE).read_text(encoding="utf-8"))
    assert [c[1] for c in about["columns"]][-2:] == ["number", "category"]
    again = trees.Trees.read(tmp_path, about, target)
    cells = {"age": samples.cells_NM[:, 0].tolist(), "site": samples.cells_NM[:, 1].tolist()}
    assert np.array_equal(again.predict([p], cells), made.test_NK)
    one = {name: own[5:6] for name, own in cells.items()}
    assert np.array_equal(again.predict([p.take(p.ids_N[5:6])], one), made.test_NK[5:6])


def test_trees_without_their_library_say_which_extra_has_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    about = {"boosters": [], "rounds": [], "columns": [], "members": []}
    with pytest.raises(UserError, match=r"ensemble.members: gbdt.*lightgbm"):
        trees.Trees.read(tmp_path, about, Target(("a", "b")))
