"""What the MLflow UI shows for a competition: a guide, and a view with the right columns.

Owns the experiment's description and the saved view (columns, order, filter). Does not own any run,
and does not import mlflow: it makes tags, `record/tracking.py` writes them.

The table of the UI opens without any metric column. A saved view fixes that: a tag of the experiment that
the UI lists under *Views* and opens if the address contains `viewStateShareKey=…`. Its format (JSON with
the state as base64 of a zlib stream of JSON) was read from the UI of MLflow 3.17; a UI that does not know
it shows its plain table.
"""

import base64
import json
import re
import sqlite3
import zlib
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from pipeline.core.errors import StorageError

HERE, PORT = "http://127.0.0.1", 5000  # of `make ui`
VIEW = "podium"
VIEW_TITLE = "Scores, best first"
STAGE_RUNS_ONLY = "tags.`mlflow.parentRunId` IS NULL"
TAGS = ("verdict", "compared_with", "changed", "error")
HEADLINE_WIDTH = 110
COLUMNS = {  # after the headline; name: width in px; the rest is reached by scrolling
    "verdict": 85,
    "delta_vs_best": 110,
    "p_better": 80,
    "compared_with": 120,
    "changed": 260,
    "error": 220,
    "ci_low": 75,
    "ci_high": 75,
    "fold_std": 75,
    "f1_worst_class": 110,
    "lb_public": 85,
    "cv_lb_gap": 90,
    "ms_per_image": 105,
    "minutes": 75,
}
NOTE = "mlflow.note.content"
SHARED_VIEW = f"mlflow.sharedViewState.{VIEW}"
METRIC = "mlflow.experiment.primaryMetric.name"
HIGHER = "mlflow.experiment.primaryMetric.greaterIsBetter"
OURS = (SHARED_VIEW, METRIC, HIGHER)  # rewritten on every start; the description also belongs to the user
# Our part of a description stands between these two; the text around it is the user's. They are sentences,
# because the UI shows comments of HTML as they are. Descriptions of older versions have such comments.
BEGIN = "**What this page shows** (Podium rewrites the text from here to the line at its end.)"
END = "*End of the text that Podium rewrites; your own text may stand above or below it.*"
FORMER = ("<!-- podium: rewritten -->", "<!-- podium: end -->")
PART = re.compile(
    "|".join(f"{re.escape(begin)}.*?{re.escape(end)}" for begin, end in ((BEGIN, END), FORMER)), re.DOTALL
)

GUIDE = """\
[Open the table with scores, best first]({link}) (also under *Views*; the plain table has no score)

| question | where |
|---|---|
| Which run is best? | the top row there: `{headline}` is the metric on pooled out-of-fold predictions, \
{direction} is better |
| Is the difference more than noise? | `verdict`: a paired bootstrap of groups against the best earlier \
run of its kind (training; inference or blend) on the same data and folds (`compared_with`), with \
`delta_vs_best`, positive if this run is better, and `p_better`; `ci_low` to `ci_high` is the 95 % interval \
of the score itself |
| What changed? | `changed`: settings that differ from the run in `compared_with` |
| Which fold failed? | a red cross; `error` names the fold and the reason. The plain table shows the \
folds of a run with its `+` |
| Where is the report? | click the run, tab *Artifacts*, the file ending in `.html` |
"""


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
        return cls(f"oof_{metric}", higher_is_better)

    @classmethod
    def recorded(cls, tags: Mapping[str, str]) -> "Headline | None":
        """The headline of an experiment with these tags, if it has one."""
        return cls(tags[METRIC], tags.get(HIGHER) != "false") if METRIC in tags else None


def view_path(experiment_id: str) -> str:
    """The UI's address of the shared view, from `#` on."""
    return f"#/experiments/{experiment_id}/runs?viewStateShareKey={VIEW}&workflowType=machine_learning"


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
        raise StorageError(f"{database}: nothing has been recorded yet", remedy="run `make all` first")
    with closing(sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro", uri=True)) as connection:
        query = "SELECT name, experiment_id FROM experiments WHERE lifecycle_stage = 'active' ORDER BY 2"
        rows = connection.execute(query).fetchall()
    return [(str(name), str(number)) for name, number in rows if name != "Default"]


def guide(experiment_id: str, headline: Headline, standings: str = "") -> str:
    """Our part of an experiment's description, in markdown, with a table of experiments if one is given."""
    direction = "higher" if headline.higher_is_better else "lower"
    text = GUIDE.format(link=view_path(experiment_id), headline=headline.name, direction=direction)
    below = f"\n{standings}\n" if standings else ""
    return f"{BEGIN}\n\n{text}{below}\n{END}"


def rewritten(description: str, part: str) -> str:
    """A description with our part replaced by `part`; a description without our part is not changed."""
    return PART.sub(lambda _: part, description, count=1)


def experiment_tags(experiment_id: str, headline: Headline) -> dict[str, str]:
    """The tags that configure the UI of an experiment."""
    return {
        NOTE: guide(experiment_id, headline),
        "mlflow.experimentKind": "custom_model_development",
        METRIC: headline.name,
        HIGHER: "true" if headline.higher_is_better else "false",
        SHARED_VIEW: shared_view(headline),
    }


def shared_view(headline: Headline) -> str:
    """The state of the UI's run table: columns in order, runs of stages only, best first."""
    widths = {headline.name: HEADLINE_WIDTH, **COLUMNS}
    columns = {_column(name): width for name, width in widths.items()}
    state = {
        "selectedColumns": list(columns),
        "columnOrder": list(columns),
        "columnWidths": columns,
        "searchFilter": STAGE_RUNS_ONLY,
        "orderByKey": _column(headline.name),
        "orderByAsc": not headline.higher_is_better,
    }
    packed = base64.b64encode(zlib.compress(json.dumps(state).encode())).decode()
    view = {"name": VIEW_TITLE, "createdAt": 0, "updatedAt": 0, "state": f"deflate;{packed}"}
    return json.dumps(view)


def _column(name: str) -> str:
    return f"tags.`{name}`" if name in TAGS else f"metrics.`{name}`"
