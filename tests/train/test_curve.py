"""The learning curve's two sentences, and its page."""

from dataclasses import replace

import pandas as pd
import pytest

from pipeline.core.predictions import Comparison
from pipeline.settings.schema import Config
from pipeline.train.studies import learning_curve


def step(delta, low, high):
    return Comparison(delta, low, high, 0.9, 400, "better" if low > 0 else "can't tell")


PAGE = learning_curve.CurvePage(
    "probe",
    "macro_f1",
    pd.DataFrame(
        {
            "share": [0.4, 1.0],
            "groups": [40.0, 100.0],
            "images": [80.0, 200.0],
            "score": [0.5, 0.6],
            "low": [0.45, 0.55],
            "high": [0.55, 0.65],
            "sd of seeds": [0.02, 0.01],
            "train score": [0.9, 0.8],
            "gap": [0.4, 0.2],
            "loss gap": [1.0, 0.5],
        }
    ),
    step(0.1, 0.05, 0.15),
    0.005,
    learning_curve.Errors(0.1, 0.4),
    3,
)


@pytest.mark.parametrize(
    ("comparison", "told"),
    [
        (step(0.1, 0.05, 0.15), "More data would help: from 40 to 100 groups the score changed by +0.1000"),
        (step(0.001, -0.002, 0.004), "More data would not help"),
        (step(0.002, 0.001, 0.003), "More data would not help"),
        (step(0.02, -0.01, 0.05), "Can't tell"),
        (step(-0.02, -0.05, 0.01), "Can't tell"),
    ],
)
def test_more_data(comparison, told):
    assert learning_curve.more_data(replace(PAGE, last_step=comparison)).startswith(told)


@pytest.mark.parametrize(
    ("train", "valid", "told"),
    [(0.1, 0.4, "Variance"), (0.35, 0.4, "Bias:"), (0.26, 0.4, "Bias and variance"), (0.0, 0.005, "Hardly")],
)
def test_bias_or_variance(train, valid, told):
    assert learning_curve.bias_or_variance(
        replace(PAGE, errors=learning_curve.Errors(train, valid))
    ).startswith(told)


def test_text_and_page_carry_every_share():
    text = "\n".join(learning_curve.lines(PAGE))
    assert "40%" in text and "0.6000" in text and "More data would help" in text and "Variance" in text
    html = learning_curve.render_html(PAGE, "<Digits>", Config())
    assert html.count("<svg") == 2 and "&lt;Digits&gt;" in html and "100 groups" in html
    assert "http://" not in html.replace("http://www.w3.org", "")
