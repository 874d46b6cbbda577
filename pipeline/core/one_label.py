"""One label of several as exclusive classes, so that what judges classes serves for such labels, too.

Owns the view: its classes, samples and predictions. Rows in which the label is unknown are left out. Does not
own the labels themselves (`core/samples.py`) or what is done with a view.

Shape legend: N samples, K columns of all labels, V values of the one label.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from pipeline.core.errors import ConfigError, nearest
from pipeline.core.language import _
from pipeline.core.predictions import Probabilities
from pipeline.core.samples import Attribute, Floats, Ints, LabelSpace, Samples, Truth
from pipeline.core.targets import LABELS, Target

# Values of a label that say nothing without its name, in lower case: absent and present.
PLAIN = (("0", "1"), ("no", "yes"), ("absent", "present"), ("false", "true"), ("n", "y"))
UNKNOWN = -1


@dataclass(frozen=True)
class OneLabel:
    """A label of a space of labels.

    Args:
        whole: the space of all labels.
        number: of the label among its attributes.
    """

    whole: LabelSpace
    number: int

    @property
    def name(self) -> str:
        """Of the label."""
        return self.whole.attributes[self.number].name

    @property
    def columns(self) -> Ints:
        """Its columns among those of all labels: one, or one for each level."""
        return np.flatnonzero(self.whole.codes_CA[:, self.number] >= 0)

    @property
    def space(self) -> LabelSpace:
        """Its values as exclusive classes, named so that each is understood alone."""
        attribute = self.whole.attributes[self.number]
        values = attribute.values
        if tuple(value.lower() for value in values) in PLAIN:
            values = (f"no {attribute.name}", attribute.name)
        return LabelSpace.product([Attribute(attribute.name, values, attribute.constant_in_group)])

    @property
    def target(self) -> Target:
        """What the columns of the view mean."""
        return Target.of(self.space)

    def classes_of(self, truth_NK: Truth) -> Ints:
        """(N,) the class of each row of a truth or of answers of all labels; -1: unknown."""
        own_NV = np.asarray(truth_NK)[:, self.columns]
        if own_NV.shape[1] == 1:
            code_N = (np.nan_to_num(own_NV[:, 0]) >= 0.5).astype(np.int64)
        else:
            code_N = np.asarray(np.nan_to_num(own_NV).argmax(axis=1), dtype=np.int64)
        return np.where(np.isnan(own_NV).any(axis=1), UNKNOWN, code_N)

    def p_of(self, p_NK: Floats) -> Floats:
        """(N, V) probabilities of its values from those of all labels."""
        own_NV = np.asarray(p_NK[:, self.columns], dtype=np.float64)
        if own_NV.shape[1] == 1:
            own_NV = np.concatenate([1 - own_NV, own_NV], axis=1)
        return self.target.normalised(own_NV)

    def probabilities(self, p: Probabilities) -> Probabilities:
        """The view of predictions of all labels."""
        return Probabilities.of(
            self.target, p.ids_N, self.p_of(p.with_classes(self.whole.classes).p_NC), p.name
        )

    def samples(self, samples: Samples) -> Samples:
        """The view of samples; labelled ones without those in which the label is unknown."""
        if not samples.labelled:
            return replace(samples, space=self.space)
        label_N = self.classes_of(samples.truth)
        training_N = None
        if samples.train_y_NK is not None:
            training_N = self.classes_of(samples.train_y_NK)
            training_N = np.where(training_N == UNKNOWN, label_N, training_N)
        known = samples.ids_N[label_N != UNKNOWN]
        shown = replace(
            samples,
            space=self.space,
            labels_N=np.maximum(label_N, 0),
            train_labels_N=None if training_N is None else np.maximum(training_N, 0),
            y_NK=None,
            train_y_NK=None,
        )
        return shown if len(known) == len(samples) else shown.take(known)


def one_label(space: LabelSpace, name: str, where: str) -> OneLabel:
    """The label of this name; `where` names the setting or argument in errors.

    Raises:
        ConfigError: the target is not labels, or has none of this name.
    """
    if space.kind != LABELS:
        raise ConfigError(
            _("{where} needs competition.target=labels, and here it is {kind}").format(
                where=where, kind=space.kind
            )
        )
    names = [attribute.name for attribute in space.attributes]
    if name not in names:
        hint = nearest(name, names) or f"the labels are: {', '.join(names)}"
        raise ConfigError(
            _("{where}: there is no label {name!r}").format(where=where, name=name), remedy=hint
        )
    return OneLabel(space, names.index(name))
