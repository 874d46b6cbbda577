"""Scores on corrupted images: growing blur, noise, JPEG compression and changes of brightness.

Owns the scores with their intervals, and the section of the report. Does not own corrupting images
(`nets/views.py`) nor running models on them (`infer/view_predictions.py`).

Every strength is scored on the same resamples of whole groups, and the intervals of changes against the
clean images hold for all strengths at once (max-T), so that chance at one of many strengths is not reported.

Shape legend: N images, C classes, S strengths with the clean one first, B resamples.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from markupsafe import Markup

from pipeline.core.group_resampling import max_t_factor, percentile_interval, resampled
from pipeline.core.metric_arithmetic import Reals
from pipeline.core.metrics import Metric
from pipeline.core.predictions import ViewProbabilities
from pipeline.core.samples import Strings, Truth
from pipeline.infer import texts
from pipeline.pages.plots import BandStep, band
from pipeline.pages.report import ReportSection

ANCHOR, SHORT = "robustness", texts.ROBUSTNESS_SHORT
TITLE = texts.ROBUSTNESS_TITLE
CLEAN = "identity"
FILE = "robustness.csv"
# Curve -> the meaning of its strengths.
COLUMNS = ("curve", "strength", "score", "low", "high", "change", "change_low", "change_high", "verdict")


def measure(
    metric: Metric,
    y_N: Truth,
    oof: ViewProbabilities,
    strengths: Mapping[str, tuple[str, float]],
    groups_N: Strings,
    draws: int,
    seed: int,
) -> pd.DataFrame:
    """One row per strength, `COLUMNS`; the first row is the clean images, curve `clean`, strength 0.

    A change below 0 is worse, for losses too. `oof` has the same rows as y_N, and one view per strength,
    `identity` among them; `strengths` gives the curve and strength of each other view, in order.
    """
    names = [CLEAN, *strengths]
    sides = [oof.view(name).p_NC for name in names]
    scores_SB = resampled(metric, y_N, sides, groups_N, draws, seed)
    score_S = np.array([metric.score(y_N, p_NC) for p_NC in sides])
    low_S, high_S = percentile_interval(scores_SB, axis=1)
    change_S = metric.sign * (score_S - score_S[0])
    drawn_SB = metric.sign * (scores_SB - scores_SB[0])
    reach_S = _reach(drawn_SB)
    testable_S = (reach_S > 0) & (len(np.unique(groups_N)) > 1)
    significant = [testable_S & (change_S + reach_S < 0), testable_S & (change_S - reach_S > 0)]
    curves = [("clean", 0.0), *strengths.values()]
    return pd.DataFrame(
        {
            "curve": [curve for curve, _ in curves],
            "strength": [float(strength) for _, strength in curves],
            "score": score_S,
            "low": low_S,
            "high": high_S,
            "change": change_S,
            "change_low": change_S - reach_S,
            "change_high": change_S + reach_S,
            "verdict": np.select(significant, ["worse", "better"], default="can't tell"),
        }
    )


def _reach(drawn_SB: Reals) -> Reals:
    """(S,) half widths of intervals that hold for all strengths at once; 0 where the score does not vary."""
    spread_S = drawn_SB.std(axis=1)
    off_SB = drawn_SB - drawn_SB.mean(axis=1, keepdims=True)
    return np.asarray(max_t_factor(off_SB, spread_S) * spread_S)


@dataclass(frozen=True)
class RobustnessInputs:
    """The content of the section: the table of `measure`, whose models these are, and the metric's name for
    people.
    """

    table: pd.DataFrame
    experiment: str
    metric: str


def sentence(table: pd.DataFrame, curve: str) -> str:
    """From which strength on a curve is significantly worse than clean."""
    rows = table[table["curve"] == curve]
    worse = rows[rows["verdict"] == "worse"]
    if not len(worse):
        return texts.NOT_WORSE.format(curve=texts.CURVES[curve])
    first, last = worse.iloc[0], rows.iloc[-1]
    change = f"{last['change']:+.3f}".replace("-", "−")
    words = {"curve": texts.CURVES[curve], "change": change}
    return texts.WORSE_FROM.format(first=first["strength"], last=last["strength"], **words)


def section(inputs: RobustnessInputs) -> ReportSection:
    """The section of the error report."""
    table = inputs.table
    kinds = [curve for curve in dict.fromkeys(table["curve"]) if curve != "clean"]
    clean = table.iloc[0]
    bounds = (float(table["low"].min()), float(table["high"].max()))
    drawn = [(sentence(table, kind), _plot(table, kind, inputs.metric, bounds)) for kind in kinds]
    rows = table[table["curve"] != "clean"]
    shown = rows[["curve", "strength"]].copy()
    shown["score"] = [f"{score:.4f}" for score in rows["score"]]
    shown["95 % interval"] = [f"{a:.4f}–{b:.4f}" for a, b in zip(rows["low"], rows["high"], strict=True)]
    shown["change"] = [f"{x:+.4f}".replace("-", "−") for x in rows["change"]]
    shown["its interval"] = [
        f"[{a:+.4f}, {b:+.4f}]".replace("-", "−")
        for a, b in zip(rows["change_low"], rows["change_high"], strict=True)
    ]
    shown["verdict"] = rows["verdict"]
    return ReportSection(
        ANCHOR,
        SHORT,
        "robustness.html",
        {
            "title": TITLE,
            "experiment": inputs.experiment,
            "metric": inputs.metric,
            "clean": f"{clean['score']:.4f} ({clean['low']:.4f}–{clean['high']:.4f})",
            "drawn": drawn,
            "table": shown,
        },
    )


def _plot(table: pd.DataFrame, kind: str, metric: str, bounds: tuple[float, float]) -> Markup:
    """The curve of one corruption, from clean to the strongest."""
    rows = pd.concat([table.head(1), table[table["curve"] == kind]])
    names = [texts.CLEAN, *(f"{strength:g}" for strength in rows["strength"].iloc[1:])]
    steps = [
        BandStep(name, *values)
        for name, *values in zip(names, rows["score"], rows["low"], rows["high"], strict=True)
    ]
    title = texts.UNDER.format(metric=metric, kind=texts.CURVES[kind])
    return band(steps, title, texts.UNITS[kind], metric, bounds)
