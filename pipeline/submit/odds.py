"""Whether a submission is likely to be better than another, by what both said out of fold, in pairs.

Owns finding the out-of-fold predictions behind a submission, and the words. Does not own the bootstrap
(`core/statistics.py`, through `train/scoring.py`).
"""

from __future__ import annotations

import numpy as np

from pipeline.core import statistics
from pipeline.core.samples import Samples
from pipeline.data import load
from pipeline.record.store import Artifact, Store
from pipeline.settings.schema import Config
from pipeline.submit.ledger import Entry
from pipeline.train import scoring

STAGE = {"blend": "ensemble", "member": "infer", "refit": "refit"}


def told(config: Config, samples: Samples, store: Store, new: Entry, best: Entry) -> str:
    """P(new is better than best), by a paired bootstrap over groups, or why nobody knows.

    Args:
        config: for the metric and the bootstrap.
        samples: the training samples.
        store: where the results are.
        new: the submission that is asked about.
        best: the one that it has to beat.
    """
    what = f"P(better than {best.name})"
    sides = []
    for entry in (new, best):
        artifact = scored(store, entry)
        if artifact is None:
            why = "was not made here" if not entry.key else "its results were freed or made elsewhere"
            return f"{what}: not known, as {entry.name} has no out-of-fold predictions ({why})"
        sides.append(load.oof(artifact, entry.name))
    both = np.intersect1d(sides[0].ids_N, sides[1].ids_N)
    if (
        not len(both)
        or not np.isin(both, samples.ids_N).all()
        or set(sides[0].classes) != set(sides[1].classes)
    ):
        return f"{what}: not known, as the two were trained on other images or classes"
    found = scoring.compare(config, samples, *sides)
    text = f"{what} = {found.p_better:.2f}, out of fold, {len(both)} images in pairs: {found}"
    enough = statistics.groups_to_tell(found)
    if found.verdict == "can't tell" and enough and enough > found.n_groups:
        text += f"; about {enough} groups would tell, there are {found.n_groups}"
    refits = [e.name for e in (new, best) if e.kind == "refit"]
    return f"{text}; of {' and '.join(refits)} the folds' models are compared" if refits else text


def scored(store: Store, entry: Entry) -> Artifact | None:
    """The result whose out-of-fold predictions speak for a submission; a refit's are its twin's."""
    stage = STAGE.get(entry.kind)
    found = store.find(stage, entry.key) or store.find("decide", entry.key) if stage and entry.key else None
    if found is not None and found.stage == "refit":
        stage, _, key = found.inputs["twin"].partition("/")
        return store.find(stage, key)
    return found
