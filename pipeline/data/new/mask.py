"""The mask competition's own tree of folders, recognised automatically.

Owns recognising it and its settings. Does not own reading it (`data/layouts.py`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.core.tables import read_table
from pipeline.data.layouts import MASK_PERSON, MASK_PHOTOS, MASK_TEST_ID
from pipeline.data.new import texts, training
from pipeline.data.new.proposal import Proposal
from pipeline.data.new.request import HOLDOUT, NewRequest, relative
from pipeline.data.paths import hidden


def mask_tree(request: NewRequest) -> Path | None:
    """The folder with train/train.csv and train/images of the mask competition, if these are its files."""
    for start in (request.images, request.images.parent, request.images.parent.parent):
        table, images = start / "train" / "train.csv", start / "train" / "images"
        if not (table.is_file() and images.is_dir()):
            continue
        if request.train is not None and request.train.resolve() != table.resolve():
            continue
        if not set(MASK_PERSON) <= set(read_table(table).columns):
            continue
        folders = (p for p in sorted(images.iterdir()) if p.is_dir() and not hidden(p.name))
        first = next(folders, None)
        stems = {p.stem for p in first.iterdir()} if first else set()
        if stems & MASK_PHOTOS.keys():
            return start
    return None


def mask(proposal: Proposal, request: NewRequest, tree: Path) -> None:
    """Set everything that the layout fixes, with the two attributes that are constant for a person."""
    table = read_table(tree / "train" / "train.csv")
    why = texts.MASK_TREE.format(columns=", ".join(MASK_PERSON))
    attributes: list[dict[str, Any]] = [
        {"name": "mask", "column": "mask", "values": ["mask", "incorrect", "normal"]},
        {"name": "gender", "column": "gender", "values": ["male", "female"]},
        {"name": "age", "column": "age", "values": ["<30", "30-59", ">=60"], "bins": [30.0, 60.0]},
    ]
    attributes[0]["names"] = ["worn", "wrongly", "none"]
    for attribute in attributes[1:]:
        attribute["constant_in_group"] = True
    evaluated = (tree / "eval" / "info.csv").is_file()
    settings: list[tuple[str, Any, str]] = [
        ("name", request.name, ""),
        ("title", request.name, ""),
        ("root", relative(tree, request.home), ""),
        ("layout", "mask", why),
        ("train_table", "train/train.csv", texts.MASK_PEOPLE.format(people=len(table))),
        ("train_images", "train/images", ""),
        ("test_table", "eval/info.csv" if evaluated else None, ""),
        ("test_images", "eval/images", ""),
        ("sample_submission", "eval/info.csv" if evaluated else None, ""),
        ("group_column", "person", texts.MASK_GROUP),
        ("attributes", attributes, texts.MASK_LABEL),
        ("metric", "macro_f1", texts.MASK_METRIC),
        ("submission.id_column", MASK_TEST_ID, ""),
        ("submission.label_column", "ans", ""),
        ("submission.format", "class_index", ""),
    ]
    if not evaluated:
        settings.insert(-6, ("holdout", HOLDOUT, texts.MASK_HOLDOUT))
    for path, value, reason in settings:
        proposal.set(f"competition.{path}", value, reason)
    training.folds(proposal, groups=len(set(table.column("path"))), largest=len(table))
    size = training.LARGEST_PX
    proposal.set("images.size", size, texts.MASK_SIZE)
    members = training.members(len(table) * len(MASK_PHOTOS), size)
    proposal.set("ensemble.members", members, texts.NO_DOWNLOAD)
    proposal.hints.append(texts.MASK_BINS_HINT)
