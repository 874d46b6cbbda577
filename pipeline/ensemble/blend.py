"""What a blend reports about its members: scores, contributions, disagreement; the contents of blend.json.

Owns these figures and their lines. Does not own fitting the blend (`core/voting/`) nor the statistics
(`core/statistics.py`).

Shape legend: N images, C classes, M members.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.core import metrics
from pipeline.core.metric_arithmetic import Reals
from pipeline.core.predictions import COMPARISONS, Comparison, Probabilities
from pipeline.core.samples import Kind, Samples
from pipeline.core.statistics import compare_arms, groups_to_tell
from pipeline.core.targets import EXCLUSIVE
from pipeline.core.voting import soft_voting
from pipeline.core.voting.fitting import FittedBlend
from pipeline.ensemble import texts
from pipeline.ensemble.members import Members
from pipeline.record.store import Artifact
from pipeline.settings.schema import Config

# Scores that differ by less are printed as equal.
SAME_SCORE = 5e-5
# With more members than this, contributions have no intervals: resampling all of them takes minutes.
MOST_INTERVALS = 12
# With more members than this, only the most and the least similar pair are shown.
MOST_PAIRS = 8


def only_member(blend: FittedBlend, members: Members) -> str:
    """The name of the one member that decides all alone; empty where several have a vote."""
    voting = [name for name, weight in zip(blend.members, blend.weights, strict=True) if weight > 0]
    stacked = blend.fitted.stack is not None  # a model of its own, which moves the votes of its members
    return voting[0] if len(voting) == 1 and not members.test_only and not stacked else ""


def only_member_text(member: str, blend: FittedBlend, report: MemberReport) -> str:
    """That the blend is one member, and why their scores differ where they do."""
    heated = blend.fitted.temperatures[blend.members.index(member)] != 1.0
    text = (texts.ONLY_MEMBER_HEATED if heated else texts.ONLY_MEMBER).format(member=member)
    alone = report.scores[member]
    if abs(blend.crossfitted - alone) < SAME_SCORE:
        return text
    return text + texts.ONLY_MEMBER_SCORES.format(blend=blend.crossfitted, alone=alone)


@dataclass(frozen=True)
class MemberReport:
    """What each member does for the blend.

    Args:
        scores: of each member alone, the best first.
        contributions: leave-one-out, nothing refitted.
        intervals: of the contributions, corrected for their number; empty for too many or too few members.
        disagreement_MM: how much two members differ, see `soft_voting.disagreement`.
        kind: of the target.
    """

    scores: dict[str, float]
    contributions: tuple[soft_voting.Contribution, ...]
    intervals: tuple[Comparison, ...]
    disagreement_MM: Reals
    kind: Kind = EXCLUSIVE

    @property
    def best(self) -> str:
        """The member with the best score."""
        return next(iter(self.scores))


def report_members(
    config: Config, samples: Samples, oofs: Sequence[Probabilities], blend: FittedBlend
) -> MemberReport:
    """Score the members, and the blend without each of them; `samples` and `oofs` are in one order."""
    metric, y_N = metrics.get(config.competition.metric), samples.truth
    scores = {oof.name: metric.score(y_N, oof.p_NC) for oof in oofs}
    ranked = sorted(scores, key=lambda name: -metric.sign * scores[name])
    intervals: tuple[Comparison, ...] = ()
    contributions: tuple[soft_voting.Contribution, ...] = ()
    if len(oofs) > 1:
        blended_NC = blend.fitted.apply(oofs, "blend").p_NC
        without = blend.fitted.without_each(oofs)
        scores_without = [metric.score(y_N, p_NC) for p_NC in without]
        contributions = tuple(
            soft_voting.Contribution(oof.name, score, metric.sign * (blend.naive - score))
            for oof, score in zip(oofs, scores_without, strict=True)
        )
        if len(oofs) <= MOST_INTERVALS:
            pairs = [(0, m + 1) for m in range(len(oofs))]
            arms = [[blended_NC], *([p_NC] for p_NC in without)]
            draws, seed = config.statistics.draws, config.statistics.seed
            intervals = compare_arms(metric, y_N, arms, pairs, samples.groups_N, draws, seed).comparisons
    return MemberReport(
        {name: scores[name] for name in ranked},
        contributions,
        intervals,
        soft_voting.disagreement(oofs),
        samples.space.kind,
    )


def member_lines(report: MemberReport, blend: FittedBlend) -> list[str]:
    """One line for each member, then how much they disagree."""
    temperatures = blend.fitted.temperatures
    rows = []
    for m, name in enumerate(blend.members):
        row = texts.MEMBER.format(member=name, score=report.scores[name], weight=blend.weights[m])
        if set(temperatures) != {1.0}:
            row += texts.MEMBER_TEMPERATURE.format(temperature=temperatures[m])
        if report.contributions:
            row += texts.MEMBER_GAIN.format(gain=report.contributions[m].gain)
        if report.intervals:
            c = report.intervals[m]
            row += texts.MEMBER_INTERVAL.format(low=c.low, high=c.high, verdict=COMPARISONS[c.verdict])
        rows.append(row)
    if report.intervals:
        rows.append(texts.GAINS.format(count=len(rows)))
    return rows + _disagreement(texts.DISAGREEMENT[report.kind], blend.members, report.disagreement_MM)


def _disagreement(title: str, names: Sequence[str], share_MM: Reals) -> list[str]:
    if len(names) < 2:
        return []
    if len(names) > MOST_PAIRS:
        pairs = sorted((share_MM[a, b], names[a], names[b]) for b in range(len(names)) for a in range(b))
        (low, *low_pair), (high, *high_pair) = pairs[0], pairs[-1]
        ends = {"low": low, "low_pair": ", ".join(low_pair), "high": high, "high_pair": ", ".join(high_pair)}
        return [texts.DISAGREEMENT_RANGE.format(title=title, **ends)]
    wide, columns = max(map(len, names)), [max(len(name), 6) for name in names]
    header = " ".join(f"{name:>{column}}" for name, column in zip(names, columns, strict=True))
    rows = [title + ":", f"  {'':<{wide}} {header}"]
    for name, share_M in zip(names, share_MM, strict=True):
        cells = " ".join(f"{share:>{column}.1%}" for share, column in zip(share_M, columns, strict=True))
        rows.append(f"  {name:<{wide}} {cells}")
    return rows


def comparison_text(comparison: Comparison) -> str:
    """The comparison and, where it is undecided, how many groups would be needed to decide it."""
    if comparison.verdict != "can't tell":
        return comparison.in_words
    needed = groups_to_tell(comparison)
    if needed is None:
        return texts.NO_DIFFERENCE.format(comparison=comparison)
    return texts.GROUPS_NEEDED.format(comparison=comparison, needed=needed, groups=comparison.n_groups)


def blend_facts(
    method: str,
    inferred: Mapping[str, Artifact],
    refits: Mapping[str, Artifact],
    members: Members,
    blend: FittedBlend,
    report: MemberReport,
    against_best: Comparison,
) -> dict[str, Any]:
    """The contents of blend.json.

    `inferred`: the members that are inferences, by name; `refits`: the models of all data that predict the
    test set in their place.
    """
    return {
        "method": method,
        "members": {name: f"infer/{a.key}" for name, a in inferred.items()},
        "refits": {name: f"refit/{a.key}" for name, a in refits.items()},
        "outside": members.files,
        "weights": dict(zip(blend.members, blend.weights, strict=True)),
        "temperatures": dict(zip(blend.members, blend.fitted.temperatures, strict=True)),
        "test_only": {member.p.name: member.weight for member in members.test_only},
        "scores": report.scores,
        "contributions": {c.member: c.gain for c in report.contributions},
        "naive": blend.naive,
        "crossfitted": blend.crossfitted,
        "only_member": only_member(blend, members),
        "best_member": report.best,
        "against_best_member": str(against_best),
        "verdict": against_best.verdict,
        "disagreement": report.disagreement_MM.tolist(),
    }
