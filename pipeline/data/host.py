"""The host's files: the competition's folder, a sample submission, and answers of held-out images.

Owns their paths, whether the host gave them, a demo has them or they are made here. Does not own the
formats (`data/host_format.py`) nor scoring (`submit/host_scores.py`).
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.core.errors import DataError
from pipeline.core.language import _
from pipeline.core.samples import Strings, Truth, strings
from pipeline.core.targets import EXCLUSIVE, Target
from pipeline.data import host_format, load
from pipeline.data.competition import Answers
from pipeline.record.files import write_atomic
from pipeline.record.store import Artifact
from pipeline.settings.competition import CompetitionSettings
from pipeline.settings.load import Settings

ANSWERS = "answers.csv"
ANSWER_COLUMNS = ("id", "label", "usage")


def competition_root(settings: Settings) -> Path:
    """The folder of the competition's files; a demo's is made when it is missing."""
    config = settings.config.competition
    home = settings.config.runtime.folder.resolve()
    if config.demo is None:
        assert config.root is not None, "a rule of the settings asks for root or demo"
        return (home / config.root).resolve()
    # Imported here: only demos need it.
    from pipeline.data.demo import competitions

    return competitions.materialise(config.demo, home, config.name)


def boxes_file(settings: Settings) -> Path:
    """The CSV of boxes, relative to the competition's folder unless it is absolute.

    Raises:
        DataError: there is no such file.
    """
    path = competition_root(settings) / str(settings.config.crop.boxes)
    if not path.is_file():
        raise DataError(
            _("crop.boxes: there is no file {path}").format(path=path),
            remedy=_("give a CSV with the columns id,x,y,w,h"),
        )
    return path


def sample(settings: Settings, data: Artifact, home: Path) -> Path:
    """The host's sample, or one written below data/ from the test ids."""
    config = settings.config.competition
    if config.sample_submission is not None:
        return competition_root(settings) / config.sample_submission
    path = home / "data" / f"{config.name}-sample_submission.csv"
    test = load.samples(data, "test", home)
    text = host_format.sample_of(test.ids_N.tolist(), test.space, config.submission)
    if not path.is_file() or path.read_bytes() != text:
        write_atomic(path, text)
    return path


def check_sample(settings: Settings, data: Artifact, home: Path) -> None:
    """Raise DataError where the host's sample asks for other images or answers, before hours of training."""
    config = settings.config.competition
    if config.sample_submission is not None:
        path = competition_root(settings) / config.sample_submission
        test = load.samples(data, "test", home)
        space = load.samples(data, "train", home).space
        host_format.fits(path, test.ids_N, space, config.submission, config.encoding)


def knows_answers(config: CompetitionSettings) -> bool:
    """Whether `make score` can score without a host: for a demo, or held-out images."""
    return config.demo is not None or config.holdout is not None


def answers(settings: Settings, data: Artifact) -> Path:
    """A CSV of id, label (class index, or numbers with blanks between them) and usage (public or private)."""
    assert knows_answers(settings.config.competition), "the answers are with the host"
    holder = data.folder if settings.config.competition.demo is None else competition_root(settings)
    return holder / ANSWERS


def read_answers(path: Path, target: Target) -> tuple[Strings, Truth, Strings]:
    """Ids, truth and usage (public or private) of the file that `answers` names."""
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    cells = table["label"].tolist()
    truth: Truth
    if target.kind == EXCLUSIVE:
        truth = np.array(cells, dtype=np.int64)
    else:
        truth = np.array([[float(v) for v in cell.split()] for cell in cells], dtype=np.float32)
        truth = truth.reshape(len(cells), target.n_columns)
        truth = truth if target.space is None else target.space.with_cells(truth)
    return strings(table["id"].tolist()), truth, strings(table["usage"].tolist())


def write_answers(path: Path, answers: Answers) -> None:
    """Write the answers of a held-out test set, in the columns `ANSWER_COLUMNS`.

    The answer of another kind of target than exclusive classes is its numbers, with blanks between them.
    """
    usage = ["public" if public else "private" for public in answers.public_N]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(ANSWER_COLUMNS)
        truth = answers.truth.tolist()
        told = truth if answers.truth.ndim == 1 else [" ".join(map(str, row)) for row in truth]
        writer.writerows(zip(answers.ids_N.tolist(), told, usage, strict=True))
