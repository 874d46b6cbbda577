"""Faults of settings say what is wrong and what to do in the language of the reader."""

import json
import re

import pytest
from pydantic import ValidationError

from pipeline.core.errors import ConfigError
from pipeline.core.language import Text
from pipeline.settings.fields import in_words
from pipeline.settings.load import load
from pipeline.settings.schema import Config

ENGLISH = re.compile(r"\b[a-z]{2,} [a-z]{2,} [a-z]{2,}\b")
WRONG = (
    ["trian.epochs=3"],
    ["train.epochs"],
    ["train.epochs=0", "images.size=[1,2,3]", "runtime.mlflow=3", "train.optimizer=7"],
    ["train.epochs=1", "train.epochs=2"],
    ["train=3"],
    ["images.size=012"],
    ["loss.name=focl", "train.warmup_epochs=99"],
    ["train.schedule=step", "train.swa_start=0.5", "train.ema_decay=0.9"],
    ["resample.method=smote", "resample.on=colour"],
    ["decision.steps=[magic]", "ensemble.members=[a,a]"],
    ["infer.views=[hflip]", "crop.method=fixed"],
    ["runtime.gpus=[0]", "runtime.device=cpu"],
    ["model=nothing"],
    ["report.language=klingon"],
)


def fault(words):
    with pytest.raises(ConfigError) as caught:
        load(["competition=digits", *words])
    return caught.value


@pytest.mark.parametrize("words", WRONG, ids=lambda words: words[0])
def test_a_fault_is_told_in_korean_line_by_line(words):
    error = fault(words)
    english, korean = error.said("en").splitlines(), error.said("ko").splitlines()
    assert len(english) == len(korean) and english[0] == str(error.headline)
    assert [line for line in korean if ENGLISH.search(line)] == []
    hangul = [bool(re.search("[가-힣]", line)) for line in korean]
    assert all(hangul), korean


@pytest.mark.parametrize(
    "section, value",
    [
        ("train", {"epochs": 0}),
        ("train", {"epochs": "three"}),
        ("train", {"ema_decay": 1}),
        ("train", {"clip_norm": -1}),
        ("train", {"folds": 3}),
        ("train", 3),
        ("images", {"size": [64, 64, 64]}),
        ("runtime", {"mlflow": "yes"}),
        ("competition", {"attributes": [{}]}),
    ],
)
def test_what_a_field_does_not_accept_is_a_text_and_says_what_pydantic_says(section, value):
    model = Config.model_fields[section].annotation
    with pytest.raises(ValidationError) as caught:
        model.model_validate_json(json.dumps(value))
    for error in caught.value.errors():
        assert in_words(error) == error["msg"], "English stays as it is"
        assert isinstance(in_words(error), Text), f"no translation of {error['type']}"


def test_another_message_of_pydantic_stays_as_it_is():
    assert in_words({"type": "greater_than", "msg": "Too small", "ctx": {"gt": 3}}) == "Too small"
    assert in_words({"type": "no_such_type", "msg": "Odd"}) == "Odd"
