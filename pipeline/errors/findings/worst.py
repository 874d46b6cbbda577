"""Which errors to look at first: the confident ones, spread over the pairs of classes that are confused.

Owns the choice. Does not own what is shown of them.

Legend: N images, C classes.
"""

from __future__ import annotations

import numpy as np

from pipeline.core.predictions import Probabilities
from pipeline.core.samples import Ints, Samples


def errors(oof: Probabilities, samples: Samples, most: int) -> list[str]:
    """Ids of at most `most` errors, worst first; none where nothing is wrong.

    An error is the worse the more probable the predicted class is than the true one. Each pair of true and
    predicted class comes once before any comes twice, and a group comes once before any comes twice.

    Args:
        oof: out-of-fold probabilities.
        samples: labelled; every id of `oof` is among them.
        most: how many, ≥ 1.
    """
    known = samples.take(oof.ids_N)
    wrong = np.flatnonzero(oof.labels() != known.labels)
    rows = np.arange(len(oof))
    margin_N = oof.p_NC[rows, oof.labels()] - oof.p_NC[rows, known.labels]
    worst = wrong[np.argsort(-margin_N[wrong], kind="stable")]
    pairs = [(int(known.labels[i]), int(oof.labels()[i])) for i in worst]
    turns = _turns(pairs)
    of_group = _turns([str(known.groups_N[i]) for i in worst])
    order = sorted(range(len(worst)), key=lambda k: (max(turns[k], of_group[k]), k))[:most]
    # Chosen in turns, shown by how bad they are.
    return [str(oof.ids_N[i]) for i in worst[np.sort(np.array(order, dtype=np.int64))]]


def doubtful(oof: Probabilities, most: int) -> list[str]:
    """Ids of the images whose two most probable classes are closest, where there is no error to look at."""
    two_N2 = np.sort(oof.p_NC, axis=1)[:, -2:]
    closest: Ints = np.argsort(two_N2[:, 1] - two_N2[:, 0], kind="stable")[:most]
    return [str(name) for name in oof.ids_N[closest]]


def _turns(names: list[str] | list[tuple[int, int]]) -> list[int]:
    """How often each name came before."""
    seen: dict[object, int] = {}
    found = []
    for name in names:
        found.append(seen.get(name, 0))
        seen[name] = found[-1] + 1
    return found
