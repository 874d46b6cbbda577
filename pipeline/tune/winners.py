"""The winner of a search as an experiment file that one word adopts: `experiment=tuned-<stage>-<date>`.

Owns the file and the commands that use it. Winners of several stages were each tested alone, some on a cheap
proxy, so their combination is tested too: by a grid for `make ablate`, with seeds that chose nothing. Does
not own which winner is believed (`tune/retest.py`), the searches (`tune/budget.py`) or that test
(`train/studies/`).
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import yaml

from pipeline.core.errors import ConfigError
from pipeline.engine import next_step
from pipeline.engine.session import Session
from pipeline.pages.command_words import make_with, shown, spoken
from pipeline.record.files import write_atomic
from pipeline.settings import named
from pipeline.settings.load import Settings
from pipeline.tune import texts
from pipeline.tune.retest import Contender, RetestVerdict
from pipeline.tune.space_check import plain
from pipeline.tune.trials import KINDS, Bench

# The command that uses a winner, by the stage that was tuned.
NEXT = {
    "eda": "train",
    "resample": "train",
    "train": "train",
    "tta": "infer",
    "ensemble": "ensemble",
    "decision": "ensemble",
    "error-analysis": "error-analysis",
}


def write(bench: Bench, verdict: RetestVerdict, study: str, command: str, day: date) -> Path | None:
    """The winner's file of this day below configs/experiment/; None, and no file, without a winner."""
    winner = verdict.winner
    if winner is None:
        return None
    values = {path: plain(value) for path, value in bench.search.values(winner.trial.point).items()}
    text = named.text_of(bench.settings.request, values, _header(bench, verdict, winner, study, command))
    folder = bench.settings.folder / "experiment"
    return named.write_free(folder, f"tuned-{bench.kind.name}-{day.isoformat()}", text)


def adopt_command(bench: Bench, name: str) -> str:
    """The make command that uses a written file."""
    kept = [
        word
        for word in bench.settings.words
        if word.partition("=")[0].split(".")[0] in named.NOT_TAKEN and not word.startswith("statistics.")
    ]
    return make_with(f"make {NEXT[bench.kind.name]}", bench.settings.located(kept), f"experiment={name}")


def _header(
    bench: Bench, verdict: RetestVerdict, winner: Contender, study: str, command: str
) -> Sequence[str]:
    metric, config = bench.metric.name, bench.settings.config.competition
    return texts.HEADER.format(
        title=bench.kind.title,
        experiment=bench.settings.experiment,
        competition=config.name,
        changed=bench.words(winner.trial.point),
        study=study,
        trial=winner.trial.number,
        metric=metric,
        naive=winner.naive,
        default=verdict.default,
        retested=winner.retested,
        default_retested=verdict.default_retested,
        comparison=winner.comparison,
        how=verdict.how,
        command=command,
    ).split("\n")


# Seeds of the grid that tests winners together; no shipped space searches or re-tests with them.
SEEDS = [201, 202, 203]


@dataclass(frozen=True)
class StageWinner:
    """The winner of one stage's search: where that started from, the values by path, the name of its file."""

    stage: str
    experiment: str
    values: Mapping[str, Any]
    written: str


def next_steps(session: Session, winners: Sequence[StageWinner], day: date) -> list[str]:
    """The next commands, a line for each; none if there is no winner. A grid is written below the home."""
    if not winners:
        return []
    fitting, lines = _fitting(session.settings, [w for w in winners if KINDS[w.stage].trains])
    foreign = any(w.experiment != session.settings.experiment for w in fitting)
    if len(fitting) > 1 or foreign:
        grid = _grid(session, fitting, day)
        words = session.settings.located(session.settings.words)
        lines.append(texts.TEST_TOGETHER)
        lines.append(f"      {make_with(spoken(f'make ablate GRID={shlex.quote(shown(grid))}'), words)}")
    views = [w for w in winners if KINDS[w.stage].tested_by == "infer"]
    voted = [w for w in winners if KINDS[w.stage].tested_by == "ensemble"]
    for target, some in (("infer", [*fitting, *views]), ("ensemble", voted)):
        if len(some) > 1 or (foreign and some is not voted):
            lines.append(texts.COMBINE)
            lines.append(f"      {make_with(spoken(f'make {target}'), _combined(session.settings, some))}")
    return [texts.TESTED_ALONE, *lines] if len(winners) > 1 or foreign else lines


def next_command(session: Session, winners: Sequence[StageWinner], steps: Sequence[str]) -> str:
    """The command to run next: the last of `next_steps`, else the one with the only winner, or training."""
    commands = [line.strip() for line in steps if line.strip().startswith("make ")]
    if commands:
        return commands[-1]
    if not winners:
        return next_step.command(session, "train")
    return make_with(spoken(f"make {NEXT[winners[0].stage]}"), _combined(session.settings, winners[:1]))


def _fitting(settings: Settings, winners: Sequence[StageWinner]) -> tuple[list[StageWinner], list[str]]:
    """The winners that fit the experiment together with those before them; and a line for each other one."""
    fitting: list[StageWinner] = []
    lines = []
    for winner in winners:
        try:
            settings = settings.with_values(winner.values)
        except ConfigError as error:
            why = error.faults[0] if error.faults else error.headline
            lines.append(texts.ONLY_FOR.format(name=winner.written, experiment=winner.experiment, why=why))
        else:
            fitting.append(winner)
    return fitting, lines


def _combined(settings: Settings, winners: Sequence[StageWinner]) -> tuple[str, ...]:
    """The words that apply the winners' files on top of the experiment."""
    others = [word for word in settings.words if not word.startswith("experiment=")]
    names = [*(settings.request.experiment or ()), *(w.written for w in winners)]
    return settings.located((*others, f"experiment={'+'.join(names)}"))


def _grid(session: Session, winners: Sequence[StageWinner], day: date) -> Path:
    """A grid of two arms: the unchanged experiment, and the experiment with all winners."""
    together = {path: plain(value) for w in winners for path, value in w.values.items()}
    data = {
        "about": texts.GRID_ABOUT.format(names=", ".join(w.written for w in winners)),
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
