"""What a search found, written so that one word adopts it: `experiment=tuned-<stage>-<date>`.

Owns the file: what the command line said and the winner's settings, on top of the experiment that the search
started from, and a header that says where they come from; and the command that makes use of it. Does not own
which winner is believed (`tune/retest.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import yaml

from pipeline.record.digests import write_atomic
from pipeline.tune.retest import Candidate, Verdict
from pipeline.tune.space_check import plain
from pipeline.tune.trials import Bench

# What a winner is for, by the stage that was tuned.
NEXT = {
    "eda": "train",
    "resample": "train",
    "train": "train",
    "tta": "infer",
    "ensemble": "ensemble",
    "decision": "ensemble",
    "error-analysis": "error-analysis",
}
NOT_TAKEN = ("runtime", "competition", "folds", "statistics", "report", "reproduce")


def write(bench: Bench, verdict: Verdict, study: str, command: str, day: date) -> Path | None:
    """The winner's file below configs/experiment/; None, and no file, where nothing better was found.

    Args:
        bench: of the trials.
        verdict: of the re-test.
        study: its name.
        command: that makes the search again.
        day: of the file's name; a second file of one day is numbered.
    """
    winner = verdict.winner
    if winner is None:
        return None
    request = bench.settings.request
    uses = {"experiment": "+".join(request.experiment or ()), "model": request.model}
    data: dict[str, Any] = {"uses": {group: name for group, name in uses.items() if name}}
    for name, value in {
        **dict(bench.settings.request.values),
        **bench.search.values(winner.trial.point),
    }.items():
        if name.split(".")[0] not in NOT_TAKEN and name != "train.folds":
            _put(data, name, plain(value))
    body = yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=100, default_flow_style=None)
    text = "\n".join(
        [*(f"# {line}".rstrip() for line in _header(bench, verdict, winner, study, command)), body]
    )
    folder = bench.settings.folder / "experiment"
    path = _free(folder, f"tuned-{bench.kind.name}-{day.isoformat()}", text)
    write_atomic(path, text.encode())
    return path


def command(bench: Bench, name: str) -> str:
    """The make command that makes use of a written file.

    Args:
        bench: of the trials.
        name: of the file.
    """
    kept = [
        word
        for word in bench.settings.words
        if word.partition("=")[0].split(".")[0] in NOT_TAKEN and not word.startswith("statistics.")
    ]
    return f'make {NEXT[bench.kind.name]} ARGS="{" ".join([*kept, f"experiment={name}"])}"'


def _header(bench: Bench, verdict: Verdict, winner: Candidate, study: str, command: str) -> Sequence[str]:
    metric, config = bench.metric.name, bench.settings.config.competition
    name = bench.settings.experiment
    changed = ", ".join(f"{k}={plain(v)}" for k, v in bench.search.values(winner.trial.point).items())
    return (
        f"{bench.kind.title} of {name} on {config.name}, tuned: {changed}",
        f"  study {study}, trial {winner.trial.number}",
        f"  naive      {metric} {winner.naive:.4f} against {verdict.default:.4f} (chosen by this very score)",
        f"  re-tested  {metric} {winner.retested:.4f} against {verdict.default_retested:.4f}: "
        f"{winner.comparison}",
        f"  by {verdict.how}",
        f"  {command}",
    )


def _put(data: dict[str, Any], path: str, value: Any) -> None:
    *parents, last = path.split(".")
    for parent in parents:
        below = data.get(parent)
        if not isinstance(below, dict):
            below = data[parent] = {}
        data = below
    data[last] = value


def _free(folder: Path, stem: str, text: str) -> Path:
    """A name that no other file has."""
    number, path = 1, folder / f"{stem}.yaml"
    while path.is_file() and path.read_text(encoding="utf-8") != text:
        number += 1
        path = folder / f"{stem}-{number}.yaml"
    return path
