"""The bounding box of the thing in each image, from a CSV or from a detector that a package contains.

Owns reading, checking and detecting boxes. Does not own cropping with them (`data/crop.py`).

A box is left, top, width and height as shares of the upright image, so it fits any size of that image.
A table of boxes has the columns split, id, x, y, w, h, and at most one row per image.
"""

from __future__ import annotations

import csv
import math
import os
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from tqdm import tqdm

from pipeline.core.errors import ConfigError, DataError, nearest
from pipeline.data.decode import Pixels

COLUMNS = ("split", "id", "x", "y", "w", "h")
NUMBERS = ("x", "y", "w", "h")
Key = tuple[str, str]
Box = tuple[float, float, float, float]


def table(rows: Sequence[tuple[str, str, float, float, float, float]]) -> pd.DataFrame:
    """A table of boxes."""
    return pd.DataFrame(list(rows), columns=list(COLUMNS)).astype(dict.fromkeys(NUMBERS, float))


def read_table(path: Path) -> pd.DataFrame:
    """A table of boxes that was written with `to_csv(index=False)`."""
    words = {"split": str, "id": str}
    return pd.read_csv(path, dtype=words, keep_default_na=False).astype(dict.fromkeys(NUMBERS, float))


def read_csv(path: Path, sizes: Mapping[Key, tuple[int, int]]) -> pd.DataFrame:
    """Boxes from a UTF-8 CSV with the columns id, x, y, w, h (px of the upright image), optionally split.

    `sizes`: (split, id) -> width and height of the upright image, px; rows of other ids are ignored.

    Raises:
        DataError: an unreadable file, missing columns, cells that are not numbers, boxes without area or
            outside their image, two boxes of one image, no known id. All faults in one error.
    """
    rows, header = _rows(path)
    absent = [name for name in ("id", *NUMBERS) if name not in header]
    if absent:
        raise DataError(
            f"{path}: columns are missing: {', '.join(absent)}",
            [f"there are: {', '.join(header)}"],
            "give the columns id,x,y,w,h",
        )
    faults: list[str] = []
    boxes: dict[Key, Box] = {}
    splits = dict.fromkeys(split for split, _ in sizes)
    for line, row in enumerate(rows, start=2):
        named = dict.fromkeys((row.get("split") or split, row["id"]) for split in splits)
        keys = [key for key in named if key in sizes]
        where = f"{path.name} row {line} (id {row['id']})"
        if len(keys) > 1:
            faults.append(f"{where}: the id is in both tables; add a column split with train or test")
        for key in keys[:1]:
            box = _box(row, sizes[key])
            if isinstance(box, str):
                faults.append(f"{where}: {box}")
            elif key in boxes:
                faults.append(f"{where}: the image already has a box")
            else:
                boxes[key] = box
    if not boxes and not faults:
        faults.append(f"none of its {len(rows)} ids is one of the {len(sizes)} images")
    if faults:
        raise DataError(f"{path}: {len(faults)} invalid boxes", faults, "fix these rows")
    return table([(*key, *box) for key, box in boxes.items()])


def detect(name: str, image: Callable[[str, str], Pixels], keys: Sequence[Key]) -> pd.DataFrame:
    """The largest object that a cascade detects in each image; images without one have no row.

    The name is `haar:NAME` of OpenCV's cascades, or `lbp:frontalface` of scikit-image; `image` gives
    (H, W, 3) pixels of a (split, id).

    Raises:
        ConfigError: there is no such cascade, or its package is missing.
    """
    cascade = cascade_file(name)
    local = threading.local()

    def work(key: Key) -> Box | None:
        if not hasattr(local, "detector"):  # a classifier holds buffers: one for each thread
            local.detector = _classifier(cascade)
        return _largest(local.detector, image(*key))

    bar = tqdm(total=len(keys), desc=name, unit="img", disable=not sys.stderr.isatty())
    rows = []
    with ThreadPoolExecutor(os.cpu_count()) as pool, bar:
        for key, box in zip(keys, pool.map(work, keys), strict=True):
            bar.update()
            if box is not None:
                rows.append((*key, *box))
    return table(rows)


def cascade_file(name: str) -> Path:
    """The file of a cascade that a package contains.

    Raises:
        ConfigError: there is no such cascade, or its package is missing.
    """
    source, _, which = name.partition(":")
    if source == "lbp":
        try:
            from skimage.data import lbp_frontal_face_cascade_filename
        except ImportError:
            raise ConfigError(
                f"crop.boxes={name}: the package scikit-image is not installed",
                remedy="run make install, or use haar:frontalface_default",
            ) from None
        return Path(lbp_frontal_face_cascade_filename())
    folder = Path(cv2.__file__).parent / "data"
    known = sorted(p.stem.removeprefix("haarcascade_") for p in folder.glob("haarcascade_*.xml"))
    if which not in known:
        hint = nearest(which, known)
        raise ConfigError(
            f"crop.boxes={name}: OpenCV has no such cascade",
            [hint] if hint else [],
            f"choose one of {', '.join(known)}",
        )
    return folder / f"haarcascade_{which}.xml"


def _classifier(path: Path) -> cv2.CascadeClassifier:
    """A cascade from its XML. scikit-image's file misspells one tag, which OpenCV needs."""
    text = path.read_text(encoding="utf-8").replace("featuhreParams", "featureParams")
    storage = cv2.FileStorage(text, cv2.FILE_STORAGE_READ | cv2.FILE_STORAGE_MEMORY)
    detector = cv2.CascadeClassifier()
    loaded = detector.read(storage.getFirstTopLevelNode())
    assert loaded, f"{path} is not a cascade that OpenCV reads"
    return detector


def _largest(detector: cv2.CascadeClassifier, image: Pixels) -> Box | None:
    grey = cv2.equalizeHist(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))
    height, width = grey.shape
    least = max(min(height, width) // 12, 20)
    detections = detector.detectMultiScale(grey, scaleFactor=1.1, minNeighbors=5, minSize=(least, least))
    if not len(detections):
        return None
    x, y, w, h = max(np.asarray(detections).tolist(), key=lambda b: (b[2] * b[3], b))
    return x / width, y / height, w / width, h / height


def _rows(path: Path) -> tuple[list[dict[str, str]], list[str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            rows = [{str(k).strip(): str(v) for k, v in row.items()} for row in reader]
            return rows, [name.strip() for name in reader.fieldnames or ()]
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file", remedy="set crop.boxes to a CSV") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read: {error}", remedy="save it as UTF-8 CSV") from error


def _box(row: Mapping[str, str], size: tuple[int, int]) -> Box | str:
    """A box in shares, clipped to its image, or the fault of the row."""
    values = []
    for name in NUMBERS:
        try:
            values.append(float(row[name]))
        except ValueError:
            return f"{name} is {row[name]!r}, which is not a number"
    if not all(math.isfinite(v) for v in values):
        return "a value is not finite"
    (x, y, w, h), (width, height) = values, size
    if w <= 0 or h <= 0:
        return f"{w:g} × {h:g} px has no area"
    left, top, right, bottom = max(x, 0), max(y, 0), min(x + w, width), min(y + h, height)
    if right <= left or bottom <= top:
        return f"it is outside the image of {width} × {height} px"
    return left / width, top / height, (right - left) / width, (bottom - top) / height
