"""The panel `neighbours`: the training images nearest to each explained one, by features and by pixels.

Owns computing features and pixels for the search, and the panel. Does not own the search
(`core/neighbours.py`) or what a near-duplicate is (`eda/duplicates.py`).

Features are those of the network that explains the image: each fold's network has its own feature space, so
the images of all folds pass through it, and those that it was not trained on are marked.

Legend: N training images, Q explained ones, D features.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch

from pipeline.core import neighbours
from pipeline.core.neighbours import Known, Neighbour, Reading
from pipeline.core.samples import Floats, Ints, Strings, strings
from pipeline.data.channels import grey, preview
from pipeline.data.decode import phash
from pipeline.data.several import shown_name
from pipeline.eda import duplicates
from pipeline.eda.survey import THUMB_SIDE
from pipeline.explain import maps, texts, units
from pipeline.explain.scene import ExplainedImage, Net, Scene
from pipeline.pages.gallery import GalleryRow, GalleryTable, Panel, Picture

# A test image may have the id of a training image.
ASKED = "\x00asked:"


@dataclass(frozen=True)
class TrainingImages:
    """All training images, small enough to keep in memory, and sets of ids that are near-duplicates."""

    pixels_ND: Floats
    twins: list[list[str]]


def panel(scene: Scene) -> Panel:
    """Neighbours of every explained image."""
    rows: list[GalleryRow] = []
    lines: list[tuple[Any, ...]] = []
    facts: dict[str, dict[str, Any]] = {}
    spaces: dict[int, Floats] = {}
    images = training_images(scene) if scene.cases else None
    for case in scene.cases:
        assert images is not None
        # A frozen backbone is the same in every fold.
        fold = next(iter(spaces), case.fold) if units.is_frozen(scene) else case.fold
        if fold not in spaces:
            spaces[fold] = features(scene, scene.nets[fold])
        by_features, by_pixels = _readings(scene, case, spaces[fold], images)
        rows.append(_row(scene, case, by_features, by_pixels))
        lines.append(_line(scene, case, by_features, by_pixels))
        facts[case.key] = {"features": _plain(by_features), "pixels": _plain(by_pixels)}
    return Panel(
        name="neighbours",
        title=texts.NEIGHBOURS_TITLE,
        lead=texts.NEIGHBOURS_LEAD,
        rows=tuple(rows),
        tables=(_table(lines, scene.config.explain.neighbours.k),) if lines else (),
        notes=(
            texts.NEIGHBOURS_MARKS,
            texts.NEIGHBOURS_READING,
            texts.NEIGHBOURS_PIXELS.format(size=scene.config.explain.neighbours.pixels_px),
        ),
        warnings=() if scene.cases else (texts.NO_IMAGE,),
        facts=facts,
    )


def features(scene: Scene, net: Net) -> Floats:
    """(N, D) features of all training images, in the order of the samples."""
    batches = []
    for batch in scene.batches("train", scene.samples.ids_N, net.fold):
        with torch.no_grad():
            batches.append(net.features(batch.x_BCHW).float().cpu().numpy())
    return np.concatenate(batches)


def training_images(scene: Scene) -> TrainingImages:
    """All training images as the networks see them, read once."""
    small, hashes, thumbs = [], [], []
    side = (THUMB_SIDE, THUMB_SIDE)
    for batch in scene.batches("train", scene.samples.ids_N, scene.lead.fold):
        small.append(neighbours.as_pixels(batch.pixels_BHWC, scene.config.explain.neighbours.pixels_px))
        for picture in map(preview, batch.pixels_BHWC):
            x_HWC = np.ascontiguousarray(picture)
            hashes.append(int(phash(grey(x_HWC)), 16))
            thumbs.append(cv2.resize(x_HWC, side, interpolation=cv2.INTER_AREA))
    sets = duplicates.copies(np.array(hashes, np.uint64), np.stack(thumbs), scene.config.eda)
    names = [[str(scene.samples.ids_N[at]) for at in members] for members in sets]
    return TrainingImages(np.concatenate(small), names)


def known(scene: Scene, x_ND: Floats, sets: list[list[str]]) -> Known:
    """The training images in the form that the search expects."""
    valid = [split.valid_ids for split in scene.plan.splits]
    folds: Ints = neighbours.folds_of(scene.samples.ids_N, valid)
    return Known(scene.samples.ids_N, x_ND, scene.samples.groups_N, scene.samples.labels, folds, sets)


def _readings(
    scene: Scene, case: ExplainedImage, features_ND: Floats, images: TrainingImages
) -> tuple[Reading, Reading]:
    settings = scene.config.explain.neighbours
    spaces = [known(scene, x_ND, images.twins) for x_ND in (features_ND, images.pixels_ND)]
    name = case.id
    if case.split != "train":
        with torch.no_grad():
            own_D = scene.net(case).features(case.x_CHW[None]).float().cpu().numpy()
        own = (own_D, neighbours.as_pixels(case.pixels_HWC[None], settings.pixels_px))
        spaces = [_with(space, case, x_1D) for space, x_1D in zip(spaces, own, strict=True)]
        name = ASKED + case.id
    (by_features,) = neighbours.nearest(spaces[0], [name], settings.k, "cosine")
    (by_pixels,) = neighbours.nearest(spaces[1], [name], settings.k, "euclidean")
    return by_features, by_pixels


def _with(points: Known, case: ExplainedImage, x_1D: Floats) -> Known:
    """The same with a test image added, which gets the predicted class and the fold of its network."""

    def more(values: Strings, value: str) -> Strings:
        return strings([*values.tolist(), value])

    return Known(
        more(points.ids_N, ASKED + case.id),
        np.concatenate([points.x_ND, x_1D]),
        more(points.groups_N, case.group),
        np.append(points.labels_N, case.predicted),
        np.append(points.fold_N, case.fold),
        points.twins,
    )


def _row(scene: Scene, case: ExplainedImage, by_features: Reading, by_pixels: Reading) -> GalleryRow:
    ids = sorted({near.id for reading in (by_features, by_pixels) for near in reading.neighbours})
    batches = scene.batches("train", ids, case.fold)
    image = {
        str(name): x for b in batches for name, x in zip(b.ids_B, map(preview, b.pixels_BHWC), strict=True)
    }
    pictures = [maps.image(case)]
    for space, reading in (("features", by_features), ("pixels", by_pixels)):
        for rank, near in enumerate(reading.neighbours, 1):
            marks = ", ".join(near.marks)
            truth = scene.captions.get(near.id, scene.space.classes[near.label])
            caption = truth + (f" ({marks})" if marks else "")
            title = texts.NEIGHBOURS_PICTURE.format(
                rank=rank, space=space, id=shown_name(near.id), caption=caption, distance=near.distance
            )
            pixels = maps.shown(image[near.id])
            group = texts.NEIGHBOURS_GROUP.format(space=space)
            pictures.append(Picture(f"{space}-{rank}", caption, pixels, title, group))
    note = _note(scene, case, by_features)
    return GalleryRow(case.key, maps.title(scene, case), tuple(pictures), note, case.key)


def _fair(reading: Reading) -> list[Neighbour]:
    return [n for n in reading.neighbours if not (n.same_group or n.near_duplicate)]


def _note(scene: Scene, case: ExplainedImage, reading: Reading) -> str:
    """The classes of the neighbours by features, without the own group and copies."""
    fair = _fair(reading)
    if not fair:
        return texts.NEIGHBOURS_NONE
    classes = scene.space.classes
    predicted = sum(n.label == case.predicted for n in fair)
    text = texts.NEIGHBOURS_PREDICTED.format(n=len(fair), count=predicted, name=classes[case.predicted])
    if case.is_error and case.true is not None:
        labelled = sum(n.label == case.true for n in fair)
        text += texts.NEIGHBOURS_LABELLED.format(count=labelled, name=classes[case.true])
    others = len(fair) - sum(n.label in (case.predicted, case.true) for n in fair)
    return text + texts.NEIGHBOURS_OTHERS.format(count=others)


def _line(scene: Scene, case: ExplainedImage, by_features: Reading, by_pixels: Reading) -> tuple[Any, ...]:
    classes = scene.space.classes
    cells: list[Any] = [case.key, "–" if case.true is None else classes[case.true], classes[case.predicted]]
    for reading in (by_features, by_pixels):
        fair = _fair(reading)
        cells.append(None if case.true is None else sum(n.label == case.true for n in fair))
        cells.append(sum(n.label == case.predicted for n in fair))
        cells.append(len(reading.neighbours) - len(fair))
    return tuple(cells)


def _table(lines: list[tuple[Any, ...]], k: int) -> GalleryTable:
    return GalleryTable(
        texts.NEIGHBOURS_TABLE.format(k=k), texts.NEIGHBOURS_COLUMNS, tuple(lines), texts.NEIGHBOURS_NOTE
    )


def _plain(reading: Reading) -> list[dict[str, Any]]:
    """For explain.json."""
    return [
        {"id": n.id, "distance": round(n.distance, 5), "label": n.label, "marks": list(n.marks)}
        for n in reading.neighbours
    ]
