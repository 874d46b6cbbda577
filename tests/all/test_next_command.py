"""Every command names its competition first and the next command last; a name means the run that won."""

import re
import shlex
import shutil
from pathlib import Path

import pytest
from main_world import SMALL, artifacts, run

from pipeline.cli import COMMANDS, parser
from pipeline.engine.naming import label_of
from pipeline.settings import load as load_settings
from pipeline.settings import read
from pipeline.settings.load import CONFIGS, load

CNN, LARGE = "experiment=tiny_resnet", "images.size=24"
BARE = ("runtime.mlflow=false", "runtime.threads=1")
MAKEFILE = (CONFIGS.parent / "Makefile").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
UNSIZED = [word for word in SMALL if not word.startswith("images.size")]


def next_of(said) -> list[str]:
    """The words of the command in the last line: `make`, target, variables."""
    assert said.code == 0, said.out + said.err
    lines = said.out.splitlines()
    assert lines[0].startswith("competition     "), lines[0]
    assert lines[-1].startswith("next: make "), lines[-1]
    words = shlex.split(lines[-1].removeprefix("next: "))
    assert words[1] in TARGETS
    return words


def settings_of(words: list[str]) -> list[str]:
    """The words in ARGS."""
    given = [w.removeprefix("ARGS=") for w in words if w.startswith("ARGS=")]
    return shlex.split(given[0].replace("$$", "$")) if given else []


def typed(words: list[str]) -> list[str]:
    """The command line of a printed make command, as the Makefile makes it."""
    options = [w.partition("=") for w in words[2:] if not w.startswith("ARGS=")]
    flags = [f"--{n.lower()}" if n in ("DRY", "YES") else f"--{n.lower()}={value}" for n, _, value in options]
    return [words[1], *settings_of(words), *flags]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Two predictions of one experiment, one with an override."""
    home = tmp_path_factory.mktemp("next")
    assert run(home, "infer", CNN).code == 0
    assert run(home, "infer", CNN, LARGE, small=UNSIZED).code == 0
    return home


@pytest.fixture
def configs(tmp_path, monkeypatch):
    """A folder of settings of one's own, so that nothing is written into the checkout."""
    folder = tmp_path / "configs"
    shutil.copytree(CONFIGS, folder)
    monkeypatch.setattr(load_settings, "CONFIGS", folder)
    monkeypatch.setattr(read, "CONFIGS", folder)
    monkeypatch.setattr(load_settings, "load", lambda words, where=folder: load(words, where))
    return folder


@pytest.mark.slow
def test_the_two_runs_are_distinct_in_every_list(home):
    labels = {label_of(a) for a in artifacts(home, "infer")}
    assert len(labels) == 2 and all(label.startswith("tiny_resnet images.size=") for label in labels)
    listed = run(home, "runs", small=("competition=digits", *BARE)).out
    ledger = (home / "submissions" / "leaderboard.csv").read_text(encoding="utf-8")
    for label in labels:
        assert label in listed and label in ledger


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "small", "options"),
    [
        ("folds", [*SMALL[:2], "folds.n=2", *BARE], ()),
        ("train", [*SMALL, CNN], ()),
        ("infer", [*SMALL, CNN], ()),
        ("config", SMALL, ()),
        ("runs", [*SMALL[:2], *BARE], ()),
        ("du", [*SMALL[:2], *BARE], ()),
        ("gc", [*SMALL[:2], *BARE], ("--dry",)),
        ("score", [*SMALL[:2], *BARE], ()),
        ("final", [*SMALL[:2], *BARE], ()),
    ],
)
def test_the_last_line_is_a_command_that_is_accepted(home, command, small, options):
    words = next_of(run(home, command, small=small, options=options))
    parsed = parser().parse_args(typed(words))
    assert parsed.command == words[1]
    assert load(parsed.settings).config.competition.name == "digits"


def test_every_command_says_what_comes_next():
    """By its table, or by itself where that depends on the outcome."""
    told = {c.name for c in COMMANDS if c.then}
    itself = {
        "new",
        "use",
        "all",
        "train",
        "ablate",
        "infer",
        "refit",
        "distill",
        "tune",
        "ensemble",
        "improve",
    }
    itself |= {"error-analysis", "final", "validate", "submit", "reproduce", "runs", "gc"}
    itself |= {"predict", "oof", "bundle", "export", "weights", "home"}
    assert told | itself == {c.name for c in COMMANDS} - {"serve"} and not told & itself, "serve does not end"


@pytest.mark.slow
def test_training_with_overrides_offers_a_name_that_means_the_run(home, configs, tmp_path):
    mine = Path(shutil.copytree(home, tmp_path / "home"))
    words = next_of(run(mine, "train", CNN, LARGE, small=UNSIZED))
    (name,) = (w.removeprefix("NAME=") for w in words if w.startswith("NAME="))
    assert words[1] == "infer" and LARGE in settings_of(words)
    before = {a.address for a in artifacts(mine)}
    pasted = typed(words)
    pasted.remove(f"runtime.home={mine}")  # `run` gives it, too
    first = run(mine, *pasted, small=BARE)
    assert first.code == 0, first.err
    assert {a.address for a in artifacts(mine)} == before, "a name builds nothing again"
    assert (configs / "experiment" / f"{name}.yaml").is_file() and f"experiment={name} means" in first.out
    shared = [*SMALL[:2], "folds.n=2", "statistics.draws=100", *BARE]
    again = run(mine, "infer", f"experiment={name}", small=shared)
    assert again.code == 0 and {a.address for a in artifacts(mine)} == before
    assert "NAME=" not in again.out, "it has its name"


@pytest.mark.slow
def test_the_newest_submission_is_taken_with_its_own_settings(home, tmp_path):
    mine = Path(shutil.copytree(home, tmp_path / "home"))
    said = run(mine, "error-analysis", small=("competition=digits", *BARE))
    assert said.code == 0, said.err
    newest = max(artifacts(mine, "infer"), key=lambda a: a.manifest["created"])
    assert f"new: digits-tiny_resnet-{newest.key[:6]}, the newest submission" in said.out
    words = next_of(said)
    assert "competition.demo.limit=200" in settings_of(words), "the data of the submission"
    keys = {a.key[:8] for a in artifacts(mine, "infer")}
    for names in re.findall(r"ensemble\.members=\[([^]]*)\]", said.out):
        for word in names.split(","):
            known = word.partition(":")[2] in keys if word.startswith("key:") else word != "tiny_resnet"
            assert known, "`tiny_resnet` alone is neither of the two runs"


def test_a_name_that_is_taken_stops_before_any_work(tmp_path, configs):
    said = run(tmp_path, "train", CNN, options=["--name=probe"])
    assert said.code == 2 and "exists and has other settings" in said.err and not said.out
