"""`make submit FILE=…`: hand a submission in, after a look at what it is likely to gain.

    make submit FILE=submissions/pets-ensemble-3fa29b.csv             asks first
    make submit FILE=… MESSAGE="five members" YES=1                   does not ask

Owns the order: validate, compare, count, ask, call, note. Does not own the checks
(`submit/validate.py`), the ledger of submits (`submit/submits.py`) or the bootstrap
(`core/statistics.py`).

The command that hands a file in: the Kaggle client, or one of the user's own.

Owns finding it, filling in its words, and telling success from failure. Does not own asking or noting
(`submit/hand_in.py`).

Whether a submission is likely to be better than another, by what both said out of fold, in pairs.

Owns finding the out-of-fold predictions behind a submission, and the words. Does not own the bootstrap
(`core/statistics.py`, through `train/scoring.py`).
"""

from __future__ import annotations

import argparse
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from pipeline.core import metrics, statistics
from pipeline.core.errors import ConfigError, DataError
from pipeline.core.samples import Samples
from pipeline.data import host, host_format, load
from pipeline.engine.need import Need
from pipeline.engine.session import Session
from pipeline.record.digests import sha256_file
from pipeline.record.store import Artifact, Store
from pipeline.settings.competition import SubmissionSettings
from pipeline.settings.schema import Config
from pipeline.submit import hostscore, submits, validate
from pipeline.submit import ledger as leaderboard
from pipeline.submit.ledger import Entry
from pipeline.submit.submission import is_untouched, ledger_of
from pipeline.submit.validate import described, file_of
from pipeline.train import scoring

KAGGLE = "kaggle"
# The Kaggle client ends with 0 after some failures, and says so in these words only.
SAID_FAILED = re.compile(
    r"^\s*(Could not submit to competition|Could not find competition|Upload unsuccessful)", re.MULTILINE
)


@dataclass(frozen=True)
class Client:
    """A command whose words may hold {file}, {message} and {name}.

    Args:
        template: its words, the program first.
    """

    template: tuple[str, ...]

    @staticmethod
    def of(settings: SubmissionSettings) -> Client:
        """The command of the settings, or the Kaggle client.

        Raises:
            ConfigError: neither a command nor a Kaggle competition is named.
            DataError: the program is not there.
        """
        if settings.command is not None:
            template = tuple(shlex.split(settings.command))
        elif settings.kaggle is not None:
            template = (KAGGLE, "competitions", "submit", "-c", settings.kaggle)
            template += ("-f", "{file}", "-m", "{message}")
        else:
            raise ConfigError(
                "competition.submission: nothing says how to hand in",
                remedy="set competition.submission.kaggle to the competition's name in its address, or "
                "competition.submission.command, e.g. 'scp {file} host:inbox/'",
            )
        if shutil.which(template[0]) is None:
            ours = template[0] == KAGGLE
            there = Path(template[0]).is_file()
            raise DataError(
                f"{template[0]}: {'not executable' if there else 'no such command'}",
                remedy=f"chmod +x {template[0]}"
                if there
                else "pip install kaggle, and put its token where its documentation says"
                if ours
                else "mend competition.submission.command, or install it",
            )
        return Client(template)

    def words(self, file: Path, message: str, name: str) -> list[str]:
        """The command for one file; no shell reads it, so no character of a message is special."""
        return [word.format(file=file, message=message, name=name) for word in self.template]

    def call(self, words: list[str], say: Callable[[str], None]) -> None:
        """Run it, showing its output as it comes.

        Raises:
            DataError: it cannot run, or it failed, by its exit code or by its own words.
        """
        said = []
        try:
            with subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
            ) as process:
                assert process.stdout is not None, "its output is piped"
                try:
                    for line in process.stdout:
                        said.append(line)
                        say(f"  {line.rstrip()}")
                except KeyboardInterrupt:
                    process.terminate()
                    process.wait()
                    raise
        except OSError as error:
            raise DataError(f"{words[0]}: cannot run: {error.strerror}") from error
        if process.returncode:
            raise DataError(
                f"not submitted: {words[0]} failed with exit code {process.returncode}",
                remedy="what it said stands above; nothing was noted",
            )
        failed = SAID_FAILED.search("".join(said)) if Path(words[0]).name == KAGGLE else None
        if failed:
            raise DataError(
                f"not submitted: {words[0]} said {failed[1]!r}, though it ended without an error",
                remedy="has the competition ended, are its rules accepted, is its name right?",
            )


STAGE = {"blend": "ensemble", "member": "infer", "refit": "refit"}


def told(config: Config, samples: Samples, store: Store, new: Entry, best: Entry) -> str:
    """P(new is better than best), by a paired bootstrap over groups, or why nobody knows.

    Args:
        config: for the metric and the bootstrap.
        samples: the training samples.
        store: where the results are.
        new: the submission that is asked about.
        best: the one that it has to beat.
    """
    what = f"P(better than {best.name})"
    sides = []
    for entry in (new, best):
        artifact = scored(store, entry)
        if artifact is None:
            why = "was not made here" if not entry.key else "its results were freed or made elsewhere"
            return f"{what}: not known, as {entry.name} has no out-of-fold predictions ({why})"
        sides.append(load.oof(artifact, entry.name))
    both = np.intersect1d(sides[0].ids_N, sides[1].ids_N)
    if (
        not len(both)
        or not np.isin(both, samples.ids_N).all()
        or set(sides[0].classes) != set(sides[1].classes)
    ):
        return f"{what}: not known, as the two were trained on other images or classes"
    found = scoring.compare(config, samples, *sides)
    text = f"{what} = {found.p_better:.2f}, out of fold, {len(both)} images in pairs: {found}"
    enough = statistics.groups_to_tell(found)
    if found.verdict == "can't tell" and enough and enough > found.n_groups:
        text += f"; about {enough} groups would tell, there are {found.n_groups}"
    refits = [e.name for e in (new, best) if e.kind == "refit"]
    return f"{text}; of {' and '.join(refits)} the folds' models are compared" if refits else text


def scored(store: Store, entry: Entry) -> Artifact | None:
    """The result whose out-of-fold predictions speak for a submission; a refit's are its twin's."""
    stage = STAGE.get(entry.kind)
    found = store.find(stage, entry.key) or store.find("decide", entry.key) if stage and entry.key else None
    if found is not None and found.stage == "refit":
        stage, _, key = found.inputs["twin"].partition("/")
        return store.find(stage, key)
    return found


LEDGER = "submits.csv"


def command(session: Session, options: argparse.Namespace) -> None:
    """Hand a CSV in, if the person says yes.

    Raises:
        DataError: the file is not as the host asks, no submission is left today, there is no client, no
            terminal to ask at, or the command failed.
    """
    path = file_of(session, options.file, "submit")
    session.check(Need("data", session.settings), also=("competition", "statistics"))
    client = Client.of(session.settings.config.competition.submission)
    data = session.need("data")
    _validate(session, data, path)
    name = hostscore.take_in(session.home, session.settings, data, path)
    entries = leaderboard.read(ledger_of(session.home))
    entry = next(e for e in entries if e.name == name)
    path = session.home / "submissions" / f"{name}.csv"
    for line in _against_best(session, data, entry, entries):
        session.say(line)
    ledger = session.home / "submissions" / LEDGER
    known = submits.read(ledger)
    digest = sha256_file(path)
    for line in (*_before(session, known, digest), _left(session, known)):
        session.say(line)
    _refuse_more(session, known)
    message = " ".join((options.message or _message(entry)).split())
    words = client.words(path, message, name)
    session.say(f"command: {shlex.join(words)}")
    if not _agreed(options.yes):
        session.say("not submitted")
        return
    with submits.held(ledger):
        _refuse_more(session, submits.read(ledger))  # again: somebody else may have handed in meanwhile
        _hand_in(session, client, words, ledger, (name, digest, message))
    session.say(f"submitted {name}; {_left(session, submits.read(ledger))}")
    session.say(f"when the host shows its score: make score FILE={path.name} PUBLIC=…")


def _validate(session: Session, data: Artifact, path: Path) -> None:
    space = load.samples(data, "test", session.home).space
    asked = session.settings.config.competition.submission
    found = validate.refuse(path, host.sample(session.settings, data, session.home), space, asked)
    session.say(f"{path.name}: valid: {described(found.predicted, space.classes)}")


def _against_best(
    session: Session, data: Artifact, entry: leaderboard.Entry, entries: tuple[leaderboard.Entry, ...]
) -> list[str]:
    """P(better than the best submission), and on how many images they differ."""
    config = session.settings.config
    metric = metrics.get(config.competition.metric)
    others = [e for e in entries if e.competition == config.competition.name and e.metric == metric.name]
    best = leaderboard.best(others, excluding=entry.name, higher_is_better=metric.higher_is_better)
    if best is None:
        return ["no other submission is known: there is nothing to compare it with"]
    samples = load.samples(data, "train", session.home)
    lines = [told(config, samples, session.store, entry, best)]
    if entry.key and not is_untouched(session.home / "submissions" / f"{entry.name}.csv"):
        lines.append(f"{entry.name} was edited since it was written: that speaks for what was written")
    csvs = [session.home / "submissions" / f"{e.name}.csv" for e in (entry, best)]
    if all(csv.is_file() for csv in csvs):
        sample = host.sample(session.settings, data, session.home)
        asked = config.competition.submission
        new, old = (host_format.read(csv, samples.space, asked, sample).labels_N for csv in csvs)
        lines.append(f"it says otherwise than {best.name} on {(new != old).sum()} of {len(new)} test images")
    return lines


def _before(session: Session, known: tuple[submits.Submit, ...], digest: str) -> list[str]:
    """When these very bytes were handed in before."""
    competition = session.settings.config.competition.name
    same = [s for s in known if s.sha256 == digest and s.competition == competition]
    return [f"these very bytes were handed in before: {s.time} as {s.name}" for s in same]


def _left(session: Session, known: tuple[submits.Submit, ...]) -> str:
    """How many submissions are left today."""
    config, now = session.settings.config.competition, datetime.now(UTC)
    done, limit = len(submits.of_day(known, config.name, now)), config.submission.per_day
    if limit is None:
        return f"submissions today: {done} (competition.submission.per_day sets no limit)"
    minutes = int(submits.until_next_day(now).total_seconds() // 60)
    return (
        f"submissions left today: {max(limit - done, 0)} of {limit}; the next day begins in "
        f"{minutes // 60} h {minutes % 60} min, at 00:00 UTC"
    )


def _refuse_more(session: Session, known: tuple[submits.Submit, ...]) -> None:
    """Raise a DataError when none is left: a host counts one too many, or refuses it."""
    config = session.settings.config.competition
    done, limit = submits.of_day(known, config.name, datetime.now(UTC)), config.submission.per_day
    if limit is not None and len(done) >= limit:
        raise DataError(
            f"not submitted: none of today's {limit} submissions is left",
            [f"{s.time} {s.name}{'' if s.status == submits.ACCEPTED else f' ({s.status})'}" for s in done],
            f"wait for 00:00 UTC; if the host counts otherwise, mend submissions/{LEDGER} or "
            "competition.submission.per_day",
        )


def _hand_in(
    session: Session, client: Client, words: list[str], ledger: Path, what: tuple[str, str, str]
) -> None:
    """Call the command and note the submit: (name, digest, message)."""
    name, digest, message = what
    competition = session.settings.config.competition.name
    now = datetime.now(UTC).isoformat(timespec="seconds")
    done = submits.Submit(now, competition, name, digest, submits.ACCEPTED, message)
    try:
        client.call(words, session.say)
    except KeyboardInterrupt:
        submits.add(ledger, replace(done, status=submits.UNKNOWN))
        session.say("stopped while handing in: the host may have taken it, so it counts; look there")
        raise
    submits.add(ledger, done)


def _message(entry: leaderboard.Entry) -> str:
    score = f" OOF {entry.metric} {entry.oof:.4f}" if entry.oof is not None else ""
    return f"{entry.name}{score}"


def _agreed(yes: bool) -> bool:
    """Whether the person says yes.

    Raises:
        DataError: there is no terminal to ask at.
    """
    if yes:
        return True
    if not sys.stdin.isatty():
        raise DataError("not submitted: no terminal to ask at", remedy="YES=1 hands in without asking")
    try:
        return input("submit it? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False
