"""`data`: the competition's tables, checked, as Samples; without images that do not decode, if asked.

Owns the stage only; reading and checking is `pipeline/data/competition.py`, leaving out is
`stages/quarantine.py`.
"""

from pipeline.data import competition
from pipeline.record import files
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
    """The samples as they were read, less the training images that do not decode."""
    whole, lines, kept = job.inputs["data"], [], {}
    for split in ("train", "test"):
        kept[split], told = quarantine.without(load.samples(whole, split, job.home), job.inputs["images"])
        lines += told
        files.write_samples(job.draft / f"{split}.npz", kept[split], job.home)
    files.write_json(job.draft / "notes.json", [*whole.json("notes.json"), *lines])
    groups = len(set(kept["train"].groups_N.tolist()))
    sizes = {"train": len(kept["train"]), "test": len(kept["test"]), "groups": groups}
    return Built(metrics={name: float(n) for name, n in sizes.items()}, lines=tuple(lines))
