"""How long combining takes for many members and images: `python benchmarks/ensemble_scale.py`.

Members, labels and groups are generated: 18 classes with a long tail, seven images a group, members of
different skill whose errors are partly shared. Their probabilities are in one memory-mapped file. It times
separately: greedy selection of 25 votes, judged as weights are fitted, and by the metric; weights by search
from there, the paired bootstrap of the blend against its best member (2,000 draws of whole groups), and
cross-fitting the selection on five parts. For comparison it runs the published selection as plain NumPy on
the same arrays (Caruana et al., ICML 2004: average the bag, score it, take the best), whose score must not be
higher than that of the selection by the metric.

`--members 10 --images 2000` is a quick look. `--autogluon PYTHON` runs AutoGluon's ensemble selection on the
same arrays; PYTHON is the interpreter of an environment that has the package `autogluon.core`.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pipeline.core import metrics, statistics
from pipeline.core.predictions import Probabilities
from pipeline.core.targets import normalised
from pipeline.core.voting import soft_voting
from pipeline.core.voting import weights as greedy
from pipeline.core.voting import weights as minimise
from pipeline.core.voting.fitting import Recipe, cross_fit

CLASSES = 18
GROUP_SIZE = 7
DRAWS = 2000
PARTS = 5
MACRO = metrics.get("macro_f1")
# Code for its own environment: read the arrays, select 25 votes, write the weights.
AUTOGLUON = """
import sys, time
import numpy as np
from autogluon.core.metrics import f1_macro
from autogluon.core.models.greedy_ensemble.ensemble_selection import EnsembleSelection
folder, members, images, classes = sys.argv[1], *map(int, sys.argv[2:])
p = np.memmap(f"{folder}/members.f32", np.float32, "r", shape=(members, images, classes))
selection = EnsembleSelection(25, "multiclass", f1_macro)
start = time.process_time()
selection.fit(list(p), np.load(f"{folder}/y.npy"))
print(time.process_time() - start, *selection.weights_)
"""


def generated(folder: Path, n_members: int, n_images: int, seed: int = 0):
    """Labels, groups and the (M, N, C) probabilities, memory-mapped."""
    rng = np.random.default_rng(seed)
    share_C = np.geomspace(10, 1, CLASSES)
    group_N = np.arange(n_images) // GROUP_SIZE
    y_N = rng.choice(CLASSES, group_N.max() + 1, p=share_C / share_C.sum())[group_N]
    shape = (n_members, n_images, CLASSES)
    p_MNC = np.memmap(folder / "members.f32", np.float32, "w+", shape=shape)
    hard_N1 = rng.normal(0, 0.7, group_N.max() + 1)[group_N][:, None].astype(np.float32)
    shared_NC = rng.standard_normal((n_images, CLASSES), np.float32)
    truth_NC = np.eye(CLASSES, dtype=np.float32)[y_N]
    for m in range(n_members):
        own_NC = rng.standard_normal((n_images, CLASSES), np.float32)
        logit_NC = truth_NC * (rng.uniform(1.2, 2.4) + hard_N1) + 0.8 * shared_NC + own_NC
        p_MNC[m] = normalised(np.exp(logit_NC))
    return y_N, group_N.astype(np.str_), p_MNC


def plain_selection(p_MNC, y_N, rounds: int = greedy.ROUNDS):
    """The published algorithm, nothing kept between candidates: the best bag and its score."""
    bag_NC, counts, best = np.zeros(p_MNC.shape[1:], np.float32), np.zeros(len(p_MNC)), (-1.0, None)
    for size in range(1, rounds + 1):
        scores = []
        for p_NC in p_MNC:
            pred_N = ((bag_NC + p_NC) / size).argmax(axis=1)
            hits_C = np.bincount(y_N[pred_N == y_N], minlength=CLASSES)
            both_C = np.bincount(pred_N, minlength=CLASSES) + np.bincount(y_N, minlength=CLASSES)
            scores.append(float(np.mean(2 * hits_C[both_C > 0] / both_C[both_C > 0])))
        chosen = int(np.argmax(scores))
        bag_NC += p_MNC[chosen]
        counts[chosen] += 1
        if scores[chosen] > best[0] + 1e-12:
            best = (scores[chosen], counts / size)
    return best[1]


def autogluon_selection(python: str, folder: Path, p_MNC, y_N):
    """Weights, and seconds of processor without starting up."""
    np.save(folder / "y.npy", y_N)
    sizes = [str(size) for size in p_MNC.shape]
    called = [python, "-c", AUTOGLUON, str(folder), *sizes]
    said = subprocess.run(called, capture_output=True, text=True, check=True).stdout.split()
    seconds, *weights = (float(word) for word in said)
    print(f"{'AutoGluon, 25 votes':<46} {'':7}    {seconds:7.1f} s of processor", flush=True)
    return np.array(weights)


def timed(name: str, work: Callable):
    """The result, and its seconds on the clock and of processor, printed."""
    clock, cpu = time.perf_counter(), time.process_time()
    result = work()
    clock, cpu = time.perf_counter() - clock, time.process_time() - cpu
    print(f"{name:<46} {clock:7.1f} s  {cpu:7.1f} s of processor", flush=True)
    return result, clock


def measure(n_members: int, n_images: int, autogluon: str = "") -> dict[str, float]:
    """Print the table; the seconds and scores by name."""
    with tempfile.TemporaryDirectory() as folder:
        y_N, groups_N, p_MNC = timed(
            "members generated", lambda: generated(Path(folder), n_members, n_images)
        )[0]
        every = list(p_MNC)

        def score(weight_M):
            return MACRO.score(y_N, normalised(soft_voting.summed(every, weight_M)))

        judged_M, judged = timed(
            "greedy selection as weights are fitted",
            lambda: greedy.select(greedy.judge_of(every, y_N, MACRO)),
        )
        found_M, seconds = timed(
            "the same by the metric itself", lambda: greedy.select(greedy.Tally(every, y_N, MACRO))
        )
        searched_M, more = timed(
            "weights by search, from there", lambda: minimise.search(every, y_N, MACRO, found_M)
        )
        alone_M = [MACRO.score(y_N, p_NC) for p_NC in every]
        best_NC = every[int(np.argmax(alone_M))]
        blend_NC = normalised(soft_voting.summed(every, searched_M))
        told, last = timed(
            f"paired bootstrap, {DRAWS} draws",
            lambda: statistics.compare(MACRO, y_N, blend_NC, best_NC, groups_N, DRAWS, 0),
        )
        total = seconds + more + last
        print(f"{'these three':<46} {total:7.1f} s")
        ids = np.array([f"{n:06d}" for n in range(n_images)])
        names = tuple(f"c{c}" for c in range(CLASSES))
        members = [Probabilities(ids, names, p_NC, f"m{m}") for m, p_NC in enumerate(every)]
        part_N = np.unique(groups_N, return_inverse=True)[1] % PARTS
        parts = [ids[part_N == k] for k in range(PARTS)]
        (blend, _), crossfit = timed(
            f"cross-fitted selection, {PARTS} parts and the whole",
            lambda: cross_fit(members, y_N, parts, MACRO, Recipe("greedy")),
        )
        plain_M, plain = timed("published selection, plain NumPy", lambda: plain_selection(p_MNC, y_N))
        theirs_M = autogluon_selection(autogluon, Path(folder), p_MNC, y_N) if autogluon else None
        theirs = {} if theirs_M is None else {"AutoGluon": score(theirs_M)}
    scores = {
        "best member": max(alone_M), "judged": score(judged_M), "greedy": score(found_M),
        "search": score(searched_M), "published": score(plain_M), "cross-fitted greedy": blend.crossfitted,
        **theirs,
    }  # fmt: skip
    print("macro-F1: " + ", ".join(f"{name} {value:.5f}" for name, value in scores.items()))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"blend against best member: {told}; peak memory {peak:.2f} GiB, mapped file included")
    return scores | {
        "seconds": total,
        "seconds judged": judged,
        "crossfit": crossfit,
        "plain": plain,
        "peak_gib": peak,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--members", type=int, default=100)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--autogluon", default="", metavar="PYTHON", help="of an environment that has it")
    options = parser.parse_args()
    measure(options.members, options.images, options.autogluon)
