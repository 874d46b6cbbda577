"""File digests: content decides, the index only saves time, a lost index costs no result."""

import os
import time

import pytest

from pipeline.record.files import FileIndex, sha256_file, sha256_text, write_atomic

ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def settled(path, data=b"abc"):
    """A file, old enough for the index to trust its times (see `later`)."""
    path.write_bytes(data)
    return path


@pytest.fixture
def later(monkeypatch):
    """A minute later: the time of a change cannot be set."""
    now = time.time
    monkeypatch.setattr("pipeline.record.files.time.time", lambda: now() + 60)


def reads(monkeypatch):
    """Counts the files that are really read."""
    seen = []

    def counting(path):
        seen.append(path.name)
        return sha256_file(path)

    monkeypatch.setattr("pipeline.record.files.sha256_file", counting)
    return seen


def test_known_digests(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256_file(tmp_path / "a") == ABC == sha256_text("abc")
    big = b"x" * (3 * (1 << 20) + 5)
    (tmp_path / "big").write_bytes(big)
    assert sha256_file(tmp_path / "big") == sha256_text(big.decode())


def test_an_unchanged_file_is_read_once_across_runs(tmp_path, monkeypatch, later):
    file = settled(tmp_path / "마스크.png")
    seen = reads(monkeypatch)
    first = FileIndex(tmp_path / "index.json")
    assert first.digest(file) == first.digest(file) == ABC
    first.save()
    assert FileIndex(tmp_path / "index.json").digest(file) == ABC
    assert seen == ["마스크.png"]


def test_a_changed_file_is_read_again(tmp_path, later):
    file = settled(tmp_path / "a")
    index = FileIndex(tmp_path / "index.json")
    index.digest(file)
    file.write_bytes(b"abd")  # the same size
    assert index.digest(file) == sha256_text("abd")


def test_a_fresh_file_is_not_trusted(tmp_path):
    """Two writes within the clock's grain can leave the same size and mtime."""
    file = tmp_path / "a"
    index = FileIndex(tmp_path / "index.json")
    file.write_bytes(b"abc")
    stamp = file.stat().st_mtime_ns
    assert index.digest(file) == ABC
    file.write_bytes(b"xyz")
    os.utime(file, ns=(stamp, stamp))
    assert index.digest(file) == sha256_text("xyz")


def test_a_new_content_with_the_old_modification_time_is_noticed(tmp_path, later):
    file = settled(tmp_path / "a")
    stamp = file.stat().st_mtime_ns
    index = FileIndex(tmp_path / "index.json")
    index.digest(file)
    index.save()
    file.write_bytes(b"abd")
    os.utime(file, ns=(stamp, stamp))  # what a careful copy does
    assert FileIndex(tmp_path / "index.json").digest(file) == sha256_text("abd")


def test_two_files_of_equal_size_and_time_that_change_places_are_noticed(tmp_path, later):
    one, other = settled(tmp_path / "one", b"abc"), settled(tmp_path / "other", b"abd")
    for file in (one, other):
        os.utime(file, (1e9, 1e9))
    index = FileIndex(tmp_path / "index.json")
    before = index.digest(one), index.digest(other)
    one.rename(tmp_path / "third")
    other.rename(one)
    (tmp_path / "third").rename(other)
    assert (index.digest(one), index.digest(other)) == before[::-1]


def test_rehash_reads_every_file_again(tmp_path, monkeypatch, later):
    file = settled(tmp_path / "a")
    index = FileIndex(tmp_path / "index.json")
    index.digest(file)
    index.save()
    seen = reads(monkeypatch)
    assert FileIndex(tmp_path / "index.json").digest(file) == ABC and not seen
    assert FileIndex(tmp_path / "index.json", rehash=True).digest(file) == ABC and seen


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[1]",
        '{"/a": 3}',
        '{"/a": [1, 2]}',
        '{"/a": ["x", 1, "d"]}',
        '{"/a": ["x", 1, 2, 3, "d"]}',
        "\xff",
    ],
)
def test_a_damaged_index_costs_time_only(tmp_path, text):
    file = settled(tmp_path / "a")
    (tmp_path / "index.json").write_bytes(text.encode("latin-1"))
    index = FileIndex(tmp_path / "index.json")
    assert index.digest(file) == ABC
    index.save()
    assert FileIndex(tmp_path / "index.json").digest(file) == ABC


def test_combined_knows_names_and_contents_but_not_where_or_in_which_order(tmp_path):
    def folder(name, files):
        root = tmp_path / name
        root.mkdir()
        for file, data in files.items():
            (root / file).write_bytes(data)
        return [root / file for file in files], root

    index = FileIndex(tmp_path / "index.json")
    paths, root = folder("one", {"a": b"1", "b": b"2"})
    same = index.combined(paths, root)
    assert index.combined([*reversed(paths), paths[0]], root) == same
    assert index.combined(*folder("moved", {"b": b"2", "a": b"1"})) == same
    assert index.combined(*folder("swapped", {"a": b"2", "b": b"1"})) != same
    assert index.combined(*folder("renamed", {"a": b"1", "c": b"2"})) != same
    assert index.combined(*folder("fewer", {"a": b"1"})) != same


def test_a_missing_file_has_no_digest(tmp_path):
    with pytest.raises(FileNotFoundError):
        FileIndex(tmp_path / "index.json").digest(tmp_path / "gone")


def test_write_atomic_replaces_whole_files_and_makes_folders(tmp_path):
    path = tmp_path / "new" / "a.txt"
    write_atomic(path, b"one")
    write_atomic(path, b"two")
    assert path.read_bytes() == b"two"
    assert [p.name for p in path.parent.iterdir()] == ["a.txt"]


def test_write_atomic_keeps_the_old_file_when_the_disk_refuses(tmp_path):
    import resource

    path = tmp_path / "a.bin"
    write_atomic(path, b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(OSError, match="too large"):
            write_atomic(path, b"x" * 100_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.bin"], "nothing half-written stays"
