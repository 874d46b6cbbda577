"""Whether `make leaderboard` names the right cause of a gap, and names none if there is none.

    OMP_NUM_THREADS=1 python benchmarks/gap.py [REPETITIONS] [CLEAN] [FIRST_SEED]   12 60 0: 6 minutes

Small worlds of real digits: each digit is drawn several times (a group), tinted, turned and noisy enough that
a classifier errs. One fault is planted in each world; a classifier (logistic regression and nearest
neighbours on pixels, averaged) gives out-of-fold and test predictions as the pipeline does, the test set by
the mean of all folds; then every check runs. It counts how often the planted cause comes first, and how often
a clean world has a fault first: anything but noise or, if the public score is higher, the gain from averaging
the folds' models (which exists in these worlds). The two worlds called "clean" differ in whether the test
set's groups are known.
"""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import cv2
import numpy as np
import pandas as pd
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, KFold
from sklearn.neighbors import KNeighborsClassifier

from pipeline.core import metrics
from pipeline.core.samples import Attribute, FoldPlan, LabelSpace, Split
from pipeline.core.seeds import rng
from pipeline.data import decode
from pipeline.settings.eda import EdaSettings
from pipeline.submit.gap import diagnosis
from pipeline.submit.gap.scene import Diagnosis, GapScene, Question, Submitted, measure_images
from pipeline.submit.gap.selection import Compared

SPACE = LabelSpace.product([Attribute("digit", tuple("0123456789"))])
METRIC = metrics.get("macro_f1")
SIDE = 32
FOLDS = 5
DRAWS = 400
GROUPS, COPIES = 260, 3
TEST_GROUPS = 200
ARMS = 300


@dataclass
class World:
    """Images of both splits before anything is asked.

    Args:
        pixels: (N + T, 32, 32, 3), training images first.
        labels, groups: of all of them; groups of test images may be none of their own.
        n_train: N.
        by_image: folds deal images, not groups.
    """

    pixels: np.ndarray
    labels: np.ndarray
    groups: np.ndarray
    n_train: int
    by_image: bool = False


def drawn(digits: np.ndarray, draw: np.random.Generator, copies: int, camera: np.ndarray) -> np.ndarray:
    """(G × copies, 32, 32, 3) pictures: what a group shares (stroke noise, tint) and what a copy has."""
    out = []
    for digit, cam in zip(digits, camera, strict=True):
        shared = digit / 16 * 200 + draw.normal(0, 55, (8, 8))
        tint = draw.normal(0, 12, 3)
        for _ in range(copies):
            small = shared + draw.normal(0, 18, (8, 8))
            big = cv2.resize(small.astype(np.float32), (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)
            turn = cv2.getRotationMatrix2D((SIDE / 2, SIDE / 2), draw.normal(0, 7), 1.0)
            big = cv2.warpAffine(big, turn, (SIDE, SIDE), borderMode=cv2.BORDER_REFLECT)
            colour = big[:, :, None] + tint + 30
            if cam:  # another camera: darker, bluish and noisy
                colour = 0.7 * colour + np.array([-15, 0, 40]) + draw.normal(0, 45, (SIDE, SIDE, 1))
            out.append(np.clip(colour, 0, 255))
    return np.stack(out).astype(np.uint8)


def chosen(draw: np.random.Generator, priors: np.ndarray, count: int, pool: np.ndarray) -> np.ndarray:
    """Positions of `count` digits of these class frequencies, out of a pool, each at most once."""
    target = load_digits().target
    wanted = draw.multinomial(count, priors)
    at = [draw.permutation(pool[target[pool] == c])[: wanted[c]] for c in range(10)]
    return draw.permutation(np.concatenate(at))


def world(
    draw: np.random.Generator,
    *,
    test_priors: np.ndarray | None = None,
    cameras: tuple[float, float] = (0.2, 0.2),
    known: bool = True,
) -> World:
    """A sound world, or one whose classes or cameras are not as frequent in the test set."""
    bunch = load_digits()
    order = draw.permutation(len(bunch.target))
    here, there = order[: len(order) // 2], order[len(order) // 2 :]
    even = np.full(10, 0.1)
    train = chosen(draw, even, GROUPS, here)
    test = chosen(draw, even if test_priors is None else test_priors, TEST_GROUPS, there)
    parts = [
        drawn(bunch.images[at], draw, COPIES, draw.random(len(at)) < share)
        for at, share in zip((train, test), cameras, strict=True)
    ]
    labels = np.repeat(bunch.target[np.concatenate([train, test])], COPIES)
    groups = np.repeat(np.arange(len(train) + len(test)), COPIES).astype(str)
    n_train = len(train) * COPIES
    if not known:
        groups[n_train:] = [f"t{k}" for k in range(len(groups) - n_train)]
    return World(np.concatenate(parts), labels, groups, n_train)


def group_leak(draw: np.random.Generator) -> World:
    return replace(world(draw), by_image=True)


def untold_groups(draw: np.random.Generator) -> World:
    """Groups that no column names: every image seems to be its own."""
    found = world(draw)
    return replace(found, groups=np.arange(len(found.groups)).astype(str), by_image=True)


def copies_in_folds(draw: np.random.Generator) -> World:
    """A third of the training images saved again, slightly brighter, under other groups."""
    found = world(draw)
    n = found.n_train
    again = draw.permutation(n)[: n // 3]
    saved = np.clip(found.pixels[again].astype(int) + 3, 0, 255).astype(np.uint8)
    names = np.array([f"copy{k}" for k in range(len(again))])
    return World(
        np.concatenate([found.pixels[:n], saved, found.pixels[n:]]),
        np.concatenate([found.labels[:n], found.labels[again], found.labels[n:]]),
        np.concatenate([found.groups[:n], names, found.groups[n:]]),
        n + len(again),
    )


def copies_in_test(draw: np.random.Generator) -> World:
    """A quarter of the test images are training images."""
    found = world(draw, known=False)
    n, t = found.n_train, len(found.labels) - found.n_train
    at = n + draw.permutation(t)[: t // 4]
    source = draw.permutation(n)[: len(at)]
    found.pixels[at], found.labels[at] = found.pixels[source], found.labels[source]
    return found


def transformed(draw: np.random.Generator) -> World:
    """Test images stored or decoded otherwise, in one of six ways."""
    found = world(draw)
    n = found.n_train
    x = found.pixels[n:].astype(np.float32)
    way = int(draw.integers(6))
    if way == 0:
        x = 255 - x
    elif way == 1:
        x = x[..., ::-1] if draw.random() < 0.5 else x[:, :, ::-1]
    elif way == 2:
        x = np.rot90(x, 1, axes=(1, 2))
    elif way == 3:
        x = x * 0.45
    elif way == 4:
        x = np.stack([cv2.GaussianBlur(image, (9, 9), 3) for image in x])
    else:
        x = np.stack(
            [cv2.resize(cv2.resize(i, (8, 8)), (SIDE, SIDE), interpolation=cv2.INTER_NEAREST) for i in x]
        )
    found.pixels[n:] = np.clip(x, 0, 255).astype(np.uint8)
    return found


def covariate(draw: np.random.Generator) -> World:
    """Every seventh training image is of the other camera, and two thirds of the test set."""
    return world(draw, cameras=(0.15, 0.65))


def label_shift(draw: np.random.Generator) -> World:
    """A long tail in the test set that training does not have."""
    priors = 0.72 ** np.arange(10)
    return world(draw, test_priors=draw.permutation(priors / priors.sum()))


def predict(found: World, plan: list[tuple[np.ndarray, np.ndarray]]) -> Submitted:
    """Out-of-fold predictions, and the mean of all folds' models on the test set."""
    n = found.n_train
    small = np.stack([cv2.resize(i, (8, 8), interpolation=cv2.INTER_AREA) for i in found.pixels])
    x = small.reshape(len(small), -1).astype(np.float64) / 255
    oof, test = np.zeros((n, 10)), np.zeros((len(x) - n, 10))
    for train, valid in plan:
        models = (
            LogisticRegression(C=0.03, max_iter=200),
            KNeighborsClassifier(5, weights="distance", algorithm="brute"),
        )
        for model in models:
            model.fit(x[train], found.labels[train])
            oof[np.ix_(valid, model.classes_)] += model.predict_proba(x[valid]) / len(models)
            test[:, model.classes_] += model.predict_proba(x[n:]) / len(models) / len(plan)
    return Submitted(np.arange(n), _rows(oof), _rows(test))


def _rows(p_NC: np.ndarray) -> np.ndarray:
    return (p_NC / p_NC.sum(axis=1, keepdims=True)).astype(np.float32)


def scene_of(found: World, plan: list[tuple[np.ndarray, np.ndarray]], seed: int) -> GapScene:
    """What the checks see of a world."""
    n = found.n_train
    ids = np.array([f"{k:05d}" for k in range(len(found.labels))])
    facts = [decode.facts_of(i, p.tobytes(), (SIDE, SIDE), p) for i, p in zip(ids, found.pixels, strict=True)]
    images = pd.DataFrame(
        {
            "split": np.where(np.arange(len(ids)) < n, "train", "test"),
            "id": ids,
            "group": found.groups,
            "label": np.where(np.arange(len(ids)) < n, found.labels, -1),
            "width": SIDE,
            "height": SIDE,
            "sha256": [f.sha256 for f in facts],
            "phash": [f.phash for f in facts],
        }
    )
    pixels = dict(zip(ids, found.pixels, strict=True))
    seen, looks = measure_images(images, 10, lambda split, name: pixels[name])
    splits = tuple(Split(ids[train], ids[valid]) for train, valid in plan)
    return GapScene(SPACE, METRIC, images, looks, seen, FoldPlan(splits), EdaSettings(seed=seed), DRAWS)


def noisy_arms(of: Submitted, draw: np.random.Generator, strength: float) -> list[np.ndarray]:
    """Runs that are equally good: the same predictions, each blurred by its own noise."""
    logits = np.log(np.maximum(of.oof_KC, 1e-4))
    return [_rows(np.exp(logits + draw.normal(0, strength, logits.shape))) for _ in range(ARMS)]


def diagnosed(kind: str, make: Callable[[np.random.Generator], World], seed: int) -> tuple[str, Diagnosis]:
    """The first cause of one repetition, and everything else that was found."""
    draw = rng(seed, "gap benchmark", kind)
    found = make(draw)
    n = found.n_train
    state = int(draw.integers(2**31))
    folds = (
        KFold(FOLDS, shuffle=True, random_state=state)
        if found.by_image
        else GroupKFold(FOLDS, shuffle=True, random_state=state)
    )
    plan = list(folds.split(np.zeros(n), groups=None if found.by_image else found.groups[:n]))
    of = predict(found, plan)
    scene = scene_of(found, plan, seed)
    compared = None
    test = of.test_TC
    if kind == "over_selection":
        arms = noisy_arms(of, draw, 2.0)
        scores = [METRIC.score(found.labels[:n], p) for p in arms]
        best = int(np.argmax(scores))
        logits = np.log(np.maximum(of.test_TC, 1e-4))
        test = _rows(np.exp(logits + draw.normal(0, 2.0, logits.shape)))
        of = Submitted(of.rows_K, arms[best], test)
        names = tuple(f"run {k}" for k in range(ARMS))
        compared = Compared(names, of.rows_K, arms, ARMS, names[best])
    elif kind.startswith("clean"):
        few = [of.oof_KC, *noisy_arms(of, draw, 0.3)[:5]]
        compared = Compared(tuple(f"run {k}" for k in range(6)), of.rows_K, few, 6, "run 0")
    size = TEST_GROUPS // 2
    public = np.isin(np.arange(len(test)) // COPIES, draw.permutation(len(test) // COPIES)[:size])
    asked = Question(
        kind,
        METRIC.score(found.labels[:n], of.oof_KC),
        METRIC.score(found.labels[n:][public], test[public]),
        size,
    )
    told = diagnosis.diagnose(scene, of, compared, asked)
    return told.causes[0].kind, told


PLANTED: dict[str, tuple[Callable[[np.random.Generator], World], tuple[str, ...]]] = {
    "group_leak": (group_leak, ("group_leak",)),
    "untold groups": (untold_groups, ("group_leak", "duplicates")),
    "copies in folds": (copies_in_folds, ("duplicates", "group_leak")),
    "copies in test": (copies_in_test, ("duplicates",)),
    "transform": (transformed, ("transform",)),
    "covariate_shift": (covariate, ("covariate_shift",)),
    "label_shift": (label_shift, ("label_shift",)),
    "over_selection": (world, ("over_selection",)),
    "clean": (world, ("noise", "averaging")),
    "clean, test groups unknown": (lambda draw: world(draw, known=False), ("noise", "averaging")),
}


def main() -> None:
    repetitions = int(sys.argv[1]) if len(sys.argv) > 1 else 12
    clean = int(sys.argv[2]) if len(sys.argv) > 2 else 60
    start = int(sys.argv[3]) if len(sys.argv) > 3 else 0
    print(
        f"{'planted':<28} {'right first':>12}  {'mean OOF':>8} {'public':>7}  {'s each':>6}  first otherwise"
    )
    for kind, (make, right) in PLANTED.items():
        count = (clean + 1) // 2 if kind.startswith("clean") else repetitions
        started = time.monotonic()
        firsts, oofs, publics = [], [], []
        for seed in range(start, start + count):
            first, told = diagnosed(kind, make, seed)
            firsts.append(first)
            oofs.append(told.question.oof)
            publics.append(told.question.public)
        hits = sum(first in right for first in firsts)
        wrong = ", ".join(sorted(first for first in firsts if first not in right))
        seconds = (time.monotonic() - started) / count
        figures = f"{np.mean(oofs):>8.3f} {np.mean(publics):>7.3f}  {seconds:>6.1f}"
        print(f"{kind:<28} {hits:>5} of {count:<4}  {figures}  {wrong}", flush=True)


if __name__ == "__main__":
    main()
