"""Which techniques pay, on open sets: each against the plain recipe, paired, corrected for their number.

    python -m benchmarks.techniques network --out cells --photos trash=trashnet-256.zip --images 480
    python -m benchmarks.techniques head --out cells --sets emoji digits
    python -m benchmarks.techniques network --out cells --tiny       a minute; says nothing about techniques

`network` changes EfficientNet-lite0, all weights trained, at 96 px with logit adjustment; `head` changes an
MLP on the features of the frozen one at 224 px, one view. "class weights" replace the adjustment, "greedy
soup" also takes the inner split that it needs out of the training, "growing size" has two epochs more, which
take as long. Cells are made and kept as in `benchmarks/portfolio.py`: one recipe on one set, its out-of-fold
predictions and the minutes of one processor; another `--images` needs another `--out`. A second call goes on
from there.

Prints, for each technique, the mean over the sets of macro-F1 minus that of the plain recipe, with an
interval from resampled groups that holds for all techniques of the call at once (max-T); the differences on
each set; and the minutes as a multiple of the plain ones. Sets with fewer than 50 groups to judge by have a
difference and no part in the mean: intervals from few groups are too narrow. One seed each, and the sets are
these: an interval contains neither the noise of training nor how much sets differ. Variants of a set share
images.

Shape legend: N images, M recipes, A techniques, B resamples.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks import portfolio
from benchmarks.portfolio import Cells, score
from benchmarks.sets import VARIANTS
from pipeline.core.group_resampling import max_t_factor, rescored
from pipeline.core.metrics import get
from pipeline.core.seeds import rng
from pipeline.settings.load import CONFIGS
from pipeline.settings.read import names

SETS = ("emoji", "emoji-people", "trash", "trash-tail")
# A head trains in seconds once its features are there, so all images judge it; of a network half of them.
FOLDS = {"network": ("folds.n=2", "train.folds=[0]"), "head": ("folds.n=2",)}
TINY = ("images.size=32", "statistics.draws=100")
PLAIN, DRAWS, SEED = "plain", 1000, 0
FEWEST_GROUPS = 50
ONE_VIEW = "train.probe_views=[identity] infer.views=[identity]"
THREE = '[identity,hflip,"shift(2,2)"]'
BASES = {
    "network": "experiment=lite0_96 train.epochs=10",
    "head": f"experiment=probe_mlp images.size=224 {ONE_VIEW} train.head_seeds=5",
}
CHANGES = {
    "network": {
        "plain loss": "loss.name=cross_entropy",
        "class weights": "loss.name=cross_entropy loss.class_weights=effective",
        "EMA": "train.ema_decay=0.98",
        "soup": "train.swa_start=0.6",
        "greedy soup": "train.swa_start=0.6 train.soup=greedy train.early_stopping.patience=1000",
        "head first": "train.head_epochs=1",
        "growing size": "train.first_px=48 train.epochs=12",
        "crops": "augment.policy=crops",
        "crops, stored": "augment.policy=crops images.store_px=128",
        "neighbours": "train.neighbours=0.3",
    },
    "head": {
        "one seed": "train.head_seeds=1",
        "adjusted loss": "loss.name=logit_adjustment",
        "two stages": "model.feature_stages=2",
        "three stages": "model.feature_stages=3",
        "pixels": "model.feature_px=8",
        "three views": f"train.probe_views={THREE} infer.views={THREE}",
        "kNN": f"experiment=knn images.size=224 {ONE_VIEW}",
        "logistic": f"experiment=probe_logistic images.size=224 {ONE_VIEW}",
    },
}


def words_of(family: str, change: str) -> list[str]:
    """The settings of the plain recipe with a change, or those of a change that names an experiment."""
    plain, own = BASES[family].split(), CHANGES[family].get(change, "").split()
    if any(word.startswith("experiment=") for word in own):
        return own
    changed = {word.partition("=")[0] for word in own}
    return [word for word in plain if word.partition("=")[0] not in changed] + own


@dataclass(frozen=True)
class Paid:
    """What one technique was worth.

    Args:
        change: its name.
        delta: mean over the sets with enough groups of macro-F1 minus the plain recipe's; NaN: there is none.
        low, high: of the corrected 95 % interval.
        each: the difference on each set that has a cell.
        cost: minutes as a multiple of the plain ones, mean over all of these sets.
    """

    change: str
    delta: float
    low: float
    high: float
    each: dict[str, float]
    cost: float

    @property
    def verdict(self) -> str:
        """In the words of every comparison."""
        return "better" if self.low > 0 else "worse" if self.high < 0 else "can't tell"


def draws(cells: Cells, name: str, changes: Sequence[str]) -> np.ndarray:
    """(A, B) differences to the plain recipe on resampled groups of a set, less their mean; 0: no cell."""
    plain = cells[name, PLAIN]
    for change in changes:
        other = cells.get((name, change), plain)
        same = np.array_equal(plain.y_N, other.y_N) and np.array_equal(plain.group_N, other.group_N)
        assert same, f"{name}: the cells of {change} and {PLAIN} are of other images; choose another --out"
    there = [(at, cells[name, change]) for at, change in enumerate(changes) if (name, change) in cells]
    sides = [plain.p_NC, *(cell.p_NC for _, cell in there)]
    generator = rng(SEED, "techniques", name)
    drawn_MB = rescored(get("macro_f1"), plain.y_N, sides, plain.group_N, DRAWS, generator)
    off_AB = np.zeros((len(changes), DRAWS))
    for row, (at, _) in enumerate(there, 1):
        off_B = drawn_MB[row] - drawn_MB[0]
        off_AB[at] = off_B - off_B.mean()
    return off_AB


def paid(cells: Cells) -> list[Paid]:
    """Each technique against the plain recipe over the sets that have both, the best first."""
    sets = sorted({name for name, recipe in cells if recipe == PLAIN})
    changes = sorted({recipe for name, recipe in cells if name in sets} - {PLAIN})
    judging = [name for name in sets if len(np.unique(cells[name, PLAIN].group_N)) >= FEWEST_GROUPS]
    if not changes:
        return []
    n_A1 = np.array([[sum((name, change) in cells for name in judging)] for change in changes])
    off_AB = sum((draws(cells, name, changes) for name in judging), np.zeros((len(changes), DRAWS)))
    off_AB = off_AB / np.maximum(n_A1, 1)
    error_A = off_AB.std(axis=1)
    reach_A = max_t_factor(off_AB, error_A) * error_A
    found = []
    for change, reach in zip(changes, reach_A, strict=True):
        pairs = {name: (cells[name, change], cells[name, PLAIN]) for name in sets if (name, change) in cells}
        each = {n: score(new.y_N, new.p_NC) - score(old.y_N, old.p_NC) for n, (new, old) in pairs.items()}
        counted = [delta for name, delta in each.items() if name in judging]
        delta = float(np.mean(counted)) if counted else float("nan")
        cost = float(np.mean([new.minutes / max(old.minutes, 1e-9) for new, old in pairs.values()]))
        found.append(Paid(change, delta, delta - reach, delta + reach, each, cost))
    return sorted(found, key=lambda one: -np.nan_to_num(one.delta, nan=-1.0))


def main(arguments: Sequence[str] | None = None) -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("family", choices=list(CHANGES))
    words.add_argument("--out", type=Path, required=True, help="folder of cells, sets and stores")
    words.add_argument("--sets", nargs="*", default=list(SETS), help="also NAME-tail and NAME-grouped")
    words.add_argument("--photos", nargs="*", default=[], help="NAME=archive with a folder for each class")
    words.add_argument("--images", type=int, default=480, help="cut each set to so many images, whole groups")
    words.add_argument("--changes", nargs="*", choices=sorted({*CHANGES["network"], *CHANGES["head"]}))
    words.add_argument("--minutes", type=float, help="begin no cell after so many minutes of processor")
    words.add_argument("--tiny", action="store_true", help="two techniques on a few digits")
    options = words.parse_args(arguments)
    options.words, changes = list(FOLDS[options.family]), options.changes or list(CHANGES[options.family])
    if options.tiny:
        options.sets, options.images, options.words = ["digits"], 120, [*FOLDS["network"], *TINY]
        options.family, changes = "network", ["soup", "class weights"]
    known = {*names(CONFIGS, "competition"), *(text.partition("=")[0] for text in options.photos)}
    unknown = [
        name for name in options.sets if not known & {name, *(name.removesuffix(f"-{v}") for v in VARIANTS)}
    ]
    if unknown:
        words.error(f"--sets {' '.join(unknown)}: neither a demo nor NAME of a --photos NAME=archive")
    options.out /= "tiny" if options.tiny else options.family
    options.out.mkdir(parents=True, exist_ok=True)
    cells = portfolio.measured(options, {name: words_of(options.family, name) for name in (PLAIN, *changes)})
    print(f"\n{'technique':<16} macro-F1 against plain              time    on each set")
    for one in paid(cells):
        each = ", ".join(f"{name} {delta:+.3f}" for name, delta in one.each.items())
        interval = f"{one.delta:+.4f} [{one.low:+.4f}, {one.high:+.4f}]"
        print(f"{one.change:<16} {interval} {one.verdict:<11} × {one.cost:.2f}  {each}")


if __name__ == "__main__":
    sys.exit(main())
