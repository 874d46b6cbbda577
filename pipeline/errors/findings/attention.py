"""How much of a network's attention is on the object and how much on the background, by class.

Owns shares, their intervals over groups, and the warning of a shortcut. Does not own maps
(`pipeline/explain/`) or the position of objects (`explain/cases.py`). No torch: the error report uses it
too.

If a network recognises a class by its background, it uses a shortcut and fails when the background changes. A
uniform map puts as much on the background as the area of the background; only the excess counts. Shares are
means over images; groups are resampled with replacement, and the interval is widened for the number of
classes (Bonferroni), so that a warning is not due to chance.

Shape legend: N images, C classes, H height, W width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from pipeline.core.group_resampling import numbered, percentile_interval, times_multinomial
from pipeline.core.samples import Floats, Ints, Strings
from pipeline.core.seeds import rng
from pipeline.errors.findings import texts

Masks = npt.NDArray[np.bool_]

# With fewer groups the interval of a bootstrap is too narrow.
FEW_GROUPS = 8
WARNING, FINE, UNKNOWN = "shortcut?", "on the object", "can't tell"


@dataclass(frozen=True)
class ClassAttention:
    """Attention on one class's images.

    Args:
        name: of the class; "all" for all images together.
        n_images, n_groups: how many were measured.
        background: mean share of attention on the background, 0 to 1.
        area: mean share of the image that is background.
        excess: background minus area; above 0 attention prefers the background.
        low, high: interval of `excess`, 95 % for all classes together.
        verdict: the conclusion: "shortcut?", "on the object" or "can't tell"; explain.json has this name.
    """

    name: str
    n_images: int
    n_groups: int
    background: float
    area: float
    excess: float
    low: float
    high: float
    verdict: str


def on_background(map_HW: Floats, object_HW: Masks) -> float | None:
    """Share of the positive mass of a map outside the object, 0 to 1; None if nothing is positive."""
    positive = np.maximum(map_HW.astype(np.float64), 0)
    total = float(positive.sum())
    return float(positive[~object_HW].sum()) / total if total > 0 else None


def by_class(
    background_N: Floats,
    area_N: Floats,
    labels_N: Ints,
    groups_N: Strings,
    classes: Sequence[str],
    draws: int,
    seed: int,
) -> tuple[ClassAttention, ...]:
    """Attention of each class that has images, most on the background first, then of all together.

    `background_N` is the share of attention on the background, `area_N` the share of the image that is
    background; whole groups are resampled, `draws` ≥ 100 times.
    """
    excess_N = background_N.astype(np.float64) - area_N
    present = [c for c in range(len(classes)) if (labels_N == c).any()]
    level = 0.05 / max(len(present), 1)
    rows = []
    for c in [*present, None]:
        of_N = np.ones(len(labels_N), bool) if c is None else labels_N == c
        ends = _ends(excess_N[of_N], groups_N[of_N], 0.05 if c is None else level, draws, seed)
        n_groups, name = len(np.unique(groups_N[of_N])), "all" if c is None else classes[c]
        background, area, excess = (float(x_N[of_N].mean()) for x_N in (background_N, area_N, excess_N))
        measured = (int(of_N.sum()), n_groups, background, area, excess)
        rows.append(ClassAttention(name, *measured, *ends, _conclusion(*ends, n_groups)))
    return (*sorted(rows[:-1], key=lambda a: -a.excess), rows[-1])


def warning(classes: Sequence[ClassAttention]) -> str:
    """A warning about the classes that the network seems to recognise by their background; empty if none."""
    names = [a.name for a in classes if a.verdict == WARNING and a.name != "all"]
    return texts.SHORTCUT.format(classes=", ".join(names)) if names else ""


def _ends(
    excess_N: npt.NDArray[np.float64], groups_N: Strings, level: float, draws: int, seed: int
) -> tuple[float, float]:
    """Percentile interval of the mean, whole groups resampled, widened for few groups.

    With few groups the percentiles of a bootstrap are too narrow: their distance to the mean is multiplied
    by the ratio of Student's t to the normal quantile, and by √(G / (G - 1)) (Hesterberg 2015,
    https://doi.org/10.1080/00031305.2015.1089789, section 5).
    """
    at_N, n_groups = numbered(groups_N)
    sums_G = np.bincount(at_N, excess_N)
    counts_G = np.bincount(at_N).astype(float)
    times_BG = times_multinomial(rng(seed, "attention"), n_groups, draws)
    means_B = (times_BG @ sums_G) / (times_BG @ counts_G)
    mean = float(excess_N.mean())
    if n_groups < 2:
        return -1.0, 1.0  # one group gives no interval
    far = stats.t.ppf(1 - level / 2, n_groups - 1) / stats.norm.ppf(1 - level / 2)
    wide = float(far) * (n_groups / (n_groups - 1)) ** 0.5
    low, high = percentile_interval(means_B, level)
    return mean + (float(low) - mean) * wide, mean + (float(high) - mean) * wide


def _conclusion(low: float, high: float, n_groups: int) -> str:
    if n_groups < FEW_GROUPS or low <= 0 <= high:
        return UNKNOWN
    return WARNING if low > 0 else FINE
