"""One label or value as exclusive classes: the network's own outputs, and every sample that is known."""

import numpy as np
import pytest
import torch
from columns_world import LABELS, SHARES, VALUES, world
from torch import nn

from pipeline.core.errors import ConfigError
from pipeline.core.samples import FoldPlan, Split
from pipeline.core.targets import Target
from pipeline.explain import network, view
from pipeline.explain.network import Explained
from pipeline.nets.intake import PICTURES


def of(kind, name):
    case = world(kind)
    return view.view_of(case.train, case.new.oof, name)


class Classifier(nn.Module):
    """A stand-in with the attributes that are read."""

    heads, scale, intake = None, None, PICTURES

    def __init__(self, n_outputs):
        super().__init__()
        self.backbone = nn.Sequential(nn.Flatten(), nn.Linear(12, n_outputs))


@pytest.mark.parametrize("name", ["odd", "size"])
def test_a_label_has_the_probability_that_the_network_gives_it(name):
    found = of("labels", name)
    outputs = torch.randn(20, LABELS.n_classes)
    p = Target.of(LABELS).from_logits(outputs.numpy())
    logits = outputs @ torch.tensor(found.map_CK, dtype=torch.float32).T
    columns = [0] if name == "odd" else [2, 3, 4]
    expected = p[:, columns] if name == "size" else np.stack([1 - p[:, 0], p[:, 0]], axis=1)
    np.testing.assert_allclose(logits.softmax(1).numpy(), expected, atol=1e-5)


def test_the_gradient_of_higher_is_that_of_the_value():
    found = of("values", "ink")
    torch.manual_seed(0)
    plain, seen = (Explained(Classifier(2), view=one) for one in (None, found))
    seen.load_state_dict(plain.state_dict() | {k: v for k, v in seen.state_dict().items() if "_C" in k})
    x = torch.randn(5, 3, 2, 2, requires_grad=True)
    (own,) = torch.autograd.grad(plain(x)[:, 1].sum(), x)
    (higher,) = torch.autograd.grad(network.of_class([1] * 5)(seen(x)).sum(), x)
    ratio = (higher / own).flatten()
    assert ratio.min() > 0 and torch.allclose(ratio, ratio[0].expand_as(ratio), rtol=1e-3)
    assert torch.allclose(seen.outputs(x), plain(x)) and seen(x).shape == (5, 2)
    # At the median both are equally probable.
    k = VALUES.classes.index("ink")
    middle = float(np.median(world("values").train.truth[:, k]))
    at = np.zeros((1, 2))
    at[0, k] = middle
    np.testing.assert_allclose(at @ found.map_CK.T + found.shift_C, 0, atol=1e-5)


def test_samples_whose_value_is_unknown_are_in_no_part_of_a_fold():
    case, found = world("values"), of("values", "digit")
    known = ~np.isnan(case.train.truth[:, 0])
    assert np.array_equal(found.samples.ids_N, case.train.ids_N[known]) and len(found.oof) == known.sum()
    half = len(case.train) // 2
    ids = case.train.ids_N
    plan = found.plan(FoldPlan((Split(ids[:half], ids[half:], np.ones(half, int)),)))
    both = np.r_[plan.splits[0].train_ids, plan.splits[0].valid_ids]
    assert np.array_equal(np.sort(both), np.sort(found.samples.ids_N))
    assert len(plan.splits[0].times_T) == len(plan.splits[0].train_ids)
    name = str(found.samples.ids_N[0])
    assert found.told[name].startswith("true") and found.captions[name].startswith("digit")
    assert "predicted digit 3" in found.tell(np.array([3.0, 0.0]))


def test_the_worst_column_is_shown_where_none_is_named():
    case = world("labels")
    p = np.array(case.new.oof.p_NC)
    p[:, 1] = 0.01
    found = view.view_of(
        case.train, type(case.new.oof).of(case.new.oof.target, case.new.oof.ids_N, p, "bad"), ""
    )
    assert found.name == "loop" and "worst out of fold" in found.about
    assert of("values", "").name == "digit"
    assert "odd" in set(of("labels", "zero").captions.values()) | {"odd"}


def test_shares_are_shown_together_and_classes_need_no_view():
    found = of("shares", "")
    assert found.space.classes == SHARES.classes and found.space.kind == "exclusive"
    assert np.array_equal(found.samples.labels, world("shares").train.truth.argmax(axis=1))
    classes = found.samples
    assert view.view_of(classes, found.oof, "") is None


@pytest.mark.parametrize(
    ("space", "name", "message"),
    [
        (LABELS, "od", "there is no label 'od'"),
        (VALUES, "digits", "there is no value 'digits'"),
        (SHARES, "look", "which are shown together"),
    ],
)
def test_a_column_that_is_not_there_is_refused(space, name, message):
    with pytest.raises(ConfigError, match=message):
        view.check(space, name)
