"""Classes that no model can know when their images validate: they are scored as the new class.

Owns finding them and their labels for scoring, where `competition.new_class` names the class of everything
unknown. Does not own folds (`data/folds.py`) nor the threshold that answers it (`ensemble/new_class.py`).

A class whose images are one group is either in a training part or in the validation part of a fold, never in
both. In training parts its images keep their own class, as test images may show it; where they validate, the
right answer is the new class, as it is for a test image of a class that the training table lacks. Without a
new class such images only train (`folds.singles`).
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

import numpy as np

from pipeline.core.samples import Samples
from pipeline.core.wording import worded
from pipeline.data import texts


def scored_as_new(own: Samples, extra: Samples | None, column: int) -> tuple[Samples, list[str]]:
    """The samples with other labels for scoring where one group has all images of a class, and a note.

    Args:
        own: the competition's training samples.
        extra: labelled images from elsewhere, which are in training parts only; None: there are none.
        column: the new class.
    """
    groups_of: dict[int, set[str]] = defaultdict(set)
    for part in (own, extra):
        if part is not None:
            for label, group in zip(part.for_training().labels.tolist(), part.groups_N.tolist(), strict=True):
                groups_of[label].add(group)
    alone = {label for label, groups in groups_of.items() if len(groups) == 1 and label != column}
    unseen_N = np.isin(own.for_training().labels, sorted(alone))
    word = own.space.classes[column]
    given = int((own.labels == column).sum())
    if not unseen_N.any():
        return own, [] if given else [worded(texts.NEW_CLASS_NEVER, word=word)]
    scoring_N = np.where(unseen_N, column, own.labels)
    scored = replace(own, labels_N=scoring_N, train_labels_N=own.for_training().labels)
    numbers = {"classes": len(alone), "images": int(unseen_N.sum()), "given": given}
    return scored, [worded(texts.NEW_CLASS_SINGLES, word=word, **numbers)]
