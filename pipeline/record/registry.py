"""Models in MLflow's format: saving one in a folder, and registering it with tags.

Owns the two calls. Does not own what a model is (`predict/served.py`) nor the record of runs
(`record/tracking.py`). A model is a script and a folder: MLflow runs the script where it serves.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.record.tracking import tracking_uri

# Variables in which MLflow keeps the addresses that it was given.
ADDRESSES = ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI")


@dataclass(frozen=True)
class Served:
    """A model to save.

    Args:
        script: defines the model.
        artifacts: name → folder that the model reads.
        code: folders that are copied beside it, so that the script can import them.
        requirements: of its environment, pinned.
        columns: of its answer, after `label`: all are numbers.
        has_label: whether the answer has a column `label`.
        example: the bytes of one image.
        metadata: columns of the input beside the image → number or category.
    """

    script: Path
    artifacts: Mapping[str, Path]
    code: Sequence[Path]
    requirements: Sequence[str]
    columns: Sequence[str]
    has_label: bool
    example: bytes
    metadata: Mapping[str, str] = field(default_factory=dict)


def save(model: Served, where: Path) -> None:
    """Save a model in a new folder, with its signature, an example and its requirements."""
    pyfunc = _mlflow()
    with _without_warnings():
        pyfunc.save_model(path=str(where), **_words(model))


def register(
    model: Served, home: Path, uri: str | None, experiment: str, name: str, tags: Mapping[str, str]
) -> str:
    """Log a model in the record and register it; returns its version.

    Args:
        model: see `Served`.
        home: of the record, as for `Tracker`.
        uri: the same.
        experiment: the name of an experiment, which is made if it is missing.
        name: of the registered model.
        tags: of the new version.
    """
    pyfunc = _mlflow()
    import mlflow

    address = tracking_uri(home, uri)
    with _addressed(address):
        client = mlflow.MlflowClient(address, address)
        known = client.get_experiment_by_name(experiment)
        number = (
            known.experiment_id
            if known
            else client.create_experiment(
                experiment, (home / "mlartifacts").as_uri() if address.startswith("sqlite") else None
            )
        )
        with _without_warnings(), mlflow.start_run(experiment_id=number, run_name=f"export {name}"):
            logged = pyfunc.log_model(name="model", **_words(model), registered_model_name=name)
        version = str(logged.registered_model_version)
        for key, value in tags.items():
            client.set_model_version_tag(name, version, key, value)
    return version


@contextmanager
def _addressed(address: str) -> Iterator[None]:
    """MLflow's functions without a client use this record, in this context and in this process alone.

    MLflow writes an address into the environment as well, and child processes would inherit it.
    """
    import mlflow
    from mlflow.tracking import is_tracking_uri_set

    before = mlflow.get_tracking_uri() if is_tracking_uri_set() else None
    kept = {name: os.environ.get(name) for name in ADDRESSES}
    mlflow.set_tracking_uri(address)
    mlflow.set_registry_uri(address)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(before)  # None: it forgets the address
        mlflow.set_registry_uri(kept["MLFLOW_REGISTRY_URI"] or "")
        for name, value in kept.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def _mlflow() -> Any:
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    with _without_warnings():
        import mlflow.pyfunc

    return mlflow.pyfunc


@contextmanager
def _without_warnings() -> Iterator[None]:
    """MLflow guesses about the example, which is chosen here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _words(model: Served) -> dict[str, Any]:
    return {
        "python_model": str(model.script),
        "artifacts": {name: str(path) for name, path in model.artifacts.items()},
        "code_paths": [str(path) for path in model.code],
        "pip_requirements": list(model.requirements),
        "signature": _signature(model),
        "input_example": _example(model),
    }


def _example(model: Served) -> pd.DataFrame:
    values = {name: [0.0 if kind == "number" else ""] for name, kind in model.metadata.items()}
    return pd.DataFrame({"image": [model.example], **values})


def _signature(model: Served) -> Any:
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema

    columns = [ColSpec(DataType.double, name) for name in model.columns]
    if model.has_label:
        columns.insert(0, ColSpec(DataType.string, "label"))
    given = [ColSpec(DataType.binary, "image")]
    for name, kind in model.metadata.items():
        given.append(ColSpec(DataType.double if kind == "number" else DataType.string, name, required=False))
    return ModelSignature(Schema(given), Schema(columns))
