"""What the processes of this machine compute on: one token for each, checked before any work.

Owns how many processes run and what each of them sees. Does not own the processes
(`engine/executors/local.py`).

The number of threads of a result is a setting and in its record; it is never a consequence of how many
processes run. So too many processes are refused, and none gets fewer threads.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from pipeline.core.errors import ConfigError
from pipeline.core.language import _
from pipeline.engine import texts
from pipeline.settings.runtime import RuntimeSettings

# GB of a GPU that a process needs: about half of it for CUDA and its libraries, the rest for a small network.
LEAST_GB = 1.0


@dataclass(frozen=True)
class Token:
    """What one process computes on.

    Args:
        name: for people, such as `gpu 1` or `process 2`.
        visible: the value of CUDA_VISIBLE_DEVICES; None: unchanged.
    """

    name: str
    visible: str | None = None


@dataclass(frozen=True)
class Machine:
    """What this machine has.

    Args:
        gpus: CUDA_VISIBLE_DEVICES of each GPU that torch sees, in torch's order.
        cores: that this process may use.
        threads: torch's threads, unless `runtime.threads` says otherwise.
        gpu_gb: memory of each GPU, GB; empty: not known.
    """

    gpus: tuple[str, ...]
    cores: int
    threads: int
    gpu_gb: tuple[float, ...] = ()


def gpu_names(count: int, visible: str | None) -> tuple[str, ...]:
    """The value of CUDA_VISIBLE_DEVICES for each of `count` GPUs, where the present value is `visible`."""
    shown = [word.strip() for word in (visible or "").split(",") if word.strip()]
    return tuple(shown[:count]) if len(shown) >= count else tuple(str(n) for n in range(count))


def tokens(runtime: RuntimeSettings, machine: Machine) -> list[Token]:
    """One token for each process.

    Raises:
        ConfigError: a GPU that is not there, settings that do not suit the device, or too few cores.
    """
    gpus = [] if runtime.device == "cpu" else list(machine.gpus)
    if runtime.gpus != "auto":
        missing = [n for n in runtime.gpus if n >= len(gpus)]
        if missing:
            seen = f"GPUs 0 to {len(gpus) - 1}" if len(gpus) > 1 else "GPU 0" if gpus else "none"
            listed = ", ".join(str(n) for n in missing)
            asked = str(runtime.gpus).replace(" ", "")
            raise ConfigError(
                texts.NO_GPU.format(asked=asked, missing=listed, seen=seen), remedy=texts.NO_GPU_REMEDY
            )
    elif runtime.device == "cuda" and not gpus:
        raise ConfigError(_("runtime.device=cuda: torch sees no GPU"), remedy=texts.NO_GPU_REMEDY)
    if runtime.per_gpu > 1 and not gpus:
        text = texts.PER_GPU_WITHOUT_GPU.format(n=runtime.per_gpu)
        raise ConfigError(text, remedy=texts.PER_GPU_WITHOUT_GPU_REMEDY)
    if not gpus:
        return _of_cores(runtime, machine)
    if runtime.processes != "auto":
        text = texts.PROCESSES_ON_GPU.format(n=runtime.processes)
        raise ConfigError(text, remedy=texts.PROCESSES_ON_GPU_REMEDY)
    numbers = range(len(gpus)) if runtime.gpus == "auto" else runtime.gpus
    if runtime.per_gpu > 1 and machine.gpu_gb:
        _refuse_crowded(runtime.per_gpu, {n: machine.gpu_gb[n] for n in numbers})
    made = [Token(f"gpu {n}", gpus[n]) for _ in range(runtime.per_gpu) for n in numbers]
    if runtime.threads is not None:
        refuse_too_many(len(made), runtime.threads, machine.cores, "")
    return made


def _refuse_crowded(per_gpu: int, gb: dict[int, float]) -> None:
    """Raise ConfigError where the memory of a GPU cannot hold so many processes, whatever they compute."""
    small = {n: memory for n, memory in gb.items() if memory < per_gpu * LEAST_GB}
    if not small:
        return
    faults = [texts.GPU_MEMORY.format(gpu=n, gb=f"{memory:.1f}") for n, memory in small.items()]
    most = max(int(min(small.values()) / LEAST_GB), 1)
    text = texts.PER_GPU_MEMORY.format(n=per_gpu, least=LEAST_GB)
    raise ConfigError(text, faults, texts.PER_GPU_MEMORY_REMEDY.format(most=most))


def _of_cores(runtime: RuntimeSettings, machine: Machine) -> list[Token]:
    threads = runtime.threads or machine.threads
    wanted = max(machine.cores // threads, 1) if runtime.processes == "auto" else runtime.processes
    if wanted > 1:
        refuse_too_many(wanted, threads, machine.cores, "runtime.processes")
    return [Token(f"process {n}") for n in range(wanted)]


def tokens_of_jobs(jobs: int, runtime: RuntimeSettings, machine: Machine) -> list[Token]:
    """One token for each process of a search that runs this many trials at once.

    On GPUs they take turns over the cards. There are more processes than trials on more GPUs, or with
    `runtime.executor=local`: then the folds of a trial run side by side, too.

    Raises:
        ConfigError: as of `tokens`. No process gets fewer threads because others run beside it, so a trial
            does not depend on the process that runs it.
    """
    on_gpus = bool(machine.gpus) and runtime.device != "cpu"
    if not on_gpus or runtime.threads is not None:
        refuse_too_many(jobs, runtime.threads or machine.threads, machine.cores, "JOBS")
    made = tokens(runtime, machine)
    wanted = max(jobs, len(made)) if on_gpus or runtime.executor == "local" else jobs
    if on_gpus:
        return [made[n % len(made)] for n in range(wanted)]
    return [Token(f"process {n}") for n in range(wanted)]


def refuse_too_many(processes: int, threads: int, cores: int, setting: str) -> None:
    """Raise ConfigError where this many threads have no cores; `setting`: of the number of processes."""
    if processes * threads <= cores:
        return
    fits = [f"{setting}={cores // threads}"] if setting and cores >= threads else []
    fits += [f"runtime.threads={cores // processes}"] if cores >= processes else []
    both = " or ".join(fits) or (f"{setting}={cores} runtime.threads=1" if setting else texts.FEWER_GPUS)
    text = texts.TOO_FEW_CORES.format(
        processes=processes, threads=threads, need=processes * threads, cores=cores
    )
    raise ConfigError(text, remedy=texts.TOO_FEW_CORES_REMEDY.format(fits=both))


def cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
