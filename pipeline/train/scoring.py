"""The figures of every scored run, computed in one way, and the curves of a fold in MLflow.

Owns the score card of out-of-fold predictions, finding the best earlier run to compare with, the table of the
F1 of every class, how often an epoch is logged, and which classes have a curve of their own. Does not own
metrics or intervals (`core/metrics.py`, `core/statistics.py`) nor the history (`train/loop.py`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from pipeline.core import best, metrics, statistics
from pipeline.core.errors import StoppedError
from pipeline.core.predictions import Comparison, Interval, Probabilities
from pipeline.core.samples import FoldPlan, Samples, Strings
from pipeline.data import load
from pipeline.data.folds import parts_of_groups
from pipeline.engine import naming
from pipeline.engine.slices import flat, plain
from pipeline.engine.stage import OnEpoch
from pipeline.record import board
from pipeline.record.store import SHORT, Artifact, Store
from pipeline.record.tracking import Run
from pipeline.settings.load import Request
from pipeline.settings.schema import Config
from pipeline.train import columns, texts
from pipeline.train.columns import F1, MAE, PREFIXES

SCORED = ("train", "infer", "ensemble")
# Number of parts for cross-fitting, where the folds cannot serve as parts.
CROSSFIT_PARTS = 5
# At most about so many epochs are logged: the curve of a long linear probe does not need a thousand points.
CURVE_POINTS = 40
# Curves of single classes: MLflow is slow with hundreds.
CLASS_CURVES = 5


@dataclass(frozen=True)
class RunKind:
    """Runs whose scores mean the same, so that they are compared with each other only.

    Args:
        stages: that make them.
        words: for one of them, such as "inference or blend".
    """

    stages: tuple[str, ...]
    words: str


# A training predicts with one view, an inference with several: it would gain from the views alone.
TRAINED = RunKind(("train",), texts.A_TRAINING)
PREDICTED = RunKind(("infer", "ensemble"), texts.A_PREDICTION)


@dataclass(frozen=True)
class Rival:
    """The best earlier run, with which a new one is compared."""

    artifact: Artifact
    kind: RunKind


@dataclass(frozen=True)
class Card:
    """The scores of one set of out-of-fold predictions, and the comparison with the best earlier run.

    Args:
        rival: the title of that run; empty without one.
        kind: what kind of run it is the best of; empty without one.
    """

    metric: str
    interval: Interval
    figures: dict[str, float]
    against: Comparison | None
    rival: str
    kind: str


def score_card(
    config: Config, samples: Samples, oof: Probabilities, folds: Sequence[float], rival: Rival | None
) -> Card:
    """Score pooled out-of-fold predictions, by class, by attribute and against the best earlier run.

    `folds` are the scores of each fold by itself.
    """
    metric = metrics.get(config.competition.metric)
    metric.refuse(oof.target)
    known = samples.take(oof.ids_N)
    draws, seed = config.statistics.draws, config.statistics.seed
    interval = statistics.interval(metric, known.truth, oof.p_NC, known.groups_N, draws, seed)
    figures = {
        f"oof_{metric.name}": interval.value,
        "ci_low": interval.low,
        "ci_high": interval.high,
        "images_scored": float(len(oof)),
    }
    if len(folds) > 1:
        figures["fold_std"] = float(np.std(folds, ddof=1))
    figures |= columns.summary(known, oof.p_NC)
    of = rival and rival.artifact
    against = compare(config, samples, oof, load.oof(of, of.stage)) if of else None
    if against:
        figures |= {"delta_vs_best": against.delta, "p_better": against.p_better}
        figures |= {"delta_low": against.low, "delta_high": against.high}
    named = (title(rival.artifact), rival.kind.words) if rival else ("", "")
    return Card(metric.name, interval, figures, against, *named)


def compare(config: Config, samples: Samples, new: Probabilities, old: Probabilities) -> Comparison:
    """Paired comparison on the ids that both predicted."""
    both = np.intersect1d(new.ids_N, old.ids_N)
    known = samples.take(both)
    metric, numbers = metrics.get(config.competition.metric), config.statistics
    a_NC, b_NC = new.take(both).p_NC, old.with_classes(new.classes).take(both).p_NC
    truth, groups_N = known.truth, known.groups_N
    return statistics.compare(metric, truth, a_NC, b_NC, groups_N, numbers.draws, numbers.seed)


def scores_of(config: Config, samples: Samples, parts: Sequence[Probabilities]) -> list[float]:
    """The metric on each part's own predictions, e.g. those of one fold."""
    metric = metrics.get(config.competition.metric)
    return [metric.score(samples.take(p.ids_N).truth, p.p_NC) for p in parts if len(p)]


def crossfit_parts(config: Config, samples: Samples, plan: FoldPlan, ids: Strings) -> list[Strings]:
    """Disjoint parts of `ids` that share no group, for cross-fitting.

    The validation parts of the folds where they are such parts; where a plan validates an image more than
    once or not at all, or splits groups, the groups are divided into new parts.
    """
    valid = [np.intersect1d(split.valid_ids, ids) for split in plan.splits]
    parts = [part for part in valid if len(part)]
    groups = [np.unique(samples.take(part).groups_N) for part in parts]
    unsplit = sum(len(g) for g in groups) == len(np.unique(samples.take(ids).groups_N))
    if len(parts) > 1 and unsplit and sum(len(p) for p in parts) == len(ids):
        return parts
    return parts_of_groups(samples.take(ids), CROSSFIT_PARTS, config.folds.seed)


def title(artifact: Artifact) -> str:
    """The title of a scored artifact, e.g. `lite0 images.size=96 (infer 3fa29b01)`."""
    return f"{naming.label_of(artifact)} ({artifact.stage} {artifact.key[:SHORT]})"


def best_earlier(
    store: Store,
    config: Config,
    inputs: Mapping[str, Artifact],
    key: str,
    kind: RunKind,
    oof: Probabilities | None = None,
) -> Rival | None:
    """The best complete run of one kind on the same data and folds, by the rule of `core/best.py`.

    Members of an ensemble count as earlier runs. A run whose predictions equal `oof` is the same run, made
    again under other settings of the statistics, and no rival.
    """
    metric = metrics.get(config.competition.metric)
    name = f"oof_{metric.name}"
    same = {n: inputs[n].address for n in ("data", "folds")}
    rivals = [
        a
        for a in store.chosen(*kind.stages)
        if a.key != key
        and name in a.metrics
        and {n: a.inputs.get(n) for n in same} == same
        and a.metrics.get("complete") == 1.0
    ]
    while rivals:
        found = best.best([best.Candidate(a.metrics[name]) for a in rivals], metric.sign)
        assert found is not None, "every rival has a score"
        rival = rivals.pop(found.place)
        if oof is None or not _predicts(rival, oof):
            return Rival(rival, kind)
    return None


def _predicts(rival: Artifact, oof: Probabilities) -> bool:
    """Whether a run has these predictions, wherever both predict."""
    other = load.oof(rival, rival.stage)
    both = np.intersect1d(oof.ids_N, other.ids_N)
    return np.array_equal(oof.take(both).p_NC, other.with_classes(oof.classes).take(both).p_NC)


def lines(card: Card, n_all: int, compared: bool = True) -> list[str]:
    """The lines of a card for the terminal; without the comparison for what becomes a submission.

    The command that writes a submission compares it with the best one at that time.
    """
    scored = card.figures["images_scored"]
    text = texts.OOF_SCORE if scored == n_all else texts.OOF_SCORE_OF
    lines = [text.format(metric=card.metric, score=card.interval, scored=scored, images=n_all)]
    if card.against and compared:
        lines.append(texts.AGAINST_RIVAL.format(rival=card.rival, kind=card.kind, comparison=card.against))
    return lines


def no_difference(comparison: Comparison, title: str) -> Comparison:
    """The comparison of a result with itself under the name `title`, and a verdict that says so."""
    verdict = texts.SAME_AS.format(title=title)
    return replace(comparison, delta=0.0, low=0.0, high=0.0, p_better=0.5, verdict=verdict)


def same_as(card: Card, title: str) -> Card:
    """The card of a result that is its rival in other words: no difference, and a verdict that says so."""
    assert card.against is not None, "only a result with a rival can be that rival"
    against = no_difference(card.against, title)
    figures = card.figures | {"delta_vs_best": 0.0, "delta_low": 0.0, "delta_high": 0.0, "p_better": 0.5}
    return replace(card, against=against, figures=figures)


def changed(settings: Mapping[str, Any], rival: Artifact, typed: Sequence[str] = ()) -> str:
    """The settings that differ from those of a rival, as `path: theirs → ours`; what was typed comes first.

    A setting that only one of the two reads, such as the epochs of a network beside a solved head, is told if
    somebody set it: if it was typed, or has not its default.

    Args:
        settings: of the new run, as plain data.
        rival: the run that it is compared with.
        typed: dotted paths that the request of the new run sets, in its order.
    """
    ours, theirs = flat(settings), flat(rival.manifest.get("settings", {}))
    defaults = flat(plain(Config()))

    def place(path: str) -> int:
        """Where in the request a setting was typed; behind all others if it was not."""
        named = (n for n, one in enumerate(typed) if path == one or path.startswith(f"{one}."))
        return next(named, len(typed))

    def is_told(path: str) -> bool:
        if path in ours and path in theirs:
            return ours[path] != theirs[path]
        return place(path) < len(typed) or ours.get(path, theirs.get(path)) != defaults.get(path)

    told = [path for path in ours.keys() | theirs.keys() if is_told(path)]
    both = ours.keys() & theirs.keys()
    told.sort(key=lambda path: (place(path), path not in both, path))
    return ", ".join(
        f"{path}: {theirs.get(path, texts.NOT_READ)} → {ours.get(path, texts.NOT_READ)}" for path in told
    )


def tags(card: Card, rival: Rival | None, settings: Mapping[str, Any], request: Request) -> dict[str, str]:
    """The tags of the MLflow table: the verdict, the rival, and the settings that changed.

    A blend has settings of its own only: beside one, the words of the run say what it is.
    """
    caution = {"caution": str(card.interval.note)} if card.interval.note else {}
    if rival is None or card.against is None:
        return {"verdict": texts.FIRST_RUN, **caution}
    verdict = {"verdict": card.against.verdict, "compared_with": card.rival, **caution}
    what = changed(settings, rival.artifact, [path for path, _ in request.values])
    if rival.artifact.stage == "ensemble":
        words = [word for word in request.words if not word.startswith(("competition=", "folds."))]
        what = texts.MADE_WITH.format(words=" ".join(words))
    return verdict | {"changed": what}


def members_changed(
    rival: Rival | None, run: Mapping[str, str], settings: Mapping[str, Any]
) -> dict[str, str]:
    """The tag for what changed in few words, where the run or its rival is a blend; else empty.

    Args:
        rival: the run that it is compared with.
        run: name -> address of the members of the run, if it is a blend.
        settings: of the run, which tell the difference of two blends of the same members.
    """
    if rival is None:
        return {}
    of = rival.artifact
    theirs = {n: a for n, a in of.inputs.items() if n.startswith(naming.MEMBER)}
    if not run:
        return {board.CHANGED: texts.ONE_NETWORK.format(members=len(theirs))} if theirs else {}
    if not theirs and of.address not in run.values():
        return {board.CHANGED: texts.INSTEAD_OF_ONE.format(members=len(run))}
    theirs = theirs or {of.address: of.address}
    parts = [(texts.ADDS, _only(run, theirs)), (texts.WITHOUT, _only(theirs, run))]
    told = ", ".join(text.format(members=naming.counted(names)) for text, names in parts if names)
    if not told and of.stage != "ensemble":  # nothing but a step of decision lies between them
        return {}
    return {board.CHANGED: told or board.brief(changed(settings, of))}


def _only(ours: Mapping[str, str], theirs: Mapping[str, str]) -> list[str]:
    """Names of the members that the others do not have; the same run may have two names."""
    return [n.removeprefix(naming.MEMBER) for n, address in ours.items() if address not in theirs.values()]


def why(card: Card) -> str:
    """The question that a run answers, for its description."""
    if card.against is None:
        return texts.FIRST_RUN_WHY
    return texts.LATER_RUN_WHY.format(rival=card.rival, kind=card.kind, comparison=card.against)


def logged(run: Run, epochs: int, classes: Sequence[str] = ()) -> OnEpoch:
    """An `on_epoch` that logs some of the epochs to the run, with the figures of these columns."""
    every = max(epochs // CURVE_POINTS, 1)

    def on_epoch(fold: int, epoch: int, entry: dict[str, float]) -> bool:
        if epoch % every == 0 or epoch == epochs - 1:
            points = {k: v for k, v in without_classes(entry).items() if k != "epoch"}
            # MLflow accepts letters of any language, but not every character.
            shown = [(prefix, name) for prefix in PREFIXES for name in classes if prefix + name in entry]
            points |= {p + re.sub(r"[^\w. -]", "_", name): entry[p + name] for p, name in shown}
            run.epoch(epoch, points)
        return True

    return on_epoch


def stoppable(report: OnEpoch, goes_on: OnEpoch | None) -> OnEpoch:
    """An `on_epoch` that reports and, where `goes_on` is false, raises: no half-trained result is kept."""

    def both(fold: int, epoch: int, entry: dict[str, float]) -> bool:
        report(fold, epoch, entry)
        if goes_on is not None and not goes_on(fold, epoch, entry):
            raise StoppedError(f"fold {fold} was stopped after epoch {epoch + 1}")
        return True

    return both


def rarest(parts: Sequence[Samples]) -> tuple[str, ...]:
    """The classes with the fewest images in all labelled parts together, the same for every fold.

    Of labels those that hold least often, of values those that are known least often.
    """
    space = parts[0].space
    counts_C = np.sum([columns.holding(part) for part in parts], axis=0)
    return tuple(space.classes[c] for c in np.argsort(counts_C, kind="stable")[:CLASS_CURVES])


def per_class(history: Sequence[dict[str, float]]) -> pd.DataFrame:
    """One row per epoch, one column for the F1 of each class that has images in the validation part.

    Of values it is the mean absolute error of each.
    """
    kept = ("epoch", "member")
    rows = [
        {k.removeprefix(F1).removeprefix(MAE): v for k, v in e.items() if k in kept or k.startswith(PREFIXES)}
        for e in history
    ]
    return pd.DataFrame(rows)


def without_classes(entry: dict[str, float]) -> dict[str, float]:
    """A history entry without the figures of single classes, labels or values."""
    return {name: value for name, value in entry.items() if not name.startswith(PREFIXES)}
