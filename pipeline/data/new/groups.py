"""The group of an image: columns and parts of file names that could say whose it is.

Owns guesses about groups, and the host's own folds. Does not own the settings of groups
(`data/new/propose.py`) nor reading them (`data/competition.py`).

Images of one person, lesion or place are alike, so a group is never on both sides of a split. A group that is
the answer itself is none: each class would be in one fold only.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt
from PIL import Image

from pipeline.core.language import joined
from pipeline.core.seeds import some_of
from pipeline.core.tables import Table
from pipeline.core.wording import worded
from pipeline.data import texts
from pipeline.data.decode import UNDECODABLE, pillow
from pipeline.data.new import kinds
from pipeline.data.new.folders import split_of
from pipeline.data.paths import Locator, nfc
from pipeline.settings.competition import UNKNOWN_GROUPS, no_group

# Who or what is on the images, how they were taken, and where: people come first, because one person is in
# several visits and a place has several people.
PEOPLE_WORDS = (
    *("person", "people", "patient", "subject", "user", "owner", "individual", "client", "donor", "animal"),
    *("volunteer", "participant", "speaker", "driver", "player", "household"),
)
TAKEN_WORDS = (
    *("group", "video", "sequence", "scene", "session", "study", "series", "case", "concept", "lesion"),
    *("specimen", "slide", "scan", "exam", "visit", "clip", "track", "capture", "burst", "seq_id", "wsi"),
    "eye_of",
)
PLACE_WORDS = (
    *("site", "location", "camera", "source", "src", "plot", "farm", "hospital", "station", "uploader"),
    *("photographer", "author"),
)
GROUP_WORDS = (PEOPLE_WORDS, TAKEN_WORDS, PLACE_WORDS)
TAKEN, PLACE = 1, 2
# So many places can be divided into folds.
MANY_PLACES = 10
# Columns that describe: `patient_age` and `anatom_site` have many images a value and are not groups.
DESCRIBING = frozenset(
    (
        *("age", "sex", "gender", "race", "ethnicity", "height", "weight", "bmi", "type", "kind", "model"),
        *("anatom", "anatomical", "anatomy", "body", "view", "position", "orientation", "side", "laterality"),
        *("count", "num", "size", "area", "width", "length", "diameter", "density", "description", "desc"),
    )
)
FOLD_NAME = re.compile(r"(?:k_?|cv_?|val_?)?folds?(?:_?(?:id|no|nr|number|index))?|cv")
SPLIT_NAME = re.compile(r"(?:data[_ ]?)?(?:split|set|subset|partition|usage|phase)(?:[_ ]?name)?")
FEWEST_FOLDS, MOST_FOLDS = 2, 50
# Tried in this order on names such as `p012_3m.jpg` or `glass/p012_3m.jpg`.
PATTERNS = (
    # A folder of one person, also further up than the images' own one (patient, then study).
    (
        r"(?:^|/)((?i:patient|subject|subj|person|participant|case|individual|animal)[ _-]?\w*\d\w*)/",
        texts.FOLDER_OF_ONE,
    ),
    (r"(?:^|/)([A-Za-z]*\d+)[_-][^/]*$", texts.PARTS_OF_NAMES[0]),
    (r"(?:^|/)([^/\d]*\d+)[_ -][^/]*$", texts.PARTS_OF_NAMES[1]),
    (r"(?:^|/)([^/_-]+)[_-][^/]*$", texts.PARTS_OF_NAMES[2]),
    (r"(?:^|/)([^/]+)[_-][^/_-]+$", texts.PARTS_OF_NAMES[3]),
    (r"([^/]+)/[^/]+$", texts.PARTS_OF_NAMES[4]),
)
IMAGES_A_GROUP = (1.3, 200)
# A class of so many images whose images are all in one group is the group.
SWALLOWED = 5
SHOWN_EXAMPLES = 3
# Of the values of a column without a typical name: how many must be codes, and how many there must be, at all
# and for each class.
CODED, FEWEST_CODED, CODED_A_CLASS = 0.9, 20, 3
# The name of a file without its folder and extension.
FILE_NAME = r"([^/]+?)(?:\.[^/.]*)?$"
# Names of which the pictures are compared, the side of the small copies (px), and how much smaller the usual
# difference of two pictures of one name must be than that of two names.
COMPARED_NAMES, COMPARED_PX, ALIKE = 12, 16, 0.25


def group_columns(table: Table, taken: Sequence[str]) -> list[tuple[str, str]]:
    """(column, reason) of columns that could be the group, those with a typical name first.

    Of several such names, people come before what was taken of them, and that before places; then the one
    with fewer groups, because it keeps more images together. An image whose group is unknown counts as a
    group of its own.
    """
    candidates: list[tuple[int, int, str, str]] = []
    for column in table.columns:
        if column in taken or kinds.words_in(column) & DESCRIBING:
            continue
        values = table.column(column)
        known = [v for v in values if not no_group(v, UNKNOWN_GROUPS)]
        unknown, groups = len(values) - len(known), len(set(known))
        if 2 * unknown > len(values) or not _like_groups(groups + unknown, len(values)):
            continue
        named = _named(column)
        text = texts.GROUP_COUNT.format(groups=groups, images=len(table))
        text += worded(texts.GROUP_UNKNOWN, rows=unknown) if unknown else ""
        why = texts.BY_NAME_TOO.format(text=text) if named else text
        candidates.append((_rank(column), groups, column, why))
    candidates.sort()
    if candidates and candidates[0][0] == TAKEN:
        # A place that holds whole sequences or visits keeps them together, and its own look as well.
        first = table.column(candidates[0][2])
        around = [c for c in candidates if c[0] == PLACE and c[1] >= MANY_PLACES]
        around = [
            c for c in around if len(set(zip(first, table.column(c[2]), strict=True))) == len(set(first))
        ]
        candidates = around[:1] + [c for c in candidates if c not in around[:1]]
    return [(column, why) for *_, column, why in candidates]


def _rank(column: str) -> int:
    """0 for people, 1 for what was taken of them, 2 for places, 3 for all other names."""
    name = column.lower()
    found = (rank for rank, some in enumerate(GROUP_WORDS) if any(word in name for word in some))
    return next(found, len(GROUP_WORDS))


def _named(column: str) -> bool:
    return _rank(column) < len(GROUP_WORDS) and not kinds.words_in(column) & DESCRIBING


def named_group(columns: Sequence[tuple[str, str]]) -> tuple[str, str] | None:
    """The first of `group_columns` with a typical name."""
    return next(((column, why) for column, why in columns if _named(column)), None)


def coded_group(
    table: Table, columns: Sequence[tuple[str, str]], classes: Sequence[int]
) -> tuple[str, str] | None:
    """The only one of `group_columns` whose values are codes of things, as `bag17`; None: none or several.

    Taking a column that is no group costs little; folds that split a group make every score too good.
    """
    coded = [(c, why) for c, why in columns if _are_codes(table.column(c), len(set(classes)))]
    return (coded[0][0], texts.GROUP_CODED.format(why=coded[0][1])) if len(coded) == 1 else None


def _are_codes(values: Sequence[str], classes: int) -> bool:
    """Whether nearly all values have letters and digits, and there are many more of them than classes."""
    known = {v for v in values if not no_group(v, UNKNOWN_GROUPS)}
    codes = [v for v in known if any(c.isalpha() for c in v) and any(c.isdigit() for c in v)]
    return len(codes) >= CODED * len(known) and len(known) >= max(FEWEST_CODED, CODED_A_CLASS * classes)


def is_answer(groups: Sequence[str], classes: Sequence[int]) -> bool:
    """Whether each class has one group only: the group is then the answer, and no split keeps it together."""
    pairs = set(zip(classes, groups, strict=True))
    return len(pairs) == len(set(classes)) < len(classes)


def swallows(groups: Sequence[str], classes: Sequence[int]) -> bool:
    """Whether a class of several images is one group, or one group has half of all images."""
    of_class: dict[int, list[str]] = {}
    for group, code in zip(groups, classes, strict=True):
        of_class.setdefault(code, []).append(group)
    if any(len(set(names)) == 1 and len(names) >= SWALLOWED for names in of_class.values()):
        return True
    return 2 * max(Counter(groups).values()) >= len(groups)


def fold_columns(table: Table) -> list[tuple[str, int]]:
    """(column, number of values) of the columns that the host divided the rows with."""
    found = []
    for column in table.columns:
        folds = len({v for v in table.column(column) if v})
        if FOLD_NAME.fullmatch(column.lower()) and FEWEST_FOLDS <= folds <= MOST_FOLDS:
            found.append((column, folds))
    return found


def split_columns(table: Table) -> list[tuple[str, str]]:
    """(column, values with their rows) of the columns that say which rows are training rows."""
    found = []
    for column in table.columns:
        if not SPLIT_NAME.fullmatch(column.lower()):
            continue
        rows = Counter(table.column(column))
        if len({split_of(value) for value in rows} - {None}) > 1:
            found.append((column, ", ".join(f"{value}: {count:,}" for value, count in rows.most_common())))
    return found


def group_patterns(paths: Sequence[str], classes: Sequence[int]) -> list[tuple[str, str]]:
    """(pattern, reason) of parts of file names that could be the group, most likely first.

    Every path must have the part, groups must have several images, there must be more groups than classes,
    and no class may be one group: a prefix such as `glass` in `glass_12.jpg` is the class and not a group.
    """
    candidates: list[tuple[str, str]] = []
    seen = set()
    for pattern, part in PATTERNS:
        hits = [re.search(pattern, nfc(path)) for path in paths]
        names = [hit[1] for hit in hits if hit]
        groups = len(set(names))
        same = tuple(names)
        if len(names) < len(paths) or groups < 2 * len(set(classes)) or same in seen:
            continue
        if _like_groups(groups, len(paths)) and not swallows(names, classes):
            seen.add(same)
            counts = {"groups": groups, "images": len(paths), "examples": _examples(names, paths)}
            candidates.append((pattern, texts.PATTERN.format(part=part, **counts)))
    return candidates


def _examples(names: Sequence[str], paths: Sequence[str]) -> str:
    """The first image of some groups."""
    first: dict[str, str] = {}
    for group, path in zip(names, paths, strict=True):
        first.setdefault(group, path)
    shown = list(first.items())[:SHOWN_EXAMPLES]
    named = [(path.rsplit("/", 1)[-1], group) for group, path in shown]
    return joined(", ", (texts.GROUP_EXAMPLE.format(path=name, group=group) for name, group in named))


def _like_groups(groups: int, images: int) -> bool:
    fewest, most = IMAGES_A_GROUP
    return groups > 2 and fewest <= images / groups <= most


def repeated_pictures(folder: Path, paths: Sequence[str]) -> tuple[str, str] | None:
    """(pattern, reason) of the file name as the group, if the same picture is in several folders.

    Equal names alone prove nothing: `cat/1.jpg` and `dog/1.jpg` are usually different pictures. So small grey
    copies of some pictures are compared, those of one name with those of other names.
    """
    of_name: dict[str, list[str]] = {}
    for path in paths:
        of_name.setdefault(nfc(PurePosixPath(path).stem), []).append(path)
    repeated = {name: some for name, some in of_name.items() if len(some) > 1}
    if 2 * sum(map(len, repeated.values())) < len(paths) or len(repeated) < COMPARED_NAMES:
        return None
    locator = Locator(folder, paths)
    every = list(repeated.values())
    chosen = [every[n] for n in some_of(len(every), COMPARED_NAMES)]
    pairs = [[small for path in some[:2] if (small := _small(locator, path)) is not None] for some in chosen]
    pairs = [pair for pair in pairs if len(pair) == 2]
    if len(pairs) < COMPARED_NAMES // 2:
        return None
    same = np.median([np.abs(one - other).mean() for one, other in pairs])
    others = zip(pairs, pairs[1:] + pairs[:1], strict=True)
    different = np.median([np.abs(a[0] - b[1]).mean() for a, b in others])
    if same > ALIKE * different:
        return None
    examples = _examples(list(repeated), [some[0] for some in repeated.values()])
    counts = {"groups": len(of_name), "images": len(paths), "examples": examples}
    return FILE_NAME, texts.PATTERN.format(part=texts.SAME_PICTURE, **counts)


def _small(locator: Locator, written: str) -> npt.NDArray[np.float64] | None:
    """A small grey copy of a picture; None if it does not open."""
    fault, path = locator.find(written)
    if fault:
        return None
    try:
        with pillow(), Image.open(path) as image:
            return np.asarray(image.convert("L").resize((COMPARED_PX, COMPARED_PX)), np.float64)
    except UNDECODABLE:
        return None
