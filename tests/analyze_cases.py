"""A small competition of real digits with hostile and Korean names, shared by the analyze tests."""

import hashlib
from dataclasses import dataclass, replace

import cv2
import numpy as np
import pandas as pd
from sklearn.datasets import load_digits

from pipeline.core.predictions import Comparison, Interval, Probabilities
from pipeline.core.samples import Attribute, LabelSpace, Samples
from pipeline.core.seeds import rng
from pipeline.eda.page import ExploreInputs
from pipeline.errors.advice.advisor import advise
from pipeline.errors.advice.facts import Facts
from pipeline.errors.diff.flips import Submission, find_flips
from pipeline.errors.page import ReportInputs
from pipeline.pages.report import ImageOf, Pixels
from pipeline.settings.schema import Config

HOSTILE = (
    "<img src=x onerror=alert(1)>.png",
    '"><script>alert(2)</script>',
    "</script><script>alert(3)</script>",
    "{{ 7 * 7 }}' onmouseover='alert(4)",
)
SPACE = LabelSpace.product(
    [
        Attribute("size", ("작은 수", "<b>큰 수</b>"), constant_in_group=True),
        Attribute("parity", ("even & round", "홀수")),
    ]
)


@dataclass(frozen=True)
class Case:
    train: Samples
    test: Samples
    facts: pd.DataFrame
    image: ImageOf


def samples(pixels: dict[tuple[str, str], Pixels], split: str, start: int, n: int) -> Samples:
    digits = load_digits()
    ids, groups, labels = [], [], []
    for k in range(n):
        name = HOSTILE[k] if k < len(HOSTILE) else f"{k:04d}.png"
        at = start + k
        grey = np.kron(digits.images[at] * 15.9, np.ones((3, 3))).astype(np.uint8)
        pixels[split, name] = np.stack([grey] * 3, axis=2)
        digit = int(digits.target[at])
        ids.append(name)
        labels.append((digit >= 5) * 2 + digit % 2)
        groups.append(f"<u>{split}</u> {digit >= 5} {k // 6}")
    return Samples(ids, ids, groups, SPACE, np.array(labels), split)


def average_hash(image: Pixels) -> str:
    """64 bits of a perceptual hash as hex: which of 8 × 8 cells are brighter than the median."""
    small = cv2.resize(image, (8, 8), interpolation=cv2.INTER_AREA).mean(axis=2)
    return np.packbits(small > np.median(small)).tobytes().hex()


def facts_of(pixels: dict[tuple[str, str], Pixels]) -> pd.DataFrame:
    rows = []
    for (split, name), image in pixels.items():
        digest = hashlib.sha256(image.tobytes()).hexdigest()
        h, w = image.shape[:2]
        rows.append(
            (
                *(name, split, w, h, digest, average_hash(image)),
                *(float(image.mean()), float(image.std()), float(image.var())),
            )
        )
    names = ["id", "split", "width", "height", "sha256", "phash", "brightness", "contrast", "blur"]
    return pd.DataFrame(rows, columns=names)


def case(n_train: int = 120, n_test: int = 40) -> Case:
    """Train and test share ids on purpose: hosts number both from zero."""
    pixels: dict[tuple[str, str], Pixels] = {}
    train = samples(pixels, "train", 0, n_train)
    test = replace(samples(pixels, "test", n_train, n_test), labels_N=None)
    return Case(train, test, facts_of(pixels), lambda split, name: pixels[split, name])


def explore_inputs(made: Case, config: Config | None = None) -> ExploreInputs:
    health = pd.DataFrame({"fold": [0, 1], "train_images": [60, 60], SPACE.classes[2]: [11, 12]})
    notes = (f"note about {HOSTILE[0]}",)
    return ExploreInputs(
        f"digits {HOSTILE[0]}",
        made.train,
        made.test,
        made.facts,
        made.image,
        health,
        notes,
        config or Config(),
    )


def probabilities(ids: np.ndarray, labels: np.ndarray, seed: int, skill: float = 1.5) -> Probabilities:
    logits = rng(seed, "probabilities").normal(size=(len(ids), SPACE.n_classes))
    logits[np.arange(len(ids)), labels] += skill
    p = np.exp(logits)
    return Probabilities(ids, SPACE.classes, (p / p.sum(axis=1, keepdims=True)).astype(np.float32), "run")


def compare_inputs(made: Case) -> ReportInputs:
    truth = np.arange(len(made.test)) % SPACE.n_classes
    new, old = (probabilities(made.test.ids_N, truth, seed) for seed in (1, 2))
    shuffled = rng(0, "order").permutation(len(made.test))
    ours = Submission(HOSTILE[2], new.ids_N, new.labels(), new, Interval(0.71, 0.68, 0.74, 40))
    theirs = Submission(
        "old", old.ids_N[shuffled], old.labels()[shuffled], old, Interval(0.7, 0.67, 0.73, 40), 0.69
    )
    open_end = Comparison(0.01, -0.005, 0.025, 0.9, 40, "can't tell")
    asked = ("competition=digits", "experiment=small_cnn")
    known = Facts(SPACE, Config(), asked=asked, flips=find_flips(SPACE, ours, theirs), comparison=open_end)
    return ReportInputs(
        title=f"digits {HOSTILE[1]}",
        space=SPACE,
        new=ours,
        old=theirs,
        image=made.image,
        config=Config(),
        oof=probabilities(made.train.ids_N, made.train.labels, 3),
        train=made.train,
        comparison=open_end,
        advice=advise(known),
    )
