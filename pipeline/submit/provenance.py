"""What a submission was made of: the JSON beside its CSV.

Owns its contents: members with keys, weights and settings; every result on the way with its digests; the
code, versions and machines behind them. Does not own rebuilding it (`submit/reproduce.py`).

    artifact     stage/key of the result that was written down; csv_sha256 of the written bytes
    format       what the host asked for, and the sample's digest
    blend        weights and scores, of an ensemble
    decision     steps of post-processing with their effects, of a decided result
    members      name → artifact, weight, request (words and texts of the settings files), settings
    request      the same of the submission itself
    chain        stage/key → version, identity (digest of files and own code), config (a digest a section),
                 inputs, made (which of `machines`), seconds
    machines     git, versions and hardware profile; normally one
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.core.errors import DataError
from pipeline.record import files
from pipeline.record.digests import sha256_file, sha256_text
from pipeline.record.store import Artifact, Store

VERSION = 2
DIGITS = 12
MEMBER = "member:"
Provenance = Mapping[str, Any]


def of(artifact: Artifact, store: Store, csv: Path, asked: Mapping[str, Any]) -> dict[str, Any]:
    """The provenance of a written CSV.

    Args:
        artifact: the infer, refit, ensemble or decide result.
        store: where it lies.
        csv: what was written of it.
        asked: the host's format, and the sample's digest.
    """
    nodes, machines = chain(artifact, store)
    return {
        "version": VERSION,
        "name": csv.stem,
        "artifact": _name(artifact),
        "csv_sha256": sha256_file(csv),
        "competition": artifact.manifest["competition"],
        "format": dict(asked),
        "blend": _blend(artifact) or None,
        "decision": artifact.json("decision.json") if artifact.stage == "decide" else None,
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
        DataError: there is none, it cannot be read, or it is of an older version.
    """
    beside = path.with_suffix(".json")
    if not beside.is_file():
        raise DataError(
            f"{path.name}: no provenance beside it ({beside.name}), so nothing says what it was made of",
            remedy="only submissions that were made here have one",
        )
    try:
        found = files.read_json(beside)
        version = found.get("version", 1)
    except (ValueError, AttributeError) as error:
        raise DataError(f"{beside}: cannot be read: {error}", remedy="restore it") from error
    if version != VERSION or found.get("request") is None:
        raise DataError(
            f"{beside.name}: written by another version of this code, without what rebuilding needs",
            remedy=f"check out the code that wrote it: git checkout {_commit(found)}",
        )
    return dict(found)


def chain(artifact: Artifact, store: Store) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Every result that led here, as far as they are still there, and the machines that made them."""
    nodes: dict[str, Any] = {}
    machines: list[dict[str, Any]] = []
    waiting = [artifact]
    while waiting:
        found = waiting.pop()
        name = _name(found)
        if name in nodes:
            continue
        manifest = found.manifest
        made = {key: manifest.get(key) for key in ("git", "versions", "hardware", "profile")}
        if made not in machines:
            machines.append(made)
        nodes[name] = {
            "version": manifest["version"],
            "identity": manifest.get("identity", ""),
            "config": digests(manifest["config"]),
            "inputs": found.inputs,
            "seconds": found.seconds,
            "made": machines.index(made),
        }
        inputs = (whole.partition("/") for whole in found.inputs.values())
        waiting += [a for stage, _, key in inputs if (a := store.find(stage, key))]
    return dict(sorted(nodes.items())), machines


def digests(config: Mapping[str, Any]) -> dict[str, str]:
    """A short digest of each section of settings that a result read."""
    return {
        name: sha256_text(json.dumps(value, sort_keys=True, ensure_ascii=False))[:DIGITS]
        for name, value in config.items()
    }


def _members(artifact: Artifact, store: Store) -> dict[str, Any]:
    weights = _blend(artifact).get("weights", {})
    found = {}
    for name, whole in _blended(artifact, store).items():
        if name.startswith(MEMBER):
            stage, _, key = whole.partition("/")
            member = store.find(stage, key)
            manifest: Mapping[str, Any] = member.manifest if member else {}
            found[name.removeprefix(MEMBER)] = {
                "artifact": whole,
                "weight": weights.get(name.removeprefix(MEMBER)),
                "request": manifest.get("request"),
                "settings": manifest.get("settings"),
            }
    return found


def _blend(artifact: Artifact) -> dict[str, Any]:
    """What a blend, decided or not, says of itself; empty for anything else."""
    return dict(artifact.json("blend.json")) if (artifact.folder / "blend.json").is_file() else {}


def _blended(artifact: Artifact, store: Store) -> Mapping[str, str]:
    """The inputs among which members are: of a decision, those of what was decided."""
    if artifact.stage != "decide":
        return artifact.inputs
    stage, _, key = artifact.inputs["of"].partition("/")
    found = store.find(stage, key)
    return found.inputs if found else {}


def _name(artifact: Artifact) -> str:
    return f"{artifact.stage}/{artifact.key}"


def _commit(found: Mapping[str, Any]) -> str:
    return str(found.get("manifest", {}).get("git", "?")).removesuffix("-dirty")
