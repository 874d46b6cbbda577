"""The winner of a search as an experiment file that one word adopts: `experiment=tuned-<stage>-<date>`.

Owns the file (what the command line said and the winner's settings, on top of the experiment that the search
started from, and a header that says where they come from) and the commands that use it. Winners of several
stages are also tested together: each was tested by itself, some on a cheap proxy, so what they give together
is another question, which a grid for `make ablate` answers with seeds that chose nothing. Does not own which
winner is believed (`tune/retest.py`), the searches (`tune/budget.py`) or that test (`train/studies/`).
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import yaml

from pipeline.core.errors import ConfigError
from pipeline.engine.session import Session
from pipeline.record.digests import write_atomic
from pipeline.settings.load import Settings
from pipeline.tune.retest import Candidate, RetestVerdict
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


def write(bench: Bench, verdict: RetestVerdict, study: str, command: str, day: date) -> Path | None:
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


def adopt_command(bench: Bench, name: str) -> str:
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


def _header(
    bench: Bench, verdict: RetestVerdict, winner: Candidate, study: str, command: str
) -> Sequence[str]:
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


# Whose winners change a training, and whose change the blend; views lie between.
TRAINED, VOTED = ("eda", "resample", "train"), ("ensemble", "decision")
SEEDS = [201, 202, 203]


@dataclass(frozen=True)
class StageWinner:
    """What one stage's search found.

    Args:
        stage: that was tuned.
        experiment: that its search started from.
        values: of the winner, by setting path.
        written: name of its file.
    """

    stage: str
    experiment: str
    values: Mapping[str, Any]
    written: str


def next_steps(session: Session, winners: Sequence[StageWinner], day: date) -> list[str]:
    """The next commands, a line each; none where nothing was found.

    Args:
        session: of the command; the grid is written below its home.
        winners: of the stages, in their order.
        day: of the grid's name.
    """
    if not winners:
        return []
    alone = "    each was tested by itself: what they give together is another question"
    fitting, told = _fitting(session.settings, [w for w in winners if w.stage in TRAINED])
    foreign = any(w.experiment != session.settings.experiment for w in fitting)
    if len(fitting) > 1 or foreign:
        grid = _grid(session, fitting, day)
        words = " ".join(session.settings.words)
        told.append("    to test them together, by seeds that chose nothing:")
        told.append(f'      make ablate GRID={os.path.relpath(grid)} ARGS="{words}"')
    views = [w for w in winners if w.stage == "tta"]
    voted = [w for w in winners if w.stage in VOTED]
    for target, some in (("infer", [*fitting, *views]), ("ensemble", voted)):
        if len(some) > 1 or (foreign and some is not voted):
            told.append("    laid over each other, and compared with the best run so far:")
            told.append(f'      make {target} ARGS="{_laid(session.settings, some)}"')
    return [alone, *told] if len(winners) > 1 or foreign else told


def _fitting(settings: Settings, winners: Sequence[StageWinner]) -> tuple[list[StageWinner], list[str]]:
    """Those that fit the experiment, together with those before them; and what is told of the others."""
    found: list[StageWinner] = []
    told = []
    for winner in winners:
        try:
            settings = settings.with_values(winner.values)
        except ConfigError as error:
            why = error.faults[0] if error.faults else error.headline
            told.append(f"    {winner.written} is for experiment={winner.experiment} only: {why}")
        else:
            found.append(winner)
    return found, told


def _laid(settings: Settings, winners: Sequence[StageWinner]) -> str:
    """The words of the winners' files over the experiment."""
    others = [word for word in settings.words if not word.startswith("experiment=")]
    names = [*(settings.request.experiment or ()), *(w.written for w in winners)]
    return " ".join([*others, f"experiment={'+'.join(names)}"])


def _grid(session: Session, winners: Sequence[StageWinner], day: date) -> Path:
    """A grid of two arms: the experiment as it is, and with all winners."""
    together = {path: plain(value) for w in winners for path, value in w.values.items()}
    data = {
        "about": f"Do {', '.join(w.written for w in winners)} give something together?",
        "experiment": "+".join(session.settings.request.experiment or ()),
        "seeds": SEEDS,
        "equal_steps": False,
        "axes": {"settings": {"default": {}, "together": together}},
        "against": [{"settings": "default"}],
    }
    body = yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=100, default_flow_style=None)
    path = session.home / "tuning" / f"together-{day.isoformat()}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, body.encode())
    return path
