"""How loud metadata should be beside image features: scores of heads by the scale of its columns, in one run.

    python benchmarks/metadata.py                 about two minutes on one core
    python benchmarks/metadata.py --sets 2        shorter

Draws sets of 1,280 features (a few of them carry a part of the answer, the others are noise) and 4 columns of
metadata that carry most of the answer, a part of it, or nothing. Heads train on a few hundred samples with
the settings of `experiment=probe` and `experiment=probe_logistic`, with the columns of metadata at most so
many times as large as a standardised feature. Prints the mean score on 1,000 other samples (R² of a value,
accuracy of two classes), and the spread over the sets.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pipeline.core.metrics import get
from pipeline.core.predictions import Features
from pipeline.core.samples import Attribute, LabelSpace, Samples, TrainRows
from pipeline.settings.load import load
from pipeline.train import batched_heads, heads, solved_heads

TESTED, D, E, TOLD = 1000, 1280, 4, 20
LOUDEST = (1.0, 4.0, 8.0, float("inf"))
# How much of the answer the metadata carry; the features carry the rest.
SHARES = (0.8, 0.3, 0.0)
VALUE, CLASSES = LabelSpace.numbers(["value"]), LabelSpace.product([Attribute("kind", ("low", "high"))])


def drawn(seed: int, n: int, share: float) -> tuple[Features, np.ndarray]:
    """Features with metadata, and the answer as a number."""
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(n, D)).astype(np.float32)
    beside = generator.normal(size=(n, E)).astype(np.float32)
    y = np.sqrt(1 - share) * x[:, :TOLD].sum(1) / np.sqrt(TOLD) + np.sqrt(share) * beside.sum(1) / np.sqrt(E)
    ids = np.array([f"i{k:05d}" for k in range(n)])
    noisy = (y + 0.3 * generator.normal(size=n)).astype(np.float32)
    return Features(ids, ("identity",), x[:, None], "drawn", beside), noisy


@dataclass(frozen=True)
class Limited(heads.HeadJob):
    """A job whose columns of metadata are at most so many times as large as a feature."""

    loudest: float = float("inf")

    def statistics(self) -> tuple[torch.Tensor, torch.Tensor]:
        """As of every job, with the limit."""
        mean_D, std_D = super().statistics()
        due = (D / E) ** 0.5
        std_D[-E:] *= due / min(due, self.loudest)
        return mean_D, std_D


def score(seed: int, n_train: int, share: float, head: str, of_value: bool, loudest: float) -> float:
    """The score of one head on the samples that did not train."""
    known, y_N = drawn(seed, n_train + TESTED, share)
    ids, space = known.ids_N, VALUE if of_value else CLASSES
    every = Samples(ids, ids, ids, space, None, "train")
    every = every.with_truth(y_N[:, None] if of_value else (y_N > 0).astype(np.int64), None)
    experiment = "probe_logistic" if head == "logistic" else "probe"
    train = load([f"experiment={experiment}", "competition=digits"]).config.train
    metric = get("r2" if of_value else "accuracy")
    job = Limited(
        fold=0,
        loss=load([]).config.loss,
        train=train.model_copy(update={"head": head}),
        train_samples=every.take(ids[:n_train]),
        valid_samples=every.take(ids[n_train:]),
        features=known.with_metadata(),
        rows=lambda epoch: TrainRows.of(np.arange(n_train)),
        metric=metric.score,
        loudest=loudest,
    )
    (fit,) = (solved_heads if head == "logistic" else batched_heads).fit_heads([job])
    return metric.score(job.valid_samples.truth, fit.result.oof.take(job.valid_samples.ids_N).p_NC)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sets", type=int, default=5)
    parser.add_argument("--train", type=int, default=300, help="training samples")
    asked = parser.parse_args(arguments)
    print("head      answer  share  " + "".join(f"{f'at most {x:g}':>18}" for x in LOUDEST))
    for head in ("linear", "logistic"):
        for of_value in (True, False):
            for share in SHARES:
                cells = []
                for loudest in LOUDEST:
                    found = [
                        score(seed, asked.train, share, head, of_value, loudest) for seed in range(asked.sets)
                    ]
                    cells.append(f"{np.mean(found):>11.3f} ± {np.std(found):.3f}")
                answer = "value" if of_value else "class"
                print(f"{head:<9} {answer:<6}  {share:>5.1f}  {''.join(cells)}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
