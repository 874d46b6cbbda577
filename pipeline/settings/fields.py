"""The parts of every section of the settings: a strict base class, the kinds of field, and rules.

Owns the base class, the value types that several sections share, and the type of a rule between settings.
Does not own any setting: each section has its own file, with its fields and its rules.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from pipeline.core.language import _

NEUTRAL, OF_FILE, IF_CHOSEN = "neutral", "of_file", "if_chosen"
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+-]*$")]
Share = Annotated[float, Field(ge=0, le=1)]

# What a transform, or mixing two images, changes in an image, as far as it may change a label.
Change = Literal[
    "hflip", "vflip", "rotation", "geometry", "crop", "brightness", "colour", "blur", "erase",
    "mixup", "cutmix",
]  # fmt: skip
Side = Annotated[int, Field(ge=8, le=1024)]
Rectangle = Annotated[list[Side], Field(min_length=2, max_length=2)]

# What pydantic says of a value that a field does not accept, by its name for the error.
WORDS = {
    "int_type": _("Input should be a valid integer"),
    "int_from_float": _("Input should be a valid integer, got a number with a fractional part"),
    "float_type": _("Input should be a valid number"),
    "finite_number": _("Input should be a finite number"),
    "bool_type": _("Input should be a valid boolean"),
    "string_type": _("Input should be a valid string"),
    "list_type": _("Input should be a valid array"),
    "tuple_type": _("Input should be a valid array"),
    "dict_type": _("Input should be a valid dictionary"),
    "model_type": _("Input should be an object"),
    "none_required": _("Input should be null"),
    "greater_than": _("Input should be greater than {gt:g}"),
    "greater_than_equal": _("Input should be greater than or equal to {ge:g}"),
    "less_than": _("Input should be less than {lt:g}"),
    "less_than_equal": _("Input should be less than or equal to {le:g}"),
    "literal_error": _("Input should be {expected}"),
    "string_pattern_mismatch": _("String should match pattern '{pattern}'"),
    "string_too_short": _("String should have at least {min_length:character}"),
    "string_too_long": _("String should have at most {max_length:character}"),
    "too_short": _(
        "{field_type} should have at least {min_length:item} after validation, not {actual_length}"
    ),
    "too_long": _("{field_type} should have at most {max_length:item} after validation, not {actual_length}"),
    "missing": _("Field required"),
}

# Sections by name, and one broken rule: the path of a setting, and what is wrong.
Sections = Mapping[str, Any]
Broken = tuple[str, str]


class Section(BaseModel):
    """Base of all settings: strict, frozen, unknown keys forbidden."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def neutral(default: Any, description: str, **limits: Any) -> Any:
    """A field that changes no result, so it is not in content keys."""
    return Field(default, description=description, json_schema_extra={NEUTRAL: True}, **limits)


def fact(default: Any, description: str, **limits: Any) -> Any:
    """A field that changes results, so it is in content keys."""
    return Field(default, description=description, **limits)


def fact_if_chosen(default: Any, description: str, **limits: Any) -> Any:
    """A fact that is in content keys only where it differs from its default.

    For a setting whose default changes nothing: results that were made before it existed keep their keys.
    """
    return Field(default, description=description, json_schema_extra={IF_CHOSEN: True}, **limits)


def fact_or_file(default: Any, description: str, **limits: Any) -> Any:
    """A fact that may name a file: `file:PATH`, or a path that ends in `.csv`.

    Where the file lies is not in content keys. Its content is, by the `identity` of a stage that reads it.
    """
    return Field(default, description=description, json_schema_extra={OF_FILE: True}, **limits)


@dataclass(frozen=True)
class Rule:
    """A constraint on several settings, which no single field can check.

    Args:
        reads: the sections that it uses; it runs if the fields of all of them are valid.
        check: yields the faults.
    """

    reads: tuple[str, ...]
    check: Callable[[Sections], Iterator[Broken]]


def rule(*reads: str) -> Callable[[Callable[[Sections], Iterator[Broken]]], Rule]:
    """Make a rule from a function that checks these sections; `settings/schema.py` lists all rules."""
    return lambda check: Rule(reads, check)


def in_words(error: Mapping[str, Any]) -> str:
    """The message of one of pydantic's errors, as a text that can be translated where it is a known one."""
    known, message = WORDS.get(error["type"]), str(error["msg"])
    said = known.format(**error.get("ctx", {})) if known else message
    return said if said == message else message
