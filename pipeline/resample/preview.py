"""The pictures of the preview: training images, processed by the functions of training.

Owns choosing images and making their pictures. Does not own the page (`resample/preview_page.py`), the crop
and preprocessing (`data/preprocess.py`), augmentation (`data/augment.py`) nor mixing (`resample/mixing.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.core.samples import Samples, TrainRows, positions
from pipeline.core.seeds import rng
from pipeline.data import competition, crop, load
from pipeline.data.augment import Augmenter
from pipeline.data.crop import Key
from pipeline.data.preprocess import Look
from pipeline.engine.stage import Job
from pipeline.pages.report import ImageOf
from pipeline.resample import preview_page, texts
from pipeline.resample.preview_page import Boxed, CropSheet, Pair, PreviewInputs, PreviewRow
from pipeline.settings.augment import allowed, does_of, known

FOLD = 0
# Mixed pictures of each row.
MIXED = 3


def inputs(job: Job) -> tuple[PreviewInputs, pd.DataFrame | None]:
    """What the preview shows, and the table of `crop.coverage` where boxes are known.

    Raises:
        DataError: a crop without training boxes.
    """
    config = job.settings.config
    image, look = load.image_of(job.inputs["images"]), load.look(config, job.inputs)
    samples = {split: load.samples(job.inputs["data"], split, job.home) for split in ("train", "test")}
    coverage = _coverage(job, look, samples) if "boxes" in job.inputs else None
    shown = PreviewInputs(
        title=config.competition.title or config.competition.name,
        config=config,
        rows=_mixed(job, image, look, samples["train"], _rows(job, image, look, samples["train"])),
        pairs=_pairs(job, image, look, samples) if look.preprocess.steps else (),
        steps=look.preprocess.steps,
        does=tuple(sorted(does_of(config.augment.policy) or ())),
        crop=None if coverage is None else _crop_sheet(job, image, look, samples, coverage),
        asked=job.words["preview"],
        policies=allowed(known(), config.competition.attributes),
    )
    return shown, coverage


def _rows(job: Job, image_of: ImageOf, look: Look, train: Samples) -> tuple[PreviewRow, ...]:
    """Each chosen image: original, cropped, as in validation, and as in the first epochs."""
    config = job.settings.config
    augmenter = Augmenter(config.augment.policy, config.images.hw)
    rows = []
    for name in _one_of_each_class(train, config.preview.images):
        key, image = ("train", name), image_of("train", name)
        window = look.crop.window(key, (image.shape[0], image.shape[1]))
        pictures = {"original": image}
        if config.crop.method != "none":
            pictures = {"original": preview_page.drawn(image, window), "cropped": look.crop.cut(key, image)}
        seen = look(key, image)
        pictures["model sees"] = seen
        for epoch in range(config.preview.draws):
            pictures[f"epoch {epoch + 1}"] = augmenter(seen, config.train.seed, FOLD, epoch, name, 0)
        label = _answer(train.take(np.array([name])))
        rows.append(PreviewRow(name, label, pictures))
    return tuple(rows)


def _mixed(
    job: Job, image_of: ImageOf, look: Look, train: Samples, rows: tuple[PreviewRow, ...]
) -> tuple[PreviewRow, ...]:
    """The rows with a few mixed pictures each, one per epoch, made by the functions of training."""
    config = job.settings.config
    if config.train.mix.method == "none":
        return rows
    from pipeline.resample import mixing

    augment, seed = Augmenter(config.augment.policy, config.images.hw), config.train.seed
    train = train.for_training()
    at_R = TrainRows.of(positions(np.array([row.id for row in rows]), train.ids_N, "training samples"))

    def seen(stream: TrainRows, epoch: int) -> npt.NDArray[np.uint8]:
        shown = []
        for name, copy in zip(train.ids_N[stream.index_R].tolist(), stream.copy_R.tolist(), strict=True):
            prepared = look(("train", name), image_of("train", name))
            shown.append(augment(prepared, seed, FOLD, epoch, name, copy))
        return np.stack(shown)

    mixed = {}
    for epoch in range(MIXED):
        partners = mixing.partner_rows(config.train.mix, train, at_R, seed, FOLD, epoch)
        other = None if partners is None else seen(partners, epoch)
        mixer = mixing.Mixer(config.train.mix, seed, FOLD)
        mixed[f"mixed {epoch + 1}"] = mixing.pictures(mixer, seen(at_R, epoch), other, epoch)
    return tuple(
        replace(row, pictures={**row.pictures, **{title: pictures[n] for title, pictures in mixed.items()}})
        for n, row in enumerate(rows)
    )


def _one_of_each_class(train: Samples, wanted: int) -> list[str]:
    """Ids drawn at random: every class once before any twice."""
    order_N = rng(0, "preview").permutation(len(train))
    # How often each class was drawn before.
    class_N = competition.strata(train)[order_N]
    times_N = pd.Series(class_N).groupby(class_N).cumcount().to_numpy()
    chosen = order_N[np.argsort(times_N, kind="stable")][:wanted]
    return [str(name) for name in train.ids_N[chosen]]


def _answer(sample: Samples) -> str:
    """What is true of one sample, in words: its class, the labels that hold, or its values."""
    space, truth = sample.space, sample.truth[0]
    if truth.ndim == 0:
        return space.classes[int(truth)]
    if space.kind == "labels":
        held = [name for name, value in zip(space.classes, truth, strict=True) if value >= 0.5]
        return ", ".join(held) or texts.NO_LABEL
    known = zip(space.classes, truth.tolist(), strict=True)
    return ", ".join(f"{name} {value:.4g}" for name, value in known if not np.isnan(value))


def _pairs(job: Job, image_of: ImageOf, look: Look, samples: dict[str, Samples]) -> tuple[Pair, ...]:
    pairs = []
    half = job.settings.config.preview.pairs // 2
    for split, part in samples.items():
        chosen = rng(0, "pairs", split).permutation(part.ids_N)[:half]
        for name in chosen.tolist():
            key = (split, name)
            image = image_of(split, name)
            pairs.append(Pair(split, name, look.plain(key, image), look(key, image)))
    return tuple(pairs)


def _coverage(job: Job, look: Look, samples: dict[str, Samples]) -> pd.DataFrame:
    """The share of each box that the crop of its image keeps."""
    boxes = load.box_table(job.inputs["boxes"])
    keys = [(split, name) for split, part in samples.items() for name in part.ids_N.tolist()]
    return crop.coverage(look.crop, boxes_of(boxes, keys), load.upright_sizes(job.inputs["images"], keys))


def boxes_of(boxes: pd.DataFrame, keys: Sequence[Key]) -> pd.DataFrame:
    """The rows of a table of boxes with these (split, id); an empty table keeps its columns."""
    known = set(keys)
    rows = [key in known for key in zip(boxes["split"], boxes["id"], strict=True)]
    return boxes[np.array(rows, dtype=bool)]


def _crop_sheet(
    job: Job, image_of: ImageOf, look: Look, samples: dict[str, Samples], coverage: pd.DataFrame
) -> CropSheet:
    """The coverage in numbers, and the boxes that are cut most in pictures."""
    edges = crop.edges_of(load.box_table(job.inputs["boxes"]))
    worst = []
    for split, name, inside in coverage.head(preview_page.WORST).itertuples(index=False, name=None):
        image, (x0, y0, x1, y1) = image_of(split, name), edges[split, name]
        height, width = image.shape[:2]
        box = (round(x0 * width), round(y0 * height), round(x1 * width), round(y1 * height))
        window = look.crop.window((split, name), (height, width))
        worst.append(Boxed(split, name, inside, preview_page.drawn(image, window, box)))
    table = preview_page.crop_table(coverage, {split: len(part) for split, part in samples.items()})
    return CropSheet(table, tuple(worst), look.crop.notes)
