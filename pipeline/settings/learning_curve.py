"""The section `learning_curve`: the score over the number of training groups.

Owns its fields and rules. Does not own the study itself (`train/studies/`).
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import Annotated

from pydantic import Field

from pipeline.core.language import _
from pipeline.settings.fields import Broken, Section, Sections, Share, fact, rule

SharePoint = Annotated[float, Field(gt=0, le=1)]


class CurveSettings(Section):
    """The learning curve: score over the number of training groups."""

    shares: list[SharePoint] = fact(
        [0.1, 0.2, 0.4, 0.7, 1.0], "shares of each training part's groups, ascending", min_length=2
    )
    seeds: int = fact(3, "trainings per share, each with its own groups and draws", ge=3, le=20)
    margin: Share = fact(
        0.005, "if the last step gains less than this, more data is not worth it; in units of the metric"
    )
    images: int = fact(512, "images of each training part that are scored for the training curve", ge=16)


@rule("learning_curve")
def ascending_shares(s: Sections) -> Iterator[Broken]:
    """The shares ascend."""
    shares = s["learning_curve"].shares
    if any(low >= high for low, high in pairwise(shares)):
        yield "learning_curve.shares", _("{shares} is not ascending").format(shares=shares)
