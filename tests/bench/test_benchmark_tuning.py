"""`benchmarks/tuning.py`: searches by table, and who is called better."""

from benchmarks import tuning
from pipeline.core.search_space import Dimension, points
from pipeline.tune.space import Search, SearchSpace


def test_a_search_of_a_table_starts_at_the_default_and_finds_what_is_best_seen():
    dimensions = tuple(Dimension(name, "int", 0, 5) for name in "ab")
    default = {"a": 0, "b": 0}
    every = [default, *(p for p in points(dimensions) if p != default)]
    table = [tuning.Scored(p, p["a"] + p["b"] / 10, -p["a"]) for p in every]
    search = Search("none", SearchSpace(space={"a": {"type": "subset"}}), dimensions, {})
    assert tuning.drawn(search, table, "random", 0, 1) == table[0]
    found = [tuning.drawn(search, table, sampler, 0, 30) for sampler in tuning.SAMPLERS]
    assert all(f.seen >= 4 and f.unseen == -f.point["a"] for f in found)
    assert tuning.drawn(search, table, "tpe", 3, 12) == tuning.drawn(search, table, "tpe", 3, 12)


def test_a_difference_over_seeds_is_told_only_beyond_its_interval():
    assert tuning.difference([0.5, 0.6, 0.4], [0.5, 0.5, 0.5]).endswith("can't tell")
    assert tuning.difference([0.6, 0.61, 0.59], [0.5, 0.5, 0.5]).endswith("better")
    assert tuning.difference([0.5, 0.5, 0.5], [0.6, 0.61, 0.59]).endswith("worse")


def test_its_spaces_are_finite_and_known_to_the_schema(tmp_path):
    for stage, text in tuning.SPACES.items():
        words = tuning.words_of(stage, tmp_path / "weights.pth")
        made = tuning.bench_of(tmp_path / "home", stage, words, text)
        assert 5 < len(list(points(made.search.dimensions))) < 100
