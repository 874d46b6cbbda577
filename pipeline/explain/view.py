"""One label, or one value, as exclusive classes, so that every panel explains it as it explains a class.

Owns which column is looked at, and its view: classes, samples, predictions, and the linear map from a
network's outputs to the logits of these classes. Does not own the panels or the networks
(`explain/network.py`).

- labels: a label is there or not, and the logit of being there is the network's own; levels are classes.
- values: higher or lower than the median of the truth. The logit of "higher" is the value itself, in another
  unit, so that its gradient is the output's own: evidence for "higher" raises the value.
- shares: the classes that share; the true one is the largest.

Shape legend: N samples, K outputs of the network, C classes of the view.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from pipeline.core import metrics
from pipeline.core.errors import ConfigError, nearest
from pipeline.core.language import _
from pipeline.core.metric_arithmetic import Reals
from pipeline.core.one_label import OneLabel, one_label
from pipeline.core.predictions import Probabilities
from pipeline.core.samples import Attribute, FoldPlan, LabelSpace, Samples, Split
from pipeline.core.targets import EXCLUSIVE, LABELS, SHARES, VALUES
from pipeline.explain import texts
from pipeline.pages.plots import number

# The logit of a standard deviation above the median, by the logistic curve that is nearest to the normal one.
STEEP = 1.7


@dataclass(frozen=True)
class ColumnView:
    """One column as exclusive classes.

    Args:
        name: of the label or value; empty for shares.
        space: its classes.
        map_CK: from the network's outputs to logits of these classes.
        shift_C: added to them.
        about: a sentence for the page: what its classes mean, and why this column.
        samples: training samples with labels of this view, without those where it is unknown.
        oof: out-of-fold probabilities of the same samples.
        told: the truth and the prediction of a sample in words, where classes do not say it; by id.
        captions: what is true of each training sample, in words; by id.
    """

    name: str
    space: LabelSpace
    map_CK: Reals
    shift_C: Reals
    about: str
    samples: Samples
    oof: Probabilities
    told: Mapping[str, str]
    captions: Mapping[str, str]
    tell: Callable[[Reals], str]

    def plan(self, plan: FoldPlan) -> FoldPlan:
        """The folds without the samples that are left out."""
        known = self.samples.ids_N
        splits = []
        for split in plan.splits:
            inside = np.isin(split.train_ids, known)
            times = None if split.times_T is None else split.times_T[inside]
            valid = split.valid_ids[np.isin(split.valid_ids, known)]
            splits.append(Split(split.train_ids[inside], valid, times))
        return replace(plan, splits=tuple(splits))

    def of_test(self, samples: Samples) -> Samples:
        """Samples without their truth."""
        return replace(samples.without_truth(samples.split), space=self.space)


def check(space: LabelSpace, name: str) -> None:
    """Raise ConfigError if a target has no column of this name to look at."""
    if space.kind == LABELS:
        one_label(space, name, "LABEL")
    elif space.kind != VALUES:
        raise ConfigError(texts.NO_COLUMN.format(target=space.kind))
    elif name not in space.classes:
        remedy = nearest(name, space.classes) or _("the values are: {classes}").format(
            classes=", ".join(space.classes)
        )
        raise ConfigError(_("LABEL: there is no value {name!r}").format(name=name), remedy=remedy)


def view_of(train: Samples, oof: Probabilities, name: str) -> ColumnView | None:
    """The view of a label or value; the worst one out of fold if none is named; None for exclusive classes.

    Raises:
        ConfigError: the target has no column of this name.
    """
    space = train.space
    if space.kind == EXCLUSIVE:
        return None
    if name:
        check(space, name)
    oof = oof.with_classes(space.classes)
    if space.kind == SHARES:
        return _of_shares(train, oof)
    chosen = name or _worst(train, oof)
    why = "" if name else texts.WORST_COLUMN.format(name=chosen)
    if space.kind == LABELS:
        return _of_label(train, oof, one_label(space, chosen, "LABEL"), why)
    return _of_value(train, oof, space.classes.index(chosen), why)


def _worst(train: Samples, oof: Probabilities) -> str:
    """The label with the lowest F1, or the value with the lowest R²; the first of equal ones."""
    space, truth_NK = train.space, np.asarray(train.take(oof.ids_N).truth, np.float32)
    formula = metrics.get("macro_f1" if space.kind == LABELS else "r2")
    scores = [
        formula.score(truth_NK[:, [k]], oof.p_NC[:, [k]]) if np.nansum(np.abs(truth_NK[:, k])) > 0 else np.inf
        for k in range(space.n_classes)
    ]
    k = int(np.argmin(scores))
    return space.attributes[int((space.codes_CA[k] >= 0).argmax())].name


def _known(samples: Samples, oof: Probabilities) -> Probabilities:
    """The predictions of these samples."""
    return oof.take(oof.ids_N[np.isin(oof.ids_N, samples.ids_N)])


def _of_label(train: Samples, oof: Probabilities, one: OneLabel, why: str) -> ColumnView:
    samples = one.samples(train)
    columns, n_outputs = one.columns, train.space.n_classes
    map_CK = np.zeros((one.space.n_classes, n_outputs))
    if len(columns) == 1:
        map_CK[1, columns[0]] = 1.0  # the logit of being absent is 0: their softmax is the sigmoid
    else:
        map_CK[np.arange(len(columns)), columns] = 1.0
    held_NK = np.nan_to_num(np.asarray(train.truth)) >= 0.5
    captions = {
        str(i): ", ".join(c for c, held in zip(train.space.classes, held_K, strict=True) if held)
        or texts.NO_LABEL
        for i, held_K in zip(train.ids_N.tolist(), held_NK, strict=True)
    }
    about = texts.VIEW_OF_LABEL.format(name=one.name) + why
    return ColumnView(
        one.name,
        one.space,
        map_CK,
        np.zeros(one.space.n_classes),
        about,
        samples,
        _known(samples, one.probabilities(oof)),
        {},
        captions,
        lambda outputs_K: "",
    )


def _of_value(train: Samples, oof: Probabilities, k: int, why: str) -> ColumnView:
    name, truth_N = train.space.classes[k], np.asarray(train.truth[:, k], np.float64)
    known = np.flatnonzero(~np.isnan(truth_N))
    middle, spread = float(np.median(truth_N[known])), float(truth_N[known].std()) or 1.0
    values = (texts.LOWER.format(name=name), texts.HIGHER.format(name=name))
    space = LabelSpace.product([Attribute(name, values)])
    slope = STEEP / spread
    map_CK = np.zeros((2, train.space.n_classes))
    map_CK[:, k] = (-slope / 2, slope / 2)
    shift_C = np.array([slope * middle / 2, -slope * middle / 2])
    shown = train.take(train.ids_N[known])
    labels_N = (truth_N[known] > middle).astype(np.int64)
    samples = replace(shown, space=space, labels_N=labels_N, y_NK=None, train_y_NK=None)
    p_NC = _softmax(oof.p_NC.astype(np.float64) @ map_CK.T + shift_C)
    view = Probabilities(oof.ids_N, space.classes, p_NC.astype(np.float32), oof.name)
    true_of = dict(zip(samples.ids_N.tolist(), truth_N[known].tolist(), strict=True))
    captions = {str(i): f"{name} {number(value)}" for i, value in true_of.items()}
    told = {str(i): texts.TRUE_VALUE.format(value=number(value)) for i, value in true_of.items()}
    about = texts.VIEW_OF_VALUE.format(name=name, middle=number(middle)) + why
    return ColumnView(
        name,
        space,
        map_CK,
        shift_C,
        about,
        samples,
        _known(samples, view),
        told,
        captions,
        lambda outputs_K: texts.PREDICTED_VALUE.format(name=name, value=number(float(outputs_K[k]))),
    )


def _of_shares(train: Samples, oof: Probabilities) -> ColumnView:
    whole = train.space
    space = LabelSpace(whole.attributes, whole.classes, whole.codes_CA)
    labels_N = np.asarray(train.truth).argmax(axis=1).astype(np.int64)
    samples = replace(train, space=space, labels_N=labels_N, y_NK=None, train_y_NK=None)
    view = Probabilities(oof.ids_N, space.classes, oof.p_NC, oof.name)
    captions = {
        str(i): f"{space.classes[label]} {100 * share:.0f} %"
        for i, label, share in zip(
            train.ids_N.tolist(), labels_N, np.asarray(train.truth).max(axis=1), strict=True
        )
    }
    n = space.n_classes
    return ColumnView(
        "",
        space,
        np.eye(n),
        np.zeros(n),
        texts.VIEW_OF_SHARES,
        samples,
        view,
        {},
        captions,
        lambda outputs_K: "",
    )


def _softmax(logits_NC: Reals) -> Reals:
    exp = np.exp(logits_NC - logits_NC.max(axis=1, keepdims=True))
    return np.asarray(exp / exp.sum(axis=1, keepdims=True))
