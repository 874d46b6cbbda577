"""The shell command that tries a setting.

Owns repeating what was asked for with other settings on top, through three readers' quoting. Does not own
what is advised.
"""

import os
import re
import shlex
from pathlib import Path

TRAIN = "make train"


def train_with(asked: tuple[str, ...], *settings: str) -> str:
    """`make_with` for `make train`."""
    return make_with(TRAIN, asked, *settings)


def make_with(command: str, asked: tuple[str, ...], *settings: str) -> str:
    """The shell command that does this with what was asked for, and these settings on top.

    Args:
        command: `make train` or another.
        asked: words such as `competition=digits`, `experiment=tiny_cnn`, `train.epochs=3`; one that a
            setting replaces is left out, as no path may be given twice.
        settings: words of the same form.
    """
    paths = {path_of(word) for word in settings}
    words = [*(word for word in asked if path_of(word) not in paths), *settings]
    if not words:
        return command
    # Three readers: the shell that make starts, make, and the shell in which this is typed.
    for_make = " ".join(shlex.quote(word) for word in words).replace("$", "$$")
    typed = re.sub(r'([\\"`$])', r"\\\1", for_make)
    return f'{command} ARGS="{typed}"'


def path_of(word: str) -> str:
    """`train.epochs` of `train.epochs=3`."""
    return word.partition("=")[0]


def shown(path: Path) -> str:
    """A path as a person would type it here: relative below this folder, whole elsewhere."""
    near = os.path.relpath(path)
    return str(path) if near.startswith("..") else near
