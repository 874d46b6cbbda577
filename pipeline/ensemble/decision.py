"""Post-processing as a list of steps, each of which is kept only if it improves the out-of-fold score.

Owns the order: every step works on the result of the steps kept before it, is cross-fitted, compared with
leaving it out, and kept only if the corrected interval says better. Does not own what a step does
(`ensemble/decision_steps.py`) nor the interval (`core/statistics.py`).

For each part (a fold's validation part) a separate chain of steps is fitted on all other parts and applied to
that part. Pooled, this gives the out-of-fold effect. The chain of the test set is fitted on all parts. Each
part, like the test set, is processed by itself: a step that looks at several images at once never looks
across parts, because the model of one part has learned the labels of the others.

Keeping a step is itself a choice made on these scores. Its interval is corrected for the number of steps
tried; the score is not.

Shape legend: N samples, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from pipeline.core import statistics
from pipeline.core.metrics import Metric
from pipeline.core.predictions import Comparison, Probabilities
from pipeline.core.samples import Floats, Ints
from pipeline.ensemble import texts
from pipeline.ensemble.decision_steps import FittedStep, OwnStep, Rows, Step


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
        y_N: true class index, in the order of `oof`.
        rows: what steps may look at, in the order of `oof`.
        parts: positions of each part; together all rows, each once, no group in two of them.
    """

    oof: Probabilities
    y_N: Ints
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
        if not isinstance(step, OwnStep):
            labelled.oof.target.require_exclusive(f"decision.steps: {step.name}")
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
