"""The first line of a competition's description in the record: the best run, and whether one failed.

The UI folds a description to this line, above every table. Owns what it says. Does not own the rest
of the description (`record/board.py`), writing it (`record/tracking.py`), nor mlflow: the caller gives its
client.
"""

from __future__ import annotations

from typing import Any

from pipeline.record.board import COMPARED_ONLY, INTERVAL, TOP_ONLY, Headline, first_line

# Of the best run's name.
LONGEST_NAME = 60
# A run on some folds only is no rival of those on all; so many of the best are looked through for one on all.
COMPLETE, LOOKED_AT = "complete", 100


def line(client: Any, experiment_id: str, headline: Headline) -> str:
    """The line for the runs that are recorded now."""
    order = f"metrics.`{headline.name}` {'DESC' if headline.higher_is_better else 'ASC'}"
    scored = f"{COMPARED_ONLY} and attributes.status = 'FINISHED'"
    runs = client.search_runs([experiment_id], scored, max_results=LOOKED_AT, order_by=[order])
    whole = [r for r in runs if headline.name in r.data.metrics and r.data.metrics.get(COMPLETE, 1.0) == 1.0]
    said = [_best(run, headline) for run in whole[:1]]
    failed = len(client.search_runs([experiment_id], f"{TOP_ONLY} and attributes.status = 'FAILED'"))
    if failed:
        said.append(f"{failed} failed (*Views*, *What failed*)")
    return first_line("; ".join(said))


def _best(run: Any, headline: Headline) -> str:
    name = str(run.info.run_name)
    name = name if len(name) <= LONGEST_NAME else f"{name[:LONGEST_NAME]}…"
    interval = run.data.tags.get(INTERVAL)
    within = f" [{interval.replace(' to ', ', ')}]" if interval else ""
    return f"best: `{name}` {run.data.metrics[headline.name]:.4f}{within}"
