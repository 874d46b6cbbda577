"""Augmentation policies, with random draws from derived seeds.

Owns making the transforms of a policy and the only use of albumentations. Does not own the policies' files
(`settings/augment.py`), which rows an epoch shows (`resample/indices.py`), nor deterministic views of an
image (`nets/views.py`).

An `Augmenter` holds no random state: each call derives its own generators from
("augment", fold, epoch, sample_id, copy), so pixels are the same in any process, with any number of
workers, interrupted or not. A Compose that is seeded as a whole gives every child the same stream, so that
transforms are applied together; here all children draw from one generator in turn.

Transforms that are about red, green and blue are left out where images have other channels, and said.

With `images.store_px` a policy gets larger images than the network: its transforms see them up to the first
one that crops to a size, which gives the network's; where there is none, the image is reduced by area in the
end.

Legend: H height, W width, C channels.
"""

from __future__ import annotations

import inspect
import logging
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
from pipeline.core.language import _
from pipeline.core.seeds import Part, py_rng, rng
from pipeline.data import detail, several, texts
from pipeline.data.channels import RGB
from pipeline.settings import augment
from pipeline.settings.augment import Policy, Transform
from pipeline.settings.schema import Config

Image: TypeAlias = npt.NDArray[np.uint8]
Size: TypeAlias = tuple[int, int]

# Transforms that read three channels as red, green and blue, or mix them.
OF_COLOUR = frozenset(
    [
        "ChromaticAberration",
        "ColorJitter",
        "FancyPCA",
        "HEStain",
        "HueSaturationValue",
        "ISONoise",
        "PlanckianJitter",
        "RGBShift",
        "RandomFog",
        "RandomGravel",
        "RandomRain",
        "RandomShadow",
        "RandomSnow",
        "RandomSunFlare",
        "Spatter",
        "ToGray",
        "ToSepia",
    ]
)
log = logging.getLogger(__name__)

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
    """Makes albumentations' transforms for images of one size, and collects their faults.

    `left_out` names the transforms that images of these channels do not have.

    Args:
        size: of the result, px.
        channels: of the images.
        stored: of the images that the policy gets, px; None: `size`.
    """

    def __init__(self, size: Size, channels: int = RGB, stored: Size | None = None) -> None:
        self.size = size
        self.stored = stored or size
        self.channels = channels
        self.faults: list[str] = []
        self.left_out: list[str] = []

    def policy(self, transforms: Sequence[Transform]) -> list[Any]:
        """The transforms of a policy; larger images are reduced behind the first one that may do so."""
        if self.stored == self.size:
            return self.all(transforms)
        first = next((n for n, one in enumerate(transforms) if _gives_a_size(one)), len(transforms) - 1)
        large, small = self.all(transforms[: first + 1]), self.all(transforms[first + 1 :])
        return [*large, _reducing(self.size), *small]

    def all(self, transforms: Sequence[Transform]) -> list[Any]:
        """One object for each transform that could be made."""
        made = [self._one(transform) for transform in transforms]
        return [one for one in made if one is not None]

    def _one(self, transform: Transform) -> Any:
        if self.channels != RGB and transform.name in OF_COLOUR:
            self.left_out.append(transform.name)
            return None
        kind = getattr(_library(), transform.name)
        takes = inspect.signature(kind).parameters
        arguments = self._filled(transform, takes)
        if transform.children:
            arguments["transforms"] = self.all(transform.children)
        odd = [name for name in arguments if name not in takes]
        for name in odd:
            hint = nearest(name, takes) or _("it takes {takes}").format(takes=", ".join(takes))
            self.faults.append(
                _("{where}: {transform} has no argument `{name}`; {hint}").format(
                    where=transform.where, transform=transform.name, name=name, hint=hint
                )
            )
        if transform.children and len(arguments["transforms"]) < len(transform.children):
            arguments = _of_fewer(transform, arguments)
        if odd or (transform.children and not arguments["transforms"]):
            return None
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                made = kind(**arguments)
            if not transform.children and not self._works(transform, kind(**{**arguments, "p": 1.0})):
                self.left_out.append(transform.name)
                return None
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
                choose = _("choose one of {words}").format(words=", ".join(words))
                self.faults.append(
                    _("{where}: border_mode is `{border}`; {choose}").format(
                        where=transform.where, border=border, choose=choose
                    )
                )
            given["border_mode"] = words.get(border, words["reflect"]) if isinstance(border, str) else border
        # Transforms that crop to a size use the model's, unless the file says otherwise.
        height, width = self.size
        for name, value in {"size": self.size, "height": height, "width": width}.items():
            if name in takes and takes[name].default is inspect.Parameter.empty:
                given.setdefault(name, value)
        if self.stored != self.size and "area_for_downscale" in takes:
            given.setdefault("area_for_downscale", "image")
        return given

    def _works(self, transform: Transform, made: Any) -> bool:
        """Whether the transform takes images of these channels; one that takes no RGB picture is a fault."""
        if self.channels != RGB:
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("error")
                    if _gives_pictures(made, self.stored, self.channels):
                        return True
            except Exception:  # whatever the library raises for channels that it does not know
                log.debug("%s does not take images of %d channels", transform.name, self.channels)
        if not _gives_pictures(made, self.stored, RGB):
            self.faults.append(
                _("{where}: {transform} does not give an 8-bit RGB picture").format(
                    where=transform.where, transform=transform.name
                )
            )
        return self.channels == RGB


def _gives_a_size(transform: Transform) -> bool:
    """Whether the transform, or one inside it, crops or resizes to a height and a width."""
    if transform.children:
        return any(map(_gives_a_size, transform.children))
    takes = inspect.signature(getattr(_library(), transform.name)).parameters
    return "size" in takes or {"height", "width"} <= set(takes)


def _reducing(size: Size) -> Any:
    """What reduces an image to this size by area; one that has it stays as it is."""
    import cv2

    return _library().Resize(*size, interpolation=cv2.INTER_AREA, p=1.0)


def _gives_pictures(made: Any, size: Size, channels: int) -> bool:
    """Whether a transform gives images like those it gets."""
    pixels_HWC = np.random.default_rng(0).integers(0, 256, (*size, channels), np.uint8)
    made.set_random_state(rng(0, "try"), py_rng(0, "try"))
    out = made(image=pixels_HWC)["image"]
    if not isinstance(out, np.ndarray) or out.dtype != np.uint8:
        return False
    return out.shape[2:] == (channels,) or (channels == 1 and out.ndim == 2)


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


def _of_fewer(transform: Transform, arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a container some of whose transforms are left out."""
    left = len(arguments["transforms"])
    if isinstance(arguments.get("n"), int):
        return {**arguments, "n": min(arguments["n"], left)}
    return arguments


def _compose(
    policy: Policy, size: Size, setting: str, channels: int, stored: Size
) -> tuple[Any, tuple[str, ...]]:
    """An unseeded Compose, tried on a picture, and the transforms that are left out.

    A warning of the library counts as an error.

    Raises:
        ConfigError: unknown or invalid arguments, all of them, or a policy that changes the shape.
    """
    maker = _Maker(size, channels, stored)
    made = maker.policy(policy.transforms)
    if maker.faults:
        augment.refuse(policy.name, maker.faults, setting)
    composed = _library().Compose(made)
    pixels_HWC = np.random.default_rng(0).integers(0, 256, (*stored, channels), np.uint8)
    for attempt in range(TRIES):
        composed.set_random_state(rng(0, "try", attempt), py_rng(0, "try", attempt))
        height, width = composed(image=pixels_HWC)["image"].shape[:2]
        if (height, width) != size:
            change = _("a picture of {before} px becomes one of {width} × {height}").format(
                before=f"{stored[1]} × {stored[0]}", width=width, height=height
            )
            augment.refuse(policy.name, [f"{change}: end with RandomCrop"], setting)
    return composed, tuple(dict.fromkeys(maker.left_out))


def augmenter_of(config: Config) -> Augmenter:
    """The policy of a run, for its images."""
    images = config.images
    return Augmenter(config.augment.policy, images.hw, channels=images.channels, stored=images.stored_hw)


def copier_of(config: Config) -> Augmenter | None:
    """The policy of a run's offline copies; None: it has none."""
    if config.resample.copies is None:
        return None
    images, policy = config.images, config.resample.copies.policy
    return Augmenter(policy, images.hw, "resample.copies.policy", images.channels, images.stored_hw)


def check(config: Config) -> None:
    """Try the policies of a run that trains on pixels, before anything is built for it.

    Raises:
        ConfigError: a policy is unknown or faulty; the error lists all of its faults.
    """
    augmenter_of(config)
    copier_of(config)


def left_out(config: Config) -> list[str]:
    """What the policies of a run leave out because of its channels, one line each."""
    made = [augmenter for augmenter in (augmenter_of(config), copier_of(config)) if augmenter is not None]
    channels = config.images.channels
    return [
        texts.AUGMENT_LEFT_OUT.format(policy=one.policy, channels=channels, names=", ".join(one.left_out))
        for one in made
        if one.left_out
    ]


class Augmenter:
    """One policy for images of one size; it can be passed to loader processes.

    Args:
        policy: the name of a policy; see `settings/augment.py`.
        size: height and width of the images, px, or the side of square ones.
        setting: that names the policy, for messages.
        channels: of the images.
        stored: height and width of the images that it gets, px; None: `size`.

    Attributes:
        left_out: transforms of the policy that images of these channels do not have.

    Raises:
        ConfigError: the policy is unknown or faulty; the error lists all of its faults.
    """

    def __init__(
        self,
        policy: str,
        size: int | Size,
        setting: str = "augment.policy",
        channels: int = RGB,
        stored: Size | None = None,
    ) -> None:
        self.policy = policy
        self.channels = channels
        self.left_out: tuple[str, ...] = ()
        self.size = (size, size) if isinstance(size, int) else size
        self.stored = stored or self.size
        self._own = plugin.Own(policy, Path.cwd(), setting) if augment.is_own(policy) else None
        read = None if self._own else augment.read(policy, setting)
        self._transform = None
        if read and read.transforms:
            self._transform, self.left_out = _compose(read, self.size, setting, channels, self.stored)

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
        """A new image of `size`, uint8, with the channels of the input, which is not changed.

        The input has the size `stored`.

        Each of several images of a sample, which lie one behind the other, is changed by draws of its own.

        `epoch` counts from 0, and so does `copy`, the number of the sample's occurrence in this epoch.
        """
        return self._each(image_HWC, root_seed, ("augment", fold, epoch, sample_id, copy))

    def offline(self, image_HWC: Image, root_seed: int, sample_id: str, copy: int) -> Image:
        """Offline copy number `copy`, from 0: the same pixels in every fold and epoch, like a file."""
        return self._each(image_HWC, root_seed, ("offline copy", sample_id, copy))

    def _each(self, row_HWC: Image, root_seed: int, parts: tuple[Part, ...]) -> Image:
        """Every image of a sample with its own draws; the first as if it were alone."""
        rest = row_HWC.shape[2] % self.channels
        assert row_HWC.shape[:2] == self.stored and not rest, f"expected {self.stored}, got {row_HWC.shape}"
        return several.each(
            row_HWC,
            self.channels,
            lambda image, at: self._apply(image, root_seed, (*parts, at) if at else parts),
        )

    def _apply(self, image_HWC: Image, root_seed: int, parts: tuple[Part, ...]) -> Image:
        pixels_HWC = np.array(image_HWC)
        if self._own is not None:
            return detail.reduced(
                _own_pixels(self._own, pixels_HWC, rng(root_seed, *parts), self.size), self.size
            )
        if self._transform is None:
            return detail.reduced(pixels_HWC, self.size)
        self._transform.set_random_state(rng(root_seed, *parts), py_rng(root_seed, *parts))
        out_HWC = self._transform(image=pixels_HWC)["image"]
        if out_HWC.ndim == 2:  # OpenCV drops the axis of one channel
            out_HWC = out_HWC[..., None]
        if out_HWC.shape != (*self.size, image_HWC.shape[2]):
            change = _("a picture of shape {before} became one of {after}").format(
                before=image_HWC.shape, after=out_HWC.shape
            )
            augment.refuse(self.policy, [change])
        return np.ascontiguousarray(out_HWC)


def _own_pixels(own: plugin.Own, image_HWC: Image, draw: np.random.Generator, size: Size) -> Image:
    """The image that the user's own function returns, as large as the one it got or of the network's size."""
    shape = image_HWC.shape
    out_HWC = own(image_HWC, draw)
    allowed = (shape, (*size, shape[2]))
    if not isinstance(out_HWC, np.ndarray) or out_HWC.shape not in allowed or out_HWC.dtype != np.uint8:
        wanted = _("a uint8 array of shape {shape}, like the one it got").format(shape=shape)
        if shape[:2] != size:
            wanted += _(", or {allowed}, the network's size").format(allowed=allowed[1])
        raise own.wrong(plugin.described(out_HWC), wanted)
    return np.ascontiguousarray(out_HWC)
