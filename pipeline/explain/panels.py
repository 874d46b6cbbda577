"""Which panels `make explain` can show: a name and a function for each.

Owns the registry. Does not own any panel: each is a function `panel(scene) -> Panel` of another file here. It
draws random numbers through `pipeline.core.seeds` with `scene.seed` only, leaves the networks as it found
them (hooks removed, weights restored), and lists in `Panel.warnings` what must not be read as a finding.

The modules of the panels need torch, so `functions` imports them when it is called.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from pipeline.core.errors import ConfigError, nearest
from pipeline.core.language import _
from pipeline.pages.gallery import Panel

if TYPE_CHECKING:
    from pipeline.explain.scene import Scene


# In the order of the page. A new panel is one name here and one line below.
NAMES = (
    *("cam", "gradients", "occlusion", "attention", "activations", "patches", "filters", "synthesis"),
    *("neighbours", "embedding"),
)


def functions() -> dict[str, Callable[[Scene], Panel]]:
    """The function of each panel; imports torch."""
    from pipeline.explain import (
        attention,
        attribution,
        cam,
        embedding,
        neighbours,
        occlusion,
        synthesis,
        units,
    )

    return {
        "cam": cam.panel,
        "gradients": attribution.panel,
        "occlusion": occlusion.panel,
        "attention": attention.panel,
        "activations": units.activations,
        "patches": units.patches,
        "filters": units.filters,
        "synthesis": synthesis.panel,
        "neighbours": neighbours.panel,
        "embedding": embedding.panel,
    }


def check_names(names: Sequence[str]) -> None:
    """Raise ConfigError that lists each unknown name and all known ones."""
    unknown = [name for name in names if name not in NAMES]
    if unknown or not names:
        hints = [f"{name!r}: {nearest(name, NAMES) or 'no such panel'}" for name in unknown]
        what = _("{n} unknown").format(n=len(unknown)) if unknown else _("names no panel")
        raise ConfigError(
            _("WHAT (explain.parts): {what}").format(what=what),
            hints,
            _("choose from: {names}").format(names=", ".join(NAMES)),
        )
