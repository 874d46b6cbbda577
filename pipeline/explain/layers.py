"""Where in a network a map over the image can be read, and which pixels a unit there can see.

Owns finding such places for CNNs, ViT-like and Swin-like networks, choosing the one that Grad-CAM reads, and
measuring receptive fields. Does not own reading the maps (`cam.py`, `activation.py`) or cropping patches.

What the outputs of a family look like is measured instead of looked up: one image passes through, and the
output of a module is a map when its sides are in proportion to the image's. A vision transformer that
classifies by its class token gives the patch tokens of its last block no gradient: there a map would be
blank (measured), so a place counts for Grad-CAM only if the gradient of the logits arrives there.

Receptive fields: a pixel that is not a number makes everything that is computed from it not a number, even
where a weight is zero or a rectifier is off. So the pixels of the diagonal are set to NaN one after the
other, and the rows and columns of each map that become NaN are noted. That follows any wiring, border and
stride without arithmetic for each kind of layer, and also finds where the idea ends: one layer that mixes
all places (attention, normalisation over the map) makes the field the whole image. Squeeze-and-excitation is
left out: its gates, one number per channel from the whole image, would hide the places that a unit looks at.
This runs on the CPU, where convolutions are direct sums; the fast ones of a GPU (Winograd, FFT) compute tiles
together, and NaN would spread within a tile.

Legend: B images, C channels, H height, W width, h and w of a map, T tokens, K classes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import nn

from pipeline.core.errors import ConfigError, ModelError, nearest
from pipeline.core.language import _
from pipeline.core.samples import Ints
from pipeline.explain import texts
from pipeline.explain.scene import Layer, Mask, Net

# Class token, distillation token, and up to four registers besides a class token.
_PREFIXES = (0, 1, 2, 5)
# Number of places kept besides the last one and Grad-CAM's.
_MOST = 8
# The first module of a transformer block: the last place whose patches a class token still attends to.
_INNER = (".norm1", ".ln_1")
# Name, module, shape of its output.
Given = tuple[str, nn.Module, torch.Size]


@contextmanager
def outputs(module: nn.Module, names: list[str]) -> Iterator[dict[str, torch.Tensor]]:
    """Outputs of the named modules in the next forward pass, not changed by later in-place operations."""
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
    """Places over the depth of a network, including the last one before pooling, and Grad-CAM's.

    Args:
        module: (B, K) logits of x_BCHW, in eval mode; its backbone is the child `backbone`.
        x_1CHW: any image, normalised.
        min_grid: number of cells that Grad-CAM's maps should have on their shorter side.

    Raises:
        ModelError: no module has a map of more than one cell as output.
    """
    known = [layer for given in _shapes(module, x_1CHW) if (layer := _layer(given, module, x_1CHW))]
    places = [p for p in known if _depth(p.name) <= 1 or p.form == "tokens"]
    if not places:
        remedy = _("use larger images (images.size), or explain another run: RUN=…")
        raise ModelError(texts.NO_MAP, remedy=remedy)
    felt = _with_gradient(module, x_1CHW, places) or places
    last = felt[-1]
    fine = [place for place in felt if min(place.grid) >= min_grid]
    # The deepest of the places that are fine enough; if none is, the finest of all.
    cam = fine[-1] if fine else max(reversed(felt), key=lambda place: min(place.grid))
    shown = [p for p in places if _depth(p.name) <= 1 and places.index(p) < places.index(last)]
    kept = {*_spread(shown), cam, last}
    return tuple(place for place in places if place in kept), cam


def _shapes(module: nn.Module, x_1CHW: torch.Tensor) -> list[Given]:
    """Name, module and output shape of the backbone's outer modules as they finish, without repeats.

    A module that returns the output of a module inside it is left out: the inner one is named.
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
    if not shape or shape[0] != 1:  # a batch of windows of one image
        return None
    backbone = module.get_submodule("backbone")
    if len(shape) == 4:
        first, last = _fits(shape[2], shape[3], height, width), _fits(shape[1], shape[2], height, width)
        # If both are possible, the family decides: timm's Swin says that its channels are last.
        says_last = str(getattr(backbone, "output_fmt", "")).endswith("NHWC")
        convolves = isinstance(own, nn.Conv2d | nn.BatchNorm2d | nn.modules.pooling._MaxPoolNd)
        if first and not (last and says_last and not convolves):
            return _of_size(name, "maps", shape[1], shape[2], shape[3])
        return _of_size(name, "last", shape[3], shape[1], shape[2]) if last else None
    if len(shape) != 3:
        return None
    known = getattr(backbone, "num_prefix_tokens", None)
    for prefix in _PREFIXES if known is None else (int(known),):
        grid = _grid(shape[1] - prefix, height, width)
        if grid is not None:
            return _of_size(name, "tokens", shape[2], *grid, prefix=prefix)
    return None


def _of_size(name: str, form: str, channels: int, h: int, w: int, prefix: int = 0) -> Layer | None:
    return Layer(name, form, int(channels), (int(h), int(w)), prefix) if h * w > 1 else None


def _fits(h: int, w: int, height: int, width: int) -> bool:
    """Whether a map of h × w cells has the image's shape, up to rounding."""
    return h <= height and w <= width and abs(h * width - w * height) <= max(height, width)


def _grid(n: int, height: int, width: int) -> tuple[int, int] | None:
    """The h × w cells that n tokens form over an image; None: they do not form a grid."""
    if n < 1:
        return None
    h = max(round((n * height / width) ** 0.5), 1)
    return (h, n // h) if h * (n // h) == n and _fits(h, n // h, height, width) else None


def _with_gradient(module: nn.Module, x_1CHW: torch.Tensor, places: list[Layer]) -> list[Layer]:
    """The places that the logits depend on; none if the classifier is still all zero."""
    x_1CHW = x_1CHW.detach().clone().requires_grad_()
    with torch.enable_grad(), outputs(module, [place.name for place in places]) as seen:
        logits_BK = module(x_1CHW)
        ramp_K = torch.linspace(-1, 1, logits_BK.shape[1], device=x_1CHW.device)
        wanted = [seen[place.name] for place in places]
        gradients = torch.autograd.grad((logits_BK * ramp_K).sum(), wanted, allow_unused=True)
    pairs = zip(places, gradients, strict=True)
    return [place for place, grad in pairs if grad is not None and bool(place.maps(grad).abs().max() > 0)]


def _spread(places: list[Layer]) -> list[Layer]:
    if len(places) <= _MOST:
        return places
    return [places[round(at * (len(places) - 1) / (_MOST - 1))] for at in range(_MOST)]


def named(module: nn.Module, x_1CHW: torch.Tensor, names: Sequence[str]) -> tuple[Layer, ...]:
    """The places with these names, in their order; the prefix `backbone.` is optional.

    Raises:
        ConfigError: lists every name that is not a module of the network, or whose output is not a map.
    """
    known = {name.removeprefix("backbone."): part for name, part in module.named_modules() if "." in name}
    short = [name.removeprefix("backbone.") for name in names]
    full = {name: f"backbone.{name}" for name in short if name in known}
    with torch.no_grad(), outputs(module, list(full.values())) as seen:
        module(x_1CHW)
    layers: dict[str, Layer] = {}
    faults = []
    for name in short:
        if name not in known:
            faults.append(f"`{name}`: {nearest(name, known) or 'no such module'}")
            continue
        given = seen.get(full[name])
        # Outputs inside an attention have the shape of maps but are heads.
        inside = name.rpartition(".")[0]
        mixes = "attention" in type(known.get(inside)).__name__.lower()
        place = None
        if given is not None and not mixes:
            place = _layer((full[name], known[name], given.shape), module, x_1CHW)
        if place is None:
            faults.append(texts.NOT_A_MAP.format(name=name))
        else:
            layers[name] = place
    if faults:
        remedy = _("name modules of the network, e.g. {known}").format(known=", ".join(list(known)[:3]))
        raise ConfigError(texts.LAYERS_REFUSED.format(n=len(faults)), faults, remedy)
    return tuple(layers[name] for name in short)


BATCH = 32
# Lines of pixels that are set to NaN one by one; in a larger image several together, which rounds up fields.
LINES = 128
# Names of squeeze-and-excitation and similar modules in timm and torchvision.
GATE = re.compile("SqueezeExcit|SEModule|EcaModule|^SE$")


@dataclass(frozen=True)
class ReceptiveField:
    """Which pixels the units of one layer see.

    Args:
        rows_h2: first row and the one after the last row that a unit of each row of the map sees.
        columns_w2: the same for columns.
        image: height and width of the image, px.
        gated: whether gates of squeeze-and-excitation, which see the whole image, were ignored.
    """

    rows_h2: Ints
    columns_w2: Ints
    image: tuple[int, int]
    gated: bool = False

    @property
    def size_px(self) -> tuple[int, int]:
        """Height and width of the largest field of a unit; at the border fields are smaller."""
        (height, width) = (int((ends[:, 1] - ends[:, 0]).max()) for ends in (self.rows_h2, self.columns_w2))
        return height, width

    @property
    def is_whole(self) -> bool:
        """Whether some unit sees the whole image, so that a crop would show nothing."""
        return self.size_px == self.image

    def window(self, row: int, column: int) -> tuple[slice, slice]:
        """The rows and columns of the image that one unit sees."""
        rows, columns = self.rows_h2[row], self.columns_w2[column]
        return slice(int(rows[0]), int(rows[1])), slice(int(columns[0]), int(columns[1]))


def fields(net: Net, layers: Sequence[Layer], size: tuple[int, int]) -> dict[str, ReceptiveField]:
    """The receptive field of each layer by name, from at most `LINES` images through a copy of the backbone.

    `size` is height and width of the images, px; beyond `LINES` fields are rounded up by a few px.
    """
    backbone = deepcopy(net.backbone).to("cpu")
    gates = [part for part in backbone.modules() if GATE.search(type(part).__name__)]
    for gate in gates:
        gate.register_forward_hook(lambda part, given, output: given[0])
    inner = {layer.name: layer.name.removeprefix("backbone.") for layer in layers}
    step = math.ceil(max(size) / LINES)
    count = [math.ceil(side / step) for side in size]
    rows: dict[str, list[Mask]] = {layer.name: [] for layer in layers}
    columns: dict[str, list[Mask]] = {layer.name: [] for layer in layers}
    with torch.no_grad(), outputs(backbone, list(inner.values())) as seen:
        for start in range(0, max(count), BATCH):
            lines = range(start, min(start + BATCH, max(count)))
            backbone(_poisoned(lines, step, count, (len(net.mean_C11), *size)))
            for layer in layers:
                answers_Bhw = layer.maps(seen[inner[layer.name]]).isnan().any(dim=1)
                rows[layer.name].append(answers_Bhw.any(dim=2).numpy())
                columns[layer.name].append(answers_Bhw.any(dim=1).numpy())
    return {
        name: ReceptiveField(
            _ends(np.concatenate(rows[name])[: count[0]], step, size[0]),
            _ends(np.concatenate(columns[name])[: count[1]], step, size[1]),
            size,
            bool(gates),
        )
        for name in rows
    }


def _poisoned(lines: range, step: int, count: list[int], shape: tuple[int, int, int]) -> torch.Tensor:
    """(B, C, H, W) images that are NaN where line i of the rows and line i of the columns cross."""
    x_BCHW = torch.zeros(len(lines), *shape)
    for at, line in enumerate(lines):
        down, right = (min(line, n - 1) * step for n in count)
        x_BCHW[at, :, down : down + step, right : right + step] = float("nan")
    return x_BCHW


def _ends(answers: Mask, step: int, side_px: int) -> Ints:
    """(places, 2) first pixel and the one after the last that each place sees."""
    assert answers.any(axis=0).all(), "each place of the map must see a pixel"
    first = answers.argmax(axis=0)
    last = len(answers) - answers[::-1].argmax(axis=0)
    ends_p2 = np.minimum(np.stack([first, last], axis=1) * step, side_px)
    return np.asarray(ends_p2, dtype=np.int64)
