from dataclasses import replace

import numpy as np
import pytest
import torch
from learn_world import digit_images, digit_samples, equal_states, fold_job

from pipeline.core.samples import TrainRows
from pipeline.data.augment import Augmenter
from pipeline.data.loader import Batch, EpochLoader, LoaderPlan
from pipeline.resample.mixing import Mixer, partner_rows, pictures
from pipeline.settings.train import MixSettings
from pipeline.train.loop import fit
from pipeline.train.losses import Loss
from pipeline.train.step import Backward
from pipeline.train.targets import targets_of

SIZE = 15
METHODS = ("mixup", "cutmix", "cutmix_half")


def batch(n=64):
    """Row i shows the number i in every pixel, so that a picture tells whose it is."""
    x = torch.arange(n, dtype=torch.uint8).view(-1, 1, 1, 1).expand(n, SIZE, SIZE, 3).contiguous()
    return Batch(x, torch.arange(n) % 10, torch.arange(n))


def mixer(method, **more):
    return Mixer(MixSettings(method=method, **more), 7, 0)


@pytest.mark.parametrize("method", ["cutmix", "cutmix_half"])
def test_the_share_is_the_area_really_pasted(method):
    rows = batch()
    blend = mixer(method)(rows, 3, 0)
    own, other = rows.x_BHWC.permute(0, 3, 1, 2).float(), blend.other.x_BHWC.permute(0, 3, 1, 2).float()
    mixed = blend.pixels(own, other)
    foreign = ((mixed != own) & (mixed == other)).float().mean((1, 2, 3))
    paired = own[:, 0, 0, 0] != other[:, 0, 0, 0]
    assert paired.sum() > 50
    torch.testing.assert_close(foreign[paired], blend.share_B[paired])
    assert ((mixed == own) | (mixed == other)).all(), "a pixel is one or the other"
    share = blend.share_B
    if method == "cutmix":
        assert share.min() < 0.1 and share.max() > 0.5
        assert share.mean() < 0.4, "boxes that leave the image are cut off: 0.5 were drawn"
    else:
        assert {round(s * SIZE, 3) for s in share.tolist()} == {7, 8}


def test_halves_lie_on_all_four_sides_with_one_straight_seam():
    masks = mixer("cutmix_half")(batch(), 0, 0).mask_B1HW[:, 0]
    kinds = {mask.numpy().tobytes() for mask in masks}
    assert len(kinds) == 4
    for mask in masks:
        assert len(mask.unique(dim=0)) == 1 or len(mask.unique(dim=1)[0]) == 1


def test_mixup_blends_pixels_and_targets_alike():
    rows = batch()
    blend = mixer("mixup", alpha=0.4)(rows, 1, 0)
    own, other = rows.x_BHWC.permute(0, 3, 1, 2).float(), blend.other.x_BHWC.permute(0, 3, 1, 2).float()
    values = blend.pixels(own, other)[:, 0, 0, 0]
    torch.testing.assert_close(values, blend.of(rows.index_B.float(), blend.other.index_B.float()))


@pytest.mark.parametrize("method", METHODS)
def test_targets_stay_distributions_and_weights_mix(method):
    samples = digit_samples(0, 64)
    target_NC, weight_N = targets_of(samples), torch.linspace(0.5, 3, 64)
    backward = Backward(Loss(lambda logits, target: logits.sum(1)), target_NC, weight_N, mixer=mixer(method))
    taught = backward._micro_batch(batch(), 5, 0)
    torch.testing.assert_close(taught.target_BC.sum(1), torch.ones(64))
    assert (taught.target_BC.max(1).values < 1).sum() > 30
    own, other, share = weight_N, weight_N[taught.blend.other.index_B], taught.blend.share_B
    torch.testing.assert_close(taught.weight_B, own * (1 - share) + other * share)


def test_prob_is_the_share_of_mixed_samples():
    rows = batch(200)
    assert (mixer("mixup", prob=0.0)(rows, 0, 0).share_B == 0).all()
    some = (mixer("mixup", prob=0.3)(rows, 0, 0).share_B > 0).float().mean()
    assert 0.15 < some < 0.45
    assert mixer("none")(rows, 0, 0) is None


def test_draws_depend_on_step_micro_batch_fold_and_seed_alone():
    rows, settings = batch(), MixSettings(method="cutmix")
    keys = [(7, 0, 1, 0), (7, 0, 2, 0), (7, 0, 1, 1), (7, 1, 1, 0), (8, 0, 1, 0)]
    masks = [Mixer(settings, root, fold)(rows, step, n).mask_B1HW for root, fold, step, n in keys]
    again = Mixer(settings, 7, 0)(rows, 1, 0)
    assert torch.equal(masks[0], again.mask_B1HW)
    assert not any(torch.equal(masks[0], other) for other in masks[1:])


def long_tail():
    """60 digits of which most are 0 and 1."""
    samples = digit_samples(0, 300)
    few = np.concatenate([np.flatnonzero(samples.labels == d)[: 25 if d < 2 else 2] for d in range(10)])
    return samples.take(samples.ids_N[np.sort(few)])


def test_minority_partners_come_from_the_whole_part_every_class_as_often():
    samples = long_tail()
    rows = TrainRows.of(np.arange(len(samples)).repeat(20))
    drawn = partner_rows(MixSettings(method="cutmix", partner="minority"), samples, rows, 0, 0, 0)
    share = np.bincount(samples.labels[drawn.index_R], minlength=10) / len(drawn)
    assert np.abs(share - 0.1).max() < 0.03
    assert np.bincount(samples.labels)[0] / len(samples) > 0.3
    assert len(set(drawn.index_R.tolist())) == len(samples)


def test_partners_of_the_same_class_and_of_the_batch():
    samples = long_tail()
    rows = TrainRows.of(np.arange(len(samples)))
    drawn = partner_rows(MixSettings(method="cutmix", partner="same_class"), samples, rows, 0, 0, 0)
    assert np.array_equal(samples.labels[drawn.index_R], samples.labels)
    assert (drawn.index_R != rows.index_R).sum() > 30
    other = partner_rows(MixSettings(method="cutmix", partner="same_class"), samples, rows, 0, 0, 1)
    assert not np.array_equal(drawn.index_R, other.index_R), "each epoch draws anew"
    assert partner_rows(MixSettings(method="cutmix"), samples, rows, 0, 0, 0) is None
    blend = mixer("mixup")(batch(), 0, 0)
    assert sorted(blend.other.index_B.tolist()) == list(range(64))


@pytest.mark.parametrize("workers", [0, 2])
def test_partners_are_loaded_augmented_beside_their_rows(workers):
    samples, images = digit_samples(0, 49), digit_images(49)
    rows = TrainRows.of(np.arange(49))
    partners = partner_rows(MixSettings(method="mixup", partner="minority"), samples, rows, 3, 0, 1)
    plan = LoaderPlan(samples, Augmenter("light", 32), 16, 3, 0, workers)
    with EpochLoader(images, plan) as loader:
        found = list(loader.batches(1, rows, partners))
        plain = list(loader.batches(1, rows))
    augment = Augmenter("light", 32)
    of_row = dict(
        zip(rows.index_R.tolist(), zip(partners.index_R, partners.copy_R, strict=True), strict=True)
    )
    for got, own in zip(found, plain, strict=True):
        assert torch.equal(got.x_BHWC, own.x_BHWC) and torch.equal(got.index_B, own.index_B)
        assert len(got.partner.y_B) == len(got.y_B)
        for n, index in enumerate(got.index_B.tolist()):
            partner, copy = of_row[index]
            assert int(got.partner.index_B[n]) == partner
            name = str(samples.ids_N[partner])
            source = images.x_NHWC[int(np.flatnonzero(images.ids_N == name)[0])]
            expected = augment(source, 3, 0, 1, name, int(copy))
            assert np.array_equal(got.partner.x_BHWC[n].numpy(), expected)
    assert copy < 0, "a partner's pixels are those of no row"


@pytest.mark.parametrize("partner", ["any", "minority"])
def test_training_mixes_and_is_the_same_with_workers(tmp_path, partner):
    mix = MixSettings(method="cutmix", partner=partner)
    _, mixed = fit(fold_job(mix=mix, epochs=1), tmp_path / "a")
    _, again = fit(replace(fold_job(mix=mix, epochs=1), workers=2), tmp_path / "b")
    _, plain = fit(fold_job(epochs=1), tmp_path / "c")
    assert equal_states(mixed, again) and not equal_states(mixed, plain)


def test_pictures_for_people_are_what_the_network_gets():
    x = np.random.default_rng(0).integers(0, 256, (4, SIZE, SIZE, 3), dtype=np.uint8)
    other = np.random.default_rng(1).integers(0, 256, (4, SIZE, SIZE, 3), dtype=np.uint8)
    mixed = pictures(mixer("cutmix_half", partner="minority"), x, other, 2)
    assert mixed.dtype == np.uint8 and mixed.shape == x.shape
    assert ((mixed == x) | (mixed == other)).all()
    assert 0.3 < (mixed == other).mean() < 0.7
