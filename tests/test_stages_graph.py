"""Keys as a Merkle chain: what is upstream of a result changes its key, and nothing else does."""

import importlib.metadata
import os
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from pipeline.core.errors import ConfigError, DataError, PodiumError
from pipeline.record.digests import FileIndex
from pipeline.record.store import Store
from pipeline.settings.load import load
from pipeline.stages import registry
from pipeline.stages.graph import Graph, refuse_unread, weights_identity
from pipeline.stages.registry import Need

SMALL = ("competition=digits", "competition.demo.limit=200", "folds.n=2", "ensemble.members=[tiny_resnet]")
UPSTREAM = {
    "data": set(),
    "images": {"data"},
    "prepared": {"data", "images"},
    "folds": {"data"},
    "eda": {"data", "images", "folds"},
    "resample": {"data", "folds"},
    "fold": {"data", "images", "prepared", "folds"},
}
UPSTREAM["train"] = UPSTREAM["fold"] | {"fold"}
UPSTREAM["infer"] = UPSTREAM["train"] | {"train"}
UPSTREAM["ensemble"] = UPSTREAM["infer"] | {"infer"}
EVERY = set(UPSTREAM)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("home")


def graph_of(home):
    index = FileIndex(home / "artifacts" / ".index.json")
    return Graph(Store(home, index), index)


def wanted(home, *words):
    small = [w for w in SMALL if w.partition("=")[0] not in {x.partition("=")[0] for x in words}]
    settings = load([*small, f"runtime.home={home}", *words])
    return settings, [Need(name, settings) for name in ("ensemble", "eda", "resample")]


def keys(home, *words):
    """Stage -> its key, or its keys for a stage that is asked for several times."""
    graph = graph_of(home)
    _, needs = wanted(home, *words)
    found = {}
    for need in graph.chain(needs):
        found.setdefault(need.stage, []).append(graph.key(need))
    return {stage: tuple(sorted(ks)) for stage, ks in found.items()}


def changed(before, after):
    return {stage for stage in EVERY if before.get(stage) != after.get(stage)}


def downstream(*stages):
    return {s for s in EVERY if s in stages or UPSTREAM[s] & set(stages)}


@pytest.fixture(scope="module")
def before(home):
    return keys(home)


@pytest.mark.parametrize(
    ("word", "first"),
    [
        ("competition.demo.seed=1", "data"),
        ("images.cache_px=48", "images"),
        ("images.size=16", "prepared"),
        ("images.resize=letterbox", "prepared"),
        ("folds.n=3", "folds"),
        ("folds.seed=1", "folds"),
        ("report.per_class=3", "eda"),
        ("augment.policy=none", "fold"),
        ("model.drop_rate=0.1", "fold"),
        ("model.name=test_efficientnet", "fold"),
        ("loss.label_smoothing=0.1", "fold"),
        ("train.lr=0.5", "fold"),
        ("train.seed=1", "fold"),
        ("train.precision=bf16", "fold"),
        ("infer.views=[identity]", "infer"),
        ("ensemble.method=mean", "ensemble"),
    ],
)
def test_a_setting_changes_everything_downstream_and_nothing_else(home, before, word, first):
    assert changed(before, keys(home, word)) == downstream(first)


def test_resampling_changes_the_folds_and_its_report(home, before):
    assert changed(before, keys(home, "resample.method=under")) == downstream("fold") | {"resample"}


def test_statistics_change_what_is_scored(home, before):
    assert changed(before, keys(home, "statistics.draws=150")) == downstream("train")


@pytest.mark.parametrize(
    "word",
    [
        "runtime.device=cpu",
        "runtime.threads=1",
        "runtime.workers=3",
        "runtime.infer_batch=7",
        "runtime.log_level=warning",
        "runtime.mlflow=false",
        "competition.title=another",
    ],
)
def test_result_neutral_settings_change_no_key(home, before, word):
    assert changed(before, keys(home, word)) == set()


def test_the_same_value_written_out_changes_no_key(home, before):
    assert changed(before, keys(home, "train.weight_decay=0.05", "folds.seed=0")) == set()


def test_asking_for_some_folds_keeps_their_keys(home, before):
    one = keys(home, "train.folds=[1]")
    assert set(one["fold"]) < set(before["fold"]) and len(one["fold"]) == 1
    assert changed(before, one) == {"fold", "train", "infer", "ensemble"}


def test_folds_have_keys_of_their_own(before):
    assert len(set(before["fold"])) == 2


def test_a_new_version_of_a_stage_changes_everything_downstream(home, before, monkeypatch):
    monkeypatch.setitem(registry.STAGES, "images", replace(registry.STAGES["images"], version=99))
    assert changed(before, keys(home)) == downstream("images")


@pytest.fixture
def own_home(tmp_path):
    keys(tmp_path)
    return tmp_path


def demo(home):
    return next(p for p in (home / "data").iterdir() if p.is_dir())


def age(path):
    old = path.stat().st_mtime - 60
    os.utime(path, (old, old))


def test_one_edited_image_changes_every_key(own_home):
    first = keys(own_home)
    image = next((demo(own_home) / "images").glob("*.png"))
    pixels = np.asarray(Image.open(image)).copy()
    pixels[0, 0] ^= 1
    Image.fromarray(pixels).save(image)
    assert changed(first, keys(own_home)) == EVERY


def test_one_edited_label_changes_every_key(own_home):
    first = keys(own_home)
    table = demo(own_home) / "train.csv"
    lines = table.read_text(encoding="utf-8").splitlines()
    lines[1] = lines[1][:-1] + str((int(lines[1][-1]) + 1) % 10)
    table.write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert changed(first, keys(own_home)) == EVERY


def test_touching_or_moving_files_changes_no_key(own_home, tmp_path_factory):
    first = keys(own_home)
    for image in (demo(own_home) / "images").glob("*.png"):
        age(image)
    assert keys(own_home) == first
    assert keys(own_home.rename(tmp_path_factory.mktemp("moved") / "here")) == first


def test_files_that_are_no_part_of_the_data_change_no_key(own_home):
    first = keys(own_home)
    (demo(own_home) / "images" / "notes.txt").write_text("mine", encoding="utf-8")
    (demo(own_home) / "answers.csv").unlink()
    assert keys(own_home) == first


def test_a_missing_image_is_told_before_anything_is_built(own_home):
    image = next((demo(own_home) / "images").glob("*.png"))
    image.unlink()
    with pytest.raises(DataError, match="1 missing images"):
        keys(own_home)


def test_a_request_that_leads_back_to_itself_names_its_path(home, monkeypatch):
    looped = replace(registry.STAGES["folds"], inputs=lambda graph, s, p: {"train": Need("train", s)})
    monkeypatch.setitem(registry.STAGES, "folds", looped)
    with pytest.raises(PodiumError, match=r"leads back to itself: .*folds .*→ train .*→ folds"):
        keys(home)


def test_keys_never_mix_settings_that_are_gone(home):
    """Python gives a dead object's id to the next one: a cache by id must keep its objects alive."""
    base, _ = wanted(home)
    graph = graph_of(home)
    seen = {}
    for seed in range(40):
        config = base.config.model_copy(update={"folds": base.config.folds.model_copy(update={"seed": seed})})
        seen[graph.key(Need("folds", replace(base, config=config)))] = seed
    assert len(seen) == 40


def test_chain_puts_inputs_before_what_needs_them(home):
    graph = graph_of(home)
    _, needs = wanted(home)
    order = [(n.stage, graph.key(n)) for n in graph.chain(needs)]
    assert len(order) == len(set(order))
    for need in graph.chain(needs):
        at = order.index((need.stage, graph.key(need)))
        assert all(order.index((n.stage, graph.key(n))) < at for n in graph.inputs(need).values())


def refuse(home, stage, *words):
    settings = load([*SMALL[:3], f"runtime.home={home}", *words])
    refuse_unread(settings, [Need(stage, settings)], graph_of(home))


@pytest.mark.parametrize(
    ("stage", "word"),
    [
        ("eda", "loss.gamma=1"),
        ("eda", "train.epochs=3"),
        ("train", "infer.views=[identity]"),
        ("train", "report.per_class=3"),
        ("resample", "images.size=16"),
        ("infer", "ensemble.method=mean"),
    ],
)
def test_an_override_that_nothing_reads_is_refused(home, stage, word):
    with pytest.raises(ConfigError, match=f"{word.partition('=')[0]}: nothing in this chain reads it"):
        refuse(home, stage, word)


def test_augmentation_of_a_linear_probe_is_refused(home):
    with pytest.raises(ConfigError, match=r"augment\.policy: nothing in this chain reads it"):
        refuse(home, "train", "experiment=probe", "augment.policy=none")


def test_all_unread_overrides_are_told_at_once(home):
    with pytest.raises(ConfigError) as caught:
        refuse(home, "eda", "loss.gamma=1", "train.lr=0.1", "folds.seed=3")
    assert [f.partition(":")[0] for f in caught.value.faults] == ["loss.gamma", "train.lr"]


def test_overrides_that_are_read_or_neutral_pass(home):
    refuse(home, "ensemble", "train.epochs=3", "images.size=16", "runtime.workers=2", "train.folds=[0]")
    refuse(home, "eda", "runtime.threads=1")


def test_weights_are_known_by_what_they_are(tmp_path):
    index = FileIndex(tmp_path / "index.json")
    file = tmp_path / "w.pth"
    file.write_bytes(b"one")
    first = weights_identity(f"file:{file}", index)
    file.rename(tmp_path / "renamed.pth")
    assert weights_identity(f"file:{tmp_path / 'renamed.pth'}", index) == first
    (tmp_path / "renamed.pth").write_bytes(b"two")
    assert weights_identity(f"file:{tmp_path / 'renamed.pth'}", index) != first
    assert weights_identity("package:numpy", index) == f"numpy=={importlib.metadata.version('numpy')}"
    assert weights_identity("none", index) == "none"
    with pytest.raises(ConfigError, match="is no file"):
        weights_identity("file:/gone.pth", index)
    with pytest.raises(ConfigError, match="no-such-thing is not installed"):
        weights_identity("package:no-such-thing", index)


def publish_infer(home, settings, experiment, numbers, created, **inputs):
    """An infer artifact as the store keeps it, without training one."""
    graph = graph_of(home)
    key = f"{experiment}{created}".ljust(16, "0")
    whole = {name: f"{name}/{graph.key(Need(name, settings))}" for name in ("data", "folds")} | inputs
    whole |= {f"fold{k}": f"fold/{k}" for k in numbers}
    with graph.store.draft("infer", key) as draft:
        graph.store.publish(
            "infer", key, draft, {"experiment": experiment, "inputs": whole, "created": created}
        )
    return key


def test_finished_members_are_the_newest_complete_ones_on_these_data_and_folds(own_home):
    settings, _ = wanted(own_home)
    publish_infer(own_home, settings, "a", [0, 1], "1")
    newest = publish_infer(own_home, settings, "a", [0, 1], "2")
    publish_infer(own_home, settings, "part", [0], "1")
    publish_infer(own_home, settings, "other", [0, 1], "1", folds="folds/else")
    assert graph_of(own_home).finished_members(settings) == {"a": newest}


def test_auto_members_without_a_finished_one_say_what_to_do(own_home):
    settings = load([*SMALL[:3], f"runtime.home={own_home}", "ensemble.members=[auto]"])
    with pytest.raises(ConfigError, match="no member is finished"):
        graph_of(own_home).key(Need("ensemble", settings))
