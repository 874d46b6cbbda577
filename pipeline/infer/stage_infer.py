"""`make infer`: the views of every image weighed and averaged, scored, submitted.

    make infer                                        the default experiment
    make infer ARGS="infer.views=[identity,hflip]"    other views, without training again
    make infer ARGS="infer.merge=fitted"              other weights of the views, without running a model

Owns the stage only: what the models said of each view is made by `infer/stage_views.py`. Imports no torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pipeline.core import metrics
from pipeline.core.predictions import Probabilities, ViewProbabilities, pool_views
from pipeline.core.samples import FoldPlan, Samples
from pipeline.core.voting import fitting as search
from pipeline.data import load
from pipeline.engine.stage import Built, Job
from pipeline.record import files
from pipeline.record.tracking import note
from pipeline.settings.schema import Config
from pipeline.train import scoring
from pipeline.train.stages import folds_of


@dataclass(frozen=True)
class Merged:
    """Views as one.

    Args:
        oof: with weights that never saw the image's label.
        by_fold: the same of each fold's validation part.
        weights: of the views, summing to 1, fitted on all images where they are fitted.
        naive: score of these weights on what chose them; None: nothing was fitted.
    """

    oof: Probabilities
    by_fold: Sequence[Probabilities]
    weights: tuple[float, ...]
    naive: float | None


def build(job: Job) -> Built:
    """Write oof.npz and test.npz, views merged, and views.json: score, weight, cost."""
    config, inputs = job.settings.config, job.inputs
    samples = load.samples(inputs["data"], "train", job.home)
    plan = load.plan(inputs["folds"])
    parts, test = load.view_parts(inputs["views"]), load.views(inputs["views"], "test", "test")
    oof = pool_views(parts, "oof")
    merged = _merged(config, samples, plan, oof, parts)
    files.write_probabilities(job.draft / "oof.npz", merged.oof)
    files.write_probabilities(job.draft / "test.npz", test.merge(merged.weights))
    plain = load.oof(inputs["train"], "one view")
    gain = scoring.compare(config, samples, merged.oof, plain)
    rival = scoring.best_earlier(job.store, config, inputs, job.key)
    scores = scoring.scores_of(config, samples, merged.by_fold)
    card = scoring.score_card(config, samples, merged.oof, scores, rival)
    told = [*scoring.lines(card, len(samples)), *_view_lines(job, samples, oof, merged)]
    told.append(f"{len(oof.views)} views against one: {gain}")
    if merged.naive is not None:
        fitting = scoring.compare(config, samples, merged.oof, oof.merge())
        told.append(f"fitted weights against equal ones: {fitting}; naive {merged.naive:.4f} (optimistic)")
    price = inputs["views"].metrics
    told.append(
        f"{price['ms_per_image']:.1f} ms an image for all views and folds; in batches of 64 "
        f"{price['ms_64']:.1f}, alone {price['ms_1']:.1f}; {price['parameters'] / 1e6:.1f} M parameters"
    )
    figures = {
        **card.figures,
        "complete": float(len(folds_of(job.settings)) == len(plan)),
        "delta_tta": gain.delta,
        **price,
    }
    what = f"`{job.settings.experiment}` over the views {', '.join(oof.views)}"
    description = note(
        what, scoring.why(card), "make ensemble, then make error-analysis", result="; ".join(told)
    )
    return Built(figures, tuple(told), description, (), scoring.tags(card, rival, job.resolved))


def _merged(
    config: Config,
    samples: Samples,
    plan: FoldPlan,
    oof: ViewProbabilities,
    parts: Sequence[ViewProbabilities],
) -> Merged:
    """The views averaged equally, or by weights fitted on other folds than the one they are used on."""
    n_views = len(oof.views)
    if config.infer.merge == "mean" or n_views == 1:
        return Merged(oof.merge(), [part.merge() for part in parts], (1 / n_views,) * n_views, None)
    members = [replace(oof.view(name), name=name) for name in oof.views]
    metric = metrics.get(config.competition.metric)
    crossfit = scoring.crossfit_parts(config, samples, plan, oof.ids_N)
    labels_N = samples.take(oof.ids_N).labels
    blend, pooled = search.cross_fit(members, labels_N, crossfit, metric, "greedy")
    by_fold = [pooled.take(part.ids_N) for part in parts]
    return Merged(replace(pooled, name="oof"), by_fold, blend.weights, blend.naive)


def _view_lines(job: Job, samples: Samples, oof: ViewProbabilities, merged: Merged) -> list[str]:
    """Score, weight and cost of each view; the same into views.json."""
    metric = metrics.get(job.settings.config.competition.metric)
    seen = job.inputs["views"]
    times = seen.json("times.json")
    y_N = samples.take(oof.ids_N).labels
    scores = [metric.score(y_N, p_NC) for p_NC in oof.p_VNC]
    rows = {
        view: {
            "score": score,
            "weight": weight,
            "ms_per_image": times[view],
            # Of a frozen backbone: heads on the same features share what they cost.
            "features": seen.inputs.get(f"test:{view}"),
        }
        for view, score, weight in zip(oof.views, scores, merged.weights, strict=True)
    }
    files.write_json(job.draft / "views.json", rows)
    wide = max(map(len, rows))
    return [
        f"view {view:<{wide}}  OOF {row['score']:.4f}  weight {row['weight']:.2f}  "
        f"{row['ms_per_image']:.2f} ms an image"
        for view, row in rows.items()
    ]
