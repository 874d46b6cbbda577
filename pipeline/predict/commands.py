"""What the commands of `predict/` do: predict new images, and hand predictions to team mates.

    make predict FILE=submissions/pets-ensemble-3fa29b.csv IMAGES=new/photos OUT=new.csv
    make oof FILE=submissions/pets-ensemble-3fa29b.csv OUT=mine.csv
    make bundle FILE=submissions/pets-ensemble-3fa29b.csv LIMIT=9h
    make export FILE=submissions/pets-ensemble-3fa29b.csv FORMAT=onnx

Owns these commands. Does not own predicting (`predict/predictor.py`). Imports no torch until it predicts.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.core.errors import DataError, UserError
from pipeline.core.wording import worded
from pipeline.data import team_tables
from pipeline.engine.session import Session
from pipeline.pages.command_words import shown
from pipeline.predict import team_files, texts
from pipeline.record import paths
from pipeline.submit import submission

if TYPE_CHECKING:
    from pipeline.predict.predictor import Answers, Predictor

Options = argparse.Namespace
# The folder of the home in which predictors lie.
PREDICTORS = "predictors"
PREDICTIONS = "predictions.csv"


def csv_of(session: Session, text: str, remedy: str) -> Path:
    """The CSV of FILE, by its path or its name; only its provenance may be left.

    Raises:
        DataError: FILE is missing, or there is no such submission.
    """
    if not text.strip():
        raise DataError(texts.FILE_MISSING, remedy=remedy)
    stem = Path(text).name.removesuffix(".csv").removesuffix(".json")
    if not paths.fault_of(stem):
        for path in (Path(text).with_name(f"{stem}.csv"), session.home / "submissions" / f"{stem}.csv"):
            if path.is_file() or path.with_suffix(".json").is_file():
                return path
    raise DataError(texts.NO_SUBMISSION.format(file=text), remedy=texts.NO_SUBMISSION_REMEDY)


def folder_of(session: Session, text: str, remedy: str) -> Path:
    """The folder of the predictor of FILE: a submission, which is packed where that is not done, or a folder.

    Raises:
        DataError: there is no such submission, or it cannot be packed.
    """
    # Imported here: torch.
    from pipeline.predict import packing

    if text.strip() and Path(text).is_dir():
        return Path(text)
    csv = csv_of(session, text, remedy)
    record = submission.read(csv)
    where = paths.below(session.home / PREDICTORS, str(record["name"]))
    batch = session.settings.config.runtime.infer_batch
    if _is_current(where, record, batch):
        session.say(texts.REUSED.format(folder=shown(where)))
        return where
    made = packing.pack(session.store, record, where, batch, Path.cwd())
    figures = {"members": len(made.members), "models": made.models, "megabytes": made.megabytes}
    session.say(worded(texts.PACKED, folder=shown(where), **figures))
    return where


def _is_current(where: Path, record: submission.Provenance, batch: int) -> bool:
    """Whether a folder holds what would be packed now; a damaged one is made again."""
    from pipeline.predict import folder

    try:
        known = folder.read(where)
    except UserError:
        return False
    wanted = (record["artifact"], record["csv_sha256"], batch)
    return (known.artifact, known.csv_sha256, known.batch) == wanted


def predictor_of(session: Session, where: Path) -> Predictor:
    """The predictor of a folder, on the device and with the threads of the settings."""
    from pipeline.predict.predictor import Predictor

    runtime = session.settings.config.runtime
    batch = runtime.infer_batch if "infer_batch" in runtime.model_fields_set else None
    return Predictor.load(where, runtime.device, runtime.threads, batch)


def predict(session: Session, options: Options) -> None:
    """Predict the images of a folder or a table; those that do not decode are named in a file beside.

    Raises:
        DataError: there is no such submission, it cannot be packed, or there are no images.
    """
    from tqdm import tqdm

    if not options.images.strip():
        raise DataError(texts.IMAGES_MISSING, remedy=texts.IMAGES_REMEDY)
    where, out = Path(options.images), Path(options.out or PREDICTIONS)
    team_tables.refuse(out)
    if not where.exists():
        raise DataError(texts.NO_SUCH_PLACE.format(where=where), remedy=texts.IMAGES_REMEDY)
    predictor = predictor_of(session, folder_of(session, options.file, texts.FILE_REMEDY))
    given = predictor.pictures(where, root=options.root)
    session.say(texts.DEVICE.format(device=predictor.machine.device, batch=predictor.machine.batch))
    begin = time.perf_counter()
    with tqdm(total=len(given), desc="predict", unit="img", disable=not sys.stderr.isatty()) as bar:
        answers = predictor.predict(given, progress=lambda done, total: bar.update(done - bar.n))
    seconds = time.perf_counter() - begin
    for line in write(out, answers):
        session.say(line)
    figures = {"seconds": seconds, "ms": 1000 * seconds / max(len(given), 1)}
    session.say(worded(texts.WRITTEN, path=shown(out), images=len(answers.p), **figures))


def write(out: Path, answers: Answers) -> list[str]:
    """Write the predictions and, beside them, the images that do not decode; returns the lines to print."""
    team_files.write(out, answers.p)
    beside = out.with_name(f"{out.stem}-unreadable.csv")
    # Otherwise that of an earlier call would be read as being about these images.
    beside.unlink(missing_ok=True)
    lines = [texts.NOTE.format(text=note) for note in answers.notes]
    if answers.unreadable:
        team_files.write_unreadable(beside, answers.unreadable)
        lines.append(worded(texts.UNREADABLE, faults=len(answers.unreadable), path=shown(beside)))
    return lines


def oof(session: Session, options: Options) -> None:
    """Write the out-of-fold and the test probabilities of a submission, for a team mate with other tools.

    Raises:
        DataError: there is no such submission, its results are gone, or OUT has an unknown ending.
    """
    record = submission.read(csv_of(session, options.file, texts.OOF_REMEDY))
    out = Path(options.out or f"{record['name']}-oof.csv")
    team_tables.refuse(out)
    for line in team_files.export(session.store, record, out):
        session.say(line)


def bundle(session: Session, options: Options) -> None:
    """Make a folder with which a notebook predicts the hidden test set offline, and rehearse that.

    Raises:
        DataError: there is no such submission, it cannot be packed, the rehearsal fails, LIMIT is too short.
        StorageError: wheels cannot be fetched.
    """
    from pipeline.predict import bundling

    bundling.run(session, options)


def export(session: Session, options: Options) -> None:
    """Write a submission as one file for other programs, with a model card, after comparing it.

    Raises:
        ConfigError: an unknown format, a missing package, or a part that cannot be in a graph.
        ModelError: a network has an operator that the format lacks.
        DataError: there is no such submission, or the exported model predicts something else.
    """
    from pipeline.predict import exporting

    exporting.run(session, options)
