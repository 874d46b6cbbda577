"""How much attention lies on object and background over many unseen images: the part `attention`.

Owns choosing the images and measuring them. Does not own the figures (`errors/findings/attention.py`), where
objects are (`explain/cases.py`) or Grad-CAM (`cam.py`).

Legend: N images, B a batch, H height, W width, h and w of a map.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

import numpy as np

from pipeline.core.samples import Floats, Ints, Strings, positions
from pipeline.core.seeds import rng
from pipeline.errors.findings import attention
from pipeline.explain import cam, maps
from pipeline.explain.scene import ImageBatch, Scene
from pipeline.pages.gallery import GalleryTable, Panel

TITLE = "Object or background?"
LEAD = (
    "Share of Grad-CAM's attention on the background, on images that the network never saw. A map that is "
    "the same everywhere would put there just the background's area; more than that hints at a shortcut."
)


def panel(scene: Scene) -> Panel:
    """The table of attention by class, and its warning."""
    if not scene.config.explain.attention_images:
        return Panel("attention", TITLE, LEAD, notes=("Not measured: explain.attention_images=0.",))
    measured = list(_measured(scene))
    tried = sum(n for _, n, _ in measured)
    rows = [row for found, _, _ in measured for row in found]
    from_what = sorted({word for _, _, words in measured for word in words})
    if not rows:
        return Panel("attention", TITLE, LEAD, warnings=(_none(tried),))
    ids = [row[0] for row in rows]
    at = positions(np.array(ids), scene.samples.ids_N, "training samples")
    found = attention.by_class(
        np.array([row[1] for row in rows], np.float32),
        np.array([row[2] for row in rows], np.float32),
        scene.samples.labels[at],
        scene.samples.groups_N[at],
        scene.space.classes,
        scene.config.statistics.draws,
        scene.seed,
    )
    told = attention.warning(found)
    return Panel(
        name="attention",
        title=TITLE,
        lead=LEAD,
        tables=(_table(found),),
        notes=_notes(scene, len(rows), tried, from_what),
        warnings=(told,) if told else (),
        figures={"background": found[-1].background, "background_area": found[-1].area},
        data={"from": from_what, "classes": [asdict(one) for one in found], "warning": told},
    )


def _measured(scene: Scene) -> Iterator[tuple[list[tuple[str, float, float]], int, set[str]]]:
    """Of each batch (id, share on the background, area of it), how many were tried, what told the object."""
    for fold in sorted(scene.nets):
        for batch in scene.batches("train", _chosen(scene, fold), fold):
            yield _of_batch(scene, batch)


def _chosen(scene: Scene, fold: int) -> Strings:
    """Unseen images of a fold, classes in turn, in an order drawn once."""
    ids = scene.plan.splits[fold].valid_ids
    labels: Ints = scene.samples.take(ids).labels
    drawn = rng(scene.seed, "attention images", fold).permutation(len(ids))
    turn = np.zeros(len(ids), np.int64)
    seen: dict[int, int] = {}
    for i in drawn:
        turn[i] = seen[int(labels[i])] = seen.get(int(labels[i]), -1) + 1
    wanted = -(-scene.config.explain.attention_images // len(scene.nets))
    order = sorted(drawn.tolist(), key=lambda i: int(turn[i]))
    return ids[np.array(order[:wanted], dtype=np.int64)]


def _of_batch(scene: Scene, batch: ImageBatch) -> tuple[list[tuple[str, float, float]], int, set[str]]:
    net = scene.nets[batch.fold]
    seen = [scene.object_of("train", str(i), p) for i, p in zip(batch.ids_B, batch.pixels_BHWC, strict=True)]
    known = [(i, mask, word) for i, (mask, word) in enumerate(seen) if mask is not None]
    if not known:
        return [], len(batch.ids_B), set()
    x_BCHW = batch.x_BCHW[[i for i, _, _ in known]]
    classes = net.module(x_BCHW).argmax(1).tolist()
    coarse_Bhw: Floats = cam.grad_cam(net, x_BCHW, classes)
    rows, words = [], set()
    for (i, mask_HW, word), coarse_hw in zip(known, coarse_Bhw, strict=True):
        if maps.flatness(coarse_hw):
            continue
        share = attention.on_background(maps.enlarged(np.maximum(coarse_hw, 0), mask_HW.shape), mask_HW)
        if share is not None:
            rows.append((str(batch.ids_B[i]), share, 1 - float(mask_HW.mean())))
            words.add(word)
    return rows, len(batch.ids_B), words


def _table(found: tuple[attention.ClassAttention, ...]) -> GalleryTable:
    rows = []
    for a in found:
        few = a.n_groups < attention.FEW_GROUPS
        ends = ", too few groups" if few else f" [{a.low:+.2f}, {a.high:+.2f}]"
        ends = f"{a.excess:+.2f}{ends}".replace("-", "−")
        rows.append((a.name, a.n_images, a.n_groups, a.background, a.area, ends, a.verdict))
    columns = ("class", "images", "groups", "attention on background", "its area", "difference", "")
    note = (
        "Difference with its interval, whole groups drawn, widened for the number of classes. "
        f"Below {attention.FEW_GROUPS} groups there is no interval, and nothing is claimed."
    )
    return GalleryTable("Attention on the background, by true class", columns, tuple(rows), note)


_WORDS = {
    "box": "Objects are the boxes of crop.boxes.",
    "border": "No boxes are known: an object is what is unlike the border's colour, a guess for things on a "
    "plain ground (crop.boxes names better ones).",
}


def _notes(scene: Scene, used: int, tried: int, from_what: list[str]) -> tuple[str, ...]:
    h, w = scene.lead.cam.grid
    return (
        *(_WORDS[word] for word in from_what),
        f"{used} of {tried} images: the others have no object that could be told, or an empty map.",
        f"Maps have {h} × {w} cells and blur over an object's edge, which puts some attention beside it.",
    )


def _none(tried: int) -> str:
    return (
        f"Can't tell: none of {tried} images has an object that could be told from its border; name boxes "
        "with crop.boxes."
    )
