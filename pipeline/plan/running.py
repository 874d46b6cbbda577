"""Spending a budget of time on members: the first submission, then one member after another, then the end.

Owns the order of work, planning again after each member, the blend and the submission after each. Does not
own what fits (`plan/planning.py`), expected seconds (`plan/costs.py`), the blend
(`ensemble/`) nor the report on the time (`plan/page.py`).

Everything that a later command needs is derived from the store: finished members are reused, whatever their
epochs are, and a member of which some folds exist goes on with its own schedule. So Ctrl-C loses the epoch
that runs and nothing else.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pipeline.core import metrics
from pipeline.core.errors import ConfigError, StoppedError, StorageError, UserError
from pipeline.core.language import _
from pipeline.core.predictions import Comparison
from pipeline.core.samples import Samples
from pipeline.core.wording import worded
from pipeline.data import load
from pipeline.engine.graph import check
from pipeline.engine.need import Need
from pipeline.engine.session import Session
from pipeline.ensemble import members
from pipeline.errors import case
from pipeline.errors import commands as reports
from pipeline.plan import costs, planning, recipes, table, texts
from pipeline.plan.clock import SLACK, Clock, Reserve, Watch, minutes, needs
from pipeline.plan.costs import Scene
from pipeline.plan.planning import Cost, Ladder, Pace, Plan, Planned, Rung
from pipeline.plan.recipes import MEMBERS, Recipe, nearest
from pipeline.plan.steps import Best, Step, is_better, keep_best, stable_path
from pipeline.record.store import Artifact
from pipeline.settings.ensemble import AUTO
from pipeline.settings.load import Settings
from pipeline.submit import commands as submitting
from pipeline.submit import submission

# Share of the time that timing batches may take before the first plan.
FOR_TIMING = 0.05
# The first submission should need at most this share of the time: else it has smaller images and one view.
FOR_FIRST = 0.25
# While no network is trained, the next one is timed again after so many seconds, and so many times as long as
# that takes: the first time may have been a busy moment. Not if it would not fit even so many times as quick.
AGAIN, AGAIN_TIMES, AGAIN_FASTER = 60.0, 20.0, 3.0
# It is refused if it takes too long even if this machine is so many times as fast as when it was timed.
FASTER = 2.0

More = Callable[["Runner"], list[Recipe]]


@dataclass
class Runner:
    """The members of one command, one after another.

    Args:
        session: of the command.
        settings: with the folds of the plan.
        scene: the data on which all members train.
        clock: of the command.
        recipes: in the order of preference.
        reserve: what is kept for the end.
        is_open: whether every finished run on these data and folds is a member of the blend; False: only the
            recipes are.
        more: further recipes when all are done; called again when those are done, too.
        after_first: called once a first submission exists.
        done: the result of each member by its name; None: it failed, or was paused. With smaller images than
            its recipe's it has another name, and the recipe is still to be done.
        read: addresses of the trainings whose advice was read.
    """

    session: Session
    settings: Settings
    scene: Scene
    clock: Clock
    recipes: list[Recipe]
    reserve: Reserve
    is_open: bool = True
    more: More | None = None
    after_first: Callable[[], None] | None = None
    pace: Pace = field(default_factory=Pace)
    steps: list[Step] = field(default_factory=list)
    best: Best | None = None
    done: dict[str, Artifact | None] = field(default_factory=dict)
    reported: tuple[str, Artifact] | None = None
    read: set[str] = field(default_factory=set)
    _ladders: dict[str, Ladder] = field(default_factory=dict)
    _timing: float = 0.0
    _next_look: float | None = None
    _shown: tuple[tuple[str, int, int], ...] = ()

    @property
    def metric(self) -> metrics.Metric:
        """The competition's."""
        return metrics.get(self.settings.config.competition.metric)

    @property
    def has_network(self) -> bool:
        """Whether a member is a trained network."""
        made = (a for a in self.done.values() if a is not None)
        return any(a.setting("train.strategy") != "linear_probe" for a in made)

    @property
    def labelled(self) -> Samples:
        """The competition's own training images, on which results are scored."""
        data = self.session.need("data", self.settings)
        return self.session.graph.once(
            "labelled", self.settings, lambda: load.samples(data, "train", self.session.home)
        )

    @property
    def left(self) -> float:
        """Seconds that members may still take, each with its blend."""
        return self.clock.left - self.reserve.end

    @property
    def late(self) -> float:
        """Seconds by which this command may end after its time."""
        return SLACK * self.clock.seconds

    def run(self) -> None:
        """Members until none fits any more; on Ctrl-C says what is kept.

        Raises:
            ConfigError: TIME is too short for the first submission.
            UserError: of the last recipe, if none can be trained at all.
        """
        try:
            self._reuse()
            self._first()
            if self.after_first is not None:
                self.after_first()
            while self._next():
                pass
        except KeyboardInterrupt:
            self.session.say(self.stopped())
            raise

    def stopped(self) -> str:
        """What Ctrl-C leaves, in words."""
        if self.best is None:
            return texts.STOPPED_EARLY
        best = self.submitted()
        return texts.STOPPED.format(path=best.shown, score=best.score, metric=self.metric.name)

    def _reuse(self) -> None:
        """Mark the recipes of which a member is finished, and blend what is there."""
        self.session.need("folds", self.settings)
        finished = self._finished()
        free = {a.key: a for a in finished}
        for recipe in self.recipes:
            made = nearest(recipe.settings, free.values())
            if made is not None:
                self.done[recipe.name] = free.pop(made.key)
        for recipe in self.recipes:
            if recipe.name in self.done or recipe.faults:
                continue
            for size in recipe.sizes[1:]:
                made = nearest(recipe.at(size=size), free.values())
                if made is not None:
                    self.done[texts.AT_SIZE.format(name=recipe.name, size=size)] = free.pop(made.key)
        self.recipes = [self._as_begun(recipe) for recipe in self.recipes]
        if self._pool():
            self.session.say(worded(texts.REUSED, n=len(self._pool())))
            self.submit("", 0.0, None)
            self._take_former()

    def _as_begun(self, recipe: Recipe) -> Recipe:
        """The recipe with the size of images with which an earlier command began it."""
        if recipe.name in self.done or recipe.faults or recipes.begun(self.session, recipe) is not None:
            return recipe
        for size in recipe.sizes[1:]:
            name = texts.AT_SIZE.format(name=recipe.name, size=size)
            smaller = replace(recipe, name=name, settings=recipe.at(size=size))
            if name not in self.done and recipes.begun(self.session, smaller) is not None:
                return smaller
        return recipe

    def _take_former(self) -> None:
        """Keep what earlier commands found to be the best, if it still is."""
        assert self.best is not None, "members were blended a moment ago"
        stable = stable_path(self.session.home, self.settings.config.competition.name)
        there = case.recorded(self.session.store, stable)
        if self.is_open and there and self._is_better_there(stable, self.best.artifact, self.best.score):
            self._take(case.again(there, self.settings) or self.settings, there, 1)

    def _finished(self) -> list[Artifact]:
        """The finished inferences on these data and folds."""
        graph = self.session.graph
        wanted = {n: f"{n}/{graph.key(Need(n, self.settings))}" for n in ("data", "folds")}
        return [
            a
            for a in graph.finished("infer")
            if {n: a.inputs.get(n) for n in wanted} == wanted
            and a.metrics.get(members.COMPLETE) == 1.0
            and graph.is_current(a)
        ]

    def _pool(self) -> list[Artifact]:
        """The members of the blend, oldest first."""
        if self.is_open:
            return self._finished()
        return list({a.key: a for a in self.done.values() if a is not None}.values())

    def _first(self) -> None:
        """The first submission: the quickest recipe, the next one if it fails."""
        while self.best is None:
            ladders = [lad for lad in self._open_ladders(probes=True) if lad.rungs]
            if not ladders:
                ladders = [lad for lad in self._open_ladders() if lad.rungs]
            if not ladders:
                raise ConfigError(
                    texts.NO_RECIPE, [_("{n}: {why}").format(n=n, why=why) for n, why in self._faults()]
                )
            chosen = planning.quickest(ladders, FOR_FIRST * self.clock.seconds, self.pace)
            needed = self.clock.spent + (chosen.seconds + self.reserve.blend + self.reserve.end) / FASTER
            if needed > self.clock.seconds and not self.steps:
                least = f"{math.ceil(FASTER * needed / 60)}m"
                raise ConfigError(
                    texts.FIRST_SHORT.format(
                        seconds=self.clock.seconds, name=chosen.ladder.name, least=least
                    ),
                    remedy=texts.RAISE_TIME.format(least=least),
                )
            self.member(chosen)

    def _next(self) -> bool:
        """One more member; False: none fits."""
        made = self.replan()
        if not made.members and (self._look_again(at_once=True) or self._time_one()):
            return True
        if not made.members and self.more is not None and self.left > self.reserve.blend:
            fresh = [r for r in self.more(self) if r.name not in {known.name for known in self.recipes}]
            if fresh:
                self.recipes += fresh
                return True
        if not made.members:
            return False
        self.member(made.members[0])
        return True

    def replan(self) -> Plan:
        """The plan for the time that is left, printed where it is another one than before."""
        after = self.reserve.blend
        self._look_again()
        ladders = self._open_ladders()
        # Also of members that were paused or failed.
        there = frozenset(key for one in ladders for key in one.features if self._has_features(key))
        made = planning.plan(ladders, self.left, self.pace, after, self.has_network, needs, there, self.late)
        shown = tuple((p.ladder.name, p.rung.size, p.epochs) for p in made.members)
        if shown != self._shown[1:] and made.members:
            for line in table.lines(made, self.clock, self.reserve, len(self.scene.plan), bool(self._shown)):
                self.session.say(line)
        self._shown = shown
        return made

    def _look_again(self, at_once: bool = False) -> bool:
        """Time the next network again; whether it is quicker, so that the plan changes.

        `at_once`: nothing fits, so the first look does not wait.
        """
        first, due = self._next_look is None, self._next_look or AGAIN
        is_time = self.clock.spent >= due or (at_once and first)
        if not is_time or self.has_network or "network" in self.pace.factors:
            return False
        recipe = next((r for r in self.recipes if r.kind == "network" and self._may_fit(r)), None)
        if recipe is None:
            return False
        began = self.clock.now()
        try:
            quicker = self.scene.time_again(recipe.settings)
        except StorageError:
            raise
        except UserError as error:
            self._ladders[recipe.name] = Ladder(recipe.name, _kind(recipe), (), costs.fault_of(error))
            return False
        self._next_look = self.clock.spent + max(AGAIN, AGAIN_TIMES * (self.clock.now() - began))
        if quicker:  # so are its other sizes
            known = [r for r in self.recipes if r.kind == "network" and r.name in self._ladders]
            self._ladders |= {r.name: self._timed(r) for r in known if self._ladders[r.name].rungs}
        return quicker

    def _may_fit(self, recipe: Recipe) -> bool:
        """Whether an open network that was timed would fit in its shortest form on a much quicker machine."""
        ladder = self._ladders.get(recipe.name)
        if recipe.name in self.done or ladder is None or not ladder.rungs or ladder.rungs[0].is_fixed:
            return False
        shortest = planning.fewest(ladder, ladder.rungs[0], self.pace)
        return shortest.seconds <= AGAIN_FASTER * self.left

    def _faults(self) -> Iterable[tuple[str, str]]:
        for recipe in self.recipes:
            ladder = self._ladders.get(recipe.name)
            yield recipe.name, recipe.faults or (ladder.note if ladder else "") or texts.FAILED_BEFORE

    def _open_ladders(self, probes: bool = False) -> list[Ladder]:
        """The ladders of the recipes that are not done, timed as far as there is time for it."""
        found = []
        for recipe in self.recipes:
            if recipe.name in self.done or (probes and recipe.kind != "probe"):
                continue
            if recipe.name not in self._ladders:
                if self._timing > FOR_TIMING * self.clock.seconds:
                    found.append(Ladder(recipe.name, _kind(recipe), (), texts.NOT_TIMED))
                    continue
                self._ladders[recipe.name] = self._timed(recipe)
            found.append(self._ladders[recipe.name])
            if probes and self._is_quick(found[-1]):
                break  # timing others would take longer than this one
        return found

    def _is_quick(self, ladder: Ladder) -> bool:
        """Whether the first submission need not look for a quicker recipe."""
        own = [rung.seconds(rung.epochs, rung.views) for rung in ladder.rungs[:1]]
        return bool(own) and own[0] <= FOR_TIMING * self.clock.seconds

    def _time_one(self) -> bool:
        """Time a further recipe, although the time for that is spent; False: all are timed."""
        for recipe in self.recipes:
            if recipe.name not in self.done and recipe.name not in self._ladders:
                self._ladders[recipe.name] = self._timed(recipe)
                return True
        return False

    def _timed(self, recipe: Recipe) -> Ladder:
        if recipe.faults:
            return Ladder(recipe.name, _kind(recipe), (), recipe.faults)
        began = self.clock.now()
        try:
            check([Need("infer", recipe.settings)], self.session.graph)
            self.session.refuse(Need("infer", recipe.settings))
            return ladder_of(recipe, self.scene, recipes.begun(self.session, recipe))
        except StorageError:
            raise
        except UserError as error:
            return Ladder(recipe.name, _kind(recipe), (), costs.fault_of(error))
        finally:
            self._timing += self.clock.now() - began

    def member(self, planned: Planned) -> None:
        """Train a member, predict, blend, submit; a member that fails or is paused is left out."""
        recipe = next(r for r in self.recipes if r.name == planned.ladder.name)
        missing, kind = self.scene.missing(settings_of(recipe, planned)), planned.ladder.kind
        rest = planned.rung.cost.view if kind == "network" else planned.rung.cost.fixed
        after = self.pace.of(kind) * rest + self.reserve.blend + self.reserve.end
        watch = Watch(self.clock, missing * planned.epochs, after)
        goes_on = kind == "network" and planned.rung.is_fixed and not recipe.is_about_epochs
        begins = texts.GOES_ON if goes_on else texts.BEGINS
        self.session.say(begins.format(
            name=planned.rung.label, seconds=minutes(planned.seconds), left=minutes(self.clock.left)
        ))  # fmt: skip
        self.done[recipe.name] = None
        began = self.clock.now()
        try:
            # The first submission is worth more than the end: it is never paused.
            planned, artifact = self._made(recipe, planned, watch if self.best is not None else None)
        except StoppedError:
            taken = self.clock.now() - began
            expected = missing * planned.epochs and planned.rung.seconds(planned.epochs, 0)
            share = watch.done / max(missing * planned.epochs, 1)
            if kind == "network":
                self.pace.observe(kind, share * float(expected), taken)
            else:  # it took longer than expected, and how much longer is not known
                self.pace.observe(kind, planned.seconds, 2 * planned.seconds * self.pace.of(kind))
            paused = texts.PAUSED if kind == "network" else texts.PAUSED_FEATURES
            self.session.say(paused.format(name=planned.rung.label, done=watch.done, epochs=watch.epochs))
            self.note(planned.rung.label, taken, texts.PAUSED_NOTE)
            return
        except StorageError:
            raise
        except UserError as error:
            taken = self.clock.now() - began
            self.session.say(texts.FAILED.format(name=planned.rung.label, why=error))
            self.note(planned.rung.label, taken, error.headline)
            return
        taken = self.clock.now() - began
        self.pace.observe(kind, planned.rung.seconds(planned.epochs, planned.views), taken)
        if not recipe.of:
            del self.done[recipe.name]
        self.done[recipe.of or planned.rung.label] = artifact
        self.submit(planned.rung.label, taken, artifact)

    def _made(self, recipe: Recipe, planned: Planned, watch: Watch | None) -> tuple[Planned, Artifact]:
        """The predictions of a member; a network has those views for which there is time by then."""
        if planned.ladder.kind == "network" and planned.views > 1:
            began, before = self.clock.now(), planned
            self.build(Need("train", settings_of(recipe, planned)), watch)
            taken, seconds = self.clock.now() - began, self.left - self.reserve.blend
            planned = planning.viewed(planned, taken, seconds, self.pace)
            if planned.views < before.views:
                label = planned.rung.label
                self.session.say(worded(texts.FEWER_VIEWS, name=label, n=planned.views, before=before.views))
        return planned, self.build(Need("infer", settings_of(recipe, planned)), watch)

    def build(self, need: Need, watch: Watch | None) -> Artifact:
        """A result, which the watch may pause: trainings after an epoch, features between two views."""
        before, self.session.on_epoch = self.session.on_epoch, watch
        try:
            if watch is not None:
                self._features(need, watch)
            return self.session.get(need)
        finally:
            self.session.on_epoch = before

    def _has_features(self, key: str) -> bool:
        return self.session.store.find("features", key) is not None

    def _features(self, need: Need, watch: Watch) -> None:
        """The features that are missing of a head, one view after another.

        Raises:
            StoppedError: at the pace of those before, the others would not end in time.
        """
        graph = self.session.graph
        missing = [n for n in graph.chain([need], "features") if graph.found(n) is None]
        began = self.clock.now()
        for number, one in enumerate(missing):
            needed = (self.clock.now() - began) / max(number, 1) * (len(missing) - number)
            if number and needed + watch.after > self.clock.left + self.late:
                raise StoppedError(texts.PAUSED_NOTE)
            self.session.get(one)

    def submit(self, name: str, seconds: float, made: Artifact | None) -> None:
        """Blend what is there, and submit it if it is the best so far."""
        began = self.clock.now()
        pool = self._pool()
        settings, artifact = self.blend(pool)
        self._take(settings, artifact, len(pool))
        # Alone it may be better than all together, if there are few images; by luck it often seems so.
        config = self.settings.config
        if made is not None and is_better(config, self.labelled, made, artifact, len(pool)):
            self._take(self.settings, made, 1)
        taken = self.clock.now() - began
        self.reserve.blend = max(taken, 1.0)
        self._add(name, seconds + taken, made, artifact)

    def _take(self, settings: Settings, artifact: Artifact, members: int) -> None:
        """Submit a result if it is the best so far."""
        score = artifact.metrics[f"oof_{self.metric.name}"]
        if self.best is not None and self.metric.sign * (score - self.best.score) <= 0:
            return
        stable = stable_path(self.session.home, settings.config.competition.name)
        if self._is_better_there(stable, artifact, score):
            # Nothing takes its submission as long as the file of an earlier command is better.
            path = submission.path_of(artifact, self.session.home)
            self.best = Best(artifact, settings, path, path, score, members, written=False)
            return
        path = submission.publish(artifact, settings, self.session.store)
        self.best = Best(artifact, settings, path, keep_best(path, stable, self.session.say), score, members)

    def submitted(self) -> Best:
        """The best result with its submission, which is written now if an earlier one is better."""
        assert self.best is not None, "a command that ends has a submission"
        if not self.best.written:
            submission.publish(self.best.artifact, self.best.settings, self.session.store)
            self.best = replace(self.best, written=True)
        return self.best

    def _is_better_there(self, stable: Path, artifact: Artifact, score: float) -> bool:
        """Whether the file with the stable name is of a better result on the same data and folds."""
        there = case.recorded(self.session.store, stable)
        if there is None or there.key == artifact.key:
            return False
        other = there.metrics.get(f"oof_{self.metric.name}")
        same = all(there.inputs.get(n) == artifact.inputs.get(n) for n in ("data", "folds"))
        return same and other is not None and self.metric.sign * (other - score) > 0

    def try_with(
        self, name: str, seconds: float, made: Artifact, helps: Callable[[Artifact], Comparison | None]
    ) -> Comparison | None:
        """Blend with one more member, which stays only if `helps` says so of the new blend."""
        began = self.clock.now()
        self.done[name] = made
        pool = self._pool()
        settings, artifact = self.blend(pool)
        compared = helps(artifact)
        if compared is None:
            del self.done[name]
            taken = seconds + self.clock.now() - began
            self.steps.append(Step(name, self.clock.spent, taken, made, artifact, texts.NOT_KEPT, kept=False))
            return None
        self._take(settings, artifact, len(pool))
        self._add(name, seconds + self.clock.now() - began, made, artifact)
        return compared

    def _add(self, name: str, seconds: float, made: Artifact | None, blend: Artifact) -> None:
        """Keep a step with a blend, and print it."""
        step = Step(name, self.clock.spent, seconds, made, blend)
        self.steps.append(step)
        self.session.say(table.step_line(step, self.best, self.metric.name))

    def report(self) -> Artifact:
        """The error report on the best result so far; made once for each."""
        best = self.submitted()
        if self.reported is None or self.reported[0] != best.artifact.key:
            began = self.clock.now()
            self.reported = best.artifact.key, self._report_on(best.settings, best.path)
            if self.reserve.report:
                self.reserve.report = max(self.clock.now() - began, 1.0)
        return self.reported[1]

    def report_of(self, member: Artifact, settings: Settings) -> Artifact:
        """The error report on one member alone, whose submission is written."""
        return self._report_on(settings, submission.publish(member, settings, self.session.store))

    def _report_on(self, settings: Settings, path: Path) -> Artifact:
        own = copy.copy(self.session)
        own.settings = settings
        return reports.compare(own, path, None)

    def note(self, name: str, seconds: float, why: str, blend: Artifact | None = None) -> None:
        """Keep a step that has no result of its own."""
        self.steps.append(Step(name, self.clock.spent, seconds, None, blend, why))

    def blend(self, pool: Sequence[Artifact]) -> tuple[Settings, Artifact]:
        """The blend of these members with its decision steps; a single member is itself."""
        if len(pool) == 1 and not submitting.decisions(self.settings, "infer"):
            return self.settings, pool[0]
        words = [AUTO] if self.is_open else [f"key:{a.key}" for a in pool]
        settings = self.settings.with_values({MEMBERS: words})
        own = copy.copy(self.session)
        own.settings = settings
        return settings, submitting.decided(own, Need("ensemble", settings))


def _kind(recipe: Recipe) -> Any:
    return recipe.kind


def ladder_of(recipe: Recipe, scene: Scene, begun: int | None) -> Ladder:
    """The expected costs of a recipe at each of its sizes; `begun`: epochs of a training that has begun."""
    settings = recipe.settings if begun is None else recipe.at(epochs=begun)
    cost, config = scene.cost(settings), settings.config
    height, width = config.images.hw
    rungs = []
    for size in recipe.sizes:
        sides = size if isinstance(size, list) else [size, size]
        area = sides[0] * sides[1] / (height * width)
        features = cost.features if size == config.images.size else cost.features.at(size, area)
        scaled = Cost(cost.fixed, cost.epoch * area, cost.view * area, features)
        label = (
            recipe.name if size == config.images.size else texts.AT_SIZE.format(name=recipe.name, size=size)
        )
        share = scene.missing(settings) / len(scene.plan) if size == config.images.size else 1.0
        epochs = 1 if recipe.kind == "probe" else config.train.epochs
        has_begun = begun is not None and size == config.images.size
        fixed = recipe.kind == "probe" or has_begun or recipe.is_about_epochs
        views = len(config.infer.views)
        rungs.append(Rung(label, max(sides), epochs, views, scaled, share, fixed, recipe.views_there))
    return Ladder(recipe.name, _kind(recipe), tuple(rungs))


def settings_of(recipe: Recipe, planned: Planned) -> Settings:
    """The settings of a planned member: its size, its epochs and its views."""
    values: dict[str, Any] = {"size": recipe.sizes[planned.ladder.rungs.index(planned.rung)]}
    if recipe.kind == "network":
        values["epochs"] = planned.epochs
    if planned.views < planned.rung.views:
        values["views"] = recipe.settings.config.infer.views[: planned.views]
    return recipe.at(**values)
