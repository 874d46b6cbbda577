"""The files that the user names for `make new`, and what is known about their rows.

Owns the values that the guesses share. Does not own guessing.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.core.errors import DataError

HOLDOUT = 0.2


@dataclass(frozen=True)
class NewRequest:
    """The files that the user names.

    Args:
        name: of the new competition.
        images: folder of images, of class folders, or of the mask competition.
        train: training table; None: `images` is a folder per class.
        test: test table, or a folder of test images; None: the sample lists them, or some are held out.
        sample: the host's sample submission, if there is one.
        home: paths below it are written relative to it.
    """

    name: str
    images: Path
    train: Path | None
    test: Path | None
    sample: Path | None
    home: Path


@dataclass(frozen=True)
class LabelledRows:
    """The training rows, for guesses of sizes, folds and the metric.

    Args:
        paths: as written, below `folder`.
        folder: of the images.
        classes: the class of each row, as a number.
        values: raw label values if there is exactly one attribute, else empty.
    """

    paths: Sequence[str]
    folder: Path
    classes: Sequence[int]
    values: tuple[str, ...] = ()


def check_there(request: NewRequest) -> None:
    """Raise DataError for files that do not exist, with all of them."""
    faults = []
    if not request.images.is_dir():
        faults.append(f"IMAGES={request.images}: there is no such folder")
    for word, path in (("TRAIN", request.train), ("SAMPLE", request.sample)):
        if path is not None and not path.is_file():
            faults.append(f"{word}={path}: there is no such file")
    if request.test is not None and not request.test.exists():
        faults.append(f"TEST={request.test}: there is no such file or folder")
    if faults:
        raise DataError(f"make new NAME={request.name}: files are missing", faults)


def root_of(request: NewRequest) -> Path:
    """The folder that contains all given files."""
    given = [request.images, *(p.parent if p.is_file() else p for p in (request.train, request.test) if p)]
    given += [request.sample.parent] if request.sample else []
    return Path(os.path.commonpath([p.resolve() for p in given]))


def relative(path: Path, base: Path) -> str:
    """A path as the configuration writes it: below `base`, or absolute."""
    resolved, base = path.resolve(), base.resolve()
    return resolved.relative_to(base).as_posix() if resolved.is_relative_to(base) else str(resolved)
