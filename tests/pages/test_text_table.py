"""Tables of the terminal have heads in the language of the reader, and columns below each other in each."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from pipeline.core.columns import width
from pipeline.core.language import Text, _, say
from pipeline.ensemble.page import EnsemblePage, page_lines
from pipeline.pages import text_table
from pipeline.plan import table as plan_table


def ends(line: str) -> list[int]:
    """Where each cell ends, in columns of the terminal; cells are apart by two spaces."""
    cells, at = [], 0
    for piece in line.split("  "):
        at += width(piece) + 2
        if piece.strip():
            cells.append(at)
    return cells


@pytest.mark.parametrize("language", ["en", "ko"])
def test_columns_are_below_each_other_where_letters_are_wide(language):
    rows = [(_("member"), _("expected"), _("weight")), ("사람", Text("blend"), "0.25"), ("lite0", "1", "-3")]
    told = [say(line, language) for line in text_table.lines(rows, indent="  ")]
    assert len({width(line) for line in told}) == 1, "what ends at the right ends below each other"
    assert len({ends(line)[1] for line in told}) == 1
    assert told[1].startswith("  사람 ") and told[2].startswith("  lite0")


def test_a_text_with_a_width_takes_columns_and_not_letters():
    form = Text("{name:<8}|{score:>8}|")
    assert say(form.format(name="사람", score="점수"), "ko") == "사람    |    점수|"
    assert form.format(name="a", score="b") == "a       |       b|"
    assert form.format(name="too long for it", score="b").startswith("too long for it|")


def test_a_frame_is_told_with_its_heads():
    frame = pd.DataFrame({"member": ["lite0", "blend"], "macro_f1": [0.5, 0.25], "images": [7, 1200]})
    lines = text_table.of_frame(frame, left=(0,), words=("blend",))
    assert [line.split() for line in lines] == [
        ["member", "macro_f1", "images"], ["lite0", "0.50", "7"], ["blend", "0.25", "1200"],
    ]  # fmt: skip
    head, first, last = (say(line, "ko").split() for line in lines)
    assert head == ["모델", "macro_f1", "이미지"] and first[0] == "lite0" and last[0] == "앙상블"


def test_the_table_of_a_plan_is_in_the_language_of_the_reader():
    member = SimpleNamespace(
        rung=SimpleNamespace(label="lite0 96 px", size=96),
        ladder=SimpleNamespace(kind="network"),
        epochs=12, views=3, seconds=90.0,
    )  # fmt: skip
    plan = SimpleNamespace(members=[member], seconds=90.0, left_out=[])
    kept = SimpleNamespace(blend=5.0, end=20.0)
    _head, names, row = plan_table.lines(plan, SimpleNamespace(left=600.0), kept, 5, again=False)
    assert names.split() == ["member", "px", "epochs", "folds", "views", "expected"]
    told = say(names, "ko")
    assert "모델" in told and "예상 시간" in told and "expected" not in told and "epochs" not in told
    assert width(say(row, "ko")) == width(told)


def test_the_members_of_a_blend_are_told_in_the_language_of_the_reader():
    columns = ["member", "M parameters", "ms ×1", "ms ×64", "macro_f1", "score per ms", "weight", "gain"]
    figures = (3.4, 2.0, 1.0, 0.5, 0.5, 1.0)
    cost = pd.DataFrame([("lite0", *figures, float("nan")), ("blend", *figures, 0.1)], columns=columns)
    page = EnsemblePage("t", "macro_f1", cost, (), ("lite0",), np.zeros((1, 1)), "a", "b", ())
    head, member, blend = page_lines(page)[:3]
    assert head.split("  ")[0] == "member" and "–" in member
    assert not {"member", "weight", "gain", "score per ms"} & set(say(head, "ko").split("  "))
    assert say(blend, "ko").startswith("앙상블") and width(say(head, "ko")) == width(say(member, "ko"))
