"""Scores of the host: typed in by the user, or computed from answers that are kept here.

Owns the only code that reads the answers of a demo or of held-out images. Does not own the ledger
(`submit/ledger.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.core import metrics, truths
from pipeline.core.errors import DataError
from pipeline.core.language import joined, recalled
from pipeline.core.samples import positions
from pipeline.core.targets import Target
from pipeline.data import host, host_format, load
from pipeline.infer.texts import REFIT_SCORE
from pipeline.record import board, paths
from pipeline.record.files import write_atomic
from pipeline.record.store import Artifact
from pipeline.record.tracking import Tracker
from pipeline.settings.competition import CompetitionSettings
from pipeline.settings.load import Settings
from pipeline.submit import ledger, submission, texts
from pipeline.submit.submission import ledger_of


@dataclass(frozen=True)
class HostScore:
    """The scores of one submission; None for a score that is unknown or not revealed."""

    name: str
    public: float | None
    private: float | None


def of_answers(settings: Settings, data: Artifact, home: Path, path: Path, reveal: bool) -> HostScore:
    """Score a CSV against the answers of a demo or of held-out images; `reveal`: also its private part.

    Raises:
        DataError: only the host has the answers, or the CSV does not have the form of the host's sample.
    """
    config = settings.config.competition
    if not host.knows_answers(config):
        raise DataError(
            texts.ANSWERS_AT_HOST.format(competition=config.name), remedy=texts.ANSWERS_AT_HOST_REMEDY
        )
    test = load.samples(data, "test", home)
    space = test.space
    predicted = host_format.read(
        path, space, config.submission, host.sample(settings, data, home), config.encoding
    )
    kept = host.answers(settings, data)
    if not kept.is_file():
        raise DataError(
            texts.ANSWERS_GONE.format(path=kept), remedy=texts.ANSWERS_GONE_REMEDY.format(folder=kept.parent)
        )
    ids_N, truth, usage_N = host.read_answers(kept, Target.of(space))
    at_N = positions(ids_N, predicted.ids_N, path.name)
    truth = truths.known(truth, None, test.take(ids_N).beside)
    metric = metrics.get(config.metric)

    def score(usage: str) -> float:
        rows = np.flatnonzero(usage_N == usage)
        return metrics.score_answers(metric, truth[rows], predicted, at_N[rows], space.n_classes)

    return HostScore(path.stem, score("public"), score("private") if reveal else None)


def public_images(settings: Settings, data: Artifact) -> int | None:
    """Number of test images in the public part of local answers; None where only the host has answers."""
    if not host.knows_answers(settings.config.competition):
        return None
    kept = host.answers(settings, data)
    if not kept.is_file():
        return None
    return int((pd.read_csv(kept, dtype=str, keep_default_na=False)["usage"] == "public").sum())


def take_in(home: Path, settings: Settings, data: Artifact, path: Path) -> str:
    """The name of a CSV in the ledger; one that was not made here is checked, copied and added.

    Raises:
        DataError: there is no such file, its name cannot be kept, it is not in the host's format, or another
            one has its name.
    """
    config = settings.config.competition
    path = submission.original(home, path)
    fault = paths.fault_of_submission(path.stem)
    if fault:
        raise DataError(texts.BAD_NAME.format(file=path, fault=fault), remedy=texts.BAD_NAME_REMEDY)
    kept = paths.below(home / "submissions", f"{path.stem}.csv")
    known = next((e for e in ledger.read(ledger_of(home)) if e.name == path.stem), None)
    if known is not None and known.competition != config.name:
        raise DataError(
            texts.OTHER_COMPETITION.format(name=path.stem, theirs=known.competition, ours=config.name),
            remedy=texts.OTHER_COMPETITION_REMEDY.format(theirs=known.competition),
        )
    if path.is_file() and kept.is_file() and path.read_bytes() != kept.read_bytes():
        raise DataError(texts.NAME_TAKEN.format(path=path, other=kept), remedy=texts.NAME_TAKEN_REMEDY)
    if known is not None:
        return path.stem
    if not path.is_file():
        raise DataError(texts.NO_FILE.format(file=path), remedy=texts.NO_FILE_REMEDY)
    space = load.samples(data, "test", home).space
    host_format.read(path, space, config.submission, host.sample(settings, data, home), config.encoding)
    if not kept.exists():
        write_atomic(kept, path.read_bytes())
    now = datetime.now(UTC).isoformat(timespec="seconds")
    metric = metrics.get(config.metric).name
    ledger.add(ledger_of(home), ledger.Entry(path.stem, now, "outside", config.name, metric=metric))
    return path.stem


def record(home: Path, tracker: Tracker, config: CompetitionSettings, score: HostScore) -> ledger.Entry:
    """Write a score into the ledger and into the MLflow run of the submission.

    Raises:
        DataError: the ledger's entry has another metric.
    """
    path = ledger_of(home)
    known = next(e for e in ledger.read(path) if e.name == score.name)
    metric = metrics.get(config.metric).name
    if known.metric and known.metric != metric:
        raise DataError(
            texts.OTHER_METRIC.format(name=score.name, theirs=known.metric, ours=metric),
            remedy=texts.OTHER_METRIC_REMEDY.format(theirs=known.metric),
        )
    ledger.record_score(path, score.name, score.public, score.private, looked=score.private is not None)
    entry = next(e for e in ledger.read(path) if e.name == score.name)
    if entry.key and entry.public is not None:
        figures = {"lb_public": entry.public, board.PUBLIC: entry.public}
        if entry.oof is not None:
            figures["cv_lb_gap"] = entry.public - entry.oof
        stage = {"blend": "ensemble", "refit": "refit"}.get(entry.kind, "infer")
        if not tracker.update(key=entry.key, stage=stage, metrics=figures):
            tracker.update(key=entry.key, stage="decide", metrics=figures)
    return entry


def described(entry: ledger.Entry, reveal: bool) -> str:
    """One line for the terminal, with the private score if `reveal`."""
    oof = texts.NO_OOF_SCORE if entry.oof is None else texts.OOF.format(oof=entry.oof)
    if entry.kind == "refit":
        oof = texts.NO_OOF_NOTE.format(note=recalled(entry.note, REFIT_SCORE))
    public = texts.NO_PUBLIC if entry.public is None else texts.PUBLIC.format(public=entry.public)
    parts = [f"{entry.name:<40}", oof, public]
    if entry.private is not None and reveal:
        parts.append(texts.PRIVATE.format(private=entry.private, looks=entry.looks))
    elif entry.looks:
        parts.append(texts.PRIVATE_HIDDEN.format(looks=entry.looks))
    return joined("  ", parts)
