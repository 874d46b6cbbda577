"""Post-processing as a list of steps, each of which is kept only if it improves the out-of-fold score.

Owns the order (every step works on the result of the steps kept before it, is cross-fitted, compared with
leaving it out, and kept only if the corrected interval says better), and the steps: class scales, averaging
over groups, and functions of the user's own. Does not own thresholds and grades (`ensemble/thresholds.py`),
prior correction (`ensemble/priors.py`), the arithmetic of groups (`ensemble/grouping.py`), nor the interval
(`core/statistics.py`).

For each part (a fold's validation part) a separate chain of steps is fitted on all other parts and applied to
that part. Pooled, this gives the out-of-fold effect. The chain of the test set is fitted on all parts. Each
part, like the test set, is processed by itself: a step that looks at several images at once never looks
across parts, because the model of one part has learned the labels of the others. Keeping a step is itself a
choice made on these scores. Its interval is corrected for the number of steps tried; the score is not.

Class scales: one multiplier per class, so that the most probable class after scaling scores better. Fitted by
coordinate ascent: one class at a time, all candidate multipliers at once. A sample changes its label as soon
as the multiplier passes a threshold of the sample, so the confusion matrices of all candidates are cumulative
sums of one histogram, and the search is exact for any metric of labels. Multipliers are shrunk toward 1: the
score pays `shrink` times the mean squared logarithm; otherwise a class of a few samples gets whatever
multiplier catches one more of them. Source: plug-in decision rules for F-measures, e.g. Narasimhan et al.,
Consistent Multiclass Algorithms for Complex Performance Measures (ICML 2015); the search is our own.

Shape legend: N samples, C classes or columns, K candidates.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from pipeline.core import statistics
from pipeline.core.metric_arithmetic import Reals
from pipeline.core.metrics import Metric
from pipeline.core.plugin import Own, described
from pipeline.core.predictions import Comparison, Probabilities
from pipeline.core.samples import Floats, Ints, LabelSpace, Strings, Truth
from pipeline.core.targets import EXCLUSIVE, Target, normalised
from pipeline.ensemble import grouping, texts
from pipeline.settings.decision import STEP_KINDS

# How many classes a line names.
SHOWN_CLASSES = 6
SETTING = "decision.steps"
# Logarithms of the candidate multipliers: from a fifth to five, in steps of a tenth.
CANDIDATES = np.round(np.linspace(-1.6, 1.6, 33), 2)
PASSES = 20
# A smaller gain is rounding.
TINY = 1e-9
FLOOR = 1e-12


@dataclass(frozen=True)
class Rows:
    """What steps may look at besides predictions; never their truth.

    Args:
        ids_N: of the images.
        groups_N: their groups in the table.
        average_N: number of the group over which `group_average` averages.
    """

    ids_N: Strings
    groups_N: Strings
    average_N: Ints

    def take(self, at: Ints) -> Rows:
        """The rows at these positions."""
        return Rows(self.ids_N[at], self.groups_N[at], self.average_N[at])


@dataclass(frozen=True)
class FittedStep:
    """A fitted step.

    Args:
        apply: (N, C) probabilities and their rows to (N, C) probabilities; deterministic.
        text: what was fitted, for the terminal.
        facts: what was fitted, for the provenance.
    """

    apply: Callable[[Floats, Rows], Floats]
    text: str
    facts: dict[str, Any] = field(default_factory=dict)


class Step(Protocol):
    """One step of post-processing."""

    @property
    def name(self) -> str:
        """As in the settings."""

    @property
    def off(self) -> str:
        """Why it cannot be used here, or empty."""

    def fit(self, p_NC: Floats, y_N: Truth, rows: Rows) -> FittedStep:
        """Fit on predictions and their truth; the fitted step never looks at a label."""


@dataclass(frozen=True)
class Criterion:
    """When a step is kept.

    Args:
        metric: of the competition.
        draws, seed: of the group bootstrap.
        adopt: "better": keep a step if its interval says better; "always": keep every step.
    """

    metric: Metric
    draws: int
    seed: int
    adopt: Literal["better", "always"] = "better"


@dataclass(frozen=True)
class Labelled:
    """Predictions of labelled images.

    Args:
        oof: out-of-fold probabilities.
        y_N: true class index, or the truth (N, K) of another kind of target, in the order of `oof`.
        rows: what steps may look at, in the order of `oof`.
        parts: positions of each part; together all rows, each once, no group in two of them.
    """

    oof: Probabilities
    y_N: Truth
    rows: Rows
    parts: tuple[Ints, ...]


@dataclass(frozen=True)
class StepResult:
    """The result of trying one step.

    Args:
        name: as in the settings.
        adopted: whether it is kept.
        text: what was fitted on all rows, or why the step is switched off.
        naive: effect on the rows that fitted it, positive is better: optimistic.
        effect: the cross-fitted effect, its interval corrected for all steps; None: switched off.
        facts: what was fitted on all rows, for the provenance.
    """

    name: str
    adopted: bool
    text: str
    naive: float = 0.0
    effect: Comparison | None = None
    facts: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        if self.effect is None:
            return texts.STEP_OFF.format(step=self.name, reason=self.text)
        outcome = texts.STEP_KEPT if self.adopted else texts.STEP_LEFT_OUT
        return texts.STEP_RESULT.format(
            step=self.name, outcome=outcome, effect=self.effect, naive=self.naive, fitted=self.text
        )


@dataclass(frozen=True)
class Decision:
    """Predictions after the steps that were kept.

    Args:
        oof: each part processed by steps that were fitted without it.
        test: processed by steps that were fitted on all parts.
        tried: one result for each step, in order.
        naive: score of the steps on the rows that fitted them: optimistic.
        crossfitted: score of `oof`.
    """

    oof: Probabilities
    test: Probabilities
    tried: tuple[StepResult, ...]
    naive: float
    crossfitted: float

    @property
    def adopted(self) -> tuple[str, ...]:
        """Names of the steps that were kept."""
        return tuple(step.name for step in self.tried if step.adopted)


def decide(
    steps: Sequence[Step], labelled: Labelled, test: Probabilities, test_rows: Rows, criterion: Criterion
) -> Decision:
    """Try every step, in the order in which they are applied, and keep those that improve the score.

    Steps are fitted and tested on `labelled`; those that are kept are applied to `test`, too. `test_rows` are
    in its order.

    Raises:
        ConfigError: the metric or a step does not make sense for what the columns mean.
    """
    criterion.metric.refuse(labelled.oof.target)
    for step in steps:
        if step.name in STEP_KINDS:
            labelled.oof.target.require(STEP_KINDS[step.name], f"decision.steps: {step.name}")
    everything, y_N, score = np.arange(len(labelled.y_N)), labelled.y_N, criterion.metric.score
    full = _Chain(labelled.oof.p_NC, everything)
    chains = [_Chain(labelled.oof.p_NC, np.setdiff1d(everything, at)) for at in labelled.parts]
    oof_NC, test_NC = labelled.oof.p_NC, test.p_NC
    tried = []
    for step in steps:
        off = step.off or (texts.ONE_PART if len(labelled.parts) < 2 else "")
        if off:
            tried.append(StepResult(step.name, False, off))
            continue
        longer, fitted = full.then(step, labelled)
        longer_chains = [chain.then(step, labelled)[0] for chain in chains]
        after_NC = oof_NC.copy()
        for at, chain in zip(labelled.parts, longer_chains, strict=True):
            after_NC[at] = chain.p_NC[at]
        effect = compare(after_NC, oof_NC, labelled, criterion, len(steps))
        naive = criterion.metric.sign * (score(y_N, longer.p_NC) - score(y_N, full.p_NC))
        kept = criterion.adopt == "always" or effect.verdict == "better"
        tried.append(StepResult(step.name, kept, fitted.text, naive, effect, fitted.facts))
        if kept:
            full, chains, oof_NC = longer, longer_chains, after_NC
            test_NC = fitted.apply(test_NC, test_rows)
    return Decision(
        oof=replace(labelled.oof, p_NC=oof_NC),
        test=replace(test, p_NC=test_NC),
        tried=tuple(tried),
        naive=score(y_N, full.p_NC),
        crossfitted=score(y_N, oof_NC),
    )


def compare(
    new_NC: Floats, old_NC: Floats, labelled: Labelled, criterion: Criterion, tried: int
) -> Comparison:
    """Paired comparison of two sets of probabilities of the same rows, corrected for `tried` comparisons."""
    y_N, groups_N, c = labelled.y_N, labelled.rows.groups_N, criterion
    return statistics.compare_tried(c.metric, y_N, (new_NC, old_NC), groups_N, c.draws, c.seed, tried)


def facts(decision: Decision, of: str, effect: Comparison) -> dict[str, Any]:
    """The contents of decision.json; `of`: the `stage/key` that was post-processed."""
    return {
        "of": of,
        "steps": [
            {
                "name": step.name,
                "adopted": step.adopted,
                "effect": None if step.effect is None else str(step.effect),
                "naive": step.naive,
                "told": step.text,
                "fitted": step.facts,
            }
            for step in decision.tried
        ],
        "naive": decision.naive,
        "crossfitted": decision.crossfitted,
        "effect": str(effect),
    }


def summary(decision: Decision, effect: Comparison) -> str:
    """Which steps were kept, and what they do together."""
    names = ", ".join(decision.adopted)
    text = texts.DECISION.format(steps=names or texts.NOTHING_KEPT)
    return text + (texts.DECISION_EFFECT.format(delta=effect.delta, naive=decision.naive) if names else "")


@dataclass(frozen=True)
class _Chain:
    """All labelled rows after steps that were fitted on some of them.

    Args:
        p_NC: probabilities after the steps.
        learn: positions of the rows that steps are fitted on.
    """

    p_NC: Floats
    learn: Ints

    def then(self, step: Step, labelled: Labelled) -> tuple[_Chain, FittedStep]:
        """The chain with one more step."""
        fitted = step.fit(self.p_NC[self.learn], labelled.y_N[self.learn], labelled.rows.take(self.learn))
        p_NC = self.p_NC.copy()
        for at in labelled.parts:
            p_NC[at] = fitted.apply(self.p_NC[at], labelled.rows.take(at))
        return replace(self, p_NC=p_NC), fitted


@dataclass(frozen=True)
class ClassScales:
    """One multiplier per class."""

    metric: Metric
    shrink: float
    classes: tuple[str, ...]
    name: str = "class_scales"
    off: str = ""

    def fit(self, p_NC: Floats, y_N: Truth, rows: Rows) -> FittedStep:
        """See `Step`."""
        scale_C = fit_scales(p_NC, np.asarray(y_N, np.int64), self.metric, self.shrink)
        far = np.argsort(-np.abs(np.log(scale_C)), kind="stable")[:SHOWN_CLASSES]
        largest = ", ".join(f"{self.classes[c]} ×{scale_C[c]:.2f}" for c in far if scale_C[c] != 1)
        facts = {"scales": dict(zip(self.classes, scale_C.tolist(), strict=True))}
        return FittedStep(lambda p, _: apply_scales(p, scale_C), largest or texts.SCALES_UNCHANGED, facts)


@dataclass(frozen=True)
class GroupAverage:
    """Attributes that a group shares, averaged over the group; see `grouping.py`.

    Args:
        space: its `constant_in_group` attributes are averaged.
        groups: where the groups come from and how pure they are, in words.
        off: why it cannot be used, e.g. impure groups.
    """

    space: LabelSpace
    groups: str
    name: str = "group_average"
    off: str = ""

    def fit(self, p_NC: Floats, y_N: Truth, rows: Rows) -> FittedStep:
        """See `Step`; nothing is fitted."""
        exclusive = self.space.kind == EXCLUSIVE
        value_C = grouping.shared_values(self.space) if exclusive else grouping.shared_columns(self.space)
        average = grouping.averaged if exclusive else grouping.averaged_columns
        shared = [a.name for a in self.space.attributes if a.constant_in_group]

        def apply(p: Floats, rows: Rows) -> Floats:
            group_N = np.unique(rows.average_N, return_inverse=True)[1]
            return average(p, group_N, value_C)

        text = texts.GROUP_AVERAGE.format(attributes=", ".join(shared), groups=self.groups)
        return FittedStep(apply, text, {"attributes": shared, "groups": self.groups})


@dataclass(frozen=True)
class OwnStep:
    """A function of the user's own."""

    own: Own
    target: Target
    off: str = ""

    @property
    def name(self) -> str:
        """As in the settings."""
        return self.own.name

    def fit(self, p_NC: Floats, y_N: Truth, rows: Rows) -> FittedStep:
        """See `Step`; nothing is fitted."""
        return FittedStep(
            lambda p, rows: call_own(self.own, p, rows.ids_N, rows.groups_N, self.target),
            texts.OWN_FUNCTION,
            {"function": self.own.name},
        )


def fit_scales(p_NC: Floats, y_N: Ints, metric: Metric, shrink: float) -> Reals:
    """(C,) multipliers > 0 that score well on these rows; 1 where a multiplier gains nothing.

    Deterministic: classes in order, and among equals the multiplier nearest to 1. `shrink` ≥ 0 is what the
    mean squared log multiplier costs, in units of the score.
    """
    assert metric.on_counts is not None, f"{metric.name} does not score labels"
    log_NC = np.log(np.maximum(p_NC.astype(np.float64), FLOOR))
    log_C = np.zeros(p_NC.shape[1])
    for _ in range(PASSES):
        before_C = log_C.copy()
        for c in range(len(log_C)):
            log_C[c] = _best_scale(log_NC, y_N, log_C, c, metric, shrink)
        if np.array_equal(before_C, log_C):
            break
    return np.exp(log_C)


def apply_scales(p_NC: Floats, scale_C: Reals) -> Floats:
    """Probabilities times multipliers, rows normalised to sum to 1."""
    return normalised(np.maximum(p_NC.astype(np.float64), FLOOR) * scale_C)


def _best_scale(log_NC: Reals, y_N: Ints, log_C: Reals, c: int, metric: Metric, shrink: float) -> float:
    """The best log multiplier of one class while the others stay as they are."""
    others_NC = log_NC + log_C
    others_NC[:, c] = -np.inf
    rival_N = others_NC.argmax(axis=1)
    needs_N = others_NC[np.arange(len(y_N)), rival_N] - log_NC[:, c]
    counts_KCC = _confusions(y_N, rival_N, np.searchsorted(CANDIDATES, needs_N, side="right"), c, len(log_C))
    assert metric.on_counts is not None, "checked in fit_scales"
    cost_K = shrink * (np.delete(log_C, c) @ np.delete(log_C, c) + CANDIDATES**2) / len(log_C)
    gain_K = metric.sign * metric.on_counts(counts_KCC) - cost_K
    # Keep the current multiplier unless another one is better by more than rounding.
    now = int(np.searchsorted(CANDIDATES, log_C[c] - TINY))
    good_K = gain_K >= gain_K.max() - TINY
    if good_K[now]:
        return float(log_C[c])
    return float(min(CANDIDATES[good_K], key=abs))


def _confusions(y_N: Ints, rival_N: Ints, from_N: Ints, c: int, size: int) -> Reals:
    """(K, C, C) confusions: sample n gets class `c` from candidate `from_N` on, and its rival before."""
    n_candidates = len(CANDIDATES)
    cell_N = (from_N * size + y_N) * size + rival_N
    left = np.bincount(cell_N, minlength=(n_candidates + 1) * size**2).astype(np.float64)
    left_KCC = left.reshape(n_candidates + 1, size, size)
    counts_KCC = left_KCC.sum(axis=0) - np.cumsum(left_KCC[:-1], axis=0)
    counts_KCC[:, :, c] += np.cumsum(left_KCC[:-1].sum(axis=2), axis=0)
    return np.asarray(counts_KCC, dtype=np.float64)


def load_own(name: str) -> Own:
    """The user's function named by `module:function`.

    Raises:
        ConfigError: it cannot be loaded.
    """
    return Own(name, Path.cwd(), SETTING)


def call_own(own: Own, p_NC: Floats, ids_N: Strings, groups_N: Strings, target: Target) -> Floats:
    """Call f(p_NC, ids_N, groups_N, classes) -> p_NC with copies; it sees no label.

    Raises:
        ConfigError: it failed, or returned something else than probabilities; names function and file.
    """
    p = own(p_NC.copy(), ids_N.copy(), groups_N.copy(), target.columns)
    wanted = texts.PROBABILITIES_EXPECTED.format(shape=p_NC.shape, rule=target.rule)
    if not isinstance(p, np.ndarray) or p.shape != p_NC.shape or p.dtype.kind != "f":
        raise own.wrong(described(p), wanted)
    bad = target.faulty(p)
    if bad.any():
        first = ids_N[bad][0]
        rows = texts.NOT_PROBABILITIES.format(bad=bad.sum(), rows=len(p), first=first, values=p[bad][0][:4])
        raise own.wrong(rows, wanted)
    return np.asarray(p, dtype=np.float32)
