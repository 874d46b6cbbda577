"""Judging on the page: the questions that a person answers, and the sentences of the resulting estimate.

Owns the section "Judging": which questions are asked, in which order, and the data of its script; and the
estimate in words, for the page, the terminal, the conclusion and the record. Does not own the sample
(`sample.py`), the form of answers (`answers.py`), nor the estimate (`estimate.py`).

Questions show no name and no prediction, and controls of known truth are mixed in at random, so that nobody
can tell them apart. The source of the page of course holds both.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pipeline.core.samples import LabelSpace
from pipeline.errors import texts
from pipeline.errors.diff.conclusion import STATES
from pipeline.errors.judging.answers import MARK, columns
from pipeline.errors.judging.estimate import ScoreEstimate
from pipeline.errors.judging.sample import Control, Design, spread
from pipeline.pages.report import (
    ImageOf,
    Key,
    ReportSection,
    count,
    json_data,
    percent,
    pictures,
    plural,
    signed,
)
from pipeline.settings.report import ReportSettings


@dataclass(frozen=True)
class JudgingQuestion:
    """One image to judge.

    Args:
        key: its split and id.
        stratum, inclusion: the kind of flip and the probability of being asked; empty for a control.
        old, new: the predictions of both submissions, class indices; shown on request.
    """

    key: Key
    stratum: str
    inclusion: str
    old: int
    new: int


def questions(
    design: Design, controls: Iterable[Control], known: frozenset[str]
) -> tuple[JudgingQuestion, ...]:
    """Sampled flips that are not judged yet, and controls, in a random order; none if no flip is left to ask.

    `known` are the test ids that were judged before.
    """
    flips = [
        JudgingQuestion(
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
    asked = [*flips, *(JudgingQuestion(("train", c.id), "", "", c.old, c.new) for c in controls)]
    return tuple(asked[k] for k in spread(design.report, len(asked)))


def section(
    asked: tuple[JudgingQuestion, ...],
    design: Design,
    space: LabelSpace,
    image: ImageOf,
    settings: ReportSettings,
    command: str,
) -> ReportSection:
    """The section, with the data of its script; `command` turns the exported file into an estimate."""
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
    return ReportSection(
        "judging",
        texts.JUDGING_SHORT,
        "judging.html",
        values,
        data=json_data("questions", _data(asked, design, space, image, settings) if asked else None),
        script=scripts,
    )


def _data(
    asked: tuple[JudgingQuestion, ...],
    design: Design,
    space: LabelSpace,
    image: ImageOf,
    settings: ReportSettings,
) -> dict[str, Any]:
    """The data that the script shows and exports."""
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
    """The estimate in words, for the page."""
    c = estimate.comparison
    controls = texts.NO_CONTROLS
    if estimate.controls:
        controls = (texts.CORRECTED if estimate.corrected else texts.NOT_CORRECTED).format(
            wrong=count(estimate.mistaken), controls=plural(estimate.controls, "control")
        )
    judged = (texts.ESTIMATE_UNSURE if estimate.unsure else texts.ESTIMATE_JUDGED).format(
        judged=count(estimate.judged),
        flips=plural(estimate.flips, "flip"),
        unsure=count(estimate.unsure),
        controls=controls,
    )
    new, old = estimate.new_right, estimate.old_right
    neither = percent(max(0.0, 1 - new - old))
    return {
        "state": STATES[c.verdict],
        "conclusion": texts.VERDICTS[c.verdict],
        "number": texts.ESTIMATE_INTERVAL.format(
            delta=signed(c.delta), low=signed(c.low), high=signed(c.high)
        ),
        "judged": judged,
        "shares": texts.SHARES.format(new=percent(new), old=percent(old), neither=neither),
        "assumed": estimate.assumed,
        "note": c.note,
    }


def line(estimate: ScoreEstimate) -> str:
    """The estimate as one line of the terminal."""
    values = estimate_values(estimate)
    return (texts.LINE_CAUTION if values["note"] else texts.LINE).format(**values)


def figures(estimate: ScoreEstimate) -> dict[str, float]:
    """The estimate for the record."""
    c = estimate.comparison
    return {
        "judged": float(estimate.judged),
        "judged_delta": c.delta,
        "judged_low": c.low,
        "judged_high": c.high,
    }


def conclusion_fields(estimate: ScoreEstimate, detail: str, metric: str, alone: bool) -> dict[str, str]:
    """The fields of the conclusion that the estimate changes, by name.

    `detail` is what the conclusion is based on so far; `alone`: there is no out-of-fold comparison.
    """
    fields = {"detail": texts.ESTIMATE_DETAIL.format(detail=detail, line=line(estimate))}
    if alone:
        c = estimate.comparison
        fields["state"] = STATES[c.verdict]
        fields["word"] = texts.ESTIMATE_DECIDED[c.verdict]
        fields["rest"] = texts.REST.format(delta=signed(c.delta), metric=metric)
    return fields
