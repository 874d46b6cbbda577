"""The drawings of the data report.

Owns which counts become which plot. Does not own shapes (`plots.py`) nor counts (`survey.py`).
"""

import numpy as np
from markupsafe import Markup

from pipeline.eda.survey import QUALITY, Survey
from pipeline.pages import plots
from pipeline.pages.report import count, percent, plural

SIZES_SHOWN = 12
# More bars than this are no picture any more; the table below has every class.
BARS_SHOWN = 60


def balance(found: Survey) -> list[tuple[str, Markup]]:
    """Training images by class, and by each attribute where there are several; the largest first."""
    drawn = []
    tables = {"class": found.classes, **found.attributes}
    if len(found.attributes) == 1:
        tables = {"class": found.classes}
    for name, table in tables.items():
        first = table.columns[0]
        rows = [
            plots.Bar(r[first], (r["images"],), (f"{count(r['images'])} · {percent(r['share'])}",))
            for r in table.to_dict("records")
        ]
        if name == "class":
            rows.sort(key=lambda row: -row.values[0])
        if len(rows) > BARS_SHOWN:
            rows = [*rows[: BARS_SHOWN // 2], *rows[-BARS_SHOWN // 2 :]]
        drawn.append((name, plots.bars(rows, f"Training images by {name}")))
    return drawn


def sizes(found: Survey) -> list[tuple[str, Markup]]:
    """The commonest sizes and the aspect ratios; nothing where all images have one size."""
    if len(found.sizes) == 1:
        return []
    top = found.sizes.head(SIZES_SHOWN).to_dict("records")
    series = ("train", "test") if found.sizes["test"].any() else ("train",)
    rows = [
        plots.Bar(r["size"], tuple(r[s] for s in series), tuple(count(r[s]) for s in series)) for r in top
    ]
    aspect = {
        split: np.asarray(found.split(split)["width"] / found.split(split)["height"], float)
        for split in ("train", "test")
    }
    return [
        ("Commonest sizes, px", plots.bars(rows, "Images by size, commonest first", series)),
        ("Aspect ratio", plots.histogram(aspect, "Aspect ratio of the images", "width ÷ height")),
    ]


def quality(found: Survey) -> list[Markup]:
    """Histograms of brightness, contrast and blur, train beside test."""
    drawn = []
    for column in QUALITY:
        values = {s: np.asarray(found.split(s)[column], float) for s in ("train", "test")}
        title = f"{column.capitalize()} of train and test images"
        drawn.append(plots.histogram(values, title, QUALITY[column]))
    return drawn


def groups(found: Survey) -> Markup:
    """Training groups by number of images; empty where there are no groups."""
    if not found.grouped:
        return Markup("")
    title = "Training groups by number of images"
    of_size = found.group_sizes.value_counts().sort_index()
    if len(of_size) > SIZES_SHOWN:
        sizes = np.asarray(found.group_sizes, float)
        return plots.histogram({"train": sizes}, title, "images in a group", "groups")
    rows = [
        plots.Bar(plural(size, "image"), (number,), (plural(number, "group"),))
        for size, number in zip(of_size.index.tolist(), of_size.tolist(), strict=True)
    ]
    return plots.bars(rows, title)
