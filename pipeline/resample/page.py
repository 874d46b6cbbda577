"""The resampling report: how many images of each class a fold's training part shows, before and after.

Owns the summary and its page. Does not own the choice of rows (`resample/indices.py`), whose counts arrive as
a table, nor the words (`resample/texts.py`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from pipeline.core.errors import DataError
from pipeline.core.language import _
from pipeline.core.plugin import is_plugin
from pipeline.core.samples import Ints
from pipeline.eda.survey import ratio
from pipeline.pages import plots
from pipeline.pages.command_words import train_with
from pipeline.pages.report import Thumbnails, count, render
from pipeline.record.store import Artifact
from pipeline.resample import texts
from pipeline.settings.resample import FEATURE_METHODS
from pipeline.settings.schema import Config

COLUMNS = ("fold", "class", "before", "after", "copies", "synthetic")


@dataclass(frozen=True)
class Resampling:
    """Counts before and after.

    Args:
        headline: the result, in a sentence.
        answer: what to try or to compare with.
        totals: one row per class: class, before, after (means over folds), factor; copies and synthetic
            rows where there are any.
        folds: one row per fold: fold, before, after, ratio before, ratio after.
        table: one row per class, one column per fold, "before → after".
        metrics: numbers for tracking.
    """

    headline: str
    answer: str
    totals: pd.DataFrame
    folds: pd.DataFrame
    table: pd.DataFrame
    metrics: dict[str, float]


def shown(resample: Artifact, classes: Sequence[str]) -> Ints:
    """(C,) rows of each class that training showed in one epoch, all folds together."""
    counts = pd.read_csv(resample.folder / "counts.csv", dtype={"class": str}, keep_default_na=False)
    by_class = counts.groupby("class")["after"].sum()
    return np.array([int(by_class.get(name, 0)) for name in classes], dtype=np.int64)


def shown_rows(resample: Artifact, columns: Sequence[str]) -> Ints | None:
    """(K,) rows in which each label was known, of those that `shown` counts; None: they were not counted."""
    counts = pd.read_csv(resample.folder / "counts.csv", dtype={"class": str}, keep_default_na=False)
    if "rows" not in counts.columns:
        return None
    by_class = counts.groupby("class")["rows"].sum()
    return np.array([int(by_class.get(name, 0)) for name in columns], dtype=np.int64)


def summarize(counts: pd.DataFrame, config: Config, asked: tuple[str, ...] = ()) -> Resampling:
    """Combine the counts of all folds.

    `counts` has one row per fold and class: fold, class, before, after (rows of one epoch), and of those
    after: copies (offline) and synthetic (feature rows). Advised commands start with the words `asked`.

    Raises:
        DataError: a column is missing, or there is no row.
    """
    absent = [column for column in COLUMNS if column not in counts.columns]
    if absent or counts.empty:
        raise DataError(_("resampling counts: no rows or missing columns"), absent)
    classes = list(dict.fromkeys(counts["class"]))
    totals = counts.groupby("class")[["before", "after"]].mean().loc[classes].reset_index()
    totals["factor"] = totals["after"] / totals["before"].where(totals["before"] > 0)
    extra = [name for name in ("copies", "synthetic") if counts[name].any()]
    for name in extra:
        totals[name] = counts.groupby("class")[name].mean().loc[classes].to_numpy()
    by_fold = counts.groupby("fold", sort=True)
    folds = by_fold[["before", "after"]].sum().reset_index()
    for side in ("before", "after"):
        folds[f"{side}, largest : smallest"] = [ratio(rows[side]) for _, rows in by_fold]
    pairs = zip(counts["before"], counts["after"], strict=True)
    cells = counts.assign(cell=[f"{before:,} → {after:,}" for before, after in pairs])
    table = cells.pivot(index="class", columns="fold", values="cell").fillna("–").loc[classes].reset_index()
    table.columns = pd.Index(["class", *(f"fold {k}" for k in table.columns[1:])])
    metrics = {
        "rows_before": float(folds["before"].mean()),
        "rows_after": float(folds["after"].mean()),
        "ratio_before": ratio(totals["before"]),
        "ratio_after": ratio(totals["after"]),
        "most_repeated": float(totals["factor"].max()),
        **{name: float(by_fold[name].sum().mean()) for name in extra},
    }
    headline, answer = _advice(metrics, config, asked)
    return Resampling(headline, answer, totals, folds, table, metrics)


def _advice(metrics: dict[str, float], config: Config, asked: tuple[str, ...]) -> tuple[str, str]:
    before, after = count(metrics["rows_before"]), count(metrics["rows_after"])
    skew = f"{metrics['ratio_before']:.1f} : 1"
    settings = config.resample
    if settings.method == "none" and settings.copies is None:
        over, under = (train_with(asked, f"resample.method={method}") for method in ("over", "under"))
        answer = texts.NONE_ANSWER.format(over=over, under=under)
        return texts.NONE_HEADLINE.format(before=before, skew=skew), answer
    headline = texts.HEADLINE.format(after=after, before=before, ratio=metrics["ratio_after"], skew=skew)
    if "copies" in metrics:
        headline += texts.HEADLINE_COPIES.format(copies=count(metrics["copies"]))
    if "synthetic" in metrics:
        headline += texts.HEADLINE_SYNTHETIC.format(synthetic=count(metrics["synthetic"]))
        return headline, texts.SYNTHETIC_ANSWER
    if settings.copies is not None:
        return headline, texts.COPIES_ANSWER.format(policy=settings.copies.policy)
    if settings.method == "over":
        return headline, texts.OVER_ANSWER.format(most=metrics["most_repeated"])
    if settings.method in FEATURE_METHODS:
        return headline, texts.FEATURES_ANSWER
    if is_plugin(settings.method):
        return headline, texts.OWN_ANSWER
    drawn = texts.DRAWN_AGAIN if settings.redraw else texts.DRAWN_ONCE
    return headline, texts.UNDER_ANSWER.format(drawn=drawn)


def render_html(resampling: Resampling, title: str, config: Config) -> str:
    """The self-contained page; `title` is the competition's."""
    rows = [
        plots.Bar(r["class"], (r["before"], r["after"]), (count(r["before"]), count(r["after"])))
        for r in sorted(resampling.totals.to_dict("records"), key=lambda r: -r["before"])
    ]
    return render(
        "resampling.html",
        title=texts.TITLE.format(title=title),
        resampling=resampling,
        settings=config.resample,
        plot=plots.bars(rows, texts.ROWS_PLOT, (texts.BEFORE, texts.AFTER)),
        thumbs=Thumbnails.none(),
        thumbnail_px=0,
    )
