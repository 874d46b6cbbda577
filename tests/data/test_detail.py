"""Prepared images that are larger than a network's input: what crops, zooms and views see of them."""

import numpy as np
import pytest
import torch
import yaml
from learn_world import digit_samples

from pipeline.core.errors import ConfigError
from pipeline.core.samples import TrainRows, strings
from pipeline.data import detail
from pipeline.data.augment import Augmenter, augmenter_of
from pipeline.data.device_augment import DeviceAugmenter, engine_of, notes, supported
from pipeline.data.device_images import DeviceImages
from pipeline.data.device_loader import DeviceLoader
from pipeline.data.images import PreparedImages
from pipeline.data.loader import Chained, EpochLoader, LoaderPlan
from pipeline.nets.forward import Pass, run, sizes_of
from pipeline.nets.views import REGISTRY, parse
from pipeline.settings.load import load

STORED, SIZE = (64, 64), (16, 16)
STRIPES = np.repeat(np.tile(np.array([0, 255], np.uint8), 32)[None, :, None].repeat(64, 0), 3, axis=2)
CROP = {"RandomResizedCrop": {"scale": [0.0625, 0.0626], "ratio": [0.99, 1.01], "p": 1.0}}


@pytest.fixture
def made(tmp_path):
    def make(transforms, size=SIZE, stored=STORED):
        path = tmp_path / "own.yaml"
        path.write_text(yaml.safe_dump({"transforms": transforms}))
        return Augmenter(str(path), size, stored=stored)

    return make


@pytest.fixture(scope="module")
def photo_HWC():
    from sklearn.datasets import load_sample_image

    return np.ascontiguousarray(load_sample_image("flower.jpg")[100:292:3, 250:442:3])


def on_device(augmenter, image_HWC, n=1):
    """(n, h, w, C) what the device's engine makes of one image, 0 to 255."""
    engine = DeviceAugmenter([augmenter])
    ids = np.array([f"s{k}" for k in range(n)])
    params = torch.from_numpy(engine.draw(TrainRows.of(np.arange(n)), ids, 5, 0, 0))
    x = torch.from_numpy(np.repeat(image_HWC[None], n, axis=0))
    return engine(x, params).permute(0, 2, 3, 1).numpy() * 255


@pytest.mark.parametrize("size", [(16, 16), (24, 40), (63, 64)])
@pytest.mark.parametrize("channels", [1, 3, 8])
def test_bytes_and_floats_are_reduced_by_the_same_area(size, channels):
    image_HWC = np.random.default_rng(0).integers(0, 256, (64, 64, channels), np.uint8)
    small_HWC = detail.reduced(image_HWC, size)
    x_BCHW = torch.from_numpy(image_HWC).permute(2, 0, 1)[None].float() / 255
    floats_HWC = detail.reduced_batch(x_BCHW, size)[0].permute(1, 2, 0).numpy() * 255
    assert small_HWC.shape == (*size, channels)
    assert np.abs(small_HWC - floats_HWC).max() < 1
    assert floats_HWC.mean() == pytest.approx(image_HWC.mean(), abs=0.01), "no pixel is skipped"


def test_a_random_crop_sees_detail_that_the_networks_size_has_lost(made):
    cropped = made([CROP])(STRIPES, 0, 0, 0, "a", 0)
    assert cropped.shape == (*SIZE, 3)
    assert cropped.std() > 80, "stripes of one pixel: the crop has as many pixels as the result"
    small = detail.reduced(STRIPES, SIZE)
    assert made([CROP], stored=None)(small, 0, 0, 0, "a", 0).std() < 1
    zoomed = made([{"Affine": {"scale": [4.0, 4.0], "p": 1.0}}])(STRIPES, 0, 0, 0, "a", 0)
    assert zoomed.std() > 40


@pytest.mark.parametrize(
    "transforms",
    [
        [],
        [{"HorizontalFlip": {"p": 1.0}}],
        [{"RandomResizedCrop": {"scale": [0.25, 0.25], "ratio": [1.0, 1.0], "p": 0.0}}],
        [{"RandomBrightnessContrast": {"brightness_limit": [0.2, 0.2], "contrast_limit": [0, 0], "p": 1.0}}],
        [{"Affine": {"scale": [1.3, 1.3], "rotate": [20, 20], "p": 1.0}}, {"HorizontalFlip": {"p": 1.0}}],
    ],
)
def test_both_engines_reduce_a_larger_image_to_the_same_picture(made, photo_HWC, transforms):
    augmenter = made(transforms)
    assert supported(augmenter) == ()
    there, here = augmenter(photo_HWC, 5, 0, 0, "s0", 0), on_device(augmenter, photo_HWC)[0]
    assert there.shape == here.shape == (*SIZE, 3)
    assert np.abs(there - here).mean() < 2.0


def test_both_engines_crop_larger_images_alike_on_average(made, photo_HWC):
    augmenter = made(
        [
            {"HorizontalFlip": {"p": 0.5}},
            {"RandomResizedCrop": {"scale": [0.3, 0.6], "ratio": [0.8, 1.25], "p": 1.0}},
            {"Rotate": {"limit": [-10, 10], "p": 1.0}},
        ]
    )
    there = np.stack([augmenter(photo_HWC, 5, 0, 0, f"s{n}", 0) for n in range(400)]).astype(float)
    here = on_device(augmenter, photo_HWC, 400)
    assert np.abs(there.mean(0) - here.mean(0)).mean() < 6
    assert there.std() == pytest.approx(here.std(), rel=0.06)


def test_transforms_behind_a_crop_that_not_every_image_gets_see_the_networks_size_in_all(made, photo_HWC):
    whole = made([{"RandomResizedCrop": {"p": 0.0}}, {"GaussianBlur": {"blur_limit": [3, 3], "p": 1.0}}])
    small = made([{"GaussianBlur": {"blur_limit": [3, 3], "p": 1.0}}], stored=None)
    known = small(detail.reduced(photo_HWC, SIZE), 5, 0, 0, "s0", 0).astype(int)
    assert np.abs(whole(photo_HWC, 5, 0, 0, "s0", 0) - known).mean() < 4
    assert np.abs(on_device(whole, photo_HWC)[0] - known).mean() < 4


def test_a_crop_inside_a_choice_runs_on_the_cpu(made, photo_HWC):
    choice = [{"OneOf": {"p": 1.0, "transforms": [CROP, {"HorizontalFlip": {}}]}}]
    augmenter = made(choice)
    assert all(augmenter(photo_HWC, 5, 0, 0, f"s{n}", 0).shape == (*SIZE, 3) for n in range(8))
    assert "size=(16, 16)" in supported(augmenter)[0]
    assert engine_of([augmenter], "cuda") == "albumentations"
    assert engine_of([made([CROP])], "cuda") == "device"


def test_offline_copies_of_larger_images_are_augmented_on_the_cpu_and_said():
    words = ["images.size=32", "images.store_px=64"]
    config = load(words).config
    one = augmenter_of(config)
    assert one.stored == (64, 64) and one.size == (32, 32)
    assert engine_of([one, one], "cuda") == "albumentations" and engine_of([one], "cuda") == "device"
    assert notes(config, "cuda") == []


@pytest.mark.parametrize("text", ["scale(2)", "crop(0.5,0,1)"])
def test_a_view_at_another_scale_sees_the_detail(text):
    wide = STRIPES[:, :32].repeat(2, axis=1)
    x_BCHW = torch.from_numpy(wide).permute(2, 0, 1)[None].float() / 255
    assert parse(text).apply(x_BCHW, SIZE).std() > 0.3
    assert parse(text).apply(detail.reduced_batch(x_BCHW, SIZE)).std() < 0.01


@pytest.mark.parametrize("name", REGISTRY)
def test_every_view_gives_the_networks_size_and_equals_itself_where_nothing_is_larger(name, photo_HWC):
    words = {
        "shift": "(1,-2)",
        "scale": "(1.25)",
        "rotate": "(15)",
        "crop": "(0.8,0,1)",
        "brightness": "(1.2)",
    }
    words |= {"blur": "(0.7)", "noise": "(0.05)", "jpeg": "(60)"}
    view = parse(name + words.get(name, ""))
    x_BCHW = torch.from_numpy(photo_HWC).permute(2, 0, 1)[None].float() / 255
    large = view.apply(x_BCHW, SIZE)
    small = detail.reduced_batch(x_BCHW, SIZE)
    assert large.shape == small.shape and float(large.min()) >= 0 and float(large.max()) <= 1
    assert torch.equal(view.apply(small, SIZE), view.apply(small))
    assert (large - view.apply(small)).abs().mean() < 0.06, "the same view of the same picture"


def test_a_pass_a_loader_and_a_report_see_the_networks_size():
    x_NHWC = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 6), np.uint8)
    # The second image of the third sample is missing.
    x_NHWC[2, ..., 3:] = 0
    ids = strings([f"s{n}" for n in range(6)])
    images = PreparedImages(ids, x_NHWC, 3, hw=SIZE)
    assert detail.hw_of(images) == detail.hw_of(DeviceImages(images, "cpu", 1.0)) == SIZE
    assert sizes_of(images) == (16, 16, 32, 32)
    more = PreparedImages(strings(["t0"]), x_NHWC[:1], 3, hw=SIZE)
    assert Chained(images, more).hw == SIZE
    seen = images.seen(np.arange(6))
    assert seen.shape == (6, 16, 16, 6) and not seen[2, ..., 3:].any() and seen[2, ..., :3].any()

    def network(x_BCHW):
        assert x_BCHW.shape[1:] == (6, 16, 16)
        return x_BCHW.flatten(2).mean(2)

    outputs = run(network, images, ids, parse("identity"), Pass(batch=4))
    assert np.abs(outputs[0] * 255 - x_NHWC[0].mean((0, 1))).max() < 0.1


@pytest.mark.parametrize("policy", ["none", "light", "heavy"])
def test_a_batch_of_training_has_the_networks_size_in_both_loaders(policy):
    samples = digit_samples(0, 6)
    x_NHWC = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3), np.uint8)
    images = PreparedImages(samples.ids_N, x_NHWC, 3, hw=SIZE)
    plan = LoaderPlan(samples, Augmenter(policy, SIZE, stored=(32, 32)), 3, 0, 0)
    rows = TrainRows.of(np.arange(6))
    with (
        EpochLoader(images, plan) as host,
        DeviceLoader(DeviceImages(images, "cpu", 1.0), plan, "cpu") as device,
    ):
        for one, other in zip(host.batches(0, rows), device.batches(0, rows), strict=True):
            assert one.x_BHWC.shape == other.x_BHWC.shape == (3, 16, 16, 3)
            if policy == "none":
                assert (one.x_BHWC.float() / 255 - other.x_BHWC).abs().max() < 1 / 255


def test_a_policy_that_ends_in_a_third_size_is_refused(made):
    with pytest.raises(ConfigError, match="64 × 64 px becomes one of 20 × 20"):
        made([{"CenterCrop": {"height": 16, "width": 16}}, {"Resize": {"height": 20, "width": 20}}])


def test_the_stored_size_keeps_the_shape_and_has_rules():
    def images(*words):
        return load(list(words)).config.images

    assert images("images.size=64").stored_hw == (64, 64)
    assert images("images.size=64", "images.store_px=128").stored_hw == (128, 128)
    assert images("images.size=[48,64]", "images.store_px=96").stored_hw == (72, 96)
    assert images("images.size=64", "images.store_px=64").stored_hw == (64, 64)
    with pytest.raises(ConfigError) as told:
        load(["images.size=64", "images.store_px=48"])
    assert "images.store_px" in str(told.value.faults) and "smaller than images.size=64" in str(
        told.value.faults
    )
    with pytest.raises(ConfigError) as told:
        load(["images.size=64", "images.store_px=600"])
    assert "raise images.cache_px too" in str(told.value.faults)
