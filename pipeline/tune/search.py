"""The search of one stage's settings: try settings, test the winner again, write it as an experiment.

    make tune STAGE=tta                                     the space configs/tune/tta.yaml
    make tune STAGE=train TRIALS=30 TIMEOUT=2h JOBS=2       three processes may share one study as well
    make tune STAGE=resample ARGS="experiment=probe_mlp"    another experiment

Owns the order of a search (refuse, build what all trials share, try, re-test, write, report) and when it ends
(TRIALS, TIMEOUT and JOBS). Does not own a trial (`tune/trials.py`), the re-test (`tune/retest.py`), the file
of the winner (`tune/winners.py`) or several stages in one budget (`tune/budget.py`).
"""

from __future__ import annotations

import argparse
import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

from pipeline.core.errors import ConfigError, nearest
from pipeline.core.search_space import Point, faults
from pipeline.engine.graph import check, refuse_unread
from pipeline.engine.need import Need
from pipeline.engine.session import Session
from pipeline.errors.findings import planting
from pipeline.record.digests import sha256_text
from pipeline.record.study import Plan, Studies, Study, storage_of
from pipeline.settings.load import Settings
from pipeline.train import estimate
from pipeline.tune import page, proxy, retest, space, space_check, trials, winners, workers
from pipeline.tune.progress import Progress
from pipeline.tune.retest import RetestVerdict
from pipeline.tune.search_record import SearchRecord
from pipeline.tune.space import DEFINING
from pipeline.tune.trials import EARLIER, KINDS, Bench, Kind, Trials

Options = argparse.Namespace
PRICED = ("infer", "ensemble", "decide")
MOST_EARLIER = 3


UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}
TIME = re.compile(r"(\d+(?:\.\d+)?)([smh]?)")


@dataclass(frozen=True)
class Limits:
    """When a search ends.

    Args:
        trials: in the whole study.
        seconds: of searching, the re-test not counted; None: no limit.
        jobs: processes.
    """

    trials: int
    seconds: float | None = None
    jobs: int = 1


def seconds_of(text: str, name: str) -> float:
    """`90`, `90s`, `30m` or `2h` in seconds.

    Raises:
        ConfigError: it is none of these, or nothing.
    """
    found = TIME.fullmatch(text.strip())
    if not found or float(found[1]) <= 0:
        raise ConfigError(
            f"{name}={text}: no length of time", remedy=f"e.g. {name}=90s, {name}=30m or {name}=2h"
        )
    return float(found[1]) * UNITS[found[2] or "s"]


def limits_of(options: argparse.Namespace, trials_: int) -> Limits:
    """When a search ends, as the command says.

    Args:
        options: of the command.
        trials_: where it does not say.

    Raises:
        ConfigError: limits that are none, all at once.
    """
    wanted = trials_ if options.trials is None else options.trials
    seconds = seconds_of(options.timeout, "TIMEOUT") if options.timeout else None
    bad = [f"TRIALS={wanted}: at least one"] * (wanted < 1)
    bad += [f"JOBS={options.jobs}: at least one, at most 64"] * (not 1 <= options.jobs <= 64)
    if options.budget and options.stage != "all":
        bad.append(f"BUDGET={options.budget}: is for STAGE=all; one stage has TIMEOUT={options.budget}")
    if bad:
        raise ConfigError(f"tune: {len(bad)} to mend", bad)
    return Limits(wanted, seconds, options.jobs)


@dataclass(frozen=True)
class Prepared:
    """A search that may begin: everything that can be refused was.

    Args:
        bench: of its trials.
        file: of its space.
        limits: when it ends.
        command: that makes it again.
    """

    bench: Bench
    file: Path
    limits: Limits
    command: str


def kind_of(name: str) -> Kind:
    """A stage that can be tuned, by name."""
    if name not in KINDS:
        hint = nearest(name, KINDS) or f"known: {', '.join(KINDS)}, all"
        raise ConfigError(f"STAGE={name}: no stage that can be tuned", remedy=hint)
    return KINDS[name]


def prepare(session: Session, options: Options, stage: str) -> Prepared:
    """Refuse what can be refused, without building anything.

    Raises:
        ConfigError: the space has faults, or an override that it varies, or limits are no limits.
    """
    kind = kind_of(stage)
    if kind.stage == "finders":
        kind = replace(kind, params={**kind.params, **planting.with_features(session, session.settings)})
    file = Path(options.space) if options.space else session.settings.folder / "tune" / f"{stage}.yaml"
    form = space.read(file)
    limits = limits_of(options, form.trials)
    settings = _started(session.settings, form, options)

    def refuse(made: Settings) -> None:
        check([kind.need(made)], session.graph)
        session.refuse(kind.need(made))

    found = space_check.checked(str(file), form, settings, kind.sections, refuse)
    faults = _odd_objectives(kind, form, settings)
    if faults:
        raise space.broken(file, faults)
    if form.full is not None:
        proxy.refuse(str(file), form.full, kind, settings)
    refuse_unread(settings, [kind.need(settings)], session.graph)
    session.check(kind.need(settings), also=tuple(path for path, _ in session.settings.request.values))
    bench = Bench(Trials(settings, session.catalogue, f"tune {stage}"), kind, found, settings)
    for line in found.told:
        session.say(f"    {line}")
    prepared = Prepared(bench, file, limits, _command(options, stage))
    _refuse_short(session, prepared)
    return prepared


def _odd_objectives(kind: Kind, form: space.SearchSpace, settings: Settings) -> list[str]:
    """A second objective that there is none of, and a re-test that would repeat the search."""
    found = []
    if form.second is not None and kind.stage not in PRICED:
        found.append(
            f"second: {form.second}: {kind.name} has no price an image; tta, ensemble and decision have"
        )
    config = settings.config
    own = {config.train.seed, config.resample.seed} if kind.stage == "train" else set()
    found += [
        f"retest_seeds: {seed} is a seed of the search: its luck would be tested by itself"
        for seed in form.retest_seeds
        if seed in own
    ]
    return found


def _started(settings: Settings, form: space.SearchSpace, options: Options) -> Settings:
    """The settings that all trials start from: the space's, where the command line says nothing else."""
    if form.experiment and not any(word.startswith("experiment=") for word in options.settings):
        settings = settings.member(form.experiment)
    given = {path for path, _ in settings.request.values}
    clash = sorted(given & set(form.space))
    if clash:
        what = [f"{path}: the space varies it, trial by trial" for path in clash]
        raise ConfigError(
            "tune: overrides that trials would override again", what, "edit a copy: SPACE=mine.yaml"
        )
    return settings.with_values({p: v for p, v in form.settings.items() if p not in given})


def _refuse_short(session: Session, prepared: Prepared) -> None:
    """Raise ConfigError for a TIMEOUT that is over before one trial is, as far as that is known."""
    limit, expected = prepared.limits.seconds, trial_seconds(session, prepared.bench)
    if limit is not None and expected is not None and limit < expected:
        raise ConfigError(
            f"TIMEOUT={limit:g}s is too short for one trial of {prepared.bench.kind.name}, about "
            f"{expected:.0f} s",
            remedy='give it more, or make a trial cheaper: ARGS="train.folds=[0]", a smaller model',
        )


def trial_seconds(session: Session, bench: Bench) -> float | None:
    """What one trial takes: as long as the default took, or as training is expected to; None: unknown."""
    need = bench.kind.need(bench.settings)
    known = session.store.find(need.stage, session.graph.key(need))
    if known is not None:
        return max(known.seconds, 0.1)
    below = {
        name: session.store.find(name, session.graph.key(Need(name, bench.settings)))
        for name in ("data", "folds")
    }
    there = {name: artifact for name, artifact in below.items() if artifact is not None}
    if bench.kind.stage != "train" or len(there) < 2:
        return None
    missing = [n for n in session.graph.inputs(need).values() if n.stage == "fold"]
    return estimate.training(bench.settings, there, missing, session).seconds


def default_seconds(session: Session, bench: Bench) -> float:
    """What the trainings take that the default rests on and that are not made; data and folds must be."""
    found = 0.0
    for need in session.graph.chain([bench.kind.need(bench.settings)]):
        if need.stage != "train" or need.key or session.store.find("train", session.graph.key(need)):
            continue
        wanted = session.graph.inputs(need)
        missing = [
            n
            for n in wanted.values()
            if n.stage == "fold" and not session.store.find("fold", session.graph.key(n))
        ]
        inputs = {name: session.get(wanted[name]) for name in ("data", "folds")}
        found += estimate.training(need.settings, inputs, missing, session).seconds
    return found


def begin(session: Session, prepared: Prepared, name: str = "") -> Study:
    """Open the study, and build what all trials share: the default, told and recorded as ever."""
    bench = prepared.bench
    storage = Studies(storage_of(session.home), session.home)
    known = storage.names()
    if name and name not in known:
        hint = nearest(name, known) or "leave STUDY out: a study is found by its space, or made"
        raise ConfigError(f"STUDY={name}: no such study", remedy=hint)
    study = open_study(storage, prepared, name)
    need = bench.kind.need(bench.settings)
    score = bench.score(session.get(need))
    _refuse_short(session, prepared)
    done = len(study.done())
    so_far = f", {done} of them done" if done else ""
    session.say(
        f"tune            {bench.kind.name}: {bench.kind.title}; {len(bench.search.dimensions)} dimensions, "
        f"{prepared.limits.trials} trials by {bench.search.form.sampler}{so_far}; default {score:.4f}"
    )
    session.say(f"    study {study.name} in {shown_storage(storage.where, session.home)}")
    return study


def shown_storage(where: str, home: Path) -> str:
    """A storage in words."""
    return "optuna.db" if where == f"sqlite:///{home / 'optuna.db'}" else where.rpartition("@")[2]


def open_study(storage: Studies, prepared: Prepared, name: str = "") -> Study:
    """The study of this space and upstream, or the one that is named."""
    bench, form = prepared.bench, prepared.bench.search.form
    dimensions = [repr(d) for d in bench.search.dimensions]
    whole = form.model_dump_json(include={*DEFINING, "second"})
    digest = sha256_text(whole + "\n".join(dimensions))[:8]
    upstream = bench.session.graph.key(bench.kind.need(bench.settings))[:8]
    plan = Plan(
        name or f"{bench.kind.name}-{digest}-{upstream}",
        bench.search.dimensions,
        bench.maximise,
        form.sampler,
        form.pruner,
        form.warmup_trials,
        form.seed,
        tuple(_queue(bench, storage, digest, upstream)),
        f"{digest}-{upstream}",
    )
    facts = {
        "stage": bench.kind.name,
        "competition": bench.settings.config.competition.name,
        "experiment": bench.settings.experiment,
        "metric": bench.metric.name,
    }
    return storage.open(plan, facts)


def _queue(bench: Bench, storage: Studies, digest: str, upstream: str) -> list[tuple[str, Point]]:
    """What is tried first: the default, known good points, winners of the same space elsewhere."""
    point, outside = space_check.defaults(bench.search, bench.settings)
    found = [] if outside else [("default", point)]
    found += [(f"known good {n}", bench.search.point(v)) for n, v in enumerate(bench.search.form.known_good)]
    alike = f"{bench.kind.name}-{digest}-"
    names = [] if retest.is_unseen(bench) else storage.names()
    for name in [n for n in names if n.startswith(alike) and n != alike + upstream][-MOST_EARLIER:]:
        more = storage.facts(name).get("maximise", bench.maximise[0])
        complete = [t for t in storage.trials(name) if t.state == "complete"]
        if complete:
            best = max(complete, key=lambda t: t.values[0] if more else -t.values[0])
            found.append((f"{EARLIER}{name}", best.point))
    fitting = [(word, p) for word, p in found if not faults(bench.search.dimensions, p)]
    return [(w, p) for n, (w, p) in enumerate(fitting) if p not in [q for _, q in fitting[:n]]]


def worker(prepared: Prepared, name: str) -> None:
    """Run trials of a study that another process looks after."""
    home = prepared.bench.session.home
    try:
        run_trials(prepared, open_study(Studies(storage_of(home), home), prepared, name), None)
    except KeyboardInterrupt:
        raise SystemExit(130) from None  # who looks after the study tells of it


def run_trials(
    prepared: Prepared,
    study: Study,
    say: Callable[[str], None] | None,
    until: float | None = None,
    record: SearchRecord | None = None,
) -> None:
    """Trials until a limit is reached.

    Args:
        prepared: the search.
        study: its study.
        say: gets a line when something better turns up; None: of a worker, who tells nothing.
        until: by `time.monotonic`, where its own limit does not say.
        record: gets the trials as they end; None: another process records them.
    """
    limits = prepared.limits
    end = until if until is not None else time.monotonic() + limits.seconds if limits.seconds else None
    progress = Progress(study, limits.trials, prepared.bench.search, say, end)
    parent = os.getppid()
    try:
        while not _is_over(end, study) and not (say is None and workers.is_orphan(parent)):
            trial = study.ask(limits.trials)
            if trial is None:
                if say is not None and progress.wait_for_others():
                    continue
                if say is not None and len(study.done()) < limits.trials:
                    say(f"    {len(study.done())} trials: every point of the space was tried")
                break
            trials.run(prepared.bench, study, trial)
            trials.refuse_hopeless(study)
            progress.tell()
            if record:
                record.catch_up()
        if say is not None:
            progress.wait_for_others()
    except KeyboardInterrupt:
        if say is not None:
            say(f"\nstopped after {len(study.done())} trials, all kept; to go on: {prepared.command}")
        raise
    finally:
        progress.close()


def _is_over(end: float | None, study: Study) -> bool:
    """Whether the time is up, or the next trial would not fit into what is left."""
    if end is None:
        return False
    taken = [t.seconds for t in study.done()[-5:] if t.state == "complete"]
    expected = sum(taken) / len(taken) if taken else 0.0
    return time.monotonic() + expected > end


def finish(
    session: Session, prepared: Prepared, study: Study, record: SearchRecord, in_full: bool = True
) -> tuple[RetestVerdict, Path | None]:
    """Re-test, write the winner, report; says what is believed.

    Args:
        session: of the command.
        prepared: the search.
        study: where it ended.
        record: its run in MLflow.
        in_full: there is time for the full trainings that a proxy is held against.
    """
    bench = prepared.bench
    verdict = retest.retest(bench, study, session.say)
    told = proxy.lines(bench, study, session.say) if in_full else proxy.unasked(bench)
    written = winners.write(bench, verdict, study.name, prepared.command, date.today())
    report = page.page_of(bench, study, verdict, prepared.command, written, told)
    for line in page.lines(report):
        session.say(line)
    session.say(f"report: {page.write(session, report, bench)}")
    record.finish(report)
    return verdict, written


def _command(options: Options, stage: str) -> str:
    """The make command of this search."""
    words = {"TRIALS": options.trials, "TIMEOUT": options.timeout, "SPACE": options.space}
    told = [f"{name}={value}" for name, value in words.items() if value]
    told += [f"JOBS={options.jobs}"] * (options.jobs > 1)
    given = " ".join(options.settings)
    told += [f'ARGS="{given}"'] if given else []
    return " ".join(["make tune", f"STAGE={stage}", *told])
