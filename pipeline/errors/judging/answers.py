"""The form of answers: a person's answers about images as values, as CSV, and all faults of a file at once.

Owns the columns, reading, checking answers against the report that asked, and joining them with earlier
ones. Does not own which images are asked (`sample.py`), the estimate (`estimate.py`), nor the files
(`answers_file.py`).

Answers about test images are for the error report alone: nothing that trains or predicts may read them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from pipeline.core.errors import DataError, Suggestions
from pipeline.core.samples import LabelSpace, Strings
from pipeline.core.tables import Table
from pipeline.errors import texts
from pipeline.errors.judging.sample import Design

# The columns of attributes have this prefix: an attribute may have the name of another column.
MARK = "answer:"
FIXED = ("unsure", "stratum", "inclusion", "control", "report")
UNSURE = -1
TOLERANCE = 1e-6
YES, NO = "yes", "no"


@dataclass(frozen=True)
class Answer:
    """The answer about one image.

    Args:
        id: of the image.
        control: whether it is a training image of known truth; test and training ids may be equal.
        codes: one value for each attribute, `UNSURE` where the person could not tell.
        stratum: the kind of flip, empty for a control.
        inclusion: the probability of being asked, None for a control.
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
        """Whether at least one attribute is unsure."""
        return UNSURE in self.codes


def columns(space: LabelSpace) -> tuple[str, ...]:
    """The header, in order."""
    return ("id", *(MARK + a.name for a in space.attributes), *FIXED)


def rows(answers: Iterable[Answer], space: LabelSpace) -> list[tuple[str, ...]]:
    """The cells in the order of `columns`, one row for each answer."""

    def values(answer: Answer) -> list[str]:
        codes = zip(space.attributes, answer.codes, strict=True)
        return ["" if c == UNSURE else a.values[c] for a, c in codes]

    return [
        (
            answer.id,
            *values(answer),
            YES if answer.unsure else NO,
            answer.stratum,
            "" if answer.inclusion is None else f"{answer.inclusion:.6f}",
            YES if answer.control else NO,
            answer.report,
        )
        for answer in answers
    ]


def parse(table: Table, space: LabelSpace) -> tuple[list[Answer], list[str]]:
    """The answers of all valid rows, and the faults of the other rows.

    Raises:
        DataError: columns are missing.
    """
    table.require(columns(space), texts.EXPORT)
    at = {name: table.at[name] for name in columns(space)}
    values = [{value: code for code, value in enumerate(a.values)} for a in space.attributes]
    answers, faults = [], []
    seen: dict[tuple[str, str], int] = {}
    near = [Suggestions(known) for known in values]
    for line, cells in zip(table.lines, table.rows, strict=True):
        row = {name: cells[place] for name, place in at.items()}
        row_faults, codes = _codes(row, space, values, near)
        row_faults += _form_faults(row, codes)
        first = seen.setdefault((row["id"], row["control"]), line)
        if first != line:
            row_faults.append(texts.REPEATED.format(id=row["id"], first=first))
        if row_faults:
            faults += [texts.LINE_FAULT.format(line=line, fault=fault) for fault in row_faults]
            continue
        inclusion = None if row["control"] == YES else float(row["inclusion"])
        answers.append(
            Answer(row["id"], row["control"] == YES, tuple(codes), row["stratum"], inclusion, row["report"])
        )
    return answers, faults


def _codes(
    row: dict[str, str], space: LabelSpace, values: list[dict[str, int]], near: list[Suggestions]
) -> tuple[list[str], list[int]]:
    faults, codes = [], []
    for attribute, known, similar in zip(space.attributes, values, near, strict=True):
        value = row[MARK + attribute.name]
        if value and value not in known:
            hint = similar.of(value) or texts.KNOWN_VALUES.format(values=", ".join(attribute.values))
            faults.append(texts.UNKNOWN_VALUE.format(attribute=attribute.name, value=value, hint=hint))
        codes.append(known.get(value, UNSURE))
    return faults, codes


def _form_faults(row: dict[str, str], codes: list[int]) -> list[str]:
    faults = [
        texts.NOT_YES_OR_NO.format(column=name, value=row[name])
        for name in ("unsure", "control")
        if row[name] not in (YES, NO)
    ]
    if not row["id"]:
        faults.append(texts.NO_ID)
    if row["unsure"] == NO and any(not row[name] for name in row if name.startswith(MARK)):
        faults.append(texts.EMPTY_BUT_SURE)
    if row["unsure"] == YES and all(row[name] for name in row if name.startswith(MARK)):
        faults.append(texts.UNSURE_BUT_FULL)
    if row["control"] == NO:
        try:
            inclusion = float(row["inclusion"])
        except ValueError:
            inclusion = math.nan
        if not 0 < inclusion <= 1:
            faults.append(texts.BAD_INCLUSION.format(value=row["inclusion"]))
    return faults


def against_design(
    answers: Iterable[Answer], design_of: Callable[[str], Design | None], train_ids: Strings
) -> list[str]:
    """The contradictions between answers and the reports that asked for them.

    `design_of` gives the design of a report's key, None for a report about other submissions; `train_ids` are
    all images that may be a control.
    """
    faults: list[str] = []
    known_train = frozenset(train_ids.tolist())
    designs: dict[str, tuple[Design, dict[str, int]] | None] = {}
    for answer in answers:
        if answer.report not in designs:
            design = design_of(answer.report)
            places = {} if design is None else {str(i): k for k, i in enumerate(design.flips["id"])}
            designs[answer.report] = None if design is None else (design, places)
            if design is None:
                faults.append(texts.OTHER_PAIR.format(report=answer.report))
        asked = designs[answer.report]
        if asked is None:
            continue
        fault = _control_fault(answer, known_train) if answer.control else _flip_fault(answer, *asked)
        if fault:
            faults.append(fault)
    return faults


def _control_fault(answer: Answer, known: frozenset[str]) -> str:
    if answer.id not in known:
        return texts.UNKNOWN_CONTROL.format(id=answer.id)
    if answer.inclusion is not None or answer.stratum:
        return texts.CONTROL_WITH_STRATUM.format(id=answer.id)
    return ""


def _flip_fault(answer: Answer, design: Design, places: dict[str, int]) -> str:
    at = places.get(answer.id)
    if at is None:
        return texts.NOT_A_FLIP.format(id=answer.id)
    stratum, inclusion = design.strata[design.stratum_F[at]], design.inclusion(at)
    if not design.sampled_F[at]:
        return texts.NOT_ASKED.format(id=answer.id, report=design.report)
    if answer.stratum != stratum:
        return texts.OTHER_STRATUM.format(id=answer.id, given=answer.stratum, asked=stratum)
    if answer.inclusion is None or abs(answer.inclusion - inclusion) > TOLERANCE:
        return texts.OTHER_INCLUSION.format(id=answer.id, given=answer.inclusion, asked=inclusion)
    return ""


def raise_if(name: str, faults: list[str], remedy: str = texts.REMEDY) -> None:
    """Raise one error with all faults.

    Raises:
        DataError: there are faults.
    """
    if faults:
        number = f"{len(faults)} fault{'' if len(faults) == 1 else 's'}"
        raise DataError(texts.FAULTS.format(name=name, count=number), faults, remedy)


def merged(kept: Iterable[Answer], new: Iterable[Answer]) -> tuple[Answer, ...]:
    """Earlier and new answers, ordered by kind and id; for one image the new answer counts."""
    by_image = {(answer.control, answer.id): answer for answer in kept}
    by_image |= {(answer.control, answer.id): answer for answer in new}
    return tuple(by_image[key] for key in sorted(by_image))


def code_table(answers: list[Answer], n_attributes: int) -> np.ndarray:
    """(n, A) codes, `UNSURE` where a person could not tell."""
    codes = np.array([answer.codes for answer in answers], dtype=np.int64)
    return codes.reshape(len(answers), n_attributes)
