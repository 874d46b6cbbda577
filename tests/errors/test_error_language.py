"""The error report says everything in the language of its reader, in every section, for every target."""

import re
from dataclasses import replace

import columns_world
import numpy as np
import pytest
import test_calibration
import test_slices
import test_suspects
import test_truth
import test_why
from analyze_cases import case, compare_inputs
from translated_world import CLOSE, MARKED, OPEN, add_marked, untranslated

from pipeline.core import language
from pipeline.core.predictions import Comparison
from pipeline.data import load
from pipeline.errors import page
from pipeline.errors.columns import page as columns
from pipeline.errors.diff import truth
from pipeline.errors.diff.conclusion import FollowedAdvice
from pipeline.errors.findings import calibration, slices, suspects, why
from pipeline.errors.page import analyze, render_html
from pipeline.pages.report import MISSING

# Names of runs, classes, attributes, values, groups, files and metrics.
DATA = re.compile(
    r"\.png|alert|수|even &|round|^size$|^parity$|홀수|^old|^new|Δ|Podium|^\W*a\W*$|^\W*b\W*|^c$|lite0|"
    r"i\d+$|px|data/x|^id$|^F1$|^R²$|AUC|RMSE|MAE|^digit$|^ink$|large|middle|small|loop|^odd|^zero|e-0|script>|"
    r"label_patches|verdicts\.csv|Hiding the square"
)


@pytest.fixture
def marked(tmp_path, monkeypatch):
    add_marked(tmp_path)
    monkeypatch.setattr(language, "FOLDER", tmp_path)


def in_language(inputs, name):
    report = inputs.config.report.model_copy(update={"language": name})
    config = inputs.config.model_copy(update={"report": report})
    return replace(inputs, config=config, image=lambda split, name: np.zeros((8, 8, 3), np.uint8))


def rest_of(shown):
    return [part for part in untranslated(shown) if not DATA.search(part)]


def test_the_conclusion_the_advice_and_the_flips_are_in_the_language_of_the_reader(marked):
    inputs = in_language(compare_inputs(case()), MARKED)
    gained = Comparison(0.012, 0.003, 0.021, 0.98, 40, "better")
    inputs = replace(inputs, followed=(FollowedAdvice("images.size=96", "lite0", 0.03, gained),))
    assert rest_of(render_html(analyze(inputs), inputs)) == []


SECTIONS = {
    "calibration": lambda: calibration.section(test_calibration.world(150, 3.0)),
    "slices": lambda: slices.section(test_slices.world(1, 120, dark=0.35)),
    "no slices": lambda: slices.section(test_slices.world(3, 9)),
    "truth": lambda: truth.section(test_truth.inputs()),
    "errors alone": lambda: truth.section(test_truth.inputs(old=None)),
    "suspects": lambda: suspects.section(test_suspects.made_of(WORLD.train, OOF, WORLD.train.space)[1]),
    "why": lambda: why.section(test_why.facts(), test_why.picture, WORLD.train, None, "make explain"),
}
WORLD = case()
OOF = test_suspects.probabilities(WORLD.train.ids_N, WORLD.train.labels, 3, skill=0.5)


@pytest.mark.parametrize("name", SECTIONS)
def test_every_section_is_in_the_language_of_the_reader(name, marked):
    made = SECTIONS[name]()
    inputs = in_language(compare_inputs(WORLD), MARKED)
    shown = render_html(analyze(inputs), inputs, (made,))
    part = re.search(rf'<section id="{made.anchor}">.*?</section>', shown, re.DOTALL)[0]
    assert rest_of(part) == []


@pytest.mark.parametrize("kind", ["labels", "values", "shares"])
def test_the_report_of_other_targets_is_in_the_language_of_the_reader(kind, marked, monkeypatch):
    monkeypatch.setattr(load, "facts", lambda artifact: columns_world.world("labels").job.facts)
    world = columns_world.world(kind)
    inputs = in_language(page.inputs_of(world, world.job.settings.config), MARKED)
    analysis = columns.analyze(world, inputs)
    made = columns.sections(world, analysis)
    shown = page.render_page(analysis.page, inputs, made, columns._tiles(analysis))
    assert rest_of(shown) == []


def test_the_language_changes_words_and_nothing_else(marked):
    english, told = (in_language(compare_inputs(case()), name) for name in ("en", MARKED))
    one, other = analyze(english), analyze(told)
    assert one.metrics == other.metrics and one.conclusion == other.conclusion
    shown = [
        render_html(analysis, i).partition("<main")[2] for analysis, i in ((one, english), (other, told))
    ]
    figures = [sorted(re.findall(r"[+−]?\d+\.\d+", re.sub(r"<[^>]*>", " ", text))) for text in shown]
    assert figures[0] == figures[1] and MISSING in shown[0]
    plain = page.lines(english, one)
    said = [language.say(line, MARKED) for line in page.lines(told, other)]
    assert [re.sub(f"[{OPEN}{CLOSE}]", "", line) for line in said] == plain
    assert all(OPEN in line for line in said if " make " not in line)


def test_advice_is_kept_in_every_language_for_the_home_page(marked):
    inputs = compare_inputs(case())
    from pipeline.errors.advice.facts import Advice

    advice = Advice("seed", page.texts.SEED_DO, page.texts.SEED_WHY, "", "make train")
    said = page._said(advice)
    assert said["en"]["do"] == inputs.say(advice.do) and said[MARKED]["do"].startswith(OPEN)
