"""Folders that are splits, and folders that are classes.

Owns telling them apart by their names and contents. Does not own reading class folders (`data/layouts.py`).

`train`, `seg_test` or `Valid` are splits if class folders are below them, or if nothing but splits is beside
them; a folder `train` with images beside `bus` and `car` is a class.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.data.paths import hidden, image_suffix, images_below, nfc

TRAIN, TEST, VALID = "train", "test", "valid"
SPLIT_WORDS = {
    **dict.fromkeys(("train", "training", "trn", "trainset", "trainingset", "trainimages"), TRAIN),
    **dict.fromkeys(("test", "testing", "tst", "testset", "testimages", "eval", "evaluation"), TEST),
    **dict.fromkeys(("pred", "predict", "prediction", "predictions", "inference", "unlabeled"), TEST),
    **dict.fromkeys(("val", "valid", "validation", "validate", "dev", "valset", "holdout"), VALID),
}

# The upper of two folders around an image, and the lower one.
TOP_FOLDER, SECOND_FOLDER = r"^([^/]+)/", r"^[^/]+/([^/]+)/"
HALF = 0.5


@dataclass(frozen=True)
class ClassFolders:
    """Where the class folders are.

    Args:
        train: the folder of class folders.
        test: a folder of test images, if there is one.
        others: further splits beside them, which are not used.
    """

    train: Path
    test: Path | None = None
    others: tuple[Path, ...] = ()


def split_of(name: str) -> str | None:
    """The split that a folder's name means; None: no split."""
    words = re.split(r"[^a-z]+", name.lower())
    found = {SPLIT_WORDS[word] for word in words if word in SPLIT_WORDS}
    return found.pop() if len(found) == 1 else None


def class_folders(folder: Path, given: Path | None = None) -> ClassFolders:
    """The class folders below the single folders of an archive and below folders that are splits.

    Args:
        folder: where the user says that the images are.
        given: the folder of test images that the user names, which is no class.
    """
    test = given
    others: tuple[Path, ...] = ()
    while True:
        below = [p for p in _folders(folder) if given is None or p.resolve() != given.resolve()]
        trains = [p for p in below if split_of(p.name) == TRAIN]
        if trains and _is_split(trains[0], below):
            tests = _tests(below)
            rest = [p for p in (*trains[1:], *tests[1:], *below) if split_of(p.name) and p != trains[0]]
            others += tuple(dict.fromkeys(p for p in rest if p not in tests[:1] and _holds_images(p)))
            folder, test = trains[0], test or next(iter(tests), None)
            continue
        tests = _tests(below)
        if tests and len(below) > len(tests) + 1:
            return ClassFolders(folder, test or tests[0], others)
        flat = any(image_suffix(p.name) for p in folder.iterdir() if p.is_file() and not hidden(p.name))
        if len(below) != 1 or flat:
            return ClassFolders(folder, test, others)
        folder = below[0]


def _folders(folder: Path) -> list[Path]:
    return [p for p in sorted(folder.iterdir()) if p.is_dir() and not hidden(p.name)]


def _tests(below: Sequence[Path]) -> list[Path]:
    """The folders of test images; those that are called so come before `pred` and `eval`."""
    named = [p for p in below if split_of(p.name) == TEST and _holds_images(p)]
    return sorted(named, key=lambda p: "test" not in p.name.lower())


def _is_split(folder: Path, beside: Sequence[Path]) -> bool:
    """Whether a folder named after a split is one: it has folders with images, or no class is beside it."""
    if any(_holds_images(p) for p in _folders(folder)):
        return True
    return not any(split_of(p.name) is None and _holds_images(p) for p in beside)


def _holds_images(folder: Path) -> bool:
    return bool(images_below(folder).images)


def in_every_folder(paths: Sequence[str]) -> list[str]:
    """The names of the folders that are in most folders, as in `patient_7/malignant/3.png`; empty if not so.

    Every image must be in one of them, and at least half of the upper folders hold all of them.
    """
    parts = [nfc(path).split("/") for path in paths]
    if not parts or min(len(part) for part in parts) < 3:
        return []
    held: dict[str, set[str]] = {}
    for top, second, *_ in parts:
        held.setdefault(top, set()).add(second)
    known = set.union(*held.values())
    full = sum(found == known for found in held.values())
    # Folders of splits in every class are no classes.
    if len(known) < 2 or full < HALF * len(held) or any(split_of(name) for name in known):
        return []
    return sorted(known)
