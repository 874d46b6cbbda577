"""What commands know of the ledger's submissions: their predictions, the public set's size, the noise.

Owns joining the ledger with the store. Does not own the ledger (`submit/ledger.py`), the noise
(`core/noise.py`) nor the page (`submit/stage_leaderboard.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.core import metrics, noise
from pipeline.core.noise import Band
from pipeline.core.samples import Floats, Samples
from pipeline.core.statistics import STANDARD_ERRORS
from pipeline.data import load
from pipeline.record.store import Artifact, Store
from pipeline.settings.load import Settings
from pipeline.submit import hostscore
from pipeline.submit.ledger import Choice, Entry, choose

# Stages by the ledger's kind of submission.
STAGE_OF = {"member": "infer", "blend": "ensemble"}
ASSUMED_SHARE = 0.5
# Without predictions nobody knows how much of their errors two submissions share; half is assumed.
SHARED = 0.5


@dataclass(frozen=True)
class PublicSet:
    """How large the public set is.

    Args:
        groups: about how many groups it holds, ≥ 1.
        told: where that is from, a sentence.
    """

    groups: int
    told: str


def public_set(settings: Settings, data: Artifact, home: Path) -> PublicSet:
    """The public set's size: of answers kept here, of competition.public_share, or assumed.

    A test set whose groups nobody told is taken to have groups as large as training's.
    """
    train, test = (load.samples(data, split, home) for split in ("train", "test"))
    counted = hostscore.public_images(settings, data)
    share = settings.config.competition.public_share
    if counted is not None:
        images, source = counted, "as the answers kept here say"
    elif share is not None:
        images, source = round(share * len(test)), f"competition.public_share={share:g}"
    else:
        images = round(ASSUMED_SHARE * len(test))
        source = "half of the test set is assumed: set competition.public_share to what the host says"
    told = len(np.unique(test.groups_N)) < len(test)
    of = test if told else train
    groups = max(round(images * len(np.unique(of.groups_N)) / max(len(of), 1)), 1)
    return PublicSet(groups, f"Public set: {images} images, about {groups} groups ({source}).")


def artifacts(entries: Sequence[Entry], store: Store, data: Artifact) -> dict[str, Artifact]:
    """What submissions were made of, by name, where it is still here and of these data."""
    found = {}
    for entry in entries:
        if entry.former or entry.kind not in STAGE_OF or not entry.key:
            continue
        artifact = store.find(STAGE_OF[entry.kind], entry.key) or store.find("decide", entry.key)
        if artifact and artifact.inputs.get("data") == f"{data.stage}/{data.key}":
            found[entry.name] = artifact
    return found


def bands(
    settings: Settings, entries: Sequence[Entry], made: Mapping[str, Artifact], train: Samples, public: int
) -> dict[str, Band]:
    """Where public − OOF of each submission lies by luck: from its predictions, or from its interval."""
    found = {}
    for entry in entries:
        if entry.name in made:
            found[entry.name] = _band(settings, made[entry.name], train, public)
        elif entry.oof_low is not None and entry.oof_high is not None:
            groups = len(np.unique(train.groups_N))
            found[entry.name] = noise.band_of_interval(entry.oof_low, entry.oof_high, groups, public)
    return found


def _band(settings: Settings, artifact: Artifact, train: Samples, public: int) -> Band:
    config = settings.config
    oof = load.oof(artifact, artifact.key)
    known = train.take(oof.ids_N)
    metric = metrics.get(config.competition.metric)
    p_NC = oof.with_classes(train.space.classes).p_NC
    draws, seed = config.statistics.draws, config.statistics.seed
    drawn = noise.gap_draws(metric, known.labels, p_NC, known.groups_N, public, draws, seed)
    return noise.band_of(drawn, public)


def reach(
    settings: Settings, made: Mapping[str, Artifact], train: Samples, public: int
) -> Callable[[Entry, Entry], float]:
    """How far two public scores may lie apart by luck: 95 % of the difference on one public set.

    From both submissions' predictions where they are here and cover the same images; else from the
    intervals in the ledger, half of their errors assumed to be shared; 0 where nothing is known.
    """
    config = settings.config
    groups = len(np.unique(train.groups_N))

    def paired(one: Artifact, other: Artifact) -> float | None:
        oofs = [load.oof(a, a.key) for a in (one, other)]
        ids = np.intersect1d(oofs[0].ids_N, oofs[1].ids_N)
        if len(ids) < max(len(o) for o in oofs):
            return None
        known = train.take(ids)
        sides: list[Floats] = [o.with_classes(train.space.classes).take(ids).p_NC for o in oofs]
        metric = metrics.get(config.competition.metric)
        draws, seed = config.statistics.draws, config.statistics.seed
        sd = noise.public_spread(metric, known.labels, sides, known.groups_N, public, draws, seed)
        return STANDARD_ERRORS * float(sd[0, 1])

    def of(one: Entry, other: Entry) -> float:
        if one.name == other.name:
            return 0.0
        if one.name in made and other.name in made:
            found = paired(made[one.name], made[other.name])
            if found is not None:
                return found
        widths = [
            e.oof_high - e.oof_low for e in (one, other) if e.oof_low is not None and e.oof_high is not None
        ]
        if not widths:
            return 0.0
        # Of one public score: no error of the OOF score is in a difference of two public scores.
        sd = float(np.mean(np.abs(widths))) / (2 * STANDARD_ERRORS) * (groups / public) ** 0.5
        return float(STANDARD_ERRORS * sd * (2 * (1 - SHARED)) ** 0.5)

    return of


def best(
    settings: Settings, entries: Sequence[Entry], store: Store, data: Artifact, excluding: str | None = None
) -> Choice | None:
    """The best of these lines by the ledger's rule, with the noise of this public set."""
    train = load.samples(data, "train", store.home)
    public = public_set(settings, data, store.home).groups
    apart = reach(settings, artifacts(entries, store, data), train, public)
    metric = metrics.get(settings.config.competition.metric)
    return choose(entries, "public", excluding, metric.higher_is_better, apart)
