"""plan/costs: what a head on features is expected to take."""

import json
from types import SimpleNamespace

import pytest

from pipeline.core.samples import Attribute, LabelSpace
from pipeline.engine.hardware import machine
from pipeline.plan.costs import FARTHEST, FORWARD, HEAD_START, Scene
from pipeline.plan.recipes import Recipe
from pipeline.settings.load import load
from pipeline.train import estimate, head_penalty, step_timing
from pipeline.train.studies.walltime import Work

WORK = Work(5, 2000, 500, 1000)


class Samples:
    """So many samples of so many classes."""

    def __init__(self, rows=500, classes=10):
        self.rows = rows
        self.space = LabelSpace.product([Attribute("class", tuple(map(str, range(classes))))])

    def __len__(self):
        return self.rows


def scene(found=lambda need: need, home=None, classes=10, folds=()):
    """Training images whose features are there already, or not; `folds`: those that were trained before."""
    graph = SimpleNamespace(found=found, key=lambda need: str(sorted(need.params.items())))
    session = SimpleNamespace(graph=graph, home=home, store=SimpleNamespace(all=lambda stage: list(folds)))
    return Scene(session, Samples(classes=classes), range(5), 100)


def expected(*words, work=WORK, competition="digits-values"):
    """Seconds of a head whose features are there already."""
    settings = load([f"competition={competition}", "experiment=probe_logistic", *words])
    cost = scene()._probe(settings, work, 0.01, 0.0)
    assert cost.features.seconds(3) == 0, "nothing is computed again"
    return cost.fixed


def choosing(work=WORK):
    """Seconds that the choice of a penalty adds."""
    return expected("train.head_c=auto", work=work) - expected("train.head_c=0.03", work=work)


def test_a_penalty_that_is_chosen_takes_the_solutions_that_it_is_chosen_by():
    solved = expected("train.head_c=0.03") - expected("train.head_c=0.03", work=Work(5, 0, 0, 0))
    assert choosing() == pytest.approx(10 * solved), "five penalties, each on two of three parts, three times"
    some = Work(5, 5 * head_penalty.ENOUGH, 0, 0)
    assert choosing(Work(5, 200_000, 0, 0)) == pytest.approx(choosing(some)), "more samples choose no better"


def test_classes_have_one_penalty_and_no_choice_to_wait_for():
    assert expected("train.head_c=auto", competition="emoji") == expected(
        "train.head_c=0.03", competition="emoji"
    )


def test_a_head_with_fewer_views_costs_the_features_of_these_only():
    settings = load(["competition=emoji", "experiment=probe_logistic"])
    missing = scene(found=lambda need: None)
    cost = missing._probe(settings, WORK, 0.01, 0.0)
    one = Recipe("one", settings).at(views=["identity"])
    alone = missing._probe(one, WORK, 0.01, 0.0)
    views = len(settings.config.infer.views)
    assert views > 1 and alone.features.seconds(1) == pytest.approx(cost.features.seconds(1))
    assert cost.features.seconds(1) == pytest.approx(FORWARD * 0.01 * (500 + 100)), "both splits, once"
    assert cost.features.seconds(views) == pytest.approx(views * cost.features.seconds(1))


def test_views_that_a_head_trains_on_alone_cost_only_the_training_images():
    words = ["infer.views=[identity]", "train.probe_views=[identity, hflip]"]
    settings = load(["competition=emoji", "experiment=probe_logistic", *words])
    features = scene(found=lambda need: None)._probe(settings, WORK, 0.01, 7.0).features
    assert features.seconds(1) == pytest.approx(FORWARD * 0.01 * (500 + 100 + 500) + 7.0)
    there = features.without(frozenset(features.missing(1)))
    assert there.seconds(1) == 0, "nor are their images prepared"


@pytest.fixture
def timed(monkeypatch):
    """The settings of the heads that were timed; each takes a millisecond a row."""
    asked = []
    monkeypatch.setattr(step_timing, "of_head", lambda config, space: asked.append(config.train) or 1e-3)
    return asked


def test_thousands_of_classes_cost_what_a_step_of_such_a_head_takes_on_this_machine(tmp_path, timed):
    words = ["train.batch_size=64", "train.accumulate=2"]
    settings, three = (
        load(["competition=emoji", "experiment=probe_arcface", *words, f"train.head_seeds={seeds}"])
        for seeds in (1, 3)
    )
    one, again, thrice, few = (
        scene(home=tmp_path, classes=classes)._probe(asked, WORK, 0.01, 0.0).fixed - HEAD_START
        for asked, classes in ((settings, 3000), (settings, 3000), (three, 3000), (settings, 10))
    )
    assert one == again == pytest.approx(1e-3 * WORK.rows * 15) and thrice == pytest.approx(3 * one)
    assert 0 < few < one
    (kept,) = json.loads((tmp_path / "machine.json").read_text(encoding="utf-8"))["entries"]
    assert kept["of"]["classes"] == 3000 and kept["measured"]["seconds"] == 1e-3
    assert [(t.batch_size, t.accumulate, t.head_seeds) for t in timed] == [(128, 1, 1)], (
        "timed once, one head"
    )


@pytest.mark.parametrize("batch", [32, 65_536])
def test_a_head_of_many_classes_is_timed_in_moments_whatever_its_batch(tmp_path, batch):
    words = ["runtime.threads=1", f"train.batch_size={batch}"]
    settings = load(["competition=emoji", "experiment=probe_arcface", *words])
    space = Samples(classes=400).space
    assert 0 < estimate.head_row(settings, space, tmp_path) < 0.1
    assert 0 < estimate.head_row(load(["experiment=probe_mlp", *words]), space, tmp_path) < 0.1


class Made:
    """Features of images of this size, with milliseconds an image."""

    def __init__(self, size, milliseconds, model="tf_efficientnet_lite0"):
        self.metrics, self.manifest = {"ms_per_image": milliseconds}, {"hardware": machine()}
        self.setting = {"images.size": size, "model.name": model}.get


def test_features_of_a_similar_size_tell_the_time_of_others_and_far_smaller_ones_do_not():
    made = [Made(32, 4.0), Made(96, 10.0), Made([48, 192], 12.0), Made(64, 1.0, model="other")]
    store = SimpleNamespace(all=lambda stage: made)

    def seconds(size, farthest=FARTHEST):
        return estimate.pass_seconds(store, "tf_efficientnet_lite0", size * size, farthest)

    assert seconds(96) == pytest.approx(0.012), "the newest of the same area"
    assert seconds(192) == pytest.approx(0.048) and seconds(24) == pytest.approx(0.004 * (24 / 32) ** 2)
    assert seconds(300) is None and seconds(300, float("inf")) == pytest.approx(0.012 * (300 / 96) ** 2)


def test_a_network_is_timed_again_where_its_images_are_of_a_very_different_size(monkeypatch):
    asked = []

    def timed(scene, settings, device):
        asked.append(settings.config.images.size)
        return {"seconds": 0.02 * (settings.config.images.size / 96) ** 2}

    profile = SimpleNamespace(measured=lambda question, measure: measure())
    monkeypatch.setattr("pipeline.plan.costs.Profile", lambda home: profile)
    monkeypatch.setattr(Scene, "_timed", timed)
    here = scene()
    words = ["competition=emoji", "experiment=probe", "images.cache_px=512"]
    rates = {size: here.rate(load([*words, f"images.size={size}"])) for size in (32, 48, 224, 160)}
    assert asked == [32, 224]
    assert rates[48] == pytest.approx(rates[32] * (48 / 32) ** 2)
    assert rates[160] == pytest.approx(rates[224] * (160 / 224) ** 2)


@pytest.fixture
def row(monkeypatch):
    """What a row takes now, in seconds, by network: noise on a machine that others use."""
    now = {"tf_efficientnet_lite0": 0.09, "resnet18": 0.05}
    monkeypatch.setattr(
        Scene, "_timed", lambda self, settings, device: {"seconds": now[settings.config.model.name]}
    )
    return now


def of_size(size, *words):
    return load(["competition=emoji", "experiment=lite0_96", "images.cache_px=256", "runtime.device=cpu",
                 f"images.size={size}", *words])  # fmt: skip


def test_a_network_that_is_quicker_when_timed_again_is_so_at_other_sizes_too(row, tmp_path):
    here, other = scene(home=tmp_path), of_size(96, "model.name=resnet18")
    assert [here.rate(of_size(96)), here.rate(other)] == [0.09, 0.05]
    row |= {"tf_efficientnet_lite0": 0.03, "resnet18": 0.01}
    assert here.time_again(of_size(96)) and here.rate(of_size(96)) == pytest.approx(0.03)
    assert here.rate(of_size(160)) == pytest.approx(0.03 * (160 / 96) ** 2)
    assert here.rate(other) == 0.05, "timed in another moment, of which nothing is known"
    features = SimpleNamespace(all=lambda stage: [Made(96, 400.0)] if stage == "features" else [])
    later = scene(home=tmp_path)
    later.session.store = features
    assert later.rate(of_size(96)) == pytest.approx(0.03), "kept, and of the steps themselves"


def test_a_busy_moment_in_which_a_network_is_timed_again_changes_nothing(row, tmp_path):
    here = scene(home=tmp_path)
    here.rate(of_size(96))
    row["tf_efficientnet_lite0"] = 0.7
    assert not here.time_again(of_size(96))
    assert here.rate(of_size(96)) == scene(home=tmp_path).rate(of_size(96)) == 0.09


def test_finished_folds_say_more_than_steps_that_are_timed_again(row, tmp_path):
    known = scene(home=tmp_path, folds=[fold_of(of_size(96), 0.5)])
    assert not known.time_again(of_size(96)) and known.rate(of_size(96)) == 0.5


@pytest.mark.parametrize(("size", "rows"), [(64, 32), (96, 32), (160, 11), (256, 8)])
def test_a_network_of_large_images_is_timed_on_few_of_them(monkeypatch, size, rows):
    asked = []
    monkeypatch.setattr(
        step_timing, "seconds_per_row", lambda config, *more: asked.append(config.train.batch_size) or 0.1
    )
    settings = load(
        ["competition=emoji", "experiment=lite0_96", f"images.size={size}", "train.batch_size=32"]
    )
    assert scene()._timed(settings, "cpu")["seconds"] > 0 and asked == [rows]
    scene()._timed(settings, "cuda")
    assert asked[-1] == 32


def test_a_head_is_expected_to_take_as_long_as_the_last_one_of_its_kind():
    words = ["competition=emoji", "experiment=probe_mlp", "runtime.device=cpu"]
    settings, more = load(words), load([*words, "train.epochs=60", "loss.label_smoothing=0.1"])

    def heads(asked, *folds):
        return scene(folds=folds)._probe(asked, WORK, 0.01, 0.0).fixed - HEAD_START

    made = fold_of(settings, 1e-3)
    assert heads(settings, made) == pytest.approx(1e-3 * WORK.rows * settings.config.train.epochs)
    assert heads(more, made) == pytest.approx(1e-3 * WORK.rows * 60)
    assert heads(settings) < heads(settings, made), "a machine that was slow is expected to be"
    assert heads(load([*words, "train.head_hidden=7"]), made) == heads(load([*words, "train.head_hidden=7"]))


def test_a_solved_head_that_is_there_counts_its_choice_of_a_penalty_once():
    words = ["competition=digits-values", "experiment=probe_logistic", "train.head_c=auto"]
    settings = load([*words, "runtime.device=cpu"])
    here = scene(folds=[fold_of(settings, 0.5)])
    assert here._probe(settings, WORK, 0.01, 0.0).fixed - HEAD_START == pytest.approx(0.5 * WORK.rows)
    given = load([*words[:2], "train.head_c=1", "runtime.device=cpu"])
    assert here._probe(given, WORK, 0.01, 0.0).fixed - HEAD_START < 0.1 * 0.5 * WORK.rows


def fold_of(settings, seconds_per_row):
    """A fold that was trained with these settings on this machine."""
    config = settings.config
    values = flat_of(config) | {"competition.name": config.competition.name}
    if config.train.solved:
        unread = ("train.batch_size", "train.precision", "train.head_hidden")
        values = {path: value for path, value in values.items() if path not in unread}
    return SimpleNamespace(
        manifest={"tags": {"device": "cpu"}, "hardware": machine()},
        metrics={"seconds_per_row": seconds_per_row},
        setting=values.get,
    )


def test_a_rate_of_heads_is_that_of_the_same_competition_and_head():
    found = SimpleNamespace(
        manifest={"tags": {"device": "cpu"}, "hardware": machine()}, metrics={"seconds_per_row": 0.25}
    )
    settings = load(["competition=emoji", "experiment=probe"])
    config = settings.config
    ours = {"competition.name": config.competition.name}

    def rate(**other):
        values = flat_of(config) | ours | {k.replace("__", "."): v for k, v in other.items()}
        found.setting = values.get
        return estimate.earlier(SimpleNamespace(all=lambda stage: [found]), settings, "cpu")

    assert rate() == 0.25
    for other in ({"competition__name": "whales"}, {"train__head": "mlp"}, {"model__heads": "cosine"}):
        assert rate(**other) is None, other


def flat_of(config):
    """Values of settings by their path."""
    return {
        f"{section}.{name}": value
        for section in ("model", "train", "images")
        for name, value in getattr(config, section).model_dump(mode="json").items()
    }
