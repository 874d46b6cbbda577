"""Labels that a mirrored picture would no longer have: left and right, directions, angles, characters.

Owns recognising them by their names and values, and what training and prediction then leave out. Does not own
what a policy or a view does (`settings/augment.py`, `settings/infer.py`).

By default training and test-time views mirror pictures. Where a mirror changes the answer, that teaches that
left is right: a steering angle is then predicted as nearly 0. Leaving mirrors out by mistake costs little.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pipeline.core.tables import number_in
from pipeline.data import texts
from pipeline.data.new.kinds import words_in
from pipeline.data.new.request import Proposal
from pipeline.data.new.target import Label

ANGLES = frozenset(
    (
        *("steering", "angle", "yaw", "heading", "azimuth", "direction", "orientation", "rotation", "tilt"),
        *("gaze", "bearing", "turn", "lateral", "laterality", "side"),
    )
)
CHARACTERS = frozenset(("digit", "digits", "character", "letter", "glyph", "numeral", "symbol"))
FORBIDDEN = ["hflip", "vflip"]
VIEWS = ["identity", "shift(1,1)", "shift(-1,-1)"]
# Numbers of both signs, of which each has this share, and whose middle is this near 0 in deviations.
EACH_SIGN, NEAR_ZERO = 0.25, 0.25


def why(found: Label) -> str:
    """Why a mirror would change the answer; empty if nothing says so."""
    names = set().union(*(words_in(name) for name in found.names))
    sides = names | {word for values in found.values for value in values for word in words_in(value)}
    if {"left", "right"} <= sides:
        return texts.MIRROR_SIDES
    if found.target == "values":
        signed = next((n for n, cells in zip(found.names, found.cells, strict=True) if _signed(cells)), "")
        if signed:
            return texts.MIRROR_SIGNS.format(column=signed)
    if named := sorted(names & (ANGLES | CHARACTERS)):
        return texts.MIRROR_NAME.format(word=named[0])
    return ""


def _signed(cells: tuple[str, ...]) -> bool:
    """Whether numbers lie on both sides of 0, as angles to the left and to the right."""
    numbers = np.array([n for cell in cells if (n := number_in(cell)) is not None])
    if len(numbers) < 2 or not numbers.std() > 0:
        return False
    shares = (numbers < 0).mean(), (numbers > 0).mean()
    return min(shares) >= EACH_SIGN and abs(float(np.median(numbers))) <= NEAR_ZERO * float(numbers.std())


def settle(proposal: Proposal, found: Label, attributes: list[dict[str, Any]]) -> None:
    """Forbid mirrors, and choose a policy and views without them, where they would change the answer."""
    reason = why(found)
    if not reason:
        return
    for attribute in attributes:
        attribute["forbids"] = list(FORBIDDEN)
    proposal.set("augment.policy", "upright", reason)
    proposal.set("infer.views", list(VIEWS), texts.MIRROR_VIEWS)
    proposal.set("train.probe_views", list(VIEWS), texts.MIRROR_PROBES)
