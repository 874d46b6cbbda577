"""A policy as passes on the device: which transforms can run there, and what each of their draws is.

Owns reading albumentations' objects into `Leaf` and `Group`, with a reason for everything that the device
cannot do. Does not own making the objects (`data/augment.py`), the layout of the draws
(`data/device_draws.py`) or the passes (`data/device_passes.py`).

Ranges and defaults are read from the objects that albumentations has made and checked, so a policy means the
same to both engines. Values of pixels are from 0 to 1 here, not from 0 to 255. Source of all formulas:
albumentations 2.0.8, `augmentations/**/transforms.py` and `functional.py`.

Legend: R rows, H height, W width. Matrices lead from the coordinates of a new pixel to those of the old
image, with centres of pixels at whole numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pipeline.core.seeds import RowDraws, Units
from pipeline.data import texts
from pipeline.data.device_draws import (
    EQUALIZED,
    EQUALIZED_BELOW_WHITE,
    STRETCHED,
    Act,
    Border,
    Group,
    Leaf,
    Node,
    Size,
)

RGB = 3
# More holes than this cost more passes than albumentations on the CPU costs time.
MOST_HOLES, MOST_TAPS = 16, 16
_MATRIX = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
# Values of cv2.BORDER_… and cv2.INTER_LINEAR; data/ imports cv2 where it decodes only.
_BORDERS: tuple[Border | None, ...] = ("constant", "replicate", "reflect_edge", None, "reflect")
_LINEAR = 1


class UnsupportedError(Exception):
    """A transform, or one of its arguments, that the device cannot do; its text is the reason."""


class Reader:
    """Reads the transforms of one policy for images of one size and number of channels.

    Args:
        size: height and width of the images, px.
        channels: of an image; changes of colour need 3.
        out: height and width of the result, px, where it is smaller; None: `size`.
    """

    def __init__(self, size: Size, channels: int = RGB, out: Size | None = None) -> None:
        self.stored, self.channels, self.out = size, channels, out or size
        # Of the images at the place that is being read, and whether that place is inside a container.
        self.size, self._inside = size, False
        self.reasons: list[str] = []

    def tree(self, transforms: Sequence[Any]) -> Group:
        """A policy's transforms; what cannot be read is left out and listed in `reasons`."""
        self.size = self.stored
        nodes = self._nodes(transforms)
        return Group("all", 1.0, nodes if self.size == self.out else (*nodes, self._reduction()))

    def _reduction(self) -> Leaf:
        self.size = self.out
        return Leaf(1.0, Act("reduce", (), out=self.out), lambda draws: np.zeros((len(draws), 0)))

    def _contained(self, made: Any) -> tuple[Node, ...]:
        """The transforms inside a container: they change no size."""
        outside, self._inside = self._inside, True
        nodes = self._nodes(made.transforms)
        self._inside = outside
        return nodes

    def _nodes(self, transforms: Sequence[Any]) -> tuple[Node, ...]:
        nodes = []
        for made in transforms:
            try:
                nodes.append(self._node(made))
            except UnsupportedError as reason:
                self.reasons.append(
                    f"{type(made).__name__}: {reason}" if str(reason) else type(made).__name__
                )
        return tuple(nodes)

    def _node(self, made: Any) -> Node:
        name, p = type(made).__name__, float(made.p)
        if name == "OneOf":
            return Group("one", p, self._contained(made), tuple(map(float, made.transforms_ps)))
        if name == "Sequential":
            return Group("all", p, self._contained(made))
        if name == "SomeOf":
            if made.replace:
                raise UnsupportedError(texts.DEVICE_ARGUMENT.format(argument="replace", value="true"))
            return Group("some", p, self._contained(made), n=int(made.n))
        if name == "NoOp":
            return Group("all", p, ())
        if name == "Resize" and not self._inside and (made.height, made.width) == self.out and p == 1:
            # Made by `data/augment.py`; a crop before it has given this size already.
            return Group("all", 1.0, ()) if self.size == self.out else self._reduction()
        if name == "RandomResizedCrop" and not self._inside and tuple(made.size) == self.out != self.size:
            act, draw = _resized_crop(made, self.size, self.out)
            self.size = self.out
            return Leaf(p, act, draw)
        if name not in READERS:
            raise UnsupportedError
        if name in OF_COLOUR and self.channels != RGB:
            raise UnsupportedError(texts.DEVICE_CHANNELS.format(channels=self.channels))
        act, draw = READERS[name](made, self.size)
        return Leaf(p, act, draw)


Read = tuple[Act, Callable[[RowDraws], Units]]


def _refuse(made: Any, **only: Any) -> None:
    """Raise UnsupportedError unless these arguments have the only values that the device knows."""
    for argument, value in only.items():
        if getattr(made, argument) != value:
            raise UnsupportedError(
                texts.DEVICE_ARGUMENT.format(argument=argument, value=str(getattr(made, argument)).lower())
            )


def _columns(*columns: Units | float) -> Units:
    return np.stack(np.broadcast_arrays(*columns), axis=1).astype(np.float64)


def _matrix(xx: Any, xy: Any, x0: Any, yx: Any, yy: Any, y0: Any) -> Units:
    return _columns(xx, xy, x0, yx, yy, y0)


# Changes of geometry


def _border(made: Any) -> Act:
    mode = made.border_mode
    border = _BORDERS[mode] if 0 <= mode < len(_BORDERS) else None
    if border is None:
        raise UnsupportedError(texts.DEVICE_ARGUMENT.format(argument="border_mode", value="wrap"))
    if made.interpolation != _LINEAR:
        raise UnsupportedError(
            texts.DEVICE_ARGUMENT.format(argument="interpolation", value=made.interpolation)
        )
    fill = _fill(made.fill) if border == "constant" else ()
    return Act("warp", _MATRIX, border, fill)


def _fill(value: Any) -> tuple[float, ...]:
    """One number from 0 to 1, or one for each channel."""
    if isinstance(value, str):
        raise UnsupportedError(texts.DEVICE_ARGUMENT.format(argument="fill", value=value))
    values = value if isinstance(value, Sequence | np.ndarray) else (value,)
    # As albumentations: a number becomes 8 bits.
    return tuple(float(np.clip(int(one), 0, 255)) / 255 for one in values)


def _affine(made: Any, size: Size) -> Read:
    _refuse(made, fit_output=False)
    act, sides = _border(made), (("x", size[1]), ("y", size[0]))

    def draw(draws: RowDraws) -> Units:
        if made.translate_percent is not None:
            moves = [np.trunc(draws.between(*made.translate_percent[k]) * n) for k, n in sides]
        else:
            moves = [draws.integer(*map(int, made.translate_px[axis])) for axis in "xy"]
        shears = [np.deg2rad(-draws.between(*made.shear[axis])) for axis in "xy"]
        scales = [_scale(draws, made.scale[axis], made.balanced_scale) for axis in "xy"]
        if made.keep_ratio:
            scales[1] = scales[0]
        turn = np.deg2rad(draws.between(*made.rotate))
        return _inverse(moves, shears, scales, turn, size)

    return act, draw


def _scale(draws: RowDraws, limits: tuple[float, float], balanced: bool) -> Units:
    """A factor of size; balanced: as often below 1 as above, where the limits allow both."""
    low, high = limits
    first, share = draws.unit(), draws.unit()
    if not balanced:
        return low + share * (high - low)
    below, above = low + share * (1 - low), 1 + share * (high - 1)
    if low < 1 < high:
        return np.where(first < 0.5, below, above)
    return below if low < 1 else above if high > 1 else np.ones(len(draws))


def _inverse(moves: list[Units], shears: list[Units], scales: list[Units], turn: Units, size: Size) -> Units:
    """The matrix back from: scaling, turning, shearing and moving about the centre of the image."""
    cos, sin = np.cos(turn), np.sin(turn)
    across, down = np.tan(shears[0]), np.tan(shears[1])
    xx, xy = (cos - across * sin) * scales[0], (sin + across * cos) * scales[1]
    yx, yy = (down * cos - sin) * scales[0], (down * sin + cos) * scales[1]
    det = xx * yy - xy * yx
    ixx, ixy, iyx, iyy = yy / det, -xy / det, -yx / det, xx / det
    middle_x, middle_y = size[1] / 2 - 0.5, size[0] / 2 - 0.5
    from_x, from_y = middle_x + moves[0], middle_y + moves[1]
    return _matrix(
        ixx, ixy, middle_x - ixx * from_x - ixy * from_y, iyx, iyy, middle_y - iyx * from_x - iyy * from_y
    )


def _rotate(made: Any, size: Size) -> Read:
    _refuse(made, crop_border=False)
    act = _border(made)

    def draw(draws: RowDraws) -> Units:
        turn = np.deg2rad(draws.between(*made.limit))
        none, one = np.zeros(len(draws)), np.ones(len(draws))
        return _inverse([none, none], [none, none], [one, one], turn, size)

    return act, draw


def _exact(matrices: Callable[[float, float], list[tuple[float, ...]]], square: bool) -> Callable[..., Read]:
    """One of some matrices that map the image onto itself, all equally likely."""

    def read(made: Any, size: Size) -> Read:
        if square and size[0] != size[1]:
            raise UnsupportedError(texts.DEVICE_SQUARE.format(height=size[0], width=size[1]))
        known_M6 = np.array(matrices(size[1] - 1.0, size[0] - 1.0))
        act = Act("warp", _MATRIX, "exact")
        return act, lambda draws: known_M6[draws.integer(0, len(known_M6) - 1).astype(int)]

    return read


def _quarter_turns(right: float, _: float) -> list[tuple[float, ...]]:
    """By 0, 1, 2 and 3 quarters, counter-clockwise."""
    return [
        _MATRIX,
        (0.0, -1.0, right, 1.0, 0.0, 0.0),
        (-1.0, 0.0, right, 0.0, -1.0, right),
        (0.0, 1.0, 0.0, -1.0, 0.0, right),
    ]


def _transposed(right: float, _: float) -> list[tuple[float, ...]]:
    return [(0.0, 1.0, 0.0, 1.0, 0.0, 0.0)]


def _symmetries(right: float, bottom: float) -> list[tuple[float, ...]]:
    turned = _quarter_turns(right, bottom)
    return turned + [(xy, xx, x0, yy, yx, y0) for xx, xy, x0, yx, yy, y0 in turned]


def _resized_crop(made: Any, size: Size, out: Size | None = None) -> Read:
    """A window of an image of `size`, as an image of `out`; None: of `size`."""
    new_h, new_w = out or size
    if made.interpolation != _LINEAR:
        raise UnsupportedError(
            texts.DEVICE_ARGUMENT.format(argument="interpolation", value=made.interpolation)
        )
    if tuple(made.size) != (new_h, new_w):
        raise UnsupportedError(texts.DEVICE_ARGUMENT.format(argument="size", value=tuple(made.size)))
    height, width = size
    window = (0.0, width - 1.0, 0.0, height - 1.0)
    step_x, step_y = width / new_w, height / new_h
    idle = (step_x, 0.0, step_x / 2 - 0.5, 0.0, step_y, step_y / 2 - 0.5, *window)

    def draw(draws: RowDraws) -> Units:
        crop_h, crop_w = (np.full(len(draws), side) for side in _fallback(made.ratio, size))
        found = np.zeros(len(draws), np.bool_)
        for _ in range(10):
            area = draws.between(*made.scale) * height * width
            ratio = np.exp(draws.between(math.log(made.ratio[0]), math.log(made.ratio[1])))
            w, h = np.rint(np.sqrt(area * ratio)), np.rint(np.sqrt(area / ratio))
            fits = (w > 0) & (w <= width) & (h > 0) & (h <= height) & ~found
            crop_h, crop_w, found = np.where(fits, h, crop_h), np.where(fits, w, crop_w), found | fits
        top, left = draws.unit(), draws.unit()
        y0 = np.where(found, np.floor((height - crop_h + 1) * top), np.floor((height - crop_h) / 2))
        x0 = np.where(found, np.floor((width - crop_w + 1) * left), np.floor((width - crop_w) / 2))
        sx, sy = crop_w / new_w, crop_h / new_h
        matrix = _matrix(sx, 0.0, x0 + sx / 2 - 0.5, 0.0, sy, y0 + sy / 2 - 0.5)
        return np.concatenate([matrix, _columns(x0, x0 + crop_w - 1, y0, y0 + crop_h - 1)], axis=1)

    return Act("warp", idle, "window", out=out), draw


def _fallback(ratio: tuple[float, float], size: Size) -> tuple[float, float]:
    """Height and width of the crop in the middle, if ten tries found none that fits."""
    height, width = size
    if width / height < ratio[0]:
        return float(round(width / ratio[0])), float(width)
    if width / height > ratio[1]:
        return float(height), float(round(height * ratio[1]))
    return float(height), float(width)


# Changes of values


def _brightness_contrast(made: Any, _: Size) -> Read:
    _refuse(made, brightness_by_max=True, ensure_safe_range=False)

    def draw(draws: RowDraws) -> Units:
        return _columns(1 + draws.between(*made.contrast_limit), draws.between(*made.brightness_limit))

    return Act("linear", (1.0, 0.0)), draw


def _inverted(_made: Any, _: Size) -> Read:
    return Act("linear", (1.0, 0.0)), lambda draws: _columns(np.full(len(draws), -1.0), 1.0)


def _gamma(made: Any, _: Size) -> Read:
    return Act("power", (1.0,)), lambda draws: _columns(draws.between(*made.gamma_limit) / 100)


def _hsv(made: Any, _: Size) -> Read:
    """Shifts of hue, in sixths of the circle (30 of OpenCV's steps), of saturation and of value."""

    def draw(draws: RowDraws) -> Units:
        hue, saturation = draws.between(*made.hue_shift_limit), draws.between(*made.sat_shift_limit)
        return _columns(hue / 30, saturation / 255, draws.between(*made.val_shift_limit) / 255)

    return Act("hsv", (0.0, 0.0, 0.0)), draw


def _jitter(made: Any, _: Size) -> Read:
    """The four factors, and the place of each of them in the order, from 0."""

    def draw(draws: RowDraws) -> Units:
        limits = (made.brightness, made.contrast, made.saturation, made.hue)
        factors = [draws.between(*limit) for limit in limits]
        factors[3] = factors[3] * 6
        places_R4 = np.stack([draws.unit() for _ in limits], axis=1).argsort(axis=1)
        return np.concatenate([_columns(*factors), places_R4], axis=1)

    return Act("jitter", (1.0, 1.0, 1.0, 0.0, 0.0, 1.0, 2.0, 3.0)), draw


def _gray(made: Any, _: Size) -> Read:
    _refuse(made, method="weighted_average", num_output_channels=RGB)
    return Act("gray", (0.0,)), lambda draws: np.ones((len(draws), 1))


def _posterize(made: Any, _: Size) -> Read:
    """The width of a step of values, of 255."""
    if isinstance(made.num_bits, list):
        raise UnsupportedError(texts.DEVICE_ARGUMENT.format(argument="num_bits", value=made.num_bits))
    return Act("steps", (0.0,)), lambda draws: _columns(2.0 ** (8 - draws.integer(*made.num_bits)))


def _solarize(made: Any, _: Size) -> Read:
    return Act("solarize", (2.0,)), lambda draws: _columns(draws.between(*made.threshold_range))


def _equalize(made: Any, _: Size) -> Read:
    _refuse(made, mode="cv", by_channels=True, mask=None)
    return Act("histogram", (0.0,)), lambda draws: np.full((len(draws), 1), EQUALIZED)


def _auto_contrast(made: Any, _: Size) -> Read:
    _refuse(made, cutoff=0, ignore=None)
    does = STRETCHED if made.method == "pil" else EQUALIZED_BELOW_WHITE
    return Act("histogram", (0.0,)), lambda draws: np.full((len(draws), 1), does)


# Filters, noise and holes


def _blur(made: Any, size: Size) -> Read:
    """The weights of the middle of a Gaussian and of each pixel at its side."""
    sizes, widest = made.blur_limit, float(made.sigma_limit[1])
    radii = [n // 2 for n in range(int(sizes[0]), int(sizes[1]) + 1) if n]
    # Odd sizes are used as they are, even ones become the next odd one: n // 2 pixels on each side, both.
    taps = max([*radii, int(widest * 3.5) if sizes[0] == 0 else 1])
    if taps > MOST_TAPS or taps >= min(size):
        raise UnsupportedError(texts.DEVICE_TAPS.format(taps=taps, most=min(MOST_TAPS, min(size) - 1)))

    def draw(draws: RowDraws) -> Units:
        sigma, wanted = draws.between(*made.sigma_limit), draws.integer(*sizes)
        radius = np.where(wanted == 0, np.floor(sigma * 3.5), np.floor(wanted / 2))
        at_T = np.arange(taps + 1)
        weight_RT = np.exp(-0.5 * (at_T / np.maximum(sigma, 1e-6)[:, None]) ** 2)
        weight_RT = np.where(at_T <= radius[:, None], weight_RT, 0.0)
        total_R = 2 * weight_RT.sum(axis=1) - weight_RT[:, 0]
        return np.asarray(weight_RT / total_R[:, None], np.float64)

    return Act("blur", (1.0, *[0.0] * taps), taps=taps), draw


def _sharpen(made: Any, size: Size) -> Read:
    """The weights of the middle pixel and of each of the eight around it."""
    _refuse(made, method="kernel")
    if min(size) < 2:
        raise UnsupportedError(texts.DEVICE_TAPS.format(taps=1, most=min(size) - 1))

    def draw(draws: RowDraws) -> Units:
        alpha, lightness = draws.between(*made.alpha), draws.between(*made.lightness)
        return _columns(1 - alpha + alpha * (8 + lightness), -alpha)

    return Act("sharpen", (1.0, 0.0)), draw


def _noise(made: Any, _: Size) -> Read:
    """Standard deviation, mean, and two whole numbers of 24 bits, exact as float32: the seed of the noise."""
    _refuse(made, noise_scale_factor=1)

    def draw(draws: RowDraws) -> Units:
        std, mean, word = draws.between(*made.std_range), draws.between(*made.mean_range), draws.word()
        low, high = word & np.uint64(0xFFFFFF), (word >> np.uint64(24)) & np.uint64(0xFFFFFF)
        return _columns(std, mean, low.astype(np.float64), high.astype(np.float64))

    return Act("noise", (0.0, 0.0, 0.0, 0.0), shared=not made.per_channel), draw


def _holes(made: Any, size: Size) -> Read:
    """Left, top, right and bottom of each hole; an unused one has no width."""
    least, most = (int(n) for n in made.num_holes_range)
    if most > MOST_HOLES:
        raise UnsupportedError(texts.DEVICE_HOLES.format(holes=most, most=MOST_HOLES))
    height, width = size

    def draw(draws: RowDraws) -> Units:
        count, columns = draws.integer(least, most), []
        for number in range(most):
            h = _side(draws, made.hole_height_range, height, made.hole_height_range[1] >= 1)
            w = _side(draws, made.hole_width_range, width, made.hole_height_range[1] >= 1)
            top, left = np.floor(draws.unit() * (height - h + 1)), np.floor(draws.unit() * (width - w + 1))
            used = number < count
            columns += [left, top, np.where(used, left + w, left), np.where(used, top + h, top)]
        return _columns(*columns)

    return Act("holes", (0.0,) * 4 * most, fill=_fill(made.fill)), draw


def _side(draws: RowDraws, limits: tuple[float, float], whole: int, in_px: bool) -> Units:
    if in_px:
        return draws.integer(int(limits[0]), int(min(limits[1], whole)))
    return np.floor(draws.between(*limits) * whole)


def _erasing(made: Any, size: Size) -> Read:
    height, width = size
    (r_min, r_max), area = made.ratio, height * width
    # The largest areas with these ratios that fit; `ratio` is width to height.
    most = min(area * made.scale[1], r_min * height * height, width * width / r_max)
    least = area * made.scale[0]

    def draw(draws: RowDraws) -> Units:
        share, form, top, left = (draws.unit() for _ in range(4))
        if most < least or most <= 0:
            return np.zeros((len(draws), 4))
        erased = np.maximum(least + share * (most - least), 1e-9)
        high = np.minimum(r_max, width * width / erased)
        low = np.maximum(r_min, erased / (height * height))
        ratio = low + form * (high - low)
        h, w = np.rint(np.sqrt(erased / ratio)), np.rint(np.sqrt(erased * ratio))
        y0, x0 = np.floor(top * (height - h + 1)), np.floor(left * (width - w + 1))
        fits = low <= high
        return _columns(x0 * fits, y0 * fits, (x0 + w) * fits, (y0 + h) * fits)

    return Act("holes", (0.0,) * 4, fill=_fill(made.fill)), draw


READERS: dict[str, Callable[[Any, Size], Read]] = {
    "Affine": _affine,
    "Rotate": _rotate,
    "HorizontalFlip": _exact(lambda right, _: [(-1.0, 0.0, right, 0.0, 1.0, 0.0)], square=False),
    "VerticalFlip": _exact(lambda _, bottom: [(1.0, 0.0, 0.0, 0.0, -1.0, bottom)], square=False),
    "RandomRotate90": _exact(_quarter_turns, square=True),
    "Transpose": _exact(_transposed, square=True),
    "D4": _exact(_symmetries, square=True),
    "SquareSymmetry": _exact(_symmetries, square=True),
    "RandomResizedCrop": _resized_crop,
    "RandomBrightnessContrast": _brightness_contrast,
    "RandomGamma": _gamma,
    "InvertImg": _inverted,
    "HueSaturationValue": _hsv,
    "ColorJitter": _jitter,
    "ToGray": _gray,
    "Posterize": _posterize,
    "Solarize": _solarize,
    "Equalize": _equalize,
    "AutoContrast": _auto_contrast,
    "GaussianBlur": _blur,
    "Sharpen": _sharpen,
    "GaussNoise": _noise,
    "CoarseDropout": _holes,
    "Erasing": _erasing,
}
# These read three channels as red, green and blue.
OF_COLOUR = frozenset({"HueSaturationValue", "ColorJitter", "ToGray", "Equalize"})
