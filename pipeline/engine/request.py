"""The request for which a result was built, kept so that it can be repeated.

Owns the record of a request: its words and the texts of the YAML files that it used. Does not own reading
settings (`settings/load.py`).

Files change while results remain: with the texts kept, the settings of an old result can be read again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipeline.core.errors import ConfigError
from pipeline.core.secrets import HIDDEN, hidden, hidden_value
from pipeline.engine.need import Need
from pipeline.record import paths
from pipeline.record.files import write_atomic
from pipeline.settings import read
from pipeline.settings.load import CONFIGS, PLACE_PATHS, Request, Settings, resolve

Record = Mapping[str, Any]
# Settings of the machine and of the output: taken from the present command, never from the record.
OWN = ("runtime.", "reproduce.")


def of(settings: Settings, chain: Iterable[Need]) -> dict[str, Any]:
    """A request as JSON, with every settings file that it and its chain use, and without passwords."""
    typed = settings.request
    files = dict(settings.files)
    for need in chain:
        files |= need.settings.files
    return {
        "competition": typed.competition,
        "model": typed.model,
        "experiment": list(typed.experiment or ()),
        "values": [
            [path, hidden_value(path, value)] for path, value in typed.values if not path.startswith(OWN)
        ],
        "files": {name: hidden(text) for name, text in sorted(files.items())},
    }


def settings(record: Record, own: Mapping[str, Any], folder: Path, present: Settings) -> Settings:
    """The settings of a recorded request: its files are written into `folder` and read again.

    Passwords, which no record contains, come from the present files and words where these are the same.

    Args:
        record: from `of`.
        own: values of runtime and reproduce, which no record contains.
        folder: a new folder called `configs`.
        present: settings of the present command.

    Raises:
        ConfigError: this code does not know these settings any more.
        DataError: a file's name leads out of the folder.
    """
    for name, text in record["files"].items():
        path, now = paths.below(folder, name), read.found(present.folder, name)
        if HIDDEN in text and now.is_file() and hidden(mine := now.read_text(encoding="utf-8")) == text:
            text = mine
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            write_atomic(path, text.encode())
    typed = dict(record["values"])
    secrets = {p: v for p, v in present.request.values if p in typed and typed[p] == hidden_value(p, v) != v}
    return again(record, secrets | dict(own), folder)


def again(record: Record, own: Mapping[str, Any], folder: Path) -> Settings:
    """The same request with the present files of `folder`; raises ConfigError if they are no longer valid."""
    before = asked(record)
    return resolve(replace(before, values=tuple((dict(before.values) | dict(own)).items())), folder)


def repeated(record: Record, like: Settings) -> Settings:
    """The same request on this machine: with the typed places and runtime settings of the present command.

    Raises:
        ConfigError: its files are no longer valid.
    """
    typed = like.request.values
    return again(
        record, {p: v for p, v in typed if p.startswith("runtime.") or p in PLACE_PATHS}, like.folder
    )


def asked(record: Record) -> Request:
    """The recorded request, as it was typed."""
    values = tuple((str(path), value) for path, value in record["values"])
    return Request(record["competition"], record["model"], tuple(record["experiment"]) or None, values)


def refuses(record: Record, values: Mapping[str, Any], folder: Path = CONFIGS) -> bool:
    """Whether the same request with these values would be refused; False if it can no longer be read."""
    try:
        before = again(record, {}, folder)
    except ConfigError:
        return False
    try:
        before.with_values(values)
    except ConfigError:
        return True
    return False


def changed_files(record: Record, folder: Path) -> list[str]:
    """The recorded files whose text in `folder` has changed, or that are missing from it."""
    changed = []
    for name, text in record["files"].items():
        path = read.found(folder, name)
        if not path.is_file():
            changed.append(f"{folder.name}/{name} (gone)")
        elif hidden(path.read_text(encoding="utf-8")) != text:
            changed.append(f"{folder.name}/{name}")
    return changed
