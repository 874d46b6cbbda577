"""Judging on the page: the questions that a person answers, and the sentences of the resulting estimate.

Owns the section "Judging": which questions are asked, in which order, and the data of its script; and the
estimate in words, for the page, the terminal, the conclusion and the record. Does not own the sample
(`sample.py`), the form of verdicts (`answers.py`), nor the estimate (`estimate.py`).

Questions show no name and no prediction, and controls of known truth are mixed in at random, so that nobody
can tell them apart. The source of the page of course holds both.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pipeline.core.samples import LabelSpace
from pipeline.errors.judging.answers import MARK, columns
from pipeline.errors.judging.estimate import ScoreEstimate
from pipeline.errors.judging.sample import Control, Design, spread
from pipeline.pages.report import ImageOf, Key, count, json_data, percent, pictures, plural, signed
from pipeline.pages.section import Section
from pipeline.settings.report import ReportSettings

UNDECIDED = "can't tell"


@dataclass(frozen=True)
class Question:
    """One image to judge.

    Args:
        key: its split and id.
        stratum, inclusion: why it is asked and with what probability; empty for a control.
        old, new: what both submissions say, class indices; shown on request.
    """

    key: Key
    stratum: str
    inclusion: str
    old: int
    new: int


def questions(design: Design, controls: Iterable[Control], known: frozenset[str]) -> tuple[Question, ...]:
    """Sampled flips that nobody judged yet, and controls, in a random order.

    Args:
        design: the sample.
        controls: images of known truth; none are asked when no flip is left to ask.
        known: test ids that were judged before.
    """
    flips = [
        Question(
            ("test", str(row["id"])),
            design.strata[design.stratum_F[k]],
            f"{design.inclusion(k):.6f}",
            int(row["old"]),
            int(row["new"]),
        )
        for k, row in enumerate(design.flips.to_dict("records"))
        if design.sampled_F[k] and str(row["id"]) not in known
    ]
    if not flips:
        return ()
    asked = [*flips, *(Question(("train", c.id), "", "", c.old, c.new) for c in controls)]
    return tuple(asked[k] for k in spread(design.report, len(asked)))


def section(
    asked: tuple[Question, ...],
    design: Design,
    space: LabelSpace,
    image: ImageOf,
    settings: ReportSettings,
    command: str,
) -> Section:
    """The section with everything its script needs.

    Args:
        asked: the questions, in order.
        design: the sample they come from.
        space: the label space.
        image: pixels by split and id.
        settings: `judge_px` and `show_answers`.
        command: what turns the exported file into an estimate.
    """
    sampled = int(design.sampled_F.sum())
    values = {
        "asked": len(asked),
        "sampled": sampled,
        "flips": len(design.flips),
        "strata": len(design.strata),
        "reused": sampled - sum(q.key[0] == "test" for q in asked),
        "controls": sum(q.key[0] == "train" for q in asked),
        "attributes": [a.name for a in space.attributes],
        "px": settings.judge_px,
        "command": command,
    }
    scripts = ("csv.js", "judging.js") if asked else ()
    return Section(
        "judging",
        "Judging",
        "judging.html",
        values,
        data=json_data("questions", _data(asked, design, space, image, settings) if asked else None),
        script=scripts,
    )


def _data(
    asked: tuple[Question, ...],
    design: Design,
    space: LabelSpace,
    image: ImageOf,
    settings: ReportSettings,
) -> dict[str, Any]:
    """What the script draws and exports."""
    which, distinct = pictures([q.key for q in asked], image, settings.judge_px)
    return {
        "report": design.report,
        "columns": list(columns(space)),
        "mark": MARK,
        "attributes": [{"name": a.name, "values": list(a.values)} for a in space.attributes],
        "codes": space.codes_CA.tolist(),
        "show": settings.show_answers,
        "picture": which,
        "pictures": distinct,
        "items": [
            {
                "id": q.key[1],
                "control": q.key[0] == "train",
                "stratum": q.stratum,
                "inclusion": q.inclusion,
                "old": q.old,
                "new": q.new,
            }
            for q in asked
        ],
    }


def estimate_values(estimate: ScoreEstimate) -> dict[str, Any]:
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


def line(estimate: ScoreEstimate) -> str:
    """An estimate as one line of a terminal."""
    words = estimate_values(estimate)
    caution = f" (caution: {words['note']})" if words["note"] else ""
    return f"{words['verdict']}, new − best {words['number']} on the test images{caution}; {words['rests']}"


def figures(estimate: ScoreEstimate) -> dict[str, float]:
    """An estimate for tracking."""
    c = estimate.comparison
    return {
        "judged": float(estimate.judged),
        "judged_delta": c.delta,
        "judged_low": c.low,
        "judged_high": c.high,
    }


def conclusion_fields(estimate: ScoreEstimate, detail: str, metric: str, alone: bool) -> dict[str, str]:
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
