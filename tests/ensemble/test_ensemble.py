"""Blends of finished members, of runs by key and of CSVs from elsewhere, as whole commands."""

import csv
import json
import re
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from main_world import MEMBERS, SMALL, artifacts, named, run

from pipeline.record import files

CHECKOUT = Path(__file__).resolve().parents[2]
METHODS = ("mean", "geometric", "rank", "hard", "greedy", "search", "stacking")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A home with two finished members and their blend, and CSVs of one of them beside it."""
    home = tmp_path_factory.mktemp("made")
    said = run(home, "ensemble", MEMBERS)
    assert said.code == 0, said.err
    (member,) = named(home, "infer")
    for split in ("oof", "test"):
        p = files.read_probabilities(member.folder / f"{split}.npz", split)
        rows = [[i, *map(repr, row)] for i, row in zip(p.ids_N.tolist(), p.p_NC.tolist(), strict=True)]
        written(home / f"{split}.csv", [["id", *p.classes], *rows])
        if split == "test":
            labels = zip(p.ids_N.tolist(), p.labels().tolist(), strict=True)
            written(home / "mate.csv", [["id", "label"], *([i, str(c)] for i, c in labels)])
    return home, said


def written(path, rows):
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)


def cells(path):
    with Path(path).open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


@pytest.fixture
def home(made, tmp_path, monkeypatch):
    """A copy of the home with everything in it, and the CSVs in the current folder."""
    copied = Path(shutil.copytree(made[0], tmp_path / "home"))
    monkeypatch.chdir(copied)
    return copied


def blend_of(home, **asked):
    """The one blend whose ensemble settings are these."""
    (found,) = [
        a for a in artifacts(home, "ensemble") if asked.items() <= a.manifest["config"]["ensemble"].items()
    ]
    return found, found.json("blend.json")


def test_the_terminal_shows_the_contribution_of_each_member(home):
    out = run(home, "ensemble", MEMBERS, "ensemble.method=mean").out
    number = r"[+-]\d\.\d{4}"
    for name in ("tiny_resnet", "tiny_cnn"):
        interval = rf"{number} \[{number}, {number}\], (better|worse|can't tell)"
        line = rf"{name} +OOF 0\.\d{{4}}  weight \d\.\d\d  adds {interval}"
        assert re.search(line, out), name
    assert "corrected for 2 comparisons" in out
    assert re.search(r"tiny_cnn +\d+\.\d% +0\.0%", out), "the table of disagreement"
    told = re.search(r"ensemble against its best member .*", out)[0]
    assert re.search(r"\], (better|worse) ", told) or re.search(
        r"about [\d,]+ groups would be needed|no difference", told
    )


@pytest.mark.parametrize("method", METHODS)
def test_every_method_makes_a_submission_with_a_cross_fitted_score(home, method):
    said = run(home, "ensemble", MEMBERS, f"ensemble.method={method}")
    assert said.code == 0 and "submission:" in said.out, said.err
    artifact, blend = blend_of(home, method=method)
    fits = method in ("greedy", "search", "stacking")
    assert ("(optimistic)" in said.out) == fits and (blend["naive"] == blend["crossfitted"] or fits)
    assert artifact.metrics["oof_macro_f1"] == pytest.approx(blend["crossfitted"])
    assert set(blend["contributions"]) == set(blend["weights"]) == {"tiny_resnet", "tiny_cnn"}


def test_temperatures_are_fitted_reported_and_applied_to_the_test_set(home):
    said = run(home, "ensemble", MEMBERS, "ensemble.method=mean", "ensemble.temperature=true")
    assert said.code == 0 and re.search(r"temperature \d+\.\d\d", said.out) and "(optimistic)" in said.out
    artifact, blend = blend_of(home, temperature=True)
    assert set(blend["temperatures"].values()) != {1.0}
    by_hand = []
    for name, heat in blend["temperatures"].items():
        p = files.read_probabilities(named(home, "infer", name)[0].folder / "test.npz", name).p_NC
        cooled = np.maximum(p.astype(np.float64), 1.2e-7) ** (1 / heat)
        by_hand.append(cooled / cooled.sum(axis=1, keepdims=True))
    found = files.read_probabilities(artifact.folder / "test.npz", "test").p_NC
    np.testing.assert_allclose(found, np.mean(by_hand, axis=0), atol=1e-5)


def test_given_weights_by_name(home):
    said = run(home, "ensemble", MEMBERS, "ensemble.weights={tiny_resnet: 3}")
    assert said.code == 0 and "(optimistic)" not in said.out
    _, blend = blend_of(home, weights={"tiny_resnet": 3.0})
    assert blend["weights"] == {"tiny_resnet": 0.75, "tiny_cnn": 0.25}


def test_a_blend_that_is_one_member_alone_is_that_member_everywhere(home):
    alone = ("ensemble.method=weighted", "ensemble.weights={tiny_cnn: 1, tiny_resnet: 0}")
    said = run(home, "ensemble", MEMBERS, *alone)
    assert said.code == 0, said.err
    assert "the blend is tiny_cnn alone" in said.out
    assert not re.search(r"best member tiny_cnn.*(worse|better)", said.out)
    blend = max(artifacts(home, "ensemble"), key=lambda a: a.manifest["created"])
    assert blend.json("blend.json")["only_member"] == "tiny_cnn"
    page = next(a for a in artifacts(home, "cost") if a.inputs["ensemble"] == blend.address)
    assert "is tiny_cnn alone" in (page.folder / "ensemble.html").read_text(encoding="utf-8")
    ledger = [p.stem for p in (home / "submissions").glob("*.csv")]
    csvs = [next(n for n in ledger if part in n) for part in (f"ensemble-{blend.key[:6]}", "tiny_cnn")]
    texts = [(home / "submissions" / f"{name}.csv").read_text(encoding="utf-8") for name in csvs]
    assert texts[0] == texts[1]
    board = run(
        home, "leaderboard", small=[word for word in SMALL if not word.startswith(("train", "runtime.t"))]
    )
    assert f"{csvs[0]} is the same file as {csvs[1]}" in board.out, board.err


def test_a_member_by_the_start_of_its_key(home):
    (member,) = named(home, "infer", "tiny_cnn")
    said = run(home, "ensemble", f'ensemble.members=[tiny_resnet,"key:{member.key[:6]}"]')
    assert said.code == 0, said.err
    _, blend = blend_of(home, members=["tiny_resnet", f"key:{member.key[:6]}"])
    assert blend["members"][f"tiny_cnn@{member.key[:8]}"] == f"infer/{member.key}"


def test_a_key_of_other_folds_or_data_is_rejected_before_anything_is_built(home):
    (member,) = named(home, "infer", "tiny_cnn")
    word = f'ensemble.members=[tiny_resnet,"key:{member.key[:6]}"]'
    for change in ("folds.seed=7", "competition.demo.seed=7"):
        said = run(home, "ensemble", word, change)
        assert said.code == 2 and "other data or folds" in said.err, said.err
    assert run(home, "ensemble", 'ensemble.members=[tiny_cnn,"key:zz"]').code == 2


def test_probabilities_from_elsewhere_are_a_member_like_its_own(home):
    said = run(home, "ensemble", 'ensemble.members=[tiny_cnn,"file:test.csv+oof.csv"]')
    assert said.code == 0, said.err
    assert "test: made elsewhere; if it was trained on other folds, its score is optimistic" in said.out
    artifact, blend = blend_of(home, members=["tiny_cnn", "file:test.csv+oof.csv"])
    mine, mine_blend = blend_of(home, members=["tiny_resnet", "tiny_cnn"])
    assert blend["weights"]["test"] == mine_blend["weights"]["tiny_resnet"]
    assert artifact.metrics["oof_macro_f1"] == pytest.approx(mine.metrics["oof_macro_f1"], abs=1e-6)
    assert blend["outside"]["test"]["oof"] == "oof.csv" and len(blend["outside"]["test"]["oof_sha256"]) == 64


def test_another_content_of_a_csv_is_another_blend(home):
    word = 'ensemble.members=[tiny_cnn,"labels:mate.csv"]'
    assert run(home, "ensemble", word).code == 0
    assert " reused" in run(home, "ensemble", word).out
    rows = cells("mate.csv")
    rows[1][1] = str((int(rows[1][1]) + 1) % 10)
    written(Path("mate.csv"), rows)
    assert run(home, "ensemble", word).code == 0
    asked = [a.manifest["config"]["ensemble"]["members"] for a in artifacts(home, "ensemble")]
    assert asked.count(["tiny_cnn", "labels:mate.csv"]) == 2


def test_a_teammates_labels_vote_by_their_weight_and_have_no_score(home):
    words = ('ensemble.members=[tiny_cnn,"labels:mate.csv"]', "ensemble.weights={mate: 3}")
    said = run(home, "ensemble", *words)
    assert said.code == 0, said.err
    assert "mate: labels only, so it has no out-of-fold score; it has 75% of the vote" in said.out
    assert re.search(r"change \d+ of \d+ test labels", said.out)
    artifact, blend = blend_of(home, weights={"mate": 3.0})
    (cnn,) = named(home, "infer", "tiny_cnn")
    assert artifact.metrics["oof_macro_f1"] == cnn.metrics["oof_macro_f1"] and blend["test_only"] == {
        "mate": 3.0
    }
    labels = [int(c) for _, c in cells("mate.csv")[1:]]
    test = files.read_probabilities(artifact.folder / "test.npz", "test")
    assert test.labels().tolist() == labels


def test_probabilities_without_out_of_fold_ones_vote_on_the_test_set_only(home):
    said = run(home, "ensemble", 'ensemble.members=[tiny_cnn,"file:test.csv"]')
    assert said.code == 0 and "test: probabilities of the test set only" in said.out
    test = files.read_probabilities(
        blend_of(home, members=["tiny_cnn", "file:test.csv"])[0].folder / "test.npz", ""
    )
    both = [
        files.read_probabilities(named(home, "infer", n)[0].folder / "test.npz", n)
        for n in ("tiny_cnn", "tiny_resnet")
    ]
    np.testing.assert_allclose(test.p_NC, (both[0].p_NC + both[1].p_NC) / 2, atol=1e-6)


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ('members=[tiny_cnn,"file:nowhere.csv"]', "nowhere.csv"),
        ('members=[tiny_cnn,"file:oof.csv"]', "missing"),
        ('members=[tiny_cnn,"file:test.csv+test.csv"]', "extra"),
        ('members=[tiny_cnn,"labels:test.csv"]', "'label'"),
        ('members=["labels:mate.csv"]', "has no member with out-of-fold predictions"),
        ('members=[tiny_cnn,"fil:test.csv"]', "did you mean file"),
        ('members=[tiny_cnn,"file:test.csv","labels:a/test.csv"]', "2 members would have the name test"),
        ("weights={tiny_resent: 2}", "did you mean tiny_resnet"),
        ("weights={tiny_cnn: -1}", "weights"),
        ('members=[tiny_cnn,"file:test.csv+oof.csv"] ensemble.max_ms=9', "no measured time: remove test"),
        ("method=stacking ensemble.max_ms=9", "not of method=stacking"),
        ("weights={tiny_cnn: 2} ensemble.max_ms=9", "remove ensemble.weights"),
    ],
)  # fmt: skip
def test_invalid_members_are_reported_with_exit_2(home, word, expected):
    first, *more = word.split(" ensemble.") if "max_ms" in word else [word]
    words = [f"ensemble.{part}" for part in (first, *more)]
    words = words if word.startswith("members") else [MEMBERS, *words]
    said = run(home, "ensemble", *words)
    assert said.code == 2 and expected in said.err and "Traceback" not in said.err, said.err


def test_weights_for_a_method_that_fits_its_own_are_rejected(home):
    said = run(home, "ensemble", MEMBERS, "ensemble.method=greedy", "ensemble.weights={tiny_cnn: 2}")
    assert said.code == 2 and "use method=weighted" in said.err


def test_a_new_blend_of_finished_members_takes_seconds_and_no_torch(home):
    words = ["ensemble", *SMALL, f"runtime.home={home}", MEMBERS, "ensemble.method=stacking"]
    code = (
        f"import runpy, sys; sys.argv = ['pipeline', *{words!r}]\n"
        "try: runpy.run_module('pipeline', run_name='__main__')\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "assert 'torch' not in sys.modules"
    )
    # Starting Python with what every command needs, as a measure of this machine at this moment.
    start, _ = processor_seconds("import pipeline.stages, pandas, sklearn.linear_model, scipy.optimize")
    spent, done = processor_seconds(code)
    assert " reused" not in re.search(r"^ensemble .*", done.stdout, re.MULTILINE)[0]
    assert spent < 2.5 * start, f"{spent:.1f} s of processor, a start takes {start:.1f}"


def processor_seconds(code):
    """Seconds of processor of a Python that runs this code, and how it ended."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done


def test_fitted_weights_of_views_run_no_model_and_are_cross_fitted(home):
    words = ("experiment=tiny_resnet", "infer.merge=fitted")
    before = {a.key for a in artifacts(home, "views")}
    said = run(home, "infer", *words)
    assert said.code == 0, said.err
    assert {a.key for a in artifacts(home, "views")} == before, "the views are those of infer.merge=mean"
    fitted, mean = sorted(named(home, "infer"), key=lambda a: a.manifest["config"]["infer.merge"] == "mean")
    assert re.search(r"fitted weights against equal ones: .*; naive 0\.\d{4} \(optimistic\)", said.out)
    rows = fitted.json("views.json")
    assert list(rows) == ["identity", "shift(1,1)", "shift(-1,-1)"]
    assert sum(row["weight"] for row in rows.values()) == pytest.approx(1)
    assert all(row["ms_per_image"] > 0 for row in rows.values())
    assert sum(row["ms_per_image"] for row in rows.values()) == pytest.approx(fitted.metrics["ms_per_image"])
    (views,) = [a for a in artifacts(home, "views") if fitted.inputs["views"] == f"views/{a.key}"]
    p = files.read_views(views.folder / "test.npz", "test").merge([row["weight"] for row in rows.values()])
    np.testing.assert_allclose(
        files.read_probabilities(fitted.folder / "test.npz", "").p_NC, p.p_NC, atol=1e-6
    )
    assert {row["weight"] for row in mean.json("views.json").values()} == {1 / 3}
    assert re.search(
        r"view shift\(1,1\) +OOF 0\.\d{4}  weight 0\.33  \d+\.\d\d ms per image",
        json.dumps(mean.manifest["lines"]),
    )
