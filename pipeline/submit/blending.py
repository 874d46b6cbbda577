"""`make infer`, `refit`, `ensemble` and `distill`: what is built for a submission, decided, and submitted.

Owns the order of those commands. Does not own the CSV (`submit/submission.py`), what a stage computes, or
the other commands (`commands.py`).
"""

from __future__ import annotations

import argparse
from pathlib import Path

from pipeline.core.errors import ConfigError
from pipeline.data import load
from pipeline.engine import registry
from pipeline.engine.context import Context
from pipeline.engine.registry import Need, folds_of
from pipeline.ensemble import voters
from pipeline.record.store import Artifact
from pipeline.settings.ensemble import word_of
from pipeline.settings.load import Settings
from pipeline.submit import submission, summary

Options = argparse.Namespace
PARTIAL = "no submission: only folds {folds} are trained; leave out train.folds for all"


def decisions(settings: Settings, of: str) -> list[Need]:
    """The decision of a result, if one is asked for."""
    decision = settings.config.decision
    wanted = bool(decision.steps) and (of == "ensemble" or decision.members)
    return [Need("decide", settings, {"of": of})] if wanted else []


def decided(ctx: Context, need: Need) -> Artifact:
    """What is submitted: the result itself, or the result after the steps of its decision that were kept."""
    # First, as it refuses what is wrong with it before anything is trained. A pinned result has no settings.
    made = [] if need.key else [ctx.get(n) for n in decisions(need.settings, need.stage)]
    kept = [artifact for artifact in made if artifact.metrics["adopted"]]
    return kept[0] if kept else ctx.get(need)


def infer(ctx: Context, options: Options) -> None:
    """One experiment's views, submitted once all folds are there."""
    ctx.check(Need("infer", ctx.settings), *decisions(ctx.settings, "infer"), also=submission.READS)
    submission.refuse(ctx.settings, ctx.need("data"), ctx.home)
    artifact = decided(ctx, Need("infer", ctx.settings))
    if artifact.metrics.get("complete") == 1.0:
        submit(ctx, artifact)
    else:
        ctx.say(PARTIAL.format(folds=folds_of(ctx.settings)))


def refit(ctx: Context, options: Options) -> None:
    """One model of all data, submitted; its score is its twin's, never its own."""
    ctx.check(Need("refit", ctx.settings), *decisions(ctx.settings, "refit"), also=submission.READS)
    submission.refuse(ctx.settings, ctx.need("data"), ctx.home)
    submit(ctx, decided(ctx, Need("refit", ctx.settings)))


def measured(ctx: Context, settings: Settings) -> None:
    """With a budget, members first: what they were measured to cost is part of the ensemble's key."""
    if settings.config.ensemble.max_ms is None:
        return
    inputs = ctx.graph.inputs(Need("ensemble", settings))
    members = [n for n in inputs.values() if n.stage == "infer"]
    later = ("ensemble", "cost", "whole", "decide", "error_analysis", "eda", "resample")
    read = {path for name in later for path in registry.get(name).sections(settings)}
    ctx.check(*members, also=(*read, *submission.READS))
    for member in members:
        ctx.get(member)


def ensemble(ctx: Context, options: Options) -> None:
    """The blend, submitted beside its members."""
    measured(ctx, ctx.settings)
    ctx.check(Need("ensemble", ctx.settings), *decisions(ctx.settings, "ensemble"), also=submission.READS)
    blend(ctx)


def distill(ctx: Context, options: Options) -> None:
    """One student taught by the ensemble's members, beside the blend; the student is submitted."""
    student, members = ctx.settings, ctx.settings.config.ensemble.members
    asked = student.config.train.distill
    if asked is None or not asked.teachers:
        odd = [text for text in members if word_of(text).kind != "experiment"]
        if odd:
            raise ConfigError(
                f"distill: teachers are trained anew, and {', '.join(odd)} is no experiment",
                remedy="name experiments, e.g. ensemble.members=[probe,probe_mlp]",
            )
        student = student.with_values({"train.distill.teachers": members})
    need = Need("distill", student)
    measured(ctx, ctx.graph.teacher(student, student.experiment))
    ctx.check(need, also=submission.READS)
    submission.refuse(student, ctx.need("data", student), ctx.home)
    ctx.get(need)
    inferred = ctx.get(Need("infer", student))
    if inferred.metrics.get("complete") == 1.0:
        submit(ctx, inferred)


def blend(ctx: Context) -> Path | None:
    """The blend and each of its members, submitted; nothing is while folds are missing."""
    submission.refuse(ctx.settings, ctx.need("data"), ctx.home)
    voters.refuse(ctx.settings, load.samples(ctx.need("data"), "test", ctx.home))
    final = decided(ctx, Need("ensemble", ctx.settings))
    whole = ctx.need("ensemble")
    if whole.metrics.get("complete") != 1.0:
        ctx.say(PARTIAL.format(folds=folds_of(ctx.settings)))
        return None
    for name, need in ctx.graph.inputs(Need("ensemble", ctx.settings)).items():
        if name.startswith("member:"):
            member = ctx.store.find(need.stage, ctx.graph.key(need))
            assert member is not None, f"member {name} is gone"
            if need.key is None and decisions(need.settings, "infer"):
                member = decided(ctx, need)
            submission.publish(member, ctx.settings, ctx.store)
    for line in summary.reports(ctx.need("cost")):
        ctx.say(line)
    return submit(ctx, final)


def submit(ctx: Context, artifact: Artifact) -> Path:
    """Write the CSV, and say where."""
    path = submission.publish(artifact, ctx.settings, ctx.store)
    ctx.say(f"submission: {summary.shown(path)}")
    return path
