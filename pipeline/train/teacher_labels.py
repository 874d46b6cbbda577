"""What a fold learns from its teachers: pseudo-labels of unlabelled images, or soft labels (distillation).

Owns which unlabelled images are adopted with which labels, joining them to the training part, and blending
the teachers' soft labels. Does not own which models may teach (`train/teachers.py`).

Source: Lee, Pseudo-Label (ICML workshop 2013), the threshold; Zou et al., Unsupervised Domain Adaptation
via Class-Balanced Self-Training (ECCV 2018), the share per class.

Legend: N samples of the training part, U unlabelled images, C classes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from pipeline.core import metrics
from pipeline.core.samples import Floats, Ints, Samples, Strings, Truth, positions, strings
from pipeline.core.targets import EXCLUSIVE, LABELS, Target
from pipeline.core.voting import fitting, soft_voting
from pipeline.core.wording import worded
from pipeline.engine.stage import Job
from pipeline.record import files
from pipeline.resample.indices import Part
from pipeline.resample.subsets import Bools
from pipeline.settings.members import PseudoSettings
from pipeline.train import texts
from pipeline.train.members import Lesson
from pipeline.train.targets import targets_of
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
        said = [(p.ids_N, p.p_NC) for p in by_teacher]
        p_UC = mean_of(said, candidates.ids_N, Target.of(candidates.space))
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
        weights = fitting.fit_weights(by_teacher, samples.truth, metric)
    blend = soft_voting.soft_vote(by_teacher, weights, "teachers")
    label_NC = targets_of(samples).numpy()
    soft_NC = np.asarray(settings.soft * blend.p_NC + (1 - settings.soft) * label_NC, dtype=np.float32)
    # Of what is unknown the student learns what the teachers predict.
    soft_NC = np.where(np.isnan(label_NC), blend.p_NC, soft_NC)
    score = metric.score(samples.truth, blend.p_NC)
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
        of_split = adopted_labels(candidates, p_UC, settings)
        tables.append(of_split.table)
        chosen_U = of_split.chosen_U
        if chosen_U.any():
            part = join(part, candidates.take(candidates.ids_N[chosen_U]), of_split.truth_U[chosen_U])
            soft.append(np.where(of_split.sure_UC, p_UC, np.nan)[chosen_U])
    counts = pd.concat(tables).groupby("class", sort=False, as_index=False).sum()
    offered = sum(len(split.samples) for split in splits)
    adopted = len(part.samples) - len(lesson.part.samples)
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


@dataclass(frozen=True)
class Adopted:
    """What teachers say of unlabelled images, as far as it is learned.

    Args:
        chosen_U: which images are adopted.
        truth_U: (U,) their classes, or (U, C) which labels hold, NaN where the teachers are not sure.
        sure_UC: for which columns the teachers' probabilities count.
        table: per class or label, the images that teachers assigned to it (`given`), and those adopted.
    """

    chosen_U: Bools
    truth_U: Truth
    sure_UC: Bools
    table: pd.DataFrame


def adopted_labels(candidates: Samples, p_UC: Floats, settings: PseudoSettings) -> Adopted:
    """The adopted images with their classes, or with the labels of which the teachers are sure."""
    target = Target.of(candidates.space)
    target.require((EXCLUSIVE, LABELS), "train.pseudo")
    classes = candidates.space.classes
    if target.kind == EXCLUSIVE:
        chosen_U, labels_U = adopt(p_UC, settings), p_UC.argmax(axis=1).astype(np.int64)
        sure_UC = np.repeat(chosen_U[:, None], p_UC.shape[1], axis=1)
        return Adopted(chosen_U, labels_U, sure_UC, table(labels_U, chosen_U, classes))
    truth_UC = sure_labels(target, p_UC, settings)
    sure_UC = ~np.isnan(truth_UC)
    counts = {"given": target.held(p_UC).sum(axis=0), "adopted": (np.nan_to_num(truth_UC) > 0.5).sum(axis=0)}
    chosen_U = np.asarray(sure_UC.any(axis=1), dtype=np.bool_)
    return Adopted(chosen_U, truth_UC, sure_UC, pd.DataFrame({"class": classes, **counts}))


def sure_labels(target: Target, p_UC: Floats, settings: PseudoSettings) -> Floats:
    """(U, C) 1 or 0 where the teachers are sure enough of a label, and NaN elsewhere.

    A label holds with at least the threshold, or does not hold with at least the threshold. Teachers are
    more often sure that a rare label does not hold. So that the student does not learn it as rarer than it
    is, both sides are kept in the proportion of the teachers' mean probability, the most certain ones first.
    A label without a sure image on one side is not learned at all. A label of several levels is adopted as a
    class is.
    """
    truth_UC = np.full(p_UC.shape, np.nan, np.float32)
    inside = np.zeros(p_UC.shape[1], bool)
    for block in target.blocks:
        inside[block] = True
        sure_U = adopt(p_UC[:, block], settings)
        truth_UC[sure_U, block] = np.eye(block.stop - block.start)[p_UC[sure_U, block].argmax(axis=1)]
    for c in np.flatnonzero(~inside):
        p_U = p_UC[:, c]
        holds = _most_sure(p_U, settings)
        not_ = _most_sure(1 - p_U, settings)
        odds = float(p_U.mean(dtype=np.float64)) / max(1 - float(p_U.mean(dtype=np.float64)), 1e-9)
        n_holds = min(len(holds), round(len(not_) * odds))
        n_not = min(len(not_), round(n_holds / max(odds, 1e-9)))
        if n_holds and n_not:
            truth_UC[holds[:n_holds], c] = 1
            truth_UC[not_[:n_not], c] = 0
    return truth_UC


def _most_sure(p_U: Floats, settings: PseudoSettings) -> Ints:
    """Positions of the images with at least the threshold and above one half, the most certain ones first."""
    order = np.argsort(-p_U, kind="stable")
    sure = order[(p_U[order] >= settings.threshold) & (p_U[order] > 0.5)]
    return sure[: math.ceil(round(settings.share * int((p_U > 0.5).sum()), 9))].astype(np.int64)


def join(part: Part, adopted: Samples, truth_U: Truth) -> Part:
    """The training part followed by the adopted images, with the labels that the teachers gave them."""
    assert not len(np.intersect1d(part.samples.ids_N, adopted.ids_N)), "only unlabelled images are adopted"
    labelled = replace(adopted, split=part.samples.split).with_truth(truth_U, None)
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


def mean_of(teachers: list[tuple[Strings, Floats]], ids: Strings, target: Target) -> Floats:
    """(U, C) the mean of the teachers, joined by id."""
    aligned = [p_NC[positions(ids, known, "a teacher's images")] for known, p_NC in teachers]
    return target.normalised(np.mean(np.stack(aligned).astype(np.float64), axis=0))
