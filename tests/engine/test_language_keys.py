"""The language is in the keys of pages that are written in it, and in no other key."""

from dataclasses import replace

import pytest

from pipeline.core.errors import ConfigError
from pipeline.engine.graph import Graph, refuse_unread
from pipeline.engine.need import Need
from pipeline.engine.stage import Catalogue, needs, no_files
from pipeline.record.files import FileIndex
from pipeline.record.store import Store
from pipeline.settings.load import load
from pipeline.stages import CATALOGUE

PAGES = {"eda", "error_analysis", "leaderboard"}
WORDS = ["competition=digits", "experiment=small_cnn"]


def key_of(stage, settings, tmp_path):
    """The key of a stage alone, without inputs and files: what it reads, its words and the request."""
    index = FileIndex(tmp_path / "index.json")
    alone = replace(stage, inputs=needs(), identity=no_files)
    return Graph(Catalogue.of([alone], {}), Store(tmp_path, index), index).key(Need(stage.name, settings))


@pytest.mark.parametrize("name", CATALOGUE.stages)
def test_only_a_page_has_its_language_in_its_key(name, tmp_path, monkeypatch):
    stage = CATALOGUE.get(name)
    english = key_of(stage, load(WORDS), tmp_path)
    korean = key_of(stage, load([*WORDS, "report.language=ko"]), tmp_path)
    monkeypatch.delenv("UI_LANG")
    assert korean == english, "UI_LANG=en of the tests wins"
    typed = key_of(stage, load([*WORDS, "report.language=ko"]), tmp_path)
    assert key_of(stage, load([*WORDS, "report.language=en"]), tmp_path) == english
    assert (typed != english) == (name in PAGES)
    monkeypatch.setenv("UI_LANG", "ko")
    assert key_of(stage, load(WORDS), tmp_path) == typed, (
        "a page exists once a language, however it was chosen"
    )


def test_every_command_takes_the_language(tmp_path, monkeypatch):
    monkeypatch.delenv("UI_LANG")
    settings = load([*WORDS, "report.language=ko"])
    index = FileIndex(tmp_path / "index.json")
    alone = replace(CATALOGUE.get("train"), inputs=needs(), identity=no_files)
    graph = Graph(Catalogue.of([alone], {}), Store(tmp_path, index), index)
    refuse_unread(settings, [Need("train", settings)], graph)
    assert "report.language=ko" not in graph.words_of("train", settings), "no key and no record repeats it"
    assert "report.language=ko" in settings.located(()), "a command that is pasted does"


def test_an_unknown_language_names_the_known_ones(monkeypatch):
    monkeypatch.delenv("UI_LANG")
    with pytest.raises(ConfigError, match=r"report\.language is `klingon`.*auto, en, ko"):
        load([*WORDS, "report.language=klingon"])
    monkeypatch.setenv("UI_LANG", "tlh")
    with pytest.raises(ConfigError, match=r"UI_LANG: report\.language is `tlh`.*auto, en, ko"):
        load(WORDS)


def test_the_locale_is_followed_and_named_as_the_source(monkeypatch):
    monkeypatch.delenv("UI_LANG")
    for name in ("LC_ALL", "LC_MESSAGES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANG", "ko_KR.UTF-8")
    settings = load(WORDS)
    assert settings.config.report.language == "ko"
    assert settings.sources["report.language"] == "the locale"
    assert load([*WORDS, "report.language=en"]).config.report.language == "en"
