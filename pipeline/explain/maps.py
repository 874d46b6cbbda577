"""Maps over an image: their pictures, whether they show anything, how alike two are, and titles of images.

Owns arithmetic and colours of maps, and the titles and pictures that several panels share. Does not own how
a map is computed (`cam.py`, `attribution.py`, `occlusion.py`).

A map is float32, positive where something is evidence for a class and negative where it is evidence against.

Legend: B images, H height, W width, h and w of a coarse map, h ≤ H.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from pipeline.core.samples import Floats
from pipeline.data.channels import preview
from pipeline.explain import texts
from pipeline.explain.scene import ExplainedImage, Layer, Mask, Scene
from pipeline.pages.gallery import Picture, Pixels
from pipeline.pages.report import percent

Reals = npt.NDArray[np.floating[Any]]

# Pictures are enlarged to at least this many px on their shorter side, by whole factors.
SHOWN_PX = 192
# Maps with fewer cells on their shorter side show no place.
LEAST_CELLS = 4
# A map whose values differ by less than this share of the largest one counts as flat.
FLAT = 0.02
# Fewer cells than this are too few to compare the order of their values.
LEAST_CELLS = 16
# From dark to light, through violet and orange, readable in print and for the colour-blind.
_HEAT = np.array([[0, 0, 4], [87, 16, 110], [188, 55, 84], [249, 142, 9], [252, 255, 164]], np.float32)
_FOR, _AGAINST = np.array([214, 39, 40], np.float32), np.array([31, 90, 200], np.float32)


def flatness(map_HW: Floats, least: float = 0) -> str:
    """Why a map shows nothing: "empty" (nowhere above `least`), "flat" (the same everywhere); else "".

    Only the positive part of a map is shown, so a map that is negative everywhere is empty.
    """
    largest = float(np.abs(map_HW).max())
    if largest == 0 or not np.isfinite(map_HW).all():
        return "empty"
    if float(map_HW.max() - map_HW.min()) <= FLAT * largest:
        return "flat"
    return "empty" if float(map_HW.max()) <= max(1e-6 * largest, least) else ""


def enlarged(map_HW: Floats, size: tuple[int, int]) -> Floats:
    """A coarse map enlarged to the size of an image, H and W px, by linear interpolation."""
    height, width = size
    large = cv2.resize(map_HW.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(large, dtype=np.float32)


def share_inside(map_HW: Floats, mask_HW: Mask) -> float | None:
    """Share of a map's positive mass inside the mask, 0 to 1; None where nothing is positive."""
    positive = np.maximum(map_HW.astype(np.float64), 0)
    total = float(positive.sum())
    return float(positive[mask_HW].sum()) / total if total > 0 else None


def on_object(case: ExplainedImage, maps_HW: Mapping[str, Floats]) -> dict[str, Any]:
    """For explain.json: `object` with the share of each map's mass on it; empty if the object is unknown."""
    if case.object_HW is None:
        return {}
    shares = {name: share_inside(map_HW, case.object_HW) for name, map_HW in maps_HW.items()}
    return {"object": {"from": case.object_from, "area": float(case.object_HW.mean()), "share": shares}}


def rank_correlation(one: Floats, other: Floats) -> float | None:
    """Spearman's rank correlation of two maps' values; None where there are too few or one is flat."""
    if one.size < LEAST_CELLS or np.ptp(one) == 0 or np.ptp(other) == 0:
        return None
    return float(np.corrcoef(rankdata(one), rankdata(other))[0, 1])


def shown(pixels_HWC: Pixels) -> Pixels:
    """An image as it is shown: enlarged by a whole factor, without smoothing."""
    pixels_HWC, factor = preview(pixels_HWC), max(-(-SHOWN_PX // min(pixels_HWC.shape[:2])), 1)
    return np.ascontiguousarray(pixels_HWC.repeat(factor, axis=0).repeat(factor, axis=1))


def overlay(pixels_HWC: Pixels, map_HW: Floats) -> Pixels:
    """The positive part as a heat map over the grey image, the largest value brightest."""
    large = shown(pixels_HWC)
    heat_HW = enlarged(np.maximum(map_HW, 0), large.shape[:2])
    heat_HW /= max(float(heat_HW.max()), 1e-12)
    at = heat_HW * (len(_HEAT) - 1)
    low = np.minimum(at.astype(int), len(_HEAT) - 2)
    part = (at - low)[..., None].astype(np.float32)
    colour = _HEAT[low] * (1 - part) + _HEAT[low + 1] * part
    return _blend(large, colour, 0.75 * np.sqrt(heat_HW))


def for_and_against(pixels_HWC: Pixels, map_HW: Floats) -> Pixels:
    """The positive part in red and the negative part in blue over the grey image, on one scale."""
    large = shown(pixels_HWC)
    signed_HW = enlarged(map_HW, large.shape[:2])
    signed_HW /= max(float(np.abs(signed_HW).max()), 1e-12)
    colour = np.where((signed_HW > 0)[..., None], _FOR, _AGAINST).astype(np.float32)
    return _blend(large, colour, 0.85 * np.sqrt(np.abs(signed_HW)))


def greys(map_HW: Floats) -> Pixels:
    """The size of each value from black to white; the largest hundredth is white."""
    size_HW = np.abs(map_HW)
    top = max(float(np.percentile(size_HW, 99)), float(size_HW.max()) * 1e-3, 1e-12)
    grey = (np.clip(size_HW / top, 0, 1) * 255).round().astype(np.uint8)
    return shown(grey[..., None].repeat(3, axis=2))


def centred(map_HWC: Floats) -> Pixels:
    """A gradient of three colours, centred on middle grey; the largest hundredth is clipped."""
    top = max(float(np.percentile(np.abs(map_HWC), 99)), 1e-12)
    return shown((np.clip(map_HWC / top, -1, 1) * 127 + 128).round().astype(np.uint8))


def nothing(pixels_HWC: Pixels) -> Pixels:
    """The image, faded, because there is no map to show over it."""
    large = shown(pixels_HWC).astype(np.float32)
    return np.asarray((large * 0.25 + 255 * 0.75).round(), dtype=np.uint8)


def _blend(large: Pixels, colour_HWC: Reals, strength_HW: Reals) -> Pixels:
    grey = large.astype(np.float32).mean(axis=2, keepdims=True).repeat(3, axis=2)
    share = strength_HW[..., None]
    return np.asarray((grey * (1 - share) + colour_HWC * share).clip(0, 255).round(), dtype=np.uint8)


def title(scene: Scene, case: ExplainedImage) -> str:
    """`train/17: true cat, predicted dog (91 %)`."""
    return _title(scene, case) + _without(scene, case)


def _without(scene: Scene, case: ExplainedImage) -> str:
    """What one of several images does for its sample's answer."""
    if case.p_without is None:
        return ""
    words = {"number": case.number, "of": case.of, "name": scene.space.classes[case.predicted]}
    p = {"before": percent(float(case.p_C[case.predicted])), "after": percent(case.p_without)}
    return texts.TITLE_WITHOUT.format(**words, **p)


def _title(scene: Scene, case: ExplainedImage) -> str:
    if case.told:
        return texts.TITLE_TOLD.format(key=case.key, told=case.told)
    template = texts.TITLE_CORRECT
    if case.true is None:
        template = texts.TITLE_TEST
    elif case.is_error:
        template = texts.TITLE_ERROR
    classes = scene.space.classes
    return template.format(
        key=case.key,
        true=None if case.true is None else classes[case.true],
        p_true=None if case.true is None else percent(float(case.p_C[case.true])),
        predicted=classes[case.predicted],
        p_predicted=percent(float(case.p_C[case.predicted])),
        rival=classes[case.rival],
        p_rival=percent(float(case.p_C[case.rival])),
    )


def rival(scene: Scene, case: ExplainedImage) -> str:
    """The rival's name, marked if it is the true class."""
    name = scene.space.classes[case.rival]
    return texts.RIVAL_IS_TRUE.format(rival=name) if case.rival == case.true else name


def place(layer: Layer) -> str:
    """A layer's name as its author wrote it."""
    return layer.name.removeprefix("backbone.")


def blank(scene: Scene) -> Pixels:
    """(1, H, W, C) a black image of the scene's size."""
    return np.zeros((1, *scene.config.images.hw, scene.config.images.channels), np.uint8)


def image(case: ExplainedImage) -> Picture:
    """The image as the network sees it."""
    height, width = case.pixels_HWC.shape[:2]
    seen = shown(case.pixels_HWC)
    return Picture("image", f"{width} × {height} px", seen, texts.IMAGE_TITLE.format(key=case.key))


def heat(
    case: ExplainedImage, map_HW: Floats, name: str, caption: str, group: str, least: float = 0
) -> Picture:
    """A map's positive part over its image; a faded image and a caption if nothing is above `least`."""
    why = flatness(map_HW, least)
    if why:
        text = {"empty": texts.MAP_EMPTY, "flat": texts.MAP_FLAT}[why]
        return Picture(name, text.format(caption=caption), nothing(case.pixels_HWC), "", group, shows=False)
    return Picture(name, caption, overlay(case.pixels_HWC, map_HW), f"{caption} {group}", group)
