import itertools
import math

import pytest
import torch
from torch import nn

from pipeline.core.errors import ConfigError
from pipeline.learn.optim import Schedule, lr_at, make_optimizer, set_lr
from pipeline.settings.schema import TrainSettings


def network():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))


@pytest.mark.parametrize(
    "name", ["adamw", "sgd", "nadam", "radam", "adamp", "rmsprop", "adagrad", "adadelta"]
)
def test_optimizers_by_name_move_the_weights(name):
    net = network()
    optimizer = make_optimizer(net, TrainSettings(optimizer=name, lr=0.01))
    before = net[3].weight.clone()
    net(torch.ones(2, 3, 3, 3) + torch.arange(2.0).view(2, 1, 1, 1)).square().sum().backward()
    optimizer.step()
    assert not torch.equal(before, net[3].weight)


def test_biases_and_norms_do_not_decay():
    net = network()
    optimizer = make_optimizer(net, TrainSettings(weight_decay=0.3))
    decay = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    assert decay[id(net[0].weight)] == decay[id(net[3].weight)] == 0.3
    assert all(decay[id(p)] == 0 for p in (net[0].bias, net[1].weight, net[1].bias, net[3].bias))
    assert len(decay) == len(list(net.parameters()))


def test_unknown_optimizer_names_the_nearest():
    with pytest.raises(ConfigError, match=r"did you mean .*adamw"):
        make_optimizer(network(), TrainSettings(optimizer="adamww"))


def test_second_order_optimizers_are_refused():
    with pytest.raises(ConfigError, match="second derivatives"):
        make_optimizer(network(), TrainSettings(optimizer="adahessian"))


def test_an_optimizer_without_its_package_is_a_config_error():
    with pytest.raises(ConfigError, match="fusedadam cannot be used"):
        make_optimizer(network(), TrainSettings(optimizer="fusedadam"))


def test_cosine_with_warmup():
    settings = TrainSettings(lr=0.4, schedule="cosine")
    rates = [lr_at(step, 100, 10, settings) for step in range(100)]
    assert rates[0] == pytest.approx(0.04) and rates[9] == pytest.approx(0.4) == rates[10]
    assert rates[55] == pytest.approx(0.2)
    assert rates[99] == pytest.approx(0.2 * (1 + math.cos(math.pi * 89 / 90)))
    assert all(a > b for a, b in itertools.pairwise(rates[10:]))
    assert min(rates) > 0


def test_constant_and_no_warmup():
    settings = TrainSettings(lr=0.4, schedule="constant")
    assert [lr_at(step, 3, 0, settings) for step in range(3)] == [0.4] * 3


def test_warmup_longer_than_the_run():
    assert lr_at(1, 2, 8, TrainSettings(lr=0.4)) == pytest.approx(0.1)


def test_schedule_counts_short_windows_and_unequal_epochs():
    schedule = Schedule.of(TrainSettings(accumulate=2, warmup_epochs=1.0, lr=1.0), [4, 5, 1])
    assert schedule.steps_E == (2, 3, 1) and schedule.total == 6
    assert [schedule.start(e) for e in range(3)] == [0, 2, 5]
    assert schedule.lr(0) == pytest.approx(0.5) and schedule.lr(1) == pytest.approx(1.0)


def test_set_lr_honours_lr_scale():
    optimizer = make_optimizer(network(), TrainSettings())
    optimizer.param_groups[0]["lr_scale"] = 0.1
    set_lr(optimizer, 0.5)
    assert [g["lr"] for g in optimizer.param_groups] == pytest.approx([0.05, 0.5])
