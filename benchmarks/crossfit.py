"""Is the cross-fitted score of fitted weights unbiased? `python benchmarks/crossfit.py`.

A competition is drawn again and again: 300 groups of four photos, twelve classes with a long tail, six
members of different skill whose errors are partly shared. Each time everything that Podium fits out of fold
is fitted (greedy and searched weights, stacking, temperatures, class scales), with three scores: the naive
one on the rows that fitted it, the cross-fitted one, and the true one on 4,000 groups that are drawn anew.

Macro-F1 of a finite sample has a small bias of its own for any predictions. The table is about the gain over
equal weights, which users see: mean gain by each way of scoring, minus the true gain. The cross-fitted bias
must be under a quarter of the naive one plus two standard errors.

    --repetitions 20 is a quick look (200 take about 15 minutes on one core)

Shape legend: N samples, C classes, G groups.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pipeline.core import metrics
from pipeline.core.predictions import Probabilities
from pipeline.core.seeds import rng
from pipeline.core.targets import normalised
from pipeline.core.voting import fitting
from pipeline.core.voting.fitting import Recipe
from pipeline.ensemble import decision
from pipeline.ensemble.decision import ClassScales, Rows

CLASSES, PER_GROUP, GROUPS, TRUE_GROUPS, PARTS = 12, 4, 300, 4000, 5
SHARE_C = np.geomspace(10, 1, CLASSES) / np.geomspace(10, 1, CLASSES).sum()
SKILLS = (1.1, 1.3, 1.5, 1.7, 1.9, 2.0)
NAMES = tuple(f"c{k}" for k in range(CLASSES))
MACRO = metrics.get("macro_f1")

Members = list[Probabilities]
# (naive, cross-fitted, true) score of something fitted on the first members, and scored on the second.
Fitted = Callable[[Members, np.ndarray, list[np.ndarray], Members, np.ndarray], tuple[float, float, float]]


def drawn(seed: int, n_groups: int) -> tuple[Members, np.ndarray, list[np.ndarray]]:
    """Members, labels, and the ids of five parts, no group in two of them."""
    generator = rng(seed, "crossfit", n_groups)
    group_N = np.repeat(np.arange(n_groups), PER_GROUP)
    y_N = generator.choice(CLASSES, n_groups, p=SHARE_C)[group_N]
    truth_NC = np.eye(CLASSES)[y_N]
    hard_N1 = generator.normal(0, 0.7, n_groups)[group_N][:, None]
    # Members share their errors by group, not by photo.
    shared_NC = generator.standard_normal((n_groups, CLASSES))[group_N]
    ids_N = np.array([f"{n:06d}" for n in range(len(y_N))])
    members = []
    for k, skill in enumerate(SKILLS):
        own_NC = generator.standard_normal((len(y_N), CLASSES))
        habit_C = rng(k, "crossfit habit").normal(0, 0.3, CLASSES)  # the member's own, in every sample
        p_NC = normalised(np.exp(truth_NC * (skill + hard_N1) + 0.8 * shared_NC + own_NC + habit_C))
        members.append(Probabilities(ids_N, NAMES, p_NC, f"m{k}"))
    return members, y_N, [ids_N[group_N % PARTS == part] for part in range(PARTS)]


def blend(recipe: Recipe) -> Fitted:
    """Weights, stacking or temperatures."""

    def scores(
        members: Members, y_N: np.ndarray, parts: list[np.ndarray], fresh: Members, truth_N: np.ndarray
    ) -> tuple[float, float, float]:
        found, _ = fitting.cross_fit(members, y_N, parts, MACRO, recipe)
        true = MACRO.score(truth_N, found.fitted.apply(fresh, "fresh").p_NC)
        return found.naive, found.crossfitted, true

    return scores


def class_scales(
    members: Members, y_N: np.ndarray, parts: list[np.ndarray], fresh: Members, truth_N: np.ndarray
) -> tuple[float, float, float]:
    """Multipliers a class on the equal blend, adopted whatever they do."""
    oof, new = (fitting.fit(Recipe("mean"), m, y_N, MACRO).apply(m, "mean") for m in (members, fresh))
    step = ClassScales(MACRO, 0.0, NAMES)
    at = tuple(np.searchsorted(oof.ids_N.astype(str), part) for part in parts)
    rows, more = (Rows(p.ids_N, p.ids_N, np.arange(len(p))) for p in (oof, new))
    known = decision.Labelled(oof, y_N, rows, at)
    found = decision.decide([step], known, new, more, decision.Criterion(MACRO, 10, 0, "always"))
    return found.naive, found.crossfitted, MACRO.score(truth_N, found.test.p_NC)


WAYS: dict[str, Fitted] = {
    "greedy weights": blend(Recipe("greedy")),
    "searched weights": blend(Recipe("search")),
    "stacking": blend(Recipe("stacking")),
    "temperatures": blend(Recipe("mean", temperature=True)),
    "class scales": class_scales,
}


def measure(repetitions: int, ways: Sequence[str] = tuple(WAYS), true_groups: int = TRUE_GROUPS):
    """One row a repetition and way: naive, cross-fitted and true gain over equal weights."""
    rows = []
    for seed in range(repetitions):
        members, y_N, parts = drawn(seed, GROUPS)
        fresh, truth_N, _ = drawn(seed + 1_000_000, true_groups)
        equal = blend(Recipe("mean"))(members, y_N, parts, fresh, truth_N)
        for way in ways:
            found = WAYS[way](members, y_N, parts, fresh, truth_N)
            gains = [score - flat for score, flat in zip(found, equal, strict=True)]
            rows.append([way, *gains])
        print(f"\r{seed + 1} of {repetitions}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return pd.DataFrame(rows, columns=["fitted", "naive", "cross-fitted", "true"])


def table(rows: pd.DataFrame) -> pd.DataFrame:
    """Mean gains, biases and whether the cross-fitted one stays within its bound; a row a way."""
    found = []
    for way, of in rows.groupby("fitted", sort=False):
        naive, crossed = of["naive"] - of["true"], of["cross-fitted"] - of["true"]
        error = float(crossed.std() / np.sqrt(len(of)))
        bound = abs(naive.mean()) / 4 + 2 * error
        means = [float(of[c].mean()) for c in ("true", "naive", "cross-fitted")]
        biases = [float(naive.mean()), float(crossed.mean()), error]
        found.append([way, *means, *biases, "yes" if abs(crossed.mean()) <= bound else "NO"])
    columns = ["fitted", "true gain", "naive", "cross-fitted", "naive bias", "cross-fitted bias", "± s.e."]
    return pd.DataFrame(found, columns=[*columns, "within"])


def main() -> None:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--repetitions", type=int, default=200)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    args = parser.parse_args()
    print(table(measure(args.repetitions, args.ways)).to_string(index=False, float_format="{:+.4f}".format))


if __name__ == "__main__":
    main()
