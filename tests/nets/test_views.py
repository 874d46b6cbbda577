import math

import numpy as np
import pytest
import torch
from learn_world import digit_images, random_head
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as reference

from pipeline.core.errors import ConfigError
from pipeline.core.targets import Target
from pipeline.nets.forward import Pass
from pipeline.nets.model import build
from pipeline.nets.views import REGISTRY, parse, parse_all
from pipeline.settings.infer import DOES, does, expanded
from pipeline.settings.load import load
from pipeline.settings.model import ModelSettings
from pipeline.train.committee import predict_views

# Arguments of both signs and both sides of 1, by view; every registered one must be here.
EXAMPLES = {
    "identity": [()],
    "hflip": [()],
    "vflip": [()],
    "shift": [(1, 0), (-2, 3)],
    "scale": [(1.2,), (0.8,)],
    "rotate": [(10,), (-7.5,)],
    "crop": [(0.8, 0, 0), (0.75, 1, 0.5)],
    "brightness": [(1.3,), (0.6,)],
    "blur": [(0.7,), (3.0,)],
    "noise": [(0.1,), (0.02,)],
    "jpeg": [(50,), (5,)],
}


def examples():
    for name in REGISTRY:
        yield from (f"{name}({','.join(map(str, values))})" for values in EXAMPLES[name])


@pytest.fixture
def x_BCHW():
    return torch.rand(5, 3, 12, 16, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("text", list(examples()))
class TestContract:
    def test_shape_range_and_finite(self, text, x_BCHW):
        out = parse(text).apply(x_BCHW)
        assert out.shape == x_BCHW.shape and out.dtype == x_BCHW.dtype
        assert torch.isfinite(out).all() and out.min() >= 0 and out.max() <= 1

    def test_independent_of_the_batch(self, text, x_BCHW):
        view = parse(text)
        single = torch.cat([view.apply(x_BCHW[i : i + 1]) for i in range(len(x_BCHW))])
        assert torch.equal(view.apply(x_BCHW), single)

    def test_input_is_left_alone(self, text, x_BCHW):
        before = x_BCHW.clone()
        parse(text).apply(x_BCHW)
        assert torch.equal(before, x_BCHW)

    def test_name_reads_back(self, text, x_BCHW):
        view = parse(text)
        assert parse(view.name) == view

    def test_only_identity_changes_nothing(self, text, x_BCHW):
        assert torch.equal(parse(text).apply(x_BCHW), x_BCHW) == (parse(text).name == "identity")


def test_hflip_mirrors_columns(x_BCHW):
    assert torch.equal(parse("hflip").apply(x_BCHW)[..., 0], x_BCHW[..., -1])


def test_shift_moves_right_and_down_and_repeats_the_border(x_BCHW):
    out = parse("shift(2, -3)").apply(x_BCHW)
    assert torch.equal(out[..., :-3, 2:], x_BCHW[..., 3:, :-2])
    assert torch.equal(out[..., :-3, 0], x_BCHW[..., 3:, 0])
    assert torch.equal(out[..., -1, 2:], x_BCHW[..., -1, :-2])


def test_canonical_name():
    assert parse(" shift( 2 , -2 ) ").name == "shift(2,-2)"


def test_all_faults_are_listed():
    with pytest.raises(ConfigError) as caught:
        parse_all(["hflp", "shift(1)", "shift(a,1)", "shift(1,2", "identity", "identity", "hflip(1)"])
    text = str(caught.value)
    for part in (
        "did you mean hflip",
        "1 argument, wanted 2",
        "dx is 'a', wanted int",
        "identity' is named 2",
    ):
        assert part in text, part
    assert len(caught.value.faults) == 6
    assert "shift(dx,dy)" in text


def test_a_shift_larger_than_the_image_is_refused(x_BCHW):
    with pytest.raises(ConfigError, match="16×12"):
        parse("shift(16,0)").apply(x_BCHW)


def smooth(height=24, width=32):
    """A picture without edges, so that ways of sampling agree."""
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / 9 + c) * np.cos(y / 7 - c) / 2 + 0.5 for c in range(3)]
    return torch.tensor(np.stack(waves)[None], dtype=torch.float32)


@pytest.mark.parametrize("degrees", [12, -30, 90])
def test_rotation_is_clockwise_and_shears_no_rectangle(degrees):
    x, inside = smooth(), (slice(None), slice(None), slice(8, 16), slice(12, 20))
    wanted = reference.rotate(x, -degrees, InterpolationMode.BILINEAR)
    torch.testing.assert_close(
        parse(f"rotate({degrees})").apply(x)[inside], wanted[inside], atol=0.01, rtol=0
    )


def test_scale_and_crop_look_at_the_window_that_they_say():
    x = smooth()
    half = torch.nn.functional.interpolate(x[..., 6:18, 8:24], (24, 32), mode="bilinear")
    inner = (slice(None), slice(None), slice(2, -2), slice(2, -2))
    for text in ("scale(2)", "crop(0.5,0.5,0.5)"):
        torch.testing.assert_close(parse(text).apply(x)[inner], half[inner], atol=0.01, rtol=0)
    corner = torch.nn.functional.interpolate(x[..., 12:, :16], (24, 32), mode="bilinear")
    torch.testing.assert_close(parse("crop(0.5,0,1)").apply(x)[inner], corner[inner], atol=0.01, rtol=0)


def test_shrinking_and_turning_show_no_black_border():
    x = torch.ones(2, 3, 16, 16)
    for text in ("scale(0.5)", "rotate(45)"):
        torch.testing.assert_close(parse(text).apply(x), x)


def test_brightness_is_cut_off_at_white(x_BCHW):
    assert torch.equal(parse("brightness(1.3)").apply(x_BCHW), (x_BCHW * 1.3).clamp(0, 1))


def test_five_crops_are_five_views_in_settings_and_everywhere():
    words = expanded(["identity", "fivecrop(0.8)"])
    assert words == ["identity", *(f"crop(0.8,{p})" for p in ("0,0", "1,0", "0,1", "1,1", "0.5,0.5"))]
    assert load(["competition=digits", 'infer.views=[identity,"fivecrop(0.8)"]']).config.infer.views == words
    assert parse_all(["fivecrop"])[0].name == "crop(0.875,0,0)"


@pytest.mark.parametrize(
    "text", ["scale(3)", "scale(-1)", "rotate(200)", "crop(0,0,0)", "crop(0.5,2,0)", "brightness(-1)"]
)
def test_arguments_out_of_range_are_told(text, x_BCHW):
    with pytest.raises(ConfigError, match="wanted"):
        parse(text).apply(x_BCHW)


def test_one_spelling_a_number():
    assert parse("rotate(10.0)").name == "rotate(10)" and parse("scale(1.10)").name == "scale(1.1)"
    with pytest.raises(ConfigError, match="finite"):
        parse("rotate(nan)")


def test_what_a_view_does_is_known_of_every_view():
    assert DOES.keys() == REGISTRY.keys() == EXAMPLES.keys()
    assert does("rotate(5)") == ("rotation",) and does("hflp") == ()


@pytest.mark.parametrize(
    ("forbidden", "view"),
    [("vflip", "vflip"), ("rotation", "rotate(5)"), ("geometry", "scale(1.1)"), ("crop", "fivecrop(0.9)"),
     ("brightness", "brightness(0.8)")],
)  # fmt: skip
def test_what_an_attribute_forbids_is_refused(forbidden, view):
    digit = f"{{name: digit, column: digit, values: ['0', '1'], forbids: [{forbidden}]}}"
    words = ["competition=digits", f"competition.attributes=[{digit}]"]
    assert load([*words, "infer.views=[identity]"]).config.infer.views == ["identity"]
    with pytest.raises(ConfigError, match="digit forbids"):
        load([*words, f'infer.views=[identity,"{view}"]'])


@pytest.fixture(scope="module")
def network():
    return random_head(build(ModelSettings(name="test_resnet", weights="none"), 10, 0))


@pytest.mark.slow
@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-5), ("bf16", 1e-2)])
def test_every_view_gives_equal_results_for_any_batch_size(network, precision, tolerance):
    images, every = digit_images(20), parse_all(list(examples()))
    classes = Target(tuple("0123456789"))
    runs = [
        predict_views(network, images, images.ids_N, classes, every, Pass(batch=b, precision=precision))
        for b in (1, 7, 20)
    ]
    for other, _ in runs[1:]:
        np.testing.assert_allclose(runs[0][0].p_VNC, other.p_VNC, atol=tolerance)
    ms_V = runs[0][1]
    assert len(ms_V) == len(every) and min(ms_V) > 0 and math.isfinite(sum(ms_V))
