"""What training adds to pixels: augmentation policies by name, drawn from derived seeds.

Owns the policies and the only use of albumentations. Does not own which rows an epoch shows
(`data/resample.py`), nor deterministic views of an image (`data/views.py`).

An `Augmenter` holds no random state: each call derives its own generators from
("augment", fold, epoch, sample_id, copy), so pixels are the same in any process, with any number of
workers, interrupted or not. A Compose seeded as a whole would give every child the same stream, and
transforms would fire together; one generator handed to all children is drawn from in turn instead.

Legend: H height, W width, C channels (3, RGB).
"""

import os
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from pipeline.core import plugin
from pipeline.core.errors import ConfigError, nearest
from pipeline.core.seeds import Part, py_rng, rng
from pipeline.settings.fields import Change
from pipeline.settings.schema import AttributeSettings

Image: TypeAlias = npt.NDArray[np.uint8]
Size: TypeAlias = tuple[int, int]
CHANGES = get_args(Change)


def _none(a: Any, size: Size) -> list[Any]:
    return []


def _light(a: Any, size: Size) -> list[Any]:
    """For small drawings: half are mirrored, all stay legible."""
    return [
        a.HorizontalFlip(p=0.5),
        a.Affine(translate_percent=(-0.06, 0.06), scale=(0.9, 1.1), rotate=(-8, 8), **_border(), p=0.8),
        a.RandomBrightnessContrast(brightness_limit=0.1, contrast_limit=0.1, p=0.5),
    ]


def _upright(a: Any, size: Size) -> list[Any]:
    """For digits and letters: nothing is mirrored, since a mirrored one is another one or none."""
    return [
        a.Affine(translate_percent=(-0.08, 0.08), scale=(0.9, 1.1), rotate=(-8, 8), **_border(), p=0.8),
        a.RandomBrightnessContrast(brightness_limit=0.1, contrast_limit=0.1, p=0.5),
    ]


def _medium(a: Any, size: Size) -> list[Any]:
    return [
        a.HorizontalFlip(p=0.5),
        a.Affine(translate_percent=(-0.1, 0.1), scale=(0.8, 1.2), rotate=(-15, 15), **_border(), p=0.9),
        a.RandomBrightnessContrast(brightness_limit=0.2, contrast_limit=0.2, p=0.5),
        a.HueSaturationValue(hue_shift_limit=8, sat_shift_limit=20, val_shift_limit=10, p=0.5),
    ]


def _heavy(a: Any, size: Size) -> list[Any]:
    return [
        a.RandomResizedCrop(size=size, scale=(0.6, 1.0), ratio=(0.8, 1.25), p=0.8),
        a.HorizontalFlip(p=0.5),
        a.Affine(scale=(0.8, 1.2), rotate=(-25, 25), shear=(-8, 8), **_border(), p=0.9),
        a.RandomBrightnessContrast(brightness_limit=0.3, contrast_limit=0.3, p=0.7),
        a.HueSaturationValue(hue_shift_limit=15, sat_shift_limit=30, val_shift_limit=15, p=0.7),
        a.OneOf([a.GaussianBlur(blur_limit=(3, 5)), a.GaussNoise(std_range=(0.02, 0.08))], p=0.3),
        # Holes are grey: black would be a colour of its own on white drawings.
        a.CoarseDropout(
            num_holes_range=(1, 2),
            hole_height_range=(0.1, 0.25),
            hole_width_range=(0.1, 0.25),
            fill=128,
            p=0.4,
        ),
    ]


def _rotate30(a: Any, size: Size) -> list[Any]:
    """Rotation by up to ±30° and nothing else, with a border like the image."""
    return [a.Rotate(limit=30, **_border(), p=1.0)]


def _trivial(a: Any, size: Size) -> list[Any]:
    """One change of random strength an image, all equally likely, and nothing to tune.

    After TrivialAugment, Müller and Hutter 2021, https://arxiv.org/abs/2103.10158, with its wide ranges
    for geometry, borders reflected. Nothing is mirrored: a policy of one change has no room for it.
    """
    return [
        a.OneOf(
            [
                a.NoOp(),
                a.Rotate(limit=60, **_border()),
                a.Affine(shear={"x": (-40, 40), "y": (0, 0)}, **_border()),
                a.Affine(shear={"x": (0, 0), "y": (-40, 40)}, **_border()),
                a.Affine(translate_percent={"x": (-0.3, 0.3), "y": (0, 0)}, **_border()),
                a.Affine(translate_percent={"x": (0, 0), "y": (-0.3, 0.3)}, **_border()),
                a.RandomBrightnessContrast(brightness_limit=0.6, contrast_limit=0.0),
                a.RandomBrightnessContrast(brightness_limit=0.0, contrast_limit=0.6),
                a.HueSaturationValue(hue_shift_limit=0, sat_shift_limit=90, val_shift_limit=0),
                a.Sharpen(alpha=(0.0, 0.9)),
                a.Posterize(num_bits=(2, 7)),
                a.Solarize(threshold_range=(0.4, 1.0)),
                a.AutoContrast(),
                a.Equalize(),
            ],
            p=1.0,
        )
    ]


def _border() -> dict[str, int]:
    import cv2

    # The library's default is a black border, which the notes found models to learn from.
    return {"border_mode": cv2.BORDER_REFLECT_101}


POLICIES: dict[str, Callable[[Any, Size], list[Any]]] = {
    "none": _none,
    "light": _light,
    "upright": _upright,
    "medium": _medium,
    "heavy": _heavy,
    "rotate30": _rotate30,
    "trivial": _trivial,
}
# What each policy does, in the words of `competition.attributes[].forbids`; a test holds it to the truth.
DOES: dict[str, frozenset[str]] = {
    "none": frozenset(),
    "light": frozenset({"hflip", "rotation", "geometry", "brightness"}),
    "upright": frozenset({"rotation", "geometry", "brightness"}),
    "medium": frozenset({"hflip", "rotation", "geometry", "brightness", "colour"}),
    "heavy": frozenset({"hflip", "rotation", "geometry", "crop", "brightness", "colour", "blur", "erase"}),
    "rotate30": frozenset({"rotation"}),
    "trivial": frozenset({"rotation", "geometry", "brightness", "colour", "blur"}),
}


def refuse_forbidden(
    policy: str, attributes: Sequence[AttributeSettings], setting: str = "augment.policy"
) -> None:
    """A policy may not do what makes an attribute's label wrong; `setting` is where it was chosen.

    Raises:
        ConfigError: naming every change that an attribute forbids, and the policies that are left.
    """
    every = {change for a in attributes for change in a.forbids}
    does = does_of(policy, setting) if every or plugin.is_plugin(policy) else frozenset()
    if does is None and every:
        name, forbidden = policy.partition(":")[2], ", ".join(sorted(every))
        raise ConfigError(
            f"{setting}={policy}: does not say what it does, and some labels forbid {forbidden}",
            remedy=f'write {name}.does = ("rotation", "brightness"), () for none of {", ".join(CHANGES)}',
        )
    does = does or frozenset()
    faults = [f"{a.name} forbids {change}" for a in attributes for change in a.forbids if change in does]
    if faults:
        left = [name for name, changes in DOES.items() if not changes & every]
        raise ConfigError(
            f"{setting}={policy}: changes what a label says", faults, f"choose one of {', '.join(left)}"
        )


def does_of(policy: str, setting: str = "augment.policy") -> frozenset[str] | None:
    """What a policy does to an image, in the words of `forbids`; None: one's own function that says nothing.

    Raises:
        ConfigError: one's own function cannot be loaded, or says what is no such word.
    """
    if not plugin.is_plugin(policy):
        return DOES.get(policy, frozenset())
    said = getattr(plugin.Own(policy, Path.cwd(), setting).function, "does", None)
    if said is None:
        return None
    if isinstance(said, str) or not set(said) <= set(CHANGES):
        raise ConfigError(f"{setting}: {policy}.does is {said!r}", remedy=f"words of {', '.join(CHANGES)}")
    return frozenset(said)


def _compose(policy: str, size: Size) -> Any:
    """An unseeded Compose; a renamed argument is an error, not a warning."""
    # The library asks the network for a newer version of itself while it is imported.
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
    import albumentations

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return albumentations.Compose(POLICIES[policy](albumentations, size))


class Augmenter:
    """One policy, ready to be called on images of one size; safe to hand to loader processes.

    Args:
        policy: a name of `POLICIES`.
        size: height and width of the images, px, or the side of square ones.

    Raises:
        ConfigError: the policy is unknown; the nearest names are shown.
    """

    def __init__(self, policy: str, size: int | Size) -> None:
        self._own = plugin.Own(policy, Path.cwd(), "augment.policy") if plugin.is_plugin(policy) else None
        if policy not in POLICIES and self._own is None:
            raise ConfigError(
                f"augment.policy: no policy called {policy!r}",
                [hint] if (hint := nearest(policy, POLICIES)) else [],
                f"choose one of {', '.join(POLICIES)}, or module:function",
            )
        self.policy = policy
        self.size = (size, size) if isinstance(size, int) else size
        plain = policy == "none" or self._own is not None
        self._transform = None if plain else _compose(policy, self.size)

    def __call__(
        self, image_HWC: Image, root_seed: int, fold: int, epoch: int, sample_id: str, copy: int
    ) -> Image:
        """A new uint8 image of the same shape; the input is left alone.

        Args:
            image_HWC: RGB, 0 to 255, of `size`.
            root_seed: the experiment's seed.
            fold: which fold trains.
            epoch: from 0.
            sample_id: whose image it is.
            copy: the how-manieth occurrence of the sample in this epoch, from 0.
        """
        assert image_HWC.shape == (*self.size, 3), f"expected {self.size} px, got {image_HWC.shape}"
        return self._apply(image_HWC, root_seed, ("augment", fold, epoch, sample_id, copy))

    def offline(self, image_HWC: Image, root_seed: int, sample_id: str, copy: int) -> Image:
        """An offline copy: the same pixels in every fold and epoch, as if it lay on the disk.

        Args:
            image_HWC: as for a call.
            root_seed: the experiment's seed.
            sample_id: whose image it is.
            copy: the how-manieth copy, from 0.
        """
        return self._apply(image_HWC, root_seed, ("offline copy", sample_id, copy))

    def _apply(self, image_HWC: Image, root_seed: int, parts: tuple[Part, ...]) -> Image:
        pixels_HWC = np.array(image_HWC)
        if self._own is not None:
            return _own_pixels(self._own, pixels_HWC, rng(root_seed, *parts))
        if self._transform is None:
            return pixels_HWC
        self._transform.set_random_state(rng(root_seed, *parts), py_rng(root_seed, *parts))
        out_HWC = self._transform(image=pixels_HWC)["image"]
        assert out_HWC.shape == image_HWC.shape and out_HWC.dtype == np.uint8, "a policy changed the shape"
        return np.ascontiguousarray(out_HWC)


def _own_pixels(own: plugin.Own, image_HWC: Image, draw: np.random.Generator) -> Image:
    """What the user's own function makes of an image, held to shape and kind."""
    shape = image_HWC.shape
    out_HWC = own(image_HWC, draw)
    if not isinstance(out_HWC, np.ndarray) or out_HWC.shape != shape or out_HWC.dtype != np.uint8:
        raise own.wrong(plugin.described(out_HWC), f"a uint8 array of shape {shape}, like the one it got")
    return np.ascontiguousarray(out_HWC)
