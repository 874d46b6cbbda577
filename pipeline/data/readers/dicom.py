"""DICOM files: their values in the unit of the scanner, bright where there is much.

Owns the extra `dicom`: rescale slope and intercept, MONOCHROME1 (0 is white) inverted, a file's window if
`images.window=file`, and the first frame of several. Does not own the range of values of a whole set
(`data/depth.py`).
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from pipeline.data import texts
from pipeline.data.readers.reading import Reading, Values, library

EXTRA = "dicom"
HEAD_AT, HEAD = 128, b"DICM"
# Grey with frames, or colour with bands: axes of an image with one more.
FRAMES = {1: 3, 3: 4}


def single(raw: bytes, name: str, reading: Reading, at: int = 0) -> Values:
    """(H, W) float32 values of a grey file, or (H, W, 3) uint8 of one in colour; frame `at` of several.

    Raises:
        DataError: pydicom is not installed.
        ValueError: it is damaged, or compressed in a way that no installed decoder reads.
    """
    pydicom = library("pydicom", EXTRA, name)
    try:
        data = pydicom.dcmread(io.BytesIO(raw), force=raw[HEAD_AT : HEAD_AT + 4] != HEAD)
        pixels = np.asarray(data.pixel_array)
    except Exception as error:  # damaged files raise all kinds
        raise ValueError(texts.DICOM_DAMAGED.format(why=" ".join(str(error).split()))) from error
    samples = int(data.get("SamplesPerPixel", 1))
    if pixels.ndim == FRAMES.get(samples):
        if reading.pages == "channels" and samples == 1:
            return np.stack([_shown(frame, data, reading, name) for frame in pixels], axis=-1)
        pixels = pixels[at]
    return pixels if samples == 3 else _shown(pixels, data, reading, name)


def _shown(pixels: Values, data: Any, reading: Reading, name: str) -> Values:
    """The values of one frame, which are not colours, or colours of its palette."""
    if data.get("PhotometricInterpretation") == "PALETTE COLOR":
        coloured = np.asarray(library("pydicom.pixels", EXTRA, name).apply_color_lut(pixels, data))
        return (coloured >> 8).astype(np.uint8) if coloured.dtype == np.uint16 else coloured
    return _grey(pixels, data, reading, library("pydicom.pixels", EXTRA, name))


def frames(raw: bytes, name: str) -> int:
    """Frames of a file, from its header; 1 if that cannot be read."""
    pydicom = library("pydicom", EXTRA, name)
    try:
        data = pydicom.dcmread(io.BytesIO(raw), stop_before_pixels=True)
        return int(data.get("NumberOfFrames", 1) or 1)
    except Exception:
        return 1


def _grey(pixels: Values, data: Any, reading: Reading, functions: Any) -> Values:
    values = np.asarray(functions.apply_modality_lut(pixels, data)).astype(np.float32)
    if reading.window == "file":
        # pydicom inverts nothing here: the window of a file is about its values, whatever is white.
        values = np.asarray(functions.apply_voi_lut(values, data)).astype(np.float32)
    if data.get("PhotometricInterpretation") == "MONOCHROME1":
        low, high = _ends(data, functions, reading, pixels)
        values = np.float32(low + high) - values
    return values


def _ends(data: Any, functions: Any, reading: Reading, pixels: Values) -> tuple[float, float]:
    """The lowest and highest value that the stored bits can hold, in the unit of the values."""
    bits, signed = int(data.get("BitsStored", 16)), bool(data.get("PixelRepresentation", 0))
    low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
    ends = np.array([[low, high]], np.int32)
    values = np.asarray(functions.apply_modality_lut(ends, data)).astype(np.float32)
    if reading.window == "file":
        values = np.asarray(functions.apply_voi_lut(values, data)).astype(np.float32)
    return float(values.min()), float(values.max())
