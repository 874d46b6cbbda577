"""A language in which every text stands between marks, so that what is not translated can be seen.

Shared by the tests of translations: the catalogue of that language, and what a page says outside the marks.
"""

import sys
from html.parser import HTMLParser
from pathlib import Path

from pipeline.core import language

CHECKOUT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(CHECKOUT / "tools"))
import translations  # noqa: E402

OPEN, CLOSE = "⟦", "⟧"
MARKED = "xx"
READ = ("aria-label", "title", "alt", "placeholder")
# Languages that other tests may use.
SHIPPED = language.FOLDER


def add_language(folder: Path, name: str, words: dict[str, str]) -> None:
    """Write the catalogue of a language, with these translations of texts."""
    catalogue = translations.Catalog(locale=None, project="podium")
    for text, told in words.items():
        catalogue.add(text, told)
    folder.mkdir(parents=True, exist_ok=True)
    translations.compile_to(folder / f"{name}.mo", catalogue)


def add_marked(folder: Path) -> None:
    """A language `xx` that has every text, between marks."""
    add_language(folder, MARKED, {m.id: f"{OPEN}{m.id}{CLOSE}" for m in translations.template() if m.id})


class _Reader(HTMLParser):
    """What a person reads on a page, outside marks: the texts, and those of screen readers."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._depth, self._inside = 0, list[str]()

    def handle_starttag(self, tag, attrs):
        if tag not in ("meta", "link", "br", "hr", "img", "input", "path", "line", "rect", "circle"):
            self._inside.append(tag)
        for name, value in attrs:
            if name in READ and value:
                self._attribute(value)

    def handle_endtag(self, tag):
        while self._inside and self._inside.pop() != tag:
            pass

    def handle_data(self, data):
        if not {"script", "style", "code", "head"} & set(self._inside):
            self._depth = self._outside(data, self._depth)

    def _attribute(self, text):
        self._outside(text, 0)

    def _outside(self, text, depth):
        outside = ""
        for sign in text:
            depth += (sign == OPEN) - (sign == CLOSE)
            outside += sign if depth == 0 and sign != CLOSE else "\n"
        self.found += [part for part in outside.split("\n") if any(letter.isalpha() for letter in part)]
        return depth


def untranslated(page: str) -> list[str]:
    """Every piece of a page's text that no catalogue has, in order: data, or English that was forgotten."""
    reader = _Reader()
    reader.feed(page)
    return [part.strip() for part in reader.found]
