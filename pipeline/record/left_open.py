"""Runs of the record that a process left open when it was killed: finding and closing them.

Owns the tags that name the process of a run and its heartbeat. Does not own whether a process is living
(`record/owners.py`), nor mlflow: the caller gives its client.
"""

from __future__ import annotations

import json
from typing import Any

from pipeline.record.owners import SILENCE, Watch, is_living, this

# Tags of a run: the process that writes it, as `owners.this` describes it, and its heartbeat.
OWNER, BEAT = "owner", "beat"


def is_open(run: str, owner: object, beat: object, watch: Watch, silence: float = SILENCE) -> bool:
    """Whether the process that a run's tags name may still write it; True for tags that are not ours."""
    try:
        described = json.loads(str(owner))
    except (ValueError, RecursionError):
        return True
    return is_living(described, str(beat or ""), f"run {run}", watch, silence)


def close_stale(
    client: Any, experiment_id: str, result: tuple[str, str], watch: Watch, silence: float
) -> None:
    """End the open runs of processes that have ended, and those of a result that is built anew.

    Args:
        client: of mlflow.
        experiment_id: where the runs are.
        result: stage and key of the result, whose claim the caller holds.
        watch: of the claims, which tells whose process is living.
        silence: seconds without a heartbeat after which a run of another host is closed.
    """

    def is_stale(run: Any) -> bool:
        tags = run.data.tags
        return not is_open(run.info.run_id, tags[OWNER], tags.get(BEAT), watch, silence)

    # A killed process leaves its run and its folds RUNNING for ever. The caller holds the claim of the key;
    # a process with another home may build the same key, and writes its own run to the same server.
    own, (stage, key) = json.dumps(this()), result
    where = f"tags.key = '{key}' and tags.stage = '{stage}' and attributes.status = 'RUNNING'"
    for stale in client.search_runs([experiment_id], where):
        if stale.data.tags.get(OWNER, own) != own and not is_stale(stale):
            continue
        beneath = f"tags.`mlflow.parentRunId` = '{stale.info.run_id}' and attributes.status = 'RUNNING'"
        for run in [*client.search_runs([experiment_id], beneath), stale]:
            end_killed(client, run.info.run_id, "killed; a later run of the same key continued")
    # Runs of other keys, also at a server: those whose process has ended, or whose host is silent.
    where = f"tags.{OWNER} LIKE '{{%' and attributes.status = 'RUNNING'"
    for run in client.search_runs([experiment_id], where):
        if is_stale(run):
            end_killed(client, run.info.run_id, "killed")


def end_killed(client: Any, run_id: str, reason: str) -> None:
    """End a run as killed, with the reason as its tag `error`."""
    client.set_tag(run_id, "error", reason)
    client.set_terminated(run_id, "KILLED")
