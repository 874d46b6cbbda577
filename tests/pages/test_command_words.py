"""Commands that are printed answer in the language that was typed for the present one."""

import pytest

from pipeline.home import now
from pipeline.pages.command_words import make_with, mended, spoken

TYPED = {"UI_LANG": "ko", "MAKEFLAGS": "w -- UI_LANG=ko ARGS=train.epochs=3"}


def test_a_language_that_was_typed_behind_make_is_in_the_next_command():
    assert spoken("make infer", TYPED) == "make infer UI_LANG=ko"
    assert spoken("make infer", {**TYPED, "MAKEFLAGS": " -- UI_LANG=ko"}) == "make infer UI_LANG=ko"
    both = make_with(spoken("make gc DRY=1", TYPED), ("competition=pets",))
    assert both == 'make gc DRY=1 UI_LANG=ko ARGS="competition=pets"'
    assert spoken(make_with("make gc DRY=1", ("competition=pets",)), TYPED) == both, "advice of a page"
    assert spoken(both, TYPED) == both


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"UI_LANG": "ko"},
        {"UI_LANG": "ko", "MAKEFLAGS": "w -- ARGS=report.language=ko"},
        {"UI_LANG": "ko", "MAKEFLAGS": r" -- MESSAGE=in\ UI_LANG=ko\ again"},
        {"UI_LANG": "en", "MAKEFLAGS": " -- UI_LANG=ko"},
    ],
)
def test_a_language_of_the_shell_or_of_the_settings_needs_no_word(environment):
    assert spoken("make infer", environment) == "make infer"


def test_what_one_can_do_now_carries_it_too(tmp_path, monkeypatch):
    for name, value in TYPED.items():
        monkeypatch.setenv(name, value)
    told = "\n".join(now.lines([f"runtime.home={tmp_path}"], tmp_path / "config.yaml", "ko"))
    assert told.count("UI_LANG=ko") >= 2
    monkeypatch.delenv("MAKEFLAGS")
    assert "UI_LANG" not in "\n".join(now.lines([], tmp_path / "config.yaml", "ko"))


def test_a_mended_command_keeps_everything_else_as_it_was_typed():
    words = ("competition=pets", "competition.root=/my data/$HOME's", "train.lr=0.1", 'x="a"')
    typed = make_with("make train UI_LANG=ko TIME=2h", words)
    told = mended(typed, ["train.lr=0.01"])
    kept = [word for word in words if not word.startswith("train.lr")]
    assert told == make_with("make train UI_LANG=ko TIME=2h", (*kept, "train.lr=0.01"))
    assert mended("make train", ["train.lr=0.01"]) == 'make train ARGS="train.lr=0.01"'
