"""The home page: what it leads with, what it says of failures, and that nothing of it stops a command."""

import json
import os
import re
import time
from datetime import UTC, datetime

import pytest
from home_world import need, result, scored, state, whole
from main_world import run

from pipeline.home import facts, page
from pipeline.home.facts import Competition
from pipeline.home.page import Place

PETS = Competition("pets", "Cats and dogs", "macro_f1", True, 5)


def text_of(home, *known, current="pets"):
    """The page, written and read again, without its style."""
    path = page.write(Place(home, current), known)
    assert path == home / "reports" / "index.html"
    return re.sub(r"<style>.*?</style>", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)


def test_it_leads_with_the_best_run_its_interval_and_its_verdict(tmp_path):
    text = text_of(whole(tmp_path), PETS)
    lead = text[text.index("<h2>") :]
    assert lead.startswith("<h2>blend b1: macro_f1 0.5500 out of fold</h2>")
    assert "better than lite0: +0.0400 [+0.0100, +0.0700]" in text and "0.5300 to 0.5700" in text
    assert "best of 3 runs on these data and folds" in text and "Cats and dogs" in text


def test_what_changed_is_told_and_beside_a_blend_what_the_run_is(tmp_path):
    home = whole(tmp_path)
    lost = {"delta_vs_best": -0.1, "delta_low": -0.2, "delta_high": -0.05}
    tags = {"verdict": "worse", "compared_with": "pets (ensemble b1)", "changed": ""}
    scored(home, "infer", "i7", 7, 0.41, experiment="resnet", tags=tags, metrics=lost)
    tags |= {"changed": "made with experiment=lite0 train.lr=10"}
    scored(home, "infer", "i8", 8, 0.42, experiment="lite0", tags=tags, metrics=lost)
    text = text_of(home, PETS)
    assert "UTC; made with experiment=lite0 train.lr=10" in text
    assert "UTC; made with resnet" in text, "of an older record, which says nothing"
    tags |= {"changed": "train.lr: 0.1 → 10"}
    scored(home, "infer", "i9", 9, 0.43, experiment="lite0", tags=tags, metrics=lost)
    assert "UTC; changed: train.lr: 0.1 → 10" in text_of(home, PETS)


def test_advice_is_not_listed_once_a_run_is_newer_than_its_report(tmp_path):
    home = whole(tmp_path)
    assert "Train longer" in text_of(home, PETS)
    scored(home, "train", "t9", 8, 0.6)
    text = text_of(home, PETS)
    assert "Train longer" not in text and "See what 1 run after the newest error report brought" in text
    assert 'data-copy="make error-analysis"' in text


def test_of_a_loss_the_least_is_best(tmp_path):
    for day, (key, score) in enumerate((("i1", 0.9), ("i2", 0.3), ("i3", 0.6)), start=1):
        figures = {"oof_log_loss": score, "ci_low": score, "ci_high": score, "complete": 1.0}
        result(tmp_path, "infer", key, day, metrics=figures, experiment=f"run{day}")
    assert "<h2>run2: log_loss 0.3000" in text_of(tmp_path, Competition("pets", "", "log_loss", False))


def test_scores_on_other_data_and_of_unfinished_runs_are_not_compared(tmp_path):
    scored(tmp_path, "infer", "i1", 1, 0.9, inputs={"data": "data/old", "folds": "folds/f0"})
    scored(tmp_path, "infer", "i2", 2, 0.5, experiment="now")
    scored(tmp_path, "infer", "i3", 3, 0.8, metrics={"complete": 0.0})
    text = text_of(tmp_path, PETS)
    assert (
        "<h2>now: macro_f1 0.5000" in text
        and "1 run with a score on other data or folds is not compared" in text
    )


def test_a_failed_fold_is_shown_with_its_reason_until_it_is_built(tmp_path):
    home = whole(tmp_path)
    text = text_of(home, PETS)
    assert "Failed: 1" in text and "fold lite0 fold 2 failed" in text and "a.png does not decode" in text
    assert 'data-copy="make train ARGS=&#34;experiment=lite0&#34;"' in text
    result(home, "fold", "f9", 7)
    assert "fold lite0 fold 2 failed" not in text_of(home, PETS)


def test_what_a_killed_command_was_computing_is_named(tmp_path):
    state(tmp_path, "train", need("fold/a1", "fold lite0 fold 0", "running"), status="running")
    text = text_of(tmp_path)
    assert "fold lite0 fold 0 was not finished: make train was killed" in text


def test_a_command_that_runs_is_shown_with_its_epochs(tmp_path):
    now = need("fold/a1", "fold lite0 fold 0", "running", epoch=3, epochs=10)
    state(tmp_path, "train", now, status="running", pid=os.getpid(), eta_seconds=312.0)
    text = text_of(tmp_path)
    assert "fold lite0 fold 0: epoch 3 of 10" in text and "about 5 min left" in text and "Failed" not in text


def test_advice_comes_before_what_fits_otherwise(tmp_path):
    text = text_of(whole(tmp_path), PETS)
    steps = re.findall(r"<strong>([^<]*)</strong></p>", text[text.index("What to try next") :])
    assert steps[0] == "Train longer" and len(steps) > 1
    assert "make submit FILE=" in text


def test_submissions_have_a_path_their_scores_and_what_is_left_today(tmp_path):
    home = whole(tmp_path)
    log = home / "submissions" / "submits.csv"
    now = datetime.now(UTC).isoformat(timespec="seconds")
    log.write_text(
        f"time,competition,name,sha256,status,message\n{now},pets,pets-lite0-i1,0,accepted,m\n",
        encoding="utf-8",
    )
    text = text_of(home, PETS)
    assert "<b>4 of 5</b>" in text and '<a href="../submissions/pets-ensemble-b1.csv">' in text
    assert text.index("pets-ensemble-b1.csv</a>") < text.index("pets-lite0-i1.csv</a>") and "0.6000" in text


def test_every_report_is_linked_and_there(tmp_path):
    home = whole(tmp_path)
    text = text_of(home, PETS)
    links = re.findall(r'href="(\.\./[^"]+)"', text)
    assert len(links) >= 4
    assert all((home / "reports" / link).is_file() for link in links)


def test_a_competition_that_nobody_chose_has_a_tab_only_where_no_other_one_has_results(tmp_path):
    def tabs(home, is_chosen):
        text = page.html(Place(home, "emoji", is_chosen=is_chosen), [PETS])
        return re.findall(r'data-tab="([^"]+)"', text), "No run has a score yet" in text

    home = whole(tmp_path / "pets")
    assert tabs(home, True) == (["emoji", "pets"], True)
    assert tabs(home, False)[1] is False, "what was made here comes first"
    assert tabs(tmp_path / "new", False)[1] is True


def test_each_competition_has_a_tab_and_the_current_one_is_first(tmp_path):
    home = whole(tmp_path)
    scored(home, "infer", "o1", 9, 0.7, competition="other")
    tabs = re.findall(r'data-tab="([^"]+)"', text_of(home, PETS))
    assert tabs == ["pets", "other"]
    assert "competition=other" in text_of(home, PETS)


def test_curves_and_scores_are_pictures(tmp_path):
    text = text_of(whole(tmp_path), PETS)
    assert text.count("<svg") == 2 and "Out-of-fold macro_f1 of each finished run" in text


DAMAGED = (
    *("artifacts/infer/i2/manifest.json", "artifacts/.home.json", "artifacts/error_analysis/r1/advice.json"),
    *("artifacts/fold/g1/history.json", "artifacts/.state/host-0.json", "submissions/leaderboard.csv"),
    *("submissions/submits.csv", "mlflow.db"),
)


@pytest.mark.parametrize("damaged", DAMAGED)
def test_a_damaged_file_stops_nothing(tmp_path, damaged):
    home = whole(tmp_path)
    for content in (b"", b"{", b"[1]", b"\xff\xfe\x00", b"[[[" * 99):
        (home / damaged).write_bytes(content)
        text = text_of(home, PETS)
        assert "Cats and dogs" in text
        if damaged.endswith(".csv") and content == b"{":
            assert 'class="warning"' in text


def test_a_failure_that_a_setting_may_mend_offers_the_mended_command_and_not_the_same(tmp_path):
    home = whole(tmp_path)
    failed = need("fold/f8", "fold lite0 fold 0", message="the loss is not finite", mend=["train.lr=0.01"])
    state(home, "train", failed, typed='make train ARGS="experiment=lite0 train.lr=0.1"')
    text = text_of(home, PETS)
    card = text[text.index("fold lite0 fold 0 failed") :]
    card = card[: card.index("</article>")]
    assert "The same command would fail again" in card and "Repeat the command" not in card
    assert "experiment=lite0 train.lr=0.01&#34;" in card and "train.lr=0.1&#34;" not in card


@pytest.mark.parametrize("mend", [None, [], [3], "train.lr=1"])
def test_a_failure_without_a_known_remedy_offers_the_same_command(tmp_path, mend):
    state(tmp_path, "train", need("fold/f8", "fold 0", mend=mend))
    assert "Repeat the command" in text_of(tmp_path, PETS)


def test_of_several_runs_no_setting_is_changed_for_one_that_failed(tmp_path):
    state(tmp_path, "ensemble", need("fold/f8", "fold 0", mend=["train.lr=0.01"]))
    assert "train.lr=0.01" not in text_of(tmp_path, PETS)


def test_with_a_budget_of_time_the_plan_chose_what_failed_and_no_setting_is_changed(tmp_path):
    home = whole(tmp_path)
    failed = need("fold/f8", "fold lite0 fold 0", mend=["train.lr=0.01"])
    state(home, "train", failed, typed='make train TIME=20m ARGS="competition=pets"')
    text = text_of(home, PETS)
    assert "train.lr=0.01" not in text and "make train TIME=20m" in text


def test_hostile_names_stay_texts(tmp_path):
    hostile = "<img src=x onerror=alert(1)>"
    scored(tmp_path, "infer", "i1", 1, 0.5, competition=hostile, experiment=hostile)
    state(tmp_path, "train", need("fold/a", hostile, message=hostile), competition=hostile)
    assert "<img" not in text_of(tmp_path, current=hostile)


def test_a_page_that_cannot_be_written_is_a_warning(tmp_path, caplog):
    (tmp_path / "reports").write_text("a file", encoding="utf-8")
    assert page.write(Place(tmp_path, "pets")) is None and "was not written" in caplog.text


def test_many_results_are_read_again_in_a_moment(tmp_path):
    folder = tmp_path / "artifacts" / "infer"
    plain = {
        "files": {},
        "competition": "pets",
        "experiment": "a",
        "created": "2026",
        "seconds": 1,
        "request": None,
    }
    for n in range(300):
        (folder / f"k{n}").mkdir(parents=True)
        manifest = {**plain, "metrics": {"oof_macro_f1": n / 300, "complete": 1.0}, "tags": {}, "inputs": {}}
        (folder / f"k{n}" / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    first = facts.read(tmp_path / "artifacts")
    started = time.process_time()
    again = facts.read(tmp_path / "artifacts")
    assert again == first and len(again.results) == 300
    assert time.process_time() - started < 0.1


def test_what_changed_is_read_again(tmp_path):
    home = whole(tmp_path)
    text_of(home, PETS)
    manifest = home / "artifacts" / "infer" / "i2" / "manifest.json"
    changed = json.loads(manifest.read_text(encoding="utf-8"))
    changed["metrics"]["oof_macro_f1"] = 0.99
    manifest.write_text(json.dumps(changed), encoding="utf-8")
    assert "<h2>probe: macro_f1 0.9900" in text_of(home, PETS)


def test_a_command_writes_it_and_says_so_before_the_next_command(tmp_path):
    small = ("competition=digits", "competition.demo.limit=200", "folds.n=2", "runtime.mlflow=false")
    said = run(tmp_path, "folds", small=small)
    assert said.code == 0, said.err
    lines = said.out.splitlines()
    assert lines[-2].startswith("home page: ") and lines[-1].startswith("next: make train")
    assert (tmp_path / "reports" / "index.html").is_file()
    report = next((tmp_path / "artifacts" / "folds").glob("*/*.html"))
    back = re.search(r'<a class="home" href="([^"]+)"', report.read_text(encoding="utf-8"))
    assert back and (report.parent / back[1]).resolve() == (tmp_path / "reports" / "index.html").resolve()
    (path,) = (tmp_path / "artifacts" / ".state").glob("*.json")
    kept = json.loads(path.read_text(encoding="utf-8"))
    assert kept["competition"] == "digits" and kept["typed"].startswith("make folds ARGS=")
    assert "competition.demo.limit=200" in kept["typed"]


def test_a_command_whose_work_fails_writes_it_too_and_names_no_next_command(tmp_path, monkeypatch):
    from pipeline.core.errors import DataError

    def broken(session, order):
        raise DataError("b.png does not decode")

    words = ("competition=digits", "competition.demo.limit=200", "folds.n=2", "runtime.mlflow=false")
    monkeypatch.setattr("pipeline.engine.build.build", broken)
    said = run(tmp_path, "folds", small=words)
    assert said.code == 2 and "home page: " in said.out and "next: " not in said.out
    text = (tmp_path / "reports" / "index.html").read_text(encoding="utf-8")
    assert "b.png does not decode" in text and "Failed: 1" in text and "make folds ARGS=" in text


def test_a_command_that_is_refused_before_any_work_writes_nothing(tmp_path):
    small = ("competition=digits", "competition.demo.limit=200", "runtime.mlflow=false")
    said = run(tmp_path, "score", small=small, options=("--public=0.5",))
    assert said.code == 2 and "home page" not in said.out


def test_home_is_a_command(tmp_path):
    said = run(whole(tmp_path), "home", small=())
    assert said.code == 0 and said.out.splitlines()[-1].startswith("next: make serve")
    assert "Failed: 1" in (tmp_path / "reports" / "index.html").read_text(encoding="utf-8")
