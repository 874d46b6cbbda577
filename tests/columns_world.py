"""Digits as labels that hold together, as values and as shares, predicted by two real runs; no store."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from types import SimpleNamespace

import numpy as np
from analyze_cases import facts_of
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression, Ridge

from pipeline.core import metrics, statistics
from pipeline.core.predictions import Interval, Prediction, Probabilities
from pipeline.core.samples import Attribute, LabelSpace, Samples
from pipeline.core.targets import Target
from pipeline.errors.case import ReportCase, Side
from pipeline.errors.diff.flips import Submission
from pipeline.settings.schema import Config

YES_NO = ("0", "1")
LEVELS = ("small", "middle", "large")
LABELS = LabelSpace.independent(
    [
        Attribute("odd", YES_NO),
        Attribute("loop", YES_NO),
        Attribute("size", LEVELS),
        Attribute("zero", YES_NO),
    ]
)
VALUES = LabelSpace.numbers(["digit", "ink"])
SHARES = LabelSpace((Attribute("look", LEVELS),), LEVELS, np.arange(3)[:, None], "shares")
METRICS = {"labels": "macro_f1", "values": "rmse", "shares": "kl"}
N_TRAIN, N_TEST, GROUP = 400, 100, 4


def truth_of(kind, digit, images):
    """(N, K) what is true of each digit."""
    level = np.eye(3)[np.minimum(digit // 4, 2)]
    if kind == "labels":
        plain = np.stack([digit % 2, np.isin(digit, (0, 6, 8, 9))], axis=1)
        return np.concatenate([plain, level, (digit == 0)[:, None]], axis=1).astype(np.float32)
    if kind == "values":
        return np.stack([digit, images.sum(axis=(1, 2)) * 10], axis=1).astype(np.float32)
    return (0.6 * level + 0.4 * np.roll(level, 1, axis=1)).astype(np.float32)


def predicted(target, x, y, fit, rows, strength):
    """Predictions of some rows by a model of others, a column at a time."""
    out = np.zeros((len(rows), target.n_columns))
    for k in range(target.n_columns):
        known = fit[~np.isnan(y[fit, k])]
        if target.kind == "labels":
            model = LogisticRegression(C=strength, max_iter=300).fit(x[known], y[known, k] > 0.5)
            out[:, k] = model.predict_proba(x[rows])[:, 1]
        else:
            out[:, k] = Ridge(alpha=1 / strength).fit(x[known], y[known, k]).predict(x[rows])
    if target.kind != "values":
        out = np.clip(out, 1e-4, 1)
    return target.normalised(out)


@cache
def world(kind: str) -> ReportCase:
    """A report on a better run against a worse one; `job` holds settings and words alone."""
    digits = load_digits()
    space = {"labels": LABELS, "values": VALUES, "shares": SHARES}[kind]
    target = Target.of(space)
    n = N_TRAIN + N_TEST
    images, digit = digits.images[:n], digits.target[:n]
    x = images.reshape(n, -1) / 16
    y = truth_of(kind, digit, images)
    if kind != "shares":
        y[7:N_TRAIN:23, 0] = np.nan
    ids = np.array([f"{'train' if i < N_TRAIN else 'test'}-{i:04d}.png" for i in range(n)])
    groups = np.array([f"g{i // GROUP}" for i in range(n)])
    here, there = np.arange(N_TRAIN), np.arange(N_TRAIN, n)
    train = Samples(ids[here], ids[here], groups[here], space, None, "train", y_NK=y[here])
    pixels = {}
    for i in range(n):
        grey = np.kron(images[i] * 15.9, np.ones((6, 6))).astype(np.uint8)
        pixels["train" if i < N_TRAIN else "test", ids[i]] = np.stack([grey] * 3, axis=2)
    metric = metrics.get(METRICS[kind])
    sides = []
    for name, part, strength in (("new", 64, 1.0), ("old", 32, 0.03)):
        seen, fold = x[:, :part], np.arange(N_TRAIN) // GROUP % 4
        oof = np.zeros((N_TRAIN, target.n_columns), np.float32)
        for k in range(4):
            rows = here[fold == k]
            oof[rows] = predicted(target, seen, y, here[fold != k], rows, strength)
        test = predicted(target, seen, y, here, there, strength)
        p_oof = Probabilities.of(target, ids[here], oof, name)
        p_test = Probabilities.of(target, ids[there], test, name)
        score = statistics.interval(metric, train.truth, oof, train.groups_N, 100, 0)
        answers = Prediction.of(p_test).answers
        sides.append(Side(Submission(name, ids[there], answers, p_test, score, None), p_oof, None))
    comparison = statistics.compare(
        metric, train.truth, sides[0].oof.p_NC, sides[1].oof.p_NC, train.groups_N, 100, 0
    )
    plain = Config()
    config = plain.model_copy(
        update={
            "competition": plain.competition.model_copy(update={"metric": metric.name, "title": "Digits"}),
            "statistics": plain.statistics.model_copy(update={"draws": 100}),
        }
    )
    words = {"competition": ("competition=digits",), "error-analysis": ("competition=digits",)}
    job = SimpleNamespace(
        settings=SimpleNamespace(config=config),
        words=words,
        words_of=lambda command, settings: words["competition"],
        inputs={"images": None},
        params={},
        store=SimpleNamespace(at=lambda address: None),
        facts=facts_of(pixels),
    )
    return ReportCase(job, train, *sides, comparison, lambda split, name: pixels[split, name])


def first(case: ReportCase) -> ReportCase:
    """The same as a first submission."""
    return replace(case, old=None, comparison=None)


def outside(case: ReportCase) -> ReportCase:
    """The same as a CSV from elsewhere."""
    side = replace(
        case.new, prediction=replace(case.new.prediction, probabilities=None, score=None), oof=None
    )
    return replace(case, new=side, comparison=None)


def score() -> Interval:
    """A score."""
    return Interval(0.7, 0.6, 0.8, 100)
