"""What each command does with the stages: build, publish, tell.

Owns the story of a command. Does not own parsing words (`pipeline/__main__.py`) or building
(`stages/context.py`).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

from pipeline.combine import leaderboard
from pipeline.core.errors import DataError
from pipeline.core.metrics import get as metric_of
from pipeline.record.store import Artifact, told_as_storage_error
from pipeline.settings import ablate
from pipeline.settings.load import Settings
from pipeline.stages import arms, hostscore, housekeeping, load, runs, submission
from pipeline.stages.context import Context, flat
from pipeline.stages.graph import refuse_unread
from pipeline.stages.registry import Need, folds_of

Options = argparse.Namespace


def run(options: Options, settings: Settings) -> None:
    """Run the command that `options` names."""
    context = Context(settings, options.rehash)
    with told_as_storage_error(context.home):
        try:
            COMMANDS[options.command](context, options)
        finally:
            context.close()


def _stage(name: str) -> Callable[[Context, Options], None]:
    def command(ctx: Context, options: Options) -> None:
        ctx.check(Need(name, ctx.settings))
        _report(ctx, ctx.need(name))

    return command


def _report(ctx: Context, artifact: Artifact) -> None:
    for path in sorted(artifact.folder.glob("*.html")):
        ctx.say(f"report: {path.relative_to(ctx.home)}")


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
    ctx.say(
        f"ablate          {len(trainings)} trainings: {len(trainings) // len(grid.seeds)} arms × "
        f"{len(grid.seeds)} seeds; what is finished is reused"
    )
    _report(ctx, ctx.get(need))


def _infer(ctx: Context, options: Options) -> None:
    ctx.check(Need("infer", ctx.settings))
    artifact = ctx.need("infer")
    if artifact.metrics.get("complete") == 1.0:
        _submit(ctx, artifact)
    else:
        ctx.say(
            f"no submission: only folds {folds_of(ctx.settings)} are trained; leave out train.folds for all"
        )


def _ensemble(ctx: Context, options: Options) -> None:
    ctx.check(Need("ensemble", ctx.settings))
    _blend(ctx)


def _blend(ctx: Context) -> Path:
    """The blend and each of its members, submitted."""
    blend = ctx.need("ensemble")
    for name, whole in blend.inputs.items():
        if name.startswith("member:"):
            stage, _, key = whole.partition("/")
            member = ctx.store.find(stage, key)
            assert member is not None, f"member {whole} is gone"
            submission.publish(member, ctx.settings, ctx.store)
    return _submit(ctx, blend)


def _submit(ctx: Context, artifact: Artifact) -> Path:
    path = submission.publish(artifact, ctx.settings, ctx.store)
    ctx.say(f"submission: {path.relative_to(ctx.home)}")
    return path


def _error_analysis(ctx: Context, options: Options) -> None:
    if options.a:
        ctx.check(Need("error_analysis", ctx.settings, {"a": options.a}))
        new = Path(options.a).resolve()
    else:
        ctx.check(Need("ensemble", ctx.settings), Need("error_analysis", ctx.settings))
        new = _blend(ctx)
    _compare(ctx, new, Path(options.b).resolve() if options.b else None)


def _compare(ctx: Context, new: Path, old: Path | None) -> Artifact:
    config = ctx.settings.config.competition
    entries = [e for e in leaderboard.read(submission.ledger_of(ctx.home)) if e.competition == config.name]
    if old is None:
        better = metric_of(config.metric).higher_is_better
        best = leaderboard.best(entries, excluding=new.stem, higher_is_better=better)
        if best is None:
            raise DataError(
                f"{new.name}: the ledger holds no other submission to compare it with",
                remedy="make infer another experiment, or name one: make error-analysis B=best.csv",
            )
        old = ctx.home / "submissions" / f"{best.name}.csv"
    for path in (new, old):
        if not path.is_file():
            raise DataError(f"{path}: no such file", remedy="give a host-format CSV")
    scores = {e.name: "" if e.public is None else repr(e.public) for e in entries}
    params = {
        "a": str(new),
        "b": str(old),
        "a_public": scores.get(new.stem, ""),
        "b_public": scores.get(old.stem, ""),
    }
    artifact = ctx.get(Need("error_analysis", ctx.settings, params))
    _report(ctx, artifact)
    return artifact


def _score(ctx: Context, options: Options) -> None:
    config = ctx.settings.config.competition
    said = options.public is not None or options.private is not None
    if said and not options.file:
        raise DataError(
            "a score needs the submission that it belongs to", remedy="make score FILE=… PUBLIC=0.71"
        )
    if said:
        name = Path(options.file).stem
        score = hostscore.HostScore(name, options.public, options.private)
        ctx.say(hostscore.described(hostscore.record(ctx.home, ctx.tracker, config, score)))
        return
    paths = [Path(options.file)] if options.file else _unscored(ctx, options.reveal)
    for path in paths:
        if not path.is_file():
            raise DataError(f"{path}: no such file", remedy="give a CSV below submissions/")
        score = hostscore.of_demo(ctx.settings, path, options.reveal)
        ctx.say(hostscore.described(hostscore.record(ctx.home, ctx.tracker, config, score)))
    if not paths:
        _ledger(ctx)


def _unscored(ctx: Context, again: bool) -> list[Path]:
    name = ctx.settings.config.competition.name
    entries = [e for e in leaderboard.read(submission.ledger_of(ctx.home)) if e.competition == name]
    folder = ctx.home / "submissions"
    paths = [folder / f"{e.name}.csv" for e in entries if again or e.public is None]
    return [p for p in paths if p.is_file()]


def _ledger(ctx: Context) -> None:
    name = ctx.settings.config.competition.name
    for entry in leaderboard.read(submission.ledger_of(ctx.home)):
        if entry.competition == name:
            ctx.say(hostscore.described(entry))


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
    for line in housekeeping.collect(ctx.store, ctx.home, options.dry):
        ctx.say(line)


def _pin(ctx: Context, options: Options) -> None:
    ctx.say(housekeeping.pin(ctx.store, ctx.home, options.key))


def _all(ctx: Context, options: Options) -> None:
    """Everything, and a summary that a person can act on."""
    started = time.monotonic()
    ensemble = Need("ensemble", ctx.settings)
    members = [n for n in ctx.graph.inputs(ensemble).values() if n.stage == "infer" and n.key is None]
    shown = [Need("eda", ctx.settings), *(Need("resample", m.settings) for m in members)]
    ctx.check(*shown, ensemble, Need("error_analysis", ctx.settings))
    for need in shown:
        ctx.get(need)
    path = _blend(ctx)
    config = ctx.settings.config.competition
    if config.demo is not None:
        for csv in _unscored(ctx, again=False):
            hostscore.record(
                ctx.home, ctx.tracker, config, hostscore.of_demo(ctx.settings, csv, reveal=False)
            )
    artifact = _compare(ctx, path, None)
    _summary(ctx, ctx.need("ensemble"), path, artifact, time.monotonic() - started)


def _summary(ctx: Context, blend: Artifact, path: Path, report: Artifact, seconds: float) -> None:
    config = ctx.settings.config.competition
    entries = {e.name: e for e in leaderboard.read(submission.ledger_of(ctx.home))}
    entry = entries[path.stem]
    m = blend.metrics
    value = m[f"oof_{metric_of(config.metric).name}"]
    score = f"{value:.4f}  95 % interval [{m['ci_low']:.4f}, {m['ci_high']:.4f}]"
    against = blend.json("blend.json")
    page = next(iter(sorted(report.folder.glob("*.html"))))
    public = (
        f"{entry.public:.4f}"
        if entry.public is not None
        else "submit the CSV, then make score FILE=… PUBLIC=…"
    )
    spent = "  ".join(f"{name} {s:.0f}" for name, s in ctx.seconds.items() if s >= 0.5)
    ctx.say(
        f"\n{config.title or config.name}\n"
        f"  pooled OOF {config.metric:<12} {score}\n"
        f"  against best member     {against['against_best_member']} ({against['best_member']})\n"
        f"  submission              {path.relative_to(ctx.home)}\n"
        f"  public score            {public}\n"
        f"  error report            {page.relative_to(ctx.home)}\n"
        f"  MLflow                  make ui, then open http://127.0.0.1:5000\n"
        f"  seconds                 {spent or 'everything was reused'}; {seconds:.0f} in all"
    )


COMMANDS: dict[str, Callable[[Context, Options], None]] = {
    "all": _all,
    "eda": _stage("eda"),
    "folds": _folds,
    "ablate": _ablate,
    "resample": _stage("resample"),
    "train": _stage("train"),
    "infer": _infer,
    "ensemble": _ensemble,
    "error-analysis": _error_analysis,
    "score": _score,
    "runs": _runs,
    "config": _config,
    "du": _du,
    "gc": _gc,
    "pin": _pin,
}
