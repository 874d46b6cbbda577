"""`make new`: a competition's files in, a configuration that runs out.

    make new NAME=pets TRAIN=pets/train.csv IMAGES=pets/images SAMPLE=pets/sample_submission.csv
    make new NAME=trash IMAGES=photos            a folder per class

Owns writing configs/competition/<name>.yaml, never over another, and trying it. The guesses are
`pipeline/data/guess/`.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.core.errors import DataError, StorageError
from pipeline.data import competition
from pipeline.data.host import competition_root
from pipeline.data.new.propose import propose
from pipeline.data.new.request import Request
from pipeline.settings import folders
from pipeline.settings.load import Settings, load

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")
RARE = 5


@dataclass(frozen=True)
class Written:
    """What `make new` did.

    Args:
        path: of the new file.
        lines: what is told: guesses, reasons, and what the files hold.
    """

    path: Path
    lines: tuple[str, ...]


def create(request: Request, settings: Settings) -> Written:
    """Guess, write the configuration, and read the competition with it.

    Args:
        request: what the user points at.
        settings: for the configs folder and the home.

    Raises:
        DataError: the name is none or taken, files are missing, nothing looks like images or labels; or
            the files have faults, in which case the configuration is written all the same.
    """
    path = settings.folder / "competition" / f"{request.name}.yaml"
    if not NAME.fullmatch(request.name):
        raise DataError(
            f"NAME={request.name}: letters a to z, digits, _ . + - and no others", remedy="e.g. NAME=pets"
        )
    taken = DataError(
        f"{path}: there is already a competition of this name, and it is left as it is",
        remedy="choose another NAME, or move that file away",
    )
    if folders.found(settings.folder, f"competition/{path.name}").exists():
        raise taken
    proposal = propose(request)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # "x" refuses a file that another process wrote meanwhile.
        with path.open("x", encoding="utf-8") as file:
            file.write(proposal.yaml())
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        raise taken from None
    except OSError as error:
        raise StorageError(f"{path}: cannot be written: {error.strerror}") from error
    return Written(path, (*proposal.told(), *_tried(request, settings, path)))


def _tried(request: Request, settings: Settings, path: Path) -> list[str]:
    """Read the competition with the new file: what is in it, in a few lines."""
    made = load([f"competition={request.name}", f"runtime.home={request.home}"], settings.folder)
    try:
        data = competition.load(made.config.competition, competition_root(made))
    except DataError as error:
        remedy = f"{error.remedy}; {path} is written, so that make eda tries again"
        raise DataError(error.headline, error.faults, remedy) from error
    train = data.train
    count_C = np.bincount(train.labels, minlength=train.space.n_classes)
    groups = len(set(train.groups_N.tolist()))
    lines = [
        f"{len(train):,} training images in {train.space.n_classes} classes and {groups:,} groups, "
        f"{len(data.test):,} test images"
    ]
    rare = [f"{train.space.classes[c]} ({count_C[c]})" for c in np.flatnonzero(count_C < RARE)]
    if rare:
        lines.append(f"classes with fewer than {RARE} training images: {', '.join(rare)}")
    return [*lines, *data.notes]
