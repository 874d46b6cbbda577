"""Better, worse or can't tell: the first sentence of the report, and what it is based on.

Owns the conclusion, and the types that are shown beside it: the changes between two submissions, and advice
that was followed. Does not own comparing (`core/statistics.py`) nor finding changes
(`errors/advice/changes.py`). A *verdict* is the outcome of a comparison; the *conclusion* is the sentence
that tells it.
"""

from dataclasses import dataclass

from pipeline.core.language import joined
from pipeline.core.predictions import Comparison
from pipeline.errors import texts
from pipeline.errors.diff.flips import Flips
from pipeline.pages.report import count, percent, plural, signed

UNDECIDED = "can't tell"
# States of the conclusion, by which the page colours it.
STATES = {"better": "better", "worse": "worse", UNDECIDED: "unclear"}


@dataclass(frozen=True)
class Conclusion:
    """The first thing that a reader sees.

    Args:
        state: "better", "worse", "unclear", "same" or "first".
        word: the conclusion itself.
        rest: the rest of the headline, with the number.
        detail: what the conclusion is based on.
    """

    state: str
    word: str
    rest: str
    detail: str

    @property
    def headline(self) -> str:
        """The conclusion in one line."""
        return joined(" ", (part for part in (self.word, self.rest) if part))

    @property
    def tag(self) -> str:
        """For tables and tags: always "better", "worse" or "can't tell"."""
        return self.state if self.state in ("better", "worse") else UNDECIDED


@dataclass(frozen=True)
class Change:
    """One setting or member in which two submissions differ.

    Args:
        what: a setting, or "member".
        old, new: its values; for a member its name, or empty where it is not a member.
        command: tests the difference alone; empty if it was tested, or cannot be tested.
        tested: the comparison of two runs that differ in nothing else, new minus old; None: no such runs.
        between: which two runs.
    """

    what: str
    old: str
    new: str
    command: str
    tested: Comparison | None = None
    between: str = ""


@dataclass(frozen=True)
class FollowedAdvice:
    """Advice of this or an earlier report that a run has followed.

    Args:
        settings: the advised settings.
        about: the run that the advice was for.
        bound: the most that it could gain; None: not known.
        obtained: the measured gain: the run that followed the advice minus the run that it was for.
    """

    settings: str
    about: str
    bound: float | None
    obtained: Comparison

    @property
    def line(self) -> str:
        """`followed advice for lite0: images.size=96, at most +0.0310; gained +0.0120 […], better`."""
        words = {"about": self.about, "settings": self.settings, "gain": self.obtained}
        if self.bound is None:
            return texts.FOLLOWED.format(**words)
        return texts.FOLLOWED_BOUND.format(**words, bound=signed(self.bound))


def conclusion_of(flips: Flips | None, comparison: Comparison | None, metric: str) -> Conclusion:
    """The conclusion about a new submission; without flips there is no old one. See `conclusion`."""
    counts = None if flips is None else (len(flips.images), flips.n_images)
    return conclusion(counts, comparison, metric)


def conclusion(counts: tuple[int, int] | None, comparison: Comparison | None, metric: str) -> Conclusion:
    """The conclusion about a new submission.

    Args:
        counts: test images with a changed answer, and all; None: there is no old submission.
        comparison: None: out-of-fold predictions are not known for both.
        metric: its name in words.
    """
    if counts is None:
        return Conclusion("first", texts.TRUTH_FIRST, "", texts.FIRST_DETAIL)
    changed_images, n_images = counts
    predictions = plural(n_images, "test prediction")
    changed = texts.CHANGED.format(flips=count(changed_images), predictions=predictions)
    if not changed_images:
        detail = texts.SAME_DETAIL.format(count=count(n_images))
        return Conclusion("same", texts.SAME, texts.SAME_REST, detail)
    if comparison is None:
        return Conclusion("unclear", texts.UNCLEAR, texts.UNCLEAR_REST, changed)
    detail = texts.TRUTH_DETAIL.format(
        low=signed(comparison.low),
        high=signed(comparison.high),
        groups=plural(comparison.n_groups, "training group"),
        share=percent(comparison.p_better),
        changed=changed,
    )
    if comparison.note:
        detail = joined(" ", (detail, texts.TRUTH_CAUTION.format(note=comparison.note)))
    if comparison.verdict == UNDECIDED:
        undecided = texts.CONTAINS_ZERO if comparison.n_groups > 1 else texts.ONE_GROUP
        rest = undecided.format(delta=signed(comparison.delta), metric=metric)
        return Conclusion("unclear", texts.TRUTH_UNDECIDED, rest, detail)
    word = texts.TRUTH_DECIDED[comparison.verdict].format(delta=abs(comparison.delta))
    return Conclusion(STATES[comparison.verdict], word, texts.DECIDED_REST.format(metric=metric), detail)
