"""What the tests of whole commands share: small digits, and `pipeline.cli.main` in this process."""

import contextlib
import csv
import io
import logging
from dataclasses import dataclass
from pathlib import Path

import torch

from pipeline.cli import main
from pipeline.record.files import FileIndex
from pipeline.record.store import Store
from pipeline.train import state

SMALL = (
    "competition=digits",
    "competition.demo.limit=200",
    "images.size=16",
    "folds.n=2",
    "train.epochs=1",
    "statistics.draws=100",
    "runtime.mlflow=false",
    "runtime.threads=1",
)
# What `make eda` reads of these: an override that nothing reads is refused.
READ_BY_EDA = ("competition=digits", "competition.demo.limit=200", "folds.n=2", "runtime.mlflow=false")
MEMBERS = "ensemble.members=[tiny_resnet,tiny_cnn]"


@dataclass(frozen=True)
class Said:
    """Exit code and both streams of one command."""

    code: int
    out: str
    err: str


def run(home, command, *words, small=SMALL, options=()):
    """One command in this process, as `python -m pipeline` runs it; what it sets globally is put back."""
    out, err = io.StringIO(), io.StringIO()
    root = logging.getLogger()
    handlers, level, threads = list(root.handlers), root.level, torch.get_num_threads()
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main([command, *small, f"runtime.home={home}", *words, *options])
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        torch.set_num_threads(threads)
    return Said(code, out.getvalue(), err.getvalue())


def artifacts(home, stage=None):
    """Finished artifacts; asserts that nothing half-made lies beside them."""
    for folder in (Path(home) / "artifacts").glob("[!.]*/*"):
        assert (folder / "manifest.json").is_file(), f"{folder} is half-made"
    assert not list((Path(home) / "artifacts" / ".building").glob("*")), "a draft was left"
    index = FileIndex(Path(home) / "artifacts" / ".index.json")
    return [a for a in Store(Path(home), index).all() if stage in (None, a.stage)]


def named(home, stage, experiment="tiny_resnet"):
    """The artifacts of one stage and experiment."""
    return [a for a in artifacts(home, stage) if a.manifest["experiment"] == experiment]


def weights(home, experiment="tiny_resnet"):
    """Fold number -> weights."""
    return {
        a.manifest["config"]["fold"]: state.load_checkpoint(a.folder / "weights.pt")["weights"]
        for a in named(home, "fold", experiment)
    }


def equal(a, b):
    """Whether two sets of weights are the same to the last bit."""
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def ledger(home):
    """The ledger's rows by name."""
    with (Path(home) / "submissions" / "leaderboard.csv").open(encoding="utf-8", newline="") as file:
        return {row["name"]: row for row in csv.DictReader(file)}


def stamps(home):
    """When each artifact was written: to see that it was left alone.

    The folder's time: that of the manifest tells of some results when they were last used.
    """
    return {a.key: a.folder.stat().st_mtime_ns for a in artifacts(home)}
