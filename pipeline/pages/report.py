"""What every report shares: templates, safe data for scripts, thumbnails, numbers as text, table cells.

Owns turning values into one self-contained HTML text: no network, no other file, all text from outside
(names, paths, labels) escaped; and the interface between the error report and its sections. Does not own the
content of any report or section (each room's `page.py`), the drawings (`plots.py`) or writing files
(`record/`).

Two measures keep hostile names harmless: autoescape, and a content security policy that runs only our own
script, by its digest. A new section of the error report is a function that returns a `ReportSection`, a
template beside it, and one line in `errors/page.py`.

Shape legend: H height, W width, C channels.
"""

import base64
import functools
import hashlib
import io
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from PIL import Image

from pipeline.core.language import ENGLISH, Text, _, plural_of, said, say
from pipeline.core.terminal import bar_of
from pipeline.pages.drawing import Drawing

Key = tuple[str, str]
Pixels = npt.NDArray[np.uint8]
# Train and test may use the same ids, so an image is named by its split and its id.
ImageOf = Callable[[str, str], Pixels]

PAGES = Path(__file__).with_name("templates")
# Each room keeps the templates of its own pages; their names are unique.
FOLDERS = (
    PAGES,
    *sorted(Path(__file__).parents[1].glob("*/templates")),
    *sorted(Path(__file__).parents[1].glob("*/*/templates")),
)
# From a page in artifacts/<stage>/<key>/.
HOME_PAGE = "../../../reports/index.html"
WEBP_QUALITY = 82
MISSING = "–"
SECONDS, MINUTES, HOURS = _("{n}\u00a0s"), _("{n:.0f}\u00a0min"), _("{n:.1f}\u00a0h")
YES, NO = _("yes"), _("no")
SCRIPT_TEXT = re.compile(r"""\b_\(("(?:[^"\\]|\\.)*")""")
# A number as text; a plain integer may also be the name of a class.
FIGURE = re.compile(r"–|[<>]?\s?[+−]?(\d[\d,]*\.\d+|[\d,.]+\u00a0%)")


def template_file(name: str) -> Path:
    """The file of a template, whichever room it is in."""
    return next(folder / name for folder in FOLDERS if (folder / name).is_file())


@functools.cache
def _environment(language: str) -> Environment:
    """Templates whose texts, and whatever `Text` they show, are in this language."""

    def told(value: Any) -> Any:
        return value.said(language) if isinstance(value, Drawing) else said(value, language)

    def translated(english: str, **values: Any) -> Markup:
        """A text of a template: it may contain HTML, its values are escaped."""
        return Markup(say(_(english).format(**values) if values else _(english), language, escape))

    environment = Environment(
        loader=FileSystemLoader(FOLDERS, encoding="utf-8"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=told,
    )
    environment.filters.update(
        count=count, percent=percent, rights=_rights, gain=gain, minutes=minutes, said=told
    )
    environment.filters["word"] = lambda name: _word(name, language)
    environment.filters["prose"] = lambda text, files=(): _prose(say(text, language), files)
    environment.filters["cell"] = lambda value, right=None: _cell(value, right, language)
    environment.globals.update(_=translated, language=language)
    return environment


def _word(name: Any, language: str) -> Any:
    """A name that may be a word of ours, as a text or as plain English, in this language."""
    if not isinstance(name, str):
        return name
    return say(name if isinstance(name, Text) else Text(name), language)


def render(
    template: str,
    *,
    script: str | tuple[str, ...] = (),
    home: str = HOME_PAGE,
    connects: bool = False,
    language: str = ENGLISH,
    **values: Any,
) -> str:
    """One self-contained HTML document.

    Args:
        template: a file of a `templates/` folder.
        script: JavaScript files of a `templates/` folder, run after `base.js`, in order.
        home: address of the home page, to which the page links; empty: no link.
        language: of the page.
        connects: whether its script may ask the server that it came from for a newer page.
        values: the variables of the template; a missing one is an error, not an empty text.
    """
    names = ["base.js", *([script] if isinstance(script, str) else script)]
    source = "\n".join(template_file(name).read_text(encoding="utf-8") for name in names)
    digest = base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()
    policy = (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
        f"script-src 'sha256-{digest}'"
    ) + ("; connect-src 'self'" if connects else "")
    style = template_file("style.css").read_text(encoding="utf-8")
    page = (
        _environment(language)
        .get_template(template)
        .render(
            policy=policy,
            style=Markup(style),
            script=Markup(source),
            script_words=script_words(source, language),
            home=home,
            **values,
        )
    )
    # A file name that is not valid text arrives as lone surrogates, which UTF-8 cannot encode.
    return page.encode("utf-8", "backslashreplace").decode("utf-8")


def script_words(source: str, language: str) -> Markup:
    """The translations of the texts of a script, which are literals in calls of `_`; nothing in English."""
    texts = [json.loads(found) for found in SCRIPT_TEXT.findall(source)]
    words = {text: say(_(text), language) for text in texts}
    return json_data("translations", words) if language != ENGLISH and words else Markup("")


def json_data(element_id: str, value: Any) -> Markup:
    """A `<script type="application/json">` with this id for a report's script; no text can end the tag."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup('<script type="application/json" id="{}">{}</script>').format(element_id, Markup(text))


def thumbnail(image_HWC: Pixels, size_px: int) -> str:
    """A WebP data URI of 1 (grey), 3 (RGB) or 4 (RGBA) channels, at most `size_px` long; never enlarged."""
    assert image_HWC.dtype == np.uint8 and image_HWC.ndim == 3, f"not an image: {image_HWC.shape}"
    pixels = image_HWC[:, :, 0] if image_HWC.shape[2] == 1 else image_HWC
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    picture.thumbnail((size_px, size_px), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=WEBP_QUALITY, method=4)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


@dataclass(frozen=True)
class Thumbnails:
    """Thumbnails of one report, each embedded once even if it is shown several times.

    Args:
        css: one rule per picture; equal pictures share a rule.
        rule: the CSS class of each image.
    """

    css: Markup
    rule: Mapping[Key, str]

    @staticmethod
    def none() -> "Thumbnails":
        """No thumbnails, for a report without pictures."""
        return Thumbnails(Markup(""), {})

    def tag(self, key: Key, label: str) -> Markup:
        """The picture as an HTML element, with `label` for screen readers and as tooltip."""
        return Markup('<span class="thumb {}" role="img" aria-label="{}" title="{}"></span>').format(
            self.rule[key], label, label
        )


def thumbnails(keys: Iterable[Key], image: ImageOf, size_px: int) -> Thumbnails:
    """Thumbnails of all `keys`, in any order, possibly repeated; `image` gives the pixels of each."""
    rules: dict[str, str] = {}
    of: dict[Key, str] = {}
    wanted = list(dict.fromkeys(keys))
    for key in bar_of("thumbnails", "image", wanted):
        of[key] = rules.setdefault(thumbnail(image(*key), size_px), f"t{len(rules)}")
    lines = [f".{name}{{background-image:url({uri})}}" for uri, name in rules.items()]
    return Thumbnails(Markup("\n".join(lines)), of)


def pictures(keys: Iterable[Key], image: ImageOf, size_px: int) -> tuple[list[int], list[str]]:
    """Thumbnails for a page's script: the picture number of each key, and each picture as base64 WebP."""
    which: list[int] = []
    place: dict[str, int] = {}
    for key in bar_of("pictures", "image", list(keys)):
        text = thumbnail(image(*key), size_px).partition(",")[2]
        which.append(place.setdefault(text, len(place)))
    return which, list(place)


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
        finding: what it found, in a few words that stand beside its heading while it is folded.
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
    finding: str = ""


def without(anchor: str, short: str, title: str, why: str, command: str = "") -> ReportSection:
    """A section without content: its heading, one sentence why, and the command that fills it, if any."""
    return ReportSection(
        anchor, short, "section_without.html", {"title": title, "why": why, "command": command}
    )


def scripts(sections: Iterable[ReportSection]) -> tuple[str, ...]:
    """Script files of all sections, without repeats, in order."""
    files = [(s.script,) if isinstance(s.script, str) else s.script for s in sections]
    return tuple(dict.fromkeys(name for names in files for name in names if name))


def count(value: float) -> str:
    """`1234` as `1,234`."""
    return f"{value:,.0f}"


def percent(share: float) -> str:
    """A share as a percentage: one decimal below 10 % and near 100 %; 0 % and 100 % only if exact."""
    value = 100 * share
    if 0 < value < 0.05 or 99.95 <= value < 100:
        return "<0.1\u00a0%" if value < 1 else ">99.9\u00a0%"
    return f"{value:.1f}\u00a0%" if 0 < abs(value) < 9.95 or 99.5 <= value < 100 else f"{value:.0f}\u00a0%"


def signed(value: float) -> str:
    """A difference with four decimals and a true minus sign."""
    return f"{value:+.4f}".replace("-", "−")


def gain(value: float) -> str:
    """A difference of scores with three decimals, a true minus sign, and no negative zero."""
    return f"{round(value, 3) + 0.0:+.3f}".replace("-", "−")


def minutes(value: float) -> str:
    """A duration: `40 s`, `3 min`, `1.5 h`."""
    if value < 0.95:
        return SECONDS.format(n=max(round(value * 60), 1))
    return MINUTES.format(n=value) if value < 90 else HOURS.format(n=value / 60)


def points(difference: float) -> str:
    """A difference of shares in percentage points: 0.012 as `+1.2`; a true minus sign, no negative zero."""
    return f"{round(100 * difference, 1) + 0.0:+.1f}".replace("-", "−")


def p_value(p: float) -> str:
    """A p-value with three decimals; never 0, which no test can show."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def plural(number: int, one: str, many: str = "") -> str:
    """A number with its noun: `1 image`, `1,234 images`; `many`: of what is not one noun, `images are`."""
    english = f"{count(number)} {one if number == 1 else many or plural_of(one)}"
    return Text(english, f"{{n:,{one}}}", {"n": number})


def _prose(text: str, files: Sequence[str] = ()) -> Markup:
    """Our own sentences: text in backticks is shown as code, and links to one of `files` beside the page."""

    def code(found: re.Match[str]) -> str:
        told = f"<code>{found[1]}</code>"
        return f'<a href="{found[1]}">{told}</a>' if found[1] in files else told

    return Markup(re.sub(r"`([^`]+)`", code, str(escape(text))))


def _cell(value: Any, right: bool | None = None, language: str = ENGLISH) -> Markup:
    """A table cell, aligned right if it is a number (or as asked), with as many decimals as matter."""
    text, is_figure = _worded(value)
    at_right = is_figure if right is None else right
    return Markup('<td class="n">{}</td>' if at_right else "<td>{}</td>").format(said(text, language))


def _worded(value: Any) -> tuple[Any, bool]:
    """The text of a cell, and whether it is a number or a text such as `+1.2` or `12 %`."""
    if isinstance(value, bool | np.bool_):
        return (YES if value else NO), False
    if value is None or value is pd.NA or (isinstance(value, float | np.floating) and not np.isfinite(value)):
        return MISSING, True
    if isinstance(value, int | np.integer):
        return count(float(value)), True
    if isinstance(value, float | np.floating):
        number = float(value)
        is_whole = number == round(number) and abs(number) >= 2
        text = count(number) if is_whole else f"{number:,.1f}" if abs(number) >= 10 else f"{number:.3f}"
        return text.replace("-", "−"), True
    return value, isinstance(value, str) and FIGURE.fullmatch(value) is not None


def _rights(table: pd.DataFrame | Sequence[Sequence[Any]]) -> list[bool]:
    """For each column of a frame, or of rows, whether it contains only numbers and is aligned right."""
    rows = table.itertuples(index=False, name=None) if isinstance(table, pd.DataFrame) else table
    return [all(_worded(value)[1] for value in column) for column in zip(*rows, strict=True)]
