from dataclasses import replace

import numpy as np
import pytest
from analyze_cases import SPACE, case, probabilities
from section_world import section_of
from test_explore import Tags

from pipeline.core.predictions import Probabilities
from pipeline.errors.diff.mistakes import find_mistakes
from pipeline.errors.diff.truth import TruthInputs, difference, section, sentence

MADE = case(240, 8)
NEW, OLD = (probabilities(MADE.train.ids_N, MADE.train.labels, seed) for seed in (3, 4))


def inputs(new: Probabilities = NEW, old: Probabilities | None = OLD, limit: int = 400) -> TruthInputs:
    return TruthInputs(new, old, MADE.train, find_mistakes(new, MADE.train), 0, limit)


def test_counts_are_those_of_the_images_joined_by_id():
    order = np.random.default_rng(0).permutation(len(OLD))
    found, ids, _, _ = difference(MADE.train, NEW, OLD.take(OLD.ids_N[order][:200]), 0)
    y = MADE.train.take(ids).labels
    new, old = NEW.take(ids).labels() == y, OLD.take(ids).labels() == y
    assert len(ids) == 200
    assert found.counts == {
        "fixed": (new & ~old).sum(),
        "broken": (~new & old).sum(),
        "both": (~new & ~old).sum(),
        "right": (new & old).sum(),
    }
    row = found.table.query("part == 'class' and value == 'all'").iloc[0]
    assert (row["fixed"], row["broken"]) == (found.counts["fixed"], found.counts["broken"])
    assert row["change"] == pytest.approx(new.mean() - old.mean())
    by_value = found.table.query("part == 'parity' and value != 'all'")
    assert by_value["images"].sum() == 200 and set(found.table["part"]) == {"class", "size", "parity"}


def test_equal_runs_cannot_be_told_apart_and_a_broken_attribute_is_found():
    found, *_ = difference(MADE.train, NEW, OLD, 0)
    assert set(found.table["conclusion"]) == {"can't tell"} and "can't tell" in sentence(found)
    # The new run takes every odd digit for an even one.
    even = np.array([SPACE.classes.index(c.replace("홀수", "even & round")) for c in SPACE.classes])
    p = np.full((len(OLD), 4), 0.02)
    p[np.arange(len(OLD)), even[OLD.labels()]] = 0.94
    broken, *_ = difference(MADE.train, Probabilities(OLD.ids_N, SPACE.classes, p), OLD, 0)
    worse = broken.table.query("conclusion == 'worse'")
    assert {"홀수", "all"} <= set(worse.query("part == 'parity'")["value"])
    assert (worse["high"] < 0).all() and "fewer images are right" in sentence(broken)


def test_one_group_tells_nothing():
    one = replace(MADE.train, groups_N=["g"] * len(MADE.train))
    found, *_ = difference(one, NEW, OLD, 0)
    assert set(found.table["conclusion"]) == {"can't tell"}


def test_every_confused_cell_has_a_card_and_hostile_names_are_text():
    made = section(inputs())
    cards = made.values["cards"]
    errors = find_mistakes(NEW, MADE.train).confusion["class"]
    seen = {(card.true, card.new) for card in cards if card.kind in ("broken", "both")}
    assert seen == {(i, k) for i in range(4) for k in range(4) if i != k and errors[i, k]}
    few = section(inputs(limit=12)).values["cards"]
    assert len(few) == 12 and len({(c.kind, c.true, c.new) for c in few}) == 12
    assert all(card.kind == "fixed" for card in cards if card.true == card.new)


def test_without_the_other_side_only_errors_are_shown():
    made = section(inputs(old=None))
    assert {card.kind for card in made.values["cards"]} == {"wrong"} and made.values["difference"] is None
    assert len(made.values["cards"]) == find_mistakes(NEW, MADE.train).n_wrong


def test_the_page_shows_it_as_text():
    shown = section_of(section(inputs()), MADE)
    tags = Tags(shown).found
    assert not {"img", "u", "b-"} & {tag for tag, _ in tags}
    assert not [name for _, attrs in tags for name in attrs if name.startswith("on")]
    assert "fixed: only the new one is right" in shown and "images fixed" in shown


def test_many_errors_are_cut_to_the_surest_of_every_cell_and_the_page_says_so(monkeypatch):
    monkeypatch.setattr("pipeline.errors.diff.truth.MOST_CARDS", 30)
    made = section(inputs())
    cells = {(c.kind, c.true, c.new) for c in made.values["cards"]}
    everything = section(replace(inputs(), limit=400)).values
    assert len(made.values["cards"]) == 30 < everything["erred"] and len(cells) > 15
    shown = section_of(made, MADE)
    assert (
        f"The most confident images of every kind and matrix cell are shown: 30 of {made.values['erred']}."
        in shown
    )
    assert "the conclusion is about macro F1" in shown
