"""What the tests of combining share: members of a given skill, and the folds that they are parted by."""

import numpy as np

from pipeline.core.predictions import Probabilities

CLASSES = ("a", "b", "c", "d")


def members(skills, n=400, seed=0):
    """One member a skill, on the same rows; their labels."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 4, n)
    ids = np.array([f"{i:04d}" for i in range(n)])
    found = []
    for m, skill in enumerate(skills):
        x = rng.normal(size=(n, 4))
        x[np.arange(n), y] += skill
        p = np.exp(x)
        p = (p / p.sum(axis=1, keepdims=True)).astype(np.float32)
        found.append(Probabilities(ids, CLASSES, p, f"m{m}"))
    return found, y


def parts(ids, n=5):
    """Disjoint parts of the ids."""
    return [ids[k::n] for k in range(n)]
