"""Both reports in a real browser: filter, sandbox, no errors, no requests, phone width."""

import html
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from analyze_cases import HOSTILE, case, compare_inputs, explore_inputs
from test_preview import preview_inputs

from pipeline.eda import page as explore
from pipeline.errors.page import analyze, render_html
from pipeline.resample import preview_page

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("reports")
    made = case()
    eda, errors = explore_inputs(made), compare_inputs(made)
    pages = {
        "explore": explore.render_html(explore.explore(eda), eda),
        "compare": render_html(analyze(errors), errors),
        "preview": preview_page.render_html(preview_inputs()),
    }
    files = {}
    for name, page in pages.items():
        files[name] = folder / f"{name}.html"
        files[name].write_text(page, encoding="utf-8")
        # As the MLflow UI shows a report: scripts only, an origin of its own.
        framed = (
            f'<iframe sandbox="allow-scripts" width=900 height=700 srcdoc="{html.escape(page)}"></iframe>'
        )
        files[f"{name} framed"] = folder / f"{name}_framed.html"
        files[f"{name} framed"].write_text(f"<!doctype html>{framed}", encoding="utf-8")
    return files


@pytest.fixture
def opened(browser: Any, reports: dict[str, Path]) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 1180, "height": 900}, reduced_motion="reduce")
    faults: list[str] = []

    def open_page(name: str, **viewport: int) -> Any:
        page = context.new_page()
        if viewport:
            page.set_viewport_size(viewport)
        page.on("console", lambda message: faults.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: faults.append(f"error: {error}"))
        page.on("dialog", lambda dialog: (faults.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        allowed = reports[name].as_uri()
        page.on(
            "request",
            lambda request: (
                None
                if request.url.startswith(("data:", "about:")) or request.url == allowed
                else faults.append(f"request: {request.url}")
            ),
        )
        page.goto(allowed, wait_until="load")
        return page

    yield open_page
    context.close()
    assert faults == []


def unfold(frame: Any) -> None:
    """Open everything that is folded."""
    frame.locator("body").evaluate("b => b.querySelectorAll('details.fold').forEach(d => { d.open = true; })")


def shown_cards(frame: Any) -> list[str]:
    return frame.locator("article.flip:visible").evaluate_all("nodes => nodes.map(n => n.dataset.id)")


def top_of(frame: Any, place: str) -> float:
    return float(frame.locator(place).evaluate("node => node.getBoundingClientRect().top"))


def use_the_filter(frame: Any) -> None:
    unfold(frame)
    everything = shown_cards(frame)
    frame.locator("#attribute").select_option("parity")
    of_parity = shown_cards(frame)
    assert 0 < len(of_parity) < len(everything)
    options = frame.locator("#direction option")
    text = options.nth(1).inner_text()
    frame.locator("#direction").select_option(index=1)
    assert text.endswith(f"({len(shown_cards(frame))})")
    assert frame.locator("#shown").inner_text() == f"{len(shown_cards(frame))} of {len(everything)} shown"
    frame.locator("#attribute").select_option("")
    frame.locator("#sort").select_option("unsure")
    assert shown_cards(frame) != everything and sorted(shown_cards(frame)) == sorted(everything)
    frame.locator("#sort").select_option("gap")
    assert shown_cards(frame) == everything
    frame.get_by_role("button", name="Show these images").click()
    assert 0 < len(shown_cards(frame)) < len(everything)


def test_the_finding_is_in_sight_and_the_rest_is_folded_until_something_leads_to_it(opened):
    page = opened("compare")
    words = len(page.locator("main").inner_text().split())
    assert page.locator("#verdict, #next, #differs").count() == 3 and page.locator("#verdict").is_visible()
    assert page.locator("#verdict .thumb").count() > 0 and shown_cards(page) == []
    page.locator("nav a[href='#flips']").click()
    assert shown_cards(page) and page.locator("#truth details.fold[open]").count() == 0
    unfold(page)
    assert len(page.locator("main").inner_text().split()) > 2 * words


def test_a_button_opens_what_it_shows(opened):
    page = opened("compare")
    page.get_by_role("button", name="Show these images").click()
    assert shown_cards(page)


def test_filter_and_sort_work(opened):
    use_the_filter(opened("compare"))


def test_filter_works_in_a_sandboxed_frame(opened):
    use_the_filter(opened("compare framed").frame_locator("iframe"))


@pytest.mark.parametrize("name", ["explore", "compare", "preview"])
def test_pictures_are_drawn_and_hostile_names_are_read(opened, name):
    page = opened(name)
    unfold(page)
    drawn = page.locator(".thumb").evaluate_all(
        "n => n.map(x => getComputedStyle(x).backgroundImage.slice(0, 16))"
    )
    assert drawn and set(drawn) == {'url("data:image/'}
    assert HOSTILE[1 if name == "compare" else 0] in page.locator("h1").inner_text()
    assert page.evaluate("document.querySelectorAll('img, main script').length") == 0


def test_the_data_report_works_framed(opened):
    frame = opened("explore framed").frame_locator("iframe")
    assert top_of(frame, "#sheets") > 700
    frame.get_by_role("link", name="Contact sheets").first.click()
    frame.locator("#sheets:focus").wait_for(timeout=5000)
    assert -5 <= top_of(frame, "#sheets") < 200


@pytest.mark.parametrize("name", ["explore", "compare", "preview"])
def test_nothing_hangs_over_at_phone_width(opened, name):
    page = opened(name, width=375, height=800)
    unfold(page)
    over = page.evaluate(
        """() => Array.from(document.querySelectorAll('main > section'), section => {
            const edge = section.getBoundingClientRect().right;
            return Array.from(section.querySelectorAll(':scope *')).filter(node =>
                !node.closest('.plot, .scroll') && node.getBoundingClientRect().right > edge + 1).length;
        }).reduce((a, b) => a + b, 0)"""
    )
    assert over == 0 and page.evaluate("document.documentElement.scrollWidth") <= 375


def test_an_injected_handler_would_not_run(browser, reports, tmp_path):
    """The second fence: even if escaping failed, the content policy stops a foreign script."""
    bad = "<button id=bad onclick='document.title=1'>x</button><script>document.title=2</script></main>"
    target = tmp_path / "broken.html"
    whole = reports["compare"].read_text(encoding="utf-8")
    target.write_text(whole.replace("</main>", bad), encoding="utf-8")
    page = browser.new_page()
    page.goto(target.as_uri())
    page.locator("#bad").click()
    assert page.title().startswith("digits")
    page.close()
