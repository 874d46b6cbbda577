"""The models of one fold: one network or linear head, a bag of several, or a boosted chain.

Owns the input of one training (`Lesson`), the learners (`Network` on pixels, `Probe` on cached
features), which lessons a fold takes and how its models vote. Does not own the training itself
(`train/loop.py`, `train/batched_heads.py`) nor drawing parts of a training part (`resample/subsets.py`).

Nothing here uses the validation part to decide anything: failures, weights and votes come from the training
part. A killed fold continues at the member that it was training; finished members stay in its work folder.

The chain is boosting, after Zhu, Zou, Rosset & Hastie, Multi-class AdaBoost (Statistics and Its Interface 2,
2009), algorithm 2 (SAMME): with C classes, a member of weighted error e has the vote
alpha = log((1 - e) / e) + log(C - 1), and the weights of the samples that it failed are multiplied by
exp(alpha). One departure: members vote with their probabilities instead of their labels, since an ensemble
blends probabilities.

Legend: N training samples, C classes that occur.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from pipeline.core import metrics
from pipeline.core.errors import DataError
from pipeline.core.language import _
from pipeline.core.metadata import Table
from pipeline.core.predictions import Features, FoldResult, Probabilities
from pipeline.core.samples import Floats, LabelSpace, Samples, Strings, positions, strings
from pipeline.core.seeds import seed
from pipeline.core.targets import Target
from pipeline.data import load
from pipeline.data.images import PreparedImages
from pipeline.data.loader import Chained, Images
from pipeline.engine.hardware import set_up
from pipeline.engine.stage import Job, OnEpoch
from pipeline.nets import model, views
from pipeline.nets.attributes import AttributeHeads
from pipeline.nets.cosine import Angles
from pipeline.nets.forward import Pass
from pipeline.nets.intake import Intake
from pipeline.nets.stages import is_probe, probe_views
from pipeline.nets.weights import State
from pipeline.resample import indices, subsets
from pipeline.resample.indices import Part
from pipeline.resample.subsets import Bools
from pipeline.settings.members import ChainSettings
from pipeline.settings.resample import ResampleSettings
from pipeline.settings.schema import Config
from pipeline.settings.train import TrainSettings
from pipeline.train import batched_heads, committee, heads, init_from, loop, precision, solved_heads, texts
from pipeline.train.committee import Committee
from pipeline.train.job import FoldJob, Initial
from pipeline.train.state import load_checkpoint, save_checkpoint
from pipeline.train.teachers import beside_training

# How a network was trained, for the record.
TAGS = ("mode", "engine", "matmul")

log = logging.getLogger(__name__)


def silent(fold: int, epoch: int, entry: dict[str, float]) -> bool:
    """An `on_epoch` that reports nothing and never stops the training."""
    return True


@dataclass(frozen=True)
class Lesson:
    """What one training learns from.

    Args:
        part: labelled samples to train on.
        valid: labelled samples that are predicted, never trained on.
        train: settings of the loop; the seed in them is this lesson's own.
        resample: settings of the rows; the seed in them is this lesson's own.
        weights_N: sample weights; None: all equal.
        soft_NC: soft labels from teachers; None, or a row of NaN: the label of the table.
        inner: the inner split of the training part, for early stopping alone.
        on_epoch: called after each epoch; False stops the training.
    """

    part: Part
    valid: Samples
    train: TrainSettings
    resample: ResampleSettings
    work: Path
    weights_N: Floats | None = None
    soft_NC: Floats | None = None
    inner: Samples | None = None
    on_epoch: OnEpoch = silent

    @property
    def targets_NC(self) -> Floats | None:
        """(N, C) soft labels in place of labels: from teachers first, then those of the table."""
        table_NC, teacher_NC = self.part.samples.soft_NC, self.soft_NC
        if table_NC is None or teacher_NC is None:
            return table_NC if teacher_NC is None else teacher_NC
        missing_N1 = np.isnan(teacher_NC).any(axis=1, keepdims=True)
        return np.where(missing_N1, table_NC, teacher_NC).astype(np.float32)

    def take(self, kept_N: Bools) -> Lesson:
        """The lesson with the marked samples only."""
        return replace(
            self,
            part=subsets.take(self.part, kept_N),
            weights_N=None if self.weights_N is None else self.weights_N[kept_N],
            soft_NC=None if self.soft_NC is None else self.soft_NC[kept_N],
        )


class Learner(Protocol):
    """Trains a model on a lesson, and predicts with it."""

    def fit(self, lesson: Lesson) -> tuple[FoldResult, State]:
        """Train to the last epoch, continuing from a checkpoint in `lesson.work`."""

    def predict(self, state: State, ids: Strings, space: LabelSpace) -> Floats:
        """(N, C) probabilities of the named images in the identity view."""


@dataclass(frozen=True)
class Network:
    """Learns from pixels.

    Args:
        images: prepared images of all samples.
        home: folder of the machine profile.
        work: folder of the unfinished work of the fold, with all its members.
        initial: the weights that every training starts from; None: those of `config.model`.
        metadata: what the columns beside the images mean; None: there are none.
    """

    config: Config
    images: Images
    home: Path
    work: Path
    initial: Initial | None = None
    metadata: Table | None = None

    def job(self, lesson: Lesson) -> FoldJob:
        """The training job of a lesson."""
        config, train = self.config, lesson.train
        metric, device = metrics.get(config.competition.metric), set_up(config.runtime)
        chosen = indices.plan(lesson.part, lesson.resample)
        steps = sum(math.ceil(len(chosen.rows(e)) / train.batch_size) for e in range(train.epochs))
        return FoldJob(
            fold=lesson.part.fold,
            model=config.model,
            loss=config.loss,
            augment=config.augment,
            train=train,
            train_samples=lesson.part.samples,
            valid_samples=lesson.valid,
            inner_samples=lesson.inner,
            images=self.images,
            rows=chosen.rows,
            metric=metric.score,
            higher_is_better=metric.higher_is_better,
            weights_N=lesson.weights_N,
            soft_NC=lesson.targets_NC,
            initial=self.initial,
            device=device,
            threads=config.runtime.threads,
            workers=None if config.runtime.workers == "auto" else config.runtime.workers,
            images_share=config.runtime.images_share,
            eval_batch=config.runtime.infer_batch,
            measured=precision.kept(config, device, steps, self.home, self.work),
            deterministic=config.runtime.deterministic,
            intake=Intake.of(config),
            metadata=self.metadata,
        )

    def fit(self, lesson: Lesson) -> tuple[FoldResult, State]:
        """See `Learner`."""
        return loop.fit(self.job(lesson), lesson.work, lesson.on_epoch)

    def predict(self, state: State, ids: Strings, space: LabelSpace) -> Floats:
        """See `Learner`."""
        how = Pass(set_up(self.config.runtime), self.config.runtime.infer_batch)
        network = model.restore(
            self.config.model, space.n_classes, state, self.config.images.hw, space, Intake.of(self.config)
        )
        network = model.to_device(network, how.device)
        identity = [views.parse("identity")]
        predictions, _ = committee.predict_views(network, self.images, ids, Target.of(space), identity, how)
        return predictions.view("identity").p_NC


@dataclass(frozen=True)
class Probe:
    """Learns from cached features of a frozen backbone: of all samples, the view `identity` among them."""

    config: Config
    features: Features

    def job(self, lesson: Lesson) -> heads.HeadJob:
        """The training job of a lesson."""
        chosen = indices.plan(lesson.part, lesson.resample)
        return heads.HeadJob(
            fold=lesson.part.fold,
            loss=self.config.loss,
            train=lesson.train,
            train_samples=lesson.part.samples,
            valid_samples=lesson.valid,
            features=self.features,
            rows=chosen.rows,
            metric=metrics.get(self.config.competition.metric).score,
            weights_N=lesson.weights_N,
            synthetic=chosen.synthetic,
            soft_NC=lesson.targets_NC,
            heads=AttributeHeads.of(self.config.model, lesson.part.samples.space),
            angles=Angles.of(self.config.model),
        )

    def fit(self, lesson: Lesson) -> tuple[FoldResult, State]:
        """See `Learner`."""
        set_up(self.config.runtime)
        (fit,) = (solved_heads if lesson.train.solved else batched_heads).fit_heads([self.job(lesson)])
        for entry in fit.result.history:
            lesson.on_epoch(lesson.part.fold, int(entry["epoch"]), entry)
        return fit.result, fit.state

    def predict(self, state: State, ids: Strings, space: LabelSpace) -> Floats:
        """See `Learner`."""
        head = heads.restore_head(state, AttributeHeads.of(self.config.model, space))
        predictions, _ = committee.predict_head(head, self.features.take(ids), Target.of(space))
        return predictions.view("identity").p_NC


def learner_of(job: Job) -> Learner:
    """The learner of a job: its strategy, with the images or features of every sample of its lessons."""
    config, inputs = job.settings.config, dict(job.inputs)
    with_test = config.train.pseudo is not None and config.train.pseudo.test_images
    if is_probe(job.settings):
        names = list(probe_views(job.settings))
        own = load.features(inputs, "train", names).with_metadata()
        if not with_test:
            return Probe(config, own)
        test = load.features(inputs, "test", names).with_metadata()
        ids = strings([*own.ids_N.tolist(), *beside_training(test.ids_N).tolist()])
        x_NVD = np.concatenate([own.x_NVD, test.x_NVD])
        return Probe(config, replace(own, ids_N=ids, x_NVD=x_NVD))
    images, initial = load.prepared(inputs["prepared"], "train"), init_from.of(job)
    columns = load.metadata_columns(inputs["prepared"])
    if not with_test:
        return Network(config, images, job.home, job.work, initial, columns)
    more = load.prepared(inputs["prepared"], "test")
    both = Chained(
        images, PreparedImages(beside_training(more.ids_N), more.x_NHWC, more.channels, more.beside_NE)
    )
    return Network(config, both, job.home, job.work, initial, columns)


@dataclass(frozen=True)
class Member:
    """One trained model.

    Args:
        p_NC: its probabilities of the validation samples of its lesson.
        tags: how it was trained: `mode` (precision, layout and compilation of the network) and `engine` (what
            augmented its images), on a GPU `matmul` (of float32: tf32 or fp32); empty for a head.
    """

    state: State
    p_NC: Floats
    history: tuple[dict[str, float], ...]
    seconds: float
    rows: int
    tags: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Trained:
    """The trained models of a fold.

    Args:
        oof: their soft vote on the validation part.
        history: all epochs; entries of several models have the key `member`.
        last: for each model, the entry of the epoch whose weights it has.
        seconds: of training, inner folds included.
        rows: number of rows trained on, over all epochs and models.
    """

    committee: Committee
    oof: Probabilities
    history: tuple[dict[str, float], ...]
    last: tuple[dict[str, float], ...]
    seconds: float
    rows: int
    lines: tuple[str, ...] = ()
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def figures(self) -> dict[str, float]:
        """Summary figures; losses are means over the models, each at the epoch whose weights it has."""
        means = {n: float(np.mean([e[n] for e in self.last])) for n in ("valid_loss", "train_loss", "gap")}
        if "inner_score" in self.last[0]:
            means["chosen_epoch"] = float(np.mean([e["epoch"] for e in self.last]))
            means["inner_score"] = float(np.mean([e["inner_score"] for e in self.last]))
        return means | {
            "images_per_second": float(np.mean([e.get("images_per_second", 0.0) for e in self.history])),
            "seconds_per_row": self.seconds / max(self.rows, 1),
            "weights_mb": self.committee.megabytes,
            "models": float(len(self.committee.states)),
        }


def train(learner: Learner, lesson: Lesson) -> Trained:
    """Train the fold as `lesson.train` asks: one model, `bag`, or `chain`."""
    if lesson.train.chain is not None:
        return _chain(learner, lesson, lesson.train.chain)
    if lesson.train.bag is not None:
        return _bag(learner, lesson, lesson.train.bag)
    return _voted(lesson, [_fit(learner, lesson)], (1.0,))


def _bag(learner: Learner, lesson: Lesson, n: int) -> Trained:
    """Models on bootstraps of the groups of the training part, with equal votes."""
    made = []
    for m in range(n):
        drawn = subsets.bag(lesson.part, lesson.train.seed, m)
        made.append(_kept(learner, replace(_own(lesson, m), part=drawn), f"member{m}"))
    return _voted(lesson, made, (1 / n,) * n)


def _chain(learner: Learner, lesson: Lesson, chain: ChainSettings) -> Trained:
    """Each member learns from the failures of the one before it; a more accurate member has a larger vote."""
    labels_N = lesson.part.samples.labels
    n_classes = max(len(np.unique(labels_N)), 2)
    weights_N = np.ones(len(labels_N), np.float32)
    kept_N = np.ones(len(labels_N), bool)
    made: list[Member] = []
    votes: list[float] = []
    inner_models: list[Member] = []
    lines = []
    for m in range(chain.members):
        own = replace(_own(lesson, m), weights_N=weights_N if chain.mode == "weights" else None)
        member = _kept(learner, own.take(kept_N), f"member{m}")
        made.append(member)
        if m == chain.members - 1 and chain.combine == "mean":
            break
        failed_N, models = _failures(learner, own, kept_N, member.state, m)
        inner_models += models
        votes.append(alpha(failed_N, weights_N, n_classes))
        how = texts.BY_INNER_FOLDS if chain.inner else texts.SEEN_IN_TRAINING
        counts = {"samples": kept_N.sum(), "wrong": failed_N.mean()}
        lines.append(texts.CHAIN_MEMBER.format(member=m, **counts, how=how, vote=votes[-1]))
        if chain.mode == "weights":
            weights_N = reweighted(weights_N, failed_N, votes[-1], chain.rate)
        else:
            kept_N = failed_N | subsets.some_of_each_class(
                labels_N, ~failed_N, chain.others, lesson.train.seed, lesson.part.fold, m
            )
    shares = (1 / len(made),) * len(made) if chain.combine == "mean" else vote_shares(votes)
    return _voted(lesson, made, shares, inner_models, lines)


def alpha(failed_N: Bools, weights_N: Floats, n_classes: int) -> float:
    """The vote of a member, ≥ 0: 0 where it is not better than guessing.

    Only the proportions of the sample weights (≥ 0) count; `n_classes` is C, ≥ 2.
    """
    weights = weights_N.astype(np.float64)
    error = float(weights[failed_N].sum() / weights.sum())
    # A member without a failure would have an infinite vote: assume that half a sample is wrong.
    least = 0.5 / len(failed_N)
    error = min(max(error, least), 1 - least)
    return max(float(np.log((1 - error) / error) + np.log(n_classes - 1)), 0.0)


def reweighted(weights_N: Floats, failed_N: Bools, vote: float, rate: float) -> Floats:
    """(N,) sample weights of the next member, with mean 1.

    With a vote of 0 (not better than guessing) no weight changes; `rate`, above 0 and at most 1, shrinks the
    step.
    """
    weights = weights_N.astype(np.float64) * np.where(failed_N, np.exp(rate * vote), 1.0)
    return np.asarray(weights / weights.mean(), dtype=np.float32)


def vote_shares(votes: Sequence[float]) -> tuple[float, ...]:
    """The members' shares of the vote, which sum to 1; equal where no member is better than guessing."""
    total = sum(votes)
    return tuple(vote / total for vote in votes) if total > 0 else (1 / len(votes),) * len(votes)


def _failures(
    learner: Learner, own: Lesson, kept_N: Bools, state: State, m: int
) -> tuple[Bools, list[Member]]:
    """(N,) which samples of the training part a member predicts wrong, and the inner models that say so.

    With inner folds, each sample is predicted by a model of the same lesson that saw none of its group;
    without, by the member itself, which may have learned the sample.
    """
    assert own.train.chain is not None, "only a chain asks for failures"
    samples, inner = own.part.samples, own.train.chain.inner
    if not inner:
        p_NC = learner.predict(state, samples.ids_N, samples.space)
        return p_NC.argmax(axis=1) != samples.labels, []
    p_NC = np.zeros((len(samples), samples.space.n_classes), np.float32)
    models = []
    for j, ids in enumerate(subsets.inner_folds(own.part, inner, own.train.seed, m)):
        out_N = np.isin(samples.ids_N, ids)
        if not (kept_N & ~out_N).any():
            raise DataError(
                _("train.chain: member {m} has no sample to train on outside inner fold {j}").format(
                    m=m, j=j
                ),
                remedy=_("raise train.chain.others, or set train.chain.inner=0"),
            )
        name = f"member{m}-inner{j}"
        lesson = replace(_own(own, m, j), valid=samples.take(ids), on_epoch=silent)
        model_j = _kept(learner, lesson.take(kept_N & ~out_N), name)
        p_NC[positions(ids, samples.ids_N, "inner fold")] = model_j.p_NC
        models.append(model_j)
    return p_NC.argmax(axis=1) != samples.labels, models


def _own(lesson: Lesson, *number: int) -> Lesson:
    """The lesson with its own random draws, and with epochs counted after those of earlier members."""
    if number == (0,):
        return lesson
    train, rows, earlier = lesson.train, lesson.resample, number[0] * lesson.train.epochs
    return replace(
        lesson,
        train=train.model_copy(update={"seed": seed(train.seed, "member", *number)}),
        resample=rows.model_copy(update={"seed": seed(rows.seed, "member", *number)}),
        on_epoch=lambda fold, epoch, entry: lesson.on_epoch(fold, earlier + epoch, entry),
    )


def _fit(learner: Learner, lesson: Lesson) -> Member:
    result, state = learner.fit(lesson)
    # Joined by id: the validation pass should keep the order of the samples, but nothing depends on it.
    p_NC = result.oof.take(lesson.valid.ids_N).p_NC
    rows = len(indices.plan(lesson.part, lesson.resample).rows(0))
    tags = {name: result.extra[name] for name in TAGS if name in result.extra}
    return Member(state, p_NC, result.history, result.seconds, rows, tags)


def _kept(learner: Learner, lesson: Lesson, name: str) -> Member:
    """Train one of several models, or read it from the work folder where an earlier run finished it."""
    folder = lesson.work / name
    path = folder / "done.pt"
    saved = load_checkpoint(path)
    if saved is not None:
        log.info(
            _("fold {fold}: {name} was finished by an earlier run").format(fold=lesson.part.fold, name=name)
        )
        history = tuple(saved["history"])
        p_NC = saved["p"].numpy()
        # An earlier version kept the mode alone.
        tags = saved["tags"] if "tags" in saved else {n: saved[n] for n in TAGS if saved.get(n)}
        return Member(saved["state"], p_NC, history, saved["seconds"], saved["rows"], tags)
    folder.mkdir(parents=True, exist_ok=True)
    member = _fit(learner, replace(lesson, work=folder))
    values = {"state": member.state, "p": torch.from_numpy(member.p_NC.copy())}
    values |= {"history": list(member.history), "seconds": member.seconds}
    save_checkpoint(path, {**values, "rows": member.rows, "tags": member.tags})
    return member


def _voted(
    lesson: Lesson,
    made: Sequence[Member],
    shares: tuple[float, ...],
    inner_models: Sequence[Member] = (),
    lines: Sequence[str] = (),
) -> Trained:
    """The models as one; inner models count in the time and have no vote."""
    samples = lesson.valid
    p_NC = np.einsum("m,mnc->nc", np.array(shares), np.stack([m.p_NC for m in made]).astype(np.float64))
    p_NC = Target.of(samples.space).normalised(p_NC)
    history = tuple({**e, "member": float(n)} for n, m in enumerate(made) for e in m.history)
    if len(made) == 1:
        p_NC, history = made[0].p_NC, made[0].history
    every = [*made, *inner_models]
    return Trained(
        Committee(tuple(m.state for m in made), shares),
        Probabilities.of(Target.of(samples.space), samples.ids_N, p_NC, f"fold {lesson.part.fold}"),
        history,
        tuple(loop.predicting(m.history) for m in made),
        sum(m.seconds for m in every),
        sum(len(m.history) * m.rows for m in every),
        tuple(lines),
        made[0].tags,
    )
