"""A submission against another one, by paired out-of-fold predictions.

Owns the comparison, the reasons why there is none, and the words for both. Does not own which submission is
the best (`submit/ranking.py`) nor the bootstrap (`core/statistics.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.core.predictions import Comparison
from pipeline.core.samples import Samples
from pipeline.data import load
from pipeline.record.store import Artifact, Store
from pipeline.settings.schema import Config
from pipeline.submit import ranking, texts
from pipeline.submit.ledger import Choice, Entry
from pipeline.submit.submission import scored
from pipeline.train import scoring


@dataclass(frozen=True)
class Outcome:
    """The comparison of two submissions on the training images that both predict.

    Args:
        comparison: new minus old, groups resampled.
        images: how many images both predict.
    """

    comparison: Comparison
    images: int


def compare(config: Config, samples: Samples, store: Store, new: Entry, old: Entry) -> Outcome | str:
    """The comparison of two submissions, or why there is none.

    For a refit, the models of its cross-validation are compared.
    """
    pair = []
    for entry in (new, old):
        artifact = scored_result(store, entry)
        if artifact is None:
            why = texts.NOT_MADE_HERE if not entry.key else texts.RESULTS_GONE
            return texts.NO_OOF.format(name=entry.name, why=why)
        pair.append(load.oof(artifact, entry.name))
    both = np.intersect1d(pair[0].ids_N, pair[1].ids_N)
    known = len(both) and np.isin(both, samples.ids_N).all()
    if not known or set(pair[0].classes) != set(pair[1].classes):
        return texts.OTHER_IMAGES
    return Outcome(scoring.compare(config, samples, *pair), len(both))


def scored_result(store: Store, entry: Entry) -> Artifact | None:
    """The result with a submission's out-of-fold predictions; for a refit, its cross-validation."""
    made = ranking.result_of(entry, store)
    return made and scored(made, store)


def line(config: Config, samples: Samples, store: Store, new: Entry, best: Choice | None) -> str:
    """One line: a new submission against the best other one, with which score and why that one."""
    if best is None:
        return texts.FIRST_SUBMISSION
    old = best.entry
    named = texts.COMPARED_WITH.format(name=old.name, why=best.why)
    if same_file(store.home, new, old):
        return texts.SAME_AS_BEST.format(compared=named)
    outcome = compare(config, samples, store, new, old)
    if isinstance(outcome, str):
        return texts.NOT_COMPARED.format(compared=named, reason=outcome)
    return texts.AGAINST_BEST.format(compared=named, comparison=outcome.comparison)


def same_file(home: Path, one: Entry, other: Entry) -> bool:
    """Whether the CSVs of two submissions are here and equal byte for byte."""
    csvs = [home / "submissions" / f"{e.name}.csv" for e in (one, other)]
    return all(csv.is_file() for csv in csvs) and csvs[0].read_bytes() == csvs[1].read_bytes()
