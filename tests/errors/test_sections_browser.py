"""Sections of the error report in Chromium, from disk and in a sandbox: filter by a cell, click a CSV."""

import csv
import html
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from analyze_cases import case, compare_inputs, probabilities

from pipeline.errors.diff import attributes, truth
from pipeline.errors.diff.mistakes import find_mistakes
from pipeline.errors.findings import suspects
from pipeline.errors.page import analyze, render_html

pytestmark = pytest.mark.browser

MADE = case()
# A frame may still be loading: what is parsed later would stay folded, and its script not listen yet.
UNFOLD = """async body => {
    if (document.readyState !== 'complete') await new Promise(done => addEventListener('load', done));
    body.querySelectorAll('details.fold').forEach(one => { one.open = true; });
}"""


def page_text() -> str:
    inputs = compare_inputs(MADE)
    train = MADE.train
    new, old = (probabilities(train.ids_N, train.labels, seed, skill=0.8) for seed in (3, 4))
    raw = {a.name: tuple(f"{value}, raw" for value in a.values) for a in train.space.attributes}
    found = suspects.find(new, train)
    answers = analyze(inputs)
    mistakes = find_mistakes(new, train)
    known = attributes.AttributeInputs(train.space, answers.flips, {}, new, mistakes, train, 100, 0)
    sections = (
        attributes.section(known),
        truth.section(truth.TruthInputs(new, old, train, mistakes, 0, 400)),
        suspects.section(
            suspects.SuspectInputs(train.space, found, raw, len(new), False, "data/x", "make train")
        ),
    )
    return render_html(answers, inputs, sections)


@pytest.fixture(params=["file", "sandbox"])
def page(request: Any, browser: Any, tmp_path: Path) -> Iterator[Any]:
    file, text = tmp_path / "page.html", page_text()
    framed = (
        f'<!doctype html><iframe sandbox="allow-scripts" width=1100 height=800 srcdoc="{html.escape(text)}">'
    )
    file.write_text(text if request.param == "file" else framed, encoding="utf-8")
    opened, faults = browser.new_page(viewport={"width": 1180, "height": 900}), []
    opened.on("pageerror", lambda error: faults.append(str(error)))
    opened.on("dialog", lambda dialog: (faults.append(dialog.message), dialog.dismiss()))
    opened.goto(file.as_uri(), wait_until="load")
    shown = opened if request.param == "file" else opened.frame_locator("iframe")
    shown.locator("body").evaluate(UNFOLD)
    yield shown
    assert faults == []
    opened.close()


def visible(page: Any) -> int:
    return int(page.locator("#truth-gallery article:visible").count())


def test_a_cell_shows_its_images_and_all_cells_come_back(page):
    everything = visible(page)
    cell = page.locator("#attributes button[data-part=parity]").first
    cell.focus()
    cell.press("Enter")
    page.locator("#truth-shown", has_text="parity: ").wait_for()
    some = visible(page)
    assert 0 < some == int(cell.text_content()) < everything
    shown = page.locator("#truth-shown").text_content()
    assert shown.startswith(f"{some} of {everything} shown, parity: ") and " → " in shown
    kinds = set(
        page.locator("#truth-gallery article:visible").evaluate_all("nodes => nodes.map(n => n.dataset.kind)")
    )
    assert kinds <= {"broken", "both"}
    page.locator("#truth-clear").click()
    assert visible(page) == everything
    page.locator("#truth-kind").select_option("fixed")
    assert 0 < visible(page) < everything


def test_suspects_become_rows_of_a_csv_and_leave_it_again(page):
    buttons = page.locator("button[data-suspect]")
    for at in (1, 0):
        buttons.nth(at).click()
    area = page.locator("#suspects-csv")
    rows = list(csv.DictReader(io.StringIO(area.input_value())))
    assert len(rows) == 2 and list(rows[0]) == list(suspects.COLUMNS)
    assert all(row["value"].endswith(", raw") and row["id"] for row in rows)
    assert page.locator("#suspects-count").text_content() == "2 rows"
    page.locator("#suspects-select").click()
    assert area.evaluate("area => area.selectionEnd - area.selectionStart") == len(area.input_value())
    buttons.nth(0).click()
    assert (
        len(area.input_value().splitlines()) == 2 and buttons.nth(0).get_attribute("aria-pressed") == "false"
    )


@pytest.mark.parametrize("width", [420, 800, 1280])
def test_the_f1_of_each_class_is_visible_at_every_width(browser, tmp_path, width):
    file = tmp_path / "page.html"
    file.write_text(page_text(), encoding="utf-8")
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.goto(file.as_uri())
    page.locator("body").evaluate(UNFOLD)
    cut = page.evaluate(
        """() => [...document.querySelectorAll('#classes + .grid2 .scroll')].map(box => {
            const f1 = [...box.querySelectorAll('th')].find(th => th.innerText === 'F1');
            return f1.getBoundingClientRect().right - box.getBoundingClientRect().right;
        })"""
    )
    assert cut and max(cut) <= 0
    page.close()
