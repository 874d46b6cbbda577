import logging
from dataclasses import replace

import pytest
import timm
import torch
from learn_world import digit_images, equal_states, fold_job
from torch import nn

from pipeline.core.errors import ConfigError
from pipeline.core.seeds import seed
from pipeline.nets.model import build
from pipeline.settings.model import ModelSettings
from pipeline.settings.train import TrainSettings
from pipeline.train import strategy
from pipeline.train.loop import checkpoint_path, fit
from pipeline.train.optim import make_optimizer, set_lr
from pipeline.train.state import load_checkpoint

NET = ModelSettings(name="test_efficientnet", weights="none", drop_rate=0.2, drop_path_rate=0.1)
STEM, HEAD = "conv_stem.weight", "classifier.weight"
FROZEN = {"strategy": "freeze_until", "freeze_until": 4}
GRADUAL = {"strategy": "gradual", "unfreeze_every": 1}


def job(**train):
    """A network with a stem, five stages and a head, three epochs."""
    return replace(fold_job(n_train=33, n_valid=15, **train), model=NET, images=digit_images(48))


def start(of):
    """The very weights that the fold starts from."""
    return build(of.model, 10, seed(of.train.seed, "model", of.fold), of.size).state_dict()


def trained(backbone):
    return {name for name, p in backbone.named_parameters() if p.requires_grad}


def of_stages(backbone, *numbers):
    whole = strategy.stages(backbone)
    return {name for number in numbers for name in whole[number]}


@pytest.mark.parametrize(
    "name", ["test_efficientnet", "test_resnet", "test_vit", "test_convnext", "densenet121", "vgg11"]
)
def test_stages_run_from_the_stem_to_the_classifier_and_hold_every_parameter_once(name):
    with torch.device("meta"):
        backbone = timm.create_model(name)
    whole = strategy.stages(backbone)
    names = [name for stage in whole for name in stage]
    assert sorted(names) == sorted(name for name, _ in backbone.named_parameters())
    first = next(iter(dict(backbone.named_parameters())))
    assert first in whole[0] and len(whole) > 4
    assert any(name.startswith(backbone.pretrained_cfg["classifier"]) for name in whole[-1])


def test_of_a_network_that_timm_does_not_know_each_child_is_a_stage():
    backbone = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.BatchNorm2d(4), nn.Linear(4, 2))
    assert [stage[0] for stage in strategy.stages(backbone)] == ["0.weight", "2.weight", "3.weight"]
    strategy.prepare(backbone, TrainSettings(strategy="freeze_until", freeze_until=1))
    assert trained(backbone) == {"3.weight", "3.bias"}
    with pytest.raises(ConfigError, match="does not define its layers"):
        strategy.prepare(backbone, TrainSettings(layer_decay=0.7))


@pytest.mark.parametrize(
    ("until", "frozen", "first_trained"),
    [
        (0, "bn1.bias", "blocks.0.0.conv.weight"),
        (4, "blocks.3.0.conv_dw.weight", "blocks.4.0.conv_pw.weight"),
        ("blocks.3", "blocks.3.0.conv_dw.weight", "blocks.4.0.conv_pw.weight"),
        ("blocks.3.0.conv_pw", "blocks.3.0.conv_pw.weight", "blocks.3.0.bn1.weight"),
        ("bn2", "bn2.bias", "classifier.weight"),
    ],
)
def test_freeze_until_takes_a_stage_or_a_module_and_freezes_all_up_to_it(until, frozen, first_trained):
    backbone = timm.create_model("test_efficientnet")
    strategy.prepare(backbone, TrainSettings(strategy="freeze_until", freeze_until=until))
    names = [name for name, _ in backbone.named_parameters()]
    moving = [name for name in names if name in trained(backbone)]
    assert moving == names[names.index(first_trained) :] and frozen in names
    assert names.index(first_trained) > names.index(frozen)


def test_an_unknown_part_is_told_with_the_nearest_and_all_stages():
    backbone = timm.create_model("test_efficientnet")
    for until, told in (
        ("block.3", "no stage or module 'block.3'; did you mean blocks.3"),
        (17, "no stage or module 17\n"),
    ):
        with pytest.raises(ConfigError, match=told) as caught:
            strategy.prepare(backbone, TrainSettings(strategy="freeze_until", freeze_until=until))
        assert len(caught.value.faults) == 7 and caught.value.faults[1] == "stage 1: blocks.0"
        assert "0 to 5" in caught.value.remedy
    for until in ("classifier", 6):
        with pytest.raises(ConfigError, match="nothing would train"):
            strategy.prepare(backbone, TrainSettings(strategy="freeze_until", freeze_until=until))


def test_gradual_unfreezes_from_the_head_down_by_the_epochs_number_alone():
    backbone = timm.create_model("test_efficientnet")
    settings = TrainSettings(strategy="gradual", unfreeze_every=2, epochs=20)
    expected = {0: (6,), 1: (6,), 2: (5, 6), 5: (4, 5, 6), 12: range(7), 19: range(7)}
    for epoch in (5, 0, 19, 2, 1, 12):  # any order: nothing is remembered
        strategy.begin_epoch(backbone.train(), settings, epoch)
        assert trained(backbone) == of_stages(backbone, *expected[epoch])
    assert strategy.states(backbone, settings) == tuple(range(0, 14, 2))
    assert strategy.states(backbone, settings.model_copy(update={"epochs": 5})) == (0, 2, 4)
    assert strategy.states(backbone, TrainSettings()) == (0,)


def test_frozen_modules_are_in_eval_mode_and_the_rest_trains():
    backbone = timm.create_model("test_efficientnet")
    strategy.begin_epoch(backbone.train(), TrainSettings(**FROZEN), 0)
    assert not backbone.bn1.training and not backbone.blocks[3].training
    assert backbone.blocks[4].training and backbone.bn2.training and backbone.training
    strategy.begin_epoch(backbone.train(), TrainSettings(), 0)
    assert all(module.training for module in backbone.modules()), "nothing is left of the last strategy"
    assert trained(backbone) == {name for name, _ in backbone.named_parameters()}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """(job, first state, last state, checkpoint) of a few strategies, trained once."""
    done = {}
    for name, train in {
        "frozen": FROZEN,
        "gradual": GRADUAL,
        "bn": {"freeze_bn": True},
        "full": {},
        "scratch": {"strategy": "scratch"},
    }.items():
        # Strong decay: what is decayed without a gradient would show.
        of = job(**train, weight_decay=0.5, ema_decay=0.9 if name in ("frozen", "gradual") else None)
        work = tmp_path_factory.mktemp(name)
        _, state = fit(of, work)
        done[name] = (of, start(of), state, load_checkpoint(checkpoint_path(work, of.fold)))
    return done


@pytest.mark.parametrize(("name", "stages"), [("frozen", range(5)), ("gradual", range(4))])
def test_what_is_frozen_ends_with_the_bits_it_began_with(runs, name, stages):
    of, first, last, saved = runs[name]
    backbone = build(of.model, 10, 0, of.size).backbone
    frozen = {f"backbone.{n}" for n in of_stages(backbone, *stages)}
    modules = {n.rpartition(".")[0] for n in frozen}
    kept = {key for key in last if key.rpartition(".")[0] in modules}
    assert any("running_mean" in key for key in kept), "batch statistics are part of it"
    for state in (last, saved["model"], saved["average"]):
        assert all(torch.equal(first[key], state[key]) for key in kept)
        moved = {key for key in state if "weight" in key and not torch.equal(first[key], state[key])}
        assert moved == {key for key in state if "weight" in key} - kept, "all above it moved"


def test_the_optimizer_holds_nothing_of_what_never_trains(runs):
    of, _, _, saved = runs["frozen"]
    backbone = build(of.model, 10, 0, of.size).backbone
    above = of_stages(backbone, 5, 6)
    groups = saved["optimizer"]["param_groups"]
    assert sum(len(group["params"]) for group in groups) == len(above)
    assert len(saved["optimizer"]["state"]) == len(above)


def test_gradual_gives_a_stage_its_first_moments_when_it_first_trains(tmp_path):
    of = job(**GRADUAL)
    counts = []

    def look(fold, epoch, entry):
        counts.append(len(load_checkpoint(checkpoint_path(tmp_path, of.fold))["optimizer"]["state"]))
        return True

    fit(of, tmp_path, look)
    whole = [len(stage) for stage in strategy.stages(build(of.model, 10, 0, of.size).backbone)]
    assert counts == [sum(whole[-n:]) for n in (1, 2, 3)]


def test_a_frozen_part_asks_for_no_gradient_so_backward_ends_above_it():
    network = build(NET, 10, 0, (32, 32))
    settings = TrainSettings(**FROZEN)
    strategy.prepare(network.backbone, settings)
    strategy.begin_epoch(network.train().backbone, settings, 0)
    seen = []
    network.backbone.blocks[3].register_forward_hook(lambda m, i, out: seen.append(out.requires_grad))
    network.backbone.blocks[4].register_forward_hook(lambda m, i, out: seen.append(out.requires_grad))
    network(torch.rand(2, 3, 32, 32)).sum().backward()
    assert seen == [False, True]
    assert all((p.grad is not None) == p.requires_grad for p in network.parameters())


def test_freeze_bn_keeps_statistics_and_affine_and_trains_the_rest(runs):
    _, first, last, saved = runs["bn"]
    norm = {key.rpartition(".")[0] for key in last if key.endswith("running_mean")}
    for key in last:
        of_norm = key.rpartition(".")[0] in norm
        assert torch.equal(first[key], last[key]) == of_norm, key
    assert len(saved["optimizer"]["state"]) == sum(k.rpartition(".")[0] not in norm for k in last)
    _, before, full, _ = runs["full"]
    assert not torch.equal(before["backbone.bn1.running_mean"], full["backbone.bn1.running_mean"])


def test_freeze_bn_without_batch_normalisation_is_refused():
    backbone = timm.create_model("test_vit")
    with pytest.raises(ConfigError, match="no batch normalisation"):
        strategy.prepare(backbone, TrainSettings(freeze_bn=True))


def test_scratch_is_full_without_weights(runs):
    assert equal_states(runs["scratch"][2], runs["full"][2])


class Stop(BaseException):
    """Stands for a signal."""


@pytest.mark.parametrize("after", [0, 1])
@pytest.mark.parametrize("name", ["gradual", "frozen", "bn"])
def test_a_resume_is_exact(runs, tmp_path, name, after):
    of, _, last, _ = runs[name]

    def stop(fold, epoch, entry):
        if epoch == after:
            raise Stop
        return True

    with pytest.raises(Stop):
        fit(of, tmp_path, stop)
    assert equal_states(fit(of, tmp_path)[1], last)


def test_layer_decay_slows_lower_layers_spares_the_head_and_decays_no_bias_or_norm():
    backbone = timm.create_model("test_efficientnet")
    settings = TrainSettings(layer_decay=0.5, weight_decay=0.3)
    strategy.prepare(backbone, settings)
    optimizer = make_optimizer(backbone, settings)
    named = {id(p): name for name, p in backbone.named_parameters()}
    groups = {named[id(p)]: group for group in optimizer.param_groups for p in group["params"]}
    assert groups.keys() == set(named.values())
    scale = {name: group["lr_scale"] for name, group in groups.items()}
    assert scale[HEAD] == scale["classifier.bias"] == 1
    order = [STEM, "blocks.0.0.conv.weight", "blocks.3.0.conv_pw.weight", "conv_head.weight", HEAD]
    rates = [scale[name] for name in order]
    assert rates == sorted(rates) and rates[0] < 0.1 and len(set(rates)) == 5
    for name, parameter in backbone.named_parameters():
        assert groups[name]["weight_decay"] == (0.3 if parameter.ndim > 1 else 0), name


def test_layer_decay_reaches_the_steps():
    """Under equal gradients, a step of plain SGD moves each layer by the rate times its scale."""
    backbone = timm.create_model("test_efficientnet")
    settings = TrainSettings(layer_decay=0.5, optimizer="sgd", weight_decay=0.0)
    optimizer = make_optimizer(backbone, settings)
    before = {name: p.detach().clone() for name, p in backbone.named_parameters()}
    for parameter in backbone.parameters():
        parameter.grad = torch.ones_like(parameter)
    set_lr(optimizer, 0.1)
    optimizer.step()
    moved = {name: float((before[name] - p.detach()).mean()) for name, p in backbone.named_parameters()}
    ratio = {name: value / moved[HEAD] for name, value in moved.items()}
    assert moved[HEAD] > 0 and ratio["classifier.bias"] == pytest.approx(1, rel=1e-3)
    assert ratio["conv_head.weight"] == pytest.approx(0.5, rel=1e-3) and 0 < ratio[STEM] < 0.1


def test_what_stays_frozen_is_told(caplog):
    backbone = timm.create_model("test_efficientnet")
    with caplog.at_level(logging.INFO):
        strategy.prepare(backbone, TrainSettings(**FROZEN))
        strategy.prepare(backbone, TrainSettings())
    assert len(caplog.records) == 1 and "are frozen in all epochs" in caplog.text
