"""Rules of competition.submission: what no field of it can say alone, told where it was written."""

import pytest

from pipeline.core.errors import ConfigError
from pipeline.settings.load import load

DIGITS = "competition=digits"
HOST = "competition.submission"


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        ([f"{HOST}.columns={{digit: d}}"], "columns is read by format=attributes only"),
        (
            [f"{HOST}.format=attributes", f"{HOST}.columns={{digits: d}}"],
            "`digits` is no attribute; did you mean digit?",
        ),
        ([f"{HOST}.format=attributes", f"{HOST}.words={{digit: [a, b]}}"], "digit has 2 words for 10 values"),
        (
            [f"{HOST}.format=attributes", f"{HOST}.words={{digit: [a,a,a,b,c,d,e,f,g,h]}}"],
            "digit has a word twice",
        ),
        ([f"{HOST}.format=attributes", f"{HOST}.columns={{digit: id}}"], "a column twice: id, id"),
        ([f"{HOST}.command=send"], "never names {file}"),
        ([f"{HOST}.command='send {{file}} {{who}}'"], "knows {file}, {message} and {name}, not {who}"),
        ([f"{HOST}.command='send \"{{file}}'"], "cannot be read"),
        ([f"{HOST}.per_day=0"], "per_day"),
    ],
)
def test_what_the_host_asks_for_must_fit(words, fault):
    with pytest.raises(ConfigError) as error:
        load([DIGITS, *words])
    assert fault in str(error.value)


def test_how_files_are_handed_in_changes_no_result():
    from pipeline.engine.slices import config_slice

    plain = load([DIGITS])
    other = load([DIGITS, f"{HOST}.per_day=5", f"{HOST}.kaggle=pets", f"{HOST}.command='send {{file}}'"])
    path = ("competition.submission",)
    assert config_slice(plain.config, path) == config_slice(other.config, path)
    assert other.config.competition.submission.command == "send {file}"
