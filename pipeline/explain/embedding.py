"""The panel `embedding`: features on a t-SNE map, after their correlations and effective rank.

Owns choosing the images, the mathematics, and what may be concluded from the map. Does not own computing
features (`explain/units.py`) or drawing clouds (`pages/gallery.py`).

t-SNE draws clusters from any data, and features that repeat each other count several times in its distances.
So the correlations and the effective rank come first, directions are whitened by PCA, the map is computed
with several seeds, and each has its trustworthiness.

Legend: N images, D features, K principal components, S seeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import torch

from pipeline.core import neighbours
from pipeline.core.neighbours import Known, search, squares
from pipeline.core.samples import Floats, Ints, Strings
from pipeline.core.seeds import rng, seed
from pipeline.data.channels import preview
from pipeline.data.several import shown_name
from pipeline.explain import texts, units
from pipeline.explain.scene import Net, Scene
from pipeline.pages import plots
from pipeline.pages.gallery import Cloud, Drawing, GalleryTable, Panel, Pixels
from pipeline.pages.report import percent

Doubles = npt.NDArray[np.float64]
# Features that correlate by more than this repeat each other.
SAME = 0.9
SHOWN = 40
# Share of the variance that is kept before whitening: the rest is noise, which whitening would amplify.
KEPT = 0.95
MOST = 50
TRUSTED = 10
# An effective rank below this share of the number of features is a warning.
FEW = 0.1
THUMB_PX = 40
NEAR = 10
LEAST = 20


def panel(scene: Scene) -> Panel:
    """Correlations and effective rank, then t-SNE maps under several seeds."""
    net, settings = scene.lead, scene.config.explain.embedding
    ids, which = units.fair_ids(scene, net)
    if len(ids) < LEAST:
        return _none(texts.EMBEDDING_FEW.format(least=LEAST, n=len(ids)))
    shown = _drawn(ids, settings.images, scene.seed)
    x_ND, thumbs = _features(scene, net, shown)
    if not varies(x_ND).any():
        return _none(texts.EMBEDDING_SAME)
    features = redundancy(x_ND)
    white_NK = whiten(x_ND, settings.variance)
    seeds = [seed(scene.seed, "tsne", number) % 2**31 for number in range(settings.seeds)]
    maps = fit_maps(white_NK, seeds, settings.perplexity)
    shared = agreement(maps)
    colours = _colours(scene, shown)
    names = tuple(f"train/{shown_name(name)}" for name in shown.tolist())
    captions = [texts.EMBEDDING_MAP.format(number=n, trust=made.trust) for n, made in enumerate(maps, 1)]
    clouds = tuple(Cloud(captions[n], names, m.xy_N2, colours, thumbs) for n, m in enumerate(maps))
    drawn = plots.correlation_matrix(features.correlation_KK, "correlations of features")
    near, chance = _same_class(scene, shown, x_ND)
    trust = min(made.trust for made in maps)
    return Panel(
        name="embedding",
        title=texts.EMBEDDING_TITLE,
        lead=texts.EMBEDDING_LEAD,
        tables=(_table(features, white_NK, maps, shared, near, chance),),
        drawings=(Drawing(texts.EMBEDDING_CORRELATIONS, drawn),),
        clouds=clouds,
        notes=(
            *(() if features.collinear else (features.sentence,)),
            texts.EMBEDDING_MAY,
            texts.EMBEDDING_MAY_NOT,
            _how(scene, net, shown, which, white_NK),
        ),
        warnings=_warnings(features, trust, shared, len(shown)),
        figures={
            "effective_rank": features.effective_rank,
            "trustworthiness": trust,
            "agreement": shared,
            "same_class_near": near,
        },
    )


def _none(why: str) -> Panel:
    return Panel("embedding", texts.EMBEDDING_TITLE, texts.EMBEDDING_LEAD, warnings=(why,))


def _drawn(ids: Strings, most: int, root: int) -> Strings:
    """At most this many of the ids, in their order."""
    if len(ids) <= most:
        return ids
    at = np.sort(rng(root, "embedding").choice(len(ids), most, replace=False))
    return ids[at]


def _features(scene: Scene, net: Net, ids: Strings) -> tuple[Floats, tuple[Pixels, ...]]:
    features, thumbs = [], []
    for batch in scene.batches("train", ids, net.fold):
        with torch.no_grad():
            features.append(net.features(batch.x_BCHW).float().cpu().numpy())
        thumbs += [_thumb(pixels) for pixels in batch.pixels_BHWC]
    return np.concatenate(features), tuple(thumbs)


def _thumb(pixels_HWC: Pixels) -> Pixels:
    pixels_HWC = preview(pixels_HWC)
    height, width = pixels_HWC.shape[:2]
    scale = min(1.0, THUMB_PX / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(np.ascontiguousarray(pixels_HWC), size, interpolation=cv2.INTER_AREA)
    return np.asarray(small, dtype=np.uint8)


def _colours(scene: Scene, ids: Strings) -> dict[str, tuple[str, ...]]:
    """By class, by attribute if there are several, and by whether the prediction is right."""
    labels_N = scene.samples.take(ids).labels
    answer_N = scene.oof.take(ids).labels()
    space = scene.space
    colours = {"class": tuple(space.classes[label] for label in labels_N)}
    if len(space.attributes) > 1:
        for at, attribute in enumerate(space.attributes):
            codes = space.codes_CA[labels_N, at]
            colours[attribute.name] = tuple(attribute.values[code] for code in codes)
    colours["error"] = tuple("right" if a == b else "wrong" for a, b in zip(labels_N, answer_N, strict=True))
    return colours


def _same_class(scene: Scene, ids: Strings, x_ND: Floats) -> tuple[float, float]:
    """Share of the nearest images of other groups that have the image's class, and the share by chance."""
    samples = scene.samples.take(ids)
    folds: Ints = np.zeros(len(ids), np.int64)
    points = Known(samples.ids_N, x_ND, samples.groups_N, samples.labels, folds)
    largest = int(np.unique(samples.groups_N, return_counts=True)[1].max())
    readings = neighbours.nearest(points, ids.tolist(), NEAR + largest - 1)
    shares = []
    for reading in readings:
        fair = [n for n in reading.neighbours if not n.same_group][:NEAR]
        if fair:
            shares.append(np.mean([not n.other_label for n in fair]))
    other = samples.groups_N[:, None] != samples.groups_N[None]
    same = samples.labels[:, None] == samples.labels[None]
    chance = float((same & other).sum() / max(int(other.sum()), 1))
    return float(np.mean(shares)) if shares else 0.0, chance


def _table(
    redundancy: Redundancy, white_NK: Floats, maps: tuple[Map, ...], same: float, near: float, chance: float
) -> GalleryTable:
    trust = ", ".join(f"{made.trust:.3f}" for made in maps)
    every = redundancy.n_features + redundancy.n_constant
    rank, pairs = round(redundancy.effective_rank, 1), percent(redundancy.similar)
    same_class = texts.EMBEDDING_CLASS.format(share=percent(near), chance=percent(chance))
    return GalleryTable(
        texts.EMBEDDING_TABLE,
        texts.EMBEDDING_COLUMNS,
        (
            ("features that vary", f"{redundancy.n_features:,}", f"of {every}"),
            ("effective rank", rank, texts.EMBEDDING_RANK),
            ("pairs beyond ±0.9", pairs, texts.EMBEDDING_PAIRS),
            ("whitened directions", str(white_NK.shape[1]), texts.EMBEDDING_WHITE),
            ("trustworthiness", trust, texts.EMBEDDING_TRUST),
            ("agreement of the maps", percent(same), texts.EMBEDDING_AGREEMENT.format(near=NEAR)),
            ("same class nearby", same_class, texts.EMBEDDING_CLASS_MEANING.format(near=NEAR)),
        ),
    )


def _how(scene: Scene, net: Net, ids: Strings, which: str, white_NK: Floats) -> str:
    settings = scene.config.explain.embedding
    return texts.EMBEDDING_HOW.format(
        n=len(ids),
        images=which,
        fold=net.fold,
        components=white_NK.shape[1],
        perplexity=settings.perplexity,
        seeds=settings.seeds,
    )


def _warnings(redundancy: Redundancy, trust: float, same: float, n: int) -> tuple[str, ...]:
    warnings = [redundancy.sentence] if redundancy.collinear else []
    if trust < 0.8:
        warnings.append(texts.EMBEDDING_LOW_TRUST.format(trust=trust))
    if same < 0.5:
        chance = percent(NEAR / max(n - 1, 1))
        warnings.append(texts.EMBEDDING_DISAGREE.format(share=percent(same), chance=chance))
    return tuple(warnings)


@dataclass(frozen=True)
class Redundancy:
    """How much features repeat each other.

    Args:
        n_features: number of features that vary at all.
        n_constant: number of features that do not vary.
        n_images: number of images.
        effective_rank: how many directions carry the variance, 1 to min(N − 1, D): the exponential of
            the entropy of the covariance's eigenvalues, each as a share.
        similar: share of pairs of features that correlate by more than `SAME`, either way.
        correlation_KK: of the `SHOWN` features with the largest variance, similar ones next to each other.
    """

    n_features: int
    n_constant: int
    n_images: int
    effective_rank: float
    similar: float
    correlation_KK: Doubles

    @property
    def collinear(self) -> bool:
        """Whether distances on these features count a few directions many times."""
        return self.effective_rank < FEW * min(self.n_features, self.n_images - 1)

    @property
    def sentence(self) -> str:
        """The finding in words."""
        constant = texts.EMBEDDING_CONSTANT.format(n=self.n_constant) if self.n_constant else ""
        facts = texts.EMBEDDING_FACTS.format(
            features=self.n_features,
            rank=self.effective_rank,
            similar=100 * self.similar,
            threshold=SAME,
            constant=constant,
        )
        template = texts.EMBEDDING_COLLINEAR if self.collinear else texts.EMBEDDING_NOT_COLLINEAR
        return template.format(facts=facts)


def varies(x_ND: Floats) -> npt.NDArray[np.bool_]:
    """(D,) which features differ between images."""
    x = np.asarray(x_ND, np.float64)
    return np.asarray(x.std(axis=0) > 1e-9 * max(float(np.abs(x).max()), 1e-12), dtype=np.bool_)


def redundancy(x_ND: Floats) -> Redundancy:
    """Correlations and effective rank of features, some of which vary; at least two images.

    Source: Roy and Vetterli 2007, The effective rank, https://ieeexplore.ieee.org/document/7098875,
    on the eigenvalues of the correlation matrix.
    """
    x = np.asarray(x_ND, np.float64)
    std_D, moves = x.std(axis=0), varies(x_ND)
    assert moves.any(), "no feature varies"
    z = (x[:, moves] - x[:, moves].mean(axis=0)) / std_D[moves]
    correlation = np.clip(z.T @ z / len(z), -1, 1)
    off = np.abs(correlation[np.triu_indices(len(correlation), 1)])
    largest = np.argsort(-std_D[moves], kind="stable")[:SHOWN]
    shown = correlation[np.ix_(largest, largest)]
    order = _alike(shown)
    return Redundancy(
        int(moves.sum()),
        int((~moves).sum()),
        len(x),
        effective_rank(z),
        float((off > SAME).mean()) if len(off) else 0.0,
        shown[np.ix_(order, order)],
    )


def effective_rank(z_ND: Doubles) -> float:
    """Exponential of the entropy of the shares of variance; 1 for one direction, D for equal ones."""
    centred = z_ND - z_ND.mean(axis=0)
    variance = np.linalg.svd(centred, compute_uv=False) ** 2
    share = variance / variance.sum()
    share = share[share > 1e-15]
    return float(np.exp(-(share * np.log(share)).sum()))


def _alike(correlation: Doubles) -> list[int]:
    """An order that puts correlated features next to each other: the leaves of a clustering."""
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.spatial.distance import squareform

    if len(correlation) < 3:
        return list(range(len(correlation)))
    distance = 1 - np.abs(correlation)
    np.fill_diagonal(distance, 0)
    leaves: list[int] = leaves_list(linkage(squareform(distance, checks=False), "average")).tolist()
    return leaves


def whiten(x_ND: Floats, kept: float = KEPT, most: int = MOST) -> Floats:
    """(N, K) principal components, K ≤ `most`, that explain `kept` of the variance, each with variance 1."""
    x = np.asarray(x_ND, np.float64)
    centred = x - x.mean(axis=0)
    u, size, _ = np.linalg.svd(centred, full_matrices=False)
    share = np.cumsum(size**2) / max(float((size**2).sum()), 1e-300)
    number = min(most, int(np.searchsorted(share, kept - 1e-12)) + 1, int((size > 1e-9 * size[0]).sum()))
    return np.asarray(u[:, : max(number, 1)] * np.sqrt(len(x)), dtype=np.float32)


@dataclass(frozen=True)
class Map:
    """One t-SNE map.

    Args:
        xy_N2: coordinates, in [0, 1] along both axes.
        seed: of the map.
        trust: trustworthiness, 0 to 1: how many of a point's neighbours on the map are also neighbours in
            feature space (Venna and Kaski 2001).
    """

    xy_N2: Floats
    seed: int
    trust: float


def fit_maps(x_ND: Floats, seeds: Sequence[int], perplexity: float = 30.0) -> tuple[Map, ...]:
    """One map of the same points (at least 5) for each seed, from random starts.

    A start from the principal components would hide how much depends on chance. `perplexity`: about how many
    neighbours count; lowered if there are too few points.
    """
    from sklearn.manifold import TSNE, trustworthiness

    assert len(x_ND) >= 5, "a map needs at least 5 points"
    usable = min(perplexity, (len(x_ND) - 1) / 3)
    near = min(TRUSTED, (len(x_ND) - 1) // 2)
    made = []
    for state in seeds:
        sne = TSNE(perplexity=usable, init="random", random_state=state, max_iter=750)
        xy = sne.fit_transform(np.asarray(x_ND, np.float32))
        trust = float(trustworthiness(x_ND, xy, n_neighbors=near))
        low, high = xy.min(axis=0), xy.max(axis=0)
        made.append(Map(((xy - low) / np.maximum(high - low, 1e-12)).astype(np.float32), state, trust))
    return tuple(made)


def agreement(maps: Sequence[Map], k: int = TRUSTED) -> float:
    """Share of a point's k neighbours that two maps have in common, mean over points and pairs of maps.

    1: the maps show the same neighbourhoods; k/(N − 1): chance.
    """
    assert len(maps) >= 2, "agreement needs two maps"
    k = min(k, len(maps[0].xy_N2) - 1)
    rows = np.arange(len(maps[0].xy_N2))
    # In double precision: points of a map lie close together.
    places = [m.xy_N2.astype(np.float64) for m in maps]
    near = [search(xy_N2, xy_N2, k, squares, (rows, rows))[0] for xy_N2 in places]
    shares = [
        np.mean([len(np.intersect1d(a, b)) / k for a, b in zip(near[i], near[j], strict=True)])
        for i in range(len(maps))
        for j in range(i)
    ]
    return float(np.mean(shares))
