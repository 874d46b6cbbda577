"""Losses of labels that may hold together, and of values: a sum over the known cells of a row.

Owns their formulas and the weights of labels, by how often they hold and by the metric. Does not own which
loss the settings name, or the losses of exclusive classes (`train/losses.py`).

Unknown cells (NaN) are left out: the loss of a row is the mean over its known labels or values, and its
weight their share, so that a window's loss is the mean over all its known cells. A row of which nothing is
known has weight 0. A label of several levels is one cell, with the loss of exclusive classes.

Losses of labels are linear in their target, as those of classes are: `…_terms` give the loss if the label
holds and if it does not, and a target in between (mixed images, soft labels) has their weighted mean.

Values are compared in standard deviations of the training part, so that several of them count equally and
the learning rate does not depend on their unit.

Legend: B rows, C columns, L labels, S labels of two values, G labels of W levels each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch.nn.functional import huber_loss, softplus

from pipeline.core.errors import ConfigError
from pipeline.core.language import _
from pipeline.core.targets import Target
from pipeline.settings.loss import LossSettings, OneLossSettings, hand_faults
from pipeline.train.targets import ClassFacts

Rows = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
# (B, S) logits to the loss of each label if it holds, and if it does not.
Pair = tuple[torch.Tensor, torch.Tensor]
SingleTerms = Callable[[torch.Tensor], Pair]
# (B, G, W) logits to the loss of each level if it is the label's.
LevelTerms = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Layout:
    """Where the labels of a target stand among its columns.

    Args:
        single_S: columns of labels of two values.
        levels: for each number of levels W, (G, W) columns of the labels that have so many.
        n_labels: L.
    """

    single_S: torch.Tensor
    levels: tuple[torch.Tensor, ...]
    n_labels: int

    @staticmethod
    def of(target: Target, device: str) -> Layout:
        """The layout of a target of labels."""
        blocks = [list(range(block.start, block.stop)) for block in target.blocks]
        inside = {column for block in blocks for column in block}
        single = [column for column in range(target.n_columns) if column not in inside]
        widths = sorted({len(block) for block in blocks})
        levels = (torch.tensor([b for b in blocks if len(b) == width]) for width in widths)
        n_labels = len(single) + len(blocks)
        single_S = torch.tensor(single, dtype=torch.int64)
        return Layout(single_S.to(device), tuple(at.to(device) for at in levels), n_labels)


def wide(logits: torch.Tensor) -> torch.Tensor:
    """The same numbers in float32, or double if they are double."""
    return logits if logits.dtype == torch.float64 else logits.float()


def known_share(target_BC: torch.Tensor) -> torch.Tensor:
    """(B,) share of the columns that are known."""
    return (~target_BC.isnan()).to(target_BC.dtype).mean(-1)


def binary_terms(logits_BS: torch.Tensor) -> Pair:
    """Binary cross-entropy: -log p and -log(1 - p)."""
    return softplus(-logits_BS), softplus(logits_BS)


def focal_pair(logits_BS: torch.Tensor, gamma: float) -> Pair:
    """Binary cross-entropy times (1 - probability of the truth)^gamma; gamma 0 is cross-entropy.

    Source: Lin et al., https://arxiv.org/abs/1708.02002, equation 4.
    """
    holds, not_ = binary_terms(logits_BS)
    if gamma == 0:
        return holds, not_
    return _power(torch.sigmoid(-logits_BS), gamma) * holds, _power(torch.sigmoid(logits_BS), gamma) * not_


def asymmetric_pair(logits_BS: torch.Tensor, gamma_pos: float, gamma_neg: float, clip: float) -> Pair:
    """Asymmetric loss: labels that do not hold are focused more, and the easy ones of them cost nothing.

    If it holds: (1 - p)^gamma_pos (-log p). If it does not, with q = max(p - clip, 0): q^gamma_neg
    (-log(1 - q)). With equal gammas and clip 0 it is the focal loss.
    Source: Ridnik et al., https://arxiv.org/abs/2009.14119, equations 4 to 7.
    """
    holds = focal_pair(logits_BS, gamma_pos)[0]
    if clip == 0:
        return holds, focal_pair(logits_BS, gamma_neg)[1]
    shifted = (torch.sigmoid(logits_BS) - clip).clamp_min(0)
    focus = _power(shifted, gamma_neg) if gamma_neg else 1.0
    return holds, -focus * torch.log1p(-shifted)


def _power(p: torch.Tensor, gamma: float) -> torch.Tensor:
    """p^gamma; the clamp avoids the infinite slope at 0 for gamma below 1."""
    return p.clamp_min(torch.finfo(p.dtype).eps).pow(gamma)


def of_labels(
    layout: Layout,
    single: SingleTerms,
    level: LevelTerms,
    smoothing: float,
    weights: tuple[torch.Tensor, torch.Tensor] | None = None,
) -> tuple[Rows, Callable[[torch.Tensor], torch.Tensor]]:
    """The loss of rows of labels, and the weight of rows.

    Args:
        layout: where the labels stand.
        single: the loss of a label of two values.
        level: the loss of a label of several levels.
        smoothing: label smoothing, 0 to 1: this much of a cell is spread over both values or all levels.
        weights: (C,) weight of a cell if its column holds, and if it does not; None: all equal.
    """

    def cells(target_BC: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, L) weight of each cell, 0 where it is unknown, and (B, C) the target without NaN."""
        known_BC = ~target_BC.isnan()
        target_BC = torch.where(known_BC, target_BC, 0)
        up, down = (None, None) if weights is None else (w.to(target_BC) for w in weights)
        parts = []
        if len(layout.single_S):
            t, seen = (x.index_select(-1, layout.single_S) for x in (target_BC, known_BC))
            weight = torch.ones_like(t)
            if up is not None and down is not None:
                weight = t * up[layout.single_S] + (1 - t) * down[layout.single_S]
            parts.append(weight * seen)
        for at_GW in layout.levels:
            t, seen = target_BC[..., at_GW], known_BC[..., at_GW].all(-1)
            weight = t.sum(-1) if up is None else (t * up[at_GW]).sum(-1)
            parts.append(weight * seen)
        return torch.cat(parts, -1), target_BC

    def rows(logits_BC: torch.Tensor, target_BC: torch.Tensor) -> torch.Tensor:
        logits_BC = wide(logits_BC)
        weight_BL, target_BC = cells(target_BC.to(logits_BC.dtype))
        parts = []
        if len(layout.single_S):
            holds, not_ = single(logits_BC.index_select(-1, layout.single_S))
            t = target_BC.index_select(-1, layout.single_S) * (1 - smoothing) + smoothing / 2
            parts.append(t * holds + (1 - t) * not_)
        for at_GW in layout.levels:
            t = target_BC[..., at_GW] * (1 - smoothing) + smoothing / at_GW.shape[1]
            parts.append((t * level(logits_BC[..., at_GW])).sum(-1))
        total = (torch.cat(parts, -1) * weight_BL).sum(-1)
        # The loss is a mean over the row's cells, and the loop multiplies by their weight.
        return total / weight_BL.sum(-1).clamp_min(torch.finfo(total.dtype).tiny)

    def weigh(target_BC: torch.Tensor) -> torch.Tensor:
        return cells(target_BC)[0].sum(-1) / layout.n_labels

    return rows, weigh


def soft_f1_of_labels(logits_BC: torch.Tensor, target_BC: torch.Tensor, layout: Layout) -> torch.Tensor:
    """1 - macro F1 of the labels with probabilities instead of counts: one figure for the batch.

    The mean is over the labels that occur in the batch, among their known cells.
    Source: Eban et al., https://arxiv.org/abs/1608.04802, the relaxation of counts by probabilities.
    """
    logits_BC = wide(logits_BC)
    p_BC = torch.sigmoid(logits_BC)
    for at_GW in layout.levels:
        flat = at_GW.flatten()
        p_BC = p_BC.index_copy(-1, flat, logits_BC[..., at_GW].softmax(-1).flatten(-2))
    known_BC = ~target_BC.isnan()
    t_BC = torch.where(known_BC, target_BC, 0).to(p_BC.dtype)
    hits, support, said = (p_BC * t_BC).sum(-2), t_BC.sum(-2), (p_BC * known_BC).sum(-2)
    f1 = 2 * hits / (said + support).clamp_min(torch.finfo(p_BC.dtype).tiny)
    occurs = (support > 0).to(f1.dtype)
    return 1 - (f1 * occurs).sum(-1) / occurs.sum(-1).clamp_min(1)


def label_weights(
    settings: OneLossSettings, facts: ClassFacts, waits: bool = False
) -> tuple[torch.Tensor, torch.Tensor] | None:
    """(C,) weight of a cell if its column holds, and if it does not: by class and as the metric weighs them.

    Class weights are left out while they wait (`loss.defer`); None: all cells count equally.

    Raises:
        ConfigError: weights by hand for other labels; it lists all of them.
    """
    by_class = None if waits else _class_weights(settings, facts)
    of_metric_C = metric_weights(settings, facts)
    if of_metric_C is None:
        return by_class
    factor_C = torch.from_numpy(of_metric_C).float().to(facts.device)
    up_C, down_C = (torch.ones_like(factor_C),) * 2 if by_class is None else by_class
    return up_C * factor_C, down_C * factor_C


def metric_weights(settings: OneLossSettings, facts: ClassFacts) -> np.ndarray | None:
    """(C,) weight of the cells of each column, by its label and its level; None: all equal.

    Labels weigh as they do in the mean of the metric, with a mean of 1; the levels of a label too, over its
    rows, so that a label does not count more because its rows do.
    """
    given = settings.label_weights if isinstance(settings, LossSettings) else "none"
    if given == "none":
        return None
    space = facts.space if isinstance(given, str) else replace(facts.space, weights=tuple(given.items()))
    cells, held_C = space.cells, facts.counts_C.astype(np.float64)
    level_C, label_L = np.array(cells.level_weights), np.array(cells.label_weights)
    if (level_C == 1).all() and (label_L == label_L[0]).all():
        return None
    made_C = level_C.copy()
    for block in facts.target.blocks:
        total = (level_C[block] * held_C[block]).sum()
        made_C[block] *= held_C[block].sum() / total if total > 0 else 1.0
    return np.asarray(made_C * np.repeat(label_L / label_L.mean(), cells.widths))


def _class_weights(settings: OneLossSettings, facts: ClassFacts) -> tuple[torch.Tensor, torch.Tensor] | None:
    """(C,) weight of a cell if its column holds, and if it does not; a mean of 1 over the cells of a label.

    inverse: 1/n, so that both values, or all levels, of a label count equally. effective: (1 - β)/(1 - β^n).
    hand: as given for a label that holds, and 1 for one that does not.

    Raises:
        ConfigError: weights by hand for other labels; it lists all of them.

    Source: Cui et al., https://arxiv.org/abs/1901.05555, equations 4 and 7.
    """
    if settings.class_weights == "none":
        return None
    assert facts.known_C is not None, "facts of labels count where they are known"
    held_C, known_C = facts.counts_C.astype(np.float64), facts.known_C.astype(np.float64)
    free_C = known_C - held_C
    if settings.class_weights == "hand":
        if faults := hand_faults(settings.hand, facts.space.classes):
            raise ConfigError(_("loss.hand: does not fit the labels"), faults)
        up_C = np.array([(settings.hand or {})[name] for name in facts.space.classes])
        down_C = np.ones_like(up_C)
    else:
        beta = settings.beta if settings.class_weights == "effective" else None
        up_C, down_C = (_by_count(np.maximum(count, 1), beta) for count in (held_C, free_C))
    in_block = np.zeros(len(up_C), bool)
    for block in facts.target.blocks:
        in_block[block] = True
        total = (up_C[block] * held_C[block]).sum()
        up_C[block] *= held_C[block].sum() / total if total > 0 else 1.0
    total_C = up_C * held_C + down_C * free_C
    scale_C = np.where(in_block | (total_C == 0), 1.0, known_C / np.where(total_C == 0, 1.0, total_C))
    pair = (torch.from_numpy(up_C * scale_C).float(), torch.from_numpy(down_C * scale_C).float())
    return pair[0].to(facts.device), pair[1].to(facts.device)


def _by_count(count_C: np.ndarray, beta: float | None) -> np.ndarray:
    return 1 / count_C if beta is None else 1 / (1 - beta**count_C)


def of_values(spread_C: Sequence[float], each: Callable[[torch.Tensor], torch.Tensor], device: str) -> Rows:
    """(logits_BC, target_BC) -> (B,) mean over the known values of a loss of (B, C) differences.

    `spread_C` is the unit of the differences: prediction minus truth, in standard deviations of the value.
    """
    unit_C = torch.tensor(list(spread_C)).to(device)

    def rows(values_BC: torch.Tensor, target_BC: torch.Tensor) -> torch.Tensor:
        values_BC = wide(values_BC)
        known_BC = ~target_BC.isnan()
        target_BC = torch.where(known_BC, target_BC.to(values_BC.dtype), values_BC.detach())
        loss_BC = each((values_BC - target_BC) / unit_C.to(values_BC)) * known_BC
        return loss_BC.sum(-1) / known_BC.sum(-1).clamp_min(1)

    return rows


def squared(off_BC: torch.Tensor) -> torch.Tensor:
    """Squared error: the best prediction is the mean."""
    return off_BC.square()


def absolute(off_BC: torch.Tensor) -> torch.Tensor:
    """Absolute error: the best prediction is the median."""
    return off_BC.abs()


def huber(delta: float) -> Callable[[torch.Tensor], torch.Tensor]:
    """Squared error up to `delta` standard deviations, and linear beyond: outliers count less.

    Source: Huber, Robust Estimation of a Location Parameter (1964).
    """
    return lambda off_BC: huber_loss(off_BC, torch.zeros_like(off_BC), reduction="none", delta=delta)


def pinball(quantile: float) -> Callable[[torch.Tensor], torch.Tensor]:
    """The loss whose best prediction is this quantile.

    Source: Koenker & Bassett, Regression Quantiles (Econometrica 1978).
    """
    return lambda off_BC: torch.maximum(-quantile * off_BC, (1 - quantile) * off_BC)


VALUES: dict[str, Callable[[OneLossSettings], Callable[[torch.Tensor], torch.Tensor]]] = {
    "cross_entropy": lambda s: squared,
    "mse": lambda s: squared,
    "mae": lambda s: absolute,
    "huber": lambda s: huber(s.delta),
    "quantile": lambda s: pinball(s.quantile),
}


def singles(settings: OneLossSettings) -> SingleTerms:
    """The loss of a label of two values that the settings name; soft F1 is blended with cross-entropy."""
    if settings.name == "focal":
        return partial(focal_pair, gamma=settings.gamma)
    if settings.name == "asymmetric":
        pos, neg = settings.gamma_pos, settings.gamma_neg
        return partial(asymmetric_pair, gamma_pos=pos, gamma_neg=neg, clip=settings.clip)
    return binary_terms
