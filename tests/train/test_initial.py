from dataclasses import replace

import pytest
import torch
from learn_world import SIZE, digit_images, equal_states, fold_job

from pipeline.core.errors import ModelError
from pipeline.core.samples import Attribute, LabelSpace
from pipeline.nets.model import build
from pipeline.settings.model import ModelSettings
from pipeline.train.job import Initial, fingerprint
from pipeline.train.loop import fit


def space(classes):
    return LabelSpace.product([Attribute("digit", tuple(classes))])


DIGITS = space("0123456789")
NET = ModelSettings(name="test_resnet", weights="package:gone")


def earlier(name="test_resnet", size=(SIZE, SIZE)):
    """A network that was trained: no weight of it is zero."""
    network = build(ModelSettings(name=name, weights="none"), 10, 7, size)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.rand(parameter.shape, generator=generator), alpha=0.1)
    return Initial("first fold 0", network.state_dict(), DIGITS.classes, size)


def test_the_whole_network_is_kept_where_the_classes_are_the_same_and_no_weights_source_is_read():
    first = earlier()
    assert equal_states(first.build(NET, DIGITS, 3, (48, 48)).state_dict(), first.state)


@pytest.mark.parametrize("classes", ["9876543210", "abc"])
def test_a_classifier_of_other_classes_starts_at_zero(classes):
    first = earlier()
    state = first.build(NET, space(classes), 3, (SIZE, SIZE)).state_dict()
    head = {key for key in state if ".fc." in key}
    assert head and all((state[key] == 0).all() for key in head)
    assert all(torch.equal(state[key], first.state[key]) for key in state if key not in head)


def test_a_transformer_grows_with_its_images():
    first = earlier("test_vit", size=(32, 32))
    network = first.build(ModelSettings(name="test_vit"), DIGITS, 3, (48, 48))
    assert network(torch.rand(2, 3, 48, 48)).shape == (2, 10)
    state = network.state_dict()
    changed = {key for key in state if not torch.equal(state[key], first.state[key])}
    assert changed == {"backbone.pos_embed"}


def test_weights_of_another_network_are_refused_by_the_right_setting():
    with pytest.raises(
        ModelError, match=r"train.init_from: the weights of first fold 0 do not fit"
    ) as caught:
        earlier().build(ModelSettings(name="test_efficientnet"), DIGITS, 3, (SIZE, SIZE))
    assert any(fault.startswith("missing: conv_stem") for fault in caught.value.faults)


def test_a_fold_starts_from_them_and_another_start_is_another_job(tmp_path):
    plain = fold_job(n_train=17, n_valid=15, epochs=1, lr=1e-12, warmup_epochs=0.0, policy="none")
    first = earlier()
    job = replace(plain, initial=first, images=digit_images(32))
    _, state = fit(job, tmp_path)
    for key, value in state.items():
        if "running" not in key and "num_batches" not in key:
            torch.testing.assert_close(value, first.state[key], rtol=1e-6, atol=1e-8)
    other = replace(first, state={**first.state, "backbone.fc.bias": first.state["backbone.fc.bias"] + 1})
    assert len({fingerprint(j) for j in (plain, job, replace(job, initial=other))}) == 3
