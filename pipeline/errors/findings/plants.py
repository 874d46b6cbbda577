"""What planting faults and finding them again share: halves of the groups, the needs, and their files.

Owns these; `errors/stage_faults.py` plants, `errors/stage_finders.py` looks for what was planted, `tune/tune.py` and
`tune/retest.py` ask for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.core.errors import DataError
from pipeline.core.predictions import Probabilities
from pipeline.core.samples import Samples, Strings
from pipeline.core.seeds import rng
from pipeline.data import load
from pipeline.engine.registry import Need, Params
from pipeline.errors import beside
from pipeline.errors.findings import recovery
from pipeline.errors.findings.planting import PLANTED_GROUPS, Spoilt
from pipeline.record.store import Artifact
from pipeline.settings.load import Settings

if TYPE_CHECKING:
    from pipeline.engine.context import Context, Job

SEARCH, CONFIRM = "search", "confirm"
FAULTS, UNITS = "faults.npz", "units.csv"
FEATURES = "features"
SEARCHED = (0, 1, 2)
# Fewer groups in a half are too few to plant anything that chance does not find.
FEWEST_GROUPS = 2 * PLANTED_GROUPS


def half(inputs: Mapping[str, Artifact], side: str, job: Job) -> tuple[Samples, Probabilities]:
    """One half of the groups that have out-of-fold predictions, and these.

    Raises:
        DataError: they are too few.
    """
    train = load.samples(inputs["data"], "train", job.home)
    oof = load.oof(inputs["of"], "out-of-fold").with_classes(train.space.classes)
    train = train.take(oof.ids_N)
    ids = train.ids_N[np.isin(train.groups_N, halves(np.unique(train.groups_N), side))]
    return train.take(ids), oof.take(ids)


def halves(groups: Strings, side: str) -> Strings:
    """One half of the groups.

    Raises:
        DataError: they are too few.
    """
    if len(groups) < 2 * FEWEST_GROUPS:
        raise DataError(
            f"{len(groups)} groups of images have out-of-fold predictions: too few to plant faults",
            remedy=f"it takes {2 * FEWEST_GROUPS}: half of them for searching, half for the re-test",
        )
    order = rng(0, "halves for planted faults").permutation(len(groups))
    middle = len(groups) // 2
    return groups[order[:middle] if side == SEARCH else order[middle:]]


def of_train(images: Artifact) -> pd.DataFrame:
    """Facts of the training images."""
    facts = load.facts(images)
    return facts[facts["split"] == "train"]


def planted(artifact: Artifact) -> tuple[dict[str, npt.NDArray[Any]], list[Spoilt]]:
    """What `faults` wrote."""
    with np.load(artifact.folder / FAULTS) as file:
        found = {name: file[name] for name in file.files}
    rows = zip(found["names"].tolist(), found["inside"], found["predicted"], strict=True)
    return found, [Spoilt(*row) for row in rows]


def units(artifact: Artifact) -> pd.DataFrame:
    """Hits, misses and false alarms, as `finders` wrote them."""
    return pd.read_csv(artifact.folder / UNITS, dtype={recovery.UNIT: str}, keep_default_na=False)


def need(settings: Settings, params: Params, seeds: tuple[int, ...] = SEARCHED, side: str = SEARCH) -> Need:
    """These thresholds on plantings of these seeds.

    Args:
        settings: with the thresholds.
        params: of `with_features`.
        seeds: of the plantings.
        side: which half of the groups, `SEARCH` or `CONFIRM`.
    """
    said = {**params, "seeds": " ".join(map(str, seeds)), "side": side}
    return Need("finders", settings, said)


def with_features(ctx: Context, settings: Settings) -> Params:
    """Features that the report would ask for neighbours, if there are any; nothing otherwise."""
    found = beside.features(list(ctx.store.all("features")), ctx.graph.key(Need("data", settings)))
    return {} if found is None else {FEATURES: found}
