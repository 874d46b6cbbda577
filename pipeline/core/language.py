"""Texts in the language of their reader: English in the code, other languages from gettext catalogues.

Owns texts that remember their English template (`Text`), filling in templates, the catalogues, and choosing a
language. Does not own any text, nor where a language is set (`settings/report.py`).

    NOTHING = _("{images:image} missing in {path}")      marks a text for translation; it is still English
    fault = NOTHING.format(images=3, path="a.csv")       "3 images missing in a.csv"
    say(fault, "ko")                                     "a.csv에 이미지 3장이 없습니다"

Everything inside the program is English and equal for every reader: a `Text` is a `str`. Only where a person
reads it, on a page or in the terminal, does `say` give it in another language. A language is two files of
`pipeline/locale/`: `xx.po`, which a translator edits, and `xx.mo`, which `make translations` makes of it.

Nothing but the standard library, because `make` alone needs it before anything is installed.
"""

from __future__ import annotations

import dataclasses
import functools
import gettext
import logging
import re
import string
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.core import particles
from pipeline.core.columns import padded

log = logging.getLogger(__name__)

ENGLISH = "en"
AUTO = "auto"
# The variable that wins over the settings, and those that name the locale, in the order of POSIX.
VARIABLE = "UI_LANG"
LOCALE = ("LC_ALL", "LC_MESSAGES", "LANG")
FOLDER = Path(__file__).resolve().parents[1] / "locale"
# A noun, and a comma in front of it for digits in groups of three.
NOUN = re.compile(r"(,?)([a-z][a-z -]+)")
# A text at the left or the right of so many columns of a terminal.
COLUMNS = re.compile(r"([<>])(\d+)")


class _Wording(string.Formatter):
    """`str.format` in which a number may be followed by a noun, or choose between two forms.

    Args:
        shown: makes a value ready before it is formatted, and what was formatted afterwards.
    """

    def __init__(self, before: Callable[[Any], Any], after: Callable[[Any, str], str]) -> None:
        self._before, self._after = before, after

    def get_field(self, field_name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """A value by its name, or the place of a Korean particle."""
        if particles.is_particle(field_name):
            return _Place(particles.marked(field_name)), field_name
        value, key = super().get_field(field_name, args, kwargs)
        return self._before(value), key

    def format_field(self, value: Any, format_spec: str) -> str:
        """A number with `noun`, one of `singular|plural`, a text in `<12` columns, or any other value."""
        if isinstance(value, _Place):
            return str(value)
        one, either, many = format_spec.partition("|")
        if either:
            return one if value == 1 else many
        placed = COLUMNS.fullmatch(format_spec) if isinstance(value, str) else None
        if placed is not None:
            return self._after(value, padded(value, int(placed[2]) * (-1 if placed[1] == ">" else 1)))
        found = NOUN.fullmatch(format_spec)
        if found is None:
            return self._after(value, str(super().format_field(value, format_spec)))
        return f"{format(value, found[1])} {found[2] if value == 1 else plural_of(found[2])}"


class _Place(str):
    """The place of a particle."""


def plural_of(noun: str) -> str:
    """The regular plural of a noun: `images`, `copies`, `classes`."""
    if noun.endswith("y") and noun[-2:-1] not in "aeiou":
        return f"{noun[:-1]}ies"
    hisses = noun.endswith(("s", "x", "ch", "sh")) and not noun.endswith("epoch")  # its ch is a k
    return f"{noun}es" if hisses else f"{noun}s"


def filled(
    template: str,
    values: Mapping[str, object],
    before: Callable[[Any], Any] = lambda value: value,
    after: Callable[[Any, str], str] = lambda value, text: text,
) -> str:
    """A template with its placeholders filled in.

    Args:
        template: with `{name}`, `{name:spec}`, `{images:image}`, `{runs:is|are}` or, in Korean, `{은/는}`.
        values: by name.
        before: makes a value ready before it is formatted.
        after: what becomes of a formatted value, such as escaping it.
    """
    return particles.agreed(_Wording(before, after).vformat(template, (), values))


class Text(str):
    """English text that can say itself in another language.

    It is made of a template and the values of its placeholders, or of parts that are put together. Every
    other operation of `str` gives plain English.
    """

    template: str
    values: Mapping[str, object]
    parts: tuple[str, ...]

    def __new__(
        cls,
        english: str,
        template: str | None = None,
        values: Mapping[str, object] | None = None,
        parts: tuple[str, ...] = (),
    ) -> Text:
        """The English text, and what it was made of."""
        made = super().__new__(cls, english)
        made.template = english if template is None else template
        made.values, made.parts = dict(values or {}), parts
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        return Text, (str(self), self.template, self.values, self.parts)

    def format(self, *args: object, **values: object) -> str:
        """The text with its placeholders filled in, by name only."""
        assert not args, f"placeholders of a text have names: {self.template}"
        return Text(filled(self.template, values), self.template, values)

    def __add__(self, other: str) -> str:
        return joined("", (self, other))

    def __radd__(self, other: str) -> str:
        return joined("", (other, self))


def _(english: str) -> str:
    """Mark an English text for translation; it is a `Text`, which is nobody's business but this file's."""
    return Text(english)


def joined(separator: str, parts: Iterable[str]) -> str:
    """Parts as one text, each of which is translated by itself."""
    mixed: list[str] = []
    for part in parts:
        mixed += [separator, part] if mixed and separator else [part]
    return Text("".join(str(part) for part in mixed), parts=tuple(mixed))


def recalled(kept: str, *templates: str) -> str:
    """English that was kept as a plain string, as the text of one of these templates; else as it is.

    Args:
        kept: from a manifest, a tag or a table.
        templates: whose placeholders are names, or numbers with a specification such as `.4f`.
    """
    for template in templates:
        fields = list(string.Formatter().parse(template))
        named = (re.escape(before) + (f"(?P<{name}>.+)" if name else "") for before, name, _, _ in fields)
        found = re.fullmatch("".join(named), kept)
        if found is not None:
            numbers = {name for _, name, specification, _ in fields if specification}
            values = {k: float(v) if k in numbers else v for k, v in found.groupdict().items()}
            return Text(kept, template, values)
    return kept


def say(text: object, language: str, escape: Callable[[object], str] | None = None) -> str:
    """A text as a reader of this language reads it; what is no `Text`, or has no translation, stays as it is.

    Args:
        text: what was put together of texts is translated part by part, values among them.
        language: a code such as `ko`.
        escape: makes a value safe, for a page.
    """
    if not isinstance(text, Text) or not text:
        return str(text)
    if text.parts:
        return "".join(say(part, language) for part in text.parts)
    template = catalogue(language).gettext(text.template)
    values = text.values.values()
    within = any(isinstance(value, Text) or hasattr(type(value), "in_words") for value in values)
    if template == text.template and not within and escape is None:
        return str(text)
    if not text.values:
        return template

    def after(value: object, shown: str) -> str:
        # What is part of a page already, such as a command with its button, is not made safe twice.
        return shown if escape is None or hasattr(value, "__html__") else str(escape(shown))

    return filled(template, text.values, lambda value: said(value, language), after)


def said(value: Any, language: str) -> Any:
    """A value as it stands in a text: a `Text`, or what has one as `in_words`, in this language."""
    words = value.in_words if hasattr(type(value), "in_words") else value
    return say(words, language) if isinstance(words, Text) else value


def throughout(value: Any, language: str) -> Any:
    """A value with every `Text` inside it in this language: in sequences, keys, values and dataclasses."""
    if isinstance(value, tuple | list):
        return type(value)(throughout(one, language) for one in value)
    if isinstance(value, dict):
        return {said(key, language): throughout(one, language) for key, one in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value) if field.init]
        return dataclasses.replace(value, **{n: throughout(getattr(value, n), language) for n in names})
    return said(value, language)


def catalogue(language: str) -> gettext.NullTranslations:
    """The catalogue of a language; without a file, one that translates nothing."""
    path = FOLDER / f"{language}.mo"
    return _read(path, path.stat().st_mtime_ns) if path.is_file() else gettext.NullTranslations()


@functools.lru_cache(maxsize=8)
def _read(path: Path, changed: int) -> gettext.NullTranslations:
    with path.open("rb") as file:
        try:
            return gettext.GNUTranslations(file)
        except (OSError, ValueError, KeyError, IndexError, struct.error):
            # English is better than no word at all; errors themselves are told through here.
            log.warning("%s is damaged, so texts are in English; make translations writes it again", path)
            return gettext.NullTranslations()


def languages() -> list[str]:
    """The languages that there are: English, and those with a catalogue."""
    return [ENGLISH, *sorted(path.stem for path in FOLDER.glob("*.mo"))]


def chosen(setting: str, environment: Mapping[str, str]) -> str:
    """The language of a command: `UI_LANG`, then the setting, which may be `auto`, then the locale.

    It may be one that does not exist; `known` says so.
    """
    asked = environment.get(VARIABLE, "").strip() or setting
    return asked if asked != AUTO else _of_locale(environment)


def _of_locale(environment: Mapping[str, str]) -> str:
    """The language of the locale, e.g. `ko` of `ko_KR.UTF-8`; English if it has no catalogue."""
    locale = next((environment[name] for name in LOCALE if environment.get(name)), "")
    language = re.split(r"[_.@]", locale)[0].lower()
    return language if language in languages() else ENGLISH


def of_environment(environment: Mapping[str, str], setting: str = AUTO) -> str:
    """The language where settings are not validated; English for one that does not exist."""
    language = chosen(setting, environment)
    return language if language in languages() else ENGLISH
