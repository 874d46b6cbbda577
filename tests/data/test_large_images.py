"""Large images: one at a time, at a reduced size, within the memory."""

import threading
import time

import cv2
import numpy as np
import pytest
from PIL import Image

from pipeline.core.errors import StorageError
from pipeline.core.samples import Attribute, LabelSpace, Samples
from pipeline.data import decode, images
from pipeline.data.decode import Decoding
from pipeline.engine.hardware import free_memory

SPACE = LabelSpace.product([Attribute("kind", ("a", "b"))])
ORIENTATION = 0x0112


def smooth(height=600, width=900):
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([x * 255 // width, y * 255 // height, np.full_like(x, 30)], 2).astype(np.uint8)


def samples(paths):
    ids = np.array([f"i{n}" for n in range(len(paths))])
    return Samples(ids, np.array([str(p) for p in paths]), ids, SPACE, np.zeros(len(ids), np.int64), "train")


@pytest.fixture
def small_limit(monkeypatch):
    """Images of more than 10,000 px count as large, and strips are small."""
    monkeypatch.setattr(decode, "LARGE_PIXELS", 10_000)
    monkeypatch.setattr(decode, "STRIP_PIXELS", 20_000)


def saved(folder, kind):
    path, image = folder / f"x.{kind}", Image.fromarray(smooth())
    if kind == "16.png":
        cv2.imwrite(str(path), smooth()[..., ::-1].astype(np.uint16) * 257)
    elif kind == "f.tif":
        Image.fromarray(smooth()[..., 0].astype(np.float32)).save(path, tiffinfo={ORIENTATION: 6})
    elif kind == "p.png":
        image.quantize(64).save(path, transparency=3)
    elif kind == "rgba.png":
        image.putalpha(Image.fromarray(smooth()[..., 1]))
        image.save(path)
    else:
        exif = Image.Exif()
        exif[ORIENTATION] = 6
        image.save(path, **({} if kind == "jp2" else {"exif": exif}))
    return path


@pytest.mark.parametrize("kind", ["png", "jpg", "tif", "webp", "jp2", "16.png", "f.tif", "p.png", "rgba.png"])
def test_a_large_image_is_the_same_picture(tmp_path, monkeypatch, kind):
    path = saved(tmp_path, kind)
    ranges = decode.Ranges(given=(0.0, 255.0)) if kind == "f.tif" else decode.Ranges()
    usual = decode.decode(path, Decoding(70, ranges=ranges))
    monkeypatch.setattr(decode, "LARGE_PIXELS", 10_000)
    monkeypatch.setattr(decode, "STRIP_PIXELS", 20_000)
    got = decode.decode(path, Decoding(70, ranges=ranges))
    assert got.shape == usual.shape and np.abs(got.astype(int) - usual).mean() < 2
    with decode.pillow():
        assert decode.read("x", str(path), Decoding(70, ranges=ranges))[0].width in (600, 900)


def test_large_images_are_decoded_one_at_a_time(tmp_path, monkeypatch, small_limit):
    path = saved(tmp_path, "png")
    now, most, lock = [0], [0], threading.Lock()
    real = decode._upright

    def counting(*args):
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(0.01)
        try:
            return real(*args)
        finally:
            with lock:
                now[0] -= 1

    monkeypatch.setattr(decode, "_upright", counting)
    (tmp_path / "out").mkdir()
    images.build_decoded([samples([path] * 12)], tmp_path / "out", Decoding(50))
    assert most[0] == 1 and not images.DecodedImages(tmp_path / "out").faulty()


def test_too_little_memory_for_a_large_image_stops_with_its_name_and_keeps_what_is_done(
    tmp_path, monkeypatch
):
    small = tmp_path / "small.png"
    Image.fromarray(smooth(20, 30)).save(small)
    big = saved(tmp_path, "png")
    monkeypatch.setattr(decode, "LARGE_PIXELS", 10_000)
    monkeypatch.setattr(decode, "free_memory", lambda: 1e5)
    for name in ("out", "work"):
        (tmp_path / name).mkdir()
    paths = [small] * images.CHUNK + [big]
    with pytest.raises(StorageError, match=r"x\.png: the memory is too small to decode 900 × 600 px"):
        images.build_decoded([samples(paths)], tmp_path / "out", Decoding(50), tmp_path / "work")
    monkeypatch.setattr(decode, "free_memory", lambda: None)
    done = images.build_decoded([samples(paths)], tmp_path / "out", Decoding(50), tmp_path / "work")
    assert done == images.CHUNK


def test_a_small_file_that_asks_for_all_memory_does_not_decode_and_stops_nothing(tmp_path, monkeypatch):
    path = tmp_path / "x.png"
    Image.fromarray(smooth(20, 30)).save(path)

    def load(self):
        raise MemoryError

    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", load)
    (tmp_path / "out").mkdir()
    images.build_decoded([samples([path])], tmp_path / "out", Decoding(50))
    (faulty,) = images.DecodedImages(tmp_path / "out").faulty()
    assert faulty.why == "damaged: it asks for more memory than there is"


@pytest.mark.parametrize("error", [KeyError("x"), RuntimeError("a\nb"), AssertionError(), RecursionError()])
def test_whatever_a_decoder_raises_is_an_image_that_does_not_decode(tmp_path, monkeypatch, error):
    path = tmp_path / "x.png"
    Image.fromarray(smooth(20, 30)).save(path)

    def load(self):
        raise error

    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", load)
    (tmp_path / "out").mkdir()
    images.build_decoded([samples([path])], tmp_path / "out", Decoding(50))
    (faulty,) = images.DecodedImages(tmp_path / "out").faulty()
    assert faulty.why and "\n" not in faulty.why


def test_free_memory_is_that_of_the_container_where_it_is_less(tmp_path):
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 9 kB\nMemAvailable:   2000 kB\n")
    assert free_memory(meminfo, tmp_path) == 2000 * 1024
    (tmp_path / "memory.max").write_text("1000000\n")
    (tmp_path / "memory.current").write_text("400000\n")
    (tmp_path / "memory.stat").write_text("anon 300000\nfile 50000\n")
    assert free_memory(meminfo, tmp_path) == 650_000, "cached files can be given up"
    (tmp_path / "memory.max").write_text("max\n")
    assert free_memory(meminfo, tmp_path) == 2000 * 1024
    assert free_memory(tmp_path / "none", tmp_path) is None
