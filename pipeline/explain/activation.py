"""Activations of a network: activation maps, the patches with the highest activation of a channel, filters.

Owns computing them. Does not own layers and receptive fields (`layers.py`) or the panels (`units.py`).

Legend: N images of the set, B of a batch, C channels, K patches of a channel, h, w of a map,
H, W of the image, F filters.

Source: Zeiler and Fergus 2014, https://arxiv.org/abs/1311.2901, for patches by activation.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from pipeline.core.samples import Floats, Ints
from pipeline.data.channels import RGB
from pipeline.explain.layers import outputs
from pipeline.explain.scene import Layer, Mask, Net

# A channel whose activations differ by less than this over a whole set is dead.
DEAD = 1e-6


@dataclass(frozen=True)
class Strongest:
    """The images that excite each channel of a layer most, each image once.

    Args:
        value_KC: activations, largest first.
        image_KC: position of the image in the set.
        row_KC, column_KC: where in the map.
        mean_C, std_C: of an image's largest activation, over the whole set.
        n_images: of the set.
    """

    value_KC: Floats
    image_KC: Ints
    row_KC: Ints
    column_KC: Ints
    mean_C: Floats
    std_C: Floats
    n_images: int

    @property
    def dead_C(self) -> Mask:
        """Channels with the same response to every image of the set."""
        return np.asarray(self.std_C <= DEAD * np.maximum(1.0, np.abs(self.mean_C)), dtype=np.bool_)

    def z(self, value_C: Floats) -> Floats:
        """How many standard deviations these responses are above the mean; −∞ for dead channels."""
        z_C = (value_C - self.mean_C) / np.maximum(self.std_C, DEAD)
        return np.where(self.dead_C, -np.inf, z_C)

    def selective(self, number: int) -> Ints:
        """The channels whose best patches stand out most from the rest of the set, by z-score."""
        z_C = self.z(self.value_KC.mean(axis=0))
        order = np.argsort(-z_C, kind="stable")[: min(number, int((~self.dead_C).sum()))]
        return np.asarray(order, dtype=np.int64)


def maps(net: Net, x_BCHW: torch.Tensor, layers: Sequence[Layer]) -> dict[str, Floats]:
    """The (B, C, h, w) output of each layer for some normalised images, by name."""
    with torch.no_grad(), outputs(net.module, [layer.name for layer in layers]) as seen:
        net.module(x_BCHW)
    return {layer.name: layer.maps(seen[layer.name]).float().cpu().numpy() for layer in layers}


def strongest(
    net: Net, batches: Iterable[torch.Tensor], layers: Sequence[Layer], k: int
) -> dict[str, Strongest]:
    """By layer, the K places that excite each channel most over a set of images; fewer if the set is smaller.

    One place per image: otherwise one picture could fill the list with shifts of itself. `batches` are
    normalised x_BCHW on the network's device, at least one.
    """
    best: dict[str, _Best] = {layer.name: _Best(k) for layer in layers}
    with torch.no_grad(), outputs(net.module, [layer.name for layer in layers]) as seen:
        for x_BCHW in batches:
            net.module(x_BCHW)
            for layer in layers:
                best[layer.name].add(layer.maps(seen[layer.name]).float().cpu())
    return {name: running.result() for name, running in best.items()}


class _Best:
    """A running list of the K best images of each channel, and the moments of all of them."""

    def __init__(self, k: int) -> None:
        self.k, self.count = k, 0
        self.value_KC = self.at_KC = self.image_KC = torch.zeros(0)
        self.sum_C = self.square_C = torch.zeros(0, dtype=torch.float64)
        self.width = 1

    def add(self, maps_BChw: torch.Tensor) -> None:
        batch, channels, _, self.width = maps_BChw.shape
        value_BC, at_BC = maps_BChw.flatten(2).max(dim=2)
        image_BC = torch.arange(self.count, self.count + batch)[:, None].expand(batch, channels)
        if not self.count:
            empty = torch.zeros(0, channels)
            self.value_KC, self.at_KC, self.image_KC = empty, empty.long(), empty.long()
            self.sum_C = self.square_C = torch.zeros(channels, dtype=torch.float64)
        value = torch.cat([self.value_KC, value_BC])
        # A stable sort: of equal activations the earlier image stays, however the batches are cut.
        order = value.argsort(dim=0, descending=True, stable=True)[: self.k]
        self.value_KC = value.gather(0, order)
        self.at_KC = torch.cat([self.at_KC, at_BC]).gather(0, order)
        self.image_KC = torch.cat([self.image_KC, image_BC]).gather(0, order)
        self.sum_C = self.sum_C + value_BC.double().sum(dim=0)
        self.square_C = self.square_C + value_BC.double().square().sum(dim=0)
        self.count += batch

    def result(self) -> Strongest:
        assert self.count, "the search needs at least one image"
        mean_C = self.sum_C / self.count
        std_C = (self.square_C / self.count - mean_C.square()).clamp(min=0).sqrt()
        return Strongest(
            self.value_KC.numpy().astype(np.float32),
            self.image_KC.numpy().astype(np.int64),
            (self.at_KC // self.width).numpy().astype(np.int64),
            (self.at_KC % self.width).numpy().astype(np.int64),
            mean_C.numpy().astype(np.float32),
            std_C.numpy().astype(np.float32),
            self.count,
        )


@dataclass(frozen=True)
class Filters:
    """The filters of the first convolution as pictures.

    Args:
        name: of the layer.
        x_FHW3: in [0, 1]; grey is zero, each filter is scaled by its own largest weight. Of other channels
            than red, green and blue as a page shows them, see `data/channels.py`.
        largest_F: that weight, per unit of pixel brightness.
    """

    name: str
    x_FHW3: Floats
    largest_F: Floats


def first_filters(net: Net) -> Filters | None:
    """The first convolution on the channels of the image, or None if the network has none.

    The weights are those on pixels in [0, 1]: the network's normalisation is folded in, or channels of
    different spread would have false colours.
    """
    channels = len(net.mean_C11)
    for name, module in net.backbone.named_modules():
        if isinstance(module, nn.Conv2d) and module.in_channels == channels and module.groups == 1:
            weight_FCHW = (module.weight.detach() / net.std_C11[None]).float().cpu()
            largest_F = weight_FCHW.abs().amax(dim=(1, 2, 3))
            scaled = 0.5 + 0.5 * weight_FCHW / largest_F.clamp(min=1e-12)[:, None, None, None]
            return Filters(name, _seen(scaled.permute(0, 2, 3, 1).numpy()), largest_F.numpy())
    return None


def _seen(x_FHWC: Floats) -> Floats:
    """(F, H, W, 3) the first three channels as red, green and blue; of fewer their mean as grey."""
    if x_FHWC.shape[3] >= RGB:
        return x_FHWC[..., :RGB]
    return np.repeat(x_FHWC.mean(axis=3, keepdims=True), RGB, axis=3)


def likeness(filters: Filters, threshold: float = 0.95) -> int:
    """How many filters are near copies, up to sign, of an earlier one: unused capacity."""
    flat_FD = filters.x_FHW3.reshape(len(filters.x_FHW3), -1) - 0.5
    unit_FD = flat_FD / np.maximum(np.linalg.norm(flat_FD, axis=1, keepdims=True), 1e-12)
    match_FF = np.abs(unit_FD @ unit_FD.T)
    return int((np.tril(match_FF, -1) >= threshold).any(axis=1).sum())
