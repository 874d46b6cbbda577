"""One rule of the best so far: every command names the same submission, and by which score it compares."""

import re
import shutil
from pathlib import Path

import pytest
from main_world import MEMBERS, ledger, named, run

pytestmark = pytest.mark.slow

SMALL = (
    *("competition=digits", "competition.demo.limit=200", "images.size=16", "folds.n=2"),
    *("statistics.draws=100", "runtime.mlflow=false"),
)
TRAINED = (*SMALL, "train.epochs=1", "runtime.threads=1")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Two members and their blend; the member with the lowest OOF score has the only public score."""
    home = tmp_path_factory.mktemp("best")
    said = run(home, "ensemble", MEMBERS, small=TRAINED)
    assert said.code == 0, said.err
    scored(home, ranked(home)[-1], 0.99)
    return home


@pytest.fixture
def home(made, tmp_path):
    return Path(shutil.copytree(made, tmp_path / "home"))


def scored(home, name, public):
    assert run(home, "score", small=SMALL, options=("--file", name, "--public", str(public))).code == 0


def ranked(home):
    """Names by OOF score, the best first."""
    return sorted(ledger(home), key=lambda name: -float(ledger(home)[name]["oof"]))


def compared(said):
    """With which submission a command compared, each time that it did."""
    assert said.code == 0, said.err
    return set(re.findall(r"^compared with (\S+), the best other submission so far", said.out, re.MULTILINE))


def best(said):
    assert said.code == 0, said.err
    return re.findall(r"^ *best: (\S+): ", said.out, re.MULTILINE)


def test_one_public_score_of_the_weakest_makes_no_command_call_it_the_best(home):
    first, _, last = ranked(home)
    said = run(home, "leaderboard", small=SMALL)
    assert best(said) == [first] and "by more than noise" not in said.out
    assert f"no public score to compare with that of {last}" in said.out
    assert f"{last}, whose gap is examined because the best has no public score" in said.out
    assert best(run(home, "final", small=SMALL)) == [first]
    blended, report = (
        run(home, command, MEMBERS, "ensemble.method=mean", small=TRAINED)
        for command in ("ensemble", "error-analysis")
    )
    assert compared(blended) == compared(report) == {first}, "of all that there was before this blend"
    verdict = re.search(r"by out-of-fold predictions: [^,]*, [^,]*, ([a-z' ]+)", blended.out)[1]
    judged = re.search(rf"digits-ensemble-\w+ against {first}: (Better|Worse|Can't tell)", report.out)[1]
    assert judged.lower() == verdict.strip(), "the same verdict about the same pair"
    assert "out of fold" in report.out


def test_a_pin_moves_every_command_and_its_removal_says_what_is_the_best_now(home):
    first = ranked(home)[0]
    # The blend is not compared with itself, wherever one epoch ranks it.
    last = [name for name in ranked(home) if ledger(home)[name]["kind"] != "blend"][-1]
    assert run(home, "pin-best", small=SMALL, options=("--name", last)).code == 0
    assert best(run(home, "leaderboard", small=SMALL)) == [last], "a page of before the pin is not shown"
    assert best(run(home, "final", small=SMALL)) == [last]
    others = [run(home, command, MEMBERS, small=TRAINED) for command in ("ensemble", "error-analysis")]
    assert [compared(said) for said in others] == [{last}] * 2, others
    assert best(run(home, "pin-best", small=SMALL, options=("--name", "none"))) == [first]


def test_a_run_without_the_csv_of_the_best_says_which_one_takes_its_place(home):
    first, second, last = ranked(home)
    (home / "submissions" / f"{first}.csv").unlink()
    (home / "submissions" / f"{first}.json").unlink()
    said = run(
        home, "error-analysis", small=SMALL, options=("--a", str(home / "submissions" / f"{last}.csv"))
    )
    assert compared(said) == {second}
    assert f"is {first} (" in said.out and f"{first}.csv is not here" in said.out


def test_a_training_is_compared_with_trainings_and_an_inference_with_what_is_submitted(home):
    (old,) = named(home, "train", "tiny_cnn")
    said = run(home, "train", "experiment=tiny_cnn", "train.seed=5", small=TRAINED)
    assert said.code == 0, said.err
    assert re.search(
        r"against [^\n]+ \(train \w+\), the best earlier training on one view by out-of-fold score: ",
        said.out,
    )
    assert "(infer" not in said.out and old.key
    said = run(home, "infer", "experiment=tiny_cnn", "train.seed=5", small=TRAINED)
    assert compared(said) == {ranked(home)[0]}
    new = max(named(home, "infer", "tiny_cnn"), key=lambda a: a.manifest["created"])
    assert re.search(r"\((infer|ensemble) \w+\)", new.manifest["tags"]["compared_with"])


def test_a_command_that_scores_and_compares_says_one_thing(home):
    said = run(home, "all", MEMBERS, small=TRAINED)
    assert said.code == 0, said.err
    assert len(re.findall(r"^compared with ", said.out, re.MULTILINE)) == 1, "after the scores are known"
