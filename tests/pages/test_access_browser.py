"""Every page for everyone: names for what a screen reader meets, contrast in both themes, the keyboard."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from every_page import pages

pytestmark = pytest.mark.browser

PIPELINE = Path(__file__).resolve().parents[2] / "pipeline"
TEMPLATES = sorted(
    path.stem
    for path in PIPELINE.rglob("templates/*.html")
    if re.search(r"\{% extends .base", path.read_text(encoding="utf-8"))
)
PAGES = (*TEMPLATES, "compare columns")
# axe-core: all rules of WCAG 2.2 A and AA, and its best practices; one line per fault.
VIOLATIONS = """() => axe.run(document, { resultTypes: ['violations'] }).then((found) =>
  found.violations.flatMap((rule) => rule.nodes.map((node) =>
    `${rule.id}: ${node.html.slice(0, 120)}: ${node.any.concat(node.all, node.none)[0]?.message}`)))"""
UNFOLD = "() => document.querySelectorAll('details').forEach((one) => { one.open = true; })"
# What we ask beyond axe: pictures that say something, tables with scopes, ids that are there once.
UNNAMED = """() => {
  const faults = [];
  const tell = (what, node) => faults.push(what + ': ' + node.outerHTML.slice(0, 120));
  for (const node of document.querySelectorAll('img[alt=""]')) tell('no alternative text', node);
  for (const node of document.querySelectorAll('th'))
    if (!node.getAttribute('scope') || !node.textContent.trim()) tell('no scope or text', node);
  const ids = [...document.querySelectorAll('[id]')].map((node) => node.id);
  const twice = ids.filter((id, at) => ids.indexOf(id) < at);
  for (const id of new Set(twice)) faults.push('id twice: ' + id);
  if (!document.querySelector('.skip')) faults.push('no way past');
  return faults;
}"""
# Texts with less contrast than WCAG 2.2 AA asks (3 if large, else 4.5). axe leaves texts open that it finds
# partly covered, such as the menu that stays in sight; this one looks at the nearest background.
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


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("access")
    made = {}
    for name, text in pages(folder).items():
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
    page.evaluate(AXE_SCRIPT)
    assert page.evaluate(VIOLATIONS) == []
    assert page.evaluate(UNNAMED) == []
    assert page.evaluate(FAINT) == []


def test_the_panel_for_judging_is_no_worse(opened):
    page = opened("compare")
    page.locator("#judge-start").click()
    assert page.locator("#judge-panel").is_visible()
    page.evaluate(AXE_SCRIPT)
    assert page.evaluate(VIOLATIONS.replace("document", "'#judge-panel'")) == []
    assert page.evaluate(FAINT) == []


def test_every_template_of_a_page_is_among_them(files):
    assert set(files) == set(PAGES) and len(TEMPLATES) > 10


def test_planted_faults_are_found(opened):
    page = opened("home")
    planted = (
        "<button></button><img src='data:,'><table><tr><th>x</th></tr></table><i id=twice></i>"
        "<b id=twice></b><h4>deep</h4><p style='color:#888;background:#777'>faint</p>"
    )
    page.evaluate("text => document.querySelector('main').insertAdjacentHTML('beforeend', text)", planted)
    assert len(page.evaluate(UNNAMED)) == 2
    page.evaluate(AXE_SCRIPT)
    rules = {fault.partition(":")[0] for fault in page.evaluate(VIOLATIONS)}
    assert {"button-name", "image-alt", "heading-order", "color-contrast"} <= rules
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
