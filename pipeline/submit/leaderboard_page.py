"""The ledger as a table, a plot and a diagnosis, for the terminal and as a page.

Owns the words, the rank correlation and the layout. Does not own the figures (`core/noise.py`), the
diagnosis (`gap.py`) nor the ledger's file (`submit/ledger.py`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from pipeline.core.noise import Band
from pipeline.pages import plots
from pipeline.pages.report import Thumbnails, render
from pipeline.submit.gap.causes import HARMLESS, Cause
from pipeline.submit.gap.diagnosis import Diagnosis

# The fewest submissions with both scores for a rank correlation to have an interval.
FEWEST = 4
SHOWN = 3


@dataclass(frozen=True)
class Row:
    """One submission of the ledger.

    Args:
        name, kind, note: as in the ledger.
        oof, low, high: OOF score and its interval; None where there is none.
        public: the host's score, or None.
        looks: how often its private score was looked at.
        band: where public − OOF lies by luck; None where it cannot be said.
    """

    name: str
    kind: str
    oof: float | None
    low: float | None
    high: float | None
    public: float | None
    looks: int
    note: str
    band: Band | None

    @property
    def gap(self) -> float | None:
        """Public − OOF."""
        return None if self.oof is None or self.public is None else self.public - self.oof

    @property
    def told(self) -> str:
        """Whether the gap is luck, in a word or two."""
        if self.gap is None or self.band is None:
            return "–"
        return "within noise" if self.band.holds(self.gap) else "off by more than noise"


@dataclass(frozen=True)
class Correlation:
    """Spearman's rank correlation with its 95 % interval, over `n` submissions."""

    rho: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Standings:
    """Everything the page says.

    Args:
        title: of the competition.
        metric: its name.
        rows: in the ledger's order.
        best, why: the name of the best submission and the rule that chose it; empty without one.
        public: what is known of the public set's size, in words.
        diagnosis: of one submission's gap; None where there are no images to look at.
    """

    title: str
    metric: str
    rows: tuple[Row, ...]
    best: str
    why: str
    public: str
    diagnosis: Diagnosis | None


def correlation(rows: Sequence[Row]) -> Correlation | None:
    """How well OOF orders submissions as public does; None for fewer than two, or where one is constant.

    The interval is Bonett & Wright's (2000), doi:10.1007/BF02294183, for Fisher's z of Spearman's rho; it
    is from −1 to 1 for fewer than `FEWEST` submissions. Ties get mean ranks.
    """
    both = [(r.oof, r.public) for r in rows if r.oof is not None and r.public is not None]
    table = pd.DataFrame(both, columns=["oof", "public"], dtype=float)
    if len(table) < 2 or (table.nunique() < 2).any():
        return None
    rho = float(np.corrcoef(table["oof"].rank(), table["public"].rank())[0, 1])
    rho = min(max(rho, -1.0), 1.0)
    n = len(table)
    if n < FEWEST:
        return Correlation(rho, -1.0, 1.0, n)
    error = math.sqrt((1 + rho**2 / 2) / (n - 3))
    middle = math.atanh(min(max(rho, -0.999999), 0.999999))
    return Correlation(rho, math.tanh(middle - 1.96 * error), math.tanh(middle + 1.96 * error), n)


def correlation_words(found: Correlation | None) -> str:
    """The rank correlation in a sentence."""
    if found is None:
        return "Rank correlation: needs at least two submissions with different OOF and public scores."
    what = f"Rank correlation of OOF and public (Spearman): {found.rho:.2f} over {found.n} submissions"
    if found.n < FEWEST:
        return f"{what}: too few to say anything."
    said = f"{what}, 95 % interval {found.low:.2f} to {found.high:.2f}"
    if found.low > 0:
        return f"{said}: OOF orders submissions as the host does."
    return f"{said}: too few, or too alike, to say that OOF orders them as the host does."


def table(found: Standings) -> pd.DataFrame:
    """A row a submission, for people."""
    return pd.DataFrame(
        [
            {
                "no": str(number),
                "submission": row.name + (" (best)" if row.name == found.best else ""),
                "kind": row.kind,
                "OOF": _score(row.oof),
                "95 % interval": "–"
                if row.low is None or row.high is None
                else f"{row.low:.4f} to {row.high:.4f}",
                "public": _score(row.public),
                "public − OOF": "–" if row.gap is None else f"{row.gap:+.4f}",
                "luck alone": "–" if row.band is None else f"{row.band.low:+.4f} to {row.band.high:+.4f}",
                "the gap": row.told,
                "looks": str(row.looks),
                "note": row.note,
            }
            for number, row in enumerate(found.rows, 1)
        ]
    )


def _score(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def lines(found: Standings) -> list[str]:
    """What the terminal says."""
    shown = table(found).drop(columns=["no", "looks", "note", "kind"])
    told = shown.to_string(index=False).splitlines()
    told.append(found.public)
    told.append(correlation_words(correlation(found.rows)))
    if found.best:
        told.append(f"best: {found.best}: {found.why}")
    if found.diagnosis is not None:
        told.append(f"{found.diagnosis.question.name}: {found.diagnosis.verdict}")
        others = [c for c in found.diagnosis.causes[1:] if c.found][: SHOWN - 1]
        told += [f"  then: {cause.headline}" for cause in others]
        if found.diagnosis.causes[0].answer:
            told.append(f"  do: {found.diagnosis.causes[0].answer}")
    return told


def causes_table(found: Diagnosis | None) -> pd.DataFrame:
    """A row a cause, the most likely first: cause, found, effect, headline, answer."""
    columns = ["cause", "found", "effect", "headline", "answer"]
    causes = () if found is None else found.causes
    rows = [(c.kind, c.found, c.effect, c.headline, c.answer) for c in causes]
    return pd.DataFrame(rows, columns=columns)


def render_html(found: Standings, thumbnail_px: int) -> str:
    """The self-contained page."""
    dots = [
        plots.Dot(
            str(number),
            row.name,
            row.oof,
            row.oof if row.low is None else row.low,
            row.oof if row.high is None else row.high,
            row.public,
            row.band is None or row.band.holds(row.public - row.oof),
        )
        for number, row in enumerate(found.rows, 1)
        if row.oof is not None and row.public is not None
    ]
    bands = [row.band for row in found.rows if row.band is not None and row.public is not None]
    of_focus = found.diagnosis.band if found.diagnosis is not None else None
    band = of_focus or (bands[-1] if bands else None)
    return render(
        "leaderboard.html",
        title=f"{found.title}: submissions",
        found=found,
        table=table(found),
        plot=plots.against(dots, band, found.metric),
        correlation=correlation_words(correlation(found.rows)),
        pill=_pill,
        thumbs=Thumbnails.none(),
        thumbnail_px=thumbnail_px,
    )


def _pill(cause: Cause) -> tuple[str, str]:
    """The class and the word of a cause's pill."""
    if not cause.found:
        return "info", "not found"
    return ("low", "harmless") if cause.kind in HARMLESS else ("high", "found")
