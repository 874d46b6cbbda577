"""A person's answers about changed predictions: stored, checked, and turned into questions and an estimate.

Owns `submissions/verdicts/<competition>.csv`: every answer ever given, one row for each image. Does not own
the sample (`sample.py`), the form of answers (`answers.py`), the section (`page.py`) nor the estimate
(`estimate.py`).

An *answer* is a person's answer about one image; only a person *judges*. Answers about test images serve
the error report, and nothing else may read that folder: a model that learned from them would be scored on
its own teacher. tests/errors/test_answers_apart.py holds this.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np

from pipeline.core.errors import DataError
from pipeline.core.one_label import one_label
from pipeline.core.samples import LabelSpace, Samples, positions
from pipeline.core.tables import format_table, read_table
from pipeline.data import host, host_format, load
from pipeline.engine.stage import Job
from pipeline.errors import texts
from pipeline.errors.case import ReportCase
from pipeline.errors.diff.flips import Flips, Submission, find_flips
from pipeline.errors.judging import answers as form
from pipeline.errors.judging import estimate, page, sample
from pipeline.errors.judging.answers import Answer
from pipeline.errors.judging.estimate import ScoreEstimate
from pipeline.errors.judging.sample import Design
from pipeline.pages.command_words import make_with, shown
from pipeline.pages.report import ReportSection
from pipeline.record.files import sha256_text, write_atomic
from pipeline.record.store import Artifact
from pipeline.settings.load import Settings

FOLDER = PARAM = "verdicts"


def path_of(home: Path, settings: Settings, label: str = "") -> Path:
    """The file with the answers of a competition, or of one of its labels."""
    name = settings.config.competition.name
    if label:
        name += f"-{re.sub(r'[^0-9A-Za-z_-]', '_', label)}-{sha256_text(label)[:6]}"
    return home / "submissions" / FOLDER / f"{name}.csv"


def stored(path: Path, space: LabelSpace) -> tuple[Answer, ...]:
    """All stored answers; empty if there is no file.

    Raises:
        DataError: the file is damaged; every fault is named.
    """
    if not path.is_file():
        return ()
    answers, faults = form.parse(read_table(path, encoding="utf-8"), space)
    form.raise_if(str(path), faults, texts.REMEDY_STORED)
    return tuple(answers)


def take_in(
    settings: Settings,
    asked: tuple[str, ...],
    data: Artifact,
    home: Path,
    file: Path,
    pair: tuple[Path, Path],
    label: str = "",
) -> str:
    """Check an exported file against the two submissions, new and old, that it is about; store its answers.

    `asked` are the words of `make error-analysis`, for the command in an error. Returns one line for the
    terminal.

    Raises:
        DataError: the file has faults; all of them are named, and nothing is stored.
    """
    train = _train(data, home, label)
    new, old = (_read(settings, data, home, path, label) for path in pair)
    flips = find_flips(train.space, new, old)
    key = sample.pair_key(new, old)
    answers, faults = form.parse(read_table(file, encoding=settings.config.competition.encoding), train.space)

    def design_of(report: str) -> Design | None:
        asked = sample.asked_of(report, key)
        return None if asked is None else sample.plan(train.space, flips, key, asked)

    faults += form.against_design(answers, design_of, train.ids_N)
    if not answers and not faults:
        faults.append(texts.ONLY_HEADER)
    foreign = [a.report for a in answers if sample.asked_of(a.report, key) is None]
    if faults:
        remedy = _whose(settings, asked, data, home, file, foreign, label) or texts.REMEDY
        form.raise_if(str(file), faults, remedy)
    path = path_of(home, settings, label)
    everything = form.merged(stored(path, train.space), answers)
    write_atomic(path, format_table(form.columns(train.space), form.rows(everything, train.space)))
    controls = sum(a.control for a in answers)
    return texts.STORED.format(
        flips=len(answers) - controls,
        controls=controls,
        file=file.name,
        all=len(everything),
        path=shown(path),
    )


def _train(data: Artifact, home: Path, label: str) -> Samples:
    """The training images, or those of one label."""
    train = load.samples(data, "train", home)
    return one_label(train.space, label, "LABEL").samples(train) if label else train


def _read(settings: Settings, data: Artifact, home: Path, path: Path, label: str) -> Submission:
    space = load.samples(data, "train", home).space
    config = settings.config.competition
    sample = host.sample(settings, data, home)
    read = host_format.read(path, space, config.submission, sample, config.encoding)
    answers = one_label(space, label, "LABEL").classes_of(read.answers) if label else read.answers
    return Submission(path.stem, read.ids_N, answers)


def _whose(
    settings: Settings,
    asked: tuple[str, ...],
    data: Artifact,
    home: Path,
    file: Path,
    reports: list[str],
    label: str,
) -> str:
    """The remedy for a file about other submissions; with their names if both are in submissions/."""

    def again(a: str, b: str) -> str:
        command = f"make error-analysis{_of_label(label)} A={a} B={b} VERDICTS={shlex.quote(str(file))}"
        return make_with(command, asked)

    digests = dict.fromkeys(part for report in reports[:1] for part in report.split("-")[:2])
    if not digests:
        return ""
    paths: dict[str, Path] = {}
    for path in sorted((home / "submissions").glob("*.csv")):
        try:
            side = _read(settings, data, home, path, label)
        except DataError:
            continue  # the ledger, or a file of another competition
        paths[sample.pair_key(side, side).partition("-")[0]] = path
    known = [paths.get(digest) for digest in digests]
    if len(known) < 2 or None in known:
        return texts.NAME_THE_PAIR.format(command=again("…", "…"))
    a, b = (shlex.quote(shown(path)) for path in known if path)
    return texts.FILE_IS_ABOUT.format(command=again(a, b))


def judging(case: ReportCase, flips: Flips | None) -> tuple[ReportSection | None, ScoreEstimate | None]:
    """The section with the open questions, and the estimate from the answers so far; neither without flips.

    The params of the job name the stored answers, if there are any; there is no estimate if no flip of this
    pair was judged.
    """
    if case.old is None or flips is None or not len(flips.images):
        return None, None
    job, train, settings = case.job, case.train, case.job.settings.config.report
    name = job.params.get(PARAM)
    answers = stored(job.home / str(name), train.space) if name else ()
    key = sample.pair_key(case.new.prediction, case.old.prediction)
    design = sample.plan(train.space, flips, key, settings.judge)
    judged_controls = frozenset(a.id for a in answers if a.control)
    oof = (case.new.oof, case.old.oof)
    controls = sample.controls(design, train, oof, settings.controls, judged_controls)
    asked = page.questions(design, controls, frozenset(a.id for a in answers if not a.control))
    section = page.section(asked, design, train.space, case.image, settings, _command(job))
    return section, _estimate(case, answers, flips, key)


def _estimate(case: ReportCase, answers: tuple[Answer, ...], flips: Flips, key: str) -> ScoreEstimate | None:
    """The score difference; None if no flip of this pair was judged, or the metric lacks probabilities."""
    assert case.old is not None, "one submission alone has no flips"
    job, train, new, old = case.job, case.train, case.new.prediction, case.old.prediction
    of_pair = [asked for a in answers if (asked := sample.asked_of(a.report, key)) is not None]
    changed = frozenset(flips.images["id"].astype(str))
    if not any(not a.control and a.id in changed for a in answers):
        return None
    config = job.settings.config
    metric = case.metric
    if metric.on_samples is not None:  # test images do not have the columns that it reads
        return None
    if metric.needs == "probabilities" and (new.probabilities is None or old.probabilities is None):
        return None
    asked = max(of_pair, default=config.report.judge)
    design = sample.plan(train.space, flips, key, asked)
    test = load.samples(job.inputs["data"], "test", job.home).take(new.ids_N)
    p_new, p_old = (
        None
        if side.probabilities is None
        else side.probabilities.with_classes(train.space.classes).take(new.ids_N).p_NC
        for side in (new, old)
    )
    pair = estimate.SubmissionPair(
        new.labels_N,
        old.labels_N[positions(new.ids_N, old.ids_N, old.name)],
        sample.flips_of(new.ids_N, design),
        test.groups_N,
        p_new,
        p_old,
    )
    agreed = sample.agreed_out_of_fold(train, (case.new.oof, case.old.oof))
    images = _judged_images(answers, train, new, key)
    statistics = config.statistics
    return estimate.estimate(metric, train.space, pair, images, agreed, statistics.draws, statistics.seed)


def _judged_images(
    answers: tuple[Answer, ...], train: Samples, new: Submission, key: str
) -> estimate.JudgedImages:
    """The answers as arrays; images that are no longer in the competition are left out."""
    place = {str(name): k for k, name in enumerate(new.ids_N.tolist())}
    truths = dict(zip(train.ids_N.tolist(), train.labels.tolist(), strict=True))
    of_test = [a for a in answers if not a.control and a.id in place]
    of_train = [a for a in answers if a.control and a.id in truths]
    n = len(train.space.attributes)
    truth = train.space.codes_CA[[truths[a.id] for a in of_train]] if of_train else np.zeros((0, n), np.int64)
    return estimate.JudgedImages(
        at_J=np.array([place[a.id] for a in of_test], dtype=np.int64),
        codes_JA=form.code_table(of_test, n),
        drawn_J=np.array([sample.asked_of(a.report, key) is not None for a in of_test], dtype=bool),
        control_truth_NA=truth,
        control_answer_NA=form.code_table(of_train, n),
    )


def _of_label(label: str) -> str:
    """The part of a command that names a label."""
    return f" LABEL={shlex.quote(label)}" if label else ""


def _command(job: Job) -> str:
    """The command that turns the exported file into an estimate."""
    sides = [shlex.quote(shown(job.home / str(job.params[name]))) for name in ("a", "b")]
    label = _of_label(str(job.params.get("label", "")))
    command = f"make error-analysis{label} A={sides[0]} B={sides[1]} VERDICTS=verdicts.csv"
    return make_with(command, job.words["error-analysis"])
