"""Overrides under a name of their own: an experiment file that one word, `experiment=NAME`, uses again.

Owns which settings such a file takes, its text, and writing it; `make tune` writes its winners in the same
way. Does not own reading it (`settings/load.py`).

A file takes the settings of the experiment. The competition, the folds, the statistics, the reports and the
machine are no part of an experiment: their overrides remain words of the command.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from pipeline.core.errors import ConfigError
from pipeline.core.language import _
from pipeline.record.files import write_atomic
from pipeline.settings import read
from pipeline.settings.load import Request, Settings, resolve

NOT_TAKEN = ("runtime", "competition", "folds", "statistics", "report", "reproduce")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
LONGEST_NAME = 40

BAD_NAME = _("NAME={name}: only letters a to z, digits and _ . - are allowed")
BAD_NAME_REMEDY = _("e.g. NAME=larger_images")
TAKEN = _("NAME={name}: {file} exists and has other settings; it is not changed")
TAKEN_REMEDY = _("choose another NAME, or move that file away")
NOTHING_TO_NAME = _("NAME={name}: there is nothing to name: ARGS changes no setting of the experiment")
NOTHING_TO_NAME_REMEDY = _('e.g. make train NAME={name} ARGS="train.epochs=10"')
NOT_THE_SAME = _(
    "NAME={name}: as a file, these overrides would not give the same settings; no file was written"
)
NOT_THE_SAME_REMEDY = _("override single settings (section.key=value) instead of a whole mapping")
HEADER = """\
{words}
under a name of its own.
  make train ARGS="experiment={name}\""""


def taken(path: str) -> bool:
    """Whether an experiment's file takes the setting of this dotted path."""
    return path.split(".")[0] not in NOT_TAKEN and path != "train.folds"


def text_of(request: Request, values: Mapping[str, Any], header: Sequence[str]) -> str:
    """The text of a file that uses the request's experiment and model, with its and these values on top.

    Args:
        request: the experiment that the file builds on.
        values: dotted path -> plain value.
        header: lines of the comment at the top, without `#`.
    """
    uses = {"experiment": "+".join(request.experiment or ()), "model": request.model}
    data: dict[str, Any] = {"uses": {group: name for group, name in uses.items() if name}}
    for path, value in (dict(request.values) | dict(values)).items():
        if taken(path):
            _put(data, path, value)
    body = yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=100, default_flow_style=None)
    return "\n".join([*(f"# {line}".rstrip() for line in header), body])


def write_free(folder: Path, stem: str, text: str) -> Path:
    """Write a file below `folder` under this name, or under the first numbered one that is free."""
    number, path = 1, folder / f"{stem}.yaml"
    while path.is_file() and path.read_text(encoding="utf-8") != text:
        number += 1
        path = folder / f"{stem}-{number}.yaml"
    write_atomic(path, text.encode())
    return path


def has_values(settings: Settings) -> bool:
    """Whether the command changes its experiment, so that it has no name of its own."""
    return settings.request.model is not None or any(taken(path) for path, _ in settings.request.values)


def under(settings: Settings, name: str) -> Settings:
    """The same settings, asked for by `experiment=name`; without a file yet, this fails."""
    kept = tuple((path, value) for path, value in settings.request.values if not taken(path))
    request = replace(settings.request, experiment=(name,), model=None, values=kept)
    return resolve(request, settings.folder)


def save(settings: Settings, name: str) -> tuple[Settings, Path | None]:
    """Write the command's overrides as the experiment `name`.

    Returns:
        The settings as `experiment=name` resolves them, and the new file; None: it existed already and means
        the same.

    Raises:
        ConfigError: the name is invalid or means other settings, or there is nothing to name.
    """
    if not NAME.fullmatch(name):
        raise ConfigError(BAD_NAME.format(name=name), remedy=BAD_NAME_REMEDY)
    if not has_values(settings):
        raise ConfigError(NOTHING_TO_NAME.format(name=name), remedy=NOTHING_TO_NAME_REMEDY.format(name=name))
    if name in read.names(settings.folder, "experiment"):
        known = under(settings, name)
        if known.config != settings.config:
            file = f"{settings.folder.name}/experiment/{name}.yaml"
            raise ConfigError(TAKEN.format(name=name, file=file), remedy=TAKEN_REMEDY)
        return known, None
    words = " ".join(w for w in settings.words if w.partition("=")[0] in ("experiment", "model") or _own(w))
    header = HEADER.format(words=" ".join(words.split()), name=name).split("\n")
    path = settings.folder / "experiment" / f"{name}.yaml"
    write_atomic(path, text_of(settings.request, {}, header).encode())
    made = under(settings, name)
    if made.config != settings.config:
        # A file merges a mapping into that of the experiment below it; an override replaces the mapping.
        path.unlink()
        raise ConfigError(NOT_THE_SAME.format(name=name), remedy=NOT_THE_SAME_REMEDY)
    return made, path


def proposed(settings: Settings) -> str:
    """A free name for the command's overrides, e.g. `lite0-size-96`; of a known file that means the same."""
    model = settings.request.model
    words = [*(settings.request.experiment or ()), *([model] if model else [])]
    for path, value in settings.request.values:
        if taken(path):
            words += [path.rpartition(".")[2], str(value)]
    joined = re.sub(r"[^A-Za-z0-9_.]+", "-", "-".join(words)).strip("-._")
    stem = joined[:LONGEST_NAME].rstrip("-._") or "mine"
    known = read.names(settings.folder, "experiment")
    number, name = 1, stem
    while name in known and under(settings, name).config != settings.config:
        number += 1
        name = f"{stem}-{number}"
    return name


def _own(word: str) -> bool:
    path = word.partition("=")[0]
    return "." in path and taken(path)


def _put(data: dict[str, Any], path: str, value: Any) -> None:
    *parents, last = path.split(".")
    for parent in parents:
        below = data.get(parent)
        if not isinstance(below, dict):
            below = data[parent] = {}
        data = below
    data[last] = value
