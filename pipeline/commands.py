"""What each command does with the stages: build, publish, tell.

Owns the story of a command. Does not own parsing words (`pipeline/__main__.py`) or building
(`engine/context.py`).
"""

from __future__ import annotations

import argparse
import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path

from pipeline.core.errors import DataError
from pipeline.core.metrics import get as metric_of
from pipeline.data import host, load
from pipeline.engine.context import Context, flat
from pipeline.engine.graph import refuse_forbidden, refuse_unread
from pipeline.engine.registry import Need
from pipeline.errors import beside
from pipeline.errors.advice import kept
from pipeline.errors.advice.tested import Runs
from pipeline.errors.judging import kept as judging
from pipeline.explain import explaining
from pipeline.pages.command_words import make_with
from pipeline.record import housekeeping
from pipeline.record.store import Artifact, told_as_storage_error
from pipeline.settings.load import Settings
from pipeline.submit import (
    blending,
    final,
    hand_in,
    hostscore,
    ledger,
    reproduce,
    runs,
    standing,
    submission,
    summary,
    validate,
)
from pipeline.train.scoring import SCORED
from pipeline.train.studies import arms
from pipeline.train.studies import grid as ablate
from pipeline.tune import tune

Options = argparse.Namespace
# Commands that need no result to stay where it is; `make gc` waits for all others.
LOOKS = ("new", "pin-best", "runs", "config", "du", "gc", "pin")


def run(options: Options, settings: Settings) -> None:
    """Run the command that `options` names."""
    context = Context(settings, options.rehash)
    with told_as_storage_error(context.home):
        try:
            with contextlib.nullcontext() if options.command in LOOKS else context.using():
                COMMANDS[options.command](context, options)
            if context.seconds.keys() & set(SCORED):
                name = settings.config.competition.name
                context.tracker.standings(name, runs.markdown(context.store, name))
        finally:
            context.close()


def _stage(name: str) -> Callable[[Context, Options], None]:
    def command(ctx: Context, options: Options) -> None:
        ctx.check(Need(name, ctx.settings))
        _report(ctx, ctx.need(name))

    return command


def _report(ctx: Context, artifact: Artifact) -> None:
    for line in summary.reports(artifact):
        ctx.say(line)


def _folds(ctx: Context, options: Options) -> None:
    """The fold plan and its checks; a plan with faults is an error."""
    ctx.check(Need("folds", ctx.settings))
    artifact = ctx.need("folds")
    health = load.health(artifact)
    ctx.say(health[health.columns[:5]].to_string(index=False))
    _report(ctx, artifact)
    checks = load.fold_checks(artifact)
    faults = [text for text in checks if text.startswith("fault")]
    if faults:
        raise DataError(f"folds: {len(faults)} faults make scores on this plan untrue", checks)
    for text in checks or ("check: sound",):
        ctx.say(text)


def _ablate(ctx: Context, options: Options) -> None:
    """Train every arm of a grid with every seed, and compare them."""
    grid = ablate.read(Path(options.grid))
    settings = ctx.settings
    if grid.experiment and not any(word.startswith("experiment=") for word in options.settings):
        settings = settings.member(grid.experiment)
    settings = arms.started(settings, grid)
    for need in arms.needed(settings, grid):
        ctx.get(need)
    need = Need("ablate", settings, {"grid": options.grid, "digest": ctx.index.digest(Path(options.grid))})
    trainings = [n for n in ctx.graph.inputs(need).values() if n.stage == "train"]
    for training in trainings[:: len(grid.seeds)]:
        refuse_unread(training.settings, [training], ctx.graph)
    refuse_forbidden(trainings, ctx.graph)
    ctx.say(
        f"ablate          {len(trainings)} trainings: {len(trainings) // len(grid.seeds)} arms × "
        f"{len(grid.seeds)} seeds; what is finished is reused"
    )
    for line in arms.budget_lines(arms.runs(ctx.get, settings, grid, ctx.home), grid):
        ctx.say(line)
    _report(ctx, ctx.get(need))


def _error_analysis(ctx: Context, options: Options) -> None:
    if options.a:
        ctx.check(Need("error_analysis", ctx.settings, {"a": options.a}))
        new = Path(options.a).resolve()
    else:
        blending.measured(ctx, ctx.settings)
        blend_of = (Need("ensemble", ctx.settings), *blending.decisions(ctx.settings, "ensemble"))
        ctx.check(*blend_of, Need("error_analysis", ctx.settings))
        blend = blending.blend(ctx)
        if blend is None:
            return
        new = blend
    given = Path(options.verdicts) if options.verdicts else None
    _compare(ctx, new, Path(options.b).resolve() if options.b else None, given)


def _compare(ctx: Context, new: Path, old: Path | None, verdicts: Path | None = None) -> Artifact:
    metric = metric_of(ctx.settings.config.competition.metric)
    entries = [e for e in _entries(ctx) if e.metric == metric.name]
    if old is None:
        here = [e for e in entries if _csv(ctx, e).is_file()]
        itself = next((e.name for e in here if _csv(ctx, e).samefile(new)), "") if new.is_file() else ""
        best = standing.best(ctx.settings, here, ctx.store, ctx.need("data"), excluding=itself)
        if best is not None:
            ctx.say(f"compared with {best.entry.name}: {best.why}")
            old = _csv(ctx, best.entry)
    for path in (new, old):
        if path is not None and not path.is_file():
            raise DataError(f"{path}: no such file", remedy="give a host-format CSV")
    if old is None and (verdicts is not None or beside.made_of(ctx.store, ctx.need("data"), new) is None):
        raise DataError(
            f"{new.name}: the ledger holds no other submission to compare it with",
            remedy="make infer another experiment, or name one: "
            + make_with("make error-analysis B=best.csv", ctx.settings.competition_words),
        )
    if old is None:
        ctx.say("the first submission: where it errs, with nothing to compare it with yet")
    if old is not None and verdicts is not None:
        ctx.say(judging.take_in(ctx.settings, ctx.need("data"), ctx.home, verdicts, (new, old)))
    # By file and not by name: a teammate's CSV may be called as one of ours.
    scores = {_csv(ctx, e).resolve(): "" if e.public is None else repr(e.public) for e in entries}
    params: dict[str, str | int] = {
        "a": os.path.relpath(new, ctx.home),
        "b": "" if old is None else os.path.relpath(old, ctx.home),
        "a_public": scores.get(new.resolve(), ""),
        "b_public": "" if old is None else scores.get(old.resolve(), ""),
        "known": _known(ctx),
        **beside.found(ctx, ctx.need("data"), new),
    }
    answers = judging.kept_path(ctx.home, ctx.settings)
    if answers.is_file():
        params[judging.PARAM] = os.path.relpath(answers, ctx.home)
    artifact = ctx.get(Need("error_analysis", ctx.settings, params))
    kept.keep(ctx.home, artifact)
    _report(ctx, artifact)
    return artifact


def _known(ctx: Context) -> str:
    """Digest of the finished runs that a report may speak of, so that a new run makes a new report."""
    data, folds = ctx.need("data"), ctx.need("folds")
    train = load.samples(data, "train", ctx.home)
    names = (f"{a.stage}/{a.key}" for a in (data, folds))
    return kept.digest(ctx.home, Runs(ctx.store, ctx.settings.config, train, *names))


def _score(ctx: Context, options: Options) -> None:
    config = ctx.settings.config.competition
    said = options.public is not None or options.private is not None
    if said and not options.file:
        raise DataError(
            "a score needs the submission that it belongs to", remedy="make score FILE=… PUBLIC=0.71"
        )
    data = ctx.need("data")
    paths = [Path(options.file)] if options.file else _unscored(ctx, options.reveal)
    for path in paths:
        name = hostscore.take_in(ctx.home, ctx.settings, data, path)
        score = hostscore.HostScore(name, options.public, options.private)
        if not said:
            path = ctx.home / "submissions" / f"{name}.csv"
            score = hostscore.of_answers(ctx.settings, data, ctx.home, path, options.reveal)
        entry = hostscore.record(ctx.home, ctx.tracker, config, score)
        ctx.say(hostscore.described(entry, options.reveal or options.private is not None))
    if not paths:
        for entry in _entries(ctx):
            ctx.say(hostscore.described(entry, reveal=False))


def _entries(ctx: Context) -> list[ledger.Entry]:
    """The ledger's lines of this competition."""
    name = ctx.settings.config.competition.name
    return [e for e in ledger.read(submission.ledger_of(ctx.home)) if e.competition == name]


def _csv(ctx: Context, entry: ledger.Entry) -> Path:
    return ctx.home / "submissions" / f"{entry.name}.csv"


def _unscored(ctx: Context, again: bool) -> list[Path]:
    metric = metric_of(ctx.settings.config.competition.metric).name
    entries = [e for e in _entries(ctx) if e.metric == metric and (again or e.public is None)]
    return [_csv(ctx, e) for e in entries if _csv(ctx, e).is_file()]


def _leaderboard(ctx: Context, options: Options) -> None:
    """The ledger against the host, and why the two differ."""
    entries = _of_metric(ctx)
    if not entries:
        raise DataError("the ledger holds no submission of this competition", remedy="make infer first")
    need = final.leaderboard_need(ctx.settings, entries, ctx.store, ctx.need("data"), options.name)
    ctx.check(need)
    _report(ctx, ctx.get(need))


def _final(ctx: Context, options: Options) -> None:
    """Which submissions to select in the end."""
    if options.n < 1:
        raise DataError(f"N={options.n}: at least one submission must be selected", remedy="make final N=2")
    for line in final.proposal(ctx.settings, _of_metric(ctx), ctx.store, ctx.need("data"), options.n):
        ctx.say(line)


def _pin_best(ctx: Context, options: Options) -> None:
    """Mark the best submission by hand, or take the mark away."""
    if not options.name.strip():
        raise DataError("NAME is missing", remedy="make pin-best NAME=…, or NAME=none to take the mark away")
    name = None if options.name == "none" else options.name
    ledger.pin(submission.ledger_of(ctx.home), name, ctx.settings.config.competition.name)
    ctx.say(f"pinned {name} as the best" if name else "no submission is pinned any more")


def _of_metric(ctx: Context) -> list[ledger.Entry]:
    """The ledger's lines of this competition and metric."""
    metric = metric_of(ctx.settings.config.competition.metric).name
    return [e for e in _entries(ctx) if e.metric == metric]


def _models(ctx: Context, options: Options) -> None:
    """What networks cost on this machine, one line each."""
    # Imported here: no other command measures networks.
    from pipeline.engine.hardware import set_up
    from pipeline.train import network_cost

    refuse_unread(ctx.settings, (), ctx.graph, network_cost.READS)
    for line in network_cost.table(ctx.settings, options.names.split(), set_up(ctx.settings.config.runtime)):
        ctx.say(line)


def _new(ctx: Context, options: Options) -> None:
    # Imported here: no other command looks at files that nobody has described.
    from pipeline.data.new import create
    from pipeline.data.new.request import Request

    if not options.images.strip():
        raise DataError(
            "IMAGES is missing", remedy="make new NAME=pets IMAGES=folder, or with TRAIN=train.csv"
        )
    train, test, sample = (Path(p) if p else None for p in (options.train, options.test, options.sample))
    request = Request(options.name, Path(options.images), train, test, sample, ctx.home)
    written = create.create(request, ctx.settings)
    ctx.say(f"wrote {os.path.relpath(written.path)}")
    for line in written.lines:
        ctx.say(line)
    ctx.say(f'next: make eda ARGS="competition={options.name}", or make all with the same ARGS')


def _tune(ctx: Context, options: Options) -> None:
    """Search the settings of one stage, or of all in a budget."""
    if options.stage != "all":
        return tune.command(ctx, options)
    # Imported here: no other command shares a budget.
    from pipeline.tune import tune_all

    return tune_all.command(ctx, options)


def _runs(ctx: Context, options: Options) -> None:
    for line in runs.table(ctx.store, ctx.settings.config.competition.name):
        ctx.say(line)


def _config(ctx: Context, options: Options) -> None:
    config = ctx.settings.config
    rows = flat(config.model_dump(mode="json"))
    wide = max(len(path) for path in rows)
    for path, value in rows.items():
        source = ctx.settings.sources.get(path) or "default"
        ctx.say(f"{path:<{wide}} = {value:<40} {source}")


def _du(ctx: Context, options: Options) -> None:
    for line in housekeeping.usage(ctx.home, ctx.store):
        ctx.say(line)


def _gc(ctx: Context, options: Options) -> None:
    with ctx.store.freeing():
        for line in housekeeping.collect(ctx.store, ctx.home, options.dry):
            ctx.say(line)


def _pin(ctx: Context, options: Options) -> None:
    ctx.say(housekeeping.pin(ctx.store, ctx.home, options.key))


def _all(ctx: Context, options: Options) -> None:
    """Everything, and a summary that a person can act on."""
    started = time.monotonic()
    blending.measured(ctx, ctx.settings)
    ensemble = Need("ensemble", ctx.settings)
    members = [n for n in ctx.graph.inputs(ensemble).values() if n.stage == "infer" and n.key is None]
    shown = [Need("eda", ctx.settings), *(Need("resample", m.settings) for m in members)]
    after = (*blending.decisions(ctx.settings, "ensemble"), Need("error_analysis", ctx.settings))
    ctx.check(*shown, ensemble, *after)
    for need in shown:
        ctx.get(need)
    path = blending.blend(ctx)
    if path is None:
        return
    config = ctx.settings.config.competition
    if host.knows_answers(config):
        for csv in _unscored(ctx, again=False):
            score = hostscore.of_answers(ctx.settings, ctx.need("data"), ctx.home, csv, reveal=False)
            hostscore.record(ctx.home, ctx.tracker, config, score)
    report = _compare(ctx, path, None)
    entry = next(e for e in _entries(ctx) if e.name == path.stem)
    for line in summary.lines(
        ctx.settings, blending.decided(ctx, Need("ensemble", ctx.settings)), entry, path, report
    ):
        ctx.say(line)
    ctx.say(summary.times(ctx.seconds, time.monotonic() - started))


COMMANDS: dict[str, Callable[[Context, Options], None]] = {
    "new": _new,
    "models": _models,
    "all": _all,
    "eda": _stage("eda"),
    "folds": _folds,
    "ablate": _ablate,
    "resample": _stage("resample"),
    "preview": _stage("preview"),
    "train": _stage("train"),
    "infer": blending.infer,
    "refit": blending.refit,
    "distill": blending.distill,
    "learning-curve": _stage("learning_curve"),
    "robustness": _stage("robustness"),
    "tune": _tune,
    "ensemble": blending.ensemble,
    "error-analysis": _error_analysis,
    "explain": explaining.command,
    "score": _score,
    "validate": validate.command,
    "submit": hand_in.command,
    "reproduce": reproduce.command,
    "leaderboard": _leaderboard,
    "pin-best": _pin_best,
    "final": _final,
    "runs": _runs,
    "config": _config,
    "du": _du,
    "gc": _gc,
    "pin": _pin,
}
