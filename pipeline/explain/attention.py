"""The panel `attention`: how much Grad-CAM attention is on object and background over many unseen images.

Owns choosing the images and measuring them. Does not own the statistics (`errors/findings/why.py`),
where objects are (`explain/cases.py`) or Grad-CAM (`cam.py`).

Legend: N images, B a batch, H height, W width, h and w of a map.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

import numpy as np

from pipeline.core.samples import Floats, Ints, Strings, positions
from pipeline.core.seeds import rng
from pipeline.errors.findings import why
from pipeline.explain import cam, maps, texts
from pipeline.explain.scene import ImageBatch, Scene
from pipeline.pages.gallery import GalleryTable, Panel


def panel(scene: Scene) -> Panel:
    """The table of attention by class, and its warning."""
    if not scene.config.explain.attention_images:
        return _without(notes=(texts.ATTENTION_OFF,))
    measured = list(_measured(scene))
    tried = sum(n for _, n, _ in measured)
    rows = [row for by_class, _, _ in measured for row in by_class]
    sources = sorted({source for _, _, names in measured for source in names})
    if not rows:
        return _without(warnings=(texts.ATTENTION_NONE.format(tried=tried),))
    ids = [row[0] for row in rows]
    at = positions(np.array(ids), scene.samples.ids_N, "training samples")
    by_class = why.by_class(
        np.array([row[1] for row in rows], np.float32),
        np.array([row[2] for row in rows], np.float32),
        scene.samples.labels[at],
        scene.samples.groups_N[at],
        scene.space.classes,
        scene.config.statistics.draws,
        scene.seed,
    )
    warning = why.warning(by_class)
    return Panel(
        name="attention",
        title=texts.ATTENTION_TITLE,
        lead=texts.ATTENTION_LEAD,
        tables=(_table(by_class),),
        notes=_notes(scene, len(rows), tried, sources),
        warnings=(warning,) if warning else (),
        figures={"background": by_class[-1].background, "background_area": by_class[-1].area},
        data={"from": sources, "classes": [asdict(one) for one in by_class], "warning": warning},
    )


def _without(notes: tuple[str, ...] = (), warnings: tuple[str, ...] = ()) -> Panel:
    """The panel without a measurement."""
    return Panel("attention", texts.ATTENTION_TITLE, texts.ATTENTION_LEAD, notes=notes, warnings=warnings)


def _measured(scene: Scene) -> Iterator[tuple[list[tuple[str, float, float]], int, set[str]]]:
    """For each batch: (id, share on background, background area), images tried, sources of objects."""
    for fold in sorted(scene.nets):
        for batch in scene.batches("train", _chosen(scene, fold), fold):
            yield _of_batch(scene, batch)


def _chosen(scene: Scene, fold: int) -> Strings:
    """Unseen images of a fold, taking one class after the other, in an order drawn once."""
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
    known = [(i, mask, source) for i, (mask, source) in enumerate(seen) if mask is not None]
    if not known:
        return [], len(batch.ids_B), set()
    at = [i for i, _, _ in known]
    x_BCHW = batch.x_BCHW[at]
    net = scene.in_company(net, "train", batch.ids_B[at])
    classes = net.module(x_BCHW).argmax(1).tolist()
    coarse_Bhw: Floats = cam.grad_cam(net, x_BCHW, classes)
    rows, sources = [], set()
    for (i, mask_HW, source), coarse_hw in zip(known, coarse_Bhw, strict=True):
        if maps.flatness(coarse_hw):
            continue
        share = why.on_background(maps.enlarged(np.maximum(coarse_hw, 0), mask_HW.shape), mask_HW)
        if share is not None:
            rows.append((str(batch.ids_B[i]), share, 1 - float(mask_HW.mean())))
            sources.add(source)
    return rows, len(batch.ids_B), sources


def _table(by_class: tuple[why.ClassAttention, ...]) -> GalleryTable:
    rows = []
    for a in by_class:
        few = a.n_groups < why.FEW_GROUPS
        ends = texts.ATTENTION_FEW if few else f" [{a.low:+.2f}, {a.high:+.2f}]"
        ends = f"{a.excess:+.2f}{ends}".replace("-", "−")
        rows.append((a.name, a.n_images, a.n_groups, a.background, a.area, ends, a.verdict))
    note = texts.ATTENTION_NOTE.format(few=why.FEW_GROUPS)
    return GalleryTable(texts.ATTENTION_TABLE, texts.ATTENTION_COLUMNS, tuple(rows), note)


def _notes(scene: Scene, used: int, tried: int, sources: list[str]) -> tuple[str, ...]:
    h, w = scene.lead.cam.grid
    return (
        *(texts.ATTENTION_OBJECTS[source] for source in sources),
        texts.ATTENTION_USED.format(used=used, tried=tried),
        texts.ATTENTION_BLUR.format(h=h, w=w),
    )
