"""`runtime.executor=here`: everything runs in this process, one need after another.

Owns the order. Does not own what is built (`engine/session.py`).
"""

from __future__ import annotations

from collections.abc import Callable

from pipeline.engine.need import Inputs, Need
from pipeline.record.store import Artifact
from pipeline.record.tracking import Run


class Here:
    """Builds needs in this process.

    Args:
        get: builds one need, as a child of a run.
    """

    def __init__(self, get: Callable[[Need, Run], Artifact]) -> None:
        self._get = get

    def run(self, needs: Inputs, run: Run) -> dict[str, Artifact]:
        """The finished results of these needs, by their names.

        Args:
            needs: by their names in the caller's stage.
            run: their parent run.
        """
        return {name: self._get(need, run) for name, need in needs.items()}
