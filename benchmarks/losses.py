"""Losses on long-tailed images, each over several seeds, compared with the published order.

    python benchmarks/losses.py                 emoji, frozen lite0, a linear head: minutes on one core
    python benchmarks/losses.py --set digits --size 32    digits, the same head on their pixels
    python benchmarks/losses.py --how full --device cuda --model resnet18 --epochs 60 --batch 128
    python benchmarks/losses.py --quick                 a smoke test: two seeds, two epochs

The training part of each seed is drawn anew: whole groups (concepts; single digits) are dropped until images
a class fall geometrically, `--tail` : 1, in the natural order of the classes. The test part is the same for
all seeds, equally many images a class. A seed draws the tail, the initial weights and the order of rows, the
same for every loss.

Intervals: every resample draws seeds and test groups (concepts) with replacement, the same for both losses of
a pair; ± Student's t of the seeds' freedom × the spread of the resampled difference. They hold one by one; a
star marks differences that hold for all rows of the table at once (Bonferroni).

`--file` stores the images (made on first use), so that a machine without the demo's packages can run it.
"""

import argparse
import json
import sys
import tempfile
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from scipy import stats

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pipeline.core import metrics
from pipeline.core.group_resampling import resampled
from pipeline.core.predictions import Features
from pipeline.core.samples import Attribute, LabelSpace, Samples, TrainRows
from pipeline.core.seeds import rng
from pipeline.settings.augment import AugmentSettings
from pipeline.settings.loss import LossSettings
from pipeline.settings.model import ModelSettings
from pipeline.settings.train import TrainSettings

PUBLISHED = ("cross_entropy", "ldam_drw", "logit_adjustment", "balanced_softmax")
DRW = {"class_weights": "effective", "beta": 0.9999, "defer": 0.8}
ARMS = {
    "cross_entropy": {},
    "ldam_drw": {"name": "ldam", **DRW},
    "logit_adjustment": {"name": "logit_adjustment"},
    "balanced_softmax": {"name": "balanced_softmax"},
    "ldam": {"name": "ldam"},
    "ce_drw": DRW,
    "ce_inverse": {"class_weights": "inverse"},
    "ce_effective": {"class_weights": "effective"},
    "ce_smoothed": {"label_smoothing": 0.1},
    "focal": {"name": "focal"},
    "asymmetric": {"name": "asymmetric", "label_smoothing": 0.1},
    "soft_f1": {"name": "soft_f1", "blend": 0.5},
}
METRICS = ("balanced_accuracy", "macro_f1")


@dataclass(frozen=True)
class Pool:
    """All images of a set, before the tail is drawn: x_NHWC, and the samples of both parts."""

    ids_N: np.ndarray
    x_NHWC: np.ndarray
    train: Samples
    test: Samples


def main(words=None):
    asked = arguments(words)
    torch.set_num_threads(asked.threads)
    pool = read(asked)
    arms = {name: LossSettings(**ARMS[name]) for name in asked.arms}
    features = None if asked.how == "full" else features_of(asked, pool)
    p_ASNC, seconds = {}, {}
    for name, loss in arms.items():
        started = time.perf_counter()
        p_ASNC[name] = [predictions(asked, pool, features, loss, seed) for seed in range(asked.seeds)]
        seconds[name] = (time.perf_counter() - started) / asked.seeds
        print(f"{name}: {seconds[name]:.1f} s a seed", file=sys.stderr)
    report = evaluate(asked, pool, p_ASNC)
    report["seconds_a_seed"] = seconds
    print(markdown(asked, pool, report))
    if asked.out:
        Path(asked.out).write_text(json.dumps({**vars(asked), **report}, indent=1) + "\n", encoding="utf-8")


def arguments(words):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--set", choices=["emoji", "digits"], default="emoji")
    parser.add_argument(
        "--how", choices=["probe", "full"], default="probe", help="a linear head, or all weights"
    )
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument(
        "--tail", type=float, default=50.0, help="images of the largest class : of the smallest"
    )
    parser.add_argument("--size", type=int, default=64, help="px")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--lr", type=float, help="default: 0.01 for a probe, 0.003 for all weights")
    parser.add_argument("--model", help="timm name; default: lite0, or test_resnet for all weights")
    parser.add_argument("--weights", help="as model.weights; default: lite0's package, or none")
    parser.add_argument("--device", default="cpu")
    parser.add_argument(
        "--threads", type=int, default=1, help="of torch on the CPU; heads are too small for more"
    )
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=list(ARMS))
    parser.add_argument("--draws", type=int, default=2000)
    parser.add_argument("--home", default=".", help="folder of data/, where the demo's files are made")
    parser.add_argument("--file", help="npz that keeps the images")
    parser.add_argument("--out", help="JSON of all figures")
    parser.add_argument("--quick", action="store_true", help="two seeds, two epochs, four arms")
    asked = parser.parse_args(words)
    if asked.quick:
        asked.seeds, asked.epochs, asked.draws, asked.arms = 2, 2, 100, list(PUBLISHED)
    return asked


# ---- images


def read(asked):
    """The pool: from `--file` where it is, else made and kept there."""
    file = Path(asked.file) if asked.file else None
    if file and file.exists():
        with np.load(file) as z:
            arrays = dict(z)
    else:
        arrays = digits(asked.size) if asked.set == "digits" else emoji(asked)
        if file:
            np.savez_compressed(file, **arrays)
    space = LabelSpace.product([Attribute("class", tuple(str(c) for c in arrays["classes"]))])
    ids, is_test = arrays["ids"], arrays["is_test"]
    samples = Samples(ids, ids, arrays["groups"], space, arrays["labels"], "train")
    return Pool(ids, arrays["x"], samples.take(ids[~is_test]), samples.take(ids[is_test]))


def digits(size):
    """scikit-learn's digits; 40 of each are the test part."""
    import cv2
    from sklearn.datasets import load_digits

    bunch = load_digits()
    grey = (bunch.images * 15.9).astype(np.uint8)
    x = np.stack([np.repeat(cv2.resize(g, (size, size))[..., None], 3, axis=-1) for g in grey])
    labels = bunch.target.astype(np.int64)
    order = rng(2026, "digits").permutation(len(labels))
    is_test = np.zeros(len(labels), bool)
    for label in range(10):
        is_test[order[labels[order] == label][:40]] = True
    ids = np.array([f"d{i}" for i in range(len(labels))])
    return {"ids": ids, "groups": ids, "x": x, "labels": labels, "is_test": is_test, "classes": np.arange(10)}


def emoji(asked):
    """Drawings by category: the demo without its tail, with equally many test images of each category."""
    import csv

    from PIL import Image

    from pipeline.data import competition
    from pipeline.data.demo import competitions
    from pipeline.settings.load import load

    words = ["competition=emoji", "competition.demo.tail_ratio=1", "competition.demo.test_priors=uniform"]
    settings = load(words).config.competition
    root = competitions.materialise(settings.demo, Path(asked.home).resolve(), "emoji-losses")
    data = competition.load(settings, root)
    with (root / "answers.csv").open(encoding="utf-8") as file:
        answers = {row["id"]: row for row in csv.DictReader(file)}
    test = [answers[name] for name in data.test.ids_N.tolist()]
    space = data.train.space
    labels = np.concatenate([data.train.labels, [int(row["label"]) for row in test]])
    paths = [*data.train.paths_N.tolist(), *data.test.paths_N.tolist()]
    pictures = [Image.open(path).convert("RGB").resize((asked.size, asked.size)) for path in paths]
    return {
        "ids": np.array([f"e{i}" for i in range(len(paths))]),
        "groups": np.array([*data.train.groups_N.tolist(), *(row["concept"] for row in test)]),
        "x": np.stack([np.asarray(picture, np.uint8) for picture in pictures]),
        "labels": space.codes_CA[labels, 0],
        "is_test": np.arange(len(paths)) >= len(data.train),
        "classes": np.array(space.attributes[0].values),
    }


def long_tail(samples, ratio, seed):
    """Whole groups dropped at random until images a class fall geometrically, `ratio` : 1."""
    sizes = np.bincount(samples.labels, minlength=samples.space.n_classes)
    kept = []
    for rank, label in enumerate(np.argsort(-sizes, kind="stable")):
        wanted = min(sizes[label], sizes.max() * ratio ** (-rank / (len(sizes) - 1)))
        of_class = samples.labels == label
        groups = np.unique(samples.groups_N[of_class])
        images = 0
        for group in rng(seed, "tail", int(label)).permutation(groups):
            members = samples.ids_N[of_class & (samples.groups_N == group)].tolist()
            if images and images + len(members) / 2 > wanted:
                continue
            kept += members
            images += len(members)
    return samples.take(np.array(sorted(kept)))


# ---- training


def model_of(asked):
    if asked.how == "probe":
        given = {k: v for k, v in (("name", asked.model), ("weights", asked.weights)) if v}
        return ModelSettings(**given)
    return ModelSettings(name=asked.model or "test_resnet", weights=asked.weights or "none", drop_rate=0.0)


def features_of(asked, pool):
    """(N, V, D): of the frozen backbone; digits are so small that their pixels do."""
    if asked.set == "digits":
        x_NVD = pool.x_NHWC[:, ::4, ::4, 0].reshape(len(pool.ids_N), 1, -1) / np.float32(255)
        return Features(pool.ids_N, ("identity",), x_NVD, "pixels")
    from pipeline.nets import forward, model
    from pipeline.nets.forward import Pass
    from pipeline.nets.views import parse

    network = model.to_device(model.build(model_of(asked), 2, 0, (asked.size, asked.size)), asked.device)
    views = [parse("identity"), parse("hflip")]
    return forward.extract(network, pool, pool.ids_N, views, Pass(asked.device))


def predictions(asked, pool, features, loss, seed):
    """(N, C) probabilities of the test part after training on this seed's tail."""
    train = long_tail(pool.train, asked.tail, seed)
    shared = {
        "fold": 0,
        "loss": loss,
        "train": TrainSettings(
            epochs=asked.epochs,
            batch_size=asked.batch,
            lr=asked.lr or (0.01 if features else 0.003),
            weight_decay=0.1 if features else 0.05,
            warmup_epochs=min(1.0, asked.epochs / 4),
            precision=asked.precision,
            seed=seed,
        ),
        "train_samples": train,
        "valid_samples": pool.test,
        "rows": lambda epoch: TrainRows.of(np.arange(len(train))),
        "metric": metrics.get("balanced_accuracy").score,
    }
    if features is not None:
        from pipeline.train.batched_heads import fit_heads
        from pipeline.train.heads import HeadJob

        return fit_heads([HeadJob(features=features, **shared)])[0].result.oof.p_NC
    from pipeline.train.job import FoldJob
    from pipeline.train.loop import fit

    policy = "upright" if asked.set == "digits" else "light"
    job = FoldJob(
        model=model_of(asked),
        augment=AugmentSettings(policy=policy),
        images=pool,
        device=asked.device,
        workers=asked.workers,
        **shared,
    )
    with tempfile.TemporaryDirectory() as work:
        return fit(job, Path(work))[0].oof.p_NC


# ---- figures


def pairs_of(arms):
    """The published steps, then every other arm against cross-entropy."""
    steps = [p for p in zip(PUBLISHED[1:], PUBLISHED, strict=False) if set(p) <= set(arms)]
    rest = [(a, "cross_entropy") for a in arms if a != "cross_entropy" and "cross_entropy" in arms]
    return list(dict.fromkeys([*steps, *rest]))


def evaluate(asked, pool, p_ASNC):
    """Scores of every seed, recall of the rarest third of classes, and every pair's difference."""
    y, groups, names = pool.test.labels, pool.test.groups_N, list(p_ASNC)
    sizes = np.bincount(long_tail(pool.train, asked.tail, 0).labels, minlength=pool.test.space.n_classes)
    rare = np.isin(y, np.argsort(sizes, kind="stable")[: len(sizes) // 3])
    balanced = metrics.get("balanced_accuracy")
    report = {"train_counts": sizes.tolist(), "arms": {}, "pairs": {}}
    for name in names:
        scores = {m: [metrics.get(m).score(y, p) for p in p_ASNC[name]] for m in METRICS}
        scores["rare_recall"] = [balanced.score(y[rare], p[rare]) for p in p_ASNC[name]]
        report["arms"][name] = scores
    pairs = pairs_of(names)
    flat = [p for name in names for p in p_ASNC[name]]
    for metric in METRICS:
        drawn_MB = resampled(metrics.get(metric), y, flat, groups, asked.draws, 0)
        drawn_ASB = dict(zip(names, drawn_MB.reshape(len(names), asked.seeds, asked.draws), strict=True))
        report["pairs"][metric] = []
        for new, old in pairs:
            seen_S = np.subtract(report["arms"][new][metric], report["arms"][old][metric])
            found = interval(seen_S, drawn_ASB[new] - drawn_ASB[old], len(pairs))
            report["pairs"][metric].append({"new": new, "old": old, **found})
    return report


def interval(seen_S, drawn_SB, n_pairs):
    """The mean difference, with the spread over drawn seeds and drawn test groups."""
    seeds, draws = drawn_SB.shape
    at_SB = rng(0, "seeds").integers(0, seeds, (seeds, draws))
    # A resample of few seeds is too narrow by (S - 1)/S in its variance.
    spread = float(np.take_along_axis(drawn_SB, at_SB, 0).mean(0).std() * np.sqrt(seeds / (seeds - 1)))
    reach = float(stats.t.ppf(0.975, seeds - 1)) * spread
    all_at_once = float(stats.t.ppf(1 - 0.025 / n_pairs, seeds - 1)) * spread
    delta = float(seen_S.mean())
    return {
        "delta": delta,
        "low": delta - reach,
        "high": delta + reach,
        "holds_for_all": bool(abs(delta) > all_at_once),
        "by_seed": seen_S.tolist(),
    }


def order(report, metric):
    """The arms of the published order as they came out.

    < where the interval excludes 0, ≈ where it does not, = for equal scores, ≤ for a pair not compared.
    """
    arms = report["arms"]
    found = sorted((a for a in PUBLISHED if a in arms), key=lambda a: np.mean(arms[a][metric]))
    told = {frozenset((p["new"], p["old"])): p["low"] * p["high"] > 0 for p in report["pairs"][metric]}
    text = found[0]
    for old, new in pairwise(found):
        known = told.get(frozenset((old, new)))
        same = np.array_equal(arms[old][metric], arms[new][metric])
        text += f" {'=' if same else {True: '<', False: '≈', None: '≤'}[known]} {new}"
    return text


def markdown(asked, pool, report):
    """All figures as people read them."""
    lines = [
        f"{asked.set}, {asked.how}, tail {asked.tail:g} : 1, {asked.seeds} seeds, {asked.epochs} epochs; "
        f"{sum(report['train_counts'])} training images {report['train_counts']} (seed 0), "
        f"{len(pool.test)} test images in {len(np.unique(pool.test.groups_N))} groups",
        "",
        "| loss | balanced accuracy | macro-F1 | recall of the rarest third | SD over seeds |",
        "|---|---|---|---|---|",
    ]
    for name, s in sorted(report["arms"].items(), key=lambda item: np.mean(item[1]["balanced_accuracy"])):
        means = [f"{np.mean(s[m]):.3f}" for m in (*METRICS, "rare_recall")]
        lines.append(f"| {name} | {' | '.join(means)} | {np.std(s['balanced_accuracy'], ddof=1):.3f} |")
    lines += ["", "| difference | balanced accuracy | macro-F1 |", "|---|---|---|"]
    for both in zip(*(report["pairs"][m] for m in METRICS), strict=True):
        cells = [
            f"{p['delta']:+.3f} [{p['low']:+.3f}, {p['high']:+.3f}]{'*' * p['holds_for_all']}" for p in both
        ]
        lines.append(f"| {both[0]['new']} - {both[0]['old']} | {' | '.join(cells)} |")
    lines += ["", "published: cross_entropy < ldam_drw < logit_adjustment ≈ balanced_softmax"]
    lines += [f"found, {m.replace('_', ' ')}: {order(report, m)}" for m in METRICS]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
