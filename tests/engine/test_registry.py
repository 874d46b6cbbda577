"""Every stage is declared, has its module, and every setting is read by some stage or changes nothing."""

import ast
import importlib
import inspect
from pathlib import Path
from typing import get_args

import pytest
from pydantic import BaseModel

import pipeline
from pipeline.core.errors import ConfigError
from pipeline.engine.need import Need
from pipeline.engine.slices import config_slice
from pipeline.engine.stage import Job
from pipeline.settings.fields import NEUTRAL
from pipeline.settings.load import load
from pipeline.settings.schema import Config
from pipeline.stages import CATALOGUE, MODULES, STAGES

STAGES_FOLDER = Path(pipeline.__file__).parent
FULL = load(["competition=digits"])
PROBE = load(["competition=digits", "experiment=probe"])
# Settings that shape what is written around results, and no artifact.
AROUND = {"competition.licence"}


def read_by(settings):
    return {path for stage in STAGES.values() for path in stage.sections(settings)}


def sections_in(annotation):
    """Sections inside a list, or that may be left out."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for argument in get_args(annotation) for found in sections_in(argument)]


def leaves(section, prefix=""):
    """Dotted path of each field -> whether it is neutral."""
    found = {}
    for name, info in section.model_fields.items():
        path = f"{prefix}{name}"
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            found |= leaves(info.annotation, f"{path}.")
        elif sections := sections_in(info.annotation):
            for section_of in sections:
                found |= leaves(section_of, f"{path}[].")
        else:
            extra = info.json_schema_extra
            found[path] = bool(isinstance(extra, dict) and extra.get(NEUTRAL))
    return found


@pytest.mark.parametrize("name", STAGES)
def test_every_stage_has_a_module_with_build(name):
    stage = CATALOGUE.get(name)
    assert stage.name == name and stage.version >= 1 and stage.title
    module = importlib.import_module(MODULES[name])
    assert list(inspect.signature(module.build).parameters) == ["job"]
    assert inspect.getdoc(module.build) and module.__doc__
    if stage.inside:
        assert stage.inside in STAGES and callable(module.announce)


def test_every_module_with_build_is_declared():
    built = set()
    for path in STAGES_FOLDER.rglob("stage_*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if any(isinstance(n, ast.FunctionDef) and n.name == "build" for n in tree.body):
            built.add(path.stem.removeprefix("stage_"))
    assert built == set(STAGES)


@pytest.mark.parametrize("name", STAGES)
@pytest.mark.parametrize("settings", [FULL, PROBE], ids=["full", "probe"])
def test_every_declared_section_exists(name, settings):
    paths = STAGES[name].sections(settings)
    assert set(config_slice(settings.config, paths)) == set(paths)
    assert len(set(paths)) == len(paths)


def test_every_setting_is_read_by_some_stage_or_is_neutral():
    read = read_by(FULL) | read_by(PROBE)

    def is_read(path):
        return any(path == r or path.startswith((f"{r}.", f"{r}[].")) for r in read)

    unread = {p for p, is_neutral in leaves(Config).items() if not is_neutral and not is_read(p)}
    assert unread == AROUND, "a setting that no key holds: a change of it would be ignored in silence"


def test_neutral_settings_are_the_ones_we_know():
    """A setting that defines a result and is marked neutral gives stale results: each one is argued."""
    known = {p for p, is_neutral in leaves(Config).items() if is_neutral}
    runtime = {f"runtime.{name}" for name in Config.model_fields["runtime"].annotation.model_fields}
    # forbids and quarantine change which inputs a stage has, and keys with them: test_stages_graph.py;
    # cache_gb frees what is made again with the same bits; the fold that init_from leads to is an input.
    images = {"images.quarantine", "images.cache_gb"}
    # How a finished file is handed in, and when a rebuilt one passes for the same: no stage reads either.
    after = {f"competition.submission.{name}" for name in ("per_day", "kaggle", "command")}
    after |= {"reproduce.agreement", "reproduce.max_dp"}
    # Which submissions are decided too; each decision is a result of its own.
    after.add("decision.members")
    others = {"train.folds", "train.init_from", "competition.attributes[].forbids"}
    assert known == {*others, *images, *after, *runtime}


def test_inputs_name_declared_stages_only():
    class NoGraph:
        def finished_members(self, settings):
            return {"a": "k"}

        def pinned_member(self, settings, prefix):
            return {prefix: "k"}

        def curve_points(self, settings):
            return {"share 1.0 seed 0": settings}

        def teacher(self, settings, name):
            return settings

        def arms(self, settings, grid):
            return {"arm 0 seed 0": Need("train", settings)}

    auto = load(["competition=digits", "ensemble.members=[auto]"])
    params = {"fold": 0, "split": "train", "view": "identity", "a": "x", "b": "y", "grid": "g.yaml"}
    params |= {"side": "search", "seeds": "0 1"}
    for settings in (FULL, PROBE, auto):
        for stage in STAGES.values():
            for need in stage.inputs(NoGraph(), settings, params).values():
                assert isinstance(need, Need) and need.stage in STAGES


def test_an_unknown_stage_names_the_nearest():
    with pytest.raises(ConfigError, match="did you mean ensemble"):
        CATALOGUE.get("ensembel")


def test_the_job_is_what_modules_ask_for():
    """Stages read fields of Job only."""
    fields = set(Job.__dataclass_fields__)
    for name in STAGES:
        tree = ast.parse(
            (STAGES_FOLDER.parent / (MODULES[name].replace(".", "/") + ".py")).read_text(encoding="utf-8")
        )
        asked = {
            n.attr
            for n in ast.walk(tree)
            if isinstance(n, ast.Attribute) and isinstance(n.value, ast.Name) and n.value.id == "job"
        }
        assert asked <= fields, f"{name}: {asked - fields}"
