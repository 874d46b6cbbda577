"""`make reproduce FILE=…`: rebuild a submission from the provenance beside it, and compare.

    make reproduce FILE=submissions/pets-ensemble-3fa29b.csv             what is there is reused
    make reproduce FILE=… SCRATCH=1                                      everything is built again, beside
    make reproduce FILE=… ANYWAY=1                                       also where keys differ now

The recorded settings are used, not what the YAML files say today; where those would lead elsewhere, it is
told. Builds in work/reproduce/<name>/; the CSV made anew stays there.

Owns the order: read, look for differences, build, compare, judge. Does not own the record
(`submit/provenance.py`), why keys differ (`submit/reproduce.py`) or the verdict
(`submit/reproduce.py`).

Why a result would be another one today: which keys differ, and what made them.

Owns comparing a recorded chain with what the same request leads to now. Does not own keys
(`engine/graph.py`) or the record (`submit/provenance.py`).

How alike two submissions are: in bytes, in labels, in probabilities.

Owns the comparison and its verdict. Does not own making either of them (`submit/reproduce.py`).

Legend: N images, C classes.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np

from pipeline.core.errors import ConfigError, DataError, UserError
from pipeline.core.predictions import Prediction
from pipeline.data import host, host_format, load
from pipeline.engine import request
from pipeline.engine.build import VERSIONS_OF
from pipeline.engine.commands import shown
from pipeline.engine.graph import Graph
from pipeline.engine.need import Need
from pipeline.engine.session import Session
from pipeline.engine.slices import config_slice, flat
from pipeline.record.digests import FileIndex, sha256_file
from pipeline.record.store import Artifact, Store
from pipeline.record.tracking import git_commit
from pipeline.settings.runtime import ReproduceSettings
from pipeline.submit import provenance
from pipeline.submit.submission import is_untouched

SHOWN = 4


class Reasons:
    """What differs, gathered over a chain: cause → where it was met.

    Args:
        chain: the recorded one, `stage/key` → facts.
        graph: gives today's keys.
    """

    def __init__(self, chain: Mapping[str, Any], graph: Graph) -> None:
        self._chain = chain
        self._graph = graph
        self._found: dict[str, list[str]] = {}
        self._seen: set[str] = set()

    def look(self, recorded: str, need: Need, role: str) -> None:
        """Compare a recorded result with what is needed now, and then its inputs."""
        now = f"{need.stage}/{self._graph.key(need)}"
        if now == recorded or need.key is not None or recorded in self._seen:
            return
        self._seen.add(recorded)
        known = self._chain.get(recorded)
        if known is None:
            self._add(f"{recorded} is {now} now; why is not known, as it was freed before it was noted", role)
            return
        inputs = self._graph.inputs(need)
        for cause in self._own(known, need, inputs):
            self._add(cause, role)
        for name in sorted(inputs.keys() & known["inputs"].keys()):
            self.look(known["inputs"][name], inputs[name], f"{role}/{name}")

    def lines(self) -> list[str]:
        """One line a cause, with where it was met."""
        return [
            f"{cause} (in {', '.join(sorted(roles)[:SHOWN])}{' …' if len(roles) > SHOWN else ''})"
            for cause, roles in self._found.items()
        ]

    def _own(self, known: Mapping[str, Any], need: Need, inputs: Mapping[str, Need]) -> list[str]:
        """What differs about a result itself, its inputs left aside."""
        stage = self._graph.stage(need)
        causes = []
        if known["version"] != stage.version:
            what = f"the code of stage {stage.name} has changed"
            causes.append(f"{what}: version {known['version']} → {stage.version}")
        config = config_slice(need.settings.config, stage.sections(need.settings))
        digests = provenance.digests({**config, **need.params})
        sections = sorted(
            name
            for name in digests.keys() | known["config"].keys()
            if digests.get(name) != known["config"].get(name)
        )
        if sections:
            causes.append(f"stage {stage.name} reads other settings in {', '.join(sections)}")
        if known["identity"] != self._graph.identity(need):
            if need.stage == "ensemble" and need.settings.config.ensemble.max_ms is not None:
                causes.append("members were timed anew, or a CSV changed, and ensemble.max_ms chooses by it")
                return causes
            causes.append(f"the files or the own code that stage {stage.name} reads have changed")
        odd = sorted(inputs.keys() ^ known["inputs"].keys())
        if odd:
            causes.append(f"stage {stage.name} has other inputs: {', '.join(odd[:SHOWN])}")
        return causes

    def _add(self, cause: str, role: str) -> None:
        self._found.setdefault(cause, []).append(role)


def of_settings(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """`path: before → now` of every setting that differs."""
    old, new = flat(before), flat(now)
    return [
        f"{path}: {old.get(path, 'none')} → {new.get(path, 'none')}"
        for path in sorted(old.keys() | new.keys())
        if old.get(path) != new.get(path)
    ]


@dataclass(frozen=True)
class Likeness:
    """What a rebuilt submission has in common with the first one.

    Args:
        equal: every byte is the same.
        agreement: share of images with the same label, or None where the first labels are gone.
        max_dp: largest difference of any probability, or None where the first ones are gone.
    """

    equal: bool
    agreement: float | None = None
    max_dp: float | None = None

    def __str__(self) -> str:
        labels = (
            "first labels are gone" if self.agreement is None else f"labels agree on {self.agreement:.2%}"
        )
        p = "first probabilities are gone" if self.max_dp is None else f"max |Δp| = {self.max_dp:.2g}"
        return f"{labels}, {p}"


def of(old: Prediction, new: Prediction) -> Likeness:
    """Compare two predictions of the same images, joined by id; probabilities where both have them.

    Raises:
        DataError: they are of other images or classes.
    """
    old = old.take(new.ids_N)
    p = None
    if old.probabilities is not None and new.probabilities is not None:
        first_NC = old.probabilities.with_classes(new.probabilities.classes).p_NC
        p = float(np.abs(first_NC - new.probabilities.p_NC).max())
    return Likeness(False, float(np.mean(old.labels_N == new.labels_N)), p)


def verdict(
    found: Likeness, same_profile: bool, tolerance: ReproduceSettings
) -> tuple[Literal["reproduced", "within tolerance", "NOT reproduced"], str]:
    """Whether a submission was reproduced, and why.

    On the same hardware profile and versions only equal bytes will do. On another one floating-point
    sums round otherwise and training spreads that, so labels and probabilities may differ by the
    tolerance.
    """
    if found.equal:
        return "reproduced", "the bytes are equal"
    stated = f"(at least {tolerance.agreement:.0%} and at most {tolerance.max_dp:g} are asked for)"
    if same_profile:
        return "NOT reproduced", f"other bytes on the same hardware profile and versions; {found}"
    alike = found.agreement is not None and found.agreement >= tolerance.agreement
    near = found.max_dp is None or found.max_dp <= tolerance.max_dp
    if alike and near:
        return "within tolerance", f"other bytes on another hardware profile or versions; {found} {stated}"
    return "NOT reproduced", f"{found} {stated}"


# Stages whose bits depend on the machine: the others copy, count or vote.
COMPUTING = ("features", "heads", "fold", "whole", "views", "infer", "refit", "teach", "nested")


@dataclass(frozen=True)
class Case:
    """One submission to rebuild.

    Args:
        csv: the first one; it may be gone.
        known: its provenance.
        session: builds with the recorded settings.
        root: what is to be built.
        members: what it is made of, built first: (name, recorded `stage/key`, need).
        work: where it is built.
    """

    csv: Path
    known: Mapping[str, Any]
    session: Session
    root: Need
    members: tuple[tuple[str, str, Need], ...]
    work: Path


def command(session: Session, options: argparse.Namespace) -> None:
    """Rebuild and compare; the verdict is the last line.

    Raises:
        UserError: it is not the same, or cannot be rebuilt.
    """
    csv = _found(session, options.file)
    known = provenance.read(csv)
    case = _case(session, csv, known, options.scratch)
    try:
        for line in (*_code(known), *_today(session, case)):
            session.say(f"note: {line}")
        _refuse_differences(case, options.anyway)
        there = {whole for whole in known["chain"] if case.session.store.find(*whole.split("/"))}
        for _, _, need in case.members:
            case.session.get(need)
        _refuse_differences(case, options.anyway)
        artifact = case.session.get(case.root)
    finally:
        case.session.close()
    made = case.work / f"{known['name']}.csv"
    _write(case, artifact, made)
    nodes, machines = provenance.chain(artifact, case.session.store)
    again = len(nodes.keys() - there)
    session.say(f"{again} of {len(nodes)} results were built again, {len(nodes) - again} were there")
    found = _compare(session, case, artifact, made)
    same = _same_profile(known, nodes, machines)
    word, why = verdict(found, same, session.settings.config.reproduce)
    keys = "equal keys" if known["artifact"] == f"{artifact.stage}/{artifact.key}" else "other keys"
    text = f"{word}: {known['name']}: {keys}, {why}"
    if word == "NOT reproduced":
        raise DataError(text, _profiles(known, machines), f"the new one is {shown(made)}")
    if options.scratch:
        shutil.rmtree(case.work / "artifacts")
    session.say(f"{text}; {shown(made)}")


def _found(session: Session, text: str) -> Path:
    """The CSV that is meant, though only its provenance may be left."""
    if not text:
        raise DataError("FILE is missing", remedy="make reproduce FILE=submissions/NAME.csv")
    stem = Path(text).name.removesuffix(".csv").removesuffix(".json")
    for path in (Path(text).with_name(f"{stem}.csv"), session.home / "submissions" / f"{stem}.csv"):
        if path.is_file() or path.with_suffix(".json").is_file():
            return path
    raise DataError(f"{text}: no such submission", remedy="`make score` lists them")


def _case(session: Session, csv: Path, known: Mapping[str, Any], scratch: bool) -> Case:
    work = session.home / "work" / "reproduce" / str(known["name"])
    own = _own(session, known)
    if scratch:
        own |= {"runtime.mlflow": False}  # the first runs are on record
    written = {k: v for k, v in known["format"].items() if k != "sample_sha256"}
    asked = own | {f"competition.submission.{name}": value for name, value in written.items()}
    try:
        settings = request.settings(known["request"], asked, work / "configs")
        members = []
        for n, (name, member) in enumerate(known["members"].items()):
            if member["request"] is not None:
                before = request.settings(member["request"], own, work / f"member{n}" / "configs")
                whole = str(member["artifact"])
                members.append((name, whole, Need(whole.partition("/")[0], before)))
    except ConfigError as error:
        raise ConfigError(
            f"{csv.name}: this code does not take the recorded settings any more",
            [error.headline, *error.faults],
            f"git checkout {known['manifest']['git']}, the code that wrote it",
        ) from error
    inner = session.beside(settings, work / "artifacts" if scratch else None)
    inner.graph.only = frozenset(whole.partition("/")[2] for _, whole, _ in members)
    stage = str(known["artifact"]).partition("/")[0]
    params = {"of": str(known["manifest"]["config"]["of"])} if stage == "decide" else {}
    root = Need(stage, settings, params)
    return Case(csv, known, inner, root, tuple(members), work)


def _own(session: Session, known: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of this machine, and as many threads as then: other threads sum in another order."""
    own = dict(session.settings.request.values)
    odd = [path for path in own if not path.startswith(request.OWN)]
    if odd:
        raise ConfigError(
            f"the settings are those of the provenance: {', '.join(odd)} would change them",
            remedy="only runtime.* and reproduce.* may be given",
        )
    profiles = [known["machines"][n]["profile"] for n in _computed(known["chain"])]
    threads = {profile["threads"] for profile in profiles if profile}
    return ({"runtime.threads": threads.pop()} if len(threads) == 1 else {}) | own


def _computed(nodes: Mapping[str, Any]) -> set[int]:
    """The machines that computed."""
    return {node["made"] for whole, node in nodes.items() if whole.partition("/")[0] in COMPUTING}


def _code(known: Mapping[str, Any]) -> list[str]:
    """What differs about the code and the libraries; neither is in a key."""
    lines = []
    then, now = known["manifest"]["git"], git_commit()
    if then != now:
        lines.append(f"the code was at {then} and is at {now}")
    if str(then).endswith("-dirty"):
        lines.append("that code had uncommitted changes, so its commit alone may not lead there")
    recorded = known["manifest"]["versions"]
    odd = [f"{n} {recorded.get(n)} → {version(n)}" for n in VERSIONS_OF if recorded.get(n) != version(n)]
    return [*lines, *(f"another version: {text}" for text in odd)]


def _today(session: Session, case: Case) -> list[str]:
    """Settings files that were edited since, and the key that they would lead to."""
    sides = [(case.known["name"], case.known["request"], case.known["artifact"], case.root)]
    sides += [
        (name, case.known["members"][name]["request"], whole, need) for name, whole, need in case.members
    ]
    lines = []
    for name, record, whole, need in sides:
        edited = request.changed_files(record, session.settings.folder)
        if not edited:
            continue
        try:
            now = request.again(record, _own(session, case.known), session.settings.folder)
            today = Need(need.stage, now)
            key = session.graph.key(today)
        except UserError as error:
            lines.append(f"{name}: {', '.join(edited)} changed since, and today: {error.headline}")
            continue
        if f"{need.stage}/{key}" != whole:
            changed = of_settings(case.session.graph.resolved(need), session.graph.resolved(today))
            what = f" ({'; '.join(changed)})" if changed else ""
            lines.append(
                f"{name}: {', '.join(edited)} changed since{what}: today's key is {need.stage}/{key}, "
                f"recorded is {whole}; the recorded settings are used"
            )
    return lines


def _refuse_differences(case: Case, anyway: bool) -> None:
    """Stop, or only tell, where the recorded settings lead to other keys now."""
    reasons = Reasons(case.known["chain"], case.session.graph)
    for name, whole, need in (*case.members, (case.root.stage, case.known["artifact"], case.root)):
        try:
            reasons.look(whole, need, name)
        except UserError:
            # Members that are named by key, or found by [auto], exist once they are built.
            if case.session.store.find(*whole.split("/")) or need is not case.root:
                raise
    lines = reasons.lines()
    if lines and not anyway:
        raise DataError(
            f"NOT reproduced: {case.known['name']}: the same request leads to another key now",
            lines,
            f"git checkout {case.known['manifest']['git']} for the code, restore the files; or ANYWAY=1 "
            "to rebuild it as it would be now, and compare",
        )
    for line in lines:
        case.session.say(f"note: {line}")


def _write(case: Case, artifact: Artifact, made: Path) -> None:
    data = _input(artifact, "data", case.session.store)
    space = load.samples(data, "test", case.session.home).space
    settings = case.root.settings
    sample = host.sample(settings, data, case.session.home)
    if sha256_file(sample) != case.known["format"]["sample_sha256"]:
        case.session.say(f"note: the host's sample {sample.name} has changed since")
    asked = settings.config.competition.submission
    host_format.write(made, load.test(artifact, made.stem), space, asked, sample)


def _compare(session: Session, case: Case, artifact: Artifact, made: Path) -> Likeness:
    """The new CSV and its probabilities against the first ones, as far as those are left."""
    if sha256_file(made) == case.known["csv_sha256"]:
        return Likeness(True)
    stage, _, key = case.known["artifact"].partition("/")
    new = load.test(artifact, "new")
    homes = dict.fromkeys((session.home, case.csv.resolve().parent.parent))
    stores = [Store(home, FileIndex(home / "artifacts" / ".index.json")) for home in homes]
    first = next((a for store in stores if (a := store.find(stage, key))), None)
    if first is not None and first.folder != artifact.folder:
        p = load.test(first, "first")
        return of(Prediction(p.ids_N, p.labels(), p), Prediction(new.ids_N, new.labels(), new))
    if not is_untouched(case.csv):
        session.say(
            f"note: {case.csv.name} is gone or was edited since it was written, and its results are gone"
        )
        return Likeness(False)
    space = load.samples(_input(artifact, "data", case.session.store), "test", session.home).space
    asked = case.root.settings.config.competition.submission
    return of(host_format.read(case.csv, space, asked), Prediction(new.ids_N, new.labels(), new))


def _same_profile(known: Mapping[str, Any], nodes: Mapping[str, Any], machines: list[dict[str, Any]]) -> bool:
    """Whether all that computed did so on one and the same hardware profile, with the same versions."""

    def facts(made: list[dict[str, Any]], which: set[int]) -> list[Any]:
        return [found for n in which if (found := (made[n]["profile"], made[n]["versions"]))]

    seen = [*facts(known["machines"], _computed(known["chain"])), *facts(machines, _computed(nodes))]
    return bool(seen) and all(found == seen[0] for found in seen)


def _profiles(known: Mapping[str, Any], machines: list[dict[str, Any]]) -> list[str]:
    """The hardware then and now, as lines."""

    def told(made: list[dict[str, Any]]) -> str:
        found = dict.fromkeys(
            f"{m['profile']['device']}, {m['profile']['threads']} threads, torch {m['versions']['torch']}"
            for m in made
            if m["profile"]
        )
        return "; ".join(found) or "unknown"

    return [f"then: {told(known['machines'])}", f"now: {told(machines)}"]


def _input(artifact: Artifact, name: str, store: Store) -> Artifact:
    stage, _, key = artifact.inputs[name].partition("/")
    found = store.find(stage, key)
    assert found is not None, f"{artifact.stage} {artifact.key} was just built from {stage} {key}"
    return found
