"""`make eda`: what is in the data, worst harm first, as one self-contained page.

Owns the stage only; findings and page are `pipeline/analyze/explore.py`.
"""

from __future__ import annotations

from pipeline.analyze import explore
from pipeline.stages import load
from pipeline.stages.context import Built, Job

SHOWN = 5


def build(job: Job) -> Built:
    """Write eda.html, findings.json and the tables as CSV."""
    config = job.settings.config
    train, test = (load.samples(job.inputs["data"], split, job.home) for split in ("train", "test"))
    facts = load.facts(job.inputs["images"])
    facts = facts[facts["split"] != load.EXTRA]
    inputs = explore.ExploreInputs(
        title=config.competition.title or config.competition.name,
        train=train,
        test=test,
        facts=facts,
        image=load.image_of(job.inputs["images"]),
        health=load.health(job.inputs["folds"]),
        notes=(*job.inputs["data"].json("notes.json"), *load.plan(job.inputs["folds"]).notes),
        config=config,
    )
    found = explore.explore(inputs)
    (job.draft / "eda.html").write_text(explore.render_html(found, inputs), encoding="utf-8")
    for name, table in found.tables.items():
        table.to_csv(job.draft / f"{name}.csv", index=False)
    told = tuple(f"{f.severity}: {f.headline}" for f in found.findings[:SHOWN])
    about = "\n".join(f"- **{f.severity}** {f.headline}. {f.answer}" for f in found.findings)
    description = (
        f"**What**: {len(train)} training and {len(test)} test images.\n\n{about}\n\n**Report**: `eda.html`"
    )
    return Built(found.metrics, told, description, ("eda.html",))
