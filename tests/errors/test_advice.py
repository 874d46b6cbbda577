"""Each fault is named by its own rule and by no other, with a bound that holds; commands that load."""

import re
import subprocess
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from analyze_cases import SPACE, case, explore_inputs, probabilities

from pipeline.core.predictions import Comparison, Probabilities
from pipeline.core.samples import Attribute, LabelSpace, Samples
from pipeline.core.seeds import rng
from pipeline.eda.page import explore
from pipeline.errors.advice import faults as advice_faults
from pipeline.errors.advice import steps
from pipeline.errors.advice.advisor import RULES, STRONGER, advise
from pipeline.errors.advice.facts import Facts, NetworkInput, OtherTraining, TrainingFacts
from pipeline.errors.advice.steps import LARGEST_SIDE, family_of
from pipeline.errors.diff.flips import Submission, find_flips
from pipeline.errors.diff.mistakes import find_mistakes
from pipeline.pages.command_words import train_with
from pipeline.settings.augment import AugmentSettings
from pipeline.settings.images import ImageSettings
from pipeline.settings.load import load
from pipeline.settings.loss import LossSettings
from pipeline.settings.model import ModelSettings
from pipeline.settings.resample import ResampleSettings
from pipeline.settings.schema import Config
from pipeline.settings.train import EarlyStoppingSettings
from pipeline.submit.gap.scene import Cause

MADE = case()
IDS = MADE.test.ids_N
ASKED = ("competition=digits", "experiment=small_cnn", "train.epochs=3")
TEN = LabelSpace.product([Attribute("digit", tuple("0123456789"))])
FAULTS = ("leak", "normalisation", "labels", "epochs", "imbalance", "augmentation")
# (train loss, valid loss) an epoch: learned, stopped early, remembered.
LEARNED = ((2.0, 1.9), (1.0, 1.1), (0.4, 0.6), (0.3, 0.55), (0.25, 0.54), (0.24, 0.54))
EARLY = ((2.2, 2.3), (2.0, 2.1), (1.8, 1.9))
REMEMBERED = ((2.0, 1.9), (0.6, 0.9), (0.1, 0.8), (0.05, 0.85))


def curves(entries=LEARNED) -> pd.DataFrame:
    rows = [
        {"epoch": float(e), "fold": f, "train_loss": a, "valid_loss": b, "valid_score": 1 - b / 3}
        for f in (0, 1)
        for e, (a, b) in enumerate(entries)
    ]
    return pd.DataFrame(rows)


def world(n=1200, flipped=0.0, counts=None, config=None, history=LEARNED, lost=()):
    """Facts of a run that is unsure where it errs, on ten classes; groups of three."""
    draw = rng(0, "advice")
    y = draw.integers(0, 10, n) if counts is None else np.repeat(np.arange(10), counts)
    n = len(y)
    hard = draw.random(n) < 0.25
    logits = draw.normal(size=(n, 10)) * 0.5
    logits[np.arange(n), y] += np.where(hard, 0.6, 5.0)
    for c in lost:
        logits[y == c, 0] += 5.4
    labels = np.where(draw.random(n) < flipped, (y + 1 + draw.integers(0, 9, n)) % 10, y)
    ids = [f"i{k}" for k in range(n)]
    train = Samples(ids, ids, [f"g{k // 3}" for k in range(n)], TEN, labels, "train")
    p = np.exp(logits)
    oof = Probabilities(
        train.ids_N, TEN.classes, (p / p.sum(axis=1, keepdims=True)).astype(np.float32), "run"
    )
    config = config or Config()
    run = TrainingFacts("small_cnn", config, oof, curves(history), 2.0, input=NetworkInput(0.1, 0.9, 0.0))
    mistakes = find_mistakes(oof, train)
    return Facts(TEN, config, train, run, mistakes, asked=ASKED, policies=STRONGER)


def kinds(facts):
    return [a.kind for a in advise(facts)]


def faults(facts):
    return [kind for kind in kinds(facts) if kind in FAULTS]


def with_run(facts, **changed):
    assert facts.run is not None
    return replace(facts, run=replace(facts.run, **changed))


def with_config(facts, **sections):
    config = facts.config.model_copy(update=sections)
    return with_run(replace(facts, config=config), config=config)


def test_a_healthy_run_is_given_none_of_the_six_faults():
    found = advise(world())
    assert not [a for a in found if a.kind in FAULTS] and found


def test_too_few_epochs_while_a_curve_still_falls():
    facts = world(history=EARLY)
    assert faults(facts) == ["epochs"]
    one = next(a for a in advise(facts) if a.kind == "epochs")
    assert one.settings == ("train.epochs=18",) and one.minutes == pytest.approx(6.0)
    assert "1.90" in one.sentence and "1.80" in one.sentence
    flat = world(history=((2.0, 2.0), (1.8, 1.9), (1.75, 1.86), (1.75, 1.86), (1.74, 1.86), (1.74, 1.86)))
    assert "epochs" not in kinds(flat), "a curve that has bent needs something else"


def test_no_augmentation_while_training_remembers():
    bare = with_config(world(history=REMEMBERED), augment=AugmentSettings(policy="none"))
    assert faults(bare) == ["augmentation"]
    assert faults(world(history=REMEMBERED)) == [], "some is on"
    assert faults(with_run(bare, pixels=False)) == [], "features are not augmented"


def test_folds_that_leak_come_first_whatever_else_is_wrong():
    facts = replace(world(history=EARLY), straddling=0.4)
    first = advise(facts)[0]
    assert (first.kind, first.spoils) == ("leak", True) and "40" in first.sentence
    assert first.settings == ("folds.kind=stratified_group",)
    copies = Cause("duplicates", True, "9 % of images have a copy.", "looked up", "Group them.", -0.02)
    told = advise(replace(world(), leaks=(copies,)))
    assert "leak" in [a.kind for a in told] and told[0].kind != "leak", "a small leak spoils little"
    assert advise(replace(world(), leaks=(replace(copies, effect=-0.2),)))[0].kind == "leak"
    assert "leak" not in kinds(replace(world(), leaks=(replace(copies, found=False),)))
    of_test = replace(copies, effect=0.02, direction=1)
    assert "leak" not in kinds(replace(world(), leaks=(of_test,))), "the folds have no fault"


def test_flipped_labels_are_told_from_hard_images():
    facts = world(flipped=0.1)
    assert faults(facts) == ["labels"]
    one = next(a for a in advise(facts) if a.kind == "labels")
    share = float(re.findall(r"About (\d+)", one.sentence)[0]) / 100
    assert 0.05 < share < 0.15
    truly = facts.truth_N != world().truth_N
    suspects = advice_faults.suspects(facts)
    assert (suspects & truly).sum() > 0.6 * truly.sum()
    assert (suspects & truly).sum() > 0.7 * suspects.sum()
    knows_nothing = with_run(facts, oof=replace(facts.run.oof, p_NC=rng(1, "p").dirichlet([0.1] * 10, 1200)))
    assert "labels" not in kinds(knows_nothing)


@pytest.mark.parametrize(
    ("seen", "wrong"),
    [
        (NetworkInput(-2.1, 0.005, 0.0), True),  # figures of 0 to 255 on pixels of 0 to 1
        (NetworkInput(120.0, 60.0, 0.0), True),
        (NetworkInput(0.2, 0.8, 0.78), True),  # weights made with (.5, .5)
        (NetworkInput(2.3, 0.9, 0.0), False),  # drawings on white, with ImageNet's figures
        (NetworkInput(0.0, 1.0, 0.3), False),
    ],
)
def test_normalisation_that_no_picture_can_give(seen, wrong):
    facts = with_run(world(), input=seen)
    assert faults(facts) == (["normalisation"] if wrong else [])
    if wrong:
        own = with_config(facts, model=ModelSettings(mean=[1.0] * 3, std=[1.0] * 3))
        one = next(a for a in advise(own) if a.kind == "normalisation")
        assert one.settings == ("model.mean=null", "model.std=null")


COUNTS = [300, 250, 200, 150, 150, 120, 100, 90, 30, 20]


def test_imbalance_that_nothing_handles():
    facts = world(counts=COUNTS, lost=(8, 9))
    assert faults(facts) == ["imbalance"]
    one = next(a for a in advise(facts) if a.kind == "imbalance")
    assert one.settings == ("loss.name=logit_adjustment",)
    assert "2 rare classes" in one.sentence
    handled = (LossSettings(name="balanced_softmax"), LossSettings(class_weights="inverse"))
    for loss in handled:
        assert "imbalance" not in kinds(with_config(facts, loss=loss))
    assert "imbalance" not in kinds(with_config(facts, resample=ResampleSettings(method="over")))
    accuracy = facts.config.competition.model_copy(update={"metric": "accuracy"})
    assert "imbalance" not in kinds(with_config(facts, competition=accuracy)), "accuracy counts images"
    assert "imbalance" not in kinds(world(counts=COUNTS)), "rare, and recognised"


def test_bounds_are_the_score_with_those_errors_mended():
    facts = world()
    metric = facts.metric
    now = metric.score(facts.truth_N, facts.p_NC)
    assert facts.gain_if_fixed(np.zeros(len(facts.truth_N), bool)) == 0
    assert facts.gain_if_fixed(facts.wrong_N) == pytest.approx(1 - now)
    second = facts.second_guesses()
    assert 0 < second < 1 - now
    for advice in advise(facts):
        assert advice.bound is None or 0 <= advice.bound <= 1 - now + 1e-9


def test_the_order_is_expected_gain_a_minute():
    found = advise(with_config(world(history=EARLY), images=ImageSettings(size=64)))
    worth = [a.worth for a in found if not a.spoils]
    assert worth == sorted(worth, reverse=True) and len(set(worth)) > 2
    slow = with_run(world(history=EARLY), minutes=3000.0)
    assert advise(slow)[0].kind != "epochs", "what takes days comes later"


def test_two_rules_with_one_command_are_said_once():
    facts = world(counts=COUNTS, lost=(8, 9))
    commands = [a.command for a in advise(facts, (*RULES, *RULES))]
    assert len(commands) == len(set(commands))


def test_other_runs_are_asked_to_vote_and_their_oracle_bounds_the_gain():
    facts = world()
    right = np.eye(10, dtype=np.float32)[facts.truth_N] * 0.9 + 0.01
    half_N = np.arange(len(right)) % 2 == 0
    right[~half_N] = facts.p_NC[~half_N]
    other = OtherTraining(
        "tiny_resnet", "resnet", Probabilities(facts.run.oof.ids_N, TEN.classes, right, "other")
    )
    one = next(a for a in advise(replace(facts, others=(other,))) if a.kind == "blend")
    assert (
        one.bound == pytest.approx(facts.gain_if_fixed(facts.wrong_N & half_N))
        and "tiny_resnet is right on" in one.sentence
    )
    assert one.command == "make ensemble ARGS=\"competition=digits 'ensemble.members=[auto]'\""
    assert "blend" not in kinds(replace(facts, others=(other,), blended=True))
    named = replace(
        facts,
        others=(replace(other, word="key:3fa29b01"),),
        members=("lite0_96",),
        shared=("competition=pets",),
    )
    (blend,) = (a for a in advise(named) if a.kind == "blend")
    assert "competition=pets 'ensemble.members=[lite0_96,key:3fa29b01]'" in blend.command
    asked = ("competition=pets", "experiment=tiny_resnet", "images.size=96")
    trained = replace(facts, others=(replace(other, asked=asked),), members=("lite0_96",))
    (blend,) = (a for a in advise(trained) if a.kind == "blend")
    assert blend.command == f'make infer ARGS="{" ".join(asked)}"', "nothing else could mean that run"
    assert (family_of("tf_efficientnet_lite0"), family_of("test_resnet")) == (
        "tf_efficientnet_lite",
        "resnet",
    )


def test_a_run_that_was_blended_with_this_one_is_not_advised_again():
    facts = world()
    right = np.eye(10, dtype=np.float32)[facts.truth_N] * 0.9 + 0.01
    tried, fresh = (
        OtherTraining(name, "resnet", Probabilities(facts.run.oof.ids_N, TEN.classes, right, name), name)
        for name in ("pixels", "tiny_resnet")
    )
    tried = replace(tried, blended=True)
    assert "blend" not in kinds(replace(facts, others=(tried,)))
    (one,) = (a for a in advise(replace(facts, others=(tried, fresh))) if a.kind == "blend")
    assert "tiny_resnet" in one.do and "pixels" not in one.command


def test_flips_and_an_open_comparison():
    new = Submission("new", IDS, np.zeros(40, np.int64))
    old = replace(new, name="old", answers=np.r_[np.ones(9, np.int64), np.full(4, 2), np.zeros(27, np.int64)])
    flips = find_flips(SPACE, new, old)
    open_end = Comparison(0.001, -0.01, 0.012, 0.6, 40, "can't tell")
    facts = Facts(SPACE, Config(), flips=flips, comparison=open_end)
    undecided, shown = advise(facts)
    assert shown.sentence.startswith("9 of 13 flips change parity") and shown.show[0] == "parity"
    assert "−0.0100 to +0.0120" in undecided.sentence and undecided.bound is None
    assert undecided.command == 'make train ARGS="train.seed=1"'
    lone = replace(facts, comparison=replace(open_end, low=0.001, high=0.001, n_groups=1))
    assert len(advise(lone)) == 1, "one group: no seed would tell"


def test_the_commonest_way_is_of_the_attribute_that_is_named():
    # Parity flips most often, six times each way; size less often, but ten times one way.
    was = np.r_[np.zeros(6, np.int64), np.ones(6, np.int64), np.full(10, 2), np.zeros(18, np.int64)]
    now = np.r_[np.ones(6, np.int64), np.zeros(6, np.int64), np.zeros(28, np.int64)]
    flips = find_flips(SPACE, Submission("new", IDS, now), Submission("old", IDS, was))
    (shown,) = advise(Facts(SPACE, Config(), flips=flips))
    assert flips.directions["attribute"][0] == "size"
    assert shown.sentence.startswith("12 of 22 flips change parity") and "6 images" in shown.sentence
    _, before, after = shown.show
    pointed = flips.directions.query("attribute == 'parity' and old == @before and new == @after")
    assert pointed["images"].tolist() == [6] and f"{before} → {after}" in shown.sentence


def test_nothing_is_advised_that_is_already_on():
    facts = world(counts=COUNTS, lost=(8, 9))
    for loss in ("focal", "logit_adjustment"):
        said = advise(
            with_config(facts, loss=LossSettings(name=loss), resample=ResampleSettings(method="over"))
        )
        assert not [a for a in said if "focal" in a.command or "resample.method" in a.command]
    on = with_config(world(), loss=LossSettings(name="focal"), resample=ResampleSettings(method="over"))

    def advised(now, policies=STRONGER):
        facts = replace(with_config(on, augment=AugmentSettings(policy=now)), policies=policies)
        return next(a.command for a in advise(facts) if a.kind == "weakest")

    assert "augment.policy=medium" in advised("light") and "augment.policy=heavy" in advised("medium")
    assert advised("heavy") == advised("light", ()) == "see Images in the section Truth of the report"
    assert "augment.policy=heavy" in advised("light", ("heavy",))


def test_oversure_runs_are_told_to_smooth():
    y = MADE.train.labels
    p = np.full((len(y), 4), 0.01)
    p[np.arange(len(y)), np.where(np.arange(len(y)) % 3 == 0, (y + 1) % 4, y)] = 0.97
    oof = Probabilities(MADE.train.ids_N, SPACE.classes, p)
    run = TrainingFacts("run", Config(), oof, pd.DataFrame())
    facts = Facts(SPACE, Config(), MADE.train, run, find_mistakes(oof, MADE.train))
    commands = [a.command for a in advise(facts)]
    assert 'make train ARGS="loss.label_smoothing=0.1"' in commands
    smooth = with_config(facts, loss=LossSettings(label_smoothing=0.1))
    assert not [a for a in advise(smooth) if "smoothing=0.1" in a.command]


def test_commands_repeat_what_was_asked_and_load():
    config = load(ASKED).config
    facts = with_config(world(history=EARLY, config=config), augment=AugmentSettings(policy="none"))
    words = [re.findall(r'^make train ARGS="(.*)"$', a.command) for a in advise(facts)]
    asked = [found[0].split() for found in words if found]
    assert len(asked) >= 2
    for settings in map(load, asked):
        assert settings.experiment == "small_cnn" and settings.config.competition.name == "digits"
    assert all(len({w.partition("=")[0] for w in line}) == len(line) for line in asked), "no path twice"


def test_the_data_reports_answers_repeat_what_was_asked_too():
    rare = (MADE.train.labels != 3) | (np.arange(120) < 30)
    train = MADE.train.take(MADE.train.ids_N[rare])
    found = explore(replace(explore_inputs(MADE), train=train, asked=ASKED))
    answers = [f.answer for f in found.findings if f.kind == "imbalance"]
    assert answers == [
        f'Try `make train ARGS="{" ".join(ASKED)} resample.method=over resample.to=balanced"`, '
        "and compare with `under`."
    ]


def test_a_command_survives_both_shells_and_make(tmp_path):
    asked = ('infer.views=["identity","hflip"]', "competition.root=/a b/$HOME's `x`\\", "a.b=가나")
    (tmp_path / "Makefile").write_text("train:\n\t@printf '%s\\n' $(ARGS)\n", encoding="utf-8")
    done = subprocess.run(
        train_with(asked, "images.size=[48,72]"), shell=True, cwd=tmp_path, capture_output=True, text=True
    )
    assert done.stdout.splitlines() == [*asked, "images.size=[48,72]"], done.stderr


@pytest.mark.parametrize(
    ("size", "cache_px", "advised"),
    [
        (64, 512, "images.size=96"),
        (400, 512, "images.size=512"),
        (900, 4096, f"images.size={LARGEST_SIDE}"),
        ([40, 80], 90, "'images.size=[45,90]'"),
        (500, 512, None),
        (LARGEST_SIDE, 4096, None),
    ],
)
def test_larger_images_stay_within_the_cache_and_the_schema(size, cache_px, advised):
    facts = replace(with_config(world(), images=ImageSettings(size=size, cache_px=cache_px)), asked=())
    pair = steps.confused_pair(facts)
    if advised is None:
        assert "make" not in pair.command and f"{min(cache_px, LARGEST_SIDE)} px" in pair.reason
    else:
        assert pair.command == f'make train ARGS="{advised}"'
    if size == 64:
        assert pair.minutes == pytest.approx(2.0 * 1.5**2)


@pytest.mark.parametrize(
    ("original", "weights", "command", "says"),
    [
        (None, "none", "images.size=96", "more detail"),
        (500, "none", "images.size=96", "Larger images show more detail"),
        (80, "none", "images.size=80", "Larger images show more detail"),
        (64, "none", "see Confused pairs", "only about 64 px"),
        (66, "none", "see Confused pairs", "only about 66 px"),
        (64, "package:x", "images.size=96", "no more detail"),
    ],
)
def test_larger_images_are_no_more_detail_where_the_originals_are_no_larger(original, weights, command, says):
    model = ModelSettings(weights=weights)
    facts = replace(with_config(world(), images=ImageSettings(size=64), model=model), original_px=original)
    pair = steps.confused_pair(facts)
    assert command in pair.command and says in pair.reason
    assert ("Larger images show more detail" in pair.reason) == (original in (None, 500, 80))


def frozen(size, made_for, cache_px=512):
    """Facts of a head on features of images of this size, of a network that was made for another one."""
    made = with_config(world(), images=ImageSettings(size=size, cache_px=cache_px))
    seen = NetworkInput(0.1, 0.9, 0.0, made_for)
    run = replace(made.run, pixels=False, input=seen, look_minutes=3.0)
    return replace(made, run=run, asked=(), original_px=512)


@pytest.mark.parametrize(
    ("size", "made_for", "cache_px", "advised"),
    [
        (64, 224, 512, "images.size=224"),
        ([32, 64], 224, 512, "images.size=[112,224]"),
        (64, 224, 128, "images.size=128"),
        (192, 224, 512, None),
        (64, 0, 512, None),
    ],
)
def test_a_frozen_network_is_advised_images_of_the_size_that_it_was_made_for(
    size, made_for, cache_px, advised
):
    facts = frozen(size, made_for, cache_px)
    told = {a.kind: a for a in advise(facts)}
    if advised is None:
        assert "frozen" not in told
        return
    assert told["frozen"].settings == (advised,) and f"{made_for} px" in told["frozen"].sentence
    assert told["frozen"].minutes > 2.0 + 3.0, "its features are computed again, of larger images"
    assert not told["pair"].settings, "one size is advised, not two"
    assert "larger" not in told["pair"].reason and "px" not in told["pair"].reason


def test_a_network_that_is_trained_is_not_frozen():
    facts = frozen(64, 224)
    trained = replace(facts, run=replace(facts.run, pixels=True))
    assert steps.frozen_size(trained) is None and steps.confused_pair(trained).settings == ("images.size=96",)


def test_where_the_bound_is_the_distance_to_a_perfect_score_nothing_is_said():
    """With two classes, each error is of the weakest class and of the pair, and its second guess is right."""
    two = LabelSpace.product([Attribute("kind", ("a", "b"))])
    y = np.arange(600) % 2
    p = np.where(rng(0, "two").random(600) < 0.3, 0.45, 0.8)
    p_NC = np.stack([np.where(y == 0, p, 1 - p), np.where(y == 1, p, 1 - p)], axis=1).astype(np.float32)
    ids = [f"i{k}" for k in range(600)]
    train = Samples(ids, ids, ids, two, y, "train")
    oof = Probabilities(train.ids_N, two.classes, p_NC)
    run = TrainingFacts("run", Config(), oof, curves(EARLY), 2.0)
    facts = Facts(two, Config(), train, run, find_mistakes(oof, train), policies=STRONGER)
    found = advise(facts)
    assert {"pair", "weakest", "epochs"} <= {a.kind for a in found}
    assert all(a.bound is None and a.bounded == "" for a in found)
    assert [a.worth for a in found] == sorted((a.worth for a in found), reverse=True)
    many = [a.bound for a in advise(world()) if a.bound is not None]
    assert many and len(set(many)) == len(many), "where something is known, it differs by advice"


def test_general_remedies_promise_nothing():
    facts = with_config(world(history=EARLY), images=ImageSettings(size=64))
    assert all(
        a.bound is None for a in advise(facts) if a.kind in ("epochs", "augmentation", "pair", "family")
    )


def test_advice_does_not_contradict_the_facts():
    early = world(history=EARLY)
    train = early.config.train.model_copy(update={"epochs": 30, "early_stopping": EarlyStoppingSettings()})
    assert "epochs" not in kinds(with_config(early, train=train)), "an inner split ended it"
    patched = early.config.competition.model_copy(update={"label_patches": "label_patches.csv"})
    wrong = with_config(world(n=3000, flipped=0.1), competition=patched)
    (labels,) = (a for a in advise(wrong) if a.kind == "labels")
    assert labels.settings == () and labels.command in steps.ANCHORS, (
        "the same command would train the same run"
    )
    solved = world().config.train.model_copy(update={"head": "logistic"})
    open_end = Comparison(0.001, -0.01, 0.012, 0.6, 40, "can't tell")
    assert "seed" in kinds(replace(world(), comparison=open_end))
    assert "seed" not in kinds(replace(with_config(world(), train=solved), comparison=open_end))
    weighted = LossSettings(class_weights="inverse")
    rare = with_config(world(counts=COUNTS, lost=(8, 9)), loss=weighted)
    assert not [a for a in advise(rare) if "resample.method" in a.command]


def test_few_flips_are_all_to_be_judged():
    was = np.r_[np.ones(9, np.int64), np.zeros(31, np.int64)]
    flips = find_flips(SPACE, Submission("new", IDS, np.zeros(40, np.int64)), Submission("old", IDS, was))
    (shown,) = advise(Facts(SPACE, Config(), flips=flips))
    assert shown.do == "Judge the 9 flips by eye" and "When all flips are judged" in shown.reason


def test_a_member_is_added_to_the_blend_that_there_is():
    facts = replace(world(), members=("lite0", "key:3fa29b01"), shared=("competition=pets",), blended=True)
    (family,) = (a for a in advise(facts) if a.kind == "family")
    assert "'ensemble.members=[lite0,key:3fa29b01,tiny_resnet]'" in family.command
    (debug,) = (a for a in advise(replace(facts, overlays=("debug",))) if a.kind == "family")
    assert "tiny_resnet+debug]" in debug.command


def test_without_evidence_no_advice_and_every_sentence_has_a_number():
    assert advise(Facts(SPACE, Config())) == ()
    run = probabilities(MADE.train.ids_N, MADE.train.labels, 5, 0.5)
    facts = Facts(
        SPACE,
        Config(),
        MADE.train,
        TrainingFacts("r", Config(), run, pd.DataFrame()),
        find_mistakes(run, MADE.train),
    )
    told = advise(facts)
    assert told and all(re.search(r"\d", a.sentence) for a in told)


def solved(facts, **sections):
    """The same facts, of a logistic regression on features."""
    train = facts.config.train.model_copy(update={"strategy": "linear_probe", "head": "logistic"})
    return replace(with_run(with_config(facts, train=train, **sections), pixels=False), policies=())


def test_a_solved_head_is_advised_what_it_can_take():
    rare = solved(world(counts=COUNTS, lost=(8, 9)))
    one = next(a for a in advise(rare) if a.kind == "imbalance")
    assert one.settings == ("resample.method=over", "resample.to=balanced")
    over = ResampleSettings(method="over")
    for facts in (rare, solved(world(counts=COUNTS, lost=(8, 9)), resample=over), solved(world(flipped=0.1))):
        advised = [word for a in advise(facts) for word in a.settings]
        assert not [word for word in advised if word.startswith(("loss.", "augment.", "train."))]


def test_where_rows_do_not_help_a_solved_head_its_answers_are_weighed_afterwards():
    facts = solved(world(counts=COUNTS, lost=(8, 9)), resample=ResampleSettings(method="over"))
    (scales,) = (a for a in advise(facts) if a.kind == "class_scales")
    assert "decision.steps=[class_scales]" in scales.command and scales.command.startswith("make ensemble")
    assert scales.bound >= 0.005 and load(scales.settings).config.decision.steps == ["class_scales"]
    assert "class_scales" not in kinds(replace(facts, decided=("class_scales",))), "it was tried"
    assert "class_scales" not in kinds(world(counts=COUNTS, lost=(8, 9))), "a network may take a loss"


def test_a_network_that_makes_the_same_small_copy_of_any_image_is_advised_no_larger_ones():
    facts = replace(with_config(world(), images=ImageSettings(size=64)), original_px=400)
    assert steps.larger(facts) is not None
    assert steps.larger(with_config(facts, model=ModelSettings(name="pixels", weights="none"))) is None
