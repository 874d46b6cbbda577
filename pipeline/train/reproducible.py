"""The same bits each time: torch's switches for determinism, and the cores left for loading images.

Owns these switches, which training (`train/loop.py`) and its timing (`train/step_timing.py`) share. Does not
own seeds (`core/seeds.py`) or threads (`engine/hardware.py`).
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from pipeline.core.errors import ConfigError
from pipeline.core.language import _
from pipeline.data.loader import Cores
from pipeline.engine.hardware import WORKSPACE


def cores(device: str) -> Cores:
    """The cores of this process, and how many of them a training step uses."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Cores(available, 1 if device == "cuda" else torch.get_num_threads())


@contextmanager
def _tf32(device: str, allowed: bool) -> Iterator[None]:
    if device != "cuda":
        yield
        return
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = allowed
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


@contextmanager
def reproducible(device: str, deterministic: bool = True, tf32: bool = False) -> Iterator[None]:
    """Inside, equal inputs give equal bits; on a CPU with a fixed number of threads they always do.

    `deterministic=False` lets a GPU choose convolutions by timing them, and add in any order. `tf32` lets its
    matrix products round float32 to 10 bits, which gives the same bits each time.

    Raises:
        ConfigError: the network has an operation without a deterministic implementation on a GPU.

    Source: https://docs.pytorch.org/docs/stable/notes/randomness.html
    """
    with (
        _tf32(device, tf32),
        torch.backends.cudnn.flags(enabled=True, benchmark=not deterministic, deterministic=deterministic),
    ):
        if device != "cuda" or not deterministic:
            yield
            return
        # Set by `set_up` already; without it, matrix products fail in this mode.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", WORKSPACE)
        switches: Any = torch.utils.deterministic
        before = torch.are_deterministic_algorithms_enabled(), switches.fill_uninitialized_memory
        torch.use_deterministic_algorithms(True)
        # No code here reads uninitialised memory.
        switches.fill_uninitialized_memory = False
        try:
            yield
        except RuntimeError as error:
            if "does not have a deterministic implementation" not in str(error):
                raise
            raise ConfigError(
                _("runtime.deterministic: {split}").format(split=str(error).split(". ")[0]),
                remedy=_(
                    "set runtime.deterministic=false (a resumed run is then not bit-identical), or choose "
                    "another model"
                ),
            ) from error
        finally:
            torch.use_deterministic_algorithms(before[0])
            switches.fill_uninitialized_memory = before[1]
