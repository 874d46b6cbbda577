"""Keys of results before anything is built: the Merkle chain from files to submission.

Owns: computing a key from what a stage declares, refusing a request that leads back to itself, and
knowing which settings a chain of stages reads. Does not own building (`engine/context.py`).
"""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from pipeline.core import plugin
from pipeline.core.errors import ConfigError, DataError, PodiumError
from pipeline.engine import registry
from pipeline.engine.registry import Need
from pipeline.ensemble import cost, voters
from pipeline.record.digests import FileIndex
from pipeline.record.store import Artifact, Store, content_key
from pipeline.settings.fields import NEUTRAL
from pipeline.settings.load import GROUPS, Settings
from pipeline.settings.schema import Config
from pipeline.train import init_from
from pipeline.train.studies import arms
from pipeline.train.studies import grid as ablate

# Settings that may be `module:function`: the digest of that code enters the keys of what reads them.
PLUGIN_SETTINGS = (
    "competition.metric",
    "loss.name",
    "model.name",
    "resample.features.name",
    "augment.policy",
    "resample.copies.policy",
    "resample.method",
    "preprocess.function",
    "decision.steps",
)
# Settings that name a file of configs/augment/: the digest of what it says enters the same keys.
POLICY_SETTINGS = ("augment.policy", "resample.copies.policy")


def plain(model: BaseModel) -> dict[str, Any]:
    """A section as plain data, defaults filled in, without the fields that change no result."""
    found: dict[str, Any] = {}
    for name, info in type(model).model_fields.items():
        extra = info.json_schema_extra
        if isinstance(extra, dict) and extra.get(NEUTRAL):
            continue
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            value = plain(value)
        elif isinstance(value, list):
            value = [plain(v) if isinstance(v, BaseModel) else v for v in value]
        elif isinstance(value, dict):
            value = {k: plain(v) if isinstance(v, BaseModel) else v for k, v in value.items()}
        found[name] = value
    return found


def config_slice(config: Config, paths: Iterable[str]) -> dict[str, Any]:
    """The settings at these dotted paths, as they enter a key."""
    whole = plain(config)
    found: dict[str, Any] = {}
    for path in paths:
        value: Any = whole
        for step in path.split("."):
            value = value[step]
        found[path] = value
    return found


class Graph:
    """Computes keys of needs, each once."""

    def __init__(self, store: Store, index: FileIndex) -> None:
        self.store = store
        # If given, the only keys that ensemble.members=[auto] may take: those that it took at another time.
        self.only: frozenset[str] | None = None
        self._index = index
        # The need is kept with its key: it keeps its settings alive, so that their id stays theirs.
        self._keys: dict[tuple[Any, ...], tuple[Need, str]] = {}
        self._files: dict[str, str] = {}
        self._arms: dict[tuple[int, str], tuple[Settings, dict[str, Need]]] = {}
        self._teachers: dict[tuple[int, str], tuple[Settings, Settings]] = {}
        self._curves: dict[int, tuple[Settings, dict[str, Settings]]] = {}
        self._path: list[tuple[str, int]] = []

    def key(self, need: Need) -> str:
        """The content key of what is needed.

        Raises:
            PodiumError: the request leads back to itself; the path is named.
        """
        if need.key is not None:
            return need.key
        known = (need.stage, id(need.settings), tuple(sorted(need.params.items())))
        if known not in self._keys:
            self._keys[known] = (need, self._key(need))
        return self._keys[known][1]

    def _key(self, need: Need) -> str:
        # A teacher has its student's experiment name, and other settings.
        step = (f"{need.stage} {dict(need.params)} {need.settings.experiment}", id(need.settings))
        if step in self._path:
            told = " → ".join(text for text, _ in [*self._path, step])
            raise PodiumError(f"a request leads back to itself: {told}")
        self._path.append(step)
        try:
            stage = registry.get(need.stage)
            inputs = {name: f"{n.stage}/{self.key(n)}" for name, n in self.inputs(need).items()}
            params = {name: value for name, value in need.params.items() if name != registry.PART}
            config = {**config_slice(need.settings.config, stage.sections(need.settings)), **params}
            return content_key(stage.name, stage.version, config, inputs, self.identity(need))
        finally:
            self._path.pop()

    def inputs(self, need: Need) -> dict[str, Need]:
        """What a need needs; nothing for a pinned one, which exists already."""
        if need.key is not None:
            return {}
        return registry.get(need.stage).inputs(self, need.settings, need.params)

    def identity(self, need: Need) -> str:
        """Digest of the files and of the user's own code outside the store that define a result."""
        return self._files_of(need) + _own_code(need)

    def _files_of(self, need: Need) -> str:
        if registry.get(need.stage).reads_files:
            return self._competition_files(need.settings)
        if need.stage == "boxes":
            return boxes_identity(need.settings, self._index)
        if need.stage in ("fold", "whole", "features"):
            return weights_identity(need.settings.config.model.weights, self._index)
        if need.stage == "ensemble":
            blend = need.settings.config.ensemble
            costs = self._costs(need) if blend.max_ms is not None else ""
            return voters.outside_identity(blend.members, self._index) + costs
        if need.stage == "preview":  # its page names them; elsewhere they change no result
            return json.dumps([[a.name, a.forbids] for a in need.settings.config.competition.attributes])
        given = [need.params[name] for name in ("a", "b", "verdicts") if need.params.get(name)]
        files = [self.store.home / str(path) for path in given]
        beside = [p.with_suffix(".json") for p in files]
        wanted = [p for p in (*files, *beside) if p.is_file()]
        return self._index.combined(wanted, self.store.home) if wanted else ""

    def _costs(self, need: Need) -> str:
        """Digest of what members were measured to cost: a budget chooses by it."""
        members = {name: n for name, n in self.inputs(need).items() if n.stage == "infer"}
        found = {name: self.store.find(n.stage, self.key(n)) for name, n in members.items()}
        return cost.digest({name.partition(":")[2]: artifact for name, artifact in found.items()})

    def _competition_files(self, settings: Settings) -> str:
        config = settings.config.competition
        known = config.model_dump_json()
        if known not in self._files:
            from pipeline.data import competition

            root = competition_root(settings)
            self._files[known] = self._index.combined(competition.input_files(config, root), root)
        return self._files[known]

    def chain(self, needs: Iterable[Need]) -> list[Need]:
        """Every need that these lead to, each once, inputs before what needs them."""
        found: dict[tuple[str, str], Need] = {}

        def visit(need: Need) -> None:
            if (need.stage, self.key(need)) not in found:
                for below in self.inputs(need).values():
                    visit(below)
                found[need.stage, self.key(need)] = need

        for need in needs:
            visit(need)
        return list(found.values())

    def arms(self, settings: Settings, grid: str) -> dict[str, Need]:
        """Every training of a grid, and the data and folds that they share, which must be finished."""
        known = (id(settings), grid)
        if known not in self._arms:
            study, home = ablate.read(Path(grid)), Path(settings.config.runtime.home).resolve()
            shared = {need.stage: need for need in arms.needed(settings, study)}
            runs = arms.runs(self._finished, settings, study, home)
            trainings = {run.input: Need("train", run.settings) for run in runs}
            self._arms[known] = (settings, {**shared, **trainings})
        return self._arms[known][1]

    def initial(self, settings: Settings, fold: int | None) -> Need:
        """The finished fold that train.init_from leads to; for no fold, that run's model of all data."""
        stage, key = init_from.found(self.store, settings, fold, self.key(Need("folds", settings)))
        return Need(stage, settings, {} if fold is None else {"fold": fold}, key)

    def teacher(self, settings: Settings, name: str) -> Settings:
        """The settings of an experiment that teaches: it has no teachers itself.

        Raises:
            ConfigError: it has other data or folds than its student.
        """
        known = (id(settings), name)
        if known not in self._teachers:
            found = settings if name == settings.experiment else settings.member(name)
            found = found.with_values({"train.pseudo": None, "train.distill": None})
            other = [s for s in ("data", "folds") if self.key(Need(s, found)) != self.key(Need(s, settings))]
            if other:
                raise ConfigError(
                    f"teacher {name} has other {' and '.join(other)} than its student {settings.experiment}",
                    remedy="a fold's teacher must be the same fold of the same fold plan",
                )
            self._teachers[known] = (settings, found)
        return self._teachers[known][1]

    def curve_points(self, settings: Settings) -> dict[str, Settings]:
        """The trainings of a learning curve, read once."""
        if id(settings) not in self._curves:
            self._curves[id(settings)] = (settings, registry.curve_points(settings))
        return self._curves[id(settings)][1]

    def _finished(self, need: Need) -> Artifact:
        found = self.store.find(need.stage, self.key(need))
        assert found is not None, f"{need.stage} is built before what rests on it is named"
        return found

    def finished_members(self, settings: Settings) -> dict[str, str]:
        """Name -> key of every whole inference on these data and folds that today's code would make."""
        return voters.every(self.store, self._shared(settings), self._may_vote)

    def _may_vote(self, artifact: Artifact) -> bool:
        return (self.only is None or artifact.key in self.only) and self._is_current(artifact)

    def pinned_member(self, settings: Settings, prefix: str) -> dict[str, str]:
        """Name -> key of the one inference on these data and folds whose key starts so."""
        return voters.pinned(self.store, self._shared(settings), prefix)

    def _shared(self, settings: Settings) -> dict[str, str]:
        return {name: f"{name}/{self.key(Need(name, settings))}" for name in ("data", "folds")}

    def _is_current(self, artifact: Artifact) -> bool:
        """Whether it and all it was made of come from the versions of the stages that are here now."""
        stage = registry.STAGES.get(artifact.stage)
        if stage is None or artifact.manifest.get("version") != stage.version:
            return False
        return all(self._is_current_input(*whole.split("/", 1)) for whole in artifact.inputs.values())

    def _is_current_input(self, stage: str, key: str) -> bool:
        found = self.store.find(stage, key)
        # What was freed for space is as current as what was made of it.
        return self._is_current(found) if found else registry.get(stage).evictable


def _own_code(need: Need) -> str:
    """Digests of the `module:function` settings and the policies that the stage reads; empty for most."""
    sections = registry.get(need.stage).sections(need.settings)
    return "".join(
        f" {path} {_code_digest(name, path)}"
        for path in PLUGIN_SETTINGS
        if any(_covers(read, path) for read in sections)
        for name in _names(need.settings.config, path)
        if plugin.is_plugin(name) or path in POLICY_SETTINGS
    )


def _code_digest(name: str, path: str) -> str:
    from pipeline.settings import policies

    if path in POLICY_SETTINGS and not policies.is_own(name):
        return policies.read(name, path).digest
    return plugin.digest(name, Path.cwd(), path)


def _names(config: Config, path: str) -> list[str]:
    """What a setting names: one thing, several, or nothing."""
    value: Any = config
    for step in path.split("."):
        value = getattr(value, step, None)
    return [value] if isinstance(value, str) else list(value or ())


def competition_root(settings: Settings) -> Path:
    """The folder of the competition's files; a demo's is made when it is missing."""
    config = settings.config.competition
    home = Path(settings.config.runtime.home).resolve()
    if config.demo is None:
        assert config.root is not None, "a rule of the settings asks for root or demo"
        return (home / config.root).resolve()
    from pipeline.data.demo import competitions

    return competitions.materialise(config.demo, home, config.name)


def boxes_file(settings: Settings) -> Path:
    """The CSV of boxes, relative to the competition's folder unless it is absolute.

    Raises:
        DataError: there is no such file.
    """
    path = competition_root(settings) / str(settings.config.crop.boxes)
    if not path.is_file():
        raise DataError(f"crop.boxes: there is no file {path}", remedy="give a CSV with id,x,y,w,h")
    return path


def boxes_identity(settings: Settings, index: FileIndex) -> str:
    """What tells one source of boxes from another: the CSV's digest, or the detector's package."""
    source = str(settings.config.crop.boxes)
    if source.endswith(".csv"):
        return index.digest(boxes_file(settings))
    return f"opencv {importlib.metadata.version('opencv-python-headless')}"


def refuse_forbidden(needs: Iterable[Need], graph: Graph) -> None:
    """No policy in the chain may do what an attribute forbids, reused results included.

    Raises:
        ConfigError: naming the attribute and the change.
    """
    from pipeline.settings import policies

    for need in graph.chain(needs):
        config = need.settings.config
        attributes, copies = config.competition.attributes, config.resample.copies
        learns = need.stage in ("fold", "whole")
        if need.stage == "preview" or (learns and not registry.is_probe(need.settings)):
            policies.refuse_forbidden(config.augment.policy, attributes)
        if (learns or need.stage == "resample") and copies is not None:
            policies.refuse_forbidden(copies.policy, attributes, "resample.copies.policy")


def weights_identity(weights: str, index: FileIndex) -> str:
    """What tells one set of pretrained weights from another, without reading a network."""
    source, _, name = weights.partition(":")
    if source == "file":
        path = Path(name).expanduser()
        if not path.is_file():
            raise ConfigError(
                f"model.weights: {path} is no file", remedy="give the path of a .pth or .safetensors file"
            )
        return index.digest(path)
    if source == "package":
        try:
            return f"{name}=={importlib.metadata.version(name)}"
        except importlib.metadata.PackageNotFoundError:
            raise ConfigError(
                f"model.weights: the package {name} is not installed",
                remedy="run make install, or choose model.weights=file:PATH",
            ) from None
    return weights


def refuse_unread(settings: Settings, needs: Iterable[Need], graph: Graph, also: Iterable[str] = ()) -> None:
    """Every override must be read by something in the requested chain, or by the command itself (`also`).

    Raises:
        ConfigError: naming each override that changes nothing.
    """
    read: set[str] = set(also)
    for need in graph.chain(needs):
        read |= set(registry.get(need.stage).sections(need.settings))
    neutral = {f"{s}.{f}" for s, i in Config.model_fields.items() for f in _neutral_fields(i.annotation)}
    known = read | neutral
    unread = [p for p, _ in settings.request.values if not any(_covers(r, p) for r in known)]
    if unread:
        stages = ", ".join(dict.fromkeys(n.stage for n in needs)) or "this command"
        faults = [f"{p}: nothing in this chain reads it" for p in unread]
        what = f"{len(unread)} overrides" if len(unread) > 1 else "an override"
        remedy = "drop what nothing reads, or run the stage that reads it"
        raise ConfigError(f"{stages}: {what} would change nothing", faults, remedy)


# Stages that a command builds; a test holds them to the chains.
_CHAINS = {
    "train": ("data", "images", "boxes", "prepared", "folds", "features", "heads", "fold", "train"),
    "preview": ("data", "images", "boxes", "preview"),
    "error-analysis": ("data", "images", "folds", "error_analysis"),
}


def words(settings: Settings, command: str) -> tuple[str, ...]:
    """The words that ask for these settings again, less those that this command would refuse.

    Args:
        settings: what a page or an advice was made with.
        command: train, preview or error-analysis.
    """
    read = {path for stage in _CHAINS[command] for path in registry.get(stage).sections(settings)}
    asked = [(word, word.partition("=")[0]) for word in settings.words]
    return tuple(word for word, path in asked if path in GROUPS or any(_covers(r, path) for r in read))


def _covers(read: str, path: str) -> bool:
    return path == read or path.startswith(read + ".") or read.startswith(path + ".")


def _neutral_fields(section: Any) -> list[str]:
    fields: Mapping[str, Any] = section.model_fields
    return [
        name
        for name, info in fields.items()
        if isinstance(info.json_schema_extra, dict) and info.json_schema_extra.get(NEUTRAL)
    ]
