"""The section `eda`: thresholds of the data report.

Owns its fields and rules. Does not own the findings (`eda/`).
"""

from collections.abc import Iterator
from typing import Literal

from pipeline.core.language import _
from pipeline.settings.fields import Broken, Section, Sections, fact, rule


class EdaSettings(Section):
    """Thresholds of the data report."""

    near_bits: int = fact(
        12, "near-duplicates: perceptual hashes (64 bits) may differ in at most this many bits", ge=0, le=24
    )
    near_ratio: float = fact(
        0.4, "near-duplicates: at most this share of the distance to other pictures", ge=0, le=1
    )
    near_match: float = fact(
        0.9, "near-duplicates: 8 × 8 thumbnails correlate by at least this much", ge=0, le=1
    )
    outlier_z: float = fact(
        4.0, "an image is an outlier above this many robust standard deviations", ge=2, le=50
    )
    shift_on: Literal["facts", "features"] = fact(
        "facts", "separate train from test by image facts, or by features of the frozen model (slower)"
    )
    shift_auc: float = fact(0.6, "train and test differ at this AUC or above; 0.5 is chance", ge=0.5, le=1)
    shift_p: float = fact(0.01, "and only if at most this share of shuffles reaches that AUC", gt=0, lt=1)
    shift_shuffles: int = fact(199, "shuffles of the set names over whole groups", ge=19, le=9999)
    high: float = fact(0.01, "a finding is high if at least this share of the score is at stake", gt=0, le=1)
    medium: float = fact(0.002, "a finding is medium at this share of the score; at most `high`", gt=0, le=1)
    thumbnails: int = fact(1200, "pictures in the whole report, so that it stays small", ge=300, le=20_000)
    seed: int = fact(0, "seed of the shuffles", ge=0)


@rule("eda")
def thresholds(s: Sections) -> Iterator[Broken]:
    """Thresholds are ordered, and the shuffles can reach the p-value."""
    eda = s["eda"]
    if eda.medium > eda.high:
        yield "eda.medium", _("{medium} is above eda.high={high}").format(medium=eda.medium, high=eda.high)
    if eda.shift_p < 1 / (eda.shift_shuffles + 1):
        yield (
            "eda.shift_p",
            _("cannot be reached with {shift_shuffles} shuffles; raise eda.shift_shuffles").format(
                shift_shuffles=eda.shift_shuffles
            ),
        )
