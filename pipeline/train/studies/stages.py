"""The stages of studies over many trainings: a grid of settings, and the learning curve.

Owns their declarations and inputs. Does not own the trainings, which are the ordinary `train` stage.
"""

from __future__ import annotations

from pathlib import Path

from pipeline.engine.need import Inputs, Need, Params
from pipeline.engine.stage import Ask, Built, Job, Stage, of_experiment
from pipeline.nets.stages import features_need, is_probe
from pipeline.record.store import Artifact
from pipeline.settings.load import Settings
from pipeline.train.studies import arms
from pipeline.train.studies.grid import SEEDED, read


def build_ablate(job: Job) -> Built:
    """Compare the arms of a grid."""
    from pipeline.train.studies import stage_ablate

    return stage_ablate.build(job)


def ablate_inputs(ask: Ask, settings: Settings, params: Params) -> Inputs:
    """The data and folds that all arms share, which must be finished, and every training of the grid."""
    grid = str(params["grid"])

    def found(need: Need) -> Artifact:
        artifact = ask.found(need)
        assert artifact is not None, f"{need.stage} is built before what rests on it is named"
        return artifact

    def make() -> Inputs:
        study, home = read(Path(grid)), Path(settings.config.runtime.home).resolve()
        shared = {need.stage: need for need in arms.needed(settings, study)}
        return {
            **shared,
            **{run.input: Need("train", run.settings) for run in arms.runs(found, settings, study, home)},
        }

    return ask.once(f"arms of {grid}", settings, make)


def build_learning_curve(job: Job) -> Built:
    """Score trainings on growing shares of the groups."""
    from pipeline.train.studies import stage_learning_curve

    return stage_learning_curve.build(job)


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


def curve_inputs(ask: Ask, settings: Settings, params: Params) -> Inputs:
    """The data, the folds, every training of the curve, and what their models predict training images from."""
    points = ask.once("points of the learning curve", settings, lambda: curve_points(settings))
    common = {"data": Need("data", settings), "folds": Need("folds", settings)}
    common |= {name: Need("train", point) for name, point in points.items()}
    if is_probe(settings):
        return common | {"train:identity": features_need(settings, "train", "identity")}
    return common | {"prepared": Need("prepared", settings)}


STAGES = (
    Stage(
        "learning_curve",
        1,
        "score over training groups",
        build_learning_curve,
        reads=(
            *("learning_curve", "statistics", "competition.metric", "competition.title"),
            "report.thumbnail_px",
        ),
        inputs=curve_inputs,
        whole_request=True,
        label=of_experiment,
        tracked=True,
    ),
    Stage(
        "ablate",
        2,
        "a grid of settings, compared",
        build_ablate,
        reads=("statistics", "competition.metric", "competition.title", "report.thumbnail_px"),
        inputs=ablate_inputs,
        whole_request=True,
        tracked=True,
    ),
)
