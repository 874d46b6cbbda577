"""The section of label suspects: ranked pictures, and a label_patches.csv made by clicks.

Owns the section and the rows of the CSV. Does not own the ranking (`suspects.py`) nor reading patches
(`data/labels.py`, which takes exactly these columns).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.core.samples import LabelSpace
from pipeline.errors.findings.suspects import Raw, Suspect
from pipeline.pages.report import Key, json_data, plural
from pipeline.pages.section import Section

ANCHOR, SHORT = "suspects", "Labels"
TITLE = "Labels that may be wrong"
MOST = 60
COLUMNS = ("id", "attribute", "value", "reason", "was")


@dataclass(frozen=True)
class SuspectInputs:
    """What the section is made of.

    Args:
        space: the label space.
        found: most suspicious first.
        raw: by attribute, what the table writes for each value.
        judged: images that were judged.
        neighbours: whether features were there to ask them.
        folder: where a patch file belongs.
        command: what trains with it.
    """

    space: LabelSpace
    found: Sequence[Suspect]
    raw: Raw
    judged: int
    neighbours: bool
    folder: str
    command: str


@dataclass(frozen=True)
class Card:
    """One suspect as it is shown."""

    number: int
    key: Key
    attribute: str
    given: str
    proposed: str
    covers: str
    reasons: tuple[str, ...]
    others: tuple[Key, ...]

    @property
    def label(self) -> str:
        """For screen readers."""
        return f"{self.key[1]}: {self.attribute} {self.given}, perhaps {self.proposed}"


def patch_row(suspect: Suspect, space: LabelSpace, raw: Raw) -> list[str]:
    """The CSV row that corrects it, in the order of `COLUMNS`."""
    names = {a.name: a.values for a in space.attributes}[suspect.attribute]
    values = raw[suspect.attribute]
    reason = "; ".join(suspect.reasons)
    return [
        suspect.key[1],
        suspect.attribute,
        values[suspect.proposed],
        f"{names[suspect.proposed]} instead of {names[suspect.given]}: {reason}",
        values[suspect.given],
    ]


def section(inputs: SuspectInputs) -> Section:
    """The section of the page."""
    names = {a.name: a.values for a in inputs.space.attributes}
    shown = list(inputs.found)[:MOST]
    cards = [
        Card(
            number=number,
            key=s.key,
            attribute=s.attribute,
            given=names[s.attribute][s.given],
            proposed=names[s.attribute][s.proposed],
            covers=plural(s.images, "image") if s.images > 1 else "",
            reasons=s.reasons,
            others=s.others[:3],
        )
        for number, s in enumerate(shown)
    ]
    rows = [patch_row(s, inputs.space, inputs.raw) for s in shown]
    return Section(
        ANCHOR,
        SHORT,
        "suspects.html",
        {
            "title": TITLE,
            "cards": cards,
            "total": len(inputs.found),
            "judged": inputs.judged,
            "neighbours": inputs.neighbours,
            "folder": inputs.folder,
            "command": inputs.command,
            "constant": any(a.constant_in_group for a in inputs.space.attributes),
            "several": sum(len(s.witnesses) > 1 for s in inputs.found),
        },
        tuple(dict.fromkeys(key for card in cards for key in (card.key, *card.others))),
        json_data("suspects-data", {"columns": list(COLUMNS), "rows": rows}),
        "suspects.js",
    )
