"""The data report: what is in the competition, worst harm first, with pictures.

Owns the exploration's result and its page. Does not own the counts (`survey.py`), the judgements
(`findings.py`), nor measuring images or making folds: those arrive as values.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from markupsafe import Markup

from pipeline.analyze import plots
from pipeline.analyze.findings import Finding, judge, ratio
from pipeline.analyze.report import ImageOf, Key, count, percent, plural, render, thumbnails
from pipeline.analyze.survey import QUALITY, Survey, contact_sheet, survey
from pipeline.core.types import Samples
from pipeline.settings.schema import Config

SIZES_SHOWN = 12
LARGEST_GROUPS = 10


@dataclass(frozen=True)
class ExploreInputs:
    """What the data report is made of.

    Args:
        title: the competition's.
        train: labelled samples.
        test: the test samples, if there are any.
        facts: a row an image: id, split, width, height, sha256, phash, brightness, contrast, blur.
        image: gives the uint8 (H, W, C) pixels of an image by split and id.
        health: the fold plan's table, shown as it is.
        notes: the fold plan's remarks.
        config: the settings in force.
    """

    title: str
    train: Samples
    test: Samples | None
    facts: pd.DataFrame
    image: ImageOf
    health: pd.DataFrame
    notes: tuple[str, ...]
    config: Config


@dataclass(frozen=True)
class Exploration:
    """What was found.

    Args:
        findings: worst first.
        tables: by name: classes, attribute_<name>, sizes, groups, largest_groups, duplicates,
            quality, folds.
        metrics: numbers for tracking.
        survey: the counts behind all of it.
    """

    findings: tuple[Finding, ...]
    tables: dict[str, pd.DataFrame]
    metrics: dict[str, float]
    survey: Survey


def explore(inputs: ExploreInputs) -> Exploration:
    """Count and judge the competition's data.

    Raises:
        DataError: an image was not measured.
    """
    found = survey(inputs.train, inputs.test, inputs.facts)
    tables = {
        "classes": found.classes,
        **{f"attribute_{name}": table for name, table in found.attributes.items()},
        "sizes": found.sizes,
        "groups": _group_table(found),
        "largest_groups": _largest_groups(found),
        "duplicates": _duplicate_table(found),
        "quality": _quality(found),
        "folds": inputs.health,
    }
    return Exploration(judge(found, inputs.config), tables, _metrics(found, inputs.config), found)


def _group_table(found: Survey) -> pd.DataFrame:
    rows = []
    for split in ("train", "test"):
        images = found.split(split)
        if len(images):
            sizes = images.groupby("group").size()
            rows.append((split, len(images), len(sizes), sizes.min(), float(sizes.median()), sizes.max()))
    columns = ["split", "images", "groups", "fewest images", "median images", "most images"]
    return pd.DataFrame(rows, columns=columns)


def _largest_groups(found: Survey) -> pd.DataFrame:
    train = found.split("train")
    top = found.group_sizes.head(LARGEST_GROUPS)
    classes = train.groupby("group")["label"].nunique()
    return pd.DataFrame(
        {"group": list(top.index), "images": list(top), "classes": [int(classes[g]) for g in top.index]}
    )


def _duplicate_table(found: Survey) -> pd.DataFrame:
    rows = [
        (
            ", ".join(f"{split} {image}" for split, image in d.members),
            len(d.members),
            d.conflict,
            d.across_groups,
            d.train_test,
        )
        for d in found.duplicates
    ]
    columns = ["images", "copies", "labels conflict", "across groups", "train and test"]
    table = pd.DataFrame(rows, columns=columns)
    return table.sort_values(columns[2:], ascending=False, kind="stable", ignore_index=True)


def _quality(found: Survey) -> pd.DataFrame:
    rows = []
    for column in QUALITY:
        for split in ("train", "test"):
            values = found.split(split)[column].astype(float)
            if len(values):
                low, middle, high = values.quantile([0.05, 0.5, 0.95])
                rows.append((column, split, low, middle, high))
    return pd.DataFrame(rows, columns=["measure", "split", "5 % below", "median", "5 % above"])


def _metrics(found: Survey, config: Config) -> dict[str, float]:
    duplicates = found.duplicates
    metrics = {
        "images_train": len(found.split("train")),
        "images_test": len(found.split("test")),
        "classes": len(found.classes),
        "groups_train": len(found.group_sizes),
        "imbalance_ratio": ratio(found.classes["images"]),
        "images_rarest_class": int(found.classes["images"].min()),
        "classes_below_folds": int((found.classes["groups"] < config.folds.n).sum()),
        "image_sizes": len(found.sizes),
        "duplicate_sets": len(duplicates),
        "duplicates_conflict": sum(d.conflict for d in duplicates),
        "duplicates_across_groups": sum(d.across_groups for d in duplicates),
        "duplicates_train_test": sum(d.train_test for d in duplicates),
    }
    for name, table in found.attributes.items():
        metrics[f"imbalance_ratio_{name}"] = ratio(table["images"])
    return {name: float(value) for name, value in metrics.items()}


@dataclass(frozen=True)
class _Sheet:
    """One class's contact sheet."""

    anchor: str
    name: str
    images: int
    groups: int
    keys: tuple[Key, ...]


def render_html(exploration: Exploration, inputs: ExploreInputs) -> str:
    """The self-contained page.

    Args:
        exploration: what `explore` found on these inputs.
        inputs: for pictures, title and the fold plan's notes.
    """
    found, settings = exploration.survey, inputs.config.report
    sheets = _sheets(found, settings.per_class)
    wanted = [key for finding in exploration.findings for key in finding.examples]
    wanted += [key for sheet in sheets for key in sheet.keys]
    labels = {
        (split, image): (found.space.classes[label] if label >= 0 else "test image")
        for split, image, label in zip(
            found.images["split"], found.images["id"], found.images["label"], strict=True
        )
    }
    return render(
        "explore.html",
        title=f"{inputs.title}: the data",
        exploration=exploration,
        tables=exploration.tables,
        metrics=exploration.metrics,
        notes=inputs.notes,
        folds=_folds_across(inputs.health),
        sheets=sheets,
        labels=labels,
        thumbs=thumbnails(wanted, inputs.image, settings.thumbnail_px),
        thumbnail_px=settings.thumbnail_px,
        balance=_balance_plots(found),
        size_plots=_size_plots(found),
        quality_plots=_quality_plots(found),
        group_plot=_group_plot(found),
    )


def _folds_across(health: pd.DataFrame) -> pd.DataFrame:
    """The folds as columns: a column a class would not fit on a page."""
    if "fold" not in health.columns:
        return health
    across = health.set_index("fold").T.rename(columns=lambda fold: f"fold {fold}")
    names = [str(name).replace("_", " ") for name in across.index]
    across.insert(0, "", names)
    return across


def _sheets(found: Survey, per_class: int) -> list[_Sheet]:
    train = found.split("train")
    sheets = []
    for label, row in enumerate(found.classes.to_dict("records")):
        chosen = contact_sheet(train[train["label"] == label], per_class)
        keys = found.keys(chosen, per_class)
        sheets.append(_Sheet(f"class-{label}", row["class"], row["images"], row["groups"], keys))
    return sheets


def _balance_plots(found: Survey) -> list[tuple[str, Markup]]:
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
        drawn.append((name, plots.bars(rows, f"Training images by {name}")))
    return drawn


def _size_plots(found: Survey) -> list[tuple[str, Markup]]:
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


def _quality_plots(found: Survey) -> list[Markup]:
    drawn = []
    for column in QUALITY:
        values = {s: np.asarray(found.split(s)[column], float) for s in ("train", "test")}
        title = f"{column.capitalize()} of train and test images"
        drawn.append(plots.histogram(values, title, QUALITY[column]))
    return drawn


def _group_plot(found: Survey) -> Markup:
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
