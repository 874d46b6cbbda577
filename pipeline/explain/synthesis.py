"""The panel `synthesis`: images that a class, or a channel of a layer, responds to most strongly.

Owns gradient ascent on pixels, I* = argmax f(I) − λ‖I‖², the choice of what is raised, and the panel.
Source: Simonyan et al. 2014, https://arxiv.org/abs/1312.6034; jitter and blur against high-frequency
noise: Mordvintsev et al. 2015 (DeepDream) and Yosinski et al. 2015, https://arxiv.org/abs/1506.06579.

I is measured from the network's mean colour, so that λ pulls towards a picture without content, and its
norm is taken per pixel: ‖I‖² / (3·H·W). The same λ then means the same at every size.

Legend: B images that are made together, C channels, H height, W width, K classes, S steps.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torchvision.transforms.v2.functional import gaussian_blur

from pipeline.core.errors import ConfigError, nearest
from pipeline.core.language import _
from pipeline.core.samples import Floats
from pipeline.core.seeds import rng
from pipeline.explain import activation, layers, maps, network, texts, units
from pipeline.explain.layers import outputs
from pipeline.explain.scene import Layer, Net, Scene
from pipeline.nets.forward import probabilities
from pipeline.pages import plots
from pipeline.pages.gallery import Drawing, GalleryRow, GalleryTable, Panel, Picture
from pipeline.pages.report import percent

Score = Callable[[torch.Tensor], torch.Tensor]
# Standard deviation of the start noise, in brightness; 0.1 already excites edges everywhere.
NOISE = 0.05
# How often the score is measured on the way: each time costs one forward pass.
LOOKS = 40


@dataclass(frozen=True)
class Ascent:
    """How gradient ascent is done.

    Args:
        steps: of Adam, ≥ 1.
        rate: step size in pixel brightness (0 to 1).
        penalty: λ, ≥ 0.
        jitter_px: before each step the image is shifted by a new offset of up to this many pixels.
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
    """Images that were made, and their scores on the way.

    Args:
        x_BHWC: in [0, 1].
        step_S: the steps before which f was measured, including the first one and the end.
        score_SB: f at these steps, of the image without jitter.
        norm_B: ‖I‖² per pixel at the end.
    """

    x_BHWC: Floats
    step_S: tuple[int, ...]
    score_SB: Floats
    norm_B: Floats


def of_classes(net: Net, classes: list[int]) -> Score:
    """The logit of one class per image; a probability could also rise because the other logits fall."""
    score = network.of_class(classes)
    return lambda x_BCHW: score(net.module(x_BCHW))


def of_channels(net: Net, layer: Layer, channels: list[int]) -> Score:
    """The mean over all places of one channel per image."""

    def score(x_BCHW: torch.Tensor) -> torch.Tensor:
        with outputs(net.module, [layer.name]) as seen:
            net.module(x_BCHW)
        return layer.maps(seen[layer.name])[torch.arange(len(channels)), channels].mean(dim=(1, 2))

    return score


def ascend(net: Net, score: Score, number: int, size: tuple[int, int], how: Ascent) -> Made:
    """B images of this size (H, W px) that raise `score`, (B,) of normalised x_BCHW, step by step.

    The score of an image depends on that image only.
    """
    draws = rng(how.seed, "synthesis")
    channels = len(net.mean_C11)
    start = np.zeros((number, channels, *size), np.float32)
    if how.start == "noise":
        # Every image starts from the same noise, so that they differ only by their score.
        start[:] = draws.normal(0, NOISE, (channels, *size)).astype(np.float32)
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
        # One sum for all images: the gradient of each image is that of its own score.
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
    """Blur if it is due, and clip to valid brightness."""
    if how.blur_px and blurs and not is_last:
        # Reflection needs a border narrower than the image.
        reach = min(math.ceil(2 * how.blur_px), min(i_BCHW.shape[2:]) - 1)
        i_BCHW.copy_(gaussian_blur(i_BCHW, [2 * reach + 1] * 2, [how.blur_px] * 2))
    i_BCHW.copy_((i_BCHW + net.mean_C11).clamp(0, 1) - net.mean_C11)


# As many curves as the page has distinct colours.
CURVES = 3


def panel(scene: Scene) -> Panel:
    """Images that raise classes or channels, from a blank and a noise image.

    Raises:
        ConfigError: unknown classes, layer or channels.
    """
    net, settings = scene.lead, scene.config.explain.synthesis
    names, score, of_class = _targets(scene, net)
    starts = ("blank", "noise") if settings.start == "both" else (settings.start,)
    size = units.seen_size(scene, net)
    made = {start: ascend(net, score, len(names), size, _how(scene, start)) for start in starts}
    pictures, lines, fell = [], [], []
    for at, name in enumerate(names):
        for start, images in made.items():
            first, last = float(images.score_SB[0, at]), float(images.score_SB[-1, at])
            if last <= first:
                fell.append(texts.SYNTHESIS_FROM.format(name=name, start=start))
            caption = texts.SYNTHESIS_CAPTION.format(
                start=start,
                first=_score(first),
                last=_score(last),
                probability=_probability(net, images, at, of_class),
            )
            pixels = (images.x_BHWC[at] * 255).round().astype(np.uint8)
            pictures.append(Picture(f"{at}-{start}", caption, maps.shown(pixels), f"{name}, {caption}", name))
            lines.append((name, start, first, last, float(images.norm_B[at])))
    warnings = [texts.SYNTHESIS_FELL.format(names=", ".join(fell))] if fell else []
    note = texts.SYNTHESIS_TABLE_NOTE
    table = GalleryTable(texts.SYNTHESIS_TABLE, texts.SYNTHESIS_COLUMNS, tuple(lines), note)
    figures = {"raised": float(np.mean([line[3] > line[2] for line in lines]))}
    return Panel(
        name="synthesis",
        title=texts.SYNTHESIS_TITLE,
        lead=texts.SYNTHESIS_LEAD,
        rows=(GalleryRow("made", texts.SYNTHESIS_ROW, tuple(pictures)),),
        tables=(table,),
        drawings=(_curves(names, next(iter(made.values())), starts[0]),),
        notes=_notes(scene, net),
        warnings=tuple(warnings),
        figures=figures,
    )


def _how(scene: Scene, start: str) -> Ascent:
    s = scene.config.explain.synthesis
    return Ascent(s.steps, s.rate, s.penalty, s.jitter_px, s.blur_px, s.blur_every, start, scene.seed)


def _targets(scene: Scene, net: Net) -> tuple[list[str], Score, list[int]]:
    """What is raised: names, the score, and the classes (empty for channels)."""
    settings = scene.config.explain.synthesis
    if settings.layer is None:
        classes = _classes(scene)
        names = [scene.space.classes[c] for c in classes]
        return names, of_classes(net, classes), classes
    x_1CHW = next(scene.unseen(net.fold)).x_BCHW[:1]
    (layer,) = layers.named(net.module, x_1CHW, [settings.layer])
    channels = units.checked_channels("explain.synthesis.channels", layer, settings.channels)
    if not channels:
        batches = (batch.x_BCHW for batch in scene.unseen(net.fold))
        best = activation.strongest(net, batches, [layer], 9)[layer.name]
        channels = best.selective(settings.shown).tolist()
    names = [texts.SYNTHESIS_CHANNEL.format(layer=maps.place(layer), channel=channel) for channel in channels]
    return names, of_channels(net, layer, channels), []


def _classes(scene: Scene) -> list[int]:
    """The classes of the settings; else those in the errors of the images, then the most frequent ones.

    Raises:
        ConfigError: unknown class names.
    """
    settings, known = scene.config.explain.synthesis, scene.space.classes
    unknown = [name for name in settings.classes if name not in known]
    if unknown:
        some = ", ".join(known[:8]) + (", …" if len(known) > 8 else "")
        raise ConfigError(
            texts.SYNTHESIS_UNKNOWN.format(n=len(unknown)),
            [
                _("{name!r}: {nearest}").format(name=name, nearest=nearest(name, known) or _("no such class"))
                for name in unknown
            ],
            texts.SYNTHESIS_CLASSES.format(names=some),
        )
    if settings.classes:
        return [known.index(name) for name in settings.classes]
    counted: Counter[int] = Counter()
    for case in scene.cases:
        counted.update({case.predicted} | ({case.true} if case.true is not None else set()))
    in_errors = [c for c, _ in counted.most_common()]
    frequent = [c for c, _ in Counter(scene.samples.labels.tolist()).most_common()]
    return list(dict.fromkeys([*in_errors, *frequent]))[: settings.shown]


def _score(value: float) -> str:
    return f"{round(value, 1) + 0.0:.1f}".replace("-", "−")


def _probability(net: Net, made: Made, at: int, classes: list[int]) -> str:
    """The probability of the class on the made image, after rounding to pixels; empty for channels."""
    if not classes:
        return ""
    pixels = (made.x_BHWC[at : at + 1] * 255).round().astype(np.uint8)
    with torch.no_grad():
        p_K = probabilities(net.module(net.normalise(pixels)))[0]
    return texts.SYNTHESIS_PROBABILITY.format(p=percent(float(p_K[classes[at]])))


def _curves(names: list[str], made: Made, start: str) -> Drawing:
    lines = [
        plots.Curve(name, list(made.step_S), made.score_SB[:, at].astype(float).tolist())
        for at, name in enumerate(names[:CURVES])
    ]
    drawn = plots.curves(lines, "score by step", "step", "score")
    return Drawing(texts.SYNTHESIS_CURVES.format(start=start), drawn)


def _notes(scene: Scene, net: Net) -> tuple[str, ...]:
    s = scene.config.explain.synthesis
    how = texts.SYNTHESIS_HOW.format(
        fold=net.fold,
        steps=s.steps,
        rate=s.rate,
        penalty=s.penalty,
        jitter_px=s.jitter_px,
        blur_px=s.blur_px,
        blur_every=s.blur_every,
    )
    return how, texts.SYNTHESIS_READING, texts.SYNTHESIS_LOGIT
