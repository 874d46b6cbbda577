"""Which members fit into a time: nothing that cannot end is planned, and no schedule is a guess."""

import math

import pytest

from pipeline.plan.clock import needs
from pipeline.plan.planning import (
    FILL,
    LONGEST,
    SHORTEST,
    Cost,
    Features,
    Ladder,
    Pace,
    Planned,
    Rung,
    fewest,
    fitted,
    plan,
    quickest,
    viewed,
)


def rung(name="net", size=64, epochs=10, views=3, epoch=10.0, view=2.0, fixed=5.0, **more):
    return Rung(name, size, epochs, views, Cost(fixed, epoch, view), **more)


def network(name="net", *rungs, **more):
    return Ladder(name, "network", rungs or (rung(name, **more),))


def probe(name="probe", seconds=8.0):
    return Ladder(name, "probe", (Rung(name, 64, 1, 3, Cost(seconds), is_fixed=True),))


def planned(ladders, seconds, pace=None, has_network=True, after=2.0):
    return plan(ladders, seconds, pace or Pace(), after, has_network, needs)


def test_members_come_in_the_order_of_the_portfolio_and_end_in_time():
    made = planned([probe(), network("a"), network("b"), network("c")], 400)
    assert [m.ladder.name for m in made.members] == ["probe", "a", "b", "c"]
    assert made.seconds + 4 * 2 <= FILL * 400 and not made.left_out


@pytest.mark.parametrize("seconds", [20, 60, 75, 100, 111, 130, 260, 500, 2000])
@pytest.mark.parametrize("has_network", [False, True])
def test_no_plan_is_longer_than_its_time(seconds, has_network):
    ladders = [network("a"), probe("p"), network("b", epoch=3.0), network("c", epoch=90.0), probe("q", 30.0)]
    made = planned(ladders, seconds, has_network=has_network)
    assert made.seconds + 2 * len(made.members) <= seconds
    names = [m.ladder.name for m in made.members] + [name for name, _ in made.left_out]
    assert sorted(names) == ["a", "b", "c", "p", "q"], "every recipe is planned or left out with a reason"


def head(name, views=2, beside=None, prepare=5.0):
    """A head that predicts identity, and hflip where it has two views: 50 s of features each."""
    of_view = ({"identity": 50.0}, {"hflip": 50.0})[:views]
    cost = Cost(1.0, features=Features(of_view, beside or {}, prepare))
    return Ladder(name, "probe", (Rung(name, 64, 1, views, cost, is_fixed=True),))


def test_members_on_the_same_features_pay_for_them_once():
    one_view, both, again = planned([head("a", 1), head("b"), head("c")], 1000).members
    assert (one_view.seconds, both.seconds, again.seconds) == (56, 56, 1)
    assert [m.ladder.rungs.index(m.rung) for m in (one_view, both, again)] == [0, 0, 0]
    (later,) = plan([head("b")], 1000, Pace(), 2.0, True, needs, there=one_view.features).members
    assert later.seconds == 56, "what an earlier member of the command computed is there"


def test_a_head_cut_to_a_view_that_is_there_costs_next_to_nothing():
    (cut,) = plan([head("b")], 40, Pace(), 2.0, True, needs, there=frozenset({"identity"})).members
    assert (cut.views, cut.seconds) == (1, 1)


def test_a_head_cut_to_one_view_computes_none_of_the_views_that_it_would_only_train_on():
    (cut,) = planned([head("b", beside={"shift": 50.0})], 100).members
    assert (cut.views, cut.seconds, cut.features) == (1, 56, {"identity"})
    (whole,) = planned([head("b", beside={"shift": 50.0})], 1000).members
    assert (whole.views, whole.seconds) == (2, 156) and "shift" in whole.features


def test_what_does_not_fit_gets_fewer_epochs_then_one_view_and_is_left_out_with_its_time():
    whole = fitted(network(), rung(), 111, Pace())
    assert (whole.epochs, whole.views) == (10, 3)
    shorter = fitted(network(), rung(), 90, Pace())
    assert (shorter.epochs, shorter.views) == (7, 3) and shorter.seconds <= 90
    one_view = fitted(network(), rung(view=10.0), 80, Pace())
    assert one_view.views == 1 and one_view.epochs >= SHORTEST * 10
    least = fewest(network(), rung(), Pace())
    assert fitted(network(), rung(), least.seconds, Pace()) is not None
    assert fitted(network(), rung(), least.seconds - 0.01, Pace()) is None
    made = planned([network(epoch=100.0)], 300)
    assert made.members == () and made.left_out == (("net", needs(607 + 2)),)


def test_only_the_first_network_may_have_smaller_images():
    large = rung("net", 96, epoch=30.0)
    small = rung("net at 64 px", 64, epoch=12.0)
    both = network("net", large, small)
    assert [m.rung.size for m in planned([both], 180, has_network=False).members] == [64]
    assert planned([both], 180, has_network=True).members == ()
    assert [m.rung.size for m in planned([both], 400, has_network=False).members] == [96]


def test_a_network_that_fits_as_it_is_comes_before_a_better_one_with_smaller_images():
    large = network("large", rung("large", 160, epoch=60.0), rung("large at 80 px", 80, epoch=15.0))
    small = network("small", rung("small", 96, epoch=20.0))
    assert [m.rung.label for m in planned([large, small], 300, has_network=False).members] == ["small"]
    assert [m.rung.label for m in planned([large, small], 130, has_network=False).members] == [
        "large at 80 px"
    ]
    assert [m.rung.label for m in planned([large, small], 800, has_network=False).members] == [
        "large",
        "small",
    ]


def test_a_network_with_smaller_images_gets_the_time_that_other_members_leave():
    large = network("large", rung("large", 160, epoch=60.0), rung("large at 80 px", 80, epoch=15.0))
    heads = [probe("p", 8.0), probe("q", 60.0)]
    names = [m.rung.label for m in planned([heads[0], large, heads[1]], 240, has_network=False).members]
    assert names == ["p", "q", "large at 80 px"]
    assert [m.rung.label for m in planned([heads[0], large, heads[1]], 150, has_network=False).members] == [
        "p",
        "q",
    ], "no head gives way to it"
    made = planned([large], 50, has_network=False)
    assert made.members == () and [name for name, _ in made.left_out] == ["large"]


def test_the_rest_of_the_time_goes_to_more_epochs_of_the_last_network():
    made = planned([network("a", epoch=4.0), network("b"), probe()], 400)
    by_name = {m.ladder.name: m.epochs for m in made.members}
    assert by_name["a"] == 10 and by_name["b"] == math.floor(LONGEST * 10)
    assert planned([network("a")], 130).members[0].epochs < LONGEST * 10


def test_folds_that_exist_are_not_paid_again_and_fix_the_epochs():
    begun = rung(share=0.4, is_fixed=True)
    assert fitted(network(), begun, 52, Pace()).epochs == 10
    assert fitted(network(), begun, 46, Pace()) is None, "a schedule that has begun is not changed"
    assert planned([network("net", begun)], 1000).members[0].epochs == 10


def test_a_member_that_took_twice_its_time_doubles_what_is_expected_of_the_next_ones():
    pace = Pace()
    before = planned([network("a"), network("b")], 300)
    assert len(before.members) == 2
    pace.observe("network", expected=100, seconds=200)
    assert pace.of("network") == pytest.approx(220 / 120) and pace.of("probe") == 1.0
    after = planned([network("a"), network("b")], 300, pace)
    assert len(after.members) == 1 and after.seconds <= 300
    pace.observe("network", expected=100, seconds=50)
    assert 0.5 < pace.of("network") < 2.0, "the newest observation weighs most, and not alone"


def test_a_quick_member_that_takes_seconds_longer_does_not_leave_out_those_of_a_minute():
    """The pixels of a picture are solved in seconds, and loading libraries takes as long."""
    pace = Pace()
    pace.observe("probe", expected=3, seconds=40)
    assert pace.of("probe") < 3
    long = Pace()
    long.observe("probe", expected=300, seconds=600)
    assert long.of("probe") > 1.9, "a long one tells nearly all"


def test_one_odd_observation_changes_expectations_within_limits():
    pace = Pace()
    pace.observe("network", expected=1, seconds=1000)
    pace.observe("probe", expected=1000, seconds=1)
    assert pace.of("network") == 8.0 and pace.of("probe") == 0.3
    pace.observe("network", expected=0, seconds=5)
    assert pace.of("network") == 8.0


def test_a_recipe_without_a_cost_is_left_out_with_its_note():
    made = planned([Ladder("own", "network", (), "no such weights"), probe()], 100)
    assert made.left_out == (("own", "no such weights"),) and len(made.members) == 1


def test_the_first_submission_is_quick_whatever_the_portfolio_has():
    slow = Ladder("large", "probe", (Rung("large", 96, 1, 3, Cost(40.0, view=10.0), is_fixed=True),))
    quick = Ladder(
        "small",
        "probe",
        (
            Rung("small", 64, 1, 3, Cost(20.0, view=5.0), is_fixed=True),
            Rung("small at 32 px", 32, 1, 3, Cost(5.0, view=1.0), is_fixed=True),
        ),
    )
    first = quickest([slow, quick], 100, Pace())
    assert (first.ladder.name, first.views, first.rung.size) == ("small", 3, 64)
    first = quickest([slow, quick], 30, Pace())
    assert (first.ladder.name, first.views, first.rung.size) == ("small", 1, 64)
    first = quickest([slow, quick], 10, Pace())
    assert (first.ladder.name, first.views, first.rung.size) == ("small", 3, 32)
    first = quickest([slow, quick], 1, Pace())
    assert (first.seconds, first.views, first.rung.size) == (6.0, 1, 32), "the shortest form of any"


def test_what_cannot_be_paused_begins_only_with_time_to_spare():
    (head,) = probe(seconds=40.0).rungs
    assert fitted(probe(), head, 59, Pace()) is None
    assert fitted(probe(), head, 60, Pace()).seconds == 40
    assert fitted(probe(), head, 59, Pace(), late=1).seconds == 40, "the command may end so much later"
    assert fitted(probe(), head, 39, Pace(), late=60) is None, "if it takes longer than expected, only"


@pytest.mark.parametrize(
    ("seconds", "asked", "views"), [(60, 3, 3), (45, 3, 2), (45, 1, 1), (999, 1, 1), (5, 3, 1), (-30, 3, 1)]
)
@pytest.mark.parametrize(("before", "taken"), [(2.0, 105.0), (1.0, 210.0), (2.0, 12.0)])
def test_a_trained_network_has_those_of_its_views_for_which_there_is_time(
    seconds, asked, views, before, taken
):
    """105 s of training and 10 s a view are expected; the slower of two paces counts, and what is left of an
    earlier training says nothing."""
    ladder = network(view=10.0)
    one = Planned(ladder, ladder.rungs[0], 10, asked, 120.0)
    assert viewed(one, taken, seconds, Pace({"network": before})).views == views
