"""The section `augment`, and augmentation policies: files that describe random changes of training images.

Owns the section's field, finding and reading a policy, the changes that its transforms make, its effect on
labels, and its digest. Does not own making the transforms (`data/augment.py`), so nothing here needs
albumentations.

A policy is `configs/augment/<name>.yaml`, or a path that ends in `.yaml`. It has one key, `transforms`: a
list of albumentations transforms by name, each with its arguments. `OneOf`, `SomeOf`, `RandomOrder` and
`Sequential` have their own `transforms`. Borders are reflected unless `border_mode` is `constant`,
`replicate`, `wrap` or `reflect_edge`: a network can learn from a black border. The content of a policy is in
the keys of what uses it, its comments are not.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from pipeline.core import plugin
from pipeline.core.errors import ConfigError, nearest
from pipeline.core.language import _
from pipeline.settings.competition import AttributeSettings
from pipeline.settings.fields import Change, Section, fact, fact_if_chosen
from pipeline.settings.read import CONFIGS, Fault, found, given, names, parse_file

GROUP = "augment"
SUFFIX = ".yaml"
WORDS = get_args(Change)
CONTAINERS = ("OneOf", "SomeOf", "RandomOrder", "Sequential")

# Changes that transforms may make, in the words of `competition.attributes[].forbids`: all transforms of
# albumentations for one 8-bit picture; a test compares this with the library. A name may occur twice.
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


class AugmentSettings(Section):
    """Random changes of training images; see `pipeline/data/augment.py`.

    What a GPU's own engine can do of a policy (`augment.engine=auto`), in albumentations' names; another
    transform in a policy leaves it to the CPU, which `make train` says: Affine, AutoContrast,
    CoarseDropout, ColorJitter, D4, Equalize, Erasing, GaussNoise, GaussianBlur, HorizontalFlip,
    HueSaturationValue, InvertImg, Posterize, RandomBrightnessContrast, RandomGamma, RandomResizedCrop,
    RandomRotate90, Rotate, Sharpen, Solarize, SquareSymmetry, ToGray, Transpose, VerticalFlip.
    """

    policy: str = fact(
        "light",
        "a file of configs/augment/ (none, light, upright, medium, heavy, rotate30, trivial, crops, or your "
        "own), a path FILE.yaml, or module:function of your own",
    )
    # The kind of the device is in no key, so neither is `auto`; a chosen engine has results of its own.
    engine: Literal["auto", "albumentations"] = fact_if_chosen(
        "auto", "auto: on a GPU its own engine, if it can do the policy; albumentations: always on the CPU"
    )


@dataclass(frozen=True)
class Transform:
    """One transform of a policy.

    Args:
        name: in albumentations.
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
        """The changes that it may make."""
        if self.name == "Affine" and self.arguments.get("rotate", 0) in (0, [0, 0]):
            return CHANGES["Affine"] - {"rotation"}
        return frozenset().union(CHANGES.get(self.name, ()), *(child.does for child in self.children))


@dataclass(frozen=True)
class Policy:
    """A policy whose file is valid; its arguments are not checked by albumentations yet.

    Args:
        name: as in the settings.
        transforms: in order.
        digest: of the content, without comments and layout.
    """

    name: str
    transforms: tuple[Transform, ...]
    digest: str = field(repr=False)

    @property
    def does(self) -> frozenset[str]:
        """The changes that it may make, in the words of `forbids`."""
        return frozenset().union(*(transform.does for transform in self.transforms))


def known() -> list[str]:
    """The names of the policies in `configs/augment/`, `none` first."""
    return sorted(names(CONFIGS, GROUP), key=lambda name: (name != "none", name))


def read(name: str, setting: str = "augment.policy") -> Policy:
    """A policy by the name of its file, or by a path that ends in `.yaml`.

    Args:
        name: e.g. `medium`, or `mine/strong.yaml`, from the current folder.
        setting: that names it.

    Raises:
        ConfigError: no such file, or every fault of its text with its line.
    """
    path, where = _found(name, setting)
    parsed = parse_file(path, where)
    faults = list(parsed.faults)
    if not faults:
        for key in [key for key in parsed.data if key != "transforms"]:
            message = _("`{key}` is not a key of a policy; the only key is `transforms`").format(key=key)
            faults.append(Fault(parsed.lines[key], message))
        if "transforms" not in parsed.data:
            faults.append(Fault(where, _("has no `transforms`, a list such as `- HorizontalFlip: {p: 0.5}`")))
    transforms = tuple(_items(parsed.data.get("transforms"), "transforms", parsed.lines, faults))
    if faults:
        refuse(name, [str(fault) for fault in faults], setting)
    text = json.dumps(parsed.data, sort_keys=True, ensure_ascii=False)
    return Policy(name, transforms, hashlib.sha256(text.encode()).hexdigest())


def refuse(name: str, faults: list[str], setting: str = "augment.policy") -> None:
    """One error for all faults of a policy's file."""
    raise ConfigError(
        _("{setting}={name}: {n:fault} in the policy").format(setting=setting, name=name, n=len(faults)),
        faults,
        _("configs/augment/heavy.yaml is an example; `make preview` shows the effect"),
    )


def allowed(policies: Sequence[str], attributes: Sequence[AttributeSettings]) -> tuple[str, ...]:
    """Those of these policies that make no change that an attribute forbids."""
    forbidden = {change for a in attributes for change in a.forbids}
    return tuple(name for name in policies if not read(name).does & forbidden)


def refuse_forbidden(
    policy: str, attributes: Sequence[AttributeSettings], setting: str = "augment.policy"
) -> None:
    """Reject a policy that makes an attribute's label wrong; `setting` names the policy.

    Raises:
        ConfigError: with every forbidden change, and the policies that are allowed.
    """
    every = {change for a in attributes for change in a.forbids}
    does = does_of(policy, setting) if every or is_own(policy) else frozenset()
    if does is None and every:
        name, forbidden = policy.partition(":")[2], ", ".join(sorted(every))
        raise ConfigError(
            _(
                "{setting}={policy}: it does not declare its changes, and some labels forbid {forbidden}"
            ).format(setting=setting, policy=policy, forbidden=forbidden),
            remedy=_('write {name}.does = ("rotation", "brightness"), or () for none of {words}').format(
                name=name, words=", ".join(WORDS)
            ),
        )
    does = does or frozenset()
    faults = [
        _("{attribute} forbids {change}").format(attribute=a.name, change=change)
        for a in attributes
        for change in a.forbids
        if change in does
    ]
    if faults:
        left = allowed(known(), attributes)
        raise ConfigError(
            _("{setting}={policy}: it makes labels wrong").format(setting=setting, policy=policy),
            faults,
            _("choose one of {left}").format(left=", ".join(left)),
        )


def is_own(name: str) -> bool:
    """Whether a policy is a function of the user's own, module:function."""
    return plugin.is_plugin(name) and not name.endswith(SUFFIX)


def does_of(policy: str, setting: str = "augment.policy") -> frozenset[str] | None:
    """The changes that a policy makes, in the words of `forbids`; None: an own function without `does`.

    Raises:
        ConfigError: no such policy, an own function cannot be loaded, or its `does` has unknown words.
    """
    if not is_own(policy):
        return read(policy, setting).does
    declared = getattr(plugin.Own(policy, Path.cwd(), setting).function, "does", None)
    if declared is None:
        return None
    if isinstance(declared, str) or not set(declared) <= set(WORDS):
        raise ConfigError(
            _("{setting}: {policy}.does is {declared!r}").format(
                setting=setting, policy=policy, declared=declared
            ),
            remedy=_("use {words}").format(words=", ".join(WORDS)),
        )
    return frozenset(declared)


def _found(name: str, setting: str) -> tuple[Path, str]:
    if name.endswith(SUFFIX):
        path = given(str(Path(name).expanduser()))
        if not path.is_file():
            raise ConfigError(
                _("{setting}: there is no file {path}").format(setting=setting, path=path),
                remedy=_("give a path from the current folder"),
            )
        return path, name
    there = known()
    if name not in there:
        raise ConfigError(
            _("{setting}: no policy is called {name!r}").format(setting=setting, name=name),
            [hint] if (hint := nearest(name, there)) else [],
            _("choose one of {there}, write configs/augment/NAME.yaml, or give a path FILE.yaml").format(
                there=", ".join(there)
            ),
        )
    file = f"{GROUP}/{name}{SUFFIX}"
    return found(CONFIGS, file), f"configs/{file}"


def _items(items: Any, path: str, lines: Mapping[str, str], faults: list[Fault]) -> Iterator[Transform]:
    """The transforms of a list; its faults are added to `faults`."""
    if items is None:
        return
    if not isinstance(items, list):
        message = _("`transforms` must be a list with a line `- Name: {…}` for each transform")
        faults.append(Fault(lines[path], message))
        return
    for number, item in enumerate(items):
        at = f"{path}[{number}]"
        if isinstance(item, str):  # `- HorizontalFlip`: all arguments at their defaults
            item = {item: {}}
        if not isinstance(item, dict) or len(item) != 1:
            message = _("{at}: expected one `Name: {{arguments}}`, got {item}").format(
                at=at, item=repr(item)[:110]
            )
            faults.append(Fault(_line(at, lines), message))
            continue
        name, arguments = next(iter(item.items()))
        yield from _one(str(name), arguments, f"{at}.{name}", lines, faults)


def _one(
    name: str, arguments: Any, at: str, lines: Mapping[str, str], faults: list[Fault]
) -> Iterator[Transform]:
    where = _line(at, lines)
    if name not in CHANGES and name not in CONTAINERS:
        hint = nearest(name, [*CHANGES, *CONTAINERS]) or _(
            "known: those of albumentations for 8-bit pictures"
        )
        faults.append(Fault(where, _("no transform `{name}`; {hint}").format(name=name, hint=hint)))
        return
    if not isinstance(arguments or {}, dict):
        faults.append(
            Fault(
                where,
                _("{name} needs arguments by name, e.g. `{{p: 0.5}}`; got {arguments!r}").format(
                    name=name, arguments=arguments
                ),
            )
        )
        return
    given = dict(arguments or {})
    children: tuple[Transform, ...] = ()
    if name in CONTAINERS:
        below = given.pop("transforms", None)
        if not below:
            faults.append(Fault(where, _("{name} needs `transforms` to choose from").format(name=name)))
        children = tuple(_items(below, f"{at}.transforms", lines, faults))
    yield Transform(name, given, where, children)


def _line(at: str, lines: Mapping[str, str]) -> str:
    """The line of this path, or of the nearest path inside or around it."""
    steps = at.replace("[", ".[").split(".")
    above = [".".join(steps[:end]).replace(".[", "[") for end in range(len(steps), 1, -1)]
    inside = [path for path in lines if path.startswith(at)]
    return lines[next(path for path in (at, *inside, *above, steps[0]) if path in lines)]
