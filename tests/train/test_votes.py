"""The vote of a committee is the weighted mean of its members' probabilities, view by view."""

import numpy as np
import torch

from pipeline.core.predictions import Features
from pipeline.core.samples import Attribute, LabelSpace
from pipeline.core.targets import Target
from pipeline.settings.model import ModelSettings
from pipeline.train import committee as predict
from pipeline.train import committee as votes
from pipeline.train.committee import Committee
from pipeline.train.heads import HeadStack

SPACE = LabelSpace.product([Attribute("letter", tuple("xyz"))])


def head(seed):
    made = HeadStack(torch.zeros(1, 4), torch.ones(1, 4), 3)
    made.out.weight.data.normal_(generator=torch.Generator().manual_seed(seed))
    return made


def test_heads_vote_by_their_shares():
    x = np.random.default_rng(0).normal(size=(5, 2, 4)).astype(np.float32)
    features = Features(np.array(list("abcde")), ("identity", "hflip"), x, "digest")
    heads = [head(1), head(2)]
    alone = [predict.predict_head(h, features, Target(tuple("xyz")))[0].p_VNC for h in heads]
    committee = Committee(tuple(h.state_dict() for h in heads), (0.2, 0.8))
    target = Target.of(SPACE)
    made = votes.restored_heads(ModelSettings(), SPACE, committee)
    ((found, _),) = votes.heads(made, committee.shares, target, [features])
    np.testing.assert_allclose(found.p_VNC, 0.2 * alone[0] + 0.8 * alone[1], atol=1e-6)
    assert found.views == features.views
    ((single, _),) = votes.heads(made[:1], (1.0,), target, [features])
    assert np.array_equal(single.p_VNC, alone[0])
    np.testing.assert_allclose(votes.mean([single, single]).p_VNC, alone[0], atol=1e-7)
