"""Every stage by name: what it reads, what it needs, which version of the code made it.

Owns the declarations only, so it imports neither torch nor the stages: a stage's module is imported
when it has to be built. Does not own building (`engine/context.py`) or keys (`engine/graph.py`).

A new stage is a new file with a `build(job)` and one entry in `STAGES`. A `refuse(settings)` beside
`build` raises for what can be known to be wrong before the stage's inputs are built.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.core.errors import ConfigError, nearest
from pipeline.engine.needs import (
    DATA_SETTINGS,
    Inputs,
    ablate_inputs,
    as_read,
    boxes_inputs,
    cost_inputs,
    curve_inputs,
    data_inputs,
    decide_inputs,
    distill_inputs,
    eda_inputs,
    ensemble_inputs,
    ensemble_sections,
    fold_inputs,
    fold_sections,
    heads_inputs,
    heads_sections,
    infer_inputs,
    lesson_sections,
    look_inputs,
    needs,
    nested_inputs,
    preview_inputs,
    reads,
    refit_inputs,
    resample_inputs,
    teach_inputs,
    train_inputs,
    views_inputs,
    whole_inputs,
)
from pipeline.engine.needs import INITIAL as INITIAL
from pipeline.engine.needs import OWN_PART as OWN_PART
from pipeline.engine.needs import PART as PART
from pipeline.engine.needs import SHOWN as SHOWN
from pipeline.engine.needs import TEACHER as TEACHER
from pipeline.engine.needs import UNLABELLED as UNLABELLED
from pipeline.engine.needs import Need as Need
from pipeline.engine.needs import Params as Params
from pipeline.engine.needs import curve_points as curve_points
from pipeline.engine.needs import folds_of as folds_of
from pipeline.engine.needs import is_batched as is_batched
from pipeline.engine.needs import is_probe as is_probe
from pipeline.engine.needs import neighbour_views as neighbour_views
from pipeline.engine.needs import probe_views as probe_views
from pipeline.engine.report_needs import explain_inputs, faults_inputs, finders_inputs
from pipeline.engine.strengths import robustness_inputs
from pipeline.settings.load import Settings

if TYPE_CHECKING:
    from pipeline.engine.graph import Graph


@dataclass(frozen=True)
class Stage:
    """One memoised function of the pipeline.

    Args:
        name: module below pipeline/stages and folder below artifacts/.
        version: raised when its code gives other results for the same key.
        sections: settings that it reads, as dotted paths.
        inputs: the results that it needs, by the name `build` finds them under.
        reads_files: whether its key holds the digests of the competition's files.
        tracked: whether it has a run of its own in MLflow.
        inside: inputs that are built inside its run, as child runs.
        evictable: large and quickly made again: freed beyond images.cache_gb, unused for longest first.
        title: one line for people.
    """

    name: str
    version: int
    title: str
    sections: Callable[[Settings], tuple[str, ...]]
    inputs: Callable[[Graph, Settings, Params], Inputs]
    reads_files: bool = False
    tracked: bool = False
    inside: str | None = None
    evictable: bool = False


STAGES: dict[str, Stage] = {
    stage.name: stage
    for stage in (
        Stage(
            "data", 4, "tables and labels", reads(*DATA_SETTINGS, "folds.column"), data_inputs,
            reads_files=True,
        ),
        Stage(
            "images", 3, "decoded images and their facts",
            reads("images.cache_px", "images.truncated", "images.max_megapixels"), as_read,
        ),
        Stage("boxes", 1, "where the thing is in each image", reads("crop.boxes"), boxes_inputs),
        Stage(
            "prepared", 3, "images as models see them", reads("images", "crop", "preprocess"),
            look_inputs, evictable=True,
        ),
        Stage(
            "preview", 2, "what training sees",
            reads(
                "images", "crop", "preprocess", "augment", "preview", "train.seed", "train.mix",
                "competition.title",
            ),
            preview_inputs, tracked=True,
        ),
        Stage("folds", 3, "the fold plan", reads("folds"), needs("data")),
        Stage(
            "eda", 4, "what is in the data, worst harm first",
            reads(
                "eda", "competition.title", "report.thumbnail_px", "report.per_class", "images.resize",
                "resample.method",
            ),
            eda_inputs, tracked=True,
        ),
        Stage(
            "resample", 3, "what each fold's training part will show",
            reads("resample", "competition.title"), resample_inputs, tracked=True,
        ),
        Stage(
            "features", 1, "outputs of the frozen backbone",
            reads("model.name", "model.weights", "model.norm", "model.mean", "model.std"),
            needs("data", "prepared"),
        ),
        Stage("heads", 1, "heads of all folds and seeds on cached features", heads_sections, heads_inputs),
        Stage("fold", 3, "one fold, trained", fold_sections, fold_inputs),
        Stage("teach", 1, "what one fold says of unlabelled images", reads(), teach_inputs),
        Stage(
            "nested", 1, "what teachers say of a fold's own training part", lesson_sections, nested_inputs
        ),
        Stage(
            "train", 2, "all folds, pooled out of fold", reads("statistics", "competition.metric"),
            train_inputs, tracked=True, inside="fold",
        ),
        Stage("views", 2, "every view of every image", reads("infer.views", "infer.precision"), views_inputs),
        Stage(
            "infer", 4, "the views of every image as one",
            reads("infer.merge", "statistics", "competition.metric"),
            infer_inputs, tracked=True,
        ),
        Stage("whole", 1, "one experiment on all data", lesson_sections, whole_inputs),
        Stage(
            "refit", 2, "a model of all data on the test set",
            reads("infer", "competition.metric"), refit_inputs, tracked=True, inside="whole",
        ),
        Stage(
            "ensemble", 3, "members combined", ensemble_sections, ensemble_inputs, tracked=True,
        ),
        Stage(
            "cost", 1, "what an ensemble and its members cost",
            reads("competition.metric", "competition.title"), cost_inputs, tracked=True,
        ),
        Stage(
            "decide", 1, "post-processing, kept where it is better",
            reads("decision", "statistics", "competition.metric"), decide_inputs, tracked=True,
        ),
        Stage(
            "distill", 2, "one student in place of a blend",
            reads("statistics", "competition.metric"), distill_inputs, tracked=True,
        ),
        Stage(
            "learning_curve", 1, "score over training groups",
            reads("learning_curve", "statistics", "competition.metric", "competition.title"),
            curve_inputs, tracked=True,
        ),
        Stage(
            "robustness", 1, "score on spoilt images",
            reads("robustness", "infer.precision", "statistics", "competition.metric"),
            robustness_inputs, tracked=True,
        ),
        Stage(
            "ablate", 2, "a grid of settings, compared",
            reads("statistics", "competition.metric", "competition.title"), ablate_inputs, tracked=True,
        ),
        Stage(
            "explain", 1, "what a network looks at",
            reads("explain", "statistics.draws", "competition.title"), explain_inputs, tracked=True,
        ),
        Stage(
            "leaderboard", 1, "out-of-fold against public scores",
            reads(
                "eda", "statistics", "competition.metric", "competition.title", "competition.public_share",
                "report.thumbnail_px",
            ),
            needs("data", "images", "folds", "prepared"), tracked=True,
        ),
        Stage("faults", 1, "faults planted on purpose", reads(), faults_inputs),
        Stage(
            "finders", 1, "planted faults, found again",
            reads("finders", "eda.near_bits", "eda.near_ratio", "eda.near_match", "statistics.seed"),
            finders_inputs,
        ),
        Stage(
            "error_analysis", 5, "new against best",
            reads(
                "report", "statistics", "competition.metric", "competition.submission", "competition.title",
                # What advice must not suggest again.
                "images.size", "images.cache_px", "resample.method", "loss", "augment.policy", "train.seed",
                "eda", "finders",
            ),
            needs("data", "images", "folds"), tracked=True,
        ),
    )
}  # fmt: skip


def get(name: str) -> Stage:
    """A stage by name."""
    if name not in STAGES:
        raise ConfigError(f"no stage `{name}`", remedy=nearest(name, STAGES) or f"known: {', '.join(STAGES)}")
    return STAGES[name]
