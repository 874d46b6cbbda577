"""What advice is made of: the facts of a run, what a piece of advice is, and what it can bring at most.

Owns the types and the arithmetic of bounds. Does not own the rules (`advice_faults.py`, `advice_steps.py`)
nor their order (`advice.py`).

A bound is the metric on the run's own out-of-fold predictions with a named set of its errors put right, less
the metric as it is. No remedy mends them all, so it is what the remedy may bring at most, if it mends that
kind of error and no other.

Shape legend: N images, C classes, E epochs, M finished runs.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.core import metrics
from pipeline.core.metrics import Metric
from pipeline.core.predictions import Comparison, Probabilities
from pipeline.core.samples import Ints, LabelSpace, Samples
from pipeline.errors.diff.flips import Flips
from pipeline.errors.diff.mistakes import Mistakes
from pipeline.settings.schema import Config
from pipeline.submit.gap.causes import Cause

Bools = npt.NDArray[np.bool_]
# What a person spends on any try: typing, waiting for the start, reading the answer.
HANDLING_MINUTES = 10.0
# A report shows so many pieces of advice, the best ones.
BEST = 3


@dataclass(frozen=True)
class Advice:
    """One thing to try.

    Args:
        kind: a short name that stays: of the rule.
        do: what to do, in a few words.
        sentence: what was seen, with its number.
        reason: why this answer.
        command: what to run, or where to look.
        settings: the words that the command changes, where it changes a run's settings.
        bound: how much the metric can gain at most, ≥ 0; None: cannot be said.
        bounded: how that is bounded: "if …".
        chance: how likely the remedy brings a good part of it, 0 to 1; judgement, for the order only.
        minutes: what the command will take by logged times; None: not known.
        show: attribute, old and new value of the flips to look at, if any.
        spoils: while this holds, no other figure means what it says.
    """

    kind: str
    do: str
    sentence: str
    reason: str
    command: str
    settings: tuple[str, ...] = ()
    bound: float | None = None
    bounded: str = ""
    chance: float = 0.1
    minutes: float | None = None
    show: tuple[str, str, str] | None = None
    spoils: bool = False

    @property
    def worth(self) -> float:
        """Expected gain a minute, a person's own ten minutes included."""
        return (self.bound or 0.0) * self.chance / (HANDLING_MINUTES + (self.minutes or 0.0))


@dataclass(frozen=True)
class NetworkInput:
    """What a network's first layer gets, of the worst channel each; see `nets/normalisation.py`.

    Args:
        mean, std: of the normalised training pixels.
        off: how far the normalisation is from that of the pretrained weights; 0 without such weights.
    """

    mean: float
    std: float
    off: float


@dataclass(frozen=True)
class Training:
    """The training that advice is about: of a blend, its best member.

    Args:
        name: of the experiment.
        config: its settings.
        oof: its out-of-fold probabilities.
        history: an entry an epoch and fold (epoch, train_loss, valid_loss, valid_score, fold); may be empty.
        minutes: what training it took, all folds.
        look_minutes: what its features took, where it learns on such: images of another size need others.
        pixels: whether training sees pixels, and not cached features.
        input: what its first layer gets, where that was measured.
    """

    name: str
    config: Config
    oof: Probabilities
    history: pd.DataFrame
    minutes: float | None = None
    look_minutes: float = 0.0
    pixels: bool = True
    input: NetworkInput | None = None

    @cached_property
    def curves(self) -> pd.DataFrame:
        """(E rows) mean over folds of train_loss, valid_loss and valid_score, by epoch."""
        known = [c for c in ("train_loss", "valid_loss", "valid_score") if c in self.history]
        if "epoch" not in self.history or len(known) < 3:
            return pd.DataFrame()
        return self.history.groupby("epoch")[known].mean()


@dataclass(frozen=True)
class OtherTraining:
    """Another finished run on the same data and folds.

    Args:
        name: of its experiment.
        family: of its network: the name up to the first digit.
        oof: its out-of-fold probabilities.
    """

    name: str
    family: str
    oof: Probabilities


@dataclass(frozen=True)
class Facts:
    """All that rules look at; the more is known, the more they say.

    Args:
        space: the label space.
        config: settings of the run, so that nothing is advised that is already on.
        train: the labelled samples; needed with `run`.
        run: the training that advice is about.
        mistakes: its out-of-fold errors.
        flips: the differences from the other submission.
        comparison: new against old, out of fold.
        others: other finished runs on the same data and folds.
        blended: whether the submission is a blend already.
        leaks: what the checks of the folds found.
        straddling: share of validation images whose group also trains.
        asked: the words that asked for `config`; commands start with them.
        policies: augmentation that could be tried, mildest first; none where training sees no pixels.
    """

    space: LabelSpace
    config: Config
    train: Samples | None = None
    run: Training | None = None
    mistakes: Mistakes | None = None
    flips: Flips | None = None
    comparison: Comparison | None = None
    others: tuple[OtherTraining, ...] = ()
    blended: bool = False
    leaks: tuple[Cause, ...] = ()
    straddling: float = 0.0
    asked: tuple[str, ...] = ()
    policies: tuple[str, ...] = ()

    @property
    def metric(self) -> Metric:
        """The competition's."""
        return metrics.get(self.config.competition.metric)

    @property
    def metric_name(self) -> str:
        """As sentences call it."""
        return self.config.competition.metric.replace("_", " ").replace("f1", "F1")

    @cached_property
    def truth_N(self) -> Ints:
        """The true class of each of the run's out-of-fold images, in their order."""
        assert self.run is not None and self.train is not None, "nothing is known out of fold"
        return self.train.take(self.run.oof.ids_N).labels

    @cached_property
    def answer_N(self) -> Ints:
        """What the run answers, in the same order."""
        assert self.run is not None, "nothing is known out of fold"
        return np.asarray(self.p_NC.argmax(axis=1), np.int64)

    @cached_property
    def p_NC(self) -> npt.NDArray[np.float32]:
        """The run's probabilities, classes in the order of `space`."""
        assert self.run is not None, "nothing is known out of fold"
        return self.run.oof.with_classes(self.space.classes).p_NC

    @property
    def wrong_N(self) -> Bools:
        """Which answers are wrong."""
        return np.asarray(self.answer_N != self.truth_N)

    def mended(self, which_N: Bools) -> float:
        """How much better the metric is when these images are answered right, ≥ 0."""
        right_NC = np.array(self.p_NC, copy=True)
        right_NC[which_N] = np.eye(self.space.n_classes, dtype=np.float32)[self.truth_N[which_N]]
        gain = self.metric.score(self.truth_N, right_NC) - self.metric.score(self.truth_N, self.p_NC)
        return max(self.metric.sign * gain, 0.0)

    def second_guesses(self) -> tuple[float, str]:
        """A bound for what sharpens everything a little: every second guess that is right were the first."""
        second_N = np.argsort(-self.p_NC, axis=1, kind="stable")[:, min(1, self.space.n_classes - 1)]
        count = int((self.wrong_N & (second_N == self.truth_N)).sum())
        return self.mended(second_N == self.truth_N), (
            f"if all {count:,} errors whose second guess is right were right"
        )

    def minutes(self, factor: float = 1.0) -> float | None:
        """What a training like this one takes, times a factor."""
        known = None if self.run is None else self.run.minutes
        return None if known is None else known * factor

    def minutes_at(self, area: float) -> float | None:
        """What it takes with images of another area, as a share of theirs now."""
        known = None if self.run is None else self.run.minutes
        if self.run is None or known is None:
            return None
        return known * area if self.run.pixels else known + self.run.look_minutes * area
