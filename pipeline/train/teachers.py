"""Who may teach whom: fold k's student learns from fold k's own teachers, and from nobody else.

Owns the teachers' rule, the samples that a fold adopts, and the images that its learner sees. Does not
own the choice among them (`train/teachers.py`) nor what teachers say (`train/stage_teach.py`).

A student of plain out-of-fold labels learns its own validation labels: the labels of fold k shaped every
model that predicted the other folds' images (measured: OOF .74 instead of .35). Hence:

- a teacher is a model of the same fold of the same fold plan, checked by the ids that it has seen;
- pseudo-labels are given to unlabelled images only; soft labels of labelled ones (distillation) come from
  models that learned neither their own group nor anything of fold k: inner folds of its training part, or at
  least from models of fold k;
- an unlabelled image whose group validates in fold k, or is in its inner split, stays out of fold k.

Which unlabelled images a student adopts, with which labels, and joining them to its training part.

Owns the choice and the fence around the validation part. Does not own who may teach whom
(`train/teachers.py`).

Source: Lee, Pseudo-Label (ICML workshop 2013), the threshold; Zou et al., Unsupervised Domain Adaptation
via Class-Balanced Self-Training (ECCV 2018), the share a class.

Legend: N samples of the training part, U unlabelled images, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.core import metrics
from pipeline.core.errors import DataError
from pipeline.core.predictions import Features
from pipeline.core.samples import Floats, Ints, Samples, Strings, positions, strings
from pipeline.core.targets import normalised
from pipeline.core.voting import fitting, soft_voting
from pipeline.data import load
from pipeline.data.images import PreparedImages
from pipeline.data.loader import Chained
from pipeline.engine.stage import Job
from pipeline.nets.stages import is_probe, probe_views
from pipeline.record import files
from pipeline.record.store import Artifact
from pipeline.resample.indices import Part
from pipeline.resample.subsets import Bools
from pipeline.settings.members import PseudoSettings
from pipeline.train import init_from
from pipeline.train.learners import Learner, Lesson, Network, Probe
from pipeline.train.teaching import TEACHER

TEST = "test"


def test_ids(samples: Samples) -> Samples:
    """Test images as they are called beside training images, whose ids they may share.

    So may their groups, where these are the ids: two tables that both count from 0 say nothing.
    """
    ids = strings([f"{TEST}/{name}" for name in samples.ids_N.tolist()])
    alone = np.array_equal(samples.ids_N, samples.groups_N)
    return replace(samples, ids_N=ids, groups_N=ids if alone else samples.groups_N)


def allowed(unlabelled: Samples, validating: Strings) -> Samples:
    """The unlabelled images whose group does not validate: another photo of a person is no stranger.

    Args:
        unlabelled: candidates.
        validating: groups of the fold's validation part.
    """
    return unlabelled.take(unlabelled.ids_N[~np.isin(unlabelled.groups_N, validating)])


def adopt(p_UC: Floats, settings: PseudoSettings) -> Bools:
    """(U,) which images are adopted: sure enough, and among the surest of those given their class."""
    label_U, sure_U = p_UC.argmax(axis=1), p_UC.max(axis=1)
    chosen_U = np.zeros(len(p_UC), bool)
    for c in np.unique(label_U):
        of_class = np.flatnonzero(label_U == c)
        surest = of_class[np.argsort(-sure_U[of_class], kind="stable")]
        chosen_U[surest[: int(np.ceil(round(settings.share * len(of_class), 9)))]] = True
    return np.asarray(chosen_U & (sure_U >= settings.threshold), dtype=np.bool_)


def join(part: Part, adopted: Samples, labels_U: Ints) -> Part:
    """The training part and then the adopted images, under the labels that teachers gave them."""
    assert not len(np.intersect1d(part.samples.ids_N, adopted.ids_N)), "only unlabelled images are adopted"
    labelled = replace(adopted, labels_N=labels_U, split=part.samples.split)
    times = part.times_N
    return replace(
        part,
        samples=part.samples.joined(labelled),
        times_N=None if times is None else np.r_[times, np.ones(len(labelled), np.int64)],
    )


def soft_targets(part: Part, p_UC: Floats) -> Floats:
    """(N + U, C) what teachers say of a joined part: NaN for its own images, whose labels count."""
    own = np.full((len(part.samples) - len(p_UC), p_UC.shape[1]), np.nan, np.float32)
    return np.concatenate([own, p_UC]).astype(np.float32)


def table(labels_U: Ints, chosen_U: Bools, classes: tuple[str, ...]) -> pd.DataFrame:
    """Per class: images that teachers gave it, and how many of them were adopted."""
    given = np.bincount(labels_U, minlength=len(classes))
    adopted = np.bincount(labels_U[chosen_U], minlength=len(classes))
    return pd.DataFrame({"class": classes, "given": given, "adopted": adopted})


def mean_of(teachers: list[tuple[Strings, Floats]], ids: Strings) -> Floats:
    """(U, C) the teachers' mean, joined by id."""
    found = [p_NC[positions(ids, known, "a teacher's images")] for known, p_NC in teachers]
    mean = np.mean(np.stack(found).astype(np.float64), axis=0)
    return normalised(mean)


TABLE = "pseudo.csv"
SAID = "said.npz"
SEEN = "seen.npy"


@dataclass(frozen=True)
class Taught:
    """A lesson with what its teachers added.

    Args:
        lesson: with the adopted images.
        adopted: given and adopted images of each class; None without pseudo-labels.
        figures: for manifests and MLflow.
        lines: for people.
    """

    lesson: Lesson
    adopted: pd.DataFrame | None = None
    figures: dict[str, float] = field(default_factory=dict)
    lines: tuple[str, ...] = ()


def learner(job: Job) -> Learner:
    """What learns in this experiment, seeing the images of every sample that a lesson may hold."""
    config, inputs = job.settings.config, dict(job.inputs)
    with_test = config.train.pseudo is not None and config.train.pseudo.test_images
    if not is_probe(job.settings):
        images, start = load.prepared(inputs["prepared"], "train"), init_from.of(job)
        if not with_test:
            return Network(config, images, job.home, job.work, start)
        test = load.prepared(inputs["prepared"], "test")
        both = Chained(images, PreparedImages(_called(test.ids_N), test.x_NHWC))
        return Network(config, both, job.home, job.work, start)
    names = list(probe_views(job.settings))
    own = load.features(inputs, "train", names)
    if not with_test:
        return Probe(config, own)
    more = load.features(inputs, "test", names)
    ids = strings([*own.ids_N.tolist(), *_called(more.ids_N).tolist()])
    return Probe(config, Features(ids, own.views, np.concatenate([own.x_NVD, more.x_NVD]), own.digest))


def _called(ids: Strings) -> Strings:
    return strings([f"{TEST}/{name}" for name in ids.tolist()])


def own_part(job: Job) -> Samples:
    """The labelled images that a fold learns, or all of them where no fold is named."""
    known = load.training(job.inputs["data"], job.home)
    if "fold" not in job.params:
        return known
    return known.take(load.plan(job.inputs["folds"]).splits[int(job.params["fold"])].train_ids)


def unlabelled(data: Artifact, home: Path, split: str) -> Samples:
    """The images that may be adopted of one split: `unlabelled`, or `test`."""
    found = load.samples(data, split, home)
    return test_ids(found) if split == TEST else found


def taught(job: Job, lesson: Lesson, validating: Samples | None) -> Taught:
    """The lesson with the images that its teachers are sure of; itself without `train.pseudo`.

    Args:
        job: of the student.
        lesson: on the labelled training part.
        validating: the fold's validation part; None where nothing validates.

    Raises:
        DataError: a teacher has seen labels of the validation part.
    """
    settings = lesson.train.pseudo
    if lesson.train.distill is not None:
        return _distilled(job, lesson, validating)
    if settings is None:
        return Taught(lesson)
    teachers = {name: a for name, a in job.inputs.items() if name.startswith(TEACHER)}
    if validating is not None:
        refuse_seen(list(teachers.values()), validating.ids_N, lesson.part.fold)
    held_out = [part.groups_N for part in (validating, lesson.inner) if part is not None]
    groups = np.unique(np.concatenate(held_out)) if held_out else strings([])
    parts, said = [], []
    for split in sorted({name.rpartition(":")[2] for name in teachers}):
        whole = unlabelled(job.inputs["data"], job.home, split)
        found = allowed(whole, groups)
        of_split = [a for name, a in teachers.items() if name.endswith(f":{split}")]
        opinions = [files.read_probabilities(a.folder / SAID, a.key) for a in of_split]
        parts.append((found, len(whole) - len(found)))
        said.append(mean_of([(p.ids_N, p.p_NC) for p in opinions], found.ids_N))
    return _adopted(lesson, parts, said)


def refuse_seen(teachers: Sequence[Artifact], valid_ids: Strings, fold: int) -> None:
    """The teachers' rule: none of them may have learned a label that validates here.

    Raises:
        DataError: naming the teacher and how many of the labels it has seen.
    """
    for teacher in teachers:
        seen = np.intersect1d(np.load(teacher.folder / SEEN), valid_ids)
        if len(seen):
            raise DataError(
                f"teacher {teacher.key} knows {len(seen)} labels that validate in its student's fold {fold}",
                [str(name) for name in seen],
                "a fold's teacher is the same fold of the same fold plan",
            )


def _distilled(job: Job, lesson: Lesson, validating: Samples | None) -> Taught:
    """The lesson with the teachers' blend in place of labels; its weights are fitted on this part alone."""
    settings = lesson.train.distill
    assert settings is not None, "only a student is distilled into"
    teachers = {n.split(":")[1]: a for n, a in job.inputs.items() if n.startswith(TEACHER)}
    if validating is not None:
        refuse_seen(list(teachers.values()), validating.ids_N, lesson.part.fold)
    known = lesson.part.samples
    said = [files.read_probabilities(a.folder / SAID, n).take(known.ids_N) for n, a in teachers.items()]
    metric = metrics.get(job.settings.config.competition.metric)
    # What models say of images that they learned says nothing of how good they are: equal weights.
    weights = (
        fitting.fit_weights(said, known.labels, metric) if settings.inner else (1 / len(said),) * len(said)
    )
    blend = soft_voting.soft_vote(said, weights, "teachers")
    label_NC = np.eye(known.space.n_classes, dtype=np.float32)[known.labels]
    soft_NC = np.asarray(settings.soft * blend.p_NC + (1 - settings.soft) * label_NC, dtype=np.float32)
    score = metric.score(known.labels, blend.p_NC)
    shown = ", ".join(f"{n} {w:.2f}" for n, w in zip(teachers, weights, strict=True))
    how = f"nested in {settings.inner} inner parts" if settings.inner else "of images that they learned"
    told = f"soft labels of {shown}, {how}: {metric.name} {score:.4f} on the training part"
    return Taught(replace(lesson, soft_NC=soft_NC), figures={"teachers_score": score}, lines=(told,))


def _adopted(lesson: Lesson, parts: list[tuple[Samples, int]], said: list[Floats]) -> Taught:
    settings = lesson.train.pseudo
    assert settings is not None, "only pseudo-labels are adopted"
    part, soft = lesson.part, []
    tables = []
    for (found, _), p_UC in zip(parts, said, strict=True):
        chosen_U, labels_U = adopt(p_UC, settings), p_UC.argmax(axis=1).astype(np.int64)
        tables.append(table(labels_U, chosen_U, found.space.classes))
        if chosen_U.any():
            part = join(part, found.take(found.ids_N[chosen_U]), labels_U[chosen_U])
            soft.append(p_UC[chosen_U])
    counts = pd.concat(tables).groupby("class", sort=False, as_index=False).sum()
    offered, adopted = int(counts["given"].sum()), int(counts["adopted"].sum())
    out = sum(left for _, left in parts)
    soft_NC = soft_targets(part, np.concatenate(soft)) if settings.soft and soft else None
    shown = ", ".join(f"{c} {n}" for c, n in zip(counts["class"], counts["adopted"], strict=True) if n)
    lines = [f"pseudo-labels: {adopted} of {offered} unlabelled images adopted ({shown or 'none was sure'})"]
    if out:
        lines.append(f"pseudo-labels: {out} images stay out, because their group is held out here")
    if settings.test_images:
        lines.append("warning: test images are learned (test_images): the competition's rules may forbid it")
    figures = {
        "pseudo_offered": float(offered),
        "pseudo_adopted": float(adopted),
        "pseudo_same_group": float(out),
    }
    return Taught(replace(lesson, part=part, soft_NC=soft_NC), counts, figures, tuple(lines))
