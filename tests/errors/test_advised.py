"""What was tried alone, what advice was followed: from manifests, without a model."""

import contextlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.core.predictions import Probabilities
from pipeline.core.samples import Attribute, LabelSpace, Samples
from pipeline.core.seeds import rng
from pipeline.engine import request
from pipeline.errors.advice import advisor, changes, ledger
from pipeline.errors.advice.changes import FinishedRuns
from pipeline.errors.advice.facts import Advice
from pipeline.record import files
from pipeline.record.files import FileIndex
from pipeline.record.store import Artifact, Store
from pipeline.settings.load import load
from pipeline.settings.schema import Config
from pipeline.stages import open_session

SPACE = LabelSpace.product([Attribute("kind", ("a", "b", "c"))])
N = 600
LABELS = rng(0, "labels").integers(0, 3, N)
IDS = [f"i{k}" for k in range(N)]
TRAIN = Samples(IDS, IDS, [f"g{k // 2}" for k in range(N)], SPACE, LABELS, "train")


class World:
    """A store of finished runs that only have manifests and predictions."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.store = Store(home, FileIndex(home / "index.json"))
        self.count = 0

    def finish(
        self,
        stage,
        experiment,
        settings,
        skill=1.0,
        inputs=None,
        values=(["train.lr", 0.1],),
        metrics=None,
        facts=None,
    ) -> Artifact:
        self.count += 1
        key = f"{self.count:016x}"
        logits = rng(self.count, "run").normal(size=(N, 3))
        logits[np.arange(N), LABELS] += skill
        p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        oof = Probabilities(TRAIN.ids_N, SPACE.classes, p.astype(np.float32), experiment)
        manifest = {
            "experiment": experiment,
            "competition": "toy",
            "created": f"2026-11-22T10:00:{self.count:02d}+00:00",
            "settings": settings,
            "inputs": {"data": "data/d", "folds": "folds/f", **(inputs or {})},
            "metrics": metrics or {"complete": 1.0, "oof_macro_f1": 0.5},
            "request": {
                "competition": "toy",
                "model": None,
                "experiment": [experiment],
                "values": list(values),
            },
        }
        with self.store.draft(stage, key) as draft:
            files.write_probabilities(draft / "oof.npz", oof)
            if facts is not None:
                files.write_json(draft / "blend.json", facts)
            return self.store.publish(stage, key, draft, manifest)

    def runs(self, metric="macro_f1") -> FinishedRuns:
        given = {"statistics": {"draws": 300}, "competition": {"metric": metric}}
        config = Config.model_validate(given, strict=False)
        return FinishedRuns(self.store, config, TRAIN, "data/d", "folds/f")


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def settings(**train):
    return {"train": {"epochs": 3, "lr": 0.1, "clip_norm": None, **train}, "statistics": {"draws": 100}}


def test_a_change_is_tested_by_the_pair_that_differs_in_nothing_else(world):
    old = world.finish("train", "old", settings(lr=0.2), 1.0)
    world.finish("train", "longer", settings(lr=0.2, epochs=9), 3.0)
    new = world.finish("train", "new", settings(lr=0.3, epochs=9))
    world.finish("train", "slow", settings(lr=0.1, epochs=9), 3.0)
    epochs, lr = changes.changes(world.runs(), new, old)
    assert (epochs.what, epochs.old, epochs.new) == ("train.epochs", "3", "9")
    assert epochs.tested.verdict == "better" and epochs.between.startswith("old train.lr=0.1 (train")
    assert lr.tested is not None and lr.tested.verdict == "worse", "it is tested in the new surroundings, too"


def test_a_change_that_was_tested_among_other_settings_only_has_no_evidence(world):
    world.finish("train", "plain", settings(lr=0.5), 1.0)
    world.finish("train", "longer", settings(lr=0.5, epochs=9), 3.0)
    old = world.finish("train", "old", settings(lr=0.2))
    new = world.finish("train", "new", settings(lr=0.3, epochs=9))
    epochs, lr = changes.changes(world.runs(), new, old)
    assert epochs.tested is None and lr.tested is None
    assert lr.command == 'make train ARGS="competition=toy experiment=old train.lr=0.3"'


def test_a_network_goes_with_its_weights(world):
    small = {**settings(), "model": {"name": "small", "weights": "none"}}
    large = {**settings(epochs=9), "model": {"name": "large", "weights": "package:large"}}
    old, new = world.finish("train", "old", small), world.finish("train", "new", large)
    network, epochs = changes.changes(world.runs(), new, old)
    assert (network.what, network.old) == ("model.name and model.weights", "small, none")
    assert network.command.endswith('train.lr=0.1 model.name=large model.weights=package:large"')
    assert epochs.what == "train.epochs" and epochs.tested is None
    world.finish("train", "large, as long", {**large, **settings()})
    network, _ = changes.changes(world.runs(), new, old)
    assert network.tested is not None and network.command == ""


def test_a_run_of_another_metric_is_not_the_best_one_where_lower_is_better(world):
    by_loss = {"complete": 1.0, "oof_log_loss": 0.7}
    good = world.finish("train", "good", settings(), metrics={**by_loss, "oof_log_loss": 0.4})
    fair = world.finish("train", "fair", settings(epochs=4), metrics=by_loss)
    other = world.finish("train", "other", settings(epochs=5))
    good_too = world.finish("train", "fair", settings(epochs=6), metrics={**by_loss, "oof_log_loss": 0.5})
    world.finish("train", "fair", settings(epochs=7))
    members = {
        f"member:{a.key}": world.finish("infer", a.key, {}, inputs={"train": a.address}).address
        for a in (good, fair, other)
    }
    blend = world.finish("ensemble", "blend", {}, inputs=members)
    runs = world.runs("log_loss")
    assert advisor.subject(blend, runs).key == good.key
    others = advisor._others(good, runs, None)
    assert [o.name.split()[0] for o in others] == ["fair", "other"]
    expected = files.read_probabilities(good_too.folder / "oof.npz", "")
    assert (others[0].oof.p_NC == expected.p_NC).all()


def test_what_the_settings_would_refuse_is_no_command(world):
    """An image cannot be larger than the cache that it comes from."""
    digits = {"competition": "digits", "model": None, "experiment": ["tiny_cnn"], "values": []}
    assert request.refuses(digits, {"images.size": 4000}) and not request.refuses(digits, {"images.size": 16})
    old = world.finish("train", "old", {**settings(), "images": {"size": 8}})
    new = world.finish("train", "new", {**settings(lr=0.5), "images": {"size": 4000}})
    change, _ = changes.changes(world.runs(), new, replace(old, manifest={**old.manifest, "request": digits}))
    assert change.what == "images.size" and change.tested is None and change.command == ""


def test_advice_that_the_settings_would_refuse_is_not_given():
    asked = load(["competition=digits", "experiment=tiny_cnn"])
    assert advisor.possible(asked, advice("train.epochs=9")) and advisor.possible(asked, advice())
    assert not advisor.possible(asked, advice("images.size=4000"))


def test_advice_is_held_to_what_the_stages_of_its_command_take(tmp_path):
    words = ["competition=digits", "experiment=probe_pixels", f"runtime.home={tmp_path}"]
    with contextlib.closing(open_session(load(words))) as session:
        asked, accepts = session.settings, session.graph.accepts
        told = {
            word: advisor.possible(asked, advice(word), accepts)
            for word in ("loss.name=logit_adjustment", "augment.policy=heavy", "resample.method=over")
        }
        assert told == {
            "loss.name=logit_adjustment": False,
            "augment.policy=heavy": False,
            "resample.method=over": True,
        }, "by the rules of the settings; because nothing reads it; it is taken"
        patched = advice("competition.label_patches=label_patches.csv")
        assert advisor.possible(asked, patched, accepts), "a file that is still to be made"
        assert not advisor.possible(asked, advice("competition.metric=unheard_of"), accepts)


def test_how_members_vote_is_tried_by_the_blend(world):
    one = world.finish("infer", "one", settings())
    members = {"member:one": f"infer/{one.key}"}
    old, new = (
        world.finish("ensemble", "toy", {"ensemble": {"method": method}}, 1.0, members, ())
        for method in ("mean", "geometric")
    )
    (change,) = changes.changes(world.runs(), new, old)
    assert change.tested is not None, "the two are the pair"
    third = world.finish(
        "ensemble", "toy", {"ensemble": {"method": "rank"}, "infer": {"views": "x"}}, 1.0, members, ()
    )
    method = next(c for c in changes.changes(world.runs(), third, old) if c.what == "ensemble.method")
    assert method.command == 'make ensemble ARGS="competition=toy experiment=toy ensemble.method=rank"'


def test_how_other_members_vote_is_no_evidence(world):
    one, two, three, four = (
        inferred(world, name, lr) for name, lr in zip("abcd", (0.1, 0.2, 0.3, 0.4), strict=True)
    )
    for method in ("mean", "geometric"):
        world.finish("ensemble", "toy", {"ensemble": {"method": method}}, 1.0, members_of(one, two), ())
    old, new = (
        world.finish("ensemble", "toy", {"ensemble": {"method": method, "stack_c": c}}, 1.0, voting, ())
        for method, c, voting in (
            ("mean", 1.0, members_of(three, four)),
            ("geometric", 2.0, members_of(three, four)),
        )
    )
    method = next(c for c in changes.changes(world.runs(), new, old) if c.what == "ensemble.method")
    assert method.tested is None and method.command


def inferred(world, name, lr, skill=1.0):
    trained = world.finish("train", name, settings(lr=lr), skill)
    return world.finish("infer", name, settings(lr=lr), skill, inputs={"train": trained.address})


def members_of(*those):
    return {f"member:{a.manifest['experiment']}": a.address for a in those}


def blended(world, weights, *those):
    """A blend with its facts, as `ensemble/blend.py` writes them."""
    facts = {
        "method": "weighted",
        "members": {a.manifest["experiment"]: a.address for a in those},
        "weights": dict(zip((a.manifest["experiment"] for a in those), weights, strict=True)),
        "temperatures": {a.manifest["experiment"]: 1.0 for a in those},
    }
    how = {"ensemble": {"method": "weighted"}}
    return world.finish("ensemble", "toy", how, 2.0, members_of(*those), (), facts=facts)


def test_what_a_member_added_to_other_members_is_no_evidence_for_this_blend(world):
    """A strong member adds much to a weak one, and nothing to a blend that gives it no weight."""
    weak, strong = inferred(world, "pixels", 0.1, 0.1), inferred(world, "features", 0.2, 3.0)
    good, fair = inferred(world, "lite0", 0.3, 3.0), inferred(world, "lite1", 0.4, 2.0)
    blended(world, (0.0, 1.0), weak, strong)
    old = blended(world, (0.5, 0.5), good, fair)
    new = blended(world, (0.6, 0.4, 0.0), good, weak, strong)
    added = {c.new.split()[0]: c for c in changes.changes(world.runs(), new, old) if c.new}
    assert added["features"].tested.delta == 0.0, "the blend gives it no weight"
    blend = f"blend of 3: lite0, pixels, features (ensemble {new.key[:8]})"
    assert added["features"].between == f"{blend}: without features train.lr=0.1 → with it"
    lost = {c.old.split()[0]: c for c in changes.changes(world.runs(), old, new) if c.old}
    gain = added["pixels"].tested
    assert gain.verdict == "worse", "noise takes votes away"
    assert lost["pixels"].tested.delta == -gain.delta and lost["pixels"].tested.verdict == "better"
    assert lost["pixels"].between.endswith("with pixels train.lr=0.1 → without it")


def test_a_blend_that_was_tried_counts_for_the_run_and_for_others_of_its_network(world):
    """A member without a vote beside a network has none with larger images, mostly."""
    net = {"model": {"name": "lite0"}}
    small = world.finish("train", "lite0", settings() | net, 2.0)
    large = world.finish("train", "lite0", settings(epochs=9) | net, 2.0)
    weak = world.finish("train", "pixels", settings() | {"model": {"name": "pixels"}}, 0.1)
    good = world.finish("train", "resnet", settings() | {"model": {"name": "resnet18"}}, 2.0)
    told = {
        a.key: world.finish("infer", a.manifest["experiment"], {}, inputs={"train": a.address})
        for a in (small, weak, good)
    }
    assert not advisor._was_blended(small, weak, world.runs())
    blended(world, (0.58, 0.02, 0.4), *(told[a.key] for a in (small, weak, good)))
    runs = world.runs()
    assert advisor._was_blended(small, weak, runs) and advisor._was_blended(small, good, runs)
    assert advisor._was_blended(large, weak, runs), "it had next to no vote beside this network"
    assert not advisor._was_blended(large, good, runs), "it may be worth more or less beside larger images"


def test_a_decision_step_that_was_tried_is_known(world):
    one, other = inferred(world, "a", 0.1), inferred(world, "b", 0.2)
    trained, untried = (world.store.at(a.inputs["train"]) for a in (one, other))
    before = ledger.digest(world.home, world.runs())
    steps = {"decision": {"steps": ["thresholds"]}}
    world.finish("decide", "a", steps, 1.0, {"of": one.address})
    runs = world.runs()
    assert runs.steps_tried(trained) == ("thresholds",) and runs.steps_tried(untried) == ()
    assert ledger.digest(world.home, runs) != before, "the next report is a new one"


def test_a_member_is_tested_by_the_blends_around_it(world):
    good, fair, more = (inferred(world, n, lr, 2.0) for n, lr in (("a", 0.1), ("b", 0.2), ("c", 0.3)))
    old = blended(world, (0.5, 0.5), good, fair)
    new = blended(world, (0.4, 0.4, 0.2), good, fair, more)
    (added,) = changes.changes(world.runs(), new, old)
    assert added.between == (
        f"blend of 2: a, b (ensemble {old.key[:8]}) → blend of 3: a, b, c (ensemble {new.key[:8]})"
    )


def test_statistics_and_unset_settings_are_no_change_and_unread_ones_cannot_be_tried(world):
    old = world.finish("train", "old", {**settings(), "augment": {"policy": "light"}})
    new = world.finish("train", "new", {**settings(), "statistics": {"draws": 999}, "model": {"mean": None}})
    (only,) = changes.changes(world.runs(), new, old)
    assert (only.what, only.new, only.command) == ("augment.policy", "not read", "")


def test_members_that_only_one_has(world):
    one, two = (world.finish("train", name, settings(lr=lr)) for name, lr in (("one", 0.1), ("two", 0.2)))
    alone = world.finish("infer", "one", settings(), inputs={"train": f"train/{one.key}"})
    other = world.finish("infer", "two", settings(), inputs={"train": f"train/{two.key}"})
    members = {f"member:{a.key}": f"infer/{a.key}" for a in (alone, other)}
    blend = world.finish("ensemble", "toy", settings(), 3.0, members)
    (added,) = changes.changes(world.runs(), blend, alone)
    assert (added.what, added.old, added.new) == ("member", "", "two train.lr=0.1")
    assert added.tested is not None and added.tested.verdict == "better"
    (gone,) = changes.changes(world.runs(), alone, blend)
    assert (gone.old, gone.new) == ("two train.lr=0.1", "") and gone.tested.verdict == "worse"
    assert list(changes.trainings(blend, world.store)) == ["one train.lr=0.1", "two train.lr=0.1"]


def test_a_csv_from_elsewhere_has_no_settings_to_compare(world):
    assert changes.changes(world.runs(), None, world.finish("train", "old", settings())) == ()


def advice(*words, bound=0.05):
    return Advice("epochs", "Train longer", "3 epochs are few.", "Longer.", "make train", words, bound)


def test_what_was_tried_is_shown_and_no_longer_advised(world):
    about = world.finish("train", "plain", settings(), 1.0)
    given = (advice("train.epochs=9"), advice("train.lr=0.5"))
    todo, followed = ledger.split(given, about, world.runs(), world.home)
    assert todo == given and followed == ()
    world.finish("train", "plain", settings(epochs=9), 3.0)
    todo, followed = ledger.split(given, about, world.runs(), world.home)
    assert [a.settings for a in todo] == [("train.lr=0.5",)]
    (one,) = followed
    assert (one.settings, one.about, one.bound) == ("train.epochs=9", "plain train.lr=0.1", 0.05)
    assert one.obtained.verdict == "better" and one.obtained.delta > 0.1


def test_the_ledger_keeps_advice_once_and_tells_what_it_brought(world):
    about = world.finish("train", "plain", settings(), 1.0)
    told = {"given": [ledger.entry(advice("train.epochs=9"), about)]}
    with world.store.draft("error_analysis", "e" * 16) as draft:
        files.write_json(draft / ledger.REPORTED, told)
        report = world.store.publish(
            "error_analysis", "e" * 16, draft, {"created": "2026-11-22T11:00:00+00:00"}
        )
    before = ledger.digest(world.home, world.runs())
    ledger.keep(world.home, report)
    ledger.keep(world.home, report)
    lines = ledger.ledger_of(world.home).read_text(encoding="utf-8").splitlines()
    assert len(lines) == 1 and json.loads(lines[0])["settings"] == ["train.epochs=9"]
    assert ledger.digest(world.home, world.runs()) == before, "advice that nobody followed changes no report"
    with ledger.ledger_of(world.home).open("a", encoding="utf-8") as file:
        file.write("no json\n")
    world.finish("train", "plain", settings(epochs=9), 3.0)
    later = world.finish("train", "other", settings(lr=0.9))
    _, followed = ledger.split((), later, world.runs(), world.home)
    assert [f.settings for f in followed] == ["train.epochs=9"] and followed[0].obtained.verdict == "better"
    assert ledger.digest(world.home, world.runs()) != before
