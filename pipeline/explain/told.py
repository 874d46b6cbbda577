"""Words and pictures that several parts share: titles of cases, a map over its image.

Owns these forms. Does not own any map.
"""

from __future__ import annotations

import numpy as np

from pipeline.core.samples import Floats
from pipeline.explain import maps
from pipeline.explain.parts import Case, Layer, Picture, Scene
from pipeline.pages.gallery import Pixels
from pipeline.pages.report import percent


def title(scene: Scene, case: Case) -> str:
    """`train/17: true cat, predicted dog (91 %)`."""
    classes = scene.space.classes
    said = f"predicted {classes[case.predicted]} ({percent(float(case.p_C[case.predicted]))})"
    if case.true is None:
        return f"{case.key}: {said}, next {classes[case.rival]} ({percent(float(case.p_C[case.rival]))})"
    if case.is_error:
        return f"{case.key}: true {classes[case.true]} ({percent(float(case.p_C[case.true]))}), {said}"
    return f"{case.key}: rightly {said}, next {classes[case.rival]} ({percent(float(case.p_C[case.rival]))})"


def rival(scene: Scene, case: Case) -> str:
    """The rival's name, and whether it is the truth."""
    name = scene.space.classes[case.rival]
    return f"{name}, the truth" if case.rival == case.true else name


def place(layer: Layer) -> str:
    """A layer's name as its author wrote it."""
    return layer.name.removeprefix("backbone.")


def blank(scene: Scene) -> Pixels:
    """(1, H, W, 3) a black image of the scene's size."""
    return np.zeros((1, *scene.config.images.hw, 3), np.uint8)


def image(case: Case) -> Picture:
    """The image as the network sees it."""
    height, width = case.pixels_HWC.shape[:2]
    seen = maps.shown(case.pixels_HWC)
    return Picture("image", f"{width} × {height} px", seen, f"{case.key}, as the network sees it")


def heat(case: Case, map_HW: Floats, name: str, caption: str, group: str, least: float = 0) -> Picture:
    """A map's positive part over its image; faded, and told, where it says nothing.

    Args:
        case: whose image.
        map_HW: any grid.
        name: of the picture.
        caption: below it.
        group: that it stands in.
        least: the largest value of a map that says something.
    """
    why = maps.flatness(map_HW, least)
    if why:
        words = {"empty": "nothing found", "flat": "the same everywhere"}[why]
        return Picture(name, f"{caption}: {words}", maps.nothing(case.pixels_HWC), "", group)
    return Picture(name, caption, maps.overlay(case.pixels_HWC, map_HW), f"{caption} {group}", group)
