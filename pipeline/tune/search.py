"""The search of one stage's settings: try settings, test the winner again, write it as an experiment.

    make tune STAGE=tta                                     the space configs/tune/tta.yaml
    make tune STAGE=train TRIALS=30 TIME=2h JOBS=2          three processes may share one study as well
    make tune STAGE=resample ARGS="experiment=probe_mlp"    another experiment

Owns the order of a search (check, build what all trials share, try, re-test, write, report) and when it ends
(TRIALS, TIME and JOBS). Does not own a trial (`tune/trials.py`), the re-test (`tune/retest.py`), the file
of the winner (`tune/winners.py`) or several stages in one budget (`tune/budget.py`).
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

from pipeline.core import search_space
from pipeline.core.errors import ConfigError, nearest
from pipeline.core.language import _
from pipeline.core.search_space import Point
from pipeline.core.secrets import hidden, hidden_word
from pipeline.core.targets import EXCLUSIVE
from pipeline.core.wording import seconds_of
from pipeline.engine.graph import check, refuse_unread
from pipeline.engine.need import Need
from pipeline.engine.session import Session
from pipeline.errors.findings import planting
from pipeline.pages.command_words import make_with
from pipeline.pages.report import plural
from pipeline.record import paths
from pipeline.record.files import sha256_text
from pipeline.record.study import Plan, Studies, Study, storage_of, storage_of_home
from pipeline.settings import read
from pipeline.settings.load import Settings
from pipeline.train import estimate
from pipeline.tune import page, proxy, retest, space, space_check, texts, winners
from pipeline.tune.retest import RetestVerdict
from pipeline.tune.search_record import SearchRecord
from pipeline.tune.space import DEFINING
from pipeline.tune.trials import EARLIER, KINDS, Bench, Trials, TuneKind

Options = argparse.Namespace
MOST_EARLIER = 3
# What TIME was called.
FORMER = ("timeout", "budget")


@dataclass(frozen=True)
class Limits:
    """When a search ends: by trials in total, or by seconds without the re-test (None: no limit)."""

    trials: int
    seconds: float | None = None
    jobs: int = 1


def limits_of(options: argparse.Namespace, default_trials: int) -> Limits:
    """The limits of the command; `default_trials` if TRIALS is not given.

    Raises:
        ConfigError: lists all invalid limits.
    """
    wanted = default_trials if options.trials is None else options.trials
    refuse_former(options)
    # Of all stages, TIME is the time of all together, which `tune/budget.py` shares out.
    seconds = seconds_of(options.time) if options.time and options.stage != "all" else None
    faults = [texts.TRIALS.format(trials=wanted)] * (wanted < 1)
    faults += [texts.JOBS.format(jobs=options.jobs)] * (not 1 <= options.jobs <= 64)
    if faults:
        raise ConfigError(texts.LIMITS.format(faults=plural(len(faults), "fault")), faults)
    return Limits(wanted, seconds, options.jobs)


def refuse_former(options: argparse.Namespace) -> None:
    """Raise ConfigError for the former names of TIME."""
    given = {name.upper(): getattr(options, name, "") for name in FORMER}
    faults = [texts.FORMER.format(name=name, value=value) for name, value in given.items() if value]
    if faults:
        value = next(value for value in given.values() if value)
        raise ConfigError(
            texts.FORMER_NAMES,
            faults,
            _("make tune STAGE={stage} TIME={value}").format(stage=options.stage, value=value),
        )


@dataclass(frozen=True)
class Prepared:
    """A search that may begin: everything that can be checked before was checked. `command` repeats it."""

    bench: Bench
    file: Path
    limits: Limits
    command: str


def kind_of(name: str) -> TuneKind:
    """A stage that can be tuned, by name."""
    if name not in KINDS:
        hint = nearest(name, KINDS) or _("known: {kinds}, all").format(kinds=", ".join(KINDS))
        raise ConfigError(texts.UNKNOWN_STAGE.format(name=name), remedy=hint)
    return KINDS[name]


def prepare(session: Session, options: Options, stage: str) -> Prepared:
    """Check everything that can be checked without building anything.

    Raises:
        ConfigError: faults of the space or the limits, or an override of a setting that the space varies.
    """
    kind = kind_of(stage)
    if kind.is_planted:
        _refuse_planted(session.settings)
        kind = replace(kind, params={**kind.params, **planting.with_features(session, session.settings)})
    file = read.given(options.space) if options.space else _shipped(session.settings, stage)
    form = space.read(file)
    limits = limits_of(options, form.trials)
    if limits.jobs > 1:
        session.executor.check(session)  # e.g. too few cores
    settings = _started(session.settings, form, options)

    def refuse(made: Settings) -> None:
        check([kind.need(made)], session.graph)
        session.refuse(kind.need(made))

    checked = space_check.checked(str(file), form, settings, kind.sections, refuse)
    faults = _objective_faults(kind, form, settings)
    if faults:
        raise space.broken(file, faults)
    if form.full is not None:
        proxy.refuse(str(file), form.full, kind, settings)
    refuse_unread(settings, [kind.need(settings)], session.graph)
    session.check(kind.need(settings), also=tuple(path for path, _ in session.settings.request.values))
    bench = Bench(Trials(settings, session, f"tune {stage}"), kind, checked, settings)
    for line in checked.left_out:
        session.say("    " + line)
    prepared = Prepared(bench, file, limits, _command(options, stage))
    _refuse_short(session, prepared)
    return prepared


def _shipped(settings: Settings, stage: str) -> Path:
    """The space of a stage that comes with Podium; one for this kind of target, if there is one."""
    target = settings.config.competition.target
    own = read.found(settings.folder, f"tune/{stage}-{target}.yaml")
    return own if own.is_file() else read.found(settings.folder, f"tune/{stage}.yaml")


def _refuse_planted(settings: Settings) -> None:
    """Raise ConfigError where the faults that are planted do not exist: they change one class of an image."""
    target = settings.config.competition.target
    if target != EXCLUSIVE:
        raise ConfigError(texts.NOTHING_PLANTED.format(target=target), remedy=texts.OTHER_SEARCHES)


def _objective_faults(kind: TuneKind, form: space.SearchSpace, settings: Settings) -> list[str]:
    """Faults of the second objective, and of re-test seeds that the search uses."""
    faults = []
    if form.second is not None and (kind.trains or kind.is_planted):
        faults.append(texts.SECOND.format(second=form.second, stage=kind.name))
    config = settings.config
    own = {config.train.seed, config.resample.seed} if kind.trains else set()
    faults += [texts.SEARCH_SEED.format(seed=seed) for seed in form.retest_seeds if seed in own]
    return faults


def _started(settings: Settings, form: space.SearchSpace, options: Options) -> Settings:
    """The settings that all trials start from: those of the space, unless the command line sets them."""
    if form.experiment and not any(word.startswith("experiment=") for word in options.settings):
        settings = settings.member(form.experiment)
    given = {path for path, _ in settings.request.values}
    clash = sorted(given & set(form.space))
    if clash:
        raise ConfigError(texts.OVERRIDES, clash, texts.OVERRIDE_REMEDY)
    return settings.with_values({p: v for p, v in form.settings.items() if p not in given})


def _refuse_short(session: Session, prepared: Prepared) -> None:
    """Raise ConfigError if TIME is shorter than one trial, as far as that is known."""
    limit, expected = prepared.limits.seconds, trial_seconds(session, prepared.bench)
    if limit is not None and expected is not None and limit < expected:
        raise ConfigError(
            texts.TIME_SHORT.format(limit=limit, stage=prepared.bench.kind.name, seconds=expected),
            remedy=texts.TIME_REMEDY,
        )


def trial_seconds(session: Session, bench: Bench) -> float | None:
    """Seconds of one trial: as long as the default took, or the estimate of training; None: unknown."""
    need = bench.kind.need(bench.settings)
    known = session.graph.found(need)
    if known is not None:
        return max(known.seconds, 0.1)
    below = {name: session.graph.found(Need(name, bench.settings)) for name in ("data", "folds")}
    there = {name: artifact for name, artifact in below.items() if artifact is not None}
    if not bench.kind.trains or len(there) < 2:
        return None
    missing = list(session.graph.inputs(need, "fold").values())
    return estimate.training(bench.settings, there, missing, session).seconds


def default_seconds(session: Session, bench: Bench) -> float:
    """Seconds of the trainings that the default needs and that are missing; data and folds must exist."""
    seconds = 0.0
    for need in session.graph.chain([bench.kind.need(bench.settings)], "train"):
        if need.key or session.graph.found(need):
            continue
        wanted = session.graph.inputs(need)
        folds = session.graph.inputs(need, "fold").values()
        missing = [n for n in folds if not session.graph.found(n)]
        inputs = {name: session.get(wanted[name]) for name in ("data", "folds")}
        seconds += estimate.training(need.settings, inputs, missing, session).seconds
    return seconds


def begin(session: Session, prepared: Prepared, name: str = "") -> Study:
    """Open the study, and build what all trials share: the default, printed and recorded as usual."""
    bench = prepared.bench
    storage = _studies(session)
    known = storage.names()
    if name and name not in known:
        hint = nearest(name, known) or texts.UNKNOWN_STUDY_REMEDY
        raise ConfigError(texts.UNKNOWN_STUDY.format(name=name), remedy=hint)
    if fault := paths.fault_of(name) if name else "":  # its page and its lock have this name
        raise ConfigError(texts.BAD_STUDY_NAME.format(name=name, fault=fault), remedy=texts.BAD_STUDY_REMEDY)
    study = open_study(storage, prepared, name)
    need = bench.kind.need(bench.settings)
    score = bench.score(session.get(need))
    _refuse_short(session, prepared)
    done = len(study.done())
    session.say(
        texts.BEGUN.format(
            stage=bench.kind.name,
            title=bench.kind.title,
            dimensions=len(bench.search.dimensions),
            trials=prepared.limits.trials,
            sampler=bench.search.form.sampler,
            done=texts.BEGUN_DONE.format(n=done) if done else "",
            score=score,
        )
    )
    session.say(texts.STUDY.format(name=study.name, storage=shown_storage(storage.where, session.home)))
    return study


def _studies(session: Session) -> Studies:
    silence = session.settings.config.runtime.silence_seconds
    return Studies(storage_of(session.home), session.home, silence)


def shown_storage(where: str, home: Path) -> str:
    """The name of a storage, without a password."""
    return "optuna.db" if where == storage_of_home(home) else hidden(where)


def open_study(storage: Studies, prepared: Prepared, name: str = "") -> Study:
    """The study of this space and of these inputs, or the one with this name."""
    bench, form = prepared.bench, prepared.bench.search.form
    dimensions = [repr(d) for d in bench.search.dimensions]
    definition = form.model_dump_json(include={*DEFINING, "second"})
    digest = sha256_text(definition + "\n".join(dimensions))[:8]
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
    """Points that are tried first: the default, known good points, winners of the same space elsewhere."""
    point, outside = space_check.defaults(bench.search, bench.settings)
    queue = [] if outside else [("default", point)]
    queue += [(f"known good {n}", bench.search.point(v)) for n, v in enumerate(bench.search.form.known_good)]
    prefix = f"{bench.kind.name}-{digest}-"
    names = [] if retest.is_unseen(bench) else storage.names()
    for name in [n for n in names if n.startswith(prefix) and n != prefix + upstream][-MOST_EARLIER:]:
        more = storage.facts(name).get("maximise", bench.maximise[0])
        complete = [t for t in storage.trials(name) if t.state == "complete"]
        if complete:
            best = max(complete, key=lambda t: t.values[0] if more else -t.values[0])
            queue.append((f"{EARLIER}{name}", best.point))
    fitting = [(word, p) for word, p in queue if not search_space.faults(bench.search.dimensions, p)]
    return [(w, p) for n, (w, p) in enumerate(fitting) if p not in [q for _, q in fitting[:n]]]


def finish(
    session: Session, prepared: Prepared, study: Study, record: SearchRecord, in_full: bool = True
) -> tuple[RetestVerdict, Path | None]:
    """Re-test, write the winner and the report, and print the outcome.

    `in_full`: whether there is time for the full trainings that check a proxy.
    """
    bench = prepared.bench
    verdict = retest.retest(bench, study, session.say)
    notes = proxy.lines(bench, study, session.say) if in_full else proxy.postponed(bench)
    written = winners.write(bench, verdict, study.name, prepared.command, date.today())
    every = (*page.front_lines(bench, study), *notes)
    report = page.TuningPage(bench, study, verdict, prepared.command, written, every)
    for line in page.lines(report):
        session.say(line)
    session.say(texts.LINE_REPORT.format(path=page.write(report, session.home)))
    record.finish(report)
    return verdict, written


def _command(options: Options, stage: str) -> str:
    """The make command that repeats this search."""
    words = {"TRIALS": options.trials, "TIME": options.time, "SPACE": options.space}
    given = [f"{name}={value}" for name, value in words.items() if value]
    given += [f"JOBS={options.jobs}"] * (options.jobs > 1)
    command = " ".join(["make tune", f"STAGE={stage}", *given])
    return make_with(command, tuple(map(hidden_word, options.settings)))
