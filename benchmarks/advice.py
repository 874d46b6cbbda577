"""Whether the error report gives the right advice: six planted faults, and a healthy run without faults.

    OMP_NUM_THREADS=1 python -m benchmarks.advice                    3 seeds, about 8 minutes on a quiet core
    OMP_NUM_THREADS=1 python -m benchmarks.advice --seeds 1 --only healthy labels

A small competition of real digits: each is drawn three times (a group), turned, tinted and noisy. A small
ResNet from scratch is trained by `make infer` and judged by `make error-analysis`, as a user would, against a
submission with the same answer everywhere. Each world but the first has one fault. It counts whether the
advice that fixes it is among the first three, and how many of the six pieces of advice a healthy run gets.
"""

import argparse
import contextlib
import csv
import io
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from sklearn.datasets import load_digits

from pipeline.cli import main as command
from pipeline.core.seeds import rng
from pipeline.record.files import FileIndex
from pipeline.record.store import Artifact, Store

SIDE, CLASSES, COPIES, EPOCHS, FOLDS = 32, 10, 3, 15, 3
FIRST = 3


@dataclass(frozen=True)
class World:
    """A competition, and how it is trained.

    Args:
        pixels: (N, 32, 32, 3), training images first.
        labels: of all of them, as the tables say.
        groups: of all of them.
        n_train: how many are training images.
        words: settings of the run beyond those of every world.
    """

    pixels: np.ndarray
    labels: np.ndarray
    groups: np.ndarray
    n_train: int
    words: tuple[str, ...] = ()


def drawn(digit: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """(COPIES, 32, 32, 3) pictures: what a group shares (stroke noise, tint), and what a copy has."""
    shared, tint = digit / 16 * 200 + draw.normal(0, 35, (8, 8)), draw.normal(0, 12, 3)
    out = []
    for _ in range(COPIES):
        small = (shared + draw.normal(0, 18, (8, 8))).astype(np.float32)
        big = cv2.resize(small, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)
        turn = cv2.getRotationMatrix2D((SIDE / 2, SIDE / 2), draw.normal(0, 7), 1.0)
        big = cv2.warpAffine(big, turn, (SIDE, SIDE), borderMode=cv2.BORDER_REFLECT)
        out.append(np.clip(big[:, :, None] + tint + 30, 0, 255))
    return np.stack(out).astype(np.uint8)


def world(draw: np.random.Generator, groups: int, counts: np.ndarray | None = None) -> World:
    """A sound one: `groups` digits to train on, and 60 to answer.

    Args:
        draw: of digits and pictures.
        groups: how many digits, each COPIES times.
        counts: (CLASSES,) relative frequency of each class; None: all alike.
    """
    bunch, tests = load_digits(), 60
    share = np.full(CLASSES, 1 / CLASSES) if counts is None else counts / counts.sum()
    order = draw.permutation(len(bunch.target))
    chosen: list[int] = []
    for c in range(CLASSES):
        of_class = order[bunch.target[order] == c]
        chosen += of_class[: max(round(groups * share[c]), 2)].tolist()
    rest = np.setdiff1d(order, chosen)
    at = np.concatenate([chosen, draw.permutation(rest)[:tests]]).astype(int)
    pixels = np.concatenate([drawn(bunch.images[k], draw) for k in at])
    labels, names = np.repeat(bunch.target[at], COPIES), np.repeat(np.arange(len(at)), COPIES)
    return World(pixels, labels, names, len(chosen) * COPIES)


def healthy(draw: np.random.Generator, groups: int) -> World:
    """Nothing planted."""
    return world(draw, groups)


def epochs(draw: np.random.Generator, groups: int) -> World:
    """Five times too few epochs."""
    return replace(world(draw, groups), words=(f"train.epochs={EPOCHS // 5}",))


def augmentation(draw: np.random.Generator, groups: int) -> World:
    """No augmentation."""
    return replace(world(draw, groups), words=("augment.policy=none",))


def leak(draw: np.random.Generator, groups: int) -> World:
    """Folds dealt by image, so that a group's pictures lie on both sides."""
    return replace(world(draw, groups), words=("folds.kind=stratified",))


def labels(draw: np.random.Generator, groups: int) -> World:
    """A tenth of the training labels drawn anew among the other classes."""
    made = world(draw, groups)
    wrong = draw.random(len(made.labels)) < 0.1
    wrong[made.n_train :] = False
    others = (made.labels + draw.integers(1, CLASSES, len(made.labels))) % CLASSES
    return replace(made, labels=np.where(wrong, others, made.labels))


def normalisation(draw: np.random.Generator, groups: int) -> World:
    """Mean and standard deviation of pixels from 0 to 255, on pixels from 0 to 1."""
    words = ("model.mean=[123.7,116.3,103.5]", "model.std=[58.4,57.1,57.4]")
    return replace(world(draw, groups), words=words)


def imbalance(draw: np.random.Generator, groups: int) -> World:
    """Classes that fall off 20 to 1, and nothing done about it."""
    return world(draw, groups, 20.0 ** -(np.arange(CLASSES) / (CLASSES - 1)))


WORLDS: dict[str, Callable[[np.random.Generator, int], World]] = {
    one.__name__: one for one in (healthy, epochs, augmentation, leak, labels, normalisation, imbalance)
}
FAULTS = tuple(name for name in WORLDS if name != "healthy")


def write(made: World, folder: Path) -> None:
    """Its files: images/, train.csv, test.csv, and a CSV that answers 0 everywhere."""
    (folder / "images").mkdir(parents=True)
    rows = []
    for k, picture in enumerate(made.pixels):
        cv2.imwrite(str(folder / "images" / f"{k}.png"), picture[:, :, ::-1])
        rows.append([f"i{k}", f"{k}.png", str(made.labels[k]), f"g{made.groups[k]}"])
    tables = {"train": rows[: made.n_train], "test": rows[made.n_train :]}
    for name, part in tables.items():
        with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([["id", "path", "digit", "drawing"], *part])
    with (folder / "zeros.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["id", "label"], *([row[0], "0"] for row in tables["test"])])


# Settings of a training that its report takes from the run's manifest.
OF_TRAINING = ("train.epochs", "train.lr", "train.precision", "infer.", "model.")


def words_of(made: World, folder: Path, n_epochs: int, seed: int) -> list[str]:
    """Settings of a world's run; its own come last and win."""
    values = ",".join(f'"{c}"' for c in range(CLASSES))
    given = {
        "competition.demo": "null", "competition.root": str(folder), "competition.name": "planted",
        "competition.group_column": "drawing", "competition.sample_submission": "null",
        "competition.attributes": f"[{{name: digit, column: digit, values: [{values}]}}]",
        "folds.n": str(FOLDS), "images.size": str(SIDE), "augment.policy": "upright",
        "train.epochs": str(n_epochs), "train.lr": "0.003", "train.seed": str(seed),
        "train.precision": "fp32",
        "infer.views": "[identity]", "statistics.draws": "300", "runtime.workers": "0",
        "runtime.home": str(folder), "runtime.mlflow": "false", "runtime.threads": "1",
    }  # fmt: skip
    given |= dict(word.split("=", 1) for word in made.words)
    return ["competition=digits", "experiment=tiny_resnet", *(f"{k}={v}" for k, v in given.items())]


def run(*words: str) -> None:
    """One command of the pipeline; what it says is shown when it fails."""
    told = io.StringIO()
    with contextlib.redirect_stdout(told), contextlib.redirect_stderr(told):
        code = command(list(words))
    if code:
        raise SystemExit(told.getvalue())


def finished(home: Path, stage: str) -> Artifact:
    """The one result of a stage."""
    store = Store(home, FileIndex(home / "artifacts" / ".index.json"))
    (found,) = (a for a in store.all() if a.stage == stage)
    return found


def advised(
    name: str, seed: int, folder: Path, groups: int, n_epochs: int = EPOCHS
) -> list[dict[str, object]]:
    """The advice that a world's report gives, in its order."""
    made = WORLDS[name](rng(seed, "planted", name), groups)
    if name == "epochs":
        made = replace(made, words=(f"train.epochs={max(n_epochs // 5, 1)}",))
    write(made, folder)
    settings = words_of(made, folder, n_epochs, seed)
    run("infer", *settings)
    return judged(settings, folder)


def judged(settings: list[str], folder: Path) -> list[dict[str, object]]:
    """The advice on the one submission that lies there."""
    (mine,) = (folder / "submissions").glob("planted-*.csv")
    read = [word for word in settings if not word.startswith(OF_TRAINING)]
    run("error-analysis", *read, "--a", str(mine), "--b", str(folder / "zeros.csv"))
    given: list[dict[str, object]] = finished(folder, "error_analysis").json("advice.json")["advice"]
    return given


@dataclass(frozen=True)
class Outcome:
    """What the reports of one world said.

    Args:
        first: of each seed, the kinds of the first three pieces of advice.
        every: of each seed, all kinds.
    """

    first: tuple[tuple[str, ...], ...]
    every: tuple[tuple[str, ...], ...]

    def found(self, fault: str) -> int:
        """In how many seeds the fault's advice is among the first three."""
        return sum(fault in kinds for kinds in self.first)

    def alarms(self) -> list[str]:
        """Faults that any report named."""
        return [kind for kinds in self.every for kind in kinds if kind in FAULTS]


def outcome(name: str, seeds: range, groups: int, n_epochs: int = EPOCHS) -> Outcome:
    """Run a world with several seeds."""
    every = []
    for seed in seeds:
        with tempfile.TemporaryDirectory() as folder:
            given = advised(name, seed, Path(folder), groups, n_epochs)
        every.append(tuple(str(advice["kind"]) for advice in given))
    return Outcome(tuple(kinds[:FIRST] for kinds in every), tuple(every))


def main() -> None:
    """Print a line a world, and the sum."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=2, help="thresholds were read off seeds 0 and 1")
    parser.add_argument("--groups", type=int, default=120, help="digits to train on, three pictures each")
    parser.add_argument("--only", nargs="+", choices=list(WORLDS), default=list(WORLDS))
    options = parser.parse_args()
    right, seeds = 0, range(options.first_seed, options.first_seed + options.seeds)
    for name in options.only:
        begin = time.perf_counter()
        seen = outcome(name, seeds, options.groups)
        seconds = (time.perf_counter() - begin) / options.seeds
        if name == "healthy":
            told = f"{len(seen.alarms())} false alarms ({', '.join(seen.alarms()) or 'none'})"
        else:
            told = f"found in {seen.found(name)} of {options.seeds}"
            right += seen.found(name) == options.seeds
        first = "; ".join(", ".join(kinds) for kinds in seen.first)
        print(f"{name:<14} {told:<28} {seconds:4.0f} s a seed   first three: {first}", flush=True)
    faults = sum(name in FAULTS for name in options.only)
    print(f"{right} of {faults} faults found with every seed")


if __name__ == "__main__":
    main()
