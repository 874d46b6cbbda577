"""One section of the error report: everything that the page needs to show it.

Owns the interface between the page and its sections. Does not own the content of any section.

A new section is a file with a function that returns a `ReportSection`, a template beside it, and one line in
`errors/sections.py`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from pipeline.pages.report import Key


@dataclass(frozen=True)
class ReportSection:
    """A section of the error report.

    Args:
        anchor: its HTML id, one word.
        short: its name in the table of contents.
        template: a template file, which gets `values` as `s`, and `thumbs`, and writes the content of
            `<section>`, beginning with its `<h2>`.
        values: the variables of the template; they are escaped.
        wanted: pictures that it shows with `thumbs.tag(key, label)`.
        data: `json_data` blocks for its script.
        script: a JavaScript template file, or several in order; each is an immediately called function.
        early: whether it is shown directly after the verdict, before the flips and the mistakes.
    """

    anchor: str
    short: str
    template: str
    values: Mapping[str, Any]
    wanted: tuple[Key, ...] = ()
    data: Markup = Markup("")
    script: str | tuple[str, ...] = ()
    early: bool = False


def without(anchor: str, short: str, title: str, why: str, command: str = "") -> ReportSection:
    """A section without content: its heading, one sentence why, and the command that fills it, if any."""
    return ReportSection(
        anchor, short, "section_without.html", {"title": title, "why": why, "command": command}
    )


def scripts(sections: Iterable[ReportSection]) -> tuple[str, ...]:
    """Script files of all sections, without repeats, in order."""
    files = [(s.script,) if isinstance(s.script, str) else s.script for s in sections]
    return tuple(dict.fromkeys(name for names in files for name in names if name))
