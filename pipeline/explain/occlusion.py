"""The panel `occlusion`: how the prediction changes when a region of the image is hidden.

Owns the occlusion map and the panel. Does not own gradients (`attribution.py`, `cam.py`).

A square slides over the image; where hiding it lowers the log-odds of the class, it was evidence for it.
No gradient is needed, so this is the check on all other maps: it shows what the network does.
Source: Zeiler and Fergus 2014, https://arxiv.org/abs/1311.2901; the sliding is captum's.

Legend: B images, C channels, H height, W width, K classes.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from captum.attr import Occlusion
from torchvision.transforms.functional import gaussian_blur

from pipeline.core.samples import Floats
from pipeline.explain import maps, network, sanity, texts
from pipeline.explain.scene import ExplainedImage, Net, Scene
from pipeline.nets.forward import probabilities
from pipeline.pages.gallery import GalleryRow, Panel
from pipeline.pages.report import percent
from pipeline.settings.explain import OcclusionSettings

# Hidden images in one pass.
_BATCH = 64
# If log-odds nowhere fall by more than this, it is not a finding: .50 would become .49.
_LEAST = 0.05


@dataclass(frozen=True)
class Hidden:
    """An occlusion map, and the effect of its most important square.

    Args:
        map_HW: by how much the log-odds fall, averaged over the squares that hide a pixel.
        before, after: probability of the class, without hiding and with the most important square hidden.
        square: that square's left, top, right, bottom, px.
    """

    map_HW: Floats
    before: float
    after: float
    square: tuple[int, int, int, int]


def occlude(
    net: Net, x_CHW: torch.Tensor, classes: Sequence[int], settings: OcclusionSettings
) -> tuple[Hidden, ...]:
    """Hide each region of one normalised image and measure these classes, from the same forward passes."""
    channels, height, width = x_CHW.shape
    side = max(round(settings.window * min(height, width)), 1)
    step = max(round(settings.stride * side), 1)
    instead_CHW = _baseline(x_CHW, side, settings.baseline)

    logits: list[torch.Tensor] = []  # of each pass; every class uses the same ones, in the same order

    def measured(of: int) -> Hidden:
        turn = itertools.count()

        def odds(x_BCHW: torch.Tensor) -> torch.Tensor:
            at = next(turn)
            if at == len(logits):
                logits.append(net.module(x_BCHW))
            return network.log_odds(logits[at], [of] * len(x_BCHW))

        falls = Occlusion(odds).attribute(
            x_CHW[None],
            (channels, side, side),
            (channels, step, step),
            instead_CHW[None],
            perturbations_per_eval=_BATCH,
        )
        map_HW = np.asarray(falls[0, 0].float().cpu().numpy(), dtype=np.float32)
        square = _strongest(map_HW, side)
        left, top, right, bottom = square
        hidden_CHW = x_CHW.clone()
        hidden_CHW[:, top:bottom, left:right] = instead_CHW[:, top:bottom, left:right]
        p_2K = probabilities(net.module(torch.stack([x_CHW, hidden_CHW])))
        return Hidden(map_HW, float(p_2K[0, of]), float(p_2K[1, of]), square)

    with torch.no_grad():
        return tuple(measured(of) for of in classes)


def _baseline(x_CHW: torch.Tensor, side: int, how: str) -> torch.Tensor:
    """The pixels that replace a hidden square: the blurred image, or the mean colour of the image."""
    if how == "mean":
        return x_CHW.mean((1, 2), keepdim=True).expand_as(x_CHW)
    # Odd, and not larger than reflection at the border allows.
    reach = min(2 * side + 1, 2 * min(x_CHW.shape[1:]) - 1)
    blurred: torch.Tensor = gaussian_blur(x_CHW[None], [reach, reach], [side / 2, side / 2])
    return blurred[0]


def _strongest(map_HW: Floats, side: int) -> tuple[int, int, int, int]:
    """The square with the largest mean fall: left, top, right, bottom, px."""
    sums = np.pad(map_HW.astype(np.float64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    of_square = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    top, left = (int(at) for at in np.unravel_index(of_square.argmax(), of_square.shape))
    return left, top, left + side, top + side


def panel(scene: Scene) -> Panel:
    """The occlusion map of every case for the predicted class and its rival, with those of random weights."""
    settings = scene.config.explain.occlusion
    random = sanity.RandomNets(scene) if scene.config.explain.sanity else None
    rows, facts, alike = [], {}, []
    for case in scene.cases:
        own, rival = occlude(scene.net(case), case.x_CHW, (case.predicted, case.rival), settings)
        name, other = scene.space.classes[case.predicted], maps.rival(scene, case)
        pictures = [
            maps.image(case),
            maps.heat(case, own.map_HW, "occlusion-predicted", texts.OCCLUSION_LOWERS.format(name=name),
                      texts.FOR_CLASS.format(name=name), _LEAST),
            maps.heat(case, -own.map_HW, "occlusion-raises", texts.OCCLUSION_RAISES.format(name=name),
                      texts.FOR_CLASS.format(name=name), _LEAST),
            maps.heat(case, rival.map_HW, "occlusion-rival",
                      texts.OCCLUSION_LOWERS.format(name=scene.space.classes[case.rival]),
                      texts.FOR_CLASS.format(name=other), _LEAST),
        ]  # fmt: skip
        if random:
            (shuffled,) = occlude(random.of(case), case.x_CHW, (case.predicted,), settings)
            alike.append(maps.rank_correlation(own.map_HW, shuffled.map_HW))
            pictures.append(maps.heat(case, shuffled.map_HW, "random", "random weights", texts.SANITY_GROUP))
        title, note = maps.title(scene, case), _note(name, own)
        rows.append(GalleryRow(case.key, title, tuple(pictures), note, case.key))
        facts[case.key] = _facts(case, own, rival) | sanity.fact(alike)
    checks = {"occlusion": alike} if random else {}
    window, stride = percent(settings.window), percent(settings.stride)
    instead = texts.OCCLUSION_BASELINES[settings.baseline]
    how = texts.OCCLUSION_HOW.format(window=window, stride=stride, baseline=instead)
    return Panel(
        name="occlusion",
        title=texts.OCCLUSION_TITLE,
        lead=texts.OCCLUSION_LEAD,
        rows=tuple(rows),
        tables=sanity.tables(checks),
        notes=(how,),
        figures=sanity.figures(checks),
        facts=facts,
    )


def _note(name: str, own: Hidden) -> str:
    if maps.flatness(own.map_HW, _LEAST):
        return texts.OCCLUSION_NOTHING.format(name=name)
    return texts.OCCLUSION_DROP.format(name=name, before=percent(own.before), after=percent(own.after))


def _facts(case: ExplainedImage, own: Hidden, rival: Hidden) -> dict[str, Any]:
    by_name = {"occlusion-predicted": own, "occlusion-rival": rival}
    facts: dict[str, Any] = {
        "flat": sorted(name for name, hidden in by_name.items() if maps.flatness(hidden.map_HW, _LEAST)),
        "drop": {
            name: {"before": hidden.before, "after": hidden.after, "square": list(hidden.square)}
            for name, hidden in by_name.items()
        },
    }
    return facts | maps.on_object(case, {name: hidden.map_HW for name, hidden in by_name.items()})
