"""What the checks of a gap look at and what they give: images, folds, predictions, causes, and the verdict.

Owns gathering the inputs of a submission with measurements of every prepared image; the gap, its possible
causes, their order, and the verdict. Does not own the thumbnails (`eda/survey.py`), any check (`gap/leak.py`,
`gap/shift.py`, `gap/label_shift.py`, `gap/selection.py`) nor which of them run (`gap/diagnosis.py`).

Prepared pixels are what models see. A difference between the files that preprocessing removes does no harm,
and a difference that preprocessing makes (such as a crop that only one split has) is visible in prepared
pixels only.

Shape legend: N training images, K of them with predictions, T test images, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.core import metrics
from pipeline.core.language import joined
from pipeline.core.metric_arithmetic import Reals, ratio
from pipeline.core.metrics import Metric
from pipeline.core.samples import Floats, FoldPlan, Ints, Kind, LabelSpace, Samples, Strings, Truth, positions
from pipeline.core.statistics import Band
from pipeline.core.targets import EXCLUSIVE, LABELS, SHARES
from pipeline.data import load, several
from pipeline.eda.survey import Glance, glance, table_of
from pipeline.engine.stage import Job
from pipeline.pages.report import ImageOf, Pixels
from pipeline.record.store import Artifact
from pipeline.settings.eda import EdaSettings
from pipeline.submit import texts

NOISE, UNEXPLAINED, AVERAGING = "noise", "unexplained", "averaging"
# There is nothing to fix.
HARMLESS = (NOISE, AVERAGING)
# Causes that invalidate later checks come first: with a leak, out-of-fold figures are too high, and different
# pixels move every prediction. Among equally large effects this order decides.
ORDER = (
    *("group_leak", "duplicates", "transform", "covariate_shift", "label_shift", "over_selection"),
    *(UNEXPLAINED, AVERAGING, NOISE),
)
# Shares of the gap from which a measured effect explains most or a part of it.
MOST, PART = 0.6, 0.2
# Values that differ by less than this many standard deviations count as equal in a look-up.
NEAR = 0.1


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
        known: the truth of the training images; None: the classes of `images`.
    """

    space: LabelSpace
    metric: Metric
    images: pd.DataFrame
    facts: pd.DataFrame
    glance: Glance
    plan: FoldPlan
    settings: EdaSettings
    draws: int
    known: Truth | None = None

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
    def truth(self) -> Truth:
        """(N,) classes of the training images, or (N, K) numbers."""
        return self.labels if self.known is None else self.known

    def agreement(self, one: Truth, other: Truth) -> Reals:
        """(N,) how right one answer is if the other is true, 0 to 1, row by row.

        Of labels the share of known answers that are equal; of shares the part of the votes that is; of
        values the share within a tenth of their standard deviation.
        """
        if self.truth.ndim == 1:
            return np.asarray(one == other, dtype=np.float64)
        known_NK = ~(np.isnan(one) | np.isnan(other))
        off_NK = np.abs(np.nan_to_num(one) - np.nan_to_num(other)).astype(np.float64)
        if self.space.kind == SHARES:
            return np.asarray(1 - off_NK.sum(axis=1) / 2)
        near = 0.5 if self.space.kind == LABELS else NEAR * np.nanstd(self.truth, axis=0)
        return ratio((known_NK & (off_NK <= near)).sum(axis=1), known_NK.sum(axis=1))

    @property
    def groups(self) -> Strings:
        """(N,) group of the training images."""
        return self.train["group"].to_numpy(str)


def load_scene(job: Job, folds: Artifact) -> GapScene:
    """The scene of the leaderboard's inputs; `folds` is the fold plan of the submission."""
    config = job.settings.config
    train, test = (load.samples(job.inputs["data"], split, job.home) for split in ("train", "test"))
    facts = load.facts(job.inputs["images"])
    images = table_of(train, test, facts[facts["split"].isin(("train", "test"))])
    parts = {split: load.prepared(job.inputs["prepared"], split) for split in ("train", "test")}
    at = {(split, name): k for split, part in parts.items() for k, name in enumerate(part.ids_N.tolist())}
    thumbnails, measured = measure_images(
        images,
        train.space.n_classes,
        lambda split, name: several.shown(parts[split].x_NHWC[at[split, name]], parts[split].channels),
    )
    metric, plan = metrics.get(config.competition.metric), load.plan(folds)
    draws = config.statistics.draws
    return GapScene(train.space, metric, images, measured, thumbnails, plan, config.eda, draws, train.truth)


def folds_of_submission(job: Job, artifact: Artifact | None) -> Artifact:
    """The fold plan that a submission was trained on, or the current one where that is gone."""
    if artifact is not None and "folds" in artifact.inputs:
        own = job.store.at(artifact.inputs["folds"])
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


@dataclass(frozen=True)
class Cause:
    """One possible cause, checked.

    Args:
        kind: a name of `ORDER`.
        found: whether the check found it; for noise: whether no other cause is needed.
        headline: the answer in one sentence, with its number.
        how: what was checked.
        answer: what to do.
        effect: about how much it moves public − OOF, in the metric's own units; None: unknown.
        direction: +1 if it raises public − OOF, -1 if it lowers it, where only that is known; otherwise 0.
    """

    kind: str
    found: bool
    headline: str
    how: str
    answer: str
    effect: float | None = None
    direction: int = 0

    def denied_by(self, gap: float) -> bool:
        """Whether it moves public − OOF the other way than this gap, so that it cannot be its cause."""
        moved = self.direction or self.effect or 0.0
        return moved * gap < 0


@dataclass(frozen=True)
class Question:
    """The gap to be explained.

    Args:
        name: of the submission.
        oof, public: its scores; None where not known.
        public_groups: groups of the public set, ≥ 1.
    """

    name: str
    oof: float | None
    public: float | None
    public_groups: int

    @property
    def gap(self) -> float | None:
        """Public − OOF."""
        return None if self.oof is None or self.public is None else self.public - self.oof


@dataclass(frozen=True)
class Diagnosis:
    """The results of the checks.

    Args:
        question: the gap.
        band: the range of the gap by luck alone; None without predictions.
        p: probability that luck alone gives a gap as large; None without a gap or a band.
        causes: the most likely first; those that were not found are last.
    """

    question: Question
    band: Band | None
    p: float | None
    causes: tuple[Cause, ...]

    @property
    def verdict(self) -> str:
        """The answer in one sentence."""
        gap, band = self.question.gap, self.band
        first = self.causes[0]
        if gap is None or band is None:
            start = texts.NO_GAP
        elif band.holds(gap):
            start = texts.INSIDE_BAND.format(gap=gap, low=band.low, high=band.high)
            found = texts.INSIDE_BAND_HIDDEN if first.denied_by(gap) else texts.INSIDE_BAND_BUT
            start += found if first.kind not in HARMLESS else ""
        else:
            start = texts.OUTSIDE_BAND.format(gap=gap, low=band.low, high=band.high)
            start += texts.OUTSIDE_BAND_HIDDEN if first.denied_by(gap) else ""
        return joined(" ", (start, first.headline))


def in_units_of_score(metric: Metric, delta_right: float, kind: Kind = EXCLUSIVE) -> float | None:
    """A change of the share of right answers as a change of the score; None where they differ."""
    if kind != EXCLUSIVE and metric.name != "accuracy":
        return None
    return delta_right if metric.needs == "labels" and metric.higher_is_better else None


def ranked(causes: Sequence[Cause], gap: float | None, band: Band | None) -> tuple[Cause, ...]:
    """The most likely first: causes that were found, by how much of the gap they explain; then the others.

    Args:
        causes: each kind at most once.
        gap: public − OOF, or None without a public score.
        band: its noise band, or None.
    """
    scale = 0.0 if gap is None else abs(gap)
    if band is not None:
        scale = max(scale, band.high - band.middle)

    def share(cause: Cause) -> int:
        """0: explains most of the gap, or is unknown; 1: a part; 2: little, or the wrong direction."""
        if cause.effect is None or gap is None or scale == 0:
            return 0
        towards = cause.effect if gap >= 0 else -cause.effect
        return 0 if towards >= MOST * scale else 1 if towards >= PART * scale else 2

    def key(cause: Cause) -> tuple[bool, bool, int, int]:
        is_noise = cause.kind == NOISE
        return (not cause.found, is_noise, share(cause) if cause.found else 0, ORDER.index(cause.kind))

    return tuple(sorted(causes, key=key))
