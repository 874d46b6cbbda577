"""Teachers: which finished models may teach a fold, and what a fold may learn from them.

Owns the inputs of a fold that come from teachers, and the rule that no teacher has seen the labels of the
fold's validation part. Does not own the predictions of teachers (`train/teacher_predictions.py`) nor what a
student makes of them (`train/teacher_labels.py`). It imports no torch, as inputs are named before anything
is built.

A student of plain out-of-fold labels learns its own validation labels: the labels of fold k shaped every
model that predicted the images of the other folds (measured: OOF .74 instead of .35). Hence:

- a teacher is a model of the same fold of the same fold plan, checked by the ids that it has seen;
- pseudo-labels are given to unlabelled images only; soft labels of labelled images (distillation) come from
  models that saw neither the group of the image nor anything of fold k (inner folds of its training part),
  or at least from models of fold k;
- an unlabelled image whose group is in the validation part of fold k, or in its inner split, is not adopted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from pipeline.core.errors import ConfigError, DataError
from pipeline.core.language import _
from pipeline.core.predictions import Probabilities
from pipeline.core.samples import Samples, Strings, strings
from pipeline.data import load
from pipeline.engine.need import Inputs, Need, Params
from pipeline.engine.stage import Ask, Job
from pipeline.record import files
from pipeline.record.store import Artifact
from pipeline.settings.load import Settings

TEACHER = "teacher:"
UNLABELLED = "unlabelled"
OWN_PART = "own"
TEST = "test"
# Files of a teacher: its probabilities, and the ids of the labelled images that it has seen.
PREDICTIONS = "said.npz"
SEEN = "seen.npy"


def teacher(ask: Ask, settings: Settings, name: str) -> Settings:
    """The settings of an experiment as a teacher: without teachers of its own.

    Raises:
        ConfigError: its data or folds differ from those of its student.
    """

    def find() -> Settings:
        own = settings if name == settings.experiment else settings.member(name)
        own = own.with_values({"train.pseudo": None, "train.distill": None})
        differ = [s for s in ("data", "folds") if ask.key(Need(s, own)) != ask.key(Need(s, settings))]
        if differ:
            raise ConfigError(
                _("teacher {name} has other {differ} than its student {experiment}").format(
                    name=name, differ=" and ".join(differ), experiment=settings.experiment
                ),
                remedy=_("choose a teacher with the same data and the same fold plan"),
            )
        return own

    return ask.once(f"teacher {name}", settings, find)


def inputs(ask: Ask, settings: Settings, params: Params) -> Inputs:
    """Predictions of the teachers of a fold, for unlabelled images or for its own training part."""
    pseudo, distill = settings.config.train.pseudo, settings.config.train.distill
    if distill is not None:
        by = {name: teacher(ask, settings, name) for name in distill.teachers or [settings.experiment]}
        stage, how = ("nested", {"inner": distill.inner}) if distill.inner else ("teach", {"split": OWN_PART})
        return {f"{TEACHER}{n}:{OWN_PART}": Need(stage, s, {**params, **how}) for n, s in by.items()}
    if pseudo is None:
        return {}
    splits = [UNLABELLED] if any(not e.labelled for e in settings.config.competition.extra) else []
    splits += ["test"] if pseudo.test_images else []
    predictions = {}
    for name in pseudo.teachers or [settings.experiment]:
        teaches = teacher(ask, settings, name)
        for split in splits:
            predictions[f"{TEACHER}{name}:{split}"] = Need("teach", teaches, {**params, "split": split})
    return predictions


def beside_training(ids: Strings) -> Strings:
    """Ids of test images that differ from those of training images, which may otherwise be equal."""
    return strings([f"{TEST}/{name}" for name in ids.tolist()])


def test_beside_training(samples: Samples) -> Samples:
    """Test images under ids of their own; their groups too, where the groups are the ids.

    Two tables that both count from 0 have equal ids by chance.
    """
    ids = beside_training(samples.ids_N)
    no_groups = np.array_equal(samples.ids_N, samples.groups_N)
    return replace(samples, ids_N=ids, groups_N=ids if no_groups else samples.groups_N)


def allowed(unlabelled: Samples, held_out: Strings) -> Samples:
    """The unlabelled images whose group is not held out: images of a group resemble each other."""
    return unlabelled.take(unlabelled.ids_N[~np.isin(unlabelled.groups_N, held_out)])


def own_part(job: Job) -> Samples:
    """The labelled images of a fold's training part, or all of them where no fold is named."""
    labelled = load.training(job.inputs["data"], job.home)
    if "fold" not in job.params:
        return labelled
    return labelled.take(load.plan(job.inputs["folds"]).splits[int(job.params["fold"])].train_ids)


def unlabelled(data: Artifact, home: Path, split: str) -> Samples:
    """The candidates for adoption of one split: `unlabelled`, or `test`."""
    samples = load.samples(data, split, home)
    return test_beside_training(samples) if split == TEST else samples


def write(folder: Path, predictions: Probabilities, seen: Strings) -> None:
    """Write the files of a teacher; `seen` are the labelled images that its model may have trained on."""
    files.write_probabilities(folder / PREDICTIONS, predictions)
    np.save(folder / SEEN, seen)


def refuse_seen(teachers: Sequence[Artifact], valid_ids: Strings, fold: int) -> None:
    """Reject teachers that have seen a label of this fold's validation part.

    Raises:
        DataError: naming the teacher and how many of the labels it has seen.
    """
    for teacher in teachers:
        seen = np.intersect1d(np.load(teacher.folder / SEEN), valid_ids)
        if len(seen):
            raise DataError(
                _(
                    "teacher {key} has seen {n} labels of the validation part of its student's fold {fold}"
                ).format(key=teacher.key, n=len(seen), fold=fold),
                [str(name) for name in seen],
                _("a teacher must be a model of the same fold of the same fold plan"),
            )
