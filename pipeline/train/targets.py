"""Targets of training samples: distributions over the classes.

Owns turning labels or soft labels into targets, and the facts about the classes that a loss may use. Does
not own losses (`train/losses.py`) nor where soft labels come from (`train/teacher_labels.py`).

Legend: N samples, C classes, R rows of an epoch.
"""

from dataclasses import dataclass

import numpy as np
import torch

from pipeline.core.samples import Floats, Ints, LabelSpace, Samples, SyntheticRows, TrainRows
from pipeline.core.targets import Target
from pipeline.nets.attributes import AttributeHeads


@dataclass(frozen=True)
class ClassFacts:
    """What a loss may know about the classes before training.

    Args:
        space: the classes and their attributes.
        counts_C: training rows of each class in the first epoch, after resampling; 0 for a class without.
        heads: the network's head per attribute, each with its own loss; None: one output per class.
        device: where losses are computed in training: what they need lies there.
    """

    space: LabelSpace
    counts_C: Floats
    heads: AttributeHeads | None = None
    device: str = "cpu"

    @property
    def target(self) -> Target:
        """What a network's outputs, and a loss's columns, mean."""
        return Target.of(self.space)


def one_hot(y_N: Ints, n_classes: int) -> torch.Tensor:
    """(N, C) float32 targets of plain labels."""
    return torch.nn.functional.one_hot(torch.from_numpy(y_N.copy()), n_classes).float()


def targets_of(samples: Samples, soft_NC: Floats | None = None) -> torch.Tensor:
    """(N, C) targets: the labels, or soft labels where a row of `soft_NC` is not NaN."""
    target = Target.of(samples.space)
    target.require_exclusive("a label as one class of all")
    target_NC = one_hot(samples.labels, target.n_columns)
    if soft_NC is not None:
        soft = torch.from_numpy(soft_NC.copy())
        given_N = ~soft.isnan().any(dim=1)
        target_NC[given_N] = soft[given_N]
    return target_NC


def class_facts(
    samples: Samples,
    rows: TrainRows,
    heads: AttributeHeads | None = None,
    synthetic: SyntheticRows | None = None,
) -> ClassFacts:
    """Facts about the rows of an epoch, counted by plain label; synthetic rows come after the samples'."""
    extra = [] if synthetic is None else [synthetic.labels_S]
    labels = np.concatenate([samples.labels, *extra])
    counts = np.bincount(labels[rows.index_R], minlength=samples.space.n_classes)
    return ClassFacts(samples.space, counts.astype(np.float32), heads)
