"""`make folds`: the fold plan that every later stage shares, and whether it is sound.

    make folds ARGS="folds.kind=repeated folds.repeats=3"
    make folds ARGS="folds.kind=column folds.column=fold folds.n=4"

Owns the stage only; splitting is `pipeline/data/folds.py`, judging `pipeline/data/fold_health.py`.
"""

from dataclasses import asdict

from pipeline.data import competition, fold_health, folds, load
from pipeline.engine.stage import Built, Job
from pipeline.record import files


def build(job: Job) -> Built:
    """Write plan.npz, health.csv, attributes.csv, checks.json and folds.html.

    Raises:
        DataError: the samples cannot be split as asked.
    """
    config = job.settings.config
    samples = load.samples(job.inputs["data"], "train", job.home)
    plan = folds.plan(samples, config.folds)
    checks = [asdict(check) for check in fold_health.checks(samples, plan)]
    coverage = plan.coverage(samples.ids_N)
    if load.has_extra(job.inputs["data"]):
        extra = load.samples(job.inputs["data"], load.EXTRA, job.home)
        plan, samples = competition.with_extra(plan, samples, extra), samples.joined(extra)
    files.write_plan(job.draft / "plan.npz", plan)
    health, attributes = fold_health.health(samples, plan), fold_health.attributes(samples, plan)
    health.to_csv(job.draft / "health.csv")
    attributes.to_csv(job.draft / "attributes.csv", index=False)
    files.write_json(job.draft / "checks.json", checks)
    page = fold_health.FoldPage(health, attributes, checks, plan.notes, coverage.tolist())
    # By its name, which is in the key: a new title must not make new folds.
    html = fold_health.render_html(page, config.competition.name, config)
    (job.draft / "folds.html").write_text(html, encoding="utf-8")
    faults = sum(check["severity"] == "fault" for check in checks)
    figures = {"folds": len(plan), "faults": faults, "warnings": len(checks) - faults}
    figures["unscored"] = int((coverage == 0).sum())
    return Built({name: float(value) for name, value in figures.items()}, plan.notes)
