"""`make submit FILE=…`: hand a submission in, after a look at what it is likely to gain.

    make submit FILE=submissions/pets-ensemble-3fa29b.csv             asks first
    make submit FILE=… MESSAGE="five members" YES=1                   does not ask

Owns the order: validate, compare, count, ask, call, note. Does not own the checks
(`submit/validate.py`), the ledger of submits (`submit/submits.py`) or the bootstrap
(`core/statistics.py`).
"""

from __future__ import annotations

import argparse
import shlex
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from pipeline.core import metrics
from pipeline.core.errors import DataError
from pipeline.data import host, load, submission
from pipeline.engine.context import Context
from pipeline.engine.registry import Need
from pipeline.record.digests import sha256_file
from pipeline.record.store import Artifact
from pipeline.submit import hostscore, odds, submits, validate
from pipeline.submit import ledger as leaderboard
from pipeline.submit.client import Client
from pipeline.submit.submission import is_untouched, ledger_of
from pipeline.submit.validating import described, file_of

LEDGER = "submits.csv"


def command(ctx: Context, options: argparse.Namespace) -> None:
    """Hand a CSV in, if the person says yes.

    Raises:
        DataError: the file is not as the host asks, no submission is left today, there is no client, no
            terminal to ask at, or the command failed.
    """
    path = file_of(ctx, options.file, "submit")
    ctx.check(Need("data", ctx.settings), also=("competition", "statistics"))
    client = Client.of(ctx.settings.config.competition.submission)
    data = ctx.need("data")
    _validate(ctx, data, path)
    name = hostscore.take_in(ctx.home, ctx.settings, data, path)
    entries = leaderboard.read(ledger_of(ctx.home))
    entry = next(e for e in entries if e.name == name)
    path = ctx.home / "submissions" / f"{name}.csv"
    for line in _against_best(ctx, data, entry, entries):
        ctx.say(line)
    ledger = ctx.home / "submissions" / LEDGER
    known = submits.read(ledger)
    digest = sha256_file(path)
    for line in (*_before(ctx, known, digest), _left(ctx, known)):
        ctx.say(line)
    _refuse_more(ctx, known)
    message = " ".join((options.message or _message(entry)).split())
    words = client.words(path, message, name)
    ctx.say(f"command: {shlex.join(words)}")
    if not _agreed(options.yes):
        ctx.say("not submitted")
        return
    with submits.held(ledger):
        _refuse_more(ctx, submits.read(ledger))  # again: somebody else may have handed in meanwhile
        _hand_in(ctx, client, words, ledger, (name, digest, message))
    ctx.say(f"submitted {name}; {_left(ctx, submits.read(ledger))}")
    ctx.say(f"when the host shows its score: make score FILE={path.name} PUBLIC=…")


def _validate(ctx: Context, data: Artifact, path: Path) -> None:
    space = load.samples(data, "test", ctx.home).space
    asked = ctx.settings.config.competition.submission
    found = validate.refuse(path, host.sample(ctx.settings, data, ctx.home), space, asked)
    ctx.say(f"{path.name}: valid: {described(found.predicted, space.classes)}")


def _against_best(
    ctx: Context, data: Artifact, entry: leaderboard.Entry, entries: tuple[leaderboard.Entry, ...]
) -> list[str]:
    """P(better than the best submission), and on how many images they differ."""
    config = ctx.settings.config
    metric = metrics.get(config.competition.metric)
    others = [e for e in entries if e.competition == config.competition.name and e.metric == metric.name]
    best = leaderboard.best(others, excluding=entry.name, higher_is_better=metric.higher_is_better)
    if best is None:
        return ["no other submission is known: there is nothing to compare it with"]
    samples = load.samples(data, "train", ctx.home)
    lines = [odds.told(config, samples, ctx.store, entry, best)]
    if entry.key and not is_untouched(ctx.home / "submissions" / f"{entry.name}.csv"):
        lines.append(f"{entry.name} was edited since it was written: that speaks for what was written")
    csvs = [ctx.home / "submissions" / f"{e.name}.csv" for e in (entry, best)]
    if all(csv.is_file() for csv in csvs):
        sample = host.sample(ctx.settings, data, ctx.home)
        asked = config.competition.submission
        new, old = (submission.read(csv, samples.space, asked, sample).labels_N for csv in csvs)
        lines.append(f"it says otherwise than {best.name} on {(new != old).sum()} of {len(new)} test images")
    return lines


def _before(ctx: Context, known: tuple[submits.Submit, ...], digest: str) -> list[str]:
    """When these very bytes were handed in before."""
    competition = ctx.settings.config.competition.name
    same = [s for s in known if s.sha256 == digest and s.competition == competition]
    return [f"these very bytes were handed in before: {s.time} as {s.name}" for s in same]


def _left(ctx: Context, known: tuple[submits.Submit, ...]) -> str:
    """How many submissions are left today."""
    config, now = ctx.settings.config.competition, datetime.now(UTC)
    done, limit = len(submits.of_day(known, config.name, now)), config.submission.per_day
    if limit is None:
        return f"submissions today: {done} (competition.submission.per_day sets no limit)"
    minutes = int(submits.until_next_day(now).total_seconds() // 60)
    return (
        f"submissions left today: {max(limit - done, 0)} of {limit}; the next day begins in "
        f"{minutes // 60} h {minutes % 60} min, at 00:00 UTC"
    )


def _refuse_more(ctx: Context, known: tuple[submits.Submit, ...]) -> None:
    """Raise a DataError when none is left: a host counts one too many, or refuses it."""
    config = ctx.settings.config.competition
    done, limit = submits.of_day(known, config.name, datetime.now(UTC)), config.submission.per_day
    if limit is not None and len(done) >= limit:
        raise DataError(
            f"not submitted: none of today's {limit} submissions is left",
            [f"{s.time} {s.name}{'' if s.status == submits.ACCEPTED else f' ({s.status})'}" for s in done],
            f"wait for 00:00 UTC; if the host counts otherwise, mend submissions/{LEDGER} or "
            "competition.submission.per_day",
        )


def _hand_in(
    ctx: Context, client: Client, words: list[str], ledger: Path, what: tuple[str, str, str]
) -> None:
    """Call the command and note the submit: (name, digest, message)."""
    name, digest, message = what
    competition = ctx.settings.config.competition.name
    now = datetime.now(UTC).isoformat(timespec="seconds")
    done = submits.Submit(now, competition, name, digest, submits.ACCEPTED, message)
    try:
        client.call(words, ctx.say)
    except KeyboardInterrupt:
        submits.add(ledger, replace(done, status=submits.UNKNOWN))
        ctx.say("stopped while handing in: the host may have taken it, so it counts; look there")
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
