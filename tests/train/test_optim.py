import itertools
import math

import pytest
import torch
from torch import nn

from pipeline.core.errors import ConfigError
from pipeline.settings.train import TrainSettings
from pipeline.train.optim import Schedule, load_optimizer, make_optimizer, reductions, set_lr


def network():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))


# The notes' optimizers, plain SGD, momentum and Nesterov among them, and what timm calls each.
NAMED = {
    "SGD": ("sgd", {"momentum": 0.0, "nesterov": False}),
    "momentum": ("momentum", {}),
    "Nesterov": ("sgd", {}),
    "Adagrad": ("adagrad", {}),
    "Adadelta": ("adadelta", {"rho": 0.8}),
    "RMSprop": ("rmsprop", {"alpha": 0.99}),
    "Adam": ("adam", {"betas": [0.8, 0.99]}),
    "RAdam": ("radam", {}),
    "AdamP": ("adamp", {}),
    "AdamW": ("adamw", {"amsgrad": True}),
}


def trained(optimizer, net, steps=30):
    """Losses of a small regression."""
    x = torch.randn(16, 3, 3, 3, generator=torch.Generator().manual_seed(1))
    losses = []
    for _ in range(steps):
        loss = (net(x) - x.mean((1, 2, 3))[:, None] * 3).square().mean()
        losses.append(loss.item())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return losses


@pytest.mark.parametrize("title", NAMED)
def test_every_named_optimizer_learns_and_spares_biases_and_norms(title):
    name, args = NAMED[title]
    torch.manual_seed(0)
    net = network()
    rate = {"adadelta": 1.0}.get(name, 0.01)
    settings = TrainSettings(optimizer=name, lr=rate, optimizer_args=args, weight_decay=0.3)
    optimizer = make_optimizer(net, settings)
    decay = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    assert decay[id(net[0].weight)] == decay[id(net[3].weight)] == 0.3
    assert all(decay[id(p)] == 0 for p in (net[0].bias, net[1].weight, net[1].bias, net[3].bias))
    assert len(decay) == len(list(net.parameters()))
    losses = trained(optimizer, net)
    assert losses[-1] < 0.8 * losses[0], title


def test_momentum_and_nesterov_are_what_they_are_called():
    kinds = {}
    for title in ("SGD", "momentum", "Nesterov"):
        name, args = NAMED[title]
        group = make_optimizer(network(), TrainSettings(optimizer=name, optimizer_args=args)).param_groups[0]
        kinds[title] = (group["momentum"], group["nesterov"])
    assert kinds == {"SGD": (0.0, False), "momentum": (0.9, False), "Nesterov": (0.9, True)}


@pytest.mark.parametrize(
    ("args", "told"),
    [
        ({"momentun": 0.5}, "did you mean momentum"),
        ({"lr": 0.5}, "train.lr"),
        ({"momentum": -1.0}, "Invalid momentum"),
        ({"momentum": 0.0}, "Nesterov momentum requires"),
    ],
)
def test_wrong_optimizer_arguments_are_config_errors(args, told):
    with pytest.raises(ConfigError, match="optimizer_args") as caught:
        make_optimizer(network(), TrainSettings(optimizer="sgd", optimizer_args=args))
    assert told in str(caught.value)


def test_unknown_optimizer_names_the_nearest():
    with pytest.raises(ConfigError, match=r"did you mean .*adamw"):
        make_optimizer(network(), TrainSettings(optimizer="adamww"))


def test_second_order_optimizers_are_refused():
    with pytest.raises(ConfigError, match="second derivatives"):
        make_optimizer(network(), TrainSettings(optimizer="adahessian"))


def test_an_optimizer_without_its_package_is_a_config_error():
    with pytest.raises(ConfigError, match="fusedadam cannot be used"):
        make_optimizer(network(), TrainSettings(optimizer="fusedadam"))


@pytest.mark.parametrize("name", ["adamw", "adam", "sgd"])
def test_moments_of_another_memory_layout_go_on_as_if_nothing_had_changed(name):
    """torch's fused steps on a CPU pair numbers by their place in memory, and say nothing."""

    def trained(layout_before, layout_after):
        weight = torch.arange(120.0).reshape(2, 3, 4, 5)
        generator, state = torch.Generator().manual_seed(0), None
        for layout in (layout_before, layout_after):
            net = nn.Conv2d(3, 2, (4, 5), bias=False).to(memory_format=layout)
            with torch.no_grad():
                net.weight.copy_(weight)
            optimizer = make_optimizer(net, TrainSettings(optimizer=name, lr=0.1))
            if state is not None:
                load_optimizer(optimizer, state)
            for _ in range(2):
                net.weight.grad = torch.empty_like(net.weight)
                net.weight.grad.copy_(torch.randn(weight.shape, generator=generator))
                optimizer.step()
            weight, state = net.weight.detach().clone(), optimizer.state_dict()
        return weight

    plain = trained(torch.contiguous_format, torch.contiguous_format)
    for layouts in itertools.permutations((torch.contiguous_format, torch.channels_last)):
        torch.testing.assert_close(trained(*layouts), plain)


def rates(steps_E, watched=None, **settings):
    schedule = Schedule(TrainSettings(epochs=len(steps_E), lr=0.4, **settings), tuple(steps_E))
    return [schedule.lr(step, watched or []) for step in range(schedule.total)]


def torch_rates(kind, total, every=1, **args):
    """What torch's own scheduler sets, step by step; `every` steps it is advanced."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.4)
    scheduler = kind(optimizer, **args)
    found = []
    for step in range(total):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if (step + 1) % every == 0 and step + 1 < total:
            scheduler.step()
    return found


def test_cosine_with_warmup():
    found = rates([10] * 10, schedule="cosine", warmup_epochs=1.0)
    assert found[0] == pytest.approx(0.04) and found[9] == pytest.approx(0.4) == found[10]
    assert found[55] == pytest.approx(0.2)
    assert found[99] == pytest.approx(0.2 * (1 + math.cos(math.pi * 89 / 90)))
    assert all(a > b for a, b in itertools.pairwise(found[10:]))
    assert min(found) > 0


def test_cosine_is_torchs():
    expected = torch_rates(torch.optim.lr_scheduler.CosineAnnealingLR, 30, T_max=30)
    assert rates([10] * 3, schedule="cosine", warmup_epochs=0.0) == pytest.approx(expected)


def test_constant_and_no_warmup():
    assert rates([3], schedule="constant", warmup_epochs=0.0) == [0.4] * 3


def test_step_is_torchs_and_counts_epochs_of_unequal_length():
    found = rates([4] * 5, schedule="step", lr_decay=0.5, lr_decay_epochs=2, warmup_epochs=0.0)
    expected = torch_rates(torch.optim.lr_scheduler.StepLR, 20, every=4, step_size=2, gamma=0.5)
    assert found == pytest.approx(expected)
    unequal = rates([1, 3, 2], schedule="step", lr_decay=0.5, lr_decay_epochs=1, warmup_epochs=0.0)
    assert unequal == pytest.approx([0.4, 0.2, 0.2, 0.2, 0.1, 0.1])
    warm = rates([4] * 3, schedule="step", lr_decay=0.5, lr_decay_epochs=1, warmup_epochs=1.0)
    assert warm[:5] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.2])


@pytest.mark.parametrize("total", [3, 7, 30])
def test_one_cycle_is_torchs(total):
    one_cycle = torch.optim.lr_scheduler.OneCycleLR
    expected = torch_rates(one_cycle, total, max_lr=0.4, total_steps=total, cycle_momentum=False)
    assert rates([total], schedule="one_cycle") == pytest.approx(expected)


@pytest.mark.parametrize("patience", [0, 1, 2])
def test_plateau_is_torchs_and_a_function_of_the_history(patience):
    losses = [1.0, 0.9, 0.9, 0.90001, 0.89995, 0.5, 0.6, 0.6, 0.6, 0.6, 0.6, 0.4, 0.4, 0.4]
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.4)
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=patience)
    for epoch, loss in enumerate(losses):
        how = {"schedule": "plateau", "lr_decay": 0.5, "lr_patience": patience}
        found = rates([1] * 14, losses[:epoch], warmup_epochs=0.0, **how)
        assert found[epoch] == pytest.approx(optimizer.param_groups[0]["lr"])
        plateau.step(loss)
    assert reductions(losses, patience) > 0


def test_schedules_leave_momentum_alone():
    for name in ("cosine", "constant", "step", "one_cycle", "plateau"):
        settings = TrainSettings(schedule=name, optimizer="momentum", epochs=2)
        optimizer, schedule = make_optimizer(network(), settings), Schedule(settings, (2, 2))
        for step in range(4):
            set_lr(optimizer, schedule.lr(step, [1.0]))
            assert {g["momentum"] for g in optimizer.param_groups} == {0.9}


def test_warmup_longer_than_the_run():
    assert rates([2], warmup_epochs=4.0)[1] == pytest.approx(0.1)


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
