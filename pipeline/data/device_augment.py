"""Augmentation on the device that trains: parameters drawn for an epoch at once, then passes over each batch.

Owns the engine for a GPU: which policies it can do, drawing an epoch's table and applying it to a batch; and
the choice of an engine. Does not own the other engine (`data/augment.py`), reading a policy
(`data/device_policy.py`), the draws (`data/device_draws.py`) or the arithmetic (`data/device_passes.py`).

The policies and the kind of the device choose the engine, and nothing else: not memory, batch or load. A CPU
always augments with albumentations. Both engines follow the same distribution; their pixels differ, because
their draws do, and because this one interpolates once where albumentations does so after every change, and
does not round in between.

Passes over memory, counted as kernels, and as float32 batches that they write: `none` 2 and 2, `light` 24 and
13, `medium` 74 and 31, `heavy` 135 and 82. Of these 2 make floats of bytes, and one may restore the layout;
all neighbouring changes of geometry cost one sampling, and about 18 kernels over coordinates for the first
border; hue and saturation 51, ColorJitter 258, noise 41, a blur 6, brightness and contrast 3. The number
does not depend on the batch.

Legend: N samples, R rows of an epoch, B of a batch, H height, W width, C channels, P columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from pipeline.core.samples import Strings, TrainRows
from pipeline.core.seeds import Words, name_words, row_seeds, seed
from pipeline.data import texts
from pipeline.data.augment import Augmenter, augmenter_of, copier_of
from pipeline.data.device_draws import Column, Layout, Size, Table
from pipeline.data.device_passes import PASSES, warp
from pipeline.data.device_policy import RGB, Reader
from pipeline.settings.schema import Config

Engine = Literal["albumentations", "device"]
Setting = Literal["auto", "albumentations"]


def supported(augmenter: Augmenter, channels: int = RGB) -> tuple[str, ...]:
    """Why the device cannot run this policy: each transform that it cannot do; empty: it can run it."""
    if augmenter.is_own:
        return (texts.DEVICE_OWN.format(policy=augmenter.policy),)
    reader = Reader(augmenter.stored, channels, augmenter.size)
    reader.tree(augmenter.transforms)
    return tuple(dict.fromkeys(reader.reasons))


def engine_of(
    augmenters: Sequence[Augmenter], device: str, setting: Setting = "auto", channels: int = RGB
) -> Engine:
    """Which engine augments on this device; `notes` says why a GPU leaves it to the CPU.

    Args:
        augmenters: of all policies of a run: its own, and those of offline copies. One engine runs them all.
        device: "cpu" or "cuda", with or without a number.
        setting: `augment.engine`.
        channels: of an image.
    """
    if device.partition(":")[0] == "cpu" or setting == "albumentations" or _differ(augmenters):
        return "albumentations"
    return "albumentations" if any(supported(one, channels) for one in augmenters) else "device"


def _differ(augmenters: Sequence[Augmenter]) -> bool:
    """Whether several policies may reduce larger images at different places."""
    return len(augmenters) > 1 and any(one.stored != one.size for one in augmenters)


def notes(config: Config, device: str) -> list[str]:
    """Why a GPU leaves the policies of a run to the CPU, once for each policy; empty if it does not."""
    if device.partition(":")[0] == "cpu" or config.augment.engine == "albumentations":
        return []
    made = [one for one in (augmenter_of(config), copier_of(config)) if one is not None]
    if _differ(made):
        return [texts.DEVICE_COPIES_OF_DETAIL]
    found = {one.policy: supported(one, config.images.channels) for one in made}
    return [
        texts.DEVICE_CANNOT.format(policy=name, reasons="; ".join(reasons))
        for name, reasons in found.items()
        if reasons
    ]


@dataclass(frozen=True)
class _Warp:
    """Neighbouring changes of geometry, done with one sampling."""

    stages: tuple[Column, ...]


class DeviceAugmenter:
    """Policies for images of one size, applied where the batch lies.

    Args:
        augmenters: the policy of the run first, then those of offline copies in the order of
            `TrainRows.policies` after the first. All must be `supported`.
        channels: of an image; changes of colour need 3.
    """

    def __init__(self, augmenters: Sequence[Augmenter], channels: int = RGB) -> None:
        self.size: Size = augmenters[0].size
        self.stored: Size = augmenters[0].stored
        self.channels = channels
        assert not _differ(augmenters), "several policies of images that are larger than the network's"
        reader = Reader(self.stored, channels, self.size)
        trees = [reader.tree(augmenter.transforms) for augmenter in augmenters]
        assert not reader.reasons, f"policies that the device cannot run: {reader.reasons}"
        assert all(augmenter.size == self.size for augmenter in augmenters), "images of two sizes"
        self._layout = Layout(trees)
        self._steps = _grouped(self._layout.columns)

    @property
    def width(self) -> int:
        """Columns of the table, P; 0 if no policy draws anything."""
        return self._layout.width

    @property
    def changes(self) -> bool:
        """Whether there is any pass over the pixels."""
        return bool(self._steps)

    def draw(self, rows: TrainRows, ids_N: Strings, root_seed: int, fold: int, epoch: int) -> Table:
        """(R, P) float32 parameters of an epoch's rows, in their order, drawn on the CPU.

        Each row's depend on its own seed alone: ("augment", fold, epoch, sample, copy), or, for an offline
        copy, ("offline copy", sample, copy). Take rows of the table for a batch, in any order.

        Args:
            rows: `index_R` are positions in `ids_N`.
            ids_N: of the fold's training samples.
            root_seed: the experiment's seed.
            fold: part of every seed.
            epoch: from 0.
        """
        return self._layout.draw(
            _seeds(rows, name_words(ids_N), root_seed, fold, epoch), np.asarray(rows.policy_R, np.int64)
        )

    @torch.no_grad()
    def __call__(
        self,
        x_BHWC: torch.Tensor,
        params_BP: torch.Tensor,
        layout: str = "channels_last",
        dtype: torch.dtype = torch.float32,
    ) -> torch.Tensor:
        """x_BCHW of `dtype`, from 0 to 1, as `nets/forward.py: pixels` gives it without augmentation.

        The shapes are the input's, or `size` where images are larger; nothing is read by the host, and no
        random generator is used, so a CUDA graph can capture it. A network normalises its input itself.

        Args:
            x_BHWC: uint8, on the device; it is not changed.
            params_BP: rows of `draw`, float32, on the same device.
            layout: of the result in memory, channels_last or contiguous.
            dtype: of the result; all is computed in float32. bfloat16 has 8 bits, as the images have.
        """
        shape = (*self.stored, self.channels)
        assert x_BHWC.shape[1:] == shape, f"expected images of {shape}, got {tuple(x_BHWC.shape[1:])}"
        assert params_BP.shape == (len(x_BHWC), self.width), f"parameters of shape {tuple(params_BP.shape)}"
        with torch.autocast(x_BHWC.device.type, enabled=False):
            x_BCHW = x_BHWC.permute(0, 3, 1, 2).float() / 255
            for step in self._steps:
                if isinstance(step, _Warp):
                    x_BCHW = warp(x_BCHW, [(c.act, params_BP[:, c.start : c.end]) for c in step.stages])
                else:
                    x_BCHW = PASSES[step.act.name](x_BCHW, params_BP[:, step.start : step.end], step.act)
            memory = torch.channels_last if layout == "channels_last" else torch.contiguous_format
            return x_BCHW.to(dtype).contiguous(memory_format=memory)


def _seeds(rows: TrainRows, word_N: Words, root_seed: int, fold: int, epoch: int) -> Words:
    """(R,) the seed of each row."""
    word_R, copy_R = word_N[rows.index_R], np.asarray(rows.copy_R)
    epoch_R = np.full(len(word_R), epoch)
    shown_R = row_seeds(seed(root_seed, "augment", fold), epoch_R, word_R, copy_R)
    offline_R = row_seeds(seed(root_seed, "offline copy"), word_R, copy_R)
    return np.where(np.asarray(rows.policy_R) == 0, shown_R, offline_R)


def _grouped(columns: Sequence[Column]) -> tuple[Column | _Warp, ...]:
    """The passes in order, neighbouring changes of geometry as one."""
    steps: list[Column | _Warp] = []
    for column in columns:
        last = steps[-1] if steps else None
        if column.act.name != "warp":
            steps.append(column)
        elif isinstance(last, _Warp) and last.stages[-1].act.out is None:
            steps[-1] = _Warp((*last.stages, column))
        else:
            steps.append(_Warp((column,)))
    return tuple(steps)
