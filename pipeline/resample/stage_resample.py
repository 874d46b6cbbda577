"""`make resample`: what each fold's training part will show, class by class, before and after.

    make resample ARGS="resample.method=under resample.to=cap resample.cap=200"
    make resample ARGS="experiment=probe resample.method=smote"

Owns the stage only; rows are chosen by `pipeline/resample/indices.py`, again for each fold and epoch.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from pipeline.data import load
from pipeline.data.augment import Augmenter
from pipeline.engine.stage import Built, Job
from pipeline.record.tracking import note
from pipeline.resample import indices, page, subsets
from pipeline.settings.load import Settings


def refuse(settings: Settings) -> None:
    """Raise ConfigError for offline copies whose augmentation policy cannot be made."""
    copies = settings.config.resample.copies
    if copies is not None:
        Augmenter(copies.policy, settings.config.images.hw, "resample.copies.policy")


def build(job: Job) -> Built:
    """Write resample.html and counts.csv.

    Raises:
        ConfigError: `to` needs a cap or a ratio that is not given.
    """
    config = job.settings.config
    classes = load.samples(job.inputs["data"], "train", job.home).space.classes

    tables = []
    for number in range(len(load.plan(job.inputs["folds"]))):
        part = subsets.of_fold(job.inputs, number, job.settings.config, job.home)
        chosen = indices.plan(part, config.resample)
        rows = chosen.rows(0)
        labels = part.samples.labels
        before, after = indices.counts(labels, rows, len(classes))
        copied = np.bincount(labels[rows.index_R[rows.policy_R > 0]], minlength=len(classes))
        made = chosen.synthetic.labels_S if chosen.synthetic else np.zeros(0, np.int64)
        synthetic = np.bincount(made, minlength=len(classes))
        columns = {"before": before, "after": after + synthetic, "copies": copied, "synthetic": synthetic}
        tables.append(pd.DataFrame({"fold": number, "class": classes, **columns}))
    counts = pd.concat(tables, ignore_index=True)
    found = page.summarize(counts, config, job.words["train"])
    title = config.competition.title or config.competition.name
    (job.draft / "resample.html").write_text(page.render_html(found, title, config), encoding="utf-8")
    counts.to_csv(job.draft / "counts.csv", index=False)
    description = note(
        "resampling of each fold's training part", found.answer, "make train", "resample.html", found.headline
    )
    told = (found.headline, *_changed(job.inputs["data"].metrics))
    return Built(found.metrics, told, description, ("resample.html", "counts.csv"))


def _changed(sizes: Mapping[str, float]) -> list[str]:
    """How training rows differ from the competition's own table."""
    lines = []
    if sizes.get("extra"):
        lines.append(f"{sizes['extra']:.0f} images from elsewhere are among the training rows")
    if sizes.get("other_train_labels"):
        lines.append(f"{sizes['other_train_labels']:.0f} labels train otherwise than they score")
    return lines
