"""Which results people compare: those that can become a submission, each once.

Owns which result stands below another in lists of runs. Does not own the record (`record/below.py`) nor the
table of `make runs` (`submit/ranking.py`).

A training and its inference are the same network, with one view and with several; a decision that kept no
step is the result on which it decided.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pipeline.record.store import Artifact


def below(artifact: Artifact) -> dict[str, str]:
    """Address of the result that stands below another, by this result -> address of that other; or empty."""
    inputs = artifact.inputs
    if artifact.stage == "infer" and "train" in inputs:
        return {inputs["train"]: artifact.address}
    if artifact.stage == "decide" and artifact.metrics.get("adopted") == 0 and "of" in inputs:
        return {artifact.address: inputs["of"]}
    return {}


def all_below(artifacts: Iterable[Artifact]) -> Mapping[str, str]:
    """The same of many results; a training with several inferences stands below the oldest."""
    found: dict[str, str] = {}
    for artifact in sorted(artifacts, key=lambda a: str(a.manifest.get("created", ""))):
        found = below(artifact) | found
    return found


def of_one_run(artifact: Artifact, inputs: Mapping[str, Artifact]) -> list[Artifact]:
    """The inputs that people count to a result: the training to its inference."""
    return [inputs["train"]] if artifact.stage == "infer" and "train" in inputs else []
