"""The stages of `train/`: heads on features, one fold, all folds, a model of all data, teachers' predictions.

    make train                                   the default experiment
    make train ARGS="experiment=small_cnn"       another one
    make train ARGS="train.folds=[0]"            one fold now; the others later, without training it again

Owns their declarations, their inputs and the functions that build them. Does not own the loop
(`train/loop.py`), which models a fold trains (`train/members.py`) nor scores (`train/scoring.py`). Torch is
imported when a stage is built.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from typing import TYPE_CHECKING

from pipeline.core import metrics
from pipeline.core.errors import ConfigError
from pipeline.core.predictions import pool
from pipeline.core.targets import EXCLUSIVE, Target
from pipeline.core.voting.weights import by_cosine
from pipeline.core.wording import worded
from pipeline.data import load
from pipeline.data.stages import learns_from, training_inputs
from pipeline.engine.hardware import set_up
from pipeline.engine.need import Inputs, Need, Params
from pipeline.engine.stage import Ask, Built, Host, Job, Stage, of_experiment
from pipeline.nets.stages import features_need, is_probe, probe_views, weights_identity
from pipeline.record import files
from pipeline.record.store import Artifact
from pipeline.resample import subsets
from pipeline.resample.stages import neighbour_inputs, refuse_forbidden_augmentation, refuse_forbidden_copies
from pipeline.settings.load import Settings
from pipeline.settings.train import TrainSettings
from pipeline.train import init_from, scoring, teachers, texts

if TYPE_CHECKING:
    from pipeline.core.samples import Samples
    from pipeline.resample.indices import Part
    from pipeline.train.heads import HeadJob

# The settings of `train` that a solved head (not trained by steps) reads, and those of several models.
SOLVED = (
    *("train.strategy", "train.head", "train.head_c", "train.head_k", "train.head_temperature"),
    *("train.probe_views", "train.group_share", "train.seed"),
)
# The settings of `model` that heads on features read.
HEADS = ("model.heads", "model.ordinal", "model.scale", "model.centres")
SEVERAL = ("train.bag", "train.chain", "train.pseudo", "train.distill")
# How weights of teachers and views are fitted, which changed: in the key of what they make, and nothing else.
WEIGHTED = "weights by cosine"


def is_batched(settings: Settings) -> bool:
    """Whether all folds train at once: heads on features, with one model per fold."""
    train = settings.config.train
    several = (train.bag, train.chain, train.pseudo, train.distill)
    return is_probe(settings) and all(one is None for one in several)


def folds_of(settings: Settings) -> list[int]:
    """The folds of the settings, ascending: `train.folds`, or all."""
    asked = settings.config.train.folds
    return sorted(asked) if asked is not None else list(range(settings.config.folds.splits))


def folds_in(inputs: Mapping[str, object]) -> list[int]:
    """The folds among a job's inputs, ascending."""
    return sorted(int(name.removeprefix("fold")) for name in inputs if name.removeprefix("fold").isdigit())


def _is_solved(settings: Settings) -> bool:
    return is_probe(settings) and settings.config.train.solved


def _train_settings(job: Job, several: tuple[str, ...] = SEVERAL) -> TrainSettings:
    """The section `train` as a job may read it: for a solved head its own fields, the others as defaults."""
    train = job.settings.config.train
    if not _is_solved(job.settings):
        return train
    read = {path.removeprefix("train.") for path in (*SOLVED, *several)}
    return TrainSettings(epochs=1, **{name: getattr(train, name) for name in read})


def lesson_sections(settings: Settings) -> tuple[str, ...]:
    """Settings that one training reads; for a head, the backbone is in the key of its features."""
    learns = HEADS if is_probe(settings) else ("model", "augment")
    train = (*SOLVED, *SEVERAL) if _is_solved(settings) else ("train",)
    return ("resample", "loss", *train, "competition.metric", *learns)


def lesson_inputs(ask: Ask, settings: Settings, params: Params) -> Inputs:
    """Inputs of a training that is not cut out of `heads`."""
    pseudo = settings.config.train.pseudo
    # Only test images that get pseudo-labels are an input of a training.
    with_test = pseudo is not None and pseudo.test_images
    own = learns_from(settings, with_test, "data", "prepared")
    needed = {"data": own["data"], "folds": Need("folds", settings)}
    if is_probe(settings):
        splits = ("train", "test") if with_test else ("train",)
        views = probe_views(settings)
        needed |= {f"{s}:{view}": features_need(settings, s, view) for s in splits for view in views}
    else:
        needed |= {"prepared": own["prepared"], **neighbour_inputs(settings)}
        if settings.config.train.init_from is not None:
            fold = int(params["fold"]) if "fold" in params else None
            needed[init_from.INITIAL] = init_from.need(ask, settings, fold)
    # Teachers come last: they have other settings, and need some of the same results.
    return needed | teachers.inputs(ask, settings, params)


def refuse_forbidden(settings: Settings) -> None:
    """Raise ConfigError where an augmentation policy makes a change that an attribute forbids."""
    if not is_probe(settings):
        refuse_forbidden_augmentation(settings)
    refuse_forbidden_copies(settings)


def build_heads(job: Job) -> Built:
    """Train the heads of all folds and seeds at once: a folder per fold, from which `fold` is cut out.

    All folds of the plan are trained together, whatever `train.folds` asks for, so a fold has the same bits
    alone, first or last. Writes weights.pt, oof.npz, history.json and, for several seeds, seeds.npz.

    Raises:
        UserError: settings that do not fit, or a loss that is not a finite number.
    """
    from pipeline.train import batched_heads, solved_heads

    train = _train_settings(job, several=())
    set_up(job.settings.config.runtime)
    jobs = _head_jobs(job, train)
    fits = (solved_heads if train.solved else batched_heads).fit_heads(jobs)
    for head_job, fit in zip(jobs, fits, strict=True):
        fit.write(job.draft / f"fold{head_job.fold}")
    epochs = 1 if train.solved else train.epochs
    rows = sum(len(head_job.rows(0)) for head_job in jobs) * epochs * train.head_seeds
    seconds = sum(fit.result.seconds for fit in fits)
    return Built(metrics={"seconds_per_row": seconds / max(rows, 1)})


def _head_jobs(job: Job, train: TrainSettings) -> list[HeadJob]:
    """What the heads of each fold train on."""
    from pipeline.train.members import Lesson, Probe

    config, data = job.settings.config, load.training(job.inputs["data"], job.home)
    probe = Probe(
        config, load.features(dict(job.inputs), "train", list(probe_views(job.settings))).with_metadata()
    )
    jobs = []
    for number, split in enumerate(load.plan(job.inputs["folds"]).splits):
        part = subsets.of_fold(job.inputs, number, config, job.home)
        part = subsets.group_share(part, train.group_share, train.seed)
        lesson = Lesson(part, data.take(split.valid_ids), train, config.resample, job.work)
        jobs.append(probe.job(lesson))
    return jobs


def heads_sections(settings: Settings) -> tuple[str, ...]:
    """Settings that the heads of all folds read."""
    train = SOLVED if _is_solved(settings) else ("train",)
    return ("resample", "loss", "competition.metric", *HEADS, *train)


def heads_inputs(ask: Ask, settings: Settings, params: Params) -> Inputs:
    """The data, the folds and the features of the training images."""
    common = {**training_inputs(settings, "data"), "folds": Need("folds", settings)}
    return common | {f"train:{v}": features_need(settings, "train", v) for v in probe_views(settings)}


def build_fold(job: Job) -> Built:
    """Train one fold to its last epoch; a killed fold continues from its work folder.

    Writes weights.pt, oof.npz, history.json, per_class_f1.csv and, with pseudo-labels, pseudo.csv. A plain
    linear probe is cut out of `heads`, where all folds train at once.

    Raises:
        UserError: settings that do not fit the model, or a loss that is not a finite number.
    """
    if "heads" in job.inputs:
        return _cut_out_of_heads(job)
    from pipeline.train import members, scoring, teacher_labels

    config, train, number = job.settings.config, _train_settings(job), int(job.params["fold"])
    samples = load.training(job.inputs["data"], job.home)
    valid = samples.take(load.plan(job.inputs["folds"]).splits[number].valid_ids)
    part, inner = _training_part(job, train, samples)
    rarest = scoring.rarest([p for p in (part.samples, valid, inner) if p is not None])
    on_epoch = scoring.stoppable(scoring.logged(job.run, train.epochs, rarest), job.on_epoch)
    work = job.begin()
    lesson = members.Lesson(part, valid, train, config.resample, work, inner=inner, on_epoch=on_epoch)
    student = teacher_labels.add(job, lesson, valid)
    trained = members.train(members.learner_of(job), student.lesson)
    files.write_probabilities(job.draft / "oof.npz", trained.oof)
    files.write_json(job.draft / "history.json", [scoring.without_classes(e) for e in trained.history])
    scoring.per_class(trained.history).to_csv(job.draft / "per_class_f1.csv", index=False)
    trained.committee.write(job.draft)
    if student.adopted is not None:
        student.adopted.to_csv(job.draft / teacher_labels.TABLE, index=False)
    score = metrics.get(config.competition.metric).score
    figures = trained.figures | {"valid_score": score(valid.truth, trained.oof.p_NC)} | student.figures
    if not is_probe(job.settings):
        figures |= _normalised_input(job, part)
    if inner is not None:
        figures["inner_images"] = float(len(inner))
    lines = (*student.lines, *trained.lines)
    tags = {"device": set_up(config.runtime), **trained.tags}
    return Built(metrics=figures, lines=lines, attach=("per_class_f1.csv",), tags=tags)


def _training_part(job: Job, train: TrainSettings, samples: Samples) -> tuple[Part, Samples | None]:
    """The training part of a fold and, with early stopping, the inner split, which is not in it then."""
    part = subsets.of_fold(job.inputs, int(job.params["fold"]), job.settings.config, job.home)
    part = subsets.group_share(part, train.group_share, train.seed)
    if train.early_stopping is None:
        return part, None
    own = load.samples(job.inputs["data"], "train", job.home)
    part, ids = subsets.inner_split(part, own.ids_N, train.early_stopping.share, train.seed)
    return part, samples.take(ids)


def _normalised_input(job: Job, part: Part) -> dict[str, float]:
    """Figures of the network's input after normalisation, which does not depend on its weights."""
    from pipeline.nets import model
    from pipeline.nets.intake import Intake

    config = job.settings.config
    bare = config.model.model_copy(update={"weights": "none"})
    network = model.build(bare, 2, 0, config.images.hw, intake=Intake.of(config))
    images = load.prepared(job.inputs["prepared"], "train")
    network.normalise_by(images, part.samples.ids_N)
    return model.input_figures(network, config.model, images, part.samples.ids_N)


def _cut_out_of_heads(job: Job) -> Built:
    """The files of one fold, out of the heads that were trained together."""
    from pipeline.train import scoring
    from pipeline.train.committee import Committee

    heads, number = job.inputs["heads"], int(job.params["fold"])
    for path in sorted((heads.folder / f"fold{number}").iterdir()):
        shutil.copyfile(path, job.draft / path.name)
    history: list[dict[str, float]] = heads.json(f"fold{number}/history.json")
    on_epoch = scoring.logged(job.run, len(history))
    for entry in history:
        on_epoch(number, int(entry["epoch"]), entry)
    last, committee = history[-1], Committee.read(job.draft)
    figures = {n: last[n] for n in ("valid_score", "valid_loss", "train_loss", "gap")} | {
        "images_per_second": last.get("images_per_second", 0.0),
        "seconds_per_row": heads.metrics["seconds_per_row"],
        "weights_mb": committee.megabytes,
        "models": float(len(committee.states[0]["mean_JD"])),
    }
    share = heads.seconds / len(load.plan(job.inputs["folds"]))
    return Built(figures, tags={"device": set_up(job.settings.config.runtime)}, shared_seconds=share)


def fold_sections(settings: Settings) -> tuple[str, ...]:
    """Settings that a fold reads; none if it is cut out of `heads`."""
    return () if is_batched(settings) else lesson_sections(settings)


def fold_inputs(ask: Ask, settings: Settings, params: Params) -> Inputs:
    """The heads of all folds, or the inputs of its own training."""
    if is_batched(settings):
        return {**training_inputs(settings, "data"), **{n: Need(n, settings) for n in ("folds", "heads")}}
    return lesson_inputs(ask, settings, params)


def build_teach(job: Job) -> Built:
    """Predict unlabelled images, or the training part, with the model of one fold; writes said.npz, seen.npy.

    seen.npy holds the ids of the labelled images that the model has seen, so that a student can reject a
    teacher that knows its validation labels.
    """
    from pipeline.train import teacher_predictions

    predictions, ms = teacher_predictions.of_model(job)
    teachers.write(job.draft, predictions, teachers.own_part(job).ids_N)
    return Built(metrics={"images": float(len(predictions)), "ms_per_image": ms})


def teach_inputs(ask: Ask, settings: Settings, params: Params) -> Inputs:
    """The model of the teacher, and the images or their features."""
    which = {name: value for name, value in params.items() if name == "fold"}
    model = Need("fold", settings, which) if which else Need("whole", settings)
    split = "test" if params["split"] == "test" else "train"
    own = learns_from(settings, split == "test", "data", "prepared")
    common = {"data": own["data"], "folds": Need("folds", settings), "model": model}
    if not is_probe(settings):
        return common | {"prepared": own["prepared"]}
    return common | {f"{split}:identity": features_need(settings, split, "identity")}


def build_nested(job: Job) -> Built:
    """Predict the training part of a fold, each image by a model that saw none of its group.

    Writes said.npz and seen.npy.
    """
    from pipeline.train import teacher_predictions

    predictions, n_inner, rows = teacher_predictions.nested(job, _train_settings(job))
    teachers.write(job.draft, predictions, predictions.ids_N)
    return Built(metrics={"inner": float(n_inner), "rows": float(rows)})


def refuse_nested(settings: Settings) -> None:
    """Raise ConfigError for teachers that cannot be trained on a part of a fold."""
    for name in ("early_stopping", "init_from"):
        if getattr(settings.config.train, name) is not None:
            raise ConfigError(
                texts.NESTED_TEACHER.format(teacher=settings.experiment, setting=f"train.{name}"),
                remedy=texts.NESTED_TEACHER_REMEDY,
            )


def build_train(job: Job) -> Built:
    """Pool the folds' out-of-fold predictions and score them.

    Writes oof.npz, history.csv, per_class.csv and, with pseudo-labels, pseudo.csv.
    """
    from pipeline.train import pooling

    config, inputs, folds = job.settings.config, job.inputs, folds_in(job.inputs)
    samples = load.samples(inputs["data"], "train", job.home)
    parts = [load.oof(inputs[f"fold{k}"], f"fold {k}") for k in folds]
    oof = pool(parts, job.settings.experiment)
    files.write_probabilities(job.draft / "oof.npz", oof)
    classes, pseudo = pooling.per_class(samples, oof), pooling.pseudo_labels(inputs, folds)
    tables = {"per_class.csv": classes, "history.csv": pooling.history(inputs, folds)}
    attach: tuple[str, ...] = (*tables, "oof.npz")
    if pseudo is not None:
        tables["pseudo.csv"] = pseudo
        attach = (*attach, "pseudo.csv")
    for name, table in tables.items():
        table.to_csv(job.draft / name, index=False)
    rival = scoring.best_earlier(job.store, config, inputs, job.key, scoring.TRAINED, oof)
    scores = scoring.scores_of(config, samples, parts)
    by_seed = pooling.scores_by_seed(config, inputs, folds, samples)
    card = scoring.score_card(config, samples, oof, scores, rival)
    lines = [
        *scoring.lines(card, len(samples)),
        *pooling.lines(inputs, folds, classes, scores, by_seed, pseudo),
    ]
    complete = float(len(folds) == len(load.plan(inputs["folds"])))
    figures = card.figures | {"complete": complete} | pooling.figures(inputs, folds, by_seed, pseudo)
    description = pooling.description(job, lines, scoring.why(card))
    return Built(
        figures, tuple(lines), description, attach, scoring.tags(card, rival, job.resolved, job.request)
    )


def refuse_train(settings: Settings) -> None:
    """Raise ConfigError for an unknown or unfit metric, or own code of the user's that does not work."""
    from pipeline.core.plugin import is_plugin
    from pipeline.data import augment

    competition = settings.config.competition
    metrics.get(competition.metric).refuse(Target((), competition.target))
    if not is_probe(settings):
        augment.check(settings.config)
    if is_plugin(settings.config.loss.name):
        from pipeline.train import own_loss

        own_loss.refuse_unfit(settings.config)


def announce_train(
    settings: Settings, inputs: Mapping[str, Artifact], missing: list[Need], host: Host
) -> list[str]:
    """Expected time and disk, before the first fold starts; refuses folds that may not start as asked."""
    from pipeline.settings.loss import loss_notes
    from pipeline.train import estimate

    for need in missing:
        below = host.graph.inputs(need)
        origin = below.get(init_from.INITIAL)
        if origin is not None:
            own = {**inputs, "data": host.get(below["data"])}
            init_from.refuse_others(host.get(origin), own, int(need.params["fold"]), host.store, host.home)
            init_from.refuse_seen(host.get(origin), own, settings)
    expected = estimate.training(settings, inputs, missing, host)
    sections = {"loss": settings.config.loss, "train": settings.config.train}
    return [
        *(texts.NOTE.format(note=note) for note in loss_notes(sections)),
        *(texts.NOTE.format(note=note) for note in _augment_notes(settings)),
        texts.TRAIN_ESTIMATE.format(
            experiment=settings.experiment,
            missing=len(missing),
            folds=len(folds_of(settings)),
            minutes=expected.seconds / 60,
            megabytes=expected.disk / 1e6,
            free_gb=shutil.disk_usage(host.home).free / 1e9,
        ),
        *("    " + line for line in expected.lines),
    ]


def _augment_notes(settings: Settings) -> list[str]:
    """What the policies leave out, and why a GPU would leave augmentation to the CPU."""
    from pipeline.data import augment, device_augment
    from pipeline.engine.hardware import set_up

    if is_probe(settings):
        return []
    config = settings.config
    return [*augment.left_out(config), *device_augment.notes(config, set_up(config.runtime))]


def train_inputs(ask: Ask, settings: Settings, params: Params) -> Inputs:
    """The data, the fold plan and every fold of the settings; faulty test images stop it before the folds."""
    folds = {f"fold{k}": Need("fold", settings, {"fold": k}) for k in folds_of(settings)}
    common = {name: Need(name, settings) for name in ("data", "images", "folds")}
    return {**common, **folds}


def build_whole(job: Job) -> Built:
    """Train one experiment on all data; writes weights.pt, history.json and inherited.json."""
    from pipeline.train import all_data

    twin = job.inputs["twin"]
    epochs = all_data.epochs(twin, job.store)
    trained, student, n_images = all_data.train(job, _train_settings(job), epochs)
    trained.committee.write(job.draft)
    files.write_json(job.draft / "history.json", [all_data.kept(entry) for entry in trained.history])
    files.write_json(job.draft / "inherited.json", {"twin": f"train/{twin.key}", "epochs": epochs})
    figures = {k: v for k, v in trained.figures.items() if k not in all_data.HELD_OUT}
    figures |= {"epochs": float(epochs), "images": float(n_images)} | student.figures
    lines = (worded(texts.ALL_DATA, images=n_images, epochs=epochs), *student.lines, *trained.lines)
    tags = {"device": set_up(job.settings.config.runtime), **trained.tags}
    return Built(metrics=figures, lines=lines, tags=tags)


def refuse_incomplete(settings: Settings) -> None:
    """Raise ConfigError where a model of all data has no complete cross-validation before it."""
    train, faults = settings.config.train, []
    if len(folds_of(settings)) < settings.config.folds.splits:
        faults.append(texts.REFIT_FOLDS.format(folds=train.folds))
    if train.group_share < 1:
        faults.append(texts.REFIT_SHARE)
    if faults:
        raise ConfigError(texts.REFIT_INCOMPLETE, faults)


def whole_inputs(ask: Ask, settings: Settings, params: Params) -> Inputs:
    """The inputs of a training, and its cross-validation, which gives the number of epochs."""
    return {"twin": Need("train", settings), **lesson_inputs(ask, settings, params)}


def lesson_identity(ask: Ask, settings: Settings, params: Params) -> str:
    """The pretrained weights; of a student with several teachers, also how theirs are fitted."""
    weights, lesson = weights_identity(ask, settings, params), settings.config.train.distill
    several = lesson is not None and lesson.inner > 0 and len(lesson.teachers) > 1
    return f"{weights}, {WEIGHTED}" if several and follows_cosine(settings) else weights


def follows_cosine(settings: Settings) -> bool:
    """Whether greedy weights follow the cosine with the truth, see `core/voting/weights.py`."""
    competition = settings.config.competition
    return competition.target == EXCLUSIVE and by_cosine(metrics.get(competition.metric))


STAGES = (
    Stage(
        "heads",
        4,
        "heads of all folds and seeds on cached features",
        build_heads,
        reads=heads_sections,
        inputs=heads_inputs,
        label=of_experiment,
        heavy=True,
    ),
    Stage(
        "fold",
        6,
        "one fold, trained",
        build_fold,
        reads=fold_sections,
        inputs=fold_inputs,
        identity=lesson_identity,
        label=of_experiment,
        check=refuse_forbidden,
        heavy=lambda settings: not is_batched(settings),
    ),
    Stage(
        "teach",
        1,
        "predictions of one fold's model for unlabelled images",
        build_teach,
        inputs=teach_inputs,
        label=of_experiment,
        heavy=True,
    ),
    Stage(
        "nested",
        4,
        "predictions of teachers for a fold's own training part",
        build_nested,
        reads=lesson_sections,
        inputs=lesson_inputs,
        identity=weights_identity,
        label=of_experiment,
        refuse=refuse_nested,
        heavy=True,
    ),
    Stage(
        "train",
        2,
        "all folds, pooled out of fold",
        build_train,
        reads=("statistics", "competition.metric"),
        inputs=train_inputs,
        label=of_experiment,
        refuse=refuse_train,
        announce=announce_train,
        inside="fold",
        tracked=True,
        compared=True,
    ),
    Stage(
        "whole",
        4,
        "one experiment on all data",
        build_whole,
        reads=lesson_sections,
        inputs=whole_inputs,
        identity=lesson_identity,
        label=of_experiment,
        refuse=refuse_incomplete,
        check=refuse_forbidden,
        heavy=True,
    ),
)
