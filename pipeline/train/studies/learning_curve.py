"""The learning curve: score against the number of training groups, as a table, as text and as a page.

Owns scoring the trainings on held-out images and on the images that they learned, the verdicts, the table and
the plots. Does not own the trainings nor the shares of groups (`resample/subsets.py`): every point is an
ordinary cached training with `train.group_share` and its own seed.

Two questions. Would more data help? That is the gain of the last step, compared with a margin below which
collecting data is not worthwhile. Bias or variance? That is the gap between validation and training error (A.
Ng, Machine Learning Yearning, 2018, chapters 20 to 32).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from markupsafe import Markup

from pipeline.core import metrics, statistics
from pipeline.core.group_resampling import percentile_interval, resampled
from pipeline.core.predictions import Comparison, Probabilities
from pipeline.core.samples import FoldPlan, Samples
from pipeline.core.seeds import rng
from pipeline.data import load
from pipeline.engine.stage import Job
from pipeline.nets.stages import is_probe
from pipeline.pages import plots
from pipeline.pages.report import Thumbnails, plural, render, signed
from pipeline.record.store import Artifact
from pipeline.resample import subsets
from pipeline.resample.indices import Part
from pipeline.settings.load import Settings
from pipeline.settings.schema import Config
from pipeline.train import columns, texts
from pipeline.train.committee import Committee
from pipeline.train.members import Learner, Network, Probe
from pipeline.train.stages import folds_of

# If training error is lower than validation error by at least this share, the model has high variance; by at
# most the second one, high bias.
MOSTLY_VARIANCE = 0.5
MOSTLY_BIAS = 0.25
# A validation error below this is too small to ask for its cause.
SETTLED = 0.01


@dataclass(frozen=True)
class _OnTraining:
    """Figures of a training on the images that it learned, means over its folds."""

    groups: float
    images: float
    score: float
    error: float


def measure(job: Job, points: Mapping[str, Settings]) -> CurvePage:
    """What the page shows; `points` are the settings of every training, by the name of its input."""
    config = job.settings.config
    trained = {name: job.inputs[name] for name in points}
    oofs = {name: load.oof(artifact, name) for name, artifact in trained.items()}
    ids = next(iter(oofs.values())).ids_N
    known = load.samples(job.inputs["data"], "train", job.home).take(ids)
    learner = _learner(job)
    of_training = {name: point.config.train for name, point in points.items()}
    on_training = {
        name: _on_training(job, learner, train.seed, train.group_share, trained[name])
        for name, train in of_training.items()
    }
    shares = config.learning_curve.shares
    by_share = [[n for n, train in of_training.items() if train.group_share == share] for share in shares]
    rows = [
        _row(job, share, names, oofs, known, on_training, trained)
        for share, names in zip(shares, by_share, strict=True)
    ]
    table = pd.DataFrame(rows)
    metric, numbers = metrics.get(config.competition.metric), config.statistics
    arms = [[oofs[n].take(ids).p_NC for n in names] for names in by_share]
    last, y_N, groups_N = [(len(shares) - 1, len(shares) - 2)], known.truth, known.groups_N
    compared = statistics.compare_arms(metric, y_N, arms, last, groups_N, numbers.draws, numbers.seed)
    table.insert(6, "sd of seeds", compared.spread_A)
    wrong = [float(columns.wrong(known, oofs[n].take(ids).p_NC)) for n in by_share[-1]]
    train_error = float(np.mean([on_training[n].error for n in by_share[-1]]))
    errors = Errors(train_error, float(np.mean(wrong)))
    step, curve = compared.comparisons[0], config.learning_curve
    return CurvePage(job.title, metric.name, table, step, curve.margin, errors, curve.seeds)


def _learner(job: Job) -> Learner:
    if is_probe(job.settings):
        return Probe(
            job.settings.config, load.features(dict(job.inputs), "train", ["identity"]).with_metadata()
        )
    prepared = job.inputs["prepared"]
    columns = load.metadata_columns(prepared)
    images = load.prepared(prepared, "train")
    return Network(job.settings.config, images, job.home, job.work, metadata=columns)


def _row(
    job: Job,
    share: float,
    names: list[str],
    oofs: dict[str, Probabilities],
    known: Samples,
    on_training: dict[str, _OnTraining],
    trained: dict[str, Artifact],
) -> dict[str, float]:
    """The figures of one share, means over its seeds."""
    numbers = job.settings.config.statistics
    metric = metrics.get(job.settings.config.competition.metric)
    sides = [oofs[n].take(known.ids_N).p_NC for n in names]
    drawn_MB = resampled(metric, known.truth, sides, known.groups_N, numbers.draws, numbers.seed)
    low, high = percentile_interval(drawn_MB.mean(axis=0))
    score = float(np.mean([metric.score(known.truth, p_NC) for p_NC in sides]))
    train = float(np.mean([on_training[n].score for n in names]))
    return {
        "share": share,
        "groups": float(np.mean([on_training[n].groups for n in names])),
        "images": float(np.mean([on_training[n].images for n in names])),
        "score": score,
        "low": float(low),
        "high": float(high),
        "train score": train,
        "gap": metric.sign * (train - score),
        "loss gap": float(np.mean([trained[n].metrics.get("loss_gap", np.nan) for n in names])),
    }


def _on_training(job: Job, learner: Learner, seed: int, share: float, trained: Artifact) -> _OnTraining:
    """Scores of a training on some of the training images of each of its folds."""
    samples = load.training(job.inputs["data"], job.home)
    plan = load.plan(job.inputs["folds"])
    metric = metrics.get(job.settings.config.competition.metric)
    by_fold = []
    for k in folds_of(job.settings):
        part = _part(samples, plan, k, share, seed)
        n = min(job.settings.config.learning_curve.images, len(part))
        chosen = part.take(rng(seed, "training curve", k).permutation(part.ids_N)[:n])
        stage, _, key = trained.inputs[f"fold{k}"].partition("/")
        fold = job.store.find(stage, key)
        assert fold is not None, f"{trained.key} needs fold {key}, which is gone"
        committee = Committee.read(fold.folder)
        by_model = [learner.predict(s, chosen.ids_N, chosen.space) for s in committee.states]
        p_NC = np.einsum("m,mnc->nc", np.array(committee.shares), np.stack(by_model)).astype(np.float32)
        wrong = columns.wrong(chosen, p_NC)
        groups = len(np.unique(part.groups_N))
        by_fold.append(_OnTraining(groups, len(part), metric.score(chosen.truth, p_NC), wrong))
    return _OnTraining(
        *(float(np.mean([getattr(f, n) for f in by_fold])) for n in ("groups", "images", "score", "error"))
    )


def _part(samples: Samples, plan: FoldPlan, fold: int, share: float, seed: int) -> Samples:
    split = plan.splits[fold]
    part = Part(samples.take(split.train_ids).for_training(), fold, split.times_T)
    return subsets.group_share(part, share, seed).samples


@dataclass(frozen=True)
class Errors:
    """Error rates at the largest share, 0 to 1: on training images, and out of fold."""

    train: float
    valid: float

    @property
    def unseen(self) -> float:
        """The gap between validation and training error, as a share of the validation error."""
        return max(self.valid - self.train, 0.0) / self.valid if self.valid else 0.0


@dataclass(frozen=True)
class CurvePage:
    """The figures of the page.

    Args:
        table: one row per share, ascending: share, groups, images, score, low, high, sd of seeds, train
            score, gap, loss gap.
        last_step: the largest share against the one before it.
        margin: a smaller gain is not worthwhile.
        seeds: number of trainings per share.
    """

    experiment: str
    metric: str
    table: pd.DataFrame
    last_step: Comparison
    margin: float
    errors: Errors
    seeds: int


def more_data(page: CurvePage) -> str:
    """Whether more data would help, in a sentence."""
    step, (before, last) = page.last_step, page.table["groups"].tolist()[-2:]
    text = texts.MORE_DATA_UNCLEAR
    if step.high < page.margin:
        text = texts.MORE_DATA_NO
    elif step.low > 0:
        text = texts.MORE_DATA_YES
    gain = texts.LAST_STEP.format(
        before=before, last=last, gain=signed(step.delta), low=signed(step.low), high=signed(step.high)
    )
    return text.format(gain=gain, margin=page.margin)


def bias_or_variance(page: CurvePage) -> str:
    """Where the errors come from, in a sentence."""
    errors, text = page.errors, texts.BIAS_AND_VARIANCE
    if errors.valid < SETTLED:
        text = texts.FEW_ERRORS
    elif errors.unseen >= MOSTLY_VARIANCE:
        text = texts.VARIANCE
    elif errors.unseen <= MOSTLY_BIAS:
        text = texts.BIAS
    return text.format(errors=texts.ERROR_RATES.format(valid=errors.valid, train=errors.train))


def verdict(page: CurvePage) -> str:
    """Both answers."""
    return f"{more_data(page)} {bias_or_variance(page)}"


def reading(page: CurvePage) -> str:
    """How to read the figures."""
    note = f" ({page.last_step.note})" if page.last_step.note else ""
    return texts.CURVE_READING.format(seeds=plural(page.seeds, "seed"), note=note)


def lines(page: CurvePage) -> list[str]:
    """The table and the verdict for the terminal."""
    table = page.table.copy()
    table["share"] = table["share"].map("{:.0%}".format)
    for name in ("groups", "images"):
        table[name] = table[name].map("{:.0f}".format)
    text = table.to_string(index=False, float_format=lambda value: f"{value:.4f}")
    return [*text.splitlines(), more_data(page), bias_or_variance(page)]


def render_html(page: CurvePage, title: str, config: Config) -> str:
    """The self-contained page; `title` is the competition's."""
    table = page.table
    drawn = [
        plots.Curve("validation", table["groups"].tolist(), table["score"].tolist()),
        plots.Curve("training", table["groups"].tolist(), table["train score"].tolist()),
    ]
    label = f"{page.metric} over training groups"
    return render(
        "learning_curve.html",
        title=texts.CURVE_TITLE.format(title=title, experiment=page.experiment),
        verdict=more_data(page),
        source=bias_or_variance(page),
        reading=reading(page),
        table=table,
        curve=plots.curves(drawn, label, "training groups of a fold", page.metric),
        intervals=_intervals(page),
        thumbs=Thumbnails.none(),
        thumbnail_px=config.report.thumbnail_px,
    )


def _intervals(page: CurvePage) -> Markup:
    rows = [
        plots.Whisker(f"{row['groups']:.0f} groups", row["score"], row["low"], row["high"])
        for _, row in page.table.iterrows()
    ]
    return plots.whiskers(rows, f"{page.metric} with its 95 % interval over groups")
