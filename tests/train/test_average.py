import math

import pytest
import torch
from learn_world import digit_images, equal_states, fold_job
from torch import nn

from pipeline.settings.train import TrainSettings
from pipeline.train.loop import checkpoint_path, fit
from pipeline.train.state import Average, load_checkpoint, measure_statistics


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Conv2d(4, 2, 3)).train()


def moved(net, by):
    with torch.no_grad():
        for p in net.parameters():
            p.add_(by)


def batches():
    x = torch.from_numpy(digit_images(30).x_NHWC).permute(0, 3, 1, 2).float() / 255
    return [x[:10], x[10:20], x[20:]]


def test_swa_is_the_mean_of_the_late_epochs():
    net, settings = network(), TrainSettings(epochs=4, swa_start=0.5)
    average, seen = Average(net, settings, "cpu", "fp32"), []
    for epoch in range(4):
        moved(net, epoch + 1.0)
        net.train()
        average.after_epoch(net, epoch, batches())
        seen.append([p.detach().clone() for p in net.parameters()])
        if epoch < 2:
            assert average.predictor(net) is net and average.state() is None
    for n, p in enumerate(average.predictor(net).parameters()):
        torch.testing.assert_close(p, (seen[2][n] + seen[3][n]) / 2)


def test_batch_statistics_are_measured_anew_without_dropout():
    net = network()
    average = Average(net, TrainSettings(epochs=1, swa_start=0.0), "cpu", "fp32")
    average.after_epoch(net, 0, batches())
    swa = average.predictor(net)
    maps = [swa[0](x) for x in batches()]
    expected = torch.stack([m.mean((0, 2, 3)) for m in maps]).mean(0)
    torch.testing.assert_close(swa[1].running_mean, expected)
    assert not torch.equal(swa[1].running_mean, net[1].running_mean)
    assert swa[1].momentum == 0.1


def test_frozen_statistics_are_left_alone():
    net = network()
    net[1].eval()
    average = Average(net, TrainSettings(epochs=1, swa_start=0.0), "cpu", "fp32")
    average.after_epoch(net, 0, batches())
    assert torch.equal(average.predictor(net)[1].running_mean, torch.zeros(4))


def test_nothing_is_read_where_nothing_is_normalised():
    def refuse():
        raise AssertionError("a network without batch norm needs no pass")
        yield

    measure_statistics(nn.Linear(2, 2), [], refuse())


@pytest.mark.parametrize(("share", "epochs", "first"), [(0.75, 4, 3), (0.5, 3, 1), (0.99, 2, 1), (0.0, 2, 0)])
def test_swa_starts_at_its_share_of_the_epochs(tmp_path, share, epochs, first):
    average = Average(network(), TrainSettings(epochs=epochs, swa_start=share), "cpu", "fp32")
    assert average._first == first == min(math.floor(share * epochs), epochs - 1)


def test_the_swa_network_is_what_predicts(tmp_path):
    job = fold_job(swa_start=0.4)
    result, state = fit(job, tmp_path)
    saved = load_checkpoint(checkpoint_path(tmp_path, 3))
    swa = {k.removeprefix("module."): v for k, v in saved["average"].items() if k != "n_averaged"}
    assert equal_states(state, swa) and not equal_states(state, saved["model"])
    assert int(saved["average"]["n_averaged"]) == 2
    assert result.history[-1]["valid_score"] == job.metric(job.valid_samples.labels, result.oof.p_NC)
