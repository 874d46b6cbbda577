"""Names in tables and names on disk: Unicode forms, extensions, clutter, and no way out."""

import os
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


def test_a_link_is_followed_and_told_and_a_table_is_not(folder):
    (folder.parent / "outside.png").write_bytes(b"x")
    (folder / "way.png").symlink_to(folder.parent / "outside.png")
    (folder / "secret").symlink_to(folder.parent / "notes.txt")
    (folder.parent / "notes.txt").write_text("x", encoding="utf-8")
    locator = Locator(folder)
    assert locator.find("way") == ("", str((folder.parent / "outside.png").resolve()))
    assert locator.find("secret")[0] == "paths outside", "neither it nor its target is an image by its name"
    assert list(locator.notes("t.csv"))[-1] == (
        "t.csv: 1 image is outside the folder, because a link leads to it (first: way.png)"
    )


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
    for clutter in ("Thumbs.db", "desktop.ini"):
        (folder / clutter).write_bytes(b"x")
    found = images_below(folder)
    assert found.images == ["a.JPG", "b.jpeg", "c.jpg", "c.png", "img.001.png", "sub/d.webp", NFD]
    assert found.others == ["notes.txt"] and not found.broken and not found.linked


def test_links_to_folders_are_followed_but_never_in_a_circle(folder, tmp_path_factory):
    far = tmp_path_factory.mktemp("far")
    (far / "x.png").write_bytes(b"x")
    (folder / "linked").symlink_to(far)
    (folder / "sub" / "up").symlink_to("..")
    (folder / "self.jpg").symlink_to("self.jpg")
    (folder / "nowhere").symlink_to(far / "none")
    os.mkfifo(folder / "pipe.png")
    found = images_below(folder)
    assert "linked/x.png" in found.images and found.linked == ["linked/x.png"]
    assert found.broken == ["nowhere", "pipe.png", "self.jpg", "sub/up"]
    assert len(list(found.notes("photos"))) == 2
    assert Locator(folder).find("linked/x.png") == ("", str(far.resolve() / "x.png"))
    assert Locator(folder).find("self.jpg")[0] == "missing images"
    assert not Locator(folder / "self.jpg").find("a")[1], "a folder that is a link to itself"


def test_folders_in_front_that_all_names_have_may_be_missing(tmp_path):
    for name in ("a/1.jpg", "b/1.jpg", "b/2.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    names = ["C:\\data\\train\\a\\1.jpg", "C:\\data\\train\\b\\1.jpg", "C:\\data\\train\\b\\2"]
    locator = Locator(tmp_path, names)
    assert [locator.find(n)[1].removeprefix(f"{tmp_path}/") for n in names] == [
        "a/1.jpg",
        "b/1.jpg",
        "b/2.jpg",
    ]
    assert list(locator.notes("t.csv"))[-1].startswith(
        "t.csv: 3 file names were found without the folders in"
    )
    absolute = ["/kaggle/input/x/a/1.jpg", "/kaggle/input/x/b/2.jpg"]
    assert not any(Locator(tmp_path, absolute).find(n)[0] for n in absolute)
    other = ["../input/b/2.jpg", "../input/b/1.jpg"]
    assert not any(Locator(tmp_path, other).find(n)[0] for n in other)
    assert Locator(tmp_path, ["a/2.jpg", "b/1.jpg"]).find("a/2.jpg")[0] == "missing images", (
        "b/2.jpg is another"
    )
    assert Locator(tmp_path, ["a/1.jpg", "../b/1.jpg"]).find("../b/1.jpg")[0] == "paths outside"


def test_an_image_is_searched_in_the_folders_below(tmp_path):
    for name in ("part_1/x1.jpg", "part_2/x2.jpg", "cat/1.png", "dog/1.png", "dog/deep/2.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    locator = Locator(tmp_path)
    assert locator.find("x1")[1].endswith("part_1/x1.jpg") and locator.find("x2.jpg")[1].endswith(
        "part_2/x2.jpg"
    )
    assert locator.find("deep/2.png")[1].endswith("dog/deep/2.png")
    assert locator.find("cat/2.png")[0] == "missing images"
    assert locator.find("1.png")[0] == "ambiguous images" and locator.matches == ["cat/1.png", "dog/1.png"]
    assert locator.find("1.png", ("7", "dog"))[1].endswith("dog/1.png"), "the row names the folder"
    notes = list(locator.notes("t.csv"))
    assert notes == ["t.csv: 4 images were found by their name in folders below (first: x1 is part_1/x1.jpg)"]


def test_suffixes():
    assert image_suffix("a.JPEG") == image_suffix("a.jpg") == ".jpg"
    assert image_suffix("a.001") == image_suffix("a") == ""
