"""Which executor a command uses, by `runtime.executor`.

Owns the choice. `auto` takes several processes only where they cost nothing: on several GPUs, or where the
user asked for several. On CPUs one result may use all cores, so it stays in this process.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager

from pipeline.engine import hardware
from pipeline.engine.executors.here import Executor, Flow, Here, Site, Source
from pipeline.engine.executors.local import open_jobs, open_local
from pipeline.engine.executors.parallel import Parallel
from pipeline.engine.executors.plan import missing
from pipeline.engine.executors.ray import open_ray
from pipeline.engine.need import Need
from pipeline.settings.runtime import RuntimeSettings


def executor_of(runtime: RuntimeSettings, source: Source) -> Executor:
    """The executor of these settings; `source` returns the catalogue in other processes."""
    asks = runtime.processes not in ("auto", 1) or runtime.gpus != "auto" or runtime.per_gpu > 1
    local = Parallel(open_local, source)
    if runtime.executor == "local" or (runtime.executor == "auto" and asks):
        return local
    if runtime.executor == "ray":
        return Parallel(open_ray, source)
    if runtime.executor == "auto" and runtime.device != "cpu":
        return _ByDevices(local, source)
    return Here(source)


def executor_of_jobs(jobs: int, runtime: RuntimeSettings, source: Source) -> Executor:
    """The executor of a search that runs several trials at once: on this machine a process for each."""
    if jobs == 1 or runtime.executor == "ray":
        return executor_of(runtime, source)
    return Parallel(lambda site: open_jobs(site, jobs), source)


class _ByDevices:
    """One process, or several if torch sees several GPUs, once a heavy need is missing."""

    def __init__(self, local: Parallel, source: Source) -> None:
        self._local, self._here = local, Here(source)
        self.source: Source | None = source
        self._several: bool | None = None

    def check(self, site: Site) -> None:
        """Whatever is there will do."""

    def prepare(self, site: Site, needs: Sequence[Need]) -> None:
        """See `Executor`; torch is imported only where it will be needed anyway."""
        if self._several is None and any(node.heavy for node in missing(site, needs).values()):
            self._several = hardware.gpu_count() > 1
        if self._several:
            self._local.prepare(site, needs)

    def flow(self, site: Site, spread: bool = False) -> AbstractContextManager[Flow]:
        """See `Executor`."""
        if self._several is None:
            self._several = hardware.gpu_count() > 1
        return self._local.flow(site, spread) if self._several else self._here.flow(site, spread)

    def close(self) -> None:
        """End all processes."""
        self._local.close()
