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
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pipeline.core.errors import ConfigError
from pipeline.engine.slices import config_slice, covers
from pipeline.record.board import called
from pipeline.record.store import SHORT, Artifact
from pipeline.settings import read
from pipeline.settings.ensemble import word_of
from pipeline.settings.load import PLACE_PATHS, Request, Settings, resolve

LONGEST_LABEL = 100
LONGEST_NAME, LONGEST_VALUE = 150, 24  # of a run in the record
# Characters of the members in the name of a blend.
LONGEST_MEMBERS = 60
# Overrides of these sections stand last in a label: they are mostly the same for all runs of a list.
LAST = ("folds", "competition")
# These change what is shown about a run, or how it is looked at, but not the run.
LEFT_OUT = ("statistics", "report", "eda", "finders", "preview", "explain", "learning_curve", "robustness")
# Sections that the members of one blend have in common.
SHARED = ("competition", "folds")
KEY = "key:"
# Inputs of a blend: `member:<name>` is an inference.
MEMBER = "member:"
# Stages whose results are, or are about, a blend, and the setting that its name tells in other words.
BLENDS, MEMBERS = ("ensemble", "cost"), "ensemble.members"
Record = Mapping[str, Any]


def label(experiment: str, values: Iterable[tuple[str, Any]], depends_on: Iterable[str]) -> str:
    """The experiment's name with the overrides on which a result depends, e.g. `lite0 images.size=96`.

    A label that would be too long ends with a short digest of all overrides, so that two runs stay distinct.

    Args:
        experiment: names of its files.
        values: (dotted path, value) of all overrides of the request.
        depends_on: dotted paths of the settings on which the result depends.
    """
    words = [f"{path}={_text(value)}" for path, value in overrides(values, depends_on)]
    whole = " ".join([experiment, *words])
    if len(whole) <= LONGEST_LABEL:
        return whole
    return f"{whole[: LONGEST_LABEL - 9].rstrip()}… {_digest(words)}"


def overrides(values: Iterable[tuple[str, Any]], depends_on: Iterable[str]) -> list[tuple[str, Any]]:
    """The overrides that a label names, in its order; see `label`."""
    paths = tuple(depends_on)
    mine = [
        (path, value)
        for path, value in values
        if path.split(".")[0] not in LEFT_OUT and any(covers(one, path) for one in paths)
    ]
    return sorted(mine, key=lambda one: (one[0].split(".")[0] in LAST, one[0]))


def label_of(artifact: Artifact) -> str:
    """The label of a finished result; its experiment alone if it has no record of its request.

    The label of a blend names its members in place of the experiment.
    """
    experiment, found = str(artifact.manifest["experiment"]), artifact.manifest.get("settings") or {}
    values = values_of(artifact)
    members = member_names(artifact.stage, artifact.inputs, artifact.setting("ensemble.members"))
    if members:
        return label(blend(members), without(values, MEMBERS), found)
    return label(experiment, values, found)


def values_of(artifact: Artifact) -> list[tuple[str, Any]]:
    """Dotted path and value of each override of the request that made a result."""
    record = artifact.manifest.get("request") or {}
    return [(str(path), value) for path, value in record.get("values", ())]


def without(values: Iterable[tuple[str, Any]], path: str) -> list[tuple[str, Any]]:
    """Overrides without those of one path."""
    return [one for one in values if one[0] != path]


def member_names(stage: str, inputs: Iterable[str], words: Iterable[object] | None) -> list[str]:
    """The names of a blend's members, in the order in which it has them; empty for results that are none.

    Args:
        stage: of the result.
        inputs: names of its inputs.
        words: its setting `ensemble.members`, of which CSVs from elsewhere are no inputs.
    """
    if stage not in BLENDS:
        return []
    outside = [one.name for one in map(word_of, map(str, words or ())) if one.path]
    return [name.removeprefix(MEMBER) for name in inputs if name.startswith(MEMBER)] + outside


def blend(members: Sequence[str]) -> str:
    """What a blend of these members is called, such as `blend of 7: 6 tiny_cnn, tiny_resnet`.

    Members whose names are too long in all are named by their experiments, with a short digest of the whole.
    """
    short = counted(members)
    digest = "" if short == ", ".join(members) else f" {_digest(members)}"
    return f"blend of {len(members)}: {short}{digest}"


def counted(members: Sequence[str]) -> str:
    """These members in one short line; where that is too long, their experiments, counted."""
    whole = ", ".join(members)
    if len(whole) <= LONGEST_MEMBERS:
        return whole
    numbers = Counter(name.split(" ")[0] for name in members)
    short = ", ".join(f"{n} {name}" if n > 1 else name for name, n in numbers.most_common())
    if len(short) <= LONGEST_MEMBERS:
        return short
    return f"{short[:LONGEST_MEMBERS].rpartition(',')[0] or short[:LONGEST_MEMBERS]}, …"


def run_name(experiment: str, mine: Sequence[tuple[str, Any]], earlier: Sequence[Mapping[str, Any]]) -> str:
    """What a run is called in a list of runs that is read from the left: what it tried comes first.

    Overrides that fewest of the earlier runs have come first; those that at least half of them have stand
    behind the experiment, such as `mix=cutmix lr=0.01 · lite0 size=96`.

    Args:
        experiment: names of its files, or the name of a blend.
        mine: the overrides of the run, as `overrides` returns them.
        earlier: dotted path -> value of the overrides of each run that it will be compared with.
    """
    counts = [sum(path in o and _text(o[path]) == _text(value) for o in earlier) for path, value in mine]
    ranked = sorted(zip(counts, mine, strict=True), key=lambda one: one[0])
    words = [(2 * n < len(earlier), f"{called(path)}={_cut(value)}") for n, (path, value) in ranked]
    first = " ".join(word for differs, word in words if differs)
    then = " ".join([experiment, *(word for differs, word in words if not differs)])
    whole = f"{first} · {then}" if first else then
    return whole if len(whole) <= LONGEST_NAME else f"{whole[:LONGEST_NAME].rstrip()}…"


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


def _digest(words: Iterable[str]) -> str:
    """A short digest of words, in any order."""
    told = "\n".join(sorted(words))
    return f"#{hashlib.sha256(told.encode()).hexdigest()[:6]}"


def _cut(value: Any) -> str:
    text = _text(value).replace('"', "")
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 1]}…"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
