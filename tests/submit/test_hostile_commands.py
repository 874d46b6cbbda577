"""Every command that takes a name, given one that leads elsewhere: exit 2, one error, nothing changed."""

import hostile_world as world
import pytest

from pipeline import cli

COMMANDS = {
    "reproduce": ("reproduce", "--scratch", "--anyway", "--file", "{}"),
    "score": ("score", "--file", "{}"),
    "score of the host": ("score", "--public", "0.5", "--file", "{}"),
    "validate": ("validate", "--file", "{}"),
    "submit": ("submit", "--yes", "--file", "{}", "competition.submission.command=true {{file}}"),
    "pin-best": ("pin-best", "--name", "{}"),
    "leaderboard": ("leaderboard", "--name", "{}"),
    "pin": ("pin", "--key", "{}"),
    "error-analysis": ("error-analysis", "--a", "{}", "--b", "{}"),
    "error-analysis with verdicts": (
        "error-analysis",
        "--a",
        "theirs.csv",
        "--b",
        "theirs.csv",
        "--verdicts",
        "{}",
    ),
    "explain": ("explain", "--run", "{}"),
    "ablate": ("ablate", "--grid", "{}"),
    "tune": ("tune", "--stage", "tta", "--space", "{}"),
    "new": ("new", "--name", "{}", "--images", "."),
    "train": ("train", "experiment={}"),
    "train a model": ("train", "model={}"),
    "eda": ("eda", "competition={}"),
}
NAMES = (
    "../../victim",
    "../..",
    "../victim/submissions/theirs",
    "a\x1b[2Jb",
    "n" * 300,
    "leaderboard",
    "-rf",
)
SMALL = ("competition.demo.limit=200", "runtime.mlflow=false", "images.size=16")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A home, and beside it somebody else's with results, a CSV and provenance."""
    place = tmp_path_factory.mktemp("place")
    victim = place / "victim"
    (victim / "artifacts" / "infer").mkdir(parents=True)
    (victim / "artifacts" / "infer" / "result").write_text("mine")
    (victim / "submissions").mkdir()
    for name in ("victim.csv", "victim.json", "submissions/theirs.csv", "submissions/leaderboard.csv"):
        (victim / name).write_text("mine")
    (place / "victim.csv").write_text("mine")
    (place / "home").mkdir()
    return place


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_a_name_that_leads_elsewhere_is_one_clear_error(place, command, name, capsys, monkeypatch):
    home = place / "home"
    monkeypatch.chdir(home)
    before, configs = world.tree(place / "victim"), world.tree(cli_configs() / "competition")
    words = [word.format(name) for word in COMMANDS[command]]
    words = [f"{a}={b}" if a.startswith("--") and b == name else a for a, b in _pairs(words, name)]
    chosen = [] if any(word.startswith("competition=") for word in words) else ["competition=digits"]
    small = [] if words[0] == "new" else SMALL
    assert cli.main([*words, *chosen, f"runtime.home={home}", *small]) == 2
    err = capsys.readouterr().err
    assert err.strip().splitlines()[-1] and "error: " in err and "\x1b" not in err
    assert world.tree(place / "victim") == before and (place / "victim.csv").read_text() == "mine"
    assert world.tree(cli_configs() / "competition") == configs
    assert sorted(p.name for p in place.iterdir()) == ["home", "victim", "victim.csv"]


def _pairs(words, name):
    """Each word with the next one; the name itself is joined to the flag before it, as `--file=-rf` needs."""
    follows = [*words[1:], ""]
    return [(a, b) for n, (a, b) in enumerate(zip(words, follows, strict=True)) if not (a == name and n)]


def cli_configs():
    from pipeline.settings.load import CONFIGS

    return CONFIGS
