"""Which device and how many threads, as the runtime settings ask, and what this machine is called.

Owns the one place that sets them, and the one name of the processor: the manifest of every artifact, `make
reproduce` and the machine profile (`record/machine.py`) compare it. Does not own what runs there.
"""

import gc
import os
import platform
import sys
from contextlib import suppress
from pathlib import Path

from pipeline.core.errors import ConfigError
from pipeline.core.language import _
from pipeline.settings.runtime import RuntimeSettings

# 8 buffers of 4096 KiB: of the two sizes with which cuBLAS gives equal bits, the faster one.
WORKSPACE = ":4096:8"


def set_up(runtime: RuntimeSettings) -> str:
    """Set torch's threads; returns "cpu" or "cuda".

    On a GPU also the workspace of its matrix products, which is read once, when the first of them is
    computed: otherwise the bits of a training would depend on what its process had computed before.

    Raises:
        ConfigError: a GPU is required and there is none.
    """
    import torch

    if runtime.threads is not None:
        torch.set_num_threads(runtime.threads)
    there = torch.cuda.is_available()
    if runtime.device == "cuda" and not there:
        raise ConfigError(
            _("runtime.device=cuda: torch sees no GPU"),
            remedy=_("use runtime.device=cpu, or install a torch build for your driver (README, Installing)"),
        )
    if not there or runtime.device == "cpu":
        return "cpu"
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", WORKSPACE)
    return "cuda"


def machine() -> str:
    """The kind of this machine; timings of another kind are not comparable."""
    return (
        f"{platform.machine()} {platform.system()} {os.cpu_count()} cores python {platform.python_version()}"
    )


def profile(runtime: RuntimeSettings) -> dict[str, str | int] | None:
    """What equal bits depend on: processor or GPU, and threads. None where nothing was computed by torch.

    Asking loads no torch: a stage that needed it has it loaded by now, and voting does without.
    """
    torch = sys.modules.get("torch")
    if torch is None:
        return None
    gpu = torch.cuda.is_available() and runtime.device != "cpu"
    return {
        "machine": machine(),
        "device": torch.cuda.get_device_name(0) if gpu else processor(),
        "threads": torch.get_num_threads(),
    }


def processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """The processor's name, e.g. "AMD EPYC 7B13", if the system provides it.

    Args:
        cpuinfo: where Linux names the model, which Python's `platform` does not; elsewhere there is no such
            file, and ARM's has no model.
    """
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, "") or platform.processor() or platform.machine()


def free_memory(meminfo: Path = Path("/proc/meminfo"), group: Path = Path("/sys/fs/cgroup")) -> float | None:
    """Bytes that this process may still take, of the machine or its container; None if nothing says it."""
    found = []
    with suppress(OSError, ValueError, KeyError):  # not Linux
        found.append(_table(meminfo)["MemAvailable:"] * 1024)
    with suppress(OSError, ValueError, KeyError):  # no container, or one without a limit ("max")
        limit, used = (float((group / f"memory.{name}").read_text("ascii")) for name in ("max", "current"))
        # Files that the system keeps in memory count as used, and are given up first.
        found.append(max(limit - used + _table(group / "memory.stat")["file"], 0.0))
    return min(found, default=None)


def process_age(stat: Path = Path("/proc/self/stat"), uptime: Path = Path("/proc/uptime")) -> float:
    """Seconds since this process began; 0 where the system does not say it."""
    with suppress(OSError, ValueError, IndexError):
        # The name of the program, in brackets, may hold anything.
        fields = stat.read_text("ascii", errors="replace").rpartition(")")[2].split()
        began = int(fields[19]) / os.sysconf("SC_CLK_TCK")
        return max(float(uptime.read_text("ascii").split()[0]) - began, 0.0)
    return 0.0


def _table(path: Path) -> dict[str, float]:
    """Name -> number of a file with one of each in every line."""
    rows = (line.split() for line in path.read_text("ascii").splitlines())
    return {row[0]: float(row[1]) for row in rows if len(row) > 1}


def gpu_count() -> int:
    """The number of GPUs that torch sees."""
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def gpu_memory(count: int) -> tuple[float, ...]:
    """The memory of each of the first GPUs, GB, whatever is free of it; takes none of it."""
    import torch

    return tuple(torch.cuda.get_device_properties(n).total_memory / 1e9 for n in range(count))


def default_threads() -> int:
    """The number of torch's threads as it started, or as it was set for this process."""
    import torch

    return torch.get_num_threads()


def release() -> None:
    """Give back GPU memory that finished work no longer uses, for other processes on the same card."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
        gc.collect()  # what circles of references hold is not free before
        torch.cuda.empty_cache()
