"""The best so far: one rule for runs and for submissions, which compares like with like.

Owns the rule. Does not own where candidates come from (`train/scoring.py` for runs, `submit/ranking.py` for
submissions), how far public scores may differ by luck (`submit/ranking.py`), nor the words for the outcome.

An out-of-fold score is compared only with out-of-fold scores of the same images and folds, a public score
only with public scores. Out-of-fold scores come first, because nearly everything has one:

1. A candidate that a person pinned is the best.
2. Otherwise the best comparable out-of-fold score leads.
3. If the leader has a public score, the other public scores test it: the best of them wins if it is better
   than the leader's by more than luck. Among public scores that luck can explain, out-of-fold scores decide.
   If the leader has no public score, those of others say nothing about it.
4. Where no out-of-fold score is of the data and folds that are asked for, those that were used last take
   their place. Where there is no out-of-fold score at all, public scores decide.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

Rule = Literal["pinned", "oof", "public"]


@dataclass(frozen=True)
class Candidate:
    """One run or submission.

    Args:
        oof: out-of-fold score; None: unknown, or it has none of its own.
        scored_on: what `oof` was computed on, such as the addresses of data and folds; empty where that is
            unknown, which is taken to be what is asked for.
        public: score of the host; None: unknown.
        pinned: a person marked it as the best.
    """

    oof: float | None = None
    scored_on: str = ""
    public: float | None = None
    pinned: bool = False


@dataclass(frozen=True)
class Best:
    """The best candidate, and what decided.

    Args:
        place: of the best among the candidates.
        rule: "pinned"; "oof", by comparable out-of-fold scores; "public", by public scores.
        oof_leader: place of the best comparable out-of-fold score; None where there is none.
        public_leader: place of the best public score; None where there is none.
        rivals: how many others have a score of the kind that decided.
        near: how many other public scores are within luck of the best one; 0 where they were not compared.
        elsewhere: whether the out-of-fold scores are of other data or folds than those asked for.
    """

    place: int
    rule: Rule
    oof_leader: int | None
    public_leader: int | None
    rivals: int
    near: int = 0
    elsewhere: bool = False


def best(
    candidates: Sequence[Candidate],
    sign: float,
    scored_on: str = "",
    reach: Callable[[int, int], float] | None = None,
) -> Best | None:
    """The best candidate by the rule above, among equals the first; None where none has a score.

    Args:
        candidates: in order of time.
        sign: +1 where higher scores are better, -1 for losses.
        scored_on: the data and folds whose out-of-fold scores are comparable; empty: all are.
        reach: how far the public scores of two places may differ by luck, ≥ 0; None: every difference counts.
    """
    places = range(len(candidates))

    def top(some: Sequence[int], score: Literal["oof", "public"]) -> int | None:
        return max(some, key=lambda n: sign * getattr(candidates[n], score), default=None)

    alike, elsewhere = comparable(candidates, scored_on)
    seen = [n for n in places if candidates[n].public is not None]
    leader, highest = top(alike, "oof"), top(seen, "public")
    pinned = next((n for n in places if candidates[n].pinned), None)
    if pinned is not None:
        return Best(pinned, "pinned", leader, highest, len(candidates) - 1)
    if leader is not None and (leader not in seen or len(seen) == 1):
        return Best(leader, "oof", leader, highest, len(alike) - 1, elsewhere=elsewhere)
    if highest is None:
        return None
    near = [n for n in seen if n != highest and reach and _gap(candidates, n, highest) <= reach(highest, n)]
    # Without an out-of-fold score of its own, the best public one cannot be compared with the others further.
    choice = top([n for n in (highest, *near) if n in alike], "oof") if highest in alike else highest
    assert choice is not None, "the best public score is one of those near it"
    if choice == leader and near:
        return Best(choice, "oof", leader, highest, len(alike) - 1, len(near), elsewhere)
    return Best(choice, "public", leader, highest, len(seen) - 1, len(near))


def comparable(candidates: Sequence[Candidate], scored_on: str = "") -> tuple[list[int], bool]:
    """The places whose out-of-fold scores are compared, and whether those are of other data or folds.

    They are of what is asked for, or else of the data and folds of the last candidate with such a score.
    """
    scored = [n for n, candidate in enumerate(candidates) if candidate.oof is not None]
    alike = [n for n in scored if _alike(candidates[n].scored_on, scored_on)]
    if alike or not scored:
        return alike, False
    last = candidates[scored[-1]].scored_on
    return [n for n in scored if _alike(candidates[n].scored_on, last)], True


def _alike(one: str, asked: str) -> bool:
    return not one or not asked or one == asked


def _gap(candidates: Sequence[Candidate], one: int, other: int) -> float:
    public = [candidates[n].public for n in (one, other)]
    assert public[0] is not None and public[1] is not None, "both have public scores"
    return abs(public[0] - public[1])
