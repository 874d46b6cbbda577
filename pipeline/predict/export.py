"""`make export`: a submission as one file for other programs, held against the predictor before it is kept.

    model.onnx | model.pt2      from RGB bytes at the networks' size to predictions, any number of images
    model.json                  inputs, columns, and how an image becomes an input
    mlflow/                     FORMAT=mlflow: a pyfunc that takes the bytes of image files
    MODEL_CARD.md               data, metric, interval, members, known weaknesses

Owns the formats, the comparison and the description. Does not own the graph (`predict/graph.py`) nor the card
(`predict/card.py`).
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipeline.core.errors import ConfigError, DataError, ModelError, nearest
from pipeline.core.predictions import answers_of, differ_N
from pipeline.core.samples import Floats
from pipeline.data.decode import Pixels
from pipeline.predict import texts
from pipeline.predict.graph import EnsembleGraph
from pipeline.predict.predictor import Predictor
from pipeline.record import files

# Packages of the extra `export`.
ONNX = ("onnx", "onnxruntime", "onnxscript")
FORMATS = ("onnx", "pt2", "mlflow")
# Images that both predict, and how far predictions may be apart.
COMPARED, MOST_DP, LEAST_SAME = 16, 1e-3, 0.999
OPSET = 18
# A file of a protobuf message ends at 2 GB; larger weights stand beside it.
MOST_BYTES = 1.8e9


@dataclass(frozen=True)
class Parity:
    """How far the exported model is from the predictor.

    Args:
        images: that both predicted.
        same: share of equal answers, 0 to 1.
        most: largest difference of a prediction.
    """

    images: int
    same: float
    most: float


def refuse(form: str, int8: bool = False) -> None:
    """Raise ConfigError for an unknown format, one whose package is missing, or 8 bits of another one."""
    if form not in FORMATS:
        hint = nearest(form, FORMATS)
        raise ConfigError(texts.NO_FORMAT.format(form=form), [hint] if hint else [], texts.NO_FORMAT_REMEDY)
    if int8 and form != "onnx":
        raise ConfigError(texts.INT8_FORMAT.format(form=form), remedy=texts.INT8_FORMAT_REMEDY)
    if form == "onnx":
        missing = [name for name in ONNX if importlib.util.find_spec(name) is None]
        if missing:
            text = texts.NO_PACKAGE.format(packages=", ".join(missing))
            raise ConfigError(text, remedy=texts.NO_PACKAGE_REMEDY)


def export(predictor: Predictor, form: str, out: Path, images: list[Pixels]) -> Parity:
    """Write model.onnx or model.pt2 with model.json into `out`, and compare.

    Args:
        predictor: on the CPU.
        form: onnx or pt2.
        out: exists.
        images: for each look, (N, H, W, C) images that both predict.

    Raises:
        ConfigError: a view, the blend or a step cannot be in a graph; all are named.
        ModelError: a network has an operator that the format lacks.
        DataError: the exported model predicts something else.
    """
    graph = EnsembleGraph(predictor).eval()
    path = out / f"model.{form}"
    given = tuple(torch.from_numpy(x[:2].copy()) for x in images)
    with torch.no_grad():
        wanted = graph(*(torch.from_numpy(x) for x in images)).numpy()
        run = _onnx(graph, given, path) if form == "onnx" else _pt2(graph, given, path)
        found = run([np.ascontiguousarray(x) for x in images])
    parity = compared(predictor, found, _of_predictor(predictor, images), form)
    assert wanted.shape == found.shape, "the graph and its export predict the same columns"
    files.write_json(out / "model.json", described(predictor, form))
    return parity


Run = Callable[[list[Pixels]], Floats]


def _dynamic(given: tuple[torch.Tensor, ...]) -> Any:
    batch = torch.export.Dim("batch", min=1, max=4096)
    return {"images": tuple({0: batch} for _ in given)}


def _program(graph: EnsembleGraph, given: tuple[torch.Tensor, ...]) -> Any:
    try:
        return torch.export.export(graph, given, dynamic_shapes=_dynamic(given), strict=False)
    # Tracing fails in many ways; the first line names the operator.
    except Exception as error:
        raise _unfit("torch.export", error) from error


def _unfit(what: str, error: Exception) -> ModelError:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return ModelError(texts.EXPORT_FAILED.format(what=what), lines[:4], texts.EXPORT_REMEDY)


def _pt2(graph: EnsembleGraph, given: tuple[torch.Tensor, ...], path: Path) -> Run:
    program = _program(graph, given)
    torch.export.save(program, path)
    loaded = torch.export.load(path).module()
    return lambda images: loaded(*(torch.from_numpy(x) for x in images)).numpy()


def write_onnx(predictor: Predictor, path: Path, images: Sequence[Pixels]) -> None:
    """Write an ensemble as ONNX, without comparing; `images`: two of each look."""
    graph = EnsembleGraph(predictor).eval()
    with torch.no_grad():
        _onnx(graph, tuple(torch.from_numpy(np.ascontiguousarray(x)) for x in images), path)


def _onnx(graph: EnsembleGraph, given: tuple[torch.Tensor, ...], path: Path) -> Run:
    names = names_of(len(given))
    size = sum(p.numel() * p.element_size() for p in graph.state_dict().values())
    with quiet():
        try:
            made = torch.onnx.export(
                _program(graph, given),
                dynamo=True,
                opset_version=OPSET,
                input_names=names,
                output_names=["predictions"],
                verbose=False,
            )
            assert made is not None, "torch.onnx.export with dynamo returns a program"
            made.save(path, external_data=size > MOST_BYTES)
        except ModelError:
            raise
        except Exception as error:
            raise _unfit("ONNX", error) from error
    return runner(path)


def runner(path: Path) -> Run:
    """A function that predicts with the ONNX model of a file."""
    # By name: the extra may not be installed where the code is checked.
    onnxruntime = importlib.import_module("onnxruntime")
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    inputs = [one.name for one in session.get_inputs()]

    def run(images: list[Pixels]) -> Floats:
        (found,) = session.run(None, dict(zip(inputs, images, strict=True)))
        return np.asarray(found, dtype=np.float32)

    return run


class quiet(warnings.catch_warnings):  # noqa: N801
    """Without the warnings of exporters, which are about their own future."""

    def __enter__(self) -> Any:
        entered = super().__enter__()
        warnings.simplefilter("ignore")
        self._levels = {
            name: logging.getLogger(name).level for name in ("", "torch.onnx", "onnxscript", "onnx_ir")
        }
        for name in self._levels:
            logging.getLogger(name).setLevel(logging.ERROR)
        return entered

    def __exit__(self, *error: Any) -> None:
        for name, level in self._levels.items():
            logging.getLogger(name).setLevel(level)
        super().__exit__(*error)


def names_of(looks: int) -> list[str]:
    """The names of the inputs."""
    return ["images"] if looks == 1 else [f"images_{n}" for n in range(looks)]


def _of_predictor(predictor: Predictor, images: list[Pixels]) -> Floats:
    return predictor.of_pixels(images).p_NC


def compared(predictor: Predictor, found: Floats, wanted: Floats, form: str) -> Parity:
    """How far the exported model is from the predictor.

    Raises:
        DataError: too far.
    """
    target = predictor.target
    apart = differ_N(answers_of(target, found), answers_of(target, wanted))
    scale = max(float(np.abs(wanted).max()), 1.0)
    off = np.abs(found - wanted).max(axis=1)
    # Answers of values are the numbers themselves: those within the tolerance are equal.
    same = 1 - float((apart & (off > MOST_DP * scale)).mean())
    parity = Parity(len(found), same, float(off.max()))
    if parity.most > MOST_DP * scale or parity.same < LEAST_SAME:
        text = texts.OTHER_MODEL.format(form=form, images=parity.images, most=parity.most, same=parity.same)
        raise DataError(text, remedy=texts.OTHER_MODEL_REMEDY)
    return parity


def described(predictor: Predictor, form: str) -> dict[str, Any]:
    """The contents of model.json."""
    manifest = predictor.manifest
    looks: list[dict[str, Any]] = [
        {
            "input": name,
            "type": "uint8",
            "shape": ["batch", eye.look.size[0], eye.look.size[1], eye.channels],
            "order": "RGB" if eye.channels == 3 else "channels of the settings",
            "images": look.images,
            "crop": look.crop,
            "window": look.shared,
            "preprocess": look.preprocess,
        }
        for name, look, eye in zip(names_of(len(manifest.looks)), manifest.looks, predictor.eyes, strict=True)
    ]
    return {
        "name": manifest.name,
        "format": form,
        "inputs": looks,
        "output": "predictions",
        "kind": predictor.target.kind,
        "columns": list(predictor.classes),
    }
