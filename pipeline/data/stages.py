"""The stages of `data/`: tables, decoded and prepared images, boxes and the fold plan.

Owns their declarations and the functions that build them. Does not own reading files
(`data/competition.py`), decoding (`data/images.py`) nor planning folds (`data/folds.py`).
"""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

from pipeline.data.host import competition_root
from pipeline.engine.need import PART, Inputs, Need, Params
from pipeline.engine.stage import Ask, Built, Job, Stage, needs
from pipeline.record.store import Artifact
from pipeline.settings.load import Settings

# The samples of the tables before images that do not decode are left out. A part is in the key through the
# inputs that it has, so a decoded image is the same whatever is left out later.
AS_READ: Params = {PART: "as_read"}
# Ways of cropping that look at boxes.
BOXED = ("statistics", "own_box")

DATA_SETTINGS = tuple(
    f"competition.{name}"
    for name in (
        *("name", "root", "layout", "train_table", "test_table", "holdout", "sample_submission"),
        *("train_images", "test_images", "id_column", "path_column", "test_id_column", "test_path_column"),
        *("group_column", "group_pattern", "attributes", "extra", "label_patches", "patch_scoring", "demo"),
    )
)


def build_data(job: Job) -> Built:
    """Write the samples of each split."""
    from pipeline.data import stage_data

    return stage_data.build(job)


def verify_data(settings: Settings, data: Artifact, home: Path) -> None:
    """Raise DataError where the host's sample asks for other images or answers."""
    from pipeline.data import stage_data

    stage_data.verify(settings, data, home)


def data_inputs(ask: Ask, settings: Settings, params: Params) -> Inputs:
    """Nothing but files; with images.quarantine=drop, what was read less what did not decode."""
    if settings.config.images.quarantine == "error" or params:
        return {}
    return {"data": Need("data", settings, AS_READ), "images": Need("images", settings)}


def data_identity(ask: Ask, settings: Settings, params: Params) -> str:
    """Digests of the files of the competition."""
    from pipeline.data import competition

    def digest() -> str:
        root = competition_root(settings)
        return ask.index.combined(competition.input_files(settings.config.competition, root), root)

    return ask.once("files of the competition", settings, digest)


def build_images(job: Job) -> Built:
    """Decode every image once."""
    from pipeline.data import stage_images

    return stage_images.build(job)


def as_read(ask: Ask, settings: Settings, params: Params) -> Inputs:
    """The tables before images that do not decode are left out."""
    dropping = settings.config.images.quarantine == "drop"
    return {"data": Need("data", settings, AS_READ if dropping else {})}


def build_boxes(job: Job) -> Built:
    """Find the thing in each image."""
    from pipeline.data import stage_boxes

    return stage_boxes.build(job)


def boxes_inputs(ask: Ask, settings: Settings, params: Params) -> Inputs:
    """The tables as they were read, and the images."""
    return {**as_read(ask, settings, params), "images": Need("images", settings)}


def boxes_identity(ask: Ask, settings: Settings, params: Params) -> str:
    """What tells one source of boxes from another: the CSV's digest, or the detector's package."""
    from pipeline.data.host import boxes_file

    if str(settings.config.crop.boxes).endswith(".csv"):
        return ask.index.digest(boxes_file(settings))
    return f"opencv {importlib.metadata.version('opencv-python-headless')}"


def build_prepared(job: Job) -> Built:
    """Cut, resize and preprocess every image."""
    from pipeline.data import stage_prepared

    return stage_prepared.build(job)


def prepared_inputs(ask: Ask, settings: Settings, params: Params) -> Inputs:
    """The samples, the decoded images, and the boxes where the crop looks at them."""
    common = {name: Need(name, settings) for name in ("data", "images")}
    return common | ({"boxes": Need("boxes", settings)} if settings.config.crop.method in BOXED else {})


def build_folds(job: Job) -> Built:
    """Plan the folds."""
    from pipeline.data import stage_folds

    return stage_folds.build(job)


STAGES = (
    Stage(
        "data",
        4,
        "tables and labels",
        build_data,
        reads=(*DATA_SETTINGS, "folds.column"),
        inputs=data_inputs,
        identity=data_identity,
        verify=verify_data,
    ),
    Stage(
        "images",
        3,
        "decoded images and their facts",
        build_images,
        reads=("images.cache_px", "images.truncated", "images.max_megapixels"),
        inputs=as_read,
    ),
    Stage(
        "boxes",
        1,
        "where the thing is in each image",
        build_boxes,
        reads=("crop.boxes",),
        inputs=boxes_inputs,
        identity=boxes_identity,
    ),
    Stage(
        "prepared",
        3,
        "images as models see them",
        build_prepared,
        reads=("images", "crop", "preprocess"),
        inputs=prepared_inputs,
        evictable=True,
    ),
    Stage("folds", 3, "the fold plan", build_folds, reads=("folds",), inputs=needs("data")),
)
