"""How near one GPU comes to its limit in training, and where the time of a command goes.

    python -m benchmarks.gpu_speed                                 three networks on a GPU, about 8 minutes
    python -m benchmarks.gpu_speed --only resnet50:224:128
    python -m benchmarks.gpu_speed --tiny                          tiny numbers, also on a CPU, to try it out

For each network, in images a second, all in one run on one device:

  eager   the training step on a batch that stays in the device's memory, nothing else
  graph   the same step as one CUDA graph (on a CPU: the same as eager): the limit
  timm    timm's loader (JPEG files, its own augmentation, prefetcher, all cores but two) and the same step
  Podium  a fold of `train/loop.py` as it runs: resident images, augmentation, checks, history; without the
          first epoch, in which the step is recorded
  ratios  Podium / graph and Podium / timm

Steps are in the mode that `--precision` names. At the end the command `train` is run on JPEG files, fold 0,
then `infer`: seconds of starting Python and importing, of the stages that prepare, of the fold, of
predicting, and what is left. The first line names device and versions; copy all of it into docs/log.md.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import timm
import torch
from timm.data import ImageDataset, create_loader
from torch import nn

from benchmarks.train_speed import start_up, write
from pipeline.cli import main as command
from pipeline.core.samples import Attribute, LabelSpace, Samples, TrainRows, strings
from pipeline.data.images import PreparedImages
from pipeline.nets.forward import Mode
from pipeline.record.files import FileIndex
from pipeline.record.store import Store
from pipeline.settings.augment import AugmentSettings
from pipeline.settings.loss import LossSettings
from pipeline.settings.model import ModelSettings
from pipeline.settings.train import TrainSettings
from pipeline.train.job import FoldJob
from pipeline.train.loop import fit

CLASSES = 6
USUAL = ("tf_efficientnet_lite0:96:64", "resnet50:224:128", "convnext_tiny:224:128")
TINY = ("test_resnet:32:8",)
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
PREPARING = ("images", "train_images", "prepared", "train_prepared", "data", "train_data", "folds", "boxes")


@dataclass(frozen=True)
class Arm:
    """One network, and how much of everything is run.

    Args:
        images: of an epoch.
        steps: of a floor.
        epochs: of a fold; the first is not counted.
    """

    model: str
    size: int
    batch: int
    device: str
    precision: str
    images: int
    steps: int
    epochs: int

    @property
    def name(self) -> str:
        """As it is printed."""
        return f"{self.model} {self.size} px batch {self.batch}"


def wait(device: str) -> None:
    """Until the device has done everything."""
    if device == "cuda":
        torch.cuda.synchronize()


def stepper(arm: Arm) -> Callable[[torch.Tensor, torch.Tensor], None]:
    """The reference step: one network, cross-entropy and AdamW, from bytes (B, C, H, W) to new weights."""
    net = timm.create_model(arm.model, num_classes=CLASSES).to(arm.device, memory_format=torch.channels_last)
    net.train()
    form = {"fused": True, "capturable": True} if arm.device == "cuda" else {}
    adam = torch.optim.AdamW(net.parameters(), 1e-3, **form)

    def step(x_BCHW: torch.Tensor, y_B: torch.Tensor) -> None:
        adam.zero_grad(set_to_none=False)
        low = arm.precision != "fp32"
        with torch.autocast(arm.device, DTYPES[arm.precision], enabled=low, cache_enabled=False):
            loss = nn.functional.cross_entropy(net((x_BCHW.float() / 255 - 0.5) / 0.5), y_B)
        loss.backward()
        adam.step()

    return step


def resident(arm: Arm) -> tuple[torch.Tensor, torch.Tensor]:
    """A batch of noise and its labels on the device."""
    shape = (arm.batch, 3, arm.size, arm.size)
    x_BCHW = torch.randint(0, 256, shape, dtype=torch.uint8, device=arm.device)
    y_B = torch.randint(0, CLASSES, (arm.batch,), device=arm.device)
    return x_BCHW.to(memory_format=torch.channels_last), y_B


def recorded(call: Callable[[], None]) -> Callable[[], None]:
    """A call as a CUDA graph."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(6):
            call()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        call()
    return graph.replay


def floor(arm: Arm, graph: bool) -> float:
    """Images a second of the step alone."""
    step, batch = stepper(arm), resident(arm)

    def call() -> None:
        step(*batch)

    run = recorded(call) if graph and arm.device == "cuda" else call
    for _ in range(2):
        run()
    wait(arm.device)
    begin = time.perf_counter()
    for _ in range(arm.steps):
        run()
    wait(arm.device)
    return arm.batch * arm.steps / (time.perf_counter() - begin)


def timms(arm: Arm, files: Path, workers: int) -> float:
    """Images a second of timm's own loader and the same step, after an epoch that starts its processes."""
    cuda = arm.device == "cuda"
    loader = create_loader(
        ImageDataset(str(files / "train")),
        input_size=(3, arm.size, arm.size),
        batch_size=arm.batch,
        is_training=True,
        use_prefetcher=cuda,
        num_workers=workers,
        persistent_workers=workers > 0,
        device=torch.device(arm.device),
    )
    step, seconds, seen = stepper(arm), 0.0, 0
    for epoch in range(arm.epochs):
        begin, rows = time.perf_counter(), 0
        for x_BCHW, y_B in loader:
            step((x_BCHW * 255).to(arm.device, memory_format=torch.channels_last), y_B.to(arm.device))
            rows += len(y_B)
        wait(arm.device)
        if epoch > 0:
            seconds, seen = seconds + time.perf_counter() - begin, seen + rows
    return seen / seconds


def fold_job(arm: Arm, policy: str) -> FoldJob:
    """A fold on noise, as `make train` would run it."""
    n_valid = arm.batch
    ids = strings([f"i{n}" for n in range(arm.images + n_valid)])
    space = LabelSpace.product([Attribute("kind", tuple(map(str, range(CLASSES))))])
    noise = np.random.default_rng(0)
    x_NHWC = noise.integers(0, 256, (len(ids), arm.size, arm.size, 3), dtype=np.uint8)

    def part(start: int, end: int) -> Samples:
        own = ids[start:end]
        return Samples(own, own, own, space, np.arange(start, end) % CLASSES, "train")

    return FoldJob(
        fold=0,
        model=ModelSettings(name=arm.model, weights="none"),
        loss=LossSettings(),
        augment=AugmentSettings(policy=policy),
        train=TrainSettings(epochs=arm.epochs, batch_size=arm.batch, warmup_epochs=0, precision="auto"),
        train_samples=part(0, arm.images),
        valid_samples=part(arm.images, len(ids)),
        images=PreparedImages(ids, x_NHWC),
        rows=lambda epoch: TrainRows.of(np.arange(arm.images)),
        metric=lambda y_N, p_NC: float((p_NC.argmax(1) == y_N).mean()),
        device=arm.device,
        measured=Mode(arm.precision),
        workers=None if arm.device == "cuda" else 0,
    )


def podium(arm: Arm, policy: str, work: Path) -> tuple[float, str]:
    """Images a second of the epochs of a real fold after the first one, and what augmented."""
    result, _ = fit(fold_job(arm, policy), work / arm.name.replace(" ", "-"))
    rates = [entry["images_per_second"] for entry in result.history[1:]]
    return float(np.median(rates)), result.extra["engine"]


def compared(arm: Arm, policy: str, files: Path, workers: int, work: Path) -> Iterator[str]:
    """The lines of one network, each as soon as it is measured."""
    yield arm.name
    eager, graph = floor(arm, graph=False), floor(arm, graph=True)
    yield f"  eager {eager:10,.0f}   graph {graph:10,.0f}   images/s, the step alone"
    theirs = timms(arm, files, workers)
    yield f"  timm  {theirs:10,.0f}   its loader with {workers} processes"
    ours, engine = podium(arm, policy, work)
    yield f"  Podium{ours:10,.0f}   policy {policy}, augmented by {engine}"
    yield f"  Podium / graph {ours / graph:.2f}   Podium / timm {ours / theirs:.2f}"


def spent(arm: Arm, files: Path, home: Path, epochs: int) -> Iterator[str]:
    """Where the time of `train` for one fold, and of `infer` after it, goes."""
    values = ",".join(f'"{c}"' for c in range(5))
    settings = [
        *("competition=digits", "experiment=tiny_cnn", "competition.demo=null", "competition.name=speed"),
        *(f"competition.root={files}", "competition.train_images=.", "competition.test_images=."),
        *("competition.sample_submission=null", "competition.holdout=null"),
        *("folds.kind=column", "folds.column=fold", "train.folds=[0]", "model.weights=none"),
        f"competition.attributes=[{{name: kind, column: kind, values: [{values}]}}]",
        *(f"images.size={arm.size}", "augment.policy=light", f"model.name={arm.model}"),
        *(f"train.epochs={epochs}", f"train.batch_size={arm.batch}", "train.warmup_epochs=0"),
        *(f"runtime.home={home}", f"runtime.device={arm.device}", "statistics.draws=100"),
    ]
    told = io.StringIO()
    yield f"commands on {arm.name}, {epochs} epochs"
    yield f"  starting Python and importing {start_up():6.1f} s"
    known: set[str] = set()
    for name in ("train", "infer"):
        begin = time.perf_counter()
        with contextlib.redirect_stdout(told), contextlib.redirect_stderr(told):
            code = command([name, *settings])
        whole = time.perf_counter() - begin
        if code:
            raise SystemExit(told.getvalue())
        made = Store(home, FileIndex(home / "artifacts" / ".index.json")).all()
        new = {a.stage: a.seconds for a in made if a.stage not in known}
        known |= new.keys()
        preparing = sum(seconds for stage, seconds in new.items() if stage in PREPARING)
        rest = {stage: seconds for stage, seconds in new.items() if stage not in PREPARING}
        parts = ", ".join(f"{stage} {seconds:.1f}" for stage, seconds in rest.items())
        left = whole - sum(new.values())
        yield f"  {name:<6} {whole:6.1f} s: preparing {preparing:.1f}, {parts}, what is left {left:.1f}"


def heading(device: str, precision: str) -> str:
    """Device, versions and precision."""
    there = torch.cuda.get_device_name() if device == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    return f"{there}, torch {torch.__version__}, timm {timm.__version__}, {precision}"


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", metavar="MODEL:SIZE:BATCH", help="instead of the usual three")
    parser.add_argument("--tiny", action="store_true", help="tiny numbers, to see that it runs")
    parser.add_argument("--policy", default="light")
    parser.add_argument("--precision", default="bf16", choices=list(DTYPES))
    parser.add_argument("--workers", type=int, default=max((os.cpu_count() or 2) - 2, 1), help="of timm")
    chosen = parser.parse_args(words)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    images, steps, epochs = (24, 2, 2) if chosen.tiny else (8000, 60, 4)
    workers = 0 if chosen.tiny else chosen.workers
    arms = []
    for word in chosen.only or (TINY if chosen.tiny else USUAL):
        model, size, batch = word.split(":")
        arms.append(Arm(model, int(size), int(batch), device, chosen.precision, images, steps, epochs))
    torch.backends.cudnn.benchmark = True
    print(heading(device, chosen.precision), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        write(work / "files", 60 if chosen.tiny else images)
        for arm in arms:
            for line in compared(arm, chosen.policy, work / "files", workers, work):
                print(line, flush=True)
        for line in spent(arms[0], work / "files", work / "home", 1 if chosen.tiny else 10):
            print(line, flush=True)


if __name__ == "__main__":
    main()
