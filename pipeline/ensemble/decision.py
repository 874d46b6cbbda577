"""Post-processing as a list of steps, each of which has to earn its place out of fold.

Owns the order: every step works on the result of the steps kept before it, is cross-fitted, compared with
doing without it, and kept only if the corrected interval says better. Does not own what a step does
(`steps.py`) nor the interval (`core/statistics.py`).

A chain of its own is fitted for each part (a fold's validation ids): on all the other parts, and then
applied to that part. Pooled, that is the out-of-fold effect; the chain of the test set is fitted on all
parts. Each part, like the test set, is decided by itself: a step that looks at several images at once
never looks across parts, since the model of one part has learned the labels of the others.

Keeping a step is itself a choice made on these scores. Its interval is corrected for the number of steps
tried, the score itself is not.

Shape legend: N samples, C classes.

What a post-processing step is, and the ones there are.

Owns fitting each on labelled predictions, and applying it to any. Does not own their arithmetic
(`scales.py`, `priors.py`, `grouping.py`, `postprocess.py`) nor whether they are kept (`decision.py`).

Shape legend: N samples, C classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

import numpy as np

from pipeline.core import statistics
from pipeline.core.metrics import Metric, Reals
from pipeline.core.plugin import Own
from pipeline.core.predictions import Comparison, Probabilities
from pipeline.core.samples import Floats, Ints, LabelSpace, Strings
from pipeline.ensemble import decision_steps, grouping

SHOWN = 6


@dataclass(frozen=True)
class Rows:
    """What steps may look at beside probabilities; never a label.

    Args:
        ids_N: of the images.
        groups_N: what the table says.
        together_N: number of the group that `group_average` averages over.
    """

    ids_N: Strings
    groups_N: Strings
    together_N: Ints

    def take(self, at: Ints) -> Rows:
        """The rows at these positions."""
        return Rows(self.ids_N[at], self.groups_N[at], self.together_N[at])


@dataclass(frozen=True)
class Rule:
    """A fitted step.

    Args:
        apply: (N, C) probabilities and their rows to (N, C) probabilities; deterministic.
        told: what was fitted, for people.
        facts: what was fitted, as plain data.
    """

    apply: Callable[[Floats, Rows], Floats]
    told: str
    facts: dict[str, Any] = field(default_factory=dict)


class Step(Protocol):
    """One way to post-process."""

    @property
    def name(self) -> str:
        """As in the settings."""

    @property
    def off(self) -> str:
        """Why it cannot be used here, or empty."""

    def fit(self, p_NC: Floats, y_N: Ints, rows: Rows) -> Rule:
        """Learn from labelled predictions; the result never looks at a label."""


@dataclass(frozen=True)
class ClassScales:
    """A multiplier a class; see `scales.py`."""

    metric: Metric
    shrink: float
    classes: tuple[str, ...]
    name: str = "class_scales"
    off: str = ""

    def fit(self, p_NC: Floats, y_N: Ints, rows: Rows) -> Rule:
        """See `Step`."""
        scale_C = decision_steps.fit(p_NC, y_N, self.metric, self.shrink)
        far = np.argsort(-np.abs(np.log(scale_C)), kind="stable")[:SHOWN]
        moved = ", ".join(f"{self.classes[c]} ×{scale_C[c]:.2f}" for c in far if scale_C[c] != 1)
        facts = {"scales": dict(zip(self.classes, scale_C.tolist(), strict=True))}
        return Rule(lambda p, _: decision_steps.apply(p, scale_C), moved or "all ×1", facts)


@dataclass(frozen=True)
class PriorCorrection:
    """From the balance that training showed to another one; see `priors.py`.

    Args:
        shown_C: shares of the classes among the training rows.
        target: "table": the labels' own; "uniform"; "estimated": from the probabilities of the very images
            that are judged.
    """

    shown_C: Reals
    target: Literal["table", "uniform", "estimated"]
    name: str = "prior_correction"
    off: str = ""

    def fit(self, p_NC: Floats, y_N: Ints, rows: Rows) -> Rule:
        """See `Step`."""
        shown_C = self.shown_C
        if self.target == "estimated":
            said = decision_steps.estimated(p_NC, shown_C)
            facts = {"from": shown_C.tolist(), "to": "estimated on each set", "on_oof": said.tolist()}
            return Rule(
                lambda p, _: decision_steps.corrected(p, shown_C, decision_steps.estimated(p, shown_C)),
                f"estimated priors {said.min():.3f} to {said.max():.3f} (training rows {_range(shown_C)})",
                facts,
            )
        even = np.full(len(shown_C), 1 / len(shown_C))
        new_C = (
            even
            if self.target == "uniform"
            else decision_steps.counted(np.bincount(y_N, minlength=len(shown_C)))
        )
        told = f"priors from {_range(shown_C)} in the training rows to {_range(new_C)} ({self.target})"
        facts = {"from": shown_C.tolist(), "to": new_C.tolist()}
        return Rule(lambda p, _: decision_steps.corrected(p, shown_C, new_C), told, facts)


@dataclass(frozen=True)
class GroupAverage:
    """What a group shares, averaged over it; see `grouping.py`.

    Args:
        space: its `constant_in_group` attributes are averaged.
        told: where the groups come from and how pure they are.
        off: why not, e.g. impure groups.
    """

    space: LabelSpace
    told: str
    name: str = "group_average"
    off: str = ""

    def fit(self, p_NC: Floats, y_N: Ints, rows: Rows) -> Rule:
        """See `Step`; nothing is fitted."""
        value_C = grouping.shared_values(self.space)
        shared = [a.name for a in self.space.attributes if a.constant_in_group]

        def apply(p: Floats, shown: Rows) -> Floats:
            group_N = np.unique(shown.together_N, return_inverse=True)[1]
            return grouping.averaged(p, group_N, value_C)

        return Rule(
            apply, f"{', '.join(shared)} over {self.told}", {"attributes": shared, "groups": self.told}
        )


@dataclass(frozen=True)
class OwnStep:
    """A function of the user's own; see `postprocess.py`."""

    own: Own
    classes: tuple[str, ...]
    off: str = ""

    @property
    def name(self) -> str:
        """As in the settings."""
        return self.own.name

    def fit(self, p_NC: Floats, y_N: Ints, rows: Rows) -> Rule:
        """See `Step`; nothing is fitted."""
        return Rule(
            lambda p, shown: decision_steps.call(self.own, p, shown.ids_N, shown.groups_N, self.classes),
            "a function of your own",
            {"function": self.own.name},
        )


def _range(share_C: Reals) -> str:
    return f"{share_C.min():.3f} to {share_C.max():.3f}"


# Rows that steps are fitted on are never the rows that judge them.
ONE_PART = "one part cannot judge what was fitted on it"


@dataclass(frozen=True)
class Judge:
    """How steps are judged.

    Args:
        metric: what is scored.
        draws, seed: of the group bootstrap.
        adopt: "better": keep a step if its interval says better; "always": keep it whatever it says.
    """

    metric: Metric
    draws: int
    seed: int
    adopt: Literal["better", "always"] = "better"


@dataclass(frozen=True)
class Known:
    """Predictions of labelled images.

    Args:
        found: out-of-fold probabilities.
        y_N: true class index, in the order of `found`.
        rows: what steps may look at, in the order of `found`.
        parts: positions of each part; together all rows, each once, no group in two of them.
    """

    found: Probabilities
    y_N: Ints
    rows: Rows
    parts: tuple[Ints, ...]


@dataclass(frozen=True)
class Tried:
    """What became of one step.

    Args:
        name: as in the settings.
        adopted: whether it is part of the decision.
        told: what was fitted on all rows, or why it is switched off.
        naive: effect on the rows that fitted it, positive is better: optimistic.
        effect: the cross-fitted effect, its interval corrected for all steps; None: switched off.
        facts: what was fitted on all rows, for the provenance.
    """

    name: str
    adopted: bool
    told: str
    naive: float = 0.0
    effect: Comparison | None = None
    facts: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        if self.effect is None:
            return f"{self.name}: switched off: {self.told}"
        kept = "kept" if self.adopted else "tried, left out"
        fitted = f"; {self.naive:+.4f} on the rows that fitted it (optimistic)"
        return f"{self.name}: {kept}: {self.effect}{fitted}; {self.told}"


@dataclass(frozen=True)
class Decided:
    """Predictions after the steps that were kept.

    Args:
        oof: each part by steps that were fitted without it.
        test: by steps fitted on all parts.
        tried: one a step, in order.
        naive: score of the steps on the very rows that fitted them.
        crossfitted: score of `oof`.
    """

    oof: Probabilities
    test: Probabilities
    tried: tuple[Tried, ...]
    naive: float
    crossfitted: float

    @property
    def adopted(self) -> tuple[str, ...]:
        """Names of the steps that were kept."""
        return tuple(t.name for t in self.tried if t.adopted)


@dataclass(frozen=True)
class _Chain:
    """All labelled rows under steps fitted on some of them.

    Args:
        p_NC: what they say now.
        learn: positions of the rows that steps are fitted on.
    """

    p_NC: Floats
    learn: Ints

    def then(self, step: Step, known: Known) -> tuple[_Chain, Rule]:
        """The chain with one more step."""
        rule = step.fit(self.p_NC[self.learn], known.y_N[self.learn], known.rows.take(self.learn))
        p_NC = self.p_NC.copy()
        for at in known.parts:
            p_NC[at] = rule.apply(self.p_NC[at], known.rows.take(at))
        return replace(self, p_NC=p_NC), rule


def decide(
    steps: Sequence[Step], known: Known, test: Probabilities, test_rows: Rows, judge: Judge
) -> Decided:
    """Try every step, and keep those that earn it.

    Args:
        steps: in the order in which they are applied.
        known: what they are fitted and judged on.
        test: gets what was kept.
        test_rows: what steps may look at, in the order of `test`.
        judge: how.

    Raises:
        ConfigError: the metric or a step does not make sense for what the columns mean.
    """
    judge.metric.refuse(known.found.target)
    for step in steps:
        if not isinstance(step, OwnStep):
            known.found.target.require_exclusive(f"decision.steps: {step.name}")
    everything = np.arange(len(known.y_N))
    whole = _Chain(known.found.p_NC, everything)
    chains = [_Chain(known.found.p_NC, np.setdiff1d(everything, at)) for at in known.parts]
    now_NC, test_NC = known.found.p_NC, test.p_NC
    score = judge.metric.score
    tried = []
    for step in steps:
        off = step.off or (ONE_PART if len(known.parts) < 2 else "")
        if off:
            tried.append(Tried(step.name, False, off))
            continue
        more, rule = whole.then(step, known)
        fitted = [chain.then(step, known)[0] for chain in chains]
        then_NC = now_NC.copy()
        for at, chain in zip(known.parts, fitted, strict=True):
            then_NC[at] = chain.p_NC[at]
        effect = statistics.compare_tried(
            judge.metric,
            known.y_N,
            (then_NC, now_NC),
            known.rows.groups_N,
            judge.draws,
            judge.seed,
            len(steps),
        )
        naive = judge.metric.sign * (score(known.y_N, more.p_NC) - score(known.y_N, whole.p_NC))
        kept = judge.adopt == "always" or effect.verdict == "better"
        tried.append(Tried(step.name, kept, rule.told, naive, effect, rule.facts))
        if kept:
            whole, chains, now_NC = more, fitted, then_NC
            test_NC = rule.apply(test_NC, test_rows)
    return Decided(
        oof=replace(known.found, p_NC=now_NC),
        test=replace(test, p_NC=test_NC),
        tried=tuple(tried),
        naive=score(known.y_N, whole.p_NC),
        crossfitted=score(known.y_N, now_NC),
    )
