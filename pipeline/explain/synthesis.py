"""The part `synthesis`: images that a class, or a channel of a layer, answers most strongly to.

Owns choosing what is raised and telling how it went. Does not own the ascent (`synthesis.py`).
Legend: B images, K classes, S steps.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import torch

from pipeline.core.errors import ConfigError, nearest
from pipeline.explain import activation, layers, maps, synthesis_2, told, units
from pipeline.explain.parts import Drawing, Net, Part, Picture, Row, Scene, Table
from pipeline.explain.synthesis_2 import Ascent, Made, Score
from pipeline.pages import plots
from pipeline.pages.report import percent

LEAD = (
    "An image made by gradient ascent, I* = argmax f(I) − λ‖I‖²: step by step every pixel moves to where the "
    "score f of a class (its logit), or of a channel (its mean), rises."
)
# As many as the page has colours, and points that stay apart.
CURVES = 3


def part(scene: Scene) -> Part:
    """Images that raise classes or channels, from a blank and a noise image.

    Raises:
        ConfigError: classes, a layer or channels that there are none of.
    """
    net, settings = scene.lead, scene.config.explain.synthesis
    names, score, of_class = _targets(scene, net)
    starts = ("blank", "noise") if settings.start == "both" else (settings.start,)
    size = units.seen_size(scene, net)
    made = {start: synthesis_2.ascend(net, score, len(names), size, _how(scene, start)) for start in starts}
    pictures, lines, fell = [], [], []
    for at, name in enumerate(names):
        for start, found in made.items():
            first, last = float(found.score_SB[0, at]), float(found.score_SB[-1, at])
            if last <= first:
                fell.append(f"{name} from {start}")
            sure = _sure(net, found, at, of_class)
            words = f"from {start}: {_score(first)} → {_score(last)}{sure}"
            pixels = (found.x_BHWC[at] * 255).round().astype(np.uint8)
            pictures.append(Picture(f"{at}-{start}", words, maps.shown(pixels), f"{name}, {words}", name))
            lines.append((name, start, first, last, float(found.norm_B[at])))
    warnings = [f"The score did not rise: {', '.join(fell)}; what is shown means nothing."] if fell else []
    figures = {"raised": float(np.mean([line[3] > line[2] for line in lines]))}
    return Part(
        name="synthesis",
        title="Class visualisation",
        lead=LEAD,
        rows=(Row("made", "What was made", tuple(pictures)),),
        tables=(
            Table(
                "How far each rose",
                ("what", "start", "score before", "score after", "‖I‖² a pixel"),
                tuple(lines),
                "Scores are logits, or mean activations, of the image at rest.",
            ),
        ),
        drawings=(_curves(names, next(iter(made.values())), starts[0]),),
        notes=_notes(scene, net),
        warnings=tuple(warnings),
        figures=figures,
    )


def _how(scene: Scene, start: str) -> Ascent:
    s = scene.config.explain.synthesis
    return Ascent(s.steps, s.rate, s.penalty, s.jitter_px, s.blur_px, s.blur_every, start, scene.seed)


def _targets(scene: Scene, net: Net) -> tuple[list[str], Score, list[int]]:
    """What is raised: names, the score, and the class of each where it is one."""
    settings = scene.config.explain.synthesis
    if settings.layer is None:
        classes = _classes(scene)
        names = [scene.space.classes[c] for c in classes]
        return names, synthesis_2.of_classes(net, classes), classes
    x_1CHW = next(scene.unseen(net.fold)).x_BCHW[:1]
    (layer,) = layers.named(net.module, x_1CHW, [settings.layer])
    channels = units.checked_channels("explain.synthesis.channels", layer, settings.channels)
    if not channels:
        batches = (batch.x_BCHW for batch in scene.unseen(net.fold))
        best = activation.strongest(net, batches, [layer], 9)[layer.name]
        channels = best.selective(settings.shown).tolist()
    names = [f"{told.place(layer)}, channel {channel}" for channel in channels]
    return names, synthesis_2.of_channels(net, layer, channels), []


def _classes(scene: Scene) -> list[int]:
    """The classes of the settings; else those that the images' errors are about, then the most frequent.

    Raises:
        ConfigError: names that are no class.
    """
    settings, known = scene.config.explain.synthesis, scene.space.classes
    odd = [name for name in settings.classes if name not in known]
    if odd:
        raise ConfigError(
            f"explain.synthesis.classes: {len(odd)} unknown",
            [f"{name!r}: {nearest(name, known) or 'no such class'}" for name in odd],
            f"classes are: {', '.join(known[:8])}{', …' if len(known) > 8 else ''}",
        )
    if settings.classes:
        return [known.index(name) for name in settings.classes]
    counted: Counter[int] = Counter()
    for case in scene.cases:
        counted.update({case.predicted} | ({case.true} if case.true is not None else set()))
    about = [c for c, _ in counted.most_common()]
    frequent = [c for c, _ in Counter(scene.samples.labels.tolist()).most_common()]
    return list(dict.fromkeys([*about, *frequent]))[: settings.shown]


def _score(value: float) -> str:
    return f"{round(value, 1) + 0.0:.1f}".replace("-", "−")


def _sure(net: Net, made: Made, at: int, classes: list[int]) -> str:
    """How probable the network calls the class on the made image, after rounding to pixels."""
    if not classes:
        return ""
    pixels = (made.x_BHWC[at : at + 1] * 255).round().astype(np.uint8)
    with torch.no_grad():
        p_K = net.module(net.normalise(pixels)).softmax(dim=1)[0]
    return f", {percent(float(p_K[classes[at]]))} sure"


def _curves(names: list[str], made: Made, start: str) -> Drawing:
    lines = [
        plots.Curve(name, list(made.step_S), made.score_SB[:, at].astype(float).tolist())
        for at, name in enumerate(names[:CURVES])
    ]
    return Drawing(
        f"The score while it climbs, from {start}", plots.curves(lines, "score by step", "step", "score")
    )


def _notes(scene: Scene, net: Net) -> tuple[str, ...]:
    s = scene.config.explain.synthesis
    return (
        f"By the network of fold {net.fold}: {s.steps} steps of Adam at {s.rate}, λ = {s.penalty} on the "
        f"mean "
        f"square of a pixel's distance from the mean colour, shifted by up to {s.jitter_px} px before each "
        f"step, "
        f"blurred by {s.blur_px} px every {s.blur_every} steps.",
        "What it shows is what raises the score most, which need not look like the class: a network can be "
        "sure "
        "of an image that no person would name. Colours or a background that come back in every image of a "
        "class "
        "are worth checking in the data.",
        "The score is the logit and not the probability, which would also rise by lowering the other classes "
        "(Simonyan et al. 2014, https://arxiv.org/abs/1312.6034).",
    )
