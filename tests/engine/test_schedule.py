"""The order of work as plain data: what may start, and what is given up after a fault."""

import random

import pytest

from pipeline.engine.schedule import Schedule

# Two members with two folds each; the page needs both.
TWO = {
    "data": (),
    "a0": ("data",),
    "a1": ("data",),
    "b0": ("data",),
    "a": ("a0", "a1"),
    "b": ("b0",),
    "page": ("a", "b"),
}


def begun(schedule, *pieces):
    for piece in pieces:
        schedule.start(piece)
        schedule.done(piece)


def test_what_waits_for_nothing_starts_first_and_the_rest_follows():
    schedule = Schedule(TWO)
    assert schedule.ready() == ["data"]
    begun(schedule, "data")
    assert schedule.ready() == ["a0", "a1", "b0"]
    begun(schedule, "a0", "b0")
    assert schedule.ready() == ["a1", "b"]
    begun(schedule, "a1", "a", "b", "page")
    assert schedule.is_over and schedule.faults == {}


def test_what_runs_is_not_ready_again():
    schedule = Schedule(TWO)
    schedule.start("data")
    assert schedule.ready() == [] and not schedule.is_over


def test_a_fault_gives_up_what_depends_on_it_and_nothing_else():
    schedule = Schedule(TWO)
    begun(schedule, "data", "a0")
    schedule.start("a1")
    error = ValueError("loss is nan")
    assert set(schedule.failed("a1", error)) == {"a", "page"}
    assert schedule.ready() == ["b0"], "the other member goes on"
    begun(schedule, "b0", "b")
    assert schedule.is_over and schedule.faults == {"a1": error}
    assert schedule.state("page") == "given up"


def test_two_faults_are_both_kept():
    schedule = Schedule(TWO)
    begun(schedule, "data")
    for piece in ("a0", "b0"):
        schedule.start(piece)
    schedule.failed("a0", ValueError("a"))
    schedule.failed("b0", ValueError("b"))
    begun(schedule, "a1")
    assert list(schedule.faults) == ["a0", "b0"] and schedule.is_over


def test_a_piece_that_could_not_run_yet_is_ready_again():
    schedule = Schedule(TWO)
    schedule.start("data")
    schedule.again("data")
    assert schedule.ready() == ["data"]


def test_nothing_left_is_over_from_the_start():
    assert Schedule({}).is_over


@pytest.mark.parametrize("after", [{"a": ("b",), "b": ("a",)}, {"a": ("a",)}, {"a": ("nobody",)}])
def test_what_can_never_start_is_refused(after):
    with pytest.raises(AssertionError):
        Schedule(after)


@pytest.mark.parametrize("seed", range(20))
def test_every_order_of_ends_keeps_the_order_of_the_graph(seed):
    draw = random.Random(seed)
    names = [f"n{i}" for i in range(30)]
    after = {name: draw.sample(names[:i], min(i, draw.randrange(4))) for i, name in enumerate(names)}
    schedule, running, done = Schedule(after), list[str](), list[str]()
    while not schedule.is_over:
        for piece in schedule.ready():
            schedule.start(piece)
            running.append(piece)
        piece = running.pop(draw.randrange(len(running)))
        assert set(after[piece]) <= set(done)
        schedule.done(piece)
        done.append(piece)
    assert sorted(done) == sorted(names)


def test_further_pieces_may_wait_for_what_runs_and_not_for_what_is_done():
    schedule = Schedule(TWO)
    begun(schedule, "data")
    schedule.start("a0")
    schedule.add({"other": ("data", "a0", "more"), "more": ()})
    assert "other" not in schedule.ready() and "more" in schedule.ready()
    schedule.done("a0")
    begun(schedule, "more")
    assert "other" in schedule.ready()


def test_a_piece_that_failed_may_start_anew_and_one_that_runs_may_not():
    schedule = Schedule({"a": (), "b": ("a",)})
    schedule.start("a")
    with pytest.raises(AssertionError, match="have not ended: a"):
        schedule.add({"a": ()})
    schedule.failed("a", ValueError("once"))
    schedule.add({"a": (), "b": ("a",)})
    assert schedule.faults == {} and schedule.ready() == ["a"]
    begun(schedule, "a", "b")
    schedule.drop(["a", "b"])
    assert schedule.is_over and not schedule.knows("a")
