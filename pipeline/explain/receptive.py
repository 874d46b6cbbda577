"""The receptive field: which pixels a unit of a layer can see at all.

Owns measuring it on the network itself. Does not own what is cropped by it (`activation.py`).

A pixel that is not a number makes everything that is computed from it not a number, even where a weight
is zero or a rectifier closed. So the pixels of the diagonal are poisoned one after the other, and the
rows and columns of each map that answer are noted. That follows any wiring, border and stride with no
arithmetic for each kind of layer, and tells by itself where the idea ends: one layer that mixes all places
(attention, normalisation over the map) makes the field the whole image. Squeeze-and-excitation is left out:
its gates, one number a channel from the whole image, would hide the places that a unit looks at.

It runs on the CPU, where convolutions are direct sums; a GPU's fast ones (Winograd, FFT) compute tiles
together, and the poison would leak within a tile.

Legend: B images, C channels, H height, W width of the image, h, w of a map.
"""

import math
import re
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import torch

from pipeline.core.samples import Ints
from pipeline.explain import layers as places
from pipeline.explain.parts import Layer, Mask, Net

BATCH = 32
# Lines of pixels that are poisoned apart; of a larger image several together, which rounds fields outwards.
LINES = 128
# Names that timm and torchvision give to squeeze-and-excitation and its kin.
GATE = re.compile("SqueezeExcit|SEModule|EcaModule|^SE$")


@dataclass(frozen=True)
class Field:
    """Which pixels the units of one layer see.

    Args:
        rows_h2: first row and the one after the last row that a unit of each row of the map sees.
        columns_w2: the same for columns.
        image: height and width of the image, px.
        gated: whether gates of squeeze-and-excitation, which see the whole image, were left out.
    """

    rows_h2: Ints
    columns_w2: Ints
    image: tuple[int, int]
    gated: bool = False

    @property
    def size_px(self) -> tuple[int, int]:
        """Height and width of the largest field of a unit; at the border they are cut off."""
        (height, width) = (int((ends[:, 1] - ends[:, 0]).max()) for ends in (self.rows_h2, self.columns_w2))
        return height, width

    @property
    def is_whole(self) -> bool:
        """Whether some unit sees all of the image, so that a crop would say nothing."""
        return self.size_px == self.image

    def window(self, row: int, column: int) -> tuple[slice, slice]:
        """The rows and columns of the image that one unit sees."""
        rows, columns = self.rows_h2[row], self.columns_w2[column]
        return slice(int(rows[0]), int(rows[1])), slice(int(columns[0]), int(columns[1]))


def fields(net: Net, layers: Sequence[Layer], size: tuple[int, int]) -> dict[str, Field]:
    """By name the receptive field of layers, by at most `LINES` images through the backbone.

    Args:
        net: is not changed.
        layers: whose outputs lie over the image.
        size: height and width of the images, px; beyond `LINES` ends are rounded outwards by a few px.
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
    with torch.no_grad(), places.outputs(backbone, list(inner.values())) as seen:
        for start in range(0, max(count), BATCH):
            lines = range(start, min(start + BATCH, max(count)))
            backbone(_poisoned(lines, step, count, size))
            for layer in layers:
                answers_Bhw = layer.maps(seen[inner[layer.name]]).isnan().any(dim=1)
                rows[layer.name].append(answers_Bhw.any(dim=2).numpy())
                columns[layer.name].append(answers_Bhw.any(dim=1).numpy())
    return {
        name: Field(
            _ends(np.concatenate(rows[name])[: count[0]], step, size[0]),
            _ends(np.concatenate(columns[name])[: count[1]], step, size[1]),
            size,
            bool(gates),
        )
        for name in rows
    }


def _poisoned(lines: range, step: int, count: list[int], size: tuple[int, int]) -> torch.Tensor:
    """(B, 3, H, W) images that are not a number where a line of pixels meets its twin."""
    x_BCHW = torch.zeros(len(lines), 3, *size)
    for at, line in enumerate(lines):
        down, right = (min(line, n - 1) * step for n in count)
        x_BCHW[at, :, down : down + step, right : right + step] = float("nan")
    return x_BCHW


def _ends(answers: Mask, step: int, side_px: int) -> Ints:
    """(places, 2) first pixel and the one after the last that each place sees."""
    assert answers.any(axis=0).all(), "a place of the map sees no pixel"
    first = answers.argmax(axis=0)
    last = len(answers) - answers[::-1].argmax(axis=0)
    ends_p2 = np.minimum(np.stack([first, last], axis=1) * step, side_px)
    return np.asarray(ends_p2, dtype=np.int64)
