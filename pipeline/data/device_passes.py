"""Passes of augmentation over a batch that lies on the device: pure tensor operations of fixed shapes.

Owns the pixels' arithmetic, one function for each `Act`. Does not own which passes a policy has, nor their
parameters (`data/device_draws.py`).

Every pass runs over all rows and leaves idle rows as they are, so nothing depends on values that the host
would have to read, and a CUDA graph can capture it: no tensor is made from host memory, no torch generator
is used. A row's result does not depend on the other rows: sums run over whole numbers, which no order
changes.

Legend: B rows, C channels, H height, W width, P columns. Images are x_BCHW, float32, from 0 to 1.
"""

from collections.abc import Callable, Sequence

import torch
from torch.nn.functional import avg_pool2d, conv2d, grid_sample, pad

from pipeline.data.detail import reduced_batch
from pipeline.data.device_draws import EQUALIZED, STRETCHED, Act

Tensor = torch.Tensor
# Weights of red, green and blue in lightness, ITU-R BT.601, as OpenCV's.
_LUMA = (0.299, 0.587, 0.114)


def warp(x_BCHW: Tensor, stages: Sequence[tuple[Act, Tensor]]) -> Tensor:
    """Several changes of geometry with one interpolation; each of them has its own border.

    Args:
        x_BCHW: the images.
        stages: in order; each with its (B, 6) matrix, or (B, 10) with the window of a crop after it: left,
            right, top and bottom pixel. The last one may have another size (`Act.out`): each of its pixels is
            then the mean of several samples, so that it skips none of a larger image.
    """
    height, width = x_BCHW.shape[2:]
    new_h, new_w = stages[-1][0].out or (height, width)
    fine = max(-(-height // new_h), -(-width // new_w))
    at_x, at_y = _samples(new_w, fine, x_BCHW).view(1, 1, -1), _samples(new_h, fine, x_BCHW).view(1, -1, 1)
    kept: Tensor | None = None
    added: Tensor | None = None
    for act, p_BP in reversed(stages):
        m = p_BP.view(*p_BP.shape, 1, 1).unbind(1)
        at_x, at_y = m[0] * at_x + (m[1] * at_y + m[2]), m[3] * at_x + (m[4] * at_y + m[5])
        window = m[6:] or (0.0, width - 1.0, 0.0, height - 1.0)
        if act.border == "constant":
            inside = (_inside(at_x, width) * _inside(at_y, height)).unsqueeze(1)
            outer: Tensor | float = 1.0 if kept is None else kept
            new = outer * (1 - inside) * _fill(act, x_BCHW)
            added = new if added is None else added + new
            kept = outer * inside
        at_x, at_y = _folded(at_x, act, *window[:2]), _folded(at_y, act, *window[2:])
    at_BHW2 = torch.stack([at_x * (2 / max(width - 1, 1)) - 1, at_y * (2 / max(height - 1, 1)) - 1], dim=-1)
    out = grid_sample(x_BCHW, at_BHW2, mode="bilinear", padding_mode="border", align_corners=True)
    out = out if kept is None or added is None else out * kept + added
    return out if fine == 1 else avg_pool2d(out, fine)


def _samples(count: int, fine: int, like: Tensor) -> Tensor:
    """(count · fine,) coordinates inside each of `count` pixels, whose centres are whole numbers."""
    at = _counted(count * fine, like)
    return at if fine == 1 else (at + 0.5) / fine - 0.5


def reduce(x_BCHW: Tensor, _: Tensor, act: Act) -> Tensor:
    """A smaller size, by area."""
    assert act.out is not None, "a reduction has a size"
    return reduced_batch(x_BCHW, act.out)


def _counted(count: int, like: Tensor) -> Tensor:
    """(count,) the coordinates from 0."""
    return torch.arange(count, dtype=like.dtype, device=like.device)


def _inside(at: Tensor, count: int) -> Tensor:
    """The weight of the image's own pixels in an interpolation at these coordinates."""
    return torch.minimum(at + 1, count - at).clamp(0, 1)


def _folded(at: Tensor, act: Act, low: Tensor | float, high: Tensor | float) -> Tensor:
    """The coordinate inside that has the value of one outside, by the border of the change."""
    if act.border == "exact":
        return at
    if act.border == "reflect" and not isinstance(high, Tensor) and high > 0:
        return high - ((at.abs() % (2 * high)) - high).abs()
    if act.border == "reflect_edge" and not isinstance(high, Tensor):
        count = high + 1
        at = count - (((at + 0.5).abs() % (2 * count)) - count).abs() - 0.5
    if isinstance(low, Tensor) and isinstance(high, Tensor):
        return torch.minimum(torch.maximum(at, low), high)
    assert not isinstance(low, Tensor) and not isinstance(high, Tensor), "half a window"
    return at.clamp(low, high)


def _fill(act: Act, like: Tensor) -> Tensor:
    """(1, 1 or C, 1, 1) the values of new pixels."""
    values = [torch.full((1, 1, 1, 1), one, dtype=like.dtype, device=like.device) for one in act.fill]
    return torch.cat(values, dim=1)


def _per_row(p_BP: Tensor) -> tuple[Tensor, ...]:
    """The columns as (B, 1, 1, 1)."""
    return p_BP.view(*p_BP.shape, 1, 1, 1).unbind(1)


def linear(x_BCHW: Tensor, p_BP: Tensor, _: Act) -> Tensor:
    """A factor and a summand."""
    factor, summand = _per_row(p_BP)
    return (x_BCHW * factor + summand).clamp_(0, 1)


def power(x_BCHW: Tensor, p_BP: Tensor, _: Act) -> Tensor:
    """An exponent."""
    return x_BCHW.pow(_per_row(p_BP)[0])


def hsv(x_BCHW: Tensor, p_BP: Tensor, _: Act) -> Tensor:
    """Shifts of hue (sixths of the circle), saturation and value; grey pixels stay grey."""
    hue, saturation, value = _per_row(p_BP)
    active = (hue != 0) | (saturation != 0) | (value != 0)
    return torch.where(active, _shifted(x_BCHW, hue, saturation, value), x_BCHW)


def _shifted(x_BCHW: Tensor, by_hue: Tensor, by_saturation: Tensor, by_value: Tensor | float) -> Tensor:
    red, green, blue = x_BCHW[:, 0:1], x_BCHW[:, 1:2], x_BCHW[:, 2:3]
    most, least = x_BCHW.amax(1, keepdim=True), x_BCHW.amin(1, keepdim=True)
    span = most - least
    per = span.clamp(min=1e-6).reciprocal_()
    hue = torch.where(
        most == red,
        (green - blue) * per,
        torch.where(most == green, (blue - red) * per + 2, (red - green) * per + 4),
    )
    saturation = span / most.clamp(min=1e-6)
    # OpenCV's saturation has 8 bits: less than half a step is grey, and grey has no hue to show.
    coloured = saturation >= 0.5 / 255
    saturation = torch.where(coloured, (saturation + by_saturation).clamp(0, 1), 0.0)
    most = (most + by_value).clamp(0, 1)
    hue, chroma = hue + by_hue, most * saturation
    parts = []
    for number in (5, 3, 1):
        at = (hue + number) % 6
        parts.append(most - chroma * torch.minimum(at, 4 - at).clamp_(0, 1))
    return torch.cat(parts, dim=1)


def _lightness(x_BCHW: Tensor) -> Tensor:
    return _LUMA[0] * x_BCHW[:, 0:1] + _LUMA[1] * x_BCHW[:, 1:2] + _LUMA[2] * x_BCHW[:, 2:3]


def jitter(x_BCHW: Tensor, p_BP: Tensor, _: Act) -> Tensor:
    """Factors of brightness, contrast and saturation, a shift of hue, and the place of each in the order."""
    brightness, contrast, saturation, hue, *places = _per_row(p_BP)
    active = (brightness != 1) | (contrast != 1) | (saturation != 1) | (hue != 0)
    before = x_BCHW
    for number in range(4):
        now = [place == number for place in places]
        light = _lightness(x_BCHW)
        # Whole numbers: the order in which a device sums them changes nothing.
        total = (light * 255).round().to(torch.int64).sum(dim=(2, 3), keepdim=True)
        mean = total.to(x_BCHW.dtype) / (255 * light.shape[2] * light.shape[3])
        towards = torch.where(now[1], mean, torch.where(now[2], light, 0.0))
        factor = torch.where(now[0], brightness, torch.where(now[1], contrast, saturation))
        factor = torch.where(now[3], 1.0, factor)
        blended = (x_BCHW * factor + towards * (1 - factor)).clamp_(0, 1)
        turn = torch.where(now[3], hue, 0.0)
        x_BCHW = torch.where(now[3], _shifted(blended, turn, torch.zeros_like(turn), 0.0), blended)
    return torch.where(active, x_BCHW, before)


def gray(x_BCHW: Tensor, p_BP: Tensor, _: Act) -> Tensor:
    """1 for a row without colour, else 0."""
    return torch.where(_per_row(p_BP)[0] > 0, _lightness(x_BCHW), x_BCHW)


def steps(x_BCHW: Tensor, p_BP: Tensor, _: Act) -> Tensor:
    """The width of a step of values, in parts of 255; 0: no steps."""
    (width,) = _per_row(p_BP)
    whole = (x_BCHW * 255).round()
    return torch.where(width > 0, whole.div(width.clamp(min=1), rounding_mode="floor") * width / 255, x_BCHW)


def solarize(x_BCHW: Tensor, p_BP: Tensor, _: Act) -> Tensor:
    """Values from this one on are inverted."""
    return torch.where(x_BCHW >= _per_row(p_BP)[0], 1 - x_BCHW, x_BCHW)


def histogram(x_BCHW: Tensor, p_BP: Tensor, _: Act) -> Tensor:
    """Values by their rank in each channel, or stretched to the whole range.

    Channels of one value stay as they are. As albumentations' AutoContrast, all but `EQUALIZED` leave white
    pixels out of the count.
    """
    (does,) = _per_row(p_BP)
    rows, channels = x_BCHW.shape[:2]
    level = (x_BCHW * 255).round().to(torch.uint8).reshape(rows * channels, -1)
    ordered = level.contiguous().sort(dim=1)[0].contiguous()
    edges = torch.arange(256, dtype=torch.uint8, device=x_BCHW.device).expand(len(level), -1).contiguous()
    # How many pixels have at most each level: whole numbers, exact as float32 up to 4096 × 4096 px.
    below = torch.searchsorted(ordered, edges, right=True).float().view(rows, channels, 256)
    all_count = (does == EQUALIZED).view(rows, 1, 1)
    below = torch.where(all_count, below, below.clamp(max=below[..., 254:255]))
    n_least = below.gather(2, ordered[:, :1].long().view(rows, channels, 1))
    n_all = below[..., 255:]
    rank = ((below - n_least) / (n_all - n_least).clamp(min=1) * 255).round().clamp_(0, 255) / 255
    ranked = rank.view(rows * channels, 256).gather(1, level.long()).view(x_BCHW.shape)
    last = (n_all.view(rows * channels, 1).long() - 1).clamp(min=0)
    least = (ordered[:, :1].float() / 255).view(rows, channels, 1, 1)
    most = (ordered.gather(1, last).float() / 255).view(rows, channels, 1, 1)
    stretched = ((x_BCHW - least) / (most - least).clamp(min=1 / 255)).clamp_(0, 1)
    changed = torch.where(does == STRETCHED, stretched, ranked)
    varies = (n_all > n_least).view(rows, channels, 1, 1)
    return torch.where((does > 0) & varies, changed, x_BCHW)


def _filtered(x_BCHW: Tensor, weight_BKL: Tensor) -> Tensor:
    """Each row with its own kernel; borders are reflected without repeating the edge, as in OpenCV."""
    rows, channels = x_BCHW.shape[:2]
    down, across = weight_BKL.shape[1] // 2, weight_BKL.shape[2] // 2
    padded = pad(x_BCHW, (across, across, down, down), mode="reflect").reshape(
        1, rows * channels, x_BCHW.shape[2] + 2 * down, x_BCHW.shape[3] + 2 * across
    )
    weight = weight_BKL.unsqueeze(1).expand(-1, channels, -1, -1).reshape(-1, 1, *weight_BKL.shape[1:])
    return conv2d(padded, weight, groups=rows * channels).reshape(x_BCHW.shape)


def blur(x_BCHW: Tensor, p_BP: Tensor, act: Act) -> Tensor:
    """A separable kernel: the weight of the middle, and of each pixel at either side of it."""
    weight_BK = torch.cat([p_BP.flip(1)[:, : act.taps], p_BP], dim=1)
    return _filtered(_filtered(x_BCHW, weight_BK.unsqueeze(2)), weight_BK.unsqueeze(1))


def sharpen(x_BCHW: Tensor, p_BP: Tensor, _: Act) -> Tensor:
    """The weight of the middle pixel, and of each of the eight around it."""
    middle, around = p_BP.unbind(1)
    weight_B33 = torch.stack([around] * 4 + [middle] + [around] * 4, dim=1).view(-1, 3, 3)
    return _filtered(x_BCHW, weight_B33).clamp_(0, 1)


def noise(x_BCHW: Tensor, p_BP: Tensor, act: Act) -> Tensor:
    """Gaussian noise: its standard deviation and mean, and the row's seed in two whole numbers."""
    std, mean, low, high = _per_row(p_BP)
    channels, height, width = x_BCHW.shape[1:]
    shape = (1, 1 if act.shared else channels, height, width)
    n_pixels = shape[1] * height * width
    place = torch.arange(n_pixels, dtype=torch.int32, device=x_BCHW.device).view(shape)
    bits = _hashed(_hashed(place + low.to(torch.int32)) ^ high.to(torch.int32))
    # Box and Muller 1958, from the two halves of the bits; 16 bits reach 4.8 standard deviations.
    radius = (((bits >> 16) & 0xFFFF).to(x_BCHW.dtype).add_(0.5) / 65536).log_().mul_(-2).sqrt_()
    angle = (bits & 0xFFFF).to(x_BCHW.dtype) * (2 * torch.pi / 65536)
    return (x_BCHW + (radius * angle.cos_() * std + mean)).clamp_(0, 1)


def _hashed(bits: Tensor) -> Tensor:
    """32 mixed bits; source: the function lowbias32, Wellons, https://nullprogram.com/blog/2018/07/31/."""
    bits = (bits ^ ((bits >> 16) & 0xFFFF)) * 0x7FEB352D
    bits = (bits ^ ((bits >> 15) & 0x1FFFF)) * (0x846CA68B - (1 << 32))
    return bits ^ ((bits >> 16) & 0xFFFF)


def holes(x_BCHW: Tensor, p_BP: Tensor, act: Act) -> Tensor:
    """Left, top, right and bottom of each hole, px."""
    at_x = _counted(x_BCHW.shape[3], x_BCHW).view(1, 1, 1, -1)
    at_y = _counted(x_BCHW.shape[2], x_BCHW).view(1, 1, -1, 1)
    sides = _per_row(p_BP)
    hole_B1HW = None
    for first in range(0, len(sides), 4):
        left, top, right, bottom = sides[first : first + 4]
        one = ((at_x >= left) & (at_x < right)) & ((at_y >= top) & (at_y < bottom))
        hole_B1HW = one if hole_B1HW is None else hole_B1HW | one
    assert hole_B1HW is not None, "a pass without holes"
    return torch.where(hole_B1HW, _fill(act, x_BCHW), x_BCHW)


PASSES: dict[str, Callable[[Tensor, Tensor, Act], Tensor]] = {
    "reduce": reduce,
    "linear": linear,
    "power": power,
    "hsv": hsv,
    "jitter": jitter,
    "gray": gray,
    "steps": steps,
    "solarize": solarize,
    "histogram": histogram,
    "blur": blur,
    "sharpen": sharpen,
    "noise": noise,
    "holes": holes,
}
