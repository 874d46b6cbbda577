"""The machine profile: timings of this machine, measured once and kept.

Owns the file `machine.json` under runtime.home: its format, and writing it atomically.
Does not own measuring (`train/step_timing.py`) or what uses it (`train/precision.py`,
`train/studies/walltime.py`).

Users may read the file, and delete it if the machine changed in a way that its facts do not show. It is a
convenience and never a result: if it is damaged, a warning is logged and the timings are measured again.
"""

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline.core.language import _
from pipeline.record.claims import Lock
from pipeline.record.files import json_bytes, read_json, write_atomic

FILE = "machine.json"
VERSION = 1
ABOUT = "What was timed on this machine, in seconds. Delete the file, or an entry, to measure again."

Facts = Mapping[str, Any]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Profile:
    """The measurements of one home."""

    home: Path

    @property
    def path(self) -> Path:
        """Path of the profile."""
        return self.home / FILE

    def measured(self, of: Facts, measure: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
        """The measurement for these facts, measured and kept now if it is missing.

        Two processes at the same time get the same measurement: one measures, the other waits.
        """
        with Lock(self.home / "artifacts", FILE):
            known = self.find(of)
            if known is None:
                known = dict(measure())
                self.keep(of, known)
            return known

    def _entries(self) -> list[dict[str, Any]]:
        try:
            content = read_json(self.path)
            entries = content["entries"] if content["version"] == VERSION else []
            return [e for e in entries if isinstance(e["of"], dict) and isinstance(e["measured"], dict)]
        except FileNotFoundError:
            return []
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.warning(
                _("{path} cannot be read ({error}): its timings are measured again").format(
                    path=self.path, error=error
                )
            )
            return []

    def find(self, of: Facts) -> dict[str, Any] | None:
        """The measurement for exactly these facts, or None."""
        wanted = json.loads(json.dumps(of))
        return next((dict(e["measured"]) for e in self._entries() if e["of"] == wanted), None)

    def keep(self, of: Facts, measured: Mapping[str, Any]) -> None:
        """Add a measurement, replacing an older one of the same facts.

        Raises:
            OSError: the disk is full or read-only.
        """
        facts = json.loads(json.dumps(of))
        others = [e for e in self._entries() if e["of"] != facts]
        entry = {
            "of": facts,
            "on": datetime.now(UTC).isoformat(timespec="seconds"),
            "measured": dict(measured),
        }
        content = {"about": ABOUT, "version": VERSION, "entries": [*others, entry]}
        write_atomic(self.path, json_bytes(content))
