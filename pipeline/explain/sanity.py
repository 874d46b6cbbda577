"""A sanity check of a method: the similarity of its maps on trained and on random weights.

Owns networks of random weights and the judgement of a method. Does not own the methods.

Source: Adebayo et al. 2018, Sanity Checks for Saliency Maps, https://arxiv.org/abs/1810.03292: the output of
an edge detector looks like an explanation and depends on no weight. Here every weight tensor is shuffled,
which keeps the size of its values, and batch normalisation measures its statistics again; otherwise a deep
network would give a constant output.

Legend: B images, C channels, H height, W width.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import nn

from pipeline.core.seeds import seed
from pipeline.explain import network, texts
from pipeline.explain.scene import ExplainedImage, Net, Scene
from pipeline.pages.gallery import GalleryTable

# Images on which batch normalisation measures its statistics.
_IMAGES = 64
# Mean rank correlations that we call alike and unlike; a convention, not a test.
_ALIKE, _UNLIKE = 0.5, 0.2
_Alike = Sequence[float | None]


def randomised(net: Net, x_BCHW: torch.Tensor, root: int) -> Net:
    """The same network with every weight tensor shuffled by this seed; the original is not changed.

    Batch normalisation measures its statistics on x_BCHW, more than one image.
    """
    assert isinstance(net.module, network.Explained), "the network must be made by `network.of_module`"
    module = copy.deepcopy(net.module)
    generator = torch.Generator().manual_seed(seed(root, "random weights", net.fold))
    with torch.no_grad():
        for weight in module.parameters():
            order = torch.randperm(weight.numel(), generator=generator).to(weight.device)
            weight.copy_(weight.flatten()[order].view_as(weight))
        _measure_anew(module, x_BCHW)
    weights_KC = network.averaged(module, net.layers[-1], x_BCHW[:1])
    return replace(
        net, module=module, backbone=module.backbone, features=module.features, weights_KC=weights_KC
    )


def _measure_anew(module: nn.Module, x_BCHW: torch.Tensor) -> None:
    norms = [m for m in module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean over all batches
        norm.train()
    if norms:
        module(x_BCHW)
    module.eval()


class RandomNets:
    """Networks of random weights, one per fold, made when they are first needed."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._made: dict[int, Net] = {}

    def of(self, case: ExplainedImage) -> Net:
        """The network that explains a case, with its weights shuffled."""
        return self._scene.in_company(self._of_fold(case.fold), case.split, [case.id])

    def _of_fold(self, fold: int) -> Net:
        if fold not in self._made:
            batch = next(iter(self._scene.unseen(fold)))
            net = self._scene.nets[fold]
            self._made[fold] = randomised(net, batch.x_BCHW[:_IMAGES], self._scene.seed)
        return self._made[fold]


def _mean(alike: _Alike) -> float | None:
    known = [value for value in alike if value is not None]
    return float(np.mean(known)) if known else None


def verdict(alike: _Alike) -> str:
    """What rank correlations between a method's maps on trained and on random weights mean."""
    mean = _mean(alike)
    if mean is None:
        return texts.SANITY_UNKNOWN
    if mean >= _ALIKE:
        return texts.SANITY_ALIKE
    if mean <= _UNLIKE:
        return texts.SANITY_UNLIKE
    return texts.SANITY_BETWEEN


def tables(checks: Mapping[str, _Alike]) -> tuple[GalleryTable, ...]:
    """The check as a table with one row per method; no table where nothing was checked."""
    if not checks or not any(checks.values()):
        return ()
    rows = []
    for method, alike in checks.items():
        known = [value for value in alike if value is not None]
        ends = (min(known), max(known)) if known else (None, None)
        rows.append((method, len(known), _mean(alike), *ends, verdict(alike)))
    note = texts.SANITY_NOTE.format(alike=_ALIKE, unlike=_UNLIKE)
    return (GalleryTable(texts.SANITY_TITLE, texts.SANITY_COLUMNS, tuple(rows), note),)


def figures(checks: Mapping[str, _Alike]) -> dict[str, float]:
    """Mean rank correlation of each method where it is known."""
    names = {method: method.lower().replace(" ", "_").replace("-", "_") for method in checks}
    means = {f"random_{names[method]}": _mean(alike) for method, alike in checks.items()}
    return {name: mean for name, mean in means.items() if mean is not None}


def fact(alike: _Alike) -> dict[str, float | None]:
    """The last image's correlation, for explain.json; empty where none was checked."""
    return {"random_correlation": alike[-1]} if alike else {}
