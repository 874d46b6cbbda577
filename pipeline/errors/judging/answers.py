"""What a person said of images: answers as values, as CSV, and every fault of a file at once.

Owns the columns, reading, holding answers against the report that asked, and joining them with earlier
ones. Does not own which images are asked (`sampling.py`), what follows (`estimate.py`), nor files.

Answers about test images are for the error report alone: nothing that trains or predicts may read them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from pipeline.core.errors import DataError, nearest
from pipeline.core.samples import LabelSpace, Strings
from pipeline.core.tables import Table
from pipeline.errors.judging.sample import Design

# The attributes' own columns carry this mark: an attribute may be called as one of the others.
MARK = "answer:"
FIXED = ("unsure", "stratum", "inclusion", "control", "report")
UNSURE = -1
TOLERANCE = 1e-6
YES, NO = "yes", "no"
REMEDY = "export the page's answers again, or mend these lines"


@dataclass(frozen=True)
class Answer:
    """What was said of one image.

    Args:
        id: the image's.
        control: whether it is a training image of known truth; test and training ids may be equal.
        codes: a value an attribute, `UNSURE` where the person could not tell.
        stratum: the kind of flip it was asked for, empty for a control.
        inclusion: the probability with which it was asked, None for a control.
        report: the key of the report that asked.
    """

    id: str
    control: bool
    codes: tuple[int, ...]
    stratum: str
    inclusion: float | None
    report: str

    @property
    def unsure(self) -> bool:
        """Whether at least one attribute was left open."""
        return UNSURE in self.codes


def columns(space: LabelSpace) -> tuple[str, ...]:
    """The header, in order."""
    return ("id", *(MARK + a.name for a in space.attributes), *FIXED)


def rows(answers: Iterable[Answer], space: LabelSpace) -> list[tuple[str, ...]]:
    """The cells under `columns`, a row an answer."""
    return [
        (
            answer.id,
            *(
                "" if c == UNSURE else a.values[c]
                for a, c in zip(space.attributes, answer.codes, strict=True)
            ),
            YES if answer.unsure else NO,
            answer.stratum,
            "" if answer.inclusion is None else f"{answer.inclusion:.6f}",
            YES if answer.control else NO,
            answer.report,
        )
        for answer in answers
    ]


def parse(table: Table, space: LabelSpace) -> tuple[list[Answer], list[str]]:
    """The answers of a table whose form is right, and what is wrong with the other rows.

    Raises:
        DataError: columns are missing.
    """
    table.require(columns(space), "export the answers from the error report's judging section")
    at = {name: table.columns.index(name) for name in columns(space)}
    values = [{value: code for code, value in enumerate(a.values)} for a in space.attributes]
    answers, faults = [], []
    seen: dict[tuple[str, str], int] = {}
    for line, cells in zip(table.lines, table.rows, strict=True):
        row = {name: cells[place] for name, place in at.items()}
        wrong, codes = _codes(row, space, values)
        wrong += _form_faults(row, codes)
        first = seen.setdefault((row["id"], row["control"]), line)
        if first != line:
            wrong.append(f"{row['id']!r} again, first on line {first}")
        if wrong:
            faults += [f"line {line}: {fault}" for fault in wrong]
            continue
        inclusion = None if row["control"] == YES else float(row["inclusion"])
        answers.append(
            Answer(row["id"], row["control"] == YES, tuple(codes), row["stratum"], inclusion, row["report"])
        )
    return answers, faults


def _codes(
    row: dict[str, str], space: LabelSpace, values: list[dict[str, int]]
) -> tuple[list[str], list[int]]:
    faults, codes = [], []
    for attribute, known in zip(space.attributes, values, strict=True):
        said = row[MARK + attribute.name]
        if said and said not in known:
            close = nearest(said, known) or f"known: {', '.join(attribute.values)}"
            faults.append(f"{attribute.name} {said!r} is no value; {close}")
        codes.append(known.get(said, UNSURE))
    return faults, codes


def _form_faults(row: dict[str, str], codes: list[int]) -> list[str]:
    faults = [
        f"{name} is {row[name]!r}, not yes or no"
        for name in ("unsure", "control")
        if row[name] not in (YES, NO)
    ]
    if not row["id"]:
        faults.append("no id")
    if row["unsure"] == NO and any(not row[name] for name in row if name.startswith(MARK)):
        faults.append("an answer is empty, but unsure is no")
    if row["unsure"] == YES and all(row[name] for name in row if name.startswith(MARK)):
        faults.append("unsure is yes, but every answer is given")
    if row["control"] == NO:
        try:
            inclusion = float(row["inclusion"])
        except ValueError:
            inclusion = math.nan
        if not 0 < inclusion <= 1:
            faults.append(f"inclusion {row['inclusion']!r} is no probability above 0")
    return faults


def against_design(
    answers: Iterable[Answer], design_of: Callable[[str], Design | None], train_ids: Strings
) -> list[str]:
    """What the answers say that the report which asked did not.

    Args:
        answers: of one file.
        design_of: the design of a report's key, None for a report on other submissions.
        train_ids: every image that may be a control.
    """
    faults: list[str] = []
    known_train = frozenset(train_ids.tolist())
    designs: dict[str, tuple[Design, dict[str, int]] | None] = {}
    for answer in answers:
        if answer.report not in designs:
            design = design_of(answer.report)
            designs[answer.report] = None if design is None else (design, _places(design))
            if design is None:
                faults.append(f"report {answer.report!r} compares other submissions than this one")
        found = designs[answer.report]
        if found is None:
            continue
        fault = _control_fault(answer, known_train) if answer.control else _flip_fault(answer, *found)
        if fault:
            faults.append(fault)
    return faults


def _places(design: Design) -> dict[str, int]:
    return {str(name): k for k, name in enumerate(design.flips["id"])}


def _control_fault(answer: Answer, known: frozenset[str]) -> str:
    if answer.id not in known:
        return f"{answer.id!r}: control, but no training image has this id"
    if answer.inclusion is not None or answer.stratum:
        return f"{answer.id!r}: a control has neither stratum nor inclusion probability"
    return ""


def _flip_fault(answer: Answer, design: Design, places: dict[str, int]) -> str:
    at = places.get(answer.id)
    if at is None:
        return f"{answer.id!r}: no image with this id changed its prediction"
    stratum, inclusion = design.strata[design.stratum_F[at]], design.inclusion(at)
    if not design.sampled_F[at]:
        return f"{answer.id!r}: was not asked by report {design.report}"
    if answer.stratum != stratum:
        return f"{answer.id!r}: stratum {answer.stratum!r}, but it was asked for {stratum!r}"
    if answer.inclusion is None or abs(answer.inclusion - inclusion) > TOLERANCE:
        return (
            f"{answer.id!r}: inclusion probability {answer.inclusion}, but it was asked with {inclusion:.6f}"
        )
    return ""


def raise_if(name: str, faults: list[str], remedy: str = REMEDY) -> None:
    """One error with every fault.

    Raises:
        DataError: there are faults.
    """
    if faults:
        number = f"{len(faults)} fault{'' if len(faults) == 1 else 's'}"
        raise DataError(f"{name}: {number}; no answer was taken", faults, remedy)


def merged(kept: Iterable[Answer], new: Iterable[Answer]) -> tuple[Answer, ...]:
    """Earlier answers and new ones, ordered by kind and id; of one image the new one counts."""
    by_image = {(answer.control, answer.id): answer for answer in kept}
    by_image |= {(answer.control, answer.id): answer for answer in new}
    return tuple(by_image[key] for key in sorted(by_image))


def code_table(answers: list[Answer], n_attributes: int) -> np.ndarray:
    """(n, A) codes, `UNSURE` where a person could not tell."""
    codes = np.array([answer.codes for answer in answers], dtype=np.int64)
    return codes.reshape(len(answers), n_attributes)
