"""Where in a network a map over the image can be read: for CNNs, ViT-like and Swin-like networks.

Owns finding such places, and which of them Grad-CAM reads. Does not own reading them (`cam.py`,
`activation` parts).

What a family's outputs look like is measured and not looked up: one image goes through, and each
module's output is a map when its sides are in proportion to the image's. A vision transformer that
classifies by its class token gives the patch tokens of its last block no gradient: there a map would be
blank (measured), so a place counts for Grad-CAM only if the logits' gradient arrives there.

Legend: B images, C channels, H height, W width, h and w of a map, T tokens, K classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import torch
from torch import nn

from pipeline.core.errors import ConfigError, ModelError, nearest
from pipeline.explain.parts import Layer

# Class token, distillation token, and up to four registers beside a class token.
_PREFIXES = (0, 1, 2, 5)
# Places kept beside the last one and Grad-CAM's own.
_MOST = 8
# The first of a transformer block's parts: the last place whose patches a class token still looks at.
_INNER = (".norm1", ".ln_1")
# Name, module, shape of its output.
Given = tuple[str, nn.Module, torch.Size]


@contextmanager
def outputs(module: nn.Module, names: list[str]) -> Iterator[dict[str, torch.Tensor]]:
    """What the named modules give in the next forward pass, untouched by later in-place operations."""
    seen: dict[str, torch.Tensor] = {}

    def keep(name: str, own: nn.Module, given: object, output: object) -> object:
        if not isinstance(output, torch.Tensor):
            return output
        seen[name] = output
        return output.clone()

    handles = [module.get_submodule(n).register_forward_hook(partial(keep, n)) for n in names]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def find(module: nn.Module, x_1CHW: torch.Tensor, min_grid: int) -> tuple[tuple[Layer, ...], Layer]:
    """Places over the depth of a network, the last one before pooling among them, and Grad-CAM's.

    Args:
        module: (B, K) logits of x_BCHW, in eval mode; its backbone is the child `backbone`.
        x_1CHW: any image, normalised.
        min_grid: cells that Grad-CAM's maps should have on their shorter side.

    Raises:
        ModelError: no module gives a map of more than one cell.
    """
    known = [layer for given in _shapes(module, x_1CHW) if (layer := _layer(given, module, x_1CHW))]
    places = [p for p in known if _depth(p.name) <= 1 or p.form == "tokens"]
    if not places:
        raise ModelError(
            "explain: no layer of this network gives a map of more than one cell over the image",
            remedy="use larger images (images.size), or ask for parts that need none: WHAT=occlusion",
        )
    felt = _with_gradient(module, x_1CHW, places) or places
    last = felt[-1]
    fine = [place for place in felt if min(place.grid) >= min_grid]
    # Of equally fine places the deepest; where none is fine enough, the finest of all.
    cam = fine[-1] if fine else max(reversed(felt), key=lambda place: min(place.grid))
    shown = [p for p in places if _depth(p.name) <= 1 and places.index(p) < places.index(last)]
    kept = {*_spread(shown), cam, last}
    return tuple(place for place in places if place in kept), cam


def _shapes(module: nn.Module, x_1CHW: torch.Tensor) -> list[Given]:
    """Name, module and output shape of the backbone's outer parts as they finish, repeats left out.

    A part that hands on what a part inside it gave is left out: the inner one is named.
    """
    seen: list[Given] = []
    given: list[torch.Tensor] = []

    def note(name: str, own: nn.Module, inputs: object, output: object) -> None:
        if isinstance(output, torch.Tensor) and not any(output is other for other in given):
            given.append(output)
            seen.append((name, own, output.shape))

    handles = [
        part.register_forward_hook(partial(note, name))
        for name, part in module.named_modules()
        if name.startswith("backbone.") and (_depth(name) <= 1 or name.endswith(_INNER))
    ]
    try:
        with torch.no_grad():
            module(x_1CHW)
    finally:
        for handle in handles:
            handle.remove()
    return seen


def _depth(name: str) -> int:
    """Dots below the backbone: 0 for `backbone.conv_stem`, 1 for `backbone.blocks.3`."""
    return name.count(".") - 1


def _layer(given: Given, module: nn.Module, x_1CHW: torch.Tensor) -> Layer | None:
    name, own, shape = given
    height, width = x_1CHW.shape[2:]
    if not shape or shape[0] != 1:  # windows of one image stand side by side
        return None
    backbone = module.get_submodule("backbone")
    if len(shape) == 4:
        first, last = _fits(shape[2], shape[3], height, width), _fits(shape[1], shape[2], height, width)
        # Only where both could be meant, the family is asked: timm's Swin says that its channels are last.
        told_last = str(getattr(backbone, "output_fmt", "")).endswith("NHWC")
        convolves = isinstance(own, nn.Conv2d | nn.BatchNorm2d | nn.modules.pooling._MaxPoolNd)
        if first and not (last and told_last and not convolves):
            return _of_size(name, "maps", shape[1], shape[2], shape[3])
        return _of_size(name, "last", shape[3], shape[1], shape[2]) if last else None
    if len(shape) != 3:
        return None
    told = getattr(backbone, "num_prefix_tokens", None)
    for prefix in _PREFIXES if told is None else (int(told),):
        grid = _grid(shape[1] - prefix, height, width)
        if grid is not None:
            return _of_size(name, "tokens", shape[2], *grid, prefix=prefix)
    return None


def _of_size(name: str, form: str, channels: int, h: int, w: int, prefix: int = 0) -> Layer | None:
    return Layer(name, form, int(channels), (int(h), int(w)), prefix) if h * w > 1 else None


def _fits(h: int, w: int, height: int, width: int) -> bool:
    """Whether a map of h × w cells has the image's shape, but for rounding."""
    return h <= height and w <= width and abs(h * width - w * height) <= max(height, width)


def _grid(n: int, height: int, width: int) -> tuple[int, int] | None:
    """The h × w cells that n tokens make over an image; None: they make none."""
    if n < 1:
        return None
    h = max(round((n * height / width) ** 0.5), 1)
    return (h, n // h) if h * (n // h) == n and _fits(h, n // h, height, width) else None


def _with_gradient(module: nn.Module, x_1CHW: torch.Tensor, places: list[Layer]) -> list[Layer]:
    """Those of the places that the logits depend on; none where the classifier is still all zero."""
    x_1CHW = x_1CHW.detach().clone().requires_grad_()
    with torch.enable_grad(), outputs(module, [place.name for place in places]) as seen:
        logits_BK = module(x_1CHW)
        ramp_K = torch.linspace(-1, 1, logits_BK.shape[1], device=x_1CHW.device)
        wanted = [seen[place.name] for place in places]
        found = torch.autograd.grad((logits_BK * ramp_K).sum(), wanted, allow_unused=True)
    pairs = zip(places, found, strict=True)
    return [place for place, grad in pairs if grad is not None and bool(place.maps(grad).abs().max() > 0)]


def _spread(places: list[Layer]) -> list[Layer]:
    if len(places) <= _MOST:
        return places
    return [places[round(at * (len(places) - 1) / (_MOST - 1))] for at in range(_MOST)]


def named(module: nn.Module, x_1CHW: torch.Tensor, names: Sequence[str]) -> tuple[Layer, ...]:
    """The places of these names, in their order; `backbone.` before a name may be left out.

    Args:
        module: as for `find`.
        x_1CHW: any image, normalised.
        names: of any depth.

    Raises:
        ConfigError: a name is no part of the network, or what it gives does not lie over the image; all
            such names are told.
    """
    known = {name.removeprefix("backbone."): part for name, part in module.named_modules() if "." in name}
    short = [name.removeprefix("backbone.") for name in names]
    full = {name: f"backbone.{name}" for name in short if name in known}
    with torch.no_grad(), outputs(module, list(full.values())) as seen:
        module(x_1CHW)
    found: dict[str, Layer] = {}
    told = []
    for name in short:
        if name not in known:
            told.append(f"`{name}`: {nearest(name, known) or 'no such part'}")
            continue
        given = seen.get(full[name])
        # Inside an attention stand heads, which have the shape of maps and are none.
        inside = name.rpartition(".")[0]
        mixes = "attention" in type(known.get(inside)).__name__.lower()
        place = (
            None if given is None or mixes else _layer((full[name], known[name], given.shape), module, x_1CHW)
        )
        if place is None:
            told.append(f"`{name}`: what it gives does not lie over the image")
        else:
            found[name] = place
    if told:
        raise ConfigError(
            f"explain: {len(told)} of the layers asked for cannot be shown",
            told,
            f"name parts of the network, e.g. {', '.join(list(known)[:3])}",
        )
    return tuple(found[name] for name in short)
