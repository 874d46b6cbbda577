"""Typed values out of the artifacts of a job's inputs.

Owns which file of which stage holds what, so that every stage reads it the same way. Does not own
the formats (`record/files.py`).
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.core.predictions import Features, Probabilities, ViewProbabilities
from pipeline.core.types import FoldPlan, Samples
from pipeline.data.images import DecodedImages, PreparedImages
from pipeline.data.resample import Part
from pipeline.record import files
from pipeline.record.store import Artifact
from pipeline.settings.load import Settings
from pipeline.stages.registry import neighbour_views


def samples(data: Artifact, split: str, home: Path) -> Samples:
    """The samples of one split."""
    return files.read_samples(data.folder / f"{split}.npz", home)


def plan(folds: Artifact) -> FoldPlan:
    """The fold plan."""
    return files.read_plan(folds.folder / "plan.npz")


def health(folds: Artifact) -> pd.DataFrame:
    """The fold health table, one row a fold."""
    return pd.read_csv(folds.folder / "health.csv", index_col=0)


def part(inputs: dict[str, Artifact], number: int, settings: Settings, home: Path) -> Part:
    """A fold's training part, with the features that its resampling looks at."""
    split = plan(inputs["folds"]).splits[number]
    train = samples(inputs["data"], "train", home).take(split.train_ids)
    views = neighbour_views(settings)
    return Part(train, number, split.times_T, features(inputs, "train", views) if views else None)


def fold_checks(folds: Artifact) -> tuple[str, ...]:
    """What the checks of the fold plan found, one line each, faults first."""
    return tuple(f"{c['severity']}: {c['text']}; {c['remedy']}" for c in folds.json("checks.json"))


def decoded(images: Artifact) -> DecodedImages:
    """The decoded images of both splits."""
    return DecodedImages(images.folder)


def facts(images: Artifact) -> pd.DataFrame:
    """ImageFacts, one row an image."""
    return decoded(images).facts()


def image_of(images: Artifact) -> Callable[[str, str], npt.NDArray[np.uint8]]:
    """(split, id) -> pixels, for reports; ids of the two splits never meet."""
    opened = decoded(images)
    return lambda split, name: opened[name]


def prepared(prepared: Artifact, split: str) -> PreparedImages:
    """Images as models see them, one split."""
    return PreparedImages.open(prepared.folder / f"{split}.npy")


def features(inputs: dict[str, Artifact], split: str, views: list[str]) -> Features:
    """Cached features of one split, the named views joined."""
    parts = [files.read_features(inputs[f"{split}:{view}"].folder / "features.npz") for view in views]
    first = parts[0]
    assert all((p.ids_N == first.ids_N).all() for p in parts), "views of one split share their ids"
    x = np.concatenate([p.x_NVD for p in parts], axis=1)
    return Features(first.ids_N, tuple(v for p in parts for v in p.views), x, first.digest)


def oof(artifact: Artifact, name: str) -> Probabilities:
    """Pooled out-of-fold probabilities of a train, infer or ensemble artifact."""
    return files.read_probabilities(artifact.folder / "oof.npz", name)


def test(artifact: Artifact, name: str) -> Probabilities:
    """Test probabilities of an infer or ensemble artifact."""
    return files.read_probabilities(artifact.folder / "test.npz", name)


def views(artifact: Artifact, split: str, name: str) -> ViewProbabilities:
    """Probabilities per view of an infer artifact."""
    return files.read_views(artifact.folder / f"{split}_views.npz", name)
