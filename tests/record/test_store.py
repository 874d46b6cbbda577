"""The store: keys say what a result is made of; an artifact is there whole, or not at all."""

import errno
import json
import logging
import multiprocessing
import os
import time
from pathlib import Path

import pytest

from pipeline.core.errors import StorageError
from pipeline.record.files import FileIndex
from pipeline.record.hosts import Host
from pipeline.record.store import MANIFEST, Artifact, Store, content_key, told_as_storage_error

KEY = "0123456789abcdef"
PARTS = {
    "stage": "fold",
    "version": 1,
    "config": {"train": {"lr": 0.1, "epochs": 3}, "fold": 2},
    "inputs": {"data": "data/aa", "folds": "folds/bb"},
    "files": "f1",
}


@pytest.mark.parametrize("settings", [{"train": {"lr": 0.1}}, {"train.lr": 0.1}])
def test_a_setting_is_found_whether_a_stage_read_the_section_or_the_field(settings):
    found = Artifact("fold", KEY, Path(), {"settings": settings})
    assert found.setting("train.lr") == 0.1
    assert found.setting("train.epochs") is None and found.setting("loss.name") is None


def opened(home):
    return Store(home, FileIndex(home / "artifacts" / ".index.json"))


def build(store, stage="fold", key=KEY, text="result", **manifest):
    with store.draft(stage, key) as draft:
        (draft / "a.txt").write_text(text, encoding="utf-8")
        (draft / "sub").mkdir()
        (draft / "sub" / "b.bin").write_bytes(b"\0" * 100)
        return store.publish(stage, key, draft, {"metrics": {"f1": 0.5}, **manifest})


@pytest.mark.parametrize(
    "change",
    [
        {"stage": "train"},
        {"version": 2},
        {"config": {"train": {"lr": 0.1, "epochs": 4}, "fold": 2}},
        {"config": {"train": {"lr": 0.1, "epochs": 3}, "fold": 3}},
        {"config": {"train": {"lr": 0.1, "epochs": "3"}, "fold": 2}},
        {"inputs": {"data": "data/ab", "folds": "folds/bb"}},
        {"inputs": {"data": "folds/bb", "folds": "data/aa"}},
        {"inputs": {"data": "data/aa"}},
        {"files": "f2"},
    ],
)
def test_whatever_defines_a_result_changes_its_key(change):
    assert content_key(**PARTS) != content_key(**{**PARTS, **change})


def test_a_key_is_the_same_for_the_same_parts_in_another_order():
    turned = {"fold": 2, "train": {"epochs": 3, "lr": 0.1}}
    assert content_key(**PARTS) == content_key(**{**PARTS, "config": turned})
    assert len(content_key(**PARTS)) == 16


def test_publish_then_find_in_this_and_the_next_process(tmp_path):
    built = build(opened(tmp_path), inputs={"data": "data/aa"}, seconds=2.5)
    for found in (built, opened(tmp_path).find("fold", KEY)):
        assert found.folder == tmp_path / "artifacts" / "fold" / KEY
        assert (found.folder / "a.txt").read_text() == "result"
        assert (found.metrics, found.inputs, found.seconds) == ({"f1": 0.5}, {"data": "data/aa"}, 2.5)
    facts = built.json(MANIFEST)["files"]
    assert facts["sub/b.bin"]["bytes"] == 100 and set(facts) == {"a.txt", "sub/b.bin"}
    assert not list((tmp_path / "artifacts" / ".building").iterdir())
    assert opened(tmp_path).find("fold", "f" * 16) is None


def test_a_crash_before_the_rename_leaves_nothing(tmp_path):
    store = opened(tmp_path)
    with pytest.raises(KeyboardInterrupt), store.draft("fold", KEY) as draft:
        (draft / "a.txt").write_text("half", encoding="utf-8")
        raise KeyboardInterrupt
    assert store.find("fold", KEY) is None and store.all() == []
    assert not list((tmp_path / "artifacts" / ".building").iterdir())


def test_what_a_killed_builder_left_is_no_part_of_the_next_result(tmp_path):
    store = opened(tmp_path)
    left = tmp_path / "artifacts" / ".building" / f"fold-{KEY}"
    left.mkdir(parents=True)
    (left / "half.bin").write_bytes(b"half")
    assert set(build(store).json(MANIFEST)["files"]) == {"a.txt", "sub/b.bin"}
    assert not left.exists()


def test_the_manifest_is_written_last(tmp_path, monkeypatch):
    store = opened(tmp_path)

    def crash(*arguments):
        raise RuntimeError("power cut")

    monkeypatch.setattr(Path, "rename", crash)
    with pytest.raises(RuntimeError, match="power cut"):
        build(store)
    assert opened(tmp_path).find("fold", KEY) is None and opened(tmp_path).all() == []
    monkeypatch.undo()
    assert build(store).folder.is_dir()


def test_a_folder_without_a_manifest_does_not_exist(tmp_path):
    left = tmp_path / "artifacts" / "fold" / KEY
    left.mkdir(parents=True)
    (left / "a.txt").write_text("what a crash of another version left", encoding="utf-8")
    store = opened(tmp_path)
    assert store.find("fold", KEY) is None and store.all() == []
    assert build(store).folder == left and (left / "a.txt").read_text() == "result"


def flip(folder):
    path = folder / "sub" / "b.bin"
    path.write_bytes(b"\0" * 50 + b"\1" + b"\0" * 49)


def cut_manifest(folder):
    path = folder / MANIFEST
    path.write_bytes(path.read_bytes()[:50])


def swapped_key(folder):
    path = folder / MANIFEST
    path.write_text(path.read_text().replace(KEY, "f" * 16), encoding="utf-8")


DAMAGES = {
    "bytes flipped": flip,
    "file cut": lambda folder: (folder / "a.txt").write_text("resul", encoding="utf-8"),
    "file missing": lambda folder: (folder / "a.txt").unlink(),
    "manifest cut": cut_manifest,
    "manifest empty": lambda folder: (folder / MANIFEST).write_bytes(b""),
    "manifest without files": lambda folder: (folder / MANIFEST).write_text("{}", encoding="utf-8"),
    "manifest a list": lambda folder: (folder / MANIFEST).write_text("[1]", encoding="utf-8"),
    "manifest no text": lambda folder: (folder / MANIFEST).write_bytes(b"\xff\xfe\x00"),
    "manifest of another": swapped_key,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_found_told_set_aside_and_rebuilt(tmp_path, damage, caplog):
    folder = build(opened(tmp_path)).folder
    DAMAGES[damage](folder)
    store = opened(tmp_path)
    with caplog.at_level(logging.WARNING):
        assert store.find("fold", KEY) is None
    assert "fold 01234567 is damaged" in caplog.text and "moved away, built again" in caplog.text
    assert not folder.exists()
    assert (tmp_path / "artifacts" / ".damaged" / f"fold-{KEY}").is_dir()
    assert store.all() == []
    build(store)
    assert opened(tmp_path).find("fold", KEY) is not None


def test_damage_that_keeps_size_and_mtime_is_found_by_the_time_of_change(tmp_path):
    folder = build(opened(tmp_path)).folder
    old = time.time() - 60
    os.utime(folder / "sub" / "b.bin", (old, old))
    trusting = opened(tmp_path)
    assert trusting.find("fold", KEY)
    trusting.index.save()
    flip(folder)
    os.utime(folder / "sub" / "b.bin", (old, old))
    assert opened(tmp_path).find("fold", KEY) is None


def test_damage_twice_keeps_only_the_last(tmp_path):
    for text in ("one", "two"):
        flip(build(opened(tmp_path), text=text).folder)
        assert opened(tmp_path).find("fold", KEY) is None
    aside = tmp_path / "artifacts" / ".damaged" / f"fold-{KEY}"
    assert (aside / "a.txt").read_text() == "two"


def test_all_lists_finished_artifacts_oldest_first(tmp_path):
    store = opened(tmp_path)
    for n, key in enumerate(["b" * 16, "a" * 16, "c" * 16]):
        build(store, key=key, created=f"2026-01-0{n + 1}")
    (tmp_path / "artifacts" / "fold" / ("d" * 16)).mkdir()
    assert [a.key[0] for a in opened(tmp_path).all()] == ["b", "a", "c"]


def test_remove_takes_the_manifest_first(tmp_path, monkeypatch):
    store = opened(tmp_path)
    artifact = build(store)
    monkeypatch.setattr("shutil.rmtree", lambda *a, **k: (_ for _ in ()).throw(RuntimeError("power cut")))
    with pytest.raises(RuntimeError):
        store.remove(artifact)
    monkeypatch.undo()
    assert artifact.folder.is_dir() and opened(tmp_path).find("fold", KEY) is None
    assert store.find("fold", KEY) is None, "this process forgets it as well"


def worker(home, gate, log):
    """What `Session.get` does: look, lock, look again, build."""
    store = opened(Path(home))
    gate.wait()
    with store.lock("fold", KEY):
        if store.find("fold", KEY):
            log.put("reused")
            return
        time.sleep(0.3)
        build(store, text=str(os.getpid()))
        log.put("built")


def test_two_processes_one_builds_the_others_wait_and_reuse(tmp_path):
    context = multiprocessing.get_context("spawn")
    gate, log = context.Barrier(3), context.Queue()
    started = [context.Process(target=worker, args=(tmp_path, gate, log)) for _ in range(3)]
    for process in started:
        process.start()
    said = sorted(log.get(timeout=60) for _ in started)
    for process in started:
        process.join(60)
    assert [p.exitcode for p in started] == [0, 0, 0]
    assert said == ["built", "reused", "reused"]
    assert opened(tmp_path).find("fold", KEY)


def hold(home, ready, done):
    with opened(Path(home)).lock("fold", KEY):
        ready.set()
        done.wait(60)


def test_a_held_lock_is_seen_and_dies_with_its_process(tmp_path, caplog):
    context = multiprocessing.get_context("spawn")
    ready, done = context.Event(), context.Event()
    holder = context.Process(target=hold, args=(tmp_path, ready, done))
    holder.start()
    assert ready.wait(60)
    store = opened(tmp_path)
    assert store.busy() == [f"fold-{KEY}"]
    holder.kill()
    holder.join()
    with caplog.at_level(logging.WARNING), store.lock("fold", KEY):
        assert store.busy() == [f"fold-{KEY}"]
    assert store.busy() == []


def test_unfinished_work_is_one_folder_a_key_and_says_whose_it_is(tmp_path):
    store = opened(tmp_path)
    assert store.begun("fold") == []
    for epochs, key in ((3, KEY), (5, "b" * len(KEY)), (3, KEY)):
        folder = store.begin("fold", key, {"train": {"epochs": epochs}}, {"folds": "folds/x"})
        assert folder == tmp_path / "work" / "fold" / key and folder.is_dir()
    os.utime(tmp_path / "work" / "fold" / ("b" * len(KEY)) / "begun.json", (1, 1))
    newest, oldest = store.begun("fold")
    assert (newest.key, newest.setting("train.epochs"), newest.inputs) == (KEY, 3, {"folds": "folds/x"})
    assert oldest.setting("train.epochs") == 5
    (newest.folder / "begun.json").write_text("{", encoding="utf-8")
    assert [a.key for a in store.begun("fold")] == [oldest.key], "what cannot be read is nobody's work"


def test_a_disk_that_refuses_is_a_storage_error_and_leaves_nothing(tmp_path):
    """The kernel itself refuses: no file may grow beyond 8 kB."""
    import resource

    store = opened(tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, hard))
    try:
        with pytest.raises(StorageError, match="grew beyond the size limit") as caught:
            build(store, text="x" * 100_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "make gc" in str(caught.value)
    assert store.find("fold", KEY) is None
    assert not list((tmp_path / "artifacts" / ".building").iterdir())
    assert build(store, text="x" * 100_000)


def test_a_full_disk_is_a_storage_error():
    """/dev/full answers every write with ENOSPC."""
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    with (
        pytest.raises(StorageError, match="the disk is full"),
        told_as_storage_error(Path("home")),
        Path("/dev/full").open("wb", buffering=0) as file,
    ):
        file.write(b"x")


def test_a_home_that_cannot_be_written_is_a_storage_error(tmp_path):
    (tmp_path / "file").write_text("I am no folder", encoding="utf-8")
    store = opened(tmp_path / "file")
    for attempt in (
        lambda: build(store),
        lambda: store.begin("fold", KEY, {}, {}),
        lambda: store.lock("fold", KEY).__enter__(),
    ):
        with pytest.raises(StorageError, match="there is a file where a folder is needed"):
            attempt()


@pytest.mark.skipif(os.geteuid() == 0, reason="permissions do not bind root")
def test_a_read_only_home_is_a_storage_error(tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(StorageError, match="permission denied"):
            build(opened(tmp_path))
    finally:
        tmp_path.chmod(0o700)


def test_other_os_errors_are_not_dressed_up():
    with pytest.raises(FileNotFoundError), told_as_storage_error(Path("home")):
        raise FileNotFoundError(errno.ENOENT, "gone")


def test_the_manifest_holds_unicode_as_it_is(tmp_path):
    artifact = build(opened(tmp_path), experiment="실험")
    assert "실험" in (artifact.folder / MANIFEST).read_text(encoding="utf-8")
    assert json.loads((artifact.folder / MANIFEST).read_bytes())["experiment"] == "실험"


def lose(store, stage="fold", key=KEY):
    """Another host takes the claim over, as if this process had been silent for too long."""
    number = store._building[stage, key].record.number
    record = {"number": "f00", "owner": {"host": "other", "machine": "1" * 16}, "beat": "b", "silence": 60}
    store.claims.place.create(f"{stage}-{key}~{number}", json.dumps(record))


def test_who_lost_the_claim_uses_the_published_result_and_does_not_overwrite_it(tmp_path, caplog):
    slow, quick = opened(tmp_path), opened(tmp_path)
    with slow.lock("fold", KEY), slow.draft("fold", KEY) as draft:
        (draft / "a.txt").write_text("slow", encoding="utf-8")
        lose(slow)
        published = build(quick, text="quick")
        (draft.parent / draft.name).mkdir(exist_ok=True)  # the other one removed what it took for a leftover
        (draft / "a.txt").write_text("slow", encoding="utf-8")
        mine = slow.publish("fold", KEY, draft, {})
    assert "took over" in caplog.text
    assert mine.manifest == published.manifest and (mine.folder / "a.txt").read_text() == "quick"


def test_who_lost_the_claim_and_its_draft_is_told_so(tmp_path):
    slow, quick = opened(tmp_path), opened(tmp_path)
    with (
        pytest.raises(StorageError, match="another one builds"),
        slow.lock("fold", KEY),
        slow.draft("fold", KEY) as draft,
    ):
        lose(slow)
        with quick.draft("fold", KEY):
            (draft / "a.txt").write_text("slow", encoding="utf-8")


def test_a_process_of_a_dead_machine_blocks_nobody_after_its_silence(tmp_path):
    store = opened(tmp_path)
    now = [0.0]
    store.claims._watch._steady = store.claims._watch._wall = lambda: now[0]
    other = Store(tmp_path, store.index, host=Host("other", "1" * 16), silence=30)
    with other.in_use() as name, other.lock("fold", KEY):
        other.claims._beating.stop()
        assert store.busy() == sorted([f"fold-{KEY}", name])
        with store.alone() as alone:
            assert not alone
        now[0] += 31
        assert store.busy() == []
        with store.alone() as alone, store.lock("fold", KEY) as claim:
            assert alone and claim.taken_from is not None
