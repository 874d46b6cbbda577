import hashlib
import io

import cv2
import numpy as np
import pytest
from PIL import Image

from pipeline.core.errors import DataError
from pipeline.core.types import Attribute, LabelSpace, Samples
from pipeline.data import images
from pipeline.settings.schema import ImageSettings

SPACE = LabelSpace.product([Attribute("kind", ("a", "b"))])
ORIENTATION = 0x0112


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
    assert np.array_equal(images.decode(tmp_path / "x.png", 100), np.rot90(photo(), -1))


def test_transparency_is_laid_on_white(tmp_path):
    rgba = np.zeros((4, 4, 4), np.uint8)
    rgba[:2] = (255, 0, 0, 255)
    rgba[2:] = (0, 0, 255, 0)
    rgba[0, 0] = (0, 0, 0, 128)
    Image.fromarray(rgba).save(tmp_path / "rgba.png")
    got = images.decode(tmp_path / "rgba.png", 100)
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
    assert images.decode(tmp_path / "p.png", 9)[0, 0].tolist() == [10, 20, 30]
    clear = images.decode(tmp_path / "t.png", 9)
    assert clear[0, 0].tolist() == [255] * 3 and clear[1, 1].tolist() == [200, 100, 50]
    assert images.decode(tmp_path / "b.png", 9)[0, 0].tolist() == [132, 137, 142]


@pytest.mark.parametrize("mode", ["L", "1", "LA", "CMYK", "YCbCr"])
def test_other_modes_become_rgb(tmp_path, mode):
    name = "x.tif" if mode in ("CMYK", "YCbCr") else "x.png"
    Image.fromarray(photo()).convert(mode).save(tmp_path / name)
    got = images.decode(tmp_path / name, 100)
    assert got.shape == (40, 60, 3) and got.dtype == np.uint8
    expected = np.asarray(Image.fromarray(photo()).convert(mode).convert("RGB"))
    assert np.abs(got.astype(int) - expected).max() <= 2


def test_cmyk_jpeg(tmp_path):
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(tmp_path / "x.jpg")
    assert np.abs(images.decode(tmp_path / "x.jpg", 100)[8, 8].astype(int) - [255, 0, 0]).max() < 12


def test_sixteen_bit_grey_keeps_its_range(tmp_path):
    ramp = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    Image.fromarray(ramp).save(tmp_path / "x.png")
    got = images.decode(tmp_path / "x.png", 100)
    assert np.abs(got[..., 0].ravel().astype(int) - np.arange(256)).max() <= 1
    Image.fromarray(ramp // 300).save(tmp_path / "dark.png")
    assert images.decode(tmp_path / "dark.png", 100).max() <= 1, "a dark picture was stretched"


def test_the_longest_side_is_bounded_and_small_images_stay(tmp_path):
    Image.fromarray(photo(400, 600)).save(tmp_path / "x.png")
    assert images.decode(tmp_path / "x.png", 90).shape == (60, 90, 3)
    assert images.decode(tmp_path / "x.png", 600).shape == (400, 600, 3)
    assert images.decode(tmp_path / "x.png", 9000).shape == (400, 600, 3)
    Image.fromarray(photo(2, 600)).save(tmp_path / "thin.png")
    assert images.decode(tmp_path / "thin.png", 30).shape == (1, 30, 3)


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


def test_every_undecodable_image_is_named(tmp_path):
    Image.fromarray(photo()).save(tmp_path / "fine.png")
    bad = broken_files(tmp_path)
    (tmp_path / "out").mkdir()
    with pytest.raises(DataError) as caught:
        images.build_decoded([samples([tmp_path / "fine.png", *bad])], tmp_path / "out", 64)
    assert f"{len(bad)} images do not decode" in caught.value.headline
    assert [f.split(" (id")[0] for f in caught.value.faults] == [str(p) for p in bad]
    assert "(id i1)" in caught.value.faults[0]
    assert not (tmp_path / "out" / "index.npz").exists()
    for path in bad:
        with pytest.raises(DataError, match="does not decode"):
            images.decode(path, 64)


@pytest.fixture
def built(tmp_path):
    paths = []
    for n in range(70):  # more than a chunk
        paths.append(tmp_path / f"{n}.png")
        Image.fromarray(photo(20 + n, 90 - n, n % 10)).save(paths[-1])
    folder = tmp_path / "decoded"
    folder.mkdir()
    images.build_decoded([samples(paths[:50]), samples(paths[50:], "test", "t")], folder, 64)
    return paths, images.DecodedImages(folder)


def test_decoded_images_come_back_by_id(built):
    paths, decoded = built
    assert len(decoded) == 70 and "t19" in decoded and "t20" not in decoded
    for name, path in (("i0", paths[0]), ("i49", paths[49]), ("t0", paths[50]), ("t19", paths[69])):
        assert np.array_equal(decoded[name], images.decode(path, 64))
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
    images.build_decoded([samples([tmp_path / n for n in written])], folder, 128)
    facts = images.DecodedImages(folder).facts()
    bits = [int(h, 16) for h in facts["phash"]]
    assert (bits[0] ^ bits[1]).bit_count() <= 4 and (bits[0] ^ bits[2]).bit_count() >= 16
    assert facts["sha256"][0] != facts["sha256"][1]
    assert facts["blur"][3] > 10 * facts["blur"][4]


def test_an_id_in_two_splits_is_refused(tmp_path):
    Image.fromarray(photo()).save(tmp_path / "x.png")
    one = samples([tmp_path / "x.png"])
    with pytest.raises(DataError, match="more than once"):
        images.build_decoded([one, one], tmp_path, 64)


def test_opencv_threads_are_given_back(tmp_path):
    Image.fromarray(photo()).save(tmp_path / "x.png")
    before = cv2.getNumThreads()
    try:
        cv2.setNumThreads(3)
        images.build_decoded([samples([tmp_path / "x.png"])], tmp_path, 64)
        assert cv2.getNumThreads() == 3
    finally:
        cv2.setNumThreads(before)


def test_resize_squash_letterbox_cover():
    half = np.zeros((20, 40, 3), np.uint8)
    half[:, 20:] = 200
    squash, letterbox, cover = (images.resize(half, 20, how) for how in ("squash", "letterbox", "cover"))
    assert squash.shape == letterbox.shape == cover.shape == (20, 20, 3)
    assert squash[10, 2, 0] == 0 and squash[10, 17, 0] == 200
    assert (letterbox[:5] == 255).all() and (letterbox[15:] == 255).all() and letterbox[10, 2, 0] == 0
    assert np.array_equal(cover, half[:, 10:30])
    assert images.resize(half, 80, "letterbox").shape == (80, 80, 3)
    assert np.array_equal(images.resize(cover, 20, "squash"), cover), "the right size is left alone"


def test_area_averages_when_shrinking():
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    assert set(np.unique(images.resize(stripes, 16, "squash"))) <= {127, 128}


@pytest.mark.parametrize("how", ["squash", "letterbox", "cover"])
def test_prepared_images_by_id(built, tmp_path, how):
    _, decoded = built
    settings = ImageSettings(size=24, resize=how)
    images.build_prepared(decoded, decoded.ids, settings, tmp_path / "prepared.npy")
    prepared = images.PreparedImages.open(tmp_path / "prepared.npy")
    assert prepared.x_NHWC.shape == (70, 24, 24, 3) and isinstance(prepared.x_NHWC, np.memmap)
    taken = prepared.take(np.array(["t3", "i9"]))
    assert np.array_equal(taken[0], images.resize(decoded["t3"], 24, how))
    assert np.array_equal(taken[1], images.resize(decoded["i9"], 24, how))
    with pytest.raises(DataError, match="nobody"):
        prepared.take(np.array(["nobody"]))
