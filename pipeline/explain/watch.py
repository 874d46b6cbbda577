"""Watching layers while a network runs, and all layers that can be watched.

Owns reading a layer's output as (B, C, h, w) whatever the family (a convolution gives that, a vision
transformer tokens, a Swin transformer puts its channels last), finding every such layer, and choosing by
name. Does not own which layers a scene shows by itself (`Net.layers`) or what is done with maps.

Legend: B images, C channels, h and w of a map, T tokens.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import torch
from torch import nn

from pipeline.core.errors import ConfigError, nearest
from pipeline.explain.parts import Layer, Net

FIRST_CHANNELS = (nn.Conv2d, nn.BatchNorm2d, nn.MaxPool2d, nn.AvgPool2d)


@contextmanager
def watch(module: nn.Module, layers: Sequence[Layer]) -> Iterator[dict[str, torch.Tensor]]:
    """By name what layers give, as (B, C, h, w), filled anew by each forward pass.

    Copies: an activation that works in place would change what the layer before it gave.
    """
    seen: dict[str, torch.Tensor] = {}

    def keep(layer: Layer, module: nn.Module, given: object, output: torch.Tensor) -> None:
        seen[layer.name] = layer.maps(output).clone()

    handles = [
        module.get_submodule(layer.name).register_forward_hook(partial(keep, layer)) for layer in layers
    ]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def catalogue(net: Net, size: tuple[int, int]) -> tuple[Layer, ...]:
    """Every layer whose output lies over the image in more than one place, in the order of finishing.

    Args:
        net: whose backbone says where channels stand (timm's `output_fmt`) and how many tokens are no place
            in the image (`num_prefix_tokens`).
        size: height and width of the images, px.
    """
    found: dict[str, Layer] = {}

    def note(name: str, module: nn.Module, given: object, output: object) -> None:
        layer = _layer(name, module, output, net.backbone)
        if layer is not None:
            found[name] = layer

    # Inside an attention stand heads and windows, which have the shape of maps and are none.
    mixers = [f"{n}." for n, m in net.module.named_modules() if "attention" in type(m).__name__.lower()]
    watched = [(n, m) for n, m in net.module.named_modules() if "." in n and not n.startswith(tuple(mixers))]
    handles = [m.register_forward_hook(partial(note, n)) for n, m in watched]
    try:
        with torch.no_grad():
            net.module(torch.zeros(1, 3, *size, device=net.mean_C11.device))
    finally:
        for handle in handles:
            handle.remove()
    return tuple(found.values())


def _layer(name: str, module: nn.Module, output: object, backbone: nn.Module) -> Layer | None:
    if not isinstance(output, torch.Tensor) or output.ndim not in (3, 4):
        return None
    sides = tuple(int(side) for side in output.shape[1:])
    if output.ndim == 4:
        # torchvision's Swin does not say that its channels come last.
        last = str(getattr(backbone, "output_fmt", "")).endswith("NHWC")
        last = last or type(backbone).__name__ == "SwinTransformer"
        if last and not isinstance(module, FIRST_CHANNELS):
            layer = Layer(name, "last", sides[2], (sides[0], sides[1]))
        else:
            layer = Layer(name, "maps", sides[0], (sides[1], sides[2]))
    else:
        prefix = int(getattr(backbone, "num_prefix_tokens", 0))
        grid = getattr(getattr(backbone, "patch_embed", None), "grid_size", None)
        if grid is None or grid[0] * grid[1] != sides[0] - prefix:
            side = math.isqrt(max(sides[0] - prefix, 0))
            grid = (side, side)
        if grid[0] * grid[1] != sides[0] - prefix:
            return None
        layer = Layer(name, "tokens", sides[1], (int(grid[0]), int(grid[1])), prefix)
    return layer if layer.grid[0] * layer.grid[1] > 1 else None


def choose(net: Net, size: tuple[int, int], wanted: Sequence[str]) -> tuple[Layer, ...]:
    """The layers of these names, with or without `backbone.` before them; no names: the net's own choice.

    Args:
        net: whose layers.
        size: height and width of the images, px.
        wanted: names; an error tells the nearest ones.

    Raises:
        ConfigError: a name is no layer whose output lies over the image; all such names are told.
    """
    if not wanted:
        return net.layers
    every = {layer.name: layer for layer in catalogue(net, size)}
    named = [name if name in every else f"backbone.{name}" for name in wanted]
    unknown = [name for name, full in zip(wanted, named, strict=True) if full not in every]
    if unknown:
        known = [name.removeprefix("backbone.") for name in every]
        told = [f"`{name}`: {nearest(name, known) or 'nothing like it is known'}" for name in unknown]
        some = ", ".join(layer.name.removeprefix("backbone.") for layer in net.layers)
        raise ConfigError(
            f"explain.layers: {len(unknown)} unknown, or without an output over the image",
            told,
            f"for example: {some}; there are {len(known)}",
        )
    return tuple(every[name] for name in named)


def short(layer: Layer) -> str:
    """Its name within the backbone."""
    return layer.name.removeprefix("backbone.")
