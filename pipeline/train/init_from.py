"""`train.init_from`: which finished fold a fold starts from, and the proof that it may.

Owns finding the fold and comparing the two fold plans by what is in them. Does not own building a
network on its weights (`train/job.py`).

A model of all data (`make refit`) starts from the earlier run's model of all data: nothing validates
there, so there is nothing to leak into, and its score stays that of its folds.

A fold's network may start from weights that never saw its validation part: those of the same fold of
the same plan. Keys say that two plans are one where they are equal; where they differ (images from
elsewhere joined in one of them, another name of the same competition) the plans themselves are compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.core.errors import ConfigError, nearest
from pipeline.core.samples import FoldPlan, Ints, Samples, Split, Strings, positions
from pipeline.data import load
from pipeline.engine import request
from pipeline.engine.need import Need
from pipeline.engine.stage import Ask, Job
from pipeline.pages.command_words import make_with
from pipeline.record.store import SHORT, Artifact, Store
from pipeline.settings.load import Settings

if TYPE_CHECKING:
    from pipeline.train.job import Initial

# What a training starts from, among its inputs: a finished fold, or a finished model of all data.
INITIAL = "initial"


def need(ask: Ask, settings: Settings, fold: int | None) -> Need:
    """The finished fold that a fold starts from; for no fold, a finished model of all data."""
    folds_key = ask.key(Need("folds", settings))
    if fold is None:
        return Need("whole", settings, {}, whole(ask, settings, folds_key))
    return Need("fold", settings, {"fold": fold}, source(ask, settings, fold, folds_key))


def source(ask: Ask, settings: Settings, fold: int, folds_key: str) -> str:
    """The key of the finished fold that this fold starts from.

    A name means the runs of that experiment on this competition, a key prefix any run. Of several
    folds, those of the same plan come first, then those that start from no other run themselves: the
    result of a second step may bear the name of the first.

    Args:
        ask: looks finished runs up.
        settings: of the run that asks.
        fold: its fold.
        folds_key: of its fold plan.

    Raises:
        ConfigError: there is no such run or fold, or more than one.
    """
    asked, competition = str(settings.config.train.init_from), settings.config.competition.name
    trained = ask.finished("train")
    ours = [a for a in trained if a.manifest.get("competition") == competition]
    runs = [a for a in ours if a.manifest["experiment"] == asked]
    runs = runs or [a for a in trained if a.key.startswith(asked)]
    if not runs:
        known = list(dict.fromkeys(str(a.manifest["experiment"]) for a in ours))
        hint = nearest(asked, known) or f"known: {', '.join(known) or 'none yet'}"
        raise ConfigError(
            f"train.init_from: no finished train run `{asked}` on {competition}; {hint}",
            remedy="`make runs` lists them; train it first",
        )
    found: dict[str, Artifact] = {}
    for run in runs:
        stage, _, key = run.inputs.get(f"fold{fold}", "").partition("/")
        artifact = ask.found(Need(stage, settings, key=key)) if key else None
        if artifact:
            found[artifact.key] = artifact
    if not found:
        raise ConfigError(
            f"train.init_from: {asked} has no finished fold {fold}",
            [f"train {a.key[:SHORT]}" for a in runs],
            f"train that fold of it first, or choose train.folds without {fold}",
        )
    same = {k: a for k, a in found.items() if a.inputs.get("folds") == f"folds/{folds_key}"} or found
    first = {k: a for k, a in same.items() if INITIAL not in a.inputs} or same
    if len(first) > 1:
        which = [f"train {a.key[:SHORT]}" for a in runs if a.inputs.get(f"fold{fold}", "")[5:] in first]
        raise ConfigError(
            f"train.init_from: {len(which)} finished train runs are called `{asked}`",
            which,
            "give the start of one's key; `make runs` tells how they differ",
        )
    return next(iter(first))


def whole(ask: Ask, settings: Settings, folds_key: str) -> str:
    """The key of the model of all data that a refit starts from: that of the run its folds start from.

    Args:
        ask: looks finished runs up.
        settings: of the run that asks.
        folds_key: of its fold plan.

    Raises:
        ConfigError: as `source`; or the earlier run was never refitted.
    """
    folds = range(settings.config.folds.splits)
    keys = {f"fold{k}": f"fold/{source(ask, settings, k, folds_key)}" for k in folds}
    runs = [a for a in ask.kept("train") if keys.items() <= a.inputs.items()]
    twins = {f"train/{a.key}" for a in runs}
    # Runs that differ in statistics alone have the same folds, and models of all data with the same bits.
    found = [a for a in ask.kept("whole") if a.inputs.get("twin") in twins and _is_there(ask, settings, a)]
    if not found:
        asked = settings.config.train.init_from
        record = runs[0].manifest.get("request") if runs else None
        typed = make_with("make refit", request.asked(record).words if record else ())
        raise ConfigError(
            f"train.init_from: {asked} has no model of all data, and a refit starts from that",
            remedy=f"refit the earlier run first ({typed}), or submit the folds' average (make infer)",
        )
    return found[0].key


def _is_there(ask: Ask, settings: Settings, model: Artifact) -> bool:
    return ask.found(Need("whole", settings, key=model.key)) is not None


def refuse_seen(origin: Artifact, own: Mapping[str, Artifact], settings: Settings) -> None:
    """Raise where a part of the training part is held out that the earlier run learned.

    Early stopping would choose on images that the first weights know by heart, and a share of the groups
    would start from what all of them taught.

    Args:
        origin: the finished fold.
        own: the data of the run that asks.
        settings: of the run that asks.

    Raises:
        ConfigError: naming the setting.
    """
    train, earlier = settings.config.train, f"fold {origin.key[:SHORT]} of {settings.config.train.init_from}"
    alike = all(origin.setting(f"train.{n}") == getattr(train, n) for n in ("group_share", "seed"))
    if train.group_share < 1 and not alike:
        raise ConfigError(
            f"train.group_share={train.group_share:g} and train.init_from: {earlier} learned other groups",
            remedy="leave one of them out, or train the earlier run with the same train.group_share and seed",
        )
    stopping = origin.setting("train.early_stopping")
    alike = alike and origin.inputs.get("data") == f"data/{own['data'].key}"
    mine = train.early_stopping
    if mine is not None and not (alike and stopping and stopping["share"] == mine.share):
        raise ConfigError(
            f"train.early_stopping and train.init_from: {earlier} learned images of the inner split that "
            "would choose the epoch",
            remedy="leave train.early_stopping out, or train the earlier run with the same "
            "train.early_stopping.share, train.group_share, train.seed and images",
        )


def refuse_others(
    origin: Artifact, own: Mapping[str, Artifact], fold: int | None, store: Store, home: Path
) -> None:
    """Raise unless the fold was trained on the same fold of the same plan, and holds a network.

    Args:
        origin: the finished fold, or the finished model of all data.
        own: the data and the folds of the run that asks.
        fold: the fold that asks; None: a model of all data.
        store: where the data and the plan of `origin` lie.
        home: the pipeline's home folder.

    Raises:
        ConfigError: naming both runs' keys and everything in which the plans differ.
    """
    if origin.setting("train.strategy") == "linear_probe":
        raise ConfigError(
            f"train.init_from: fold {origin.key[:SHORT]} is a linear probe, which trained no network",
            remedy="name a run of another strategy",
        )
    mine = {name: f"{name}/{own[name].key}" for name in ("data", "folds")}
    if all(origin.inputs.get(name) == whole for name, whole in mine.items()):
        return
    theirs = {name: store.find(name, origin.inputs[name].partition("/")[2]) for name in mine}
    data, folds = theirs["data"], theirs["folds"]
    keys = f"{origin.inputs['folds']} of fold {origin.key[:SHORT]} and {mine['folds']} of this run"
    if data is None or folds is None:
        raise ConfigError(
            f"train.init_from: cannot compare the fold plans {keys}: one of them is gone",
            remedy="train the earlier run again",
        )
    before, after = (_known(artifact, home) for artifact in (data, own["data"]))
    faults = _other_samples(before, after) or _other_plan(load.plan(folds), load.plan(own["folds"]), after)
    if faults:
        raise ConfigError(
            f"train.init_from: the fold plans differ, {keys}: weights that saw validation images would leak",
            faults,
            "train the earlier run on this competition and these folds (asked by "
            f"{'a model of all data' if fold is None else f'fold {fold}'})",
        )


def _known(data: Artifact, home: Path) -> Samples:
    """The competition's own training samples; images from elsewhere never validate."""
    return load.samples(data, "train", home)


def _other_samples(before: Samples, after: Samples) -> list[str]:
    """In what two sets of samples differ; labels by name, or the files where the classes differ."""
    odd = np.setxor1d(before.ids_N, after.ids_N)
    if len(odd):
        return [f"{len(odd)} ids are in one of them only (first: {odd[0]})"]
    before = before.take(after.ids_N)
    same_classes = before.space.classes == after.space.classes
    columns = {
        "group": (before.groups_N, after.groups_N),
        "label": (before.labels, after.labels) if same_classes else (),
        "image file": () if same_classes else (before.paths_N, after.paths_N),
    }
    differing = {name: after.ids_N[pair[0] != pair[1]] for name, pair in columns.items() if pair}
    return [f"{len(n)} images have another {what} (first: {n[0]})" for what, n in differing.items() if len(n)]


def _other_plan(before: FoldPlan, after: FoldPlan, own: Samples) -> list[str]:
    if len(before) != len(after):
        return [f"{len(before)} folds and {len(after)}"]
    faults = []
    for number, (one, other) in enumerate(zip(before.splits, after.splits, strict=True)):
        odd = np.setxor1d(one.valid_ids, other.valid_ids)
        if len(odd):
            faults.append(f"fold {number}: {len(odd)} images validate in one of them only (first: {odd[0]})")
        elif not np.array_equal(_drawn(one, own.ids_N), _drawn(other, own.ids_N)):
            faults.append(f"fold {number}: other images of the competition train")
    return faults


def _drawn(split: Split, ids: Strings) -> Ints:
    """(N,) how often each of the competition's own images trains."""
    mine_T = np.isin(split.train_ids, ids)
    times_N = np.zeros(len(ids), np.int64)
    times_T = np.ones(len(split.train_ids), np.int64) if split.times_T is None else split.times_T
    times_N[positions(split.train_ids[mine_T], ids, "fold plan")] = times_T[mine_T]
    return times_N


def of(job: Job) -> Initial | None:
    """The weights of the earlier run's same fold, or of all data; None without init_from.

    Raises:
        ConfigError: the earlier run is of another plan, or its weights are not those of one network.
    """
    origin = job.inputs.get(INITIAL)
    if origin is None:
        return None
    from pipeline.train.committee import Committee
    from pipeline.train.job import Initial

    number = int(job.params["fold"]) if "fold" in job.params else None
    refuse_others(origin, job.inputs, number, job.store, job.home)
    if number is not None:
        refuse_seen(origin, job.inputs, job.settings)
    which = "of all data" if number is None else f"fold {number}"
    name = f"{origin.manifest['experiment']} {which} ({origin.key[:SHORT]})"
    states = Committee.read(origin.folder).states
    if len(states) > 1:
        raise ConfigError(
            f"train.init_from: {name} holds {len(states)} models, and a network starts from one",
            remedy="name a run without train.bag and train.chain",
        )
    size = origin.setting("images.size")
    hw = (size[0], size[1]) if isinstance(size, list) else (size, size)
    data = job.store.find("data", origin.inputs["data"].partition("/")[2])
    assert data is not None, "it is that of this run, or its samples were compared"
    return Initial(
        name, states[0], outputs_of(origin, job.settings, _known(data, job.home).space.classes), hw
    )


def outputs_of(origin: Artifact, own: Settings, classes: tuple[str, ...]) -> tuple[str, ...]:
    """The classes that the earlier classifier tells apart; none where its heads are not this run's.

    Two attributes of two values have as many outputs as their four classes, and other meanings.
    """
    heads = (own.config.model.heads, own.config.model.ordinal)
    return classes if heads == (origin.setting("model.heads"), origin.setting("model.ordinal")) else ()
