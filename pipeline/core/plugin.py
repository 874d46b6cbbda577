"""`module:function` in the settings: the user's own code, from the current folder.

Owns finding, digesting, loading and calling it, with errors that name the file and the line. Does not
own what a function has to return: the room that uses it defines this (a metric: `core/metrics.py`, a network:
`nets/backbones.py`, pixels: `data/augment.py` and `data/preprocess.py`, rows: `resample/indices.py`,
probabilities: `ensemble/decision.py`). `docs/plugins.md` has an example of each.

The digest covers the module's file and every module of the same folder that it imports, so that a
change of a helper module also changes the keys of results. Installed packages are not covered.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import inspect
import math
import re
import sys
import sysconfig
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from pipeline.core.errors import ConfigError, nearest
from pipeline.core.language import _

NAME = re.compile(r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*:[A-Za-z_][A-Za-z0-9_]*$")


# Words before a colon that name a library in the settings, not a module of the user.
LIBRARIES = ("torchvision",)


def is_plugin(name: str) -> bool:
    """Whether a setting's value names the user's own code."""
    return ":" in name and name.partition(":")[0] not in LIBRARIES


class Own:
    """A function of the user; it can be passed to other processes, which load it again.

    Args:
        name: e.g. "mycode:jitter".
        folder: the folder that contains the module.
        setting: which setting names it, for messages.

    Raises:
        ConfigError: as `load`.
    """

    def __init__(self, name: str, folder: Path, setting: str) -> None:
        self.name, self.folder, self.setting = name, folder, setting
        self.function = load(name, folder, setting)

    def __reduce__(self) -> tuple[type[Own], tuple[str, Path, str]]:
        return Own, (self.name, self.folder, self.setting)

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """What the function returns.

        Raises:
            ConfigError: it failed; names the file and the line.
        """
        try:
            return self.function(*arguments, **named)
        except Exception as error:
            raise self.failed(error) from error

    def takes(self, argument: str) -> bool:
        """Whether the function has a parameter of that name."""
        parameters = inspect.signature(self.function).parameters.values()
        return takes(self.function, argument) or any(p.kind is p.VAR_KEYWORD for p in parameters)

    def failed(self, error: Exception, doing: str = "") -> ConfigError:
        """The error to raise if the user's code raised an exception; `doing` describes the call."""
        return ConfigError(
            _("{setting}: {function} failed{doing}{where}: {kind}: {error}").format(
                setting=self.setting,
                function=self.name,
                doing=doing,
                where=_where(error),
                kind=type(error).__name__,
                error=error,
            ),
            remedy=_("correct the function; docs/plugins.md lists its arguments"),
        )

    def wrong(self, got: str, wanted: str) -> ConfigError:
        """The error to raise if the function returned an invalid value."""
        path = _path(self.name, self.folder, self.setting)
        return ConfigError(
            _("{setting}: {value} of {path} returned {got}").format(
                setting=self.setting, value=self.name, path=path, got=got
            ),
            remedy=_("return {wanted}").format(wanted=wanted),
        )


def takes(function: Callable[..., Any], argument: str) -> bool:
    """Whether a function has a parameter of that name; False where its parameters are not known."""
    try:
        return argument in inspect.signature(function).parameters
    except (TypeError, ValueError):
        return False


def described(value: object) -> str:
    """What a user's function returned, in a few words: its type, and the shape and dtype of an array."""
    shape, kind = getattr(value, "shape", None), getattr(value, "dtype", None)
    if shape is None or kind is None:
        return "None" if value is None else _("a {kind}").format(kind=type(value).__name__)
    return _("a {name} of shape {shape} and type {kind}").format(
        name=type(value).__name__, shape=tuple(shape), kind=kind
    )


def digest(name: str, folder: Path, setting: str) -> str:
    """sha256 of the sources behind `module:function`, without running them.

    Raises:
        ConfigError: as `load`, except for errors that are found only when the code runs.
    """
    found = hashlib.sha256()
    for path in sources(name, folder, setting):
        found.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return found.hexdigest()


def load(name: str, folder: Path, setting: str) -> Callable[..., Any]:
    """The function behind `module:function`; its module is run once per version of its sources.

    A module in a sub-folder is "mine.metrics:fbeta". `setting` is the setting that names it, for messages.

    Raises:
        ConfigError: a malformed name, no such file, code that does not parse or fails while it is
            imported, no such function.
    """
    wanted = name.partition(":")[2]
    module = _module(name, folder, setting)
    if not hasattr(module, wanted):
        functions = [k for k, v in vars(module).items() if callable(v) and not k.startswith("_")]
        hint = nearest(wanted, functions) or _("there are: {known}").format(
            known=", ".join(functions) or _("none")
        )
        raise ConfigError(
            _("{setting}: {file} has no function `{wanted}`").format(
                setting=setting, file=module.__file__, wanted=wanted
            ),
            remedy=hint,
        )
    function = getattr(module, wanted)
    if not callable(function):
        raise ConfigError(
            _("{setting}: `{wanted}` of {file} is not a function: {function!r}").format(
                setting=setting, wanted=wanted, file=module.__file__, function=function
            )
        )
    return function  # type: ignore[no-any-return]


def call(name: str, function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a user's function; the caller checks the value that it returns.

    Raises:
        ConfigError: it failed; the message names the line.
    """
    try:
        return function(*arguments)
    except Exception as error:
        raise ConfigError(
            _("{name} failed{where}: {kind}: {error}").format(
                name=name, where=_where(error), kind=type(error).__name__, error=error
            )
        ) from error


def number(name: str, function: Callable[..., Any], *arguments: Any) -> float:
    """Call a user's function that must return one finite number.

    Raises:
        ConfigError: it failed (the message names the line), or it returned something else.
    """
    value = call(name, function, *arguments)
    try:
        found = float(value)
    except (TypeError, ValueError):
        raise ConfigError(
            _("{name} returned {value!r}").format(name=name, value=value), remedy=_("return one number")
        ) from None
    if not math.isfinite(found):
        raise ConfigError(
            _("{name} returned {value!r}").format(name=name, value=found),
            remedy=_("return a finite number for every input"),
        )
    return found


def _module(name: str, folder: Path, setting: str) -> ModuleType:
    path = _path(name, folder, setting)
    # A name of its own, so that it hides no installed module; the digest, so that a change is seen.
    known = f"podium_plugin_{digest(name, folder, setting)[:16]}_{path.stem}"
    if known in sys.modules:
        return sys.modules[known]
    spec = importlib.util.spec_from_file_location(known, path)
    assert spec is not None and spec.loader is not None, f"{path} is a Python file"
    module = importlib.util.module_from_spec(spec)
    sys.modules[known] = module
    sys.path.insert(0, str(folder))  # its helpers lie beside it
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[known]
        raise ConfigError(
            _("{setting}: {path} cannot be imported{where}: {kind}: {error}").format(
                setting=setting, path=path, where=_where(error), kind=type(error).__name__, error=error
            ),
            remedy=_("correct the file until `python {path}` runs without an error").format(path=path.name),
        ) from error
    finally:
        sys.path.remove(str(folder))
    return module


def _path(name: str, folder: Path, setting: str) -> Path:
    if not NAME.match(name):
        raise ConfigError(
            _("{setting}: `{name}` is not of the form module:function, e.g. mymetrics:fbeta").format(
                setting=setting, name=name
            )
        )
    module = name.partition(":")[0]
    path = folder / f"{module.replace('.', '/')}.py"
    if not path.is_file():
        hint = nearest(module, [p.stem for p in folder.glob("*.py")])
        remedy = hint or _("write {name} there, or run the command in the folder that contains it").format(
            name=path.name
        )
        raise ConfigError(
            _("{setting}: `{name}`: there is no {file} in {folder}").format(
                setting=setting, name=name, file=path.relative_to(folder), folder=folder
            ),
            remedy=remedy,
        )
    return path


def sources(name: str, folder: Path, setting: str) -> list[Path]:
    """The module's file and the files of the folder that it imports, in sorted order."""
    todo, found = [_path(name, folder, setting)], set[Path]()
    while todo:
        path = todo.pop()
        if path in found:
            continue
        found.add(path)
        try:
            tree = ast.parse(path.read_bytes(), str(path))
        except (SyntaxError, ValueError) as error:
            line = getattr(error, "lineno", None)
            at = f" line {line}" if line else ""
            raise ConfigError(
                _("{setting}: {path}{at}: {error}").format(
                    setting=setting, path=path, at=at, error=getattr(error, "msg", error)
                )
            ) from None
        todo += [p for word in _imported(tree) if (p := folder / f"{word.replace('.', '/')}.py").is_file()]
    return sorted(found)


def _imported(tree: ast.Module) -> list[str]:
    words: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            words += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            base = node.module or ""
            words += [base, *(f"{base}.{alias.name}" for alias in node.names)]
    return words


def _where(error: BaseException) -> str:
    """` at mymetrics.py line 12`: the deepest frame of the user's code, not of a library or of this file."""
    library = sysconfig.get_path("stdlib")
    frames = [
        f
        for f in traceback.extract_tb(error.__traceback__)
        if "site-packages" not in f.filename and not f.filename.startswith((library, "<", __file__))
    ]
    if not frames:
        return ""
    return f" at {Path(frames[-1].filename).name} line {frames[-1].lineno}"
