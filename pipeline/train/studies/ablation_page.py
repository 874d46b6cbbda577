"""The table of a grid of settings: scores, costs and corrected comparisons, as text and as a page.

Owns the words, the table and the plots. Does not own the figures: they arrive.

Freeze or fine-tune: the 2×2 of data size and similarity, and where a competition stands in it.

Owns the advice's words and the rules of thumb behind "large" and "similar". Does not own the scores.

Source: Stanford CS231n, Transfer Learning, https://cs231n.github.io/transfer-learning/
"""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
from markupsafe import Markup

from pipeline.core.predictions import Comparison
from pipeline.pages import plots
from pipeline.pages.report import Thumbnails, plural, render, signed
from pipeline.settings.schema import Config

# ImageNet, which most weights come from, has about 1,300 images a class.
LARGE = 1000
# The frozen backbone reaches this share of what fine-tuning reaches: its features know these images.
SIMILAR = 0.9

ADVICE = {
    (False, True): "freeze: train the head only (strategy=linear_probe); fine-tuning all may overfit",
    (False, False): "freeze the early stages, whose features are general (strategy=freeze_until or gradual)",
    (True, True): "fine-tune all weights, lower layers slower (strategy=full train.layer_decay=0.8)",
    (True, False): "fine-tune all weights; try scratch too, which has enough data here",
}


@dataclass(frozen=True)
class Standing:
    """What is known of a competition's place.

    Args:
        per_class: training images of a fold in a class, median over classes.
        metric: the score's name.
        frozen: the best linear probe's score, or None when no arm is one.
        tuned: the best score of fine-tuning pretrained weights, or None.
        higher_is_better: of the metric.
    """

    per_class: float
    metric: str
    frozen: float | None
    tuned: float | None
    higher_is_better: bool = True

    @property
    def large(self) -> bool:
        """Whether there is much data."""
        return self.per_class >= LARGE

    @property
    def similar(self) -> bool | None:
        """Whether the pretrained features fit the images; None when nothing tells."""
        if self.frozen is None or self.tuned is None or not self.higher_is_better or self.tuned <= 0:
            return None
        return self.frozen >= SIMILAR * self.tuned


def transfer_table(standing: Standing) -> pd.DataFrame:
    """The four fields, with a mark where this competition stands, or on both that it may be."""
    rows = [
        {
            "data": "large" if large else "small",
            "images": "similar to the weights' own" if similar else "different",
            "advice": words,
            "here": "←" if large == standing.large and standing.similar in (similar, None) else "",
        }
        for (large, similar), words in ADVICE.items()
    ]
    return pd.DataFrame(rows)


def transfer_lines(standing: Standing) -> list[str]:
    """The same for a terminal, with what the mark rests on."""
    told = [
        f"{row['here'] or ' '} {row['data']} data, {row['images']}: {row['advice']}"
        for row in transfer_table(standing).to_dict("records")
    ]
    return [
        "freeze or fine-tune, by data size and similarity (CS231n); ← is where this competition stands:",
        *told,
        why(standing),
    ]


def why(standing: Standing) -> str:
    """What the mark rests on."""
    size = (
        f"{standing.per_class:.0f} training images in the middle class: "
        f"{'large' if standing.large else 'small'} (from {LARGE} on large)"
    )
    if standing.similar is None:
        return f"{size}; how similar cannot be told: the grid needs linear_probe, full and a score that rises"
    assert standing.frozen is not None and standing.tuned is not None, "similar is known from both"
    share = standing.frozen / standing.tuned
    return (
        f"{size}; the frozen features reach {share:.0%} of fine-tuning's {standing.metric} at this budget: "
        f"{'similar' if standing.similar else 'different'} (from {SIMILAR:.0%} on similar). Rules of thumb: "
        "the table of arms is the measurement"
    )


# Plots have as many colours.
CURVES = 3
# A training that took this many times its budget says that the measured rates no longer held.
BUSY = 1.5


@dataclass(frozen=True)
class Row:
    """One planned comparison: the arm, the levels it is held against, and the result."""

    arm: str
    against: str
    comparison: Comparison


@dataclass(frozen=True)
class AblationPage:
    """What a study found.

    Args:
        grid: its file.
        about: what it asked.
        metric: the score's name; a column of `table`.
        table: a row an arm: a column an axis, then epochs, steps, seconds, the score, sd of seeds.
        axes: the axes' names, in the table's order.
        against: names of the baselines.
        comparisons: all planned ones.
        factor: standard errors on either side of every interval.
        seeds: of each arm.
        scored: images that every arm predicted.
        equal_steps: whether epochs were adjusted, to equal steps.
        equal_samples: whether they were, to equally many images seen.
        equal_steps: whether epochs were adjusted.
        seconds: what each training was given, where wall time is equal; then it is that which adjusts.
        transfer: where the competition stands, where arms differ in their transfer strategy.
    """

    grid: str
    about: str
    metric: str
    table: pd.DataFrame
    axes: tuple[str, ...]
    against: tuple[str, ...]
    comparisons: tuple[Row, ...]
    factor: float
    seeds: int
    scored: int
    equal_steps: bool
    equal_samples: bool = False
    seconds: float | None = None
    transfer: Standing | None = None


def headline(page: AblationPage) -> str:
    """How many comparisons tell something, in a sentence."""
    verdicts = [row.comparison.verdict for row in page.comparisons]
    better, worse = verdicts.count("better"), verdicts.count("worse")
    return (
        f"Of {plural(len(verdicts), 'comparison')}, {better} better and {worse} worse than the baseline; "
        f"{len(verdicts) - better - worse} can't be told"
    )


def lines(page: AblationPage) -> list[str]:
    """The table for a terminal, and how to read it."""
    shown = page.table.copy()
    for name in (page.metric, "sd of seeds"):
        shown[name] = shown[name].map("{:.4f}".format)
    names = [" · ".join(row) for row in page.table[list(page.axes)].itertuples(index=False)]
    for against in page.against:
        of_arm = {row.arm: row.comparison for row in page.comparisons if row.against == against}
        shown[f"against {against}"] = [_cell(of_arm[name]) if name in of_arm else "–" for name in names]
    advice = transfer_lines(page.transfer) if page.transfer else []
    return [*shown.to_string(index=False).splitlines(), headline(page), _reading(page), *advice]


def _cell(comparison: Comparison) -> str:
    sign = {"better": "+", "worse": "-"}.get(comparison.verdict, " ")
    low, high = signed(comparison.low), signed(comparison.high)
    return f"{signed(comparison.delta)} [{low}, {high}] {sign}"


def _reading(page: AblationPage) -> str:
    steps = "at equal optimizer steps" if page.equal_steps else "at equal epochs, unequal steps"
    if page.equal_samples:
        steps = "at equally many images seen, unequal steps"
    if page.seconds is not None:
        steps = _budget(page.seconds, page.table["seconds"])
    notes = {row.comparison.note for row in page.comparisons if row.comparison.note}
    told = f" ({'; '.join(sorted(notes))})" if notes else ""
    return (
        f"{plural(page.seeds, 'seed')} an arm, {steps}, {page.scored} images; intervals are ± "
        f"{page.factor:.2f} standard errors over groups and seeds, for all comparisons at once{told}"
    )


def _budget(seconds: float, taken: pd.Series) -> str:
    """What was planned and what it took: a busy machine makes equal budgets unequal."""
    told = f"epochs for {seconds:g} s a training by rates measured beforehand (taken: {taken.min():g} to "
    told += f"{taken.max():g} s"
    if taken.max() > BUSY * seconds:
        told += "; the machine was busier then: on a quiet one, delete machine.json and run it again"
    return f"{told})"


def render_html(page: AblationPage, title: str, config: Config) -> str:
    """The self-contained page.

    Args:
        page: what was found.
        title: the competition's.
        config: the settings in force.
    """
    return render(
        "ablation.html",
        title=f"{title}: ablation",
        page=page,
        headline=headline(page),
        reading=_reading(page),
        table=page.table,
        differences=[(against, _whiskers(page, against), _table(page, against)) for against in page.against],
        curves=_curves(page),
        advice=transfer_table(page.transfer) if page.transfer else None,
        advice_why=why(page.transfer) if page.transfer else "",
        thumbs=Thumbnails.none(),
        thumbnail_px=config.report.thumbnail_px,
    )


def _whiskers(page: AblationPage, against: str) -> Markup:
    rows = [
        plots.Whisker(row.arm, row.comparison.delta, row.comparison.low, row.comparison.high)
        for row in page.comparisons
        if row.against == against
    ]
    return plots.whiskers(rows, f"{page.metric} minus that of {against}", zero=True)


def _table(page: AblationPage, against: str) -> pd.DataFrame:
    rows = [
        (row.arm, c.delta, c.low, c.high, c.verdict)
        for row in page.comparisons
        if row.against == against and (c := row.comparison)
    ]
    return pd.DataFrame(rows, columns=["arm", "delta", "low", "high", "verdict"])


def _curves(page: AblationPage) -> list[tuple[str, Markup]]:
    """Score over steps: a plot for each level of the first axes, a curve for each of the last but one.

    Only where the steps differ along the last axis: it is then a length of training.
    """
    if len(page.axes) < 2:
        return []
    *first, middle, _ = page.axes
    drawn = []
    groups = page.table.groupby(first, sort=False) if first else [("", page.table)]
    for name, rows in groups:
        by_level = [(str(level), r.sort_values("steps")) for level, r in rows.groupby(middle, sort=False)]
        if len(by_level) > CURVES or any(r["steps"].nunique() < 2 for _, r in by_level):
            return []
        curves = [plots.Curve(level, r["steps"].tolist(), r[page.metric].tolist()) for level, r in by_level]
        words = " · ".join(str(word) for word in (name if isinstance(name, tuple) else (name,)) if word)
        heading = f"{', '.join(first)}: {words}" if words else f"by {middle}"
        drawn.append(
            (heading, plots.curves(curves, f"{page.metric} over steps, {heading}", "steps", page.metric))
        )
    return drawn
