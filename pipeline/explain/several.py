"""Samples of several images: each image is explained, with the others of its sample as they are.

Owns prepared samples image by image, the values of a scene with a row for each image, and which images of a
sample are explained. Does not own pooling (`nets/several.py`), the network of an image among the others
(`explain/network.py`) or choosing samples (`explain/cases.py`).

An image has its sample's truth, group, fold and predictions. Its id is that of `data/several.py`: the
sample's own for the first one.

Legend: N samples, M images, I places for images, B a batch, H height, W width, C channels, E = I · C.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from pipeline.core.predictions import Probabilities
from pipeline.core.samples import FoldPlan, Ints, Samples, Split, Strings, positions, strings
from pipeline.data import several
from pipeline.data.images import PreparedImages
from pipeline.explain import network
from pipeline.explain.scene import Net
from pipeline.nets.forward import probabilities
from pipeline.pages.gallery import Pixels

# Rows of prepared pixels that are read at once.
_ROWS = 256


@dataclass(frozen=True)
class SampleImages:
    """Prepared samples, image by image.

    Args:
        prepared: a row for each sample.
        ids_M: of each image, in the order of samples and places.
        row_M: its row in `prepared`.
        place_M: its place in that row, from 0.
    """

    prepared: PreparedImages
    ids_M: Strings
    row_M: Ints
    place_M: Ints

    @staticmethod
    def of(prepared: PreparedImages) -> SampleImages:
        """The images that are there; where each sample has one, the samples themselves."""
        n_places = prepared.x_NHWC.shape[3] // prepared.channels
        if n_places == 1:
            row_M = np.arange(len(prepared))
            return SampleImages(prepared, prepared.ids_N, row_M, np.zeros_like(row_M))
        row_M, place_M = np.nonzero(_present(prepared, n_places))
        pairs = zip(row_M.tolist(), place_M.tolist(), strict=True)
        ids = [several.image_name(str(prepared.ids_N[row]), place) for row, place in pairs]
        return SampleImages(prepared, strings(ids), row_M, place_M)

    @property
    def one_each(self) -> bool:
        """Whether a sample is one image everywhere, and a row has no other place."""
        return bool(self.prepared.x_NHWC.shape[3] == self.prepared.channels)

    def at(self, ids: Sequence[str] | Strings) -> Ints:
        """(B,) the positions of these images."""
        return positions(strings(ids), self.ids_M, "prepared images")

    def pixels(self, ids: Sequence[str] | Strings) -> Pixels:
        """(B, H, W, C) these images."""
        rows_BHWE, place_B = self.rows(ids)
        if self.one_each:
            return rows_BHWE
        starts, channels = place_B * self.prepared.channels, self.prepared.channels
        return np.stack([row[..., s : s + channels] for row, s in zip(rows_BHWE, starts, strict=True)])

    def rows(self, ids: Sequence[str] | Strings) -> tuple[Pixels, Ints]:
        """(B, H, W, E) the samples of these images, and (B,) the places of the images in them."""
        at_B = self.at(ids)
        return self.prepared.seen(self.row_M[at_B]), self.place_M[at_B]

    def of_sample(self, sample: str) -> list[str]:
        """The images of a sample, in the order of their places."""
        row = positions(strings([sample]), self.prepared.ids_N, "prepared samples")[0]
        return [str(name) for name in self.ids_M[self.row_M == row]]

    def sample_of(self, ids: Sequence[str] | Strings) -> Strings:
        """(B,) the sample of each of these images."""
        return self.prepared.ids_N[self.row_M[self.at(ids)]]

    def among(self, samples: Strings) -> Strings:
        """The images of these samples, in the order of samples and places."""
        wanted_M = np.isin(self.prepared.ids_N[self.row_M], samples)
        order_N = np.full(len(self.prepared), len(samples), np.int64)
        known = np.isin(samples, self.prepared.ids_N)
        order_N[positions(samples[known], self.prepared.ids_N, "prepared samples")] = np.flatnonzero(known)
        at_M = np.flatnonzero(wanted_M)
        return self.ids_M[at_M[np.argsort(order_N[self.row_M[at_M]], kind="stable")]]

    def in_company(self, net: Net, ids: Sequence[str] | Strings) -> Net:
        """The network for these images, among the other images of their samples."""
        return net if self.one_each else network.in_company(net, *self.rows(ids))


def _present(prepared: PreparedImages, n_places: int) -> np.ndarray:
    """(N, I) where there is an image; a sample of which nothing is seen has its first one."""
    found = []
    for start in range(0, len(prepared), _ROWS):
        rows = np.asarray(prepared.x_NHWC[start : start + _ROWS])
        found.append(rows.reshape(*rows.shape[:3], n_places, prepared.channels).any(axis=(1, 2, 4)))
    there_NI = np.concatenate(found)
    there_NI[:, 0] |= ~there_NI.any(axis=1)
    return there_NI


def samples_of(samples: Samples, images: SampleImages) -> Samples:
    """A row for each image of these samples, with all that is known of its sample."""
    if images.one_each:
        return samples
    ids_M = images.among(samples.ids_N)
    own_M = positions(images.sample_of(ids_M), samples.ids_N, "samples")
    values = ((f.name, getattr(samples, f.name)) for f in fields(samples))
    taken: dict[str, Any] = {name: v[own_M] if isinstance(v, np.ndarray) else v for name, v in values}
    return Samples(**{**taken, "ids_N": ids_M})


def plan_of(plan: FoldPlan, images: SampleImages) -> FoldPlan:
    """The folds of the images: those of their samples."""
    if images.one_each:
        return plan
    splits = (Split(images.among(s.train_ids), images.among(s.valid_ids)) for s in plan.splits)
    return replace(plan, splits=tuple(splits))


def predictions_of(oof: Probabilities, images: SampleImages) -> Probabilities:
    """The prediction of a sample as that of each of its images."""
    if images.one_each:
        return oof
    ids_M = images.among(oof.ids_N)
    at_M = positions(images.sample_of(ids_M), oof.ids_N, "predictions")
    return replace(oof, ids_N=ids_M, p_NC=oof.p_NC[at_M])


def captions_of(captions: Mapping[str, str], images: SampleImages) -> dict[str, str]:
    """What is true of a sample, for each of its images."""
    if images.one_each:
        return dict(captions)
    samples = images.sample_of(images.ids_M).tolist()
    pairs = zip(images.ids_M.tolist(), samples, strict=True)
    return {image: captions[sample] for image, sample in pairs if sample in captions}


@dataclass(frozen=True)
class Chosen:
    """An image of a sample that is explained.

    Args:
        name: of the image.
        p_without: probability of the sample's predicted class without this image; None: it has no other.
        number, of: its place among the images that the sample has, from 1, and how many these are.
    """

    name: str
    p_without: float | None = None
    number: int = 1
    of: int = 1


def chosen(images: SampleImages, net: Net, sample: str, most: int) -> list[Chosen]:
    """At most `most` images of a sample, in its order: those without which its answer would change most."""
    names = images.of_sample(sample)
    if len(names) == 1:
        return [Chosen(names[0])]
    p, without_M = _left_out(net, images.rows(names[:1])[0])
    kept = np.sort(np.argsort(-np.abs(without_M - p), kind="stable")[:most])
    return [Chosen(names[m], float(without_M[m]), int(m) + 1, len(names)) for m in kept]


def _left_out(net: Net, row_1HWE: Pixels) -> tuple[float, np.ndarray]:
    """Probability of a sample's predicted class, and the same without each of its images."""
    assert isinstance(net.module, network.Explained), "the network must be made by `network.of_module`"
    module = net.module
    h_1ID, there_1I = network.known_images(net, row_1HWE)
    places = np.flatnonzero(there_1I[0].cpu().numpy())
    h_MID, there_MI = (x.repeat(len(places) + 1, *[1] * (x.ndim - 1)) for x in (h_1ID, there_1I))
    for m, place in enumerate(places.tolist(), 1):
        there_MI[m, place] = False
        h_MID[m, place] = 0
    outputs = module.after_pooling(h_MID, there_MI)
    p_MC = probabilities(module.viewed_logits(outputs)).float().detach().cpu().numpy()
    predicted = int(p_MC[0].argmax())
    return float(p_MC[0, predicted]), p_MC[1:, predicted]
