"""FILE of the commands: a submission, packed where that is not done, the folder of a predictor, or a bundle.

Owns finding both. Does not own packing (`predict/packing.py`). Imports no torch until it packs.
"""

from __future__ import annotations

from pathlib import Path

from pipeline.core.errors import DataError, UserError
from pipeline.core.tables import read_table
from pipeline.core.wording import worded
from pipeline.engine import request
from pipeline.engine.session import Session
from pipeline.pages.command_words import shown
from pipeline.predict import bundle, texts
from pipeline.record import paths
from pipeline.submit import submission

# The folder of the home in which predictors lie.
PREDICTORS = "predictors"


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
        inside = Path(text) / bundle.PREDICTOR
        return inside if inside.is_dir() else Path(text)
    csv = csv_of(session, text, remedy)
    record = submission.read(csv)
    where = paths.below(session.home / PREDICTORS, str(record["name"]))
    batch = session.settings.config.runtime.infer_batch
    if _is_current(where, record, batch):
        session.say(texts.REUSED.format(folder=shown(where)))
        return where
    made = packing.pack(session.store, record, where, batch, Path.cwd(), _encoding(session, record))
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
    wanted = (folder.FORM, record["artifact"], record["csv_sha256"], batch)
    return (known.form, known.artifact, known.csv_sha256, known.batch) == wanted


def _encoding(session: Session, record: submission.Provenance) -> str | None:
    """The encoding of the host's sample; None where there is none, or it is not here."""
    try:
        settings = request.repeated(record["request"], session.settings)
    except UserError:
        return None
    config = settings.config.competition
    if config.sample_submission is None or config.root is None:
        return None
    sample = (session.home / config.root / config.sample_submission).resolve()
    return read_table(sample, encoding=config.encoding).encoding if sample.is_file() else config.encoding
