"""Keys as a Merkle chain: what is upstream of a result changes its key, and nothing else does."""

import importlib.metadata
import os
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from pipeline.core.errors import ConfigError, DataError, PodiumError
from pipeline.data import host
from pipeline.engine.graph import Graph, check, refuse_unread
from pipeline.engine.need import Need
from pipeline.ensemble import members
from pipeline.nets.stages import weights_identity
from pipeline.record.files import FileIndex
from pipeline.record.store import Store
from pipeline.settings.load import load
from pipeline.stages import CATALOGUE

SMALL = ("competition=digits", "competition.demo.limit=200", "folds.n=2", "ensemble.members=[tiny_resnet]")
TRAIN_DATA = {"train_data"}
DATA = {"train_data", "data"}
TRAIN_IMAGES = {"train_data", "train_images"}
IMAGES = DATA | TRAIN_IMAGES | {"images"}
UPSTREAM = {
    "train_data": set(),
    "data": TRAIN_DATA,
    "train_images": TRAIN_DATA,
    "images": DATA | {"train_images"},
    "train_prepared": TRAIN_IMAGES,
    "prepared": IMAGES | {"train_prepared"},
    "folds": TRAIN_DATA,
    "eda": IMAGES | {"folds"},
    "resample": DATA | {"folds"},
    "preview": IMAGES,
    "error_analysis": IMAGES | {"folds"},
    "fold": TRAIN_IMAGES | {"train_prepared", "folds"},
}
UPSTREAM["train"] = UPSTREAM["fold"] | IMAGES | {"fold"}
UPSTREAM["views"] = UPSTREAM["train"] | {"train", "prepared"}
UPSTREAM["infer"] = UPSTREAM["views"] | {"views"}
UPSTREAM["ensemble"] = UPSTREAM["infer"] | {"infer"}
EVERY = set(UPSTREAM)
PAGES = ["eda", "resample", "preview", "error_analysis"]
# Pages whose commands repeat the words of the request, and for which command.
PRINTS = {"eda": "train", "resample": "train", "preview": "preview"}
NOTHING_FORBIDDEN = (
    "competition.attributes=[{name: digit, column: digit, "
    "values: ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9']}]"
)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("home")


def graph_of(home):
    index = FileIndex(home / "artifacts" / ".index.json")
    return Graph(CATALOGUE, Store(home, index), index)


def wanted(home, *words):
    small = [w for w in SMALL if w.partition("=")[0] not in {x.partition("=")[0] for x in words}]
    settings = load([*small, f"runtime.home={home}", *words])
    asked = [Need(name, settings) for name in ("ensemble", "eda", "resample", "preview")]
    return settings, [*asked, Need("error_analysis", settings, {"a": "new.csv", "b": "old.csv"})]


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
        ("competition.demo.seed=1", ["train_data"]),
        ("competition.title=another", PAGES),
        ("competition.metric=accuracy", ["fold", "error_analysis"]),
        ("competition.submission.format=class_name", ["error_analysis"]),
        ("images.cache_px=48", ["train_images"]),
        ("images.size=16", ["train_prepared", "preview", "error_analysis"]),
        ("images.resize=letterbox", ["train_prepared", "preview", "eda"]),
        ("crop.method=centre", ["train_prepared", "preview"]),
        ("preprocess.saturation=0", ["train_prepared", "preview"]),
        ("folds.n=3", ["folds"]),
        ("folds.seed=1", ["folds"]),
        ("eda.high=0.02", ["eda", "error_analysis"]),
        ("preview.draws=3", ["preview"]),
        ("report.per_class=3", ["eda", "error_analysis"]),
        ("resample.method=under", ["fold", "resample", "eda", "error_analysis"]),
        ("augment.policy=none", ["fold", "preview", "error_analysis"]),
        ("model.drop_rate=0.1", ["fold"]),
        ("model.name=test_efficientnet", ["fold"]),
        ("loss.label_smoothing=0.1", ["fold", "error_analysis"]),
        ("train.lr=0.5", ["fold"]),
        ("train.seed=1", ["fold", "preview", "error_analysis"]),
        ("train.precision=bf16", ["fold"]),
        ("statistics.draws=150", ["train", "error_analysis"]),
        ("infer.views=[identity]", ["views"]),
        ("infer.precision=auto", ["views"]),
        ("infer.merge=fitted", ["infer"]),
        ("ensemble.temperature=true", ["ensemble"]),
        ("ensemble.weights={tiny_resnet: 2}", ["ensemble"]),
        ("ensemble.method=mean", ["ensemble"]),
    ],
)
def test_a_setting_changes_everything_downstream_and_the_pages_that_print_it(home, before, word, first):
    settings, _ = wanted(home, word)
    printed = {page for page, command in PRINTS.items() if word in graph_of(home).words_of(command, settings)}
    assert changed(before, keys(home, word)) == downstream(*first) | printed | {"error_analysis"}


@pytest.mark.parametrize(
    "word",
    [
        "runtime.device=cpu",
        "runtime.threads=1",
        "runtime.workers=3",
        "runtime.deterministic=false",
        "runtime.infer_batch=7",
        "runtime.log_level=warning",
        "runtime.mlflow=false",
    ],
)
def test_result_neutral_settings_change_no_key(home, before, word):
    assert changed(before, keys(home, word)) == set()


def test_a_budget_for_the_cache_changes_only_the_pages_that_print_it(home, before):
    assert changed(before, keys(home, "images.cache_gb=1")) <= {*PRINTS, "error_analysis"}


def test_what_a_label_forbids_retrains_nothing_and_stands_on_the_preview(home, before):
    assert changed(before, keys(home, NOTHING_FORBIDDEN)) == {*PRINTS, "error_analysis"}


def test_what_a_label_forbids_changes_the_views_that_a_probe_trains_on(home):
    mirrored = ("ensemble.members=[probe]", "train.probe_views=[identity,hflip]")
    forbidden = keys(home, *mirrored)
    allowed = keys(home, *mirrored, NOTHING_FORBIDDEN)
    assert changed(forbidden, allowed) == downstream("fold") | {*PRINTS, "error_analysis"}
    assert set(forbidden["features"]) < set(allowed["features"])


def test_dropping_what_does_not_decode_changes_all_but_the_decoded_images(home, before):
    dropping = keys(home, "images.quarantine=drop")
    assert changed(before, dropping) == EVERY - {"images", "train_images"}
    assert set(before["data"]) < set(dropping["data"]), "what is read from the tables stays as it is"


def test_the_same_value_written_out_changes_only_the_pages_that_print_it(home, before):
    printing = {"eda", "resample", "error_analysis"}
    assert changed(before, keys(home, "train.weight_decay=0.05", "folds.seed=0")) == printing


def test_the_experiment_changes_the_page_that_prints_it_and_nothing_of_the_data(home):
    """The page of `make eda` printed the commands of whichever experiment had asked first."""
    first, second = keys(home, "experiment=tiny_resnet"), keys(home, "experiment=probe")
    assert {"eda", "preview"} <= changed(first, second)
    assert not {"data", "images", "folds"} & changed(first, second)


def test_asking_for_some_folds_keeps_their_keys(home, before):
    one = keys(home, "train.folds=[1]")
    assert set(one["fold"]) < set(before["fold"]) and len(one["fold"]) == 1
    printing = {"eda", "resample", "error_analysis"}
    assert changed(before, one) == {"fold", "train", "views", "infer", "ensemble"} | printing


def test_folds_have_keys_of_their_own(before):
    assert len(set(before["fold"])) == 2


def test_a_new_version_of_a_stage_changes_everything_downstream(home, before, monkeypatch):
    changed_stage = replace(CATALOGUE.stages["train_images"], version=99)
    monkeypatch.setitem(CATALOGUE.stages, "train_images", changed_stage)
    assert changed(before, keys(home)) == downstream("train_images")


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
    with pytest.raises(DataError, match="1 missing image"):
        keys(own_home)


def test_a_request_that_leads_back_to_itself_names_its_path(home, monkeypatch):
    looped = replace(CATALOGUE.stages["folds"], inputs=lambda graph, s, p: {"train": Need("train", s)})
    monkeypatch.setitem(CATALOGUE.stages, "folds", looped)
    with pytest.raises(PodiumError, match=r"a result that needs itself: .*folds .*→ train .*→ folds"):
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
        ("eda", "loss.label_smoothing=0.1"),
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


@pytest.mark.parametrize("more", ["train.bag=3", "train.chain={}", "train.bag=null"])
def test_dropout_of_a_backbone_that_only_gives_features_is_refused(home, more):
    for stage in ("train", "refit"):
        with pytest.raises(ConfigError, match="change nothing") as caught:
            refuse(home, stage, "experiment=probe", "model.drop_rate=0.5", more)
        assert caught.value.faults == ("model.drop_rate: nothing in this chain reads it",)


@pytest.mark.parametrize("more", ["train.bag=3", "train.chain={}"])
@pytest.mark.parametrize("word", ["train.lr=0.5", "train.batch_size=16", "train.epochs=9"])
def test_what_a_solved_head_does_not_read_is_refused_of_several_and_of_a_refit_too(home, more, word):
    for stage in ("train", "refit"):
        refuse(home, stage, "experiment=probe_logistic", "train.head_c=0.5", more)
        with pytest.raises(ConfigError, match="change nothing") as caught:
            refuse(home, stage, "experiment=probe_logistic", word, more)
        assert caught.value.faults == (f"{word.partition('=')[0]}: nothing in this chain reads it",)


def test_all_unread_overrides_are_told_at_once(home):
    with pytest.raises(ConfigError) as caught:
        refuse(home, "eda", "loss.label_smoothing=0.1", "train.lr=0.1", "folds.seed=3")
    assert [f.partition(":")[0] for f in caught.value.faults] == ["loss.label_smoothing", "train.lr"]


def test_overrides_that_are_read_or_neutral_pass(home):
    refuse(home, "ensemble", "train.epochs=3", "images.size=16", "runtime.workers=2", "train.folds=[0]")
    refuse(home, "eda", "runtime.threads=1")


def forbid(home, stage, *words):
    settings = load([*SMALL[:3], f"runtime.home={home}", *words])
    check([Need(stage, settings)], graph_of(home))


@pytest.mark.parametrize(
    ("stage", "words"),
    [
        ("preview", ["augment.policy=light"]),
        ("ensemble", ["augment.policy=medium", "ensemble.members=[tiny_resnet]"]),
        ("train", ["resample.copies={policy: light}"]),
        ("resample", ["resample.copies={policy: light}"]),
    ],
)
def test_what_a_label_forbids_is_refused_in_every_policy(home, stage, words):
    with pytest.raises(ConfigError, match="it makes labels wrong") as caught:
        forbid(home, stage, *words)
    assert caught.value.faults == ("digit forbids hflip",)
    assert str(caught.value).startswith("resample.copies" if "copies" in words[0] else "augment.policy")


@pytest.mark.parametrize("words", [["experiment=probe"], ["crop.method=own_box", "crop.boxes=b.csv"], []])
def test_the_words_of_a_page_are_those_that_its_commands_take(home, words, monkeypatch):
    more = ["eda.near_ratio=0.3", "preview.images=4", "ensemble.members=[probe]", "infer.views=[identity]"]
    asked = [*SMALL[:3], "train.folds=[0]", "images.quarantine=drop", "statistics.draws=150", *more, *words]
    settings = load([*asked, f"runtime.home={home}"])
    (home / "b.csv").write_text("id,x,y,w,h\n", encoding="utf-8")
    monkeypatch.setattr(host, "competition_root", lambda settings: home)
    for command in ("train", "preview"):
        kept = load([*graph_of(home).words_of(command, settings), f"runtime.home={home}"])
        needs = [Need(command, kept)]
        chain = graph_of(home).chain(needs)
        assert {n.stage for n in chain} <= set(CATALOGUE.commands[command])
        refuse_unread(kept, needs, graph_of(home))
        assert ("preview.images=4" in graph_of(home).words_of(command, settings)) == (command == "preview")
        assert ("statistics.draws=150" in graph_of(home).words_of(command, settings)) == (command == "train")
    assert graph_of(home).words_of("train", settings)[0] == "competition=digits"


def test_a_page_repeats_what_its_heads_were_trained_with(home):
    words = (*SMALL[:3], "experiment=probe", "train.lr=0.02", "loss.name=focal", f"runtime.home={home}")
    assert {"train.lr=0.02", "loss.name=focal"} <= set(graph_of(home).words_of("train", load(words)))


def test_what_a_policy_says_is_in_the_key_and_nothing_else_of_it(home, tmp_path):
    policy = tmp_path / "mine.yaml"

    def key(stage, text, *words):
        policy.write_text(text, encoding="utf-8")
        settings = load([*SMALL[:3], f"runtime.home={home}", *words])
        params = {"fold": 0} if stage == "fold" else {}
        return graph_of(home).key(Need(stage, settings, params))

    first, other = "transforms: [{Rotate: {limit: 9}}]\n", "transforms: [{Rotate: {limit: 8}}]\n"
    own, copies = f"augment.policy={policy}", f"resample.copies={{policy: {policy}}}"
    for stage, word in (("fold", own), ("preview", own), ("fold", copies), ("resample", copies)):
        assert key(stage, first, word) == key(stage, "# a comment\n" + first, word)
        assert key(stage, first, word) != key(stage, other, word)
    assert key("prepared", first, own) == key("prepared", other, own)


def test_what_trains_on_no_pixels_or_flips_nothing_is_not_refused(home):
    forbid(home, "train", "experiment=probe", "augment.policy=light")
    forbid(home, "train", "resample.copies={policy: rotate30}")
    forbid(home, "eda", "augment.policy=light")


def test_weights_are_known_by_what_they_are(tmp_path):
    ask = graph_of(tmp_path)

    def identity(weights):
        return weights_identity(ask, load(["competition=digits", f"model.weights={weights}"]), {})

    file = tmp_path / "w.pth"
    file.write_bytes(b"one")
    first = identity(f"file:{file}")
    file.rename(tmp_path / "renamed.pth")
    assert identity(f"file:{tmp_path / 'renamed.pth'}") == first
    (tmp_path / "renamed.pth").write_bytes(b"two")
    assert identity(f"file:{tmp_path / 'renamed.pth'}") != first
    assert identity("package:numpy") == f"numpy=={importlib.metadata.version('numpy')}"
    assert identity("none") == "none"
    with pytest.raises(ConfigError, match="there is no file"):
        identity("file:/gone.pth")
    with pytest.raises(ConfigError, match="no-such-thing is not installed"):
        identity("package:no-such-thing")


@pytest.mark.parametrize("stage", ["features", "fold", "whole", "nested"])
def test_the_place_of_a_weights_file_is_in_no_key_and_its_content_is(tmp_path, stage):
    def key(file):
        words = ["competition=digits", "experiment=tiny_resnet", f"model.weights=file:{file}"]
        params = {"features": {"split": "train", "view": "identity"}, "whole": {}}.get(stage, {"fold": 0})
        return graph_of(tmp_path).key(Need(stage, load(words), params))

    one, moved, other = (tmp_path / name for name in ("one.pth", "moved.pth", "other.pth"))
    one.write_bytes(b"one")
    moved.write_bytes(b"one")
    other.write_bytes(b"two")
    assert key(one) == key(moved) != key(other)


def test_the_place_of_a_table_of_boxes_is_in_no_key_and_its_content_is(tmp_path):
    def key(file):
        words = ["competition=digits", "crop.method=own_box", f"crop.boxes={file}"]
        return graph_of(tmp_path).key(Need("prepared", load(words)))

    one, moved, other = (tmp_path / name for name in ("one.csv", "moved.csv", "other.csv"))
    one.write_text("id,x,y,w,h\n1,0,0,2,2\n")
    moved.write_text(one.read_text())
    other.write_text("id,x,y,w,h\n1,0,0,3,3\n")
    assert key(one) == key(moved) != key(other)


class Finished:
    """A store with finished inferences, as their manifests tell of them; nothing is trained."""

    def __init__(self, home):
        self.home = home
        self.settings, _ = wanted(home)
        self.keys = {name: graph_of(home).key(Need(name, self.settings)) for name in ("data", "folds")}
        for stage, key in self.keys.items():
            self.publish(stage, key)

    def publish(self, stage, key, **manifest):
        store = graph_of(self.home).store
        with store.draft(stage, key) as draft:
            store.publish(
                stage, key, draft, {"version": CATALOGUE.get(stage).version, "inputs": {}} | manifest
            )

    def infer(self, experiment, key, fold=None, inputs=None, **manifest):
        """Returns its whole key; `fold` changes the manifest of what it is made of."""
        key = key.ljust(16, "0")
        self.publish("fold", key, **(fold or {}))
        shared = {stage: f"{stage}/{key}" for stage, key in self.keys.items()}
        whole = {**shared, "fold0": f"fold/{key}", **(inputs or {})}
        told = {"experiment": experiment, "inputs": whole, "metrics": {"complete": 1.0}}
        self.publish("infer", key, **(told | manifest))
        return key

    def members(self):
        return members.finished_members(graph_of(self.home), self.settings)


@pytest.fixture
def finished(own_home):
    return Finished(own_home)


def test_finished_members_are_all_whole_ones_on_these_data_and_folds(finished):
    whole = finished.infer("a", "1")
    other = finished.infer("b", "2")
    finished.infer("part", "3", metrics={"complete": 0.0})
    finished.infer("untold", "4", metrics={})
    finished.infer("elsewhere", "5", inputs={"folds": "folds/else"})
    assert finished.members() == {"a": whole, "b": other}


def test_finished_members_of_one_experiment_are_told_apart_by_their_keys(finished):
    one, two, other = finished.infer("a", "1"), finished.infer("a", "2"), finished.infer("b", "3")
    assert finished.members() == {"a@10000000": one, "a@20000000": two, "b": other}


def test_finished_members_are_what_todays_code_would_make(finished):
    current = finished.infer("current", "1")
    finished.infer("old", "2", version=CATALOGUE.get("infer").version - 1)
    finished.infer("of an old fold", "3", fold={"version": CATALOGUE.get("fold").version - 1})
    finished.infer("of a fold that is gone", "4", inputs={"fold0": "fold/gone"})
    freed = finished.infer("freed for space", "5", inputs={"prepared": "prepared/gone"})
    assert finished.members() == {"current": current, "freed for space": freed}


def test_auto_takes_all_finished_members_and_its_key_tells_which(finished):
    settings = load([*SMALL[:3], f"runtime.home={finished.home}", "ensemble.members=[auto]"])
    need = Need("ensemble", settings)
    key = finished.infer("a", "1")
    graph = graph_of(finished.home)
    assert graph.inputs(need)["member:a"].key == key
    one = graph.key(need)
    finished.infer("b", "2")
    graph = graph_of(finished.home)
    assert {"member:a", "member:b"} < set(graph.inputs(need)) and graph.key(need) != one


def test_what_a_pinned_member_read_is_no_setting_of_the_blend(finished):
    """It was made with settings of its own: an override of them would change nothing."""
    finished.infer("a", "1")
    words = [*SMALL[:3], f"runtime.home={finished.home}", "ensemble.members=[auto]", "infer.merge=fitted"]
    settings = load(words)
    graph = graph_of(finished.home)
    need = Need("ensemble", settings)
    assert "infer.merge" not in graph.resolved(need) and "ensemble" in graph.resolved(need)
    with pytest.raises(ConfigError, match=r"infer\.merge: nothing in this chain reads it"):
        refuse_unread(settings, [need], graph)


def test_auto_members_without_a_finished_one_say_what_to_do(own_home):
    settings = load([*SMALL[:3], f"runtime.home={own_home}", "ensemble.members=[auto]"])
    with pytest.raises(ConfigError, match="no member is finished"):
        graph_of(own_home).key(Need("ensemble", settings))


def test_a_loss_of_ones_own_is_known_by_its_source(home, before, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    source = tmp_path / "own.py"
    source.write_text("def f(logits, target):\n    return logits.sum(-1)\n", encoding="utf-8")
    first = keys(home, "loss.name=own:f")
    assert changed(before, first) == downstream("fold", "error_analysis") | {"eda", "resample"}
    source.write_text("def f(logits, target):\n    return -logits.sum(-1)\n", encoding="utf-8")
    assert changed(first, keys(home, "loss.name=own:f")) == downstream("fold", "error_analysis")


def test_the_loss_of_an_attribute_is_in_the_key(home, before):
    heads = keys(home, "model.heads=attributes")
    one, other = (
        keys(home, "model.heads=attributes", f"loss.attributes={{digit: {{name: {n}}}}}")
        for n in ("focal", "ldam")
    )
    for a, b in ((before, heads), (heads, one), (one, other)):
        assert a["fold"] != b["fold"] and a["data"] == b["data"]
