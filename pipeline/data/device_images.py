"""Prepared images where a GPU reads them: in its own memory if they fit, else by way of pinned memory.

Owns copying to a device without waiting, keeping all images of a set there, falling back to the host if they
do not fit or memory runs out, and copying batches ahead of the computation. Does not own the order of an
epoch (`data/device_loader.py`) nor making prepared images (`data/images.py`).

A copy from ordinary memory makes the host wait for everything that the device has to do before it; one from
pinned memory does not. Torch's allocator of pinned memory knows the copies in progress, so that a block is
not used again before its copy is done. Its allocator of the device's memory has to be told (`record_stream`)
that a block of one stream is used on another.

Legend: N images, B rows of a batch, H height, W width, C channels.
"""

from __future__ import annotations

import gc
import logging
import re
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from pipeline.core.samples import Ints, Strings
from pipeline.data import texts
from pipeline.data.detail import hw_of
from pipeline.data.loader import Batch, Images, beside_of

# Rows of one copy while a set is moved to the device.
ROWS_AT_ONCE = 512
# Batches whose steps a GPU may not have begun. Without a limit the host would copy as many as it can load: a
# step is queued faster than it is computed, and the memory of a batch is free only after its step.
QUEUED = 4

# How CUDA's libraries say it, and the driver where it makes a context or locks memory of the host.
FULL = re.compile(r"CUDA error: out of memory|CUBLAS_STATUS_ALLOC_FAILED|CUDNN_STATUS_ALLOC_FAILED")

log = logging.getLogger(__name__)


def is_full(error: BaseException) -> bool:
    """Whether a GPU, or the memory of the host that it may lock, has no room."""
    if isinstance(error, torch.cuda.OutOfMemoryError):  # torch.OutOfMemoryError: not in older versions
        return True
    return isinstance(error, RuntimeError) and FULL.search(str(error)) is not None


def moved(x: torch.Tensor, device: str) -> torch.Tensor:
    """The tensor on the device; copying to a GPU does not wait for it."""
    if device == "cpu" or x.is_cuda:
        return x
    return _pinned(x).to(device, non_blocking=True)


def _pinned(x: torch.Tensor) -> torch.Tensor:
    """The tensor in pinned memory; as it is where the system allows no more of that, so that copies wait."""
    try:
        return x if x.is_pinned() else x.pin_memory()
    except RuntimeError as error:
        if not is_full(error):
            raise
    return x


def _host_rows(images: Images, at_B: Ints, pinned: bool) -> torch.Tensor:
    """(B, H, W, C) these rows in memory of the host, read once."""
    try:
        if pinned:
            x_BHWC = torch.empty((len(at_B), *images.x_NHWC.shape[1:]), dtype=torch.uint8, pin_memory=True)
            x_BHWC.numpy()[:] = images.x_NHWC[at_B]
            return x_BHWC
    except RuntimeError as error:
        if not is_full(error):
            raise
    return torch.from_numpy(np.array(images.x_NHWC[at_B]))


class DeviceImages:
    """Prepared images that are read on a device; for everyone else they are the images that they were.

    Args:
        images: as they are on the disk.
        device: "cuda"; "cpu" does the same without a copy of its own, for tests.
        share: of the device's free memory that the images may take, 0 to 1; larger sets stay on the host.
    """

    def __init__(self, images: Images, device: str, share: float) -> None:
        self._images, self._device = images, device
        self._resident: torch.Tensor | None = None
        shape = images.x_NHWC.shape
        if np.prod(shape, dtype=np.int64) > share * _free(device):
            size = f"{np.prod(shape, dtype=np.float64) / 1e9:.1f}"
            log.info("%s", texts.IMAGES_PINNED.format(gigabytes=size, share=share))
            return
        try:
            self._resident = _resident(images, device)
        except RuntimeError as error:
            if not is_full(error):
                raise
            log.warning("%s", texts.IMAGES_NO_MEMORY)

    @property
    def ids_N(self) -> Strings:
        """The id of each row."""
        return self._images.ids_N

    @property
    def x_NHWC(self) -> npt.NDArray[np.uint8]:
        """The pixels on the host, 0 to 255."""
        return self._images.x_NHWC

    @property
    def hw(self) -> tuple[int, int]:
        """Height and width of what a network sees, px."""
        return hw_of(self._images)

    @property
    def channels(self) -> int:
        """Channels of one image."""
        return self._images.channels

    @property
    def beside_NE(self) -> npt.NDArray[np.float32] | None:
        """(N, E) the metadata beside the images."""
        return beside_of(self._images)

    @property
    def host(self) -> Images:
        """The images as they were, for loader processes."""
        return self._images

    @property
    def resident(self) -> bool:
        """Whether the images are in the device's memory."""
        return self._resident is not None

    def evict(self) -> None:
        """Give the device's memory back; from now on rows come from the host, with the same pixels."""
        self._resident = None
        log.warning("%s", texts.IMAGES_NO_MEMORY)

    def rows(self, at_B: Ints | torch.Tensor) -> torch.Tensor:
        """(B, H, W, C) uint8 pixels of these rows, on the device if the images are, else in pinned memory.

        Positions that are on the device already can be given if the images are there, too.
        """
        if self._resident is not None:
            at = moved(torch.from_numpy(at_B), self._device) if isinstance(at_B, np.ndarray) else at_B
            return self._resident.index_select(0, at)
        at_host = at_B if isinstance(at_B, np.ndarray) else at_B.numpy()
        return _host_rows(self._images, at_host, pinned=self._device != "cpu")


def on_device(images: Images, device: str, share: float) -> Images:
    """The images for passes and training on this device; on a CPU they are as they were."""
    if device == "cpu" or isinstance(images, DeviceImages):
        return images
    return DeviceImages(images, device, share)


def rows_of(images: Images, at_B: Ints, device: str) -> torch.Tensor:
    """(B, H, W, C) uint8 pixels of these rows on the device."""
    if isinstance(images, DeviceImages):
        return moved(images.rows(at_B), device)
    return moved(_host_rows(images, at_B, pinned=device != "cpu"), device)


def _free(device: str) -> float:
    """Bytes of the device that are free, or that torch holds and does not use."""
    if device == "cpu":
        return 1e18
    # What an earlier fold left in circles of references, as a traceback of an import does, is no longer used.
    gc.collect()
    free, _ = torch.cuda.mem_get_info()
    return float(free + torch.cuda.memory_reserved() - torch.cuda.memory_allocated())


def _resident(images: Images, device: str) -> torch.Tensor:
    x_NHWC = torch.empty(images.x_NHWC.shape, dtype=torch.uint8, device=device)
    for start in range(0, len(x_NHWC), ROWS_AT_ONCE):
        at_B = np.arange(start, min(start + ROWS_AT_ONCE, len(x_NHWC)))
        rows = _host_rows(images, at_B, pinned=device != "cpu")
        x_NHWC[start : start + len(rows)].copy_(rows, non_blocking=True)
    return x_NHWC


def ahead(batches: Iterable[Batch], device: str) -> Iterator[Batch]:
    """The same batches on the device, in order; each is copied while the one before it is computed on.

    The host waits where the GPU is several batches behind, and the GPU never for the host.
    """
    if device == "cpu":
        yield from batches
        return
    side: torch.cuda.Stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    waiting: tuple[Batch, Any] | None = None
    used: deque[Any] = deque()
    for batch in batches:
        if len(used) == QUEUED:
            used.popleft().synchronize()
        with torch.cuda.stream(side):
            copied = _moved_batch(batch, device)
            done = side.record_event()
        if waiting is not None:
            yield _arrived(*waiting)
            event: Any = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
            event.record()
            used.append(event)
        waiting = copied, done
    if waiting is not None:
        yield _arrived(*waiting)


def _moved_batch(batch: Batch, device: str) -> Batch:
    partner = None if batch.partner is None else _moved_batch(batch.partner, device)
    x_BHWC, y_B, index_B = (moved(part, device) for part in (batch.x_BHWC, batch.y_B, batch.index_B))
    return Batch(x_BHWC, y_B, index_B, partner)


def _arrived(batch: Batch, done: Any) -> Batch:
    """The batch once its copies are done: the stream that computes waits for them, the host does not."""
    here = torch.cuda.current_stream()
    here.wait_event(done)
    one: Batch | None = batch
    while one is not None:
        for part in (one.x_BHWC, one.y_B, one.index_B):
            # Allocated on the side stream: it must not be used again there before this one is done with it.
            part.record_stream(here)
        one = one.partner
    return batch
