"""What runs are called: a label that tells the runs of one experiment apart, and a word that means one run.

Owns both. Does not own the names of submissions (`submit/submission.py`), the syntax of `ensemble.members`
(`settings/ensemble.py`) nor writing overrides as an experiment file (`settings/named.py`).

The experiment is a name of files, and the command may have changed their settings: a run of
`experiment=lite0 images.size=96` is not the run that `lite0` means. Its label is `lite0 images.size=96`; the
word that means it is the name of an experiment file with exactly its settings, or else the start of its key.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from pipeline.core.errors import ConfigError
from pipeline.engine.slices import config_slice, covers
from pipeline.record.store import SHORT, Artifact
from pipeline.settings import read
from pipeline.settings.load import PLACE_PATHS, Request, Settings, resolve

LONGEST_LABEL = 100
# Overrides of these sections stand last in a label: they are mostly the same for all runs of a list.
LAST = ("folds", "competition")
# These change what is shown about a run, or how it is looked at, but not the run.
LEFT_OUT = ("statistics", "report", "eda", "finders", "preview", "explain", "learning_curve", "robustness")
# Sections that the members of one blend have in common.
SHARED = ("competition", "folds")
KEY = "key:"
Record = Mapping[str, Any]


def label(experiment: str, values: Iterable[tuple[str, Any]], depends_on: Iterable[str]) -> str:
    """The experiment's name with the overrides on which a result depends, e.g. `lite0 images.size=96`.

    A label that would be too long ends with a short digest of all overrides, so that two runs stay distinct.

    Args:
        experiment: names of its files.
        values: (dotted path, value) of all overrides of the request.
        depends_on: dotted paths of the settings on which the result depends.
    """
    paths = tuple(depends_on)
    mine = [
        (path, value)
        for path, value in values
        if path.split(".")[0] not in LEFT_OUT and any(covers(one, path) for one in paths)
    ]
    mine.sort(key=lambda one: (one[0].split(".")[0] in LAST, one[0]))
    words = [f"{path}={_text(value)}" for path, value in mine]
    whole = " ".join([experiment, *words])
    if len(whole) <= LONGEST_LABEL:
        return whole
    digest = hashlib.sha256("\n".join(sorted(words)).encode()).hexdigest()[:6]
    return f"{whole[: LONGEST_LABEL - 9].rstrip()}… #{digest}"


def label_of(artifact: Artifact) -> str:
    """The label of a finished result; its experiment alone if it has no record of its request."""
    experiment, record = str(artifact.manifest["experiment"]), artifact.manifest.get("request")
    if not record:
        return experiment
    values = [(str(path), value) for path, value in record.get("values", ())]
    return label(experiment, values, artifact.manifest.get("settings") or ())


def means(settings: Settings, artifact: Artifact) -> bool:
    """Whether these settings ask for this result: all settings on which it depends have the same values."""
    recorded = artifact.manifest.get("settings") or {}
    now = of_now(settings, artifact)
    return now is not None and bool(json.loads(json.dumps(now)) == recorded)


def of_now(settings: Settings, artifact: Artifact) -> dict[str, Any] | None:
    """The present values of all settings on which a result depends; None: it has none, or of older code."""
    recorded = artifact.manifest.get("settings")
    if not recorded:
        return None
    try:
        return config_slice(settings.config, recorded)
    except (KeyError, TypeError):
        return None


class Experiments:
    """The experiments of a command with the settings `base`, each file read once and when it is asked for.

    For one moment: a file that changes meanwhile is not read again.
    """

    def __init__(self, base: Settings) -> None:
        self.base = base
        self._known: dict[str, Settings | None] = {}

    def get(self, name: str) -> Settings | None:
        """The settings of an experiment; None: its file is gone, or not valid with this base."""
        if name not in self._known:
            try:
                self._known[name] = self.base.member(name)
            except ConfigError:
                self._known[name] = None
        return self._known[name]


def experiment_of(artifact: Artifact, experiments: Experiments) -> str | None:
    """The name of an experiment that means this result, or None.

    The recorded name is tried first, then every experiment file.
    """
    recorded = (artifact.manifest.get("request") or {}).get("experiment") or ()
    names = ["+".join(recorded)] if recorded else []
    for name in dict.fromkeys([*names, *read.names(experiments.base.folder, "experiment")]):
        settings = experiments.get(name)
        if settings is not None and means(settings, artifact):
            return name
    return None


def member_of(training: Artifact, inferred: Artifact | None, experiments: Experiments) -> str | None:
    """The word of `ensemble.members` that means a run: the name of an experiment, or the start of a key.

    Args:
        training: of the run.
        inferred: its finished inference; None: there is none, and only a name can mean the run.
        experiments: of the command that the word is for.
    """
    name = experiment_of(inferred or training, experiments)
    if name is None and inferred is not None:
        return f"{KEY}{inferred.key[:SHORT]}"
    return name


def shared(artifact: Artifact, like: Settings) -> tuple[Settings, tuple[str, ...]]:
    """The settings and the words of a command about several runs, with the data and the folds of a result.

    The words name the competition, its overrides and those of the folds; the experiment only if the folds
    are those of its file.

    Args:
        artifact: a result with a record of its request.
        like: settings of the present command, which are returned if those of the result cannot be read again.
    """
    record = artifact.manifest.get("request")
    if not record:
        return like, like.located(like.competition_words)
    recorded = artifact.manifest.get("settings") or {}
    wanted = {path: value for path, value in recorded.items() if path.split(".")[0] in SHARED}
    values = tuple((str(p), value) for p, value in record["values"] if str(p).split(".")[0] in SHARED)
    own = tuple(
        (path, value)
        for path, value in like.request.values
        if path.startswith("runtime.") or path in PLACE_PATHS
    )
    for experiment in (None, tuple(record["experiment"]) or None):
        try:
            request = Request(record["competition"], None, experiment, (*values, *own))
            settings = resolve(request, like.folder)
            now = config_slice(settings.config, wanted)
        except (ConfigError, KeyError, TypeError):
            continue
        if json.loads(json.dumps(now)) == wanted:
            named = experiment is not None
            words = (w for w in settings.words if named or not w.startswith("experiment="))
            return settings, like.located(tuple(words))
    return like, like.located(like.competition_words)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
