"""Views of one experiment as one prediction: equal weights, or weights fitted on other folds.

Owns the weights of the views and the table of their scores and costs. Does not own running models
(`infer/view_predictions.py`) nor fitting weights (`core/voting/fitting.py`). Imports no torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pipeline.core import metrics
from pipeline.core.predictions import Probabilities, ViewProbabilities
from pipeline.core.samples import FoldPlan, Samples
from pipeline.core.voting import fitting
from pipeline.infer import texts
from pipeline.record.store import Artifact
from pipeline.settings.schema import Config
from pipeline.train import scoring


@dataclass(frozen=True)
class MergedViews:
    """Views as one prediction.

    Args:
        oof: with weights that were fitted without the image's label.
        by_fold: the same for the validation part of each fold.
        weights: of the views, summing to 1; where they are fitted, on all images.
        naive: score of these weights on the images that they were fitted on; None: nothing was fitted.
    """

    oof: Probabilities
    by_fold: Sequence[Probabilities]
    weights: tuple[float, ...]
    naive: float | None


def merge(
    config: Config,
    samples: Samples,
    plan: FoldPlan,
    oof: ViewProbabilities,
    parts: Sequence[ViewProbabilities],
) -> MergedViews:
    """The views averaged equally, or by weights fitted on other folds than the one they are used on.

    `parts` are the out-of-fold predictions fold by fold, `oof` the same pooled.
    """
    n_views = len(oof.views)
    if config.infer.merge == "mean" or n_views == 1:
        return MergedViews(oof.merge(), [part.merge() for part in parts], (1 / n_views,) * n_views, None)
    members = [replace(oof.view(name), name=name) for name in oof.views]
    metric = metrics.get(config.competition.metric)
    crossfit = scoring.crossfit_parts(config, samples, plan, oof.ids_N)
    truth = samples.take(oof.ids_N).truth
    blend, pooled = fitting.cross_fit(members, truth, crossfit, metric, "greedy")
    by_fold = [pooled.take(part.ids_N) for part in parts]
    return MergedViews(replace(pooled, name="oof"), by_fold, blend.weights, blend.naive)


def view_table(
    config: Config, views: Artifact, samples: Samples, oof: ViewProbabilities, weights: Sequence[float]
) -> dict[str, dict[str, Any]]:
    """Score, weight and cost of each view, by name, as views.json holds them; `views` is the stage of that
    name.
    """
    metric, times = metrics.get(config.competition.metric), views.json("times.json")
    y_N = samples.take(oof.ids_N).truth
    return {
        view: {
            "score": metric.score(y_N, p_NC),
            "weight": weight,
            "ms_per_image": times[view],
            # Of a frozen backbone: heads on the same features share their cost.
            "features": views.inputs.get(f"test:{view}"),
        }
        for view, p_NC, weight in zip(oof.views, oof.p_VNC, weights, strict=True)
    }


def view_lines(table: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The table for the terminal."""
    width = max(map(len, table))
    return [texts.VIEW.format(name=f"{name:<{width}}", **row) for name, row in table.items()]
