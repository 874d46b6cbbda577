"""The YAML files of the settings: where they are, and reading one file or one `key=value` as plain data.

Owns which folder is `configs/`, finding a file in it, line numbers, duplicate keys, and rejecting scalars
that YAML 1.1 reads as something else (`012` is 10, `58:30` is 3510, `off` is False); nothing is converted
silently. `1e-3` is a number here and `2026-01-01` stays text, as in YAML 1.2. Does not own merging or
validating (`settings/load.py`).

A checkout has one folder, its own `configs/`. A Podium that was installed from a wheel contains its folder as
`pipeline/configs`, which is never written to: new files go to `configs/` of the current folder, and a file
that is not there is read from the folder in the wheel.
"""

from __future__ import annotations

import copy
import functools
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from pipeline.core.language import _

BASE = "config.yaml"
PACKAGE = Path(__file__).resolve().parents[1]
AMBIGUOUS = (
    (re.compile(r"^[-+]?0[0-9_]+$"), _("a number with a leading zero is read as octal")),
    (
        re.compile(r"^[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?$"),
        _("digits with colons are read in base 60"),
    ),
    (re.compile(r"^(y|n|yes|no|on|off)$", re.IGNORECASE), _("this word is read as true or false")),
)
BAD_YAML, BAD_VALUE = _("not valid YAML: {error}"), _("not a valid YAML value: {error}")
NO_LIST = _("expected a list of entries, got {kind}")
NO_LINES = _("expected `key: value` lines, got {kind}")
# What stands for no value, and what may stand around a text.
NONE = ("null", "~", "")
QUOTES = ("'", '"')
# A letter of private use: YAML reads it as text.
NO_COMMENT = "\ue000"
# More values than any settings file has; a weight by hand for each of ten thousand classes is one.
MOST_VALUES = 200_000
FLOAT = "tag:yaml.org,2002:float"
TIMESTAMP = "tag:yaml.org,2002:timestamp"
EXPONENT = re.compile(r"^[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$")


def shipped(package: Path = PACKAGE) -> Path:
    """The folder that comes with the code: inside the wheel, or beside `pipeline/` in a checkout."""
    packed = package / "configs"
    return packed if (packed / BASE).is_file() else package.parent / "configs"


def chosen(current: Path, package: Path = PACKAGE) -> Path:
    """The folder that settings are read from first, and that new files are written to.

    It is `configs/` of the current folder if that holds a `config.yaml`, else the one of the checkout. An
    installed Podium has no checkout: then it is `configs/` of the current folder in any case.
    """
    here, along = current / "configs", shipped(package)
    if along.parent == package:
        return here
    return here if (here / BASE).is_file() and not here.samefile(along) else along


SHIPPED = shipped()
CONFIGS = chosen(Path.cwd())


def layers(folder: Path) -> tuple[Path, ...]:
    """The folders in which a file is looked for, in order; only `CONFIGS` falls back to `SHIPPED`."""
    return (folder, SHIPPED) if folder == CONFIGS and folder.resolve() != SHIPPED else (folder,)


def found(folder: Path, name: str) -> Path:
    """The file of that name, e.g. `model/lite0.yaml`; where none has it, the path in `folder`."""
    paths = [layer / name for layer in layers(folder)]
    return next((path for path in paths if path.is_file()), paths[0])


def given(text: str) -> Path:
    """The file of a path that the user gave: as it stands, or the shipped one of that name.

    An installed Podium has no `configs/` of its own in the current folder: then `configs/ablate/recipe.yaml`
    means the file that came along, as it does for every name without a path.
    """
    path = Path(text)
    steps = path.parts
    if path.exists() or len(steps) < 2 or steps[0] != CONFIGS.name:
        return path
    shipped_file = found(CONFIGS, Path(*steps[1:]).as_posix())
    return shipped_file if shipped_file.is_file() else path


def beside(path: Path) -> list[str]:
    """The YAML files of a path's folder, as a user would give them; in `configs/` with the shipped ones."""
    known = set()
    if path.parent.is_dir():
        # Hidden files are settings of other programs.
        known = {near.as_posix() for near in path.parent.glob("*.yaml") if not near.name.startswith(".")}
    group = path.parent.as_posix().removeprefix(f"{CONFIGS.name}/")
    if path.parent.parts[:1] == (CONFIGS.name,):
        known |= {f"{CONFIGS.name}/{group}/{name}.yaml" for name in names(CONFIGS, group)}
    return sorted(known)


def names(folder: Path, group: str) -> list[str]:
    """The sorted names of all files of a group, e.g. `model`, without their ending."""
    return sorted({path.stem for layer in layers(folder) for path in (layer / group).glob("*.yaml")})


def _resolvers() -> dict[Any, list[tuple[str, re.Pattern[str]]]]:
    """PyYAML's table of the types of unquoted scalars, by first character, with our corrections."""
    known = yaml.SafeLoader.yaml_implicit_resolvers.items()
    table = {first: [rule for rule in rules if rule[0] != TIMESTAMP] for first, rules in known}
    for first in "+-0123456789":
        table[first].append((FLOAT, EXPONENT))
    return table


class Loader(yaml.SafeLoader):
    """SafeLoader, except that `1e-3` is a number and `2026-01-01` is text."""

    yaml_implicit_resolvers = _resolvers()


@dataclass(frozen=True)
class Fault:
    """One fault of the settings: where it is written, and what is wrong."""

    where: str
    what: str

    def __str__(self) -> str:
        """Both as one text, which can still be said in another language."""
        return _("{where}: {what}").format(where=self.where, what=self.what)


@dataclass(frozen=True)
class ParsedFile:
    """One file's plain data, its faults, and its text.

    Args:
        lines: dotted path -> `file:line`.
        where: name of the file in messages; empty if no file was named.
    """

    data: dict[str, Any]
    lines: dict[str, str]
    faults: tuple[Fault, ...]
    where: str = ""
    text: str = ""


def _walk(node: yaml.Node, path: str, where: str) -> Iterator[tuple[str, int, str | None]]:
    """Every (dotted path, line, fault or None) below `node`."""
    line = node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            name = str(key.value)
            below = f"{path}.{name}" if path else name
            if name in seen:
                yield below, key.start_mark.line + 1, _("`{below}` is written twice").format(below=below)
            seen.add(name)
            yield from _walk(value, below, where)
            yield below, key.start_mark.line + 1, None
    elif isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            yield from _walk(item, f"{path}[{number}]", where)
    elif isinstance(node, yaml.ScalarNode) and node.style is None:
        why = next((why for pattern, why in AMBIGUOUS if pattern.match(node.value)), None)
        if why:
            fault = _('`{value}` is ambiguous ({why}); quote it or write it differently: "{value}"').format(
                value=node.value, why=why
            )
            yield path, line, _("{where}: {what}").format(where=path, what=fault) if path else fault


def _size(node: yaml.Node | None) -> int:
    """Number of values below a node, each `*alias` counted as often as it is used.

    Raises:
        ValueError: there are too many, as in a file that multiplies itself, or a value contains itself.
    """
    counted: dict[int, int] = {}

    def count(below: yaml.Node) -> int:
        if counted.get(id(below)) == 0:
            raise ValueError(_("a value contains itself"))
        if id(below) not in counted:
            counted[id(below)] = 0
            parts = below.value if isinstance(below, yaml.CollectionNode) else []
            inner = [x for part in parts for x in (part if isinstance(part, tuple) else (part,))]
            counted[id(below)] = 1 + sum(map(count, inner))
            if counted[id(below)] > MOST_VALUES:
                raise ValueError(_("it has more than {most:,} values").format(most=MOST_VALUES))
        return counted[id(below)]

    return 0 if node is None else count(node)


def _reason(error: ValueError | RecursionError) -> str:
    # An argument that is a text of ours stays one.
    return _("it is nested too deeply") if isinstance(error, RecursionError) else str(error.args[0])


def parse(text: str, where: str, listed: str = "") -> ParsedFile:
    """Plain data of a YAML text; `where` is its name in messages, e.g. `configs/model/lite0.yaml`.

    listed: the text is a list, which becomes the value of this key.
    """
    known = _parsed(text, where, listed)
    return replace(known, data=copy.deepcopy(known.data))


@functools.lru_cache(maxsize=64)
def _parsed(text: str, where: str, listed: str) -> ParsedFile:
    """The same; a command reads the file of its competition once for every member."""
    try:
        node = yaml.compose(text, Loader=Loader)
        _size(node)
        data = {} if node is None else yaml.load(text, Loader=Loader)
    except (ValueError, RecursionError) as error:
        return ParsedFile({}, {}, (Fault(where, BAD_YAML.format(error=_reason(error))),))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        at = f":{mark.line + 1}" if mark else ""
        return ParsedFile(
            {}, {}, (Fault(f"{where}{at}", BAD_YAML.format(error=getattr(error, "problem", error))),)
        )
    if listed and not isinstance(data, list):
        return ParsedFile({}, {}, (Fault(where, NO_LIST.format(kind=type(data).__name__)),))
    if not listed and not isinstance(data, dict):
        return ParsedFile({}, {}, (Fault(where, NO_LINES.format(kind=type(data).__name__)),))
    data = {listed: data} if listed else data
    lines: dict[str, str] = {}
    faults: list[Fault] = []
    for path, line, fault in _walk(node, listed, where) if node else ():
        lines.setdefault(path, f"{where}:{line}")
        if fault:
            faults.append(Fault(f"{where}:{line}", fault))
    return ParsedFile(data, lines, tuple(faults))


def parse_file(path: Path, where: str, listed: str = "") -> ParsedFile:
    """Like `parse`, from a file; an unreadable file is a fault as well."""
    try:
        text = path.read_text(encoding="utf-8")
        return replace(parse(text, where, listed), where=where, text=text)
    except (OSError, UnicodeDecodeError) as error:
        return ParsedFile({}, {}, (Fault(where, _("cannot be read: {error}").format(error=error)),))


def parse_value(text: str) -> tuple[Any, str | None]:
    """The value of a `key=value` override, and its fault or None."""
    try:
        node = yaml.compose(text, Loader=Loader)
        _size(node)
        value = yaml.load(text, Loader=Loader)
    except yaml.YAMLError as error:
        return None, BAD_VALUE.format(error=getattr(error, "problem", error))
    except (ValueError, RecursionError) as error:
        return None, BAD_VALUE.format(error=_reason(error))
    if "#" in text and _without_comment(text) != value:
        return None, _("everything after # would be a comment; quote it: 'a #b', or leave it out")
    faults = [found[2] for found in _walk(node, "", "") if found[2]] if node else []
    return value, faults[0] if faults else None


def _without_comment(text: str) -> Any:
    """The value if `#` were a letter like any other; another one than YAML's if that cuts a comment off."""
    try:
        read = yaml.load(text.replace("#", NO_COMMENT), Loader=Loader)
        return json.loads(json.dumps(read, ensure_ascii=False).replace(NO_COMMENT, "#"))
    except (yaml.YAMLError, ValueError, TypeError):
        return None


def parse_text(text: str) -> tuple[str | None, str | None]:
    """The value of an override of a setting that is free text, and its fault or None.

    It is taken as it is; only quotes around all of it are removed, and `null` means none. A word that YAML
    reads as something else, such as `off` or `012`, is refused like everywhere: in a file it would be that.
    """
    value, fault = parse_value(text)
    if value is None and not fault and "#" not in text:
        return None, None
    if isinstance(value, bool) or (fault and any(pattern.match(text) for pattern, _ in AMBIGUOUS)):
        return value, fault
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in QUOTES
    return (value, None) if quoted and isinstance(value, str) and not fault else (text, None)


def written_text(text: str) -> str:
    """A text as `parse_text` reads it again."""
    return json.dumps(text, ensure_ascii=False) if text in NONE or text[:1] in QUOTES else text


def read_words(words: Sequence[str]) -> tuple[tuple[str, Any], ...]:
    """`key=value` words as paths and values."""
    return tuple((word.partition("=")[0], parse_value(word.partition("=")[2])[0]) for word in words)
