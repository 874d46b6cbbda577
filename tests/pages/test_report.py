import base64
import io
import json
import re

import numpy as np
import pandas as pd
import pytest
from jinja2 import UndefinedError
from PIL import Image
from sklearn.datasets import load_sample_image

from pipeline.pages import report


def decode(uri: str) -> Image.Image:
    head, data = uri.split(",")
    assert head == "data:image/webp;base64"
    return Image.open(io.BytesIO(base64.b64decode(data)))


def test_thumbnail_keeps_the_picture():
    photo = load_sample_image("china.jpg")
    small = decode(report.thumbnail(photo, 96))
    assert small.format == "WEBP" and max(small.size) == 96
    expected = Image.fromarray(photo).resize(small.size, Image.Resampling.LANCZOS)
    difference = np.abs(np.asarray(small.convert("RGB"), float) - np.asarray(expected, float))
    assert difference.mean() < 6


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_thumbnail_takes_grey_colour_and_alpha_and_enlarges_nothing(channels):
    image = np.full((5, 9, channels), 200, np.uint8)
    small = decode(report.thumbnail(image, 64))
    assert small.size == (9, 5)
    assert abs(np.asarray(small.convert("RGB"), float).mean() - 200) < 4


def test_each_picture_is_embedded_once():
    flower = load_sample_image("flower.jpg")
    pictures = {"a": flower, "b": flower[::-1], "copy of a": flower}
    keys = [("train", name) for name in ("a", "b", "a", "copy of a", "b")]
    thumbs = report.thumbnails(keys, lambda _, name: pictures[name], 32)
    assert thumbs.css.count("data:image/webp") == 2
    assert thumbs.rule["train", "a"] == thumbs.rule["train", "copy of a"] != thumbs.rule["train", "b"]
    assert thumbs.rule["train", "a"] in thumbs.tag(("train", "a"), "label")


def test_a_label_cannot_leave_its_attribute():
    thumbs = report.Thumbnails(report.Markup(""), {("test", "x"): "t0"})
    tag = thumbs.tag(("test", "x"), '"><script>alert(1)</script>')
    assert "<script" not in tag and tag.count('"') == 8


def test_json_data_cannot_end_its_script_and_comes_back_whole():
    value = ["</script><script>alert(1)</script>", "<!--", "a & b", "\u2028", "홀수", '"']
    element = report.json_data("data", value)
    inside = re.fullmatch(r'<script type="application/json" id="data">(.*)</script>', element, re.DOTALL)
    assert inside is not None and "<" not in inside[1] and json.loads(inside[1]) == value


def test_a_missing_value_is_an_error():
    with pytest.raises(UndefinedError):
        report.render("resampling.html", title="x")


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        (1234, '<td class="n">1,234</td>'),
        (0.5, '<td class="n">0.500</td>'),
        (3.0, '<td class="n">3</td>'),
        (131.25, '<td class="n">131.2</td>'),
        (float("nan"), '<td class="n">–</td>'),
        (None, '<td class="n">–</td>'),
        (pd.NA, '<td class="n">–</td>'),
        (np.True_, "<td>yes</td>"),
        ("<b>", "<td>&lt;b&gt;</td>"),
        ("+1.2", '<td class="n">+1.2</td>'),
        ("< 0.001", '<td class="n">&lt; 0.001</td>'),
        ("12\u00a0%", '<td class="n">12\u00a0%</td>'),
        ("3", "<td>3</td>"),
        ("1.2 to 3.4", "<td>1.2 to 3.4</td>"),
        (-0.25, '<td class="n">−0.250</td>'),
    ],
)
def test_cells(value, cell):
    assert report._cell(value) == cell


def test_a_column_stands_right_with_its_head_where_all_of_it_are_numbers():
    frame = pd.DataFrame(
        {"class": ["1", "2"], "p": ["< 0.001", "0.2"], "n": [3, None], "mixed": ["1.5", "none"]}
    )
    assert report._rights(frame) == [False, True, True, False]
    assert report._rights(list(frame.itertuples(index=False, name=None))) == [False, True, True, False]
    assert report._cell(68.5, False) == "<td>68.5</td>" and report._rights([]) == []


def test_prose_marks_commands_and_escapes_the_rest():
    assert report._prose("run `make <x>` & see") == "run <code>make &lt;x&gt;</code> &amp; see"


def test_prose_links_to_files_beside_the_page_and_to_no_others():
    told = report._prose("see `a.csv`, `b.csv`", ("a.csv",))
    assert told == 'see <a href="a.csv"><code>a.csv</code></a>, <code>b.csv</code>'


def test_words():
    assert report.plural(1, "class", "classes") == "1 class"
    assert report.plural(1200, "class", "classes") == "1,200 classes" == report.plural(1200, "class")
    assert (
        report.plural(2, "box") == "2 boxes" and report.plural(2, "image is", "images are") == "2 images are"
    )
    assert report.percent(0.034) == "3.4\u00a0%" and report.percent(0.5) == "50\u00a0%"
    assert report.percent(0.0002) == "<0.1\u00a0%" and report.percent(0.0) == "0\u00a0%"
    assert report.percent(0.997) == "99.7\u00a0%" and report.percent(0.9999) == ">99.9\u00a0%"
    assert report.percent(1.0) == "100\u00a0%" and report.percent(0.994) == "99\u00a0%"
    assert report.p_value(1 / 2001) == "< 0.001" and report.p_value(0.0312) == "0.031"
    assert report.signed(-0.0012) == "−0.0012" and report.signed(0.5) == "+0.5000"
