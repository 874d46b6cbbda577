"""`make all TIME=…`, `make ensemble TIME=…`, `make train TIME=…`, and `make improve TIME=…`.

    make all TIME=30m                                      recipes of the portfolio; EDA and the error report
    make ensemble TIME=2h                                  the same without EDA and the report
    make ensemble TIME=2h ARGS="ensemble.members=[a,b]"    the members that are named
    make train TIME=20m ARGS="experiment=lite0"            one experiment, with as many epochs as fit
    make improve TIME=1h                                   carries out what the error report advises

Owns what each command does with its time. Does not own spending it (`plan/running.py`), the portfolio
(`settings/portfolio.py`), nor advice (`plan/improving.py`).
"""

from __future__ import annotations

import argparse
import copy
import time
from dataclasses import dataclass
from datetime import datetime, timedelta

from pipeline.core import metrics
from pipeline.core.errors import ConfigError, StoppedError, UserError
from pipeline.data import load
from pipeline.engine import next_step
from pipeline.engine.graph import refuse_unread
from pipeline.engine.hardware import set_up
from pipeline.engine.need import Need
from pipeline.engine.session import Session
from pipeline.ensemble import members
from pipeline.nets.stages import is_probe
from pipeline.plan import further, improving, page, planning, recipes, steps, table, texts
from pipeline.plan.clock import LEAST, Clock, Reserve, Watch, clock_of, minutes
from pipeline.plan.costs import Scene
from pipeline.plan.recipes import MEMBERS, Recipe
from pipeline.plan.running import Runner
from pipeline.record.store import Artifact
from pipeline.settings import advice_table
from pipeline.settings.ensemble import AUTO
from pipeline.settings.load import Settings
from pipeline.submit import submission

Options = argparse.Namespace
# Folds of a plan for which there is little time, and the share of it that the first network may need before.
FEW_FOLDS, MOST_OF_TIME = 3, 0.5
# Words that name the experiment of `make train TIME=…`, so that no portfolio is needed.
OF_EXPERIMENT = ("experiment=", "model=", "model.", "train.", "loss.")
# Folds of a training of fewer epochs are left for a new one where there is time for so many times these.
ANEW = 2
# Words that choose one experiment, where a portfolio has several.
ONE_EXPERIMENT = ("experiment=", "model=")
# Seconds of an error report before one was made: as many times those of EDA, and by images, of which 2,500
# took 5 s and 20,000 took 61.
REPORT_OF_EDA, REPORT, REPORT_IMAGE = 2.5, 4.0, 2.5e-3


@dataclass(frozen=True)
class Spent:
    """What a budget of time ended with.

    Args:
        session: with the settings of the best result.
        best: it and its submission.
        report: the error report, if the command makes one.
    """

    session: Session
    best: steps.Best
    report: Artifact | None


def all_in_time(session: Session, options: Options) -> Spent:
    """EDA, members for as long as there is time, and the error report."""
    runner = _runner(session, options, "make all", with_report=True)
    runner.after_first = lambda: _explore(runner)
    runner.run()
    return _finish(runner, options, "make all")


def ensemble_in_time(session: Session, options: Options) -> None:
    """Members for as long as there is time."""
    runner = _runner(session, options, "make ensemble", with_report=False)
    runner.run()
    spent = _finish(runner, options, "make ensemble")
    next_step.say_with_file(spent.session, "error-analysis", "A", spent.best.stable)


def train_in_time(session: Session, options: Options) -> None:
    """One experiment with as many epochs as fit; without a word about it, the portfolio's first that fits."""
    clock = clock_of(options)
    session.progress.until = clock.now() + clock.left
    _refuse(session.settings, options, epochs=True)
    own = [word for word in options.settings if word.startswith(OF_EXPERIMENT)]
    name = "" if own else _portfolio(session, options)
    told = texts.OF_PORTFOLIO.format(name=name) if name else session.settings.experiment
    _begin(session, clock, "make train", options, told)
    session.need("images")
    scene = Scene.of(session, session.settings)
    listed = [Recipe(session.settings.experiment, session.settings)]
    if not own:
        listed = list(recipes.networks(recipes.of_portfolio(session.settings, name)))
        most = max((len(r.sizes) for r in listed), default=1)
        smaller = [(r, r.sizes[n]) for n in range(1, most) for r in listed if n < len(r.sizes)]
        listed += [
            Recipe(texts.AT_SIZE.format(name=r.name, size=size), r.at(size=size)) for r, size in smaller
        ]
    session.settings, epochs, why = _one(session, scene, listed, clock, bool(own))
    session.check(Need("train", session.settings))
    watch = Watch(clock, epochs, 0.0, is_all=True)
    session.on_epoch = watch
    try:
        trained = session.need("train")
    except StoppedError:
        name = session.settings.experiment
        session.say(texts.PAUSED.format(name=name, done=watch.done, epochs=watch.epochs))
        session.say(texts.GO_ON)
        next_step.say(session, "train")
        return
    session.say(table.ended(clock, why))
    next_step.after_training(session, trained)


def improve(session: Session, options: Options) -> None:
    """Carry out what the error report advises, one piece after another."""
    improving.improve(session, options)


def _one(
    session: Session, scene: Scene, listed: list[Recipe], clock: Clock, asked: bool
) -> tuple[Settings, int, str]:
    """The settings of the first recipe that fits, its epochs that are left over all folds, and why these."""
    for recipe in listed:
        going_on = recipes.paused(session, recipe)
        if going_on is not None:  # as the paused command promised, also where a longer training fits by now
            settings = recipe.at(epochs=going_on)
            return settings, scene.missing(settings) * going_on, texts.TRAINED_ON
    least = ("", float("inf"))
    for recipe in listed:
        if is_probe(recipe.settings) and asked:
            return recipe.settings, 0, texts.TRAINED_HEAD
        cost = scene.cost(recipe.settings)
        epochs = recipe.settings.config.train.epochs
        fit = int((planning.FILL * clock.left - cost.fixed) / max(cost.epoch, 1e-9))
        fewest = 1 if asked else max(round(planning.SHORTEST * epochs), 1)
        known = recipes.begun(session, recipe)
        if known is not None and fit < ANEW * known and scene.missing(recipe.at(epochs=known)):
            settings = recipe.at(epochs=known)
            return settings, scene.missing(settings) * known, texts.TRAINED_ON
        if fit >= fewest:
            most = fit if asked else min(fit, round(planning.LONGEST * epochs))
            settings = recipe.at(epochs=min(most, 1000))
            return settings, scene.missing(settings) * settings.config.train.epochs, texts.TRAINED
        seconds = clock.spent + (cost.fixed + fewest * cost.epoch) / planning.FILL
        least = min(least, (recipe.name, seconds), key=lambda pair: pair[1])
    raise ConfigError(
        texts.NO_EPOCH_FITS.format(seconds=clock.seconds, name=least[0], least=minutes(least[1])),
        remedy=texts.NO_EPOCH_FITS_REMEDY,
    )


def _refuse(settings: Settings, options: Options, epochs: bool = False) -> None:
    """Raise ConfigError for words that say otherwise how long the command takes."""
    given = dict(settings.request.values)
    if epochs and "train.epochs" in given:
        raise ConfigError(texts.TIME_AND_EPOCHS, remedy=texts.TIME_AND_EPOCHS_REMEDY)
    if not epochs and settings.config.train.folds is not None:
        raise ConfigError(
            texts.TIME_AND_FOLDS.format(folds=settings.config.train.folds), remedy=texts.TIME_AND_FOLDS_REMEDY
        )


def _refuse_unread(session: Session, listed: list[Recipe], is_open: bool) -> None:
    """Raise ConfigError for overrides that no recipe and nothing after them reads, or a blend refuses."""
    settings = session.settings
    if is_open:
        settings.with_values({MEMBERS: [AUTO]})
    later = ("ensemble", "cost", "decide", "error_analysis", "eda", "resample")
    read = {path for name in later for path in session.catalogue.get(name).sections(settings)}
    needs = [Need("infer", recipe.settings) for recipe in listed if not recipe.faults]
    refuse_unread(settings, needs, session.graph, (*read, *submission.READS))


def _portfolio(session: Session, options: Options) -> str:
    device = set_up(session.settings.config.runtime)
    return recipes.portfolio_for(session.settings, options.portfolio or "", device)


def _runner(session: Session, options: Options, command: str, with_report: bool) -> Runner:
    """Everything before the first member: the data, the recipes, the folds, what is kept for the end."""
    clock = clock_of(options)
    session.progress.until = clock.now() + clock.left
    _refuse(session.settings, options)
    own = recipes.of_user(session.settings)
    if own is None and (typed := [w for w in options.settings if w.startswith(ONE_EXPERIMENT)]):
        raise ConfigError(
            texts.TIME_AND_EXPERIMENT.format(words=" ".join(typed)), remedy=texts.TIME_AND_EXPERIMENT_REMEDY
        )
    name = "" if own is not None else _portfolio(session, options)
    asked = str(options.portfolio or "")
    listed = own if own is not None else recipes.of_machine(session.settings, asked, name)
    _refuse_unread(session, listed, own is None)
    if own is None:
        advice_table.lines(session.settings.folder)  # its faults now, not when the portfolio is through
    told = texts.OF_PORTFOLIO.format(name=name) if name else texts.OF_USER
    _begin(session, clock, command, options, told)
    submission.refuse(session.settings, session.need("data"), session.home)
    members.refuse(session.settings, load.samples(session.need("data"), "test", session.home))
    session.need("images")
    session.brief = True  # the steps say what each member brought
    settings, listed = _with_folds(session, listed, clock)
    session.settings = settings
    scene = Scene.of(session, settings)
    images = len(scene.samples) + scene.n_test
    report = _report_seconds(session, images) if with_report else 0.0
    reserve = Reserve.expected(clock, images, report)
    more = further.after_portfolio if own is None else further.more_views
    return Runner(session, settings, scene, clock, listed, reserve, is_open=own is None, more=more)


def _begin(session: Session, clock: Clock, command: str, options: Options, told: str) -> None:
    end = datetime.now() + timedelta(seconds=clock.left)
    session.say(
        texts.TIMES.format(
            seconds=options.time, command=command, end=end.strftime("%H:%M:%S"), portfolio=told
        )
    )


def _with_folds(session: Session, listed: list[Recipe], clock: Clock) -> tuple[Settings, list[Recipe]]:
    """The settings with the folds of the plan: fewer where the first network would not fit otherwise.

    Folds that the user or the competition chose stay, and so do those on which members were made before.
    """
    settings = session.settings
    folds = settings.config.folds
    first = next(recipes.networks(listed), None)
    chosen = any(path.startswith("folds.") for path in settings.sources)
    if chosen or first is None or folds.kind != "stratified_group" or folds.n <= FEW_FOLDS:
        return settings, listed
    fewer = settings.with_values({"folds.n": FEW_FOLDS})
    before = {n: _finished_networks(session, s) for n, s in ((folds.n, settings), (FEW_FOLDS, fewer))}
    if not before[folds.n]:
        try:
            cost = Scene.of(session, settings).cost(first.settings)
        except UserError:  # it is told when the plan is made
            return settings, listed
        needed = cost.seconds(first.settings.config.train.epochs, len(first.settings.config.infer.views))
        if before[FEW_FOLDS] or needed > MOST_OF_TIME * clock.left:
            session.say(texts.FOLDS_FEWER.format(n=FEW_FOLDS, before=folds.n))
            made = [
                r if r.faults else Recipe(r.name, r.settings.with_values({"folds.n": FEW_FOLDS}))
                for r in listed
            ]
            return fewer, made
    return settings, listed


def _finished_networks(session: Session, settings: Settings) -> bool:
    """Whether a network was trained on all folds of these settings."""
    graph = session.graph
    folds = f"folds/{graph.key(Need('folds', settings))}"
    return any(
        a.inputs.get("folds") == folds
        and a.metrics.get(members.COMPLETE) == 1.0
        and a.setting("train.strategy") != "linear_probe"
        for a in graph.finished("infer")
    )


def _report_seconds(session: Session, images: int) -> float:
    """Expected seconds of the error report: as the last one of this competition took."""
    name = session.settings.config.competition.name
    for artifact in reversed(session.store.all("error_analysis")):
        if artifact.manifest.get("competition") == name:
            return artifact.seconds + 1.0
    return REPORT + REPORT_IMAGE * images


def _explore(runner: Runner) -> None:
    """EDA and the class counts, once there is a submission."""
    began = time.monotonic()
    for stage in ("eda", "resample"):
        runner.session.show(runner.session.need(stage, runner.settings))
    seconds = time.monotonic() - began
    known = runner.session.seconds.get("eda", 0.0)
    if known:  # it was made now: this machine's pace shows in it
        runner.reserve.report = max(runner.reserve.report, REPORT_OF_EDA * seconds)


def _finish(runner: Runner, options: Options, command: str) -> Spent:
    """The error report, what each minute bought, and the page about it."""
    best, session = runner.submitted(), copy.copy(runner.session)
    session.settings = best.settings
    report = runner.report() if runner.reserve.report else None
    samples = load.samples(session.need("data"), "train", session.home)
    config = best.settings.config
    gains = steps.gains(config, samples, runner.steps)
    metric = metrics.get(config.competition.metric).name
    for line in table.bought(runner.steps, gains, metric):
        session.say(line)
    story = page.Story(config, options.time, command, tuple(runner.steps), tuple(gains), best)
    session.say(texts.PAGE.format(path=page.write(story, session.home)))
    is_full = runner.left < runner.reserve.blend + LEAST / 4
    session.say(table.ended(runner.clock, texts.ENDED_FULL if is_full else texts.ENDED_EARLY))
    return Spent(session, best, report)
