"""How often each remedy of the error report paid on open sets, and how much: tables in configs/advice/.

    - remedy: train.epochs            # the settings that it changes, numbers left out: also loss.name=focal
      kept: 2                         # times that it was kept,
      tried: 3                        # of so many times that it was carried out
      gain: 0.05                      # share of the way to a perfect score that it gained, mean of all times
      target: exclusive               # what it was carried out on: kind of answers,
      images: 600                     # and labelled images
      origin: "benchmarks/improve.py, 2026-11-29: emoji and digits"

Owns the format, its faults, and how much a line counts on other data. Does not own the outcomes of a
project's own advice (`errors/advice/ledger.py`) nor the order of advice (`plan/improving.py`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from pipeline.core.errors import ConfigError, nearest
from pipeline.core.samples import Kind
from pipeline.settings import read
from pipeline.settings.read import Fault, ParsedFile, parse_file

GROUP = "advice"
KEYS = ("remedy", "kept", "tried", "gain", "target", "images", "origin")
FORMAT = "settings/advice_table.py shows the form of an entry"


@dataclass(frozen=True)
class Paid:
    """One line: how often a remedy was kept, of how often it was carried out, on one sort of data.

    Args:
        gain: share of the way to a perfect score that it gained, 0 to 1, mean of all times; 0 when not kept.
    """

    remedy: str
    kept: int
    tried: int
    gain: float
    target: str
    images: int
    origin: str

    def weight(self, target: str, images: int) -> float:
        """How much an outcome counts on other data, 0 to 1.

        Nothing for other kinds of answers; ten times as many images, or a tenth of them, count a third.
        """
        if target != self.target or images < 1:
            return 0.0
        return math.sqrt(min(images, self.images) / max(images, self.images))


def lines(folder: Path) -> tuple[Paid, ...]:
    """The lines of all tables; none if there is no table.

    Raises:
        ConfigError: entries have faults; all of them are named.
    """
    found: list[Paid] = []
    faults: list[Fault] = []
    for name in read.names(folder, GROUP):
        file = f"{GROUP}/{name}.yaml"
        parsed = parse_file(read.found(folder, file), f"{folder.name}/{file}", GROUP)
        entries = list(parsed.data.get(GROUP, []))
        own = [*parsed.faults, *_faults(parsed, entries)]
        faults += own
        if not own:
            found += [Paid(**{key: entry[key] for key in KEYS}) for entry in entries]
    if faults:
        count = f"{len(faults)} faults" if len(faults) > 1 else "a fault"
        raise ConfigError(f"{folder.name}/{GROUP}: {count}", [str(fault) for fault in faults], FORMAT)
    return tuple(found)


def counted(table: Sequence[Paid], remedy: str, target: str, images: int) -> tuple[float, float]:
    """(gains, tried) of a remedy: sums over outcomes, each by its weight on data of this kind and size.

    A gain is a share of the way to a perfect score.
    """
    own = [(line.weight(target, images), line) for line in table if line.remedy == remedy]
    return sum(w * line.tried * line.gain for w, line in own), sum(w * line.tried for w, line in own)


def _faults(parsed: ParsedFile, entries: Sequence[Any]) -> Iterator[Fault]:
    for number, entry in enumerate(entries):
        at = f"{GROUP}[{number}]"
        place = next((line for path, line in parsed.lines.items() if path.startswith(at)), parsed.where)
        for what in _of_entry(entry):
            yield Fault(place, f"entry {number + 1}{what}")


def _of_entry(entry: Any) -> Iterator[str]:
    if not isinstance(entry, dict):
        yield f": expected a mapping with {', '.join(KEYS)}, got {type(entry).__name__}"
        return
    for key in entry:
        if key not in KEYS:
            yield f".{key}: unknown key; {nearest(str(key), KEYS) or 'known: ' + ', '.join(KEYS)}"
    for key in ("remedy", "target", "origin"):
        if not isinstance(entry.get(key), str) or not entry[key].strip():
            yield f".{key}: is missing, or not a text"
    target = entry.get("target")
    if isinstance(target, str) and target.strip() and target not in get_args(Kind):
        yield f".target: {target!r} is not one of {', '.join(get_args(Kind))}"
    numbers = {}
    for key in ("kept", "tried", "images"):
        number = entry.get(key)
        if isinstance(number, bool) or not isinstance(number, int) or number < 0:
            yield f".{key}: {number!r} is not a whole number of at least 0"
        else:
            numbers[key] = number
    gain = entry.get("gain")
    if isinstance(gain, bool) or not isinstance(gain, int | float) or not 0 <= gain <= 1:
        yield f".gain: {gain!r} is not a number from 0 to 1"
    if len(numbers) == 3 and numbers["kept"] > numbers["tried"]:
        yield f".kept: {numbers['kept']} is more than tried, {numbers['tried']}"
