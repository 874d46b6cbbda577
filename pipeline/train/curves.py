"""Curves of a fold in MLflow, and the table of the F1 of every class.

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
from pipeline.engine.stage import OnEpoch
from pipeline.record.tracking import Run
from pipeline.train.loop import F1

# At most about so many epochs are logged: the curve of a long linear probe does not need a thousand points.
CURVE_POINTS = 40
# Curves of single classes: MLflow is slow with hundreds.
CLASS_CURVES = 5


def logged(run: Run, epochs: int, classes: Sequence[str] = ()) -> OnEpoch:
    """An `on_epoch` that logs some of the epochs to the run, with the F1 of these classes."""
    every = max(epochs // CURVE_POINTS, 1)

    def on_epoch(fold: int, epoch: int, entry: dict[str, float]) -> bool:
        if epoch % every == 0 or epoch == epochs - 1:
            points = {k: v for k, v in without_classes(entry).items() if k != "epoch"}
            # MLflow accepts letters of any language, but not every character.
            shown = [name for name in classes if F1 + name in entry]
            points |= {F1 + re.sub(r"[^\w. -]", "_", name): entry[F1 + name] for name in shown}
            run.epoch(epoch, points)
        return True

    return on_epoch


def stoppable(report: OnEpoch, goes_on: OnEpoch | None) -> OnEpoch:
    """An `on_epoch` that reports and, where `goes_on` is false, raises: no half-trained result is kept."""

    def both(fold: int, epoch: int, entry: dict[str, float]) -> bool:
        report(fold, epoch, entry)
        if goes_on is not None and not goes_on(fold, epoch, entry):
            raise StoppedError(f"fold {fold} was stopped after epoch {epoch + 1}")
        return True

    return both


def rarest(parts: Sequence[Samples]) -> tuple[str, ...]:
    """The classes with the fewest images in all labelled parts together, the same for every fold."""
    space = parts[0].space
    counts_C = np.bincount(np.concatenate([part.labels for part in parts]), minlength=space.n_classes)
    return tuple(space.classes[c] for c in np.argsort(counts_C, kind="stable")[:CLASS_CURVES])


def per_class(history: Sequence[dict[str, float]]) -> pd.DataFrame:
    """One row per epoch, one column for the F1 of each class that has images in the validation part."""
    kept = ("epoch", "member")
    rows = [{k.removeprefix(F1): v for k, v in e.items() if k in kept or k.startswith(F1)} for e in history]
    return pd.DataFrame(rows)


def without_classes(entry: dict[str, float]) -> dict[str, float]:
    """A history entry without the F1 of single classes."""
    return {name: value for name, value in entry.items() if not name.startswith(F1)}
