"""Commands that belong to no room: settings and disk space.

Owns their output. Does not own the command line (`pipeline/cli.py`).
"""

from __future__ import annotations

import argparse

from pipeline.core.secrets import hidden_in
from pipeline.engine import next_step
from pipeline.engine.session import Session
from pipeline.engine.slices import flat
from pipeline.record import housekeeping

Options = argparse.Namespace


def config(session: Session, options: Options) -> None:
    """Print every setting and where it comes from."""
    rows = flat(hidden_in(session.settings.config.model_dump(mode="json")))
    wide = max(len(path) for path in rows)
    for path, value in rows.items():
        source = session.settings.sources.get(path) or "default"
        session.say(f"{path:<{wide}} = {value:<40} {source}")


def du(session: Session, options: Options) -> None:
    """Print the disk space by kind of result."""
    for line in housekeeping.usage(session.home, session.store):
        session.say(line)


def gc(session: Session, options: Options) -> None:
    """Free results that no submission or pin needs."""
    with session.store.freeing():
        for line in housekeeping.collect(session.store, session.home, options.dry):
            session.say(line)
    next_step.say(session, "gc" if options.dry else "du")


def pin(session: Session, options: Options) -> None:
    """Protect a result from `gc`."""
    session.say(housekeeping.pin(session.store, session.home, options.key))
