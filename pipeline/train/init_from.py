"""`train.init_from`: which finished fold a fold starts from, and the check that nothing leaks.

Owns finding the fold and comparing the contents of the two fold plans. Does not own building a network on
its weights (`train/job.py`).

The network of a fold may start from weights that never saw its validation part: those of the same fold of
the same plan. Equal keys mean equal plans; where the keys differ (extra images in one of them, another name
of the same competition), the plans themselves are compared.

A model of all data (`make refit`) starts from the earlier run's model of all data: it has no validation
part, so nothing can leak, and its score is that of its cross-validation.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pipeline.core.errors import ConfigError, nearest
from pipeline.core.language import _
from pipeline.core.samples import FoldPlan, Ints, Samples, Split, Strings, positions
from pipeline.core.wording import worded
from pipeline.data import load
from pipeline.engine import request
from pipeline.engine.need import Need
from pipeline.engine.stage import Ask, Job
from pipeline.pages.command_words import make_with
from pipeline.record.store import SHORT, Artifact, Store
from pipeline.settings.load import Settings

if TYPE_CHECKING:
    from pipeline.train.job import Initial

# The name of the input that a training starts from: a finished fold, or a finished model of all data.
INITIAL = "initial"


def need(ask: Ask, settings: Settings, fold: int | None) -> Need:
    """The finished fold that a fold starts from; for no fold, a finished model of all data."""
    folds_key = ask.key(Need("folds", settings))
    if fold is None:
        return Need("whole", settings, {}, whole(ask, settings, folds_key))
    return Need("fold", settings, {"fold": fold}, source(ask, settings, fold, folds_key))


def source(ask: Ask, settings: Settings, fold: int, folds_key: str) -> str:
    """The key of the finished fold that this fold starts from.

    A name means the runs of that experiment on this competition, a key prefix any run. Among several folds,
    those of the same plan are preferred, then those that do not start from another run themselves: the
    result of a second step may have the name of the first.

    `folds_key` is that of the new run's fold plan.

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
        hint = nearest(asked, known) or _("known: {known}").format(known=", ".join(known) or _("none yet"))
        raise ConfigError(
            _("train.init_from: no finished train run `{asked}` on {competition}; {hint}").format(
                asked=asked, competition=competition, hint=hint
            ),
            remedy=_("train it first; `make runs` lists finished runs"),
        )
    by_key: dict[str, Artifact] = {}
    for run in runs:
        stage, _slash, key = run.inputs.get(f"fold{fold}", "").partition("/")
        artifact = ask.found(Need(stage, settings, key=key)) if key else None
        if artifact:
            by_key[artifact.key] = artifact
    if not by_key:
        raise ConfigError(
            _("train.init_from: {asked} has no finished fold {fold}").format(asked=asked, fold=fold),
            [f"train {a.key[:SHORT]}" for a in runs],
            _("train that fold of it first, or choose train.folds without {fold}").format(fold=fold),
        )
    same = {k: a for k, a in by_key.items() if a.inputs.get("folds") == f"folds/{folds_key}"} or by_key
    first = {k: a for k, a in same.items() if INITIAL not in a.inputs} or same
    if len(first) > 1:
        which = [f"train {a.key[:SHORT]}" for a in runs if a.inputs.get(f"fold{fold}", "")[5:] in first]
        raise ConfigError(
            _("train.init_from: {n} finished train runs are called `{asked}`").format(
                n=len(which), asked=asked
            ),
            which,
            _("give the start of the key of one of them; `make runs` shows how they differ"),
        )
    return next(iter(first))


def whole(ask: Ask, settings: Settings, folds_key: str) -> str:
    """The key of the model of all data that a refit starts from: that of the run that its folds start from.

    Raises:
        ConfigError: as `source`; or the earlier run has no model of all data.
    """
    folds = range(settings.config.folds.splits)
    keys = {f"fold{k}": f"fold/{source(ask, settings, k, folds_key)}" for k in folds}
    runs = [a for a in ask.kept("train") if keys.items() <= a.inputs.items()]
    twins = {f"train/{a.key}" for a in runs}
    # Runs that differ only in `statistics` have the same folds and the same model of all data.
    models = [a for a in ask.kept("whole") if a.inputs.get("twin") in twins]
    models = [a for a in models if ask.found(Need("whole", settings, key=a.key)) is not None]
    if not models:
        asked = settings.config.train.init_from
        record = runs[0].manifest.get("request") if runs else None
        typed = make_with("make refit", settings.located(request.asked(record).words if record else ()))
        raise ConfigError(
            _("train.init_from: {asked} has no model of all data, from which a refit would start").format(
                asked=asked
            ),
            remedy=_(
                "refit the earlier run first ({typed}), or submit the folds' average (make infer)"
            ).format(typed=typed),
        )
    return models[0].key


def refuse_seen(origin: Artifact, own: Mapping[str, Artifact], settings: Settings) -> None:
    """Reject settings that hold images out of the training part on which the earlier run was trained.

    Early stopping would choose the epoch on images that the initial weights have learned, and a training on
    a share of the groups would start from weights trained on all of them.

    `origin` is the finished fold; `own` has the data of the new run, whose settings these are.

    Raises:
        ConfigError: with the name of the setting.
    """
    train, earlier = (
        settings.config.train,
        _("fold {key} of {init_from}").format(
            key=origin.key[:SHORT], init_from=settings.config.train.init_from
        ),
    )
    same = all(origin.setting(f"train.{n}") == getattr(train, n) for n in ("group_share", "seed"))
    if train.group_share < 1 and not same:
        raise ConfigError(
            _(
                "train.group_share={group_share:g} and train.init_from: {earlier} was trained on other groups"
            ).format(group_share=train.group_share, earlier=earlier),
            remedy=_(
                "leave one of them out, or train the earlier run with the same train.group_share and seed"
            ),
        )
    stopping = origin.setting("train.early_stopping")
    same = same and origin.inputs.get("data") == own["data"].address
    mine = train.early_stopping
    if mine is not None and not (same and stopping and stopping["share"] == mine.share):
        raise ConfigError(
            _(
                "train.early_stopping and train.init_from: {earlier} was trained on images of the inner "
                "split, which would choose the epoch"
            ).format(earlier=earlier),
            remedy=_(
                "leave train.early_stopping out, or train the earlier run with the same "
                "train.early_stopping.share, train.group_share, train.seed and images"
            ),
        )


def refuse_others(
    origin: Artifact, own: Mapping[str, Artifact], fold: int | None, store: Store, home: Path
) -> None:
    """Reject an earlier run with another fold plan, or without a network.

    `origin` is the finished fold, or (`fold` is None) model of all data; `own` has the data and folds of the
    new run.

    Raises:
        ConfigError: with the keys of both runs and every difference of the plans.
    """
    if origin.setting("train.strategy") == "linear_probe":
        raise ConfigError(
            _("train.init_from: fold {key} is a linear probe, which trains no network").format(
                key=origin.key[:SHORT]
            ),
            remedy=_("give a run of another strategy"),
        )
    mine = {name: own[name].address for name in ("data", "folds")}
    if all(origin.inputs.get(name) == reference for name, reference in mine.items()):
        return
    theirs = {name: store.at(origin.inputs[name]) for name in mine}
    data, folds = theirs["data"], theirs["folds"]
    keys = _("{folds} of fold {key} and {own} of this run").format(
        folds=origin.inputs["folds"], key=origin.key[:SHORT], own=mine["folds"]
    )
    if data is None or folds is None:
        raise ConfigError(
            _("train.init_from: cannot compare the fold plans {keys}: one of them was deleted").format(
                keys=keys
            ),
            remedy=_("train the earlier run again"),
        )
    # Extra images are in no validation part, so they are not compared.
    before, after = (load.samples(artifact, "train", home) for artifact in (data, own["data"]))
    faults = _other_samples(before, after) or _other_plan(load.plan(folds), load.plan(own["folds"]), after)
    if faults:
        raise ConfigError(
            _(
                "train.init_from: the fold plans differ, {keys}: weights that saw validation images would "
                "leak"
            ).format(keys=keys),
            faults,
            _("train the earlier run on this competition and these folds (needed by {value})").format(
                value=_("a model of all data") if fold is None else f"fold {fold}"
            ),
        )


def _other_samples(before: Samples, after: Samples) -> list[str]:
    """Differences of two sets of samples: ids, groups, and labels (or files, where the classes differ)."""
    odd = np.setxor1d(before.ids_N, after.ids_N)
    if len(odd):
        return [worded(_("{n:id} {n:is|are} in one of them only (first: {first})"), n=len(odd), first=odd[0])]
    before = before.take(after.ids_N)
    same_classes = before.space.classes == after.space.classes
    columns = {
        "group": (before.groups_N, after.groups_N),
        "label": (before.truth, after.truth) if same_classes else (),
        "image file": () if same_classes else (before.paths_N, after.paths_N),
    }
    differing = {name: after.ids_N[_differ(*pair)] for name, pair in columns.items() if pair}
    return [
        worded(_("{n:image} {n:has|have} another {name} (first: {first})"), n=len(n), name=name, first=n[0])
        for name, n in differing.items()
        if len(n)
    ]


def _differ(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """(N,) which rows differ; what is unknown (NaN) on both sides is equal."""
    differ = np.asarray(one != other)
    if one.dtype.kind == "f":
        differ &= ~(np.isnan(one) & np.isnan(other))
    return np.asarray(differ.any(axis=1) if differ.ndim > 1 else differ)


def _other_plan(before: FoldPlan, after: FoldPlan, own: Samples) -> list[str]:
    if len(before) != len(after):
        return [f"{len(before)} folds and {len(after)}"]
    faults = []
    for number, (one, other) in enumerate(zip(before.splits, after.splits, strict=True)):
        odd = np.setxor1d(one.valid_ids, other.valid_ids)
        if len(odd):
            only = worded(
                _("{n:image} {n:is|are} in one validation part only (first: {first})"),
                n=len(odd),
                first=odd[0],
            )
            faults.append(_("fold {number}: {only}").format(number=number, only=only))
        elif not np.array_equal(_times(one, own.ids_N), _times(other, own.ids_N)):
            faults.append(_("fold {number}: the training parts differ").format(number=number))
    return faults


def _times(split: Split, ids: Strings) -> Ints:
    """(N,) how often each of the competition's own images is in the training part."""
    mine_T = np.isin(split.train_ids, ids)
    times_N = np.zeros(len(ids), np.int64)
    times_T = np.ones(len(split.train_ids), np.int64) if split.times_T is None else split.times_T
    times_N[positions(split.train_ids[mine_T], ids, "fold plan")] = times_T[mine_T]
    return times_N


def of(job: Job) -> Initial | None:
    """The weights of the same fold of the earlier run, or of its model of all data; None without init_from.

    Raises:
        ConfigError: the earlier run has another plan, or its weights are not those of one network.
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
            _("train.init_from: {name} holds {n} models, but a network starts from one").format(
                name=name, n=len(states)
            ),
            remedy=_("give a run without train.bag and train.chain"),
        )
    size = origin.setting("images.size")
    hw = (size[0], size[1]) if isinstance(size, list) else (size, size)
    data = job.store.at(origin.inputs["data"])
    assert data is not None, "it is the data of this run, or its samples were compared"
    classes = load.samples(data, "train", job.home).space.classes
    return Initial(name, states[0], outputs_of(origin, job.settings, classes), hw)


def outputs_of(origin: Artifact, own: Settings, classes: tuple[str, ...]) -> tuple[str, ...]:
    """The classes of the earlier classifier's outputs; empty where its heads differ from those of this run.

    Two attributes of two values have as many outputs as their four classes, with other meanings.
    """
    heads = (own.config.model.heads, own.config.model.ordinal)
    return classes if heads == (origin.setting("model.heads"), origin.setting("model.ordinal")) else ()
