"""The pictures of the preview: training images, processed by the functions of training.

Owns choosing images and making their pictures. Does not own the page (`resample/preview_page.py`), the crop
and preprocessing (`data/preprocess.py`), augmentation (`data/augment.py`) nor mixing (`resample/mixing.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.core.samples import Samples, TrainRows, positions
from pipeline.core.seeds import rng
from pipeline.data import crop, detail, load, several
from pipeline.data.augment import augmenter_of
from pipeline.data.channels import preview as seen_by_people
from pipeline.data.crop import Key
from pipeline.data.images import DecodedImages
from pipeline.data.preprocess import Look
from pipeline.data.strata import Strata
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
    look = load.look(config, job.inputs)
    seen = Seen(load.decoded(job.inputs["images"]), look)
    samples = {split: load.samples(job.inputs["data"], split, job.home) for split in ("train", "test")}
    coverage = _coverage(job, look, samples) if "boxes" in job.inputs else None
    shown = PreviewInputs(
        title=config.competition.title or config.competition.name,
        config=config,
        rows=_mixed(job, seen, samples["train"], _rows(job, seen, samples["train"])),
        pairs=_pairs(job, seen, samples) if look.preprocess.steps else (),
        steps=look.preprocess.steps,
        does=tuple(sorted(does_of(config.augment.policy) or ())),
        crop=None if coverage is None else _crop_sheet(job, seen.first, look, samples, coverage),
        asked=job.words["preview"],
        policies=allowed(known(), config.competition.attributes),
    )
    return shown, coverage


@dataclass(frozen=True)
class Seen:
    """Samples as a model sees them, from their decoded images."""

    decoded: DecodedImages
    look: Look

    @property
    def channels(self) -> int:
        """Channels of one image."""
        return self.decoded.channels

    def first(self, split: str, name: str) -> npt.NDArray[np.uint8]:
        """(H, W, 3) the first image of a sample."""
        return seen_by_people(self.decoded.read(load.image_key(split, name)))

    def original(self, split: str, name: str) -> npt.NDArray[np.uint8]:
        """(H, W, 3) the images of a sample side by side."""
        return several.strip([seen_by_people(pixels) for _, pixels in self._images(split, name)])

    def row(self, split: str, name: str, plain: bool = False) -> npt.NDArray[np.uint8]:
        """(H, W, I · C) its prepared images, `plain` ones without preprocessing."""
        images = self._images(split, name)
        pictures = [seen for own, pixels in images for seen in self.look.all((split, own), pixels, plain)]
        return pictures[0] if len(pictures) == 1 else several.stacked(pictures, len(pictures))

    def _images(self, split: str, name: str) -> list[tuple[str, npt.NDArray[np.uint8]]]:
        own = several.names_in(load.image_key(split, name), self.decoded)
        return [(key.partition("/")[2], self.decoded.read(key)) for key in own]


def _rows(job: Job, seen_of: Seen, train: Samples) -> tuple[PreviewRow, ...]:
    """Each chosen image: original, cropped, as in validation, and as in the first epochs."""
    config = job.settings.config
    augmenter, look = augmenter_of(config), seen_of.look
    rows = []
    for name in _one_of_each_class(train, config.preview.images):
        key, pixels = ("train", name), seen_of.decoded.read(load.image_key("train", name))
        pictures = {"original": seen_of.original("train", name)}
        if config.crop.method != "none":
            window = look.crop.window(key, (pixels.shape[0], pixels.shape[1]))
            pictures = {"original": preview_page.drawn(seen_by_people(pixels), window)}
            pictures["cropped"] = seen_by_people(look.crop.cut(key, pixels))
        row, channels = seen_of.row("train", name), seen_of.channels
        small = several.each(row, channels, lambda image, _: detail.reduced(image, config.images.hw))
        pictures["model sees"] = several.shown(small, channels)
        for epoch in range(config.preview.draws):
            drawn = augmenter(row, config.train.seed, FOLD, epoch, name, 0)
            pictures[f"epoch {epoch + 1}"] = several.shown(drawn, channels)
        label = _answer(train.take(np.array([name])))
        rows.append(PreviewRow(name, label, pictures))
    return tuple(rows)


def _mixed(job: Job, seen_of: Seen, train: Samples, rows: tuple[PreviewRow, ...]) -> tuple[PreviewRow, ...]:
    """The rows with a few mixed pictures each, one per epoch, made by the functions of training."""
    config = job.settings.config
    if config.train.mix.method == "none":
        return rows
    from pipeline.resample import mixing

    augment, seed = augmenter_of(config), config.train.seed
    train = train.for_training()
    at_R = TrainRows.of(positions(np.array([row.id for row in rows]), train.ids_N, "training samples"))

    def seen(stream: TrainRows, epoch: int) -> npt.NDArray[np.uint8]:
        shown = []
        for name, copy in zip(train.ids_N[stream.index_R].tolist(), stream.copy_R.tolist(), strict=True):
            shown.append(augment(seen_of.row("train", name), seed, FOLD, epoch, name, copy))
        return np.stack(shown)

    mixed = {}
    for epoch in range(MIXED):
        partners = mixing.partner_rows(config.train.mix, train, at_R, seed, FOLD, epoch)
        other = None if partners is None else seen(partners, epoch)
        mixer = mixing.Mixer(config.train.mix, seed, FOLD)
        made = mixing.pictures(mixer, seen(at_R, epoch), other, epoch)
        mixed[f"mixed {epoch + 1}"] = [several.shown(pixels, seen_of.channels) for pixels in made]
    return tuple(
        replace(row, pictures={**row.pictures, **{title: pictures[n] for title, pictures in mixed.items()}})
        for n, row in enumerate(rows)
    )


def _one_of_each_class(train: Samples, wanted: int) -> list[str]:
    """Ids drawn at random: every class once before any twice."""
    order_N = rng(0, "preview").permutation(len(train))
    strata, class_N = Strata.of(train), np.full(len(train), -1)
    # Of several labels the first one; -1: none holds.
    class_N[strata.row_P[::-1]] = strata.stratum_P[::-1]
    # How often each class was drawn before.
    class_N = class_N[order_N]
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


def _pairs(job: Job, seen_of: Seen, samples: dict[str, Samples]) -> tuple[Pair, ...]:
    pairs = []
    half = job.settings.config.preview.pairs // 2
    for split, part in samples.items():
        chosen = rng(0, "pairs", split).permutation(part.ids_N)[:half]
        for name in chosen.tolist():
            before, after = seen_of.row(split, name, plain=True), seen_of.row(split, name)
            before, after = (several.shown(pixels, seen_of.channels) for pixels in (before, after))
            pairs.append(Pair(split, name, before, after))
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
        drawn = preview_page.drawn(seen_by_people(image), window, box)
        worst.append(Boxed(split, name, inside, drawn))
    table = preview_page.crop_table(coverage, {split: len(part) for split, part in samples.items()})
    return CropSheet(table, tuple(worst), look.crop.notes)
