"""What finished members cost, read off their results.

Owns prices of artifacts, and the digest of all that a budget rests on. Does not own measuring
(`infer/speed.py`) nor adding up and choosing (`ensemble/cost.py`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial

from pipeline.core.errors import ConfigError
from pipeline.core.metrics import Metric
from pipeline.core.predictions import Probabilities
from pipeline.core.samples import Ints
from pipeline.core.voting.fitting import Fit
from pipeline.ensemble import cost
from pipeline.ensemble.cost import Cost, Price
from pipeline.record.digests import sha256_text
from pipeline.record.store import Artifact

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
    return dict(zip(FIGURES, _tuple(cost.total(priced)), strict=True))


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
    return cost.fit_weights(members, y_N, metric, found, max_ms)


def _tuple(found: Cost) -> tuple[float, float, float]:
    return found.parameters, found.ms_1, found.ms_64


def _backbone(member: Artifact) -> str:
    settings = member.manifest["settings"]
    return " ".join(str(settings[f"model.{name}"]) for name in ("name", "weights", "norm"))
