"""A home as commands leave it, made by hand: manifests, state files, a ledger and a log of submits."""

import json
import os
import socket
from pathlib import Path

from pipeline.record.files import FileIndex
from pipeline.record.store import Store
from pipeline.submit import ledger

WHEN = "2026-01-{day:02d}T10:00:00+00:00"


def result(home: Path, stage: str, key: str, day: int = 1, competition: str = "pets", **more) -> Path:
    """A finished result; `files` are its files with their texts, the rest goes into its manifest."""
    files = more.pop("files", {"x.txt": "x"})
    store = Store(home, FileIndex(home / "artifacts" / ".index.json"))
    with store.draft(stage, key) as draft:
        for name, text in files.items():
            (draft / name).write_text(text, encoding="utf-8")
        manifest = {
            "experiment": "lite0",
            "competition": competition,
            "created": WHEN.format(day=day),
            "seconds": 1.0,
            "settings": {},
            "inputs": {"data": "data/d0", "folds": "folds/f0"},
            "metrics": {},
            "tags": {},
            "lines": [],
            **more,
        }
        return store.publish(stage, key, draft, manifest).folder


def scored(home: Path, stage: str, key: str, day: int, score: float, **more) -> Path:
    """A complete run with a score and its interval."""
    figures = {"oof_macro_f1": score, "ci_low": score - 0.02, "ci_high": score + 0.02, "complete": 1.0}
    figures |= more.pop("metrics", {})
    return result(home, stage, key, day, metrics=figures, **more)


def state(
    home: Path, command: str, *needs: dict, status: str = "failed", pid: int = 999_999_999, **more
) -> Path:
    """A state file; a need is {"name", "state", "title", …}."""
    folder = home / "artifacts" / ".state"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"host-{len(list(folder.iterdir()))}.json"
    whole = {
        "version": 1,
        "host": socket.gethostname(),
        "pid": pid,
        "command": command,
        "competition": "pets",
        "typed": f'make {command} ARGS="experiment=lite0"',
        "state": status,
        "began": "2026-01-05T10:00:00+00:00",
        "updated": f"2026-01-05T10:{len(list(folder.iterdir())):02d}:00+00:00",
        "counts": {"done": 3, "failed": 1},
        "eta_seconds": None,
        "needs": list(needs),
        **more,
    }
    path.write_text(json.dumps(whole), encoding="utf-8")
    return path


def need(name: str, title: str, status: str = "failed", message: str = "", **more) -> dict:
    """A need of a state file."""
    return {
        "name": name,
        "stage": name.partition("/")[0],
        "title": title,
        "state": status,
        "message": message,
        **more,
    }


def submission(home: Path, name: str, day: int, oof: float, public: float | None = None) -> None:
    """A line of the ledger with its CSV and provenance."""
    entry = ledger.Entry(
        name,
        WHEN.format(day=day),
        "member",
        "pets",
        "lite0",
        "k1",
        "macro_f1",
        oof,
        oof - 0.02,
        oof + 0.02,
        public,
    )
    ledger.add(home / "submissions" / "leaderboard.csv", entry)
    csv = home / "submissions" / f"{name}.csv"
    csv.write_text("id,label\n", encoding="utf-8")
    csv.with_suffix(".json").write_text('{"competition": "pets"}', encoding="utf-8")
    os.utime(csv.with_suffix(".json"), (day, day))


def whole(home: Path) -> Path:
    """Two inferences, a blend that is better, an error report with advice, a failed fold, and submissions."""
    result(home, "eda", "e1", 1, files={"eda.html": "<html>"})
    scored(home, "train", "t1", 2, 0.50, inputs={"fold0": "fold/g1", "data": "data/d0", "folds": "folds/f0"})
    history = [{"epoch": float(n), "train_loss": 2.0 - n / 3, "valid_loss": 2.1 - n / 4} for n in range(4)]
    result(home, "fold", "g1", 2, files={"history.json": json.dumps(history)})
    scored(home, "infer", "i1", 3, 0.51)
    worse = {"verdict": "worse", "compared_with": "lite0 (infer i1)", "changed": "train.lr: 0.1 → 1"}
    lost = {"delta_vs_best": -0.11, "delta_low": -0.15, "delta_high": -0.07}
    scored(home, "infer", "i2", 4, 0.40, experiment="probe", tags=worse, metrics=lost)
    better = {"verdict": "better", "compared_with": "lite0 (infer i1)"}
    gained = {"delta_vs_best": 0.04, "delta_low": 0.01, "delta_high": 0.07}
    scored(home, "ensemble", "b1", 5, 0.55, experiment="pets", tags=better, metrics=gained)
    advice = {
        "do": "Train longer",
        "command": 'make train ARGS="train.epochs=9"',
        "sentence": "It stops too early.",
    }
    reported = {"next": advice["command"], "advice": [advice]}
    files = {"error-analysis.html": "<html>", "advice.json": json.dumps(reported)}
    result(
        home,
        "error_analysis",
        "r1",
        6,
        files=files,
        tags={"verdict": "can't tell", "compared_with": "pets-lite0"},
    )
    submission(home, "pets-lite0-i1", 3, 0.51, 0.60)
    submission(home, "pets-ensemble-b1", 5, 0.55)
    state(home, "train", need("fold/f9", "fold lite0 fold 2", message="a.png does not decode"))
    return home
