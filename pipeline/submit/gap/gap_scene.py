"""One look at every prepared image: the numbers and thumbnails on which a gap's checks rest.

Owns measuring prepared pixels. Does not own the thumbnails (`glance.py`) nor the checks (`gap.py`).

Prepared pixels are what models see. A mismatch of the files that preparing removes does no harm, and one
that preparing makes (a crop that one split lacks) is seen here only.
"""

from __future__ import annotations

import cv2
import numpy as np
import pandas as pd

from pipeline.eda.glance import Glance, glance
from pipeline.pages.report import ImageOf, Pixels

OF_FILE = ("width", "height", "aspect")


def look_at(images: pd.DataFrame, n_classes: int, image: ImageOf) -> tuple[Glance, pd.DataFrame]:
    """Thumbnails, and a row of numbers an image.

    Args:
        images: rows with split, id, label, and width and height of the file in px.
        n_classes: C.
        image: gives the prepared uint8 (H, W, 3) pixels by split and id.

    Returns:
        The table holds width, height, aspect (of the file), brightness, contrast, blur, saturation, red,
        blue and blocks (of the prepared pixels), see `glance.py`.
    """
    measured: list[tuple[float, float, float]] = []

    def noted(split: str, name: str) -> Pixels:
        pixels = np.ascontiguousarray(image(split, name))
        grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
        measured.append((float(grey.mean()), float(grey.std()), float(cv2.Laplacian(grey, cv2.CV_32F).var())))
        return pixels

    seen = glance(images, n_classes, noted)
    table = pd.DataFrame(measured, columns=["brightness", "contrast", "blur"], index=images.index)
    files = pd.DataFrame(
        {"width": images["width"], "height": images["height"], "aspect": images["width"] / images["height"]}
    )
    return seen, pd.concat([files, table, seen.looks], axis=1).astype(float)
