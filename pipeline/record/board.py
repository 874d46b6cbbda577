"""What the MLflow UI shows for a competition: a guide, views with the right columns, and the words in them.

Owns the experiment's description, the saved views (columns, order, filter), and the figures of a run in
words. Does not own any run, and does not import mlflow: it makes tags, `record/tracking.py` writes them.

The table of the UI opens without any metric column. A saved view fixes that: a tag of the experiment that
the UI lists under *Views* and opens if the address contains `viewStateShareKey=…`. Its format (JSON with
the state as base64 of a zlib stream of JSON) was read from the UI of MLflow 3.17; a UI that does not know
it shows its plain table. What else the UI of 3.17 does, and the answer here:

- It opens in its GenAI mode, where runs are called evaluations: `workflowType=machine_learning` in the
  address fixes that; the kind of the experiment does not.
- Without `columnOrder` columns are alphabetical: `ci_high` comes first, and the score is the ninth.
- The column of names is 190 px wide, which cuts most of them; it is no column to select, but can be ordered.
- Sorting by a metric flattens the tree and mixes folds with runs: views filter by the tag of the parent.
- Cells have every digit (0.02700000000000002): summary figures are rounded to five.
- The description of a run is folded after about four lines, that of an experiment after one: ours begin with
  the result and use line breaks instead of paragraphs. A link in one opens a new tab.
- The chat panel of the first visit and the banner about telemetry cannot be removed by a setting of the
  server; `record/serve.py` keeps both from the network.
"""

import base64
import json
import re
import sqlite3
import zlib
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from pipeline.core.errors import StorageError
from pipeline.core.language import _

HERE, PORT = "http://127.0.0.1", 5000  # of `make ui`
VIEW = "podium"
VIEW_TITLE = "Scores, best first"
TOP_ONLY = "tags.`mlflow.parentRunId` IS NULL"
# The tag of runs that nobody compares, such as reports and searches.
BESIDE = "beside"
COMPARED_ONLY = f"{TOP_ONLY} AND tags.`{BESIDE}` IS NULL"
# Names of columns: MLflow allows no `%`.
SCORE, PUBLIC, MINUTES = "score", "public", "minutes"
INTERVAL, AGAINST, CHANGED, ARM = "interval 95", "against best", "what changed", "arm"
TAGS = ("verdict", "compared_with", "changed", "error", "stage", INTERVAL, AGAINST, CHANGED, ARM)
# The two columns that always stand first, by the names that the UI has for them: name -> width in px.
FIRST = {"attributes.`Run Name`": 300, "runDateAndNestInfo": 140}
COLUMNS = {  # name: width in px; the rest is reached by scrolling
    SCORE: 75,
    INTERVAL: 130,
    "verdict": 90,
    "error": 130,  # in sight without scrolling, because a failure has no score
    AGAINST: 180,
    CHANGED: 260,
    PUBLIC: 75,
    MINUTES: 75,
    "compared_with": 120,
    "fold_std": 75,
    "f1_worst_class": 110,
    "cv_lb_gap": 90,
    "ms_per_image": 105,
}
AVERAGED = {SCORE: 135, PUBLIC: 135, MINUTES: 135}  # figures of a group, "(average)" behind them
FAILED_COLUMNS = {"error": 620, CHANGED: 260, MINUTES: 75}
BESIDE_COLUMNS = {"stage": 130, "verdict": 180, MINUTES: 75}
# Charts that open first: the others are found by clearing the search.
CHARTS = f"^({SCORE}|{PUBLIC}|{MINUTES}|valid_score|valid_loss|train_loss)$"
# Settings of `what changed` that are named, and characters of a value.
MOST_CHANGES, LONGEST_VALUE = 3, 24
# Axes of settings in the drawing of parallel coordinates, and the share of runs that must have a setting: the
# UI leaves out runs without a value on an axis.
MOST_AXES, LEAST_SHARE = 6, 0.8
# Before runs differ in anything.
FIRST_AXES = ("model.name",)
NO_AXES = ("statistics.", "report.", "competition.")
VALID = "valid_score"
CURVES = f"^({VALID}|valid_loss|train_loss)$"
# Settings that change how a run is looked at and not the run; last parts of names that say nothing alone.
BESIDE_THE_RUN, OF_A_SECTION = "statistics.", ("name", "method", "kind", "policy", "n")
CHANGE = re.compile(r"([\w.]+): (.*?) → (.*?)(?=, [\w.]+: |$)", re.DOTALL)
NOTE = "mlflow.note.content"
STATE = "mlflow.sharedViewState."
SHARED_VIEW = f"{STATE}{VIEW}"
FAILED_VIEW, SEEDS_VIEW, BESIDE_VIEW = f"{STATE}failed", f"{STATE}seeds", f"{STATE}reports"
SETTINGS_VIEW, CURVES_VIEW = f"{STATE}settings", f"{STATE}curves"
METRIC = "mlflow.experiment.primaryMetric.name"
HIGHER = "mlflow.experiment.primaryMetric.greaterIsBetter"
VIEWS = (SHARED_VIEW, FAILED_VIEW, SEEDS_VIEW, BESIDE_VIEW, SETTINGS_VIEW, CURVES_VIEW)
# Rewritten on every start. The description also belongs to the user, the axes of settings to the runs.
OURS = (*(view for view in VIEWS if view != SETTINGS_VIEW), METRIC, HIGHER)
# Our part of a description stands between these two; the text around it is the user's. They are sentences,
# because the UI shows comments of HTML as they are. Descriptions of older versions have such comments.
# The first line says what is best and what failed, and ends with the first of them.
BEGIN = "(Podium rewrites the text from here to the line at its end.)"
END = "*End of the text that Podium rewrites; your own text may stand above or below it.*"
FORMER = ("<!-- podium: rewritten -->", "<!-- podium: end -->")
FIRST_LINE = re.compile(rf"^[^\n]*{re.escape(BEGIN)}", re.MULTILINE)
PART = re.compile(
    rf"{FIRST_LINE.pattern}.*?{re.escape(END)}|{re.escape(FORMER[0])}.*?{re.escape(FORMER[1])}",
    re.DOTALL | re.MULTILINE,
)

GUIDE = """\
[Open the table with scores, best first]({link}) (also under *Views*; the plain table has no score)

| question | where |
|---|---|
| Which run is best? | the top row there: `score` is the metric on pooled out-of-fold predictions \
(`{headline}`), {direction} is better |
| Is the difference more than noise? | `verdict`: a paired bootstrap of groups against the best earlier \
run of its kind (training; inference or blend) on the same data and folds (`compared_with`); \
`against best` has the difference with its interval, positive if this run is better; `interval 95` is \
that of the score itself |
| What changed? | `what changed` against that run in short, `changed` in full |
| Which settings gave which score? | [each run as a line through its settings]({settings}), its score at the \
right; drag along an axis to choose |
| How did training go? | [curves of loss and score]({curves}) of the ten best folds; a training that has \
an inference stands below it: click that run, *Child runs* |
| Which fold failed? | a red cross; `error` names the fold and the reason; *Views*, *What failed* lists only \
these runs |
| Where is the report? | click the run, tab *Artifacts*: `error-analysis.html`, once there is one; *Views*, \
*Reports and searches* lists all others |
"""


# What MLflow allows in the name of a metric; anything else loses the whole record.
_NOT_IN_NAMES = re.compile(r"[^\w\-. :/]")


def recorded_name(name: str) -> str:
    """The name of a figure as MLflow's metric: `oof_map@5` is `oof_map_5`."""
    return _NOT_IN_NAMES.sub("_", name)


@dataclass(frozen=True)
class Headline:
    """The score by which runs are ordered.

    Args:
        name: of the MLflow metric, e.g. `oof_macro_f1`.
        higher_is_better: False for losses.
    """

    name: str
    higher_is_better: bool

    @classmethod
    def of(cls, metric: str, higher_is_better: bool) -> "Headline":
        """The headline of a competition: its metric on pooled out-of-fold predictions."""
        return cls(recorded_name(f"oof_{metric}"), higher_is_better)

    @classmethod
    def recorded(cls, tags: Mapping[str, str]) -> "Headline | None":
        """The headline of an experiment with these tags, if it has one."""
        return cls(tags[METRIC], tags.get(HIGHER) != "false") if METRIC in tags else None


def view_path(experiment_id: str) -> str:
    """The UI's address of the shared view, from `#` on."""
    return f"#/experiments/{experiment_id}/runs?viewStateShareKey={VIEW}&workflowType=machine_learning"


def charts_path(experiment_id: str, view: str) -> str:
    """The UI's address of a view's charts, from `#` on; `view` is the name of its tag."""
    share = f"viewStateShareKey={view.removeprefix(STATE)}&compareRunsMode=CHART"
    return f"#/experiments/{experiment_id}/runs?{share}&workflowType=machine_learning"


def links(database: Path, port: int) -> list[str]:
    """One line per competition: its name and the address of its saved view on this machine.

    `database` is `mlflow.db`.

    Raises:
        StorageError: nothing has been recorded yet.
    """
    return [f"{name}: {link(number, port)}" for name, number in experiments(database)]


def link(experiment_id: str, port: int = PORT) -> str:
    """The address of a competition's table in the UI of this machine."""
    return f"{HERE}:{port}/{view_path(experiment_id)}"


def experiments(database: Path) -> list[tuple[str, str]]:
    """The name and the id of each competition, read with sqlite only, so that mlflow is not imported.

    Raises:
        StorageError: nothing has been recorded yet.
    """
    if not database.is_file():
        raise StorageError(
            _("{database}: nothing has been recorded yet").format(database=database),
            remedy=_("run `make all` first"),
        )
    with closing(sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro", uri=True)) as connection:
        query = "SELECT name, experiment_id FROM experiments WHERE lifecycle_stage = 'active' ORDER BY 2"
        rows = connection.execute(query).fetchall()
    return [(str(name), str(number)) for name, number in rows if name != "Default"]


def first_line(said: str = "") -> str:
    """The line that a folded description shows; `said` is markdown, empty before the first score."""
    return f"**{said[0].upper()}{said[1:]}** {BEGIN}" if said else f"**What this page shows** {BEGIN}"


def guide(experiment_id: str, headline: Headline, standings: str = "", first: str = "") -> str:
    """Our part of an experiment's description, in markdown, with a table of experiments if one is given.

    `first`: its first line; empty: that of a competition without a score.
    """
    direction = "higher" if headline.higher_is_better else "lower"
    text = GUIDE.format(
        link=view_path(experiment_id),
        settings=charts_path(experiment_id, SETTINGS_VIEW),
        curves=charts_path(experiment_id, CURVES_VIEW),
        headline=headline.name,
        direction=direction,
    )
    below = f"\n{standings}\n" if standings else ""
    return f"{first or first_line()}\n\n{text}{below}\n{END}"


def rewritten(description: str, part: str) -> str:
    """A description with our part replaced by `part`; a description without our part is not changed."""
    return PART.sub(lambda _: part, description, count=1)


def renewed(description: str, first: str) -> str:
    """A description with another first line of our part; a description without our part is not changed."""
    return FIRST_LINE.sub(lambda _: first, description, count=1)


def experiment_tags(experiment_id: str, headline: Headline) -> dict[str, str]:
    """The tags that configure the UI of an experiment."""
    return {
        NOTE: guide(experiment_id, headline),
        "mlflow.experimentKind": "custom_model_development",
        METRIC: headline.name,
        HIGHER: "true" if headline.higher_is_better else "false",
        SHARED_VIEW: shared_view(headline),
        FAILED_VIEW: _saved("What failed", f"{TOP_ONLY} AND attributes.status = 'FAILED'", FAILED_COLUMNS),
        BESIDE_VIEW: _saved("Reports and searches", f"tags.`{BESIDE}` = 'yes'", BESIDE_COLUMNS),
        SEEDS_VIEW: shared_view(headline, "Seeds of one arm together", by=ARM),
        SETTINGS_VIEW: settings_view(FIRST_AXES),
        CURVES_VIEW: curves_view(headline),
    }


def curves_view(headline: Headline) -> str:
    """The curves of the best folds.

    Only a table sorted by a figure shows child runs by themselves. What has a learning rate has curves.
    """
    order = {"orderByKey": _column(VALID), "orderByAsc": not headline.higher_is_better}
    more = {**order, "chartsSearchFilter": CURVES}
    where = "tags.`fold` LIKE '%' AND metrics.`lr` >= 0"
    return _saved("Curves of the best folds (charts)", where, {VALID: 90, MINUTES: 75}, more)


def settings_view(axes: Sequence[str]) -> str:
    """Parallel coordinates: each run a line through these settings, its minutes and its score."""
    section = {"uuid": "podium", "name": "Settings and scores", "display": True, "isReordered": False}
    drawing = {
        "type": "PARALLEL",
        "uuid": "podium-settings",
        "metricSectionId": "podium",
        "isGenerated": False,
        "deleted": False,
        "runsCountToCompare": 10,
        "showAllRuns": True,
        "selectedParams": list(axes),
        "selectedMetrics": [MINUTES, SCORE],
    }
    more = {
        "compareRunCharts": [drawing],
        "compareRunSections": [{**section, "deleted": False, "isGenerated": False, "columns": 1}],
        "runsHiddenMode": "SHOW_ALL",
        "chartsSearchFilter": f"^{SCORE}$",
    }
    return _saved("Settings and scores (charts)", COMPARED_ONLY, COLUMNS, more)


def varied(runs: Sequence[Mapping[str, str]]) -> list[str]:
    """The settings in which runs differ that nearly all of them have, those with most values first.

    Args:
        runs: setting → value of each run; runs without any setting of a network, such as blends, left out.
    """
    values: dict[str, list[str]] = {}
    for run in runs:
        for name, value in run.items():
            if not name.startswith(NO_AXES):
                values.setdefault(name, []).append(value)
    least = max(LEAST_SHARE * len(runs), 2)
    found = {name: len(set(of)) for name, of in values.items() if len(of) >= least and len(set(of)) > 1}
    return sorted(found, key=lambda name: (-found[name], name))[:MOST_AXES]


def shared_view(headline: Headline, title: str = VIEW_TITLE, by: str = "") -> str:
    """The state of the UI's run table: columns in order, runs that people compare only, best first.

    `by`: a tag; runs with the same value of it are shown together, with the mean of their figures.
    """
    order = {"orderByKey": _column(headline.name), "orderByAsc": not headline.higher_is_better}
    if by:
        keys = [{"mode": "tag", "groupByData": by}]
        order |= {"groupBy": {"aggregateFunction": "average", "groupByKeys": keys}}
    return _saved(title, COMPARED_ONLY, COLUMNS | (AVERAGED if by else {}), order)


def _saved(
    title: str, where: str, widths: Mapping[str, int], more: Mapping[str, object] | None = None
) -> str:
    """A view as the UI saves it; without an order of its own the newest run is first."""
    columns = {_column(name): width for name, width in widths.items()}
    state = {
        "selectedColumns": list(columns),
        "columnOrder": [*FIRST, *columns],
        "columnWidths": {**FIRST, **columns},
        "searchFilter": where,
        "orderByKey": "attributes.start_time",
        "orderByAsc": False,
        "chartsSearchFilter": CHARTS,
        **(more or {}),
    }
    packed = base64.b64encode(zlib.compress(json.dumps(state).encode())).decode()
    view = {"name": title, "createdAt": 0, "updatedAt": 0, "state": f"deflate;{packed}"}
    return json.dumps(view)


def _column(name: str) -> str:
    return f"tags.`{name}`" if name in TAGS else f"metrics.`{name}`"


def in_words(
    metric: str, figures: Mapping[str, float], tags: Mapping[str, str]
) -> tuple[dict[str, float], dict[str, str]]:
    """The figures and tags of a finished run that the columns show, as metrics and tags; none without score.

    `metric`: of the competition.
    """
    score = figures.get(f"oof_{metric}")
    if score is None:
        return {}, {}
    words = {}
    if "ci_low" in figures:
        words[INTERVAL] = f"{figures['ci_low']:.4f} to {figures['ci_high']:.4f}"
    if "delta_low" in figures:
        low, high = figures["delta_low"], figures["delta_high"]
        words[AGAINST] = against(figures["delta_vs_best"], low, high)
    if tags.get("changed"):
        words[CHANGED] = brief(tags["changed"])
    return {SCORE: score}, words


def against(delta: float, low: float, high: float) -> str:
    """A difference with its interval, positive where the run is better."""
    return f"{delta:+.4f} [{low:+.4f}, {high:+.4f}]"


def minutes(seconds: float) -> float:
    """Minutes for the table, which shows every digit: two digits, or hundredths of long ones."""
    value = seconds / 60
    return float(f"{value:.2g}") if value < 1 else round(value, 2)


def brief(changed: str) -> str:
    """What changed in few words: the last part of each setting's name, and how many are left out."""
    found = CHANGE.findall(changed)
    if not found:
        return changed if len(changed) <= 3 * LONGEST_VALUE else f"{changed[: 3 * LONGEST_VALUE]}…"
    counted = [one for one in found if not one[0].startswith(BESIDE_THE_RUN)] or found
    shown = [f"{called(path)} {_short(old)} → {_short(new)}" for path, old, new in counted]
    more = len(shown) - MOST_CHANGES
    return ", ".join(shown[:MOST_CHANGES]) + (f" and {more} more" if more > 0 else "")


def called(path: str) -> str:
    """The last part of a setting's name; of one that every section may have, the part before it."""
    section, _, name = path.rpartition(".")
    told = section.rpartition(".")[2]
    return told if name in OF_A_SECTION and told not in ("", "ensemble") else name


def _short(value: str) -> str:
    plain = value.replace('"', "")
    return plain if len(plain) <= LONGEST_VALUE else f"{plain[:LONGEST_VALUE]}…"
