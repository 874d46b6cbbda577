import re
from dataclasses import replace

import pytest
from analyze_cases import HOSTILE, SPACE, case, compare_inputs
from markupsafe import escape
from test_explore import Tags

from pipeline.core.predictions import Comparison
from pipeline.errors.diff.conclusion import Change, FollowedAdvice
from pipeline.errors.judging.estimate import ScoreEstimate
from pipeline.errors.page import analyze, render_html

INPUTS = compare_inputs(case())


@pytest.fixture(scope="module")
def page() -> str:
    return render_html(analyze(INPUTS), INPUTS)


@pytest.mark.parametrize(
    ("delta", "verdict", "state", "word"),
    [  # the tag is the comparison's own word
        (0.02, "better", "better", "Better by 0.0200"),
        (-0.02, "worse", "worse", "Worse by 0.0200"),
        (0.001, "can't tell", "unclear", "Can't tell:"),
    ],
)
def test_verdicts(delta, verdict, state, word):
    comparison = Comparison(delta, delta - 0.01, delta + 0.01, 0.9, 40, verdict, "few groups")
    found = analyze(replace(INPUTS, comparison=comparison)).conclusion
    assert (found.state, found.word, found.tag) == (state, word, verdict)
    assert "40 training groups" in found.detail and "Caution: few groups." in found.detail


def test_verdict_without_comparison_without_old_and_without_difference():
    unclear = analyze(replace(INPUTS, comparison=None)).conclusion
    first = analyze(replace(INPUTS, old=None)).conclusion
    same = analyze(replace(INPUTS, old=replace(INPUTS.new, name="old")))
    assert (unclear.state, first.state, same.conclusion.state) == ("unclear", "first", "same")
    assert {v.tag for v in (unclear, first, same.conclusion)} == {"can't tell"}
    assert same.metrics["flips"] == 0


def test_one_group_is_not_said_to_span_zero():
    comparison = Comparison(
        0.01, 0.01, 0.01, 1.0, 1, "can't tell", "1 group: few to resample, so the true interval is wider"
    )
    rest = analyze(replace(INPUTS, comparison=comparison)).conclusion.rest
    assert "zero" not in rest and "one group" in rest


def test_the_page_prints_commands_that_repeat_what_was_asked():
    shown = render_html(analyze(INPUTS), INPUTS)
    commands = re.findall(r"make train ARGS=&#34;(.*?)&#34;", shown)
    assert commands and all(c.startswith("competition=digits experiment=small_cnn ") for c in commands)


def test_metrics_are_floats_and_agree():
    found = analyze(INPUTS)
    assert all(isinstance(value, float) for value in found.metrics.values())
    assert found.flips is not None and found.metrics["flips"] == len(found.flips.images) > 3
    assert found.metrics["flips_size"] <= found.metrics["flips"]
    assert 0 < found.metrics["oof_error_share_parity"] <= found.metrics["oof_error_share_class"]


def test_page_opens_with_the_verdict_then_advice(page):
    sections = [attrs["id"] for tag, attrs in Tags(page).found if tag == "section"]
    assert sections == ["verdict", "next", "differs", "flips"]
    assert "0.6800–0.7400" in page and "0.6900" in page


def test_hostile_names_are_text_everywhere(page):
    tags = Tags(page).found
    assert not [name for _, attrs in tags for name in attrs if name.startswith("on")]
    assert not {"img", "u", "iframe"} & {tag for tag, _ in tags}
    scripts = [attrs for tag, attrs in tags if tag == "script"]
    assert len(scripts) == 3 and not [attrs for attrs in scripts if "src" in attrs]
    assert str(escape(HOSTILE[2])) in page and HOSTILE[2] not in page and SPACE.classes[2] not in page


def test_what_a_person_saw_is_told_in_the_verdict_and_decides_where_nothing_else_can():
    saw = Comparison(0.03, 0.01, 0.05, 0.99, 30, "better")
    judged = ScoreEstimate(saw, 40, 60, 2, 20, 1, True, 0.6, 0.3, ("Assumed.",))
    known = analyze(replace(INPUTS, judged=judged)).conclusion
    assert "Judged by eye: better, new − old +0.0300 [+0.0100, +0.0500]" in known.detail
    assert known.tag == "can't tell", "the comparison out of fold stands"
    outside = replace(INPUTS, judged=judged, comparison=None)
    found = analyze(outside)
    assert (found.conclusion.tag, found.conclusion.word) == ("better", "Better:")
    shown = render_html(found, outside)
    assert "40 of 60 flips judged, 2 of them unsure; 1 of 20 controls answered wrongly" in shown
    assert "right in 60\u00a0%" in shown and "Assumed." in shown


def test_labels_only_and_no_out_of_fold():
    new, old = (
        replace(INPUTS.new, probabilities=None, score=None),
        replace(INPUTS.old, probabilities=None, score=None),
    )
    bare = replace(INPUTS, new=new, old=old, oof=None, train=None, comparison=None)
    shown = render_html(analyze(bare), bare)
    assert "Neither submission has probabilities." in shown


def test_first_submission_renders():
    first = replace(INPUTS, old=None, comparison=None)
    assert "from the second submission on" in render_html(analyze(first), first)


def test_changes_and_what_following_advice_brought_stand_on_the_page():
    better = Comparison(0.012, 0.003, 0.02, 0.99, 400, "better")
    changes = (
        Change("images.size", "64", "96", "", better, "a → b"),
        Change(f"loss.name of {HOSTILE[0]}", '"focal"', '"ldam"', "make train ARGS=…"),
    )
    inputs = replace(
        INPUTS, changes=changes, followed=(FollowedAdvice("images.size=96", "lite0", 0.03, better),)
    )
    shown = render_html(analyze(inputs), inputs)
    assert "never tested alone" in shown and "make train ARGS=…" in shown and "a → b" in shown
    assert re.search(r"gained <b>\+0\.012</b> .* At most \+0\.030 was possible", shown)
    assert (
        "followed advice for lite0: images.size=96, at most +0.0300; gained +0.0120 [+0.0030"
        in inputs.followed[0].line
    )
    assert not [name for _, attrs in Tags(shown).found for name in attrs if name.startswith("on")]
