"""The one registry of pixel views: named, parametrised functions of a batch.

Owns the views that test-time augmentation, features and robustness curves share (blur, noise and JPEG among
them), and reading them from text such as `shift(2,-2)`. Does not own running a model on them
(`nets/forward.py`, `train/committee.py`), random augmentation (`data/augment.py`) nor the strengths of a
robustness curve (`settings/infer.py`).

A new view is one function with annotated parameters and one line in `REGISTRY`; what it does to a label
is in `settings/infer.py`, with the groups of views such as `fivecrop`.

All views are the same for any batch size. Legend: B images, C channels, H height, W width; x_BCHW is float in
[0, 1], as models see it: strengths in px are of that size. `scale`, `crop` and `rotate` take their detail
from larger prepared images, where there are any (`images.store_px`); all others see them reduced.
"""

from __future__ import annotations

import inspect
import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch.nn import functional

from pipeline.core.errors import ConfigError, nearest
from pipeline.core.language import _
from pipeline.core.seeds import rng
from pipeline.core.wording import worded
from pipeline.data.channels import RGB
from pipeline.data.detail import Size, reduced_batch
from pipeline.settings.infer import expanded

Number = int | float


def identity(x_BCHW: torch.Tensor) -> torch.Tensor:
    """The images as they are."""
    return x_BCHW


def hflip(x_BCHW: torch.Tensor) -> torch.Tensor:
    """Mirrored left to right."""
    return x_BCHW.flip(-1)


def vflip(x_BCHW: torch.Tensor) -> torch.Tensor:
    """Mirrored top to bottom."""
    return x_BCHW.flip(-2)


def shift(x_BCHW: torch.Tensor, dx: int, dy: int) -> torch.Tensor:
    """Moved right by `dx` and down by `dy` px; the new area repeats the border's pixels."""
    height, width = x_BCHW.shape[-2:]
    if abs(dx) >= width or abs(dy) >= height:
        raise ConfigError(
            _("view shift({dx},{dy}): it moves the whole image out of its {width}×{height} px").format(
                dx=dx, dy=dy, width=width, height=height
            ),
            remedy=_("use a shift smaller than images.size"),
        )
    padding = (max(dx, 0), max(-dx, 0), max(dy, 0), max(-dy, 0))
    padded = functional.pad(x_BCHW, padding, mode="replicate")
    return padded[..., max(-dy, 0) : max(-dy, 0) + height, max(-dx, 0) : max(-dx, 0) + width]


def scale(x_BCHW: torch.Tensor, factor: float, *, size: Size | None = None) -> torch.Tensor:
    """Scaled about the middle by `factor`, 0.5 to 2; below 1 the border is mirrored."""
    _within("scale", "factor", factor, 0.5, 2)
    return _warped(x_BCHW, zoom=factor, size=size)


def rotate(x_BCHW: torch.Tensor, degrees: float, *, size: Size | None = None) -> torch.Tensor:
    """Rotated about the middle, clockwise for `degrees` above 0; the corners are mirrored."""
    _within("rotate", "degrees", degrees, -180, 180)
    return _warped(x_BCHW, degrees=degrees, size=size)


def crop(x_BCHW: torch.Tensor, share: float, x: float, y: float, *, size: Size | None = None) -> torch.Tensor:
    """The window with `share` of both sides, 0.2 to 1, resized to the full size.

    `x` and `y`, 0 to 1, are its position: 0,0 is the upper left corner, 0.5,0.5 the middle.
    """
    _within("crop", "share", share, 0.2, 1)
    _within("crop", "x", x, 0, 1)
    _within("crop", "y", y, 0, 1)
    centre = ((2 * x - 1) * (1 - share), (2 * y - 1) * (1 - share))
    return _warped(x_BCHW, zoom=1 / share, centre=centre, size=size)


def brightness(x_BCHW: torch.Tensor, factor: float) -> torch.Tensor:
    """Every pixel times `factor`, 0 to 5, clipped at white."""
    _within("brightness", "factor", factor, 0, 5)
    return (x_BCHW * factor).clamp(0, 1)


def _within(view: str, argument: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ConfigError(
            _("view {view}: {argument} is {value:g}, wanted {low:g} to {high:g}").format(
                view=view, argument=argument, value=value, low=low, high=high
            )
        )


def _warped(
    x_BCHW: torch.Tensor,
    zoom: float = 1.0,
    degrees: float = 0.0,
    centre: tuple[float, float] = (0.0, 0.0),
    size: Size | None = None,
) -> torch.Tensor:
    """Sampled bilinearly around `centre` (-1 to 1 in both directions), the border mirrored.

    `size` is that of the result, if the images are larger: each of its pixels is then the mean of as many
    samples as it covers pixels of the images.

    The grid is made by scalar products, because autocast would lower the precision of a matrix product.
    """
    height, width = size or x_BCHW.shape[-2:]
    # Samples along each side of a pixel.
    fine = 1 if size is None else max(math.ceil(x_BCHW.shape[-2] / (height * zoom) - 1e-6), 1)
    cos, sin = math.cos(math.radians(degrees)) / zoom, math.sin(math.radians(degrees)) / zoom
    # In pixels, so that a rectangle is rotated and not sheared; pixel centres, as for `align_corners=False`.
    x_W = (torch.arange(width * fine, device=x_BCHW.device) + 0.5) / fine - width / 2
    y_H1 = ((torch.arange(height * fine, device=x_BCHW.device) + 0.5) / fine - height / 2)[:, None]
    from_x = (cos * x_W + sin * y_H1) * (2 / width) + centre[0]
    from_y = (cos * y_H1 - sin * x_W) * (2 / height) + centre[1]
    grid = torch.stack([from_x, from_y], dim=-1).to(x_BCHW.dtype).expand(len(x_BCHW), -1, -1, -1)
    seen = functional.grid_sample(x_BCHW, grid, "bilinear", "reflection", align_corners=False)
    return (functional.avg_pool2d(seen, fine) if fine > 1 else seen).clamp(0, 1)


def blur(x_BCHW: torch.Tensor, sigma: float) -> torch.Tensor:
    """Gaussian blur with a standard deviation of `sigma` px, above 0 to 20; the border is mirrored.

    As two matrix products in fp32, not as a convolution: oneDNN of torch 2.14 hangs in a bf16 depthwise
    convolution of 19 × 19 on three channels in channels_last (docs/log.md).
    """
    if not 0 < sigma <= 20:
        raise ConfigError(_("view blur: sigma is {sigma:g}, wanted above 0 to 20").format(sigma=sigma))
    with torch.autocast(x_BCHW.device.type, enabled=False):
        rows_HH, columns_WW = (_smoothing(size, sigma).to(x_BCHW.device) for size in x_BCHW.shape[-2:])
        blurred = rows_HH @ x_BCHW.float() @ columns_WW.T
    return blurred.clamp(0, 1).to(x_BCHW.dtype)


def _smoothing(size: int, sigma: float) -> torch.Tensor:
    """(size, size) weights of a Gaussian cut off at 3 sigma along one side, rows summing to 1."""
    # A kernel cannot reach beyond the mirror image of the border.
    reach = min(math.ceil(3 * sigma), size - 1)
    offsets = np.arange(-reach, reach + 1)
    weights = np.exp(-0.5 * (offsets / sigma) ** 2)
    at = np.abs(np.arange(size)[:, None] + offsets)
    at = np.where(at >= size, 2 * (size - 1) - at, at)
    matrix = np.zeros((size, size))
    np.add.at(matrix, (np.arange(size)[:, None], at), weights / weights.sum())
    return torch.from_numpy(matrix.astype(np.float32))


def noise(x_BCHW: torch.Tensor, sd: float) -> torch.Tensor:
    """Gaussian noise of standard deviation `sd` (a share of white, 0 to 1), independent for every channel.

    One pattern, rolled by an amount that depends on the image's own pixels: each image gets the same noise in
    every batch, and different images get different noise.
    """
    if not 0 <= sd <= 1:
        raise ConfigError(_("view noise: sd is {sd:g}, wanted 0 to 1").format(sd=sd))
    height, width = x_BCHW.shape[-2:]
    pattern = rng(0, "view noise").standard_normal(tuple(x_BCHW.shape[1:]), dtype=np.float32)
    pattern_CHW = torch.from_numpy(pattern).to(x_BCHW.device, x_BCHW.dtype)
    # Integers: a sum of floats would depend on the order of addition.
    sums_B = (x_BCHW * 255).round().long().sum(dim=(1, 2, 3)).tolist()
    # Multiplicative hashing (Knuth): close sums must not give close rolls.
    hashes_B = [(s * 2654435761 & 0xFFFFFFFF) >> 8 for s in sums_B]
    rolled = [torch.roll(pattern_CHW, (h % height, h // height % width), (1, 2)) for h in hashes_B]
    return (x_BCHW + sd * torch.stack(rolled)).clamp(0, 1)


def jpeg(x_BCHW: torch.Tensor, quality: int) -> torch.Tensor:
    """Saved as JPEG of this quality, 1 to 100, and read again; other than three channels one by one."""
    if not 1 <= quality <= 100:
        raise ConfigError(_("view jpeg: quality is {quality}, wanted 1 to 100").format(quality=quality))
    if x_BCHW.shape[1] != RGB:
        grey_GCHW = x_BCHW.reshape(-1, 1, 1, *x_BCHW.shape[2:]).expand(-1, 1, RGB, -1, -1).flatten(0, 1)
        return jpeg(grey_GCHW, quality)[:, :1].reshape(x_BCHW.shape)
    bytes_BHWC = (x_BCHW * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    read = []
    for image_HWC in bytes_BHWC:
        done, coded = cv2.imencode(".jpg", image_HWC[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
        assert done, "OpenCV could not encode an image as JPEG"
        decoded = cv2.imdecode(coded, cv2.IMREAD_COLOR)
        assert decoded is not None, "OpenCV could not read its own JPEG"
        read.append(decoded[:, :, ::-1])
    x_BHWC = torch.from_numpy(np.ascontiguousarray(np.stack(read)))
    return x_BHWC.permute(0, 3, 1, 2).to(x_BCHW.device, x_BCHW.dtype) / 255


REGISTRY: dict[str, Callable[..., torch.Tensor]] = {
    "identity": identity,
    "hflip": hflip,
    "vflip": vflip,
    "shift": shift,
    "scale": scale,
    "rotate": rotate,
    "crop": crop,
    "brightness": brightness,
    "blur": blur,
    "noise": noise,
    "jpeg": jpeg,
}


# Views that sample larger images than the network's; they take the size of the result.
OF_DETAIL = ("scale", "rotate", "crop")


@dataclass(frozen=True)
class View:
    """One view with its arguments.

    Args:
        name: canonical text, e.g. `shift(2,-2)`; `parse` reads it.
        function: applied to a batch.
        arguments: after the batch, in order.
    """

    name: str
    function: Callable[..., torch.Tensor]
    arguments: tuple[Number, ...] = ()

    def apply(self, x_BCHW: torch.Tensor, size: Size | None = None) -> torch.Tensor:
        """The batch after the view, in [0, 1]: of this height and width, or of its own."""
        if size is None or tuple(x_BCHW.shape[-2:]) == size:
            return self.function(x_BCHW, *self.arguments)
        if self.name.partition("(")[0] in OF_DETAIL:
            return self.function(x_BCHW, *self.arguments, size=size)
        return self.function(reduced_batch(x_BCHW, size), *self.arguments)


def parameters(name: str) -> dict[str, type]:
    """Name and type of each argument of a registered view, in order."""
    own = list(inspect.signature(REGISTRY[name], eval_str=True).parameters.values())[1:]
    return {p.name: p.annotation for p in own if p.kind is not p.KEYWORD_ONLY}


def _usage(name: str) -> str:
    wanted = parameters(name)
    return f"{name}({','.join(wanted)})" if wanted else name


def _written(value: Number) -> str:
    """A number in its canonical spelling, which is part of keys: 10 for 10.0."""
    return str(int(value)) if value == int(value) else repr(value)


def _read(text: str) -> View | str:
    """The view, or the fault of its text."""
    match = re.fullmatch(r"\s*([A-Za-z_][A-Za-z0-9_]*)\s*(?:\(([^()]*)\))?\s*", text)
    if match is None:
        return _("{text!r} is not written as name or name(number,…)").format(text=text)
    name, inside = match.group(1), match.group(2)
    if name not in REGISTRY:
        return _("no view is called {name!r}; {nearest}").format(
            name=name,
            nearest=nearest(name, REGISTRY) or _("known: {known}").format(known=", ".join(REGISTRY)),
        )
    given = [part.strip() for part in inside.split(",")] if inside and inside.strip() else []
    wanted = parameters(name)
    if len(given) != len(wanted):
        return worded(_("{text!r} has {n:argument}, "), text=text, n=len(given)) + _(
            "wanted {n}: {usage}"
        ).format(n=len(wanted), usage=_usage(name))
    values: list[Number] = []
    for part, (argument, kind) in zip(given, wanted.items(), strict=True):
        try:
            values.append(kind(part))
        except ValueError:
            return _("{text!r}: {argument} is {part!r}, wanted {kind}: {usage}").format(
                text=text, argument=argument, part=part, kind=kind.__name__, usage=_usage(name)
            )
    if not all(map(math.isfinite, values)):
        return _("{text!r}: arguments must be finite: {usage}").format(text=text, usage=_usage(name))
    written = f"{name}({','.join(map(_written, values))})" if values else name
    return View(written, REGISTRY[name], tuple(values))


def parse_all(texts: Sequence[str]) -> tuple[View, ...]:
    """All views of a setting, in its order.

    Raises:
        ConfigError: unknown names, bad arguments or repeats; all of them are listed.
    """
    read = [_read(text) for text in expanded(list(texts))]
    faults = [one for one in read if isinstance(one, str)]
    views = [one for one in read if isinstance(one, View)]
    names = [view.name for view in views]
    repeated = {name: n for name, n in Counter(names).items() if n > 1}
    faults += [f"{name!r} is named {n} times" for name, n in repeated.items()]
    if faults:
        known = ", ".join(_usage(name) for name in REGISTRY)
        raise ConfigError(_("views: cannot be read"), faults, _("known views: {known}").format(known=known))
    return tuple(views)


def parse(text: str) -> View:
    """One view from its text, e.g. `shift(2,-2)`; see `parse_all`."""
    return parse_all([text])[0]
