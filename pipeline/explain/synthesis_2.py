"""Class visualisation: the image that a class, or a channel of a layer, answers most strongly to.

Owns gradient ascent on pixels, I* = argmax f(I) − λ‖I‖². Does not own the choice of classes or the page.
Source: Simonyan et al. 2014, https://arxiv.org/abs/1312.6034; jitter and blur against high-frequency
noise: Mordvintsev et al. 2015 (DeepDream) and Yosinski et al. 2015, https://arxiv.org/abs/1506.06579.

I is measured from the network's mean colour, so that λ pulls towards a picture without content, and its
norm is taken a pixel: ‖I‖² / (3·H·W). The same λ then means the same at every size.

Legend: B images that are made at once, C channels, H height, W width, S steps.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torchvision.transforms.v2.functional import gaussian_blur

from pipeline.core.samples import Floats
from pipeline.core.seeds import rng
from pipeline.explain.layers import outputs
from pipeline.explain.parts import Layer, Net

Score = Callable[[torch.Tensor], torch.Tensor]
# Brightness of the noise that an image starts from; one of 0.1 already excites edges everywhere.
NOISE = 0.05
# How often the score is looked at on its way: each look is a pass of its own.
LOOKS = 40


@dataclass(frozen=True)
class Ascent:
    """How the image climbs.

    Args:
        steps: of Adam, ≥ 1.
        rate: step size in pixel brightness (0 to 1).
        penalty: λ, ≥ 0.
        jitter_px: the image is shifted by up to so many pixels, anew in each step, before it is scored.
        blur_px: standard deviation of the blur; 0: none.
        blur_every: steps between two blurs, ≥ 1.
        start: "blank" (the network's mean colour) or "noise".
        seed: of noise and jitter.
    """

    steps: int = 200
    rate: float = 0.02
    penalty: float = 1.0
    jitter_px: int = 4
    blur_px: float = 0.5
    blur_every: int = 4
    start: str = "blank"
    seed: int = 0


@dataclass(frozen=True)
class Made:
    """Images that were made, and how it went.

    Args:
        x_BHWC: in [0, 1].
        step_S: the steps before which f was looked at, the first and the end among them.
        score_SB: f there, of the image at rest, without jitter.
        norm_B: ‖I‖² a pixel at the end.
    """

    x_BHWC: Floats
    step_S: tuple[int, ...]
    score_SB: Floats
    norm_B: Floats


def of_classes(net: Net, classes: list[int]) -> Score:
    """The logit of one class an image; a probability could rise by lowering the other classes'."""

    def score(x_BCHW: torch.Tensor) -> torch.Tensor:
        logits_BC: torch.Tensor = net.module(x_BCHW)
        return logits_BC[torch.arange(len(classes)), classes]

    return score


def of_channels(net: Net, layer: Layer, channels: list[int]) -> Score:
    """The mean over all places of one channel an image."""

    def score(x_BCHW: torch.Tensor) -> torch.Tensor:
        with outputs(net.module, [layer.name]) as seen:
            net.module(x_BCHW)
        return layer.maps(seen[layer.name])[torch.arange(len(channels)), channels].mean(dim=(1, 2))

    return score


def ascend(net: Net, score: Score, number: int, size: tuple[int, int], how: Ascent) -> Made:
    """Images that raise `score` step by step.

    Args:
        net: gives the mean colour, the spread and the device.
        score: (B,) of normalised x_BCHW; each image's own.
        number: B.
        size: height and width, px.
        how: steps, penalty, jitter, blur, start.
    """
    draws = rng(how.seed, "synthesis")
    start = np.zeros((number, 3, *size), np.float32)
    if how.start == "noise":
        # Every image starts from the same noise, so that only what is asked of them differs.
        start[:] = draws.normal(0, NOISE, (3, *size)).astype(np.float32)
    i_BCHW = torch.from_numpy(start).to(net.mean_C11.device).requires_grad_()
    adam = torch.optim.Adam([i_BCHW], lr=how.rate)
    looked = tuple(sorted({round(at * how.steps / LOOKS) for at in range(LOOKS + 1)}))
    scores = []
    for step in range(how.steps):
        if step in looked:
            scores.append(_at_rest(net, score, i_BCHW))
        shift = draws.integers(-how.jitter_px, how.jitter_px + 1, 2)
        shifted = torch.roll(i_BCHW, shift.tolist(), dims=(2, 3))
        norm_B = i_BCHW.square().mean(dim=(1, 2, 3))
        # One sum for all images: the gradient of each is that of its own score.
        loss = (how.penalty * norm_B - score(shifted / net.std_C11)).sum()
        (i_BCHW.grad,) = torch.autograd.grad(loss, [i_BCHW])
        adam.step()
        _tidy(i_BCHW, net, how, is_last=step + 1 == how.steps, blurs=(step + 1) % how.blur_every == 0)
    scores.append(_at_rest(net, score, i_BCHW))
    with torch.no_grad():
        x_BHWC = (i_BCHW + net.mean_C11).clamp(0, 1).permute(0, 2, 3, 1).cpu().numpy()
        norm_B = i_BCHW.square().mean(dim=(1, 2, 3))
    return Made(x_BHWC, looked, np.stack(scores), norm_B.cpu().numpy())


def _at_rest(net: Net, score: Score, i_BCHW: torch.Tensor) -> Floats:
    with torch.no_grad():
        return np.asarray(score(i_BCHW / net.std_C11).float().cpu().numpy(), dtype=np.float32)


@torch.no_grad()
def _tidy(i_BCHW: torch.Tensor, net: Net, how: Ascent, is_last: bool, blurs: bool) -> None:
    """Blur where its turn has come, and cut off what no picture can hold."""
    if how.blur_px and blurs and not is_last:
        # Reflection wants a border narrower than the image.
        reach = min(math.ceil(2 * how.blur_px), min(i_BCHW.shape[2:]) - 1)
        i_BCHW.copy_(gaussian_blur(i_BCHW, [2 * reach + 1] * 2, [how.blur_px] * 2))
    i_BCHW.copy_((i_BCHW + net.mean_C11).clamp(0, 1) - net.mean_C11)
