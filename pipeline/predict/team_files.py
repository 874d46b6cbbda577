"""Tables of predictions for people and for team mates: ids, answers, probabilities.

Owns the form of `predictions.csv` and of `make oof`. Does not own writing CSV and Parquet
(`data/team_tables.py`), nor reading the files of team mates (`ensemble/external.py`), which takes this form.

    id,fold,true,<column>,…     out of fold; `fold` is where the image was validated, `true` its label
    id,<column>,…               of the test set

Legend: N images, C columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.core.errors import DataError
from pipeline.core.predictions import Probabilities
from pipeline.core.tables import format_table
from pipeline.core.targets import EXCLUSIVE, LABELS, SHARES
from pipeline.core.wording import worded
from pipeline.data.team_tables import FOLD, folds_of, write_table
from pipeline.pages.command_words import shown
from pipeline.predict import texts
from pipeline.record.files import write_atomic

if TYPE_CHECKING:
    from pipeline.predict.pictures import Unreadable
    from pipeline.record.store import Artifact, Store
    from pipeline.submit.submission import Provenance

# Columns of ours; a class of the same name keeps its own.
ANSWER, TRUE = "label", "true"


def write(path: Path, p: Probabilities) -> None:
    """Predictions as `id`, the answer where there is one (`label`), and a column for each class or value."""
    columns: dict[str, Sequence[str]] = {"id": p.ids_N.tolist()}
    label = answered(p)
    if label is not None:
        columns[ANSWER] = label
    write_table(path, {**columns, **_numbers(p)}, p.classes)


def answered(p: Probabilities) -> list[str] | None:
    """The answer to each image: its class, or the labels that hold; None for values, and where a column has
    that name.
    """
    if ANSWER in p.classes:
        return None
    if p.kind in (EXCLUSIVE, SHARES):
        return [p.classes[c] for c in p.labels().tolist()]
    if p.kind != LABELS:
        return None
    held = [np.flatnonzero(row).tolist() for row in p.target.held(p.p_NC)]
    return ["|".join(p.classes[c] for c in row) for row in held]


def _numbers(p: Probabilities) -> dict[str, Sequence[str]]:
    return {name: [str(v) for v in p_N] for name, p_N in zip(p.classes, p.p_NC.T, strict=True)}


def write_unreadable(path: Path, unreadable: Sequence[Unreadable]) -> None:
    """The images that do not decode, and why."""
    rows = [(one.id, one.source, one.why) for one in unreadable]
    write_atomic(path, format_table(("id", "source", "why"), rows))


def export(store: Store, record: Provenance, out: Path) -> list[str]:
    """Write the out-of-fold and the test probabilities of a submission; returns the lines to print.

    The test probabilities lie beside: `mine.csv` → `mine-test.csv`.

    Raises:
        DataError: results are gone, or OUT has an unknown ending.
    """
    from pipeline.data import load

    root = _found(store, record, str(record["artifact"]))
    # A refit has no out-of-fold predictions of its own: those of its cross-validation stand for it.
    scored = root if root.has("oof.npz") else _found(store, record, root.inputs["twin"])
    data, folds = (_found(store, record, root.inputs[name]) for name in ("data", "folds"))
    samples, plan = load.samples(data, "train", store.home), load.plan(folds)
    oof, test = load.oof(scored, "oof"), load.test(root, "test")
    known, numbers = samples.take(oof.ids_N), (FOLD, *oof.classes)
    columns: dict[str, Sequence[str]] = {"id": oof.ids_N.tolist()}
    columns |= {FOLD: [str(k) for k in folds_of(plan, known)]} if FOLD not in oof.classes else {}
    if oof.kind == EXCLUSIVE and TRUE not in oof.classes:
        columns[TRUE] = [oof.classes[c] for c in known.labels.tolist()]
    write_table(out, {**columns, **_numbers(oof)}, numbers)
    beside = out.with_name(f"{out.stem}-test{out.suffix}")
    write_table(beside, {"id": test.ids_N.tolist(), **_numbers(test)}, numbers)
    word = f"file:{shown(beside)}+{shown(out)}"
    return [
        worded(texts.OOF_WRITTEN, path=shown(out), images=len(oof)),
        worded(texts.TEST_WRITTEN, path=shown(beside), images=len(test)),
        *([texts.OOF_OF_TWIN] if scored is not root else []),
        texts.OOF_MEMBER.format(word=word),
    ]


def _found(store: Store, record: Provenance, address: str) -> Artifact:
    found = store.at(address)
    if found is None:
        headline = worded(texts.GONE, name=record["name"], results=1)
        raise DataError(
            headline, [address], texts.GONE_REMEDY.format(file=f"submissions/{record['name']}.csv")
        )
    return found
