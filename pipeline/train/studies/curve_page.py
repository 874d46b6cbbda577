"""The learning curve: score over the number of training groups, and what it says, as text and as a page.

Owns the words, the table and the plots. Does not own the figures: they arrive.

Two questions. Would more data help? That is the gain of the last step, held against a margin below which
collecting is not worth it. Bias or variance? That is how much of the validation error the training
images do not show (A. Ng, Machine Learning Yearning, 2018, chapters 20 to 32).
"""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
from markupsafe import Markup

from pipeline.core.predictions import Comparison
from pipeline.pages import plots
from pipeline.pages.report import Thumbnails, plural, render, signed
from pipeline.settings.schema import Config

# Share of the validation error that is missing on training images: above, variance; below, bias.
MOSTLY_VARIANCE = 0.5
MOSTLY_BIAS = 0.25
# Errors too few to ask where they come from.
SETTLED = 0.01


@dataclass(frozen=True)
class Errors:
    """Error rates at the largest share, 0 to 1: of images that were learned, and out of fold."""

    train: float
    valid: float

    @property
    def unseen(self) -> float:
        """Share of the validation error that training images do not show."""
        return max(self.valid - self.train, 0.0) / self.valid if self.valid else 0.0


@dataclass(frozen=True)
class CurvePage:
    """What was measured.

    Args:
        experiment: its name.
        metric: of the scores.
        table: a row a share, ascending: share, groups, images, score, low, high, sd of seeds, train
            score, gap, loss gap.
        last_step: the largest share against the one before it.
        margin: a smaller gain is not worth it.
        errors: at the largest share.
        seeds: trainings a share.
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
    low, high = signed(step.low), signed(step.high)
    what = f"from {before:.0f} to {last:.0f} groups the score moved by {signed(step.delta)} [{low}, {high}]"
    if step.high < page.margin:
        return f"More data would not help: {what}, less than {page.margin:g}."
    if step.low > 0:
        return f"More data would help: {what}."
    return f"Can't tell whether more data would help: {what}, and {page.margin:g} is worth having."


def bias_or_variance(page: CurvePage) -> str:
    """Where the errors come from, in a sentence."""
    errors = page.errors
    shown = f"{errors.valid:.1%} of the images are wrong out of fold, {errors.train:.1%} of those learned"
    if errors.valid < SETTLED:
        return f"Hardly an error is left: {shown}."
    if errors.unseen >= MOSTLY_VARIANCE:
        return f"Variance: {shown}; more data, augmentation or regularisation come first."
    if errors.unseen <= MOSTLY_BIAS:
        return f"Bias: {shown}; a larger model, longer training or better labels come first."
    return f"Bias and variance alike: {shown}."


def verdict(page: CurvePage) -> str:
    """Both answers."""
    return f"{more_data(page)} {bias_or_variance(page)}"


def reading(page: CurvePage) -> str:
    """How to read the figures."""
    note = f" ({page.last_step.note})" if page.last_step.note else ""
    return (
        f"{plural(page.seeds, 'seed')} a share, each with its own groups; a smaller share's groups are among "
        "a larger one's. Intervals resample whole groups of the mean over seeds, that of the last step also "
        f"the seeds{note}. Scores are those of one view"
    )


def lines(page: CurvePage) -> list[str]:
    """The table for a terminal, and the verdict."""
    shown = page.table.copy()
    shown["share"] = shown["share"].map("{:.0%}".format)
    for name in ("groups", "images"):
        shown[name] = shown[name].map("{:.0f}".format)
    text = shown.to_string(index=False, float_format=lambda value: f"{value:.4f}")
    return [*text.splitlines(), more_data(page), bias_or_variance(page)]


def render_html(page: CurvePage, title: str, config: Config) -> str:
    """The self-contained page.

    Args:
        page: what was measured.
        title: the competition's.
        config: the settings in force.
    """
    table = page.table
    drawn = [
        plots.Curve("validation", table["groups"].tolist(), table["score"].tolist()),
        plots.Curve("training", table["groups"].tolist(), table["train score"].tolist()),
    ]
    label = f"{page.metric} over training groups"
    return render(
        "learning_curve.html",
        title=f"{title}: learning curve of {page.experiment}",
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
