"""The mistakes of a run, measured on its out-of-fold predictions.

Owns confusion matrices, per-class tables, the most confused pairs and the reliability of confidence. Does not
own the metrics themselves (`core/metrics.py`) nor advice (`errors/advice/`).

The predicted value of an attribute is that of the predicted class, as in the submission.
Shape legend: N images, C classes, K values of an attribute, B bins.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.core.errors import DataError
from pipeline.core.language import _
from pipeline.core.metrics import confusion, per_class
from pipeline.core.predictions import Probabilities
from pipeline.core.samples import Ints, Samples
from pipeline.errors.diff.flips import MOST_IN_MATRIX, parts
from pipeline.pages.report import Key

PAIRS = 6
PAIR_EXAMPLES = 8
SURE = 0.9
BINS = 10


@dataclass(frozen=True)
class ConfusedPair:
    """One class predicted as another.

    Args:
        true, predicted: class indices.
        images: how often.
        share: of the images of the true class.
        keys: examples, most confident first.
    """

    true: int
    predicted: int
    images: int
    share: float
    keys: tuple[Key, ...]


@dataclass(frozen=True)
class Reliability:
    """How often the prediction is right, by its confidence.

    Args:
        confidence_B, right_B: mean confidence and accuracy of each bin; empty bins are left out.
        excess: mean confidence minus accuracy; above zero the run is overconfident.
        error: expected calibration error: their mean distance, weighted by images (Naeini et al.
            2015, https://ojs.aaai.org/index.php/AAAI/article/view/9602).
    """

    confidence_B: npt.NDArray[np.float64]
    right_B: npt.NDArray[np.float64]
    excess: float
    error: float


@dataclass(frozen=True)
class Mistakes:
    """The out-of-fold mistakes.

    Args:
        n_images, n_wrong: how many images were predicted, and how many of them wrongly.
        confusion: by "class" and by attribute, (K, K) counts; rows are the truth. Without those of more than
            `MOST_IN_MATRIX` values.
        wrong: by all of these, the share of images of which it is wrong.
        tables: by the same names, one row for each value, lowest F1 first: value, F1, images, groups,
            precision, recall.
        pairs: most frequent first.
        reliability: of the most probable class.
        sure_wrong: the number of errors with a confidence of at least `SURE`.
        answers: (true, predicted, confidence) of every example that is shown.
    """

    n_images: int
    n_wrong: int
    confusion: dict[str, Ints]
    wrong: dict[str, float]
    tables: dict[str, pd.DataFrame]
    pairs: tuple[ConfusedPair, ...]
    reliability: Reliability
    sure_wrong: int
    answers: dict[Key, tuple[int, int, float]]


def find_mistakes(oof: Probabilities, train: Samples) -> Mistakes:
    """Find the mistakes; out-of-fold predictions of only some folds are allowed.

    Raises:
        DataError: there are no predictions, an id is not a training image, or the classes differ.
    """
    if not len(oof):
        raise DataError(
            _("{oof}: no out-of-fold predictions").format(oof=oof.name), remedy=_("train at least one fold")
        )
    oof = oof.with_classes(train.space.classes)
    samples = train.take(oof.ids_N)
    y_N, pred_N = samples.labels, oof.labels()
    confidence_N = oof.p_NC.max(axis=1).astype(np.float64)
    wrong = np.flatnonzero(pred_N != y_N)
    wrong = wrong[np.argsort(-confidence_N[wrong], kind="stable")]
    views = parts(train.space)
    few = {n: view for n, view in views.items() if len(view[0]) <= MOST_IN_MATRIX}
    confusions = {n: confusion(code[y_N], code[pred_N], len(values)) for n, (values, code) in few.items()}
    right = {n: int((code[y_N] == code[pred_N]).sum()) for n, (_, code) in views.items()}
    groups = pd.Series(samples.groups_N.astype(str))
    tables = {n: _table(n, values, code[y_N], code[pred_N], groups) for n, (values, code) in views.items()}
    support_C = np.bincount(y_N, minlength=train.space.n_classes)
    pairs = _pairs(support_C, y_N[wrong], pred_N[wrong], oof.ids_N[wrong])
    shown = {key for pair in pairs for key in pair.keys}
    return Mistakes(
        n_images=len(oof),
        n_wrong=len(wrong),
        confusion=confusions,
        wrong={name: 1 - n / len(oof) for name, n in right.items()},
        tables=tables,
        pairs=pairs,
        reliability=_reliability(confidence_N, pred_N == y_N),
        sure_wrong=int((confidence_N[wrong] >= SURE).sum()),
        answers={
            ("train", str(oof.ids_N[k])): (int(y_N[k]), int(pred_N[k]), float(confidence_N[k]))
            for k in wrong
            if ("train", str(oof.ids_N[k])) in shown
        },
    )


def _table(part: str, values: tuple[str, ...], y_N: Ints, pred_N: Ints, groups: pd.Series) -> pd.DataFrame:
    scores = per_class(y_N, pred_N, len(values))
    in_groups = groups.groupby(y_N).nunique()
    table = pd.DataFrame(
        {
            part: list(values),
            # First: it orders the table, and the last columns of a narrow page are reached by scrolling.
            "F1": scores.f1_C,
            "images": scores.support_C,
            "groups": [int(in_groups.get(code, 0)) for code in range(len(values))],
            "precision": scores.precision_C,
            "recall": scores.recall_C,
        }
    )
    return table.sort_values("F1", kind="stable", ignore_index=True)


def _pairs(support_C: Ints, y_N: Ints, pred_N: Ints, ids_N: np.ndarray) -> tuple[ConfusedPair, ...]:
    """The most frequent pairs of the wrong images; of equal ones the first classes come first."""
    cells, counts = np.unique(y_N * len(support_C) + pred_N, return_counts=True)
    pairs = []
    for at in np.argsort(-counts, kind="stable")[:PAIRS]:
        true, predicted = divmod(int(cells[at]), len(support_C))
        ids = ids_N[(y_N == true) & (pred_N == predicted)][:PAIR_EXAMPLES]
        share = int(counts[at]) / int(support_C[true])
        keys = tuple(("train", str(i)) for i in ids)
        pairs.append(ConfusedPair(true, predicted, int(counts[at]), share, keys))
    return tuple(pairs)


def _reliability(confidence_N: np.ndarray, right_N: np.ndarray) -> Reliability:
    bins = np.minimum((confidence_N * BINS).astype(int), BINS - 1)
    size = np.bincount(bins, minlength=BINS)
    some = size > 0
    confidence = np.bincount(bins, confidence_N, BINS)[some] / size[some]
    right = np.bincount(bins, right_N, BINS)[some] / size[some]
    error = float((np.abs(confidence - right) * size[some]).sum() / size.sum())
    return Reliability(confidence, right, float(confidence_N.mean() - right_N.mean()), error)
