"""`make ensemble`: finished members become one, with an honest score.

    make ensemble ARGS="ensemble.members=[lite0,probe] ensemble.method=geometric"
    make ensemble ARGS="ensemble.members=[lite0,file:kernel.csv+kernel_oof.csv,labels:mate.csv]"

Owns the stage only: who votes is `ensemble/voters.py`, voting and fitting are `pipeline/combine/`, words
about members `ensemble/account.py`. Imports no torch, so that with finished members it answers in seconds.
"""

from __future__ import annotations

import numpy as np

from pipeline.core import metrics
from pipeline.core.voting import fitting
from pipeline.data import load
from pipeline.engine.stage import Built, Job
from pipeline.ensemble import account, cost, voters
from pipeline.record import files
from pipeline.record.store import Artifact
from pipeline.record.tracking import note
from pipeline.train import scoring


def build(job: Job) -> Built:
    """Write oof.npz (cross-fitted), test.npz, blend.json.

    Raises:
        ConfigError: two members are the same run, or one was trained on other data or folds.
        DataError: members predict other images, or a CSV from elsewhere has faults.
    """
    config = job.settings.config
    samples, unseen = (load.samples(job.inputs["data"], split, job.home) for split in ("train", "test"))
    plan = load.plan(job.inputs["folds"])
    everyone = voters.of(job.settings, job.inputs, samples, unseen, plan.covered)
    oofs = everyone.oofs
    metric = metrics.get(config.competition.metric)
    known = samples.take(oofs[0].ids_N)
    parts = scoring.crossfit_parts(config, samples, plan, oofs[0].ids_N)
    asked = config.ensemble
    members, refits = _inputs(job, voters.PREFIX), _inputs(job, voters.REFIT)
    fit = cost.budget(asked.max_ms, members)
    recipe = fitting.Recipe(asked.method, asked.temperature, everyone.weights, asked.stack_c, fit=fit)
    blend, oof = fitting.cross_fit(oofs, known.labels, parts, metric, recipe)
    own = blend.fitted.apply(everyone.tests, "ensemble")
    test = everyone.with_guests(own)
    files.write_probabilities(job.draft / "oof.npz", oof)
    files.write_probabilities(job.draft / "test.npz", test)

    shares = account.of(config, known, oofs, blend)
    best = shares.best
    against = scoring.compare(config, samples, oof, next(o for o in oofs if o.name == best))
    by_fold = [oof.take(np.intersect1d(split.valid_ids, oof.ids_N)) for split in plan.splits]
    rival = scoring.best_earlier(job.store, config, job.inputs, job.key)
    card = scoring.score_card(config, samples, oof, scoring.scores_of(config, samples, by_fold), rival)
    told = [
        *everyone.notes,
        *account.lines(shares, blend),
        *scoring.lines(card, len(samples)),
        *everyone.lines(own),
    ]
    if refits:
        told.append("test set predicted by models of all data; the scores are those of their folds")
    if recipe.fits(len(oofs)):
        told.append(f"the same fit on the predictions that it learned from: {blend.naive:.4f} (optimistic)")
    told.append(f"ensemble against its best member {best}: {account.verdict(against)}")
    files.write_json(
        job.draft / "blend.json",
        {
            "method": asked.method,
            "members": {n: f"infer/{a.key}" for n, a in members.items()},
            "refits": {n: f"refit/{a.key}" for n, a in refits.items()},
            "outside": everyone.files,
            "weights": dict(zip(blend.members, blend.weights, strict=True)),
            "temperatures": dict(zip(blend.members, blend.fitted.temperatures, strict=True)),
            "test_only": {g.p.name: g.weight for g in everyone.guests},
            "scores": shares.scores,
            "contributions": {c.member: c.gain for c in shares.contributions},
            "naive": blend.naive,
            "crossfitted": blend.crossfitted,
            "best_member": best,
            "against_best_member": str(against),
            "disagreement": shares.disagreement_MM.tolist(),
        },
    )
    used = [n for n, w in zip(blend.members, blend.weights, strict=True) if w > 0]
    used += [guest.p.name for guest in everyone.guests]
    figures = {
        **card.figures,
        "delta_vs_member": against.delta,
        "ms_per_image": sum(a.metrics["ms_per_image"] for a in members.values()),
        **cost.figures([members.get(n) for n in used]),
        f"naive_{metric.name}": blend.naive,
        "complete": float(all(a.metrics.get("complete") == 1.0 for a in members.values())),
    }
    what = f"{config.ensemble.method} vote of {', '.join(blend.members)}"
    description = note(what, scoring.why(card), "make error-analysis", result="; ".join(told[-3:]))
    tags = scoring.tags(card, rival, job.resolved) | {"changed": f"blends {', '.join(blend.members)}"}
    return Built(figures, tuple(told), description, ("blend.json",), tags)


def _inputs(job: Job, prefix: str) -> dict[str, Artifact]:
    """The finished results among the inputs whose name begins so, by what follows."""
    return {n.removeprefix(prefix): a for n, a in job.inputs.items() if n.startswith(prefix)}
