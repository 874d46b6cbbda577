import numpy as np
import pytest
import torch
from learn_world import digest, equal_states, fold_job

from pipeline.core.errors import UserError
from pipeline.settings.train import TrainSettings
from pipeline.train import health, losses
from pipeline.train.health import GradientWatch, StepFigures
from pipeline.train.loop import checkpoint_path, fit
from pipeline.train.losses import cross_entropy_terms, rows_of
from pipeline.train.state import follow, load_checkpoint


def figures(monkeypatch, every):
    monkeypatch.setitem(health.READ_EVERY, "cpu", every)
    return StepFigures(GradientWatch("fold 0, epoch 1", TrainSettings()), "cpu")


def pair(loss, norm=1.0):
    return torch.tensor([loss, norm], dtype=torch.float64)


def test_figures_are_read_every_few_steps_and_name_the_first_bad_one(monkeypatch):
    kept = figures(monkeypatch, 4)
    for step, loss in enumerate([2.0, float("nan"), 1.0]):
        kept.keep(pair(loss), step, rows=8)
    with pytest.raises(UserError, match=r"fold 0, epoch 1, step 1: the loss is not a finite number"):
        kept.keep(pair(1.0, float("nan")), 3, rows=8)


def test_figures_that_are_left_are_read_at_the_end(monkeypatch):
    kept = figures(monkeypatch, 4)
    for step in range(6):
        kept.keep(pair(float(step), step), step, rows=step)
    kept.read()
    assert kept.sum_loss == sum(step * step for step in range(6))
    assert kept.watch.summary() == {"grad_norm": 2.5, "grad_norm_max": 5.0}
    kept.read()
    assert kept.sum_loss == 55


def breaks_at(call):
    """Cross-entropy that is no number from one training batch on."""

    def make(settings, facts, weight_C):
        plain, calls = rows_of(cross_entropy_terms, settings.label_smoothing, weight_C), []

        def rows(logits_BC, target_BC):
            calls.append(1) if logits_BC.requires_grad else None
            value_B = plain(logits_BC, target_BC)
            return value_B * float("nan") if len(calls) > call and logits_BC.requires_grad else value_B

        return rows

    return make


@pytest.mark.parametrize("every", [1, 2, 50])
def test_a_loss_that_is_no_number_names_its_step_and_reaches_no_checkpoint(tmp_path, monkeypatch, every):
    """Each epoch has three steps; its loss is made anew."""
    monkeypatch.setitem(health.READ_EVERY, "cpu", every)
    job = fold_job(ema_decay=0.9)
    fit(job, tmp_path, lambda fold, epoch, entry: False)
    before = load_checkpoint(checkpoint_path(tmp_path, 3))
    monkeypatch.setitem(losses.REGISTRY, "cross_entropy", breaks_at(1))
    with pytest.raises(UserError, match="fold 3, epoch 1, step 4: the loss is not a finite number"):
        fit(job, tmp_path)
    after = load_checkpoint(checkpoint_path(tmp_path, 3))
    assert after["epoch"] == before["epoch"] == 1
    assert equal_states(after["model"], before["model"])


@pytest.mark.parametrize("more", [{}, {"ema_decay": 0.9, "clip_norm": 1.0, "accumulate": 2}])
def test_how_often_figures_are_read_changes_no_bit(tmp_path, monkeypatch, more):
    found = []
    for every in (1, 3, 50):
        monkeypatch.setitem(health.READ_EVERY, "cpu", every)
        result, state = fit(fold_job(epochs=2, **more), tmp_path / str(every))
        figures = [{k: v for k, v in e.items() if k != "images_per_second"} for e in result.history]
        found.append((digest(state), figures))
    assert found[0] == found[1] == found[2]


def test_an_average_follows_by_a_share_and_copies_whole_numbers():
    one, two = (torch.nn.BatchNorm1d(2) for _ in range(2))
    two.weight.data.fill_(3.0)
    two.num_batches_tracked += 7
    follow(one, two, torch.tensor(0.25))
    assert one.weight.tolist() == [1.5, 1.5] and one.num_batches_tracked == 7
    follow(one, two, torch.tensor(1.0))
    assert np.allclose(one.weight.tolist(), 3.0)
