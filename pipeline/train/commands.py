"""`make models`: what networks cost on this machine. `make ablate`: a grid of settings, trained and compared.

Owns what the commands print and the order of `make ablate`. Does not own measuring (`train/network_cost.py`)
nor the arms (`train/studies/grid.py`).
"""

from __future__ import annotations

import argparse

from pipeline.engine import next_step
from pipeline.engine.graph import check, refuse_unread
from pipeline.engine.need import Need
from pipeline.engine.session import Session
from pipeline.settings import read as read_settings
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
    session.say(texts.ABLATE_STARTS.format(trainings=n, arms=n // seeds, seeds=seeds))
    for line in budget_lines(runs(session.get, settings, grid, session.home), grid):
        session.say(line)
    session.show(session.get(need))
    next_step.say(session, "runs")
