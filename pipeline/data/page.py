"""The page of a fold plan: the content of each fold, and the faults of the plan.

Owns the page. Does not own the plan (`data/folds.py`) or its tables and checks (`data/fold_health.py`), which
arrive as values, nor the words (`data/texts.py`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from pipeline.data import texts
from pipeline.pages import plots
from pipeline.pages.report import Thumbnails, count, plural, render
from pipeline.settings.schema import Config

SIZES = ("fold", "train_images", "valid_images", "train_groups", "valid_groups")


@dataclass(frozen=True)
class FoldPage:
    """A plan in tables.

    Args:
        health: one row per fold: `SIZES`, then validation images of each class.
        attributes: one row per attribute and value: attribute, value, images, then one column per fold.
        checks: faults and warnings: severity, text, remedy.
        coverage: how often each image validates.
    """

    health: pd.DataFrame
    attributes: pd.DataFrame
    checks: Sequence[dict[str, Any]]
    notes: Sequence[str]
    coverage: Sequence[int]


def render_html(page: FoldPage, title: str, config: Config) -> str:
    """The self-contained page; `title` is the competition's."""
    bars = []
    for row in page.health.to_dict("records"):
        train, valid = row["train_images"], row["valid_images"]
        bars.append(plots.Bar(f"fold {row['fold']}", (train, valid), (count(train), count(valid))))
    classes = page.health.set_index("fold").drop(columns=list(SIZES[1:])).T
    classes.columns = pd.Index([f"fold {k}" for k in classes.columns])
    classes.insert(0, "class", [str(name) for name in classes.index])
    times = sorted(Counter(page.coverage).items())
    return render(
        "folds.html",
        title=texts.PAGE_TITLE.format(title=title),
        headline=_headline(page),
        checks=page.checks,
        notes=page.notes,
        settings=config.folds,
        sizes=page.health[list(SIZES)].rename(columns=lambda name: name.replace("_", " ")),
        plot=plots.bars(bars, texts.PAGE_PLOT, texts.PAGE_SERIES),
        classes=classes,
        attributes=page.attributes if page.attributes["attribute"].nunique() > 1 else None,
        coverage=pd.DataFrame(times, columns=list(texts.PAGE_COVERAGE)),
        thumbs=Thumbnails.none(),
        thumbnail_px=0,
    )


def _headline(page: FoldPage) -> str:
    faults = sum(check["severity"] == "fault" for check in page.checks)
    folds = plural(len(page.health), "fold")
    if faults:
        return texts.PAGE_FAULTY.format(folds=folds, faults=plural(faults, "fault"))
    if page.checks:
        return texts.PAGE_WARNED.format(folds=folds, warnings=plural(len(page.checks), "warning"))
    return texts.PAGE_SOUND.format(folds=folds)
