"""The provenance of a submission: the JSON beside its CSV.

Owns its contents: members with keys, weights and settings; every result on the way with its digests; the
code, versions and machines behind them. Does not own rebuilding (`submit/reproduce.py`).

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

from pipeline.core.errors import DataError
from pipeline.ensemble.members import MEMBER
from pipeline.record import files
from pipeline.record.digests import sha256_file, sha256_text
from pipeline.record.store import Artifact, Store
from pipeline.submit import texts

VERSION = 2
DIGITS = 12
Provenance = Mapping[str, Any]


def of(artifact: Artifact, store: Store, csv: Path, host_format: Mapping[str, Any]) -> dict[str, Any]:
    """The provenance of a written CSV; `host_format` holds the digest of the host's sample, too."""
    nodes, machines = chain(artifact, store)
    return {
        "version": VERSION,
        "name": csv.stem,
        "artifact": _name(artifact),
        "csv_sha256": sha256_file(csv),
        "competition": artifact.manifest["competition"],
        "format": dict(host_format),
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
    record_path = path.with_suffix(".json")
    if not record_path.is_file():
        raise DataError(
            texts.NO_PROVENANCE.format(file=path.name, json=record_path.name),
            remedy=texts.NO_PROVENANCE_REMEDY,
        )
    try:
        record = files.read_json(record_path)
        version = record.get("version", 1)
    except (ValueError, AttributeError) as error:
        raise DataError(f"{record_path}: cannot be read: {error}", remedy="restore it") from error
    if version != VERSION or record.get("request") is None:
        commit = str(record.get("manifest", {}).get("git", "?")).removesuffix("-dirty")
        raise DataError(
            texts.OLD_PROVENANCE.format(json=record_path.name),
            remedy=texts.OLD_PROVENANCE_REMEDY.format(commit=commit),
        )
    return dict(record)


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
        waiting += [a for address in current.inputs.values() if (a := store.find(*address.split("/")))]
    return dict(sorted(nodes.items())), machines


def digests(config: Mapping[str, Any]) -> dict[str, str]:
    """A short digest of each section of settings that a result read."""
    return {
        name: sha256_text(json.dumps(value, sort_keys=True, ensure_ascii=False))[:DIGITS]
        for name, value in config.items()
    }


def _members(artifact: Artifact, store: Store) -> dict[str, Any]:
    weights = _blend(artifact).get("weights", {})
    of = store.find(*artifact.inputs["of"].split("/")) if artifact.stage == "decide" else artifact
    members = {}
    for name, address in of.inputs.items() if of else ():
        if name.startswith(MEMBER):
            member = store.find(*address.split("/"))
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
    return dict(artifact.json("blend.json")) if (artifact.folder / "blend.json").is_file() else {}


def _name(artifact: Artifact) -> str:
    return f"{artifact.stage}/{artifact.key}"
