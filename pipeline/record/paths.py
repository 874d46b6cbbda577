"""Paths that are made from names of other people: of a provenance file, a ledger, a manifest, a shared study.

Owns which texts are names of files, joining them to a folder, and removing a folder below another one. Every
file that is written or removed under a name from outside passes here. Does not own reading those files.

A name with `..` or a leading slash would leave its folder, and a link in an unpacked archive leads out of it
as well. Both are refused before anything is written.
"""

from __future__ import annotations

import shutil
import unicodedata
from pathlib import Path

from pipeline.core.errors import DataError
from pipeline.core.language import _

# Bytes of UTF-8. File systems take 255; the names of temporary files and of reports are longer than the name.
LONGEST_NAME = 200
# Files of submissions/ that are no submission, without their endings, in lower case.
OURS = ("leaderboard", "submits", "advice", "pins", "readme")


def fault_of(name: object) -> str:
    """Why a text is not the name of a file; empty if it is one.

    It must be one part of a path, visible, without control characters or spaces at its ends.
    """
    if not isinstance(name, str):
        return _("it is not a text")
    try:
        length = len(name.encode("utf-8"))
    except UnicodeEncodeError:
        return _("it is not UTF-8")
    if not name.strip():
        return _("it is empty")
    if name in (".", "..") or "/" in name or "\\" in name:
        return _("it is a path that can leave its folder")
    if any(unicodedata.category(c) in ("Cc", "Zl", "Zp") for c in name):
        return _("it has control characters")
    if name.startswith((".", "-")) or name != name.strip():
        return _("it starts with a dot, a dash or a space, or ends with a space")
    return (
        _("it has {length} bytes; {longest} are allowed").format(length=length, longest=LONGEST_NAME)
        if length > LONGEST_NAME
        else ""
    )


def fault_of_submission(name: object) -> str:
    """Like `fault_of`, for the name of a submission, which must not be that of another file beside it."""
    fault = fault_of(name)
    if not fault and str(name).casefold() in OURS:
        fault = _("it is the name of one of Podium's own files in submissions/")
    if not fault and "  " in str(name):
        fault = _("it has two spaces in a row, which the ledger does not keep")
    return fault


def fault_of_path(path: object) -> str:
    """Why a text is not a relative path with `/`, each part a name; empty if it is one."""
    parts = path.split("/") if isinstance(path, str) else [path]
    return next((fault for part in parts if (fault := fault_of(part))), "")


def below(folder: Path, path: str) -> Path:
    """`folder / path` for a path from outside; nothing of it exists as a link, so it cannot lead elsewhere.

    Raises:
        DataError: the path is not relative, a part is not a name, or a link is on its way.
    """
    fault = fault_of_path(path)
    place = folder
    for part in () if fault else path.split("/"):
        place = place / part
        if place.is_symlink():
            fault = _("{place} is a link").format(place=place)
    if fault:
        raise DataError(
            _("{path!r} is not a path below {folder}: {fault}").format(path=path, folder=folder, fault=fault),
            remedy=_("nothing was written"),
        )
    return place


def remove_below(folder: Path, path: str) -> None:
    """Remove the folder `folder / path` with everything in it; links in it are removed, not followed.

    Raises:
        DataError: see `below`.
    """
    place = below(folder, path)
    if place.is_dir():
        shutil.rmtree(place)
