"""Images that are outliers of their own data set.

Owns robust z-scores of shape and look. Does not own what outliers harm (`eda/findings.py`).

Every measure is put on a scale where photographs are about normal (logit of brightness, logarithms),
and compared with this data set's own median and spread: an image that is dark among X-rays is not dark among
product photos. Source: Iglewicz & Hoaglin (1993), How to Detect and Handle Outliers, modified z.
"""

import numpy as np
import numpy.typing as npt
import pandas as pd

Values = npt.NDArray[np.float64]

LOOKS = ("brightness", "contrast", "sharpness")
SHAPES = ("size", "aspect")
# The median absolute deviation of a normal distribution, as a share of its standard deviation.
MAD_OF_NORMAL = 1.4826
# Keeps the logarithm of a blank image finite. A larger value would hide how blurred an image is.
TINY = 0.1
# High contrast or sharpness does no harm; of the other measures both ends do.
LOW_ONLY = ("contrast", "sharpness")
# The least spread of each measure: if all images but one have the same size, the MAD is zero.
FLOOR = {"brightness": 0.1, "contrast": 0.05, "sharpness": 0.1, "size": 0.05, "aspect": 0.03}


def robust_z(images: pd.DataFrame) -> pd.DataFrame:
    """Robust z-scores, a row per image: brightness, contrast, sharpness, size, aspect."""
    share = (images["brightness"].to_numpy(np.float64) + 1) / 257
    contrast = np.log(images["contrast"].to_numpy(np.float64) + TINY)
    width, height = (images[name].to_numpy(np.float64) for name in ("width", "height"))
    scaled = {
        "brightness": np.log(share / (1 - share)),
        "contrast": contrast,
        # A dim image is not blurred, so contrast is divided out; to the first power only. Its square, which
        # the Laplacian's variance grows with, would hide strong blurs, because they also lower the contrast
        # (benchmarks/eda.py: recall .90, not 1).
        "sharpness": np.log(images["blur"].to_numpy(np.float64) + TINY) - contrast,
        "size": np.log(width * height),
        "aspect": np.log(width / height),
    }
    return pd.DataFrame({name: _z(v, FLOOR[name]) for name, v in scaled.items()}, index=images.index)


def outliers(images: pd.DataFrame, limit: float) -> pd.DataFrame:
    """Every measure of every image that is beyond the limit on a harmful side, the most extreme first.

    The limit is in robust standard deviations.

    Returns:
        Columns split, id, measure, value (as the facts have it; sharpness: the blur), z.
    """
    z = robust_z(images)
    facts = images.assign(
        sharpness=images["blur"],
        size=images["width"] * images["height"],
        aspect=images["width"] / images["height"],
    )
    parts = []
    for name in z.columns:
        far = _far(z[name], limit)
        if far.any():
            value = facts.loc[far, name].astype(float)
            parts.append(
                images.loc[far, ["split", "id"]].assign(measure=name, value=value, z=z.loc[far, name])
            )
    if not parts:
        return pd.DataFrame(columns=["split", "id", "measure", "value", "z"])
    table = pd.concat(parts, ignore_index=True)
    return table.sort_values("z", key=np.abs, ascending=False, kind="stable", ignore_index=True)


def _far(z: "pd.Series[float]", limit: float) -> "pd.Series[bool]":
    return z < -limit if z.name in LOW_ONLY else z.abs() > limit


def _z(values: Values, floor: float) -> Values:
    if not len(values):
        return values
    away = values - np.median(values)
    return np.asarray(away / max(MAD_OF_NORMAL * float(np.median(np.abs(away))), floor))
