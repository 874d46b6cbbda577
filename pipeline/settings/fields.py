"""What every section of the settings is made of: its strict base class, the two kinds of field, and rules.

Owns the base class, the value types that several sections share, and what a rule between settings is. Does
not own any setting: each section has a file of its own, with its fields and its rules.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

NEUTRAL = "neutral"
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+-]*$")]
Share = Annotated[float, Field(ge=0, le=1)]

# What a transform, or mixing two images, does to an image, as far as a label may mind.
Change = Literal[
    "hflip", "vflip", "rotation", "geometry", "crop", "brightness", "colour", "blur", "erase",
    "mixup", "cutmix",
]  # fmt: skip
Side = Annotated[int, Field(ge=8, le=1024)]
Rectangle = Annotated[list[Side], Field(min_length=2, max_length=2)]

# Sections by name, and one broken rule: the path of a setting, and what is wrong with it.
Sections = Mapping[str, Any]
Broken = tuple[str, str]


class Section(BaseModel):
    """Base of all settings: strict, frozen, unknown keys forbidden."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def neutral(default: Any, description: str, **limits: Any) -> Any:
    """A field that does not change any result, so it stays out of content keys."""
    return Field(default, description=description, json_schema_extra={NEUTRAL: True}, **limits)


def fact(default: Any, description: str, **limits: Any) -> Any:
    """A field that defines results, so it enters content keys."""
    return Field(default, description=description, **limits)


@dataclass(frozen=True)
class Rule:
    """What no single field can say, because it is about several settings.

    Args:
        reads: the sections that it looks at; it runs when the fields of all of them are valid.
        check: yields what is broken.
    """

    reads: tuple[str, ...]
    check: Callable[[Sections], Iterator[Broken]]


def rule(*reads: str) -> Callable[[Callable[[Sections], Iterator[Broken]]], Rule]:
    """Make a rule of a function that checks these sections; `settings/schema.py` lists all rules in order."""
    return lambda check: Rule(reads, check)
