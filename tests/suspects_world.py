"""Real digits whose labels were spoilt on purpose, with out-of-fold probabilities of a real model."""

from dataclasses import dataclass, replace

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_predict

from pipeline.core.predictions import Features, Probabilities
from pipeline.core.samples import Attribute, LabelSpace, Samples
from pipeline.core.seeds import rng

PHOTOS = 5
SPACE = LabelSpace.product(
    [Attribute("size", ("small", "large"), constant_in_group=True), Attribute("parity", ("even", "odd"))]
)


@dataclass(frozen=True)
class Spoilt:
    """Training images with some wrong labels.

    Args:
        train: with the labels that were spoilt.
        clean: the same with the true ones.
        parity: ids whose parity was turned, one by one.
        size: groups whose size was turned, all their images.
        oof: out-of-fold probabilities of a model that learned the spoilt labels.
    """

    train: Samples
    clean: Samples
    parity: frozenset[str]
    size: frozenset[str]
    oof: Probabilities
    features: Features


def spoilt(n_groups: int = 220, share: float = 0.08) -> Spoilt:
    """Groups of five digits that are all small or all large; `share` of parities and of groups is turned."""
    digits, generator = load_digits(), rng(0, "spoilt")
    rows, groups = [], []
    pools = [list(np.flatnonzero((digits.target >= 5) == large)) for large in (False, True)]
    for group in range(n_groups):
        rows += [pools[group % 2].pop() for _ in range(PHOTOS)]
        groups += [f"g{group}"] * PHOTOS
    target = digits.target[rows]
    codes = np.stack([target >= 5, target % 2], axis=1).astype(np.int64)
    clean = Samples([f"i{k}" for k in range(len(rows))], groups, groups, SPACE, codes @ [2, 1], "train")
    wrong = codes.copy()
    turned = generator.choice(len(rows), int(share * len(rows)), replace=False)
    wrong[turned, 1] ^= 1
    turned_groups = {f"g{g}" for g in generator.choice(n_groups, int(share * n_groups), replace=False)}
    wrong[[group in turned_groups for group in groups], 0] ^= 1
    train = replace(clean, labels_N=wrong @ [2, 1])
    x = digits.data[rows] / 16
    model = LogisticRegression(C=0.05, max_iter=300)
    p = cross_val_predict(model, x, train.labels, groups=groups, cv=GroupKFold(4), method="predict_proba")
    oof = Probabilities(train.ids_N, SPACE.classes, p / p.sum(axis=1, keepdims=True))
    features = Features(train.ids_N, ("identity",), x[:, None, :], "digits")
    return Spoilt(
        train, clean, frozenset(train.ids_N[turned].tolist()), frozenset(turned_groups), oof, features
    )


def precision_recall(found: list[str], planted: frozenset[str]) -> tuple[float, float]:
    hits = len(planted & set(found))
    return hits / max(len(found), 1), hits / len(planted)
