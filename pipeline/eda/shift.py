"""Does the test set look different from training? Adversarial validation.

Owns a classifier that predicts which set an image comes from: an AUC of .5 means that it cannot.
Does not own measuring images (`eda/survey.py`) nor features of a network (they arrive as a value).

Cross-validated by group, and compared with its own null distribution: the sets' names are shuffled over whole
groups, so that a small or clustered data set gives no false alarm. Ridge regression on piecewise linear ranks
of each fact needs one solution per fold for all shuffles at once, so 200 of them cost no more than a few.
Source: Pan et al. (2020), Adversarial Validation Approach to Concept Drift Problem, arXiv:2004.03045;
permutation p-value: Phipson & Smyth (2010), doi:10.2202/1544-6115.1585.

Shape legend: N images, D columns, P shuffles.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.core import seeds
from pipeline.pages.report import Key
from pipeline.settings.eda import EdaSettings

Values = npt.NDArray[np.float64]

FOLDS = 5
KNOTS = 6
COMPONENTS = 32
# Of each set; more images do not change the answer and would cost memory.
MOST_IMAGES = 2000
SHOWN = 12


@dataclass(frozen=True)
class Shift:
    """How well train and test can be separated.

    Args:
        on: "facts" or "features".
        auc: cross-validated area under the ROC curve; .5: not at all.
        chance: 95th percentile of the same figure with shuffled names.
        p: share of shuffles that reach `auc`, the real one counted in.
        table: one row per fact, the largest difference first: fact, train, test (medians), auc (of it alone).
        test_like: (split, id) of the test images that look least like training images.
        train_like: the training images that look most like the training set.
    """

    on: str
    auc: float
    chance: float
    p: float
    table: pd.DataFrame
    test_like: tuple[Key, ...]
    train_like: tuple[Key, ...]


def measure(
    images: pd.DataFrame, facts: pd.DataFrame, features_ND: Values | None, settings: EdaSettings
) -> Shift | None:
    """Separate train from test; None without a test set, or with too few groups to cross-validate.

    Rows of all tables are in the order of the survey's images; without a network's features, facts are used.
    """
    at = _sample(images, settings.seed)
    chosen = images.iloc[at]
    groups_N = chosen["group"].to_numpy(str)
    is_test_N = (chosen["split"] == "test").to_numpy()
    if is_test_N.all() or not is_test_N.any() or len(np.unique(groups_N)) < 2 * FOLDS:
        return None
    ranks = _ranks(facts.iloc[at])
    x_ND = _basis(ranks) if features_ND is None else _reduced(features_ND[at])
    y_NP = _shuffled(chosen["split"].to_numpy(str), groups_N, settings)
    score_NP = _out_of_fold(x_ND, y_NP, groups_N, settings.seed)
    aucs = _aucs(y_NP, score_NP)
    order = np.argsort(-score_NP[:, 0], kind="stable")
    keys = list(zip(chosen["split"], chosen["id"], strict=True))
    return Shift(
        on="facts" if features_ND is None else "features",
        auc=float(aucs[0]),
        chance=float(np.percentile(aucs[1:], 95)),
        p=float((aucs >= aucs[0]).mean()),
        table=_alone(facts.iloc[at], ranks, is_test_N),
        test_like=tuple(keys[i] for i in order if is_test_N[i])[:SHOWN],
        train_like=tuple(keys[i] for i in order[::-1] if not is_test_N[i])[:SHOWN],
    )


@dataclass(frozen=True)
class Separation:
    """How well one set of columns separates test from train, without the null distribution.

    Args:
        auc: cross-validated area under the ROC curve.
        rows_S: positions of the images that were used.
        score_S: out-of-fold score of each, the higher the more like a test image.
    """

    auc: float
    rows_S: npt.NDArray[np.int64]
    score_S: Values


def tell(images: pd.DataFrame, x_ND: Values, seed: int) -> Separation:
    """The AUC without a null distribution, for repeated measurements after changes.

    Both splits occur, in enough groups; the columns are reduced to their leading components here.
    """
    at = _sample(images, seed)
    chosen = images.iloc[at]
    # Twice the same column: for a single one Ridge drops the second axis.
    y_N2 = (chosen["split"] == "test").to_numpy().astype(np.float64)[:, None].repeat(2, axis=1)
    score_N2 = _out_of_fold(_reduced(x_ND[at]), y_N2, chosen["group"].to_numpy(str), seed)
    return Separation(float(_aucs(y_N2, score_N2)[0]), at, score_N2[:, 0])


def spread_out(facts: pd.DataFrame) -> Values:
    """(N, D) each fact as a piecewise linear function of its rank, for `tell`."""
    return _basis(_ranks(facts))


def _sample(images: pd.DataFrame, seed: int) -> npt.NDArray[np.int64]:
    """Positions of at most `MOST_IMAGES` of each split, ascending."""
    parts = []
    for split in ("train", "test"):
        at = np.flatnonzero((images["split"] == split).to_numpy())
        parts.append(seeds.rng(seed, "shift", split, len(at)).permutation(at)[:MOST_IMAGES])
    return np.sort(np.concatenate(parts)).astype(np.int64)


def _ranks(facts: pd.DataFrame) -> pd.DataFrame:
    """Ranks from 0 to 1 of the facts that vary at all."""
    varying = facts.loc[:, facts.nunique() > 1]
    return (varying.rank() - 1) / max(len(facts) - 1, 1)


def _basis(ranks: pd.DataFrame) -> Values:
    """Each fact as a piecewise linear function of its rank: any difference of distributions can be used."""
    from sklearn.preprocessing import SplineTransformer

    if ranks.shape[1] == 0:
        return np.zeros((len(ranks), 1))
    knots = np.linspace(0, 1, KNOTS)[:, None].repeat(ranks.shape[1], axis=1)
    return np.asarray(SplineTransformer(degree=1, knots=knots).fit_transform(ranks.to_numpy(np.float64)))


def _reduced(features_ND: Values) -> Values:
    """The leading principal components, each of variance 1."""
    from sklearn.decomposition import PCA

    size = min(COMPONENTS, features_ND.shape[1], len(features_ND) - 1)
    return np.asarray(PCA(size, whiten=True, random_state=0).fit_transform(features_ND), np.float64)


def _shuffled(split_N: npt.NDArray[np.str_], groups_N: npt.NDArray[np.str_], settings: EdaSettings) -> Values:
    """(N, 1 + P) whether each row is a test image: the truth, then shuffles over whole groups."""
    names_N = np.char.add(np.char.add(split_N, "\x1f"), groups_N)
    units, first, unit_N = np.unique(names_N, return_index=True, return_inverse=True)
    truth_U = (split_N[first] == "test").astype(np.float64)
    columns = [truth_U[unit_N]]
    for k in range(settings.shift_shuffles):
        columns.append(seeds.rng(settings.seed, "shift null", k, len(units)).permutation(truth_U)[unit_N])
    return np.stack(columns, axis=1)


def _out_of_fold(x_ND: Values, y_NP: Values, groups_N: npt.NDArray[np.str_], seed: int) -> Values:
    from sklearn.linear_model import Ridge
    from sklearn.model_selection import GroupKFold

    score_NP = np.empty_like(y_NP)
    folds = GroupKFold(FOLDS, shuffle=True, random_state=seeds.seed(seed, "shift folds") % 2**32)
    for train, valid in folds.split(x_ND, groups=groups_N):
        # Centred: the mean falls with the number of test images in the fold, which would bias the AUC.
        model = Ridge(alpha=1.0).fit(x_ND[train], y_NP[train])
        score_NP[valid] = (x_ND[valid] - x_ND[train].mean(axis=0)) @ model.coef_.T
    return score_NP


def _aucs(y_NP: Values, score_NP: Values) -> Values:
    """(P,) area under the ROC curve of each column, from ranks; .5 where one set is empty."""
    tests_P = y_NP.sum(axis=0)
    pairs_P = tests_P * (len(y_NP) - tests_P)
    ranks_NP = pd.DataFrame(score_NP).rank().to_numpy()
    wins_P = (ranks_NP * y_NP).sum(axis=0) - tests_P * (tests_P + 1) / 2
    return np.where(pairs_P > 0, wins_P / np.maximum(pairs_P, 1), 0.5)


def _alone(facts: pd.DataFrame, ranks: pd.DataFrame, is_test_N: npt.NDArray[np.bool_]) -> pd.DataFrame:
    """The AUC of each fact alone; below .5 the test set has lower values."""
    aucs = _aucs(np.repeat(is_test_N[:, None], ranks.shape[1], axis=1).astype(np.float64), ranks.to_numpy())
    rows = [
        (name, float(facts.loc[~is_test_N, name].median()), float(facts.loc[is_test_N, name].median()), auc)
        for name, auc in zip(ranks.columns, aucs.tolist(), strict=True)
    ]
    table = pd.DataFrame(rows, columns=["fact", "train", "test", "auc"])
    far = (table["auc"] - 0.5).abs()
    return table.loc[far.sort_values(ascending=False, kind="stable").index].reset_index(drop=True)
