"""`make folds` and `make new`: the fold plan with its checks, and a configuration from files.

    make new NAME=pets TRAIN=pets/train.csv IMAGES=pets/images SAMPLE=pets/sample_submission.csv
    make new NAME=trash IMAGES=photos            a folder per class

Owns what the commands print, and writing configs/competition/<name>.yaml, never over an existing one, and
trying it. Does not own the plan (`data/folds.py`) nor the guesses (`data/new/propose.py`).
"""

from __future__ import annotations

import argparse
import os
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.core.errors import DataError, StorageError, nearest
from pipeline.core.language import joined
from pipeline.core.samples import Kind, Samples
from pipeline.core.tables import Table, read_table
from pipeline.core.wording import worded
from pipeline.data import competition, host_format, load, texts
from pipeline.data.host import competition_root
from pipeline.data.load import fold_checks, health
from pipeline.data.new.propose import propose
from pipeline.data.new.request import NewRequest
from pipeline.data.readers.reading import Reading
from pipeline.data.team_tables import refuse, write_folds
from pipeline.engine import next_step
from pipeline.engine.need import Need
from pipeline.engine.session import Session
from pipeline.pages import text_table
from pipeline.pages.command_words import shown
from pipeline.pages.report import plural
from pipeline.record import paths
from pipeline.settings import current, read
from pipeline.settings.load import Settings
from pipeline.settings.load import load as load_settings
from pipeline.settings.submission import FORMATS

Options = argparse.Namespace
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")
RARE, SHOWN_RARE = 5, 20


@dataclass(frozen=True)
class Written:
    """The new file, and the lines to print: guesses, reasons, and the content of the files.

    `question`: whether the last lines ask something that has to be answered before anything can run.
    """

    path: Path
    lines: tuple[str, ...]
    question: bool = False


def folds(session: Session, options: Options) -> None:
    """The fold plan and its checks; a plan with faults is an error."""
    if options.out:
        refuse(Path(options.out))
    session.check(Need("folds", session.settings))
    artifact = session.need("folds")
    table = health(artifact)
    table = table[table.columns[:5]].rename(columns=lambda name: name.replace("_", " "))
    for line in text_table.of_frame(table):
        session.say(line)
    session.show(artifact)
    checks = fold_checks(artifact)
    faults = [text for text in checks if text.startswith("fault")]
    if faults:
        raise DataError(texts.FOLDS_FAULTY.format(faults=plural(len(faults), "fault")), checks)
    for text in checks or (texts.FOLDS_SOUND,):
        session.say(text)
    if options.out:
        train = session.store.at(artifact.inputs["data"])
        assert train is not None, "the folds were made of it"
        samples = load.samples(train, "train", session.home)
        session.say(write_folds(Path(options.out), load.plan(artifact), samples))


def new(session: Session, options: Options) -> None:
    """Write the configuration of a competition from its files."""
    if not options.images.strip():
        raise DataError(texts.NEW_NO_IMAGES, remedy=texts.NEW_NO_IMAGES_REMEDY)
    train, test, sample = (Path(p) if p else None for p in (options.train, options.test, options.sample))
    if test is not None and sample is not None and test.resolve() == sample.resolve():
        test = None  # the sample lists the test images
    target = _target(options.target)
    images = Path(options.image_table) if options.image_table else None
    given = options.label or None, options.encoding or None, target, images, options.group.strip()
    request = NewRequest(options.name, Path(options.images), train, test, sample, session.home, *given)
    session.say(texts.COMPETITION_NEW.format(name=options.name))
    folder = session.settings.folder
    known = read.names(folder, "competition")
    try:
        written = create(request, session.settings)
    finally:
        # Also where the files have faults: the configuration is written, and the next command is about it.
        if options.name not in known and options.name in read.names(folder, "competition"):
            current.choose(session.home, options.name, folder)
            session.say(texts.NOW_CURRENT.format(name=options.name))
    session.say(texts.NEW_WROTE.format(path=shown(written.path)))
    for line in written.lines:
        session.say(line)
    if not written.question:
        next_step.say(session, "eda", words=[f"competition={options.name}"])


def _target(written: str) -> Kind | None:
    """The kind that TARGET names."""
    if not written:
        return None
    known = next((kind for kind in FORMATS if kind == written.strip()), None)
    if known is None:
        hint = nearest(written, FORMATS) or texts.ONE_OF.format(known=", ".join(FORMATS))
        raise DataError(texts.NO_KIND.format(target=written), remedy=hint)
    return known


def use(session: Session, options: Options) -> None:
    """Make a competition the current one, or list those that there are."""
    folder, home = session.settings.folder, session.home
    now, name = current.of(home), options.name.strip()
    if not name:
        known = read.names(folder, "competition")
        session.say(texts.USE_CURRENT.format(name=now) if now else texts.USE_NONE)
        for one in known:
            session.say(texts.USE_KNOWN.format(mark="*" if one == now else " ", name=one))
        next_step.say(session, "use NAME=…", words=())
        return
    # Refuse a file that no command could read before the choice is changed.
    title = load_settings([f"competition={name}"], folder).config.competition.title
    current.choose(home, name, folder)
    session.say(texts.COMPETITION_CHOSEN.format(name=name, title=f": {title}" if title else ""))
    next_step.say(session, "eda", words=[f"competition={name}"])


def create(request: NewRequest, settings: Settings) -> Written:
    """Guess, write the configuration, and read the competition with it.

    Raises:
        DataError: the name is invalid or exists, files are missing, nothing looks like images or labels; or
            the files have faults, in which case the configuration is written anyway.
    """
    path = settings.folder / "competition" / f"{request.name}.yaml"
    if not NAME.fullmatch(request.name) or paths.fault_of(request.name):
        allowed = texts.NEW_NAME.format(longest=paths.LONGEST_NAME)
        fault = texts.NEW_NAME_FAULT.format(name=request.name, fault=allowed)
        raise DataError(fault, remedy=texts.NEW_NAME_REMEDY)
    taken = DataError(texts.NEW_TAKEN.format(path=path), remedy=texts.NEW_TAKEN_REMEDY)
    if read.found(settings.folder, f"competition/{path.name}").exists():
        raise taken
    proposal = propose(request)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # "x" fails if another process wrote the file meanwhile.
        with path.open("x", encoding="utf-8") as file:
            file.write(proposal.yaml())
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        raise taken from None
    except OSError as error:
        raise StorageError(texts.NEW_NOT_WRITTEN.format(path=path, why=error.strerror)) from error
    lines = (*proposal.summary(), *_tried(request, settings, path, proposal.trial))
    if proposal.question:
        asked = texts.ASK.format(question=proposal.question), texts.ASK_IN.format(path=path)
        lines = (*lines, *asked, *proposal.answers())
    return Written(path, lines, bool(proposal.question))


def _tried(request: NewRequest, settings: Settings, path: Path, trial: tuple[str, ...]) -> list[str]:
    """Read the competition with the new file; returns a few lines about its content.

    `trial` are overrides that stand in for an open question.
    """
    words = [f"competition={request.name}", f"runtime.home={request.home}", *trial]
    made = load_settings(words, settings.folder)
    try:
        reading = Reading.of(made.config.images, made.config.competition.encoding)
        data = competition.load(made.config.competition, competition_root(made), reading=reading)
    except DataError as error:
        again = texts.TRY_AGAIN.format(path=path)
        remedy = joined("; ", [error.remedy, again]) if error.remedy else again
        raise DataError(error.headline, error.faults, remedy) from error
    written = [] if trial else _proven(made, data)
    return [*_counted(data), *data.notes, *written]


def _counted(data: competition.Data) -> list[str]:
    """What the files hold, and classes or labels of few images."""
    train, space = data.train, data.train.space
    known = {"images": len(train), "groups": len(set(train.groups_N.tolist())), "test": len(data.test)}
    if space.kind == "exclusive":
        count_C, rare = np.bincount(train.labels, minlength=space.n_classes), texts.RARE
        lines = [worded(texts.READ, classes=space.n_classes, **known)]
    else:
        lines = [worded(texts.READ_OTHER, what=_content(train), **known)]
        count_C, rare = (
            (np.nan_to_num(np.asarray(train.truth, dtype=np.float64)) >= 0.5).sum(axis=0),
            texts.RARE_LABELS,
        )
        if space.kind != "labels":
            return lines
    few = [f"{space.classes[c]} ({count_C[c]})" for c in np.flatnonzero(count_C < RARE)]
    shown = ", ".join(few[:SHOWN_RARE])
    shown += texts.MORE_VALUES.format(n=len(few)) if len(few) > SHOWN_RARE else ""
    return [*lines, rare.format(limit=RARE, classes=shown)] if few else lines


def _content(train: Samples) -> str:
    """What is true of the images, in words: labels, values or shares."""
    y_NK, space = np.asarray(train.truth, dtype=np.float64), train.space
    if space.kind == "labels":
        each = float((np.nan_to_num(y_NK) >= 0.5).sum(axis=1).mean())
        return worded(texts.READ_LABELS, labels=len(space.attributes), each=each)
    if space.kind == "values":
        low_K, high_K = np.nanmin(y_NK, axis=0), np.nanmax(y_NK, axis=0)
        ranges = [f"{c}: {a:.4g} … {b:.4g}" for c, a, b in zip(space.classes, low_K, high_K, strict=True)]
        return worded(texts.READ_VALUES, labels=space.n_classes, ranges=", ".join(ranges[:RARE]))
    return worded(texts.READ_SHARES, labels=space.n_classes)


def _proven(made: Settings, data: competition.Data) -> list[str]:
    """Hold the resolved form against the host's sample; returns what a submission will hold, in words.

    Raises:
        DataError: the sample asks for other images or columns than the settings and the files give.
    """
    config = made.config.competition
    if config.sample_submission is None:
        text = host_format.sample_of(data.test.ids_N.tolist()[:1], data.train.space, config.submission)
        columns = text.decode().splitlines()[0].split(",")
        return [
            host_format.described(
                Table("sample", tuple(columns), (), ()), data.train.space, config.submission
            )
        ]
    sample = competition_root(made) / config.sample_submission
    host_format.fits(sample, data.test.ids_N, data.train.space, config.submission, config.encoding)
    return [
        host_format.described(
            read_table(sample, encoding=config.encoding), data.train.space, config.submission
        )
    ]
