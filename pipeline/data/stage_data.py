"""`data`: the competition's tables, checked, as Samples; without images that do not decode, if asked.

Owns the stage only; reading and checking is `pipeline/data/competition.py`, leaving out is
`data/quarantine.py`.
"""

import csv
import shutil
from pathlib import Path

import numpy as np

from pipeline.data import competition, host_format, load, quarantine
from pipeline.data.competition import Answers
from pipeline.data.host import ANSWER_COLUMNS, ANSWERS, competition_root
from pipeline.data.load import UNLABELLED
from pipeline.engine.stage import Built, Job
from pipeline.record import files
from pipeline.record.store import MANIFEST, Artifact
from pipeline.settings.load import Settings


def build(job: Job) -> Built:
    """Write train.npz, test.npz, extra.npz if there are other sources, answers.csv of held-out images.

    Raises:
        DataError: with every fault of the tables and the missing images, or a host's sample that asks
            for other images than the test set has.
    """
    if "images" in job.inputs:
        return _without_faulty(job)
    config = job.settings.config.competition
    root = competition_root(job.settings)
    data = competition.load(config, root, job.settings.config.folds.column)
    splits = {"train": data.train, "test": data.test, load.EXTRA: data.extra, UNLABELLED: data.unlabelled}
    for name, samples in splits.items():
        if samples is not None:
            files.write_samples(job.draft / f"{name}.npz", samples, job.home)
    if data.answers is not None:
        _write_answers(job.draft / ANSWERS, data.answers)
    groups = len(set(data.train.groups_N.tolist()))
    sizes = {"train": len(data.train), "test": len(data.test), "groups": groups}
    if data.extra is not None:
        sizes["extra"] = len(data.extra)
    if data.unlabelled is not None:
        sizes[UNLABELLED] = len(data.unlabelled)
    if data.train.train_labels_N is not None:
        sizes["other_train_labels"] = int((data.train.train_labels_N != data.train.labels).sum())
    if data.train.soft_NC is not None:
        sizes["soft_targets"] = int((~np.isnan(data.train.soft_NC[:, 0])).sum())
    files.write_json(job.draft / "notes.json", list(data.notes))
    return Built(metrics={name: float(n) for name, n in sizes.items()}, lines=tuple(data.notes))


def verify(settings: Settings, data: Artifact, home: Path) -> None:
    """Raise DataError where the host's sample asks for other images or answers, before hours of training."""
    config = settings.config.competition
    if config.sample_submission is not None:
        sample = competition_root(settings) / config.sample_submission
        test = load.samples(data, "test", home)
        space = load.samples(data, "train", home).space
        host_format.fits(sample, test.ids_N, space, config.submission)


def _without_faulty(job: Job) -> Built:
    """What was read, less the training images that do not decode."""
    whole, lines = job.inputs["data"], []
    shutil.copytree(whole.folder, job.draft, dirs_exist_ok=True, ignore=shutil.ignore_patterns(MANIFEST))
    sizes = whole.metrics
    for split in load.splits(whole, job.home):
        kept, told = quarantine.without(split, job.inputs["images"])
        lines += told
        files.write_samples(job.draft / f"{split.split}.npz", kept, job.home)
        sizes[split.split] = float(len(kept))
        if split.split == "train":
            sizes["groups"] = float(len(set(kept.groups_N.tolist())))
    files.write_json(job.draft / "notes.json", [*whole.json("notes.json"), *lines])
    return Built(metrics=sizes, lines=tuple(lines))


def _write_answers(path: Path, answers: Answers) -> None:
    usage = ["public" if public else "private" for public in answers.public_N]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(ANSWER_COLUMNS)
        writer.writerows(zip(answers.ids_N.tolist(), answers.labels_N.tolist(), usage, strict=True))
