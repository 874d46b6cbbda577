"""`make train`: every fold of one experiment, pooled out of fold.

    make train                                   the default experiment
    make train ARGS="experiment=small_cnn"       another one
    make train ARGS="train.folds=[0]"            one fold now; the others later, without retraining it

Owns pooling and scoring; training one fold is `pipeline/train/stage_fold.py`.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pipeline.core import metrics, plugin
from pipeline.core.predictions import pool, pool_views
from pipeline.core.samples import Samples
from pipeline.data import augment, load
from pipeline.engine.need import Need
from pipeline.engine.stage import Built, Job
from pipeline.nets.stages import is_probe
from pipeline.record import files
from pipeline.record.store import Artifact
from pipeline.record.tracking import note
from pipeline.settings.load import Settings
from pipeline.settings.loss import loss_notes
from pipeline.train import estimate, init_from, scoring
from pipeline.train.init_from import INITIAL
from pipeline.train.stages import folds_of

if TYPE_CHECKING:
    from pipeline.engine.stage import Host


def refuse(settings: Settings) -> None:
    """Raise ConfigError for an unknown metric, or a policy or a loss of one's own that does not work."""
    metrics.get(settings.config.competition.metric)
    if not is_probe(settings):
        augment.check(settings.config)
    if plugin.is_plugin(settings.config.loss.name):
        _try_loss(settings)


def _try_loss(settings: Settings) -> None:
    """Call the user's function once, and refuse soft labels that it does not take."""
    from pipeline.train import losses

    config = settings.config
    sizes = [len(a.values) for a in config.competition.attributes]
    losses.trial(config.loss.name, sizes if config.model.heads == "attributes" else [math.prod(sizes)])
    if config.train.mix.method != "none":
        losses.refuse_soft(config.loss, f"train.mix.method={config.train.mix.method}")
    if config.train.pseudo is not None and config.train.pseudo.soft:
        losses.refuse_soft(config.loss, "train.pseudo.soft=true")
    if config.train.distill is not None:
        losses.refuse_soft(config.loss, f"train.distill.soft={config.train.distill.soft:g}")
    for attribute in config.competition.attributes:
        if attribute.soft_width is not None:
            losses.refuse_soft(config.loss, f"soft_width={attribute.soft_width:g} of {attribute.name}")


def announce(
    settings: Settings, inputs: Mapping[str, Artifact], missing: list[Need], host: Host
) -> list[str]:
    """Expected time and disk, before the first fold starts; refuses folds that may not start as asked."""
    for need in missing:
        origin = host.graph.inputs(need).get(INITIAL)
        if origin is not None:
            init_from.refuse_others(host.get(origin), inputs, int(need.params["fold"]), host.store, host.home)
            init_from.refuse_seen(host.get(origin), inputs, settings)
    expected = estimate.training(settings, inputs, missing, host)
    free = shutil.disk_usage(host.home).free
    asked = len(folds_of(settings))
    sections = {"loss": settings.config.loss, "train": settings.config.train}
    return [
        *(f"                note: {text}" for text in loss_notes(sections)),
        f"train           {settings.experiment}: {len(missing)} of {asked} folds to train, about "
        f"{expected.seconds / 60:.1f} min and {expected.disk / 1e6:.0f} MB (free: {free / 1e9:.0f} GB)",
        *(f"    {line}" for line in expected.told),
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
    by_seed = _scores_by_seed(job, samples)
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
    if by_seed:
        spread = float(np.std(by_seed, ddof=1))
        told.append(f"seeds {' '.join(f'{s:.4f}' for s in by_seed)}: standard deviation {spread:.4f}")
    trained = [job.inputs[f"fold{k}"].metrics for k in folds]
    figures = {**card.figures, "complete": float(len(folds) == len(plan))}
    figures["loss_gap"] = float(np.mean([fold["gap"] for fold in trained]))
    figures["images_per_second"] = float(np.mean([fold["images_per_second"] for fold in trained]))
    if by_seed:
        figures |= {"seed_mean": float(np.mean(by_seed)), "seed_std": float(np.std(by_seed, ddof=1))}
    told += [*_chosen(folds, trained), *_adopted(job, folds)]
    attach: tuple[str, ...] = ("per_class.csv", "history.csv", "oof.npz")
    if (job.draft / "pseudo.csv").is_file():
        names = ("pseudo_offered", "pseudo_adopted", "pseudo_same_group")
        figures |= {name: float(np.mean([fold[name] for fold in trained])) for name in names}
        attach = (*attach, "pseudo.csv")
    description = _description(job, told, scoring.why(card))
    tags = scoring.tags(card, rival, job.resolved)
    return Built(figures, tuple(told), description, attach, tags)


def _chosen(folds: list[int], trained: list[dict[str, float]]) -> list[str]:
    """Which epochs early stopping chose, if it did."""
    if "chosen_epoch" not in trained[0]:
        return []
    epochs = " ".join(f"{fold['chosen_epoch'] + 1:.0f}" for fold in trained)
    held = sum(fold["inner_images"] for fold in trained) / len(folds)
    return [f"early stopping chose epochs {epochs} on inner splits of {held:.0f} training images a fold"]


def _adopted(job: Job, folds: list[int]) -> list[str]:
    """Pseudo-labels of all folds: a table beside the scores, and a line."""
    tables = {k: job.inputs[f"fold{k}"].folder / "pseudo.csv" for k in folds}
    found = [pd.read_csv(path).assign(fold=k) for k, path in tables.items() if path.is_file()]
    if not found:
        return []
    whole = pd.concat(found)
    whole.to_csv(job.draft / "pseudo.csv", index=False)
    by_class = whole.groupby("class", sort=False)["adopted"].sum() / len(folds)
    shown = ", ".join(f"{name} {count:.0f}" for name, count in by_class.items() if count)
    return [f"pseudo-labels adopted a fold, mean: {by_class.sum():.0f} ({shown or 'none'})"]


def _scores_by_seed(job: Job, samples: Samples) -> list[float]:
    """The pooled score of each seed's heads alone; empty where a fold has one."""
    folders = [job.inputs[f"fold{k}"].folder for k in folds_of(job.settings)]
    if not all((folder / "seeds.npz").is_file() for folder in folders):
        return []
    pooled = pool_views([files.read_views(folder / "seeds.npz", "seeds") for folder in folders], "seeds")
    parts = [pooled.view(name) for name in pooled.views]
    return scoring.scores_of(job.settings.config, samples, parts)


def _description(job: Job, told: list[str], why: str) -> str:
    changed = ", ".join(f"`{k}={json.dumps(v)}`" for k, v in job.request.values)
    what = f"experiment `{job.settings.experiment}`, " + (
        f"with {changed}" if changed else "as its file says"
    )
    return note(what, why, "make infer, then make ensemble", result="; ".join(told))
