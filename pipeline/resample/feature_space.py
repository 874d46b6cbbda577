"""Resampling by features: images in dense regions or near class borders, and rows made between images.

Owns choosing and making rows in feature space. Does not own features (`nets/forward.py`) or the number of
rows of each class (`resample/indices.py`). Only a fold's training part comes in.

imbalanced-learn's samplers (NearMiss, ClusterCentroids, TomekLinks, SMOTE, ADASYN, BorderlineSMOTE,
https://imbalanced-learn.org) ignore groups: seven photos of one person would be each other's neighbours, and
a mixture of two of them is almost one of them. But they accept a neighbours object: `OtherGroups` never
returns a row of the query's group. It reads group and row number from the last two columns of the table,
which the samplers pass through.

Shape legend: N training samples, V views, D features, C classes, S synthetic rows, M fitted rows,
Q queries, K neighbours.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import pairwise_distances
from sklearn.neighbors import NearestNeighbors

from pipeline.core.errors import DataError
from pipeline.core.language import _
from pipeline.core.samples import Floats, Ints, Strings, SyntheticRows

# A constant feature would be divided by zero.
SMALLEST_STD = 1e-6
# Queries of one search, so that memory stays constant.
BLOCK = 1024


@dataclass(frozen=True)
class FeatureSpace:
    """Training samples as points.

    Args:
        x_NVD: features; distances are those of the first view, standardised over these samples.
        classes_N: the class, or attribute value, that is balanced.
        groups_N: samples of one group are never neighbours.
        targets: number of rows that each class is to have.
        neighbours: number of neighbours, ≥ 1.
        seed: of the draws, < 2**32.
    """

    x_NVD: Floats
    classes_N: Ints
    groups_N: Strings
    targets: Mapping[int, int]
    neighbours: int
    seed: int

    @property
    def near_ND(self) -> Floats:
        """The columns that distances are measured on."""
        x_ND = self.x_NVD[:, 0].astype(np.float64)
        std_D = np.maximum(x_ND.std(axis=0), SMALLEST_STD)
        return np.asarray((x_ND - x_ND.mean(axis=0)) / std_D, dtype=np.float32)

    def table(self, *more: Floats) -> Floats:
        """(N, D + … + 2) the input of a sampler: columns for distances, others, group, row number."""
        group_N = np.unique(self.groups_N, return_inverse=True)[1]
        assert len(group_N) < 2**24, "a float32 counts rows up to 2**24"
        tail_N2 = np.stack([group_N, np.arange(len(group_N))], axis=1).astype(np.float32)
        return np.concatenate([self.near_ND, *more, tail_N2], axis=1)

    def others(self, count: int) -> OtherGroups:
        """A neighbours object for this table, without the sample itself among the `count`."""
        return OtherGroups(n_neighbors=count, width=self.x_NVD.shape[2])


class OtherGroups(NearestNeighbors):  # type: ignore[misc]
    """Nearest neighbours of other groups, in a table that ends with group and row number.

    A query that is among the fitted rows gets itself first, as imbalanced-learn's samplers expect of
    such queries, and then n_neighbors - 1 rows of other groups; any other query gets n_neighbors.
    If there are fewer, they are repeated; if there is none, it is the row itself at infinite distance.

    Args:
        n_neighbors: how many columns `kneighbors` returns.
        width: how many leading columns distances are measured on.
        n_jobs: as scikit-learn's; set by samplers.
    """

    def __init__(self, n_neighbors: int = 5, width: int = 1, n_jobs: int | None = None) -> None:
        super().__init__(n_neighbors=n_neighbors, n_jobs=n_jobs)
        self.width = width

    def fit(self, X: Floats, y: object = None) -> OtherGroups:
        """Remember the rows."""
        self.inner_ = NearestNeighbors(n_jobs=self.n_jobs).fit(X[:, : self.width])
        self.group_M = X[:, -2].astype(np.int64)
        self.row_M = X[:, -1].astype(np.int64)
        self.largest_ = int(np.bincount(self.group_M).max())
        return self

    def kneighbors(self, X: Floats, n_neighbors: int | None = None, return_distance: bool = True) -> Any:
        """(Q, K) distances and positions among the fitted rows, or the positions alone."""
        count = n_neighbors or self.n_neighbors
        blocks = [self._block(X[at : at + BLOCK], count) for at in range(0, len(X), BLOCK)]
        distance_QK, index_QK = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
        return (distance_QK, index_QK) if return_distance else index_QK

    def _block(self, X: Floats, count: int) -> tuple[npt.NDArray[np.float64], Ints]:
        order = np.argsort(self.row_M)
        row_Q = X[:, -1].astype(np.int64)
        at_Q = order[np.minimum(np.searchsorted(self.row_M, row_Q, sorter=order), len(order) - 1)]
        is_fitted_Q = self.row_M[at_Q] == row_Q
        assert is_fitted_Q.all() or not is_fitted_Q.any(), "queries are all fitted rows, or none is"
        wanted = count - 1 if is_fitted_Q.all() else count
        reach = min(len(self.row_M), wanted + self.largest_)
        distance, index = self.inner_.kneighbors(X[:, : self.width], n_neighbors=reach)
        same = self.group_M[index] == X[:, -2].astype(np.int64)[:, None]
        # Other groups first, near to far; then the first `wanted` of them, repeated if there are few.
        first = np.argsort(same, axis=1, kind="stable")
        there_Q1 = (~same).sum(axis=1, keepdims=True)
        column = np.take_along_axis(first, np.arange(wanted) % np.maximum(there_Q1, 1), axis=1)
        distance = np.where(there_Q1 > 0, np.take_along_axis(distance, column, axis=1), np.inf)
        index = np.where(there_Q1 > 0, np.take_along_axis(index, column, axis=1), at_Q[:, None])
        if is_fitted_Q.all():
            distance = np.concatenate([np.zeros((len(X), 1)), distance], axis=1)
            index = np.concatenate([at_Q[:, None], index], axis=1)
        return distance, index


def near_miss(space: FeatureSpace) -> Ints:
    """Keep, of each large class, the images nearest to the smallest class (NearMiss-1), ascending."""
    from imblearn.under_sampling import NearMiss

    sampler = NearMiss(sampling_strategy=_fewer(space), n_neighbors=space.others(space.neighbours))
    with _quiet():
        sampler.fit_resample(space.table(), space.classes_N)
    return np.sort(np.asarray(sampler.sample_indices_, dtype=np.int64))


def tomek(space: FeatureSpace) -> Ints:
    """Drop the larger side of every Tomek link: two classes, each the other's nearest; ascending."""
    from imblearn.under_sampling import TomekLinks

    table = space.table()
    nearest_N = space.others(2).fit(table).kneighbors(table, return_distance=False)[:, 1]
    smallest = min(space.targets, key=lambda c: (np.sum(space.classes_N == c), c))
    dropped = [c for c in space.targets if c != smallest]
    links_N = TomekLinks.is_tomek(space.classes_N, nearest_N, dropped)
    return np.flatnonzero(~links_N).astype(np.int64)


def centroids(space: FeatureSpace) -> Ints:
    """Keep, of each large class, the images nearest to its cluster centres, each once; ascending."""
    from imblearn.under_sampling import ClusterCentroids

    fewer, x_ND = _fewer(space), space.near_ND
    kept = [np.flatnonzero(~np.isin(space.classes_N, list(fewer)))]
    means = KMeans(n_init=1, random_state=space.seed)
    sampler = ClusterCentroids(sampling_strategy=fewer, estimator=means, voting="soft")
    with _quiet():
        x_made, class_made = sampler.fit_resample(x_ND, space.classes_N)
    for c in fewer:
        mine = np.flatnonzero(space.classes_N == c)
        distance = pairwise_distances(x_made[class_made == c], x_ND[mine])
        for nearest in range(len(distance)):
            at = int(distance[nearest].argmin())
            kept.append(mine[[at]])
            distance[:, at] = np.inf
    return np.sort(np.concatenate(kept)).astype(np.int64)


def synthesize(space: FeatureSpace, method: str) -> SyntheticRows:
    """Rows between images of a class and their neighbours of other groups, up to the targets.

    Every view is mixed with the same neighbour and share, so that a row's views belong together.

    Args:
        space: `classes_N` must be class indices.
        method: a name of `MAKERS`.

    Raises:
        DataError: the method cannot be applied to these samples.
    """
    n, views, width = space.x_NVD.shape
    table = space.table(space.x_NVD.reshape(n, views * width))
    with _quiet():
        try:
            made, labels = MAKERS[method](space).fit_resample(table, space.classes_N)
        except (ValueError, RuntimeError) as error:
            remedy = "choose resample.method=smote, or over"
            raise DataError(
                _("resample.method={method}: {error}").format(method=method, error=error), remedy=remedy
            ) from error
    x_SVD = made[n:, width : width + views * width].reshape(-1, views, width)
    return SyntheticRows(x_SVD, labels[n:])


def _fewer(space: FeatureSpace) -> dict[int, int]:
    """The targets of classes that lose rows."""
    return {c: n for c, n in space.targets.items() if n < np.sum(space.classes_N == c)}


def _smote(space: FeatureSpace) -> Any:
    from imblearn.over_sampling import SMOTE

    neighbours = space.others(space.neighbours + 1)
    return SMOTE(sampling_strategy=dict(space.targets), k_neighbors=neighbours, random_state=space.seed)


def _adasyn(space: FeatureSpace) -> Any:
    from imblearn.over_sampling import ADASYN

    neighbours = space.others(space.neighbours + 1)
    return ADASYN(sampling_strategy=dict(space.targets), n_neighbors=neighbours, random_state=space.seed)


def _borderline(space: FeatureSpace) -> Any:
    from imblearn.over_sampling import BorderlineSMOTE

    return BorderlineSMOTE(
        sampling_strategy=dict(space.targets),
        k_neighbors=space.others(space.neighbours + 1),
        # The library's own proportion: the border is measured on twice as many neighbours.
        m_neighbors=space.others(2 * space.neighbours + 1),
        random_state=space.seed,
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Without warnings of the libraries that our own counts replace."""
    with warnings.catch_warnings():
        # scikit-learn suspects a regression where many classes have few samples; they are classes.
        warnings.filterwarnings("ignore", message="The number of unique classes", category=UserWarning)
        # Equal images give fewer clusters than requested; distinct images are chosen anyway.
        warnings.filterwarnings("ignore", category=ConvergenceWarning)
        yield


CHOOSERS: dict[str, Callable[[FeatureSpace], Ints]] = {
    "near_miss": near_miss,
    "tomek": tomek,
    "centroids": centroids,
}
MAKERS: dict[str, Callable[[FeatureSpace], Any]] = {
    "smote": _smote,
    "adasyn": _adasyn,
    "borderline_smote": _borderline,
}
