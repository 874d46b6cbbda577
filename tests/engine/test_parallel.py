"""The loop that builds several needs side by side: with a pool in this process, so without waiting."""

import json
import sqlite3
import time
from dataclasses import replace

import pytest
from toil_world import HerePool, digests, session_of, team

from pipeline.core.errors import DataError, StorageError, UserError
from pipeline.engine.executors.plan import OPEN, after, missing
from pipeline.engine.executors.work import WorkerBugError
from pipeline.engine.need import Need


def both(session, *teams):
    return Need("sum", session.settings, {"teams": ",".join(teams)})


def state_of(home):
    (path,) = (home / "artifacts" / ".state").glob("*.json")
    return json.loads(path.read_text(encoding="utf-8"))


def test_results_are_those_of_this_process(tmp_path):
    session = session_of(tmp_path / "a")
    session.get(both(session, "work", "more"))
    session = session_of(tmp_path / "b", pool=HerePool())
    session.get(both(session, "work", "more"))
    assert digests(tmp_path / "a") == digests(tmp_path / "b")


def test_folds_of_all_members_run_side_by_side(tmp_path):
    session = session_of(tmp_path, pool=(pool := HerePool(size=6)))
    session.get(both(session, "work", "more"))
    assert len(pool.order) == 6
    nodes = missing(session_of(tmp_path / "new"), [both(session_of(tmp_path / "new"), "work", "more")])
    waits = after(session_of(tmp_path / "new"), nodes)
    folds = [piece for piece in waits if piece.startswith("toil")]
    grounds = [piece for piece in waits if piece.startswith("ground")]
    opens = [piece for piece in waits if piece.startswith(OPEN)]
    assert len(folds) == 6 and len(opens) == 2
    assert all(waits[piece] == {grounds[0], nodes_open(nodes, piece)} for piece in folds)


def nodes_open(nodes, piece):
    return OPEN + nodes[piece].parent


class LastFirst(HerePool):
    """The task that was submitted last ends first."""

    def wait(self, seconds):
        self._queue.reverse()
        try:
            return super().wait(seconds)
        finally:
            self._queue.reverse()


@pytest.mark.parametrize("first", ["work", "fail"])
def test_runs_of_a_stage_are_recorded_in_the_order_of_one_process(tmp_path, first):
    session = session_of(tmp_path, pool=LastFirst(size=6))
    try:
        session.get_all([team(session, first), team(session, "more"), team(session, "yet more")])
    except UserError:
        assert first == "fail"
    built = (tmp_path / "teams.txt").read_text().splitlines()
    assert built == [name for name in (first, "more", "yet more") if name != "fail"]


def test_light_stages_alone_start_no_process(tmp_path):
    pool = HerePool()
    session = session_of(tmp_path, pool=pool)
    session.get(Need("ground", session.settings))
    assert pool.order == [] and session.executor._pool is None


def test_what_exists_is_not_built_again(tmp_path, capsys):
    first = session_of(tmp_path)
    first.get(team(first))
    session = session_of(tmp_path, pool=(pool := HerePool()))
    session.get(team(session))
    assert pool.order == []


def test_each_result_is_printed_once(tmp_path, capsys):
    session = session_of(tmp_path, pool=HerePool())
    session.get(team(session))
    out = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in out] == ["ground", "team:", "toil", "toil", "toil", "team", "a"]


def test_a_fault_lets_everything_else_go_on_and_all_faults_are_told(tmp_path):
    session = session_of(tmp_path, pool=HerePool())
    with pytest.raises(UserError) as failed:
        session.get_all([team(session, "fail"), team(session, "work")])
    assert "2 results could not be built" in str(failed.value)
    assert [fault.partition(": ")[2] for fault in failed.value.faults] == ["toil 0 failed", "toil 2 failed"]
    kept = [a.stage for a in session.store.all()]
    assert kept.count("toil") == 4 and kept.count("team") == 1


def test_a_full_disk_stays_a_full_disk_among_several_faults(tmp_path):
    session = session_of(tmp_path, pool=HerePool())
    with pytest.raises(StorageError, match="3 results could not be built"):
        session.get(team(session, "fill the disk"))


def test_one_fault_is_raised_as_it_is(tmp_path):
    session = session_of(tmp_path, pool=HerePool())
    with pytest.raises(DataError, match="all toils fail"):
        session.get(team(session, "fail alike"))


def test_an_error_of_ours_keeps_its_traceback_after_everything_else(tmp_path):
    session = session_of(tmp_path, pool=HerePool())
    with pytest.raises(WorkerBugError, match=r"(?s)toil.*fold 1.*toil_world\.py.*ZeroDivisionError"):
        session.get_all([team(session, "bug"), team(session, "work")])
    assert [a.stage for a in session.store.all()].count("team") == 1


def test_a_lost_process_is_replaced_once(tmp_path, caplog):
    session = session_of(tmp_path, pool=(pool := HerePool(lose=[1])))
    session.get(team(session))
    assert len(pool.order) == 4 and "tried once more" in caplog.text


def test_a_need_whose_process_is_lost_twice_is_told(tmp_path):
    session = session_of(tmp_path, pool=HerePool(lose=[1, 1]))
    with pytest.raises(UserError, match=r"fold 1: its process ended twice \(signal SIGKILL\)"):
        session.get(team(session))
    assert [a.stage for a in session.store.all()].count("toil") == 2


def test_the_state_file_tells_every_need(tmp_path):
    session = session_of(tmp_path, pool=HerePool())
    with pytest.raises(UserError):
        session.get(team(session, "fail"))
    session.close()
    state = state_of(tmp_path)
    assert (state["version"], state["executor"], state["state"]) == (1, "local", "done")
    assert state["counts"] == {"waiting": 0, "running": 0, "done": 2, "failed": 2, "given up": 1}
    failed = [need for need in state["needs"] if need["state"] == "failed"]
    assert {need["message"] for need in failed} == {"toil 0 failed", "toil 2 failed"}
    assert all(need["epoch"] == 3 for need in failed)


def test_this_process_writes_the_same_state_file(tmp_path):
    session = session_of(tmp_path)
    session.get(team(session))
    session.close()
    state = state_of(tmp_path)
    assert (state["executor"], state["state"], state["counts"]["done"]) == ("here", "done", 5)
    assert {need["epoch"] for need in state["needs"] if need["stage"] == "toil"} == {3}


def test_a_need_that_may_take_long_is_in_the_state_file_as_soon_as_it_begins(tmp_path):
    progress = session_of(tmp_path).progress
    with progress.building("quick/1", "quick", "quick"):
        pass
    with progress.building("long/1", "long", "long"):
        assert [need["state"] for need in state_of(tmp_path)["needs"]] == ["done", "running"]


def test_many_quick_needs_do_not_write_the_state_file_each_time(tmp_path, monkeypatch):
    progress, written = session_of(tmp_path).progress, []
    monkeypatch.setattr(progress, "_write", written.append)
    monkeypatch.setattr(progress, "_written", time.monotonic() + 60)
    for n in range(9):
        with progress.building(f"quick/{n}", "quick", "quick"):
            pass
    assert len(written) == 1


def test_the_state_file_of_a_long_search_lists_the_last_needs_and_counts_all(tmp_path):
    progress = session_of(tmp_path).progress
    for n in range(700):
        progress.expect(f"toil/{n}", "toil", "toil")
    for n in range(650):
        progress.started(f"toil/{n}", "gpu 0", 1)
        progress.ended(f"toil/{n}")
    progress.close()
    state = state_of(tmp_path)
    assert state["counts"]["done"] == 650 and len(state["needs"]) == 550
    assert state["needs"][0]["name"] == "toil/150" and state["needs"][-1]["name"] == "toil/699"


def test_a_need_that_starts_again_has_no_epochs_of_the_process_that_was_lost(tmp_path):
    progress = session_of(tmp_path).progress
    progress.expect("toil/1", "toil", "toil")
    progress.started("toil/1", "gpu 0", 1)
    progress.epoch("toil/1", 8, 10)
    progress.again("toil/1")
    progress.started("toil/1", "gpu 0", 2)
    assert (state_of(tmp_path)["needs"][0]["epoch"], progress.eta()) == (None, None)


def test_a_parent_that_cannot_be_opened_has_failed(tmp_path, monkeypatch):
    session = session_of(tmp_path, pool=HerePool())

    def refuse(need):
        raise DataError("no run can be opened")

    monkeypatch.setattr(session, "open", refuse)
    with pytest.raises(DataError, match="no run can be opened"):
        session.get(team(session))
    session.close()
    states = {need["stage"]: (need["state"], need["message"]) for need in state_of(tmp_path)["needs"]}
    assert states["team"] == ("failed", "no run can be opened")
    assert states["toil"] == ("given up", "")


def test_pruning_reports_reach_the_command_and_its_answers_the_training(tmp_path):
    session = session_of(tmp_path, pool=(pool := HerePool()))
    heard = []
    session.on_epoch = lambda fold, epoch, figures: heard.append((fold, epoch)) or True
    session.get(Need("toil", session.settings, {"fold": 0, "does": "work"}))
    assert heard == [(0, 0), (0, 1), (0, 2)] and pool.answers == [True, True, True]


def runs_of(home):
    with sqlite3.connect(home / "mlflow.db") as db:
        query = "SELECT r.name, r.status, t.value FROM runs r LEFT JOIN tags t"
        parents_last = " ORDER BY t.value IS NULL, r.name"
        return db.execute(
            query + " ON t.run_uuid = r.run_uuid AND t.key = 'mlflow.parentRunId'" + parents_last
        ).fetchall()


@pytest.mark.slow
def test_folds_are_children_of_their_parents_run(tmp_path):
    session = session_of(tmp_path, pool=HerePool(), record=True)
    session.get(team(session))
    rows = runs_of(tmp_path)
    assert [(name.partition(" of ")[0], status) for name, status, _ in rows] == [
        *((f"fold {n}", "FINISHED") for n in range(3)),
        (rows[-1][0], "FINISHED"),
    ]
    assert len({parent for *_, parent in rows}) == 2, "three children of one parent"


def test_a_parent_whose_fold_failed_is_closed_as_failed(tmp_path):
    session = session_of(tmp_path, pool=HerePool(), record=True)
    with pytest.raises(UserError):
        session.get(team(session, "fail"))
    states = [status for _, status, _ in runs_of(tmp_path)]
    assert states == ["FAILED", "FINISHED", "FAILED", "FAILED"]


def test_a_result_that_another_command_builds_is_waited_for_without_a_lock_in_hand(tmp_path, caplog):
    session = session_of(tmp_path, pool=HerePool())
    other = session_of(tmp_path)
    need = team(other)
    key = other.graph.key(need)
    held = other.store.lock("team", key)
    held.__enter__()
    pool = session.executor.pool(session)
    waited = []

    def wait(seconds, before=pool.wait):
        waited.append(seconds)
        if len(waited) == 3:
            held.__exit__(None, None, None)
            other.get(need)
        return before(seconds)

    pool.wait = wait
    made = session.get(team(session))
    assert made.key == key and pool.order == [] and "another command builds" in caplog.text


class OtherFiles(HerePool):
    """A process that reads other settings than its command, as with other files."""

    def submit(self, task):
        other = task.need.settings.with_values({"train.seed": 9})
        return super().submit(replace(task, need=replace(task.need, settings=other)))


def test_a_worker_with_other_files_refuses(tmp_path):
    session = session_of(tmp_path, pool=OtherFiles())
    with pytest.raises(UserError, match="its worker computes the key"):
        session.get(Need("toil", session.settings, {"fold": 0, "does": "work"}))
