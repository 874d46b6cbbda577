"""How fast this machine trains a network: a few real steps, timed.

Owns the timing. Does not own remembering it (`stages/estimate.py`) or acting on it.
"""

import time

import numpy as np
import torch

from pipeline.core.types import LabelSpace
from pipeline.learn import strategy
from pipeline.learn.forward import autocast, pixels
from pipeline.learn.loss import make_loss
from pipeline.learn.model import build, to_device
from pipeline.learn.optim import make_optimizer
from pipeline.learn.targets import ClassFacts, one_hot
from pipeline.settings.schema import Config

STEPS = 3


def seconds_per_row(config: Config, space: LabelSpace, device: str, epoch: int | None = None) -> float:
    """Seconds that one training row costs on this machine, without augmentation.

    Args:
        config: model, image size, loss and training settings.
        space: the classes.
        device: "cpu" or "cuda".
        epoch: what trains in it is timed, where a strategy freezes by epoch; None: the last one's.

    Raises:
        ModelError, ConfigError: settings that do not fit the model.
    """
    n_classes = space.n_classes
    model = to_device(build(config.model, n_classes, 0, config.images.hw), device).train()
    strategy.prepare(model.backbone, config.train)
    if epoch is not None:
        strategy.begin_epoch(model.backbone, config.train, epoch)
    optimizer = make_optimizer(model.backbone, config.train)
    loss = make_loss(config.loss, ClassFacts(space, np.ones(n_classes, np.float32)))
    batch = config.train.batch_size
    x_BHWC = torch.zeros(batch, *config.images.hw, 3, dtype=torch.uint8)
    target_BC = one_hot(np.arange(batch) % n_classes, n_classes).to(device)

    def step() -> None:
        with autocast(device, config.train.precision):
            logits_BC = model(pixels(x_BHWC, device))
        loss(logits_BC, target_BC).mean().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if device == "cuda":
            torch.cuda.synchronize()

    step()  # the first one allocates
    started = time.perf_counter()
    for _ in range(STEPS):
        step()
    return (time.perf_counter() - started) / STEPS / batch
