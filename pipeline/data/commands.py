"""`make folds` and `make new`: the fold plan with its checks, and a configuration from files.

Owns what the commands print. Does not own the plan (`data/folds.py`) nor the guesses (`data/new/`).
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from pipeline.core.errors import DataError
from pipeline.data import load, texts
from pipeline.engine.need import Need
from pipeline.engine.session import Session
from pipeline.pages.report import plural

Options = argparse.Namespace


def folds(session: Session, options: Options) -> None:
    """The fold plan and its checks; a plan with faults is an error."""
    session.check(Need("folds", session.settings))
    artifact = session.need("folds")
    health = load.health(artifact)
    session.say(health[health.columns[:5]].to_string(index=False))
    session.show(artifact)
    checks = load.fold_checks(artifact)
    faults = [text for text in checks if text.startswith("fault")]
    if faults:
        raise DataError(texts.FOLDS_FAULTY.format(faults=plural(len(faults), "fault")), checks)
    for text in checks or (texts.FOLDS_SOUND,):
        session.say(text)


def new(session: Session, options: Options) -> None:
    """Write the configuration of a competition from its files."""
    # Imported here: no other command needs it.
    from pipeline.data.new import create
    from pipeline.data.new.request import NewRequest

    if not options.images.strip():
        raise DataError(texts.NEW_NO_IMAGES, remedy=texts.NEW_NO_IMAGES_REMEDY)
    train, test, sample = (Path(p) if p else None for p in (options.train, options.test, options.sample))
    request = NewRequest(options.name, Path(options.images), train, test, sample, session.home)
    written = create.create(request, session.settings)
    session.say(texts.NEW_WROTE.format(path=os.path.relpath(written.path)))
    for line in written.lines:
        session.say(line)
    session.say(texts.NEW_NEXT.format(name=options.name))
