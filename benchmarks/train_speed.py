"""Wall time of training against its compute floor, and beside timm's own loader, in one run.

    python -m benchmarks.train_speed                                  lite0 at 96 px, about 3 minutes
    python -m benchmarks.train_speed --model resnet18 --precision bf16
    python -m benchmarks.train_speed --images 100 --rounds 1          to try it out

Cuts 800 JPEGs of about 400 px from photos that packages bundle (5 classes; fold 0 of 5 validates), then takes
turns, `--rounds` times, between

  floor  the steps of the fold on batches already in memory, and the validation passes on pixels in memory
  ours   `make train` from the entry of the command line (decoded images are reused after the first run)
  timm   the same steps and passes on batches of timm.data's loader, which decodes the files each epoch

All three train the same network for the same number of steps in the same mode (precision, layout), the one
that `train.precision` chose. The first run of ours is printed separately: it decodes, opens the MLflow
database, and measures the modes. Starting Python and importing torch is printed once, in seconds, and is in
no ratio.
"""

import argparse
import contextlib
import csv
import io
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from timm.data import ImageDataset, create_loader

from benchmarks.eda_speed import sources
from pipeline.cli import main as command
from pipeline.core.samples import Attribute, LabelSpace
from pipeline.core.seeds import rng
from pipeline.data.loader import Batch
from pipeline.nets.forward import Mode, autocast, pixels
from pipeline.nets.model import build, to_device
from pipeline.record.files import FileIndex
from pipeline.record.store import Artifact, Store
from pipeline.settings.loss import LossSettings
from pipeline.settings.model import ModelSettings
from pipeline.settings.train import TrainSettings
from pipeline.train.losses import make_loss
from pipeline.train.optim import make_optimizer, set_lr
from pipeline.train.step import Backward
from pipeline.train.targets import ClassFacts, one_hot

SIZE, BATCH, CLASSES, FOLDS = 96, 32, 5, 5
SPACE = LabelSpace.product([Attribute("kind", tuple("01234"))])


def write(folder: Path, images: int) -> None:
    """A competition of crops, mirrored and in other light, so that all differ; a folder a split and class."""
    photos, rows = sources(), []
    for number in range(images):
        draw = rng(0, "train speed", number)
        photo = photos[number % len(photos)]
        side = int(draw.integers(200, 400))
        y, x = (int(draw.integers(0, n - side)) for n in photo.shape[:2])
        width, height = (int(v) for v in draw.integers(360, 440, 2))
        picture = cv2.resize(photo[y : y + side, x : x + side], (width, height)).astype(np.float32)
        picture = picture[:, :: -1 if draw.integers(0, 2) else 1] * draw.uniform(0.6, 1.2)
        kind, fold = number % CLASSES, number // CLASSES % FOLDS
        path = f"{'valid' if fold == 0 else 'train'}/{kind}/{number}.jpg"
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / path), picture.clip(0, 255)[:, :, ::-1].astype(np.uint8))
        rows.append([str(number), path, str(kind), str(fold)])
    for name, part in (("train", rows), ("test", rows[:1])):
        with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([["id", "path", "kind", "fold"], *part])


@dataclass(frozen=True)
class Plan:
    """What every arm does.

    Args:
        files: the competition.
        home: of the pipeline's results.
        model: timm's name.
        precision: as the user would write it.
        epochs: of a run.
        workers: loader processes of timm's loader.
    """

    files: Path
    home: Path
    model: str
    precision: str
    epochs: int
    workers: int

    @property
    def train(self) -> TrainSettings:
        """Settings of the optimizer."""
        return TrainSettings(epochs=self.epochs, batch_size=BATCH, warmup_epochs=0)


def ours(plan: Plan, seed: int) -> float:
    """Seconds of `make train` for fold 0; another seed makes the fold train anew."""
    values = ",".join(f'"{c}"' for c in range(CLASSES))
    words = [
        *("train", "competition=digits", "experiment=tiny_cnn", "competition.demo=null"),
        *(f"competition.root={plan.files}", "competition.name=speed", "competition.train_images=."),
        *("competition.sample_submission=null", "competition.holdout=null"),
        *("competition.test_images=.", "folds.kind=column", "folds.column=fold", "train.folds=[0]"),
        f"competition.attributes=[{{name: kind, column: kind, values: [{values}]}}]",
        *(f"images.size={SIZE}", "images.cache_px=400", "augment.policy=light", f"model.name={plan.model}"),
        *("model.weights=none", f"train.epochs={plan.epochs}", f"train.batch_size={BATCH}"),
        *("train.warmup_epochs=0", f"train.precision={plan.precision}", f"train.seed={seed}"),
        *(f"runtime.home={plan.home}", f"runtime.threads={torch.get_num_threads()}", "statistics.draws=100"),
    ]
    told = io.StringIO()
    begin = time.perf_counter()
    with contextlib.redirect_stdout(told), contextlib.redirect_stderr(told):
        code = command(words)
    seconds = time.perf_counter() - begin
    if code:
        raise SystemExit(told.getvalue())
    return seconds


def finished(plan: Plan) -> list[Artifact]:
    index = FileIndex(plan.home / "artifacts" / ".index.json")
    return Store(plan.home, index).all()


def steps(
    plan: Plan, mode: Mode, epochs: Callable[[int], Iterable[Batch]], valid: Callable[[], None]
) -> float:
    """Seconds of a fold's steps on the batches of each epoch, validating after each."""
    model = to_device(build(ModelSettings(name=plan.model, weights="none"), CLASSES, 0), "cpu", mode.layout)
    optimizer = make_optimizer(model.backbone, plan.train)
    loss = make_loss(LossSettings(), ClassFacts(SPACE, np.ones(CLASSES, np.float32)))
    target_NC = one_hot(np.arange(10_000) % CLASSES, CLASSES)
    backward = Backward(loss, target_NC, torch.ones(10_000), precision=mode.precision, layout=mode.layout)
    compute = torch.compile(model, dynamic=False) if mode.compiled else model
    begin = time.perf_counter()
    for epoch in range(plan.epochs):
        model.train()
        for batch in epochs(epoch):
            set_lr(optimizer, 1e-4)
            backward(compute, [batch])
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        model.eval()
        with torch.inference_mode(), autocast("cpu", "fp32"):
            for x_BHWC in valid():
                model(pixels(x_BHWC, "cpu", mode.layout))
    return time.perf_counter() - begin


def in_memory(count: int, batch: int) -> list[torch.Tensor]:
    """Batches of noise, 0 to 255."""
    noise = rng(0, "pixels", batch)
    sizes = [min(batch, count - start) for start in range(0, count, batch)]
    return [torch.from_numpy(noise.integers(0, 256, (n, SIZE, SIZE, 3), dtype=np.uint8)) for n in sizes]


def floor(plan: Plan, mode: Mode, n_train: int, n_valid: int) -> float:
    train = [Batch(x, torch.zeros(len(x)), torch.arange(len(x))) for x in in_memory(n_train, BATCH)]
    valid = in_memory(n_valid, 128)
    return steps(plan, mode, lambda epoch: train, lambda: valid)


def timms(plan: Plan, mode: Mode) -> float:
    """Seconds on batches of timm's loader, its own augmentation, turned into bytes for the same step."""
    common = {"input_size": (3, SIZE, SIZE), "use_prefetcher": False, "mean": (0,) * 3, "std": (1,) * 3}
    train, valid = (
        create_loader(
            ImageDataset(str(plan.files / name)),
            batch_size=BATCH if name == "train" else 128,
            is_training=name == "train",
            num_workers=plan.workers,
            persistent_workers=plan.workers > 0,
            **common,
        )
        for name in ("train", "valid")
    )

    def bytes_of(loader: Iterable[tuple[torch.Tensor, torch.Tensor]]) -> Iterator[torch.Tensor]:
        for x_BCHW, _ in loader:
            yield (x_BCHW * 255).byte().permute(0, 2, 3, 1)

    def epochs(epoch: int) -> Iterator[Batch]:
        for x in bytes_of(train):
            yield Batch(x, torch.zeros(len(x)), torch.arange(len(x)))

    return steps(plan, mode, epochs, lambda: bytes_of(valid))


def start_up() -> float:
    begin = time.perf_counter()
    code = "import torch, timm, albumentations, mlflow, pipeline.train.loop"
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, capture_output=True)
    return time.perf_counter() - begin


def run(plan: Plan, images: int, rounds: int) -> dict[str, list[float]]:
    """Seconds of each arm, a number a round; prints the first run of ours."""
    write(plan.files, images)
    first = ours(plan, seed=1000)
    stages = {a.stage: a.seconds for a in finished(plan)}
    (fold,) = (a for a in finished(plan) if a.stage == "fold")
    mode = Mode.parse(fold.manifest["tags"]["mode"])
    decoding = sum(
        stages.get(f"{part}{name}", 0.0) for part in ("", "train_") for name in ("images", "prepared")
    )
    print(f"{plan.model} at {SIZE} px, {mode}, {plan.epochs} epochs, {torch.get_num_threads()} threads")
    print(f"first run of make train {first:.1f} s: images decoded and prepared {decoding:.1f} s, "
          f"fold {stages['fold']:.1f} s, the rest tables, database and measuring")  # fmt: skip
    n_valid = sum(1 for _ in (plan.files / "valid").rglob("*.jpg"))
    arms: dict[str, list[float]] = {"floor": [], "ours": [], "timm": []}
    for number in range(rounds):
        arms["floor"].append(floor(plan, mode, images - n_valid, n_valid))
        arms["ours"].append(ours(plan, seed=number))
        arms["timm"].append(timms(plan, mode))
    folds = [a.seconds for a in finished(plan) if a.stage == "fold"]
    print(f"of which the fold itself: {np.median(folds):.1f} s")
    return arms


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=800)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--model", default="tf_efficientnet_lite0")
    parser.add_argument("--precision", default="auto", choices=["auto", "fp32", "bf16"])
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--workers", type=int, default=2, help="of timm's loader")
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    with tempfile.TemporaryDirectory() as folder:
        files, home = Path(folder) / "files", Path(folder) / "home"
        plan = Plan(files, home, chosen.model, chosen.precision, chosen.epochs, chosen.workers)
        arms = run(plan, chosen.images, chosen.rounds)
    for name, seconds in arms.items():
        against = np.median(np.array(seconds) / np.array(arms["floor"]))
        spread = " ".join(f"{s:.1f}" for s in seconds)
        print(f"{name:<6} {np.median(seconds):6.1f} s  {against:.2f}× floor  ({spread})")
    print(f"starting Python and importing: {start_up():.1f} s (load {os.getloadavg()[0]:.1f})")


if __name__ == "__main__":
    main()
