"""Sections that rest on out-of-fold predictions, for a CSV that brings none."""

from types import SimpleNamespace

import numpy as np
import pytest
from analyze_cases import case, compare_inputs

from pipeline.errors import page
from pipeline.errors.case import ReportCase, Side
from pipeline.errors.page import analyze
from pipeline.settings.competition import AttributeSettings
from pipeline.settings.load import load

MADE = case()
INPUTS = compare_inputs(MADE)
OUTSIDE = Side(INPUTS.new, None, None)


@pytest.mark.parametrize("maker", ["on_truth", "on_slices", "on_suspects", "on_calibration"])
def test_an_outside_csv_gets_one_sentence_and_a_command(maker):
    # Nothing of the job may be read for it but the words of its command.
    words = {"error-analysis": ("competition=digits", "report.judge=20")}
    job = SimpleNamespace(settings=load(["competition=digits", "report.judge=20"]), words=words)
    bare = ReportCase(job, MADE.train, OUTSIDE, OUTSIDE, None, MADE.image)  # type: ignore[arg-type]
    made = getattr(page, maker)(bare, analyze(INPUTS))
    assert made.template == "section_without.html" and made.wanted == ()
    assert "out-of-fold predictions" in made.values["why"] and made.values["command"].startswith(
        'make error-analysis ARGS="competition=digits '
    )


def test_what_the_table_writes_for_a_value():
    plain = AttributeSettings(name="a", column="a", values=["f", "m"], names=["female", "male"])
    binned = AttributeSettings(name="age", column="age", values=["<30", "30–60", "≥60"], bins=[30, 60])
    assert page._raw(plain) == ["f", "m"]
    numbers = [float(text) for text in page._raw(binned)]
    assert np.digitize(numbers, [30, 60]).tolist() == [0, 1, 2]
