"""Whatever is combined with whatever: killed anywhere and continued, a fold ends with the same bits."""

import itertools
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from learn_world import all_rows, equal_states, fold_job
from test_fit import Killed, armed, comparable

from pipeline.core.samples import TrainRows
from pipeline.settings.loss import LossSettings
from pipeline.settings.schema import broken
from pipeline.settings.train import EarlyStoppingSettings, MixSettings, TrainSettings
from pipeline.train.loop import checkpoint_path, fit

FACTORS = {
    "optimizer": [
        {"optimizer": "adamw"},
        {"optimizer": "sgd", "optimizer_args": {"momentum": 0.8}},
        {"optimizer": "rmsprop"},
        {"optimizer": "adamp", "lr": 1e-3},
        {"optimizer": "adadelta", "lr": 0.3},
    ],
    "schedule": [
        {"schedule": "cosine"},
        {"schedule": "step", "lr_decay_epochs": 1},
        {"schedule": "one_cycle"},
        {"schedule": "plateau", "lr_patience": 0},
    ],
    "average": [{}, {"ema_decay": 0.9}, {"swa_start": 0.3}],
    "mix": [
        {},
        {"mix": MixSettings(method="mixup", alpha=0.4)},
        {"mix": MixSettings(method="cutmix", partner="minority")},
        {"mix": MixSettings(method="cutmix_half", partner="same_class", prob=0.5)},
    ],
    "accumulate": [{}, {"accumulate": 2}],
    "precision": [{}, {"precision": "bf16"}],
    "early_stopping": [{}, {"early_stopping": EarlyStoppingSettings(patience=2)}],
    "noise": [{}, {"input_noise": 0.1}, {"weight_noise": 0.1}, {"clip_norm": 0.5}],
    "strategy": [
        {},
        {"strategy": "gradual", "unfreeze_every": 1},
        {"strategy": "freeze_until", "freeze_until": 1},
        {"freeze_bn": True, "layer_decay": 0.8},
    ],
    "loss": [
        {},
        {"loss": LossSettings(name="focal")},
        # Deferred: the loss changes in the second of three epochs.
        {"loss": LossSettings(name="ldam", class_weights="effective", defer=0.4)},
        {"loss": LossSettings(name="soft_f1", blend=0.5)},
        {"loss": LossSettings(name="logit_adjustment", label_smoothing=0.1)},
    ],
    "job": [{}, {"workers": 2}, {"redraw": True}],
}
KILLED_AT = (0.1, 0.36, 0.5, 0.7, 0.95)
MANY = 10**9
CHECKOUT = Path(__file__).resolve().parents[2]
KILLS = 12


def allowed(row):
    """Whether the settings' own rules let these levels stand together."""
    words = dict(pair for value in row if value is not None for pair in value.items())
    train = TrainSettings(**{k: v for k, v in words.items() if k in TrainSettings.model_fields})
    return not broken({"train": train})


def pairwise(factors):
    """Rows of levels in which every allowed pair of two factors' levels stands together at least once."""
    names = list(factors)
    wanted = {
        (a, i, b, j)
        for a, b in itertools.combinations(range(len(names)), 2)
        for i, j in itertools.product(range(len(factors[names[a]])), range(len(factors[names[b]])))
    }
    blank = [None] * len(names)

    def levels(row):
        return [None if i is None else factors[name][i] for name, i in zip(names, row, strict=True)]

    def holds(row):
        return {(a, row[a], b, row[b]) for a, b in itertools.combinations(range(len(names)), 2)}

    wanted = {
        (a, i, b, j)
        for a, i, b, j in wanted
        if allowed(levels([i if n == a else j if n == b else None for n in range(len(names))]))
    }
    rows = []
    while wanted:
        a, i, b, j = min(wanted)
        row = list(blank)
        row[a], row[b] = i, j
        for n, name in enumerate(names):
            if row[n] is None:
                trials = [[*row[:n], level, *row[n + 1 :]] for level in range(len(factors[name]))]
                row = max((t for t in trials if allowed(levels(t))), key=lambda t: len(holds(t) & wanted))
        wanted -= holds(row)
        rows.append(row)
    return [dict(pair for value in levels(row) for pair in value.items()) for row in rows]


ROWS = pairwise(FACTORS)


def redrawn(epoch):
    return TrainRows.of(np.random.default_rng(epoch).integers(0, 49, size=40 + epoch))


def job_of(words, **more):
    words = {**words, **more}
    n_train = words.pop("n_train", 49)
    workers, loss, redraw = words.pop("workers", 0), words.pop("loss", None), words.pop("redraw", False)
    job = fold_job(n_train=n_train, **words)
    rows = redrawn if redraw else all_rows(n_train)
    return replace(job, workers=workers, rows=rows, loss=loss or job.loss)


def test_the_array_holds_every_pair_that_the_rules_allow():
    assert 20 <= len(ROWS) <= 40
    for (a, first), (b, second) in itertools.combinations(FACTORS.items(), 2):
        for one, other in itertools.product(first, second):
            together = any(
                all(row.get(k) == v for k, v in {**one, **other}.items())
                and (one or not set(row) & {k for level in first for k in level})
                and (other or not set(row) & {k for level in second for k in level})
                for row in ROWS
            )
            assert together != (
                {a, b} == {"average", "early_stopping"} and "swa_start" in one and bool(other)
            ), (one, other)


def continues(tmp_path, words, share):
    """Killed after this share of all images that are read, then continued."""
    job = job_of(words)
    counted = armed(replace(job, workers=0), MANY)
    whole, expected = fit(counted, tmp_path / "whole")
    reads = MANY - counted.images.x_NHWC.left
    # A loader process that is killed is another matter: see the slow tier.
    with pytest.raises(Killed):
        fit(armed(replace(job, workers=0), int(share * reads)), tmp_path / "killed")
    result, state = fit(job, tmp_path / "killed")
    assert equal_states(state, expected)
    assert np.array_equal(result.oof.p_NC, whole.oof.p_NC)
    assert comparable(result) == comparable(whole)


# Every sixth in the default tier, all in the slow one.
@pytest.mark.parametrize(
    "number", [n if n % 6 == 0 else pytest.param(n, marks=pytest.mark.slow) for n in range(len(ROWS))]
)
def test_a_crash_anywhere_ends_alike(tmp_path, number):
    continues(tmp_path, ROWS[number], KILLED_AT[number % len(KILLED_AT)])


def test_a_crash_inside_the_batch_statistics_of_swa_ends_alike(tmp_path):
    words = {"swa_start": 0.3, "mix": MixSettings(method="mixup")}
    # Three epochs of 49 rows; the last two read them twice: the second reading of the second epoch.
    continues(tmp_path, words, 0.5)


def test_a_stopped_fold_that_is_asked_for_again_trains_nothing(tmp_path):
    job = fold_job(epochs=6, lr=1e-9, early_stopping=EarlyStoppingSettings(patience=1))
    first, state = fit(job, tmp_path)
    assert len(first.history) < 6
    epochs = []
    again, same = fit(job, tmp_path, lambda fold, epoch, entry: epochs.append(epoch) or True)
    assert not epochs and equal_states(state, same) and again.history == first.history


@pytest.mark.parametrize(
    ("words", "copies"),
    [
        ({"optimizer": "sgd", "optimizer_args": {"momentum": 0.0, "nesterov": False}}, 1),
        ({"optimizer": "momentum"}, 2),
        ({"optimizer": "adamw"}, 3),
        ({"optimizer": "adamw", "ema_decay": 0.9}, 4),
        ({"optimizer": "adamw", "swa_start": 0.0}, 4),
        ({"optimizer": "adamw", "early_stopping": EarlyStoppingSettings()}, 4),
    ],
)
def test_a_checkpoint_is_as_large_as_what_it_holds(tmp_path, words, copies):
    _, state = fit(fold_job(epochs=1, **words), tmp_path)
    weights = sum(value.numel() * value.element_size() for value in state.values())
    size = checkpoint_path(tmp_path, 3).stat().st_size
    assert copies * weights * 0.95 < size < copies * weights + 120_000


def long(words):
    """Epochs long enough to be killed inside one."""
    return job_of(words, n_train=301, epochs=4)


@pytest.mark.slow
@pytest.mark.parametrize("number", np.linspace(0, len(ROWS) - 1, KILLS).astype(int).tolist())
def test_kill_9_ends_alike(tmp_path, number):
    """A real one, soon after a checkpoint, loader processes and all."""
    _, expected = fit(long(ROWS[number]), tmp_path / "whole")
    process = subprocess.Popen(
        [sys.executable, __file__, str(tmp_path / "killed"), str(number)],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(str(path) for path in (CHECKOUT, CHECKOUT / "tests")),
        },
    )
    path = checkpoint_path(tmp_path / "killed", 3)
    until = time.monotonic() + 300
    while not path.exists():
        assert process.poll() is None and time.monotonic() < until, "it ended before its first checkpoint"
        time.sleep(0.005)
    time.sleep(0.03 * (number % 7))
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert equal_states(fit(long(ROWS[number]), tmp_path / "killed")[1], expected)


if __name__ == "__main__":
    torch.set_num_threads(1)
    fit(long(ROWS[int(sys.argv[2])]), Path(sys.argv[1]))
