"""Groups of needs that become known one after another, with every executor: as the trials of a search do."""

import time

import pytest
from toil_world import HerePool, session_of, team

from pipeline.core.errors import DataError, StorageError, UserError
from pipeline.engine.need import Need


def toil(session, fold=0, does="work"):
    return Need("toil", session.settings, {"fold": fold, "does": does})


def all_of(flow, n):
    found = {}
    while len(found) < n:
        found |= flow.wait()
    return found


@pytest.fixture(params=["here", "pool"])
def session(request, tmp_path):
    return session_of(tmp_path, pool=HerePool() if request.param == "pool" else None)


def test_every_group_gets_its_results(session):
    with session.flow() as flow:
        flow.add("a", [toil(session, 0), toil(session, 1)])
        flow.add("b", [team(session, "more")])
        found = all_of(flow, 2)
        assert [a.stage for a in found["a"]] == ["toil"] * 2 and [a.stage for a in found["b"]] == ["team"]
        flow.add("a", [team(session)])  # a name may be used again, and what is there is only found
        ((made,),) = all_of(flow, 1).values()
    assert made.stage == "team"


def test_a_fault_belongs_to_its_group(session):
    with session.flow() as flow:
        flow.add("bad", [team(session, "fail")])
        flow.add("good", [team(session, "work")])
        found = all_of(flow, 2)
    assert isinstance(found["bad"], UserError) and found["good"][0].stage == "team"


def test_each_result_or_its_error_and_nothing_is_built_twice(session, monkeypatch):
    pool = getattr(session.executor, "_open_pool", lambda site: None)(session)
    needs = [toil(session, 0, "fail"), toil(session, 1, "work"), toil(session, 2, "fail alike")]
    first, second, third = session.get_each(needs)
    assert (str(first), second.stage, str(third)) == ("toil 0 failed", "toil", "all toils fail")
    assert pool is None or len(pool.order) == 3
    with pytest.raises(StorageError, match="the disk is full"):
        session.get_each([toil(session, 0, "fill the disk")])


def test_epochs_are_told_to_the_group_that_trains(session):
    heard = {"a": [], "b": []}

    def hears(name):
        return lambda fold, epoch, figures: heard[name].append((fold, epoch)) or True

    with session.flow() as flow:
        flow.add("a", [toil(session, 0)], hears("a"))
        flow.add("b", [toil(session, 1)], hears("b"))
        flow.add("c", [toil(session, 2)])
        all_of(flow, 3)
    assert heard == {"a": [(0, n) for n in range(3)], "b": [(1, n) for n in range(3)]}


def test_what_two_groups_need_is_built_once(tmp_path):
    session = session_of(tmp_path, pool=(pool := HerePool(size=4)))
    with session.flow() as flow:
        flow.add("a", [team(session)])
        flow.add("b", [team(session)])
        flow.add("c", [toil(session, 1)])
        found = all_of(flow, 3)
    assert len(pool.order) == 3 and found["a"][0].key == found["b"][0].key


def test_groups_that_share_a_need_that_fails_both_hear_of_it(tmp_path):
    session = session_of(tmp_path, pool=HerePool(size=4))
    with session.flow() as flow:
        flow.add("a", [team(session, "fail")])
        flow.add("b", [toil(session, 0, "fail")])
        found = all_of(flow, 2)
        assert "2 results could not be built" in str(found["a"]) and str(found["b"]) == "toil 0 failed"
        flow.add("again", [toil(session, 0, "fail")])
        assert str(all_of(flow, 1)["again"]) == "toil 0 failed", "it was tried again"


def test_a_group_that_is_refused_does_not_end_the_others(tmp_path, monkeypatch):
    session = session_of(tmp_path, pool=HerePool())

    def refuse(need):
        if need.params.get("does") == "never":
            raise DataError("refused")

    monkeypatch.setattr(session, "refuse_one", refuse)
    with session.flow() as flow:
        flow.add("a", [toil(session)])
        flow.add("b", [toil(session, 0, "never")])
        found = all_of(flow, 2)
    assert str(found["b"]) == "refused" and found["a"][0].stage == "toil"


def test_light_needs_that_are_wanted_may_be_spread_over_processes(tmp_path):
    session = session_of(tmp_path, pool=(pool := HerePool()))
    with session.flow(spread=True) as flow:
        flow.add("a", [Need("ground", session.settings)])
        assert all_of(flow, 1)["a"][0].stage == "ground"
        flow.add("b", [team(session)])
        assert all_of(flow, 1)["b"][0].stage == "team"
    assert [title.split()[0] for title in pool.order] == ["ground", "toil", "toil", "toil"]


def test_a_flow_that_is_left_by_an_error_ends_the_processes_and_gives_back_claims(tmp_path):
    session = session_of(tmp_path, pool=(pool := HerePool(size=1)))
    with pytest.raises(ZeroDivisionError), session.flow() as flow:
        flow.add("a", [team(session)])
        session.executor.pool(session).wait = lambda seconds: (_ for _ in ()).throw(ZeroDivisionError)
        flow.wait()
    assert pool.closed == 1
    other = session_of(tmp_path)
    assert other.get(team(other)).stage == "team", "nobody holds it any more"


def test_seconds_of_side_by_side_work_are_counted_once(tmp_path, monkeypatch):
    session = session_of(tmp_path, pool=HerePool(size=2))
    build = session.build_opened

    def slow(order, run):
        begin = time.monotonic()
        time.sleep(0.1)
        session.seconds["team"] = session.seconds.get("team", 0.0) + time.monotonic() - begin
        return build(order, run)  # which adds its own seconds

    monkeypatch.setattr(session, "build_opened", slow)
    before, session.seconds = time.monotonic(), {}
    session.get_all([team(session, "work"), team(session, "more")])
    built = session.seconds["team"]
    assert built >= 0.2 and sum(session.seconds.values()) <= time.monotonic() - before
