"""`make tune` through the real stages, on digits small enough for the default tier."""

import contextlib
import io
import re
import shlex
import shutil
import sys
from datetime import date

import pytest
from main_world import artifacts, run

from pipeline import cli
from pipeline.cli import parser
from pipeline.core.errors import ConfigError, StoppedError
from pipeline.core.search_space import Dimension
from pipeline.record import files
from pipeline.record import study as studies
from pipeline.record.study import Plan, Studies, storage_of
from pipeline.settings.load import CONFIGS, load
from pipeline.stages import open_session
from pipeline.train import scoring
from pipeline.train.studies import grid as ablate
from pipeline.tune import budget, trials, winners
from pipeline.tune.winners import StageWinner

WORDS = (
    "competition=digits",
    "competition.demo.limit=200",
    "folds.n=2",
    "statistics.draws=100",
    "runtime.mlflow=false",
    "runtime.threads=1",
    "experiment=tiny_resnet",
)
TRAINED = ("images.size=16", "train.epochs=2", "train.lr=0.005")

TTA = """
space:
  infer.views: {type: subset, always: [identity], of: ["shift(1,1)", "shift(-1,-1)", "rotate(5)"]}
  infer.merge: {type: categorical, choices: [mean, fitted]}
trials: 6
"""


@pytest.fixture
def configs(tmp_path):
    """A checkout's configs, so that a winner is written here."""
    shutil.copytree(CONFIGS, tmp_path / "configs", ignore=shutil.ignore_patterns("tuned-*"))
    return tmp_path / "configs"


def tuned(home, configs, *options, words=TRAINED):
    """One `make tune` in this process, with configs of its own."""
    out = io.StringIO()
    options = parser().parse_args(["tune", *WORDS, *words, f"runtime.home={home}", *options])
    with contextlib.redirect_stdout(out):
        cli.run(options, load(options.settings, configs))
    return out.getvalue()


def space_at(folder, text):
    path = folder / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def points(home):
    found = Studies(storage_of(home), home)
    return [[(t.point, t.values) for t in found.trials(name) if t.is_done] for name in found.names()]


@pytest.mark.slow
def test_a_search_ends_in_both_figures_and_goes_on_where_it_was(tmp_path, configs, monkeypatch):
    monkeypatch.delenv("OPTUNA_STORAGE", raising=False)
    home, space = tmp_path / "home", space_at(tmp_path, TTA)
    said = tuned(home, configs, "--stage", "tta", "--space", space)
    assert "6 trials by tpe; default 0." in said and "cross-fitted: once for each of 2 parts" in said
    assert re.search(r"default +0\.\d+ in the search, 0\.\d+ re-tested", said)
    assert "Nothing better was found" in said or "adopt it with: experiment=tuned-tta-" in said
    written = list(configs.glob("experiment/tuned-*"))
    assert len(written) == ("adopt it with" in said)
    (page,) = home.glob("tuning/tta-*.html")
    text = page.read_text(encoding="utf-8")
    assert text.count("<svg") >= 4 and not re.search("(src|href)=.http", text)
    (before,) = points(home)
    assert len(before) == 6 and before[0][0]["infer.views[shift(1,1)]"] is True
    made = [a for a in artifacts(home, "infer") if "study" in a.manifest]
    assert made and len(artifacts(home, "train")) == 1, "all trials share one training"
    listed = run(home, "runs", small=("competition=digits",)).out
    assert listed.count("infer ") == 1, "trials are no one's runs"
    more = tuned(home, configs, "--stage", "tta", "--space", space, "--trials", "8")
    (after,) = points(home)
    assert "6 of them done" in more and after[:6] == before and len(after) == 8


CHEAP = """
space: {infer.merge: {type: categorical, choices: [mean, fitted]}}
sampler: grid
trials: 2
"""


@pytest.mark.slow
def test_what_a_trial_made_becomes_a_run_once_it_is_asked_for(tmp_path, configs, monkeypatch):
    monkeypatch.delenv("OPTUNA_STORAGE", raising=False)
    home = tmp_path / "home"
    tuned(home, configs, "--stage", "tta", "--space", space_at(tmp_path, CHEAP))
    small = (*WORDS, *TRAINED)
    assert sum("study" in a.manifest for a in artifacts(home, "infer")) == 1
    said = run(home, "infer", "infer.merge=fitted", small=small)
    assert said.code == 0 and "reused" in said.out
    assert not any("study" in a.manifest for a in artifacts(home, "infer"))


@pytest.mark.slow
def test_a_search_without_a_re_test_draws_none(tmp_path, configs, monkeypatch):
    monkeypatch.delenv("OPTUNA_STORAGE", raising=False)
    general = configs / "config.yaml"
    general.write_text(general.read_text(encoding="utf-8") + "infer: {merge: fitted}\n", encoding="utf-8")
    said = tuned(tmp_path / "home", configs, "--stage", "tta", "--space", space_at(tmp_path, CHEAP))
    assert "nothing to test again" in said
    (page,) = tmp_path.glob("home/tuning/tta-*.html")
    answer, history, _ = page.read_text(encoding="utf-8").partition('<section id="history">')
    assert history and "Nothing to draw." not in answer


TRAIN = """
space: {train.lr: {type: float, low: 1e-6, high: 1e-2, log: true}}
known_good: [{train.lr: 0.002}, {train.lr: 1e-6}]
pruner: median
warmup_trials: 2
retest_top: 1
retest_seeds: [7, 8]
trials: 4
"""


@pytest.mark.slow
def test_hopeless_trainings_end_early_and_leave_nothing_half_made(tmp_path, configs, monkeypatch):
    monkeypatch.delenv("OPTUNA_STORAGE", raising=False)
    home = tmp_path / "home"
    space = space_at(tmp_path, TRAIN)
    said = tuned(home, configs, "--stage", "train", "--space", space, words=TRAINED[:2])
    found = Studies(storage_of(home), home)
    (name,) = found.names()
    states = [t.state for t in found.trials(name)]
    assert states[:2] == ["complete"] * 2 and states[2] == "pruned"
    assert "re-test" in said or "nothing to test again" in said
    assert not list(home.glob("work/fold/*")), "no checkpoint of a pruned trial is left"
    artifacts(home)  # none is half-made


def test_whoever_watches_a_training_may_end_it():
    told = []
    watch = scoring.stoppable(lambda *entry: bool(told.append(entry)), lambda fold, epoch, entry: epoch < 1)
    assert watch(0, 0, {"valid_score": 0.1})
    with pytest.raises(StoppedError, match="fold 0 was stopped after epoch 2"):
        watch(0, 1, {"valid_score": 0.1})
    assert len(told) == 2


@pytest.mark.parametrize(
    ("options", "space", "what"),
    [
        (
            ("--stage", "tta"),
            "space: {infer.vews: {type: subset}}",
            "infer.vews: no such setting; did you mean views",
        ),
        (("--stage", "tta"), "space: {}", "is empty"),
        (
            ("--stage", "tta"),
            "space: {train.lr: {type: float, low: 0.1, high: 1}}",
            "does not belong to this stage",
        ),
        (
            ("--stage", "train"),
            "space: {train.lr: {type: float, low: 0.1, high: 99}}",
            "should be less than or equal to 10",
        ),
        (
            ("--stage", "train"),
            "space: {train.lr: {type: float, low: 1e-3, high: 1e-2}}\nretest_seeds: [7, 0]",
            "retest_seeds: 0 is a seed of the search",
        ),
        (
            ("--stage", "tta"),
            'space: {infer.views: {type: subset, of: ["rotat(5)"]}}',
            "no view is called 'rotat'",
        ),
        (
            ("--stage", "tta"),
            "space: {infer.merge: {type: categorical, choices: [fitted]}}",
            "infer.merge: one value only, so there is nothing to vary",
        ),
        (("--stage", "tta"), "space:", "is empty"),
        (("--stage", "ttta"), CHEAP, "STAGE=ttta cannot be tuned"),
        (("--stage", "tta", "--budget", "5m"), CHEAP, "BUDGET=5m: BUDGET is now called TIME"),
        (("--stage", "tta", "--timeout", "1h"), CHEAP, "make tune STAGE=tta TIME=1h"),
        (("--stage", "tta", "--trials", "0"), CHEAP, "TRIALS=0: must be at least 1"),
        (("--stage", "tta", "--time", "soon"), CHEAP, "TIME=soon is not a duration"),
        (("--stage", "all"), CHEAP, "STAGE=all needs a TIME"),
        (
            ("--stage", "train"),
            "second: ms_per_image\n" + TRAIN.replace("pruner: median", ""),
            "does not measure time per image",
        ),
    ],
)
def test_bad_input_is_refused_before_any_work(tmp_path, configs, options, space, what):
    home = tmp_path / "home"
    with pytest.raises(ConfigError) as error:
        tuned(home, configs, *options, "--space", space_at(tmp_path, space), words=("images.size=16",))
    assert what in str(error.value)
    assert not list(home.glob("artifacts/[!.]*")) and not list(home.glob("optuna.db"))


@pytest.mark.slow
def test_a_budget_that_nothing_fits_into_is_one_error(tmp_path, configs, monkeypatch):
    monkeypatch.delenv("OPTUNA_STORAGE", raising=False)
    with pytest.raises(ConfigError, match="TIME=1s is too short for any stage"):
        tuned(tmp_path / "home", configs, "--stage", "all", "--time", "1s", words=TRAINED[1:])
    assert not list(tmp_path.glob("home/artifacts/fold/*"))


def test_what_is_for_one_stage_is_refused_for_all(tmp_path, configs):
    for options, what in (
        (("--time", "9m", "--jobs", "2"), "JOBS is for one stage only"),
        (("--budget", "9m"), "make tune STAGE=all TIME=9m"),
        (("--time", "9m", "--trials", "0"), "TRIALS=0: must be at least 1"),
    ):
        with pytest.raises(ConfigError, match=re.escape(what)):
            tuned(tmp_path / "home", configs, "--stage", "all", *options)


def test_winners_of_several_stages_are_tested_together_and_laid_over_each_other(tmp_path, configs):
    ctx = open_session(load([*WORDS, f"runtime.home={tmp_path}"], configs))
    (configs / "experiment" / "rate.yaml").write_text("uses: {experiment: probe}\ntrain: {lr: 0.5}", "utf-8")
    rate = StageWinner("train", "tiny_resnet", {"train.lr": 0.5}, "rate")
    pixels = StageWinner("eda", "probe", {"images.size": 24}, "debug")
    rows = StageWinner("resample", "probe", {"resample.method": "smote"}, "rows")
    views = StageWinner("tta", "tiny_resnet", {"infer.merge": "fitted"}, "debug")
    told = "\n".join(winners.next_steps(ctx, [pixels, rows, rate, views], date(2026, 11, 22)))
    (grid,) = tmp_path.glob("tuning/together-*.yaml")
    assert f"make ablate GRID={grid}" in told and "rows is for experiment=probe only" in told
    arms = ablate.arms(ablate.read(grid))
    assert [arm.values for arm in arms] == [{}, {"images.size": 24, "train.lr": 0.5}]
    assert f"runtime.home={tmp_path}" in told and "../" not in told, "a command works where it is pasted"
    laid = re.search(r'make infer ARGS="(.*)"', told)[1]
    found = load(shlex.split(laid), configs)
    assert found.experiment == "tiny_resnet+debug+rate+debug" and found.config.train.lr == 0.5
    assert found.config.model.name == load(["experiment=tiny_resnet"], configs).config.model.name
    assert winners.next_steps(ctx, [], date(2026, 11, 22)) == []
    assert winners.next_steps(ctx, [rate], date(2026, 11, 22)) == []


@pytest.mark.slow
def test_a_search_that_is_stopped_leaves_its_run_with_its_trials(tmp_path, configs, monkeypatch):
    monkeypatch.delenv("OPTUNA_STORAGE", raising=False)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    from mlflow import MlflowClient

    home, space, whole = tmp_path / "home", space_at(tmp_path, TTA), trials.steps

    def recorded():
        client = MlflowClient(f"sqlite:///{home}/mlflow.db")
        place = [e.experiment_id for e in client.search_experiments()]
        (run,) = (r for r in client.search_runs(place, "tags.stage = 'tune'") if "trial" not in r.data.tags)
        beneath = client.search_runs(place, f"tags.`mlflow.parentRunId` = '{run.info.run_id}'")
        return run, beneath, [a.path for a in client.list_artifacts(run.info.run_id)]

    def stopped(bench, study, trial, at_once):
        if trial.number == 3:
            study.drop(trial.number)
            raise KeyboardInterrupt
        return whole(bench, study, trial, at_once)

    words = tuple(w for w in WORDS if w != "runtime.mlflow=false")
    monkeypatch.setattr(sys.modules[__name__], "WORDS", words)
    monkeypatch.setattr(trials, "steps", stopped)
    with pytest.raises(KeyboardInterrupt):
        tuned(home, configs, "--stage", "tta", "--space", space)
    run, beneath, _ = recorded()
    assert run.info.status == "KILLED" and run.data.metrics["trials"] == 3
    assert sorted(r.data.tags["trial"] for r in beneath) == ["0", "1", "2"]
    monkeypatch.setattr(trials, "steps", whole)
    tuned(home, configs, "--stage", "tta", "--space", space)
    run, beneath, pages = recorded()
    assert run.info.status == "FINISHED" and len(beneath) == 6 == run.data.metrics["trials"]
    assert len(pages) == 1 and pages[0].endswith(".html")


def test_an_override_of_what_is_varied_is_refused(tmp_path, configs):
    with pytest.raises(ConfigError, match=r"(?s)also varied by the search space.*infer\.merge"):
        tuned(
            tmp_path,
            configs,
            "--stage",
            "tta",
            "--space",
            space_at(tmp_path, CHEAP),
            words=("infer.merge=mean",),
        )


@pytest.mark.slow
def test_a_time_too_short_for_one_trial_and_a_study_of_another_space_are_refused(
    tmp_path, configs, monkeypatch
):
    monkeypatch.delenv("OPTUNA_STORAGE", raising=False)
    home, space = tmp_path / "home", space_at(tmp_path, CHEAP)
    tuned(home, configs, "--stage", "tta", "--space", space)
    (name,) = Studies(storage_of(home), home).names()
    with pytest.raises(ConfigError, match=r"TIME=0.001s is too short: one trial of tta takes about"):
        tuned(home, configs, "--stage", "tta", "--space", space, "--time", "0.001s")
    with pytest.raises(ConfigError, match="searched another space"):
        tuned(home, configs, "--stage", "tta", "--space", space_at(tmp_path, TTA), "--study", name)
    monkeypatch.setenv("OPTUNA_STORAGE", "postgresql://me@127.0.0.1:9/none")
    said = run(home, "tune", *TRAINED, small=WORDS, options=("--stage", "tta", "--space", space))
    assert said.code == 2 and "cannot be reached" in said.err


def test_a_budget_goes_where_trials_promise_most():
    def study(maximise, *scores):
        found = studies.in_memory(Plan("s", (Dimension("x", "float", 0, 1),), (maximise,), "random"))
        for score in scores:
            found.tell(found.ask(99).number, [score])
        return found

    wide, narrow = study(True, 0.5, 0.6, 0.4, 0.55), study(True, 0.5, 0.501, 0.499, 0.5)
    assert budget.promise(wide, 2.0) > 10 * budget.promise(narrow, 2.0) > 0
    assert budget.promise(wide, 20.0) == pytest.approx(budget.promise(wide, 2.0) / 10)
    assert budget.promise(study(False, -0.5, -0.6, -0.4, -0.55), 2.0) == pytest.approx(
        budget.promise(wide, 2.0)
    )
    assert budget.promise(study(True, 0.5, 0.5, 0.5), 2.0) == 0


@pytest.mark.slow
def test_views_that_were_looked_up_are_those_that_the_networks_would_say(tmp_path):
    small = (*WORDS, *TRAINED)
    first, second = 'infer.views=[identity,"shift(1,1)"]', 'infer.views=["rotate(5)","shift(1,1)",identity]'
    for home, words in (("warm", (first, second)), ("cold", (second,))):
        assert all(run(tmp_path / home, "infer", word, small=small).code == 0 for word in words)
    (cold,) = artifacts(tmp_path / "cold", "views")
    (warm,) = (a for a in artifacts(tmp_path / "warm", "views") if a.key == cold.key)
    for name in ("fold0.npz", "fold1.npz", "test.npz"):
        a, b = (files.read_views(x.folder / name, name) for x in (warm, cold))
        assert a.views == b.views == ("rotate(5)", "shift(1,1)", "identity")
        assert (a.p_VNC == b.p_VNC).all() and (a.ids_N == b.ids_N).all()


@pytest.mark.slow
def test_all_stages_share_a_budget_and_what_was_searched_is_tested(tmp_path, configs, monkeypatch):
    monkeypatch.delenv("OPTUNA_STORAGE", raising=False)
    options = ("--stage", "all", "--time", "90s", "--trials", "6")
    said = tuned(tmp_path / "home", configs, *options, words=TRAINED)
    told = said[said.index("tune all") :]
    assert re.search(r"tune all +\d\.\d of 1\.5 min", told), told
    lines = {
        stage: line for line in told.splitlines() for stage in budget.ORDER if line.strip().startswith(stage)
    }
    assert set(lines) == set(budget.ORDER), "every stage is told of"
    tested = [stage for stage, line in lines.items() if "re-tested" in line or "nothing better" in line]
    assert tested and all("not tuned: " in lines[s] for s in lines if s not in tested)
    assert all(re.search(r" [2-6] trials ", lines[stage]) for stage in tested)
