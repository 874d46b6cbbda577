"""The members of a blend as values: their out-of-fold and test probabilities, whoever made them.

Owns where each member's predictions come from, and refusing members that cannot vote together. Does not
own what words of `ensemble.members` mean (`settings/ensemble.py`) or reading CSVs
(`ensemble/outside.py`).

Members of a blend that are there already: finished inferences, and CSVs from elsewhere.

Owns which inferences `auto` and `key:` mean, and the digests of outside CSVs, which enter the blend's
key. Does not own reading their predictions (`ensemble/voters.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.core.errors import ConfigError, DataError
from pipeline.core.predictions import Probabilities, align
from pipeline.core.samples import Samples, Strings
from pipeline.data import load
from pipeline.engine.need import Need
from pipeline.engine.stage import Ask
from pipeline.ensemble import outside
from pipeline.record.digests import FileIndex, sha256_file
from pipeline.record.store import SHORT, Artifact
from pipeline.settings.ensemble import MemberWord, word_of
from pipeline.settings.load import Settings

PREFIX = "member:"
# What predicts the test set in a member's place, with the weight that its folds were given.
REFIT = "refit:"


@dataclass(frozen=True)
class Guest:
    """A member that predicts the test set only.

    Args:
        p: its test probabilities; of labels, certain ones.
        weight: of its vote, where a member with out-of-fold predictions has 1 on average.
        kind: file or labels.
    """

    p: Probabilities
    weight: float
    kind: str


@dataclass(frozen=True)
class Voters:
    """Everyone who votes.

    Args:
        oofs: of the members that have them, aligned.
        tests: of the same members, aligned.
        guests: those without.
        weights: given ones, one for each of `oofs`; None: none are given.
        notes: for people: what was mended, what no score is known of.
        files: of each CSV its path and digest, for provenance.
    """

    oofs: tuple[Probabilities, ...]
    tests: tuple[Probabilities, ...]
    guests: tuple[Guest, ...]
    weights: tuple[float, ...] | None
    notes: tuple[str, ...]
    files: dict[str, Any]

    def with_guests(self, test: Probabilities) -> Probabilities:
        """The blend's test probabilities and the guests' votes, each of its weight."""
        if not self.guests:
            return test
        shares = [self._own_weight, *(guest.weight for guest in self.guests)]
        votes = align([test, *(guest.p for guest in self.guests)])
        p_NC = np.average([vote.p_NC for vote in votes], axis=0, weights=shares)
        return Probabilities(test.ids_N, test.classes, p_NC.astype(np.float32), test.name)

    def lines(self, test: Probabilities) -> list[str]:
        """What is to be said of the guests; `test` is the blend without them."""
        moved = int((self.with_guests(test).labels() != test.labels()).sum()) if self.guests else 0
        whole = self._own_weight + sum(guest.weight for guest in self.guests)
        what = {"file": "probabilities of the test set only", "labels": "labels only"}
        told = [
            f"{g.p.name}: {what[g.kind]}, so no out-of-fold score exists for it; it has "
            f"{g.weight / whole:.0%} of the vote on the test set, and every score is that of the blend "
            "without it"
            for g in self.guests
        ]
        return told + [f"they change {moved} of {len(test)} test labels"] * bool(self.guests)

    @property
    def _own_weight(self) -> float:
        return sum(self.weights) if self.weights is not None else float(len(self.oofs))


def of(
    settings: Settings, inputs: Mapping[str, Artifact], train: Samples, test: Samples, covered: Strings
) -> Voters:
    """Everyone who votes.

    Args:
        settings: names them.
        inputs: of the ensemble.
        train: whose classes out-of-fold files must predict.
        test: whose ids and classes test files must predict.
        covered: ids that validate in some fold, for a blend without any member of our own.

    Raises:
        ConfigError: two members are the same run, one was made of other data or folds, a weight of nobody.
        DataError: a CSV has faults, or members predict other images.
    """
    members = {n.removeprefix(PREFIX): a for n, a in inputs.items() if n.startswith(PREFIX)}
    refits = {n.removeprefix(REFIT): a for n, a in inputs.items() if n.startswith(REFIT)}
    _refuse_mismatch(members, inputs)
    oofs = [load.oof(a, name) for name, a in members.items()]
    tests = [load.test(refits.get(name, a), name) for name, a in members.items()]
    given = settings.config.ensemble.weights
    words = [w for w in map(word_of, settings.config.ensemble.members) if w.path]
    ids_N = oofs[0].ids_N if oofs else covered
    guests: list[Guest] = []
    notes: list[str] = []
    for word in words:
        read = _read(word, settings, test)
        notes += read.notes
        if word.oof is None:
            guests.append(Guest(read.p, (given or {}).get(word.name, 1.0), word.kind))
            continue
        column = settings.config.competition.submission.id_column
        scored = outside.probabilities(Path(word.oof), word.name, train.space, ids_N, column)
        notes += scored.notes
        notes.append(f"{word.name}: made elsewhere; if its folds were others, its score is optimistic")
        oofs.append(scored.p)
        tests.append(read.p)
    names = [p.name for p in oofs]
    unknown = sorted(set(given or {}) - {*names, *(guest.p.name for guest in guests)})
    if unknown:
        raise ConfigError("ensemble.weights: no such members", unknown, f"they are: {', '.join(names)}")
    weights = tuple((given or {}).get(name, 1.0) for name in names) if set(given or {}) & set(names) else None
    files = {word.name: _provenance(word) for word in words}
    return Voters(align(oofs), align(tests), tuple(guests), weights, tuple(notes), files)


def refuse(settings: Settings, test: Samples) -> None:
    """Raise DataError for CSVs that cannot vote on the test set, before members are trained for hours."""
    for word in map(word_of, settings.config.ensemble.members):
        if word.path:
            _read(word, settings, test)


def _read(word: MemberWord, settings: Settings, test: Samples) -> outside.Read:
    path, host = Path(word.path), settings.config.competition.submission
    if word.kind == "labels":
        return outside.labels(path, word.name, test.space, test.ids_N, host)
    return outside.probabilities(path, word.name, test.space, test.ids_N, host.id_column)


def _provenance(word: MemberWord) -> dict[str, str]:
    paths = {"test": word.path} | ({"oof": word.oof} if word.oof else {})
    digests = {f"{name}_sha256": sha256_file(Path(path)) for name, path in paths.items()}
    return {"kind": word.kind, **paths, **digests}


def _refuse_mismatch(members: Mapping[str, Artifact], inputs: Mapping[str, Artifact]) -> None:
    seen: dict[str, str] = {}
    faults = []
    for name, artifact in members.items():
        if artifact.key in seen:
            faults.append(f"{name} and {seen[artifact.key]} are the same run {artifact.key}")
        seen[artifact.key] = name
        for what in ("data", "folds"):
            mine, theirs = f"{what}/{inputs[what].key}", artifact.inputs.get(what)
            if mine != theirs:
                faults.append(f"{name} was trained on other {what} ({theirs}, expected {mine})")
    if faults:
        raise ConfigError(
            "ensemble.members: these cannot vote together",
            faults,
            "members need the same competition, folds and fold seed, and must differ in their settings",
        )


WHOLE = "complete"


def every(ask: Ask, settings: Settings) -> dict[str, str]:
    """Name -> key of every whole inference on these data and folds that today's code would make.

    Two runs of one experiment are told apart by their keys.

    Raises:
        ConfigError: there is none.
    """
    wanted = _shared(ask, settings)
    found = []
    for listed in ask.finished("infer"):
        same = {name: listed.inputs.get(name) for name in wanted} == wanted
        if not same or listed.metrics.get(WHOLE) != 1.0:
            continue
        artifact = ask.found(Need("infer", settings, key=listed.key))
        if artifact and ask.may_use(artifact):
            found.append(artifact)
    if not found:
        raise ConfigError(
            "ensemble.members=[auto]: no member is finished for these data and folds",
            remedy="name members, e.g. ensemble.members=[lite0,probe], or run make infer first",
        )
    names = [str(a.manifest["experiment"]) for a in found]
    return {
        name if names.count(name) == 1 else _called(a): a.key for name, a in zip(names, found, strict=True)
    }


def pinned(ask: Ask, settings: Settings, prefix: str) -> dict[str, str]:
    """Name -> key of the one inference whose key starts with `prefix`.

    Raises:
        ConfigError: no inference's key starts so, several do, or it has other data or folds.
    """
    wanted = _shared(ask, settings)
    hits = [a for a in ask.kept("infer") if a.key.startswith(prefix)]
    word = f"ensemble.members: key:{prefix}"
    if len(hits) != 1:
        which = [f"{a.key} ({a.manifest['experiment']})" for a in hits]
        raise ConfigError(f"{word}: {len(hits)} inferences have such a key", which, "`make runs` shows keys")
    other = [
        f"{name}: {hits[0].inputs.get(name)}, wanted {key}"
        for name, key in wanted.items()
        if hits[0].inputs.get(name) != key
    ]
    if other:
        what = f"{word} ({hits[0].manifest['experiment']}) was made of other data or folds"
        raise ConfigError(what, other, "members of one blend need the same competition and fold plan")
    return {_called(hits[0]): hits[0].key}


def _shared(ask: Ask, settings: Settings) -> dict[str, str]:
    return {name: f"{name}/{ask.key(Need(name, settings))}" for name in ("data", "folds")}


def _called(artifact: Artifact) -> str:
    return f"{artifact.manifest['experiment']}@{artifact.key[:SHORT]}"


def outside_identity(members: Sequence[str], index: FileIndex) -> str:
    """Digests of the CSVs from elsewhere, in the order of the members; empty where there are none.

    Raises:
        DataError: naming every one of them that is missing.
    """
    words = [word_of(text) for text in members]
    paths = [Path(p) for word in words for p in (word.path, word.oof) if p]
    missing = [str(path) for path in paths if not path.is_file()]
    if missing:
        remedy = "paths are relative to the folder that you call make in"
        raise DataError(f"ensemble.members: {len(missing)} files are missing", missing, remedy)
    return " ".join(index.digest(path) for path in paths)
