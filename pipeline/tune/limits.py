"""When a search ends: TRIALS, TIMEOUT, JOBS and BUDGET of `make tune`.

Owns reading and refusing them. Does not own ending (`tune/tune.py`, `tune/tune_all.py`).
"""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass

from pipeline.core.errors import ConfigError

UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}
TIME = re.compile(r"(\d+(?:\.\d+)?)([smh]?)")


@dataclass(frozen=True)
class Limits:
    """When a search ends.

    Args:
        trials: in the whole study.
        seconds: of searching, the re-test not counted; None: no limit.
        jobs: processes.
    """

    trials: int
    seconds: float | None = None
    jobs: int = 1


def seconds_of(text: str, name: str) -> float:
    """`90`, `90s`, `30m` or `2h` in seconds.

    Raises:
        ConfigError: it is none of these, or nothing.
    """
    found = TIME.fullmatch(text.strip())
    if not found or float(found[1]) <= 0:
        raise ConfigError(
            f"{name}={text}: no length of time", remedy=f"e.g. {name}=90s, {name}=30m or {name}=2h"
        )
    return float(found[1]) * UNITS[found[2] or "s"]


def limits_of(options: argparse.Namespace, trials_: int) -> Limits:
    """When a search ends, as the command says.

    Args:
        options: of the command.
        trials_: where it does not say.

    Raises:
        ConfigError: limits that are none, all at once.
    """
    wanted = trials_ if options.trials is None else options.trials
    seconds = seconds_of(options.timeout, "TIMEOUT") if options.timeout else None
    bad = [f"TRIALS={wanted}: at least one"] * (wanted < 1)
    bad += [f"JOBS={options.jobs}: at least one, at most 64"] * (not 1 <= options.jobs <= 64)
    if options.budget and options.stage != "all":
        bad.append(f"BUDGET={options.budget}: is for STAGE=all; one stage has TIMEOUT={options.budget}")
    if bad:
        raise ConfigError(f"tune: {len(bad)} to mend", bad)
    return Limits(wanted, seconds, options.jobs)
