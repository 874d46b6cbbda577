"""What members and blends cost, the best blend under a budget, and the cost table.

Owns the prices of finished members, adding up costs that members share, choosing members by greedy selection
under a budget, and which points of a plot are on the Pareto front. Does not own measuring
(`infer/view_predictions.py`), cross-fitting (`core/voting/fitting.py`) nor the page (`ensemble/page.py`).

Shape legend: M members, N samples, C classes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass, field, fields, replace

import numpy as np
import pandas as pd

from pipeline.core.errors import ConfigError
from pipeline.core.metric_arithmetic import Reals
from pipeline.core.metrics import Metric
from pipeline.core.predictions import Probabilities, align
from pipeline.core.samples import Ints, Truth
from pipeline.core.voting import soft_voting
from pipeline.core.voting.fitting import Fit
from pipeline.core.voting.weights import Judge, greedy
from pipeline.ensemble import texts
from pipeline.record.files import sha256_text
from pipeline.record.store import Artifact
from pipeline.settings.ensemble import GBDT

ROUNDS = 25
# Greedy selection starts from this many of the best members, and from this many of the cheapest.
STARTS = 4
TINY = 1e-12


@dataclass(frozen=True)
class Cost:
    """The cost of predicting.

    Args:
        parameters: number of weights.
        ms_1, ms_64: milliseconds per image, alone and in a batch of 64, of all views, folds and models.
    """

    parameters: float
    ms_1: float
    ms_64: float

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.parameters + other.parameters, self.ms_1 + other.ms_1, self.ms_64 + other.ms_64)


NOTHING = Cost(0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Price:
    """What one member costs alone, and each pass that others may share, e.g. a view of a frozen backbone."""

    own: Cost
    shared: Mapping[str, Cost] = field(default_factory=dict)

    @property
    def alone(self) -> Cost:
        """What it costs by itself."""
        return total([self])


def total(prices: Sequence[Price]) -> Cost:
    """What members cost together: a pass that several of them share is counted once.

    Each member timed a shared pass by itself. Noise only adds to a time, so the smallest is the best
    estimate, and the sum does not depend on the members' order.
    """
    cost = NOTHING
    shared: dict[str, Cost] = {}
    for price in prices:
        cost = cost + price.own
        for name, timed in price.shared.items():
            shared[name] = min(shared.get(name, timed), timed, key=lambda c: (c.ms_64, c.ms_1))
    for timed in shared.values():
        cost = cost + timed
    return cost


def fit_weights(
    members: Sequence[Probabilities], y_N: Truth, metric: Metric, prices: Sequence[Price], max_ms: float
) -> tuple[float, ...]:
    """Weights that do well on these rows among members that together cost at most `max_ms` per image.

    Greedy selection with replacement among the members that still fit the budget, from several starts: the
    best single member may use up a budget that two cheaper ones would use better. `y_N` is in the order of
    the first member's ids; times are those of batches of 64.

    Raises:
        ConfigError: no member is that cheap; lists them, the cheapest first.
    """
    p = [member.p_NC for member in align(members)]
    ms_M = np.array([price.alone.ms_64 for price in prices])
    afford = [m for m in range(len(p)) if ms_M[m] <= max_ms]
    if not afford:
        cheapest = sorted(zip(ms_M.tolist(), members, strict=True), key=lambda pair: pair[0])
        rows = [f"{member.name}: {ms:.2f} ms" for ms, member in cheapest]
        raise ConfigError(texts.OVER_BUDGET.format(max_ms=max_ms), rows, texts.OVER_BUDGET_REMEDY)

    def affordable(chosen: set[int]) -> bool:
        return total([prices[m] for m in chosen]).ms_64 <= max_ms

    def found(judge: Judge) -> Reals:
        score_M = {m: judge.score({m: 1.0}) for m in afford}
        by_score = sorted(afford, key=lambda m: -score_M[m])
        by_price = sorted(afford, key=lambda m: ms_M[m])
        best_count_M, best = np.zeros(len(p), np.int64), -np.inf
        for start in dict.fromkeys([*by_score[:STARTS], *by_price[:STARTS]]):
            count_M, score = _greedy(judge.emptied(), start, affordable)
            if score > best + TINY:
                best_count_M, best = count_M, score
        return np.asarray(best_count_M / best_count_M.sum(), np.float64)

    return tuple(float(w) for w in greedy(p, y_N, metric, found))


def undominated(ms: Sequence[float], quality: Sequence[float]) -> list[int]:
    """Positions of the points on the Pareto front, fastest first.

    No other point is as fast and better, or faster and as good; higher `quality` is better.
    """
    order = sorted(range(len(ms)), key=lambda n: (ms[n], -quality[n]))
    front: list[int] = []
    for n in order:
        if not front or quality[n] > quality[front[-1]]:
            front.append(n)
    return front


def _greedy(judge: Judge, start: int, affordable: Callable[[set[int]], bool]) -> tuple[Ints, float]:
    """(M,) how often each member is in the best bag of all rounds, and that bag's score."""
    count_M = np.zeros(judge.size, np.int64)
    best_count_M, best = count_M, -np.inf
    for size in range(1, ROUNDS + 1):
        inside = set(np.flatnonzero(count_M).tolist())
        gains = {
            m: judge.score({m: 1.0})
            for m in ([start] if size == 1 else range(judge.size))
            if affordable(inside | {m})
        }
        # Among equals, prefer a member that is in the bag already: it costs nothing more.
        most = max(gains.values())
        chosen = max((m for m in gains if gains[m] >= most - TINY), key=lambda m: (m in inside, -m))
        judge.move({chosen: 1.0})
        count_M = count_M + (np.arange(judge.size) == chosen)
        if gains[chosen] > best + TINY:
            best_count_M, best = count_M, gains[chosen]
    return best_count_M, best


FIGURES = tuple(f.name for f in fields(Cost))


def is_timed(member: Artifact) -> bool:
    """Whether its inference was timed; earlier versions of the code did not time it."""
    return all(name in member.metrics for name in FIGURES)


def price_of(member: Artifact) -> Price:
    """The price of one inference; passes of a frozen backbone are named by the keys of their features."""
    total_cost = Cost(*(member.metrics[name] for name in FIGURES))
    passes = [row["features"] for row in member.json("views.json").values() if row["features"]]
    shared = Cost(*(member.metrics.get(f"{name}_shared", 0.0) for name in FIGURES))
    if not passes:
        return Price(total_cost)
    own = Cost(*(a - b for a, b in zip(astuple(total_cost), astuple(shared), strict=True)))
    # The weights count once, however many views pass through them.
    timed = {key: Cost(0.0, shared.ms_1 / len(passes), shared.ms_64 / len(passes)) for key in passes}
    settings = member.manifest["settings"]
    backbone = " ".join(str(settings[f"model.{name}"]) for name in ("name", "weights", "norm"))
    return Price(own, timed | {backbone: Cost(shared.parameters, 0.0, 0.0)})


def figures(members: Sequence[Artifact | None]) -> dict[str, float]:
    """`parameters`, `ms_1` and `ms_64` of members that predict together; empty if any has no price."""
    priced = [price_of(m) for m in members if m is not None and is_timed(m)]
    if len(priced) < len(members):
        return {}
    return dict(zip(FIGURES, astuple(total(priced)), strict=True))


def budget(max_ms: float | None, members: Mapping[str, Artifact]) -> Fit | None:
    """A function that finds weights of the members, in this order, under a budget; None for no budget."""
    if max_ms is None:
        return None
    trees = [name for name, member in members.items() if name == GBDT]
    prices = {name: price_of(member) for name, member in members.items() if name not in trees}
    if trees:
        prices = with_trees(prices)

    def fit(members: Sequence[Probabilities], y_N: Truth, metric: Metric) -> tuple[float, ...]:
        return fit_weights(members, y_N, metric, [prices[m.name] for m in members], max_ms)

    return fit


def with_trees(prices: Mapping[str, Price]) -> dict[str, Price]:
    """The prices of these members beside that of the trees that read all of them, and hardly cost more.

    What a member costs by itself is then a pass that it shares with the trees.
    """
    parted = {
        name: Price(NOTHING, {f"member {name}": price.own, **price.shared}) for name, price in prices.items()
    }
    every: dict[str, Cost] = {}
    for price in parted.values():
        for name, timed in price.shared.items():
            every[name] = min(every.get(name, timed), timed, key=lambda cost: (cost.ms_64, cost.ms_1))
    return {**parted, GBDT: Price(NOTHING, every)}


def digest(members: Mapping[str, Artifact | None]) -> str:
    """Digest of the measured costs, on which a choice under a budget depends besides the keys.

    `members`: by name; None: not inferred yet.

    Raises:
        ConfigError: a member was not timed.
    """
    # Trees take the time of the other members.
    members = {name: member for name, member in members.items() if name != GBDT}
    missing = [name for name, member in members.items() if member is None or not is_timed(member)]
    if missing:
        raise ConfigError(texts.NO_TIMING, missing, texts.NO_TIMING_REMEDY)
    table = {name: [m.metrics[f] for f in FIGURES] for name, m in members.items() if m is not None}
    return sha256_text(json.dumps(table, sort_keys=True))


@dataclass(frozen=True)
class Point:
    """A member or a blend in the plot of score over time.

    Args:
        name: of the member or blend.
        ms: milliseconds per image in batches of 64.
        score: out of fold.
        kind: "member", "blend" or "cheaper blend".
        best: whether it is on the Pareto front.
    """

    name: str
    ms: float
    score: float
    kind: str
    best: bool


@dataclass(frozen=True)
class PricedMember:
    """A timed member of a blend.

    Args:
        name: of the member.
        price: what it costs.
        weight: in the blend.
        gain: what the blend loses without it; NaN where not measured.
        oof: its out-of-fold probabilities.
    """

    name: str
    price: Price
    weight: float
    gain: float
    oof: Probabilities


def cost_table(
    members: Sequence[PricedMember], y_N: Truth, metric: Metric, blend_score: float
) -> pd.DataFrame:
    """One row for each member, and the blend, with its cross-fitted score, in the last row.

    The members' predictions have the same ids, in the order of `y_N`.
    """
    rows = []
    for member in members:
        score, alone = metric.score(y_N, member.oof.p_NC), member.price.alone
        figures = (alone.parameters / 1e6, alone.ms_1, alone.ms_64, score, score / alone.ms_64)
        rows.append((member.name, *figures, member.weight, member.gain))
    columns = ["member", "M parameters", "ms ×1", "ms ×64", metric.name, "score per ms", "weight", "gain"]
    table = pd.DataFrame(rows, columns=columns)
    used = [member.price for member in members if member.weight > 0]
    blend = total(used)
    per_ms = blend_score / blend.ms_64 if used else np.nan
    last = ("blend", blend.parameters / 1e6, blend.ms_1, blend.ms_64, blend_score, per_ms, 1.0, np.nan)
    table.loc[len(table)] = last
    return table


def cost_points(
    members: Sequence[PricedMember], y_N: Truth, metric: Metric, blend_score: float
) -> list[Point]:
    """Members, blends of those with the largest weights, and the blend; arguments as for `cost_table`."""
    points = [
        Point(m.name, m.price.alone.ms_64, metric.score(y_N, m.oof.p_NC), "member", False) for m in members
    ]
    order = sorted((m for m in members if m.weight > 0), key=lambda m: -m.weight)
    for size in range(2, len(order)):
        kept = order[:size]
        p = soft_voting.soft_vote([m.oof for m in kept], [m.weight for m in kept], "cheaper")
        ms = total([m.price for m in kept]).ms_64
        name = texts.CHEAPER_BLEND.format(size=size)
        points.append(Point(name, ms, metric.score(y_N, p.p_NC), "cheaper blend", False))
    blend = total([m.price for m in members if m.weight > 0])
    points.append(Point(texts.BLEND_POINT, blend.ms_64, blend_score, "blend", False))
    front = undominated([p.ms for p in points], [metric.sign * p.score for p in points])
    return [replace(p, best=n in front) for n, p in enumerate(points)]
