"""The gallery as a page: hostile texts stay texts; pictures, tables, clouds; and in Chromium."""

import numpy as np
import pytest
from markupsafe import Markup

from pipeline.pages import gallery
from pipeline.pages.gallery import Cloud, Drawing, Gallery, GalleryRow, GalleryTable, Panel, Picture

HOSTILE = "</script><img src=x onerror=alert(1)>"


def pixels(side=40, rng=None):
    return (rng or np.random.default_rng(0)).integers(0, 255, (side, side, 3)).astype(np.uint8)


def page():
    rng = np.random.default_rng(1)
    rows = tuple(
        GalleryRow(f"train/{n}", f"train/{n} {HOSTILE}", tuple(Picture(f"p{i}", f"caption {i} {HOSTILE}",
            pixels(rng=rng),
            group="" if i == 0 else f"group {i % 2}") for i in range(5)), HOSTILE, f"train/{n}")
        for n in range(3)
    )  # fmt: skip
    cloud = Cloud(
        f"axes mean nothing {HOSTILE}",
        tuple(f"train/{n}" for n in range(60)),
        rng.normal(size=(60, 2)).astype(np.float32),
        {"class": tuple(f"c{n % 12} {HOSTILE}" for n in range(60)), "error": ("right", "wrong") * 30},
        tuple(pixels(24, rng) for _ in range(60)),
    )
    table = GalleryTable("Figures", ("name", "value"), ((HOSTILE, 0.123), ("none", None)), "how to `read` it")
    drawing = Drawing(HOSTILE, Markup('<svg viewBox="0 0 4 4"><title>four</title></svg>'))
    first = Panel("cam", "Maps", "Lead.", rows, (table,), warnings=(HOSTILE,), notes=(HOSTILE,))
    second = Panel("map", "Map", "Lead.", drawings=(drawing,), clouds=(cloud,))
    cases = tuple((row.case, row.title) for row in rows)
    return gallery.render_html(Gallery("Title", "Lead", (("one", "make explain"),), (first, second), cases))


def test_hostile_texts_stay_texts_and_nothing_is_loaded():
    text = page()
    assert "<img src=x" not in text and "&lt;img src=x" in text
    assert text.count('src="data:image/webp') == 15 + 3, "three cases, each with a leading picture"
    assert "https:" not in text and "http:" not in text.replace("http://www.w3.org/2000/svg", "")
    # Pictures of one group stand together, in the order of the page.
    assert text.index("group 1") < text.index("group 0") and text.count("<h4>group 1</h4>") == 3
    assert "0.123" in text and "Warning:" in text and "<code>read</code>" in text


def test_the_most_telling_pictures_lead_by_turns_and_empty_maps_are_named_only():
    def row(name, *pictures):
        return GalleryRow(
            name,
            name,
            tuple(Picture(n, f"{name} {n}", np.zeros((40, 40, 3), np.uint8), "", "", s) for n, s in pictures),
        )

    first = Panel(
        "cam", "A", "Lead.", tuple(row(f"c{n}", ("image", True), ("map", n != 1)) for n in range(4))
    )
    second = Panel(
        "occlusion", "B", "Lead.", (row("d0", ("image", True), ("random", True), ("hides", True)),)
    )
    empty = Panel("filters", "C", "Lead.")
    told = [
        (one.panel.name, one.row.name, one.picture.name) for one in gallery.telling((first, second, empty))
    ]
    assert told == [
        ("cam", "c0", "map"),
        ("occlusion", "d0", "hides"),
        ("cam", "c2", "map"),
        ("cam", "c3", "map"),
    ]
    text = gallery.render_html(Gallery("Title", "Lead", (), (first, second, empty)))
    assert "Not shown: c1 map." in text and text.count("<figcaption>c1 map") == 0
    tiny = Panel(
        "filters", "C", "", (GalleryRow("f", "f", (Picture("p", "p", np.zeros((3, 3, 3), np.uint8)),)),)
    )
    about = Panel(
        "cam",
        "A",
        "",
        (GalleryRow("c", "c", (Picture("p", "p", np.zeros((40, 40, 3), np.uint8)),), "", "train/1"),),
    )
    told = [one.panel.name for one in gallery.telling((tiny, second, about))]
    assert told == ["cam", "occlusion"], "those about images first, a few pixels never"
    many = Panel("cam", "A", "Lead.", tuple(row(f"c{n}", ("map", True)) for n in range(9)))
    assert len(gallery.telling((many,))) == gallery.MOST_TELLING == 6


@pytest.mark.browser
def test_filter_cloud_and_phone(tmp_path, browser):
    path = tmp_path / "explain.html"
    path.write_text(page(), encoding="utf-8")
    opened = browser.new_page(viewport={"width": 1100, "height": 900}, reduced_motion="reduce")
    faults = []
    opened.on("console", lambda message: faults.append(message.text))
    opened.on("pageerror", lambda error: faults.append(str(error)))
    opened.goto(path.as_uri())
    assert opened.locator(".shots:visible").count() == 0, "folded"
    opened.select_option("#case", "1")
    assert opened.locator(".shots:visible").count() == 1
    assert "train/1" in opened.locator(".shots:visible h3").inner_text()
    opened.select_option("#case", "")
    opened.locator("nav a[href='#map']").click()
    assert opened.locator(".shots:visible").count() == 3
    dots = opened.locator(".cloud circle")
    assert dots.count() == 60 and "2 others" not in opened.locator(".legend").inner_text()
    assert "3 others" in opened.locator(".legend").inner_text()  # twelve classes, ten colours
    dots.nth(7).hover(force=True)
    assert "train/7" in opened.locator(".tip").inner_text() and HOSTILE in opened.locator(".tip").inner_text()
    opened.locator(".cloud svg").focus()
    opened.keyboard.press("ArrowRight")
    assert "train/8" in opened.locator(".tip").inner_text()
    opened.select_option(".cloud select", label="error")
    assert "wrong" in opened.locator(".legend").inner_text()
    opened.set_viewport_size({"width": 420, "height": 800})
    assert opened.evaluate("document.documentElement.scrollWidth") <= 420
    opened.close()
    assert not faults, faults
