"""Mixing two training images into one, with a target in between: MixUp and CutMix.

Owns which images are mixed, and the share of each pixel. Does not own loading partners
(`data/loader.py`) or the loss (`train/losses.py`).

Every draw comes from the seed, the step and the micro-batch's number. One mask gives the partner's share of
every pixel; its mean is the partner's share of target and sample weight, so that a box that is clipped at the
border counts with the area that was pasted.

Sources: Zhang et al., https://arxiv.org/abs/1710.09412; Yun et al., https://arxiv.org/abs/1905.04899.

Legend: B samples, C channels, H height, W width, R rows of an epoch.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from pipeline.core.samples import Ints, Samples, TrainRows
from pipeline.core.seeds import rng
from pipeline.data.device_images import moved
from pipeline.data.loader import Batch
from pipeline.data.strata import class_of
from pipeline.nets.forward import pixels
from pipeline.settings.train import MixSettings


def partner_rows(
    settings: MixSettings, samples: Samples, rows: TrainRows, root_seed: int, fold: int, epoch: int
) -> TrainRows | None:
    """(R,) the partner of each row of an epoch; None where partners come from the same batch.

    `minority` draws from all training samples by inverse class frequency: every class is equally likely.
    Copies are numbered downwards from -1: no row of the epoch has the pixels of a partner.
    """
    if settings.method == "none" or settings.partner == "any":
        return None
    generator = rng(root_seed, "partner", fold, epoch)
    labels_N = class_of(samples)
    if settings.partner == "minority":
        counts_C = np.bincount(labels_N)
        weight_N = 1.0 / counts_C[labels_N]
        index_R = generator.choice(len(samples), size=len(rows), p=weight_N / weight_N.sum())
    else:
        index_R = _of_same_class(labels_N, labels_N[rows.index_R], generator)
    drawn = TrainRows.of(index_R.astype(np.int64))
    return replace(drawn, copy_R=-1 - drawn.copy_R)


def _of_same_class(labels_N: Ints, labels_R: Ints, generator: np.random.Generator) -> Ints:
    index_R = np.empty(len(labels_R), np.int64)
    for label in np.unique(labels_R):
        mine_R = labels_R == label
        index_R[mine_R] = generator.choice(np.flatnonzero(labels_N == label), size=int(mine_R.sum()))
    return index_R


@dataclass(frozen=True)
class MixedBatch:
    """How a batch is mixed with its partners.

    Args:
        other: the partners, in the order of the batch.
        mask_B1HW: the partner's share of each pixel, 0 to 1; H and W are 1 if it is the same for all pixels.
    """

    other: Batch
    mask_B1HW: torch.Tensor

    @property
    def share_B(self) -> torch.Tensor:
        """(B,) the partner's share of the image, 0 to 1, float32."""
        return self.mask_B1HW.double().mean((1, 2, 3)).float()

    def of(self, own: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        """Targets (B, C) or weights (B,), mixed by the area; a mix with what is unknown (NaN) is unknown."""
        share = self.share_B.view(-1, *[1] * (own.dim() - 1))
        # A row that is not mixed keeps its target, whatever is unknown of its partner.
        return torch.where(share == 0, own, own * (1 - share) + other * share)

    def pixels(self, own_BCHW: torch.Tensor, other_BCHW: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) the mixed pixels."""
        mask = self.mask_B1HW.to(own_BCHW.device)
        return own_BCHW * (1 - mask) + other_BCHW * mask

    def part(self, start: int, end: int) -> "MixedBatch":
        """Only the rows from `start` to `end`."""
        return MixedBatch(self.other.part(start, end), self.mask_B1HW[start:end])


@dataclass(frozen=True)
class Mixer:
    """Draws how batches are mixed.

    Args:
        settings: method, strength and probability.
        root_seed, fold: part of every draw.
    """

    settings: MixSettings
    root_seed: int
    fold: int

    def __call__(self, batch: Batch, step: int, number: int) -> MixedBatch | None:
        """How this batch is mixed; None for method none.

        Args:
            batch: with partners, or without if they are drawn from the batch itself.
            step: of the optimizer, from 0.
            number: of the micro-batch within the step.
        """
        settings, size = self.settings, len(batch.y_B)
        if settings.method == "none":
            return None
        generator = rng(self.root_seed, "mix", self.fold, step, number)
        device = batch.x_BHWC.device.type
        other = batch.partner or batch.at(moved(torch.from_numpy(generator.permutation(size)), device))
        mask: npt.NDArray[Any]
        share_B = generator.beta(settings.alpha, settings.alpha, size)
        height, width = batch.x_BHWC.shape[1:3]
        if settings.method == "mixup":
            mask = share_B[:, None, None]
        elif settings.method == "cutmix":
            mask = _boxes(share_B, height, width, generator)
        else:
            mask = _halves(size, height, width, generator)
        mask = mask * (generator.random(size) < settings.prob)[:, None, None]
        return MixedBatch(other, moved(torch.from_numpy(mask.astype(np.float32))[:, None], device))


def pictures(
    mixer: Mixer, own_BHWC: npt.NDArray[np.uint8], other_BHWC: npt.NDArray[np.uint8] | None, step: int
) -> npt.NDArray[np.uint8]:
    """(B, H, W, C) the mixed images of one batch, RGB, 0 to 255, for people.

    `other_BHWC` are the partners; None: they are drawn from the batch.
    """
    at_B = torch.arange(len(own_BHWC))
    partner = None if other_BHWC is None else Batch(torch.from_numpy(other_BHWC), at_B, at_B)
    blend = mixer(Batch(torch.from_numpy(own_BHWC), at_B, at_B, partner), step, 0)
    assert blend is not None, "nothing is mixed"
    own_BCHW, other_BCHW = (pixels(x, "cpu") for x in (torch.from_numpy(own_BHWC), blend.other.x_BHWC))
    mixed_BHWC = (blend.pixels(own_BCHW, other_BCHW) * 255).round().byte().permute(0, 2, 3, 1)
    return np.ascontiguousarray(mixed_BHWC.numpy())


def _boxes(
    share_B: npt.NDArray[np.float64], height: int, width: int, generator: np.random.Generator
) -> npt.NDArray[np.bool_]:
    """(B, H, W) boxes of these shares about uniform centres, cut off at the borders."""
    y_B, x_B = (generator.integers(0, side, len(share_B)) for side in (height, width))
    side_B = np.sqrt(share_B)
    return _within(y_B, height * side_B, height)[:, :, None] & _within(x_B, width * side_B, width)[:, None, :]


def _within(centre_B: Ints, length_B: npt.NDArray[np.float64], side: int) -> npt.NDArray[np.bool_]:
    start_B = centre_B - (length_B / 2).astype(np.int64)
    at = np.arange(side)
    return (at >= start_B[:, None]) & (at < (start_B + length_B.astype(np.int64))[:, None])


def _halves(size: int, height: int, width: int, generator: np.random.Generator) -> npt.NDArray[np.bool_]:
    """(B, H, W) left, right, upper or lower halves, equally likely."""
    upright_B, first_B = generator.random(size) < 0.5, generator.random(size) < 0.5
    right_W, lower_H = np.arange(width) >= width // 2, np.arange(height) >= height // 2
    seam_BHW = np.where(upright_B[:, None, None], right_W[None, None, :], lower_H[None, :, None])
    return seam_BHW ^ first_B[:, None, None]
