"""The lists of sections and of rules: they are complete, and defaults break nothing by themselves."""

import importlib
import pkgutil

import pipeline.settings
from pipeline.settings.fields import Rule
from pipeline.settings.model import ModelSettings
from pipeline.settings.schema import RULES, Config, broken
from pipeline.settings.train import TrainSettings


def test_every_rule_of_a_section_is_run_and_only_once():
    names = [module.name for module in pkgutil.iter_modules(pipeline.settings.__path__)]
    sections = [importlib.import_module(f"pipeline.settings.{name}") for name in names]
    made = {id(rule) for section in sections for rule in vars(section).values() if isinstance(rule, Rule)}
    assert sorted(made) == sorted(map(id, RULES)) and len(RULES) > 50


def test_every_rule_reads_sections_that_exist():
    assert {name for rule in RULES for name in rule.reads} <= set(Config.model_fields)


def test_the_schema_itself_breaks_only_what_a_competition_must_say():
    assert [path for path, _ in broken(dict(Config()))] == ["competition.attributes", "competition.root"]
    assert broken({"train": TrainSettings(strategy="linear_probe"), "model": ModelSettings()}) == []
