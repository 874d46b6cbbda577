"""Results that the error report shows if they are there, and goes without otherwise.

Owns finding them. They are parameters of the report and no inputs, so that asking for the report builds
none of them; their keys enter its key, so that it is made anew when one has come. Does not own reading
them (`oof_sections.py`).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.record.store import Artifact
from pipeline.stages import origin
from pipeline.stages.registry import Need

if TYPE_CHECKING:
    from pipeline.stages.context import Context


def found(ctx: Context, data: Artifact, new: Path) -> dict[str, str]:
    """Parameter -> `stage/key` of what there is; nothing for what there isn't.

    Args:
        ctx: the command.
        data: what the report is on.
        new: the submission under study.
    """
    return {**_features(ctx, data), **_robustness(ctx, data, new), **_explain(ctx, data)}


def _robustness(ctx: Context, data: Artifact, new: Path) -> dict[str, str]:
    """The curves of the submission's best member, at the strengths that the settings ask for."""
    artifact = origin.made_of(ctx.store, data, new) if new.is_file() else None
    if artifact is None:
        return {}
    key = ctx.graph.key(Need("robustness", origin.asked(ctx.settings, artifact)))
    return {"robustness": f"robustness/{key}"} if ctx.store.find("robustness", key) else {}


def _explain(ctx: Context, data: Artifact) -> dict[str, str]:
    """The newest explanations of the worst errors; those of images that somebody named say less."""
    made = [a for a in ctx.store.all() if a.stage == "explain" and _is_of(a, data)]
    return _first("explain", [a for a in made if _config(a, "ids") in ("", "[]")] or made)


def _is_of(artifact: Artifact, data: Artifact) -> bool:
    return artifact.inputs.get("data") == f"{data.stage}/{data.key}"


def _features(ctx: Context, data: Artifact) -> dict[str, str]:
    """The newest features of the training images as they are."""
    return _first(
        "features",
        [
            artifact
            for artifact in ctx.store.all()
            if artifact.stage == "features"
            and _is_of(artifact, data)
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
