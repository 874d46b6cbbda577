"""The one line in the terminal that says at every moment how far a command is.

Owns drawing it, once a second, below whatever else is printed, and what is known of the time that results
take from earlier ones in the store. Does not own what it says (`engine/progress.py`), nor the bars of single
steps, which the terminal shows below it while they run.
"""

from __future__ import annotations

import json
import shutil
import statistics
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tqdm import tqdm
from tqdm.utils import disp_trim

from pipeline.core.terminal import printable
from pipeline.record.store import MANIFEST

EVERY_SECONDS = 1.0
# Of so many of the newest results of a stage the usual time is taken.
NEWEST = 40


class Live:
    """A line that is shown while something runs.

    Args:
        text: what it says now; called from a thread of its own, too.
    """

    def __init__(self, text: Callable[[], str]) -> None:
        self._text = text
        self._lock = threading.Lock()
        self._bar: Any = None
        self._end = threading.Event()

    def show(self) -> None:
        """Draw the line now, and from now on once a second."""
        with self._lock:
            if self._bar is None:
                self._bar = tqdm(total=0, bar_format="{desc}", leave=False)
                self._end = threading.Event()
                threading.Thread(target=self._tick, args=(self._end,), daemon=True).start()
            self._draw()

    def hide(self) -> None:
        """Remove the line until it is shown again."""
        with self._lock:
            self._end.set()
            if self._bar is not None:
                self._bar.close()
                self._bar = None

    def _draw(self) -> None:
        width = shutil.get_terminal_size().columns - 1
        self._bar.set_description_str(disp_trim(printable(self._text()).replace("\n", " "), width))

    def _tick(self, end: threading.Event) -> None:
        while not end.wait(EVERY_SECONDS):
            with self._lock:
                if end.is_set() or sys.is_finalizing():
                    return
                self._draw()


def usual_seconds(stage_folder: Path, experiment: str) -> float | None:
    """The median of the seconds that the newest results of a stage took; None: there is none to go by.

    Args:
        stage_folder: `artifacts/<stage>`.
        experiment: as results are labelled; those of others say nothing about its time.
    """
    manifests = sorted(stage_folder.glob(f"*/{MANIFEST}"), key=_changed, reverse=True)[:NEWEST]
    seconds = []
    for path in manifests:
        try:
            manifest = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):  # freed meanwhile, or damaged: whoever reads it says so
            continue
        if not isinstance(manifest, dict):
            continue
        if manifest.get("experiment") == experiment and isinstance(manifest.get("seconds"), int | float):
            seconds.append(float(manifest["seconds"]))
    return statistics.median(seconds) if seconds else None


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
