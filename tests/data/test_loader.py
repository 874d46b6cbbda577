import dataclasses
import os
import signal
import time

import numpy as np
import pytest
import torch
from learn_world import SIZE, digit_images, digit_samples

from pipeline.core.errors import DataError
from pipeline.core.samples import TrainRows
from pipeline.data import loader
from pipeline.data.augment import Augmenter
from pipeline.data.loader import Cores, EpochLoader, LoaderPlan, batch_bounds, choose_workers

ROWS = TrainRows.of(np.array([0, 1, 2, 3, 4, 5, 6, 7, 8, 8, 8]))


def plan(workers=0, policy="medium", batch_size=4, fold=0):
    return LoaderPlan(digit_samples(0, 20), Augmenter(policy, SIZE), batch_size, 5, fold, workers)


def epochs(plan, rows=ROWS, n=2):
    with EpochLoader(digit_images(30), plan) as loader:
        return [list(loader.batches(epoch, rows)) for epoch in range(n)]


def joined(batches):
    return tuple(torch.cat(parts) for parts in zip(*(batch[:3] for batch in batches), strict=True))


@pytest.mark.parametrize("workers", [1, 4])
def test_same_pixels_with_any_number_of_workers(workers):
    for mine, theirs in zip(epochs(plan(0)), epochs(plan(workers)), strict=True):
        assert len(mine) == len(theirs)
        for a, b in zip(mine, theirs, strict=True):
            assert all(torch.equal(x, y) for x, y in zip(a[:3], b[:3], strict=True))


def test_next_epoch_has_other_pixels_and_another_order():
    first, second = (joined(batches) for batches in epochs(plan()))
    assert not torch.equal(first[2], second[2])
    by_index = [x[i.argsort(stable=True)] for x, _, i in (first, second)]
    assert not torch.equal(*by_index)


def test_an_epoch_is_the_same_whatever_came_before():
    with EpochLoader(digit_images(30), plan()) as loader:
        alone = joined(loader.batches(1, ROWS))
    assert torch.equal(alone[0], joined(epochs(plan())[1])[0])


def test_oversampled_copies_differ():
    x, _, index = joined(epochs(plan(), n=1)[0])
    copies = x[index == 8]
    assert len(copies) == 3
    assert not torch.equal(copies[0], copies[1]) and not torch.equal(copies[1], copies[2])


def test_pixels_and_labels_are_those_of_the_sample():
    images, samples = digit_images(30), digit_samples(0, 20)
    x, y, index = joined(epochs(plan(policy="none"), n=1)[0])
    assert sorted(index.tolist()) == sorted(ROWS.index_R.tolist())
    assert x.dtype == torch.uint8 and y.dtype == torch.int64
    for pixels, label, i in zip(x, y, index, strict=True):
        row = int(np.flatnonzero(images.ids_N == samples.ids_N[i])[0])
        assert np.array_equal(pixels.numpy(), images.x_NHWC[row])
        assert label == samples.labels[i]


def test_order_differs_by_fold():
    assert not torch.equal(joined(epochs(plan(fold=0))[0])[2], joined(epochs(plan(fold=1))[0])[2])


@pytest.mark.parametrize(
    ("n", "batch_size", "sizes"),
    [(9, 4, [4, 5]), (8, 4, [4, 4]), (10, 4, [4, 4, 2]), (1, 4, [1]), (3, 1, [1, 1, 1]), (0, 4, [])],
)
def test_a_single_leftover_row_joins_the_batch_before(n, batch_size, sizes):
    bounds = batch_bounds(n, batch_size)
    assert [end - start for start, end in bounds] == sizes
    assert [start for start, _ in bounds] == [0, *[end for _, end in bounds]][:-1] or not sizes


def test_a_sample_without_image_is_named():
    samples = digit_samples(25, 35)
    with pytest.raises(DataError, match="d30"):
        EpochLoader(digit_images(30), LoaderPlan(samples, Augmenter("none", SIZE), 4, 0, 0))


def copied(workers=0):
    """Rows 0 to 2 and two offline copies of each of rows 1 and 2."""
    copies = (Augmenter("rotate30", SIZE),)
    loader = LoaderPlan(digit_samples(0, 20), Augmenter("medium", SIZE), 4, 5, 0, workers, copies)
    rows = TrainRows.of(np.array([0, 1, 2])).with_copies(np.array([1, 1, 2, 2]), "rotate30")
    return loader, rows


def pixels_of(batches, index):
    x, _, found = joined(batches)
    return {row.numpy().tobytes() for row in x[found == index]}


def test_offline_copies_show_the_same_pixels_in_every_epoch_and_originals_do_not():
    loader, rows = copied()
    first, second = epochs(loader, rows)
    assert len(pixels_of(first, 1)) == 3, "two copies of one image differ, and the original from both"
    assert len(pixels_of(first, 1) & pixels_of(second, 1)) == 2, "both copies come again"
    assert not pixels_of(first, 0) & pixels_of(second, 0), "an original is drawn anew"


def test_offline_copies_are_those_of_the_named_policy_whatever_the_fold_and_workers():
    loader, rows = copied()
    rotate, images = Augmenter("rotate30", SIZE), digit_images(30)
    at = int(np.flatnonzero(images.ids_N == "d2")[0])
    wanted = {rotate.offline(images.x_NHWC[at], 5, "d2", copy).tobytes() for copy in (0, 1)}
    assert wanted <= pixels_of(epochs(loader, rows, 1)[0], 2)
    other, _ = copied(workers=1)
    assert wanted <= pixels_of(epochs(dataclasses.replace(other, fold=3), rows, 1)[0], 2)


@pytest.mark.parametrize(
    ("load", "step", "batches", "cores", "workers"),
    [
        (0.010, 0.300, 10_000, Cores(2, 2), 0),  # cheap loading beside cores that all compute
        (0.010, 0.300, 10_000, Cores(8, 7), 0),  # even a core that idles gains 3 % only
        (0.300, 0.300, 10_000, Cores(1, 1), 0),  # nobody to help
        (0.300, 0.300, 10_000, Cores(2, 2), 1),  # loading here leaves a core idle half of the time
        (0.040, 0.020, 10_000, Cores(16, 1), 3),  # a GPU that waits
        (0.400, 0.020, 10_000, Cores(4, 1), 3),  # as many as there are
        (0.040, 0.020, 10, Cores(16, 1), 0),  # over before they have started
        (0.005, 0.100, 10_000, Cores(16, 1), 0),  # a GPU that hardly waits
    ],
)
def test_processes_load_where_that_pays(load, step, batches, cores, workers):
    assert choose_workers(load, step, batches, cores) == workers


@pytest.mark.parametrize(("cores", "some"), [(Cores(3, 1), True), (Cores(1, 1), False)])
def test_processes_chosen_in_the_middle_of_an_epoch_change_no_pixel(cores, some):
    """Nothing is done with the batches, so loading is all there is to wait for."""
    rows = TrainRows.of(np.arange(20).repeat(2))
    auto = dataclasses.replace(plan(None, batch_size=2), cores=cores, n_batches=10**6, window=2)
    expected = epochs(plan(0, batch_size=2), rows)
    with EpochLoader(digit_images(30), auto) as loader:
        found = [list(loader.batches(epoch, rows)) for epoch in range(2)]
        assert (loader.workers > 0) == some
    for mine, theirs in zip(found, expected, strict=True):
        assert len(mine) == len(theirs) == 20
        for a, b in zip(mine, theirs, strict=True):
            assert torch.equal(a.x_BHWC, b.x_BHWC) and torch.equal(a.y_B, b.y_B)
            assert torch.equal(a.index_B, b.index_B)


class Failing(Augmenter):
    """An augmenter that fails in a loader process, as `how` says, from the fourth row on; never at home."""

    how = ""
    home = os.getpid()
    seen = 0

    def __call__(self, *args, **more):
        Failing.seen += 1
        if self.home != os.getpid() and Failing.seen > 3:
            if self.how == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            if self.how == "silent":
                time.sleep(60)
            raise RuntimeError("unable to allocate shared memory(shm): No space left on device (28)")
        return super().__call__(*args, **more)


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("killed", "killed"),
        pytest.param("silent", "no batch came", marks=pytest.mark.slow),
        ("full", "/dev/shm"),
    ],
)
def test_lost_loader_processes_are_told_and_change_no_pixel(monkeypatch, caplog, how, told):
    monkeypatch.setattr(loader, "SILENT_SECONDS", 2.0)
    failing = Failing("medium", SIZE)
    object.__setattr__(failing, "how", how)
    expected = epochs(plan(0))
    got = epochs(dataclasses.replace(plan(2), augmenter=failing))
    for mine, theirs in zip(expected, got, strict=True):
        assert len(mine) == len(theirs)
        for a, b in zip(mine, theirs, strict=True):
            assert all(torch.equal(x, y) for x, y in zip(a[:3], b[:3], strict=True))
    assert told in caplog.text and "runtime.workers=0" in caplog.text
    assert caplog.text.count("loader processes") == 1, "it is told once"


def test_batches_are_put_into_shared_memory_where_errors_are_seen(monkeypatch, caplog):
    def full(self):
        raise RuntimeError("unable to allocate shared memory(shm) for file: No space left on device (28)")

    monkeypatch.setattr(torch.Tensor, "share_memory_", full)
    assert len(epochs(plan(2))[0]) == len(epochs(plan(0))[0])
    assert "/dev/shm" in caplog.text


def test_an_error_of_the_users_own_code_is_raised_as_it_is():
    class Broken(Augmenter):
        def __call__(self, *args, **more):
            raise RuntimeError("my own mistake")

    with pytest.raises(RuntimeError, match=r"^my own mistake$"):
        epochs(dataclasses.replace(plan(1), augmenter=Broken("medium", SIZE)))
