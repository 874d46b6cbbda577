"""The part `embedding`: features on a map, after their correlations and effective rank.

Owns choosing the images and telling what may be read from the map. Does not own the mathematics
(`explain/tsne.py`) or drawing clouds (the page).

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
from pipeline.explain import tsne, units
from pipeline.explain.scene import Net, Scene
from pipeline.explain.tsne import Map, Redundancy
from pipeline.pages import plots
from pipeline.pages.gallery import Cloud, Drawing, GalleryTable, Panel, Pixels
from pipeline.pages.report import percent

THUMB_PX = 40
NEAR = 10
LEAST = 20
MAY = (
    "You may read: images that stay side by side on every map are near in feature space, and an error among "
    "images of another class is one that these features cannot tell apart from them.",
    "You may not read: distances between clusters, their sizes, their densities and the empty space "
    "between them "
    "mean nothing; the axes mean nothing; t-SNE draws clusters out of pure noise too. Believe only what "
    "all maps "
    "show, and check it on the neighbours.",
)


TITLE = "Map of the features"
LEAD = (
    "Each point is an image, placed by t-SNE so that images with like features stand close; hover over it or "
    "reach it by Tab and the arrow keys to see it. Distances between clusters, their sizes and the space "
    "between them mean nothing. First, how many directions the features really have: those that repeat each "
    "other would count several times."
)


def panel(scene: Scene) -> Panel:
    """Correlations and effective rank, then t-SNE maps under several seeds."""
    net, settings = scene.lead, scene.config.explain.embedding
    ids, which = units.fair_ids(scene, net)
    if len(ids) < LEAST:
        return _none(f"A map needs {LEAST} images that the network never learned from; there are {len(ids)}.")
    shown = _drawn(ids, settings.images, scene.seed)
    x_ND, thumbs = _looked(scene, net, shown)
    if not tsne.varies(x_ND).any():
        return _none("The features are the same for every image: this network tells no image from another.")
    found = tsne.redundancy(x_ND)
    white_NK = tsne.whiten(x_ND, settings.variance)
    seeds = [seed(scene.seed, "tsne", number) % 2**31 for number in range(settings.seeds)]
    maps = tsne.fit_maps(white_NK, seeds, settings.perplexity)
    shared = tsne.agreement(maps)
    colours = _colours(scene, shown)
    names = tuple(f"train/{name}" for name in shown.tolist())
    clouds = tuple(
        Cloud(_caption(number, made), names, made.xy_N2, colours, thumbs) for number, made in enumerate(maps)
    )
    near, chance = _same_class(scene, shown, x_ND)
    trust = min(made.trust for made in maps)
    return Panel(
        name="embedding",
        title=TITLE,
        lead=LEAD,
        tables=(_table(found, white_NK, maps, shared, near, chance),),
        drawings=(
            Drawing(
                "Correlations of the features that vary most: strong blocks are features that say the same",
                plots.correlation_matrix(found.correlation_KK, "correlations of features"),
            ),
        ),
        clouds=clouds,
        notes=(
            *(() if found.collinear else (found.sentence,)),
            *MAY,
            _how(scene, net, shown, which, white_NK),
        ),
        warnings=_warnings(found, trust, shared, len(shown)),
        figures={
            "effective_rank": found.effective_rank,
            "trustworthiness": trust,
            "agreement": shared,
            "same_class_near": near,
        },
    )


def _none(why: str) -> Panel:
    return Panel("embedding", TITLE, LEAD, warnings=(why,))


def _drawn(ids: Strings, most: int, root: int) -> Strings:
    """At most so many of the ids, in their order."""
    if len(ids) <= most:
        return ids
    at = np.sort(rng(root, "embedding").choice(len(ids), most, replace=False))
    return ids[at]


def _looked(scene: Scene, net: Net, ids: Strings) -> tuple[Floats, tuple[Pixels, ...]]:
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
    """By class, by attribute where there are several, and by whether the prediction is right."""
    labels_N = scene.samples.take(ids).labels
    answer_N = scene.oof.take(ids).labels()
    space = scene.space
    found = {"class": tuple(space.classes[label] for label in labels_N)}
    if len(space.attributes) > 1:
        for at, attribute in enumerate(space.attributes):
            codes = space.codes_CA[labels_N, at]
            found[attribute.name] = tuple(attribute.values[code] for code in codes)
    found["error"] = tuple("right" if a == b else "wrong" for a, b in zip(labels_N, answer_N, strict=True))
    return found


def _same_class(scene: Scene, ids: Strings, x_ND: Floats) -> tuple[float, float]:
    """Share of the nearest images of other groups that bear the image's class, and that of all others."""
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


def _caption(number: int, made: Map) -> str:
    return f"Map {number + 1}, from a random start of its own: trustworthiness {made.trust:.3f}"


def _table(
    found: Redundancy, white_NK: Floats, maps: tuple[Map, ...], same: float, near: float, chance: float
) -> GalleryTable:
    trust = ", ".join(f"{made.trust:.3f}" for made in maps)
    return GalleryTable(
        "Before the map",
        ("figure", "value", "what it says"),
        (
            ("features that vary", f"{found.n_features:,}", f"of {found.n_features + found.n_constant}"),
            (
                "effective rank",
                round(found.effective_rank, 1),
                "independent directions that carry the variance",
            ),
            ("pairs beyond ±0.9", percent(found.similar), "features that repeat each other"),
            ("whitened directions", str(white_NK.shape[1]), "principal components that the map is drawn on"),
            ("trustworthiness", trust, "1: no stranger among a point's neighbours on the map; .5: chance"),
            (
                "agreement of the maps",
                percent(same),
                f"of a point's {NEAR} neighbours are common to two maps",
            ),
            (
                "same class nearby",
                f"{percent(near)}, by chance {percent(chance)}",
                f"of the {NEAR} nearest of other groups, in feature space itself",
            ),
        ),
    )


def _how(scene: Scene, net: Net, ids: Strings, which: str, white_NK: Floats) -> str:
    settings = scene.config.explain.embedding
    return (
        f"Made of {len(ids):,} of {which}; features of the network of fold {net.fold}, whitened to "
        f"{white_NK.shape[1]} principal components, perplexity {settings.perplexity:g}, {settings.seeds} "
        f"random "
        "starts. Networks of several folds are never mixed: each has a space of its own, and the map would "
        "show "
        "folds. Trustworthiness after Venna and Kaski 2001, effective rank after Roy and Vetterli 2007."
    )


def _warnings(found: Redundancy, trust: float, same: float, n: int) -> tuple[str, ...]:
    told = [found.sentence] if found.collinear else []
    if trust < 0.8:
        told.append(f"Trustworthiness is {trust:.2f} at worst: many neighbours on the map are strangers.")
    if same < 0.5:
        told.append(
            f"The maps agree on {percent(same)} of a point's neighbours (by chance "
            f"{percent(NEAR / max(n - 1, 1))}):"
            " most of what one map shows is its seed."
        )
    return tuple(told)
