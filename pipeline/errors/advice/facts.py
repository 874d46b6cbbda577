"""The facts about a run that advice uses, a piece of advice, and the upper bound of its gain.

Owns the types and the arithmetic of bounds. Does not own the rules (`faults.py`, `steps.py`), gathering the
facts nor the order of advice (`advisor.py`).

A bound is the metric on the run's own out-of-fold predictions with a named set of errors fixed, minus the
metric as it is. No remedy fixes all of these errors, so the bound is the most that a remedy can gain if it
fixes only errors of this kind. Where the set is nearly all errors, as with two classes, or where a remedy may
fix any error, the bound would be the distance to a perfect score: then nothing is known, and nothing is said.

Shape legend: N images, C classes, E epochs.
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
from pipeline.core.targets import EXCLUSIVE
from pipeline.errors.diff.flips import Flips
from pipeline.errors.diff.mistakes import Mistakes
from pipeline.pages.command_words import make_with
from pipeline.settings.ensemble import AUTO
from pipeline.settings.schema import Config
from pipeline.submit.gap.scene import Cause

Bools = npt.NDArray[np.bool_]
# The time that a person spends on any try: typing, waiting for the start, reading the result.
HANDLING_MINUTES = 10.0
# A report shows so many pieces of advice, the best ones.
BEST = 3
# From this share of all errors on, "if these were fixed" says nothing.
NEARLY_ALL = 0.9
ENSEMBLE = "make ensemble"
# Metrics of values, as they are written.
NAMES = {"rmse": "RMSE", "mae": "MAE", "rmsle": "RMSLE", "mape": "MAPE", "r2": "R²", "kl": "KL divergence"}
# Of a decision step: a smaller gain on the rows that were fitted is nothing.
WORTH_FITTING = 0.005
# Of a general remedy whose gain cannot be bounded: a share of the way to a perfect score; never shown.
HOPE = 0.03


def metric_words(config: Config) -> str:
    """The name of the competition's metric in sentences."""
    return worded_metric(config.competition.metric)


def worded_metric(name: str) -> str:
    """The name of a metric in sentences."""
    return NAMES.get(name, name.replace("_", " ").replace("f1", "F1"))


@dataclass(frozen=True)
class Advice:
    """One thing to try.

    Args:
        kind: short name of the rule; it never changes.
        do: what to do, in a few words.
        sentence: what was observed, with its number.
        reason: why this advice follows.
        command: what to run, or where to look.
        settings: the words that the command changes, if it changes the settings of a run.
        bound: the most that the metric can gain, ≥ 0; None: not known.
        bounded: what the bound assumes: "if …"; empty without a bound.
        chance: how likely the remedy brings a good part of the bound, 0 to 1; an estimate, for the order
            only.
        minutes: expected time of the command, from logged times; None: not known.
        show: attribute, old and new value of the flips to look at, if any.
        spoils: whether this fault makes every other figure untrue.
        hope: stands for an unknown bound in the order, ≥ 0; it is never shown.
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
    hope: float = 0.0

    @property
    def worth(self) -> float:
        """Expected gain a minute, including ten minutes of the person's own."""
        return (
            (self.hope if self.bound is None else self.bound)
            * self.chance
            / (HANDLING_MINUTES + (self.minutes or 0.0))
        )


@dataclass(frozen=True)
class NetworkInput:
    """The input of a network's first layer, in the worst channel; see `nets/model.py`.

    Args:
        mean, std: of the normalised training pixels.
        off: distance of the normalisation from that of the pretrained weights; 0 without such weights.
        made_for_px: side of the images that those weights come from; 0: there are none, or it is not known.
    """

    mean: float
    std: float
    off: float
    made_for_px: int = 0


@dataclass(frozen=True)
class TrainingFacts:
    """The training that advice is about; for a blend, its best member.

    Args:
        oof: its out-of-fold probabilities.
        history: an entry an epoch and fold (epoch, train_loss, valid_loss, valid_score, fold); may be empty.
        minutes: training time of all folds.
        look_minutes: time to compute its features, if it learns on features: another image size needs new
            ones.
        pixels: whether training uses pixels instead of cached features.
        input: the input of its first layer, if it was measured.
    """

    name: str
    config: Config
    oof: Probabilities
    history: pd.DataFrame
    minutes: float | None = None
    look_minutes: float = 0.0
    pixels: bool = True
    input: NetworkInput | None = None

    @property
    def solved(self) -> bool:
        """Whether its head was solved: such a head takes the rows as they are drawn, and no other loss."""
        return self.config.train.solved and not self.pixels

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
        name: its label.
        family: of its network: the name up to the first digit.
        oof: its out-of-fold probabilities.
        word: the word of `ensemble.members` that means it; None: there is none.
        asked: the words that asked for it.
        blended: whether a finished blend has shown what the two bring together.
    """

    name: str
    family: str
    oof: Probabilities
    word: str | None = None
    asked: tuple[str, ...] = ()
    blended: bool = False


@dataclass(frozen=True)
class Facts:
    """Everything that rules read; a rule without its facts gives no advice.

    Args:
        config: settings of the run, so that nothing is advised that is already set.
        others: other finished runs on the same data and folds.
        blended: whether the submission is a blend.
        leaks: results of the checks for leaks.
        straddling: share of validation images with an image of their group in the training part.
        asked: the words that asked for `config`; commands start with them.
        policies: augmentation policies to try, mildest first; empty if training uses no pixels.
        members: the words of `ensemble.members` that mean the members of the submission, or the run; empty:
            not known.
        shared: the words of a command about several runs on these data and folds.
        overlays: experiments that a new member needs on top to have the same folds, such as `debug`.
        original_px: longer side of the typical original image; None: not known.
        decided: the decision steps that were tried on a submission with this run.
    """

    space: LabelSpace
    config: Config
    train: Samples | None = None
    run: TrainingFacts | None = None
    mistakes: Mistakes | None = None
    flips: Flips | None = None
    comparison: Comparison | None = None
    others: tuple[OtherTraining, ...] = ()
    blended: bool = False
    leaks: tuple[Cause, ...] = ()
    straddling: float = 0.0
    asked: tuple[str, ...] = ()
    policies: tuple[str, ...] = ()
    members: tuple[str, ...] = ()
    shared: tuple[str, ...] = ()
    overlays: tuple[str, ...] = ()
    original_px: int | None = None
    decided: tuple[str, ...] = ()

    @property
    def to_blend(self) -> tuple[OtherTraining, ...]:
        """Other runs to blend with: none for a blend, and none that a blend has shown already."""
        return () if self.blended else tuple(other for other in self.others if not other.blended)

    @property
    def metric(self) -> Metric:
        """The competition's."""
        return metrics.get(self.config.competition.metric)

    @property
    def competition_words(self) -> tuple[str, ...]:
        """The words that name, change or find the competition and its results."""
        return tuple(
            word for word in self.asked if word.startswith(("competition=", "competition.", "runtime.home="))
        )

    def blend_with(self, *words: str | None) -> str:
        """The command that blends the members of the submission with these; all finished runs if a word is
        not known.
        """
        all_words = [*self.members, *words]
        known = bool(self.members) and None not in all_words
        listed = ",".join(str(word) for word in dict.fromkeys(all_words)) if known else AUTO
        return make_with(ENSEMBLE, self.shared or self.competition_words, f"ensemble.members=[{listed}]")

    def blend_with_step(self, step: str) -> str:
        """The command that blends the members of the submission and fits this decision step."""
        listed = (f"ensemble.members=[{','.join(self.members)}]",) if self.members else ()
        words = self.shared or self.competition_words
        return make_with(ENSEMBLE, words, *listed, f"decision.steps=[{step}]")

    @cached_property
    def truth_N(self) -> Ints:
        """The true class of each of the run's out-of-fold images, in their order."""
        assert self.run is not None and self.train is not None, "there are no out-of-fold predictions"
        return self.train.take(self.run.oof.ids_N).labels

    @cached_property
    def answer_N(self) -> Ints:
        """The predicted class of each, in the same order."""
        assert self.run is not None, "there are no out-of-fold predictions"
        return np.asarray(self.p_NC.argmax(axis=1), np.int64)

    @cached_property
    def p_NC(self) -> npt.NDArray[np.float32]:
        """The run's probabilities, classes in the order of `space`."""
        assert self.run is not None, "there are no out-of-fold predictions"
        return self.run.oof.with_classes(self.space.classes).p_NC

    @property
    def wrong_N(self) -> Bools:
        """Which predictions are wrong."""
        return np.asarray(self.answer_N != self.truth_N)

    def gain_if_fixed(self, which_N: Bools) -> float:
        """How much the metric gains if these images are predicted correctly, ≥ 0."""
        right_NC = np.array(self.p_NC, copy=True)
        right_NC[which_N] = np.eye(self.space.n_classes, dtype=np.float32)[self.truth_N[which_N]]
        assert self.run is not None and self.train is not None, "there are no out-of-fold predictions"
        truth = self.train.take(self.run.oof.ids_N).truth
        gain = self.metric.score(truth, right_NC) - self.metric.score(truth, self.p_NC)
        return max(self.metric.sign * gain, 0.0)

    def bound_of(self, which_N: Bools, text: str) -> tuple[float | None, str]:
        """The bound of a remedy for these errors and what it assumes; None if they are nearly all errors.

        `text` has a placeholder for their count.
        """
        fixed_N = which_N & self.wrong_N
        if fixed_N.sum() >= NEARLY_ALL * self.wrong_N.sum():
            return None, ""
        return self.gain_if_fixed(fixed_N), text.format(count=f"{int(fixed_N.sum()):,}")

    def second_guesses(self) -> float:
        """The gain if every correct second guess became the prediction: the hope of a general remedy.

        Where an image has several answers there is no second guess: a plain hope takes its place.
        """
        if self.space.kind != EXCLUSIVE:
            return self.hope
        second_N = np.argsort(-self.p_NC, axis=1, kind="stable")[:, min(1, self.space.n_classes - 1)]
        return self.gain_if_fixed(second_N == self.truth_N)

    @cached_property
    def hope(self) -> float:
        """Of a general remedy, in units of the metric."""
        assert self.run is not None and self.train is not None, "there are no out-of-fold predictions"
        truth = self.train.take(self.run.oof.ids_N).truth
        return HOPE * self.metric.headroom(self.metric.score(truth, self.run.oof.p_NC))

    def minutes(self, factor: float = 1.0) -> float | None:
        """Training time of this run, times a factor."""
        known = None if self.run is None else self.run.minutes
        return None if known is None else known * factor

    def minutes_at(self, area: float) -> float | None:
        """Training time with another image area, given as a multiple of the present area."""
        known = None if self.run is None else self.run.minutes
        if self.run is None or known is None:
            return None
        return known * area if self.run.pixels else known + self.run.look_minutes * area
