"""GroupNorm in the place of BatchNorm, after which the output of a sample no longer depends on its batch.

Owns replacing the layers of a network. Does not own building it (`nets/model.py`) or freezing BatchNorm
(`train/loop.py`).

Source: Wu and He 2018, https://arxiv.org/abs/1803.08494; timm's layers.
"""

import torch
from torch import nn

from pipeline.core.errors import ModelError
from pipeline.core.language import _

MOST_GROUPS = 32
# In the last maps of a small image a channel is one number, and one number has no variance.
FEWEST_CHANNELS = 8


def groups_of(channels: int) -> int:
    """The most groups that divide the channels, up to 32, with at least 8 channels each."""
    most = max(min(MOST_GROUPS, channels // FEWEST_CHANNELS), 1)
    return next(g for g in range(most, 0, -1) if channels % g == 0)


def to_group_norm(backbone: nn.Module, name: str) -> None:
    """Replace every BatchNorm2d in place; weight and bias (per channel) are kept, statistics are not.

    Raises:
        ModelError: the network has none.
    """
    places = [
        (parent, child, module)
        for parent in backbone.modules()
        for child, module in parent.named_children()
        if isinstance(module, nn.BatchNorm2d)
    ]
    if not places:
        remedy = "leave model.norm out, or choose another model"
        raise ModelError(_("model.norm=group: {name} has no BatchNorm").format(name=name), remedy=remedy)
    for parent, child, old in places:
        setattr(parent, child, _group_norm_of(old))


def _group_norm_of(old: nn.BatchNorm2d) -> nn.Module:
    from timm.layers import BatchNormAct2d, GroupNormAct

    new: nn.GroupNorm
    groups = groups_of(old.num_features)
    if isinstance(old, BatchNormAct2d):  # timm has dropout and activation inside the norm
        new = GroupNormAct(old.num_features, groups, eps=old.eps, affine=old.affine, apply_act=False)
        new.drop, new.act = old.drop, old.act
    else:
        new = nn.GroupNorm(groups, old.num_features, eps=old.eps, affine=old.affine)
    if old.affine:
        with torch.no_grad():
            new.weight.copy_(old.weight)
            new.bias.copy_(old.bias)
    return new
