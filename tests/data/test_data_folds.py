"""Kinds of folds and user metrics through the real stages, on a small folder of drawn images."""

import contextlib
import re

import numpy as np
import pandas as pd
import pytest
from main_world import run
from PIL import Image

from pipeline.core.predictions import Probabilities
from pipeline.core.samples import Attribute, FoldPlan, LabelSpace, Samples, Split
from pipeline.engine.graph import Graph
from pipeline.engine.need import Need
from pipeline.nets.stages import is_probe
from pipeline.record.files import FileIndex
from pipeline.record.store import Store
from pipeline.settings.load import load
from pipeline.settings.schema import Config
from pipeline.stages import CATALOGUE
from pipeline.train import scoring
from pipeline.train.stages import folds_of

METRIC = """
def share(y_N, pred_N):
    return float((y_N == pred_N).mean())
share.direction, share.needs, share.minimum = "higher", "labels", 0.0
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """48 squares of two colours, two an owner, with a column that names folds."""
    root = tmp_path_factory.mktemp("home")
    (root / "files" / "images").mkdir(parents=True)
    draw = np.random.default_rng(0)
    rows = []
    for i in range(60):
        colour = (200, 40, 40) if i // 2 % 2 else (40, 40, 200)
        noise = draw.integers(0, 40, (32, 32, 3)) + np.array(colour) * 0.8
        Image.fromarray(noise.astype(np.uint8)).save(root / "files" / "images" / f"s{i:02d}.png")
        rows.append((f"s{i:02d}", f"s{i:02d}.png", ("blue", "red")[i // 2 % 2], f"o{i // 2:02d}", i // 2 % 3))
    table = pd.DataFrame(rows, columns=["id", "path", "colour", "owner", "fold"])
    table[:48].to_csv(root / "files" / "train.csv", index=False)
    table[48:][["id", "path"]].to_csv(root / "files" / "test.csv", index=False)
    pd.DataFrame({"id": table["id"][48:], "label": 0}).to_csv(
        root / "files" / "sample_submission.csv", index=False
    )
    (root / "mymetrics.py").write_text(METRIC, encoding="utf-8")
    return root


def words(home, *more):
    attribute = "competition.attributes=[{name: colour, column: colour, values: [blue, red]}]"
    return [
        *("competition=digits", "competition.name=squares", "competition.demo=null"),
        *(f"competition.root={home / 'files'}", "competition.group_column=owner", attribute),
        *("runtime.mlflow=false", "runtime.threads=1"),
        *more,
    ]


TRAINED = (
    "experiment=tiny_resnet", "train.epochs=1", "train.warmup_epochs=0", "statistics.draws=100",
)  # fmt: skip


def podium(home, command, *more):
    with contextlib.chdir(home):
        said = run(home, command, small=words(home, *more))
    return said.code, said.out, said.err


def test_folds_from_a_column_are_those_of_the_table(home):
    code, out, err = podium(home, "folds", "folds.kind=column", "folds.column=fold", "folds.n=3")
    assert code == 0, err
    assert "check: sound" in out and "folds.html" in out
    code, _, err = podium(home, "folds", "folds.kind=column", "folds.column=fold", "folds.n=4")
    assert code == 2 and "has 3 values, and folds.n=4" in err and "set folds.n=3" in err


def test_a_plan_that_splits_groups_is_refused_with_its_reason(home):
    code, out, err = podium(home, "folds", "folds.kind=stratified", "folds.n=3")
    assert code == 2 and "folds.html" in out
    assert (
        "24 groups are in the training and the validation part of one fold" in err
        or "groups are in the training and the validation part" in err
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "folds", "scored"),
    [
        (("folds.kind=repeated", "folds.n=2", "folds.repeats=2"), 4, 48),
        (("folds.kind=bootstrap", "folds.n=2"), 2, None),
        (("folds.kind=holdout", "folds.valid_share=0.25"), 1, 12),
    ],
)
def test_every_kind_goes_all_the_way_to_a_blend(home, kind, folds, scored):
    members = "ensemble.members=[tiny_resnet,tiny_cnn]"
    code, out, err = podium(home, "ensemble", *TRAINED, *kind, members)
    assert code == 0, err
    assert out.count("\nfold ") == 2 * folds and out.count("submission:") >= 1
    store = Store(home, FileIndex(home / "artifacts" / ".index.json"))
    asked = kind[0].partition("=")[2]
    kinds = {a.manifest["settings"]["folds"]["kind"]: a for a in store.all() if a.stage == "infer"}
    (blend,) = (
        a for a in store.all() if a.stage == "ensemble" and a.inputs["folds"] == kinds[asked].inputs["folds"]
    )
    assert blend.metrics["complete"] == 1.0
    images = blend.metrics["images_scored"]
    assert images == scored if scored else 20 <= images < 48
    assert (f"on {images:.0f} of 48 images" in out) == (images < 48)


@pytest.mark.slow
def test_a_metric_of_ones_own_scores_a_run_and_a_change_scores_it_again(home):
    own = ("competition.metric=mymetrics:share", "folds.n=2")
    code, out, err = podium(home, "train", *TRAINED, *own)
    assert code == 0, err
    assert "OOF mymetrics.share" in out
    (home / "mymetrics.py").write_text(METRIC.replace("float(", "0.5 * float("), encoding="utf-8")
    code, again, err = podium(home, "train", *TRAINED, *own)
    assert code == 0, err
    assert len(re.findall("^fold ", again, re.MULTILINE)) == 2, "their curves show the metric"
    assert not re.search("^(data|images|prepared|folds) ", again, re.MULTILINE)
    was, now = (float(o.split("OOF mymetrics.share ")[1].split()[0]) for o in (out, again))
    assert now == pytest.approx(was / 2, abs=1e-3)
    (home / "mymetrics.py").write_text(METRIC, encoding="utf-8")


def key_of(home, monkeypatch, stage, *more):
    monkeypatch.chdir(home)
    settings = load([*words(home, *more), f"runtime.home={home}"])
    graph = Graph(
        CATALOGUE, Store(home, FileIndex(home / "artifacts" / ".index.json")), FileIndex(home / "none.json")
    )
    return graph.key(Need(stage, settings, {"fold": 0} if stage == "fold" else {}))


def test_the_source_of_a_metric_enters_the_keys_of_what_reads_it(home, monkeypatch):
    own = "competition.metric=mymetrics:share"
    before = {s: key_of(home, monkeypatch, s, own) for s in ("train", "folds", "fold")}
    (home / "mymetrics.py").write_text(METRIC + "\n# changed\n", encoding="utf-8")
    after = {s: key_of(home, monkeypatch, s, own) for s in ("train", "folds", "fold")}
    (home / "mymetrics.py").write_text(METRIC, encoding="utf-8")
    assert after["train"] != before["train"]
    assert after["fold"] != before["fold"]  # its history holds the metric
    assert after["folds"] == before["folds"]


@pytest.mark.parametrize(
    ("given", "folds"),
    [
        (("folds.kind=repeated", "folds.n=4", "folds.repeats=3"), 12),
        (("folds.kind=holdout", "folds.valid_share=0.2"), 1),
        (("folds.kind=bootstrap", "folds.n=7"), 7),
        ((), 5),
    ],
)
def test_how_many_folds_there_are(given, folds):
    settings = load(["competition=digits", *given])
    assert folds_of(settings) == list(range(folds))


def test_features_for_neighbours_are_asked_for_only_when_they_are_looked_at():
    def views(*more, competition="digits"):
        settings = load([f"competition={competition}", *more])
        stage = CATALOGUE.get("heads" if is_probe(settings) else "fold")
        needs = stage.inputs(None, settings, {"fold": 0})
        return {n: need for n, need in needs.items() if n.startswith("train:")}

    assert views("experiment=tiny_resnet", "resample.method=under") == {}
    (need,) = views("experiment=tiny_resnet", "resample.method=near_miss").values()
    assert need.settings.config.model.name == "tf_efficientnet_lite0"
    probe = views("experiment=probe", "resample.method=smote", competition="emoji")
    assert set(probe) == {"train:identity", "train:hflip", "train:shift(2,2)"}
    digits = views("experiment=probe", "resample.method=smote")
    assert set(digits) == {"train:identity", "train:shift(1,1)", "train:shift(-1,-1)"}, "no mirrored digits"


SPACE = LabelSpace.product([Attribute("kind", ("a", "b"))])


def world(n=40):
    ids = np.array([f"i{i:02d}" for i in range(n)])
    groups = np.array([f"g{i // 2:02d}" for i in range(n)])
    return Samples(ids, ids, groups, SPACE, np.arange(n) // 2 % 2, "train")


def plan_of(some, *parts):
    return FoldPlan(tuple(Split(np.setdiff1d(some.ids_N, p), p) for p in parts))


def test_weights_are_cross_fitted_on_the_folds_where_they_are_such_parts():
    some = world()
    ids = some.ids_N
    plan = plan_of(some, ids[:10], ids[10:30], ids[30:])
    parts = scoring.crossfit_parts(Config(), some, plan, ids)
    assert [len(p) for p in parts] == [10, 20, 10]


@pytest.mark.parametrize(
    "cut",
    [
        lambda ids: (ids[:20], ids[20:], ids[::2], ids[1::2]),  # repeats
        lambda ids: (ids[:30], ids[10:36]),  # bags that overlap, and four ids in none
        lambda ids: (ids[::2], ids[1::2]),  # groups split
        lambda ids: (ids[:20],),  # a hold-out
    ],
)
def test_other_plans_get_parts_dealt_from_groups(cut):
    some = world()
    plan = plan_of(some, *cut(some.ids_N))
    known = plan.covered
    parts = scoring.crossfit_parts(Config(), some, plan, known)
    assert len(parts) > 1 and sorted(np.concatenate(parts)) == sorted(known)
    groups = [set(some.take(p).groups_N.tolist()) for p in parts]
    assert sum(len(g) for g in groups) == len(set().union(*groups)), "a group lies in two parts"


def test_a_fold_is_scored_by_its_own_predictions():
    some = world(4)
    p = np.array([[1, 0], [1, 0], [0, 1], [0, 1]], np.float32)
    right = Probabilities(some.ids_N, SPACE.classes, p)
    wrong = Probabilities(some.ids_N[:2], SPACE.classes, p[2:])
    assert scoring.scores_of(Config(), some, [right, wrong]) == [1.0, 0.0]
