"""Everything that a terminal shows is printable, in every encoding, and says no password."""

import ast
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline import cli
from pipeline.core import terminal
from pipeline.core.errors import DataError
from pipeline.core.terminal import printable
from pipeline.engine import environment

CHECKOUT = Path(__file__).resolve().parents[2]
# Where something is printed; every other file hands its texts to `Session.say` or to a logger.
PRINTING = (
    "cli.py",
    "help.py",
    "home/now.py",
    "core/terminal.py",
    "engine/session.py",
    "engine/live.py",
    "record/serve.py",
)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("\x1b[2J\x1b[31mred", "\\x1b[2J\\x1b[31mred"),
        ("\x9b2J", "\\x9b2J"),
        ("ok\rerror: no", "ok\\x0derror: no"),
        ("a\x00b\x7fc\x08", "a\\x00b\\x7fc\\x08"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("\u2066a\u2069", "\\u2066a\\u2069"),
        ("a\u2028b\u2029c", "a\\u2028b\\u2029c"),
        ("caf\udce9", "caf\\xe9"),
        ("\ud800", "\\ud800"),
        ("two\nlines\tand a tab\r\n", "two\nlines\tand a tab\n"),
        ("고양이 café 👩‍👩‍👧 ·→…", "고양이 café 👩‍👩‍👧 ·→…"),
        ("", ""),
        ("postgresql://me:pw@host/db", "postgresql://…@host/db"),
    ],
)
def test_control_codes_are_shown_and_letters_stay(text, shown):
    assert printable(text) == shown
    assert printable(shown) == shown


def test_log_lines_and_their_tracebacks_are_printable():
    try:
        raise ValueError("bad\x1b[2J")
    except ValueError:
        record = logging.LogRecord("x", logging.INFO, "f", 1, "%s", ("a\x1b[2J",), sys.exc_info())
    shown = terminal.Formatter("%(message)s").format(record)
    assert "\x1b" not in shown and shown.startswith("a\\x1b") and shown.endswith("bad\\x1b[2J")


def test_what_the_tools_of_a_bucket_tell_of_themselves_is_no_output_of_a_command(capsys, monkeypatch):
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr(root, "level", root.level)
    terminal.prepare()
    for name in ("botocore.credentials", "aiobotocore.credentials", "pipeline.record"):
        logging.getLogger(name).info("Found credentials in environment variables (%s).", name)
    assert capsys.readouterr().err.splitlines() == [
        "Found credentials in environment variables (pipeline.record)."
    ]


def test_errors_are_printable(capsys, monkeypatch):
    monkeypatch.setattr(
        cli, "run", lambda *_: (_ for _ in ()).throw(DataError("a\x1b[2J", ["b\x1b[2J"], "c\x1b[2J"))
    )
    assert cli.main(["runs"]) == 2
    err = capsys.readouterr().err
    assert "\x1b" not in err and err.count("\\x1b[2J") == 3


@pytest.mark.parametrize(
    "words", [["runs\x1b[2J"], ["score", "--public", "x\x1b[2J"], ["runs", "--n\x1b[2J"]]
)
def test_what_was_typed_wrongly_is_repeated_printably(capsys, words):
    with pytest.raises(SystemExit):
        cli.main(words)
    assert "\x1b" not in capsys.readouterr().err


def _printing(path):
    """Calls of print, and bars that are not `bar_of`, which makes their labels printable."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        name = node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""
        if name in ("print", "tqdm"):
            yield f"{node.lineno}: {name}"


@pytest.mark.slow
def test_nothing_is_printed_past_the_one_function():
    root = CHECKOUT / "pipeline"
    found = {
        str(path.relative_to(root)): list(_printing(path))
        for path in sorted(root.rglob("*.py"))
        if str(path.relative_to(root)) not in PRINTING
    }
    assert {name: calls for name, calls in found.items() if calls} == {}


def command(*words, **env):
    given = {
        k: v for k, v in os.environ.items() if not k.startswith(("PYTHONIO", "PYTHONUTF8", "LC_", "LANG"))
    }
    return subprocess.run(
        [sys.executable, "-m", "pipeline", *words],
        cwd=CHECKOUT,
        env=given | env,
        capture_output=True,
        timeout=120,
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "env",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"PYTHONIOENCODING": "latin-1"},
        {"LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
    ],
    ids=["ascii", "latin-1", "posix"],
)
def test_korean_names_end_no_command_on_any_terminal(tmp_path, env):
    home = tmp_path / "고양이"
    done = command("config", "competition=digits", f"runtime.home={home}", "competition.title=고양이", **env)
    assert done.returncode == 0, done.stderr
    assert b"competition.title" in done.stdout and b"Traceback" not in done.stderr
    bad = command("runs", "competition=고양이", **env)
    assert bad.returncode == 2 and b"Traceback" not in bad.stderr


def test_a_name_that_is_no_utf8_ends_no_command(tmp_path):
    home = os.fsencode(tmp_path) + b"/caf\xe9"
    os.mkdir(home)  # noqa: PTH102
    done = command("du", "competition=digits", b"runtime.home=" + home)
    assert b"Traceback" not in done.stderr, done.stderr
    assert done.returncode == 2 and b"caf\\xe9" in done.stderr


def test_a_wrong_environment_is_one_clear_error(monkeypatch, capsys):
    monkeypatch.setattr(environment, "PACKAGES", ("numpy", "no_such_package_of_podium"))
    monkeypatch.setenv("PODIUM_ENV", "/opt/wrong")
    assert cli.main(["runs"]) == 2
    err = capsys.readouterr().err
    assert "no_such_package_of_podium" in err and "PODIUM_ENV=/opt/wrong" in err and sys.executable in err
