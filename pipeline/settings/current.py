"""The current competition: the one that a command is about if its words name none.

Owns the file `current-competition` in the home, one line with a name, and adding it to the words of a
command. Only the command line reads it: the words then name the competition, so it is in every key, record,
and advised command like one that was typed. Does not own the settings of a competition
(`settings/competition.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pipeline.core.errors import ConfigError, nearest
from pipeline.core.language import _
from pipeline.record.files import write_atomic
from pipeline.settings import read
from pipeline.settings.runtime import RuntimeSettings, folder_of

FILE = "current-competition"
WORD = "competition="

GONE = _("{path}: the current competition is `{name}`, but there is no {folder}/competition/{name}.yaml")
GONE_REMEDY = _('make use NAME=… chooses another, ARGS="competition=…" names one for this command; {hint}')
CURRENT = _("the current one; make use NAME=… chooses another")
NAMED = _("named in ARGS")
DEFAULT = _("the default, because none is current; make use NAME=… chooses one")
UNKNOWN = _("NAME={name}: there is no {folder}/competition/{name}.yaml")


def home_of(words: Sequence[str], folder: Path) -> Path:
    """The local home of a command, before its settings are read."""
    base = read.parse_file(read.found(folder, read.BASE), read.BASE).data.get("runtime")

    def value(name: str, default: str) -> str:
        given = [word.partition("=")[2] for word in words if word.startswith(f"runtime.{name}=")]
        written = base.get(name) if isinstance(base, dict) else None
        return given[-1] if given else str(written or default)

    neutral = RuntimeSettings()
    return folder_of(value("home", neutral.home), value("local", neutral.local))


def of(home: Path) -> str | None:
    """The name in the home's file; None: no competition is current."""
    try:
        return (home / FILE).read_text(encoding="utf-8").strip() or None
    except (OSError, UnicodeDecodeError):
        return None


def default(folder: Path) -> str | None:
    """The competition of `config.yaml`, which commands are about if none is current."""
    chosen = read.parse_file(read.found(folder, read.BASE), read.BASE).data.get("defaults")
    name = chosen.get("competition") if isinstance(chosen, dict) else None
    return None if name is None else str(name)


def words_of(words: Sequence[str], folder: Path) -> list[str]:
    """The words of a command, with the current competition if they name none.

    Raises:
        ConfigError: the current competition has no file any more.
    """
    if any(word.startswith(WORD) for word in words):
        return list(words)
    home = home_of(words, folder)
    name = of(home)
    if name is None:
        return list(words)
    known = read.names(folder, "competition")
    if name not in known:
        hint = nearest(name, known) or _("known: {known}").format(known=", ".join(known))
        headline = GONE.format(path=home / FILE, name=name, folder=folder.name)
        raise ConfigError(headline, remedy=GONE_REMEDY.format(hint=hint))
    return [f"{WORD}{name}", *words]


def choose(home: Path, name: str, folder: Path) -> None:
    """Make a competition the current one of a home.

    Raises:
        ConfigError: it has no file.
    """
    known = read.names(folder, "competition")
    if name not in known:
        hint = nearest(name, known) or _("known: {known}").format(known=", ".join(known) or _("none yet"))
        raise ConfigError(UNKNOWN.format(name=name, folder=folder.name), remedy=hint)
    home.mkdir(parents=True, exist_ok=True)
    write_atomic(home / FILE, f"{name}\n".encode())


def how_chosen(typed: Sequence[str], words: Sequence[str]) -> str:
    """Why a command is about its competition: `typed` are its words, `words` those of `words_of`."""
    if len(words) > len(typed):
        return CURRENT
    return NAMED if any(word.startswith(WORD) for word in typed) else DEFAULT
