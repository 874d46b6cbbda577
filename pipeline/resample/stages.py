"""The stages of `resample/`: what each fold's training part shows, in numbers and as pictures.

    make resample ARGS="resample.method=under resample.to=cap resample.cap=200"
    make resample ARGS="experiment=probe resample.method=smote"
    make preview ARGS="augment.policy=heavy"                  another policy
    make preview ARGS="train.mix.method=cutmix"               with images that are mixed in pairs
    make preview ARGS="crop.method=own_box crop.boxes=haar:frontalface_default preprocess.clahe=2"

Owns the declarations and the functions that build them. Does not own which rows there are
(`resample/indices.py`) nor making the preview's pictures (`resample/preview.py`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd

from pipeline.data import load, quarantine
from pipeline.data.stages import prepared_inputs
from pipeline.engine.need import Inputs, Need, Params
from pipeline.engine.stage import Ask, Built, Job, Stage, of_experiment
from pipeline.nets.stages import features_need, is_probe, probe_views
from pipeline.record.tracking import note
from pipeline.resample import indices, page, preview_page, subsets, texts
from pipeline.resample.indices import Part
from pipeline.settings.augment import refuse_forbidden
from pipeline.settings.load import Settings
from pipeline.settings.resample import FEATURE_METHODS, ResampleSettings

# Side of the square of each picture in preview.png.
PNG_CELL_PX = 128


def neighbour_views(settings: Settings) -> list[str]:
    """The views whose features resampling uses; none for random draws."""
    if settings.config.resample.method not in FEATURE_METHODS:
        return []
    return list(probe_views(settings)) if is_probe(settings) else ["identity"]


def neighbour_inputs(settings: Settings) -> Inputs:
    """Features for resampling: the probe's own, or those of a frozen backbone beside the network."""
    beside = settings
    if not is_probe(settings):
        config = settings.config.model_copy(update={"model": settings.config.resample.features})
        beside = replace(settings, config=config)
    return {f"train:{view}": features_need(beside, "train", view) for view in neighbour_views(settings)}


def refuse_forbidden_copies(settings: Settings) -> None:
    """Raise ConfigError where the policy of offline copies does what an attribute forbids."""
    copies = settings.config.resample.copies
    if copies is not None:
        attributes = settings.config.competition.attributes
        refuse_forbidden(copies.policy, attributes, "resample.copies.policy")


def build_resample(job: Job) -> Built:
    """Write resample.html and counts.csv: rows of each class and fold before and after.

    Raises:
        ConfigError: `to` needs a cap or a ratio that is not given.
    """
    config = job.settings.config
    tables = []
    for number in range(len(load.plan(job.inputs["folds"]))):
        part = subsets.of_fold(job.inputs, number, config, job.home)
        tables.append(_count(part, config.resample))
    counts = pd.concat(tables, ignore_index=True)
    summary = page.summarize(counts, config, job.words["train"])
    title = config.competition.title or config.competition.name
    (job.draft / "resample.html").write_text(page.render_html(summary, title, config), encoding="utf-8")
    counts.to_csv(job.draft / "counts.csv", index=False)
    description = note(texts.STAGE_WHAT, summary.answer, texts.STAGE_NEXT, "resample.html", summary.headline)
    lines = (summary.headline, *_changed(job.inputs["data"].metrics))
    return Built(summary.metrics, lines, description, ("resample.html", "counts.csv"))


def _count(part: Part, settings: ResampleSettings) -> pd.DataFrame:
    """One row per class of a fold's training part: fold, class, before, after, copies, synthetic."""
    plan = indices.plan(part, settings)
    table = indices.counts(part.samples, plan.rows(0), settings)
    made = plan.synthetic.labels_S if plan.synthetic else np.zeros(0, np.int64)
    table["synthetic"] = np.bincount(made, minlength=len(table))
    table["after"] += table["synthetic"]
    columns = ["fold", "class", "before", "after", "copies", "synthetic"]
    return table.assign(fold=part.fold)[[*columns, *(["rows"] if "rows" in table else [])]]


def _changed(sizes: Mapping[str, float]) -> list[str]:
    """How training rows differ from the competition's own table, one line each."""
    lines = []
    if sizes.get("extra"):
        lines.append(texts.EXTRA_ROWS.format(images=sizes["extra"]))
    if sizes.get("other_train_labels"):
        lines.append(texts.OTHER_LABELS.format(labels=sizes["other_train_labels"]))
    return lines


def refuse_resample(settings: Settings) -> None:
    """Raise ConfigError for offline copies whose augmentation policy cannot be made."""
    from pipeline.data import augment

    augment.copier_of(settings.config)


def resample_inputs(ask: Ask, settings: Settings, params: Params) -> Inputs:
    """The data, the folds, and the features that resampling uses."""
    return {"data": Need("data", settings), "folds": Need("folds", settings), **neighbour_inputs(settings)}


def build_preview(job: Job) -> Built:
    """Write preview.html, preview.png and, where boxes are known, crop.csv.

    Raises:
        DataError: images that do not decode, all of them; a crop without training boxes.
    """
    from pipeline.resample import preview

    config = job.settings.config
    quarantine.refuse(config, job.inputs["images"])
    inputs, coverage = preview.inputs(job)
    if coverage is not None:
        coverage.to_csv(job.draft / "crop.csv", index=False)
    (job.draft / "preview.html").write_text(preview_page.render_html(inputs), encoding="utf-8")
    preview_page.render_png(inputs.rows, PNG_CELL_PX).save(job.draft / "preview.png")
    lines = (preview_page.headline(inputs), *(preview_page.crop_lines(inputs.crop) if inputs.crop else ()))
    figures = {"rows": float(len(inputs.rows))}
    return Built(figures, lines, preview_page.description(inputs), ("preview.html", "preview.png"))


def refuse_preview(settings: Settings) -> None:
    """Raise ConfigError for an augmentation policy that cannot be made."""
    from pipeline.data import augment

    augment.check(settings.config)


def refuse_forbidden_augmentation(settings: Settings) -> None:
    """Raise ConfigError where the augmentation policy does what an attribute forbids."""
    refuse_forbidden(settings.config.augment.policy, settings.config.competition.attributes)


def preview_inputs(ask: Ask, settings: Settings, params: Params) -> Inputs:
    """The inputs of prepared images, and boxes if any are known."""
    known = {"boxes": Need("boxes", settings)} if settings.config.crop.boxes else {}
    return prepared_inputs(ask, settings, params) | known


def preview_identity(ask: Ask, settings: Settings, params: Params) -> str:
    """The changes that attributes forbid: the page names them; elsewhere they change no result."""
    return json.dumps([[a.name, a.forbids] for a in settings.config.competition.attributes])


STAGES = (
    Stage(
        "resample",
        3,
        "what each fold's training part will show",
        build_resample,
        reads=("resample", "competition.title"),
        inputs=resample_inputs,
        words=("train",),
        label=of_experiment,
        refuse=refuse_resample,
        check=refuse_forbidden_copies,
        tracked=True,
    ),
    Stage(
        "preview",
        2,
        "what training sees",
        build_preview,
        reads=(
            *("images", "crop", "preprocess", "augment", "preview", "train.seed", "train.mix"),
            "competition.title",
        ),
        inputs=preview_inputs,
        identity=preview_identity,
        words=("preview",),
        refuse=refuse_preview,
        check=refuse_forbidden_augmentation,
        tracked=True,
    ),
)
