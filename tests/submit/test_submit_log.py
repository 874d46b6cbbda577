"""The ledger of submits: a line each, days of UTC, one hand at a time."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from pipeline.core.errors import DataError, StorageError
from pipeline.submit import submit_log

NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)


def submit(time, name="a", competition="pets", status=submit_log.ACCEPTED):
    return submit_log.Submit(time, competition, name, "0f", status, "five members,\n\ttwo views")


def test_lines_are_kept_in_order_of_time_and_messages_on_one_line(tmp_path):
    path = tmp_path / "submits.csv"
    assert submit_log.read(path) == ()
    submit_log.add(path, submit("2026-11-22T09:30:00+00:00", "b"))
    submit_log.add(path, submit("2026-11-21T09:30:00+00:00", "a"))
    assert [s.name for s in submit_log.read(path)] == ["a", "b"]
    assert path.read_text(encoding="utf-8").splitlines()[1].endswith('"five members, two views"')


def test_a_day_is_one_of_utc_whatever_zone_a_time_was_noted_in(tmp_path):
    known = [
        submit("2026-11-22T00:00:00+00:00", "first minute"),
        submit("2026-11-22T08:59:00+09:00", "still yesterday in UTC"),
        submit("2026-11-23T08:59:00+09:00", "today in UTC, tomorrow in Seoul"),
        submit("2026-11-22T01:00:00+00:00", "theirs", competition="cars"),
        submit("2026-11-22T02:00:00+00:00", "stopped", status=submit_log.UNKNOWN),
    ]
    found = [s.name for s in submit_log.of_day(known, "pets", NOW)]
    assert found == ["first minute", "today in UTC, tomorrow in Seoul", "stopped"]
    seoul = NOW.astimezone(timezone(timedelta(hours=9)))
    assert submit_log.of_day(known, "pets", seoul) == submit_log.of_day(known, "pets", NOW)
    assert submit_log.until_next_day(seoul) == timedelta(hours=14, minutes=30)


def test_what_cannot_be_counted_is_named(tmp_path):
    path = tmp_path / "submits.csv"
    path.write_text(
        "time,competition,name,sha256,status,message\nyesterday,pets,a,0f,accepted,\n"
        "2026-11-22T09:30:00,pets,b,0f,maybe,\n",
        encoding="utf-8",
    )
    with pytest.raises(DataError) as error:
        submit_log.read(path)
    assert [f.split(" is ")[0] for f in error.value.faults] == [
        "line 2: time 'yesterday'",
        "line 3: status 'maybe'",
    ]
    path.write_text("time,name\n", encoding="utf-8")
    with pytest.raises(DataError, match="4 columns missing"):
        submit_log.read(path)


def test_two_do_not_hand_in_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(submit_log, "LOCK_SECONDS", 0.1)
    path = tmp_path / "submissions" / "submits.csv"
    with (
        submit_log.locked(path),
        pytest.raises(StorageError, match="another `make submit`"),
        submit_log.locked(path),
    ):
        pass
    with submit_log.locked(path):
        submit_log.add(path, submit("2026-11-22T09:30:00+00:00"))
