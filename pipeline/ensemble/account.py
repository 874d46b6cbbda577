"""What a blend owes to each of its members, in figures and in words.

Owns the lines about members, their disagreement and how sure a comparison is. Does not own the
arithmetic (`combine/`, `core/statistics.py`).

Legend: N images, C classes, M members.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.core import metrics
from pipeline.core.metrics import Reals
from pipeline.core.predictions import Comparison, Probabilities
from pipeline.core.samples import Samples
from pipeline.core.statistics import compare_arms, groups_to_tell
from pipeline.core.voting import soft_voting
from pipeline.core.voting.fitting import FittedBlend
from pipeline.settings.schema import Config

# Beyond so many members each one's contribution has no interval: resampling them all takes minutes.
MOST_INTERVALS = 12
# Beyond so many the table of pairs is told by its ends.
MOST_PAIRS = 8


@dataclass(frozen=True)
class Account:
    """What each member is to the blend.

    Args:
        scores: of each member by itself.
        contributions: leave-one-out, nothing fitted anew.
        intervals: of the same, corrected for their number; empty for too many or too few members.
        disagreement_MM: share of images on which two members' labels differ.
    """

    scores: dict[str, float]
    contributions: tuple[soft_voting.Contribution, ...]
    intervals: tuple[Comparison, ...]
    disagreement_MM: Reals

    @property
    def best(self) -> str:
        """The first of the members' names; `of` puts the best one there."""
        return next(iter(self.scores))


def of(config: Config, known: Samples, oofs: Sequence[Probabilities], blend: FittedBlend) -> Account:
    """Score the members, and the blend without each of them.

    Args:
        config: metric and resamples.
        known: the samples, in the order of `oofs`.
        oofs: the members' out-of-fold probabilities, aligned.
        blend: what was fitted on all of them.
    """
    metric, y_N = metrics.get(config.competition.metric), known.labels
    scores = {o.name: metric.score(y_N, o.p_NC) for o in oofs}
    ranked = sorted(scores, key=lambda name: -metric.sign * scores[name])
    intervals: tuple[Comparison, ...] = ()
    contributions: tuple[soft_voting.Contribution, ...] = ()
    if len(oofs) > 1:
        whole = blend.fitted.apply(oofs, "blend").p_NC
        without = blend.fitted.without_each(oofs)
        gains = [metric.score(y_N, p_NC) for p_NC in without]
        contributions = tuple(
            soft_voting.Contribution(o.name, score, metric.sign * (blend.naive - score))
            for o, score in zip(oofs, gains, strict=True)
        )
        if len(oofs) <= MOST_INTERVALS:
            pairs = [(0, m + 1) for m in range(len(oofs))]
            arms = [[whole], *([p_NC] for p_NC in without)]
            draws, seed = config.statistics.draws, config.statistics.seed
            compared = compare_arms(metric, y_N, arms, pairs, known.groups_N, draws, seed)
            intervals = compared.comparisons
    return Account({n: scores[n] for n in ranked}, contributions, intervals, soft_voting.disagreement(oofs))


def lines(account: Account, blend: FittedBlend) -> list[str]:
    """One line a member, then how far they disagree."""
    fitted = blend.fitted
    told = []
    for m, name in enumerate(blend.members):
        heat = f"  temperature {fitted.temperatures[m]:.2f}" if set(fitted.temperatures) != {1.0} else ""
        text = f"{name:<14} OOF {account.scores[name]:.4f}  weight {blend.weights[m]:.2f}{heat}"
        if account.contributions:
            text += f"  adds {account.contributions[m].gain:+.4f}"
        if account.intervals:
            c = account.intervals[m]
            text += f" [{c.low:+.4f}, {c.high:+.4f}], {c.verdict}"
        told.append(text)
    if account.intervals:
        told.append(f"adds: naive score with it less without it; corrected for {len(told)} comparisons")
    return told + _pairs(blend.members, account.disagreement_MM)


def _pairs(names: Sequence[str], share_MM: Reals) -> list[str]:
    if len(names) < 2:
        return []
    title = "images on which two members' labels differ"
    if len(names) > MOST_PAIRS:
        ends = sorted((share_MM[a, b], names[a], names[b]) for b in range(len(names)) for a in range(b))
        (low, a, b), (high, c, d) = ends[0], ends[-1]
        return [f"{title}: {low:.1%} ({a}, {b}) to {high:.1%} ({c}, {d})"]
    wide, columns = max(map(len, names)), [max(len(name), 6) for name in names]
    header = " ".join(f"{name:>{column}}" for name, column in zip(names, columns, strict=True))
    told = [f"{title}:", f"  {'':<{wide}} {header}"]
    for name, share_M in zip(names, share_MM, strict=True):
        cells = " ".join(f"{share:>{column}.1%}" for share, column in zip(share_M, columns, strict=True))
        told.append(f"  {name:<{wide}} {cells}")
    return told


def verdict(comparison: Comparison) -> str:
    """How the comparison ends, and how many groups it would take where it cannot tell."""
    if comparison.verdict != "can't tell":
        return str(comparison)
    needed = groups_to_tell(comparison)
    if needed is None:
        return f"{comparison}; there is no difference to tell"
    there = f"there are {comparison.n_groups:,}"
    return f"{comparison}; about {needed:,} groups would tell a difference of this size, {there}"
