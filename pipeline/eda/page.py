"""The page of the data report: findings, the most harmful first, with tables and pictures.

Owns the exploration's result, its tables, its plots and its page. Does not own the counts
(`eda/survey.py`), the measurements (`eda/evidence.py`), the findings (`eda/findings.py`), the shapes of
plots (`pages/plots.py`), nor measuring images, making folds or features: those arrive as values.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from markupsafe import Markup

from pipeline.core.language import ENGLISH, Text, say
from pipeline.core.samples import FoldPlan, Samples
from pipeline.eda import texts
from pipeline.eda.evidence import Evidence, FeaturePair, Finding, gather
from pipeline.eda.findings import groups_wanted, judge
from pipeline.eda.survey import Duplicates, Survey, contact_sheet, keys_of, ratio, survey
from pipeline.eda.truth_findings import nouns
from pipeline.pages import plots
from pipeline.pages.report import ImageOf, Key, Pixels, count, percent, plural, render, thumbnails
from pipeline.settings.schema import Config

SIZES_SHOWN = 12
# More bars than this are unreadable; the table below them has every class.
BARS_SHOWN = 60
LARGEST_GROUPS = 10
# Labels of the heat map; the most frequent ones.
CELLS_SHOWN = 40
# Rows of a table on the page; the CSV beside it has all of them.
MOST_ROWS = 200
# Stands in for a split where the picture is the mean of a class.
MEAN = "mean"


@dataclass(frozen=True)
class ExploreInputs:
    """The inputs of the data report.

    Args:
        facts: one row per image: id, split, width, height, sha256, phash, brightness, contrast, blur.
        image: gives the uint8 (H, W, C) pixels of an image by split and id.
        health: the fold plan's table, shown as it is.
        notes: the fold plan's remarks.
        plan: the fold plan, to check whether it keeps groups together.
        features: for the shift test with `eda.shift_on=features`.
        asked: the words of the command line that gave `config`, e.g. `competition=digits`; advised commands
            start with them.
    """

    title: str
    train: Samples
    test: Samples | None
    facts: pd.DataFrame
    image: ImageOf
    health: pd.DataFrame
    notes: tuple[str, ...]
    config: Config
    plan: FoldPlan | None = None
    features: FeaturePair | None = None
    asked: tuple[str, ...] = ()

    def say(self, text: str) -> str:
        """A text in the language of the page."""
        return say(text, self.config.report.language)


@dataclass(frozen=True)
class Exploration:
    """The findings, with the tables and figures behind them.

    Args:
        findings: worst first.
        tables: by name: classes, attribute_<name>, sizes, groups, largest_groups, duplicates,
            near_duplicates, outliers, shift, quality, folds, and suspects: every image that a finding
            concerns.
        evidence: the measurements that the findings rest on.
    """

    findings: tuple[Finding, ...]
    tables: dict[str, pd.DataFrame]
    metrics: dict[str, float]
    evidence: Evidence


def explore(inputs: ExploreInputs) -> Exploration:
    """Count the competition's data, measure it and apply the rules.

    Raises:
        DataError: an image was not measured.
    """
    counted = survey(inputs.train, inputs.test, inputs.facts)
    evidence = gather(counted, inputs.config.eda, inputs.image, inputs.plan, inputs.features)
    findings = judge(evidence, inputs.config, inputs.asked)
    shift = evidence.shift
    tables = {
        "classes": counted.classes,
        **{f"attribute_{name}": table for name, table in counted.attributes.items()},
        "sizes": counted.sizes,
        "groups": _group_table(counted),
        "largest_groups": _largest_groups(counted),
        "duplicates": _duplicate_table(counted.duplicates),
        "near_duplicates": _duplicate_table(evidence.near),
        "outliers": evidence.outliers,
        "shift": pd.DataFrame(columns=["fact", "train", "test", "auc"]) if shift is None else shift.table,
        "quality": _quality(counted),
        "folds": inputs.health,
        "suspects": _suspects(findings),
    }
    return Exploration(findings, tables, _metrics(evidence, inputs.config), evidence)


def _suspects(findings: tuple[Finding, ...]) -> pd.DataFrame:
    """Every image that a finding concerns, worst finding first; equal sets belong together."""
    rows = [
        (finding.kind, finding.severity, number, split, image)
        for finding in findings
        for number, members in enumerate(finding.sets)
        for split, image in members
    ]
    return pd.DataFrame(rows, columns=["finding", "severity", "set", "split", "id"])


def _group_table(counted: Survey) -> pd.DataFrame:
    rows = []
    for split in ("train", "test"):
        images = counted.split(split)
        if len(images):
            sizes = images.groupby("group").size()
            found = (len(sizes), sizes.min(), float(sizes.median()), sizes.max())
            # Where no test image shares its group, the host has not said who or what is on them.
            known = len(sizes) < len(images) or sizes.index.isin(counted.group_sizes.index).any()
            unknown = split == "test" and counted.grouped and not known
            rows.append((split, len(images), *((pd.NA,) * 4 if unknown else found)))
    columns = ["split", "images", "groups", "fewest images", "median images", "most images"]
    return pd.DataFrame(rows, columns=columns).convert_dtypes()


def _largest_groups(counted: Survey) -> pd.DataFrame:
    train = counted.split("train")
    top = counted.group_sizes.head(LARGEST_GROUPS)
    members = train["group"].to_numpy()[counted.strata.row_P]
    classes = pd.Series(counted.strata.stratum_P).groupby(members).nunique()
    return pd.DataFrame(
        {
            "group": list(top.index),
            "images": list(top),
            "classes": [int(classes.get(g, 0)) for g in top.index],
        }
    )


def _duplicate_table(sets: tuple[Duplicates, ...]) -> pd.DataFrame:
    rows = []
    for d in sets:
        images = ", ".join(f"{split} {image}" for split, image in d.members)
        rows.append((images, len(d.members), d.conflict, d.across_groups, d.train_test))
    columns = ["images", "copies", "labels conflict", "across groups", "train and test"]
    table = pd.DataFrame(rows, columns=columns)
    return table.sort_values(columns[2:], ascending=False, kind="stable", ignore_index=True)


def _quality(counted: Survey) -> pd.DataFrame:
    rows = []
    for column in texts.QUALITY:
        for split in ("train", "test"):
            values = counted.split(split)[column].astype(float)
            if len(values):
                low, middle, high = values.quantile([0.05, 0.5, 0.95])
                rows.append((column, split, low, middle, high))
    return pd.DataFrame(rows, columns=["measure", "split", "5 % below", "median", "5 % above"])


def _metrics(evidence: Evidence, config: Config) -> dict[str, float]:
    counted, near, shift = evidence.survey, evidence.near, evidence.shift
    duplicates = counted.duplicates
    metrics = {
        "images_train": len(counted.split("train")),
        "images_test": len(counted.split("test")),
        "classes": len(counted.classes),
        "groups_train": len(counted.group_sizes),
        "imbalance_ratio": ratio(counted.classes["images"]),
        "images_rarest_class": int(counted.classes["images"].min()),
        "classes_below_folds": int((counted.classes["groups"] < groups_wanted(config.folds)).sum()),
        "image_sizes": len(counted.sizes),
        "duplicate_sets": len(duplicates),
        "duplicates_conflict": sum(d.conflict for d in duplicates),
        "duplicates_across_groups": sum(d.across_groups for d in duplicates),
        "duplicates_train_test": sum(d.train_test for d in duplicates),
        "near_sets": len(near),
        "near_conflict": sum(d.conflict for d in near),
        "near_across_groups": sum(d.across_groups for d in near),
        "near_train_test": sum(d.train_test for d in near),
        "outliers": evidence.outliers[["split", "id"]].drop_duplicates().shape[0],
    }
    if shift is not None:
        metrics |= {"shift_auc": shift.auc, "shift_p": shift.p}
    for name, table in counted.attributes.items():
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


def _in_words(table: pd.DataFrame, language: str) -> pd.DataFrame:
    """A table of facts with their names, and its columns, in the language of the page."""
    if "fact" not in table or language == ENGLISH:
        return table
    names = [say(texts.fact(str(name)), language) for name in table["fact"]]
    return table.assign(fact=names).rename(columns=lambda name: say(texts.fact(name), language))


def render_html(exploration: Exploration, inputs: ExploreInputs) -> str:
    """The self-contained page of what `explore` found on these inputs."""
    evidence, settings = exploration.evidence, inputs.config.report
    counted = evidence.survey
    wanted = [key for f in exploration.findings for members in f.shown for key in members]
    if evidence.shift is not None:
        wanted += [*evidence.shift.test_like, *evidence.shift.train_like]
    means = tuple((MEAN, name) for name in counted.strata.names)[: inputs.config.eda.thumbnails // 4]
    room = inputs.config.eda.thumbnails - len(set(wanted)) - len(means)
    sheets = _sheets(counted, settings.per_class, room)
    wanted += [*means, *(key for sheet in sheets for key in sheet.keys)]
    return render(
        "explore.html",
        title=texts.TITLE.format(title=inputs.title),
        language=settings.language,
        texts=texts,
        exploration=exploration,
        files=tuple(f"{name}.csv" for name in exploration.tables),
        tables={
            name: _in_words(table.head(MOST_ROWS), settings.language)
            for name, table in exploration.tables.items()
        },
        rows={name: len(table) for name, table in exploration.tables.items()},
        shown={name: _shown(name, len(table)) for name, table in exploration.tables.items()},
        metrics=exploration.metrics,
        shift=evidence.shift,
        notes=inputs.notes,
        folds=_folds_across(inputs),
        sheets=sheets,
        means=means,
        labels=_labels(counted, set(wanted)),
        thumbs=thumbnails(wanted, _with_means(inputs.image, evidence), settings.thumbnail_px),
        thumbnail_px=settings.thumbnail_px,
        balance=balance(counted),
        nouns=texts.NOUNS[nouns(counted.space.kind)],
        truth_plots=truth_plots(counted),
        size_plots=sizes_plot(counted),
        quality_plots=quality(counted),
        group_plot=groups_plot(counted),
    )


def _shown(name: str, rows: int) -> str:
    """How many rows of a table the page has."""
    if rows > MOST_ROWS:
        return texts.FIRST_ROWS.format(shown=MOST_ROWS, rows=rows, file=f"{name}.csv")
    return texts.ALL_ROWS.format(rows=rows)


def _with_means(image: ImageOf, evidence: Evidence) -> ImageOf:
    """The pictures of the competition, and the classes' mean pictures."""
    means = dict(zip(evidence.survey.strata.names, evidence.seen.means_CMM3, strict=True))

    def either(split: str, name: str) -> Pixels:
        return means[name] if split == MEAN else image(split, name)

    return either


def _labels(counted: Survey, wanted: set[Key]) -> dict[Key, str]:
    """The caption of each picture."""
    keys = zip(counted.images["split"], counted.images["id"], counted.images["label"], strict=True)
    classes = counted.space.classes
    return {
        (split, image): (_caption(counted, at) if label < 0 else classes[label])
        for at, (split, image, label) in enumerate(keys)
        if (split, image) in wanted
    }


def _caption(counted: Survey, row: int) -> str:
    """What is true of an image that has not exactly one class: its labels, values or largest share."""
    if counted.truth is None or row >= len(counted.truth):
        return texts.TEST_IMAGE
    y_K, names = counted.truth[row], counted.space.classes
    if counted.space.kind == "values":
        known = [(name, value) for name, value in zip(names, y_K.tolist(), strict=True) if value == value]
        return ", ".join(texts.CAPTION_VALUE.format(name=name, value=value) for name, value in known)
    if counted.space.kind == "shares":
        return names[int(y_K.argmax())]
    held = [names[k] for k in np.flatnonzero(np.nan_to_num(y_K) >= 0.5)]
    return ", ".join(held) or texts.CAPTION_NONE


def _folds_across(inputs: ExploreInputs) -> pd.DataFrame:
    """The folds as columns: one column per class would not fit on a page."""
    health = inputs.health
    if "fold" not in health.columns:
        return health
    across = health.set_index("fold").T.rename(columns=lambda n: inputs.say(texts.FOLD.format(n=n)))
    names = [inputs.say(Text(str(name).replace("_", " "))) for name in across.index]
    across.insert(0, "", names)
    return across


def _sheets(counted: Survey, per_class: int, room: int) -> list[_Sheet]:
    """One sheet per class; together they show `room` pictures; classes beyond that have no sheet."""
    limit = min(per_class, max(room // max(len(counted.classes), 1), 1))
    sheets = []
    for label, row in enumerate(counted.classes.head(max(room, 0)).to_dict("records")):
        chosen = contact_sheet(counted.rows_of(label), limit)
        sheets.append(_Sheet(f"class-{label}", row["class"], row["images"], row["groups"], keys_of(chosen)))
    return sheets


def balance(counted: Survey) -> list[tuple[str, Markup]]:
    """Training images by class, and by each attribute if there are several; the largest first."""
    drawn = []
    tables = {texts.NOUNS[nouns(counted.space.kind)].one: counted.classes}
    if len(counted.attributes) > 1:
        tables |= counted.attributes
    for name, table in tables.items():
        first = table.columns[0]
        rows = [
            plots.Bar(r[first], (r["images"],), (f"{count(r['images'])} · {percent(r['share'])}",))
            for r in table.to_dict("records")
        ]
        if table is counted.classes and counted.space.kind != "values":
            rows.sort(key=lambda row: -row.values[0])
        if len(rows) > BARS_SHOWN:
            rows = [*rows[: BARS_SHOWN // 2], *rows[-BARS_SHOWN // 2 :]]
        drawn.append((name, plots.bars(rows, texts.BALANCE_PLOT.format(name=name))))
    return drawn


def truth_plots(counted: Survey) -> list[tuple[str, str, Markup]]:
    """(title, explanation, plot) of labels that hold together and of values; none for exclusive classes."""
    if counted.truth is None or counted.space.kind == "shares":
        return []
    y_NK, names = np.asarray(counted.truth, dtype=np.float64), counted.space.classes
    if counted.space.kind == "values":
        return [
            (title, "", plots.histogram({name: y_N[~np.isnan(y_N)]}, title, name))
            for name, y_N in zip(names, y_NK.T, strict=True)
            for title in [texts.VALUE_PLOT.format(name=name)]
        ][:BARS_SHOWN]
    held_NK = (np.nan_to_num(y_NK) >= 0.5).astype(np.float64)
    both_KK = held_NK.T @ held_NK
    shown = np.sort(np.argsort(-both_KK.diagonal(), kind="stable")[:CELLS_SHOWN])
    share_KK = (both_KK / np.maximum(both_KK.diagonal(), 1)[:, None])[np.ix_(shown, shown)]
    each = np.bincount(held_NK.sum(axis=1).astype(np.int64))
    rows = [
        plots.Bar(
            plural(n, "label"), (int(images),), (f"{count(int(images))} · {percent(images / len(y_NK))}",)
        )
        for n, images in enumerate(each)
    ]
    heat = plots.heat_map(share_KK, [names[k] for k in shown], texts.TOGETHER_PLOT)
    return [
        (texts.EACH_PLOT, "", plots.bars(rows[:BARS_SHOWN], texts.EACH_PLOT)),
        (texts.TOGETHER_PLOT, texts.TOGETHER_PLOT_TEXT, heat),
    ]


def sizes_plot(counted: Survey) -> list[tuple[str, Markup]]:
    """The commonest sizes and the aspect ratios; nothing if all images have one size."""
    if len(counted.sizes) == 1:
        return []
    top = counted.sizes.head(SIZES_SHOWN).to_dict("records")
    series = ("train", "test") if counted.sizes["test"].any() else ("train",)
    names = [texts.SPLITS[split] for split in series]
    rows = [
        plots.Bar(r["size"], tuple(r[s] for s in series), tuple(count(r[s]) for s in series)) for r in top
    ]
    aspect = {
        texts.SPLITS[split]: np.asarray(counted.split(split)["width"] / counted.split(split)["height"], float)
        for split in ("train", "test")
    }
    return [
        (texts.SIZES_PLOT, plots.bars(rows, texts.SIZES_PLOT_LABEL, names)),
        (texts.ASPECT_PLOT, plots.histogram(aspect, texts.ASPECT_PLOT_LABEL, texts.ASPECT_AXIS)),
    ]


def quality(counted: Survey) -> list[Markup]:
    """Histograms of brightness, contrast and blur, train beside test."""
    drawn = []
    for column, (title, axis) in texts.QUALITY.items():
        values = {name: np.asarray(counted.split(s)[column], float) for s, name in texts.SPLITS.items()}
        drawn.append(plots.histogram(values, title, axis))
    return drawn


def groups_plot(counted: Survey) -> Markup:
    """Training groups by number of images; empty if there are no groups."""
    if not counted.grouped:
        return Markup("")
    title = texts.GROUPS_PLOT
    of_size = counted.group_sizes.value_counts().sort_index()
    if len(of_size) > SIZES_SHOWN:
        sizes = np.asarray(counted.group_sizes, float)
        return plots.histogram({texts.SPLITS["train"]: sizes}, title, *texts.GROUPS_PLOT_AXES)
    rows = [
        plots.Bar(plural(size, "image"), (number,), (plural(number, "group"),))
        for size, number in zip(of_size.index.tolist(), of_size.tolist(), strict=True)
    ]
    return plots.bars(rows, title)
