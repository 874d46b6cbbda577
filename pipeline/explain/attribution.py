"""Gradients by the pixels: saliency, deconvolution and guided backprop side by side.

Owns the part `gradients`. Does not own the rules of the backward pass (`rectifiers.py`), maps by layers
(`cam.py`) or by hiding parts of the image (`occlusion.py`).

Legend: B images, C channels, H height, W width.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pipeline.core.samples import Floats
from pipeline.explain import maps, rectifiers, sanity, scores, told
from pipeline.explain.parts import Case, Net, Part, Picture, Row, Scene
from pipeline.explain.rectifiers import RULES, Rule

LEAD = (
    "How much each pixel moves the logit: the three differ in one place alone, a rectifier's backward pass. "
    "Saliency passes a gradient back where the unit was on; deconvolution where the gradient itself is "
    "positive, wherever the unit stood; guided backprop where both hold."
)
CAPTIONS: dict[Rule, str] = {
    "saliency": "saliency",
    "deconvolution": "deconvolution",
    "guided": "guided backprop",
}


def by_pixel(net: Net, case: Case, rule: Rule, of: int) -> Floats:
    """(H, W, 3) gradient of a class's logit by the pixels of one image, rectifiers passing back by `rule`."""
    found = rectifiers.gradient(net.module, case.x_CHW[None], scores.of_class([of]), rule)
    return np.asarray(found[0].permute(1, 2, 0).cpu().numpy(), dtype=np.float32)


def sizes(gradient_HWC: Floats) -> Floats:
    """(H, W) the largest size over the channels, as Simonyan et al. show it."""
    return np.asarray(np.abs(gradient_HWC).max(axis=2), dtype=np.float32)


def part(scene: Scene) -> Part:
    """The three gradients of every case, beside those of random weights."""
    undefined = rectifiers.undefined(scene.lead.module, scene.lead.normalise(told.blank(scene)))
    rules = RULES if not undefined else RULES[:1]
    random = sanity.RandomNets(scene) if scene.config.explain.sanity else None
    checks: dict[str, list[float | None]] = {CAPTIONS[rule]: [] for rule in rules} if random else {}
    rows, facts = [], {}
    for case in scene.cases:
        net = scene.net(case)
        found = {rule: by_pixel(net, case, rule, case.predicted) for rule in rules}
        rival = {rule: by_pixel(net, case, rule, case.rival) for rule in rules}
        pictures = [told.image(case)]
        pictures += _pictures(found, "predicted", f"for {scene.space.classes[case.predicted]}")
        pictures += _pictures(rival, "rival", f"for {told.rival(scene, case)}")
        if random:
            other = {rule: by_pixel(random.of(case.fold), case, rule, case.predicted) for rule in rules}
            pictures += _pictures(other, "random", sanity.HEADING)
            for rule in rules:
                alike = maps.rank_correlation(sizes(found[rule]), sizes(other[rule]))
                checks[CAPTIONS[rule]].append(alike)
        rows.append(Row(case.key, told.title(scene, case), tuple(pictures), _note(found), case.key))
        facts[case.key] = _facts(case, found)
    return Part(
        name="gradients",
        title="Gradients by the pixels",
        lead=LEAD,
        rows=tuple(rows),
        tables=sanity.tables(checks),
        notes=_notes(undefined),
        figures=sanity.figures(checks),
        facts=facts,
    )


def _pictures(found: dict[Rule, Floats], suffix: str, group: str) -> list[Picture]:
    pictures = []
    for rule, gradient_HWC in found.items():
        empty = not np.abs(gradient_HWC).max() > 0
        caption = f"{CAPTIONS[rule]}: no gradient arrives" if empty else CAPTIONS[rule]
        # The sign of a colour's change matters less than where it is; only guided backprop is sharp enough.
        colours = rule == "guided"
        seen = maps.centred(gradient_HWC) if colours else maps.greys(sizes(gradient_HWC))
        pictures.append(Picture(f"{rule}-{suffix}", caption, seen, f"{caption} {group}", group))
    return pictures


def _note(found: dict[Rule, Floats]) -> str:
    empty = [CAPTIONS[rule] for rule, m in found.items() if not np.abs(m).max() > 0]
    return f"No gradient arrives at the pixels by {', '.join(empty)}: no finding." if empty else ""


def _facts(case: Case, found: dict[Rule, Floats]) -> dict[str, Any]:
    facts: dict[str, Any] = {"flat": [f"{r}-predicted" for r, m in found.items() if not np.abs(m).max() > 0]}
    if case.object_HW is not None:
        shares = {f"{r}-predicted": maps.share_inside(sizes(m), case.object_HW) for r, m in found.items()}
        area = float(case.object_HW.mean())
        facts["object"] = {"from": case.object_from, "area": area, "share": shares}
    return facts


def _notes(undefined: str) -> tuple[str, ...]:
    notes = [f"Deconvolution and guided backprop are {undefined}."] if undefined else []
    notes.append(
        "Deconvolution forgets where units stood: without pooling switches it hardly depends on the image "
        "or the class. Greys show the size of the gradient, guided backprop its colours about grey."
    )
    return tuple(notes)
