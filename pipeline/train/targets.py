"""Targets of training samples, of every kind, and the facts about them that a loss may use.

Owns turning the truth or soft labels into targets, the facts about the columns, and the unit in which values
are learned. Does not own losses (`train/losses.py`) nor where soft labels come from
(`train/teacher_labels.py`).

The target of exclusive classes and shares is a distribution over the classes; of labels a number from 0 to 1
in each column, a distribution within the levels of a label; of values a number in the unit of the table. NaN
is unknown, for labels and values alone.

Legend: N samples, C classes or columns, R rows of an epoch.
"""

from dataclasses import dataclass

import numpy as np
import torch

from pipeline.core.samples import Floats, Ints, LabelSpace, Samples, SyntheticRows, TrainRows
from pipeline.core.targets import LABELS, VALUES, Target
from pipeline.nets.attributes import AttributeHeads

# The least standard deviation of a value, relative to its size: a constant one is learned as it is.
_SMALLEST_SPREAD = 1e-6


@dataclass(frozen=True)
class ClassFacts:
    """What a loss may know about the classes before training.

    Args:
        space: the classes and their attributes.
        counts_C: training rows of each class in the first epoch, after resampling; 0 for a class without. Of
            labels: the rows in which the column holds; of shares: their sum.
        heads: the network's head per attribute, each with its own loss; None: one output per class.
        device: where losses are computed in training: what they need lies there.
        known_C: of labels, the rows in which the column is known.
        spread_C: of values, the standard deviation of each; see `Scale`.
        scale: of a head of cosines, the largest logit; None for any other head.
    """

    space: LabelSpace
    counts_C: Floats
    heads: AttributeHeads | None = None
    device: str = "cpu"
    known_C: Floats | None = None
    spread_C: Floats | None = None
    scale: float | None = None

    @property
    def target(self) -> Target:
        """What a network's outputs, and a loss's columns, mean."""
        return Target.of(self.space)


@dataclass(frozen=True)
class Scale:
    """Where the outputs of values and labels start, and their unit, from a training part: (C,) each.

    Of values the mean, the standard deviation, and the ends of what is predicted, one standard deviation
    beyond the smallest and the largest value, all in the unit of the table. Of labels the log-odds with which
    each holds, 1, and no ends.
    """

    mean_C: Floats
    spread_C: Floats
    low_C: Floats
    high_C: Floats

    @staticmethod
    def of(samples: Samples) -> "Scale | None":
        """The scale of a training part's known cells, each sample counted once; None for other targets.

        A value without a known cell has mean 0, and one that is constant has a standard deviation of 1.
        """
        if samples.space.kind == LABELS:
            return _of_labels(samples)
        if samples.space.kind != VALUES:
            return None
        y_NC = np.asarray(samples.truth, dtype=np.float64)
        known_NC = ~np.isnan(y_NC)
        n_C = np.maximum(known_NC.sum(axis=0), 1)
        mean_C = np.nan_to_num(y_NC).sum(axis=0) / n_C
        off_NC = np.where(known_NC, np.nan_to_num(y_NC) - mean_C, 0.0)
        spread_C = np.sqrt((off_NC**2).sum(axis=0) / n_C)
        constant_C = spread_C <= _SMALLEST_SPREAD * np.abs(mean_C)
        spread_C = np.where(constant_C | (spread_C == 0), 1.0, spread_C)
        low_C = np.where(known_NC, y_NC, np.inf).min(axis=0, initial=np.inf) - spread_C
        high_C = np.where(known_NC, y_NC, -np.inf).max(axis=0, initial=-np.inf) + spread_C
        never_C = ~known_NC.any(axis=0)
        ends = (np.where(never_C, -np.inf, low_C), np.where(never_C, np.inf, high_C))
        return Scale(*(v.astype(np.float32) for v in (mean_C, spread_C, *ends)))

    def tensors(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Mean, standard deviation and both ends, (C,) each."""
        return tuple(
            torch.from_numpy(v.copy()) for v in (self.mean_C, self.spread_C, self.low_C, self.high_C)
        )  # type: ignore[return-value]


def _of_labels(samples: Samples) -> Scale:
    """Log-odds of labels of two values, log-probabilities of levels; half a sample more of each."""
    y_NC = np.asarray(samples.truth, dtype=np.float64)
    held_C, known_C = np.nan_to_num(y_NC).sum(axis=0), (~np.isnan(y_NC)).sum(axis=0)
    start_C = np.log(held_C + 0.5) - np.log(known_C - held_C + 0.5)
    for block in Target.of(samples.space).blocks:
        start_C[block] = np.log(held_C[block] + 0.5) - np.log(known_C[block] + 0.5)
    ones_C = np.ones_like(start_C)
    return Scale(*(v.astype(np.float32) for v in (start_C, ones_C, -np.inf * ones_C, np.inf * ones_C)))


def one_hot(y_N: Ints, n_classes: int) -> torch.Tensor:
    """(N, C) float32 targets of plain labels."""
    at_N1 = torch.from_numpy(y_N.astype(np.int64))[:, None]
    return torch.zeros(len(y_N), n_classes).scatter_(1, at_N1, 1.0)


def targets_of(samples: Samples, soft_NC: Floats | None = None) -> torch.Tensor:
    """(N, C) targets: the truth, or soft labels where `soft_NC` is not NaN.

    Of exclusive classes a row is soft as a whole or not at all; of other kinds each cell by itself.
    """
    target = Target.of(samples.space)
    if target.kind == "exclusive":
        target_NC = one_hot(samples.labels, target.n_columns)
    else:
        target_NC = torch.from_numpy(np.array(samples.truth, dtype=np.float32))
    if soft_NC is not None:
        soft = torch.from_numpy(soft_NC.copy())
        if target.rows_sum_to_one:
            given_N = ~soft.isnan().any(dim=1)
            target_NC[given_N] = soft[given_N]
        else:
            target_NC = torch.where(soft.isnan(), target_NC, soft)
    return target_NC


def class_facts(
    samples: Samples,
    rows: TrainRows,
    heads: AttributeHeads | None = None,
    synthetic: SyntheticRows | None = None,
) -> ClassFacts:
    """Facts about the rows of an epoch, counted by the truth; synthetic rows come after the samples'."""
    if samples.space.kind == "exclusive":
        extra = [] if synthetic is None else [synthetic.labels_S]
        labels = np.concatenate([samples.labels, *extra])
        counts = np.bincount(labels[rows.index_R], minlength=samples.space.n_classes)
        return ClassFacts(samples.space, counts.astype(np.float32), heads)
    assert synthetic is None, "synthetic rows have classes"
    times_N = np.bincount(rows.index_R, minlength=len(samples)).astype(np.float64)
    y_NC = np.asarray(samples.truth, dtype=np.float64)
    scale = Scale.of(samples)
    return ClassFacts(
        samples.space,
        np.asarray(times_N @ np.nan_to_num(y_NC), dtype=np.float32),
        known_C=np.asarray(times_N @ ~np.isnan(y_NC), dtype=np.float32),
        spread_C=None if scale is None or samples.space.kind != VALUES else scale.spread_C,
    )
