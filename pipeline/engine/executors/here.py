"""The executor of this process: everything runs here, one need after another.

One file per executor; another one is a class with the same `run`. Does not own building a need
(`engine/build.py`).
"""

from __future__ import annotations

from collections.abc import Callable

from pipeline.engine.need import Inputs, Need
from pipeline.record.store import Artifact
from pipeline.record.tracking import Run


class Here:
    """Builds needs in this process: `get` builds one need, as a child of a run."""

    def __init__(self, get: Callable[[Need, Run], Artifact]) -> None:
        self._get = get

    def run(self, needs: Inputs, run: Run) -> dict[str, Artifact]:
        """The finished results of these needs, by their names; `run` is their parent."""
        return {name: self._get(need, run) for name, need in needs.items()}
