"""Rules between the settings of a competition: every broken one is told at its place."""

import pytest

from pipeline.settings.competition import AttributeSettings, CompetitionSettings, ExtraSettings
from pipeline.settings.schema import broken

PETS = {
    "name": "pets",
    "root": "pets",
    "attributes": [AttributeSettings(name="pet", column="pet", values=["cat", "dog"])],
}


def told(**settings):
    return dict(broken({"competition": CompetitionSettings(**{**PETS, **settings})}))


def age(**more):
    return [AttributeSettings(name="age", column="age", values=["a", "b", "c"], **more)]


def extra(**more):
    return ExtraSettings(**{"source": "web", "licence": "CC0", "images": "web", "table": "web.csv", **more})


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"attributes": age(bins=[30, 60], train_bins=[30, 58])},
        {"group_pattern": r"^(p\d+)_(?:a|b)"},
        {"test_table": None, "holdout": 0.2, "sample_submission": None},
        {"test_table": None, "test_images": "other", "sample_submission": None},
        {"extra": [extra(), extra(source="mine", table=None)]},
        {"label_patches": "p.csv", "patch_scoring": True},
    ],
)
def test_sound_settings(settings):
    assert told(**settings) == {}


@pytest.mark.parametrize(
    ("settings", "path", "said"),
    [
        ({"attributes": age(bins=[30])}, "attributes[0].bins", "1 edges for 3 values"),
        ({"attributes": age(bins=[60, 30])}, "attributes[0].bins", "not ascending"),
        ({"attributes": age(train_bins=[30, 58])}, "attributes[0].train_bins", "needs `bins`"),
        ({"group_pattern": "p("}, "group_pattern", "no regular expression"),
        ({"group_pattern": "p.*"}, "group_pattern", "has 0 groups"),
        ({"group_pattern": "(p)(q)"}, "group_pattern", "has 2 groups"),
        ({"group_pattern": "(p)", "group_column": "g"}, "group_pattern", "keep one"),
        ({"test_table": None}, "test_table", "no test set"),
        ({"test_table": None, "layout": "mask", "test_images": "e"}, "test_table", "eval/info.csv"),
        ({"holdout": 0.2}, "holdout", "there is a test_table"),
        ({"test_table": None, "holdout": 0.2}, "sample_submission", "set it to null"),
        ({"extra": [extra(), extra()]}, "extra[1].source", "twice"),
        (
            {"extra": [extra(table=None)], "attributes": [*PETS["attributes"], *age()]},
            "extra[0].table",
            "one",
        ),
        ({"patch_scoring": True}, "patch_scoring", "no label_patches"),
    ],
)
def test_broken_rules(settings, path, said):
    found = told(**settings)
    assert said in found[f"competition.{path}"], found
