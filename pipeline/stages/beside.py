"""Results that the error report shows if they are there, and goes without otherwise.

Owns finding them. They are parameters of the report and no inputs, so that asking for the report builds
none of them; their keys enter its key, so that it is made anew when one has come. Does not own reading
them (`oof_sections.py`).
"""

from __future__ import annotations

from pipeline.record.store import Artifact, Store


def found(store: Store, data: Artifact) -> dict[str, str]:
    """Parameter -> `stage/key` of what there is on these data; nothing for what there isn't."""
    return _first(
        "features",
        [
            artifact
            for artifact in store.all()
            if artifact.stage == "features"
            and artifact.inputs.get("data") == f"{data.stage}/{data.key}"
            and _config(artifact, "split") == "train"
            and _config(artifact, "view") == "identity"
        ],
    )


def _config(artifact: Artifact, name: str) -> str:
    return str(artifact.manifest.get("config", {}).get(name, ""))


def _first(name: str, artifacts: list[Artifact]) -> dict[str, str]:
    """The newest of them as a parameter."""
    if not artifacts:
        return {}
    newest = max(artifacts, key=lambda a: (str(a.manifest["created"]), a.key))
    return {name: f"{newest.stage}/{newest.key}"}
