"""A request for a result: the stage, its settings and its parameters. Every room and the engine share it.

Owns the values that travel between commands, stages and executors. Does not own what a stage is
(`engine/stage.py`) nor the key of a request (`engine/graph.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pipeline.settings.load import Settings

Params = Mapping[str, str | int]
# A parameter that distinguishes two needs of one chain and enters the key only through their inputs.
PART = "part"


@dataclass(frozen=True)
class Need:
    """A request for a stage's result.

    Args:
        stage: the name of the stage.
        settings: the settings that the result is built with.
        params: what distinguishes it from other needs of the stage, e.g. {"fold": 3}.
        key: request the artifact with this key instead; it must exist.
    """

    stage: str
    settings: Settings
    params: Params = field(default_factory=dict)
    key: str | None = None


Inputs = dict[str, Need]
