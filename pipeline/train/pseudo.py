"""Which unlabelled images a student adopts, with which labels, and joining them to its training part.

Owns the choice and the fence around the validation part. Does not own who may teach whom
(`train/teachers.py`).

Source: Lee, Pseudo-Label (ICML workshop 2013), the threshold; Zou et al., Unsupervised Domain Adaptation
via Class-Balanced Self-Training (ECCV 2018), the share a class.

Legend: N samples of the training part, U unlabelled images, C classes.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from pipeline.core.samples import Floats, Ints, Samples, Strings, positions, strings
from pipeline.resample.indices import Part
from pipeline.resample.subsets import Bools
from pipeline.settings.schema import PseudoSettings

TEST = "test"


def test_ids(samples: Samples) -> Samples:
    """Test images as they are called beside training images, whose ids they may share.

    So may their groups, where these are the ids: two tables that both count from 0 say nothing.
    """
    ids = strings([f"{TEST}/{name}" for name in samples.ids_N.tolist()])
    alone = np.array_equal(samples.ids_N, samples.groups_N)
    return replace(samples, ids_N=ids, groups_N=ids if alone else samples.groups_N)


def allowed(unlabelled: Samples, validating: Strings) -> Samples:
    """The unlabelled images whose group does not validate: another photo of a person is no stranger.

    Args:
        unlabelled: candidates.
        validating: groups of the fold's validation part.
    """
    return unlabelled.take(unlabelled.ids_N[~np.isin(unlabelled.groups_N, validating)])


def adopt(p_UC: Floats, settings: PseudoSettings) -> Bools:
    """(U,) which images are adopted: sure enough, and among the surest of those given their class."""
    label_U, sure_U = p_UC.argmax(axis=1), p_UC.max(axis=1)
    chosen_U = np.zeros(len(p_UC), bool)
    for c in np.unique(label_U):
        of_class = np.flatnonzero(label_U == c)
        surest = of_class[np.argsort(-sure_U[of_class], kind="stable")]
        chosen_U[surest[: int(np.ceil(round(settings.share * len(of_class), 9)))]] = True
    return np.asarray(chosen_U & (sure_U >= settings.threshold), dtype=np.bool_)


def join(part: Part, adopted: Samples, labels_U: Ints) -> Part:
    """The training part and then the adopted images, under the labels that teachers gave them."""
    assert not len(np.intersect1d(part.samples.ids_N, adopted.ids_N)), "only unlabelled images are adopted"
    labelled = replace(adopted, labels_N=labels_U, split=part.samples.split)
    times = part.times_N
    return replace(
        part,
        samples=part.samples.joined(labelled),
        times_N=None if times is None else np.r_[times, np.ones(len(labelled), np.int64)],
    )


def soft_targets(part: Part, p_UC: Floats) -> Floats:
    """(N + U, C) what teachers say of a joined part: NaN for its own images, whose labels count."""
    own = np.full((len(part.samples) - len(p_UC), p_UC.shape[1]), np.nan, np.float32)
    return np.concatenate([own, p_UC]).astype(np.float32)


def table(labels_U: Ints, chosen_U: Bools, classes: tuple[str, ...]) -> pd.DataFrame:
    """Per class: images that teachers gave it, and how many of them were adopted."""
    given = np.bincount(labels_U, minlength=len(classes))
    adopted = np.bincount(labels_U[chosen_U], minlength=len(classes))
    return pd.DataFrame({"class": classes, "given": given, "adopted": adopted})


def mean_of(teachers: list[tuple[Strings, Floats]], ids: Strings) -> Floats:
    """(U, C) the teachers' mean, joined by id."""
    found = [p_NC[positions(ids, known, "a teacher's images")] for known, p_NC in teachers]
    mean = np.mean(np.stack(found).astype(np.float64), axis=0)
    return np.asarray(mean / mean.sum(axis=1, keepdims=True), dtype=np.float32)
