"""Names that are no UTF-8 are one clear error, with every name; files that are no images do not matter."""

import os

import pytest

from pipeline.core.errors import ConfigError, DataError
from pipeline.core.terminal import printable
from pipeline.data.paths import images_below
from pipeline.settings.load import load


def put(folder, *names):
    for name in names:
        path = os.path.join(os.fsencode(folder), name)  # noqa: PTH118
        os.makedirs(os.path.dirname(path), exist_ok=True)  # noqa: PTH103, PTH120
        with open(path, "wb"):  # noqa: PTH123
            pass


def test_every_image_whose_name_is_no_utf8_is_named(tmp_path):
    put(tmp_path, b"cat/a.png", b"cat/caf\xe9.png", b"d\xf6g/b.png", "고양이/é.png".encode())
    with pytest.raises(DataError, match="2 images or folders") as caught:
        images_below(tmp_path)
    shown = printable(str(caught.value))
    assert "cat/caf\\xe9.png" in shown and "d\\xf6g/b.png" in shown and "convmv" in shown


def test_other_files_may_have_any_name(tmp_path):
    put(tmp_path, b"cat/a.png", b"notes\xff.txt", b".hidden\xff/a.png", "고양이/é.png".encode())
    assert images_below(tmp_path).images == ["cat/a.png", "고양이/é.png"]


def test_an_override_that_is_no_utf8_is_one_fault():
    with pytest.raises(ConfigError) as caught:
        load(["competition=digits", "competition.root=/data/caf\udce9"])
    assert len(caught.value.faults) == 1 and "not UTF-8" in caught.value.faults[0]
