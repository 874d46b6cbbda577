"""`make distill`: one student in place of a blend, and what that costs and saves.

    make distill ARGS="experiment=probe_mlp ensemble.members=[probe,probe_logistic]"
    make distill ARGS="experiment=small_cnn train.distill.inner=0"    networks: no trainings but the folds

Owns the comparison only: the student is an experiment like any other (`train.distill`), taught by nested
teachers (`train/teachers.py`).
"""

from __future__ import annotations

from pipeline.core import metrics
from pipeline.data import load
from pipeline.engine.stage import Built, Job
from pipeline.record import files
from pipeline.record.tracking import note
from pipeline.train import scoring


def build(job: Job) -> Built:
    """Write distill.json."""
    config = job.settings.config
    samples = load.samples(job.inputs["data"], "train", job.home)
    metric = metrics.get(config.competition.metric)
    runs = {name: job.inputs[name] for name in ("student", "plain", "blend")}
    oofs = {name: load.oof(run, name) for name, run in runs.items()}
    scores = {name: run.metrics[f"oof_{metric.name}"] for name, run in runs.items()}
    lost = scoring.compare(config, samples, oofs["student"], oofs["blend"])
    gained = scoring.compare(config, samples, oofs["student"], oofs["plain"])
    ms = {name: run.metrics["ms_64"] for name, run in runs.items()}
    times = ms["blend"] / ms["student"]
    distill = config.train.distill
    assert distill is not None, "the command asks for it"
    told = (
        f"student {job.settings.experiment}: OOF {metric.name} {scores['student']:.4f}, "
        f"{ms['student']:.2f} ms an image; the blend: {scores['blend']:.4f}, {ms['blend']:.2f} ms",
        f"score lost against the blend: {lost}",
        f"time: {times:.1f} times as fast as the blend (batches of 64)",
        f"against the same training on labels ({scores['plain']:.4f}): {gained}",
    )
    files.write_json(
        job.draft / "distill.json",
        {
            "teachers": distill.teachers,
            "inner": distill.inner,
            "runs": {name: f"{run.stage}/{run.key}" for name, run in runs.items()},
            "scores": scores,
            "ms_64": ms,
            "against_blend": str(lost),
            "against_labels": str(gained),
        },
    )
    figures = {
        f"oof_{metric.name}": scores["student"],
        "delta_vs_blend": lost.delta,
        "delta_vs_labels": gained.delta,
        "times_as_fast": times,
    }
    what = f"`{job.settings.experiment}` taught by {', '.join(distill.teachers)}"
    description = note(what, "can one model do what the blend does?", "make runs", result="; ".join(told[1:]))
    return Built(figures, told, description, ("distill.json",), {"verdict": lost.verdict})
