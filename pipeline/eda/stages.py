"""The stage of `eda/`: the data report, with the most harmful findings first.

    make eda ARGS="competition=digits"

Owns the declaration and the function that builds it. Does not own the findings (`eda/findings.py`) nor the
page (`eda/page.py`).
"""

from __future__ import annotations

from pipeline.data import load, quarantine
from pipeline.eda import page, texts
from pipeline.eda.evidence import FeaturePair
from pipeline.engine.need import Inputs, Need, Params
from pipeline.engine.stage import Ask, Built, Job, Stage
from pipeline.nets.stages import features_need
from pipeline.record.tracking import note
from pipeline.settings.load import Settings

FINDINGS_PRINTED = 5


def build_eda(job: Job) -> Built:
    """Write eda.html and the tables as CSV, suspects.csv among them: the images behind each finding.

    Raises:
        DataError: images that do not decode, all of them.
    """
    config = job.settings.config
    train, test = (load.samples(job.inputs["data"], split, job.home) for split in ("train", "test"))
    quarantine.refuse(config, job.inputs["images"])
    facts = load.facts(job.inputs["images"])
    plan = load.plan(job.inputs["folds"])
    inputs = page.ExploreInputs(
        title=config.competition.title or config.competition.name,
        train=train,
        test=test,
        facts=facts[facts["split"].isin(("train", "test"))],
        image=load.image_of(job.inputs["images"]),
        health=load.health(job.inputs["folds"]),
        notes=(
            *(
                note
                for name in ("data", "images")
                for note in load.notes(job.inputs[name], config.report.language)
            ),
            *load.said(job.inputs["folds"], plan.notes, config.report.language),
            *load.fold_checks(job.inputs["folds"]),
        ),
        config=config,
        plan=plan,
        features=_features(job),
        asked=job.words["train"],
    )
    explored = page.explore(inputs)
    (job.draft / "eda.html").write_text(page.render_html(explored, inputs), encoding="utf-8")
    for name, table in explored.tables.items():
        table.to_csv(job.draft / f"{name}.csv", index=False)
    findings = explored.findings
    lines = tuple(
        texts.STAGE_LINE.format(severity=texts.SEVERITIES[f.severity], headline=f.headline)
        for f in findings[:FINDINGS_PRINTED]
    )
    what = texts.STAGE_WHAT.format(train=len(train), test=len(test))
    why = "; ".join(texts.STAGE_REASON.format(**vars(f)) for f in findings)
    result = findings[0].headline if findings else texts.NO_FINDING
    description = note(what, why, texts.STAGE_NEXT, "eda.html", result)
    return Built(explored.metrics, lines, description, ("eda.html",))


def _features(job: Job) -> FeaturePair | None:
    """The features of both splits, where the shift test is on features."""
    if "train:identity" not in job.inputs:
        return None
    train, test = (load.features(job.inputs, split, ["identity"]) for split in ("train", "test"))
    return train, test


def eda_inputs(ask: Ask, settings: Settings, params: Params) -> Inputs:
    """The data, the images and the folds, and features if the shift test uses them."""
    common = {name: Need(name, settings) for name in ("data", "images", "folds")}
    if settings.config.eda.shift_on == "facts":
        return common
    return common | {
        f"{split}:identity": features_need(settings, split, "identity") for split in ("train", "test")
    }


STAGES = (
    Stage(
        "eda",
        9,
        "what is in the data, worst harm first",
        build_eda,
        reads=(
            *("eda", "competition.title", "report.thumbnail_px", "report.per_class", "images.resize"),
            *("report.language", "resample.method", "train.head"),
        ),
        inputs=eda_inputs,
        words=("train",),
        tracked=True,
    ),
)
