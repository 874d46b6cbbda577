"""The ledger: one line per submission, no lost scores, faults reported by line, safe in parallel."""

import subprocess
import sys
from dataclasses import replace

import pytest

from pipeline.core.errors import DataError, StorageError
from pipeline.submit import ledger
from pipeline.submit.ledger import Entry

SCORED = Entry("probe", "2026-11-22T09:00:00+00:00", "member", "mask", metric="macro_f1")
PROBE = replace(SCORED, experiment="probe", key="aaaabbbbcccc", oof=0.61, oof_low=0.6, oof_high=0.62)
LITE0 = replace(SCORED, name="lite0", created="2026-11-22T08:00:00+00:00", experiment="lite0")
LITE0 = replace(LITE0, key="ddddeeeeffff", oof=0.67)
BLEND = Entry("blend", "2026-11-22T09:00:00+00:00", "blend", note='가, "b"')


@pytest.fixture
def path(tmp_path):
    return tmp_path / "submissions" / "leaderboard.csv"


def best(entries, **asked):
    choice = ledger.choose(entries, **asked)
    return choice and choice.entry


def fill(path, *entries):
    for entry in entries:
        ledger.add(path, entry)


def test_no_ledger_yet_is_an_empty_one(path):
    assert ledger.read(path) == ()


def test_added_entries_are_read_back_by_time_then_name(path):
    fill(path, PROBE, LITE0, BLEND)
    assert ledger.read(path) == (LITE0, BLEND, PROBE)
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[0] == (
        "name,created,kind,competition,experiment,key,metric,oof,oof_low,oof_high,public,private,looks,note"
    )
    assert lines[1] == "lite0,2026-11-22T08:00:00+00:00,member,mask,lite0,ddddeeeeffff,macro_f1,0.67,,,,,0,"
    assert len(lines) == 4


def test_adding_twice_changes_no_byte(path):
    fill(path, PROBE, LITE0)
    before, when = path.read_bytes(), path.stat().st_mtime_ns
    fill(path, PROBE, LITE0)
    assert path.read_bytes() == before and path.stat().st_mtime_ns == when


def test_adding_the_same_result_again_keeps_scores_date_and_note(path):
    fill(path, replace(PROBE, note="first try"))
    ledger.record_score(path, "probe", public=0.7, private=0.6, looked=True)
    ledger.add(path, replace(PROBE, created="2027-01-01T00:00:00+00:00", oof=0.63))
    (entry,) = ledger.read(path)
    assert (entry.public, entry.private, entry.looks) == (0.7, 0.6, 1)
    assert (entry.created, entry.oof, entry.note) == (PROBE.created, 0.63, "first try")


def test_another_result_of_that_name_starts_without_scores_and_the_old_line_stays(path):
    fill(path, PROBE)
    ledger.record_score(path, "probe", public=0.7)
    newer = replace(PROBE, key="99998888", created="2026-11-23T00:00:00+00:00")
    fill(path, newer, newer)
    old, new = ledger.read(path)
    assert (old.name, old.public, old.former) == ("probe@aaaabbbb", 0.7, True)
    assert (new.name, new.public, new.former) == ("probe", None, False)
    assert best((old, new)) == new  # the old file is gone
    fill(path, replace(newer, key="7777"))
    assert [e.name for e in ledger.read(path)] == ["probe@aaaabbbb", "probe"]


def test_scores_are_recorded_one_at_a_time_and_looks_counted(path):
    fill(path, PROBE, LITE0)
    ledger.record_score(path, "probe", public=0.5)
    ledger.record_score(path, "probe", private=0.4, looked=True)
    ledger.record_score(path, "probe", looked=True)
    lite0, probe = ledger.read(path)
    assert (probe.public, probe.private, probe.looks) == (0.5, 0.4, 2)
    assert lite0 == LITE0


def test_a_score_for_an_unknown_name_suggests_the_nearest(path):
    fill(path, PROBE)
    with pytest.raises(DataError, match=r"no submission 'prob'[\s\S]*did you mean probe"):
        ledger.record_score(path, "prob", public=1)
    with pytest.raises(DataError, match="the ledger has: probe"):
        ledger.record_score(path, "zz", public=1)


# Best


def test_best_takes_public_scores_where_the_leader_has_one_and_never_mixes_kinds():
    lite0, blend = replace(LITE0, public=0.5), replace(BLEND, public=0.6)
    entries = (PROBE, lite0, blend)
    assert best(entries) == blend, "the best OOF score is that of lite0, and its public score is beaten"
    assert best(entries, excluding="blend") == lite0
    assert best((replace(PROBE, oof=0.9), lite0, blend)).name == "probe", "no public score in common"
    assert best((PROBE, LITE0)) == LITE0
    assert best((PROBE, LITE0), excluding="lite0") == PROBE
    assert best((lite0, blend), higher_is_better=False) == lite0


def test_best_of_equals_is_the_earliest_and_of_nothing_none():
    assert best((replace(LITE0, oof=0.61), PROBE)).name == "lite0"
    assert best(()) is None
    assert best((BLEND,)) is None
    assert best((PROBE,), excluding="probe") is None


def test_a_score_of_zero_is_a_score():
    assert best((replace(PROBE, oof=0.0), BLEND)).name == "probe"
    assert best((replace(PROBE, oof=None, public=0.0), BLEND)).name == "probe"
    assert best((replace(PROBE, public=0.1), replace(LITE0, public=0.0))).name == "probe"


# Damage and hands


def test_columns_and_spreadsheet_habits_of_people_survive(path):
    fill(path, PROBE)
    text = path.read_text(encoding="utf-8").splitlines()
    text = [text[0] + ",who", text[1] + ",민수"]
    path.write_text("\r\n".join(text).replace(",", ";"), encoding="utf-8-sig", newline="")
    fill(path, LITE0)
    ledger.record_score(path, "probe", public=0.7)
    fill(path, PROBE)
    lite0, probe = ledger.read(path)
    assert probe == replace(PROBE, public=0.7, extra=(("who", "민수"),))
    assert lite0.extra == (("who", ""),)


def test_damage_is_reported_at_once_by_line_and_not_changed(path):
    fill(path, PROBE, LITE0)
    lines = path.read_text(encoding="utf-8").splitlines()
    lines[1] = lines[1].replace("0.67", "0,67?").replace("0,67?", "abc").replace("member", "memb")
    lines[2] = lines[2].replace("0.61", "nan").replace(",0,", ",-1,").replace("2026-11-22T09", "soon")
    lines.append(lines[1].replace("lite0,2026", "probe,2026"))
    path.write_text("\n".join(lines), encoding="utf-8")
    before = path.read_bytes()
    with pytest.raises(DataError, match=r"leaderboard\.csv: 8 faults") as error:
        ledger.add(path, BLEND)
    text = "\n".join(error.value.faults)
    for fault in (
        "line 2: oof 'abc' is not a number",
        "line 2: kind 'memb' is not one of member, blend, refit, outside",
        "line 3: oof 'nan' is not a number",
        "line 3: looks '-1' is not a count",
        "line 3: created 'soon:00:00+00:00' is not a date",
        "line 4: name 'probe' again, first on line 3",
    ):
        assert fault in text
    assert path.read_bytes() == before


def test_missing_columns_and_merge_conflicts_are_reported(path):
    path.parent.mkdir()
    path.write_text("name,created\na,b\n", encoding="utf-8")
    with pytest.raises(DataError, match="12 columns missing"):
        ledger.read(path)
    path.unlink()
    fill(path, PROBE)
    path.write_text(path.read_text(encoding="utf-8") + "<<<<<<< HEAD\n", encoding="utf-8")
    with pytest.raises(DataError, match="line 3: it has 1 cell"):
        ledger.read(path)


def test_a_note_of_two_lines_stays_one_line(path):
    fill(path, replace(BLEND, note="one\ntwo"))
    assert len(path.read_text(encoding="utf-8").splitlines()) == 2
    assert ledger.read(path)[0].note == "one two"


def test_scores_that_are_not_numbers_are_assertion_errors(path):
    with pytest.raises(AssertionError, match="nan is not a score"):
        ledger.add(path, replace(PROBE, oof=float("nan")))
    with pytest.raises(AssertionError, match="kind"):
        ledger.add(path, replace(PROBE, kind="other"))
    assert not path.exists()


def test_processes_at_once_lose_no_line(path):
    code = (
        "import sys; from pathlib import Path; from pipeline.submit.ledger import *\n"
        "for n in range(15): add(Path(sys.argv[1]), Entry(f'{sys.argv[2]}{n}', '2026-11-22', 'member'))"
    )
    running = [subprocess.Popen([sys.executable, "-c", code, str(path), w]) for w in "abc"]
    assert [p.wait() for p in running] == [0, 0, 0]
    assert len(ledger.read(path)) == 45


def test_a_locked_ledger_is_reported(path, monkeypatch):
    fill(path, PROBE)
    monkeypatch.setattr(ledger, "LOCK_SECONDS", 0.1)
    with ledger.locked(path, 0.1, "held"), pytest.raises(StorageError, match="another process"):
        # A second lock object, as another process would make.
        ledger.add(path, LITE0)
    fill(path, LITE0)
    assert len(ledger.read(path)) == 2


def scored(name, oof, public, **more):
    return replace(SCORED, name=name, key=name, oof=oof, public=public, **more)


def within(width):
    return lambda one, other: width


def test_within_the_noise_oof_decides_and_it_says_so():
    high, sound = scored("high", 0.60, 0.72), scored("sound", 0.65, 0.71)
    found = ledger.choose((high, sound), reach=within(0.02))
    assert found.entry == sound and "OOF score decides" in found.why and "high" in found.why
    beyond = ledger.choose((high, sound), reach=within(0.005))
    assert beyond.entry == high and "more than noise" in beyond.why
    assert "by OOF scores alone, sound would be the best" in beyond.why


def test_a_row_of_another_kind_of_score_never_competes():
    """A single public score says nothing about submissions that have none, however much luck there is."""
    leader, public = scored("leader", 0.99, None), scored("public", 0.5, 0.6)
    for luck in (0.0, 9.0):
        found = ledger.choose((leader, public), reach=within(luck))
        assert found.entry == leader and "noise" not in found.why
        assert "no public score to compare with that of public" in found.why
    outside = scored("outside", None, 0.7, kind="outside")
    found = ledger.choose((outside, public), reach=within(9.0))
    assert found.entry == outside and "no OOF score to compare" in found.why


def test_the_only_submission_with_a_public_score_is_not_said_to_beat_others_by_it():
    only, other = scored("only", 0.7, 0.9), scored("other", 0.6, None)
    found = ledger.choose((other, only), reach=within(0.0))
    assert (
        found.entry == only
        and found.why == "its OOF score is the best; no other submission has a public score"
    )


def test_scores_on_other_folds_are_not_compared_and_it_says_so_where_only_those_exist():
    leaky, sound = scored("leaky", 0.9, None), scored("sound", 0.6, None)
    folds = {"leaky": "data/d folds/old", "sound": "data/d folds/new"}
    assert ledger.choose((leaky, sound), scored_on=folds, asked="data/d folds/new").entry == sound
    found = ledger.choose((leaky, sound), scored_on=folds, asked="data/d folds/third")
    assert found.entry == sound and "other data or folds" in found.why


def test_losses_and_ties_within_noise():
    one, two = scored("one", 0.40, 0.50), scored("two", 0.39, 0.51)
    assert ledger.choose((one, two), higher_is_better=False, reach=within(0.02)).entry == two
    assert ledger.choose((one, two), higher_is_better=False, reach=within(0.0)).entry == one
    equal = (scored("first", 0.5, 0.6), scored("later", 0.5, 0.6))
    assert ledger.choose(equal, reach=within(0.0)).entry.name == "first"


def test_a_pin_wins_and_is_kept_moved_and_removed(path):
    fill(path, PROBE, LITE0)
    ledger.record_score(path, "lite0", public=0.9)
    ledger.pin(path, "probe", "mask")
    entries = ledger.read(path)
    found = ledger.choose(entries)
    assert found.entry.name == "probe" and "pinned" in found.why
    assert ledger.choose(entries, excluding="probe").entry.name == "lite0"
    fill(path, PROBE)
    assert best(ledger.read(path)).name == "probe", "writing it anew keeps the mark"
    ledger.pin(path, "lite0", "mask")
    assert [e.pinned for e in ledger.read(path)] == [True, False]
    ledger.pin(path, None, "mask")
    assert not any(e.pinned for e in ledger.read(path))
    with pytest.raises(DataError, match="did you mean probe"):
        ledger.pin(path, "prob", "mask")
    with pytest.raises(DataError, match="no submission 'probe' of other"):
        ledger.pin(path, "probe", "other")


def test_a_former_result_loses_its_pin(path):
    fill(path, PROBE)
    ledger.record_score(path, "probe", public=0.7)
    ledger.pin(path, "probe", "mask")
    fill(path, replace(PROBE, key="99998888"))
    assert not any(e.pinned for e in ledger.read(path))


def test_two_pins_and_invalid_words_are_reported_by_line(path):
    fill(path, PROBE, LITE0, replace(SCORED, name="other", competition="pets"))
    for name, competition in (("probe", "mask"), ("other", "pets")):
        ledger.pin(path, name, competition)
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    path.write_text("\n".join(line + "pinned" if line.startswith("lite0") else line for line in lines))
    with pytest.raises(DataError) as caught:
        ledger.read(path)
    assert caught.value.faults == ("line 4: best again for mask, first on line 2",)
    path.write_text(text.replace("pinned", "yes"))
    with pytest.raises(DataError, match="neither empty nor 'pinned'"):
        ledger.read(path)
