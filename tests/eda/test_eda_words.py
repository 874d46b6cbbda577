"""Texts about scores are true for metrics of which lower is better, too."""

from pipeline.data import texts as data_texts
from pipeline.eda import texts


def test_a_score_that_is_too_good_is_not_called_high():
    """A leak makes a loss too low and an accuracy too high: both are too optimistic."""
    for module in (texts, data_texts):
        told = [value for value in vars(module).values() if isinstance(value, str)]
        assert not [text for text in told if "too high" in text or "too low" in text]
