"""A setting that does not exist: what may have been meant is said with its whole path, once a setting."""

import pytest

from pipeline.core.errors import ConfigError
from pipeline.settings.hints import ELSEWHERE
from pipeline.settings.load import load
from pipeline.settings.schema import Config


def told(*words):
    with pytest.raises(ConfigError) as caught:
        load(["competition=digits", "experiment=debug", *words])
    return list(caught.value.faults)


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("lr=0.1", "train.lr"),
        ("epochs=4", "train.epochs"),
        ("optimizer.lr=0.1", "train.lr"),
        ("train.optimizer.lr=0.1", "train.lr"),
        ("image.size=64", "images.size"),
        ("train.learning_rate=0.1", "train.lr"),
        ("img_size=64", "images.size"),
        ("loss.label_smooth=0.1", "label_smoothing"),
    ],
)
def test_what_was_meant_is_named_with_its_path(word, meant):
    (fault,) = told(word)
    assert f"did you mean {meant}" in fault


def test_the_names_of_other_tools_lead_to_settings_that_exist():
    for path in ELSEWHERE.values():
        section, _, name = path.partition(".")
        assert name in Config.model_fields[section].annotation.model_fields, path


def test_a_value_that_fits_none_of_several_types_is_one_fault():
    (fault,) = told("train.head_c=foo")
    assert "a valid number, or Input should be 'auto'; got \"foo\"" in fault
