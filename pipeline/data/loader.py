"""An epoch's rows as batches of augmented pixels.

Owns the order of an epoch, the cutting into batches and the loader processes. Does not own which
rows there are (`data/resample.py`), the pixels' augmentation (`data/augment.py`) or the device.

Loader processes hold no state: the sampler sends complete (epoch, index, copy, policy) keys, so 0, 1 or 4
of them give the same pixels in the same order, and they stay alive from epoch to epoch.

Legend: N images, B rows of a batch, H height, W width, C channels, R rows of an epoch.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from pipeline.core.seeds import rng
from pipeline.core.types import Samples, Strings, TrainRows, positions
from pipeline.data.augment import Augmenter

Key = tuple[int, int, int, int]


class Images(Protocol):
    """Prepared images of one size, as `data/images.py` makes them."""

    @property
    def ids_N(self) -> Strings:
        """Whose image stands in which row."""

    @property
    def x_NHWC(self) -> npt.NDArray[np.uint8]:
        """RGB, 0 to 255, an array or a memmap."""


class Batch(NamedTuple):
    """Rows of one forward pass: pixels 0 to 255, class indices, positions in the samples; their partners."""

    x_BHWC: torch.Tensor
    y_B: torch.Tensor
    index_B: torch.Tensor
    partner: "Batch | None" = None

    def at(self, rows: torch.Tensor) -> "Batch":
        """These rows in this order, without partners."""
        return Batch(self.x_BHWC[rows], self.y_B[rows], self.index_B[rows])

    def part(self, start: int, end: int) -> "Batch":
        """The rows from `start` to `end`, without partners."""
        return Batch(self.x_BHWC[start:end], self.y_B[start:end], self.index_B[start:end])


@dataclass(frozen=True)
class LoaderPlan:
    """What stays the same over all epochs of a fold.

    Args:
        samples: the fold's training samples, labelled.
        augmenter: applied to every row of the run's own policy.
        batch_size: rows of a batch, ≥ 1.
        root_seed: of order and augmentation.
        fold: part of every seed.
        workers: loader processes; 0 loads in this process.
        copies: what makes offline copies, in the order of the rows' policies after the first.
    """

    samples: Samples
    augmenter: Augmenter
    batch_size: int
    root_seed: int
    fold: int
    workers: int = 0
    copies: tuple[Augmenter, ...] = ()


def batch_bounds(n_rows: int, batch_size: int) -> list[tuple[int, int]]:
    """Start and end of each batch; a single leftover row joins the batch before it.

    Batch normalisation of one row has no variance: its output would be its bias alone, and networks
    that normalise 1×1 maps refuse such a batch. A `batch_size` of 1 is left as it was asked for.
    """
    starts = list(range(0, n_rows, batch_size))
    if batch_size > 1 and len(starts) > 1 and n_rows % batch_size == 1:
        starts.pop()
    return list(zip(starts, [*starts[1:], n_rows][: len(starts)], strict=True))


def epoch_order(n_rows: int, root_seed: int, fold: int, epoch: int) -> npt.NDArray[np.int64]:
    """(R,) the shuffled order of an epoch's rows."""
    return rng(root_seed, "order", fold, epoch).permutation(n_rows)


class _Rows(Dataset[tuple[npt.NDArray[np.uint8], int, int]]):
    """Pixels of one key; all that a loader process holds, and none of it changes."""

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
        return pixels_HWC, int(plan.samples.labels[index]), index


class _EpochKeys(Sampler[list[Key]]):
    """The batches of the epoch at hand; only this process has one."""

    def __init__(self) -> None:
        self.batches: list[list[Key]] = []

    def __iter__(self) -> Iterator[list[Key]]:
        return iter(self.batches)

    def __len__(self) -> int:
        return len(self.batches)


def _collate(rows: list[tuple[npt.NDArray[np.uint8], int, int]]) -> Batch:
    pixels, labels, index = zip(*rows, strict=True)
    return Batch(torch.from_numpy(np.stack(pixels)), torch.tensor(labels), torch.tensor(index))


def _start_worker(worker: int) -> None:
    import cv2

    # Each loader process would otherwise start as many OpenCV threads as there are cores.
    cv2.setNumThreads(0)


@contextmanager
def _any_number_of_workers() -> Iterator[None]:
    """More processes than cores is the user's choice, and changes no pixel: no warning."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="This DataLoader will create")
        yield


class EpochLoader:
    """Batches of any epoch of one fold; use it in a `with`, so that its processes end.

    Args:
        images: prepared images; must hold every sample, found by id.
        plan: what stays the same over all epochs.

    Raises:
        DataError: a sample has no image.
    """

    def __init__(self, images: Images, plan: LoaderPlan) -> None:
        self._plan = plan
        self._keys = _EpochKeys()
        with _any_number_of_workers():
            self._loader: DataLoader[Any] = DataLoader(
                _Rows(images, plan),
                batch_sampler=self._keys,
                num_workers=plan.workers,
                collate_fn=_collate,
                persistent_workers=plan.workers > 0,
                worker_init_fn=_start_worker if plan.workers else None,
            )

    def __enter__(self) -> "EpochLoader":
        return self

    def __exit__(self, *exc: object) -> None:
        # Left to the garbage collector, they would live on while a traceback holds this frame.
        if (iterator := self._loader._iterator) is not None:
            iterator._shutdown_workers()  # type: ignore[attr-defined]
            self._loader._iterator = None

    def batches(self, epoch: int, rows: TrainRows, partners: TrainRows | None = None) -> Iterator[Batch]:
        """The batches of one epoch, shuffled by the seed alone.

        Args:
            epoch: from 0.
            rows: positions in `plan.samples`, with their copy numbers.
            partners: one for each row, loaded with it; None: there are none.
        """
        plan = self._plan
        order_R = epoch_order(len(rows), plan.root_seed, plan.fold, epoch)
        bounds = batch_bounds(len(rows), plan.batch_size)
        streams = [_keys_of(epoch, stream, order_R) for stream in (rows, partners) if stream is not None]
        self._keys.batches = [[key for keys in streams for key in keys[a:b]] for a, b in bounds]
        with _any_number_of_workers():
            iterator = iter(self._loader)
        for batch, (start, end) in zip(iterator, bounds, strict=True):
            size = end - start
            own, partner = batch.part(0, size), batch.part(size, 2 * size)
            yield own if partners is None else own._replace(partner=partner)


def _keys_of(epoch: int, rows: TrainRows, order_R: npt.NDArray[np.int64]) -> list[Key]:
    columns = (rows.index_R[order_R], rows.copy_R[order_R], rows.policy_R[order_R])
    return [(epoch, *key) for key in zip(*(c.tolist() for c in columns), strict=True)]
