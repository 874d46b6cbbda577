"""Networks and heads on labels, values and shares: what they learn, in which unit, without unknown cells."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from heads_world import TRAIN, VALID, head_job
from learn_world import equal_states, fold_job
from sklearn.linear_model import LogisticRegression, Ridge

from pipeline.core import metrics
from pipeline.core.samples import Attribute, LabelSpace, Samples, TrainRows
from pipeline.data.loader import Batch
from pipeline.resample.mixing import MixedBatch
from pipeline.settings.loss import LossSettings
from pipeline.settings.train import MixSettings
from pipeline.train import batched_heads, columns, loop, solved_heads
from pipeline.train.heads import plain_view, restore_head
from pipeline.train.losses import Loss, make_loss
from pipeline.train.step import Backward
from pipeline.train.targets import Scale, class_facts, targets_of

TWO = ("no", "yes")
LABELS = LabelSpace.independent(
    [Attribute("even", TWO), Attribute("size", ("low", "middle", "high")), Attribute("prime", TWO)]
)
VALUES = LabelSpace.numbers(["digit", "square"])
SHARES = LabelSpace((Attribute("d", tuple("abc")),), tuple("abc"), np.arange(3)[:, None], "shares")


def truth(space, digit_N, unknown=0.2):
    """The truth of digits in a space, some cells of labels and values unknown."""
    draw = np.random.default_rng(len(digit_N))
    if space.kind == "labels":
        size = np.eye(3)[np.digitize(digit_N, [4, 7])]
        prime = np.isin(digit_N, [2, 3, 5, 7])
        y = np.column_stack([digit_N % 2 == 0, size, prime]).astype(np.float32)
        y[draw.random(len(y)) < unknown, 0] = np.nan
        y[draw.random(len(y)) < unknown, 1:4] = np.nan
        return y
    if space.kind == "values":
        y = np.column_stack([1000 + digit_N, digit_N**2 / 1e4]).astype(np.float32)
        y[draw.random(len(y)) < unknown, 1] = np.nan
        return y
    y = np.column_stack([digit_N + 1, 10 - digit_N, np.full(len(digit_N), 3)]).astype(np.float32)
    return y / y.sum(1, keepdims=True)


def of_kind(samples, space, unknown=0.2):
    y = truth(space, samples.labels, unknown)
    return Samples(samples.ids_N, samples.paths_N, samples.groups_N, space, None, "train", y_NK=y)


def heads_of(space, unknown=0.2, **train):
    job = head_job(**train)
    metric = {"labels": "macro_f1", "values": "rmse", "shares": "kl"}[space.kind]
    both = (of_kind(samples, space, unknown) for samples in (job.train_samples, job.valid_samples))
    return replace(
        job,
        **dict(zip(("train_samples", "valid_samples"), both, strict=True)),
        metric=metrics.get(metric).score,
    )


def network(space, **train):
    job = fold_job(**train)
    both = [of_kind(samples, space) for samples in (job.train_samples, job.valid_samples)]
    return replace(
        job,
        loss=LossSettings(),
        train_samples=both[0],
        valid_samples=both[1],
        metric=metrics.get({"labels": "macro_f1", "values": "rmse", "shares": "kl"}[space.kind]).score,
    )


@pytest.mark.parametrize("space", [LABELS, VALUES, SHARES])
@pytest.mark.parametrize(
    ("head", "head_c"), [("linear", 0.05), ("mlp", 0.05), ("logistic", 0.05), ("logistic", "auto")]
)
def test_every_head_learns_every_kind_of_target(space, head, head_c):
    fit_heads = (solved_heads if head == "logistic" else batched_heads).fit_heads
    job = heads_of(space, head=head, head_c=head_c, epochs=8 if head != "logistic" else 1)
    (found,) = fit_heads([job])
    oof, valid = found.result.oof, job.valid_samples
    assert oof.kind == space.kind and not oof.target.faulty(oof.p_NC).any()
    learned = 1 - columns.wrong(valid, oof.p_NC)
    assert learned > {"labels": 0.85, "values": 0.3, "shares": 0.7}[space.kind]
    last = found.result.history[-1]
    assert last["valid_score"] == job.metric(valid.truth, oof.p_NC) and np.isfinite(last["valid_loss"])
    # The state alone predicts the same.
    head_again = restore_head(found.state)
    with torch.inference_mode():
        logits = head_again(plain_view(job.features.take(valid.ids_N))[None])[0].numpy()
    np.testing.assert_allclose(oof.target.from_logits(logits), oof.p_NC, rtol=1e-4, atol=1e-4)


def standardised(job):
    mean_D, std_D = (v.double().numpy() for v in job.statistics())
    z = (job.features.take(job.train_samples.ids_N).x_NVD[:, 0] - mean_D) / std_D
    x_ND = plain_view(job.features.take(job.valid_samples.ids_N)).clamp(*job.ends())
    return z, (x_ND.double().numpy() - mean_D) / std_D


def test_a_solved_label_is_scikit_learns_logistic_regression_of_its_known_rows():
    job = heads_of(LABELS, head="logistic", head_c=0.05)
    (found,) = solved_heads.fit_heads([job])
    z, valid = standardised(job)
    y = job.train_samples.y_NK
    for column in (0, 4):
        known = ~np.isnan(y[:, column])
        theirs = LogisticRegression(C=0.05, max_iter=3000, tol=1e-7).fit(z[known], y[known, column])
        mine = found.result.oof.p_NC[:, column]
        np.testing.assert_allclose(mine, theirs.predict_proba(valid)[:, 1], atol=1e-2)
    known = ~np.isnan(y[:, 1])
    levels = LogisticRegression(C=0.05, max_iter=3000, tol=1e-7).fit(z[known], y[known, 1:4].argmax(1))
    np.testing.assert_allclose(found.result.oof.p_NC[:, 1:4], levels.predict_proba(valid), atol=1e-2)


def test_a_solved_value_is_scikit_learns_ridge_in_the_unit_of_the_table():
    job = heads_of(VALUES, head="logistic", head_c=0.05)
    (found,) = solved_heads.fit_heads([job])
    z, valid = standardised(job)
    for column in range(2):
        y = job.train_samples.y_NK[:, column].astype(np.float64)
        known = ~np.isnan(y)
        # The penalty is on standardised values.
        spread = y[known].std()
        theirs = Ridge(alpha=16 / 0.05).fit(z[known], y[known] / spread).predict(valid) * spread
        np.testing.assert_allclose(found.result.oof.p_NC[:, column], theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("head", ["linear", "logistic"])
def test_values_in_another_unit_are_predicted_in_that_unit(head):
    fit_heads = (solved_heads if head == "logistic" else batched_heads).fit_heads
    job = heads_of(VALUES, 0.0, head=head, epochs=2)

    def shifted(samples):
        return replace(samples, y_NK=samples.y_NK * np.float32(8) + np.float32(256))

    other = replace(job, train_samples=shifted(job.train_samples), valid_samples=shifted(job.valid_samples))
    plain, there = (fit_heads([one])[0].result.oof.p_NC for one in (job, other))
    np.testing.assert_allclose(there, plain * 8 + 256, rtol=2e-4)


def test_what_validates_changes_nothing_that_is_learned():
    job = heads_of(VALUES, epochs=2)
    changed = replace(job, valid_samples=replace(job.valid_samples, y_NK=job.valid_samples.y_NK * 100))
    one, other = (batched_heads.fit_heads([j])[0].state for j in (job, changed))
    assert equal_states(one, other)


@pytest.mark.parametrize("space", [LABELS, VALUES, SHARES])
def test_a_network_learns_and_resumes_every_kind_of_target(space, tmp_path):
    job = network(space, epochs=2)
    result, state = loop.fit(job, tmp_path / "whole")
    assert result.oof.kind == space.kind
    stopped = tmp_path / "stopped"
    loop.fit(job, stopped, lambda fold, epoch, entry: False)
    again, resumed = loop.fit(job, stopped)
    assert equal_states(state, resumed) and np.array_equal(again.oof.p_NC, result.oof.p_NC)
    figures = [name for name in result.history[-1] if name.startswith(columns.PREFIXES)]
    names = ["digit", "square"] if space is VALUES else list(space.classes)
    prefix = columns.MAE if space is VALUES else columns.F1
    assert set(figures) <= {prefix + name for name in names} and len(figures) >= 2
    if space is VALUES:
        scale = Scale.of(job.train_samples)
        np.testing.assert_allclose(state["scale.mean"].numpy(), scale.mean_C)
        # Even before it has learned much, it predicts near the mean of each value.
        assert np.abs(result.oof.p_NC[:, 0] - 1004.5).max() < 20


@pytest.mark.parametrize("mix", ["mixup", "cutmix"])
def test_labels_and_values_are_mixed(mix, tmp_path):
    for space in (LABELS, VALUES):
        result, _ = loop.fit(network(space, epochs=1, mix=MixSettings(method=mix)), tmp_path / space.kind)
        assert np.isfinite(result.history[-1]["train_loss"])


def test_a_mix_is_unknown_where_one_side_is_and_a_row_that_is_not_mixed_keeps_its_own():
    own, other = torch.tensor([[1.0, np.nan], [1.0, 0.0]]), torch.tensor([[0.0, 1.0], [np.nan, 1.0]])
    at = torch.arange(2)
    mask = torch.tensor([0.25, 0.0]).view(2, 1, 1, 1)
    mixed = MixedBatch(Batch(torch.zeros(2, 1, 1, 3), at, at), mask).of(own, other)
    np.testing.assert_array_equal(mixed.numpy(), [[0.75, np.nan], [1, 0]])


def test_a_window_of_rows_without_a_known_cell_changes_nothing():
    space = LabelSpace.numbers(["x"])
    target = torch.full((2, 1), float("nan"))
    samples = Samples(*(np.array(["a", "b"]),) * 3, space, None, "train", y_NK=target.numpy())
    loss = make_loss(LossSettings(), class_facts(samples, TrainRows.of(np.arange(2))))
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3, 1))
    batch = Batch(torch.zeros(2, 1, 1, 3, dtype=torch.uint8), torch.zeros(2), torch.arange(2))
    value = Backward(loss, target, torch.ones(2))(network, [batch])
    assert isinstance(loss, Loss) and float(value) == 0
    assert all((p.grad == 0).all() for p in network.parameters())


def test_soft_labels_replace_cells_of_labels_and_whole_rows_of_shares():
    ids = np.array(["a", "b"])
    space = LabelSpace.independent([Attribute("x", TWO), Attribute("y", TWO)])
    samples = Samples(ids, ids, ids, space, None, "train", y_NK=np.array([[1, np.nan], [0, 1]], np.float32))
    soft = np.array([[0.8, 0.3], [np.nan, 0.6]], np.float32)
    np.testing.assert_allclose(targets_of(samples, soft).numpy(), [[0.8, 0.3], [0, 0.6]])


def test_the_scale_of_values_counts_known_cells_and_leaves_a_constant_alone():
    ids = np.array(["a", "b", "c"])
    y = np.array([[1, 5, np.nan], [3, 5, np.nan], [np.nan, 5, np.nan]], np.float32)
    samples = Samples(ids, ids, ids, LabelSpace.numbers(["x", "y", "z"]), None, "train", y_NK=y)
    scale = Scale.of(samples)
    assert scale.mean_C.tolist() == [2, 5, 0] and scale.spread_C.tolist() == [1, 1, 1]


def test_the_tables_of_columns_say_what_each_kind_can_be_judged_by():
    job = heads_of(LABELS)
    p = np.nan_to_num(job.valid_samples.y_NK, nan=0.3)
    p[:, 1:4] = np.where(np.isnan(job.valid_samples.y_NK[:, 1:4]), 1 / 3, p[:, 1:4])
    table = columns.table(job.valid_samples, p).set_index("class")
    assert (table["f1"] == 1).all() and (table["auc"] == 1).all()
    assert table.loc["even", "known"] == (~np.isnan(job.valid_samples.y_NK[:, 0])).sum() < VALID < TRAIN
    assert columns.summary(job.valid_samples, p)["f1_size"] == 1
    values = heads_of(VALUES).valid_samples
    q = np.nan_to_num(values.y_NK, nan=7.0) + np.float32(0.5)
    rows = columns.table(values, q).set_index("value")
    assert rows["mae"].tolist() == pytest.approx([0.5, 0.5], abs=1e-3)
    assert columns.summary(values, q) == {
        "mae_digit": rows.loc["digit", "mae"],
        "mae_square": rows["mae"].iloc[1],
    }
    assert "square" in columns.worst(columns.table(values, q))
