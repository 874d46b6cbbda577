"""The members of a blend: which ones there are, and their out-of-fold and test probabilities.

Owns which inferences `auto` and `key:` stand for, where each member's predictions come from, the digests of
CSVs from elsewhere (they enter the blend's key), and rejecting members that cannot be combined. Does not own
the syntax of `ensemble.members` (`settings/ensemble.py`) nor reading CSVs (`ensemble/external.py`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.core.errors import ConfigError, DataError
from pipeline.core.language import _
from pipeline.core.predictions import Probabilities, align
from pipeline.core.samples import Samples, Strings
from pipeline.core.voting import soft_voting
from pipeline.data import load
from pipeline.engine import naming
from pipeline.engine.naming import KEY
from pipeline.engine.need import Need
from pipeline.engine.stage import Ask
from pipeline.ensemble import external, texts
from pipeline.record.files import FileIndex, sha256_file
from pipeline.record.store import SHORT, Artifact
from pipeline.settings.ensemble import MemberWord, word_of
from pipeline.settings.load import Settings

# Inputs of a blend: `member:<name>` is an inference; `refit:<name>` predicts the test set in its place, with
# the weight that the member's folds were given.
MEMBER, REFIT = naming.MEMBER, "refit:"
COMPLETE = "complete"


@dataclass(frozen=True)
class TestOnlyMember:
    """A member that predicts the test set only.

    Args:
        p: its test probabilities; one-hot for labels.
        weight: of its vote; a member with out-of-fold predictions has 1 on average.
        kind: "file" or "labels".
    """

    p: Probabilities
    weight: float
    kind: str


@dataclass(frozen=True)
class Members:
    """All members of a blend.

    Args:
        oofs: out-of-fold probabilities of the members that have them, aligned.
        tests: test probabilities of the same members, aligned.
        test_only: the members without out-of-fold predictions.
        weights: the weights of `ensemble.weights`, one for each of `oofs`; None: none are given.
        notes: messages about repaired files and members whose score is uncertain.
        files: path and digest of each CSV, for the provenance.
    """

    oofs: tuple[Probabilities, ...]
    tests: tuple[Probabilities, ...]
    test_only: tuple[TestOnlyMember, ...]
    weights: tuple[float, ...] | None
    notes: tuple[str, ...]
    files: dict[str, Any]

    def with_test_only(self, test: Probabilities) -> Probabilities:
        """The blend's test probabilities averaged with those of the test-only members, by weight."""
        if not self.test_only:
            return test
        weights = [self._blend_weight, *(member.weight for member in self.test_only)]
        votes = align([test, *(member.p for member in self.test_only)])
        p_NC = np.average([vote.p_NC for vote in votes], axis=0, weights=weights)
        return replace(test, p_NC=p_NC.astype(np.float32))

    def test_only_lines(self, test: Probabilities) -> list[str]:
        """Messages about the test-only members; `test` is the blend without them."""
        if not self.test_only:
            return []
        total = self._blend_weight + sum(member.weight for member in self.test_only)
        lines = [
            texts.TEST_ONLY.format(
                member=member.p.name, kind=texts.TEST_ONLY_KIND[member.kind], share=member.weight / total
            )
            for member in self.test_only
        ]
        changed_N = soft_voting.differs(self.with_test_only(test), test)
        text = texts.TEST_ONLY_CHANGES[test.kind]
        return [*lines, text.format(changed=int(changed_N.sum()), images=changed_N.size)]

    @property
    def _blend_weight(self) -> float:
        return sum(self.weights) if self.weights is not None else float(len(self.oofs))


def load_members(
    settings: Settings, inputs: Mapping[str, Artifact], train: Samples, test: Samples, covered: Strings
) -> Members:
    """Load the predictions of every member.

    `covered`: ids that are in some validation part, for a blend of external members only.

    Raises:
        ConfigError: two members are the same run, a member has other data or folds, or a weight names no
            member.
        DataError: a CSV has faults, or members predict other images.
    """
    members, refits = by_name(inputs, MEMBER), by_name(inputs, REFIT)
    refuse_mismatch(members, inputs)
    oofs = [load.oof(artifact, name) for name, artifact in members.items()]
    tests = [load.test(refits.get(name, artifact), name) for name, artifact in members.items()]
    given = settings.config.ensemble.weights or {}
    words = [word for word in map(word_of, settings.config.ensemble.members) if word.path]
    ids_N = oofs[0].ids_N if oofs else covered
    test_only: list[TestOnlyMember] = []
    notes: list[str] = []
    for word in words:
        predicted = _read(word, settings, test)
        notes += predicted.notes
        if word.oof is None:
            test_only.append(TestOnlyMember(predicted.p, given.get(word.name, 1.0), word.kind))
            continue
        competition = settings.config.competition
        scored = external.read_probabilities(Path(word.oof), word.name, train.space, ids_N, competition)
        notes += scored.notes
        notes.append(texts.EXTERNAL_FOLDS.format(member=word.name))
        oofs.append(scored.p)
        tests.append(predicted.p)
    names = [p.name for p in oofs]
    unknown = sorted(set(given) - {*names, *(member.p.name for member in test_only)})
    if unknown:
        raise ConfigError(
            _("ensemble.weights: no such members"),
            unknown,
            _("the members are: {names}").format(names=", ".join(names)),
        )
    weights = tuple(given.get(name, 1.0) for name in names) if set(given) & set(names) else None
    files = {word.name: _provenance(word) for word in words}
    return Members(align(oofs), align(tests), tuple(test_only), weights, tuple(notes), files)


def by_name(inputs: Mapping[str, Artifact], prefix: str) -> dict[str, Artifact]:
    """The inputs whose name starts with the prefix, by the rest of their name."""
    return {name.removeprefix(prefix): a for name, a in inputs.items() if name.startswith(prefix)}


def words_of(blend: Artifact, inferred: Mapping[str, Artifact], names: Sequence[str]) -> tuple[str, ...]:
    """The words of settings that ask for some members of a blend again, and for their given weights.

    A member's name is its word only where it was asked for by it; other inferences are meant by their keys.

    Args:
        blend: that has these members.
        inferred: its members that are inferences, by name.
        names: of the wanted members.
    """
    asked = {word_of(str(word)).name: str(word) for word in blend.setting("ensemble.members") or ()}
    keyed = {n: a for n, a in inferred.items() if n in names and n not in asked}
    words = [f"{KEY}{keyed[n].key[:SHORT]}" if n in keyed else asked[n] for n in names]
    given = blend.setting("ensemble.weights") or {}
    kept = {_name_with_key(keyed[n]) if n in keyed else n: given[n] for n in names if n in given}
    weights = (f"ensemble.weights={json.dumps(kept, ensure_ascii=False)}",) if given else ()
    return (f"ensemble.members=[{','.join(words)}]", *weights)


def refuse(settings: Settings, test: Samples) -> None:
    """Raise DataError for CSVs that do not predict the test set, before members are trained for hours."""
    for word in map(word_of, settings.config.ensemble.members):
        if word.path:
            _read(word, settings, test)


def _read(word: MemberWord, settings: Settings, test: Samples) -> external.ExternalMember:
    read = external.read_labels if word.kind == "labels" else external.read_probabilities
    return read(Path(word.path), word.name, test.space, test.ids_N, settings.config.competition)


def _provenance(word: MemberWord) -> dict[str, str]:
    paths = {"test": word.path} | ({"oof": word.oof} if word.oof else {})
    digests = {f"{name}_sha256": sha256_file(Path(path)) for name, path in paths.items()}
    return {"kind": word.kind, **paths, **digests}


def refuse_mismatch(members: Mapping[str, Artifact], inputs: Mapping[str, Artifact]) -> None:
    """Raise ConfigError for members that are one run, or have other data or folds than the blend."""
    name_of_key: dict[str, str] = {}
    faults = []
    for name, artifact in members.items():
        if artifact.key in name_of_key:
            faults.append(
                _("{name} and {name_of_key} are the same run {key}").format(
                    name=name, name_of_key=name_of_key[artifact.key], key=artifact.key
                )
            )
        name_of_key[artifact.key] = name
        for stage in ("data", "folds"):
            expected, actual = f"{stage}/{inputs[stage].key}", artifact.inputs.get(stage)
            if expected != actual:
                faults.append(
                    _("{name} was trained on other {stage} ({actual}, expected {expected})").format(
                        name=name, stage=stage, actual=actual, expected=expected
                    )
                )
    if faults:
        raise ConfigError(_("ensemble.members: these cannot be combined"), faults, texts.SAME_FOLDS)


def finished_members(ask: Ask, settings: Settings) -> dict[str, str]:
    """Name -> key of every complete inference on these data and folds that the current code would make.

    The name is the run's label; two runs with one label get their keys as a suffix.

    Raises:
        ConfigError: there is none.
    """
    wanted = _data_and_folds(ask, settings)
    finished = []
    for listed in ask.finished("infer"):
        same = {name: listed.inputs.get(name) for name in wanted} == wanted
        if not same or listed.metrics.get(COMPLETE) != 1.0:
            continue
        artifact = ask.found(Need("infer", settings, key=listed.key))
        if artifact and ask.may_use(artifact):
            finished.append(artifact)
    if not finished:
        raise ConfigError(
            _("ensemble.members=[auto]: no member is finished for these data and folds"),
            remedy=_("name members, e.g. ensemble.members=[lite0,probe], or run make infer first"),
        )
    names = [naming.label_of(a) for a in finished]
    return {
        name if names.count(name) == 1 else _name_with_key(a): a.key
        for name, a in zip(names, finished, strict=True)
    }


def member_by_key(ask: Ask, settings: Settings, prefix: str) -> dict[str, str]:
    """Name -> key of the one inference whose key starts with `prefix`.

    Raises:
        ConfigError: no key starts with it, several do, or the inference has other data or folds.
    """
    wanted = _data_and_folds(ask, settings)
    matches = [a for a in ask.kept("infer") if a.key.startswith(prefix)]
    word = _("ensemble.members: key:{prefix}").format(prefix=prefix)
    if len(matches) != 1:
        keys = [f"{a.key} ({naming.label_of(a)})" for a in matches]
        raise ConfigError(
            _("{word}: {n} inferences have a key that starts so").format(word=word, n=len(matches)),
            keys,
            _("`make runs` shows keys"),
        )
    artifact = matches[0]
    faults = [
        f"{name}: {artifact.inputs.get(name)}, expected {key}"
        for name, key in wanted.items()
        if artifact.inputs.get(name) != key
    ]
    if faults:
        headline = _("{word} ({experiment}) was made from other data or folds").format(
            word=word, experiment=artifact.manifest["experiment"]
        )
        raise ConfigError(headline, faults, _("members of one blend need the same competition and fold plan"))
    return {_name_with_key(artifact): artifact.key}


def _data_and_folds(ask: Ask, settings: Settings) -> dict[str, str]:
    return {name: f"{name}/{ask.key(Need(name, settings))}" for name in ("data", "folds")}


def _name_with_key(artifact: Artifact) -> str:
    return f"{artifact.manifest['experiment']}@{artifact.key[:SHORT]}"


def file_digests(members: Sequence[str], index: FileIndex) -> str:
    """Digests of the CSVs from elsewhere, in the order of the members; empty where there are none.

    Raises:
        DataError: files are missing; all of them are named.
    """
    words = [word_of(text) for text in members]
    paths = [Path(path) for word in words for path in (word.path, word.oof) if path]
    missing = [str(path) for path in paths if not path.is_file()]
    if missing:
        remedy = _("paths are relative to the folder in which you run make")
        raise DataError(_("ensemble.members: {n} files are missing").format(n=len(missing)), missing, remedy)
    return " ".join(index.digest(path) for path in paths)
