"""Losses by name: one number per row, and how much each row counts.

Owns what training minimises: which formula the settings name, the formulas (those for long tails included:
class weights, margins and priors from the counts of the training rows), a loss per attribute, and checks of a
loss of the user's own. Does not own finding the user's code (`core/plugin.py`) nor averaging: the loop sums
over an accumulation window and divides once by the window's total weight, which a loss that averages by
itself would not allow.

Labels that may hold together and values have formulas of their own in `train/column_losses.py`; what follows
is about exclusive classes, and about shares, whose truth is a distribution.

Targets are distributions over the classes, (B, C): a plain label is a one-hot row (`train/targets.py`). A
loss is linear in its target wherever it can be: `…_terms` give (B, C), the loss of each row if class c were
its label, and a row whose target is a distribution has their weighted mean. Mixed images and soft labels then
need no special case: the loss of a mix is the mix of the losses. A class without a training row counts as one
with a single row, since soft targets may still name it.

`train_loss` and `valid_loss` are this same figure, class weights, smoothing and adjusted logits included, so
that their gap means something; sample weights, mixing and dropout apply in training only. Compare experiments
with different losses by their scores.

A loss per attribute: each sees the probabilities, targets and counts of its own attribute, and the losses are
summed. With cross-entropy and shares of 1 the sum is the cross-entropy of the class, since the heads
multiply. Class weights scale the rows of an attribute to a mean weight of 1 over the training rows, instead
of dividing by the weight of a window: several attributes cannot share one divisor.

Legend: B rows, C classes, K values of one attribute.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from pipeline.core.errors import ConfigError, UserError, nearest
from pipeline.core.language import _
from pipeline.core.plugin import is_plugin
from pipeline.core.samples import LabelSpace
from pipeline.core.targets import LABELS, VALUES, WORDS, Target
from pipeline.settings.loss import LOSSES, LossSettings, OneLossSettings, hand_faults, losses_for
from pipeline.settings.train import TrainSettings
from pipeline.train import column_losses
from pipeline.train.column_losses import wide
from pipeline.train.own_loss import own_loss
from pipeline.train.targets import ClassFacts

# How far cosines stay from ±1 in the loss of angles.
_END_OF_COSINES = 1e-6
# How much smaller a learning rate is advised after a loss that is not a finite number.
SLOWER = 10.0
Terms = Callable[[torch.Tensor], torch.Tensor]
# Up to this share of targets that are not 0, only their terms are computed.
_FEW = 0.25

MarginTerms = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
Rows = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
Make = Callable[[OneLossSettings, ClassFacts, torch.Tensor | None], Rows]


@dataclass(frozen=True)
class Loss:
    """A loss with class weights; training minimises Σ weight · loss / Σ weight over a window.

    Args:
        rows: (logits_BC, target_BC) -> (B,), one loss per row.
        weight_C: class weights; None: all equal.
        weigher: in place of class weights, (B, C) targets -> (B,) weights ≥ 0 of their rows.
    """

    rows: Rows
    weight_C: torch.Tensor | None = None
    weigher: Callable[[torch.Tensor], torch.Tensor] | None = None

    def __call__(self, logits_BC: torch.Tensor, target_BC: torch.Tensor) -> torch.Tensor:
        """(B,) one loss per row, in float32 or double precision."""
        return self.rows(logits_BC, target_BC)

    def weigh(self, target_BC: torch.Tensor) -> torch.Tensor:
        """(B,) the weight of each row by its target; multiply it by sample weights.

        That of its class, > 0; of labels and values the share of its cells that are known, ≥ 0.
        """
        if self.weigher is not None:
            return self.weigher(target_BC)
        if self.weight_C is None:
            return torch.ones_like(target_BC[..., 0])
        return target_BC @ self.weight_C.to(target_BC)

    def mean(self, logits_BC: torch.Tensor, target_BC: torch.Tensor) -> torch.Tensor:
        """The loss of these rows as one window without sample weights."""
        weight_B = self.weigh(target_BC)
        total = weight_B.sum().clamp_min(torch.finfo(weight_B.dtype).tiny)
        return (self(logits_BC, target_BC) * weight_B).sum() / total


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
    return Loss(summed(facts, rows, weigh, shares))


def stretch(settings: LossSettings, epoch: int, epochs: int) -> tuple[bool, ...]:
    """What of an epoch the loss depends on: two epochs with an equal stretch have the same loss."""
    return tuple(deferred(one, epoch, epochs) for one in (settings, *settings.attributes.values()))


def _one(settings: OneLossSettings, facts: ClassFacts, epoch: int, epochs: int) -> Loss:
    waits, kind = deferred(settings, epoch, epochs), facts.target.kind
    if is_plugin(settings.name) and kind in (LABELS, VALUES):
        return Loss(_of_known_rows(own_loss(settings.name)), weigher=_any_known)
    if settings.name in LOSSES and kind not in LOSSES[settings.name].kinds:
        raise ConfigError(
            _("loss.name: {settings} is not for {words}").format(settings=settings.name, words=WORDS[kind]),
            remedy=_("choose one of {losses_for}").format(losses_for=", ".join(losses_for(kind))),
        )
    if kind == VALUES and settings.name in column_losses.VALUES:
        return _of_values(settings, facts)
    if kind == LABELS and settings.name in LOSSES:
        return _of_labels(settings, facts, waits)
    weight_C = None if waits else class_weights(settings, facts)
    weight_C = None if weight_C is None else weight_C.to(facts.device)
    if is_plugin(settings.name):
        return Loss(own_loss(settings.name), weight_C)
    if settings.name not in REGISTRY:
        hint = nearest(settings.name, REGISTRY)
        raise ConfigError(
            _("loss.name: unknown loss {settings!r}").format(settings=settings.name),
            [hint] if hint else [],
            _("choose one of {registry}").format(registry=", ".join(REGISTRY)),
        )
    return Loss(REGISTRY[settings.name](settings, facts, weight_C), weight_C)


def _of_values(settings: OneLossSettings, facts: ClassFacts) -> Loss:
    assert facts.spread_C is not None, "facts of values have their spread"
    each = column_losses.VALUES[settings.name](settings)
    rows = column_losses.of_values(facts.spread_C.tolist(), each, facts.device)
    return Loss(rows, weigher=column_losses.known_share)


def _of_labels(settings: OneLossSettings, facts: ClassFacts, waits: bool) -> Loss:
    """The loss of each label; of one with several levels that of exclusive classes of the same name."""
    layout = column_losses.Layout.of(facts.target, facts.device)
    weights = column_losses.label_weights(settings, facts, waits)
    smoothing, level = settings.label_smoothing, cross_entropy_terms
    if settings.name == "focal":
        level = partial(focal_terms, gamma=settings.gamma)
    if settings.name == "asymmetric":
        level = partial(focal_terms, gamma=settings.gamma_pos)
    entropy, weigh = column_losses.of_labels(
        layout, column_losses.singles(settings), level, smoothing, weights
    )
    if settings.name != "soft_f1":
        return Loss(entropy, weigher=weigh)

    def rows(logits_BC: torch.Tensor, target_BC: torch.Tensor) -> torch.Tensor:
        f1 = column_losses.soft_f1_of_labels(logits_BC, target_BC, layout)[..., None]
        return settings.blend * f1 + (1 - settings.blend) * entropy(logits_BC, target_BC)

    return Loss(rows, weigher=weigh)


def _any_known(target_BC: torch.Tensor) -> torch.Tensor:
    return (~target_BC.isnan()).any(-1).to(target_BC.dtype)


def _of_known_rows(own: Rows) -> Rows:
    """A loss of the user's own that gets no row without a known cell."""

    def rows(logits_BC: torch.Tensor, target_BC: torch.Tensor) -> torch.Tensor:
        nothing_B1 = target_BC.isnan().all(-1, keepdim=True)
        return own(logits_BC, torch.where(nothing_B1, 0, target_BC))

    return rows


def diverged(where: str, settings: TrainSettings) -> UserError:
    """The error to raise when a loss is not a finite number; `where` is fold, epoch and step."""
    return UserError(
        _("{where}: the loss is not a finite number").format(where=where),
        remedy=_(
            "try {mend} (now {lr:g}), train.clip_norm=1, a longer train.warmup_epochs, or "
            "train.precision=fp32 (now {precision})"
        ).format(mend=slower(settings), lr=settings.lr, precision=settings.precision),
        mend=[slower(settings)],
    )


def slower(settings: TrainSettings) -> str:
    """The word of a learning rate with which a training that diverged may succeed: a tenth."""
    return f"train.lr={settings.lr / SLOWER:.3g}"


def _cross_entropy(s: OneLossSettings, facts: ClassFacts, weight_C: torch.Tensor | None) -> Rows:
    return rows_of(cross_entropy_terms, s.label_smoothing, weight_C)


def _focal(s: OneLossSettings, facts: ClassFacts, weight_C: torch.Tensor | None) -> Rows:
    return rows_of(partial(focal_terms, gamma=s.gamma), s.label_smoothing, weight_C)


def _asymmetric(s: OneLossSettings, facts: ClassFacts, weight_C: torch.Tensor | None) -> Rows:
    each = partial(asymmetric_terms, gamma_pos=s.gamma_pos, gamma_neg=s.gamma_neg)
    return rows_of(partial(each, smoothing=s.label_smoothing), 0.0, weight_C)


def _ordinal(s: OneLossSettings, facts: ClassFacts, weight_C: torch.Tensor | None) -> Rows:
    return rows_of(ordinal_terms, s.label_smoothing, weight_C)


def _kl(s: OneLossSettings, facts: ClassFacts, weight_C: torch.Tensor | None) -> Rows:
    """Kullback-Leibler divergence: cross-entropy without the entropy of the target, 0 at best."""
    entropy = rows_of(cross_entropy_terms, s.label_smoothing, weight_C)

    def rows(logits_BC: torch.Tensor, target_BC: torch.Tensor) -> torch.Tensor:
        value_B = entropy(logits_BC, target_BC)
        t_BC = smooth_targets(target_BC.to(value_B.dtype), s.label_smoothing)
        own_BC: torch.Tensor = torch.special.entr(t_BC)
        if weight_C is None:
            return value_B - own_BC.sum(-1)
        weight = weight_C.to(value_B)
        return value_B - (own_BC * weight).sum(-1) / (target_BC.to(value_B.dtype) * weight).sum(-1)

    return rows


def _soft_f1(s: OneLossSettings, facts: ClassFacts, weight_C: torch.Tensor | None) -> Rows:
    """Each row has the figure of the batch, so its weighted mean over one batch is that figure."""
    entropy = _cross_entropy(s, facts, weight_C)

    def rows(logits_BC: torch.Tensor, target_BC: torch.Tensor) -> torch.Tensor:
        f1 = soft_f1_loss(logits_BC, target_BC)[..., None]
        return s.blend * f1 + (1 - s.blend) * entropy(logits_BC, target_BC)

    return rows


def _ldam(s: OneLossSettings, facts: ClassFacts, weight_C: torch.Tensor | None) -> Rows:
    margin_C = margins(facts, s.max_margin).to(facts.device)
    return rows_of_margins(partial(ldam_terms, scale=s.scale), margin_C, s.scale, s.label_smoothing, weight_C)


def _arcface(s: OneLossSettings, facts: ClassFacts, weight_C: torch.Tensor | None) -> Rows:
    assert facts.scale is not None, "a rule of the settings asks for model.heads=cosine"
    margin_C = (s.margin + margins(facts, s.rare_margin)).to(facts.device)
    return rows_of_margins(
        partial(arcface_terms, scale=facts.scale), margin_C, 1.0, s.label_smoothing, weight_C
    )


def _logit_adjustment(s: OneLossSettings, facts: ClassFacts, weight_C: torch.Tensor | None) -> Rows:
    shift_C = (s.tau * log_priors(facts)).to(facts.device)
    return rows_of(partial(adjusted_terms, shift_C=shift_C), s.label_smoothing, weight_C)


def _balanced_softmax(s: OneLossSettings, facts: ClassFacts, weight_C: torch.Tensor | None) -> Rows:
    shift_C = present_counts(facts).log().to(facts.device)
    return rows_of(partial(adjusted_terms, shift_C=shift_C), s.label_smoothing, weight_C)


REGISTRY: dict[str, Make] = {
    "cross_entropy": _cross_entropy,
    "focal": _focal,
    "asymmetric": _asymmetric,
    "soft_f1": _soft_f1,
    "ldam": _ldam,
    "arcface": _arcface,
    "logit_adjustment": _logit_adjustment,
    "balanced_softmax": _balanced_softmax,
    "ordinal": _ordinal,
    "kl": _kl,
}


def attribute_facts(facts: ClassFacts, attribute: int) -> ClassFacts:
    """The facts for the loss of one attribute: its values as classes, and their counts."""
    facts.target.require_exclusive("model.heads: a loss per attribute")
    space = LabelSpace.product([facts.space.attributes[attribute]])
    codes_C = facts.space.codes_CA[:, attribute]
    counts = np.bincount(codes_C, weights=facts.counts_C, minlength=space.n_classes)
    return ClassFacts(space, counts.astype(np.float32), device=facts.device)


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
    facts: ClassFacts,
    rows_A: Sequence[Rows],
    weigh_A: Sequence[Callable[[torch.Tensor], torch.Tensor]],
    share_A: Sequence[float],
) -> Rows:
    """(logits_BC, target_BC) -> (B,) sum over attributes of share · weight of the row · loss, on (B, K)."""
    attributes = range(len(facts.space.attributes))
    classes_AK = [[at.to(facts.device) for at in classes_of(facts.space, a)] for a in attributes]

    def rows(logits_BC: torch.Tensor, target_BC: torch.Tensor) -> torch.Tensor:
        log_p_BC = wide(logits_BC).log_softmax(-1)
        total = torch.zeros_like(log_p_BC[..., 0])
        for classes_K, loss, weigh, share in zip(classes_AK, rows_A, weigh_A, share_A, strict=True):
            target_BK = marginal_target(target_BC.to(log_p_BC.dtype), classes_K)
            value_B = loss(log_marginal(log_p_BC, classes_K), target_BK)
            total = total + share * weigh(target_BK) * value_B
        return total

    return rows


def smooth_targets(target_BC: torch.Tensor, smoothing: float) -> torch.Tensor:
    """(B, C) targets: 1 - smoothing of what they were, plus smoothing spread evenly over all classes.

    Source: Szegedy et al., https://arxiv.org/abs/1512.00567, section 7.
    """
    return target_BC * (1 - smoothing) + smoothing / target_BC.shape[-1] if smoothing else target_BC


def rows_of(terms: Terms, smoothing: float = 0.0, weight_C: torch.Tensor | None = None) -> Rows:
    """(logits_BC, target_BC) -> (B,) of a loss that is linear in its target.

    Args:
        terms: from (B, C) logits, not in half precision, to the loss if each class were the label.
        smoothing: label smoothing, 0 to 1.
        weight_C: class weights > 0. A row is divided by its own weight (of the target before smoothing),
            and the loop multiplies by it: together that is torch's weighted cross-entropy.
    """

    def rows(logits_BC: torch.Tensor, target_BC: torch.Tensor) -> torch.Tensor:
        term_BC = terms(wide(logits_BC))
        target_BC = target_BC.to(term_BC.dtype)
        loss_BC = smooth_targets(target_BC, smoothing) * term_BC
        if weight_C is None:
            return loss_BC.sum(-1)
        weight = weight_C.to(term_BC)
        return (loss_BC * weight).sum(-1) / (target_BC * weight).sum(-1)

    return rows


def rows_of_margins(
    terms: MarginTerms,
    margin_C: torch.Tensor,
    factor: float,
    smoothing: float = 0.0,
    weight_C: torch.Tensor | None = None,
) -> Rows:
    """As `rows_of`, for terms with a margin of the label, which are long formulas in double precision.

    On a CPU they are computed only where the target is not 0, which for a plain label is one of C: with 5,001
    classes its loss takes a tenth of the time. With label smoothing all are asked for, and a GPU would have
    to wait to learn which are.

    Args:
        terms: from cosines or logits, their log-probabilities and margins, all of one shape, to the loss.
        margin_C: of each class.
        factor: on the logits, before their softmax.
        smoothing: as in `rows_of`.
        weight_C: as in `rows_of`.
    """

    def rows(logits_BC: torch.Tensor, target_BC: torch.Tensor) -> torch.Tensor:
        def asked(logits_BC: torch.Tensor) -> torch.Tensor:
            log_p_BC = (factor * logits_BC.double()).log_softmax(-1)
            if smoothing or logits_BC.device.type != "cpu":
                return terms(logits_BC, log_p_BC, margin_C)
            at_2K = target_BC.nonzero(as_tuple=True)
            if len(at_2K[0]) > _FEW * target_BC.numel():
                return terms(logits_BC, log_p_BC, margin_C)
            term_K = terms(logits_BC[at_2K], log_p_BC[at_2K], margin_C[at_2K[-1]])
            return torch.zeros_like(logits_BC).index_put(at_2K, term_K)

        return rows_of(asked, smoothing, weight_C)(logits_BC, target_BC)

    return rows


def cross_entropy_terms(logits_BC: torch.Tensor) -> torch.Tensor:
    """(B, C) negative log-probabilities."""
    return -logits_BC.log_softmax(-1)


def focal_terms(logits_BC: torch.Tensor, gamma: float) -> torch.Tensor:
    """(B, C) cross-entropy weighted by (1 - p)^gamma.

    The weight depends on difficulty, not on class frequency; gamma 0 is cross-entropy. The paper's α, a
    factor per class, is `loss.class_weights`.
    Source: Lin et al., https://arxiv.org/abs/1708.02002, equations 4 and 5.
    """
    log_p_BC = logits_BC.log_softmax(-1)
    return -log_p_BC if gamma == 0 else -_missed(log_p_BC).pow(gamma) * log_p_BC


def _missed(log_p_BC: torch.Tensor) -> torch.Tensor:
    """1 - p; expm1 is exact near p = 1, and the clamp avoids the infinite slope at 0 for gamma < 1."""
    return (-torch.expm1(log_p_BC)).clamp_min(torch.finfo(log_p_BC.dtype).eps)


def asymmetric_terms(
    logits_BC: torch.Tensor, gamma_pos: float, gamma_neg: float, smoothing: float
) -> torch.Tensor:
    """(B, C) asymmetric loss of single labels: the smoothed mass of other classes is weighted by p^gamma_neg.

    If c is the label: (1 - ε + ε/C) (1 - p_c)^gamma_pos (-log p_c) + ε/C Σ_{j≠c} p_j^gamma_neg (-log p_j).
    Both gammas 0: cross-entropy with label smoothing ε.
    Source: Ridnik et al., https://arxiv.org/abs/2009.14119, in the single-label form of their code,
    https://github.com/Alibaba-MIIL/ASL.
    """
    log_p_BC = logits_BC.log_softmax(-1)
    spread = smoothing / logits_BC.shape[-1]
    other_BC = -(gamma_neg * log_p_BC).exp() * log_p_BC
    others_BC = other_BC.sum(-1, keepdim=True) - other_BC
    return (1 - smoothing + spread) * focal_terms(logits_BC, gamma_pos) + spread * others_BC


def ordinal_terms(logits_BK: torch.Tensor) -> torch.Tensor:
    """(B, K) sum over thresholds of the binary cross-entropy of "above it".

    A miss by two values costs more than a miss by one. With two values it is cross-entropy.
    Source: Cao, Mirjalili & Raschka (CORAL), https://arxiv.org/abs/1901.07884, equation 4, on the
    probabilities P(y > k) that the softmax of these logits gives.
    """
    log_p_BK = logits_BK.log_softmax(-1)
    size = logits_BK.shape[-1]
    above = torch.stack([log_p_BK[..., k + 1 :].logsumexp(-1) for k in range(size - 1)], -1)
    below = torch.stack([log_p_BK[..., : k + 1].logsumexp(-1) for k in range(size - 1)], -1)
    # Row c, column k: whether value c lies above threshold k.
    is_above_KT = torch.ones(size, size - 1, dtype=above.dtype, device=above.device).tril(-1)
    return -(above @ is_above_KT.T + below @ (1 - is_above_KT).T)


def soft_f1_loss(logits_BC: torch.Tensor, target_BC: torch.Tensor) -> torch.Tensor:
    """1 - macro-F1 with probabilities instead of counts, 0 to 1: one figure for the batch.

    F1 of a class: 2 Σ t p / (Σ t + Σ p), sums over the batch; the mean is over the classes that occur in
    the batch, since any other has an F1 of 0 whatever is predicted.
    Source: Eban et al., https://arxiv.org/abs/1608.04802, the relaxation of counts by probabilities.
    """
    p_BC = wide(logits_BC).softmax(-1)
    target_BC = target_BC.to(p_BC.dtype)
    hits, support = (p_BC * target_BC).sum(-2), target_BC.sum(-2)
    # A class without rows and without predictions (p underflows to 0) would be 0 / 0.
    f1 = 2 * hits / (p_BC.sum(-2) + support).clamp_min(torch.finfo(p_BC.dtype).tiny)
    occurs = (support > 0).to(f1.dtype)
    return 1 - (f1 * occurs).sum(-1) / occurs.sum(-1)


def present_counts(facts: ClassFacts) -> torch.Tensor:
    """(C,) training rows of each class, at least 1, in double precision."""
    return torch.from_numpy(facts.counts_C.copy()).double().clamp_min(1)


def class_weights(settings: OneLossSettings, facts: ClassFacts) -> torch.Tensor | None:
    """(C,) class weights, scaled to a mean of 1 over the training rows; None: all equal.

    inverse: 1/n. effective: (1 - β)/(1 - β^n); β = 0 gives equal weights, β towards 1 is inverse. hand: as
    given.

    Raises:
        ConfigError: weights by hand for other classes; it lists all of them.

    Source: Cui et al., https://arxiv.org/abs/1901.05555, equation 4.
    """
    counts_C = present_counts(facts)
    if settings.class_weights == "none":
        return None
    if settings.class_weights == "inverse":
        weight_C = 1 / counts_C
    elif settings.class_weights == "effective":
        weight_C = 1 / (1 - settings.beta**counts_C)
    else:
        if faults := hand_faults(settings.hand, facts.space.classes):
            raise ConfigError(_("loss.hand: does not fit the classes"), faults)
        weight_C = torch.tensor([(settings.hand or {})[name] for name in facts.space.classes]).double()
    shown_C = torch.from_numpy(facts.counts_C.copy()).double()
    return (weight_C * shown_C.sum() / (shown_C * weight_C).sum()).float()


def deferred(settings: OneLossSettings, epoch: int, epochs: int) -> bool:
    """Whether class weights are still off: they start at epoch ⌊defer · epochs⌋, counted from 0.

    Source: deferred re-weighting, Cao et al., https://arxiv.org/abs/1906.07413, algorithm 1.
    """
    # The small summand corrects products such as 0.29 * 100 = 28.999….
    return epoch < math.floor(settings.defer * epochs + 1e-9)


def margins(facts: ClassFacts, max_margin: float) -> torch.Tensor:
    """(C,) margins ∝ n^(-1/4), `max_margin` for the rarest class.

    Source: Cao et al., https://arxiv.org/abs/1906.07413, equation 13.
    """
    counts_C = present_counts(facts)
    return max_margin * (counts_C.min() / counts_C).pow(0.25)


def ldam_terms(
    logits_BC: torch.Tensor, log_p_BC: torch.Tensor, margin_C: torch.Tensor, scale: float
) -> torch.Tensor:
    """(B, C) cross-entropy of scale · logits, where the logit of the label is reduced by its margin.

    `log_p_BC` are the log-probabilities of scale · logits, in double precision. With margins of 0 it is their
    cross-entropy. The paper's network has a cosine classifier, whose logits are bounded; those of a linear
    classifier can outgrow the margins, which only weight decay limits.
    Source: Cao et al., https://arxiv.org/abs/1906.07413, equation 12.
    """
    return _moved(log_p_BC, -scale * margin_C.to(log_p_BC)).to(logits_BC.dtype)


def _moved(log_p_BC: torch.Tensor, by_BC: torch.Tensor) -> torch.Tensor:
    """Cross-entropy after the logit of the label alone has moved by so much.

    In double precision: exp(-scale · margin), compared with 1 - p, is far below the precision of float32.
    """
    missed_BC = (-torch.expm1(log_p_BC)).clamp_min(torch.finfo(torch.float64).eps)
    kept_BC = log_p_BC + by_BC
    return torch.logaddexp(missed_BC.log(), kept_BC) - kept_BC


def arcface_terms(
    logits_BC: torch.Tensor, log_p_BC: torch.Tensor, margin_C: torch.Tensor, scale: float
) -> torch.Tensor:
    """(B, C) cross-entropy of scale · cosines, where the angle of the label is larger by its margin, radians.

    `log_p_BC` are the log-probabilities of these logits, in double precision. Where angle and margin exceed π
    together, the cosine falls on along its tangent, as in the authors' code: it would rise again. With
    margins of 0 it is cross-entropy.

    Source: Deng et al., https://arxiv.org/abs/1801.07698, equation 3; a margin for each class: Ha et al.,
    https://arxiv.org/abs/2010.05350, section 3.2.
    """
    margin_C = margin_C.to(log_p_BC)
    # The slope of the sine is infinite at a cosine of ±1.
    cos_BC = (logits_BC.double() / scale).clamp(-1 + _END_OF_COSINES, 1 - _END_OF_COSINES)
    sin_BC = (1 - cos_BC.square()).sqrt()
    turned_BC = cos_BC * margin_C.cos() - sin_BC * margin_C.sin()
    beyond_BC = cos_BC - margin_C.sin() * margin_C
    turned_BC = torch.where(cos_BC > -margin_C.cos(), turned_BC, beyond_BC)
    return _moved(log_p_BC, scale * (turned_BC - cos_BC)).to(logits_BC.dtype)


def log_priors(facts: ClassFacts) -> torch.Tensor:
    """(C,) log of each class's share of the training rows."""
    counts_C = present_counts(facts)
    return (counts_C / counts_C.sum()).log()


def adjusted_terms(logits_BC: torch.Tensor, shift_C: torch.Tensor) -> torch.Tensor:
    """(B, C) cross-entropy of logits + shift; the network predicts with its plain logits.

    Logit adjustment: shift = τ log prior (Menon et al., https://arxiv.org/abs/2007.07314, equation 10).
    Balanced softmax: shift = log count (Ren et al., https://arxiv.org/abs/2007.10740, equation 4), which
    is logit adjustment with τ = 1.
    """
    return -(logits_BC + shift_C.to(logits_BC)).log_softmax(-1)
