"""Images from elsewhere in a fold plan: they train in every fold and validate in none.

Owns leaving out copies of the competition's own images, and joining the rest to each fold's training
part. Does not own reading them (`competition.py`) nor splitting (`folds.py`).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from pipeline.core.samples import FoldPlan, Samples, Split, positions, strings
from pipeline.record.digests import sha256_file


def without_copies(extra: Samples, own: Iterable[Samples]) -> Samples:
    """The extra images that are no byte-for-byte copy of one of the competition's.

    A copy would train while its twin validates, or bring a test image with its answer.

    Args:
        extra: images from elsewhere.
        own: the competition's splits.
    """
    sizes = {path: Path(path).stat().st_size for path in extra.paths_N.tolist()}
    wanted = set(sizes.values())
    # Only files of equal size can be equal, so few are read.
    alike = [p for part in own for p in part.paths_N.tolist() if Path(p).stat().st_size in wanted]
    own_sizes = {Path(p).stat().st_size for p in alike}
    known = {sha256_file(Path(p)) for p in alike}
    copied = [sizes[p] in own_sizes and sha256_file(Path(p)) in known for p in extra.paths_N.tolist()]
    return extra.take(extra.ids_N[~np.array(copied, dtype=bool)])


def with_extra(plan: FoldPlan, own: Samples, extra: Samples) -> FoldPlan:
    """The plan with the extra images in every training part.

    An extra image whose group validates in a fold stays out of that fold: another photo of a person
    would tell who is validated.

    Args:
        plan: of the competition's own samples.
        own: those samples.
        extra: images from elsewhere, with other ids.
    """
    splits, left_out = [], 0
    for split in plan.splits:
        validating = own.groups_N[positions(split.valid_ids, own.ids_N, "fold plan")]
        fits_N = ~np.isin(extra.groups_N, validating)
        left_out += int((~fits_N).sum())
        more = extra.ids_N[fits_N]
        times = None if split.times_T is None else np.r_[split.times_T, np.ones(len(more), np.int64)]
        train_ids = strings([*split.train_ids.tolist(), *more.tolist()])
        splits.append(Split(train_ids, split.valid_ids, times))
    note = f"{len(extra)} images from elsewhere join every training part"
    if left_out:
        note = f"{note}; {left_out} times one stays out, because its group validates there"
    return FoldPlan(tuple(splits), (*plan.notes, note))
