"""Near the time limit views are dropped, then members: those with the least vote for their time first."""

from types import SimpleNamespace

import pytest

from pipeline.core.errors import ConfigError
from pipeline.predict.clock import Clock
from pipeline.predict.hidden import seconds_of
from pipeline.predict.predictor import Part, Predicted


def member(name, weight, views, ms):
    share = [1 / len(views)] * len(views)
    return SimpleNamespace(
        name=name, weight=weight, views=views, view_weights=share, ms_per_image=ms, votes=True
    )


MEMBERS = [
    member("strong", 0.6, ["identity", "hflip"], 40.0),
    member("weak", 0.1, ["identity", "hflip"], 20.0),
    member("cheap", 0.3, ["identity"], 5.0),
]
WHOLE = Part({m.name: tuple(m.views) for m in MEMBERS})


def clock(limit, margin=0.0):
    weights = {m.name: m.weight for m in MEMBERS}
    return Clock(SimpleNamespace(members=MEMBERS, weight_of=weights.__getitem__), limit, margin)


def test_everything_is_kept_where_it_fits():
    assert clock(66).choose(WHOLE, 1000, 0.0) == (WHOLE, [])
    assert clock(66).choose(WHOLE, 1000, 2.0)[1] == [
        "the view hflip of weak is dropped to stay inside the limit"
    ]


@pytest.mark.parametrize(
    ("limit", "kept"),
    [
        (56, {"strong": ("identity", "hflip"), "weak": ("identity",), "cheap": ("identity",)}),
        (36, {"strong": ("identity",), "weak": ("identity",), "cheap": ("identity",)}),
        (26, {"strong": ("identity",), "cheap": ("identity",)}),
        (6, {"cheap": ("identity",)}),
        (1, {"cheap": ("identity",)}),
    ],
)
def test_views_go_before_members_and_one_view_of_one_member_stays(limit, kept):
    part, dropped = clock(limit).choose(WHOLE, 1000, 0.0)
    assert part.views == kept and len(dropped) == 5 - sum(map(len, kept.values()))


def test_measured_times_replace_those_of_where_it_was_trained():
    made = clock(100)
    seconds = {("strong", "identity"): 1.0, ("strong", "hflip"): 3.0}
    made.add(Predicted(tuple(range(10)), (), (), seconds), 5.0)
    assert made.seconds_of("strong", "hflip") == pytest.approx(0.3)
    assert made.seconds_of("weak", "hflip") == pytest.approx(0.01)
    assert made.per_image({"strong": ("identity",)}) == pytest.approx(0.1 + 0.1)
    assert made.least == pytest.approx(0.1 + 0.005)


def test_the_margin_is_kept_back():
    assert clock(66, 0.1).choose(WHOLE, 1000, 0.0)[1] != []
    assert clock(66).fits(WHOLE, 1000, 0.0) and not clock(66).fits(WHOLE, 1000, 1.5)


def test_times_are_read_with_their_unit():
    assert [seconds_of(t) for t in ("9h", "30m", "2.5 min", "600", "40s")] == [32400, 1800, 150, 600, 40]
    for odd in ("", "soon", "0", "-3h"):
        with pytest.raises(ConfigError, match="this is no time above 0"):
            seconds_of(odd)
