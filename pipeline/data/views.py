"""The one registry of pixel views: named, parametrised functions of a batch.

Owns the views that test-time augmentation, features and corruptions share, and reading them from
text such as `shift(2,-2)`. Does not own running a model on them (`learn/features.py`,
`infer/predict.py`) nor random augmentation (`data/augment.py`).

A new view is one function with annotated parameters and one line in `REGISTRY`.

Legend: B images, C channels, H height, W width; x_BCHW is float in [0, 1].
"""

import inspect
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional

from pipeline.core.errors import ConfigError, nearest

Number = int | float


def identity(x_BCHW: torch.Tensor) -> torch.Tensor:
    """The images as they are."""
    return x_BCHW


def hflip(x_BCHW: torch.Tensor) -> torch.Tensor:
    """Mirrored left to right."""
    return x_BCHW.flip(-1)


def shift(x_BCHW: torch.Tensor, dx: int, dy: int) -> torch.Tensor:
    """Moved right by `dx` and down by `dy` px; what comes in repeats the border's pixels."""
    height, width = x_BCHW.shape[-2:]
    if abs(dx) >= width or abs(dy) >= height:
        raise ConfigError(
            f"view shift({dx},{dy}): moves the whole image out of its {width}×{height} px",
            remedy="use a shift smaller than images.size",
        )
    padding = (max(dx, 0), max(-dx, 0), max(dy, 0), max(-dy, 0))
    padded = functional.pad(x_BCHW, padding, mode="replicate")
    return padded[..., max(-dy, 0) : max(-dy, 0) + height, max(-dx, 0) : max(-dx, 0) + width]


REGISTRY: dict[str, Callable[..., torch.Tensor]] = {
    "identity": identity,
    "hflip": hflip,
    "shift": shift,
}


@dataclass(frozen=True)
class View:
    """One view with its arguments.

    Args:
        name: canonical text, e.g. `shift(2,-2)`; `parse` reads it back.
        function: what it does to a batch.
        arguments: after the batch, in order.
    """

    name: str
    function: Callable[..., torch.Tensor]
    arguments: tuple[Number, ...] = ()

    def apply(self, x_BCHW: torch.Tensor) -> torch.Tensor:
        """The seen batch: same shape, in [0, 1]."""
        return self.function(x_BCHW, *self.arguments)


def parameters(name: str) -> dict[str, type]:
    """Name and type of each argument of a registered view, in order."""
    signature = inspect.signature(REGISTRY[name], eval_str=True)
    return {p.name: p.annotation for p in list(signature.parameters.values())[1:]}


def _usage(name: str) -> str:
    wanted = parameters(name)
    return f"{name}({','.join(wanted)})" if wanted else name


def _read(text: str) -> View | str:
    """The view, or what is wrong with its text."""
    match = re.fullmatch(r"\s*([A-Za-z_][A-Za-z0-9_]*)\s*(?:\(([^()]*)\))?\s*", text)
    if match is None:
        return f"{text!r} is not written as name or name(number,…)"
    name, inside = match.group(1), match.group(2)
    if name not in REGISTRY:
        return f"no view called {name!r}: {nearest(name, REGISTRY) or 'there are ' + ', '.join(REGISTRY)}"
    given = [part.strip() for part in inside.split(",")] if inside and inside.strip() else []
    wanted = parameters(name)
    if len(given) != len(wanted):
        return f"{text!r} has {len(given)} arguments, wanted {len(wanted)}: {_usage(name)}"
    values: list[Number] = []
    for part, (argument, kind) in zip(given, wanted.items(), strict=True):
        try:
            values.append(kind(part))
        except ValueError:
            return f"{text!r}: {argument} is {part!r}, wanted {kind.__name__}: {_usage(name)}"
    written = f"{name}({','.join(str(v) for v in values)})" if values else name
    return View(written, REGISTRY[name], tuple(values))


def parse_all(texts: Sequence[str]) -> tuple[View, ...]:
    """All views of a setting, in its order.

    Raises:
        ConfigError: unknown names, bad arguments or repeats; all of them are listed.
    """
    read = [_read(text) for text in texts]
    faults = [found for found in read if isinstance(found, str)]
    views = [found for found in read if isinstance(found, View)]
    names = [view.name for view in views]
    faults += [
        f"{name!r} is named {names.count(name)} times"
        for name in dict.fromkeys(names)
        if names.count(name) > 1
    ]
    if faults:
        known = ", ".join(_usage(name) for name in REGISTRY)
        raise ConfigError("views: cannot be read", faults, f"known views: {known}")
    return tuple(views)


def parse(text: str) -> View:
    """One view from its text, e.g. `shift(2,-2)`; see `parse_all`."""
    return parse_all([text])[0]
