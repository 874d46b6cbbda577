from dataclasses import replace

import numpy as np
import pytest
import torch
from seeing_world import Whole, net, scene, small_cnn, timm_net, trained_cnn
from torch import nn

from pipeline.explain import synthesis
from pipeline.explain.synthesis import Ascent

QUICK = Ascent(steps=25, penalty=0.1)


def test_a_long_way_is_looked_at_forty_times_and_at_both_ends():
    found = trained_cnn()
    made = synthesis.ascend(found, synthesis.of_classes(found, [3]), 1, (16, 16), replace(QUICK, steps=100))
    assert len(made.score_SB) == len(made.step_S) == 41 and (made.step_S[0], made.step_S[-1]) == (0, 100)


@pytest.mark.parametrize("start", ["blank", "noise"])
def test_ascent_raises_the_score_of_its_class(start):
    found = trained_cnn()
    how = replace(QUICK, start=start)
    made = synthesis.ascend(found, synthesis.of_classes(found, [3, 7]), 2, (16, 16), how)
    assert made.x_BHWC.shape == (2, 16, 16, 3) and made.score_SB.shape == (26, 2)
    assert (made.score_SB[-1] > made.score_SB[0] + 2).all()
    assert made.x_BHWC.min() >= 0 and made.x_BHWC.max() <= 1
    # What is shown is what was scored.
    logits = found.module(
        (torch.from_numpy(made.x_BHWC).permute(0, 3, 1, 2) - found.mean_C11) / found.std_C11
    )
    assert logits[[0, 1], [3, 7]].numpy() == pytest.approx(made.score_SB[-1], abs=1e-3)


def test_the_penalty_lowers_the_norm_and_costs_score():
    found = trained_cnn()
    score = synthesis.of_classes(found, [3])
    free, bound = (
        synthesis.ascend(found, score, 1, (16, 16), Ascent(40, penalty=p, jitter_px=0, blur_px=0))
        for p in (0.0, 100.0)
    )
    assert bound.norm_B[0] < 0.8 * free.norm_B[0]
    assert bound.score_SB[-1, 0] < free.score_SB[-1, 0]


def test_a_linear_score_gives_its_known_optimum():
    """max w·I − λ‖I‖²/n lies at I = n w / (2λ), inside what pixels can hold."""
    linear = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 1, bias=False))
    any_net = net(nn.Sequential(nn.Conv2d(3, 1, 1)), ["0"], size=(8, 8))
    found = replace(any_net, module=Whole(linear).eval().requires_grad_(False), backbone=linear)
    w_CHW = 0.1 * torch.randn(3, 8, 8, generator=torch.Generator().manual_seed(1)) / 192
    # On normalised pixels, so that the weight on I is w / std.
    linear[1].weight.data[:] = (w_CHW * found.std_C11).flatten()
    how = Ascent(600, rate=0.005, penalty=0.5, jitter_px=0, blur_px=0)
    made = synthesis.ascend(found, synthesis.of_classes(found, [0]), 1, (8, 8), how)
    wanted = (192 * w_CHW / (2 * 0.5) + found.mean_C11).clamp(0, 1).permute(1, 2, 0).numpy()
    assert made.x_BHWC[0] == pytest.approx(wanted, abs=0.01)


def test_blur_takes_away_what_flickers_between_neighbours():
    found = trained_cnn()
    score = synthesis.of_classes(found, [3])
    sharp, soft = (
        synthesis.ascend(
            found, score, 1, (16, 16), Ascent(40, penalty=0.1, jitter_px=0, blur_px=b, blur_every=2)
        )
        for b in (0.0, 1.0)
    )
    flicker = [np.abs(np.diff(m.x_BHWC[0], axis=0)).mean() / np.sqrt(m.norm_B[0]) for m in (sharp, soft)]
    assert flicker[1] < 0.7 * flicker[0]


def test_a_channel_of_any_layer_can_be_raised():
    told = scene()
    found = told.nets[0]
    layer = found.layers[1]
    made = synthesis.ascend(
        found, synthesis.of_channels(found, layer, [0, 5]), 2, (16, 16), replace(QUICK, start="noise")
    )
    assert (made.score_SB[-1] > made.score_SB[0]).all()
    vit = timm_net("vit_tiny_patch16_224", (32, 32), ["blocks.0"], img_size=32, depth=1)
    (block,) = vit.layers
    made = synthesis.ascend(vit, synthesis.of_channels(vit, block, [4]), 1, (32, 32), Ascent(8))
    assert made.score_SB[-1, 0] > made.score_SB[0, 0]


def test_equal_seeds_give_equal_images_and_images_do_not_mind_each_other():
    found = net(small_cnn(), ["2"])
    one = synthesis.ascend(found, synthesis.of_classes(found, [3]), 1, (16, 16), QUICK)
    two = synthesis.ascend(found, synthesis.of_classes(found, [3, 7]), 2, (16, 16), QUICK)
    assert np.allclose(one.x_BHWC[0], two.x_BHWC[0], atol=1e-4)
    assert (
        synthesis.ascend(found, synthesis.of_classes(found, [3]), 1, (16, 16), QUICK).x_BHWC == one.x_BHWC
    ).all()
    assert not any(p.requires_grad for p in found.module.parameters())
