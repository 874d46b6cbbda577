"""Thousands of classes of a few images: softmax, ArcFace, the nearest neighbours and their blends.

    python benchmarks/retrieval.py                      frozen lite0, two splits: two minutes on one core
    python benchmarks/retrieval.py --arms softmax 'arcface .5' 'sub-centres 3'
    python benchmarks/retrieval.py --how full --arms softmax arcface --splits 1 --epochs 10
    python benchmarks/retrieval.py --quick              a smoke test: 200 concepts, one split

A class is a concept of the emoji demo (its skin tones and genders are one), which two artists drew. Of each
class half of the drawings train, at least one; the others are asked for, often in the other artist's style. A
fifth of the classes has no training image: the right answer of their drawings is `new`, the new class. Each
split draws anew what trains and which classes are unknown.

`map@5` and `first` (accuracy) are of the known classes alone; `with new` is MAP@5 of all test drawings after
the step `new_class`, its threshold fitted on one half of the test classes and scored on the other.
"""

import argparse
import json
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pipeline.core import metrics
from pipeline.core.samples import Attribute, LabelSpace, Samples, TrainRows, strings
from pipeline.core.seeds import rng
from pipeline.core.targets import normalised
from pipeline.data.images import PreparedImages
from pipeline.ensemble import new_class
from pipeline.nets.cosine import Angles
from pipeline.settings.augment import AugmentSettings
from pipeline.settings.competition import EmojiDemo
from pipeline.settings.loss import LossSettings
from pipeline.settings.model import ModelSettings
from pipeline.settings.train import TrainSettings

NEW = "new"


USUAL = ("softmax", "cosine", "arcface", "knn", "knn + softmax", "knn + arcface")


@dataclass(frozen=True)
class Arm:
    """A way of answering: settings of `train`, `model` and `loss`; or the names of arms to blend."""

    train: dict
    model: dict
    loss: dict
    of: tuple = ()


def arm(train=None, model=None, loss=None, of=()):
    return Arm(train or {}, model or {}, loss or {}, of)


COSINE = {"heads": "cosine"}
ARMS = {
    "softmax": arm(),
    "cosine": arm(model=COSINE),
    "arcface": arm(model=COSINE, loss={"name": "arcface"}),
    "arcface .5": arm(model=COSINE, loss={"name": "arcface", "margin": 0.5}),
    "sub-centres 3": arm(model={**COSINE, "centres": 3}, loss={"name": "arcface"}),
    "knn": arm({"head": "knn"}),
    "knn + softmax": arm(of=("knn", "softmax")),
    "knn + arcface": arm(of=("knn", "arcface")),
}


def main(words=None):
    asked = arguments(words)
    torch.set_num_threads(asked.threads)
    pool, samples = drawings(asked)
    features = None if asked.how == "full" else features_of(pool)
    rows = {name: [] for name in asked.arms}
    for seed in range(asked.splits):
        train, test = split(samples, seed)
        p_ANC, seconds = {}, {}
        for name in sorted(asked.arms, key=lambda name: len(ARMS[name].of)):
            started = time.perf_counter()
            if ARMS[name].of:
                parts = [p_ANC[part] for part in ARMS[name].of]
                p_ANC[name] = normalised(np.mean(parts, axis=0))
            else:
                p_ANC[name] = predictions(asked, pool, features, ARMS[name], train, test, seed)
            seconds[name] = time.perf_counter() - started
            rows[name].append({**scores(p_ANC[name], test), "seconds": seconds[name]})
            print(name, rows[name][-1], file=sys.stderr)
    print(f"{len(train)} drawings of {len(np.unique(train.labels))} classes train, {len(test)} are asked for")
    print(f"{'':15}{'map@5':>14}{'first':>14}{'with new':>14}{'seconds':>9}")
    for name in asked.arms:
        cells = [spread([row[key] for row in rows[name]]) for key in ("map@5", "first", "with new")]
        seconds = np.mean([row["seconds"] for row in rows[name]])
        print(f"{name:15}{cells[0]:>14}{cells[1]:>14}{cells[2]:>14}{seconds:9.1f}")
    if asked.out:
        Path(asked.out).write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    return 0


def arguments(words):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--how", choices=["probe", "full"], default="probe", help="heads, or all weights")
    parser.add_argument("--splits", type=int, default=2)
    parser.add_argument("--concepts", type=int, help="only so many classes")
    parser.add_argument("--size", type=int, default=64, help="px")
    parser.add_argument("--epochs", type=int, help="default: 15 for heads, 10 for all weights")
    parser.add_argument("--lr", type=float, help="default: 0.01 for heads, 0.001 for all weights")
    parser.add_argument("--k", type=int, default=TrainSettings().head_k)
    parser.add_argument("--temperature", type=float, default=TrainSettings().head_temperature)
    parser.add_argument("--scale", type=float, default=ModelSettings().scale)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=list(USUAL))
    parser.add_argument("--out", help="JSON of all figures")
    parser.add_argument("--quick", action="store_true", help="200 concepts, one split, two epochs")
    asked = parser.parse_args(words)
    if asked.quick:
        asked.concepts, asked.splits, asked.epochs = asked.concepts or 200, 1, asked.epochs or 2
    return asked


def spread(values):
    """The mean and, of several splits, its standard error."""
    error = np.std(values, ddof=1) / len(values) ** 0.5 if len(values) > 1 else 0
    return f"{np.mean(values):.3f} ± {error:.3f}"


# ---- drawings


def drawings(asked):
    """The demo's drawings of every concept with two of them at least, and their samples."""
    from pipeline.data.demo import emoji

    found = emoji.pictures(EmojiDemo(tail_ratio=1.0))
    names, class_N, counts = np.unique([p.group for p in found], return_inverse=True, return_counts=True)
    enough = np.flatnonzero(counts >= 2)[: asked.concepts]
    some = [(p, int(np.searchsorted(enough, c))) for p, c in zip(found, class_N, strict=True) if c in enough]
    size = (asked.size, asked.size)
    x_NHWC = np.stack([np.asarray(p.draw().resize(size), np.uint8) for p, _ in some])
    ids = strings([p.id for p, _ in some])
    space = LabelSpace.product([Attribute("concept", (*names[enough].tolist(), NEW))])
    labels = np.array([c for _, c in some], np.int64)
    return PreparedImages(ids, x_NHWC, 3), Samples(ids, ids, ids, space, labels, "train")


def split(samples, seed):
    """(training part, test part): labels of unknown classes are the new class in the test part."""
    n_classes = samples.space.n_classes - 1
    unknown = rng(seed, "unknown").permutation(n_classes)[: n_classes // 5]
    order = rng(seed, "halves").permutation(len(samples))
    trains = np.zeros(len(samples), bool)
    for label in range(n_classes):
        own = order[samples.labels[order] == label]
        trains[own[: 0 if label in unknown else max(len(own) // 2, 1)]] = True
    test = samples.take(samples.ids_N[~trains])
    scored = np.where(np.isin(test.labels, unknown), n_classes, test.labels)
    groups = strings([f"c{label}" for label in test.labels.tolist()])
    test = Samples(test.ids_N, test.paths_N, groups, samples.space, scored, "train")
    return samples.take(samples.ids_N[trains]), test


# ---- answers


def features_of(pool):
    """(N, V, D) of the frozen backbone, as drawn and mirrored."""
    from pipeline.nets import forward, model
    from pipeline.nets.forward import Pass
    from pipeline.nets.views import parse

    network = model.to_device(model.build(ModelSettings(), 2, 0, pool.x_NHWC.shape[1:3]), "cpu")
    views = [parse("identity"), parse("hflip")]
    return forward.extract(network, pool, pool.ids_N, views, Pass("cpu"))


def predictions(asked, pool, features, one, train, test, seed):
    """(N, C) probabilities of the test part."""
    full = features is None
    usual = {"epochs": asked.epochs or (10 if full else 15), "lr": asked.lr or (0.001 if full else 0.01)}
    usual |= {"batch_size": 32 if full else 128, "weight_decay": 0.05 if full else 0.1}
    knn = {"head_k": asked.k, "head_temperature": asked.temperature} if one.train.get("head") == "knn" else {}
    model = ModelSettings(**one.model, **({"scale": asked.scale} if one.model else {}))
    shared = {
        "fold": 0,
        "loss": LossSettings(**one.loss),
        "train": TrainSettings(**{**usual, **one.train, **knn, "seed": seed}),
        "train_samples": train,
        "valid_samples": test,
        "rows": lambda epoch: TrainRows.of(np.arange(len(train))),
        "metric": metrics.get("map@5").score,
    }
    if not full:
        from pipeline.train import batched_heads, solved_heads
        from pipeline.train.heads import HeadJob

        fit = solved_heads if shared["train"].solved else batched_heads
        return fit.fit_heads([HeadJob(features=features, angles=Angles.of(model), **shared)])[
            0
        ].result.oof.p_NC
    from pipeline.train.job import FoldJob
    from pipeline.train.loop import fit

    job = FoldJob(
        model=model, augment=AugmentSettings(policy="light"), images=pool, threads=asked.threads, **shared
    )
    with tempfile.TemporaryDirectory() as work:
        return fit(job, Path(work))[0].oof.p_NC


# ---- figures


def scores(p_NC, test):
    """The figures of one arm and split."""
    new, labels = test.space.n_classes - 1, test.labels
    known, best = labels != new, metrics.get("map@5")
    halves = np.array([int(group[1:]) % 2 for group in test.groups_N.tolist()])
    decided = np.empty_like(p_NC)
    for half in (0, 1):
        fit_on = halves != half
        threshold, own = new_class.fit_threshold(p_NC[fit_on], labels[fit_on], new, best)
        decided[~fit_on] = new_class.apply(p_NC[~fit_on], new, threshold, own)
    return {
        "map@5": best.score(labels[known], p_NC[known]),
        "first": float((p_NC[known].argmax(1) == labels[known]).mean()),
        "with new": best.score(labels, decided),
        "without": best.score(labels, p_NC),
    }


if __name__ == "__main__":
    sys.exit(main())
