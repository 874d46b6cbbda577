"""The stages of studies over many trainings: a grid of settings, and the learning curve.

    make ablate GRID=configs/ablate/resample_quick.yaml
    make ablate GRID=mine.yaml ARGS="competition=digits train.folds=[0]"
    make learning-curve ARGS="experiment=probe"
    make learning-curve ARGS="experiment=small_cnn learning_curve.shares=[0.25,0.5,1] train.epochs=2"

Owns their declarations, their inputs and the functions that build them. Does not own the trainings, which
are the ordinary `train` stage.
"""

from __future__ import annotations

from pathlib import Path

from pipeline.core.errors import ConfigError
from pipeline.core.language import _
from pipeline.engine.need import Inputs, Need, Params
from pipeline.engine.stage import Ask, Built, Job, Stage, of_experiment
from pipeline.nets.stages import features_need, is_probe
from pipeline.record.store import Artifact
from pipeline.settings.load import Settings
from pipeline.train import texts
from pipeline.train.studies.grid import SEEDED, needed, read, runs


def build_ablate(job: Job) -> Built:
    """Compare the arms of a grid; writes ablation.csv and ablation.html."""
    from pipeline.train.studies import ablation

    page, table = ablation.compare(job)
    table.to_csv(job.draft / "ablation.csv", index=False)
    config = job.settings.config
    title = config.competition.title or config.competition.name
    (job.draft / "ablation.html").write_text(ablation.render_html(page, title, config), encoding="utf-8")
    verdicts = [row.comparison.verdict for row in page.comparisons]
    figures = {
        "arms": float(len(page.table)),
        "trainings": float(len(page.table) * page.seeds),
        "comparisons": float(len(verdicts)),
        "better": float(verdicts.count("better")),
        "worse": float(verdicts.count("worse")),
    }
    about = texts.ABLATION_RUN.format(what=page.about or page.grid, result=ablation.headline(page))
    return Built(figures, tuple(ablation.lines(page)), about, ("ablation.html", "ablation.csv"))


def ablate_inputs(ask: Ask, settings: Settings, params: Params) -> Inputs:
    """The data and folds that all arms share, which must be finished, and every training of the grid."""
    grid = str(params["grid"])

    def finished(need: Need) -> Artifact:
        artifact = ask.found(need)
        assert artifact is not None, f"{need.stage} must be built before the inputs of ablate are named"
        return artifact

    def make() -> Inputs:
        study, home = read(Path(grid)), settings.config.runtime.folder.resolve()
        shared = {need.stage: need for need in needed(settings, study)}
        return {
            **shared,
            **{run.input: Need("train", run.settings) for run in runs(finished, settings, study, home)},
        }

    return ask.once(f"arms of {grid}", settings, make)


def build_learning_curve(job: Job) -> Built:
    """Score trainings on growing shares of the groups; writes learning_curve.csv and learning_curve.html."""
    from pipeline.train.studies import learning_curve

    points = curve_points(job.settings)
    page = learning_curve.measure(job, points)
    page.table.to_csv(job.draft / "learning_curve.csv", index=False)
    config = job.settings.config
    title = config.competition.title or config.competition.name
    html = learning_curve.render_html(page, title, config)
    (job.draft / "learning_curve.html").write_text(html, encoding="utf-8")
    figures = {
        "trainings": float(len(points)),
        "last_step": page.last_step.delta,
        "last_step_low": page.last_step.low,
        "last_step_high": page.last_step.high,
        "error_train": page.errors.train,
        "error_valid": page.errors.valid,
    }
    about = texts.CURVE_RUN.format(result=learning_curve.verdict(page))
    attach = ("learning_curve.html", "learning_curve.csv")
    return Built(figures, tuple(learning_curve.lines(page)), about, attach)


def refuse_learning_curve(settings: Settings) -> None:
    """Raise ConfigError for a share of groups, which the curve itself sets."""
    if settings.config.train.group_share < 1:
        raise ConfigError(texts.CURVE_SHARE, remedy=_("leave it out"))


def curve_points(settings: Settings) -> dict[str, Settings]:
    """The trainings of a learning curve by name, shares ascending, seeds within them."""
    curve, first = settings.config.learning_curve, settings.config.train.seed
    points = {}
    for share in curve.shares:
        for seed in range(first, first + curve.seeds):
            values = {"train.group_share": share} | dict.fromkeys(SEEDED, seed)
            points[f"share {share} seed {seed}"] = settings.with_values(values)
    return points


def curve_inputs(ask: Ask, settings: Settings, params: Params) -> Inputs:
    """The data, the folds, every training of the curve, and the training images or their features."""
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
        refuse=refuse_learning_curve,
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
