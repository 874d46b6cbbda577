"""`make resample`: what each fold's training part will show, class by class, before and after.

    make resample ARGS="resample.method=under resample.to=cap resample.cap=200"

Owns the stage only; rows are chosen by `pipeline/data/resample.py`, again for each fold and epoch.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from pipeline.analyze import resampling
from pipeline.core.types import Ints
from pipeline.data import resample
from pipeline.stages import load
from pipeline.stages.context import Built, Job


def build(job: Job) -> Built:
    """Write resample.html and counts.csv.

    Raises:
        ConfigError: `to` needs a cap or a ratio that is not given.
    """
    config = job.settings.config
    samples = load.training(job.inputs["data"], job.home)
    classes = samples.space.classes

    def count(labels: Ints) -> Ints:
        return np.bincount(labels, minlength=len(classes))

    tables = []
    for number, split in enumerate(load.plan(job.inputs["folds"]).splits):
        labels = samples.take(split.train_ids).for_training().labels
        rows = resample.rows(labels, config.resample, number, 0)
        before, after = count(labels), count(labels[rows.index_R])
        tables.append(pd.DataFrame({"fold": number, "class": classes, "before": before, "after": after}))
    counts = pd.concat(tables, ignore_index=True)
    found = resampling.summarize(counts, config)
    title = config.competition.title or config.competition.name
    (job.draft / "resample.html").write_text(resampling.render_html(found, title, config), encoding="utf-8")
    counts.to_csv(job.draft / "counts.csv", index=False)
    description = f"**What**: {found.headline}.\n\n{found.answer}\n\n**Report**: `resample.html`"
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
