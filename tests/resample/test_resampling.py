import pandas as pd
import pytest
from analyze_cases import HOSTILE
from markupsafe import escape

from pipeline.core.errors import DataError
from pipeline.resample.page import render_html, summarize
from pipeline.settings.resample import ResampleSettings
from pipeline.settings.schema import Config

COUNTS = pd.DataFrame(
    [
        (fold, name, before, after)
        for fold in (1, 0)
        for name, before, after in (("tall", 100, 100), (HOSTILE[0], 10 + fold * 10, 100), ("홀수", 50, 100))
    ],
    columns=["fold", "class", "before", "after"],
).assign(copies=0, synthetic=0)
OVER = Config(resample=ResampleSettings(method="over"))


def test_sums_ratios_and_means():
    found = summarize(COUNTS, OVER)
    assert found.metrics["rows_before"] == pytest.approx(165) and found.metrics["rows_after"] == 300
    assert found.metrics["ratio_before"] == pytest.approx(100 / 15) and found.metrics["ratio_after"] == 1
    assert list(found.totals["class"]) == ["tall", HOSTILE[0], "홀수"]
    assert list(found.table.columns) == ["class", "fold 0", "fold 1"]
    assert found.table.set_index("class").loc[HOSTILE[0], "fold 1"] == "20 → 100"
    assert "300 instead of 165" in found.headline


def test_nothing_done_says_so():
    found = summarize(COUNTS.assign(after=COUNTS["before"]), Config())
    assert "Nothing is resampled" in found.headline and "resample.method=over" in found.answer


def test_a_class_without_images_keeps_its_row():
    empty = COUNTS.assign(before=[0, 10, 5, 0, 10, 5], after=[0, 10, 10, 0, 10, 10])
    found = summarize(empty, OVER)
    assert found.metrics["ratio_before"] == 2 and pd.isna(found.totals["factor"][0])


def test_page():
    page = render_html(summarize(COUNTS, OVER), "digits", OVER)
    assert str(escape(HOSTILE[0])) in page and HOSTILE[0] not in page
    assert "resample.method=over" in page and "20 → 100" in page


def test_missing_columns_are_named():
    with pytest.raises(DataError) as raised:
        summarize(COUNTS.drop(columns="after"), OVER)
    assert raised.value.faults == ("after",)
