import base64
import io
import json
import re
from dataclasses import replace

import pytest
from analyze_cases import SPACE, case, compare_inputs
from PIL import Image
from test_explore import Tags

from pipeline.errors.diff import flip_cards
from pipeline.errors.page import analyze, render_html
from pipeline.settings.report import ReportSettings
from pipeline.settings.schema import Config

INPUTS = compare_inputs(case())


@pytest.fixture(scope="module")
def page() -> str:
    return render_html(analyze(INPUTS), INPUTS)


def block(page: str, name: str):
    found = re.search(rf'id="{name}">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def test_every_flip_travels_with_its_picture(page):
    flips = analyze(INPUTS).flips
    cards = block(page, "cards")
    assert flips is not None and cards["id"] == list(flips.images["id"]) and len(cards["id"]) > 10
    assert cards["new"] == list(flips.images["new"]) and cards["gap"][0] == max(cards["gap"])
    for k in (0, len(cards["id"]) - 1):
        picture = base64.b64decode(cards["pictures"][cards["picture"][k]])
        shown = Image.open(io.BytesIO(picture))
        assert shown.format == "WEBP" and shown.size == INPUTS.image("test", cards["id"][k]).shape[1::-1]


def test_directions_count_the_flips_of_attributes_and_of_the_class(page):
    cards = block(page, "cards")
    names = [a.name for a in SPACE.attributes]

    def value(label, name):
        return (
            SPACE.classes[label]
            if name == "class"
            else cards["attributes"][names.index(name)]["values"][cards["codes"][label][names.index(name)]]
        )

    rows = block(page, "directions")
    assert {row["attribute"] for row in rows} == {"class", *names}
    for row in rows:
        fits = [
            value(old, row["attribute"]) == row["old"] and value(new, row["attribute"]) == row["new"]
            for old, new in zip(cards["old"], cards["new"], strict=True)
        ]
        assert sum(fits) == row["images"] > 0


def test_without_scripts_a_bounded_number_is_shown(page, monkeypatch):
    articles = [attrs for tag, attrs in Tags(page).found if tag == "article"]
    assert [a["data-id"] for a in articles] == block(page, "cards")["id"][: flip_cards.STATIC]
    monkeypatch.setattr(flip_cards, "STATIC", 2)
    few = render_html(analyze(INPUTS), INPUTS)
    assert sum(tag == "article" for tag, _ in Tags(few).found) == 2 and "The first 2 of" in few


def test_the_gallery_is_cut_where_told():
    inputs = replace(INPUTS, config=Config(report=ReportSettings(max_flips=3)))
    short = render_html(analyze(inputs), inputs)
    assert len(block(short, "cards")["id"]) == 3 and "The 3 flips with the largest confidence gap" in short


def test_without_probabilities_nothing_asks_for_confidence():
    sides = [replace(side, probabilities=None) for side in (INPUTS.new, INPUTS.old)]
    bare = replace(INPUTS, new=sides[0], old=sides[1])
    shown = render_html(analyze(bare), bare)
    assert 'id="confidence"' not in shown and block(shown, "cards")["gap"][0] is None
