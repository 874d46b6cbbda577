"""The sections `statistics`, `report` and `finders`: intervals, sizes of reports, thresholds of findings.

Owns their fields. Does not own the finders (`errors/findings/suspects.py`, `errors/findings/slices.py`); the
thresholds of near-duplicates are in `eda`, whose report uses them too. `make tune
STAGE=error-analysis` searches all thresholds of finders against planted faults.
"""

from collections.abc import Iterator

from pipeline.core import language
from pipeline.core.language import _
from pipeline.settings.fields import Broken, Section, Sections, fact, fact_if_chosen, rule


class StatisticsSettings(Section):
    """Intervals."""

    draws: int = fact(2000, "bootstrap resamples of whole groups", ge=100, le=100_000)
    seed: int = fact(0, "seed of the resamples", ge=0)


class ReportSettings(Section):
    """Reports."""

    thumbnail_px: int = fact(72, "longest side of a thumbnail, px", ge=16, le=512)
    per_class: int = fact(24, "images on a class's contact sheet", ge=1, le=200)
    max_flips: int = fact(
        5000, "largest number of images with different predictions that are shown", ge=1, le=20_000
    )
    judge: int = fact(100, "flips that the page asks a person to label, or a few more", ge=10, le=5000)
    controls: int = fact(30, "labelled images among them, to measure the person's own error", ge=0, le=500)
    judge_px: int = fact(224, "longest side of a picture to label, px", ge=32, le=512)
    show_answers: bool = fact(False, "show both predictions before the answer")
    # `auto` is replaced when settings are read, so that a page's key holds the language that it is in.
    language: str = fact_if_chosen(
        language.ENGLISH,
        "of messages and of the home, data and error pages: en, ko, or auto, which follows the locale and is "
        "the default; UI_LANG wins",
    )


class FinderSettings(Section):
    """Thresholds of the error report."""

    suspect_margin: float = fact(
        -1.0,
        "model: another value is more probable than the label by this much; -1: confident learning alone",
        ge=-1,
        le=1,
    )
    suspect_witnesses: int = fact(
        1, "report labels that this many of model, copies, neighbours and group disagree with", ge=1, le=4
    )
    neighbours: int = fact(10, "nearest images of other groups whose labels are compared", ge=1, le=100)
    agreeing: float = fact(0.8, "share of them that must agree on another value", gt=0, le=1)
    slice_groups: int = fact(10, "a slice needs at least this many groups inside and outside", ge=2, le=1000)
    pair_gain: float = fact(
        1.25, "report a pair of slices with this many times the error rate of each slice", ge=1, le=10
    )


@rule("report")
def known_language(sections: Sections) -> Iterator[Broken]:
    """The language has a catalogue."""
    known = language.languages()
    if sections["report"].language not in known:
        asked = sections["report"].language
        yield (
            "report.language",
            _("is `{asked}`, which has no catalogue: choose one of auto, {known}").format(
                asked=asked, known=", ".join(known)
            ),
        )
