"""A demo's pictures as a long-tailed competition with a held-out test set.

Owns: the long tail, the test set, and which half of it is public. Everything works on whole groups.
Does not own making pictures (`data/demo/emoji.py`) nor writing them (`data/demo/competitions.py`).

The *stratum* of a picture is the value of its first attribute (category, kind, digit).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from PIL import Image

from pipeline.core.seeds import rng


@dataclass(frozen=True)
class DemoPicture:
    """One picture of a demo.

    Args:
        id: short, stable, independent of the label.
        group: pictures of one group are never on both sides of a split.
        values: the raw value of each attribute.
        draw: makes the RGB image.
        second: makes the other image of a sample that has two.
    """

    id: str
    group: str
    values: tuple[str, ...]
    draw: Callable[[], Image.Image]
    second: Callable[[], Image.Image] | None = None

    @property
    def stratum(self) -> str:
        """The value of the first attribute."""
        return self.values[0]


def long_tail(
    pictures: Sequence[DemoPicture], ratio: float, min_groups: int, seed: int
) -> tuple[DemoPicture, ...]:
    """Drop whole groups until images per stratum fall geometrically, `ratio` : 1 in all.

    The largest of K strata keeps all its n images; the stratum of rank k keeps about n · ratio^(−k/(K−1)),
    or all of its images if it has fewer. Every class of a stratum keeps at least `min_groups` groups, or all.

    Args:
        pictures: all of them, in any order; the result keeps it.
        ratio: ≥ 1; 1 changes nothing.
        min_groups: of each class; takes precedence over the ratio.
        seed: which groups are dropped.
    """
    if ratio == 1:
        return tuple(pictures)
    sizes = Counter(p.stratum for p in pictures)
    ranked = sorted(sizes, key=lambda s: (-sizes[s], s))
    kept: set[str] = set()
    for rank, stratum in enumerate(ranked):
        target = sizes[ranked[0]] * ratio ** (-rank / max(len(ranked) - 1, 1))
        images, groups_of_class = 0, Counter[tuple[str, ...]]()
        classes = {p.values for p in pictures if p.stratum == stratum}
        for group, members in _shuffled(pictures, stratum, "tail", seed):
            short = min(groups_of_class[c] for c in classes) < min_groups
            if not short and images + len(members) / 2 > target:
                continue
            kept.add(group)
            images += len(members)
            groups_of_class.update({p.values for p in members})
    return tuple(p for p in pictures if p.group in kept)


def hold_out(pictures: Sequence[DemoPicture], share: float, seed: int) -> frozenset[str]:
    """Groups of a test set with the priors of the whole: `share` of every stratum's groups."""
    held: set[str] = set()
    for stratum in sorted({p.stratum for p in pictures}):
        groups = [group for group, _ in _shuffled(pictures, stratum, "test", seed)]
        held.update(groups[: round(share * len(groups))])
    return frozenset(held)


def hold_out_evenly(pictures: Sequence[DemoPicture], share: float, seed: int) -> frozenset[str]:
    """Groups of a test set with about equally many images of every stratum.

    It has about `share` of all images; less, if a stratum would have to give more than half of its own.
    """
    sizes = Counter(p.stratum for p in pictures)
    wanted = min(share * len(pictures) / len(sizes), min(sizes.values()) / 2)
    held: set[str] = set()
    for stratum in sorted(sizes):
        images = 0
        for group, members in _shuffled(pictures, stratum, "test", seed):
            if images + len(members) / 2 <= wanted:
                held.add(group)
                images += len(members)
    return frozenset(held)


def public_half(test: Sequence[DemoPicture], seed: int) -> frozenset[str]:
    """Groups whose answers make the public score: every second one of each stratum."""
    public: set[str] = set()
    start = 0
    for stratum in sorted({p.stratum for p in test}):
        groups = [group for group, _ in _shuffled(test, stratum, "public", seed)]
        # Strata with an odd number of groups give the extra group to each half in turn.
        public.update(groups[start::2])
        start = (start + len(groups)) % 2
    return frozenset(public)


def _shuffled(
    pictures: Iterable[DemoPicture], stratum: str, purpose: str, seed: int
) -> list[tuple[str, list[DemoPicture]]]:
    """The stratum's groups in a drawn order that does not depend on the pictures' order."""
    members: dict[str, list[DemoPicture]] = defaultdict(list)
    for picture in pictures:
        if picture.stratum == stratum:
            members[picture.group].append(picture)
    names = sorted(members)
    order = rng(seed, purpose, stratum).permutation(len(names))
    return [(names[i], members[names[i]]) for i in order]
