"""Which device and how many threads, as the runtime settings ask.

Owns the one place that sets them. Does not own what runs there.
"""

import os
import platform

from pipeline.core.errors import ConfigError
from pipeline.settings.schema import RuntimeSettings


def set_up(runtime: RuntimeSettings) -> str:
    """Set torch's threads; returns "cpu" or "cuda".

    Raises:
        ConfigError: a GPU was asked for and there is none.
    """
    import torch

    if runtime.threads is not None:
        torch.set_num_threads(runtime.threads)
    there = torch.cuda.is_available()
    if runtime.device == "cuda" and not there:
        raise ConfigError(
            "runtime.device=cuda: torch sees no GPU",
            remedy="use runtime.device=cpu, or install a torch build for your driver (README, Installing)",
        )
    return "cuda" if there and runtime.device != "cpu" else "cpu"


def machine() -> str:
    """What kind of machine this is: timings of another one say nothing here."""
    return (
        f"{platform.machine()} {platform.system()} {os.cpu_count()} cores python {platform.python_version()}"
    )
