"""The user's own code that settings name: the list of these settings, and the digests of that code.

Owns the list of settings that may be `module:function` or name an augmentation policy. Does not own calling
that code (`core/plugin.py`).

An edited function must give new results, so its digest is in the keys of results that use the setting.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from pipeline.core import plugin
from pipeline.settings import augment
from pipeline.settings.schema import Config

PLUGIN_SETTINGS = (
    "competition.metric",
    "loss.name",
    "model.name",
    "resample.features.name",
    "augment.policy",
    "resample.copies.policy",
    "resample.method",
    "preprocess.function",
    "decision.steps",
)
# Settings that name a file of configs/augment/: the digest of its content is in the same keys.
POLICY_SETTINGS = ("augment.policy", "resample.copies.policy")


def digests(config: Config, reads: Iterable[str], covers: Callable[[str, str], bool]) -> str:
    """Digests of the own code and the policies behind the settings that are read; empty for most.

    `covers` says whether a read path and another one overlap.
    """
    read = tuple(reads)
    return "".join(
        f" {path} {_digest(name, path)}"
        for path in PLUGIN_SETTINGS
        if any(covers(one, path) for one in read)
        for name in _names(config, path)
        if plugin.is_plugin(name) or path in POLICY_SETTINGS
    )


def _digest(name: str, path: str) -> str:
    if path in POLICY_SETTINGS and not augment.is_own(name):
        return augment.read(name, path).digest
    return plugin.digest(name, Path.cwd(), path)


def _names(config: Config, path: str) -> list[str]:
    """The names in a setting: one, several, or none."""
    value: Any = config
    for step in path.split("."):
        value = getattr(value, step, None)
    return [value] if isinstance(value, str) else list(value or ())
