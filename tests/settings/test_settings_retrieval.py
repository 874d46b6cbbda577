"""Settings of thousands of classes: cosines, margins, neighbours, the new class; each fault in a sentence."""

import pytest

from pipeline.core.errors import ConfigError
from pipeline.settings.load import load

NETWORK = ["competition=digits", "experiment=tiny_resnet"]
PROBE = ["competition=digits", "experiment=probe"]
COSINE = "model.heads=cosine"
KNN = "train.head=knn"
WHALES = ", ".join(f"w{n}" for n in range(300))
MANY = f"competition.attributes=[{{name: whale, column: whale, values: [{WHALES}]}}]"


@pytest.mark.parametrize(
    "words",
    [
        [*NETWORK, COSINE],
        [
            *NETWORK,
            COSINE,
            "model.centres=3",
            "model.scale=20.0",
            "loss.name=arcface",
            "loss.rare_margin=0.2",
        ],
        [*NETWORK, COSINE, "loss.name=arcface", "train.mix.method=mixup", "train.ema_decay=0.99"],
        [*PROBE, COSINE, "loss.name=arcface", "train.head=mlp"],
        [*PROBE, KNN, "train.head_k=5", "train.head_temperature=0.1"],
        [*NETWORK, "train.neighbours=0.5", "train.head_k=9"],
        [*PROBE, "competition.new_class='9'", "decision.steps=[new_class]"],
    ],
)
def test_what_is_right_is_accepted(words):
    load(words)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (
            [*NETWORK, "loss.name=arcface"],
            "loss.name arcface is a margin between angles: it needs model.heads",
        ),
        ([*NETWORK, COSINE, "loss.name=ldam"], "ldam has a scale of its own"),
        (
            [*NETWORK, COSINE, "loss.margin=0.1"],
            "loss.margin 0.1 is not used by cross_entropy, only by: arcface",
        ),
        (
            [*NETWORK, COSINE, "loss.name=arcface", "loss.margin=1.0", "loss.rare_margin=1.0"],
            "are 2 radians together; at most 1.5",
        ),
        (
            [*NETWORK, "model.centres=2"],
            "model.centres is used only with model.heads=cosine, and it is joint",
        ),
        ([*NETWORK, "model.scale=20.0"], "model.scale is used only with model.heads=cosine"),
        (["competition=digits-values", *NETWORK[1:], COSINE], "cosine is for exclusive classes"),
        (
            [*NETWORK, COSINE, "competition.metadata=[{column: age, kind: number}]"],
            "cosine has no place for competition.metadata",
        ),
        ([*PROBE, COSINE, "train.head=logistic"], "cosine is not for train.head=logistic"),
        ([*PROBE, COSINE, KNN], "model.heads cosine is not for train.head=knn"),
        ([*PROBE, KNN, "loss.name=focal"], "loss.name is not used by head=knn, which minimises nothing"),
        ([*PROBE, KNN, "train.head_seeds=3"], "train.head_seeds has no effect: head=knn"),
        ([*PROBE, "train.head_k=3"], "train.head_k is used only with train.head=knn"),
        ([*PROBE, "train.neighbours=0.5"], "a linear_probe answers by neighbours with train.head=knn"),
        (
            ["competition=digits-values", *NETWORK[1:], "train.neighbours=0.5"],
            "is for exclusive classes, and",
        ),
        ([*NETWORK, KNN], "train.head is for a head on cached features"),
        (
            [*PROBE, MANY, "decision.steps=[class_scales]"],
            "counts each pair of classes, and there are 300 classes",
        ),
        (
            [*PROBE, MANY, "ensemble.method=stacking"],
            "a coefficient for each pair of classes, and there are 300",
        ),
        ([*PROBE, MANY, "ensemble.members=[probe,gbdt]"], "grows trees for each class in each round"),
        ([*PROBE, "decision.steps=[new_class]"], "new_class needs competition.new_class"),
        ([*PROBE, "competition.new_class=whale"], "`whale` is not one of competition.attributes[0].values"),
        (
            ["competition=digits-values", *PROBE[1:], "competition.new_class=a"],
            "is for exclusive classes of one",
        ),
    ],
)
def test_what_is_wrong_is_said(words, expected):
    with pytest.raises(ConfigError) as caught:
        load(words)
    assert expected in " ".join(str(caught.value).split())
