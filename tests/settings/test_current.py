"""Which competition a command is about, if its words name none."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from main_world import run

from pipeline.cli import COMMANDS
from pipeline.core.errors import ConfigError
from pipeline.settings import current
from pipeline.settings.load import CONFIGS, load

ALONE = ("runtime.mlflow=false",)


def said(home: Path, command: str, *words: str, options: tuple[str, ...] = ()) -> tuple[int, list[str], str]:
    done = run(home, command, *words, small=ALONE, options=options)
    return done.code, done.out.splitlines(), done.err


def test_a_fresh_home_is_about_the_default_and_says_so(tmp_path):
    code, lines, _ = said(tmp_path, "config")
    assert code == 0 and lines[0].startswith("competition     emoji")
    assert "none is current" in lines[0] and "make use NAME=" in lines[0]
    assert not (tmp_path / current.FILE).exists(), "looking chooses nothing"


def test_use_changes_it_and_a_word_is_stronger(tmp_path):
    code, lines, _ = said(tmp_path, "use", options=("--name", "digits"))
    assert code == 0 and lines[0].startswith("competition     digits") and "competition=digits" in lines[-1]
    _, lines, _ = said(tmp_path, "config")
    assert "digits" in lines[0] and "the current one" in lines[0]
    assert any(re.match(r"competition\.name += \"?digits", line) for line in lines)
    _, lines, _ = said(tmp_path, "config", "competition=emoji")
    assert "emoji" in lines[0] and "named in ARGS" in lines[0]
    _, lines, _ = said(tmp_path, "use")
    assert lines[0] == "competition     digits (the current one)" and "  * digits" in lines


def test_an_unknown_name_changes_nothing(tmp_path):
    said(tmp_path, "use", options=("--name", "digits"))
    for name in ("digitz", "../competition/digits", "emoji-nobody"):
        code, _, err = said(tmp_path, "use", options=("--name", name))
        assert code == 2 and "no such file" in err and "Traceback" not in err
    assert current.of(tmp_path) == "digits"


def test_a_current_competition_that_is_gone_is_one_clear_error(tmp_path):
    (tmp_path / current.FILE).write_text("digitz\n", encoding="utf-8")
    code, _, err = said(tmp_path, "runs")
    assert code == 2 and current.FILE in err and "digitz" in err and "make use NAME=" in err
    assert "did you mean digits" in err
    code, lines, _ = said(tmp_path, "runs", "competition=digits")
    assert code == 0 and "digits" in lines[0], "a word names another one all the same"
    code, _, _ = said(tmp_path, "use", options=("--name", "digits"))
    assert code == 0 and current.of(tmp_path) == "digits"


def test_an_empty_or_unreadable_file_is_no_choice(tmp_path):
    for data in (b"", b"\n", b"\xff\xfe\x00"):
        (tmp_path / current.FILE).write_bytes(data)
        assert current.words_of([f"runtime.home={tmp_path}"], CONFIGS) == [f"runtime.home={tmp_path}"]


def test_only_the_command_line_looks(tmp_path):
    current.choose(tmp_path, "digits", CONFIGS)
    home = f"runtime.home={tmp_path}"
    assert load([home]).config.competition.name == "emoji", "reproduce and tests name theirs"
    assert load(current.words_of([home], CONFIGS)).config.competition.name == "digits"
    with pytest.raises(ConfigError, match=r"no configs/competition/nobody\.yaml"):
        current.choose(tmp_path, "nobody", CONFIGS)


def test_new_makes_its_competition_the_current_one(tmp_path):
    from PIL import Image

    for n in range(12):
        path = tmp_path / "photos" / ("cat", "dog")[n % 2] / f"{n}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (16, 16), (n * 20, 0, 0)).save(path)
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "config.yaml").write_bytes((CONFIGS / "config.yaml").read_bytes())
    for group in ("competition", "experiment"):
        (tmp_path / "configs" / group).mkdir()
        for path in (CONFIGS / group).glob("*.yaml"):
            (tmp_path / "configs" / group / path.name).write_bytes(path.read_bytes())

    def podium(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "pipeline", *words]
        environment = {"PYTHONPATH": str(CONFIGS.parent), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
        )

    done = podium("new", "--name", "pets", "--images", "photos")
    lines = done.stdout.splitlines()
    assert done.returncode == 0, done.stderr
    assert lines[0] == "competition     pets (new)"
    assert "pets is the current competition from now on" in done.stdout and "competition=pets" in lines[-1]
    assert podium("runs", "runtime.mlflow=false").stdout.startswith("competition     pets")


def test_which_commands_are_about_the_current_one():
    """Commands of one submission are about its competition, and their first line names that one."""
    of_a_submission = {"reproduce", "predict", "bundle", "export", "oof"}
    assert {c.name for c in COMMANDS if not c.about_current} == {
        *("new", "use", "weights", "home", "serve"),
        *of_a_submission,
    }
