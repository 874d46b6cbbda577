"""A user's regular expression for groups, applied to all paths within a time limit.

Owns the time limit. Does not own what a match means (`data/competition.py`) nor guessed patterns
(`data/new/groups.py`).

Python's `re` cannot be interrupted, and `(a+)+b` needs time that doubles with each letter of a name. A
pattern with few repetitions, none of them of a group, cannot do that; any other one runs in a process of its
own, which ends when the time is over.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Sequence

from pipeline.core.errors import DataError
from pipeline.data import texts

SECONDS, SECONDS_A_PATH = 10.0, 0.001
# A name has at most 255 characters: two repetitions need at most their square.
MOST_REPEATS = 3
REPEAT = re.compile(r"(?<!\\)(?:[*+]|\{\d*,\d*\})")
REPEATED_GROUP = re.compile(r"\)(?:[*+]|\{)")
CODE = """
import json, re, sys
pattern, paths = json.load(sys.stdin)
found = [re.search(pattern, path) for path in paths]
json.dump([hit[1] if hit else None for hit in found], sys.stdout)
"""


def groups_of(pattern: str, paths: Sequence[str]) -> list[str | None]:
    """The one group of the pattern in each path; None where it matches nothing.

    Raises:
        DataError: the pattern takes too long.
    """
    if len(REPEAT.findall(pattern)) <= MOST_REPEATS and not REPEATED_GROUP.search(pattern):
        compiled = re.compile(pattern)
        return [hit[1] if (hit := compiled.search(path)) else None for path in paths]
    seconds = SECONDS + SECONDS_A_PATH * len(paths)
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-c", CODE],
            input=json.dumps([pattern, list(paths)]),
            capture_output=True,
            text=True,
            timeout=seconds,
            check=True,
        )
    except subprocess.TimeoutExpired:
        raise DataError(
            texts.SLOW_PATTERN.format(pattern=pattern, paths=len(paths), seconds=seconds),
            remedy=texts.SLOW_PATTERN_REMEDY,
        ) from None
    groups: list[str | None] = json.loads(done.stdout)
    return groups
