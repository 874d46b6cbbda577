"""The stages of `data/`: tables, decoded and prepared images, boxes and the fold plan.

    make folds ARGS="folds.kind=repeated folds.repeats=3"
    make folds ARGS="folds.kind=column folds.column=fold folds.n=4"

Owns their declarations and the functions that build them. Does not own reading tables
(`data/competition.py`), decoding (`data/decode.py`), images that do not decode (`data/quarantine.py`),
boxes (`data/crop.py`) nor planning folds (`data/folds.py`).
"""

from __future__ import annotations

import importlib.metadata
import logging
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.core.errors import StorageError
from pipeline.core.language import joined
from pipeline.core.samples import Samples, strings
from pipeline.core.wording import worded
from pipeline.data import (
    beside,
    competition,
    crop,
    decode,
    folds,
    host,
    images,
    load,
    page,
    quarantine,
    several,
    texts,
)
from pipeline.data.channels import RGB
from pipeline.data.depth import Ranges
from pipeline.data.host import boxes_file, competition_root
from pipeline.data.readers.reading import Reading
from pipeline.engine.need import PART, Inputs, Need, Params
from pipeline.engine.stage import Ask, Built, Job, Stage
from pipeline.record import files
from pipeline.record.store import MANIFEST, Artifact
from pipeline.settings.load import Settings

log = logging.getLogger(__name__)

# The samples before images that do not decode are left out. This parameter enters the key only through the
# inputs, so a decoded image is the same whatever is left out later.
AS_READ: Params = {PART: "as_read"}
# Methods of cropping that use boxes.
BOXED = ("statistics", "own_box")
# Headers of images that are read to estimate the disk space that they need.
HEADERS_READ = 400
# The values of the training images that become black and white; empty if all have 8 bits a channel.
RANGES = "ranges.json"
# What is said about the values and pages of the files.
NOTES = "notes.json"

# Which images a file of several holds, and what they look like.
READER_SETTINGS = (
    "competition.encoding",
    *(f"images.{f.name}" for f in fields(Reading) if f.name != "encoding"),
)
DATA_SETTINGS = READER_SETTINGS + tuple(
    f"competition.{name}"
    for name in (
        *("channel_files", "images_per_sample", "metadata"),
        *("name", "layout", "holdout", "id_column", "path_column", "test_id_column", "test_path_column"),
        *("group_column", "group_pattern", "label_pattern", "unknown_groups", "headerless"),
        *("attributes", "target", "label_separator", "no_labels", "extra", "patch_scoring", "demo"),
        *("unknown_labels", "label_weights", "test_id_pattern", "long_table", "new_class", "metric_columns"),
    )
)


def build_train_data(job: Job) -> Built:
    """Write train.npz, and extra.npz and unlabelled.npz if there are other sources: what folds train on."""
    if "images" in job.inputs:
        return _without_faulty(job)
    return _written(job, _competition(job.settings), ("train", load.EXTRA, load.UNLABELLED))


def build_data(job: Job) -> Built:
    """Write train.npz, test.npz, extra.npz if there are other sources, answers.csv of held-out images.

    Raises:
        DataError: with every fault of the tables and the missing images, or a host's sample that asks
            for other images than the test set has.
    """
    if "images" in job.inputs:
        return _without_faulty(job)
    data = _competition(job.settings)
    built = _written(job, data, ("train", "test", load.EXTRA, load.UNLABELLED))
    if data.answers is not None:
        host.write_answers(job.draft / host.ANSWERS, data.answers)
    return replace(built, lines=tuple(data.notes))


def _competition(settings: Settings) -> competition.Data:
    config = settings.config
    return competition.load(
        config.competition, competition_root(settings), config.folds.column, _reading(settings)
    )


def _reading(settings: Settings) -> Reading:
    return Reading.of(settings.config.images, settings.config.competition.encoding)


def _decoding(settings: Settings) -> decode.Decoding:
    return decode.Decoding.of(settings.config.images, settings.config.competition.encoding)


def _written(job: Job, data: competition.Data, names: tuple[str, ...]) -> Built:
    """Write these splits, as far as there are any, and the notes."""
    splits = {part.split: part for part in data.parts if part.split in names}
    for name, samples in splits.items():
        files.write_samples(job.draft / f"{name}.npz", samples, job.home)
    sizes = {name: len(samples) for name, samples in splits.items()}
    sizes["groups"] = len(set(data.train.groups_N.tolist()))
    if data.train.train_y_NK is not None:
        other_NK = ~np.isclose(data.train.train_y_NK, data.train.truth, rtol=0, atol=0, equal_nan=True)
        sizes["other_train_labels"] = int(other_NK.any(axis=1).sum())
    if data.train.train_labels_N is not None:
        sizes["other_train_labels"] = int((data.train.train_labels_N != data.train.labels).sum())
    if data.train.soft_NC is not None:
        sizes["soft_targets"] = int((~np.isnan(data.train.soft_NC[:, 0])).sum())
    files.write_json(job.draft / "notes.json", list(data.notes))
    return Built(metrics={name: float(n) for name, n in sizes.items()})


def _without_faulty(job: Job) -> Built:
    """The samples as they were read, without the training images that do not decode."""
    as_read, lines = job.inputs["data"], []
    shutil.copytree(as_read.folder, job.draft, dirs_exist_ok=True, ignore=shutil.ignore_patterns(MANIFEST))
    sizes = as_read.metrics
    for split in load.splits(as_read, job.home):
        kept, notes = quarantine.without(split, job.inputs["images"])
        lines += notes
        files.write_samples(job.draft / f"{split.split}.npz", kept, job.home)
        sizes[split.split] = float(len(kept))
        if split.split == "train":
            sizes["groups"] = float(len(set(kept.groups_N.tolist())))
    files.write_json(job.draft / "notes.json", [*as_read.json("notes.json"), *lines])
    return Built(metrics=sizes, lines=tuple(lines))


def data_inputs(ask: Ask, settings: Settings, params: Params) -> Inputs:
    """Its part without the test set; with images.quarantine=drop also the samples and images as read."""
    train = {"train": Need("train_data", settings, params)}
    if settings.config.images.quarantine == "error" or params:
        return train
    return {**train, "data": Need("data", settings, AS_READ), "images": Need("images", settings)}


def train_data_inputs(ask: Ask, settings: Settings, params: Params) -> Inputs:
    """None; with images.quarantine=drop, the samples as read and the images that did not decode."""
    if settings.config.images.quarantine == "error" or params:
        return {}
    return {"data": Need("train_data", settings, AS_READ), "images": Need("train_images", settings)}


def _content(ask: Ask, settings: Settings) -> dict[str, str]:
    """Split -> digest of what the competition's files contain, wherever they lie."""

    def digests() -> dict[str, str]:
        parts = _competition(settings).parts
        return {part.split: competition.content(part, ask.index.digest) for part in parts}

    # Members of a blend have settings of their own, and the same competition: reading it takes seconds.
    config = settings.config
    root, folds = str(competition_root(settings)), config.folds.column
    read = (config.competition.model_dump_json(), root, folds, _reading(settings))
    return ask.once("content of the competition", repr(read), digests)


def data_identity(ask: Ask, settings: Settings, params: Params) -> str:
    """The content of all splits."""
    return files.sha256_text("\n".join(_content(ask, settings).values()))


def train_data_identity(ask: Ask, settings: Settings, params: Params) -> str:
    """The content of all splits but the test set."""
    content = _content(ask, settings)
    return files.sha256_text("\n".join(of for split, of in content.items() if split != "test"))


def build_train_images(job: Job) -> Built:
    """Write the decoded images of all splits but the test set, and ranges.json; see `build_images`."""
    samples = _where_they_lie(job)
    own = [path for split in samples if split.split == "train" for path in several.paths(split)]
    how = _decoding(job.settings)
    found = {} if how.by_image else images.measured(own, how)
    files.write_json(job.draft / RANGES, found)
    return _decoded(job, samples, found, how)


def build_images(job: Job) -> Built:
    """Write the decoded images of all splits: decoded.bin, index.npz, facts.csv and quarantine.csv.

    Ids carry their split. Only the test set is decoded here; the others are those of `train_images`. A run
    that was stopped continues in its work folder.

    Raises:
        StorageError: the decoded images will not fit on the disk.
    """
    train = job.inputs["train"]
    found: dict[str, tuple[float, float]] = train.json(RANGES)
    how = _decoding(job.settings)
    built = _decoded(job, [s for s in _where_they_lie(job) if s.split == "test"], found, how)
    said = [*train.json(NOTES), *files.read_json(job.draft / NOTES)]
    files.write_json(job.draft / NOTES, list(dict.fromkeys(said)))
    everywhere = [load.keyed(split) for split in load.splits(job.inputs["data"], job.home)]
    names = [name for split in everywhere for own in several.names(split) for name in own]
    images.join(job.draft, train.folder, names)
    return replace(built, metrics={name: n + train.metrics[name] for name, n in built.metrics.items()})


def refuse_faulty(settings: Settings, artifact: Artifact, home: Path) -> None:
    """Raise DataError for images that do not decode or lack, of all splits at once and before training."""
    quarantine.refuse(settings.config, artifact)
    quarantine.refuse_missing(settings.config, artifact)


def _decoded(
    job: Job, splits: list[Samples], found: Mapping[str, tuple[float, float]], how: decode.Decoding
) -> Built:
    """Decode these splits; the lines say the range that was found, and what does not decode."""
    settings = job.settings.config.images
    samples = [load.keyed(split) for split in splits]
    paths = [path for split in samples for path in several.paths(split)]
    wanted, announced = _decoded_bytes(paths, how), texts.IMAGES_SPACE.format(images=len(paths))
    _require_space(job, wanted, announced, texts.IMAGES_WHAT, texts.IMAGES_SPACE_REMEDY)
    work = job.work
    work.mkdir(parents=True, exist_ok=True)
    notes = [*_range_lines(found, settings.range), *_page_lines(paths, how, settings.pages)]
    files.write_json(job.draft / NOTES, notes)
    lines = list(notes)
    how = replace(how, ranges=Ranges.of(settings, found))
    before = images.build_decoded(samples, job.draft, how, work)
    if before:
        log.info("%s", texts.IMAGES_CONTINUED.format(done=before, images=len(paths)))
    faulty = images.DecodedImages(job.draft).faulty()
    fates = [f.fate for f in faulty]
    if n := fates.count(images.WHITE_IMAGE):
        lines.append(worded(texts.IMAGES_WHITE, images=n))
    if n := fates.count(images.IN_PART):
        lines.append(worded(texts.IMAGES_IN_PART, images=n))
    return Built(metrics={"images": float(len(paths)), "quarantined": float(len(faulty))}, lines=tuple(lines))


def _where_they_lie(job: Job) -> list[Samples]:
    """The samples with the paths of today: their result is older if the files were moved since."""
    now = _competition(job.settings)
    path_of = {
        (p.split, n): path
        for p in now.parts
        for n, path in zip(p.ids_N.tolist(), p.paths_N.tolist(), strict=True)
    }
    found = []
    for split in load.splits(job.inputs["data"], job.home):
        paths = [path_of[split.split, name] for name in split.ids_N.tolist()]
        found.append(replace(split, paths_N=strings(paths)))
    return found


def _range_lines(found: Mapping[str, tuple[float, float]], given: list[float] | None) -> Iterator[str]:
    """Which values become black and white, for images with more than 8 bits a channel."""
    for kind, ends in found.items():
        black, white = given or ends
        source = texts.RANGE_GIVEN if given else texts.RANGE_MEASURED
        yield texts.IMAGES_RANGE.format(kind=kind, black=black, white=white, source=source)


def _page_lines(paths: Sequence[str], how: decode.Decoding, use: str) -> Iterator[str]:
    """How many of some files have several pages or frames, and what becomes of them."""
    some = paths[:: max(len(paths) // HEADERS_READ, 1)]
    with decode.pillow():
        several = [pages for path in some if (pages := decode.pages_of(path, how)) > 1]
    if several:
        said = texts.PAGES_CHANNELS if use == "channels" else texts.PAGES_FIRST.format(most=max(several))
        yield worded(texts.IMAGES_PAGES, files=len(several), some=len(some), most=max(several), use=said)


def _decoded_bytes(paths: Sequence[str], how: decode.Decoding) -> float:
    """Bytes that all images will take on the disk, from the headers of some of them."""
    some = paths[:: max(len(paths) // HEADERS_READ, 1)]
    with decode.pillow():
        mean = sum(decode.kept_bytes(path, how) for path in some) / max(len(some), 1)
    return mean * len(paths)


def as_read(ask: Ask, settings: Settings, params: Params) -> Inputs:
    """The samples before images that do not decode are left out."""
    dropping = settings.config.images.quarantine == "drop"
    return {"data": Need("data", settings, AS_READ if dropping else {})}


def train_as_read(ask: Ask, settings: Settings, params: Params) -> Inputs:
    """The same without the test set."""
    dropping = settings.config.images.quarantine == "drop"
    return {"data": Need("train_data", settings, AS_READ if dropping else {})}


def images_inputs(ask: Ask, settings: Settings, params: Params) -> Inputs:
    """The samples, and the images that are decoded without the test set."""
    return {**as_read(ask, settings, params), "train": Need("train_images", settings)}


def build_train_boxes(job: Job) -> Built:
    """Write boxes.csv without the test set; see `build_boxes`."""
    return _boxed(job, lambda source, keys: crop.detect(source, load.image_of(job.inputs["images"]), keys))


def build_boxes(job: Job) -> Built:
    """Write boxes.csv: split, id, and left, top, width, height as shares of the upright image.

    A detector searches the test set only; what it found elsewhere is in `train_boxes`.

    Raises:
        ConfigError: no such detector.
        DataError: the CSV's faults, all of them.
    """

    def detected(source: str, keys: Sequence[crop.Key]) -> pd.DataFrame:
        of_test = [key for key in keys if key[0] == "test"]
        found = crop.detect(source, load.image_of(job.inputs["images"]), of_test)
        parts = [part for part in (load.box_table(job.inputs["train"]), found) if len(part)]
        return pd.concat(parts, ignore_index=True) if parts else found

    return _boxed(job, detected)


def _boxed(job: Job, detected: Callable[[str, Sequence[crop.Key]], pd.DataFrame]) -> Built:
    decoded = load.decoded(job.inputs["images"])
    white = {(f.split, f.id) for f in decoded.faulty() if f.fate == images.WHITE_IMAGE}
    splits = load.splits(job.inputs["data"], job.home)
    every = [(split.split, name) for split in splits for own in several.names(split) for name in own]
    keys = [key for key in every if key not in white]
    if (source := str(job.settings.config.crop.boxes)).endswith(".csv"):
        sizes = load.upright_sizes(job.inputs["images"], keys)
        encoding, no_train = job.settings.config.competition.encoding, "train" not in job.inputs
        table = crop.read_csv(boxes_file(job.settings), sizes, may_be_empty=no_train, encoding=encoding)
    else:
        table = detected(source, keys)
    table.to_csv(job.draft / "boxes.csv", index=False)
    counts = []
    for name in dict.fromkeys(split for split, _ in keys):
        asked, boxed = sum(split == name for split, _ in keys), int((table["split"] == name).sum())
        counts.append(texts.BOXES_SPLIT.format(boxed=boxed, images=asked, split=name))
    lines = (texts.BOXES.format(source=source, splits=joined(texts.AND, counts)),)
    return Built(metrics={"boxes": float(len(table))}, lines=lines)


def boxes_inputs(ask: Ask, settings: Settings, params: Params) -> Inputs:
    """The samples as they were read, the images, and the boxes without the test set."""
    needs = {name: Need(name, settings) for name in ("images", "train_boxes")}
    return {**as_read(ask, settings, params), "images": needs["images"], "train": needs["train_boxes"]}


def train_boxes_inputs(ask: Ask, settings: Settings, params: Params) -> Inputs:
    """The same without the test set."""
    return {**train_as_read(ask, settings, params), "images": Need("train_images", settings)}


def train_boxes_identity(ask: Ask, settings: Settings, params: Params) -> str:
    """What the CSV says about images that are not in the test set, or the detector's package."""
    if not str(settings.config.crop.boxes).endswith(".csv"):
        return boxes_identity(ask, settings, params)

    def digest() -> str:
        boxes_identity(ask, settings, params)  # it refuses a missing file
        ids = {part.split: set(part.ids_N.tolist()) for part in _competition(settings).parts}
        return files.sha256_text(
            crop.rows_without_test(boxes_file(settings), ids, settings.config.competition.encoding)
        )

    return ask.once("boxes without the test set", settings, digest)


def boxes_identity(ask: Ask, settings: Settings, params: Params) -> str:
    """The identity of the source of boxes: the CSV's digest, or the detector's package."""
    if str(settings.config.crop.boxes).endswith(".csv"):
        return ask.index.digest(boxes_file(settings))
    return f"opencv {importlib.metadata.version('opencv-python-headless')}"


def build_prepared(job: Job) -> Built:
    """Write train.npy and test.npy with their ids: images as models see them.

    Training images, and those from elsewhere, are taken from `train_prepared`.

    Raises:
        DataError: images that do not decode (all of them are named), a crop without training boxes.
        StorageError: the prepared images will not fit on the disk.
    """
    quarantine.refuse(job.settings.config, job.inputs["images"])
    train = job.inputs["train"].folder
    for name in ("train.npy", "train.ids.npy", f"train.{load.BESIDE}"):
        if (train / name).is_file():
            files.link(train / name, job.draft / name)
    return _prepared(job, "test", [load.samples(job.inputs["data"], "test", job.home)])


def build_train_prepared(job: Job) -> Built:
    """Write train.npy with its ids: all images but the test set as models see them; see `build_prepared`."""
    quarantine.refuse(job.settings.config, job.inputs["images"])
    return _prepared(job, "train", load.splits(job.inputs["data"], job.home))


def _prepared(job: Job, name: str, splits: Sequence[Samples]) -> Built:
    config = job.settings.config
    decoded = load.decoded(job.inputs["images"])
    look = load.look(config, job.inputs)
    height, width = config.images.stored_hw
    names = [own for split in splits for own in several.names(load.keyed(split))]
    most = several.most(names, config.competition.images_per_sample)
    most *= 1 if config.images.tiles is None else config.images.tiles.most
    wanted = most * len(names) * height * width * decoded.channels
    announced = texts.PREPARED_SPACE.format(images=len(names))
    _require_space(job, wanted, announced, texts.PREPARED_WHAT, texts.PREPARED_SPACE_REMEDY)

    def seen(key: str, image: decode.Pixels) -> list[decode.Pixels]:
        split, _, sample = key.partition("/")
        return look.all((split, sample), image)

    images.build_prepared(decoded, names, seen, (height, width), job.draft / f"{name}.npy", most)
    if config.competition.metadata:
        train = load.samples(job.inputs["data"], "train", job.home)
        beside.write(job.draft, name, splits, train, config.competition)
    figures = {"height_px": height, "width_px": width}
    if config.images.hw != (height, width):
        figures |= dict(zip(load.SEEN, config.images.hw, strict=True))
    if (most, decoded.channels) != (1, RGB):
        figures |= {"channels": decoded.channels, "images_per_sample": most}
    return Built(metrics={name: float(n) for name, n in figures.items()}, lines=look.crop.notes)


def _require_space(job: Job, wanted: float, announced: str, what: str, remedy: str) -> None:
    """Log the bytes that will be written and the bytes that are free.

    Raises:
        StorageError: they do not fit.
    """
    free = shutil.disk_usage(job.draft).free
    log.info("%s", texts.SPACE.format(announced=announced, needed=wanted / 1e6, free=free / 1e9))
    if wanted > free:
        text = texts.NO_SPACE.format(home=job.home, needed=wanted / 1e9, what=what, free=free / 1e9)
        raise StorageError(text, remedy=remedy)


def prepared_inputs(ask: Ask, settings: Settings, params: Params) -> Inputs:
    """The samples, the decoded images, and the boxes if the crop uses them."""
    boxed = ("boxes",) if settings.config.crop.method in BOXED else ()
    return {name: Need(name, settings) for name in ("data", "images", *boxed)}


def all_prepared_inputs(ask: Ask, settings: Settings, params: Params) -> Inputs:
    """The same, and the images that are prepared without the test set."""
    return {**prepared_inputs(ask, settings, params), "train": Need("train_prepared", settings)}


def train_prepared_inputs(ask: Ask, settings: Settings, params: Params) -> Inputs:
    """Those of `prepared` without the test set."""
    whole = prepared_inputs(ask, settings, params)
    return {name: Need(f"train_{name}", settings) for name in whole}


def build_folds(job: Job) -> Built:
    """Write plan.npz, health.csv, attributes.csv, checks.json and folds.html.

    Raises:
        DataError: the samples cannot be split as asked.
    """
    config = job.settings.config
    samples = load.samples(job.inputs["data"], "train", job.home)
    plan = folds.plan(samples, config.folds)
    checks = [asdict(check) for check in page.checks(samples, plan)]
    coverage = plan.coverage(samples.ids_N)
    if load.has_extra(job.inputs["data"]):
        extra = load.samples(job.inputs["data"], load.EXTRA, job.home)
        plan, samples = folds.with_extra(plan, samples, extra), samples.joined(extra)
    files.write_plan(job.draft / "plan.npz", plan)
    health, attributes = page.health(samples, plan), page.attributes(samples, plan)
    health.to_csv(job.draft / "health.csv")
    attributes.to_csv(job.draft / "attributes.csv", index=False)
    files.write_json(job.draft / "checks.json", checks)
    tables = page.FoldPage(health, attributes, checks, plan.notes, coverage.tolist())
    # The page is headed by the competition's name, which is in the key: a new title must not make new folds.
    html = page.render_html(tables, config.competition.name, config)
    (job.draft / "folds.html").write_text(html, encoding="utf-8")
    faults = sum(check["severity"] == "fault" for check in checks)
    figures = {"folds": len(plan), "faults": faults, "warnings": len(checks) - faults}
    figures["unscored"] = int((coverage == 0).sum())
    return Built({name: float(value) for name, value in figures.items()}, plan.notes)


def training_inputs(settings: Settings, *names: str) -> Inputs:
    """The data, and perhaps images and prepared images, without the test set, under their usual names."""
    return {name: Need(f"train_{name}", settings) for name in names}


def learns_from(settings: Settings, with_test: bool, *names: str) -> Inputs:
    """The same, or with the test set where a training learns from its images."""
    return {n: Need(n, settings) for n in names} if with_test else training_inputs(settings, *names)


def folds_inputs(ask: Ask, settings: Settings, params: Params) -> Inputs:
    """The samples without the test set."""
    return training_inputs(settings, "data")


IMAGE_SETTINGS = (
    *("images.cache_px", "images.truncated", "images.max_megapixels", "images.range"),
    *READER_SETTINGS,
)

# `train_…` holds everything but the test set, and is all that a training needs: another test set trains
# nothing again.
STAGES = (
    Stage(
        "train_data",
        1,
        "tables and labels without the test set",
        build_train_data,
        reads=(*DATA_SETTINGS, "folds.column"),
        inputs=train_data_inputs,
        identity=train_data_identity,
    ),
    Stage(
        "data",
        5,
        "tables and labels",
        build_data,
        reads=(*DATA_SETTINGS, "folds.column"),
        inputs=data_inputs,
        identity=data_identity,
        verify=host.check_sample,
    ),
    Stage(
        "train_images",
        2,
        "decoded images without the test set",
        build_train_images,
        reads=IMAGE_SETTINGS,
        inputs=train_as_read,
    ),
    Stage(
        "images",
        5,
        "decoded images and their facts",
        build_images,
        reads=IMAGE_SETTINGS,
        inputs=images_inputs,
        verify=refuse_faulty,
    ),
    Stage(
        "train_boxes",
        1,
        "the bounding box of the thing in each image, without the test set",
        build_train_boxes,
        reads=("crop.boxes",),
        inputs=train_boxes_inputs,
        identity=train_boxes_identity,
    ),
    Stage(
        "boxes",
        1,
        "the bounding box of the thing in each image",
        build_boxes,
        reads=("crop.boxes",),
        inputs=boxes_inputs,
        identity=boxes_identity,
    ),
    Stage(
        "train_prepared",
        1,
        "images as models see them, without the test set",
        build_train_prepared,
        reads=("images", "crop", "preprocess"),
        inputs=train_prepared_inputs,
        evictable=True,
    ),
    Stage(
        "prepared",
        3,
        "images as models see them",
        build_prepared,
        reads=("images", "crop", "preprocess"),
        inputs=all_prepared_inputs,
        evictable=True,
    ),
    Stage("folds", 4, "the fold plan", build_folds, reads=("folds",), inputs=folds_inputs),
)
