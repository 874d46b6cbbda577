"""What is checked before a Ray cluster does any work; without Ray."""

import socket
from types import SimpleNamespace

import pytest

from pipeline.core.errors import ConfigError
from pipeline.engine.executors import ray as executor
from pipeline.engine.executors.ray import Share, differences, open_ray, share_of
from pipeline.engine.executors.ray_tasks import Look, versions
from pipeline.record.tracking import Tracker
from pipeline.settings.load import load

TWO = [{"CPU": 8.0, "GPU": 2.0}, {"CPU": 4.0}]


def runtime(*words):
    given = [f"runtime.{word}" for word in ("executor=ray", *words)]
    return load(["competition=digits", *given]).config.runtime


def test_a_task_takes_its_threads_and_its_part_of_a_gpu():
    assert share_of(runtime("threads=2"), [{"CPU": 4.0}], 8) == Share(2, 0.0)
    assert share_of(runtime(), [{"CPU": 8.0}], 8) == Share(8, 0.0)
    assert share_of(runtime("per_gpu=4"), TWO, 8) == Share(1, 0.25)
    assert share_of(runtime("device=cpu", "threads=4"), TWO, 8) == Share(4, 0.0)


def test_as_many_results_run_at_once_as_cores_and_gpus_allow():
    assert [Share(2, 0.0).fits(node) for node in TWO] == [4, 2]
    assert [Share(1, 0.25).fits(node) for node in TWO] == [8, 0]
    assert [Share(3, 1 / 3).fits(node) for node in TWO] == [2, 0]


@pytest.mark.parametrize(
    ("words", "nodes", "told"),
    [
        (["threads=16"], TWO, r"needs 16 cores, and .* has 8\s+→ set runtime.threads=8"),
        (["device=cpu"], [{}], r"ray start --num-cpus"),
        (["device=cuda"], TWO[1:], "no machine of the Ray cluster has a GPU"),
        (["per_gpu=2"], TWO[1:], "runtime.per_gpu=2: no machine"),
    ],
)
def test_too_few_cores_or_gpus_are_refused(words, nodes, told):
    with pytest.raises(ConfigError, match=f"(?s){told}"):
        share_of(runtime(*words), nodes, 2)


def test_every_difference_between_machines_is_told():
    own = {"Python": "3.11.9", "ray": "2.60.0"}
    looks = [
        Look("a", own),
        Look("b", {"Python": "3.11.8", "ray": "2.60.0"}, ("/home",)),
        Look("c", {"Python": "3.11.9"}),
    ]
    assert differences(own, looks) == [
        "b: Python 3.11.8, and the command has 3.11.9",
        "b: it does not see /home of the command",
        "c: ray none, and the command has 2.60.0",
    ]
    assert {"Python", "ray", "torch"} <= versions().keys()


def test_without_ray_its_package_is_named(monkeypatch):
    monkeypatch.setattr(executor.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'podium\[ray\]'"):
        open_ray(SimpleNamespace(settings=load(["competition=digits"])))


@pytest.mark.parametrize("address", ["here", "ray://a:1", "a:b", ":1"])
def test_an_address_has_a_host_and_a_port(address):
    with pytest.raises(ConfigError, match="`auto` or HOST:PORT"):
        executor._refuse_silent(address)


def test_an_address_where_nothing_listens_is_refused():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
    with pytest.raises(ConfigError, match=f"{address}: no Ray cluster answers"):
        executor._refuse_silent(address)


def test_an_address_where_something_else_listens_is_refused_in_time(monkeypatch):
    monkeypatch.setattr(executor, "ANSWER_SECONDS", 1.0)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        address = f"127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(ConfigError, match=f"{address}: no Ray cluster answers"):
            executor._refuse_silent(address)


def looked(monkeypatch, home, *words, hosts=("a", "b"), missing=()):
    """The checks of machines that say this of themselves."""
    settings = load(["competition=digits", *words])
    looks = [Look(host, versions(), missing) for host in hosts]
    monkeypatch.setattr(executor, "_looks", lambda paths: (looks, []))
    site = SimpleNamespace(settings=settings, home=home, tracker=Tracker(home))
    executor._refuse_different(site)
    assert not list(home.glob("artifacts/.ray-*")), "the file that machines look for is removed"


def test_several_machines_with_one_database_are_told_and_with_a_bucket_refused(monkeypatch, tmp_path, caplog):
    looked(monkeypatch, tmp_path, f"runtime.home={tmp_path}", hosts=("a", "a"))
    assert not caplog.text
    looked(monkeypatch, tmp_path, f"runtime.home={tmp_path}")
    assert "set runtime.mlflow_uri to a server" in caplog.text
    with pytest.raises(ConfigError, match=r"(?s)runtime\.home is a bucket.*runtime\.mlflow_uri"):
        looked(monkeypatch, tmp_path, "runtime.home=s3://b/x", f"runtime.local={tmp_path}")


def test_a_machine_that_does_not_see_the_folder_of_results_is_named(monkeypatch, tmp_path):
    with pytest.raises(
        ConfigError, match=r"(?s)a: it does not see /x .*b: it does not see /x .*all machines see"
    ):
        looked(monkeypatch, tmp_path, f"runtime.home={tmp_path}", missing=("/x",))


@pytest.mark.parametrize("word", ["processes=2", "gpus=[0]"])
def test_settings_of_local_processes_are_refused_with_ray(word):
    with pytest.raises(ConfigError, match=f"runtime.{word.partition('=')[0]}.*Ray places the work"):
        runtime(word)
