"""What was asked for when a result was made, kept so that it can be asked for again.

Owns the record of a request: its words and the texts of the YAML files behind them. Does not own reading
settings (`settings/load.py`).

Files change and results stay: with the texts kept, an old result's settings are read again as they were.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipeline.core.errors import ConfigError
from pipeline.engine.need import Need
from pipeline.record.digests import write_atomic
from pipeline.settings import folders
from pipeline.settings.load import CONFIGS, Request, Settings, resolve

Record = Mapping[str, Any]
# Where and how loudly: of the machine that asks, never of the one that asked first.
OWN = ("runtime.", "reproduce.")


def of(settings: Settings, chain: Iterable[Need]) -> dict[str, Any]:
    """A request as JSON, with every settings file that it and its chain read."""
    typed = settings.request
    files = dict(settings.files)
    for need in chain:
        files |= need.settings.files
    return {
        "competition": typed.competition,
        "model": typed.model,
        "experiment": list(typed.experiment or ()),
        "values": [[path, value] for path, value in typed.values if not path.startswith(OWN)],
        "files": dict(sorted(files.items())),
    }


def settings(record: Record, own: Mapping[str, Any], folder: Path) -> Settings:
    """The settings as they were: the kept files are written into `folder` and read again.

    Args:
        record: what `of` gave.
        own: values of where and how loudly, which no record holds.
        folder: a new folder called `configs`.

    Raises:
        ConfigError: this code does not know these settings any more.
    """
    for name, text in record["files"].items():
        path = (folder / name).resolve()
        assert path.is_relative_to(folder.resolve()), f"{name} leaves the folder of settings"
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            write_atomic(path, text.encode())
    return again(record, own, folder)


def again(record: Record, own: Mapping[str, Any], folder: Path) -> Settings:
    """The same request to the files of `folder`, as they are now.

    Raises:
        ConfigError: the files or the values are wrong now.
    """
    before = asked(record)
    return resolve(replace(before, values=tuple((dict(before.values) | dict(own)).items())), folder)


def asked(record: Record) -> Request:
    """What was asked for, as it was typed."""
    values = tuple((str(path), value) for path, value in record["values"])
    return Request(record["competition"], record["model"], tuple(record["experiment"]) or None, values)


def refuses(record: Record, values: Mapping[str, Any], folder: Path = CONFIGS) -> bool:
    """Whether the same request with these values would be refused; no where it cannot be read any more."""
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
    """The recorded files whose text in `folder` is another one now, or that are gone from it."""
    changed = []
    for name, text in record["files"].items():
        path = folders.found(folder, name)
        if not path.is_file():
            changed.append(f"{folder.name}/{name} (gone)")
        elif path.read_text(encoding="utf-8") != text:
            changed.append(f"{folder.name}/{name}")
    return changed
