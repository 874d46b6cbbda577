"""Where a submission comes from: the result it was written from, and the settings behind that.

Owns following a submission's provenance back. Does not own writing it (`submit/provenance.py`).
"""

from __future__ import annotations

import json
from pathlib import Path

from pipeline.core.errors import ConfigError
from pipeline.record.store import Artifact, Store
from pipeline.settings.load import Settings
from pipeline.submit.submission import is_untouched


def made_of(store: Store, data: Artifact, path: Path) -> Artifact | None:
    """What a submission was made from, if it was made here on the same data and is still there."""
    beside = path.with_suffix(".json")
    if not beside.is_file() or not is_untouched(path):
        return None
    try:
        stage, _, key = str(json.loads(beside.read_text(encoding="utf-8"))["artifact"]).partition("/")
    except (ValueError, KeyError, TypeError):
        return None
    found = store.find(stage, key)
    return found if found and found.inputs.get("data") == f"{data.stage}/{data.key}" else None


def asked(settings: Settings, artifact: Artifact | None) -> Settings:
    """The settings behind a submission, or behind a blend's best member; the given ones where unknown."""
    if artifact is None:
        return settings
    blend = (artifact.folder / "blend.json").is_file()
    name = artifact.json("blend.json")["best_member"] if blend else artifact.manifest["experiment"]
    try:
        return settings.member(str(name))
    except ConfigError:
        return settings  # named by a key, or by a file that is gone


def training(store: Store, artifact: Artifact | None) -> str:
    """`train/key` of what is behind a submission, or behind a blend's best member; empty where unknown."""
    if artifact is None:
        return ""
    if "train" in artifact.inputs:
        return artifact.inputs["train"]
    below = artifact.inputs.get("of", "")
    if (artifact.folder / "blend.json").is_file():
        below = artifact.inputs.get(f"member:{artifact.json('blend.json')['best_member']}", below)
    stage, _, key = below.partition("/")
    return training(store, store.find(stage, key)) if key else ""
