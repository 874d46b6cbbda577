"""Metadata: only the orientation is read, nothing in it stops a picture, and profiles are not applied."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin

from pipeline.data import depth, images, upright
from pipeline.data.decode import Decoding, decode

ORIENTATION, MAKE = 0x0112, 0x010F
# (tag, type, number, value) of fields as phones, scanners and editors leave them, most of them wrong.
ODD = {
    "a double that lies nowhere": (MAKE, 12, 1, b"\x01\0\0\0"),
    "a float": (0x02BC, 11, 1, b"\0\0\x80\x3f"),
    "a width as text": (0x0100, 2, 4, b"abc\0"),
    "a type that does not exist": (0x0131, 99, 1, bytes(4)),
    "a text without end": (MAKE, 2, 0xFFFFFFFF, b"\xff\xff\xff\x7f"),
    "a directory that lies outside": (0x8769, 4, 1, b"\xff\xff\xff\x7f"),
    "a directory that contains itself": (0x8769, 4, 1, struct.pack("<I", 8)),
    "a fraction by zero": (0x011A, 5, 1, struct.pack("<I", 8)),
}


def pixels() -> np.ndarray:
    y, x = np.mgrid[0:40, 0:60]
    return np.stack([x * 4, y * 6, np.full_like(x, 30)], 2).astype(np.uint8)


def block(*fields: tuple[int, int, int, bytes], turn: int = 6) -> bytes:
    every = sorted([(ORIENTATION, 3, 1, struct.pack("<HH", turn, 0)), *fields])
    rows = b"".join(struct.pack("<HHI", tag, kind, n) + value for tag, kind, n, value in every)
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(every)) + rows + bytes(36)


def assert_upright(path, tolerance=4.0):
    got = decode(path, Decoding(100))
    assert got.shape == (60, 40, 3)
    assert np.abs(got.astype(int) - np.rot90(pixels(), -1)).mean() < tolerance


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("kind", ["jpg", "png", "webp"])
def test_an_odd_field_never_stops_a_picture_and_its_orientation_counts(tmp_path, odd, kind):
    Image.fromarray(pixels()).save(tmp_path / f"x.{kind}", exif=b"Exif\0\0" + block(ODD[odd]))
    assert_upright(tmp_path / f"x.{kind}")


@pytest.mark.parametrize("kind", ["avif", "tif"])
@pytest.mark.parametrize("odd", [1, 5, 11, 12, 13, 99])
def test_odd_fields_of_formats_that_are_read_whole(tmp_path, kind, odd):
    exif = Image.Exif()
    exif[MAKE], exif[ORIENTATION] = "abc", 6
    path = tmp_path / f"x.{kind}"
    Image.fromarray(pixels()).save(path, exif=exif)
    raw = path.read_bytes()
    field = next(f for f in (struct.pack(f"{o}HHI", MAKE, 2, 4) for o in "<>") if f in raw)
    order = "<" if field[0] == 0x0F else ">"
    path.write_bytes(raw.replace(field, struct.pack(f"{order}HHI", MAKE, odd, 1)))
    assert_upright(path)


@pytest.mark.parametrize("turn", range(10))
def test_all_orientations_in_every_format(tmp_path, turn):
    as_stored = Image.fromarray(pixels())
    Image.fromarray(pixels()).save(tmp_path / "x.png", exif=b"Exif\0\0" + block(turn=turn))
    as_stored.save(tmp_path / "x.tif", tiffinfo={ORIENTATION: turn})
    methods = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }
    expected = np.asarray(as_stored.transpose(methods[turn]) if turn in methods else as_stored)
    for name in ("x.png", "x.tif"):
        assert np.array_equal(decode(tmp_path / name, Decoding(100)), expected)


@pytest.mark.parametrize("deep", ["F", "I;16", "RGB;16"])
def test_deep_tiffs_that_lie_on_their_side(tmp_path, deep):
    import cv2

    grey = np.mgrid[0:40, 0:60][1]
    path = tmp_path / "x.tif"
    if deep == "RGB;16":
        cv2.imwrite(str(path), np.stack([grey * 1000] * 3, 2).astype(np.uint16))
        raw = bytearray(path.read_bytes())
        # The planar configuration, which is the default, becomes the orientation.
        at = raw.find(struct.pack("<HHI", 284, 3, 1))
        raw[at : at + 10] = struct.pack("<HHIH", ORIENTATION, 3, 1, 6)
        path.write_bytes(raw)
    else:
        values = grey.astype(np.float32) if deep == "F" else (grey * 1000).astype(np.uint16)
        Image.fromarray(values).save(path, tiffinfo={ORIENTATION: 6})
    found = images.measured([str(path)], Decoding(100))
    got = decode(path, Decoding(100, ranges=depth.Ranges(measured=found)))
    assert got.shape == (60, 40, 3) and got[0, 0, 0] < 10 and got[-1, 0, 0] > 245


def test_the_orientation_of_xmp_counts_where_exif_has_none(tmp_path):
    text = PngImagePlugin.PngInfo()
    text.add_itxt("XML:com.adobe.xmp", '<x tiff:Orientation="6"/>')
    Image.fromarray(pixels()).save(tmp_path / "x.png", pnginfo=text)
    assert_upright(tmp_path / "x.png")


def test_texts_of_a_png_never_stop_it(tmp_path):
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    bomb = PngImagePlugin.PngInfo()
    bomb.add_text("notes", "a" * 3_000_000, zip=True)
    Image.fromarray(pixels()).save(tmp_path / "bomb.png", pnginfo=bomb, exif=exif)
    assert_upright(tmp_path / "bomb.png")
    small = PngImagePlugin.PngInfo()
    small.add_text("notes", "abc")
    Image.fromarray(pixels()).save(tmp_path / "sum.png", pnginfo=small, exif=exif)
    raw = (tmp_path / "sum.png").read_bytes().replace(b"abc", b"abd")
    (tmp_path / "sum.png").write_bytes(raw)
    assert_upright(tmp_path / "sum.png")


def test_a_damaged_exif_block_means_as_stored():
    cut = block()
    for n in range(len(cut)):
        image = Image.new("RGB", (2, 2))
        image.info["exif"] = cut[:n]
        assert upright.orientation_of(image) in (1, 6)
    image.info["exif"] = block(turn=77)
    assert upright.orientation_of(image) == 1


def test_colour_profiles_are_not_applied(tmp_path):
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
    broken = b"no profile at all"
    for name, profile in (("a.png", lab.tobytes()), ("b.png", broken), ("c.tif", lab.tobytes())):
        Image.fromarray(pixels()).save(tmp_path / name, icc_profile=profile)
        assert np.array_equal(decode(tmp_path / name, Decoding(100)), pixels())
    Image.fromarray(pixels()).save(tmp_path / "a.jpg", quality=95)
    Image.fromarray(pixels()).save(tmp_path / "b.jpg", quality=95, icc_profile=lab.tobytes())
    assert np.array_equal(
        decode(tmp_path / "a.jpg", Decoding(100)), decode(tmp_path / "b.jpg", Decoding(100))
    )
    raw = (tmp_path / "a.png").read_bytes()
    at = raw.index(b"iCCP")
    length = int.from_bytes(raw[at - 4 : at], "big")
    chunk = b"iCCP" + b"x\0\0" + bytes(length - 3)
    damaged = raw[:at] + chunk + struct.pack(">I", zlib.crc32(chunk)) + raw[at + 8 + length :]
    (tmp_path / "d.png").write_bytes(damaged)
    assert np.array_equal(decode(tmp_path / "d.png", Decoding(100)), pixels())
