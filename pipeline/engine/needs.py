"""What each stage needs: its inputs, and the settings that it reads.

Owns requests (`Need`) and the functions that name a stage's inputs and sections. Does not own the table of
stages (`engine/registry.py`), so nothing here knows versions or titles. Imports neither torch nor stages.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from pipeline.core.errors import ConfigError
from pipeline.settings.ensemble import word_of
from pipeline.settings.load import Settings
from pipeline.settings.resample import FEATURE_METHODS
from pipeline.train.studies.grid import SEEDED

if TYPE_CHECKING:
    from pipeline.engine.graph import Graph

Params = Mapping[str, str | int]
# The linear probe trains on these views of each image, one drawn per epoch, unless a label forbids it.
PROBE_VIEWS = ("identity", "hflip")
# The tables' samples before images that do not decode are left out.
# A part is in the key through the inputs that it has, so a decoded image is one whatever is dropped later.
PART = "part"
AS_READ: Params = {PART: "as_read"}
# What a training starts from, among its inputs: a finished fold, or a finished model of all data.
INITIAL = "initial"
BOXED = ("statistics", "own_box")
# Inputs of a fold: what its teachers say, `teacher:<name>:<split>`.
TEACHER = "teacher:"
UNLABELLED = "unlabelled"
# What a fold's teachers are asked about for distillation: the fold's own training part.
OWN_PART = "own"
# Inputs of a decision: what each member's training showed, `shown:<member>`.
SHOWN = "shown:"


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


DATA_SETTINGS = tuple(
    f"competition.{name}"
    for name in (
        *("name", "root", "layout", "train_table", "test_table", "holdout", "sample_submission"),
        *("train_images", "test_images", "id_column", "path_column", "test_id_column", "test_path_column"),
        *("group_column", "group_pattern", "attributes", "extra", "label_patches", "patch_scoring", "demo"),
    )
)


def reads(*paths: str) -> Callable[[Settings], tuple[str, ...]]:
    """The sections that a stage always reads."""
    return lambda settings: paths


def needs(*stages: str) -> Callable[[Graph, Settings, Params], Inputs]:
    """Inputs that are stages of the same settings, called by their names."""
    return lambda graph, settings, params: {name: Need(name, settings) for name in stages}


def is_probe(settings: Settings) -> bool:
    """Whether training runs on cached features of a frozen backbone."""
    return settings.config.train.strategy == "linear_probe"


def is_batched(settings: Settings) -> bool:
    """Whether all folds train at once: heads on features, one model a fold."""
    train = settings.config.train
    return (
        is_probe(settings)
        and train.bag is None
        and train.chain is None
        and train.pseudo is None
        and train.distill is None
    )


def probe_views(settings: Settings) -> tuple[str, ...]:
    """Views that the linear probe trains on: none that an attribute forbids."""
    forbidden = {change for a in settings.config.competition.attributes for change in a.forbids}
    return tuple(view for view in PROBE_VIEWS if view not in forbidden)


def folds_of(settings: Settings) -> list[int]:
    """The folds that were asked for, ascending."""
    asked = settings.config.train.folds
    return sorted(asked) if asked is not None else list(range(settings.config.folds.splits))


def fold_sections(settings: Settings) -> tuple[str, ...]:
    """Settings that a fold reads."""
    if is_batched(settings):
        return ()  # cut out of `heads`, which reads everything
    return lesson_sections(settings)


# Of `train`, what a head reads that is solved and not trained by steps; and what several of them read.
SOLVED = ("train.strategy", "train.head", "train.head_c", "train.group_share", "train.seed")
SEVERAL = ("train.bag", "train.chain", "train.pseudo", "train.distill")


def lesson_sections(settings: Settings) -> tuple[str, ...]:
    """Settings that one training reads; a head, whose features know their backbone, what shapes it."""
    learns = ("model.heads", "model.ordinal") if is_probe(settings) else ("model", "augment")
    train = (*SOLVED, *SEVERAL) if _is_solved(settings) else ("train",)
    return ("resample", "loss", *train, "competition.metric", *learns)


def heads_sections(settings: Settings) -> tuple[str, ...]:
    """Settings that the heads of all folds read."""
    train = SOLVED if _is_solved(settings) else ("train",)
    return ("resample", "loss", "competition.metric", "model.heads", "model.ordinal", *train)


def _is_solved(settings: Settings) -> bool:
    return is_probe(settings) and settings.config.train.head == "logistic"


def data_inputs(graph: Graph, settings: Settings, params: Params) -> Inputs:
    """Nothing but files; with images.quarantine=drop, what was read less what did not decode."""
    if settings.config.images.quarantine == "error" or params:
        return {}
    return {"data": Need("data", settings, AS_READ), "images": Need("images", settings)}


def as_read(graph: Graph, settings: Settings, params: Params) -> Inputs:
    """The tables before images that do not decode are left out."""
    dropping = settings.config.images.quarantine == "drop"
    return {"data": Need("data", settings, AS_READ if dropping else {})}


def boxes_inputs(graph: Graph, settings: Settings, params: Params) -> Inputs:
    """Inputs of `boxes`."""
    return {**as_read(graph, settings, params), "images": Need("images", settings)}


def look_inputs(graph: Graph, settings: Settings, params: Params) -> Inputs:
    """Inputs of `look`."""
    common = {name: Need(name, settings) for name in ("data", "images")}
    crop = settings.config.crop
    return common | ({"boxes": Need("boxes", settings)} if crop.method in BOXED else {})


def preview_inputs(graph: Graph, settings: Settings, params: Params) -> Inputs:
    """Inputs of `preview`."""
    known = {"boxes": Need("boxes", settings)} if settings.config.crop.boxes else {}
    return look_inputs(graph, settings, params) | known


def _features(settings: Settings, split: str, view: str) -> Need:
    return Need("features", settings, {"split": split, "view": view})


def eda_inputs(graph: Graph, settings: Settings, params: Params) -> Inputs:
    """Inputs of `eda`."""
    common = {name: Need(name, settings) for name in ("data", "images", "folds")}
    if settings.config.eda.shift_on == "facts":
        return common
    return common | {
        f"{split}:identity": _features(settings, split, "identity") for split in ("train", "test")
    }


def neighbour_views(settings: Settings) -> list[str]:
    """The views whose features resampling looks at; none for random draws."""
    if settings.config.resample.method not in FEATURE_METHODS:
        return []
    return list(probe_views(settings)) if is_probe(settings) else ["identity"]


def _neighbours(settings: Settings) -> Inputs:
    """Features for resampling: the probe's own, or those of a frozen backbone beside the network."""
    beside = settings
    if not is_probe(settings):
        config = settings.config.model_copy(update={"model": settings.config.resample.features})
        beside = replace(settings, config=config)
    return {f"train:{view}": _features(beside, "train", view) for view in neighbour_views(settings)}


def resample_inputs(graph: Graph, settings: Settings, params: Params) -> Inputs:
    """Inputs of `resample`."""
    return {"data": Need("data", settings), "folds": Need("folds", settings), **_neighbours(settings)}


def heads_inputs(graph: Graph, settings: Settings, params: Params) -> Inputs:
    """Inputs of `heads`."""
    common = {"data": Need("data", settings), "folds": Need("folds", settings)}
    return common | {f"train:{view}": _features(settings, "train", view) for view in probe_views(settings)}


def fold_inputs(graph: Graph, settings: Settings, params: Params) -> Inputs:
    """Inputs of `fold`."""
    if is_batched(settings):
        return {name: Need(name, settings) for name in ("data", "folds", "heads")}
    return _lesson_inputs(graph, settings, params)


def _lesson_inputs(graph: Graph, settings: Settings, params: Params) -> Inputs:
    """What a training reads that is not cut out of `heads`."""
    common = {"data": Need("data", settings), "folds": Need("folds", settings)}
    pseudo = settings.config.train.pseudo
    common |= _teachers(graph, settings, params)
    if is_probe(settings):
        splits = ("train", "test") if pseudo is not None and pseudo.test_images else ("train",)
        views = probe_views(settings)
        return common | {f"{s}:{view}": _features(settings, s, view) for s in splits for view in views}
    if settings.config.train.init_from is not None:
        common[INITIAL] = graph.initial(settings, int(params["fold"]) if "fold" in params else None)
    return common | {"prepared": Need("prepared", settings), **_neighbours(settings)}


def _teachers(graph: Graph, settings: Settings, params: Params) -> Inputs:
    """What models of the same fold of the same plan say of images without labels, or of its own part."""
    pseudo, distill = settings.config.train.pseudo, settings.config.train.distill
    if distill is not None:
        by = {name: graph.teacher(settings, name) for name in distill.teachers or [settings.experiment]}
        stage, how = ("nested", {"inner": distill.inner}) if distill.inner else ("teach", {"split": OWN_PART})
        return {f"{TEACHER}{n}:{OWN_PART}": Need(stage, s, {**params, **how}) for n, s in by.items()}
    if pseudo is None:
        return {}
    splits = [UNLABELLED] if any(not e.labelled for e in settings.config.competition.extra) else []
    splits += ["test"] if pseudo.test_images else []
    found = {}
    for name in pseudo.teachers or [settings.experiment]:
        teacher = graph.teacher(settings, name)
        for split in splits:
            found[f"{TEACHER}{name}:{split}"] = Need("teach", teacher, {**params, "split": split})
    return found


def teach_inputs(graph: Graph, settings: Settings, params: Params) -> Inputs:
    """Inputs of `teach`."""
    which = {name: value for name, value in params.items() if name == "fold"}
    model = Need("fold", settings, which) if which else Need("whole", settings)
    common = {"data": Need("data", settings), "folds": Need("folds", settings), "model": model}
    if not is_probe(settings):
        return common | {"prepared": Need("prepared", settings)}
    split = "test" if params["split"] == "test" else "train"
    return common | {f"{split}:identity": _features(settings, split, "identity")}


def nested_inputs(graph: Graph, settings: Settings, params: Params) -> Inputs:
    """Inputs of `nested`: those of the teacher's own lesson."""
    return _lesson_inputs(graph, settings, params)


def distill_inputs(graph: Graph, settings: Settings, params: Params) -> Inputs:
    """Inputs of `distill`: the student, the blend that taught it, and the same training on labels."""
    plain = graph.teacher(settings, settings.experiment)
    common = {"data": Need("data", settings), "folds": Need("folds", settings)}
    more = {
        "student": Need("infer", settings),
        "plain": Need("infer", plain),
        "blend": Need("ensemble", plain),
    }
    return common | more


def _fold_needs(settings: Settings) -> Inputs:
    return {f"fold{k}": Need("fold", settings, {"fold": k}) for k in folds_of(settings)}


def train_inputs(graph: Graph, settings: Settings, params: Params) -> Inputs:
    """Inputs of `train`."""
    return {"data": Need("data", settings), "folds": Need("folds", settings), **_fold_needs(settings)}


def whole_inputs(graph: Graph, settings: Settings, params: Params) -> Inputs:
    """Inputs of `whole`."""
    return {"twin": Need("train", settings), **_lesson_inputs(graph, settings, params)}


def refit_inputs(graph: Graph, settings: Settings, params: Params) -> Inputs:
    """Inputs of `refit`."""
    common = {"data": Need("data", settings), "folds": Need("folds", settings)}
    common |= {"twin": Need("infer", settings), "whole": Need("whole", settings)}
    if not is_probe(settings):
        return common | {"prepared": Need("prepared", settings)}
    return common | {
        f"test:{view}": _features(settings, "test", view) for view in settings.config.infer.views
    }


def infer_inputs(graph: Graph, settings: Settings, params: Params) -> Inputs:
    """Inputs of `infer`; the views first, so that they are refused before folds are trained."""
    views = {"views": Need("views", settings), "train": Need("train", settings)}
    return views | train_inputs(graph, settings, params)


def views_inputs(graph: Graph, settings: Settings, params: Params) -> Inputs:
    """Inputs of `views`."""
    common = {"train": Need("train", settings), **train_inputs(graph, settings, params)}
    if not is_probe(settings):
        return common | {"prepared": Need("prepared", settings)}
    views = settings.config.infer.views
    return common | {f"{s}:{v}": _features(settings, s, v) for s in ("train", "test") for v in views}


def ensemble_sections(settings: Settings) -> tuple[str, ...]:
    """Settings that a blend reads: the host's format only where CSVs come from elsewhere."""
    outside = any(word_of(text).path for text in settings.config.ensemble.members)
    host = ("competition.submission",) if outside else ()
    return ("ensemble", "statistics", "competition.metric", *host)


def ensemble_inputs(graph: Graph, settings: Settings, params: Params) -> Inputs:
    """Inputs of `ensemble`; CSVs from elsewhere are none, their digests are in its key."""
    found = {"data": Need("data", settings), "folds": Need("folds", settings)}
    for word in map(word_of, settings.config.ensemble.members):
        if word.kind == "experiment":
            member = settings.member(word.name)
            found[f"member:{word.name}"] = Need("infer", member)
            if settings.config.ensemble.refit:
                found[f"refit:{word.name}"] = Need("refit", member)
        elif word.kind in ("auto", "key"):
            every = word.kind == "auto"
            finished = graph.finished_members(settings) if every else graph.pinned_member(settings, word.name)
            found |= {f"member:{n}": Need("infer", settings, key=key) for n, key in finished.items()}
    return found


def cost_inputs(graph: Graph, settings: Settings, params: Params) -> Inputs:
    """Inputs of `cost`: the ensemble and what it is made of."""
    own = ensemble_inputs(graph, settings, params)
    wanted = {n: need for n, need in own.items() if n in ("data", "folds") or n.startswith("member:")}
    return wanted | {"ensemble": Need("ensemble", settings)}


def decide_inputs(graph: Graph, settings: Settings, params: Params) -> Inputs:
    """Inputs of `decide`: what is decided (`of`), and what its steps look at."""
    of, decision = str(params.get("of", "ensemble")), settings.config.decision
    common = {"data": Need("data", settings), "folds": Need("folds", settings)}
    common["of"] = Need("infer" if of == "refit" else of, settings)
    if of == "refit":
        common["refit"] = Need("refit", settings)
    if "prior_correction" in decision.steps:
        common |= _shown(settings, of)
    if "group_average" in decision.steps and decision.groups == "clusters":
        beside = replace(settings, config=settings.config.model_copy(update={"model": decision.features}))
        common |= {f"{s}:identity": _features(beside, s, "identity") for s in ("train", "test")}
    return common


def _shown(settings: Settings, of: str) -> Inputs:
    """What training showed: of one experiment, or of each member of the blend."""
    if of != "ensemble":
        return {f"{SHOWN}{settings.experiment}": Need("resample", settings)}
    names = settings.config.ensemble.members
    if any(word_of(text).kind != "experiment" for text in names):
        raise ConfigError(
            "decision.steps: prior_correction needs members by name: what others learned is not known",
            remedy="name experiments, e.g. ensemble.members=[lite0,probe], or leave prior_correction out",
        )
    return {f"{SHOWN}{name}": Need("resample", settings.member(name)) for name in names}


def curve_points(settings: Settings) -> dict[str, Settings]:
    """The trainings of a learning curve by name, shares ascending, seeds within them."""
    curve, first = settings.config.learning_curve, settings.config.train.seed
    return {
        f"share {share} seed {seed}": settings.with_values(
            {"train.group_share": share} | dict.fromkeys(SEEDED, seed)
        )
        for share in curve.shares
        for seed in range(first, first + curve.seeds)
    }


def curve_inputs(graph: Graph, settings: Settings, params: Params) -> Inputs:
    """Inputs of `curve`."""
    common = {"data": Need("data", settings), "folds": Need("folds", settings)}
    common |= {name: Need("train", point) for name, point in graph.curve_points(settings).items()}
    if is_probe(settings):
        return common | {"train:identity": _features(settings, "train", "identity")}
    return common | {"prepared": Need("prepared", settings)}


def ablate_inputs(graph: Graph, settings: Settings, params: Params) -> Inputs:
    """Inputs of `ablate`."""
    return graph.arms(settings, str(params["grid"]))
