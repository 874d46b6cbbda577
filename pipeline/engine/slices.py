"""The settings that a result may read: as plain data for its key, and as an object that refuses all others.

Owns selecting a slice of the settings. Does not own which slice a stage declares (`engine/stage.py`).

A key that is too short silently reuses an outdated result. Therefore a job does not get the settings but a
guard: reading a setting that is neither declared nor neutral raises an error.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any, cast

from pydantic import BaseModel

from pipeline.core.secrets import hidden_value
from pipeline.settings.fields import IF_CHOSEN, NEUTRAL, OF_FILE
from pipeline.settings.load import Request, Settings
from pipeline.settings.schema import Config

# Stands for a setting that is not in a key.
LEFT_OUT = object()


def is_neutral(info: Any) -> bool:
    """Whether a field of a section changes no result."""
    return _is_marked(info, NEUTRAL)


def _is_marked(info: Any, mark: str) -> bool:
    extra = info.json_schema_extra
    return isinstance(extra, dict) and bool(extra.get(mark))


def plain(model: BaseModel, keyed: bool = False) -> dict[str, Any]:
    """A section as plain data, defaults filled in, without the fields that change no result.

    keyed: as it enters a key, so without the places of files, and without facts that count only if chosen.
    """
    found: dict[str, Any] = {}
    for name, info in type(model).model_fields.items():
        if is_neutral(info):
            continue
        value = getattr(model, name)
        if keyed and _is_marked(info, IF_CHOSEN) and value == info.default:
            continue
        if isinstance(value, BaseModel):
            value = plain(value, keyed)
        elif isinstance(value, list):
            value = [plain(v, keyed) if isinstance(v, BaseModel) else v for v in value]
        elif isinstance(value, dict):
            value = {k: plain(v, keyed) if isinstance(v, BaseModel) else v for k, v in value.items()}
        elif keyed and isinstance(value, str) and _is_marked(info, OF_FILE):
            value = _without_place(value)
        found[name] = value
    return found


def _without_place(value: str) -> str:
    """What a setting says besides where its file lies."""
    return "file:" if value.startswith("file:") else ".csv" if value.endswith(".csv") else value


def config_slice(config: Config, paths: Iterable[str], keyed: bool = False) -> dict[str, Any]:
    """The settings at these dotted paths, without passwords.

    keyed: as they enter a key, so without the places of files and without facts that count only if chosen.
    """
    whole, named = plain(config, keyed), plain(config)
    found: dict[str, Any] = {}
    for path in paths:
        value: Any = whole
        known: Any = named
        for step in path.split("."):
            value, known = value.get(step, LEFT_OUT), known[step]
            if value is LEFT_OUT:
                break
        else:
            found[path] = hidden_value(path, value)
    return found


def flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested settings as dotted path -> JSON text."""
    found: dict[str, str] = {}
    for key, value in settings.items():
        if isinstance(value, dict):
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = json.dumps(value, ensure_ascii=False)
    return found


def covers(read: str, path: str) -> bool:
    """Whether a declared path and another one overlap: they are equal, or one contains the other."""
    return path == read or path.startswith(read + ".") or read.startswith(path + ".")


class Guard:
    """A section of the settings of which a job may read only what is declared.

    Properties and methods of the section run on the guard, so what they read is guarded too.
    """

    __slots__ = ("_may", "_path", "_section", "_who")

    def __init__(self, section: BaseModel, may: Collection[str], who: str, path: str = "") -> None:
        self._section, self._may, self._who, self._path = section, may, who, path

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # copying and pickling ask for such names before there is a section
            raise AttributeError(name)
        kind = type(self._section)
        path = f"{self._path}{name}"
        if name not in kind.model_fields:
            made = inspect.getattr_static(kind, name, None)
            if isinstance(made, property) and made.fget is not None:
                return made.fget(self)
            if inspect.isfunction(made) and made.__module__.startswith("pipeline."):
                return made.__get__(self)
            raise AssertionError(f"{self._who} reads {path}: only declared settings may be read")
        value = getattr(self._section, name)
        if is_neutral(kind.model_fields[name]) or any(
            path == read or path.startswith(f"{read}.") for read in self._may
        ):
            return value
        if isinstance(value, BaseModel):
            return Guard(value, self._may, self._who, f"{path}.")
        raise AssertionError(f"{self._who} reads {path}, which neither it nor one of its inputs declares")

    def __eq__(self, other: object) -> bool:
        raise AssertionError(
            f"{self._who} compares {self._path or 'all settings'} of which it may read a part"
        )

    __hash__ = None  # type: ignore[assignment]


class UndeclaredRequest:
    """The request of a job that may not read it: the name of the experiment, and nothing else."""

    def __init__(self, request: Request, who: str) -> None:
        self.model, self.experiment, self._who = request.model, request.experiment, who

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{self._who} reads the request's {name}; declare `words` or `whole_request`")


def guarded(settings: Settings, may: Collection[str], who: str) -> Settings:
    """These settings, of which only what `may` names and what changes no result can be read.

    Args:
        settings: all of them.
        may: dotted paths; a path allows everything below it.
        who: the stage, for the error.
    """
    config = cast(Config, Guard(settings.config, may, who))
    request = cast(Request, UndeclaredRequest(settings.request, who))
    return replace(settings, config=config, request=request, sources={}, files={})
