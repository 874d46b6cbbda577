"""What a study is, and what one of its trials is, as values.

Owns these two. Does not own asking for trials (`record/study.py`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from pipeline.core.search_space import Dimension, Point

State = Literal["complete", "pruned", "failed", "killed", "running"]


@dataclass(frozen=True)
class Plan:
    """What a study is.

    Args:
        name: of the study; it carries all that defines its trials.
        dimensions: what is varied.
        maximise: of each objective whether more is better; one or two.
        sampler: tpe, gp, cmaes, random, grid or brute_force.
        pruner: none, median, percentile or halving.
        warmup: trials before any is pruned, and before TPE and its kin stop drawing at random.
        seed: of the sampler.
        queue: points that are tried first, with a word for each.
        space: digest of the space; a study of another one is refused.
    """

    name: str
    dimensions: tuple[Dimension, ...]
    maximise: tuple[bool, ...]
    sampler: str = "tpe"
    pruner: str = "none"
    warmup: int = 5
    seed: int = 0
    queue: tuple[tuple[str, Point], ...] = ()
    space: str = ""


@dataclass(frozen=True)
class Trial:
    """One point that was tried.

    Args:
        number: in its study, of all that were ever begun.
        state: killed: its process ended in the middle; failed: an error of its own, see `reason`.
        point: what was tried.
        values: of the objectives; empty unless complete.
        curve: figures on the way, by step.
        seconds: it took.
        origin: why it was tried, where no sampler proposed it.
        reason: of a failure.
        notes: what the objective wanted to be kept, e.g. the key of its result.
        host: of the process that runs it, or ran it.
    """

    number: int
    state: State
    point: Point
    values: tuple[float, ...] = ()
    curve: dict[int, float] = field(default_factory=dict)
    seconds: float = 0.0
    origin: str = ""
    reason: str = ""
    notes: dict[str, str] = field(default_factory=dict)
    host: str = ""

    @property
    def is_done(self) -> bool:
        """Whether it tells something: what was killed in the middle is asked for again."""
        return self.state in ("complete", "pruned", "failed")
