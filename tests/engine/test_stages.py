"""Every stage is declared once, and every setting is read by some stage or changes nothing."""

import inspect
from dataclasses import replace
from typing import get_args

import pytest
from pydantic import BaseModel

from pipeline.core.errors import ConfigError
from pipeline.engine.graph import Graph
from pipeline.engine.need import Need
from pipeline.engine.slices import config_slice, is_neutral
from pipeline.engine.stage import Catalogue, needs, no_files
from pipeline.record.files import FileIndex
from pipeline.record.store import Store
from pipeline.settings.competition import PLACES
from pipeline.settings.ensemble import GbdtSettings
from pipeline.settings.fields import IF_CHOSEN, NEUTRAL
from pipeline.settings.load import load
from pipeline.settings.resample import CopySettings
from pipeline.settings.schema import Config
from pipeline.stages import CATALOGUE, ROOMS

STAGES = CATALOGUE.stages
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
def test_every_stage_is_declared_with_a_documented_builder(name):
    stage = CATALOGUE.get(name)
    assert stage.name == name and stage.version >= 1 and stage.title
    assert list(inspect.signature(stage.build).parameters) == ["job"]
    assert inspect.getdoc(stage.build) and stage.build.__name__ == f"build_{name}"
    if stage.inside:
        assert stage.inside in STAGES and stage.announce is not None


def test_no_stage_is_declared_twice_and_every_room_lists_its_own():
    declared = [stage.name for room in ROOMS for stage in room.STAGES]
    assert len(declared) == len(set(declared)) == len(STAGES)
    for room in ROOMS:
        assert all(stage.build.__module__ == room.__name__ for stage in room.STAGES)


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
    # forbids and quarantine change which inputs a stage has, and keys with them: test_graph.py;
    # cache_gb frees what is made again with the same bits; the fold that init_from leads to is an input.
    images = {"images.quarantine", "images.cache_gb"}
    # How a finished file is handed in, and when a rebuilt one passes for the same: no stage reads either.
    after = {f"competition.submission.{name}" for name in ("per_day", "kaggle", "command")}
    after |= {"reproduce.agreement", "reproduce.max_dp"}
    # Which submissions are decided too; each decision is a result of its own.
    after.add("decision.members")
    # Where the competition's files lie: what is read from them is in the key of `data`.
    after |= {f"competition.{name}" for name in PLACES}
    after |= {"competition.extra[].images", "competition.extra[].table"}
    others = {"train.folds", "train.init_from", "competition.attributes[].forbids"}
    assert known == {*others, *images, *after, *runtime}


def test_inputs_name_declared_stages_only(tmp_path):
    index = FileIndex(tmp_path / "index.json")
    ask = Graph(CATALOGUE, Store(tmp_path, index), index)
    params = {
        "fold": 0,
        "split": "train",
        "view": "identity",
        "a": "x",
        "b": "y",
        "side": "search",
        "seeds": "0",
    }
    for settings in (FULL, PROBE):
        for stage in STAGES.values():
            if stage.name == "ablate":  # its inputs rest on finished data: tests/train/test_ablate.py
                continue
            for need in stage.inputs(ask, settings, params).values():
                assert isinstance(need, Need) and need.stage in STAGES


def test_an_unknown_stage_names_the_nearest():
    with pytest.raises(ConfigError, match="did you mean ensemble"):
        CATALOGUE.get("ensembel")


# Other values for settings whose value must be a name that exists, or of a certain form.
OTHER = {
    "augment.policy": "none",
    "resample.copies": {"times": 2, "policy": "none"},
    "competition.demo": None,
}


def other(path, value):
    """A value of the same kind that is not this one; no rule of the settings is asked."""
    if path in OTHER:
        made = OTHER[path]
        return CopySettings(**made) if path == "resample.copies" else made
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    if isinstance(value, str):
        return f"{value}x"
    if isinstance(value, list):
        return [*value, value[0] if value else "x"]
    return "x" if value is None else None


def declared_leaves(config, path):
    """Every setting below a declared path that is not neutral, with its value."""
    value = config
    for step in path.split("."):
        value = getattr(value, step)
    if not isinstance(value, BaseModel):
        yield path, value
        return
    for name, info in type(value).model_fields.items():
        if not is_neutral(info):
            yield from declared_leaves(config, f"{path}.{name}")


def changed(model, steps, value):
    first, *rest = steps
    new = changed(getattr(model, first), rest, value) if rest else value
    return model.model_copy(update={first: new})


@pytest.mark.parametrize("settings", [FULL, PROBE], ids=["full", "probe"])
@pytest.mark.parametrize("name", STAGES)
def test_every_setting_that_a_stage_declares_changes_its_key(name, settings, tmp_path):
    """The stage stands alone here, without inputs and files, so that only its own settings can act."""
    alone = replace(STAGES[name], inputs=needs(), identity=no_files, words=())
    index = FileIndex(tmp_path / "index.json")
    graph = Graph(Catalogue.of([alone], {}), Store(tmp_path, index), index)
    before = graph.key(Need(name, settings))
    for path in alone.sections(settings):
        for leaf, value in declared_leaves(settings.config, path):
            config = changed(settings.config, leaf.split("."), other(leaf, value))
            after = graph.key(Need(name, replace(settings, config=config)))
            assert after != before, f"{name}: {leaf} is declared and not in the key"


def test_a_fact_that_counts_only_if_chosen_leaves_older_keys_as_they_are():
    """Each is argued: its default must give the results that were made before it existed."""
    chosen = {}
    for section, field in Config.model_fields.items():
        for name, info in getattr(field.annotation, "model_fields", {}).items():
            if isinstance(info.json_schema_extra, dict) and info.json_schema_extra.get(IF_CHOSEN):
                chosen[f"{section}.{name}"] = info.default
    # On a CPU `auto` is albumentations, as before; which engine ran on a GPU follows from the device. Samples
    # always had one image of one file, three channels, the first page, and no metadata.
    assert chosen == {
        "augment.engine": "auto",
        # Samples of several images were not explained.
        "explain.sample_images": 8,
        "competition.channel_files": [],
        "competition.images_per_sample": None,
        "competition.metadata": [],
        "images.channels": 3,
        "ensemble.gbdt": GbdtSettings(),
        "images.pages": "first",
        "images.store_px": None,
        "images.tiles": None,
        "model.pool_images": "mean",
        # Pages were English.
        "report.language": "en",
        # Steps of training that there were not before.
        "model.feature_stages": None,
        "model.feature_px": None,
        "train.first_px": None,
        "train.grad_checkpointing": False,
        "train.head_epochs": None,
        "train.probe_views": ["identity", "hflip", "shift(2,2)"],
        "train.soup": "uniform",
        # Settings of labels and values, and of forms that were refused before.
        "competition.label_weights": None,
        "competition.metric_columns": [],
        "competition.long_table": None,
        "competition.test_id_pattern": None,
        "competition.unknown_labels": [],
        "folds.singles": "train",
        "loss.label_weights": "metric",
        "loss.clip": FULL.config.loss.clip,
        "loss.delta": FULL.config.loss.delta,
        "loss.quantile": FULL.config.loss.quantile,
        "resample.bins": FULL.config.resample.bins,
        # Settings of thousands of classes.
        "competition.new_class": None,
        "loss.margin": FULL.config.loss.margin,
        "loss.rare_margin": FULL.config.loss.rare_margin,
        "model.centres": 1,
        "model.scale": FULL.config.model.scale,
        "train.neighbours": 0.0,
        "train.head_k": FULL.config.train.head_k,
        "train.head_temperature": FULL.config.train.head_temperature,
    }
    settings = load(["competition=digits", "augment.engine=albumentations"])
    with_default = config_slice(FULL.config, ["augment"], keyed=True)["augment"]
    assert "engine" not in with_default
    assert config_slice(settings.config, ["augment"], keyed=True)["augment"]["engine"] == "albumentations"
    assert config_slice(FULL.config, ["augment"])["augment"]["engine"] == "auto"
