"""benchmarks/techniques: what a change of a recipe is worth over sets, and when nothing can be told."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks import portfolio, techniques
from benchmarks.portfolio import Cell
from benchmarks.techniques import PLAIN, paid
from pipeline.engine.graph import check
from pipeline.engine.need import Need
from pipeline.settings.load import load
from pipeline.stages import open_session

N, GROUPS = 600, 100
Y = np.arange(N) % 3


def cell(share, seed, minutes=1.0):
    """Predictions of which this share, drawn at random, is right."""
    generator = np.random.default_rng(seed)
    answer = np.where(generator.random(N) < share, Y, (Y + 1) % 3)
    p_NC = np.full((N, 3), 0.1)
    p_NC[np.arange(N), answer] = 0.8
    return Cell(Y, p_NC, minutes, np.arange(N) % GROUPS)


@pytest.fixture
def cells():
    """Two sets on which one change helps, one harms, one does nothing, and one has a cell on one set only."""
    found = {}
    for at, name in enumerate(("a", "b")):
        found |= {
            (name, PLAIN): cell(0.6, 10 * at),
            (name, "helps"): cell(0.75, 10 * at + 1, minutes=2.0),
            (name, "harms"): cell(0.45, 10 * at + 2),
            (name, "nothing"): cell(0.6, 10 * at + 3),
        }
    return found | {("a", "one set"): cell(0.75, 9)}


def test_a_change_is_better_or_worse_only_where_the_corrected_interval_excludes_zero(cells):
    found = {one.change: one for one in paid(cells)}
    assert [one.change for one in paid(cells)][-1] == "harms"
    assert {name: one.verdict for name, one in found.items()} == {
        "helps": "better", "harms": "worse", "nothing": "can't tell", "one set": "better",
    }  # fmt: skip
    assert found["helps"].cost == pytest.approx(2.0) and found["helps"].each.keys() == {"a", "b"}
    assert found["helps"].delta == pytest.approx(np.mean(list(found["helps"].each.values())))


def test_more_changes_and_fewer_sets_widen_an_interval(cells):
    def width(own):
        (one,) = [one for one in paid(own) if one.change == "helps"]
        return one.high - one.low

    two = {key: one for key, one in cells.items() if key[1] in (PLAIN, "helps")}
    assert width(two) < width(cells)
    assert width(two) < width({key: one for key, one in two.items() if key[0] == "a"})


def test_no_change_is_found_among_many_that_do_nothing():
    """Where groups are many, any false finding is about as rare as five in a hundred."""
    false = 0
    for world in range(40):
        cells = {("a", PLAIN): cell(0.6, 1000 + world)}
        cells |= {("a", f"c{k}"): cell(0.6, 5000 + 100 * world + k) for k in range(12)}
        false += any(one.verdict != "can't tell" for one in paid(cells))
    assert false <= 6


def test_a_set_with_few_groups_is_shown_and_has_no_part_in_the_mean(cells):
    few = {("c", name): replace(cell(share, seed), group_N=np.arange(N) % 13)
           for name, share, seed in ((PLAIN, 0.5, 71), ("helps", 0.2, 72))}  # fmt: skip
    before, after = (next(one for one in paid(own) if one.change == "helps") for own in (cells, cells | few))
    assert after.delta == before.delta and after.each["c"] < -0.1
    (alone,) = paid(few)
    assert np.isnan(alone.delta) and alone.verdict == "can't tell"


def test_cells_of_other_images_are_refused(cells):
    other = cell(0.6, 3)
    mixed = cells | {("a", "helps"): replace(other, y_N=(other.y_N + 1) % 3)}
    with pytest.raises(AssertionError, match="choose another --out"):
        paid(mixed)


def test_an_unknown_set_is_refused_before_the_first_cell(tmp_path, capsys):
    with pytest.raises(SystemExit):
        techniques.main(["head", "--out", str(tmp_path), "--sets", "emoji", "trash-tail"])
    assert "--sets trash-tail" in capsys.readouterr().err and not list(tmp_path.iterdir())


@pytest.mark.parametrize("family", list(techniques.CHANGES))
def test_every_change_is_a_setting_that_a_competition_takes(family, tmp_path):
    names = [PLAIN, *techniques.CHANGES[family]]
    words = [[*techniques.words_of(family, name), *techniques.FOLDS[family]] for name in names]
    keys = []
    for own in words:
        session = open_session(
            load(["competition=emoji", *own, "runtime.mlflow=false", f"runtime.home={tmp_path}"])
        )
        need = Need("infer", session.settings)
        check([need], session.graph)
        keys.append(session.graph.key(need))
    assert len(set(keys)) == len(keys), "a change that changes nothing"


@pytest.mark.slow
def test_the_tiny_run_keeps_its_cells_and_goes_on_from_them(tmp_path, capsys, monkeypatch):
    techniques.main(["network", "--out", str(tmp_path), "--tiny"])
    said = capsys.readouterr().out
    assert "class weights" in said and "soup" in said and "EMA" not in said
    monkeypatch.setattr(portfolio, "run", lambda *arguments: pytest.fail("a cell was there already"))
    techniques.main(["network", "--out", str(tmp_path), "--tiny"])
    assert capsys.readouterr().out == said
