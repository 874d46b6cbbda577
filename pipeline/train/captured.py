"""A training step as one CUDA graph: recorded once, then replayed with other inputs.

Owns when a step is recorded, its fixed inputs, replaying it, and running it as it is where recording is not
possible. Does not own the step itself (`train/step.py`).

Small networks wait for the launches of their kernels; a graph launches all of them at once. Recording runs
nothing on the device: weights, averages, statistics and random states stay as the last step left them. What
has to run before a recording (libraries that load, an optimizer that makes its state) runs in the first
steps, which are real steps and are made on the stream that is recorded later. So a replayed step has the
bits of the same step without a graph, and the order of both kinds does not matter to a resumed run.

Random numbers of a recorded step come from torch's generator of the device: a replay reads its seed and
offset, so seeding it before each step is enough.

Source: https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable
from typing import Any, Protocol

import torch

from pipeline.train import texts

# Steps that run as they are before the recording; the last of them is watched.
WARM_UP = 3
WAITS = "called a synchronizing"

Function = Callable[..., torch.Tensor]


class Device(Protocol):
    """What runs and records functions; a test has one without a GPU."""

    def watch(self, function: Function, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, bool]:
        """Run a function; returns its result, and whether the host waited for the device in it."""

    def record(self, function: Function, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, Replay]:
        """Record a function of exactly these tensors; returns the tensor of its results, and the replay."""


class Replay(Protocol):
    """Computes the results of a recorded function from what its inputs hold now."""

    def __call__(self) -> None:
        """Queue it on the current stream."""


class Cuda:
    """The current GPU; functions run on one side stream, as recording needs it.

    All functions that one of these records share memory: replays come one after the other, and each writes
    what it reads.
    """

    def __init__(self) -> None:
        self._side: torch.cuda.Stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        self._pool: Any = torch.cuda.graph_pool_handle()

    def watch(self, function: Function, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, bool]:
        """See `Device`."""
        here, mode = torch.cuda.current_stream(), torch.cuda.get_sync_debug_mode()
        self._side.wait_stream(here)
        with torch.cuda.stream(self._side), warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")
            try:
                result = function(*inputs)
            finally:
                torch.cuda.set_sync_debug_mode(mode)
        here.wait_stream(self._side)
        # Allocated on the side stream and used on this one.
        result.record_stream(here)
        return result, any(WAITS in str(warning.message) for warning in told)

    def record(self, function: Function, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, Replay]:
        """See `Device`."""
        here, pool = torch.cuda.current_stream(), self._pool
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph, pool=pool, stream=self._side):
                result = function(*inputs)
        except BaseException:
            _give_up(pool)
            self._pool = torch.cuda.graph_pool_handle()  # torch takes none again that nobody uses any more
            raise
        finally:
            # Torch leaves the side stream the current one where a recording became invalid.
            torch.cuda.set_stream(here)
        return result, graph.replay


def _give_up(pool: Any) -> None:
    """End the allocations of a recording that became invalid, which torch does not.

    It would go on as if it recorded, and keep every block for ever that two streams have used: those of all
    batches that are copied ahead. Does nothing where torch has ended them, as after running out of memory.
    """
    with contextlib.suppress(RuntimeError):
        device = torch.cuda.current_device()
        torch._C._cuda_endAllocateToPool(device, pool)
        torch._C._cuda_releasePool(device, pool)


class Captured:
    """A function of tensors of fixed shapes, replayed as a graph from its fourth call on.

    Args:
        function: changes only tensors that stay where they are; everything that differs between calls is
            among its arguments. Its result is one tensor.
        refuse: called once with the reason if the function cannot be recorded, or its recording failed: drops
            what that left, and says so.
        device: records and runs it.
    """

    def __init__(self, function: Function, refuse: Callable[[str], None], device: Device) -> None:
        self._function, self._tell, self._device = function, refuse, device
        self._calls = 0
        self._refused = False
        self._inputs: tuple[torch.Tensor, ...] = ()
        self._result: torch.Tensor | None = None
        self._replay: Replay | None = None

    @property
    def recorded(self) -> bool:
        """Whether calls are replayed by now."""
        return self._replay is not None

    def __call__(self, seed: int, *inputs: torch.Tensor) -> torch.Tensor:
        """The function's result, a tensor of its own; `seed` is that of torch's generators for this call."""
        if not self._refused and self._calls < WARM_UP:
            self._calls += 1
            torch.manual_seed(seed)
            result, waits = self._device.watch(self._function, inputs)
            if waits and self._calls == WARM_UP:
                self._refuse(texts.STEP_WAITS)
            return result
        if not self._refused and self._replay is None:
            self._record(inputs)
        # Only here: recording must not have used up random numbers of this call.
        torch.manual_seed(seed)
        if self._replay is None or self._result is None:
            return self._function(*inputs)
        for fixed, given in zip(self._inputs, inputs, strict=True):
            fixed.copy_(given)
        self._replay()
        return self._result.clone()

    def _record(self, inputs: tuple[torch.Tensor, ...]) -> None:
        fixed = tuple(torch.empty_like(x).copy_(x) for x in inputs)
        try:
            self._result, self._replay = self._device.record(self._function, fixed)
            self._inputs = fixed
        except Exception as error:  # a network, a loss or an optimizer may do anything
            cause: BaseException = error
            while cause.__context__ is not None:  # torch raises another error when it ends what has failed
                cause = cause.__context__
            self._refuse(str(cause).splitlines()[0] if str(cause) else type(cause).__name__)

    def _refuse(self, why: str) -> None:
        self._refused = True
        self._tell(why)
