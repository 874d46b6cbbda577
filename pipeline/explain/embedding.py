"""The panel `embedding`: features on a t-SNE map, after their correlations and effective rank.

Owns choosing the images and what may be concluded from the map. Does not own the mathematics
(`explain/tsne.py`) or drawing clouds (`pages/gallery.py`).

Legend: N images, D features.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch

from pipeline.core import neighbours
from pipeline.core.neighbours import Known
from pipeline.core.samples import Floats, Ints, Strings
from pipeline.core.seeds import rng, seed
from pipeline.explain import texts, tsne, units
from pipeline.explain.scene import Net, Scene
from pipeline.explain.tsne import Map, Redundancy
from pipeline.pages import plots
from pipeline.pages.gallery import Cloud, Drawing, GalleryTable, Panel, Pixels
from pipeline.pages.report import percent

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
    if not tsne.varies(x_ND).any():
        return _none(texts.EMBEDDING_SAME)
    redundancy = tsne.redundancy(x_ND)
    white_NK = tsne.whiten(x_ND, settings.variance)
    seeds = [seed(scene.seed, "tsne", number) % 2**31 for number in range(settings.seeds)]
    maps = tsne.fit_maps(white_NK, seeds, settings.perplexity)
    shared = tsne.agreement(maps)
    colours = _colours(scene, shown)
    names = tuple(f"train/{name}" for name in shown.tolist())
    captions = [texts.EMBEDDING_MAP.format(number=n, trust=made.trust) for n, made in enumerate(maps, 1)]
    clouds = tuple(Cloud(captions[n], names, m.xy_N2, colours, thumbs) for n, m in enumerate(maps))
    drawn = plots.correlation_matrix(redundancy.correlation_KK, "correlations of features")
    near, chance = _same_class(scene, shown, x_ND)
    trust = min(made.trust for made in maps)
    return Panel(
        name="embedding",
        title=texts.EMBEDDING_TITLE,
        lead=texts.EMBEDDING_LEAD,
        tables=(_table(redundancy, white_NK, maps, shared, near, chance),),
        drawings=(Drawing(texts.EMBEDDING_CORRELATIONS, drawn),),
        clouds=clouds,
        notes=(
            *(() if redundancy.collinear else (redundancy.sentence,)),
            texts.EMBEDDING_MAY,
            texts.EMBEDDING_MAY_NOT,
            _how(scene, net, shown, which, white_NK),
        ),
        warnings=_warnings(redundancy, trust, shared, len(shown)),
        figures={
            "effective_rank": redundancy.effective_rank,
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
