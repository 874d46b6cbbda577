"""Input and output of the guesses of `make new`: the files that the user names, and the configuration.

Owns the request, the training rows that the guesses share, and the proposal: each setting with the reason for
it, as YAML that a person can edit and as a summary for the terminal. Does not own guessing
(`data/new/propose.py`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.core.errors import DataError
from pipeline.core.language import _
from pipeline.core.samples import Kind
from pipeline.data import texts
from pipeline.data.readers.registry import packed

HOLDOUT = 0.2
COMMENT_COLUMN, WIDEST = 56, 118
# Attributes that the summary names.
MOST_SHOWN = 8


@dataclass(frozen=True)
class NewRequest:
    """The files that the user names.

    Args:
        name: of the new competition.
        images: folder of images, of class folders, or of the mask competition; or a file of several images.
        train: training table; None: `images` is a folder per class.
        test: test table, or a folder of test images; None: the sample lists them, or some are held out.
        sample: the host's sample submission, if there is one.
        home: paths below it are written relative to it.
        label: the label's column, or several separated by commas; None: it is guessed.
        encoding: of tables that are not UTF-8; None: found.
        target: the kind of the label; None: it is guessed.
        image_table: a table with a row for each image beside `train` with a row for each sample; None: found.
        group: the column whose images belong together, or `none`; empty: it is guessed.
    """

    name: str
    images: Path
    train: Path | None
    test: Path | None
    sample: Path | None
    home: Path
    label: str | None = None
    encoding: str | None = None
    target: Kind | None = None
    image_table: Path | None = None
    group: str = ""


@dataclass(frozen=True)
class LabelledRows:
    """The training rows, for guesses of sizes, folds and the metric.

    Args:
        paths: as written, below `folder`.
        folder: of the images.
        classes: the class of each row, as a number.
        sides: width and height of some images, where they are no image files; None: they are in `folder`.
    """

    paths: Sequence[str]
    folder: Path
    classes: Sequence[int]
    sides: Sequence[tuple[int, int]] | None = None


def check_there(request: NewRequest) -> None:
    """Raise DataError for files that do not exist, with all of them."""
    faults = []
    if not request.images.is_dir() and not (packed(request.images) and request.images.is_file()):
        faults.append(_("IMAGES={images}: there is no such folder").format(images=request.images))
    for word, path in (
        ("TRAIN", request.train),
        ("SAMPLE", request.sample),
        ("IMAGE_TABLE", request.image_table),
    ):
        if path is not None and not path.is_file():
            faults.append(_("{word}={path}: there is no such file").format(word=word, path=path))
    if request.test is not None and not request.test.exists():
        faults.append(_("TEST={test}: there is no such file or folder").format(test=request.test))
    if faults:
        raise DataError(_("make new NAME={request}: files are missing").format(request=request.name), faults)


def root_of(request: NewRequest) -> Path:
    """The folder that contains all given files."""
    named = (request.images, request.train, request.test)
    given = [p.parent if p.is_file() else p for p in named if p]
    given += [p.parent for p in (request.sample, request.image_table) if p]
    return Path(os.path.commonpath([p.resolve() for p in given]))


def relative(path: Path, base: Path) -> str:
    """A path as the configuration writes it: below `base`, or absolute."""
    resolved, base = path.resolve(), base.resolve()
    return resolved.relative_to(base).as_posix() if resolved.is_relative_to(base) else str(resolved)


@dataclass(frozen=True)
class Line:
    """One guessed setting.

    Args:
        path: dotted path of the setting.
        value: plain data: text, numbers, None, lists, or a list of mappings.
        why: the reason, one line; empty if it is obvious.
    """

    path: str
    value: Any
    why: str = ""


@dataclass
class Proposal:
    """The guesses about a competition, in the order of the file.

    Args:
        name: the competition's.
        lines: the settings.
        hints: alternatives, one line each; comments at the end of the file.
        question: what only the user can say, and must say before anything runs; empty: nothing.
        trial: overrides with which the files can be read before the question is answered.
        choices: the possible answers: what each means, and its settings of `competition.submission`.
    """

    name: str
    lines: list[Line] = field(default_factory=list)
    hints: list[str] = field(default_factory=list)
    question: str = ""
    trial: tuple[str, ...] = ()
    choices: tuple[tuple[str, dict[str, Any]], ...] = ()

    def set(self, path: str, value: Any, why: str = "") -> None:
        """Add a setting; add the settings of one section together."""
        self.lines.append(Line(path, value, why))

    def summary(self) -> list[str]:
        """Each guess with its reason, one line each, for the terminal."""
        shown = [(line.path.removeprefix("competition."), line) for line in self.lines if line.why]
        wide = max((len(path) for path, _ in shown), default=0)
        lines = [
            texts.GUESS.format(setting=f"{path:<{wide}}", value=_short(line.value), why=line.why)
            for path, line in shown
        ]
        return lines + [texts.HINT.format(hint=hint) for hint in self.hints]

    def answers(self) -> list[str]:
        """The possible answers to the question, as lines of the file that can be pasted."""
        written = {line.path.rpartition(".")[2]: line.value for line in self.lines if _of_host(line.path)}
        keys = dict.fromkeys(key for _, settings in self.choices for key in settings if key in written)
        old = "` and `".join(f"{key}: {scalar(written[key])}" for key in keys)
        out = [texts.CHOOSE.format(old=old)] if self.choices else []
        for meaning, settings in self.choices:
            out += ["  " + meaning, *(f"    {key}: {scalar(value)}" for key, value in settings.items())]
        return out

    def yaml(self) -> str:
        """The file's text."""
        out = [
            f"# {text.format(name=self.name)}"
            for text in (texts.HEADER, texts.HEADER_FIX, texts.HEADER_EDA, texts.HEADER_ALL)
        ]
        open_sections: list[str] = []
        for line in _by_section(self.lines):
            *sections, last = line.path.split(".")
            same = 0
            while same < min(len(sections), len(open_sections)) and sections[same] == open_sections[same]:
                same += 1
            out += ["  " * depth + f"{name}:" for depth, name in enumerate(sections) if depth >= same]
            open_sections = sections
            out += _written(last, line, len(sections))
        asked = [self.question, *self.answers()] if self.question else []
        out += [f"# {line}" for line in asked + self.hints]
        return "\n".join(out) + "\n"


def _by_section(lines: Sequence[Line]) -> list[Line]:
    """The lines with those of each section together, sections in the order in which they come first."""
    first: dict[str, int] = {}
    order = []
    for number, line in enumerate(lines):
        steps = line.path.split(".")
        sections = [".".join(steps[:depth]) for depth in range(1, len(steps))]
        order.append([*(first.setdefault(section, number) for section in sections), number])
    return [lines[n] for n in sorted(range(len(lines)), key=lambda n: order[n])]


def scalar(value: Any) -> str:
    """A value as YAML: text in double quotes, so that no word becomes a number or a truth value."""
    return json.dumps(value, ensure_ascii=False)


def _written(name: str, line: Line, depth: int) -> list[str]:
    pad = "  " * depth
    if not _mappings(line.value):
        text = f"{pad}{name}: {scalar(line.value)}"
        beside = f"{text:<{COMMENT_COLUMN}}  # {line.why}"
        if line.why and len(beside) > WIDEST:
            return [f"{pad}# {line.why}", text]
        return [beside if line.why else text]
    out = [f"{pad}{name}:" + (f"  # {line.why}" if line.why else "")]
    for item in line.value:
        for number, (key, value) in enumerate(item.items()):
            out.append(f"{pad}  {'- ' if number == 0 else '  '}{key}: {scalar(value)}")
    return out


def _of_host(path: str) -> bool:
    return path.startswith("competition.submission.")


def _mappings(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)


def _short(value: Any) -> str:
    if _mappings(value):
        shown = ", ".join(_attribute(v) for v in value[:MOST_SHOWN])
        return shown + (texts.MORE_VALUES.format(n=len(value)) if len(value) > MOST_SHOWN else "")
    return texts.NOTHING_GIVEN if value is None else _some(value) if isinstance(value, list) else str(value)


def _attribute(item: dict[str, Any]) -> str:
    """An attribute with its values, if it has any; or a column of metadata with its kind."""
    if item.get("values"):
        return f"{item['name']} ({_some(item['values'])})"
    return str(item["name"]) if "name" in item else " ".join(str(word) for word in item.values())


def _some(values: Sequence[Any], shown: int = 6) -> str:
    return ", ".join(str(v) for v in values[:shown]) + (", …" if len(values) > shown else "")
