"""One section of the error report: what the page needs to show it.

Owns the seam between the page (`compare.py`) and its sections, each made in a room of its own. Does not
own what any section says.

A new section is a file with a function that returns a `Section`, a template beside it, and one line in
`errors/sections.py`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from pipeline.pages.report import Key


@dataclass(frozen=True)
class Section:
    """A section of the page.

    Args:
        anchor: its HTML id, one word.
        short: its name in the table of contents.
        template: a file of `templates/`; it sees `values` as `s`, and `thumbs`, and writes what stands
            inside `<section>`, its `<h2>` first.
        values: what the template shows; from outside, so it is escaped.
        wanted: pictures it shows by `thumbs.tag(key, label)`.
        data: `json_data` blocks that its script reads.
        script: a JavaScript file of `templates/`, or several in order; each an immediately called function.
        early: it stands right after the verdict, and not behind the flips and the mistakes.
    """

    anchor: str
    short: str
    template: str
    values: Mapping[str, Any]
    wanted: tuple[Key, ...] = ()
    data: Markup = Markup("")
    script: str | tuple[str, ...] = ()
    early: bool = False


def without(anchor: str, short: str, title: str, why: str, command: str = "") -> Section:
    """A section that has nothing to show, and says why and what would change that.

    Args:
        anchor: its HTML id.
        short: its name in the table of contents.
        title: its heading.
        why: one sentence.
        command: what to run, where a command would fill it.
    """
    return Section(anchor, short, "section_without.html", {"title": title, "why": why, "command": command})


def scripts(sections: Iterable[Section]) -> tuple[str, ...]:
    """Script files of all sections, each once, in order."""
    files = [(s.script,) if isinstance(s.script, str) else s.script for s in sections]
    return tuple(dict.fromkeys(name for names in files for name in names if name))
