"""`data`: the competition's tables, checked, as Samples.

Owns the stage only; reading and checking is `pipeline/data/competition.py`.
"""

from pipeline.data import competition
from pipeline.record import files
from pipeline.stages.context import Built, Job
from pipeline.stages.graph import competition_root


def build(job: Job) -> Built:
    """Write train.npz and test.npz.

    Raises:
        DataError: with every fault of the tables and the missing images.
    """
    config = job.settings.config
    data = competition.load(config.competition, competition_root(job.settings), config.folds.column)
    files.write_samples(job.draft / "train.npz", data.train, job.home)
    files.write_samples(job.draft / "test.npz", data.test, job.home)
    groups = len(set(data.train.groups_N.tolist()))
    sizes = {"train": len(data.train), "test": len(data.test), "groups": groups}
    files.write_json(job.draft / "notes.json", list(data.notes))
    return Built(metrics={name: float(n) for name, n in sizes.items()}, lines=tuple(data.notes))
