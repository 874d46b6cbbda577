"""TIME: what is no budget of time is one clear error, and a training that cannot end in time is paused."""

import pytest

from pipeline.cli import parser
from pipeline.core.errors import ConfigError
from pipeline.plan.clock import Clock, Reserve, Watch, minutes, time_of


class Hands:
    """A clock that moves only when it is told to."""

    def __init__(self):
        self.at = 100.0

    def __call__(self):
        return self.at


def test_time_in_seconds():
    assert time_of("30m") == 1800 and time_of("2h") == 7200 and time_of("90s") == 90


@pytest.mark.parametrize("text", ["abc", "0", "-5m", "5 min", "1d", "1h30m"])
def test_what_is_no_time_is_refused_with_examples(text):
    with pytest.raises(ConfigError, match=r"is not a duration\n.*TIME=90s, TIME=30m or TIME=2h"):
        time_of(text)


@pytest.mark.parametrize("text", ["5s", "59s", "0.5m", "1"])
def test_a_time_that_is_too_short_says_the_least(text):
    with pytest.raises(ConfigError, match=rf"TIME={text} is too short: the least is TIME=1m"):
        time_of(text)


@pytest.mark.parametrize("command", ["all", "train", "ensemble", "improve", "tune"])
def test_every_command_with_a_budget_of_time_calls_it_time(command):
    more = ["--stage", "tta"] if command == "tune" else []
    assert parser().parse_args([command, "--time=30m", *more]).time == "30m"


def test_a_clock_counts_from_its_beginning():
    hands = Hands()
    clock = Clock(60, hands)
    hands.at += 25
    assert (clock.spent, clock.left) == (25, 35)
    assert [minutes(s) for s in (42, 89, 120, 7200)] == ["42 s", "89 s", "2.0 min", "2.00 h"]


def watched(epochs, seconds, each, start=0.0, after=0.0, is_all=False):
    """The number of epochs after which a training is paused; None: it may go on to its end."""
    hands = Hands()
    watch = Watch(Clock(seconds, hands), epochs, after, is_all)
    hands.at += start
    for number in range(epochs):
        hands.at += each(number) if callable(each) else each
        if not watch(0, number, {}):
            return number + 1
    return None


def test_a_training_that_ends_in_time_is_left_alone():
    assert watched(20, 100, 4.9) is None
    assert watched(20, 100, 4.9, after=2) is None, "a little over its end is within the tolerance"
    assert watched(1, 10, 50.0) is None, "at its last epoch nothing is left to pause"


def test_a_training_twice_as_slow_as_planned_is_paused_early():
    assert watched(20, 100, 10.0) == 2
    assert watched(100, 1000, 20.0) == 2
    late = watched(20, 100, lambda n: 4.0 if n < 10 else 16.0)
    assert 10 < late < 15, "and as soon as it becomes slow"


def test_a_pace_of_very_little_time_says_nothing():
    """Epochs of milliseconds: the second of 148 took three times as long as the others."""
    assert watched(148, 20, lambda n: 0.35 if n == 1 else 0.1) is None


def test_a_training_that_has_all_of_the_time_is_paused_at_its_end_only():
    assert watched(20, 100, 10.0, is_all=True) == 10
    assert watched(20, 100, 4.9, is_all=True) is None
    assert watched(20, 100, 5.1, is_all=True) is None, "a little over its end is better than nothing"
    assert watched(2000, 36000, 60.0, is_all=True) == 600, "but no epoch begins that only runs over it"


def test_a_slow_start_is_no_slow_training():
    """Libraries are loaded and files are read before the first epoch ends."""
    assert watched(20, 120, 4.9, start=20.0) is None


def test_epochs_of_a_checkpoint_are_not_waited_for_again():
    hands = Hands()
    watch = Watch(Clock(100, hands), 2 * 20, 0.0)
    going = []
    for fold, epoch in [*((0, e) for e in range(15, 20)), *((1, e) for e in range(20))]:
        hands.at += 3.9
        going.append(watch(fold, epoch, {}))
    assert all(going) and watch.epochs == 25 == watch.done


def test_a_small_delay_of_the_first_epochs_does_not_pause():
    assert watched(50, 100, lambda n: 2.2 if n < 6 else 1.8) is None


def test_what_is_kept_for_the_end_is_a_small_part_of_any_time():
    for seconds in (120, 1800, 8 * 3600):
        kept = Reserve.expected(Clock(seconds, Hands()), 2000, 10.0)
        assert 10.0 < kept.end < 10.0 + 0.02 * seconds and kept.blend < 0.1 * seconds
