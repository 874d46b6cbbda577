"""Malformed files of every kind, hostile names and random kills, with a fixed seed; by hand there is more."""

import random

import pytest

from benchmarks import hostile


@pytest.mark.parametrize("kind", sorted(hostile.kinds()))
def test_a_malformed_file_is_read_or_refused_in_words(kind):
    assert hostile.try_files(40, seed=7, only=kind) == []


def test_the_same_seed_makes_the_same_files():
    valid = hostile.kinds()["provenance"].valid
    made = [[hostile.mutated(valid, random.Random(f"1 {n}")) for n in range(50)] for _ in range(2)]
    assert made[0] == made[1] and len(set(made[0])) > 40


def test_what_does_not_hold_is_found(tmp_path, monkeypatch):
    def broken(path, home):
        return path.read_bytes().decode("ascii", "ignore").index("label")

    kind = hostile.Kind(b"id,label\n", "x.csv", broken)
    monkeypatch.setattr(hostile, "kinds", lambda: {**hostile_kinds, "broken": kind})
    assert any("ValueError" in line for line in hostile.try_files(40, seed=7, only="broken"))


hostile_kinds = hostile.kinds()


@pytest.mark.slow
@pytest.mark.parametrize("kind", sorted(hostile.kinds()))
def test_many_malformed_files_are_read_or_refused_in_words(kind):
    assert hostile.try_files(600, seed=11, only=kind) == []


@pytest.mark.slow
def test_hostile_names_reach_neither_terminal_nor_page_nor_shell(tmp_path):
    assert hostile.try_names(tmp_path, seed=7) == []


@pytest.mark.slow
def test_kills_at_random_moments_lose_nothing_and_leave_nothing(tmp_path):
    assert hostile.try_kills(tmp_path, 4, seed=7) == []
