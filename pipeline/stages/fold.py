"""`fold`: one fold of one experiment, trained to its last epoch.

Owns turning artifacts into a closed training job and back. Training is `pipeline/learn/fit.py`, or
`pipeline/learn/heads.py` for a linear probe. A killed fold continues from its work folder.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import pandas as pd

from pipeline.core import metrics
from pipeline.core.predictions import FoldResult
from pipeline.core.types import Samples
from pipeline.data import resample
from pipeline.data.inner import inner_split
from pipeline.data.resample import Part, Resampled
from pipeline.learn import checkpoint, fit, heads, stopping
from pipeline.learn.job import FoldJob
from pipeline.learn.judge import F1
from pipeline.learn.weights import State
from pipeline.record import files
from pipeline.stages import load
from pipeline.stages.context import Built, Job
from pipeline.stages.hardware import set_up
from pipeline.stages.registry import is_probe, probe_views

# How often an epoch is logged: a curve of a long linear probe needs no thousand points.
CURVE_POINTS = 40
# Curves of single classes: MLflow is slow with hundreds.
CLASS_CURVES = 5


class Held(NamedTuple):
    """What is not trained on: the validation part, and the inner split that early stopping chooses on."""

    valid: Samples
    inner: Samples | None


def build(job: Job) -> Built:
    """Write weights.pt, oof.npz, history.json and per_class_f1.csv.

    Raises:
        UserError: settings that do not fit the model, a loss that is no number.
    """
    number = int(job.params["fold"])
    samples = load.training(job.inputs["data"], job.home)
    plan = load.plan(job.inputs["folds"])
    part = load.part(dict(job.inputs), number, job.settings, job.home)
    valid = samples.take(plan.splits[number].valid_ids)
    part, inner = _inner(job, part, samples)
    chosen = resample.plan(part, job.settings.config.resample)
    held = Held(valid, inner)
    result, state = (_probe if is_probe(job.settings) else _network)(job, part, held, chosen)
    files.write_probabilities(job.draft / "oof.npz", result.oof)
    files.write_json(job.draft / "history.json", [_without_classes(entry) for entry in result.history])
    per_class(result.history).to_csv(job.draft / "per_class_f1.csv", index=False)
    checkpoint.save(job.draft / "weights.pt", {"weights": state})
    last = stopping.predicting(result.history)
    figures = {
        "valid_score": last["valid_score"],
        "valid_loss": last["valid_loss"],
        "train_loss": last["train_loss"],
        "gap": last["gap"],
        "images_per_second": float(np.mean([e.get("images_per_second", 0.0) for e in result.history])),
        "seconds_per_row": result.seconds / max(len(result.history) * len(chosen.rows(0)), 1),
        "weights_mb": sum(t.numel() * t.element_size() for t in state.values()) / 1e6,
    }
    if inner is not None:
        figures |= {"chosen_epoch": last["epoch"], "inner_score": last["inner_score"]}
        figures["inner_images"] = float(len(inner))
    tags = {"device": set_up(job.settings.config.runtime)}
    return Built(metrics=figures, attach=("per_class_f1.csv",), tags=tags)


def per_class(history: Sequence[dict[str, float]]) -> pd.DataFrame:
    """A row an epoch, a column for the F1 of each class that the validation part has images of."""
    rows = [
        {k.removeprefix(F1): v for k, v in e.items() if k == "epoch" or k.startswith(F1)} for e in history
    ]
    return pd.DataFrame(rows)


def _without_classes(entry: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in entry.items() if not name.startswith(F1)}


def _inner(job: Job, part: Part, samples: Samples) -> tuple[Part, Samples | None]:
    """With early stopping, the training part less the inner split, and the inner split."""
    settings = job.settings.config.train
    if settings.early_stopping is None:
        return part, None
    own = load.samples(job.inputs["data"], "train", job.home)
    kept, ids = inner_split(part, own.ids_N, settings.early_stopping.share, settings.seed)
    return kept, samples.take(ids)


def _on_epoch(job: Job, rarest: tuple[str, ...], fold: int, epoch: int, entry: dict[str, float]) -> bool:
    """Log an epoch's curves; of the classes, the rarest ones alone."""
    every = max(job.settings.config.train.epochs // CURVE_POINTS, 1)
    if epoch % every == 0 or epoch == job.settings.config.train.epochs - 1:
        curves = {k: v for k, v in _without_classes(entry).items() if k != "epoch"}
        # MLflow takes letters of any language, but not every sign.
        curves |= {
            F1 + re.sub(r"[^\w. -]", "_", name): entry[F1 + name] for name in rarest if F1 + name in entry
        }
        job.run.epoch(epoch, curves)
    return True


def _rarest(part: Part, held: Held) -> tuple[str, ...]:
    """The classes with the fewest images, of all parts together: the same for every fold."""
    space, parts = part.samples.space, (part.samples, held.valid, held.inner)
    labels = np.concatenate([samples.labels for samples in parts if samples is not None])
    counts_C = np.bincount(labels, minlength=space.n_classes)
    return tuple(space.classes[c] for c in np.argsort(counts_C, kind="stable")[:CLASS_CURVES])


def _network(job: Job, part: Part, held: Held, chosen: Resampled) -> tuple[FoldResult, State]:
    config = job.settings.config
    metric = metrics.get(config.competition.metric)
    fold = FoldJob(
        fold=part.fold,
        model=config.model,
        loss=config.loss,
        augment=config.augment,
        train=config.train,
        train_samples=part.samples,
        valid_samples=held.valid,
        inner_samples=held.inner,
        images=load.prepared(job.inputs["prepared"], "train"),
        rows=chosen.rows,
        metric=metric.score,
        higher_is_better=metric.higher_is_better,
        device=set_up(config.runtime),
        threads=config.runtime.threads,
        workers=config.runtime.workers,
        eval_batch=config.runtime.infer_batch,
    )
    return fit.fit(fold, job.work, partial(_on_epoch, job, _rarest(part, held)))


def _probe(job: Job, part: Part, held: Held, chosen: Resampled) -> tuple[FoldResult, State]:
    config = job.settings.config
    set_up(config.runtime)
    head = heads.HeadJob(
        fold=part.fold,
        loss=config.loss,
        train=config.train,
        train_samples=part.samples,
        valid_samples=held.valid,
        features=load.features(dict(job.inputs), "train", list(probe_views(job.settings))),
        rows=chosen.rows,
        metric=metrics.get(config.competition.metric).score,
        synthetic=chosen.synthetic,
    )
    result, state = heads.fit_linear(head)
    for entry in result.history:
        _on_epoch(job, (), part.fold, int(entry["epoch"]), entry)
    return result, state
