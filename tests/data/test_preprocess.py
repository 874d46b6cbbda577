import numpy as np
import pytest

from pipeline.data.preprocess import Preprocessor
from pipeline.settings.images import PreprocessSettings


@pytest.fixture(scope="module")
def face_HWC():
    from skimage.data import astronaut

    return np.ascontiguousarray(astronaut()[:240, 100:340])


def done(image, **settings):
    return Preprocessor(PreprocessSettings(**settings))(image)


def edges(image):
    return np.abs(np.diff(image.astype(int), axis=1)).mean()


def test_defaults_change_nothing_and_name_no_step(face_HWC):
    nothing = Preprocessor(PreprocessSettings())
    assert nothing.steps == () and nothing(face_HWC) is face_HWC
    assert Preprocessor(PreprocessSettings(clahe_tiles=8)).steps == (), "tiles alone switch nothing on"


def test_each_step_does_what_it_says(face_HWC):
    before = face_HWC.copy()
    dark = (face_HWC // 4).astype(np.uint8)
    assert done(dark, clahe=4.0).std() > 1.2 * dark.std()
    assert edges(done(face_HWC, sharpen=1.5)) > 1.2 * edges(face_HWC)
    assert done(face_HWC, brightness=0.2).mean() > face_HWC.mean() + 30
    assert done(face_HWC, contrast=0.5).std() < 0.6 * face_HWC.std()
    grey = done(face_HWC, saturation=0.0)
    assert np.ptp(grey.astype(int), axis=2).max() <= 1
    tinted = (face_HWC * [1.0, 0.7, 0.5]).astype(np.uint8)
    balanced = done(tinted, white_balance="grey_world").reshape(-1, 3).mean(0)
    assert np.ptp(balanced) < 0.3 * np.ptp(tinted.reshape(-1, 3).mean(0))
    assert np.array_equal(face_HWC, before), "the input was changed"


def test_clahe_leaves_colours_alone():
    orange = np.zeros((64, 64, 3), np.uint8)
    orange[:] = (200, 120, 40)
    orange[::2] = (100, 60, 20)
    out = done(orange, clahe=2.0).astype(int)
    assert (out[..., 0] > out[..., 1]).all() and (out[..., 1] > out[..., 2]).all()


def test_steps_are_named_in_order_and_any_shape_is_taken():
    both = Preprocessor(PreprocessSettings(sharpen=1.0, clahe=2.0))
    assert both.steps == ("preprocess.clahe=2.0", "preprocess.sharpen=1.0")
    for shape in ((1, 1, 3), (2, 50, 3), (31, 8, 3)):
        assert both(np.full(shape, 90, np.uint8)).shape == shape
    flat = np.full((16, 16, 3), 90, np.uint8)
    assert np.array_equal(done(flat, sharpen=3.0), flat), "nothing to sharpen"


def test_a_step_of_ones_own_may_change_the_size_and_comes_before_resizing(tmp_path, monkeypatch):
    from pipeline.core.errors import ConfigError
    from pipeline.data.preprocess import Look
    from pipeline.settings.images import ImageSettings
    from pipeline.settings.schema import Config

    source = "def half(image):\n    image[:] = 255 - image\n    return image[: len(image) // 2]\n"
    source += "def big(image):\n    return image.astype(int)\n"
    (tmp_path / "mypre.py").write_text(source, encoding="utf-8")
    monkeypatch.chdir(tmp_path)

    def look(name):
        function = PreprocessSettings(function=f"mypre:{name}")
        return Look.of(Config(images=ImageSettings(size=8), preprocess=function), None)

    image = np.zeros((16, 8, 3), np.uint8)
    image[8:] = 200
    assert (look("half")(("train", "a"), image) == 255).all() and image[0, 0, 0] == 0
    assert look("half").preprocess.steps == ("preprocess.function=mypre:half",)
    assert not (look("half").plain(("train", "a"), image) == 255).all()
    with pytest.raises(ConfigError, match=r"mypre:big of .* returned a ndarray of shape \(16, 8, 3\)"):
        look("big")(("train", "a"), image)
