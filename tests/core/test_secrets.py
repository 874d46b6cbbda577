"""A password in an address is shown nowhere, kept nowhere, and changes no key."""

import json
import logging
import re
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import BaseModel

from pipeline.core.secrets import hidden, hidden_in, hidden_value, hidden_word, is_secret
from pipeline.engine import request
from pipeline.engine.graph import Graph
from pipeline.engine.need import Need
from pipeline.engine.slices import config_slice
from pipeline.record.files import FileIndex
from pipeline.record.store import Store
from pipeline.record.study import Studies
from pipeline.record.tracking import RunInfo, Tracker, tracking_uri
from pipeline.settings.load import load
from pipeline.settings.schema import Config
from pipeline.settings.submission import SubmissionSettings
from pipeline.stages import CATALOGUE, open_session
from pipeline.submit.hand_in import Client, shown
from pipeline.tune.search import shown_storage

PASSWORD = "s3cr3tw0rd"
ADDRESSES = (
    f"postgresql://me:{PASSWORD}@host/db",
    f"postgresql+psycopg2://me:{PASSWORD}@host:5432/db?sslmode=require",
    f"postgresql://me:a/b@{PASSWORD}@host/db",
    f"postgresql://host/db?user=me&password={PASSWORD}",
    f"postgresql://host/db?user=me@corp&password={PASSWORD}#x",
    f"mysql://host/db?PASSWD={PASSWORD}&charset=utf8",
    f"https://{PASSWORD}@host/path",
    f"https://host/path?access_token={PASSWORD}",
    f"https://host/path?X-Amz-Signature={PASSWORD}&X-Amz-Date=1",
    f"http://host/db;password={PASSWORD}",
)


@pytest.mark.parametrize("address", ADDRESSES)
def test_no_address_shows_its_password(address):
    for text in (
        address,
        f"cannot reach {address}: refused",
        f"url: '{address}'\nnext: 1",
        json.dumps([address]),
    ):
        assert PASSWORD not in hidden(text)
        assert hidden(hidden(text)) == hidden(text), "hiding twice changes nothing"
    assert hidden(address).startswith(address.partition("://")[0] + "://")


NAMED = (
    f"send --token={PASSWORD} {{file}}",
    f"send --api-token {PASSWORD} {{file}}",
    f"send --key {PASSWORD} {{file}}",
    f"send '--token=my {PASSWORD} x' {{file}}",
    f"send --password '{PASSWORD} x' {{file}}",
    f'curl -u me:{PASSWORD} -H "Authorization: Bearer {PASSWORD}" x',
    f'curl -H "X-Api-Key: {PASSWORD}" x',
    f"env API_TOKEN={PASSWORD} send {{file}}",
    f"AWS_SECRET_ACCESS_KEY={PASSWORD}",
    f"loss.params.api_key={PASSWORD}",
    f'send --data \'{{"apiKey": "{PASSWORD}"}}\'',
    f"  password: {PASSWORD}  # mine",
    f"x: {{token: {PASSWORD}, b: 1}}",
    f'command: "send \\"--token={PASSWORD}\\" x"',
)


@pytest.mark.parametrize("text", NAMED)
def test_a_secret_behind_an_option_or_a_name_is_hidden(text):
    assert PASSWORD not in hidden(text) and "…" in hidden(text)
    assert hidden(hidden(text)) == hidden(text), "hiding twice changes nothing"


def test_values_of_settings_with_the_name_of_a_secret_are_hidden():
    value = {
        "api_key": PASSWORD,
        "a": {"password": 12345},
        "class_token": True,
        "monkey": "x",
        "key": "a class",
    }
    assert hidden_in(value) == value | {"api_key": "…", "a": {"password": "…"}}
    assert hidden_word(f"runtime.key={PASSWORD}") == "runtime.key=…"
    assert hidden_value("runtime.key", PASSWORD) == "…"
    assert hidden_value("competition.submission.columns", {"key": "a class"}) == {"key": "a class"}


def test_no_setting_of_ours_counts_as_a_secret():
    """Two values of a setting that is hidden have one key: the second would get the first one's result."""

    def names(model, above=""):
        for name, info in model.model_fields.items():
            yield f"{above}{name}"
            if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
                yield from names(info.annotation, f"{above}{name}.")

    every = list(names(Config))
    assert len(every) > 100 and not [name for name in every if is_secret(name)]


def test_another_array_of_a_file_of_images_is_another_result():
    found = [load(["competition=digits", f"images.key={name}"]) for name in ("images", "masks")]
    reads = CATALOGUE.get("train_images").sections(found[0])
    images, masks = (config_slice(one.config, reads, keyed=True) for one in found)
    assert images["images.key"] == "images" and masks["images.key"] == "masks"
    assert "images.key=masks" in found[1].words


@pytest.mark.parametrize(
    ("word", "read"),
    [
        ("resample.method=under resample.to=counts resample.counts={{secret: {n}}}", "resample"),
        ("ensemble.members=[a.csv,cls_token] ensemble.weights={{cls_token: {n}}}", "ensemble.weights"),
        ("ensemble.members=[a.csv,cls_token] ensemble.weights.cls_token={n}", "ensemble"),
    ],
)
def test_a_class_or_a_member_with_the_name_of_a_secret_is_none(word, read):
    """Hidden in the key, another weight would be answered with the result of the first one."""
    typed = [re.split(r" (?=\w+\.)", word.format(n=n)) for n in (2, 3)]
    found = [load(["competition=digits", *words]) for words in typed]
    two, three = (config_slice(one.config, [read], keyed=True) for one in found)
    assert two != three and "…" not in str(two)
    assert "…" not in " ".join(found[0].words) and found[0].words != found[1].words
    assert load(list(found[0].words)).config == found[0].config


def test_weights_of_classes_are_no_secrets_wherever_they_stand():
    weights = {"token": 2.0, "secret": 3.0}
    value = {"hand": weights, "attributes": {"kind": {"hand": weights}}}
    assert hidden_value("loss", value) == value and hidden_in({"loss": value, "loss.hand": weights}) == {
        "loss": value,
        "loss.hand": weights,
    }
    assert hidden_value("model", {"hand": {"token": "x"}}) == {"hand": {"token": "…"}}


def test_a_long_text_is_looked_through_at_once():
    for text in ("-" * 200_000, "--" + "a-" * 100_000, "token" * 50_000, "token: " * 50_000):
        start = time.process_time()
        hidden(text)
        assert time.process_time() - start < 5


def test_a_command_is_shown_without_its_secrets_and_called_with_them(tmp_path):
    script = tmp_path / "send"
    script.write_text('#!/bin/sh\necho "got $1 $2"\n')
    script.chmod(0o755)
    settings = SubmissionSettings(command=f"{script} '--token={PASSWORD} x' {{file}}")
    client, said = Client.of(settings), []
    words = client.words(Path("a.csv"), "m", "a")
    assert PASSWORD not in shown(words) and words[1] == f"--token={PASSWORD} x"
    client.call(words, said.append)
    assert said == ["  got --token=… a.csv"], "the program got the secret, and its echo is hidden"


def test_a_record_without_secrets_is_repeated_with_those_of_the_present_settings(configs, tmp_path):
    command = f"send --token={PASSWORD} {{file}}"
    written = configs / "config.yaml"
    written.write_text(written.read_text() + f"competition: {{submission: {{command: '{command}'}}}}\n")
    for typed in ([], [f"competition.submission.command={command}"]):
        settings = load(["competition=digits", f"runtime.home={tmp_path}", *typed], configs)
        record = request.of(settings, [])
        assert PASSWORD not in json.dumps(record)
        again = request.settings(record, {}, tmp_path / str(len(typed)) / "configs", settings)
        assert again.config.competition.submission.command == command


@pytest.mark.parametrize("address", [a for a in ADDRESSES if "a/b" not in a])
def test_a_password_alone_is_hidden_where_its_address_is_known(address):
    assert PASSWORD not in hidden(f'FATAL: password "{PASSWORD}" is wrong', address)


def test_a_password_is_hidden_as_written_and_decoded():
    address = "postgresql://me:p%40ss%2Fw0rd@host/db"
    assert hidden("p@ss/w0rd and p%40ss%2Fw0rd", address) == "… and …"


@pytest.mark.parametrize(
    "text",
    [
        "http://127.0.0.1:5000/#/experiments/1/runs?viewStateShareKey=podium",
        "https://example.com/a?b=c&page=2",
        "sqlite:////home/me@work/mlflow.db"[:9] + "/home/me/mlflow.db",
        "me@example.com has no address here",
        "key=value and a password that is typed in a sentence; secret: unknown key",
        "model.kwargs.class_token=true num_prefix_tokens: 1 --keyword=x monkey: x",
        "make pin KEY=3fa29b1c, ensemble.members=[key:3fa29b1c]",
        "send --token=$TOKEN --token={token} {file}",
        "a://b",
        "",
    ],
)
def test_other_texts_stay_as_they_are(text):
    assert hidden(text) == text


def test_nested_values_keep_their_form():
    value = {"a": [ADDRESSES[0], 5, None], "b": {"c": ADDRESSES[3]}, "d": True}
    found = hidden_in(value)
    assert PASSWORD not in json.dumps(found)
    assert found["a"][1:] == [5, None] and found["d"] is True and list(found) == ["a", "b", "d"]


@pytest.mark.parametrize("address", ADDRESSES)
def test_studies_that_cannot_be_reached_do_not_tell_the_password(tmp_path, address):
    with pytest.raises(Exception, match="studies") as caught:
        Studies(address, tmp_path)
    assert PASSWORD not in str(caught.value)
    assert PASSWORD not in shown_storage(address, tmp_path)


def test_a_record_that_cannot_be_reached_does_not_tell_the_password(tmp_path, caplog):
    for address in (f"http://me:{PASSWORD}@127.0.0.1:9", f"nonsense://host?password={PASSWORD}"):
        with caplog.at_level(logging.WARNING):
            Tracker(tmp_path, address).attempt(lambda client: client.search_experiments())
    assert "MLflow record" in caplog.text and PASSWORD not in caplog.text


@pytest.mark.slow
def test_what_is_recorded_has_no_password(tmp_path):
    address = ADDRESSES[0]
    info = RunInfo(
        "infer", "digits", "infer x", "k", params={"a": address}, tags={"b": address}, description=address
    )
    tracker = Tracker(tmp_path)
    with pytest.raises(ValueError, match="lost"), tracker.run(info) as run:
        run.text("settings.json", json.dumps({"uri": address}))
        raise ValueError(f"lost {address}")
    from mlflow import MlflowClient  # after the tracker, which sets what mlflow reads at its import

    client = MlflowClient(tracking_uri(tmp_path, None))
    kept = client.get_run(run.id)
    text = (next(tmp_path.rglob("settings.json"))).read_text()
    assert PASSWORD not in str(kept.to_dictionary()) + text and "host/db" in text


@pytest.fixture
def configs(tmp_path):
    """A folder of settings whose own file and overrides hold addresses."""
    from pipeline.settings.load import CONFIGS

    return Path(shutil.copytree(CONFIGS, tmp_path / "configs"))


def settings_with(configs, tmp_path, password):
    base = configs / "config.yaml"
    text = base.read_text().partition("# ours\n")[0]
    base.write_text(f"{text}# ours\nruntime: {{mlflow_uri: 'postgresql://me:{password}@host/db'}}\n")
    words = ["competition=digits", f"runtime.home={tmp_path}"]
    words += [f"competition.licence=see https://me:{password}@host/licence"]
    words += [f"competition.submission.command=send {{file}} https://me:{password}@host"]
    return load(words, configs)


def test_no_key_no_record_of_a_request_and_no_word_has_a_password(configs, tmp_path):
    keys, records = [], []
    for password in (PASSWORD, "another0ne"):
        settings = settings_with(configs, tmp_path, password)
        graph = Graph(CATALOGUE, Store(tmp_path, FileIndex(tmp_path / "i")), FileIndex(tmp_path / "i"))
        stages = ("data", "folds", "eda", "error_analysis")
        needs = [Need(stage, settings) for stage in stages if stage in CATALOGUE.stages]
        asked = [graph._asked(graph.stage(need), settings) for need in needs]
        slices = [graph._slice(graph.stage(need), settings) for need in needs]
        record = request.of(settings, needs)
        keys.append([asked, slices])
        records.append(record)
        for kept in (record, asked, slices, settings.words, graph.words_of("error-analysis", settings)):
            assert password not in json.dumps(kept, default=str)
    assert keys[0] == keys[1] and records[0] == records[1]
    assert settings.config.competition.submission.command.endswith("another0ne@host"), "it still works"


def test_the_command_config_shows_no_password(tmp_path, capsys):
    from pipeline.engine.commands import config

    settings = load(["competition=digits", f"runtime.home={tmp_path}", f"runtime.mlflow_uri={ADDRESSES[3]}"])
    config(open_session(replace(settings), False), None)
    shown = capsys.readouterr().out
    assert "runtime.mlflow_uri" in shown and PASSWORD not in shown
