"""Every page for everyone: names for what a screen reader meets, contrast in both themes, the keyboard."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from analyze_cases import case, compare_inputs, explore_inputs, probabilities
from home_world import whole
from test_gallery import page as gallery_page
from test_preview import preview_inputs

from pipeline.eda import page as explore
from pipeline.errors.diff import attributes, truth
from pipeline.errors.diff.mistakes import find_mistakes
from pipeline.errors.page import analyze, render_html
from pipeline.home import page as home_page
from pipeline.home.facts import Competition
from pipeline.home.page import Place
from pipeline.resample import preview_page

pytestmark = pytest.mark.browser

PAGES = ("explore", "compare", "preview", "gallery", "home")
UNFOLD = "() => document.querySelectorAll('details').forEach((one) => { one.open = true; })"
# What must be empty: sentences about elements without a name, tables without scopes, repeated ids.
UNNAMED = """() => {
  const faults = [];
  const named = (node) => (node.getAttribute('aria-label') || node.getAttribute('title') || node.alt ||
    node.textContent || node.closest('label')?.textContent || '').trim();
  const tell = (what, node) => faults.push(what + ': ' + node.outerHTML.slice(0, 120));
  const pictures = document.querySelectorAll('img:not([alt]), img[alt=""]');
  for (const node of pictures) tell('no alternative text', node);
  const met = 'a, button, select, input, textarea, summary, [role=img], progress';
  for (const node of document.querySelectorAll(met))
    if (!named(node) && !node.labels?.length) tell('no name', node);
  for (const node of document.querySelectorAll('th'))
    if (!node.getAttribute('scope') || !node.textContent.trim()) tell('no scope or text', node);
  const ordered = [...document.querySelectorAll('[tabindex]')].filter((node) => node.tabIndex > 0);
  for (const node of ordered) tell('its own order', node);
  const ids = [...document.querySelectorAll('[id]')].map((node) => node.id);
  const twice = ids.filter((id, at) => ids.indexOf(id) < at);
  for (const id of new Set(twice)) faults.push('id twice: ' + id);
  const levels = [...document.querySelectorAll('h1, h2, h3, h4')].map((node) => Number(node.tagName[1]));
  levels.forEach((level, at) => {
    if (at && level > levels[at - 1] + 1) faults.push('a level of headings is left out');
  });
  if (!document.documentElement.lang) faults.push('no language');
  if (!document.querySelector('main') || !document.querySelector('.skip')) faults.push('no way past');
  return faults;
}"""
# The lowest contrasts of text, as text; large text may have 3, other text 4.5 (WCAG 2.2 AA).
FAINT = """() => {
  const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const linear = (v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => 0.2126 * linear(r / 255) + 0.7152 * linear(g / 255) + 0.0722 * linear(b / 255);
  const behind = (node) => {
    for (let one = node; one; one = one.parentElement) {
      const found = rgba(getComputedStyle(one).backgroundColor);
      if (found[3] === 255) return found;
    }
    return [255, 255, 255];
  };
  const faults = new Set();
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const node = walk.currentNode.parentElement;
    const out = 'script, style, svg, noscript, .skip, button:disabled, [aria-hidden]';
    if (!walk.currentNode.data.trim() || node.closest(out)) continue;
    const style = getComputedStyle(node), box = node.getBoundingClientRect();
    if (!box.width || style.visibility === 'hidden' || Number(style.opacity) < 1) continue;
    const [one, other] = [light(rgba(style.color)), light(behind(node))].sort((a, b) => b - a);
    const ratio = (one + 0.05) / (other + 0.05), size = parseFloat(style.fontSize);
    const least = size >= 24 || (size >= 18.6 && Number(style.fontWeight) >= 700) ? 3 : 4.5;
    if (ratio < least) faults.add(ratio.toFixed(2) + ': ' + node.outerHTML.slice(0, 100));
  }
  return [...faults];
}"""


def texts(folder: Path) -> dict[str, str]:
    """The pages of every room that has one of its own, on small data."""
    made = case()
    eda, errors, train = explore_inputs(made), compare_inputs(made), made.train
    new, old = (probabilities(train.ids_N, train.labels, seed, skill=0.8) for seed in (3, 4))
    found = analyze(errors)
    mistakes = find_mistakes(new, train)
    known = attributes.AttributeInputs(train.space, found.flips, {}, new, mistakes, train, 100, 0)
    sections = (
        attributes.section(known),
        truth.section(truth.TruthInputs(new, old, train, mistakes, 0, 400)),
    )
    return {
        "explore": explore.render_html(explore.explore(eda), eda),
        "compare": render_html(found, errors, sections),
        "preview": preview_page.render_html(preview_inputs()),
        "gallery": gallery_page(),
        "home": home_page.html(Place(whole(folder / "home"), "pets"), [Competition("pets", "Cats and dogs")]),
    }


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("access")
    made = {}
    for name, text in texts(folder).items():
        made[name] = folder / f"{name}.html"
        made[name].write_text(text, encoding="utf-8")
    return made


@pytest.fixture(params=["light", "dark"])
def opened(request: Any, browser: Any, files: dict[str, Path]) -> Iterator[Any]:
    context = browser.new_context(
        viewport={"width": 1180, "height": 900}, color_scheme=request.param, reduced_motion="reduce"
    )

    def open_page(name: str) -> Any:
        page = context.new_page()
        page.goto(files[name].as_uri(), wait_until="load")
        page.evaluate(UNFOLD)
        return page

    yield open_page
    context.close()


@pytest.mark.parametrize("name", PAGES)
def test_everything_has_a_name_and_text_can_be_read_in_both_themes(opened, name):
    page = opened(name)
    assert page.evaluate(UNNAMED) == []
    assert page.evaluate(FAINT) == []


def test_planted_faults_are_found(opened):
    page = opened("home")
    planted = (
        "<button></button><img src='data:,'><table><tr><th>x</th></tr></table><i id=twice></i>"
        "<b id=twice></b><h4>deep</h4><p style='color:#888;background:#777'>faint</p>"
    )
    page.evaluate("text => document.querySelector('main').insertAdjacentHTML('beforeend', text)", planted)
    assert len(page.evaluate(UNNAMED)) == 5
    assert ["faint" in fault for fault in page.evaluate(FAINT)] == [True]


@pytest.mark.parametrize("name", PAGES)
def test_the_first_tab_leads_past_the_menu_and_focus_is_visible(browser, files, name):
    page = browser.new_page(viewport={"width": 1180, "height": 900})
    page.goto(files[name].as_uri())
    page.keyboard.press("Tab")
    focused = "document.activeElement"
    assert page.evaluate(f"{focused}.classList.contains('skip')")
    page.keyboard.press("Enter")
    assert page.evaluate(f"{focused}.id") == "content"
    page.keyboard.press("Tab")
    style = page.evaluate(f"getComputedStyle({focused}).outlineStyle")
    assert style != "none"
    page.close()


def test_folds_open_with_the_keyboard(browser, files):
    page = browser.new_page()
    page.goto(files["compare"].as_uri())
    summary = page.locator("details.fold > summary").first
    summary.focus()
    page.keyboard.press("Enter")
    assert page.locator("details.fold").first.get_attribute("open") is not None
    page.close()
