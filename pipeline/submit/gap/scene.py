"""What the checks of a gap look at: images, folds, predictions, and measurements of every prepared image.

Owns gathering them for a submission. Does not own the thumbnails (`eda/survey.py`) nor the checks.

Prepared pixels are what models see. A difference between the files that preprocessing removes does no harm,
and a difference that preprocessing makes (such as a crop that only one split has) is visible in prepared
pixels only.

Shape legend: N training images, K of them with predictions, T test images, C classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.core import metrics
from pipeline.core.metrics import Metric
from pipeline.core.samples import Floats, FoldPlan, Ints, LabelSpace, Samples, Strings, positions
from pipeline.data import load
from pipeline.eda.survey import Glance, glance, survey
from pipeline.engine.stage import Job
from pipeline.pages.report import ImageOf, Pixels
from pipeline.record.store import Artifact
from pipeline.settings.eda import EdaSettings


@dataclass(frozen=True)
class Submitted:
    """Predictions of the submission whose gap is examined.

    Args:
        rows_K: the training images that are in some validation part, ascending; with plain k-fold all of
            them.
        oof_KC: their out-of-fold probabilities.
        test_TC: probabilities of the test images, in their order.
    """

    rows_K: Ints
    oof_KC: Floats
    test_TC: Floats


@dataclass(frozen=True)
class GapScene:
    """All that the checks look at.

    Args:
        space: the classes.
        metric: of the competition.
        images: one row per image, training images first: split, id, group, label (-1 for a test image),
            sha256, phash.
        facts: numbers in the same order: size of the file in px, and measurements of the prepared pixels.
        glance: thumbnails of the prepared images, in the same order.
        plan: the folds that the score comes from.
        settings: thresholds and seed.
        draws: bootstrap resamples.
    """

    space: LabelSpace
    metric: Metric
    images: pd.DataFrame
    facts: pd.DataFrame
    glance: Glance
    plan: FoldPlan
    settings: EdaSettings
    draws: int

    @property
    def is_test(self) -> npt.NDArray[np.bool_]:
        """Which rows are test images."""
        return (self.images["split"] == "test").to_numpy()

    @property
    def train(self) -> pd.DataFrame:
        """The training images."""
        return self.images[~self.is_test]

    @property
    def labels(self) -> Ints:
        """(N,) class index of the training images."""
        return self.train["label"].to_numpy(np.int64)

    @property
    def groups(self) -> Strings:
        """(N,) group of the training images."""
        return self.train["group"].to_numpy(str)


def load_scene(job: Job, folds: Artifact) -> GapScene:
    """The scene of the leaderboard's inputs; `folds` is the fold plan of the submission."""
    config = job.settings.config
    train, test = (load.samples(job.inputs["data"], split, job.home) for split in ("train", "test"))
    facts = load.facts(job.inputs["images"])
    images = survey(train, test, facts[facts["split"].isin(("train", "test"))]).images
    parts = {split: load.prepared(job.inputs["prepared"], split) for split in ("train", "test")}
    at = {(split, name): k for split, part in parts.items() for k, name in enumerate(part.ids_N.tolist())}
    thumbnails, measured = measure_images(
        images, train.space.n_classes, lambda split, name: np.asarray(parts[split].x_NHWC[at[split, name]])
    )
    metric, plan = metrics.get(config.competition.metric), load.plan(folds)
    draws = config.statistics.draws
    return GapScene(train.space, metric, images, measured, thumbnails, plan, config.eda, draws)


def folds_of_submission(job: Job, artifact: Artifact | None) -> Artifact:
    """The fold plan that a submission was trained on, or the current one where that is gone."""
    if artifact is not None and "folds" in artifact.inputs:
        own = job.store.find(*artifact.inputs["folds"].split("/", 1))
        if own is not None:
            return own
    return job.inputs["folds"]


def load_submitted(artifact: Artifact, train: Samples, test: Samples) -> Submitted:
    """The predictions of a submission's result."""
    oof = load.oof(artifact, artifact.key).with_classes(train.space.classes)
    predicted = load.test(artifact, artifact.key).with_classes(train.space.classes)
    rows_K = np.sort(positions(oof.ids_N, train.ids_N, "out-of-fold predictions"))
    return Submitted(rows_K, oof.take(train.ids_N[rows_K]).p_NC, predicted.take(test.ids_N).p_NC)


def measure_images(images: pd.DataFrame, n_classes: int, image: ImageOf) -> tuple[Glance, pd.DataFrame]:
    """Thumbnails, and one row of measurements per image.

    Args:
        images: rows with split, id, label, and width and height of the file in px.
        n_classes: C.
        image: gives the prepared uint8 (H, W, 3) pixels by split and id.

    Returns:
        The table holds width, height, aspect (of the file), brightness, contrast, blur, saturation, red, blue
        and blocks (of the prepared pixels).
    """
    measured: list[tuple[float, float, float]] = []

    def measure(split: str, name: str) -> Pixels:
        pixels = np.ascontiguousarray(image(split, name))
        grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
        measured.append((float(grey.mean()), float(grey.std()), float(cv2.Laplacian(grey, cv2.CV_32F).var())))
        return pixels

    thumbnails = glance(images, n_classes, measure)
    table = pd.DataFrame(measured, columns=["brightness", "contrast", "blur"], index=images.index)
    files = pd.DataFrame(
        {"width": images["width"], "height": images["height"], "aspect": images["width"] / images["height"]}
    )
    return thumbnails, pd.concat([files, table, thumbnails.looks], axis=1).astype(float)
