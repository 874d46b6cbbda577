"""A job can read what is declared and what is neutral, and nothing else."""

import copy
import pickle

import pytest

from pipeline.engine.need import Need
from pipeline.engine.session import Session
from pipeline.engine.slices import guarded
from pipeline.engine.stage import Built, Catalogue, Stage
from pipeline.settings.load import load
from pipeline.stages import CATALOGUE, open_session

SETTINGS = load(["competition=digits", "train.epochs=3"])


def held(*paths):
    return guarded(SETTINGS, paths, "stage planted")


def test_declared_settings_are_read_as_they_are():
    config = held("train.epochs", "loss").config
    assert config.train.epochs == 3
    assert config.loss is SETTINGS.config.loss, "a section that is declared whole is the section itself"


def test_neutral_settings_are_always_read():
    assert held().config.runtime.home == SETTINGS.config.runtime.home
    assert held().config.images.cache_gb == SETTINGS.config.images.cache_gb


@pytest.mark.parametrize("path", ["train.lr", "model.name", "competition.title", "train.bag"])
def test_reading_an_undeclared_setting_is_an_error_that_names_it(path):
    section, _, name = path.partition(".")
    config = held("train.epochs").config
    with pytest.raises(AssertionError, match=f"stage planted reads {path}"):
        getattr(getattr(config, section), name)


def test_a_property_of_a_section_is_guarded_like_what_it_reads():
    assert held("images.size").config.images.hw == SETTINGS.config.images.hw
    with pytest.raises(AssertionError, match=r"reads images\.size"):
        held("train").config.images.hw  # noqa: B018


def test_a_section_of_which_a_part_is_declared_cannot_be_copied_or_compared():
    config = held("model.name").config
    with pytest.raises(AssertionError, match=r"reads model\.model_copy"):
        config.model.model_copy(update={"weights": "none"})
    with pytest.raises(AssertionError, match="compares model"):
        assert config.model == SETTINGS.config.model


def test_the_words_of_the_request_are_not_there_but_the_name_of_the_experiment_is():
    settings = held("train")
    assert settings.experiment == SETTINGS.experiment
    for read in (
        lambda: settings.words,
        lambda: settings.competition_words,
        lambda: settings.with_values({}),
    ):
        with pytest.raises(AssertionError, match="stage planted reads the request"):
            read()


def test_a_guard_can_be_copied_and_sent_to_another_process():
    config = held("train.epochs").config
    for same in (copy.copy(config), pickle.loads(pickle.dumps(config))):
        assert same.train.epochs == 3
        with pytest.raises(AssertionError, match=r"stage planted reads train\.lr"):
            same.train.lr  # noqa: B018


def planted(reads, build):
    """A session with one more stage, which reads a setting."""
    stage = Stage("planted", 1, "planted", build, reads=reads)
    return Catalogue.of([*CATALOGUE.stages.values(), stage], CATALOGUE.commands)


def of_learning_rate(job):
    return Built(metrics={"lr": job.settings.config.train.lr})


def session_of(home, catalogue, *words):
    settings = load(["competition=digits", f"runtime.home={home}", "runtime.mlflow=false", *words])
    return Session(settings, catalogue)


def test_a_stage_that_reads_what_it_does_not_declare_fails_and_leaves_nothing(tmp_path):
    session = session_of(tmp_path, planted((), of_learning_rate))
    with pytest.raises(AssertionError, match=r"stage planted reads train\.lr"):
        session.need("planted")
    assert session.graph.found(Need("planted", session.settings)) is None


def test_a_stage_that_declares_it_is_built_and_built_anew_for_another_value(tmp_path):
    catalogue = planted(("train.lr",), of_learning_rate)
    first = session_of(tmp_path, catalogue, "train.lr=0.5").need("planted")
    second = session_of(tmp_path, catalogue, "train.lr=0.25").need("planted")
    assert (first.metrics["lr"], second.metrics["lr"]) == (0.5, 0.25)


def test_a_stage_may_read_what_its_inputs_declare_with_the_same_settings(tmp_path):
    def build(job):
        return Built(metrics={"folds": float(job.settings.config.folds.splits)})

    stage = Stage("planted", 1, "planted", build, inputs=CATALOGUE.get("resample").inputs)
    catalogue = Catalogue.of([*CATALOGUE.stages.values(), stage], CATALOGUE.commands)
    settings = load(
        [
            "competition=digits",
            "competition.demo.limit=200",
            f"runtime.home={tmp_path}",
            "runtime.mlflow=false",
        ]
    )
    made = Session(settings, catalogue).need("planted")
    assert made.metrics["folds"] == settings.config.folds.splits


def test_the_shipped_stages_are_those_of_a_session(tmp_path):
    settings = load(["competition=digits", f"runtime.home={tmp_path}", "runtime.mlflow=false"])
    assert open_session(settings).catalogue is CATALOGUE
