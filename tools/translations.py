"""`make translations`: bring the catalogues of `pipeline/locale/` up to date with the texts of the program.

    python tools/translations.py          every catalogue: new texts, without those that are gone; compiled
    python tools/translations.py xx       the same, and a catalogue for another language if it has none

Owns extracting texts that are marked with `_(…)`, in Python, templates and scripts, and the files. Does not
own reading them (`pipeline/core/language.py`) nor what a translation must fulfil (`tests/core/
test_translations.py`). Babel does the work.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_file
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

CHECKOUT = Path(__file__).resolve().parents[1]
SOURCES, FOLDER = CHECKOUT / "pipeline", CHECKOUT / "pipeline" / "locale"
KEYWORDS = {"_": None}
# The table of commands stays plain text, so that it can be read as a table.
TABLE = {"Command": (2,)}
JINJA = {"trimmed": "true", "silent": "false"}
WIDTH = 110


def messages(sources: Path = SOURCES) -> Iterator[tuple[str, str]]:
    """Every text of `_(…)`, `plural(n, …)` and the table of commands; and the file, below `pipeline/`."""
    for path in sorted(sources.rglob("*.py")):
        name = path.relative_to(sources.parent).as_posix()
        for found in extract_from_file("python", path, keywords=KEYWORDS):
            yield found[1], name
        for found in extract_from_file("python", path, keywords=TABLE if path.name == "cli.py" else {}):
            yield found[1], name
        for found in extract_from_file("python", path, keywords={"plural": (2,)}):
            yield f"{{n:,{found[1]}}}", name
    for kind, pattern in (("jinja2.ext:babel_extract", "*.html"), ("javascript", "*.js")):
        for path in sorted(sources.rglob(f"templates/{pattern}")):
            for found in extract_from_file(kind, path, keywords=KEYWORDS, options=JINJA):
                yield found[1], path.relative_to(sources.parent).as_posix()


def template(sources: Path = SOURCES) -> Catalog:
    """The catalogue of all texts, without translations."""
    made = Catalog(project="podium", header_comment="# Texts of Podium: `make translations` adds new ones.")
    for text, path in messages(sources):
        made.add(text, locations=[(path, 0)])
    return made


def read(path: Path) -> Catalog:
    """A catalogue with its translations."""
    with path.open("rb") as file:
        return read_po(file, locale=path.stem)


def update(path: Path, texts: Catalog) -> None:
    """Add new texts to a catalogue, drop those that are gone, and compile it."""
    catalogue = read(path) if path.is_file() else Catalog(locale=path.stem, project="podium")
    catalogue.fuzzy = False
    catalogue.update(texts, no_fuzzy_matching=True, update_creation_date=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        write_po(file, catalogue, width=WIDTH, ignore_obsolete=True, include_lineno=False, omit_header=False)
    compile_to(path.with_suffix(".mo"), catalogue)


def compile_to(path: Path, catalogue: Catalog) -> None:
    """Write what the program reads."""
    with path.open("wb") as file:
        write_mo(file, catalogue)


if __name__ == "__main__":
    known = {path.stem for path in FOLDER.glob("*.po")} | set(sys.argv[1:])
    for name in sorted(known):
        update(FOLDER / f"{name}.po", template())
        missing = sum(not message.string for message in read(FOLDER / f"{name}.po") if message.id)
        print(f"{name}: {missing} texts without a translation")
