"""What a fold learns from its teachers: pseudo-labels of unlabelled images, or soft labels (distillation).

Owns which unlabelled images are adopted with which labels, joining them to the training part, and blending
the teachers' soft labels. Does not own which models may teach (`train/teachers.py`).

Source: Lee, Pseudo-Label (ICML workshop 2013), the threshold; Zou et al., Unsupervised Domain Adaptation
via Class-Balanced Self-Training (ECCV 2018), the share per class.

Legend: N samples of the training part, U unlabelled images, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from pipeline.core import metrics
from pipeline.core.samples import Floats, Ints, Samples, Strings, positions, strings
from pipeline.core.targets import normalised
from pipeline.core.voting import fitting, soft_voting
from pipeline.core.wording import worded
from pipeline.engine.stage import Job
from pipeline.record import files
from pipeline.resample.indices import Part
from pipeline.resample.subsets import Bools
from pipeline.settings.members import PseudoSettings
from pipeline.train import texts
from pipeline.train.members import Lesson
from pipeline.train.teachers import PREDICTIONS, TEACHER, allowed, refuse_seen, unlabelled

TABLE = "pseudo.csv"


@dataclass(frozen=True)
class LessonWithTeachers:
    """A lesson with what its teachers added.

    Args:
        lesson: with the adopted images, or with soft labels.
        adopted: per class, the candidates and the adopted images; None without pseudo-labels.
    """

    lesson: Lesson
    adopted: pd.DataFrame | None = None
    figures: dict[str, float] = field(default_factory=dict)
    lines: tuple[str, ...] = ()


def add(job: Job, lesson: Lesson, valid: Samples | None) -> LessonWithTeachers:
    """The lesson with pseudo-labels (`train.pseudo`) or soft labels (`train.distill`), or else unchanged.

    `valid` is the validation part of the fold; None for a model of all data.

    Raises:
        DataError: a teacher has seen labels of the validation part.
    """
    if lesson.train.distill is not None:
        return _with_soft_labels(job, lesson, valid)
    if lesson.train.pseudo is None:
        return LessonWithTeachers(lesson)
    teachers = {name: a for name, a in job.inputs.items() if name.startswith(TEACHER)}
    if valid is not None:
        refuse_seen(list(teachers.values()), valid.ids_N, lesson.part.fold)
    held_out = [part.groups_N for part in (valid, lesson.inner) if part is not None]
    groups = np.unique(np.concatenate(held_out)) if held_out else strings([])
    splits = []
    for split in sorted({name.rpartition(":")[2] for name in teachers}):
        every = unlabelled(job.inputs["data"], job.home, split)
        candidates = allowed(every, groups)
        of_split = [a for name, a in teachers.items() if name.endswith(f":{split}")]
        by_teacher = [files.read_probabilities(a.folder / PREDICTIONS, a.key) for a in of_split]
        p_UC = mean_of([(p.ids_N, p.p_NC) for p in by_teacher], candidates.ids_N)
        splits.append(_Candidates(candidates, p_UC, len(every) - len(candidates)))
    return _with_pseudo_labels(lesson, splits)


@dataclass(frozen=True)
class _Candidates:
    """Unlabelled images of one split, the teachers' mean for them, and how many others are held out."""

    samples: Samples
    p_UC: Floats
    held_out: int


def _with_soft_labels(job: Job, lesson: Lesson, valid: Samples | None) -> LessonWithTeachers:
    """The lesson with the teachers' blend in place of labels; its weights are fitted on this part alone."""
    settings = lesson.train.distill
    assert settings is not None, "called for train.distill only"
    teachers = {n.split(":")[1]: a for n, a in job.inputs.items() if n.startswith(TEACHER)}
    if valid is not None:
        refuse_seen(list(teachers.values()), valid.ids_N, lesson.part.fold)
    samples = lesson.part.samples
    paths = {name: artifact.folder / PREDICTIONS for name, artifact in teachers.items()}
    by_teacher = [files.read_probabilities(p, name).take(samples.ids_N) for name, p in paths.items()]
    metric = metrics.get(job.settings.config.competition.metric)
    # Without inner parts the teachers have learned these labels, so their scores say nothing: equal weights.
    weights = (1 / len(by_teacher),) * len(by_teacher)
    if settings.inner:
        weights = fitting.fit_weights(by_teacher, samples.labels, metric)
    blend = soft_voting.soft_vote(by_teacher, weights, "teachers")
    label_NC = np.eye(samples.space.n_classes, dtype=np.float32)[samples.labels]
    soft_NC = np.asarray(settings.soft * blend.p_NC + (1 - settings.soft) * label_NC, dtype=np.float32)
    score = metric.score(samples.labels, blend.p_NC)
    line = texts.SOFT_LABELS.format(
        teachers=", ".join(f"{n} {w:.2f}" for n, w in zip(teachers, weights, strict=True)),
        how=texts.NESTED_IN.format(parts=settings.inner) if settings.inner else texts.LEARNED_BY_TEACHERS,
        metric=metric.name,
        score=score,
    )
    student = replace(lesson, soft_NC=soft_NC)
    return LessonWithTeachers(student, figures={"teachers_score": score}, lines=(line,))


def _with_pseudo_labels(lesson: Lesson, splits: Sequence[_Candidates]) -> LessonWithTeachers:
    settings = lesson.train.pseudo
    assert settings is not None, "called for train.pseudo only"
    part, soft, tables = lesson.part, [], []
    for split in splits:
        candidates, p_UC = split.samples, split.p_UC
        chosen_U, labels_U = adopt(p_UC, settings), p_UC.argmax(axis=1).astype(np.int64)
        tables.append(table(labels_U, chosen_U, candidates.space.classes))
        if chosen_U.any():
            part = join(part, candidates.take(candidates.ids_N[chosen_U]), labels_U[chosen_U])
            soft.append(p_UC[chosen_U])
    counts = pd.concat(tables).groupby("class", sort=False, as_index=False).sum()
    offered, adopted = int(counts["given"].sum()), int(counts["adopted"].sum())
    held_out = sum(split.held_out for split in splits)
    soft_NC = soft_targets(part, np.concatenate(soft)) if settings.soft and soft else None
    classes = ", ".join(f"{c} {n}" for c, n in zip(counts["class"], counts["adopted"], strict=True) if n)
    lines = [texts.ADOPTED.format(adopted=adopted, offered=offered, classes=classes or "none is sure enough")]
    if held_out:
        lines.append(worded(texts.NOT_ADOPTED, images=held_out))
    if settings.test_images:
        lines.append(texts.TEST_IMAGES_LEARNED)
    figures = {"pseudo_offered": float(offered), "pseudo_adopted": float(adopted)}
    figures["pseudo_same_group"] = float(held_out)
    return LessonWithTeachers(replace(lesson, part=part, soft_NC=soft_NC), counts, figures, tuple(lines))


def adopt(p_UC: Floats, settings: PseudoSettings) -> Bools:
    """(U,) which images are adopted: above the threshold, and among the most certain of their class."""
    label_U, top_U = p_UC.argmax(axis=1), p_UC.max(axis=1)
    chosen_U = np.zeros(len(p_UC), bool)
    for c in np.unique(label_U):
        of_class = np.flatnonzero(label_U == c)
        first = of_class[np.argsort(-top_U[of_class], kind="stable")]
        chosen_U[first[: int(np.ceil(round(settings.share * len(of_class), 9)))]] = True
    return np.asarray(chosen_U & (top_U >= settings.threshold), dtype=np.bool_)


def join(part: Part, adopted: Samples, labels_U: Ints) -> Part:
    """The training part followed by the adopted images, with the labels that the teachers gave them."""
    assert not len(np.intersect1d(part.samples.ids_N, adopted.ids_N)), "only unlabelled images are adopted"
    labelled = replace(adopted, labels_N=labels_U, split=part.samples.split)
    times = part.times_N
    if times is not None:
        times = np.r_[times, np.ones(len(labelled), np.int64)]
    return replace(part, samples=part.samples.joined(labelled), times_N=times)


def soft_targets(part: Part, p_UC: Floats) -> Floats:
    """(N + U, C) soft labels of a joined part: NaN for its own images, which keep their labels."""
    own = np.full((len(part.samples) - len(p_UC), p_UC.shape[1]), np.nan, np.float32)
    return np.concatenate([own, p_UC]).astype(np.float32)


def table(labels_U: Ints, chosen_U: Bools, classes: tuple[str, ...]) -> pd.DataFrame:
    """Per class: the images that teachers assigned to it (`given`), and how many of them were adopted."""
    given = np.bincount(labels_U, minlength=len(classes))
    adopted = np.bincount(labels_U[chosen_U], minlength=len(classes))
    return pd.DataFrame({"class": classes, "given": given, "adopted": adopted})


def mean_of(teachers: list[tuple[Strings, Floats]], ids: Strings) -> Floats:
    """(U, C) the mean of the teachers, joined by id."""
    aligned = [p_NC[positions(ids, known, "a teacher's images")] for known, p_NC in teachers]
    return normalised(np.mean(np.stack(aligned).astype(np.float64), axis=0))
