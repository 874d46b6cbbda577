"""Better, worse or can't tell: the first sentence of the report, and what it is based on.

Owns the conclusion, and the types that are shown beside it: the changes between two submissions, and advice
that was followed. Does not own comparing (`core/statistics.py`) nor finding changes
(`errors/advice/changes.py`). A *conclusion* is the report's; a *verdict* is a person's answer about an image.
"""

from dataclasses import dataclass

from pipeline.core.predictions import Comparison
from pipeline.errors.diff.flips import Flips
from pipeline.pages.report import count, percent, plural, signed

UNDECIDED = "can't tell"
# States of the verdict, as the page colours them.
STATES = {"better": "better", "worse": "worse", UNDECIDED: "unclear"}


@dataclass(frozen=True)
class Conclusion:
    """The first thing a reader sees.

    Args:
        state: "better", "worse", "unclear", "same" or "first".
        word: the verdict itself.
        rest: the headline's continuation, with the number.
        detail: what it rests on.
    """

    state: str
    word: str
    rest: str
    detail: str

    @property
    def headline(self) -> str:
        """The conclusion in one line."""
        return f"{self.word} {self.rest}".strip()

    @property
    def tag(self) -> str:
        """For tables and tags: "better", "worse" or "can't tell", and no other word."""
        return self.state if self.state in ("better", "worse") else UNDECIDED


@dataclass(frozen=True)
class Change:
    """One thing in which two submissions differ.

    Args:
        what: a setting, or "member".
        old, new: its values; of a member its name, empty where it is none.
        command: what would try it alone; empty where it was tried, or nothing can.
        tested: the comparison of two runs that differ in nothing else, new minus old; None: there are none.
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
    """Advice of an earlier report, or of this one, that some run has followed.

    Args:
        settings: what it said to change.
        about: the run that it was given to.
        bound: what it could bring at most; None: that was not said.
        obtained: what it brought: the run that followed minus the one that it was given to.
    """

    settings: str
    about: str
    bound: float | None
    obtained: Comparison

    @property
    def line(self) -> str:
        """`advised images.size=96 of lite0, at most +0.0310; obtained +0.0120 […], better`."""
        most = f", at most {signed(self.bound)}" if self.bound is not None else ""
        return f"advised {self.settings} of {self.about}{most}; obtained {self.obtained}"


def conclusion_of(flips: Flips | None, comparison: Comparison | None, metric: str) -> Conclusion:
    """The verdict on a new submission.

    Args:
        flips: the differences from the old one; None: there is no old one.
        comparison: new minus old, out of fold; None: not known of both.
        metric: its name in words.
    """
    if flips is None:
        return Conclusion("first", "First submission", "", "There is no earlier one to compare it with.")
    changed = f"{count(len(flips.images))} of {plural(flips.n_images, 'test prediction')} differ."
    if not len(flips.images):
        return Conclusion(
            "same", "The same", "as the best submission", f"All {count(flips.n_images)} predictions agree."
        )
    if comparison is None:
        rest = "which is better: there are no out-of-fold predictions of both to compare"
        return Conclusion("unclear", "Can't tell", rest, changed)
    low, high = signed(comparison.low), signed(comparison.high)
    detail = (
        f"95 % interval {low} to {high}, {plural(comparison.n_groups, 'training group')} resampled, "
        f"out of fold; better in {percent(comparison.p_better)} of the resamples. {changed}"
    )
    if comparison.note:
        detail += f" Caution: {comparison.note}."
    if comparison.verdict == UNDECIDED:
        why = "the interval contains zero" if comparison.n_groups > 1 else "one group proves nothing"
        rest = f"{signed(comparison.delta)} {metric}, and {why}"
        return Conclusion("unclear", "Can't tell:", rest, detail)
    word = f"{comparison.verdict.capitalize()} by {abs(comparison.delta):.4f}"
    return Conclusion(STATES[comparison.verdict], word, metric, detail)
