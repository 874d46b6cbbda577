"""`fold`: one fold of one experiment, trained to its last epoch.

Owns turning artifacts into a closed training job and back. Training is `pipeline/learn/fit.py`, or
`pipeline/learn/heads.py` for a linear probe. A killed fold continues from its work folder.
"""

from __future__ import annotations

from functools import partial

from pipeline.core import metrics
from pipeline.core.predictions import FoldResult
from pipeline.core.types import Samples
from pipeline.data import resample
from pipeline.data.resample import Part, Resampled
from pipeline.learn import checkpoint, fit, heads
from pipeline.learn.initial import Initial
from pipeline.learn.job import FoldJob
from pipeline.learn.weights import State
from pipeline.record import files
from pipeline.record.store import SHORT
from pipeline.stages import initial, load
from pipeline.stages.context import Built, Job
from pipeline.stages.hardware import set_up
from pipeline.stages.registry import INITIAL, is_probe, probe_views

# How often an epoch is logged: a curve of a long linear probe needs no thousand points.
CURVE_POINTS = 40


def build(job: Job) -> Built:
    """Write weights.pt, oof.npz and history.json.

    Raises:
        UserError: settings that do not fit the model, a loss that is no number.
    """
    number = int(job.params["fold"])
    samples = load.training(job.inputs["data"], job.home)
    plan = load.plan(job.inputs["folds"])
    part = load.part(dict(job.inputs), number, job.settings, job.home)
    valid = samples.take(plan.splits[number].valid_ids)
    chosen = resample.plan(part, job.settings.config.resample)
    result, state = (_probe if is_probe(job.settings) else _network)(job, part, valid, chosen)
    files.write_probabilities(job.draft / "oof.npz", result.oof)
    files.write_json(job.draft / "history.json", list(result.history))
    checkpoint.save(job.draft / "weights.pt", {"weights": state})
    last = result.history[-1]
    figures = {
        "valid_score": last["valid_score"],
        "valid_loss": last["valid_loss"],
        "train_loss": last["train_loss"],
        "gap": last["gap"],
        "images_per_second": last.get("images_per_second", 0.0),
        "seconds_per_row": result.seconds / max(len(result.history) * len(chosen.rows(0)), 1),
        "weights_mb": sum(t.numel() * t.element_size() for t in state.values()) / 1e6,
    }
    return Built(metrics=figures, tags={"device": set_up(job.settings.config.runtime)})


def _on_epoch(job: Job, fold: int, epoch: int, entry: dict[str, float]) -> bool:
    every = max(job.settings.config.train.epochs // CURVE_POINTS, 1)
    if epoch % every == 0 or epoch == job.settings.config.train.epochs - 1:
        job.run.epoch(epoch, {k: v for k, v in entry.items() if k != "epoch"})
    return True


def _network(job: Job, part: Part, valid: Samples, chosen: Resampled) -> tuple[FoldResult, State]:
    config = job.settings.config
    fold = FoldJob(
        fold=part.fold,
        model=config.model,
        loss=config.loss,
        augment=config.augment,
        train=config.train,
        train_samples=part.samples,
        valid_samples=valid,
        images=load.prepared(job.inputs["prepared"], "train"),
        rows=chosen.rows,
        metric=metrics.get(config.competition.metric).score,
        initial=_initial(job, part.fold),
        device=set_up(config.runtime),
        threads=config.runtime.threads,
        workers=config.runtime.workers,
        eval_batch=config.runtime.infer_batch,
    )
    return fit.fit(fold, job.work, partial(_on_epoch, job))


def _initial(job: Job, number: int) -> Initial | None:
    """The weights of the earlier run's same fold, once it is proven to be that."""
    origin = job.inputs.get(INITIAL)
    if origin is None:
        return None
    initial.refuse_others(origin, job.inputs, number, job.store, job.home)
    state = checkpoint.load(origin.folder / "weights.pt")
    assert state is not None, f"{origin.folder} was verified, yet its weights cannot be read"
    size = origin.manifest["settings"]["images"]["size"]
    name = f"{origin.manifest['experiment']} fold {number} ({origin.key[:SHORT]})"
    hw = (size[0], size[1]) if isinstance(size, list) else (size, size)
    return Initial(name, state["weights"], load.oof(origin, name).classes, hw)


def _probe(job: Job, part: Part, valid: Samples, chosen: Resampled) -> tuple[FoldResult, State]:
    config = job.settings.config
    set_up(config.runtime)
    head = heads.HeadJob(
        fold=part.fold,
        loss=config.loss,
        train=config.train,
        train_samples=part.samples,
        valid_samples=valid,
        features=load.features(dict(job.inputs), "train", list(probe_views(job.settings))),
        rows=chosen.rows,
        metric=metrics.get(config.competition.metric).score,
        synthetic=chosen.synthetic,
    )
    result, state = heads.fit_linear(head)
    for entry in result.history:
        _on_epoch(job, part.fold, int(entry["epoch"]), entry)
    return result, state
