"""Score under growing blur, noise, JPEG and changes of brightness.

Owns the scores with their intervals, and the section. Does not own spoiling images (`nets/views.py`)
nor running models on them (`infer/stage_robustness.py`).

Every strength is scored on the same resamples of whole groups, and its change against the clean images is
held against all strengths at once (max-T), so that one unlucky strength out of many is no finding.

Shape legend: N images, C classes, S strengths with the clean one first, B resamples.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from markupsafe import Markup

from pipeline.core.group_resampling import max_t_factor, percentile_interval, resampled
from pipeline.core.metrics import Metric, Reals
from pipeline.core.predictions import ViewProbabilities
from pipeline.core.samples import Ints, Strings
from pipeline.pages.plots import Step, band
from pipeline.pages.section import Section

ANCHOR, SHORT = "robustness", "Robustness"
TITLE = "When pictures get worse"
CLEAN = "identity"
# What a strength is, by curve.
UNITS = {
    "blur": "blur, px",
    "noise": "noise, share of white",
    "JPEG": "JPEG quality",
    "darker": "brightness, factor",
    "brighter": "brightness, factor",
}
COLUMNS = ("curve", "strength", "score", "low", "high", "change", "change_low", "change_high", "verdict")


def measure(
    metric: Metric,
    y_N: Ints,
    seen: ViewProbabilities,
    of_view: Mapping[str, tuple[str, float]],
    groups_N: Strings,
    draws: int,
    seed: int,
) -> pd.DataFrame:
    """A row a strength, `COLUMNS`; the first row is the clean images, curve `clean`, strength 0.

    Args:
        metric: what is scored; a change below 0 is worse, for losses too.
        y_N: true class index.
        seen: probabilities of the same rows, a view a strength, `identity` among them.
        of_view: the curve and strength of each other view, in order.
        groups_N: the group of each row.
        draws: resamples.
        seed: of the resamples.
    """
    names = [CLEAN, *of_view]
    sides = [seen.view(name).p_NC for name in names]
    scores_SB = resampled(metric, y_N, sides, groups_N, draws, seed)
    score_S = np.array([metric.score(y_N, p_NC) for p_NC in sides])
    low_S, high_S = percentile_interval(scores_SB, axis=1)
    change_S = metric.sign * (score_S - score_S[0])
    drawn_SB = metric.sign * (scores_SB - scores_SB[0])
    reach_S = _reach(drawn_SB)
    tells_S = (reach_S > 0) & (len(np.unique(groups_N)) > 1)
    told = [tells_S & (change_S + reach_S < 0), tells_S & (change_S - reach_S > 0)]
    curves = [("clean", 0.0), *of_view.values()]
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
            "verdict": np.select(told, ["worse", "better"], default="can't tell"),
        }
    )


def _reach(drawn_SB: Reals) -> Reals:
    """(S,) half widths of intervals that hold for all strengths at once; 0 where nothing varies."""
    spread_S = drawn_SB.std(axis=1)
    off_SB = drawn_SB - drawn_SB.mean(axis=1, keepdims=True)
    return np.asarray(max_t_factor(off_SB, spread_S) * spread_S)


@dataclass(frozen=True)
class RobustnessInputs:
    """What the section is made of.

    Args:
        table: of `measure`.
        experiment: whose models were tried.
        metric: its name in words.
    """

    table: pd.DataFrame
    experiment: str
    metric: str


def sentence(table: pd.DataFrame, curve: str) -> str:
    """From which strength on a curve is worse than clean, beyond chance."""
    rows = table[table["curve"] == curve]
    worse = rows[rows["verdict"] == "worse"]
    if not len(worse):
        return f"{curve}: can't tell it from clean at any strength tried"
    first = worse.iloc[0]
    last = rows.iloc[-1]
    change = f"{last['change']:+.3f}".replace("-", "−")
    return f"{curve}: worse from {first['strength']:g} on; {change} at {last['strength']:g}"


def section(inputs: RobustnessInputs) -> Section:
    """The section of the page."""
    table = inputs.table
    kinds = [curve for curve in dict.fromkeys(table["curve"]) if curve != "clean"]
    clean = table.iloc[0]
    bounds = (float(table["low"].min()), float(table["high"].max()))
    drawn = [(sentence(table, kind), _plot(table, kind, inputs.metric, bounds)) for kind in kinds]
    shown = table[table["curve"] != "clean"][["curve", "strength"]].copy()
    rows = table[table["curve"] != "clean"]
    shown["score"] = [f"{score:.4f}" for score in rows["score"]]
    shown["95 % interval"] = [f"{a:.4f}–{b:.4f}" for a, b in zip(rows["low"], rows["high"], strict=True)]
    shown["change"] = [f"{x:+.4f}".replace("-", "−") for x in rows["change"]]
    shown["its interval"] = [
        f"{a:+.4f} to {b:+.4f}".replace("-", "−")
        for a, b in zip(rows["change_low"], rows["change_high"], strict=True)
    ]
    shown["verdict"] = rows["verdict"]
    return Section(
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
    """One curve from clean on; steps to the right are growing harm, whatever the unit."""
    rows = pd.concat([table.head(1), table[table["curve"] == kind]])
    names = ["clean", *(f"{strength:g}" for strength in rows["strength"].iloc[1:])]
    steps = [
        Step(name, *values)
        for name, *values in zip(names, rows["score"], rows["low"], rows["high"], strict=True)
    ]
    return band(steps, f"{metric} under {kind}", UNITS[kind], metric, bounds)
