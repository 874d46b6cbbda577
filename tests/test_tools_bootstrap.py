"""tools/bootstrap.py without installing anything: where, when, and what it says when it cannot."""

import importlib.util
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parent.parent / "tools" / "bootstrap.py"
spec = importlib.util.spec_from_file_location("bootstrap", SCRIPT)
assert spec is not None and spec.loader is not None
bootstrap = importlib.util.module_from_spec(spec)
spec.loader.exec_module(bootstrap)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "checkout"
    folder.mkdir()
    (folder / "requirements.lock").write_text("# nothing to install\n", encoding="utf-8")
    return folder


def finished(env: Path) -> Path:
    (env / "bin").mkdir(parents=True)
    (env / "bin" / "python").symlink_to(sys.executable)
    (env / bootstrap.MARK).write_text("", encoding="utf-8")
    return env


def path_of(checkout: Path, **environ: str) -> Path:
    return bootstrap.environment(environ, may_build=False, checkout=checkout)


def test_the_key_follows_the_pins_and_not_the_comments() -> None:
    key = bootstrap.key_of(b"# made by\na==1\nb==2\n")
    assert key == bootstrap.key_of(b"# made otherwise\na==1 # why\n\nb==2")
    assert key != bootstrap.key_of(b"a==1\nb==3\n")
    assert key != bootstrap.key_of(b"a==1\n")
    assert len(key) == 16


def test_the_key_follows_python_and_platform(monkeypatch) -> None:
    key = bootstrap.key_of(b"a==1")
    monkeypatch.setattr(sys, "platform", "elsewhere")
    assert bootstrap.key_of(b"a==1") != key


def test_where_it_lies(checkout: Path, tmp_path: Path) -> None:
    key = bootstrap.key_of((checkout / "requirements.lock").read_bytes())
    assert path_of(checkout, HOME="/h") == Path("/h/.cache/podium/envs", key)
    assert path_of(checkout, HOME="/h", XDG_CACHE_HOME="/x") == Path("/x/podium/envs", key)
    assert path_of(checkout, HOME="/h", XDG_CACHE_HOME="not absolute") == Path("/h/.cache/podium/envs", key)
    assert path_of(checkout, HOME="/h", PODIUM_ENVS=str(tmp_path)) == tmp_path / key


def test_an_environment_in_the_checkout_is_found_again(checkout: Path, tmp_path: Path) -> None:
    environ = {"PODIUM_ENVS": str(tmp_path / "envs")}
    own = finished(checkout / ".venv" / path_of(checkout, **environ).name)
    assert path_of(checkout, **environ) == own
    shared = finished(tmp_path / "envs" / own.name)
    assert path_of(checkout, **environ) == shared


def test_an_unfinished_or_orphaned_environment_does_not_count(tmp_path: Path) -> None:
    env = finished(tmp_path / "env")
    assert bootstrap.complete(env)
    (env / "bin" / "python").unlink()
    (env / "bin" / "python").symlink_to(tmp_path / "a Python that was removed")
    assert not bootstrap.complete(env)
    other = finished(tmp_path / "other")
    (other / bootstrap.MARK).unlink()
    assert not bootstrap.complete(other)


def test_the_users_own_environment_is_used_as_it_is(checkout: Path, tmp_path: Path) -> None:
    (tmp_path / "conda" / "bin").mkdir(parents=True)
    with pytest.raises(bootstrap.BootstrapError, match="has no bin/python"):
        path_of(checkout, PODIUM_ENV=str(tmp_path / "conda"))
    (tmp_path / "conda" / "bin" / "python").touch()
    assert path_of(checkout, PODIUM_ENV=str(tmp_path / "conda")) == tmp_path / "conda"


def test_a_python_that_is_too_old_says_what_to_do(monkeypatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(bootstrap.BootstrapError, match=r"needs Python 3\.11 or newer; .* is 3\.9"):
        bootstrap.check_python((3, 9))
    bootstrap.check_python((3, 11))


def test_an_old_python_goes_on_in_a_newer_one(monkeypatch, tmp_path: Path) -> None:
    newer = tmp_path / "python3.12"
    newer.symlink_to(sys.executable)
    monkeypatch.setenv("PATH", str(tmp_path))
    started = []
    monkeypatch.setattr(os, "execv", lambda program, arguments: started.append(program))
    with pytest.raises(bootstrap.BootstrapError):  # only because this execv comes back
        bootstrap.check_python((3, 9))
    assert started[0] == str(newer)


def test_a_python_without_venv_names_the_package(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "ensurepip", None)
    with pytest.raises(bootstrap.BootstrapError, match="apt-get install python3-venv"):
        bootstrap.check_venv()


def test_a_missing_lock_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(bootstrap.BootstrapError, match=r"requirements\.lock is missing"):
        path_of(tmp_path, HOME="/h")


def test_failures_are_told_apart(tmp_path: Path) -> None:
    full = bootstrap.why("ERROR: [Errno 28] No space left on device", tmp_path / "env")
    assert "disk is full" in full and "GB free in" in full and "PODIUM_ENVS" in full
    assert "wheels for Python" in bootstrap.why("ERROR: No matching distribution found for torch", tmp_path)
    assert "see the lines above" in bootstrap.why("ERROR: something else", tmp_path)


def test_a_cache_that_cannot_be_written_falls_back_to_the_checkout(
    checkout: Path, tmp_path: Path, monkeypatch, capsys
) -> None:
    (tmp_path / "a file").touch()  # a folder beneath a file cannot be made, not even by root
    monkeypatch.setattr(bootstrap, "build", lambda env, lock: finished(env))
    environ = {"PODIUM_ENVS": str(tmp_path / "a file" / "envs")}
    built = bootstrap.environment(environ, may_build=True, checkout=checkout)
    assert built.parent == checkout / ".venv"
    assert "cannot write" in capsys.readouterr().err


def test_nowhere_to_write_names_both_places(checkout: Path, tmp_path: Path) -> None:
    (tmp_path / "a file").touch()
    (checkout / ".venv").touch()
    with pytest.raises(bootstrap.BootstrapError, match=r"a file/envs, .*\.venv"):
        bootstrap.environment({"PODIUM_ENVS": str(tmp_path / "a file/envs")}, True, checkout)


def test_a_failed_installation_leaves_nothing(checkout: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(bootstrap, "run", lambda command: (1, "ERROR: No matching distribution"))
    env = tmp_path / "envs" / "key"
    env.mkdir(parents=True)  # as an interrupted installation leaves it
    with pytest.raises(bootstrap.BootstrapError, match="could not install"):
        bootstrap.build_once(env, checkout / "requirements.lock")
    assert not env.exists()


def test_the_output_of_a_step_is_shown_and_kept(capfd) -> None:
    code = "import sys; print('out'); print('oops', file=sys.stderr); sys.exit(3)"
    status, tail = bootstrap.run([sys.executable, "-c", code])
    assert (status, tail) == (3, "oops\n")
    captured = capfd.readouterr()
    assert captured.out == ""
    assert "out" in captured.err and "oops" in captured.err


def test_the_command_line(tmp_path: Path) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        environ = os.environ | {"PODIUM_ENVS": str(tmp_path)}
        environ.pop("PODIUM_ENV", None)
        command = [sys.executable, str(SCRIPT), *arguments]
        return subprocess.run(command, capture_output=True, text=True, env=environ)

    asked = run("--path")
    assert asked.returncode == 0 and Path(asked.stdout.strip()).parent == tmp_path and asked.stderr == ""
    wrong = run("--what")
    assert wrong.returncode == 2 and wrong.stdout == "" and "unknown arguments" in wrong.stderr
    finished(Path(asked.stdout.strip()))
    start = time.monotonic()
    assert run().stdout == asked.stdout
    assert time.monotonic() - start < 5


@pytest.mark.slow
def test_two_at_once_build_one_environment_between_them(checkout: Path, tmp_path: Path) -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(SCRIPT.parent)!r})\n"
        "from pathlib import Path; import bootstrap\n"
        f"environ = {{'PODIUM_ENVS': {str(tmp_path / 'envs')!r}}}\n"
        f"print(bootstrap.environment(environ, True, Path({str(checkout)!r})))"
    )
    both = [
        subprocess.Popen([sys.executable, "-c", code], stdout=-1, stderr=-1, encoding="utf-8")
        for _ in range(2)
    ]
    said = [process.communicate(timeout=300) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert said[0][0] == said[1][0]
    assert sorted("ready after" in err for _, err in said) == [False, True]
    assert bootstrap.complete(Path(said[0][0].strip()))


def fake(folder: Path, script: str, mode: int = 0o755) -> Path:
    python = folder / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(mode)
    return folder


@pytest.mark.parametrize(
    ("script", "what"),
    [
        ("echo 3 11; echo torch mlflow", "packages are missing: torch, mlflow"),
        ("echo 3 8; echo", "3.8"),
        ("exit 1", "does not run"),
        ("echo broken >&2; exit 1", "broken"),
        ("echo hello", "does not run"),
    ],
)
def test_an_environment_that_cannot_run_podium_says_what_it_lacks(tmp_path: Path, script, what) -> None:
    own = fake(tmp_path / "env", script)
    with pytest.raises(bootstrap.BootstrapError) as caught:
        bootstrap.environment({"PODIUM_ENV": str(own)}, may_build=True)
    assert (
        what in str(caught.value)
        and str(own) in str(caught.value)
        and "unset PODIUM_ENV" in str(caught.value)
    )


def test_a_file_that_is_no_program_is_no_environment(tmp_path: Path) -> None:
    own = fake(tmp_path / "env", "", mode=0o644)
    with pytest.raises(bootstrap.BootstrapError, match="does not run"):
        bootstrap.environment({"PODIUM_ENV": str(own)}, may_build=True)


def test_the_environment_of_these_tests_can_run_podium() -> None:
    bootstrap.check_own(Path(sys.prefix))
