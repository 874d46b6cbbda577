"""The leaderboard: the ledger as a table, a plot and a diagnosis, for the terminal and as a page.

Owns the rank correlation and the layout. Does not own the noise (`core/statistics.py`), the diagnosis
(`submit/gap/`) nor the ledger's file (`submit/ledger.py`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from pipeline.core.language import ENGLISH, Text, recalled, say
from pipeline.core.statistics import Band
from pipeline.core.wording import worded
from pipeline.infer.texts import REFIT_SCORE
from pipeline.pages import plots, text_table
from pipeline.pages.report import MISSING, Thumbnails, render
from pipeline.submit import texts
from pipeline.submit.gap.scene import HARMLESS, Cause, Diagnosis
from pipeline.submit.ledger import Entry

# The fewest submissions with both scores for which a rank correlation has an interval.
FEWEST = 4
# How many causes the terminal shows.
SHOWN = 3


@dataclass(frozen=True)
class Row:
    """One submission of the ledger.

    Args:
        entry: of the ledger.
        band: the range of public − OOF by luck alone; None where unknown.
        same: the name of an earlier submission with the same file; empty: there is none.
    """

    entry: Entry
    band: Band | None
    same: str = ""

    @property
    def gap(self) -> float | None:
        """Public − OOF."""
        oof, public = self.entry.oof, self.entry.public
        return None if oof is None or public is None else public - oof

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
    both = [(r.entry.oof, r.entry.public) for r in rows if r.gap is not None]
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
    start = worded(texts.CORRELATION, rho=measured.rho, n=measured.n)
    if measured.n < FEWEST:
        return texts.CORRELATION_TOO_FEW.format(correlation=start)
    text = texts.CORRELATION_POSITIVE if measured.low > 0 else texts.CORRELATION_UNCLEAR
    return text.format(correlation=start, low=measured.low, high=measured.high)


def table(board: Leaderboard, language: str = ENGLISH) -> pd.DataFrame:
    """One row per submission, as text; ranges are in the words of a language."""

    def between(form: str, low: float | None, high: float | None) -> str:
        low_text, high_text = _numbers(form, low), _numbers(form, high)
        known = MISSING not in (low_text, high_text)
        return say(texts.RANGE.format(low=low_text, high=high_text), language) if known else MISSING

    rows = []
    for number, row in enumerate(board.rows, 1):
        e, band = row.entry, row.band
        cells = {
            "no": str(number),
            "submission": texts.BEST_MARKED.format(name=e.name) if e.name == board.best else e.name,
            "kind": e.kind,
            "run": e.experiment or MISSING,
            "OOF": _numbers("{:.4f}", e.oof),
            "95 % interval": between("{:.4f}", e.oof_low, e.oof_high),
            "public": _numbers("{:.4f}", e.public),
            "public − OOF": _numbers("{:+.4f}", row.gap),
            "luck alone": MISSING if band is None else between("{:+.4f}", band.low, band.high),
            "the gap": row.verdict,
            "looks": str(e.looks),
            "note": say(recalled(e.note, REFIT_SCORE), language),
        }
        rows.append(cells)
    return pd.DataFrame(rows)


def _numbers(form: str, *values: float | None) -> str:
    return MISSING if None in values else form.format(*values)


def lines(board: Leaderboard) -> list[str]:
    """The lines for the terminal."""
    shown = table(board).drop(columns=["no", "looks", "note", "kind", "run", "the gap"])
    told = zip(shown.itertuples(index=False, name=None), (row.verdict for row in board.rows), strict=True)
    head = [*map(Text, shown.columns), texts.GAP_COLUMN]
    rows = text_table.lines([head, *([*(recalled(c, texts.RANGE) for c in row), v] for row, v in told)])
    rows.append(board.public)
    rows.append(correlation_text(correlation(board.rows)))
    rows += same_lines(board)
    if board.best:
        rows.append(texts.BEST.format(name=board.best, why=board.why))
    if board.diagnosis is not None:
        causes = board.diagnosis.causes
        rows.append(texts.GAP_VERDICT.format(examined=examined(board), verdict=board.diagnosis.verdict))
        others = [c for c in causes[1:] if c.found][: SHOWN - 1]
        rows += [texts.NEXT_CAUSE.format(headline=cause.headline) for cause in others]
        if causes[0].answer:
            rows.append(texts.CAUSE_ANSWER.format(answer=causes[0].answer))
    return rows


def same_lines(board: Leaderboard) -> list[str]:
    """One line for each submission that is the same file as an earlier one."""
    return [texts.SAME_FILE.format(name=r.entry.name, other=r.same) for r in board.rows if r.same]


def examined(board: Leaderboard) -> str:
    """Whose gap is examined, and why that one where it is not the best."""
    assert board.diagnosis is not None, "nothing is examined"
    name = board.diagnosis.question.name
    unseen = {r.entry.name for r in board.rows if r.gap is None}
    instead = board.best in unseen and name not in unseen
    return texts.EXAMINED_INSTEAD.format(name=name) if instead else name


def causes_table(diagnosis: Diagnosis | None) -> pd.DataFrame:
    """One row per cause, the most likely first: cause, found, effect, headline, answer."""
    columns = ["cause", "found", "effect", "headline", "answer"]
    causes = () if diagnosis is None else diagnosis.causes
    rows = [(c.kind, c.found, c.effect, str(c.headline), str(c.answer)) for c in causes]
    return pd.DataFrame(rows, columns=columns)


def render_html(board: Leaderboard, thumbnail_px: int, language: str = ENGLISH) -> str:
    """The self-contained HTML document."""
    dots = [
        plots.Dot(
            str(number),
            e.name,
            e.oof,
            e.oof if e.oof_low is None else e.oof_low,
            e.oof if e.oof_high is None else e.oof_high,
            e.public,
            row.band is None or row.band.holds(e.public - e.oof),
        )
        for number, row in enumerate(board.rows, 1)
        if (e := row.entry).oof is not None and e.public is not None
    ]
    bands = [row.band for row in board.rows if row.band is not None and row.entry.public is not None]
    drawn = board.diagnosis.band if board.diagnosis is not None else None
    band = drawn or (bands[-1] if bands else None)
    return render(
        "leaderboard.html",
        language=language,
        title=say(texts.LEADERBOARD_TITLE.format(title=board.title), language),
        board=board,
        table=table(board, language),
        plot=plots.against(dots, band, board.metric),
        correlation=correlation_text(correlation(board.rows)),
        same=same_lines(board),
        examined="" if board.diagnosis is None else examined(board),
        pill=_pill,
        thumbs=Thumbnails.none(),
        thumbnail_px=thumbnail_px,
    )


def _pill(cause: Cause) -> tuple[str, str]:
    """The CSS class and the word of a cause's pill."""
    if not cause.found:
        return "info", texts.CAUSE_NOT_FOUND
    return ("low", texts.CAUSE_HARMLESS) if cause.kind in HARMLESS else ("high", texts.CAUSE_FOUND)
