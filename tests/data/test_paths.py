"""Names in tables and names on disk: Unicode forms, extensions, clutter, and no way out."""

import unicodedata

import pytest

from pipeline.data.paths import Locator, image_suffix, images_below

NFD = unicodedata.normalize("NFD", "사진.jpg")


@pytest.fixture
def folder(tmp_path):
    for name in (NFD, "a.JPG", "b.jpeg", "c.png", "c.jpg", "img.001.png", "sub/d.webp", "._a.JPG", ".e.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    return tmp_path


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("a.JPG", "a.JPG"),
        ("a.jpg", "a.JPG"),
        ("a", "a.JPG"),
        ("b.jpg", "b.jpeg"),
        ("b", "b.jpeg"),
        ("c.png", "c.png"),
        ("img.001", "img.001.png"),
        ("sub/d", "d.webp"),
        ("./sub/../a", "a.JPG"),
        (unicodedata.normalize("NFC", "사진.jpg"), NFD),
        (unicodedata.normalize("NFC", "사진"), NFD),
    ],
)
def test_names_that_mean_one_file(folder, written, name):
    kind, path = Locator(folder).find(written)
    assert kind == "" and path.rsplit("/", 1)[1] == name


@pytest.mark.parametrize(
    ("written", "kind"),
    [
        ("c", "ambiguous images"),
        ("b.png", "missing images"),
        ("e", "missing images"),
        ("sub", "missing images"),
        ("nowhere/a", "missing images"),
        ("../a", "missing images"),
        (" ", "empty paths"),
        ("/etc/hostname", "paths outside"),
        ("../../etc/hostname", "paths outside"),
        ("a\0.jpg", "missing images"),
    ],
)
def test_names_that_mean_none(folder, written, kind):
    (folder.parent / "outside.png").write_bytes(b"x")
    found = Locator(folder).find(written)[0]
    assert found == kind or (written.startswith("..") and found in ("paths outside", "missing images"))


def test_an_extension_does_not_lead_out(folder):
    (folder.parent / "outside.png").write_bytes(b"x")
    assert Locator(folder).find("../outside")[0] in ("paths outside", "missing images")
    assert Locator(folder).find("../outside.png")[0] == "paths outside"
    (folder / "way.png").symlink_to(folder.parent / "outside.png")
    assert Locator(folder).find("way")[0] == "paths outside"


def test_what_was_done_to_names_is_told(folder):
    locator = Locator(folder)
    for name in (unicodedata.normalize("NFC", "사진.jpg"), "a", "a.JPG"):
        assert not locator.find(name)[0]
    assert list(locator.notes("t.csv")) == [
        "t.csv: 1 file names were joined after Unicode normalisation (first: 사진.jpg)",
        "t.csv: 1 file names were completed by their extension (first: a)",
    ]


def test_images_below_a_folder_skip_clutter(folder):
    (folder / "__MACOSX").mkdir()
    (folder / "__MACOSX" / "a.jpg").write_bytes(b"x")
    (folder / "notes.txt").write_bytes(b"x")
    images, others = images_below(folder)
    assert images == ["a.JPG", "b.jpeg", "c.jpg", "c.png", "img.001.png", "sub/d.webp", NFD]
    assert others == ["notes.txt"]


def test_suffixes():
    assert image_suffix("a.JPEG") == image_suffix("a.jpg") == ".jpg"
    assert image_suffix("a.001") == image_suffix("a") == ""
