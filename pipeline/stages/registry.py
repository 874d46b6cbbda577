"""Every stage by name: what it reads, what it needs, which version of the code made it.

Owns the declarations only, so it imports neither torch nor the stages: a stage's module is imported
when it has to be built. Does not own building (`stages/context.py`) or keys (`stages/graph.py`).

A new stage is a new file with a `build(job)` and one entry in `STAGES`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pipeline.core.errors import ConfigError, nearest
from pipeline.settings.load import Settings

if TYPE_CHECKING:
    from pipeline.stages.graph import Graph

Params = Mapping[str, str | int]
# The linear probe trains on these views of each image, one drawn per epoch.
PROBE_VIEWS = ("identity", "hflip")


@dataclass(frozen=True)
class Need:
    """A request for a stage's result.

    Args:
        stage: its name.
        settings: the settings it is to be built with.
        params: what singles it out among its siblings, e.g. {"fold": 3}.
        key: ask for this very artifact instead; it must exist.
    """

    stage: str
    settings: Settings
    params: Params = field(default_factory=dict)
    key: str | None = None


Inputs = dict[str, Need]


@dataclass(frozen=True)
class Stage:
    """One memoised function of the pipeline.

    Args:
        name: module below pipeline/stages and folder below artifacts/.
        version: raised when its code gives other results for the same key.
        sections: settings that it reads, as dotted paths.
        inputs: the results that it needs, by the name `build` finds them under.
        reads_files: whether its key holds the digests of the competition's files.
        tracked: whether it has a run of its own in MLflow.
        inside: inputs that are built inside its run, as child runs.
        title: one line for people.
    """

    name: str
    version: int
    title: str
    sections: Callable[[Settings], tuple[str, ...]]
    inputs: Callable[[Graph, Settings, Params], Inputs]
    reads_files: bool = False
    tracked: bool = False
    inside: str | None = None


DATA_SETTINGS = tuple(
    f"competition.{name}"
    for name in (
        *("name", "root", "train_table", "test_table", "sample_submission", "train_images"),
        *("test_images", "id_column", "path_column", "group_column", "attributes", "demo"),
    )
)


def _reads(*paths: str) -> Callable[[Settings], tuple[str, ...]]:
    return lambda settings: paths


def _needs(*stages: str) -> Callable[[Graph, Settings, Params], Inputs]:
    return lambda graph, settings, params: {name: Need(name, settings) for name in stages}


def is_probe(settings: Settings) -> bool:
    """Whether training runs on cached features of a frozen backbone."""
    return settings.config.train.strategy == "linear_probe"


def folds_of(settings: Settings) -> list[int]:
    """The folds that were asked for, ascending."""
    asked = settings.config.train.folds
    return sorted(asked) if asked is not None else list(range(settings.config.folds.n))


def _fold_sections(settings: Settings) -> tuple[str, ...]:
    pixels = () if is_probe(settings) else ("augment",)
    return ("resample", "model", "loss", "train", *pixels)


def _features(settings: Settings, split: str, view: str) -> Need:
    return Need("features", settings, {"split": split, "view": view})


def _eda_inputs(graph: Graph, settings: Settings, params: Params) -> Inputs:
    common = {name: Need(name, settings) for name in ("data", "images", "folds")}
    if settings.config.eda.shift_on == "facts":
        return common
    return common | {
        f"{split}:identity": _features(settings, split, "identity") for split in ("train", "test")
    }


def _fold_inputs(graph: Graph, settings: Settings, params: Params) -> Inputs:
    common = {"data": Need("data", settings), "folds": Need("folds", settings)}
    if is_probe(settings):
        return common | {f"train:{view}": _features(settings, "train", view) for view in PROBE_VIEWS}
    return common | {"prepared": Need("prepared", settings)}


def _fold_needs(settings: Settings) -> Inputs:
    return {f"fold{k}": Need("fold", settings, {"fold": k}) for k in folds_of(settings)}


def _train_inputs(graph: Graph, settings: Settings, params: Params) -> Inputs:
    return {"data": Need("data", settings), "folds": Need("folds", settings), **_fold_needs(settings)}


def _infer_inputs(graph: Graph, settings: Settings, params: Params) -> Inputs:
    common = {"train": Need("train", settings), **_train_inputs(graph, settings, params)}
    if not is_probe(settings):
        return common | {"prepared": Need("prepared", settings)}
    views = settings.config.infer.views
    return common | {f"{s}:{v}": _features(settings, s, v) for s in ("train", "test") for v in views}


def _ensemble_inputs(graph: Graph, settings: Settings, params: Params) -> Inputs:
    common = {"data": Need("data", settings), "folds": Need("folds", settings)}
    names = settings.config.ensemble.members
    if names == ["auto"]:
        finished = graph.finished_members(settings)
        if not finished:
            raise ConfigError(
                "ensemble.members=[auto]: no member is finished for these data and folds",
                remedy="name members, e.g. ensemble.members=[lite0,probe], or run make infer first",
            )
        return common | {f"member:{n}": Need("infer", settings, key=key) for n, key in finished.items()}
    return common | {f"member:{n}": Need("infer", settings.member(n)) for n in names}


STAGES: dict[str, Stage] = {
    stage.name: stage
    for stage in (
        Stage(
            "data", 1, "tables and labels", lambda settings: DATA_SETTINGS, _needs(), reads_files=True
        ),
        Stage("images", 1, "decoded images and their facts", _reads("images.cache_px"), _needs("data")),
        Stage("prepared", 1, "images as models see them", _reads("images"), _needs("data", "images")),
        Stage("folds", 1, "the fold plan", _reads("folds"), _needs("data")),
        Stage(
            "eda", 2, "what is in the data, worst harm first",
            _reads("eda", "competition.title", "report.thumbnail_px", "report.per_class",
                   "images.resize", "resample.method"),
            _eda_inputs, tracked=True,
        ),
        Stage(
            "resample", 1, "what each fold's training part will show", _reads("resample"),
            _needs("data", "folds"), tracked=True,
        ),
        Stage("features", 1, "outputs of the frozen backbone", _reads("model"), _needs("data", "prepared")),
        Stage("fold", 1, "one fold, trained", _fold_sections, _fold_inputs),
        Stage(
            "train", 1, "all folds, pooled out of fold", _reads("statistics", "competition.metric"),
            _train_inputs, tracked=True, inside="fold",
        ),
        Stage(
            "infer", 1, "every view of every image", _reads("infer", "statistics", "competition.metric"),
            _infer_inputs, tracked=True,
        ),
        Stage(
            "ensemble", 1, "soft voting", _reads("ensemble", "statistics", "competition.metric"),
            _ensemble_inputs, tracked=True,
        ),
        Stage(
            "error_analysis", 1, "new against best",
            _reads("report", "statistics", "competition.metric", "competition.submission"),
            _needs("data", "images", "folds"), tracked=True,
        ),
    )
}  # fmt: skip


def get(name: str) -> Stage:
    """A stage by name."""
    if name not in STAGES:
        raise ConfigError(f"no stage `{name}`", remedy=nearest(name, STAGES) or f"known: {', '.join(STAGES)}")
    return STAGES[name]
