"""Rules between the settings of a competition: every broken one is told at its place."""

import pytest

from pipeline.core.errors import ConfigError
from pipeline.settings.competition import AttributeSettings, CompetitionSettings, ExtraSettings
from pipeline.settings.load import load
from pipeline.settings.schema import broken

DIGITS = "competition=digits"
HOST = "competition.submission"

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
        ({"attributes": age(bins=[30])}, "attributes[0].bins", "1 edge for 3 values"),
        ({"attributes": age(bins=[60, 30])}, "attributes[0].bins", "not ascending"),
        (
            {
                "target": "labels",
                "metric": "auc",
                "unknown_labels": ["-1"],
                "attributes": [AttributeSettings(name="a", column="a", values=["", "1"])],
            },
            "unknown_labels",
            "cannot be told from an empty cell, which is a value of a",
        ),
        ({"attributes": age(train_bins=[30, 58])}, "attributes[0].train_bins", "needs `bins`"),
        ({"group_pattern": "p("}, "group_pattern", "not a regular expression"),
        ({"group_pattern": "p.*"}, "group_pattern", "has 0 groups"),
        ({"group_pattern": "(p)(q)"}, "group_pattern", "has 2 groups"),
        ({"group_pattern": "(p)", "group_column": "g"}, "group_pattern", "keep one"),
        ({"test_table": None}, "test_table", "no test set"),
        ({"test_table": None, "layout": "mask", "test_images": "e"}, "test_table", "eval/info.csv"),
        ({"holdout": 0.2}, "holdout", "cannot be combined with test_table"),
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


@pytest.mark.parametrize(
    ("age", "expected"),
    [
        ("{bins: [30.0], soft_width: 0.0}", "greater than 0"),
        ("{soft_width: 2.0}", "soft_width needs `bins`"),
        ("{bins: [30.0, 33.0], soft_width: 2.0}", "the edges 30 and 33 are less than 4 apart"),
        ("{bins: [30.0, 60.0], train_bins: [30.0, 31.0], soft_width: 1.0}", "30 and 31"),
    ],
)
def test_soft_width(age, expected):
    values = "[a, b]" if "33" not in age and "60" not in age else "[a, b, c]"
    word = f"competition.attributes=[{{name: age, column: age, values: {values}, {age[1:-1]}}}]"
    with pytest.raises(ConfigError) as caught:
        load([DIGITS, "experiment=tiny_resnet", word])
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        ([f"{HOST}.columns={{digit: d}}"], "columns is used only with format=attributes"),
        (
            [f"{HOST}.format=attributes", f"{HOST}.columns={{digits: d}}"],
            "`digits` is not an attribute; did you mean digit?",
        ),
        ([f"{HOST}.format=attributes", f"{HOST}.words={{digit: [a, b]}}"], "digit has 2 words for 10 values"),
        (
            [f"{HOST}.format=attributes", f"{HOST}.words={{digit: [a,a,a,b,c,d,e,f,g,h]}}"],
            "digit has a word twice",
        ),
        (
            [f"{HOST}.format=attributes", f"{HOST}.columns={{digit: id}}"],
            "gives two columns the same name: id",
        ),
        ([f"{HOST}.format=null"], "format is not decided"),
        ([f"{HOST}.format=probability"], "positive is missing: name the class"),
        ([f"{HOST}.format=probability", f"{HOST}.positive=11"], "positive `11` is not a class"),
        ([f"{HOST}.format=probability", f"{HOST}.positive=[0,1,2,3,4,5,6,7,8,9]"], "always 1"),
        ([f"{HOST}.positive=1"], "is used only with format=probability"),
        ([f"{HOST}.separator=_"], "is used only with format=class_name"),
        ([f"{HOST}.copied=[label]"], "`label` holds the id or an answer"),
        ([f"{HOST}.command=send"], "does not contain {file}"),
        (
            [f"{HOST}.command='send {{file}} {{who}}'"],
            "has {who}; the placeholders are {file}, {message} and {name}",
        ),
        ([f"{HOST}.command='send \"{{file}}'"], "cannot be read"),
        ([f"{HOST}.per_day=0"], "per_day"),
    ],
)
def test_what_the_host_asks_for_must_fit(words, fault):
    with pytest.raises(ConfigError) as error:
        load([DIGITS, *words])
    assert fault in str(error.value)


def test_how_files_are_handed_in_changes_no_result():
    from pipeline.engine.graph import config_slice

    plain = load([DIGITS])
    other = load([DIGITS, f"{HOST}.per_day=5", f"{HOST}.kaggle=pets", f"{HOST}.command='send {{file}}'"])
    path = ("competition.submission",)
    assert config_slice(plain.config, path) == config_slice(other.config, path)
    assert other.config.competition.submission.command == "send {file}"
