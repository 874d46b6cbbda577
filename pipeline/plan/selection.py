"""The score of a blend whose members were chosen by their scores, cross-fitted over the whole choice.

Owns repeating the choice inside each part: which of the attempts were better than the run that they started
from, and the weights of the blend. Does not own the blend (`core/voting/fitting.py`) nor the attempts.

A member that is kept because it was better on all images makes the blend look better than it is. So every
part of the groups is predicted by a blend whose members and weights were chosen on the other parts only.

Shape legend: M members, N samples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.core import metrics, statistics
from pipeline.core.metrics import Metric
from pipeline.core.predictions import Interval, Probabilities
from pipeline.core.samples import Samples, Truth
from pipeline.core.voting import fitting
from pipeline.data import load
from pipeline.record.store import Artifact
from pipeline.settings.schema import Config
from pipeline.train import scoring


@dataclass(frozen=True)
class Attempt:
    """A member that is kept only if it is better than the run that it started from.

    Args:
        name: of the attempt.
        of: name of the run that it is compared with.
    """

    name: str
    of: str


def crossfitted(
    config: Config,
    samples: Samples,
    folds: Artifact,
    pool: Mapping[str, Artifact],
    attempts: Sequence[Attempt],
) -> Interval | None:
    """The cross-fitted score with its interval; None where nothing can be cross-fitted: one part, one member.

    `pool` has the predictions of every member and of every attempt, by name; those that are no attempt are
    always members.
    """
    oofs = [load.oof(artifact, name) for name, artifact in pool.items()]
    ids_N = oofs[0].ids_N
    parts = scoring.crossfit_parts(config, samples, load.plan(folds), ids_N)
    if len(parts) < 2 or len(oofs) < 2:
        return None
    metric = metrics.get(config.competition.metric)
    known = samples.take(ids_N)
    fit = _Choice(config, samples, tuple(attempts))
    _, pooled = fitting.cross_fit(oofs, known.truth, parts, metric, fitting.Recipe(fit=fit))
    draws, seed = config.statistics.draws, config.statistics.seed
    return statistics.interval(metric, known.truth, pooled.p_NC, known.groups_N, draws, seed)


@dataclass(frozen=True)
class _Choice:
    """Chooses members and weights on some rows; see `fitting.Fit`."""

    config: Config
    samples: Samples
    attempts: tuple[Attempt, ...]

    def __call__(self, members: Sequence[Probabilities], y_N: Truth, metric: Metric) -> tuple[float, ...]:
        """One weight for each member; 0 for those that are not kept."""
        by_name = {member.name: member for member in members}
        dropped = {
            a.name for a in self.attempts if not self._is_better(by_name[a.name], by_name[a.of], y_N, metric)
        }
        kept = [member for member in members if member.name not in dropped]
        weights = dict(zip((m.name for m in kept), fitting.fit_weights(kept, y_N, metric), strict=True))
        return tuple(float(weights.get(member.name, 0.0)) for member in members)

    def _is_better(self, new: Probabilities, old: Probabilities, y_N: Truth, metric: Metric) -> bool:
        groups_N = self.samples.take(new.ids_N).groups_N
        if len(np.unique(groups_N)) < 2:
            return False
        numbers, sides = self.config.statistics, (new.p_NC, old.take(new.ids_N).p_NC)
        tries = max(len(self.attempts), 1)
        compared = statistics.compare_tried(metric, y_N, sides, groups_N, numbers.draws, numbers.seed, tries)
        return compared.verdict == "better"
