"""What every settings section is made of: the strict base, and the two kinds of field.

Owns the base and shared value types. Does not own any setting (`settings/schema.py`).
"""

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


class Section(BaseModel):
    """Base of all settings: strict, frozen, unknown keys forbidden."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def neutral(default: Any, description: str, **limits: Any) -> Any:
    """A field that does not change any result, so it stays out of content keys."""
    return Field(default, description=description, json_schema_extra={NEUTRAL: True}, **limits)


def fact(default: Any, description: str, **limits: Any) -> Any:
    """A field that defines results, so it enters content keys."""
    return Field(default, description=description, **limits)
