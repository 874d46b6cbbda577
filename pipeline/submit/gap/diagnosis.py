"""Why the public score is not the out-of-fold score: every cause checked, the most likely first.

Owns which checks run, in which order they depend on each other, and the verdict. Does not own the checks
(`gap_leak.py`, `gap_shift.py`, `gap_classes.py`, `gap_selection.py`), ranking (`causes.py`) nor the page
(`standings.py`).

One look at every prepared image: the numbers and thumbnails on which a gap's checks rest.

Owns measuring prepared pixels. Does not own the thumbnails (`glance.py`) nor the checks (`gap.py`).

Prepared pixels are what models see. A mismatch of the files that preparing removes does no harm, and one
that preparing makes (a crop that one split lacks) is seen here only.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import pandas as pd

from pipeline.core import noise
from pipeline.core.metrics import Reals
from pipeline.core.noise import Band
from pipeline.eda.survey import Glance, glance
from pipeline.pages.report import ImageOf, Pixels
from pipeline.submit.gap import classes, leak, selection, shift
from pipeline.submit.gap.causes import (
    AVERAGING,
    HARMLESS,
    NOISE,
    UNEXPLAINED,
    Cause,
    Scene,
    Submitted,
    ranked,
)
from pipeline.submit.gap.selection import Compared

# A gap outside of 95 % happens to every 20th submission; only one outside of 99 % asks for a cause.
RARE = 0.01
HALF = 0.5


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
    """What the checks say.

    Args:
        question: the gap.
        band: where it lies by luck alone; None without predictions.
        p: how often luck alone gives a gap as far off; None without a gap or a band.
        causes: the most likely first; the last ones were not found.
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
            start = "No gap to explain yet: no public score, or no out-of-fold predictions."
        elif band.holds(gap):
            start = f"public − OOF is {gap:+.4f}, and luck alone gives {band.low:+.4f} to {band.high:+.4f}."
            if first.kind not in HARMLESS:
                start += " The gap needs no explanation, but a check found something all the same."
        else:
            start = f"public − OOF is {gap:+.4f}; luck alone gives {band.low:+.4f} to {band.high:+.4f}."
        return f"{start} {first.headline}"


def diagnose(scene: Scene, of: Submitted | None, compared: Compared | None, asked: Question) -> Diagnosis:
    """Run every check.

    Args:
        scene: images, folds, thresholds.
        of: the submission's predictions; None: what needs them is left out.
        compared: the runs on the same folds; None: not known.
        asked: the gap.
    """
    draws = None if of is None else _draws(scene, of, asked)
    band = None if draws is None else noise.band_of(draws, asked.public_groups)
    p = None if draws is None or asked.gap is None else _p_value(draws, asked.gap)
    # Telling train from test needs groups that nobody told of; folds and scores keep to those of the data.
    joined = shift.with_look_alikes(scene)
    told = shift.tell(joined)
    priors = None if of is None or not len(of.test_TC) else classes.estimate(scene, of)
    by_classes = False
    if priors is not None and priors.shifted and told.alarm:
        after = shift.tell(joined, classes.matched(scene, priors))
        # Fewer images alarm less easily: the difference itself must be gone, too.
        by_classes = not after.alarm and after.strength <= HALF * told.strength
    causes = [
        *leak.check(scene, told.alarm and not by_classes),
        *shift.check(joined, told, by_classes, of),
        selection.check(scene, compared, asked.gap, band),
    ]
    if of is not None and priors is not None:
        moved = any(c.kind == "transform" and c.found for c in causes)
        causes.append(classes.check(scene, of, priors, not moved))
    causes.append(_noise(scene, asked, (band, p), any(c.found for c in causes)))
    return Diagnosis(asked, band, p, ranked(causes, asked.gap, band))


def _draws(scene: Scene, of: Submitted, asked: Question) -> Reals:
    return noise.gap_draws(
        scene.metric,
        scene.labels[of.rows_K],
        of.oof_KC,
        scene.groups[of.rows_K],
        asked.public_groups,
        scene.draws,
        scene.settings.seed,
    )


def _p_value(draws_B: Reals, gap: float) -> float:
    """Two-sided: how often luck lies as far from its own middle."""
    middle = float(np.median(draws_B))
    return float((1 + (np.abs(draws_B - middle) >= abs(gap - middle)).sum()) / (1 + len(draws_B)))


def _noise(scene: Scene, asked: Question, luck: tuple[Band | None, float | None], other: bool) -> Cause:
    """What is left where no check found a cause: luck, the lift of averaging, or nothing that we know."""
    band, p = luck
    sign, averaged = scene.metric.sign, len(scene.plan) > 1
    how = (
        f"Drew public sets of {asked.public_groups} groups from the out-of-fold predictions, and looked how "
        "far their score lies from that of all training groups."
    )
    if band is None or p is None:
        return Cause(NOISE, not other, "Nothing else was found.", how, "`make score FILE=… PUBLIC=…` first.")
    if p > RARE or other:
        often = (
            f"luck alone gives a gap as large in {100 * p:.0f} of 100 cases"
            if p >= 0.01
            else "luck is not enough"
        )
        headline = f"Plain noise: {often}." if not other else f"Noise: {often}."
        answer = "Nothing to mend. Between submissions inside the band, trust the out-of-fold score."
        return Cause(NOISE, not other, headline, how, answer)
    if averaged and sign * ((asked.gap or 0.0) - band.middle) > 0:
        return Cause(
            AVERAGING,
            True,
            "Public is better than luck alone allows, and no check found a fault. Probably it is none: "
            "the test set is predicted by the mean of all fold models, which is often better than each of "
            "them is out of fold.",
            f"{how} That is all: what averaging brings cannot be measured without answers.",
            "Nothing to mend. Compare submissions by OOF; the lift is about the same for similar models.",
        )
    return Cause(
        UNEXPLAINED,
        True,
        "Luck alone gives such a gap in fewer than 1 of 100 cases, and no check found a cause.",
        how,
        "Ask what no check can see: another metric or label order at the host, rows of the CSV in another "
        "order, a public set that is no random draw, settings chosen by hand on these folds.",
    )


OF_FILE = ("width", "height", "aspect")


def look_at(images: pd.DataFrame, n_classes: int, image: ImageOf) -> tuple[Glance, pd.DataFrame]:
    """Thumbnails, and a row of numbers an image.

    Args:
        images: rows with split, id, label, and width and height of the file in px.
        n_classes: C.
        image: gives the prepared uint8 (H, W, 3) pixels by split and id.

    Returns:
        The table holds width, height, aspect (of the file), brightness, contrast, blur, saturation, red,
        blue and blocks (of the prepared pixels), see `glance.py`.
    """
    measured: list[tuple[float, float, float]] = []

    def noted(split: str, name: str) -> Pixels:
        pixels = np.ascontiguousarray(image(split, name))
        grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
        measured.append((float(grey.mean()), float(grey.std()), float(cv2.Laplacian(grey, cv2.CV_32F).var())))
        return pixels

    seen = glance(images, n_classes, noted)
    table = pd.DataFrame(measured, columns=["brightness", "contrast", "blur"], index=images.index)
    files = pd.DataFrame(
        {"width": images["width"], "height": images["height"], "aspect": images["width"] / images["height"]}
    )
    return seen, pd.concat([files, table, seen.looks], axis=1).astype(float)
