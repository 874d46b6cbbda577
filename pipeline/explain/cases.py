"""What `make explain` shows: the networks of folds, the images, and where the objects in them are.

Owns turning artifacts into a `Scene`: which fold explains which image, which images are chosen where none is
named, and masks of objects (from the box, or what differs from the colour of the border). Does not own the
panels (`explain/panels.py`), boxes (`data/crop.py`) or how an image is prepared (`data/preprocess.py`).

A training image is explained by the fold that never saw it: the first one whose validation part contains it.
No fold has seen a test image; fold 0 explains it, or the fold that FOLD names.

Legend: N images, B a batch, C classes, H height, W width.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage

from pipeline.core.errors import DataError
from pipeline.core.language import _
from pipeline.core.predictions import Probabilities
from pipeline.core.samples import FoldPlan, Samples, Strings, strings
from pipeline.data import crop, load
from pipeline.data.crop import Edges, Key
from pipeline.data.decode import WHITE, Pixels
from pipeline.data.preprocess import Look
from pipeline.engine import naming
from pipeline.engine.hardware import set_up
from pipeline.engine.stage import Job
from pipeline.errors.findings import why
from pipeline.explain import network, several, texts
from pipeline.explain.scene import ExplainedImage, ImageBatch, Mask, Net, Scene
from pipeline.explain.several import Chosen, SampleImages
from pipeline.explain.view import ColumnView, view_of
from pipeline.nets.forward import probabilities
from pipeline.train.committee import Committee
from pipeline.train.stages import folds_of

# A border has one colour if this share of its pixels differs by at most so much in any channel, of 255.
_OF_BORDER, _UNLIKE = 0.85, 24
# An object that fills less or more than these shares of an image counts as not found.
_LEAST, _MOST = 0.02, 0.95


def of_box(look: Look, key: Key, edges: Edges, size: tuple[int, int]) -> Mask | None:
    """(H, W) where the box of an image is after cropping and resizing; None: nothing of it is left.

    `edges` are left, top, right, bottom as shares of the upright image, `size` its decoded height and width.
    """
    height, width = size
    # Drawn in black on white and prepared like the image; padding is white too, so it is outside.
    paper = np.full((height, width, 3), WHITE, np.uint8)
    left, top, right, bottom = (round(e * s) for e, s in zip(edges, (width, height) * 2, strict=True))
    paper[top : max(bottom, top + 1), left : max(right, left + 1)] = 0
    inside: Mask = look.plain(key, paper)[..., 0] < WHITE // 2
    return inside if inside.any() else None


def unlike_border(image: Pixels) -> Mask | None:
    """(H, W) what differs in colour from the border, holes filled; None if the border has several colours.

    A guess for drawings and product photos on a plain background; None for a photo of a scene.
    """
    ring = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]]).astype(int)
    colour = np.median(ring, axis=0)
    if float((np.abs(ring - colour).max(axis=1) <= _UNLIKE).mean()) < _OF_BORDER:
        return None
    unlike = np.abs(image.astype(int) - colour).max(axis=2) > _UNLIKE
    filled: Mask = np.asarray(ndimage.binary_fill_holes(unlike), dtype=np.bool_)
    return filled if _LEAST <= filled.mean() <= _MOST else None


@dataclass(frozen=True)
class Requested:
    """One image to explain, and the fold whose network explains it."""

    split: str
    id: str
    fold: int


def scene_of(job: Job) -> Scene:
    """The scene of a run of `make explain`.

    Raises:
        DataError: a training image in no validation part, or an unknown fold.
    """
    config, device = job.settings.config, set_up(job.settings.config.runtime)
    train = load.samples(job.inputs["data"], "train", job.home)
    test = load.samples(job.inputs["data"], "test", job.home)
    plan, folds = load.plan(job.inputs["folds"]), folds_of(job.settings)
    oof = load.oof(job.inputs["train"], job.settings.experiment)
    view, whole = view_of(train, oof, str(job.params.get("label", ""))), train
    shown_plan = plan
    if view is not None:
        train, oof, shown_plan = view.samples, view.oof, view.plan(plan)
    requested = _requested(job, plan, folds, oof, train)
    images = {
        split: SampleImages.of(load.prepared(job.inputs["prepared"], split)) for split in ("train", "test")
    }
    committees = {
        k: Committee.read(job.inputs[f"fold{k}"].folder)
        for k in sorted({one.fold for one in requested} or {folds[0]})
    }
    nets = {
        k: network.of_fold(config, whole.space, committee, images["train"].prepared, k, device, view)
        for k, committee in committees.items()
    }
    object_of = _objects(job)
    shown = {"train": train, "test": test}
    if view is not None:
        unknown = view.of_test(whole.take(np.setdiff1d(whole.ids_N, train.ids_N)))
        shown |= {"test": view.of_test(test), "unknown": unknown}
    most = config.explain.sample_images
    cases = [
        _case(one, image, nets[one.fold], images[one.split], shown, object_of, view)
        for one in requested
        for image in several.chosen(images[one.split], nets[one.fold], one.id, most)
    ]
    own = images["train"]
    return Scene(
        config=config,
        experiment=naming.label_of(job.inputs["train"]),
        space=train.space,
        nets=nets,
        cases=tuple(cases),
        samples=several.samples_of(train, own),
        plan=several.plan_of(shown_plan, own),
        oof=several.predictions_of(oof, own),
        batches=_batches(images, nets, config.runtime.infer_batch),
        object_of=object_of,
        device=device,
        seed=config.explain.seed,
        about="" if view is None else view.about,
        captions={} if view is None else several.captions_of(view.captions, own),
        in_company=lambda net, split, ids: images[split].in_company(net, ids),
    )


def _requested(
    job: Job, plan: FoldPlan, folds: Sequence[int], oof: Probabilities, train: Samples
) -> list[Requested]:
    """The named images, or the worst errors, each with its fold; reports all faults at once."""
    keys = json.loads(str(job.params.get("ids", "[]")))
    named = job.params.get("fold")
    if named is not None and int(named) not in folds:
        known = ", ".join(map(str, folds))
        message = texts.UNKNOWN_FOLD.format(fold=named, experiment=job.settings.experiment, folds=known)
        raise DataError(message, remedy=_("name one of them"))
    if not keys:
        most = job.settings.config.explain.images
        chosen = why.errors(oof, train, most) or why.doubtful(oof, most)
        keys = [f"train/{name}" for name in chosen]
    requested, faults = [], []
    for key in keys:
        split, _slash, name = key.partition("/")
        if split == "test":
            requested.append(Requested(split, name, int(named) if named is not None else folds[0]))
            continue
        fold = next((k for k in folds if (plan.splits[k].valid_ids == name).any()), None)
        if fold is None:
            faults.append(texts.SEEN_BY_ALL.format(key=key, folds=folds))
        else:
            requested.append(Requested(split, name, fold))
    if faults:
        message = texts.NO_UNSEEN_NETWORK.format(n=len(faults))
        raise DataError(message, faults, _("name other images, or train all folds (train.folds)"))
    return requested


def _case(
    requested: Requested,
    image: Chosen,
    net: Net,
    images: SampleImages,
    shown: Mapping[str, Samples],
    object_of: Callable[[str, str, Pixels], tuple[Mask | None, str]],
    view: ColumnView | None,
) -> ExplainedImage:
    net = images.in_company(net, [image.name])
    pixels = images.pixels([image.name])[0]
    x_1CHW = net.normalise(pixels[None])
    with torch.no_grad():
        p_C = probabilities(net.module(x_1CHW))[0].float().cpu().numpy()
    of = requested.split
    if of == "train" and not (shown["train"].ids_N == requested.id).any():
        of = "unknown"
    samples = shown[of].take(strings([requested.id]))
    told = "" if view is None else _told(view, net, x_1CHW, requested)
    true = int(samples.labels[0]) if samples.labels_N is not None else None
    order = np.argsort(-p_C, kind="stable")
    errs = true is not None and true != int(order[0])
    mask, source = object_of(requested.split, image.name, pixels)
    return ExplainedImage(
        id=image.name,
        split=requested.split,
        fold=requested.fold,
        group=str(samples.groups_N[0]),
        pixels_HWC=pixels,
        x_CHW=x_1CHW[0],
        p_C=np.asarray(p_C, dtype=np.float32),
        true=true,
        rival=true if errs and true is not None else int(order[1]),
        object_HW=mask,
        object_from=source,
        told=told,
        number=image.number,
        of=image.of,
        p_without=image.p_without,
    )


def _told(view: ColumnView, net: Net, x_1CHW: torch.Tensor, requested: Requested) -> str:
    """The truth and the prediction in words, where classes do not say them."""
    assert isinstance(net.module, network.Explained), "the network must be made by `network.of_module`"
    with torch.no_grad():
        outputs_K = net.module.outputs(x_1CHW)[0].float().cpu().numpy().astype(np.float64)
    predicted = view.tell(outputs_K)
    true = view.told.get(requested.id, "") if requested.split == "train" else ""
    return f"{true}{predicted}" if predicted else ""


def _batches(
    images: Mapping[str, SampleImages], nets: dict[int, Net], size: int
) -> Callable[[str, Sequence[str] | Strings, int], Iterator[ImageBatch]]:
    def batches(split: str, ids: Sequence[str] | Strings, fold: int) -> Iterator[ImageBatch]:
        wanted = strings(ids)
        for start in range(0, len(wanted), size):
            now = wanted[start : start + size]
            pixels = images[split].pixels(now)
            yield ImageBatch(now, pixels, nets[fold].normalise(pixels), fold)

    return batches


def _objects(job: Job) -> Callable[[str, str, Pixels], tuple[Mask | None, str]]:
    """Where the object is: from its box if there is one, else from the border's colour, else unknown."""
    boxes, settings = job.inputs.get("boxes"), job.settings.config
    # Boxes are of pictures, and a tile has another place in each.
    edges = crop.edges_of(load.box_table(boxes)) if boxes and settings.images.tiles is None else {}
    look, pixels_of = load.look(settings, job.inputs), load.pixels_of(job.inputs["images"])

    def object_of(split: str, name: str, pixels: Pixels) -> tuple[Mask | None, str]:
        if (split, name) in edges:
            height, width = pixels_of(split, name).shape[:2]
            mask = of_box(look, (split, name), edges[split, name], (height, width))
            return mask, "box" if mask is not None else ""
        if boxes:
            return None, ""  # do not mix the two kinds of objects
        mask = unlike_border(pixels)
        return mask, "border" if mask is not None else ""

    return object_of
