"""The whole ensemble as one torch module, from bytes at the networks' size to predictions, for exporting.

Owns what is inside the graph: pixels to floats, views, networks and heads, their votes, temperatures, the
blend and the decision steps that work image by image. Decoding, cutting and resizing stay outside
(`predict/pictures.py`). Computes in float32, where the predictor votes in double precision: equal to about
1e-6.

Legend: B images, H height, W width, C channels, K columns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import nn

from pipeline.core.errors import ConfigError
from pipeline.core.metric_arithmetic import LOG_FLOOR
from pipeline.core.plugin import is_plugin
from pipeline.core.samples import LabelSpace
from pipeline.core.targets import LABELS, VALUES, Target
from pipeline.nets.views import View, parse_all
from pipeline.predict import folder, texts
from pipeline.predict.predictor import Predictor

# Views that leave torch, or whose random numbers are drawn outside it.
NOT_IN_A_GRAPH = ("jpeg", "noise")
STEPS_IN_A_GRAPH = ("class_scales", "new_class", "prior_correction", "clip", "round", "thresholds")
FLOOR = 1e-12
Step = Callable[[torch.Tensor], torch.Tensor]


def faults_of(manifest: folder.Manifest) -> list[str]:
    """Why a submission cannot be one graph, a line each."""
    faults = []
    if manifest.metadata:
        columns = ", ".join(one.name for one in manifest.metadata)
        faults.append(texts.GRAPH_METADATA.format(columns=columns))
    if manifest.trees is not None:
        faults.append(texts.GRAPH_TREES.format(member=manifest.trees.name))
    for member in manifest.members:
        for view in member.views:
            if view.partition("(")[0] in NOT_IN_A_GRAPH:
                faults.append(texts.GRAPH_VIEW.format(member=member.name, view=view))
        if member.images != 1:
            faults.append(texts.GRAPH_SEVERAL.format(member=member.name))
    if manifest.blend.rule not in (None, "mean", "geometric") or manifest.blend.stack:
        rule = "stacking" if manifest.blend.stack else manifest.blend.rule
        faults.append(texts.GRAPH_RULE.format(rule=rule))
    for step in manifest.steps:
        estimated = step.name == "prior_correction" and isinstance(step.fitted.get("to"), str)
        if is_plugin(step.name) or step.name not in STEPS_IN_A_GRAPH or estimated:
            faults.append(texts.GRAPH_STEP.format(step=step.name))
    return faults


class MemberGraph(nn.Module):
    """One member, from floats in [0, 1] to its predictions."""

    def __init__(self, predictor: Predictor, member: folder.Member) -> None:
        super().__init__()
        self.target = predictor.target
        self.views: tuple[View, ...] = parse_all(list(member.views))
        weights = np.array(member.view_weights) / sum(member.view_weights)
        self.view_weights: list[float] = weights.tolist()
        self.size = size = predictor.size_of(member)
        models = predictor.models
        self.backbone = models.network(member, member.backbone, size) if member.backbone else None
        made: list[nn.Module] = []
        self.shares: list[float] = []
        for committee in member.committees:
            for file, share in zip(committee.weights, committee.shares, strict=True):
                head = member.backbone is not None
                made.append(models.head(member, file) if head else models.network(member, file, size))
                self.shares.append(share / len(member.committees))
        self.models = nn.ModuleList(made)

    def forward(self, x_BCHW: torch.Tensor) -> torch.Tensor:
        """(B, K) predictions."""
        total = []
        for view, weight in zip(self.views, self.view_weights, strict=True):
            seen = view.apply(x_BCHW, self.size)
            if self.backbone is not None:
                features = self.backbone.features(seen)
                # A head holds those of several seeds, side by side.
                each = [predictions(model(features[None]), self.target).mean(0) for model in self.models]
            else:
                each = [predictions(model(seen), self.target) for model in self.models]
            voted = [share * p for share, p in zip(self.shares, each, strict=True)]
            total.append(weight * torch.stack(voted).sum(0))
        return normalised(torch.stack(total).sum(0), self.target)


class EnsembleGraph(nn.Module):
    """All members, their vote and the steps: from uint8 (B, H, W, C), one tensor for each look.

    Raises:
        ConfigError: a view, the rule of the blend or a step cannot be in a graph; all of them are named.
    """

    def __init__(self, predictor: Predictor) -> None:
        super().__init__()
        manifest = predictor.manifest
        faults = faults_of(manifest)
        if faults:
            raise ConfigError(texts.NO_GRAPH.format(name=manifest.name), faults, texts.NO_GRAPH_REMEDY)
        self.target = predictor.target
        self.members = nn.ModuleList([MemberGraph(predictor, member) for member in manifest.members])
        self.looks = [member.look for member in manifest.members]
        total = sum(member.weight for member in manifest.members)
        self.weights = [member.weight / total for member in manifest.members]
        self.temperatures = [member.temperature for member in manifest.members]
        self.rule = manifest.blend.rule
        self.steps = [step_of(step, predictor.space) for step in manifest.steps]

    def forward(self, *images: torch.Tensor) -> torch.Tensor:
        """(B, K) predictions of the images, as each look shows them."""
        seen = [x_BHWC.permute(0, 3, 1, 2).float() / 255 for x_BHWC in images]
        p_MBK = [member(seen[look]) for member, look in zip(self.members, self.looks, strict=True)]
        p_MBK = [heated(p, t, self.target) for p, t in zip(p_MBK, self.temperatures, strict=True)]
        p = p_MBK[0] if self.rule is None else self._vote(p_MBK)
        for step in self.steps:
            p = step(p)
        return p

    def _vote(self, p_MBK: Sequence[torch.Tensor]) -> torch.Tensor:
        if self.rule == "mean":
            voted = [w * p for w, p in zip(self.weights, p_MBK, strict=True)]
            return normalised(torch.stack(voted).sum(0), self.target)
        logits = [w * logits_of(p, self.target) for w, p in zip(self.weights, p_MBK, strict=True)]
        return predictions(torch.stack(logits).sum(0), self.target)


def predictions(logits: torch.Tensor, target: Target) -> torch.Tensor:
    """From logits, along the last axis; as `Target.from_logits`."""
    logits = logits.float()
    if target.rows_sum_to_one:
        return logits.softmax(-1)
    if target.kind == VALUES:
        return logits
    p = logits.sigmoid()
    for block in target.blocks:
        p = torch.cat([p[..., : block.start], logits[..., block].softmax(-1), p[..., block.stop :]], -1)
    return p


def logits_of(p: torch.Tensor, target: Target) -> torch.Tensor:
    """Logarithms of probabilities, log odds of labels; floored as where the blend was fitted."""
    floored = p.clamp_min(LOG_FLOOR)
    if target.kind != LABELS:
        return floored.log()
    odds = floored.log() - (1 - p).clamp_min(LOG_FLOOR).log()
    for block in target.blocks:
        odds = torch.cat([odds[..., : block.start], floored[..., block].log(), odds[..., block.stop :]], -1)
    return odds


def normalised(p: torch.Tensor, target: Target) -> torch.Tensor:
    """Rows that are valid again; as `Target.normalised`."""
    if target.rows_sum_to_one:
        return p / p.sum(-1, keepdim=True)
    if target.kind == VALUES:
        return p
    p = p.clamp(0, 1)
    for block in target.blocks:
        levels = p[..., block] / p[..., block].sum(-1, keepdim=True)
        p = torch.cat([p[..., : block.start], levels, p[..., block.stop :]], -1)
    return p


def heated(p: torch.Tensor, temperature: float, target: Target) -> torch.Tensor:
    """Predictions at another temperature."""
    return p if temperature == 1.0 else predictions(logits_of(p, target) / temperature, target)


def step_of(step: folder.Step, space: LabelSpace) -> Step:
    """A decision step as a function of torch."""
    fitted, target = step.fitted, Target.of(space)
    if step.name == "round":
        return lambda p: (p + 0.5).floor()
    if step.name == "new_class":
        at = torch.tensor([name == fitted["class"] for name in space.classes])
        least, own = torch.tensor(float(str(fitted["threshold"]))), 1.0 if fitted["own"] else 0.0
        return lambda p: normalised(torch.where(at, torch.maximum(own * p, least), p), target)
    if step.name == "clip":
        low, high = (torch.tensor(fitted[name], dtype=torch.float32) for name in ("low", "high"))
        return lambda p: torch.minimum(torch.maximum(p, low), high)
    if step.name == "thresholds":
        given = fitted["thresholds"]
        assert isinstance(given, dict), "checked by `steps.fault_of`"
        at_K = np.array([float(str(given[name])) for name in target.columns])
        shift = torch.tensor(np.log(at_K) - np.log1p(-at_K), dtype=torch.float32)
        return lambda p: predictions(logits_of(p, target) - shift, target)
    if step.name == "class_scales":
        scales = fitted["scales"]
        assert isinstance(scales, dict), "checked by `steps.fault_of`"
        ratio = torch.tensor([float(str(scales[name])) for name in space.classes])
    else:
        ratio = torch.tensor(np.array(fitted["to"]) / np.array(fitted["from"]), dtype=torch.float32)
        if target.kind == LABELS:
            return lambda p: _prior_of_labels(p, np.array(fitted["from"]), np.array(fitted["to"]), target)
    return lambda p: normalised(p.clamp_min(FLOOR) * ratio, target)


def _prior_of_labels(p: torch.Tensor, old_K: np.ndarray, new_K: np.ndarray, target: Target) -> torch.Tensor:
    """Each label for itself, as two classes: with it and without it; or its levels."""
    old, new = (torch.tensor(v, dtype=torch.float32) for v in (old_K, new_K))
    held, not_held = p * new / old, (1 - p) * (1 - new) / (1 - old)
    corrected = held / (held + not_held)
    for block in target.blocks:
        levels = held[..., block] / held[..., block].sum(-1, keepdim=True)
        corrected = torch.cat([corrected[..., : block.start], levels, corrected[..., block.stop :]], -1)
    return corrected
