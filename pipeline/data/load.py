"""Typed values from the artifacts of a job's inputs.

Owns which file of which stage contains what, so that every stage reads it in the same way. Does not own the
formats (`record/files.py`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.core.metadata import Table
from pipeline.core.predictions import Features, Probabilities, ViewProbabilities, pool_views
from pipeline.core.samples import FoldPlan, Samples, strings
from pipeline.data import several, texts
from pipeline.data.channels import RGB, preview
from pipeline.data.crop import Key, read_table
from pipeline.data.images import DecodedImages, PreparedImages
from pipeline.data.preprocess import Look
from pipeline.record import files
from pipeline.record.store import Artifact
from pipeline.settings.schema import Config

EXTRA = "extra"
UNLABELLED = "unlabelled"
# The metadata beside prepared images, and what its columns mean.
BESIDE, COLUMNS = "beside.npy", "columns.json"
# Figures of prepared images that are larger than what a network sees of them: its height and width.
SEEN = ("seen_height_px", "seen_width_px")


def samples(data: Artifact, split: str, home: Path) -> Samples:
    """The samples of one split."""
    return files.read_samples(data.folder / f"{split}.npz", home)


def training(data: Artifact, home: Path) -> Samples:
    """The samples that folds train on: the competition's and those from elsewhere, which never validate."""
    own = samples(data, "train", home)
    return own.joined(samples(data, EXTRA, home)) if has_extra(data) else own


def has_extra(data: Artifact) -> bool:
    """Whether there are images from elsewhere."""
    return (data.folder / f"{EXTRA}.npz").is_file()


def keyed(split: Samples) -> Samples:
    """The samples under ids that are unique over all splits: `train/17`, `test/17`."""
    return replace(split, ids_N=strings([image_key(split.split, name) for name in split.ids_N.tolist()]))


def image_key(split: str, name: str) -> str:
    """The name of an image where several splits are stored together."""
    return f"{split}/{name}"


def splits(data: Artifact, home: Path) -> list[Samples]:
    """All splits: train, test and, with other sources, extra and unlabelled."""
    known = ("train", "test", EXTRA, UNLABELLED)
    return [samples(data, name, home) for name in known if (data.folder / f"{name}.npz").is_file()]


def plan(folds: Artifact) -> FoldPlan:
    """The fold plan."""
    return files.read_plan(folds.folder / "plan.npz")


def health(folds: Artifact) -> pd.DataFrame:
    """The fold health table, one row per fold."""
    return pd.read_csv(folds.folder / "health.csv", index_col=0)


def notes(made: Artifact, language: str) -> tuple[str, ...]:
    """The remarks that were made when tables or images were read, in a language."""
    return said(made, made.json("notes.json"), language)


def said(made: Artifact, lines: Sequence[str], language: str) -> tuple[str, ...]:
    """These lines of a result as it said them in a language; others as they are."""
    known = made.manifest.get("said", {}).get(language, [])
    told = dict(zip(made.manifest.get("lines", []), known, strict=False))
    return tuple(told.get(line, line) for line in lines)


def fold_checks(folds: Artifact) -> tuple[str, ...]:
    """The faults and warnings of the fold plan, one line each, faults first."""
    return tuple(texts.CHECK_LINE.format(**check) for check in folds.json("checks.json"))


def decoded(images: Artifact) -> DecodedImages:
    """The decoded images of both splits."""
    return DecodedImages(images.folder)


def facts(images: Artifact) -> pd.DataFrame:
    """ImageFacts, one row per sample, of its first image, with its split."""
    table = decoded(images).facts()
    table = table[[not several.is_further(name) for name in table["id"]]].reset_index(drop=True)
    keys = table["id"].str.split("/", n=1)
    return table.assign(split=keys.str[0], id=keys.str[1])


def look(config: Config, inputs: Mapping[str, Artifact]) -> Look:
    """How images are prepared for models, with the boxes among a job's inputs if there are any."""
    boxes = inputs.get("boxes")
    return Look.of(config, box_table(boxes) if boxes else None)


def box_table(boxes: Artifact) -> pd.DataFrame:
    """The boxes; see `pipeline/data/crop.py`."""
    return read_table(boxes.folder / "boxes.csv")


def upright_sizes(images: Artifact, keys: Sequence[Key]) -> dict[Key, tuple[int, int]]:
    """(split, id) -> width and height of the upright original, px."""
    table = facts(images)
    rows = zip(table["split"], table["id"], table["width"], table["height"], strict=True)
    sizes = {(str(split), str(name)): (int(width), int(height)) for split, name, width, height in rows}
    return {key: sizes[key] for key in keys}


def image_of(images: Artifact) -> Callable[[str, str], npt.NDArray[np.uint8]]:
    """(split, id) -> (H, W, 3) pixels, for reports: of other channels what people can see of them.

    Several images of a sample are side by side.
    """
    opened = decoded(images)

    def shown(split: str, name: str) -> npt.NDArray[np.uint8]:
        own = several.names_in(image_key(split, name), opened)
        return several.strip([preview(opened.read(one)) for one in own])

    return shown


def pixels_of(images: Artifact) -> Callable[[str, str], npt.NDArray[np.uint8]]:
    """(split, id) -> (H, W, C) decoded pixels, as they are prepared for models."""
    opened = decoded(images)
    return lambda split, name: opened.read(image_key(split, name))


def prepared(prepared: Artifact, split: str) -> PreparedImages:
    """Images as they are prepared, one split; images from elsewhere are with the training images."""
    opened = PreparedImages.open(prepared.folder / f"{split}.npy")
    ids = strings([key.split("/", 1)[1] for key in opened.ids_N.tolist()])
    # Results of a version without this figure have three channels.
    channels = int(prepared.metrics.get("channels", RGB))
    beside = prepared.folder / f"{split}.{BESIDE}"
    own = np.load(beside) if beside.is_file() else None
    seen = [prepared.metrics.get(name) for name in SEEN]
    hw = (int(seen[0]), int(seen[1])) if seen[0] is not None and seen[1] is not None else None
    return PreparedImages(ids, opened.x_NHWC, channels, own, hw)


def metadata_columns(prepared: Artifact) -> Table | None:
    """The columns of metadata that prepared images have beside them; None: there are none."""
    path = prepared.folder / COLUMNS
    return Table.of_plain(files.read_json(path)) if path.is_file() else None


def views_of(inputs: Mapping[str, Artifact], split: str) -> list[str]:
    """The views whose features of one split are among the inputs, in their order."""
    return [name.partition(":")[2] for name in inputs if name.startswith(f"{split}:")]


def features(inputs: Mapping[str, Artifact], split: str, views: list[str]) -> Features:
    """Cached features of one split, the named views joined; large ones stay in a file until they are used."""
    parts = [files.read_features(inputs[f"{split}:{view}"].folder / "features.npz") for view in views]
    first = parts[0]
    assert all((p.ids_N == first.ids_N).all() for p in parts), "views of one split share their ids"
    if len(parts) == 1:
        return first  # its values stay in the file
    place = inputs[f"{split}:{views[0]}"].folder.parents[1]
    x_NVD = files.joined([p.x_NVD for p in parts], place)
    return replace(first, views=tuple(v for p in parts for v in p.views), x_NVD=x_NVD)


def oof(artifact: Artifact, name: str) -> Probabilities:
    """Pooled out-of-fold probabilities of a train, infer or ensemble artifact."""
    return files.read_probabilities(artifact.folder / "oof.npz", name)


def test(artifact: Artifact, name: str) -> Probabilities:
    """Test probabilities of an infer or ensemble artifact."""
    return files.read_probabilities(artifact.folder / "test.npz", name)


def view_parts(views: Artifact) -> list[ViewProbabilities]:
    """Probabilities per view of each fold's validation part, of a views artifact."""
    paths = sorted(views.folder.glob("fold*.npz"), key=lambda path: int(path.stem.removeprefix("fold")))
    return [files.read_views(path, path.stem) for path in paths]


def views(views: Artifact, split: str, name: str) -> ViewProbabilities:
    """Probabilities per view of a views artifact, oof (averaged where several folds validate) or test."""
    if split == "oof":
        return pool_views(view_parts(views), name)
    return files.read_views(views.folder / f"{split}.npz", name)
