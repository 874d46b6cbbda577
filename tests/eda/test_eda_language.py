"""The data report says everything in the language of its reader, for every kind of target."""

import re

import pytest
from analyze_cases import case, explore_inputs
from translated_world import MARKED, add_marked, untranslated

from pipeline.core import language
from pipeline.core.language import say
from pipeline.data import load
from pipeline.eda import texts
from pipeline.eda.page import explore, render_html
from pipeline.record.store import Artifact
from pipeline.settings.report import ReportSettings
from pipeline.settings.schema import Config

# Names of classes, attributes, groups, images and files, and the one note of the case.
DATA = re.compile(r"\.png|alert|수|even &|^round$|^size$|^parity$|홀수|note about|<u>|Podium")


@pytest.fixture
def marked(tmp_path, monkeypatch):
    add_marked(tmp_path)
    monkeypatch.setattr(language, "FOLDER", tmp_path)


def page_in(name):
    inputs = explore_inputs(case(), Config(report=ReportSettings(language=name)))
    return render_html(explore(inputs), inputs)


def test_the_data_report_says_everything_in_the_language_of_its_reader(marked):
    assert [part for part in untranslated(page_in(MARKED)) if not DATA.search(part)] == []


def test_the_language_changes_the_words_of_a_page_and_no_finding():
    english, korean = (
        explore(explore_inputs(case(), Config(report=ReportSettings(language=name)))) for name in ("en", "ko")
    )
    assert english.findings == korean.findings and english.metrics == korean.metrics
    assert all(table.equals(korean.tables[name]) for name, table in english.tables.items())


def test_a_korean_page_is_korean_and_has_the_same_figures():
    english, korean = page_in("en"), page_in("ko")
    assert '<html lang="ko">' in korean and "발견한 문제" in korean and "Findings" not in korean
    told = [re.sub(r"<[^>]*>", " ", page.partition("<main")[2]) for page in (english, korean)]
    figures = [sorted(re.findall(r"\d+\.\d+", text)) for text in told]
    assert figures[0] == figures[1]


def test_facts_have_names_of_the_language_and_in_english_those_of_the_table():
    pages = [page_in(name).partition('id="shift"')[2].partition("</section>")[0] for name in ("en", "ko")]
    english, korean = (set(re.findall(r"<td>([^<]+)</td>", page)) for page in pages)
    assert english >= {"blur", "brightness"}
    assert len(korean) == len(english) and not any(re.search("[a-z]", name) for name in korean)
    assert "선명도" in korean, "a low value is blurred"
    rest = {name: say(texts.fact(name), "ko") for name in ("saturation", "red", "blue")}
    assert not any(re.search("[a-z]", told) for told in rest.values())
    assert texts.fact("red") == "red" and texts.fact("own column") == "own column"


def test_remarks_of_the_data_are_in_the_language_that_their_result_was_told_in(tmp_path):
    manifest = {"lines": ["a was completed", "b"], "said": {"ko": ["a를 채웠습니다", "b"]}}
    made = Artifact("data", "d0", tmp_path, manifest)
    (tmp_path / "notes.json").write_text('["a was completed", "older"]', encoding="utf-8")
    assert load.notes(made, "ko") == ("a를 채웠습니다", "older")
    assert load.notes(made, "en") == ("a was completed", "older")
