"""`data`: the competition's tables, checked, as Samples; without images that do not decode, if asked.

Owns the stage only; reading and checking is `pipeline/data/competition.py`, leaving out is
`stages/quarantine.py`.
"""

import shutil

from pipeline.data import competition
from pipeline.record import files
from pipeline.record.store import MANIFEST
from pipeline.stages import load, quarantine
from pipeline.stages.context import Built, Job
from pipeline.stages.graph import competition_root


def build(job: Job) -> Built:
    """Write train.npz and test.npz.

    Raises:
        DataError: with every fault of the tables and the missing images.
    """
    if "images" in job.inputs:
        return _without_faulty(job)
    data = competition.load(job.settings.config.competition, competition_root(job.settings))
    files.write_samples(job.draft / "train.npz", data.train, job.home)
    files.write_samples(job.draft / "test.npz", data.test, job.home)
    groups = len(set(data.train.groups_N.tolist()))
    sizes = {"train": len(data.train), "test": len(data.test), "groups": groups}
    files.write_json(job.draft / "notes.json", list(data.notes))
    return Built(metrics={name: float(n) for name, n in sizes.items()}, lines=tuple(data.notes))


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
