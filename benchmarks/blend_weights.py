"""By what should greedy weights be judged where the metric counts predicted classes? Held-out scores.

    python -m benchmarks.blend_weights                        drawn members, a minute
    python -m benchmarks.blend_weights --compared out out5    and the homes of benchmarks/against_autogluon.py
    python -m benchmarks.blend_weights --portfolio cells      and the cells of benchmarks/portfolio.py
    python -m benchmarks.blend_weights --metric accuracy

Greedy selection of 25 votes on out-of-fold predictions, judged by the metric itself, by log loss, or as
`pipeline/core/voting/weights.py` does where classes are counted; beside them equal weights and the best
member. A home is judged on the images that its task held out, where a member is the mean of its folds. The
cells of a portfolio have no others: their weights are fitted on three quarters of the groups and used on the
fourth, for several pools of recipes. Drawn members are judged on 3,000 other rows.

Prints the metric and the log loss of each blend, then the mean differences from the metric's own weights with
their standard errors over blends.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.portfolio import read
from pipeline.core.metrics import Metric, get
from pipeline.core.voting.weights import Tally, judge_of, select
from pipeline.record import files
from pipeline.record.files import FileIndex
from pipeline.record.store import Store

LOSS, QUARTERS, DRAWS = get("log_loss"), 4, 4
WAYS = ("metric", "log loss", "cosine", "equal", "best member")
FIRST = ("pixels", "features_96", "features_mlp_224", "mlp_lite2_256")
POOLS = {
    "heads": FIRST,
    "two": ("features_mlp_224", "lite0_128"),
    "and a network": (*FIRST, "lite0_128"),
    "and two": (*FIRST, "lite0_128", "lite0_160"),
    "all": (*FIRST, "lite0_128", "lite0_160", "features_224", "features_64", "features_mlp", "lite1_96"),
}
SKILLS = ((1.2, 1.0, 0.6, 0.3), (1.5, 1.4, 1.3, 1.2), (2.0, 2.0, 0.0), (0.5,) * 6)


@dataclass(frozen=True)
class Blend:
    """Members of one blend.

    Args:
        p_MNC, y_N: out-of-fold probabilities and classes, which fit the weights.
        other_MNC, truth_N: of images that judge them; None: the same, by quarters of `group_N`.
    """

    name: str
    p_MNC: np.ndarray
    y_N: np.ndarray
    other_MNC: np.ndarray | None = None
    truth_N: np.ndarray | None = None
    group_N: np.ndarray | None = None


def clipped(p_NC: np.ndarray) -> np.ndarray:
    """Probabilities that log loss can judge."""
    p_NC = np.clip(p_NC, 1e-6, 1)
    return p_NC / p_NC.sum(axis=-1, keepdims=True)


def weights(way: str, p_MNC: np.ndarray, y_N: np.ndarray, metric: Metric) -> np.ndarray:
    """(M,) by one way."""
    if way == "equal":
        return np.full(len(p_MNC), 1 / len(p_MNC))
    if way == "best member":
        return np.eye(len(p_MNC))[np.argmax([metric.sign * metric.score(y_N, p_NC) for p_NC in p_MNC])]
    if way == "cosine":
        return select(judge_of(list(p_MNC), y_N, metric))
    by = metric if way == "metric" else LOSS
    return select(Tally(list(clipped(p_MNC).astype(np.float32)), y_N, by))


def scores(blend: Blend, metric: Metric) -> dict[str, np.ndarray]:
    """(2,) the metric and the log loss on images that fitted nothing, by way."""
    found = {}
    for way in WAYS:
        if blend.other_MNC is not None:
            p_NC = np.tensordot(weights(way, blend.p_MNC, blend.y_N, metric), blend.other_MNC, 1)
            found[way] = judged(blend.truth_N, p_NC, metric)
            continue
        group_N = np.unique(blend.group_N, return_inverse=True)[1]
        drawn = []
        for seed in range(DRAWS):
            part_N = np.random.default_rng(seed).integers(0, QUARTERS, group_N.max() + 1)[group_N]
            p_NC = np.zeros_like(blend.p_MNC[0])
            for k in range(QUARTERS):
                fits_N = part_N != k
                w_M = weights(way, blend.p_MNC[:, fits_N], blend.y_N[fits_N], metric)
                p_NC[~fits_N] = np.tensordot(w_M, blend.p_MNC[:, ~fits_N], 1)
            drawn.append(judged(blend.y_N, p_NC, metric))
        found[way] = np.mean(drawn, axis=0)
    return found


def judged(y_N: np.ndarray, p_NC: np.ndarray, metric: Metric) -> np.ndarray:
    """(2,) the metric and the log loss."""
    return np.array([metric.score(y_N, p_NC), LOSS.score(y_N, clipped(p_NC))])


def of_homes(folders: Sequence[Path]) -> Iterator[Blend]:
    """The members of each home with at least two, by the tasks of benchmarks/against_autogluon.py."""
    for folder in folders:
        for home in sorted((folder / "podium").glob("*")):
            name, seed, _ = home.name.rsplit("-", 2)
            task = folder / "tasks" / f"{name}-{seed}"
            train, test = (pd.read_csv(task / f, dtype=str) for f in ("train.csv", "truth.csv"))
            found = Store(home, FileIndex(home / "artifacts" / ".index.json")).all("infer")
            members = [
                [files.read_probabilities(a.folder / f"{s}.npz", s) for s in ("oof", "test")] for a in found
            ]
            if len(members) < 2:
                continue
            oof, held_out = ([pair[s].take(t["id"].to_numpy(np.str_)) for pair in members]
                             for s, t in ((0, train), (1, test)))  # fmt: skip
            at = {label: n for n, label in enumerate(oof[0].classes)}
            y_N, truth_N = (t["label"].map(at).to_numpy(np.int64) for t in (train, test))
            p_MNC, other_MNC = (np.stack([one.p_NC for one in every]) for every in (oof, held_out))
            yield Blend(f"{folder.name}/{home.name[:-13]}", p_MNC, y_N, other_MNC, truth_N)


def of_portfolio(folder: Path) -> Iterator[Blend]:
    """Pools of the cells of each set."""
    every = {tuple(p.stem.split("--")): cell for p in folder.glob("*--*.npz") if (cell := read(p))}
    for name in sorted({name for name, _ in every}):
        for pool, recipes in POOLS.items():
            own = [every[name, recipe] for recipe in recipes if (name, recipe) in every]
            if len(own) > 1:
                p_MNC = np.stack([cell.p_NC for cell in own]).astype(np.float32)
                yield Blend(f"{name}, {pool}", p_MNC, own[0].y_N, group_N=own[0].group_N)


def drawn(skills: Sequence[float], rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (M, N, 4) whose logits are noise and a skill at the true class, and the classes."""
    rng = np.random.default_rng(seed)
    y_N = rng.integers(0, 4, rows)
    logit_MNC = rng.normal(size=(len(skills), rows, 4))
    logit_MNC[:, np.arange(rows), y_N] += np.array(skills)[:, None]
    p_MNC = np.exp(logit_MNC)
    return (p_MNC / p_MNC.sum(axis=-1, keepdims=True)).astype(np.float32), y_N


def of_drawn(repetitions: int) -> Iterator[Blend]:
    """Drawn members, 150 rows."""
    for skills in SKILLS:
        for seed in range(repetitions):
            own, others = drawn(skills, 150, seed), drawn(skills, 3000, 1000 + seed)
            yield Blend(f"drawn {list(skills)}", *own, *others)


def table(title: str, blends: Iterator[Blend], metric: Metric, show: bool) -> dict[str, np.ndarray]:
    """Mean differences (2,) from the metric's own weights; prints them, and each blend if `show`."""
    rows = []
    for blend in blends:
        found = scores(blend, metric)
        rows.append([found[way] - found["metric"] for way in WAYS])
        if show:
            told = "  ".join(f"{way} {a:.3f}/{b:.3f}" for way, (a, b) in found.items())
            print(f"{blend.name:<32} {len(blend.p_MNC)} members  {told}", flush=True)
    if not rows:
        return {}
    mean, error = np.mean(rows, axis=0), np.std(rows, axis=0, ddof=1) / len(rows) ** 0.5
    print(f"{title}, {len(rows)} blends, minus weights by the metric: {metric.name}, log loss")
    for way, (a, b), (a_error, b_error) in zip(WAYS, mean, error, strict=True):
        print(f"    {way:<12} {a:+.4f} ± {a_error:.4f}   {b:+.4f} ± {b_error:.4f}")
    return dict(zip(WAYS, mean, strict=True))


def main(arguments: Sequence[str] | None = None) -> dict[str, dict[str, np.ndarray]]:
    """The tables by where their members come from."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--compared", type=Path, nargs="*", default=[], help="--out of against_autogluon")
    words.add_argument("--portfolio", type=Path, help="--out of portfolio")
    words.add_argument("--metric", default="macro_f1", help="one that counts predicted classes")
    words.add_argument("--repetitions", type=int, default=15, help="of drawn members, for each kind")
    options = words.parse_args(arguments)
    metric = get(options.metric)
    found = {
        "homes": table("held-out images", of_homes(options.compared), metric, True),
        "drawn": table("drawn members", of_drawn(options.repetitions), metric, False),
    }
    if options.portfolio:
        found["portfolio"] = table("held-out groups", of_portfolio(options.portfolio), metric, True)
    return found


if __name__ == "__main__":
    main()
