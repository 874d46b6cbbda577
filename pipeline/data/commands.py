"""`make folds` and `make new`: the fold plan with its checks, and a configuration from files.

Owns what the commands print. Does not own the plan (`data/folds.py`) nor the guesses (`data/new/`).
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from pipeline.core.errors import DataError
from pipeline.data import load
from pipeline.engine.commands import say_reports
from pipeline.engine.need import Need
from pipeline.engine.session import Session

Options = argparse.Namespace


def folds(session: Session, options: Options) -> None:
    """The fold plan and its checks; a plan with faults is an error."""
    session.check(Need("folds", session.settings))
    artifact = session.need("folds")
    health = load.health(artifact)
    session.say(health[health.columns[:5]].to_string(index=False))
    say_reports(session, artifact)
    checks = load.fold_checks(artifact)
    faults = [text for text in checks if text.startswith("fault")]
    if faults:
        raise DataError(f"folds: {len(faults)} faults make scores on this plan untrue", checks)
    for text in checks or ("check: sound",):
        session.say(text)


def new(session: Session, options: Options) -> None:
    """Write the configuration of a competition from its files."""
    # Imported here: no other command looks at files that nobody has described.
    from pipeline.data.new import create
    from pipeline.data.new.request import NewRequest

    if not options.images.strip():
        raise DataError(
            "IMAGES is missing", remedy="make new NAME=pets IMAGES=folder, or with TRAIN=train.csv"
        )
    train, test, sample = (Path(p) if p else None for p in (options.train, options.test, options.sample))
    request = NewRequest(options.name, Path(options.images), train, test, sample, session.home)
    written = create.create(request, session.settings)
    session.say(f"wrote {os.path.relpath(written.path)}")
    for line in written.lines:
        session.say(line)
    session.say(f'next: make eda ARGS="competition={options.name}", or make all with the same ARGS')
