"""The learning curve as text and as a page: score against the number of training groups.

Owns the verdicts, the table and the plots. Does not own the figures (`train/studies/learning_curve.py`).

Two questions. Would more data help? That is the gain of the last step, compared with a margin below which
collecting data is not worthwhile. Bias or variance? That is the gap between validation and training error
(A. Ng, Machine Learning Yearning, 2018, chapters 20 to 32).
"""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
from markupsafe import Markup

from pipeline.core.predictions import Comparison
from pipeline.pages import plots
from pipeline.pages.report import Thumbnails, plural, render, signed
from pipeline.settings.schema import Config
from pipeline.train.studies import texts

# If training error is lower than validation error by at least this share, the model has high variance; by at
# most the second one, high bias.
MOSTLY_VARIANCE = 0.5
MOSTLY_BIAS = 0.25
# A validation error below this is too small to ask for its cause.
SETTLED = 0.01


@dataclass(frozen=True)
class Errors:
    """Error rates at the largest share, 0 to 1: on training images, and out of fold."""

    train: float
    valid: float

    @property
    def unseen(self) -> float:
        """The gap between validation and training error, as a share of the validation error."""
        return max(self.valid - self.train, 0.0) / self.valid if self.valid else 0.0


@dataclass(frozen=True)
class CurvePage:
    """The figures of the page.

    Args:
        table: one row per share, ascending: share, groups, images, score, low, high, sd of seeds, train
            score, gap, loss gap.
        last_step: the largest share against the one before it.
        margin: a smaller gain is not worthwhile.
        seeds: number of trainings per share.
    """

    experiment: str
    metric: str
    table: pd.DataFrame
    last_step: Comparison
    margin: float
    errors: Errors
    seeds: int


def more_data(page: CurvePage) -> str:
    """Whether more data would help, in a sentence."""
    step, (before, last) = page.last_step, page.table["groups"].tolist()[-2:]
    text = texts.MORE_DATA_UNCLEAR
    if step.high < page.margin:
        text = texts.MORE_DATA_NO
    elif step.low > 0:
        text = texts.MORE_DATA_YES
    gain = texts.LAST_STEP.format(
        before=before, last=last, gain=signed(step.delta), low=signed(step.low), high=signed(step.high)
    )
    return text.format(gain=gain, margin=page.margin)


def bias_or_variance(page: CurvePage) -> str:
    """Where the errors come from, in a sentence."""
    errors, text = page.errors, texts.BIAS_AND_VARIANCE
    if errors.valid < SETTLED:
        text = texts.FEW_ERRORS
    elif errors.unseen >= MOSTLY_VARIANCE:
        text = texts.VARIANCE
    elif errors.unseen <= MOSTLY_BIAS:
        text = texts.BIAS
    return text.format(errors=texts.ERROR_RATES.format(valid=errors.valid, train=errors.train))


def verdict(page: CurvePage) -> str:
    """Both answers."""
    return f"{more_data(page)} {bias_or_variance(page)}"


def reading(page: CurvePage) -> str:
    """How to read the figures."""
    note = f" ({page.last_step.note})" if page.last_step.note else ""
    return texts.CURVE_READING.format(seeds=plural(page.seeds, "seed"), note=note)


def lines(page: CurvePage) -> list[str]:
    """The table and the verdict for the terminal."""
    table = page.table.copy()
    table["share"] = table["share"].map("{:.0%}".format)
    for name in ("groups", "images"):
        table[name] = table[name].map("{:.0f}".format)
    text = table.to_string(index=False, float_format=lambda value: f"{value:.4f}")
    return [*text.splitlines(), more_data(page), bias_or_variance(page)]


def render_html(page: CurvePage, title: str, config: Config) -> str:
    """The self-contained page; `title` is the competition's."""
    table = page.table
    drawn = [
        plots.Curve("validation", table["groups"].tolist(), table["score"].tolist()),
        plots.Curve("training", table["groups"].tolist(), table["train score"].tolist()),
    ]
    label = f"{page.metric} over training groups"
    return render(
        "learning_curve.html",
        title=texts.CURVE_TITLE.format(title=title, experiment=page.experiment),
        verdict=more_data(page),
        source=bias_or_variance(page),
        reading=reading(page),
        table=table,
        curve=plots.curves(drawn, label, "training groups of a fold", page.metric),
        intervals=_intervals(page),
        thumbs=Thumbnails.none(),
        thumbnail_px=config.report.thumbnail_px,
    )


def _intervals(page: CurvePage) -> Markup:
    rows = [
        plots.Whisker(f"{row['groups']:.0f} groups", row["score"], row["low"], row["high"])
        for _, row in page.table.iterrows()
    ]
    return plots.whiskers(rows, f"{page.metric} with its 95 % interval over groups")
