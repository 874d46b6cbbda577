"""Thousands of classes: what a step of the heads of five folds costs, and what each of its parts saves.

    python -m benchmarks.many_classes                     5,001 classes, one thread: two minutes
    python -m benchmarks.many_classes --classes 500       fewer

A step is five heads of cosines side by side with ArcFace, 128 rows each of 1,280 features, as in
`experiment=probe_arcface`. Each arm takes one part back to what a plain implementation does: the gradient of
cosines as autograd derives it from weights of length 1; the margin of every class and not of the label alone;
AdamW weight by weight instead of in one kernel. All arms start alike, take turns, and have the same losses.

Prints seconds a step, the median of the rounds, and how many times as long as with all parts.
"""

import argparse
import time

import numpy as np
import torch
from torch.nn import functional

from pipeline.core.samples import Attribute, LabelSpace
from pipeline.nets.cosine import Angles, Cosine
from pipeline.settings.loss import LossSettings
from pipeline.settings.train import TrainSettings
from pipeline.train.losses import arcface_terms, make_loss, rows_of
from pipeline.train.optim import make_optimizer
from pipeline.train.targets import ClassFacts

FOLDS, ROWS, FEATURES, SCALE = 5, 128, 1280, 30.0
ARMS = ("all parts", "autograd's gradient", "margins of all classes", "AdamW weight by weight")


def main(arguments=None):
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--classes", type=int, default=5001)
    asked.add_argument("--rounds", type=int, default=7)
    asked.add_argument("--threads", type=int, default=1)
    words = asked.parse_args(arguments)
    torch.set_num_threads(words.threads)
    steps = {arm: step_of(arm, words.classes) for arm in ARMS}
    seconds, losses = {arm: [] for arm in ARMS}, {arm: [] for arm in ARMS}
    for _ in range(words.rounds):
        for arm, step in steps.items():
            started = time.perf_counter()
            losses[arm].append(step())
            seconds[arm].append(time.perf_counter() - started)
    whole = np.median(seconds["all parts"])
    for arm in ARMS:
        taken = np.median(seconds[arm])
        print(f"{arm:24} {taken:6.3f} s a step   {taken / whole:4.1f} ×   last loss {losses[arm][-1]:.4f}")


def step_of(arm, n_classes):
    """A call that takes one step and returns its loss."""
    generator = torch.Generator().manual_seed(0)
    layer = Cosine(FEATURES, n_classes, Angles(SCALE, 1), FOLDS)
    layer.start(generator)
    x_JBD = torch.randn(FOLDS, ROWS, FEATURES, generator=generator)
    y_JB = torch.randint(0, n_classes, (FOLDS, ROWS), generator=generator)
    args = {"fused": False, "foreach": False} if arm == "AdamW weight by weight" else {}
    settings = TrainSettings(optimizer="adamw", lr=0.01, weight_decay=0.1, optimizer_args=args)
    optimizer = make_optimizer(layer, settings)
    loss = loss_of(arm, n_classes)

    def step():
        if arm == "autograd's gradient":
            directions = functional.normalize(layer.weight, dim=-1).transpose(-1, -2)
            logits_JBC = SCALE * (functional.normalize(x_JBD, dim=-1) @ directions)
        else:
            logits_JBC = layer(x_JBD)
        values = [
            loss(logits_BC, functional.one_hot(y_B, n_classes).float()).mean()
            for logits_BC, y_B in zip(logits_JBC.unbind(), y_JB, strict=True)
        ]
        value = torch.stack(values).sum()
        value.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return float(value.detach())

    return step


def loss_of(arm, n_classes):
    """ArcFace with the shipped margin, on the label alone or on every class."""
    space = LabelSpace.product([Attribute("class", tuple(map(str, range(n_classes))))])
    facts = ClassFacts(space, np.full(n_classes, 2, np.float32), scale=SCALE)
    settings = LossSettings(name="arcface")
    if arm != "margins of all classes":
        return make_loss(settings, facts)
    margin_C = torch.full((n_classes,), settings.margin + settings.rare_margin)

    def terms(logits_BC):
        return arcface_terms(logits_BC, logits_BC.double().log_softmax(-1), margin_C, SCALE)

    return rows_of(terms)


if __name__ == "__main__":
    main()
