"""Figures of single columns: of each class, of each label, or of each value.

Owns the table of a run with a row for each column, the figures of a column in the history of a fold, and
those of attributes in the record. Does not own metrics (`core/metrics.py`) or the score card
(`train/scoring.py`).

Of labels the answer is what is more probable than not, and of the levels of a label the most probable one;
cells that are unknown count nowhere. Of shares the class with the largest share is the answer, and the truth.

Legend: N samples, K columns.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from pipeline.core import metrics
from pipeline.core.metric_arithmetic import area_under_roc, ratio
from pipeline.core.samples import Floats, Ints, LabelSpace, Samples
from pipeline.core.targets import LABELS, SHARES, VALUES, Target, most_probable
from pipeline.train import texts

# The key of a column's figure on the validation part in history entries: this and the name of the column.
F1 = "f1/"
MAE = "mae/"
PREFIXES = (F1, MAE)
# Attributes with a figure of their own in the record: a table of runs with hundreds of columns is no help.
MOST_FIGURES = 30


def table(samples: Samples, p_NK: Floats) -> pd.DataFrame:
    """One row for each column of the predictions of these samples, in their order.

    Of classes and labels `class`, `precision`, `recall`, `f1` and `support`, of labels also `auc` and the
    number of images in which the label is `known`; of values `value`, `mae`, `rmse`, `r2` and `support`, the
    images in which it is known. NaN is undefined.
    """
    space = samples.space
    if space.kind == LABELS:
        return _of_labels(samples, p_NK)
    if space.kind == VALUES:
        return _of_values(samples, p_NK)
    found = metrics.per_class(classes_of(samples), most_probable(p_NK), space.n_classes)
    columns = {"precision": found.precision_C, "recall": found.recall_C, "f1": found.f1_C}
    return pd.DataFrame({"class": space.classes, **columns, "support": found.support_C})


def classes_of(samples: Samples) -> Ints:
    """(N,) the class of each sample; of shares the largest one."""
    if samples.space.kind == SHARES:
        return most_probable(np.asarray(samples.truth, dtype=np.float32))
    return samples.labels


def holding(samples: Samples) -> Ints:
    """(K,) images of each class; of labels those in which it holds, of values those in which it is known."""
    if samples.space.kind == "exclusive":
        return np.bincount(samples.labels, minlength=samples.space.n_classes).astype(np.int64)
    if samples.space.kind == SHARES:
        return np.bincount(classes_of(samples), minlength=samples.space.n_classes).astype(np.int64)
    y_NK = np.asarray(samples.truth, dtype=np.float32)
    counted_NK = ~np.isnan(y_NK) if samples.space.kind == VALUES else np.nan_to_num(y_NK) >= 0.5
    return np.asarray(counted_NK.sum(axis=0), dtype=np.int64)


def _of_labels(samples: Samples, p_NK: Floats) -> pd.DataFrame:
    y_NK = np.asarray(samples.truth, dtype=np.float32)
    known_NK, true_NK = ~np.isnan(y_NK), np.nan_to_num(y_NK) >= 0.5
    said_NK = Target.of(samples.space).held(p_NK) & known_NK
    hits, support, said = ((part).sum(axis=0) for part in (true_NK & said_NK, true_NK, said_NK))
    return pd.DataFrame(
        {
            "class": samples.space.classes,
            "precision": ratio(hits, said),
            "recall": ratio(hits, support),
            "f1": ratio(2 * hits, support + said),
            "auc": [_auc(y_N, p_N) for y_N, p_N in zip(y_NK.T, p_NK.T, strict=True)],
            "support": support,
            "known": known_NK.sum(axis=0),
        }
    )


def _auc(y_N: Floats, p_N: Floats) -> float:
    """Area under ROC of one label where it is known; NaN where only one answer occurs."""
    known_N = ~np.isnan(y_N)
    area = area_under_roc(p_N[known_N], y_N[known_N] >= 0.5)
    return float("nan") if area is None else float(area(np.ones((int(known_N.sum()), 1)))[0])


def _of_values(samples: Samples, p_NK: Floats) -> pd.DataFrame:
    y_NK = np.asarray(samples.truth, dtype=np.float64)
    known_NK = ~np.isnan(y_NK)
    n = known_NK.sum(axis=0)
    off_NK = np.where(known_NK, p_NK - np.nan_to_num(y_NK), 0.0)
    mean_K = ratio(np.nan_to_num(y_NK).sum(axis=0), n)
    spread_K = (np.where(known_NK, np.nan_to_num(y_NK) - mean_K, 0.0) ** 2).sum(axis=0)
    r2_K = np.where(spread_K > 0, 1 - ratio((off_NK**2).sum(axis=0), spread_K), np.nan)
    return pd.DataFrame(
        {
            "value": samples.space.classes,
            "mae": ratio(np.abs(off_NK).sum(axis=0), n),
            "rmse": np.sqrt(ratio((off_NK**2).sum(axis=0), n)),
            "r2": r2_K,
            "support": n,
        }
    )


def figures(samples: Samples, p_NK: Floats) -> dict[str, float]:
    """The figures of a history entry: F1 of each class or label that occurs, or MAE of each known value."""
    rows = table(samples, p_NK)
    prefix, figure = (MAE, "mae") if samples.space.kind == VALUES else (F1, "f1")
    known = zip(samples.space.classes, rows[figure].tolist(), rows["support"].tolist(), strict=True)
    return {f"{prefix}{name}": value for name, value, support in known if support}


def summary(samples: Samples, p_NK: Floats) -> dict[str, float]:
    """The figures of a run beside its score: of the worst class or label, and of each attribute.

    `f1_worst_class` and `f1_NAME`, or `mae_NAME` where values are predicted.
    """
    space, rows = samples.space, table(samples, p_NK)
    known = rows[rows["support"] > 0]
    if space.kind == VALUES:
        named = zip(known["value"], known["mae"].tolist(), strict=True)
        return {f"mae_{name}": mae for name, mae in list(named)[:MOST_FIGURES]}
    worst = {"f1_worst_class": float(known["f1"].min())} if len(known) else {}
    if space.kind == LABELS:
        by_attribute = _of_each_label(space, rows)
    elif space.kind == SHARES:  # of one attribute, whose F1 is the table's
        by_attribute = {}
    else:
        by_attribute = metrics.attribute_scores(space, samples.labels, p_NK)
    return worst | {f"f1_{name}": f1 for name, f1 in list(by_attribute.items())[:MOST_FIGURES]}


def _of_each_label(space: LabelSpace, rows: pd.DataFrame) -> dict[str, float]:
    """F1 of each label that occurs; of one with several levels, the mean over those that occur."""
    found = {}
    for number, attribute in enumerate(space.attributes):
        own = rows[space.codes_CA[:, number] >= 0]
        own = own[own["support"] > 0]
        if len(own):
            found[attribute.name] = float(own["f1"].mean())
    return found


def worst(rows: pd.DataFrame) -> str:
    """The line of the terminal about the worst column of a `table`; empty where nothing is known."""
    known = rows[rows["support"] > 0]
    if not len(known):
        return ""
    if "value" in rows:
        one = known.nsmallest(1, "r2").iloc[0] if known["r2"].notna().any() else known.iloc[0]
        return texts.WORST_VALUE.format(
            name=one["value"], mae=one["mae"], r2=one["r2"], images=one["support"]
        )
    one = known.nsmallest(1, "f1").iloc[0]
    text = texts.WORST_LABEL if "known" in rows else texts.WORST_CLASS
    return text.format(name=one["class"], f1=one["f1"], images=one["support"])


def wrong(samples: Samples, p_NK: Floats) -> float:
    """The share of wrong answers, 0 to 1: of labels among the known cells.

    Of values, which are never exactly right, the share of the variance that is not explained: 1 is as good as
    the mean of each value.
    """
    space = samples.space
    if space.kind in (LABELS, VALUES):
        y_NK = np.asarray(samples.truth, dtype=np.float64)
        known_NK = ~np.isnan(y_NK)
        if space.kind == LABELS:
            off_NK = (Target.of(space).held(p_NK) != (np.nan_to_num(y_NK) >= 0.5)) & known_NK
            return float(off_NK.sum() / max(int(known_NK.sum()), 1))
        r2 = _of_values(samples, p_NK)["r2"]
        return float(np.nanmean(1 - r2)) if r2.notna().any() else float("nan")
    return float((most_probable(p_NK) != classes_of(samples)).mean())
