"""What members and blends cost, and the best blend under a budget.

Owns adding up costs that members share, choosing members by greedy selection under a budget, and which
points of a plot nothing else beats. Does not own measuring (`infer/siblings.py`) nor cross-fitting
(`search.py`).

Shape legend: M members, N samples, C classes.

What finished members cost, read off their results.

Owns prices of artifacts, and the digest of all that a budget rests on. Does not own measuring
(`infer/siblings.py`) nor adding up and choosing (`ensemble/cost.py`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NoReturn

import numpy as np

from pipeline.core.errors import ConfigError
from pipeline.core.metrics import Metric
from pipeline.core.predictions import Probabilities, align
from pipeline.core.samples import Floats, Ints
from pipeline.core.voting.fitting import Fit
from pipeline.record.digests import sha256_text
from pipeline.record.store import Artifact

ROUNDS = 25
# Greedy selection starts from so many of the best members, and from so many of the best for their price.
STARTS = 4
TINY = 1e-12


@dataclass(frozen=True)
class Cost:
    """What it takes to predict.

    Args:
        parameters: number of weights.
        ms_1, ms_64: milliseconds an image, alone and in a batch of 64, of all views, folds and models.
    """

    parameters: float
    ms_1: float
    ms_64: float

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.parameters + other.parameters, self.ms_1 + other.ms_1, self.ms_64 + other.ms_64)


NOTHING = Cost(0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Price:
    """What one member costs, and what of it other members may use too.

    Args:
        own: what it costs in any company.
        shared: name -> cost of each pass that it shares, e.g. a view of a frozen backbone.
    """

    own: Cost
    shared: Mapping[str, Cost] = field(default_factory=dict)

    @property
    def alone(self) -> Cost:
        """What it costs by itself."""
        return total([self])


def total(prices: Sequence[Price]) -> Cost:
    """What members cost together: what several of them share is paid once.

    Each member timed a shared pass by itself; noise only adds to a time, so the least is the best estimate,
    and the sum does not depend on the members' order.
    """
    found = NOTHING
    shared: dict[str, Cost] = {}
    for price in prices:
        found = found + price.own
        for name, cost in price.shared.items():
            shared[name] = min(shared.get(name, cost), cost, key=lambda c: (c.ms_64, c.ms_1))
    for cost in shared.values():
        found = found + cost
    return found


def fit_weights(
    members: Sequence[Probabilities], y_N: Ints, metric: Metric, prices: Sequence[Price], max_ms: float
) -> tuple[float, ...]:
    """Weights that score well on these rows among members that together cost at most `max_ms`.

    Greedy selection with replacement, adding what can still be afforded, from several starts: the
    best single member may use up what two cheaper ones would have spent better.

    Args:
        members: their out-of-fold probabilities.
        y_N: true class index, in the order of the first member's ids.
        metric: what is to be good.
        prices: of each member.
        max_ms: milliseconds an image in batches of 64.

    Raises:
        ConfigError: no member is that cheap; names the cheapest.
    """
    p = [member.p_NC for member in align(members)]
    ms_M = np.array([price.alone.ms_64 for price in prices])
    afford = [m for m in range(len(p)) if ms_M[m] <= max_ms]
    if not afford:
        refuse_budget({m.name: c for m, c in zip(members, ms_M.tolist(), strict=True)}, max_ms)
    score_M = {m: metric.sign * metric.score(y_N, p[m]) for m in afford}
    by_score = sorted(afford, key=lambda m: -score_M[m])
    by_price = sorted(afford, key=lambda m: ms_M[m])
    best_count_M, best = np.zeros(len(p), np.int64), -np.inf

    def affordable(chosen: set[int]) -> bool:
        return total([prices[m] for m in chosen]).ms_64 <= max_ms

    for start in dict.fromkeys([*by_score[:STARTS], *by_price[:STARTS]]):
        count_M, score = _greedy(p, y_N, metric, start, affordable)
        if score > best + TINY:
            best_count_M, best = count_M, score
    return tuple(float(w) for w in best_count_M / best_count_M.sum())


def refuse_budget(ms: Mapping[str, float], max_ms: float) -> NoReturn:
    """Say that no member costs so little.

    Args:
        ms: of each member.
        max_ms: the budget.

    Raises:
        ConfigError: always.
    """
    rows = [f"{name}: {value:.2f} ms" for name, value in sorted(ms.items(), key=lambda item: item[1])]
    raise ConfigError(
        f"ensemble.max_ms={max_ms:g}: every member takes longer, an image in batches of 64",
        rows,
        "raise it, use fewer views (infer.views), or name cheaper members",
    )


def undominated(ms: Sequence[float], quality: Sequence[float]) -> list[int]:
    """Which points nothing else beats: none is both as fast and better, or faster and as good.

    Args:
        ms: of each point.
        quality: of each point; higher is better.

    Returns:
        Their positions, fastest first.
    """
    order = sorted(range(len(ms)), key=lambda n: (ms[n], -quality[n]))
    front: list[int] = []
    for n in order:
        if not front or quality[n] > quality[front[-1]]:
            front.append(n)
    return front


def _greedy(
    p: Sequence[Floats], y_N: Ints, metric: Metric, start: int, affordable: Callable[[set[int]], bool]
) -> tuple[Ints, float]:
    """(M,) how often each member is in the best bag on the way, and that bag's quality."""
    bag_NC, count_M = np.zeros_like(p[0]), np.zeros(len(p), np.int64)
    best_count_M, best = count_M, -np.inf
    for size in range(1, ROUNDS + 1):
        inside = set(np.flatnonzero(count_M).tolist())
        gains = {
            m: metric.sign * metric.score(y_N, (bag_NC + p[m]) / np.float32(size))
            for m in ([start] if size == 1 else range(len(p)))
            if affordable(inside | {m})
        }
        # Among equals one that is in the bag already, which costs nothing more.
        chosen = max(gains, key=lambda m: (gains[m], m in inside, -m))
        bag_NC = bag_NC + p[chosen]
        count_M = count_M + (np.arange(len(p)) == chosen)
        if gains[chosen] > best + TINY:
            best_count_M, best = count_M, gains[chosen]
    return best_count_M, best


FIGURES = ("parameters", "ms_1", "ms_64")


def known(member: Artifact) -> bool:
    """Whether its inference was timed: one that an earlier version made was not."""
    return all(name in member.metrics for name in FIGURES)


def of(member: Artifact) -> Price:
    """What one inference costs; passes of a frozen backbone are named by their features' keys."""
    whole = Cost(*(member.metrics[name] for name in FIGURES))
    passes = [row["features"] for row in member.json("views.json").values() if row["features"]]
    shared = Cost(*(member.metrics.get(f"{name}_shared", 0.0) for name in FIGURES))
    if not passes:
        return Price(whole)
    own = Cost(*(a - b for a, b in zip(_tuple(whole), _tuple(shared), strict=True)))
    # The weights are there once, however many views pass through them.
    timed = {key: Cost(0.0, shared.ms_1 / len(passes), shared.ms_64 / len(passes)) for key in passes}
    return Price(own, timed | {_backbone(member): Cost(shared.parameters, 0.0, 0.0)})


def figures(members: Sequence[Artifact | None]) -> dict[str, float]:
    """`parameters`, `ms_1` and `ms_64` of members that predict together.

    Args:
        members: None: one from elsewhere. If one has no price, nothing is known of all.
    """
    priced = [of(m) for m in members if m is not None and known(m)]
    if len(priced) < len(members):
        return {}
    return dict(zip(FIGURES, _tuple(total(priced)), strict=True))


def budget(max_ms: float | None, members: Mapping[str, Artifact]) -> Fit | None:
    """What finds weights under a budget; None: there is none.

    Args:
        max_ms: milliseconds an image in batches of 64.
        members: in the order of the predictions that weights are for.
    """
    if max_ms is None:
        return None
    return partial(_fit, tuple(of(m) for m in members.values()), max_ms)


def digest(members: Mapping[str, Artifact | None]) -> str:
    """Of the cost table: what a choice under a budget depends on beside keys.

    Args:
        members: by name; None: not inferred yet.

    Raises:
        ConfigError: nobody knows what a member costs.
    """
    missing = [name for name, member in members.items() if member is None or not known(member)]
    if missing:
        raise ConfigError(
            "ensemble.max_ms: what a member costs is measured when it is inferred, and no figures are there",
            missing,
            "make ensemble infers them first; one that is named by its key must be inferred anew",
        )
    table = {name: [m.metrics[f] for f in FIGURES] for name, m in members.items() if m is not None}
    return sha256_text(json.dumps(table, sort_keys=True))


def _fit(
    found: tuple[Price, ...], max_ms: float, members: Sequence[Probabilities], y_N: Ints, metric: Metric
) -> tuple[float, ...]:
    return fit_weights(members, y_N, metric, found, max_ms)


def _tuple(found: Cost) -> tuple[float, float, float]:
    return found.parameters, found.ms_1, found.ms_64


def _backbone(member: Artifact) -> str:
    settings = member.manifest["settings"]
    return " ".join(str(settings[f"model.{name}"]) for name in ("name", "weights", "norm"))
