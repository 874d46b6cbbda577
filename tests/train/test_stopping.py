from dataclasses import replace

import numpy as np
import pytest
from learn_world import equal_states, fold_job

from pipeline.core.samples import Samples
from pipeline.settings.train import EarlyStoppingSettings
from pipeline.train.loop import best_epoch, checkpoint_path, ended, fit, marked, predicting
from pipeline.train.state import load_checkpoint


def history(*scores):
    return [{"epoch": float(n), "inner_score": score} for n, score in enumerate(scores)]


def test_the_first_of_equal_epochs_is_the_best_in_either_direction():
    assert best_epoch(history(0.1, 0.5, 0.5, 0.2), True) == 1
    assert best_epoch(history(0.1, 0.5, 0.1), False) == 0


def test_training_ends_after_patience_epochs_without_a_better_one():
    settings = EarlyStoppingSettings(patience=2)
    assert [ended(history(*s), settings, True) for s in ([], [0.3], [0.3, 0.2], [0.3, 0.2, 0.3])] == [
        False, False, False, True,
    ]  # fmt: skip
    assert not ended(history(0.3, 0.2, 0.4), settings, True)
    assert ended(history(0.3, 0.4, 0.5), settings, False)
    assert not ended(history(0.3, 0.1, 0.1, 0.1), None, True)


def test_the_history_says_which_epoch_predicts():
    entries = marked(history(0.1, 0.5, 0.2), 1)
    assert [entry["chosen"] for entry in entries] == [0, 1, 0] and predicting(entries)["epoch"] == 1
    plain = marked(history(0.1, 0.5), None)
    assert "chosen" not in plain[0] and predicting(plain)["epoch"] == 1


def scored_by(scores):
    """A metric that gives the inner split (12 images) these scores in turn, and tells nothing else."""
    left = iter(scores)
    return lambda y_N, p_NC: next(left) if len(y_N) == 12 else 0.0


def test_the_chosen_epochs_weights_predict(tmp_path):
    stop = EarlyStoppingSettings(patience=2)
    job = fold_job(epochs=6, early_stopping=stop, schedule="constant", warmup_epochs=0.0)
    result, state = fit(replace(job, metric=scored_by([0.1, 0.7, 0.3, 0.6])), tmp_path / "a")
    assert [entry["chosen"] for entry in result.history] == [0, 1, 0, 0], "it ended two epochs after the best"
    short = fold_job(epochs=2, early_stopping=stop, schedule="constant", warmup_epochs=0.0)
    _, expected = fit(replace(short, metric=scored_by([0.1, 0.7])), tmp_path / "b")
    assert equal_states(state, expected)
    assert not equal_states(state, load_checkpoint(checkpoint_path(tmp_path / "a", 3))["model"])
    lower, _ = fit(replace(job, metric=scored_by([0.1, 0.7, 0.3]), higher_is_better=False), tmp_path / "c")
    assert [entry["chosen"] for entry in lower.history] == [1, 0, 0]


def with_labels(samples, labels):
    return Samples(samples.ids_N, samples.paths_N, samples.groups_N, samples.space, labels, samples.split)


@pytest.mark.parametrize("schedule", ["cosine", "plateau"])
def test_nothing_is_chosen_on_the_validation_part(tmp_path, schedule):
    """Shuffling the validation part's labels changes no weight, not even through the plateau."""
    stop = EarlyStoppingSettings(patience=1)
    job = fold_job(epochs=4, early_stopping=stop, schedule=schedule, lr_patience=0)
    labels = np.random.default_rng(0).permutation(job.valid_samples.labels)
    other = replace(job, valid_samples=with_labels(job.valid_samples, labels))
    result, state = fit(job, tmp_path / "a")
    shuffled, same = fit(other, tmp_path / "b")
    assert equal_states(state, same) and np.array_equal(result.oof.p_NC, shuffled.oof.p_NC)
    assert result.history[0]["valid_loss"] != shuffled.history[0]["valid_loss"]
    inner = with_labels(job.inner_samples, (job.inner_samples.labels + 1) % 10)
    changed, _ = fit(replace(job, inner_samples=inner), tmp_path / "c")
    assert changed.history[0]["inner_loss"] != result.history[0]["inner_loss"]


def test_a_plateau_watches_the_training_loss_where_there_is_no_inner_split(tmp_path):
    job = fold_job(epochs=4, schedule="plateau", lr_patience=0, lr=1e-9, lr_decay=0.5, policy="none")
    rates = [entry["lr"] for entry in fit(job, tmp_path)[0].history]
    assert rates[-1] < rates[0], "a rate of almost 0 stands still, and is halved"
