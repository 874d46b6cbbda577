"""Costs of members are measured at inference, shown with the ensemble, and limited by a budget."""

import csv
import shlex
from types import SimpleNamespace

import pytest
import torch
from main_world import MEMBERS, SMALL, artifacts, named, run, weights

from pipeline.ensemble import cost as prices
from pipeline.ensemble import members, stages
from pipeline.nets.model import build
from pipeline.record.files import FileIndex
from pipeline.record.store import Store
from pipeline.settings.model import ModelSettings

pytestmark = pytest.mark.slow

RUNTIME = ("runtime.mlflow=false", "runtime.threads=1")
PROBES = "ensemble.members=[probe,probe_mlp]"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("home")
    said = run(folder, "ensemble", MEMBERS)
    assert said.code == 0 and "ensemble.html" in said.out, said.err
    return folder


def test_inference_reports_the_cost_of_the_member(home):
    (infer,) = named(home, "infer", "tiny_resnet")
    m = infer.metrics
    # Two folds: two networks.
    one = sum(
        t.numel() for name, t in weights(home)[0].items() if "running" not in name and "num_b" not in name
    )
    assert m["parameters"] == 2 * one and m["ms_1"] > m["ms_64"] > 0
    assert "M parameters" in " ".join(infer.manifest["lines"])


def test_the_page_shows_cost_gain_and_disagreement(home):
    (cost,) = artifacts(home, "cost")
    with (cost.folder / "cost.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [r["member"] for r in rows] == ["tiny_resnet", "tiny_cnn", "blend"]
    used = [r for r in rows[:2] if float(r["weight"]) > 0]
    assert float(rows[2]["ms ×64"]) == pytest.approx(sum(float(r["ms ×64"]) for r in used))
    assert all(r["gain"] for r in rows[:2]) and float(rows[0]["score per ms"]) > 0
    page = (cost.folder / "ensemble.html").read_text(encoding="utf-8")
    assert "<svg" in page and "src=" not in page.replace("img-src", "") and "https:" not in page
    assert "disagree" in " ".join(cost.manifest["lines"]) and "tiny_cnn" in page


def test_the_printed_command_of_a_blend_of_all_runs_works_when_it_is_pasted(home):
    """A run's title is not its word: of `auto` and of keys the command names keys, of words the words."""

    def pasted(blend, given):
        inferred = {
            n: Store(home, FileIndex(home / "i.json")).at(a) for n, a in blend.inputs.items() if ":" in n
        }
        job = SimpleNamespace(inputs={**inferred, "ensemble": blend}, words={"ensemble": given})
        command = stages._blend_of(job, list(members.by_name(job.inputs, members.MEMBER)))
        (words,) = shlex.split(command)[2:]
        said = run(home, "ensemble", *shlex.split(words.removeprefix("ARGS=")), small=RUNTIME)
        assert said.code == 0, said.err
        return command

    shared = [word for word in SMALL if word.startswith(("competition", "folds", "statistics"))]
    earlier = {a.key for a in artifacts(home, "ensemble")}
    assert (
        run(
            home, "ensemble", "ensemble.members=[auto]", "ensemble.method=mean", small=(*shared, *RUNTIME)
        ).code
        == 0
    )
    (blend,) = (a for a in artifacts(home, "ensemble") if a.key not in earlier)
    command = pasted(blend, (*shared, "ensemble.members=[auto]", "ensemble.method=mean"))
    assert command.count("key:") == 2 and "images.size" not in command
    named = next(a for a in artifacts(home, "ensemble") if a.key in earlier)
    assert "ensemble.members=[tiny_resnet,tiny_cnn]" in pasted(named, SMALL[:-2])


def test_weights_follow_the_members_that_a_command_keeps(home):
    inferred = {a.manifest["experiment"]: a for a in artifacts(home, "infer")}
    settings = {
        "ensemble.members": ["tiny_cnn", "auto", "labels:mate.csv"],
        "ensemble.weights": {"tiny_cnn": 2.0, "tiny_resnet": 1.0, "mate": 0.5},
    }
    blend = SimpleNamespace(setting=settings.get)
    listed, weights = members.words_of(blend, inferred, ["tiny_cnn", "tiny_resnet", "mate"])
    key = inferred["tiny_resnet"].key[:8]
    assert listed == f"ensemble.members=[tiny_cnn,key:{key},labels:mate.csv]"
    assert weights == f'ensemble.weights={{"tiny_cnn": 2.0, "tiny_resnet@{key}": 1.0, "mate": 0.5}}'
    assert members.words_of(blend, inferred, ["tiny_cnn"])[1] == 'ensemble.weights={"tiny_cnn": 2.0}'


def test_a_budget_selects_and_the_measured_costs_are_in_the_key(home, monkeypatch):
    costs = {a.manifest["experiment"]: a.metrics["ms_64"] for a in artifacts(home, "infer")}
    budget = f"ensemble.max_ms={min(costs.values()) * 1.01 + 0.001:.6f}"
    earlier = {a.key for a in artifacts(home, "ensemble")}
    said = run(home, "ensemble", MEMBERS, budget)
    assert said.code == 0, said.err
    first = next(a for a in artifacts(home, "ensemble") if a.key not in earlier)
    weights = {tuple(a.json("blend.json")["weights"].values()) for a in artifacts(home, "ensemble")}
    assert (0.0, 1.0) in weights or (1.0, 0.0) in weights
    assert run(home, "ensemble", MEMBERS, budget).out.count("reused") >= 1
    before = len(artifacts(home, "ensemble"))
    # The same keys, measured anew: another table, another ensemble.
    monkeypatch.setattr(prices, "digest", lambda members: "another machine")
    assert run(home, "ensemble", MEMBERS, budget).code == 0
    assert len(artifacts(home, "ensemble")) == before + 1 and first.metrics["ms_64"] <= max(costs.values())
    said = run(home, "ensemble", MEMBERS, "ensemble.max_ms=0.000001")
    assert said.code == 2 and "every member takes longer" in said.err and "tiny_cnn" in said.err


def test_heads_on_one_backbone_share_its_passes(tmp_path):
    path = tmp_path / "test_resnet.pth"
    network = build(ModelSettings(name="test_resnet", weights="none"), 1000, 0)
    torch.save(network.backbone.state_dict(), path)
    words = ("model.name=test_resnet", f"model.weights=file:{path}", "images.size=32", "ensemble.method=mean")
    small = [word for word in SMALL if not word.startswith("images.size")]
    said = run(tmp_path, "ensemble", PROBES, *words, small=small)
    assert said.code == 0, said.err
    first, second = artifacts(tmp_path, "infer")
    (blend,) = artifacts(tmp_path, "ensemble")
    both = prices.figures([first, second])
    assert blend.metrics["ms_64"] == pytest.approx(both["ms_64"])
    assert both["ms_64"] < 0.75 * (first.metrics["ms_64"] + second.metrics["ms_64"])
    shared = first.metrics["parameters_shared"]
    assert both["parameters"] == first.metrics["parameters"] + second.metrics["parameters"] - shared
