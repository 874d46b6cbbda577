"""A competition whose truth is planted: two submissions, out-of-fold predictions, and a person who errs."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from pipeline.core.metrics import Metric
from pipeline.core.predictions import Probabilities
from pipeline.core.samples import Attribute, LabelSpace, Samples, strings
from pipeline.core.seeds import rng
from pipeline.errors.diff.flips import Submission, find_flips
from pipeline.errors.judging import estimate, sample

FACES = LabelSpace.product(
    [
        Attribute("age", ("young", "middle", "old"), constant_in_group=True),
        Attribute("gender", ("f", "m"), constant_in_group=True),
        Attribute("mask", ("on", "off", "odd")),
    ]
)
PER_PERSON = 4


@dataclass(frozen=True)
class World:
    """Test truth and answers, and the same out of fold."""

    truth_N: np.ndarray
    new: Submission
    old: Submission
    groups_N: np.ndarray
    train: Samples
    oof: tuple[Probabilities, Probabilities]


def world(seed, people=150, training=300, gain=0.05, space=FACES):
    """`gain`: by how much the new run errs less; errors of one person's photos go together."""
    draw = rng(seed, "planted")
    test = _split(draw, people, gain, space)
    train = _split(draw, training, gain, space)
    ids = strings([f"t{k:04d}" for k in range(len(test[0]))])
    train_ids = strings([f"x{k:04d}" for k in range(len(train[0]))])
    samples = Samples(train_ids, train_ids, train[3].astype(str), space, train[0], "train")
    oof = tuple(_one_hot(train_ids, labels, space) for labels in train[1:3])
    sides = [Submission(name, ids, labels) for name, labels in zip(("new", "old"), test[1:3], strict=True)]
    return World(test[0], *sides, test[3].astype(str), samples, oof)


def _one_hot(ids, labels, space):
    return Probabilities(ids, space.classes, np.eye(space.n_classes, dtype=np.float32)[labels])


def _split(draw, people, gain, space):
    person = np.repeat(np.arange(people), PER_PERSON)
    shared = draw.integers(0, 10**6, (people, 2))[person]
    codes = np.stack(
        [
            np.minimum((shared[:, 0] % 10) // 4, 2),  # the old are few
            shared[:, 1] % 2,
            draw.choice(3, len(person), p=[0.7, 0.15, 0.15]),
        ],
        axis=1,
    )
    sides = []
    hard = draw.random((people, 3))[person]  # a person who is taken for younger is so in all photos
    for bonus in (gain, 0.0):
        said = codes.copy()
        for a, values in enumerate(len(x.values) for x in space.attributes):
            error = np.array([0.22, 0.12, 0.05])[a] - bonus * [1, 0.6, 0.2][a]
            wrong = draw.random(len(person)) < np.where(hard[:, a] < 0.25, 2.5, 0.5) * error
            said[wrong, a] = (said[wrong, a] + draw.integers(1, values, int(wrong.sum()))) % values
        sides.append(_class(said, space))
    return _class(codes, space), *sides, person


def _class(codes, space):
    return (codes[:, None] == space.codes_CA).all(axis=2).argmax(axis=1)


def says(draw, codes, space, error, unsure):
    """A person's answer: wrong with `error` and open with `unsure`, an attribute each."""
    said = np.array(codes).copy()
    for a, attribute in enumerate(space.attributes):
        size = len(attribute.values)
        if draw.random() < error:
            said[a] = (said[a] + draw.integers(1, size)) % size
        if draw.random() < unsure:
            said[a] = -1
    return tuple(int(c) for c in said)


def judged(made: World, seed, asked=80, controls=30, error=0.08, unsure=0.05):
    """A person answers the whole sample and the controls."""
    space, draw = made.train.space, rng(seed, "person")
    flips = find_flips(space, made.new, made.old)
    design = sample.plan(space, flips, sample.pair_key(made.new, made.old), asked)
    index = {name: k for k, name in enumerate(made.new.ids_N.tolist())}
    at = np.array([index[name] for name in design.flips["id"][design.sampled_F]])
    said = [says(draw, space.codes_CA[made.truth_N[k]], space, error, unsure) for k in at]
    known = sample.controls(design, made.train, made.oof, controls)
    truth = np.array([space.codes_CA[c.truth] for c in known]).reshape(len(known), len(space.attributes))
    answers = np.array([says(draw, row, space, error, unsure) for row in truth]).reshape(truth.shape)
    found = estimate.JudgedImages(at, np.array(said), np.ones(len(at), dtype=bool), truth, answers)
    sides = estimate.SubmissionPair(
        made.new.labels_N, made.old.labels_N, sample.flips_of(made.new.ids_N, design), made.groups_N
    )
    return design, sides, found


def planted(metric: Metric, made: World) -> float:
    """The true difference on the test images."""
    n = made.train.space.n_classes
    return metric.score_labels(made.truth_N, made.new.labels_N, n) - metric.score_labels(
        made.truth_N, made.old.labels_N, n
    )


def agreed(made: World):
    return sample.agreed_out_of_fold(made.train, made.oof)


def table(rows):
    return pd.DataFrame(rows)
