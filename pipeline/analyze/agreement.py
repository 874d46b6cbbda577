"""Where two submissions differ, by class and by attribute: matrices whose cells filter the gallery below.

Owns the section "Attributes". Does not own counting (`flips.py`) nor the gallery (`flip_cards.py`).
"""

from __future__ import annotations

from markupsafe import Markup

from pipeline.analyze import plots
from pipeline.analyze.flips import Flips, parts
from pipeline.analyze.section import Section
from pipeline.core.types import LabelSpace


def section(flips: Flips, space: LabelSpace) -> Section:
    """The matrices, and a table of every direction."""
    where = {"directions": flips.directions, "agreement": _agreement(flips, space)}
    return Section("attributes", "Attributes", "attributes.html", where)


def _agreement(flips: Flips, space: LabelSpace) -> list[tuple[str, Markup]]:
    """A heat map a part, whose cells show their images; a plain label's part is called as its attribute."""
    views = parts(space)
    alone = space.attributes[0].name if len(space.attributes) == 1 else ""
    return [
        (
            name,
            plots.heatmap(counts, views[name][0], f"Agreement by {name}", "best", "new", pick=alone or name),
        )
        for name, counts in flips.agreement.items()
    ]
