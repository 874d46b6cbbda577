"""The search for nearest neighbours, and what a reader should know about each neighbour of an image.

Owns the search (exact: every pair is looked at, block by block, so memory stays flat), and the marks of
neighbouring images. Does not own features, near-duplicates (`eda/duplicates.py` proves those by hash), pages,
nor the neighbours that imbalanced-learn's samplers ask scikit-learn for (`resample/feature_space.py`).

A neighbour may be near for a trivial reason: it shows the same person, or it is the same picture, saved
again. And an image that was held out together with the query image does not show what the model learned. So
every neighbour has marks.

Legend: N images that are searched, Q images that are asked about, D features, K neighbours, B of a block,
E links.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from pipeline.core.samples import Floats, Ints, Strings, positions
from pipeline.core.seeds import some_of

# Numbers of the largest table of distances: 32 MB.
BLOCK_NUMBERS = 4_000_000
# Where each of very many images is asked about, so many drawn ones are searched.
MOST_SEARCHED = 20_000
TINY = 1e-12


@dataclass(frozen=True)
class Known:
    """The images that are searched.

    Args:
        ids_N: unique.
        x_ND: their features or pixels.
        groups_N: as in `Samples`.
        labels_N: class index.
        fold_N: the fold in which an image validates; -1: it never does.
        twins: sets of ids that are near-duplicates of each other.
    """

    ids_N: Strings
    x_ND: Floats
    groups_N: Strings
    labels_N: Ints
    fold_N: Ints
    twins: Sequence[Collection[str]] = ()

    def __post_init__(self) -> None:
        lengths = {len(v) for v in (self.ids_N, self.x_ND, self.groups_N, self.labels_N, self.fold_N)}
        assert len(lengths) == 1, f"columns differ in length: {lengths}"


@dataclass(frozen=True)
class Neighbour:
    """One neighbour of an image.

    Args:
        id: of the image.
        distance: 1 − cosine, or Euclidean; smaller is nearer.
        label: class index.
        same_group: of one group with the asked image.
        near_duplicate: the same picture, saved, scaled or cropped again.
        other_label: its label differs from the asked image's.
        other_fold: validates in another fold, so the model that was asked had it in training.
    """

    id: str
    distance: float
    label: int
    same_group: bool
    near_duplicate: bool
    other_label: bool
    other_fold: bool

    @property
    def marks(self) -> tuple[str, ...]:
        """The marks in words, the most serious first; empty for an ordinary neighbour."""
        words = (
            (self.near_duplicate, "near-duplicate"),
            (self.same_group, "same group"),
            (self.other_label, "other label"),
            (not self.other_fold, "held out too"),
        )
        return tuple(word for true, word in words if true)


@dataclass(frozen=True)
class Reading:
    """The neighbours of one image, and how many of them have its label.

    Args:
        id: the image that was asked about.
        neighbours: nearest first.
        agreeing: how many of the neighbours of other groups have the label of the query image.
        others: how many neighbours are of other groups and no near-duplicates.
    """

    id: str
    neighbours: tuple[Neighbour, ...]
    agreeing: int = field(init=False)
    others: int = field(init=False)

    def __post_init__(self) -> None:
        fair = [n for n in self.neighbours if not (n.same_group or n.near_duplicate)]
        object.__setattr__(self, "others", len(fair))
        object.__setattr__(self, "agreeing", sum(not n.other_label for n in fair))


def nearest(known: Known, asked: Sequence[str], k: int, metric: str = "cosine") -> tuple[Reading, ...]:
    """The k nearest images of each query image, without itself, nearest first.

    `metric`: "cosine" for features, "euclidean" for pixels. Fewer than k ≥ 1 where there are no more images.

    Raises:
        DataError: an asked id is not among the known ones.
    """
    at_Q = positions(np.asarray(asked, dtype=np.str_).reshape(len(asked)), known.ids_N, "neighbours")
    x_ND = np.asarray(known.x_ND, np.float32)
    if metric == "cosine":
        x_ND = unit_rows(x_ND)
    else:
        assert metric == "euclidean", f"no metric: {metric}"
    twins = [frozenset(names) for names in known.twins]
    itself = (at_Q, np.arange(len(x_ND)))
    index_QK, near_QK = search(x_ND[at_Q], x_ND, min(k, len(x_ND) - 1), squares, itself)
    # Unit vectors: 1 − cosine is half of their squared distance.
    distance_QK = np.asarray(near_QK / 2 if metric == "cosine" else np.sqrt(near_QK), np.float32)
    return tuple(
        _reading(known, at, order_K, distance_K, twins)
        for at, order_K, distance_K in zip(at_Q.tolist(), index_QK, distance_QK, strict=True)
    )


def across(x_QD: Floats, x_ND: Floats, k: int) -> Ints:
    """(Q, K) the rows of `x_ND` with the highest cosine similarity to each row of `x_QD`, nearest first.

    Images of `x_QD` are not among the searched ones. Fewer than k ≥ 1 where there are no more images.
    """
    asked_QD, known_ND = (unit_rows(np.asarray(x, np.float32)) for x in (x_QD, x_ND))
    return search(asked_QD, known_ND, k, squares)[0]


Real = TypeVar("Real", np.float32, np.float64)
# (B, D) and (N, D) rows to (B, N): how far each pair is apart; smaller is nearer.
Distance = Callable[[npt.NDArray[Real], npt.NDArray[Real]], npt.NDArray[Real]]


def search(
    x_QD: npt.NDArray[Real],
    x_ND: npt.NDArray[Real],
    k: int,
    distance: Distance[Real],
    never: tuple[Ints, Ints] | None = None,
) -> tuple[Ints, npt.NDArray[Real]]:
    """The k nearest rows of `x_ND` to each row of `x_QD`, nearest first; at equal distance the earlier row.

    Args:
        x_QD: rows that are asked about.
        x_ND: rows that are searched, of the same dtype.
        k: how many, ≥ 0; at most N columns come back.
        distance: `squares`, or `against` for unit vectors.
        never: (Q,) and (N,) keys; rows with the key of the asked one are left out: itself, or its group.

    Returns:
        (Q, K) rows, -1 where fewer are left, and (Q, K) their distances, infinite there.
    """
    k = min(k, len(x_ND))
    index_QK = np.full((len(x_QD), k), -1, np.int64)
    near_QK = np.full((len(x_QD), k), np.inf, x_ND.dtype)
    size = max(1, BLOCK_NUMBERS // max(len(x_ND), 1))
    for start in range(0, len(x_QD), size):
        rows = slice(start, start + size)
        far_BN = distance(x_QD[rows], x_ND)
        if never is not None:
            far_BN[never[0][rows, None] == never[1][None]] = np.inf
        for row, far_N in enumerate(far_BN, start):
            order = _smallest(far_N, k)
            index_QK[row], near_QK[row] = order, far_N[order]
    index_QK[np.isposinf(near_QK)] = -1
    return index_QK, near_QK


def search_each(
    x_ND: npt.NDArray[Real], k: int, distance: Distance[Real], never_N: Ints
) -> tuple[Ints, npt.NDArray[Real]]:
    """The k nearest rows to each row, as `search`; of more than `MOST_SEARCHED` rows, so many are searched.

    Every pair of 100,000 rows would take 25 times as long as every pair of 20,000. The rows that are searched
    are drawn, the same ones each time.

    Rows with the key of the asked one (`never_N`) are left out: itself, or its group.
    """
    drawn = np.array(some_of(len(x_ND), MOST_SEARCHED), np.int64)
    index_NK, near_NK = search(x_ND, x_ND[drawn], k, distance, (never_N, never_N[drawn]))
    return np.where(index_NK < 0, -1, drawn[index_NK]), near_NK


def linked(one_E: Ints, other_E: Ints, size: int) -> Ints:
    """(N,) number of each row's component when these E pairs of rows are linked; numbered by first row."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    graph = coo_matrix((np.ones(len(one_E), np.int8), (one_E, other_E)), shape=(size, size))
    return np.asarray(connected_components(graph, directed=False)[1], np.int64)


def unit_rows(x_ND: Floats) -> Floats:
    """The rows scaled to length 1; a row of zeros stays zero."""
    return np.asarray(x_ND / np.maximum(np.linalg.norm(x_ND, axis=1, keepdims=True), TINY), np.float32)


def squares(a_BD: npt.NDArray[Real], b_ND: npt.NDArray[Real]) -> npt.NDArray[Real]:
    """(B, N) squared Euclidean distances, never below zero.

    Rounding is about 1e-7 of the squared lengths in float32, 1e-16 in float64: the distance of equal rows
    need not be exactly 0.
    """
    apart: npt.NDArray[Real] = (
        (a_BD**2).sum(axis=1)[:, None] + (b_ND**2).sum(axis=1)[None] - 2 * a_BD @ b_ND.T
    )
    np.maximum(apart, 0, out=apart)
    return apart


def against(a_BD: npt.NDArray[Real], b_ND: npt.NDArray[Real]) -> npt.NDArray[Real]:
    """(B, N) negative cosines of unit vectors, from -1 (the same direction) to 1.

    Finer than `squares` near 0, and gives the cosine itself back without rounding.
    """
    return -(a_BD @ b_ND.T)


def _smallest(values_N: npt.NDArray[Real], k: int) -> Ints:
    """Positions of the k smallest, ascending; of equal ones the earlier."""
    if k < 1:
        return np.zeros(0, np.int64)
    border = np.partition(values_N, k - 1)[k - 1]
    candidates = np.flatnonzero(values_N <= border)
    order = candidates[np.argsort(values_N[candidates], kind="stable")][:k]
    return np.asarray(order, dtype=np.int64)


def _reading(
    known: Known, at: int, order: Ints, distance: Floats, twins: Sequence[frozenset[str]]
) -> Reading:
    name = str(known.ids_N[at])
    copies = frozenset().union(*(names for names in twins if name in names))
    neighbours = tuple(
        Neighbour(
            id=str(known.ids_N[n]),
            distance=float(d),
            label=int(known.labels_N[n]),
            same_group=bool(known.groups_N[n] == known.groups_N[at]),
            near_duplicate=str(known.ids_N[n]) in copies,
            other_label=bool(known.labels_N[n] != known.labels_N[at]),
            other_fold=bool(known.fold_N[n] != known.fold_N[at]),
        )
        for n, d in zip(order.tolist(), distance.tolist(), strict=True)
    )
    return Reading(name, neighbours)


def as_pixels(x_NHWC: npt.NDArray[np.uint8], side_px: int = 32) -> Floats:
    """(N, D) images, reduced to at most `side_px` per side, as vectors in [0, 1], for neighbours by pixels.

    They are small on purpose: at full size a shift by one pixel is as far away as another picture.
    """
    import cv2

    height, width = x_NHWC.shape[1:3]
    scale = min(1.0, side_px / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = [cv2.resize(np.ascontiguousarray(x), size, interpolation=cv2.INTER_AREA) for x in x_NHWC]
    return np.asarray(np.stack(small).reshape(len(small), -1) / 255, dtype=np.float32)


def folds_of(ids_N: Strings, valid: Sequence[Strings]) -> Ints:
    """(N,) the first fold with each id in its validation part; -1 if there is none."""
    first = {str(name): at for at in reversed(range(len(valid))) for name in valid[at].tolist()}
    return np.array([first.get(str(name), -1) for name in ids_N.tolist()], dtype=np.int64)
