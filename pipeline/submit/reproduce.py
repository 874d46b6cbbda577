"""`make reproduce FILE=…`: rebuild a submission from its provenance, and compare.

    make reproduce FILE=submissions/pets-ensemble-3fa29b.csv             reuses existing results
    make reproduce FILE=… SCRATCH=1            builds everything again, in another folder
    make reproduce FILE=… ANYWAY=1             also where keys differ now

The recorded settings are used, not the current YAML files; where those would lead to another key, it is
reported. Builds in work/reproduce/<name>/; the new CSV stays there.

Owns the order (read, look for differences, build, compare), why keys differ, and the verdict. Does not own
the record (`submit/submission.py`) nor keys (`engine/graph.py`).

Shape legend: N images, C classes.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np

from pipeline.core.errors import ConfigError, DataError, UserError
from pipeline.core.language import _, joined
from pipeline.core.predictions import Prediction, differ_N
from pipeline.data import host, host_format, load
from pipeline.engine import next_step, request
from pipeline.engine.build import VERSIONS_OF
from pipeline.engine.graph import Graph
from pipeline.engine.need import Need
from pipeline.engine.session import Session
from pipeline.engine.slices import config_slice, covers, flat
from pipeline.engine.stage import Stage
from pipeline.pages.command_words import shown
from pipeline.record import paths
from pipeline.record.files import FileIndex, sha256_file
from pipeline.record.store import Artifact, Store
from pipeline.record.tracking import git_commit
from pipeline.settings.load import PLACE_PATHS as PLACES
from pipeline.settings.load import Request, Settings
from pipeline.settings.runtime import ReproduceSettings
from pipeline.submit import submission as submissions
from pipeline.submit import texts
from pipeline.submit.submission import input_of, is_untouched

# How many places or inputs a line names.
SHOWN = 4


# The folder below the home in which every rebuild has its own, and the rebuilt results in that.
WORK = Path("work") / "reproduce"
ARTIFACTS = "artifacts"
OWN_SECTIONS = ("runtime", "reproduce")


class Differences:
    """Why keys differ, gathered over a chain: cause → the results in which it occurs.

    Args:
        chain: the recorded one, `stage/key` → facts.
        graph: computes the current keys.
    """

    def __init__(self, chain: Mapping[str, Any], graph: Graph) -> None:
        self._chain = chain
        self._graph = graph
        self._roles: dict[str, list[str]] = {}
        self._seen: set[str] = set()

    def look(self, recorded: str, need: Need, role: str) -> None:
        """Compare a recorded result with the current one, and then its inputs."""
        now = f"{need.stage}/{self._graph.key(need)}"
        if now == recorded or need.key is not None or recorded in self._seen:
            return
        self._seen.add(recorded)
        known = self._chain.get(recorded)
        if known is None:
            self._add(texts.KEY_UNKNOWN.format(recorded=recorded, now=now), role)
            return
        inputs = self._graph.inputs(need)
        for cause in self._own(known, need, inputs):
            self._add(cause, role)
        for name in sorted(inputs.keys() & known["inputs"].keys()):
            self.look(known["inputs"][name], inputs[name], f"{role}/{name}")

    def lines(self) -> list[str]:
        """One line per cause, with the results in which it occurs."""
        return [
            texts.CAUSE.format(
                cause=cause, roles=", ".join(sorted(roles)[:SHOWN]) + (" …" if len(roles) > SHOWN else "")
            )
            for cause, roles in self._roles.items()
        ]

    def _own(self, known: Mapping[str, Any], need: Need, inputs: Mapping[str, Need]) -> list[str]:
        """The causes in a result itself, without its inputs."""
        stage = self._graph.stage(need)
        causes = []
        if known["version"] != stage.version:
            causes.append(
                texts.STAGE_VERSION.format(stage=stage.name, before=known["version"], now=stage.version)
            )
        config = config_slice(need.settings.config, stage.sections(need.settings), keyed=True)
        digests = submissions.digests({**config, **need.params})
        sections = sorted(
            name
            for name in digests.keys() | known["config"].keys()
            if digests.get(name) != known["config"].get(name)
        )
        if sections:
            causes.append(texts.STAGE_SETTINGS.format(stage=stage.name, sections=", ".join(sections)))
        if known["identity"] != self._graph.identity(need):
            if _is_timed(stage, need.settings):
                return [*causes, texts.STAGE_TIMED_AGAIN]
            causes.append(texts.STAGE_FILES.format(stage=stage.name))
        different = sorted(inputs.keys() ^ known["inputs"].keys())
        if different:
            names = ", ".join(different[:SHOWN])
            causes.append(texts.STAGE_INPUTS.format(stage=stage.name, inputs=names))
        return causes

    def _add(self, cause: str, role: str) -> None:
        self._roles.setdefault(cause, []).append(role)


def changed_settings(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """`path: before → now` of every setting that differs."""
    old, new = flat(before), flat(now)
    return [
        f"{path}: {old.get(path, 'none')} → {new.get(path, 'none')}"
        for path in sorted(old.keys() | new.keys())
        if old.get(path) != new.get(path)
    ]


@dataclass(frozen=True)
class Likeness:
    """How similar a rebuilt submission is to the first one.

    Args:
        equal: whether every byte is the same.
        agreement: share of images with the same answer, or None where the first labels are gone.
        max_dp: largest difference of a probability, or None where the first ones are gone.
    """

    equal: bool
    agreement: float | None = None
    max_dp: float | None = None

    def __str__(self) -> str:
        labels, p = texts.LABELS_GONE, texts.PROBABILITIES_GONE
        if self.agreement is not None:
            labels = texts.LABELS_AGREE.format(agreement=self.agreement)
        if self.max_dp is not None:
            p = texts.LARGEST_DIFFERENCE.format(max_dp=self.max_dp)
        return joined(", ", (labels, p))


def likeness_of(old: Prediction, new: Prediction) -> Likeness:
    """Compare two predictions of the same images, joined by id; probabilities where both have them.

    Raises:
        DataError: they have other images or classes.
    """
    old = old.take(new.ids_N)
    p = None
    if old.probabilities is not None and new.probabilities is not None:
        first_NC = old.probabilities.with_classes(new.probabilities.classes).p_NC
        p = float(np.abs(first_NC - new.probabilities.p_NC).max())
    return Likeness(False, float(np.mean(~differ_N(old.answers, new.answers))), p)


def verdict(
    likeness: Likeness, same_profile: bool, tolerance: ReproduceSettings
) -> tuple[Literal["reproduced", "within tolerance", "NOT reproduced"], str]:
    """Whether a submission was reproduced, and why.

    On the same hardware profile and versions, equal bytes are required. On others, floating-point sums are
    rounded differently and training amplifies that, so labels and probabilities may differ by the tolerance.
    """
    if likeness.equal:
        return "reproduced", texts.EQUAL_BYTES
    if same_profile:
        return "NOT reproduced", texts.OTHER_BYTES.format(likeness=str(likeness))
    limits = texts.TOLERANCE.format(agreement=tolerance.agreement, max_dp=tolerance.max_dp)
    same_labels = likeness.agreement is not None and likeness.agreement >= tolerance.agreement
    near = likeness.max_dp is None or likeness.max_dp <= tolerance.max_dp
    if same_labels and near:
        return "within tolerance", texts.OTHER_BYTES_ELSEWHERE.format(
            likeness=str(likeness), tolerance=limits
        )
    return "NOT reproduced", texts.TOO_DIFFERENT.format(likeness=str(likeness), tolerance=limits)


# Stages whose bits depend on the machine; the others copy, count or vote.
COMPUTING = ("features", "heads", "fold", "whole", "views", "infer", "refit", "teach", "nested")


@dataclass(frozen=True)
class Rebuild:
    """One submission to rebuild.

    Args:
        csv: the first one; the file may be gone.
        known: its provenance.
        session: builds with the recorded settings.
        root: the request for the result.
        members: of a blend, built first: (name, recorded `stage/key`, need).
        work: the folder in which it is built.
    """

    csv: Path
    known: Mapping[str, Any]
    session: Session
    root: Need
    members: tuple[tuple[str, str, Need], ...]
    work: Path


def run(session: Session, options: argparse.Namespace) -> None:
    """Rebuild and compare; the verdict is the last line before the next command.

    Raises:
        UserError: it is not reproduced, or cannot be rebuilt.
    """
    csv = _csv_of(session, options.file)
    known = submissions.read(csv)
    session.say(texts.REPRODUCES.format(competition=known["competition"], name=known["name"]))
    rebuild = _prepare(session, csv, known, options.scratch)
    try:
        for line in (*_code_changes(known), *_changed_files(session, rebuild)):
            session.say(texts.NOTE.format(line=line))
        _refuse_differences(rebuild, options.anyway)
        existing = {name for name in known["chain"] if rebuild.session.store.at(name)}
        rebuild.session.get_all([need for _, _, need in rebuild.members])
        _refuse_differences(rebuild, options.anyway)
        artifact = rebuild.session.get(rebuild.root)
    finally:
        rebuild.session.close()
    made = paths.below(rebuild.work, f"{known['name']}.csv")
    _write(rebuild, artifact, made)
    nodes, machines = submissions.chain(artifact, rebuild.session.store)
    built = len(nodes.keys() - existing)
    session.say(texts.BUILT_AGAIN.format(built=built, total=len(nodes), reused=len(nodes) - built))
    likeness = _compare(session, rebuild, artifact, made)
    same = _same_profile(known, nodes, machines)
    word, why = verdict(likeness, same, session.settings.config.reproduce)
    equal = known["artifact"] == artifact.address
    keys = texts.EQUAL_KEYS if equal else texts.OTHER_KEYS
    text = texts.REPRODUCED.format(verdict=texts.VERDICTS[word], name=known["name"], keys=keys, why=why)
    if word == "NOT reproduced":
        raise DataError(text, _profiles(known, machines), texts.NEW_CSV.format(path=shown(made)))
    if options.scratch:
        paths.remove_below(session.home / WORK, f"{known['name']}/{ARTIFACTS}")
    session.say(joined("; ", (text, shown(made))))
    next_step.say(session, "leaderboard", words=_competition_words(session, known))


def _is_timed(stage: Stage, settings: Settings) -> bool:
    """Whether measured times are part of the result's identity: a blend within a budget of time."""
    return settings.config.ensemble.max_ms is not None and any(
        covers(read, "ensemble.max_ms") for read in stage.sections(settings)
    )


def _csv_of(session: Session, text: str) -> Path:
    """The CSV of FILE; only its provenance may be left."""
    if not text:
        raise DataError(texts.FILE_MISSING, remedy=_("make reproduce FILE=submissions/NAME.csv"))
    stem = Path(text).name.removesuffix(".csv").removesuffix(".json")
    if paths.fault_of(stem):
        raise DataError(texts.NO_SUBMISSION.format(name=text), remedy=_("`make score` lists them"))
    for path in (Path(text).with_name(f"{stem}.csv"), session.home / "submissions" / f"{stem}.csv"):
        if path.is_file() or path.with_suffix(".json").is_file():
            return path
    raise DataError(texts.NO_SUBMISSION.format(name=text), remedy=_("`make score` lists them"))


def _prepare(session: Session, csv: Path, known: Mapping[str, Any], scratch: bool) -> Rebuild:
    work = paths.below(session.home / WORK, known["name"])
    paths.below(work, ARTIFACTS)  # no link, or the rebuilt results would be written and removed elsewhere
    own = _own_settings(session, known)
    own = _places(session, known, own) | own
    if scratch:
        own |= {"runtime.mlflow": False}  # the first runs are recorded already
    written = {k: v for k, v in known["format"].items() if k != "sample_sha256"}
    overrides = own | {f"competition.submission.{name}": value for name, value in written.items()}
    try:
        settings = request.settings(known["request"], overrides, work / "configs", session.settings)
        members = []
        for n, (name, member) in enumerate(known["members"].items()):
            if member["request"] is not None:
                there = work / f"member{n}" / "configs"
                before = request.settings(member["request"], own, there, session.settings)
                recorded = str(member["artifact"])
                members.append((name, recorded, Need(recorded.partition("/")[0], before)))
    except ConfigError as error:
        raise ConfigError(
            texts.SETTINGS_REJECTED.format(file=csv.name),
            [error.headline, *error.faults],
            texts.SETTINGS_REJECTED_REMEDY.format(commit=known["manifest"]["git"]),
        ) from error
    inner = session.beside(settings, work / ARTIFACTS if scratch else None)
    inner.graph.only = frozenset(recorded.partition("/")[2] for _, recorded, _ in members)
    stage = str(known["artifact"]).partition("/")[0]
    config = known["manifest"]["config"]
    params = {"of": str(config["of"])} if "of" in config else {}
    root = Need(stage, settings, params)
    return Rebuild(csv, known, inner, root, tuple(members), work)


def _places(session: Session, known: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Where this machine has the competition's files, from its own settings file; empty if it has none."""
    try:
        today = request.again(known["request"], own, session.settings.folder).config.competition
    except UserError:
        return {}
    places = {path: getattr(today, path.partition(".")[2]) for path in PLACES}
    return places if today.demo is None else {}


def _competition_words(session: Session, known: Mapping[str, Any]) -> tuple[str, ...]:
    """The recorded words about the competition, with this command's own words for places."""
    record = known["request"]
    values = [(path, value) for path, value in record["values"] if path.startswith("competition.")]
    values = [(path, value) for path, value in values if path not in PLACES]
    return (*Request(record["competition"], None, None, tuple(values)).words, *session.settings.place_words)


def _own_settings(session: Session, known: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of this machine, and the recorded number of threads, which decides the order of sums.

    All of them, also those that nobody gave: the record's own settings files may come from anybody, and must
    not choose the home that this command writes to.
    """
    own = dict(session.settings.request.values)
    given = [path for path in own if not path.startswith(request.OWN) and path not in PLACES]
    if given:
        raise ConfigError(
            texts.SETTINGS_GIVEN.format(settings=", ".join(given)), remedy=texts.SETTINGS_GIVEN_REMEDY
        )
    profiles = [known["machines"][n]["profile"] for n in _computed(known["chain"])]
    threads = {profile["threads"] for profile in profiles if profile}
    recorded = {"runtime.threads": threads.pop()} if len(threads) == 1 else {}
    config = session.settings.config.model_dump(mode="json", include=set(OWN_SECTIONS))
    ours = {f"{section}.{name}": value for section, all_ in config.items() for name, value in all_.items()}
    return ours | recorded | own


def _computed(nodes: Mapping[str, Any]) -> set[int]:
    """The machines that ran computing stages."""
    return {node["made"] for name, node in nodes.items() if name.partition("/")[0] in COMPUTING}


def _code_changes(known: Mapping[str, Any]) -> list[str]:
    """Differences of the code and the libraries; neither is in a key."""
    lines = []
    before, now = known["manifest"]["git"], git_commit()
    if before != now:
        lines.append(texts.CODE_MOVED.format(before=before, now=now))
    if str(before).endswith("-dirty"):
        lines.append(texts.CODE_DIRTY)
    recorded = known["manifest"]["versions"]
    return lines + [
        texts.OTHER_VERSION.format(package=n, before=recorded.get(n), now=version(n))
        for n in VERSIONS_OF
        if recorded.get(n) != version(n)
    ]


def _changed_files(session: Session, rebuild: Rebuild) -> list[str]:
    """Settings files that were edited since, and the key that they lead to now."""
    parts = [(rebuild.known["name"], rebuild.known["request"], rebuild.known["artifact"], rebuild.root)]
    parts += [
        (name, rebuild.known["members"][name]["request"], recorded, need)
        for name, recorded, need in rebuild.members
    ]
    lines = []
    for name, record, recorded, need in parts:
        edited = request.changed_files(record, session.settings.folder)
        if not edited:
            continue
        try:
            now = request.again(record, _own_settings(session, rebuild.known), session.settings.folder)
            today = Need(need.stage, now)
            key = session.graph.key(today)
        except UserError as error:
            lines.append(
                texts.FILES_REJECTED.format(name=name, files=", ".join(edited), error=error.headline)
            )
            continue
        if f"{need.stage}/{key}" != recorded:
            changed = changed_settings(rebuild.session.graph.resolved(need), session.graph.resolved(today))
            lines.append(
                texts.FILES_CHANGED.format(
                    name=name,
                    files=", ".join(edited),
                    settings=f" ({'; '.join(changed)})" if changed else "",
                    now=f"{need.stage}/{key}",
                    recorded=recorded,
                )
            )
    return lines


def _refuse_differences(rebuild: Rebuild, anyway: bool) -> None:
    """Raise, or with `anyway` only report, where the recorded settings lead to other keys now."""
    differences = Differences(rebuild.known["chain"], rebuild.session.graph)
    for name, recorded, need in (
        *rebuild.members,
        (rebuild.root.stage, rebuild.known["artifact"], rebuild.root),
    ):
        try:
            differences.look(recorded, need, name)
        except UserError:
            # Members that are named by key, or found by [auto], exist once they are built.
            if rebuild.session.store.at(recorded) or need is not rebuild.root:
                raise
    lines = differences.lines()
    if lines and not anyway:
        raise DataError(
            texts.OTHER_KEY.format(name=rebuild.known["name"]),
            lines,
            texts.OTHER_KEY_REMEDY.format(commit=rebuild.known["manifest"]["git"]),
        )
    for line in lines:
        rebuild.session.say(texts.NOTE.format(line=line))


def _write(rebuild: Rebuild, artifact: Artifact, made: Path) -> None:
    data = input_of(artifact, "data", rebuild.session.store)
    space = load.samples(data, "test", rebuild.session.home).space
    settings = rebuild.root.settings
    sample = host.sample(settings, data, rebuild.session.home)
    if sha256_file(sample) != rebuild.known["format"]["sample_sha256"]:
        rebuild.session.say(texts.SAMPLE_CHANGED.format(sample=sample.name))
    config = settings.config.competition
    probabilities = load.test(artifact, made.stem)
    host_format.write(made, probabilities, space, config.submission, sample, config.encoding)


def _compare(session: Session, rebuild: Rebuild, artifact: Artifact, made: Path) -> Likeness:
    """The new CSV and its probabilities against the first ones, as far as those still exist."""
    if sha256_file(made) == rebuild.known["csv_sha256"]:
        return Likeness(True)
    new = load.test(artifact, "new")
    homes = dict.fromkeys((session.home, rebuild.csv.resolve().parent.parent))
    stores = [Store(home, FileIndex(home / "artifacts" / ".index.json")) for home in homes]
    # Only looked at: the file may lie in somebody else's home, where nothing is moved.
    first = next((a for store in stores if (a := store.look(*rebuild.known["artifact"].split("/")))), None)
    if first is not None and first.folder != artifact.folder:
        p = load.test(first, "first")
        return likeness_of(Prediction.of(p), Prediction.of(new))
    if not is_untouched(rebuild.csv):
        session.say(texts.FIRST_GONE.format(file=rebuild.csv.name))
        return Likeness(False)
    space = load.samples(input_of(artifact, "data", rebuild.session.store), "test", session.home).space
    config = rebuild.root.settings.config.competition
    old = host_format.read(rebuild.csv, space, config.submission, encoding=config.encoding)
    return likeness_of(old, Prediction.of(new))


def _same_profile(known: Mapping[str, Any], nodes: Mapping[str, Any], machines: list[dict[str, Any]]) -> bool:
    """Whether all computing stages ran on the same hardware profile, with the same versions."""

    def facts(made: list[dict[str, Any]], which: set[int]) -> list[Any]:
        return [(made[n]["profile"], made[n]["versions"]) for n in which]

    every = [*facts(known["machines"], _computed(known["chain"])), *facts(machines, _computed(nodes))]
    return bool(every) and all(one == every[0] for one in every)


def _profiles(known: Mapping[str, Any], machines: list[dict[str, Any]]) -> list[str]:
    """The hardware of the first build and of this one, as lines."""

    def text(made: list[dict[str, Any]]) -> str:
        profiles = dict.fromkeys(
            texts.PROFILE.format(
                device=m["profile"]["device"], threads=m["profile"]["threads"], torch=m["versions"]["torch"]
            )
            for m in made
            if m["profile"]
        )
        return "; ".join(profiles) or "unknown"

    return [
        texts.PROFILE_BEFORE.format(profile=text(known["machines"])),
        texts.PROFILE_NOW.format(profile=text(machines)),
    ]
