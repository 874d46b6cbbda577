"""`make ensemble`: soft voting of finished members, with an honest score.

Owns the stage only; voting and weight search are `pipeline/combine/`. Imports no torch, so that with
finished members it answers in seconds.
"""

from __future__ import annotations

import numpy as np

from pipeline.combine import search, vote
from pipeline.core import metrics
from pipeline.core.errors import ConfigError
from pipeline.core.predictions import align
from pipeline.record import files
from pipeline.record.runinfo import note
from pipeline.record.store import Artifact
from pipeline.stages import load, prices, scoring
from pipeline.stages.context import Built, Job

PREFIX = "member:"
# What predicts the test set in a member's place, with the weight that its folds were given.
REFIT = "refit:"


def build(job: Job) -> Built:
    """Write oof.npz (cross-fitted), test.npz, blend.json.

    Raises:
        ConfigError: two members are the same run, or one was trained on other data or folds.
        DataError: members predict other images.
    """
    config = job.settings.config
    members = {n.removeprefix(PREFIX): a for n, a in job.inputs.items() if n.startswith(PREFIX)}
    _refuse_mismatch(members, dict(job.inputs))
    samples = load.samples(job.inputs["data"], "train", job.home)
    plan = load.plan(job.inputs["folds"])
    oofs = align([load.oof(a, name) for name, a in members.items()])
    metric = metrics.get(config.competition.metric)
    y_N = samples.take(oofs[0].ids_N).labels
    parts = scoring.crossfit_parts(config, samples, plan, oofs[0].ids_N)
    fit = prices.budget(config.ensemble.max_ms, members)
    blend, oof = search.cross_fit(oofs, y_N, parts, metric, config.ensemble.method, fit)
    refits = {n.removeprefix(REFIT): a for n, a in job.inputs.items() if n.startswith(REFIT)}
    tests = [load.test(refits.get(name, a), name) for name, a in members.items()]
    test = vote.soft_vote(tests, blend.weights, "ensemble")
    files.write_probabilities(job.draft / "oof.npz", oof)
    files.write_probabilities(job.draft / "test.npz", test)

    scores = {o.name: metric.score(samples.take(o.ids_N).labels, o.p_NC) for o in oofs}
    best = max(scores, key=lambda name: metric.sign * scores[name])
    against = scoring.compare(config, samples, oof, next(o for o in oofs if o.name == best))
    by_fold = [oof.take(np.intersect1d(split.valid_ids, oof.ids_N)) for split in plan.splits]
    rival = scoring.best_earlier(job.store, config, job.inputs, job.key)
    card = scoring.score_card(config, samples, oof, scoring.scores_of(config, samples, by_fold), rival)
    told = [
        *(
            f"{n:<14} OOF {scores[n]:.4f}  weight {w:.2f}"
            for n, w in zip(blend.members, blend.weights, strict=True)
        ),
        *scoring.lines(card, len(samples)),
        f"ensemble against its best member {best}: {against}",
    ]
    if refits:
        told.insert(-1, "test set predicted by models of all data; the scores are those of their folds")
    if len(set(blend.weights)) > 1:
        optimism = f"{blend.naive:.4f} (optimistic)"
        told.insert(-1, f"the same weights on the predictions that chose them: {optimism}")
    files.write_json(
        job.draft / "blend.json",
        {
            "members": {n: f"infer/{a.key}" for n, a in members.items()},
            "refits": {n: f"refit/{a.key}" for n, a in refits.items()},
            "weights": dict(zip(blend.members, blend.weights, strict=True)),
            "scores": scores,
            "naive": blend.naive,
            "crossfitted": blend.crossfitted,
            "best_member": best,
            "against_best_member": str(against),
            "disagreement": vote.disagreement(oofs).tolist(),
        },
    )
    figures = {
        **card.figures,
        "delta_vs_member": against.delta,
        "ms_per_image": sum(a.metrics["ms_per_image"] for a in members.values()),
        **prices.figures([members[n] for n, w in zip(blend.members, blend.weights, strict=True) if w > 0]),
        f"naive_{metric.name}": blend.naive,
        "complete": float(all(a.metrics.get("complete") == 1.0 for a in members.values())),
    }
    what = f"soft voting ({config.ensemble.method}) of {', '.join(members)}"
    description = note(what, scoring.why(card), "make error-analysis", result="; ".join(told[-3:]))
    tags = scoring.tags(card, rival, job.resolved) | {"changed": f"blends {', '.join(members)}"}
    return Built(figures, tuple(told), description, ("blend.json",), tags)


def _refuse_mismatch(members: dict[str, Artifact], inputs: dict[str, Artifact]) -> None:
    seen: dict[str, str] = {}
    faults = []
    for name, artifact in members.items():
        if artifact.key in seen:
            faults.append(f"{name} and {seen[artifact.key]} are the same run {artifact.key}")
        seen[artifact.key] = name
        for what in ("data", "folds"):
            mine, theirs = f"{what}/{inputs[what].key}", artifact.inputs.get(what)
            if mine != theirs:
                faults.append(f"{name} was trained on other {what} ({theirs}, expected {mine})")
    if faults:
        raise ConfigError(
            "ensemble.members: these cannot vote together",
            faults,
            "members need the same competition, folds and fold seed, and must differ in their settings",
        )
