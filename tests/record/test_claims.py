"""Claims: one holder of a name over processes and hosts; a dead holder is succeeded by one of any waiters."""

import errno
import itertools
import json
import multiprocessing
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from pipeline.record import claims as module
from pipeline.record.claims import BEATS, CLAIMS, Claims, Folder, Lock, WaitedError
from pipeline.record.hosts import Host
from pipeline.record.owners import Watch, is_living, life_of, this
from pipeline.record.store import Store

A, B = Host("box", "aaaaaaaaaaaaaaaa"), Host("box", "bbbbbbbbbbbbbbbb")
SPAWN = multiprocessing.get_context("spawn")


class Clock:
    """Seconds that a test sets."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def folder(tmp_path):
    return tmp_path / CLAIMS


@pytest.fixture
def clock():
    return Clock()


def of(folder, host=None, silence=60.0, clock=None):
    return Claims(Folder(folder), host, silence, Watch(None, clock, clock) if clock else None)


def files(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def test_a_held_name_is_not_taken_twice_and_is_free_after_release(folder):
    first, second = of(folder), of(folder)
    claim = first.take("fold-k")
    assert claim.is_held() and second.take("fold-k") is None and first.take("fold-k") is None
    assert set(second.held()) == {"fold-k"}
    claim.release()
    assert not claim.is_held() and second.take("fold-k") is not None


def test_nothing_is_left_of_a_claim_that_was_given_back(folder):
    with of(folder).hold("fold-k"):
        assert "fold-k" in files(folder)
    assert files(folder) == []


def test_two_hosts_of_one_name_with_equal_pids_do_not_judge_each_others_processes(folder, clock):
    """The pid of the holder is alive here, and its start time too: it is another machine's all the same."""
    held = of(folder, A, clock=clock).take("fold-k")
    other = of(folder, B, clock=clock)
    assert held.record.owner["pid"] == os.getpid()
    assert life_of(held.record.owner, A) == "alive" and life_of(held.record.owner, B) == "unknown"
    assert other.take("fold-k") is None


def silent_holder(folder, host, silence=60.0, name="fold-k"):
    """A claim of a machine that died: its heartbeat does not change any more."""
    dead = of(folder, host, silence)
    claim = dead.take(name)
    dead._beating.stop()
    return claim


def test_a_silent_host_is_succeeded_after_its_silence_and_finds_out(folder, clock):
    lost = silent_holder(folder, A)
    other = of(folder, B, silence=1.0, clock=clock)
    assert other.take("fold-k") is None
    clock.now += 59  # the holder promised 60, whatever this process would promise
    assert other.take("fold-k") is None and lost.is_held()
    clock.now += 2
    won = other.take("fold-k")
    assert won.is_held() and not lost.is_held() and won.taken_from == lost.record
    lost.release()
    assert won.is_held(), "one that lost its claim does not give back that of its successor"
    won.release()
    assert [name for name in files(folder) if not name.startswith(BEATS)] == []


def test_a_heartbeat_that_changes_keeps_the_claim_whatever_the_clocks_say(folder, clock):
    """The observed change counts: no time that one host wrote is compared with a time of another."""
    holder = of(folder, A)
    claim = holder.take("fold-k")
    holder._beating.stop()
    other = of(folder, B, clock=clock)
    for _ in range(5):
        assert other.take("fold-k") is None
        clock.now += 50
        holder._beat()
    assert claim.is_held()


def test_a_paused_process_of_the_same_host_keeps_its_claim(folder, clock):
    silent_holder(folder, Host.here(), silence=1.0)
    other = of(folder, Host.here(), clock=clock)
    assert other.take("fold-k") is None
    clock.now += 1e6
    assert other.take("fold-k") is None


def test_a_dead_process_of_the_same_host_is_succeeded_at_once(folder):
    process = SPAWN.Process(target=_hold_for_ever, args=(folder,))
    process.start()
    other = of(folder)
    while "fold-k" not in other.held():
        time.sleep(0.02)
    assert other.take("fold-k") is None
    process.kill()
    process.join()
    won = other.take("fold-k")
    assert won is not None and won.taken_from.owner["pid"] == process.pid
    won.release()


def test_the_heartbeat_of_a_dead_process_is_swept_with_its_claim(folder):
    process = SPAWN.Process(target=_hold_for_ever, args=(folder,))
    process.start()
    other = of(folder)
    # A claim is written beside its place first: until that file is gone, the process is still taking it.
    while "fold-k" not in other.held() or any(name.endswith(".tmp") for name in files(folder)):
        time.sleep(0.02)
    process.kill()
    process.join()
    assert other.sweep() == 1 and files(folder) == []


def _hold_for_ever(folder):
    with of(folder).hold("fold-k"):
        time.sleep(1000)


def _compete(folder, gate, number, log, host):
    """Take over from a silent holder, hold it for a moment, and note when."""
    mine = Claims(Folder(Path(folder)), Host("box", host), 600.0, Watch())
    mine._watch._seen["x"] = None
    mine.is_living = lambda record: record.owner["machine"] != "dead"
    gate.wait()
    for _ in range(number):
        with mine.hold("fold-k"):
            began = time.monotonic_ns()
            marker = Path(folder).parent / "inside"
            handle = os.open(marker, os.O_CREAT | os.O_EXCL)  # raises if another one is inside
            os.close(handle)
            time.sleep(0.001)
            marker.unlink()
            log.put((began, time.monotonic_ns()))


@pytest.mark.parametrize("dead", [1, 3])
def test_of_many_waiters_one_at_a_time_succeeds_the_dead(folder, dead):
    """A stress over processes: as hosts of their own they see dead holders at the same moment."""
    claim = silent_holder(folder, Host("box", "dead"))
    for _ in range(dead - 1):  # and its successor died as well
        text = json.dumps({**claim.record.__dict__, "number": f"{claim.record.number}1"})
        Folder(folder).create(f"fold-k~{claim.record.number}", text)
        claim = type(claim)(claim.claims, "fold-k", type(claim.record).read(text, 1))
    workers, rounds = 5, 12
    gate, log = SPAWN.Barrier(workers), SPAWN.Queue()
    started = [
        SPAWN.Process(target=_compete, args=(folder, gate, rounds, log, f"host{k}")) for k in range(workers)
    ]
    for process in started:
        process.start()
    spans = sorted(log.get(timeout=240) for _ in range(workers * rounds))
    for process in started:
        process.join(240)
    assert [process.exitcode for process in started] == [0] * workers
    assert all(end <= begin for (_, end), (begin, _) in itertools.pairwise(spans))
    assert [name for name in files(folder) if not name.startswith(BEATS)] == []


def test_a_successor_that_read_the_chain_before_it_was_given_back_does_not_win(folder, clock, monkeypatch):
    lost = silent_holder(folder, A)
    slow, quick = of(folder, B, clock=clock), of(folder, Host("other", "cccc"), clock=clock)
    assert slow.take("fold-k") is None and quick.take("fold-k") is None
    clock.now += 61
    create = slow.place.create
    held = []

    def late(name, text):
        if "~" in name and not held:  # between reading and creating: taken over, given back, taken anew
            quick.take("fold-k").release()
            held.append(quick.take("fold-k"))
        return create(name, text)

    monkeypatch.setattr(slow.place, "create", late)
    assert slow.take("fold-k") is None
    assert held[0].is_held() and not lost.is_held()
    assert not [name for name in files(folder) if "~" in name]


def test_the_heartbeat_goes_on_while_training_keeps_python_busy(folder):
    mine = of(folder, A, silence=0.6)
    watcher = of(folder, B)
    with mine.hold("fold-k") as claim:
        until = time.monotonic() + 1.5
        seen = set()
        while time.monotonic() < until:
            sum(k * k for k in range(20_000))
            seen.add(watcher.place.read(f"{BEATS}/{mine.id}"))
        assert claim.is_held() and len(seen) > 2


def test_a_paused_process_goes_on_beating_when_it_goes_on(folder):
    process = SPAWN.Process(target=_beat_for_ever, args=(folder,))
    process.start()
    watcher = of(folder, B)
    while not (beats := watcher.place.names(BEATS)):
        time.sleep(0.02)

    def changes(seconds):
        before = watcher.place.read(f"{BEATS}/{beats[0]}")
        until = time.monotonic() + seconds
        while time.monotonic() < until and watcher.place.read(f"{BEATS}/{beats[0]}") == before:
            time.sleep(0.02)
        return watcher.place.read(f"{BEATS}/{beats[0]}") != before

    try:
        assert changes(60)
        os.kill(process.pid, signal.SIGSTOP)
        time.sleep(0.2)
        assert not changes(0.5)
        os.kill(process.pid, signal.SIGCONT)
        assert changes(60)
    finally:
        process.kill()
        process.join()


def _beat_for_ever(folder):
    with of(folder, A, silence=0.6).hold("fold-k"):
        time.sleep(1000)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"number": "../x", "owner": {}, "beat": "", "silence": 5}'])
def test_a_claim_that_cannot_be_read_is_succeeded_when_nobody_changes_it(folder, clock, text):
    folder.mkdir()
    (folder / "fold-k").write_text(text)
    mine = of(folder, clock=clock)
    assert mine.take("fold-k") is None
    clock.now += 3600
    won = mine.take("fold-k")
    assert won.is_held()
    won.release()
    assert files(folder) == []


@pytest.mark.parametrize("silence", ["NaN", "1e300", "-5"])
def test_a_claim_cannot_ask_to_be_kept_for_ever(folder, clock, silence):
    folder.mkdir()
    owner = json.dumps(this(B))
    (folder / "fold-k").write_text(f'{{"number": "a1", "owner": {owner}, "beat": "", "silence": {silence}}}')
    mine = of(folder, A, clock=clock)
    assert mine.take("fold-k") is None
    clock.now += 24 * 3600 + 1
    assert mine.take("fold-k") is not None


def test_a_disk_without_hard_links_has_claims_too(folder, monkeypatch):
    def refused(*arguments):
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(module.os, "link", refused)
    mine = of(folder)
    claim = mine.take("fold-k")
    assert claim.is_held() and mine.take("fold-k") is None
    claim.release()
    assert files(folder) == []


@pytest.mark.parametrize("links", [True, False])
def test_a_full_disk_leaves_no_empty_claim_behind(folder, monkeypatch, links):
    """Making a file needs no room, and writing it does: an empty one would hold the name for a while."""
    folder.mkdir(parents=True)
    if not links:
        monkeypatch.setattr(module, "NO_LINKS", (errno.EEXIST, *module.NO_LINKS))

        def refused(*arguments):
            raise OSError(errno.EPERM, "no links here")

        monkeypatch.setattr(module.os, "link", refused)
        original = Path.open

        def full_file(self, mode="r", **how):
            if mode == "x":
                original(self, mode, **how).close()
                raise OSError(errno.ENOSPC, "No space left on device")
            return original(self, mode, **how)

        monkeypatch.setattr(Path, "open", full_file)
    else:

        def full(handle, content):
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(module.os, "write", full)
    with pytest.raises(OSError, match="No space left"):
        Folder(folder).create("fold-k", "a claim")
    assert files(folder) == []


def test_a_claim_that_cannot_be_given_back_stops_beating(folder, monkeypatch):
    """As in a bucket that fails at this moment: others take it over after the silence."""
    mine = of(folder)
    claim = mine.take("fold-k")

    def fails(name, text):
        raise OSError(errno.EIO, "the network is gone")

    monkeypatch.setattr(mine.place, "remove_if", fails)
    with pytest.raises(OSError, match="network is gone"):
        claim.release()
    assert files(folder) == ["fold-k"] and not mine._held


def test_another_users_hidden_process_of_this_host_is_judged_by_its_heartbeat(folder, clock, monkeypatch):
    """/proc with hidepid, as on shared login nodes, shows a user no process of others."""
    theirs = of(folder, clock=clock)
    claim = theirs.take("fold-k")
    owner = claim.record.owner
    monkeypatch.setattr("pipeline.record.owners.began", lambda pid: "")
    assert life_of(owner) == "dead"

    def not_yours(pid, number):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr("pipeline.record.hosts.os.kill", not_yours)
    assert life_of(owner) == "unknown" and of(folder, clock=clock).take("fold-k") is None


def test_a_link_whose_answer_was_lost_counts_as_made(folder, monkeypatch):
    """A network disk repeats the request, and the second one finds the file of the first."""
    link = os.link

    def twice(source, target):
        link(source, target)
        link(source, target)

    monkeypatch.setattr(module.os, "link", twice)
    assert of(folder).take("fold-k").is_held()


def test_a_request_that_was_repeated_and_refused_does_not_wait_for_itself(folder, monkeypatch, clock):
    """A bucket repeats a PUT whose answer was lost, and its condition refuses what was already written."""
    silent_holder(folder, A, name="dead")
    other = of(folder, B, clock=clock)
    assert other.take("dead") is None
    clock.now += 61
    create = other.place.create
    monkeypatch.setattr(other.place, "create", lambda name, text: create(name, text) and False)
    for name in ("new", "dead"):
        claim = other.take(name)
        assert claim is not None and claim.is_held(), name
        claim.release()
    assert [name for name in files(folder) if not name.startswith(BEATS)] == []


def test_waiting_names_the_holder_and_ends_with_the_timeout(folder):
    said = []
    with (
        of(folder).hold("fold-k"),
        pytest.raises(WaitedError, match=f"process {os.getpid()} of"),
        of(folder).hold("fold-k", said.append, timeout=0.1),
    ):
        pass
    assert len(said) == 1 and said[0].startswith(f"process {os.getpid()} of")


def test_ctrl_c_ends_waiting(folder, monkeypatch):
    def interrupted(seconds):
        raise KeyboardInterrupt

    monkeypatch.setattr(module.time, "sleep", interrupted)
    with of(folder).hold("fold-k"), pytest.raises(KeyboardInterrupt), of(folder).hold("fold-k"):
        pass
    assert files(folder) == []


def test_sweeping_removes_what_dead_machines_left_and_nothing_else(folder, clock):
    silent_holder(folder, A)
    silent_holder(folder, A, name="process-1-x")
    place = Folder(folder)
    place.create("gone~abc", json.dumps({"number": "d", "owner": this(A), "beat": "zz", "silence": 60}))
    place.write(f"{BEATS}/zz", "1")
    mine = of(folder, B, clock=clock)
    kept = mine.take("infer-k")
    assert mine.sweep() == 0
    clock.now += 61
    assert mine.sweep() == 2
    assert files(folder) == sorted([f"{BEATS}/{mine.id}", "infer-k"])
    assert kept.is_held()


class Paused(Folder):
    """A place whose user is paused before it removes the first file of a chain; others act meanwhile."""

    def __init__(self, folder, meanwhile):
        super().__init__(folder)
        self._meanwhile = meanwhile

    def remove_if(self, name, text):
        self._meanwhile()
        return super().remove_if(name, text)


@pytest.mark.parametrize("links", [True, False])
def test_a_holder_that_is_paused_while_it_gives_back_does_not_remove_its_successor(
    folder, clock, monkeypatch, links
):
    if not links:
        monkeypatch.setattr(module.os, "link", refuse_links)
    taken = []
    slow = Claims(Paused(folder, lambda: taken.append(of(folder, B, clock=clock).take("fold-k"))), A, 60.0)
    claim, other = slow.take("fold-k"), of(folder, B, clock=clock)
    assert other.take("fold-k") is None
    clock.now += 61
    other._watch = None
    monkeypatch.setattr(Claims, "is_living", lambda self, record: record.owner["machine"] != A.machine)
    claim.release()
    assert taken[0].is_held(), "the process that took it over holds it all the same"
    taken[0].release()
    assert not [name for name in files(folder) if name.startswith("fold-k")]


@pytest.mark.parametrize("links", [True, False])
def test_a_holder_that_is_paused_while_it_gives_back_does_not_remove_a_later_claim(
    folder, monkeypatch, links
):
    if not links:
        monkeypatch.setattr(module.os, "link", refuse_links)
    later = []

    def others():
        monkeypatch.setattr(Claims, "is_living", lambda self, record: False)
        of(folder, B).take("fold-k").release()
        monkeypatch.undo()
        later.append(of(folder, B).take("fold-k"))

    claim = Claims(Paused(folder, others), A, 60.0).take("fold-k")
    claim.release()
    assert later[0].is_held()


def refuse_links(*_):
    raise OSError(errno.EPERM, "no links here")


def test_threads_of_one_process_hold_names_one_after_another(folder):
    inside, most = [], []

    def work():
        with mine.hold("fold-k"):
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.002)
            inside.pop()

    mine = of(folder)
    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 8 and files(folder) == []


def test_a_lock_of_a_file_is_entered_again_and_again_and_never_twice_at_once(tmp_path):
    one, two = Lock(tmp_path, "a/b~c.csv"), Lock(tmp_path, "a/b~c.csv", timeout=0.05)
    for _ in range(2):
        with one:
            assert not two.try_enter()
            with pytest.raises(WaitedError), two:
                pass
    assert two.try_enter()
    two.__exit__()
    with one:
        pass


def test_what_was_seen_of_silence_outlives_the_command_that_saw_it(tmp_path, clock):
    """A command that ends at once sees a heartbeat once; the next one sees that it has not changed."""
    file = tmp_path / "seen.json"

    def look(beat):
        return Watch(file, clock, Clock()).silence("trial 3", beat)

    assert look("7") == 0
    clock.now += 100
    assert look("7") == 100 and look("8") == 0
    clock.now -= 5000  # the clock was set back: what was seen then says nothing
    assert look("8") == 0
    file.write_text("no json")
    assert look("8") == 0


def test_a_clock_that_is_set_makes_nobody_silent_within_one_process(tmp_path):
    wall, steady = Clock(), Clock()
    watch = Watch(tmp_path / "seen.json", wall, steady)
    assert watch.silence("x", "1") == 0
    wall.now += 1e6
    steady.now += 5
    assert watch.silence("x", "1") == 5
    file = tmp_path / "seen.json"
    Watch(file, wall, steady).silence("trial 3", "7")
    later = Watch(file, wall, steady)
    assert later.silence("trial 3", "7") == 0
    wall.now += 1e6
    assert later.silence("trial 3", "7") == 0, "also of what an earlier process saw"


def test_owners_of_earlier_versions_are_judged_by_the_name_of_their_host(tmp_path):
    old = {k: v for k, v in this().items() if k != "machine"}
    watch = Watch()
    assert is_living(old, "", "x", watch)
    assert not is_living({**old, "began": "long ago"}, "", "x", watch)
    assert is_living({**old, "host": "elsewhere"}, "", "x", watch)
    assert not is_living({**old, "host": "elsewhere"}, "", "x", watch, silence=0.0)
    assert life_of(None) == life_of({"host": old["host"], "pid": "x"}) == "unknown"


def test_old_lock_files_do_no_harm(tmp_path):
    locks = tmp_path / "artifacts" / ".locks"
    locks.mkdir(parents=True)
    for name in ("process-7.lock", "fold-k.lock", "freeing"):
        (locks / name).write_text("")
    store = Store(tmp_path, None)
    with store.in_use() as name, store.lock("fold", "k"):
        assert store.busy() == ["fold-k", name]
    assert store.busy() == []
    with store.alone() as alone:
        assert alone
