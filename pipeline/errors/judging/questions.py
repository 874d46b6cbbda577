"""The page's questions: pictures that a person labels, both predictions hidden.

Owns the section "Judging": which questions are put, in which order, and what its script is given. Does not
own the sample (`sampling.py`), the form of answers (`verdicts.py`), nor what they say (`estimate.py`).

Questions carry no name and no prediction in sight, and those of known truth come in between in a random
order, so that nobody can tell them from the others. The page's source of course holds both.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pipeline.core.samples import LabelSpace
from pipeline.errors.judging.answers import MARK, columns
from pipeline.errors.judging.sample import Control, Design, spread
from pipeline.pages.report import ImageOf, Key, json_data, pictures
from pipeline.pages.section import Section
from pipeline.settings.report import ReportSettings


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
