"""Every text that a reader sees in another language is translated, completely and with its placeholders."""

import string

import pytest
from translated_world import SHIPPED, translations

from pipeline.core.particles import is_particle

LANGUAGES = sorted(path.stem for path in SHIPPED.glob("*.po"))
UPDATE = "run `make translations`, then translate what is new"


def placeholders(text: str) -> set[str]:
    """Names in braces, without particles; `{0}` and `{}` are no names."""
    fields = (field for _, field, _, _ in string.Formatter().parse(text) if field is not None)
    return {field for field in fields if not is_particle(field)}


@pytest.fixture(scope="module")
def texts():
    return {message.id for message in translations.template() if message.id}


def test_texts_are_found_in_every_kind_of_file(texts):
    assert "next: {command}" in texts, "in Python"
    assert "Skip to the content" in texts, "in a template"
    assert "Copied" in texts, "in a script"
    assert "{n:,image}" in texts, "a number with its noun"
    assert LANGUAGES == ["ko"], "another language needs no other test, but a person who reads it"


@pytest.mark.parametrize("name", LANGUAGES)
def test_no_text_lacks_its_translation(name, texts):
    catalogue = translations.read(SHIPPED / f"{name}.po")
    there = {message.id for message in catalogue if message.id}
    assert texts - there == set(), f"not in the catalogue: {UPDATE}"
    assert there - texts == set(), f"gone from the program: {UPDATE}"
    assert [message.id for message in catalogue if message.id and not message.string] == [], UPDATE
    assert [message.id for message in catalogue if message.id and message.fuzzy] == [], "check these"


@pytest.mark.parametrize("name", LANGUAGES)
def test_a_translation_has_the_placeholders_and_marks_of_its_text(name):
    wrong = {}
    for message in translations.read(SHIPPED / f"{name}.po"):
        if message.id and message.string:
            text, told = str(message.id), str(message.string)
            same = placeholders(text) == placeholders(told)
            # Code in backticks is typed by the reader; a translation may say it more often.
            code = all(part in told for part in text.split("`")[1::2] if "{" not in part)
            space = text[:1].isspace() == told[:1].isspace()
            if not (same and code and space and told.count("`") % 2 == 0):
                wrong[text] = told
    assert wrong == {}


@pytest.mark.parametrize("name", LANGUAGES)
def test_what_the_program_reads_is_what_the_translator_wrote(name, tmp_path):
    translations.compile_to(tmp_path / "again.mo", translations.read(SHIPPED / f"{name}.po"))
    assert (tmp_path / "again.mo").read_bytes() == (SHIPPED / f"{name}.mo").read_bytes(), (
        "run `make translations`"
    )
