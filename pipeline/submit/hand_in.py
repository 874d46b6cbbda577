"""`make submit FILE=…`: hand a submission in, after a look at how much it is likely to gain.

    make submit FILE=submissions/pets-ensemble-3fa29b.csv             asks first
    make submit FILE=… MESSAGE="five members" YES=1                   does not ask

Owns the order (validate, compare, count, ask, call, record), the client command (the Kaggle client, or one of
the user's own) and the comparison with the best submission. Does not own the checks (`submit/validate.py`),
the log of submits (`submit/submit_log.py`) nor the bootstrap (`core/statistics.py`).
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

from pipeline.core import metrics, statistics
from pipeline.core.errors import ConfigError, DataError
from pipeline.core.language import ENGLISH, say
from pipeline.core.predictions import differ_N
from pipeline.core.samples import Samples
from pipeline.core.secrets import hidden, hidden_words
from pipeline.data import host, host_format, load
from pipeline.engine import next_step
from pipeline.engine.need import Need
from pipeline.engine.session import Session
from pipeline.pages.command_words import shown as shown_path
from pipeline.record.files import sha256_file
from pipeline.record.store import Artifact, Store
from pipeline.settings.schema import Config
from pipeline.settings.submission import SubmissionSettings
from pipeline.submit import against, host_scores, ledger, ranking, submit_log, texts, validate
from pipeline.submit.ledger import Entry
from pipeline.submit.submission import is_untouched, ledger_of
from pipeline.submit.submit_log import Submit

LOG = "submits.csv"
KAGGLE = "kaggle"
# The Kaggle client exits with 0 after some failures, and reports them in these words only.
REPORTED = re.compile(
    r"^\s*(Could not submit to competition|Could not find competition|Upload unsuccessful|"
    r"Dataset (?:version )?creation error.*|Kernel push error.*|"
    r".*not valid (?:dataset|competition) sources.*)",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Client:
    """A command whose words may contain {file}, {message} and {name}.

    Args:
        template: its words, the program first.
    """

    template: tuple[str, ...]

    @staticmethod
    def of(settings: SubmissionSettings) -> Client:
        """The command of the settings, or the Kaggle client.

        Raises:
            ConfigError: neither a command nor a Kaggle competition is named.
            DataError: the program is missing.
        """
        if settings.command is not None:
            template = tuple(shlex.split(settings.command))
        elif settings.kaggle is not None:
            template = (KAGGLE, "competitions", "submit", "-c", settings.kaggle)
            template += ("-f", "{file}", "-m", "{message}")
        else:
            raise ConfigError(texts.NO_CLIENT, remedy=texts.NO_CLIENT_REMEDY)
        program = template[0]
        if shutil.which(program) is None:
            if Path(program).is_file():
                headline, remedy = texts.NOT_EXECUTABLE, f"chmod +x {program}"
            else:
                headline = texts.NO_COMMAND
                remedy = texts.INSTALL_KAGGLE if program == KAGGLE else texts.INSTALL_COMMAND
            raise DataError(headline.format(program=program), remedy=remedy)
        return Client(template)

    def words(self, file: Path, message: str, name: str) -> list[str]:
        """The command for one file; it runs without a shell, so no character of a message is special."""
        return [word.format(file=file, message=message, name=name) for word in self.template]

    def call(self, words: list[str], say: Callable[[str], None]) -> str:
        """Run it, and show its output line by line; returns the output.

        Raises:
            DataError: it cannot run, or it failed, according to its exit code or its output.
        """
        output = []
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
                        output.append(line)
                        say(f"  {hidden(line.rstrip(), shlex.join(words))}")
                except KeyboardInterrupt:
                    process.terminate()
                    process.wait()
                    raise
        except OSError as error:
            raise DataError(texts.CANNOT_RUN.format(program=words[0], reason=error.strerror)) from error
        if process.returncode:
            raise DataError(
                texts.CLIENT_FAILED.format(program=words[0], code=process.returncode),
                remedy=texts.CLIENT_FAILED_REMEDY,
            )
        failed = REPORTED.search("".join(output)) if Path(words[0]).name == KAGGLE else None
        if failed:
            raise DataError(
                texts.CLIENT_REPORTED.format(program=words[0], words=failed[1]),
                remedy=texts.CLIENT_REPORTED_REMEDY,
            )
        return "".join(output)


def shown(words: list[str]) -> str:
    """A command as text, without passwords; it runs with them."""
    return shlex.join(hidden_words(words))


def p_better(config: Config, samples: Samples, store: Store, new: Entry, best: Entry) -> str:
    """P(new is better than best), by a paired bootstrap over groups, or why it is unknown.

    Args:
        config: metric and resamples.
        samples: the training samples.
        store: of the results.
        new: the submission that is to be handed in.
        best: the best other one.
    """
    outcome = against.compare(config, samples, store, new, best)
    if isinstance(outcome, str):
        return texts.P_BETTER_UNKNOWN.format(best=best.name, reason=outcome)
    comparison = outcome.comparison
    text = texts.P_BETTER.format(
        best=best.name, p=comparison.p_better, images=outcome.images, comparison=comparison
    )
    needed = statistics.groups_to_tell(comparison)
    if comparison.verdict == "can't tell" and needed and needed > comparison.n_groups:
        text += texts.P_BETTER_GROUPS.format(needed=needed, groups=comparison.n_groups)
    refits = [e.name for e in (new, best) if e.kind == "refit"]
    return text + (texts.P_BETTER_REFITS.format(names=" and ".join(refits)) if refits else "")


def run(session: Session, options: argparse.Namespace) -> None:
    """Hand a CSV in, if the user confirms.

    Raises:
        DataError: the file is not in the host's format, no submission is left today, there is no client, no
            terminal to ask at, or the command failed.
    """
    path = validate.file_of(session, options.file, "submit")
    session.check(Need("data", session.settings), also=("competition", "statistics"))
    client = _client(session, options.dry)
    data = session.need("data")
    _validate(session, data, path)
    name = host_scores.take_in(session.home, session.settings, data, path)
    entries = ledger.read(ledger_of(session.home))
    entry = next(e for e in entries if e.name == name)
    path = session.home / "submissions" / f"{name}.csv"
    for line in _against_best(session, data, entry, entries):
        session.say(line)
    log = session.home / "submissions" / LOG
    submits = submit_log.read(log)
    digest = sha256_file(path)
    for line in (*_same_bytes(session, submits, digest), _left_today(session, submits)):
        session.say(line)
    if not options.dry:
        _refuse_more(session, submits)
    score = f" OOF {entry.metric} {entry.oof:.4f}" if entry.oof is not None else ""
    message = " ".join((options.message or f"{entry.name}{score}").split())
    if options.dry:
        _rehearsed(session, submits, client, path, message)
        return
    assert client is not None, "only a rehearsal goes on without a client"
    words = client.words(path, message, name)
    session.say(texts.COMMAND.format(words=shown(words)))
    if not confirmed(options.yes, session.language):
        session.say(texts.NOT_SUBMITTED)
        next_step.say_with_file(session, "submit", "FILE", path)
        return
    with submit_log.locked(log):
        _refuse_more(session, submit_log.read(log))  # again: another process may have handed in meanwhile
        now = datetime.now(UTC).isoformat(timespec="seconds")
        competition = session.settings.config.competition.name
        _hand_in(
            session, client, words, log, Submit(now, competition, name, digest, submit_log.ACCEPTED, message)
        )
    session.say(texts.SUBMITTED.format(name=name, left=_left_today(session, submit_log.read(log))))
    session.say(texts.SCORE_NEXT)
    next_step.say_with_file(session, "score", "FILE", path, " PUBLIC=…")


def _client(session: Session, dry: bool) -> Client | None:
    """The command that sends; a rehearsal says what keeps it from sending, and goes on with None."""
    try:
        return Client.of(session.settings.config.competition.submission)
    except (ConfigError, DataError) as error:
        if not dry:
            raise
        session.say(texts.DRY_NO_CLIENT.format(reason=error.headline, remedy=error.remedy))
        return None


def _rehearsed(
    session: Session, submits: tuple[Submit, ...], client: Client | None, path: Path, message: str
) -> None:
    """The end of a rehearsal: the command that would send, and that nothing was sent or recorded."""
    if client is not None:
        session.say(texts.COMMAND.format(words=shown(client.words(path, message, path.stem))))
    else:
        session.say(texts.DRY_MESSAGE.format(message=message))
    try:
        _refuse_more(session, submits)
    except DataError as error:
        session.say(texts.DRY_NONE_LEFT.format(reason=error.headline))
    session.say(texts.DRY_DONE)
    if client is not None:
        next_step.say_with_file(session, "submit", "FILE", path)
        return
    session.say(texts.DRY_UPLOAD.format(path=shown_path(path)))
    next_step.say_with_file(session, "score", "FILE", path, " PUBLIC=…")


def _validate(session: Session, data: Artifact, path: Path) -> None:
    space = load.samples(data, "test", session.home).space
    config, sample = session.settings.config.competition, host.sample(session.settings, data, session.home)
    checked = validate.refuse(path, sample, space, config.submission, config.encoding)
    session.say(texts.VALID.format(file=path.name, summary=checked.predicted))


def _against_best(session: Session, data: Artifact, entry: Entry, entries: tuple[Entry, ...]) -> list[str]:
    """P(better than the best submission), and the number of images on which they differ."""
    config = session.settings.config
    metric = metrics.get(config.competition.metric)
    others = [e for e in entries if e.competition == config.competition.name and e.metric == metric.name]
    own = ranking.scored_on(entry, session.store)
    asked = own or ranking.on(data.address, session.need("folds").address)
    choice = ranking.best(session.settings, others, session.store, data, asked, excluding=entry.name)
    if choice is None:
        return [texts.NOTHING_TO_COMPARE]
    best = choice.entry
    samples = load.samples(data, "train", session.home)
    lines = [texts.COMPARED_WITH.format(name=best.name, why=choice.why)]
    lines.append(p_better(config, samples, session.store, entry, best))
    if entry.key and not is_untouched(session.home / "submissions" / f"{entry.name}.csv"):
        lines.append(texts.EDITED.format(name=entry.name))
    csvs = [session.home / "submissions" / f"{e.name}.csv" for e in (entry, best)]
    if all(csv.is_file() for csv in csvs):
        sample = host.sample(session.settings, data, session.home)
        settings = config.competition.submission
        new, old = (
            host_format.read(csv, samples.space, settings, sample, config.competition.encoding).answers
            for csv in csvs
        )
        count = differ_N(new, old).sum()
        lines.append(texts.LABELS_DIFFER.format(best=best.name, count=count, images=len(new)))
    return lines


def _same_bytes(session: Session, submits: tuple[Submit, ...], digest: str) -> list[str]:
    """One line for each earlier submit of the same bytes."""
    competition = session.settings.config.competition.name
    same = [s for s in submits if s.sha256 == digest and s.competition == competition]
    return [texts.SAME_BYTES.format(time=s.time, name=s.name) for s in same]


def _left_today(session: Session, submits: tuple[Submit, ...]) -> str:
    """How many submissions are left today."""
    config, now = session.settings.config.competition, datetime.now(UTC)
    count, limit = len(submit_log.of_day(submits, config.name, now)), config.submission.per_day
    if limit is None:
        return texts.SUBMITTED_TODAY.format(count=count)
    hours, minutes = divmod(int(submit_log.until_next_day(now).total_seconds() // 60), 60)
    return texts.LEFT_TODAY.format(left=max(limit - count, 0), limit=limit, hours=hours, minutes=minutes)


def _refuse_more(session: Session, submits: tuple[Submit, ...]) -> None:
    """Raise a DataError when no submission is left today: the host would reject or ignore one more."""
    config = session.settings.config.competition
    today, limit = submit_log.of_day(submits, config.name, datetime.now(UTC)), config.submission.per_day
    if limit is not None and len(today) >= limit:
        rows = [
            f"{s.time} {s.name}{'' if s.status == submit_log.ACCEPTED else f' ({s.status})'}" for s in today
        ]
        raise DataError(texts.NONE_LEFT.format(limit=limit), rows, texts.NONE_LEFT_REMEDY.format(log=LOG))


def _hand_in(session: Session, client: Client, words: list[str], log: Path, submit: Submit) -> None:
    """Call the command and record the submit."""
    try:
        client.call(words, session.say)
    except KeyboardInterrupt:
        submit_log.add(log, replace(submit, status=submit_log.UNKNOWN))
        session.say(texts.STOPPED)
        raise
    submit_log.add(log, submit)


def confirmed(yes: bool, language: str = ENGLISH) -> bool:
    """Whether the user confirms; the question is in this language.

    Raises:
        DataError: there is no terminal to ask at.
    """
    if yes:
        return True
    if not sys.stdin.isatty():
        raise DataError(texts.NO_TERMINAL, remedy=texts.NO_TERMINAL_REMEDY)
    try:
        return input(say(texts.ASK, language)).strip().lower() in ("y", "yes")
    except EOFError:
        return False
