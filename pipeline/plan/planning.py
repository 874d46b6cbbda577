"""Which members fit into a time: pure arithmetic on expected seconds.

Owns the choice of members, image sizes, epochs and views, and how expectations follow what was observed. Does
not own measuring (`plan/costs.py`), the recipes (`plan/recipes.py`) nor running them (`plan/running.py`).

The recipes are taken in their order, which is that of the portfolio: by what each adds to the blend per
minute. One that does not fit gets fewer epochs, then one view, or is left out. If no network fits, and there
is none yet, the time that the others leave goes to the first one that fits with smaller images. The schedule
of every member is known before it starts and is never cut; a network that took longer than expected predicts
fewer views. The rest of the time goes to more epochs of the last network. Scores play no part.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

Kind = Literal["probe", "network"]

# Fewer epochs than this share of the recipe's make another recipe of it.
SHORTEST = 0.6
# More epochs than this multiple of the recipe's are of little use.
LONGEST = 1.5
# Share of the time that is planned for members: the rest is for what no estimate knows.
FILL = 0.95
# A head on features cannot be paused while it trains, so it starts only if it may take so many times as long
# and the command still ends about in time.
UNWATCHED = 1.5
# An observed time changes expectations at most by these factors.
FACTORS = (0.3, 8.0)
# Seconds of a member that say nothing about longer ones: loading libraries, files, the start of stages.
STARTING = 20.0
# The weight of the newest observation in the running mean of them.
NEWEST = 0.6


@dataclass(frozen=True)
class Features:
    """The features that a head needs and that are not there: seconds of each by key. Members may share them.

    Args:
        of_view: for each view that it predicts.
        beside: of views that it trains on alone, which it does if it predicts all of its views.
        prepare: seconds of the prepared images that they are made from, if any is missing.
    """

    of_view: tuple[Mapping[str, float], ...] = ()
    beside: Mapping[str, float] = field(default_factory=dict)
    prepare: float = 0.0

    def missing(self, views: int) -> dict[str, float]:
        """Those of the first so many views."""
        parts = [*self.of_view[:views], *([self.beside] if views >= len(self.of_view) else [])]
        return {key: seconds for part in parts for key, seconds in part.items()}

    def seconds(self, views: int) -> float:
        """Of those of the first so many views."""
        missing = self.missing(views)
        return sum(missing.values()) + self.prepare if missing else 0.0

    def at(self, size: object, area: float) -> Features:
        """Those of images of another size, with this share of the area: none of them is there."""

        def other(part: Mapping[str, float]) -> Mapping[str, float]:
            return {f"{key} at {size}": area * seconds for key, seconds in part.items()}

        return replace(self, of_view=tuple(map(other, self.of_view)), beside=other(self.beside))

    def without(self, there: frozenset[str]) -> Features:
        """What is missing once these are there."""

        def rest(part: Mapping[str, float]) -> Mapping[str, float]:
            return {key: seconds for key, seconds in part.items() if key not in there}

        return replace(self, of_view=tuple(map(rest, self.of_view)), beside=rest(self.beside))


@dataclass(frozen=True)
class Cost:
    """Expected seconds of a member on a quiet machine.

    Args:
        fixed: whatever its epochs and views are.
        epoch: of one epoch over all folds; 0 where there are none.
        view: of one view of all images by all folds.
        features: of a head.
    """

    fixed: float
    epoch: float = 0.0
    view: float = 0.0
    features: Features = Features()

    def seconds(self, epochs: int, views: int) -> float:
        """In all."""
        return self.fixed + epochs * self.epoch + views * self.view + self.features.seconds(views)


@dataclass(frozen=True)
class Rung:
    """A recipe at one image size.

    Args:
        label: its name in tables.
        size: the side of its images, px.
        epochs, views: what the recipe asks for.
        cost: of all folds.
        share: of its epochs that is still to be trained, 0 to 1: other folds exist.
        is_fixed: whether its epochs may not change, e.g. because some of its folds exist.
        views_there: how many of its views are there; it has to predict at least one more.
    """

    label: str
    size: int
    epochs: int
    views: int
    cost: Cost
    share: float = 1.0
    is_fixed: bool = False
    views_there: int = 0

    @property
    def least_views(self) -> int:
        """The fewest that it may predict."""
        return self.views_there + 1

    @property
    def counts(self) -> list[int]:
        """How many views it may predict, the most first."""
        if self.views_there:
            return list(range(self.views, self.views_there, -1))
        return list(dict.fromkeys((self.views, 1)))

    def seconds(self, epochs: int, views: int) -> float:
        """Expected seconds of what is left of it."""
        own = replace(self.cost, epoch=self.share * self.cost.epoch)
        return own.seconds(epochs, max(views - self.views_there, 0))


@dataclass(frozen=True)
class Ladder:
    """A recipe, and the same with smaller images: the largest first.

    Args:
        name: of the recipe.
        kind: "probe": a head on features; "network".
        rungs: at least one; empty: its cost is not known yet.
        note: why it cannot be planned; empty: it can.
    """

    name: str
    kind: Kind
    rungs: tuple[Rung, ...] = ()
    note: str = ""

    @property
    def features(self) -> frozenset[str]:
        """The keys of the features that its largest rung misses."""
        return frozenset(key for one in self.rungs[:1] for key in one.cost.features.missing(one.views))

    def without(self, there: frozenset[str]) -> Ladder:
        """The same once these features are there."""
        costs = [replace(one.cost, features=one.cost.features.without(there)) for one in self.rungs]
        rungs = (replace(one, cost=cost) for one, cost in zip(self.rungs, costs, strict=True))
        return replace(self, rungs=tuple(rungs))


@dataclass(frozen=True)
class Planned:
    """A member with its schedule, and its expected seconds."""

    ladder: Ladder
    rung: Rung
    epochs: int
    views: int
    seconds: float

    @property
    def features(self) -> frozenset[str]:
        """The keys of the features that it computes."""
        return frozenset(self.rung.cost.features.missing(self.views))


@dataclass(frozen=True)
class Plan:
    """The members in the order in which they run, and the recipes that are left out with the reason."""

    members: tuple[Planned, ...] = ()
    left_out: tuple[tuple[str, str], ...] = ()

    @property
    def seconds(self) -> float:
        """Of all members."""
        return sum(member.seconds for member in self.members)


@dataclass
class Pace:
    """How observed seconds compare with expected ones, by kind of member."""

    factors: dict[str, float] = field(default_factory=dict)

    def of(self, kind: str) -> float:
        """The factor on expected seconds; 1 before anything was observed."""
        return self.factors.get(kind, 1.0)

    def observe(self, kind: str, expected: float, seconds: float) -> None:
        """Learn from what took so many seconds; `expected` is without any factor."""
        if expected <= 0 or seconds <= 0:
            return
        # A member of three seconds that takes ten does not make one of a minute take three.
        seen = (seconds + STARTING) / (expected + STARTING)
        seen = min(max(seen, FACTORS[0]), FACTORS[1])
        old = self.factors.get(kind)
        # In logarithms: twice as slow and twice as fast are equally far from as expected.
        mean = seen if old is None else math.exp(NEWEST * math.log(seen) + (1 - NEWEST) * math.log(old))
        self.factors[kind] = mean


Why = Callable[[float], str]


def plan(
    ladders: Sequence[Ladder],
    seconds: float,
    pace: Pace,
    after: float,
    has_network: bool,
    why: Why,
    there: frozenset[str] = frozenset(),
    late: float = 0.0,
) -> Plan:
    """The members that fit into so many seconds; see above.

    Args:
        ladders: in the order of preference, without those that are done.
        seconds: for members and what follows each.
        pace: of this machine at this time.
        after: seconds that follow each member: its place in the blend, and the submission.
        has_network: whether a network is finished: if not, one may have smaller images.
        why: the reason in words for a recipe that needs so many seconds.
        there: keys of the features that are there by now, whatever the ladders say.
        late: how many seconds too late the command may end if a head takes longer than expected.
    """
    members: list[Planned] = []
    left_out: dict[str, str] = {}
    left = FILL * seconds
    for asked in ladders:
        ladder = asked.without(there)
        chosen = fitted(ladder, ladder.rungs[0], left - after, pace, late) if ladder.rungs else None
        if chosen is None:
            least = fewest(ladder, ladder.rungs[0], pace).seconds if ladder.rungs else 0.0
            left_out[ladder.name] = why(least + after) if ladder.rungs else ladder.note
            continue
        members.append(chosen)
        there |= chosen.features
        left -= chosen.seconds + after
    if not has_network and not any(one.ladder.kind == "network" for one in members):
        chosen = shrunk(ladders, left - after, pace)
        if chosen is not None:
            members.append(chosen)
            left -= chosen.seconds + after
            del left_out[chosen.ladder.name]
    return Plan(tuple(stretched(members, left, pace)), tuple(left_out.items()))


def shrunk(ladders: Sequence[Ladder], seconds: float, pace: Pace) -> Planned | None:
    """The first network that fits with smaller images, which are as large as any fits with."""
    networks = [ladder for ladder in ladders if ladder.kind == "network"]
    for at in range(1, max((len(ladder.rungs) for ladder in networks), default=0)):
        for ladder in networks:
            chosen = fitted(ladder, ladder.rungs[at], seconds, pace) if at < len(ladder.rungs) else None
            if chosen is not None:
                return chosen
    return None


def quickest(ladders: Sequence[Ladder], seconds: float, pace: Pace) -> Planned:
    """The recipe of the first submission: the first that fits as it is, or else the shortest form of any.

    `ladders` have costs; the one that is the quickest as it is comes first.
    """
    ordered = sorted(ladders, key=lambda one: fewest(one, one.rungs[0], pace).seconds)
    for ladder in ordered:
        for rung in ladder.rungs:
            for views in rung.counts:
                one = _planned(ladder, rung, rung.epochs, views, pace)
                if one.seconds <= seconds:
                    return one
    shortest = (fewest(ladder, ladder.rungs[-1], pace) for ladder in ordered)
    return min(shortest, key=lambda one: one.seconds)


def fewest(ladder: Ladder, rung: Rung, pace: Pace) -> Planned:
    """The shortest form of a recipe at one size."""
    epochs = rung.epochs if rung.is_fixed else max(math.ceil(SHORTEST * rung.epochs), 1)
    return _planned(ladder, rung, epochs, rung.least_views, pace)


def fitted(ladder: Ladder, rung: Rung, seconds: float, pace: Pace, late: float = 0.0) -> Planned | None:
    """A recipe with as many of its epochs and views as fit; None if its shortest form does not.

    `late`: as in `plan`.
    """
    for views in rung.counts:
        whole = _planned(ladder, rung, rung.epochs, views, pace)
        spared = ladder.kind != "probe" or UNWATCHED * whole.seconds <= seconds + late
        if whole.seconds <= seconds and spared:
            return whole
        each = pace.of(ladder.kind) * rung.share * rung.cost.epoch
        if each <= 0 or rung.is_fixed:
            continue
        epochs = rung.epochs - math.ceil((whole.seconds - seconds) / each)
        if epochs >= max(math.ceil(SHORTEST * rung.epochs), 1):
            return _planned(ladder, rung, epochs, views, pace)
    return None


def viewed(planned: Planned, taken: float, seconds: float, pace: Pace) -> Planned:
    """A trained network with those of its planned views that fit into so many seconds; at least one new one.

    Args:
        planned: as it was before its training.
        taken: seconds of that training; if it was slower than expected, so are the views. If it went on from
            a checkpoint, it says nothing.
        seconds: for the views.
        pace: of members before it.
    """
    rung = planned.rung
    slower = max(pace.of(planned.ladder.kind), taken / max(rung.seconds(planned.epochs, 0), 1e-9))
    each = min(slower, FACTORS[1]) * rung.cost.view
    fit = rung.views_there + (math.floor(max(seconds, 0.0) / each) if each > 0 else planned.views)
    return _planned(
        planned.ladder, rung, planned.epochs, min(max(fit, rung.least_views), planned.views), pace
    )


def stretched(members: Sequence[Planned], left: float, pace: Pace) -> list[Planned]:
    """The members, the last network with more epochs if there is time for them."""
    made = list(members)
    for at in reversed(range(len(made))):
        one = made[at]
        each = pace.of(one.ladder.kind) * one.rung.share * one.rung.cost.epoch
        if one.ladder.kind != "network" or each <= 0 or one.rung.is_fixed:
            continue
        most = max(math.floor(LONGEST * one.rung.epochs), one.epochs)
        epochs = min(one.epochs + math.floor(max(left, 0.0) / each), most)
        made[at] = _planned(one.ladder, one.rung, epochs, one.views, pace)
        break
    return made


def _planned(ladder: Ladder, rung: Rung, epochs: int, views: int, pace: Pace) -> Planned:
    return Planned(ladder, rung, epochs, views, pace.of(ladder.kind) * rung.seconds(epochs, views))
