"""One training of a fold, whatever learns: a network on pixels, or a linear head on cached features.

Owns turning artifacts and a lesson into a closed training job. Does not own which lessons a fold takes
(`train/members.py`) nor the training (`train/loop.py`, `train/heads.py`).

Legend: N training samples, C classes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from pipeline.core import metrics
from pipeline.core.predictions import Features, FoldResult
from pipeline.core.samples import Floats, LabelSpace, Samples, Strings
from pipeline.data.loader import Images
from pipeline.engine.hardware import set_up
from pipeline.nets import model, views
from pipeline.nets.attributes import AttributeHeads
from pipeline.nets.forward import Pass
from pipeline.nets.weights import State
from pipeline.resample import indices, subsets
from pipeline.resample.indices import Part
from pipeline.resample.subsets import Bools
from pipeline.settings.resample import ResampleSettings
from pipeline.settings.schema import Config
from pipeline.settings.train import TrainSettings
from pipeline.train import batched_heads, committee, heads, loop, precision
from pipeline.train.job import FoldJob, Initial

OnEpoch = Callable[[int, int, dict[str, float]], bool]


def silent(fold: int, epoch: int, entry: dict[str, float]) -> bool:
    """For trainings whose curve nobody asked for."""
    return True


@dataclass(frozen=True)
class Lesson:
    """What one training learns from.

    Args:
        part: labelled samples to learn.
        valid: labelled samples that are predicted, never learned.
        train: settings of the loop; its seed is this lesson's own.
        resample: settings of the rows; its seed is this lesson's own.
        work: folder of unfinished work.
        weights_N: how much each sample counts; None: all the same.
        soft_NC: what teachers say of each sample; a row of NaN, or None: what the table says.
        inner: the inner split of the training part, for early stopping alone.
        on_epoch: told of each epoch.
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
        """What is taught in place of labels: teachers first, then soft labels of the table."""
        own_NC, said_NC = self.part.samples.soft_NC, self.soft_NC
        if own_NC is None or said_NC is None:
            return own_NC if said_NC is None else said_NC
        untold_N1 = np.isnan(said_NC).any(axis=1, keepdims=True)
        return np.where(untold_N1, own_NC, said_NC).astype(np.float32)

    def take(self, kept_N: Bools) -> Lesson:
        """The lesson without the samples that are not marked."""
        return replace(
            self,
            part=subsets.take(self.part, kept_N),
            weights_N=None if self.weights_N is None else self.weights_N[kept_N],
            soft_NC=None if self.soft_NC is None else self.soft_NC[kept_N],
        )


class Learner(Protocol):
    """Trains a lesson, and predicts with what it gave."""

    def fit(self, lesson: Lesson) -> tuple[FoldResult, State]:
        """Train to the last epoch, continuing what `lesson.work` holds."""

    def predict(self, state: State, ids: Strings, space: LabelSpace) -> Floats:
        """(N, C) probabilities of the named images, as they are."""


@dataclass(frozen=True)
class Network:
    """Learns pixels.

    Args:
        config: settings.
        images: prepared images of all samples.
        home: of the machine profile.
        work: folder of the fold's unfinished work, of all its members.
        initial: the weights that every training starts from; None: those that `config.model` names.
    """

    config: Config
    images: Images
    home: Path
    work: Path
    initial: Initial | None = None

    def job(self, lesson: Lesson) -> FoldJob:
        """The closed job of a lesson."""
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
            eval_batch=config.runtime.infer_batch,
            measured=precision.kept(config, device, steps, self.home, self.work),
            deterministic=config.runtime.deterministic,
        )

    def fit(self, lesson: Lesson) -> tuple[FoldResult, State]:
        """See `Learner`."""
        return loop.fit(self.job(lesson), lesson.work, lesson.on_epoch)

    def predict(self, state: State, ids: Strings, space: LabelSpace) -> Floats:
        """See `Learner`."""
        how = Pass(set_up(self.config.runtime), self.config.runtime.infer_batch)
        network = model.restore(self.config.model, space.n_classes, state, self.config.images.hw, space)
        network = model.to_device(network, how.device)
        plain = [views.parse("identity")]
        found, _ = committee.predict_views(network, self.images, ids, space.classes, plain, how)
        return found.view("identity").p_NC


@dataclass(frozen=True)
class Probe:
    """Learns cached features of a frozen backbone.

    Args:
        config: settings.
        features: of all samples; the view `identity` is among them.
    """

    config: Config
    features: Features

    def job(self, lesson: Lesson) -> heads.HeadJob:
        """The closed job of a lesson."""
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
        )

    def fit(self, lesson: Lesson) -> tuple[FoldResult, State]:
        """See `Learner`."""
        set_up(self.config.runtime)
        (fit,) = (heads if lesson.train.head == "logistic" else batched_heads).fit_heads([self.job(lesson)])
        for entry in fit.result.history:
            lesson.on_epoch(lesson.part.fold, int(entry["epoch"]), entry)
        return fit.result, fit.state

    def predict(self, state: State, ids: Strings, space: LabelSpace) -> Floats:
        """See `Learner`."""
        head = heads.restore_head(state, AttributeHeads.of(self.config.model, space))
        found, _ = committee.predict_head(head, self.features.take(ids), space.classes)
        return found.view("identity").p_NC
