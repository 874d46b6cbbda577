"""`make` alone and the home page in another language."""

import os
import subprocess

import pytest
from home_world import need, result, scored, state, whole
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


def test_a_link_to_a_page_in_another_language_says_so(tmp_path):
    home = tmp_path / "home"
    for stage, tongue in (("folds", "en"), ("eda", "ko")):
        files = {"page.html": f'<!doctype html>\n<html lang="{tongue}">'}
        result(home, stage, "a1", files=files)
    told = page.html(Place(home, "pets", language="ko"))
    assert told.count("(영어)") == 1 and told.count('hreflang="en"') == 1
    assert told.index("folds/a1") < told.index("(영어)")
    english = page.html(Place(home, "pets"))
    assert "in English" not in english and english.count('hreflang="ko"') == 1


def test_what_a_run_is_and_what_changed_are_said_in_the_language_of_the_page(tmp_path):
    lost = {"delta_vs_best": -0.1, "delta_low": -0.2, "delta_high": -0.05}
    home = whole(tmp_path)
    tags = {"verdict": "worse", "compared_with": "lite0", "changed": ""}
    scored(home, "train", "t8", 8, 0.41, experiment="resnet", tags=tags, metrics=lost)
    scored(home, "ensemble", "b9", 9, 0.4, tags=tags | {"changed": "blends lite0, probe"}, metrics=lost)
    told = page.html(Place(home, "pets", language="ko"))
    assert "blends" not in told and "lite0, probe" in told
    assert "학습 resnet" in told and "Train resnet" not in told
    assert "blends lite0, probe" in page.html(Place(home, "pets"))
