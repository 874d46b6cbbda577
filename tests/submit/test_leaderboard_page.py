"""The leaderboard's page and lines: scores, gaps and ranks; hostile names stay text."""

import numpy as np
import pytest
from translated_world import MARKED, add_marked, untranslated

from pipeline.core import language
from pipeline.core.language import say
from pipeline.core.statistics import Band
from pipeline.submit import page as pages
from pipeline.submit import texts
from pipeline.submit.gap.scene import Cause, Diagnosis, Question
from pipeline.submit.ledger import Entry

BAND = Band(-0.03, 0.03, 0.015, 50)
HOSTILE = "<script>alert(1)</script>"


def row(name, oof, public, band=BAND):
    low, high = (None, None) if oof is None else (oof - 0.02, oof + 0.02)
    entry = Entry(
        name, "2026-11-22T09:30:00+00:00", "member", oof=oof, oof_low=low, oof_high=high, public=public
    )
    return pages.Row(entry, band)


def page(*rows, diagnosis=None):
    return pages.Leaderboard("T", "macro_f1", rows, rows[0].entry.name, "why", "Public set: 9.", diagnosis)


def test_a_gap_is_within_or_beyond_the_noise():
    assert row("a", 0.7, 0.69).verdict == "within noise"
    assert row("a", 0.7, 0.6).verdict == "larger than noise"
    assert row("a", 0.7, None).verdict == "–" and row("a", None, 0.6).verdict == "–"


def test_rank_correlation_with_its_uncertainty():
    up = [row(str(k), 0.5 + k / 100, 0.4 + k / 50) for k in range(12)]
    found = pages.correlation(up)
    assert found.rho == pytest.approx(1) and found.low > 0.9 and "in the same order as the host" in _words(up)
    draw = np.random.default_rng(0)
    mixed = [row(str(k), x, y) for k, (x, y) in enumerate(draw.random((8, 2)))]
    found = pages.correlation(mixed)
    assert (
        found.low < found.rho < found.high
        and found.low < 0
        and "the submissions are too few or too similar" in _words(mixed)
    )
    assert pages.correlation(up[:3]).low == -1 and "too few for a conclusion" in _words(up[:3])
    ties = [row("a", 0.5, 0.5), row("b", 0.5, 0.6)]
    assert pages.correlation(ties) is None and pages.correlation([]) is None


def test_the_interval_of_the_rank_correlation_covers():
    """Normal pairs with Pearson .6, whose Spearman is 6/π · asin(.3)."""
    draw, inside = np.random.default_rng(1), 0
    truth = 6 / np.pi * np.arcsin(0.3)
    for _ in range(300):
        x, e = draw.normal(size=(2, 15))
        rows = [row("r", a, b) for a, b in zip(x, 0.6 * x + 0.8 * e, strict=True)]
        found = pages.correlation(rows)
        inside += found.low <= truth <= found.high
    assert 275 <= inside <= 298


def test_lines_and_page_say_the_cause_and_stay_harmless():
    causes = (
        Cause("label_shift", True, "Classes moved.", "counted", "Correct with `x=1`.", -0.1),
        Cause("transform", False, "No.", "undid", "Nothing to do."),
    )
    told = Diagnosis(Question(HOSTILE, 0.7, 0.6, 50), BAND, 0.001, causes)
    found = page(row(HOSTILE, 0.7, 0.6), row("b", 0.6, 0.6), row("c", None, None, None), diagnosis=told)
    lines = "\n".join(pages.lines(found))
    assert "Classes moved." in lines and "larger than noise" in lines and "do: Correct" in lines
    html = pages.render_html(found, 64)
    assert HOSTILE not in html and "<code>x=1</code>" in html and html.count("<circle") == 2
    assert 'class="pill high">found' in html and 'class="pill info">not found' in html
    assert pages.causes_table(told)["cause"].tolist() == ["label_shift", "transform"]


@pytest.mark.slow
def test_the_page_says_everything_in_the_language_of_its_reader(tmp_path, monkeypatch):
    add_marked(tmp_path)
    monkeypatch.setattr(language, "FOLDER", tmp_path)
    causes = (
        Cause("label_shift", True, texts.NO_SELECTION, texts.SELECTION_HOW, texts.SELECTION_ANSWER, -0.1),
        Cause("transform", False, texts.NO_TRANSFORM, texts.SHIFT_IMPOSSIBLE, texts.NOTHING_TO_DO),
    )
    told = Diagnosis(Question("a1", 0.7, 0.6, 50), BAND, 0.001, causes)
    board = page(row("a1", 0.7, 0.6), row("b2", 0.6, 0.6), diagnosis=told)
    html = pages.render_html(board, 64, MARKED)
    data = {"why", "Public set: 9.", "a1", "a1 (best)", "b2", "T", "OOF"}
    plot = ("macro_f1", "luck:", "public 0.", "Podium")
    rest = [part for part in untranslated(html) if part not in data]
    assert [part for part in rest if not any(word in part for word in plot)] == []


def test_the_verdict_of_each_gap_is_in_the_language_of_the_reader():
    board = page(row("a1", 0.7, 0.6), row("b2", 0.6, 0.6))
    rows = pages.lines(board)[:3]
    assert len({len(line) for line in rows}) == 1, "in English the columns stand below each other"
    korean = [say(line, "ko") for line in rows]
    assert korean[1].endswith(say(texts.BEYOND_NOISE, "ko")) and korean[2].endswith(
        say(texts.WITHIN_NOISE, "ko")
    )


def test_no_public_score_and_no_diagnosis_still_make_a_page():
    found = page(row("a", 0.7, None))
    assert "Nothing to draw" in pages.render_html(found, 64)
    assert any("needs at least two" in line for line in pages.lines(found))


def _words(rows):
    return pages.correlation_text(pages.correlation(rows))


@pytest.mark.parametrize(("gap", "inside"), [(0.02, True), (0.06, False), (-0.02, True), (-0.06, False)])
def test_a_leak_is_not_called_the_reason_of_a_gap_in_the_other_direction(gap, inside):
    """A leak makes out-of-fold scores too optimistic, so it cannot lift the public score above them."""
    leak = Cause("group_leak", True, "Out-of-fold scores are too optimistic.", "how", "answer", None, -1)
    found = Diagnosis(Question("a", 0.70, 0.70 + gap, 50), BAND, 0.5, (leak,)).verdict
    assert ("the other way" in found) == (gap > 0)
    assert ("Luck alone can give this gap" in found) == inside and "needs no explanation" not in found


def test_the_gap_of_another_submission_than_the_best_says_why_it_is_examined():
    seen, best = row("seen", 0.60, 0.61), row("best", 0.70, None)
    asked = Diagnosis(Question("seen", 0.60, 0.61, 50), BAND, 0.5, (Cause("noise", True, "x", "y", "z"),))
    board = pages.Leaderboard("T", "macro_f1", (seen, best), "best", "why", "Public set: 9.", asked)
    assert any(
        "seen, whose gap is examined because the best has no public score" in t for t in pages.lines(board)
    )
    html = pages.render_html(board, 96)
    assert "whose gap is examined" in html
