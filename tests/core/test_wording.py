"""A number has the noun and the verb that fit it, in every text of every room."""

import re
from pathlib import Path

import pytest

import pipeline
from pipeline.core.errors import ConfigError
from pipeline.core.language import plural_of
from pipeline.core.wording import duration, seconds_of, singular_kind, worded

ROOT = Path(pipeline.__file__).parent
NUMBERED = re.compile(r"\{\w+:(?:,?[a-z][a-z -]+|[^}|]*\|[^}]*)\}")


def test_a_number_has_its_noun_and_verb():
    text = "{images:image} {images:does|do} not decode, in {rows:,row}"
    assert worded(text, images=1, rows=1234) == "1 image does not decode, in 1,234 rows"
    assert worded("{n:id} missing", n=1) == "1 id missing"
    assert worded(text, images=2, rows=1) == "2 images do not decode, in 1 row"
    assert worded("{x:.2f} {y!r} {n:>3}", x=1, y="a", n=5) == "1.00 'a'   5", "others as usual"
    assert plural_of("epoch") == "epochs"
    assert [plural_of(n) for n in ("class", "copy", "patch", "day")] == [
        "classes",
        "copies",
        "patches",
        "days",
    ]


@pytest.mark.parametrize(
    ("kind", "one"),
    [
        ("missing images", "missing image"),
        ("ambiguous images", "ambiguous image"),
        ("unreadable patches", "unreadable patch"),
        ("labels that are not one class", "label that is not one class"),
        ("ids in two sources", "id in two sources"),
        ("repeated classes", "repeated class"),
        ("empty copies", "empty copy"),
    ],
)
def test_one_fault_of_a_kind_is_singular(kind, one):
    assert singular_kind(kind) == one


def test_every_text_with_a_noun_is_filled_in_by_the_helper():
    """`str.format` does not know these placeholders, and would fail only when the text is shown."""
    found = 0
    for texts in sorted(ROOT.rglob("texts.py")):
        for name, marked, template in re.findall(
            r"^([A-Z_0-9]+) = (_\()?(\".*\")\)?$", texts.read_text(encoding="utf-8"), re.M
        ):
            if not NUMBERED.search(template):
                continue
            found += 1
            fields = dict.fromkeys(re.findall(r"\{(\w+)", template), 1)
            assert not re.search(r"\b1 \w+s (?:are|have|do)\b", worded(template, **fields)), template
            for path in () if marked else texts.parent.rglob("*.py"):  # a marked text fills itself in
                assert f"texts.{name}.format(" not in path.read_text(encoding="utf-8"), f"{path}: {name}"
    assert found > 30


def test_a_time_to_wait_has_the_unit_that_people_use():
    assert [duration(s) for s in (0.4, 99, 100, 420, 5999, 9000)] == [
        *("0 s", "99 s", "2 min", "7 min", "100 min", "2.5 h")
    ]


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("30m", 1800), ("1.5h", 5400), (" 2h ", 7200)]
)
def test_a_budget_of_time_in_seconds(text, seconds):
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["abc", "", "0", "-5m", "5 minutes", "1d", "5M", "1h30m", "1e3", "nan"])
def test_what_is_no_budget_of_time_is_refused_with_examples(text):
    with pytest.raises(ConfigError, match=rf"TIME={text} is not a duration\n.*TIME=30m"):
        seconds_of(text)
