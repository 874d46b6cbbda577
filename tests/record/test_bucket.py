"""A store in a bucket: pulled by key and verified, pushed with the manifest last, refused before any work."""

import json
import logging
import os
import shutil
import time
from pathlib import Path

import boto3
import pytest
from moto.moto_server import threaded_moto_server
from moto.server import ThreadedMotoServer

from pipeline.core.errors import ConfigError, StorageError
from pipeline.record import bucket as module
from pipeline.record.bucket import Bucket
from pipeline.record.bucket_store import BucketStore, opened
from pipeline.record.files import FileIndex
from pipeline.record.hosts import Host
from pipeline.record.store import MANIFEST, STUDY, Store

KEY = "0123456789abcdef"
SECRET = "s3cr3tkey"


class Deaf:
    """A stand-in for a bucket that ignores `If-None-Match`."""

    def __init__(self, app):
        self._app = app

    def __call__(self, environ, start):
        environ.pop("HTTP_IF_NONE_MATCH", None)
        return self._app(environ, start)


@pytest.fixture(scope="module")
def server():
    served = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    served.start()
    yield f"http://127.0.0.1:{served.get_host_and_port()[1]}"
    served.stop()


@pytest.fixture(scope="module")
def deaf_server():
    served = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    with pytest.MonkeyPatch.context() as patched:
        app = threaded_moto_server.create_backend_app
        patched.setattr(threaded_moto_server, "create_backend_app", lambda service: Deaf(app(service)))
        served.start()
        yield f"http://127.0.0.1:{served.get_host_and_port()[1]}"
    served.stop()


def _environment(monkeypatch, address):
    monkeypatch.setenv("AWS_ENDPOINT_URL", address)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "someone")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")


@pytest.fixture(params=["file", "s3"])
def address(request, tmp_path, monkeypatch):
    """A home in a bucket, over fsspec's local files and over S3."""
    if request.param == "file":
        return f"file://{tmp_path / 'shared' / 'home'}"
    _environment(monkeypatch, request.getfixturevalue("server"))
    name = f"b{time.time_ns()}"
    boto3.client("s3").create_bucket(Bucket=name)
    return f"s3://{name}/some/home"


@pytest.fixture
def folder_address(tmp_path):
    return f"file://{tmp_path / 'shared' / 'home'}"


def at(address, home, **more):
    home.mkdir(exist_ok=True)
    return BucketStore(home, FileIndex(home / "artifacts" / ".index.json"), Bucket(address), **more)


def build(store, stage="fold", key=KEY, text="result", **manifest):
    with store.draft(stage, key) as draft:
        (draft / "a.txt").write_text(text, encoding="utf-8")
        (draft / "sub").mkdir()
        (draft / "sub" / "b.bin").write_bytes(b"\0" * 100)
        return store.publish(stage, key, draft, {"metrics": {"f1": 0.5}, **manifest})


def test_a_result_of_one_machine_is_found_whole_on_another(address, tmp_path):
    one, two = at(address, tmp_path / "one"), at(address, tmp_path / "two")
    assert two.find("fold", KEY) is None and two.all() == []
    built = build(one, inputs={"data": "data/aa"})
    found = two.find("fold", KEY)
    assert found.manifest == built.manifest
    assert (found.folder / "a.txt").read_text() == "result"
    assert found.folder.is_relative_to(tmp_path / "two") and (found.folder / "sub" / "b.bin").is_file()
    assert two.look("fold", KEY).manifest == built.manifest


def test_all_lists_what_the_bucket_has_and_fetches_files_only_when_they_are_read(address, tmp_path):
    one, two = at(address, tmp_path / "one"), at(address, tmp_path / "two")
    build(one, key="b" * 16, created="2026-01-02")
    build(one, key="a" * 16, created="2026-01-03", **{STUDY: "s"})
    build(one, stage="infer", key="c" * 16, created="2026-01-01")
    listed = two.all()
    assert [a.key[0] for a in listed] == ["c", "b", "a"]
    assert [a.key[0] for a in two.all("fold")] == ["b", "a"] and [a.key[0] for a in two.chosen()] == [
        "c",
        "b",
    ]
    assert not list(two.root.glob("*/*/a.txt"))
    assert (listed[0].folder / "a.txt").read_text() == "result" and listed[1] == two.find("fold", "b" * 16)
    assert sum(two.bytes_of(a) for a in listed) == 3 * 106


def test_manifests_that_are_known_are_not_fetched_again_unless_one_was_adopted(address, tmp_path):
    one, two = at(address, tmp_path / "one"), at(address, tmp_path / "two")
    built = build(one, **{STUDY: "s"})
    build(one, key="b" * 16)
    assert len(two.all()) == 2
    asked = []
    manifests = two.bucket.manifests
    two.bucket.manifests = lambda names: asked.extend(names) or manifests(names)
    assert len(two.all()) == 2 and asked == [] and len(two.chosen()) == 1
    time.sleep(0.01)
    one.adopt(built)
    assert len(two.chosen()) == 2 and asked == [("fold", KEY)]


def test_an_object_is_removed_only_while_it_is_what_was_read(address):
    place = Bucket(address).claims
    place.write("fold-k", "one")
    assert not place.remove_if("fold-k", "other") and not place.remove_if("nothing", "one")
    read = getattr(place, "_bucket", None) and place._bucket._read
    if read is not None:  # another host replaces it between the look and the removal
        place._bucket._read = lambda path: (read(path), place.write("fold-k", "two"))[0]
        assert not place.remove_if("fold-k", "one")
        place._bucket._read = read
        place.write("fold-k", "one")
    assert place.remove_if("fold-k", "one") and place.read("fold-k") is None


def test_a_removed_result_is_gone_for_everybody(address, tmp_path):
    one, two = at(address, tmp_path / "one"), at(address, tmp_path / "two")
    build(one)
    two.remove(two.all()[0])
    assert two.all() == [] and two.find("fold", KEY) is None
    assert not list(two.root.glob("fold/*"))
    assert one.all() == [], "the copy of another machine is not listed"


def test_a_push_that_was_interrupted_does_not_count_and_is_made_good(folder_address, tmp_path, monkeypatch):
    one, two = at(folder_address, tmp_path / "one"), at(folder_address, tmp_path / "two")

    def cut(*arguments):
        raise OSError(5, "the network is gone")

    monkeypatch.setattr(one.bucket, "_create", cut)
    with pytest.raises(StorageError, match="cannot be written"):
        build(one)
    assert two.find("fold", KEY) is None and two.all() == []
    monkeypatch.undo()
    again = at(folder_address, tmp_path / "one")
    assert [a.key for a in again.all()] == [KEY], "the finished result is not lost"
    assert again.find("fold", KEY) is not None and two.find("fold", KEY) is not None


def test_a_pull_that_was_interrupted_leaves_no_half_result(folder_address, tmp_path, monkeypatch):
    one, two = at(folder_address, tmp_path / "one"), at(folder_address, tmp_path / "two")
    build(one)
    get = two.bucket._fs.get_file

    def cut(source, target):
        if source.endswith("b.bin"):
            raise KeyboardInterrupt
        get(source, target)

    monkeypatch.setattr(two.bucket._fs, "get_file", cut)
    with pytest.raises(KeyboardInterrupt):
        two.find("fold", KEY)
    assert not list(two.root.glob("fold/*")) and not list(two.drafts())


@pytest.mark.parametrize("how", ["bytes", "cut", "gone", "manifest"])
def test_what_changed_in_the_bucket_is_not_used_and_built_again(address, tmp_path, caplog, how):
    one, two = at(address, tmp_path / "one"), at(address, tmp_path / "two")
    build(one)
    bucket, fs = one.bucket, one.bucket._fs
    (path,) = [p for p in fs.find(bucket._path("files")) if p.endswith("b.bin")]
    if how == "gone":
        fs.rm_file(path)
    elif how == "manifest":
        fs.pipe_file(bucket._manifest("fold", KEY), b'{"files": {"../../x": {"sha256": "", "bytes": 1}}}')
    else:
        fs.pipe_file(path, b"\0" * 99 + (b"\1" if how == "bytes" else b""))
    with caplog.at_level(logging.WARNING):
        assert two.find("fold", KEY) is None
    assert "in the bucket is damaged" in caplog.text and not list(two.root.glob("fold/*"))
    assert two.all() == []
    build(two, text="again")
    three = at(address, tmp_path / "three")
    assert (three.find("fold", KEY).folder / "a.txt").read_text() == "again"


@pytest.mark.parametrize("how", ["no room in the folder", "a draft that vanished"])
def test_a_fault_on_this_side_removes_nothing_from_the_bucket(folder_address, tmp_path, monkeypatch, how):
    one, two = at(folder_address, tmp_path / "one"), at(folder_address, tmp_path / "two")
    build(one)
    get = two.bucket._fs.get_file

    def vanished(source, target):
        shutil.rmtree(Path(target).parent)
        get(source, target)

    def refused(*arguments):
        raise PermissionError(13, "not yours")

    if how == "a draft that vanished":
        monkeypatch.setattr(two.bucket._fs, "get_file", vanished)
        monkeypatch.setattr(two.bucket._fs, "auto_mkdir", False)
    else:
        monkeypatch.setattr(Path, "rename", refused)
    with pytest.raises(StorageError):
        two.find("fold", KEY)
    monkeypatch.undo()
    assert (two.find("fold", KEY).folder / "a.txt").read_text() == "result"
    assert at(folder_address, tmp_path / "three").find("fold", KEY) is not None


def test_of_two_that_publish_one_key_the_first_counts_for_both(address, tmp_path):
    one, two = at(address, tmp_path / "one"), at(address, tmp_path / "two")
    first = build(one, text="first")
    second = build(two, text="second")
    assert second.manifest == first.manifest and (second.folder / "a.txt").read_text() == "first"


def test_one_machine_builds_and_the_other_waits_and_finds_the_result(address, tmp_path):
    one = at(address, tmp_path / "one", host=Host("box", "1" * 16))
    two = at(address, tmp_path / "two", host=Host("box", "2" * 16))
    with one.lock("fold", KEY):
        assert two.busy() == [f"fold-{KEY}"] and two.claims.take(f"fold-{KEY}") is None
        build(one)
    with two.lock("fold", KEY):
        assert two.find("fold", KEY) is not None
    with one.in_use() as name:
        assert two.busy() == [name]
        with two.alone() as alone:
            assert not alone
    with two.alone() as alone:
        assert alone


def test_a_claim_in_a_bucket_is_taken_over_once(address, tmp_path):
    dead, *others = (at(address, tmp_path / "one", host=Host("box", str(k) * 16)).claims for k in range(3))
    claim = dead.take("fold-k")
    dead._beating.stop()
    now = [0.0]
    for other in others:
        other._watch._steady = other._watch._wall = lambda: now[0]
        assert other.take("fold-k") is None
    now[0] = 1e4
    won = [other.take("fold-k") for other in others]
    assert won[0].is_held() and won[1] is None and not claim.is_held()
    won[0].release()
    assert others[1].sweep() == 0 and others[1].place.names() == []


def test_stages_that_are_large_and_quick_to_build_are_not_sent(folder_address, tmp_path):
    only = frozenset({"images"})
    one, two = (at(folder_address, tmp_path / name, only_here=only) for name in ("one", "two"))
    with one.lock("images", KEY):
        assert two.busy() == []
        build(one, stage="images")
    assert one.find("images", KEY) and [a.stage for a in one.all()] == ["images"]
    assert two.find("images", KEY) is None and two.all() == []
    with one.in_use():
        assert one.busy("images") == [] and len(two.busy()) == 1 and two.busy("images") == []
    one.remove(one.all()[0])
    assert one.all() == []


def test_the_copy_here_stays_within_its_budget_and_frees_what_was_used_longest_ago(folder_address, tmp_path):
    one = at(folder_address, tmp_path / "one")
    for key in "abc":
        build(one, key=key * 16)
    two = at(folder_address, tmp_path / "two", budget=250)
    for key in "ab":
        two.find("fold", key * 16)
    later = at(folder_address, tmp_path / "two", budget=250)
    with later.in_use():
        assert later.find("fold", "a" * 16) and later.find("fold", "c" * 16)
        copies = sorted(path.parent.name[0] for path in later.root.glob(f"fold/*/{MANIFEST}"))
        assert copies == ["a", "c"] and len(later.all()) == 3
        assert (later.all("fold")[1].folder / "a.txt").is_file(), "it is pulled again"
        assert len(list(later.root.glob(f"fold/*/{MANIFEST}"))) == 3, "this process may read all three"


def test_what_is_read_from_a_list_counts_as_used(folder_address, tmp_path):
    one = at(folder_address, tmp_path / "one")
    for key in "ab":
        build(one, key=key * 16)
        os.utime(one.root / "fold" / (key * 16) / MANIFEST, (1, 1))
    reader, other = (at(folder_address, tmp_path / "one", budget=150) for _ in range(2))
    with reader.in_use(), other.in_use():
        folder = reader.all()[0].folder
        other._keep_budget()
        assert (folder / "a.txt").is_file(), "the other command frees nothing that this one may be reading"
        assert [a.key[0] for a in Store.all(other)] == ["a"]


def test_a_result_that_could_not_be_sent_is_never_freed(folder_address, tmp_path, monkeypatch):
    one = at(folder_address, tmp_path / "one", budget=1)
    monkeypatch.setattr(one.bucket, "_create", lambda *a: (_ for _ in ()).throw(OSError(5, "gone")))
    with pytest.raises(StorageError):
        build(one)
    monkeypatch.undo()
    one._verified.clear()
    with one.in_use():
        one._keep_budget()
    assert [a.key for a in Store.all(one)] == [KEY]


def test_a_bucket_that_ignores_the_condition_is_refused(deaf_server, tmp_path, monkeypatch):
    _environment(monkeypatch, deaf_server)
    boto3.client("s3").create_bucket(Bucket="deaf")
    with pytest.raises(StorageError, match="If-None-Match") as caught:
        at("s3://deaf/home", tmp_path / "one")
    assert "shared folder" in str(caught.value)
    assert not boto3.client("s3").list_objects_v2(Bucket="deaf").get("Contents")


def test_the_stand_in_of_these_tests_enforces_the_condition(server, monkeypatch):
    _environment(monkeypatch, server)
    client = boto3.client("s3")
    client.create_bucket(Bucket="strict")
    client.put_object(Bucket="strict", Key="k", Body=b"1", IfNoneMatch="*")
    with pytest.raises(client.exceptions.ClientError, match="PreconditionFailed"):
        client.put_object(Bucket="strict", Key="k", Body=b"2", IfNoneMatch="*")


def test_a_bucket_that_is_not_there_is_one_clear_error_without_credentials(server, tmp_path, monkeypatch):
    _environment(monkeypatch, server)
    with pytest.raises(StorageError, match="s3://missing-bucket/x: cannot be written") as caught:
        at("s3://missing-bucket/x", tmp_path / "one")
    assert SECRET not in str(caught.value) and "runtime.home" in str(caught.value)


def test_a_host_that_does_not_answer_is_one_clear_error(tmp_path, monkeypatch):
    _environment(monkeypatch, "http://127.0.0.1:9")
    with pytest.raises(StorageError, match="cannot be written"):
        at("s3://some/x", tmp_path / "one")


def test_a_folder_that_cannot_be_made_is_one_clear_error(tmp_path):
    (tmp_path / "file").write_text("I am no folder")
    with pytest.raises(StorageError, match="cannot be written"):
        at(f"file://{tmp_path / 'file' / 'home'}", tmp_path / "one")


def test_a_missing_package_names_the_extra(monkeypatch):
    monkeypatch.setitem(module.SCHEMES, "gs", ("no_such_package", "gs"))
    with pytest.raises(ConfigError, match="no_such_package is not installed") as caught:
        Bucket("gs://some/home")
    assert "podium[gs]" in str(caught.value)


def test_a_home_in_a_folder_has_no_bucket_and_a_session_beside_uses_the_same_connection(
    folder_address, tmp_path
):
    index = FileIndex(tmp_path / "i")
    assert type(opened(str(tmp_path), tmp_path, index)) is Store
    store = opened(folder_address, tmp_path, index)
    again = opened(folder_address + "/", tmp_path, index, beside=store)
    assert again.bucket is store.bucket and type(opened(folder_address, tmp_path, index, tmp_path)) is Store


def test_nothing_in_the_bucket_or_the_copy_holds_a_credential(address, tmp_path):
    one = at(address, tmp_path / "one")
    with one.in_use(), one.lock("fold", KEY):
        build(one)
        fs = one.bucket._fs
        texts = [fs.cat_file(path) for path in fs.find(one.bucket._root)]
    local = [p.read_bytes() for p in (tmp_path / "one").rglob("*") if p.is_file()]
    assert texts and not any(SECRET.encode() in text for text in (*texts, *local))
    assert json.loads(one.bucket.manifest("fold", KEY))["key"] == KEY


def test_a_budget_with_room_does_not_look_at_every_copy_each_time(folder_address, tmp_path, monkeypatch):
    one, looks = at(folder_address, tmp_path / "one", budget=1e5), []
    monkeypatch.setattr(one, "_copies", lambda whole=one._copies: looks.append(1) or whole())
    opened = []
    whole = Store._open
    monkeypatch.setattr(Store, "_open", lambda self, *name: opened.append(name) or whole(self, *name))
    for number in range(20):
        build(one, key=f"{number:016x}")
    assert len(looks) == 1, "later results are a small part of what is left"
    manifests = len(opened)
    one._keep_budget()
    assert len(opened) == manifests, "no manifest is read for it"
