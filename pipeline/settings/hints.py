"""What a person may have meant by a setting that does not exist.

Owns the suggestion for an unknown name: the setting of that name in another section, the setting that other
tools call so, or a similar name. Does not own the faults (`load.py`).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from pipeline.core.errors import SIMILAR, nearest
from pipeline.core.language import _

TWO_LINES = _("in a file it takes two lines: `{section}:`, and below it, indented, `{field}: …`")
# As widely used training scripts and libraries call them (timm's train.py, scikit-learn, Lightning, Keras).
ELSEWHERE = {
    "arch": "model.name",
    "architecture": "model.name",
    "backbone": "model.name",
    "bs": "train.batch_size",
    "image_size": "images.size",
    "img_size": "images.size",
    "input_size": "images.size",
    "k_folds": "folds.n",
    "learning_rate": "train.lr",
    "max_epochs": "train.epochs",
    "n_epochs": "train.epochs",
    "n_folds": "folds.n",
    "n_splits": "folds.n",
    "num_epochs": "train.epochs",
    "num_folds": "folds.n",
    "num_workers": "runtime.workers",
    "opt": "train.optimizer",
    "random_state": "train.seed",
    "smoothing": "loss.label_smoothing",
    "tta": "infer.views",
    "wd": "train.weight_decay",
}


def of_name(settings: type[BaseModel], name: str, siblings: Sequence[str]) -> str:
    """A `did you mean` clause for a name that is no setting; empty if nothing is like it.

    Args:
        settings: the model of all settings; each of its fields is a section.
        name: the last part of the unknown path.
        siblings: the names that are known where it stands.
    """
    return _clause(_meant(settings, name)) or nearest(name, siblings)


def as_sections(settings: type[BaseModel], name: str) -> str:
    """How to write a setting that a file has by its path, as `report.language: ko`; empty if it is none."""
    section, _dot, field = name.partition(".")
    known = field and name in set(_paths(settings))
    return TWO_LINES.format(section=section, field=field) if known else ""


def of_section(settings: type[BaseModel], section: str, value: Any) -> str:
    """The same for a section that does not exist, by the names in its value, or a similar section."""
    if not isinstance(value, Mapping):
        return of_name(settings, section, list(settings.model_fields))
    similar = difflib.get_close_matches(section, list(settings.model_fields), n=1)
    meant: list[str] = []
    for name in map(str, value):
        here = [path for path in (f"{s}.{name}" for s in similar) if path in set(_paths(settings))]
        meant += here or _meant(settings, name)
    return _clause(meant) or (nearest(section, settings.model_fields) if section else "")


def _meant(settings: type[BaseModel], name: str) -> list[str]:
    """The settings of this name in any section, or else the one that other tools call so."""
    known = list(_paths(settings))
    same = [path for path in known if path.rpartition(".")[2] == name]
    return same or [path for path in (ELSEWHERE.get(name.lower()),) if path in known]


def _clause(meant: Sequence[str]) -> str:
    return SIMILAR.format(words=", ".join(dict.fromkeys(meant[:3]))) if meant else ""


def _paths(settings: type[BaseModel]) -> Iterator[str]:
    for section, info in settings.model_fields.items():
        yield from (f"{section}.{name}" for name in getattr(info.annotation, "model_fields", {}))
