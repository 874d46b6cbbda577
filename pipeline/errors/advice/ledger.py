"""The ledger of advice: what reports advised, so that later reports can show what following it gained.

Owns submissions/advice.jsonl, with one line for each piece of advice that changes the settings of a run, one
for each that `make improve` carried out, and matching advice with finished runs. Does not own the advice
(`advisor.py`) nor carrying it out (`plan/improving.py`).

    {"when", "competition", "about": "train/<key>", "experiment", "kind", "sentence", "settings", "bound"}
    {the same without "sentence", "outcome": {"verdict", "delta", "low", "high", "seconds", "tries", "run",
     "kept", "share"}, "on": {"images", "classes", "groups", "target", "metric"}}

A run has followed a piece of advice if it has the data, the folds and the settings of the run that the advice
was for, except the advised settings. It may be older than the advice: what was tried before is not advised
again, but its gain is shown.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline.engine import naming
from pipeline.errors import texts
from pipeline.errors.advice.changes import FinishedRuns
from pipeline.errors.advice.facts import Advice
from pipeline.errors.diff.conclusion import FollowedAdvice
from pipeline.record.claims import Lock
from pipeline.record.files import sha256_text, write_atomic
from pipeline.record.store import Artifact
from pipeline.settings.read import read_words

log = logging.getLogger(__name__)

LEDGER = "advice.jsonl"
REPORTED = "advice.json"
# Rules about heads on a frozen network.
OF_HEADS = ("frozen",)
# How many faulty lines a warning names.
SHOWN = 5
# A value that is a number or a list of numbers.
NUMBERS = re.compile(r"[-+0-9.eE, \[\]]+")


@dataclass(frozen=True)
class GivenAdvice:
    """A piece of advice that can be followed.

    Args:
        about: `train/<key>` of the run that it was for.
        experiment: the name of that run.
        settings: the words that it changes.
        bound: the most that it can gain; None: not known.
    """

    about: str
    experiment: str
    settings: tuple[str, ...]
    bound: float | None

    @property
    def wanted(self) -> dict[str, str]:
        """The advised settings as dotted path → JSON text, as manifests hold them."""
        return {path: json.dumps(value, ensure_ascii=False) for path, value in read_words(self.settings)}


def ledger_of(home: Path) -> Path:
    """Path of the ledger."""
    return home / "submissions" / LEDGER


class AdviceOutcome(BaseModel):
    """What a piece of advice brought when it was carried out, against the run that it was for.

    `delta`, `low` and `high` are of the paired comparison, corrected for `tries` attempts; `run`: its
    inference; `kept`: whether it became a member of the blend; `share`: of the way to a perfect score that it
    gained, alone or in the blend, 0 if it was not kept; None: an earlier version did not note it.
    """

    model_config = ConfigDict(strict=True, extra="allow", frozen=True)

    verdict: str
    delta: Annotated[float, Field(allow_inf_nan=False)]
    low: Annotated[float, Field(allow_inf_nan=False)]
    high: Annotated[float, Field(allow_inf_nan=False)]
    seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    tries: int
    run: str
    kept: bool
    share: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = None


class _Line(BaseModel):
    """The form of a line; the file is merged by hand, so it may hold anything."""

    model_config = ConfigDict(strict=True, extra="allow")

    about: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+/[A-Za-z0-9_-]+$")]
    experiment: str
    settings: Annotated[list[Annotated[str, Field(pattern="^[^=]+=")]], Field(min_length=1)]
    bound: Annotated[float, Field(allow_inf_nan=False)] | None
    kind: str = ""
    competition: str = ""
    outcome: AdviceOutcome | None = None


@dataclass(frozen=True)
class CarriedOut:
    """A piece of advice that was carried out, and its outcome."""

    competition: str
    about: str
    kind: str
    settings: tuple[str, ...]
    outcome: AdviceOutcome

    @property
    def remedy(self) -> str:
        """What it changed; see `remedy_of`."""
        return remedy_of(self.settings, self.kind)


def remedy_of(settings: Sequence[str], kind: str) -> str:
    """What a piece of advice changes: its settings, numbers left out: `images.size`, `loss.name=focal`.

    One rule may advise different remedies, and two rules the same one: what paid is counted by remedy. But a
    rule for networks that are not trained has remedies of its own, with its name first: larger images do
    something else to them.
    """
    named = (word.partition("=") for word in settings)
    changed = [path if NUMBERS.fullmatch(value) else f"{path}={value}" for path, _, value in named]
    return " ".join([kind, *changed] if kind in OF_HEADS else changed)


def read(home: Path) -> tuple[GivenAdvice, ...]:
    """All advice so far, oldest first; lines with faults are skipped, and `keep` names them."""
    given, _ = _parsed(home)
    return tuple(
        GivenAdvice(one.about, one.experiment, tuple(one.settings), one.bound)
        for one in given
        if one.outcome is None
    )


def carried_out(home: Path) -> tuple[CarriedOut, ...]:
    """All advice that was carried out, oldest first."""
    lines, _ = _parsed(home)
    return tuple(
        CarriedOut(one.competition, one.about, one.kind, tuple(one.settings), one.outcome)
        for one in lines
        if one.outcome is not None
    )


def note(home: Path, line: Mapping[str, Any]) -> None:
    """Add the line of a piece of advice that was carried out."""
    path = ledger_of(home)
    path.parent.mkdir(parents=True, exist_ok=True)
    with Lock(path.parent, path.name):
        _add(path, [json.dumps(dict(line), ensure_ascii=False)])


def _add(path: Path, lines: Sequence[str]) -> None:
    before = path.read_bytes() if path.is_file() else b""
    ended = before if before.endswith(b"\n") or not before else before + b"\n"
    write_atomic(path, ended + ("\n".join(lines) + "\n").encode("utf-8"))


def _parsed(home: Path) -> tuple[tuple[_Line, ...], list[str]]:
    """All valid lines, and the faults of the others, such as marks of an unfinished merge."""
    path = ledger_of(home)
    # Split at line ends only: `splitlines` would also split inside a sentence with U+2028.
    lines = path.read_bytes().decode("utf-8", "replace").split("\n") if path.is_file() else []
    entries, faults = [], []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            kept = _Line.model_validate_json(line)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            place = ".".join(str(step) for step in first["loc"])
            what = f"{place}: {first['msg']}" if place else first["msg"]
            faults.append(texts.ADVICE_LINE.format(line=number, what=what))
        else:
            entries.append(kept)
    return tuple(entries), faults


def keep(home: Path, report: Artifact) -> None:
    """Add the advice of a report to the ledger, each piece once."""
    reported = report.json(REPORTED)
    path = ledger_of(home)
    path.parent.mkdir(parents=True, exist_ok=True)
    with Lock(path.parent, path.name):
        given, faults = _parsed(home)
        if faults:
            log.warning("%s", texts.ADVICE_FAULTS.format(file=path, lines="; ".join(faults[:SHOWN])))
        known = {(one.about, tuple(one.settings)) for one in given if one.outcome is None}
        added = [
            json.dumps({"when": report.manifest["created"], **entry}, ensure_ascii=False)
            for entry in reported["given"]
            if (entry["about"], tuple(entry["settings"])) not in known
        ]
        if added:
            _add(path, added)


def entry(advice: Advice, about: Artifact) -> dict[str, Any]:
    """A line of the ledger, without its time."""
    return {
        "competition": about.manifest["competition"],
        "about": about.address,
        "experiment": naming.label_of(about),
        "kind": advice.kind,
        "sentence": advice.sentence,
        "settings": list(advice.settings),
        "bound": advice.bound,
    }


def split(
    advice: Sequence[Advice], about: Artifact | None, runs: FinishedRuns, home: Path
) -> tuple[tuple[Advice, ...], tuple[FollowedAdvice, ...]]:
    """The advice that no finished run followed yet, and the gains of advice that was followed, newest run
    first.

    `about` is the training that the advice is about; None: not known.
    """
    if about is None:
        return tuple(advice), ()
    name, label = about.address, naming.label_of(about)
    todo: list[tuple[Advice, GivenAdvice]] = []
    tried: list[tuple[Advice, GivenAdvice]] = []
    for piece in advice:
        given = GivenAdvice(name, label, piece.settings, piece.bound)
        (tried if piece.settings and runs.differing(about, given.wanted) else todo).append((piece, given))
    listed = [given for _, given in tried]
    listed += [g for g in read(home) if (g.about, g.settings) not in {(x.about, x.settings) for x in listed}]
    by_key = {a.address: a for a in runs.all}
    followed: list[tuple[str, FollowedAdvice]] = []
    for given in listed:
        old = by_key.get(given.about)
        new = runs.differing(old, given.wanted) if old is not None else None
        if old is None or new is None:
            continue
        gained = runs.compare(new, old)
        one = FollowedAdvice(" ".join(given.settings), given.experiment, given.bound, gained)
        followed.append((str(new.manifest["created"]), one))
    newest = sorted(followed, key=lambda pair: pair[0], reverse=True)
    return tuple(one for one, _ in todo), tuple(one for _, one in newest)


def digest(home: Path, runs: FinishedRuns) -> str:
    """What a report depends on besides its inputs: the finished runs, and the advice that they followed.

    Advice that no run followed is left out, so adding a report's advice to the ledger does not change the
    report.
    """
    by_key = {a.address: a for a in runs.all}
    followed = [
        f"{g.about} {g.settings} {g.bound}"
        for g in read(home)
        if g.about in by_key and runs.differing(by_key[g.about], g.wanted)
    ]
    decided = [a.address for a in runs.decisions]
    return sha256_text(json.dumps([sorted([*by_key, *decided]), sorted(followed)]))[:16]
