"""The cost of heads against that of their features: 5 folds × 3 seeds of linear heads, in one run.

    python benchmarks/heads.py                   about two minutes on one free core
    python benchmarks/heads.py --threads 2 --classes 100

Times the pass of EfficientNet-lite0 over a sample of images at 96 px, one view, and the training of all heads
on 6,000 × 1,280 features with the settings of `experiment=probe`, validation of each epoch included. The pass
is timed before, between and after, so that a busy machine slows both. The features are noise around a mean of
each class: their values do not change the cost.

Prints wall and CPU seconds, and the ratio of the heads to one pass of one view over 6,000 images; then the
same for the heads trained one after another, each with its own preparation.
"""

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pipeline.core.metrics import get
from pipeline.core.predictions import Features
from pipeline.core.samples import Attribute, LabelSpace, Samples, TrainRows
from pipeline.nets.forward import Pass, run
from pipeline.nets.model import Classifier, build, to_device
from pipeline.nets.views import parse
from pipeline.settings.load import load
from pipeline.settings.train import TrainSettings
from pipeline.train.batched_heads import fit_heads
from pipeline.train.heads import HeadJob

N, D, FOLDS, SEEDS, SIDE = 6000, 1280, 5, 3, 96


class Pixels:
    """Noise as prepared images."""

    def __init__(self, count: int) -> None:
        self.ids_N = np.array([f"i{n}" for n in range(count)])
        self.x_NHWC = np.random.default_rng(0).integers(0, 256, (count, SIDE, SIDE, 3), dtype=np.uint8)


class Timed(NamedTuple):
    """Wall and CPU seconds."""

    wall: float
    cpu: float


def timed(work: Callable[[], object]) -> Timed:
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Timed(time.perf_counter() - wall, time.process_time() - cpu)


def one_pass(network: Classifier, images: Pixels) -> Timed:
    """What one view of 6,000 images would take."""
    took = timed(lambda: run(network.features, images, images.ids_N, parse("identity"), Pass()))
    return Timed(*(seconds * N / len(images.ids_N) for seconds in took))


def jobs(train: TrainSettings, n_classes: int) -> list[HeadJob]:
    """One job a fold; the folds' sizes differ by a few rows, as those of whole groups do."""
    draw = np.random.default_rng(0)
    y_N = draw.integers(0, n_classes, N)
    x_ND = draw.standard_normal((N, D)) + 0.3 * draw.standard_normal((n_classes, D))[y_N]
    ids = np.array([f"i{n}" for n in range(N)])
    space = LabelSpace.product([Attribute("kind", tuple(f"c{c}" for c in range(n_classes)))])
    samples = Samples(ids, ids, ids, space, y_N, "train")
    features = Features(ids, ("identity",), x_ND[:, None], "noise")
    ends = np.linspace(0, N, FOLDS + 1).astype(int) + np.array([0, 7, -11, 4, -9, 0])
    made = []
    for k in range(FOLDS):
        is_valid = np.zeros(N, bool)
        is_valid[ends[k] : ends[k + 1]] = True
        rows = TrainRows.of(np.arange(int((~is_valid).sum())))
        made.append(
            HeadJob(
                fold=k,
                loss=load(["competition=digits", "experiment=probe"]).config.loss,
                train=train,
                train_samples=samples.take(ids[~is_valid]),
                valid_samples=samples.take(ids[is_valid]),
                features=features,
                rows=lambda epoch, rows=rows: rows,
                metric=get("macro_f1").score,
            )
        )
    return made


def one_by_one(folds: list[HeadJob]) -> None:
    for job in folds:
        for seed in range(job.train.head_seeds):
            alone = job.train.model_copy(update={"head_seeds": 1, "seed": seed})
            fit_heads([replace(job, train=alone)])


def tell(what: str, took: Timed, whole: Timed) -> None:
    print(
        f"{what:<42} {took.wall:6.1f} s wall ({took.wall / whole.wall:6.1%}), "
        f"{took.cpu:6.1f} s CPU ({took.cpu / whole.cpu:6.1%})"
    )


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--images", type=int, default=384, help="sample of the pass, three times")
    words.add_argument("--classes", type=int, default=18)
    words.add_argument("--threads", type=int, default=1)
    options = words.parse_args()
    torch.set_num_threads(options.threads)
    config = load(["competition=digits", "experiment=probe"]).config
    train = config.train.model_copy(update={"head_seeds": SEEDS})
    network = to_device(build(config.model, 2, 0, (SIDE, SIDE)), "cpu").eval()
    images, folds = Pixels(options.images), jobs(train, options.classes)
    one_pass(network, Pixels(128))  # what the first pass and the first step import and allocate is no cost
    fit_heads([replace(folds[0], train=train.model_copy(update={"epochs": 1, "head_seeds": 1}))])
    passes = [one_pass(network, images)]
    together = timed(lambda: fit_heads(folds))
    passes.append(one_pass(network, images))
    alone = timed(lambda: one_by_one(folds))
    passes.append(one_pass(network, images))
    whole = Timed(*(float(np.mean(column)) for column in zip(*passes, strict=True)))
    tell(f"lite0 at {SIDE} px, {N} images, one view", whole, whole)
    tell(f"{FOLDS} folds × {SEEDS} seeds side by side", together, whole)
    tell("one head after another", alone, whole)


if __name__ == "__main__":
    main()
