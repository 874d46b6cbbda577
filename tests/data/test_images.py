import hashlib
import inspect
import io
import os
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageFile

from pipeline.core.errors import DataError
from pipeline.core.samples import Attribute, LabelSpace, Samples
from pipeline.data import decode, images
from pipeline.data.decode import Decoding, resize

SPACE = LabelSpace.product([Attribute("kind", ("a", "b"))])
ORIENTATION = 0x0112
WORLD = """
import numpy as np
from pipeline.core.samples import Attribute, LabelSpace, Samples
SPACE = LabelSpace.product([Attribute("kind", ("a", "b"))])
"""


def photo(height=40, width=60, seed=0):
    """Smooth colours, so that lossy formats stay near."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([x * 255 // width, y * 255 // height, np.full_like(x, 30 + seed * 20)], 2).astype(
        np.uint8
    )


def samples(paths, split="train", prefix="i"):
    ids = np.array([f"{prefix}{n}" for n in range(len(paths))])
    labels = np.zeros(len(paths), np.int64) if split == "train" else None
    return Samples(ids, np.array([str(p) for p in paths]), ids, SPACE, labels, split)


def test_exif_orientation_is_applied(tmp_path):
    exif = Image.Exif()
    exif[ORIENTATION] = 6  # stored lying on its side: turn clockwise to see it upright
    Image.fromarray(photo()).save(tmp_path / "x.png", exif=exif)
    assert np.array_equal(decode.decode(tmp_path / "x.png", Decoding(100)), np.rot90(photo(), -1))


def test_transparency_is_laid_on_white(tmp_path):
    rgba = np.zeros((4, 4, 4), np.uint8)
    rgba[:2] = (255, 0, 0, 255)
    rgba[2:] = (0, 0, 255, 0)
    rgba[0, 0] = (0, 0, 0, 128)
    Image.fromarray(rgba).save(tmp_path / "rgba.png")
    got = decode.decode(tmp_path / "rgba.png", Decoding(100))
    assert got.shape == (4, 4, 3)
    assert got[1, 1].tolist() == [255, 0, 0] and got[3, 3].tolist() == [255, 255, 255]
    assert got[0, 0].tolist() == [127, 127, 127]


def test_palettes_with_and_without_transparency(tmp_path):
    image = Image.new("P", (4, 4), 0)
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putpixel((1, 1), 1)
    image.save(tmp_path / "p.png")
    image.save(tmp_path / "t.png", transparency=0)
    image.save(tmp_path / "b.png", transparency=bytes([128, 255]))
    assert decode.decode(tmp_path / "p.png", Decoding(9))[0, 0].tolist() == [10, 20, 30]
    clear = decode.decode(tmp_path / "t.png", Decoding(9))
    assert clear[0, 0].tolist() == [255] * 3 and clear[1, 1].tolist() == [200, 100, 50]
    assert decode.decode(tmp_path / "b.png", Decoding(9))[0, 0].tolist() == [132, 137, 142]


@pytest.mark.parametrize("mode", ["L", "1", "LA", "CMYK", "YCbCr"])
def test_other_modes_become_rgb(tmp_path, mode):
    name = "x.tif" if mode in ("CMYK", "YCbCr") else "x.png"
    Image.fromarray(photo()).convert(mode).save(tmp_path / name)
    got = decode.decode(tmp_path / name, Decoding(100))
    assert got.shape == (40, 60, 3) and got.dtype == np.uint8
    expected = np.asarray(Image.fromarray(photo()).convert(mode).convert("RGB"))
    assert np.abs(got.astype(int) - expected).max() <= 2


def test_cmyk_jpeg(tmp_path):
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(tmp_path / "x.jpg")
    assert np.abs(decode.decode(tmp_path / "x.jpg", Decoding(100))[8, 8].astype(int) - [255, 0, 0]).max() < 12


def test_sixteen_bit_grey_keeps_its_range(tmp_path):
    ramp = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    Image.fromarray(ramp).save(tmp_path / "x.png")
    got = decode.decode(tmp_path / "x.png", Decoding(100))
    assert np.abs(got[..., 0].ravel().astype(int) - np.arange(256)).max() <= 1
    Image.fromarray(ramp // 300).save(tmp_path / "dark.png")
    assert decode.decode(tmp_path / "dark.png", Decoding(100)).max() <= 1, "a dark picture was stretched"


def test_the_longest_side_is_bounded_and_small_images_stay(tmp_path):
    Image.fromarray(photo(400, 600)).save(tmp_path / "x.png")
    assert decode.decode(tmp_path / "x.png", Decoding(90)).shape == (60, 90, 3)
    assert decode.decode(tmp_path / "x.png", Decoding(600)).shape == (400, 600, 3)
    assert decode.decode(tmp_path / "x.png", Decoding(9000)).shape == (400, 600, 3)
    Image.fromarray(photo(2, 600)).save(tmp_path / "thin.png")
    assert decode.decode(tmp_path / "thin.png", Decoding(30)).shape == (1, 30, 3)


def broken_files(folder):
    """Every way in which a file fails to be an image."""
    buffers = {}
    for kind in ("png", "jpeg", "gif"):
        buffer = io.BytesIO()
        noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(noise).save(buffer, kind)
        buffers[kind] = buffer.getvalue()
    written = {
        "cut.png": buffers["png"][: len(buffers["png"]) // 2],
        "cut.jpg": buffers["jpeg"][: len(buffers["jpeg"]) // 2],
        "cut.gif": buffers["gif"][: len(buffers["gif"]) // 2],
        "head.png": buffers["png"][:20],
        "text.png": b"<html>404</html>",
        "empty.png": b"",
    }
    for name, content in written.items():
        (folder / name).write_bytes(content)
    return [folder / name for name in written] + [folder / "gone.png"]


def test_every_undecodable_image_is_noted_and_stays_white(tmp_path):
    Image.fromarray(photo()).save(tmp_path / "fine.png")
    bad = broken_files(tmp_path)
    (tmp_path / "out").mkdir()
    images.build_decoded([samples([tmp_path / "fine.png", *bad])], tmp_path / "out", Decoding(64))
    decoded = images.DecodedImages(tmp_path / "out")
    faulty = decoded.faulty()
    assert [f.path for f in faulty] == [str(p) for p in bad]
    assert [f.id for f in faulty] == [f"i{n + 1}" for n in range(len(bad))]
    assert {f.fate for f in faulty} == {"white"} and {f.split for f in faulty} == {"train"}
    why = {Path(f.path).name: f.why for f in faulty}
    assert why["empty.png"] == "the file is empty"
    assert why["gone.png"] == "the file is missing" and why["text.png"] == "not an image"
    assert "truncated" in why["cut.jpg"]
    assert (decoded["i3"] == 255).all() and np.array_equal(decoded["i0"], photo())
    for path in bad:
        with pytest.raises(DataError, match="does not decode"):
            decode.decode(path, Decoding(64))


def test_truncated_files_can_be_used_in_part(tmp_path):
    good = broken_files(tmp_path)
    whole = decode.decode(noise_png(tmp_path), Decoding(64))
    (tmp_path / "out").mkdir()
    images.build_decoded([samples(good)], tmp_path / "out", Decoding(64, truncated=True))
    decoded = images.DecodedImages(tmp_path / "out")
    fates = {Path(f.path).name: f.fate for f in decoded.faulty()}
    assert fates["cut.png"] == fates["cut.jpg"] == "in part"
    assert fates["text.png"] == fates["empty.png"] == fates["gone.png"] == "white"
    assert np.array_equal(decoded["i0"][:20], whole[:20]) and not np.array_equal(decoded["i0"], whole)
    assert not ImageFile.LOAD_TRUNCATED_IMAGES, "the switch of the whole process was left on"


def noise_png(folder):
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(folder / "noise.png")
    return folder / "noise.png"


def test_decompression_bombs_are_refused_before_a_pixel_is_read(tmp_path):
    Image.new("L", (200, 100)).save(tmp_path / "small.png")
    raw = bytearray((tmp_path / "small.png").read_bytes())
    raw[16:24] = struct.pack(">II", 30_000, 30_000)  # what the header declares: 2.7 GB once decoded
    raw[29:33] = struct.pack(">I", zlib.crc32(raw[12:29]))
    (tmp_path / "bomb.png").write_bytes(raw)
    with pytest.raises(DataError, match=r"30000 × 30000 px, more than images.max_megapixels=180"):
        decode.decode(tmp_path / "bomb.png", Decoding(64))
    with pytest.raises(DataError, match="decompression bomb"):
        decode.decode(tmp_path / "small.png", Decoding(64, max_pixels=19_999))
    assert decode.decode(tmp_path / "small.png", Decoding(64, max_pixels=20_000)).shape == (32, 64, 3)


def test_an_iphones_heic_is_named(tmp_path):
    (tmp_path / "x.jpg").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200))
    with pytest.raises(DataError, match="HEIC, which is not supported: convert"):
        decode.decode(tmp_path / "x.jpg", Decoding(64))


@pytest.mark.parametrize("kind", ["webp", "gif", "bmp", "tiff", "avif"])
def test_formats_of_scrapers(tmp_path, kind):
    Image.fromarray(photo()).save(tmp_path / f"x.{kind}", quality=95)
    got = decode.decode(tmp_path / f"x.{kind}", Decoding(100))
    assert np.abs(got.astype(int) - photo()).mean() < 8


@pytest.mark.parametrize("kind", ["gif", "webp", "png"])
def test_an_animation_gives_its_first_picture(tmp_path, kind):
    first, second = Image.new("RGB", (8, 8), (250, 0, 0)), Image.new("RGB", (8, 8), (0, 0, 250))
    first.save(tmp_path / f"x.{kind}", save_all=True, append_images=[second])
    assert (
        np.abs(decode.decode(tmp_path / f"x.{kind}", Decoding(9))[4, 4].astype(int) - [250, 0, 0]).max() < 12
    )


def test_sixteen_bit_colour(tmp_path):
    deep = np.zeros((4, 4, 3), np.uint16)
    deep[...] = (65535, 32768, 256)
    cv2.imwrite(str(tmp_path / "deep.png"), deep[..., ::-1])
    assert decode.decode(tmp_path / "deep.png", Decoding(9))[0, 0].tolist() == [255, 128, 1]


def test_a_large_jpeg_keeps_its_picture_and_its_true_size(tmp_path):
    big = cv2.resize(photo(), (2400, 1600), interpolation=cv2.INTER_CUBIC)
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    Image.fromarray(big).save(tmp_path / "x.jpg", quality=92, exif=exif)
    (tmp_path / "out").mkdir()
    images.build_decoded([samples([tmp_path / "x.jpg"])], tmp_path / "out", Decoding(150))
    decoded = images.DecodedImages(tmp_path / "out")
    assert decoded["i0"].shape == (150, 100, 3)
    expected = cv2.resize(np.rot90(big, -1), (100, 150), interpolation=cv2.INTER_AREA)
    assert np.abs(decoded["i0"].astype(int) - expected).mean() < 2
    facts = decoded.facts()
    assert (facts["width"][0], facts["height"][0]) == (1600, 2400), "of the upright original"


KILLED = """
import sys
from pathlib import Path
import numpy as np
from pipeline.data import images
from pipeline.data.decode import Decoding
from tests_world import samples
folder = Path(sys.argv[1])
(folder / "draft").mkdir(exist_ok=True)
split = samples(sorted((folder / "in").iterdir()))
images.build_decoded([split], folder / "draft", Decoding(64), folder)
"""


def test_a_killed_decode_continues_and_ends_with_the_same_bytes(tmp_path):
    (tmp_path / "in").mkdir()
    for n in range(400):
        Image.fromarray(photo(60 + n % 7, 90, n % 10)).save(tmp_path / "in" / f"{n:03}.png")
    (tmp_path / "in" / "007.png").write_bytes(b"no image")
    (tmp_path / "tests_world.py").write_text(WORLD + inspect.getsource(samples), encoding="utf-8")
    path = os.pathsep.join([str(Path(__file__).parents[2]), str(tmp_path)])
    child = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path)], env=os.environ | {"PYTHONPATH": path}
    )
    journal = tmp_path / "journal.jsonl"
    while child.poll() is None and not (journal.is_file() and journal.stat().st_size):
        time.sleep(0.002)
    child.kill()
    child.wait()
    with journal.open("a", encoding="utf-8") as file:
        file.write('{"facts": [["i')  # a line that was being written
    with (tmp_path / "decoded.bin").open("ab") as file:
        file.write(b"pixels that the journal does not know")
    split = samples(sorted((tmp_path / "in").iterdir()))
    resumed = images.build_decoded([split], tmp_path / "draft", Decoding(64), tmp_path)
    assert 0 < resumed < 400 and resumed % images.CHUNK == 0
    (tmp_path / "once").mkdir()
    assert images.build_decoded([split], tmp_path / "once", Decoding(64)) == 0
    for name in ("decoded.bin", "facts.csv", "quarantine.csv"):
        assert (tmp_path / "draft" / name).read_bytes() == (tmp_path / "once" / name).read_bytes()
    assert len(images.DecodedImages(tmp_path / "draft").faulty()) == 1
    assert not journal.exists()


@pytest.fixture
def built(tmp_path):
    paths = []
    for n in range(70):  # more than a chunk
        paths.append(tmp_path / f"{n}.png")
        Image.fromarray(photo(20 + n, 90 - n, n % 10)).save(paths[-1])
    folder = tmp_path / "decoded"
    folder.mkdir()
    images.build_decoded([samples(paths[:50]), samples(paths[50:], "test", "t")], folder, Decoding(64))
    return paths, images.DecodedImages(folder)


def test_decoded_images_come_back_by_id(built):
    paths, decoded = built
    assert len(decoded) == 70 and "t19" in decoded and "t20" not in decoded
    for name, path in (("i0", paths[0]), ("i49", paths[49]), ("t0", paths[50]), ("t19", paths[69])):
        assert np.array_equal(decoded[name], decode.decode(path, Decoding(64)))
    assert decoded["i3"].base is not None and not decoded["i3"].flags.writeable
    total = sum(decoded[str(i)].size for i in decoded.ids)
    assert (decoded.folder / "decoded.bin").stat().st_size == total
    with pytest.raises(KeyError):
        decoded["nobody"]


def test_facts(built):
    paths, decoded = built
    facts = decoded.facts()
    assert facts["id"].tolist() == decoded.ids.tolist()
    assert (facts["width"][0], facts["height"][0]) == (90, 20), "of the original, not of the cache"
    assert facts["sha256"][0] == hashlib.sha256(paths[0].read_bytes()).hexdigest()
    assert facts["phash"].str.fullmatch("[0-9a-f]{16}").all()
    grey = cv2.cvtColor(decoded["i7"], cv2.COLOR_RGB2GRAY)
    assert facts["brightness"][7] == pytest.approx(grey.mean(), abs=0.001)
    assert facts["contrast"][7] == pytest.approx(grey.std(), abs=0.001)


def test_perceptual_hash_and_blur_see_what_they_should(tmp_path):
    rng = np.random.default_rng(3)
    scene = cv2.resize(rng.integers(0, 255, (8, 8, 3), dtype=np.uint8), (128, 128))
    other = cv2.resize(rng.integers(0, 255, (8, 8, 3), dtype=np.uint8), (128, 128))
    sharp = np.clip(scene.astype(int) + rng.integers(-40, 40, scene.shape), 0, 255).astype(np.uint8)
    written = {"a.png": scene, "a.jpg": scene, "b.png": other, "sharp.png": sharp}
    written["soft.png"] = cv2.GaussianBlur(sharp, (0, 0), 3)
    for name, pixels in written.items():
        Image.fromarray(pixels).save(tmp_path / name)
    folder = tmp_path / "d"
    folder.mkdir()
    images.build_decoded([samples([tmp_path / n for n in written])], folder, Decoding(128))
    facts = images.DecodedImages(folder).facts()
    bits = [int(h, 16) for h in facts["phash"]]
    assert (bits[0] ^ bits[1]).bit_count() <= 4 and (bits[0] ^ bits[2]).bit_count() >= 16
    assert facts["sha256"][0] != facts["sha256"][1]
    assert facts["blur"][3] > 10 * facts["blur"][4]


def test_an_id_in_two_splits_is_refused(tmp_path):
    Image.fromarray(photo()).save(tmp_path / "x.png")
    one = samples([tmp_path / "x.png"])
    with pytest.raises(DataError, match="more than once"):
        images.build_decoded([one, one], tmp_path, Decoding(64))


def test_opencv_threads_are_given_back(tmp_path):
    Image.fromarray(photo()).save(tmp_path / "x.png")
    before = cv2.getNumThreads()
    try:
        cv2.setNumThreads(3)
        images.build_decoded([samples([tmp_path / "x.png"])], tmp_path, Decoding(64))
        assert cv2.getNumThreads() == 3
    finally:
        cv2.setNumThreads(before)


def test_resize_squash_letterbox_cover():
    half = np.zeros((20, 40, 3), np.uint8)
    half[:, 20:] = 200
    squash, letterbox, cover = (resize(half, (20, 20), how) for how in ("squash", "letterbox", "cover"))
    assert squash.shape == letterbox.shape == cover.shape == (20, 20, 3)
    assert squash[10, 2, 0] == 0 and squash[10, 17, 0] == 200
    assert (letterbox[:5] == 255).all() and (letterbox[15:] == 255).all() and letterbox[10, 2, 0] == 0
    assert np.array_equal(cover, half[:, 10:30])
    assert resize(half, (80, 80), "letterbox").shape == (80, 80, 3)
    assert np.array_equal(resize(cover, (20, 20), "squash"), cover), "the right size is left alone"


def test_area_averages_when_shrinking():
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    assert set(np.unique(resize(stripes, (16, 16), "squash"))) <= {127, 128}


@pytest.mark.parametrize("how", ["squash", "letterbox", "cover"])
@pytest.mark.parametrize("size", [(24, 24), (20, 36), (36, 20)])
def test_prepared_images_by_id(built, tmp_path, how, size):
    _, decoded = built

    def look(name, image):
        return [resize(image, size, how)]

    images.build_prepared(
        decoded, [[name] for name in decoded.ids.tolist()], look, size, tmp_path / "prepared.npy", 1
    )
    prepared = images.PreparedImages.open(tmp_path / "prepared.npy")
    assert prepared.x_NHWC.shape == (70, *size, 3) and isinstance(prepared.x_NHWC, np.memmap)
    taken = prepared.take(np.array(["t3", "i9"]))
    assert np.array_equal(taken[0], resize(decoded["t3"], size, how))
    assert np.array_equal(taken[1], resize(decoded["i9"], size, how))
    with pytest.raises(DataError, match="nobody"):
        prepared.take(np.array(["nobody"]))


def test_rectangles_keep_what_they_should():
    wide = np.zeros((40, 120, 3), np.uint8)
    wide[:, 60:] = 200
    boxed = resize(wide, (40, 60), "letterbox")
    assert (boxed[:9] == 255).all() and (boxed[31:] == 255).all() and boxed[20, 5, 0] == 0
    assert np.array_equal(resize(wide, (40, 60), "cover"), wide[:, 30:90])
    assert np.array_equal(resize(wide, (40, 120), "letterbox"), wide), "the right shape has no border"


def test_letterbox_finishes_before_it_pads():
    grey = np.full((20, 40, 3), 100, np.uint8)
    out = resize(grey, (40, 40), "letterbox", lambda image: image + 50)
    assert (out[0] == 255).all() and (out[20] == 150).all()
