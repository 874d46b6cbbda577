"""Names of dots lie over no other name and over no dot, also in a crowd and on a narrow screen."""

import random
import re
from itertools import combinations
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipeline.ensemble.cost import Point
from pipeline.ensemble.page import pareto
from pipeline.pages import plots
from pipeline.pages.dot_names import Named, names
from pipeline.pages.report import template_file
from pipeline.plan.page import picture
from pipeline.plan.steps import Step

MEMBERS = (
    *("lite0", "efficientnet_lite0 images.size=96", "small_cnn train.epochs=30", "probe", "resnet18"),
    *("convnext_tiny", "tiny_resnet", "probe_mlp", "lite1_96_mixup", "lite2", "vit_small_patch16_224"),
    *("mobilenetv3", "gbdt", "knn_probe", "regnety_002"),
)
AXES = plots.Axes((0.0, 10.0), (0.0, 1.0), 300.0)
STYLE = (9.5, "tiny", 110.0)
TEXT = re.compile(r"<text[^>]*>([^<]*)</text>")


def blended(seed: int = 0) -> str:
    """Fifteen members, nearly all of them cheap, with their blend and cheaper blends."""
    draw = random.Random(seed)
    points = [
        Point(n, draw.expovariate(1 / 20), 0.5 + 0.05 * draw.random(), "member", False) for n in MEMBERS
    ]
    whole = sum(p.ms for p in points)
    cheaper = [
        Point(f"{k} largest weights", whole * k / 16, 0.54 + 0.002 * k, "cheaper blend", k % 2 == 0)
        for k in range(2, 15)
    ]
    return str(
        pareto([*points, Point("blend (cross-fitted)", whole, 0.58, "blend", True), *cheaper], "t", "f1")
    )


def planned(seed: int = 0, members: tuple[str, ...] = MEMBERS, language: str = "en") -> str:
    """The drawing of a plan whose steps end shortly after each other, with nearly the same scores."""
    draw = random.Random(seed)
    steps = []
    for n, name in enumerate(members):
        score = 0.5 + 0.01 * draw.random()
        found = SimpleNamespace(metrics={"oof_f1": score, "ci_low": score - 0.02, "ci_high": score + 0.02})
        steps.append(Step(name, 60.0 + 10 * n + 5 * draw.random(), 5.0, found, found))
    return str(picture(steps, [None] * len(steps), "f1", True, language))


def test_few_names_stand_beside_their_dots():
    dots = [Named(100.0, 100.0, "lite0"), Named(250.0, 150.0, "probe"), Named(420.0, 200.0, "small_cnn")]
    drawn, height = names(dots, AXES, STYLE)
    assert [TEXT.search(one)[1] for one in drawn] == ["lite0", "probe", "small_cnn"]
    assert height == AXES.height, "nothing is below the drawing"
    assert 'class="end tiny"' in drawn[2], "it would leave the drawing at the right"


def test_dots_in_one_place_have_names_in_other_places():
    drawn, _ = names([Named(100.0, 100.0, f"member {n}") for n in range(3)], AXES, STYLE)
    places = {re.search(r'x="[\d.]+" y="[\d.]+"', one)[0] for one in drawn if "<text" in one}
    assert len(places) == 3


def test_in_a_crowd_dots_have_numbers_and_the_names_are_below_the_drawing():
    dots = [Named(100.0 + n / 10, 100.0, name) for n, name in enumerate(MEMBERS)]
    drawn, height = names(dots, AXES, STYLE)
    texts = [TEXT.search(one)[1] for one in drawn if "<text" in one]
    assert sorted(texts[:15], key=int) == [str(n) for n in range(1, 16)]
    for n, (text, name) in enumerate(zip(texts[15:], MEMBERS, strict=True), start=1):
        assert f"{n}  {name}".startswith(text.removesuffix("…"))
    assert height > AXES.height


def test_names_on_a_page_are_safe():
    drawn, _ = names([Named(100.0, 100.0, "<script>&")], AXES, STYLE)
    assert "&lt;script&gt;&amp;" in drawn[0]


def test_the_plan_names_its_axis_in_the_language_of_the_page():
    told = planned(members=("lite0",), language="ko")
    assert ">minutes<" not in told and "score over time" not in told


@pytest.mark.browser
@pytest.mark.parametrize("width", [400, 1180])
def test_no_two_texts_overlap_and_no_text_covers_a_dot(browser, tmp_path: Path, width: int):
    style = template_file("style.css").read_text(encoding="utf-8")
    drawings = [f(seed) for seed in range(4) for f in (blended, planned)]
    drawings += [planned(7, MEMBERS[:4]), planned(8, MEMBERS[:8])]
    file = tmp_path / "drawn.html"
    file.write_text(f"<meta charset=utf-8><style>{style}</style>{''.join(drawings)}", encoding="utf-8")
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.goto(file.as_uri())
    boxes = """all => all.map(svg => [svg.viewBox.baseVal.width, ...['text', 'circle'].map(
        kind => [...svg.querySelectorAll(kind)].map(e => {
            const b = e.getBBox(); return [e.textContent, b.x, b.y, b.x + b.width, b.y + b.height]; }))])"""
    found = page.eval_on_selector_all("svg", boxes)
    page.close()
    assert len(found) == len(drawings)
    for wide, texts, dots in found:
        over = [(a[0], b[0]) for a, b in combinations(texts, 2) if overlap(a, b)]
        # A dot is a circle: only what reaches its inner square covers it.
        over += [(a[0], b[0]) for a in texts for b in dots if overlap(a, b, 1.5)]
        assert over == []
        assert all(left >= 0 and right <= wide for _, left, _, right, _ in texts)


def overlap(one: list, other: list, least: float = 0.3) -> bool:
    _, left, top, right, bottom = one
    _, left2, top2, right2, bottom2 = other
    return min(right, right2) - max(left, left2) > least and min(bottom, bottom2) - max(top, top2) > least
