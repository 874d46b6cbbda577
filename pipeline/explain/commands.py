"""`make explain`: which experiment, which images, which panels.

Owns turning RUN, ID, WHAT and FOLD into one request, with all faults of a word reported at once. Does not
own the stage (`explain/stages.py`).
"""

from __future__ import annotations

import argparse
import json

from pipeline.core import best, metrics
from pipeline.core.errors import ConfigError, DataError
from pipeline.core.language import _
from pipeline.core.samples import Samples
from pipeline.data import load
from pipeline.data.labels import label_space
from pipeline.engine import naming, request
from pipeline.engine.need import Need
from pipeline.engine.session import Session
from pipeline.explain import texts, view
from pipeline.explain.panels import check_names
from pipeline.settings.load import Settings


def explain(session: Session, options: argparse.Namespace) -> None:
    """Explain a network, and print the path of the gallery."""
    settings = _experiment(session, options)
    if options.what is not None:
        names = [name.strip() for name in options.what.split(",") if name.strip()]
        check_names(names)
        settings = settings.with_values({"explain.parts": names})
    params: dict[str, str | int] = {}
    if options.id:
        data = session.need("data", settings)
        tables = (load.samples(data, split, session.home) for split in ("train", "test"))
        params["ids"] = json.dumps(keys_of(options.id, *tables), ensure_ascii=False)
    if options.fold is not None:
        params["fold"] = options.fold
    if options.label:
        view.check(label_space(settings.config.competition), str(options.label))
        params["label"] = str(options.label)
    need = Need("explain", settings, params)
    session.check(need)
    session.show(session.get(need))


def keys_of(text: str, train: Samples, test: Samples) -> list[str]:
    """`train/17` of each id that ID= names; ids are separated by commas, `test/17` names the split.

    Raises:
        DataError: lists all ids that are in no table, or in both.
    """
    keys, faults = [], []
    known = {"train": set(train.ids_N.tolist()), "test": set(test.ids_N.tolist())}
    words = [text] if text in known["train"] | known["test"] else [w.strip() for w in text.split(",")]
    for word in dict.fromkeys(w for w in words if w):
        split, slash, name = word.partition("/")
        if slash and split in known and name in known[split]:
            keys.append(word)
            continue
        of = [split for split in known if word in known[split]]
        if len(of) == 1:
            keys.append(f"{of[0]}/{word}")
        else:
            why = _("in both tables: write train/… or test/…") if of else _("in neither table")
            faults.append(f"{word}: {why}")
    if faults or not keys:
        what = _("ID: {n} of {ids} ids cannot be explained").format(n=len(faults), ids=len(words))
        raise DataError(what, faults, _("give ids of the training or test table, separated by commas"))
    return keys


def _experiment(session: Session, options: argparse.Namespace) -> Settings:
    """The experiment of RUN or experiment=, else the best finished run, else the current experiment.

    Raises:
        ConfigError: there is no such experiment, or no run or several with such a key.
    """
    if options.run.startswith(naming.KEY):
        return _of_key(session, options.run.removeprefix(naming.KEY))
    if options.run:
        return session.settings.member(options.run)
    if any(word.startswith("experiment=") for word in options.settings):
        return session.settings
    metric = metrics.get(session.settings.config.competition.metric)
    every = [(_candidate(session, settings), settings, title) for settings, title in _candidates(session)]
    finished = [(one, settings, title) for one, settings, title in every if one is not None]
    asked = _scored_on(session)
    found = best.best([one for one, _, _ in finished], metric.sign, asked)
    if found is None:
        return session.settings
    one, settings, title = finished[found.place]
    words = {"experiment": title, "n": found.rivals + 1, "metric": metric.name}
    session.say(texts.BEST_FINISHED.format(**words, score=one.oof))
    return settings


def _of_key(session: Session, prefix: str) -> Settings:
    """The settings of the one finished training or inference whose key starts with `prefix`."""
    runs = [a for a in session.store.all("train", "infer") if a.key.startswith(prefix)]
    if len(runs) != 1:
        raise ConfigError(
            texts.RUN_OF_KEY.format(key=prefix, n=len(runs)),
            [f"{a.key} ({naming.label_of(a)})" for a in runs],
            _("`make runs` shows keys"),
        )
    own = dict(session.settings.request.values)
    return request.again(runs[0].manifest["request"], own, session.settings.folder)


def _candidates(session: Session) -> list[tuple[Settings, str]]:
    """The settings and the label of every run that was trained on this competition and can be read again."""
    config = session.settings.config.competition
    own, folder = dict(session.settings.request.values), session.settings.folder
    candidates = []
    for artifact in session.store.chosen("train"):
        record = artifact.manifest.get("request")
        if record is None or artifact.manifest.get("competition") != config.name:
            continue
        try:
            candidates.append((request.again(record, own, folder), naming.label_of(artifact)))
        except ConfigError:
            continue  # its file no longer exists
    return candidates


def _candidate(session: Session, settings: Settings) -> best.Candidate | None:
    """Its finished training, for the rule of the best so far; None: not finished with these settings."""
    artifact = session.graph.found(Need("train", settings))
    if artifact is None or artifact.metrics.get("complete") != 1.0:
        return None
    name = f"oof_{metrics.get(settings.config.competition.metric).name}"
    scored_on = " ".join(artifact.inputs[part] for part in ("data", "folds"))
    return best.Candidate(artifact.metrics[name], scored_on)


def _scored_on(session: Session) -> str:
    """The data and folds of the current settings, as `_candidate` writes them."""
    needs = (Need(name, session.settings) for name in ("data", "folds"))
    return " ".join(f"{need.stage}/{session.graph.key(need)}" for need in needs)
