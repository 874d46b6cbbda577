"""What the host gives: the test set, how answers are to be written, and what scores them.

Owns guesses about the test table and the sample submission. Does not own the training table
(`propose.py`).
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from pipeline.core.errors import DataError
from pipeline.core.tables import Table, read_table
from pipeline.data.new import columns
from pipeline.data.new.proposal import Proposal
from pipeline.data.new.request import HOLDOUT, LabelledRows, NewRequest, relative
from pipeline.data.paths import nfc

STEEP = 1.5


def test_set(
    proposal: Proposal,
    request: NewRequest,
    root: Path,
    sample: Table | None,
    train: tuple[str, columns.Place] | None,
) -> None:
    """Where the test images are: a table, a folder, or held out of the training images."""
    folder = request.test if request.test is not None and request.test.is_dir() else None
    if folder is not None and sample is None:
        proposal.set("competition.test_table", None, "TEST is a folder: every image in it")
        proposal.set("competition.test_images", relative(folder, root))
        return
    path = request.sample if folder is not None else request.test or request.sample
    if path is None:
        proposal.set("competition.test_table", None)
        proposal.set("competition.holdout", HOLDOUT, "no TEST and no SAMPLE: make score knows the answers")
        return
    table = read_table(path)
    # Beside IMAGES, but never outside of what was given: another competition may have the same file names.
    beside = [p for p in (request.images.resolve().parent,) if p.is_relative_to(root)]
    starts = [*([folder] if folder else []), request.images, *beside, root]
    near = columns.folders_near(*starts, split="test")
    place = columns.place(table, near) if len(table) else None
    if place is None:
        raise DataError(
            f"{path.name}: no column leads to test images",
            columns.misses(table, near),
            f"they were looked for below {request.images} and {root}, with and without extension; add what "
            "is missing, or give TEST",
        )
    own = sample.columns[0] if sample and sample.columns[0] in table.columns else None
    named = columns.id_column(table, place.column, own)
    if named is None:
        raise DataError(f"{path.name}: no column has another value in each row, so none can be the id")
    why = f"{len(table):,} rows" if request.test == path else "no TEST table: the sample lists the images"
    proposal.set("competition.test_table", relative(path, root), why)
    proposal.set("competition.test_images", relative(place.folder, root), "the images are found there")
    if train is None or named[0] != train[0]:
        proposal.set("competition.test_id_column", *named)
    if train is None or place.column != train[1].column:
        proposal.set("competition.test_path_column", place.column, "leads to the test images")


def answers(
    proposal: Proposal, request: NewRequest, root: Path, sample: Table | None, rows: LabelledRows
) -> None:
    """Metric and submission format."""
    steep = _steepness(rows)
    if sample is None:
        proposal.set("competition.sample_submission", None, "none given: one is made from the test ids")
        proposal.set("competition.metric", *_metric("class_index", steep))
        proposal.set("competition.submission.format", "class_name", "readable; nobody asked for another")
        return
    assert request.sample is not None, "the sample was read from somewhere"
    proposal.set("competition.sample_submission", relative(request.sample, root), f"{len(sample):,} rows")
    known = set(rows.values) or {str(c) for c in range(max(rows.classes) + 1)}
    answers = [c for c in sample.columns[1:] if nfc(c) in known]
    if len(answers) == len(known) > 1:
        kind, label, why = "probabilities", "", "the sample has a column a class"
    else:
        label = _label_column(sample)
        shown = {nfc(v) for v in sample.column(label)}
        if rows.values and shown <= set(rows.values):
            kind, why = "class_name", "the sample's answers are values of the label"
        elif all(v.isdigit() and int(v) <= max(rows.classes) for v in shown):
            kind, why = "class_index", "the sample's answers are numbers from 0 to classes − 1"
        else:
            kind, why = "class_name", "the sample's answers say nothing; a guess"
    proposal.set("competition.metric", *_metric(kind, steep))
    proposal.set("competition.submission.id_column", sample.columns[0], "the sample's first column")
    if label:
        proposal.set("competition.submission.label_column", label, "the sample's answer column")
    proposal.set("competition.submission.format", kind, why)


def _label_column(sample: Table) -> str:
    if len(sample.columns) < 2:
        raise DataError(f"{sample.name}: one column only; a sample has an id and an answer")
    named = [c for name in columns.LABEL_NAMES for c in sample.columns[1:] if c.lower() == name]
    return named[0] if named else sample.columns[-1]


def _steepness(rows: LabelledRows) -> float:
    counts = Counter(rows.classes).values()
    return max(counts) / min(counts)


def _metric(kind: str, steep: float) -> tuple[str, str]:
    if kind == "probabilities":
        return "log_loss", "the sample asks for probabilities; a guess: read the host's rules"
    if steep >= STEEP:
        return "macro_f1", f"classes are imbalanced, {steep:.1f} : 1; a guess: read the host's rules"
    return "accuracy", f"classes are balanced, {steep:.1f} : 1; a guess: read the host's rules"
