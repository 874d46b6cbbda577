"""Which panels `make explain` can show: a name and a function for each.

Owns the registry. Does not own any panel: each is a function `panel(scene) -> Panel` of another file here. It
draws random numbers through `pipeline.core.seeds` with `scene.seed` only, leaves the networks as it found
them (hooks removed, weights restored), and lists in `Panel.warnings` what must not be read as a finding.

A panel's module needs torch, so each function below imports it when it is called.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from pipeline.core.errors import ConfigError, nearest
from pipeline.pages.gallery import Panel

if TYPE_CHECKING:
    from pipeline.explain.scene import Scene


def _cam(scene: Scene) -> Panel:
    from pipeline.explain import cam

    return cam.panel(scene)


def _gradients(scene: Scene) -> Panel:
    from pipeline.explain import attribution

    return attribution.panel(scene)


def _occlusion(scene: Scene) -> Panel:
    from pipeline.explain import occlusion

    return occlusion.panel(scene)


def _attention(scene: Scene) -> Panel:
    from pipeline.explain import attention

    return attention.panel(scene)


def _activations(scene: Scene) -> Panel:
    from pipeline.explain import units

    return units.activations(scene)


def _patches(scene: Scene) -> Panel:
    from pipeline.explain import units

    return units.patches(scene)


def _filters(scene: Scene) -> Panel:
    from pipeline.explain import units

    return units.filters(scene)


def _synthesis(scene: Scene) -> Panel:
    from pipeline.explain import synthesis

    return synthesis.panel(scene)


def _neighbours(scene: Scene) -> Panel:
    from pipeline.explain import neighbours

    return neighbours.panel(scene)


def _embedding(scene: Scene) -> Panel:
    from pipeline.explain import embedding

    return embedding.panel(scene)


# In the order of the page. A new panel is one function above and one line here.
PANELS: dict[str, Callable[[Scene], Panel]] = {
    "cam": _cam,
    "gradients": _gradients,
    "occlusion": _occlusion,
    "attention": _attention,
    "activations": _activations,
    "patches": _patches,
    "filters": _filters,
    "synthesis": _synthesis,
    "neighbours": _neighbours,
    "embedding": _embedding,
}


def check_names(names: Sequence[str]) -> None:
    """Reject unknown panel names.

    Raises:
        ConfigError: lists each unknown name and all known ones.
    """
    unknown = [name for name in names if name not in PANELS]
    if unknown or not names:
        hints = [f"{name!r}: {nearest(name, PANELS) or 'no such panel'}" for name in unknown]
        raise ConfigError(
            f"WHAT (explain.parts): {len(unknown)} unknown"
            if unknown
            else "WHAT (explain.parts): names no panel",
            hints,
            f"choose from: {', '.join(PANELS)}",
        )
