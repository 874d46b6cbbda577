"""Calibration: how reliable confidence is before and after temperature scaling, with intervals over groups.

Owns the calibration figures and their section. Does not own fitting a temperature: `errors/page.py`
passes probabilities scaled by a temperature that was fitted on other groups.

The expected calibration error (ECE) is a mean of absolute values, so noise alone raises it: its interval is
corrected for that bias, and the table also shows the ECE that a perfectly calibrated run of the same size may
have. Mean confidence minus accuracy has no such bias, and log loss is a proper score, so these two decide.

Sources: Naeini, Cooper & Hauskrecht (AAAI 2015), ECE; Guo et al. (ICML 2017), temperature; Bröcker & Smith,
Increasing the Reliability of Reliability Diagrams (2007), consistency by resampling.

Shape legend: N images, C classes, G groups, K bins, B resamples.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from markupsafe import Markup

from pipeline.core import group_resampling
from pipeline.core.group_resampling import numbered, percentile_interval, sign_flips, sums_by_group
from pipeline.core.language import joined
from pipeline.core.metric_arithmetic import Reals
from pipeline.core.samples import Floats, Ints, Strings
from pipeline.core.seeds import rng
from pipeline.errors import texts
from pipeline.errors.diff.flips import tested
from pipeline.pages import plots
from pipeline.pages.report import ReportSection, p_value, percent, points, signed

ANCHOR, SHORT = "sure", texts.CONFIDENCE_SHORT
TITLE = texts.CALIBRATION_TITLE
BINS = 10
FLOOR = 1e-12
# Points of the curve of accuracy by coverage.
COVERAGES = np.linspace(0.05, 1.0, 20)
FEWEST_GROUPS = 6
P = "p, corrected"


@dataclass(frozen=True)
class CalibrationInputs:
    """What the section is made from; all rows in one order.

    Args:
        before_NC: out-of-fold probabilities.
        after_NC: the same with a temperature fitted on other groups; None: there are no other groups.
        temperature: fitted on all rows; above 1 the run is overconfident.
        command: makes a blend with temperatures.
        blended: whether it is a blend; then each member would get its own temperature.
    """

    y_N: Ints
    before_NC: Floats
    after_NC: Floats | None
    temperature: float
    groups_N: Strings
    classes: tuple[str, ...]
    draws: int
    seed: int
    command: str
    blended: bool = False


@dataclass(frozen=True)
class Trust:
    """The calibration of one set of probabilities.

    Args:
        confidence_K: mean confidence of each bin that is not empty.
        right_K: accuracy in each of these bins.
        error: ECE, 10 bins of equal width, with `error_low` and `error_high`, its 95 % interval.
        by_noise: 95 % of perfectly calibrated runs of this size have a lower ECE.
        excess: mean confidence minus accuracy, with `excess_low` and `excess_high`.
    """

    confidence_K: Reals
    right_K: Reals
    error: float
    error_low: float
    error_high: float
    by_noise: float
    excess: float
    excess_low: float
    excess_high: float

    @property
    def conclusion(self) -> str:
        """`overconfident`, `underconfident` or `can't tell`, on average."""
        if self.excess_low > 0:
            return texts.OVERCONFIDENT
        return texts.UNDERCONFIDENT if self.excess_high < 0 else texts.FINDING_UNDECIDED


def trust(y_N: Ints, p_NC: Floats, groups_N: Strings, draws: int, seed: int) -> Trust:
    """The calibration of the most probable class, whole groups resampled `draws` times."""
    confidence_N = p_NC.max(axis=1).astype(np.float64)
    right_N = (p_NC.argmax(axis=1) == y_N).astype(np.float64)
    bin_N = np.minimum((confidence_N * BINS).astype(int), BINS - 1)
    group_N, n_groups = numbered(groups_N)
    in_bin_NK = np.eye(BINS)[bin_N]
    gap_GK = sums_by_group(in_bin_NK * (confidence_N - right_N)[:, None], group_N, n_groups)
    size_GK = sums_by_group(in_bin_NK, group_N, n_groups)
    size_K = size_GK.sum(axis=0)
    some = size_K > 0
    error = float(np.abs(gap_GK.sum(axis=0)).sum() / len(y_N))
    times_BG = _times(n_groups, draws, seed)
    rows_B = times_BG @ size_GK.sum(axis=1)
    errors_B = np.abs(times_BG @ gap_GK).sum(axis=1) / rows_B
    bias = errors_B.mean() - error
    low, high = (end - bias for end in percentile_interval(errors_B))
    excess_B = (times_BG @ gap_GK.sum(axis=1)) / rows_B
    noise_GK = gap_GK - size_GK * (gap_GK.sum(axis=0) / np.maximum(size_K, 1))
    signs_BG = group_resampling.signs(rng(seed, "calibration noise"), draws, n_groups, np.int64)
    by_noise_B = np.abs(signs_BG @ noise_GK).sum(axis=1) / len(y_N)
    ends = percentile_interval(excess_B) if n_groups > 1 else (-1.0, 1.0)
    return Trust(
        confidence_K=(in_bin_NK.T @ confidence_N)[some] / size_K[some],
        right_K=(in_bin_NK.T @ right_N)[some] / size_K[some],
        error=error,
        error_low=max(float(low), 0.0),
        error_high=float(high),
        by_noise=float(np.percentile(by_noise_B, 95)),
        excess=float((confidence_N - right_N).mean()),
        excess_low=float(ends[0]),
        excess_high=float(ends[1]),
    )


def _times(n_groups: int, draws: int, seed: int) -> Reals:
    """(B, G) how often each group is drawn."""
    return group_resampling.times_drawn(rng(seed, "calibration groups"), n_groups, draws).astype(np.float64)


def log_loss_change(inputs: CalibrationInputs) -> tuple[float, float, float]:
    """Log loss after minus before, and its 95 % interval over groups; below 0 the temperature helps."""
    assert inputs.after_NC is not None, "there are no probabilities with temperature"
    rows = np.arange(len(inputs.y_N))
    before_N, after_N = (
        -np.log(np.maximum(p_NC[rows, inputs.y_N].astype(np.float64), FLOOR))
        for p_NC in (inputs.before_NC, inputs.after_NC)
    )
    group_N, n_groups = numbered(inputs.groups_N)
    sums_GK = sums_by_group(np.stack([after_N - before_N, np.ones(len(rows))], axis=1), group_N, n_groups)
    drawn_BK = _times(n_groups, inputs.draws, inputs.seed) @ sums_GK
    low, high = percentile_interval(drawn_BK[:, 0] / drawn_BK[:, 1])
    return float((after_N - before_N).mean()), float(low), float(high)


def by_answer(inputs: CalibrationInputs) -> pd.DataFrame:
    """One row for each predicted class, with p corrected for all rows, smallest p first.

    Of very many classes those that are predicted most often.
    """
    predicted_N = inputs.before_NC.argmax(axis=1)
    confidence_N = inputs.before_NC.max(axis=1).astype(np.float64)
    right_N = (predicted_N == inputs.y_N).astype(np.float64)
    group_N, n_groups = numbered(inputs.groups_N)
    told = tested(np.bincount(predicted_N, minlength=len(inputs.classes)))
    in_class_NC = (predicted_N[:, None] == told).astype(np.float64)
    sums_GC = sums_by_group(in_class_NC * (confidence_N - right_N)[:, None], group_N, n_groups)
    test = sign_flips(sums_GC, inputs.seed, "confidence by class")
    size_C = np.maximum(in_class_NC.sum(axis=0), 1)
    gap_C = sums_GC.sum(axis=0) / size_C
    direction_C = np.where(gap_C > 0, texts.OVERCONFIDENT, texts.UNDERCONFIDENT)
    enough_C = test.found_K & (test.groups_K >= FEWEST_GROUPS)
    table = pd.DataFrame(
        {
            "prediction": [inputs.classes[c] for c in told],
            "images": in_class_NC.sum(axis=0).astype(int),
            "confidence": [percent(x) for x in in_class_NC.T @ confidence_N / size_C],
            "right": [percent(x) for x in in_class_NC.T @ right_N / size_C],
            "difference, points": [points(gap) for gap in gap_C],
            P: test.p_K,
            "conclusion": np.where(enough_C, direction_C, texts.FINDING_UNDECIDED),
        }
    )
    return table[table["images"] > 0].sort_values(P, kind="stable", ignore_index=True)


def section(inputs: CalibrationInputs) -> ReportSection:
    """The section of the page."""
    args = (inputs.groups_N, inputs.draws, inputs.seed)
    before = trust(inputs.y_N, inputs.before_NC, *args)
    after = None if inputs.after_NC is None else trust(inputs.y_N, inputs.after_NC, *args)
    named = {texts.BEFORE: before} | ({texts.AFTER: after} if after else {})
    lines = [plots.Curve(name, t.confidence_K.tolist(), t.right_K.tolist()) for name, t in named.items()]
    table = pd.DataFrame(
        [
            {
                "": name,
                "calibration error": percent(t.error),
                "95 % interval": f"{percent(t.error_low)}–{percent(t.error_high)}",
                "noise alone, up to": percent(t.by_noise),
                "confidence minus accuracy, points": points(t.excess),
                "interval of the difference": f"[{points(t.excess_low)}, {points(t.excess_high)}]",
                "conclusion": t.conclusion,
            }
            for name, t in named.items()
        ]
    )
    classes, axes = by_answer(inputs), (texts.CONFIDENCE_AXIS, texts.ACCURACY_AXIS)
    return ReportSection(
        ANCHOR,
        SHORT,
        "calibration.html",
        {
            "title": TITLE,
            "reliability": plots.curves(lines, texts.RELIABILITY_PLOT, *axes, identity=True),
            "coverage": _coverage_plot(inputs),
            "table": table,
            "sentence": _sentence(before),
            "temperature": _temperature(inputs),
            "classes": classes.assign(**{P: [p_value(p) for p in classes[P]]}),
        },
    )


def _sentence(before: Trust) -> str:
    conclusions = {
        texts.OVERCONFIDENT: texts.IS_OVERCONFIDENT,
        texts.UNDERCONFIDENT: texts.IS_UNDERCONFIDENT,
        texts.FINDING_UNDECIDED: texts.CONFIDENCE_UNKNOWN,
    }
    return (texts.ABOVE if before.excess > 0 else texts.BELOW).format(
        conclusion=conclusions[before.conclusion],
        gap=100 * abs(before.excess),
        low=points(before.excess_low),
        high=points(before.excess_high),
    )


def _temperature(inputs: CalibrationInputs) -> str:
    if inputs.after_NC is None:
        return texts.NO_TEMPERATURE
    change, low, high = log_loss_change(inputs)
    helps = high < 0
    template = texts.TEMPERATURE_HURTS if low > 0 else texts.TEMPERATURE_UNKNOWN
    found = (texts.TEMPERATURE_HELPS if helps else template).format(temperature=inputs.temperature)
    ends = {"change": signed(change), "low": signed(low), "high": signed(high)}
    sentence = texts.TEMPERATURE_FIGURES.format(sentence=found, **ends)
    if not helps:
        return sentence
    use = texts.USE_IN_BLEND if inputs.blended else texts.USE_IN_RUN
    return joined(" ", (sentence, use.format(command=inputs.command)))


def _coverage_plot(inputs: CalibrationInputs) -> Markup:
    order = np.argsort(-inputs.before_NC.max(axis=1), kind="stable")
    right_N = (inputs.before_NC.argmax(axis=1) == inputs.y_N)[order]
    counts = np.maximum((COVERAGES * len(right_N)).round().astype(int), 1)
    accuracy = np.cumsum(right_N)[counts - 1] / counts
    line = plots.Curve(texts.OUT_OF_FOLD, COVERAGES.tolist(), accuracy.tolist())
    return plots.curves([line], texts.COVERAGE_PLOT, texts.COVERAGE_AXIS, texts.ACCURACY_AXIS)
