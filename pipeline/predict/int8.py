"""An exported ONNX model in 8 bits: calibrated on images, and what that costs.

Owns quantising (onnxruntime's static quantisation of convolutions and matrix products, weights for each
channel), measuring the loss against the model in 32 bits, and refusing a large one. Does not own the model
in 32 bits (`predict/export.py`) nor where images come from (`predict/exporting.py`).

Calibration reads the ranges of activations from images, so it needs real ones; the loss is measured on
others. Out of fold, each fold's own graph is quantised in the same way and predicts its validation part.

Source: Jacob et al. 2018, https://arxiv.org/abs/1712.05877; onnxruntime's documentation of quantisation.

Legend: N images, K columns, L looks.
"""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.core.errors import DataError
from pipeline.core.predictions import answers_of, differ_N
from pipeline.core.samples import Floats
from pipeline.core.targets import VALUES, Target
from pipeline.core.wording import worded
from pipeline.data.decode import Pixels
from pipeline.predict import export, texts
from pipeline.predict.predictor import Predictor

# Operators whose weights and inputs become 8 bits; the votes stay as they are.
OPERATORS = ("Conv", "MatMul", "Gemm")
# Images that calibrate, and images on which the loss is measured.
CALIBRATING, MEASURED = 64, 512
# Images of a batch while ranges are read and losses are measured.
BATCH = 32
# Shares of equal answers below which a loss is told as large, and refused.
WARNED, REFUSED = 0.99, 0.9
# Values are the same answer if they are apart by no more than this share of their deviation.
SAME_SHARE = 0.05


@dataclass(frozen=True)
class Loss:
    """What 8 bits cost, on images that did not calibrate.

    Args:
        images: that both predicted.
        same: share of equal answers, 0 to 1.
        mean, most: difference of a prediction.
    """

    images: int
    same: float
    mean: float
    most: float

    @property
    def large(self) -> bool:
        """Whether the user is warned."""
        return self.same < WARNED

    def __str__(self) -> str:
        return worded(texts.INT8_LOSS, images=self.images, same=self.same, mean=self.mean, most=self.most)


def loss_of(target: Target, found: Floats, wanted: Floats) -> Loss:
    """The loss of predictions against those in 32 bits."""
    off_N = np.abs(found - wanted).max(axis=1)
    if target.kind == VALUES:
        near_NK = np.abs(found - wanted) <= SAME_SHARE * np.maximum(wanted.std(axis=0), 1e-12)
        same = float(near_NK.all(axis=1).mean())
    else:
        same = 1 - float(differ_N(answers_of(target, found), answers_of(target, wanted)).mean())
    return Loss(len(found), same, float(np.abs(found - wanted).mean()), float(off_N.max()))


def refuse(loss: Loss) -> None:
    """Raise DataError for a loss with which the model is another one."""
    if loss.same < REFUSED:
        raise DataError(texts.INT8_REFUSED.format(loss=loss), remedy=texts.INT8_REFUSED_REMEDY)


class _Reader:
    """Batches of calibration, as onnxruntime asks for them."""

    def __init__(self, names: Sequence[str], x_LNHWC: Sequence[Pixels]) -> None:
        starts = range(0, len(x_LNHWC[0]), BATCH)
        self._batches = iter(
            [
                {
                    name: np.ascontiguousarray(x[at : at + BATCH])
                    for name, x in zip(names, x_LNHWC, strict=True)
                }
                for at in starts
            ]
        )

    def get_next(self) -> dict[str, Pixels] | None:
        """The next batch; None: there is no other."""
        return next(self._batches, None)


def quantise(path: Path, out: Path, x_LNHWC: Sequence[Pixels]) -> None:
    """Write the model of `path` in 8 bits, calibrated on these images of each look."""
    # By name: the extra may not be installed where the code is checked.
    tools: Any = importlib.import_module("onnxruntime.quantization")
    prepare: Any = importlib.import_module("onnxruntime.quantization.shape_inference")
    with tempfile.TemporaryDirectory() as temporary, export.quiet():
        ready = Path(temporary) / "prepared.onnx"
        prepare.quant_pre_process(str(path), str(ready), skip_symbolic_shape=True)
        tools.quantize_static(
            str(ready),
            str(out),
            _Reader(export.names_of(len(x_LNHWC)), x_LNHWC),
            quant_format=tools.QuantFormat.QDQ,
            op_types_to_quantize=list(OPERATORS),
            per_channel=True,
            activation_type=tools.QuantType.QUInt8,
            weight_type=tools.QuantType.QInt8,
        )


def predicted(path: Path, x_LNHWC: Sequence[Pixels]) -> Floats:
    """(N, K) what a model predicts, a batch at a time."""
    run, parts = export.runner(path), []
    for start in range(0, len(x_LNHWC[0]), BATCH):
        parts.append(run([np.ascontiguousarray(x[start : start + BATCH]) for x in x_LNHWC]))
    return np.concatenate(parts)


def halves(n: int) -> tuple[slice, slice]:
    """Which of `n` images calibrate, and on which the loss is measured; of one image, both are it."""
    first = max(min(CALIBRATING, n // 2), 1)
    return slice(0, first), slice(first if n > 1 else 0, first + MEASURED)


def of_fold(predictor: Predictor, k: int) -> Predictor:
    """The ensemble of the models of one fold alone."""
    members = [
        member.model_copy(update={"committees": [member.committees[k]]})
        for member in predictor.manifest.members
    ]
    manifest = predictor.manifest.model_copy(update={"members": members})
    return Predictor(predictor.home, manifest, predictor.machine)


def out_of_fold(
    predictor: Predictor, k: int, calibrating: Sequence[Pixels], valid: Sequence[Pixels]
) -> tuple[Floats, Floats]:
    """(N, K) predictions of a validation part by the models of its fold, in 32 and in 8 bits."""
    with tempfile.TemporaryDirectory() as temporary:
        whole, small = Path(temporary) / "fold.onnx", Path(temporary) / "int8.onnx"
        export.write_onnx(of_fold(predictor, k), whole, [x[:2] for x in calibrating])
        quantise(whole, small, calibrating)
        return predicted(whole, valid), predicted(small, valid)
