"""Random seeds, derived from names; the state of a generator is never stored.

Owns the one function that turns (root seed, purpose, fold, epoch, …) into a seed, and choosing some of many
rows. Does not own any generator's state: each caller creates a new generator, draws, and discards it. So a
run has the same result with 0 or 8 workers, and interrupted or not.

Source: numpy.random.SeedSequence (O'Neill's seed_seq), https://numpy.org/doc/stable/reference/random/
"""

import hashlib
import random

import numpy as np

Part = str | int


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
