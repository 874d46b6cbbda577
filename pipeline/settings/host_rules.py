"""Rules of what the host asks for, `competition.submission`.

Owns what no single field of it can say. Does not own ranges and types (`settings/competition.py`).
"""

import shlex
import string
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pipeline.core.errors import nearest

Sections = Mapping[str, Any]
Broken = tuple[str, str]
PLACEHOLDERS = ("file", "message", "name")
PATH = "competition.submission"


def _answers(s: Sections) -> Iterator[Broken]:
    """`columns` and `words` name attributes, and tell their values apart."""
    competition = s["competition"]
    submission = competition.submission
    values = {a.name: a.names or a.values for a in competition.attributes}
    for name in ("columns", "words"):
        given = getattr(submission, name)
        if given is None:
            continue
        if submission.format != "attributes":
            yield f"{PATH}.{name}", f"is read by format=attributes only, and format={submission.format}"
        for unknown in given.keys() - values.keys():
            hint = nearest(unknown, values) or f"known: {', '.join(values)}"
            yield f"{PATH}.{name}", f"`{unknown}` is no attribute; {hint}"
    for name, words in (submission.words or {}).items():
        if name in values and len(words) != len(values[name]):
            yield f"{PATH}.words", f"{name} has {len(words)} words for {len(values[name])} values"
        if len(set(words)) != len(words):
            yield f"{PATH}.words", f"{name} has a word twice"
    columns = [submission.id_column, *((submission.columns or {}).get(name, name) for name in values)]
    if submission.format == "attributes" and len(set(columns)) != len(columns):
        yield f"{PATH}.columns", f"a column twice: {', '.join(columns)}"


def _command(s: Sections) -> Iterator[Broken]:
    """The command is words with known placeholders, the file among them."""
    command = s["competition"].submission.command
    if command is None:
        return
    try:
        shlex.split(command)
        names = {name for _, name, _, _ in string.Formatter().parse(command) if name is not None}
    except ValueError as error:
        yield f"{PATH}.command", f"cannot be read: {error}"
        return
    odd = sorted(names - set(PLACEHOLDERS))
    if odd:
        yield f"{PATH}.command", f"knows {{file}}, {{message}} and {{name}}, not {{{odd[0]}}}"
    if "file" not in names:
        yield f"{PATH}.command", "never names {file}, so it would hand in nothing"


HOST_RULES: tuple[tuple[tuple[str, ...], Callable[[Sections], Iterator[Broken]]], ...] = (
    (("competition",), _answers),
    (("competition",), _command),
)
