"""What the ensemble's page recommends to submit, and the names of its dots."""

import re

import pytest

from pipeline.ensemble.cost import Point
from pipeline.ensemble.page import pareto, recommended

FACTS = {"best_member": "lite0", "only_member": "", "verdict": "better"}


def command(names):
    return f"make ensemble of {' and '.join(names)}"


GAINS = {"lite0": 0.02, "probe": 0.01, "cnn": -0.003}


@pytest.mark.parametrize(
    ("verdict", "delta", "expected"),
    [
        ("better", 0.02, "Submit the blend: "),
        ("worse", -0.02, "Submit lite0 and not the blend: "),
        ("can't tell", 0.004, "Submit the blend where time does not count, and lite0 where it does: "),
        ("can't tell", -0.004, "Submit lite0: "),
    ],
)
def test_the_comparison_with_the_best_member_decides_what_to_submit(verdict, delta, expected):
    advice = recommended(FACTS | {"verdict": verdict, "contributions": {}}, delta, 2.5, command)
    assert advice.startswith(expected) and "2.5 times as long" in advice
    assert "times as long" not in recommended(
        FACTS | {"verdict": verdict, "contributions": {}}, delta, None, command
    )


def test_members_that_add_nothing_are_named_with_the_blend_without_them():
    advice = recommended(FACTS | {"contributions": GAINS}, 0.02, None, command)
    assert advice.endswith("Try it without cnn, which added nothing: `make ensemble of lite0 and probe`.")
    advice = recommended(FACTS | {"contributions": GAINS, "test_only": {"mate": 1.0}}, 0.02, None, command)
    assert advice.endswith("`make ensemble of lite0 and probe and mate`."), "who has no score still votes"
    two = {"lite0": 0.02, "cnn": -0.003}
    assert "without" not in recommended(FACTS | {"contributions": two}, 0.02, None, command)


def test_a_blend_that_is_one_member_is_not_recommended_over_it():
    advice = recommended(FACTS | {"only_member": "lite0", "contributions": GAINS}, 0.0, 1.0, command)
    assert advice.startswith("Submit lite0: the blend is lite0 alone")


def test_every_member_and_the_blend_have_a_name_that_covers_no_other():
    """Blend and members are named on and off the front; dots in one place have names in several."""
    points = [Point(f"member {n}", 5.0, 0.5, "member", n == 0) for n in range(3)]
    points += [
        Point("blend", 9.0, 0.45, "blend", False),
        Point("2 weights", 7.0, 0.4, "cheaper blend", False),
    ]
    drawn = str(pareto(points, "title", "macro_f1"))
    for name in ("member 0", "member 1", "member 2", "blend"):
        assert f">{name}</text>" in drawn
    assert ">2 weights</text>" not in drawn
    place = r'x="[0-9.]+" y="[0-9.]+" class="(?:end )?small">member {n}<'
    at = {re.search(place.replace("{n}", str(n)), drawn)[0][:20] for n in range(3)}
    assert len(at) == 3
