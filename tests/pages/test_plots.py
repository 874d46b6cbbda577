import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest

from pipeline.pages import plots

SVG = "{http://www.w3.org/2000/svg}"
NAME = 'A & <b>"B"</b>'


def parsed(drawing: str) -> ET.Element:
    """A drawing must be well-formed and labelled for screen readers."""
    figure = ET.fromstring(str(drawing).replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1))
    svg = figure.find(f"{SVG}svg")
    assert svg is not None and svg.get("role") == "img" and svg.get("aria-label")
    return svg


def texts(svg: ET.Element) -> list[str]:
    return [node.text or "" for node in svg.iter(f"{SVG}text")]


def test_bars_have_lengths_in_proportion():
    rows = [
        plots.Bar(NAME, (40.0,), ("40",)),
        plots.Bar("b", (10.0,), ("10",)),
        plots.Bar("c", (0.0,), ("0",)),
    ]
    svg = parsed(plots.bars(rows, f"bars of {NAME}"))
    widths = [float(rect.get("width", "0")) for rect in svg.iter(f"{SVG}rect")]
    assert widths[0] == pytest.approx(4 * widths[1], rel=0.01) and widths[2] == 0
    assert NAME in texts(svg) and svg.get("aria-label") == f"bars of {NAME}"


@pytest.mark.parametrize("length", range(1, 20))
def test_the_longest_name_of_bars_has_the_room_that_was_made_for_it(length):
    names = [str(n % 10) * length for n in range(3)]
    svg = parsed(plots.bars([plots.Bar(name, (n + 1.0,), (str(n),)) for n, name in enumerate(names)], "t"))
    assert set(names) <= set(texts(svg))


def test_bars_of_several_series_have_a_legend_and_zero_rows_draw():
    rows = [plots.Bar("a", (0.0, 0.0), ("0", "0"))]
    svg = parsed(plots.bars(rows, "t", ("before", "after")))
    assert {"before", "after"} <= set(texts(svg))


def test_histogram_bins_share_edges_and_add_up():
    values = {"train": np.linspace(0, 10, 1000), "test": np.array([1.0, 1.0]), "none": np.array([])}
    svg = parsed(plots.histogram(values, "h", "px", bins=10))
    assert len(list(svg.iter(f"{SVG}polygon"))) == 2
    assert {"train", "test", "px", "share of images"} <= set(texts(svg)) and "none" not in texts(svg)


def test_constant_values_and_single_points_draw():
    parsed(plots.histogram({"a": np.full(5, 72.0)}, "h", "px"))
    parsed(plots.curves([plots.Curve("a", [1.0], [2.0])], "c", "x", "y"))
    parsed(plots.whiskers([plots.Whisker("a", 0.5, 0.5, 0.5)], "w"))


def test_empty_drawings_say_so():
    assert plots.bars([], "t") == plots.histogram({}, "h", "x") == plots.EMPTY
    assert plots.curves([], "c", "x", "y") == plots.whiskers([], "w") == plots.EMPTY


@pytest.mark.parametrize("epochs", [1, 2, 3, 7, 15, 30, 1000])
def test_epochs_are_marked_by_whole_numbers(epochs):
    at = [float(n + 1) for n in range(epochs)]
    svg = parsed(plots.curves([plots.Curve("loss", at, [1 / x for x in at])], "t", "epoch", "loss"))
    under = [n.text for n in svg.iter(f"{SVG}text") if n.get("class") == "mid tiny"]
    assert under and all(text.replace(",", "").isdigit() for text in under)


def test_curves_rise_upwards():
    svg = parsed(plots.curves([plots.Curve("f", [0.0, 1.0], [0.2, 0.9])], "c", "x", "y", identity=True))
    low, high = (float(c.get("cy", "0")) for c in svg.iter(f"{SVG}circle"))
    assert high < low


def test_whiskers_put_zero_on_the_axis_of_differences():
    row = plots.Whisker(NAME, 0.02, 0.01, 0.03)
    assert 'class="guide"' in plots.whiskers([row], "w", zero=True)
    svg = parsed(plots.whiskers([row], "w", zero=True))
    assert "+0.0200" in texts(svg) and "0" in texts(svg)


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0.68, 0.71), (-3, 1200), (5, 5)])
def test_ticks_are_inside_and_even(low, high):
    marks = plots.ticks(low, high)
    assert marks and all(low - 1e-9 <= mark <= high + 1e-9 for mark in marks)
    assert len(marks) <= 11 and np.allclose(np.diff(marks, n=2), 0)


def test_hangul_counts_as_wide_and_is_cut_to_fit():
    assert plots.text_width("홀수") > plots.text_width("ab")
    cut = plots.shorten("아주 긴 이름의 클래스", 60)
    assert cut.endswith("…") and plots.text_width(cut) <= 60
    lines = plots.wrap("Smileys and Emotion by a distant artist", 120)
    assert len(lines) == 2 and all(plots.text_width(line) <= 120 for line in lines)


@pytest.mark.browser
def test_no_text_of_a_row_with_its_interval_is_cut_off(browser):
    rows = [
        plots.Whisker("emoji-ensemble-8bd0cc (new)", 0.5689, 0.545, 0.5898),
        plots.Whisker("features_mlp_224 images.size=256", -1234.5, -1240.0, 900.0),
    ]
    style = (Path(plots.__file__).parent / "templates" / "style.css").read_text(encoding="utf-8")
    for drawing in [plots.whiskers([row], "w", zero=zero) for row in rows for zero in (False, True)]:
        page = browser.new_page()
        page.set_content(f'<style>{style}</style><div class="plot">{drawing}</div>')
        cut = page.evaluate(
            "[...document.querySelectorAll('svg text')].filter((one) => {"
            " const own = one.getBoundingClientRect(), all = one.ownerSVGElement.getBoundingClientRect();"
            " return own.left < all.left - 1 || own.right > all.right + 1; }).map((one) => one.textContent)"
        )
        page.close()
        assert cut == []
