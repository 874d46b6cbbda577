"""`folds`: the fold plan that every later stage shares.

Owns the stage only; splitting is `pipeline/data/folds.py`.
"""

from pipeline.data import folds, sources
from pipeline.record import files
from pipeline.stages import load
from pipeline.stages.context import Built, Job


def build(job: Job) -> Built:
    """Write plan.npz and health.csv.

    Raises:
        DataError: there are fewer groups than folds.
    """
    samples = files.read_samples(job.inputs["data"].folder / "train.npz", job.home)
    plan = folds.plan(samples, job.settings.config.folds)
    pool = load.training(job.inputs["data"], job.home)
    if load.has_extra(job.inputs["data"]):
        plan = sources.with_extra(plan, samples, load.samples(job.inputs["data"], load.EXTRA, job.home))
    files.write_plan(job.draft / "plan.npz", plan)
    folds.health(pool, plan).to_csv(job.draft / "health.csv")
    return Built(metrics={"folds": float(len(plan))}, lines=plan.notes)
