import numpy as np
import pytest
from learn_world import accuracy, digit_images, digit_samples, random_head

from pipeline.core.predictions import Features
from pipeline.core.targets import Target
from pipeline.nets.forward import Pass, extract
from pipeline.nets.model import build, restore
from pipeline.nets.views import parse_all
from pipeline.settings.model import ModelSettings
from pipeline.train.committee import predict_head, predict_views
from pipeline.train.heads import HeadStack
from pipeline.train.loop import fit

SETTINGS = ModelSettings(name="test_resnet", weights="none")
VIEWS = parse_all(["identity", "hflip", "shift(2,-2)"])
TARGET = Target.of(digit_samples(0, 1).space)


@pytest.fixture(scope="module")
def model():
    return random_head(build(SETTINGS, 10, 0))


@pytest.fixture(scope="module")
def images():
    return digit_images(30)


def test_equal_for_any_batch_size(model, images):
    ids = np.sort(images.ids_N)
    runs = [predict_views(model, images, ids, TARGET, VIEWS, Pass(batch=b))[0] for b in (1, 7, 30)]
    for other in runs[1:]:
        np.testing.assert_allclose(runs[0].p_VNC, other.p_VNC, atol=1e-5)
    assert runs[0].p_VNC.shape == (3, 30, 10)
    np.testing.assert_allclose(runs[0].p_VNC.sum(-1), 1, atol=1e-6)


def test_rows_follow_the_ids_asked_for(model, images):
    ids = np.array(["d5", "d2", "d17"])
    some, ms = predict_views(model, images, ids, TARGET, VIEWS, Pass())
    everything, _ = predict_views(model, images, images.ids_N, TARGET, VIEWS, Pass())
    np.testing.assert_allclose(some.view("hflip").p_NC, everything.view("hflip").take(ids).p_NC, atol=1e-5)
    assert len(ms) == 3 and min(ms) > 0


def test_views_are_kept_apart(model, images):
    p_VNC = predict_views(model, images, images.ids_N, TARGET, VIEWS, Pass())[0].p_VNC
    assert not np.allclose(p_VNC[0], p_VNC[1]) and not np.allclose(p_VNC[0], p_VNC[2])


def test_bf16_is_close(model, images):
    full, _ = predict_views(model, images, images.ids_N, TARGET, VIEWS, Pass())
    half, _ = predict_views(model, images, images.ids_N, TARGET, VIEWS, Pass(precision="bf16"))
    assert 0 < np.abs(full.p_VNC - half.p_VNC).max() < 0.05


def test_a_trained_state_predicts_what_training_saw(tmp_path):
    from learn_world import fold_job

    job = fold_job(epochs=1)
    result, state = fit(job, tmp_path)
    again = restore(job.model, 10, state, job.size)
    ids = job.valid_samples.ids_N
    p, _ = predict_views(again, job.images, ids, TARGET, VIEWS, Pass())
    np.testing.assert_allclose(p.view("identity").p_NC, result.oof.p_NC, atol=1e-5)
    assert accuracy(job.valid_samples.labels, p.view("identity").p_NC) == result.history[-1]["valid_score"]


def test_a_head_on_features_equals_the_network_it_came_from(model, images):
    import torch

    features = extract(model, images, images.ids_N, VIEWS, Pass())
    head = HeadStack(torch.zeros(1, 96), torch.ones(1, 96), 10)
    head.out.load_state_dict({k: v[None] for k, v in model.backbone.fc.state_dict().items()})
    mine, ms = predict_head(head, features, TARGET)
    theirs, _ = predict_views(model, images, images.ids_N, TARGET, VIEWS, Pass())
    assert mine.views == theirs.views and list(mine.ids_N) == list(theirs.ids_N) and min(ms) > 0
    np.testing.assert_allclose(mine.p_VNC, theirs.p_VNC, atol=1e-5)
    assert isinstance(features, Features)
