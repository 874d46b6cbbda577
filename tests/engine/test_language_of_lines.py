"""Log lines, the live line, tables and recorded comparisons are in the language of the reader."""

import logging
import re

import pytest

from pipeline.core import columns, terminal
from pipeline.core.errors import UserError
from pipeline.core.language import _, joined, recalled, say
from pipeline.core.predictions import ONE_SEED, Comparison, Interval, cautioned, compared
from pipeline.core.statistics import few_groups_note
from pipeline.engine.progress import Item, Progress
from pipeline.submit import texts
from pipeline.submit.ranking import table
from pipeline.train import texts as train_texts

HINT = _("did you mean {words}?")


def record(message, *arguments):
    return logging.LogRecord("x", logging.WARNING, "f.py", 1, message, arguments, None)


def test_a_log_line_that_is_a_text_is_said_in_the_language_of_the_command():
    formatter = terminal.Formatter("%(message)s")
    text = HINT.format(words="100 %s")
    assert formatter.format(record(text)) == "did you mean 100 %s?"
    formatter.language = "ko"
    kept = record(text)
    assert formatter.format(kept) == "혹시 100 %s를 뜻하셨나요?" and kept.msg is text
    assert formatter.format(record("%s is %d", "a", 3)) == "a is 3"


def test_the_command_says_its_language_to_the_log_lines(monkeypatch):
    root = logging.getLogger()
    handler = logging.StreamHandler()
    handler.setFormatter(terminal.Formatter("%(message)s"))
    monkeypatch.setattr(root, "handlers", [handler])
    before = root.level
    try:
        terminal.listen("ERROR", "ko")
        assert root.level == logging.ERROR and handler.formatter.language == "ko"
    finally:
        root.setLevel(before)
    assert terminal.Formatter.language == "en", "another command is not told"


@pytest.mark.parametrize("language, told", [("en", "train: 0 of 1 done"), ("ko", "train: 1개 중 0개 완료")])
def test_the_live_line_is_in_the_language_of_the_command(language, told, tmp_path):
    progress = Progress(tmp_path, lambda text: None, language)
    progress.command = "train"
    progress.plan(Item("fold/1", "fold", "fold 0"))
    assert progress.live_line().startswith(told)


@pytest.mark.parametrize("note", [few_groups_note(37), joined("; ", (few_groups_note(1), ONE_SEED))])
def test_the_note_of_a_recorded_comparison_is_said_again_with_it(note):
    one = Comparison(0.25, -0.5, 0.75, 0.9, 37, "can't tell", note)
    again = compared(str(one))
    assert again == str(one) and say(again, "ko") == say(one.in_words, "ko")
    assert not re.search("[a-z]{3}", say(again, "ko")), "one language"
    assert cautioned(str(note)) == note and say(cautioned(str(note)), "ko") == say(note, "ko")


def test_the_note_of_a_score_is_in_the_language_of_the_reader():
    score = Interval(0.5, 0.4, 0.6, 1, few_groups_note(1))
    assert str(score) == "0.5000 [0.4000, 0.6000] (1 group: few to resample, so the true interval is wider)"
    told = say(train_texts.OOF_SCORE.format(metric="macro_f1", score=score), "ko")
    assert "0.5000 [0.4000, 0.6000](" in told and "wider" not in told


def test_a_note_that_was_recorded_in_earlier_words_is_said_in_those_of_today():
    assert cautioned("252 groups: interval too narrow") == few_groups_note(252)


def test_a_text_that_was_kept_is_found_among_its_templates():
    note, blend = _("scored {score:.4f} (infer {key})"), _("blends {members}")
    kept = recalled("blends a, b", note, blend)
    assert kept == "blends a, b" and kept.template == blend and kept.values == {"members": "a, b"}
    scored = recalled(str(note.format(score=0.25, key="a1")), blend, note)
    assert scored == "scored 0.2500 (infer a1)" and scored.values == {"score": 0.25, "key": "a1"}
    assert type(recalled("blend a", note, blend)) is str, "nothing that is known"


@pytest.mark.parametrize("verdict", ["better", "worse", "can't tell"])
def test_a_comparison_that_was_recorded_can_be_said_again(verdict):
    told = str(Comparison(0.25, -0.5, 0.75, 0.9, 40, verdict))
    again = compared(f"{told}; and more")
    assert again == f"{told}; and more"
    assert (
        say(again, "ko") == f"{say(Comparison(0.25, -0.5, 0.75, 0.9, 40, verdict).in_words, 'ko')}; and more"
    )
    assert verdict not in say(again, "ko") and compared("no comparison") == "no comparison"


def test_columns_of_a_table_stay_below_each_other_where_letters_are_wide():
    assert columns.padded("key", 5) == "key  " and columns.padded("key", -5) == "  key"
    assert columns.padded("키", 5) == "키   " and columns.padded("재사용", -8) == "  재사용"
    assert columns.padded("too long", 3) == "too long"


def test_the_head_of_the_runs_is_in_the_language_of_the_reader(tmp_path, monkeypatch):
    from pipeline.submit import ranking

    monkeypatch.setattr(ranking, "_runs", lambda store, competition: [])
    empty = table(None, "digits", "ko")
    assert [say(line, "ko") for line in empty] == ["digits에 완료된 실행이 아직 없습니다"]
    assert [say(word, "ko") for word in texts.RUNS_HEAD][:3] == ["단계", "실험", "키"]


def test_an_error_of_several_is_one_line_in_any_language():
    error = UserError(HINT.format(words="a"), [HINT.format(words="b")], "c")
    assert str(error) == "did you mean a?\n  - did you mean b?\n  → c"
    assert str(error.in_line()) == "did you mean a?   - did you mean b?   → c"
    assert say(error.in_line(), "ko") == "혹시 a를 뜻하셨나요?   - 혹시 b를 뜻하셨나요?   → 해결 방법: c"
