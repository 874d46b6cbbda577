"""A submission: a finished result as a CSV in the host's format, with its provenance and ledger entry.

Owns the files under submissions/ and the contents of the provenance, the JSON beside the CSV. Does not own
formats (`data/host_format.py`), the ledger (`submit/ledger.py`) or rebuilding (`submit/reproduce.py`).

The provenance holds members with keys, weights and settings; every result on the way with its digests; the
code, versions and machines behind them:

    artifact     stage/key of the result that was written; csv_sha256 of the written bytes
    format       the host's format, and the digest of its sample
    blend        weights and scores, of an ensemble
    decision     steps of post-processing with their effects, of a decided result
    members      name → artifact, weight, request (words and texts of the settings files), settings
    request      the same of the submission itself
    chain        stage/key → version, identity (digest of files and own code), config (a digest per section),
                 inputs, made (index into `machines`), seconds
    machines     git, versions and hardware profile; normally one
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.core import metrics
from pipeline.core.errors import ConfigError, DataError
from pipeline.data import host, host_format, load
from pipeline.engine import naming
from pipeline.engine.slices import plain
from pipeline.ensemble.members import MEMBER
from pipeline.ensemble.stages import BLEND
from pipeline.record import files, paths
from pipeline.record.files import sha256_file, sha256_text, write_atomic
from pipeline.record.store import Artifact, Store
from pipeline.settings.load import Settings
from pipeline.settings.submission import HARD
from pipeline.submit import ledger, provenance, texts

# Settings that writing a submission reads.
READS = ("competition.submission",)
SHORT_NAME = 6
LEDGER = "leaderboard.csv"
# How each kind of prediction is named.
NAMES = {"infer": "{experiment}", "refit": "{experiment}-refit", "ensemble": "ensemble", "gbdt": "gbdt"}
# Only a result with decision steps has this file.
DECISION = "decision.json"
# Characters that the provenance keeps of a digest of settings.
DIGITS = 12
Provenance = Mapping[str, Any]


def ledger_of(home: Path) -> Path:
    """The path of the ledger."""
    return home / "submissions" / LEDGER


def name_of(artifact: Artifact) -> str:
    """The submission's name: competition, experiment and the start of the key."""
    who = NAMES[kind_of(artifact)].format(experiment=artifact.manifest["experiment"])
    who = f"{who}-decided" if artifact.has(DECISION) else who
    return f"{artifact.manifest['competition']}-{who.replace('+', '_')}-{artifact.key[:SHORT_NAME]}"


def kind_of(artifact: Artifact) -> str:
    """infer, ensemble or refit: the stage that predicts, whether or not decision steps follow."""
    return str(artifact.manifest["config"]["of"]) if artifact.has(DECISION) else artifact.stage


def path_of(artifact: Artifact, home: Path) -> Path:
    """Where the CSV of a result is, or would be written."""
    return paths.below(home / "submissions", f"{name_of(artifact)}.csv")


def publish(artifact: Artifact, settings: Settings, store: Store) -> Path:
    """Write submissions/<name>.csv and .json and the ledger's entry, unless they are up to date."""
    home = store.home
    path = path_of(artifact, home)
    config = settings.config.competition
    data = input_of(artifact, "data", store)
    space = load.samples(data, "test", home).space
    sample = host.sample(settings, data, home)
    probabilities = load.test(artifact, path.stem)
    form = {**plain(config.submission), "sample_sha256": sha256_file(sample)}
    if not _is_current(path, form):
        host_format.write(path, probabilities, space, config.submission, sample, config.encoding)
        record = provenance_of(artifact, store, path, form)
        write_atomic(path.with_suffix(".json"), files.json_bytes(record))
    host_format.check(path, sample, space, config.submission, config.encoding)
    metric = metrics.get(config.metric).name
    entry = ledger.Entry(
        name=path.stem,
        created=str(artifact.manifest["created"]),
        competition=config.name,
        kind={"ensemble": "blend", "refit": "refit"}.get(kind_of(artifact), "member"),
        experiment=naming.label_of(artifact),
        key=artifact.key,
        metric=metric,
        oof=artifact.metrics.get(f"oof_{metric}"),
        oof_low=artifact.metrics.get("ci_low"),
        oof_high=artifact.metrics.get("ci_high"),
        note=artifact.manifest["tags"].get("score", ""),
    )
    ledger.add(ledger_of(home), entry)
    return path


def original(home: Path, path: Path) -> Path:
    """The submission of which a file is a copy under another name, such as `pets-best.csv`; or the file.

    It is a copy if its provenance names another submission here with the same bytes.
    """
    if not is_untouched(path):
        return path
    name = str(files.read_json(path.with_suffix(".json")).get("name", path.stem))
    if name == path.stem or paths.fault_of_submission(name):
        return path
    other = paths.below(home / "submissions", f"{name}.csv")
    return other if other.is_file() and other.read_bytes() == path.read_bytes() else path


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
        ConfigError: the user's own metric needs probabilities, and the host would get labels.
        DataError: the ledger is damaged, or the host's sample does not fit the settings or the test set.
    """
    ledger.read(ledger_of(home))
    config = settings.config.competition
    if config.hosted and config.submission.format in HARD:
        metric = metrics.get(config.metric)
        if metric.needs == "probabilities":
            raise ConfigError(
                texts.METRIC_OF_LABELS.format(metric=config.metric, format=config.submission.format)
            )
    test = load.samples(data, "test", home)
    sample = host.sample(settings, data, home)
    host_format.fits(sample, test.ids_N, test.space, config.submission, config.encoding)


def input_of(artifact: Artifact, name: str, store: Store) -> Artifact:
    """An input of a finished result, which must still exist."""
    below = store.at(artifact.inputs[name])
    assert below is not None, f"{artifact.stage} {artifact.key} needs {artifact.inputs[name]}, which is gone"
    return below


def scored(artifact: Artifact, store: Store) -> Artifact | None:
    """The result with the out-of-fold predictions: of a refit, its cross-validation; None if that is gone."""
    return store.at(artifact.inputs["twin"]) if "twin" in artifact.inputs else artifact


def provenance_of(artifact: Artifact, store: Store, csv: Path, form: Mapping[str, Any]) -> dict[str, Any]:
    """The provenance of a written CSV; `form`: the host's format, with the digest of its sample."""
    nodes, machines = chain(artifact, store)
    return {
        "version": provenance.VERSION,
        "name": csv.stem,
        "artifact": _name(artifact),
        "csv_sha256": sha256_file(csv),
        "competition": artifact.manifest["competition"],
        "format": dict(form),
        "blend": _blend(artifact) or None,
        "decision": artifact.json(DECISION) if artifact.has(DECISION) else None,
        "members": _members(artifact, store),
        "request": artifact.manifest.get("request"),
        "digests": {name: facts["sha256"] for name, facts in artifact.manifest["files"].items()},
        "machines": machines,
        "chain": nodes,
        "manifest": {k: v for k, v in artifact.manifest.items() if k not in ("files", "request")},
    }


def read(path: Path) -> dict[str, Any]:
    """The provenance beside a CSV, or of a JSON given by name.

    Raises:
        DataError: there is none, it is of an older version, or it has faults, which are named.
    """
    record_path = path.with_suffix(".json")
    if not record_path.is_file():
        raise DataError(
            texts.NO_PROVENANCE.format(file=path.name, json=record_path.name),
            remedy=texts.NO_PROVENANCE_REMEDY,
        )
    return provenance.read(record_path)


def chain(artifact: Artifact, store: Store) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Every result behind this one that still exists, and the machines that made them."""
    nodes: dict[str, Any] = {}
    machines: list[dict[str, Any]] = []
    waiting = [artifact]
    while waiting:
        current = waiting.pop()
        name = _name(current)
        if name in nodes:
            continue
        manifest = current.manifest
        made = {key: manifest.get(key) for key in ("git", "versions", "hardware", "profile")}
        if made not in machines:
            machines.append(made)
        nodes[name] = {
            "version": manifest["version"],
            "identity": manifest.get("identity", ""),
            "config": digests(manifest["config"]),
            "inputs": current.inputs,
            "seconds": current.seconds,
            "made": machines.index(made),
        }
        waiting += [a for address in current.inputs.values() if (a := store.at(address))]
    return dict(sorted(nodes.items())), machines


def digests(config: Mapping[str, Any]) -> dict[str, str]:
    """A short digest of each section of settings that a result read."""
    return {
        name: sha256_text(json.dumps(value, sort_keys=True, ensure_ascii=False))[:DIGITS]
        for name, value in config.items()
    }


def _members(artifact: Artifact, store: Store) -> dict[str, Any]:
    weights = _blend(artifact).get("weights", {})
    of = store.at(artifact.inputs["of"]) if artifact.has(DECISION) else artifact
    members = {}
    for name, address in of.inputs.items() if of else ():
        if name.startswith(MEMBER):
            member = store.at(address)
            manifest: Mapping[str, Any] = member.manifest if member else {}
            members[name.removeprefix(MEMBER)] = {
                "artifact": address,
                "weight": weights.get(name.removeprefix(MEMBER)),
                "request": manifest.get("request"),
                "settings": manifest.get("settings"),
            }
    return members


def _blend(artifact: Artifact) -> dict[str, Any]:
    """The blend.json of a blend, decided or not; empty for anything else."""
    return dict(artifact.json(BLEND)) if artifact.has(BLEND) else {}


def _name(artifact: Artifact) -> str:
    return artifact.address
