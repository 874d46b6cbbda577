"""What follows the recipes of a budget of time: views that had no time, advice, other seeds."""

from types import SimpleNamespace

import pytest

from pipeline.core import metrics
from pipeline.plan import further, improving
from pipeline.plan.improving import Move
from pipeline.plan.planning import Cost, Pace, fewest, fitted
from pipeline.plan.recipes import Recipe
from pipeline.plan.running import ladder_of
from pipeline.settings.load import load

METRIC = metrics.get("macro_f1")
VIEWS = ["identity", "shift(1,1)", "shift(2,2)"]
NETWORK = load(["competition=digits", "experiment=tiny_resnet"]).with_values({"infer.views": VIEWS})
MLP = load(["competition=digits", "experiment=probe_mlp", "images.cache_px=64"])
LOGISTIC = load(["competition=digits", "experiment=probe_logistic", "images.cache_px=64"])


def made(score, settings):
    """A finished member as far as this module looks at it."""
    return SimpleNamespace(metrics={"oof_macro_f1": score}, asked=settings, inputs={})


@pytest.fixture
def runner(monkeypatch):
    """A runner without time for a report, with members to be filled in."""
    monkeypatch.setattr(further.case, "again", lambda member, settings: member and member.asked)
    return SimpleNamespace(
        recipes=[], done={}, left=5.0, best=SimpleNamespace(artifact=None), reported=None, settings=None,
        reserve=SimpleNamespace(report=10.0), metric=METRIC,
    )  # fmt: skip


def names(runner):
    return [recipe.name for recipe in further.after_portfolio(runner)]


def test_a_network_that_had_time_for_fewer_views_gets_the_others_before_anything_else(runner):
    recipe = Recipe("net", NETWORK)
    cut = NETWORK.with_values({"train.epochs": 7, "infer.views": VIEWS[:2]})
    runner.recipes, runner.done = [recipe, Recipe("mlp", MLP)], {"net": made(0.5, cut), "mlp": None}
    (whole,) = further.after_portfolio(runner)
    assert (whole.name, whole.least_views) == ("net with 3 views", 3)
    assert whole.settings.config.infer.views == VIEWS and whole.settings.config.train.epochs == 7
    runner.recipes.append(whole)
    assert "net with 3 views" not in names(runner), "and once"
    runner.done = {"net": made(0.5, NETWORK)}
    assert all(name.startswith("net train.seed=") for name in names(runner)), "it has all of its views"


def test_views_that_a_member_has_are_never_planned_again():
    scene = SimpleNamespace(cost=lambda settings: Cost(1.0, 5.0, 10.0), missing=lambda s: 0, plan=range(3))
    ladder = ladder_of(Recipe("net with 3 views", NETWORK, least_views=2), scene, 7)
    (rung, *_) = ladder.rungs
    assert fitted(ladder, rung, 31.0, Pace()).views == 3 and fitted(ladder, rung, 30.0, Pace()).views == 2
    assert fitted(ladder, rung, 20.0, Pace()) is None and fewest(ladder, rung, Pace()).views == 2


def test_other_seeds_begin_with_the_best_and_with_networks_and_leave_out_heads_without_one(runner):
    members = {"mlp": (0.8, MLP), "better": (0.9, MLP), "solved": (0.95, LOGISTIC), "net": (0.7, NETWORK)}
    runner.done = {name: made(*one) for name, one in members.items()} | {"paused": None}
    found = further.after_portfolio(runner)
    assert [r.name for r in found[:4]] == [
        "net train.seed=1",
        "better train.seed=1",
        "mlp train.seed=1",
        "net train.seed=2",
    ]
    assert len(found) == 3 * further.SEEDS
    assert [r.settings.config.train.seed for r in found[:4]] == [1, 1, 1, 2]
    runner.recipes = found
    runner.done[found[1].name] = made(0.9, found[1].settings)
    assert names(runner) == [], "and no seeds of seeds"


def test_after_the_recipes_advice_on_other_members_follows_where_that_on_the_best_one_is_tried(
    monkeypatch, runner
):
    advice = {"train/best": ["x"], "train/b": ["z"], "train/c": ["y"]}
    scores = {"train/best": 0.7, "train/b": 0.5, "train/c": 0.6}
    runner.done = {name: made(score, NETWORK) for name, score in scores.items()}
    for name, member in runner.done.items():
        member.inputs = {"train": name}

    def training(name):
        return SimpleNamespace(address=name, metrics={}, asked=NETWORK)

    runner.left, runner.read, runner.scene = 1000.0, set(), None
    runner.reserve = SimpleNamespace(blend=1.0, report=5.0)
    runner.pace = SimpleNamespace(of=lambda kind: 1.0)
    runner.clock = SimpleNamespace(now=lambda: 0.0)
    runner.session = SimpleNamespace(store=SimpleNamespace(at=training))
    runner.report = lambda: "train/best"
    runner.report_of = lambda member, settings: member.inputs["train"]
    monkeypatch.setattr(improving, "subject", lambda *_: training("train/best"))

    def moves_of(report, *_):
        return [Move(n, "epochs", (), NETWORK, None, gain=0.1, seconds=10.0) for n in advice[report]], []

    monkeypatch.setattr(improving, "moves_of", moves_of)
    found = []
    for _ in range(3):
        (new,) = further.after_portfolio(runner)
        found.append(new.name)
        runner.recipes.append(new)
    assert found == ["x", "y", "z"] and "train.seed=1" in names(runner)[0]
    runner.left, runner.read = 15.0, set()
    assert "train.seed=1" in names(runner)[0], "no time for a report and that at the end"
