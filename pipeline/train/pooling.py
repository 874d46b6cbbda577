"""All folds of one experiment as one result: pooled out-of-fold predictions and their tables.

Owns reading the finished folds and making the tables and lines of `make train`. Does not own scores
(`train/scoring.py`) nor training a fold (`train/members.py`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from pipeline.core.predictions import Probabilities, pool_views
from pipeline.core.samples import Samples
from pipeline.engine.stage import Job
from pipeline.record import files
from pipeline.record.store import Artifact
from pipeline.record.tracking import note
from pipeline.settings.schema import Config
from pipeline.train import columns, scoring, texts

Inputs = Mapping[str, Artifact]
# Figures of pseudo-labels; those of the folds are averaged.
PSEUDO_FIGURES = ("pseudo_offered", "pseudo_adopted", "pseudo_same_group")


def history(inputs: Inputs, folds: Sequence[int]) -> pd.DataFrame:
    """The histories of all folds, one row per epoch, with the column `fold`."""
    return pd.concat([pd.DataFrame(inputs[f"fold{k}"].json("history.json")).assign(fold=k) for k in folds])


def per_class(samples: Samples, oof: Probabilities) -> pd.DataFrame:
    """Figures of each class, label or value, out of fold; see `columns.table`."""
    return columns.table(samples.take(oof.ids_N), oof.p_NC)


def pseudo_labels(inputs: Inputs, folds: Sequence[int]) -> pd.DataFrame | None:
    """The pseudo-label tables of all folds; None without pseudo-labels."""
    paths = {k: inputs[f"fold{k}"].folder / "pseudo.csv" for k in folds}
    tables = [pd.read_csv(path).assign(fold=k) for k, path in paths.items() if path.is_file()]
    return pd.concat(tables) if tables else None


def scores_by_seed(config: Config, inputs: Inputs, folds: Sequence[int], samples: Samples) -> list[float]:
    """The pooled score of the heads of each seed; empty where a fold has one seed."""
    paths = [inputs[f"fold{k}"].folder / "seeds.npz" for k in folds]
    if not all(path.is_file() for path in paths):
        return []
    pooled = pool_views([files.read_views(path, "seeds") for path in paths], "seeds")
    return scoring.scores_of(config, samples, [pooled.view(name) for name in pooled.views])


def figures(
    inputs: Inputs, folds: Sequence[int], by_seed: Sequence[float], pseudo: pd.DataFrame | None
) -> dict[str, float]:
    """Figures beside the score: means over the folds, and the spread over seeds; arguments as for `lines`."""
    trained = [inputs[f"fold{k}"].metrics for k in folds]
    means = {
        "loss_gap": float(np.mean([fold["gap"] for fold in trained])),
        "images_per_second": float(np.mean([fold["images_per_second"] for fold in trained])),
    }
    if by_seed:
        means |= {"seed_mean": float(np.mean(by_seed)), "seed_std": float(np.std(by_seed, ddof=1))}
    if pseudo is not None:
        means |= {name: float(np.mean([fold[name] for fold in trained])) for name in PSEUDO_FIGURES}
    return means


def lines(
    inputs: Inputs,
    folds: Sequence[int],
    classes: pd.DataFrame,
    scores: Sequence[float],
    by_seed: Sequence[float],
    pseudo: pd.DataFrame | None,
) -> list[str]:
    """What the terminal shows below the pooled score; `scores` are those of each fold."""
    rows = [texts.FOLD_SCORES.format(scores=" ".join(f"{s:.3f}" for s in scores))]
    rows += [line for line in [columns.worst(classes)] if line]
    if by_seed:
        each, spread = " ".join(f"{s:.4f}" for s in by_seed), float(np.std(by_seed, ddof=1))
        rows.append(texts.SEED_SCORES.format(scores=each, spread=spread))
    trained = [inputs[f"fold{k}"].metrics for k in folds]
    if "chosen_epoch" in trained[0]:
        epochs = " ".join(f"{fold['chosen_epoch'] + 1:.0f}" for fold in trained)
        images = sum(fold["inner_images"] for fold in trained) / len(folds)
        rows.append(texts.CHOSEN_EPOCHS.format(epochs=epochs, images=images))
    if pseudo is not None:
        by_class = pseudo.groupby("class", sort=False)["adopted"].sum() / len(folds)
        counts = ", ".join(f"{name} {count:.0f}" for name, count in by_class.items() if count)
        rows.append(texts.PSEUDO_MEAN.format(images=by_class.sum(), classes=counts or "none"))
    return rows


def description(job: Job, lines: Sequence[str], why: str) -> str:
    """The description of the MLflow run; `why` is the question that the run answers."""
    overrides = ", ".join(f"`{k}={json.dumps(v)}`" for k, v in job.request.values)
    text = texts.EXPERIMENT_WITH if overrides else texts.EXPERIMENT_AS_FILE
    what = text.format(experiment=job.settings.experiment, overrides=overrides)
    return note(what, why, "make infer, then make ensemble", result="; ".join(lines))
