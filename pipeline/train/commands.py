"""`make models`: what networks cost on this machine. `make ablate`: a grid of settings, trained and compared.

Owns what the commands print and the order of `make ablate`. Does not own measuring (`train/network_cost.py`)
nor the arms (`train/studies/grid.py`).
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from pipeline.core import metrics
from pipeline.core.wording import worded
from pipeline.engine import next_step
from pipeline.engine.graph import check, refuse_unread
from pipeline.engine.need import Need
from pipeline.engine.session import Session
from pipeline.settings import read as read_settings
from pipeline.settings.load import Settings
from pipeline.train import texts
from pipeline.train.studies.grid import budget_lines, needed, read, runs, started

Options = argparse.Namespace


def models(session: Session, options: Options) -> None:
    """Print the cost of networks on this machine, one line each."""
    # Imported here: no other command measures networks.
    from pipeline.engine.hardware import set_up
    from pipeline.train import network_cost

    refuse_unread(session.settings, (), session.graph, network_cost.READS)
    device = set_up(session.settings.config.runtime)
    for line in network_cost.table(session.settings, options.names.split(), device):
        session.say(line)


def ablate(session: Session, options: Options) -> None:
    """Train every arm of a grid with every seed, and compare them."""
    path = read_settings.given(options.grid)
    grid = read(path)
    settings = session.settings
    if grid.experiment and not any(word.startswith("experiment=") for word in options.settings):
        settings = settings.member(grid.experiment)
    settings = started(settings, grid)
    session.get_all(needed(settings, grid))
    digest = session.index.digest(path)
    need = Need("ablate", settings, {"grid": options.grid, "digest": digest})
    trainings = list(session.graph.inputs(need, "train").values())
    for training in trainings[:: len(grid.seeds)]:
        refuse_unread(training.settings, [training], session.graph)
    check(trainings, session.graph)
    n, seeds = len(trainings), len(grid.seeds)
    session.say(worded(texts.ABLATE_STARTS, trainings=n, arms=n // seeds, seeds=seeds))
    for line in budget_lines(runs(session.get, settings, grid, session.home), grid):
        session.say(line)
    study = session.get(need)
    session.show(study)
    _say_next(session, settings, trainings if study.metrics["better"] else [])


def _say_next(session: Session, settings: Settings, trainings: Sequence[Need]) -> None:
    """The last line of `make ablate`: predict with the best of these arms, or with the grid's experiment.

    An arm that was trained on some folds only is trained on the others first.
    """
    metric = metrics.get(settings.config.competition.metric)
    score = f"oof_{metric.name}"
    best = max(trainings, key=lambda t: metric.sign * session.get(t).metrics[score], default=None)
    chosen = settings if best is None else best.settings
    if chosen.config.train.folds is None:
        next_step.say(session, "infer", chosen)
        return
    values = tuple((p, v) for p, v in chosen.request.values if p != "train.folds")
    next_step.say(session, "train", chosen.with_only(values))
