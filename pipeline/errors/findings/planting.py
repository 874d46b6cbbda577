"""Faults planted on purpose, and how many of them the finders of the error report find.

Owns planting faults (changed labels, copies, predictions of a slice made worse), counting what was found, and
the figure: F1. Does not own the finders (`suspects.py`, `slices.py`, `eda/duplicates.py`) nor their search
(`tune/`).

Labels are changed on the side of the truth: the probabilities come from models that learned the true labels,
so finding is a little easier than in reality. A finding that is really in the data counts as a false alarm,
for all thresholds alike. Slices that fail without planting, and slices that are mostly inside a planted one,
count as neither a hit nor a false alarm.

Each finder has its own F1 of hits, misses and false alarms; the figure is their mean, so that a finder with
many faults does not dominate one with few. For an interval, units are resampled within each finder, the same
ones for all arms: a unit is a group of images, or one planted slice, with everything that happened in it over
all plantings. One factor widens all intervals, as in other searches (`core/group_resampling.py`, max-T).

Shape legend: N images, K copies, S planted slices, U units, F finders, A arms, B resamples; counts are (hits,
misses, false alarms).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.core.errors import DataError
from pipeline.core.group_resampling import max_t_factor, times_multinomial
from pipeline.core.metric_arithmetic import Reals
from pipeline.core.metrics import Metric
from pipeline.core.predictions import Comparison, Features, Probabilities
from pipeline.core.samples import Ints, LabelSpace, Samples, Strings
from pipeline.core.seeds import rng
from pipeline.core.statistics import comparison
from pipeline.data import load
from pipeline.data.decode import phash
from pipeline.eda import duplicates
from pipeline.eda.survey import THUMB_SIDE, glance
from pipeline.engine.need import Need, Params
from pipeline.errors import case, texts
from pipeline.errors.findings import slices, suspects
from pipeline.errors.findings.slices import SliceInputs
from pipeline.pages.report import ImageOf, Pixels
from pipeline.record import files
from pipeline.record.store import Artifact
from pipeline.settings.eda import EdaSettings
from pipeline.settings.load import Settings
from pipeline.settings.report import FinderSettings
from pipeline.settings.schema import Config

if TYPE_CHECKING:
    from pipeline.engine.session import Session
    from pipeline.engine.stage import Job

LABELS, COPIES, SLICES = "labels", "near-duplicates", "slices"
# Shares of labels (or of groups, if a group has one label) that are changed, and of images that get a copy.
CHANGED, COPIED, MOST_COPIES = 0.06, 0.1, 200
# A planted slice has so many groups inside and outside, whatever the thresholds of a finder are.
PLANTED_GROUPS = 10
WORSENED = 4
# Share of correct predictions of a slice that are made wrong, at least and at most.
RISE = (0.1, 0.4)
INSIDE = 0.5
Unit = tuple[str, str, int, int, int]


@dataclass(frozen=True)
class WorsenedSlice:
    """Predictions with one slice made worse.

    Args:
        name: of the slice, in words.
        inside_N: which images are in it.
        predicted_N: class index, including the changed ones.
    """

    name: str
    inside_N: npt.NDArray[np.bool_]
    predicted_N: Ints


def changed_labels(samples: Samples, seed: int) -> Ints:
    """(N,) labels, some of them changed, attribute by attribute; in whole groups if a group has one value."""
    space, generator = samples.space, rng(seed, "planted labels")
    classes = {tuple(row): c for c, row in enumerate(space.codes_CA.tolist())}
    labels_N = samples.labels.copy()
    for k, attribute in enumerate(space.attributes):
        owner_N = samples.groups_N if attribute.constant_in_group else samples.ids_N
        owners = np.unique(owner_N)
        for owner in generator.choice(owners, min(max(3, round(CHANGED * len(owners))), len(owners)), False):
            rows = np.flatnonzero(owner_N == owner)
            value = _another(space, k, int(labels_N[rows[0]]), generator)
            codes = space.codes_CA[labels_N[rows]].copy()
            codes[:, k] = value
            for row, code in zip(rows.tolist(), codes.tolist(), strict=True):
                labels_N[row] = classes.get(tuple(code), labels_N[row])
    return labels_N


def _another(space: LabelSpace, k: int, label: int, generator: np.random.Generator) -> int:
    size = len(space.attributes[k].values)
    return int((space.codes_CA[label, k] + 1 + generator.integers(size - 1)) % size)


def copied(n_images: int, seed: int) -> Ints:
    """(K,) positions of the images that get a copy."""
    number = min(MOST_COPIES, max(3, round(COPIED * n_images)), n_images)
    return np.sort(rng(seed, "planted copies").choice(n_images, number, False)).astype(np.int64)


def altered(pixels: Pixels, seed: int, name: str) -> Pixels:
    """The same (H, W, 3) uint8 image as another file: scaled, lighter or darker, and saved as JPEG.

    Each image, by its name, is changed differently.
    """
    generator = rng(seed, "altered", name)
    factor, light, quality = generator.uniform((0.4, 0.8, 15), (0.95, 1.2, 90))
    size = tuple(max(8, round(side * factor)) for side in pixels.shape[1::-1])
    small = cv2.resize(pixels, (size[0], size[1]), interpolation=cv2.INTER_AREA)
    lit = np.clip(small.astype(np.float32) * light, 0, 255).astype(np.uint8)
    written = cv2.imencode(".jpg", lit, [cv2.IMWRITE_JPEG_QUALITY, int(quality)])[1]
    return np.asarray(cv2.imdecode(written, cv2.IMREAD_COLOR), np.uint8)


def thumb(pixels: Pixels) -> Pixels:
    """(8, 8, 3) thumbnail of one image."""
    return np.asarray(cv2.resize(pixels, (THUMB_SIDE, THUMB_SIDE), interpolation=cv2.INTER_AREA), np.uint8)


def worsened_slices(
    samples: Samples, predicted_N: Ints, facts: pd.DataFrame, seed: int
) -> Iterator[WorsenedSlice]:
    """Predictions with one slice made worse; half of the slices are single ones and half are pairs.

    The facts are those of `slices.SliceInputs`.
    """
    masks = slices.cut(samples, facts, PLANTED_GROUPS)
    for length in (1, 2):
        names = [name for name in masks if len(name) == length]
        generator = rng(seed, "planted slices", length)
        for at in generator.choice(len(names), min(WORSENED // 2, len(names)), False).tolist():
            inside_N = masks[names[at]]
            rise = generator.uniform(*RISE)
            wrong_N = inside_N & (predicted_N == samples.labels) & (generator.random(len(samples)) < rise)
            other_N = samples.labels + 1 + generator.integers(samples.space.n_classes - 1, size=len(samples))
            changed = np.where(wrong_N, other_N % samples.space.n_classes, predicted_N)
            name = " and ".join(part[1] for part in names[at])
            yield WorsenedSlice(name, inside_N, changed.astype(np.int64))


def plant(
    samples: Samples, oof: Probabilities, image_facts: pd.DataFrame, image: ImageOf, seed: int, folder: Path
) -> dict[str, float]:
    """Plant all faults of one seed in one half of the groups, and write faults.npz; returns how many."""
    rows = image_facts.set_index("id").loc[samples.ids_N.tolist()].reset_index()
    rows = rows.assign(split="train", label=samples.labels, group=samples.groups_N)
    # Equal files are found by their bytes; here they would be near-duplicates that nobody planted.
    rows = rows[~rows["sha256"].duplicated()]
    of_K = copied(len(rows), seed)
    copies = [altered(image("train", name), seed, name) for name in rows["id"].iloc[of_K]]
    seen = glance(rows, samples.space.n_classes, image)
    hashes = [*rows["phash"], *(phash(cv2.cvtColor(c, cv2.COLOR_RGB2GRAY)) for c in copies)]
    worse = list(worsened_slices(samples, oof.labels(), image_facts, seed))
    nothing = np.zeros((0, len(samples)))
    np.savez_compressed(
        folder / FAULTS,
        labels=changed_labels(samples, seed),
        of=of_K,
        groups=rows["group"].to_numpy(np.str_),
        hashes=np.array([int(text, 16) for text in hashes], np.uint64),
        thumbs=np.concatenate([seen.thumbs_NTT3, np.stack([thumb(c) for c in copies])]),
        names=np.array([s.name for s in worse], dtype=np.str_),
        inside=np.stack([s.inside_N for s in worse]) if worse else nothing.astype(bool),
        predicted=np.stack([s.predicted_N for s in worse]) if worse else nothing.astype(int),
    )
    return {"copies": float(len(of_K)), "slices": float(len(worse)), "images": float(len(samples))}


def look_for(
    samples: Samples,
    oof: Probabilities,
    image_facts: pd.DataFrame,
    features: Features | None,
    faults: Sequence[tuple[Mapping[str, npt.NDArray[Any]], list[WorsenedSlice]]],
    config: Config,
) -> pd.DataFrame:
    """Run every finder on every planting in one half of the groups; returns the units of `by_finder`.

    `image_facts` are from `of_train`, `faults` from `planted`, one entry a seed; without features, neighbours
    are not used.
    """
    rows: list[Unit] = []
    for arrays, worse in faults:
        rows += found_labels(oof, samples, arrays["labels"], features, config.finders)
        rows += found_copies(arrays["hashes"], arrays["thumbs"], arrays["of"], arrays["groups"], config.eda)
        seed = config.statistics.seed
        inputs = SliceInputs(samples, samples.ids_N, oof.labels(), image_facts, seed, config.finders)
        rows += found_slices(inputs, worse)
    return pd.DataFrame(rows, columns=[FINDER, UNIT, *COUNTS])


def found_labels(
    oof: Probabilities, clean: Samples, labels_N: Ints, features: Features | None, settings: FinderSettings
) -> list[Unit]:
    """Changed labels that are found, by group; `clean` has the true labels, `labels_N` the changed ones."""
    train, space = replace(clean, labels_N=labels_N, train_labels_N=None), clean.space
    group_of = dict(zip(clean.ids_N.tolist(), clean.groups_N.tolist(), strict=True))
    constant = {a.name: a.constant_in_group for a in space.attributes}
    named = {
        (s.attribute, group_of[s.key[1]] if constant[s.attribute] else s.key[1], group_of[s.key[1]])
        for s in suspects.find(oof, train, (), features, settings)
    }
    planted = set()
    for k, attribute in enumerate(space.attributes):
        changed = space.codes_CA[clean.labels, k] != space.codes_CA[labels_N, k]
        for row in np.flatnonzero(changed).tolist():
            name, group = str(clean.ids_N[row]), str(clean.groups_N[row])
            planted.add((attribute.name, group if attribute.constant_in_group else name, group))
    counted = (named & planted, planted - named, named - planted)
    return _units(LABELS, *([group for _, _, group in some] for some in counted))


def found_copies(
    hashes: npt.NDArray[np.uint64], thumbs: Pixels, of_K: Ints, groups_N: Strings, settings: EdaSettings
) -> list[Unit]:
    """Planted copies that are found together with their originals, by the group of the original.

    An image counts as a false alarm if it is found with an image of another group, or with a copy of another
    image. Near-duplicates within a group count as nothing. Hashes and thumbnails are those of the images,
    followed by those of the copies; `of_K` is the image of each copy.
    """
    n_images, groups = len(groups_N), groups_N.tolist()
    hit, alarm = set[int](), list[str]()
    for members in duplicates.copies(hashes, thumbs, settings):
        real = [m for m in members if m < n_images]
        originals = {int(of_K[m - n_images]): m - n_images for m in members if m >= n_images}
        hit |= {k - n_images for k in members if k >= n_images and int(of_K[k - n_images]) in real}
        shown = {groups[m] for m in real} | {groups[m] for m in originals}
        alarm += [groups[m] for m in real if m not in originals and len(shown) > 1]
    missed = [groups[int(of_K[k])] for k in range(len(of_K)) if k not in hit]
    return _units(COPIES, [groups[int(of_K[k])] for k in hit], missed, alarm)


def found_slices(inputs: SliceInputs, planted: list[WorsenedSlice]) -> list[Unit]:
    """Planted slices that are found; `inputs` has the original predictions."""
    before = slices.find(inputs)
    known = set(before.table["slice"]) if len(before.table) else set()
    hits, misses, alarms = list[str](), list[str](), list[str]()
    for one in planted:
        after = slices.find(replace(inputs, predicted_N=one.predicted_N))
        names = list(after.table["slice"]) if len(after.table) else []
        (hits if one.name in names else misses).append(one.name)
        for name, mask in zip(names, after.inside, strict=True):
            inside = float(one.inside_N[mask].mean())
            around = float(mask[one.inside_N].mean())
            if name not in known and name != one.name and max(inside, around) < INSIDE:
                alarms.append(one.name)
    return _units(SLICES, hits, misses, alarms)


def _units(finder: str, hits: list[str], misses: list[str], alarms: list[str]) -> list[Unit]:
    names = sorted({*hits, *misses, *alarms})
    return [(finder, n, hits.count(n), misses.count(n), alarms.count(n)) for n in names]


FINDER, UNIT, COUNTS = "finder", "unit", ["hits", "misses", "alarms"]


def f1(counts: Reals) -> Reals:
    """(…,) F1 of (…, 3) hits, misses and false alarms; 1 if all three are 0."""
    hits, others = counts[..., 0], counts[..., 1] + counts[..., 2]
    total = 2 * hits + others
    return np.asarray(np.where(total > 0, 2 * hits / np.where(total > 0, total, 1), 1.0), np.float64)


def _of_confusions(confusions: Reals) -> Reals:
    hits, misses, alarms = confusions[:, 1, 1], confusions[:, 1, 0], confusions[:, 0, 1]
    return f1(np.stack([hits, misses, alarms], axis=-1))


ABOUT = "F1 of planted faults, mean over the finders"
METRIC = Metric("planted_f1", True, "labels", 0.0, 1.0, ABOUT, on_counts=_of_confusions)


def by_finder(units: pd.DataFrame) -> dict[str, tuple[float, float, float]]:
    """F1, precision and recall of each finder over its units: finder, unit, hits, misses, alarms."""
    scores = {}
    for name, counts in units.groupby(FINDER, sort=True)[COUNTS].sum().iterrows():
        hits, misses, alarms = (float(counts[c]) for c in COUNTS)
        precision = hits / (hits + alarms) if hits + alarms else 1.0
        recall = hits / (hits + misses) if hits + misses else 1.0
        scores[str(name)] = (float(f1(np.array([hits, misses, alarms]))), precision, recall)
    return scores


def figure(units: pd.DataFrame) -> float:
    """The mean F1 over the finders."""
    return float(np.mean([score for score, _, _ in by_finder(units).values()]))


def scores(units: pd.DataFrame) -> tuple[dict[str, float], tuple[str, ...]]:
    """The figure and each finder's F1, precision and recall, as metrics and as lines for the terminal."""
    metrics = {f"oof_{METRIC.name}": figure(units)}
    lines = []
    for name, (score, precision, recall) in by_finder(units).items():
        metrics |= {f"f1_{name}": score, f"precision_{name}": precision, f"recall_{name}": recall}
        lines.append(texts.FINDER_SCORES.format(name=name, f1=score, precision=precision, recall=recall))
    return metrics, tuple(lines)


def compare(
    default: pd.DataFrame, others: Sequence[pd.DataFrame], draws: int, seed: int
) -> tuple[list[float], list[Comparison]]:
    """Compare each choice of thresholds with the default, on the same plantings.

    Each table has the units of `by_finder`; rows of several plantings are concatenated. Returns the figures,
    that of the default first, and one comparison for each other choice; all intervals hold at once.
    """
    tables = [t.groupby([FINDER, UNIT])[COUNTS].sum() for t in (default, *others)]
    index = tables[0].index
    for table in tables[1:]:
        index = index.union(table.index)
    counts_AU3 = np.stack([t.reindex(index, fill_value=0).to_numpy(float) for t in tables])
    finder_U = index.get_level_values(FINDER).to_numpy()
    generator = rng(seed, "planted faults")
    scores_AF, drawn_AFB = [], []
    fewest = len(index)
    for name in sorted(set(finder_U)):
        of_AU3 = counts_AU3[:, finder_U == name]
        size = of_AU3.shape[1]
        fewest = min(fewest, size)
        weights_BU = times_multinomial(generator, size, draws).astype(float)
        scores_AF.append(f1(of_AU3.sum(axis=1)))
        drawn_AFB.append(f1(np.einsum("bu,auc->abc", weights_BU, of_AU3)))
    score_A, drawn_AB = np.mean(scores_AF, axis=0), np.mean(drawn_AFB, axis=0)
    delta_P = score_A[1:] - score_A[0]
    off_PB = drawn_AB[1:] - drawn_AB[0] - delta_P[:, None]
    off_PB -= off_PB.mean(axis=1, keepdims=True)
    error_P = off_PB.std(axis=1)
    reach_P = max_t_factor(off_PB, error_P) * error_P
    comparisons = [
        comparison(delta, (delta - reach, delta + reach), delta + off_B, fewest)
        for delta, reach, off_B in zip(delta_P.tolist(), reach_P.tolist(), off_PB, strict=True)
    ]
    return score_A.tolist(), comparisons


SEARCH, CONFIRM = "search", "confirm"
FAULTS, UNITS = "faults.npz", "units.csv"
FEATURES = "features"
SEARCHED = (0, 1, 2)
# With fewer groups in a half, chance finds as much as a finder.
FEWEST_GROUPS = 2 * PLANTED_GROUPS


def half(inputs: Mapping[str, Artifact], side: str, job: Job) -> tuple[Samples, Probabilities]:
    """One half of the groups with out-of-fold predictions, and these predictions.

    Raises:
        DataError: there are too few groups.
    """
    train = load.samples(inputs["data"], "train", job.home)
    oof = load.oof(inputs["of"], "out-of-fold").with_classes(train.space.classes)
    train = train.take(oof.ids_N)
    ids = train.ids_N[np.isin(train.groups_N, halves(np.unique(train.groups_N), side))]
    return train.take(ids), oof.take(ids)


def halves(groups: Strings, side: str) -> Strings:
    """One half of the groups.

    Raises:
        DataError: there are too few groups.
    """
    if len(groups) < 2 * FEWEST_GROUPS:
        raise DataError(
            texts.TOO_FEW_GROUPS.format(count=len(groups)),
            remedy=texts.GROUPS_NEEDED.format(count=2 * FEWEST_GROUPS),
        )
    order = rng(0, "halves for planted faults").permutation(len(groups))
    middle = len(groups) // 2
    return groups[order[:middle] if side == SEARCH else order[middle:]]


def of_train(images: Artifact) -> pd.DataFrame:
    """Facts of the training images."""
    facts = load.facts(images)
    return facts[facts["split"] == "train"]


def planted(artifact: Artifact) -> tuple[dict[str, npt.NDArray[Any]], list[WorsenedSlice]]:
    """The planted faults that the stage `faults` wrote."""
    with np.load(artifact.folder / FAULTS) as file:
        arrays = {name: file[name] for name in file.files}
    rows = zip(arrays["names"].tolist(), arrays["inside"], arrays["predicted"], strict=True)
    return arrays, [WorsenedSlice(*row) for row in rows]


def units(artifact: Artifact) -> pd.DataFrame:
    """Hits, misses and false alarms that the stage `finders` wrote."""
    return pd.read_csv(artifact.folder / UNITS, dtype={UNIT: str}, keep_default_na=False)


def need(settings: Settings, params: Params, seeds: tuple[int, ...] = SEARCHED, side: str = SEARCH) -> Need:
    """The need for the units of these thresholds on plantings of these seeds in one half of the groups.

    `params` are from `with_features`; `side` is `SEARCH` or `CONFIRM`.
    """
    all_params = {**params, "seeds": " ".join(map(str, seeds)), "side": side}
    return Need("finders", settings, all_params)


def with_features(session: Session, settings: Settings) -> Params:
    """The parameter with the features that the report would use for neighbours; empty if there are none."""
    newest = case.features(
        list(session.store.all("features")), session.graph.key(Need("train_data", settings))
    )
    return {} if newest is None else {FEATURES: newest}


def features_of(job: Job) -> Features | None:
    """The features that the parameters of `finders` name; None: there are none."""
    artifact = case.given_result(job, FEATURES)
    return None if artifact is None else files.read_features(artifact.folder / "features.npz")
