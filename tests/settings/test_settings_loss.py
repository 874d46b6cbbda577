"""Rules between the settings of losses: every fault told, with its path and what to do."""

import pytest

from pipeline.core.errors import ConfigError
from pipeline.settings.load import load
from pipeline.settings.loss import loss_notes

# Attribute `digit`, values 0 to 9.
DIGITS = ["competition=digits", "experiment=tiny_resnet"]
BY_ATTRIBUTE = "model.heads=attributes"
ALL = ", ".join(f'"{digit}": 1.5' for digit in range(10))


def resolved(*words):
    return load([*DIGITS, *words])


@pytest.mark.parametrize(
    "words",
    [
        ["loss.name=mylosses:poly1"],
        ["loss.name=focal", "loss.gamma=1.0", "loss.class_weights=inverse"],
        ["loss.name=ldam", "loss.class_weights=effective", "loss.beta=0.9999", "loss.defer=0.8"],
        ["loss.name=asymmetric", "loss.label_smoothing=0.1"],
        ["loss.class_weights=hand", f"loss.hand={{{ALL}}}"],
        ["loss.name=soft_f1", "loss.blend=0.5", "loss.class_weights=inverse"],
        [BY_ATTRIBUTE, "model.ordinal=[digit]", "loss.attributes={digit: {name: ordinal, share: 2.0}}"],
    ],
)
def test_what_is_right_is_accepted(words):
    resolved(*words)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["loss.name=focl"], "loss.name `focl` is not a loss; did you mean focal"),
        (["loss.name=hinge"], "choose one of cross_entropy, focal"),
        (["loss.name=ordinal"], "ordinal is for an ordered attribute"),
        (["loss.gamma=1.0"], "loss.gamma 1.0 is not used by cross_entropy, only by: focal"),
        (["loss.name=mine:f", "loss.label_smoothing=0.1"], "is not used by mine:f"),
        (["loss.name=asymmetric"], "loss.label_smoothing is 0"),
        (["loss.name=balanced_softmax", "loss.class_weights=inverse"], "corrects for class frequency itself"),
        (["loss.class_weights=hand"], "loss.hand is missing"),
        (['loss.hand={"1": 2.0}'], "loss.hand is used only with class_weights=hand"),
        (["loss.beta=0.9"], "loss.beta is used only with class_weights=effective"),
        (["loss.defer=0.5"], "loss.defer defers class weights"),
        (["loss.attributes={digit: {name: focal}}"], "needs a head per attribute"),
        (["model.ordinal=[digit]"], "model.ordinal needs a head per attribute"),
        (
            [BY_ATTRIBUTE, "model.ordinal=[digits]"],
            "names `digits`, which is not an attribute; did you mean digit",
        ),
        ([BY_ATTRIBUTE, "model.ordinal=[digit, digit]"], "names an attribute twice"),
        ([BY_ATTRIBUTE, "loss.attributes={digi: {name: focal}}"], "did you mean digit"),
        ([BY_ATTRIBUTE, "loss.attributes={digit: {name: ordinal}}"], "needs model.ordinal=[digit]"),
        ([BY_ATTRIBUTE, "loss.attributes={digit: {name: a:b}}"], "must be a loss of the registry"),
        ([BY_ATTRIBUTE, "loss.attributes={digit: {gamma: 1.0}}"], "loss.attributes.digit.gamma 1.0"),
        ([BY_ATTRIBUTE, "loss.attributes={digit: {gama: 1.0}}"], "unknown key"),
        (["loss.name=soft_f1", "loss.class_weights=inverse"], "has no effect on soft_f1"),
        ([BY_ATTRIBUTE, "loss.name=focal", "loss.attributes={digit: {}}"], "is used by no attribute"),
        ([BY_ATTRIBUTE, "loss.class_weights=hand", 'loss.hand={"1": 2.0}'], "hand is for classes"),
        (
            [BY_ATTRIBUTE, "model.ordinal=[digit]", "loss.name=focal"],
            "loss.name is used by no attribute: those of model.ordinal use the ordinal loss",
        ),
    ],
)
def test_what_is_wrong_is_told(words, expected):
    with pytest.raises(ConfigError) as caught:
        resolved(*words)
    assert expected in str(caught.value)


def test_names_by_hand_are_all_told_at_once():
    with pytest.raises(ConfigError) as caught:
        resolved("loss.class_weights=hand", 'loss.hand={"1": 2.0, "ten": 1.0}')
    assert "`ten`, which is not a class" in str(caught.value)
    assert all(f"no weight for `{digit}`" in str(caught.value) for digit in "023456789")
    own = '{digit: {class_weights: hand, hand: {"1": 2.0}}}'
    with pytest.raises(ConfigError, match="no weight for `0`"):
        resolved(BY_ATTRIBUTE, f"loss.attributes={own}")


def test_a_loss_of_the_batch_is_told_under_accumulation():
    def notes(*words):
        config = resolved(*words).config
        return loss_notes({"loss": config.loss, "train": config.train})

    assert "differs from one batch of 64" in notes("loss.name=soft_f1", "train.accumulate=2")[0]
    assert notes("loss.name=soft_f1") == notes("train.accumulate=2") == []
    own = "loss.attributes={digit: {name: soft_f1}}"
    assert notes(BY_ATTRIBUTE, own, "train.accumulate=2")


def test_the_remedy_for_a_loss_that_a_solved_head_refuses_loads_as_it_is_told():
    words = ["competition=digits", "experiment=probe_pixels", "loss.name=focal"]
    with pytest.raises(ConfigError) as caught:
        load(words)
    remedy = str(caught.value).partition("; use ")[2].splitlines()[0].split()
    assert remedy == ["train.head=linear", "train.head_c=0.01"]
    assert load([*words, *remedy]).config.loss.name == "focal"
