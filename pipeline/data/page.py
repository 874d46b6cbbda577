"""The page of a fold plan: what each fold holds, and what is wrong with it.

Owns the page. Does not own the plan (`data/folds.py`) or its tables and checks (`data/fold_health.py`): they
arrive as values.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from pipeline.pages import plots
from pipeline.pages.report import Thumbnails, count, plural, render
from pipeline.settings.schema import Config

SIZES = ("fold", "train_images", "valid_images", "train_groups", "valid_groups")


@dataclass(frozen=True)
class FoldPage:
    """A plan in tables.

    Args:
        health: a row a fold: `SIZES`, then validation images of each class.
        attributes: a row an attribute and value: attribute, value, images, then a column a fold.
        checks: what is wrong: severity, text, remedy.
        notes: the plan's own remarks.
        coverage: how often each image validates.
    """

    health: pd.DataFrame
    attributes: pd.DataFrame
    checks: Sequence[dict[str, Any]]
    notes: Sequence[str]
    coverage: Sequence[int]


def render_html(page: FoldPage, title: str, config: Config) -> str:
    """The self-contained page.

    Args:
        page: the tables.
        title: the competition's.
        config: the settings in force.
    """
    rows = page.health.to_dict("records")
    bars = [
        plots.Bar(
            f"fold {r['fold']}",
            (r["train_images"], r["valid_images"]),
            (count(r["train_images"]), count(r["valid_images"])),
        )
        for r in rows
    ]
    classes = page.health.set_index("fold").drop(columns=list(SIZES[1:])).T
    classes.columns = pd.Index([f"fold {k}" for k in classes.columns])
    classes.insert(0, "class", [str(name) for name in classes.index])
    times = sorted(Counter(page.coverage).items())
    return render(
        "folds.html",
        title=f"{title}: folds",
        headline=_headline(page),
        checks=page.checks,
        notes=page.notes,
        settings=config.folds,
        sizes=page.health[list(SIZES)].rename(columns=lambda name: name.replace("_", " ")),
        plot=plots.bars(bars, "Images of each fold", ("train", "validate")),
        classes=classes,
        attributes=page.attributes if page.attributes["attribute"].nunique() > 1 else None,
        coverage=pd.DataFrame(times, columns=["times validated", "images"]),
        thumbs=Thumbnails.none(),
        thumbnail_px=0,
    )


def _headline(page: FoldPage) -> str:
    faults = sum(check["severity"] == "fault" for check in page.checks)
    folds = plural(len(page.health), "fold")
    if faults:
        return f"{folds}, {plural(faults, 'fault')}: scores on this plan are not to be believed"
    if page.checks:
        return f"{folds}, usable, with {plural(len(page.checks), 'warning')}"
    return f"{folds}, sound: groups whole, classes and attributes shared out alike"
