"""Losses by name: one number per row, and how much each row counts.

Owns what training minimises: which formula the settings name, class weights, a loss per attribute, and
checks of a loss of the user's own. Does not own the formulas (`train/loss_formulas.py`), finding the user's
code (`core/plugin.py`) nor averaging: the loop sums over an accumulation window and divides once by the
window's total weight, which a loss that averages by itself would not allow.

Targets are distributions over the classes, (B, C): a plain label is a one-hot row (`train/targets.py`).

`train_loss` and `valid_loss` are this same figure, class weights, smoothing and adjusted logits included,
so that their gap means something; sample weights, mixing and dropout apply in training only. Compare
experiments with different losses by their scores.

A loss per attribute: each sees the probabilities, targets and counts of its own attribute, and the losses
are summed. With cross-entropy and shares of 1 the sum is the cross-entropy of the class, since the heads
multiply. Class weights scale the rows of an attribute to a mean weight of 1 over the training rows, instead
of dividing by the weight of a window: several attributes cannot share one divisor.

`loss.name=module:function` names a loss of the user's own, which is checked at each call:

    def hinge(logits_BC, target_BC):      # float32 logits; targets are distributions over the classes
        ...
        return loss_B                     # one loss per row, differentiable

`hinge.soft_targets = False` declares that it accepts one-hot targets only; it is then refused where images
are mixed or labels are soft.

Legend: B rows, C classes, K values of one attribute.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipeline.core import plugin
from pipeline.core.errors import ConfigError, UserError, nearest
from pipeline.core.plugin import is_plugin
from pipeline.core.samples import LabelSpace
from pipeline.core.targets import Target
from pipeline.settings.loss import LOSSES, LossSettings, OneLossSettings
from pipeline.settings.schema import Config
from pipeline.settings.train import TrainSettings
from pipeline.train import loss_formulas
from pipeline.train.loss_formulas import Rows, rows_of, wide
from pipeline.train.targets import ClassFacts

SETTING = "loss.name"
TRIAL_ROWS = 6


def own_loss(name: str) -> Rows:
    """The function `module:function` of the current folder, with its results checked at each call.

    Raises:
        ConfigError: it cannot be loaded; when called: it fails, or does not return (B,) finite losses.
    """
    function = _load(name)

    def rows(logits_BC: torch.Tensor, target_BC: torch.Tensor) -> torch.Tensor:
        logits_BC = wide(logits_BC)
        value = plugin.call(name, function, logits_BC, target_BC.to(logits_BC.dtype))
        return _checked(name, value, logits_BC)

    return rows


def takes_soft(name: str) -> bool:
    """Whether the function accepts soft targets; it does unless it declares `soft_targets = False`."""
    return bool(getattr(_load(name), "soft_targets", True))


def trial(name: str, sizes: Sequence[int]) -> None:
    """Call it once for each number of classes, forward and backward, before a long training depends on it.

    Raises:
        ConfigError: as `own_loss`, or a gradient that is missing or not finite.
    """
    loss, generator = own_loss(name), torch.Generator().manual_seed(0)
    for size in sizes:
        logits_BC = torch.randn(TRIAL_ROWS, size, generator=generator, requires_grad=True)
        target_BC = torch.eye(size)[torch.arange(TRIAL_ROWS) % size]
        loss(logits_BC, target_BC).sum().backward()  # type: ignore[no-untyped-call]
        if logits_BC.grad is None or not torch.isfinite(logits_BC.grad).all():
            raise ConfigError(
                f"{SETTING}: {name} has no finite gradient for the logits",
                remedy="compute it from logits_BC with torch's differentiable functions",
            )


def _load(name: str) -> Callable[..., Any]:
    return plugin.load(name, Path.cwd(), SETTING)


def _checked(name: str, value: Any, logits_BC: torch.Tensor) -> torch.Tensor:
    rows = len(logits_BC)
    if not isinstance(value, torch.Tensor) or value.shape != (rows,) or not value.is_floating_point():
        shown = f"{value.dtype} {tuple(value.shape)}" if isinstance(value, torch.Tensor) else repr(value)[:60]
        raise ConfigError(
            f"{SETTING}: {name} returned {shown} for {rows} rows",
            remedy=f"return one loss per row, a float tensor of shape ({rows},), not their mean",
        )
    if torch.is_grad_enabled() and logits_BC.requires_grad and not value.requires_grad:
        raise ConfigError(
            f"{SETTING}: {name} is not differentiable: its losses do not depend on the logits",
            remedy="argmax, comparisons, .detach() and numpy stop the gradient; use softmax instead",
        )
    if not torch.isfinite(value).all() and torch.isfinite(logits_BC).all():
        odd = int((~torch.isfinite(value)).sum())
        raise ConfigError(
            f"{SETTING}: {name} gave {odd} of {rows} losses that are not finite, for finite logits",
            remedy="use logits_BC.log_softmax(-1), not the log of a softmax; do not divide by values near 0",
        )
    return value


def attribute_facts(facts: ClassFacts, attribute: int) -> ClassFacts:
    """The facts for the loss of one attribute: its values as classes, and their counts."""
    facts.target.require_exclusive("model.heads: a loss per attribute")
    space = LabelSpace.product([facts.space.attributes[attribute]])
    codes_C = facts.space.codes_CA[:, attribute]
    counts = np.bincount(codes_C, weights=facts.counts_C, minlength=space.n_classes)
    return ClassFacts(space, counts.astype(np.float32))


def classes_of(space: LabelSpace, attribute: int) -> list[torch.Tensor]:
    """For each value of an attribute, the indices of the classes that have it; at least one each."""
    return [torch.from_numpy(at) for at in Target.of(space).columns_of(attribute)]


def log_marginal(log_p_BC: torch.Tensor, classes_K: Sequence[torch.Tensor]) -> torch.Tensor:
    """(B, K) log-probabilities of the values of an attribute, summed over the classes that have them."""
    at_K = [classes.to(log_p_BC.device) for classes in classes_K]
    return torch.stack([log_p_BC.index_select(-1, at).logsumexp(-1) for at in at_K], -1)


def marginal_target(target_BC: torch.Tensor, classes_K: Sequence[torch.Tensor]) -> torch.Tensor:
    """(B, K) targets of an attribute: class columns summed by value."""
    at_K = [classes.to(target_BC.device) for classes in classes_K]
    return torch.stack([target_BC.index_select(-1, at).sum(-1) for at in at_K], -1)


def summed(
    space: LabelSpace,
    rows_A: Sequence[Rows],
    weigh_A: Sequence[Callable[[torch.Tensor], torch.Tensor]],
    share_A: Sequence[float],
) -> Rows:
    """(logits_BC, target_BC) -> (B,) sum over attributes of share · weight of the row · loss, on (B, K)."""
    classes_AK = [classes_of(space, attribute) for attribute in range(len(space.attributes))]

    def rows(logits_BC: torch.Tensor, target_BC: torch.Tensor) -> torch.Tensor:
        log_p_BC = wide(logits_BC).log_softmax(-1)
        total = torch.zeros_like(log_p_BC[..., 0])
        for classes_K, loss, weigh, share in zip(classes_AK, rows_A, weigh_A, share_A, strict=True):
            target_BK = marginal_target(target_BC.to(log_p_BC.dtype), classes_K)
            value_B = loss(log_marginal(log_p_BC, classes_K), target_BK)
            total = total + share * weigh(target_BK) * value_B
        return total

    return rows


@dataclass(frozen=True)
class Loss:
    """A loss with class weights; training minimises Σ weight · loss / Σ weight over a window.

    Args:
        rows: (logits_BC, target_BC) -> (B,), one loss per row.
        weight_C: class weights; None: all equal.
    """

    rows: Rows
    weight_C: torch.Tensor | None = None

    def __call__(self, logits_BC: torch.Tensor, target_BC: torch.Tensor) -> torch.Tensor:
        """(B,) one loss per row, in float32 or double precision."""
        return self.rows(logits_BC, target_BC)

    def weigh(self, target_BC: torch.Tensor) -> torch.Tensor:
        """(B,) the class weight of each row, > 0; multiply it by sample weights."""
        if self.weight_C is None:
            return torch.ones_like(target_BC[..., 0])
        return target_BC @ self.weight_C.to(target_BC)

    def mean(self, logits_BC: torch.Tensor, target_BC: torch.Tensor) -> torch.Tensor:
        """The loss of these rows as one window without sample weights."""
        weight_B = self.weigh(target_BC)
        return (self(logits_BC, target_BC) * weight_B).sum() / weight_B.sum()


Make = Callable[[OneLossSettings, ClassFacts, torch.Tensor | None], Rows]


def _cross_entropy(s: OneLossSettings, facts: ClassFacts, weight_C: torch.Tensor | None) -> Rows:
    return rows_of(loss_formulas.cross_entropy_terms, s.label_smoothing, weight_C)


def _focal(s: OneLossSettings, facts: ClassFacts, weight_C: torch.Tensor | None) -> Rows:
    return rows_of(partial(loss_formulas.focal_terms, gamma=s.gamma), s.label_smoothing, weight_C)


def _asymmetric(s: OneLossSettings, facts: ClassFacts, weight_C: torch.Tensor | None) -> Rows:
    each = partial(loss_formulas.asymmetric_terms, gamma_pos=s.gamma_pos, gamma_neg=s.gamma_neg)
    return rows_of(partial(each, smoothing=s.label_smoothing), 0.0, weight_C)


def _ordinal(s: OneLossSettings, facts: ClassFacts, weight_C: torch.Tensor | None) -> Rows:
    return rows_of(loss_formulas.ordinal_terms, s.label_smoothing, weight_C)


def _soft_f1(s: OneLossSettings, facts: ClassFacts, weight_C: torch.Tensor | None) -> Rows:
    """Each row has the figure of the batch, so its weighted mean over one batch is that figure."""
    entropy = _cross_entropy(s, facts, weight_C)

    def rows(logits_BC: torch.Tensor, target_BC: torch.Tensor) -> torch.Tensor:
        f1 = loss_formulas.soft_f1_loss(logits_BC, target_BC)[..., None]
        return s.blend * f1 + (1 - s.blend) * entropy(logits_BC, target_BC)

    return rows


def _ldam(s: OneLossSettings, facts: ClassFacts, weight_C: torch.Tensor | None) -> Rows:
    margin_C = loss_formulas.margins(facts, s.max_margin)
    terms = partial(loss_formulas.ldam_terms, margin_C=margin_C, scale=s.scale)
    return rows_of(terms, s.label_smoothing, weight_C)


def _logit_adjustment(s: OneLossSettings, facts: ClassFacts, weight_C: torch.Tensor | None) -> Rows:
    shift_C = s.tau * loss_formulas.log_priors(facts)
    return rows_of(partial(loss_formulas.adjusted_terms, shift_C=shift_C), s.label_smoothing, weight_C)


def _balanced_softmax(s: OneLossSettings, facts: ClassFacts, weight_C: torch.Tensor | None) -> Rows:
    shift_C = loss_formulas.present_counts(facts).log()
    return rows_of(partial(loss_formulas.adjusted_terms, shift_C=shift_C), s.label_smoothing, weight_C)


REGISTRY: dict[str, Make] = {
    "cross_entropy": _cross_entropy,
    "focal": _focal,
    "asymmetric": _asymmetric,
    "soft_f1": _soft_f1,
    "ldam": _ldam,
    "logit_adjustment": _logit_adjustment,
    "balanced_softmax": _balanced_softmax,
    "ordinal": _ordinal,
}


def make_loss(settings: LossSettings, facts: ClassFacts, epoch: int = 0, epochs: int = 1) -> Loss:
    """The loss of these settings in one epoch.

    The facts are those of the training rows, never of a validation part; `epoch` counts from 0.

    Raises:
        ConfigError: an unknown name, weights by hand for other classes, a function of the user's own that
            cannot be loaded, or a target that the loss does not make sense for.
    """
    heads = facts.heads
    if heads is None:
        return _one(settings, facts, epoch, epochs)
    rows, weigh, shares = [], [], []
    for number, attribute in enumerate(facts.space.attributes):
        own = settings.attributes.get(attribute.name)
        chosen: OneLossSettings = own or settings
        if own is None and attribute.name in heads.ordinal:
            chosen = settings.model_copy(update={"name": "ordinal"})
        loss = _one(chosen, attribute_facts(facts, number), epoch, epochs)
        rows.append(loss.rows)
        weigh.append(loss.weigh)
        shares.append(own.share if own else 1.0)
    return Loss(summed(facts.space, rows, weigh, shares))


def _one(settings: OneLossSettings, facts: ClassFacts, epoch: int, epochs: int) -> Loss:
    waits = loss_formulas.deferred(settings, epoch, epochs)
    weight_C = None if waits else loss_formulas.class_weights(settings, facts)
    if is_plugin(settings.name):
        return Loss(own_loss(settings.name), weight_C)
    if settings.name not in REGISTRY:
        hint = nearest(settings.name, REGISTRY)
        raise ConfigError(
            f"loss.name: unknown loss {settings.name!r}",
            [hint] if hint else [],
            f"choose one of {', '.join(REGISTRY)}",
        )
    facts.target.require_exclusive(f"loss.name={settings.name}")
    return Loss(REGISTRY[settings.name](settings, facts, weight_C), weight_C)


def refuse_soft(settings: LossSettings, why: str) -> None:
    """Reject soft targets where the loss accepts plain labels only.

    Every loss of the registry is defined for distributions unless it says otherwise; a function of the user's
    own may declare that it is not. `why` is the setting that makes targets soft, e.g. "train.mix=mixup".

    Raises:
        ConfigError: with the pair of settings.
    """
    names = dict.fromkeys([settings.name, *(own.name for own in settings.attributes.values())])
    refused = [n for n in names if not (takes_soft(n) if is_plugin(n) else LOSSES[n].soft_targets)]
    if refused:
        raise ConfigError(
            f"loss.name={refused[0]} and {why}: this loss accepts plain labels only",
            remedy=f"leave {why.partition('=')[0]} out, or choose another loss, e.g. cross_entropy",
        )


def refuse_unfit(config: Config) -> None:
    """Call a loss of the user's own once, and refuse settings whose soft labels it does not accept.

    Raises:
        ConfigError: as `trial` and `refuse_soft`.
    """
    loss, train = config.loss, config.train
    sizes = [len(a.values) for a in config.competition.attributes]
    trial(loss.name, sizes if config.model.heads == "attributes" else [math.prod(sizes)])
    if train.mix.method != "none":
        refuse_soft(loss, f"train.mix.method={train.mix.method}")
    if train.pseudo is not None and train.pseudo.soft:
        refuse_soft(loss, "train.pseudo.soft=true")
    if train.distill is not None:
        refuse_soft(loss, f"train.distill.soft={train.distill.soft:g}")
    for attribute in config.competition.attributes:
        if attribute.soft_width is not None:
            refuse_soft(loss, f"soft_width={attribute.soft_width:g} of {attribute.name}")


def diverged(where: str, settings: TrainSettings) -> UserError:
    """The error to raise when a loss is not a finite number; `where` is fold, epoch and step."""
    return UserError(
        f"{where}: the loss is not a finite number",
        remedy=f"try a smaller train.lr (now {settings.lr:g}), train.clip_norm=1, a longer "
        f"train.warmup_epochs, or train.precision=fp32 (now {settings.precision})",
    )
