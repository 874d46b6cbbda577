"""Settings of what the error report looks for: labels that may be wrong, and slices that fail.

Owns the thresholds. Does not own the finders (`errors/findings/suspects.py`, `errors/findings/slices.py`); those of
near-duplicates stand in `eda`, whose report looks for them as well. `make tune STAGE=error-analysis`
searches all of them against planted faults.
"""

from pipeline.settings.fields import Section, fact


class FinderSettings(Section):
    """From where on the error report tells of something."""

    suspect_margin: float = fact(
        -1.0,
        "model: another value must be more probable than the label by so much; -1: wherever confident "
        "learning says so",
        ge=-1,
        le=1,
    )
    suspect_witnesses: int = fact(
        1, "labels are told that so many of model, copies, neighbours and group speak against", ge=1, le=4
    )
    neighbours: int = fact(10, "nearest images of other groups that are asked for their label", ge=1, le=100)
    agreeing: float = fact(0.8, "share of them that must agree on another value", gt=0, le=1)
    slice_groups: int = fact(10, "groups that a slice must have, inside and outside", ge=2, le=1000)
    pair_gain: float = fact(
        1.25, "a pair of slices is told if it fails so much more often than each of its parts", ge=1, le=10
    )
