"""What a stage is: a memoised function with its name, its version, what it reads and what it needs.

Owns the declaration (`Stage`), what its inputs may look up (`Ask`), what its function gets (`Job`) and what
it gives back (`Built`). Does not own any stage: each room declares its own in its `stages.py`, and
`pipeline/stages.py` lists them all.

    def build_folds(job: Job) -> Built: ...

    Stage("folds", 3, "the fold plan", build_folds, reads=("folds",), inputs=needs("data"))
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

from pipeline.core.errors import ConfigError, nearest
from pipeline.engine.need import Inputs, Need, Params
from pipeline.record.digests import FileIndex
from pipeline.record.store import Artifact, Store
from pipeline.record.tracking import Run
from pipeline.settings.load import Request, Settings

T = TypeVar("T")
# (fold, epoch, its figures) -> whether to go on.
OnEpoch = Callable[[int, int, dict[str, float]], bool]


@dataclass(frozen=True)
class Built:
    """What a stage says about its result.

    Args:
        metrics: summary figures; they go into the manifest and MLflow.
        lines: printed, also when the result is reused.
        description: markdown for the MLflow run: what, why, next command.
        attach: files of the artifact that the MLflow run shows, reports first.
        tags: flat, for the manifest and MLflow.
        shared_seconds: its share of the time of an input that several results are cut from.
    """

    metrics: dict[str, float] = field(default_factory=dict)
    lines: tuple[str, ...] = ()
    description: str = ""
    attach: tuple[str, ...] = ()
    tags: dict[str, str] = field(default_factory=dict)
    shared_seconds: float = 0.0


@dataclass(frozen=True)
class Job:
    """Everything that a stage's function gets: finished inputs, and a folder to write into.

    Args:
        settings: holds only what the stage or one of its inputs declares; reading another setting, or the
            words of the request where they are not declared, is an AssertionError.
        params: of the need.
        inputs: finished results by the names that the stage gave them.
        draft: the folder that becomes the artifact.
        work: a folder for unfinished work; it stays after a kill.
        home: the folder of artifacts, submissions and records.
        store: where finished results lie.
        run: the run in the record, or one that records nothing.
        key: of the result.
        resolved: every setting that the result depends on, by dotted path.
        words: command -> the words that ask for it with these settings, for the commands that the stage
            declares in `words`.
        words_of: the same for the settings of another run; what leads to that run must be in the key.
        request: what the user asked for, for the record of runs only: it is no part of the key.
        on_epoch: called after each epoch of a training; False ends it early.
    """

    settings: Settings
    params: Params
    inputs: Mapping[str, Artifact]
    draft: Path
    work: Path
    home: Path
    store: Store
    run: Run
    key: str
    resolved: Mapping[str, Any]
    words: Mapping[str, tuple[str, ...]]
    words_of: Callable[[str, Settings], tuple[str, ...]]
    request: Request
    on_epoch: OnEpoch | None = None


class Ask(Protocol):
    """What a stage may look up when it names its inputs and the files that define its result."""

    @property
    def home(self) -> Path:
        """The folder of artifacts, submissions and records."""

    @property
    def index(self) -> FileIndex:
        """Digests of files."""

    def key(self, need: Need) -> str:
        """The content key of a need."""

    def inputs(self, need: Need) -> Inputs:
        """What a need needs."""

    def found(self, need: Need) -> Artifact | None:
        """The finished result of a need, if there is one."""

    def finished(self, stage: str) -> list[Artifact]:
        """Every finished result of a stage, oldest first; those of searches are left out."""

    def kept(self, stage: str) -> list[Artifact]:
        """Every finished result of a stage, those of searches too."""

    def is_current(self, artifact: Artifact) -> bool:
        """Whether it and all it was made of come from the versions of the stages that are here now."""

    def may_use(self, artifact: Artifact) -> bool:
        """Whether this request may choose that result by itself."""

    def once(self, what: str, settings: Settings, make: Callable[[], T]) -> T:
        """The value that `make` gives, made once for these very settings."""


class Host(Protocol):
    """What a stage may use while it says what it is about to build."""

    @property
    def graph(self) -> Ask:
        """Keys and inputs of needs."""

    @property
    def store(self) -> Store:
        """Where finished results lie."""

    @property
    def home(self) -> Path:
        """The folder of artifacts, submissions and records."""

    def get(self, need: Need) -> Artifact:
        """A result, built where it is missing."""


# (settings, finished inputs, missing needs, host) -> lines for the terminal.
Announce = Callable[[Settings, Mapping[str, Artifact], list[Need], Host], list[str]]


def of_competition(settings: Settings, params: Params) -> str:
    """The label of a result that is the same for every experiment: the competition's name."""
    return settings.config.competition.name


def of_experiment(settings: Settings, params: Params) -> str:
    """The label of a result that belongs to an experiment: its name."""
    return settings.experiment


def no_files(ask: Ask, settings: Settings, params: Params) -> str:
    """The identity of a result that depends on no file outside the store."""
    return ""


def needs(*stages: str) -> Callable[[Ask, Settings, Params], Inputs]:
    """Inputs that are stages of the same settings, called by their names."""
    return lambda ask, settings, params: {name: Need(name, settings) for name in stages}


@dataclass(frozen=True)
class Stage:
    """One memoised function of the pipeline.

    Args:
        name: folder below artifacts/.
        version: raised when its code gives other results for the same key.
        title: one line for people.
        build: makes the result; it imports heavy libraries itself, when it is called.
        reads: dotted paths of the settings that it reads, or a function that gives them.
        inputs: the results that it needs, by the names that `build` finds them under.
        identity: digest of the files outside the store that define the result; empty for none.
        words: the commands whose words its page prints (see `Job.words`); they enter the key.
        whole_request: whether it may read all settings and the request; then all words of the request and
            the texts of its files enter the key, as a page that advises commands needs.
        label: what people call a result.
        refuse: raises for what is known to be wrong before anything is built.
        check: the same for every result of the chain, whether it is built or reused.
        verify: raises where a result, built or reused, does not fit settings that are not in its key; it gets
            the settings, the result and the home.
        announce: with `inside`: what is said before those inputs are built.
        inside: the stage whose results are built inside its run, as child runs.
        tracked: whether it has a run of its own in the record.
        evictable: large and quickly made again: freed beyond images.cache_gb, unused for longest first.
    """

    name: str
    version: int
    title: str
    build: Callable[[Job], Built]
    reads: tuple[str, ...] | Callable[[Settings], tuple[str, ...]] = ()
    inputs: Callable[[Ask, Settings, Params], Inputs] = needs()
    identity: Callable[[Ask, Settings, Params], str] = no_files
    words: tuple[str, ...] = ()
    whole_request: bool = False
    label: Callable[[Settings, Params], str] = of_competition
    refuse: Callable[[Settings], None] | None = None
    check: Callable[[Settings], None] | None = None
    verify: Callable[[Settings, Artifact, Path], None] | None = None
    announce: Announce | None = None
    inside: str | None = None
    tracked: bool = False
    evictable: bool = False

    def sections(self, settings: Settings) -> tuple[str, ...]:
        """The dotted paths of the settings that it reads."""
        return self.reads(settings) if callable(self.reads) else self.reads


@dataclass(frozen=True)
class Catalogue:
    """Every stage by name, and the stages behind each command whose words pages print.

    Args:
        stages: by name.
        commands: command -> the stages whose settings its words may set.
    """

    stages: Mapping[str, Stage]
    commands: Mapping[str, tuple[str, ...]]

    @staticmethod
    def of(stages: Iterable[Stage], commands: Mapping[str, tuple[str, ...]]) -> Catalogue:
        """The catalogue of these stages."""
        found = {stage.name: stage for stage in stages}
        return Catalogue(found, commands)

    def get(self, name: str) -> Stage:
        """A stage by name.

        Raises:
            ConfigError: there is none; the nearest name is given.
        """
        if name not in self.stages:
            hint = nearest(name, self.stages) or f"known: {', '.join(self.stages)}"
            raise ConfigError(f"no stage `{name}`", remedy=hint)
        return self.stages[name]
