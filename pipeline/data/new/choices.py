"""The format that a sample proves, or the possible answers where only a person can say.

Owns the value. Does not own finding it (`data/new/form.py`, `data/new/matrix_form.py`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Choice = tuple[str, dict[str, Any]]


@dataclass(frozen=True)
class Form:
    """The format of the answers.

    Args:
        format: of `competition.submission.format`; None: only the user can say.
        why: the reason.
        label_column: the answer's column, where there is one.
        settings: further settings of `competition.submission`, by name.
        question: what the user has to answer before anything can run; empty: nothing.
        trial: overrides with which the files can be read before the question is answered.
        choices: the possible answers: what each means, and its settings of `competition.submission`.
    """

    format: str | None
    why: str
    label_column: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    question: str = ""
    trial: tuple[str, ...] = ()
    choices: tuple[Choice, ...] = ()
