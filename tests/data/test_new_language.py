"""`make new` talks Korean to a Korean reader, questions and refusals included, and writes the same file."""

import re
import shutil
from pathlib import Path

import pytest
from bring_world import picture, table

from pipeline.cli import main
from pipeline.core.language import say
from pipeline.data import texts
from pipeline.data.paths import Faults
from pipeline.settings import load as settings_load
from pipeline.settings.load import CONFIGS

# Three words of small letters in a row are English; commands and settings have no such row.
ENGLISH = re.compile(r"\b[a-z]{2,} [a-z]{2,} [a-z]{2,}\b")


@pytest.fixture
def talk(tmp_path, monkeypatch, capsys):
    """`talk(language, *arguments)`: what `make new` prints in this language, and the file that it writes."""

    def told(language, *arguments):
        configs = tmp_path / f"configs-{language}"
        if not configs.exists():
            shutil.copytree(CONFIGS, configs)
        monkeypatch.setattr(settings_load, "CONFIGS", configs)
        monkeypatch.setattr(settings_load.load, "__defaults__", (configs,))
        monkeypatch.setenv("UI_LANG", language)
        code = main(["new", *arguments, f"runtime.home={tmp_path}"])
        shown = capsys.readouterr()
        path = configs / "competition" / "pets.yaml"
        return code, shown.out + shown.err, path.read_text("utf-8") if path.exists() else ""

    return told


def photos(folder, names=("glass", "paper")):
    for c, name in enumerate(names):
        for n in range(12):
            picture(folder / name / f"{n}.png", 90 * c + n, (40, 40))
    return str(folder)


def with_tables(folder):
    """A training table of two classes, and a sample with one number: `make new` has to ask."""
    for split in ("train", "test"):
        for n in range(24):
            picture(folder / split / f"p{n // 3:02d}_{n}m.png", n * 5, (40, 40))
    rows = [(n, f"p{n // 3:02d}_{n}m.png", ["cat", "dog"][n % 2]) for n in range(24)]
    train = table(folder / "train.csv", ["id", "path", "kind"], rows)
    test = table(folder / "test.csv", ["id", "path"], [row[:2] for row in rows])
    sample = table(folder / "sample.csv", ["id", "p"], [(row[0], 0.5) for row in rows])
    return ["--images", str(folder / "train"), "--train", str(train), "--test", str(test)], str(sample)


@pytest.mark.parametrize("case", ["folders", "question"])
def test_the_conversation_is_korean_and_the_file_is_the_same(case, talk, tmp_path):
    arguments = ["--images", photos(tmp_path / "photos")]
    if case == "question":
        arguments, sample = with_tables(tmp_path)
        arguments += ["--sample", sample]
    code, english, file = talk("en", "--name", "pets", *arguments)
    again, korean, same = talk("ko", "--name", "pets", *arguments)
    assert code == again == 0 and file == same != ""
    assert ENGLISH.search(english), "the pattern finds English"
    assert [line for line in korean.splitlines() if ENGLISH.search(line)] == []
    assert ("질문: " in korean) == ("question: " in english) == (case == "question")


@pytest.mark.parametrize("case", ["name", "files", "label", "taken", "no images"])
def test_a_refusal_is_korean(case, talk, tmp_path):
    folder = photos(tmp_path / "photos")
    train = str(table(tmp_path / "train.csv", ["a", "b"], [(n, "x") for n in range(4)]))
    arguments = {
        "name": ["--name", "쓰레기", "--images", folder],
        "files": ["--name", "pets", "--images", str(tmp_path / "none"), "--train", str(tmp_path / "no.csv")],
        "label": ["--name", "pets", "--images", folder, "--train", train],
        "taken": ["--name", "pets", "--images", folder],
        "no images": ["--name", "pets", "--images", ""],
    }[case]
    for language in ("en", "ko"):
        if case == "taken":
            talk(language, *arguments)
    code, english, _ = talk("en", *arguments)
    again, korean, _ = talk("ko", *arguments)
    assert code == again == 2 and "error: " in english
    assert "오류: " in korean and [line for line in korean.splitlines() if ENGLISH.search(line)] == []


def test_kinds_of_faults_are_counted_in_the_language_of_the_reader():
    found = Faults()
    found.add("missing images", "a")
    found.add("duplicate ids", "b")
    found.add("duplicate ids", "c")
    error = found.error("pets", "")
    assert error.headline == "pets: 1 missing image, 2 duplicate ids"
    assert say(error.headline, "ko") == "pets: 없는 이미지 1개, 중복된 id 2개"


def test_every_kind_of_fault_of_the_sources_can_be_translated():
    known = {str(kind) for kind in texts.FAULT_KINDS}
    calls = re.compile(r"(?:faults|found)\.add\(\s*\"([^\"]+)\"")
    folder = Path(texts.__file__).parent
    sources = "".join(path.read_text("utf-8") for path in folder.rglob("*.py"))
    used = set(calls.findall(sources))
    assert len(used) > 15 and used <= known
