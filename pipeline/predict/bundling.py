"""The order of `make bundle`: pack, build the folder, rehearse on a copy of the test set, say what to expect.

Owns this order, the folder that stands for the host's, and the lines. Does not own the folder
(`predict/bundle.py`) nor the dry run (`predict/rehearsal.py`).
"""

from __future__ import annotations

import argparse
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path

from pipeline.core.errors import ConfigError, DataError
from pipeline.core.predictions import Prediction
from pipeline.core.tables import format_table, read_table
from pipeline.core.wording import duration, worded
from pipeline.data import host as hosts
from pipeline.data import host_format, load
from pipeline.engine import request
from pipeline.engine.next_step import NEXT
from pipeline.engine.session import Session
from pipeline.pages.command_words import shown, spoken
from pipeline.predict import bundle, finding, folder, oldest, packing, rehearsal, texts
from pipeline.predict.hidden import seconds_of
from pipeline.predict.notebook import Places
from pipeline.predict.oldest import Host
from pipeline.predict.rehearsal import MARGIN, Rehearsed
from pipeline.record import files, paths
from pipeline.record.store import Artifact
from pipeline.settings.load import Settings
from pipeline.submit import reproduce, submission

Options = argparse.Namespace
# The folder of the home in which bundles lie, and that of rehearsals.
BUNDLES, WORK = "bundles", Path("work") / "rehearsal"
# Rows of the sample that a rehearsal predicts: enough to measure, and no more.
MOST_ROWS = 512
SAMPLE, LIKE = "sample_submission.csv", 0.999
MOST_DP = 1e-3


@dataclass(frozen=True)
class Stage:
    """The folder that stands for the host's, and how many images the host has."""

    competition: Path
    images: int
    whole: bool


def run(session: Session, options: Options) -> None:
    """See `commands.bundle`."""
    limit = options.limit or "9h"
    seconds = seconds_of(limit)
    csv = finding.csv_of(session, options.file, texts.BUNDLE_REMEDY)
    record = submission.read(csv)
    settings = request.repeated(record["request"], session.settings)
    places = places_of(settings)
    python = bundle.checked_python(options.python or bundle.PYTHON)
    host = _oldest(python) if options.oldest else None
    where = finding.folder_of(session, options.file, texts.BUNDLE_REMEDY)
    wheels = bundle.wheels_of(options.wheels, folder.read(where, whole=False).trees is not None)
    name = str(record["name"])
    out = Path(options.out) if options.out else paths.below(session.home / BUNDLES, name)
    order = bundle.Order(where, limit, wheels, python, places)
    bundle.make(order, out)
    count = len(list((out / bundle.WHEEL_FOLDER).glob("*.whl")))
    figures = {"megabytes": bundle.size_of(out) / 1e6, "wheels": count}
    session.say(worded(texts.BUNDLE_MADE, folder=shown(out), **figures))

    work = paths.below(session.home / WORK, name)
    shutil.rmtree(work, ignore_errors=True)
    data = submission.input_of(_root(session, record), "data", session.store)
    sample = hosts.sample(settings, data, session.home)
    stage = staged(settings, places, sample, work / "input", Path(options.test) if options.test else None)
    hidden = options.hidden or stage.images
    found = rehearsal.rehearse(out, stage.competition, work / "output", limit)
    compared = _compared(session, settings, record, found, stage, csv)
    lines = [*_measured(found), *compared, *_expected(found, hidden, limit)]
    if host is not None:
        again = rehearsal.rehearse(out, stage.competition, work / "oldest", limit, host)
        lines.append(texts.OLDEST_REHEARSED.format(host=host.name))
        lines += [*_measured(again), *_compared(session, settings, record, again, stage, csv)]
    for line in lines:
        session.say(line)
    measured = "\n".join(f"- {line}" for line in lines)
    (out / "README.md").write_text(texts.BUNDLE_README.format(name=name, measured=measured), encoding="utf-8")
    if found.unanswered or found.shortest(hidden) > seconds:
        took = duration(found.shortest(hidden))
        headline = texts.LIMIT_TOO_SHORT.format(limit=limit, took=took, hidden=hidden)
        raise DataError(headline, remedy=texts.LIMIT_REMEDY)
    session.say(NEXT.format(command=spoken(f"make submit FILE={shlex.quote(shown(out))} DRY=1")))


def _oldest(python: str) -> Host:
    """The environment with the oldest libraries.

    Raises:
        ConfigError: the wheels of the bundle are for another Python.
        StorageError: it cannot be made.
    """
    if python != oldest.NEEDS["python"]:
        headline = texts.OLDEST_OTHER_PYTHON.format(python=python, oldest=oldest.NEEDS["python"])
        raise ConfigError(headline, remedy=texts.OLDEST_OTHER_PYTHON_REMEDY)
    return oldest.host()


def _root(session: Session, record: submission.Provenance) -> Artifact:
    found = session.store.at(record["artifact"])
    if found is None:
        raise packing.gone(record, [record["artifact"]])
    return found


def places_of(settings: Settings) -> Places:
    """Where the host has its files, as the competition's settings say."""
    config = settings.config.competition
    sample, images = config.sample_submission or SAMPLE, config.test_images
    return Places(config.submission.kaggle or "", sample, images, config.test_table or "")


def staged(settings: Settings, places: Places, sample: Path, where: Path, test: Path | None) -> Stage:
    """A folder like the host's: a part of the sample, the table, and links to the images.

    Raises:
        DataError: what the host shows a notebook is not there.
    """
    root = test or hosts.competition_root(settings)
    if test is not None:
        sample = test / places.sample
    wanted = [root / places.images, *([root / places.table] if places.table else []), sample]
    missing = [str(path) for path in wanted if not path.exists()]
    if missing:
        remedy = texts.NO_TEST_SET_REMEDY.format(sample=places.sample, images=places.images)
        raise DataError(texts.NO_TEST_SET.format(folder=root), missing, remedy)
    read = read_table(sample, encoding=settings.config.competition.encoding)
    form = settings.config.competition.submission
    rows = read.rows if form.long else read.rows[:MOST_ROWS]
    files.write_atomic(where / places.sample, format_table(read.columns, rows, read.delimiter))
    for place in (places.images, places.table):
        target = where / place
        if place and not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to((root / place).resolve())
    return Stage(where, len(read.rows), len(rows) == len(read.rows) and test is None)


def _measured(found: Rehearsed) -> list[str]:
    how = texts.WITH_NAMESPACE if found.isolated else texts.WITH_GUARD
    took, ms = duration(found.seconds), 1000 * found.per_image
    return [worded(texts.REHEARSED, images=found.images, took=took, how=how, ms=ms), *found.dropped]


def _compared(
    session: Session,
    settings: Settings,
    record: submission.Provenance,
    found: Rehearsed,
    stage: Stage,
    csv: Path,
) -> list[str]:
    """How similar the answers are to those that were submitted; nothing for another test set.

    Raises:
        DataError: they are not the same answers.
    """
    if not stage.whole or found.dropped or found.unanswered:
        return []
    if files.sha256_file(found.csv) == record["csv_sha256"]:
        return [texts.SAME_ANSWERS]
    artifact = _root(session, record)
    p = load.test(artifact, "submitted")
    data = submission.input_of(artifact, "data", session.store)
    space = load.samples(data, "test", session.home).space
    config = settings.config.competition
    new = host_format.read(found.csv, space, config.submission, encoding=config.encoding)
    likeness = reproduce.likeness_of(Prediction.of(p), new)
    same = likeness.agreement is None or likeness.agreement >= LIKE
    near = likeness.max_dp is None or likeness.max_dp <= MOST_DP
    if not (same and near):
        headline = texts.OTHER_ANSWERS.format(bundle=csv.name, likeness=likeness)
        raise DataError(headline, remedy=texts.OTHER_ANSWERS_REMEDY)
    return [texts.LIKE_ANSWERS.format(likeness=likeness)]


def _expected(found: Rehearsed, hidden: int, limit: str) -> list[str]:
    took = found.expected(hidden)
    line = texts.EXPECTED.format(hidden=hidden, took=duration(took), margin=MARGIN - 1, limit=limit)
    return [line, *([texts.EXPECTED_DROPS] if took > seconds_of(limit) else [])]
