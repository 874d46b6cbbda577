"""Patterns of file names: a user's regular expression for groups, and the files of an image or a sample.

Owns the time limit of regular expressions, and `{id}_red.png` as a pattern of names. Does not
own what a match means (`data/competition.py`) nor guessed patterns (`data/new/groups.py`).

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
# What stands for an image's name in the pattern of a channel's file.
PLACE = "{id}"
NUMBERS = re.compile(r"(\d+)")
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


def filled(pattern: str, name: str) -> str:
    """The pattern of a file with its image: for the image `a/7` and `{id}_red.png`, `a/7_red.png`."""
    if "/" in pattern:
        return pattern.replace(PLACE, name)
    folder, slash, own = name.rpartition("/")
    return f"{folder}{slash}{pattern.replace(PLACE, own)}"


def names_of(paths: Sequence[str], wanted: Sequence[str]) -> tuple[list[str], list[str]]:
    """(names, paths that fit no pattern), of the files of images or samples that have several."""
    forms = [_form(pattern) for pattern in wanted]
    names: dict[str, None] = {}
    rest = []
    for path in paths:
        hits = [hit for form in forms if (hit := form.fullmatch(path))]
        if hits:
            # The longest name is that of the shortest pattern: {id}.png takes everything.
            shortest = min(hits, key=lambda hit: len(hit["own"]))
            names[f"{shortest.groupdict().get('folder') or ''}{shortest['own']}"] = None
        else:
            rest.append(path)
    return list(names), rest


def _form(pattern: str) -> re.Pattern[str]:
    before, after = (re.escape(part).replace("\\*", "[^/]*") for part in pattern.split(PLACE))
    folder = "" if "/" in pattern else "(?P<folder>(?:.*/)?)"
    own = "(?P<own>[^/]+)"
    return re.compile(f"{folder}{before}{own}{after}", re.S)
