"""Writing a finished result as a CSV in the host's format, with its provenance and an entry in the ledger.

Owns the files under submissions/. Does not own formats (`data/host_format.py`), the contents of the
provenance (`submit/provenance.py`) or the ledger (`submit/ledger.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.core import metrics
from pipeline.data import host, host_format, load
from pipeline.engine.slices import plain
from pipeline.record import files
from pipeline.record.digests import sha256_file, write_atomic
from pipeline.record.store import Artifact, Store
from pipeline.settings.load import Settings
from pipeline.submit import ledger, provenance

# Settings that writing a submission reads.
READS = ("competition.submission",)
SHORT_NAME = 6
LEDGER = "leaderboard.csv"


def ledger_of(home: Path) -> Path:
    """The path of the ledger."""
    return home / "submissions" / LEDGER


def name_of(artifact: Artifact) -> str:
    """The submission's name: competition, experiment and the start of the key."""
    of = kind_of(artifact)
    who = "ensemble" if of == "ensemble" else str(artifact.manifest["experiment"])
    who = f"{who}-refit" if of == "refit" else who
    who = f"{who}-decided" if artifact.stage == "decide" else who
    return f"{artifact.manifest['competition']}-{who.replace('+', '_')}-{artifact.key[:SHORT_NAME]}"


def kind_of(artifact: Artifact) -> str:
    """infer, ensemble or refit: the stage that predicts, whether or not decision steps follow."""
    return str(artifact.manifest["config"]["of"]) if artifact.stage == "decide" else artifact.stage


def publish(artifact: Artifact, settings: Settings, store: Store) -> Path:
    """Write submissions/<name>.csv and .json and the ledger's entry, unless they are up to date."""
    home = store.home
    path = home / "submissions" / f"{name_of(artifact)}.csv"
    config = settings.config.competition
    data = input_of(artifact, "data", store)
    space = load.samples(data, "test", home).space
    sample = host.sample(settings, data, home)
    probabilities = load.test(artifact, path.stem)
    form = {**plain(config.submission), "sample_sha256": sha256_file(sample)}
    if not _is_current(path, form):
        host_format.write(path, probabilities, space, config.submission, sample)
        record = provenance.of(artifact, store, path, form)
        write_atomic(path.with_suffix(".json"), files.json_bytes(record))
    host_format.check(path, sample, space, config.submission)
    metric = metrics.get(config.metric).name
    entry = ledger.Entry(
        name=path.stem,
        created=str(artifact.manifest["created"]),
        competition=config.name,
        kind={"ensemble": "blend", "refit": "refit"}.get(kind_of(artifact), "member"),
        experiment=str(artifact.manifest["experiment"]),
        key=artifact.key,
        metric=metric,
        oof=artifact.metrics.get(f"oof_{metric}"),
        oof_low=artifact.metrics.get("ci_low"),
        oof_high=artifact.metrics.get("ci_high"),
        note=artifact.manifest["tags"].get("score", ""),
    )
    ledger.add(ledger_of(home), entry)
    return path


def is_untouched(path: Path) -> bool:
    """Whether a CSV has the digest that its provenance records."""
    try:
        return bool(files.read_json(path.with_suffix(".json"))["csv_sha256"] == sha256_file(path))
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _is_current(path: Path, form: Mapping[str, Any]) -> bool:
    """Whether a CSV and its provenance are what would be written now."""
    if not is_untouched(path):
        return False
    known = files.read_json(path.with_suffix(".json"))
    return (known.get("version"), known.get("format")) == (provenance.VERSION, form)


def refuse(settings: Settings, data: Artifact, home: Path) -> None:
    """Raise what would keep a submission from being written, before hours of training.

    Raises:
        DataError: the ledger is damaged, or the host's sample does not fit the settings or the test set.
    """
    ledger.read(ledger_of(home))
    test = load.samples(data, "test", home)
    sample = host.sample(settings, data, home)
    host_format.fits(sample, test.ids_N, test.space, settings.config.competition.submission)


def input_of(artifact: Artifact, name: str, store: Store) -> Artifact:
    """An input of a finished result, which must still exist."""
    below = store.find(*artifact.inputs[name].split("/"))
    assert below is not None, f"{artifact.stage} {artifact.key} needs {artifact.inputs[name]}, which is gone"
    return below


def scored(artifact: Artifact, store: Store) -> Artifact | None:
    """The result with the out-of-fold predictions: of a refit, its cross-validation; None if that is gone."""
    return store.find(*artifact.inputs["twin"].split("/")) if artifact.stage == "refit" else artifact
