"""Where the YAML files of the settings lie: the user's folder, and the one that comes along.

Owns which folder is `configs/`, and finding a file in it. Does not own what stands in the files
(`settings/read.py`) or in which order they count (`settings/load.py`).

A checkout has one folder, its own `configs/`. A Podium that was installed from a wheel brings its folder
along as `pipeline/configs`, which nobody writes to: new files go to `configs/` of the current folder, and
whatever is not there is read from the folder that came along, file by file.
"""

from __future__ import annotations

from pathlib import Path

BASE = "config.yaml"
PACKAGE = Path(__file__).resolve().parents[1]


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


def names(folder: Path, group: str) -> list[str]:
    """The sorted names of all files of a group, e.g. `model`, without their ending."""
    return sorted({path.stem for layer in layers(folder) for path in (layer / group).glob("*.yaml")})
