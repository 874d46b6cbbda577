"""`make home` and `make serve`: the page that leads to everything, written once or kept up to date.

Owns both commands, and the line with the page's path at the end of the others. Does not own the page
(`home/page.py`) nor the server (`home/serve.py`).
"""

from __future__ import annotations

import argparse
import contextlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.core.errors import PodiumError, StorageError
from pipeline.engine import next_step
from pipeline.engine.session import Session
from pipeline.home import facts, page, serve, texts
from pipeline.home.facts import Competition
from pipeline.home.page import Place
from pipeline.pages.command_words import make_with, shown, spoken, ui_command
from pipeline.record.serve import refuse_port
from pipeline.settings import current, read
from pipeline.settings.load import load

log = logging.getLogger(__name__)
Options = argparse.Namespace
# The command that prints the address of the record itself.
WITH_SUMMARY = "all"


def place_of(session: Session) -> Place:
    """The home of a session; its commands are about the current competition if they name none."""
    folder = session.settings.folder
    chosen = current.of(session.home)
    name = chosen or current.default(folder) or session.settings.config.competition.name
    words = session.settings.located(())

    def compose(target: str, *more: str) -> str:
        return make_with(f"make {target}", words, *more)

    return Place(session.home, name, compose, session.language, bool(chosen))


def finish(session: Session) -> None:
    """Write the page after a command, and print its path; nothing here stops the command.

    A command that made something names the competition's table in the record, except the one whose summary
    does so.
    """
    try:
        link = ""
        if session.seconds and session.progress.command != WITH_SUMMARY:
            link = session.tracker.known_link(session.settings.config.competition.name)
        path = page.write(place_of(session), _known(session))
    except Exception as error:  # such as a record that another program is writing
        log.warning("%s", texts.NOT_FINISHED.format(kind=type(error).__name__, reason=error))
        return
    if link:
        session.say(texts.RECORD.format(command=ui_command(session.home), link=link))
    if path is not None:
        session.say(texts.PRINTED.format(path=shown(path)))


@contextmanager
def at_the_end(session: Session, changed: bool) -> Iterator[None]:
    """After a command: the page, if it began to build something, also if that failed; then its last lines.

    Meanwhile each new run writes the page. `changed`: whether a command that succeeds changes what the page
    shows, also if it builds nothing; a new submission always does.
    """
    session.after_run = lambda: _meanwhile(session)
    try:
        yield
    except BaseException:
        if session.progress.count():
            finish(session)
        raise
    if changed or session.progress.count() or _newer_submission(session):
        finish(session)
    for line in session.ending:
        session.say(line)


def _meanwhile(session: Session) -> None:
    """Write the page of a command that still runs; the end of the command says what hinders it."""
    with contextlib.suppress(Exception):
        page.write(place_of(session), _known(session))


def _newer_submission(session: Session) -> bool:
    """Whether a submission is newer than the page, as after a command that reused everything else."""
    written = session.home / page.PAGE
    files = (session.home / "submissions").glob("*.csv")
    return written.is_file() and any(f.stat().st_mtime > written.stat().st_mtime for f in files)


def _known(session: Session) -> list[Competition]:
    try:
        return [facts.of_settings(session.settings)]
    except Exception:  # a metric of the user's own that cannot be loaded: another command says so
        return []


def _all_known(session: Session) -> list[Competition]:
    """Every competition that has results here and a file of settings."""
    folder = session.settings.folder
    there = {r.competition for r in facts.read(session.home / "artifacts").results}
    found = []
    for name in sorted(there & set(read.names(folder, "competition"))):
        try:
            found.append(facts.of_settings(load([f"competition={name}"], folder)))
        except PodiumError:
            continue  # its own commands say what is wrong with it
    return found


def home(session: Session, options: Options) -> None:
    """Write the page, with the settings of every competition that has results here."""
    place = place_of(session)
    path = page.write(place, _all_known(session))
    if path is None:
        what = texts.NOT_WRITTEN.format(path=place.home / page.PAGE)
        raise StorageError(what, remedy=texts.NOT_WRITTEN_REMEDY)
    session.say(texts.PRINTED.format(path=shown(path)))
    session.end_with(next_step.NEXT.format(command=spoken(place.compose("serve"))))


def served(session: Session, options: Options) -> None:
    """Serve the page and the reports until Ctrl-C."""
    place, known = place_of(session), _all_known(session)
    port = refuse_port(str(options.port), "serve")
    running = serve.server(place.home, lambda: page.html(place, known), port)
    session.say(texts.SERVED.format(host=serve.HERE, port=port))
    try:
        running.serve_forever()
    except KeyboardInterrupt:
        pass
    finally:
        running.server_close()
