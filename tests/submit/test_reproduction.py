"""The verdict on a rebuilt submission: bytes on the same profile, a stated tolerance on another."""

from types import SimpleNamespace

import numpy as np
import pytest

from pipeline.core.predictions import Prediction, Probabilities
from pipeline.settings.load import load
from pipeline.settings.runtime import ReproduceSettings
from pipeline.submit import reproduce

TOLERANCE = ReproduceSettings(agreement=0.9, max_dp=0.05)


def prediction(ids, p_NC, shares=True):
    p = Probabilities(np.array(ids), ("a", "b"), np.array(p_NC, np.float32), "p")
    return Prediction(p.ids_N, p.labels(), p if shares else None)


def test_labels_and_probabilities_are_joined_by_id():
    old = prediction(["1", "2"], [[0.9, 0.1], [0.2, 0.8]])
    new = prediction(["2", "1"], [[0.6, 0.4], [0.87, 0.13]])
    found = reproduce.likeness_of(old, new)
    assert (found.equal, found.agreement) == (False, 0.5)
    assert found.max_dp == pytest.approx(0.4, abs=1e-6)
    assert (
        reproduce.likeness_of(prediction(["1", "2"], [[0.9, 0.1], [0.2, 0.8]], shares=False), new).max_dp
        is None
    )


@pytest.mark.parametrize(
    ("found", "same", "word"),
    [
        (reproduce.Likeness(True), True, "reproduced"),
        (reproduce.Likeness(True), False, "reproduced"),
        (reproduce.Likeness(False, 1.0, 1e-7), True, "NOT reproduced"),
        (reproduce.Likeness(False, 0.9, 0.05), False, "within tolerance"),
        (reproduce.Likeness(False, 0.89, 0.01), False, "NOT reproduced"),
        (reproduce.Likeness(False, 1.0, 0.06), False, "NOT reproduced"),
        (reproduce.Likeness(False, 0.95, None), False, "within tolerance"),
        (reproduce.Likeness(False), False, "NOT reproduced"),
    ],
)
def test_verdicts(found, same, word):
    told, why = reproduce.verdict(found, same, TOLERANCE)
    assert told == word
    if not found.equal and not same:
        assert "at least 90%" in why and "at most 0.05" in why, "the tolerance is stated"


def test_the_next_command_has_the_recorded_words_and_the_places_of_today():
    values = [["competition.demo.limit", 200], ["competition.root", "/old"], ["images.size", 96]]
    known = {"request": {"competition": "digits", "experiment": ["lite0"], "values": values}}
    session = SimpleNamespace(settings=load(["competition.root=/new"]))
    words = reproduce._competition_words(session, known)
    assert words == ("competition=digits", "competition.demo.limit=200", "competition.root=/new")
