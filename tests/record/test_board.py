"""The saved view of the MLflow UI: its form here, and in Chromium whether the UI obeys it."""

import base64
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.core.errors import StorageError
from pipeline.record import board
from pipeline.record.tracking import RunInfo, Tracker, tracking_uri

MACRO_F1 = board.Headline.of("macro_f1", True)
LOG_LOSS = board.Headline.of("log_loss", False)


def unpacked(text: str) -> tuple[dict, dict]:
    """A saved view and the state in it."""
    view = json.loads(text)
    packed = base64.b64decode(view["state"].removeprefix("deflate;"))
    return view, json.loads(zlib.decompress(packed))


def test_the_view_names_its_columns_in_order_and_hides_folds() -> None:
    view, state = unpacked(board.shared_view(MACRO_F1))
    assert view["name"] == "Scores, best first"
    assert state["selectedColumns"][:6] == [
        "metrics.`score`",
        "tags.`interval 95`",
        "tags.`verdict`",
        "tags.`error`",
        "tags.`against best`",
        "tags.`what changed`",
    ]
    assert state["columnOrder"] == [*board.FIRST, *state["selectedColumns"]] == list(state["columnWidths"])
    assert state["searchFilter"] == "tags.`mlflow.parentRunId` IS NULL AND tags.`beside` IS NULL"
    assert (state["orderByKey"], state["orderByAsc"]) == ("metrics.`oof_macro_f1`", False)


def test_a_loss_is_the_headline_and_its_least_value_comes_first() -> None:
    _, state = unpacked(board.shared_view(LOG_LOSS))
    assert (state["orderByKey"], state["orderByAsc"]) == ("metrics.`oof_log_loss`", True)
    tags = board.experiment_tags("7", LOG_LOSS)
    assert board.Headline.recorded(tags) == LOG_LOSS != MACRO_F1
    assert "`oof_log_loss`" in tags[board.NOTE] and "lower is better" in tags[board.NOTE]
    assert board.Headline.recorded(board.experiment_tags("7", MACRO_F1)) == MACRO_F1
    assert board.Headline.recorded({}) is None


def test_seeds_of_one_arm_stand_together_and_failures_have_a_view_of_their_own() -> None:
    tags = board.experiment_tags("7", MACRO_F1)
    _, seeds = unpacked(tags[board.SEEDS_VIEW])
    assert seeds["groupBy"]["groupByKeys"] == [{"mode": "tag", "groupByData": "arm"}]
    view, failed = unpacked(tags[board.FAILED_VIEW])
    assert view["name"] == "What failed" and "attributes.status = 'FAILED'" in failed["searchFilter"]
    assert failed["selectedColumns"][0] == "tags.`error`"
    assert set(board.VIEWS) < tags.keys()


def test_the_drawing_has_the_settings_that_nearly_all_runs_have_and_that_differ() -> None:
    common = {"model.name": "a", "train.seed": "0", "competition.title": "x", "train.epochs": "3"}
    runs = [common | {"loss.name": f"l{n % 3}", "competition.title": str(n)} for n in range(10)]
    runs = [run | {"train.epochs": "9"} if n == 0 else run for n, run in enumerate(runs)]
    runs[:2] = [run | {"train.lr": str(n)} for n, run in enumerate(runs[:2])]
    assert board.varied(runs) == ["loss.name", "train.epochs"], "train.lr is a setting of two of ten"
    assert board.varied([]) == [] and board.varied(runs[3:4]) == []
    many = [{f"s.p{k}": str(n) for k in range(20)} for n in range(4)]
    assert len(board.varied(many)) == board.MOST_AXES
    _, state = unpacked(board.settings_view(["loss.name"]))
    (drawing,), (section,) = state["compareRunCharts"], state["compareRunSections"]
    assert drawing["selectedParams"] == ["loss.name"] and drawing["selectedMetrics"][-1] == "score"
    assert drawing["metricSectionId"] == section["uuid"] and drawing["type"] == "PARALLEL"


def test_the_best_folds_come_first_among_the_curves_also_for_a_loss() -> None:
    for headline, is_least_first in ((MACRO_F1, False), (LOG_LOSS, True)):
        _, state = unpacked(board.curves_view(headline))
        assert (state["orderByKey"], state["orderByAsc"]) == ("metrics.`valid_score`", is_least_first)


def test_the_figures_of_a_run_are_in_words() -> None:
    figures = {"oof_macro_f1": 0.55512, "ci_low": 0.53, "ci_high": 0.578, "delta_vs_best": 0.0242}
    figures |= {"delta_low": 0.0049, "delta_high": 0.0434}
    long = '"tf_efficientnet_lite0_with_a_long_name"'
    changed = f'model.name: {long} → "b", train.epochs: 3 → 9, train.lr: 0.1 → 1, x.y: 1 → 2'
    numbers, words = board.in_words("macro_f1", figures, {"changed": changed})
    assert numbers == {"score": 0.55512}
    assert words["interval 95"] == "0.5300 to 0.5780"
    assert words["against best"] == "+0.0242 [+0.0049, +0.0434]"
    assert words["what changed"] == "model tf_efficientnet_lite0_wi… → b, epochs 3 → 9, lr 0.1 → 1 and 1 more"
    assert board.in_words("macro_f1", {"images": 3.0}, {"changed": "a"}) == ({}, {})
    assert board.brief("statistics.draws: 1 → 2, train.mix.method: none → cutmix") == "mix none → cutmix"
    assert board.brief("statistics.draws: 1 → 2") == "draws 1 → 2", "better than nothing"
    assert board.brief("blends a, b") == "blends a, b" and len(board.brief("x" * 500)) < 80
    assert board.brief("images.size: [1, 2] → [3, 4], a.b: 1 → 2") == "size [1, 2] → [3, 4], b 1 → 2"


def test_minutes_have_few_digits_and_short_runs_are_not_zero() -> None:
    assert [board.minutes(s) for s in (0.07, 2.5, 59, 61, 7384)] == [0.0012, 0.042, 0.98, 1.02, 123.07]


def test_the_guide_links_to_the_view_and_takes_a_table() -> None:
    lines = board.guide("7", MACRO_F1).splitlines()
    assert lines[0].endswith(board.BEGIN) and lines[-1] == board.END
    assert lines[2].startswith("[Open the table with scores, best first](#/exp")
    assert board.view_path("7") in lines[2] and "{" not in "".join(lines)
    assert "\n\n| a | b |\n" in board.guide("7", MACRO_F1, "| a | b |")


def test_only_our_part_of_a_description_is_put_anew() -> None:
    old, new = board.guide("7", MACRO_F1, "| old |"), board.guide("7", LOG_LOSS, r"| new \1 |")
    mine = "# 내 메모\n\n{}\n\nplan: more epochs\n"
    assert board.rewritten(mine.format(old), new) == mine.format(new)
    assert board.rewritten("all mine", new) == "all mine"
    assert board.rewritten("", new) == ""
    former = f"{board.FORMER[0]}\n[Open](…)\n\n| old |\n\n{board.FORMER[1]}"
    assert board.rewritten(mine.format(former), new) == mine.format(new), "of an older version"
    best = board.first_line("best: `a.b*`")
    assert best.startswith("**Best: `a.b*`** (Podium")
    assert board.renewed(mine.format(old), best).splitlines()[2] == best
    assert board.rewritten(board.renewed(mine.format(old), best), new) == mine.format(new)
    assert board.renewed("all mine", best) == "all mine"
    assert "<!--" not in new, "the UI shows comments as they are"


def test_links_without_a_record_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="make all"):
        board.links(tmp_path / "mlflow.db", 5000)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The UI over three train runs, one of which failed; gives the address of the view."""
    home = tmp_path_factory.mktemp("home")
    tracker = Tracker(home)
    for name, score, verdict in (("lite0", 0.6742, "first run"), ("lite0+epochs12", 0.7012, "better")):
        params = {"train.epochs": 6 if name == "lite0" else 12, "model.name": "lite0", "train.lr": 0.1}
        tags = {"verdict": verdict, "what changed": "epochs 6 → 12", "against best": "+0.0270 [0.01, 0.04]"}
        with tracker.run(RunInfo("train", "emoji", f"train {name}", name, name, tags, params)) as run:
            with run.child(f"fold 0 of {name}", {"fold": "0"}) as fold:
                for epoch in range(3):
                    losses = {"train_loss": 1 / (epoch + 1), "valid_loss": 1.1, "valid_score": 0.5}
                    fold.epoch(epoch, losses | {"lr": 0.1})
                fold.metrics({"oof_macro_f1": 0.99})
            run.metrics({"oof_macro_f1": score, "score": score, "minutes": 1.0})
            run.text(
                "report.html", "<meta charset=utf-8><h1 id=x></h1><script>x.textContent='보고서'</script>"
            )
    with tracker.run(RunInfo("eda", "emoji", "emoji · eda", "e1", tags={board.BESIDE: "yes"})):
        pass
    with (
        pytest.raises(ValueError),
        tracker.run(RunInfo("train", "emoji", "train focal", "focal")) as run,
        run.child("fold 1", {"fold": "1"}),
    ):
        raise ValueError("a.png does not decode")
    tracker.standings("emoji", "| run | score |\n|---|---|\n| lite0 | 0.6742 |")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "ui", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--workers", "1", "--backend-store-uri", tracking_uri(home, None)]
    with (home / "ui.log").open("w", encoding="utf-8") as log:
        server = subprocess.Popen(command, cwd=home, stdout=log, stderr=log, start_new_session=True)
    try:
        wait_for(f"http://127.0.0.1:{port}/health", server)
        (line,) = board.links(home / "mlflow.db", port)
        yield line.removeprefix("emoji: ")
    finally:
        os.killpg(server.pid, 15)
        server.wait(60)


def wait_for(url: str, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while server.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.3)
    raise AssertionError(f"the MLflow UI did not answer; exit status {server.poll()}")


@pytest.mark.browser
def test_the_ui_answers_which_run_is_best_and_what_failed(served: str, page) -> None:
    page.set_viewport_size({"width": 2000, "height": 900})  # the table draws only columns that are in sight
    page.goto(served)
    page.get_by_role("link", name="train lite0+epochs12").wait_for(timeout=60_000)
    page.get_by_text("Best: train lite0+epochs12 0.7012; 1 failed").wait_for()
    page.get_by_text("Scores, best first").first.wait_for()
    page.get_by_text("3 matching runs").wait_for()  # the folds are hidden
    rows = page.locator("[role=row][row-index]")
    best = " ".join(rows.nth(i).inner_text() for i in range(rows.count()) if is_first(rows.nth(i)))
    assert "train lite0+epochs12" in best and "0.7012" in best and "better" in best
    assert "epochs 6 → 12" in best and "+0.0270 [0.01, 0.04]" in best
    page.get_by_text("fold 1: ValueError: a.png does not decode").wait_for()


def is_first(row) -> bool:
    return row.get_attribute("row-index") == "0"


@pytest.mark.browser
def test_what_failed_and_the_reports_have_views(served: str, page) -> None:
    page.goto(served.replace(f"viewStateShareKey={board.VIEW}", "viewStateShareKey=failed"))
    page.get_by_text("1 matching run").wait_for(timeout=60_000)
    page.get_by_text("fold 1: ValueError: a.png does not decode").wait_for()
    page.goto("about:blank")
    page.goto(served.replace(f"viewStateShareKey={board.VIEW}", "viewStateShareKey=reports"))
    page.get_by_text("emoji · eda").wait_for(timeout=60_000)


@pytest.mark.browser
def test_the_charts_open_with_settings_against_scores_and_with_curves(served: str, page) -> None:
    start, _, number = served.partition("#/experiments/")
    number = number.partition("/")[0]
    page.set_viewport_size({"width": 2000, "height": 900})
    page.goto(start + board.charts_path(number, board.SETTINGS_VIEW))
    page.get_by_text("Parallel Coordinates").wait_for(timeout=60_000)
    axes = page.locator("svg .label")
    axes.filter(has_text="score").wait_for(timeout=60_000)
    assert [text for text in axes.all_text_contents() if text] == ["train.epochs", "minutes", "score"]
    page.goto("about:blank")
    page.goto(start + board.charts_path(number, board.CURVES_VIEW))
    for name in ("train_loss", "valid_loss", "valid_score"):
        page.get_by_text(name, exact=True).first.wait_for(timeout=60_000)
    page.get_by_text("fold 0 of lite0+epochs12").first.wait_for(timeout=60_000)
    page.locator(".js-plotly-plot .scatterlayer .trace").nth(2).wait_for(state="attached", timeout=60_000)


@pytest.mark.browser
def test_the_ui_shows_the_guide_and_not_the_marks_around_it(served: str, page) -> None:
    page.goto(served)
    page.get_by_text("Open the table with scores, best first").first.wait_for(timeout=60_000)
    shown = page.locator("body").inner_text()
    assert "podium:" not in shown and "<!--" not in shown


@pytest.mark.browser
def test_a_report_opens_in_the_ui(served: str, page) -> None:
    page.goto(served)
    page.get_by_role("link", name="train lite0+epochs12").click(timeout=60_000)
    page.get_by_role("tab", name="Artifacts").click(timeout=60_000)
    page.get_by_text("report.html").first.click()
    page.frame_locator("iframe").get_by_text("보고서").wait_for()
