"""How good each label or value is out of fold, worst first; and what an image's answers cost together.

Owns the tables, their intervals and the comparison of two runs column by column. Does not own the metrics
(`core/metrics.py`), single images (`columns/cards.py`) nor the page (`columns/page.py`).

Shape legend: N images, K columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
import pandas as pd

from pipeline.core import metrics, statistics
from pipeline.core.group_resampling import Bools, numbered, sums_by_group
from pipeline.core.metric_arithmetic import Reals, ratio
from pipeline.core.predictions import Comparison, Interval, Probabilities
from pipeline.core.samples import Floats, Samples, Strings
from pipeline.core.targets import LABELS, SHARES, Target

# Parts of a value's range, each with as many images, for the bias along the range.
PARTS = 5
STANDARD_ERRORS = 1.96


@dataclass(frozen=True)
class Scored:
    """Out-of-fold predictions with their truth.

    Args:
        target: what the columns mean.
        ids_N, groups_N: of the images.
        truth_NK: NaN where it is unknown.
        p_NK: predictions.
    """

    target: Target
    ids_N: Strings
    groups_N: Strings
    truth_NK: Floats
    p_NK: Floats

    @staticmethod
    def of(train: Samples, oof: Probabilities) -> Scored:
        """The predicted images, in the order of the predictions."""
        samples, target = train.take(oof.ids_N), Target.of(train.space)
        p_NK = oof.with_classes(target.columns).p_NC
        # As it is, because metrics may read more of it than its cells.
        truth_NK = cast(Floats, samples.truth)
        return Scored(target, oof.ids_N, samples.groups_N, truth_NK, p_NK)

    @property
    def known_NK(self) -> Bools:
        """Which cells of the truth are known."""
        return ~np.isnan(self.truth_NK)

    @property
    def holds_NK(self) -> Bools:
        """Which labels hold in truth."""
        return np.asarray(np.nan_to_num(self.truth_NK) >= 0.5)

    @property
    def held_NK(self) -> Bools:
        """Which labels the run says hold."""
        return self.target.held(self.p_NK)

    @property
    def wrong_NK(self) -> Bools:
        """Which answers of labels are wrong."""
        return np.asarray((self.held_NK != self.holds_NK) & self.known_NK)

    @property
    def residual_NK(self) -> Reals:
        """Predicted minus true value, NaN where the truth is unknown."""
        return self.p_NK.astype(np.float64) - self.truth_NK

    @property
    def spread_K(self) -> Reals:
        """Standard deviation of the true values, 1 where they do not vary."""
        # Without a known cell the spread is undefined, and a warning would reach the terminal.
        known_NK = np.where(self.known_NK.any(axis=0), self.truth_NK, 0).astype(np.float64)
        spread_K = np.nanstd(known_NK, axis=0)
        return np.where(spread_K > 0, spread_K, 1.0)

    @property
    def loss_N(self) -> Reals:
        """What the answers of each image cost, ≥ 0.

        Of labels the share of its known answers that are wrong; of shares the part of the votes that is given
        to other classes; of values the mean distance from the truth in standard deviations.
        """
        if self.target.kind == LABELS:
            return ratio(self.wrong_NK.sum(axis=1), self.known_NK.sum(axis=1))
        off_NK = np.abs(np.nan_to_num(self.residual_NK))
        if self.target.kind == SHARES:
            return np.asarray(off_NK.sum(axis=1) / 2)
        return ratio((off_NK / self.spread_K).sum(axis=1), self.known_NK.sum(axis=1))


@dataclass(frozen=True)
class Rules:
    """How intervals are drawn: number of resamples, and their seed."""

    draws: int
    seed: int


def label_table(scored: Scored) -> pd.DataFrame:
    """One row for each label, lowest F1 first; labels without a known answer are left out."""
    rows = []
    for k, name in enumerate(scored.target.columns):
        known = scored.known_NK[:, k]
        if not known.any():
            continue
        true, said = scored.holds_NK[known, k], scored.held_NK[known, k]
        hits, missed, alarms = int((true & said).sum()), int((true & ~said).sum()), int((~true & said).sum())
        both = 0 < true.sum() < len(true)
        auc = metrics.get("auc").score(scored.truth_NK[:, [k]], scored.p_NK[:, [k]]) if both else np.nan
        rows.append(
            {
                "label": name,
                "F1": 2 * hits / (2 * hits + missed + alarms) if hits + missed + alarms else np.nan,
                "AUC": auc,
                "images": int(true.sum()),
                "predicted": int(said.sum()),
                "precision": hits / said.sum() if said.any() else np.nan,
                "recall": hits / true.sum() if true.any() else np.nan,
                "missed": missed,
                "false alarms": alarms,
                "unknown": int((~known).sum()),
            }
        )
    table = pd.DataFrame(rows)
    if not table["unknown"].any():
        table = table.drop(columns="unknown")
    return table.sort_values("F1", kind="stable", ignore_index=True, na_position="last")


def value_table(scored: Scored) -> pd.DataFrame:
    """One row for each value or share, lowest R² first."""
    names, rows = ("rmse", "mae", "r2", "spearman"), []
    for k, name in enumerate(scored.target.columns):
        known = scored.known_NK[:, k]
        if not known.any():
            continue
        y, p = scored.truth_NK[:, [k]], scored.p_NK[:, [k]]
        rmse, mae, r2, spearman = (metrics.get(n).score(y, p) for n in names)
        rows.append(
            {
                "value": name,
                "R²": r2,
                "RMSE": rmse,
                "MAE": mae,
                "rank correlation": spearman,
                "bias": float(scored.residual_NK[known, k].mean()),
                "standard deviation": float(scored.spread_K[k]),
                "images": int(known.sum()),
            }
        )
    return pd.DataFrame(rows).sort_values("R²", kind="stable", ignore_index=True)


def intervals(
    scored: Scored, names: tuple[str, ...], metric: str, rules: Rules
) -> list[tuple[str, Interval]]:
    """The score of each named column with its interval, whole groups resampled."""
    found = []
    for name in names:
        k = scored.target.columns.index(name)
        rows = np.flatnonzero(scored.known_NK[:, k])
        y, p, groups = scored.truth_NK[rows][:, [k]], scored.p_NK[rows][:, [k]], scored.groups_N[rows]
        interval = statistics.interval(metrics.get(metric), y, p, groups, rules.draws, rules.seed)
        found.append((name, interval))
    return found


def compared(new: Scored, old: Scored, metric: str, rules: Rules) -> pd.DataFrame:
    """New against old, column by column, on the images of both; corrected for the number of columns.

    Returns:
        One row for each column, largest change first: name, images, fixed and broken (of labels: answers that
        only the new or only the old run has right; of values: images that are nearer and farther), change
        (positive is better), interval, verdict.
    """
    ids = np.intersect1d(new.ids_N, old.ids_N)
    order = [np.searchsorted(side.ids_N[np.argsort(side.ids_N)], ids) for side in (new, old)]
    at = [np.argsort(side.ids_N)[place] for side, place in zip((new, old), order, strict=True)]
    formula, rows = metrics.get(metric), []
    labels = new.target.kind == LABELS
    for k, name in enumerate(new.target.columns):
        known = np.flatnonzero(new.known_NK[at[0], k])
        if not len(known):
            continue
        here, there = at[0][known], at[1][known]
        y, p_new, p_old = new.truth_NK[here][:, [k]], new.p_NK[here][:, [k]], old.p_NK[there][:, [k]]
        c: Comparison = statistics.compare_tried(
            formula, y, (p_new, p_old), new.groups_N[here], rules.draws, rules.seed, new.target.n_columns
        )
        if labels:
            was, now = old.wrong_NK[there, k], new.wrong_NK[here, k]
            fixed, broken = int((was & ~now).sum()), int((~was & now).sum())
        else:
            was_off, now_off = np.abs(old.residual_NK[there, k]), np.abs(new.residual_NK[here, k])
            fixed, broken = int((now_off < was_off).sum()), int((now_off > was_off).sum())
        rows.append((name, len(known), fixed, broken, c))
    rows.sort(key=lambda row: -abs(row[4].delta))
    return pd.DataFrame(
        [(n, images, f, b, c.delta, c.low, c.high, c.verdict) for n, images, f, b, c in rows],
        columns=["name", "images", "fixed", "broken", "change", "low", "high", "verdict"],
    )


def bias_along(scored: Scored, k: int) -> list[tuple[str, Interval]]:
    """Mean residual of the images in each part of a value's range, with a 95 % interval over groups."""
    rows = np.flatnonzero(scored.known_NK[:, k])
    y_N, off_N = scored.truth_NK[rows, k].astype(np.float64), scored.residual_NK[rows, k]
    edges = np.unique(np.quantile(y_N, np.linspace(0, 1, PARTS + 1)))
    if len(edges) < 2:
        return []
    part_N = np.clip(np.searchsorted(edges, y_N, side="right") - 1, 0, len(edges) - 2)
    found = []
    for part in range(len(edges) - 1):
        inside = part_N == part
        if not inside.any():
            continue
        mean = float(off_N[inside].mean())
        group_N, n_groups = numbered(scored.groups_N[rows][inside])
        sums = sums_by_group((off_N[inside] - mean)[:, None], group_N, n_groups)[:, 0]
        reach = STANDARD_ERRORS * float(np.sqrt((sums**2).sum())) / int(inside.sum())
        name = f"[{edges[part]:.4g}, {edges[part + 1]:.4g}]"
        found.append((name, Interval(mean, mean - reach, mean + reach, n_groups)))
    return found
