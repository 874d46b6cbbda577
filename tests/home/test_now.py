"""`make` without a target: three commands that fit what is there, with nothing but the standard library."""

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from home_world import need, result, scored, state, submission, whole

from pipeline.cli import COMMANDS
from pipeline.core.errors import UserError
from pipeline.engine.progress import FOLDER, Progress
from pipeline.home import facts, now
from pipeline.home.facts import Competition
from pipeline.settings.load import load
from pipeline.settings.train import TrainSettings
from pipeline.submit import ledger
from pipeline.submit.ledger import Entry
from pipeline.train import losses

CHECKOUT = Path(__file__).resolve().parents[2]


def commands(home: Path, **how) -> list[str]:
    return [one.command for one in now.suggestions(home, "pets", **how)]


def test_an_empty_home_offers_the_demo_and_the_own_competition(tmp_path):
    first = commands(tmp_path, is_chosen=False)
    assert first[0] == "make all" and first[1].startswith("make new NAME=")
    assert commands(tmp_path) == ["make eda", "make train", "make all"]


def test_each_step_is_followed_by_the_next_one(tmp_path):
    result(tmp_path, "eda", "e1", 1)
    assert commands(tmp_path)[0] == "make train"
    scored(tmp_path, "train", "t1", 2, 0.5, metrics={"complete": 0.0})
    assert commands(tmp_path)[0] == "make train"
    scored(tmp_path, "train", "t2", 2, 0.5)
    assert commands(tmp_path)[0] == "make infer"
    scored(tmp_path, "infer", "i1", 3, 0.5)
    submission(tmp_path, "pets-lite0-i1", 3, 0.5)
    assert commands(tmp_path)[0] == "make error-analysis"
    scored(tmp_path, "infer", "i2", 4, 0.5)
    assert commands(tmp_path)[:2] == ['make ensemble ARGS="ensemble.members=[auto]"', "make error-analysis"]
    scored(tmp_path, "ensemble", "b1", 5, 0.5)
    assert commands(tmp_path)[0] == "make error-analysis"
    advised = 'make train ARGS="images.size=96"'
    report(tmp_path, 6, {"next": advised, "advice": [{"do": "Larger images", "command": advised}]})
    assert commands(tmp_path)[0] == 'make train ARGS="images.size=96"'
    assert any(one.startswith("make submit FILE=") for one in commands(tmp_path))


def report(home: Path, day: int, told: dict) -> None:
    result(home, "error_analysis", f"r{day}", day, files={"advice.json": json.dumps(told)})


def test_runs_after_the_newest_report_ask_for_a_new_one_before_its_advice(tmp_path):
    """Its advice may be what was just trained: the report is older and cannot know."""
    scored(tmp_path, "train", "t1", 1, 0.5)
    scored(tmp_path, "infer", "i1", 2, 0.5, inputs={"train": "train/t1"})
    advised = 'make train ARGS="images.size=240"'
    report(tmp_path, 3, {"next": advised, "advice": [{"do": "Larger images", "command": advised}]})
    assert commands(tmp_path)[0] == advised
    scored(tmp_path, "train", "t2", 4, 0.6)
    (first, *_) = now.suggestions(tmp_path, "pets")
    assert first.command == "make error-analysis" and "1 run after the newest error report" in first.what
    assert advised not in commands(tmp_path)
    inputs = {"train": "train/t2", "data": "data/d0", "folds": "folds/f0"}
    scored(tmp_path, "infer", "i2", 5, 0.6, inputs=inputs)
    scored(tmp_path, "train", "t3", 5, 0.6, metrics={"complete": 0.0})
    scored(tmp_path, "ensemble", "b1", 6, 0.7)
    (first, *_) = now.suggestions(tmp_path, "pets")
    assert first.command == "make error-analysis" and "2 runs after" in first.what, "a run has two results"
    report(tmp_path, 7, {"next": "make eda", "advice": [{"do": "Look", "command": "make eda"}]})
    assert commands(tmp_path)[0] == "make eda"


def test_what_is_suggested_after_a_report_is_what_its_advice_says(tmp_path):
    scored(tmp_path, "infer", "i1", 1, 0.5)
    eye = {"do": "Judge the 9 flips by eye", "command": "look at the section below"}
    longer = {"do": "Train longer", "command": "make train"}
    report(tmp_path, 2, {"next": "make train", "advice": [eye, longer]})
    first = now.suggestions(tmp_path, "pets")[0]
    assert (first.what, first.command) == ("follow advice 2 of the newest error report", "make train")
    report(tmp_path, 3, {"next": "make runs", "advice": [eye]})
    first = now.suggestions(tmp_path, "pets")[0]
    assert first.command == "make serve" and first.what.startswith("read the newest error report")
    report(tmp_path, 4, {"next": "make runs", "advice": []})
    first = now.suggestions(tmp_path, "pets")[0]
    assert (first.what, first.command) == ("list all runs, the best first", "make runs")


def handed_in(home: Path) -> str:
    (line,) = (one for one in commands_all(home) if one.startswith("make submit"))
    return line.split("FILE=")[1].split()[0].rpartition("/")[2].removesuffix(".csv")


def commands_all(home: Path) -> list[str]:
    """Everything that follows a prediction, not only the first three."""

    def suggest(what: str, target: str, *more: str) -> now.Suggestion:
        return now.Suggestion(what, now.command(target, *more))

    return [one.command for one in now._after_prediction(home, "pets", suggest)]


def submitted(home: Path, key: str, day: int, score: float, on: str = "f0", metric: str = "macro_f1") -> None:
    inputs = {"data": "data/d0", "folds": f"folds/{on}"}
    figures = {f"oof_{metric}": score, "complete": 1.0}
    result(home, "infer", key, day, metrics=figures, inputs=inputs)
    entry = Entry(f"pets-{key}", f"2026-01-{day:02d}", "member", "pets", "lite0", key, metric, score)
    ledger.add(home / "submissions" / "leaderboard.csv", entry)
    path = home / "submissions" / f"pets-{key}.csv"
    path.write_text("id,label\n", encoding="utf-8")
    told = {"competition": "pets", "name": path.stem}
    path.with_suffix(".json").write_text(json.dumps(told), encoding="utf-8")
    os.utime(path.with_suffix(".json"), (day, day))


@pytest.mark.parametrize(
    ("metric", "higher", "best"), [("macro_f1", True, "pets-i2"), ("rmse", False, "pets-i3")]
)
def test_the_best_submission_is_handed_in_and_not_the_newest(tmp_path, metric, higher, best):
    for key, day, score, on in (("i0", 1, 0.99, "old"), ("i00", 1, 0.01, "old"), ("i2", 2, 0.7, "f0")):
        submitted(tmp_path, key, day, score, on, metric)
    submitted(tmp_path, "i3", 3, 0.4, metric=metric)
    submitted(tmp_path, "i4", 4, 0.5, metric=metric)
    facts.read(tmp_path / "artifacts", [Competition("pets", "", metric, higher)])
    assert handed_in(tmp_path) == best, "scores on other folds are not compared"
    (tmp_path / "artifacts" / ".home.json").write_text('{"results": [], "competitions": 3}', encoding="utf-8")
    assert handed_in(tmp_path) == "pets-i4", "nothing is known of the metric: the newest"
    facts.read(tmp_path / "artifacts", [Competition("pets", "", metric, higher)])
    for suffix in (".csv", ".json"):
        made = (tmp_path / "submissions" / "pets-i2").with_suffix(suffix).read_bytes()
        (tmp_path / "submissions" / "pets-best").with_suffix(suffix).write_bytes(made)
    lasting = "pets-best" if best == "pets-i2" else best
    assert handed_in(tmp_path) == lasting, "its lasting name, unless a later run is better"
    ledger.pin(tmp_path / "submissions" / "leaderboard.csv", "pets-i4", "pets")
    assert handed_in(tmp_path) == "pets-i4", "a person said so"


def test_runs_on_folds_of_their_own_are_blended_with_the_words_that_find_them(tmp_path):
    three = {"values": [["folds.n", 3], ["images.size", 96]]}
    for n in range(2):
        scored(tmp_path, "infer", f"i{n}", 3 + n, 0.5, request=three)
    assert commands(tmp_path)[0] == 'make ensemble ARGS="folds.n=3 ensemble.members=[auto]"'
    scored(tmp_path, "infer", "i2", 6, 0.5)
    assert not any("make ensemble" in one for one in commands(tmp_path)), "the newest is alone on its folds"


def test_results_of_another_competition_and_of_a_search_count_for_nothing(tmp_path):
    scored(tmp_path, "infer", "i1", 3, 0.5, competition="other")
    scored(tmp_path, "infer", "i2", 3, 0.5, study="s")
    assert commands(tmp_path)[0] == "make eda"


def test_a_command_that_did_not_end_well_is_repeated_until_it_is_whole(tmp_path):
    whole(tmp_path)
    assert commands(tmp_path)[0] == 'make train ARGS="experiment=lite0"'
    result(tmp_path, "fold", "f9", 7)
    assert commands(tmp_path)[0] != 'make train ARGS="experiment=lite0"'


def test_a_killed_command_is_told_from_one_that_runs(tmp_path):
    running = need("fold/a1", "fold 0", "running")
    state(tmp_path, "train", running, status="running")
    assert now.states(tmp_path / "artifacts")[0]["state"] == "killed"
    assert commands(tmp_path)[0].startswith("make train")


def test_the_words_of_the_settings_are_in_every_command(tmp_path):
    for line in commands(tmp_path, words=["competition=pets"]):
        assert line.endswith('ARGS="competition=pets"')


@pytest.mark.parametrize("words", [(), ("competition=pets",)])
def test_the_commands_exist(tmp_path, words):
    known = {one.name for one in COMMANDS}
    for folder in (tmp_path / "empty", whole(tmp_path / "whole")):
        for line in (*commands(folder, words=words), *commands(folder, words=words, is_chosen=False)):
            assert line.split()[1] in known


def test_it_runs_without_any_package_and_reads_the_current_competition(tmp_path):
    home = whole(tmp_path)
    (home / "current-competition").write_text("pets\n", encoding="utf-8")
    script = CHECKOUT / "pipeline" / "home" / "now.py"
    done = subprocess.run(
        [sys.executable, "-S", "-I", "-W", "error", script, f"runtime.home={home}"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "competition     pets" and lines[-1] == "all targets: make help"
    assert sum(line.startswith("     make ") for line in lines) == 3


def test_the_home_of_config_yaml_is_found(tmp_path):
    base = tmp_path / "config.yaml"
    base.write_text(
        "defaults:\n  competition: digits # c\nruntime:\n  # note\n  home: /big/disk\n", encoding="utf-8"
    )
    assert now.home_of((), base) == Path("/big/disk")
    assert now.home_of(("runtime.home=/x",), base) == Path("/x")
    assert now.competition_of((), tmp_path, base) == ("digits", False)


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), ValueError("no loss is finite")])
def test_of_a_training_around_its_folds_only_the_fold_is_lost(tmp_path, stop):
    progress = Progress(tmp_path / "artifacts" / FOLDER, print)
    with pytest.raises(type(stop)):
        try:
            with progress.building("train/b1", "train", "train"):
                with progress.building("fold/a0", "fold", "fold 0"):
                    pass
                with progress.building("fold/a1", "fold", "fold 1"):
                    raise stop
        finally:
            progress.close()
    (left,) = now.states(tmp_path / "artifacts")
    assert [one["name"] for one in now.unfinished(tmp_path / "artifacts", left)] == ["fold/a1"]


def test_what_a_person_stops_has_not_failed(tmp_path):
    progress = Progress(tmp_path / "artifacts" / FOLDER, print)
    progress.command, progress.competition, progress.typed = "train", "pets", "make train"
    with pytest.raises(KeyboardInterrupt):
        try:
            with progress.building("fold/a1", "fold", "fold 0"):
                raise KeyboardInterrupt
        finally:
            progress.close()
    (left,) = now.states(tmp_path / "artifacts")
    (lost,) = left["needs"]
    assert (left["state"], lost["state"], lost["message"]) == ("stopped", "running", "")
    assert [one["name"] for one in now.unfinished(tmp_path / "artifacts", left)] == ["fold/a1"]


def test_a_training_that_diverged_is_offered_with_the_setting_that_its_error_advises(tmp_path):
    error = losses.diverged("fold 0, epoch 1, step 1", TrainSettings(lr=0.3))
    progress = Progress(tmp_path / "artifacts" / FOLDER, print)
    progress.command, progress.competition = "train", "pets"
    progress.typed = 'make train ARGS="train.lr=0.3"'
    with pytest.raises(UserError):
        try:
            with progress.building("fold/a1", "fold", "fold 0"):
                raise error
        finally:
            progress.close()
    first = now.suggestions(tmp_path, "pets")[0]
    assert first.command == 'make train ARGS="train.lr=0.03"' and "train.lr=0.03" in str(error)
    assert "train.lr=0.03" in first.what and load(error.mend).config.train.lr == 0.03
    assert pickle.loads(pickle.dumps(error)).mend == error.mend, "also from another process"
