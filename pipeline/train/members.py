"""The models of one fold: one, a bag of several, or a chain in which each learns from failures.

Owns which lessons a fold takes and how its models vote. Does not own one training
(`train/learners.py`), drawing parts of a training part (`resample/subsets.py`) or the arithmetic of
boosting (`train/members.py`).

Nothing here looks at the validation part: failures, weights and votes come from the training part. A
killed fold continues at the member that it was in; finished members are kept in its work folder.

Legend: N training samples, C classes.

Boosting's arithmetic: what a member's failures mean for the next one's weights, and for its vote.

Owns the formulas. Does not own training the members, nor where their failures are honest
(`train/members.py`).

Source: Zhu, Zou, Rosset & Hastie, Multi-class AdaBoost (Statistics and Its Interface 2, 2009),
algorithm 2 (SAMME): with C classes, a member of weighted error e has the vote
alpha = log((1 - e) / e) + log(C - 1), and what it failed is multiplied by exp(alpha). One departure:
members vote with their probabilities instead of their labels, since an ensemble blends probabilities.

Legend: N training samples, M members, C classes that occur.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import torch

from pipeline.core.errors import DataError
from pipeline.core.predictions import Probabilities
from pipeline.core.samples import Floats, positions
from pipeline.core.seeds import seed
from pipeline.core.targets import Target
from pipeline.nets.weights import State
from pipeline.resample import indices, subsets
from pipeline.resample.subsets import Bools
from pipeline.settings.members import ChainSettings
from pipeline.train import checkpoint, loop
from pipeline.train.committee import Committee
from pipeline.train.learners import Learner, Lesson, OnEpoch, silent


def alpha(failed_N: Bools, weights_N: Floats, n_classes: int) -> float:
    """A member's vote, ≥ 0: 0 where it is no better than guessing.

    Args:
        failed_N: which samples it got wrong.
        weights_N: what the samples weigh, ≥ 0; only their proportions count.
        n_classes: C, ≥ 2.
    """
    weights = weights_N.astype(np.float64)
    error = float(weights[failed_N].sum() / weights.sum())
    # A member without a failure would have an endless vote: half a sample is the finest that can be seen.
    least = 0.5 / len(failed_N)
    error = min(max(error, least), 1 - least)
    return max(float(np.log((1 - error) / error) + np.log(n_classes - 1)), 0.0)


def reweighted(weights_N: Floats, failed_N: Bools, vote: float, rate: float) -> Floats:
    """(N,) the next member's weights, with mean 1.

    Args:
        weights_N: of the member that failed.
        failed_N: which samples it got wrong.
        vote: its alpha; a member that was no better than guessing (0) changes no weight.
        rate: shrinks the step, above 0, at most 1.
    """
    weights = weights_N.astype(np.float64) * np.where(failed_N, np.exp(rate * vote), 1.0)
    return np.asarray(weights / weights.mean(), dtype=np.float32)


def vote_shares(votes: Sequence[float]) -> tuple[float, ...]:
    """The members' shares of the vote, summing to 1; equal where no member beats guessing."""
    total = sum(votes)
    return tuple(vote / total for vote in votes) if total > 0 else (1 / len(votes),) * len(votes)


log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Member:
    """One trained model.

    Args:
        state: its weights.
        p_NC: what it says of its lesson's validation samples.
        history: an entry an epoch.
        seconds: of training.
        rows: of its first epoch.
        mode: how its network computed; empty for a head.
    """

    state: State
    p_NC: Floats
    history: tuple[dict[str, float], ...]
    seconds: float
    rows: int
    mode: str = ""


@dataclass(frozen=True)
class Trained:
    """What a fold's training gave.

    Args:
        committee: its models and their shares of the vote.
        oof: their vote on the validation part.
        history: all epochs; entries of several models carry `member`.
        last: of each model the epoch that made its weights.
        seconds: of training, inner folds included.
        rows: that were trained on, over all epochs and models.
        lines: for people.
        tags: for manifests and MLflow.
    """

    committee: Committee
    oof: Probabilities
    history: tuple[dict[str, float], ...]
    last: tuple[dict[str, float], ...]
    seconds: float
    rows: int
    lines: tuple[str, ...] = ()
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def figures(self) -> dict[str, float]:
        """Summary figures; losses are means over the models, of the epochs that made their weights."""
        means = {n: float(np.mean([e[n] for e in self.last])) for n in ("valid_loss", "train_loss", "gap")}
        if "inner_score" in self.last[0]:
            means["chosen_epoch"] = float(np.mean([e["epoch"] for e in self.last]))
            means["inner_score"] = float(np.mean([e["inner_score"] for e in self.last]))
        return means | {
            "images_per_second": float(np.mean([e.get("images_per_second", 0.0) for e in self.history])),
            "seconds_per_row": self.seconds / max(self.rows, 1),
            "weights_mb": self.committee.megabytes,
            "models": float(len(self.committee.states)),
        }


def train(learner: Learner, lesson: Lesson) -> Trained:
    """Train the fold as `lesson.train` asks: one model, `bag`, or `chain`."""
    if lesson.train.chain is not None:
        return _chain(learner, lesson, lesson.train.chain)
    if lesson.train.bag is not None:
        return _bag(learner, lesson, lesson.train.bag)
    return _voted(lesson, [_fit(learner, lesson)], (1.0,))


def _bag(learner: Learner, lesson: Lesson, n: int) -> Trained:
    """Equal votes of models on bootstraps of the training part's groups."""
    made = []
    for m in range(n):
        drawn = subsets.bag(lesson.part, lesson.train.seed, m)
        made.append(_kept(learner, replace(_own(lesson, m), part=drawn), f"member{m}"))
    return _voted(lesson, made, (1 / n,) * n)


def _chain(learner: Learner, lesson: Lesson, chain: ChainSettings) -> Trained:
    """Each member learns from what the one before it failed; they vote by how often they are right."""
    labels_N = lesson.part.samples.labels
    n_classes = max(len(np.unique(labels_N)), 2)
    weights_N = np.ones(len(labels_N), np.float32)
    kept_N = np.ones(len(labels_N), bool)
    made: list[Member] = []
    votes: list[float] = []
    judging: list[Member] = []
    lines = []
    for m in range(chain.members):
        own = replace(_own(lesson, m), weights_N=weights_N if chain.mode == "weights" else None)
        member = _kept(learner, own.take(kept_N), f"member{m}")
        made.append(member)
        if m == chain.members - 1 and chain.combine == "mean":
            break
        failed_N, judges = _failed(learner, own, kept_N, member.state, m)
        judging += judges
        votes.append(alpha(failed_N, weights_N, n_classes))
        lines.append(
            f"member {m}: {kept_N.sum()} samples learned, {failed_N.mean():.1%} of the training part failed"
            f"{' (unseen, inner folds)' if chain.inner else ' (seen in training)'}, vote {votes[-1]:.2f}"
        )
        if chain.mode == "weights":
            weights_N = reweighted(weights_N, failed_N, votes[-1], chain.rate)
        else:
            kept_N = failed_N | subsets.some_of_each_class(
                labels_N, ~failed_N, chain.others, lesson.train.seed, lesson.part.fold, m
            )
    equal = chain.combine == "mean"
    shares = (1 / len(made),) * len(made) if equal else vote_shares(votes)
    return _voted(lesson, made, shares, judging, lines)


def _failed(learner: Learner, own: Lesson, kept_N: Bools, state: State, m: int) -> tuple[Bools, list[Member]]:
    """(N,) what the member's like gets wrong of the whole training part, and the models that tell.

    With inner folds, each sample is judged by a model of the same lesson that saw none of its group;
    without, by the member itself, also on what it learned.
    """
    assert own.train.chain is not None, "only a chain asks for failures"
    samples, inner = own.part.samples, own.train.chain.inner
    if not inner:
        p_NC = learner.predict(state, samples.ids_N, samples.space)
        return p_NC.argmax(axis=1) != samples.labels, []
    p_NC = np.zeros((len(samples), samples.space.n_classes), np.float32)
    judges = []
    for j, ids in enumerate(subsets.inner_folds(own.part, inner, own.train.seed, m)):
        out_N = np.isin(samples.ids_N, ids)
        if not (kept_N & ~out_N).any():
            raise DataError(
                f"train.chain: member {m} has nothing to learn outside inner fold {j}",
                remedy="raise train.chain.others, or set train.chain.inner=0",
            )
        name = f"member{m}-inner{j}"
        lesson = replace(_own(own, m, j), valid=samples.take(ids), on_epoch=silent)
        judge = _kept(learner, lesson.take(kept_N & ~out_N), name)
        p_NC[positions(ids, samples.ids_N, "inner fold")] = judge.p_NC
        judges.append(judge)
    return p_NC.argmax(axis=1) != samples.labels, judges


def _own(lesson: Lesson, *number: int) -> Lesson:
    """The lesson with draws of its own, and its curve after those of the members before it."""
    if number == (0,):
        return lesson
    train, rows = lesson.train, lesson.resample
    return replace(
        lesson,
        train=train.model_copy(update={"seed": seed(train.seed, "member", *number)}),
        resample=rows.model_copy(update={"seed": seed(rows.seed, "member", *number)}),
        on_epoch=partial(_later, lesson.on_epoch, number[0] * train.epochs),
    )


def _later(on_epoch: OnEpoch, by: int, fold: int, epoch: int, entry: dict[str, float]) -> bool:
    return on_epoch(fold, by + epoch, entry)


def _fit(learner: Learner, lesson: Lesson) -> Member:
    result, state = learner.fit(lesson)
    # A validation pass keeps the order of its samples: the ids are checked, not assumed.
    p_NC = result.oof.take(lesson.valid.ids_N).p_NC
    rows = len(indices.plan(lesson.part, lesson.resample).rows(0))
    return Member(state, p_NC, result.history, result.seconds, rows, result.extra.get("mode", ""))


def _kept(learner: Learner, lesson: Lesson, name: str) -> Member:
    """Train one of several models, or take it from the work folder where a killed run finished it."""
    folder = lesson.work / name
    path = folder / "done.pt"
    found = checkpoint.load(path)
    if found is not None:
        log.info("fold %d: %s was finished before the last run was stopped", lesson.part.fold, name)
        history = tuple(found["history"])
        p_NC = found["p"].numpy()
        return Member(found["state"], p_NC, history, found["seconds"], found["rows"], found["mode"])
    folder.mkdir(parents=True, exist_ok=True)
    made = _fit(learner, replace(lesson, work=folder))
    whole = {"state": made.state, "p": torch.from_numpy(made.p_NC.copy()), "history": list(made.history)}
    checkpoint.save(path, {**whole, "seconds": made.seconds, "rows": made.rows, "mode": made.mode})
    return made


def _voted(
    lesson: Lesson,
    made: Sequence[Member],
    shares: tuple[float, ...],
    judging: Sequence[Member] = (),
    lines: Sequence[str] = (),
) -> Trained:
    """The models as one; those that only judged cost time and have no vote."""
    samples = lesson.valid
    p_NC = np.einsum("m,mnc->nc", np.array(shares), np.stack([m.p_NC for m in made]).astype(np.float64))
    target = Target.of(samples.space)
    alone = len(made) == 1
    oof = Probabilities(
        samples.ids_N,
        samples.space.classes,
        made[0].p_NC if alone else target.normalised(p_NC),
        f"fold {lesson.part.fold}",
    )
    every = [*made, *judging]
    return Trained(
        Committee(tuple(m.state for m in made), shares),
        oof,
        made[0].history
        if alone
        else tuple({**e, "member": float(n)} for n, m in enumerate(made) for e in m.history),
        tuple(loop.predicting(m.history) for m in made),
        sum(m.seconds for m in every),
        sum(len(m.history) * m.rows for m in every),
        tuple(lines),
        {"mode": made[0].mode} if made[0].mode else {},
    )
