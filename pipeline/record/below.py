"""Runs that stand below another in the record, so that its first table has those that people compare.

The UI shows a run below another if a tag names its parent, and the views leave runs with a parent out. Owns
setting that tag of runs that have ended. Does not own which results people compare (`engine/compared.py`) nor
the views (`record/board.py`), nor mlflow: the caller gives its client.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.record.board import TOP_ONLY

PARENT = "mlflow.parentRunId"
ENDED = f"{TOP_ONLY} and attributes.status != 'RUNNING'"
IN_VAIN = ("FAILED", "KILLED")


def put(client: Any, experiment_id: str, below: Mapping[str, str]) -> None:
    """Put the runs of results below the newest run of another result, where that has one.

    `below`: address (`<stage>/<key>`) of a result -> address of the result below which its runs stand.
    """
    for stage in sorted({address.partition("/")[0] for address in below}):
        for run in client.search_runs([experiment_id], f"tags.stage = '{stage}' and {ENDED}"):
            above = below.get(f"{stage}/{run.data.tags.get('key')}")
            found = above and _newest(client, experiment_id, above)
            if found:
                client.set_tag(run.info.run_id, PARENT, found)


def put_earlier(client: Any, experiment_id: str, run_id: str, stage: str, key: str) -> None:
    """Put earlier runs of the same result below the one that finished it: what failed then is repaired."""
    for run in client.search_runs([experiment_id], f"{_of(stage, key)} and {ENDED}"):
        if run.info.run_id != run_id:
            client.set_tag(run.info.run_id, PARENT, run_id)


def _newest(client: Any, experiment_id: str, address: str) -> str | None:
    """The id of the newest run of a result that did not fail."""
    stage, _, key = address.partition("/")
    runs = client.search_runs([experiment_id], f"{_of(stage, key)} and {TOP_ONLY}")
    return next((str(run.info.run_id) for run in runs if run.info.status not in IN_VAIN), None)


def _of(stage: str, key: str) -> str:
    return f"tags.key = '{key}' and tags.stage = '{stage}'"
