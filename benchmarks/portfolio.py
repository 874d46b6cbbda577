"""Which recipes belong into a portfolio, in which order: candidates on open sets, by what each adds a minute.

    python -m benchmarks.portfolio --out cells                       the recipes of configs/portfolio/cpu.yaml
    python -m benchmarks.portfolio --out cells --photos trash=trashnet-256.zip --images 480
        the same on photos, each set cut; --sets emoji trash trash-tail --words folds.n=2 "train.folds=[0]"
    python -m benchmarks.portfolio --out cells --more "wide: experiment=lite0_96 images.store_px=160"
    python -m benchmarks.portfolio --out cells --tiny                a minute; says nothing about recipes

Each cell is one recipe on one set (`benchmarks/sets.py`: demos, photos, variants with rare classes or with
groups), predicted out of fold over all views of the recipe, in a store of the set, and its cost. The cost is
the recorded seconds of the folds, heads, features and views that it needs, also of those that another recipe
had made before, times the share of a processor that the command got, so that a busy machine counts less.
Cells are kept in `--out`, and a second call goes on from there; a recipe that does not suit a set (labels,
images too small) has no cell there, and that is said.

A portfolio is grown step by step: the candidate is added that raises the score of the blend most per minute,
on average over the sets; the first one by its own score above chance. The weights of a blend are fitted on
half of the groups and used on the other half. Prints, for each step, the gain a minute with its range over
the sets; then the same with each set left out of the choice and scored on the portfolio that the others
chose, beside the order of the recipes file.
"""

import argparse
import contextlib
import io
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks import sets
from pipeline.core.errors import UserError
from pipeline.core.metrics import get
from pipeline.engine.graph import check
from pipeline.engine.need import Need
from pipeline.record import files
from pipeline.record.store import Artifact, Store
from pipeline.settings import portfolio
from pipeline.settings.load import CONFIGS, load
from pipeline.stages import open_session

SETS = ("emoji", "emoji-people", "emoji-shift", "digits")
COSTS = ("features", "heads", "fold", "views")
TINY = ("images.size=32", "folds.n=2", "train.warmup_epochs=0", "statistics.draws=100", "train.epochs=1")
ROUNDS = 60
CANDIDATES = {"net": "experiment=tiny_cnn", "other": "experiment=tiny_resnet"}


@dataclass(frozen=True)
class Cell:
    """One recipe on one set.

    Args:
        y_N: true classes; p_NC: out-of-fold predictions of the same images, in the same order in all cells of
        a set. minutes: of one processor. group_N: of each image.
    """

    y_N: np.ndarray
    p_NC: np.ndarray
    minutes: float
    group_N: np.ndarray

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


def weights(own: Sequence[np.ndarray], y_N: np.ndarray) -> np.ndarray:
    """(M,) weights of the blend with the least log loss on these rows, by expectation and maximisation."""
    p_MN = np.clip(np.stack([p_NC[np.arange(len(y_N)), y_N] for p_NC in own]), 1e-9, None)
    w_M = np.full(len(own), 1 / len(own))
    for _ in range(ROUNDS):
        joint_MN = w_M[:, None] * p_MN
        w_M = (joint_MN / joint_MN.sum(axis=0)).mean(axis=1)
    return w_M


def blend(own: Sequence[Cell]) -> np.ndarray:
    """(N, C) the blend of cells of one set; each half of the groups gets the weights of the other half."""
    y_N, group_N = own[0].y_N, own[0].group_N
    side_N = np.unique(group_N, return_inverse=True)[1] % 2
    p_NC = np.zeros_like(own[0].p_NC)
    for side in (0, 1):
        here_N = side_N == side
        fitted = weights([cell.p_NC[~here_N] for cell in own], y_N[~here_N])
        p_NC[here_N] = sum(w * cell.p_NC[here_N] for w, cell in zip(fitted, own, strict=True))
    return p_NC


def gains(cells: Cells, members: Sequence[str], recipe: str, sets: Sequence[str]) -> dict[str, float]:
    """What a recipe adds a minute to the blend of these members, on each set where it has a cell."""
    found = {}
    for name in sets:
        own = cells.get((name, recipe))
        if own is None:
            continue
        there = [cells[name, member] for member in members if (name, member) in cells]
        before = score(own.y_N, blend(there)) if there else own.chance
        after = score(own.y_N, blend([*there, own]))
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
    """The score of the blend of these members on a set, and their minutes; of those that have a cell."""
    own = [cells[name, member] for member in members if (name, member) in cells]
    if not own:
        return float("nan"), 0.0
    return score(own[0].y_N, blend(own)), sum(cell.minutes for cell in own)


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
    began, cpu = time.perf_counter(), time.process_time()
    every = [*words, f"runtime.home={home.resolve()}", "runtime.mlflow=false", "runtime.threads=1"]
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            settings = load(every)
            session = open_session(settings)
            need = Need("infer", settings)
            check([need], session.graph)
            session.refuse(need)
            infer = session.get(need)
    except UserError as error:
        return " ".join([error.headline, *error.faults[:2]])
    share = min((time.process_time() - cpu) / (time.perf_counter() - began), 1.0)
    inside = closure(session.store, infer)
    (data,) = [one for one in inside.values() if one.stage == "data"]
    oof = files.read_probabilities(infer.folder / "oof.npz", "oof")
    known = files.read_samples(data.folder / "train.npz", home).take(oof.ids_N)
    seconds = sum(one.seconds for one in inside.values() if one.stage in COSTS)
    return Cell(known.labels, oof.p_NC, seconds * share / 60, known.groups_N)


def read(path: Path) -> Cell | None:
    """A kept cell; None: the recipe does not suit the set."""
    with np.load(path) as kept:
        if "p" not in kept.files:
            return None
        return Cell(kept["y"], kept["p"], float(kept["minutes"]), kept["group"])


def measured(
    options: argparse.Namespace, candidates: Mapping[str, Sequence[str]]
) -> dict[tuple[str, str], Cell]:
    """All cells, those that are there already first."""
    photos = {name: Path(path) for name, _, path in (text.partition("=") for text in options.photos)}
    cells: dict[tuple[str, str], Cell] = {}
    for recipe, words in candidates.items():
        for name in options.sets:
            path = options.out / f"{name}--{recipe}.npz"
            if not path.is_file():
                if options.minutes is not None and time.process_time() > options.minutes * 60:
                    continue
                one = sets.made(name, photos, options.out, options.images)
                own = [*one.words, *words, *options.words]
                made = run(own, options.out / "stores" / name)
                if isinstance(made, str):
                    print(f"{name}, {recipe}: none: {made}", flush=True)
                    np.savez(path, why=made)
                else:
                    np.savez(path, y=made.y_N, p=made.p_NC, minutes=made.minutes, group=made.group_N)
            if (cell := read(path)) is not None:
                cells[name, recipe] = cell
                print(
                    f"{name}, {recipe}: {score(cell.y_N, cell.p_NC):.4f}, {cell.minutes:.2f} min", flush=True
                )
    return cells


def report(cells: Cells, order: Sequence[str]) -> None:
    """The portfolio of all sets, and what it is worth on sets that did not choose it."""
    names = sorted({name for name, _ in cells})
    print("\nportfolio           gain a minute, and its range over the sets")
    for step in grown(cells, names):
        values = step.gains.values()
        print(f"{step.recipe:<24} {step.mean:+.4f} [{min(values):+.4f}, {max(values):+.4f}] on {len(values)}")
    if len(names) < 2:
        print("one set only: nothing is left out")
        return
    print("\nset left out        chosen by the others         the same number in the order of the file")
    for name in names:
        chosen = [step.recipe for step in grown(cells, [one for one in names if one != name])]
        (own, minutes), (other, others) = (
            blended(cells, name, members) for members in (chosen, list(order)[: len(chosen)])
        )
        print(f"{name:<18} {own:.4f} in {minutes:5.1f} min           {other:.4f} in {others:5.1f} min")


def main(arguments: Sequence[str] | None = None) -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--out", type=Path, required=True, help="folder of cells, sets and stores")
    words.add_argument("--recipes", default="cpu", help="a file of configs/portfolio/")
    words.add_argument("--more", nargs="*", default=[], help='further candidates, "NAME: words"')
    words.add_argument("--sets", nargs="*", default=list(SETS), help="also NAME-tail and NAME-grouped")
    words.add_argument("--photos", nargs="*", default=[], help="NAME=archive with a folder for each class")
    words.add_argument("--images", type=int, help="cut each set to so many images, whole groups")
    words.add_argument("--folds", type=int, help="train so many folds of each set; default: all")
    words.add_argument("--share", type=float, help="train on this share of the groups")
    words.add_argument("--words", nargs="*", default=[], help="settings of every cell, e.g. folds.n=3")
    words.add_argument("--minutes", type=float, help="begin no cell after so many minutes of processor")
    words.add_argument("--tiny", action="store_true", help="two small networks on a few digits")
    options = words.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    options.words += [] if options.folds is None else [f"train.folds={list(range(options.folds))}"]
    options.words += [] if options.share is None else [f"train.group_share={options.share}"]
    # Further candidates first: they are what a run is made for, and --minutes may end it early.
    named = (text.partition(":") for text in options.more)
    candidates = {name.strip(): own.split() for name, _, own in named}
    listed = {one.name: [f"experiment={one.name}"] for one in portfolio.recipes(CONFIGS, options.recipes)}
    if options.tiny:
        options.sets, options.words, options.images = options.sets[-1:], [*options.words, *TINY], 120
        listed = {name: text.split() for name, text in CANDIDATES.items()}
    candidates |= {name: own for name, own in listed.items() if name not in candidates}
    report(measured(options, candidates), list(listed))


if __name__ == "__main__":
    sys.exit(main())
