"""The files of the host: the test set, the format of answers, and the metric.

Owns guesses about the test table and the sample submission. Does not own the training table
(`data/new/propose.py`).
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from pipeline.core.errors import DataError
from pipeline.core.tables import Table
from pipeline.data import texts
from pipeline.data.new import columns, given
from pipeline.data.new.request import HOLDOUT, LabelledRows, NewRequest, Proposal, relative
from pipeline.data.paths import nfc

STEEP = 1.5


def test_set(
    proposal: Proposal,
    request: NewRequest,
    root: Path,
    sample: Table | None,
    train: tuple[str, columns.Place] | None,
) -> None:
    """Set the place of the test images: a table, a folder, or held out from the training images."""
    folder = request.test if request.test is not None and request.test.is_dir() else None
    if folder is not None and sample is None:
        proposal.set("competition.test_table", None, texts.TEST_FOLDER)
        proposal.set("competition.test_images", relative(folder, root))
        return
    path = request.sample if folder is not None else request.test or request.sample
    if path is None:
        proposal.set("competition.test_table", None)
        proposal.set("competition.holdout", HOLDOUT, texts.HELD_OUT_TEST)
        return
    # Beside IMAGES, but only inside the given folders: another competition may have the same file names.
    beside = [p for p in (request.images.resolve().parent,) if p.is_relative_to(root)]
    starts = [*([folder] if folder else []), request.images, *beside, root]
    near = columns.folders_near(*starts, split="test")
    table, header = given.read(path, near, request.encoding)
    if not header:
        written = next((line for line in proposal.lines if line.path == "competition.headerless"), None)
        listed = [*(written.value if written else []), relative(path, root)]
        proposal.set("competition.headerless", listed, texts.HEADERLESS)
    place = columns.place(table, near, train[1].folder if train else None) if len(table) else None
    if place is None:
        raise DataError(
            f"{path.name}: no column leads to test images",
            columns.misses(table, near, train[1].folder if train else None),
            f"the search covered {request.images} and {root}, with and without extension; add the missing "
            "files, or give TEST",
        )
    own = sample.columns[0] if sample and sample.columns[0] in table.columns else None
    named = columns.id_column(table, place.column, own)
    if named is None:
        raise DataError(f"{path.name}: no column has a different value in each row, so none can be the id")
    why = texts.ROWS.format(rows=len(table)) if request.test == path else texts.TEST_FROM_SAMPLE
    proposal.set("competition.test_table", relative(path, root), why)
    proposal.set("competition.test_images", relative(place.folder, root), texts.IMAGES_HERE)
    if train is None or named[0] != train[0]:
        proposal.set("competition.test_id_column", *named)
    if train is None or place.column != train[1].column:
        proposal.set("competition.test_path_column", place.column, texts.LEADS_TO_TEST_IMAGES)


def answers(
    proposal: Proposal, request: NewRequest, root: Path, sample: Table | None, rows: LabelledRows
) -> None:
    """Set the metric and the submission format."""
    counts = Counter(rows.classes).values()
    steep = max(counts) / min(counts)
    if sample is None:
        proposal.set("competition.sample_submission", None, texts.NO_SAMPLE)
        proposal.set("competition.metric", *_metric("class_index", steep))
        proposal.set("competition.submission.format", "class_name", texts.READABLE)
        return
    assert request.sample is not None, "the sample was read from somewhere"
    why = texts.ROWS.format(rows=len(sample))
    proposal.set("competition.sample_submission", relative(request.sample, root), why)
    known = set(rows.values) or {str(c) for c in range(max(rows.classes) + 1)}
    answers = [c for c in sample.columns[1:] if nfc(c) in known]
    if len(answers) == len(known) > 1:
        kind, label, why = "probabilities", "", texts.COLUMN_PER_CLASS
    else:
        label = _label_column(sample)
        shown = {nfc(v) for v in sample.column(label)}
        if rows.values and shown <= set(rows.values):
            kind, why = "class_name", texts.SAMPLE_VALUES
        elif all(v.isdigit() and int(v) <= max(rows.classes) for v in shown):
            kind, why = "class_index", texts.SAMPLE_NUMBERS
        else:
            kind, why = "class_name", texts.SAMPLE_UNCLEAR
    proposal.set("competition.metric", *_metric(kind, steep))
    proposal.set("competition.submission.id_column", sample.columns[0], texts.SAMPLE_FIRST)
    if label:
        proposal.set("competition.submission.label_column", label, texts.SAMPLE_ANSWER)
    proposal.set("competition.submission.format", kind, why)


def _label_column(sample: Table) -> str:
    if len(sample.columns) < 2:
        raise DataError(f"{sample.name}: it has only one column; a sample needs an id and an answer")
    named = [c for name in columns.LABEL_NAMES for c in sample.columns[1:] if c.lower() == name]
    return named[0] if named else sample.columns[-1]


def _metric(kind: str, steep: float) -> tuple[str, str]:
    if kind == "probabilities":
        return "log_loss", texts.METRIC_PROBABILITIES
    if steep >= STEEP:
        return "macro_f1", texts.METRIC_IMBALANCED.format(ratio=steep)
    return "accuracy", texts.METRIC_BALANCED.format(ratio=steep)
