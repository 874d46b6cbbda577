"""Losses by name, each as one number per row, and how much each row counts.

Owns what training minimises: which formula the settings name, class weights, and a loss per attribute.
Does not own the formulas (`train/loss_formulas.py`, `train/loss_long_tail.py`), code of the user's own
(`train/loss_own.py`) nor averaging: the loop sums over an accumulation window and divides once by the
window's total weight, which no loss that averages by itself allows.

Targets are distributions over the classes, (B, C): a plain label is a one-hot row (`train/targets.py`).

`train_loss` and `valid_loss` are this same figure, class weights, smoothing and adjusted logits included,
so that their gap means something; sample weights, mixing and dropout are training's alone. Across
experiments with other losses, compare scores, not losses.

Legend: B rows, C classes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch

from pipeline.core.errors import ConfigError, UserError, nearest
from pipeline.core.plugin import is_plugin
from pipeline.settings.losses import LOSSES, OneLossSettings
from pipeline.settings.schema import LossSettings, TrainSettings
from pipeline.train import loss_formulas as terms
from pipeline.train import loss_long_tail as tail
from pipeline.train.loss_attributes import attribute_facts, summed
from pipeline.train.loss_formulas import Rows, rows_of
from pipeline.train.loss_own import own_loss, takes_soft
from pipeline.train.targets import ClassFacts


@dataclass(frozen=True)
class Loss:
    """What training minimises over a window: Σ weight · loss / Σ weight.

    Args:
        rows: (logits_BC, target_BC) -> (B,), one loss per row.
        weight_C: class weights, or None: every row counts alike.
    """

    rows: Rows
    weight_C: torch.Tensor | None = None

    def __call__(self, logits_BC: torch.Tensor, target_BC: torch.Tensor) -> torch.Tensor:
        """(B,) one loss per row, in float32 or double precision."""
        return self.rows(logits_BC, target_BC)

    def weigh(self, target_BC: torch.Tensor) -> torch.Tensor:
        """(B,) how much each row counts by its classes, > 0; multiply by sample weights."""
        if self.weight_C is None:
            return torch.ones_like(target_BC[..., 0])
        return target_BC @ self.weight_C.to(target_BC)

    def mean(self, logits_BC: torch.Tensor, target_BC: torch.Tensor) -> torch.Tensor:
        """The loss of these rows as one window without sample weights."""
        weight_B = self.weigh(target_BC)
        return (self(logits_BC, target_BC) * weight_B).sum() / weight_B.sum()


Make = Callable[[OneLossSettings, ClassFacts, torch.Tensor | None], Rows]


def _cross_entropy(s: OneLossSettings, facts: ClassFacts, weight_C: torch.Tensor | None) -> Rows:
    return rows_of(terms.cross_entropy_terms, s.label_smoothing, weight_C)


def _focal(s: OneLossSettings, facts: ClassFacts, weight_C: torch.Tensor | None) -> Rows:
    return rows_of(partial(terms.focal_terms, gamma=s.gamma), s.label_smoothing, weight_C)


def _asymmetric(s: OneLossSettings, facts: ClassFacts, weight_C: torch.Tensor | None) -> Rows:
    each = partial(
        terms.asymmetric_terms,
        gamma_pos=s.gamma_pos,
        gamma_neg=s.gamma_neg,
        smoothing=s.label_smoothing,
    )
    return rows_of(each, 0.0, weight_C)


def _ordinal(s: OneLossSettings, facts: ClassFacts, weight_C: torch.Tensor | None) -> Rows:
    return rows_of(terms.ordinal_terms, s.label_smoothing, weight_C)


def _soft_f1(s: OneLossSettings, facts: ClassFacts, weight_C: torch.Tensor | None) -> Rows:
    """Each row gets the batch's figure: its weighted mean over one batch is that figure again."""
    entropy = _cross_entropy(s, facts, weight_C)

    def rows(logits_BC: torch.Tensor, target_BC: torch.Tensor) -> torch.Tensor:
        f1 = terms.soft_f1_loss(logits_BC, target_BC)[..., None]
        return s.blend * f1 + (1 - s.blend) * entropy(logits_BC, target_BC)

    return rows


def _ldam(s: OneLossSettings, facts: ClassFacts, weight_C: torch.Tensor | None) -> Rows:
    margin_C = tail.margins(facts, s.max_margin)
    return rows_of(partial(tail.ldam_terms, margin_C=margin_C, scale=s.scale), s.label_smoothing, weight_C)


def _logit_adjustment(s: OneLossSettings, facts: ClassFacts, weight_C: torch.Tensor | None) -> Rows:
    shift_C = s.tau * tail.log_priors(facts)
    return rows_of(partial(tail.adjusted_terms, shift_C=shift_C), s.label_smoothing, weight_C)


def _balanced_softmax(s: OneLossSettings, facts: ClassFacts, weight_C: torch.Tensor | None) -> Rows:
    shift_C = tail.present_counts(facts).log()
    return rows_of(partial(tail.adjusted_terms, shift_C=shift_C), s.label_smoothing, weight_C)


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

    Args:
        settings: name and parameters.
        facts: of the training rows; never of a validation part.
        epoch: from 0; class weights may be deferred.
        epochs: of the whole run.

    Raises:
        ConfigError: an unknown name, weights by hand that name other classes, a function of the user's
            own that cannot be loaded.
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
    waits = tail.deferred(settings, epoch, epochs)
    weight_C = None if waits else tail.class_weights(settings, facts)
    if is_plugin(settings.name):
        return Loss(own_loss(settings.name), weight_C)
    if settings.name not in REGISTRY:
        hint = nearest(settings.name, REGISTRY)
        raise ConfigError(
            f"loss.name: no loss called {settings.name!r}",
            [hint] if hint else [],
            f"choose one of {', '.join(REGISTRY)}",
        )
    return Loss(REGISTRY[settings.name](settings, facts, weight_C), weight_C)


def refuse_soft(settings: LossSettings, why: str) -> None:
    """Stop where targets will be distributions and the loss takes plain labels only.

    Args:
        settings: the loss; every loss of the registry is defined for distributions, a function of the
            user's own may say that it is not.
        why: the setting that makes them, e.g. "train.mix=mixup".

    Raises:
        ConfigError: naming the pair.
    """
    names = dict.fromkeys([settings.name, *(own.name for own in settings.attributes.values())])
    refused = [n for n in names if not (takes_soft(n) if is_plugin(n) else LOSSES[n].soft_targets)]
    if refused:
        raise ConfigError(
            f"loss.name={refused[0]} and {why}: this loss takes plain labels only",
            remedy=f"leave out {why.partition('=')[0]}, or choose a loss that takes them, e.g. cross_entropy",
        )


def diverged(where: str, settings: TrainSettings) -> UserError:
    """The error to raise when a loss is no finite number.

    Args:
        where: fold, epoch and step.
        settings: whose values the remedy names.
    """
    return UserError(
        f"{where}: the loss is not a finite number",
        remedy=f"try a smaller train.lr (now {settings.lr:g}), train.clip_norm=1, a longer "
        f"train.warmup_epochs, or train.precision=fp32 (now {settings.precision})",
    )
