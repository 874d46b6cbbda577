"""Whole commands with a budget of time on small digits: they end in time, and go on where they stopped."""

import csv
import json
import re
import shutil
from pathlib import Path

import pytest
from main_world import artifacts, ledger, run

from pipeline.plan import clock, steps
from pipeline.record.files import sha256_file
from pipeline.settings import load as load_settings
from pipeline.settings import read
from pipeline.settings.load import CONFIGS, load
from pipeline.submit import submission

WORDS = (
    *("competition=digits", "competition.demo.limit=200", "folds.n=2", "images.size=16"),
    *("statistics.draws=100", "runtime.mlflow=false", "runtime.threads=1"),
)
PORTFOLIO = """
- name: quick
  experiment: {uses: {experiment: tiny_resnet}, train: {epochs: 2}, infer: {views: [identity]}}
  origin: measured
  source: these tests
- name: slow
  experiment: {uses: {experiment: tiny_cnn}, train: {epochs: 3}, infer: {views: [identity]}}
  origin: measured
  source: these tests
"""


@pytest.fixture(scope="module")
def configs(tmp_path_factory):
    """A folder of settings with a portfolio of tiny networks."""
    folder = tmp_path_factory.mktemp("time") / "configs"
    shutil.copytree(CONFIGS, folder)
    shutil.rmtree(folder / "portfolio")
    (folder / "portfolio").mkdir()
    (folder / "portfolio" / "cpu.yaml").write_text(PORTFOLIO, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def own(configs):
    """Commands that read these settings, and take a time of seconds."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(load_settings, "CONFIGS", configs)
        patched.setattr(read, "CONFIGS", configs)
        patched.setattr(load_settings, "load", lambda words, where=configs: load(words, where))
        patched.setattr(clock, "LEAST", 5.0)
        yield


@pytest.fixture(scope="module")
def made(own, tmp_path_factory):
    """A home in which `make all TIME=40s` has run, and what that said."""
    home = tmp_path_factory.mktemp("time_home")
    return home, in_time(home, "all", "40s")


@pytest.fixture
def home(made):
    return made[0]


def in_time(home, command, time, *words):
    return run(home, command, *words, small=WORDS, options=("--time", time))


@pytest.mark.parametrize("command", ["all", "train", "ensemble", "improve"])
@pytest.mark.parametrize(
    ("time", "what"),
    [("abc", "TIME=abc is not a duration"), ("5s", "TIME=5s is too short: the least is TIME=1m")],
)
def test_a_bad_time_is_one_error_before_any_work(tmp_path, command, time, what):
    said = in_time(tmp_path / "home", command, time)
    assert said.code == 2 and what in said.err and "Traceback" not in said.err
    assert not list((tmp_path / "home").glob("artifacts/[!.]*"))


@pytest.mark.parametrize(
    ("command", "words", "what"),
    [
        ("train", ["train.epochs=3"], "TIME and train.epochs both say how long training takes"),
        ("all", ["train.folds=[0]"], "train.folds=[0] trains some folds only"),
        ("all", ["experiment=debug"], "experiment=debug names one experiment"),
        ("ensemble", ["model=resnet18"], "model=resnet18 names one experiment"),
        ("ensemble", ["train.folds=[1]"], "train.folds=[1] trains some folds only"),
    ],
)
def test_words_that_contradict_a_time_are_refused(tmp_path, command, words, what):
    said = in_time(tmp_path / "home", command, "10m", *words)
    assert said.code == 2 and what in said.err


def test_an_unknown_portfolio_is_refused(tmp_path):
    said = run(tmp_path, "all", small=WORDS, options=("--time", "10m", "--portfolio", "tpu"))
    assert said.code == 2 and "no such file configs/portfolio/tpu.yaml" in said.err


def test_there_is_nothing_to_improve_without_a_submission(tmp_path):
    said = in_time(tmp_path, "improve", "10m")
    assert said.code == 2 and "there is no submission that was made here" in said.err
    assert "make all TIME=30m first" in said.err


@pytest.mark.slow
def test_all_ends_in_time_with_the_best_submission(made):
    home, said = made
    assert said.code == 0, said.out + said.err
    assert re.search(r"^time +40s for make all, until .*portfolio/cpu.yaml$", said.out, re.MULTILINE)
    (ended,) = re.findall(r"^ended +after (\d+) s of 40 s", said.out, re.MULTILINE)
    assert int(ended) <= 90, "on a busy machine: its exact end is held by a clock of its own"
    best = home / "submissions" / "digits-best.csv"
    sample = next((home / "data").glob("digits-*")) / "sample_submission.csv"
    mine, asked = (list(csv.reader(p.read_text(encoding="utf-8").splitlines())) for p in (best, sample))
    assert [row[0] for row in mine] == [row[0] for row in asked] and submission.is_untouched(best)
    names = {a.manifest["experiment"] for a in artifacts(home, "infer")}
    assert names >= {"quick"} and "what each minute bought" in said.out
    (page,) = (home / "plans").glob("digits-*.html")
    assert "<svg" in page.read_text(encoding="utf-8")
    assert said.out.splitlines()[-1].startswith("next: make ")


@pytest.mark.slow
def test_the_stable_name_is_known_to_commands_about_submissions(home):
    best = home / "submissions" / "digits-best.csv"
    name = json.loads(best.with_suffix(".json").read_text(encoding="utf-8"))["name"]
    before = set(ledger(home))
    said = run(home, "score", small=WORDS[:2], options=("--file", str(best), "--public", "0.5"))
    assert said.code == 0, said.err
    rows = ledger(home)
    assert set(rows) == before and float(rows[name]["public"]) == 0.5


@pytest.mark.slow
def test_a_later_command_goes_on_from_there(home):
    before = {a.key for a in artifacts(home, "infer")}
    said = in_time(home, "ensemble", "20s")
    assert said.code == 0, said.out + said.err
    assert re.search(rf"^reused +{len(before)} finished member", said.out, re.MULTILINE)
    assert before <= {a.key for a in artifacts(home, "infer")}


@pytest.mark.slow
def test_a_network_that_has_one_of_its_views_gets_the_others_without_being_trained_again(own, tmp_path):
    words = ("experiment=tiny_resnet", "train.epochs=1", "infer.views=[identity]")
    assert run(tmp_path, "infer", *words, small=WORDS).code == 0
    trained = [made.key for made in artifacts(tmp_path, "train")]
    said = in_time(tmp_path, "ensemble", "60s", "ensemble.members=[tiny_resnet]")
    views = sorted(len(made.setting("infer.views")) for made in artifacts(tmp_path, "infer"))
    assert views == [1, 3] and "tiny_resnet, more views" in said.out
    assert [made.key for made in artifacts(tmp_path, "train")] == trained


@pytest.mark.slow
def test_advice_is_carried_out_and_noted(home):
    said = in_time(home, "improve", "30s")
    assert said.code == 0, said.out + said.err
    assert re.search(r"^improve +\d+ of \d+ pieces? of advice", said.out, re.MULTILINE)
    assert said.out.splitlines()[-1].startswith("next: make submit FILE=")
    carried = said.out.count("\ncarried out ")
    lines = (home / "submissions" / "advice.jsonl").read_text(encoding="utf-8").splitlines()
    assert sum('"outcome"' in line for line in lines) == carried
    assert not list(Path(read.CONFIGS / "experiment").glob("*epochs*")), "nothing is written into configs/"


@pytest.mark.slow
def test_one_experiment_gets_the_epochs_that_fit_and_goes_on_with_them_where_it_was_paused(home):
    said, begun = in_time(home, "train", "45s", "experiment=tiny_cnn"), None
    for _ in range(5):  # on a busy machine a training is paused, and the next command goes on from there
        assert said.code == 0, said.out + said.err
        trained = [a for a in artifacts(home, "train") if a.manifest["experiment"] == "tiny_cnn"]
        if trained:
            break
        planned = re.search(r"train\.epochs=(\d+)", said.out.splitlines()[-1])
        assert planned and begun in (None, planned[1]), "a paused training keeps its epochs"
        begun = planned[1]
        said = in_time(home, "train", "45s", "experiment=tiny_cnn")
    (made,) = trained
    assert made.metrics["complete"] == 1.0
    assert begun in (None, str(made.setting("train.epochs")))


def test_a_file_that_a_person_changed_keeps_the_stable_name(tmp_path):
    made, stable, said = tmp_path / "made.csv", tmp_path / "toy-best.csv", []
    made.write_text("id,label\na,1\n", encoding="utf-8")
    made.with_suffix(".json").write_text("{}", encoding="utf-8")
    assert steps.keep_best(made, stable, said.append) == stable and stable.read_bytes() == made.read_bytes()
    stable.write_text("mine", encoding="utf-8")
    assert steps.keep_best(made, stable, said.append) == made
    assert stable.read_text(encoding="utf-8") == "mine" and "stays as it is" in said[0]


@pytest.mark.parametrize("command", ["all", "train", "ensemble"])
def test_a_portfolio_without_a_time_is_refused(tmp_path, command):
    said = run(tmp_path, command, small=WORDS, options=("--portfolio", "cpu"))
    assert said.code == 2 and "this command needs TIME" in said.err and "e.g. TIME=30m" in said.err


def test_improving_without_a_time_is_refused(tmp_path):
    said = run(tmp_path, "improve", small=WORDS)
    assert said.code == 2 and "this command needs TIME" in said.err


def test_an_override_that_nothing_reads_is_refused_before_any_work(tmp_path):
    said = in_time(tmp_path / "home", "all", "10m", "preview.draws=3")
    assert said.code == 2 and "preview.draws: nothing in this chain reads it" in said.err
    assert not list((tmp_path / "home").glob("artifacts/[!.]*"))


def test_what_a_blend_of_all_runs_refuses_is_refused_before_any_work(tmp_path):
    said = in_time(tmp_path / "home", "ensemble", "10m", "ensemble.refit=true")
    assert said.code == 2 and "needs members by name" in said.err


def test_a_copy_under_the_stable_name_is_the_submission_that_it_was_copied_from(tmp_path):
    folder = tmp_path / "submissions"
    folder.mkdir()
    made, copied = folder / "toy-ensemble-abc.csv", folder / "toy-best.csv"
    for path in (made, copied):
        path.write_text("id,label\na,1\n", encoding="utf-8")
        record = {"name": made.stem, "csv_sha256": sha256_file(path)}
        path.with_suffix(".json").write_text(json.dumps(record), encoding="utf-8")
    assert submission.original(tmp_path, copied) == made == submission.original(tmp_path, made)
    made.write_text("id,label\na,2\n", encoding="utf-8")
    assert submission.original(tmp_path, copied) == copied, "other bytes: it is no copy of that file any more"
    copied.with_suffix(".json").write_text('{"name": "../../etc/x"}', encoding="utf-8")
    assert submission.original(tmp_path, copied) == copied
    record = {"name": "../toy-ensemble-abc", "csv_sha256": sha256_file(copied)}
    copied.with_suffix(".json").write_text(json.dumps(record), encoding="utf-8")
    assert submission.original(tmp_path, copied) == copied, "a name that leads elsewhere is no name"
