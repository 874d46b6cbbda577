"""make leaderboard, pin-best and final on real digits: pages, reasons, damage, no public scores."""

import csv

import pandas as pd
import pytest
from main_world import MEMBERS, artifacts, ledger, run

SMALL = (
    *("competition=digits", "competition.demo.limit=200", "images.size=16", "folds.n=2"),
    *("statistics.draws=100", "runtime.mlflow=false"),
)
TRAINED = (*SMALL, "train.epochs=1", "runtime.threads=1")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Two members and their blend, without public scores."""
    home = tmp_path_factory.mktemp("ledger")
    said = run(home, "ensemble", MEMBERS, small=TRAINED)
    assert said.code == 0, said.err
    return home


def test_from_no_public_score_to_a_best_a_pin_and_finals(home):
    first = run(home, "leaderboard", small=SMALL)
    assert first.code == 0, first.err
    assert "No gap to explain yet" in first.out and "no public score is known" in first.out
    assert run(home, "score", small=SMALL).code == 0
    said = run(home, "leaderboard", small=SMALL)
    assert said.code == 0 and "luck alone" in said.out and "Spearman" in said.out
    assert "25 images, about 25 groups (counted in the local answers)" in said.out
    page = max(artifacts(home, "leaderboard"), key=lambda a: (a.folder / "manifest.json").stat().st_mtime_ns)
    html = (page.folder / "leaderboard.html").read_text(encoding="utf-8")
    assert html.count("<circle") == 3 and "http" not in html.split("</style>")[1]
    kinds = set(pd.read_csv(page.folder / "diagnosis.csv")["cause"])
    assert {"group_leak", "duplicates", "transform", "covariate_shift", "label_shift"} <= kinds
    again = run(home, "leaderboard", small=SMALL)
    assert "reused" in again.out

    name = next(n for n in ledger(home) if "tiny_cnn" in n)
    assert run(home, "pin-best", small=SMALL, options=("--name", name)).code == 0
    assert ledger(home)[name]["best"] == "pinned"
    pinned = run(home, "leaderboard", small=SMALL)
    assert f"best: {name}: it is pinned" in pinned.out
    finals = run(home, "final", small=SMALL, options=("--n", "2"))
    assert finals.code == 0, finals.err
    assert (
        finals.out.count("submissions/") == 3
        and "next: make submit FILE=" in finals.out
        and "safest" in finals.out
        and "%" in finals.out
    )
    assert run(home, "pin-best", small=SMALL, options=("--name", "none")).code == 0
    assert not any(row["best"] for row in ledger(home).values() if "best" in row)


def test_invalid_names_numbers_and_a_damaged_ledger_are_reported(home):
    said = run(home, "leaderboard", small=SMALL, options=("--name", "nobody"))
    assert said.code == 2 and "no submission 'nobody'" in said.err
    said = run(home, "final", small=SMALL, options=("--n", "0"))
    assert said.code == 2 and "N=0" in said.err
    said = run(home, "pin-best", small=SMALL, options=("--name", ""))
    assert said.code == 2 and "NAME is missing" in said.err
    path = home / "submissions" / "leaderboard.csv"
    kept = path.read_bytes()
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    rows[1][rows[0].index("oof")] = "0,6x"
    rows[2][0] = rows[1][0]
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)
    for command in ("leaderboard", "final"):
        said = run(home, command, small=SMALL)
        assert said.code == 2 and "2 faults" in said.err and "line 2: oof '0,6x'" in said.err
        assert f"name {rows[1][0]!r} again" in said.err and "Traceback" not in said.err
    path.write_bytes(kept)


def test_an_empty_ledger_says_what_to_do(tmp_path):
    for command in ("leaderboard", "final"):
        said = run(tmp_path, command, small=SMALL)
        assert said.code == 2 and "make infer" in said.err, said.err
