"""How often does a 95 % interval of macro-F1 contain the true score? By number of groups and method.

    python benchmarks/honesty.py                      2,000 outer draws, all cores; prints two tables
    python benchmarks/honesty.py --outer 100          a quick look

Simulates the competition of the notes: 18 classes = mask (3) × gender (2) × age (3), seven photos a person (5
worn, 1 worn wrongly, 1 none), about 3 % of the people in the rarest of six kinds. A model errs on a person's
gender and age mostly once for all seven photos, and on masks photo by photo. The true score is known exactly:
attributes err independently, so the expected confusion is a product.

`single` asks whether the interval of one model's score contains its true score; `paired` whether the interval
of the difference of two models contains the true difference.

Methods: percentile, basic and BCa (Efron & Tibshirani 1993, chapters 13 and 14), normal (estimate ± 1.96
bootstrap standard errors), and each of percentile and normal with people resampled within their kind
("stratified"). Groups are drawn whole in all of them.

Shape legend: G groups, B resamples, C classes, K kinds of people, P photos a person.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri

from pipeline.core.metrics import macro_f1
from pipeline.core.seeds import rng

Reals = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

GROUPS = (12, 24, 75, 150, 300, 1000)
METHODS = ("percentile", "basic", "bca", "normal", "stratified percentile", "stratified normal")
# Gender × age, in shares of the people; the rarest is men of 60 and above.
KINDS_K = np.array([0.185, 0.170, 0.031, 0.290, 0.284, 0.040])
MASKS_P = np.array([0, 0, 0, 0, 0, 1, 2])
C = 18


@dataclass(frozen=True)
class Model:
    """How often a model says what, by attribute; rows are the truth.

    Args:
        gender, age, mask: row-stochastic.
        per_person: share of people whose gender and age are judged once for all photos.
    """

    gender: tuple[tuple[float, ...], ...]
    age: tuple[tuple[float, ...], ...]
    mask: tuple[tuple[float, ...], ...]
    per_person: float = 0.8

    def confusion(self) -> Reals:
        """(C, C) shares of all photos, in expectation."""
        mask_33 = np.bincount(MASKS_P, minlength=3)[:, None] / len(MASKS_P) * np.array(self.mask)
        kind_KK = KINDS_K[:, None] * np.kron(np.array(self.gender), np.array(self.age))
        return np.kron(mask_33, kind_KK)


FIRST = Model(
    gender=((0.96, 0.04), (0.03, 0.97)),
    age=((0.92, 0.08, 0.0), (0.10, 0.86, 0.04), (0.02, 0.43, 0.55)),
    mask=((0.99, 0.005, 0.005), (0.02, 0.96, 0.02), (0.01, 0.01, 0.98)),
)
# Better on old people, a little worse on young ones.
SECOND = Model(
    gender=((0.965, 0.035), (0.03, 0.97)),
    age=((0.91, 0.09, 0.0), (0.09, 0.86, 0.05), (0.02, 0.36, 0.62)),
    mask=((0.99, 0.005, 0.005), (0.02, 0.96, 0.02), (0.01, 0.01, 0.98)),
)
# Share of people on whom the second model draws as the first one does: two models err on the same people.
SHARED = 0.7


def _said(truth_GP: Ints, kind: Reals, u_GP: Reals, u_G: Reals, once_G: npt.NDArray[np.bool_]) -> Ints:
    """Answers for one attribute, by inverting the rows' cumulative sums at uniform numbers."""
    u = np.where(once_G[:, None], u_G[:, None], u_GP)
    edges = np.cumsum(kind, axis=1)[truth_GP]
    return np.asarray((u[..., None] > edges[..., :-1]).sum(-1), dtype=np.int64)


def sample(generator: np.random.Generator, n_groups: int) -> tuple[Reals, Ints]:
    """((2, G, C·C) counts of both models for each person, (G,) kind of each person)."""
    kind_G = generator.choice(len(KINDS_K), n_groups, p=KINDS_K)
    shape = (n_groups, len(MASKS_P))
    gender_GP = np.broadcast_to((kind_G // 3)[:, None], shape)
    age_GP = np.broadcast_to((kind_G % 3)[:, None], shape)
    mask_GP = np.broadcast_to(MASKS_P[None], shape)
    common = [(generator.random(shape), generator.random(n_groups)) for _ in range(3)]
    once_G = generator.random(n_groups) < FIRST.per_person
    counts = []
    for model, shared in ((FIRST, 1.0), (SECOND, SHARED)):
        own = [(generator.random(shape), generator.random(n_groups)) for _ in range(3)]
        same_G = generator.random(n_groups) < shared
        draws = [
            (np.where(same_G[:, None], c[0], o[0]), np.where(same_G, c[1], o[1]))
            for c, o in zip(common, own, strict=True)
        ]
        never_G = np.zeros(n_groups, bool)
        gender = _said(gender_GP, np.array(model.gender), *draws[0], once_G)
        age = _said(age_GP, np.array(model.age), *draws[1], once_G)
        mask = _said(mask_GP, np.array(model.mask), *draws[2], never_G)
        truth_GP = mask_GP * 6 + gender_GP * 3 + age_GP
        cell_GP = truth_GP * C + mask * 6 + gender * 3 + age
        at = np.arange(n_groups)[:, None] * C * C + cell_GP
        counts.append(np.bincount(at.ravel(), minlength=n_groups * C * C).reshape(n_groups, C * C))
    return np.stack(counts).astype(np.float64), kind_G


def _scores(weights_BG: Reals, counts_GX: Reals) -> Reals:
    used = np.flatnonzero(counts_GX.any(axis=0))
    total_BX = np.zeros((len(weights_BG), C * C))
    total_BX[:, used] = weights_BG @ counts_GX[:, used]
    return macro_f1(total_BX.reshape(-1, C, C))


def _times(generator: np.random.Generator, n_groups: int, draws: int) -> Reals:
    return generator.multinomial(n_groups, np.full(n_groups, 1 / n_groups), draws).astype(np.float64)


def _stratified_times(generator: np.random.Generator, kind_G: Ints, draws: int) -> Reals:
    times_BG = np.empty((draws, len(kind_G)))
    for kind in np.unique(kind_G):
        at = np.flatnonzero(kind_G == kind)
        times_BG[:, at] = _times(generator, len(at), draws)
    return times_BG


Intervals = dict[str, tuple[float, float]]


def intervals(estimate: float, plain_B: Reals, stratified_B: Reals, left_out_G: Reals) -> Intervals:
    """The 95 % interval of every method.

    Args:
        estimate: on all groups.
        plain_B: on resampled groups.
        stratified_B: on groups resampled within their kind.
        left_out_G: without each group in turn, for the acceleration of BCa.
    """
    low, high = np.percentile(plain_B, (2.5, 97.5))
    found = {"percentile": (low, high), "basic": (2 * estimate - high, 2 * estimate - low)}
    below = np.clip(np.mean((plain_B < estimate) + 0.5 * (plain_B == estimate)), 1e-4, 1 - 1e-4)
    off_G = left_out_G.mean() - left_out_G
    spread = float((off_G**2).sum() ** 1.5)
    speed = float((off_G**3).sum()) / (6 * spread) if spread > 0 else 0.0
    z0 = ndtri(below)
    z = z0 + ndtri(np.array([0.025, 0.975]))
    at = ndtr(z0 + z / (1 - speed * z))
    found["bca"] = tuple(np.quantile(plain_B, at))
    for name, drawn_B in (("normal", plain_B), ("stratified normal", stratified_B)):
        reach = 1.96 * drawn_B.std(ddof=1)
        found[name] = (estimate - reach, estimate + reach)
    found["stratified percentile"] = tuple(np.percentile(stratified_B, (2.5, 97.5)))
    return {name: (float(ends[0]), float(ends[1])) for name, ends in found.items()}


def one(n_groups: int, draws: int, number: int) -> dict[str, Intervals]:
    """The intervals of one simulated data set, single and paired."""
    generator = rng(0, "honesty", n_groups, number)
    counts, kind_G = sample(generator, n_groups)
    plain_BG = _times(generator, n_groups, draws)
    strata_BG = _stratified_times(generator, kind_G, draws)
    whole_1G, without_GG = np.ones((1, n_groups)), 1.0 - np.eye(n_groups)

    def all_of(score: Callable[[Reals], Reals]) -> Intervals:
        return intervals(float(score(whole_1G)[0]), score(plain_BG), score(strata_BG), score(without_GG))

    cached = {id(w): [_scores(w, x) for x in counts] for w in (whole_1G, plain_BG, strata_BG, without_GG)}
    return {
        "single": all_of(lambda w: cached[id(w)][0]),
        "paired": all_of(lambda w: cached[id(w)][1] - cached[id(w)][0]),
    }


def truths() -> dict[str, float]:
    """The true score of the first model, and the true difference."""
    first, second = (float(macro_f1(m.confusion()[None])[0]) for m in (FIRST, SECOND))
    return {"single": first, "paired": second - first}


def coverage(outer: int, draws: int, groups: tuple[int, ...]) -> dict[str, dict[int, dict[str, list[float]]]]:
    """Kind -> groups -> method -> [share of intervals that hold the truth, mean width]."""
    true, found = truths(), {kind: dict[int, dict[str, list[float]]]() for kind in ("single", "paired")}
    with ProcessPoolExecutor() as pool:
        for n_groups in groups:
            results = list(pool.map(partial(one, n_groups, draws), range(outer), chunksize=8))
            for kind, value in true.items():
                ends = {m: np.array([r[kind][m] for r in results]) for m in METHODS}
                found[kind][n_groups] = {
                    m: [
                        float(((e[:, 0] <= value) & (value <= e[:, 1])).mean()),
                        float((e[:, 1] - e[:, 0]).mean()),
                    ]
                    for m, e in ends.items()
                }
            print(f"{n_groups} groups done", flush=True)
    return found


def table(of: dict[int, dict[str, list[float]]]) -> str:
    """A markdown table: coverage in %, mean width in brackets."""
    lines = ["| groups | " + " | ".join(METHODS) + " |", "|---" * (len(METHODS) + 1) + "|"]
    for n_groups, row in of.items():
        cells = [f"{100 * row[m][0]:.1f} ({row[m][1]:.3f})" for m in METHODS]
        lines.append(f"| {n_groups} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--outer", type=int, default=2000, help="simulated data sets a number of groups")
    parser.add_argument("--draws", type=int, default=1000, help="bootstrap resamples")
    parser.add_argument("--groups", type=int, nargs="+", default=list(GROUPS))
    parser.add_argument("--json", type=Path, help="write the figures here too")
    options = parser.parse_args()
    started = time.perf_counter()
    found = coverage(options.outer, options.draws, tuple(options.groups))
    error = 100 * (0.95 * 0.05 / options.outer) ** 0.5
    print(f"coverage of 95 % intervals, in % (± {error:.1f} by simulation), mean width in brackets")
    for kind, of in found.items():
        print(f"\n{kind}: true value {truths()[kind]:+.4f}\n\n{table(of)}")
    print(f"\n{time.perf_counter() - started:.0f} s")
    if options.json:
        options.json.write_text(json.dumps(found, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
