"""The panel `gradients`: saliency, deconvolution and guided backprop side by side.

Owns the panel, the rules by which a rectifier passes a gradient back, and to which activations they apply.
Does not own maps of layers (`cam.py`) or of hidden regions (`occlusion.py`).

A rectifier is piecewise linear and never negative except for a leak: ReLU, ReLU6, leaky ReLU, PReLU and
similar ones. With input x, slope r'(x) and the incoming gradient g, it passes back

- saliency: g · r'(x), the true gradient (Simonyan et al. 2014, https://arxiv.org/abs/1312.6034);
- deconvolution: max(g, 0), whatever x was (Zeiler and Fergus 2014, https://arxiv.org/abs/1311.2901);
- guided: max(g, 0) · r'(x), both (Springenberg et al. 2015, https://arxiv.org/abs/1412.6806).

GELU, SiLU, Hardswish and other smooth activations have no side on which they are off, so the last two
rules are not defined for them, and the panel says so. Calls are intercepted, not modules: `functional.relu`
in a forward pass counts like `nn.ReLU`, which captum's hooks on `nn.ReLU` miss.

Legend: B images, C channels, H height, W width.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, Literal

import numpy as np
import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from pipeline.core.samples import Floats
from pipeline.explain import maps, network, sanity, texts
from pipeline.explain.scene import ExplainedImage, Net, Scene
from pipeline.pages.gallery import GalleryRow, Panel, Picture

Rule = Literal["saliency", "deconvolution", "guided"]
RULES: tuple[Rule, ...] = ("saliency", "deconvolution", "guided")

_IN_PLACE: dict[Any, Callable[..., torch.Tensor]] = {
    functional.relu_: functional.relu,
    torch.relu_: torch.relu,
    torch.Tensor.relu_: torch.relu,
    functional.leaky_relu_: functional.leaky_relu,
    functional.rrelu_: functional.rrelu,
}
_PLAIN: dict[Any, str] = {
    functional.relu: "ReLU",
    torch.relu: "ReLU",
    torch.Tensor.relu: "ReLU",
    functional.relu6: "ReLU6",
    functional.hardtanh: "ReLU6",
    functional.leaky_relu: "leaky ReLU",
    functional.rrelu: "leaky ReLU",
    functional.prelu: "PReLU",
    torch.prelu: "PReLU",
}
RECTIFIERS = _PLAIN | {in_place: _PLAIN[own] for in_place, own in _IN_PLACE.items()}
SMOOTH = {
    functional.gelu: "GELU",
    functional.silu: "SiLU",
    functional.hardswish: "Hardswish",
    functional.mish: "Mish",
    functional.elu: "ELU",
    functional.celu: "CELU",
    functional.selu: "SELU",
    functional.softplus: "softplus",
    functional.softsign: "softsign",
    torch.tanh: "tanh",
    torch.Tensor.tanh: "tanh",
    functional.tanh: "tanh",
}


class _Rectify(torch.autograd.Function):
    """The value of a rectifier, with a gradient by a rule that is not its derivative."""

    @staticmethod
    def forward(
        session: Any, x: torch.Tensor, rectifier: Callable[[torch.Tensor], torch.Tensor], rule: Rule
    ) -> torch.Tensor:
        with torch.enable_grad():
            alone = x.detach().requires_grad_()
            value = rectifier(alone)
            (slope,) = torch.autograd.grad(value.sum(), alone)
        session.save_for_backward(slope)
        session.rule = rule
        return value.detach()

    @staticmethod
    def backward(session: Any, grad: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        (slope,) = session.saved_tensors
        if session.rule == "saliency":
            return grad * slope, None, None
        positive = grad.clamp_min(0)
        return (positive if session.rule == "deconvolution" else positive * slope), None, None


class _Ruled(TorchFunctionMode):
    """While it is active, rectifiers pass gradients back by one rule, and activations are counted."""

    def __init__(self, rule: Rule) -> None:
        super().__init__()
        self.rule = rule
        self.seen: Counter[str] = Counter()

    def __torch_function__(
        self, func: Any, types: Iterable[type], args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        name = _name(func, args, kwargs)
        if name:
            self.seen[name] += 1
        if func not in RECTIFIERS or not name or name in SMOOTH.values():
            return func(*args, **kwargs)
        x, *rest = args if args else (kwargs.pop("input"),)
        kwargs.pop("inplace", None)
        rest = [] if name in ("ReLU", "ReLU6") and func is not functional.hardtanh else rest
        own = _IN_PLACE.get(func, func)
        return _Rectify.apply(x, lambda given: own(given, *rest, **kwargs), self.rule)


def _name(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """The name of the activation function that is called; empty: it is not one."""
    if func is functional.hardtanh:
        low = args[1] if len(args) > 1 else kwargs.get("min_val", -1.0)
        return "ReLU6" if low == 0 else "tanh"
    return RECTIFIERS.get(func) or SMOOTH.get(func, "")


def why_undefined(module: torch.nn.Module, x_BCHW: torch.Tensor) -> str:
    """Why deconvolution and guided backprop are not defined for this network; empty: they are defined."""
    with torch.no_grad(), _Ruled("saliency") as mode:
        module(x_BCHW[:1])
    smooth = sorted({name for name in mode.seen if name in SMOOTH.values()})
    if smooth:
        return texts.GRADIENTS_SMOOTH.format(names=", ".join(smooth))
    if not any(name in RECTIFIERS.values() for name in mode.seen):
        return texts.GRADIENTS_NO_RECTIFIER
    return ""


def gradient(
    module: torch.nn.Module,
    x_BCHW: torch.Tensor,
    score: Callable[[torch.Tensor], torch.Tensor],
    rule: Rule = "saliency",
) -> torch.Tensor:
    """(B, C, H, W) gradient of each image's (B,) score of (B, K) logits with respect to its pixels.

    The module is in eval mode, so that images do not change each other's logits; `rule` is for rectifiers.
    """
    x_BCHW = x_BCHW.detach().clone().requires_grad_()
    with torch.enable_grad():
        if rule == "saliency":
            logits_BK = module(x_BCHW)
        else:
            with _Ruled(rule):
                logits_BK = module(x_BCHW)
        (gradient_BCHW,) = torch.autograd.grad(score(logits_BK).sum(), x_BCHW)
    return gradient_BCHW.detach()


CAPTIONS: dict[Rule, str] = {
    "saliency": "saliency",
    "deconvolution": "deconvolution",
    "guided": "guided backprop",
}


def by_pixel(net: Net, case: ExplainedImage, rule: Rule, of: int) -> Floats:
    """(H, W, 3) gradient of a class's logit with respect to the pixels of one image, rectifiers by `rule`."""
    gradient_1CHW = gradient(net.module, case.x_CHW[None], network.of_class([of]), rule)
    return np.asarray(gradient_1CHW[0].permute(1, 2, 0).cpu().numpy(), dtype=np.float32)


def sizes(gradient_HWC: Floats) -> Floats:
    """(H, W) the largest absolute value over the channels, as in Simonyan et al."""
    return np.asarray(np.abs(gradient_HWC).max(axis=2), dtype=np.float32)


def panel(scene: Scene) -> Panel:
    """The three gradients of every case, compared with those of random weights."""
    undefined = why_undefined(scene.lead.module, scene.lead.normalise(maps.blank(scene)))
    rules = RULES if not undefined else RULES[:1]
    random = sanity.RandomNets(scene) if scene.config.explain.sanity else None
    checks: dict[str, list[float | None]] = {CAPTIONS[rule]: [] for rule in rules} if random else {}
    rows, facts = [], {}
    for case in scene.cases:
        net = scene.net(case)
        own = {rule: by_pixel(net, case, rule, case.predicted) for rule in rules}
        rival = {rule: by_pixel(net, case, rule, case.rival) for rule in rules}
        name = scene.space.classes[case.predicted]
        pictures = [maps.image(case), *_pictures(own, "predicted", texts.FOR_CLASS.format(name=name))]
        pictures += _pictures(rival, "rival", texts.FOR_CLASS.format(name=maps.rival(scene, case)))
        if random:
            other = {rule: by_pixel(random.of(case), case, rule, case.predicted) for rule in rules}
            pictures += _pictures(other, "random", texts.SANITY_GROUP)
            for rule in rules:
                alike = maps.rank_correlation(sizes(own[rule]), sizes(other[rule]))
                checks[CAPTIONS[rule]].append(alike)
        rows.append(GalleryRow(case.key, maps.title(scene, case), tuple(pictures), _note(own), case.key))
        facts[case.key] = _facts(case, own)
    notes = (texts.GRADIENTS_UNDEFINED.format(why=undefined),) if undefined else ()
    return Panel(
        name="gradients",
        title=texts.GRADIENTS_TITLE,
        lead=texts.GRADIENTS_LEAD,
        rows=tuple(rows),
        tables=sanity.tables(checks),
        notes=(*notes, texts.GRADIENTS_READING),
        figures=sanity.figures(checks),
        facts=facts,
    )


def _pictures(gradients: dict[Rule, Floats], suffix: str, group: str) -> list[Picture]:
    pictures = []
    for rule, gradient_HWC in gradients.items():
        empty = not np.abs(gradient_HWC).max() > 0
        caption = texts.GRADIENTS_ZERO.format(caption=CAPTIONS[rule]) if empty else CAPTIONS[rule]
        # Only guided backprop is sharp enough to show colours; the others show sizes.
        colours = rule == "guided"
        seen = maps.centred(gradient_HWC) if colours else maps.greys(sizes(gradient_HWC))
        pictures.append(Picture(f"{rule}-{suffix}", caption, seen, f"{caption} {group}", group))
    return pictures


def _note(gradients: dict[Rule, Floats]) -> str:
    empty = [CAPTIONS[rule] for rule, m in gradients.items() if not np.abs(m).max() > 0]
    return texts.GRADIENTS_ALL_ZERO.format(names=", ".join(empty)) if empty else ""


def _facts(case: ExplainedImage, gradients: dict[Rule, Floats]) -> dict[str, Any]:
    flat = [f"{r}-predicted" for r, m in gradients.items() if not np.abs(m).max() > 0]
    return {"flat": flat} | maps.on_object(case, {f"{r}-predicted": sizes(m) for r, m in gradients.items()})
