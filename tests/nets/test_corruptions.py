import numpy as np
import pytest
import torch
from learn_world import digit_images

from pipeline.core.errors import ConfigError
from pipeline.nets.views import blur, parse

IMAGES = torch.from_numpy(digit_images(12).x_NHWC.copy()).permute(0, 3, 1, 2).float() / 255


def away(text: str) -> float:
    return float((parse(text).apply(IMAGES) - IMAGES).abs().mean())


@pytest.mark.parametrize(
    "growing",
    [
        ["blur(0.5)", "blur(1)", "blur(2)"],
        ["noise(0.02)", "noise(0.1)", "noise(0.3)"],
        ["jpeg(95)", "jpeg(30)", "jpeg(2)"],
    ],
)
def test_stronger_is_further_away(growing):
    distances = [away(text) for text in growing]
    assert distances == sorted(distances) and distances[0] > 0 and distances[-1] > 1.5 * distances[0]


def test_noise_has_its_deviation_and_differs_between_images():
    grey = torch.full((3, 3, 32, 32), 0.5)
    grey[1] += 2 / 255
    grey[2, 0, 0, 0] = 0.3
    added = parse("noise(0.1)").apply(grey) - grey
    assert added.std() == pytest.approx(0.1, rel=0.05) and abs(float(added.mean())) < 0.01
    assert not torch.allclose(added[0], added[1], atol=1e-3) and not torch.allclose(
        added[0], added[2], atol=1e-3
    )
    assert torch.equal(parse("noise(0)").apply(grey), grey)


def test_blur_keeps_the_mean_and_jpeg_keeps_colours_in_place():
    plain = torch.rand(2, 3, 24, 24, generator=torch.Generator().manual_seed(1))
    assert parse("blur(1)").apply(plain).mean() == pytest.approx(float(plain.mean()), abs=0.01)
    red = torch.zeros(1, 3, 16, 16)
    red[:, 0] = 1
    back = parse("jpeg(95)").apply(red).mean(dim=(0, 2, 3)).numpy()
    assert np.allclose(back, [1, 0, 0], atol=0.03)


@pytest.mark.parametrize("text", ["blur(0)", "blur(21)", "noise(1.5)", "jpeg(0)", "jpeg(101)"])
def test_strengths_out_of_range_are_refused(text):
    with pytest.raises(ConfigError, match="wanted"):
        parse(text).apply(IMAGES)


def test_blur_is_torchvisions_and_returns_in_bf16_and_channels_last():
    from torchvision.transforms.functional import gaussian_blur

    x_BCHW = torch.rand(2, 3, 40, 32, generator=torch.Generator().manual_seed(0))
    plain = blur(x_BCHW, 3.0)
    torch.testing.assert_close(plain, gaussian_blur(x_BCHW, [19, 19], [3.0, 3.0]), atol=1e-5, rtol=0)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = blur(x_BCHW.to(memory_format=torch.channels_last), 3.0)
    torch.testing.assert_close(mixed, plain, atol=1e-6, rtol=0)
