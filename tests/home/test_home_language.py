"""`make` alone and the home page in another language."""

import os
import subprocess

import pytest
from home_world import need, state, whole
from translated_world import CHECKOUT, MARKED, OPEN, add_language, add_marked, untranslated

from pipeline.core import language
from pipeline.home import now, page
from pipeline.home.page import Place

# Names of runs and competitions, moments, messages and advice of the files that the home holds.
DATA = (
    "Podium ·",
    "pets",
    "UTC",
    "does not decode",
    "Train longer",
    "It stops",
    "Infer probe",
    "macro_f1",
    "lite0",
    "probe",
)


@pytest.fixture
def marked(tmp_path, monkeypatch):
    folder = tmp_path / "locale"
    add_marked(folder)
    monkeypatch.setattr(language, "FOLDER", folder)
    return folder


def busy(folder):
    home = whole(folder)
    state(home, "train", need("fold/c3", "fold 1", "running"), status="running")
    return home


def test_the_home_page_says_everything_in_the_language_of_its_reader(tmp_path, marked):
    told = page.html(Place(busy(tmp_path / "home"), "pets", language=MARKED))
    assert f'<html lang="{MARKED}">' in told
    rest = [part for part in untranslated(told) if not any(word in part for word in DATA)]
    assert rest == [": 0.5500 [0.5300, 0.5700]"] or rest == []
    assert "⟦Copied⟧" in told, "texts of the script"


def test_an_english_home_page_is_as_it_would_be_without_catalogues(tmp_path, monkeypatch):
    home = busy(tmp_path / "home")
    said = page.html(Place(home, "pets"))
    monkeypatch.setattr(language, "FOLDER", tmp_path / "none")
    assert said.partition("<main")[2] == page.html(Place(home, "pets")).partition("<main")[2]
    assert '<html lang="en">' in said and "translations" not in said.partition("<script>")[0]


def test_make_alone_speaks_a_language_that_is_a_file_and_needs_no_package(tmp_path, monkeypatch):
    base = CHECKOUT / "configs" / "config.yaml"
    add_language(tmp_path / "locale", "eo", {now.NOW: "nun eblas:", now.REST: "ĉio: make help"})
    monkeypatch.setattr(language, "FOLDER", tmp_path / "locale")
    asked = now.language_of([f"runtime.home={tmp_path}"], base, {"UI_LANG": "eo"})
    told = now.lines([f"runtime.home={tmp_path}"], base, asked)
    assert told[1] == "nun eblas:" and told[-1] == "ĉio: make help"


@pytest.mark.parametrize("how", ["UI_LANG", "LANG", "word"])
def test_make_alone_speaks_korean_before_anything_is_installed(tmp_path, how):
    environment = {
        k: v for k, v in os.environ.items() if k not in ("UI_LANG", "LC_ALL", "LC_MESSAGES", "LANG")
    }
    environment |= {"UI_LANG": {"UI_LANG": "ko"}, "LANG": {"LANG": "ko_KR.UTF-8"}, "word": {}}[how]
    words = [f"runtime.home={tmp_path}", *(["report.language=ko"] if how == "word" else [])]
    done = subprocess.run(
        ["python3", "-S", "-I", "-W", "error", CHECKOUT / "pipeline" / "home" / "now.py", *words],
        capture_output=True,
        encoding="utf-8",
        env=environment | {"PYTHONIOENCODING": "utf-8"},
    )
    assert done.returncode == 0, done.stderr
    assert "지금 할 수 있는 일:" in done.stdout


def test_the_language_of_the_settings_file_is_read(tmp_path):
    base = tmp_path / "config.yaml"
    base.write_text("report:\n  # of pages\n  language: ko  # ours\n", encoding="utf-8")
    assert now.language_of((), base, {}) == "ko"
    assert now.language_of((), base, {"UI_LANG": "en"}) == "en"
    assert OPEN not in "".join(now.lines((), base))
