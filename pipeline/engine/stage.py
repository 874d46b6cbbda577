"""The declaration of a stage: a memoised function with its name, version, settings and inputs.

Owns the declaration (`Stage`), the look-ups that it may do (`Ask`), the argument of its function (`Job`) and
the return value (`Built`). Does not own any stage: each room declares its own in its `stages.py`, and
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
from pipeline.core.language import _
from pipeline.core.secrets import hidden_in
from pipeline.engine.need import Inputs, Need, Params
from pipeline.record.files import FileIndex
from pipeline.record.store import Artifact, Store
from pipeline.record.tracking import Run
from pipeline.settings.load import Request, Settings

T = TypeVar("T")
# (fold, epoch, its figures) -> whether to go on.
OnEpoch = Callable[[int, int, dict[str, float]], bool]


@dataclass(frozen=True)
class Built:
    """The description of a stage's result, returned by its function.

    Args:
        metrics: summary metrics; they go into the manifest and MLflow.
        lines: printed for the result, also when it is reused.
        description: markdown for the MLflow run: what, why, next command.
        attach: files of the artifact that are attached to the MLflow run, reports first.
        tags: flat, for the manifest and MLflow.
        shared_seconds: its share of the run time of an input that several results use.
        name: of its run in the record, if the label does not say what it tried.
        shown: tags of its run alone, for columns of the record's table; see `record/board.py`.
    """

    metrics: dict[str, float] = field(default_factory=dict)
    lines: tuple[str, ...] = ()
    description: str = ""
    attach: tuple[str, ...] = ()
    tags: dict[str, str] = field(default_factory=dict)
    shared_seconds: float = 0.0
    name: str = ""
    shown: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Job:
    """The argument of a stage's function: finished inputs, settings, and a folder to write into.

    Args:
        settings: contains only what the stage or one of its inputs declares; reading another setting, or the
            words of the request if they are not declared, is an AssertionError.
        params: of the need.
        inputs: finished results, by the names in the stage's `inputs`.
        draft: the folder that becomes the artifact.
        work: a folder for unfinished work, which is kept if the process is killed.
        home: the folder of artifacts, submissions and records.
        store: with all finished results.
        run: the run in the record, or one that records nothing.
        key: of the result.
        resolved: every setting that the result depends on, by dotted path.
        words: command -> the words that repeat it with these settings, for the commands that the stage
            declares in `words`.
        words_of: the same for the settings of another run; the choice of that run must be in the key.
        accepts: whether a command with these settings would start, and reads these paths of them.
        title: the name under which the result is shown, such as `lite0 images.size=96`.
        request: the user's request, for the record of runs only: it is not part of the key.
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
    accepts: Callable[[str, Settings, Iterable[str]], bool]
    request: Request
    title: str = ""
    on_epoch: OnEpoch | None = None

    def begin(self) -> Path:
        """The work folder, with a note of whose it is, so that a later plan can go on with its settings."""
        inputs = {name: artifact.address for name, artifact in self.inputs.items()}
        return self.store.begin(self.work.parent.name, self.key, hidden_in(self.resolved), inputs)


class Ask(Protocol):
    """The look-ups that a stage may do when it names its inputs and the files that define its result."""

    @property
    def home(self) -> Path:
        """The folder of artifacts, submissions and records."""

    @property
    def index(self) -> FileIndex:
        """Digests of files."""

    def key(self, need: Need) -> str:
        """The content key of a need."""

    def inputs(self, need: Need) -> Inputs:
        """The inputs of a need."""

    def found(self, need: Need) -> Artifact | None:
        """The finished result of a need, if there is one."""

    def finished(self, stage: str) -> list[Artifact]:
        """Every finished result of a stage, oldest first, without those of searches."""

    def kept(self, stage: str) -> list[Artifact]:
        """Every finished result of a stage, including those of searches."""

    def is_current(self, artifact: Artifact) -> bool:
        """Whether it and all its inputs were built by the present versions of their stages."""

    def may_use(self, artifact: Artifact) -> bool:
        """Whether this request may choose that result automatically."""

    def once(self, what: str, of: Settings | str, make: Callable[[], T]) -> T:
        """The return value of `make`, computed once for these settings, or for what a text says of them."""


class Host(Protocol):
    """What a stage may use in its `announce` function."""

    @property
    def graph(self) -> Ask:
        """Keys and inputs of needs."""

    @property
    def store(self) -> Store:
        """The store of finished results."""

    @property
    def home(self) -> Path:
        """The folder of artifacts, submissions and records."""

    def get(self, need: Need) -> Artifact:
        """A result, built if it is missing."""


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
    """Inputs that are results of these stages with the same settings, named like the stages."""
    return lambda ask, settings, params: {name: Need(name, settings) for name in stages}


@dataclass(frozen=True)
class Stage:
    """One memoised function of the pipeline.

    Args:
        name: folder below artifacts/.
        version: increased when its code gives other results for the same key.
        title: one line of description.
        build: makes the result; it imports heavy libraries itself, when it is called.
        reads: dotted paths of the settings that it reads, or a function that returns them.
        inputs: the results that it needs, by their names in `Job.inputs`.
        identity: digest of the files outside the store that define the result; empty for none.
        words: the commands whose words its page prints (see `Job.words`); they enter the key.
        whole_request: whether it may read all settings and the request; then all words of the request and
            the texts of its files enter the key. A page that advises commands needs this.
        label: returns the name under which a result is shown.
        refuse: raises for faults that are known before anything is built.
        check: the same for every result of the chain, whether it is built or reused.
        verify: raises if a result, built or reused, does not fit settings that are not in its key; it gets
            the settings, the result and the home.
        announce: with `inside`: returns lines that are printed before those inputs are built.
        inside: the stage whose results are built inside its run, as child runs.
        tracked: whether it has its own run in the record.
        compared: whether people compare its runs with each other, so that the record shows them first.
        evictable: large and quick to build again: freed beyond images.cache_gb, least recently used first.
        heavy: whether it trains or runs a network for long, so that an executor with several processes gives
            it to one of them; all others are built by the process of the command. A heavy stage has no run
            of its own and nothing inside.
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
    compared: bool = False
    evictable: bool = False
    heavy: bool | Callable[[Settings], bool] = False

    def is_heavy(self, settings: Settings) -> bool:
        """Whether it is heavy with these settings."""
        return self.heavy(settings) if callable(self.heavy) else self.heavy

    def sections(self, settings: Settings) -> tuple[str, ...]:
        """The dotted paths of the settings that it reads."""
        return self.reads(settings) if callable(self.reads) else self.reads


@dataclass(frozen=True)
class Catalogue:
    """Every stage by name, and the stages of each command: its words may set the settings of these stages."""

    stages: Mapping[str, Stage]
    commands: Mapping[str, tuple[str, ...]]

    @staticmethod
    def of(stages: Iterable[Stage], commands: Mapping[str, tuple[str, ...]]) -> Catalogue:
        """The catalogue of these stages."""
        return Catalogue({stage.name: stage for stage in stages}, commands)

    def get(self, name: str) -> Stage:
        """A stage by name.

        Raises:
            ConfigError: there is no such stage; suggests the nearest name.
        """
        if name not in self.stages:
            hint = nearest(name, self.stages) or _("known: {known}").format(known=", ".join(self.stages))
            raise ConfigError(_("no stage `{name}`").format(name=name), remedy=hint)
        return self.stages[name]
