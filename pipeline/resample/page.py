"""The resampling report: how many images of each class a fold's training part shows, before and after.

Owns the summary and its page. Does not own the choice of rows (`resample/indices.py`): the counts arrive.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from pipeline.core.errors import DataError
from pipeline.core.plugin import is_plugin
from pipeline.core.samples import Ints
from pipeline.eda.survey import ratio
from pipeline.pages import plots
from pipeline.pages.command_words import train_with
from pipeline.pages.report import Thumbnails, count, render
from pipeline.record.store import Artifact
from pipeline.settings.resample import FEATURE_METHODS
from pipeline.settings.schema import Config

COLUMNS = ("fold", "class", "before", "after", "copies", "synthetic")


@dataclass(frozen=True)
class Resampling:
    """Counts before and after.

    Args:
        headline: what happened, in a sentence.
        answer: the setting to try.
        totals: a row a class: class, before, after (means over folds), factor; copies and synthetic
            rows where there are any.
        folds: a row a fold: fold, before, after, ratio before, ratio after.
        table: a row a class, a column a fold, "before → after".
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


def summarize(counts: pd.DataFrame, config: Config, asked: tuple[str, ...] = ()) -> Resampling:
    """Put the counts of all folds together.

    Args:
        counts: a row a fold and class: fold, class, before, after (rows of one epoch), and of those
            after: copies (offline) and synthetic (feature rows).
        config: the settings in force.
        asked: the words that asked for them; advised commands start with them.

    Raises:
        DataError: a column is missing, or there is no row.
    """
    absent = [column for column in COLUMNS if column not in counts.columns]
    if absent or counts.empty:
        raise DataError("resampling counts: no rows or missing columns", absent)
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
    cells = counts.assign(
        cell=[f"{b:,} → {a:,}" for b, a in zip(counts["before"], counts["after"], strict=True)]
    )
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
    headline, answer = _words(metrics, config, asked)
    return Resampling(headline, answer, totals, folds, table, metrics)


def _words(metrics: dict[str, float], config: Config, asked: tuple[str, ...]) -> tuple[str, str]:
    before, after = count(metrics["rows_before"]), count(metrics["rows_after"])
    skew = f"{metrics['ratio_before']:.1f} : 1"
    if config.resample.method == "none" and config.resample.copies is None:
        return (
            f"Nothing is resampled: an epoch shows {before} images, {skew} from largest to smallest class",
            f"Compare `{train_with(asked, 'resample.method=over')}` and "
            f"`{train_with(asked, 'resample.method=under')}`.",
        )
    headline = (
        f"An epoch shows {after} instead of {before} images; "
        f"largest to smallest class {metrics['ratio_after']:.1f} : 1 instead of {skew}"
    )
    if "copies" in metrics:
        headline += f"; {count(metrics['copies'])} are offline copies"
    if "synthetic" in metrics:
        headline += f"; {count(metrics['synthetic'])} are synthetic feature rows"
        return headline, "Compare with `resample.method=over`, which repeats images instead of mixing them."
    if config.resample.copies is not None:
        return headline, (
            "A copy shows the same pixels in every epoch. Compare with the same policy online, drawn anew "
            f"each time: `augment.policy={config.resample.copies.policy}`."
        )
    if config.resample.method == "over":
        most = f"{metrics['most_repeated']:.1f}"
        return (
            headline,
            f"The rarest images are shown up to {most} times an epoch: augmentation must vary them.",
        )
    if config.resample.method in FEATURE_METHODS:
        return (
            headline,
            "What is kept was chosen by features; compare with random draws: `resample.method=under`.",
        )
    if is_plugin(config.resample.method):
        return headline, "Your own sampler chose; compare with `resample.method=under` and `over`."
    drawn = "drawn anew each epoch" if config.resample.redraw else "the same ones each epoch"
    return (
        headline,
        f"What is left out is {drawn} (resample.redraw); fewer images an epoch may need more epochs.",
    )


def render_html(resampling: Resampling, title: str, config: Config) -> str:
    """The self-contained page.

    Args:
        resampling: the summary.
        title: the competition's.
        config: the settings in force.
    """
    rows = [
        plots.Bar(r["class"], (r["before"], r["after"]), (count(r["before"]), count(r["after"])))
        for r in sorted(resampling.totals.to_dict("records"), key=lambda r: -r["before"])
    ]
    return render(
        "resampling.html",
        title=f"{title}: resampling",
        resampling=resampling,
        settings=config.resample,
        plot=plots.bars(rows, "Images of each class in an epoch, mean over folds", ("before", "after")),
        thumbs=Thumbnails.none(),
        thumbnail_px=0,
    )
