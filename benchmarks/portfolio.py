"""Which recipes belong into a portfolio, in which order: candidates on open sets, by what each adds a minute.

    python -m benchmarks.portfolio --out cells                       the recipes of configs/portfolio/cpu.yaml
    python -m benchmarks.portfolio --out cells --photos trash=trashnet-256.zip --folds 1 --share 0.3
    python -m benchmarks.portfolio --out cells --more "wide: experiment=lite0_96 images.store_px=160"
    python -m benchmarks.portfolio --out cells --tiny                a minute; says nothing about recipes

Each cell is one recipe on one set, run by `make infer` in a store of the set: its out-of-fold predictions
over all views of the recipe, and its cost. The cost is the recorded seconds of the folds, heads, features and
views that it needs, also of those that another recipe had made before, times the share of a processor that
the command got, so that a busy machine counts less. Cells are kept in `--out`, and a second call goes on from
there; a recipe that does not suit a set (labels, images too small) has no cell there, and that is said.

A portfolio is grown step by step: to the equal-weight mean of the members so far, the candidate is added that
raises the score most per minute, on average over the sets; the first one by its own score above chance.
Prints, for each step, the gain a minute with its range over the sets; then the same with each set left out of
the choice and scored on the portfolio that the others chose, beside the order of the recipes file.
"""

import argparse
import contextlib
import io
import sys
import time
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.cli import main as command
from pipeline.core.metrics import get
from pipeline.record import files
from pipeline.record.files import FileIndex
from pipeline.record.store import Artifact, Store
from pipeline.settings import portfolio
from pipeline.settings.load import CONFIGS

SETS = ("emoji", "emoji-people", "emoji-shift", "digits")
COSTS = ("features", "heads", "fold", "views")
PICTURES = (".jpg", ".jpeg", ".png")
TINY = ("images.size=32", "folds.n=2", "train.warmup_epochs=0", "statistics.draws=100", "train.epochs=1")
CANDIDATES = {"net": "experiment=tiny_cnn", "other": "experiment=tiny_resnet"}


@dataclass(frozen=True)
class Cell:
    """One recipe on one set.

    Args:
        y_N: true classes; p_NC: out-of-fold predictions of the same images, in the same order in all cells of
        a set. minutes: of one processor.
    """

    y_N: np.ndarray
    p_NC: np.ndarray
    minutes: float

    @property
    def chance(self) -> float:
        """Macro-F1 of the most frequent class everywhere."""
        p_NC = np.zeros_like(self.p_NC)
        p_NC[:, np.bincount(self.y_N).argmax()] = 1
        return score(self.y_N, p_NC)


Cells = Mapping[tuple[str, str], Cell]


def score(y_N: np.ndarray, p_NC: np.ndarray) -> float:
    """Macro-F1."""
    return float(get("macro_f1").score(y_N, p_NC))


@dataclass(frozen=True)
class Step:
    """One step of growing a portfolio: the recipe, and its gain a minute on each set that has it."""

    recipe: str
    gains: dict[str, float]

    @property
    def mean(self) -> float:
        """Over the sets."""
        return float(np.mean(list(self.gains.values())))


def gains(cells: Cells, members: Sequence[str], recipe: str, sets: Sequence[str]) -> dict[str, float]:
    """What a recipe adds a minute to the mean of these members, on each set where it has a cell."""
    found = {}
    for name in sets:
        own = cells.get((name, recipe))
        if own is None:
            continue
        there = [cells[name, member].p_NC for member in members if (name, member) in cells]
        before = score(own.y_N, np.mean(there, axis=0)) if there else own.chance
        after = score(own.y_N, np.mean([*there, own.p_NC], axis=0))
        found[name] = (after - before) / max(own.minutes, 1e-6)
    return found


def grown(cells: Cells, sets: Sequence[str], most: int = 99) -> list[Step]:
    """The portfolio of these sets, step by step, as long as a candidate raises the mean score."""
    left = sorted({recipe for name, recipe in cells if name in sets})
    steps: list[Step] = []
    while left and len(steps) < most:
        members = [step.recipe for step in steps]
        tried = [Step(recipe, gains(cells, members, recipe, sets)) for recipe in left]
        best = max(tried, key=lambda step: step.mean)
        if best.mean <= 0:
            break
        steps.append(best)
        left.remove(best.recipe)
    return steps


def blended(cells: Cells, name: str, members: Sequence[str]) -> tuple[float, float]:
    """The score of the mean of these members on a set, and their minutes; of those that have a cell."""
    own = [cells[name, member] for member in members if (name, member) in cells]
    if not own:
        return float("nan"), 0.0
    return score(own[0].y_N, np.mean([cell.p_NC for cell in own], axis=0)), sum(cell.minutes for cell in own)


def unpacked(archive: Path, folder: Path, side: int) -> None:
    """A folder per class of an archive as images and train.csv; every tenth photo is the test set."""
    import cv2

    (folder / "images").mkdir(parents=True)
    train, test, sample = ["id,path,label"], ["id,path"], ["id,label"]
    with zipfile.ZipFile(archive) as file:
        names = sorted(name for name in file.namelist() if name.lower().endswith(PICTURES))
        for number, name in enumerate(names):
            pixels = cv2.imdecode(np.frombuffer(file.read(name), np.uint8), cv2.IMREAD_COLOR)
            assert pixels is not None, f"{archive}: {name} is no picture"
            scale = min(side / max(pixels.shape[:2]), 1)
            small = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            cv2.imwrite(str(folder / "images" / f"{number:05d}.png"), small)
            row = f"{number:05d},{number:05d}.png"
            if number % 10:
                train.append(f"{row},{Path(name).parent.name}")
            else:
                test.append(row)
                sample.append(f"{number:05d}")
    (folder / "train.csv").write_text("\n".join(train) + "\n", encoding="utf-8")
    (folder / "test.csv").write_text("\n".join(test) + "\n", encoding="utf-8")
    # The host's form: a class as a word. Nothing scores these answers.
    word = train[1].rpartition(",")[2]
    rows = [sample[0], *(f"{name},{word}" for name in sample[1:])]
    (folder / "sample_submission.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")


def words_of(name: str, photos: Mapping[str, Path], out: Path, tiny: bool) -> list[str]:
    """The settings that choose a set."""
    if name not in photos:
        return [f"competition={name}", *(["competition.demo.limit=120"] if tiny and name == "digits" else [])]
    root = out / "sets" / name
    if not root.is_dir():
        unpacked(photos[name], root, 32 if tiny else 256)
    rows = (root / "train.csv").read_text(encoding="utf-8").splitlines()[1:]
    values = sorted({row.rpartition(",")[2] for row in rows})
    attribute = f"{{name: label, column: label, values: [{', '.join(values)}]}}"
    return [
        *("competition=emoji", "competition.demo=null", f"competition.name={name}"),
        *(f"competition.root={root.resolve()}", "competition.group_column=null"),
        f"competition.attributes=[{attribute}]",
    ]


def closure(store: Store, artifact: Artifact) -> dict[str, Artifact]:
    """The results that one is made of, by address."""
    found: dict[str, Artifact] = {}
    left = [artifact]
    while left:
        one = left.pop()
        if one.address not in found:
            found[one.address] = one
            left += [made for address in one.inputs.values() if (made := store.at(address)) is not None]
    return found


def run(words: Sequence[str], home: Path) -> Cell | str:
    """One cell, or why there is none."""
    said, began, cpu = io.StringIO(), time.perf_counter(), time.process_time()
    every = [*words, f"runtime.home={home}", "runtime.mlflow=false", "runtime.threads=1"]
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        code = command(["infer", *every])
    share = min((time.process_time() - cpu) / (time.perf_counter() - began), 1.0)
    if code != 0:
        lines = [line.strip() for line in said.getvalue().splitlines() if line.strip()]
        at = next((n for n, line in enumerate(lines) if line.startswith("error")), len(lines) - 1)
        return " ".join(lines[at : at + 3])
    store = Store(home, FileIndex(home / "artifacts" / ".index.json"))
    infer = max(store.all("infer"), key=lambda one: str(one.manifest["created"]))
    inside = closure(store, infer)
    (data,) = [one for one in inside.values() if one.stage == "data"]
    oof = files.read_probabilities(infer.folder / "oof.npz", "oof")
    truth = files.read_samples(data.folder / "train.npz", home).take(oof.ids_N).labels
    seconds = sum(one.seconds for one in inside.values() if one.stage in COSTS)
    return Cell(truth, oof.p_NC, seconds * share / 60)


def read(path: Path) -> Cell | None:
    """A kept cell; None: the recipe does not suit the set."""
    with np.load(path) as kept:
        return Cell(kept["y"], kept["p"], float(kept["minutes"])) if "p" in kept.files else None


def measured(
    options: argparse.Namespace, candidates: Mapping[str, Sequence[str]]
) -> dict[tuple[str, str], Cell]:
    """All cells, those that are there already first."""
    photos = {name: Path(path) for name, _, path in (text.partition("=") for text in options.photos)}
    cells: dict[tuple[str, str], Cell] = {}
    for recipe, words in candidates.items():
        for name in [*options.sets, *photos]:
            path = options.out / f"{name}--{recipe}.npz"
            if not path.is_file():
                if options.minutes is not None and time.process_time() > options.minutes * 60:
                    continue
                own = [*words_of(name, photos, options.out, options.tiny), *words, *options.words]
                made = run(own, options.out / "stores" / name)
                if isinstance(made, str):
                    print(f"{name}, {recipe}: none: {made}", flush=True)
                    np.savez(path, why=made)
                else:
                    np.savez(path, y=made.y_N, p=made.p_NC, minutes=made.minutes)
            if (cell := read(path)) is not None:
                cells[name, recipe] = cell
                print(
                    f"{name}, {recipe}: {score(cell.y_N, cell.p_NC):.4f}, {cell.minutes:.2f} min", flush=True
                )
    return cells


def report(cells: Cells, order: Sequence[str]) -> None:
    """The portfolio of all sets, and what it is worth on sets that did not choose it."""
    sets = sorted({name for name, _ in cells})
    print("\nportfolio           gain a minute, and its range over the sets")
    for step in grown(cells, sets):
        values = step.gains.values()
        print(f"{step.recipe:<24} {step.mean:+.4f} [{min(values):+.4f}, {max(values):+.4f}] on {len(values)}")
    if len(sets) < 2:
        print("one set only: nothing is left out")
        return
    print("\nset left out        chosen by the others         the same number in the order of the file")
    for name in sets:
        chosen = [step.recipe for step in grown(cells, [one for one in sets if one != name])]
        (own, minutes), (other, others) = (
            blended(cells, name, members) for members in (chosen, list(order)[: len(chosen)])
        )
        print(f"{name:<18} {own:.4f} in {minutes:5.1f} min           {other:.4f} in {others:5.1f} min")


def main(arguments: Sequence[str] | None = None) -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--out", type=Path, required=True, help="folder of cells, sets and stores")
    words.add_argument("--recipes", default="cpu", help="a file of configs/portfolio/")
    words.add_argument("--more", nargs="*", default=[], help='further candidates, "NAME: words"')
    words.add_argument("--sets", nargs="*", default=list(SETS))
    words.add_argument("--photos", nargs="*", default=[], help="NAME=archive with a folder for each class")
    words.add_argument("--folds", type=int, help="train so many folds of each set; default: all")
    words.add_argument("--share", type=float, help="train on this share of the groups")
    words.add_argument("--words", nargs="*", default=[], help="settings of every cell, e.g. folds.n=3")
    words.add_argument("--minutes", type=float, help="begin no cell after so many minutes of processor")
    words.add_argument("--tiny", action="store_true", help="two small networks on a few digits")
    options = words.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    options.words += [] if options.folds is None else [f"train.folds={list(range(options.folds))}"]
    options.words += [] if options.share is None else [f"train.group_share={options.share}"]
    if options.tiny:
        options.sets, options.words = options.sets[-1:], [*options.words, *TINY]
        candidates = {name: text.split() for name, text in CANDIDATES.items()}
    else:
        listed = portfolio.recipes(CONFIGS, options.recipes)
        candidates = {one.name: [f"experiment={one.name}"] for one in listed}
    for text in options.more:
        name, _, own = text.partition(":")
        candidates[name.strip()] = own.split()
    report(measured(options, candidates), list(candidates))


if __name__ == "__main__":
    sys.exit(main())
