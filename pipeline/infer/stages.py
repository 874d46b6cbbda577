"""The stages of `infer/`: views of test-time augmentation, their average, models of all data, robustness.

    make infer                                        the default experiment
    make infer ARGS="infer.views=[identity,hflip]"    other views, without training again
    make infer ARGS="infer.merge=fitted"              other weights of the views, without running a model
    make refit ARGS="experiment=lite0"
    make robustness ARGS="experiment=probe robustness.blur=[1,2,4]"

Owns their declarations, their inputs and the functions that build them. Does not own the views
(`nets/views.py`) nor prediction (`train/committee.py`). Torch is imported when a stage is built.
"""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.core import metrics
from pipeline.core.predictions import pool_views
from pipeline.core.wording import worded
from pipeline.data import load
from pipeline.engine.need import Inputs, Need, Params
from pipeline.engine.stage import Ask, Built, Host, Job, Stage, of_experiment
from pipeline.infer import texts
from pipeline.nets.stages import features_need, is_probe, passes_identity
from pipeline.pages.command_words import make_with
from pipeline.record import files
from pipeline.record.store import SHORT, Artifact
from pipeline.record.tracking import note
from pipeline.settings.load import Settings
from pipeline.train import scoring
from pipeline.train.stages import WEIGHTED, folds_in, follows_cosine, refuse_incomplete, train_inputs


def build_views(job: Job) -> Built:
    """Predict every view of every image with the models of all folds.

    Writes test.npz, fold<k>.npz for the validation part of each fold, and times.json. Views are kept apart,
    so that `infer` can weigh them again without running a model.
    """
    from pipeline.infer import view_predictions

    space = load.samples(job.inputs["data"], "train", job.home).space
    plan = load.plan(job.inputs["folds"])
    earlier = [] if is_probe(job.settings) else view_predictions.earlier_results(job)
    predicted = view_predictions.predict(job, space, plan, earlier)
    for k, part in zip(folds_in(job.inputs), predicted.oof, strict=True):
        files.write_views(job.draft / f"fold{k}.npz", part)
    files.write_views(job.draft / "test.npz", predicted.test)
    files.write_json(job.draft / "times.json", dict(zip(predicted.test.views, predicted.ms_V, strict=True)))
    cost = view_predictions.earlier_cost(earlier, len(predicted.ms_V)) or view_predictions.measured_cost(
        job, space.n_classes
    )
    return Built({"ms_per_image": sum(predicted.ms_V), **cost})


def refuse_views(settings: Settings) -> None:
    """Raise ConfigError for unknown views, or arguments that do not suit the images."""
    from pipeline.infer import view_predictions

    view_predictions.refuse_unfit(settings.config.infer.views, settings.config.images)


def views_inputs(ask: Ask, settings: Settings, params: Params) -> Inputs:
    """The trained folds, and the images or their features in every view."""
    common = {"train": Need("train", settings), **train_inputs(ask, settings, params)}
    if not is_probe(settings):
        return common | {"prepared": Need("prepared", settings)}
    views = settings.config.infer.views
    return common | {f"{s}:{v}": features_need(settings, s, v) for s in ("train", "test") for v in views}


def build_infer(job: Job) -> Built:
    """Average the views of every image, and score the average.

    Writes oof.npz and test.npz, and views.json: score, weight and cost of each view.
    """
    from pipeline.infer import merging

    config, inputs = job.settings.config, job.inputs
    samples = load.samples(inputs["data"], "train", job.home)
    plan = load.plan(inputs["folds"])
    parts, test = load.view_parts(inputs["views"]), load.views(inputs["views"], "test", "test")
    oof = pool_views(parts, "oof")
    merged = merging.merge(config, samples, plan, oof, parts)
    files.write_probabilities(job.draft / "oof.npz", merged.oof)
    files.write_probabilities(job.draft / "test.npz", test.merge(merged.weights))
    table = merging.view_table(config, inputs["views"], samples, oof, merged.weights)
    files.write_json(job.draft / "views.json", table)
    gain = scoring.compare(config, samples, merged.oof, load.oof(inputs["train"], "one view"))
    rival = scoring.best_earlier(job.store, config, inputs, job.key, scoring.PREDICTED, merged.oof)
    scores = scoring.scores_of(config, samples, merged.by_fold)
    card = scoring.score_card(config, samples, merged.oof, scores, rival)
    complete = float(len(folds_in(inputs)) == len(plan))
    lines = [*scoring.lines(card, len(samples), compared=not complete), *merging.view_lines(table)]
    lines.append(texts.VIEWS_GAIN.format(views=len(oof.views), gain=gain))
    if merged.naive is not None:
        fitted = scoring.compare(config, samples, merged.oof, oof.merge())
        lines.append(texts.FITTED_GAIN.format(gain=fitted, naive=merged.naive))
    cost = inputs["views"].metrics
    lines.append(texts.COST.format(**cost, millions=cost["parameters"] / 1e6))
    figures = {**card.figures, "complete": complete, "delta_tta": gain.delta, **cost}
    what = texts.INFER_WHAT.format(experiment=job.title, views=", ".join(oof.views))
    why, then = scoring.why(card), "make ensemble, then make error-analysis"
    description = note(what, why, then, result="; ".join(lines))
    tags = scoring.tags(card, rival, job.resolved, job.request)
    told = scoring.members_changed(rival, {}, job.resolved)
    return Built(figures, tuple(lines), description, (), tags, shown=told)


def infer_inputs(ask: Ask, settings: Settings, params: Params) -> Inputs:
    """The views first, so that invalid ones are rejected before folds are trained."""
    views = {"views": Need("views", settings), "train": Need("train", settings)}
    return views | train_inputs(ask, settings, params)


def merge_identity(ask: Ask, settings: Settings, params: Params) -> str:
    """How the weights of views are fitted, where they are."""
    fitted = settings.config.infer.merge == "fitted"
    return WEIGHTED if fitted and follows_cosine(settings) else ""


def build_refit(job: Job) -> Built:
    """Predict the test set with a model of all data; the score is that of its cross-validation.

    Writes test_views.npz, test.npz and inherited.json. The twin is the finished inference of the same
    settings over folds: the score (never as the model's own) and the weights come from it.
    """
    from pipeline.infer import view_predictions

    config, twin, model = job.settings.config, job.inputs["twin"], job.inputs["whole"]
    space = load.samples(job.inputs["data"], "test", job.home).space
    test, ms = view_predictions.by_model_of_all_data(job, space)
    files.write_views(job.draft / "test_views.npz", test)
    weights = [row["weight"] for row in twin.json("views.json").values()]
    files.write_probabilities(job.draft / "test.npz", test.merge(weights))
    name = metrics.get(config.competition.metric).name
    score = twin.metrics[f"oof_{name}"]
    inherited = {**model.json("inherited.json"), "infer_twin": f"infer/{twin.key}", f"twin_{name}": score}
    files.write_json(job.draft / "inherited.json", inherited)
    score_line = texts.REFIT_SCORE.format(score=score, key=twin.key[:SHORT])
    lines = (score_line, texts.REFIT_COST.format(ms=ms, ms_folds=twin.metrics["ms_per_image"]))
    figures = {f"twin_{name}": score, "ms_per_image": ms, "epochs": model.metrics["epochs"]}
    what = texts.REFIT_WHAT.format(experiment=job.title, views=", ".join(test.views))
    description = note(what, texts.REFIT_WHY, "make score", result="; ".join(lines))
    tags = {"score": score_line, "twin": f"infer/{twin.key}"}
    return Built(figures, lines, description, ("inherited.json",), tags)


def announce_refit(
    settings: Settings, inputs: Mapping[str, Artifact], missing: list[Need], host: Host
) -> list[str]:
    """What will be trained."""
    images = len(load.training(inputs["data"], host.home))
    return [worded(texts.REFIT_ANNOUNCED, experiment=settings.experiment, images=images)]


def refit_inputs(ask: Ask, settings: Settings, params: Params) -> Inputs:
    """The cross-validation's predictions, the model of all data, and the test images or their features."""
    common = {"data": Need("data", settings), "folds": Need("folds", settings)}
    common |= {"twin": Need("infer", settings), "whole": Need("whole", settings)}
    if not is_probe(settings):
        return common | {"prepared": Need("prepared", settings)}
    views = settings.config.infer.views
    return common | {f"test:{view}": features_need(settings, "test", view) for view in views}


def build_robustness(job: Job) -> Built:
    """Score the folds' models on corrupted images of their validation parts; writes robustness.csv."""
    from pipeline.infer import robustness, view_predictions

    config = job.settings.config
    samples = load.samples(job.inputs["data"], "train", job.home)
    plan, strengths = load.plan(job.inputs["folds"]), config.robustness.views()
    names = [robustness.CLEAN, *strengths]
    part_of = view_predictions.of_validation_part
    parts = [part_of(job, samples.space, plan, k, names) for k in folds_in(job.inputs)]
    oof = pool_views(parts, "robustness")
    known = samples.take(oof.ids_N)
    metric, numbers = metrics.get(config.competition.metric), config.statistics
    y_N, groups_N = known.truth, known.groups_N
    table = robustness.measure(metric, y_N, oof, strengths, groups_N, numbers.draws, numbers.seed)
    table.to_csv(job.draft / robustness.FILE, index=False)
    kinds = [kind for kind in dict.fromkeys(table["curve"]) if kind != "clean"]
    lines = [robustness.sentence(table, kind) for kind in kinds]
    figures = {f"clean_{metric.name}": float(table["score"].iloc[0])}
    figures |= {f"worst_{kind}": float(table[table["curve"] == kind]["change"].min()) for kind in kinds}
    what = texts.ROBUSTNESS_WHAT.format(experiment=job.title)
    next_command = make_with("make error-analysis", job.words["competition"])
    description = note(what, "; ".join(lines), next_command, robustness.FILE, lines[0] if lines else "")
    return Built(figures, tuple(lines), description, (robustness.FILE,))


def refuse_robustness(settings: Settings) -> None:
    """Raise ConfigError for strengths that do not suit the images."""
    from pipeline.infer import view_predictions

    view_predictions.refuse_unfit(list(settings.config.robustness.views()), settings.config.images)


def robustness_inputs(ask: Ask, settings: Settings, params: Params) -> Inputs:
    """The trained folds, and the training images or their features; test images are not scored."""
    common = {"train": Need("train", settings), **train_inputs(ask, settings, params)}
    if not is_probe(settings):
        return common | {"prepared": Need("prepared", settings)}
    views = ["identity", *settings.config.robustness.views()]
    return common | {f"train:{view}": features_need(settings, "train", view) for view in views}


STAGES = (
    Stage(
        "views",
        3,
        "every view of every image",
        build_views,
        reads=("infer.views", "infer.precision"),
        inputs=views_inputs,
        identity=passes_identity,
        label=of_experiment,
        refuse=refuse_views,
        heavy=True,
    ),
    Stage(
        "infer",
        4,
        "the merged views of every image",
        build_infer,
        reads=("infer.merge", "statistics", "competition.metric"),
        inputs=infer_inputs,
        identity=merge_identity,
        label=of_experiment,
        tracked=True,
        compared=True,
    ),
    Stage(
        "refit",
        3,
        "a model of all data on the test set",
        build_refit,
        reads=("infer", "competition.metric"),
        inputs=refit_inputs,
        identity=passes_identity,
        label=of_experiment,
        refuse=refuse_incomplete,
        announce=announce_refit,
        inside="whole",
        tracked=True,
        compared=True,
    ),
    Stage(
        "robustness",
        2,
        "scores on corrupted images",
        build_robustness,
        reads=("robustness", "infer.precision", "statistics", "competition.metric"),
        inputs=robustness_inputs,
        identity=passes_identity,
        words=("competition",),
        label=of_experiment,
        refuse=refuse_robustness,
        tracked=True,
    ),
)
