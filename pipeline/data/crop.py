"""Which part of each image is kept: nothing cut, one window for all, or each image's own box.

Owns windows, how much of each box is inside them, and the boxes: reading and checking them from a CSV, or
detecting them with a detector that a package contains. Does not own resizing (`data/decode.py`).

Boxes (left, top, width, height) and windows are shares of the upright image, so they fit any size of that
image. A table of boxes has the columns split, id, x, y, w, h, and at most one row per image. Only training
boxes determine the shared window and which boxes are outliers: the test set is cut by what was learned from
training, like everything else.
"""

from __future__ import annotations

import json
import math
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from pipeline.core import tables
from pipeline.core.errors import ConfigError, DataError, nearest
from pipeline.core.language import _
from pipeline.core.terminal import bar_of
from pipeline.core.wording import worded
from pipeline.data import texts
from pipeline.data.decode import Pixels, Size
from pipeline.settings.images import CropSettings

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("split", "id", "x", "y", "w", "h")
NUMBERS = ("x", "y", "w", "h")
Key = tuple[str, str]
Box = tuple[float, float, float, float]
# left, top, right, bottom
Edges = tuple[float, float, float, float]
WHOLE: Edges = (0.0, 0.0, 1.0, 1.0)
# A median absolute deviation times this is the standard deviation of a normal distribution.
MAD_TO_STD = 1.4826
# Boxes that differ by less than a hundredth of the image are never outliers.
LEAST_SPREAD = 0.01


@dataclass(frozen=True)
class CropPlan:
    """The window of every image.

    Args:
        shared: of images without a box of their own.
        own: (split, id) -> the image's own edges, margin not yet added.
        margin: added on each side of an own box, as a share of its longer side in px.
        aspect: height : width of the model's input; own windows are widened to it, so nothing is stretched.
        notes: for the user, one line each.
    """

    shared: Edges = WHOLE
    own: Mapping[Key, Edges] = field(default_factory=dict)
    margin: float = 0.0
    aspect: float = 1.0
    notes: tuple[str, ...] = ()

    def window(self, key: Key, size: Size) -> tuple[int, int, int, int]:
        """Left, top, right, bottom in px of an image of `size` (H, W); at least one pixel."""
        edges = self.own.get(key)
        if edges is None:
            return _whole_px(self.shared, size)
        return _whole_px(self._widened(edges, size), size)

    def cut(self, key: Key, image: Pixels) -> Pixels:
        """(h, w, 3) the part of an image that is kept; a view of its pixels."""
        left, top, right, bottom = self.window(key, (image.shape[0], image.shape[1]))
        return image[top:bottom, left:right]

    def _widened(self, edges: Edges, size: Size) -> Edges:
        """With margin and aspect; moved inside the image if it extends beyond it, cut if it is larger."""
        height, width = size
        left, top, right, bottom = edges
        w, h = (right - left) * width, (bottom - top) * height
        more = 2 * self.margin * max(w, h)
        w, h = w + more, h + more
        w, h = max(w, h / self.aspect), max(h, w * self.aspect)
        w, h = min(w, width), min(h, height)
        x = min(max((left + right) / 2 * width - w / 2, 0), width - w)
        y = min(max((top + bottom) / 2 * height - h / 2, 0), height - h)
        return x / width, y / height, (x + w) / width, (y + h) / height


def plan(settings: CropSettings, boxes: pd.DataFrame | None, size: Size) -> CropPlan:
    """The windows for these settings.

    Args:
        settings: method and its parameters.
        boxes: a table of boxes, for the methods that need one.
        size: of the model's input, (H, W) px.

    Raises:
        DataError: no training image has a box.
    """
    aspect = size[0] / size[1]
    if settings.method == "none":
        return CropPlan()
    if settings.method == "centre":
        edge = (1 - settings.share) / 2
        return CropPlan((edge, edge, 1 - edge, 1 - edge))
    if settings.method == "fixed":
        assert settings.window is not None, "a rule of the settings asks for a window"
        left, top, width, height = settings.window
        return CropPlan((left, top, min(left + width, 1.0), min(top + height, 1.0)))
    assert boxes is not None, "a rule of the settings asks for boxes"
    kept, dropped = _without_outliers(boxes, settings.outlier)
    train = kept[kept["split"] == "train"]
    if train.empty:
        raise DataError(
            _("crop.method={method}: no training image has a box").format(method=settings.method),
            remedy=_("give other boxes with crop.boxes, or set crop.method=centre"),
        )
    shared = _statistics(train, settings.k_std)
    edges = ", ".join(f"{100 * edge:.0f} %" for edge in shared)
    notes = [texts.SHARED_WINDOW.format(edges=edges, boxes=len(train))]
    if dropped:
        notes.append(worded(texts.BOX_OUTLIERS, boxes=dropped, limit=settings.outlier))
    if settings.method == "statistics":
        return CropPlan(shared, notes=tuple(notes))
    own = edges_of(kept)
    notes.append(worded(texts.OWN_WINDOWS, images=len(own)))
    return CropPlan(shared, own, settings.margin, aspect, tuple(notes))


def edges_of(boxes: pd.DataFrame) -> dict[Key, Edges]:
    """(split, id) -> left, top, right, bottom of a table of boxes, as shares."""
    keys = zip(boxes["split"].tolist(), boxes["id"].tolist(), strict=True)
    rows = ((float(a), float(b), float(c), float(d)) for a, b, c, d in _edges(boxes))
    return dict(zip(keys, rows, strict=True))


def coverage(crop: CropPlan, boxes: pd.DataFrame, sizes: Mapping[Key, tuple[int, int]]) -> pd.DataFrame:
    """How much of each box its image's window keeps: split, id, inside (0 to 1), worst first.

    Outliers are included. `sizes`: (split, id) -> width and height of the upright image, px.
    """
    rows = []
    for key, (x0, y0, x1, y1) in edges_of(boxes).items():
        width, height = sizes[key]
        window = crop.window(key, (height, width))
        kept_w = max(min(x1 * width, window[2]) - max(x0 * width, window[0]), 0)
        kept_h = max(min(y1 * height, window[3]) - max(y0 * height, window[1]), 0)
        area = max((x1 - x0) * width * (y1 - y0) * height, 1e-9)
        rows.append((*key, min(kept_w * kept_h / area, 1.0)))
    import pandas as pd

    shares = pd.DataFrame(rows, columns=["split", "id", "inside"])
    return shares.sort_values(["inside", "split", "id"], kind="stable", ignore_index=True)


def _edges(boxes: pd.DataFrame) -> npt.NDArray[np.float64]:
    x, y, w, h = (boxes[name].to_numpy(float) for name in ("x", "y", "w", "h"))
    return np.stack([x, y, x + w, y + h], axis=1)


def _statistics(train: pd.DataFrame, k_std: float) -> Edges:
    """Mean box edges, each moved outwards by k standard deviations, within the image."""
    edges = _edges(train)
    mean, std = edges.mean(axis=0), edges.std(axis=0)
    left, top, right, bottom = np.clip(mean + np.array([-1, -1, 1, 1]) * k_std * std, 0, 1).tolist()
    return left, top, right, bottom


@dataclass(frozen=True)
class UsualBoxes:
    """How boxes lie and how large they are, by the training images.

    Args:
        middle: median of their horizontal and vertical centre, and of the logarithms of width and height.
        spread: robust standard deviations of the same.
        limit: boxes further from the middle than this many spreads are outliers.
    """

    middle: tuple[float, ...]
    spread: tuple[float, ...]
    limit: float

    @staticmethod
    def of(boxes_B4: npt.NDArray[np.float64], limit: float) -> UsualBoxes:
        """From the boxes of training images: left, top, width and height, as shares.

        Robust z-scores by median and MAD: Iglewicz and Hoaglin, How to detect and handle outliers, 1993.
        """
        measures = _measures(boxes_B4)
        middle = np.median(measures, axis=0)
        spread = np.maximum(np.median(np.abs(measures - middle), axis=0) * MAD_TO_STD, LEAST_SPREAD)
        return UsualBoxes(tuple(middle.tolist()), tuple(spread.tolist()), limit)

    def fits(self, boxes_B4: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
        """(B,) which boxes are no outliers."""
        far = np.abs(_measures(boxes_B4) - np.array(self.middle)) / np.array(self.spread)
        return np.asarray((far <= self.limit).all(axis=1))


def _measures(boxes_B4: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    x, y, w, h = boxes_B4.T
    return np.stack([x + w / 2, y + h / 2, np.log(w), np.log(h)], axis=1)


def usual_boxes(boxes: pd.DataFrame, limit: float) -> UsualBoxes | None:
    """How the boxes of the training images lie; None: there are none."""
    train = boxes[boxes["split"] == "train"]
    return UsualBoxes.of(train[list(NUMBERS)].to_numpy(float), limit) if len(train) else None


def _without_outliers(boxes: pd.DataFrame, limit: float) -> tuple[pd.DataFrame, int]:
    """Boxes that lie and are as large as those of training images usually are, and the number of others."""
    usual = usual_boxes(boxes, limit)
    if usual is None:
        return boxes, 0
    fine = usual.fits(boxes[list(NUMBERS)].to_numpy(float))
    return boxes[fine], int((~fine).sum())


def _whole_px(edges: Edges, size: Size) -> tuple[int, int, int, int]:
    height, width = size
    left, top = min(int(edges[0] * width + 1e-6), width - 1), min(int(edges[1] * height + 1e-6), height - 1)
    right = max(int(np.ceil(edges[2] * width - 1e-6)), left + 1)
    bottom = max(int(np.ceil(edges[3] * height - 1e-6)), top + 1)
    return left, top, min(right, width), min(bottom, height)


def table(rows: Sequence[tuple[str, str, float, float, float, float]]) -> pd.DataFrame:
    """A table of boxes."""
    import pandas as pd

    return pd.DataFrame(list(rows), columns=list(COLUMNS)).astype(dict.fromkeys(NUMBERS, float))


def read_table(path: Path) -> pd.DataFrame:
    """A table of boxes that was written with `to_csv(index=False)`."""
    import pandas as pd

    words = {"split": str, "id": str}
    return pd.read_csv(path, dtype=words, keep_default_na=False).astype(dict.fromkeys(NUMBERS, float))


def read_csv(
    path: Path, sizes: Mapping[Key, tuple[int, int]], may_be_empty: bool = False, encoding: str | None = None
) -> pd.DataFrame:
    """Boxes from a CSV with the columns id, x, y, w, h (px of the upright image), optionally split.

    `sizes`: (split, id) -> width and height of the upright image, px; rows of other ids are ignored.
    `may_be_empty`: whether it may have none of these images. `encoding` is `competition.encoding`.

    Raises:
        DataError: an unreadable file, missing columns, cells that are not numbers, boxes without area or
            outside their image, two boxes of one image, no known id. All faults in one error.
    """
    rows, header, lines = _rows(path, encoding)
    absent = [name for name in ("id", *NUMBERS) if name not in header]
    if absent:
        raise DataError(
            _("{path}: columns are missing: {absent}").format(path=path, absent=", ".join(absent)),
            [_("there are: {header}").format(header=", ".join(header))],
            _("give the columns id,x,y,w,h"),
        )
    if not rows:
        raise DataError(
            _("{path}: it holds no boxes").format(path=path),
            remedy=_("write one row per image below id,x,y,w,h"),
        )
    faults: list[str] = []
    boxes: dict[Key, Box] = {}
    splits = dict.fromkeys(split for split, _ in sizes)
    for line, row in zip(lines, rows, strict=True):
        named = dict.fromkeys((row.get("split") or split, row["id"]) for split in splits)
        keys = [key for key in named if key in sizes]
        where = _("{table} row {line} (id {id})").format(table=path.name, line=line, id=row["id"])
        if len(keys) > 1:
            faults.append(texts.BOX_IN_BOTH.format(name=path.name, line=line, id=row["id"]))
        for key in keys[:1]:
            box = _box(row, sizes[key])
            if isinstance(box, str):
                faults.append(f"{where}: {box}")
            elif key in boxes:
                faults.append(_("{where}: the image already has a box").format(where=where))
            else:
                boxes[key] = box
    if not boxes and not faults and not may_be_empty:
        faults.append(worded(_("none of its {n:id} is one of the {m:image}"), n=len(rows), m=len(sizes)))
    if faults:
        raise DataError(
            _("{path}: {n} invalid boxes").format(path=path, n=len(faults)), faults, _("fix these rows")
        )
    return table([(*key, *box) for key, box in boxes.items()])


def rows_without_test(path: Path, ids: Mapping[str, set[str]], encoding: str | None = None) -> str:
    """What a CSV of boxes says about images that are not in the test set, as text.

    `ids`: split -> its ids. A row without a split is about each split that has its id. `encoding` is
    `competition.encoding`.

    Raises:
        DataError: an unreadable file, or rows whose id is in the test set and in another split, all of them.
    """
    rows, header, lines = _rows(path, encoding)
    kept, faults = [header], []
    for line, row in zip(lines, rows, strict=True):
        splits = [row["split"]] if row.get("split") else [s for s in ids if row.get("id") in ids[s]]
        others = [split for split in splits if split != "test"]
        if others and "test" in splits:
            faults.append(texts.BOX_IN_BOTH.format(name=path.name, line=line, id=row["id"]))
        if others:
            kept.append([row.get(name) or "" for name in header])
    if faults:
        raise DataError(
            _("{path}: {n} invalid boxes").format(path=path, n=len(faults)), faults, _("fix these rows")
        )
    return json.dumps(kept, ensure_ascii=False)


def detect(name: str, image: Callable[[str, str], Pixels], keys: Sequence[Key]) -> pd.DataFrame:
    """The largest object that a cascade detects in each image; images without one have no row.

    The name is `haar:NAME` of OpenCV's cascades, or `lbp:frontalface` of scikit-image; `image` gives
    (H, W, 3) pixels of a (split, id).

    Raises:
        ConfigError: there is no such cascade, or its package is missing.
    """
    find = finder(name)
    bar = bar_of(name, "img", total=len(keys))
    rows = []
    with ThreadPoolExecutor(os.cpu_count()) as pool, bar:
        for key, box in zip(keys, pool.map(lambda key: find(image(*key)), keys), strict=True):
            bar.update()
            if box is not None:
                rows.append((*key, *box))
    return table(rows)


def finder(name: str) -> Callable[[Pixels], Box | None]:
    """A function from (H, W, 3) pixels to the largest object in them, for any thread; see `detect`.

    Raises:
        ConfigError: there is no such cascade, or its package is missing.
    """
    cascade = cascade_file(name)
    local = threading.local()

    def find(image: Pixels) -> Box | None:
        if not hasattr(local, "detector"):  # a classifier holds buffers: one for each thread
            local.detector = _classifier(cascade)
        return _largest(local.detector, image)

    return find


def cascade_file(name: str) -> Path:
    """The file of a cascade that a package contains.

    Raises:
        ConfigError: there is no such cascade, or its package is missing.
    """
    source, _colon, which = name.partition(":")
    if source == "lbp":
        try:
            from skimage.data import lbp_frontal_face_cascade_filename
        except ImportError:
            raise ConfigError(
                _("crop.boxes={name}: the package scikit-image is not installed").format(name=name),
                remedy=_("run make install, or use haar:frontalface_default"),
            ) from None
        return Path(lbp_frontal_face_cascade_filename())
    folder = Path(cv2.__file__).parent / "data"
    known = sorted(p.stem.removeprefix("haarcascade_") for p in folder.glob("haarcascade_*.xml"))
    if which not in known:
        hint = nearest(which, known)
        raise ConfigError(
            _("crop.boxes={name}: OpenCV has no such cascade").format(name=name),
            [hint] if hint else [],
            _("choose one of {known}").format(known=", ".join(known)),
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


def _rows(path: Path, encoding: str | None) -> tuple[list[dict[str, str]], list[str], tuple[int, ...]]:
    """Rows by column, the header, and the line of each row."""
    found = tables.read_table(path, str(path), encoding)
    cells = zip(*(found.column(c) for c in found.columns), strict=True)
    return [dict(zip(found.columns, row, strict=True)) for row in cells], list(found.columns), found.lines


def _box(row: Mapping[str, str], size: tuple[int, int]) -> Box | str:
    """A box in shares, clipped to its image, or the fault of the row."""
    values = []
    for name in NUMBERS:
        try:
            values.append(float(row[name]))
        except ValueError:
            return _("{name} is {row!r}, which is not a number").format(name=name, row=row[name])
    if not all(math.isfinite(v) for v in values):
        return _("a value is not finite")
    (x, y, w, h), (width, height) = values, size
    if w <= 0 or h <= 0:
        return _("{w:g} × {h:g} px has no area").format(w=w, h=h)
    left, top, right, bottom = max(x, 0), max(y, 0), min(x + w, width), min(y + h, height)
    if right <= left or bottom <= top:
        return _("it is outside the image of {width} × {height} px").format(width=width, height=height)
    return left / width, top / height, (right - left) / width, (bottom - top) / height
