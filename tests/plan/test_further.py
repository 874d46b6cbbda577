"""What follows the recipes of a budget of time: views that had no time, advice, other seeds."""

from types import SimpleNamespace

import pytest

from pipeline.core import metrics
from pipeline.engine.slices import config_slice
from pipeline.plan import further, improving
from pipeline.plan.improving import Move
from pipeline.plan.planning import Cost, Pace, fewest, fitted, viewed
from pipeline.plan.recipes import Recipe, begun
from pipeline.plan.running import ladder_of
from pipeline.settings.load import load

METRIC = metrics.get("macro_f1")
VIEWS = ["identity", "shift(1,1)", "shift(2,2)"]
NETWORK = load(["competition=digits", "experiment=tiny_resnet"]).with_values({"infer.views": VIEWS})
MLP = load(["competition=digits", "experiment=probe_mlp", "images.cache_px=64"])
LOGISTIC = load(["competition=digits", "experiment=probe_logistic", "images.cache_px=64"])


def made(score, settings):
    """A finished member as far as this module looks at it."""
    values = {"infer.views": settings.config.infer.views, "train.epochs": settings.config.train.epochs}
    return SimpleNamespace(metrics={"oof_macro_f1": score}, asked=settings, inputs={}, setting=values.get)


@pytest.fixture
def runner(monkeypatch):
    """A runner without time for a report; members, and settings of finished results, are to be filled in."""
    monkeypatch.setattr(further.case, "again", lambda member, settings: member and member.asked)
    store = SimpleNamespace(begun=lambda stage: [], all=lambda stage: [])
    finished = []
    graph = SimpleNamespace(
        key=lambda need: "k" if need.stage == "folds" else str(need.settings.config),
        finished=lambda stage: [SimpleNamespace(key=str(settings.config)) for settings in finished],
    )
    return SimpleNamespace(
        recipes=[], done={}, left=5.0, best=SimpleNamespace(artifact=None), reported=None, settings=None,
        reserve=SimpleNamespace(report=10.0), metric=METRIC, finished=finished,
        session=SimpleNamespace(store=store, graph=graph),
    )  # fmt: skip


def names(runner):
    return [recipe.name for recipe in further.after_portfolio(runner)]


def test_a_network_that_had_time_for_fewer_views_gets_the_others_before_anything_else(runner):
    cut = NETWORK.with_values({"train.epochs": 7, "infer.views": VIEWS[:2]})
    runner.recipes = [Recipe("net", NETWORK), Recipe("mlp", MLP)]
    runner.done = {"net": made(0.5, cut), "mlp": None}
    (whole,) = further.after_portfolio(runner)
    assert (whole.name, whole.of, whole.views_there) == ("net, more views", "net", 2)
    assert whole.settings.config.infer.views == VIEWS and whole.settings.config.train.epochs == 7
    runner.recipes.append(whole)
    assert not any("views" in name for name in names(runner)), "and once"
    runner.done["net"], runner.done[whole.name] = made(0.5, NETWORK), None
    found = names(runner)
    assert found == [f"net train.seed={n}" for n in (1, 2, 3)], "it takes the place of the former one"


def test_views_are_those_of_the_member_whatever_was_trained_after_it(runner):
    """A later training of the same recipe has 20 epochs; the member has 7."""
    recorded = config_slice(
        NETWORK.with_values({"train.epochs": 20}).config, ("images.size", "train", "model")
    )
    later = SimpleNamespace(
        manifest={"settings": recorded}, inputs={"folds": "folds/k"}, setting=lambda path: 20
    )
    runner.session.store.all = lambda stage: [later]
    runner.recipes = [Recipe("net", NETWORK)]
    runner.done = {"net": made(0.5, NETWORK.with_values({"train.epochs": 7, "infer.views": VIEWS[:1]}))}
    (whole,) = further.more_views(runner)
    assert begun(runner.session, runner.recipes[0]) == 20 and begun(runner.session, whole) is None
    assert whole.settings.config.train.epochs == 7
    runner.recipes.append(whole)
    assert further.more_views(runner) == []


def test_a_network_with_smaller_images_gets_its_views_too(runner):
    recipe = Recipe(
        "net", load(["competition=emoji", "experiment=lite0"]).with_values({"infer.views": VIEWS})
    )
    (_, small, *_) = recipe.sizes
    runner.recipes = [recipe]
    runner.done = {f"net at {small} px": made(0.5, recipe.at(size=small, views=VIEWS[:1]))}
    (whole,) = further.after_portfolio(runner)
    assert (whole.of, whole.settings.config.images.size) == (f"net at {small} px", small)


def test_views_that_a_member_has_are_neither_planned_nor_paid_again():
    scene = SimpleNamespace(cost=lambda settings: Cost(1.0, 5.0, 10.0), missing=lambda s: 0, plan=range(3))
    ladder = ladder_of(Recipe("net, more views", NETWORK, of="net", views_there=1), scene, 7)
    (rung, *_) = ladder.rungs
    one, both = (fitted(ladder, rung, seconds, Pace()) for seconds in (11.0, 21.0))
    assert (one.views, one.seconds) == (2, 11.0) and (both.views, both.seconds) == (3, 21.0)
    assert fitted(ladder, rung, 10.0, Pace()) is None and fewest(ladder, rung, Pace()).views == 2
    assert viewed(both, 1.0, 10.0, Pace()).views == 2 == viewed(both, 1.0, 0.0, Pace()).views


def test_other_seeds_begin_with_networks_and_the_best_and_leave_out_heads_without_one(runner):
    members = {"mlp": (0.8, MLP), "better": (0.9, MLP), "solved": (0.95, LOGISTIC), "net": (0.7, NETWORK)}
    runner.done = {name: made(*one) for name, one in members.items()} | {"paused": None}
    found = further.after_portfolio(runner)
    first = [(r.name, r.settings.config.train.seed) for r in found[:4]]
    seeds = [("net", 1), ("better", 1), ("mlp", 1), ("net", 2)]
    assert first == [(f"{name} train.seed={seed}", seed) for name, seed in seeds]
    assert len(found) == 3 * further.SEEDS
    runner.recipes = found
    runner.done[found[1].name] = made(0.9, found[1].settings)
    assert names(runner) == [], "and no seeds of seeds"


def test_what_an_earlier_command_finished_is_not_asked_for_again(runner):
    runner.done = {"mlp": made(0.8, MLP)}
    runner.finished.append(MLP.with_values({"train.seed": 1}))
    assert names(runner) == ["mlp train.seed=2", "mlp train.seed=3"]


def test_after_the_recipes_advice_on_other_members_follows_where_that_on_the_best_one_is_tried(
    monkeypatch, runner
):
    advice = {"train/best": ["train.epochs=9"], "train/b": ["train.lr=1e-3"], "train/c": ["train.ema=0.9"]}
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
    runner.session.store.at = training
    runner.report = lambda: "train/best"
    runner.report_of = lambda member, settings: member.inputs["train"]
    monkeypatch.setattr(improving, "subject", lambda *_: training("train/best"))

    def moves_of(report, *_):
        return [Move(n, "kind", (n,), NETWORK, None, gain=0.1, seconds=10.0) for n in advice[report]], []

    monkeypatch.setattr(improving, "moves_of", moves_of)
    found = []
    for _ in range(3):
        (new,) = further.after_portfolio(runner)
        found.append((new.name, new.is_about_epochs))
        runner.recipes.append(new)
    assert found == [("train.epochs=9", True), ("train.ema=0.9", False), ("train.lr=1e-3", False)]
    assert "train.seed=1" in names(runner)[0]
    runner.left, runner.read = 15.0, set()
    assert "train.seed=1" in names(runner)[0], "no time for a report and that at the end"
