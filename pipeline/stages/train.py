"""`make train`: every fold of one experiment, pooled out of fold.

    make train                                   the default experiment
    make train ARGS="experiment=small_cnn"       another one
    make train ARGS="train.folds=[0]"            one fold now; the others later, without retraining it

Owns pooling and scoring; training one fold is `pipeline/stages/fold.py`.
"""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pipeline.core import metrics
from pipeline.core.predictions import pool
from pipeline.data import augment
from pipeline.record import files
from pipeline.record.runinfo import note
from pipeline.record.store import Artifact
from pipeline.settings.load import Settings
from pipeline.stages import estimate, load, scoring
from pipeline.stages.context import Built, Job
from pipeline.stages.registry import Need, folds_of, is_probe

if TYPE_CHECKING:
    from pipeline.stages.context import Context


def refuse(settings: Settings) -> None:
    """Raise ConfigError for a metric that nobody knows, or an augmentation policy that cannot be made."""
    metrics.get(settings.config.competition.metric)
    if not is_probe(settings):
        augment.check(settings.config)


def announce(settings: Settings, inputs: dict[str, Artifact], missing: list[Need], ctx: Context) -> list[str]:
    """Expected time and disk, before the first fold starts."""
    seconds, disk = estimate.training(settings, inputs, missing, ctx)
    free = shutil.disk_usage(ctx.home).free
    asked = len(folds_of(settings))
    return [
        f"train           {settings.experiment}: {len(missing)} of {asked} folds to train, about "
        f"{seconds / 60:.1f} min and {disk / 1e6:.0f} MB (free: {free / 1e9:.0f} GB)"
    ]


def build(job: Job) -> Built:
    """Write oof.npz, history.csv and scores.json."""
    config = job.settings.config
    samples = load.samples(job.inputs["data"], "train", job.home)
    plan = load.plan(job.inputs["folds"])
    folds = folds_of(job.settings)
    parts = [load.oof(job.inputs[f"fold{k}"], f"fold {k}") for k in folds]
    oof = pool(parts, job.settings.experiment)
    history = pd.concat(
        [pd.DataFrame(job.inputs[f"fold{k}"].json("history.json")).assign(fold=k) for k in folds]
    )
    history.to_csv(job.draft / "history.csv", index=False)
    files.write_probabilities(job.draft / "oof.npz", oof)
    rival = scoring.best_earlier(job.store, config, job.inputs, job.key)
    scores = scoring.scores_of(config, samples, parts)
    card = scoring.score_card(config, samples, oof, scores, rival)
    table = metrics.per_class(samples.take(oof.ids_N).labels, oof.labels(), samples.space.n_classes)
    per_class = pd.DataFrame(
        {
            "class": samples.space.classes,
            "precision": table.precision_C,
            "recall": table.recall_C,
            "f1": table.f1_C,
            "support": table.support_C,
        }
    )
    per_class.to_csv(job.draft / "per_class.csv", index=False)
    told = scoring.lines(card, len(samples))
    told.append("folds " + " ".join(f"{s:.3f}" for s in scores))
    worst = per_class[per_class.support > 0].nsmallest(1, "f1").iloc[0]
    told.append(f"worst class {worst['class']}: F1 {worst['f1']:.3f} on {worst['support']} images")
    last = history[history.epoch == history.epoch.max()]
    gap = float((last.train_loss - last.valid_loss).mean()) if "valid_loss" in last else float("nan")
    figures = {**card.figures, "complete": float(len(folds) == len(plan))}
    if np.isfinite(gap):
        figures["loss_gap"] = -gap
    description = _description(job, told, scoring.why(card))
    tags = scoring.tags(card, rival, job.resolved)
    return Built(figures, tuple(told), description, ("per_class.csv", "history.csv"), tags)


def _description(job: Job, told: list[str], why: str) -> str:
    changed = ", ".join(f"`{k}={json.dumps(v)}`" for k, v in job.settings.request.values)
    what = f"experiment `{job.settings.experiment}`, " + (
        f"with {changed}" if changed else "as its file says"
    )
    return note(what, why, "make infer, then make ensemble", result="; ".join(told))
