import pytest
import torch
from learn_world import equal_states, fold_job
from torch import nn

from pipeline.train.loop import fit
from pipeline.train.step import noisy_pixels, noisy_weights


def test_pixel_noise_has_its_standard_deviation_and_stays_a_picture():
    grey = torch.full((4, 3, 50, 50), 0.5)
    torch.manual_seed(0)
    noisy = noisy_pixels(grey, 0.1)
    assert float(noisy.std()) == pytest.approx(0.1, rel=0.05)
    assert noisy_pixels(torch.ones(1, 3, 9, 9), 0.5).max() <= 1
    assert noisy_pixels(grey, 0.0) is grey


def test_weight_noise_is_relative_and_leaves_no_trace():
    net = nn.Sequential(nn.Linear(200, 200), nn.BatchNorm1d(200))
    with torch.no_grad():
        net[0].weight.mul_(7)
    before = {k: v.clone() for k, v in net.state_dict().items()}
    torch.manual_seed(0)
    with noisy_weights(net, 0.1):
        inside = {k: v.clone() for k, v in net.state_dict().items()}
        net(torch.randn(4, 200)).sum().backward()
    off = inside["0.weight"] - before["0.weight"]
    size = before["0.weight"].square().mean().sqrt()
    assert float(off.std() / size) == pytest.approx(0.1, rel=0.02)
    assert torch.equal(inside["0.bias"], before["0.bias"])
    assert torch.equal(inside["1.weight"], before["1.weight"])
    assert torch.equal(net[0].weight, before["0.weight"]) and net[0].weight.grad is not None
    with pytest.raises(KeyboardInterrupt), noisy_weights(net, 0.1):
        raise KeyboardInterrupt
    assert torch.equal(net[0].weight, before["0.weight"])


@pytest.mark.slow
@pytest.mark.parametrize("setting", ["input_noise", "weight_noise"])
def test_noise_reaches_training_and_is_drawn_from_the_seed(tmp_path, setting):
    runs = [{setting: 0.2}, {setting: 0.2}, {setting: 0.1}, {}, {setting: 0.2, "seed": 1}]
    states = [fit(fold_job(epochs=1, **run), tmp_path / str(n))[1] for n, run in enumerate(runs)]
    assert equal_states(states[0], states[1])
    assert not any(equal_states(states[0], other) for other in states[2:])
