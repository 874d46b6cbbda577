"""benchmarks/portfolio: which recipe comes first, what is left out, and cells that are kept."""

import numpy as np
import pytest

from benchmarks import portfolio
from benchmarks.portfolio import Cell, grown

Y = np.arange(60) % 3


def cell(right, minutes, seed=0):
    """Predictions that are right on these rows, and wrong on the others."""
    answer = np.where(np.isin(np.arange(60), right), Y, (Y + 1) % 3)
    p_NC = np.full((60, 3), 0.1) + np.random.default_rng(seed).uniform(0, 0.01, (60, 3))
    p_NC[np.arange(60), answer] = 0.8
    return Cell(Y, p_NC / p_NC.sum(axis=1, keepdims=True), minutes, np.arange(60) // 3)


@pytest.fixture
def cells():
    """A quick recipe, the same as slow, one that knows other rows, and one that knows less."""
    most, other, few = range(45), range(15, 60), range(20)
    known = {
        "quick": cell(most, 1.0, 1), "slow": cell(most, 20.0, 2), "other": cell(other, 5.0, 3),
        "weak": cell(few, 2.0, 4),
    }  # fmt: skip
    return {(name, recipe): one for name in ("a", "b") for recipe, one in known.items()}


def test_the_first_member_is_the_best_a_minute_and_what_adds_nothing_is_left_out(cells):
    steps = grown(cells, ["a", "b"])
    assert [step.recipe for step in steps][:1] == ["quick"] and "weak" not in [s.recipe for s in steps]
    assert steps[0].gains.keys() == {"a", "b"} and all(step.mean > 0 for step in steps)
    best = portfolio.blended(cells, "a", [step.recipe for step in steps])
    assert best[0] >= portfolio.blended(cells, "a", ["quick"])[0] and best[1] == pytest.approx(
        sum(cells["a", step.recipe].minutes for step in steps)
    )


def test_a_recipe_without_a_cell_on_a_set_counts_on_the_others(cells):
    some = {key: one for key, one in cells.items() if key != ("a", "quick")}
    first = grown(some, ["a", "b"])[0]
    assert first.recipe == "quick" and first.gains.keys() == {"b"}


def test_a_strong_member_is_not_diluted_by_weak_ones_that_came_before_it():
    """Equal weights would score a network below itself where quick heads stand before it."""
    strong = cell(range(57), 3.0, 7)
    weak = [cell(range(12 + k), 0.1, k) for k in range(3)]
    p_NC = portfolio.blend([*weak, strong])
    alone, together = portfolio.score(Y, strong.p_NC), portfolio.score(Y, p_NC)
    assert together >= alone - 0.02
    assert portfolio.score(Y, np.mean([one.p_NC for one in [*weak, strong]], axis=0)) < alone - 0.1


def test_the_weights_of_a_blend_are_fitted_on_groups_that_they_do_not_predict():
    """A member that knows one half of the groups by heart gets its weight on the other half only."""
    half = np.flatnonzero(np.arange(60) // 3 % 2 == 0)
    knows, fair = cell(half, 1.0, 1), cell(range(0, 60, 2), 1.0, 2)
    p_NC = portfolio.blend([knows, fair])
    right_N = p_NC.argmax(axis=1) == Y
    assert right_N[half].mean() < 0.9, "the weights that saw these rows do not predict them"


@pytest.mark.slow
def test_the_tiny_run_keeps_its_cells_and_goes_on_from_them(tmp_path, capsys, monkeypatch):
    portfolio.main(["--out", str(tmp_path), "--tiny"])
    said = capsys.readouterr().out
    assert said.count("digits, ") >= 2 and "portfolio" in said and "min" in said
    monkeypatch.setattr(portfolio, "run", lambda *arguments: pytest.fail("a cell was there already"))
    portfolio.main(["--out", str(tmp_path), "--tiny"])
    assert capsys.readouterr().out == said
