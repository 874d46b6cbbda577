"""Metadata beside image features: in heads, in networks, and fitted on the training part of a fold alone."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from heads_world import TRAIN, VALID, head_job
from learn_world import digit_images, digit_samples, fold_job

from pipeline.core.metadata import Table
from pipeline.core.predictions import Features
from pipeline.core.samples import strings
from pipeline.data.images import PreparedImages
from pipeline.nets import model, views
from pipeline.nets.forward import Pass, run
from pipeline.nets.tabular import Tabular
from pipeline.settings.model import ModelSettings
from pipeline.settings.train import MixSettings
from pipeline.train import batched_heads, heads, solved_heads
from pipeline.train.loop import fit

TABLE = Table.of([("parity", "category"), ("size", "number")], np.array([["even", "1"], ["odd", "2"]]))


def told(labels):
    """Cells that give half of the answer away: whether a digit is odd, and a number that grows with it."""
    return np.array(
        [[("even", "odd")[y % 2], "" if n % 9 == 0 else str(y / 2)] for n, y in enumerate(labels)]
    )


def noise_with_metadata(views_n=2):
    """Features without any meaning, and metadata that says most."""
    samples = digit_samples(0, TRAIN + VALID)
    x = np.random.default_rng(0).normal(size=(TRAIN + VALID, views_n, 6)).astype(np.float32)
    beside = TABLE.encoded(told(samples.labels.tolist()))
    return Features(samples.ids_N, ("identity", "hflip")[:views_n], x, "digest", beside)


@pytest.mark.parametrize("head", ["linear", "mlp", "logistic"])
def test_heads_learn_from_metadata_and_take_missing_values(head):
    known = noise_with_metadata()
    job = head_job(known=known.with_metadata(), head=head)
    (made,) = (solved_heads if head == "logistic" else batched_heads).fit_heads([job])
    (alone,) = (solved_heads if head == "logistic" else batched_heads).fit_heads(
        [head_job(known=known, head=head)]
    )
    labels = job.valid_samples.labels
    right, blind = ((one.result.oof.p_NC.argmax(1) == labels).mean() for one in (made, alone))
    assert right > blind + 0.3
    restored = heads.restore_head(made.state)
    x = torch.from_numpy(job.features.take(job.valid_samples.ids_N).x_NVD[:, 0].copy())
    p = heads.head_probabilities(restored, x.numpy(), job.target).mean(0)
    assert np.allclose(p, made.result.oof.p_NC, atol=1e-5) and np.isfinite(p).all()


@pytest.mark.parametrize("head", ["linear", "mlp", "logistic"])
def test_a_category_that_the_training_part_never_had_counts_as_nothing(head):
    known = noise_with_metadata()
    job = head_job(known=known.with_metadata(), head=head)
    (made,) = (solved_heads if head == "logistic" else batched_heads).fit_heads([job])
    restored = heads.restore_head(made.state)
    x = torch.zeros(2, job.features.x_NVD.shape[2])
    x[:, 6:] = torch.from_numpy(TABLE.encoded(np.array([["never seen", "1"], ["never seen", "1"]])))
    x[1, 6 + 3] = 0  # neither of its codes
    p = heads.head_probabilities(restored, x.numpy(), job.target)[0]
    assert np.isfinite(p).all() and np.allclose(p[0], p[1], atol=1e-6)


def test_what_is_fitted_does_not_see_the_validation_part():
    known = noise_with_metadata()
    job = head_job(known=known.with_metadata())
    changed = known.beside_NE.copy()
    valid = np.isin(known.ids_N, job.valid_samples.ids_N)
    changed[valid, -2] = 1e6
    other = head_job(known=replace(known, beside_NE=changed).with_metadata())
    assert all(torch.equal(a, b) for a, b in zip(job.statistics(), other.statistics(), strict=True))


def tabular(n_outputs=3):
    made = Tabular.of(TABLE, n_outputs)
    made.fit(TABLE.encoded(np.array([["even", "1"], ["odd", "5"], ["odd", ""]])))
    with torch.no_grad():
        made.mlp[-1].weight.normal_(generator=torch.Generator().manual_seed(0))
    return made.eval()


def test_a_network_reads_missing_and_unknown_values():
    made = tabular()
    x = torch.from_numpy(TABLE.encoded(np.array([["odd", "3"], ["odd", ""], ["zebra", "3"], ["", "3"]])))
    out = made(x)
    assert out.isfinite().all() and not torch.allclose(out[0], out[2])
    assert torch.allclose(out[2], out[3])  # neither occurred in the training part
    mean = x.clone()
    mean[1, -2], mean[1, -1] = 3.0, 1.0
    assert torch.allclose(made(mean)[1], out[1])


def test_metadata_starts_as_nothing_and_is_restored_with_the_network():
    settings, size = ModelSettings(name="resnet10t", weights="none"), (32, 32)
    network = model.build(settings, 3, 0, size).eval()
    x_BCHW, beside = torch.rand(2, 3, *size), torch.from_numpy(TABLE.encoded(np.array([["odd", "3"]] * 2)))
    fresh = Tabular.of(TABLE, 3)
    network.add_metadata(fresh)
    assert torch.equal(network(x_BCHW, beside), network(x_BCHW))
    network.beside["tabular"] = tabular()
    again = model.restore(settings, 3, network.state_dict(), size).eval()
    assert again.reads_metadata and torch.equal(again(x_BCHW, beside), network(x_BCHW, beside))


def test_a_pass_gives_each_image_its_own_metadata_in_any_batch():
    settings, size = ModelSettings(name="resnet10t", weights="none"), (32, 32)
    network = model.build(settings, 3, 0, size).eval()
    network.add_metadata(tabular())
    rng = np.random.default_rng(0)
    cells = np.array([["odd", str(n)] for n in range(5)])
    images = PreparedImages(
        strings([str(n) for n in range(5)]),
        rng.integers(0, 256, (5, *size, 3), np.uint8),
        beside_NE=TABLE.encoded(cells),
    )
    ids, view = strings(["4", "0", "2"]), views.parse("identity")
    made = run(network, images, ids, view, Pass(batch=2))
    with torch.no_grad():
        x = torch.from_numpy(images.x_NHWC[[4, 0, 2]]).permute(0, 3, 1, 2).float() / 255
        wanted = network(x, torch.from_numpy(images.beside_NE[[4, 0, 2]]))
    assert np.allclose(made, wanted.numpy(), atol=1e-5)


@pytest.mark.parametrize("mix", ["none", "mixup"])
def test_training_a_network_uses_metadata_with_and_without_mixing(tmp_path, mix):
    images = digit_images(72, 16)
    order = {name: n for n, name in enumerate(images.ids_N.tolist())}
    samples = digit_samples(0, 72)
    beside = np.zeros((72, TABLE.width), np.float32)
    encoded = TABLE.encoded(told(samples.labels.tolist()))
    for n, name in enumerate(samples.ids_N.tolist()):
        beside[order[name]] = encoded[n]
    # Images that say nothing.
    noise = np.random.default_rng(0).integers(0, 256, images.x_NHWC.shape, np.uint8)
    images = PreparedImages(strings(images.ids_N.tolist()), noise, beside_NE=beside)
    made = fold_job(policy="none", epochs=25, lr=0.02, mix=MixSettings(method=mix))
    job = replace(made, images=images, metadata=TABLE)
    result, state = fit(job, tmp_path)
    right = (result.oof.p_NC.argmax(1) == job.valid_samples.labels).mean()
    assert right > 0.25 and "beside.tabular.mean_E" in state
