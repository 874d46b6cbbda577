"""What the commands of `predict/` do: predict new images, and hand predictions to team mates.

    make predict FILE=submissions/pets-ensemble-3fa29b.csv IMAGES=new/photos OUT=new.csv
    make oof FILE=submissions/pets-ensemble-3fa29b.csv OUT=mine.csv
    make bundle FILE=submissions/pets-ensemble-3fa29b.csv LIMIT=9h
    make submit FILE=bundles/pets-ensemble-3fa29b
    make export FILE=submissions/pets-ensemble-3fa29b.csv FORMAT=onnx

Owns these commands. Does not own predicting (`predict/predictor.py`). Imports no torch until it predicts.
"""

from __future__ import annotations

import argparse
import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.core.errors import DataError
from pipeline.core.terminal import bar_of
from pipeline.core.wording import worded
from pipeline.data import team_tables
from pipeline.engine import next_step
from pipeline.engine.session import Session
from pipeline.pages.command_words import shown
from pipeline.predict import finding, team_files, texts
from pipeline.submit import hand_in, submission

if TYPE_CHECKING:
    from pipeline.predict.predictor import Answers, Predictor

Options = argparse.Namespace
PREDICTIONS = "predictions.csv"


def predictor_of(session: Session, where: Path) -> Predictor:
    """The predictor of a folder, on the device and with the threads of the settings."""
    from pipeline.predict.predictor import Predictor

    runtime = session.settings.config.runtime
    batch = runtime.infer_batch if "infer_batch" in runtime.model_fields_set else None
    return Predictor.load(where, runtime.device, runtime.threads, batch)


def predict(session: Session, options: Options) -> None:
    """Predict the images of a folder or a table; those that do not decode are named in a file beside.

    Raises:
        DataError: there is no such submission, it cannot be packed, there are no images, none of them
            decodes, or a table lacks columns of metadata.
    """
    from pipeline.predict import pictures

    if not options.images.strip():
        raise DataError(texts.IMAGES_MISSING, remedy=texts.IMAGES_REMEDY)
    where, out = Path(options.images), Path(options.out or PREDICTIONS)
    team_tables.refuse(out)
    table, root = _places(options, where)
    predictor = predictor_of(session, finding.folder_of(session, options.file, texts.FILE_REMEDY))
    given = predictor.pictures(table, root=root)
    if options.table and (left := pictures.not_listed(where, given)):
        session.say(worded(texts.NOT_LISTED, images=left, table=table.name))
    for line in pictures.left_out(where) if where.is_dir() else []:
        session.say(texts.NOTE.format(text=line))
    session.say(texts.DEVICE.format(device=predictor.machine.device, batch=predictor.machine.batch))
    begin = time.perf_counter()
    with bar_of("predict", "img", total=len(given)) as bar:
        answers = predictor.predict(given, progress=lambda done, total: bar.update(done - bar.n))
    seconds = time.perf_counter() - begin
    for line in write(out, answers):
        session.say(line)
    if not len(answers.p):
        raise DataError(worded(texts.NONE_DECODES, images=len(given), place=where))
    figures = {"seconds": seconds, "ms": 1000 * seconds / max(len(given), 1)}
    session.say(worded(texts.WRITTEN, path=shown(out), images=len(answers.p), **figures))
    target = "export" if Path(options.file).is_dir() else "bundle"
    next_step.say(session, f"{target} FILE={shlex.quote(options.file)}", words=())


def _places(options: Options, where: Path) -> tuple[Path, str | None]:
    """The folder or table of the images, and where the files of a table lie.

    Raises:
        DataError: a place is missing, or two tables are given; all faults are named.
    """
    table = Path(options.table) if options.table else None
    named = [where, *([table] if table else []), *([Path(options.root)] if options.root else [])]
    missing = [str(place) for place in named if not place.exists()]
    if missing:
        raise DataError(texts.NO_SUCH_PLACE.format(where=missing[0]), missing[1:], remedy=texts.IMAGES_REMEDY)
    if table is None and not (options.root and where.is_dir()):
        return where, options.root
    if table is None or not where.is_dir() or options.root:
        raise DataError(texts.TWO_TABLES, remedy=texts.TWO_TABLES_REMEDY)
    return table, str(where)


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
    record = submission.read(finding.csv_of(session, options.file, texts.OOF_REMEDY))
    out = Path(options.out or f"{record['name']}-oof.csv")
    team_tables.refuse(out)
    for line in team_files.export(session.store, record, out):
        session.say(line)
    next_step.say(session, "leaderboard", words=())


def bundle(session: Session, options: Options) -> None:
    """Make a folder with which a notebook predicts the hidden test set offline, and rehearse that.

    Raises:
        DataError: there is no such submission, it cannot be packed, the rehearsal fails, LIMIT is too short.
        StorageError: wheels cannot be fetched.
    """
    from pipeline.predict import bundling

    bundling.run(session, options)


def submit(session: Session, options: Options) -> None:
    """Hand a CSV in to the host, or push a bundle with its notebook.

    Raises:
        DataError, ConfigError: see `submit/hand_in.py` and `predict/push.py`.
    """
    if options.file.strip() and Path(options.file).is_dir():
        from pipeline.predict import push

        push.run(session, options)
        return
    hand_in.run(session, options)


def export(session: Session, options: Options) -> None:
    """Write a submission as one file for other programs, with a model card, after comparing it.

    Raises:
        ConfigError: an unknown format, a missing package, or a part that cannot be in a graph.
        ModelError: a network has an operator that the format lacks.
        DataError: there is no such submission, or the exported model predicts something else.
    """
    from pipeline.predict import exporting

    exporting.run(session, options)


def weights(session: Session, options: Options) -> None:
    """Write pretrained weights as one file, for a machine without a network.

    Raises:
        DataError: MODEL is missing.
        ModelError: an unknown model or source, or no hub.
    """
    from pipeline.predict import weights_file

    if not options.model.strip():
        raise DataError(texts.MODEL_MISSING, remedy=texts.MODEL_REMEDY)
    out = Path(options.out or "weights")
    path, about = weights_file.write(options.model.strip(), options.source or weights_file.HUB, out)
    session.say(texts.WEIGHTS_WRITTEN.format(path=shown(path), megabytes=about["bytes"] / 1e6, **about))
    session.say(texts.WEIGHTS_NEXT.format(path=shown(path), model=about["model"]))
