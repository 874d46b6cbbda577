"""The report on labels that hold together, on values and on shares: an overview of all columns.

Owns its sections and their order. Does not own the frame of the page, its conclusion and its terminal lines
(`errors/page.py`), nor the report on one label, which is the report on classes (`LABEL=…`).
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace

import pandas as pd
from markupsafe import Markup

from pipeline.core.metrics import Metric
from pipeline.core.targets import LABELS, SHARES, VALUES, Target
from pipeline.data import load
from pipeline.engine.stage import Built
from pipeline.errors import page as whole
from pipeline.errors import texts
from pipeline.errors.advice import advisor
from pipeline.errors.advice.facts import worded_metric
from pipeline.errors.case import ReportCase
from pipeline.errors.columns import cards, changes, scores
from pipeline.errors.columns.changes import Changes
from pipeline.errors.columns.scores import Rules, Scored
from pipeline.errors.diff.conclusion import conclusion
from pipeline.errors.findings import slices
from pipeline.errors.judging import value_verdicts
from pipeline.errors.page import ErrorAnalysis, ReportInputs
from pipeline.pages import plots
from pipeline.pages.command_words import make_with
from pipeline.pages.report import ReportSection, gain, json_data, signed, without

# A plot has so many labels, the worst; so many values have a scatter plot of their own.
MOST_PLOTTED, MOST_SCATTERED = 20, 6
# The worst labels, for which a page of their own is offered.
OFFERED = 3


@dataclass(frozen=True)
class ColumnAnalysis:
    """What follows from the two submissions.

    Args:
        page: conclusion and figures, for the frame of the page.
        scored: the new run out of fold; None: a CSV from elsewhere.
        old: the same of the old run.
        changed: the differences on the test set; None for a first submission.
        rules: how intervals are drawn.
    """

    page: ErrorAnalysis
    scored: Scored | None
    old: Scored | None
    changed: Changes | None
    rules: Rules


def analyze(case: ReportCase, inputs: ReportInputs) -> ColumnAnalysis:
    """Score both runs and find what changed.

    Raises:
        DataError: the submissions do not answer the same images.
    """
    statistics, report = case.job.settings.config.statistics, case.job.settings.config.report
    target = Target.of(case.train.space)
    scored, old = (
        None if side is None or side.oof is None else Scored.of(case.train, side.oof)
        for side in (case.new, case.old)
    )
    changed = None
    if case.old is not None:
        limit = report.max_flips
        changed = changes.find_changes(target, case.new.prediction, case.old.prediction, limit)
    counts = None if changed is None else (changed.images, changed.n_images)
    found = conclusion(counts, case.comparison, inputs.metric_words)
    figures = _figures(scored, changed)
    rules = Rules(statistics.draws, statistics.seed)
    return ColumnAnalysis(ErrorAnalysis(found, None, None, figures), scored, old, changed, rules)


def _figures(scored: Scored | None, changed: Changes | None) -> dict[str, float]:
    figures: dict[str, float] = {}
    if changed is not None:
        figures |= {"flips": changed.answers, "flip_share": changed.images / max(changed.n_images, 1)}
    if scored is not None and scored.target.kind == LABELS:
        figures["oof_errors"] = float(scored.wrong_NK.sum())
        figures["f1_worst_class"] = float(scores.label_table(scored)["F1"].min())
    elif scored is not None:
        figures["r2_worst_value"] = float(scores.value_table(scored)["R²"].min())
    return {name: float(value) for name, value in figures.items()}


def build(case: ReportCase) -> Built:
    """Write error-analysis.html, advice.json and flips.csv, the changed images."""
    job = case.job
    inputs = whole.inputs_of(case, job.settings.config)
    analysis = analyze(case, inputs)
    recommendation = advisor.recommend(case, None)
    inputs = replace(
        inputs,
        config=recommendation.config,
        advice=recommendation.advice,
        advised=recommendation.advised,
        followed=recommendation.followed,
        changes=recommendation.changes,
    )
    html = whole.render_page(analysis.page, inputs, sections(case, analysis), _tiles(analysis))
    (job.draft / whole.PAGE).write_text(html, encoding="utf-8")
    if analysis.changed is not None:
        pd.DataFrame({"id": list(analysis.changed.ids)}).to_csv(job.draft / "flips.csv", index=False)
    whole.keep_advice(job, inputs, recommendation.entries)
    return whole.summary(inputs, analysis.page)


def sections(case: ReportCase, analysis: ColumnAnalysis) -> tuple[ReportSection, ...]:
    """Every section, in the order of the page."""
    return (
        on_columns(case, analysis),
        on_changes(case, analysis),
        on_worst(case, analysis),
        on_slices(case, analysis),
        whole.on_robustness(case, analysis.page),
    )


def on_columns(case: ReportCase, analysis: ColumnAnalysis) -> ReportSection:
    """How good each label or value is, worst first, and how that changed."""
    labels = case.train.space.kind == LABELS
    anchor, short = ("labels", texts.LABELS_SHORT) if labels else ("values", texts.VALUES_SHORT)
    title = texts.LABELS_TITLE if labels else texts.VALUES_TITLE
    scored = analysis.scored
    if scored is None:
        return without(anchor, short, title, texts.NEEDS_OOF, whole.again(case))
    table = scores.label_table(scored) if labels else scores.value_table(scored)
    names = tuple(table.iloc[:, 0])
    change = None
    if analysis.old is not None:
        metric = _of_column(case.metric, labels)
        change = _shown_change(scores.compared(scored, analysis.old, metric, analysis.rules), metric, labels)
    values = {
        "title": title,
        "table": table,
        "images": len(scored.ids_N),
        "change": change,
        "plots": _label_plots(scored, names, analysis.rules) if labels else _value_plots(scored, names),
        "commands": _own_pages(case, names) if labels else (),
        "labels": labels,
        "shares": case.train.space.kind == SHARES,
        "levels": bool(scored.target.blocks),
    }
    return ReportSection(anchor, short, "columns_scores.html", values)


def _of_column(metric: Metric, labels: bool) -> str:
    """The metric by which single columns are compared: the competition's where one column has it."""
    own = (
        ("macro_f1", "auc", "log_loss", "accuracy", "map", "pf1")
        if labels
        else ("rmse", "mae", "r2", "rmsle")
    )
    if metric.name in own:
        return metric.name
    if labels:
        return "auc" if metric.needs == "probabilities" else "macro_f1"
    return "rmse"


def _shown_change(table: pd.DataFrame, metric: str, labels: bool) -> pd.DataFrame:
    named = worded_metric(metric.removeprefix("macro_"))
    shown = table[["name", "images", "fixed", "broken"]].rename(
        columns={"name": "label" if labels else "value"}
        | ({} if labels else {"fixed": "nearer", "broken": "farther"})
    )
    shown[texts.GAIN_COLUMN.format(metric=named)] = [signed(x) for x in table["change"]]
    shown["interval"] = [
        f"[{signed(low)}, {signed(high)}]" for low, high in zip(table["low"], table["high"], strict=True)
    ]
    shown["verdict"] = table["verdict"]
    return shown


def _own_pages(case: ReportCase, names: tuple[str, ...]) -> tuple[str, ...]:
    """The commands for pages of the worst labels alone."""
    space = case.train.space
    owner = {
        name: space.attributes[int(codes.argmax())].name
        for name, codes in zip(space.classes, space.codes_CA, strict=True)
    }
    worst = tuple(dict.fromkeys(owner[name] for name in names))[:OFFERED]
    words = case.job.words["error-analysis"]
    return tuple(make_with(f"make error-analysis LABEL={shlex.quote(name)}", words) for name in worst)


def _label_plots(scored: Scored, names: tuple[str, ...], rules: Rules) -> list[tuple[str, Markup]]:
    found = scores.intervals(scored, names[:MOST_PLOTTED], "macro_f1", rules)
    rows = [plots.Whisker(name, i.value, i.low, i.high) for name, i in found]
    return [("", plots.whiskers(rows, texts.LABELS_PLOT))]


def _value_plots(scored: Scored, names: tuple[str, ...]) -> list[tuple[str, Markup]]:
    drawn = []
    for name in names[:MOST_SCATTERED]:
        k = scored.target.columns.index(name)
        known = scored.known_NK[:, k]
        ids = scored.ids_N[known].tolist()
        points = plots.scatter(
            scored.truth_NK[known, k].tolist(),
            scored.p_NK[known, k].tolist(),
            ids,
            texts.SCATTER.format(name=name),
            (texts.SCATTER_X, texts.SCATTER_Y),
        )
        drawn.append((name, points))
        rows = [plots.Whisker(part, i.value, i.low, i.high) for part, i in scores.bias_along(scored, k)]
        if rows:
            drawn.append((texts.BIAS.format(name=name), plots.whiskers(rows, texts.BIAS_PLOT, zero=True)))
    return drawn


def on_changes(case: ReportCase, analysis: ColumnAnalysis) -> ReportSection:
    """What changed from the old submission to the new one, most first."""
    changed = analysis.changed
    if changed is None:
        return without("flips", texts.CHANGES_SHORT, texts.CHANGES_TITLE, texts.NO_OLD)
    values = {"title": texts.CHANGES_TITLE, "changed": changed, "labels": case.train.space.kind == LABELS}
    return ReportSection(
        "flips", texts.CHANGES_SHORT, "columns_changes.html", values, cards.keys(changed.cards)
    )


def on_worst(case: ReportCase, analysis: ColumnAnalysis) -> ReportSection:
    """The worst answers with their pictures."""
    labels = case.train.space.kind == LABELS
    title = texts.MISSES_TITLE if labels else texts.RESIDUALS_TITLE
    if analysis.scored is None:
        return without("errors", texts.WORST_SHORT, title, texts.NEEDS_OOF, whole.again(case))
    scored, judging = analysis.scored, case.train.space.kind == VALUES
    kept = case.job.params.get(value_verdicts.PARAM) if judging else None
    stored = value_verdicts.stored(case.job.home / str(kept), scored.target.columns) if kept else ()
    judged = value_verdicts.counting(stored, scored)
    keys = [one.key for one in judged]
    shown = cards.worst(scored, case.job.settings.config.report.max_flips, keys)
    command = make_with("make error-analysis VERDICTS=verdicts.csv", case.job.words["error-analysis"])
    values = {
        "title": title,
        "cards": shown,
        "labels": labels,
        "judging": judging and bool(shown),
        "judged": value_verdicts.summary(judged, scored, case.metric),
        "kinds": value_verdicts.KINDS if judging else (),
        "command": command,
    }
    data = value_verdicts.asked(scored, [(card.key[1], card.column) for card in shown]) if judging else None
    return ReportSection(
        "errors",
        texts.WORST_SHORT,
        "columns_worst.html",
        values,
        cards.keys(shown),
        json_data("value-verdicts", data) if data else Markup(""),
        ("csv.js", "value_verdicts.js") if data else (),
    )


def on_slices(case: ReportCase, analysis: ColumnAnalysis) -> ReportSection:
    """Slices whose answers are worse than chance explains."""
    scored = analysis.scored
    if scored is None:
        return without(slices.ANCHOR, slices.SHORT, slices.TITLE, texts.NEEDS_OOF, whole.again(case))
    facts = load.facts(case.job.inputs["images"])
    config = case.job.settings.config
    inputs = slices.SliceInputs(
        case.train,
        scored.ids_N,
        None,
        facts[facts["split"] == "train"],
        config.statistics.seed,
        config.finders,
        scored.loss_N,
        case.train.space.kind not in (LABELS, SHARES),
        whole.metadata_of(case),
    )
    return slices.section(inputs)


def _tiles(analysis: ColumnAnalysis) -> list[tuple[str, str]]:
    tiles = []
    if analysis.changed is not None:
        c = analysis.changed
        tiles.append((texts.OF_ALL.format(n=c.images, all=c.n_images), texts.TILE_CHANGED))
    scored = analysis.scored
    if scored is not None and scored.target.kind == LABELS:
        known = max(int(scored.known_NK.sum()), 1)
        tiles.append((f"{100 * scored.wrong_NK.sum() / known:.1f} %", texts.TILE_WRONG))
        every = (~scored.wrong_NK).all(axis=1).mean()
        tiles.append((f"{100 * every:.0f} %", texts.TILE_ALL_RIGHT))
    elif scored is not None:
        table = scores.value_table(scored)
        tiles += [
            (gain(row["R²"]).lstrip("+"), texts.R2_OF.format(value=row["value"]))
            for row in table.head(4).to_dict("records")
        ]
    return tiles
