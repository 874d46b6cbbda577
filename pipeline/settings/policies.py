"""Augmentation policies as files: `configs/augment/<name>.yaml`, or a path that ends in `.yaml`.

Owns finding and reading them, what each of their transforms does to an image, and their digest. Does not
own making transforms of them (`data/augment.py`), so nothing here needs albumentations.

A file has one key, `transforms`: a list of albumentations transforms by name, each with its arguments.
`OneOf`, `SomeOf`, `RandomOrder` and `Sequential` hold `transforms` of their own.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from pipeline.core import plugin
from pipeline.core.errors import ConfigError, nearest
from pipeline.settings import folders
from pipeline.settings.competition import AttributeSettings
from pipeline.settings.fields import Change
from pipeline.settings.read import Fault, parse_file

GROUP = "augment"
SUFFIX = ".yaml"
WORDS = get_args(Change)
CONTAINERS = ("OneOf", "SomeOf", "RandomOrder", "Sequential")

# What transforms may do to an image, in the words of `competition.attributes[].forbids`: all that
# albumentations offers for one 8-bit picture; a test holds this to the library. A name may stand twice.
_DOING = {
    "hflip": "HorizontalFlip Transpose D4 SquareSymmetry",
    "vflip": "VerticalFlip D4 SquareSymmetry",
    "rotation": "Rotate RandomRotate90 Affine SafeRotate ShiftScaleRotate Transpose D4 SquareSymmetry",
    "geometry": "Affine SafeRotate ShiftScaleRotate CropAndPad RandomResizedCrop RandomSizedCrop"
    " ElasticTransform GridDistortion GridElasticDeform LongestMaxSize OpticalDistortion Pad PadIfNeeded"
    " Perspective PiecewiseAffine RandomGridShuffle RandomScale Resize SmallestMaxSize ThinPlateSpline",
    "crop": "CenterCrop Crop CropAndPad RandomCrop RandomCropFromBorders RandomResizedCrop RandomSizedCrop",
    "brightness": "AutoContrast CLAHE ColorJitter Equalize HueSaturationValue Illumination InvertImg"
    " MultiplicativeNoise PlasmaBrightnessContrast PlasmaShadow RandomBrightnessContrast RandomFog"
    " RandomGamma RandomRain RandomShadow RandomSnow RandomSunFlare RandomToneCurve",
    "colour": "ChannelDropout ChannelShuffle ChromaticAberration ColorJitter FancyPCA HEStain"
    " HueSaturationValue ISONoise InvertImg PlanckianJitter Posterize RGBShift Solarize ToGray ToSepia",
    "blur": "AdditiveNoise AdvancedBlur Blur ChromaticAberration Defocus Downscale Emboss GaussNoise"
    " GaussianBlur GlassBlur ISONoise ImageCompression MedianBlur Morphological MotionBlur"
    " MultiplicativeNoise RandomFog RandomRain RingingOvershoot SaltAndPepper Sharpen ShotNoise"
    " Superpixels UnsharpMask ZoomBlur",
    "erase": "CoarseDropout Erasing GridDropout PixelDropout RandomGravel RandomSunFlare Spatter XYMasking",
    "": "NoOp",
}
CHANGES: dict[str, frozenset[str]] = {
    name: frozenset(change for change, others in _DOING.items() if change and name in others.split())
    for names in _DOING.values()
    for name in names.split()
}


@dataclass(frozen=True)
class Transform:
    """One transform of a policy.

    Args:
        name: albumentations' name for it.
        arguments: as written, without `transforms`.
        where: `file:line`.
        children: of a container; empty for any other.
    """

    name: str
    arguments: Mapping[str, Any]
    where: str
    children: tuple["Transform", ...] = ()

    @property
    def does(self) -> frozenset[str]:
        """What it may do to an image."""
        if self.name == "Affine" and self.arguments.get("rotate", 0) in (0, [0, 0]):
            return CHANGES["Affine"] - {"rotation"}
        return frozenset().union(CHANGES.get(self.name, ()), *(child.does for child in self.children))


@dataclass(frozen=True)
class Policy:
    """A policy that is well written; whether its arguments suit albumentations is not known yet.

    Args:
        name: as in the settings.
        transforms: in order.
        digest: of what the file says; comments and layout are not in it.
    """

    name: str
    transforms: tuple[Transform, ...]
    digest: str = field(repr=False)

    @property
    def does(self) -> frozenset[str]:
        """What it may do to an image, in the words of `forbids`."""
        return frozenset().union(*(transform.does for transform in self.transforms))


def known() -> list[str]:
    """The names of the policies in `configs/augment/`, `none` first."""
    return sorted(folders.names(folders.CONFIGS, GROUP), key=lambda name: (name != "none", name))


def read(name: str, setting: str = "augment.policy") -> Policy:
    """A policy by the name of its file, or by a path that ends in `.yaml`.

    Args:
        name: e.g. `medium`, or `mine/strong.yaml`, from the current folder.
        setting: where it was named.

    Raises:
        ConfigError: no such file, or every fault of its text with its line.
    """
    path, where = _found(name, setting)
    parsed = parse_file(path, where)
    faults = list(parsed.faults)
    if not faults:
        odd = [key for key in parsed.data if key != "transforms"]
        faults += [
            Fault(parsed.lines[key], f"`{key}` is no key of a policy; it has `transforms`") for key in odd
        ]
        if "transforms" not in parsed.data:
            faults.append(Fault(where, "has no `transforms`, a list such as `- HorizontalFlip: {p: 0.5}`"))
    transforms = tuple(_items(parsed.data.get("transforms"), "transforms", parsed.lines, faults))
    if faults:
        refuse(name, [str(fault) for fault in faults], setting)
    text = json.dumps(parsed.data, sort_keys=True, ensure_ascii=False)
    return Policy(name, transforms, hashlib.sha256(text.encode()).hexdigest())


def refuse(name: str, faults: list[str], setting: str = "augment.policy") -> None:
    """One error for all faults of a policy's file."""
    raise ConfigError(
        f"{setting}={name}: {len(faults)} to mend in the policy",
        faults,
        "configs/augment/heavy.yaml shows how one is written; `make preview` shows what it does",
    )


def allowed(names: Sequence[str], attributes: Sequence[AttributeSettings]) -> tuple[str, ...]:
    """Those of these policies that do nothing that an attribute forbids."""
    forbidden = {change for a in attributes for change in a.forbids}
    return tuple(name for name in names if not read(name).does & forbidden)


def refuse_forbidden(
    policy: str, attributes: Sequence[AttributeSettings], setting: str = "augment.policy"
) -> None:
    """A policy may not do what makes an attribute's label wrong; `setting` is where it was chosen.

    Raises:
        ConfigError: naming every change that an attribute forbids, and the policies that are left.
    """
    every = {change for a in attributes for change in a.forbids}
    does = does_of(policy, setting) if every or is_own(policy) else frozenset()
    if does is None and every:
        name, forbidden = policy.partition(":")[2], ", ".join(sorted(every))
        raise ConfigError(
            f"{setting}={policy}: does not say what it does, and some labels forbid {forbidden}",
            remedy=f'write {name}.does = ("rotation", "brightness"), () for none of {", ".join(WORDS)}',
        )
    does = does or frozenset()
    faults = [f"{a.name} forbids {change}" for a in attributes for change in a.forbids if change in does]
    if faults:
        left = allowed(known(), attributes)
        raise ConfigError(
            f"{setting}={policy}: changes what a label says", faults, f"choose one of {', '.join(left)}"
        )


def is_own(name: str) -> bool:
    """Whether a policy is a function of the user's own, module:function."""
    return plugin.is_plugin(name) and not name.endswith(SUFFIX)


def does_of(policy: str, setting: str = "augment.policy") -> frozenset[str] | None:
    """What a policy does to an image, in the words of `forbids`; None: one's own function that says nothing.

    Raises:
        ConfigError: no such policy, one's own function cannot be loaded, or says what is no such word.
    """
    if not is_own(policy):
        return read(policy, setting).does
    said = getattr(plugin.Own(policy, Path.cwd(), setting).function, "does", None)
    if said is None:
        return None
    if isinstance(said, str) or not set(said) <= set(WORDS):
        raise ConfigError(f"{setting}: {policy}.does is {said!r}", remedy=f"words of {', '.join(WORDS)}")
    return frozenset(said)


def _found(name: str, setting: str) -> tuple[Path, str]:
    if name.endswith(SUFFIX):
        path = Path(name).expanduser()
        if not path.is_file():
            raise ConfigError(
                f"{setting}: there is no file {path}", remedy="give a path from the current folder"
            )
        return path, name
    there = known()
    if name not in there:
        raise ConfigError(
            f"{setting}: no policy called {name!r}",
            [hint] if (hint := nearest(name, there)) else [],
            f"choose one of {', '.join(there)}, write configs/augment/NAME.yaml, or give a path FILE.yaml",
        )
    file = f"{GROUP}/{name}{SUFFIX}"
    return folders.found(folders.CONFIGS, file), f"configs/{file}"


def _items(items: Any, path: str, lines: Mapping[str, str], faults: list[Fault]) -> Iterator[Transform]:
    """The transforms of a list; what is wrong with it is added to `faults`."""
    if items is None:
        return
    if not isinstance(items, list):
        faults.append(Fault(lines[path], "`transforms` is a list: a line `- Name: {…}` for each"))
        return
    for number, item in enumerate(items):
        at = f"{path}[{number}]"
        if isinstance(item, str):  # `- HorizontalFlip`: all arguments as the library has them
            item = {item: {}}
        if not isinstance(item, dict) or len(item) != 1:
            faults.append(
                Fault(_line(at, lines), f"{at}: wanted one `Name: {{arguments}}`, got {item!r}"[:160])
            )
            continue
        name, arguments = next(iter(item.items()))
        yield from _one(str(name), arguments, f"{at}.{name}", lines, faults)


def _one(
    name: str, arguments: Any, at: str, lines: Mapping[str, str], faults: list[Fault]
) -> Iterator[Transform]:
    where = _line(at, lines)
    if name not in CHANGES and name not in CONTAINERS:
        hint = nearest(name, [*CHANGES, *CONTAINERS]) or "it takes those of albumentations for 8-bit pictures"
        faults.append(Fault(where, f"no transform `{name}`; {hint}"))
        return
    if not isinstance(arguments or {}, dict):
        faults.append(Fault(where, f"{name} takes arguments by name, e.g. `{{p: 0.5}}`; got {arguments!r}"))
        return
    given = dict(arguments or {})
    children: tuple[Transform, ...] = ()
    if name in CONTAINERS:
        below = given.pop("transforms", None)
        if not below:
            faults.append(Fault(where, f"{name} needs `transforms`, what it chooses from"))
        children = tuple(_items(below, f"{at}.transforms", lines, faults))
    yield Transform(name, given, where, children)


def _line(at: str, lines: Mapping[str, str]) -> str:
    """Where this stands, or else the nearest of what it stands in or what stands in it."""
    steps = at.replace("[", ".[").split(".")
    above = [".".join(steps[:end]).replace(".[", "[") for end in range(len(steps), 1, -1)]
    inside = [path for path in lines if path.startswith(at)]
    return lines[next(path for path in (at, *inside, *above, steps[0]) if path in lines)]
