"""What a person's answers say of the score, in words.

Owns the sentences of an estimate for the page, the terminal, the verdict and tracking. Does not own the
estimate (`estimate.py`).
"""

from __future__ import annotations

from typing import Any

from pipeline.errors.judging.estimate import Estimate
from pipeline.pages.report import count, percent, plural, signed

UNDECIDED = "can't tell"


def told(estimate: Estimate) -> dict[str, Any]:
    """An estimate in words, for the top of the section and the terminal."""
    c = estimate.comparison
    number = f"{signed(c.delta)} [{signed(c.low)}, {signed(c.high)}]"
    rests = f"{count(estimate.judged)} of {plural(estimate.flips, 'flip')} judged"
    if estimate.unsure:
        rests += f", {count(estimate.unsure)} of them unsure"
    eye = "own error not measured"
    if estimate.controls:
        eye = f"{count(estimate.mistaken)} of {plural(estimate.controls, 'control')} answered wrongly"
        eye += ", corrected for" if estimate.corrected else ": too few to correct by"
    neither = max(0.0, 1 - estimate.new_right - estimate.old_right)
    return {
        "state": {"better": "better", "worse": "worse"}.get(c.verdict, "unclear"),
        "verdict": c.verdict,
        "number": number,
        "rests": f"{rests}; {eye}",
        "shares": f"Of all flips the new answer is right in {percent(estimate.new_right)}, the best "
        f"submission's in {percent(estimate.old_right)}, neither in {percent(neither)}.",
        "assumed": estimate.assumed,
        "note": c.note,
    }


def line(estimate: Estimate) -> str:
    """An estimate as one line of a terminal."""
    words = told(estimate)
    caution = f" (caution: {words['note']})" if words["note"] else ""
    return f"{words['verdict']}, new − best {words['number']} on the test images{caution}; {words['rests']}"


def figures(estimate: Estimate) -> dict[str, float]:
    """An estimate for tracking."""
    c = estimate.comparison
    return {
        "judged": float(estimate.judged),
        "judged_delta": c.delta,
        "judged_low": c.low,
        "judged_high": c.high,
    }


def verdict_fields(estimate: Estimate, detail: str, metric: str, alone: bool) -> dict[str, str]:
    """What an estimate changes in a verdict, by the names of its fields.

    Args:
        estimate: what was judged.
        detail: what the verdict rests on so far.
        metric: its name in words.
        alone: whether nothing else compares the two: outside files bring no out-of-fold predictions.
    """
    fields = {"detail": f"{detail} Judged by eye: {line(estimate)}."}
    if alone:
        c = estimate.comparison
        fields["state"] = "unclear" if c.verdict == UNDECIDED else c.verdict
        fields["word"] = "Can't tell:" if c.verdict == UNDECIDED else f"{c.verdict.capitalize()}:"
        fields["rest"] = f"{signed(c.delta)} {metric} by the flips that were judged"
    return fields
