"""What the error report is about: the new submission, the old one, and what is known about each.

Owns reading both submissions with their predictions. Does not own what a submission was made from
(`errors/sources.py`), nor what the report says about it (`errors/page.py`, `errors/sections.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.core import metrics
from pipeline.core.predictions import Comparison, Interval, Probabilities
from pipeline.core.samples import LabelSpace, Samples
from pipeline.data import host, host_format, load
from pipeline.engine.stage import Job
from pipeline.errors import sources
from pipeline.errors.diff.flips import Submission
from pipeline.pages.report import ImageOf
from pipeline.record.store import Artifact
from pipeline.submit import submission
from pipeline.train import scoring


@dataclass(frozen=True)
class Side:
    """One submission and the results that belong to it.

    Args:
        prediction: its answers on the test set, with probabilities where there are any.
        oof: out-of-fold probabilities of what made it; None for an outside CSV.
        artifact: the result it was written from; None if it was not made here on the same data, or if that
            result was deleted.
    """

    prediction: Submission
    oof: Probabilities | None
    artifact: Artifact | None


@dataclass(frozen=True)
class ReportCase:
    """Everything that the sections of the report are made from.

    Args:
        job: the job of the stage: settings, inputs (`data`, `images`, `folds`), params, draft folder, store.
        new: the submission that the report is about.
        old: the submission that it is compared with; None for a first submission.
        comparison: new minus old on out-of-fold predictions; None unless both have such predictions.
        image: pixels by split ("train", "test") and id.
    """

    job: Job
    train: Samples
    new: Side
    old: Side | None
    comparison: Comparison | None
    image: ImageOf


def read(job: Job) -> ReportCase:
    """Read both submissions and compare their out-of-fold predictions.

    Raises:
        DataError: a CSV is not in the host's format.
    """
    train = load.samples(job.inputs["data"], "train", job.home)
    new = _side(job, "a", train.space)
    old = _side(job, "b", train.space) if job.params["b"] else None
    comparison = None
    if old is not None and new.oof is not None and old.oof is not None:
        comparison = scoring.compare(job.settings.config, train, new.oof, old.oof)
    return ReportCase(job, train, new, old, comparison, load.image_of(job.inputs["images"]))


def _side(job: Job, name: str, space: LabelSpace) -> Side:
    """One submission; `name` is the parameter with its path, "a" (new) or "b" (old)."""
    config = job.settings.config.competition
    path = job.home / str(job.params[name])
    sample = host.sample(job.settings, job.inputs["data"], job.home)
    answers = host_format.read(path, space, config.submission, sample)
    public = str(job.params.get(f"{name}_public", ""))
    artifact = sources.made_of(job.store, job.inputs["data"], path)
    score, oof, probabilities = None, None, answers.probabilities
    if artifact is not None:
        m = artifact.metrics
        scored = submission.scored(artifact, job.store)
        oof = None if scored is None else load.oof(scored, path.stem)
        probabilities = load.test(artifact, path.stem)
        metric = f"oof_{metrics.get(config.metric).name}"
        score = Interval(m[metric], m["ci_low"], m["ci_high"], 0) if metric in m else None
    known = (probabilities, score, float(public) if public else None)
    return Side(Submission(path.stem, answers.ids_N, answers.labels_N, *known), oof, artifact)
