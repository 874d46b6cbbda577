"""Texts are English for the program and in the language of its reader where a person reads them."""

import json
import pickle

import pytest
from markupsafe import Markup, escape
from translated_world import add_language

from pipeline.core import language
from pipeline.core.errors import DataError
from pipeline.core.language import Text, _, chosen, joined, say

MISSING = _("{images:image} {images:is|are} missing in {path}")
BOTH = _("{what}; look at {page}")


@pytest.fixture
def korean(tmp_path, monkeypatch):
    words = {
        MISSING: "{path}에 이미지 {images}장이 없습니다",
        BOTH: "{what}. {page}{을/를} 보세요",
        "  → {remedy}": "  → 할 일: {remedy}",
    }
    add_language(tmp_path, "ko", words)
    monkeypatch.setattr(language, "FOLDER", tmp_path)


def test_a_text_is_english_for_the_program_and_translated_for_its_reader(korean):
    fault = MISSING.format(images=2, path="a.csv")
    assert fault == "2 images are missing in a.csv" and json.dumps(fault) == f'"{fault}"'
    assert say(fault, "ko") == "a.csv에 이미지 2장이 없습니다"
    assert say(fault, "en") == say(fault, "fr") == fault
    assert say(pickle.loads(pickle.dumps(fault)), "ko") == say(fault, "ko"), "it comes from another process"


def test_texts_inside_texts_and_beside_them_are_translated_too(korean):
    fault = MISSING.format(images=1, path="a.csv")
    both = BOTH.format(what=fault, page="eda.html")
    assert both == "1 image is missing in a.csv; look at eda.html"
    assert say(both, "ko") == "a.csv에 이미지 1장이 없습니다. eda.html을 보세요"
    listed = joined(", ", [fault, "b", fault])
    assert say("- " + listed, "ko") == f"- {say(fault, 'ko')}, b, {say(fault, 'ko')}"


def test_values_are_escaped_for_a_page_and_the_text_is_not(korean):
    text = _("<b>{name}</b>").format(name="<i>")
    assert say(text, "ko", lambda value: str(value).replace("<", "&lt;")) == "<b>&lt;i></b>"
    button = _("press {button}").format(button=Markup("<button>go</button>"))
    assert say(button, "en", escape) == "press <button>go</button>", "it is a part of a page already"


def test_an_error_is_translated_with_its_faults_and_what_to_do(korean):
    error = DataError(
        MISSING.format(images=1, path="a"), [MISSING.format(images=2, path="b"), "c"], "look at {c}"
    )
    assert error.said("ko").splitlines() == [
        "a에 이미지 1장이 없습니다",
        "  - b에 이미지 2장이 없습니다",
        "  - c",
        "  → 할 일: look at {c}",
    ]
    assert str(error).splitlines()[0] == "1 image is missing in a"


@pytest.mark.parametrize(
    ("setting", "environment", "wanted"),
    [
        ("auto", {}, "en"),
        ("auto", {"LANG": "ko_KR.UTF-8"}, "ko"),
        ("auto", {"LANG": "ko_KR.UTF-8", "LC_ALL": "C"}, "en"),
        ("auto", {"LANG": "fr_FR.UTF-8"}, "en"),
        ("en", {"LANG": "ko_KR.UTF-8"}, "en"),
        ("ko", {"LANG": "C.UTF-8"}, "ko"),
        ("ko", {"UI_LANG": "en"}, "en"),
        ("auto", {"UI_LANG": "ko", "LANG": "C"}, "ko"),
        ("en", {"UI_LANG": "auto", "LANG": "ko"}, "ko"),
    ],
)
def test_the_variable_wins_over_the_setting_and_the_setting_over_the_locale(
    korean, setting, environment, wanted
):
    assert chosen(setting, environment) == wanted


def test_a_file_is_a_language(korean, tmp_path):
    assert language.languages() == ["en", "ko"]
    add_language(tmp_path, "de", {MISSING: "In {path} fehlen {images} Bilder"})
    assert language.languages() == ["en", "de", "ko"]
    assert say(MISSING.format(images=3, path="x"), "de") == "In x fehlen 3 Bilder"
    assert isinstance(MISSING, Text)


@pytest.mark.parametrize("damage", [b"", b"junk", b"\xde\x12\x04\x95" + b"\xff" * 30])
def test_a_damaged_catalogue_is_told_once_and_everything_is_in_english(korean, tmp_path, caplog, damage):
    (tmp_path / "de.mo").write_bytes(damage)
    for _again in range(2):
        assert say(MISSING.format(images=3, path="x"), "de") == "3 images are missing in x"
    assert caplog.text.count("de.mo is damaged") == 1
