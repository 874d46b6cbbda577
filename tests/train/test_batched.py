"""Heads side by side: each is what it would be alone, and learns as a linear head or an MLP does."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from heads_world import TRAIN, features, head_job, three_folds, with_train
from learn_world import all_rows, equal_states
from timm.optim import list_optimizers
from torch import nn

from pipeline.core.errors import ConfigError, UserError
from pipeline.core.samples import SyntheticRows, TrainRows
from pipeline.core.targets import Target, softmax
from pipeline.settings.train import TrainSettings
from pipeline.train.batched_heads import ELEMENTWISE, clip_each, fit_heads
from pipeline.train.heads import head_probabilities, plain_view, restore_head
from pipeline.train.losses import Loss
from pipeline.train.optim import make_optimizer


@pytest.fixture(scope="module")
def job():
    return head_job()


def fit(job):
    """(result, state) of one fold alone."""
    (found,) = fit_heads([job])
    return found.result, found.state


def plain_loop(job):
    """(C, D) weights by the textbook: nn.Linear, torch's AdamW, one batch after the other."""
    from pipeline.core.seeds import rng
    from pipeline.data.loader import batch_bounds, epoch_order
    from pipeline.train.optim import Schedule

    train, n = job.train, len(job.train_samples)
    mean_D, std_D = job.statistics()
    x_NVD = torch.from_numpy(job.features.take(job.train_samples.ids_N).x_NVD.copy())
    linear = nn.Linear(len(mean_D), 10)
    nn.init.zeros_(linear.weight), nn.init.zeros_(linear.bias)
    groups = [
        {"params": [linear.bias], "weight_decay": 0.0},
        {"params": [linear.weight], "weight_decay": train.weight_decay},
    ]
    optimizer = torch.optim.AdamW(groups, lr=train.lr)
    bounds, step = batch_bounds(n, train.batch_size), 0
    schedule = Schedule(train, (len(bounds),) * train.epochs)
    y_N = torch.from_numpy(job.train_samples.labels.copy())
    for epoch in range(train.epochs):
        order = torch.from_numpy(epoch_order(n, train.seed, job.fold, epoch))
        views = rng(train.seed, "view", job.fold, epoch).integers(x_NVD.shape[1], size=n)
        for start, end in bounds:
            at = order[start:end]
            z = (x_NVD[at, torch.from_numpy(views[start:end])] - mean_D) / std_D
            for group in optimizer.param_groups:
                group["lr"] = schedule.lr(step)
            optimizer.zero_grad()
            nn.functional.cross_entropy(linear(z), y_N[at]).backward()
            if train.clip_norm is not None:
                nn.utils.clip_grad_norm_(linear.parameters(), train.clip_norm)
            optimizer.step()
            step += 1
    return linear.weight.detach()


@pytest.mark.parametrize("more", [{}, {"clip_norm": 0.5}], ids=["plain", "clipped"])
def test_every_head_of_a_batch_is_what_a_plain_loop_gives(more):
    """Folds of 600, 590 and 430 rows: other step counts, last batches of other lengths, two views."""
    jobs = three_folds(epochs=3, **more)
    for job, found in zip(jobs, fit_heads(jobs), strict=True):
        torch.testing.assert_close(found.state["out.weight"][0], plain_loop(job), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "more",
    [{"head": "mlp", "head_hidden": 16, "head_seeds": 2}, {"optimizer": "lamb"}, {"clip_norm": 0.1}],
    ids=["mlp", "per-tensor norms", "clipped"],
)
def test_a_fold_is_the_same_beside_others(more):
    """Dropout, hidden weights and norms are each head's own."""
    jobs = three_folds(epochs=2, **more)
    for job, found in zip(jobs, fit_heads(jobs), strict=True):
        (alone,) = fit_heads([job])
        np.testing.assert_allclose(alone.by_seed.p_VNC, found.by_seed.p_VNC, atol=1e-5)
        assert alone.result.history[-1]["train_loss"] == pytest.approx(
            found.result.history[-1]["train_loss"], rel=1e-5
        )


def moved(weight_JDC, bias_JC, grads, name):
    """Weights after a few steps of an optimizer."""
    network = nn.Module()
    network.out = nn.Module()
    network.out.weight, network.out.bias = nn.Parameter(weight_JDC.clone()), nn.Parameter(bias_JC.clone())
    optimizer = make_optimizer(network, TrainSettings(optimizer=name, lr=0.01, weight_decay=0.05))
    for grad_JDC, grad_JC in grads:
        network.out.weight.grad, network.out.bias.grad = grad_JDC.clone(), grad_JC.clone()
        optimizer.step()
    return torch.cat([p.detach().flatten(1) for p in network.out.parameters()], dim=1)


@pytest.mark.parametrize("name", sorted(ELEMENTWISE))
def test_an_elementwise_optimizer_moves_a_stack_as_it_moves_each_head(name):
    assert name in list_optimizers()
    draw = torch.Generator().manual_seed(0)
    weight, bias = torch.randn(3, 17, 5, generator=draw), torch.randn(3, 5, generator=draw)
    # Heads whose gradients differ a hundredfold: any norm over the stack would tell.
    size = torch.tensor([0.1, 1.0, 10.0])
    grads = [
        (
            torch.randn(3, 17, 5, generator=draw) * size[:, None, None],
            torch.randn(3, 5, generator=draw) * size[:, None],
        )
        for _ in range(6)
    ]
    together = moved(weight, bias, grads, name)
    for j in range(3):
        own = [(w[j : j + 1], b[j : j + 1]) for w, b in grads]
        alone = moved(weight[j : j + 1], bias[j : j + 1], own, name)[0]
        torch.testing.assert_close(alone, together[j], rtol=1e-6, atol=1e-7)


def test_each_head_is_clipped_by_itself():
    network = nn.Module()
    network.a, network.b = nn.Parameter(torch.zeros(2, 3, 4)), nn.Parameter(torch.zeros(2, 3))
    draw = torch.Generator().manual_seed(0)
    for p in network.parameters():
        p.grad = torch.randn(p.shape, generator=draw) * torch.tensor([0.01, 9.0]).view(2, *[1] * (p.ndim - 1))
    before = [p.grad.clone() for p in network.parameters()]
    clip_each(network, 1.0)
    for j in range(2):
        alone = [nn.Parameter(torch.zeros_like(g[j])) for g in before]
        for p, g in zip(alone, before, strict=True):
            p.grad = g[j].clone()
        nn.utils.clip_grad_norm_(alone, 1.0)
        for p, q in zip(alone, network.parameters(), strict=True):
            torch.testing.assert_close(p.grad, q.grad[j])
    assert torch.equal(network.a.grad[0], before[0][0]) and network.a.grad[1].norm() < before[0][1].norm()


def test_learns_digits_and_joins_by_id(job):
    result, state = fit(job)
    assert result.history[-1]["valid_score"] > 0.85
    assert list(result.oof.ids_N) == list(job.valid_samples.ids_N)
    keys = ["epoch", "train_loss", "lr", "images_per_second", "valid_loss", "valid_score", "gap"]
    assert set(result.history[0]) == set(keys) and len(result.history) == 8
    x_ND = plain_view(job.features.take(job.valid_samples.ids_N)).numpy()
    np.testing.assert_allclose(
        head_probabilities(restore_head(state), x_ND, job.target)[0], result.oof.p_NC, atol=1e-6
    )


def test_an_mlp_learns_what_a_linear_head_cannot(job):
    """Whether two features have the same sign: the parity that no line parts."""
    draw = np.random.default_rng(0)
    x_NVD = draw.standard_normal((*job.features.x_NVD.shape[:2], 3)).astype(np.float32)
    known = replace(job.features, x_NVD=x_NVD)
    parity = {i: int((x[0, 0] > 0) ^ (x[0, 1] > 0)) for i, x in zip(known.ids_N, x_NVD, strict=True)}
    train, valid = (
        replace(s, labels_N=np.array([parity[i] for i in s.ids_N]))
        for s in (job.train_samples, job.valid_samples)
    )
    task = replace(job, features=known, train_samples=train, valid_samples=valid)
    scores = {
        head: fit(with_train(task, head=head, head_hidden=64))[0].history[-1]["valid_score"]
        for head in ("linear", "mlp")
    }
    assert scores["linear"] < 0.65 and scores["mlp"] > 0.75, scores


def test_deterministic_and_folds_and_seeds_differ(job):
    (first,), (again,) = (fit_heads([with_train(job, head_seeds=3, epochs=2)]) for _ in range(2))
    assert equal_states(first.state, again.state)
    one, two, three = first.by_seed.p_VNC
    assert not np.array_equal(one, two) and not np.array_equal(two, three)
    np.testing.assert_allclose(first.result.oof.p_NC, (one + two + three) / 3, atol=1e-6)
    short = with_train(job, epochs=2)
    np.testing.assert_allclose(fit(short)[0].oof.p_NC, one, atol=1e-5)
    assert not equal_states(fit(short)[1], fit(replace(short, fold=2))[1])


def test_validation_features_and_labels_leave_the_heads_alone(job):
    """To the last bit, and of the fold beside it too; the statistics come from the training part alone."""
    is_valid = np.isin(job.features.ids_N, job.valid_samples.ids_N)
    x_NVD = np.where(is_valid[:, None, None], 1e6, job.features.x_NVD).astype(np.float32)
    permuted = replace(job.valid_samples, labels_N=job.valid_samples.labels[::-1])
    changed = replace(job, features=replace(job.features, x_NVD=x_NVD), valid_samples=permuted)
    pairs = [
        fit_heads([with_train(j, epochs=3), with_train(replace(j, fold=4), epochs=3)]) for j in (job, changed)
    ]
    assert all(equal_states(a.state, b.state) for a, b in zip(*pairs, strict=True))


def test_what_another_fold_trains_on_leaves_a_fold_alone(job):
    """Its labels, to the last bit: fold k's heads depend on nothing of fold j."""
    mine, other = with_train(job, epochs=3), with_train(replace(job, fold=4), epochs=3)
    taught = replace(
        other, train_samples=replace(other.train_samples, labels_N=job.train_samples.labels[::-1])
    )
    (before, moves), (after, moved_on) = fit_heads([mine, other]), fit_heads([mine, taught])
    assert equal_states(before.state, after.state) and not equal_states(moves.state, moved_on.state)


def test_views_are_drawn_in_training(job):
    two = replace(job, features=features(2))
    mirrored = replace(two, features=replace(two.features, x_NVD=two.features.x_NVD[:, [0, 0]]))
    assert not equal_states(fit(two)[1], fit(mirrored)[1])
    assert fit(two)[0].history[-1]["valid_score"] > 0.75


def test_it_validates_on_identity(job):
    with pytest.raises(ConfigError, match="identity"):
        fit(replace(job, features=replace(job.features, views=("hflip",))))


def test_a_constant_feature_is_no_trouble(job):
    x_NVD = job.features.x_NVD.copy()
    x_NVD[..., :9] = 5
    result, state = fit(replace(job, features=replace(job.features, x_NVD=x_NVD)))
    assert all(torch.isfinite(v).all() for v in state.values())
    assert result.history[-1]["valid_score"] > 0.8


def test_accumulation_is_a_larger_batch(job):
    assert equal_states(fit(job)[1], fit(with_train(job, batch_size=16, accumulate=2))[1])


def test_each_fold_has_the_loss_of_its_own_class_counts(job, monkeypatch):
    """A loss that knows the counts must get those of its fold, and logits of its own rows alone."""
    from pipeline.train import heads

    seen = []

    def watched(settings, facts, epoch, epochs):
        def rows(logits_BC, target_BC):
            seen.append((facts.counts_C.sum(), len(logits_BC)))
            return -(target_BC * logits_BC.log_softmax(-1)).sum(-1)

        return Loss(rows)

    monkeypatch.setattr(heads, "make_loss", watched)
    known = job.features
    fit_heads([head_job(0, 50, known, epochs=1), head_job(1, 40, known, epochs=1)])
    assert [n for n in seen if n[1] != 200] == [(50, 32), (40, 32), (50, 18), (40, 8)]


def test_sample_weights_and_soft_labels_reach_the_loss(job):
    weights = np.where(job.train_samples.labels == 3, 30, 1).astype(np.float32)
    soft = np.full((TRAIN, 10), np.nan, np.float32)
    soft[job.train_samples.labels == 4] = np.eye(10)[3]
    plain, heavy = fit(job)[0], fit(replace(job, weights_N=weights))[0]
    assert heavy.oof.p_NC[:, 3].mean() > plain.oof.p_NC[:, 3].mean()
    taught = fit(replace(job, soft_NC=soft))[0]
    is_four = job.valid_samples.labels == 4
    assert (plain.oof.labels()[is_four] == 3).mean() < 0.2 < 0.7 < (taught.oof.labels()[is_four] == 3).mean()


def test_a_loss_that_is_no_number_says_where(job):
    weights = np.full(TRAIN, np.inf, np.float32)
    with pytest.raises(UserError, match="fold 7, epoch 0, step 0"):
        fit_heads([job, replace(job, fold=7, weights_N=weights)])


def test_rows_that_are_drawn_anew_each_epoch_are_shown(job):
    """Sevens from the second epoch on: a head that looked at the first epoch's rows would know none."""
    others = TrainRows.of(np.flatnonzero(job.train_samples.labels != 7))
    redrawn = replace(job, rows=lambda epoch: all_rows(TRAIN)(epoch) if epoch else others)
    never = replace(job, rows=lambda epoch: others)
    is_seven = job.valid_samples.labels == 7
    seen, unseen = (fit(j)[0].oof.labels()[is_seven] == 7 for j in (redrawn, never))
    assert seen.mean() > 0.9 and unseen.mean() < 0.5


def test_synthetic_rows_train_the_head_and_leave_its_statistics_alone(job):
    """A class without images is learned from synthetic rows alone; each fold has its own."""
    few = job.train_samples.take(job.train_samples.ids_N[job.train_samples.labels != 7])
    without = replace(job, train_samples=few, rows=all_rows(len(few)))
    sevens = job.train_samples.take(job.train_samples.ids_N[job.train_samples.labels == 7])
    made = SyntheticRows(job.features.take(sevens.ids_N).x_NVD, sevens.labels)
    helped = replace(without, fold=2, synthetic=made, rows=all_rows(len(few) + len(made)))
    noise = SyntheticRows(np.zeros_like(made.x_SVD) - 5, np.zeros_like(made.labels_S))
    misled = replace(helped, fold=0, synthetic=noise)
    is_seven = job.valid_samples.labels == 7
    none, wrong, some = fit_heads([without, misled, helped])
    assert (none.result.oof.labels()[is_seven] == 7).mean() == 0
    assert (wrong.result.oof.labels()[is_seven] == 7).mean() == 0
    assert (some.result.oof.labels()[is_seven] == 7).mean() > 0.7
    for key in ("mean_JD", "std_JD"):
        assert torch.equal(none.state[key], some.state[key])


def test_an_unknown_optimizer_is_told(job):
    with pytest.raises(ConfigError, match=r"train\.optimizer"):
        fit(with_train(job, optimizer="adamv"))


def test_softmax_of_a_stack_is_that_of_its_heads():
    from pipeline.train.heads import from_logits_JNC

    logits = torch.randn(2, 3, 4)
    np.testing.assert_array_equal(
        from_logits_JNC(logits, Target(tuple("abcd")))[1], softmax(logits[1].numpy())
    )
