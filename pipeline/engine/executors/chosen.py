"""Which executor a command uses, by `runtime.executor`.

Owns the choice. `auto` takes several processes only where they cost nothing: on several GPUs, or where the
user asked for several. On CPUs one result may use all cores, so it stays in this process.
"""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.engine import hardware
from pipeline.engine.executors.here import Executor, Here, Site
from pipeline.engine.executors.local import open_local
from pipeline.engine.executors.parallel import Parallel, missing
from pipeline.engine.executors.ray import open_ray
from pipeline.engine.executors.work import Source
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
        return _ByDevices(local)
    return Here()


class _ByDevices:
    """One process, or several if torch sees several GPUs, once a heavy need is missing."""

    def __init__(self, local: Parallel) -> None:
        self._local = local
        self._several: bool | None = None

    def check(self, site: Site) -> None:
        """Whatever is there will do."""

    def prepare(self, site: Site, needs: Sequence[Need]) -> None:
        """See `Executor`; torch is imported only where it will be needed anyway."""
        if self._several is None and any(node.heavy for node in missing(site, needs).values()):
            self._several = hardware.gpu_count() > 1
        if self._several:
            self._local.prepare(site, needs)

    def close(self) -> None:
        """End all processes."""
        self._local.close()
