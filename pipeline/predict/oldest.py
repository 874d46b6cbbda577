"""The oldest Python and libraries with which a predictor works, and an environment that holds them.

Owns the versions, their check where a predictor runs, and building the environment once for all checkouts.
Does not own what runs in it (`predict/rehearsal.py`). Imports no torch.

The versions were tried: `make bundle OLDEST=1` rehearses with them, and `tests/predict/test_oldest.py`
compares the names of libraries that the predictor uses with those that they have.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import uuid
from dataclasses import dataclass
from pathlib import Path

from pipeline.core.errors import StorageError
from pipeline.predict import texts

PYTHON = (3, 11)
# What stands in the manifest: the first versions that are known to work.
NEEDS = {"python": "3.11", "torch": "2.1", "numpy": "1.26", "opencv": "4.9", "pydantic": "2.5"}
# The packages of the environment; timm and safetensors come with the bundle.
PACKAGES = (
    "torch==2.1.2",
    "torchvision==0.16.2",
    "numpy==1.26.4",
    "opencv-python-headless==4.9.0.80",
    "pillow==10.2.0",
    "pydantic==2.5.3",
    "scipy==1.11.4",
    "tqdm==4.66.3",
    "pyyaml==6.0.1",
)
# Those of them whose version a host may have too old.
CHECKED = ("torch", "numpy", "pydantic")
PREFIX = "oldest-"


@dataclass(frozen=True)
class Host:
    """What stands for a host's image.

    Args:
        python: its interpreter.
        packages: folders of its libraries.
        name: for people; empty: this environment.
    """

    python: str
    packages: tuple[str, ...]
    name: str = ""


def too_old() -> list[str]:
    """The libraries here that are older than a predictor was tried with, one line each."""
    found = []
    for name in CHECKED:
        try:
            here = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        if numbers(here) < numbers(NEEDS[name]):
            found.append(texts.TOO_OLD.format(package=name, here=here, oldest=NEEDS[name]))
    return found


def numbers(version: str) -> tuple[int, ...]:
    """The leading numbers of a version: (2, 1, 2) of 2.1.2+cu121."""
    return tuple(int(part) for part in re.findall(r"\d+", version.partition("+")[0])[:3])


def folder() -> Path:
    """The folder of the environment: beside those of Podium, outside of every checkout."""
    if os.environ.get("PODIUM_ENVS"):
        cache = Path(os.environ["PODIUM_ENVS"]).expanduser()
    else:
        found = os.environ.get("XDG_CACHE_HOME", "")
        cache = (Path(found) if found.startswith("/") else Path.home() / ".cache") / "podium" / "envs"
    return cache / f"{PREFIX}{hashlib.sha256(repr((PYTHON, PACKAGES)).encode()).hexdigest()[:12]}"


def python() -> str:
    """The interpreter of the oldest Python.

    Raises:
        StorageError: it is not installed.
    """
    wanted = ".".join(map(str, PYTHON))
    found = sys.executable if sys.version_info[:2] == PYTHON else shutil.which(f"python{wanted}")
    if found is None:
        raise StorageError(texts.NO_OLD_PYTHON.format(python=wanted), remedy=texts.NO_OLD_PYTHON_REMEDY)
    return found


def host() -> Host:
    """The environment with the oldest versions, built where it is missing.

    Raises:
        StorageError: there is no such Python, or pip cannot install the packages.
    """
    interpreter, where = python(), folder()
    name = ", ".join([f"Python {NEEDS['python']}", *(p.replace("==", " ") for p in PACKAGES[:3:2])])
    if not where.is_dir():
        where.parent.mkdir(parents=True, exist_ok=True)
        draft = where.with_name(f".{where.name}.{uuid.uuid4().hex[:8]}")
        try:
            command = [interpreter, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
            words = ["--only-binary=:all:", "--target", str(draft), *PACKAGES]
            done = subprocess.run([*command, *words], capture_output=True, text=True)
            if done.returncode:
                lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")][-3:]
                headline = texts.NO_OLD_PACKAGES.format(packages=", ".join(PACKAGES))
                raise StorageError(headline, lines, texts.NO_OLD_PACKAGES_REMEDY)
            draft.replace(where)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    return Host(interpreter, (str(where),), name)
