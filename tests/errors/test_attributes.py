"""The attributes section: shares with intervals over groups, and cells that name what a click shows."""

import numpy as np
import pytest
from analyze_cases import SPACE, case, compare_inputs
from test_explore import Tags

from pipeline.core.seeds import rng
from pipeline.errors.diff import attributes
from pipeline.errors.page import analyze, render_html

MADE = case()
INPUTS = compare_inputs(MADE)
FOUND = analyze(INPUTS)
KNOWN = attributes.AttributeInputs(SPACE, FOUND.flips, {}, INPUTS.oof, FOUND.mistakes, MADE.train, 500, 0)


def test_shares_are_counted_by_hand():
    rows = {row.name: row for row in attributes.rows(KNOWN)}
    oof = INPUTS.oof
    y, answer = MADE.train.take(oof.ids_N).labels, oof.labels()
    wrong = y != answer
    for k, a in enumerate(SPACE.attributes):
        code = SPACE.codes_CA[:, k]
        share = rows[a.name].errors
        assert (share.count, share.total) == (int((code[y] != code[answer]).sum()), int(wrong.sum()))
        flips = FOUND.flips.images
        changed = sum(code[o] != code[n] for o, n in zip(flips["old"], flips["new"], strict=True))
        assert (rows[a.name].flips.count, rows[a.name].flips.total) == (changed, len(flips))
        assert share.low <= share.value <= share.high


def test_the_interval_resamples_whole_groups():
    marks = np.repeat(rng(0, "marks").random(60) < 0.5, 7)  # seven photos of one person err alike
    grouped = attributes.share(marks, np.repeat(np.arange(60), 7).astype(str), 1000, 0)
    alone = attributes.share(marks, np.arange(420).astype(str), 1000, 0)
    assert (grouped.high - grouped.low) > 2 * (alone.high - alone.low)
    one = attributes.share(np.array([True, False]), np.array(["a", "a"]), 100, 0)
    assert (one.low, one.high) == (0.0, 1.0), "one group says nothing"


def test_intervals_cover():
    draw, hits = rng(1, "cover"), 0
    for _ in range(200):
        person = draw.random(80) < 0.3
        marks = np.concatenate([np.full(3, mark) for mark in person])
        found = attributes.share(marks, np.repeat(np.arange(80), 3).astype(str), 300, 0)
        hits += found.low <= 0.3 <= found.high
    assert 180 <= hits <= 198


@pytest.fixture(scope="module")
def page() -> str:
    return render_html(FOUND, INPUTS, (attributes.section(KNOWN),))


def test_every_cell_of_flips_names_what_a_click_shows(page):
    found = Tags(page).found
    assert [a["id"] for tag, a in found if tag == "section"][:4] == [
        "verdict",
        "next",
        "differs",
        "attributes",
    ]
    cells = [a for tag, a in found if tag == "button" and "data-attribute" in a and "aria-label" in a]
    named = {(a["data-attribute"], a["data-old"], a["data-new"]) for a in cells}
    rows = FOUND.flips.directions.to_dict("records")
    assert {(r["attribute"], r["old"], r["new"]) for r in rows} <= named
    pairs = {
        (SPACE.classes[old], SPACE.classes[new]) for old, new in FOUND.flips.images[["old", "new"]].values
    }
    assert {(old, new) for name, old, new in named if name == "class"} == pairs
    assert {a["data-attribute"] for a in cells} == {"size", "parity", "class"}
    assert not [name for _, attrs in found for name in attrs if name.startswith("on")]


def test_without_another_submission_and_without_errors_it_says_so():
    bare = attributes.AttributeInputs(SPACE, None, {}, None, None, MADE.train, 100, 0)
    shown = render_html(FOUND, INPUTS, (attributes.section(bare),))
    assert "Errors need out-of-fold predictions" in shown
