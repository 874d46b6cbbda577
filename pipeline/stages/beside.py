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

if TYPE_CHECKING:
    from pipeline.stages.context import Context


def found(ctx: Context, data: Artifact, new: Path) -> dict[str, str]:
    """Parameter -> `stage/key` of what there is; nothing for what there isn't.

    Args:
        ctx: the command.
        data: what the report is on.
        new: the submission under study.
    """
    made = list(ctx.store.all())
    artifact = origin.made_of(ctx.store, data, new) if new.is_file() else None
    training = origin.training(ctx.store, artifact)
    return {
        **({} if (known := features(made, data.key)) is None else {"features": known}),
        **_newest("robustness", [a for a in made if _shows(a, "robustness", training)]),
        **_newest(
            "explain", _explained([a for a in made if a.stage == "explain" and _is_of(a, data.key)], training)
        ),
    }


def features(made: list[Artifact], data: str) -> str | None:
    """`stage/key` of the newest features of the training images as they are; None: there are none.

    Args:
        made: results to look among.
        data: key of the data.
    """
    plain = [a for a in made if a.stage == "features" and _is_of(a, data) and _is_plain(a)]
    return _newest("features", plain).get("features")


def _shows(artifact: Artifact, stage: str, training: str) -> bool:
    """Whether it is of the very models behind the submission, or behind its best member."""
    return artifact.stage == stage and training != "" and artifact.inputs.get("train") == training


def _explained(made: list[Artifact], training: str) -> list[Artifact]:
    """Explanations of the worst errors before those of named images, of these models before others."""
    worst = [a for a in made if _config(a, "ids") in ("", "[]")] or made
    return [a for a in worst if training and training in a.inputs.values()] or worst


def _is_plain(features: Artifact) -> bool:
    """Features of the training images as they are."""
    return _config(features, "split") == "train" and _config(features, "view") == "identity"


def _is_of(artifact: Artifact, data: str) -> bool:
    return artifact.inputs.get("data") == f"data/{data}"


def _config(artifact: Artifact, name: str) -> str:
    return str(artifact.manifest.get("config", {}).get(name, ""))


def _newest(name: str, artifacts: list[Artifact]) -> dict[str, str]:
    """The newest of them as a parameter."""
    if not artifacts:
        return {}
    newest = max(artifacts, key=lambda a: (str(a.manifest["created"]), a.key))
    return {name: f"{newest.stage}/{newest.key}"}
