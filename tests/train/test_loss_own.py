"""A loss of the user's own: the documented example works, and what is wrong is blamed by name."""

import re
from pathlib import Path

import pytest
import torch
from torch.nn import functional

from pipeline.core.errors import ConfigError
from pipeline.core.samples import Attribute, LabelSpace
from pipeline.settings.load import load
from pipeline.settings.loss import LossSettings
from pipeline.train import stages
from pipeline.train.losses import make_loss
from pipeline.train.own_loss import refuse_soft, trial
from pipeline.train.targets import ClassFacts

DOCS = Path(__file__).parents[2] / "docs" / "plugins.md"
SPACE = LabelSpace.product([Attribute("class", tuple("abc"))])


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def example():
    return re.search(r"```python\n(# mylosses\.py.*?)```", DOCS.read_text(encoding="utf-8"), re.S)[1]


def loss_of(name, **settings):
    counts = torch.tensor([6.0, 3.0, 1.0]).numpy()
    return make_loss(LossSettings(name=name, **settings), ClassFacts(SPACE, counts))


def test_the_documented_example_is_short_and_works(here):
    source = example()
    assert len([line for line in source.splitlines() if line.strip()]) <= 10
    (here / "mylosses.py").write_text(source, encoding="utf-8")
    trial("mylosses:poly1", [2, 18])
    logits = torch.randn(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    target = functional.one_hot(torch.tensor([0, 1, 2, 2, 0]), 3)
    loss = loss_of("mylosses:poly1", class_weights="inverse")
    p = (logits.softmax(-1) * target).sum(-1)
    torch.testing.assert_close(loss(logits, target), 1 - p - p.log())
    weights = loss.weigh(target.double())
    torch.testing.assert_close(
        weights, (10 / 3 / torch.tensor([6.0, 3, 1, 1, 6])).double(), rtol=1e-6, atol=0
    )
    assert torch.autograd.gradcheck(lambda x: loss(x, target), logits.requires_grad_())


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("return logits.sum()", r"returned torch.float32 \(\) for 6 rows"),
        ("return -(target * logits.log_softmax(-1))", r"returned torch.float32 \(6, 4\) for 6 rows"),
        ("return 3.0", "returned 3.0 for 6 rows"),
        ("return (logits.argmax(-1) != target.argmax(-1)).float()", "is not differentiable"),
        ("return logits.detach().sum(-1)", "is not differentiable"),
        ("return logits.sum(-1) * float('nan')", "6 of 6 losses that are not finite"),
        ("return (logits * 0).sum(-1).sqrt()", "no finite gradient"),
        ("return logits.sum(-1) / 0 * len(target.nothing)", "own.py line 2: AttributeError"),
    ],
)
def test_what_is_no_loss_is_told_before_training(here, body, expected):
    (here / "own.py").write_text(f"def f(logits, target):\n    {body}\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=expected) as caught:
        trial("own:f", [4])
    assert "own:f" in str(caught.value)


def test_logits_that_are_not_finite_are_not_its_fault(here):
    (here / "own.py").write_text("def f(logits, target):\n    return logits.sum(-1)\n", encoding="utf-8")
    logits = torch.full((2, 3), float("nan"))
    assert loss_of("own:f")(logits, torch.eye(3)[:2]).isnan().all()


def test_it_may_refuse_soft_targets_and_the_pair_is_named(here):
    body = "def f(logits, target):\n    return logits.sum(-1)\n"
    (here / "own.py").write_text(body, encoding="utf-8")
    refuse_soft(LossSettings(name="own:f"), "train.mix=mixup")
    (here / "own.py").write_text(f"{body}\nf.soft_targets = False\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"loss\.name=own:f and train\.mix=mixup"):
        refuse_soft(LossSettings(name="own:f"), "train.mix=mixup")


def test_soft_pseudo_labels_are_refused_before_a_teacher_is_trained(here):
    body = "def f(logits, target):\n    return -(target * logits.log_softmax(-1)).sum(-1)\n"
    (here / "own.py").write_text(f"{body}\nf.soft_targets = False\n", encoding="utf-8")
    words = ("competition=digits", "loss.name=own:f", "train.pseudo.test_images=true")
    stages.refuse_train(load(words))
    with pytest.raises(ConfigError, match=r"train\.pseudo\.soft"):
        stages.refuse_train(load([*words, "train.pseudo.soft=true"]))
    with pytest.raises(ConfigError, match=r"loss\.name=own:f and train\.distill\.soft"):
        stages.refuse_train(load([*words[:2], "train.distill.inner=2"]))


def test_no_such_function_names_the_setting(here):
    with pytest.raises(ConfigError, match=r"loss\.name: `nowhere:f`"):
        loss_of("nowhere:f")
