"""The lines that a budget of time prints: the plan, each step, and what each minute bought.

Owns their columns. Does not own the texts (`plan/texts.py`) nor the page (`plan/page.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from pipeline.core.predictions import Comparison
from pipeline.pages import text_table
from pipeline.plan import texts
from pipeline.plan.clock import Clock, Reserve, minutes
from pipeline.plan.planning import Plan
from pipeline.plan.steps import Best, Step


def lines(plan: Plan, clock: Clock, kept: Reserve, folds: int, again: bool) -> list[str]:
    """The plan as a table; `again`: it replaces an earlier one, and only says what is to be trained."""
    end = datetime.now() + timedelta(seconds=clock.left)
    head = (texts.PLANNED_AGAIN if again else texts.PLANNED).format(
        end=end.strftime("%H:%M:%S"),
        left=minutes(clock.left),
        kept=minutes(kept.end),
        members=minutes(plan.seconds + len(plan.members) * kept.blend),
    )
    rows = [
        (
            p.rung.label,
            str(p.rung.size),
            str(p.epochs) if p.ladder.kind == "network" else "–",
            str(folds),
            str(p.views),
            minutes(p.seconds + kept.blend),
        )
        for p in plan.members
    ]
    made = [head, *text_table.lines([texts.HEAD, *rows], indent="    ")]
    if again:
        return made
    return [*made, *(texts.LEFT_OUT.format(name=name, why=why) for name, why in plan.left_out)]


def step_line(step: Step, best: Best | None, metric: str) -> str:
    """One finished step: its own score, the blend's, and where the best submission is."""
    assert best is not None and step.blend is not None, "a step with a result has a blend"
    name = f"oof_{metric}"
    own = texts.OWN_SCORE.format(score=step.made.metrics[name]) if step.made is not None else ""
    m = step.blend.metrics
    blend = texts.BLEND_SCORE.format(metric=metric, score=m[name], low=m["ci_low"], high=m["ci_high"])
    new = {a.key for a in (step.blend, step.made) if a is not None}
    is_new = best.written and best.artifact.key in new
    where = texts.BEST_AT.format(path=best.shown) if is_new else texts.NOT_BETTER
    return texts.STEP.format(
        at=minutes(step.at), name=step.name or texts.BEFORE, own=own, blend=blend, where=where
    )


def bought(steps: Sequence[Step], gains: Sequence[Comparison | None], metric: str) -> list[str]:
    """What each minute bought, a line for each step."""
    made = [texts.BOUGHT]
    for step, gain in zip(steps, gains, strict=True):
        name = step.name or texts.BEFORE
        if step.blend is None:
            made.append(texts.BOUGHT_NOTHING.format(at=minutes(step.at), name=name, why=step.note))
            continue
        m = step.blend.metrics
        score = texts.SCORE.format(score=m[f"oof_{metric}"], low=m["ci_low"], high=m["ci_high"])
        told = "" if gain is None else texts.GAIN.format(gain=gain, minute=f"{per_minute(gain, step):+.4f}")
        made.append(texts.BOUGHT_STEP.format(at=minutes(step.at), name=name, score=score, gain=told))
        if not step.kept:
            made[-1] = texts.BOUGHT_IN_VAIN.format(line=made[-1], why=step.note)
    return made


def per_minute(gain: Comparison, step: Step) -> float:
    """The gain of a step a minute."""
    return 60 * gain.delta / max(step.seconds, 1.0)


def ended(clock: Clock, why: str) -> str:
    """When a command ended, against its time, and why then."""
    return texts.ENDED.format(
        spent=minutes(clock.spent),
        seconds=minutes(clock.seconds),
        share=clock.spent / clock.seconds - 1,
        left=why,
    )
