"""Suggestions for the words of a whole table are made for those that an error shows, and in seconds."""

import time

import numpy as np
import pytest

from pipeline.core import errors
from pipeline.core.errors import Suggestions
from pipeline.core.samples import Attribute, LabelSpace
from pipeline.core.tables import Table
from pipeline.data import host_format
from pipeline.data.labels import _Checker
from pipeline.settings.competition import AttributeSettings
from pipeline.settings.submission import SubmissionSettings

MANY = 30_000
SECONDS = 20.0  # one suggestion for each would take many minutes


def names(prefix, count):
    return [f"{prefix}_{n:05d}" for n in range(count)]


def test_words_like_known_ones_get_a_suggestion():
    near = Suggestions(["cat", "dog"])
    assert near.of("cats") == "did you mean cat?" and near.of("zebra") == ""


def test_no_more_words_are_compared_than_an_error_shows(monkeypatch):
    asked = []
    monkeypatch.setattr(errors, "nearest", lambda word, known, count: asked.append(word) or "near")
    near = Suggestions(["cat"])
    words = [f"w{n}" for n in range(1000)] * 2
    made = [near.of(word) for word in words]
    assert len(asked) == errors.SHOWN_FAULTS and made.count("near") == 2 * errors.SHOWN_FAULTS


def test_many_unknown_labels_of_many_classes_are_told_in_seconds():
    checker = _Checker(AttributeSettings(name="kind", column="kind", values=names("class", 2000)))
    began = time.monotonic()
    faults = [checker.fault(value)[1] for value in names("klass", MANY)]
    assert time.monotonic() - began < SECONDS
    assert "did you mean class_0" in faults[0] and all("is not one of" in fault for fault in faults)


@pytest.mark.slow
def test_many_unknown_answers_of_a_submission_are_told_in_seconds():
    classes = names("class", 2000)
    space = LabelSpace.product([Attribute("kind", tuple(classes))])
    ids, answers = names("id", MANY), names("klass", MANY)
    rows = tuple(zip(ids, answers, strict=True))
    table = Table("theirs.csv", ("id", "label"), rows, tuple(range(2, MANY + 2)))
    for form in ("class_name", "attributes"):
        began = time.monotonic()
        settings = SubmissionSettings(format=form)
        found = host_format.parse(table, ids, ["label"], space, settings)
        assert time.monotonic() - began < SECONDS
        assert len(found.faults) == MANY and "did you mean" in found.faults[0]
        assert isinstance(found.answers, np.ndarray)
