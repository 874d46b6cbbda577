"""Advice that is carried out: its order, what the ledger keeps of it, and the honest score of the choice."""

import json
import math
import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from pipeline.core import metrics
from pipeline.core.errors import StoppedError
from pipeline.core.predictions import Comparison, Probabilities
from pipeline.core.samples import Attribute, FoldPlan, LabelSpace, Samples, Split
from pipeline.core.seeds import rng
from pipeline.data import load
from pipeline.errors.advice import ledger
from pipeline.plan import improving, page, selection, steps, table
from pipeline.plan.improving import PRIOR, Improver, Move, best_first, expected, share_of
from pipeline.plan.planning import Cost, Pace
from pipeline.plan.selection import Attempt, crossfitted
from pipeline.plan.steps import Step, is_better
from pipeline.record import files
from pipeline.record.store import Artifact
from pipeline.settings.load import load as settings_of
from pipeline.settings.schema import Config
from pipeline.stages import open_session

OUTCOME = {
    "verdict": "better",
    "delta": 0.02,
    "low": 0.01,
    "high": 0.03,
    "seconds": 61.0,
    "tries": 2,
    "run": "infer/abc",
    "kept": True,
    "share": 0.1,
}
LINE = {
    "when": "2026-11-29T00:00:00+00:00",
    "competition": "toy",
    "about": "train/a",
    "experiment": "net",
    "kind": "epochs",
    "settings": ["train.epochs=9"],
    "bound": None,
    "outcome": OUTCOME,
    "on": {"images": 9},
}


def outcomes(*kept, word="train.epochs=9"):
    made = [
        ledger.AdviceOutcome.model_validate({**OUTCOME, "kept": k, "share": 0.1 if k else 0.0}) for k in kept
    ]
    return [ledger.CarriedOut("toy", "train/a", "epochs", (word,), one) for one in made]


def test_a_remedy_is_what_advice_changes_whatever_rule_gave_it_and_however_much():
    def remedy(*words, kind="pair"):
        return ledger.remedy_of(words, kind)

    assert remedy("train.epochs=9") == remedy("train.epochs=30", kind="epochs") == "train.epochs"
    assert remedy("images.size=[96,64]") == remedy("images.size=96") == "images.size"
    assert remedy("images.size=224", kind="frozen") == "frozen images.size", (
        "a frozen network is another matter"
    )
    over = ["resample.method=over", "resample.to=balanced"]
    assert remedy(*over) == "resample.method=over resample.to=balanced"
    assert remedy("loss.name=focal") != remedy("loss.name=logit_adjustment")


def test_the_expected_gain_of_a_remedy_follows_what_it_gained():
    assert expected("train.epochs", 0.04, 0.5, []) == 0.04, "the rule's own estimate"
    often = expected("train.epochs", 0.04, 0.5, outcomes(True, True, True, False))
    assert often == pytest.approx((PRIOR * 0.04 + 0.5 * 0.3) / (PRIOR + 4))
    assert 0 < expected("train.epochs", 0.04, 0.5, outcomes(*[False] * 12)) < 0.005
    assert expected("images.size", 0.04, 0.5, outcomes(True)) == 0.04, "of the same remedy only"


def test_a_gain_elsewhere_is_a_share_of_what_is_left_here():
    assert expected("train.epochs", 0.0, 0.6, [], (0.4, 3.0)) == pytest.approx(0.6 * 0.4 / (PRIOR + 3))
    both = expected("train.epochs", 0.04, 0.6, outcomes(True), (0.2, 4.0))
    assert both == pytest.approx((PRIOR * 0.04 + 0.6 * 0.3) / (PRIOR + 5))
    assert expected("train.epochs", 0.04, math.inf, outcomes(True), (0.2, 4.0)) == 0.04


def test_a_gain_is_kept_as_a_share_of_the_way_to_a_perfect_score():
    gained = Comparison(0.03, 0.01, 0.05, 0.99, 40, "better")
    assert share_of(gained, 0.3) == pytest.approx(0.1)
    assert share_of(gained, 0.0) == share_of(gained, math.inf) == 0.0
    assert share_of(replace(gained, delta=-0.1), 0.3) == 0.0
    for name, score, left in (("macro_f1", 0.7, 0.3), ("log_loss", 0.4, 0.4), ("r2", -1.0, 2.0)):
        assert metrics.get(name).headroom(score) == pytest.approx(left)


def test_an_outcome_that_an_earlier_version_noted_without_its_share_says_nothing(tmp_path):
    old = {**LINE, "outcome": {k: v for k, v in OUTCOME.items() if k != "share"}}
    ledger.note(tmp_path, old)
    (done,) = ledger.carried_out(tmp_path)
    assert done.outcome.kept and expected("train.epochs", 0.04, 0.5, [done]) == 0.04


def test_advice_is_ordered_by_expected_gain_a_minute():
    slow = Move("slow", "pair", (), None, 0.1, gain=0.05, seconds=600)
    quick = Move("quick", "epochs", (), None, None, gain=0.02, seconds=60)
    assert quick.worth > slow.worth and quick.worth == pytest.approx(0.02)


def test_where_all_pieces_fit_the_largest_gain_comes_first():
    quick = Move("quick", "epochs", (), None, None, gain=0.02, seconds=5, after=10)
    slow = Move("slow", "frozen", (), None, None, gain=0.05, seconds=300, after=10)
    assert [m.name for m in best_first([quick, slow], 325)] == ["slow", "quick"]
    assert [m.name for m in best_first([quick, slow], 324)] == ["quick", "slow"], "by gain a minute"


def test_what_follows_every_piece_counts_so_that_seconds_do_not_outweigh_gains():
    """A head takes a second or four; judging it takes ten times as long."""
    little = Move("little", "weakest", (), None, None, gain=0.006, seconds=1, after=20)
    more = Move("more", "pair", (), None, None, gain=0.02, seconds=4, after=20)
    assert more.worth > little.worth and little.gain / little.seconds > more.gain / more.seconds


def test_the_ledger_keeps_what_advice_brought_and_reports_do_not_list_it_twice(tmp_path):
    given = {k: v for k, v in LINE.items() if k not in ("outcome", "on")} | {"sentence": "it falls"}
    path = ledger.ledger_of(tmp_path)
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(given) + "\n", encoding="utf-8")
    ledger.note(tmp_path, LINE)
    assert len(ledger.read(tmp_path)) == 1, "what was advised, once"
    (done,) = ledger.carried_out(tmp_path)
    assert (done.kind, done.settings, done.outcome.kept) == ("epochs", ("train.epochs=9",), True)
    assert len(path.read_text(encoding="utf-8").splitlines()) == 2


def test_faulty_lines_of_the_ledger_are_skipped(tmp_path):
    path = ledger.ledger_of(tmp_path)
    path.parent.mkdir(parents=True)
    broken = {**LINE, "outcome": {**OUTCOME, "delta": "much"}}
    path.write_text("<<<<<<< ours\n" + json.dumps(broken) + "\n", encoding="utf-8")
    ledger.note(tmp_path, LINE)
    assert len(ledger.carried_out(tmp_path)) == 1 and ledger.read(tmp_path) == ()


N = 600
SPACE = LabelSpace.product([Attribute("kind", ("a", "b", "c"))])
LABELS = rng(0, "labels").integers(0, 3, N)
IDS = np.array([f"i{k:03d}" for k in range(N)])
TRAIN = Samples(IDS, IDS, np.array([f"g{k // 2}" for k in range(N)]), SPACE, LABELS, "train")
METRIC = metrics.get("macro_f1")
CONFIG = Config.model_validate({"statistics": {"draws": 100}}, strict=False)


def predictions(name, skill):
    logits = rng(1, name).normal(size=(N, 3))
    logits[np.arange(N), LABELS] += skill
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return Probabilities(IDS, SPACE.classes, p.astype(np.float32), name)


@pytest.fixture
def world(monkeypatch):
    """Predictions by name instead of artifacts, and five folds."""
    monkeypatch.setattr(selection.load, "oof", lambda artifact, name: artifact)
    at = np.arange(N) // 2 % 5
    splits = tuple(Split(IDS[at != k], IDS[at == k]) for k in range(5))
    monkeypatch.setattr(selection.load, "plan", lambda folds: FoldPlan(splits))
    return SimpleNamespace()


def test_the_score_of_a_choice_is_cross_fitted_over_the_whole_choice(world):
    pool = {"net": predictions("net", 1.0), "longer": predictions("longer", 2.0)}
    score = crossfitted(CONFIG, TRAIN, None, pool, [Attempt("longer", "net")])
    alone = crossfitted(CONFIG, TRAIN, None, {"net": pool["net"], "same": pool["net"]}, [])
    assert score.low < score.value < score.high and score.value > alone.value


def test_a_member_that_is_luckier_than_the_blend_is_no_better_and_a_stronger_one_is(tmp_path):
    def artifact(name, skill):
        (tmp_path / name).mkdir()
        files.write_probabilities(tmp_path / name / "oof.npz", predictions(name, skill))
        return Artifact("infer", name, tmp_path / name, {"files": {}})

    blend, strong = artifact("blend", 1.0), artifact("strong", 3.0)
    peers = [artifact(f"peer{k}", 1.0) for k in range(6)]
    found = {one.key: is_better(CONFIG, TRAIN, one, blend, 6) for one in (*peers, strong, blend)}
    assert found == {**{one.key: False for one in peers}, "strong": True, "blend": False}
    scores = {one.key: METRIC.score(LABELS, load.oof(one, "oof").p_NC) for one in (*peers, blend)}
    assert max(scores, key=scores.get) != "blend", "some are luckier"


def test_lucky_attempts_do_not_make_the_score_better_than_it_is(world):
    """Eight attempts of equal skill: choosing among them brings little on groups that did not choose."""
    pool = {"net": predictions("net", 1.0)} | {f"try{k}": predictions(f"try{k}", 1.0) for k in range(8)}
    attempts = [Attempt(name, "net") for name in pool if name != "net"]
    score = crossfitted(CONFIG, TRAIN, None, pool, attempts)
    alone = crossfitted(CONFIG, TRAIN, None, {"net": pool["net"], "same": pool["net"]}, [])
    assert score.value <= alone.value + 0.03


def test_one_member_or_one_part_has_nothing_to_cross_fit(world, monkeypatch):
    assert crossfitted(CONFIG, TRAIN, None, {"net": predictions("net", 1.0)}, []) is None


def made(name, score, skill=1.0, **inputs):
    """A result with its out-of-fold score and predictions."""
    figures = {"oof_macro_f1": score, "ci_low": score - 0.01, "ci_high": score + 0.01}
    return SimpleNamespace(
        key=name, stage="infer", metrics=figures, inputs=inputs, oof=predictions(name, skill)
    )


def improver(monkeypatch, members, advice, seconds=1000.0, keeps=()):
    """An improver whose reports and pieces of advice are words: `advice` by the run that it is about."""
    clock = SimpleNamespace(left=seconds)
    store = SimpleNamespace(at=lambda reference: reference)
    runner = SimpleNamespace(
        clock=clock,
        left=seconds,
        metric=METRIC,
        settings=None,
        session=SimpleNamespace(store=store),
        done={m.key: m for m in members},
        read=set(),
        reserve=SimpleNamespace(blend=1.0, end=1.0),
    )
    monkeypatch.setattr(improving.case, "again", lambda training, settings: training)
    found, done = Improver(runner, "best"), []

    def read(member):
        name = "train/best" if member is None else member.inputs["train"]
        runner.read.add(name)
        pieces = [n for n in advice.get(name, ()) if n not in done]
        return [Move(n, "epochs", (), None, None, gain=0.1, seconds=10.0) for n in pieces]

    def carry_out(move):
        done.append(move.name)
        return move.name in keeps

    monkeypatch.setattr(found, "_read_report", read)
    monkeypatch.setattr(found, "_carry_out", carry_out)
    return found, done


MEMBERS = [
    made("a", 0.7, train="train/best"),
    made("b", 0.5, train="train/b"),
    made("c", 0.6, train="train/c"),
]


def test_when_nothing_is_left_about_the_best_run_the_other_members_follow_best_first(monkeypatch):
    advice = {"train/best": ["x"], "train/b": ["z"], "train/c": ["y"]}
    found, done = improver(monkeypatch, MEMBERS, advice)
    found.run()
    assert done == ["x", "y", "z"] and not found.is_full
    assert found.runner.read == {"train/best", "train/b", "train/c"}


def test_a_piece_that_is_kept_brings_the_report_on_the_new_best_result(monkeypatch):
    advice = {"train/best": ["x", "v"], "train/c": ["y"]}
    found, done = improver(monkeypatch, MEMBERS, advice, keeps=["y"])
    asked, own = [], found._read_report
    monkeypatch.setattr(
        found, "_read_report", lambda member: asked.append(member and member.key) or own(member)
    )
    found.run()
    assert done == ["x", "v", "y"] and asked == [None, "c", None, "b"]


def test_a_time_that_is_up_is_told_whoever_the_advice_is_about(monkeypatch):
    found, done = improver(monkeypatch, MEMBERS, {"train/best": ["x"]}, seconds=5.0)
    found.report_seconds = 1.0
    found.run()
    assert not done and found.is_full


def test_what_was_tried_and_not_kept_is_in_the_picture_with_its_gain_and_not_in_the_line(monkeypatch):
    monkeypatch.setattr(steps.load, "oof", lambda artifact, name: artifact.oof)
    first, tried, last = made("first", 0.50, 1.0), made("tried", 0.60, 1.2), made("last", 0.55, 3.0)
    story = [
        Step("", 1.0, 0.0, None, first),
        Step("tried", 60.0, 59.0, tried, tried, "not kept", kept=False),
        Step("last", 120.0, 60.0, last, last),
    ]
    gains = steps.gains(CONFIG, TRAIN, story)
    assert gains[0] is None and gains[2] == steps.compared(CONFIG, TRAIN, last, first, 2)
    row = page.table_of(story, gains, "macro_f1").iloc[1]
    assert row["together"] == 0.60 and row["gain, corrected"] and row.iloc[-1].endswith("not kept")
    drawn = str(page.picture(story, gains, "macro_f1", higher=True))
    assert drawn.count("<circle") == 3 and drawn.count('r="2.5"') == 1
    (line,) = re.findall(r'polyline points="([^"]+)"', drawn)
    heights = [float(point.split(",")[1]) for point in line.split()]
    assert heights[0] == heights[1] == heights[2] > heights[-1], "the score of what was not kept is nobody's"
    told = table.bought(story, gains, "macro_f1")
    assert str(told[2]).endswith("; not kept") and not str(told[3]).endswith("not kept")


def test_advice_starts_from_the_views_that_a_member_has_and_not_from_those_planned_for_its_training(
    monkeypatch,
):
    monkeypatch.setattr(improving.case, "again", lambda artifact, settings: artifact)
    best, other = (SimpleNamespace(address=f"train/{name}") for name in ("best", "other"))
    runner = SimpleNamespace(done={"paused": None, **{m.key: m for m in MEMBERS}}, settings=None)
    assert improving.asked(runner, best) is MEMBERS[0]
    assert improving.asked(runner, other) is other and improving.asked(runner, None) is None


def test_advice_on_a_decision_alone_is_no_run_and_says_so(tmp_path):
    """Its run would be the one that the advice is about, which is a member already."""
    about = settings_of(["competition=digits", "experiment=probe_logistic", f"runtime.home={tmp_path}"])
    pieces = [["decision.steps=[class_scales]"], ["train.head_c=1"]]
    advice = [{"settings": s, "kind": "weakest", "bound": None, "hope": 0.1, "chance": 0.5} for s in pieces]
    session = open_session(about)
    scene = SimpleNamespace(session=session, samples=range(9), cost=lambda settings: Cost(2.0))
    found, lines = improving.moves_of(
        SimpleNamespace(json=lambda name: {"advice": advice}), about, 0.5, scene, 1.0, 5.0
    )
    assert [move.words for move in found] == [("train.head_c=1",)]
    assert len(lines) == 1 and "class_scales" in lines[0] and "changes no run" in lines[0]


def test_a_training_of_advice_is_paused_where_its_views_would_end_late(monkeypatch):
    """Three views of 20 s on a machine that is half as quick as expected, two blends, and the end."""
    watches = []

    def watch(clock, epochs, after):
        watches.append(after)
        return SimpleNamespace(done=1, epochs=epochs)

    def build(need, watch):
        raise StoppedError("stopped")

    monkeypatch.setattr(improving, "Watch", watch)
    settings = settings_of(["competition=digits", "experiment=tiny_resnet"])
    assert len(settings.config.infer.views) == 3
    runner = SimpleNamespace(
        session=SimpleNamespace(say=lambda *text: None), note=lambda *step: None, build=build,
        scene=SimpleNamespace(missing=lambda settings: 2, cost=lambda settings: Cost(5.0, 1.0, 20.0)),
        clock=SimpleNamespace(now=lambda: 0.0, left=100.0), pace=Pace({"network": 2.0}),
        reserve=SimpleNamespace(blend=3.0, end=4.0),
    )  # fmt: skip
    move = Move("more epochs", "epochs", (), settings, None, gain=0.1, seconds=10.0)
    assert not Improver(runner, "about", settings)._carry_out(move)
    assert watches == [2 * 3 * 20.0 + 2 * 3.0 + 4.0]
