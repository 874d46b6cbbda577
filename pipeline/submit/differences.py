"""Why a result would be another one today: which keys differ, and what made them.

Owns comparing a recorded chain with what the same request leads to now. Does not own keys
(`engine/graph.py`) or the record (`submit/provenance.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.engine import registry
from pipeline.engine.context import flat
from pipeline.engine.graph import Graph, config_slice
from pipeline.engine.registry import Need
from pipeline.submit import provenance

SHOWN = 4


class Reasons:
    """What differs, gathered over a chain: cause → where it was met.

    Args:
        chain: the recorded one, `stage/key` → facts.
        graph: gives today's keys.
    """

    def __init__(self, chain: Mapping[str, Any], graph: Graph) -> None:
        self._chain = chain
        self._graph = graph
        self._found: dict[str, list[str]] = {}
        self._seen: set[str] = set()

    def look(self, recorded: str, need: Need, role: str) -> None:
        """Compare a recorded result with what is needed now, and then its inputs."""
        now = f"{need.stage}/{self._graph.key(need)}"
        if now == recorded or need.key is not None or recorded in self._seen:
            return
        self._seen.add(recorded)
        known = self._chain.get(recorded)
        if known is None:
            self._add(f"{recorded} is {now} now; why is not known, as it was freed before it was noted", role)
            return
        inputs = self._graph.inputs(need)
        for cause in self._own(known, need, inputs):
            self._add(cause, role)
        for name in sorted(inputs.keys() & known["inputs"].keys()):
            self.look(known["inputs"][name], inputs[name], f"{role}/{name}")

    def lines(self) -> list[str]:
        """One line a cause, with where it was met."""
        return [
            f"{cause} (in {', '.join(sorted(roles)[:SHOWN])}{' …' if len(roles) > SHOWN else ''})"
            for cause, roles in self._found.items()
        ]

    def _own(self, known: Mapping[str, Any], need: Need, inputs: Mapping[str, Need]) -> list[str]:
        """What differs about a result itself, its inputs left aside."""
        stage = registry.get(need.stage)
        causes = []
        if known["version"] != stage.version:
            what = f"the code of stage {stage.name} has changed"
            causes.append(f"{what}: version {known['version']} → {stage.version}")
        config = config_slice(need.settings.config, stage.sections(need.settings))
        digests = provenance.digests({**config, **need.params})
        sections = sorted(
            name
            for name in digests.keys() | known["config"].keys()
            if digests.get(name) != known["config"].get(name)
        )
        if sections:
            causes.append(f"stage {stage.name} reads other settings in {', '.join(sections)}")
        if known["identity"] != self._graph.identity(need):
            if need.stage == "ensemble" and need.settings.config.ensemble.max_ms is not None:
                causes.append("members were timed anew, or a CSV changed, and ensemble.max_ms chooses by it")
                return causes
            causes.append(f"the files or the own code that stage {stage.name} reads have changed")
        odd = sorted(inputs.keys() ^ known["inputs"].keys())
        if odd:
            causes.append(f"stage {stage.name} has other inputs: {', '.join(odd[:SHOWN])}")
        return causes

    def _add(self, cause: str, role: str) -> None:
        self._found.setdefault(cause, []).append(role)


def of_settings(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """`path: before → now` of every setting that differs."""
    old, new = flat(before), flat(now)
    return [
        f"{path}: {old.get(path, 'none')} → {new.get(path, 'none')}"
        for path in sorted(old.keys() | new.keys())
        if old.get(path) != new.get(path)
    ]
