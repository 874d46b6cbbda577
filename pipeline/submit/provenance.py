"""The form of a provenance file, checked before anything in it is used.

Owns the schema and the error with all faults. Does not own what the fields mean (`submit/submission.py`) nor
rebuilding (`submit/reproduce.py`).

A provenance file may come from anybody: a colleague, a merge gone wrong, a download. What is not in this form
is refused with every fault; in particular a name that would become a path somewhere else.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, ValidationError

from pipeline.core.errors import DataError
from pipeline.core.language import _
from pipeline.pages.report import plural
from pipeline.record import files, paths
from pipeline.submit import texts

VERSION = 2
# The longest text of a value that a fault repeats.
LONGEST_GOT = 60


def _submission(name: str) -> str:
    return _refused(name, paths.fault_of_submission(name))


def _settings_file(name: str) -> str:
    """`config.yaml`, or `<group>/<name>.yaml`."""
    fault = paths.fault_of_path(name)
    if not fault and (not name.endswith(".yaml") or name.count("/") > 1):
        fault = _("it is not the path of a settings file, such as experiment/lite0.yaml")
    return _refused(name, fault)


def _refused(name: str, fault: str) -> str:
    if fault:
        raise ValueError(fault)
    return name


Address = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+/[A-Za-z0-9_-]+$")]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Word = Annotated[str, Field(pattern=r"^[A-Za-z0-9_]+$")]
# It is shown as part of a command that the user may paste.
COMMIT = r"^([0-9a-f]{4,64}(-dirty)?|none)$"


class _Part(BaseModel):
    """Base of all parts: no conversion; further keys are kept, because later versions may add some."""

    model_config = ConfigDict(strict=True, extra="allow")


class _Request(_Part):
    competition: str | None
    model: str | None
    experiment: list[str]
    values: list[Annotated[list[JsonValue], Field(min_length=2, max_length=2)]]
    files: dict[Annotated[str, AfterValidator(_settings_file)], str]


class _MemberRecord(_Part):
    artifact: Address
    request: _Request | None


class _Node(_Part):
    version: int
    identity: str
    config: dict[str, str]
    inputs: dict[str, Address]
    made: Annotated[int, Field(ge=0)]


class _Profile(_Part):
    device: str
    threads: int


class _Machine(_Part):
    profile: _Profile | None
    versions: dict[str, str] | None


class _Manifest(_Part):
    git: Annotated[str, Field(pattern=COMMIT)]
    versions: dict[str, str]
    config: dict[str, JsonValue]


class _Provenance(_Part):
    version: Literal[2]
    name: Annotated[str, AfterValidator(_submission)]
    artifact: Address
    csv_sha256: Digest
    format: dict[Word, JsonValue]
    members: dict[str, _MemberRecord]
    request: _Request
    machines: list[_Machine]
    chain: dict[Address, _Node]
    manifest: _Manifest


def read(path: Path) -> dict[str, Any]:
    """The provenance in a JSON file, in the form that this code writes.

    Raises:
        DataError: it cannot be read, is of an older version, or has faults, all of which are named.
    """
    record = _json(path)
    version = record.get("version", 1)
    if version != VERSION or record.get("request") is None:
        manifest = record.get("manifest")
        git = manifest.get("git") if isinstance(manifest, dict) else None
        commit = str(git).removesuffix("-dirty") if re.fullmatch(COMMIT, str(git)) else "?"
        raise DataError(
            texts.OLD_PROVENANCE.format(json=path.name),
            remedy=texts.OLD_PROVENANCE_REMEDY.format(commit=commit),
        )
    try:
        # JSON mode accepts a list for a tuple, and is strict otherwise.
        _Provenance.model_validate_json(files.json_bytes(record))
        faults = _inner_faults(record)
    except ValidationError as error:
        faults = [_fault(one) for one in error.errors(include_url=False)]
    except UnicodeEncodeError:
        faults = [texts.PROVENANCE_NOT_UTF8]
    if faults:
        raise DataError(
            texts.PROVENANCE_FAULTS.format(json=path.name, count=plural(len(faults), "fault")),
            faults,
            texts.PROVENANCE_REMEDY,
        )
    return record


def _json(path: Path) -> dict[str, Any]:
    try:
        record = files.read_json(path)
    except (OSError, ValueError) as error:
        reason = str(error)
    else:
        if isinstance(record, dict):
            return record
        reason = texts.PROVENANCE_NO_OBJECT.format(kind=type(record).__name__)
    raise DataError(
        texts.PROVENANCE_UNREADABLE.format(json=path.name, reason=reason), remedy=texts.PROVENANCE_REMEDY
    )


def _inner_faults(record: Mapping[str, Any]) -> list[str]:
    """What no single field shows: parts that refer to parts that are missing."""
    faults = []
    count = len(record["machines"])
    for name, node in record["chain"].items():
        if node["made"] >= count:
            faults.append(texts.PROVENANCE_MACHINE.format(name=name, made=node["made"], count=count))
    if record["artifact"].startswith("decide/") and "of" not in record["manifest"]["config"]:
        faults.append(texts.PROVENANCE_DECIDED)
    if "sample_sha256" not in record["format"]:
        faults.append(texts.PROVENANCE_SAMPLE)
    for number, (path, _value) in enumerate(record["request"]["values"]):
        if not isinstance(path, str):
            faults.append(texts.PROVENANCE_VALUE.format(number=number))
    return faults


def _fault(error: Any) -> str:
    place = ".".join(str(step) for step in error["loc"]) or "provenance"
    got = "" if error["type"] == "missing" else f"; got {error['input']!r}"
    return f"{place}: {error['msg']}{got if len(got) <= LONGEST_GOT else got[:LONGEST_GOT] + ' …'}"
