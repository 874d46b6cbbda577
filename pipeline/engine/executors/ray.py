"""`runtime.executor=ray`: the machines of a Ray cluster build results; without an address Ray starts here.

Owns the connection with Ray, the checks before any work, and what becomes of each task. Does not own what
runs on the machines (`engine/executors/ray_tasks.py`) nor what runs next (`engine/executors/building.py`).

Ray chooses the machine and process of each task, keeps the processes alive, and runs a task again whose
machine or process ended. Results travel through the store, so the command may end and start again.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

from pipeline.core.errors import ConfigError
from pipeline.core.terminal import printable
from pipeline.engine import hardware, texts
from pipeline.engine.executors import ray_tasks
from pipeline.engine.executors.devices import cores
from pipeline.engine.executors.here import Site
from pipeline.engine.executors.pool import Ended, Epoch, Event, Lost, Started
from pipeline.engine.executors.ray_tasks import EPOCH, MOVED, STARTED, Look
from pipeline.engine.executors.work import Task, WorkerBugError, search_path
from pipeline.record.bucket import is_bucket
from pipeline.settings.runtime import RuntimeSettings

log = logging.getLogger(__name__)

# Seconds for an address to answer, for a machine to start a process, and for tasks to end by themselves.
ANSWER_SECONDS, LOOK_SECONDS, PATIENCE = 30.0, 120.0, 5.0
# Ray starts a task again so often after its process or machine ended.
RETRIES = 2
# Results do not travel through Ray's own memory, and in containers /dev/shm is small.
OBJECT_STORE_BYTES = 100_000_000


@dataclass(frozen=True)
class Share:
    """What one task takes of a machine."""

    cpus: int
    gpus: float

    def fits(self, node: Mapping[str, float]) -> int:
        """How many tasks run at once on a machine with these resources of Ray."""
        by_cpus = int(node.get("CPU", 0)) // self.cpus
        return min(by_cpus, int(node.get("GPU", 0) / self.gpus + 1e-9)) if self.gpus else by_cpus


def share_of(runtime: RuntimeSettings, nodes: Sequence[Mapping[str, float]], threads: int) -> Share:
    """What one task takes, on machines with these resources.

    Args:
        runtime: the settings.
        nodes: for each machine the amount of each of Ray's resources.
        threads: torch's threads, unless `runtime.threads` says otherwise.

    Raises:
        ConfigError: no machine has a GPU, or none has enough cores.
    """
    gpus = sum(node.get("GPU", 0) for node in nodes)
    if runtime.device == "cuda" and not gpus:
        raise ConfigError(texts.RAY_NO_GPU, remedy=texts.RAY_NO_GPU_REMEDY)
    if runtime.per_gpu > 1 and not gpus:
        raise ConfigError(texts.RAY_PER_GPU.format(n=runtime.per_gpu), remedy=texts.RAY_NO_GPU_REMEDY)
    on_gpu = runtime.device != "cpu" and gpus > 0
    share = Share(runtime.threads or (1 if on_gpu else threads), 1 / runtime.per_gpu if on_gpu else 0.0)
    if not any(share.fits(node) for node in nodes):
        most = int(max((node.get("CPU", 0) for node in nodes), default=0))
        fits = texts.RAY_FEWER_THREADS.format(n=most) if most else texts.RAY_NO_CORES
        raise ConfigError(texts.RAY_TOO_FEW_CORES.format(need=share.cpus, cores=most), remedy=fits)
    return share


def differences(own: Mapping[str, str], looks: Sequence[Look]) -> list[str]:
    """A fault for each other version than the command's, and for each path that a machine does not see."""
    faults = []
    for one in looks:
        other = [
            texts.RAY_VERSION.format(name=name, other=one.versions.get(name, "none"), own=value)
            for name, value in own.items()
            if one.versions.get(name, "none") != value
        ]
        unseen = [texts.RAY_UNSEEN.format(path=path) for path in one.missing]
        faults += [f"{one.host}: {text}" for text in (*other, *unseen)]
    return faults


def open_ray(site: Site) -> RayPool:
    """Connect with the cluster, or start Ray on this machine; raises ConfigError for what is not there."""
    runtime = site.settings.config.runtime
    if importlib.util.find_spec("ray") is None:
        raise ConfigError(texts.RAY_MISSING, remedy=texts.RAY_MISSING_REMEDY)
    # Read when Ray is imported: no usage statistics, and a task without a GPU leaves the variable alone.
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    threads = hardware.default_threads()
    context = _connect(runtime, threads)
    try:
        nodes = [node["Resources"] for node in _alive()]
        pool = RayPool(share_of(runtime, nodes, threads))
        _refuse_different(site)
    except BaseException:
        _shut_down()
        raise
    if context.dashboard_url:
        site.say(texts.RAY_DASHBOARD.format(url=context.dashboard_url, n=len(nodes), size=pool.size))
    return pool


def _connect(runtime: RuntimeSettings, threads: int) -> Any:
    import ray

    # The number of threads is the command's: Ray would set it by the cores of a task.
    variables = {"PYTHONPATH": search_path(), "OMP_NUM_THREADS": str(threads)}
    own = ("GOMP_SPINCOUNT", "KMP_BLOCKTIME", "OMP_WAIT_POLICY", "MLFLOW_TRACKING_URI")
    variables |= {name: os.environ[name] for name in own if name in os.environ}
    options: dict[str, Any] = {
        "address": runtime.address or "local",
        "runtime_env": {"env_vars": variables},
        "logging_level": logging.WARNING,
    }
    if runtime.address is None:
        gpus = {} if runtime.device != "cpu" else {"num_gpus": 0}
        options |= {"num_cpus": cores(), "include_dashboard": True, "dashboard_host": "127.0.0.1", **gpus}
        options["object_store_memory"] = OBJECT_STORE_BYTES
    else:
        _refuse_silent(runtime.address)
    try:
        return ray.init(**options)
    except Exception as error:  # Ray raises RuntimeError, ConnectionError and others for the same faults
        where = runtime.address or texts.RAY_HERE
        reason = printable(" ".join(str(error).split()))
        raise ConfigError(
            texts.RAY_REFUSED.format(address=where, reason=reason), remedy=texts.RAY_REFUSED_REMEDY
        ) from None


def _refuse_silent(address: str) -> None:
    """Raise ConfigError for an address where no cluster answers; `ray.init` would wait for minutes."""
    host, _, port = address.rpartition(":")
    if address != "auto" and (not host or not port.isdigit() or "/" in host):
        raise ConfigError(texts.RAY_ADDRESS.format(address=address), remedy=texts.RAY_ADDRESS_REMEDY)
    error = ConfigError(texts.RAY_SILENT.format(address=address), remedy=texts.RAY_SILENT_REMEDY)
    if address != "auto":
        try:
            socket.create_connection((host, int(port)), ANSWER_SECONDS / 3).close()
        except (OSError, OverflowError):
            raise error from None
    words = [sys.executable, "-m", "ray.scripts.scripts", "health-check"]
    words += [] if address == "auto" else ["--address", address]
    try:
        done = subprocess.run(words, capture_output=True, timeout=ANSWER_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise error from None
    if done.returncode:
        raise error


def _alive() -> list[dict[str, Any]]:
    import ray

    nodes: Any = ray.nodes  # it has no types
    return [node for node in nodes() if node["Alive"]]


def _refuse_different(site: Site) -> None:
    """Raise ConfigError for machines with other versions, or that do not see the command's folders."""
    runtime, folder = site.settings.config.runtime, site.home / "artifacts"
    folder.mkdir(parents=True, exist_ok=True)
    seen = folder / f".ray-{uuid4().hex}"
    seen.touch()  # a new name: another disk may have the same folders
    try:
        # With a bucket each machine has a home of its own, but the same checkout.
        looks, faults = _looks(
            (str(Path.cwd()),) if is_bucket(runtime.home) else (str(Path.cwd()), str(seen))
        )
    finally:
        seen.unlink(missing_ok=True)
    shown = {str(seen): str(folder)}
    looks = [replace(one, missing=tuple(shown.get(path, path) for path in one.missing)) for one in looks]
    faults += differences(ray_tasks.versions(), looks)
    if faults:
        raise ConfigError(texts.RAY_DIFFERENT, faults, texts.RAY_DIFFERENT_REMEDY)
    if len({one.host for one in looks}) > 1 and site.tracker.is_file:
        # The children of a run are written by the machines that train them.
        if is_bucket(runtime.home):
            raise ConfigError(texts.RAY_RECORD_HERE, remedy=texts.RAY_RECORD_REMEDY)
        log.warning(texts.RAY_RECORD_SHARED)


def _looks(paths: tuple[str, ...]) -> tuple[list[Look], list[str]]:
    """What the machines of the cluster say of themselves, and a fault for each that does not answer."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    looking = ray.remote(num_cpus=0, max_retries=0)(ray_tasks.look)
    asked = {}
    for node in _alive():
        there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        asked[looking.options(scheduling_strategy=there).remote(paths)] = node["NodeManagerHostname"]
    done, _ = ray.wait(list(asked), num_returns=len(asked), timeout=LOOK_SECONDS)
    looks, faults = list[Look](), list[str]()
    for reference, host in asked.items():
        if reference not in done:
            faults.append(texts.RAY_NO_PROCESS.format(host=host, seconds=int(LOOK_SECONDS)))
            continue
        try:
            looks.append(ray.get(reference))
        except ray.exceptions.RayError as error:
            faults.append(f"{host}: {_last_line(error)}")
    return looks, faults


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return printable(lines[-1]) if lines else type(error).__name__


class RayPool:
    """Tasks of a Ray cluster."""

    kind = "ray"

    def __init__(self, share: Share) -> None:
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        self._share = share
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
        remote: Any = ray.remote  # its types know functions only that are written out at this place
        # If its machine ends, it starts on another one; letters of that moment are lost, which costs nothing.
        again = {"max_restarts": -1, "max_task_retries": -1}
        actor = remote(num_cpus=0, scheduling_strategy=here, **again)(ray_tasks.Mailbox)
        self._mailbox = actor.remote()
        # max_calls: Ray would otherwise end a process with a GPU after each task.
        options = {"num_cpus": share.cpus, "num_gpus": share.gpus, "max_retries": RETRIES, "max_calls": 0}
        self._run = remote(**options)(ray_tasks.run_task)
        self._tasks: dict[Any, Task] = {}
        self._moved: set[str] = set()

    @property
    def size(self) -> int:
        """How many tasks run at once on the machines of this moment."""
        return max(sum(self._share.fits(node["Resources"]) for node in _alive()), 1)

    @property
    def free(self) -> int:
        """How many tasks can be submitted now: as many as run at once; Ray would keep the others waiting."""
        return max(self.size - len(self._tasks), 0)

    def submit(self, task: Task) -> tuple[str, int | None]:
        """Give a task to Ray, which tells later where it runs."""
        self._tasks[self._run.remote(task, str(Path.cwd()), self._mailbox)] = task
        return texts.RAY_QUEUE, None

    def answer(self, name: str, goes_on: bool) -> None:
        """The answer to an epoch of a task that waits for it."""
        self._mailbox.answer.remote(name, goes_on)

    def wait(self, seconds: float) -> list[Event]:
        """What has happened, after at most this time."""
        import ray

        if not self._tasks:
            time.sleep(seconds)
            return []
        done, _ = ray.wait(list(self._tasks), num_returns=1, timeout=seconds)
        if done:
            done, _ = ray.wait(list(self._tasks), num_returns=len(self._tasks), timeout=0)
        events = self._letters()  # written before their tasks ended
        for reference in done:
            events += self._ended(reference, self._tasks.pop(reference))
        return events

    def _letters(self) -> list[Event]:
        import ray

        events = list[Event]()
        for kind, name, *rest in ray.get(self._mailbox.take.remote()):
            if kind == STARTED:
                self._moved.discard(name)
                events.append(Started(name, *rest))
            elif kind == EPOCH:
                events.append(Epoch(name, *rest))
            elif kind == MOVED:
                self._moved.add(name)
        return events

    def _ended(self, reference: Any, task: Task) -> list[Event]:
        import ray

        try:
            return [Ended(task.name, ray.get(reference))]
        except ray.exceptions.RayTaskError as error:
            return [Ended(task.name, WorkerBugError(texts.BUG.format(title=task.title, trace=str(error))))]
        except ray.exceptions.RuntimeEnvSetupError as error:
            return [Ended(task.name, ConfigError(_last_line(error)))]
        except ray.exceptions.RayError as error:
            if task.name in self._moved:  # each such process has ended, so this comes to an end
                self._moved.discard(task.name)
                self.submit(task)
                return []
            return [Lost(task.name, _last_line(error))]

    def close(self) -> None:
        """End all tasks, first as by Ctrl-C, and the connection; a Ray that was started here ends, too."""
        import ray

        with contextlib.suppress(ray.exceptions.RayError):
            for reference in self._tasks:
                ray.cancel(reference)
            if self._tasks:
                _, left = ray.wait(list(self._tasks), num_returns=len(self._tasks), timeout=PATIENCE)
                for reference in left:
                    ray.cancel(reference, force=True)
        self._tasks.clear()
        _shut_down()


def _shut_down() -> None:
    import ray

    ray.shutdown()
