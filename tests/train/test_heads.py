"""What a head is: standardising, stacks and slices of them, probabilities, restoring."""

import numpy as np
import pytest
import torch
from heads_world import TRAIN, features, head_job
from learn_world import equal_states

from pipeline.core.errors import ConfigError
from pipeline.core.predictions import Features
from pipeline.core.targets import Target, softmax
from pipeline.train.heads import HeadStack, head_probabilities, mean_of_heads, plain_view, restore_head

D, C, H = 6, 3, 4


def stack(hidden=None, n_heads=3):
    draw = torch.Generator().manual_seed(0)
    head = HeadStack(
        torch.randn(n_heads, D, generator=draw), torch.rand(n_heads, D, generator=draw) + 0.5, C, hidden
    )
    with torch.no_grad():
        head.start(list(range(n_heads)))
        for parameter in head.out.parameters():
            parameter.normal_(generator=draw)
    return head


def by_hand(head, j, x_ND):
    z = (x_ND - head.mean_JD[j]) / head.std_JD[j]
    if head.hidden is not None:
        z = torch.nn.functional.linear(z, head.hidden.weight[j], head.hidden.bias[j]).relu()
    return torch.nn.functional.linear(z, head.out.weight[j], head.out.bias[j])


@pytest.mark.parametrize("hidden", [None, H], ids=["linear", "mlp"])
def test_a_stack_is_its_heads_side_by_side(hidden):
    head = stack(hidden)
    x_JBD = torch.randn(3, 5, D, generator=torch.Generator().manual_seed(1))
    for j, logits_BC in enumerate(head(x_JBD)):
        torch.testing.assert_close(logits_BC, by_hand(head, j, x_JBD[j]))


@pytest.mark.parametrize("hidden", [None, H], ids=["linear", "mlp"])
def test_probabilities_are_the_mean_over_the_heads_and_survive_a_restore(hidden):
    head = stack(hidden)
    x_ND = torch.randn(5000, D, generator=torch.Generator().manual_seed(2))
    p_JNC = head_probabilities(head, x_ND.numpy(), Target(tuple("abcd")))
    expected = [softmax(by_hand(head, j, x_ND).detach().numpy()) for j in range(3)]
    np.testing.assert_allclose(p_JNC, expected, atol=1e-6)
    np.testing.assert_allclose(mean_of_heads(p_JNC), np.mean(expected, axis=0), atol=1e-6)
    again = restore_head(head.state_dict())
    assert equal_states(again.state_dict(), head.state_dict()) and not again.training
    np.testing.assert_array_equal(head_probabilities(again, x_ND.numpy(), Target(tuple("abcd"))), p_JNC)


def test_hidden_weights_come_from_each_heads_own_seed():
    one, other = stack(H).hidden.weight, HeadStack(torch.zeros(2, D), torch.ones(2, D), C, H)
    with torch.no_grad():
        other.start([2, 7])
    assert torch.equal(one[2], other.hidden.weight[0]) and not torch.equal(one[1], other.hidden.weight[1])
    assert not other.out.weight.any(), "the last layer starts at even odds"


def test_statistics_are_those_of_the_training_part_over_all_views():
    mean_D, std_D = head_job(n_train=50, known=features(2)).statistics()
    known = features(2)
    x = known.take(np.array([f"d{i}" for i in range(50)])).x_NVD.reshape(100, -1).astype(np.float64)
    np.testing.assert_allclose(mean_D, x.mean(0), rtol=1e-5)
    np.testing.assert_allclose(std_D, np.maximum(x.std(0), 1e-6), rtol=1e-5)


def test_targets_and_weights_of_a_job_have_a_row_for_each_training_sample():
    job = head_job()
    assert job.target_NC.shape == (TRAIN, 10) and job.weight_N.tolist() == [1.0] * TRAIN


def test_the_validating_view_is_identity():
    known = features(2)
    np.testing.assert_array_equal(plain_view(known).numpy(), known.x_NVD[:, 0])
    with pytest.raises(ConfigError, match="identity"):
        plain_view(Features(known.ids_N, ("hflip",), known.x_NVD[:, :1], "digest"))
