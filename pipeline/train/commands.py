"""`make models`: what networks cost on this machine, before any training.

Owns what the command prints. Does not own measuring (`train/network_cost.py`).
"""

from __future__ import annotations

import argparse

from pipeline.engine.graph import refuse_unread
from pipeline.engine.session import Session

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
