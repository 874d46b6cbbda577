"""The leaderboard: the ledger as a table, a plot and a diagnosis, for the terminal and as a page.

Owns the rank correlation and the layout. Does not own the noise (`core/noise.py`), the diagnosis
(`submit/gap/`) nor the ledger's file (`submit/ledger.py`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from pipeline.core.noise import Band
from pipeline.pages import plots
from pipeline.pages.report import MISSING, Thumbnails, render
from pipeline.submit import texts
from pipeline.submit.gap.causes import HARMLESS, Cause, Diagnosis

# The fewest submissions with both scores for which a rank correlation has an interval.
FEWEST = 4
# How many causes the terminal shows.
SHOWN = 3


@dataclass(frozen=True)
class Row:
    """One submission of the ledger.

    Args:
        name, kind, note: as in the ledger.
        oof, low, high: OOF score and its interval; None where there is none.
        public: the host's score, or None.
        looks: how often its private score was looked at.
        band: the range of public − OOF by luck alone; None where unknown.
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
    def verdict(self) -> str:
        """Whether the gap is noise."""
        if self.gap is None or self.band is None:
            return MISSING
        return texts.WITHIN_NOISE if self.band.holds(self.gap) else texts.BEYOND_NOISE


@dataclass(frozen=True)
class Correlation:
    """Spearman's rank correlation with its 95 % interval, over `n` submissions."""

    rho: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Leaderboard:
    """The contents of the page.

    Args:
        title: of the competition.
        metric: its name.
        rows: in the order of the ledger.
        best, why: the name of the best submission and the rule that chose it; empty without one.
        public: the size of the public set, in one sentence.
        diagnosis: of one submission's gap; None without a submission to examine.
    """

    title: str
    metric: str
    rows: tuple[Row, ...]
    best: str
    why: str
    public: str
    diagnosis: Diagnosis | None


def correlation(rows: Sequence[Row]) -> Correlation | None:
    """Rank correlation of OOF and public scores; None for fewer than two, or where one is constant.

    The interval is that of Bonett & Wright (2000), doi:10.1007/BF02294183, for Fisher's z of Spearman's rho;
    it is −1 to 1 for fewer than `FEWEST` submissions. Ties get mean ranks.
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


def correlation_text(measured: Correlation | None) -> str:
    """The rank correlation in one sentence."""
    if measured is None:
        return texts.NO_CORRELATION
    start = texts.CORRELATION.format(rho=measured.rho, n=measured.n)
    if measured.n < FEWEST:
        return texts.CORRELATION_TOO_FEW.format(correlation=start)
    text = texts.CORRELATION_POSITIVE if measured.low > 0 else texts.CORRELATION_UNCLEAR
    return text.format(correlation=start, low=measured.low, high=measured.high)


def table(board: Leaderboard) -> pd.DataFrame:
    """One row per submission, as text."""
    return pd.DataFrame(
        [
            {
                "no": str(number),
                "submission": row.name + (" (best)" if row.name == board.best else ""),
                "kind": row.kind,
                "OOF": _score(row.oof),
                "95 % interval": MISSING
                if row.low is None or row.high is None
                else f"{row.low:.4f} to {row.high:.4f}",
                "public": _score(row.public),
                "public − OOF": MISSING if row.gap is None else f"{row.gap:+.4f}",
                "luck alone": MISSING if row.band is None else f"{row.band.low:+.4f} to {row.band.high:+.4f}",
                "the gap": row.verdict,
                "looks": str(row.looks),
                "note": row.note,
            }
            for number, row in enumerate(board.rows, 1)
        ]
    )


def _score(value: float | None) -> str:
    return MISSING if value is None else f"{value:.4f}"


def lines(board: Leaderboard) -> list[str]:
    """The lines for the terminal."""
    shown = table(board).drop(columns=["no", "looks", "note", "kind"])
    rows = shown.to_string(index=False).splitlines()
    rows.append(board.public)
    rows.append(correlation_text(correlation(board.rows)))
    if board.best:
        rows.append(texts.BEST.format(name=board.best, why=board.why))
    if board.diagnosis is not None:
        causes = board.diagnosis.causes
        name, verdict = board.diagnosis.question.name, board.diagnosis.verdict
        rows.append(texts.GAP_VERDICT.format(name=name, verdict=verdict))
        others = [c for c in causes[1:] if c.found][: SHOWN - 1]
        rows += [texts.NEXT_CAUSE.format(headline=cause.headline) for cause in others]
        if causes[0].answer:
            rows.append(texts.CAUSE_ANSWER.format(answer=causes[0].answer))
    return rows


def causes_table(diagnosis: Diagnosis | None) -> pd.DataFrame:
    """One row per cause, the most likely first: cause, found, effect, headline, answer."""
    columns = ["cause", "found", "effect", "headline", "answer"]
    causes = () if diagnosis is None else diagnosis.causes
    rows = [(c.kind, c.found, c.effect, c.headline, c.answer) for c in causes]
    return pd.DataFrame(rows, columns=columns)


def render_html(board: Leaderboard, thumbnail_px: int) -> str:
    """The self-contained HTML document."""
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
        for number, row in enumerate(board.rows, 1)
        if row.oof is not None and row.public is not None
    ]
    bands = [row.band for row in board.rows if row.band is not None and row.public is not None]
    examined = board.diagnosis.band if board.diagnosis is not None else None
    band = examined or (bands[-1] if bands else None)
    return render(
        "leaderboard.html",
        title=f"{board.title}: submissions",
        board=board,
        table=table(board),
        plot=plots.against(dots, band, board.metric),
        correlation=correlation_text(correlation(board.rows)),
        pill=_pill,
        thumbs=Thumbnails.none(),
        thumbnail_px=thumbnail_px,
    )


def _pill(cause: Cause) -> tuple[str, str]:
    """The CSS class and the word of a cause's pill."""
    if not cause.found:
        return "info", "not found"
    return ("low", "harmless") if cause.kind in HARMLESS else ("high", "found")
