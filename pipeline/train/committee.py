"""Several models of one fold that vote as one: the file `weights.pt`.

Owns its two forms: `weights` of a single model, or `states` and `shares` of several, so that nobody can
take one member for the whole. Does not own training them (`train/members.py`).
"""

from dataclasses import dataclass
from pathlib import Path

from pipeline.nets.weights import State
from pipeline.train import checkpoint

FILE = "weights.pt"


@dataclass(frozen=True)
class Committee:
    """Models of one architecture and their shares of the vote.

    Args:
        states: a state dict a model.
        shares: ≥ 0, summing to 1.
    """

    states: tuple[State, ...]
    shares: tuple[float, ...]

    def __post_init__(self) -> None:
        assert len(self.states) == len(self.shares) > 0, "a share for each model"
        assert abs(sum(self.shares) - 1) < 1e-6 and min(self.shares) >= 0, "shares sum to 1"

    @property
    def megabytes(self) -> float:
        """Size of all weights, MB."""
        return sum(t.numel() * t.element_size() for state in self.states for t in state.values()) / 1e6

    def write(self, folder: Path) -> None:
        """Write the folder's `weights.pt`."""
        alone = len(self.states) == 1
        several = {"states": list(self.states), "shares": list(self.shares)}
        checkpoint.save(folder / FILE, {"weights": self.states[0]} if alone else several)

    @staticmethod
    def read(folder: Path) -> "Committee":
        """What `write` wrote, on the CPU."""
        found = checkpoint.load(folder / FILE)
        assert found is not None, f"{folder} was verified, yet its weights cannot be read"
        if "weights" in found:
            return Committee((found["weights"],), (1.0,))
        return Committee(tuple(found["states"]), tuple(found["shares"]))
