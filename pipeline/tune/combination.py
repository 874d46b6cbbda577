"""Winners of several stages together: a grid that tests the combination, and the words that adopt it.

Owns these next steps after a search of all stages. Each winner was tested by itself, some on a cheap proxy,
so what they give together is another question, which `make ablate` answers by seeds that chose nothing.
Does not own the searches (`tune/tune_all.py`) nor the test (`train/studies/stage_ablate.py`).
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
from pipeline.engine.context import Context
from pipeline.record.digests import write_atomic
from pipeline.settings.load import Settings
from pipeline.tune.space_check import plain

# Whose winners change a training, and whose change the blend; views lie between.
TRAINED, VOTED = ("eda", "resample", "train"), ("ensemble", "decision")
SEEDS = [201, 202, 203]


@dataclass(frozen=True)
class Won:
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


def steps(ctx: Context, winners: Sequence[Won], day: date) -> list[str]:
    """The next commands, a line each; none where nothing was found.

    Args:
        ctx: of the command; the grid is written below its home.
        winners: of the stages, in their order.
        day: of the grid's name.
    """
    if not winners:
        return []
    alone = "    each was tested by itself: what they give together is another question"
    fitting, told = _fitting(ctx.settings, [w for w in winners if w.stage in TRAINED])
    foreign = any(w.experiment != ctx.settings.experiment for w in fitting)
    if len(fitting) > 1 or foreign:
        grid = _grid(ctx, fitting, day)
        words = " ".join(ctx.settings.words)
        told.append("    to test them together, by seeds that chose nothing:")
        told.append(f'      make ablate GRID={os.path.relpath(grid)} ARGS="{words}"')
    views = [w for w in winners if w.stage == "tta"]
    voted = [w for w in winners if w.stage in VOTED]
    for target, some in (("infer", [*fitting, *views]), ("ensemble", voted)):
        if len(some) > 1 or (foreign and some is not voted):
            told.append("    laid over each other, and compared with the best run so far:")
            told.append(f'      make {target} ARGS="{_laid(ctx.settings, some)}"')
    return [alone, *told] if len(winners) > 1 or foreign else told


def _fitting(settings: Settings, winners: Sequence[Won]) -> tuple[list[Won], list[str]]:
    """Those that fit the experiment, together with those before them; and what is told of the others."""
    found: list[Won] = []
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


def _laid(settings: Settings, winners: Sequence[Won]) -> str:
    """The words of the winners' files over the experiment."""
    others = [word for word in settings.words if not word.startswith("experiment=")]
    names = [*(settings.request.experiment or ()), *(w.written for w in winners)]
    return " ".join([*others, f"experiment={'+'.join(names)}"])


def _grid(ctx: Context, winners: Sequence[Won], day: date) -> Path:
    """A grid of two arms: the experiment as it is, and with all winners."""
    together = {path: plain(value) for w in winners for path, value in w.values.items()}
    data = {
        "about": f"Do {', '.join(w.written for w in winners)} give something together?",
        "experiment": "+".join(ctx.settings.request.experiment or ()),
        "seeds": SEEDS,
        "equal_steps": False,
        "axes": {"settings": {"default": {}, "together": together}},
        "against": [{"settings": "default"}],
    }
    body = yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=100, default_flow_style=None)
    path = ctx.home / "tuning" / f"together-{day.isoformat()}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, body.encode())
    return path
