"""Augmentation policies, with random draws from derived seeds.

Owns making the transforms of a policy and the only use of albumentations. Does not own the policies' files
(`settings/augment.py`), which rows an epoch shows (`resample/indices.py`), nor deterministic views of an
image (`nets/views.py`).

An `Augmenter` holds no random state: each call derives its own generators from
("augment", fold, epoch, sample_id, copy), so pixels are the same in any process, with any number of
workers, interrupted or not. A Compose that is seeded as a whole gives every child the same stream, so that
transforms are applied together; here all children draw from one generator in turn.

Legend: H height, W width, C channels (3, RGB).
"""

import inspect
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from pipeline.core import plugin
from pipeline.core.errors import nearest
from pipeline.core.seeds import Part, py_rng, rng
from pipeline.settings import augment
from pipeline.settings.augment import Policy, Transform
from pipeline.settings.schema import Config

Image: TypeAlias = npt.NDArray[np.uint8]
Size: TypeAlias = tuple[int, int]

# Number of trials before training, to check that a policy keeps the shape of an image.
TRIES = 24


def _library() -> Any:
    # The library looks for a newer version on the network while it is imported.
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
    import albumentations

    return albumentations


def _borders() -> dict[str, int]:
    import cv2

    return {
        "reflect": cv2.BORDER_REFLECT_101,
        "reflect_edge": cv2.BORDER_REFLECT,
        "replicate": cv2.BORDER_REPLICATE,
        "wrap": cv2.BORDER_WRAP,
        "constant": cv2.BORDER_CONSTANT,
    }


class _Maker:
    """Makes albumentations' transforms for images of one size, and collects their faults."""

    def __init__(self, size: Size) -> None:
        self.size = size
        self.faults: list[str] = []

    def all(self, transforms: Sequence[Transform]) -> list[Any]:
        """One object for each transform that could be made."""
        made = [self._one(transform) for transform in transforms]
        return [one for one in made if one is not None]

    def _one(self, transform: Transform) -> Any:
        kind = getattr(_library(), transform.name)
        takes = inspect.signature(kind).parameters
        arguments = self._filled(transform, takes)
        if transform.children:
            arguments["transforms"] = self.all(transform.children)
        odd = [name for name in arguments if name not in takes]
        for name in odd:
            hint = nearest(name, takes) or f"it takes {', '.join(takes)}"
            self.faults.append(f"{transform.where}: {transform.name} has no argument `{name}`; {hint}")
        if odd or (transform.children and not arguments["transforms"]):
            return None
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                made = kind(**arguments)
            if not transform.children:
                self._try(transform, kind(**{**arguments, "p": 1.0}))
        except Exception as error:  # the library may raise anything for arguments that a user wrote
            self.faults.append(f"{transform.where}: {transform.name}: {_reason(error)}")
            return None
        return made

    def _filled(self, transform: Transform, takes: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments as the library needs them, with this project's defaults for missing ones."""
        given = {name: _tuples(value) for name, value in transform.arguments.items()}
        # The library's default is a black border, which models learn from.
        words = _borders()
        if "border_mode" in takes:
            border = given.get("border_mode", "reflect")
            if isinstance(border, str) and border not in words:
                choose = f"choose one of {', '.join(words)}"
                self.faults.append(f"{transform.where}: border_mode is `{border}`; {choose}")
            given["border_mode"] = words.get(border, words["reflect"]) if isinstance(border, str) else border
        # Transforms that crop to a size use the model's, unless the file says otherwise.
        height, width = self.size
        for name, value in {"size": self.size, "height": height, "width": width}.items():
            if name in takes and takes[name].default is inspect.Parameter.empty:
                given.setdefault(name, value)
        return given

    def _try(self, transform: Transform, made: Any) -> None:
        pixels_HWC = np.random.default_rng(0).integers(0, 256, (*self.size, 3), np.uint8)
        made.set_random_state(rng(0, "try"), py_rng(0, "try"))
        out = made(image=pixels_HWC)["image"]
        if not isinstance(out, np.ndarray) or out.dtype != np.uint8 or out.ndim != 3 or out.shape[2] != 3:
            self.faults.append(f"{transform.where}: {transform.name} does not give an 8-bit RGB picture")


def _tuples(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_tuples(v) for v in value)
    return {k: _tuples(v) for k, v in value.items()} if isinstance(value, dict) else value


def _reason(error: Exception) -> str:
    """The library's message about invalid arguments, in one line."""
    checked = error.__context__  # the library's own error does not name the argument
    if isinstance(checked, ValidationError):
        errors = [(".".join(map(str, e["loc"])), e["msg"], e["input"]) for e in checked.errors()]
        # A union reports each of its members: the first line of an argument is enough.
        first = {at.split(".")[0]: f"{at}: {text}; got {given!r}" for at, text, given in reversed(errors)}
        return "; ".join(reversed(first.values()))[:300]
    return f"{type(error).__name__}: {error}".splitlines()[0][:300]


def _compose(policy: Policy, size: Size, setting: str) -> Any:
    """An unseeded Compose, tried on a picture; a warning of the library counts as an error.

    Raises:
        ConfigError: unknown or invalid arguments, all of them, or a policy that changes the shape.
    """
    maker = _Maker(size)
    made = maker.all(policy.transforms)
    if maker.faults:
        augment.refuse(policy.name, maker.faults, setting)
    composed = _library().Compose(made)
    pixels_HWC = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    for attempt in range(TRIES):
        composed.set_random_state(rng(0, "try", attempt), py_rng(0, "try", attempt))
        height, width = composed(image=pixels_HWC)["image"].shape[:2]
        if (height, width) != size:
            change = f"a picture of {size[1]} × {size[0]} px becomes one of {width} × {height}"
            augment.refuse(policy.name, [f"{change}: end with RandomCrop"], setting)
    return composed


def check(config: Config) -> None:
    """Try the policies of a run that trains on pixels, before anything is built for it.

    Raises:
        ConfigError: a policy is unknown or faulty; the error lists all of its faults.
    """
    Augmenter(config.augment.policy, config.images.hw)
    if config.resample.copies is not None:
        Augmenter(config.resample.copies.policy, config.images.hw, "resample.copies.policy")


class Augmenter:
    """One policy for images of one size; it can be passed to loader processes.

    Args:
        policy: the name of a policy; see `settings/augment.py`.
        size: height and width of the images, px, or the side of square ones.
        setting: that names the policy, for messages.

    Raises:
        ConfigError: the policy is unknown or faulty; the error lists all of its faults.
    """

    def __init__(self, policy: str, size: int | Size, setting: str = "augment.policy") -> None:
        self.policy = policy
        self.size = (size, size) if isinstance(size, int) else size
        self._own = plugin.Own(policy, Path.cwd(), setting) if augment.is_own(policy) else None
        read = None if self._own else augment.read(policy, setting)
        self._transform = _compose(read, self.size, setting) if read and read.transforms else None

    @property
    def is_own(self) -> bool:
        """Whether the policy is a function of the user's own."""
        return self._own is not None

    @property
    def transforms(self) -> tuple[Any, ...]:
        """The transforms of the policy in order, as albumentations made them; empty for an own function."""
        return tuple(self._transform.transforms) if self._transform is not None else ()

    def __call__(
        self, image_HWC: Image, root_seed: int, fold: int, epoch: int, sample_id: str, copy: int
    ) -> Image:
        """A new image of `size`, RGB, uint8; the input is not changed.

        `epoch` counts from 0, and so does `copy`, the number of the sample's occurrence in this epoch.
        """
        assert image_HWC.shape == (*self.size, 3), f"expected {self.size} px, got {image_HWC.shape}"
        return self._apply(image_HWC, root_seed, ("augment", fold, epoch, sample_id, copy))

    def offline(self, image_HWC: Image, root_seed: int, sample_id: str, copy: int) -> Image:
        """Offline copy number `copy`, from 0: the same pixels in every fold and epoch, like a file."""
        return self._apply(image_HWC, root_seed, ("offline copy", sample_id, copy))

    def _apply(self, image_HWC: Image, root_seed: int, parts: tuple[Part, ...]) -> Image:
        pixels_HWC = np.array(image_HWC)
        if self._own is not None:
            return _own_pixels(self._own, pixels_HWC, rng(root_seed, *parts))
        if self._transform is None:
            return pixels_HWC
        self._transform.set_random_state(rng(root_seed, *parts), py_rng(root_seed, *parts))
        out_HWC = self._transform(image=pixels_HWC)["image"]
        if out_HWC.shape != image_HWC.shape:
            change = f"a picture of shape {image_HWC.shape} became one of {out_HWC.shape}"
            augment.refuse(self.policy, [change])
        return np.ascontiguousarray(out_HWC)


def _own_pixels(own: plugin.Own, image_HWC: Image, draw: np.random.Generator) -> Image:
    """The image that the user's own function returns, with its shape and type checked."""
    shape = image_HWC.shape
    out_HWC = own(image_HWC, draw)
    if not isinstance(out_HWC, np.ndarray) or out_HWC.shape != shape or out_HWC.dtype != np.uint8:
        raise own.wrong(plugin.described(out_HWC), f"a uint8 array of shape {shape}, like the one it got")
    return np.ascontiguousarray(out_HWC)
