"""The files of each sample's image: from the names in a table to paths.

Owns which files a row of a table means. Does not own finding one file by its name (`data/paths.py`), an image
in a file of several (`data/readers/registry.py`) nor the rows (`data/layouts.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath

from pipeline.core.errors import DataError
from pipeline.core.sample_paths import of_channels
from pipeline.data import patterns, texts
from pipeline.data.layouts import Listing
from pipeline.data.paths import PATH_FAULTS, Faults, Index, Locator, image_suffix
from pipeline.data.readers.registry import Members, packed
from pipeline.settings.competition import CompetitionSettings


def find(listing: Listing, settings: CompetitionSettings, faults: Faults) -> tuple[list[str], Sequence[str]]:
    """The path of every row's image, and notes about how they were found.

    An image that has a file for each channel gets the paths of all of them; see `core/sample_paths.py`.
    """
    names = listing.table.column(listing.path_column)
    if packed(listing.images):
        if settings.channel_files:
            faults.add("unreadable images", texts.CHANNELS_IN_FILE.format(file=listing.images))
        return _members(listing, names, faults), ()
    wanted = [_files(name, settings.channel_files) for name in names]
    locator = Locator(
        listing.images, [f for own in wanted for f in own], Index(listing.images, listing.without)
    )
    paths = []
    for row, own in enumerate(wanted):
        found = []
        for written in own:
            kind, path = locator.find(written, listing.table.rows[row])
            found.append(path)
            if kind:
                matches = ", ".join(locator.matches)
                text = PATH_FAULTS[kind].format(path=written, folder=listing.images, matches=matches)
                faults.add(kind, f"{listing.where(row)}: {text}")
        paths.append(of_channels(found))
    return paths, tuple(locator.notes(listing.table.name)) if listing.files else ()


def _files(written: str, channel_files: Sequence[str]) -> list[str]:
    """The files that a cell means: itself, or one for each channel."""
    if not channel_files or not written.strip():
        return [written]
    name = written[: -len(PurePosixPath(written).suffix)] if image_suffix(written) else written
    return [patterns.of_channel(pattern, name) for pattern in channel_files]


def _members(listing: Listing, names: Sequence[str], faults: Faults) -> list[str]:
    """The place of every row's image in a file of several."""
    try:
        members = Members(listing.images, listing.reading)
    except DataError as error:
        for text in error.faults or (f"{error.headline}{f' ({error.remedy})' if error.remedy else ''}",):
            faults.add("unreadable images", text)
        return []
    paths = []
    for row, written in enumerate(names):
        kind, path = members.find(written, listing.path_column)
        paths.append(path)
        if kind:
            text = texts.NOT_IN_FILE.format(name=written, file=listing.images)
            faults.add(kind, f"{listing.where(row)}: {text}")
    return paths
