"""Labels tell the runs of one experiment apart; a word means exactly one run."""

import json
from pathlib import Path

import pytest

from pipeline.core.errors import ConfigError
from pipeline.engine import naming, next_step
from pipeline.engine.session import Session
from pipeline.engine.slices import config_slice
from pipeline.record.store import Artifact
from pipeline.settings import named
from pipeline.settings.load import Settings, load
from pipeline.stages import CATALOGUE

SECTIONS = ("competition", "folds", "images", "model", "train", "infer")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of settings with two experiments."""
    configs = tmp_path / "configs"
    texts = {
        "config": "defaults:\n  competition: toy\n  experiment: small\n",
        "competition/toy": "competition:\n  name: toy\n  demo:\n    source: digits\n  attributes:\n"
        "    - name: digit\n      column: digit\n      values: ['0', '1']\n",
        "experiment/small": "model:\n  name: module:net\ntrain:\n  epochs: 2\n",
        "experiment/fast": "folds:\n  n: 2\ntrain:\n  epochs: 1\n",
    }
    for name, text in texts.items():
        path = configs / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return configs


def run(settings: Settings, key: str = "3fa29b01aa", stage: str = "infer") -> Artifact:
    """A finished result with the record that a build writes."""
    request = settings.request
    manifest = {
        "experiment": settings.experiment,
        "settings": json.loads(json.dumps(config_slice(settings.config, SECTIONS))),
        "request": {
            "competition": request.competition,
            "model": request.model,
            "experiment": list(request.experiment or ()),
            "values": [[path, value] for path, value in request.values],
        },
    }
    return Artifact(stage, key, Path(), manifest)


def test_two_runs_of_one_experiment_have_two_labels(folder: Path) -> None:
    plain, large = (run(load(words, folder)) for words in ([], ["images.size=96"]))
    assert naming.label_of(plain) == "small" and naming.label_of(large) == "small images.size=96"
    other = run(load(["images.size=96", "runtime.threads=2", "report.thumbnail_px=64"], folder))
    assert naming.label_of(other) == "small images.size=96", "what changes no run is left out"
    unread = run(load(["ensemble.members=[small]"], folder))
    assert naming.label_of(unread) == "small", "what the result does not depend on is left out"


def test_long_labels_are_cut_and_stay_distinct() -> None:
    views = [[("infer.views", [f"view{n}" for n in range(k)])] for k in (20, 21)]
    one, two = (naming.label("small", values, ["infer"]) for values in views)
    assert one != two and max(len(one), len(two)) <= naming.LONGEST_LABEL


def test_a_blend_is_called_by_its_members_and_long_ones_stay_distinct() -> None:
    assert naming.blend(["lite0", "probe"]) == "blend of 2: lite0, probe"
    seeds = [f"tiny_cnn train.lr=0.01 train.seed={n}" for n in range(6)]
    one, two = (naming.blend([*seeds, last]) for last in ("lite0", "lite0 images.size=96"))
    assert one.startswith("blend of 7: 6 tiny_cnn, lite0 #") and two.startswith(one[:-7]) and one != two
    many = naming.blend([f"network{n}" for n in range(30)])
    assert many.startswith("blend of 30: network0, network1, ") and "…" in many and len(many) < 90
    manifest = {
        "experiment": "digits",
        "inputs": {"data": "data/1", "member:lite0": "infer/1", "member:probe": "infer/2"},
        "settings": {"ensemble": {"members": ["auto", "file:mate.csv"], "method": "greedy"}},
        "request": {"values": [["ensemble.members", ["auto"]], ["ensemble.method", "greedy"]]},
    }
    blend = Artifact("ensemble", "3fa29b01aa", Path(), manifest)
    assert naming.label_of(blend) == "blend of 3: lite0, probe, mate ensemble.method=greedy"


def test_the_name_of_a_run_begins_with_what_fewest_runs_tried() -> None:
    usual = {"images.size": 96, "train.epochs": 3}
    mine = [*usual.items(), ("train.lr", 0.01), ("train.mix.method", "cutmix")]
    assert naming.run_name("lite0", list(usual.items()), []) == "lite0 size=96 epochs=3"
    earlier = [usual, usual, usual | {"train.lr": 0.01}]
    assert naming.run_name("lite0", mine, earlier) == "mix=cutmix lr=0.01 · lite0 size=96 epochs=3"
    assert naming.run_name("lite0", [], earlier) == "lite0"
    views = [("infer.views", ["identity", "hflip", "shift(0.1,0)"])]
    assert naming.run_name("lite0", views, earlier) == "views=[identity,hflip,shift(0… · lite0"
    assert len(naming.run_name("x" * 500, mine, [])) <= naming.LONGEST_NAME + 1


def test_an_experiment_means_only_the_run_with_its_settings(folder: Path) -> None:
    base = load([], folder)
    plain, large = run(base), run(load(["images.size=96"], folder), "77aa88bb00")
    assert naming.member_of(plain, plain, naming.Experiments(base)) == "small"
    assert naming.member_of(large, large, naming.Experiments(base)) == "key:77aa88bb", (
        "`small` would be another run"
    )
    assert naming.member_of(large, None, naming.Experiments(base)) is None, (
        "a key means an inference, and there is none"
    )


def test_a_file_with_the_winning_settings_is_its_name(folder: Path) -> None:
    settings = load(["images.size=96", "train.lr=0.5"], folder)
    large, base = run(settings), load([], folder)
    kept, path = named.save(settings, "larger")
    assert path == folder / "experiment" / "larger.yaml" and kept.words[1:] == ("experiment=larger",)
    assert naming.member_of(large, large, naming.Experiments(base)) == "larger"
    assert base.member("larger").config.images.size == 96
    path.write_text(path.read_text(encoding="utf-8").replace("96", "80"), encoding="utf-8")
    assert naming.member_of(large, large, naming.Experiments(base)) == "key:3fa29b01", (
        "a changed file means another run"
    )


def test_commands_about_several_runs_have_their_folds(folder: Path) -> None:
    like = load([], folder)
    settings, words = naming.shared(run(load(["folds.n=3", "train.lr=0.5"], folder)), like)
    assert words == ("competition=toy", "folds.n=3") and settings.config.folds.n == 3
    settings, words = naming.shared(run(load(["experiment=small+fast", "images.size=96"], folder)), like)
    assert words == ("competition=toy", "experiment=small+fast") and settings.config.folds.n == 2


def test_a_name_is_refused_where_it_would_mean_something_else(folder: Path) -> None:
    with pytest.raises(ConfigError, match="nothing to name"):
        named.save(load([], folder), "same")
    with pytest.raises(ConfigError, match="nothing to name"):
        named.save(load(["folds.n=3"], folder), "same")
    with pytest.raises(ConfigError, match="exists and has other settings"):
        named.save(load(["images.size=96"], folder), "small")
    for name in ("../x", "a/b", "", "a b", ".hidden", "a+b"):
        with pytest.raises(ConfigError, match="only letters"):
            named.save(load(["images.size=96"], folder), name)
    assert sorted(p.stem for p in (folder / "experiment").iterdir()) == ["fast", "small"]


def test_saving_twice_changes_nothing_and_folds_stay_words(folder: Path) -> None:
    settings = load(["images.size=96", "folds.n=3", "competition.title=a b"], folder)
    kept, path = named.save(settings, "larger")
    assert path is not None and "folds" not in path.read_text(encoding="utf-8")
    assert kept.words == ("competition=toy", "experiment=larger", "folds.n=3", "competition.title=a b")
    assert kept.config == settings.config
    again, nothing = named.save(settings, "larger")
    assert nothing is None and again.config == kept.config


def test_a_proposed_name_is_free_or_means_the_same(folder: Path) -> None:
    settings = load(["images.size=96"], folder)
    assert named.proposed(settings) == "small-size-96"
    named.save(settings, "small-size-96")
    assert named.proposed(settings) == "small-size-96"
    (folder / "experiment" / "small-size-96.yaml").write_text("train:\n  epochs: 5\n", encoding="utf-8")
    assert named.proposed(settings) == "small-size-96-2"
    assert named.NAME.fullmatch(named.proposed(load(["images.size=[40,80]", "train.lr=1e-3"], folder)))


def test_the_next_command_keeps_the_places_of_the_files(folder: Path, tmp_path: Path) -> None:
    words = ["competition.root=/data/set #2", "images.size=96", f"runtime.home={tmp_path}"]
    session = Session(load(words, folder), CATALOGUE)
    for target in ("infer", "error-analysis A=x.csv", "leaderboard", next_step.NEWEST):
        text = next_step.command(session, target)
        assert text.count("'competition.root=/data/set #2'") == 1, text
        assert text.count(f"runtime.home={tmp_path}") == 1, text
    assert "competition.root" not in " ".join(session.graph.words_of("infer", session.settings)), "no key"
    assert "competition.root" not in " ".join(session.graph.words_of("none", session.settings)), "no key"
    old = ("competition=digits", "competition.root=/gone", "runtime.home=/gone", "images.size=64")
    assert session.settings.located(old) == (
        *("competition=digits", "images.size=64"),
        *("competition.root=/data/set #2", f"runtime.home={tmp_path}"),
    ), "places of another command are replaced"
    assert load([], folder).located(("competition=digits",)) == ("competition=digits",)
