"""An epoch's batches on the device: rows of images that are there, augmented there.

Owns gathering the rows of each batch, drawing the parameters of an epoch's augmentation and applying them.
Does not own where images lie (`data/device_images.py`), the augmentation (`data/device_augment.py`), or the
loader that augments on the CPU (`data/loader.py`), whose order of rows and batches are used here, too.

There are no loader processes: indices and parameters of an epoch are computed at its start, and a batch is a
slice of them. Parameters of an epoch that is expected are drawn by a thread while another one trains; they
are the same, because each row has a seed of its own. The pixels of a batch that was augmented are floats from
0 to 1; of one that was not, bytes.

Legend: N samples, R rows of an epoch, B of a batch, H height, W width, C channels, P parameters.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch

from pipeline.core.samples import Ints, TrainRows, positions, strings
from pipeline.data import several
from pipeline.data.device_augment import DeviceAugmenter
from pipeline.data.device_draws import Table
from pipeline.data.device_images import DeviceImages, ahead, moved
from pipeline.data.loader import Batch, LoaderPlan, batch_bounds, epoch_order


@dataclass(frozen=True)
class _Rows:
    """The rows of an epoch in their order: positions of images and samples, labels, and parameters.

    All are on the device, except positions of images that lie on the host.
    """

    image_R: Ints | torch.Tensor
    index_R: torch.Tensor
    y_R: torch.Tensor
    params_RP: torch.Tensor


@dataclass(frozen=True)
class _Expected:
    """The parameters of an epoch's rows, drawn or being drawn."""

    rows: TrainRows
    table: Future[Table]

    def is_of(self, rows: TrainRows) -> bool:
        """Whether these are the rows."""
        pairs = (
            (getattr(self.rows, name), getattr(rows, name)) for name in ("index_R", "copy_R", "policy_R")
        )
        return self.rows.policies == rows.policies and all(np.array_equal(*pair) for pair in pairs)


class DeviceLoader:
    """Batches of any epoch of one fold, like `EpochLoader`, but on the device.

    Raises:
        DataError: a sample has no image.
    """

    def __init__(self, images: DeviceImages, plan: LoaderPlan, device: str) -> None:
        self._images, self._plan, self._device = images, plan, device
        self._at_N = positions(plan.samples.ids_N, images.ids_N, "prepared images")
        self._augment = DeviceAugmenter([plan.augmenter, *plan.copies], images.channels)
        self._places = images.x_NHWC.shape[3] // images.channels
        self._drawing = ThreadPoolExecutor(1, thread_name_prefix="podium draws")
        # By epoch, and whether they are those of partners.
        self._expected: dict[tuple[int, bool], _Expected] = {}

    @property
    def workers(self) -> int:
        """Loader processes at work: none."""
        return 0

    def __enter__(self) -> DeviceLoader:
        return self

    def __exit__(self, *exc: object) -> None:
        self._drawing.shutdown(cancel_futures=True)

    def expect(self, epoch: int, rows: TrainRows, partners: TrainRows | None = None) -> None:
        """Begin to draw the parameters of an epoch that follows."""
        self._expected = {key: one for key, one in self._expected.items() if key[0] >= epoch - 1}
        for of, is_partner in ((rows, False), (partners, True)):
            if of is not None and self._augment.width and (epoch, is_partner) not in self._expected:
                table = self._drawing.submit(self._table, of, epoch)
                self._expected[epoch, is_partner] = _Expected(of, table)

    def batches(self, epoch: int, rows: TrainRows, partners: TrainRows | None = None) -> Iterator[Batch]:
        """The batches of one epoch, counted from 0, in the order of `EpochLoader.batches`."""
        plan = self._plan
        order_R = epoch_order(len(rows), plan.root_seed, plan.fold, epoch)
        own = self._rows(rows, order_R, epoch, False)
        other = None if partners is None else self._rows(partners, order_R, epoch, True)
        bounds = batch_bounds(len(rows), plan.batch_size)
        gathered = (self._gathered(own, other, start, end) for start, end in bounds)
        arrived = gathered if self._images.resident else ahead(gathered, self._device)
        for batch, (start, end) in zip(arrived, bounds, strict=True):
            partner = batch.partner
            if other is not None and partner is not None:
                partner = self._augmented(partner, other.params_RP[start:end])
            yield self._augmented(batch, own.params_RP[start:end])._replace(partner=partner)

    def _rows(self, rows: TrainRows, order_R: Ints, epoch: int, is_partner: bool) -> _Rows:
        plan, expected = self._plan, self._expected.get((epoch, is_partner))
        is_there = expected is not None and expected.is_of(rows)
        table = expected.table.result() if expected and is_there else self._table(rows, epoch)
        params_RP = table[order_R]
        index_R = rows.index_R[order_R]
        image_R = self._at_N[index_R]
        columns = (index_R, plan.class_N[index_R], params_RP, image_R)
        there = [moved(torch.from_numpy(column), self._device) for column in columns]
        return _Rows(there[3] if self._images.resident else image_R, there[0], there[1], there[2])

    def _table(self, rows: TrainRows, epoch: int) -> Table:
        """(R, P) parameters; each image of a sample has its own, those of the first as if it were alone."""
        return np.concatenate([self._drawn(rows, at, epoch) for at in range(self._places)], 1)

    def _drawn(self, rows: TrainRows, at: int, epoch: int) -> Table:
        plan, ids = self._plan, self._plan.samples.ids_N
        names = strings([several.image_name(name, at) for name in ids.tolist()]) if at else ids
        return self._augment.draw(rows, names, plan.root_seed, plan.fold, epoch)

    def _gathered(self, own: _Rows, other: _Rows | None, start: int, end: int) -> Batch:
        """The rows of a batch before augmentation."""
        partner = None if other is None else self._gathered(other, None, start, end)
        x_BHWC = self._images.rows(own.image_R[start:end])
        return Batch(x_BHWC, own.y_R[start:end], own.index_R[start:end], partner)

    def _augmented(self, batch: Batch, params_BP: torch.Tensor) -> Batch:
        if not self._augment.changes:
            return batch
        augmented = self._of_each if self._places > 1 else self._augment
        x_BCHW = augmented(batch.x_BHWC, params_BP)
        # The layout of the result is that of the images: this is a view.
        return batch._replace(x_BHWC=x_BCHW.permute(0, 2, 3, 1))

    def _of_each(self, x_BHWE: torch.Tensor, params_BP: torch.Tensor) -> torch.Tensor:
        """Rows of several images, each augmented; empty places stay empty."""
        size, (height, width) = len(x_BHWE), x_BHWE.shape[1:3]
        x_BHWIC = x_BHWE.reshape(size, height, width, self._places, -1)
        x_NHWC = x_BHWIC.permute(0, 3, 1, 2, 4).flatten(0, 1)
        made_NCHW = self._augment(x_NHWC, params_BP.reshape(len(x_NHWC), -1))
        there_N = x_NHWC.flatten(1).amax(dim=1) > 0
        made_NCHW = made_NCHW * there_N.view(-1, 1, 1, 1)
        of_sample = made_NCHW.reshape(size, -1, *made_NCHW.shape[2:])
        return of_sample.contiguous(memory_format=torch.channels_last)
