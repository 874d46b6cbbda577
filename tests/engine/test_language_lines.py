"""The lines of a result are kept in every language: who built it does not decide who can read it."""

import pytest
from translated_world import CLOSE, OPEN, add_language

from pipeline.cli import main
from pipeline.core import language
from pipeline.core.language import _
from pipeline.engine.build import said_lines

SCORE = _("score {score:.2f}")


def test_lines_are_kept_by_language_and_only_where_a_text_is_translated(tmp_path, monkeypatch):
    add_language(tmp_path, "ko", {SCORE: "점수 {score:.2f}"})
    monkeypatch.setattr(language, "FOLDER", tmp_path)
    assert said_lines((SCORE.format(score=0.5), "plain")) == {"ko": ["점수 0.50", "plain"]}
    assert said_lines(("plain",)) == said_lines(()) == {}


@pytest.mark.parametrize("name", ["en", "xx"])
def test_an_error_says_what_to_do_in_the_language_of_its_reader(name, tmp_path, monkeypatch, capsys):
    words = {"error: {message}": "⟦fault⟧ {message}", "  → {remedy}": "  ⟦do⟧ {remedy}"}
    add_language(tmp_path, "xx", words)
    monkeypatch.setattr(language, "FOLDER", tmp_path)
    monkeypatch.setenv("UI_LANG", name)
    assert main(["train", "train.epoch=3", f"runtime.home={tmp_path}"]) == 2
    told = capsys.readouterr().err
    assert told.startswith("error: " if name == "en" else f"{OPEN}fault{CLOSE} ")
    assert ("  → " if name == "en" else f"  {OPEN}do{CLOSE} ") in told
