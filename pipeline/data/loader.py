"""An epoch's rows as batches of augmented pixels, and two sets of prepared images as one.

Owns the order of an epoch, cutting it into batches, the loader processes and their number, and reading rows
across two memory maps without copying either. Does not own which rows there are (`resample/indices.py`), the
pixels' augmentation (`data/augment.py`), making prepared images (`data/images.py`) or the device.

Loader processes have no state: the sampler sends complete (epoch, index, copy, policy) keys, so 0, 1 or 4
of them give the same pixels in the same order, and they stay alive from epoch to epoch. Their number can
therefore be chosen in the middle of an epoch, from the time of its first batches. If they are lost (killed,
out of shared memory, silent for `SILENT_SECONDS`), this process says so and loads what is left by itself.

Legend: N images, B rows of a batch, H height, W width, C channels, R rows of an epoch.
"""

from __future__ import annotations

import logging
import math
import time
import warnings
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, Protocol, cast

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from pipeline.core.samples import Ints, Samples, Strings, TrainRows, positions, strings
from pipeline.core.seeds import rng
from pipeline.data import texts
from pipeline.data.augment import Augmenter
from pipeline.data.detail import hw_of

# (epoch, index, copy, policy)
Key = tuple[int, int, int, int]
Pixels = npt.NDArray[np.uint8]

# Windows of batches that are timed before the number of processes is chosen; the first warm caches up.
TIMED, WARM_UP = 8, 2
# Processes must save this share of the time, and the time of starting them.
WORTH_SHARE, START_SECONDS = 0.15, 0.5
# Loader processes that send nothing for this long are given up.
SILENT_SECONDS = 120.0
# What torch and the system raise for lost processes; errors of a user's own code come back when this process
# loads the same rows again.
LOST = (RuntimeError, OSError, EOFError)
SHARED_MEMORY = ("shared memory", "shm", "bus error", "no space left", "too many open files")

log = logging.getLogger(__name__)


class Images(Protocol):
    """Prepared images of one size, as `data/images.py` makes them.

    They may have `beside_NE`, see `beside_of`, and `hw`, see `data/detail.py`.
    """

    @property
    def ids_N(self) -> Strings:
        """The id of each row."""

    @property
    def x_NHWC(self) -> npt.NDArray[np.uint8]:
        """0 to 255, an array or a memmap."""

    @property
    def channels(self) -> int:
        """Channels of one image; those of a row are a multiple, see `data/several.py`."""


def beside_of(images: Images) -> npt.NDArray[np.float32] | None:
    """(N, E) the metadata beside these images as numbers, NaN where one is missing; None: there is none."""
    found: npt.NDArray[np.float32] | None = getattr(images, "beside_NE", None)
    return found


class Batch(NamedTuple):
    """Rows of one forward pass: pixels, class indices, positions in the samples; their partners.

    The class index is 0 where classes do not exclude each other; targets are found by position.

    Pixels are bytes, or floats from 0 to 1 where they were augmented on the device.
    """

    x_BHWC: torch.Tensor
    y_B: torch.Tensor
    index_B: torch.Tensor
    partner: Batch | None = None

    def at(self, rows: torch.Tensor) -> Batch:
        """These rows in this order, without partners."""
        return Batch(self.x_BHWC[rows], self.y_B[rows], self.index_B[rows])

    def part(self, start: int, end: int) -> Batch:
        """The rows from `start` to `end`, without partners."""
        return Batch(self.x_BHWC[start:end], self.y_B[start:end], self.index_B[start:end])


@dataclass(frozen=True)
class LoaderPlan:
    """The settings of a loader, the same for all epochs of a fold.

    Args:
        samples: the fold's training samples, labelled.
        augmenter: applied to every row that is not an offline copy.
        batch_size: rows of a batch, ≥ 1.
        root_seed: of order and augmentation.
        fold: part of every seed.
        workers: loader processes; 0 loads in this process; None: chosen by timing the first batches.
        copies: augmenters of offline copies, in the order of the rows' policies after the first.
        cores: needed for `workers=None`.
        n_batches: of all epochs together; starting processes pays off only over many batches.
        window: batches that one optimizer step takes.
    """

    samples: Samples
    augmenter: Augmenter
    batch_size: int
    root_seed: int
    fold: int
    workers: int | None = 0
    copies: tuple[Augmenter, ...] = ()
    cores: Cores | None = None
    n_batches: int = 0
    window: int = 1

    @cached_property
    def class_N(self) -> Ints:
        """(N,) class index of each sample; 0 where classes do not exclude each other."""
        if self.samples.space.kind != "exclusive":
            return np.zeros(len(self.samples), np.int64)
        return self.samples.labels


@dataclass(frozen=True)
class Cores:
    """The cores that loading may use.

    Args:
        all: cores of this process, ≥ 1.
        computing: threads that the training step keeps busy; 1 where a GPU computes.
    """

    all: int
    computing: int


def choose_workers(load: float, step: float, batches: int, cores: Cores) -> int:
    """How many loader processes make training faster; 0: loading in this process is as fast.

    If some cores are idle, loading overlaps with the step. If every core computes, processes can at best
    share the work evenly, because loading in this process leaves all cores but one idle. One batch takes
    `load` seconds to make and `step` seconds to train on; `batches` of them remain.
    """
    idle = cores.all - cores.computing
    if cores.all < 2 or load <= 0:
        return 0
    wanted = math.ceil(1.25 * load / max(step, 1e-6))
    n = max(1, min(wanted, idle if idle > 0 else cores.all // 2))
    hidden = max(step, load / n)
    shared = (step * min(cores.computing, cores.all) + load) / cores.all
    saved = load + step - (hidden if idle > 0 else max(shared, load / n))
    pays = saved > WORTH_SHARE * (load + step) and saved * batches > START_SECONDS * n
    return n if pays else 0


def batch_bounds(n_rows: int, batch_size: int) -> list[tuple[int, int]]:
    """Start and end of each batch; a single remaining row joins the batch before it.

    Batch normalisation of one row has no variance: its output would be the bias alone, and networks that
    normalise 1×1 maps reject such a batch. A `batch_size` of 1 is used as it is.
    """
    starts = list(range(0, n_rows, batch_size))
    if batch_size > 1 and len(starts) > 1 and n_rows % batch_size == 1:
        starts.pop()
    return list(zip(starts, [*starts[1:], n_rows][: len(starts)], strict=True))


def epoch_order(n_rows: int, root_seed: int, fold: int, epoch: int) -> npt.NDArray[np.int64]:
    """(R,) the shuffled order of an epoch's rows."""
    return rng(root_seed, "order", fold, epoch).permutation(n_rows)


class _Rows(Dataset[tuple[npt.NDArray[np.uint8], int, int]]):
    """Pixels of one key; a loader process holds only this, and never changes it."""

    def __init__(self, images: Images, plan: LoaderPlan) -> None:
        self.images = images
        self.plan = plan
        self.at_N = positions(plan.samples.ids_N, images.ids_N, "prepared images")

    def __getitem__(self, key: Key) -> tuple[npt.NDArray[np.uint8], int, int]:
        epoch, index, copy, policy = key
        plan = self.plan
        image_HWC = np.asarray(self.images.x_NHWC[self.at_N[index]])
        sample_id = str(plan.samples.ids_N[index])
        if policy:
            pixels_HWC = plan.copies[policy - 1].offline(image_HWC, plan.root_seed, sample_id, copy)
        else:
            pixels_HWC = plan.augmenter(image_HWC, plan.root_seed, plan.fold, epoch, sample_id, copy)
        return pixels_HWC, int(plan.class_N[index]), index


class _EpochKeys(Sampler[list[Key]]):
    """The batches of the current epoch; only this process has one."""

    def __init__(self) -> None:
        self.batches: list[list[Key]] = []

    def __iter__(self) -> Iterator[list[Key]]:
        return iter(self.batches)

    def __len__(self) -> int:
        return len(self.batches)


def _collate(rows: list[tuple[npt.NDArray[np.uint8], int, int]]) -> Batch:
    pixels, labels, index = zip(*rows, strict=True)
    return Batch(torch.from_numpy(np.stack(pixels)), torch.tensor(labels), torch.tensor(index))


def _collate_shared(rows: list[tuple[npt.NDArray[np.uint8], int, int]]) -> Batch:
    """The same in a loader process, in shared memory.

    Torch itself would move it there in a thread whose errors nobody sees: if the memory is full, the batch is
    lost, and whoever waits for it waits for ever (pytorch issue 5040).
    """
    batch = _collate(rows)
    for part in (batch.x_BHWC, batch.y_B, batch.index_B):
        part.share_memory_()  # type: ignore[no-untyped-call]
    return batch


def _start_worker(worker: int) -> None:
    import cv2

    # Each loader process would otherwise start as many OpenCV threads as there are cores.
    cv2.setNumThreads(0)


@contextmanager
def _any_number_of_workers() -> Iterator[None]:
    """No warning about more processes than cores: it is the user's choice and changes no pixel."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="This DataLoader will create")
        # From Python 3.12 on; the child only reads pixels and never enters a parallel region of torch.
        warnings.filterwarnings("ignore", message=".*multi-threaded, use of fork")
        yield


class EpochLoader:
    """Batches of any epoch of one fold; use it in a `with`, so that its processes end.

    Raises:
        DataError: a sample has no image.
    """

    def __init__(self, images: Images, plan: LoaderPlan) -> None:
        self._plan = plan
        self._keys = _EpochKeys()
        self._rows = _Rows(images, plan)
        self._timed: list[tuple[float, float]] = []
        self._undecided = plan.workers is None
        self._loader = self._loader_of(plan.workers or 0)

    def _loader_of(self, workers: int) -> DataLoader[Any]:
        with _any_number_of_workers():
            return DataLoader(
                self._rows,
                batch_sampler=self._keys,
                num_workers=workers,
                collate_fn=_collate_shared if workers else _collate,
                persistent_workers=workers > 0,
                timeout=SILENT_SECONDS if workers else 0,
                worker_init_fn=_start_worker if workers else None,
            )

    @property
    def workers(self) -> int:
        """Loader processes at work."""
        return self._loader.num_workers

    def __enter__(self) -> EpochLoader:
        return self

    def __exit__(self, *exc: object) -> None:
        self._end_workers()

    def _end_workers(self) -> None:
        # The garbage collector would keep them as long as a traceback refers to this frame.
        if (iterator := self._loader._iterator) is not None:
            iterator._shutdown_workers()  # type: ignore[attr-defined]
            self._loader._iterator = None

    def batches(self, epoch: int, rows: TrainRows, partners: TrainRows | None = None) -> Iterator[Batch]:
        """The batches of one epoch, counted from 0, shuffled by the seed alone.

        Rows are positions in `plan.samples`, with their copy numbers; a row's partner is loaded with it.
        """
        plan = self._plan
        order_R = epoch_order(len(rows), plan.root_seed, plan.fold, epoch)
        bounds = batch_bounds(len(rows), plan.batch_size)
        streams = [_keys_of(epoch, stream, order_R) for stream in (rows, partners) if stream is not None]
        batches = [[key for keys in streams for key in keys[a:b]] for a, b in bounds]
        for batch in self._loaded(batches):
            size = len(batch.y_B) // len(streams)
            own, partner = batch.part(0, size), batch.part(size, 2 * size)
            yield own if partners is None else own._replace(partner=partner)

    def _loaded(self, batches: list[list[Key]]) -> Iterator[Batch]:
        if self._undecided:
            batches = yield from self._decide(batches)
        self._keys.batches = batches
        arrived = 0
        try:
            with _any_number_of_workers():
                iterator = iter(self._loader)
            while (batch := next(iterator, None)) is not None:
                arrived += 1
                yield batch
        except LOST as error:
            if not self.workers:
                raise
            self._go_on_alone(error)
        for keys in batches[arrived:]:
            yield _collate([self._rows[key] for key in keys])

    def _go_on_alone(self, error: Exception) -> None:
        """End the loader processes and load in this one from now on."""
        told = " ".join(str(error).split()).lower()
        why = texts.LOADER_LOST
        if any(word in told for word in SHARED_MEMORY):
            why = texts.LOADER_SHARED_MEMORY
        elif "timed out" in told:
            why = texts.LOADER_SILENT.format(seconds=SILENT_SECONDS)
        log.warning("%s", texts.LOADER_ALONE.format(why=why))
        log.debug("loader processes were lost: %s", error)
        self._end_workers()
        self._loader = self._loader_of(0)

    def _decide(self, batches: list[list[Key]]) -> Generator[Batch, None, list[list[Key]]]:
        """Load and time some batches in this process, then choose; returns the remaining batches."""
        for number, keys in enumerate(batches):
            if len(self._timed) == TIMED * self._plan.window:
                self._choose()
                return batches[number:]
            begin = time.perf_counter()
            batch = _collate([self._rows[key] for key in keys])
            loaded = time.perf_counter()
            yield batch
            self._timed.append((loaded - begin, time.perf_counter() - loaded))
        return []

    def _choose(self) -> None:
        window, cores = self._plan.window, self._plan.cores
        timed_WT = np.array(self._timed).reshape(TIMED, window, 2).sum(axis=1)
        load, step = (float(t) / window for t in np.median(timed_WT[WARM_UP:], axis=0))
        assert cores is not None, "workers=None needs to know the cores"
        workers = choose_workers(load, step, self._plan.n_batches - TIMED * window, cores)
        log.debug("loader: %.1f ms a batch, step %.1f ms: %d processes", load * 1e3, step * 1e3, workers)
        self._undecided = False
        if workers:
            self._loader = self._loader_of(workers)


def _keys_of(epoch: int, rows: TrainRows, order_R: npt.NDArray[np.int64]) -> list[Key]:
    columns = (rows.index_R[order_R], rows.copy_R[order_R], rows.policy_R[order_R])
    return [(epoch, *key) for key in zip(*(c.tolist() for c in columns), strict=True)]


class ChainedRows:
    """The rows of two arrays of equal row shape, read by position."""

    def __init__(self, first: Pixels, second: Pixels) -> None:
        assert first.shape[1:3] == second.shape[1:3], "images of two sizes"
        self._parts = (first, second)
        # Samples of the two may have different numbers of images.
        depth = max(first.shape[3], second.shape[3])
        self.shape = (len(first) + len(second), *first.shape[1:3], depth)

    def __len__(self) -> int:
        return int(self.shape[0])

    def __getitem__(self, at: Any) -> Pixels:
        first, second = self._parts
        if isinstance(at, int | np.integer):
            row: Pixels = self[np.array([at])][0]
            return row
        at_B = np.asarray(at)
        rows = np.zeros((len(at_B), *self.shape[1:]), np.uint8)
        early = at_B < len(first)
        rows[early, ..., : first.shape[3]] = first[at_B[early]]
        rows[~early, ..., : second.shape[3]] = second[at_B[~early] - len(first)]
        return rows


class Chained:
    """Images of two sets, found by id; no id is in both."""

    def __init__(self, first: Images, second: Images) -> None:
        self.ids_N: Strings = strings([*first.ids_N.tolist(), *second.ids_N.tolist()])
        # Readers of images only index rows and read the shape.
        self.x_NHWC = cast(Pixels, ChainedRows(first.x_NHWC, second.x_NHWC))
        self.channels = first.channels
        self.hw = hw_of(first)
        own, more = beside_of(first), beside_of(second)
        self.beside_NE = None if own is None or more is None else np.concatenate([own, more])
