"""What of a fold's history becomes a curve in MLflow, and the table of every class's F1.

Owns how often an epoch is logged and which classes have a curve of their own. Does not own the history
(`train/loop.py`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd

from pipeline.core.errors import StoppedError
from pipeline.core.samples import Samples
from pipeline.record.tracking import Run
from pipeline.train.learners import OnEpoch
from pipeline.train.loop import F1

# How often an epoch is logged: a curve of a long linear probe needs no thousand points.
CURVE_POINTS = 40
# Curves of single classes: MLflow is slow with hundreds.
CLASS_CURVES = 5


def logged(run: Run, epochs: int, classes: Sequence[str] = ()) -> OnEpoch:
    """Tells the run about some epochs, and of the classes about these.

    Args:
        run: of the fold.
        epochs: of one training.
        classes: those that have a curve of their F1.
    """
    every = max(epochs // CURVE_POINTS, 1)

    def told(fold: int, epoch: int, entry: dict[str, float]) -> bool:
        if epoch % every == 0 or epoch == epochs - 1:
            points = {k: v for k, v in without_classes(entry).items() if k != "epoch"}
            # MLflow takes letters of any language, but not every sign.
            shown = [name for name in classes if F1 + name in entry]
            points |= {F1 + re.sub(r"[^\w. -]", "_", name): entry[F1 + name] for name in shown}
            run.epoch(epoch, points)
        return True

    return told


def judged(told: OnEpoch, goes_on: OnEpoch | None) -> OnEpoch:
    """Tells the run, and then whoever may end the training.

    Args:
        told: of each epoch.
        goes_on: False ends the stage by `StoppedError`, so that nothing half-trained is kept.
    """

    def both(fold: int, epoch: int, entry: dict[str, float]) -> bool:
        told(fold, epoch, entry)
        if goes_on is not None and not goes_on(fold, epoch, entry):
            raise StoppedError(f"fold {fold} was stopped after epoch {epoch + 1}")
        return True

    return both


def rarest(parts: Sequence[Samples]) -> tuple[str, ...]:
    """The classes with the fewest images, of all parts together: the same for every fold.

    Args:
        parts: labelled; training, validation and inner split.
    """
    space = parts[0].space
    counts_C = np.bincount(np.concatenate([part.labels for part in parts]), minlength=space.n_classes)
    return tuple(space.classes[c] for c in np.argsort(counts_C, kind="stable")[:CLASS_CURVES])


def per_class(history: Sequence[dict[str, float]]) -> pd.DataFrame:
    """A row an epoch, a column for the F1 of each class that the validation part has images of."""
    kept = ("epoch", "member")
    rows = [{k.removeprefix(F1): v for k, v in e.items() if k in kept or k.startswith(F1)} for e in history]
    return pd.DataFrame(rows)


def without_classes(entry: dict[str, float]) -> dict[str, float]:
    """An epoch's entry without the F1 of single classes."""
    return {name: value for name, value in entry.items() if not name.startswith(F1)}
