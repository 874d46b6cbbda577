"""The panel `cam`: CAM, Grad-CAM, Grad-CAM++, guided Grad-CAM, evidence against a class, and why A, not B.

Owns the maps and the panel. Does not own at which layer they are read (`layers.py`), gradients of the pixels
(`attribution.py`) or pictures (`maps.py`).

- CAM (Zhou et al. 2016, https://arxiv.org/abs/1512.04150): the last maps weighted by the classifier's own
  weights; only if nothing but an average and a linear layer follows them.
- Grad-CAM (Selvaraju et al. 2017, https://arxiv.org/abs/1610.02391): weighted by the average gradient of
  the logit; equals CAM up to a factor where CAM is defined and the same maps are read. Its negative part
  is evidence against the class (their section on counterfactual explanations). On the difference of two
  logits it shows what is evidence for A rather than B.
- Grad-CAM++ (Chattopadhay et al. 2018, https://arxiv.org/abs/1710.11063): weights places by higher powers
  of the gradient, so that several objects of one class each count.
- Guided Grad-CAM: guided backprop times Grad-CAM.

Weights come from the package grad-cam; its maps are not used, because it rescales each one to 0…1, which
turns a flat map into a picture and loses the sign.

Legend: B images, C channels, H height, W width, h and w of a map, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from pytorch_grad_cam import GradCAM, GradCAMPlusPlus

from pipeline.core.samples import Floats
from pipeline.explain import attribution, layers, maps, network, sanity, texts
from pipeline.explain.scene import ExplainedImage, Layer, Net, Scene
from pipeline.pages.gallery import GalleryRow, Panel, Picture


def cam(net: Net, x_BCHW: torch.Tensor, classes_B: Sequence[int]) -> Floats | None:
    """(B, h, w) class activation maps of the last layer, signed; None where CAM is not defined."""
    if net.weights_KC is None:
        return None
    layer = net.layers[-1]
    with torch.no_grad(), layers.outputs(net.module, [layer.name]) as seen:
        net.module(x_BCHW)
        maps_BChw = layer.maps(seen[layer.name])
        weights_BC = net.weights_KC[torch.tensor(classes_B, device=x_BCHW.device)]
        return _floats(torch.einsum("bc,bchw->bhw", weights_BC, maps_BChw))


def grad_cam(
    net: Net,
    x_BCHW: torch.Tensor,
    classes_B: Sequence[int],
    rather_than_B: Sequence[int] | None = None,
    layer: Layer | None = None,
) -> Floats:
    """(B, h, w) Grad-CAM of a logit, or of its difference to another one; signed, before any rectifier.

    Args:
        net: the network.
        x_BCHW: normalised images.
        classes_B: class of each image that is explained.
        rather_than_B: class of each image whose logit is subtracted; None: no class.
        layer: whose maps are weighted; None: `net.cam`.
    """
    return _weighed(GradCAM, net, x_BCHW, _targets(classes_B, rather_than_B), layer or net.cam)


def grad_cam_plus_plus(net: Net, x_BCHW: torch.Tensor, classes_B: Sequence[int]) -> Floats:
    """(B, h, w) Grad-CAM++ of a logit, never negative where the maps are not."""
    return _weighed(GradCAMPlusPlus, net, x_BCHW, _targets(classes_B, None), net.cam)


def guided_grad_cam(net: Net, x_BCHW: torch.Tensor, classes_B: Sequence[int]) -> Floats | None:
    """(B, H, W, C) guided backprop times Grad-CAM; None where guided backprop is not defined."""
    if attribution.why_undefined(net.module, x_BCHW):
        return None
    by_pixel = attribution.gradient(net.module, x_BCHW, network.of_class(classes_B), "guided")
    size = (x_BCHW.shape[2], x_BCHW.shape[3])
    coarse_Bhw = grad_cam(net, x_BCHW, classes_B)
    fine_BHW = np.stack([maps.enlarged(np.maximum(m, 0), size) for m in coarse_Bhw])
    return np.asarray(_floats(by_pixel.permute(0, 2, 3, 1)) * fine_BHW[..., None], dtype=np.float32)


def _targets(
    classes_B: Sequence[int], rather_than_B: Sequence[int] | None
) -> list[Callable[[torch.Tensor], torch.Tensor]]:
    """The score of each image's logits, in the form that the package expects."""

    def target(own: int, other: int | None) -> Callable[[torch.Tensor], torch.Tensor]:
        return lambda logits_K: logits_K[own] - (logits_K[other] if other is not None else 0)

    others = [None] * len(classes_B) if rather_than_B is None else rather_than_B
    return [target(own, other) for own, other in zip(classes_B, others, strict=True)]


def _weighed(kind: Any, net: Net, x_BCHW: torch.Tensor, targets: list[Any], layer: Layer) -> Floats:
    where = [net.module.get_submodule(layer.name)]
    # Not as a context manager: the package's one swallows an IndexError.
    method = kind(net.module, where, reshape_transform=layer.maps)
    held = method.activations_and_grads
    try:
        method.compute_input_gradient = True  # no weight requires a gradient
        with torch.enable_grad():
            method(x_BCHW, targets)
        activations, gradients = held.activations[0].numpy(), held.gradients[0].numpy()
        maps_Bhw = method.get_cam_image(x_BCHW, where[0], targets, activations, gradients)
    finally:
        held.release()
    return np.asarray(maps_Bhw, dtype=np.float32)


def _floats(x: torch.Tensor) -> Floats:
    return np.asarray(x.detach().float().cpu().numpy(), dtype=np.float32)


def panel(scene: Scene) -> Panel:
    """Class activation maps of every case, compared with those of random weights."""
    random = sanity.RandomNets(scene)
    rows, facts, alike = [], {}, []
    for case in scene.cases:
        maps_of = _of_case(scene.net(case), case)
        pictures = [maps.image(case), *_pictures(scene, case, maps_of)]
        if scene.config.explain.sanity:
            other = grad_cam(random.of(case), case.x_CHW[None], [case.predicted])[0]
            alike.append(maps.rank_correlation(maps_of["gradcam-predicted"], other))
            pictures.append(maps.heat(case, other, "random", "Grad-CAM, random weights", texts.SANITY_GROUP))
        flat = {name: why for name, m in maps_of.items() if (why := maps.flatness(m))}
        rows.append(GalleryRow(case.key, maps.title(scene, case), tuple(pictures), _note(flat), case.key))
        facts[case.key] = _facts(scene.net(case), case, maps_of, flat) | sanity.fact(alike)
    checks = {"Grad-CAM": alike} if scene.config.explain.sanity else {}
    flats = sum(len(f["flat"]) for f in facts.values())
    return Panel(
        name="cam",
        title=texts.CAM_TITLE,
        lead=texts.CAM_LEAD,
        rows=tuple(rows),
        tables=sanity.tables(checks),
        notes=_notes(scene),
        warnings=_warnings(scene),
        figures={"flat_maps": float(flats)} | sanity.figures(checks),
        facts=facts,
    )


def _of_case(net: Net, case: ExplainedImage) -> dict[str, Floats]:
    """Every map of one image except the map by pixel, by the name of its picture."""
    x_1CHW, own, rival = case.x_CHW[None], [case.predicted], [case.rival]
    all_maps = {
        "cam-predicted": cam(net, x_1CHW, own),
        "gradcam-predicted": grad_cam(net, x_1CHW, own),
        "gradcampp-predicted": grad_cam_plus_plus(net, x_1CHW, own),
        "against-predicted": -grad_cam(net, x_1CHW, own),
        "cam-rival": cam(net, x_1CHW, rival),
        "gradcam-rival": grad_cam(net, x_1CHW, rival),
        "contrast": grad_cam(net, x_1CHW, own, rival),
    }
    return {name: maps_B[0] for name, maps_B in all_maps.items() if maps_B is not None}


_CAPTIONS = {
    "cam-predicted": "CAM",
    "gradcam-predicted": "Grad-CAM",
    "gradcampp-predicted": "Grad-CAM++",
    "against-predicted": "evidence against",
    "cam-rival": "CAM",
    "gradcam-rival": "Grad-CAM",
}


def _pictures(scene: Scene, case: ExplainedImage, maps_of: dict[str, Floats]) -> list[Picture]:
    own, rival = scene.space.classes[case.predicted], maps.rival(scene, case)
    pictures = []
    for name, caption in _CAPTIONS.items():
        if name in maps_of:
            coarse = name.startswith("cam-")
            h, w = maps_of[name].shape
            caption = texts.CAM_CELLS.format(caption=caption, h=h, w=w) if coarse else caption
            group = texts.FOR_CLASS.format(name=own if name.endswith("predicted") else rival)
            picture = maps.heat(case, maps_of[name], name, caption, group)
            # Of a few cells stretched over the image nobody reads a place.
            coarse_map = coarse and min(h, w) < maps.LEAST_CELLS
            pictures.append(replace(picture, shows=False) if coarse_map else picture)
    guided = guided_grad_cam(scene.net(case), case.x_CHW[None], [case.predicted])
    if guided is not None:
        seen, group = maps.centred(guided[0]), texts.FOR_CLASS.format(name=own)
        pictures.insert(4, Picture("guided-predicted", "guided Grad-CAM", seen, "", group))
    short = scene.space.classes[case.rival]
    why = texts.CAM_CONTRAST.format(own=own, rival=short)
    is_flat = bool(maps.flatness(np.abs(maps_of["contrast"])))
    if is_flat:
        contrast = maps.nothing(case.pixels_HWC)
    else:
        contrast = maps.for_and_against(case.pixels_HWC, maps_of["contrast"])
    heading = texts.CAM_CONTRAST_GROUP.format(own=own, rival=short)
    last = Picture("contrast", "red: for, blue: against", contrast, why, heading, shows=not is_flat)
    return [*pictures, last]


def _note(flat: dict[str, str]) -> str:
    names = ", ".join(f"{_CAPTIONS[n]} ({n.rpartition('-')[2]})" for n in flat if n in _CAPTIONS)
    return texts.CAM_FADED.format(names=names) if names else ""


def _facts(
    net: Net, case: ExplainedImage, maps_of: dict[str, Floats], flat: dict[str, str]
) -> dict[str, Any]:
    height, width = case.pixels_HWC.shape[:2]
    names = [name for name in ("gradcam-predicted", "gradcam-rival") if name not in flat]
    large = {name: maps.enlarged(np.maximum(maps_of[name], 0), (height, width)) for name in names}
    return {"grid": list(net.cam.grid), "flat": sorted(flat), **maps.on_object(case, large)}


def _notes(scene: Scene) -> tuple[str, ...]:
    net = scene.lead
    h, w = net.cam.grid
    notes = [texts.CAM_LAYER.format(layer=maps.place(net.cam), h=h, w=w)]
    if net.cam != net.layers[-1]:
        h, w = net.layers[-1].grid
        notes.append(texts.CAM_LAST_LAYER.format(layer=maps.place(net.layers[-1]), h=h, w=w))
    if net.weights_KC is None:
        notes.append(texts.CAM_UNDEFINED)
    undefined = attribution.why_undefined(net.module, net.normalise(maps.blank(scene)))
    if undefined:
        notes.append(texts.CAM_GUIDED.format(why=undefined))
    notes.append(texts.CAM_PACKAGE)
    return (*notes, *net.notes)


def _warnings(scene: Scene) -> tuple[str, ...]:
    cells = scene.lead.cam.grid[0] * scene.lead.cam.grid[1]
    return (texts.CAM_COARSE.format(cells=cells),) if cells < maps.LEAST_CELLS else ()
