"""The path of a sample: of one image file, of one file for each channel, or of several images.

Owns how several files are written as one text. Does not own finding the files (`data/sample_files.py`) nor
reading them (`data/readers/`).

    /data/7.png                                  one image
    /data/7_red.png //⇥// /data/7_green.png      one image with a file for each channel: tabs between them
    /data/7_left.png //⏎// /data/7_right.png     two images: line feeds between them

Names may hold tabs and line feeds, but no path holds two slashes in a row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

CHANNEL_SEPARATOR, IMAGE_SEPARATOR = "//\t//", "//\n//"


def images_of(path: str) -> list[str]:
    """The path of each image of a sample."""
    return path.split(IMAGE_SEPARATOR)


def files_of(image: str) -> list[str]:
    """The files of one image: one, or one for each channel."""
    return image.split(CHANNEL_SEPARATOR)


def every_file(path: str) -> list[str]:
    """All files of a sample."""
    return [file for image in images_of(path) for file in files_of(image)]


def of_channels(files: Iterable[str]) -> str:
    """The path of an image of these files."""
    return CHANNEL_SEPARATOR.join(files)


def of_images(images: Iterable[str]) -> str:
    """The path of a sample of these images."""
    return IMAGE_SEPARATOR.join(images)


def each(path: str, change: Callable[[str], str]) -> str:
    """The path with each of its files changed."""
    return of_images(of_channels(change(file) for file in files_of(image)) for image in images_of(path))
