"""DICOM files: rescaled, bright where there is much, and their faults."""

import io

import numpy as np
import pytest

from pipeline.data import decode
from pipeline.data.decode import Decoding
from pipeline.data.depth import Ranges
from pipeline.data.readers.reading import Reading
from pipeline.data.readers.registry import Sources

pydicom = pytest.importorskip("pydicom")

RNG = np.random.default_rng(7)


def written(path, pixels, **tags):
    """A file with these pixels, (H, W), (frames, H, W) or (H, W, 3), and further elements."""
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    data = FileDataset(str(path), {}, file_meta=meta, preamble=bytes(128))
    colour = pixels.ndim == 3 and pixels.shape[-1] == 3
    data.SOPClassUID, data.SOPInstanceUID = SecondaryCaptureImageStorage, meta.MediaStorageSOPInstanceUID
    if pixels.ndim == 3 and not colour:
        data.NumberOfFrames = len(pixels)
    data.Rows, data.Columns = pixels.shape[:2] if colour or pixels.ndim == 2 else pixels.shape[1:]
    data.SamplesPerPixel = 3 if colour else 1
    if colour:
        data.PlanarConfiguration = 0
    data.PhotometricInterpretation = "RGB" if colour else "MONOCHROME2"
    data.BitsAllocated = data.BitsStored = pixels.dtype.itemsize * 8
    data.HighBit = data.BitsStored - 1
    data.PixelRepresentation = int(pixels.dtype.kind == "i")
    data.PixelData = pixels.tobytes()
    for name, value in tags.items():
        setattr(data, name, value)
    data.save_as(path)
    return str(path)


def read(path, **how):
    return Sources(Reading(**how)).read(path)


def test_values_are_in_the_scanners_unit(tmp_path):
    x = RNG.integers(0, 4096, (9, 8)).astype(np.uint16)
    path = written(tmp_path / "a.dcm", x, BitsStored=12, HighBit=11, RescaleSlope=2, RescaleIntercept=-1024)
    assert (read(path) == x * 2.0 - 1024).all()


def test_signed_values_stay_signed(tmp_path):
    x = RNG.integers(-1000, 1000, (9, 8)).astype(np.int16)
    assert (read(written(tmp_path / "a.dcm", x)) == x).all()


def test_monochrome1_is_inverted_over_its_stored_bits_and_not_over_the_image(tmp_path):
    x = RNG.integers(1000, 3000, (9, 8)).astype(np.uint16)
    tags = {"BitsStored": 12, "HighBit": 11}
    path = written(tmp_path / "a.dcm", x, PhotometricInterpretation="MONOCHROME1", **tags)
    assert (read(path) == 4095.0 - x).all()


def test_a_window_of_the_file_counts_only_if_it_is_asked_for(tmp_path):
    x = np.array([[0, 300, 500, 700, 4000]] * 5, np.uint16)
    path = written(tmp_path / "a.dcm", x, WindowCenter=500, WindowWidth=201, BitsStored=12, HighBit=11)
    assert (read(path) == x).all()
    shown = read(path, window="file")
    assert (
        shown[0, 0] == shown[0, 1] and shown[0, 3] == shown[0, 4] and shown[0, 1] < shown[0, 2] < shown[0, 3]
    )


def test_the_first_frame_of_several_and_colour(tmp_path):
    x = RNG.integers(0, 256, (4, 9, 8)).astype(np.uint8)
    assert (read(written(tmp_path / "a.dcm", x)) == x[0]).all()
    colour = RNG.integers(0, 256, (9, 8, 3)).astype(np.uint8)
    path = written(tmp_path / "b.dcm", colour)
    assert (decode.decode(tmp_path / "b.dcm", Decoding(64)) == colour).all() and read(path).dtype == np.uint8


def test_a_file_without_extension_is_known_by_its_first_bytes(tmp_path):
    x = RNG.integers(0, 1000, (9, 8)).astype(np.uint16)
    path = written(tmp_path / "000001", x)
    shown = decode.decode(tmp_path / "000001", Decoding(64, ranges=Ranges((0, 1000))))
    assert (shown[..., 0] == np.round(x * 0.255)).all() and read(path).shape == (9, 8)


@pytest.mark.parametrize("cut", [40, 200, 700])
def test_truncated_files_say_so(tmp_path, cut):
    x = RNG.integers(0, 1000, (40, 40)).astype(np.uint16)
    path = written(tmp_path / "a.dcm", x)
    raw = (tmp_path / "a.dcm").read_bytes()
    (tmp_path / "a.dcm").write_bytes(raw[:cut])
    with pytest.raises(ValueError, match="damaged, or compressed"):
        read(path)


def test_what_is_no_dicom_says_so(tmp_path):
    out = io.BytesIO(b"text" * 50)
    (tmp_path / "a.dcm").write_bytes(out.getvalue())
    with pytest.raises(ValueError, match="damaged"):
        read(str(tmp_path / "a.dcm"))
