from dataclasses import replace

import numpy as np
import pytest
from analyze_cases import SPACE, case
from section_world import section_of

from pipeline.core import metrics
from pipeline.core.predictions import ViewProbabilities
from pipeline.core.seeds import rng
from pipeline.core.statistics import interval
from pipeline.infer.robustness import COLUMNS, RobustnessInputs, measure, section, sentence

METRIC = metrics.get("macro_f1")
OF_VIEW = {"blur(1)": ("blur", 1.0), "blur(3)": ("blur", 3.0), "noise(0.1)": ("noise", 0.1)}


def seen(skills: dict[str, float], n_groups: int = 60, seed: int = 0) -> tuple[ViewProbabilities, np.ndarray]:
    generator = rng(seed, "robust")
    y = np.repeat(np.arange(n_groups) % 4, 7)
    base = generator.normal(size=(len(y), 4))
    blocks = []
    for skill in skills.values():
        logits = base + 0.5 * generator.normal(size=base.shape)
        logits[np.arange(len(y)), y] += skill
        p = np.exp(logits)
        blocks.append((p / p.sum(axis=1, keepdims=True)).astype(np.float32))
    ids = [f"i{k}" for k in range(len(y))]
    return ViewProbabilities(ids, SPACE.classes, tuple(skills), np.stack(blocks)), y


GROUPS = np.repeat([f"g{k}" for k in range(60)], 7)
SKILLS = {"blur(3)": 0.3, "identity": 2.0, "noise(0.1)": 2.0, "blur(1)": 1.7}


def test_scores_and_intervals_are_those_of_each_view_whatever_the_order():
    found, y = seen(SKILLS)
    table = measure(METRIC, y, found, OF_VIEW, GROUPS, 300, 0)
    assert tuple(table.columns) == COLUMNS and table["curve"].tolist() == ["clean", "blur", "blur", "noise"]
    for row, view in zip(table.to_dict("records"), ["identity", *OF_VIEW], strict=True):
        expected = interval(METRIC, y, found.view(view).p_NC, GROUPS, 300, 0)
        assert (row["score"], row["low"], row["high"]) == pytest.approx(
            (expected.value, expected.low, expected.high)
        )
        assert row["change"] == pytest.approx(expected.value - table["score"][0])


def test_only_what_is_beyond_chance_is_called_worse():
    found, y = seen(SKILLS)
    table = measure(METRIC, y, found, OF_VIEW, GROUPS, 300, 0)
    assert table["verdict"].tolist()[0] == "can't tell" and table["verdict"].tolist()[2] == "worse"
    assert "worse from" in sentence(table, "blur") and "at 3" in sentence(table, "blur")
    false = 0
    for seed in range(30):
        equal, y = seen(dict.fromkeys(SKILLS, 1.5), seed=seed)
        false += (measure(METRIC, y, equal, OF_VIEW, GROUPS, 200, 0)["verdict"] != "can't tell").any()
    assert false <= 4


def test_one_group_tells_nothing():
    found, y = seen(SKILLS)
    one = np.full(len(y), "g")
    assert set(measure(METRIC, y, found, OF_VIEW, one, 100, 0)["verdict"]) == {"can't tell"}


def test_the_section_draws_a_curve_a_kind():
    found, y = seen(SKILLS)
    table = measure(METRIC, y, found, OF_VIEW, GROUPS, 200, 0)
    shown = section_of(section(RobustnessInputs(table, "<i>lite0</i>", "macro F1")), case())
    assert shown.count("<svg") == 2 and 'class="band s0"' in shown and "&lt;i&gt;lite0" in shown
    quiet = replace(RobustnessInputs(table, "x", "macro F1"), table=table.assign(verdict="can't tell"))
    assert "blur: no strength differs" in section_of(section(quiet), case())
