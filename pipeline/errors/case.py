"""What the sections of the error report are made of: two submissions, and what is known of each.

Owns reading the two sides and the list of sections. Does not own the stage (`error_analysis.py`) nor what
a section shows (`pipeline/analyze/`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pipeline.core import metrics
from pipeline.core.predictions import Comparison, Interval, Probabilities
from pipeline.core.samples import LabelSpace, Samples
from pipeline.data import host, host_format, load
from pipeline.engine.stage import Job
from pipeline.errors import beside, oof_sections, page
from pipeline.errors.diff import attributes, flips
from pipeline.errors.judging.estimate import Estimate
from pipeline.pages.report import ImageOf
from pipeline.pages.section import Section
from pipeline.record.store import Artifact


@dataclass(frozen=True)
class Side:
    """One submission with what its provenance leads to.

    Args:
        prediction: its answers on the test set, with probabilities where there are any.
        oof: out-of-fold probabilities of what made it; None for an outside CSV.
        artifact: the result it was written from, if it was made here on the same data and is still there.
    """

    prediction: flips.Submission
    oof: Probabilities | None
    artifact: Artifact | None


@dataclass(frozen=True)
class Case:
    """Everything a section may be made of.

    Args:
        job: the stage's job: settings, inputs (`data`, `images`, `folds`), params, draft folder, store.
        train: the labelled samples, all splits of training.
        new: the submission under study.
        old: the other one; None: it is the first.
        comparison: new minus old, out of fold, where both have such predictions.
        image: pixels by split ("train", "test") and id.
        analysis: flips and mistakes, as the first sections show them.
        judged: what a person's answers say of the score, if there are any on this pair.
    """

    job: Job
    train: Samples
    new: Side
    old: Side | None
    comparison: Comparison | None
    image: ImageOf
    analysis: page.ErrorAnalysis
    judged: Estimate | None = None


Maker = Callable[[Case], Section]


def _attributes(case: Case) -> Section:
    test = load.samples(case.job.inputs["data"], "test", case.job.home)
    groups = dict(zip(test.ids_N.tolist(), test.groups_N.tolist(), strict=True))
    statistics = case.job.settings.config.statistics
    known = attributes.Known(
        case.train.space,
        case.analysis.flips,
        groups,
        case.new.oof,
        case.analysis.mistakes,
        case.train,
        statistics.draws,
        statistics.seed,
    )
    return attributes.section(known)


# In the order of the page.
MAKERS: tuple[Maker, ...] = (
    _attributes,
    oof_sections.on_truth,
    oof_sections.on_slices,
    oof_sections.on_suspects,
    oof_sections.on_calibration,
    oof_sections.on_robustness,
    oof_sections.on_why,
)


def sections(case: Case) -> tuple[Section, ...]:
    """The sections after the verdict, the flips and the mistakes."""
    return tuple(make(case) for make in MAKERS)


def side(job: Job, which: str, space: LabelSpace) -> Side:
    """One side of the comparison, `which` is "a" or "b".

    Raises:
        DataError: the CSV is not in the host's format.
    """
    config = job.settings.config.competition
    path = job.home / str(job.params[which])
    sample = host.sample(job.settings, job.inputs["data"], job.home)
    read = host_format.read(path, space, config.submission, sample)
    public = str(job.params.get(f"{which}_public", ""))
    artifact = beside.made_of(job.store, job.inputs["data"], path)
    score, oof, probabilities = None, None, read.probabilities
    if artifact is not None:
        m = artifact.metrics
        oof = load.oof(artifact, path.stem)
        probabilities = load.test(artifact, path.stem)
        name = f"oof_{metrics.get(config.metric).name}"
        score = Interval(m[name], m["ci_low"], m["ci_high"], 0) if name in m else None
    prediction = flips.Submission(
        path.stem, read.ids_N, read.labels_N, probabilities, score, float(public) if public else None
    )
    return Side(prediction, oof, artifact)
