"""Keys of results before anything is built: the Merkle chain from files to submission.

Owns computing a key from the declaration of a stage, refusing circular requests, and the look-ups of a stage
when it names its inputs (`Ask` of `engine/stage.py`). Does not own building (`engine/build.py`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pipeline.core.errors import ConfigError, PodiumError, StorageError, UserError
from pipeline.core.language import _
from pipeline.core.secrets import hidden
from pipeline.engine.need import PART, Inputs, Need
from pipeline.engine.slices import config_slice, covers, is_neutral
from pipeline.engine.stage import Catalogue, Stage
from pipeline.record.files import FileIndex
from pipeline.record.store import Artifact, Store, content_key
from pipeline.settings import own_code
from pipeline.settings.load import GROUPS, LANGUAGE, Settings
from pipeline.settings.schema import Config

T = TypeVar("T")
# A pseudo-command of `Stage.words`: the words that every command for this competition needs.
COMPETITION = "competition"


class Graph:
    """Computes keys of needs, each once. It implements `Ask` for the stages."""

    def __init__(self, catalogue: Catalogue, store: Store, index: FileIndex) -> None:
        self.catalogue = catalogue
        self.store = store
        self.index = index
        # If given, the only keys that a request may choose automatically: those that it chose earlier.
        self.only: frozenset[str] | None = None
        # Needs and settings are kept with their entries, so that their ids are not used again.
        self._keys: dict[tuple[Any, ...], tuple[Need, str]] = {}
        self._inputs: dict[tuple[Any, ...], tuple[Need, Inputs]] = {}
        self._once: dict[tuple[str, str | int], tuple[Settings | str, Any]] = {}
        self._resolved: dict[tuple[Any, ...], Mapping[str, Any]] = {}
        self._path: list[tuple[str, int]] = []

    @property
    def home(self) -> Path:
        """The folder of artifacts, submissions and records."""
        return self.store.home

    def stage(self, need: Need) -> Stage:
        """The stage of a need."""
        return self.catalogue.get(need.stage)

    def key(self, need: Need) -> str:
        """The content key of a need.

        Raises:
            PodiumError: the request is circular; names the path.
        """
        if need.key is not None:
            return need.key
        known = _known(need)
        if known not in self._keys:
            self._keys[known] = (need, self._key(need))
        return self._keys[known][1]

    def _key(self, need: Need) -> str:
        # A teacher has the experiment name of its student, but other settings.
        step = (f"{need.stage} {dict(need.params)} {need.settings.experiment}", id(need.settings))
        if step in self._path:
            circle = " → ".join(text for text, _ in [*self._path, step])
            raise PodiumError(f"circular request, a result that needs itself: {circle}")
        self._path.append(step)
        try:
            stage = self.stage(need)
            inputs = {name: f"{n.stage}/{self.key(n)}" for name, n in self.inputs(need).items()}
            params = {name: value for name, value in need.params.items() if name != PART}
            config = {
                **self._slice(stage, need.settings, keyed=True),
                **self._asked(stage, need.settings),
                **params,
            }
            return content_key(stage.name, stage.version, config, inputs, self.identity(need))
        finally:
            self._path.pop()

    def _slice(self, stage: Stage, settings: Settings, keyed: bool = False) -> dict[str, Any]:
        return config_slice(settings.config, stage.sections(settings), keyed)

    def _asked(self, stage: Stage, settings: Settings) -> dict[str, Any]:
        """The parts of the request that a page prints, in the form in which they enter the key."""
        found: dict[str, Any] = {
            f"words:{name}": list(given) for name, given in self.words(stage, settings).items()
        }
        if stage.whole_request:
            files = json.dumps({n: hidden(t) for n, t in sorted(settings.files.items())}, ensure_ascii=False)
            found["request"] = [*settings.words, hashlib.sha256(files.encode()).hexdigest()]
        return found

    def words(self, stage: Stage, settings: Settings) -> dict[str, tuple[str, ...]]:
        """The words that a stage's page may print, by command."""
        return {name: self.words_of(name, settings) for name in stage.words}

    def words_of(self, command: str, settings: Settings) -> tuple[str, ...]:
        """The words that repeat these settings, without those that this command would refuse."""
        if command not in self.catalogue.commands:
            return settings.competition_words
        stages = (self.catalogue.get(name) for name in self.catalogue.commands[command])
        read = {path for stage in stages for path in stage.sections(settings)}
        asked = [(word, word.partition("=")[0]) for word in settings.words]
        return tuple(word for word, path in asked if path in GROUPS or any(covers(r, path) for r in read))

    def accepts(self, command: str, settings: Settings, paths: Iterable[str]) -> bool:
        """Whether a command with these settings would start: no stage refuses them, and these paths are read.

        A command whose stages the catalogue does not list is accepted.
        """
        if command not in self.catalogue.commands:
            return True
        needs = [Need(self.catalogue.commands[command][-1], settings)]
        try:
            chain = self.chain(needs)
            check(needs, self)
            for need in chain:
                refuses = self.stage(need).refuse
                if refuses is not None:
                    refuses(need.settings)
        except StorageError:
            raise
        except UserError:
            return False
        read = {path for need in chain for path in self.stage(need).sections(need.settings)}
        return all(any(covers(r, path) for r in read) for path in paths)

    def inputs(self, need: Need, made_by: str = "") -> Inputs:
        """The inputs of a need; none for a need with a fixed key, which exists already.

        made_by: only those that this stage makes.
        """
        if need.key is not None:
            return {}
        known = _known(need)
        if known not in self._inputs:
            self._inputs[known] = (need, self.stage(need).inputs(self, need.settings, need.params))
        inputs = self._inputs[known][1]
        return {name: n for name, n in inputs.items() if made_by in ("", n.stage)}

    def adopt(self, need: Need, inputs: Mapping[str, str], resolved: Mapping[str, Any]) -> None:
        """Take the inputs of a need as another process found them, by `stage/key`, instead of asking again.

        Results that other commands finish meanwhile could give other answers. The key is computed from the
        settings and files of this process all the same.
        """
        parts = {name: address.split("/", 1) for name, address in inputs.items()}
        pinned = {name: Need(stage, need.settings, key=key) for name, (stage, key) in parts.items()}
        self._inputs[_known(need)] = (need, pinned)
        self._resolved[_known(need)] = resolved

    def identity(self, need: Need) -> str:
        """Digest of the files and of the user's own code outside the store that define a result."""
        stage = self.stage(need)
        files = stage.identity(self, need.settings, need.params)
        return files + own_code.digests(need.settings.config, stage.sections(need.settings), covers)

    def chain(self, needs: Iterable[Need], made_by: str = "") -> list[Need]:
        """Every need in the chains of these needs, or those that one stage makes, each once, inputs first."""
        found: dict[tuple[str, str], Need] = {}

        def visit(need: Need) -> None:
            if (need.stage, self.key(need)) not in found:
                for below in self.inputs(need).values():
                    visit(below)
                found[need.stage, self.key(need)] = need

        for need in needs:
            visit(need)
        return [need for need in found.values() if made_by in ("", need.stage)]

    def resolved(self, need: Need) -> dict[str, Any]:
        """Every setting that the result depends on, including those of its inputs with the same settings.

        These are the settings that its job may read: an input's key contains the input's settings, and the
        result's key contains the keys of its inputs.
        """
        if _known(need) in self._resolved:
            return dict(self._resolved[_known(need)])
        merged: dict[str, Any] = {}
        seen: set[tuple[Any, ...]] = set()

        def visit(below: Need) -> None:
            # Not by key: a teacher may need the same result with its own settings.
            once = _known(below)
            # What is pinned has settings of its own, whatever this request says.
            if below.settings is not need.settings or below.key is not None or once in seen:
                return
            seen.add(once)
            for above in self.inputs(below).values():
                visit(above)
            merged.update(self._slice(self.stage(below), below.settings))

        visit(need)
        return merged

    def found(self, need: Need) -> Artifact | None:
        """The finished result of a need, if there is one."""
        return self.store.find(need.stage, self.key(need))

    def finished(self, stage: str) -> list[Artifact]:
        """Every finished result of a stage, oldest first, without those of searches."""
        return self.store.chosen(stage)

    def kept(self, stage: str) -> list[Artifact]:
        """Every finished result of a stage, including those of searches."""
        return self.store.all(stage)

    def may_use(self, artifact: Artifact) -> bool:
        """Whether this request may choose that result automatically."""
        return (self.only is None or artifact.key in self.only) and self.is_current(artifact)

    def is_current(self, artifact: Artifact) -> bool:
        """Whether it and all its inputs were built by the present versions of their stages."""
        stage = self.catalogue.stages.get(artifact.stage)
        if stage is None or artifact.manifest.get("version") != stage.version:
            return False
        return all(self._is_current_input(*whole.split("/", 1)) for whole in artifact.inputs.values())

    def _is_current_input(self, stage: str, key: str) -> bool:
        found = self.store.find(stage, key)
        # An evicted input counts as current.
        return self.is_current(found) if found else self.catalogue.get(stage).evictable

    def once(self, what: str, of: Settings | str, make: Callable[[], T]) -> T:
        """The return value of `make`, computed once for these settings, or for what a text says of them."""
        known = (what, of if isinstance(of, str) else id(of))
        if known not in self._once:
            self._once[known] = (of, make())
        made: T = self._once[known][1]
        return made


def _known(need: Need) -> tuple[Any, ...]:
    """What identifies a need within one command."""
    return (need.stage, id(need.settings), tuple(sorted(need.params.items())))


def check(needs: Iterable[Need], graph: Graph) -> None:
    """Run the checks of all stages of the chain, also for results that exist already.

    Raises:
        ConfigError: of the first stage whose check fails.
    """
    for need in graph.chain(needs):
        refuses = graph.stage(need).check
        if refuses is not None:
            refuses(need.settings)


def refuse_unread(settings: Settings, needs: Iterable[Need], graph: Graph, also: Iterable[str] = ()) -> None:
    """Refuse overrides that neither the requested chain nor the command itself (`also`) reads.

    Raises:
        ConfigError: lists each override without effect.
    """
    read: set[str] = set(also)
    for need in graph.chain(needs):
        if need.key is None:  # what is pinned reads nothing any more
            read |= set(graph.stage(need).sections(need.settings))
    neutral = {f"{s}.{f}" for s, i in Config.model_fields.items() for f in _neutral_fields(i.annotation)}
    # The command itself reads the language, for its messages.
    known = read | neutral | {LANGUAGE}
    unread = [p for p, _ in settings.request.values if not any(covers(r, p) for r in known)]
    if unread:
        stages = ", ".join(dict.fromkeys(n.stage for n in needs)) or _("this command")
        faults = [_("{path}: nothing in this chain reads it").format(path=p) for p in unread]
        what = _("{n} overrides").format(n=len(unread)) if len(unread) > 1 else _("an override")
        remedy = _("remove these overrides, or run the stage that reads them")
        raise ConfigError(
            _("{stages}: {what} would change nothing").format(stages=stages, what=what), faults, remedy
        )


def _neutral_fields(section: Any) -> list[str]:
    fields: Mapping[str, Any] = section.model_fields
    return [name for name, info in fields.items() if is_neutral(info)]
