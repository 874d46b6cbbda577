"""Requests about the whole ledger: the leaderboard's page, and which submissions to select in the end.

Owns naming the page's request, and the words of the proposal. Does not own the page
(`submit/stage_leaderboard.py`) nor the choice (`submit/final.py`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from pipeline.core import metrics
from pipeline.core.errors import DataError, nearest
from pipeline.data import host, load, submission
from pipeline.engine.registry import Need
from pipeline.record.store import Artifact, Store
from pipeline.settings.load import Settings
from pipeline.submit import final, standing
from pipeline.submit.ledger import Entry
from pipeline.submit.submission import LEDGER


def leaderboard_need(
    settings: Settings, entries: Sequence[Entry], store: Store, data: Artifact, name: str
) -> Need:
    """The request for the page: what stands in the ledger, which gap, and which runs there are.

    Raises:
        DataError: no submission of that name.
    """
    names = [e.name for e in entries]
    if name and name not in names:
        hint = nearest(name, names) or f"the ledger knows: {', '.join(names)}"
        raise DataError(f"no submission {name!r}", remedy=hint)
    keys = sorted(f"{a.stage}/{a.key}" for a in store.chosen() if a.stage in ("train", "infer", "ensemble"))
    params: dict[str, str | int] = {
        "a": f"submissions/{LEDGER}",
        "focus": name or _focus(settings, entries, store, data),
        "runs": hashlib.sha256(" ".join(keys).encode()).hexdigest()[:16],
    }
    return Need("leaderboard", settings, params)


def _focus(settings: Settings, entries: Sequence[Entry], store: Store, data: Artifact) -> str:
    """Whose gap is looked into: the best one made here that has a public score, else the best one."""
    made = standing.artifacts(entries, store, data)
    here = [e for e in entries if e.name in made]
    scored = [e for e in here if e.public is not None]
    found = standing.best(settings, scored or here or entries, store, data)
    return found.entry.name if found else entries[-1].name


def proposal(settings: Settings, entries: Sequence[Entry], store: Store, data: Artifact, n: int) -> list[str]:
    """The lines of `make final`.

    Raises:
        DataError: nothing in the ledger can be proposed.
    """
    config = settings.config.competition
    train = load.samples(data, "train", store.home)
    sample = host.sample(settings, data, store.home)
    answers = {}
    for entry in entries:
        path = store.home / "submissions" / f"{entry.name}.csv"
        if path.is_file() and not entry.former:
            answers[entry.name] = submission.read(path, train.space, config.submission, sample).labels_N
    public = standing.public_set(settings, data, store.home)
    made = standing.artifacts(entries, store, data)
    bands = standing.bands(settings, entries, made, train, public.groups)
    metric = metrics.get(config.metric)
    picks = final.propose(final.Field(entries, answers, bands, metric.higher_is_better), n)
    lines = []
    for number, pick in enumerate(picks, 1):
        lines.append(f"{number}. submissions/{pick.entry.name}.csv")
        lines += [f"   {reason}" for reason in pick.why]
    if len(picks) < n:
        lines.append(f"only {len(picks)} of {n}: no other submission has an OOF score and other answers")
    return lines
