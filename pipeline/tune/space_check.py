"""A search space checked against the settings: its paths exist, and the settings accept all its values.

Owns trying both ends of every range and every choice on real settings, and leaving out what the labels of a
competition forbid. Does not own the format of a space (`tune/space.py`) or the schema.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from pydantic import BaseModel

from pipeline.core import search_space
from pipeline.core.errors import UserError, nearest
from pipeline.core.language import _
from pipeline.core.search_space import Dimension, Scalar
from pipeline.settings.fields import NEUTRAL
from pipeline.settings.load import Settings, known_keys
from pipeline.settings.schema import Config
from pipeline.tune import texts
from pipeline.tune.space import Choices, Range, Search, SearchSpace, Subset, broken, dimensions_of, label_of

# Raises for what no rule of the settings covers, e.g. a policy that does what a label forbids.
Refuse = Callable[[Settings], None]
# Marks a fault of the schema itself: a value of another type or out of range, which is always a fault.
SCHEMA = "; got "


def checked(
    file: str, form: SearchSpace, settings: Settings, sections: tuple[str, ...], refuse: Refuse
) -> Search:
    """The space as dimensions, every value of which these settings accept.

    Args:
        file: path of the space.
        form: content of the file.
        settings: what trials start from.
        sections: that the tuned stage may vary.
        refuse: raises ConfigError for settings that the stage would refuse.

    Raises:
        ConfigError: lists every fault: unknown paths, values out of range, known-good settings outside it.
    """
    faults: list[str] = []
    left_out: list[str] = []
    start: dict[str, list[str]] = {}
    dimensions: list[Dimension] = []
    kept: dict[str, Any] = {}
    named: set[str] = set()
    for path, entry in form.space.items():
        kept[path] = entry
        fault = _path_fault(path, sections)
        if fault:
            faults.append(f"{path}: {fault}")
            continue
        words: list[str] = []
        if isinstance(entry, Subset):
            start[path] = list(value_at(settings.config, path) or [])
            words = _words(entry, start[path])
        before = dimensions_of(path, entry, words)
        named |= {dimension.name for dimension in before}
        if not any(_possible(dimension, dimensions, named) for dimension in before):
            continue
        accepted = _Accepted(
            path, settings, form.model_copy(update={"space": {**form.space, **kept}}), refuse
        )
        if isinstance(entry, Choices):
            kept[path] = entry.model_copy(update={"choices": accepted.of(entry.choices, entry.allowed_only)})
        elif isinstance(entry, Subset):
            words = [w for [*_, w] in accepted.of([[*entry.always, w] for w in words], entry.allowed_only)]
        else:
            ends = (float(entry.low), float(entry.high), (entry.low + entry.high) / 2)
            accepted.of(ends if entry.type == "float" else [int(e) for e in ends], False)
            by_start = {text.partition(SCHEMA)[0]: text for text in reversed(accepted.faults)}
            accepted.faults = list(by_start.values())
        faults += accepted.faults
        left_out += accepted.left_out
        more = dimensions_of(path, kept[path], words)
        dimensions += [kept_ for d in more if (kept_ := _possible(d, dimensions, named)) is not None]
        if isinstance(entry, Choices) and not kept[path].choices and not accepted.faults:
            faults.append(texts.NO_CHOICE_LEFT.format(path=path))
    faults += _condition_faults(form, dimensions)
    # An entry without choices has faults, or none of its values is left: both are reported above.
    search = Search(file, form.model_copy(update={"space": kept}), tuple(dimensions), start, tuple(left_out))
    if not faults and all(d.values() is not None and len(d.values() or ()) < 2 for d in dimensions):
        only = ", ".join(d.name for d in dimensions)
        faults.append(texts.ONE_VALUE.format(names=only) if only else texts.NOTHING_LEFT)
    if not faults:
        fitting = _fitting(form, search, named)
        search = replace(search, form=search.form.model_copy(update={"known_good": fitting}))
        faults += _known_good(search)
    if faults:
        raise broken(file, faults)
    return search


class _Accepted:
    """The values of one setting that the settings accept, and what is wrong with the others."""

    def __init__(self, path: str, settings: Settings, form: SearchSpace, refuse: Refuse) -> None:
        self.path, self.settings, self.form, self.refuse = path, settings, form, refuse
        self.faults: list[str] = []
        self.left_out: list[str] = []

    def of(self, values: Any, allowed_only: bool) -> list[Any]:
        """The accepted ones of these values."""
        return [value for value in values if self._accepts(value, allowed_only)]

    def _accepts(self, value: Any, allowed_only: bool) -> bool:
        try:
            others = _parents(self.form, self.path) | _children(self.form, self.path, value)
            made = self.settings.with_values({**others, self.path: value})
            self.refuse(made)
        except UserError as error:
            why = [text.removeprefix(f"override {self.path}: ") for text in error.faults or [error.headline]]
            if allowed_only and not any(SCHEMA in text for text in why):
                self.left_out.append(texts.LEFT_OUT.format(path=self.path, value=value, why=why[0]))
            else:
                self.faults += why
            return False
        return True


def _parents(form: SearchSpace, path: str) -> dict[str, Any]:
    """Values of the entries that an entry depends on: the first ones that make it active."""
    values_of: dict[str, Any] = {}
    for parent, values in (form.space[path].when or {}).items():
        name, _, word = parent.partition("[")
        if name in form.space and values:
            values_of |= _parents(form, name)
            entry = form.space[name]
            left = [label_of(c) for c in entry.choices] if isinstance(entry, Choices) else []
            values_of[name] = (
                [word[:-1]] if word else next((v for v in values if label_of(v) in left), values[0])
            )
    return values_of


def _children(form: SearchSpace, path: str, value: Any) -> dict[str, Any]:
    """First values of the entries that this value makes active: it may need them."""
    return {
        name: entry.choices[0] if isinstance(entry, Choices) else _low(entry)
        for name, entry in form.space.items()
        if label_of(value) in [label_of(v) for v in (entry.when or {}).get(path, [])]
        and not isinstance(entry, Subset)
    }


def _low(entry: Range) -> float | int:
    return entry.low if entry.type == "float" else int(entry.low)


def _words(entry: Any, start: list[str]) -> list[str]:
    return [w for w in entry.of or start if w not in entry.always] if isinstance(entry, Subset) else []


def _possible(dimension: Dimension, above: list[Dimension], known: set[str]) -> Dimension | None:
    """A dimension without the conditions that cannot be met; None: none is left. `known`: also left out."""
    active = {d.name: d for d in above}
    when = []
    for parent, values in dimension.when:
        if parent not in active and parent in known:
            return None
        left = [v for v in values if parent not in active or not active[parent].fault(v)]
        if not left:
            return None
        when.append((parent, tuple(left)))
    return replace(dimension, when=tuple(when))


def _condition_faults(form: SearchSpace, dimensions: list[Dimension]) -> list[str]:
    """Faults of conditions on entries or values that do not exist."""
    faults = []
    known = {d.name: d for d in dimensions}
    for path, entry in form.space.items():
        for parent, values in (entry.when or {}).items():
            name, bracket, _ = parent.partition("[")
            above = form.space.get(name)
            if bracket:
                words = _words(above, []) if isinstance(above, Subset) and above.of else None
                word = parent[len(name) + 1 : -1]
                if not isinstance(above, Subset) or (words is not None and word not in words):
                    hint = nearest(parent, known)
                    fault = texts.WHEN_NOT_VARIED.format(path=path, parent=parent, hint=hint)
                    faults.append(fault.rstrip("; "))
            elif isinstance(above, Choices):
                labels = [label_of(c) for c in above.choices]
                never = [v for v in values if label_of(v) not in labels]
                faults += [texts.WHEN_NEVER.format(path=path, parent=parent, value=v) for v in never]
    return faults


def _fitting(form: SearchSpace, search: Search, named: set[str]) -> list[dict[str, Any]]:
    """The known-good settings without those that need a value that was left out."""

    def left_out(values: dict[str, Any]) -> bool:
        for path, value in values.items():
            entry, kept = form.space[path], search.form.space[path]
            if isinstance(entry, Choices) and isinstance(kept, Choices):
                if label_of(value) in map(label_of, entry.choices) and value not in kept.choices:
                    return True
            elif isinstance(entry, Subset):
                there = {d.name for d in search.dimensions}
                if any(f"{path}[{w}]" in named - there for w in value or []):
                    return True
        return False

    return [values for values in form.known_good if not left_out(values)]


def _known_good(search: Search) -> list[str]:
    faults = []
    for number, values in enumerate(search.form.known_good):
        point = search.point(values)
        faults += [f"known_good[{number}]: {why}" for why in search_space.faults(search.dimensions, point)]
        faults += [f"known_good[{number}]: {why}" for why in search.not_choices(values)]
    return faults


def _path_fault(path: str, sections: tuple[str, ...]) -> str:
    """Why a path cannot be tuned; empty: it can."""
    *parents, last = path.split(".")
    known = known_keys(parents) if parents else list(Config.model_fields)
    if last not in known:
        inside = known or known_keys(parents[:1]) or list(Config.model_fields)
        return texts.NO_SETTING.format(hint=nearest(last, inside) or _("see `make config`"))
    if len(parents) < 1:
        return texts.WHOLE_SECTION.format(path=path)
    if not any(path == s or path.startswith(f"{s}.") for s in sections):
        return texts.OTHER_STAGE.format(sections=", ".join(sections))
    if _is_neutral(path):
        return texts.NEUTRAL
    return ""


def _is_neutral(path: str) -> bool:
    section, *rest = path.split(".")
    model: Any = Config.model_fields[section].annotation
    info = model.model_fields.get(rest[0])
    extra = getattr(info, "json_schema_extra", None)
    return len(rest) == 1 and isinstance(extra, dict) and bool(extra.get(NEUTRAL))


def value_at(config: Config, path: str) -> Any:
    """The value of a setting; None if a section above it is unset."""
    value: Any = config
    for step in path.split("."):
        value = getattr(value, step, None)
    return plain(value)


def plain(value: Any) -> Any:
    """The value of a setting as YAML writes it."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return {k: plain(v) for k, v in value.items()} if isinstance(value, Mapping) else value


def defaults(search: Search, settings: Settings) -> tuple[dict[str, Scalar], list[str]]:
    """The point of the unchanged settings, and the reasons why it is not in the space."""
    values = {path: value_at(settings.config, path) for path in search.form.space}
    point = search.point(values)
    return point, [*search_space.faults(search.dimensions, point), *search.not_choices(values)]
