"""`decide`: post-processing of a blend, of one member or of a refit, each step kept only if it is better.

    make ensemble ARGS="decision.steps=[class_scales,group_average]"
    make infer ARGS="decision.steps=[class_scales] decision.members=true"

Owns the stage only; steps and the order are `pipeline/combine/`. Imports no torch. A refit gets what was
fitted and kept on the folds of its twin.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pipeline.core import metrics, statistics
from pipeline.core.errors import ConfigError
from pipeline.core.metrics import Reals
from pipeline.core.predictions import Comparison, Probabilities
from pipeline.core.samples import Ints, Samples, Strings, positions
from pipeline.data import load
from pipeline.engine.stage import Built, Job
from pipeline.ensemble import decision, decision_steps, grouping
from pipeline.ensemble.decision import (
    ClassScales,
    Decided,
    GroupAverage,
    Judge,
    Known,
    OwnStep,
    PriorCorrection,
    Rows,
    Step,
)
from pipeline.ensemble.grouping import Together
from pipeline.ensemble.stages import SHOWN
from pipeline.record import files
from pipeline.record.tracking import note
from pipeline.resample import page as resampled
from pipeline.settings.load import Settings
from pipeline.train import scoring

BLEND = "blend.json"


def refuse(settings: Settings) -> None:
    """Raise ConfigError for functions that cannot be loaded, and scales for a metric of probabilities."""
    steps, metric = settings.config.decision.steps, metrics.get(settings.config.competition.metric)
    for name in steps:
        if ":" in name:
            decision_steps.load(name)
    if "class_scales" in steps and metric.needs == "probabilities":
        raise ConfigError(
            f"decision.steps: class_scales fits labels, and {metric.name} judges probabilities",
            remedy="leave class_scales out",
        )


def build(job: Job) -> Built:
    """Write oof.npz (cross-fitted), test.npz, decision.json and, of an ensemble, blend.json."""
    config, of = job.settings.config, job.inputs["of"]
    oof, test = load.oof(of, "oof"), load.test(job.inputs.get("refit", of), "test")
    samples = load.samples(job.inputs["data"], "train", job.home)
    judge = Judge(
        metrics.get(config.competition.metric),
        config.statistics.draws,
        config.statistics.seed,
        config.decision.adopt,
    )
    known_images = samples.take(oof.ids_N)
    test_images = load.samples(job.inputs["data"], "test", job.home).take(test.ids_N)
    plan = load.plan(job.inputs["folds"])
    parts = scoring.crossfit_parts(config, samples, plan, oof.ids_N)
    at = tuple(positions(part, oof.ids_N, "out-of-fold predictions") for part in parts)
    groups = _together(job, known_images, test_images, at)
    steps = [_step(job, name, samples, groups) for name in config.decision.steps]
    known = Known(oof, known_images.labels, _rows(oof, known_images, groups.oof_N), at)
    decided = decision.decide(steps, known, test, _rows(test, test_images, groups.test_N), judge)
    files.write_probabilities(job.draft / "oof.npz", decided.oof)
    files.write_probabilities(job.draft / "test.npz", decided.test)
    effect = statistics.compare_tried(
        judge.metric, known.y_N, (decided.oof.p_NC, oof.p_NC), known_images.groups_N,
        judge.draws, judge.seed, max(len(steps), 1),
    )  # fmt: skip
    files.write_json(job.draft / "decision.json", _facts(job, decided, str(effect)))
    if (of.folder / BLEND).is_file():
        files.write_json(job.draft / BLEND, of.json(BLEND))
    return _built(job, decided, parts, samples, effect)


def _built(job: Job, decided: Decided, parts: list[Strings], samples: Samples, effect: Comparison) -> Built:
    config, of = job.settings.config, job.inputs["of"]
    by_part = scoring.scores_of(config, samples, [decided.oof.take(part) for part in parts])
    card = scoring.score_card(config, samples, decided.oof, by_part, None)
    names = ", ".join(decided.adopted)
    total = f"kept: {names or 'nothing: the submission stays as it is'}"
    if names:
        optimistic = f"{decided.naive:.4f} on the rows that fitted them (optimistic)"
        total += f"; together {effect.delta:+.4f} cross-fitted; {optimistic}"
    told = [str(tried) for tried in decided.tried] + [total]
    if names:
        told += scoring.lines(card, len(samples))
    metric = card.metric
    figures: dict[str, float] = {
        **card.figures,
        f"naive_{metric}": decided.naive,
        "adopted": float(len(decided.adopted)),
        "delta_decision": effect.delta,
        **{name: of.metrics[name] for name in ("complete", "ms_per_image") if name in of.metrics},
    }
    what = f"decision of {of.stage} {of.key[:8]}: {', '.join(config.decision.steps)}"
    description = note(what, "does post-processing help out of fold?", "make error-analysis", result=total)
    caution = {"caution": card.interval.note} if card.interval.note else {}
    tags = {"verdict": effect.verdict, "decision": names or "none", **caution}
    if "refit" in job.inputs:
        tags["score"] = job.inputs["refit"].manifest["tags"].get("score", "")
        # A refit has no score of its own: the ledger must not take its twin's for one.
        figures = {f"twin_{n}" if n.startswith(("oof_", "ci_")) else n: v for n, v in figures.items()}
    return Built(figures, tuple(told), description, ("decision.json",), tags)


def _rows(found: Probabilities, images: Samples, together_N: Ints) -> Rows:
    return Rows(found.ids_N, images.groups_N, together_N)


def _facts(job: Job, decided: Decided, effect: str) -> dict[str, Any]:
    """What the provenance says of the decision."""
    of = job.inputs["of"]
    return {
        "of": f"{of.stage}/{of.key}",
        "steps": [
            {
                "name": t.name,
                "adopted": t.adopted,
                "effect": None if t.effect is None else str(t.effect),
                "naive": t.naive,
                "told": t.told,
                "fitted": t.facts,
            }
            for t in decided.tried
        ],
        "naive": decided.naive,
        "crossfitted": decided.crossfitted,
        "effect": effect,
    }


def _together(job: Job, oof: Samples, test: Samples, parts: Sequence[Ints]) -> Together:
    settings = job.settings.config.decision
    if "group_average" not in settings.steps:
        return grouping.nobody(oof, test)
    if settings.groups == "table":
        return grouping.of_tables(oof, test, settings)
    seen = [load.features(dict(job.inputs), split, ["identity"]) for split in ("train", "test")]
    return grouping.of_clusters(oof, test, parts, (seen[0], seen[1]), settings)


def _step(job: Job, name: str, samples: Samples, groups: Together) -> Step:
    config, space = job.settings.config, samples.space
    if name == "class_scales":
        metric = metrics.get(config.competition.metric)
        return ClassScales(metric, config.decision.shrink, space.classes)
    if name == "prior_correction":
        return PriorCorrection(_shown(job, samples), config.decision.prior)
    if name == "group_average":
        return GroupAverage(space, groups.told, off=groups.off)
    return OwnStep(decision_steps.load(name), space.classes)


def _shown(job: Job, samples: Samples) -> Reals:
    """(C,) shares of the classes among the rows that training showed; of a blend the weighted mean."""
    size = samples.space.n_classes
    weights = job.inputs["of"].json(BLEND)["weights"] if (job.inputs["of"].folder / BLEND).is_file() else {}
    total_C = np.zeros(size)
    for name, artifact in job.inputs.items():
        if not name.startswith(SHOWN):
            continue
        counts = resampled.shown(artifact, samples.space.classes)
        total_C += float(weights.get(name.removeprefix(SHOWN), 1.0)) * decision_steps.counted(counts)
    return np.asarray(total_C / total_C.sum(), dtype=np.float64)
