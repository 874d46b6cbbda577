import itertools

import pytest
import torch

from pipeline.core.errors import ConfigError
from pipeline.data.views import REGISTRY, parameters, parse, parse_all


def examples():
    """Every registered view with small arguments of both signs."""
    for name in REGISTRY:
        wanted = parameters(name)
        for values in itertools.product((1, -2), repeat=len(wanted)):
            yield f"{name}({','.join(str(kind(v)) for kind, v in zip(wanted.values(), values, strict=True))})"


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
        "1 arguments, wanted 2",
        "dx is 'a', wanted int",
        "identity' is named 2",
    ):
        assert part in text, part
    assert len(caught.value.faults) == 6
    assert "shift(dx,dy)" in text


def test_a_shift_larger_than_the_image_is_refused(x_BCHW):
    with pytest.raises(ConfigError, match="16×12"):
        parse("shift(16,0)").apply(x_BCHW)
