import logging
import weakref
from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from learn_world import SIZE, all_rows, digit_images, digit_samples

from pipeline.core.errors import DataError
from pipeline.core.samples import TrainRows
from pipeline.data import device_images
from pipeline.data.augment import Augmenter
from pipeline.data.device_augment import DeviceAugmenter
from pipeline.data.device_images import DeviceImages, ahead, on_device, rows_of
from pipeline.data.device_loader import DeviceLoader
from pipeline.data.loader import Batch, EpochLoader, LoaderPlan

GPU = pytest.param("cuda", marks=pytest.mark.gpu)
DEVICES = ["cpu", GPU]


def plan(policy="none", batch=8, n=30, **more):
    return LoaderPlan(digit_samples(0, n), Augmenter(policy, SIZE), batch, 5, 2, **more)


def host(batch):
    return [x.cpu() for x in (batch.x_BHWC, batch.y_B, batch.index_B)]


def same(one, two):
    return all(torch.equal(a, b) for a, b in zip(host(one), host(two), strict=True))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("share", [0.0, 1.0])
def test_rows_are_the_same_wherever_the_images_lie(device, share):
    images = digit_images(30)
    there = DeviceImages(images, device, share)
    assert there.resident == (share > 0)
    at_B = np.array([7, 0, 29, 7])
    assert np.array_equal(rows_of(there, at_B, device).cpu().numpy(), images.x_NHWC[at_B])
    assert np.array_equal(rows_of(images, at_B, device).cpu().numpy(), images.x_NHWC[at_B])


def test_a_cpu_keeps_the_images_that_it_has():
    images = digit_images(3)
    assert on_device(images, "cpu", 0.5) is images
    there = DeviceImages(images, "cpu", 1.0)
    assert on_device(there, "cuda", 0.5) is there and there.x_NHWC is images.x_NHWC


def test_a_set_that_is_too_large_is_copied_by_batches_and_it_is_said(monkeypatch, caplog):
    monkeypatch.setattr(device_images, "_free", lambda device: 30 * SIZE * SIZE * 3 * 2 - 1)
    with caplog.at_level(logging.INFO):
        assert not DeviceImages(digit_images(30), "cpu", 0.5).resident
    assert "runtime.images_share" in caplog.text
    assert DeviceImages(digit_images(29), "cpu", 0.5).resident


def test_too_little_memory_falls_back_to_the_host_and_says_so_once(monkeypatch, caplog):
    def full(images, device):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(device_images, "_resident", full)
    there = DeviceImages(digit_images(30), "cpu", 1.0)
    assert not there.resident and len(caplog.records) == 1
    assert np.array_equal(there.rows(np.array([3])).numpy(), digit_images(30).x_NHWC[[3]])


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("share", [0.0, 1.0])
@pytest.mark.parametrize("partners", [None, TrainRows.of(np.arange(29, -1, -1))])
def test_batches_of_the_device_are_those_of_the_loader(device, share, partners):
    images = digit_images(30)
    for batch in (8, 29, 64):
        with EpochLoader(images, plan(batch=batch)) as loader:
            expected = list(loader.batches(1, all_rows(30)(1), partners))
        there = DeviceLoader(DeviceImages(images, device, share), plan(batch=batch), device)
        with there as loader:
            found = list(loader.batches(1, all_rows(30)(1), partners))
        assert len(found) == len(expected) and there.workers == 0
        for one, two in zip(found, expected, strict=True):
            assert one.x_BHWC.device.type == device and same(one, two)
            assert (one.partner is None) == (partners is None)
            assert one.partner is None or same(one.partner, two.partner)


@pytest.mark.parametrize("device", DEVICES)
def test_augmented_pixels_depend_on_the_row_and_not_on_its_batch(device):
    images, found = DeviceImages(digit_images(30), device, 1.0), []
    for batch in (4, 30):
        loader = DeviceLoader(images, plan("medium", batch), device)
        batches = [host(one) for one in loader.batches(3, all_rows(30)(3))]
        pixels, _, index = (torch.cat(parts) for parts in zip(*batches, strict=True))
        found.append(pixels[index.argsort()])
    assert found[0].is_floating_point() and found[0].min() >= 0 and found[0].max() <= 1
    torch.testing.assert_close(found[0], found[1], rtol=0, atol=1e-5)
    other = DeviceLoader(images, plan("medium", 30), device)
    (later,) = other.batches(4, all_rows(30)(4))
    assert not torch.allclose(host(later)[0][host(later)[2].argsort()], found[0])


def test_offline_copies_have_their_own_policy():
    rows = all_rows(6)(0).with_copies(np.arange(3), "flips")
    own = replace(plan("none", 9, 6), copies=(Augmenter("light", SIZE),))
    loader = DeviceLoader(DeviceImages(digit_images(6), "cpu", 1.0), own, "cpu")
    (batch,) = loader.batches(0, rows)
    params = DeviceAugmenter([own.augmenter, *own.copies]).draw(rows, own.samples.ids_N, 5, 2, 0)
    assert batch.x_BHWC.shape == (9, SIZE, SIZE, 3) and len(params) == 9


def test_a_sample_without_an_image_is_refused():
    with pytest.raises(DataError):
        DeviceLoader(DeviceImages(digit_images(20), "cpu", 1.0), plan(), "cpu")


def test_ahead_gives_a_cpu_its_own_batches():
    with EpochLoader(digit_images(30), plan()) as loader:
        batches = list(loader.batches(0, all_rows(30)(0)))
    assert all(one is two for one, two in zip(ahead(batches, "cpu"), batches, strict=True))


def test_few_batches_wait_on_a_gpu_that_is_slower_than_the_host(monkeypatch):
    """Steps are queued at once and computed later: only waiting for one of them says that it was computed."""
    queued, computed = [], []

    class Event:
        def __init__(self, blocking=False):
            assert blocking, "a host that spins takes the core of a loader"

        def record(self):
            self.number = len(queued)

        def synchronize(self):
            computed[:] = queued[: self.number]

    stream = SimpleNamespace(record_event=lambda: None, wait_event=lambda event: None)
    monkeypatch.setattr(torch.cuda, "Stream", lambda: stream)
    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "stream", lambda side: nullcontext())
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: stream)
    monkeypatch.setattr(torch.Tensor, "record_stream", lambda self, stream: None)
    copied = []
    monkeypatch.setattr(device_images, "_moved_batch", lambda batch, device: copied.append(batch) or batch)
    x = torch.zeros(1)
    batches = [Batch(x, x, torch.full((1,), n)) for n in range(12)]
    for number, batch in enumerate(ahead(iter(batches), "cuda")):
        assert batch is batches[number]
        queued.append(batch)
        assert len(copied) - len(computed) <= device_images.QUEUED + 2
    assert len(queued) == 12


def test_what_an_earlier_fold_left_in_circles_of_references_counts_as_free(monkeypatch):
    class Circle:
        def __init__(self):
            self.own = self

    alive = weakref.ref(Circle())
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (7 if alive() is None else 0, 9))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda: 0)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda: 0)
    assert device_images._free("cuda") == 7


def test_a_host_that_locks_no_more_memory_reads_images_without_it(monkeypatch):
    """As in a container with a limit, or where other processes have locked much."""
    images, empty = digit_images(), torch.empty

    def full(*shape, **how):
        if how.get("pin_memory"):
            raise RuntimeError("CUDA error: out of memory")
        return empty(*shape, **how)

    monkeypatch.setattr(torch, "empty", full)
    rows = device_images._host_rows(images, np.array([1]), pinned=True)
    assert np.array_equal(rows.numpy(), images.x_NHWC[1:2])


@pytest.mark.gpu
def test_batches_that_are_copied_ahead_arrive_whole():
    """Each copy has to be complete, and its memory its own, while the device is busy with the one before."""
    with EpochLoader(digit_images(70), plan(batch=7, n=70)) as loader:
        expected = list(loader.batches(0, all_rows(70)(0)))
    busy, sums = torch.randn(2048, 2048, device="cuda"), []
    for batch in ahead(expected, "cuda"):
        for _ in range(20):
            busy = busy @ busy / 50
        sums.append(batch.x_BHWC.long().sum())
    assert [int(x) for x in sums] == [int(batch.x_BHWC.long().sum()) for batch in expected]
