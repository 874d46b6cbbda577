"""Shell commands that the pages of all rooms advise: the words of the user's own command with other settings.

Owns composing and quoting them. Does not own the advice.
"""

import json
import os
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.core.language import VARIABLE

# In the words that make hands down, blanks inside a value have a backslash before them.
TYPED_LANGUAGE = re.compile(rf"(?<!\\)\s{VARIABLE}=(\S+)")
TRAIN = "make train"


def train_with(given: tuple[str, ...], *settings: str) -> str:
    """`make_with` for `make train`."""
    return make_with(TRAIN, given, *settings)


def make_with(command: str, given: tuple[str, ...], *settings: str) -> str:
    """The shell command with the words of the user's command, and these settings on top.

    Args:
        command: `make train` or another.
        given: words such as `competition=digits`, `experiment=tiny_cnn`, `train.epochs=3`; a word that one
            of `settings` replaces is left out, because no path may be given twice.
        settings: words of the same form.
    """
    paths = {path_of(word) for word in settings}
    words = [*(word for word in given if path_of(word) not in paths), *settings]
    if not words:
        return command
    # Quoted for three readers: the shell that make starts, make, and the user's shell.
    for_make = " ".join(shlex.quote(word) for word in words).replace("$", "$$")
    typed = re.sub(r'([\\"`$])', r"\\\1", for_make)
    return f'{command} ARGS="{typed}"'


def mended(command: str, words: Sequence[str]) -> str:
    """A command that `make_with` composed, with these settings on top of its own."""
    head, _given, typed = command.partition(' ARGS="')
    for_make = re.sub(r'\\([\\"`$])', r"\1", typed.removesuffix('"'))
    return make_with(head, tuple(shlex.split(for_make.replace("$$", "$"))), *words)


def spoken(command: str, environment: Mapping[str, str] = os.environ) -> str:
    """A command of make that is printed, with the language that was typed behind the present one.

    `make train UI_LANG=ko` holds for that command only, so without it the next one would answer in another
    language. A language of the shell or of the settings needs no word: it holds for the next command, too.

    Args:
        command: `make train`, with or without settings; one that names a language keeps it.
        environment: make puts the variables of its own command line into MAKEFLAGS.
    """
    typed = TYPED_LANGUAGE.search(f" {environment.get('MAKEFLAGS', '')}")
    target, settings, given = command.partition(" ARGS=")
    if typed is None or environment.get(VARIABLE) != typed[1] or f" {VARIABLE}=" in target:
        return command
    return f"{target} {VARIABLE}={shlex.quote(typed[1])}{settings}{given}"


def fold_words(manifest: Mapping[str, Any]) -> tuple[str, ...]:
    """The words of a run about folds: only with them are runs on its folds found again.

    Args:
        manifest: of a result that was asked for by a command.
    """
    values = (manifest.get("request") or {}).get("values") or []
    folds = [(path, value) for path, value in values if str(path).startswith("folds.")]
    return tuple(f"{path}={v if isinstance(v, str) else json.dumps(v)}" for path, v in folds)


def path_of(word: str) -> str:
    """`train.epochs` of `train.epochs=3`."""
    return word.partition("=")[0]


def ui_command(home: Path) -> str:
    """The command that serves the MLflow UI over the record of a home."""
    database = shown(home / "mlflow.db")
    return "make ui" if database == "mlflow.db" else f"make ui DB={shlex.quote(database)}"


def shown(path: Path) -> str:
    """A path as a person would type it here: relative below this folder, whole elsewhere."""
    near = os.path.relpath(path)
    return str(path) if near.startswith("..") else near
