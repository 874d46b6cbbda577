"""The data report says everything in the language of its reader, for every kind of target."""

import re

import pytest
from analyze_cases import case, explore_inputs
from translated_world import MARKED, add_marked, untranslated

from pipeline.core import language
from pipeline.eda.page import explore, render_html
from pipeline.settings.report import ReportSettings
from pipeline.settings.schema import Config

# Names of classes, attributes, groups, images and files, and the one note of the case.
DATA = re.compile(r"\.png|alert|수|even &|^round$|^size$|^parity$|홀수|note about|^auc$|<u>|Podium")


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
