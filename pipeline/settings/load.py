"""YAML files and `key=value` overrides, merged into one validated Config.

Owns: which files are merged in which order, the source of each value, and collecting every fault in one
message. Does not own defaults (`settings/schema.py`), finding and reading one file (`settings/read.py`).

Order, later wins: schema defaults, configs/config.yaml, configs/competition/<name>.yaml, each
configs/experiment/<name>.yaml after the model that it `uses`, configs/model/<name>.yaml if `model=` is given,
`key=value` overrides. An experiment that `uses` another one overrides it, but only if no experiment is before
it: in `experiment=a+tuned` the same file overrides `a` instead. An experiment without a file may be a recipe
of a portfolio (`settings/portfolio.py`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import BaseModel, ValidationError

from pipeline.core import language
from pipeline.core.errors import ConfigError, nearest
from pipeline.core.language import _
from pipeline.core.secrets import hidden_value, hidden_word
from pipeline.record import paths
from pipeline.settings import hints, portfolio, read
from pipeline.settings.competition import PLACES
from pipeline.settings.fields import in_words
from pipeline.settings.read import Fault, ParsedFile, parse_file, parse_text, parse_value, written_text
from pipeline.settings.schema import Config, broken

GROUPS = ("competition", "model", "experiment")
PLACE_PATHS = tuple(f"competition.{name}" for name in PLACES)
CONFIGS = read.CONFIGS
OVERRIDE = _("override {path}")
# The settings that say where results are kept.
HOMES = ("runtime.home", "runtime.local")
# The language of the reader: no result depends on it but a page, whose key has it from the settings.
LANGUAGE = "report.language"
# A rule that does not hold, a value that its field does not accept, and as much as is shown of that value.
BROKEN, WRONG, GOT = _("{path} {what}"), _("{path}: {message}"), _("; got {value}")
EITHER, MEANT = _("{one}, or {other}"), _("; {hint}")
MOST_SHOWN = 114
TAGS = (
    *("emoji", "digits", "square", "rectangle", "word", "number", "stage", "module", "unset"),
    *("constrained-float", "literal['auto']"),  # what pydantic adds for `number | Literal["auto"]`
)


@dataclass(frozen=True)
class Request:
    """The request of the user, before any file is read.

    Args:
        competition, model: file names, or None for the default.
        experiment: overlays in order, or None for the default.
        values: (dotted path, value) overrides.
    """

    competition: str | None = None
    model: str | None = None
    experiment: tuple[str, ...] | None = None
    values: tuple[tuple[str, Any], ...] = ()

    @property
    def words(self) -> tuple[str, ...]:
        """The words of a command line with this request, without passwords, e.g. `competition=digits`."""
        chosen = {"competition": self.competition, "model": self.model}
        chosen["experiment"] = "+".join(self.experiment or ()) or None
        named = [f"{key}={value}" for key, value in chosen.items() if value]
        values = [f"{k}={written_text(v) if isinstance(v, str) else json.dumps(v)}" for k, v in self.values]
        unasked = ("runtime.", f"{LANGUAGE}=")
        return (*named, *(hidden_word(word) for word in values if not word.startswith(unasked)))


@dataclass(frozen=True)
class Settings:
    """A validated Config, and the source of each of its values.

    Args:
        sources: dotted path -> `file:line` or `override`; other paths have their default.
        request: with the defaults filled in.
        files: name below `folder` -> text of each file that was read; enough to read them again.
    """

    config: Config
    sources: Mapping[str, str] = field(repr=False)
    request: Request
    folder: Path
    files: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def experiment(self) -> str:
        """The experiment's name: its overlays joined by +, with the model of `model=`."""
        names = "+".join(self.request.experiment or ("default",))
        return f"{names}@{self.request.model}" if self.request.model else names

    @property
    def words(self) -> tuple[str, ...]:
        """The words of a command line with these settings."""
        return self.request.words

    @property
    def competition_words(self) -> tuple[str, ...]:
        """The words that name or change the competition, without those for places."""
        about = (word for word in self.words if word.startswith(("competition=", "competition.")))
        return tuple(word for word in about if word not in self.place_words)

    @property
    def place_words(self) -> tuple[str, ...]:
        """The words that say where the competition's files lie."""
        return tuple(word for word in self.words if word.partition("=")[0] in PLACE_PATHS)

    def located(self, words: Sequence[str]) -> tuple[str, ...]:
        """These words for a command that a person pastes, with the places of the present files and results.

        Places, and the language, are in no key and in no other command's record: they are those that were
        typed now.
        """
        now = (*HOMES, LANGUAGE)
        home = [f"{p}={v}" for p, v in self.request.values if p in now and isinstance(v, str)]
        others = (word for word in words if word.partition("=")[0] not in (*PLACE_PATHS, *now))
        return (*others, *self.place_words, *home)

    def member(self, name: str) -> Settings:
        """The settings of an ensemble member: the same request with other experiment overlays.

        Raises:
            ConfigError: with every fault of its files and values.
        """
        return resolve(replace(self.request, experiment=tuple(name.split("+"))), self.folder)

    def with_only(self, values: Sequence[tuple[str, Any]]) -> Settings:
        """The same competition, model and experiment with these overrides instead of the present ones."""
        return resolve(replace(self.request, values=tuple(values)), self.folder)

    def with_values(self, values: Mapping[str, Any]) -> Settings:
        """The same request with these overrides added, which replace earlier ones.

        Raises:
            ConfigError: with every fault of the values.
        """
        kept = tuple((path, value) for path, value in self.request.values if path not in values)
        return resolve(replace(self.request, values=(*kept, *values.items())), self.folder)


def load(arguments: Sequence[str], folder: Path = CONFIGS) -> Settings:
    """Settings from command-line words such as `model=resnet50 train.epochs=10`.

    Raises:
        ConfigError: with every fault of the words, the files and the values.
    """
    request, faults = _request(arguments)
    return resolve(request, folder, faults)


def resolve(request: Request, folder: Path, faults: Sequence[Fault] = ()) -> Settings:
    """Read, merge and validate the files and values of `request`; see `load`."""
    all_faults = list(faults)
    base = parse_file(read.found(folder, read.BASE), f"{folder.name}/{read.BASE}")
    defaults = _names_of(base, "defaults", ("competition", "experiment"), all_faults)
    request = replace(request, competition=request.competition or defaults.get("competition"))
    competition = _overlay("competition", request.competition, folder, all_faults)
    preferred = _names_of(competition, "uses", ("experiment",), all_faults).get("experiment")
    experiment = request.experiment or _names(preferred or defaults.get("experiment"))
    request = replace(request, experiment=experiment)
    layers = [base, competition, *_chosen(request, folder, all_faults)]
    for layer in layers:
        all_faults += layer.faults
    data, sources = _merge(layers, all_faults)
    _apply(request.values, data, sources)
    _settle_language(data, sources, os.environ)
    sections, more = _validate(data, sources)
    # If a competition's file is missing, its missing values are not further faults.
    all_faults += more if competition.lines else [f for f in more if not f.what.startswith("competition.")]
    if all_faults:
        unique = list(dict.fromkeys(str(f) for f in all_faults))
        raise ConfigError(
            _("{n:invalid setting}").format(n=len(unique)),
            unique,
            _("`make config` shows the resolved settings"),
        )
    files = {layer.where.removeprefix(f"{folder.name}/"): layer.text for layer in layers if layer.where}
    return Settings(Config(**sections), sources, request, folder, files)


def _names(value: Any) -> tuple[str, ...] | None:
    if value is None:
        return None
    words = value if isinstance(value, list) else str(value).replace("+", ",").split(",")
    return tuple(str(word) for word in words)


def _request(arguments: Sequence[str]) -> tuple[Request, list[Fault]]:
    faults: list[Fault] = []
    chosen: dict[str, str] = {}
    values: dict[str, Any] = {}
    for typed in arguments:
        path, equals, text = typed.partition("=")
        word = hidden_word(typed)
        if not equals or not path:
            faults.append(Fault(word, _("expected key=value, e.g. train.epochs=10")))
        elif path in chosen or path in values:
            faults.append(Fault(word, _("`{path}` is overridden twice").format(path=path)))
        elif path in GROUPS and not text:
            faults.append(Fault(word, _("it names no file, e.g. {path}=NAME").format(path=path)))
        elif path in GROUPS:
            chosen[path] = text
        else:
            # Free text is text: a key such as 33046231 is no number, and `#` begins no comment in a path.
            values[path], fault = parse_text(text) if _is_text(path) else parse_value(text)
            if fault and text[:1] in ("{", "["):
                fault = _("{fault}; a value with spaces needs quotes of its own: {path}='{{a: 1}}'").format(
                    fault=fault, path=path
                )
            if _has_bytes(text):
                fault = _("it is not UTF-8, so it can stand in no file and no address; rename what it names")
                del values[path]
            if path in Config.model_fields:
                fault = _(
                    "`{path}` is a whole section; override one setting of it, e.g. {path}.KEY=VALUE"
                ).format(path=path)
            if fault:
                faults.append(Fault(word, fault))
    experiment = _names(chosen.get("experiment"))
    return Request(chosen.get("competition"), chosen.get("model"), experiment, tuple(values.items())), faults


def _has_bytes(text: str) -> bool:
    """Whether an argument has bytes that are no UTF-8, which Python keeps as halves of a pair."""
    return any("\ud800" <= character <= "\udfff" for character in text)


def _chosen(request: Request, folder: Path, faults: list[Fault]) -> Iterator[ParsedFile]:
    """The files of the experiments and of the models that they use; the model of `model=` comes last."""
    for overlay, model in _stacked(request.experiment or (), folder, faults):
        if model and request.model is None:
            yield _overlay("model", model, folder, faults)
        yield overlay
    if request.model:
        yield _overlay("model", request.model, folder, faults)


def _stacked(names: Sequence[str], folder: Path, faults: list[Fault]) -> list[tuple[ParsedFile, str | None]]:
    """Experiments in order, those that the first one uses before it, each with the model that it uses."""
    stacked: list[tuple[ParsedFile, str | None]] = []
    left, seen = list(names), set[str]()
    while left:
        name = left.pop()
        overlay = _overlay("experiment", name, folder, faults)
        uses = _names_of(overlay, "uses", ("model", "experiment"), faults)
        stacked.append((overlay, uses.get("model")))
        seen.add(name)
        below = _names(uses.get("experiment")) or ()
        if not left and set(below) & seen:
            faults.append(
                Fault(overlay.where, _("`uses` is circular: {below}").format(below=", ".join(below)))
            )
        elif not left:
            left = list(below)
    return stacked[::-1]


def _names_of(file: ParsedFile, key: str, known: tuple[str, ...], faults: list[Fault]) -> dict[str, str]:
    """The other files that a file uses: its `uses` or `defaults`, removed from its settings."""
    names = file.data.pop(key, None) or {}
    where = file.lines.get(key, key)
    if not isinstance(names, dict):
        faults.append(
            Fault(
                where,
                _("`{key}` expects lines such as `{known}: NAME`; got {names!r}").format(
                    key=key, known=known[0], names=names
                ),
            )
        )
        return {}
    unknown = sorted(str(name) for name in names if name not in known)
    if unknown:
        faults.append(
            Fault(
                where,
                _("`{key}` accepts {known} here, not {unknown}").format(
                    key=key, known=", ".join(known), unknown=", ".join(unknown)
                ),
            )
        )
    return {name: str(value) for name, value in names.items() if name in known}


def _overlay(group: str, name: str | None, folder: Path, faults: list[Fault]) -> ParsedFile:
    if name is None:
        return ParsedFile({}, {}, ())
    known = read.names(folder, group)
    if name not in known and group == "experiment":
        recipe = portfolio.overlay(folder, name)
        if recipe is not None:
            return recipe
        known = [*known, *portfolio.known(folder)]
    if name not in known:
        hint = nearest(name, known) or _("known: {known}").format(known=", ".join(known) or _("none yet"))
        faults.append(
            Fault(
                f"{group}={name}",
                _("no such file {folder}/{group}/{name}.yaml; {hint}").format(
                    folder=folder.name, group=group, name=name, hint=hint
                ),
            )
        )
        return ParsedFile({}, {}, ())
    if fault := paths.fault_of(name):  # the name becomes part of the names of submissions
        faults.append(
            Fault(f"{group}={name}", _("this is no name of a settings file: {fault}").format(fault=fault))
        )
        return ParsedFile({}, {}, ())
    file = f"{group}/{name}.yaml"
    return parse_file(read.found(folder, file), f"{folder.name}/{file}")


def _leaves(data: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in data.items():
        path = f"{prefix}{key}"
        if isinstance(value, dict) and value:
            yield from _leaves(value, path + ".")
        else:
            yield path


def _merge(layers: Sequence[ParsedFile], faults: list[Fault]) -> tuple[dict[str, Any], dict[str, str]]:
    merged = OmegaConf.create({})
    sources: dict[str, str] = {}
    for layer in layers:
        try:
            # Neither is used again, so nothing is copied: a competition may have thousands of classes.
            merged = OmegaConf.unsafe_merge(merged, OmegaConf.create(layer.data))
        except OmegaConfBaseException as error:
            where = next(iter(layer.lines.values()), "settings")
            faults.append(
                Fault(where, _("cannot be merged: {error}").format(error=str(error).splitlines()[0]))
            )
        sources.update({path: layer.lines.get(path, "") for path in _leaves(layer.data)})
    try:
        data = OmegaConf.to_container(merged, resolve=True)
    except OmegaConfBaseException as error:
        path = str(error.full_key)
        faults.append(
            Fault(
                _source(path, sources),
                _("{path}: {error}").format(path=path, error=str(error).splitlines()[0]),
            )
        )
        data = OmegaConf.to_container(merged, resolve=False)
    assert isinstance(data, dict), "merged settings are a mapping"
    return {str(k): v for k, v in data.items()}, sources


def _apply(values: Sequence[tuple[str, Any]], data: dict[str, Any], sources: dict[str, str]) -> None:
    for path, value in values:
        *parents, last = path.split(".")
        place = data
        for depth, parent in enumerate(parents, start=1):
            below = place.get(parent)
            if not isinstance(below, dict):
                below = place[parent] = {}
                sources.pop(".".join(parents[:depth]), None)
            place = below
        place[last] = value
        sources[path] = OVERRIDE.format(path=path)


def _settle_language(data: dict[str, Any], sources: dict[str, str], environment: Mapping[str, str]) -> None:
    """Replace `auto`, which is the default, by the language that it means here; `UI_LANG` wins."""
    report = data.get("report") or {}
    if not isinstance(report, dict) or not isinstance(report.get("language", ""), str):
        return  # the validation says what is wrong
    given = report.get("language", language.AUTO)
    if given not in (language.AUTO, *language.languages()):
        return  # wrong also where UI_LANG wins: it would be copied into the next command
    settled = language.chosen(given, environment)
    if settled == report.get("language", language.ENGLISH):
        return
    data["report"] = {**report, "language": settled}
    named = environment.get(language.VARIABLE)
    sources[LANGUAGE] = language.VARIABLE if named else sources.get(LANGUAGE, "the locale")


def known_keys(path: Sequence[str | int]) -> list[str]:
    """Field names of the section at `path`, for a `did you mean`; empty if it is not a section."""
    models: list[Any] = [Config]
    for step in path:
        if isinstance(step, int):
            continue
        nexts = [m.model_fields[step].annotation for m in models if step in m.model_fields]
        models = [m for annotation in nexts for m in _models_in(annotation)]
    return sorted({name for model in models for name in model.model_fields})


def _is_text(path: str) -> bool:
    """Whether a setting accepts only text."""
    *parents, last = path.split(".")
    models: list[Any] = [Config]
    for step in parents:
        models = [m for model in models for m in _models_in(_annotation(model, step))]
    annotations = [_annotation(model, last) for model in models]
    return any(kinds and kinds <= {str, type(None)} and str in kinds for kinds in map(_kinds, annotations))


def _kinds(annotation: Any) -> set[Any]:
    """The types that an annotation allows, e.g. {str, NoneType} for `Name | None`."""
    if get_origin(annotation) is Annotated:
        return _kinds(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return {kind for one in get_args(annotation) for kind in _kinds(one)}
    return {annotation}


def _annotation(model: Any, name: str) -> Any:
    return model.model_fields[name].annotation if name in model.model_fields else None


def _models_in(annotation: Any) -> list[Any]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [m for argument in get_args(annotation) for m in _models_in(argument)]


def _validate(data: Mapping[str, Any], sources: Mapping[str, str]) -> tuple[dict[str, Any], list[Fault]]:
    """Validate each section separately, so that rules can still run on the valid ones."""
    faults: list[Fault] = []
    sections: dict[str, Any] = {}
    for key in data:
        if key not in Config.model_fields:
            at = next((s for p, s in sources.items() if p.split(".")[0] == key or p == key), "")
            hint = hints.as_sections(Config, key) or hints.of_section(Config, key, data[key])
            hint = hint or _("known sections: {known}").format(known=", ".join(Config.model_fields))
            faults.append(
                Fault(at, _("`{key}` is not a section of the settings; {hint}").format(key=key, hint=hint))
            )
    for name, info in Config.model_fields.items():
        section = info.annotation
        assert isinstance(section, type) and issubclass(section, BaseModel), f"{name} is not a section"
        written = data.get(name)
        try:
            # JSON mode accepts a list for a tuple and is strict otherwise.
            sections[name] = section.model_validate_json(json.dumps({} if written is None else written))
        except ValidationError as error:
            faults += _faults(name, error.errors(), sources)
        except TypeError as error:
            faults.append(Fault(name, _("not a plain value: {error}").format(error=error)))
    for path, what in broken(sections):
        faults.append(Fault(_source(path, sources), BROKEN.format(path=path, what=what)))
    return sections, faults


def _source(path: str, sources: Mapping[str, str]) -> str:
    """The source of `path`, or of its nearest parent or child that is written somewhere."""
    steps = path.replace("[", ".[").split(".")
    for end in range(len(steps), 0, -1):
        prefix = ".".join(steps[:end]).replace(".[", "[")
        if sources.get(prefix):
            return sources[prefix]
    for start in (path, f"{path.split('.')[0]}."):
        below = next((s for p, s in sources.items() if s and p.startswith(start)), None)
        if below:
            return below
    return path


def _faults(section: str, errors: Sequence[Any], sources: Mapping[str, str]) -> list[Fault]:
    """One fault a setting: a value that fits none of several types is wrong once."""
    by_path: dict[str, list[Any]] = {}
    for error in errors:
        # A discriminated union puts its tag into the location; the tag is not a key of a file.
        location = [step for step in (section, *error["loc"]) if step not in TAGS]
        path = "".join(f"[{s}]" if isinstance(s, int) else f".{s}" for s in location).lstrip(".")
        by_path.setdefault(path, []).append((location, error))
    return [Fault(_source(path, sources), _what_is_wrong(path, several)) for path, several in by_path.items()]


def _what_is_wrong(path: str, errors: Sequence[Any]) -> str:
    (location, error), others = errors[0], errors[1:]
    given = error.get("input")
    if error["type"] == "extra_forbidden":
        hint = hints.of_name(Config, str(location[-1]), known_keys(location[:-1]))
        return _("{path}: unknown key; {hint}").format(path=path, hint=hint or _("see `make config`"))
    message = in_words(error)
    for _at, other in others:
        message = EITHER.format(one=message, other=in_words(other))
    what = WRONG.format(path=path, message=message)
    if error["type"] != "missing":
        value = json.dumps(hidden_value(path, given), ensure_ascii=False)
        what += GOT.format(value=value[:MOST_SHOWN])
    if isinstance(given, dict) and (hint := hints.of_section(Config, "", given)):
        what += MEANT.format(hint=hint)
    return what
