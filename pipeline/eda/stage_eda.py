"""`make eda`: what is in the data, worst harm first, as one self-contained page.

Owns the stage only; findings and page are `pipeline/eda/page.py`.
"""

from __future__ import annotations

from pipeline.data import load, quarantine
from pipeline.eda import page
from pipeline.eda.evidence import FeaturePair
from pipeline.engine.stage import Built, Job
from pipeline.record.tracking import note

SHOWN = 5


def build(job: Job) -> Built:
    """Write eda.html and the tables as CSV, suspects.csv among them: the images behind each finding."""
    config = job.settings.config
    train, test = (load.samples(job.inputs["data"], split, job.home) for split in ("train", "test"))
    quarantine.refuse(config, job.inputs["images"])
    facts = load.facts(job.inputs["images"])
    plan = load.plan(job.inputs["folds"])
    facts = facts[facts["split"].isin(("train", "test"))]
    inputs = page.ExploreInputs(
        title=config.competition.title or config.competition.name,
        train=train,
        test=test,
        facts=facts,
        image=load.image_of(job.inputs["images"]),
        health=load.health(job.inputs["folds"]),
        notes=(
            *job.inputs["data"].json("notes.json"),
            *plan.notes,
            *load.fold_checks(job.inputs["folds"]),
        ),
        config=config,
        plan=plan,
        features=_features(job),
        asked=job.words["train"],
    )
    found = page.explore(inputs)
    (job.draft / "eda.html").write_text(page.render_html(found, inputs), encoding="utf-8")
    for name, table in found.tables.items():
        table.to_csv(job.draft / f"{name}.csv", index=False)
    told = tuple(f"{f.severity}: {f.headline}" for f in found.findings[:SHOWN])
    what = f"{len(train)} training and {len(test)} test images"
    why = "; ".join(f"{f.severity}: {f.headline} ({f.answer})" for f in found.findings)
    result = found.findings[0].headline if found.findings else "nothing that hurts was found"
    description = note(what, why, "make resample, then make train", "eda.html", result)
    return Built(found.metrics, told, description, ("eda.html",))


def _features(job: Job) -> FeaturePair | None:
    """For the shift test, if it asks for features."""
    if job.settings.config.eda.shift_on == "facts":
        return None
    train, test = (load.features(job.inputs, split, ["identity"]) for split in ("train", "test"))
    return FeaturePair(train, test)
