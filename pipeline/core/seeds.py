"""Random seeds, derived from names; the state of a generator is never stored.

Owns the one function that turns (root seed, purpose, fold, epoch, …) into a seed, drawing for many rows at
once, each from its own seed, and choosing some of many rows. Does not own any generator's state: each caller
creates a new generator, draws, and discards it. So a run has the same result with 0 or 8 workers, and
interrupted or not.

Source: numpy.random.SeedSequence (O'Neill's seed_seq), https://numpy.org/doc/stable/reference/random/; for
many rows at once SplitMix64, Steele, Lea and Flood 2014, https://doi.org/10.1145/2660193.2660195: number k of
a row is a function of its seed and k alone.

Legend: N names, R rows.
"""

import hashlib
import random
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

Part = str | int
Words = npt.NDArray[np.uint64]
Units = npt.NDArray[np.float64]

# The constants of SplitMix64.
_GAMMA, _FIRST, _SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


def _entropy(root: int, parts: tuple[Part, ...]) -> list[int]:
    # A digest keeps "a", "bc" apart from "ab", "c", and takes names of any length.
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in parts)
    digest = hashlib.sha256(text.encode()).digest()
    return [root, *np.frombuffer(digest, dtype=np.uint32).tolist()]


def seed(root: int, *parts: Part) -> int:
    """A 63-bit seed for one purpose, e.g. `seed(7, "augment", fold, epoch, sample_id, copy)`.

    Args:
        root: the experiment's seed, ≥ 0.
        parts: what the draw is for; equal parts give equal seeds on every machine.
    """
    state = np.random.SeedSequence(_entropy(root, parts)).generate_state(2, np.uint32)
    return int(state[0]) << 31 ^ int(state[1])


def rng(root: int, *parts: Part) -> np.random.Generator:
    """A numpy generator for one purpose; see `seed`."""
    return np.random.default_rng(np.random.SeedSequence(_entropy(root, parts)))


def py_rng(root: int, *parts: Part) -> random.Random:
    """A generator of Python's `random` for one purpose; see `seed`."""
    return random.Random(seed(root, *parts))


def some_of(count: int, most: int) -> list[int]:
    """At most `most` of the places 0 to `count` - 1, in order, the same ones each time.

    They are drawn, because every sixth row, say, may show only one of two things that alternate.
    """
    return sorted(rng(0, "some of", count).choice(count, min(most, count), replace=False).tolist())


def name_words(names_N: Iterable[str]) -> Words:
    """(N,) 64 bits for each name, the same on every machine: what `row_seeds` takes for it."""
    digests = b"".join(hashlib.sha256(str(name).encode()).digest()[:8] for name in names_N)
    return np.frombuffer(digests, dtype="<u8").astype(np.uint64)


def row_seeds(start: int, *columns_R: npt.NDArray[np.integer]) -> Words:
    """(R,) a 64-bit seed for each row, from the seed of their common purpose and the row's own numbers.

    Args:
        start: from `seed`, with what all rows have in common.
        columns_R: non-negative integers or words of names, each (R,); equal numbers in equal order give
            equal seeds, whatever the other rows are.
    """
    assert columns_R, "rows without a number of their own"
    seed_R = np.full(len(columns_R[0]), start, np.uint64)
    for column_R in columns_R:
        seed_R = _mixed(seed_R + np.uint64(_GAMMA)) ^ column_R.astype(np.uint64)
    return _mixed(seed_R)


def _mixed(word_R: Words) -> Words:
    word_R = (word_R ^ (word_R >> np.uint64(30))) * np.uint64(_FIRST)
    word_R = (word_R ^ (word_R >> np.uint64(27))) * np.uint64(_SECOND)
    return word_R ^ (word_R >> np.uint64(31))


class RowDraws:
    """Numbers of many rows, each row from its own seed; a row's numbers do not depend on the other rows.

    Args:
        seed_R: from `row_seeds`.
    """

    def __init__(self, seed_R: Words) -> None:
        self._state_R = seed_R.copy()

    def __len__(self) -> int:
        return len(self._state_R)

    def word(self) -> Words:
        """(R,) the next 64 bits of each row."""
        self._state_R = self._state_R + np.uint64(_GAMMA)
        return _mixed(self._state_R)

    def unit(self) -> Units:
        """(R,) uniform in [0, 1)."""
        return (self.word() >> np.uint64(11)).astype(np.float64) * 2.0**-53

    def between(self, low: float, high: float) -> Units:
        """(R,) uniform from `low` to `high`."""
        return low + self.unit() * (high - low)

    def integer(self, low: int, high: int) -> Units:
        """(R,) whole numbers from `low` to `high`, both included, equally likely, as floats."""
        return low + np.floor(self.unit() * (high - low + 1))

    def happens(self, p: float) -> npt.NDArray[np.bool_]:
        """(R,) true with probability `p`."""
        return self.unit() < p
