"""Commands that belong to no room: settings, disk space, and building one stage and printing its reports.

Owns their output. Does not own the command line (`pipeline/cli.py`).
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from pipeline.engine.need import Need
from pipeline.engine.session import Session
from pipeline.engine.slices import flat
from pipeline.record import housekeeping
from pipeline.record.store import Artifact

Options = argparse.Namespace


def build_one(session: Session, stage: str) -> None:
    """Build one stage with the settings of the command, and print the paths of its pages."""
    session.check(Need(stage, session.settings))
    say_reports(session, session.need(stage))


def say_reports(session: Session, artifact: Artifact) -> None:
    """Print one line for each page of a result."""
    for path in sorted(artifact.folder.glob("*.html")):
        session.say(f"report: {shown(path)}")


def shown(path: Path) -> str:
    """A path for the terminal: relative if it is below this folder, otherwise absolute."""
    near = os.path.relpath(path)
    return str(path) if near.startswith("..") else near


def config(session: Session, options: Options) -> None:
    """Print every setting and where it comes from."""
    rows = flat(session.settings.config.model_dump(mode="json"))
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


def pin(session: Session, options: Options) -> None:
    """Protect a result from `gc`."""
    session.say(housekeeping.pin(session.store, session.home, options.key))
