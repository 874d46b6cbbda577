"""Early stopping: which epoch is the best by the inner split, and when to end.

Owns reading that off the history, so that a resumed run decides alike. Does not own the inner split
(`resample/inner.py`) or its scores (`train/loop.py`).
"""

from collections.abc import Sequence

from pipeline.settings.schema import EarlyStoppingSettings

Entry = dict[str, float]


def best_epoch(history: Sequence[Entry], higher_is_better: bool) -> int:
    """The epoch with the best inner score; the first of equal ones."""
    sign = 1.0 if higher_is_better else -1.0
    return max(range(len(history)), key=lambda epoch: (sign * history[epoch]["inner_score"], -epoch))


def ended(history: Sequence[Entry], settings: EarlyStoppingSettings | None, higher_is_better: bool) -> bool:
    """Whether the inner score has not improved for `patience` epochs."""
    if settings is None or not history:
        return False
    return len(history) - 1 - best_epoch(history, higher_is_better) >= settings.patience


def marked(history: Sequence[Entry], epoch: int | None) -> tuple[Entry, ...]:
    """The history with `chosen` 1 for the epoch whose weights predict and 0 for the others.

    Args:
        history: of a whole fold.
        epoch: the chosen one; None: nothing was chosen, and nothing is marked.
    """
    if epoch is None:
        return tuple(history)
    return tuple({**entry, "chosen": float(number == epoch)} for number, entry in enumerate(history))


def predicting(history: Sequence[Entry]) -> Entry:
    """The entry of the epoch whose weights predict: the chosen one, or else the last."""
    return next((entry for entry in history if entry.get("chosen")), history[-1])
