"""Whole commands on real digits: exit codes, what is printed, what is reused, what bad input does."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from main_world import MEMBERS, READ_BY_EDA, SMALL, artifacts, equal, ledger, named, run, stamps, weights

from pipeline import cli
from pipeline.cli import COMMANDS, function_of, main
from pipeline.engine.naming import label_of
from pipeline.stages import open_session

CHECKOUT = Path(__file__).resolve().parent.parent
RESNET = "experiment=tiny_resnet"


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """`make all` once; (home, what it said)."""
    home = tmp_path_factory.mktemp("made")
    return home, run(home, "all", MEMBERS)


@pytest.fixture
def copied(made, tmp_path):
    """A home of one's own with everything in it."""
    return Path(shutil.copytree(made[0], tmp_path / "home"))


def test_all_tells_what_it_did_and_sums_it_up(made):
    home, said = made
    assert said.code == 0 and "Traceback" not in said.err
    for stage in ("data", "eda", "fold", "train", "infer", "ensemble", "error-analysis"):
        assert re.search(rf"^{stage} +\S+.* \d+\.\d s  [0-9a-f]{{8}}$", said.out, re.MULTILINE), stage
    summary = said.out[said.out.index("Handwritten digits") :]
    assert re.search(r"pooled OOF macro_f1 +0\.\d{4}  95 % interval \[0\.\d{4}, 0\.\d{4}\]", summary)
    assert re.search(r"against best member +[+-]\d\.\d{4} \[", summary)
    assert re.search(r"public score +0\.\d{4}$", summary, re.MULTILINE)
    assert re.search(r"seconds .*; \d+ in all", summary)
    assert "MLflow" not in summary, "nothing was recorded there: runtime.mlflow=false"
    for what in ("submission", "error report"):
        path = re.search(rf"^  {what} +(\S+)$", summary, re.MULTILINE)
        assert (home / path.group(1)).stat().st_size > 0
    for path in re.findall(r"^report: (\S+)$", said.out, re.MULTILINE):
        assert "<html" in (home / path).read_text(encoding="utf-8")


def test_the_submission_answers_exactly_the_sample(made):
    home, _ = made
    (path,) = (home / "submissions").glob("digits-ensemble-*.csv")
    sample = next((home / "data").glob("digits-*")) / "sample_submission.csv"
    with path.open(encoding="utf-8", newline="") as mine, sample.open(encoding="utf-8", newline="") as host:
        rows, asked = list(csv.reader(mine)), list(csv.reader(host))
    assert rows[0] == asked[0] and [r[0] for r in rows] == [r[0] for r in asked]
    assert all(r[1] in set("0123456789") for r in rows[1:])
    provenance = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    assert provenance["artifact"] == f"ensemble/{artifacts(home, 'ensemble')[0].key}"
    assert set(provenance["blend"]["weights"]) == {"tiny_resnet", "tiny_cnn"}


def test_every_submission_has_a_line_with_its_public_score_only(made):
    rows = ledger(made[0])
    assert sorted(r["kind"] for r in rows.values()) == ["blend", "member", "member"]
    for row in rows.values():
        assert 0 <= float(row["public"]) <= 1 and row["private"] == "" and row["looks"] == "0"
        assert float(row["oof_low"]) <= float(row["oof"]) <= float(row["oof_high"])


def test_the_ensemble_is_held_against_the_best_other_run_members_included(copied):
    """Equal weights: by fitted ones the blend of these two is one of them alone."""
    assert run(copied, "ensemble", MEMBERS, "ensemble.method=mean").code == 0
    (blend,) = [
        a for a in artifacts(copied, "ensemble") if a.manifest["config"]["ensemble"]["method"] == "mean"
    ]
    others = [a for a in artifacts(copied) if a.stage == "infer"]
    best = max(others, key=lambda a: a.metrics["oof_macro_f1"])
    named_best = f"{label_of(best)} ({best.stage} {best.key[:8]})"
    assert named_best.startswith(f"{best.manifest['experiment']} images.size=16 train.epochs=1 ")
    assert len(others) == 2 and blend.manifest["tags"]["compared_with"] == named_best
    gain = blend.metrics["oof_macro_f1"] - best.metrics["oof_macro_f1"]
    assert blend.metrics["delta_vs_best"] == pytest.approx(gain, abs=1e-6)
    assert blend.metrics["delta_vs_member"] == pytest.approx(gain, abs=1e-6)


@pytest.mark.slow
def test_a_run_is_compared_with_an_earlier_one_of_the_same_name_but_never_with_itself(tmp_path):
    """Another seed of one experiment is a rival; what was trained on the way to a result is none."""
    first = run(tmp_path, "train", RESNET)
    assert first.code == 0 and "against " not in first.out
    (earlier,) = named(tmp_path, "train")
    title = f"{label_of(earlier)} (train {earlier.key[:8]})"
    rival = f"against {title}, the best earlier training on one view by out-of-fold score:"
    second = run(tmp_path, "infer", RESNET, "train.seed=5")
    assert second.code == 0 and second.out.count(rival) == 1 and second.out.count("against tiny_resnet ") == 1
    assert "no other submission to compare it with yet" in second.out
    third = run(tmp_path, "infer", RESNET, "train.seed=5", "infer.views=[identity]")
    assert third.out.count("compared with digits-tiny_resnet-") == 1, "other views of one training"


@pytest.mark.slow
def test_auto_blends_every_finished_run_and_tells_seeds_apart(copied):
    assert run(copied, "infer", RESNET, "train.seed=5").code == 0
    small = [*READ_BY_EDA, "statistics.draws=100"]
    said = run(copied, "ensemble", "ensemble.members=[auto]", small=small)
    assert said.code == 0, said.err
    (blend,) = [
        a for a in artifacts(copied, "ensemble") if a.manifest["config"]["ensemble"]["members"] == ["auto"]
    ]
    labels = {label_of(a) for a in artifacts(copied, "infer")}
    assert len(labels) == 3 and set(blend.json("blend.json")["members"]) == labels
    assert sum("train.seed=5" in label for label in labels) == 1
    assert [row["kind"] for row in ledger(copied).values()].count("member") == 3


def test_again_reuses_everything(made):
    home, _ = made
    before = stamps(home)
    said = run(home, "all", MEMBERS)
    assert said.code == 0 and "seconds                 everything was reused;" in said.out
    assert stamps(home) == before
    assert len(re.findall(r" reused  [0-9a-f]{8}$", said.out, re.MULTILINE)) >= 4


def test_a_finished_ensemble_answers_without_torch(made):
    home, _ = made
    words = ["ensemble", *SMALL, f"runtime.home={home}", MEMBERS]
    code = (
        "import sys; from pipeline.cli import main; "
        f"assert main({words!r}) == 0; "
        "heavy = [m for m in ('torch', 'mlflow', 'optuna') if m in sys.modules]; "
        "assert heavy == [], heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^ensemble .* reused", done.stdout, re.MULTILINE)


@pytest.mark.slow
def test_folds_one_by_one_equal_folds_together(made, tmp_path):
    """Fold 0 alone in another home, then the rest: nothing is retrained, and every bit is the same."""
    together = weights(made[0])
    first = run(tmp_path, "train", RESNET, "train.folds=[0]")
    assert first.code == 0 and "1 of 1 folds to train" in first.out and " of 150 images" in first.out
    before = stamps(tmp_path)
    infer = run(tmp_path, "infer", RESNET, "train.folds=[0]")
    assert infer.code == 0 and "no submission: only folds [0] are trained" in infer.out
    rest = run(tmp_path, "train", RESNET)
    assert rest.code == 0 and "1 of 2 folds to train" in rest.out and "fold 0" not in rest.out
    after = stamps(tmp_path)
    assert {key: after[key] for key in before} == before
    alone = weights(tmp_path)
    assert alone.keys() == together.keys() == {0, 1}
    assert all(equal(alone[k], together[k]) for k in alone)
    assert not equal(alone[0], alone[1])
    assert {a.key for a in named(tmp_path, "train")} > {a.key for a in named(made[0], "train")}


@pytest.mark.slow
@pytest.mark.parametrize("command", ["ensemble", "all", "error-analysis"])
def test_some_folds_alone_submit_nothing(copied, command):
    shutil.rmtree(copied / "submissions")
    said = run(copied, command, MEMBERS, "train.folds=[0]")
    assert said.code == 0, said.err
    assert "no submission: only folds [0] are trained" in said.out
    assert not re.search(r"^submission: ", said.out, re.MULTILINE)
    assert not list(copied.glob("submissions/*"))
    (part,) = [a for a in artifacts(copied, "ensemble") if a.metrics["complete"] == 0.0]
    assert part.metrics["images_scored"] < 150


def test_one_fold_has_no_spread_between_folds(copied):
    assert run(copied, "train", RESNET, "train.folds=[0]").code == 0
    spreads = {a.metrics["complete"]: "fold_std" in a.metrics for a in named(copied, "train")}
    assert spreads == {0.0: False, 1.0: True}


def test_a_change_upstream_never_meets_a_stale_downstream(copied):
    before = {a.key for a in artifacts(copied)}
    words = [w for w in SMALL if not w.startswith("images.size")]
    said = run(copied, "train", RESNET, "images.size=24", small=words)
    assert said.code == 0
    new = {f"{a.stage}/{a.key}": a for a in artifacts(copied) if a.key not in before}
    assert sorted(a.stage for a in new.values()) == ["fold", "fold", "train", "train_prepared"]
    (prepared,) = (name for name, a in new.items() if a.stage == "train_prepared")
    for artifact in new.values():
        if artifact.stage == "fold":
            assert artifact.inputs["prepared"] == prepared
        if artifact.stage == "train":
            assert {artifact.inputs["fold0"], artifact.inputs["fold1"]} <= new.keys()
    assert " reused" in run(copied, "train", RESNET).out, "the old setting finds its old result"


def test_a_damaged_fold_is_made_again_with_the_same_bits(copied):
    together = weights(copied)
    fold = next(a for a in named(copied, "fold") if a.manifest["config"]["fold"] == 1)
    path = fold.folder / "weights.pt"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    train = named(copied, "train")[0]
    shutil.rmtree(train.folder)
    said = run(copied, "train", RESNET)
    assert said.code == 0 and "is damaged" in said.err and "1 of 2 folds to train" in said.out
    assert equal(weights(copied)[1], together[1])


def test_score_shows_the_private_half_only_when_asked_and_counts_looks(copied):
    name = next(n for n, row in ledger(copied).items() if row["kind"] == "blend")
    file = f"--file={copied}/submissions/{name}.csv"
    plain = run(copied, "score", options=[file])
    assert plain.code == 0 and re.search(rf"^{name} +OOF 0\.\d+  public 0\.\d+$", plain.out, re.MULTILINE)
    assert not re.search(r"private (0\.|looked)", plain.out) and ledger(copied)[name]["private"] == ""
    for look in (1, 2):
        said = run(copied, "score", options=[file, "--reveal"])
        assert re.search(rf"private 0\.\d+ \(looked at {look}×\)", said.out)
        assert ledger(copied)[name]["looks"] == str(look)
    again = run(copied, "score", options=[file])
    assert "private 0." not in again.out and "(private looked at 2×)" in again.out
    everything = run(copied, "score")
    assert "private 0." not in everything.out and ledger(copied)[name]["private"] != ""
    others = [row for other, row in ledger(copied).items() if other != name]
    assert all(row["private"] == "" and row["looks"] == "0" for row in others)


def test_score_of_everything_scores_the_unscored_and_else_shows_the_ledger(copied):
    said = run(copied, "score")
    first, *shown, last = [line for line in said.out.splitlines() if not line.startswith("home page: ")]
    assert said.code == 0 and len(shown) == 3 and "private" not in said.out
    assert first.startswith("competition     digits") and last.startswith("next: make leaderboard ARGS=")
    assert len(run(copied, "score", options=["--reveal"]).out.splitlines()) == 3 + 3
    assert {row["looks"] for row in ledger(copied).values()} == {"1"}


def test_what_the_host_said_of_an_outside_file(copied):
    theirs = copied / "team" / "kernel_v3.csv"
    theirs.parent.mkdir()
    shutil.copy(next((copied / "submissions").glob("digits-tiny_cnn-*.csv")), theirs)
    said = run(copied, "score", options=[f"--file={theirs}", "--public=0.71"])
    assert said.code == 0 and "public 0.7100" in said.out and "private" not in said.out
    row = ledger(copied)["kernel_v3"]
    assert (row["kind"], row["public"], row["oof"]) == ("outside", "0.71", "")
    kept = copied / "submissions" / "kernel_v3.csv"
    assert kept.read_bytes() == theirs.read_bytes()
    theirs.unlink()
    said = run(copied, "score", options=["--file=kernel_v3.csv", "--private=0.69"])
    assert said.code == 0 and "private 0.6900 (looked at 1×)" in said.out, "what was just typed is shown"
    row = ledger(copied)["kernel_v3"]
    assert (row["public"], row["private"], row["looks"]) == ("0.71", "0.69", "1")
    assert "0.69" not in run(copied, "score").out
    # Without a figure it is scored here, as the demo has its answers.
    assert run(copied, "score", options=["--file=kernel_v3.csv"]).code == 0
    assert 0 <= float(ledger(copied)["kernel_v3"]["public"]) <= 1


def test_a_file_is_not_taken_for_another_submission_of_its_name(copied):
    one, two = sorted((copied / "submissions").glob("digits-*.csv"))[:2]
    theirs = copied / "team" / one.name
    theirs.parent.mkdir()
    shutil.copy(two, theirs)
    before = ledger(copied)
    for options in (["--public=0.71"], []):
        said = run(copied, "score", options=[f"--file={theirs}", *options])
        assert said.code == 2 and "another submission has this name" in said.err and ledger(copied) == before
    shutil.copy(one, theirs)
    assert run(copied, "score", options=[f"--file={theirs}"]).code == 0, "the same answers are the same file"
    path = copied / "submissions" / "leaderboard.csv"
    path.write_text(path.read_text().replace(",digits,", ",pets,"))
    said = run(copied, "score", options=[f"--file={one}", "--public=0.7"])
    assert (
        said.code == 2
        and f"{one.stem} is a submission to pets, and the current competition is digits" in said.err
    )


def test_error_analysis_of_two_named_files(copied):
    one, two = sorted((copied / "submissions").glob("digits-*.csv"))[:2]
    outside = copied / "theirs.csv"
    outside.write_bytes(two.read_bytes())
    small = [w for w in READ_BY_EDA if w != "competition.demo.limit=200"]
    words = ["competition.demo.limit=200", "statistics.draws=100"]
    said = run(copied, "error-analysis", *words, small=small, options=[f"--a={one}", f"--b={outside}"])
    assert said.code == 0, said.err
    report = re.search(r"^report: (\S+)$", said.out, re.MULTILINE).group(1)
    assert "theirs" in (copied / report).read_text(encoding="utf-8")


def test_runs_lists_each_run_and_what_differs(made):
    said = run(made[0], "runs")
    assert said.code == 0
    for stage in ("infer", "ensemble"):
        assert re.search(rf"^{stage} +\S+ .* [0-9a-f]{{8}} +0\.\d{{4}} \[", said.out, re.MULTILINE)
    assert not re.search("^train ", said.out, re.MULTILINE), (
        "each has an inference, which is the same network"
    )
    assert "blend of 2: " in said.out and " <0.1  20" in said.out and " 0.0  20" not in said.out
    assert 'model.name="test_resnet"' in said.out and 'model.name="mobilenetv3_small_050"' in said.out
    differ = [line for line in said.out.splitlines() if line.strip().startswith("differs:")]
    assert differ and "train.epochs=" not in "".join(differ), "what all runs share is no difference"
    assert "tiny_cnn images.size=16 train.epochs=1 " in said.out, "the name of files alone is another run"


def test_du_names_every_kind_of_result(made):
    said = run(made[0], "du")
    assert said.code == 0
    for name in ("artifacts/fold", "artifacts/ensemble", "data", "submissions", "free on this disk"):
        assert re.search(rf"^{name} .*\d MB", said.out, re.MULTILINE)


def test_gc_frees_what_nothing_needs_and_keeps_the_rest(copied):
    run(copied, "train", RESNET, "train.seed=5")
    everything = {a.key for a in artifacts(copied)}
    loose = {a.key for a in artifacts(copied) if a.manifest["config"].get("train", {}).get("seed") == 5}
    assert len(loose) == 2
    dry = run(copied, "gc", options=["--dry"])
    assert "would free" in dry.out and {a.key for a in artifacts(copied)} == everything
    said = run(copied, "gc")
    assert said.code == 0 and re.search(r"^freed \d+\.\d MB in \d+ results", said.out, re.MULTILINE)
    left = {a.key for a in artifacts(copied)}
    assert not left & loose
    kept = {a.stage for a in artifacts(copied)}
    with_test = {"data", "images", "prepared"}
    predicted = {"folds", "fold", "train", "views", "infer", "ensemble"}
    assert kept == with_test | {f"train_{name}" for name in with_test} | predicted
    again = run(copied, "ensemble", MEMBERS)
    assert again.code == 0 and re.search(r"^ensemble .* reused", again.out, re.MULTILINE)
    # Its page is made again; no submission needs it.
    assert {a.key for a in artifacts(copied) if a.stage != "cost"} == left


def test_a_pin_keeps_a_result_and_what_it_is_made_of(copied):
    run(copied, "train", RESNET, "train.seed=5")
    (pinned,) = [a for a in named(copied, "train") if a.manifest["settings"]["train"]["seed"] == 5]
    said = run(copied, "pin", options=[f"--key={pinned.key[:8]}"])
    assert said.code == 0 and f"\npinned train/{pinned.key} (tiny_resnet)\n" in said.out
    run(copied, "gc")
    left = {f"{a.stage}/{a.key}" for a in artifacts(copied)}
    assert {f"train/{pinned.key}", *pinned.inputs.values()} <= left
    unknown = run(copied, "pin", options=["--key=zzzz"])
    assert unknown.code == 2 and "zzzz: 0 results" in unknown.err


def test_gc_waits_for_who_is_at_work_between_two_results_and_the_next_one_for_gc(copied):
    from threading import Thread

    from pipeline.settings.load import load

    settings = load([*SMALL, f"runtime.home={copied}"])
    before = {a.key for a in artifacts(copied)}
    with open_session(settings).using():
        said = run(copied, "gc")
        assert said.code == 2 and f"process-{os.getpid()}" in said.err and "let it finish first" in said.err
        assert {a.key for a in artifacts(copied)} == before
        assert (
            run(copied, "du").code
            == run(copied, "runs").code
            == run(copied, "gc", options=["--dry"]).code
            == 0
        )
    other = open_session(settings)
    with other.store.freeing():
        waiting = Thread(target=lambda: other.using().__enter__())
        waiting.start()
        waiting.join(0.3)
        assert waiting.is_alive(), "a command begins while results are being freed"
    waiting.join(10)
    assert not waiting.is_alive()


def test_gc_waits_for_who_is_making_something(copied):
    from pipeline.record.files import FileIndex
    from pipeline.record.store import Store

    store = Store(copied, FileIndex(copied / "artifacts" / ".index.json"))
    before = {a.key for a in artifacts(copied)}
    with store.lock("fold", "0" * 16):
        said = run(copied, "gc")
        assert said.code == 2 and "another process is at work" in said.err
        assert run(copied, "gc", options=["--dry"]).code == 0
    assert {a.key for a in artifacts(copied)} == before


def test_config_prints_every_value_and_its_source(tmp_path):
    said = run(tmp_path, "config", "train.lr=1e-2")
    assert said.code == 0
    assert re.search(r"^train\.lr +=.* 0\.01 +override train\.lr$", said.out, re.MULTILINE)
    assert re.search(r'^competition\.name += "digits" +configs/competition/digits\.yaml:\d+$', said.out, re.M)
    assert re.search(r"^train\.weight_decay += 0\.05 +default$", said.out, re.MULTILINE)
    assert not (tmp_path / "artifacts").exists(), "looking at settings makes nothing"


def test_another_format_of_the_same_result_is_written_anew(copied):
    before = stamps(copied)
    said = run(copied, "infer", RESNET, "competition.submission.format=class_name")
    assert said.code == 0, said.err
    path = copied / re.search(r"^submission: (\S+)$", said.out, re.MULTILINE).group(1)
    assert json.loads(path.with_suffix(".json").read_text())["format"]["format"] == "class_name"
    assert stamps(copied) == before


# ---- bad input: exit 2, one message, nothing half-made


def refused(home, command, *words, small=SMALL, options=()):
    said = run(home, command, *words, small=small, options=options)
    assert said.code == 2, said.out + said.err
    assert said.err.count("error: ") == 1 and "Traceback" not in said.err
    if Path(home).is_dir():
        artifacts(home)
        assert not list(Path(home).rglob("*.tmp")) and not list(Path(home).rglob("submissions/*.csv"))
    return said.err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("train.epoch=3",), "train.epoch: unknown key; did you mean epochs"),
        (("experiment=tiny_resnt",), "did you mean tiny_resnet"),
        (("loss.name=hinge",), "`hinge` is not a loss; choose one of cross_entropy, focal"),
        (("infer.views=[identity]", "report.per_class=3"), "infer.views: nothing in this chain reads it"),
        (("model.weights=file:/gone/w.pth",), "there is no file /gone/w.pth"),
        (("model.weights=package:no-such-package",), "no-such-package is not installed"),
    ],
)
def test_bad_settings_build_nothing(tmp_path, words, expected):
    assert expected in refused(tmp_path, "train", *words)
    assert artifacts(tmp_path) == []


@pytest.mark.parametrize(
    ("command", "word", "expected"),
    [
        ("train", "model.name=resnet5", "did you mean resnet50"),
        ("train", "train.optimizer=adamwx", "did you mean adamw"),
        ("train", "augment.policy=lite", "did you mean light"),
        ("train", "competition.metric=macro_f2", "`macro_f2` is not a metric; did you mean macro_f1"),
        ("infer", "infer.views=[identiti]", "did you mean identity"),
    ],
)
def test_unknown_names_are_told_before_any_training(copied, command, word, expected):
    before = {a.key for a in artifacts(copied)}
    small = [w for w in SMALL if not w.startswith("train.epochs")]
    said = run(copied, command, RESNET, word, "train.epochs=2", small=small)
    assert said.code == 2 and expected in said.err and "Traceback" not in said.err
    assert {a.key for a in artifacts(copied)} == before, "nothing was trained or half-made"


def test_weights_that_do_not_fit(copied, tmp_path):
    import timm
    import torch

    torch.save(timm.create_model("test_efficientnet").state_dict(), tmp_path / "other.pth")
    before = {a.key for a in artifacts(copied)}
    said = run(copied, "train", RESNET, f"model.weights=file:{tmp_path}/other.pth")
    assert said.code == 2 and "other.pth" in said.err and "Traceback" not in said.err
    assert {a.key for a in artifacts(copied)} == before


class Files:
    """A competition's folder that tests spoil."""

    def __init__(self, root):
        self.root = root
        # Rules of the settings need no demo; the data lie in this folder.
        left_out = ("competition.demo.limit=200",)
        self.small = [w for w in SMALL if w not in left_out]
        self.words = ["competition.demo=null", "competition.name=mine", f"competition.root={root}", RESNET]

    def edit(self, name, old, new):
        path = self.root / name
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new, 1), encoding="utf-8")

    def rows(self, name="train.csv"):
        return (self.root / name).read_text(encoding="utf-8").splitlines()[1:]

    def train(self, home, *words):
        return refused(home, "train", *self.words, *words, small=self.small)


@pytest.fixture
def mine(made, tmp_path):
    source = next((made[0] / "data").glob("digits-*"))
    return Files(Path(shutil.copytree(source, tmp_path / "mine")))


def test_ones_own_folder_works_as_a_competition(mine, tmp_path):
    said = run(tmp_path / "home", "eda", *mine.words[:3], small=[*READ_BY_EDA[:1], *READ_BY_EDA[2:]])
    assert said.code == 0, said.err
    scored = run(tmp_path / "home", "score", *mine.words[:3], small=mine.small, options=["--file=x.csv"])
    assert scored.code == 2


def test_a_missing_table(mine, tmp_path):
    (mine.root / "train.csv").unlink()
    assert "train.csv: there is no such file" in mine.train(tmp_path / "home")


def test_a_missing_column(mine, tmp_path):
    mine.edit("train.csv", "digit", "digitt")
    assert "no column `digit`; did you mean digitt" in mine.train(tmp_path / "home")


def test_missing_images_all_of_them(mine, tmp_path):
    first, second = sorted((mine.root / "images").glob("*.png"))[:2]
    first.unlink()
    second.unlink()
    message = mine.train(tmp_path / "home")
    assert "2 missing images" in message and first.name in message and second.name in message


def test_images_that_do_not_decode_all_of_them(mine, tmp_path):
    names = [row.split(",")[1] for row in mine.rows()[:2]]
    (mine.root / "images" / names[0]).write_bytes(b"\x89PNG no image")
    (mine.root / "images" / names[1]).write_bytes(b"")
    message = mine.train(tmp_path / "home")
    assert "2 images do not decode" in message and all(name in message for name in names)
    assert "images.quarantine=drop" in message
    made_of = {a.stage for a in artifacts(tmp_path / "home")}
    assert not made_of & {"prepared", "fold", "train"}, "nothing is made of images that nobody saw"
    rest = run(tmp_path / "home", "train", *mine.words, "images.quarantine=drop", small=mine.small)
    assert rest.code == 0 and "2 images of the training set do not decode: left out" in rest.out
    assert all(name in rest.out for name in names)


def wrong_sample(mine):
    mine.edit("sample_submission.csv", mine.rows("sample_submission.csv")[0], "nobody,0")
    return "nobody", ()


def wrong_format(mine):
    return "10 columns missing", ("competition.submission.format=probabilities",)


def no_sample(mine):
    (mine.root / "sample_submission.csv").unlink()
    return "sample_submission.csv: there is no such file", ()


@pytest.mark.parametrize("command", ["infer", "ensemble", "all"])
@pytest.mark.parametrize("spoil", [wrong_sample, wrong_format, no_sample])
def test_a_submission_that_cannot_be_written_is_told_before_any_training(mine, tmp_path, command, spoil):
    expected, words = spoil(mine)
    message = refused(tmp_path / "home", command, *mine.words[:3], *words, small=mine.small)
    assert expected in message and "sample_submission.csv" in message
    assert not {a.stage for a in artifacts(tmp_path / "home")} & {"prepared", "fold", "train", "infer"}


@pytest.mark.parametrize("command", ["infer", "ensemble", "all"])
def test_a_format_that_the_sample_does_not_have_is_told_before_training_on_known_data(copied, command):
    before = {a.key for a in artifacts(copied)}
    words = ("ensemble.members=[tiny_resnet]",) if command != "infer" else (RESNET,)
    said = run(copied, command, *words, "train.seed=5", "competition.submission.format=probabilities")
    assert said.code == 2 and "sample_submission.csv: 10 columns missing" in said.err
    assert {a.key for a in artifacts(copied)} <= before | {a.key for a in artifacts(copied, "resample")}


def test_duplicate_ids(mine, tmp_path):
    first, second = (row.split(",")[0] for row in mine.rows()[:2])
    mine.edit("train.csv", f"{second},", f"{first},")
    message = mine.train(tmp_path / "home")
    assert "1 duplicate id" in message and f"train.csv row 3 (id {first})" in message


def test_an_unknown_label(mine, tmp_path):
    row = mine.rows()[0]
    mine.edit("train.csv", row, row[:-1] + "eleven")
    message = mine.train(tmp_path / "home")
    assert "train.csv row 2" in message and "label 'eleven' is not one of 0, 1" in message


def test_fewer_groups_than_folds(mine, tmp_path):
    path = mine.root / "train.csv"
    head, *rows = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join([f"{head},who", *(f"{row},same" for row in rows)]) + "\n", encoding="utf-8")
    message = mine.train(tmp_path / "home", "competition.group_column=who")
    assert "group" in message and "folds" in message
    assert artifacts(tmp_path / "home", "folds") == []


def test_paths_that_leave_the_image_folder(mine, tmp_path):
    shutil.copy(next((mine.root / "images").glob("*.png")), mine.root / "secret.png")
    name = mine.rows()[0].split(",")[1]
    mine.edit("train.csv", f",{name}", ",../secret.png")
    assert "'../secret.png' is absolute or leaves the image folder" in mine.train(tmp_path / "home")


def test_all_faults_of_the_tables_in_one_message(mine, tmp_path):
    rows = mine.rows()
    mine.edit("train.csv", rows[0], rows[0][:-1])
    mine.edit("train.csv", rows[1], rows[1][:-1] + "x")
    (mine.root / "images" / rows[2].split(",")[1]).unlink()
    message = mine.train(tmp_path / "home")
    assert all(kind in message for kind in ("1 empty label", "1 unknown label", "1 missing image"))
    assert artifacts(tmp_path / "home") == []


def test_a_home_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("I am no folder", encoding="utf-8")
    assert str(tmp_path / "file") in refused(tmp_path / "file" / "home", "train", RESNET)


@pytest.mark.skipif(os.geteuid() == 0, reason="permissions do not bind root")
def test_a_read_only_home(tmp_path):
    tmp_path.chmod(0o500)
    try:
        refused(tmp_path, "train", RESNET)
    finally:
        tmp_path.chmod(0o700)


def test_a_disk_that_fills_up_while_training(copied):
    """The kernel refuses files beyond 100 kB: weights do not fit, everything before does."""
    import resource

    before = stamps(copied)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        said = run(copied, "train", RESNET, "train.seed=9")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert said.code == 2 and "Traceback" not in said.err and "cannot be written" in said.err
    assert stamps(copied) == before
    assert run(copied, "train", RESNET, "train.seed=9").code == 0, "with room again it works"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--public=0.7"], "a score needs the submission"),
        (["--file=gone.csv"], "gone.csv: no such file"),
        (["--file=digits-ensembel-000000.csv", "--public=0.7"], "no such file, and no submission of that"),
    ],
)
def test_scores_that_belong_to_nothing(copied, options, expected):
    before = ledger(copied)
    said = run(copied, "score", options=options)
    assert said.code == 2 and expected in said.err and ledger(copied) == before


def test_a_submission_that_is_not_as_the_sample(copied):
    path = next((copied / "submissions").glob("digits-ensemble-*.csv"))
    rows = path.read_text(encoding="utf-8").splitlines()
    (copied / "short.csv").write_text("\n".join(rows[:-3]) + "\n", encoding="utf-8")
    for options in ([], ["--public=0.7"]):
        said = run(copied, "score", options=[f"--file={copied}/short.csv", *options])
        assert said.code == 2 and "3 ids missing" in said.err and "short" not in ledger(copied)
        assert not (copied / "submissions" / "short.csv").exists()


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def edited(path):
    text = path.read_text(encoding="utf-8").rstrip()
    path.write_text(text[:-1] + str((int(text[-1]) + 1) % 10) + "\n", encoding="utf-8")


def without_provenance(path):
    path.with_suffix(".json").write_text("{", encoding="utf-8")


def test_a_first_submission_is_analysed_alone(copied):
    folder = copied / "submissions"
    first, *others = sorted(folder.glob("digits-tiny_*.csv"))
    for path in (*others, *folder.glob("digits-digits-*.csv"), *folder.glob("digits-ensemble-*.csv")):
        path.unlink()
    ledger = folder / "leaderboard.csv"
    head, *lines = ledger.read_text(encoding="utf-8").splitlines()
    ledger.write_text(
        "\n".join([head, *(x for x in lines if x.startswith(first.stem))]) + "\n", encoding="utf-8"
    )
    said = run(
        copied, "error-analysis", small=[*READ_BY_EDA, "statistics.draws=100"], options=[f"--a={first}"]
    )
    assert said.code == 0 and f"{first.stem}: First submission" in said.out, said.err
    assert "without a comparison" in said.out and "try 1: " in said.out
    page = (copied / re.search(r"^report: (\S+)$", said.out, re.MULTILINE).group(1)).read_text(
        encoding="utf-8"
    )
    sections = re.findall(r'<section id="(\w+)"', page)
    assert sections[:5] == ["verdict", "next", "differs", "attributes", "flips"] and "truth" in sections
    assert "judging" not in sections, "nothing flipped"
    assert "from the second submission on" in page and "wrong out of fold" in page
    assert "of all flips" not in page and "best so far" not in page


@pytest.mark.parametrize("spoil", [cut, edited, without_provenance, Path.unlink])
def test_a_submission_that_is_not_what_was_written_is_written_again(copied, spoil):
    paths = sorted((copied / "submissions").glob("digits-*.csv"))
    before = [path.read_bytes() for path in paths]
    for path in paths:
        spoil(path)
    said = run(copied, "ensemble", MEMBERS)
    assert said.code == 0 and re.search(r"^ensemble .* reused", said.out, re.MULTILINE), said.err
    assert [path.read_bytes() for path in paths] == before
    assert all(json.loads(p.with_suffix(".json").read_text(encoding="utf-8"))["artifact"] for p in paths)


def test_a_submission_follows_a_sample_that_the_host_changed(mine, tmp_path):
    home = tmp_path / "home"
    assert run(home, "infer", *mine.words, small=mine.small).code == 0
    (path,) = (home / "submissions").glob("mine-*.csv")
    sample = mine.root / "sample_submission.csv"
    head, *rows = sample.read_text(encoding="utf-8").splitlines()
    old = dict(line.split(",") for line in path.read_text(encoding="utf-8").splitlines())
    sample.write_text("\n".join([head, *reversed(rows)]) + "\n", encoding="utf-8")
    assert run(home, "infer", *mine.words, small=mine.small).code == 0
    now = [line.split(",") for line in path.read_text(encoding="utf-8").splitlines()]
    assert [name for name, _ in now[1:]] == [row.split(",")[0] for row in reversed(rows)]
    assert dict(now) == old


def test_a_damaged_ledger_is_told_and_left_alone(copied):
    path = copied / "submissions" / "leaderboard.csv"
    text = path.read_text(encoding="utf-8").replace(",blend,", ",blond,")
    path.write_text(text, encoding="utf-8")
    said = run(copied, "score")
    assert said.code == 2 and "'blond' is not one of" in said.err
    before = {a.key for a in artifacts(copied)}
    said = run(copied, "infer", RESNET, "train.seed=5")
    assert said.code == 2 and "'blond' is not one of" in said.err
    assert {a.key for a in artifacts(copied)} == before, "it is told before training"
    assert path.read_text(encoding="utf-8") == text


def test_gc_stops_at_provenance_that_it_cannot_read(copied):
    before = stamps(copied)
    next((copied / "submissions").glob("digits-ensemble-*.json")).write_text("{", encoding="utf-8")
    said = run(copied, "gc")
    assert said.code == 2 and "unreadable provenance" in said.err and stamps(copied) == before


# ---- the command line itself


def test_ctrl_c_exits_130_and_says_that_the_next_run_continues(tmp_path, monkeypatch):
    def interrupted(options, settings):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "run", interrupted)
    said = run(tmp_path, "train", RESNET)
    assert said.code == 130 and "the next run continues here" in said.err and said.out == ""


@pytest.mark.slow
def test_python_without_docstrings_and_assertions_runs_it_too(tmp_path):
    """PYTHONOPTIMIZE=2 is a default of some container images."""
    words = ["-OO", "-m", "pipeline", "config", "competition=digits", f"runtime.home={tmp_path}"]
    said = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False)
    assert said.returncode == 0 and "macro_f1" in said.stdout, said.stderr


def test_help_names_every_command(capsys):
    with pytest.raises(SystemExit) as done:
        main(["--help"])
    text = capsys.readouterr().out
    assert done.value.code == 0
    assert all(re.search(rf"^ +{name}\s+\S", text, re.MULTILINE) for name in (c.name for c in COMMANDS))
    assert len({c.name for c in COMMANDS}) == len(COMMANDS)


def test_every_command_has_a_function():
    assert all(callable(function_of(command.name)) for command in COMMANDS)


@pytest.mark.parametrize("words", [[], ["trian"], ["train", "--nope"], ["score", "--public=high"], ["pin"]])
def test_a_wrong_command_line_exits_2(words, capsys):
    with pytest.raises(SystemExit) as done:
        main(words)
    assert done.value.code == 2 and "usage: " in capsys.readouterr().err


def test_a_run_on_other_folds_than_all_earlier_ones_says_how_to_be_compared(copied):
    three = tuple("folds.n=3" if word == "folds.n=2" else word for word in SMALL)
    said = run(copied, "train", RESNET, small=three)
    assert said.code == 0, said.err
    (line,) = [line for line in said.out.splitlines() if line.startswith("other folds ")]
    assert "folds.n=2 in ARGS makes this one comparable" in line
    again = run(copied, "train", RESNET)
    assert again.code == 0 and "other folds " not in again.out
