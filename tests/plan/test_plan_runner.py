"""A command with a budget of time, on a clock of its own: nothing is trained, nobody waits."""

from dataclasses import dataclass, field, replace
from itertools import pairwise
from types import SimpleNamespace

import pytest

from pipeline.core.errors import ConfigError, StoppedError, UserError
from pipeline.engine.slices import config_slice
from pipeline.plan import recipes, running
from pipeline.plan.clock import SLACK, Clock, Reserve
from pipeline.plan.planning import Cost, Features, Ladder, Rung
from pipeline.plan.recipes import Recipe, begun, paused
from pipeline.plan.running import Runner, ladder_of
from pipeline.settings.load import load

NETWORK = load(["competition=digits", "experiment=tiny_resnet", "train.epochs=10"])
PROBE = load(["competition=digits", "experiment=probe_logistic", "images.cache_px=64"])
FOLDS = 5
BLEND = 3.0


class Hands:
    """A clock that moves only when something is done."""

    def __init__(self):
        self.at = 0.0

    def __call__(self):
        return self.at


def made_of(key, strategy):
    """A result as far as a runner looks at it."""
    return SimpleNamespace(key=key, setting={"train.strategy": strategy}.get)


class Toyed(Recipe):
    """A recipe that may have images of 16 px."""

    @property
    def sizes(self):
        return [self.settings.config.images.size, 16]


@dataclass
class Toy(Runner):
    """A runner whose members take as long as they are told to.

    Args:
        factors: how many times as long as expected each member takes; `stop_at`: Ctrl-C in this member.
        fails: the error of each member that fails.
    """

    factors: dict = field(default_factory=dict)
    fails: dict = field(default_factory=dict)
    stop_at: str = ""
    views: dict = field(default_factory=dict)
    began: list = field(default_factory=list)
    said: list = field(default_factory=list)
    costs: dict = field(default_factory=dict)

    def _reuse(self):
        pass

    def _timed(self, recipe):
        epochs = 1 if recipe.kind == "probe" else 10
        rung = Rung(recipe.name, 64, epochs, 1, self.costs[recipe.name], 1.0, recipe.kind == "probe")
        return Ladder(recipe.name, recipe.kind, (rung,))

    def build(self, need, watch):
        name = self.now
        if watch is not None and name in self.views:
            self._features(need, watch)
        self.began.append((name, self.clock.spent))
        if name in self.fails:
            self.clock.now.at += 2.0
            raise self.fails[name]
        cost, factor = self.costs[name], self.factors.get(name, 1.0)
        network = self.recipes[[r.name for r in self.recipes].index(name)].kind == "network"
        epochs = need.settings.config.train.epochs if network else 0
        self.clock.now.at += factor * cost.fixed
        for number in range(FOLDS * epochs):
            if name == self.stop_at and number == 7:
                raise KeyboardInterrupt
            self.clock.now.at += factor * cost.epoch / FOLDS
            if watch is not None and not watch(number // epochs, number % epochs, {}):
                raise StoppedError("stopped")
        return made_of(name, "full" if network else "linear_probe")

    def member(self, planned):
        self.now = planned.ladder.name
        super().member(planned)

    def submit(self, name, seconds, made):
        self.clock.now.at += BLEND
        self.best = SimpleNamespace(shown="digits-best.csv", score=0.5, written=True)
        self.steps.append(SimpleNamespace(name=name, at=self.clock.spent))

    def note(self, name, seconds, why, blend=None):
        self.steps.append(SimpleNamespace(name=name, at=self.clock.spent, why=why))


def toy(seconds, costs, **more):
    said = []
    known = {"time_again": lambda settings: False, "missing": lambda settings: FOLDS}
    scene = SimpleNamespace(plan=list(range(FOLDS)), **known)
    session = SimpleNamespace(say=said.append, on_epoch=None)
    recipes = [Recipe(n, PROBE if n.startswith("probe") else NETWORK) for n in costs]
    clock = Clock(seconds, Hands())
    made = Toy(session, NETWORK, scene, clock, recipes, Reserve(BLEND, 5.0), costs=costs, **more)
    made.said = said
    return made


COSTS = {
    "probe": Cost(8.0),
    "a": Cost(5.0, 6.0),
    "b": Cost(5.0, 8.0),
    "c": Cost(5.0, 12.0),
    "d": Cost(5.0, 40.0),
}


@pytest.mark.parametrize("fails", [{}, {"probe": UserError("no")}])
def test_features_that_a_member_left_behind_are_counted_for_no_other(fails):
    features = Features(({"identity": 100.0},))
    costs = {n: Cost(3.0, features=features) for n in ("probe", "probe_two")}
    runner = toy(900, {"probe_first": Cost(1.0), **costs}, fails=fails)
    there = set()
    runner.session.store = SimpleNamespace(find=lambda stage, key: key if key in there else None)
    runner.best = "there is one"
    first, *_ = (p for p in runner.replan().members if p.ladder.name == "probe")
    assert first.seconds == 103
    there.add("identity")
    runner.member(first)
    made = {p.ladder.name: p for p in runner.replan().members}
    assert made["probe_two"].rung.seconds(1, 1) == 3


@pytest.mark.parametrize("seconds", [60, 90, 120, 200, 300, 450, 1000])
def test_it_ends_in_time_and_begins_with_the_probe(seconds):
    runner = toy(seconds, COSTS)
    runner.run()
    assert runner.began[0] == ("probe", 0.0) and runner.steps[0].at <= 12
    assert runner.clock.spent + runner.reserve.end <= seconds * (1 + SLACK)
    assert [name for name, _ in runner.began] == [n for n in COSTS if n in dict(runner.began)]


@pytest.mark.parametrize("seconds", [100, 200, 300, 500])
@pytest.mark.parametrize("factor", [0.5, 1.0, 1.5, 2.0, 3.0])
def test_members_that_take_longer_or_shorter_than_expected_do_not_move_the_end(seconds, factor):
    runner = toy(seconds, COSTS, factors=dict.fromkeys("abcd", factor))
    runner.run()
    assert runner.clock.spent + runner.reserve.end <= seconds * 1.05
    assert runner.best is not None


def test_after_a_member_that_took_twice_its_time_it_plans_again():
    runner = toy(400, COSTS, factors={"a": 2.0, "b": 2.0, "c": 2.0})
    runner.run()
    assert runner.pace.of("network") == pytest.approx(2.0, rel=0.1)
    assert any(line.startswith("plan again") for line in runner.said)
    assert "c" not in dict(runner.began), "at its present pace it would not end in time, so it does not begin"


VIEWS = ["identity", "shift(1,1)", "shift(2,2)"]


def viewing(seconds, costs, **more):
    """A runner whose networks predict three views, and what each of them predicted."""
    runner, predicted = toy(seconds, costs, **more), {}

    def timed(recipe):
        own = Toy._timed(runner, recipe)
        own_views = 1 if recipe.kind == "probe" else len(VIEWS)
        return replace(own, rungs=tuple(replace(rung, views=own_views) for rung in own.rungs))

    def build(need, watch):
        name, trained = runner.now, runner.now in [one for one, _ in runner.began]
        if need.stage == "train" or not trained:
            made = Toy.build(runner, need, watch)
        if need.stage == "infer" and not name.startswith("probe"):
            predicted[name] = len(need.settings.config.infer.views)
            runner.clock.now.at += runner.factors.get(name, 1.0) * runner.costs[name].view * predicted[name]
            made = made_of(name, "full")
        return made

    runner._timed, runner.build = timed, build
    views = NETWORK.with_values({"infer.views": VIEWS})
    runner.recipes = [r if r.kind == "probe" else Recipe(r.name, views) for r in runner.recipes]
    return runner, predicted


@pytest.mark.parametrize(("factor", "views"), [(1.0, 3), (1.15, 2), (1.3, 1), (0.5, 3)])
def test_a_network_whose_training_took_longer_predicts_fewer_views_and_ends_in_time(factor, views):
    """Nine epochs of 20 s and three views of 20 s into 300 s; a slower training leaves time for fewer."""
    runner, predicted = viewing(300, {"probe": Cost(8.0), "a": Cost(5.0, 20.0, 20.0)}, factors={"a": factor})
    runner.run()
    assert predicted == {"a": views}
    assert runner.clock.spent + runner.reserve.end <= 300 * (1 + SLACK)
    assert any("instead of" in line for line in runner.said) == (views < 3)


def test_views_never_take_the_time_of_planned_members():
    costs = {"probe": Cost(8.0), "a": Cost(5.0, 20.0, 60.0), "probe_two": Cost(8.0)}
    runner, predicted = viewing(320, costs)
    runner.best = "there is one"
    planned = {p.ladder.name: p.views for p in runner.replan().members}
    assert planned == {"probe": 1, "a": 1, "probe_two": 1}
    runner.best = None
    runner.run()
    assert predicted == {"a": 1} and "probe_two" in dict(runner.began)
    assert not any("instead of" in line for line in runner.said)


@pytest.mark.parametrize("later", [1.0, 0.3])
def test_a_network_that_was_timed_in_a_busy_moment_is_timed_again(later):
    """Ten epochs of 30 s do not fit into 200 s; of 9 s they do."""
    costs = {f"probe{n}": Cost(25.0) for n in range(4)} | {"a": Cost(5.0, 30.0)}
    runner, looked = toy(240, dict(costs)), []

    def time_again(settings):
        looked.append(runner.clock.spent)
        runner.clock.now.at += 2.0
        runner.costs["a"] = Cost(5.0, 30.0 * later)
        return later < 1

    runner.scene.time_again = time_again
    runner.run()
    assert ("a" in dict(runner.began)) == (later < 1)
    assert looked[0] >= running.AGAIN and all(b - a >= running.AGAIN for a, b in pairwise(looked))
    assert runner.clock.spent <= 240


@pytest.mark.parametrize("epoch", [20.0, 50.0])
def test_where_nothing_fits_a_network_is_timed_again_at_once_and_not_for_ever(epoch):
    """A later command has the heads and a rate of a busy moment; six of ten epochs are enough."""
    runner, looked = toy(120, {"a": Cost(5.0, epoch)}), []
    runner.best = "of the command before"

    def time_again(settings):
        looked.append(runner.clock.spent)
        return False

    runner.scene.time_again = time_again
    runner.run()
    assert looked == [0.0] and runner.began == []
    runner.scene.time_again = lambda settings: bool(runner.costs.update(a=Cost(5.0, 6.0)) or True)
    runner._next_look = None
    runner.run()
    assert dict(runner.began) == {"a": 0.0}


def test_a_smaller_network_behind_one_that_is_far_too_large_is_timed_again():
    runner, looked = toy(120, {"a": Cost(5.0, 900.0), "b": Cost(5.0, 20.0)}), []
    runner.recipes[1] = Recipe("b", NETWORK.with_values({"train.seed": 7}))
    runner.best = "of the command before"
    runner.scene.time_again = lambda settings: bool(looked.append(settings.config.train.seed))
    runner.run()
    assert looked == [7]


def test_what_would_not_fit_even_on_a_machine_three_times_as_quick_is_not_timed_again():
    runner = toy(240, {f"probe{n}": Cost(25.0) for n in range(4)} | {"a": Cost(5.0, 150.0)})
    runner.scene.time_again = lambda settings: pytest.fail("it costs seconds and changes nothing")
    runner.run()


def test_after_a_training_that_was_paused_its_own_pace_counts_and_nothing_is_timed_again():
    runner = toy(400, {"probe": Cost(8.0), "a": Cost(5.0, 20.0), "b": Cost(5.0, 8.0)}, factors={"a": 8.0})
    runner.scene.time_again = lambda settings: pytest.fail("it would count the same slowness twice")
    runner.clock.now.at, runner._next_look = 0.0, 70.0
    runner.run()
    assert any(line.startswith("paused") for line in runner.said)


def test_too_little_memory_when_a_network_is_timed_again_leaves_it_out(tmp_path):
    costs = {f"probe{n}": Cost(25.0) for n in range(4)} | {"a": Cost(5.0, 30.0)}
    runner = toy(240, costs)

    def time_again(settings):
        raise UserError("too little memory")

    runner.scene.time_again = time_again
    runner.run()
    assert len(runner.began) == 4 and runner._ladders["a"].note == "too little memory"


def test_nothing_begins_that_cannot_end():
    runner = toy(120, COSTS)
    runner.run()
    for name, at in runner.began:
        assert at + COSTS[name].fixed + 6 * COSTS[name].epoch <= 120 or name == "probe"
    assert "d" not in dict(runner.began)
    assert not any(line.startswith("paused") for line in runner.said)


def test_a_member_that_becomes_too_slow_is_paused_and_others_follow():
    runner = toy(200, {**COSTS, "probe_two": Cost(10.0)}, factors={"a": 8.0})
    runner.run()
    paused = [line for line in runner.said if line.startswith("paused")]
    assert len(paused) == 1 and "nothing of it is lost" in paused[0]
    assert dict(runner.began)["probe_two"] < 100, "the time that is left is used"
    assert runner.clock.spent <= 200


def test_a_member_that_fails_is_told_and_the_others_follow():
    runner = toy(300, COSTS, fails={"probe": UserError("no such weights"), "a": UserError("diverged")})
    runner.run()
    assert [name for name, _ in runner.began][:3] == ["probe", "a", "b"]
    assert [line for line in runner.said if line.startswith("failed")] == [
        "failed          probe: no such weights",
        "failed          a: diverged",
    ]


def shrinking(**more):
    """One recipe of the user's, too long for a first submission; with smaller images it is short enough."""
    runner = toy(400, {"a": Cost(5.0, 4.0)}, **more)
    rungs = (Rung("a", 64, 10, 1, Cost(5.0, 20.0)), Rung("a at 16 px", 16, 10, 1, Cost(5.0, 4.0)))
    runner._timed = lambda recipe: Ladder("a", "network", rungs)
    runner.recipes[0] = Toyed("a", NETWORK)
    return runner


def test_a_first_submission_of_smaller_images_is_followed_by_the_recipe_itself():
    runner = shrinking()
    runner.run()
    assert [step.name for step in runner.steps] == ["a at 16 px", "a"]
    assert set(runner.done) == {"a at 16 px", "a"} and runner.has_network
    assert runner.clock.spent <= 400 * (1 + SLACK)


def test_a_first_submission_of_smaller_images_that_fails_is_not_tried_for_ever():
    runner = shrinking(fails={"a": UserError("no")})
    with pytest.raises(ConfigError):
        runner.run()
    assert len(runner.began) == 1


def test_a_later_command_takes_the_recipe_itself_where_one_with_smaller_images_is_finished(monkeypatch):
    def is_small(settings):
        return settings.config.images.size == 16

    runner, small = shrinking(), made_of("small", "full")
    monkeypatch.setattr(recipes, "same_recipe", lambda settings, made: is_small(settings))
    monkeypatch.setattr(running.recipes, "begun", lambda _, recipe: 6 if is_small(recipe.settings) else None)
    monkeypatch.setattr(runner, "_finished", lambda: [small])
    monkeypatch.setattr(runner, "_take_former", lambda: None)
    runner.session.need = lambda *asked: None
    Runner._reuse(runner)
    assert runner.done == {"a at 16 px": small} and runner.has_network
    assert [recipe.name for recipe in runner.recipes] == ["a"], "and no second one of 16 px"


def test_a_later_command_knows_a_member_by_the_result_with_most_of_its_views(monkeypatch):
    runner, found = toy(300, {"a": Cost(5.0, 6.0)}), []
    runner.recipes = [Recipe("a", NETWORK.with_values({"infer.views": VIEWS}))]
    for views in (1, 3, 2):
        setting = {"train.strategy": "full", "infer.views": VIEWS[:views]}
        found.append(SimpleNamespace(key=f"{views} views", setting=setting.get))
    monkeypatch.setattr(recipes, "same_recipe", lambda settings, made: True)
    monkeypatch.setattr(runner, "_finished", lambda: found)
    monkeypatch.setattr(runner, "_take_former", lambda: None)
    runner.session.need = lambda *asked: None
    Runner._reuse(runner)
    assert runner.done == {"a": found[1]}
    runner.recipes = [Recipe("a", NETWORK.with_values({"infer.views": VIEWS[:1]}))]
    Runner._reuse(runner)
    assert runner.done == {"a": found[0]}, "most of those that are asked for"


def test_no_other_head_is_timed_before_a_first_submission_that_takes_moments():
    costs = {"probe": Cost(2.0), "probe_long": Cost(30.0), "a": Cost(5.0, 6.0)}
    runner, timed = toy(300, costs), []
    own = runner._timed
    runner._timed = lambda recipe: timed.append((recipe.name, len(runner.steps))) or own(recipe)
    runner.run()
    assert timed[0] == ("probe", 0) and ("probe_long", 1) in timed
    slow = toy(300, {"probe_long": Cost(30.0), "probe": Cost(20.0)})
    slow.run()
    assert slow.began[0][0] == "probe", "of heads that take longer, the quickest comes first"


def test_if_every_recipe_fails_the_error_names_them_all():
    runner = toy(300, {"probe": Cost(8.0), "a": Cost(5.0, 6.0)}, fails={n: UserError("no") for n in COSTS})
    with pytest.raises(ConfigError, match="no recipe can be trained here") as caught:
        runner.run()
    assert len(caught.value.faults) == 2 and caught.value.faults[0].startswith("probe: ")


def test_a_time_too_short_for_the_first_submission_is_one_error_that_says_the_least():
    runner = toy(60, {"probe": Cost(400.0)})
    what = r"too short for the first submission \(probe\): the least is TIME=7m"
    with pytest.raises(ConfigError, match=what):
        runner.run()
    assert not runner.began


def test_the_first_submission_is_never_paused():
    runner = toy(100, {"a": COSTS["a"], "b": COSTS["b"]}, factors={"a": 3.0})
    runner.run()
    assert [name for name, _ in runner.began] == ["a"] and runner.best is not None


def test_ctrl_c_says_what_is_kept():
    runner = toy(300, COSTS, stop_at="b")
    with pytest.raises(KeyboardInterrupt):
        runner.run()
    assert "digits-best.csv" in runner.said[-1] and runner.session.on_epoch is None
    early = toy(300, {"a": COSTS["a"]}, stop_at="a")
    with pytest.raises(KeyboardInterrupt):
        early.run()
    assert "before the first submission" in early.said[-1]


def test_when_the_portfolio_is_through_further_recipes_are_asked_for():
    asked = []

    def more(runner):
        asked.append(len(runner.recipes))
        runner.costs["advice"] = Cost(5.0, 3.0)
        return [Recipe("advice", NETWORK)]

    runner = toy(400, {"probe": Cost(8.0), "a": Cost(5.0, 6.0)}, more=more)
    runner.run()
    assert [name for name, _ in runner.began] == ["probe", "a", "advice"] and asked[0] == 2


def test_a_network_gets_its_other_views_once_and_keeps_its_place():
    """Of three views two are there, and 20 s are enough for the third."""
    runner, predicted = viewing(300, {"probe": Cost(8.0), "a": Cost(5.0, 20.0, 10.0)})

    def more(runner):
        runner.costs["more"] = Cost(0.0, 0.0, 10.0)
        views = runner.recipes[1].settings
        return [Recipe("more", views, of="a", views_there=2, is_about_epochs=True)]

    def timed(recipe, before=runner._timed):
        rungs = before(recipe).rungs
        if recipe.of:
            rungs = tuple(replace(r, views_there=2, share=0.0, is_fixed=True) for r in rungs)
        return Ladder(recipe.name, recipe.kind, rungs)

    runner.more, runner._timed = more, timed
    runner.run()
    assert [step.name for step in runner.steps] == ["probe", "a", "more"] and predicted["more"] == 3
    assert list(runner.done) == ["probe", "a", "more"] and runner.done["more"] is None
    assert runner.done["a"] is not None and not any("earlier command" in line for line in runner.said)


def test_a_head_that_takes_longer_than_expected_may_begin_where_the_end_would_be_little_late():
    """24 s that may become 36 s, where 32 s or 28 s are left."""
    for left, fits in ((32.0, True), (28.0, False)):
        runner = toy(300, {"probe": Cost(24.0)})
        runner.reserve, runner.best = Reserve(0.0), "there is one"
        runner.clock.now.at += runner.left - left
        assert bool(runner.replan().members) == fits


def test_advice_to_train_longer_is_another_training_than_the_one_that_is_there():
    recorded = config_slice(NETWORK.config, ("images.size", "train", "loss", "model"))
    fold = SimpleNamespace(
        manifest={"settings": recorded},
        inputs={"folds": "folds/k"},
        setting=lambda path: recorded["train"]["epochs"],
    )
    store = SimpleNamespace(all=lambda stage: [fold], begun=lambda stage: [])
    session = SimpleNamespace(graph=SimpleNamespace(key=lambda need: "k"), store=store)
    longer = NETWORK.with_values({"train.epochs": 20})
    assert begun(session, Recipe("a", longer)) == 10
    advice = Recipe("a train.epochs=20", longer, is_about_epochs=True)
    assert begun(session, advice) is None
    scene = SimpleNamespace(cost=lambda settings: Cost(1.0, 2.0, 3.0), missing=lambda s: 5, plan=range(5))
    rung = ladder_of(advice, scene, None).rungs[0]
    assert (rung.epochs, rung.is_fixed) == (20, True), "and fewer would not be what was advised"


def test_a_member_of_which_folds_exist_goes_on_with_its_own_schedule():
    sections = ("images.size", "train", "loss", "model")

    def fold(settings, key="k"):
        recorded = config_slice(settings.config, sections)
        return SimpleNamespace(
            manifest={"settings": recorded},
            inputs={"folds": f"folds/{key}"},
            setting=lambda path: recorded["train"]["epochs"],
        )

    runner = toy(300, COSTS)
    runner.session.graph = SimpleNamespace(key=lambda need: "k")
    recipe = Recipe("a", NETWORK)
    others = [fold(NETWORK.with_values({"train.epochs": 4}), "other"), fold(PROBE)]
    store = SimpleNamespace(all=lambda stage: others, begun=lambda stage: [])
    runner.session.store = store
    assert begun(runner.session, recipe) is None, "of other folds, or of another recipe"
    store.all = lambda stage: [fold(NETWORK.with_values({"train.epochs": 7})), *others]
    assert paused(runner.session, recipe) is None, "finished folds promised nothing"
    assert begun(runner.session, recipe) == 7 and begun(runner.session, Recipe("probe", PROBE)) is None
    store.begun = lambda stage: [fold(NETWORK.with_values({"train.epochs": 9})), *others]
    assert begun(runner.session, recipe) == 9, "a checkpoint of its first fold is a beginning, too"
    assert paused(runner.session, recipe) == 9
    large = Recipe("large", load(["competition=emoji", "experiment=lite0"]))
    small = fold(large.at(size=large.sizes[-1], epochs=5))
    store.begun, store.all, runner.done = lambda stage: [small], lambda stage: [], {}
    going_on = runner._as_begun(large)
    assert going_on.sizes == [large.sizes[-1]] and going_on.name == f"large at {large.sizes[-1]} px"
    assert begun(runner.session, going_on) == 5 and runner._as_begun(recipe) is recipe
    scene = SimpleNamespace(cost=lambda settings: Cost(1.0, 2.0, 3.0), missing=lambda s: 2, plan=range(5))
    rung = ladder_of(recipe, scene, 7).rungs[0]
    assert (rung.epochs, rung.share, rung.is_fixed) == (7, 0.4, True)


def test_features_that_take_too_long_are_paused_between_two_views():
    """Of a head there are no epochs to watch."""
    runner = toy(200, {"probe": Cost(8.0), "probe_large": Cost(60.0)}, views={"probe_large": 6})

    def get(view):
        runner.clock.now.at += 60.0
        runner.session.built.append(view)

    runner.session.built = []
    runner.session.get = get
    runner.session.graph = SimpleNamespace(chain=lambda needs, stage: list(range(6)), found=lambda need: None)
    runner.run()
    assert runner.session.built == [0], "after the first view it was clear"
    assert [s.name for s in runner.steps] == ["probe", "probe_large"] and runner.clock.spent < 200
    assert any("its features would not have ended in time" in line for line in runner.said)


def test_a_result_that_an_earlier_submission_beats_is_written_at_the_end_only(monkeypatch, tmp_path):
    """A repeated command with everything reused blends single members first, which nothing takes."""
    written, kept = [], []

    def publish(artifact, settings, store):
        written.append(artifact.key)
        return tmp_path / f"{artifact.key}.csv"

    monkeypatch.setattr(running.submission, "publish", publish)
    monkeypatch.setattr(running.submission, "path_of", lambda artifact, home: home / f"{artifact.key}.csv")
    monkeypatch.setattr(running, "keep_best", lambda path, stable, say: kept.append(path.stem) or stable)
    scene = SimpleNamespace(plan=[0])
    session = SimpleNamespace(home=tmp_path, store=None, say=print)
    runner = Runner(session, NETWORK, scene, Clock(60, Hands()), [], Reserve(1.0, 1.0))
    runner._is_better_there = lambda stable, artifact, score: score <= 0.5
    metric = runner.metric.name

    def scored(key, score):
        return SimpleNamespace(key=key, metrics={f"oof_{metric}": score})

    for key, score in (("one", 0.3), ("two", 0.4)):
        runner._take(NETWORK, scored(key, score), 1)
    assert written == [] and runner.best.artifact.key == "two" and not runner.best.written
    assert runner.submitted().path.stem == "two" and written == ["two"] and kept == []
    runner._take(NETWORK, scored("three", 0.6), 2)
    assert written == ["two", "three"] and kept == ["three"] and runner.best.written
    assert runner.submitted() is runner.best and len(written) == 2
